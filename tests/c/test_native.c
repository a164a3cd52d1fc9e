/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_native.c - native files: what goes in comes out, and whatever is done to a file is found or
 * has no consequence. The writer's buffer and the reader's are the real ones; only what is forged
 * behind a checksum that holds can reach the checks of the operations.
 */
#include <errno.h>

#include <zstd.h>

#include "random_values.h"
#include "storage_support.h"

#include "io/native.h"
#include "io/syscalls.h"
#include "store/value.h"

static const ddb_save_options plain = {0};
static const ddb_save_options packed = {.compression = 3};

/* ---- Databases ---------------------------------------------------------------------------- */

/* One of everything, and containers of all kinds. */
static ddb_db *sample(uint64_t seed, size_t count) {
  ddb_db *db = storage_sample();
  ddb_table *table = storage_table(db, "random", NULL);
  ddb_builder *values;
  assert_ok(ddb_builder_new(&values, NULL));
  for (size_t i = 0; i < count; i++) {
    ddb_builder_clear(values);
    random_value_append(values, &seed, 3, false);
    char name[16];
    (void)snprintf(name, sizeof name, "f%u", (unsigned)support_below(&seed, 5));
    ddb_field fields[] = {{ddb_str_from(name), ddb_builder_value_at(values, 0)},
                          {DDB_STR("n"), ddb_int((int64_t)i)}};
    storage_insert(table, NULL, 2, fields);
  }
  ddb_builder_free(values);
  assert_ok(ddb_table_index_create(table, DDB_STR("f1"), DDB_INDEX_HASH, NULL));
  ddb_table_release(table);
  return db;
}

static storage_text save(ddb_db *db, const ddb_save_options *options) {
  ddb_error err;
  if (ddb_db_save(db, storage_target, options, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  return storage_read(storage_target);
}

static ddb_status try_load(const char *data, size_t size, ddb_error *err, ddb_db **out) {
  storage_write(storage_other, data, size);
  return ddb_db_load(storage_other, NULL, NULL, out, err);
}

static ddb_db *load(const char *path) {
  ddb_db *db;
  ddb_error err;
  if (ddb_db_load(path, NULL, NULL, &db, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  return db;
}

/* ---- Whole files -------------------------------------------------------------------------- */

static void assert_survives(ddb_db *db, const ddb_save_options *options) {
  storage_text saved = save(db, options);
  ddb_db *back = load(storage_target);
  storage_assert_same(db, back);
  ddb_db_release(back);
  bool native = false;
  assert_ok(ddb_file_is_native(storage_target, &native, NULL));
  assert_true(native);
  free(saved.data);
}

static void test_round_trip(void **state) {
  (void)state;
  uint64_t seed = support_seed("round trip");
  ddb_db *empty = storage_db();
  assert_survives(empty, NULL);
  ddb_db_release(empty);
  ddb_db *db = sample(seed, 300);
  assert_survives(db, NULL);
  assert_survives(db, &packed);
  assert_survives(db, &(ddb_save_options){.compression = DDB_COMPRESSION_MAX});
  ddb_db_release(db);
}

/* Records larger than a block, one after the other, and their description too. */
static void test_operations_larger_than_a_block(void **state) {
  (void)state;
  size_t size = (size_t)3 * DDB__NATIVE_BLOCK_MAX + 12345;
  char *text = malloc(size);
  memset(text, 'x', size);
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  for (int i = 0; i < 3; i++) {
    text[i] = 'y';
    INSERT(table, FIELD("text", ddb_text(((ddb_str){text, size}))));
    INSERT(table, FIELD("small", ddb_int(i)));
  }
  ddb_str name = {text, DDB__NATIVE_BLOCK_MAX + 100};
  ddb_field fields[] = {{name, ddb_int(5)}};
  storage_insert(table, NULL, 1, fields);
  assert_survives(db, &plain);
  assert_survives(db, &packed);
  ddb_table_release(table);
  ddb_db_release(db);
  free(text);
}

static void test_numbers_of_tables_stay(void **state) {
  (void)state;
  ddb_db *db = storage_db();
  ddb_table_release(storage_table(db, "a", NULL));
  ddb_table_release(storage_table(db, "b", NULL));
  assert_ok(ddb_db_table_drop(db, DDB_STR("a"), NULL));
  ddb_table_release(storage_table(db, "c", NULL));
  storage_text first = save(db, &plain);
  ddb_db *back = load(storage_target);
  ddb_table_release(storage_table(back, "d", NULL));
  ddb_table_release(storage_table(db, "d", NULL));
  storage_text one = save(db, &plain);
  storage_text two = save(back, &plain);
  assert_int_equal(one.size, two.size);
  /* But for the commit number in the head, and what depends on it. */
  size_t body = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  assert_memory_equal(one.data + body, two.data + body, one.size - body);
  free(first.data);
  free(one.data);
  free(two.data);
  ddb_db_release(back);
  ddb_db_release(db);
}

/* ---- Damage ------------------------------------------------------------------------------- */

static void assert_corrupt(ddb_status status, const ddb_error *err) {
  if (status != DDB_ERR_CORRUPT) {
    fail_msg("%s (%s)", ddb_status_name(status), status == DDB_OK ? "" : err->message);
  }
}

static void flip_every_byte(ddb_db *db, const ddb_save_options *options, uint64_t *seed) {
  storage_text saved = save(db, options);
  uint64_t bytes = ddb_process_memory();
  ddb_db *back = NULL;
  ddb_error err;
  for (size_t i = 0; i < saved.size; i++) {
    char kept = saved.data[i];
    saved.data[i] = (char)(kept ^ (1 << support_below(seed, 8)));
    assert_corrupt(try_load(saved.data, saved.size, &err, &back), &err);
    assert_true(err.offset <= i);
    saved.data[i] = kept;
  }
  for (size_t size = 0; size < saved.size; size++) {
    assert_corrupt(try_load(saved.data, size, &err, &back), &err);
  }
  char *longer = malloc(saved.size + 1);
  memcpy(longer, saved.data, saved.size);
  longer[saved.size] = 0;
  assert_corrupt(try_load(longer, saved.size + 1, &err, &back), &err);
  assert_int_equal(ddb_process_memory(), bytes);
  free(longer);
  free(saved.data);
}

static void test_every_byte_counts(void **state) {
  (void)state;
  uint64_t seed = support_seed("bytes");
  ddb_db *db = sample(seed, 5);
  flip_every_byte(db, &plain, &seed);
  flip_every_byte(db, &packed, &seed);
  ddb_db_release(db);
}

static void test_other_files(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *back;
  bool native = true;
  ddb_db *db = storage_sample();
  assert_corrupt(try_load("", 0, &err, &back), &err);
  assert_corrupt(try_load("{}", 2, &err, &back), &err);
  assert_ok(ddb_file_is_native(storage_other, &native, NULL));
  assert_false(native);
  assert_int_equal(ddb_file_is_native("/nonexistent/file", &native, &err), DDB_ERR_IO);
  assert_int_equal(ddb_db_load("/nonexistent/file", NULL, NULL, &back, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOENT);
  assert_int_equal(ddb_db_save(db, storage_folder, NULL, &err), DDB_ERR_IO);
  assert_int_equal(ddb_db_save(db, "", NULL, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_snapshot_save(NULL, storage_target, NULL, &err), DDB_ERR_INVALID);
  for (int level = -1; level < 100; level += 21) {
    ddb_save_options options = {.compression = level};
    assert_int_equal(ddb_db_save(db, storage_target, &options, &err), DDB_ERR_INVALID);
  }
  ddb_db_release(db);
}

/* A later version is refused as such. */
static void test_a_later_version(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *back;
  ddb_db *db = storage_sample();
  storage_text saved = save(db, NULL);
  ddb__native_head *head = (ddb__native_head *)(void *)saved.data;
  head->version = 2;
  head->checksum = ddb__checksum_of(head, offsetof(ddb__native_head, checksum), 0);
  assert_corrupt(try_load(saved.data, saved.size, &err, &back), &err);
  assert_non_null(strstr(err.message, "version 2"));
  free(saved.data);
  ddb_db_release(db);
}

/* ---- Forged files ------------------------------------------------------------------------- */

/* A file of one block with these operations and a checksum that holds. */
static size_t forge(char *out, const char *ops, size_t size, size_t raw_size, ddb__codec codec) {
  ddb__native_head head = {.magic = DDB__NATIVE_MAGIC, .version = DDB__NATIVE_VERSION};
  head.checksum = ddb__checksum_of(&head, offsetof(ddb__native_head, checksum), 0);
  ddb__native_block block = {
      .stored_size = (uint32_t)size, .raw_size = (uint32_t)raw_size, .codec = codec};
  block.checksum = ddb__native_block_sum(&head, &block, ops);
  memcpy(out, &head, sizeof head);
  memcpy(out + sizeof head, &block, sizeof block);
  memcpy(out + sizeof head + sizeof block, ops, size);
  return sizeof head + sizeof block + size;
}

/* Everything that can be read of a database, so that sanitizers see it. */
static void read_table(ddb_table *table) {
  char text[256];
  ddb_view view;
  uint64_t at = 0;
  const ddb_record *record;
  assert_ok(ddb_view_open(table, &view, NULL));
  while ((record = ddb_view_next(&view, &at)) != NULL) {
    for (size_t i = 0; i < ddb_record_count(record); i++) {
      ddb_value value = ddb_record_value(record, i);
      (void)ddb_value_format(&value, text, sizeof text);
      (void)ddb_value_hash(&value);
      assert_int_equal(ddb_value_compare(&value, &value), 0);
    }
  }
  ddb_view_close(&view);
}

static void read_everything(ddb_db *db) {
  ddb_table **tables;
  size_t count;
  assert_ok(ddb_db_tables(db, &tables, &count, NULL));
  for (size_t i = 0; i < count; i++) {
    read_table(tables[i]);
  }
  ddb_tables_free(tables, count);
  ddb_db_release(db);
}

static void test_forged_operations(void **state) {
  (void)state;
  uint64_t seed = support_seed("forged");
  uint64_t rounds = support_number("DICTDB_FORGED", 6000);
  ddb_db *db = sample(seed, 12);
  storage_text saved = save(db, &plain);
  size_t start = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  size_t size = saved.size - start;
  char *ops = malloc(size);
  char *file = malloc(saved.size);
  unsigned refused = 0;
  uint64_t bytes = ddb_process_memory();
  for (uint64_t round = 0; round < rounds; round++) {
    memcpy(ops, saved.data + start, size);
    for (uint64_t n = 1 + support_below(&seed, 3); n > 0; n--) {
      size_t at = support_below(&seed, size);
      switch (support_below(&seed, 3)) {
      case 0:
        ops[at] = (char)support_random(&seed);
        break;
      case 1:
        ops[at] = (char)(ops[at] ^ (1 << support_below(&seed, 8)));
        break;
      default:
        ops[at] = (char)(support_below(&seed, 2) ? 0xff : support_below(&seed, 40));
      }
    }
    ddb_db *back = NULL;
    ddb_error err;
    size_t file_size = forge(file, ops, size, size, DDB__CODEC_NONE);
    ddb_status status = try_load(file, file_size, &err, &back);
    if (status == DDB_OK) {
      read_everything(back);
    } else {
      assert_corrupt(status, &err);
      refused++;
    }
    assert_int_equal(ddb_process_memory(), bytes);
  }
  printf("  %u of %llu refused\n", refused, (unsigned long long)rounds);
  assert_in_range(refused, rounds / 10, rounds - 1);
  free(file);
  free(ops);
  free(saved.data);
  ddb_db_release(db);
}

typedef struct budget {
  uint64_t bytes;
  uint64_t most;
} budget;

static int watch(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  budget *b = context;
  uint64_t now = ddb_process_memory();
  b->most = now > b->most ? now : b->most;
  return 0;
}

/* No file makes a load hold more than 64 times its decompressed bytes and 1 MiB. */
static void assert_modest(const char *file, size_t size, size_t raw) {
  budget b = {.bytes = ddb_process_memory()};
  b.most = b.bytes;
  storage_write(storage_other, file, size);
  ddb_db *back = NULL;
  ddb_status status = ddb_db_load(storage_other, watch, &b, &back, NULL);
  (void)watch(&b, 0, 0);
  if (b.most - b.bytes > 64 * raw + (1 << 20)) {
    fail_msg("%llu bytes held for %zu", (unsigned long long)(b.most - b.bytes), raw);
  }
  if (status == DDB_OK) {
    ddb_db_release(back);
  }
}

static void test_memory_is_paid_for(void **state) {
  (void)state;
  size_t capacity = (size_t)4 << 20;
  char *file = malloc(capacity);
  ddb_db *db = storage_db();
  for (int i = 0; i < 5000; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "%d", i);
    ddb_table_release(storage_table(db, name, NULL));
  }
  storage_text tables = save(db, &plain);
  assert_modest(tables.data, tables.size, tables.size);
  free(tables.data);
  ddb_db_release(db);
  db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  for (int i = 0; i < 3000; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "f%d", i);
    ddb_field fields[] = {{ddb_str_from(name), ddb_null()}};
    storage_insert(table, NULL, 1, fields);
  }
  storage_text shapes = save(db, &plain);
  assert_modest(shapes.data, shapes.size, shapes.size);
  free(shapes.data);
  ddb_table_release(table);
  ddb_db_release(db);
  /* An operation that claims 2 GiB and comes with nothing; a block that decompresses to 1 MiB. */
  ddb__op op = {.kind = DDB__OP_PUT, .size = 0x7ffffff8};
  assert_modest(file, forge(file, (const char *)&op, sizeof op, sizeof op, DDB__CODEC_NONE),
                sizeof op);
  char *zeros = calloc(1, DDB__NATIVE_BLOCK_MAX);
  char stored[1024];
  size_t stored_size = ZSTD_compress(stored, sizeof stored, zeros, DDB__NATIVE_BLOCK_MAX, 19);
  assert_false(ZSTD_isError(stored_size));
  assert_modest(file, forge(file, stored, stored_size, DDB__NATIVE_BLOCK_MAX, DDB__CODEC_ZSTD),
                DDB__NATIVE_BLOCK_MAX);
  assert_modest(file, forge(file, stored, stored_size, 4096, DDB__CODEC_ZSTD), 4096);
  free(zeros);
  free(file);
}

/* ---- Failures ----------------------------------------------------------------------------- */

static int stop_at_once(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  return --*(int *)context < 0;
}

static void test_progress_can_stop(void **state) {
  (void)state;
  ddb_db *db = storage_sample();
  ddb_db *back;
  storage_write(storage_target, "old", 3);
  for (int calls = 0; calls < 2; calls++) {
    int left = calls;
    ddb_save_options options = {.progress = stop_at_once, .context = &left};
    assert_int_equal(ddb_db_save(db, storage_target, &options, NULL), DDB_ERR_INTERRUPTED);
    storage_text old = storage_read(storage_target);
    assert_string_equal(old.data, "old");
    free(old.data);
  }
  free(save(db, NULL).data);
  int left = 0;
  assert_int_equal(ddb_db_load(storage_target, stop_at_once, &left, &back, NULL),
                   DDB_ERR_INTERRUPTED);
  ddb_db_release(db);
}

static void test_no_memory(void **state) {
  (void)state;
  ddb_db *db = sample(1, 20);
  storage_write(storage_target, "old", 3);
  uint64_t bytes = ddb_process_memory();
  ddb_status status;
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    status = ddb_db_save(db, storage_target, &packed, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      assert_true(n > 6);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_int_equal(ddb_process_memory(), bytes);
    storage_text old = storage_read(storage_target);
    assert_string_equal(old.data, "old");
    free(old.data);
  }
  for (long n = 1;; n++) {
    ddb_db *back = NULL;
    support_allocator_fail(n);
    status = ddb_db_load(storage_target, NULL, NULL, &back, NULL);
    bool failed = support_allocator_failed();
    if (status == DDB_OK) {
      storage_assert_same(db, back);
      ddb_db_release(back);
    } else {
      assert_int_equal(status, DDB_ERR_NOMEM);
    }
    assert_int_equal(ddb_process_memory(), bytes);
    if (!failed) {
      assert_ok(status);
      assert_true(n > 50);
      break;
    }
  }
  ddb_db_release(db);
}

#ifdef DDB_TESTING
static void test_every_call_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  ddb_db *db = storage_sample();
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      storage_write(storage_target, "old", 3);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_save(db, storage_target, NULL, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status == DDB_OK) {
        ddb_db *back = load(storage_target);
        storage_assert_same(db, back);
        ddb_db_release(back);
      } else {
        assert_int_equal(err.os_error, errors[e]);
        storage_text old = storage_read(storage_target);
        bool replaced = strstr(err.message, "sync the directory") != NULL;
        assert_int_equal(strcmp(old.data, "old") == 0, !replaced);
        free(old.data);
      }
      if (failed == DDB__SYS_COUNT) {
        assert_true(n > 8);
        break;
      }
    }
    free(save(db, NULL).data);
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      ddb_db *back;
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_load(storage_target, NULL, NULL, &back, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status == DDB_OK) {
        storage_assert_same(db, back);
        ddb_db_release(back);
      } else {
        assert_int_equal(err.os_error, errors[e]);
      }
      if (failed == DDB__SYS_COUNT) {
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
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_operations_larger_than_a_block),
      cmocka_unit_test(test_numbers_of_tables_stay),
      cmocka_unit_test(test_every_byte_counts),
      cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_a_later_version),
      cmocka_unit_test(test_forged_operations),
      cmocka_unit_test(test_memory_is_paid_for),
      cmocka_unit_test(test_progress_can_stop),
      cmocka_unit_test(test_no_memory),
#ifdef DDB_TESTING
      cmocka_unit_test(test_every_call_fails),
#endif
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, storage_setup, storage_teardown);
}
