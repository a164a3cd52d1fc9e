/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cursor.c - cursors hold one version by themselves, whatever happens to the table, to the view
 * and to the snapshot that they were opened with, and let go of it when they are closed, by any
 * thread. What queries they give is compared with a model in test_query.c.
 */
#include <pthread.h>

#include "rows.h"
#include "support.h"

enum { COUNT = 500 };

static ddb_db *db;
static ddb_table *table;
static int64_t thread_count = 1; /* that have ever run */

static int open_table(void **state) {
  (void)state;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("rows"), NULL, &table, NULL));
  assert_ok(rows_insert_many(table, 1, COUNT));
  return 0;
}

static int close_table(void **state) {
  (void)state;
  static int64_t left = -1; /* what the library keeps for a thread */
  ddb_table_release(table);
  ddb_db_release(db);
  left = left < 0 ? support_allocator_bytes() : left;
  assert_int_equal(support_allocator_bytes(), thread_count * left);
  return 0;
}

static ddb_cursor *open_cursor(const ddb_query *query) {
  ddb_view view;
  ddb_cursor *cursor;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(ddb_cursor_open(&view, query, &cursor, NULL));
  ddb_view_close(&view);
  return cursor;
}

/* Are the rows that are left of the cursor `id` up to `last`, each with a = 10 * id? */
static bool cursor_gives(ddb_cursor *cursor, int64_t id, int64_t last) {
  const ddb_record *records[7];
  for (size_t count = 1; count > 0;) {
    assert_ok(ddb_cursor_next(cursor, records, 7, &count, NULL));
    for (size_t i = 0; i < count; i++, id++) {
      ddb_value own = ddb_record_get(records[i], DDB_STR("id"));
      ddb_value a = ddb_record_get(records[i], DDB_STR("a"));
      if (own.as.integer != id || a.as.integer != 10 * id) {
        return false;
      }
    }
  }
  return id == last + 1;
}

static void destroy_all(void) {
  assert_ok(rows_update_all(table, -1));
  assert_ok(rows_delete_all(table));
  assert_ok(rows_insert_many(table, 1000, 10));
}

static void survives_changes(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_cursor *cursor = open_cursor(&query);
  const ddb_record *first[3];
  size_t count;
  assert_ok(ddb_cursor_next(cursor, first, 3, &count, NULL));
  assert_int_equal(count, 3);
  destroy_all();
  assert_true(rows_old_bytes(table) > 0);
  assert_true(cursor_gives(cursor, 4, COUNT));
  /* What it gave stays, also at its end. */
  assert_int_equal(ddb_record_get(first[2], DDB_STR("a")).as.integer, 30);
  ddb_cursor_close(cursor);
  assert_int_equal(rows_old_bytes(table), 0);
}

static void survives_drop(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_cursor *cursor = open_cursor(&query);
  assert_ok(ddb_db_table_drop(db, DDB_STR("rows"), NULL));
  ddb_table_release(table);
  table = NULL;
  assert_true(cursor_gives(cursor, 1, COUNT));
  ddb_cursor_close(cursor);
}

static void survives_snapshot(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_snapshot *snapshot;
  ddb_view view;
  ddb_cursor *cursors[2];
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  for (int i = 0; i < 2; i++) { /* before and after the snapshot's version is an old one */
    assert_ok(ddb_snapshot_view(snapshot, table, &view, NULL));
    assert_ok(ddb_cursor_open(&view, &query, &cursors[i], NULL));
    ddb_view_close(&view);
    if (i == 0) {
      destroy_all();
    }
  }
  ddb_snapshot_close(snapshot);
  assert_ok(rows_update_all(table, 5));
  assert_true(cursor_gives(cursors[0], 1, COUNT));
  ddb_cursor_close(cursors[0]);
  assert_true(rows_old_bytes(table) > 0);
  assert_true(cursor_gives(cursors[1], 1, COUNT));
  ddb_cursor_close(cursors[1]);
  assert_int_equal(rows_old_bytes(table), 0);
}

/* Under an explicit write lock a cursor sees what its thread wrote, also when the lock is gone. */
static void survives_write_lock(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_rwlock *lock = ddb_table_lock(table);
  assert_ok(ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL));
  assert_ok(rows_insert_many(table, COUNT + 1, 20));
  ddb_cursor *cursor = open_cursor(&query);
  assert_ok(rows_delete_all(table));
  assert_ok(ddb_rwlock_release_write(lock, NULL));
  destroy_all();
  assert_true(cursor_gives(cursor, 1, COUNT + 20));
  ddb_cursor_close(cursor);
  assert_int_equal(rows_old_bytes(table), 0);
}

static void *finish(void *cursor) {
  const ddb_record *record;
  size_t count;
  bool good = ddb_cursor_next(cursor, &record, 1, &count, NULL) == DDB_OK && count == 1;
  ddb_cursor_close(cursor);
  return good ? cursor : NULL;
}

static void any_thread_closes(void **state) {
  (void)state;
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  ddb_query query = DDB_QUERY_INIT;
  thread_count = 2; /* at a time */
  for (int i = 0; i < 2; i++) {
    query.order = &order;
    query.order_count = (size_t)i;
    ddb_cursor *cursor = open_cursor(&query);
    pthread_t thread;
    void *good;
    destroy_all();
    assert_int_equal(pthread_create(&thread, NULL, finish, cursor), 0);
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_non_null(good);
    assert_int_equal(rows_old_bytes(table), 0);
  }
}

/* A scan in order of insertion costs the same however long it is. */
static void memory_is_constant(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_cond *where;
  ddb_value most = ddb_int(10 * (COUNT - 1));
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_LE, &most, &where, NULL));
  query.where = where;
  ddb_cursor *cursor = open_cursor(&query);
  ddb_cond_release(where); /* it has a reference of its own */
  int64_t before = support_allocator_bytes();
  assert_true(cursor_gives(cursor, 1, COUNT - 1));
  assert_int_equal(support_allocator_bytes(), before);
  ddb_cursor_close(cursor);
}

static void bad_arguments(void **state) {
  (void)state;
  ddb_query query = DDB_QUERY_INIT;
  ddb_view view;
  ddb_cursor *cursor = NULL;
  const ddb_record *record;
  size_t count = 9;
  bool exists;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_cursor_open(NULL, &query, &cursor, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_cursor_open(&view, NULL, &cursor, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_cursor_open(&view, &query, NULL, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_first(&view, NULL, &record, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_one(NULL, NULL, &record, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_exists(&view, NULL, NULL, NULL), DDB_ERR_INVALID);
  query.order_count = 1;
  assert_int_equal(ddb_cursor_open(&view, &query, &cursor, NULL), DDB_ERR_INVALID);
  ddb_order order = {.field = DDB_STR("a"), .nulls = (ddb_nulls)3};
  query.order = &order;
  assert_int_equal(ddb_cursor_open(&view, &query, &cursor, NULL), DDB_ERR_INVALID);
  assert_null(cursor);
  order.nulls = DDB_NULLS_LAST;
  assert_ok(ddb_cursor_open(&view, &query, &cursor, NULL));
  assert_int_equal(ddb_cursor_next(cursor, &record, 0, &count, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_cursor_next(cursor, NULL, 1, &count, NULL), DDB_ERR_INVALID);
  assert_int_equal(count, 9);
  ddb_cursor_close(cursor);
  ddb_cursor_close(NULL);
  ddb_expr *missing[] = {NULL};
  ddb_query distinct = {
      .distinct = true, .distinct_exprs = missing, .distinct_count = 1, .limit = DDB_NO_LIMIT};
  assert_int_equal(ddb_cursor_open(&view, &distinct, &cursor, NULL), DDB_ERR_INVALID);
  assert_ok(ddb_view_exists(&view, NULL, &exists, NULL));
  assert_true(exists);
  ddb_view_close(&view);
}

/* The errors of ddb_view_one say what was asked. */
static void one_says_what(void **state) {
  (void)state;
  ddb_view view;
  ddb_error error;
  ddb_cond *where;
  const ddb_record *record = NULL;
  ddb_value ten = ddb_int(10);
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_one(&view, NULL, &record, &error), DDB_ERR_MULTIPLE_RECORDS);
  assert_string_equal(error.message, "table 'rows' has more than one record");
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_LT, &ten, &where, NULL));
  assert_int_equal(ddb_view_one(&view, where, &record, &error), DDB_ERR_RECORD_NOT_FOUND);
  assert_string_equal(error.message, "table 'rows': no record matches a < 10");
  assert_null(record);
  ddb_cond_release(where);
  ddb_view_close(&view);
}

/* Opens, reads a third, and reads on after each failure: no row may be lost or come twice. */
static bool read_all(const ddb_query *query, bool *opened, int64_t *rows) {
  const ddb_record *records[COUNT / 3];
  ddb_view view;
  ddb_cursor *cursor;
  *rows = 0;
  assert_ok(ddb_view_open(table, &view, NULL));
  *opened = ddb_cursor_open(&view, query, &cursor, NULL) == DDB_OK;
  ddb_view_close(&view);
  bool failed = !*opened;
  for (size_t count = 1; *opened && count > 0;) {
    ddb_status status = ddb_cursor_next(cursor, records, COUNT / 3, &count, NULL);
    if (status) {
      assert_int_equal(status, DDB_ERR_NOMEM);
      failed = true;
      count = 1;
    } else {
      *rows += (int64_t)count;
    }
  }
  if (*opened) {
    ddb_cursor_close(cursor);
  }
  return failed;
}

static void allocations_fail(void **state) {
  (void)state;
  ddb_order order[] = {{.field = DDB_STR("twin")}, {.field = DDB_STR("a"), .descending = true}};
  ddb_query query = DDB_QUERY_INIT;
  query.order = order;
  unsigned failures = 0;
  for (unsigned what = 0; what < 4; what++) {
    query.order_count = what & 1 ? 2 : 0;
    query.distinct = what & 2;
    bool opened;
    int64_t rows;
    (void)read_all(&query, &opened, &rows); /* Closing it also frees what the inserts left. */
    for (unsigned n = 1;; n++) {
      int64_t before = support_allocator_bytes();
      support_allocator_fail((long)n);
      (void)read_all(&query, &opened, &rows);
      bool happened = support_allocator_failed();
      assert_int_equal(rows, opened ? COUNT : 0);
      assert_int_equal(support_allocator_bytes(), before);
      failures += happened;
      if (!happened) {
        break;
      }
    }
  }
  assert_true(failures > 12);
}

/* Values that an expression computed are copied for the rows that are held, each failing once. */
static void computed_orders(void **state) {
  (void)state;
  ddb_value long_text = ddb_text(DDB_STR("a text that lies beside the value"));
  ddb_order order[6] = {{.field = DDB_STR("never")}};
  ddb_query query = DDB_QUERY_INIT;
  ddb_expr *constant;
  ddb_view view;
  assert_ok(ddb_expr_value(&long_text, &constant, NULL));
  for (size_t i = 1; i < 5; i++) {
    order[i].expr = constant;
  }
  order[5] = (ddb_order){.field = DDB_STR("a"), .descending = true};
  query.order = order;
  query.order_count = 6;
  assert_ok(ddb_view_open(table, &view, NULL));
  for (unsigned what = 0; what < 2; what++) {
    query.limit = what ? 20 : DDB_NO_LIMIT;
    for (unsigned n = 1;; n++) {
      int64_t before = support_allocator_bytes();
      ddb_records records = {0};
      support_allocator_fail((long)n);
      ddb_status status = ddb_view_select(&view, &query, &records, NULL);
      bool failed = support_allocator_failed();
      assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
      for (size_t i = 0; i < records.count; i++) {
        ddb_value id = ddb_record_get(records.items[i], DDB_STR("id"));
        assert_int_equal(id.as.integer, COUNT - (int64_t)i);
      }
      assert_int_equal(records.count, failed ? 0 : what ? 20 : COUNT);
      ddb_records_free(&records);
      assert_int_equal(support_allocator_bytes(), before);
      if (!failed) {
        assert_true(n > 20);
        break;
      }
    }
  }
  ddb_view_close(&view);
  ddb_expr_release(constant);
}

static void projections(void **state) {
  (void)state;
  ddb_expr *exprs[3];
  ddb_value values[3];
  ddb_value seven = ddb_int(7);
  ddb_projection *projection = NULL;
  ddb_view view;
  assert_ok(ddb_expr_field(DDB_STR("a"), &exprs[0], NULL));
  assert_ok(ddb_expr_value(&seven, &exprs[1], NULL));
  assert_ok(ddb_expr_field(DDB_STR("never"), &exprs[2], NULL));
  assert_int_equal(ddb_projection_new(NULL, exprs, 3, &projection, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_projection_new(table, NULL, 3, &projection, NULL), DDB_ERR_INVALID);
  assert_null(projection);
  for (long n = 1; !projection; n++) {
    int64_t before = support_allocator_bytes();
    support_allocator_fail(n);
    ddb_status status = ddb_projection_new(table, exprs, 3, &projection, NULL);
    assert_int_equal(status, support_allocator_failed() ? DDB_ERR_NOMEM : DDB_OK);
    assert_true(projection || support_allocator_bytes() == before);
  }
  for (size_t i = 0; i < 3; i++) {
    ddb_expr_release(exprs[i]); /* it has references of its own */
  }
  assert_ok(ddb_view_open(table, &view, NULL));
  uint64_t position = 0;
  for (int64_t id = 1; id <= COUNT; id++) {
    ddb_projection_read(projection, ddb_view_next(&view, &position), values);
    assert_int_equal(values[0].as.integer, 10 * id);
    assert_int_equal(values[1].as.integer, 7);
    assert_int_equal(values[2].kind, DDB_MISSING);
  }
  ddb_view_close(&view);
  ddb_projection_free(projection);
  ddb_projection_free(NULL);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(survives_changes, open_table, close_table),
      cmocka_unit_test_setup_teardown(survives_drop, open_table, close_table),
      cmocka_unit_test_setup_teardown(survives_snapshot, open_table, close_table),
      cmocka_unit_test_setup_teardown(survives_write_lock, open_table, close_table),
      cmocka_unit_test_setup_teardown(any_thread_closes, open_table, close_table),
      cmocka_unit_test_setup_teardown(memory_is_constant, open_table, close_table),
      cmocka_unit_test_setup_teardown(computed_orders, open_table, close_table),
      cmocka_unit_test_setup_teardown(projections, open_table, close_table),
      cmocka_unit_test_setup_teardown(bad_arguments, open_table, close_table),
      cmocka_unit_test_setup_teardown(one_says_what, open_table, close_table),
      cmocka_unit_test_setup_teardown(allocations_fail, open_table, close_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
