/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_firsts.c - what a sorted index tells of all rows: the same as looking at them, whatever the
 * allocations do, and nothing when the index is not about just that field.
 */
#include "rows.h"
#include "support.h"

enum { ROWS = 3000 };

typedef struct world {
  ddb_db *db;
  ddb_table *table;
} world;

/* Rows with `a` of so many values. */
static world world_of(int64_t values) {
  world w;
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("t"), NULL, &w.table, NULL));
  for (int64_t id = 1; id <= ROWS; id++) {
    assert_ok(rows_insert(w.table, id, id * 7919 % values));
  }
  return w;
}

static ddb_status select_distinct(ddb_table *table, const ddb_order *order, ddb_records *out) {
  ddb_str field = DDB_STR("a");
  ddb_query query = DDB_QUERY_INIT;
  query.distinct = true;
  query.distinct_fields = &field;
  query.distinct_count = 1;
  query.order = order;
  query.order_count = order ? 1 : 0;
  ddb_view view;
  ddb_status status = ddb_view_open(table, &view, NULL);
  if (!status) {
    status = ddb_view_select(&view, &query, out, NULL);
    ddb_view_close(&view);
  }
  return status;
}

/* The greatest, the least, how many, how many different ones. */
static ddb_status aggregate(ddb_table *table, int64_t *out) {
  const ddb_aggregate_kind kinds[] = {DDB_AGGREGATE_MAX, DDB_AGGREGATE_MIN, DDB_AGGREGATE_COUNT,
                                      DDB_AGGREGATE_COUNT_DISTINCT};
  const ddb_str names[] = {DDB_STR("0"), DDB_STR("1"), DDB_STR("2"), DDB_STR("3")};
  ddb_aggregate aggregates[4];
  for (size_t i = 0; i < 4; i++) {
    aggregates[i] = (ddb_aggregate){.kind = kinds[i], .name = names[i], .field = DDB_STR("a")};
  }
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.aggregates = aggregates;
  query.aggregate_count = 4;
  ddb_rowset *rows = NULL;
  ddb_view view;
  ddb_status status = ddb_view_open(table, &view, NULL);
  if (!status) {
    status = ddb_view_aggregate(&view, &query, &rows, NULL);
    ddb_view_close(&view);
  }
  for (size_t i = 0; i < 4 && !status; i++) {
    out[i] = ddb_record_get(ddb_rowset_record(rows, 0), names[i]).as.integer;
  }
  ddb_rowset_free(rows);
  return status;
}

static void check_answers(ddb_table *table, int64_t values) {
  int64_t told[4];
  ddb_records records = {0};
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  assert_ok(aggregate(table, told));
  assert_int_equal(told[0], values - 1);
  assert_int_equal(told[1], 0);
  assert_int_equal(told[2], ROWS);
  assert_int_equal(told[3], values);
  assert_ok(select_distinct(table, NULL, &records));
  assert_int_equal(records.count, values);
  for (size_t i = 0; i < records.count; i++) {
    assert_int_equal(ddb_record_get(records.items[i], DDB_STR("id")).as.integer, i + 1);
  }
  ddb_records_free(&records);
  assert_ok(select_distinct(table, &order, &records));
  assert_int_equal(records.count, values);
  for (size_t i = 0; i < records.count; i++) {
    int64_t a = ddb_record_get(records.items[i], DDB_STR("a")).as.integer;
    assert_int_equal(a, values - 1 - (int64_t)i);
  }
  ddb_records_free(&records);
}

/* Few values, and so many that the index is given up. */
static void answers_are_those_of_a_scan(void **state) {
  (void)state;
  const int64_t counts[] = {1, 2, 5, 40, ROWS / 2, ROWS};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    world w = world_of(counts[i]);
    check_answers(w.table, counts[i]);
    assert_ok(ddb_table_index_create(w.table, DDB_STR("twin"), DDB_INDEX_SORTED, NULL));
    assert_ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
    check_answers(w.table, counts[i]);
    assert_ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
    check_answers(w.table, counts[i]);
    ddb_db_release(w.db);
  }
}

/* Asks with every allocation failing once; returns how many there were. */
static unsigned fail_each(ddb_table *table, bool select) {
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  for (unsigned n = 1;; n++) {
    int64_t before = support_allocator_bytes();
    int64_t told[4];
    ddb_records records = {0};
    support_allocator_fail((long)n);
    ddb_status status = select ? select_distinct(table, &order, &records) : aggregate(table, told);
    bool failed = support_allocator_failed();
    ddb_records_free(&records);
    if (!failed) {
      assert_ok(status);
      return n - 1;
    }
    assert_true(status == DDB_OK || status == DDB_ERR_NOMEM);
    assert_int_equal(support_allocator_bytes(), before);
  }
}

static void allocations_fail(void **state) {
  (void)state;
  world w = world_of(40);
  assert_ok(ddb_table_column_budget_set(w.table, 0, NULL));
  assert_ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  assert_true(fail_each(w.table, true) > 3);
  assert_true(fail_each(w.table, false) > 3);
  check_answers(w.table, 40);
  ddb_db_release(w.db);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_those_of_a_scan),
      cmocka_unit_test(allocations_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
