/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set.c - files that belong together: a base, then deltas, each the difference from the file before.
 *
 *   base, sum 7a..   delta 1 {base 7a.., before 7a..}, sum c3..   delta 2 {base 7a.., before c3..}
 *
 * Invariants
 *   1. A delta is applied to the state that it was computed from, or not at all: it names its base and
 *      its predecessor by their sums (native.h), and counts. A JSON file's sum is its checksum.
 *   2. On error nothing is left; the message names the file.
 */
#include <stdlib.h>

#include "base/heap.h"
#include "io/file.h"
#include "io/json_load.h"
#include "io/native_file.h"
#include "io/try.h"
#include "io/wal.h"
#include "store/db.h"
#include "store/write.h"

/* ---- What a file is ----------------------------------------------------------------------- */

static bool has_magic(const char *bytes, size_t size, const char *magic) {
  return size == DDB__NATIVE_MAGIC_SIZE && memcmp(bytes, magic, DDB__NATIVE_MAGIC_SIZE) == 0;
}

static ddb_status find_kind(const char *path, ddb_file_info *info, ddb_error *err) {
  ddb__file file;
  char magic[DDB__NATIVE_MAGIC_SIZE];
  size_t size;
  DDB__TRY(ddb__file_open(&file, path, err));
  ddb_status status = ddb__file_read_full(&file, magic, sizeof magic, &size, err);
  info->size = file.size;
  ddb__file_close(&file);
  DDB__TRY(status);
  info->kind = has_magic(magic, size, DDB__NATIVE_MAGIC)  ? DDB_FILE_NATIVE
               : has_magic(magic, size, DDB__DELTA_MAGIC) ? DDB_FILE_DELTA
               : has_magic(magic, size, DDB__LOG_MAGIC)   ? DDB_FILE_LOG
                                                          : DDB_FILE_JSON;
  return DDB_OK;
}

#define JSON_TAIL    64
#define JSON_SUM_KEY "\"checksum\""

/* Of `"checksum": "0123456789abcdef" }`, the end of a file; 0: it has none. */
static uint64_t json_sum_of(const char *tail, size_t size) {
  const size_t key_size = sizeof JSON_SUM_KEY - 1;
  for (size_t at = size < key_size ? 0 : size - key_size; at > 0; at--) {
    if (memcmp(tail + at, JSON_SUM_KEY, key_size) == 0) {
      const char *value = strchr(tail + at + key_size, '"');
      return value ? strtoull(value + 1, NULL, 16) : 0;
    }
  }
  return 0;
}

static ddb_status json_sum(const char *path, uint64_t *sum, ddb_error *err) {
  ddb__file file;
  char tail[JSON_TAIL + 1];
  size_t size = 0;
  DDB__TRY(ddb__file_open(&file, path, err));
  uint64_t start = file.size > JSON_TAIL ? file.size - JSON_TAIL : 0;
  ddb_status status = ddb__file_seek(&file, start, err);
  if (status == DDB_OK) {
    status = ddb__file_read_full(&file, tail, JSON_TAIL, &size, err);
  }
  ddb__file_close(&file);
  tail[size] = '\0';
  *sum = status == DDB_OK ? json_sum_of(tail, size) : 0;
  return status;
}

static void take_head(ddb_file_info *info, const ddb__native_head *head) {
  info->commit = head->commit;
  info->number = head->segment;
  if (info->kind == DDB_FILE_DELTA) {
    info->base = head->unused[DDB__DELTA_BASE];
    info->before = head->unused[DDB__DELTA_BEFORE];
  }
}

ddb_status ddb_file_describe(const char *path, ddb_file_info *out, ddb_error *err) {
  ddb_file_info info = {0};
  ddb__native_head head;
  DDB__TRY(find_kind(path, &info, err));
  if (info.kind == DDB_FILE_JSON) {
    DDB__TRY(json_sum(path, &info.sum, err));
  } else if (info.kind != DDB_FILE_LOG) {
    DDB__TRY(ddb__native_walk(path, &head, &info.sum, err));
    take_head(&info, &head);
  }
  *out = info;
  return DDB_OK;
}

/* ---- Deltas, written ---------------------------------------------------------------------- */

static ddb_status place_behind(const char *before_path, const ddb_snapshot *before,
                               ddb__native_head *head, ddb_error *err) {
  ddb_file_info info;
  DDB__TRY(ddb_file_describe(before_path, &info, err));
  bool native = info.kind == DDB_FILE_NATIVE || info.kind == DDB_FILE_DELTA;
  if (native ? info.commit != ddb_snapshot_commit(before)
             : info.kind != DDB_FILE_JSON || info.sum == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "'%.200s' is not a file of the snapshot before",
                     before_path);
  }
  bool first = info.kind != DDB_FILE_DELTA;
  head->segment = first ? 1 : info.number + 1;
  head->unused[DDB__DELTA_BASE] = first ? info.sum : info.base;
  head->unused[DDB__DELTA_BEFORE] = info.sum;
  head->unused[DDB__DELTA_BEFORE_COMMIT] = info.commit;
  return DDB_OK;
}

ddb_status ddb_snapshot_save_delta(ddb_snapshot *snapshot, ddb_snapshot *before,
                                   const char *before_path, const char *path,
                                   const ddb_save_options *options, ddb_error *err) {
  ddb__native_head head = {0};
  if (!snapshot || !before || snapshot->db != before->db || before->commit > snapshot->commit) {
    return ddb__fail(err, DDB_ERR_INVALID, "a delta needs two snapshots of a database, in order");
  }
  DDB__TRY(place_behind(before_path, before, &head, err));
  return ddb__native_save(snapshot, before, &head, -1, path, options, NULL, err);
}

/* ---- Chains, read ------------------------------------------------------------------------- */

typedef struct stage {
  ddb_progress call;
  void *context;
  uint64_t before; /* bytes of the files before this one */
  uint64_t total;
} stage;

static int tell(void *context, uint64_t done, uint64_t total) {
  const stage *s = context;
  (void)total;
  return s->call ? s->call(s->context, s->before + done, s->total) : 0;
}

static ddb_status file_size(const char *path, uint64_t *size, ddb_error *err) {
  ddb__file file;
  DDB__TRY(ddb__file_open(&file, path, err));
  *size = file.size;
  ddb__file_close(&file);
  return DDB_OK;
}

static ddb_status load_base(const char *path, stage *s, ddb_db **out, ddb__native_chain *chain,
                            ddb_error *err) {
  ddb_file_info info = {0};
  DDB__TRY(find_kind(path, &info, err));
  if (info.kind == DDB_FILE_JSON) {
    DDB__TRY(json_sum(path, &info.sum, err));
    *chain = (ddb__native_chain){.base = info.sum, .sum = info.sum};
    return ddb__json_load(path, tell, s, out, err);
  }
  ddb__native_head head;
  uint64_t size;
  return ddb__native_load(path, tell, s, out, chain, &head, &size, err);
}

typedef struct chain_load {
  const char *const *paths;
  size_t count;
  size_t at; /* the file in hand */
  stage stage;
  ddb__native_chain chain;
  ddb_error *err; /* never NULL */
} chain_load;

static ddb_status apply_deltas(chain_load *l, ddb__replay *replay) {
  for (l->at = 1; l->at < l->count; l->at++) {
    ddb__native_head head;
    uint64_t size;
    ddb__replay_restart(replay, DDB__REPLAY_DELTA);
    DDB__TRY(ddb__native_read(l->paths[l->at], tell, &l->stage, replay, &l->chain, &head, &size,
                              l->err));
    l->stage.before += size;
  }
  return DDB_OK;
}

static ddb_status load_chain(chain_load *l, ddb_db **out) {
  uint64_t base_size = 0;
  for (l->at = 0; l->at < l->count; l->at++) {
    uint64_t size;
    DDB__TRY(file_size(l->paths[l->at], &size, l->err));
    l->stage.total += size;
    base_size = l->at == 0 ? size : base_size;
  }
  ddb_db *db;
  ddb__replay replay;
  l->at = 0;
  DDB__TRY(load_base(l->paths[0], &l->stage, &db, &l->chain, l->err));
  l->stage.before = base_size;
  ddb_status status = ddb__replay_init(&replay, db, DDB__REPLAY_DELTA, l->err);
  if (status == DDB_OK) {
    status = apply_deltas(l, &replay);
  }
  ddb__replay_fini(&replay);
  if (status != DDB_OK) {
    ddb_db_release(db);
    return status;
  }
  ddb__db_commit_raise(db, l->chain.commit);
  *out = db;
  return DDB_OK;
}

ddb_status ddb_db_load_chain(const char *const *paths, size_t count, ddb_progress progress,
                             void *context, ddb_db **out, size_t *failed, ddb_error *err) {
  ddb_error ignored;
  if (count == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "no file given");
  }
  chain_load l = {.paths = paths,
                  .count = count,
                  .stage = {.call = progress, .context = context},
                  .err = err ? err : &ignored};
  ddb_status status = load_chain(&l, out);
  if (status != DDB_OK) {
    size_t at = l.at < count ? l.at : count - 1;
    if (status == DDB_ERR_CORRUPT) {
      const char *slash = strrchr(paths[at], '/');
      (void)ddb__file_name(l.err, slash ? slash + 1 : paths[at]);
    }
    if (failed) {
      *failed = at;
    }
  }
  return status;
}

/* ---- Automatic keys ----------------------------------------------------------------------- */

static ddb_status raise_key(ddb_table *table, const ddb__root *seen, ddb_error *err) {
  ddb__write write;
  DDB__TRY(ddb__write_begin(&write, table, err));
  ddb__root *next = write.next;
  if (seen->next_key > next->next_key || (seen->keys_used_up && !next->keys_used_up)) {
    next->next_key = seen->next_key;
    next->keys_used_up = seen->keys_used_up;
    write.changed = true;
  }
  return ddb__write_finish(&write, DDB_OK, err);
}

static ddb_status raise_like(ddb_db *db, ddb_table *other, ddb_error *err) {
  ddb_table *table;
  ddb_status status = ddb_db_table_get(db, ddb_table_name(other), &table, err);
  if (status != DDB_OK) {
    return status == DDB_ERR_TABLE_NOT_FOUND ? DDB_OK : status;
  }
  ddb_view view;
  status = ddb_view_open(other, &view, err);
  if (status == DDB_OK) {
    status = raise_key(table, ddb__view_root(&view), err);
    ddb_view_close(&view);
  }
  ddb_table_release(table);
  return status;
}

static ddb_status raise_by_json(ddb_db *db, const char *path, ddb_error *err) {
  ddb_db *other;
  ddb_table **tables;
  size_t count;
  DDB__TRY(ddb__json_load(path, NULL, NULL, &other, err));
  ddb_status status = ddb_db_tables(other, &tables, &count, err);
  if (status == DDB_OK) {
    for (size_t i = 0; i < count && status == DDB_OK; i++) {
      status = raise_like(db, tables[i], err);
    }
    ddb_tables_free(tables, count);
  }
  ddb_db_release(other);
  return status;
}

/* Looks at the form of every operation of a native file; raises the keys of db's tables. */
static ddb_status scan(ddb_db *db, const char *path, ddb_progress progress, void *context,
                       ddb__native_head *head, uint64_t *sum, uint64_t *operations,
                       ddb_error *err) {
  ddb_error ignored;
  ddb__native_chain chain = {0};
  ddb__replay replay;
  uint64_t size;
  err = err ? err : &ignored;
  DDB__TRY(ddb__replay_init(&replay, db, DDB__REPLAY_SCAN, err));
  ddb_status status = ddb__native_read(path, progress, context, &replay, &chain, head, &size, err);
  *sum = chain.sum;
  *operations = replay.operations;
  ddb__replay_fini(&replay);
  return status;
}

ddb_status ddb_db_keys_raise(ddb_db *db, const char *path, ddb_error *err) {
  ddb_file_info info = {0};
  DDB__TRY(find_kind(path, &info, err));
  if (info.kind == DDB_FILE_JSON) {
    return raise_by_json(db, path, err);
  }
  ddb__native_head head;
  uint64_t sum;
  uint64_t operations;
  return scan(db, path, NULL, NULL, &head, &sum, &operations, err);
}

/* ---- Checking a file ---------------------------------------------------------------------- */

static ddb_status count_in(ddb_db *db, ddb_file_info *info, ddb_error *err) {
  ddb_table **tables;
  size_t count;
  DDB__TRY(ddb_db_tables(db, &tables, &count, err));
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    ddb_view view;
    status = ddb_view_open(tables[i], &view, err);
    if (status == DDB_OK) {
      info->record_count += ddb_view_count(&view);
      ddb_view_close(&view);
    }
  }
  info->table_count = count;
  ddb_tables_free(tables, count);
  return status;
}

ddb_status ddb_directory_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                              ddb_error *err) {
  ddb_file_info info = {0};
  const ddb_open_options options = {.progress = progress, .context = context};
  return ddb__wal_load(path, &options, out, &info, err);
}

ddb_status ddb_directory_verify(const char *path, ddb_progress progress, void *context,
                                ddb_file_info *out, ddb_error *err) {
  ddb_file_info info = {0};
  const ddb_open_options options = {.progress = progress, .context = context};
  ddb_db *db;
  DDB__TRY(ddb__wal_load(path, &options, &db, &info, err));
  ddb_status status = count_in(db, &info, err);
  ddb_db_release(db);
  if (status == DDB_OK) {
    *out = info;
  }
  return status;
}

static ddb_status verify_database(const char *path, ddb_progress progress, void *context,
                                  ddb_file_info *info, ddb_error *err) {
  stage s = {.call = progress, .context = context, .total = info->size};
  ddb__native_chain chain = {0};
  ddb_db *db;
  DDB__TRY(load_base(path, &s, &db, &chain, err));
  info->sum = chain.sum;
  info->commit = chain.commit;
  ddb_status status = count_in(db, info, err);
  ddb_db_release(db);
  return status;
}

static ddb_status verify_delta(const char *path, ddb_progress progress, void *context,
                               ddb_file_info *info, ddb_error *err) {
  ddb__native_head head;
  ddb_db *empty;
  DDB__TRY(ddb_db_new(&empty, err));
  ddb_status status =
      scan(empty, path, progress, context, &head, &info->sum, &info->operation_count, err);
  ddb_db_release(empty);
  if (status == DDB_OK) {
    take_head(info, &head);
  }
  return status;
}

ddb_status ddb_file_verify(const char *path, ddb_progress progress, void *context,
                           ddb_file_info *out, ddb_error *err) {
  ddb_file_info info = {0};
  DDB__TRY(find_kind(path, &info, err));
  info.whole_size = info.size;
  switch (info.kind) {
  case DDB_FILE_DELTA:
    DDB__TRY(verify_delta(path, progress, context, &info, err));
    break;
  case DDB_FILE_LOG:
    DDB__TRY(ddb__wal_segment_verify(path, progress, context, &info, err));
    break;
  default:
    DDB__TRY(verify_database(path, progress, context, &info, err));
  }
  *out = info;
  return DDB_OK;
}
