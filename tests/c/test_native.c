/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_native.c - native files: what goes in comes out, and whatever is done to a file is found or
 * has no consequence. The writer's buffer and the reader's are the real ones; only what is forged
 * behind a checksum that holds can reach the checks of the operations.
 */
#include <errno.h>

#include <zstd.h>

#ifdef DDB_TESTING
#include "fault_scenario.h"
#endif
#include "random_values.h"
#include "rows.h"
#include "storage_support.h"

#include "io/block_check.h"
#include "io/native.h"
#include "io/syscalls.h"
#include "store/record.h"
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

/* ---- Records like the one before ---------------------------------------------------------- */

/* A record of a table in its own memory, so that sanitizers see what is read behind it. */
static ddb__block *copy_block(const ddb_record *record) {
  const ddb__block *block = &record->block;
  ddb__block *copy = malloc(block->size);
  memcpy(copy, block, block->size);
  return copy;
}

/* A pattern passes exactly what has its kinds and no problem. */
static bool pattern_agrees(const ddb__pattern *pattern, const ddb__block *block, size_t size) {
  bool same = size >= ddb__block_fixed_size(pattern->count) && block->count == pattern->count &&
              memcmp(block->tags, pattern->tags, ddb__align8(pattern->count)) == 0;
  bool right = same && !ddb__block_problem(DDB_MISSING, block, size);
  return ddb__pattern_fits(pattern, block, size) == right;
}

/* Each byte of the record takes each value, one at a time; then each size is told. */
static bool pattern_holds(const ddb_record *record) {
  ddb__pattern pattern;
  ddb__block *block = copy_block(record);
  size_t size = block->size;
  ddb__pattern_learn(&pattern, block);
  bool holds = ddb__pattern_fits(&pattern, block, size);
  for (size_t i = 0; i < size && holds; i++) {
    unsigned char *at = (unsigned char *)block + i;
    unsigned char kept = *at;
    for (unsigned value = 0; value < 256 && holds; value++) {
      *at = (unsigned char)value;
      holds = pattern_agrees(&pattern, block, size);
    }
    *at = kept;
  }
  for (size_t less = 0; less < size && holds; less += 8) {
    holds = !ddb__pattern_fits(&pattern, block, less);
  }
  free(block);
  return holds;
}

/* Values of the kinds that are usual, and of others. */
static ddb_db *kinds(void) {
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "kinds", NULL);
  INSERT(table, FIELD("a", storage_str("a text of some length")), FIELD("b", ddb_int(-5)),
         FIELD("c", ddb_float(0.5)), FIELD("d", ddb_null()), FIELD("e", ddb_bool(true)),
         FIELD("f", storage_str("")), FIELD("g", storage_str("sieben")));
  INSERT(table, FIELD("a", storage_str("gr\xc3\xbc\xc3\x9f")), FIELD("b", storage_str("abc")));
  INSERT(table, FIELD("a", ddb_value_make(DDB_BYTES, 2, (uint64_t)(uintptr_t) "\0\xff")),
         FIELD("b", ddb_value_make(DDB_DATE, 0, 700000)));
  INSERT(table, FIELD("b", ddb_int(1)));
  ddb_table_release(table);
  return db;
}

static bool run_patterns(void) {
  ddb_db *db = kinds();
  ddb_table *table;
  ddb_view view;
  uint64_t at = 0;
  const ddb_record *record;
  assert_ok(ddb_db_table_get(db, DDB_STR("kinds"), &table, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  bool holds = true;
  while (holds && (record = ddb_view_next(&view, &at)) != NULL) {
    holds = pattern_holds(record);
  }
  ddb_view_close(&view);
  ddb_table_release(table);
  ddb_db_release(db);
  return holds;
}

static void test_patterns(void **state) {
  (void)state;
  assert_true(run_patterns());
}

static void test_patterns_have_an_end(void **state) {
  (void)state;
  char names[DDB__PATTERN_COUNT_MAX + 1][8];
  ddb_field fields[DDB__PATTERN_COUNT_MAX + 1];
  for (size_t i = 0; i <= DDB__PATTERN_COUNT_MAX; i++) {
    (void)snprintf(names[i], sizeof names[i], "f%zu", i);
    fields[i] = (ddb_field){ddb_str_from(names[i]), ddb_int((int64_t)i)};
  }
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "wide", NULL);
  for (size_t count = DDB__PATTERN_COUNT_MAX - 2; count <= DDB__PATTERN_COUNT_MAX; count++) {
    for (int i = 0; i < 5; i++) {
      storage_insert(table, NULL, count, fields); /* and the key */
    }
  }
  assert_survives(db, &plain);
  ddb_table_release(table);
  ddb_db_release(db);
}

#define FLOAT_KEY_MAX (INT64_C(1) << 52)

/* Keys at their rows' places, off them, of other kinds, at the ends of what an int holds. */
static ddb_value key_after(int64_t *last, uint64_t *seed, char *text, size_t text_size) {
  switch (support_below(seed, 12)) {
  case 0:
    *last += 1 + (int64_t)support_below(seed, 3);
    return ddb_int(*last);
  case 1:
    (void)snprintf(text, text_size, "k%lld", (long long)++*last);
    return storage_str(text);
  case 2:
    ++*last; /* as far as a float tells neighbours apart */
    return *last<FLOAT_KEY_MAX && * last> - FLOAT_KEY_MAX ? ddb_float((double)*last)
                                                          : ddb_int(*last);
  default:
    return ddb_int(++*last);
  }
}

static void fill_keyed(ddb_db *db, uint64_t *seed, int64_t first, size_t count) {
  ddb_table *table = storage_table(db, "keyed", NULL);
  int64_t last = first;
  for (size_t i = 0; i < count && last < INT64_MAX - 4; i++) {
    char text[32];
    ddb_value key = i == 0 ? ddb_int(last) : key_after(&last, seed, text, sizeof text);
    bool odd = support_below(seed, 10) == 0;
    INSERT(table, FIELD("id", key), FIELD("n", odd ? ddb_null() : ddb_int((int64_t)i)));
    if (support_below(seed, 9) == 0) {
      int64_t gone = (int64_t)((uint64_t)last - support_below(seed, 2));
      ddb_status status =
          rows_delete(table, gone); /* it may have another kind, or never been there */
      assert_true(status == DDB_OK || status == DDB_ERR_RECORD_NOT_FOUND);
    }
  }
  ddb_table_release(table);
}

/* Every record is found by its key. */
static void assert_keys_lead(ddb_db *db) {
  ddb_table *table;
  ddb_view view;
  uint64_t at = 0;
  const ddb_record *record;
  assert_ok(ddb_db_table_get(db, DDB_STR("keyed"), &table, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  while ((record = ddb_view_next(&view, &at)) != NULL) {
    ddb_value key = ddb_record_get(record, DDB_STR("id"));
    const ddb_record *found;
    assert_ok(ddb_view_get(&view, &key, &found, NULL));
    assert_ptr_equal(found, record);
  }
  ddb_view_close(&view);
  ddb_table_release(table);
}

static void test_keys(void **state) {
  (void)state;
  uint64_t seed = support_seed("keys");
  const int64_t firsts[] = {0, 1, -300, INT64_MAX - 40, INT64_MIN, INT64_C(1) << 53};
  for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
    for (size_t count = 1; count < 700; count = 2 * count + support_below(&seed, 3)) {
      ddb_db *db = storage_db();
      fill_keyed(db, &seed, firsts[i], count);
      free(save(db, &plain).data);
      ddb_db *back = load(storage_target);
      storage_assert_same(db, back);
      assert_keys_lead(back);
      ddb_db_release(back);
      ddb_db_release(db);
    }
  }
}

/* The key of row `at`, a rare number, becomes the one that row at + 1 has at its place. */
static bool twin_is_refused(size_t at) {
  const int64_t rare = INT64_C(0x7a7b7c7d7e7f);
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "twins", NULL);
  for (size_t i = 0; i < 16; i++) {
    INSERT(table, FIELD("id", ddb_int(i == at ? rare : (int64_t)i)),
           FIELD("text", storage_str("x")));
  }
  storage_text saved = save(db, &plain);
  ddb_table_release(table);
  ddb_db_release(db);
  size_t start = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  int64_t twin = (int64_t)at + 1;
  char *found = memmem(saved.data, saved.size, &rare, sizeof rare);
  memcpy(found, &twin, sizeof twin);
  char *file = malloc(saved.size);
  size_t size =
      forge(file, saved.data + start, saved.size - start, saved.size - start, DDB__CODEC_NONE);
  ddb_error err = {0};
  ddb_db *back;
  ddb_status status = try_load(file, size, &err, &back);
  if (status == DDB_OK) {
    ddb_db_release(back);
  }
  free(file);
  free(saved.data);
  return status == DDB_ERR_CORRUPT && strstr(err.message, "duplicate value");
}

static bool run_twins(void) {
  bool refused = true;
  for (size_t at = 1; at < 15 && refused; at++) {
    refused = twin_is_refused(at);
  }
  return refused;
}

static void test_twins_are_refused(void **state) {
  (void)state;
  assert_true(run_twins());
}

#ifdef DDB_TESTING
static const fault_case faults[] = {
    {DDB__FAULT_PATTERN_BLIND, run_patterns, 60},
    {DDB__FAULT_RUN_KEYS_UNCHECKED, run_twins, 60},
};
enum { FAULT_COUNT = sizeof faults / sizeof faults[0] };
_Static_assert(FAULT_COUNT == (int)FAULTS_OF_FILES, "a fault has no scenario");

static void test_planted_faults(void **state) {
  (void)state;
  find_all(faults, FAULT_COUNT);
}
#endif

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
  uint64_t seed = 1;
  fill_keyed(db, &seed, 1, 40);
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
#ifdef DDB_TESTING
      cmocka_unit_test(test_planted_faults), /* first: it forks, while there is one thread */
#endif
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_operations_larger_than_a_block),
      cmocka_unit_test(test_numbers_of_tables_stay),
      cmocka_unit_test(test_every_byte_counts),
      cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_a_later_version),
      cmocka_unit_test(test_forged_operations),
      cmocka_unit_test(test_patterns),
      cmocka_unit_test(test_patterns_have_an_end),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_twins_are_refused),
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
