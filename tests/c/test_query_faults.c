/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query_faults.c - the planted faults of aggregates over columns and of joins are found, as
 * test_store_faults.c finds the others.
 */
#include "base/testing.h"
#include "support.h"

#ifdef DDB_TESTING

#include "fault_scenario.h"

/* ---- Aggregates over columns ---------------------------------------------------------------- */

/* {"g": group of the row's `a`, "n": how many, "s": the sum of twin}, until columns are kept. */
static ddb_rowset *aggregate(ddb_table *table, bool grouped) {
  ddb_group_field group = {.field = DDB_STR("a"), .name = DDB_STR("g")};
  ddb_aggregate aggregates[] = {
      {.kind = DDB_AGGREGATE_COUNT, .name = DDB_STR("n")},
      {.kind = DDB_AGGREGATE_SUM, .name = DDB_STR("s"), .field = DDB_STR("twin")},
  };
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.groups = &group;
  query.group_count = grouped ? 1 : 0;
  query.aggregates = aggregates;
  query.aggregate_count = 2;
  ddb_rowset *rows = NULL;
  for (int i = 0; i < 3; i++) {
    ddb_view view;
    ddb_rowset_free(rows);
    rows = NULL;
    ok(ddb_view_open(table, &view, NULL));
    ok(ddb_view_aggregate(&view, &query, &rows, NULL));
    ddb_view_close(&view);
  }
  return rows;
}

static int64_t number_at(const ddb_rowset *rows, size_t row, ddb_str name) {
  return ddb_record_get(ddb_rowset_record(rows, row), name).as.integer;
}

static bool run_input_stale(void) {
  world w = world_with_rows(100);
  ok(ddb_table_column_budget_set(w.table, 1 << 20, NULL));
  ddb_rowset_free(aggregate(w.table, false));
  ok(rows_set_field(w.table, 17, DDB_STR("twin"), -171));
  ddb_rowset *rows = aggregate(w.table, false);
  check(number_at(rows, 0, DDB_STR("s")) == -50501);
  ddb_rowset_free(rows);
  return nothing_wrong();
}

/* Each text comes twice, so that blocks have codes, and others than the block before. */
static bool run_code_groups_kept(void) {
  enum { ROWS = 400 };
  world w = world_with_rows(ROWS);
  ok(ddb_table_column_budget_set(w.table, 1 << 20, NULL));
  for (int64_t id = 1; id <= ROWS; id++) {
    char text[16];
    (void)snprintf(text, sizeof text, "text %d", (int)(id - 1) / 2);
    ddb_value value = ddb_text((ddb_str){text, strlen(text)});
    ok(rows_set_value(w.table, id, DDB_STR("a"), &value));
  }
  ddb_rowset *rows = aggregate(w.table, true);
  check(ddb_rowset_count(rows) == ROWS / 2);
  for (size_t i = 0; i < ROWS / 2 && nothing_wrong(); i++) {
    check(number_at(rows, i, DDB_STR("n")) == 2);
  }
  ddb_rowset_free(rows);
  return nothing_wrong();
}

static uint64_t column_bytes(const ddb_table *table) {
  ddb_memory memory;
  ddb_table_memory(table, &memory);
  return memory.column_bytes;
}

static void count_field(ddb_table *table, ddb_str field) {
  uint64_t count = 0;
  ok(rows_count_equal(table, field, 7, &count));
}

/* Two fields are asked for in turn, and there is room for one: what was kept first stays. */
static bool run_columns_push_out(void) {
  world w = world_with_rows(100);
  ok(ddb_table_column_budget_set(w.table, 1 << 20, NULL));
  for (int i = 0; i < 3; i++) {
    count_field(w.table, DDB_STR("a"));
  }
  uint64_t bytes = column_bytes(w.table);
  ok(ddb_table_column_budget_set(w.table, bytes, NULL));
  for (int i = 0; i < 20; i++) {
    count_field(w.table, DDB_STR("twin"));
    count_field(w.table, DDB_STR("twin"));
    count_field(w.table, DDB_STR("a"));
    check(column_bytes(w.table) == bytes);
  }
  return nothing_wrong();
}

/* ---- Joins ---------------------------------------------------------------------------------- */

/* 50 rows on the left, and those with an even id on the right: `a` of the right one as "b". */
static void join_evens(ddb_join_kind kind, const ddb_cond *where, uint64_t limit, size_t wanted) {
  world w = world_with_rows(50);
  ddb_table *evens = NULL;
  ok(ddb_db_table_create(w.db, DDB_STR("evens"), NULL, &evens, NULL));
  for (int64_t id = 2; id <= 50; id += 2) {
    ok(rows_insert(evens, id, id));
  }
  ddb_view left;
  ddb_view right;
  ok(ddb_view_open(w.table, &left, NULL));
  ok(ddb_view_open(evens, &right, NULL));
  ddb_join_key key = {DDB_STR("id"), DDB_STR("id")};
  ddb_join_column columns[] = {{false, DDB_STR("id"), DDB_STR("id")},
                               {true, DDB_STR("a"), DDB_STR("b")}};
  ddb_join join = {.left = &left,
                   .right = &right,
                   .kind = kind,
                   .keys = &key,
                   .key_count = 1,
                   .columns = columns,
                   .column_count = 2};
  ddb_query query = DDB_QUERY_INIT;
  query.where = where;
  query.limit = limit;
  ddb_rowset *rows = NULL;
  ok(ddb_join_select(&join, &query, &rows, NULL));
  check(rows && ddb_rowset_count(rows) == wanted);
  ddb_rowset_free(rows);
  ddb_view_close(&left);
  ddb_view_close(&right);
}

static bool run_join_pushes_outer(void) {
  ddb_cond *null;
  ok(ddb_cond_is_null(DDB_STR("b"), &null, NULL));
  join_evens(DDB_JOIN_LEFT, null, DDB_NO_LIMIT, 25);
  ddb_cond_release(null);
  return nothing_wrong();
}

static bool run_join_early_end(void) {
  join_evens(DDB_JOIN_INNER, NULL, 7, 7);
  return nothing_wrong();
}

/* ---- All of them ---------------------------------------------------------------------------- */

static const fault_case cases[] = {
    {DDB__FAULT_INPUT_STALE, run_input_stale, 20},
    {DDB__FAULT_CODE_GROUPS_KEPT, run_code_groups_kept, 20},
    {DDB__FAULT_COLUMNS_PUSH_OUT, run_columns_push_out, 20},
    {DDB__FAULT_JOIN_PUSHES_OUTER, run_join_pushes_outer, 20},
    {DDB__FAULT_JOIN_EARLY_END, run_join_early_end, 20},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };
_Static_assert(CASE_COUNT == (int)FAULTS_OF_QUERIES, "a fault has no scenario");

static void test_scenarios_hold(void **state) {
  (void)state;
  hold_all(cases, CASE_COUNT);
}

static void test_faults_are_found(void **state) {
  (void)state;
  find_all(cases, CASE_COUNT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scenarios_hold),
      cmocka_unit_test(test_faults_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_only_in_testing_builds(void **state) {
  (void)state;
  skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_in_testing_builds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
