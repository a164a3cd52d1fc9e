/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c - xxHash, compiled in. */
#include "io/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(ddb__checksum), "the state fits");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(ddb__checksum), "the state is aligned");

static XXH3_state_t *state_of(const ddb__checksum *checksum) {
  return (XXH3_state_t *)(void *)checksum;
}

uint64_t ddb__checksum_of(const void *data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}

void ddb__checksum_start(ddb__checksum *checksum) {
  (void)XXH3_64bits_reset(state_of(checksum));
}

void ddb__checksum_add(ddb__checksum *checksum, const void *data, size_t size) {
  (void)XXH3_64bits_update(state_of(checksum), data, size);
}

uint64_t ddb__checksum_value(const ddb__checksum *checksum) {
  return XXH3_64bits_digest(state_of(checksum));
}

void ddb__checksum_text(const ddb__checksum *checksum, char *out) {
  static const char digits[] = "0123456789abcdef";
  uint64_t hash = ddb__checksum_value(checksum);
  for (int i = 0; i < DDB__CHECKSUM_TEXT_SIZE; i++) {
    out[i] = digits[hash >> (60 - 4 * i) & 15];
  }
}
