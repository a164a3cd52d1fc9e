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

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bank),
      cmocka_unit_test(test_inserts),
      cmocka_unit_test(test_catalogue),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
