/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - the process's seeded hash functions. The seed is random, made on first use by whichever
 * thread comes first, and constant from then on: hashes are stable within a process only.
 */
#ifndef DDB_STORE_HASH_H
#define DDB_STORE_HASH_H

#include <stdatomic.h>

#include "dictdb.h"

extern _Atomic uint64_t ddb__hash_seed_word; /* 0: not made yet */
uint64_t ddb__hash_seed_make(void);

static inline uint64_t ddb__hash_seed(void) {
  uint64_t seed = atomic_load_explicit(&ddb__hash_seed_word, memory_order_relaxed);
  return seed != 0 ? seed : ddb__hash_seed_make();
}
/* A bijection under which every bit of the input reaches every bit of the result. */
static inline uint64_t ddb__hash_mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}
uint64_t ddb__hash_bytes(const void *data, size_t size);

#endif
