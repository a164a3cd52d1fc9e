/* SPDX-License-Identifier: Apache-2.0 */
/* bank.c - see bank.h. */
#include "bank.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

void bank_require(bank *b, ddb_status status) {
  BANK_CHECK(b, status == DDB_OK);
}

void bank_set(bank *b, int64_t id, int64_t balance) {
  const ddb_str names[] = {DDB_STR("balance"), DDB_STR("twin")};
  const ddb_value values[] = {ddb_int(balance), ddb_int(-balance)};
  ddb_builder *changes;
  const ddb_shape *shape;
  ddb_cond *cond;
  ddb_value key = ddb_int(id);
  uint64_t count = 0;
  bank_require(b, ddb_builder_new(&changes, NULL));
  bank_require(b, ddb_table_shape(b->accounts, DDB_SHAPE_CHANGES, names, 2, &shape, NULL));
  bank_require(b, ddb_builder_record_begin(changes, shape, true, NULL));
  bank_require(b, ddb_builder_append(changes, &values[0], NULL));
  bank_require(b, ddb_builder_append(changes, &values[1], NULL));
  bank_require(b, ddb_builder_end(changes, NULL));
  bank_require(b, ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &cond, NULL));
  bank_require(b, ddb_table_update(b->accounts, changes, cond, &count, NULL));
  BANK_CHECK(b, count == 1);
  ddb_cond_release(cond);
  ddb_builder_free(changes);
}

int64_t bank_get(bank *b, int64_t id) {
  ddb_view view;
  const ddb_record *record = NULL;
  ddb_value key = ddb_int(id);
  int64_t balance = 0;
  if (ddb_view_open(b->accounts, &view, NULL) != DDB_OK) {
    BANK_CHECK(b, false);
    return 0;
  }
  bank_require(b, ddb_view_get(&view, &key, &record, NULL));
  BANK_CHECK(b, record != NULL);
  if (record) {
    balance = ddb_record_get(record, DDB_STR("balance")).as.integer;
    BANK_CHECK(b, balance == -ddb_record_get(record, DDB_STR("twin")).as.integer);
  }
  ddb_view_close(&view);
  return balance;
}

/* Moves money under one explicit lock on both tables, and notes it in the journal. */
void bank_transfer(bank_worker *w) {
  bank *b = w->bank;
  ddb_table *both[] = {b->accounts, b->journal};
  int64_t from = 1 + (int64_t)support_below(&w->random, BANK_ACCOUNTS);
  int64_t to = 1 + (int64_t)support_below(&w->random, BANK_ACCOUNTS);
  int64_t amount = (int64_t)support_below(&w->random, 50);
  if (from == to) {
    return;
  }
  bank_require(b, ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  bank_set(b, from, bank_get(b, from) - amount);
  ddb_field fields[] = {{DDB_STR("from"), ddb_int(from)},
                        {DDB_STR("to"), ddb_int(to)},
                        {DDB_STR("amount"), ddb_int(amount)}};
  bank_require(b, ddb_table_insert_fields(b->journal, fields, 3, NULL, NULL));
  bank_set(b, to, bank_get(b, to) + amount);
  bank_require(b, ddb_tables_write_unlock(both, 2, NULL));
}

/* A single-table statement too: insert and delete rows in the journal's own key range. */
void bank_churn(bank_worker *w) {
  bank *b = w->bank;
  ddb_field field = {DDB_STR("amount"), ddb_int(0)};
  ddb_value key;
  ddb_cond *cond;
  uint64_t count = 0;
  bank_require(b, ddb_table_insert_fields(b->journal, &field, 1, &key, NULL));
  bank_require(b, ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &cond, NULL));
  bank_require(b, ddb_table_delete(b->journal, cond, &count, NULL));
  BANK_CHECK(b, count == 1);
  ddb_cond_release(cond);
}

static void *write_loop(void *context) {
  bank_worker *w = context;
  while (!atomic_load(&w->bank->stop)) {
    if (support_below(&w->random, 3) == 0) {
      bank_churn(w);
    } else {
      bank_transfer(w);
    }
  }
  return NULL;
}

void bank_check_sum(bank *b, const ddb_view *view) {
  uint64_t position = 0;
  int64_t sum = 0;
  uint64_t rows = 0;
  for (const ddb_record *r; (r = ddb_view_next(view, &position)) != NULL; rows++) {
    int64_t balance = ddb_record_get(r, DDB_STR("balance")).as.integer;
    BANK_CHECK(b, balance == -ddb_record_get(r, DDB_STR("twin")).as.integer);
    sum += balance;
  }
  BANK_CHECK(b, rows == BANK_ACCOUNTS);
  BANK_CHECK(b, sum == (int64_t)BANK_ACCOUNTS * BANK_START);
}

/* Both tables at one instant: what the journal says is what the accounts show. */
void bank_check_snapshot(bank *b) {
  int64_t expected[BANK_ACCOUNTS + 1] = {0};
  ddb_snapshot *snapshot;
  ddb_view view;
  uint64_t position = 0;
  if (ddb_snapshot_open(b->db, &snapshot, NULL) != DDB_OK) {
    BANK_CHECK(b, false);
    return;
  }
  bank_require(b, ddb_snapshot_view(snapshot, b->journal, &view, NULL));
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
  bank_require(b, ddb_snapshot_view(snapshot, b->accounts, &view, NULL));
  bank_check_sum(b, &view);
  for (int64_t id = 1; id <= BANK_ACCOUNTS; id++) {
    ddb_value key = ddb_int(id);
    const ddb_record *record = NULL;
    bank_require(b, ddb_view_get(&view, &key, &record, NULL));
    BANK_CHECK(b, record && ddb_record_get(record, DDB_STR("balance")).as.integer - BANK_START ==
                                expected[id]);
  }
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
}

static void *read_loop(void *context) {
  bank_worker *w = context;
  bank *b = w->bank;
  while (!atomic_load(&b->stop)) {
    ddb_view view;
    if (support_below(&w->random, 8) == 0) {
      bank_check_snapshot(b);
    } else if (ddb_view_open(b->accounts, &view, NULL) == DDB_OK) {
      bank_check_sum(b, &view);
      ddb_view nested; /* a second table, and the same again: both must hold their version */
      bank_require(b, ddb_view_open(b->journal, &nested, NULL));
      uint64_t before = ddb_view_count(&nested);
      bank_check_sum(b, &view);
      BANK_CHECK(b, before == ddb_view_count(&nested));
      ddb_view_close(&nested);
      (void)bank_get(b, 1 + (int64_t)support_below(&w->random, BANK_ACCOUNTS));
      bank_check_sum(b, &view);
      ddb_view_close(&view);
    } else {
      BANK_CHECK(b, false);
    }
    atomic_fetch_add_explicit(&b->reads, 1, memory_order_relaxed);
  }
  return NULL;
}

void bank_open(bank *b, uint64_t seed) {
  memset(b, 0, sizeof *b);
  b->seed = seed;
  bank_require(b, ddb_db_new(&b->db, NULL));
  bank_require(b, ddb_db_table_create(b->db, DDB_STR("accounts"), NULL, &b->accounts, NULL));
  bank_require(b, ddb_db_table_create(b->db, DDB_STR("journal"), NULL, &b->journal, NULL));
  for (int64_t id = 1; id <= BANK_ACCOUNTS; id++) {
    ddb_field fields[] = {{DDB_STR("id"), ddb_int(id)},
                          {DDB_STR("balance"), ddb_int(BANK_START)},
                          {DDB_STR("twin"), ddb_int(-BANK_START)}};
    bank_require(b, ddb_table_insert_fields(b->accounts, fields, 3, NULL, NULL));
  }
}

void bank_close(bank *b) {
  ddb_table_release(b->accounts);
  ddb_table_release(b->journal);
  ddb_db_release(b->db);
}

void bank_run(bank *b, uint64_t milliseconds) {
  bank_worker workers[BANK_WRITERS + BANK_READERS];
  for (size_t i = 0; i < BANK_WRITERS + BANK_READERS; i++) {
    workers[i] = (bank_worker){.bank = b, .random = b->seed + 2 * i};
    pthread_create(&workers[i].thread, NULL, i < BANK_WRITERS ? write_loop : read_loop,
                   &workers[i]);
  }
  for (uint64_t i = 0;
       (i < milliseconds || atomic_load(&b->reads) == 0) && atomic_load(&b->wrong) == 0; i += 10) {
    usleep(10 * 1000);
  }
  atomic_store(&b->stop, true);
  for (size_t i = 0; i < BANK_WRITERS + BANK_READERS; i++) {
    pthread_join(workers[i].thread, NULL);
  }
}
