/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_replay.c - reading a log: its commits go to the database that the checkpoint made.
 *
 *   segment first: record, record, ...     segment last: record, record, [torn tail]
 *
 * Where a record does not hold, the log ends, if nothing behind that place says that it had been on
 * the disk (wal.h, L3): then the bytes were lost or torn on their way, nobody was told that they are
 * safe, and all behind them goes too. Otherwise the file was damaged later: CORRUPT.
 *
 * A segment ends where it did when it was opened: who reads the log of a database that is open
 * elsewhere would else follow its writer for as long as that writes.
 */
#include <errno.h>
#include <limits.h>

#include "base/heap.h"
#include "base/testing.h"
#include "io/file.h"
#include "io/layout.h"
#include "io/replay.h"
#include "io/try.h"
#include "io/wal.h"
#include "store/table.h"

#define ANY_SEGMENT UINT64_MAX

typedef struct reader {
  ddb__wal *wal;
  ddb__file file; /* of `segment` */
  ddb__native_head head;
  uint64_t segment;
  uint64_t at;
  char path[PATH_MAX];
  char *body; /* of one record */
  size_t body_capacity;
  uint64_t commit; /* of the last record */
  ddb__replay replay;
  ddb__layout_progress progress;
  ddb_error *err; /* never NULL */
} reader;

static ddb_status corrupt(const reader *r, uint64_t offset, const char *problem) {
  (void)ddb__fail(r->err, DDB_ERR_CORRUPT, "damaged log '%.200s' (byte %llu): %s", r->path,
                  (unsigned long long)offset, problem);
  r->err->offset = offset;
  return DDB_ERR_CORRUPT;
}

static ddb_status read_head(reader *r) {
  size_t size;
  DDB__TRY(ddb__file_read_full(&r->file, &r->head, sizeof r->head, &size, r->err));
  if (size < sizeof r->head || memcmp(r->head.magic, DDB__LOG_MAGIC, DDB__NATIVE_MAGIC_SIZE) != 0 ||
      ddb__checksum_of(&r->head, offsetof(ddb__native_head, checksum), 0) != r->head.checksum) {
    return corrupt(r, 0, "the head does not hold");
  }
  if (r->head.version != DDB__NATIVE_VERSION ||
      (r->segment != ANY_SEGMENT && r->head.segment != r->segment)) {
    return corrupt(r, 0, "the head is of another version or segment");
  }
  r->at = size;
  return DDB_OK;
}

static ddb_status open_segment(reader *r, uint64_t segment) {
  char name[DDB__WAL_NAME_SIZE];
  ddb__wal_segment_name(segment, name);
  r->segment = segment;
  DDB__TRY(ddb__wal_path(r->wal, name, r->path, sizeof r->path, r->err));
  ddb_status status = ddb__file_open(&r->file, r->path, r->err);
  if (status == DDB_ERR_IO && r->err->os_error == ENOENT) {
    return corrupt(r, 0, "the segment is missing");
  }
  DDB__TRY(status);
  status = read_head(r);
  if (status != DDB_OK) {
    ddb__file_close(&r->file);
  }
  return status;
}

/* ---- Records ------------------------------------------------------------------------------ */

static bool record_holds(const reader *r, const ddb__log_record *record) {
  return memcmp(record->magic, DDB__RECORD_MAGIC, sizeof record->magic) == 0 &&
         ddb__log_record_sum(record, r->head.checksum) == record->checksum;
}

static ddb_status need_body(reader *r, uint64_t size) {
  if (size <= r->body_capacity) {
    return DDB_OK;
  }
  char *body = ddb__alloc(&ddb__heap_process, size);
  if (!body) {
    return ddb__fail_memory(r->err, size);
  }
  ddb__free(&ddb__heap_process, r->body, r->body_capacity);
  r->body = body;
  r->body_capacity = size;
  return DDB_OK;
}

/* Bytes of the segment from `at` on. */
static uint64_t left_of(const reader *r, uint64_t at) {
  return at < r->file.size ? r->file.size - at : 0;
}

/* As far as the segment goes; the file is at `at`. */
static ddb_status read_left(reader *r, uint64_t at, void *buffer, size_t wanted, size_t *size) {
  uint64_t left = left_of(r, at);
  return ddb__file_read_full(&r->file, buffer, left < wanted ? (size_t)left : wanted, size, r->err);
}

/* Reads the record at r->at. *whole: false where the log ends or does not hold, *empty: nothing is
 * there. */
static ddb_status read_record(reader *r, ddb__log_record *record, bool *whole, bool *empty) {
  size_t size;
  *whole = false;
  DDB__TRY(read_left(r, r->at, record, sizeof *record, &size));
  *empty = size == 0;
  if (size < sizeof *record || !record_holds(r, record) || record->size % 8 != 0 ||
      record->size > left_of(r, r->at + sizeof *record)) {
    return DDB_OK;
  }
  if (record->size) {
    DDB__TRY(need_body(r, record->size));
    DDB__TRY(ddb__file_read_full(&r->file, r->body, record->size, &size, r->err));
    *whole = size == record->size;
  } else {
    *whole = true;
  }
  bool holds = ddb__checksum_of(r->body, record->size, 0) == record->body_checksum;
  *whole = *whole && (holds || DDB__FAULT(LOG_CHECKSUM_UNCHECKED));
  return DDB_OK;
}

static ddb_status apply(reader *r, const ddb__log_record *record) {
  if (record->commit <= r->commit) {
    return corrupt(r, r->at, "commits out of order");
  }
  r->commit = record->commit;
  if (record->size) {
    DDB__TRY(ddb__replay_bytes(&r->replay, r->body, record->size, r->at));
  }
  DDB__TRY(ddb__replay_flush(&r->replay, r->at));
  r->at += sizeof *record + record->size;
  uint64_t done = r->progress.total ? r->at : r->commit; /* of one segment the bytes */
  return ddb__layout_tell(&r->progress, done, false, r->err);
}

/* ---- The end of the log ------------------------------------------------------------------- */

static bool is_before(ddb__log_place a, ddb__log_place b) {
  return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

/* Does any record in the open segment, at `from` or behind it, say that `place` was synced? */
static ddb_status find_witness(reader *r, uint64_t from, ddb__log_place place, bool *found) {
  ddb__log_record record;
  const size_t step = 8; /* records begin at multiples of it */
  DDB__TRY(need_body(r, DDB__WAL_BUFFER_SIZE));
  size_t kept = 0;
  uint64_t next = from;
  DDB__TRY(ddb__file_seek(&r->file, from, r->err));
  for (;;) {
    size_t size;
    DDB__TRY(read_left(r, next, r->body + kept, DDB__WAL_BUFFER_SIZE - kept, &size));
    next += size;
    size += kept;
    size_t at = 0;
    for (; at + sizeof record <= size; at += step) {
      memcpy(&record, r->body + at, sizeof record);
      if (record_holds(r, &record) && is_before(place, record.synced)) {
        *found = true;
        return DDB_OK;
      }
    }
    if (size < DDB__WAL_BUFFER_SIZE) {
      return DDB_OK;
    }
    kept = size - at;
    memmove(r->body, r->body + at, kept);
  }
}

/* What belongs to `place` is lost; the open segment, from r->at on, is behind it. May the log end
 * there? */
static ddb_status check_torn(reader *r, ddb__log_place place, uint64_t last) {
  bool damaged = false;
  DDB__TRY(find_witness(r, r->at, place, &damaged));
  for (uint64_t segment = r->segment + 1; segment <= last && !damaged; segment++) {
    ddb__file_close(&r->file);
    DDB__TRY(open_segment(r, segment));
    DDB__TRY(find_witness(r, r->at, place, &damaged));
  }
  if (!damaged) {
    return DDB_OK;
  }
  char name[DDB__WAL_NAME_SIZE];
  ddb__wal_segment_name(place.segment, name);
  DDB__TRY(ddb__wal_path(r->wal, name, r->path, sizeof r->path, r->err));
  return corrupt(r, place.offset, "a commit that was on the disk does not hold");
}

/* ---- All of it ---------------------------------------------------------------------------- */

/* Of one segment, which is open. *end: in, where the one before ended (segment 0: none); out, where
 * the log ends so far. *torn: it ends there for good. */
static ddb_status read_records(reader *r, ddb__log_place *end, bool *torn) {
  const ddb__log_place before = *end;
  for (;;) {
    ddb__log_record record;
    bool whole;
    bool empty;
    DDB__TRY(read_record(r, &record, &whole, &empty));
    bool gap = before.segment && record.before != before.offset;
    if (whole && gap && r->at > sizeof r->head) {
      return corrupt(r, r->at, "a record that contradicts those before it");
    }
    if (whole && gap && !DDB__FAULT(LOG_GAP_UNCHECKED)) {
      *torn = true; /* the segment before is shorter than it was */
      *end = before;
      return DDB_OK;
    }
    *end = (ddb__log_place){r->segment, r->at};
    r->wal->seed = r->head.checksum;
    r->wal->identity = r->head.unused[0];
    r->wal->before = before.offset;
    if (!whole) {
      *torn = !empty;
      return DDB_OK;
    }
    DDB__TRY(apply(r, &record));
  }
}

static ddb_status read_segment(reader *r, uint64_t segment, uint64_t last, ddb__log_place *end,
                               bool *torn) {
  DDB__TRY(open_segment(r, segment));
  ddb_status status = read_records(r, end, torn);
  r->wal->log_size += end->segment == segment ? end->offset : 0;
  if (status == DDB_OK && *torn) {
    status = check_torn(r, *end, last);
  }
  ddb__file_close(&r->file);
  return status;
}

static ddb_status read_segments(reader *r, uint64_t first, uint64_t last, ddb__log_place *end,
                                bool *torn) {
  *end = (ddb__log_place){0};
  for (uint64_t segment = first; segment <= last && !*torn; segment++) {
    DDB__TRY(read_segment(r, segment, last, end, torn));
  }
  return DDB_OK;
}

ddb_status ddb__wal_replay(ddb__wal *wal, ddb_db *db, uint64_t first, uint64_t last,
                           uint64_t after_commit, const ddb_open_options *options,
                           ddb__log_place *end, bool *torn, ddb_error *err) {
  ddb_error ignored;
  reader r = {.wal = wal, .commit = after_commit, .err = err ? err : &ignored};
  r.file.fd = -1;
  if (options) {
    r.progress = (ddb__layout_progress){.call = options->progress, .context = options->context};
  }
  *torn = false;
  ddb_status status = ddb__replay_init(&r.replay, db, DDB__REPLAY_LOG, r.err);
  if (status == DDB_OK) {
    status = read_segments(&r, first, last, end, torn);
  }
  ddb__replay_fini(&r.replay);
  ddb__free(&ddb__heap_process, r.body, r.body_capacity);
  if (status == DDB_OK) {
    ddb__db_commit_raise(db, r.commit);
  }
  return status;
}

/* ---- One segment by itself ---------------------------------------------------------------- */

static ddb_status verify_records(reader *r, ddb_file_info *info) {
  DDB__TRY(read_head(r));
  info->number = r->head.segment;
  for (;;) {
    ddb__log_record record;
    bool whole;
    bool empty;
    bool damaged = false;
    DDB__TRY(read_record(r, &record, &whole, &empty));
    info->whole_size = r->at;
    if (!whole) {
      const ddb__log_place place = {r->head.segment, r->at};
      DDB__TRY(empty ? DDB_OK : find_witness(r, r->at, place, &damaged));
      return damaged ? corrupt(r, r->at, "a commit that was on the disk does not hold") : DDB_OK;
    }
    DDB__TRY(apply(r, &record));
    info->operation_count++;
    info->commit = record.commit;
  }
}

static ddb_status verify_segment(reader *r, ddb_db *empty, ddb_file_info *info) {
  DDB__TRY(ddb__file_open(&r->file, r->path, r->err));
  r->progress.total = r->file.size;
  ddb_status status = ddb__replay_init(&r->replay, empty, DDB__REPLAY_SCAN, r->err);
  if (status == DDB_OK) {
    status = verify_records(r, info);
  }
  ddb__replay_fini(&r->replay);
  ddb__file_close(&r->file);
  ddb__free(&ddb__heap_process, r->body, r->body_capacity);
  return status;
}

ddb_status ddb__wal_segment_verify(const char *path, ddb_progress progress, void *context,
                                   ddb_file_info *info, ddb_error *err) {
  ddb_error ignored;
  ddb_db *empty;
  reader r = {.segment = ANY_SEGMENT,
              .progress = {.call = progress, .context = context},
              .err = err ? err : &ignored};
  if (strlen(path) >= sizeof r.path) {
    return ddb__file_fail(err, ENAMETOOLONG, "open", path);
  }
  memcpy(r.path, path, strlen(path) + 1);
  DDB__TRY(ddb_db_new(&empty, r.err));
  ddb_status status = verify_segment(&r, empty, info);
  ddb_db_release(empty);
  return status;
}
