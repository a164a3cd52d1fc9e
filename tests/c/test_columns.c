/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_columns.c - columns kept with the rows: every kernel gives the same bits; columns say what the
 * values say, also after changes; counts beside writers, snapshots and changing budgets stay right;
 * every byte comes back.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/testing.h"
#include "query/kernel.h"
#include "rows.h"
#include "store/column.h"
#include "store/memo.h"
#include "store/table.h"
#include "support.h"

static uint64_t seed;

/* ---- Kernels ------------------------------------------------------------------------------ */

enum { LANES = 256, WORDS = LANES / 64 };

static uint64_t random_lane(uint64_t *random) {
  static const uint64_t edges[] = {
      0, 1, 127, 128, 255, 256, 32768, 65535, 1u << 31, UINT32_MAX, UINT64_C(1) << 63, UINT64_MAX};
  uint64_t choice = support_below(random, 3 * sizeof edges / sizeof edges[0]);
  return choice < sizeof edges / sizeof edges[0] ? edges[choice] : support_random(random);
}

static void check_words(const uint64_t *words, const bool *expected, const char *what) {
  for (size_t i = 0; i < LANES; i++) {
    if ((words[i / 64] >> (i % 64) & 1) != expected[i]) {
      fail_msg("seed %llu: %s: lane %zu", (unsigned long long)seed, what, i);
    }
  }
}

#define CHECK_RANGE(bits)                                                                          \
  static void check_range_##bits(const ddb__kernels *kernels, uint64_t *random) {                  \
    uint##bits##_t lanes[LANES + 1];                                                               \
    bool expected[LANES];                                                                          \
    uint64_t words[WORDS];                                                                         \
    uint##bits##_t low = (uint##bits##_t)random_lane(random);                                      \
    uint##bits##_t high = (uint##bits##_t)random_lane(random);                                     \
    for (size_t i = 0; i <= LANES; i++) {                                                          \
      uint64_t near = support_below(random, 3) - 1 + (support_below(random, 2) ? low : high);      \
      lanes[i] = (uint##bits##_t)(support_below(random, 2) ? near : random_lane(random));          \
    }                                                                                              \
    if (low > high) {                                                                              \
      uint##bits##_t swap = low;                                                                   \
      low = high;                                                                                  \
      high = swap;                                                                                 \
    }                                                                                              \
    size_t shift = (size_t)support_below(random, 2); /* lanes need not be aligned */               \
    for (size_t i = 0; i < LANES; i++) {                                                           \
      expected[i] = lanes[i + shift] >= low && lanes[i + shift] <= high;                           \
    }                                                                                              \
    kernels->range_##bits(lanes + shift, WORDS, low, high, words);                                 \
    check_words(words, expected, "range of " #bits " bits");                                       \
  }
CHECK_RANGE(8)
CHECK_RANGE(16)
CHECK_RANGE(32)
CHECK_RANGE(64)

static double random_real(uint64_t *random) {
  static const double reals[] = {0.0, -0.0, 1.0, -1.0, 1.5, 1e300, INFINITY, -INFINITY, NAN};
  return reals[support_below(random, sizeof reals / sizeof reals[0])];
}

static void check_range_real(const ddb__kernels *kernels, uint64_t *random) {
  double lanes[LANES];
  bool expected[LANES];
  uint64_t words[WORDS];
  double low = random_real(random);
  double high = random_real(random);
  for (size_t i = 0; i < LANES; i++) {
    lanes[i] = random_real(random);
    expected[i] = lanes[i] >= low && lanes[i] <= high;
  }
  kernels->range_real(lanes, WORDS, low, high, words);
  check_words(words, expected, "range of doubles");
}

static void check_codes(uint64_t *random) {
  uint8_t codes[LANES];
  bool expected[LANES];
  uint64_t words[WORDS];
  const uint64_t set[4] = {support_random(random), support_random(random), support_random(random),
                           support_random(random)};
  for (size_t i = 0; i < LANES; i++) {
    codes[i] = (uint8_t)support_random(random);
    expected[i] = (set[codes[i] / 64] >> (codes[i] % 64) & 1) != 0;
  }
  ddb__kernel_codes(codes, WORDS, set, words);
  check_words(words, expected, "codes");
}

static void check_count(const ddb__kernels *kernels, uint64_t *random) {
  uint64_t words[WORDS];
  uint64_t expected = 0;
  for (size_t i = 0; i < WORDS; i++) {
    words[i] = random_lane(random);
    for (unsigned bit = 0; bit < 64; bit++) {
      expected += words[i] >> bit & 1;
    }
  }
  assert_int_equal(kernels->count(words, WORDS), expected);
  assert_int_equal(kernels->count(words, 0), 0);
}

static void kernels_agree(void **state) {
  (void)state;
  uint64_t random = seed;
  size_t levels = 0;
  for (int level = 0; level < DDB__KERNEL_LEVEL_COUNT; level++) {
    const ddb__kernels *kernels = ddb__kernels_of((ddb__kernel_level)level);
    levels += kernels != NULL;
    for (int i = 0; kernels && i < 500; i++) {
      check_range_8(kernels, &random);
      check_range_16(kernels, &random);
      check_range_32(kernels, &random);
      check_range_64(kernels, &random);
      check_range_real(kernels, &random);
      check_count(kernels, &random);
      check_codes(&random);
    }
  }
  assert_true(levels >= 1); /* plain C is always there */
  assert_non_null(ddb__kernels_get());
}

/* ---- Columns ------------------------------------------------------------------------------ */

static uint64_t live[DDB__BLOCK_WORDS];
static ddb_value values[DDB__BLOCK_ROWS];

static bool lane_is(const ddb__column *column, size_t row, const ddb_value *value) {
  bool nothing = value->kind == DDB_MISSING || value->kind == DDB_NULL;
  bool null = column->nulls && (column->nulls[row / 64] >> (row % 64) & 1) != 0;
  switch (column->kind) {
  case DDB__COLUMN_INT: {
    uint64_t lane = column->lane == 1   ? ((const uint8_t *)column->lanes)[row]
                    : column->lane == 2 ? ((const uint16_t *)column->lanes)[row]
                    : column->lane == 4 ? ((const uint32_t *)column->lanes)[row]
                                        : ((const uint64_t *)column->lanes)[row];
    return null == nothing &&
           (nothing ||
            ((int64_t)((uint64_t)column->base + lane) == value->as.integer &&
             value->as.integer >= column->int_low && value->as.integer <= column->int_high));
  }
  case DDB__COLUMN_FLOAT: {
    double real = ((const double *)column->lanes)[row];
    bool same = real == value->as.real || (isnan(real) && isnan(value->as.real) && column->has_nan);
    bool within = isnan(real) || (real >= column->real_low && real <= column->real_high);
    return null == nothing && (nothing || (same && within));
  }
  case DDB__COLUMN_CODES: {
    uint8_t code = ((const uint8_t *)column->lanes)[row];
    const ddb_value *own = &column->values[code];
    return code < column->value_count && own->kind == value->kind &&
           (nothing || ddb_value_compare(own, value) == 0);
  }
  case DDB__COLUMN_HASHES:
    return null == nothing &&
           (nothing || ((const uint32_t *)column->lanes)[row] == ddb__column_hash(value));
  default:
    return true;
  }
}

static void check_column(const ddb__column *column, ddb__column_kind kind) {
  assert_non_null(column);
  assert_int_equal(column->kind, kind);
  for (size_t row = 0; row < DDB__BLOCK_ROWS; row++) {
    bool there = (live[row / 64] >> (row % 64) & 1) != 0;
    if (there && !lane_is(column, row, &values[row])) {
      fail_msg("seed %llu: row %zu of a column of kind %d", (unsigned long long)seed, row, kind);
    }
  }
}

typedef ddb_value make_value(uint64_t *random);

static ddb_value small_int(uint64_t *random) {
  return ddb_int((int64_t)support_below(random, 100) - 50);
}
static ddb_value short_int(uint64_t *random) {
  return ddb_int((int64_t)support_below(random, 60000) + 1000000);
}
static ddb_value medium_int(uint64_t *random) {
  return ddb_int((int64_t)support_below(random, UINT32_MAX) - 7);
}
static ddb_value any_int(uint64_t *random) {
  static const int64_t edges[] = {INT64_MIN, INT64_MAX, 0, -1};
  uint64_t choice = support_below(random, 8);
  return ddb_int(choice < 4 ? edges[choice] : (int64_t)support_random(random));
}
static ddb_value any_real(uint64_t *random) {
  return ddb_float(random_real(random));
}
static ddb_value few_texts(uint64_t *random) {
  static const char *const texts[] = {"", "a", "ab", "a longer text than that", "\xc3\xa9"};
  return ddb_text(ddb_str_from(texts[support_below(random, 5)]));
}
static ddb_value few_mixed(uint64_t *random) {
  switch (support_below(random, 6)) {
  case 0:
    return ddb_bool(true);
  case 1:
    return ddb_int(1);
  case 2:
    return ddb_float(1.0);
  case 3:
    return ddb_null();
  case 4:
    return (ddb_value){.kind = DDB_BYTES, .size = 3, .as = {.data = "a\0b"}};
  default:
    return few_texts(random);
  }
}

static ddb__memo_pool pool;
static ddb__heap table_heap;

/* Makes a column, changes half of the rows of a copy, and drops both. */
static void check_making(make_value *make, ddb__column_kind kind, uint64_t *random) {
  memset(live, 0, sizeof live);
  for (size_t row = 0; row < DDB__BLOCK_ROWS; row++) {
    bool there = row == 0 || support_below(random, 8) != 0;
    live[row / 64] |= (uint64_t)there << (row % 64);
    values[row] = make(random);
    if (row > 0 && support_below(random, 10) == 0) {
      values[row] = support_below(random, 2) ? ddb_null() : (ddb_value){.kind = DDB_MISSING};
    }
    values[row] = there ? values[row] : (ddb_value){.kind = DDB_MISSING};
  }
  values[0] = make(random);
  ddb__column *column = ddb__column_make(&pool, 3, values, live);
  check_column(column, kind);
  assert_int_equal(column->field_id, 3);
  static ddb_value before[DDB__BLOCK_ROWS];
  memcpy(before, values, sizeof values);
  ddb__column *copy = ddb__column_copy(&pool, column);
  bool fits = true;
  for (size_t row = 0; row < DDB__BLOCK_ROWS && fits; row += 1 + (size_t)support_below(random, 3)) {
    bool there = (live[row / 64] >> (row % 64) & 1) != 0;
    ddb_value value = support_below(random, 10) == 0 ? ddb_null() : make(random);
    fits = !there || ddb__column_set(copy, row, &value);
    values[row] = there && fits ? value : values[row];
  }
  if (fits) {
    check_column(copy, kind);
  }
  ddb__column_release(&pool, copy);
  memcpy(values, before, sizeof values);
  check_column(column, kind);
  ddb__column_release(&pool, column);
  assert_int_equal(atomic_load(&pool.used), 0);
  assert_int_equal(ddb__heap_bytes(&pool.heap), 0);
}

static void columns_hold_values(void **state) {
  (void)state;
  uint64_t random = seed;
  ddb__memo_pool_init(&pool, &table_heap);
  atomic_store(&pool.budget, 1 << 20);
  for (int i = 0; i < 30; i++) {
    check_making(small_int, DDB__COLUMN_INT, &random);
    check_making(short_int, DDB__COLUMN_INT, &random);
    check_making(medium_int, DDB__COLUMN_INT, &random);
    check_making(any_int, DDB__COLUMN_INT, &random);
    check_making(any_real, DDB__COLUMN_FLOAT, &random);
    check_making(few_texts, DDB__COLUMN_CODES, &random);
  }
  check_making(few_mixed, DDB__COLUMN_CODES, &random);
}

/* ---- Tables ------------------------------------------------------------------------------- */

static uint64_t column_bytes(const ddb_table *table) {
  ddb_memory memory;
  ddb_table_memory(table, &memory);
  assert_true(memory.column_bytes + memory.old_bytes <= memory.total_bytes);
  return memory.column_bytes;
}

enum { ROWS = 2 * DDB__BLOCK_ROWS + 5 };

static ddb_db *db;
static ddb_table *table;

static void world_open(void) {
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ok(rows_insert_many(table, 1, ROWS));
  assert_ok(ddb_table_column_budget_set(table, 1 << 20, NULL));
}

static void world_close(void) {
  ddb_table_release(table);
  ddb_db_release(db);
}

static uint64_t count_equal(int64_t a) {
  uint64_t count = UINT64_MAX;
  assert_ok(rows_count_equal(table, DDB_STR("a"), a, &count));
  return count;
}

static void kept_from_the_second_scan_on(void **state) {
  (void)state;
  world_open();
  assert_int_equal(count_equal(50), 1);
  assert_int_equal(column_bytes(table), 0);
  assert_int_equal(count_equal(50), 1);
  uint64_t bytes = column_bytes(table);
  assert_true(bytes > 2 * DDB__BLOCK_ROWS);
  assert_int_equal(count_equal(60), 1);
  assert_int_equal(column_bytes(table), bytes);
  /* A byte or two a row, not the eight of the record. */
  assert_true(sizeof(void *) * 4 * ROWS > bytes || DDB__BLOCK_ROWS < 4096);
  assert_int_equal(ddb_table_column_budget(table), 1 << 20);
  assert_ok(ddb_table_column_budget_set(table, DDB_COLUMN_BUDGET_AUTO, NULL));
  assert_in_range(ddb_table_column_budget(table), 1, rows_total_bytes(table) / 2);
  assert_ok(ddb_table_column_budget_set(table, 0, NULL));
  assert_int_equal(column_bytes(table), 0);
  assert_int_equal(count_equal(50), 1);
  assert_int_equal(column_bytes(table), 0);
  assert_int_equal(ddb_table_column_budget_set(NULL, 0, NULL), DDB_ERR_INVALID);
  world_close();
}

/* A snapshot goes on with the columns of its version, while they are dropped and made anew. */
static void old_versions_keep_theirs(void **state) {
  (void)state;
  world_open();
  for (int i = 0; i < 3; i++) {
    assert_int_equal(count_equal(50), 1);
  }
  ddb_snapshot *snapshot;
  ddb_view view;
  ddb_value fifty = ddb_int(50);
  ddb_cond *where;
  uint64_t count;
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &fifty, &where, NULL));
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  static bool is_fifty[ROWS + 1];
  memset(is_fifty, 0, sizeof is_fifty);
  is_fifty[5] = true;
  for (int64_t round = 0; round < 40; round++) {
    int64_t id = 1 + round * 7 % ROWS;
    assert_ok(rows_update(table, id, round % 4 == 3 ? 51 : 50));
    is_fifty[id] = round % 4 != 3;
    uint64_t expected = 0;
    for (size_t i = 1; i <= ROWS; i++) {
      expected += is_fifty[i];
    }
    assert_int_equal(count_equal(50), expected);
    if (round % 10 == 5) {
      assert_ok(ddb_table_column_budget_set(table, 0, NULL));
      assert_ok(ddb_table_column_budget_set(table, 1 << 20, NULL));
    }
    assert_ok(ddb_snapshot_view(snapshot, table, &view, NULL));
    assert_ok(ddb_view_count_where(&view, where, &count, NULL));
    assert_int_equal(count, 1);
    ddb_view_close(&view);
  }
  ddb_snapshot_close(snapshot);
  ddb_cond_release(where);
  world_close();
}

/* A statement that fails leaves nothing behind in columns, nor does one that is taken back. */
static void failed_statements_keep_columns(void **state) {
  (void)state;
  world_open();
  for (int i = 0; i < 3; i++) {
    assert_int_equal(count_equal(50), 1);
  }
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status = rows_update_all(table, 50);
    if (!support_allocator_failed()) {
      assert_ok(status);
      break;
    }
    assert_int_equal(count_equal(50), status ? 1 : ROWS);
    if (!status) {
      break;
    }
  }
  assert_int_equal(count_equal(50), ROWS);
  world_close();
}

/* A failure on the way of a column may go unnoticed, but never changes the answer. */
static void scans_without_memory(void **state) {
  (void)state;
  world_open();
  unsigned failures = 0;
  for (bool failed = true; failed; failures += failed) {
    assert_ok(ddb_table_column_budget_set(table, 0, NULL));
    assert_ok(ddb_table_column_budget_set(table, 1 << 20, NULL));
    assert_ok(rows_update(table, 1, failures));
    assert_ok(rows_update(table, 2, failures));
    support_allocator_fail((long)failures + 1);
    uint64_t count = 1;
    ddb_status status = rows_count_equal(table, DDB_STR("a"), 50, &count);
    failed = support_allocator_failed();
    assert_true(status == DDB_OK || (failed && status == DDB_ERR_NOMEM));
    assert_int_equal(count, 1 + (failures == 50));
    assert_int_equal(count_equal(50), 1 + (failures == 50));
    assert_int_equal(count_equal(60), 1);
  }
  assert_true(failures > 5);
  world_close();
}

/* ---- A full budget ------------------------------------------------------------------------ */

enum { SCANS_MANY = 60 }; /* more than it takes for a field to be cold, and then some */

static uint64_t count_field(ddb_str field) {
  uint64_t count = UINT64_MAX;
  assert_ok(rows_count_equal(table, field, 7, &count));
  return count;
}

/* Blocks that have a column of the field. */
static int blocks_with(ddb_str field) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  const ddb__rows *rows = &ddb__view_root(&view)->rows;
  uint32_t field_id = ddb__shapes_field_find(ddb__table_shapes(table), field);
  int found = 0;
  for (uint64_t seq = 0; seq < rows->end; seq += DDB__BLOCK_ROWS) {
    ddb__rows_node *block = ddb__rows_block(rows, seq);
    const ddb__memo *memo = block ? ddb__memo_get(NULL, block, NULL, 0, false) : NULL;
    found += memo && ddb__memo_column(memo, field_id);
  }
  ddb_view_close(&view);
  return found;
}

static const ddb_str field_a = {"a", 1};
static const ddb_str field_twin = {"twin", 4};
static const ddb_str field_more = {"more", 4};

/* A table with columns of a, and of more if asked for, and room for nothing else: of a and twin each
 * row takes 8 bytes. */
static void world_open_narrow(bool with_more) {
  world_open();
  for (int64_t id = 1; id <= ROWS; id += DDB__BLOCK_ROWS) {
    assert_ok(rows_update(table, id, INT64_MAX / 2));
    assert_ok(rows_update(table, id + 1, 7));
  }
  for (int64_t id = 1; with_more && id <= ROWS; id++) {
    assert_ok(rows_set_field(table, id, field_more, id));
  }
  for (int i = 0; i < 3; i++) {
    assert_int_equal(count_field(field_a), 3);
    assert_int_equal(with_more ? count_field(field_more) : 1, 1);
  }
  uint64_t half = DDB__BLOCK_LANES * sizeof(uint64_t) / 2;
  assert_ok(ddb_table_column_budget_set(table, column_bytes(table) + half, NULL));
  assert_int_equal(blocks_with(field_a), 2);
}

static void cold_columns_give_way(void **state) {
  (void)state;
  world_open_narrow(false);
  uint64_t budget = ddb_table_column_budget(table);
  for (int i = 0; i < SCANS_MANY; i++) { /* nobody asks for a any more */
    assert_int_equal(count_field(field_twin), 0);
    assert_true(column_bytes(table) <= budget);
  }
  assert_int_equal(blocks_with(field_twin), 2);
  assert_int_equal(blocks_with(field_a), 0);
  for (int i = 0; i < SCANS_MANY; i++) { /* both are in use: what is there stays */
    assert_int_equal(count_field(field_a), 3);
    assert_int_equal(count_field(field_twin), 0);
    assert_int_equal(blocks_with(field_twin), 2);
    assert_true(column_bytes(table) <= budget);
  }
  assert_ok(ddb_table_column_budget_set(table, 10 * budget, NULL));
  for (int i = 0; i < SCANS_MANY; i++) {
    assert_int_equal(count_field(field_a), 3);
  }
  assert_int_equal(blocks_with(field_a), 2);
  assert_int_equal(blocks_with(field_twin), 2);
  world_close();
}

static pthread_barrier_t read_locked;

static void *hold_read_lock(void *context) {
  ddb_status status = ddb_rwlock_acquire_read(ddb_table_lock(table), DDB_WAIT_FOREVER, NULL);
  (void)pthread_barrier_wait(&read_locked);
  (void)pthread_barrier_wait(&read_locked);
  *(ddb_status *)context = status ? status : ddb_rwlock_release_read(ddb_table_lock(table), NULL);
  return NULL;
}

/* Whoever holds the lock is not waited for; under the thread's own one the columns go in its version. */
static void room_is_not_waited_for(void **state) {
  (void)state;
  pthread_t reader;
  ddb_status status = DDB_ERR_INVALID;
  world_open_narrow(false);
  assert_int_equal(pthread_barrier_init(&read_locked, NULL, 2), 0);
  assert_int_equal(pthread_create(&reader, NULL, hold_read_lock, &status), 0);
  (void)pthread_barrier_wait(&read_locked);
  for (int i = 0; i < SCANS_MANY; i++) {
    assert_int_equal(count_field(field_twin), 0);
  }
  assert_int_equal(blocks_with(field_a), 2);
  (void)pthread_barrier_wait(&read_locked);
  assert_int_equal(pthread_join(reader, NULL), 0);
  assert_ok(status);
  (void)pthread_barrier_destroy(&read_locked);
  assert_ok(ddb_rwlock_acquire_write(ddb_table_lock(table), DDB_WAIT_FOREVER, NULL));
  for (int64_t i = 0; i < SCANS_MANY; i++) {
    assert_int_equal(count_field(field_twin), 0);
    assert_ok(rows_update(table, 5, i == 7 ? 6 : i));
  }
  assert_ok(ddb_rwlock_release_write(ddb_table_lock(table), NULL));
  for (int i = 0; i < SCANS_MANY; i++) {
    assert_int_equal(count_field(field_twin), 0);
  }
  assert_int_equal(blocks_with(field_a), 0);
  assert_int_equal(blocks_with(field_twin), 2);
  world_close();
}

/* Scans of twin until a gives way: at most `scan_count`; returns how many. */
static int scan_until_room(int scan_count) {
  world_open_narrow(true);
  int scans_done = 0;
  while (scans_done < scan_count && blocks_with(field_a) > 0) {
    assert_int_equal(count_field(field_more), 1);
    assert_int_equal(count_field(field_twin), 0);
    scans_done++;
  }
  return scans_done;
}

/* The scan that makes room, with each of its allocations failing once. */
static void room_without_memory(void **state) {
  (void)state;
  int until = scan_until_room(SCANS_MANY);
  assert_in_range(until, 2, SCANS_MANY - 1);
  world_close();
  int64_t before = support_allocator_bytes();
  long failures = 0;
  for (bool failed = true; failed; failures += failed) {
    assert_int_equal(scan_until_room(until - 1), until - 1);
    assert_int_equal(blocks_with(field_a), 2);
    uint64_t count = 1;
    support_allocator_fail(failures + 1);
    ddb_status status = rows_count_equal(table, field_more, 7, &count);
    failed = support_allocator_failed();
    assert_true(status == DDB_OK || (failed && status == DDB_ERR_NOMEM));
    assert_int_equal(count, 1);
    assert_true(failed || blocks_with(field_a) == 0);
    for (int i = 0; i < SCANS_MANY; i++) {
      assert_int_equal(count_field(field_more), 1);
      assert_int_equal(count_field(field_twin), 0);
    }
    assert_int_equal(blocks_with(field_a), 0);
    assert_int_equal(blocks_with(field_more), 2);
    assert_int_equal(blocks_with(field_twin), 2);
    world_close();
    assert_int_equal(support_allocator_bytes(), before);
  }
  assert_true(failures > 2);
}

/* A budget that cannot be set for want of memory is an error, and the next one works. */
static void budgets_without_memory(void **state) {
  (void)state;
  world_open();
  assert_int_equal(count_equal(50), 1);
  ddb_status status = DDB_ERR_NOMEM;
  long n = 0;
  while (status) {
    assert_int_equal(count_equal(50), 1);
    support_allocator_fail(++n);
    status = ddb_table_column_budget_set(table, 0, NULL);
    bool failed = support_allocator_failed();
    assert_true(status == DDB_OK || (failed && status == DDB_ERR_NOMEM));
    assert_int_equal(count_equal(50), 1);
  }
  assert_true(n > 1);
  assert_int_equal(column_bytes(table), 0);
  world_close();
}

static void bytes_come_back(void **state) {
  (void)state;
  int64_t before = support_allocator_bytes();
  for (int i = 0; i < 2; i++) {
    world_open();
    for (int64_t round = 0; round < 30; round++) {
      (void)count_equal(round);
      assert_ok(rows_update(table, 10 + round % (ROWS - 10), round));
      if (round % 7 == 0) {
        assert_ok(rows_delete(table, 1 + round / 7));
      }
    }
    assert_ok(rows_delete_all(table));
    assert_int_equal(count_equal(0), 0);
    world_close();
    before = i == 0 ? support_allocator_bytes() : before;
  }
  assert_int_equal(support_allocator_bytes(), before);
}

/* ---- Threads ------------------------------------------------------------------------------ */

static _Atomic bool stop;
static _Atomic int wrong;
static _Atomic uint64_t scans;

/* Every version has all its rows at one value of a, and of twin: see rows_update_all. A while the one
 * is asked for, a while the other, so that they give way to each other where there is room for one. */
static void *read_all(void *context) {
  (void)context;
  ddb_value zero = ddb_int(0);
  ddb_cond *where;
  if (ddb_cond_compare(DDB_STR("twin"), DDB_OP_LE, &zero, &where, NULL) != DDB_OK) {
    return NULL;
  }
  while (!atomic_load(&stop)) {
    ddb_view view;
    uint64_t count = 0;
    bool by_twin = atomic_load(&scans) / 64 % 2 == 1;
    if (ddb_view_open(table, &view, NULL) == DDB_OK) {
      uint64_t position = 0;
      const ddb_record *first = ddb_view_next(&view, &position);
      ddb_value a = ddb_record_get(first, by_twin ? field_twin : field_a);
      ddb_cond *equal;
      if (ddb_cond_compare(by_twin ? field_twin : field_a, DDB_OP_EQ, &a, &equal, NULL) == DDB_OK) {
        bool held = ddb_view_count_where(&view, equal, &count, NULL) != DDB_OK ||
                    count == ddb_view_count(&view);
        atomic_fetch_add(&wrong, !held);
        ddb_cond_release(equal);
      }
      atomic_fetch_add(&wrong,
                       by_twin && ddb_view_count_threads(&view, where, 2, &count, NULL) == DDB_OK &&
                           count != ddb_view_count(&view));
      ddb_view_close(&view);
      atomic_fetch_add(&scans, 1);
    }
  }
  ddb_cond_release(where);
  return NULL;
}

static void readers_share_columns(void **state) {
  (void)state;
  enum { READERS = 3 };
  pthread_t readers[READERS];
  world_open();
  assert_ok(rows_update_all(table, 1));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(count_equal(1), ROWS);
  }
  uint64_t narrow = column_bytes(table) + DDB__BLOCK_LANES;
  atomic_store(&stop, false);
  for (int i = 0; i < READERS; i++) {
    assert_int_equal(pthread_create(&readers[i], NULL, read_all, NULL), 0);
  }
  uint64_t random = seed;
  uint64_t milliseconds = support_number("DICTDB_MILLISECONDS", 1500);
  struct timespec began, now;
  (void)clock_gettime(CLOCK_MONOTONIC, &began);
  do {
    if (support_below(&random, 3) == 0) { /* else the columns are clean for a while */
      assert_ok(rows_update_all(table, (int64_t)support_below(&random, 1000)));
    }
    if (support_below(&random, 30) == 0) {
      uint64_t budgets[] = {0, 1 << 20, narrow, narrow, narrow};
      assert_ok(ddb_table_column_budget_set(table, budgets[support_below(&random, 5)], NULL));
    }
    struct timespec pause = {0, 200000};
    (void)nanosleep(&pause, NULL);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((uint64_t)(now.tv_sec - began.tv_sec) * 1000 < milliseconds || atomic_load(&scans) < 20);
  atomic_store(&stop, true);
  for (int i = 0; i < READERS; i++) {
    (void)pthread_join(readers[i], NULL);
  }
  assert_int_equal(atomic_load(&wrong), 0);
  world_close();
}

int main(void) {
  seed = support_seed("columns");
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_agree),
      cmocka_unit_test(columns_hold_values),
      cmocka_unit_test(kept_from_the_second_scan_on),
      cmocka_unit_test(old_versions_keep_theirs),
      cmocka_unit_test(failed_statements_keep_columns),
      cmocka_unit_test(scans_without_memory),
      cmocka_unit_test(budgets_without_memory),
      cmocka_unit_test(cold_columns_give_way),
      cmocka_unit_test(room_is_not_waited_for),
      cmocka_unit_test(room_without_memory),
      cmocka_unit_test(bytes_come_back),
      cmocka_unit_test(readers_share_columns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
