/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bank.h - accounts and a journal of transfers between them: two tables with invariants that any
 * mistake of the store breaks sooner or later.
 *
 *   accounts  id, balance, twin      twin is -balance; the balances' sum never changes
 *   journal   id, from, to, amount   what it says is what the accounts show, at every instant
 *
 * Threads cannot end a test: what does not hold is counted in `wrong`.
 */
#ifndef DDB_TESTS_BANK_H
#define DDB_TESTS_BANK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dictdb.h"

enum { BANK_ACCOUNTS = 32, BANK_START = 1000, BANK_WRITERS = 2, BANK_READERS = 3 };

typedef struct bank {
  ddb_db *db;
  ddb_table *accounts;
  ddb_table *journal;
  _Atomic bool stop;
  _Atomic uint64_t wrong; /* invariants that did not hold */
  _Atomic uint64_t reads;
  uint64_t seed;
} bank;

typedef struct bank_worker {
  bank *bank;
  uint64_t random;
  pthread_t thread;
} bank_worker;

#define BANK_CHECK(bank, condition)                                                                \
  (void)((condition) || atomic_fetch_add(&(bank)->wrong, 1) || true)

void bank_require(bank *b, ddb_status status);

void bank_open(bank *b, uint64_t seed);
void bank_close(bank *b);
/* Writers and readers for so long, or until something is wrong. */
void bank_run(bank *b, uint64_t milliseconds);

void bank_set(bank *b, int64_t id, int64_t balance);
/* Checks that the account is there and its twin right. */
int64_t bank_get(bank *b, int64_t id);
/* One explicit lock on both tables. */
void bank_transfer(bank_worker *w);
/* A row of the journal that comes and goes. */
void bank_churn(bank_worker *w);
/* A view of the accounts: nothing torn, nothing lost. */
void bank_check_sum(bank *b, const ddb_view *view);
/* Both tables at one instant. */
void bank_check_snapshot(bank *b);

#endif
