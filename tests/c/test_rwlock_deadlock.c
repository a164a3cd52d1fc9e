/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rwlock_deadlock.c - cycles of threads across locks: certain ones are refused with names,
 * those through a queued writer are not refused, and what is no cycle never is.
 */
#include <time.h>
#include <unistd.h>

#include "support.h"

#include "base/testing.h"
#include "lock_actors.h"

enum { ACTOR_COUNT = 5, LOCK_COUNT = 4 };

static actor actors[ACTOR_COUNT];
static ddb_rwlock *locks[LOCK_COUNT];
static actor *const a = &actors[0], *const b = &actors[1], *const c = &actors[2],
                    *const d = &actors[3], *const e = &actors[4];

static int open_stage(void **state) {
  (void)state;
  const char *const names[LOCK_COUNT] = {"flights", "planes", "airports", "weather"};
  for (int i = 0; i < LOCK_COUNT; i++) {
    locks[i] = lock_make(names[i]);
  }
  for (int i = 0; i < ACTOR_COUNT; i++) {
    actor_open(&actors[i]);
  }
  return 0;
}

static int close_stage(void **state) {
  (void)state;
  for (int i = 0; i < ACTOR_COUNT; i++) {
    if (!actor_close(&actors[i])) {
      fprintf(stderr, "actor %d is stuck\n", i);
      return 1;
    }
  }
  for (int i = 0; i < LOCK_COUNT; i++) {
    if (!lock_is_idle(locks[i])) {
      fprintf(stderr, "lock %d is not idle\n", i);
      return 1;
    }
    ddb_rwlock_free(locks[i]);
  }
  return 0;
}

static void begin_waiting(actor *actor, actor_step step, ddb_rwlock *lock) {
  actor_begin(actor, step, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(actor, lock));
}

static void assert_names_thread(const ddb_error *err, const actor *actor) {
  char text[40];
  snprintf(text, sizeof text, "thread %lld", (long long)actor->self->native_id);
  if (strstr(err->message, text) == NULL) {
    fail_msg("no %s in: %s", text, err->message);
  }
}

static void assert_names(const ddb_error *err, const char *word) {
  if (strstr(err->message, word) == NULL) {
    fail_msg("no %s in: %s", word, err->message);
  }
}

/* ---- Certain deadlocks ---- */

static void test_two_writers(void **state) {
  (void)state;
  const actor_step waits[] = {WRITE, ENTER, READ};
  for (int i = 0; i < 3; i++) {
    assert_ok(actor_do(a, WRITE, locks[0]));
    assert_ok(actor_do(b, WRITE, locks[1]));
    begin_waiting(a, WRITE, locks[1]);
    assert_int_equal(actor_do(b, waits[i], locks[0]), DDB_ERR_DEADLOCK);
    assert_int_equal(b->err.status, DDB_ERR_DEADLOCK);
    assert_names_thread(&b->err, a);
    assert_names_thread(&b->err, b);
    assert_names(&b->err, "'flights'");
    assert_names(&b->err, "'planes'");
    assert_string_equal(b->err.table, "flights");
    assert_ok(actor_do(b, UNWRITE, locks[1])); /* what it holds it still holds */
    assert_ok(actor_end(a));
    assert_ok(actor_do(a, UNWRITE, locks[1]));
    assert_ok(actor_do(a, UNWRITE, locks[0]));
  }
}

static void test_three_threads(void **state) {
  (void)state;
  assert_ok(actor_do(a, WRITE, locks[0]));
  assert_ok(actor_do(b, READ, locks[1]));
  assert_ok(actor_do(c, ENTER, locks[2]));
  begin_waiting(a, WRITE, locks[1]);
  begin_waiting(b, READ, locks[2]);
  assert_int_equal(actor_do(c, READ, locks[0]), DDB_ERR_DEADLOCK);
  for (int i = 0; i < 3; i++) {
    assert_names_thread(&c->err, &actors[i]);
  }
  assert_names(&c->err, "'flights'");
  assert_names(&c->err, "'planes'");
  assert_names(&c->err, "'airports'");
  assert_ok(actor_do(c, LEAVE, locks[2]));
  assert_ok(actor_end(b));
  assert_ok(actor_do(b, UNREAD, locks[2]));
  assert_ok(actor_do(b, UNREAD, locks[1]));
  assert_ok(actor_end(a));
  assert_ok(actor_do(a, UNWRITE, locks[1]));
  assert_ok(actor_do(a, UNWRITE, locks[0]));
}

static void test_one_of_many_readers(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    assert_ok(actor_do(&actors[i], READ, locks[0]));
  }
  assert_ok(actor_do(e, WRITE, locks[1]));
  begin_waiting(c, READ, locks[1]);
  assert_int_equal(actor_do(e, WRITE, locks[0]), DDB_ERR_DEADLOCK);
  assert_names_thread(&e->err, c);
  assert_ok(actor_do(e, UNWRITE, locks[1]));
  assert_ok(actor_end(c));
  assert_ok(actor_do(c, UNREAD, locks[1]));
  for (int i = 0; i < 4; i++) {
    assert_ok(actor_do(&actors[i], UNREAD, locks[0]));
  }
}

static void test_upgrade_in_the_cycle(void **state) {
  (void)state;
  assert_ok(actor_do(a, READ, locks[0]));
  assert_ok(actor_do(b, READ, locks[0]));
  assert_ok(actor_do(a, WRITE, locks[1]));
  begin_waiting(b, WRITE, locks[1]);
  assert_int_equal(actor_do(a, WRITE, locks[0]), DDB_ERR_DEADLOCK); /* b reads, and waits for a */
  assert_names_thread(&a->err, b);
  assert_ok(actor_do(a, UNWRITE, locks[1]));
  assert_ok(actor_end(b));
  begin_waiting(b, ENTER, locks[0]); /* the upgrade first, then the cycle */
  assert_int_equal(actor_do(a, READ, locks[1]), DDB_ERR_DEADLOCK);
  assert_ok(actor_do(a, UNREAD, locks[0]));
  assert_ok(actor_end(b));
  assert_ok(actor_do(b, LEAVE, locks[0]));
  assert_ok(actor_do(b, UNREAD, locks[0]));
  assert_ok(actor_do(b, UNWRITE, locks[1]));
}

/* The others, who look for cycles again while they sleep, are not refused for a cycle that one has
 * been refused for. */
static void test_only_one_is_refused(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    assert_ok(actor_do(&actors[i], WRITE, locks[i]));
  }
  assert_ok(ddb_rwlock_acquire_write(locks[3], 0, NULL));
  for (int i = 0; i < 3; i++) {
    begin_waiting(&actors[i], WRITE, locks[i + 1]);
  }
  uint64_t until_ns = ddb__rwlock_now() + 600 * (uint64_t)MS;
  bool refused = true;
  while (refused && ddb__rwlock_now() < until_ns) {
    refused = ddb_rwlock_acquire_write(locks[0], DDB_WAIT_FOREVER, NULL) == DDB_ERR_DEADLOCK;
  }
  assert_true(refused);
  assert_ok(ddb_rwlock_release_write(locks[3], NULL));
  for (int i = 2; i >= 0; i--) {
    assert_ok(actor_end(&actors[i]));
    assert_ok(actor_do(&actors[i], UNWRITE, locks[i + 1]));
    assert_ok(actor_do(&actors[i], UNWRITE, locks[i]));
  }
}

static void test_a_long_chain_is_named_as_far_as_it_fits(void **state) {
  (void)state;
  enum { COUNT = 40 };
  static actor chain[COUNT];
  ddb_rwlock *links[COUNT];
  char name[64];
  for (int i = 0; i < COUNT; i++) {
    snprintf(name, sizeof name, "a table with a rather long name, number %d", i);
    links[i] = lock_make(name);
    actor_open(&chain[i]);
    assert_ok(actor_do(&chain[i], i % 2 != 0 ? WRITE : READ, links[i]));
  }
  for (int i = 0; i < COUNT - 1; i++) {
    begin_waiting(&chain[i], WRITE, links[i + 1]);
  }
  actor *last = &chain[COUNT - 1];
  assert_int_equal(actor_do(last, WRITE, links[0]), DDB_ERR_DEADLOCK);
  assert_true(strlen(last->err.message) >= sizeof last->err.message - 4);
  assert_names_thread(&last->err, last);
  assert_names(&last->err, "number 0'");
  for (int i = COUNT - 1; i >= 0; i--) {
    assert_ok(i == COUNT - 1 ? DDB_OK : actor_end(&chain[i]));
    assert_ok(i == COUNT - 1 ? DDB_OK : actor_do(&chain[i], UNWRITE, links[i + 1]));
    assert_ok(actor_do(&chain[i], i % 2 != 0 ? UNWRITE : UNREAD, links[i]));
  }
  for (int i = 0; i < COUNT; i++) {
    assert_true(actor_close(&chain[i]) && lock_is_idle(links[i]));
    ddb_rwlock_free(links[i]);
  }
}

/* Which of the threads closed the cycle is told at once; a try only says that it is not free. */
static void test_a_try_is_not_a_deadlock(void **state) {
  (void)state;
  assert_ok(actor_do(a, WRITE, locks[0]));
  assert_ok(actor_do(b, WRITE, locks[1]));
  begin_waiting(a, WRITE, locks[1]);
  actor_begin(b, WRITE, locks[0], 0);
  assert_int_equal(actor_end(b), DDB_ERR_TIMEOUT);
  actor_begin(b, READ, locks[0], 10 * MS);
  assert_int_equal(actor_end(b), DDB_ERR_DEADLOCK);
  assert_ok(actor_do(b, UNWRITE, locks[1]));
  assert_ok(actor_end(a));
  assert_ok(actor_do(a, UNWRITE, locks[1]));
  assert_ok(actor_do(a, UNWRITE, locks[0]));
}

/* ---- Cycles through a queued writer ---- */

/* a reads 1 and wants to read 0, where c is queued behind b, who waits for a. */
static void prepare_queue(actor_step b_waits) {
  assert_ok(actor_do(a, READ, locks[1]));
  assert_ok(actor_do(b, READ, locks[0]));
  begin_waiting(c, WRITE, locks[0]);
  if (b_waits == WRITE) {
    begin_waiting(b, WRITE, locks[1]);
  }
}

static void finish_queue(void) {
  assert_ok(actor_do(a, UNREAD, locks[0]));
  assert_true(actor_waits(b, locks[1]));
  assert_ok(actor_do(a, UNREAD, locks[1]));
  assert_ok(actor_end(b));
  assert_ok(actor_do(b, UNWRITE, locks[1]));
  assert_true(actor_waits(c, locks[0]));
  assert_ok(actor_do(b, UNREAD, locks[0]));
  assert_ok(actor_end(c));
  assert_ok(actor_do(c, UNWRITE, locks[0]));
}

static void test_reader_that_closes_it_is_let_in(void **state) {
  (void)state;
  prepare_queue(WRITE);
  assert_ok(actor_do(a, READ, locks[0]));
  finish_queue();
}

static void test_reader_that_waits_already_is_let_in(void **state) {
  (void)state;
  prepare_queue(READ);
  begin_waiting(a, READ, locks[0]);
  begin_waiting(b, WRITE, locks[1]); /* closes the cycle, and is no deadlock */
  assert_ok(actor_end(a));
  finish_queue();
}

static void test_reader_is_let_in_past_an_upgrade(void **state) {
  (void)state;
  assert_ok(actor_do(a, READ, locks[1]));
  assert_ok(actor_do(b, READ, locks[0]));
  assert_ok(actor_do(c, READ, locks[0]));
  begin_waiting(c, WRITE, locks[0]); /* the upgrade */
  begin_waiting(b, WRITE, locks[1]);
  actor_begin(d, READ, locks[0], 0);
  assert_int_equal(actor_end(d), DDB_ERR_TIMEOUT);
  assert_ok(actor_do(a, READ, locks[0]));
  finish_queue();
  assert_ok(actor_do(c, UNREAD, locks[0]));
}

static void test_reader_without_a_cycle_waits(void **state) {
  (void)state;
  assert_ok(actor_do(a, READ, locks[1]));
  assert_ok(actor_do(b, READ, locks[0]));
  begin_waiting(c, WRITE, locks[0]);
  begin_waiting(a, READ, locks[0]);  /* holds something, but nobody waits for it */
  begin_waiting(d, WRITE, locks[1]); /* now d does, and d holds nothing */
  sleep_ms(150);
  assert_true(actor_waits(a, locks[0]));
  assert_ok(actor_do(b, UNREAD, locks[0]));
  assert_ok(actor_end(c));
  assert_ok(actor_do(c, UNWRITE, locks[0]));
  assert_ok(actor_end(a));
  assert_ok(actor_do(a, UNREAD, locks[0]));
  assert_ok(actor_do(a, UNREAD, locks[1]));
  assert_ok(actor_end(d));
  assert_ok(actor_do(d, UNWRITE, locks[1]));
}

/* A soft cycle and a hard one at once: the reader is let in, the hard one is refused. */
static void test_both_kinds_at_once(void **state) {
  (void)state;
  assert_ok(actor_do(b, READ, locks[0]));
  assert_ok(actor_do(a, READ, locks[1]));
  assert_ok(actor_do(e, WRITE, locks[2]));
  begin_waiting(c, WRITE, locks[0]);
  begin_waiting(a, READ, locks[0]); /* behind c */
  begin_waiting(e, READ, locks[0]); /* behind c */
  assert_ok(actor_do(d, READ, locks[1]));
  begin_waiting(d, READ, locks[2]);
  begin_waiting(b, WRITE, locks[1]); /* waits for a and d, who wait for c and e, who wait for b */
  assert_ok(actor_end(a));
  assert_ok(actor_end(e));
  assert_int_equal(actor_do(e, WRITE, locks[1]), DDB_ERR_DEADLOCK);
  assert_ok(actor_do(e, UNWRITE, locks[2]));
  assert_ok(actor_end(d));
  assert_ok(actor_do(d, UNREAD, locks[2]));
  assert_ok(actor_do(d, UNREAD, locks[1]));
  assert_ok(actor_do(e, UNREAD, locks[0]));
  finish_queue();
}

/* ---- Random ones ---- */

typedef struct storm {
  uint64_t seed;
  int order;     /* 0: any; 1: each thread takes its locks in the same order */
  bool upgrades; /* read first, then write */
  int rounds;
  int deadlocks;
  int others; /* statuses that may not be */
} storm;

/* Written under the write side, read under the read side: torn if exclusion fails. */
static struct {
  uint64_t left;
  uint64_t right;
} guarded[LOCK_COUNT];
static _Atomic int torn;
static pthread_barrier_t gate; /* lets all threads of a test begin at once */

static void touch(int at, bool write) {
  if (write) {
    guarded[at].left++;
    guarded[at].right++;
  } else if (guarded[at].left != guarded[at].right) {
    atomic_fetch_add(&torn, 1);
  }
}

static void count_status(storm *storm, ddb_status status) {
  storm->deadlocks += status == DDB_ERR_DEADLOCK;
  storm->others += status != DDB_OK && status != DDB_ERR_DEADLOCK;
}

/* Takes a side of the lock, goes on with the next one, and gives the side back. */
static void take_from(storm *storm, const int *order, int left) {
  if (left == 0) {
    return;
  }
  ddb_rwlock *lock = locks[order[0]];
  bool write = support_below(&storm->seed, 2) == 0;
  if (storm->upgrades || !write) {
    ddb_status status = ddb_rwlock_acquire_read(lock, DDB_WAIT_FOREVER, NULL);
    count_status(storm, status);
    if (status != DDB_OK) {
      return;
    }
    touch(order[0], false);
  }
  ddb_status status = write ? ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL) : DDB_OK;
  count_status(storm, status);
  if (status == DDB_OK) {
    touch(order[0], write);
    if (support_below(&storm->seed, 16) == 0) { /* threads meet although processors are few */
      nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    take_from(storm, order + 1, left - 1);
    touch(order[0], write);
  }
  if (status == DDB_OK && write) {
    count_status(storm, ddb_rwlock_release_write(lock, NULL));
  }
  if (storm->upgrades || !write) {
    count_status(storm, ddb_rwlock_release_read(lock, NULL));
  }
}

static void *run_storm(void *argument) {
  storm *storm = argument;
  pthread_barrier_wait(&gate);
  for (int round = 0; round < storm->rounds; round++) {
    int order[LOCK_COUNT];
    for (int i = 0; i < LOCK_COUNT; i++) {
      order[i] = i;
    }
    for (int i = LOCK_COUNT - 1; i > 0 && storm->order == 0; i--) {
      int k = (int)support_below(&storm->seed, (uint64_t)i + 1);
      int kept = order[i];
      order[i] = order[k];
      order[k] = kept;
    }
    take_from(storm, order, 1 + (int)support_below(&storm->seed, LOCK_COUNT));
  }
  return NULL;
}

static storm run_storms(int count, storm model) {
  storm storms[8];
  pthread_t threads[8];
  storm sum = {0};
  atomic_store(&torn, 0);
  pthread_barrier_init(&gate, NULL, (unsigned)count);
  for (int i = 0; i < count; i++) {
    storms[i] = model;
    storms[i].seed = support_random(&model.seed) | 1;
    pthread_create(&threads[i], NULL, run_storm, &storms[i]);
  }
  for (int i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
    sum.deadlocks += storms[i].deadlocks;
    sum.others += storms[i].others;
  }
  pthread_barrier_destroy(&gate);
  assert_int_equal(atomic_load(&torn), 0);
  assert_int_equal(sum.others, 0);
  return sum;
}

static void test_random_orders_never_hang(void **state) {
  (void)state;
  uint64_t seed = support_seed("random orders");
  int rounds = (int)support_number("DICTDB_ROUNDS", 1500);
  storm sum = run_storms(5, (storm){.seed = seed, .rounds = rounds});
  printf("random orders: %d deadlocks refused\n", sum.deadlocks);
  assert_true(sum.deadlocks > 0);
  sum = run_storms(5, (storm){.seed = seed, .rounds = rounds, .upgrades = true});
  printf("random upgrades: %d deadlocks refused\n", sum.deadlocks);
  assert_true(sum.deadlocks > 0);
}

/* Threads that keep to one order cannot be in a cycle: nothing may be refused. */
static void test_one_order_is_never_refused(void **state) {
  (void)state;
  uint64_t seed = support_seed("one order");
  int rounds = (int)support_number("DICTDB_ROUNDS", 1500);
  storm sum = run_storms(6, (storm){.seed = seed, .rounds = 4 * rounds, .order = 1});
  assert_int_equal(sum.deadlocks, 0);
}

#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void) {
  alarm(220);
  const struct CMUnitTest tests[] = {
      SCENARIO(test_two_writers),
      SCENARIO(test_three_threads),
      SCENARIO(test_one_of_many_readers),
      SCENARIO(test_upgrade_in_the_cycle),
      SCENARIO(test_only_one_is_refused),
      SCENARIO(test_a_long_chain_is_named_as_far_as_it_fits),
      SCENARIO(test_a_try_is_not_a_deadlock),
      SCENARIO(test_reader_that_closes_it_is_let_in),
      SCENARIO(test_reader_that_waits_already_is_let_in),
      SCENARIO(test_reader_is_let_in_past_an_upgrade),
      SCENARIO(test_reader_without_a_cycle_waits),
      SCENARIO(test_both_kinds_at_once),
      SCENARIO(test_random_orders_never_hang),
      SCENARIO(test_one_order_is_never_refused),
  };
  return cmocka_run_group_tests_name("rwlock_deadlock", tests, NULL, NULL);
}
