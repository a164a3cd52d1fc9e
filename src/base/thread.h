/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - one record per OS thread that uses the library: its identity for locks, and its slot
 * for pins (slot.h's protocol is in store/pin.h; only the memory lives here).
 *
 * Records are allocated from the process heap, linked into a grow-only registry, handed back when
 * their thread exits (a pthread key's destructor) and reused; they are never freed while the
 * process lives, so a scan may walk them without a lock. fork: the registry mutex is held across
 * it; the child keeps only the forking thread's record in use.
 */
#ifndef DDB_BASE_THREAD_H
#define DDB_BASE_THREAD_H

#include <stdatomic.h>

#include "dictdb.h"

#define DDB__CACHE_LINE       64
#define DDB__SPARE_HOLD_COUNT 4

/* The read side of one lock as one thread holds it. Owned by base/rwlock*.c. */
typedef struct ddb__hold {
  struct ddb_rwlock *lock; /* NULL: spare */
  struct ddb__thread *thread;
  struct ddb__hold *next; /* the lock's readers; its mutex */
  struct ddb__hold *previous;
  struct ddb__hold *next_own; /* this and the rest: the thread alone */
  uint64_t count;
  uint64_t since_ns;
} ddb__hold;

typedef struct ddb__thread {
  /* The pin slot, a cache line of its own: written by the owner, read by reclaimers. */
  _Alignas(DDB__CACHE_LINE) _Atomic uint64_t pin_word; /* 0: free; see store/pin.h */
  _Atomic uintptr_t pin_table;                         /* whose version pin_word names */
  char pin_padding[DDB__CACHE_LINE - 16];
  /* Constant while in use. */
  uint64_t id;       /* unique in the process, never reused; 0: record is free (registry mutex) */
  int64_t native_id; /* gettid(), for messages */
  struct ddb__thread *next; /* registry link, constant once published */
  _Atomic bool ended;       /* its thread ended while it held a lock or a pin: never reused */
  /* Owned by base/rwlock*.c. */
  _Atomic uint32_t lock_count; /* sides held; written by the owner alone */
  ddb__hold *holds;            /* read sides held: list by next_own; the owner alone */
  ddb__hold spare_holds[DDB__SPARE_HOLD_COUNT]; /* so that acquiring seldom allocates */
  void *waiting_on; /* ddb__waiter of the wait in progress, under the wait graph's mutex */
  /* The search for cycles, under the wait graph's mutex. */
  uint64_t graph_mark;
  struct ddb__thread *graph_parent;
  struct ddb__thread *graph_next;
  void *graph_waiter; /* of graph_parent: why it waits for this thread */
  bool graph_soft;    /* it need not wait: only a queued writer is in its way */
} ddb__thread;

/* This thread's record, made on first use; NULL when there is no memory. */
ddb__thread *ddb__thread_self(void);
/* The registry, for scans: acquire load of the head, then `next`. */
ddb__thread *ddb__thread_first(void);

/* Number of fork() generations this process is away from the one that loaded the library: objects
 * note it at birth, and refuse writes when it has changed. */
uint64_t ddb__fork_generation(void);

#endif
