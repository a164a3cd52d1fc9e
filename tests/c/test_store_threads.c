/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_threads.c - what threads may rely on: no torn record, no lost insert, unique keys, sums
 * kept, snapshots of one instant, nothing seen of an explicit write lock before its end.
 *
 * Made to run under ThreadSanitizer and AddressSanitizer too. In the testing build nodes are tiny,
 * threads yield at random, and planted faults are looked for (test_faults).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "support.h"

enum { ACCOUNTS = 32, START = 1000, WRITERS = 2, READERS = 3 };

typedef struct bank {
  ddb_db *db;
  ddb_table *accounts;
  ddb_table *journal;
  _Atomic bool stop;
  _Atomic uint64_t wrong; /* invariants that did not hold */
  _Atomic uint64_t reads;
  _Atomic uint64_t inserts;
  uint64_t seed;
} bank;

typedef struct worker {
  bank *bank;
  uint64_t random;
  pthread_t thread;
} worker;

#define CHECK(bank, condition) \
  (void)((condition) || atomic_fetch_add(&(bank)->wrong, 1) || true)

/* Threads cannot end a test: they count. */
static void require(bank *b, ddb_status status) {
  CHECK(b, status == DDB_OK);
}

static void set_account(bank *b, int64_t id, int64_t balance) {
  const ddb_str names[] = {DDB_STR("balance"), DDB_STR("twin")};
  const ddb_value values[] = {ddb_int(balance), ddb_int(-balance)};
  ddb_builder *changes;
  const ddb_shape *shape;
  ddb_cond *cond;
  ddb_value key = ddb_int(id);
  uint64_t count = 0;
  require(b, ddb_builder_new(&changes, NULL));
  require(b, ddb_table_shape(b->accounts, DDB_SHAPE_CHANGES, names, 2, &shape, NULL));
  require(b, ddb_builder_record_begin(changes, shape, true, NULL));
  require(b, ddb_builder_append(changes, &values[0], NULL));
  require(b, ddb_builder_append(changes, &values[1], NULL));
  require(b, ddb_builder_end(changes, NULL));
  require(b, ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &cond, NULL));
  require(b, ddb_table_update(b->accounts, changes, cond, &count, NULL));
  CHECK(b, count == 1);
  ddb_cond_release(cond);
  ddb_builder_free(changes);
}

static int64_t get_account(bank *b, int64_t id) {
  ddb_view view;
  const ddb_record *record = NULL;
  ddb_value key = ddb_int(id);
  int64_t balance = 0;
  if (ddb_view_open(b->accounts, &view, NULL) != DDB_OK) {
    CHECK(b, false);
    return 0;
  }
  require(b, ddb_view_get(&view, &key, &record, NULL));
  CHECK(b, record != NULL);
  if (record) {
    balance = ddb_record_get(record, DDB_STR("balance")).as.integer;
    CHECK(b, balance == -ddb_record_get(record, DDB_STR("twin")).as.integer);
  }
  ddb_view_close(&view);
  return balance;
}

/* Moves money under one explicit lock on both tables, and notes it in the journal. */
static void transfer(worker *w) {
  bank *b = w->bank;
  ddb_table *both[] = {b->accounts, b->journal};
  int64_t from = 1 + (int64_t)support_below(&w->random, ACCOUNTS);
  int64_t to = 1 + (int64_t)support_below(&w->random, ACCOUNTS);
  int64_t amount = (int64_t)support_below(&w->random, 50);
  if (from == to) {
    return;
  }
  require(b, ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  set_account(b, from, get_account(b, from) - amount);
  ddb_field fields[] = {{DDB_STR("from"), ddb_int(from)},
                        {DDB_STR("to"), ddb_int(to)},
                        {DDB_STR("amount"), ddb_int(amount)}};
  require(b, ddb_table_insert_fields(b->journal, fields, 3, NULL, NULL));
  set_account(b, to, get_account(b, to) + amount);
  require(b, ddb_tables_write_unlock(both, 2, NULL));
}

/* A single-table statement too: insert and delete rows in the journal's own key range. */
static void churn(worker *w) {
  bank *b = w->bank;
  ddb_field field = {DDB_STR("amount"), ddb_int(0)};
  ddb_value key;
  ddb_cond *cond;
  uint64_t count = 0;
  require(b, ddb_table_insert_fields(b->journal, &field, 1, &key, NULL));
  require(b, ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &cond, NULL));
  require(b, ddb_table_delete(b->journal, cond, &count, NULL));
  CHECK(b, count == 1);
  ddb_cond_release(cond);
}

static void *write_loop(void *context) {
  worker *w = context;
  while (!atomic_load(&w->bank->stop)) {
    if (support_below(&w->random, 3) == 0) {
      churn(w);
    } else {
      transfer(w);
    }
  }
  return NULL;
}

static void check_sum(bank *b, const ddb_view *view) {
  uint64_t position = 0;
  int64_t sum = 0;
  uint64_t rows = 0;
  for (const ddb_record *r; (r = ddb_view_next(view, &position)) != NULL; rows++) {
    int64_t balance = ddb_record_get(r, DDB_STR("balance")).as.integer;
    CHECK(b, balance == -ddb_record_get(r, DDB_STR("twin")).as.integer);
    sum += balance;
  }
  CHECK(b, rows == ACCOUNTS);
  CHECK(b, sum == (int64_t)ACCOUNTS * START);
}

/* Both tables at one instant: what the journal says is what the accounts show. */
static void check_snapshot(bank *b) {
  int64_t expected[ACCOUNTS + 1] = {0};
  ddb_snapshot *snapshot;
  ddb_view view;
  uint64_t position = 0;
  if (ddb_snapshot_open(b->db, &snapshot, NULL) != DDB_OK) {
    CHECK(b, false);
    return;
  }
  require(b, ddb_snapshot_view(snapshot, b->journal, &view, NULL));
  for (const ddb_record *r; (r = ddb_view_next(&view, &position)) != NULL;) {
    int64_t amount = ddb_record_get(r, DDB_STR("amount")).as.integer;
    ddb_value from = ddb_record_get(r, DDB_STR("from"));
    if (from.kind == DDB_INT) {
      expected[from.as.integer] -= amount;
      expected[ddb_record_get(r, DDB_STR("to")).as.integer] += amount;
    }
  }
  ddb_view_close(&view);
  usleep(200); /* let writers supersede it */
  require(b, ddb_snapshot_view(snapshot, b->accounts, &view, NULL));
  check_sum(b, &view);
  for (int64_t id = 1; id <= ACCOUNTS; id++) {
    ddb_value key = ddb_int(id);
    const ddb_record *record = NULL;
    require(b, ddb_view_get(&view, &key, &record, NULL));
    CHECK(b, record && ddb_record_get(record, DDB_STR("balance")).as.integer - START == expected[id]);
  }
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
}

static void *read_loop(void *context) {
  worker *w = context;
  bank *b = w->bank;
  while (!atomic_load(&b->stop)) {
    ddb_view view;
    if (support_below(&w->random, 8) == 0) {
      check_snapshot(b);
    } else if (ddb_view_open(b->accounts, &view, NULL) == DDB_OK) {
      check_sum(b, &view);
      ddb_view nested; /* a second table, and the same again: both must hold their version */
      require(b, ddb_view_open(b->journal, &nested, NULL));
      uint64_t before = ddb_view_count(&nested);
      check_sum(b, &view);
      CHECK(b, before == ddb_view_count(&nested));
      ddb_view_close(&nested);
      (void)get_account(b, 1 + (int64_t)support_below(&w->random, ACCOUNTS));
      check_sum(b, &view);
      ddb_view_close(&view);
    } else {
      CHECK(b, false);
    }
    atomic_fetch_add(&b->reads, 1);
  }
  return NULL;
}

static void bank_open(bank *b, uint64_t seed) {
  memset(b, 0, sizeof *b);
  b->seed = seed;
  assert_ok(ddb_db_new(&b->db, NULL));
  assert_ok(ddb_db_table_create(b->db, DDB_STR("accounts"), NULL, &b->accounts, NULL));
  assert_ok(ddb_db_table_create(b->db, DDB_STR("journal"), NULL, &b->journal, NULL));
  for (int64_t id = 1; id <= ACCOUNTS; id++) {
    ddb_field fields[] = {{DDB_STR("id"), ddb_int(id)},
                          {DDB_STR("balance"), ddb_int(START)},
                          {DDB_STR("twin"), ddb_int(-START)}};
    assert_ok(ddb_table_insert_fields(b->accounts, fields, 3, NULL, NULL));
  }
}

static void bank_close(bank *b) {
  ddb_table_release(b->accounts);
  ddb_table_release(b->journal);
  ddb_db_release(b->db);
}

static void bank_run(bank *b, uint64_t milliseconds) {
  worker workers[WRITERS + READERS];
  for (size_t i = 0; i < WRITERS + READERS; i++) {
    workers[i] = (worker){.bank = b, .random = b->seed + 2 * i};
    pthread_create(&workers[i].thread, NULL, i < WRITERS ? write_loop : read_loop, &workers[i]);
  }
  usleep((useconds_t)(milliseconds * 1000));
  atomic_store(&b->stop, true);
  for (size_t i = 0; i < WRITERS + READERS; i++) {
    pthread_join(workers[i].thread, NULL);
  }
}

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
  check_snapshot(&b);
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
  worker *w = context;
  for (int i = 0; i < 2000; i++) {
    ddb_field field = {DDB_STR("amount"), ddb_int(i)};
    require(w->bank, ddb_table_insert_fields(w->bank->journal, &field, 1, NULL, NULL));
  }
  return NULL;
}

static void test_inserts(void **state) {
  (void)state;
  bank b;
  bank_open(&b, support_seed("inserts"));
  worker workers[4];
  for (size_t i = 0; i < 4; i++) {
    workers[i] = (worker){.bank = &b, .random = b.seed + 2 * i};
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
  worker *w = context;
  bank *b = w->bank;
  for (int i = 0; i < 300; i++) {
    ddb_table *table = NULL;
    ddb_status status = ddb_db_table_create(b->db, DDB_STR("shared"), NULL, &table, NULL);
    CHECK(b, status == DDB_OK || status == DDB_ERR_DUPLICATE_TABLE);
    if (status != DDB_OK) {
      status = ddb_db_table_get(b->db, DDB_STR("shared"), &table, NULL);
      CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
    }
    if (status == DDB_OK) {
      ddb_field field = {DDB_STR("amount"), ddb_int(i)};
      status = ddb_table_insert_fields(table, &field, 1, NULL, NULL);
      CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
      ddb_table_release(table);
    }
    ddb_snapshot *snapshot = NULL;
    ddb_table **tables;
    size_t count = 0;
    require(b, ddb_snapshot_open(b->db, &snapshot, NULL));
    status = ddb_db_table_drop(b->db, DDB_STR("shared"), NULL);
    CHECK(b, status == DDB_OK || status == DDB_ERR_TABLE_NOT_FOUND);
    require(b, ddb_snapshot_tables(snapshot, &tables, &count, NULL));
    for (size_t j = 0; j < count; j++) {
      ddb_view view;
      require(b, ddb_snapshot_view(snapshot, tables[j], &view, NULL));
      uint64_t position = 0, rows = 0;
      while (ddb_view_next(&view, &position)) {
        rows++;
      }
      CHECK(b, rows == ddb_view_count(&view));
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
  worker workers[4];
  for (size_t i = 0; i < 4; i++) {
    workers[i] = (worker){.bank = &b, .random = b.seed + 2 * i};
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
