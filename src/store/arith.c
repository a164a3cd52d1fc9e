/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arith.c - arithmetic on ints and floats; arith_decimal.c has the decimals.
 *
 * Two ints go by the processor's overflow checks; only what overflows, or is big, goes by limbs.
 * Cost: some nanoseconds; for big ints quadratic, below a millisecond at the bound.
 */
#include "store/arith.h"

#include <math.h>

#include "base/testing.h"
#include "store/value.h"

#define EXACT_MAX (INT64_C(1) << 53) /* doubles hold every int up to here */

static bool is_int(const ddb_value *value) {
  return value->kind == DDB_BOOL || value->kind == DDB_INT || value->kind == DDB_BIGINT;
}

static bool is_small(const ddb_value *value) {
  return value->kind == DDB_BOOL || value->kind == DDB_INT;
}

static int64_t small_of(const ddb_value *value) {
  return value->kind == DDB_BOOL ? value->as.boolean : value->as.integer;
}

/* ---- Floats ------------------------------------------------------------------------------- */

static double float_floor_divide(double a, double b) {
  double remainder = fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) {
    quotient -= 1;
  }
  if (quotient == 0) {
    return copysign(0.0, a / b);
  }
  double whole = floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

static double float_modulo(double a, double b) {
  double remainder = fmod(a, b);
  if (remainder == 0) {
    return copysign(0.0, b);
  }
  return (b < 0) != (remainder < 0) ? remainder + b : remainder;
}

static ddb_value float_result(ddb_arith op, double a, double b) {
  switch (op) {
  case DDB_ARITH_ADD:
    return ddb_float(a + b);
  case DDB_ARITH_SUB:
    return ddb_float(a - b);
  case DDB_ARITH_MUL:
    return ddb_float(a * b);
  case DDB_ARITH_DIV:
    return b == 0 ? ddb_null() : ddb_float(a / b);
  case DDB_ARITH_FLOORDIV:
    return b == 0 ? ddb_null() : ddb_float(float_floor_divide(a, b));
  case DDB_ARITH_MOD:
    return b == 0 ? ddb_null() : ddb_float(float_modulo(a, b));
  case DDB_ARITH_NEG:
    return ddb_float(-a);
  }
  return ddb_null();
}

/* ---- Small ints --------------------------------------------------------------------------- */

/* False: it overflows, or needs more care. */
static bool small_result(ddb_arith op, int64_t a, int64_t b, ddb_value *out) {
  int64_t result = 0;
  bool divides = b != 0 && !(a == INT64_MIN && b == -1);
  switch (op) {
  case DDB_ARITH_ADD:
    *out = __builtin_add_overflow(a, b, &result) && !DDB__FAULT(ARITH_WRAPS) ? ddb_null()
                                                                             : ddb_int(result);
    return out->kind == DDB_INT;
  case DDB_ARITH_SUB:
    *out = __builtin_sub_overflow(a, b, &result) ? ddb_null() : ddb_int(result);
    return out->kind == DDB_INT;
  case DDB_ARITH_MUL:
    *out = __builtin_mul_overflow(a, b, &result) ? ddb_null() : ddb_int(result);
    return out->kind == DDB_INT;
  case DDB_ARITH_NEG:
    *out = ddb_int(a == INT64_MIN ? 0 : -a);
    return a != INT64_MIN;
  case DDB_ARITH_DIV:
    divides = divides && a >= -EXACT_MAX && a <= EXACT_MAX && b >= -EXACT_MAX && b <= EXACT_MAX;
    *out = divides ? ddb_float((double)a / (double)b) : ddb_null();
    return divides;
  case DDB_ARITH_FLOORDIV:
    *out = divides
               ? ddb_int(a / b - (a % b != 0 && (a < 0) != (b < 0) && !DDB__FAULT(FLOOR_TRUNCATES)))
               : ddb_null();
    return divides;
  case DDB_ARITH_MOD:
    *out = divides ? ddb_int(a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0)) : ddb_null();
    return divides;
  }
  return false;
}

/* ---- Ints of any size --------------------------------------------------------------------- */

/* False: over the bound. */
static bool read_int(const ddb_value *value, ddb__natural *magnitude, bool *negative) {
  if (value->kind == DDB_BIGINT) {
    ddb__big big = ddb__big_from(value, negative);
    return big.size <= DDB__ARITH_SIZE_MAX && ddb__natural_from_big(magnitude, big);
  }
  int64_t small = small_of(value);
  *negative = small < 0;
  ddb__natural_set(magnitude, small < 0 ? 0 - (uint64_t)small : (uint64_t)small);
  return true;
}

static ddb_value int_result(const ddb__natural *magnitude, bool negative, char *bytes) {
  uint64_t low = magnitude->count > 0 ? magnitude->limbs[0] : 0;
  if (magnitude->count <= 1 && low <= (uint64_t)INT64_MAX + negative) {
    return ddb_int(negative ? (int64_t)(0 - low) : (int64_t)low);
  }
  if ((ddb__natural_bits(magnitude) + 7) / 8 > DDB__ARITH_SIZE_MAX) {
    return ddb_null();
  }
  bytes[0] = negative;
  size_t size = 1 + ddb__natural_to_bytes(magnitude, (uint8_t *)bytes + 1);
  return ddb_value_make(DDB_BIGINT, (uint32_t)size, (uint64_t)(uintptr_t)bytes);
}

/* space->a and ->b, with their signs. */
static ddb_value big_sum(ddb__arith_space *space, bool negative_a, bool negative_b, char *bytes) {
  if (negative_a == negative_b) {
    bool fits = ddb__natural_add(&space->a, &space->b);
    return fits ? int_result(&space->a, negative_a, bytes) : ddb_null();
  }
  if (ddb__natural_compare(&space->a, &space->b) >= 0) {
    ddb__natural_subtract(&space->a, &space->b);
    return int_result(&space->a, negative_a, bytes);
  }
  ddb__natural_subtract(&space->b, &space->a);
  return int_result(&space->b, negative_b, bytes);
}

/* Rounds to minus infinity, as Python does. */
static ddb_value big_floor(ddb_arith op, ddb__arith_space *space, bool negative_a, bool negative_b,
                           char *bytes) {
  if (!ddb__natural_divide(&space->c, &space->a, &space->b)) {
    return ddb_null();
  }
  bool up = space->a.count > 0 && negative_a != negative_b;
  if (op == DDB_ARITH_FLOORDIV) {
    ddb__natural_set(&space->b, 1);
    bool fits = !up || ddb__natural_add(&space->c, &space->b);
    return fits ? int_result(&space->c, negative_a != negative_b, bytes) : ddb_null();
  }
  if (up) {
    ddb__natural_subtract(&space->b, &space->a);
    return int_result(&space->b, negative_b, bytes);
  }
  return int_result(&space->a, negative_b, bytes);
}

/* The nearest double: of a quotient of 64 or 65 bits, and whether there is a remainder. */
static ddb_value big_quotient(ddb__arith_space *space, bool negative) {
  int64_t excess = (int64_t)ddb__natural_bits(&space->a) - (int64_t)ddb__natural_bits(&space->b);
  if (space->a.count == 0 || excess < -1080) {
    return ddb_float(negative ? -0.0 : 0.0);
  }
  int64_t shift = 64 - excess;
  if (excess > 1030 ||
      !(shift > 0 ? ddb__natural_shift(&space->a, (size_t)shift)
                  : ddb__natural_shift(&space->b, (size_t)-shift)) ||
      !ddb__natural_divide(&space->c, &space->a, &space->b)) {
    return ddb_null();
  }
  double real = ddb__natural_to_double(&space->c, -shift, space->a.count > 0);
  return isinf(real) ? ddb_null() : ddb_float(negative ? -real : real);
}

static __attribute__((noinline)) ddb_value big_result(ddb_arith op, const ddb_value *a,
                                                      const ddb_value *b, ddb__arith_space *space,
                                                      char *bytes) {
  bool negative_a;
  bool negative_b = false;
  if (!read_int(a, &space->a, &negative_a) ||
      (op != DDB_ARITH_NEG && !read_int(b, &space->b, &negative_b))) {
    return ddb_null();
  }
  switch (op) {
  case DDB_ARITH_ADD:
    return big_sum(space, negative_a, negative_b, bytes);
  case DDB_ARITH_SUB:
    return big_sum(space, negative_a, !negative_b, bytes);
  case DDB_ARITH_MUL: {
    bool fits = ddb__natural_multiply(&space->c, &space->a, &space->b);
    return fits ? int_result(&space->c, negative_a != negative_b, bytes) : ddb_null();
  }
  case DDB_ARITH_NEG:
    return int_result(&space->a, !negative_a, bytes);
  case DDB_ARITH_DIV:
  case DDB_ARITH_FLOORDIV:
  case DDB_ARITH_MOD:
    break;
  }
  if (space->b.count == 0) {
    return ddb_null();
  }
  return op == DDB_ARITH_DIV ? big_quotient(space, negative_a != negative_b)
                             : big_floor(op, space, negative_a, negative_b, bytes);
}

/* ---- All ---------------------------------------------------------------------------------- */

/* The nearest double of an int or a float; false: none is near. */
static bool read_float(const ddb_value *value, ddb__arith_space *space, double *out) {
  if (value->kind == DDB_FLOAT) {
    *out = value->as.real;
    return true;
  }
  if (is_small(value)) {
    *out = (double)small_of(value);
    return true;
  }
  bool negative;
  if (!read_int(value, &space->a, &negative)) {
    return false;
  }
  double real = ddb__natural_to_double(&space->a, 0, false);
  *out = negative ? -real : real;
  return !isinf(real);
}

ddb_value ddb__arith(ddb_arith op, const ddb_value *a, const ddb_value *b, ddb__arith_space *space,
                     char *bytes) {
  b = op == DDB_ARITH_NEG ? a : b;
  ddb_value result;
  if (is_small(a) && is_small(b) && small_result(op, small_of(a), small_of(b), &result)) {
    return result;
  }
  if (!ddb__kind_is_number(a->kind) || !ddb__kind_is_number(b->kind)) {
    return DDB__FAULT(ARITH_NULL_IS_ZERO) && op == DDB_ARITH_ADD && b->kind == DDB_INT ? *b
                                                                                       : ddb_null();
  }
  if (is_int(a) && is_int(b)) {
    return big_result(op, a, b, space, bytes);
  }
  if (a->kind != DDB_DECIMAL && b->kind != DDB_DECIMAL) {
    double real_a;
    double real_b;
    bool both = read_float(a, space, &real_a) && read_float(b, space, &real_b);
    return both ? float_result(op, real_a, real_b) : ddb_null();
  }
  if (a->kind == DDB_FLOAT || b->kind == DDB_FLOAT) {
    return ddb_null();
  }
  return ddb__arith_decimal(op, a, b, space, bytes);
}
