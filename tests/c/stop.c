/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - see stop.h. */
#include "stop.h"

#ifdef DDB_TESTING

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

static _Thread_local bool stoppable; /* this thread is the one, and has not been stopped yet */
static _Atomic int stop_at;
static _Atomic bool stopped;
static _Atomic bool go_on;

static void stop_hook(void *context, ddb__point point) {
  (void)context;
  if (!stoppable || (int)point != atomic_load(&stop_at)) {
    return;
  }
  stoppable = false;
  atomic_store(&stopped, true);
  while (!atomic_load(&go_on)) {
    usleep(200);
  }
}

static void *run_stoppable(void *context) {
  stop_thread *self = context;
  stoppable = true;
  return (void *)(uintptr_t)self->run(self->context);
}

void stop_thread_start(stop_thread *self, ddb__point point) {
  atomic_store(&stop_at, (int)point);
  atomic_store(&stopped, false);
  atomic_store(&go_on, false);
  ddb__test_hook_set(stop_hook, NULL);
  (void)pthread_create(&self->thread, NULL, run_stoppable, self);
  while (!atomic_load(&stopped)) {
    usleep(200);
  }
}

void stop_thread_release(stop_thread *self) {
  (void)self;
  atomic_store(&go_on, true);
}

ddb_status stop_thread_finish(stop_thread *self) {
  void *status = NULL;
  atomic_store(&go_on, true);
  (void)pthread_join(self->thread, &status);
  ddb__test_hook_set(NULL, NULL);
  return (ddb_status)(uintptr_t)status;
}

#else

/* ISO C wants a translation unit to declare something. */
typedef int stop_is_for_the_testing_build;

#endif
