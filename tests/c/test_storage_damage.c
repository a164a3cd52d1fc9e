/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_storage_damage.c - files that must be refused, memory and system calls that fail: an error
 * that names the place, the old file untouched, nothing leaked.
 */
#include <errno.h>

#include "storage_support.h"

#include "io/checksum.h"
#include "io/syscalls.h"

/* ---- Damage ------------------------------------------------------------------------------- */

static ddb_status try_load(const char *data, size_t size, ddb_error *err, ddb_db **db) {
  storage_write(storage_other, data, size);
  return ddb_db_load_json(storage_other, NULL, NULL, db, err);
}

static void assert_corrupt(const char *json, const char *expected_text) {
  ddb_error err = {0};
  ddb_db *db;
  uint64_t bytes = ddb_process_memory();
  ddb_status status = try_load(json, strlen(json), &err, &db);
  if (status != DDB_ERR_CORRUPT || !strstr(err.message, expected_text)) {
    fail_msg("%s: %s (%s)", json, ddb_status_name(status), err.message);
  }
  assert_int_equal(ddb_process_memory(), bytes);
}

static void test_refusals(void **state) {
  (void)state;
#define TABLE(rest) "{\"tables\": {\"t\": {\"primary_key\": \"id\", \"schema\": " rest "}}}"
  assert_corrupt("", "cut off");
  assert_corrupt("[]", "not a DictDB file");
  assert_corrupt("{}", "no tables");
  assert_corrupt("{\"a\": 1}", "unexpected key 'a'");
  assert_corrupt("{\"tables\": []}", "not an object");
  assert_corrupt("{\"tables\": {}, \"tables\": {}}", "unexpected key");
  assert_corrupt("{\"tables\": {}} x", "end of the file");
  assert_corrupt("{\"tables\": {}, \"format\": {}}", "unexpected key 'format'");
  assert_corrupt("{\"tables\": {}, \"checksum\": \"\"}", "unexpected key 'checksum'");
  assert_corrupt("{\"tables\": {\"t\": 1}}", "table 't'");
  assert_corrupt("{\"tables\": {\"\": {\"records\": []}}}", "name");
  assert_corrupt("{\"tables\": {\"t\": {}}}", "\"records\" is missing");
  assert_corrupt("{\"tables\": {\"t\": {\"records\": 1}}}", "not a list");
  assert_corrupt("{\"tables\": {\"t\": {\"next_key\": 1, \"records\": []}}}", "unknown property");
  assert_corrupt("{\"tables\": {\"t\": {\"records\": [], \"records\": []}}}", "twice");
  assert_corrupt("{\"tables\": {\"t\": {\"records\": []}, \"t\": {\"records\": []}}}",
                 "exists already");
  assert_corrupt(TABLE("1, \"records\": []"), "\"schema\"");
  assert_corrupt(TABLE("{}, \"records\": []"), "no fields");
  assert_corrupt(TABLE("{\"a\": \"date\"}, \"records\": []"), "unknown type 'date'");
  assert_corrupt(TABLE("{\"a\": \"int\", \"a\": \"int\"}, \"records\": []"), "'a'");
  assert_corrupt(TABLE("null, \"records\": [1]"), "table 't', record 1");
  assert_corrupt(TABLE("null, \"records\": [{\"id\": 1}, {\"id\": 2}, {\"id\": 1}]"),
                 "table 't', record 3");
  assert_corrupt(TABLE("null, \"records\": [{\"id\": 1}, {\"id\": 1.0}]"), "record 2");
  assert_corrupt(TABLE("null, \"records\": [{\"id\": null}]"), "record 1");
  assert_corrupt(TABLE("null, \"records\": [{\"id\": 1}, {\"id\": NaN}]"), "record 2");
  assert_corrupt(TABLE("null, \"records\": [{\"id\": [1]}]"), "record 1");
  assert_corrupt(TABLE("null, \"records\": [{\"a\": 1, \"a\": 2}]"), "record 1");
  assert_corrupt(TABLE("null, \"records\": [{\"a\": {\"b\": 1, \"b\": 2}}]"), "record 1");
  assert_corrupt(TABLE("null, \"records\": [{\"a\": \"\\x\"}]"), "record 1");
  assert_corrupt(
      TABLE("{\"id\": \"int\", \"s\": \"str\"}, \"records\": [{\"id\": 1, \"s\": \"a\"}, "
            "{\"id\": 2, \"s\": 3}]"),
      "table 't', record 2");
  assert_corrupt(TABLE("{\"id\": \"int\", \"s\": \"str\"}, \"records\": [{\"id\": 1}]"),
                 "record 1");
  assert_corrupt(TABLE("{\"id\": \"int\"}, \"records\": [{\"id\": 1, \"more\": 1}]"), "record 1");
#undef TABLE
}

static void test_errors_name_the_place(void **state) {
  (void)state;
  const char *json = "{\"tables\": {\"t\": {\"primary_key\": \"id\", \"schema\": {\"id\": \"int\", "
                     "\"s\": \"str\"}, \"records\": [{\"id\": 1, \"s\": 5}]}}}";
  ddb_error err = {0};
  ddb_db *db;
  assert_int_equal(try_load(json, strlen(json), &err, &db), DDB_ERR_CORRUPT);
  assert_string_equal(err.table, "t");
  assert_string_equal(err.field, "s");
  assert_string_equal(err.expected, "str");
  assert_string_equal(err.given, "int");
  assert_int_equal(err.offset, strstr(json, "{\"id\": 1") - json);
}

/* A file that says `body` with a mark and a checksum that holds. */
static void assert_marked_corrupt(const char *body, const char *expected_text) {
  char json[2000];
  char sum[DDB__CHECKSUM_TEXT_SIZE];
  ddb__checksum checksum;
  int size =
      snprintf(json, sizeof json,
               "{\"format\": {\"name\": \"dictdb\", \"version\": 1}, \"tables\": {\"t\": %s}, "
               "\"checksum\":",
               body);
  ddb__checksum_start(&checksum);
  ddb__checksum_add(&checksum, json, (size_t)size);
  ddb__checksum_text(&checksum, sum);
  (void)snprintf(json + size, sizeof json - (size_t)size, "\"%.16s\"}", sum);
  if (expected_text) {
    assert_corrupt(json, expected_text);
  } else {
    ddb_db_release(storage_load_text(json));
  }
}

static void test_refusals_with_a_mark(void **state) {
  (void)state;
#define HEAD "{\"primary_key\": \"id\", \"schema\": null, \"schema_types\": "
#define TAIL ", \"next_key\": 1, \"indexes\": []}"
  assert_marked_corrupt(HEAD "null, \"records\": []" TAIL, NULL);
  assert_marked_corrupt(HEAD "null, \"records\": [{\"id\": 1}]" TAIL, NULL);
  assert_marked_corrupt("{\"records\": []" TAIL, "properties are missing");
  assert_marked_corrupt(HEAD "null, \"records\": []}", "is missing");
  assert_marked_corrupt(HEAD "null, \"what\": 1, \"records\": []" TAIL, "unknown property 'what'");
  assert_marked_corrupt(HEAD "null, \"records\": [{\"a\": 1}]" TAIL, "primary key is missing");
  assert_marked_corrupt(HEAD
                        "null, \"records\": [{\"id\": {\"$type\": \"no\", \"value\": 1}}]" TAIL,
                        "no such $type");
  assert_marked_corrupt(HEAD "null, \"records\": [{\"$type\": \"tuple\", \"value\": []}]" TAIL,
                        "record 1");
  assert_marked_corrupt(HEAD "null, \"records\": [{\"$type\": \"dict\", \"value\": [[1, 2]]}]" TAIL,
                        "record 1");
  assert_marked_corrupt(HEAD "null, \"records\": [], \"next_key\": 1.5, \"indexes\": []}",
                        "next_key");
  assert_marked_corrupt(HEAD "null, \"records\": [], \"next_key\": 1, \"indexes\": [1]}", "field");
  assert_marked_corrupt(HEAD
                        "null, \"records\": [], \"next_key\": 1, \"indexes\": [{\"field\": \"a\", "
                        "\"kind\": \"tree\"}]}",
                        "no such kind of index");
  assert_marked_corrupt(HEAD
                        "null, \"records\": [], \"next_key\": 1, \"indexes\": [{\"field\": \"a\", "
                        "\"kind\": \"hash\"}, {\"field\": \"a\", \"kind\": \"hash\"}]}",
                        "table 't'");
#define INDEX(over)                                                                                \
  HEAD "null, \"records\": [], \"next_key\": 1, \"indexes\": [{" over ", \"kind\": \"hash\"}]}"
  assert_marked_corrupt(INDEX("\"field\": [\"a\", 0, \"b\"]"), NULL);
  assert_marked_corrupt(INDEX("\"fields\": [[\"a\", 0], \"a\", [\"a\"]]"), "twice");
  assert_marked_corrupt(INDEX("\"field\": []"), "neither a name nor");
  assert_marked_corrupt(INDEX("\"field\": [1, \"a\"]"), "neither a name nor");
  assert_marked_corrupt(INDEX("\"field\": {\"a\": 1}"), "neither a name nor");
  assert_marked_corrupt(INDEX("\"field\": [\"a\", [1]]"), "unhashable");
  assert_marked_corrupt(INDEX("\"fields\": []"), "no list of 1 to");
  assert_marked_corrupt(INDEX("\"fields\": \"a\""), "no list of 1 to");
  assert_marked_corrupt(INDEX("\"what\": \"a\""), "is missing");
#undef INDEX
  assert_marked_corrupt(HEAD "[], \"records\": []" TAIL, "no fields");
  assert_marked_corrupt(HEAD "[{\"name\": \"id\"}], \"records\": []" TAIL, "types");
  assert_marked_corrupt(HEAD "[{\"name\": \"id\", \"types\": [\"no\"]}], \"records\": []" TAIL,
                        "unknown type 'no'");
  assert_marked_corrupt(HEAD
                        "[{\"name\": \"id\", \"types\": [\"int\"]}, {\"name\": \"a\", \"types\": "
                        "[\"int\"], \"default\": \"x\"}], \"records\": []" TAIL,
                        "'a'");
  assert_marked_corrupt(HEAD
                        "[{\"name\": \"id\", \"types\": [\"int\"]}, {\"name\": \"a\", \"types\": "
                        "[\"int\"], \"default\": 1}], \"records\": [{\"id\": 1}]" TAIL,
                        "fields of the schema are missing");
  assert_corrupt("{\"format\": {\"name\": \"dictdb\", \"version\": 2}, \"tables\": {}}",
                 "version 2");
  assert_corrupt("{\"format\": {\"name\": \"other\", \"version\": 1}, \"tables\": {}}",
                 "not a DictDB");
  assert_corrupt("{\"format\": 1, \"tables\": {}}", "not a DictDB");
  assert_corrupt("{\"format\": {\"name\": \"dictdb\", \"version\": 1}, \"tables\": {}}",
                 "no checksum");
  assert_corrupt("{\"format\": {\"name\": \"dictdb\", \"version\": 1}, \"checksum\": \"\"}",
                 "unexpected key");
  assert_corrupt(
      "{\"format\": {\"name\": \"dictdb\", \"version\": 1}, \"tables\": {}, \"checksum\": "
      "\"0000000000000000\"}",
      "checksum does not hold");
#undef HEAD
#undef TAIL
}

/* Every bit of a file flipped, every truncation: found, or without any consequence. */
static void test_every_damage_is_found(void **state) {
  (void)state;
  uint64_t seed = support_seed("damage");
  ddb_db *db = storage_sample();
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  storage_text saved = storage_read(storage_target);
  unsigned harmless = 0;
  for (size_t i = 0; i < saved.size; i++) {
    for (int round = 0; round < 3; round++) {
      char kept = saved.data[i];
      saved.data[i] =
          round == 2 ? (char)support_random(&seed) : (char)(kept ^ 1 << support_below(&seed, 8));
      ddb_db *back = NULL;
      ddb_status status = try_load(saved.data, saved.size, NULL, &back);
      if (status == DDB_OK) {
        storage_assert_same(db, back);
        harmless += saved.data[i] != kept;
        ddb_db_release(back);
      } else {
        assert_int_equal(status, DDB_ERR_CORRUPT);
      }
      saved.data[i] = kept;
    }
  }
  assert_true(harmless < 12); /* white space around the checksum */
  for (size_t size = 0; size < saved.size - 1; size++) {
    ddb_db *back = NULL;
    assert_int_equal(try_load(saved.data, size, NULL, &back), DDB_ERR_CORRUPT);
  }
  free(saved.data);
  ddb_db_release(db);
}

/* ---- Failures ----------------------------------------------------------------------------- */

static void test_what_cannot_be_opened(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *db = storage_db();
  ddb_db *back;
  assert_int_equal(ddb_db_save_json(db, "", NULL, NULL, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_db_save_json(db, NULL, NULL, NULL, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_db_save_json(db, storage_folder, NULL, NULL, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, EISDIR);
  assert_int_equal(ddb_db_load_json("/nonexistent/file", NULL, NULL, &back, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOENT);
  assert_non_null(strstr(err.message, "/nonexistent/file"));
  assert_int_equal(ddb_db_load_json(storage_folder, NULL, NULL, &back, NULL), DDB_ERR_IO);
  assert_int_equal(ddb_db_load_json(NULL, NULL, NULL, &back, NULL), DDB_ERR_INVALID);
  ddb_db_release(db);
}

static void test_no_memory_to_save(void **state) {
  (void)state;
  ddb_db *db = storage_sample();
  storage_write(storage_target, "old", 3);
  uint64_t bytes = ddb_process_memory();
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status = ddb_db_save_json(db, storage_target, NULL, NULL, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      assert_true(n > 4);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_int_equal(ddb_process_memory(), bytes);
    storage_text old = storage_read(storage_target);
    assert_string_equal(old.data, "old");
    free(old.data);
  }
  ddb_db_release(db);
}

static void test_no_memory_to_load(void **state) {
  (void)state;
  ddb_db *db = storage_sample();
  ddb_db *back = NULL;
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  uint64_t bytes = ddb_process_memory();
  long n = 1;
  for (;; n++) {
    ddb_error err = {0};
    support_allocator_fail(n);
    ddb_status status = ddb_db_load_json(storage_target, NULL, NULL, &back, &err);
    if (!support_allocator_failed()) {
      assert_ok(status);
      break;
    }
    /* Some allocations may fail without harm; what loads then is whole. */
    if (status == DDB_OK) {
      storage_assert_same(db, back);
      ddb_db_release(back);
    } else {
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_int_equal(err.status, DDB_ERR_NOMEM);
    }
    assert_int_equal(ddb_process_memory(), bytes);
  }
  printf("  %ld allocations\n", n - 1);
  assert_true(n > 50);
  ddb_db_release(back);
  ddb_db_release(db);
}

#ifdef DDB_TESTING
static void test_every_call_of_a_save_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  ddb_db *db = storage_sample();
  uint64_t bytes = ddb_process_memory();
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      storage_write(storage_target, "old", 3);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_save_json(db, storage_target, NULL, NULL, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      assert_int_equal(ddb_process_memory(), bytes);
      if (status == DDB_OK) {
        ddb_db *back = storage_load(storage_target);
        storage_assert_same(db, back);
        ddb_db_release(back);
      } else {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
        storage_text old = storage_read(storage_target);
        bool replaced = strstr(err.message, "sync the directory") != NULL;
        assert_int_equal(strcmp(old.data, "old") == 0, !replaced);
        free(old.data);
      }
      if (failed == DDB__SYS_COUNT) {
        assert_ok(status);
        assert_true(n > 8);
        break;
      }
    }
  }
  ddb_db_release(db);
}

static void test_every_call_of_a_load_fails(void **state) {
  (void)state;
  static const int errors[] = {EIO, EINTR, DDB__SYS_SHORT};
  ddb_db *db = storage_sample();
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  uint64_t bytes = ddb_process_memory();
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      ddb_db *back;
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_load_json(storage_target, NULL, NULL, &back, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status == DDB_OK) {
        storage_assert_same(db, back);
        ddb_db_release(back);
      } else {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
      }
      assert_int_equal(ddb_process_memory(), bytes);
      if (failed == DDB__SYS_COUNT) {
        assert_ok(status);
        assert_true(n > 3);
        break;
      }
    }
  }
  ddb_db_release(db);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_errors_name_the_place),
      cmocka_unit_test(test_refusals_with_a_mark),
      cmocka_unit_test(test_every_damage_is_found),
      cmocka_unit_test(test_what_cannot_be_opened),
      cmocka_unit_test(test_no_memory_to_save),
      cmocka_unit_test(test_no_memory_to_load),
#ifdef DDB_TESTING
      cmocka_unit_test(test_every_call_of_a_save_fails),
      cmocka_unit_test(test_every_call_of_a_load_fails),
#endif
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, storage_setup, storage_teardown);
}
