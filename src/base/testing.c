/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing.c - points, yields and planted faults of the testing build.
 *
 * Everything is a relaxed atomic but the hook, whose store publishes its context. A test sets the
 * hook while no thread is at a point. Locks: none, since points are reached under any lock.
 */
#include "base/testing.h"

#ifdef DDB_TESTING

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

typedef void (*point_hook)(void *context, ddb__point point);

static _Atomic int planted_fault;
static _Atomic(point_hook) hook_function;
static _Atomic(void *) hook_context;
static _Atomic unsigned sleep_ms[DDB__POINT_COUNT];
static _Atomic unsigned yield_period;
static _Atomic uint64_t yield_state;

bool ddb__fault_planted(ddb__fault fault) {
  return atomic_load_explicit(&planted_fault, memory_order_relaxed) == (int)fault;
}

void ddb__test_fault_set(ddb__fault fault) {
  atomic_store_explicit(&planted_fault, (int)fault, memory_order_relaxed);
}

int ddb__test_fault_find(const char *name) {
  static const char *const names[DDB__FAULT_COUNT] = {[DDB__FAULT_NONE] = "NONE",
#define DDB_X(fault, text) [DDB__FAULT_##fault] = #fault,
                                                      DDB__FAULT_MAP(DDB_X)
#undef DDB_X
  };
  for (int i = 0; name != NULL && i < DDB__FAULT_COUNT; i++) {
    if (strcmp(names[i], name) == 0) {
      return i;
    }
  }
  return -1;
}

void ddb__test_hook_set(void (*hook)(void *context, ddb__point point), void *context) {
  atomic_store_explicit(&hook_function, NULL, memory_order_release);
  atomic_store_explicit(&hook_context, context, memory_order_relaxed);
  atomic_store_explicit(&hook_function, hook, memory_order_release);
}

void ddb__test_sleep_set(ddb__point point, unsigned milliseconds) {
  if ((unsigned)point < DDB__POINT_COUNT) {
    atomic_store_explicit(&sleep_ms[point], milliseconds, memory_order_relaxed);
  }
}

void ddb__test_yield_set(unsigned period, uint64_t seed) {
  atomic_store_explicit(&yield_state, seed, memory_order_relaxed);
  atomic_store_explicit(&yield_period, period, memory_order_relaxed);
}

/* splitmix64 of a counter that all threads share: the sequence depends on the seed alone. */
static uint64_t next_random(void) {
  const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
  uint64_t mixed = atomic_fetch_add_explicit(&yield_state, step, memory_order_relaxed) + step;
  mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
  return mixed ^ (mixed >> 31);
}

static void sleep_for(unsigned milliseconds) {
  struct timespec left = {.tv_sec = (time_t)(milliseconds / 1000),
                          .tv_nsec = (long)(milliseconds % 1000) * 1000000L};
  while (nanosleep(&left, &left) != 0) {
  }
}

void ddb__point_reached(ddb__point point) {
  unsigned period = atomic_load_explicit(&yield_period, memory_order_relaxed);
  if (period != 0 && next_random() % period == 0) {
    (void)sched_yield();
  }
  unsigned milliseconds = atomic_load_explicit(&sleep_ms[point], memory_order_relaxed);
  if (milliseconds != 0) {
    sleep_for(milliseconds);
  }
  point_hook hook = atomic_load_explicit(&hook_function, memory_order_acquire);
  if (hook != NULL) {
    hook(atomic_load_explicit(&hook_context, memory_order_relaxed), point);
  }
}

#endif
