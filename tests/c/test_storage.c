/* SPDX-License-Identifier: Apache-2.0 */
/* test_storage.c - databases to JSON files and back: equal in everything, of one instant. */
#include <sys/stat.h>
#include <time.h>

#include "storage_support.h"

#include "io/checksum.h"

static void test_everything_survives(void **state) {
  (void)state;
  ddb_db *db = storage_sample();
  storage_assert_survives(db);
  ddb_db_release(db);
  db = storage_db();
  storage_assert_survives(db);
  ddb_db_release(db);
}

static void test_automatic_keys_are_not_used_again(void **state) {
  (void)state;
  ddb_db *db = storage_sample();
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  ddb_db_release(db);
  db = storage_load(storage_target);
  ddb_table *table;
  assert_ok(ddb_db_table_get(db, DDB_STR("people"), &table, NULL));
  ddb_value key;
  storage_insert(table, &key, 2,
                 (ddb_field[]){FIELD("size", ddb_int(1)), FIELD("odd", ddb_int(1))});
  assert_int_equal(key.as.integer, 12); /* 11 was deleted before the save */
  ddb_table_release(table);
  ddb_db_release(db);
}

static void test_used_up_keys_stay_used_up(void **state) {
  (void)state;
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  INSERT(table, FIELD("id", ddb_int(INT64_MAX)));
  assert_ok(ddb_table_delete(table, NULL, NULL, NULL));
  storage_assert_survives(db);
  ddb_table_release(table);
  ddb_db_release(db);
  db = storage_load(storage_target);
  assert_ok(ddb_db_table_get(db, DDB_STR("t"), &table, NULL));
  ddb_field field = FIELD("a", ddb_int(1));
  assert_int_equal(ddb_table_insert_fields(table, &field, 1, NULL, NULL), DDB_ERR_LIMIT);
  ddb_table_release(table);
  ddb_db_release(db);
}

/* A record that was inserted without validation: nothing of it is lost, and its table says so. */
static void test_exceptions_to_a_schema(void **state) {
  (void)state;
  ddb_db *db = storage_db();
  const ddb_schema_field fields[] = {{DDB_STR("n"), DDB_TYPE_INT, NULL}};
  ddb_table *table =
      storage_table(db, "t", &(ddb_table_options){.schema = fields, .schema_count = 1});
  ddb_builder *batch;
  const ddb_shape *shape;
  ddb_str name = DDB_STR("n");
  ddb_value value = storage_str("not an int");
  assert_ok(ddb_builder_new(&batch, NULL));
  assert_ok(ddb_table_shape(table, DDB_SHAPE_RECORD, &name, 1, &shape, NULL));
  assert_ok(ddb_builder_record_begin(batch, shape, false, NULL));
  assert_ok(ddb_builder_append(batch, &value, NULL));
  assert_ok(ddb_builder_end(batch, NULL));
  assert_ok(ddb_table_insert(table, batch, NULL, NULL));
  ddb_builder_free(batch);
  storage_assert_survives(db);
  storage_text saved = storage_read(storage_target);
  assert_non_null(strstr(saved.data, "\"schema\": null"));
  assert_non_null(strstr(saved.data, "\"schema_exceptions\": true"));
  free(saved.data);
  ddb_table_release(table);
  ddb_db_release(db);
}

/* More records than a batch, deleted and updated in between: order and contents. */
static void test_many_records(void **state) {
  (void)state;
  uint64_t seed = support_seed("many records");
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "many", NULL);
  ddb_builder *batch;
  assert_ok(ddb_builder_new(&batch, NULL));
  const ddb_str names[] = {DDB_STR("a"), DDB_STR("b"), DDB_STR("c")};
  for (int i = 0; i < 10000; i++) {
    const ddb_shape *shape;
    size_t count = 1 + support_below(&seed, 3);
    assert_ok(ddb_table_shape(table, DDB_SHAPE_RECORD, names, count, &shape, NULL));
    assert_ok(ddb_builder_record_begin(batch, shape, true, NULL));
    for (size_t f = 0; f < count; f++) {
      ddb_value value = ddb_int((int64_t)support_below(&seed, 100));
      assert_ok(ddb_builder_append(batch, &value, NULL));
    }
    assert_ok(ddb_builder_end(batch, NULL));
  }
  assert_ok(ddb_table_insert(table, batch, NULL, NULL));
  ddb_builder_free(batch);
  ddb_cond *cond;
  ddb_value seven = ddb_int(7);
  uint64_t count;
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_LT, &seven, &cond, NULL));
  assert_ok(ddb_table_delete(table, cond, &count, NULL));
  assert_true(count > 100);
  ddb_cond_release(cond);
  storage_assert_survives(db);
  ddb_table_release(table);
  ddb_db_release(db);
}

/* Large records: batches are bounded in bytes too, and buffers are crossed everywhere. */
static void test_large_records(void **state) {
  (void)state;
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "large", NULL);
  size_t size = 3000000;
  char *bytes = malloc(size);
  assert_non_null(bytes);
  for (size_t i = 0; i < size; i++) {
    bytes[i] = (char)('a' + i % 23);
  }
  for (size_t i = 0; i < 5; i++) {
    INSERT(table, FIELD("t", ddb_text((ddb_str){bytes, size - i})), FIELD("n", ddb_int((int)i)));
  }
  free(bytes);
  storage_assert_survives(db);
  ddb_table_release(table);
  ddb_db_release(db);
}

/* ---- Goldens ------------------------------------------------------------------------------ */

static void test_golden_file(void **state) {
  (void)state;
  static const char before_checksum[] =
      "{\n\"format\": {\"name\": \"dictdb\", \"version\": 1},\n\"tables\": {\n"
      "\"users\": {\"primary_key\": \"id\",\n"
      "\"schema\": {\"id\": \"int\", \"name\": \"str\"},\n"
      "\"schema_types\": [{\"name\": \"id\", \"types\": [\"int\"]},\n"
      "{\"name\": \"name\", \"types\": [\"str\"]}],\n"
      "\"next_key\": 2, \"indexes\": [{\"field\": \"name\", \"kind\": \"hash\"}],\n"
      "\"records\": [\n{\"name\": \"Ann\", \"id\": 1}]},\n"
      "\"log\": {\"primary_key\": \"n\",\n\"schema\": null, \"schema_types\": null,\n"
      "\"next_key\": 1, \"indexes\": [],\n\"records\": []}\n},\n\"checksum\":";
  ddb_db *db = storage_db();
  const ddb_schema_field fields[] = {{DDB_STR("id"), DDB_TYPE_INT, NULL},
                                     {DDB_STR("name"), DDB_TYPE(DDB_STR_KIND), NULL}};
  ddb_table *table =
      storage_table(db, "users", &(ddb_table_options){.schema = fields, .schema_count = 2});
  INSERT(table, FIELD("name", storage_str("Ann")), FIELD("id", ddb_int(1)));
  assert_ok(ddb_table_index_create(table, DDB_STR("name"), DDB_INDEX_HASH, NULL));
  ddb_table_release(table);
  ddb_view view;
  table = storage_table(db, "log", &(ddb_table_options){.primary_key = DDB_STR("n")});
  assert_ok(ddb_view_open(table, &view, NULL));
  int64_t first_key = ddb_view_next_key(&view);
  ddb_view_close(&view);
  ddb_table_release(table);
  assert_int_equal(first_key, 1);
  storage_assert_survives(db);
  storage_text saved = storage_read(storage_target);
  assert_true(saved.size > sizeof before_checksum);
  char sum[DDB__CHECKSUM_TEXT_SIZE];
  ddb__checksum checksum;
  ddb__checksum_start(&checksum);
  ddb__checksum_add(&checksum, before_checksum, sizeof before_checksum - 1);
  ddb__checksum_text(&checksum, sum);
  if (memcmp(saved.data, before_checksum, sizeof before_checksum - 1) != 0) {
    fail_msg("%s", saved.data);
  }
  char end[64];
  (void)snprintf(end, sizeof end, " \"%.16s\"\n}\n", sum);
  assert_string_equal(saved.data + sizeof before_checksum - 1, end);
  free(saved.data);
  ddb_db_release(db);
}

static void test_known_checksum(void **state) {
  (void)state;
  char sum[DDB__CHECKSUM_TEXT_SIZE];
  ddb__checksum checksum;
  ddb__checksum_start(&checksum);
  ddb__checksum_text(&checksum, sum);
  assert_memory_equal(sum, "2d06800538d394c2", 16); /* XXH3-64 of nothing */
}

/* ---- The original layout ------------------------------------------------------------------ */

static void test_original_layout(void **state) {
  (void)state;
  ddb_db *db = storage_load_text(
      "{\"tables\": {\"users\": {\"primary_key\": \"uid\", \"schema\": {\"uid\": \"int\", "
      "\"name\": "
      "\"str\", \"x\": \"float\", \"l\": \"list\", \"d\": \"dict\", \"b\": \"bool\"}, \"records\": "
      "[{\"uid\": 7, \"name\": \"A\", \"x\": 1.5, \"l\": [1], \"d\": {\"$type\": \"x\"}, \"b\": "
      "true}]}, \"none\": {\"primary_key\": \"id\", \"schema\": null, \"records\": [{\"id\": 3}, "
      "{\"id\": \"k\", \"v\": {\"$type\": \"tuple\", \"value\": [1]}}, {\"w\": 1}]}}}");
  ddb_table *users;
  ddb_table *none;
  assert_ok(ddb_db_table_get(db, DDB_STR("users"), &users, NULL));
  assert_ok(ddb_db_table_get(db, DDB_STR("none"), &none, NULL));
  size_t count;
  (void)ddb_table_schema(users, &count);
  assert_int_equal(count, 6);
  ddb_view view;
  assert_ok(ddb_view_open(none, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 3);
  const ddb_record *record;
  ddb_value key = storage_str("k");
  assert_ok(ddb_view_get(&view, &key, &record, NULL));
  assert_int_equal(ddb_record_get(record, DDB_STR("v")).kind, DDB_DICT);
  key = ddb_int(4); /* given to the record without one */
  assert_ok(ddb_view_get(&view, &key, &record, NULL));
  assert_non_null(record);
  ddb_view_close(&view);
  ddb_table_release(users);
  ddb_table_release(none);
  storage_assert_survives(db);
  ddb_db_release(db);
}

/* Keys in another order, as a pretty-printer would leave them. */
static void test_original_layout_in_another_order(void **state) {
  (void)state;
  ddb_db *db = storage_load_text(
      "{\"tables\": {\"a\": {\"primary_key\": \"k\", \"records\": [{\"k\": 1, \"n\": \"x\"}, "
      "{\"k\": 2, \"n\": \"y\"}], \"schema\": {\"k\": \"int\", \"n\": \"str\"}}, \"b\": "
      "{\"records\": [], \"schema\": null, \"primary_key\": \"z\"}, \"c\": {\"records\": [{\"id\": "
      "1}]}}}");
  ddb_table *table;
  ddb_view view;
  size_t count;
  assert_ok(ddb_db_table_get(db, DDB_STR("a"), &table, NULL));
  (void)ddb_table_schema(table, &count);
  assert_int_equal(count, 2);
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 2);
  ddb_view_close(&view);
  ddb_table_release(table);
  assert_ok(ddb_db_table_get(db, DDB_STR("b"), &table, NULL));
  assert_true(storage_same_text(ddb_table_primary_key(table), DDB_STR("z")));
  ddb_table_release(table);
  assert_ok(ddb_db_table_get(db, DDB_STR("c"), &table, NULL));
  ddb_table_release(table);
  storage_assert_survives(db);
  ddb_db_release(db);
}

/* The same when the records are larger than the reader's buffer. */
static void test_records_are_read_again(void **state) {
  (void)state;
  size_t capacity = 2000000;
  char *json = malloc(capacity);
  assert_non_null(json);
  size_t size = (size_t)snprintf(json, capacity, "{\"tables\": {\"a\": {\"records\": [");
  for (int i = 0; i < 20000; i++) {
    size += (size_t)snprintf(json + size, capacity - size,
                             "%s{\"key\": %d, \"text\": \"number %d\"}", i ? ", " : "", i, i);
  }
  (void)snprintf(json + size, capacity - size,
                 "], \"primary_key\": \"key\"}, \"b\": {\"records\": [{\"id\": 5}]}}}");
  ddb_db *db = storage_load_text(json);
  free(json);
  ddb_table *table;
  ddb_view view;
  assert_ok(ddb_db_table_get(db, DDB_STR("a"), &table, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 20000);
  ddb_view_close(&view);
  ddb_table_release(table);
  storage_assert_survives(db);
  ddb_db_release(db);
}

/* ---- Progress and instants ---------------------------------------------------------------- */

typedef struct watch {
  uint64_t calls;
  uint64_t last;
  uint64_t total;
  uint64_t stop_at; /* 0: never */
  ddb_table *table; /* NULL, or where each call inserts a record */
} watch;

static int look(void *context, uint64_t done, uint64_t total) {
  watch *seen = context;
  assert_true(done >= seen->last);
  assert_true(total == 0 || done <= total);
  assert_true(seen->calls == 0 || total == seen->total);
  seen->last = done;
  seen->total = total;
  if (seen->table) {
    INSERT(seen->table, FIELD("late", ddb_int(1)));
  }
  return ++seen->calls == seen->stop_at;
}

static ddb_db *db_of_many(uint64_t count, ddb_table **out) {
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "many", NULL);
  for (uint64_t i = 0; i < count; i++) {
    INSERT(table,
           FIELD("text", storage_str("some text that takes its room in the file, more than a bit")),
           FIELD("number", ddb_int((int64_t)i)));
  }
  *out = table;
  return db;
}

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Told at each hundredth, and each tenth of a second where that takes longer. */
static void assert_told(const watch *seen, uint64_t began_ms, uint64_t total) {
  assert_int_equal(seen->last, total);
  assert_int_equal(seen->total, total);
  assert_true(seen->calls > 5 && seen->calls < 110 + (now_ms() - began_ms) / 100);
}

static void test_progress(void **state) {
  (void)state;
  ddb_table *table;
  ddb_db *db = db_of_many(50000, &table);
  watch seen = {0};
  uint64_t began_ms = now_ms();
  assert_ok(ddb_db_save_json(db, storage_target, look, &seen, NULL));
  assert_told(&seen, began_ms, 50000);
  uint64_t calls = seen.calls;
  struct stat info;
  assert_int_equal(stat(storage_target, &info), 0);
  seen = (watch){0};
  ddb_db *back;
  began_ms = now_ms();
  assert_ok(ddb_db_load_json(storage_target, look, &seen, &back, NULL));
  assert_told(&seen, began_ms, (uint64_t)info.st_size);
  ddb_db_release(back);
  uint64_t bytes = ddb_process_memory();
  for (uint64_t stop = 1; stop <= seen.calls; stop += stop < seen.calls - 1 ? seen.calls / 7 : 1) {
    watch stopping = {.stop_at = stop};
    ddb_status status = ddb_db_load_json(storage_target, look, &stopping, &back, NULL);
    if (stopping.calls < stop) { /* slow work is shown more often: this one was faster */
      assert_ok(status);
      ddb_db_release(back);
    } else {
      assert_int_equal(status, DDB_ERR_INTERRUPTED);
    }
    assert_int_equal(ddb_process_memory(), bytes);
  }
  storage_write(storage_target, "old", 3);
  for (uint64_t stop = 1; stop <= calls; stop += calls / 5) {
    watch stopping = {.stop_at = stop};
    ddb_status status = ddb_db_save_json(db, storage_target, look, &stopping, NULL);
    if (stopping.calls < stop) {
      assert_ok(status);
      storage_write(storage_target, "old", 3);
      continue;
    }
    assert_int_equal(status, DDB_ERR_INTERRUPTED);
    storage_text old = storage_read(storage_target);
    assert_string_equal(old.data, "old");
    free(old.data);
    assert_int_equal(ddb_process_memory(), bytes);
  }
  ddb_table_release(table);
  ddb_db_release(db);
}

/* What is inserted while a save goes on is not in it, nor what was dropped left out. */
static void test_a_save_is_one_instant(void **state) {
  (void)state;
  ddb_table *table;
  ddb_db *db = db_of_many(20000, &table);
  ddb_table_release(storage_table(db, "dropped", NULL));
  ddb_snapshot *snapshot;
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  assert_ok(ddb_db_table_drop(db, DDB_STR("dropped"), NULL));
  ddb_table_release(storage_table(db, "new", NULL));
  watch seen = {.table = table};
  assert_ok(ddb_snapshot_save_json(snapshot, storage_target, look, &seen, NULL));
  assert_true(seen.calls > 3);
  assert_int_equal(seen.last, 20000);
  ddb_db *back = storage_load(storage_target);
  ddb_table **tables;
  size_t count;
  assert_ok(ddb_db_tables(back, &tables, &count, NULL));
  assert_int_equal(count, 2);
  assert_true(storage_same_text(ddb_table_name(tables[1]), DDB_STR("dropped")));
  ddb_view view;
  assert_ok(ddb_view_open(tables[0], &view, NULL));
  assert_int_equal(ddb_view_count(&view), 20000);
  ddb_view_close(&view);
  ddb_tables_free(tables, count);
  ddb_db_release(back);
  ddb_snapshot_close(snapshot);
  ddb_table_release(table);
  ddb_db_release(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_survives),
      cmocka_unit_test(test_automatic_keys_are_not_used_again),
      cmocka_unit_test(test_used_up_keys_stay_used_up),
      cmocka_unit_test(test_exceptions_to_a_schema),
      cmocka_unit_test(test_many_records),
      cmocka_unit_test(test_large_records),
      cmocka_unit_test(test_golden_file),
      cmocka_unit_test(test_known_checksum),
      cmocka_unit_test(test_original_layout),
      cmocka_unit_test(test_original_layout_in_another_order),
      cmocka_unit_test(test_records_are_read_again),
      cmocka_unit_test(test_progress),
      cmocka_unit_test(test_a_save_is_one_instant),
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, storage_setup, storage_teardown);
}
