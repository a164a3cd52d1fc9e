/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wide.h - an integer of any size that sums are gathered in: little-endian limbs of 64 bits in
 * two's complement, changed in place. count 0: zero. Memory: the process heap.
 * Thread-safety: distinct. Functions that return bool return false when there is no memory, and
 * leave the number as it was.
 */
#ifndef DDB_QUERY_WIDE_H
#define DDB_QUERY_WIDE_H

#include "dictdb.h"

__extension__ typedef __int128 ddb__int128;
__extension__ typedef unsigned __int128 ddb__uint128;

typedef struct ddb__wide {
  uint64_t *limbs;
  size_t count;
  size_t capacity;
} ddb__wide;

void ddb__wide_fini(ddb__wide *wide);
/* wide += or -= the magnitude in `count` limbs. */
bool ddb__wide_add(ddb__wide *wide, const uint64_t *magnitude, size_t count, bool negative);
bool ddb__wide_add_int(ddb__wide *wide, ddb__int128 number);
/* The same with a magnitude of bytes, little-endian. */
bool ddb__wide_add_bytes(ddb__wide *wide, const uint8_t *bytes, size_t size, bool negative);
bool ddb__wide_add_wide(ddb__wide *wide, const ddb__wide *other);
/* wide = wide * factor + add, in magnitude: the sign stays. */
bool ddb__wide_scale(ddb__wide *wide, uint64_t factor, uint64_t add);
bool ddb__wide_scale_ten(ddb__wide *wide, uint64_t exponent); /* by 10^exponent */
static inline bool ddb__wide_negative(const ddb__wide *wide) {
  return wide->count > 0 && wide->limbs[wide->count - 1] >> 63 != 0;
}
/* The magnitude, into room for `count` limbs; returns how many of them count. */
size_t ddb__wide_magnitude(const ddb__wide *wide, uint64_t *out);
/* wide / divisor as Python's int / int: rounded once, half to even; infinite when too large. */
bool ddb__wide_ratio(const ddb__wide *wide, uint64_t divisor, double *out);
/* limbs /= divisor in place; returns the remainder. */
uint64_t ddb__wide_divide(uint64_t *limbs, size_t count, uint64_t divisor);

#endif
