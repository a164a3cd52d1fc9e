/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock_actors.h - threads that do on a lock what a test tells them, one step at a time, so that
 * scenarios of several threads run the same way each time. For tests of base/rwlock*.c.
 *
 * An actor asserts nothing itself: the test's thread looks at the status that a step returned.
 * Waiting for an actor ends after PATIENCE_S: a step that hangs fails its test, not the program.
 */
#ifndef DDB_TESTS_LOCK_ACTORS_H
#define DDB_TESTS_LOCK_ACTORS_H

#include "base/rwlock_private.h"

#define PATIENCE_S 20
#define MS         INT64_C(1000000)
/* A timeout that ends, and is long enough for others to see the wait on a busy machine. */
#define SEEN_WAITING (1500 * MS)
#define STUCK        ((ddb_status)DDB_STATUS_COUNT) /* the step has not returned */

/* ThreadSanitizer ends a child of several threads that starts one itself. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_MAY_START_THREADS false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILD_MAY_START_THREADS false
#endif
#endif
#ifndef CHILD_MAY_START_THREADS
#define CHILD_MAY_START_THREADS true
#endif

typedef enum actor_step { READ, WRITE, ENTER, UNREAD, UNWRITE, LEAVE, STOP } actor_step;

typedef struct actor {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool busy; /* this and the rest: mutex */
  actor_step step;
  ddb_rwlock *lock;
  int64_t timeout_ns;
  ddb_status status;
  ddb_error err;
  ddb__thread *self;
} actor;

void actor_open(actor *actor);
/* Ends the thread; what it holds it keeps for ever. False when it is stuck. */
bool actor_close(actor *actor);
/* Tells it to begin; it must be idle. */
void actor_begin(actor *actor, actor_step step, ddb_rwlock *lock, int64_t timeout_ns);
/* The status of the step begun last, or STUCK. */
ddb_status actor_end(actor *actor);
/* Both, without a limit of time for the lock. */
ddb_status actor_do(actor *actor, actor_step step, ddb_rwlock *lock);
/* Until the actor waits for the lock: in its queue, and asleep. False: it does not. */
bool actor_waits(actor *actor, ddb_rwlock *lock);
/* Is anybody in its queues now? */
bool lock_is_waited_for(ddb_rwlock *lock);
/* Nobody has it, nobody waits: the fast state. */
bool lock_is_idle(ddb_rwlock *lock);
ddb_rwlock *lock_make(const char *name);
void sleep_ms(unsigned milliseconds);

#endif
