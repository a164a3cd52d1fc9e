/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c - one number line for bool, int, big int, float and decimal.
 *
 *   value --read--> { place, sign, magnitude: u64 | big | double | decimal }
 *   places, in order: -infinity, finite, infinity, NaN
 *
 * A comparison goes by place, then sign, then magnitude, for which each pair of forms has an exact
 * function. Nothing is ever converted to a form that cannot hold it.
 * Values are borrowed and only read; nothing is allocated. A DDB_DECIMAL that is not a number (no
 * builder lets one pass) counts as NaN.
 */
#include "store/number.h"

#include <math.h>

#include "store/bigint.h"
#include "store/decimal.h"
#include "store/hash.h"

/* Hashes of what is not finite, as CPython has them; NaN is ours. */
#define HASH_INFINITE 314159
#define HASH_NAN      UINT64_C(0x7ff8000000000001)

typedef enum number_place { BELOW_ALL, FINITE, ABOVE_ALL, NOT_A_NUMBER } number_place;
typedef enum number_form { FORM_U64, FORM_BIG, FORM_DOUBLE, FORM_DECIMAL } number_form;

typedef struct number {
  number_place place;
  int sign; /* -1, 0, 1; of finite numbers */
  number_form form;
  union {
    uint64_t u64;
    ddb__big big; /* more than 8 bytes */
    double real;  /* >= 0 */
    ddb__decimal decimal;
  } as;
} number;

/* ---- Reading ------------------------------------------------------------------------------ */

static void read_u64(number *n, uint64_t magnitude, bool negative) {
  n->form = FORM_U64;
  n->sign = magnitude == 0 ? 0 : negative ? -1 : 1;
  n->as.u64 = magnitude;
}

static void read_big(number *n, const ddb_value *a) {
  bool negative;
  ddb__big big = ddb__big_from(a, &negative);
  if (big.size <= 8) {
    read_u64(n, ddb__big_to_u64(big), negative);
    return;
  }
  n->form = FORM_BIG;
  n->sign = negative ? -1 : 1;
  n->as.big = big;
}

static void read_double(number *n, double real) {
  if (isnan(real)) {
    n->place = NOT_A_NUMBER;
  } else if (isinf(real)) {
    n->place = real < 0 ? BELOW_ALL : ABOVE_ALL;
  } else {
    n->form = FORM_DOUBLE;
    n->sign = (real > 0) - (real < 0);
    n->as.real = fabs(real);
  }
}

static void read_decimal(number *n, const ddb_value *a) {
  ddb__decimal *parsed = &n->as.decimal;
  if (!ddb__decimal_parse((ddb_str){a->as.data, a->size}, parsed)) {
    n->place = NOT_A_NUMBER;
  } else if (parsed->class == DDB__DECIMAL_INFINITE) {
    n->place = parsed->negative ? BELOW_ALL : ABOVE_ALL;
  } else if (parsed->class != DDB__DECIMAL_FINITE) {
    n->place = NOT_A_NUMBER;
  } else {
    n->form = FORM_DECIMAL;
    n->sign = parsed->digit_count == 0 ? 0 : parsed->negative ? -1 : 1;
  }
}

static void read_number(number *n, const ddb_value *a) {
  n->place = FINITE;
  n->sign = 0;
  n->form = FORM_U64;
  switch (a->kind) {
  case DDB_BOOL:
    read_u64(n, a->as.boolean, false);
    break;
  case DDB_INT:
    read_u64(n, a->as.integer < 0 ? 0 - (uint64_t)a->as.integer : (uint64_t)a->as.integer,
             a->as.integer < 0);
    break;
  case DDB_BIGINT:
    read_big(n, a);
    break;
  case DDB_FLOAT:
    read_double(n, a->as.real);
    break;
  default:
    read_decimal(n, a);
    break;
  }
}

/* ---- Comparison --------------------------------------------------------------------------- */

static int compare_u64(uint64_t a, uint64_t b) {
  return (a > b) - (a < b);
}

static int compare_u64_double(uint64_t a, double b) {
  if (b >= 0x1p64) {
    return -1;
  }
  uint64_t whole = (uint64_t)b;
  if (a != whole) {
    return a < whole ? -1 : 1;
  }
  return b > (double)whole ? -1 : 0; /* with a fraction, b is below 2^53: the difference is exact */
}

/* Both finite, of the same sign, a->form <= b->form. */
static int compare_magnitudes(const number *a, const number *b) {
  switch (a->form) {
  case FORM_U64:
    switch (b->form) {
    case FORM_U64:
      return compare_u64(a->as.u64, b->as.u64);
    case FORM_BIG:
      return -1;
    case FORM_DOUBLE:
      return compare_u64_double(a->as.u64, b->as.real);
    case FORM_DECIMAL:
      return -ddb__decimal_compare_u64(&b->as.decimal, a->as.u64);
    }
    break;
  case FORM_BIG:
    return b->form == FORM_BIG      ? ddb__big_compare(a->as.big, b->as.big)
           : b->form == FORM_DOUBLE ? ddb__big_compare_double(a->as.big, b->as.real)
                                    : ddb__big_compare_decimal(a->as.big, &b->as.decimal);
  case FORM_DOUBLE:
    return b->form == FORM_DOUBLE ? (a->as.real > b->as.real) - (a->as.real < b->as.real)
                                  : -ddb__decimal_compare_double(&b->as.decimal, a->as.real);
  case FORM_DECIMAL:
    return ddb__decimal_compare(&a->as.decimal, &b->as.decimal);
  }
  return 0;
}

static int compare_read(const number *a, const number *b) {
  if (a->place != b->place) {
    return a->place < b->place ? -1 : 1;
  }
  if (a->place != FINITE) {
    return 0;
  }
  if (a->sign != b->sign) {
    return a->sign < b->sign ? -1 : 1;
  }
  int order = a->form <= b->form ? compare_magnitudes(a, b) : -compare_magnitudes(b, a);
  return a->sign < 0 ? -order : a->sign == 0 ? 0 : order;
}

static int compare_doubles(double a, double b) {
  if (a < b) {
    return -1;
  }
  if (a > b) {
    return 1;
  }
  return a == b ? 0 : isnan(a) - isnan(b);
}

int ddb__number_compare(const ddb_value *a, const ddb_value *b) {
  if (a->kind == DDB_INT && b->kind == DDB_INT) {
    return (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
  }
  if (a->kind == DDB_FLOAT && b->kind == DDB_FLOAT) {
    return compare_doubles(a->as.real, b->as.real);
  }
  number read_a;
  number read_b;
  read_number(&read_a, a);
  read_number(&read_b, b);
  return compare_read(&read_a, &read_b);
}

bool ddb__number_is_nan(const ddb_value *a) {
  if (a->kind == DDB_FLOAT) {
    return isnan(a->as.real);
  }
  if (a->kind != DDB_DECIMAL) {
    return false;
  }
  number n;
  read_number(&n, a);
  return n.place == NOT_A_NUMBER;
}

/* ---- Hash --------------------------------------------------------------------------------- */

/* m * 2^e modulo 2^61 - 1: multiplying by a power of two rotates 61 bits. */
static uint64_t double_residue(double real) {
  int exponent;
  uint64_t mantissa = (uint64_t)ldexp(frexp(real, &exponent), 53);
  unsigned shift = (unsigned)((exponent - 53) % 61 + 61) % 61;
  uint64_t rotated =
      ((mantissa << shift) & DDB__PRIME) | (shift > 0 ? mantissa >> (61 - shift) : 0);
  return ddb__prime_reduce(rotated);
}

static uint64_t magnitude_residue(const number *n) {
  switch (n->form) {
  case FORM_U64:
    return ddb__prime_reduce(n->as.u64);
  case FORM_BIG:
    return ddb__big_residue(n->as.big);
  case FORM_DOUBLE:
    return double_residue(n->as.real);
  case FORM_DECIMAL:
    return ddb__decimal_residue(&n->as.decimal);
  }
  return 0;
}

/* Four consecutive integers keep their last two bits: in the key index they are neighbours, in one
 * cache line, so that keys in sequence cost a quarter of the misses. All other bits are mixed. */
static uint64_t finish_hash(uint64_t residue) {
  return ddb__hash_mix((residue >> 2) ^ ddb__hash_seed()) << 2 | (residue & 3);
}

uint64_t ddb__number_hash(const ddb_value *a) {
  if (a->kind == DDB_INT) {
    int64_t i = a->as.integer;
    return finish_hash(i >= 0 ? ddb__prime_reduce((uint64_t)i)
                              : 0 - ddb__prime_reduce(0 - (uint64_t)i));
  }
  number n;
  read_number(&n, a);
  switch (n.place) {
  case NOT_A_NUMBER:
    return finish_hash(HASH_NAN);
  case ABOVE_ALL:
    return finish_hash(HASH_INFINITE);
  case BELOW_ALL:
    return finish_hash(0 - (uint64_t)HASH_INFINITE);
  case FINITE:
    break;
  }
  uint64_t residue = magnitude_residue(&n);
  return finish_hash(n.sign < 0 ? 0 - residue : residue);
}

/* ---- Conversion --------------------------------------------------------------------------- */

static bool u64_to_int(uint64_t magnitude, bool negative, int64_t *out) {
  if (magnitude > (uint64_t)INT64_MAX + negative) {
    return false;
  }
  *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

bool ddb__number_to_int(const ddb_value *a, int64_t *out) {
  number n;
  read_number(&n, a);
  if (n.place != FINITE || n.form == FORM_BIG) {
    return false;
  }
  if (n.form == FORM_DECIMAL) {
    return ddb__decimal_to_int(&n.as.decimal, out);
  }
  if (n.form == FORM_DOUBLE) {
    return n.as.real < 0x1p64 && n.as.real == floor(n.as.real) &&
           u64_to_int((uint64_t)n.as.real, n.sign < 0, out);
  }
  return u64_to_int(n.as.u64, n.sign < 0, out);
}
