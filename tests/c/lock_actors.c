/* SPDX-License-Identifier: Apache-2.0 */
/* lock_actors.c - see lock_actors.h. */
#include "lock_actors.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static ddb_status do_step(actor_step step, ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err) {
  switch (step) {
  case READ:
    return ddb_rwlock_acquire_read(lock, timeout_ns, err);
  case WRITE:
    return ddb_rwlock_acquire_write(lock, timeout_ns, err);
  case ENTER:
    return ddb__rwlock_enter_write(lock, timeout_ns, err);
  case UNREAD:
    return ddb_rwlock_release_read(lock, err);
  case UNWRITE:
    return ddb_rwlock_release_write(lock, err);
  case LEAVE:
    ddb__rwlock_leave_write(lock);
    return DDB_OK;
  case STOP:
    break;
  }
  return DDB_OK;
}

static void *run_actor(void *argument) {
  actor *actor = argument;
  pthread_mutex_lock(&actor->mutex);
  actor->self = ddb__thread_self();
  do {
    while (!actor->busy) {
      pthread_cond_wait(&actor->changed, &actor->mutex);
    }
    ddb_error err = {.status = DDB_OK};
    pthread_mutex_unlock(&actor->mutex);
    ddb_status status = do_step(actor->step, actor->lock, actor->timeout_ns, &err);
    pthread_mutex_lock(&actor->mutex);
    actor->status = status;
    actor->err = err;
    actor->busy = false;
    pthread_cond_broadcast(&actor->changed);
  } while (actor->step != STOP);
  pthread_mutex_unlock(&actor->mutex);
  return NULL;
}

void actor_open(actor *actor) {
  memset(actor, 0, sizeof *actor);
  pthread_mutex_init(&actor->mutex, NULL);
  pthread_cond_init(&actor->changed, NULL);
  if (pthread_create(&actor->thread, NULL, run_actor, actor) != 0) {
    fprintf(stderr, "no thread\n");
    exit(2);
  }
}

bool actor_close(actor *actor) {
  if (actor_end(actor) == STUCK) {
    return false;
  }
  actor_begin(actor, STOP, NULL, 0);
  pthread_join(actor->thread, NULL);
  pthread_cond_destroy(&actor->changed);
  pthread_mutex_destroy(&actor->mutex);
  return true;
}

void actor_begin(actor *actor, actor_step step, ddb_rwlock *lock, int64_t timeout_ns) {
  pthread_mutex_lock(&actor->mutex);
  actor->step = step;
  actor->lock = lock;
  actor->timeout_ns = timeout_ns;
  actor->busy = true;
  pthread_cond_broadcast(&actor->changed);
  pthread_mutex_unlock(&actor->mutex);
}

ddb_status actor_end(actor *actor) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  pthread_mutex_lock(&actor->mutex);
  int result = 0;
  while (actor->busy && result == 0) {
    result = pthread_cond_timedwait(&actor->changed, &actor->mutex, &until);
  }
  ddb_status status = actor->busy ? STUCK : actor->status;
  pthread_mutex_unlock(&actor->mutex);
  return status;
}

ddb_status actor_do(actor *actor, actor_step step, ddb_rwlock *lock) {
  actor_begin(actor, step, lock, DDB_WAIT_FOREVER);
  return actor_end(actor);
}

static bool is_queued_locked(const ddb_rwlock *lock, const ddb__thread *thread) {
  if (lock->upgrader != NULL && lock->upgrader->thread == thread) {
    return true;
  }
  const ddb__waiter *firsts[] = {lock->read_waiters.first, lock->write_waiters.first};
  for (int i = 0; i < 2; i++) {
    for (const ddb__waiter *waiter = firsts[i]; waiter != NULL; waiter = waiter->next) {
      if (waiter->thread == thread) {
        return true;
      }
    }
  }
  return false;
}

bool actor_waits(actor *actor, ddb_rwlock *lock) {
  for (int i = 0; i < PATIENCE_S * 500; i++) {
    pthread_mutex_lock(&actor->mutex);
    const ddb__thread *thread = actor->self;
    pthread_mutex_unlock(&actor->mutex);
    pthread_mutex_lock(&lock->mutex);
    bool queued = thread != NULL && is_queued_locked(lock, thread);
    pthread_mutex_unlock(&lock->mutex);
    sleep_ms(2); /* past its spinning */
    if (queued) {
      return true;
    }
  }
  return false;
}

bool lock_is_waited_for(ddb_rwlock *lock) {
  pthread_mutex_lock(&lock->mutex);
  bool queued = lock->read_waiters.first != NULL || lock->write_waiters.first != NULL;
  pthread_mutex_unlock(&lock->mutex);
  return queued;
}

bool lock_is_idle(ddb_rwlock *lock) {
  return atomic_load(&lock->word) == 0 && lock->readers == NULL &&
         lock->read_waiters.first == NULL && lock->write_waiters.first == NULL &&
         lock->upgrader == NULL && lock->nested_count == 0 && lock->public_count == 0;
}

ddb_rwlock *lock_make(const char *name) {
  ddb_rwlock *lock = NULL;
  if (ddb_rwlock_new(ddb_str_from(name), &lock, NULL) != DDB_OK) {
    fprintf(stderr, "no lock\n");
    exit(2);
  }
  return lock;
}

void sleep_ms(unsigned milliseconds) {
  struct timespec left = {.tv_sec = (time_t)(milliseconds / 1000),
                          .tv_nsec = (long)(milliseconds % 1000) * 1000000L};
  while (nanosleep(&left, &left) != 0) {
  }
}
