/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins through the C library: what a C program writes, every allocation made to fail, and what a
 * caller can get wrong. What they mean is held against a naive evaluation in the Python tests.
 */
#include "support.h"

#define USERS  20
#define ORDERS 90

static ddb_db *db;
static ddb_table *users;
static ddb_table *orders;
static ddb_view left;
static ddb_view right;

static const ddb_join_key key = {.left = {"id", 2}, .right = {"user", 4}};
static const ddb_join_column columns[] = {
    {.field = {"id", 2}, .name = {"id", 2}},
    {.field = {"name", 4}, .name = {"name", 4}},
    {.is_right = true, .field = {"id", 2}, .name = {"order", 5}},
    {.is_right = true, .field = {"total", 5}, .name = {"total", 5}},
};

static ddb_join make_join(ddb_join_kind kind) {
  return (ddb_join){.left = &left,
                    .right = &right,
                    .kind = kind,
                    .keys = &key,
                    .key_count = 1,
                    .columns = columns,
                    .column_count = 4,
                    .closed = true};
}

/* User 1 to 20; each order is of user 1 to 15, but for every tenth, which has none. */
static int setup(void **state) {
  (void)state;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("users"), NULL, &users, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("orders"), NULL, &orders, NULL));
  /* What is not kept cannot fail quietly. */
  assert_ok(ddb_table_column_budget_set(users, 0, NULL));
  assert_ok(ddb_table_column_budget_set(orders, 0, NULL));
  for (int i = 1; i <= USERS; i++) {
    char name[32];
    size_t size = (size_t)snprintf(name, sizeof name, "a user named %d", i);
    ddb_field field = {DDB_STR("name"), ddb_text((ddb_str){name, size})};
    assert_ok(ddb_table_insert_fields(users, &field, 1, NULL, NULL));
  }
  for (int i = 0; i < ORDERS; i++) {
    ddb_field fields[] = {{DDB_STR("user"), i % 10 == 0 ? ddb_null() : ddb_int(i % 15 + 1)},
                          {DDB_STR("total"), ddb_int(i)}};
    assert_ok(ddb_table_insert_fields(orders, fields, 2, NULL, NULL));
  }
  assert_ok(ddb_view_open(users, &left, NULL));
  assert_ok(ddb_view_open(orders, &right, NULL));
  return 0;
}

static int teardown(void **state) {
  (void)state;
  ddb_view_close(&right);
  ddb_view_close(&left);
  ddb_table_release(orders);
  ddb_table_release(users);
  ddb_db_release(db);
  return 0;
}

static void test_count_and_select(void **state) {
  (void)state;
  ddb_join inner = make_join(DDB_JOIN_INNER);
  ddb_join outer = make_join(DDB_JOIN_LEFT);
  uint64_t count;
  assert_ok(ddb_join_count(&inner, NULL, &count, NULL));
  assert_int_equal(count, ORDERS - ORDERS / 10);
  assert_ok(ddb_join_count(&outer, NULL, &count, NULL));
  assert_int_equal(count, ORDERS - ORDERS / 10 + 5);
  ddb_query query = DDB_QUERY_INIT;
  query.offset = 2;
  query.limit = 3;
  ddb_rowset *rows;
  assert_ok(ddb_join_select(&inner, &query, &rows, NULL));
  assert_int_equal(ddb_rowset_count(rows), 3);
  const ddb_record *record = ddb_rowset_record(rows, 0);
  assert_int_equal(ddb_record_count(record), 4);
  assert_int_equal(ddb_record_get(record, DDB_STR("id")).as.integer, 1);
  assert_int_equal(ddb_record_get(record, DDB_STR("total")).as.integer, 75); /* 15, 45, 75 */
  ddb_rowset_free(rows);
}

/* A search that is given up, on the name of the last user, fails the join that gets there: through the
 * left side's condition, the right side's, or that of the pairs. */
static void test_a_search_that_is_given_up(void **state) {
  (void)state;
  char name[64];
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '!';
  ddb_field field = {DDB_STR("name"), ddb_text((ddb_str){name, sizeof name})};
  ddb_table *hard;
  assert_ok(ddb_db_table_create(db, DDB_STR("hard"), NULL, &hard, NULL));
  for (int i = 1; i <= 100; i++) {
    ddb_field usual = {DDB_STR("name"), ddb_text(DDB_STR("aab"))};
    assert_ok(ddb_table_insert_fields(hard, i < 100 ? &usual : &field, 1, NULL, NULL));
  }
  ddb_expr *of;
  ddb_cond *where;
  assert_ok(ddb_expr_field(DDB_STR("name"), &of, NULL));
  assert_ok(ddb_cond_matches(of, DDB_STR("^(a+)+b?$"), 0, &where, NULL));
  ddb_view view;
  assert_ok(ddb_view_open(hard, &view, NULL));
  static const ddb_join_key same = {.left = {"id", 2}, .right = {"id", 2}};
  ddb_join join = {.left = &view,
                   .right = &view,
                   .keys = &same,
                   .key_count = 1,
                   .columns = columns,
                   .column_count = 2};
  ddb_query query = DDB_QUERY_INIT;
  for (int side = 0; side < 3; side++) {
    join.left_where = side == 0 ? where : NULL;
    join.right_where = side == 1 ? where : NULL;
    query.where = side == 2 ? where : NULL;
    ddb_rowset *rows = NULL;
    query.limit = DDB_NO_LIMIT;
    assert_int_equal(ddb_join_select(&join, &query, &rows, NULL), DDB_ERR_LIMIT);
    query.limit = 3;
    if (side == 0) { /* the left side is read only so far */
      assert_ok(ddb_join_select(&join, &query, &rows, NULL));
      assert_int_equal(ddb_rowset_count(rows), 3);
      ddb_rowset_free(rows);
    }
  }
  ddb_view_close(&view);
  ddb_cond_release(where);
  ddb_expr_release(of);
  ddb_table_release(hard);
  assert_ok(ddb_db_table_drop(db, DDB_STR("hard"), NULL));
}

/* Half of the condition is about each side, under names that are not the fields'. */
static ddb_status run_pushed(void) {
  ddb_value numbers[] = {ddb_int(12), ddb_int(1), ddb_int(3), ddb_int(50)};
  ddb_cond *made[6] = {NULL};
  ddb_join join = make_join(DDB_JOIN_LEFT);
  uint64_t count = 0;
  ddb_status status = ddb_cond_compare(DDB_STR("id"), DDB_OP_LT, &numbers[0], &made[0], NULL);
  status = status ? status : ddb_cond_in(DDB_STR("order"), numbers, 4, &made[1], NULL);
  status = status ? status : ddb_cond_is_null(DDB_STR("order"), &made[2], NULL);
  status = status ? status : ddb_cond_not(made[2], &made[3], NULL);
  status = status ? status : ddb_cond_or(&made[1], 2, &made[4], NULL);
  ddb_cond *parts[] = {made[0], made[3], made[1]};
  status = status ? status : ddb_cond_and(parts, 3, &made[5], NULL);
  status = status ? status : ddb_join_count(&join, made[5], &count, NULL);
  if (!status) {
    assert_int_equal(count,
                     2); /* orders 3 and 50, of users 3 and 5; 1 is nobody's, 12 of user 12 */
    status = ddb_join_count(&join, made[4], &count, NULL);
  }
  for (size_t i = 0; i < 6; i++) {
    ddb_cond_release(made[i]);
  }
  return status;
}

static void test_allocations_of_what_is_pushed(void **state) {
  (void)state;
  int64_t before = support_allocator_bytes();
  long failures = 0;
  for (bool failed = true; failed; failures += failed) {
    support_allocator_fail(failures + 1);
    ddb_status status = run_pushed();
    failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    assert_int_equal(support_allocator_bytes(), before);
  }
  assert_true(failures > 15);
}

static ddb_status run_all(const ddb_cond *where) {
  ddb_join join = make_join(DDB_JOIN_LEFT);
  ddb_order order[] = {{.field = DDB_STR("total"), .descending = true}, {.field = DDB_STR("id")}};
  ddb_query query = DDB_QUERY_INIT;
  query.where = where;
  query.order = order;
  query.order_count = 2;
  query.distinct = true;
  query.distinct_fields = &columns[1].name;
  query.distinct_count = 1;
  ddb_rowset *rows = NULL;
  ddb_rowset *groups = NULL;
  ddb_status status = ddb_join_select(&join, &query, &rows, NULL);
  if (!status) {
    ddb_join again = {.left_rows = rows,
                      .right = &right,
                      .keys = &key,
                      .key_count = 1,
                      .columns = columns,
                      .column_count = 4};
    ddb_group_field by_name = {.field = DDB_STR("name")};
    ddb_aggregate sum = {
        .name = DDB_STR("sum"), .kind = DDB_AGGREGATE_SUM, .field = DDB_STR("total")};
    ddb_aggregate last = {
        .name = DDB_STR("l"), .kind = DDB_AGGREGATE_LAST, .field = DDB_STR("name")};
    ddb_aggregate aggregates[] = {sum, last};
    ddb_aggregate_query aggregate = {.where = where,
                                     .groups = &by_name,
                                     .group_count = 1,
                                     .aggregates = aggregates,
                                     .aggregate_count = 2,
                                     .limit = DDB_NO_LIMIT};
    status = ddb_join_aggregate(&again, &aggregate, &groups, NULL);
    if (!status) {
      assert_int_equal(ddb_rowset_count(groups), 15);
    }
  }
  ddb_rowset_free(groups);
  ddb_rowset_free(rows);
  return status;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  ddb_value three = ddb_int(3);
  ddb_expr *name;
  ddb_expr *size;
  ddb_expr *number;
  ddb_cond *where;
  assert_ok(ddb_expr_field(DDB_STR("name"), &name, NULL));
  assert_ok(ddb_expr_len(name, &size, NULL));
  assert_ok(ddb_expr_value(&three, &number, NULL));
  assert_ok(ddb_cond_compare_expr(size, DDB_OP_GT, number, &where, NULL));
  int64_t before = support_allocator_bytes();
  long failures = 0;
  for (bool failed = true; failed; failures += failed) {
    support_allocator_fail(failures + 1);
    ddb_status status = run_all(where);
    failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    assert_int_equal(support_allocator_bytes(), before);
  }
  assert_true(failures > 40);
  ddb_cond_release(where);
  ddb_expr_release(number);
  ddb_expr_release(size);
  ddb_expr_release(name);
}

/* The steps of a plan are these, and its memory is freed. */
static void check_steps(ddb_plan *plan, const char *const *steps, size_t count) {
  assert_int_equal(plan->count, count);
  for (size_t i = 0; i < count; i++) {
    assert_string_equal(plan->nodes[i].step, steps[i]);
  }
  ddb_plan_free(plan);
}

static ddb_status explain_all(const ddb_cond *where, bool analyze) {
  static const char *const rows_steps[] = {"slice", "distinct", "sort", "filter",
                                           "join",  "scan",     "hash", "scan"};
  static const char *const group_steps[] = {"slice", "sort", "filter", "group", "filter",
                                            "join",  "scan", "hash",   "scan"};
  ddb_join join = make_join(DDB_JOIN_LEFT);
  ddb_order order = {.field = DDB_STR("total"), .descending = true};
  ddb_query query = {
      .where = where, .order = &order, .order_count = 1, .distinct = true, .limit = 5};
  ddb_group_field group = {.field = DDB_STR("name")};
  ddb_aggregate total = {
      .name = DDB_STR("total"), .kind = DDB_AGGREGATE_SUM, .field = DDB_STR("total")};
  ddb_aggregate_query grouped = {.where = where,
                                 .groups = &group,
                                 .group_count = 1,
                                 .aggregates = &total,
                                 .aggregate_count = 1,
                                 .order = &order,
                                 .order_count = 1,
                                 .limit = 3};
  ddb_value zero = ddb_int(0);
  ddb_cond *having;
  ddb_plan plan;
  ddb_status status = ddb_cond_compare(DDB_STR("total"), DDB_OP_GT, &zero, &having, NULL);
  if (status) {
    return status;
  }
  grouped.having = having;
  status = ddb_join_explain(&join, &query, analyze, &plan, NULL);
  if (!status) {
    assert_int_equal(plan.nodes[0].actual, analyze ? 5 : DDB_NO_LIMIT);
    assert_string_equal(plan.nodes[4].detail, "left on id = user");
    assert_int_equal(plan.nodes[4].actual, analyze ? 86 : DDB_NO_LIMIT);
    assert_true(!analyze || plan.nodes[0].ns > 0);
    check_steps(&plan, rows_steps, 8);
    status = ddb_join_explain_aggregate(&join, &grouped, analyze, &plan, NULL);
  }
  if (!status) {
    assert_int_equal(plan.nodes[0].actual, analyze ? 3 : DDB_NO_LIMIT);
    assert_string_equal(plan.nodes[3].detail, "by name: total = Sum(total)");
    check_steps(&plan, group_steps, 9);
  }
  ddb_cond_release(having);
  return status;
}

/* A part that neither side decides, so that it stays with the pairs. */
static void test_explained(void **state) {
  (void)state;
  ddb_expr *id;
  ddb_expr *sum;
  ddb_expr *total;
  ddb_expr *none;
  ddb_cond *where;
  ddb_value zero = ddb_int(0);
  assert_ok(ddb_expr_value(&zero, &none, NULL));
  assert_ok(ddb_expr_field(DDB_STR("id"), &id, NULL));
  assert_ok(ddb_expr_field(DDB_STR("total"), &total, NULL));
  assert_ok(ddb_expr_arith(DDB_ARITH_ADD, id, total, &sum, NULL));
  assert_ok(ddb_cond_compare_expr(sum, DDB_OP_GE, none, &where, NULL));
  ddb_expr_release(none);
  for (int analyze = 0; analyze < 2; analyze++) {
    size_t before = support_allocator_bytes();
    long failures = -1;
    for (bool failed = true; failed;) {
      failures++;
      support_allocator_fail(failures + 1);
      ddb_status status = explain_all(where, analyze);
      failed = support_allocator_failed();
      assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
      assert_int_equal(support_allocator_bytes(), before);
    }
    assert_true(failures > 10);
  }
  ddb_cond_release(where);
  ddb_expr_release(sum);
  ddb_expr_release(total);
  ddb_expr_release(id);
  ddb_plan plan;
  ddb_join join = make_join(DDB_JOIN_INNER);
  ddb_query query = DDB_QUERY_INIT;
  ddb_aggregate_query empty = DDB_AGGREGATE_QUERY_INIT;
  assert_int_equal(ddb_join_explain(&join, NULL, false, &plan, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_join_explain(&join, &query, false, NULL, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_join_explain(NULL, &query, false, &plan, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_join_explain_aggregate(&join, &empty, true, &plan, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_join_explain_aggregate(&join, NULL, true, &plan, NULL), DDB_ERR_INVALID);
}

static void test_bad_joins(void **state) {
  (void)state;
  ddb_join bad[6];
  for (size_t i = 0; i < 6; i++) {
    bad[i] = make_join(DDB_JOIN_INNER);
  }
  bad[0].left = NULL;
  bad[1].right = NULL;
  bad[2].key_count = 0;
  bad[3].columns = NULL;
  bad[4].kind = (ddb_join_kind)7;
  bad[5].key_count = 17;
  for (size_t i = 0; i < 6; i++) {
    uint64_t count;
    assert_int_equal(ddb_join_count(&bad[i], NULL, &count, NULL),
                     i < 5 ? DDB_ERR_INVALID : DDB_ERR_LIMIT);
  }
  ddb_join join = make_join(DDB_JOIN_INNER);
  ddb_expr *missing[] = {NULL};
  ddb_query queries[] = {
      {.order_count = 1, .limit = DDB_NO_LIMIT},
      {.distinct = true, .distinct_exprs = missing, .distinct_count = 1, .limit = DDB_NO_LIMIT}};
  for (size_t i = 0; i < 2; i++) {
    ddb_rowset *rows = NULL;
    assert_int_equal(ddb_join_select(&join, &queries[i], &rows, NULL), DDB_ERR_INVALID);
    assert_null(rows);
  }
  ddb_cond *where;
  ddb_error err;
  uint64_t count;
  assert_ok(ddb_cond_is_null(DDB_STR("totl"), &where, NULL));
  assert_int_equal(ddb_join_count(&join, where, &count, &err), DDB_ERR_FIELD_NOT_FOUND);
  assert_string_equal(err.message,
                      "the join of table 'users' has no field 'totl'; did you mean 'total'?");
  assert_string_equal(err.table, "users");
  ddb_cond_release(where);
}

int main(void) {
  (void)support_seed("join");
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_count_and_select),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_allocations_of_what_is_pushed),
      cmocka_unit_test(test_a_search_that_is_given_up),
      cmocka_unit_test(test_explained),
      cmocka_unit_test(test_bad_joins),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
