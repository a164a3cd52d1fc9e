/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock_graph.c - finds cycles of threads that wait for each other, across locks.
 *
 *   thread ──waiting_on──▶ waiter ──lock──▶ ┬ its writer
 *                            │              ├ its readers, for a writer or upgrader
 *                          outer            ├ the writer queued before it, for a writer
 *                            ▼              └ the queued writer or upgrader, for a reader
 *                          waiter             while nobody writes: a soft edge
 *
 * Invariants
 *   1. Every wait enters and leaves the graph under graph_mutex, and a search holds it from start
 *      to end. A thread found waiting stays blocked during the search unless it is granted by a
 *      thread that is not blocked; along a closed cycle there is none, so a cycle found is real,
 *      although the locks are looked at one after the other.
 *   2. Every cycle has a last wait to enter, whose search sees it. What can close a cycle otherwise
 *      (a grant to a thread that is in a poll hook's inner wait) is seen when the waits are checked
 *      again at each turn of their sleep.
 *   3. A cycle with a soft edge is no deadlock: the reader of that edge is let in past the queue,
 *      and the search begins again. So only cycles of holders are refused, and each search ends.
 *   4. A thread that holds nothing and has no outer wait is in no cycle; only the threads that it
 *      waits for itself are looked at, since one may have ended without releasing.
 * Locks: graph_mutex, then one lock's mutex at a time. Held across fork, so that a child finds it
 * free.
 * Cost: none until a thread sleeps; then the number of threads that wait and of the readers they
 * wait for.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/rwlock_private.h"
#include "base/status.h"

static pthread_mutex_t graph_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_mark; /* graph_mutex; as the threads' graph_ members */

/* A breadth-first search: threads to look at are linked by graph_next. */
typedef struct search {
  ddb__thread *start;
  ddb__thread *first;
  ddb__thread *last;
  uint64_t mark;
  bool deep;
  /* The closing edge, once found: `tail` waits by `tail_waiter` for start, or for `gone`. */
  ddb__thread *tail;
  ddb__waiter *tail_waiter;
  ddb__thread *gone;
  bool tail_soft;
} search;

static void fork_prepare(void) {
  pthread_mutex_lock(&graph_mutex);
}

static void fork_done(void) {
  pthread_mutex_unlock(&graph_mutex);
}

__attribute__((constructor)) static void set_up(void) {
  (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

/* ---- The search ---- */

static void push_thread(search *run, ddb__thread *thread) {
  thread->graph_mark = run->mark;
  thread->graph_next = NULL;
  if (run->last != NULL) {
    run->last->graph_next = thread;
  } else {
    run->first = thread;
  }
  run->last = thread;
}

static void close_cycle(search *run, ddb__waiter *waiter, bool soft, ddb__thread *gone) {
  run->tail = waiter->thread;
  run->tail_waiter = waiter;
  run->tail_soft = soft;
  run->gone = gone;
}

/* The edge waiter->thread ──▶ blocker. True when it closes a cycle. */
static bool follow_edge(search *run, ddb__waiter *waiter, ddb__thread *blocker, bool soft) {
  if (blocker == waiter->thread && !soft) {
    return false;
  }
  if (blocker == run->start) {
    close_cycle(run, waiter, soft, NULL);
    return true;
  }
  if (waiter->thread == run->start && atomic_load_explicit(&blocker->ended, memory_order_acquire)) {
    close_cycle(run, waiter, false, blocker);
    return true;
  }
  if (run->deep && blocker->graph_mark != run->mark) {
    blocker->graph_parent = waiter->thread;
    blocker->graph_waiter = waiter;
    blocker->graph_soft = soft;
    push_thread(run, blocker);
  }
  return false;
}

static bool follow_readers_locked(search *run, ddb__waiter *waiter) {
  for (ddb__hold *hold = waiter->lock->readers; hold != NULL; hold = hold->next) {
    if (follow_edge(run, waiter, hold->thread, false)) {
      return true;
    }
  }
  return false;
}

static bool follow_reader_wait_locked(search *run, ddb__waiter *waiter) {
  ddb_rwlock *lock = waiter->lock;
  const ddb__waiter *queued = lock->upgrader != NULL ? lock->upgrader : lock->write_waiters.first;
  return queued != NULL && follow_edge(run, waiter, queued->thread, true);
}

static bool follow_waiter_locked(search *run, ddb__waiter *waiter) {
  /* Pairs with the fast way in, which takes no mutex. */
  uintptr_t word = atomic_load_explicit(&waiter->lock->word, memory_order_acquire);
  ddb__thread *writer = ddb__word_writer(word);
  if (writer != NULL) {
    return follow_edge(run, waiter, writer, false);
  }
  if (waiter->kind == DDB__WAIT_READ) {
    return follow_reader_wait_locked(run, waiter);
  }
  if (follow_readers_locked(run, waiter)) {
    return true;
  }
  const ddb__waiter *before = waiter->kind == DDB__WAIT_WRITE ? waiter->previous : NULL;
  return before != NULL && follow_edge(run, waiter, before->thread, false);
}

static bool follow_waiter(search *run, ddb__waiter *waiter) {
  pthread_mutex_lock(&waiter->lock->mutex);
  bool waits = !atomic_load_explicit(&waiter->granted, memory_order_relaxed);
  bool closed = waits && follow_waiter_locked(run, waiter);
  pthread_mutex_unlock(&waiter->lock->mutex);
  return closed;
}

static bool find_cycle(search *run) {
  push_thread(run, run->start);
  for (ddb__thread *thread = run->first; thread != NULL; thread = thread->graph_next) {
    for (ddb__waiter *waiter = thread->waiting_on; waiter != NULL; waiter = waiter->outer) {
      if (follow_waiter(run, waiter)) {
        return true;
      }
    }
  }
  return false;
}

/* ---- What to do about a cycle ---- */

static void admit_reader(ddb__waiter *waiter) {
  ddb_rwlock *lock = waiter->lock;
  ddb__rwlock_lock(lock);
  uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
  if (!atomic_load_explicit(&waiter->granted, memory_order_relaxed) &&
      ddb__word_writer(word) == NULL) {
    ddb__rwlock_admit_locked(waiter);
  }
  ddb__rwlock_unlock(lock);
}

/* The reader of a soft edge of the cycle, NULL when there is none. */
static ddb__waiter *soft_reader(const search *run) {
  if (run->tail_soft) {
    return run->tail_waiter;
  }
  const ddb__thread *thread = run->tail;
  while (thread != run->start && !thread->graph_soft) {
    thread = thread->graph_parent;
  }
  return thread != run->start ? thread->graph_waiter : NULL;
}

/* Appends to a text of fixed size; what does not fit is left out. */
__attribute__((format(printf, 4, 5))) static void append(char *text, size_t capacity, size_t *size,
                                                         const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int added = vsnprintf(text + *size, capacity - *size, format, arguments);
  va_end(arguments);
  size_t rest = capacity - 1 - *size;
  *size += added < 0 ? 0 : (size_t)added < rest ? (size_t)added : rest;
}

static const char *side_of(const ddb__waiter *waiter) {
  assert(waiter);
  return waiter->kind == DDB__WAIT_READ ? "read" : "write";
}

/* Turns the parent links into a list from the start to the tail, by graph_next. */
static void link_forwards(const search *run) {
  run->tail->graph_next = NULL;
  for (ddb__thread *thread = run->tail; thread != run->start; thread = thread->graph_parent) {
    thread->graph_parent->graph_next = thread;
  }
}

static ddb_status refuse_cycle(const search *run, ddb_error *err) {
  char text[sizeof err->message];
  size_t size = 0;
  append(text, sizeof text, &size, "deadlock: thread %lld", (long long)run->start->native_id);
  link_forwards(run);
  const char *name = NULL;
  for (const ddb__thread *thread = run->start; thread != NULL; thread = thread->graph_next) {
    const ddb__thread *blocker = thread->graph_next;
    const ddb__waiter *waiter = blocker != NULL ? blocker->graph_waiter : run->tail_waiter;
    blocker = blocker != NULL ? blocker : run->gone != NULL ? run->gone : run->start;
    append(text, sizeof text, &size, "%s waits for the %s side of '%s', held by thread %lld",
           thread == run->start ? "" : ", which", side_of(waiter), waiter->lock->name,
           (long long)blocker->native_id);
    name = name != NULL ? name : waiter->lock->name;
  }
  append(text, sizeof text, &size, "%s", run->gone != NULL ? ", which has ended" : "");
  (void)ddb__fail(err, DDB_ERR_DEADLOCK, "%s", text);
  ddb__error_text(err->table, sizeof err->table, ddb_str_from(name));
  return DDB_ERR_DEADLOCK;
}

static bool relevant_locked(const ddb__waiter *waiter) {
  return waiter->outer != NULL ||
         atomic_load_explicit(&waiter->thread->lock_count, memory_order_relaxed) != 0;
}

/* A wait that is refused leaves the graph at once: no other wait shall be refused for the same
 * cycle while this one is on its way out. */
static ddb_status check_locked(ddb__waiter *waiter, ddb_error *err) {
  for (;;) {
    search run = {.start = waiter->thread, .mark = ++last_mark, .deep = relevant_locked(waiter)};
    if (!find_cycle(&run)) {
      return DDB_OK;
    }
    ddb__waiter *reader = soft_reader(&run);
    if (reader == NULL) {
      waiter->thread->waiting_on = waiter->outer;
      return refuse_cycle(&run, err);
    }
    admit_reader(reader);
  }
}

/* ---- Entering and leaving ---- */

ddb_status ddb__graph_enter(ddb__waiter *waiter, ddb_error *err) {
  pthread_mutex_lock(&graph_mutex);
  waiter->outer = waiter->thread->waiting_on;
  waiter->thread->waiting_on = waiter;
  ddb_status status = check_locked(waiter, err);
  pthread_mutex_unlock(&graph_mutex);
  return status;
}

ddb_status ddb__graph_check(ddb__waiter *waiter, ddb_error *err) {
  pthread_mutex_lock(&graph_mutex);
  ddb_status status = check_locked(waiter, err);
  pthread_mutex_unlock(&graph_mutex);
  return status;
}

/* Also after a refusal, when it has left already. */
void ddb__graph_leave(ddb__waiter *waiter) {
  pthread_mutex_lock(&graph_mutex);
  waiter->thread->waiting_on = waiter->outer;
  pthread_mutex_unlock(&graph_mutex);
}

bool ddb__graph_relevant(const ddb__waiter *waiter) {
  return relevant_locked(waiter);
}
