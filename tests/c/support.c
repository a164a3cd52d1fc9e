/* SPDX-License-Identifier: Apache-2.0 */
/* support.c - see support.h. */
#include "support.h"

#include <stdatomic.h>
#include <time.h>

uint64_t support_number(const char *variable, uint64_t otherwise) {
  const char *text = getenv(variable);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t support_seed(const char *test) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t seed = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
  seed = support_number("DICTDB_SEED", seed) | 1;
  printf("%s: DICTDB_SEED=%llu\n", test, (unsigned long long)seed);
  return seed;
}

uint64_t support_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return (x * UINT64_C(2685821657736338717)) >> 11;
}

static _Atomic int64_t bytes;
static _Atomic long countdown;
static _Atomic bool failed;

/* All relaxed: the counters must not order what the library forgot to order. */
static void *allocate(void *context, size_t size) {
  (void)context;
  if (atomic_load_explicit(&countdown, memory_order_relaxed) > 0 &&
      atomic_fetch_sub_explicit(&countdown, 1, memory_order_relaxed) == 1) {
    atomic_store_explicit(&failed, true, memory_order_relaxed);
    return NULL;
  }
  void *memory = malloc(size);
  if (memory) {
    atomic_fetch_add_explicit(&bytes, (int64_t)size, memory_order_relaxed);
    memset(memory, 0xA5, size); /* nobody may count on zeros */
  }
  return memory;
}

static void release(void *context, void *memory, size_t size) {
  (void)context;
  atomic_fetch_sub_explicit(&bytes, (int64_t)size, memory_order_relaxed);
  memset(memory, 0xDD, size);
  __asm__ volatile("" : : "r"(memory) : "memory"); /* else the compiler sees that nobody reads it */
  free(memory);
}

void support_allocator_install(void) {
  static const ddb_allocator hooks = {allocate, release, NULL};
  assert_ok(ddb_allocator_set(&hooks, NULL));
}

void support_allocator_fail(long n) {
  atomic_store(&failed, false);
  atomic_store(&countdown, n);
}

bool support_allocator_failed(void) {
  atomic_store(&countdown, 0);
  return atomic_exchange(&failed, false);
}

int64_t support_allocator_bytes(void) {
  return atomic_load(&bytes);
}
