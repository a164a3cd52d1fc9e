/* SPDX-License-Identifier: Apache-2.0 */
/* log_support.c - see log_support.h. */
#include "log_support.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checksum.h"
#include "random_values.h"
#include "rows.h"
#include "store/path.h"

#include "store/table.h"

char log_folder[128];
char log_path[160];
void (*log_committed)(ddb_db *db);

int log_setup(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  base = base ? base : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  (void)snprintf(log_folder, sizeof log_folder, "%.60s/dictdb-log-XXXXXX", base);
  return mkdtemp(log_folder) ? 0 : -1;
}

void log_remove(const char *path) {
  DIR *stream = opendir(path);
  struct dirent *entry;
  while (stream && (entry = readdir(stream)) != NULL) {
    char name[600];
    (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    (void)unlink(name);
  }
  if (stream) {
    closedir(stream);
  }
  (void)rmdir(path);
}

int log_teardown(void **state) {
  (void)state;
  log_remove(log_folder);
  return 0;
}

/* ---- Digests ------------------------------------------------------------------------------ */

static void add_text(ddb__checksum *sum, ddb_str text) {
  ddb__checksum_add(sum, text.data, text.size);
  ddb__checksum_add(sum, "|", 1);
}

static void add_record(ddb__checksum *sum, const ddb_record *record) {
  char text[4096];
  for (size_t i = 0; i < ddb_record_count(record); i++) {
    ddb_value value = ddb_record_value(record, i);
    size_t size = ddb_value_format(&value, text, sizeof text);
    add_text(sum, ddb_record_name(record, i));
    add_text(sum, (ddb_str){text, size < sizeof text ? size : sizeof text - 1});
  }
  add_text(sum, DDB_STR("\n"));
}

static void add_table(ddb__checksum *sum, ddb_table *table) {
  ddb_view view;
  uint64_t at = 0;
  const ddb_record *record;
  assert_ok(ddb_view_open(table, &view, NULL));
  add_text(sum, ddb_table_name(table));
  add_text(sum, ddb_table_primary_key(table));
  int64_t next = ddb_view_next_key(&view);
  ddb__checksum_add(sum, &next, sizeof next);
  for (size_t i = 0; i < ddb_view_index_count(&view); i++) {
    ddb_index_info info;
    ddb_view_index_info(&view, i, &info);
    ddb__checksum_add(sum, &info.kind, sizeof info.kind);
    ddb__checksum_add(sum, info.unique ? "u" : "-", 1);
    for (size_t field = 0; field < info.field_count; field++) {
      char steps[100];
      ddb_path path = ddb_view_index_path(&view, i, field);
      (void)ddb__path_format_steps(path.steps, path.step_count, steps, sizeof steps);
      add_text(sum, path.field);
      add_text(sum, ddb_str_from(steps));
    }
  }
  while ((record = ddb_view_next(&view, &at)) != NULL) {
    add_record(sum, record);
  }
  ddb_view_close(&view);
}

uint64_t log_digest(ddb_db *db) {
  ddb__checksum sum;
  ddb_table **tables;
  size_t count;
  ddb__checksum_start(&sum);
  assert_ok(ddb_db_tables(db, &tables, &count, NULL));
  for (size_t i = 0; i < count; i++) {
    add_table(&sum, tables[i]);
  }
  ddb_tables_free(tables, count);
  return ddb__checksum_value(&sum);
}

/* ---- Opening ------------------------------------------------------------------------------ */

ddb_db *log_open(const char *path, ddb_durability durability) {
  ddb_db *db;
  ddb_error err;
  const ddb_open_options options = {.durability = durability, .interval_ns = 1000000};
  ddb_status status = ddb_db_open(path, &options, &db, &err);
  for (int i = 0; i < 2000 && status == DDB_ERR_IN_USE; i++) {
    usleep(1000); /* released, not closed: a checkpoint may still be ending */
    status = ddb_db_open(path, &options, &db, &err);
  }
  if (status != DDB_OK) {
    fail_msg("%s", err.message);
  }
  assert_true(ddb_db_is_kept(db));
  return db;
}

ddb_status log_try_open(const char *path, ddb_db **db, ddb_error *err) {
  return ddb_db_open(path, NULL, db, err);
}

/* ---- The workload ------------------------------------------------------------------------- */

int log_begin(void **state) {
  (void)state;
  (void)snprintf(log_path, sizeof log_path, "%s/db", log_folder);
  return 0;
}

int log_end(void **state) {
  (void)state;
  log_remove(log_path);
  return 0;
}

void log_close(ddb_db *db) {
  ddb_error err;
  if (ddb_db_close(db, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  ddb_db_release(db);
}

ddb_table *log_table(ddb_db *db, const char *name) {
  ddb_table *table;
  if (ddb_db_table_get(db, ddb_str_from(name), &table, NULL) != DDB_OK) {
    assert_ok(ddb_db_table_create(db, ddb_str_from(name), NULL, &table, NULL));
  }
  return table;
}

uint64_t log_count_rows(const char *path) {
  ddb_db *db = log_open(path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "t");
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  uint64_t count = ddb_view_count(&view);
  ddb_view_close(&view);
  ddb_table_release(table);
  ddb_db_release(db);
  return count;
}

ddb_log_info log_info(ddb_db *db) {
  ddb_log_info info;
  assert_ok(ddb_db_log_info(db, &info, NULL));
  return info;
}

static const char *const names[] = {"a", "b", "c"};

static void committed(ddb_db *db) {
  if (log_committed) {
    log_committed(db);
  }
}

static ddb_table *get_or_make(ddb_db *db, const char *name) {
  ddb_table *table;
  if (ddb_db_table_get(db, ddb_str_from(name), &table, NULL) != DDB_OK) {
    assert_ok(ddb_db_table_create(db, ddb_str_from(name), NULL, &table, NULL));
    committed(db);
  }
  return table;
}

static void insert_random(ddb_table *table, uint64_t *seed) {
  ddb_builder *values;
  char name[16];
  assert_ok(ddb_builder_new(&values, NULL));
  random_value_append(values, seed, 2, false);
  (void)snprintf(name, sizeof name, "f%u", (unsigned)support_below(seed, 3));
  ddb_field fields[] = {{ddb_str_from(name), ddb_builder_value_at(values, 0)},
                        {DDB_STR("a"), ddb_int((int64_t)support_below(seed, 5))}};
  assert_ok(ddb_table_insert_fields(table, fields, 2, NULL, NULL));
  ddb_builder_free(values);
}

static bool missing_or_ok(ddb_status status) {
  return status == DDB_OK || status == DDB_ERR_RECORD_NOT_FOUND || status == DDB_ERR_DUPLICATE_KEY;
}

static void change(ddb_table *table, uint64_t *seed) {
  int64_t id = 1 + (int64_t)support_below(seed, 30);
  switch (support_below(seed, 8)) {
  case 0:
  case 1:
    insert_random(table, seed);
    break;
  case 2:
    assert_true(missing_or_ok(rows_insert(table, id, 5)));
    break;
  case 3:
    assert_true(missing_or_ok(rows_update(table, id, (int64_t)support_below(seed, 100))));
    break;
  case 4:
    assert_true(missing_or_ok(rows_delete(table, id)));
    break;
  case 5:
    assert_ok(rows_update_all(table, (int64_t)support_below(seed, 9)));
    break;
  case 6:
    if (support_below(seed, 6) == 0) {
      assert_ok(rows_delete_all(table));
    }
    break;
  default:
    assert_true(missing_or_ok(rows_insert(table, 1000 + id, 1)));
  }
}

/* Keys that are never given out, and of which no record tells. */
static void skip_keys(ddb_table *table, uint64_t *seed) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  int64_t next = ddb_view_next_key(&view);
  ddb_view_close(&view);
  assert_ok(ddb__table_next_key_raise(table, next + 1 + (int64_t)support_below(seed, 9), NULL));
}

static void change_two(ddb_db *db, uint64_t *seed) {
  ddb_table *tables[] = {get_or_make(db, "a"), get_or_make(db, "b")};
  assert_ok(ddb_tables_write_lock(tables, 2, DDB_WAIT_FOREVER, NULL));
  if (support_below(seed, 4) == 0) {
    skip_keys(tables[support_below(seed, 2)], seed);
  }
  for (uint64_t n = support_below(seed, 5); n > 0; n--) {
    change(tables[support_below(seed, 2)], seed);
  }
  assert_ok(ddb_tables_write_unlock(tables, 2, NULL));
  committed(db);
  ddb_table_release(tables[0]);
  ddb_table_release(tables[1]);
}

static void toggle_index(ddb_table *table, uint64_t *seed) {
  static const ddb_value steps[] = {{.kind = DDB_INT}, {.kind = DDB_BOOL}};
  ddb_path paths[] = {{.field = DDB_STR("a")}, {DDB_STR("f1"), steps, 2}, {.field = DDB_STR("id")}};
  size_t count = 1 + support_below(seed, 3);
  if (ddb_table_index_drop_paths(table, paths, count, NULL, NULL) != DDB_OK) {
    ddb_index_options options = {.paths = paths,
                                 .field_count = count,
                                 .kind = support_below(seed, 2) ? DDB_INDEX_HASH : DDB_INDEX_SORTED,
                                 .unique = count == 3};
    assert_ok(ddb_table_index_add(table, &options, NULL));
  }
}

static int stop_at_once(void *context, uint64_t done, uint64_t total) {
  (void)context;
  (void)done;
  (void)total;
  return 1;
}

log_step log_do(ddb_db *db, uint64_t *seed) {
  uint64_t what = support_below(seed, 100);
  if (what < 12) {
    change_two(db, seed);
    return LOG_STATEMENT;
  }
  if (what < 14) {
    assert_ok(ddb_db_checkpoint(db, NULL, NULL, NULL));
    return LOG_CHECKPOINT;
  }
  if (what < 16) { /* the log goes on in another segment, and needs the one before */
    assert_int_equal(ddb_db_checkpoint(db, stop_at_once, NULL, NULL), DDB_ERR_INTERRUPTED);
    return LOG_STATEMENT;
  }
  if (what < 20) {
    assert_ok(ddb_db_sync(db, NULL));
    return LOG_SYNC;
  }
  ddb_table *table = get_or_make(db, names[support_below(seed, 3)]);
  if (what < 24) {
    assert_ok(ddb_db_table_drop(db, ddb_table_name(table), NULL));
  } else if (what < 30) {
    toggle_index(table, seed);
  } else {
    change(table, seed);
  }
  ddb_table_release(table);
  committed(db);
  return LOG_STATEMENT;
}
