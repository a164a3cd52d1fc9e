/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock.c - the reader-writer lock: what a thread gets at once, and how it gives it back.
 * The state is drawn in rwlock_private.h.
 *
 * Invariants
 *   1. A writer excludes every reader but itself.
 *   2. A thread that holds a side gets the read side again at once; a writer gets both at once.
 *   3. A new reader is let in at once only if nobody writes, waits to write or waits to upgrade.
 *   4. A ddb__hold is in the lock's list of readers from the grant to the last release, and in its
 *      thread's list from the return of acquire to the last release.
 *   5. thread->lock_count counts the sides held, outermost level, of all locks; 0 means that no
 *      thread can be waiting for this one.
 * Forked children: a lock born before the fork may have been in any state, its mutex held by a
 * thread that is gone. Only what its holder owns alone is touched, so that `with` blocks can leave.
 * Locks: none are held on return or around a call of the owner.
 * Cost: entering and leaving the write side uncontended is one CAS each; the read side takes the
 * lock's mutex twice and reads the clock twice, re-entrant reads neither.
 */
#include "base/rwlock.h"

#include "base/heap.h"
#include "base/rwlock_private.h"
#include "base/status.h"

/* About a microsecond, the length of a short statement, before joining the queue. */
#define ENTER_SPIN_COUNT 40

static void count_relaxed(_Atomic uint64_t *counter, uint64_t more) {
  atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* For a counter that only the caller may change now: no locked instruction. */
static void count_alone(_Atomic uint64_t *counter, uint64_t more) {
  uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
  atomic_store_explicit(counter, old + more, memory_order_relaxed);
}

/* ---- Making and freeing ---- */

ddb_status ddb_rwlock_new(ddb_str name, ddb_rwlock **out, ddb_error *err) {
  if (out == NULL || (name.data == NULL && name.size != 0)) {
    return ddb__fail(err, DDB_ERR_INVALID, "ddb_rwlock_new: a NULL argument");
  }
  ddb_rwlock *lock = ddb__alloc_zero(&ddb__heap_process, sizeof *lock);
  if (lock == NULL) {
    return ddb__fail_memory(err, sizeof *lock);
  }
  ddb__error_text(lock->name, sizeof lock->name, name);
  lock->fork_generation = ddb__fork_generation();
  pthread_mutex_init(&lock->mutex, NULL);
  *out = lock;
  return DDB_OK;
}

void ddb_rwlock_free(ddb_rwlock *lock) {
  if (lock == NULL) {
    return;
  }
  if (!ddb__rwlock_forked(lock)) {
    pthread_mutex_destroy(&lock->mutex);
  }
  ddb__free(&ddb__heap_process, lock, sizeof *lock);
}

void ddb__rwlock_owner_set(ddb_rwlock *lock, const ddb__rwlock_owner *owner) {
  lock->owner = *owner;
}

void ddb_rwlock_stats_get(const ddb_rwlock *lock, ddb_rwlock_stats *out) {
  ddb_rwlock *shared = (ddb_rwlock *)lock;
  out->read_count = atomic_load_explicit(&shared->read_count, memory_order_relaxed);
  out->write_count = atomic_load_explicit(&shared->write_count, memory_order_relaxed);
  out->wait_count = atomic_load_explicit(&shared->wait_count, memory_order_relaxed);
  out->wait_ns = atomic_load_explicit(&shared->wait_ns, memory_order_relaxed);
  out->read_hold_ns = atomic_load_explicit(&shared->read_hold_ns, memory_order_relaxed);
  out->write_hold_ns = atomic_load_explicit(&shared->write_hold_ns, memory_order_relaxed);
}

/* ---- What a thread holds ---- */

static ddb__hold *find_hold(const ddb__thread *self, const ddb_rwlock *lock) {
  ddb__hold *hold = self->holds;
  while (hold != NULL && hold->lock != lock) {
    hold = hold->next_own;
  }
  return hold;
}

static ddb__hold *take_hold(ddb__thread *self, ddb_rwlock *lock) {
  ddb__hold *hold = NULL;
  for (size_t i = 0; i < DDB__SPARE_HOLD_COUNT && hold == NULL; i++) {
    hold = self->spare_holds[i].lock == NULL ? &self->spare_holds[i] : NULL;
  }
  if (hold == NULL) {
    hold = ddb__alloc(&ddb__heap_process, sizeof *hold);
  }
  if (hold != NULL) {
    *hold = (ddb__hold){.lock = lock, .thread = self};
  }
  return hold;
}

static void drop_hold(ddb__thread *self, ddb__hold *hold) {
  if (hold >= self->spare_holds && hold < self->spare_holds + DDB__SPARE_HOLD_COUNT) {
    hold->lock = NULL;
  } else {
    ddb__free(&ddb__heap_process, hold, sizeof *hold);
  }
}

static void own_hold(ddb__thread *self, ddb__hold *hold) {
  hold->count = 1;
  hold->since_ns = ddb__rwlock_now();
  hold->next_own = self->holds;
  self->holds = hold;
  ddb__rwlock_count_held(self, 1);
}

static void disown_hold(ddb__thread *self, ddb__hold *hold) {
  ddb__hold **link = &self->holds;
  while (*link != hold) {
    link = &(*link)->next_own;
  }
  *link = hold->next_own;
  ddb__rwlock_count_held(self, -1);
}

/* ---- Errors ---- */

static ddb_status fail_named(ddb_error *err, const ddb_rwlock *lock, ddb_status status,
                             const char *side, const char *what) {
  (void)ddb__fail(err, status, "%s of lock '%s': %s", side, lock->name, what);
  if (err != NULL) {
    ddb__error_text(err->table, sizeof err->table, ddb_str_from(lock->name));
  }
  return status;
}

static ddb_status fail_forked(ddb_error *err, const ddb_rwlock *lock, const char *side) {
  return fail_named(err, lock, DDB_ERR_FORKED, side,
                    "the lock was made before this process was forked");
}

static ddb_status fail_try(ddb_error *err, const ddb_rwlock *lock, const char *side) {
  return fail_named(err, lock, DDB_ERR_TIMEOUT, side, "not free, and no time to wait was given");
}

static ddb_status fail_self(ddb_error *err) {
  return ddb__fail(err, DDB_ERR_NOMEM, "out of memory: this thread could not be registered");
}

/* ---- The write side ---- */

static ddb_status queue_writer(ddb_rwlock *lock, ddb__thread *self, ddb__wait_kind kind,
                               int64_t timeout_ns, ddb_error *err) {
  ddb__waiter waiter = {.lock = lock, .thread = self, .kind = kind};
  return ddb__rwlock_wait(&waiter, timeout_ns, err);
}

/* Several upgrades would wait for each other. Releases the mutex. */
static ddb_status refuse_upgrade(ddb_rwlock *lock, ddb__thread *self, ddb_error *err) {
  long long first = (long long)lock->upgrader->thread->native_id;
  ddb__rwlock_unlock(lock);
  (void)ddb__fail(err, DDB_ERR_DEADLOCK,
                  "deadlock: thread %lld and thread %lld both hold the read side of '%s' and want "
                  "its write side",
                  (long long)self->native_id, first, lock->name);
  if (err != NULL) {
    ddb__error_text(err->table, sizeof err->table, ddb_str_from(lock->name));
  }
  return DDB_ERR_DEADLOCK;
}

/* The write side by the mutex, for a thread that is not the writer. */
static ddb_status enter_managed(ddb_rwlock *lock, ddb__thread *self, int64_t timeout_ns,
                                ddb_error *err) {
  bool upgrade = find_hold(self, lock) != NULL;
  ddb__rwlock_lock(lock);
  bool writer = atomic_load_explicit(&lock->word, memory_order_relaxed) != DDB__WORD_MANAGED;
  /* Nobody is queued then, as somebody else would have the lock: rwlock_wait.c, 2. */
  if (!writer && !ddb__rwlock_has_other_reader_locked(lock, self)) {
    atomic_store_explicit(&lock->word, (uintptr_t)self | DDB__WORD_MANAGED, memory_order_release);
    ddb__rwlock_unlock(lock);
    return DDB_OK;
  }
  if (timeout_ns == 0) {
    ddb__rwlock_unlock(lock);
    return fail_try(err, lock, "write side");
  }
  if (upgrade && lock->upgrader != NULL) {
    return refuse_upgrade(lock, self, err);
  }
  ddb__wait_kind kind = upgrade ? DDB__WAIT_UPGRADE : DDB__WAIT_WRITE;
  return queue_writer(lock, self, kind, timeout_ns, err);
}

/* Release too: a search for cycles reads the record that it finds in the word, which may be new. */
static bool enter_fast(ddb_rwlock *lock, ddb__thread *self) {
  uintptr_t expected = 0;
  return atomic_compare_exchange_strong_explicit(&lock->word, &expected, (uintptr_t)self,
                                                 memory_order_acq_rel, memory_order_relaxed);
}

/* Waits out a short statement of another thread while nobody is queued, whom it would pass. */
static bool enter_spinning(ddb_rwlock *lock, ddb__thread *self) {
  for (int i = 0; i < ENTER_SPIN_COUNT; i++) {
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if ((word & DDB__WORD_MANAGED) != 0) {
      return false;
    }
    if (word == 0 && enter_fast(lock, self)) {
      return true;
    }
    ddb__rwlock_pause();
  }
  return false;
}

static ddb_status enter_slowly(ddb_rwlock *lock, ddb__thread *self, int64_t timeout_ns,
                               ddb_error *err) {
  ddb_status status = DDB__ASK_AGAIN;
  while (status == DDB__ASK_AGAIN) {
    if (ddb__rwlock_written_by(lock, self)) {
      lock->nested_count++;
      count_alone(&lock->write_count, 1);
      return DDB_OK;
    }
    bool entered = timeout_ns != 0 && enter_spinning(lock, self);
    status = entered ? DDB_OK : enter_managed(lock, self, timeout_ns, err);
  }
  if (status == DDB_OK) {
    ddb__rwlock_count_held(self, 1);
    count_alone(&lock->write_count, 1);
  }
  return status;
}

ddb_status ddb__rwlock_enter_write(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err) {
  ddb__thread *self = ddb__thread_self();
  if (self == NULL) {
    return fail_self(err);
  }
  if (ddb__rwlock_forked(lock)) {
    return fail_forked(err, lock, "write side");
  }
  if (!enter_fast(lock, self)) {
    return enter_slowly(lock, self, timeout_ns, err);
  }
  ddb__rwlock_count_held(self, 1);
  count_alone(&lock->write_count, 1);
  return DDB_OK;
}

static void leave_managed(ddb_rwlock *lock) {
  ddb__rwlock_lock(lock);
  atomic_store_explicit(&lock->word, DDB__WORD_MANAGED, memory_order_release);
  ddb__rwlock_pass_on_locked(lock, true);
  ddb__rwlock_unlock(lock);
}

void ddb__rwlock_leave_write(ddb_rwlock *lock) {
  ddb__thread *self = ddb__thread_self();
  if (!ddb__rwlock_written_by(lock, self)) {
    return;
  }
  if (lock->nested_count != 0) {
    lock->nested_count--;
    return;
  }
  ddb__rwlock_count_held(self, -1);
  uintptr_t expected = (uintptr_t)self;
  if (atomic_compare_exchange_strong_explicit(&lock->word, &expected, 0, memory_order_release,
                                              memory_order_relaxed)) {
    return;
  }
  if (ddb__rwlock_forked(lock)) {
    atomic_store_explicit(&lock->word, DDB__WORD_MANAGED, memory_order_relaxed);
    return;
  }
  leave_managed(lock);
}

ddb_status ddb_rwlock_acquire_write(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err) {
  ddb_status status = ddb__rwlock_enter_write(lock, timeout_ns, err);
  if (status != DDB_OK || lock->public_count++ != 0) {
    return status;
  }
  lock->public_since_ns = ddb__rwlock_now();
  if (lock->owner.acquired != NULL) {
    status = lock->owner.acquired(lock->owner.context, err);
  }
  if (status != DDB_OK) {
    lock->public_count--;
    ddb__rwlock_leave_write(lock);
  }
  return status;
}

ddb_status ddb_rwlock_release_write(ddb_rwlock *lock, ddb_error *err) {
  if (!ddb__rwlock_held_exclusively(lock)) {
    return fail_named(err, lock, DDB_ERR_NOT_OWNER, "write side", "this thread does not hold it");
  }
  uint64_t token = 0;
  const ddb__rwlock_owner owner = lock->owner;
  if (lock->public_count == 1) {
    if (owner.releasing != NULL && !ddb__rwlock_forked(lock)) {
      token = owner.releasing(owner.context);
    }
    count_alone(&lock->write_hold_ns, ddb__rwlock_now() - lock->public_since_ns);
  }
  lock->public_count--;
  ddb__rwlock_leave_write(lock);
  return token ? owner.released(owner.context, token, err) : DDB_OK;
}

uint32_t ddb__rwlock_exclusive_depth(const ddb_rwlock *lock) {
  return ddb__rwlock_written_by(lock, ddb__thread_self()) ? lock->public_count : 0;
}

bool ddb__rwlock_held_exclusively(const ddb_rwlock *lock) {
  return ddb__rwlock_exclusive_depth(lock) != 0;
}

bool ddb__rwlock_write_held(const ddb_rwlock *lock) {
  return ddb__rwlock_written_by(lock, ddb__thread_self());
}

bool ddb_rwlock_is_held(const ddb_rwlock *lock) {
  const ddb__thread *self = ddb__thread_self();
  return self != NULL && (ddb__rwlock_written_by(lock, self) || find_hold(self, lock) != NULL);
}

/* ---- The read side ---- */

/* Gets the hold into the lock's list of readers, or fails and leaves it out. */
static ddb_status enter_read(ddb_rwlock *lock, ddb__hold *hold, int64_t timeout_ns,
                             ddb_error *err) {
  ddb__thread *self = hold->thread;
  ddb__rwlock_lock(lock);
  uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
  bool open =
      word == DDB__WORD_MANAGED && lock->upgrader == NULL && lock->write_waiters.first == NULL;
  if (open || ddb__word_writer(word) == self) {
    ddb__rwlock_add_reader_locked(lock, hold);
    ddb__rwlock_unlock(lock);
    return DDB_OK;
  }
  if (timeout_ns == 0) {
    ddb__rwlock_unlock(lock);
    return fail_try(err, lock, "read side");
  }
  ddb__waiter waiter = {.lock = lock, .thread = self, .hold = hold, .kind = DDB__WAIT_READ};
  return ddb__rwlock_wait(&waiter, timeout_ns, err);
}

ddb_status ddb_rwlock_acquire_read(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err) {
  ddb__thread *self = ddb__thread_self();
  if (self == NULL) {
    return fail_self(err);
  }
  if (ddb__rwlock_forked(lock)) {
    return fail_forked(err, lock, "read side");
  }
  ddb__hold *hold = find_hold(self, lock);
  if (hold != NULL) {
    hold->count++;
  } else {
    hold = take_hold(self, lock);
    if (hold == NULL) {
      return ddb__fail_memory(err, sizeof *hold);
    }
    ddb_status status = DDB__ASK_AGAIN;
    while (status == DDB__ASK_AGAIN) {
      status = enter_read(lock, hold, timeout_ns, err);
    }
    if (status != DDB_OK) {
      drop_hold(self, hold);
      return status;
    }
    own_hold(self, hold);
  }
  count_relaxed(&lock->read_count, 1);
  return DDB_OK;
}

ddb_status ddb_rwlock_release_read(ddb_rwlock *lock, ddb_error *err) {
  ddb__thread *self = ddb__thread_self();
  ddb__hold *hold = self != NULL ? find_hold(self, lock) : NULL;
  if (hold == NULL) {
    return fail_named(err, lock, DDB_ERR_NOT_OWNER, "read side", "this thread does not hold it");
  }
  if (--hold->count != 0) {
    return DDB_OK;
  }
  disown_hold(self, hold);
  if (!ddb__rwlock_forked(lock)) {
    count_relaxed(&lock->read_hold_ns, ddb__rwlock_now() - hold->since_ns);
    ddb__rwlock_lock(lock);
    ddb__rwlock_remove_reader_locked(lock, hold);
    ddb__rwlock_pass_on_locked(lock, false);
    ddb__rwlock_unlock(lock);
  }
  drop_hold(self, hold);
  return DDB_OK;
}
