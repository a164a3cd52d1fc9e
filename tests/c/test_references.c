/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_references.c - references that keep what they refer to, and small facts about databases,
 * tables, kinds and snapshots that other tests do not ask for.
 */
#include "rows.h"
#include "support.h"

/* Each object lives as long as its last reference, whatever goes before it. */
static void test_the_last_reference_counts(void **state) {
  (void)state;
  int64_t before = support_allocator_bytes();
  ddb_db *db;
  ddb_table *table;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ptr_equal(ddb_db_acquire(db), db);
  assert_ptr_equal(ddb_table_acquire(table), table);
  assert_ptr_equal(ddb_table_db(table), db);
  ddb_db_release(db);
  ddb_table_release(table);
  assert_ok(rows_insert(table, 1, 10));
  ddb_db_release(db);
  assert_ok(rows_insert(table, 2, 20)); /* the table keeps what it needs of its database */
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_true(rows_are(&view, 1, 2));
  ddb_view_close(&view);
  ddb_table_release(table);
  /* This thread's record stays; nothing else may. */
  assert_true(support_allocator_bytes() - before <= 1024);
}

static void test_references_to_conditions(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ok(rows_insert_many(table, 1, 9));
  int64_t before = support_allocator_bytes();
  ddb_value five = ddb_int(5);
  ddb_cond *cond;
  ddb_expr *expr;
  assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_LT, &five, &cond, NULL));
  assert_ptr_equal(ddb_cond_acquire(cond), cond);
  ddb_cond_release(cond);
  ddb_view view;
  uint64_t count = 0;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(ddb_view_count_where(&view, cond, &count, NULL));
  assert_int_equal(count, 4);
  ddb_view_close(&view);
  ddb_cond_release(cond);
  assert_ok(ddb_expr_field(DDB_STR("a"), &expr, NULL));
  assert_ptr_equal(ddb_expr_acquire(expr), expr);
  ddb_expr_release(expr);
  char text[8];
  assert_int_equal(ddb_expr_format(expr, text, sizeof text), 1);
  assert_string_equal(text, "a");
  ddb_expr_release(expr);
  ddb_cond_release(NULL);
  ddb_expr_release(NULL);
  assert_int_equal(support_allocator_bytes(), before);
  ddb_table_release(table);
  ddb_db_release(db);
}

static void test_expressions_over_rows(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ok(rows_insert_many(table, 1, 9));
  ddb_aggregate sum = {.name = DDB_STR("total"), .kind = DDB_AGGREGATE_SUM, .field = DDB_STR("a")};
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.aggregates = &sum;
  query.aggregate_count = 1;
  ddb_view view;
  ddb_rowset *rows;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(ddb_view_aggregate(&view, &query, &rows, NULL));
  ddb_view_close(&view);
  ddb_expr *columns[2];
  ddb_expr *ten;
  ddb_value tenth = ddb_int(10);
  ddb_error err;
  assert_ok(ddb_expr_field(DDB_STR("total"), &columns[0], NULL));
  assert_ok(ddb_expr_value(&tenth, &ten, NULL));
  assert_ok(ddb_expr_arith(DDB_ARITH_FLOORDIV, columns[0], ten, &columns[1], NULL));
  ddb_projection *projection;
  ddb_value values[2];
  assert_ok(ddb_rowset_projection(rows, columns, 2, &projection, NULL));
  ddb_projection_read(projection, ddb_rowset_record(rows, 0), values);
  assert_int_equal(values[0].as.integer, 450);
  assert_int_equal(values[1].as.integer, 45);
  ddb_projection_free(projection);
  ddb_expr *unknown;
  assert_ok(ddb_expr_field(DDB_STR("totla"), &unknown, NULL));
  assert_int_equal(ddb_rowset_projection(rows, &unknown, 1, &projection, &err),
                   DDB_ERR_FIELD_NOT_FOUND);
  assert_string_equal(err.message, "the result of aggregating table 't' has no field 'totla'; did "
                                   "you mean 'total'?");
  ddb_expr_release(unknown);
  ddb_expr_release(ten);
  ddb_expr_release(columns[0]);
  ddb_expr_release(columns[1]);
  ddb_rowset_free(rows);
  ddb_table_release(table);
  ddb_db_release(db);
}

static void test_small_facts(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  ddb_snapshot *first, *second;
  assert_ok(ddb_db_new(&db, NULL));
  assert_false(ddb_db_is_kept(db)); /* in memory; test_log.c has those that are kept */
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ok(ddb_snapshot_open(db, &first, NULL));
  assert_ok(rows_insert(table, 1, 10));
  assert_ok(ddb_snapshot_open(db, &second, NULL));
  assert_int_equal(ddb_snapshot_commit(second), ddb_snapshot_commit(first) + 1);
  assert_ok(rows_insert(table, 2, 20));
  assert_int_equal(ddb_snapshot_commit(second), ddb_snapshot_commit(first) + 1);
  ddb_snapshot_close(first);
  ddb_snapshot_close(second);
  static const char *const names[DDB_KIND_COUNT] = {
      [DDB_NULL] = "None",         [DDB_BOOL] = "bool",           [DDB_INT] = "int",
      [DDB_BIGINT] = "int",        [DDB_FLOAT] = "float",         [DDB_DECIMAL] = "Decimal",
      [DDB_STR_KIND] = "str",      [DDB_BYTES] = "bytes",         [DDB_DATE] = "date",
      [DDB_DATETIME] = "datetime", [DDB_TIME] = "time",           [DDB_TIMEDELTA] = "timedelta",
      [DDB_LIST] = "list",         [DDB_DICT] = "dict",           [DDB_TUPLE] = "tuple",
      [DDB_SET] = "set",           [DDB_FROZENSET] = "frozenset", [DDB_UUID] = "UUID",
  };
  for (int kind = DDB_NULL; kind < DDB_KIND_COUNT; kind++) {
    assert_string_equal(ddb_kind_name((ddb_kind)kind), names[kind]);
  }
  assert_non_null(ddb_kind_name(DDB_MISSING));
  assert_non_null(ddb_kind_name(DDB_KIND_COUNT));
  ddb_table_release(table);
  ddb_db_release(db);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_last_reference_counts),
      cmocka_unit_test(test_references_to_conditions),
      cmocka_unit_test(test_expressions_over_rows),
      cmocka_unit_test(test_small_facts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
