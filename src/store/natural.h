/* SPDX-License-Identifier: Apache-2.0 */
/*
 * natural.h - whole numbers of bounded size that are computed with, in memory of the caller's.
 *
 * Limbs of 64 bits, least significant first, none of them leading zeros; zero has none. A function
 * that returns bool says whether the result fits; if not, the result is undefined. A result may be
 * the same object as an operand only where it is said. Nothing is allocated; distinct.
 */
#ifndef DDB_STORE_NATURAL_H
#define DDB_STORE_NATURAL_H

#include "dictdb.h"
#include "store/bigint.h"
#include "store/decimal.h"

/* 4 KiB, and room to shift by what a quotient needs. */
#define DDB__NATURAL_LIMBS 536
/* Decimal digits of the largest. */
#define DDB__NATURAL_DIGITS_MAX 10336

typedef struct ddb__natural {
  size_t count;
  uint64_t limbs[DDB__NATURAL_LIMBS];
} ddb__natural;

void ddb__natural_set(ddb__natural *n, uint64_t value);
void ddb__natural_copy(ddb__natural *to, const ddb__natural *from);
bool ddb__natural_from_big(ddb__natural *n, ddb__big big);
/* The coefficient of a finite decimal. */
bool ddb__natural_from_digits(ddb__natural *n, const ddb__decimal *decimal);
/* Writes little-endian bytes, no leading zero; returns how many. */
size_t ddb__natural_to_bytes(const ddb__natural *n, uint8_t *bytes);
/* Writes decimal digits, none for zero, and no NUL; returns how many. Clobbers n. */
size_t ddb__natural_to_digits(ddb__natural *n, char *digits);
size_t ddb__natural_bits(const ddb__natural *n);

int ddb__natural_compare(const ddb__natural *a, const ddb__natural *b);
bool ddb__natural_add(ddb__natural *a, const ddb__natural *b); /* a += b */
/* a -= b, of a >= b. */
void ddb__natural_subtract(ddb__natural *a, const ddb__natural *b);
bool ddb__natural_multiply(ddb__natural *result, const ddb__natural *a, const ddb__natural *b);
bool ddb__natural_scale(ddb__natural *n, uint64_t exponent); /* n *= 10 ** exponent */
bool ddb__natural_shift(ddb__natural *n, size_t bits);       /* n <<= bits */
/* quotient, and a becomes the remainder; b > 0 is as before. False when `a` has no room for a bit
 * more. */
bool ddb__natural_divide(ddb__natural *quotient, ddb__natural *a, ddb__natural *b);
/* The nearest double of n * 2^exponent, ties to even; `more`: n is the integer part of something
 * that has a fraction. Infinity when it is too large. */
double ddb__natural_to_double(const ddb__natural *n, int64_t exponent, bool more);

#endif
