/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_threads.c - what threads may rely on: no torn record, no lost insert, unique keys, sums
 * kept, snapshots of one instant, nothing seen of an explicit write lock before its end.
 *
 * Made to run under ThreadSanitizer and AddressSanitizer too. In the testing build nodes are tiny and
 * threads yield at random; test_store_faults.c has it find planted faults.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "bank.h"
#include "base/testing.h"
#include "rows.h"
#include "support.h"

static void test_bank(void **state) {
  (void)state;
  int64_t before = support_allocator_bytes();
  bank b;
  bank_open(&b, support_seed("bank"));
#ifdef DDB_TESTING
  ddb__test_yield_set(5, b.seed);
#endif
  bank_run(&b, support_number("DICTDB_MILLISECONDS", 3000));
  assert_int_equal(atomic_load(&b.wrong), 0);
  assert_true(atomic_load(&b.reads) > 0);
  bank_check_snapshot(&b);
  assert_int_equal(atomic_load(&b.wrong), 0);
  bank_close(&b);
  /* Threads' records stay; nothing else may. */
  assert_true(support_allocator_bytes() - before <= 8 * 1024);
#ifdef DDB_TESTING
  ddb__test_yield_set(0, 0);
#endif
}

/* ---- Inserts and automatic keys ------------------------------------------------------------ */

static void *insert_loop(void *context) {
  bank_worker *w = context;
  for (int i = 0; i < 2000; i++) {
    ddb_field field = {DDB_STR("amount"), ddb_int(i)};
    bank_require(w->bank, ddb_table_insert_fields(w->bank->journal, &field, 1, NULL, NULL));
  }
  return NULL;
}

static void test_inserts(void **state) {
  (void)state;
  bank b;
  bank_open(&b, support_seed("inserts"));
  bank_worker workers[4];
  for (size_t i = 0; i < 4; i++) {
    workers[i] = (bank_worker){.bank = &b, .random = b.seed + 2 * i};
    pthread_create(&workers[i].thread, NULL, insert_loop, &workers[i]);
  }
  for (size_t i = 0; i < 4; i++) {
    pthread_join(workers[i].thread, NULL);
  }
  ddb_view view;
  assert_ok(ddb_view_open(b.journal, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 8000);
  uint64_t position = 0;
  int64_t expected = 1;
  for (const ddb_record *r; (r = ddb_view_next(&view, &position)) != NULL; expected++) {
    assert_int_equal(ddb_record_get(r, DDB_STR("id")).as.integer, expected);
  }
  ddb_view_close(&view);
  assert_int_equal(atomic_load(&b.wrong), 0);
  bank_close(&b);
}

/* ---- The catalogue ------------------------------------------------------------------------- */

static void *catalogue_loop(void *context) {
  bank_worker *w = context;
  bank *b = w->bank;
  for (int i = 0; i < 300; i++) {
    ddb_table *table = NULL;
    ddb_status status = ddb_db_table_create(b->db, DDB_STR("shared"), NULL, &table, NULL);
    BANK_CHECK(b, status == DDB_OK || status == DDB_ERR_DUPLICATE_TABLE);
    if (status != DDB_OK) {
      status = ddb_db_table_get(b->db, DDB_STR("shared"), &table, NULL);
      BANK_CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
    }
    if (status == DDB_OK) {
      ddb_field field = {DDB_STR("amount"), ddb_int(i)};
      status = ddb_table_insert_fields(table, &field, 1, NULL, NULL);
      BANK_CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
      ddb_table_release(table);
    }
    ddb_snapshot *snapshot = NULL;
    ddb_table **tables;
    size_t count = 0;
    bank_require(b, ddb_snapshot_open(b->db, &snapshot, NULL));
    status = ddb_db_table_drop(b->db, DDB_STR("shared"), NULL);
    BANK_CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
    bank_require(b, ddb_snapshot_tables(snapshot, &tables, &count, NULL));
    for (size_t j = 0; j < count; j++) {
      ddb_view view;
      bank_require(b, ddb_snapshot_view(snapshot, tables[j], &view, NULL));
      uint64_t position = 0, rows = 0;
      while (ddb_view_next(&view, &position)) {
        rows++;
      }
      BANK_CHECK(b, rows == ddb_view_count(&view));
      ddb_view_close(&view);
    }
    ddb_tables_free(tables, count);
    ddb_snapshot_close(snapshot);
  }
  return NULL;
}

static void test_catalogue(void **state) {
  (void)state;
  bank b;
  bank_open(&b, support_seed("catalogue"));
  bank_worker workers[4];
  for (size_t i = 0; i < 4; i++) {
    workers[i] = (bank_worker){.bank = &b, .random = b.seed + 2 * i};
    pthread_create(&workers[i].thread, NULL, catalogue_loop, &workers[i]);
  }
  for (size_t i = 0; i < 4; i++) {
    pthread_join(workers[i].thread, NULL);
  }
  assert_int_equal(atomic_load(&b.wrong), 0);
  bank_close(&b);
}

/* ---- A counter ----------------------------------------------------------------------------- */

enum { COUNTERS = 200, TIMES = 5 };

typedef struct counting {
  ddb_table *table;
  ddb_expr *plus_one; /* n + 1 */
  _Atomic int seen[COUNTERS * TIMES + 1];
  _Atomic int wrong;
} counting;

typedef struct counter {
  counting *all;
  bool by_lock; /* reads and writes under the table's explicit lock; else by one statement */
  pthread_t thread;
} counter;

static bool count_by_statement(const counting *c, int64_t *n) {
  ddb_value id = ddb_int(1);
  ddb_change change = {.name = DDB_STR("n"), .kind = DDB_CHANGE_SET, .expr = c->plus_one};
  ddb_changes changes = {.changes = &change, .change_count = 1};
  ddb_step step = {.key = &id, .limit = DDB_NO_LIMIT, .changes = &changes};
  ddb_run run = {.steps = &step, .step_count = 1, .returning = DDB_RETURN_NEW, .must_match = true};
  ddb_outcome outcome;
  if (ddb_table_run(c->table, &run, &outcome, NULL)) {
    return false;
  }
  *n = ddb_record_get(outcome.records[0], DDB_STR("n")).as.integer;
  ddb_outcome_fini(&outcome);
  return true;
}

static bool count_by_lock(const counting *c, int64_t *n) {
  ddb_table *table = c->table;
  if (ddb_tables_write_lock(&table, 1, DDB_WAIT_FOREVER, NULL)) {
    return false;
  }
  ddb_view view;
  const ddb_record *record = NULL;
  ddb_value id = ddb_int(1);
  bool ok = !ddb_view_open(table, &view, NULL);
  if (ok) {
    ok = !ddb_view_get(&view, &id, &record, NULL) && record;
    *n = ok ? ddb_record_get(record, DDB_STR("n")).as.integer + 1 : 0;
    ddb_view_close(&view);
  }
  ok = ok && !rows_set_field(table, 1, DDB_STR("n"), *n);
  return !ddb_tables_write_unlock(&table, 1, NULL) && ok;
}

static void *count_loop(void *context) {
  const counter *self = context;
  counting *c = self->all;
  for (int i = 0; i < TIMES; i++) {
    int64_t n = 0;
    bool ok = self->by_lock ? count_by_lock(c, &n) : count_by_statement(c, &n);
    if (ok && n > 0 && n <= COUNTERS * TIMES) {
      atomic_fetch_add(&c->seen[n], 1);
    } else {
      atomic_fetch_add(&c->wrong, 1);
    }
  }
  return NULL;
}

/* Two hundred threads count: every number comes once. */
static void test_counter(void **state) {
  (void)state;
  ddb_db *db;
  static counting c;
  static counter counters[COUNTERS];
  ddb_field field = {DDB_STR("n"), ddb_int(0)};
  ddb_value one = ddb_int(1);
  ddb_expr *n, *one_more;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("counters"), NULL, &c.table, NULL));
  assert_ok(ddb_table_insert_fields(c.table, &field, 1, NULL, NULL));
  assert_ok(ddb_expr_field(DDB_STR("n"), &n, NULL));
  assert_ok(ddb_expr_value(&one, &one_more, NULL));
  assert_ok(ddb_expr_arith(DDB_ARITH_ADD, n, one_more, &c.plus_one, NULL));
  for (size_t i = 0; i < COUNTERS; i++) {
    counters[i] = (counter){.all = &c, .by_lock = i % 4 == 0};
    assert_int_equal(pthread_create(&counters[i].thread, NULL, count_loop, &counters[i]), 0);
  }
  for (size_t i = 0; i < COUNTERS; i++) {
    pthread_join(counters[i].thread, NULL);
  }
  assert_int_equal(atomic_load(&c.wrong), 0);
  for (size_t i = 1; i <= COUNTERS * TIMES; i++) {
    assert_int_equal(atomic_load(&c.seen[i]), 1);
  }
  uint64_t count;
  assert_ok(rows_count_equal(c.table, DDB_STR("n"), COUNTERS * TIMES, &count));
  assert_int_equal(count, 1);
  ddb_expr_release(n);
  ddb_expr_release(one_more);
  ddb_expr_release(c.plus_one);
  ddb_table_release(c.table);
  ddb_db_release(db);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bank),
      cmocka_unit_test(test_inserts),
      cmocka_unit_test(test_catalogue),
      cmocka_unit_test(test_counter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
