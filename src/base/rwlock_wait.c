/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock_wait.c - who waits for a lock, who gets it next, and the wait itself.
 *
 *   readers that wait ──────────── all of them in when a writer leaves ───────────▶ readers
 *   writers that wait ──▶ ──▶ ──── the first when the last reader leaves ─────────▶ writer
 *   a reader that upgrades ─────── when it is the only reader, before any writer ─▶ writer
 *
 * Invariants
 *   1. Phase-fair: the readers waiting when a writer leaves are the next phase, and readers that
 *      come during a phase wait if a writer does. So a reader waits for one writer at most, and a
 *      writer for one phase of readers per writer before it.
 *   2. Whenever the mutex is free, nobody waits for what could be granted: every change that may
 *      make room (release, a waiter that gives up) ends with ddb__rwlock_pass_on_locked.
 *   3. A grant is complete when the granter says so: the word or the list of readers has changed,
 *      nothing that the waiter does or fails to do can lose it, and nobody can come between.
 *   4. A waiter that is not granted is in exactly one queue. Its memory is good until its thread
 *      has taken the mutex once more, so the granter signals under the mutex.
 *   5. There is no upgrader while there is a writer.
 * Hooks run with no mutex held. poll may run anything, also other waits of this thread: these are
 * `outer` and inner waits, and what is granted to the outer meanwhile is already the thread's.
 * Cost: a short spin for the grant; then the graph's mutex, and sleeping.
 */
#include <errno.h>
#include <time.h>

#include "base/rwlock_private.h"
#include "base/status.h"
#include "base/testing.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define POLL_NS       INT64_C(50000000)
/* Between looks when there is nothing to poll and no cycle to fear. */
#define IDLE_NS          NS_PER_SECOND
#define GRANT_SPIN_COUNT 200

/* ---- Hooks ---- */

static ddb_wait_hooks wait_hooks; /* published by wait_hooks_set */
static _Atomic bool wait_hooks_set;

void ddb_wait_hooks_set(const ddb_wait_hooks *hooks) {
  atomic_store_explicit(&wait_hooks_set, false, memory_order_release);
  if (hooks != NULL) {
    wait_hooks = *hooks;
    atomic_store_explicit(&wait_hooks_set, true, memory_order_release);
  }
}

static ddb_wait_hooks hooks_now(void) {
  if (!atomic_load_explicit(&wait_hooks_set, memory_order_acquire)) {
    return (ddb_wait_hooks){0};
  }
  return wait_hooks;
}

/* Threads of the library's own have nothing to do with the host's: they never call its hooks. */
static _Thread_local bool hookless;

void ddb__wait_without_hooks(void) {
  hookless = true;
}

void *ddb__wait_begin(void) {
  ddb_wait_hooks hooks = hookless ? (ddb_wait_hooks){0} : hooks_now();
  return hooks.begin != NULL ? hooks.begin(hooks.context) : NULL;
}

void ddb__wait_end(void *state) {
  ddb_wait_hooks hooks = hookless ? (ddb_wait_hooks){0} : hooks_now();
  if (hooks.end != NULL) {
    hooks.end(hooks.context, state);
  }
}

/* ---- Time ---- */

uint64_t ddb__rwlock_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * (uint64_t)NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* INT64_MAX: never. */
static int64_t deadline_after(int64_t now_ns, int64_t timeout_ns) {
  return timeout_ns < 0 || timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}

/* ---- Queues ---- */

static ddb__queue *queue_of(ddb__waiter *waiter) {
  ddb_rwlock *lock = waiter->lock;
  return waiter->kind == DDB__WAIT_READ ? &lock->read_waiters : &lock->write_waiters;
}

static void enqueue_locked(ddb__waiter *waiter) {
  if (waiter->kind == DDB__WAIT_UPGRADE) {
    waiter->lock->upgrader = waiter;
    return;
  }
  ddb__queue *queue = queue_of(waiter);
  waiter->next = NULL;
  waiter->previous = queue->last;
  *(queue->last != NULL ? &queue->last->next : &queue->first) = waiter;
  queue->last = waiter;
}

static void dequeue_locked(ddb__waiter *waiter) {
  if (waiter->kind == DDB__WAIT_UPGRADE) {
    waiter->lock->upgrader = NULL;
    return;
  }
  ddb__queue *queue = queue_of(waiter);
  *(waiter->previous != NULL ? &waiter->previous->next : &queue->first) = waiter->next;
  *(waiter->next != NULL ? &waiter->next->previous : &queue->last) = waiter->previous;
}

/* ---- The mutex and the word ---- */

void ddb__rwlock_lock(ddb_rwlock *lock) {
  pthread_mutex_lock(&lock->mutex);
  uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
  if ((word & DDB__WORD_MANAGED) == 0) {
    atomic_fetch_or_explicit(&lock->word, DDB__WORD_MANAGED, memory_order_acq_rel);
  }
}

void ddb__rwlock_unlock(ddb_rwlock *lock) {
  bool idle = lock->readers == NULL && lock->read_waiters.first == NULL &&
              lock->write_waiters.first == NULL && lock->upgrader == NULL;
  if (idle) {
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    atomic_store_explicit(&lock->word, word & ~DDB__WORD_MANAGED, memory_order_release);
  }
  pthread_mutex_unlock(&lock->mutex);
}

static ddb__thread *writer_locked(const ddb_rwlock *lock) {
  return ddb__word_writer(atomic_load_explicit(&((ddb_rwlock *)lock)->word, memory_order_relaxed));
}

static void set_writer_locked(ddb_rwlock *lock, ddb__thread *thread) {
  atomic_store_explicit(&lock->word, (uintptr_t)thread | DDB__WORD_MANAGED, memory_order_release);
}

/* ---- Readers ---- */

/* A thread has two holds when it got one for a wait and one in a poll hook of that wait. */
bool ddb__rwlock_has_other_reader_locked(const ddb_rwlock *lock, const ddb__thread *thread) {
  const ddb__hold *hold = lock->readers;
  while (hold != NULL && hold->thread == thread) {
    hold = hold->next;
  }
  return hold != NULL;
}

void ddb__rwlock_add_reader_locked(ddb_rwlock *lock, ddb__hold *hold) {
  hold->previous = NULL;
  hold->next = lock->readers;
  if (hold->next != NULL) {
    hold->next->previous = hold;
  }
  lock->readers = hold;
}

void ddb__rwlock_remove_reader_locked(ddb_rwlock *lock, ddb__hold *hold) {
  *(hold->previous != NULL ? &hold->previous->next : &lock->readers) = hold->next;
  if (hold->next != NULL) {
    hold->next->previous = hold->previous;
  }
}

/* ---- Grants ---- */

static void wake_locked(ddb__waiter *waiter) {
  atomic_store_explicit(&waiter->granted, true, memory_order_release);
  pthread_cond_signal(&waiter->wake);
}

void ddb__rwlock_admit_locked(ddb__waiter *waiter) {
  dequeue_locked(waiter);
  ddb__rwlock_add_reader_locked(waiter->lock, waiter->hold);
  wake_locked(waiter);
}

static void grant_write_locked(ddb__waiter *waiter) {
  if (DDB__FAULT(LOST_WAKEUP)) {
    return;
  }
  dequeue_locked(waiter);
  set_writer_locked(waiter->lock, waiter->thread);
  wake_locked(waiter);
}

void ddb__rwlock_pass_on_locked(ddb_rwlock *lock, bool writer_left) {
  if (writer_locked(lock) != NULL) {
    return;
  }
  ddb__waiter *upgrader = lock->upgrader;
  if (upgrader != NULL) {
    if (!ddb__rwlock_has_other_reader_locked(lock, upgrader->thread)) {
      grant_write_locked(upgrader);
    }
    return;
  }
  if (writer_left || lock->write_waiters.first == NULL) {
    while (lock->read_waiters.first != NULL) {
      ddb__rwlock_admit_locked(lock->read_waiters.first);
    }
  }
  ddb__waiter *writer = lock->write_waiters.first;
  if (writer != NULL && !ddb__rwlock_has_other_reader_locked(lock, writer->thread)) {
    grant_write_locked(writer);
  }
}

/* ---- Waiting ---- */

static bool granted(const ddb__waiter *waiter) {
  return atomic_load_explicit(&((ddb__waiter *)waiter)->granted, memory_order_acquire);
}

/* A wait of a poll hook can find that an outer wait of its thread got the write side meanwhile.
 * Then it asks for what the thread has, and nobody would ever grant it. */
static bool granted_to_outer(const ddb__waiter *waiter) {
  return waiter->outer != NULL && ddb__rwlock_written_by(waiter->lock, waiter->thread);
}

static bool spin_for_grant(const ddb__waiter *waiter) {
  for (int i = 0; i < GRANT_SPIN_COUNT && !granted(waiter); i++) {
    ddb__rwlock_pause();
  }
  return granted(waiter);
}

static bool sleep_until(ddb__waiter *waiter, int64_t until_ns) {
  struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                           .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
  pthread_mutex_lock(&waiter->lock->mutex);
  int result = 0;
  while (!granted(waiter) && result != ETIMEDOUT) {
    result = pthread_cond_timedwait(&waiter->wake, &waiter->lock->mutex, &until);
  }
  pthread_mutex_unlock(&waiter->lock->mutex);
  return granted(waiter);
}

static ddb_status sleep_for_grant(ddb__waiter *waiter, int64_t deadline_ns,
                                  const ddb_wait_hooks *hooks, void *state, ddb_error *found) {
  bool relevant = ddb__graph_relevant(waiter);
  int64_t turn_ns = hooks->poll != NULL || relevant ? POLL_NS : IDLE_NS;
  for (;;) {
    int64_t until_ns = deadline_after((int64_t)ddb__rwlock_now(), turn_ns);
    bool last = until_ns >= deadline_ns;
    if (sleep_until(waiter, last ? deadline_ns : until_ns)) {
      return DDB_OK;
    }
    if (last) {
      return DDB_ERR_TIMEOUT;
    }
    bool stop = hooks->poll != NULL && hooks->poll(hooks->context, state) != 0;
    if (ddb__rwlock_forked(waiter->lock)) {
      return DDB_ERR_FORKED;
    }
    if (stop) {
      return DDB_ERR_INTERRUPTED;
    }
    if (granted_to_outer(waiter)) {
      return DDB__ASK_AGAIN;
    }
    ddb_status status = ddb__graph_check(waiter, found);
    if (status != DDB_OK) {
      return status;
    }
  }
}

/* The part of the wait that really blocks. */
static ddb_status block(ddb__waiter *waiter, int64_t deadline_ns, ddb_error *found) {
  ddb_wait_hooks hooks = hooks_now();
  if (hooks.refuse != NULL && hooks.refuse(hooks.context, waiter->lock) != 0) {
    return DDB_ERR_INTERRUPTED;
  }
  ddb_status status = ddb__graph_enter(waiter, found);
  if (status == DDB_OK && !granted(waiter)) {
    void *state = hooks.begin != NULL ? hooks.begin(hooks.context) : NULL;
    status = sleep_for_grant(waiter, deadline_ns, &hooks, state, found);
    ddb__graph_leave(waiter);
    if (hooks.end != NULL) {
      hooks.end(hooks.context, state);
    }
  } else {
    ddb__graph_leave(waiter);
  }
  return status;
}

/* Gives back what was granted to a wait that ends in an error all the same. A poll hook may have
 * entered the write side once more and kept it: then it stays the thread's. */
static void undo_grant_locked(ddb__waiter *waiter) {
  ddb_rwlock *lock = waiter->lock;
  if (waiter->kind == DDB__WAIT_READ) {
    ddb__rwlock_remove_reader_locked(lock, waiter->hold);
  } else if (lock->nested_count != 0) {
    lock->nested_count--;
    ddb__rwlock_count_held(waiter->thread, 1);
  } else {
    set_writer_locked(lock, NULL);
  }
  ddb__rwlock_pass_on_locked(lock, waiter->kind != DDB__WAIT_READ);
}

/* Ends the wait in one of two states: the side is the thread's, or it waits no more. A grant that
 * came at the last moment is taken, unless the caller must stop. */
static ddb_status settle(ddb__waiter *waiter, ddb_status status) {
  ddb_rwlock *lock = waiter->lock;
  ddb__rwlock_lock(lock);
  if (granted(waiter)) {
    if (status == DDB_ERR_INTERRUPTED) {
      undo_grant_locked(waiter);
    } else {
      status = DDB_OK;
    }
  } else {
    dequeue_locked(waiter);
    ddb__rwlock_pass_on_locked(lock, false);
  }
  ddb__rwlock_unlock(lock);
  return status;
}

static ddb_status fail_wait(ddb_error *err, const ddb__waiter *waiter, ddb_status status,
                            uint64_t waited_ns) {
  const char *side = waiter->kind == DDB__WAIT_READ ? "read" : "write";
  const char *name = waiter->lock->name;
  if (status == DDB_ERR_FORKED) {
    (void)ddb__fail(err, status, "%s side of lock '%s': this process was forked during the wait",
                    side, name);
  } else {
    (void)ddb__fail(err, status, "%s side of lock '%s': %s after waiting %.3f s", side, name,
                    ddb_status_text(status), (double)waited_ns / (double)NS_PER_SECOND);
  }
  if (err != NULL) {
    ddb__error_text(err->table, sizeof err->table, ddb_str_from(name));
  }
  return status;
}

static void count_wait(ddb_rwlock *lock, uint64_t waited_ns) {
  atomic_fetch_add_explicit(&lock->wait_count, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&lock->wait_ns, waited_ns, memory_order_relaxed);
}

static void make_condition(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

ddb_status ddb__rwlock_wait(ddb__waiter *waiter, int64_t timeout_ns, ddb_error *err) {
  ddb_rwlock *lock = waiter->lock;
  ddb_error found = {.status = DDB_OK};
  make_condition(&waiter->wake);
  enqueue_locked(waiter);
  ddb__rwlock_unlock(lock);
  uint64_t start_ns = ddb__rwlock_now();
  ddb_status status = DDB_OK;
  if (!spin_for_grant(waiter)) {
    status = block(waiter, deadline_after((int64_t)start_ns, timeout_ns), &found);
  }
  uint64_t waited_ns = ddb__rwlock_now() - start_ns;
  if (status == DDB_ERR_FORKED) {
    return fail_wait(err, waiter, status, waited_ns);
  }
  status = settle(waiter, status);
  pthread_cond_destroy(&waiter->wake);
  count_wait(lock, waited_ns);
  if (status == DDB_OK || status == DDB__ASK_AGAIN) {
    return status;
  }
  if (status != DDB_ERR_DEADLOCK) {
    return fail_wait(err, waiter, status, waited_ns);
  }
  if (err != NULL) {
    *err = found;
  }
  return status;
}
