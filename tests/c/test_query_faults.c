/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query_faults.c - the planted faults of indexes, of aggregates over columns and of joins are
 * found, as test_store_faults.c finds the others.
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

/* ---- Ranges, unions, intersections and walks ------------------------------------------------ */

enum { TEXTS = 50 };

/* "t0" to "t49" as `a`, with a sorted index. */
static world world_with_texts(void) {
  world w = world_with_rows(TEXTS);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  for (int64_t id = 1; id <= TEXTS; id++) {
    char text[16];
    (void)snprintf(text, sizeof text, "t%d", (int)(id - 1));
    ddb_value value = ddb_text((ddb_str){text, strlen(text)});
    ok(rows_set_value(w.table, id, DDB_STR("a"), &value));
  }
  return w;
}

static ddb_cond *is_number(ddb_str field, int64_t number) {
  ddb_value value = ddb_int(number);
  ddb_cond *cond = NULL;
  ok(ddb_cond_compare(field, DDB_OP_EQ, &value, &cond, NULL));
  return cond;
}

static ddb_cond *is_like(const char *pattern) {
  ddb_expr *field = NULL;
  ddb_cond *cond = NULL;
  ok(ddb_expr_field(DDB_STR("a"), &field, NULL));
  ok(ddb_cond_like(field, (ddb_str){pattern, strlen(pattern)}, DDB_STR(""), false, &cond, NULL));
  ddb_expr_release(field);
  return cond;
}

/* Takes the condition. As many match, counted and selected; the first of them has this id. */
static void check_matches(ddb_table *table, ddb_cond *where, size_t count, int64_t first) {
  ddb_query query = DDB_QUERY_INIT;
  query.where = where;
  ddb_view view;
  ddb_records records = {0};
  uint64_t counted = 0;
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_count_where(&view, where, &counted, NULL));
  ok(ddb_view_select(&view, &query, &records, NULL));
  check(counted == count && records.count == count);
  check(count == 0 ||
        (records.count > 0 && ddb_record_get(records.items[0], DDB_STR("id")).as.integer == first));
  ddb_records_free(&records);
  ddb_view_close(&view);
  ddb_cond_release(where);
}

/* "t1" and "t10" to "t19" begin so. */
static bool run_range_like_decides(void) {
  world w = world_with_texts();
  check_matches(w.table, is_like("t1_"), 10, 11);
  return nothing_wrong();
}

static bool run_range_prefix_short(void) {
  world w = world_with_texts();
  check_matches(w.table, is_like("t1%"), 11, 2);
  return nothing_wrong();
}

static bool run_range_null_skipped(void) {
  world w = world_with_rows(TEXTS);
  ddb_value null = ddb_null();
  ok(rows_set_value(w.table, 5, DDB_STR("a"), &null));
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_value value = ddb_int(10);
  ddb_cond *cond = NULL;
  ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_NE, &value, &cond, NULL));
  check_matches(w.table, cond, TEXTS - 1, 2);
  return nothing_wrong();
}

static bool run_plan_union_loses(void) {
  world w = world_with_rows(TEXTS);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  ddb_cond *parts[] = {is_number(DDB_STR("a"), 70), is_number(DDB_STR("a"), 30)};
  ddb_cond *either = NULL;
  ok(ddb_cond_or(parts, 2, &either, NULL));
  check_matches(w.table, either, 2, 3);
  ddb_cond_release(parts[0]);
  ddb_cond_release(parts[1]);
  return nothing_wrong();
}

/* 100 rows, of which 20 have a = 0, 20 have twin = 0, and 4 both: of these the first and the last
 * are the ids 1 and 76. */
static world world_of_squares(void) {
  world w = world_with_rows(100);
  for (int64_t id = 1; id <= 100; id++) {
    ok(rows_set_field(w.table, id, DDB_STR("a"), (id - 1) % 5));
    ok(rows_set_field(w.table, id, DDB_STR("twin"), (id - 1) / 5 % 5));
  }
  return w;
}

static void check_both_are_zero(const world *w) {
  ddb_cond *parts[] = {is_number(DDB_STR("a"), 0), is_number(DDB_STR("twin"), 0)};
  ddb_cond *both = NULL;
  ok(ddb_cond_and(parts, 2, &both, NULL));
  check_matches(w->table, both, 4, 1);
  ddb_cond_release(parts[0]);
  ddb_cond_release(parts[1]);
}

static bool run_plan_intersection_loses(void) {
  world w = world_of_squares();
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  ok(ddb_table_index_create(w.table, DDB_STR("twin"), DDB_INDEX_HASH, NULL));
  check_both_are_zero(&w);
  return nothing_wrong();
}

static bool run_plan_rest_forgotten(void) {
  world w = world_of_squares();
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  check_both_are_zero(&w);
  return nothing_wrong();
}

static bool run_walk_wrong_way(void) {
  world w = world_with_rows(TEXTS);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  ddb_query query = DDB_QUERY_INIT;
  query.order = &order;
  query.order_count = 1;
  query.limit = 1;
  ddb_view view;
  ddb_records records = {0};
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_select(&view, &query, &records, NULL));
  check(records.count == 1 && ddb_record_get(records.items[0], DDB_STR("id")).as.integer == TEXTS);
  ddb_records_free(&records);
  ddb_view_close(&view);
  return nothing_wrong();
}

/* ---- What indexes tell of all rows ---------------------------------------------------------- */

static ddb_rowset *aggregate_some(ddb_table *table, const ddb_cond *where,
                                  ddb_aggregate_kind kind) {
  ddb_aggregate aggregate = {.kind = kind, .name = DDB_STR("n"), .field = DDB_STR("a")};
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.where = where;
  query.aggregates = &aggregate;
  query.aggregate_count = 1;
  ddb_rowset *rows = NULL;
  ddb_view view;
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_aggregate(&view, &query, &rows, NULL));
  ddb_view_close(&view);
  return rows;
}

static ddb_rowset *aggregate_all(ddb_table *table, ddb_aggregate_kind kind) {
  return aggregate_some(table, NULL, kind);
}

static bool run_firsts_count_nulls(void) {
  world w = world_with_rows(TEXTS);
  ddb_value null = ddb_null();
  ok(rows_set_value(w.table, 5, DDB_STR("a"), &null));
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_rowset *rows = aggregate_all(w.table, DDB_AGGREGATE_COUNT);
  check(number_at(rows, 0, DDB_STR("n")) == TEXTS - 1);
  ddb_rowset_free(rows);
  return nothing_wrong();
}

/* The last row has the greatest number, as an int; one before has it as a float. */
static bool run_firsts_last_of_ties(void) {
  world w = world_with_rows(TEXTS);
  ddb_value real = ddb_float(10.0 * TEXTS);
  ok(rows_set_value(w.table, 5, DDB_STR("a"), &real));
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_rowset *rows = aggregate_all(w.table, DDB_AGGREGATE_MAX);
  check(ddb_record_get(ddb_rowset_record(rows, 0), DDB_STR("n")).kind == DDB_FLOAT);
  ddb_rowset_free(rows);
  return nothing_wrong();
}

/* The different values of `a`, or of `a` and "twin": so many, of the rows 1, 2, ... */
static void check_different(ddb_table *table, const ddb_order *order, size_t fields, uint64_t limit,
                            size_t wanted) {
  static const ddb_str names[] = {{"a", 1}, {"twin", 4}};
  ddb_query query = DDB_QUERY_INIT;
  query.distinct = true;
  query.distinct_fields = names;
  query.distinct_count = fields;
  query.order = order;
  query.order_count = order ? 1 : 0;
  query.limit = limit;
  ddb_view view;
  ddb_records records = {0};
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_select(&view, &query, &records, NULL));
  check(records.count == wanted);
  for (size_t i = 0; i < records.count && nothing_wrong(); i++) {
    check(ddb_record_get(records.items[i], DDB_STR("id")).as.integer == (int64_t)i + 1);
  }
  ddb_records_free(&records);
  ddb_view_close(&view);
}

/* Of the values 4, 3, 2, 1, 0, 4, ... the first five are all. */
static bool run_firsts_by_value(void) {
  world w = world_with_rows(TEXTS);
  for (int64_t id = 1; id <= TEXTS; id++) {
    ok(rows_set_field(w.table, id, DDB_STR("a"), 4 - (id - 1) % 5));
  }
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  check_different(w.table, NULL, 1, DDB_NO_LIMIT, 5);
  return nothing_wrong();
}

/* Rows of one `a` have different "twin"s. */
static bool run_firsts_of_fewer(void) {
  world w = world_with_rows(TEXTS);
  for (int64_t id = 1; id <= TEXTS; id++) {
    ok(rows_set_field(w.table, id, DDB_STR("a"), id % 2));
  }
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  check_different(w.table, NULL, 2, DDB_NO_LIMIT, TEXTS);
  return nothing_wrong();
}

static bool run_firsts_cut_early(void) {
  world w = world_with_rows(TEXTS);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_order order = {.field = DDB_STR("a")};
  check_different(w.table, &order, 1, 3, 3);
  return nothing_wrong();
}

/* The greatest of those that are not: the walk goes back from the end of the index. */
static bool run_ends_of_some(void) {
  world w = world_with_rows(TEXTS);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_value last = ddb_int(TEXTS);
  ddb_cond *where;
  ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_NE, &last, &where, NULL));
  ddb_rowset *rows = aggregate_some(w.table, where, DDB_AGGREGATE_MAX);
  check(number_at(rows, 0, DDB_STR("n")) == INT64_C(10) * (TEXTS - 1));
  ddb_rowset_free(rows);
  ddb_cond_release(where);
  return nothing_wrong();
}

/* The least of those that are not the second: the first two have none. */
static bool run_walk_begins_at_null(void) {
  world w = world_with_rows(TEXTS);
  ddb_value null = ddb_null();
  ok(rows_set_value(w.table, 1, DDB_STR("a"), &null));
  ok(rows_set_value(w.table, 2, DDB_STR("a"), &null));
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_value second = ddb_int(2);
  ddb_cond *where;
  ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_NE, &second, &where, NULL));
  ddb_rowset *rows = aggregate_some(w.table, where, DDB_AGGREGATE_MIN);
  check(number_at(rows, 0, DDB_STR("n")) == 30);
  ddb_rowset_free(rows);
  ddb_cond_release(where);
  return nothing_wrong();
}

/* ---- Names of a result ---------------------------------------------------------------------- */

/* Groups of a + 1, by how many there are of each: `a` is the name of their number, too. */
static bool run_group_hides_name(void) {
  world w = world_new();
  for (int64_t id = 1; id <= 5; id++) {
    ok(rows_insert(w.table, id, id < 4 ? 1 : 2));
  }
  ddb_expr *a;
  ddb_expr *one;
  ddb_expr *next;
  ddb_value value = ddb_int(1);
  ok(ddb_expr_field(DDB_STR("a"), &a, NULL));
  ok(ddb_expr_value(&value, &one, NULL));
  ok(ddb_expr_arith(DDB_ARITH_ADD, a, one, &next, NULL));
  ddb_group_field group = {.name = DDB_STR("g"), .expr = next};
  ddb_aggregate count = {.kind = DDB_AGGREGATE_COUNT, .name = DDB_STR("a")};
  ddb_order order = {.expr = next};
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.groups = &group;
  query.group_count = 1;
  query.aggregates = &count;
  query.aggregate_count = 1;
  query.order = &order;
  query.order_count = 1;
  ddb_view view;
  ddb_rowset *rows = NULL;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_aggregate(&view, &query, &rows, NULL));
  check(ddb_rowset_count(rows) == 2 && number_at(rows, 0, DDB_STR("a")) == 2);
  ddb_rowset_free(rows);
  ddb_view_close(&view);
  ddb_expr_release(next);
  ddb_expr_release(one);
  ddb_expr_release(a);
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

static void check_cond(ddb_cond *cond, const char *wanted) {
  char text[64] = "";
  if (cond) {
    (void)ddb_cond_format(cond, text, sizeof text);
  }
  check(strcmp(text, wanted) == 0);
  ddb_cond_release(cond);
}

/* `a` is the left side's under another name, `b` the right one's; and there is a part of both. */
static bool run_join_split_loses(void) {
  ddb_join_column columns[] = {{false, DDB_STR("a"), DDB_STR("x")},
                               {true, DDB_STR("b"), DDB_STR("b")}};
  ddb_join join = {.kind = DDB_JOIN_LEFT, .columns = columns, .column_count = 2};
  ddb_value one = ddb_int(1);
  ddb_cond *parts[3];
  ddb_cond *where;
  ddb_cond *left = NULL;
  ddb_cond *rest = NULL;
  ok(ddb_cond_compare(DDB_STR("x"), DDB_OP_LT, &one, &parts[0], NULL));
  ok(ddb_cond_is_null(DDB_STR("b"), &parts[1], NULL));
  ok(ddb_cond_or(parts, 2, &parts[2], NULL));
  ok(ddb_cond_and(parts, 3, &where, NULL));
  ok(ddb_join_split(&join, where, &left, &rest, NULL));
  check_cond(left, "a < 1");
  check_cond(rest, "(b.is_null() & (x < 1 | b.is_null()))");
  for (int i = 0; i < 3; i++) {
    ddb_cond_release(parts[i]);
  }
  ddb_cond_release(where);
  return nothing_wrong();
}

/* ---- All of them ---------------------------------------------------------------------------- */

static const fault_case cases[] = {
    {DDB__FAULT_INPUT_STALE, run_input_stale, 20},
    {DDB__FAULT_CODE_GROUPS_KEPT, run_code_groups_kept, 20},
    {DDB__FAULT_COLUMNS_PUSH_OUT, run_columns_push_out, 20},
    {DDB__FAULT_RANGE_LIKE_DECIDES, run_range_like_decides, 20},
    {DDB__FAULT_RANGE_PREFIX_SHORT, run_range_prefix_short, 20},
    {DDB__FAULT_RANGE_NULL_SKIPPED, run_range_null_skipped, 20},
    {DDB__FAULT_PLAN_UNION_LOSES, run_plan_union_loses, 20},
    {DDB__FAULT_PLAN_INTERSECTION_LOSES, run_plan_intersection_loses, 20},
    {DDB__FAULT_PLAN_REST_FORGOTTEN, run_plan_rest_forgotten, 20},
    {DDB__FAULT_WALK_WRONG_WAY, run_walk_wrong_way, 20},
    {DDB__FAULT_FIRSTS_COUNT_NULLS, run_firsts_count_nulls, 20},
    {DDB__FAULT_FIRSTS_LAST_OF_TIES, run_firsts_last_of_ties, 20},
    {DDB__FAULT_WALK_BEGINS_AT_NULL, run_walk_begins_at_null, 20},
    {DDB__FAULT_FIRSTS_OF_FEWER, run_firsts_of_fewer, 20},
    {DDB__FAULT_FIRSTS_CUT_EARLY, run_firsts_cut_early, 20},
    {DDB__FAULT_FIRSTS_BY_VALUE, run_firsts_by_value, 20},
    {DDB__FAULT_GROUP_HIDES_NAME, run_group_hides_name, 20},
    {DDB__FAULT_JOIN_PUSHES_OUTER, run_join_pushes_outer, 20},
    {DDB__FAULT_JOIN_EARLY_END, run_join_early_end, 20},
    {DDB__FAULT_JOIN_SPLIT_LOSES, run_join_split_loses, 20},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };
_Static_assert(CASE_COUNT == (int)FAULTS_OF_QUERIES, "a fault has no scenario");

static void test_scenarios_hold(void **state) {
  (void)state;
  hold_all(cases, CASE_COUNT);
}

static void test_ends_of_some_are_walked_to(void **state) {
  (void)state;
  assert_true(holds_in_child(run_ends_of_some, DDB__FAULT_NONE, 60));
  assert_false(holds_in_child(run_ends_of_some, DDB__FAULT_WALK_WRONG_WAY, 20));
}

static void test_faults_are_found(void **state) {
  (void)state;
  find_all(cases, CASE_COUNT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scenarios_hold),
      cmocka_unit_test(test_faults_are_found),
      cmocka_unit_test(test_ends_of_some_are_walked_to),
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
