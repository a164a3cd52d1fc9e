/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal.c - see wal.h: the writer's role, the syncer's role, and who waits for them.
 *
 * A committer that finds a role free takes it and works for all; one that does not, waits. Commits
 * that come while a sync is on its way are written meanwhile and share the next one. In a database
 * opened for less than COMMIT nobody waits for a sync: the thread of database.c makes them.
 */
#include "io/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/heap.h"
#include "base/rwlock.h"
#include "base/testing.h"
#include "io/file.h"
#include "io/syscalls.h"
#include "io/try.h"

#ifdef DDB_TESTING
#define RESERVE_SIZE UINT64_C(65536)
#define LOG_SIZE_MIN UINT64_C(32768)
#else
#define RESERVE_SIZE (UINT64_C(4) << 20)
#define LOG_SIZE_MIN (UINT64_C(64) << 20)
#endif

static ddb__wal *wal_of(ddb__journal *journal) {
  return (ddb__wal *)(void *)journal;
}

static void lock(ddb__wal *wal) {
  pthread_mutex_lock(&wal->mutex);
}

static void unlock(ddb__wal *wal) {
  pthread_mutex_unlock(&wal->mutex);
}

/* ---- Failure ------------------------------------------------------------------------------ */

ddb_status ddb__wal_refusal_locked(const ddb__wal *wal, ddb_error *err) {
  if (!wal->failed) {
    return ddb__fail(err, DDB_ERR_READ_ONLY, "the database '%.200s' is closed", wal->path);
  }
  (void)ddb__fail(err, DDB_ERR_READ_ONLY,
                  "the database is read-only, and its memory may be ahead of the disk: %.200s",
                  wal->failure.message);
  if (err) {
    err->os_error = wal->failure.os_error;
  }
  return DDB_ERR_READ_ONLY;
}

static void fail_locked(ddb__wal *wal, const ddb_error *cause) {
  if (!wal->failed) {
    wal->failed = true;
    wal->failure = *cause;
    atomic_store_explicit(&wal->journal.refusing, true, memory_order_relaxed);
  }
}

/* ---- Space -------------------------------------------------------------------------------- */

/* Makes the last segment's space so large. Under the mutex, which the file cannot change under. */
static ddb_status extend_locked(ddb__wal *wal, uint64_t size, ddb_error *err) {
  uint64_t wanted = (size / RESERVE_SIZE + 1) * RESERVE_SIZE;
  int result;
  do {
    result = ddb__sys_fallocate(wal->fd, wanted);
  } while (result < 0 && errno == EINTR);
  if (result < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
    wal->no_reservation = true;
    return DDB_OK;
  }
  if (result < 0) {
    return ddb__file_fail(err, errno, "reserve space for the log of", wal->path);
  }
  wal->reserved = wanted;
  return DDB_OK;
}

ddb_status ddb__wal_reserve(ddb__wal *wal, uint64_t size, ddb_error *err) {
  ddb_status status = DDB_OK;
  lock(wal);
  uint64_t end = wal->written.offset + wal->pending + size;
  if (wal->closed || wal->failed) {
    status = ddb__wal_refusal_locked(wal, err);
  } else if (end > wal->reserved && !wal->no_reservation) {
    status = extend_locked(wal, end, err);
  }
  wal->pending += status == DDB_OK ? size : 0;
  unlock(wal);
  return status;
}

void ddb__wal_unreserve(ddb__wal *wal, uint64_t size) {
  lock(wal);
  wal->pending -= size;
  unlock(wal);
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* One turn of the writer. */
typedef struct turn {
  ddb__wal *wal;
  ddb__log_place synced;
  uint64_t written;  /* bytes that the file got */
  uint64_t reserved; /* what they were given */
  size_t buffered;
  ddb_error *err;
} turn;

static ddb_status write_out(turn *t, const char *data, size_t size) {
  while (size > 0) {
    ssize_t done = ddb__sys_write(t->wal->fd, data, size);
    if (done > 0) {
      data += done;
      size -= (size_t)done;
      t->written += (uint64_t)done;
    } else if (done == 0 || errno != EINTR) {
      return ddb__file_fail(t->err, done == 0 ? ENOSPC : errno, "write the log of", t->wal->path);
    }
  }
  return DDB_OK;
}

static ddb_status flush_buffer(turn *t) {
  size_t size = t->buffered;
  t->buffered = 0;
  return write_out(t, t->wal->buffer, size);
}

static ddb_status put(turn *t, const char *data, size_t size) {
  if (size > DDB__WAL_BUFFER_SIZE - t->buffered) {
    DDB__TRY(flush_buffer(t));
  }
  if (size >= DDB__WAL_BUFFER_SIZE) {
    return write_out(t, data, size);
  }
  memcpy(t->wal->buffer + t->buffered, data, size);
  t->buffered += size;
  return DDB_OK;
}

/* The record of one commit: of the entries from `first` to before `end`. */
static ddb_status put_record(turn *t, const ddb__entry *first, const ddb__entry *end) {
  ddb__log_record record = {.magic = DDB__RECORD_MAGIC,
                            .commit = first->commit,
                            .synced = t->synced,
                            .before = t->wal->before};
  ddb__checksum sum;
  ddb__checksum_start(&sum);
  for (const ddb__entry *entry = first; entry != end; entry = entry->next) {
    ddb_str bytes = ddb__wal_entry_bytes(entry);
    ddb__checksum_add(&sum, bytes.data, bytes.size);
    record.size += bytes.size;
    t->reserved += ddb__wal_entry_reserved(entry);
  }
  record.body_checksum = ddb__checksum_value(&sum);
  record.checksum = ddb__log_record_sum(&record, t->wal->seed);
  DDB__TRY(put(t, (const char *)&record, sizeof record));
  for (const ddb__entry *entry = first; entry != end; entry = entry->next) {
    ddb_str bytes = ddb__wal_entry_bytes(entry);
    DDB__TRY(put(t, bytes.data, bytes.size));
  }
  return DDB_OK;
}

static ddb_status put_records(turn *t, const ddb__entry *entries) {
  for (const ddb__entry *first = entries; first;) {
    const ddb__entry *end = first->next;
    while (end && end->commit == first->commit && !DDB__FAULT(LOG_COMMIT_SPLIT)) {
      end = end->next; /* J1 */
    }
    DDB__TRY(put_record(t, first, end));
    first = end;
  }
  return flush_buffer(t);
}

static void free_entries(ddb__entry *entries) {
  while (entries) {
    ddb__entry *next = entries->next;
    ddb__wal_entry_free(entries);
    entries = next;
  }
}

/* The queue backwards. */
static ddb__entry *reversed(ddb__entry *entries) {
  ddb__entry *result = NULL;
  while (entries) {
    ddb__entry *next = entries->next;
    entries->next = result;
    result = entries;
    entries = next;
  }
  return result;
}

/* Writes what was taken off the queue, as the writer, without the mutex; then ends the turn. */
static void write_entries(ddb__wal *wal, ddb__log_place synced, ddb__entry *entries,
                          uint64_t commit) {
  ddb_error err = {0};
  turn t = {.wal = wal, .synced = synced, .err = &err};
  if (DDB__FAULT(LOG_ORDER_SWAPPED)) {
    entries = reversed(entries);
  }
  ddb_status status = put_records(&t, entries);
  free_entries(entries);
  lock(wal);
  wal->written.offset += t.written;
  wal->log_size += t.written;
  wal->pending -= t.reserved;
  if (status == DDB_OK) {
    wal->written_commit = commit;
  } else {
    fail_locked(wal, &err); /* L5 */
  }
  unlock(wal);
}

/* Is a checkpoint due? */
static bool is_long_locked(const ddb__wal *wal) {
  return wal->log_size > LOG_SIZE_MIN && wal->log_size > wal->checkpoint_size;
}

/* Under the mutex, which is let go of meanwhile; nobody is writing. */
static void write_turn_locked(ddb__wal *wal) {
  ddb__log_place synced = wal->synced;
  ddb__entry *entries;
  uint64_t commit;
  wal->writing = true;
  unlock(wal);
  (void)ddb__db_journal_take(wal->db, &entries, &commit, NULL, NULL);
  write_entries(wal, synced, entries, commit);
  lock(wal);
  wal->writing = false;
  if (is_long_locked(wal) && wal->has_thread && !wal->checkpoint_wanted) {
    wal->checkpoint_wanted = true;
    pthread_cond_signal(&wal->wake);
  }
  pthread_cond_broadcast(&wal->changed);
}

/* ---- Syncing ------------------------------------------------------------------------------ */

static int data_sync(int fd) {
  int result;
  do {
    result = ddb__sys_fdatasync(fd);
  } while (result < 0 && errno == EINTR);
  return result;
}

/* The same for syncing. What was written so far becomes durable, older segment first. */
static void sync_turn_locked(ddb__wal *wal) {
  ddb__log_place place = wal->written;
  uint64_t commit = wal->written_commit;
  int fd = wal->fd;
  int old_fd = wal->old_fd;
  ddb_error err = {0};
  wal->syncing = true;
  unlock(wal);
  bool old_done = old_fd < 0 || DDB__FAULT(LOG_OLD_UNSYNCED) || data_sync(old_fd) == 0;
  bool done = old_done && data_sync(fd) == 0;
  if (!done) {
    (void)ddb__file_fail(&err, errno, "sync the log of", wal->path);
  }
  if (done && old_fd >= 0) {
    (void)ddb__sys_close(old_fd);
  }
  lock(wal);
  wal->syncing = false;
  if (!done) {
    fail_locked(wal, &err);
  } else {
    wal->old_fd = wal->old_fd == old_fd ? -1 : wal->old_fd;
    wal->synced = place;
    wal->synced_commit = commit > wal->synced_commit ? commit : wal->synced_commit;
  }
  pthread_cond_broadcast(&wal->changed);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static bool reached(const ddb__wal *wal, uint64_t commit, bool sync) {
  return (sync ? wal->synced_commit : wal->written_commit) >= commit;
}

/* Takes a role if one is free and has work. False: there is nothing but to wait. */
static bool take_turn_locked(ddb__wal *wal, uint64_t commit, bool sync) {
  if (wal->written_commit < commit) {
    if (wal->writing) {
      return false;
    }
    write_turn_locked(wal);
    return true;
  }
  if (!sync || wal->syncing) {
    return false;
  }
  sync_turn_locked(wal);
  return true;
}

/* Waits as long as it takes, other threads of the interpreter running meanwhile. A short write into
 * the system's memory is no wait. */
static ddb_status reach(ddb__wal *wal, uint64_t commit, bool sync, ddb_error *err) {
  bool waiting = sync;
  void *state = waiting ? ddb__wait_begin() : NULL;
  ddb_status status = DDB_OK;
  lock(wal);
  while (!reached(wal, commit, sync)) {
    if (wal->failed || wal->closed) {
      status = ddb__wal_refusal_locked(wal, err);
      break;
    }
    if (take_turn_locked(wal, commit, sync)) {
      continue;
    }
    if (waiting) {
      pthread_cond_wait(&wal->changed, &wal->mutex);
      continue;
    }
    unlock(wal);
    state = ddb__wait_begin();
    waiting = true;
    lock(wal);
  }
  unlock(wal);
  if (waiting) {
    ddb__wait_end(state);
  }
  return status;
}

ddb_status ddb__wal_wait(ddb__journal *journal, uint64_t commit, ddb_error *err) {
  ddb__wal *wal = wal_of(journal);
  bool sync = wal->durability == DDB_DURABILITY_COMMIT && !DDB__FAULT(LOG_ACK_EARLY);
  return reach(wal, commit, sync, err);
}

ddb_status ddb__wal_flush(ddb__wal *wal, bool sync, ddb_error *err) {
  return reach(wal, ddb__db_journal_commit(wal->db), sync, err);
}

/* ---- Segments ----------------------------------------------------------------------------- */

static ddb_status open_segment(ddb__wal *wal, const char *name, const char *path, int *fd,
                               ddb_error *err) {
  do {
    *fd = ddb__sys_openat(wal->directory, name, O_WRONLY | O_CLOEXEC, 0);
  } while (*fd < 0 && errno == EINTR);
  if (*fd < 0) {
    return ddb__file_fail(err, errno, "open", path);
  }
  off_t at;
  do {
    at = ddb__sys_lseek(*fd, (off_t)sizeof(ddb__native_head));
  } while (at < 0 && errno == EINTR);
  if (at < 0) {
    ddb_status status = ddb__file_fail(err, errno, "seek in", path);
    (void)ddb__sys_close(*fd);
    return status;
  }
  return DDB_OK;
}

ddb_status ddb__wal_segment_new(ddb__wal *wal, uint64_t number, int *fd, uint64_t *seed,
                                ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  char path[PATH_MAX];
  ddb__native_head head = {
      .magic = DDB__LOG_MAGIC,
      .version = DDB__NATIVE_VERSION,
      .segment = number,
      .unused = {wal->identity},
  };
  ddb__file file;
  head.checksum = ddb__checksum_of(&head, offsetof(ddb__native_head, checksum), 0);
  ddb__wal_segment_name(number, name);
  DDB__TRY(ddb__wal_path(wal, name, path, sizeof path, err));
  DDB__TRY(ddb__file_replace(&file, wal->directory, path, err));
  ddb_status status = ddb__file_write(&file, &head, sizeof head, err);
  if (status != DDB_OK) {
    ddb__file_cancel(&file);
    return status;
  }
  DDB__TRY(ddb__file_commit(&file, err)); /* L4 */
  *seed = head.checksum;
  return open_segment(wal, name, path, fd, err);
}

/* Under the mutex: returns as the writer, with the segment before the last one synced; false: the
 * database has failed. */
static bool become_writer_locked(ddb__wal *wal) {
  while (!wal->failed && (wal->writing || wal->old_fd >= 0)) {
    if (wal->old_fd >= 0 && !wal->syncing) {
      sync_turn_locked(wal);
    } else {
      pthread_cond_wait(&wal->changed, &wal->mutex);
    }
  }
  wal->writing = !wal->failed;
  return wal->writing;
}

static void switch_locked(ddb__wal *wal, int fd, uint64_t seed) {
  wal->before = wal->written.offset;
  wal->old_fd = wal->fd;
  wal->fd = fd;
  wal->seed = seed;
  wal->segment++;
  wal->written = (ddb__log_place){wal->segment, sizeof(ddb__native_head)};
  wal->reserved = 0;
  if (wal->pending && !wal->no_reservation) {
    /* Were there no space, the entries would fail as they are written. */
    (void)extend_locked(wal, wal->written.offset + wal->pending, NULL);
  }
}

ddb_status ddb__wal_rotate(ddb__wal *wal, ddb_snapshot **snapshot, ddb_error *err) {
  int fd;
  uint64_t seed;
  DDB__TRY(ddb__wal_segment_new(wal, wal->segment + 1, &fd, &seed, err));
  lock(wal);
  if (!become_writer_locked(wal)) {
    ddb_status status = ddb__wal_refusal_locked(wal, err);
    unlock(wal);
    (void)ddb__sys_close(fd);
    return status;
  }
  ddb__log_place synced = wal->synced;
  unlock(wal);
  ddb__entry *entries = NULL;
  uint64_t commit;
  ddb_status status = ddb__db_journal_take(wal->db, &entries, &commit, snapshot, err);
  if (status == DDB_OK) {
    write_entries(wal, synced, entries, commit);
  }
  lock(wal);
  bool opened = status == DDB_OK;
  if (opened && wal->failed) {
    status = ddb__wal_refusal_locked(wal, err);
  } else if (opened) {
    switch_locked(wal, fd, seed);
  }
  wal->writing = false;
  pthread_cond_broadcast(&wal->changed);
  unlock(wal);
  if (status != DDB_OK) {
    (void)ddb__sys_close(fd);
    if (opened) {
      ddb_snapshot_close(*snapshot);
    }
  }
  return status;
}
