/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.c - thread records: making, handing back, fork.
 *
 *   registry_head ──▶ record ──▶ record ──▶ ... ──▶ NULL      grows at the head, never shrinks
 *
 * Invariants
 *   1. A record is never freed; `next` is constant once the record is reachable from the head.
 *   2. `id` is 0 in a record that no thread uses; it changes under registry_mutex only.
 *   3. A thread that ends while it holds a lock or a pin leaves its record behind for good, marked
 *      `ended`: reused, it would make a stranger the owner of that lock or that pin.
 *   4. In a child of fork() only the forking thread's record is in use; records of threads that
 *      held a lock are left behind as by 3, and all pins but its own are gone.
 * Locks: registry_mutex; a leaf, nothing is called under it. Held across fork.
 * Cost: ddb__thread_self is one thread-local load after the first call of a thread.
 */
#include "base/thread.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/heap.h"

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(ddb__thread *) registry_head;
static uint64_t last_id;            /* registry_mutex */
static _Atomic uint64_t generation; /* forks between the process that loaded us and this one */
static pthread_key_t exit_key;
static bool exit_key_made; /* constant once the library is loaded */

static _Thread_local ddb__thread *current __attribute__((tls_model("initial-exec")));

static int64_t native_thread_id(void) {
  return (int64_t)syscall(SYS_gettid);
}

static bool holds_lock(const ddb__thread *thread) {
  return atomic_load_explicit(&((ddb__thread *)thread)->lock_count, memory_order_relaxed) != 0;
}

static bool holds_pin(const ddb__thread *thread) {
  return atomic_load_explicit(&((ddb__thread *)thread)->pin_word, memory_order_relaxed) != 0;
}

/* Runs as a thread ends, in it. Should a later destructor of the thread come back to us, it gets a
 * record again and this runs again. */
static void hand_back(void *record) {
  ddb__thread *thread = record;
  current = NULL;
  if (holds_lock(thread) || holds_pin(thread)) {
    atomic_store_explicit(&thread->ended, true, memory_order_release);
    return;
  }
  pthread_mutex_lock(&registry_mutex);
  thread->id = 0;
  pthread_mutex_unlock(&registry_mutex);
}

static void fork_prepare(void) {
  pthread_mutex_lock(&registry_mutex);
}

static void fork_parent(void) {
  pthread_mutex_unlock(&registry_mutex);
}

/* The thread of this record does not exist in the child. */
static void forget_after_fork(ddb__thread *thread) {
  atomic_store_explicit(&thread->pin_word, 0, memory_order_relaxed);
  atomic_store_explicit(&thread->pin_table, 0, memory_order_relaxed);
  thread->waiting_on = NULL;
  if (holds_lock(thread)) {
    atomic_store_explicit(&thread->ended, true, memory_order_relaxed);
  } else {
    thread->id = 0;
  }
}

static void fork_child(void) {
  atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
  for (ddb__thread *thread = ddb__thread_first(); thread != NULL; thread = thread->next) {
    if (thread != current) {
      forget_after_fork(thread);
    } else {
      thread->native_id = native_thread_id();
    }
  }
  pthread_mutex_unlock(&registry_mutex);
}

__attribute__((constructor)) static void set_up(void) {
  exit_key_made = pthread_key_create(&exit_key, hand_back) == 0 &&
                  pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
}

/* A record that no thread uses, with a fresh id; NULL when there is none. */
static ddb__thread *reuse_record(void) {
  pthread_mutex_lock(&registry_mutex);
  ddb__thread *thread = ddb__thread_first();
  while (thread != NULL && thread->id != 0) {
    thread = thread->next;
  }
  if (thread != NULL) {
    thread->id = ++last_id;
    thread->native_id = native_thread_id();
  }
  pthread_mutex_unlock(&registry_mutex);
  return thread;
}

static ddb__thread *make_record(void) {
  /* Never freed, so that the block's own address is not needed again. */
  uintptr_t block =
      (uintptr_t)ddb__alloc_zero(&ddb__heap_process, sizeof(ddb__thread) + DDB__CACHE_LINE - 1);
  if (block == 0) {
    return NULL;
  }
  uintptr_t mask = DDB__CACHE_LINE - 1;
  ddb__thread *thread = (ddb__thread *)((block + mask) & ~mask);
  thread->native_id = native_thread_id();
  pthread_mutex_lock(&registry_mutex);
  thread->id = ++last_id;
  thread->next = atomic_load_explicit(&registry_head, memory_order_relaxed);
  atomic_store_explicit(&registry_head, thread, memory_order_release);
  pthread_mutex_unlock(&registry_mutex);
  return thread;
}

static ddb__thread *attach_thread(void) {
  ddb__thread *thread = NULL;
  if (exit_key_made) {
    thread = reuse_record();
    thread = thread != NULL ? thread : make_record();
  }
  if (thread == NULL) {
    return NULL;
  }
  if (pthread_setspecific(exit_key, thread) != 0) {
    hand_back(thread);
    return NULL;
  }
  current = thread;
  return thread;
}

ddb__thread *ddb__thread_self(void) {
  ddb__thread *thread = current;
  return __builtin_expect(thread != NULL, 1) ? thread : attach_thread();
}

ddb__thread *ddb__thread_first(void) {
  return atomic_load_explicit(&registry_head, memory_order_acquire);
}

uint64_t ddb__fork_generation(void) {
  return atomic_load_explicit(&generation, memory_order_relaxed);
}
