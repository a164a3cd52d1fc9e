/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates through the C library: numbers beyond int64, every allocation made to fail, and what a
 * caller can get wrong. The meaning of every kind is held against a naive evaluation in the Python
 * tests.
 */
#include "rows.h"
#include "support.h"

#define ROWS 200

static ddb_db *db;
static ddb_table *table;

static const ddb_aggregate every[] = {
    {.name = {"n", 1}, .kind = DDB_AGGREGATE_COUNT},
    {.name = {"sum", 3}, .kind = DDB_AGGREGATE_SUM, .field = {"v", 1}},
    {.name = {"avg", 3}, .kind = DDB_AGGREGATE_AVG, .field = {"big", 3}},
    {.name = {"min", 3}, .kind = DDB_AGGREGATE_MIN, .field = {"text", 4}},
    {.name = {"max", 3}, .kind = DDB_AGGREGATE_MAX, .field = {"text", 4}},
    {.name = {"distinct", 8}, .kind = DDB_AGGREGATE_COUNT_DISTINCT, .field = {"v", 1}},
    {.name = {"first", 5}, .kind = DDB_AGGREGATE_FIRST, .field = {"big", 3}},
    {.name = {"last", 4}, .kind = DDB_AGGREGATE_LAST, .field = {"text", 4}},
    {.name = {"stddev", 6}, .kind = DDB_AGGREGATE_STDDEV, .field = {"v", 1}},
    {.name = {"median", 6}, .kind = DDB_AGGREGATE_MEDIAN, .field = {"big", 3}},
    {.name = {"q", 1}, .kind = DDB_AGGREGATE_QUANTILE, .field = {"v", 1}, .quantile = 0.25},
    {.name = {"all", 3}, .kind = DDB_AGGREGATE_COLLECT, .field = {"text", 4}},
    {.name = {"money", 5}, .kind = DDB_AGGREGATE_SUM, .field = {"money", 5}},
};
enum { KINDS = sizeof every / sizeof every[0] };

static ddb_value value_of_kind(ddb_kind kind, const void *data, size_t size) {
  return (ddb_value){.kind = (uint8_t)kind, .size = (uint32_t)size, .as.data = data};
}

static int setup(void **state) {
  (void)state;
  static const uint8_t big[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}; /* 2^64 */
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  for (int i = 0; i < ROWS; i++) {
    char text[24];
    char money[24];
    size_t text_size = (size_t)snprintf(text, sizeof text, "text %d", i % 37);
    size_t money_size = (size_t)snprintf(money, sizeof money, "%d.%02d", i, i % 100);
    ddb_field fields[] = {
        {DDB_STR("g"), ddb_int(i % 23)},
        {DDB_STR("v"), ddb_int(INT64_MAX - i)},
        {DDB_STR("big"), value_of_kind(DDB_BIGINT, big, sizeof big)},
        {DDB_STR("text"), ddb_text((ddb_str){text, text_size})},
        {DDB_STR("money"), value_of_kind(DDB_DECIMAL, money, money_size)},
    };
    assert_ok(ddb_table_insert_fields(table, fields, 5, NULL, NULL));
  }
  return 0;
}

static int teardown(void **state) {
  (void)state;
  ddb_table_release(table);
  ddb_db_release(db);
  return 0;
}

static ddb_status aggregate(const ddb_aggregate_query *query, ddb_rowset **rows, ddb_error *err) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  ddb_status status = ddb_view_aggregate(&view, query, rows, err);
  ddb_view_close(&view);
  return status;
}

static void assert_field(const ddb_record *record, const char *name, const char *expected) {
  char text[64];
  ddb_value value = ddb_record_get(record, ddb_str_from(name));
  (void)ddb_value_format(&value, text, sizeof text);
  assert_string_equal(text, expected);
}

/* 200 values from 2^63 - 1 down. */
static void test_sums_beyond_int64(void **state) {
  (void)state;
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.aggregates = every;
  query.aggregate_count = KINDS;
  ddb_rowset *rows;
  assert_ok(aggregate(&query, &rows, NULL));
  assert_int_equal(ddb_rowset_count(rows), 1);
  const ddb_record *record = ddb_rowset_record(rows, 0);
  assert_field(record, "n", "200");
  assert_field(record, "sum", "1844674407370955141500");
  assert_field(record, "avg", "1.8446744073709552e+19");
  assert_field(record, "median", "1.8446744073709552e+19");
  assert_field(record, "min", "'text 0'");
  assert_field(record, "max", "'text 9'");
  assert_field(record, "last", "'text 14'");
  assert_field(record, "distinct", "200");
  assert_field(record, "money", "Decimal('19999.00')");
  ddb_rowset_free(rows);
}

static void test_groups_having_order_limit(void **state) {
  (void)state;
  ddb_group_field group = {.field = DDB_STR("g")};
  ddb_value eight = ddb_int(8);
  ddb_cond *having;
  assert_ok(ddb_cond_compare(DDB_STR("n"), DDB_OP_GT, &eight, &having, NULL));
  ddb_order order = {.field = DDB_STR("g"), .descending = true};
  ddb_aggregate_query query = {.groups = &group,
                               .group_count = 1,
                               .aggregates = every,
                               .aggregate_count = 1,
                               .having = having,
                               .order = &order,
                               .order_count = 1,
                               .offset = 1,
                               .limit = 3};
  ddb_rowset *rows;
  assert_ok(aggregate(&query, &rows, NULL));
  assert_int_equal(ddb_rowset_count(rows), 3);
  assert_field(ddb_rowset_record(rows, 0), "g", "14"); /* 0 to 15 have nine */
  assert_field(ddb_rowset_record(rows, 2), "g", "12");
  assert_field(ddb_rowset_record(rows, 2), "n", "9");
  ddb_rowset_free(rows);
  ddb_cond_release(having);
}

/* Each allocation fails once: an error without a leak, and then the answer. */
static void test_every_allocation_fails(void **state) {
  (void)state;
  ddb_expr *text;
  ddb_expr *size;
  assert_ok(ddb_expr_field(DDB_STR("text"), &text, NULL));
  assert_ok(ddb_expr_len(text, &size, NULL));
  ddb_group_field groups[] = {{.field = DDB_STR("g")}, {.name = DDB_STR("size"), .expr = size}};
  ddb_order order[] = {{.field = DDB_STR("sum"), .descending = true}, {.field = DDB_STR("g")}};
  ddb_value one = ddb_int(1);
  ddb_cond *having;
  assert_ok(ddb_cond_compare(DDB_STR("n"), DDB_OP_GT, &one, &having, NULL));
  ddb_aggregate_query query = {.groups = groups,
                               .group_count = 2,
                               .aggregates = every,
                               .aggregate_count = KINDS,
                               .having = having,
                               .order = order,
                               .order_count = 2,
                               .limit = DDB_NO_LIMIT};
  assert_ok(ddb_table_column_budget_set(table, 0, NULL)); /* what is not kept cannot fail quietly */
  int64_t before = support_allocator_bytes();
  long failures = 0;
  for (bool failed = true; failed; failures += failed) {
    ddb_rowset *rows = NULL;
    support_allocator_fail(failures + 1);
    ddb_status status = aggregate(&query, &rows, NULL);
    failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    if (!failed) {
      assert_true(ddb_rowset_count(rows) > 30);
    }
    ddb_rowset_free(rows);
    assert_int_equal(support_allocator_bytes(), before);
  }
  assert_true(failures > 100);
  ddb_cond_release(having);
  ddb_expr_release(size);
  ddb_expr_release(text);
}

/* What an index tells, and what is scanned for; with every allocation made to fail once. */
static ddb_status explain(const ddb_aggregate_query *query, bool analyze, const char *last,
                          const char *detail, uint64_t actual) {
  ddb_view view;
  ddb_plan plan;
  assert_ok(ddb_view_open(table, &view, NULL));
  ddb_status status = ddb_view_explain_aggregate(&view, query, analyze, &plan, NULL);
  ddb_view_close(&view);
  if (!status) {
    const ddb_plan_node *node = &plan.nodes[plan.count - 1];
    assert_string_equal(node->step, last);
    assert_string_equal(node->detail, detail);
    assert_int_equal(node->actual, analyze ? actual : DDB_NO_LIMIT);
    ddb_plan_free(&plan);
  }
  return status;
}

static void test_explained(void **state) {
  (void)state;
  ddb_group_field group = {.field = DDB_STR("g")};
  ddb_aggregate ends[] = {
      {.name = DDB_STR("n"), .kind = DDB_AGGREGATE_COUNT},
      {.name = DDB_STR("d"), .kind = DDB_AGGREGATE_COUNT_DISTINCT, .field = DDB_STR("g")},
      {.name = DDB_STR("low"), .kind = DDB_AGGREGATE_MIN, .field = DDB_STR("g")}};
  ddb_aggregate_query told = DDB_AGGREGATE_QUERY_INIT;
  told.aggregates = ends;
  told.aggregate_count = 3;
  ddb_aggregate_query grouped = told;
  grouped.groups = &group;
  grouped.group_count = 1;
  assert_ok(ddb_table_column_budget_set(table, 0, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("g"), DDB_INDEX_SORTED, NULL));
  for (int analyze = 0; analyze < 2; analyze++) {
    int64_t before = support_allocator_bytes();
    long failures = -1;
    for (bool failed = true; failed;) {
      failures++;
      support_allocator_fail(failures + 1);
      ddb_status status = explain(&told, analyze, "count", "of all records", ROWS);
      status = status ? status : explain(&grouped, analyze, "scan", "", ROWS);
      failed = support_allocator_failed();
      assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
      assert_int_equal(support_allocator_bytes(), before);
    }
    assert_true(failures > 5);
  }
  ddb_view view;
  ddb_plan plan;
  ddb_records records = {0};
  assert_ok(ddb_view_open(table, &view, NULL));
  ddb_query five = DDB_QUERY_INIT;
  five.limit = 5;
  assert_ok(ddb_view_select(&view, &five, &records, NULL));
  grouped.records = &records;
  assert_ok(ddb_view_explain_aggregate(&view, &grouped, true, &plan, NULL));
  assert_int_equal(plan.count, 1); /* How they were found is the caller's to tell. */
  assert_string_equal(plan.nodes[0].step, "group");
  assert_int_equal(plan.nodes[0].actual, 5);
  ddb_plan_free(&plan);
  ddb_records_free(&records);
  assert_int_equal(ddb_view_explain_aggregate(&view, NULL, false, &plan, NULL), DDB_ERR_INVALID);
  ddb_view_close(&view);
}

static void test_bad_queries(void **state) {
  (void)state;
  ddb_aggregate bad[] = {
      {.name = {"n", 1}, .kind = (ddb_aggregate_kind)99},
      {.name = {"n", 1}, .kind = DDB_AGGREGATE_SUM},
      {.name = {"n", 1}, .kind = DDB_AGGREGATE_QUANTILE, .field = {"v", 1}, .quantile = -1},
  };
  ddb_rowset *rows = NULL;
  ddb_error err;
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  query.aggregate_count = 1;
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    query.aggregates = &bad[i];
    assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  }
  ddb_aggregate twice[] = {every[0], every[0]};
  query.aggregates = twice;
  query.aggregate_count = 2;
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  assert_string_equal(err.message, "the result of aggregating table 't': field 'n' is there twice");
  ddb_expr *v;
  assert_ok(ddb_expr_field(DDB_STR("v"), &v, NULL));
  ddb_expr *length;
  assert_ok(ddb_expr_len(v, &length, NULL));
  ddb_group_field unnamed[] = {{.expr = length}, {.name = DDB_STR("x")}};
  query.aggregates = every;
  query.aggregate_count = 1;
  query.group_count = 1;
  query.groups = &unnamed[0];
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  assert_string_equal(err.message, "the group 'v.len_()' needs a name in the result");
  query.groups = &unnamed[1];
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_INVALID);
  assert_string_equal(err.message, "group 0 names no field");
  query.group_count = 0;
  ddb_expr_release(length);
  ddb_expr_release(v);
  ddb_aggregate text = {.name = {"n", 1}, .kind = DDB_AGGREGATE_SUM, .field = {"text", 4}};
  query.aggregates = &text;
  query.aggregate_count = 1;
  assert_int_equal(aggregate(&query, &rows, &err), DDB_ERR_TYPE);
  assert_string_equal(err.field, "text");
  assert_string_equal(err.message, "Sum of field 'text': a str cannot be added");
  assert_null(rows);
}

int main(void) {
  (void)support_seed("aggregate");
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sums_beyond_int64),
      cmocka_unit_test(test_groups_having_order_limit),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_bad_queries),
      cmocka_unit_test(test_explained),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
