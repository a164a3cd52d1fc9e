/* SPDX-License-Identifier: Apache-2.0 */
/* storage_support.c - see storage_support.h. */
#include "storage_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/root.h"
#include "store/table.h"
#include "store/value.h"

char storage_folder[64];
char storage_target[128];
char storage_other[128];

int storage_setup(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  (void)snprintf(storage_folder, sizeof storage_folder, "%.30s/dictdb-storage-XXXXXX",
                 base ? base : "/tmp");
  assert_non_null(mkdtemp(storage_folder));
  (void)snprintf(storage_target, sizeof storage_target, "%s/target.json", storage_folder);
  (void)snprintf(storage_other, sizeof storage_other, "%s/other.json", storage_folder);
  ddb_db_release(storage_sample()); /* what a thread keeps for good is there from now on */
  return 0;
}

int storage_teardown(void **state) {
  (void)state;
  (void)unlink(storage_target);
  (void)unlink(storage_other);
  assert_int_equal(rmdir(storage_folder), 0); /* nothing else was left in it */
  return 0;
}

storage_text storage_read(const char *path) {
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  struct stat info;
  assert_int_equal(fstat(fd, &info), 0);
  storage_text result = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
  assert_non_null(result.data);
  assert_int_equal(read(fd, result.data, result.size), result.size);
  result.data[result.size] = '\0';
  close(fd);
  return result;
}

void storage_write(const char *path, const char *data, size_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, size), size);
  close(fd);
}

ddb_db *storage_db(void) {
  ddb_db *db;
  assert_ok(ddb_db_new(&db, NULL));
  return db;
}

ddb_table *storage_table(ddb_db *db, const char *name, const ddb_table_options *options) {
  ddb_table *table;
  ddb_error err;
  if (ddb_db_table_create(db, ddb_str_from(name), options, &table, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  return table;
}

ddb_value storage_str(const char *bytes) {
  return ddb_text(ddb_str_from(bytes));
}

/* Inserts one record; the key may be NULL. */
void storage_insert(ddb_table *table, ddb_value *key, size_t count, const ddb_field *fields) {
  ddb_error err;
  if (ddb_table_insert_fields(table, fields, count, key, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
}
ddb_db *storage_load(const char *path) {
  ddb_db *db;
  ddb_error err;
  if (ddb_db_load_json(path, NULL, NULL, &db, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  return db;
}

ddb_db *storage_load_text(const char *json) {
  storage_write(storage_other, json, strlen(json));
  return storage_load(storage_other);
}

bool storage_same_text(ddb_str a, ddb_str b) {
  return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static void assert_same_record(const ddb_record *a, const ddb_record *b) {
  assert_int_equal(ddb_record_count(a), ddb_record_count(b));
  for (size_t i = 0; i < ddb_record_count(a); i++) {
    ddb_value one = ddb_record_value(a, i);
    ddb_value two = ddb_record_value(b, i);
    assert_true(storage_same_text(ddb_record_name(a, i), ddb_record_name(b, i)));
    assert_true(ddb__value_identical(&one, &two));
  }
}

static void assert_same_schema(const ddb_table *a, const ddb_table *b) {
  size_t count;
  size_t other_count;
  const ddb_schema_field *one = ddb_table_schema(a, &count);
  const ddb_schema_field *two = ddb_table_schema(b, &other_count);
  assert_int_equal(count, other_count);
  for (size_t i = 0; i < count; i++) {
    assert_true(storage_same_text(one[i].name, two[i].name));
    assert_int_equal(one[i].types, two[i].types);
    assert_int_equal(one[i].default_value != NULL, two[i].default_value != NULL);
    if (one[i].default_value) {
      assert_true(ddb__value_identical(one[i].default_value, two[i].default_value));
    }
  }
}

static void assert_same_table(ddb_table *a, ddb_table *b) {
  assert_true(storage_same_text(ddb_table_name(a), ddb_table_name(b)));
  assert_true(storage_same_text(ddb_table_primary_key(a), ddb_table_primary_key(b)));
  assert_same_schema(a, b);
  ddb_view one;
  ddb_view two;
  assert_ok(ddb_view_open(a, &one, NULL));
  assert_ok(ddb_view_open(b, &two, NULL));
  assert_int_equal(ddb_view_count(&one), ddb_view_count(&two));
  assert_int_equal(ddb_view_next_key(&one), ddb_view_next_key(&two));
  assert_int_equal(ddb__view_root(&one)->keys_used_up, ddb__view_root(&two)->keys_used_up);
  assert_int_equal(ddb_view_index_count(&one), ddb_view_index_count(&two));
  for (size_t i = 0; i < ddb_view_index_count(&one); i++) {
    ddb_index_info infos[2];
    ddb_view_index_info(&one, i, &infos[0]);
    ddb_view_index_info(&two, i, &infos[1]);
    assert_int_equal(infos[0].kind, infos[1].kind);
    assert_int_equal(infos[0].unique, infos[1].unique);
    assert_int_equal(infos[0].field_count, infos[1].field_count);
    assert_int_equal(infos[0].entry_count, infos[1].entry_count);
    for (size_t f = 0; f < infos[0].field_count; f++) {
      assert_true(
          storage_same_text(ddb_view_index_field(&one, i, f), ddb_view_index_field(&two, i, f)));
    }
  }
  uint64_t at = 0;
  uint64_t other_at = 0;
  const ddb_record *record;
  while ((record = ddb_view_next(&one, &at)) != NULL) {
    assert_same_record(record, ddb_view_next(&two, &other_at));
  }
  ddb_view_close(&two);
  ddb_view_close(&one);
}

void storage_assert_same(ddb_db *a, ddb_db *b) {
  ddb_table **one;
  ddb_table **two;
  size_t count;
  size_t other_count;
  assert_ok(ddb_db_tables(a, &one, &count, NULL));
  assert_ok(ddb_db_tables(b, &two, &other_count, NULL));
  assert_int_equal(count, other_count);
  for (size_t i = 0; i < count; i++) {
    assert_same_table(one[i], two[i]);
  }
  ddb_tables_free(one, count);
  ddb_tables_free(two, other_count);
}

/* Saves, loads, compares, and saves again: the same bytes. */
void storage_assert_survives(ddb_db *db) {
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  ddb_db *back = storage_load(storage_target);
  storage_assert_same(db, back);
  assert_ok(ddb_db_save_json(back, storage_other, NULL, NULL, NULL));
  storage_text one = storage_read(storage_target);
  storage_text two = storage_read(storage_other);
  assert_int_equal(one.size, two.size);
  assert_memory_equal(one.data, two.data, one.size);
  free(one.data);
  free(two.data);
  ddb_db_release(back);
}

/* ---- A database with one of everything ---------------------------------------------------- */

static void fill_people(ddb_db *db) {
  ddb_value nobody = storage_str("nobody");
  ddb_value none = ddb_null();
  const ddb_schema_field fields[] = {
      {DDB_STR("id"), DDB_TYPE_INT, NULL},
      {DDB_STR("name"), DDB_TYPE(DDB_STR_KIND), &nobody},
      {DDB_STR("born"), DDB_TYPE(DDB_DATE) | DDB_TYPE(DDB_NULL), &none},
      {DDB_STR("size"), DDB_TYPE_FLOAT, NULL},
      {DDB_STR("odd"), DDB_TYPE(DDB_INT) | DDB_TYPE(DDB_UUID) | DDB_TYPE(DDB_FLOAT), NULL}};
  ddb_table *table =
      storage_table(db, "people", &(ddb_table_options){.schema = fields, .schema_count = 5});
  INSERT(table, FIELD("size", ddb_int(3)), FIELD("odd", ddb_float(1.5)));
  INSERT(table, FIELD("name", storage_str("Ann")), FIELD("size", ddb_float(1.75)),
         FIELD("odd", ddb_int(1)), FIELD("id", ddb_int(10)));
  INSERT(table, FIELD("name", storage_str("Bob")), FIELD("size", ddb_float(1.9)),
         FIELD("odd", ddb_int(2)));
  ddb_cond *cond;
  ddb_value last = ddb_int(11);
  assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &last, &cond, NULL));
  uint64_t count;
  assert_ok(ddb_table_delete(table, cond, &count, NULL));
  assert_int_equal(count, 1);
  ddb_cond_release(cond);
  assert_ok(ddb_table_index_create(table, DDB_STR("name"), DDB_INDEX_HASH, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("born"), DDB_INDEX_HASH, NULL));
  ddb_table_release(table);
}

#define HIGH "\xed\xa0\xbd"
#define LOW  "\xed\xb8\x80"

static void fill_odd_names(ddb_db *db) {
  ddb_table_options options = {.primary_key = ddb_str_from(HIGH LOW)};
  ddb_table *table = storage_table(db, HIGH LOW, &options);
  INSERT(table, FIELD("$type", storage_str("bytes")), FIELD("value", storage_str("AA==")));
  INSERT(table, FIELD(HIGH LOW, storage_str(HIGH LOW)), FIELD("", ddb_null()));
  INSERT(table, FIELD(HIGH, ddb_int(1)), FIELD("\"quoted\"\n", ddb_int(2)));
  assert_ok(ddb_table_index_create(table, ddb_str_from(HIGH LOW), DDB_INDEX_HASH, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("$type"), DDB_INDEX_HASH, NULL));
  ddb_table_release(table);
  table = storage_table(db, "\xf0\x9f\x98\x80", NULL); /* what the two surrogates would become */
  INSERT(table, FIELD("a", ddb_int(1)));
  ddb_table_release(table);
  ddb_table_release(storage_table(db, "$type", NULL));
  ddb_table_release(storage_table(db, "table 0", NULL));
}

static void fill_values(ddb_db *db) {
  static const uint8_t big[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  ddb_duration duration = {-3, 5};
  ddb_table *table = storage_table(db, "values", NULL);
  ddb_value bigint = {.kind = DDB_BIGINT, .size = sizeof big, .as = {.data = big}};
  ddb_value bytes = {.kind = DDB_BYTES, .size = 3, .as = {.data = "\0\x01\xff"}};
  ddb_value decimal = {.kind = DDB_DECIMAL, .size = 5, .as = {.data = "1E+10"}};
  ddb_value delta = {.kind = DDB_TIMEDELTA, .size = sizeof duration, .as = {.data = &duration}};
  INSERT(table, FIELD("id", storage_str("text")), FIELD("v", bigint));
  INSERT(table, FIELD("id", bytes), FIELD("v", decimal), FIELD("w", delta));
  INSERT(table, FIELD("id", ddb_float(2.5)), FIELD("v", ddb_float(1e300)));
  INSERT(table, FIELD("id", ddb_bool(true)), FIELD("v", ddb_bool(false)));
  INSERT(table, FIELD("v", ddb_null()));
  ddb_table_release(table);
}

ddb_db *storage_sample(void) {
  ddb_db *db = storage_db();
  fill_people(db);
  fill_odd_names(db);
  fill_values(db);
  ddb_table_release(storage_table(db, "empty", NULL));
  return db;
}
