/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock_private.h - the state of a ddb_rwlock, shared by rwlock.c (who may have it), rwlock_wait.c
 * (who waits, who is next) and rwlock_graph.c (cycles of waiting threads).
 *
 *   word:  0             nobody has it, nobody waits          \ fast: changed by one CAS, without
 *          thread        that thread has the write side       / the mutex; no reader, no waiter
 *          thread | 1    the same                             \ managed: changed by the holder of
 *          1             no writer; readers, waiters or none  / the mutex only
 *
 * Whoever takes the mutex sets bit 0 first (ddb__rwlock_lock) and clears it at the end when nobody
 * reads or waits (ddb__rwlock_unlock). A thread that finds itself in the word has the write side
 * and keeps it until it acts, so that it needs no mutex to find out or to nest.
 *
 * Order of mutexes: wait graph, then one lock's mutex, and nothing (but the allocator) after that.
 * No thread holds two locks' mutexes.
 */
#ifndef DDB_BASE_RWLOCK_PRIVATE_H
#define DDB_BASE_RWLOCK_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/rwlock.h"
#include "base/thread.h"

#define DDB__WORD_MANAGED ((uintptr_t)1)

typedef enum ddb__wait_kind { DDB__WAIT_READ, DDB__WAIT_WRITE, DDB__WAIT_UPGRADE } ddb__wait_kind;

/* One wait, on the stack of the thread that waits. */
typedef struct ddb__waiter {
  ddb_rwlock *lock; /* these four: constant */
  ddb__thread *thread;
  ddb__hold *hold; /* READ: what the grant links into the lock */
  ddb__wait_kind kind;
  _Atomic bool granted;     /* set under the lock's mutex; then it is in no queue */
  struct ddb__waiter *next; /* the queue; the lock's mutex */
  struct ddb__waiter *previous;
  struct ddb__waiter *outer; /* a wait of this thread that a poll hook interrupted; graph mutex */
  pthread_cond_t wake;       /* with the lock's mutex; CLOCK_MONOTONIC */
} ddb__waiter;

typedef struct ddb__queue {
  ddb__waiter *first;
  ddb__waiter *last;
} ddb__queue;

struct ddb_rwlock {
  _Atomic uintptr_t word;
  uint64_t nested_count;        /* the writer alone: enters beyond the first */
  uint32_t public_count;        /* the writer alone: how many of all enters are public acquires */
  uint64_t public_since_ns;     /* the writer alone */
  _Atomic uint64_t write_count; /* statistics; these two: written by the writer alone */
  _Atomic uint64_t write_hold_ns;
  uint64_t fork_generation; /* constant */
  ddb__rwlock_owner owner;  /* constant once the lock is shared */
  char name[64];
  pthread_mutex_t mutex;
  ddb__hold *readers;
  ddb__queue read_waiters;
  ddb__queue write_waiters;
  ddb__waiter *upgrader; /* a reader that waits for the others to leave */
  _Atomic uint64_t read_count;
  _Atomic uint64_t wait_count;
  _Atomic uint64_t wait_ns;
  _Atomic uint64_t read_hold_ns;
};

/* ---- rwlock_wait.c ---- */

uint64_t ddb__rwlock_now(void);

void ddb__rwlock_lock(ddb_rwlock *lock);
void ddb__rwlock_unlock(ddb_rwlock *lock);
/* True when a thread other than `thread` reads. Needs the mutex. */
bool ddb__rwlock_has_other_reader_locked(const ddb_rwlock *lock, const ddb__thread *thread);
void ddb__rwlock_add_reader_locked(ddb_rwlock *lock, ddb__hold *hold);
void ddb__rwlock_remove_reader_locked(ddb_rwlock *lock, ddb__hold *hold);
/* Takes the waiting reader from its queue and lets it in. There must be no writer. */
void ddb__rwlock_admit_locked(ddb__waiter *waiter);
/* A side was released: grants whatever can be. `writer_left`: it was the write side, and the
 * readers that wait are the next phase. */
void ddb__rwlock_pass_on_locked(ddb_rwlock *lock, bool writer_left);

/* Not a status of the contract: an outer wait of this thread got the write side meanwhile, so that
 * the thread need not wait but ask again. */
#define DDB__ASK_AGAIN DDB_STATUS_COUNT

/* Queues `waiter` (zeroed but for its constants) and waits until it is granted. Called with the
 * mutex held and a grant impossible; returns without it. DDB_OK: the thread has the side. Else
 * (DDB__ASK_AGAIN too) it has not, and waits no more. */
ddb_status ddb__rwlock_wait(ddb__waiter *waiter, int64_t timeout_ns, ddb_error *err);

/* ---- rwlock_graph.c ---- */

/* Makes the queued waiter known to searches and looks for a cycle; no mutex held. OK: none is left
 * (waiting readers may have been let in, this one too). DEADLOCK: it has left the graph. */
ddb_status ddb__graph_enter(ddb__waiter *waiter, ddb_error *err);
ddb_status ddb__graph_check(ddb__waiter *waiter, ddb_error *err);
void ddb__graph_leave(ddb__waiter *waiter);
/* True when a cycle may go through the waiter's thread: it has something that others wait for. */
bool ddb__graph_relevant(const ddb__waiter *waiter);

static inline ddb__thread *ddb__word_writer(uintptr_t word) {
  return (ddb__thread *)(word & ~DDB__WORD_MANAGED);
}

static inline bool ddb__rwlock_written_by(const ddb_rwlock *lock, const ddb__thread *thread) {
  uintptr_t word = atomic_load_explicit(&((ddb_rwlock *)lock)->word, memory_order_acquire);
  return thread != NULL && ddb__word_writer(word) == thread;
}

/* By the thread itself. */
static inline void ddb__rwlock_count_held(ddb__thread *self, int change) {
  uint32_t old = atomic_load_explicit(&self->lock_count, memory_order_relaxed);
  atomic_store_explicit(&self->lock_count, old + (uint32_t)change, memory_order_relaxed);
}

/* One turn of a spinning loop. */
static inline void ddb__rwlock_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

static inline bool ddb__rwlock_forked(const ddb_rwlock *lock) {
  return lock->fork_generation != ddb__fork_generation();
}

#endif
