/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rwlock.c - who gets the lock: modes, nesting, upgrades, phases, owner's calls, statistics.
 */
#include <unistd.h>

#include "support.h"

#include "base/heap.h"
#include "base/testing.h"
#include "lock_actors.h"

static actor a, b, c, d;
static ddb_rwlock *lock;

static int open_stage(void **state) {
  (void)state;
  lock = lock_make("flights");
  actor_open(&a);
  actor_open(&b);
  actor_open(&c);
  actor_open(&d);
  return 0;
}

static int close_stage(void **state) {
  (void)state;
  bool closed = actor_close(&a) && actor_close(&b) && actor_close(&c) && actor_close(&d);
  if (!closed || !lock_is_idle(lock)) {
    fprintf(stderr, "%s\n", closed ? "the lock is not idle" : "an actor is stuck");
    return 1;
  }
  ddb_rwlock_free(lock);
  return 0;
}

static void expect_try(actor *actor, actor_step step, ddb_status wanted) {
  actor_begin(actor, step, lock, 0);
  assert_int_equal(actor_end(actor), wanted);
}

/* ---- Modes ---- */

static void test_readers_share_writers_do_not(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  expect_try(&c, WRITE, DDB_ERR_TIMEOUT);
  expect_try(&c, ENTER, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, UNREAD, lock));
  expect_try(&c, WRITE, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&b, UNREAD, lock));
  expect_try(&c, WRITE, DDB_OK);
  expect_try(&a, READ, DDB_ERR_TIMEOUT);
  expect_try(&a, WRITE, DDB_ERR_TIMEOUT);
  expect_try(&a, ENTER, DDB_ERR_TIMEOUT);
  assert_string_equal(a.err.table, "flights");
  assert_non_null(strstr(a.err.message, "flights"));
  assert_ok(actor_do(&c, UNWRITE, lock));
  expect_try(&a, ENTER, DDB_OK);
  expect_try(&b, ENTER, DDB_ERR_TIMEOUT);
  expect_try(&b, READ, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, LEAVE, lock));
  expect_try(&b, READ, DDB_OK);
  assert_ok(actor_do(&b, UNREAD, lock));
}

static void test_only_the_holder_releases(void **state) {
  (void)state;
  assert_int_equal(actor_do(&a, UNREAD, lock), DDB_ERR_NOT_OWNER);
  assert_int_equal(actor_do(&a, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  assert_ok(actor_do(&a, READ, lock));
  assert_int_equal(actor_do(&b, UNREAD, lock), DDB_ERR_NOT_OWNER);
  assert_int_equal(actor_do(&a, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  expect_try(&c, WRITE, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_int_equal(actor_do(&a, UNREAD, lock), DDB_ERR_NOT_OWNER);
  assert_ok(actor_do(&a, WRITE, lock));
  assert_int_equal(actor_do(&b, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  assert_int_equal(actor_do(&a, UNREAD, lock), DDB_ERR_NOT_OWNER);
  expect_try(&b, READ, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_ok(actor_do(&a, ENTER, lock));
  assert_int_equal(actor_do(&a, UNWRITE, lock), DDB_ERR_NOT_OWNER);
  assert_ok(actor_do(&b, LEAVE, lock)); /* without effect */
  expect_try(&b, READ, DDB_ERR_TIMEOUT);
  assert_ok(actor_do(&a, LEAVE, lock));
}

/* ---- Nesting ---- */

static void test_both_sides_nest(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    assert_ok(actor_do(&a, READ, lock));
    assert_ok(actor_do(&b, READ, lock));
  }
  for (int i = 0; i < 3; i++) {
    expect_try(&c, WRITE, DDB_ERR_TIMEOUT);
    assert_ok(actor_do(&b, UNREAD, lock));
    assert_ok(actor_do(&a, UNREAD, lock));
  }
  const actor_step ins[] = {WRITE, ENTER, WRITE, READ, ENTER};
  const actor_step outs[] = {UNREAD, LEAVE, UNWRITE, LEAVE, UNWRITE};
  for (int i = 0; i < 5; i++) {
    assert_ok(actor_do(&a, ins[i], lock));
    expect_try(&b, READ, DDB_ERR_TIMEOUT);
  }
  for (int i = 0; i < 5; i++) {
    expect_try(&b, READ, DDB_ERR_TIMEOUT);
    assert_ok(actor_do(&a, outs[i], lock));
  }
  expect_try(&b, WRITE, DDB_OK);
  assert_ok(actor_do(&b, UNWRITE, lock));
}

static void test_reader_nests_past_a_queued_writer(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  actor_begin(&b, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, lock));
  expect_try(&c, READ, DDB_ERR_TIMEOUT);
  expect_try(&a, READ, DDB_OK);
  assert_ok(actor_do(&a, READ, lock));
  for (int i = 0; i < 3; i++) {
    assert_true(actor_waits(&b, lock));
    assert_ok(actor_do(&a, UNREAD, lock));
  }
  assert_ok(actor_end(&b));
  assert_ok(actor_do(&b, UNWRITE, lock));
}

static void test_writer_keeps_its_read_side(void **state) {
  (void)state;
  assert_ok(actor_do(&a, WRITE, lock));
  assert_ok(actor_do(&a, READ, lock));
  actor_begin(&b, READ, lock, DDB_WAIT_FOREVER);
  actor_begin(&c, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, lock) && actor_waits(&c, lock));
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_ok(actor_end(&b));
  assert_true(actor_waits(&c, lock));
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_true(actor_waits(&c, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&c, UNWRITE, lock));
}

static void test_many_locks_at_once(void **state) {
  (void)state;
  enum { COUNT = 3 * DDB__SPARE_HOLD_COUNT };
  ddb_rwlock *locks[COUNT];
  uint64_t before = ddb_process_memory();
  for (int i = 0; i < COUNT; i++) {
    locks[i] = lock_make("one of many");
    assert_ok(actor_do(&a, READ, locks[i]));
    assert_ok(actor_do(&b, READ, locks[i]));
  }
  /* from the middle outwards */
  for (int i = 0; i < COUNT; i++) {
    int at = (COUNT / 2 + i * 5) % COUNT;
    assert_ok(actor_do(&a, UNREAD, locks[at]));
    assert_int_equal(actor_do(&a, UNREAD, locks[at]), DDB_ERR_NOT_OWNER);
    assert_ok(actor_do(&b, UNREAD, locks[at]));
    assert_true(lock_is_idle(locks[at]));
  }
  for (int i = 0; i < COUNT; i++) {
    ddb_rwlock_free(locks[i]);
  }
  assert_int_equal(ddb_process_memory(), before);
}

/* ---- Phases ---- */

static void test_phases_alternate(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  actor_begin(&b, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&b, lock));
  actor_begin(&c, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  actor_begin(&d, READ, lock, DDB_WAIT_FOREVER); /* behind two writers, waits for one */
  assert_true(actor_waits(&d, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&b));
  assert_true(actor_waits(&c, lock) && actor_waits(&d, lock));
  actor_begin(&a, READ, lock, DDB_WAIT_FOREVER); /* comes while the writer is in: same phase */
  assert_true(actor_waits(&a, lock));
  assert_ok(actor_do(&b, UNWRITE, lock));
  assert_ok(actor_end(&d));
  assert_ok(actor_end(&a));
  assert_true(actor_waits(&c, lock));
  expect_try(&b, READ, DDB_ERR_TIMEOUT); /* comes during the phase, behind the second writer */
  assert_ok(actor_do(&d, UNREAD, lock));
  assert_true(actor_waits(&c, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&c, UNWRITE, lock));
}

static void test_writers_are_served_in_order(void **state) {
  (void)state;
  actor *const writers[] = {&b, &c, &d};
  assert_ok(actor_do(&a, ENTER, lock));
  for (int i = 0; i < 3; i++) {
    actor_begin(writers[i], i == 1 ? WRITE : ENTER, lock, DDB_WAIT_FOREVER);
    assert_true(actor_waits(writers[i], lock));
  }
  assert_ok(actor_do(&a, LEAVE, lock));
  for (int i = 0; i < 3; i++) {
    assert_ok(actor_end(writers[i]));
    for (int k = i + 1; k < 3; k++) {
      assert_true(actor_waits(writers[k], lock));
    }
    assert_ok(actor_do(writers[i], i == 1 ? UNWRITE : LEAVE, lock));
  }
}

/* ---- Upgrades ---- */

static void test_upgrade_waits_for_other_readers(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&a, WRITE, lock)); /* alone: at once */
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_ok(actor_do(&b, READ, lock));
  actor_begin(&c, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  actor_begin(&a, ENTER, lock, DDB_WAIT_FOREVER); /* goes before the queued writer */
  assert_true(actor_waits(&a, lock));
  expect_try(&d, READ, DDB_ERR_TIMEOUT);
  expect_try(&b, READ, DDB_OK);
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_true(actor_waits(&a, lock));
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_ok(actor_end(&a));
  assert_true(actor_waits(&c, lock));
  assert_ok(actor_do(&a, LEAVE, lock));
  assert_true(actor_waits(&c, lock)); /* a still reads */
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&c, UNWRITE, lock));
}

static void test_second_upgrade_is_refused(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  actor_begin(&a, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&a, lock));
  expect_try(&b, WRITE, DDB_ERR_TIMEOUT);
  assert_int_equal(actor_do(&b, WRITE, lock), DDB_ERR_DEADLOCK);
  char text[32];
  snprintf(text, sizeof text, "thread %lld", (long long)a.self->native_id);
  assert_non_null(strstr(b.err.message, text));
  snprintf(text, sizeof text, "thread %lld", (long long)b.self->native_id);
  assert_non_null(strstr(b.err.message, text));
  assert_non_null(strstr(b.err.message, "flights"));
  assert_string_equal(b.err.table, "flights");
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_ok(actor_end(&a));
  assert_ok(actor_do(&a, UNWRITE, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
}

static void test_upgrade_that_gives_up_lets_readers_in(void **state) {
  (void)state;
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  actor_begin(&a, WRITE, lock, SEEN_WAITING);
  assert_true(actor_waits(&a, lock));
  actor_begin(&c, READ, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  assert_int_equal(actor_end(&a), DDB_ERR_TIMEOUT);
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&a, READ, lock)); /* still a reader */
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_ok(actor_do(&c, UNREAD, lock));
}

/* ---- The owner's calls ---- */

typedef struct owner_log {
  int acquired;
  int releasing;
  ddb_status answer;
  bool held; /* in every call so far */
  uint64_t token;
  int released;
  bool free; /* in every call so far */
} owner_log;

static ddb_status note_acquired(void *context, ddb_error *err) {
  (void)err;
  owner_log *log = context;
  log->acquired++;
  log->held &= ddb__rwlock_held_exclusively(lock) && ddb__rwlock_write_held(lock);
  ddb_rwlock_stats stats;
  ddb_rwlock_stats_get(lock, &stats);
  return log->answer;
}

static uint64_t note_releasing(void *context) {
  owner_log *log = context;
  log->releasing++;
  log->held &= ddb__rwlock_held_exclusively(lock) && ddb__rwlock_exclusive_depth(lock) == 1;
  return log->token;
}

static ddb_status note_released(void *context, uint64_t token, ddb_error *err) {
  (void)err;
  owner_log *log = context;
  log->released++;
  log->free &= token == log->token && !ddb__rwlock_write_held(lock);
  return DDB_ERR_READ_ONLY;
}

static void test_owner_is_called_by_outermost_public_acquires(void **state) {
  (void)state;
  owner_log log = {.answer = DDB_OK, .held = true, .free = true};
  const ddb__rwlock_owner owner = {note_acquired, note_releasing, note_released, &log};
  ddb__rwlock_owner_set(lock, &owner);
  assert_ok(ddb__rwlock_enter_write(lock, 0, NULL));
  assert_true(ddb__rwlock_write_held(lock));
  assert_false(ddb__rwlock_held_exclusively(lock));
  ddb__rwlock_leave_write(lock);
  assert_int_equal(log.acquired + log.releasing, 0);
  assert_ok(ddb_rwlock_acquire_write(lock, 0, NULL));
  assert_ok(ddb__rwlock_enter_write(lock, 0, NULL));
  assert_ok(ddb_rwlock_acquire_write(lock, 0, NULL));
  assert_int_equal(ddb__rwlock_exclusive_depth(lock), 2);
  assert_ok(ddb_rwlock_release_write(lock, NULL));
  ddb__rwlock_leave_write(lock);
  assert_int_equal(log.acquired, 1);
  assert_int_equal(log.releasing, 0);
  assert_ok(ddb_rwlock_release_write(lock, NULL));
  assert_int_equal(log.releasing, 1);
  assert_false(ddb__rwlock_write_held(lock));
  log.answer = DDB_ERR_NOMEM;
  assert_int_equal(ddb_rwlock_acquire_write(lock, 0, NULL), DDB_ERR_NOMEM);
  assert_int_equal(log.acquired, 2);
  assert_int_equal(log.releasing, 1);
  assert_true(lock_is_idle(lock));
  log.answer = DDB_OK;
  assert_ok(ddb_rwlock_acquire_write(lock, 0, NULL));
  assert_int_equal(log.released, 0);
  log.token = 7; /* from now on the end of the lock is told, and may fail */
  assert_int_equal(ddb_rwlock_release_write(lock, NULL), DDB_ERR_READ_ONLY);
  assert_int_equal(log.released, 1);
  assert_true(lock_is_idle(lock));
  assert_true(log.held && log.free);
  expect_try(&a, ENTER, DDB_OK);
  assert_ok(actor_do(&a, LEAVE, lock));
}

/* ---- Statistics, texts, arguments ---- */

static void test_statistics(void **state) {
  (void)state;
  ddb_rwlock_stats stats;
  ddb_rwlock_stats_get(lock, &stats);
  assert_int_equal(stats.read_count + stats.write_count + stats.wait_count + stats.wait_ns, 0);
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&a, READ, lock));
  assert_ok(actor_do(&b, READ, lock));
  sleep_ms(20);
  actor_begin(&c, WRITE, lock, DDB_WAIT_FOREVER);
  assert_true(actor_waits(&c, lock));
  sleep_ms(30);
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&a, UNREAD, lock));
  assert_ok(actor_do(&b, UNREAD, lock));
  assert_ok(actor_end(&c));
  assert_ok(actor_do(&c, ENTER, lock));
  sleep_ms(20);
  assert_ok(actor_do(&c, LEAVE, lock));
  assert_ok(actor_do(&c, UNWRITE, lock));
  assert_ok(actor_do(&a, ENTER, lock));
  sleep_ms(20);
  assert_ok(actor_do(&a, LEAVE, lock));
  ddb_rwlock_stats_get(lock, &stats);
  assert_int_equal(stats.read_count, 3);
  assert_int_equal(stats.write_count, 3);
  assert_int_equal(stats.wait_count, 1);
  assert_true(stats.wait_ns >= 30 * MS);
  assert_true(stats.read_hold_ns >= 2 * 50 * MS);
  assert_true(stats.write_hold_ns >= 20 * MS);
  assert_ok(actor_do(&a, WRITE, lock)); /* the statement's 20 ms were not counted */
  assert_ok(actor_do(&a, UNWRITE, lock));
}

static void test_arguments(void **state) {
  (void)state;
  ddb_rwlock_free(NULL);
  ddb_rwlock *other = NULL;
  assert_int_equal(ddb_rwlock_new((ddb_str){NULL, 3}, &other, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_rwlock_new(DDB_STR("x"), NULL, NULL), DDB_ERR_INVALID);
  assert_null(other);
  assert_ok(ddb_rwlock_new((ddb_str){NULL, 0}, &other, NULL));
  ddb_rwlock_free(other);
  char name[400];
  memset(name, 'n', sizeof name);
  memcpy(name + 61, "\xe2\x82\xac", 3); /* would be cut */
  assert_ok(ddb_rwlock_new((ddb_str){name, sizeof name}, &other, NULL));
  ddb_error err;
  assert_int_equal(ddb_rwlock_release_read(other, &err), DDB_ERR_NOT_OWNER);
  assert_int_equal(strlen(err.table), 61);
  ddb_rwlock_free(other);
  const char *hostile = "%s%n\xff";
  other = lock_make(hostile);
  assert_int_equal(ddb_rwlock_release_write(other, &err), DDB_ERR_NOT_OWNER);
  assert_string_equal(err.table, "%s%n");
  ddb_rwlock_free(other);
}

/* ---- Memory ---- */

/* Everything that a fresh thread does with locks, until the first failure; releases it all. */
static void *use_locks(void *argument) {
  ddb_rwlock **locks = argument;
  enum { COUNT = DDB__SPARE_HOLD_COUNT + 2 };
  ddb_status status = DDB_OK;
  int held = 0;
  while (held < COUNT && status == DDB_OK) {
    status = ddb_rwlock_acquire_read(locks[held], DDB_WAIT_FOREVER, NULL);
    held += status == DDB_OK;
  }
  if (status == DDB_OK) {
    status = ddb_rwlock_acquire_write(locks[0], DDB_WAIT_FOREVER, NULL);
    if (status == DDB_OK) {
      (void)ddb_rwlock_release_write(locks[0], NULL);
    }
  }
  while (held > 0) {
    (void)ddb_rwlock_release_read(locks[--held], NULL);
  }
  return (void *)(uintptr_t)status;
}

static void test_each_allocation_fails_once(void **state) {
  (void)state;
  ddb_rwlock *none = NULL;
  support_allocator_fail(1);
  assert_int_equal(ddb_rwlock_new(DDB_STR("x"), &none, NULL), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed());
  assert_null(none);
  ddb_rwlock *locks[DDB__SPARE_HOLD_COUNT + 2];
  for (int i = 0; i < DDB__SPARE_HOLD_COUNT + 2; i++) {
    locks[i] = lock_make("needs memory");
  }
  int failures = 0;
  bool failed = true;
  for (long n = 1; failed; n++) {
    assert_ok(actor_do(&a, ENTER, lock)); /* its record is in use: the thread needs another */
    uint64_t before = ddb_process_memory();
    pthread_t thread;
    void *result = NULL;
    support_allocator_fail(n);
    pthread_create(&thread, NULL, use_locks, locks);
    pthread_join(thread, &result);
    failed = support_allocator_failed();
    failures += failed;
    assert_int_equal((ddb_status)(uintptr_t)result, failed ? DDB_ERR_NOMEM : DDB_OK);
    assert_true(!failed || n == 1 || ddb_process_memory() - before < 2 * sizeof(ddb__thread));
    for (int i = 0; i < DDB__SPARE_HOLD_COUNT + 2; i++) {
      assert_true(lock_is_idle(locks[i]));
    }
    assert_ok(actor_do(&a, LEAVE, lock));
  }
  assert_true(failures >= 2);
  for (int i = 0; i < DDB__SPARE_HOLD_COUNT + 2; i++) {
    ddb_rwlock_free(locks[i]);
  }
  assert_int_equal((uint64_t)support_allocator_bytes(), ddb_process_memory());
}

#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void) {
  alarm(200);
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      SCENARIO(test_readers_share_writers_do_not),
      SCENARIO(test_only_the_holder_releases),
      SCENARIO(test_both_sides_nest),
      SCENARIO(test_reader_nests_past_a_queued_writer),
      SCENARIO(test_writer_keeps_its_read_side),
      SCENARIO(test_many_locks_at_once),
      SCENARIO(test_phases_alternate),
      SCENARIO(test_writers_are_served_in_order),
      SCENARIO(test_upgrade_waits_for_other_readers),
      SCENARIO(test_second_upgrade_is_refused),
      SCENARIO(test_upgrade_that_gives_up_lets_readers_in),
      SCENARIO(test_owner_is_called_by_outermost_public_acquires),
      SCENARIO(test_statistics),
      SCENARIO(test_arguments),
      SCENARIO(test_each_allocation_fails_once),
  };
  return cmocka_run_group_tests_name("rwlock", tests, NULL, NULL);
}
