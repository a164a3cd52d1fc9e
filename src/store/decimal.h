/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal.h - a DDB_DECIMAL's text, read in place: no digit is copied or converted.
 *
 * A finite value is 0.d1d2d3... x 10^(adjusted + 1), with d1 != 0 unless it is zero.
 */
#ifndef DDB_STORE_DECIMAL_H
#define DDB_STORE_DECIMAL_H

#include "dictdb.h"

typedef enum ddb__decimal_class {
  DDB__DECIMAL_FINITE,
  DDB__DECIMAL_INFINITE,
  DDB__DECIMAL_NAN,
  DDB__DECIMAL_SIGNALING
} ddb__decimal_class;

typedef struct ddb__decimal {
  ddb__decimal_class class;
  bool negative;
  const char *digits; /* from the first that is not 0; may have one point inside */
  const char *end;
  size_t digit_count; /* 0: the value is zero */
  int64_t adjusted;   /* exponent of the first digit */
} ddb__decimal;

/* Room for all digits of any double. */
#define DDB__DOUBLE_DIGITS_MAX 774

/* False: not a number. */
bool ddb__decimal_parse(ddb_str text, ddb__decimal *out);
/* The next digit; 0 for ever after the last. */
static inline unsigned ddb__decimal_digit(const char **at, const char *end) {
  if (*at < end && **at == '.') {
    ++*at;
  }
  return *at < end ? (unsigned)(*(*at)++ - '0') : 0;
}

/* Magnitudes of finite values: -1, 0, 1. */
int ddb__decimal_compare(const ddb__decimal *a, const ddb__decimal *b);
int ddb__decimal_compare_u64(const ddb__decimal *a, uint64_t b);
int ddb__decimal_compare_double(const ddb__decimal *a, double b); /* b finite, >= 0 */
/* Magnitude of a finite value modulo 2^61 - 1, as CPython hashes it. */
uint64_t ddb__decimal_residue(const ddb__decimal *a);
/* Has a finite value digits behind the point that are not 0? */
bool ddb__decimal_has_fraction(const ddb__decimal *a);
/* Finite, integral and within int64? */
bool ddb__decimal_to_int(const ddb__decimal *a, int64_t *out);

/* Arithmetic modulo the prime 2^61 - 1. */
#define DDB__PRIME ((UINT64_C(1) << 61) - 1)
static inline uint64_t ddb__prime_reduce(uint64_t x) {
  x = (x & DDB__PRIME) + (x >> 61);
  return x >= DDB__PRIME ? x - DDB__PRIME : x;
}
static inline uint64_t ddb__prime_multiply(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)a * b;
  return ddb__prime_reduce(((uint64_t)product & DDB__PRIME) + (uint64_t)(product >> 61));
}

#endif
