/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c - the seed, and XXH3 over bytes. Only a header of xxhash is used: nothing is linked.
 */
#include "store/hash.h"

#include <sys/random.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Atomic uint64_t ddb__hash_seed_word;

/* Threads that come at once make several seeds; the first one stored is everybody's. */
uint64_t ddb__hash_seed_make(void) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    seed = ddb__hash_mix((uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 30) ^
                         (uint64_t)(uintptr_t)&now);
  }
  seed |= 1;
  uint64_t expected = 0;
  if (atomic_compare_exchange_strong(&ddb__hash_seed_word, &expected, seed)) {
    return seed;
  }
  return expected;
}

uint64_t ddb__hash_bytes(const void *data, size_t size) {
  return XXH3_64bits_withSeed(size > 0 ? data : "", size, ddb__hash_seed());
}
