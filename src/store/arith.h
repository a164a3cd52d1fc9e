/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arith.h - arithmetic on values as Python does it, in memory of the caller's.
 *
 *   int, bool     exact, of any size up to DDB__ARITH_SIZE_MAX bytes; / gives the nearest float
 *   float         IEEE double; // and % as Python's
 *   int, float    the int becomes the nearest float
 *   Decimal       Python's default context: 28 digits, ties to even; an int counts as a Decimal
 *
 * Everything else has no result: null, missing or no number among the operands, Decimal with float,
 * division by zero, an int too large for a float, what the decimal context traps. So have operands
 * and results of more bytes or digits than the bounds below: that keeps the time for one record and
 * the memory for a query bounded.
 */
#ifndef DDB_STORE_ARITH_H
#define DDB_STORE_ARITH_H

#include "dictdb.h"
#include "store/natural.h"

#define DDB__ARITH_SIZE_MAX    4096u /* bytes of an int */
#define DDB__ARITH_DIGITS_MAX  4000u /* of a Decimal's coefficient */
#define DDB__ARITH_RESULT_SIZE (DDB__ARITH_SIZE_MAX + 8u)

/* Working memory: any, for one call at a time. */
typedef struct ddb__arith_space {
  ddb__natural a;
  ddb__natural b;
  ddb__natural c;
  char digits[DDB__NATURAL_DIGITS_MAX];
} ddb__arith_space;

/* a op b; of a NEG, b is not looked at. Null: there is no result. A result of variable size lies
 * in bytes[DDB__ARITH_RESULT_SIZE], where an operand may lie too. */
ddb_value ddb__arith(ddb_arith op, const ddb_value *a, const ddb_value *b, ddb__arith_space *space,
                     char *bytes);

/* Of two numbers of which one at least is a Decimal and none a float (arith_decimal.c). */
ddb_value ddb__arith_decimal(ddb_arith op, const ddb_value *a, const ddb_value *b,
                             ddb__arith_space *space, char *bytes);

#endif
