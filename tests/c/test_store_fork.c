/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_fork.c - a child of fork() reads the instant of the fork, whatever other threads were
 * doing; its writes and locks give DDB_ERR_FORKED; nothing hangs; databases of its own work.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bank.h"
#include "base/testing.h"
#include "rows.h"
#include "stop.h"
#include "support.h"

/* Sanitizers' allocators may be locked by another thread at the instant of a fork. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct scene {
  bank bank;
  ddb_snapshot *snapshot;
  ddb_view view; /* of the accounts, opened by the forking thread */
  bool viewed;
  _Atomic bool ready;
  _Atomic bool go_on;
} scene;

/* Runs in the child; what it counts in bank.wrong makes the test fail. */
typedef void (*child_part)(scene *s);

static void fork_and_check(scene *s, child_part part) {
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)signal(SIGSEGV, SIG_DFL);
    (void)signal(SIGABRT, SIG_DFL);
    (void)alarm(10);
    part(s);
    _exit(atomic_load(&s->bank.wrong) == 0 ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    fail_msg("the child ended by signal %d%s", WTERMSIG(status),
             WTERMSIG(status) == SIGALRM ? ": it hung" : "");
  }
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void scene_open(scene *s, uint64_t seed) {
  memset(s, 0, sizeof *s);
  bank_open(&s->bank, seed);
  assert_int_equal(atomic_load(&s->bank.wrong), 0);
}

static void scene_close(scene *s) {
  assert_int_equal(atomic_load(&s->bank.wrong), 0);
  bank_close(&s->bank);
}

/* ---- What a child may do ------------------------------------------------------------------- */

#define IS(s, expression, expected) BANK_CHECK(&(s)->bank, (expression) == (expected))

static void child_writes(scene *s) {
  bank *b = &s->bank;
  ddb_table *both[] = {b->accounts, b->journal};
  ddb_table *table;
  ddb_rwlock *lock = ddb_table_lock(b->accounts);
  IS(s, rows_insert(b->accounts, 1000, 1), DDB_ERR_FORKED);
  IS(s, rows_delete(b->journal, 1), DDB_ERR_FORKED);
  IS(s, rows_update_all(b->accounts, 1), DDB_ERR_FORKED);
  IS(s, ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL), DDB_ERR_FORKED);
  IS(s, ddb_rwlock_acquire_read(lock, 0, NULL), DDB_ERR_FORKED);
  IS(s, ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL), DDB_ERR_FORKED);
  IS(s, ddb_table_index_create(b->accounts, DDB_STR("twin"), DDB_INDEX_HASH, NULL), DDB_ERR_FORKED);
  IS(s, ddb_db_table_create(b->db, DDB_STR("new"), NULL, &table, NULL), DDB_ERR_FORKED);
  IS(s, ddb_db_table_drop(b->db, DDB_STR("accounts"), NULL), DDB_ERR_FORKED);
}

static void child_reads(scene *s) {
  bank *b = &s->bank;
  ddb_view view, nested;
  ddb_snapshot *snapshot;
  ddb_table *table;
  ddb_memory memory;
  for (int i = 0; i < 3; i++) {
    IS(s, ddb_view_open(b->accounts, &view, NULL), DDB_OK);
    IS(s, ddb_view_open(b->accounts, &nested, NULL), DDB_OK);
    bank_check_sum(b, &nested);
    ddb_view_close(&view);
    bank_check_sum(b, &nested);
    ddb_view_close(&nested);
    (void)bank_get(b, 7);
    bank_check_snapshot(b);
  }
  IS(s, ddb_snapshot_open(b->db, &snapshot, NULL), DDB_OK);
  IS(s, ddb_snapshot_view(snapshot, b->accounts, &view, NULL), DDB_OK);
  bank_check_sum(b, &view);
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  if (s->snapshot) { /* from before the fork */
    IS(s, ddb_snapshot_view(s->snapshot, b->accounts, &view, NULL), DDB_OK);
    bank_check_sum(b, &view);
    ddb_view_close(&view);
    ddb_snapshot_close(s->snapshot);
    s->snapshot = NULL;
  }
  if (s->viewed) {
    bank_check_sum(b, &s->view);
    ddb_view_close(&s->view);
    s->viewed = false;
  }
  IS(s, ddb_db_table_get(b->db, DDB_STR("accounts"), &table, NULL), DDB_OK);
  ddb_db_memory(b->db, &memory);
  BANK_CHECK(b, memory.total_bytes > 0);
  ddb_table_release(table);
}

/* The child's own database is like any other. */
static void child_own_database(scene *s) {
  bank *b = &s->bank;
  ddb_db *db;
  ddb_table *table;
  ddb_view view;
  IS(s, ddb_db_new(&db, NULL), DDB_OK);
  IS(s, ddb_db_table_create(db, DDB_STR("own"), NULL, &table, NULL), DDB_OK);
  IS(s, rows_insert_many(table, 1, 50), DDB_OK);
  IS(s, ddb_rwlock_acquire_write(ddb_table_lock(table), 0, NULL), DDB_OK);
  IS(s, rows_delete(table, 50), DDB_OK);
  IS(s, ddb_rwlock_release_write(ddb_table_lock(table), NULL), DDB_OK);
  IS(s, ddb_view_open(table, &view, NULL), DDB_OK);
  BANK_CHECK(b, rows_are(&view, 1, 49));
  ddb_view_close(&view);
  ddb_table_release(table);
  ddb_db_release(db);
}

static void child_all(scene *s) {
  child_reads(s);
  child_writes(s);
  child_own_database(s);
  child_reads(s);
  bank_close(&s->bank); /* gives nothing back: it may be half-way */
}

/* ---- Situations ---------------------------------------------------------------------------- */

static void test_quiet(void **state) {
  (void)state;
  scene s;
  scene_open(&s, support_seed("quiet fork"));
  assert_ok(ddb_snapshot_open(s.bank.db, &s.snapshot, NULL));
  bank_worker w = {.bank = &s.bank, .random = s.bank.seed};
  bank_transfer(&w);
  assert_ok(ddb_view_open(s.bank.accounts, &s.view, NULL));
  s.viewed = true;
  bank_transfer(&w);
  fork_and_check(&s, child_all);
  bank_check_sum(&s.bank, &s.view);
  ddb_view_close(&s.view);
  bank_check_snapshot(&s.bank);
  ddb_snapshot_close(s.snapshot);
  bank_transfer(&w);
  scene_close(&s);
}

/* Another thread is in the middle of a block: the child sees what was before it. */
static void *half_transfer(void *context) {
  scene *s = context;
  bank *b = &s->bank;
  ddb_table *both[] = {b->accounts, b->journal};
  bank_require(b, ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  bank_set(b, 3, bank_get(b, 3) - 100);
  atomic_store(&s->ready, true);
  while (!atomic_load(&s->go_on)) {
    usleep(1000);
  }
  bank_set(b, 3, bank_get(b, 3) + 100);
  bank_require(b, ddb_tables_write_unlock(both, 2, NULL));
  return NULL;
}

static void test_locked_by_another(void **state) {
  (void)state;
  scene s;
  pthread_t thread;
  scene_open(&s, support_seed("locked by another"));
  pthread_create(&thread, NULL, half_transfer, &s);
  while (!atomic_load(&s.ready)) {
    usleep(1000);
  }
  fork_and_check(&s, child_all);
  atomic_store(&s.go_on, true);
  pthread_join(thread, NULL);
  bank_check_snapshot(&s.bank);
  scene_close(&s);
}

/* The forking thread itself is in a block: it still sees its own writes, and can leave the block;
 * for everybody else, and for snapshots, the block never happened. */
static void child_leaves_group(scene *s) {
  bank *b = &s->bank;
  ddb_table *both[] = {b->accounts, b->journal};
  ddb_snapshot *snapshot;
  ddb_view view;
  BANK_CHECK(b, bank_get(b, 3) == BANK_START - 100);
  bank_check_snapshot(b);
  IS(s, ddb_tables_write_unlock(both, 2, NULL), DDB_OK);
  IS(s, ddb_tables_write_unlock(both, 2, NULL), DDB_ERR_NOT_OWNER);
  bank_check_snapshot(b);
  IS(s, ddb_snapshot_open(b->db, &snapshot, NULL), DDB_OK);
  IS(s, ddb_snapshot_view(snapshot, b->accounts, &view, NULL), DDB_OK);
  bank_check_sum(b, &view);
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  child_writes(s);
  child_own_database(s);
}

static void child_leaves_one_by_one(scene *s) {
  bank *b = &s->bank;
  IS(s, ddb_rwlock_release_write(ddb_table_lock(b->journal), NULL), DDB_OK);
  IS(s, ddb_rwlock_release_write(ddb_table_lock(b->accounts), NULL), DDB_OK);
  bank_check_snapshot(b);
  child_writes(s);
}

static void test_locked_by_forker(void **state) {
  (void)state;
  scene s;
  scene_open(&s, support_seed("locked by the forker"));
  bank *b = &s.bank;
  ddb_table *both[] = {b->accounts, b->journal};
  assert_ok(ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  bank_set(b, 3, BANK_START - 100);
  fork_and_check(&s, child_leaves_group);
  fork_and_check(&s, child_leaves_one_by_one);
  bank_set(b, 3, BANK_START);
  assert_ok(ddb_tables_write_unlock(both, 2, NULL));
  bank_check_snapshot(b);
  scene_close(&s);
}

static void child_leaves_read(scene *s) {
  ddb_rwlock *lock = ddb_table_lock(s->bank.accounts);
  child_reads(s);
  IS(s, ddb_rwlock_release_read(lock, NULL), DDB_OK);
  child_writes(s);
  child_reads(s);
}

static void test_read_locked(void **state) {
  (void)state;
  scene s;
  scene_open(&s, support_seed("read-locked"));
  assert_ok(ddb_rwlock_acquire_read(ddb_table_lock(s.bank.accounts), DDB_WAIT_FOREVER, NULL));
  fork_and_check(&s, child_leaves_read);
  assert_ok(ddb_rwlock_release_read(ddb_table_lock(s.bank.accounts), NULL));
  scene_close(&s);
}

/* ---- At each point ------------------------------------------------------------------------- */

#ifdef DDB_TESTING

static ddb_status transfer_once(void *context) {
  bank_transfer(context);
  return DDB_OK;
}
static ddb_status churn_once(void *context) {
  bank_churn(context);
  return DDB_OK;
}
static ddb_status read_once(void *context) {
  bank_worker *w = context;
  (void)bank_get(w->bank, 5);
  return DDB_OK;
}

/* Does this state of the random numbers choose two accounts? */
static bool transfers(uint64_t random) {
  uint64_t from = support_below(&random, BANK_ACCOUNTS);
  return from != support_below(&random, BANK_ACCOUNTS);
}

static void test_at_each_point(void **state) {
  (void)state;
  scene s;
  scene_open(&s, support_seed("fork at each point"));
  bank_worker w = {.bank = &s.bank, .random = s.bank.seed};
  for (int point = 0; point < DDB__POINT_COUNT; point++) {
    bool reads = point == DDB__POINT_PIN_HELD || point == DDB__POINT_PIN_LOADED;
    for (int which = 0; which < (reads ? 1 : 2); which++) {
      stop_thread thread = {reads ? read_once : which ? churn_once : transfer_once, &w, 0};
      assert_ok(ddb_snapshot_open(s.bank.db, &s.snapshot, NULL));
      do { /* a transfer from an account to itself is none */
        w.random++;
      } while (which == 0 && !reads && !transfers(w.random));
      stop_thread_start(&thread, (ddb__point)point);
      fork_and_check(&s, child_all);
      assert_ok(stop_thread_finish(&thread));
      ddb_snapshot_close(s.snapshot);
      s.snapshot = NULL;
    }
  }
  bank_check_snapshot(&s.bank);
  scene_close(&s);
}

#else

static void test_at_each_point(void **state) {
  (void)state;
  skip();
}

#endif

/* ---- At any instant ------------------------------------------------------------------------ */

static void *keep_transferring(void *context) {
  bank_worker *w = context;
  for (int i = 0; !atomic_load(&w->bank->stop); i++) {
    if (i < 1000 || i % 100 == 0) { /* the children read all of the journal */
      bank_transfer(w);
    }
    bank_churn(w);
    ddb_view view, nested;
    bank_require(w->bank, ddb_view_open(w->bank->accounts, &view, NULL));
    bank_require(w->bank, ddb_view_open(w->bank->accounts, &nested, NULL));
    bank_check_sum(w->bank, &nested);
    ddb_view_close(&view);
    ddb_view_close(&nested);
    ddb_table *table = NULL; /* the catalogue too */
    if (ddb_db_table_create(w->bank->db, DDB_STR("come and go"), NULL, &table, NULL) == DDB_OK) {
      (void)ddb_db_table_drop(w->bank->db, DDB_STR("come and go"), NULL);
      ddb_table_release(table);
    }
  }
  return NULL;
}

static void test_any_instant(void **state) {
  (void)state;
  if (SANITIZED) {
    skip();
  }
  scene s;
  scene_open(&s, support_seed("any instant"));
  bank_worker writers[3];
  for (size_t i = 0; i < 3; i++) {
    writers[i] = (bank_worker){.bank = &s.bank, .random = s.bank.seed + 2 * i};
    pthread_create(&writers[i].thread, NULL, keep_transferring, &writers[i]);
  }
  uint64_t random = s.bank.seed;
  int forks = support_number("DICTDB_LONG", 0) != 0 ? 2000 : 150;
  for (int i = 0; i < forks; i++) {
    usleep((useconds_t)support_below(&random, 3000));
    if (i % 3 == 0) {
      assert_ok(ddb_snapshot_open(s.bank.db, &s.snapshot, NULL));
    }
    fork_and_check(&s, child_all);
    ddb_snapshot_close(s.snapshot);
    s.snapshot = NULL;
  }
  atomic_store(&s.bank.stop, true);
  for (size_t i = 0; i < 3; i++) {
    pthread_join(writers[i].thread, NULL);
  }
  bank_check_snapshot(&s.bank);
  scene_close(&s);
}

int main(void) {
  support_allocator_install();
#ifdef DDB_TESTING
  ddb__test_yield_set(7, 1);
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_quiet),
      cmocka_unit_test(test_locked_by_another),
      cmocka_unit_test(test_locked_by_forker),
      cmocka_unit_test(test_read_locked),
      cmocka_unit_test(test_at_each_point),
      cmocka_unit_test(test_any_instant),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
