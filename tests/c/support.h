/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support.h - what the C tests share: seeds that are printed, random numbers, a failing allocator,
 * and short ways to make records.
 */
#ifndef DDB_TESTS_SUPPORT_H
#define DDB_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dictdb.h"

/* Built for AddressSanitizer or ThreadSanitizer: ten times slower, and no place to fork beside threads. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SUPPORT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SUPPORT_SANITIZED 1
#endif
#endif
#ifndef SUPPORT_SANITIZED
#define SUPPORT_SANITIZED 0
#endif

/* How many planted faults test_query_faults.c, test_log_crash.c, test_delta.c, test_native.c,
 * tools/fuzz.py and the twins in Python (tests/python/query_twin.py) find; test_store_faults.c finds
 * the others. */
enum {
  FAULTS_OF_QUERIES = 20,
  FAULTS_OF_LOGS = 11,
  FAULTS_OF_DELTAS = 2,
  FAULTS_OF_MARKS = 2,
  FAULTS_OF_FILES = 2,
  FAULTS_OF_FUZZING = 1,
  FAULTS_OF_TWINS = 20
};

/* The seed of this run: DICTDB_SEED or the clock; printed, so that a failure can be repeated. */
uint64_t support_seed(const char *test);
/* xorshift64*: a fixed sequence for a seed. */
uint64_t support_random(uint64_t *state);
static inline uint64_t support_below(uint64_t *state, uint64_t bound) {
  return support_random(state) % bound;
}

/* An allocator that counts bytes and can fail the n-th call from now on (once); n = 0: never.
 * Install it before the library allocates anything. */
void support_allocator_install(void);
void support_allocator_fail(long n);
/* Did the planned failure happen? Ends the plan. */
bool support_allocator_failed(void);
int64_t support_allocator_bytes(void);

#define assert_ok(expression)                                                                      \
  do {                                                                                             \
    ddb_status assert_ok_status = (expression);                                                    \
    if (assert_ok_status != DDB_OK) {                                                              \
      fail_msg("%s:%d: %s gave %s", __FILE__, __LINE__, #expression,                               \
               ddb_status_name(assert_ok_status));                                                 \
    }                                                                                              \
  } while (0)

/* Environment number, or `otherwise`. */
uint64_t support_number(const char *variable, uint64_t otherwise);

#endif
