/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arith_decimal.c - decimal arithmetic of Python's default context: 28 digits, ties to even,
 * exponents from -999999 to 999999, traps for invalid operations, division by zero and overflow.
 *
 * An operation computes a coefficient, exactly or with a digit that stands for what is left, and an
 * exponent; finish() rounds it once. The rules are those of the General Decimal Arithmetic
 * specification, which Python follows, the choice of the result's exponent included.
 * Cost: below a microsecond for coefficients of some digits; quadratic in them.
 */
#include <stdio.h>

#include "store/arith.h"

#define PRECISION      INT64_C(28)
#define EXPONENT_LIMIT INT64_C(999999)
#define EXPONENT_TINY  (-EXPONENT_LIMIT - PRECISION + 1) /* of a subnormal's last digit */
#define EXPONENT_TOP   (EXPONENT_LIMIT - PRECISION + 1)

typedef struct operand {
  ddb__decimal_class class;
  bool negative;
  bool is_zero;
  int64_t exponent; /* of the last digit */
  int64_t digit_count;
  ddb__natural *coefficient;
} operand;

/* ---- Operands ----------------------------------------------------------------------------- */

/* False: over the bound. */
static bool read_int(const ddb_value *value, operand *out, char *digits) {
  if (value->kind == DDB_BIGINT) {
    ddb__big big = ddb__big_from(value, &out->negative);
    if (big.size > DDB__ARITH_SIZE_MAX || !ddb__natural_from_big(out->coefficient, big)) {
      return false;
    }
  } else {
    int64_t small = value->kind == DDB_BOOL ? value->as.boolean : value->as.integer;
    out->negative = small < 0;
    ddb__natural_set(out->coefficient, small < 0 ? 0 - (uint64_t)small : (uint64_t)small);
  }
  if (out->coefficient->count <= 1) {
    uint64_t low = out->coefficient->count > 0 ? out->coefficient->limbs[0] : 0;
    for (out->digit_count = 0; low > 0; low /= 10) {
      out->digit_count++;
    }
    return true;
  }
  /* Counting clobbers it. */
  out->digit_count = (int64_t)ddb__natural_to_digits(out->coefficient, digits);
  bool negative;
  return out->digit_count <= DDB__ARITH_DIGITS_MAX &&
         ddb__natural_from_big(out->coefficient, ddb__big_from(value, &negative));
}

static bool read_decimal(const ddb_value *value, operand *out) {
  ddb__decimal parsed;
  if (!ddb__decimal_parse((ddb_str){value->as.data, value->size}, &parsed)) {
    return false;
  }
  out->class = parsed.class;
  out->negative = parsed.negative;
  out->digit_count = (int64_t)parsed.digit_count;
  out->exponent = parsed.adjusted - (out->digit_count - 1);
  return parsed.class != DDB__DECIMAL_FINITE ||
         (out->digit_count <= DDB__ARITH_DIGITS_MAX &&
          ddb__natural_from_digits(out->coefficient, &parsed));
}

static bool read_operand(const ddb_value *value, operand *out, char *digits) {
  out->class = DDB__DECIMAL_FINITE;
  out->exponent = 0;
  bool fits = value->kind == DDB_DECIMAL ? read_decimal(value, out) : read_int(value, out, digits);
  out->is_zero = out->class == DDB__DECIMAL_FINITE && out->digit_count == 0;
  return fits;
}

/* Of one that is not zero. */
static int64_t adjusted(const operand *x) {
  return x->exponent + x->digit_count - 1;
}

/* ---- Results ------------------------------------------------------------------------------ */

static ddb_value text_result(char *bytes, size_t size) {
  return ddb_value_make(DDB_DECIMAL, (uint32_t)size, (uint64_t)(uintptr_t)bytes);
}

static ddb_value infinity(bool negative, char *bytes) {
  static const char text[] = {'-', 'I', 'n', 'f', 'i', 'n', 'i', 't', 'y'};
  size_t from = negative ? 0 : 1;
  memcpy(bytes, text + from, sizeof text - from);
  return text_result(bytes, sizeof text - from);
}

/* As str(Decimal) writes it; `count` digits, at least one. */
static ddb_value write_decimal(bool negative, const char *digits, int64_t count, int64_t exponent,
                               char *bytes) {
  int64_t left = exponent + count; /* digits before the point, in plain notation */
  int64_t point = exponent <= 0 && left > -6 ? left : 1;
  char *at = bytes;
  if (negative) {
    *at++ = '-';
  }
  if (point <= 0) {
    *at++ = '0';
    *at++ = '.';
    memset(at, '0', (size_t)-point);
    at += -point;
    point = count;
  }
  memcpy(at, digits, (size_t)point);
  at += point;
  if (point < count) {
    *at++ = '.';
    memcpy(at, digits + point, (size_t)(count - point));
    at += count - point;
  }
  if (exponent > 0 || left <= -6) {
    at += snprintf(at, 24, "E%+lld", (long long)(left - 1));
  }
  return text_result(bytes, (size_t)(at - bytes));
}

static ddb_value write_zero(bool negative, int64_t exponent, char *bytes) {
  exponent = exponent < EXPONENT_TINY ? EXPONENT_TINY : exponent;
  exponent = exponent > EXPONENT_LIMIT ? EXPONENT_LIMIT : exponent;
  return write_decimal(negative, "0", 1, exponent, bytes);
}

/* Keeps `kept` digits of `count`; true when that carried into one digit more, which is cut again. */
static bool round_digits(char *digits, int64_t count, int64_t kept) {
  char next = digits[kept];
  bool exact = true;
  for (int64_t i = kept + 1; i < count && exact; i++) {
    exact = digits[i] == '0';
  }
  bool odd = kept > 0 && ((digits[kept - 1] - '0') & 1) != 0;
  if (next < '5' || (next == '5' && exact && !odd)) {
    return false;
  }
  int64_t i = kept;
  while (i > 0 && digits[i - 1] == '9') {
    digits[--i] = '0';
  }
  if (i > 0) {
    digits[i - 1]++;
    return false;
  }
  /* 999 -> 1000, of which the last digit goes; of no digits, 1 is left. */
  digits[0] = '1';
  return true;
}

/* Rounds coefficient * 10^exponent to the context. Clobbers the coefficient. */
static ddb_value finish(bool negative, ddb__natural *coefficient, int64_t exponent,
                        ddb__arith_space *space, char *bytes) {
  char *digits = space->digits;
  int64_t count = (int64_t)ddb__natural_to_digits(coefficient, digits);
  if (count == 0) {
    return write_zero(negative, exponent, bytes);
  }
  int64_t least = count + exponent - PRECISION;
  if (least > EXPONENT_TOP) {
    return ddb_null();
  }
  least = least < EXPONENT_TINY ? EXPONENT_TINY : least;
  if (exponent < least) {
    int64_t kept = count + exponent - least;
    if (kept < 0) { /* far below the least subnormal */
      return write_zero(negative, least, bytes);
    }
    if (round_digits(digits, count, kept)) {
      least += kept == PRECISION;
      if (kept < PRECISION) { /* a subnormal has grown by a digit */
        digits[kept] = kept > 0 ? '0' : '1';
        kept++;
      }
    }
    if (kept == 0) {
      return write_zero(negative, least, bytes);
    }
    if (least > EXPONENT_TOP) {
      return ddb_null();
    }
    return write_decimal(negative, digits, kept, least, bytes);
  }
  return write_decimal(negative, digits, count, exponent, bytes);
}

/* Zeros appended until the exponent is `exponent`, or the precision is more than used up. */
static ddb_value finish_padded(const operand *x, int64_t exponent, ddb__arith_space *space,
                               char *bytes) {
  int64_t least = x->exponent - PRECISION - 1;
  exponent = exponent < least ? least : exponent;
  if (exponent >= x->exponent) {
    return finish(x->negative, x->coefficient, x->exponent, space, bytes);
  }
  if (!ddb__natural_scale(x->coefficient, (uint64_t)(x->exponent - exponent))) {
    return ddb_null();
  }
  return finish(x->negative, x->coefficient, exponent, space, bytes);
}

/* ---- Operations on finite operands -------------------------------------------------------- */

/* Brings both to one exponent. What is too small to show becomes a 1 that is small enough. */
static bool align(operand *a, operand *b) {
  operand *high = a->exponent >= b->exponent ? a : b;
  operand *low = high == a ? b : a;
  int64_t excess = high->digit_count - PRECISION - 2;
  int64_t exponent = high->exponent + (excess < -1 ? excess : -1);
  if (adjusted(low) < exponent) {
    ddb__natural_set(low->coefficient, 1);
    low->exponent = exponent;
  }
  bool fits = ddb__natural_scale(high->coefficient, (uint64_t)(high->exponent - low->exponent));
  high->exponent = low->exponent;
  return fits;
}

static ddb_value add(operand *a, operand *b, ddb__arith_space *space, char *bytes) {
  int64_t exponent = a->exponent < b->exponent ? a->exponent : b->exponent;
  if (a->is_zero && b->is_zero) {
    return write_zero(a->negative && b->negative, exponent, bytes);
  }
  if (a->is_zero || b->is_zero) {
    return finish_padded(a->is_zero ? b : a, exponent, space, bytes);
  }
  if (!align(a, b)) {
    return ddb_null();
  }
  if (a->negative == b->negative) {
    return ddb__natural_add(a->coefficient, b->coefficient)
               ? finish(a->negative, a->coefficient, a->exponent, space, bytes)
               : ddb_null();
  }
  int order = ddb__natural_compare(a->coefficient, b->coefficient);
  if (order == 0) {
    return write_zero(false, exponent, bytes);
  }
  operand *larger = order > 0 ? a : b;
  ddb__natural_subtract(larger->coefficient, (order > 0 ? b : a)->coefficient);
  return finish(larger->negative, larger->coefficient, larger->exponent, space, bytes);
}

static ddb_value multiply(operand *a, operand *b, ddb__arith_space *space, char *bytes) {
  bool fits = ddb__natural_multiply(&space->c, a->coefficient, b->coefficient);
  return fits ? finish(a->negative != b->negative, &space->c, a->exponent + b->exponent, space,
                       bytes)
              : ddb_null();
}

/* Takes zeros off the end while the exponent is below `ideal`. */
static int64_t strip(ddb__natural *coefficient, int64_t exponent, int64_t ideal, char *digits) {
  int64_t count = (int64_t)ddb__natural_to_digits(coefficient, digits);
  while (exponent < ideal && count > 1 && digits[count - 1] == '0') {
    count--;
    exponent++;
  }
  ddb__decimal left = {.digits = digits, .end = digits + count, .digit_count = (size_t)count};
  ddb__natural_from_digits(coefficient, &left);
  return exponent;
}

static ddb_value divide(operand *a, operand *b, ddb__arith_space *space, char *bytes) {
  bool negative = a->negative != b->negative;
  int64_t ideal = a->exponent - b->exponent;
  if (a->is_zero) {
    return write_zero(negative, ideal, bytes);
  }
  int64_t shift = b->digit_count - a->digit_count + PRECISION + 1;
  bool fits = ddb__natural_scale(shift >= 0 ? a->coefficient : b->coefficient,
                                 (uint64_t)(shift >= 0 ? shift : -shift)) &&
              ddb__natural_divide(&space->c, a->coefficient, b->coefficient);
  if (!fits) {
    return ddb_null();
  }
  int64_t exponent = ideal - shift;
  if (a->coefficient->count == 0) {
    exponent = strip(&space->c, exponent, ideal, space->digits);
  } else {
    /* One digit more says that something follows: it cannot be a tie. */
    ddb__natural_set(b->coefficient, 1);
    if (!ddb__natural_scale(&space->c, 1) || !ddb__natural_add(&space->c, b->coefficient)) {
      return ddb_null();
    }
    exponent--;
  }
  return finish(negative, &space->c, exponent, space, bytes);
}

/* Quotient towards zero, or the remainder, which has the sign of `a`. b is not zero. */
static ddb_value divide_whole(ddb_arith op, operand *a, operand *b, ddb__arith_space *space,
                              char *bytes) {
  bool negative = a->negative != b->negative;
  bool infinite = b->class == DDB__DECIMAL_INFINITE;
  int64_t ideal = infinite || a->exponent < b->exponent ? a->exponent : b->exponent;
  if (a->is_zero || infinite || adjusted(a) - adjusted(b) <= -2) {
    if (op == DDB_ARITH_FLOORDIV) {
      return write_decimal(negative, "0", 1, 0, bytes);
    }
    return a->is_zero ? write_zero(a->negative, ideal, bytes)
                      : finish_padded(a, ideal, space, bytes);
  }
  if (adjusted(a) - adjusted(b) > PRECISION) {
    return ddb_null();
  }
  operand *high = a->exponent >= b->exponent ? a : b;
  uint64_t gap = (uint64_t)(high->exponent - (high == a ? b : a)->exponent);
  if (!ddb__natural_scale(high->coefficient, gap) ||
      !ddb__natural_divide(&space->c, a->coefficient, b->coefficient)) {
    return ddb_null();
  }
  int64_t count = (int64_t)ddb__natural_to_digits(&space->c, space->digits);
  if (count > PRECISION) {
    return ddb_null();
  }
  if (op == DDB_ARITH_MOD) {
    return finish(a->negative, a->coefficient, ideal, space, bytes);
  }
  return write_decimal(negative, count > 0 ? space->digits : "0", count > 0 ? count : 1, 0, bytes);
}

/* ---- Infinities and NaNs ------------------------------------------------------------------ */

static bool is_nan(const operand *x) {
  return x->class == DDB__DECIMAL_NAN || x->class == DDB__DECIMAL_SIGNALING;
}

/* A quiet NaN as it is, with at most PRECISION digits after its name. */
static ddb_value nan_result(const ddb_value *nan, bool negative, char *bytes) {
  const char *end = (const char *)nan->as.data + nan->size;
  const char *digits = end;
  while (digits > (const char *)nan->as.data && digits[-1] >= '0' && digits[-1] <= '9') {
    digits--;
  }
  bool cut = end - digits > PRECISION;
  digits = cut ? end - PRECISION : digits;
  while (cut && digits < end && *digits == '0') {
    digits++;
  }
  char text[PRECISION + 8];
  size_t size = (size_t)(end - digits);
  size_t head = negative ? 4 : 3;
  memcpy(text, negative ? "-NaN" : "NaN", head);
  memcpy(text + head, digits, size);
  memcpy(bytes, text, head + size);
  return text_result(bytes, head + size);
}

/* One of the two at least is infinite. */
static ddb_value infinite_result(ddb_arith op, operand *a, operand *b, ddb__arith_space *space,
                                 char *bytes) {
  bool infinite_a = a->class == DDB__DECIMAL_INFINITE;
  bool infinite_b = b->class == DDB__DECIMAL_INFINITE;
  bool negative = a->negative != b->negative;
  switch (op) {
  case DDB_ARITH_ADD:
    return infinite_a && infinite_b && negative ? ddb_null()
                                                : infinity((infinite_a ? a : b)->negative, bytes);
  case DDB_ARITH_MUL:
    return a->is_zero || b->is_zero ? ddb_null() : infinity(negative, bytes);
  case DDB_ARITH_DIV:
    return infinite_a && infinite_b ? ddb_null()
           : infinite_a             ? infinity(negative, bytes)
                                    : write_zero(negative, EXPONENT_TINY, bytes);
  case DDB_ARITH_FLOORDIV:
    return infinite_a && infinite_b ? ddb_null()
           : infinite_a             ? infinity(negative, bytes)
                                    : divide_whole(op, a, b, space, bytes);
  case DDB_ARITH_MOD:
    return infinite_a ? ddb_null() : divide_whole(op, a, b, space, bytes);
  case DDB_ARITH_SUB:
  case DDB_ARITH_NEG:
    break;
  }
  return ddb_null();
}

/* ---- All ---------------------------------------------------------------------------------- */

static ddb_value negate(operand *x, ddb__arith_space *space, char *bytes) {
  if (x->class == DDB__DECIMAL_INFINITE) {
    return infinity(!x->negative, bytes);
  }
  if (x->is_zero) {
    return write_zero(false, x->exponent, bytes);
  }
  return finish(!x->negative, x->coefficient, x->exponent, space, bytes);
}

static ddb_value finite_result(ddb_arith op, operand *a, operand *b, ddb__arith_space *space,
                               char *bytes) {
  if (op == DDB_ARITH_ADD) {
    return add(a, b, space, bytes);
  }
  if (op == DDB_ARITH_MUL) {
    return multiply(a, b, space, bytes);
  }
  if (b->is_zero) {
    return ddb_null();
  }
  return op == DDB_ARITH_DIV ? divide(a, b, space, bytes) : divide_whole(op, a, b, space, bytes);
}

ddb_value ddb__arith_decimal(ddb_arith op, const ddb_value *a, const ddb_value *b,
                             ddb__arith_space *space, char *bytes) {
  operand x = {.coefficient = &space->a};
  operand y = {.coefficient = &space->b};
  if (!read_operand(a, &x, space->digits) ||
      (op != DDB_ARITH_NEG && !read_operand(b, &y, space->digits)) ||
      x.class == DDB__DECIMAL_SIGNALING || y.class == DDB__DECIMAL_SIGNALING) {
    return ddb_null();
  }
  if (is_nan(&x) || is_nan(&y)) {
    return is_nan(&x) ? nan_result(a, x.negative, bytes) : nan_result(b, y.negative, bytes);
  }
  if (op == DDB_ARITH_NEG) {
    return negate(&x, space, bytes);
  }
  if (op == DDB_ARITH_SUB) {
    y.negative = !y.negative;
    op = DDB_ARITH_ADD;
  }
  bool finite = x.class == DDB__DECIMAL_FINITE && y.class == DDB__DECIMAL_FINITE;
  return finite ? finite_result(op, &x, &y, space, bytes)
                : infinite_result(op, &x, &y, space, bytes);
}
