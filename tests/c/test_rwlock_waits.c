/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rwlock_waits.c - waits that end otherwise than by a grant: timeouts, interrupts, forks,
 * threads that end; and the hooks around them.
 */
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#include "base/heap.h"
#include "base/testing.h"
#include "lock_actors.h"

static actor a, b, c;
static ddb_rwlock *lock;

static int open_stage(void **state) {
  (void)state;
  lock = lock_make("flights");
  actor_open(&a);
  actor_open(&b);
  actor_open(&c);
  return 0;
}

static int close_stage(void **state) {
  (void)state;
  ddb_wait_hooks_set(NULL);
  bool closed = actor_close(&a) && actor_close(&b) && actor_close(&c);
  uint32_t kept = atomic_load(&a.self->lock_count) + atomic_load(&b.self->lock_count) +
                  atomic_load(&c.self->lock_count) + atomic_load(&ddb__thread_self()->lock_count);
  if (kept != 0) {
    fprintf(stderr, "a thread's count of locks is wrong\n");
    return 1;
  }
  if (!closed || !lock_is_idle(lock)) {
    fprintf(stderr, "%s\n", closed ? "the lock is not idle" : "an actor is stuck");
    return 1;
  }
  ddb_rwlock_free(lock);
  return 0;
}

static uint64_t elapsed_ms(uint64_t start_ns) {
  return (ddb__rwlock_now() - start_ns) / (uint64_t)MS;
}

/* ---- Timeouts ---- */

static void test_timeouts_are_kept(void **state) {
  (void)state;
  const actor_step waits[] = {READ, WRITE, ENTER};
  assert_ok(actor_do(&a, WRITE, lock));
  for (int i = 0; i < 3; i++) {
    uint64_t start_ns = ddb__rwlock_now();
    actor_begin(&b, waits[i], lock, 120 * MS);
    assert_int_equal(actor_end(&b), DDB_ERR_TIMEOUT);
    assert_in_range(elapsed_ms(start_ns), 120, 10000);
    assert_string_equal(b.err.table, "flights");
    assert_non_null(strstr(b.err.message, waits[i] == READ ? "read side" : "write side"));
    start_ns = ddb__rwlock_now();
    actor_begin(&b, waits[i], lock, 1);
    assert_int_equal(actor_end(&b), DDB_ERR_TIMEOUT);
    assert_in_range(elapsed_ms(start_ns), 0, 10000);
  }
  actor_begin(&b, READ, lock, INT64_MAX);
  assert_true(actor_waits(&b, lock));
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_ok(actor_end(&b));
  assert_ok(actor_do(&b, UNREAD, lock));
}

static void test_writer_that_gives_up_lets_readers_in(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  actor_begin(&b, WRITE, lock, SEEN_WAITING);
  assert_true(actor_waits(&b, lock));
  actor_begin(&c, READ, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  assert_int_equal(actor_end(&b), DDB_ERR_TIMEOUT);
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&c, UNREAD, lock));
}

static void test_one_of_two_writers_gives_up(void **state) {
  (void)state;
  for (int first = 0; first < 2; first++) {
    assert_ok(actor_do(&a, READ, lock));
    actor_begin(&b, WRITE, lock, first ? SEEN_WAITING : DDB_WAIT_FOREVER);
    assert_true(actor_waits(&b, lock));
    actor_begin(&c, WRITE, lock, first ? DDB_WAIT_FOREVER : SEEN_WAITING);
    assert_true(actor_waits(&c, lock));
    assert_int_equal(actor_end(first ? &b : &c), DDB_ERR_TIMEOUT);
    assert_true(actor_waits(first ? &c : &b, lock));
    assert_ok(actor_do(&a, UNREAD, lock));
    assert_ok(actor_end(first ? &c : &b));
    assert_ok(actor_do(first ? &c : &b, UNWRITE, lock));
  }
}

/* ---- Hooks ---- */

typedef struct hook_log {
  _Atomic int begun;
  _Atomic int polled;
  _Atomic int ended;
  _Atomic int wrong;
  _Atomic bool stop;
  ddb_rwlock *taken; /* in every call: proof that no mutex of the library is held */
  void (*in_poll)(struct hook_log *log);
} hook_log;

static void take_locks(hook_log *log) {
  ddb_rwlock_stats stats;
  ddb_rwlock_stats_get(lock, &stats);
  bool wrong = ddb_rwlock_acquire_write(log->taken, 0, NULL) != DDB_OK ||
               ddb_rwlock_release_write(log->taken, NULL) != DDB_OK ||
               ddb_rwlock_acquire_write(lock, 0, NULL) != DDB_ERR_TIMEOUT;
  if (wrong) {
    atomic_fetch_add(&log->wrong, 1);
  }
}

static void *note_begin(void *context) {
  hook_log *log = context;
  atomic_fetch_add(&log->begun, 1);
  take_locks(log);
  return log;
}

static int note_poll(void *context, void *state) {
  hook_log *log = context;
  if (state != log) {
    atomic_fetch_add(&log->wrong, 1);
  }
  atomic_fetch_add(&log->polled, 1);
  if (log->in_poll != NULL) {
    log->in_poll(log);
  } else {
    take_locks(log);
  }
  return atomic_load(&log->stop);
}

static void note_end(void *context, void *state) {
  hook_log *log = context;
  if (state != log) {
    atomic_fetch_add(&log->wrong, 1);
  }
  atomic_fetch_add(&log->ended, 1);
}

static void set_hooks(hook_log *log) {
  ddb_wait_hooks_set(&(ddb_wait_hooks){note_begin, note_poll, note_end, log, NULL});
}

static int refuse_one(void *context, const ddb_rwlock *asked) {
  hook_log *log = context;
  return asked == log->taken;
}

/* A wait that a hook refuses is not begun, leaves nothing in the queue, and holds nobody up. */
static void test_a_wait_can_be_refused(void **state) {
  (void)state;
  hook_log log = {.taken = lock_make("refused")};
  ddb_wait_hooks_set(&(ddb_wait_hooks){note_begin, note_poll, note_end, &log, refuse_one});
  assert_false(ddb_rwlock_is_held(log.taken));
  assert_ok(ddb_rwlock_acquire_write(log.taken, DDB_WAIT_FOREVER, NULL)); /* needs no wait */
  assert_true(ddb_rwlock_is_held(log.taken));
  ddb_error err;
  actor_begin(&a, READ, log.taken, DDB_WAIT_FOREVER);
  assert_int_equal(actor_end(&a), DDB_ERR_INTERRUPTED);
  actor_begin(&a, WRITE, log.taken, DDB_WAIT_FOREVER);
  assert_int_equal(actor_end(&a), DDB_ERR_INTERRUPTED);
  assert_int_equal(log.begun + log.polled + log.ended, 0);
  assert_ok(ddb_rwlock_acquire_read(log.taken, 0, &err));
  assert_ok(ddb_rwlock_release_write(log.taken, &err));
  assert_true(ddb_rwlock_is_held(log.taken));
  assert_ok(ddb_rwlock_release_read(log.taken, &err));
  assert_false(ddb_rwlock_is_held(log.taken));
  assert_ok(actor_do(&a, READ, log.taken));
  assert_ok(actor_do(&b, READ, log.taken));
  actor_begin(&c, WRITE, log.taken, 0);
  assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, UNREAD, log.taken));
  assert_ok(actor_do(&b, UNREAD, log.taken));
  assert_ok(actor_do(&c, WRITE, lock)); /* another lock: as ever */
  actor_begin(&a, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&a, lock));
  assert_ok(actor_do(&c, UNWRITE, lock));
  assert_ok(actor_end(&a));
  assert_ok(actor_do(&a, UNWRITE, lock));
  ddb_wait_hooks_set(NULL);
  ddb_rwlock_free(log.taken);
}

static void test_hooks_surround_real_waits(void **state) {
  (void)state;
  hook_log log = {.taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  actor_begin(&c, WRITE, lock, 0);
  assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
  assert_int_equal(log.begun + log.polled + log.ended, 0);
  actor_begin(&c, WRITE, lock, 1500 * MS);
  assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
  assert_int_equal(log.begun, 1);
  assert_int_equal(log.ended, 1);
  assert_in_range(log.polled, 2, 30); /* at most every 50 ms */
  actor_begin(&c, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  sleep_ms(20);
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&c, UNWRITE, lock));
  assert_int_equal(log.begun, 2);
  assert_int_equal(log.ended, 2);
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

static void test_poll_interrupts(void **state) {
  (void)state;
  hook_log log = {.taken = lock_make("taken in hooks")};
  const actor_step waits[] = {READ, WRITE, ENTER};
  set_hooks(&log);
  assert_ok(actor_do(&a, WRITE, lock));
  for (int i = 0; i < 3; i++) {
    atomic_store(&log.stop, false);
    actor_begin(&b, waits[i], lock, DDB_WAIT_FOREVER);
    assert_true(actor_waits(&b, lock));
    atomic_store(&log.stop, true);
    assert_int_equal(actor_end(&b), DDB_ERR_INTERRUPTED);
  }
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_int_equal(log.begun, 3);
  assert_int_equal(log.ended, 3);
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

/* Lets the wait be granted, and stops it all the same. */
static void release_in_poll(hook_log *log) {
  if (actor_do(&a, UNREAD, lock) != DDB_OK) {
    atomic_fetch_add(&log->wrong, 1);
  }
  atomic_store(&log->stop, true);
}

static void test_interrupted_after_the_grant(void **state) {
  (void)state;
  hook_log log = {.in_poll = release_in_poll, .taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, READ, lock));
  assert_int_equal(actor_do(&b, WRITE, lock), DDB_ERR_INTERRUPTED);
  assert_true(lock_is_idle(lock));
  ddb_wait_hooks_set(NULL);
  assert_int_equal(actor_do(&b, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  assert_ok(actor_do(&c, WRITE, lock));
  assert_ok(actor_do(&c, UNWRITE, lock));
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

/* As a signal handler that writes to the table whose lock its thread waits for: the inner wait is
 * served by what the outer one got. */
static void write_in_poll(hook_log *log) {
  if (atomic_load(&log->polled) == 1) {
    bool wrong = actor_do(&a, UNWRITE, lock) != DDB_OK ||
                 ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL) != DDB_OK ||
                 ddb_rwlock_acquire_read(lock, DDB_WAIT_FOREVER, NULL) != DDB_OK ||
                 ddb_rwlock_release_write(lock, NULL) != DDB_OK ||
                 ddb_rwlock_release_read(lock, NULL) != DDB_OK;
    atomic_fetch_add(&log->wrong, wrong);
  }
}

static void test_handler_uses_what_its_wait_got(void **state) {
  (void)state;
  hook_log log = {.in_poll = write_in_poll, .taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, WRITE, lock));
  assert_ok(actor_do(&b, WRITE, lock));
  actor_begin(&c, READ, lock, 0);
  assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

static _Atomic int handler_depth;

/* The inner waits begin while the lock is not free, and the outer wait is before them. */
static void wait_in_poll(hook_log *log) {
  if (atomic_fetch_add(&handler_depth, 1) == 0) {
    actor_begin(&a, UNWRITE, lock, 0);
    bool wrong = ddb_rwlock_acquire_read(lock, 5000 * MS, NULL) != DDB_OK ||
                 ddb__rwlock_enter_write(lock, 5000 * MS, NULL) != DDB_OK;
    if (!wrong) {
      ddb__rwlock_leave_write(lock);
      wrong = ddb_rwlock_release_read(lock, NULL) != DDB_OK;
    }
    atomic_fetch_add(&log->wrong, wrong);
  }
}

static void test_handler_waits_behind_its_own_wait(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    hook_log log = {.in_poll = wait_in_poll, .taken = lock_make("taken in hooks")};
    atomic_store(&handler_depth, 0);
    set_hooks(&log);
    assert_ok(actor_do(&a, WRITE, lock));
    assert_ok(actor_do(&b, WRITE, lock));
    assert_ok(actor_end(&a));
    actor_begin(&c, READ, lock, 0);
    assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
    assert_ok(actor_do(&b, UNWRITE, lock));
    assert_int_equal(log.wrong, 0);
    assert_true(lock_is_idle(lock));
    ddb_rwlock_free(log.taken);
  }
}

/* The inner wait to write is queued behind the outer one of its own thread. */
static void queue_twice_in_poll(hook_log *log) {
  if (atomic_fetch_add(&handler_depth, 1) == 0) {
    bool wrong = ddb_rwlock_acquire_write(lock, 5000 * MS, NULL) != DDB_OK ||
                 ddb_rwlock_release_write(lock, NULL) != DDB_OK;
    atomic_fetch_add(&log->wrong, wrong);
  } else if (atomic_load(&handler_depth) == 3) {
    actor_begin(&a, UNREAD, lock, 0);
  }
}

static void test_handler_queues_behind_its_own_wait(void **state) {
  (void)state;
  hook_log log = {.in_poll = queue_twice_in_poll, .taken = lock_make("taken in hooks")};
  atomic_store(&handler_depth, 0);
  set_hooks(&log);
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, WRITE, lock));
  assert_ok(actor_end(&a));
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

/* A handler may read although its own thread is queued to write. */
static void read_in_poll(hook_log *log) {
  bool wrong = ddb_rwlock_acquire_read(lock, 5000 * MS, NULL) != DDB_OK ||
               ddb_rwlock_release_read(lock, NULL) != DDB_OK;
  atomic_fetch_add(&log->wrong, wrong);
  if (atomic_load(&log->polled) == 2) {
    actor_begin(&a, UNREAD, lock, 0);
  }
}

static void test_handler_reads_past_its_own_wait(void **state) {
  (void)state;
  hook_log log = {.in_poll = read_in_poll, .taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, WRITE, lock));
  assert_ok(actor_end(&a));
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

/* Cycles through the outer wait of a thread that is in an inner one: b waits for a's lock, and in
 * the handler for c's. a must not wait for what b holds, nor c behind b. */
static ddb_rwlock *inner_lock;
static ddb_rwlock *held_lock;

static void wait_inside_poll(hook_log *log) {
  if (atomic_fetch_add(&handler_depth, 1) == 0) {
    bool wrong = ddb_rwlock_acquire_write(inner_lock, DDB_WAIT_FOREVER, NULL) != DDB_OK ||
                 ddb_rwlock_release_write(inner_lock, NULL) != DDB_OK;
    atomic_fetch_add(&log->wrong, wrong);
  }
}

static void test_cycles_through_an_outer_wait(void **state) {
  (void)state;
  hook_log log = {.in_poll = wait_inside_poll, .taken = lock_make("taken in hooks")};
  atomic_store(&handler_depth, 0);
  inner_lock = lock_make("inner");
  held_lock = lock_make("held");
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, WRITE, held_lock));
  assert_ok(actor_do(&c, WRITE, inner_lock));
  set_hooks(&log);
  actor_begin(&b, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, inner_lock));
  assert_int_equal(actor_do(&a, READ, held_lock), DDB_ERR_DEADLOCK);
  assert_int_equal(actor_do(&c, WRITE, lock), DDB_ERR_DEADLOCK);
  assert_ok(actor_do(&c, UNWRITE, inner_lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&b));
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_ok(actor_do(&b, UNWRITE, held_lock));
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(held_lock);
  ddb_rwlock_free(inner_lock);
  ddb_rwlock_free(log.taken);
}

/* The handler keeps what it took, and its thread is stopped: only the wait's own share goes. */
static void keep_in_poll(hook_log *log) {
  bool wrong = actor_do(&a, UNREAD, lock) != DDB_OK ||
               ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL) != DDB_OK;
  atomic_fetch_add(&log->wrong, wrong);
  atomic_store(&log->stop, true);
}

static void test_handler_keeps_what_it_took(void **state) {
  (void)state;
  hook_log log = {.in_poll = keep_in_poll, .taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, READ, lock));
  assert_int_equal(actor_do(&b, WRITE, lock), DDB_ERR_INTERRUPTED);
  actor_begin(&c, READ, lock, 0);
  assert_int_equal(actor_end(&c), DDB_ERR_TIMEOUT);
  assert_int_equal(atomic_load(&b.self->lock_count), 1);
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_int_equal(actor_do(&b, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  assert_int_equal(atomic_load(&b.self->lock_count), 0);
  assert_int_equal(log.wrong, 0);
  ddb_rwlock_free(log.taken);
}

/* ---- Threads that end ---- */

static void *end_holding(void *side) {
  return (void *)(uintptr_t)(*(actor_step *)side == READ
                                 ? ddb_rwlock_acquire_read(lock, DDB_WAIT_FOREVER, NULL)
                                 : ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL));
}

static void test_lock_of_an_ended_thread(void **state) {
  (void)state;
  ddb_rwlock *kept = lock;
  for (int side = READ; side <= WRITE; side++) {
    lock = lock_make("abandoned");
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, end_holding, &(actor_step){(actor_step)side});
    pthread_join(thread, &result);
    assert_ptr_equal(result, NULL);
    assert_int_equal(actor_do(&a, WRITE, lock), DDB_ERR_DEADLOCK);
    assert_non_null(strstr(a.err.message, "ended"));
    actor_begin(&a, WRITE, lock, 0);
    assert_int_equal(actor_end(&a), DDB_ERR_TIMEOUT);
    /* A new thread must not be taken for the old one. */
    actor fresh;
    actor_open(&fresh);
    assert_int_equal(actor_do(&fresh, side == READ ? UNREAD : UNWRITE, lock), DDB_ERR_NOT_OWNER);
    assert_true(actor_close(&fresh));
    ddb_rwlock_free(lock); /* its holder will not come back */
  }
  lock = kept;
}

static void *end_later(void *unused) {
  (void)unused;
  (void)ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL);
  (void)actor_waits(&a, lock);
  return NULL;
}

static void test_thread_ends_during_the_wait(void **state) {
  (void)state;
  ddb_rwlock *kept = lock;
  lock = lock_make("abandoned");
  pthread_t thread;
  pthread_create(&thread, NULL, end_later, NULL);
  while (atomic_load(&lock->word) == 0) {
    sleep_ms(1);
  }
  assert_int_equal(actor_do(&a, READ, lock), DDB_ERR_DEADLOCK);
  pthread_join(thread, NULL);
  ddb_rwlock_free(lock);
  lock = kept;
}

/* ---- Forks ---- */

static _Atomic bool fresh_held;

static void *hold_fresh(void *fresh) {
  (void)ddb_rwlock_acquire_write(fresh, 0, NULL);
  atomic_store(&fresh_held, true);
  sleep_ms(4);
  (void)ddb_rwlock_release_write(fresh, NULL);
  return NULL;
}

/* A wait that really blocks, so that it needs what waits of the parent may have held. */
static bool wait_for_fresh(ddb_rwlock *fresh) {
  pthread_t thread;
  if (!CHILD_MAY_START_THREADS) {
    return true;
  }
  pthread_create(&thread, NULL, hold_fresh, fresh);
  while (!atomic_load(&fresh_held)) {
    sched_yield();
  }
  ddb_status status = ddb_rwlock_acquire_read(fresh, DDB_WAIT_FOREVER, NULL);
  pthread_join(thread, NULL);
  return status == DDB_OK && ddb_rwlock_release_read(fresh, NULL) == DDB_OK;
}

/* What a child sees of a lock that was made before; 0 when all is right. */
static int check_child(void) {
  ddb_error err;
  const int64_t timeouts[] = {0, 10 * MS, DDB_WAIT_FOREVER};
  for (int i = 0; i < 3; i++) {
    if (ddb_rwlock_acquire_read(lock, timeouts[i], &err) != DDB_ERR_FORKED ||
        ddb_rwlock_acquire_write(lock, timeouts[i], &err) != DDB_ERR_FORKED ||
        ddb__rwlock_enter_write(lock, timeouts[i], &err) != DDB_ERR_FORKED) {
      return 1;
    }
  }
  if (strcmp(err.table, "flights") != 0) {
    return 2;
  }
  ddb_rwlock *fresh = NULL;
  if (ddb_rwlock_new(DDB_STR("fresh"), &fresh, NULL) != DDB_OK ||
      ddb_rwlock_acquire_read(fresh, 0, NULL) != DDB_OK ||
      ddb_rwlock_acquire_write(fresh, DDB_WAIT_FOREVER, NULL) != DDB_OK ||
      ddb_rwlock_release_write(fresh, NULL) != DDB_OK ||
      ddb_rwlock_release_read(fresh, NULL) != DDB_OK || !wait_for_fresh(fresh) ||
      !lock_is_idle(fresh)) {
    return 3;
  }
  ddb_rwlock_free(fresh);
  return 0;
}

static int fork_and(int (*check)(void)) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(check());
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void test_fork_while_others_hold(void **state) {
  (void)state;
  assert_int_equal(fork_and(check_child), 0);
  assert_ok(actor_do(&a, READ, lock));
  assert_int_equal(fork_and(check_child), 0);
  actor_begin(&b, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, lock));
  assert_int_equal(fork_and(check_child), 0);
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&b));
  assert_int_equal(fork_and(check_child), 0);
  assert_ok(actor_do(&b, UNWRITE, lock));
}

static _Atomic int releasing_count;

static uint64_t note_releasing(void *unused) {
  (void)unused;
  atomic_fetch_add(&releasing_count, 1);
  return 0;
}

/* The blocks that the forking thread was in can be left. */
static int release_in_child(void) {
  int wrong = check_child();
  if (wrong != 0) {
    return wrong;
  }
  if (ddb_rwlock_release_read(lock, NULL) != DDB_OK ||
      ddb_rwlock_release_read(lock, NULL) != DDB_OK ||
      ddb_rwlock_release_read(lock, NULL) != DDB_ERR_NOT_OWNER) {
    return 11;
  }
  if (ddb_rwlock_release_write(lock, NULL) != DDB_OK ||
      ddb_rwlock_release_write(lock, NULL) != DDB_OK ||
      ddb_rwlock_release_write(lock, NULL) != DDB_ERR_NOT_OWNER) {
    return 12;
  }
  ddb_rwlock_free(lock);
  return atomic_load(&releasing_count) == 0 ? 0 : 13; /* a child publishes nothing */
}

/* Has the lock's mutex while the other thread forks: in the child it stays locked. */
static void *hold_mutex(void *barrier) {
  pthread_mutex_lock(&lock->mutex);
  pthread_barrier_wait(barrier);
  pthread_barrier_wait(barrier);
  pthread_mutex_unlock(&lock->mutex);
  return NULL;
}

static void test_fork_while_holding(void **state) {
  (void)state;
  atomic_store(&releasing_count, 0);
  ddb__rwlock_owner_set(lock, &(ddb__rwlock_owner){.releasing = note_releasing});
  assert_ok(ddb_rwlock_acquire_write(lock, 0, NULL));
  assert_ok(ddb_rwlock_acquire_write(lock, 0, NULL));
  assert_ok(ddb_rwlock_acquire_read(lock, 0, NULL));
  assert_ok(ddb_rwlock_acquire_read(lock, 0, NULL));
  actor_begin(&b, READ, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, lock));
  pthread_barrier_t barrier;
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, hold_mutex, &barrier);
  pthread_barrier_wait(&barrier);
  int wrong = fork_and(release_in_child);
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&barrier);
  assert_int_equal(wrong, 0);
  for (int i = 0; i < 2; i++) {
    assert_ok(ddb_rwlock_release_write(lock, NULL));
    assert_ok(ddb_rwlock_release_read(lock, NULL));
  }
  assert_int_equal(atomic_load(&releasing_count), 1);
  assert_ok(actor_end(&b));
  assert_ok(actor_do(&b, UNREAD, lock));
}

static void fork_in_poll(hook_log *log) {
  if (atomic_load(&log->polled) == 1 && fork() == 0) {
    alarm(20);
    atomic_store(&log->stop, true); /* FORKED all the same */
    return;
  }
  if (atomic_load(&log->polled) == 1) {
    actor_begin(&a, UNWRITE, lock, 0);
  }
}

static void test_fork_in_the_middle_of_a_wait(void **state) {
  (void)state;
  hook_log log = {.in_poll = fork_in_poll, .taken = lock_make("taken in hooks")};
  set_hooks(&log);
  assert_ok(actor_do(&a, WRITE, lock));
  pid_t own = getpid();
  ddb_status status = ddb_rwlock_acquire_read(lock, DDB_WAIT_FOREVER, NULL);
  if (getpid() != own) {
    ddb_wait_hooks_set(NULL);
    _exit(status == DDB_ERR_FORKED && log.ended == 1 ? check_child() : 77);
  }
  assert_ok(status);
  assert_ok(ddb_rwlock_release_read(lock, NULL));
  int child = -1;
  wait(&child);
  assert_int_equal(child, 0);
  assert_ok(actor_end(&a));
  ddb_rwlock_free(log.taken);
}

static _Atomic bool busy_stop;
static _Atomic int busy_count;

static void *keep_busy(void *unused) {
  (void)unused;
  atomic_fetch_add(&busy_count, 1);
  while (!atomic_load(&busy_stop)) {
    if (ddb__rwlock_enter_write(lock, DDB_WAIT_FOREVER, NULL) == DDB_OK) {
      ddb__rwlock_leave_write(lock);
    }
    if (ddb_rwlock_acquire_read(lock, DDB_WAIT_FOREVER, NULL) == DDB_OK) {
      (void)ddb_rwlock_release_read(lock, NULL);
    }
  }
  return NULL;
}

static void test_fork_at_any_moment(void **state) {
  (void)state;
  pthread_t threads[6];
  atomic_store(&busy_stop, false);
  atomic_store(&busy_count, 0);
  for (int i = 0; i < 6; i++) {
    pthread_create(&threads[i], NULL, keep_busy, NULL);
  }
  /* AddressSanitizer has locks of its own while a thread begins, and does not mind forks. */
  while (atomic_load(&busy_count) < 6) {
    sched_yield();
  }
  int wrong = 0;
  for (int i = 0; i < 100 && wrong == 0; i++) {
    wrong = fork_and(check_child);
  }
  atomic_store(&busy_stop, true);
  for (int i = 0; i < 6; i++) {
    pthread_join(threads[i], NULL);
  }
  assert_int_equal(wrong, 0);
}

/* ---- A planted fault ---- */

/* How many of three kinds of wait are not woken before the timeout. */
static int count_lost_wakeups(int64_t timeout_ns) {
  int lost = 0;
  assert_ok(actor_do(&a, READ, lock));
  actor_begin(&b, WRITE, lock, timeout_ns);
  assert_true(actor_waits(&b, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  ddb_status status = actor_end(&b);
  lost += status != DDB_OK;
  status = status == DDB_OK ? actor_do(&b, UNWRITE, lock) : status;
  assert_ok(actor_do(&a, ENTER, lock));
  actor_begin(&b, ENTER, lock, timeout_ns);
  assert_true(actor_waits(&b, lock));
  assert_ok(actor_do(&a, LEAVE, lock));
  status = actor_end(&b);
  lost += status != DDB_OK;
  status = status == DDB_OK ? actor_do(&b, LEAVE, lock) : status;
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  actor_begin(&b, WRITE, lock, timeout_ns);
  assert_true(actor_waits(&b, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  status = actor_end(&b);
  lost += status != DDB_OK;
  status = status == DDB_OK ? actor_do(&b, UNWRITE, lock) : status;
  assert_ok(actor_do(&b, UNREAD, lock));
  return lost;
}

static void test_no_wakeup_is_lost(void **state) {
  (void)state;
  assert_int_equal(count_lost_wakeups(DDB_WAIT_FOREVER), 0);
#ifdef DDB_TESTING
  ddb__test_fault_set(DDB__FAULT_LOST_WAKEUP);
  int lost = count_lost_wakeups(SEEN_WAITING);
  ddb__test_fault_set(DDB__FAULT_NONE);
  assert_int_equal(lost, 3);
#endif
}

#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void) {
  alarm(220);
  const struct CMUnitTest tests[] = {
      SCENARIO(test_timeouts_are_kept),
      SCENARIO(test_writer_that_gives_up_lets_readers_in),
      SCENARIO(test_one_of_two_writers_gives_up),
      SCENARIO(test_a_wait_can_be_refused),
      SCENARIO(test_hooks_surround_real_waits),
      SCENARIO(test_poll_interrupts),
      SCENARIO(test_interrupted_after_the_grant),
      SCENARIO(test_handler_uses_what_its_wait_got),
      SCENARIO(test_handler_waits_behind_its_own_wait),
      SCENARIO(test_handler_queues_behind_its_own_wait),
      SCENARIO(test_handler_reads_past_its_own_wait),
      SCENARIO(test_cycles_through_an_outer_wait),
      SCENARIO(test_handler_keeps_what_it_took),
      SCENARIO(test_lock_of_an_ended_thread),
      SCENARIO(test_thread_ends_during_the_wait),
      SCENARIO(test_fork_while_others_hold),
      SCENARIO(test_fork_while_holding),
      SCENARIO(test_fork_in_the_middle_of_a_wait),
      SCENARIO(test_fork_at_any_moment),
      SCENARIO(test_no_wakeup_is_lost),
  };
  return cmocka_run_group_tests_name("rwlock_waits", tests, NULL, NULL);
}
