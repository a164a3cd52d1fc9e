/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_match.c - a select in two halves with a filter of the caller's between them, against the
 * select that does it all; and conditions asked about one record.
 */
#include "rows.h"
#include "support.h"

enum { ROWS = 200 };

static ddb_db *db;
static ddb_table *table;

static int set_up(void **state) {
  (void)state;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  for (int64_t id = 0; id < ROWS; id++) {
    assert_ok(rows_insert(table, id, id * 7 % 10));
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  ddb_table_release(table);
  ddb_db_release(db);
  return 0;
}

static ddb_cond *below(int64_t limit) {
  ddb_value value = ddb_int(limit);
  ddb_cond *cond;
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_LT, &value, &cond, NULL));
  return cond;
}

/* Keeps what `cond` holds for, as the caller's own code would. */
static void filter(ddb_records *records, const ddb_cond *cond) {
  size_t kept = 0;
  for (size_t i = 0; i < records->count; i++) {
    bool matches;
    assert_ok(ddb_record_matches(records->items[i], cond, &matches, NULL));
    if (matches) {
      records->items[kept++] = records->items[i];
    }
  }
  records->count = kept;
}

static void check_query(const ddb_view *view, ddb_query query) {
  ddb_cond *cond = below(6);
  ddb_records whole = {0};
  query.where = cond;
  assert_ok(ddb_view_select(view, &query, &whole, NULL));
  ddb_records halves = {0};
  ddb_query first = {.order = query.order, .order_count = query.order_count, .limit = DDB_NO_LIMIT};
  assert_ok(ddb_view_select(view, &first, &halves, NULL));
  assert_int_equal(halves.count, ROWS);
  filter(&halves, cond);
  assert_ok(ddb_view_trim(view, &query, &halves, NULL));
  assert_int_equal(whole.count, halves.count);
  for (size_t i = 0; i < whole.count; i++) {
    assert_ptr_equal(whole.items[i], halves.items[i]);
  }
  ddb_records_free(&whole);
  ddb_records_free(&halves);
  ddb_cond_release(cond);
}

static void halves_are_a_whole(void **state) {
  (void)state;
  static const uint64_t limits[] = {0, 1, 3, 50, DDB_NO_LIMIT};
  static const uint64_t offsets[] = {0, 1, 60, 500, UINT64_MAX};
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  ddb_str fields[] = {DDB_STR("a")};
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  for (size_t i = 0; i < 5; i++) {
    for (size_t j = 0; j < 5; j++) {
      for (unsigned how = 0; how < 4; how++) {
        ddb_query query = {.order = &order,
                           .order_count = how & 1,
                           .distinct = how & 2,
                           .distinct_fields = fields,
                           .distinct_count = 1,
                           .offset = offsets[j],
                           .limit = limits[i]};
        check_query(&view, query);
      }
    }
  }
  ddb_view_close(&view);
}

static void copies_are_asked_too(void **state) {
  (void)state;
  ddb_cond *cond = below(6);
  ddb_record *copies[ROWS];
  ddb_view view;
  uint64_t position = 0;
  assert_ok(ddb_view_open(table, &view, NULL));
  for (size_t i = 0; i < ROWS; i++) {
    assert_ok(ddb_record_copy(ddb_view_next(&view, &position), &copies[i], NULL));
  }
  ddb_view_close(&view);
  assert_ok(rows_delete_all(table));
  for (size_t i = 0; i < ROWS; i++) {
    bool matches;
    assert_ok(ddb_record_matches(copies[i], cond, &matches, NULL));
    assert_int_equal(matches, i * 7 % 10 < 6);
    assert_ok(ddb_record_matches(copies[i], NULL, &matches, NULL));
    assert_true(matches);
    ddb_record_free(copies[i]);
  }
  ddb_cond_release(cond);
}

static void mistakes(void **state) {
  (void)state;
  ddb_schema_field fields[] = {{DDB_STR("name"), DDB_TYPE(DDB_STR_KIND), NULL}};
  ddb_table_options options = {.schema = fields, .schema_count = 1};
  ddb_table *strict;
  assert_ok(ddb_db_table_create(db, DDB_STR("strict"), &options, &strict, NULL));
  ddb_cond *cond = below(6);
  assert_int_equal(ddb_table_cond_check(strict, cond, NULL), DDB_ERR_FIELD_NOT_FOUND);
  assert_ok(ddb_table_cond_check(table, cond, NULL));
  assert_ok(ddb_table_cond_check(strict, NULL, NULL));
  ddb_view view;
  ddb_records records = {0};
  ddb_str unknown[] = {DDB_STR("nmae")};
  ddb_query query = {.distinct = true, .distinct_fields = unknown, .distinct_count = 1};
  assert_ok(ddb_view_open(strict, &view, NULL));
  assert_int_equal(ddb_view_trim(&view, &query, &records, NULL), DDB_ERR_FIELD_NOT_FOUND);
  assert_int_equal(ddb_view_trim(&view, NULL, &records, NULL), DDB_ERR_INVALID);
  ddb_view_close(&view);
  ddb_cond_release(cond);
  ddb_table_release(strict);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(halves_are_a_whole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(copies_are_asked_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(mistakes, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
