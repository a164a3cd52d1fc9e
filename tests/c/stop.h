/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop.h - a thread that is stopped at a point of the library (base/testing.h) while the test goes
 * on. Testing build only. One at a time.
 */
#ifndef DDB_TESTS_STOP_H
#define DDB_TESTS_STOP_H

#include <pthread.h>

#include "base/testing.h"
#include "dictdb.h"

#ifdef DDB_TESTING

typedef struct stop_thread {
  ddb_status (*run)(void *context);
  void *context;
  pthread_t thread;
} stop_thread;

/* Starts it, and returns when it has come to the point. */
void stop_thread_start(stop_thread *self, ddb__point point);
/* It may go on: the next points do not stop it. */
void stop_thread_release(stop_thread *self);
/* That, and waits for its end: what `run` returned. */
ddb_status stop_thread_finish(stop_thread *self);

#endif
#endif
