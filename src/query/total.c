/* SPDX-License-Identifier: Apache-2.0 */
/*
 * total.c - see total.h. A Decimal sum is coefficient x 10^exponent, the exponent being the least
 * that came: as exact as the addends, and written with as many digits as Python's exact sum.
 */
#include "query/total.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/status.h"
#include "store/bigint.h"
#include "store/decimal.h"
#include "store/value.h"

#define SPREAD_MAX     20000 /* digits between the exponents of Decimals that are added */
#define MEAN_DIGITS    28
#define MICROS_PER_DAY INT64_C(86400000000)
#define DAYS_MAX       999999999
#define TEN_DIGITS     19u
#define TEN_POWER      UINT64_C(10000000000000000000)
#define FLOAT_DIGITS   800 /* more than any float has */

struct ddb__total_large {
  ddb__wide integer;
  ddb__wide coefficient;
  int64_t exponent;
  bool has_decimal; /* a finite one: the exponent counts */
  bool nan;
  bool infinity;
  bool negative_infinity;
};

void ddb__total_fini(ddb__total *total) {
  if (total->large) {
    ddb__wide_fini(&total->large->integer);
    ddb__wide_fini(&total->large->coefficient);
    ddb__free(&ddb__heap_process, total->large, sizeof *total->large);
    total->large = NULL;
  }
}

static ddb_status large_get(ddb__total *total, ddb_error *err) {
  if (!total->large) {
    total->large = ddb__alloc_zero(&ddb__heap_process, sizeof *total->large);
  }
  return total->large ? DDB_OK : ddb__fail_memory(err, sizeof *total->large);
}

static ddb_status fail_wide(const ddb__wide *wide, ddb_error *err) {
  return ddb__fail_memory(err, (wide->count + 2) * 2 * sizeof(uint64_t));
}

/* ---- Decimals ----------------------------------------------------------------------------- */

static int64_t exponent_of(const ddb__decimal *decimal) {
  return decimal->adjusted - ((int64_t)decimal->digit_count - 1);
}

/* The digits as an integer. */
static bool read_coefficient(const ddb__decimal *decimal, ddb__wide *out) {
  const char *at = decimal->digits;
  uint64_t chunk = 0;
  uint64_t factor = 1;
  bool fits = true;
  for (size_t i = 0; i < decimal->digit_count && fits; i++) {
    chunk = chunk * 10 + ddb__decimal_digit(&at, decimal->end);
    factor *= 10;
    if (factor == TEN_POWER || i + 1 == decimal->digit_count) {
      fits = ddb__wide_scale(out, factor, chunk);
      chunk = 0;
      factor = 1;
    }
  }
  return fits;
}

static ddb_status fail_spread(ddb_error *err) {
  return ddb__fail(err, DDB_ERR_LIMIT, "Decimals that are more than %d digits apart", SPREAD_MAX);
}

/* Brings the sum and `coefficient` to one exponent. */
static ddb_status align(ddb__total_large *large, ddb__wide *coefficient, int64_t exponent,
                        ddb_error *err) {
  if (!large->has_decimal) {
    large->has_decimal = true;
    large->exponent = exponent;
  }
  bool finer = exponent < large->exponent;
  uint64_t digits = finer ? (uint64_t)large->exponent - (uint64_t)exponent
                          : (uint64_t)exponent - (uint64_t)large->exponent;
  ddb__wide *scaled = finer ? &large->coefficient : coefficient;
  if (scaled->count > 0) {
    if (digits > SPREAD_MAX) {
      return fail_spread(err);
    }
    if (!ddb__wide_scale_ten(scaled, digits)) {
      return fail_wide(scaled, err);
    }
  }
  large->exponent = finer ? exponent : large->exponent;
  return DDB_OK;
}

static ddb_status add_finite(ddb__total_large *large, const ddb__decimal *decimal, ddb_error *err) {
  ddb__wide coefficient = {0};
  ddb_status status = DDB_OK;
  if (!read_coefficient(decimal, &coefficient)) {
    status = fail_wide(&coefficient, err);
  }
  if (!status) {
    status = align(large, &coefficient, exponent_of(decimal), err);
  }
  if (!status && !ddb__wide_add(&large->coefficient, coefficient.limbs, coefficient.count,
                                decimal->negative)) {
    status = fail_wide(&large->coefficient, err);
  }
  ddb__wide_fini(&coefficient);
  return status;
}

static ddb_status add_decimal(ddb__total *total, const ddb_value *value, ddb_error *err) {
  ddb__decimal decimal;
  ddb_status status = large_get(total, err);
  if (status) {
    return status;
  }
  if (!ddb__decimal_parse((ddb_str){value->as.data, value->size}, &decimal)) {
    decimal.class = DDB__DECIMAL_NAN;
  }
  if (decimal.class == DDB__DECIMAL_FINITE) {
    status = add_finite(total->large, &decimal, err);
  } else if (decimal.class == DDB__DECIMAL_INFINITE) {
    *(decimal.negative ? &total->large->negative_infinity : &total->large->infinity) = true;
  } else {
    total->large->nan = true;
  }
  total->seen |= DDB__TOTAL_DECIMAL;
  total->count += status == DDB_OK;
  return status;
}

/* ---- Other kinds -------------------------------------------------------------------------- */

static ddb_status add_big(ddb__total *total, const ddb_value *value, ddb_error *err) {
  ddb_status status = large_get(total, err);
  if (status) {
    return status;
  }
  bool negative;
  ddb__big big = ddb__big_from(value, &negative);
  if (!ddb__wide_add_bytes(&total->large->integer, big.bytes, big.size, negative)) {
    return fail_wide(&total->large->integer, err);
  }
  total->seen |= DDB__TOTAL_INT;
  total->count++;
  return DDB_OK;
}

static void add_duration(ddb__total *total, const ddb_value *value) {
  ddb_duration duration;
  memcpy(&duration, value->as.data, sizeof duration);
  total->whole += (ddb__int128)duration.days * MICROS_PER_DAY + duration.micros;
  total->seen |= DDB__TOTAL_DURATION;
  total->count++;
}

ddb_status ddb__total_add(ddb__total *total, const ddb_value *value, ddb_error *err) {
  switch (value->kind) {
  case DDB_BOOL:
    ddb__total_add_int(total, value->as.boolean);
    return DDB_OK;
  case DDB_INT:
    ddb__total_add_int(total, value->as.integer);
    return DDB_OK;
  case DDB_FLOAT:
    ddb__total_add_float(total, value->as.real);
    return DDB_OK;
  case DDB_BIGINT:
    return add_big(total, value, err);
  case DDB_DECIMAL:
    return add_decimal(total, value, err);
  case DDB_TIMEDELTA:
    add_duration(total, value);
    return DDB_OK;
  default:
    return ddb__fail(err, DDB_ERR_TYPE, "a %s cannot be added",
                     ddb_kind_name((ddb_kind)value->kind));
  }
}

/* ---- Bringing the kinds together ---------------------------------------------------------- */

static ddb_status check_mix(const ddb__total *total, ddb_error *err) {
  bool duration = total->seen & DDB__TOTAL_DURATION;
  if (duration && total->seen != DDB__TOTAL_DURATION) {
    return ddb__fail(err, DDB_ERR_TYPE, "a timedelta and a number cannot be added");
  }
  if ((total->seen & DDB__TOTAL_FLOAT) && (total->seen & DDB__TOTAL_DECIMAL)) {
    return ddb__fail(err, DDB_ERR_TYPE, "a float and a Decimal cannot be added");
  }
  return DDB_OK;
}

/* All integers. */
static bool gather_int(const ddb__total *total, ddb__wide *out) {
  return ddb__wide_add_int(out, total->whole) &&
         (!total->large || ddb__wide_add_wide(out, &total->large->integer));
}

/* The floats, and the integers as the float nearest to their sum. */
static ddb_status gather_float(const ddb__total *total, double *out, ddb_error *err) {
  ddb__wide whole = {0};
  double rounded = 0;
  bool fits = gather_int(total, &whole) && ddb__wide_ratio(&whole, 1, &rounded);
  ddb__wide_fini(&whole);
  if (!fits) {
    return fail_wide(&whole, err);
  }
  if (isinf(rounded)) {
    return ddb__fail(err, DDB_ERR_LIMIT, "an int is too large for a float");
  }
  *out = isfinite(total->lost) ? total->real + total->lost : total->real;
  *out += rounded;
  return DDB_OK;
}

/* A Decimal that is not finite; false: all were. */
static bool special(const ddb__total *total, ddb_value *out) {
  const ddb__total_large *large = total->large;
  const char *text = large->nan || (large->infinity && large->negative_infinity) ? "NaN"
                     : large->infinity                                           ? "Infinity"
                     : large->negative_infinity                                  ? "-Infinity"
                                                                                 : NULL;
  if (text) {
    *out = (ddb_value){.kind = DDB_DECIMAL, .size = (uint32_t)strlen(text), .as.data = text};
  }
  return text != NULL;
}

/* ---- Digits ------------------------------------------------------------------------------- */

/* A number's decimal digits and where its point is: 0.d1d2... is never written. */
typedef struct digits {
  char *text; /* [capacity] */
  size_t capacity;
  size_t count; /* > 0; "0" for zero */
  int64_t exponent;
  bool negative;
} digits;

static void digits_fini(digits *d) {
  ddb__free(&ddb__heap_process, d->text, d->capacity);
}

/* Of all numbers but floats, exactly. */
static ddb_status digits_init(digits *d, const ddb__total *total, ddb_error *err) {
  const ddb__total_large *large = total->large;
  ddb__wide sum = {0};
  *d = (digits){.exponent = large->has_decimal ? large->exponent : 0};
  bool fits = gather_int(total, &sum);
  if (fits && sum.count > 0 && d->exponent < 0) {
    if (d->exponent < -SPREAD_MAX) {
      ddb__wide_fini(&sum);
      return fail_spread(err);
    }
    fits = ddb__wide_scale_ten(&sum, (uint64_t)-d->exponent);
  }
  ddb__wide rest = {0};
  if (fits && d->exponent > 0 && (total->seen & DDB__TOTAL_INT)) {
    if (d->exponent > SPREAD_MAX) {
      ddb__wide_fini(&sum);
      return fail_spread(err);
    }
    fits = ddb__wide_add_wide(&rest, &large->coefficient) &&
           ddb__wide_scale_ten(&rest, (uint64_t)d->exponent) && ddb__wide_add_wide(&sum, &rest);
    d->exponent = 0;
  } else if (fits) {
    fits = ddb__wide_add_wide(&sum, &large->coefficient);
  }
  ddb__wide_fini(&rest);
  size_t limb_bytes = (sum.count + 1) * sizeof(uint64_t);
  uint64_t *limbs = fits ? ddb__alloc(&ddb__heap_process, limb_bytes) : NULL;
  d->capacity = (sum.count + 1) * (TEN_DIGITS + 1);
  d->text = limbs ? ddb__alloc(&ddb__heap_process, d->capacity) : NULL;
  if (d->text) {
    d->negative = ddb__wide_negative(&sum);
    size_t count = ddb__wide_magnitude(&sum, limbs);
    char *at = d->text + d->capacity;
    while (count > 0) {
      uint64_t chunk = ddb__wide_divide(limbs, count, TEN_POWER);
      count -= limbs[count - 1] == 0;
      for (unsigned i = 0; i < TEN_DIGITS && (chunk > 0 || count > 0); i++, chunk /= 10) {
        *--at = (char)('0' + chunk % 10);
      }
    }
    if (at == d->text + d->capacity) {
      *--at = '0';
    }
    d->count = (size_t)(d->text + d->capacity - at);
    memmove(d->text, at, d->count);
  }
  ddb__free(&ddb__heap_process, limbs, limb_bytes);
  ddb__wide_fini(&sum);
  return d->text ? DDB_OK : ddb__fail_memory(err, d->capacity + limb_bytes);
}

/* As Python's str(Decimal). */
static ddb_status digits_out(const digits *d, ddb__arena *arena, ddb_value *out, ddb_error *err) {
  int64_t left = d->exponent + (int64_t)d->count;
  bool plain = d->exponent <= 0 && left > -6;
  int64_t point = plain ? left : 1;
  size_t zeros = point <= 0 ? (size_t)-point : 0;
  size_t room = d->count + zeros + 32;
  char *text = ddb__arena_take(arena, room);
  if (!text) {
    return ddb__fail_memory(err, room);
  }
  char *at = text;
  if (d->negative) {
    *at++ = '-';
  }
  if (point <= 0) {
    *at++ = '0';
    *at++ = '.';
    memset(at, '0', zeros);
    at += zeros;
  }
  for (size_t i = 0; i < d->count; i++) {
    if (i > 0 && (int64_t)i == point) {
      *at++ = '.';
    }
    *at++ = d->text[i];
  }
  if (!plain && left != point) {
    at += snprintf(at, 24, "E%+lld", (long long)(left - point));
  }
  *out = (ddb_value){.kind = DDB_DECIMAL, .size = (uint32_t)(at - text), .as.data = text};
  return DDB_OK;
}

/* Adds 1 to the last digit. */
static void digits_round_up(digits *d) {
  size_t i = d->count;
  while (i > 0 && d->text[i - 1] == '9') {
    d->text[--i] = '0';
  }
  if (i > 0) {
    d->text[i - 1]++;
    return;
  }
  /* 99...9: the digits become 100...0 with one zero less. */
  d->text[0] = '1';
  d->exponent++;
}

/* digits / divisor, to MEAN_DIGITS digits, half to even. Exact results have the exponent of the
 * dividend where that is enough. */
static void digits_divide(digits *d, uint64_t divisor) {
  int64_t ideal = d->exponent;
  char quotient[MEAN_DIGITS + 1]; /* one more, to round by */
  size_t count = 0;
  size_t taken = 0;
  ddb__uint128 rest = 0;
  for (; count <= MEAN_DIGITS && (taken < d->count || rest != 0); taken++) {
    rest = rest * 10 + (taken < d->count ? (unsigned)(d->text[taken] - '0') : 0);
    unsigned digit = (unsigned)(rest / divisor);
    rest %= divisor;
    if (count > 0 || digit > 0) {
      quotient[count++] = (char)('0' + digit);
    }
  }
  bool beyond = rest != 0;
  for (size_t i = taken; i < d->count; i++) {
    beyond = beyond || d->text[i] != '0';
  }
  d->exponent += (int64_t)d->count - (int64_t)taken;
  if (count == 0) {
    quotient[count++] = '0';
    d->exponent = ideal;
  }
  bool round = count > MEAN_DIGITS;
  d->count = count - round;
  assert(d->text);
  memcpy(d->text, quotient, d->count);
  if (round) {
    d->exponent++;
    char last = quotient[MEAN_DIGITS];
    bool odd = (quotient[MEAN_DIGITS - 1] - '0') % 2 != 0;
    if (last > '5' || (last == '5' && (beyond || odd))) {
      digits_round_up(d);
    }
    return;
  }
  while (d->count > 1 && d->exponent < ideal && d->text[d->count - 1] == '0') {
    d->count--;
    d->exponent++;
  }
}

static ddb_status decimal_out(const ddb__total *total, bool mean, ddb__arena *arena, ddb_value *out,
                              ddb_error *err) {
  if (special(total, out)) {
    return DDB_OK;
  }
  digits d;
  ddb_status status = digits_init(&d, total, err);
  if (!status && mean) {
    digits_divide(&d, total->count);
  }
  if (!status) {
    status = digits_out(&d, arena, out, err);
  }
  digits_fini(&d);
  return status;
}

/* ---- Results ------------------------------------------------------------------------------ */

static ddb_status int_out(const ddb__total *total, ddb__arena *arena, ddb_value *out,
                          ddb_error *err) {
  if (!total->large && total->whole >= INT64_MIN && total->whole <= INT64_MAX) {
    *out = ddb_int((int64_t)total->whole);
    return DDB_OK;
  }
  ddb__wide sum = {0};
  if (!gather_int(total, &sum)) {
    ddb__wide_fini(&sum);
    return fail_wide(&sum, err);
  }
  bool negative = ddb__wide_negative(&sum);
  size_t size = 1 + sum.count * sizeof(uint64_t);
  uint64_t *limbs = ddb__arena_take(arena, (sum.count + 1) * sizeof *limbs);
  uint8_t *bytes = limbs ? ddb__arena_take(arena, size) : NULL;
  if (bytes) {
    size_t count = ddb__wide_magnitude(&sum, limbs);
    if (count == 0 || (count == 1 && limbs[0] <= (uint64_t)INT64_MAX + negative)) {
      uint64_t magnitude = count == 0 ? 0 : limbs[0];
      *out = ddb_int(negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude);
    } else {
      bytes[0] = negative;
      size = 1;
      for (size_t i = 0; i < count * 8; i++) {
        bytes[1 + i] = (uint8_t)(limbs[i / 8] >> (i % 8 * 8));
        size = bytes[1 + i] != 0 ? i + 2 : size;
      }
      *out = (ddb_value){.kind = DDB_BIGINT, .size = (uint32_t)size, .as.data = bytes};
    }
  }
  ddb__wide_fini(&sum);
  return bytes ? DDB_OK : ddb__fail_memory(err, size);
}

static ddb_status duration_out(ddb__int128 micros, ddb__arena *arena, ddb_value *out,
                               ddb_error *err) {
  ddb__int128 days = micros / MICROS_PER_DAY;
  ddb__int128 rest = micros % MICROS_PER_DAY;
  if (rest < 0) {
    rest += MICROS_PER_DAY;
    days--;
  }
  if (days > DAYS_MAX || days < -DAYS_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "the sum is too large for a timedelta");
  }
  ddb_duration *duration = ddb__arena_take(arena, sizeof *duration);
  if (!duration) {
    return ddb__fail_memory(err, sizeof *duration);
  }
  *duration = (ddb_duration){(int64_t)days, (int64_t)rest};
  *out = (ddb_value){.kind = DDB_TIMEDELTA, .size = sizeof *duration, .as.data = duration};
  return DDB_OK;
}

/* Half to even, as Python's timedelta / int. */
static ddb__int128 divide_even(ddb__int128 dividend, uint64_t divisor) {
  ddb__int128 by = (ddb__int128)divisor;
  ddb__int128 quotient = dividend / by;
  ddb__int128 rest = dividend % by;
  if (rest < 0) {
    rest += by;
    quotient--;
  }
  bool up = rest * 2 > by || (rest * 2 == by && quotient % 2 != 0);
  return quotient + up;
}

ddb_status ddb__total_sum(const ddb__total *total, ddb__arena *arena, ddb_value *out,
                          ddb_error *err) {
  assert(total->count > 0);
  ddb_status status = check_mix(total, err);
  if (status) {
    return status;
  }
  if (total->seen & DDB__TOTAL_DURATION) {
    return duration_out(total->whole, arena, out, err);
  }
  if (total->seen & DDB__TOTAL_DECIMAL) {
    return decimal_out(total, false, arena, out, err);
  }
  if (total->seen & DDB__TOTAL_FLOAT) {
    double real = 0;
    status = gather_float(total, &real, err);
    *out = ddb_float(real);
    return status;
  }
  return int_out(total, arena, out, err);
}

static ddb_status mean_of_ints(const ddb__total *total, ddb_value *out, ddb_error *err) {
  ddb__wide sum = {0};
  double real = 0;
  bool fits = gather_int(total, &sum) && ddb__wide_ratio(&sum, total->count, &real);
  ddb__wide_fini(&sum);
  if (!fits) {
    return fail_wide(&sum, err);
  }
  if (isinf(real)) {
    return ddb__fail(err, DDB_ERR_LIMIT, "the result is too large for a float");
  }
  *out = ddb_float(real);
  return DDB_OK;
}

ddb_status ddb__total_mean(const ddb__total *total, ddb__arena *arena, ddb_value *out,
                           ddb_error *err) {
  assert(total->count > 0);
  ddb_status status = check_mix(total, err);
  if (status) {
    return status;
  }
  if (total->seen & DDB__TOTAL_DURATION) {
    return duration_out(divide_even(total->whole, total->count), arena, out, err);
  }
  if (total->seen & DDB__TOTAL_DECIMAL) {
    return decimal_out(total, true, arena, out, err);
  }
  if (total->seen & DDB__TOTAL_FLOAT) {
    double real = 0;
    status = gather_float(total, &real, err);
    *out = ddb_float(real / (double)total->count);
    return status;
  }
  return mean_of_ints(total, out, err);
}

/* ---- One number --------------------------------------------------------------------------- */

/* Digits without a point, so that the locale plays no part. */
static double decimal_float(const ddb_value *value) {
  ddb__decimal decimal;
  if (!ddb__decimal_parse((ddb_str){value->as.data, value->size}, &decimal) ||
      decimal.class == DDB__DECIMAL_NAN || decimal.class == DDB__DECIMAL_SIGNALING) {
    return NAN;
  }
  double sign = decimal.negative ? -1.0 : 1.0;
  if (decimal.class == DDB__DECIMAL_INFINITE) {
    return sign * HUGE_VAL;
  }
  char text[FLOAT_DIGITS + 32];
  size_t count = 0;
  const char *at = decimal.digits;
  for (; count < decimal.digit_count && count < FLOAT_DIGITS; count++) {
    text[count] = (char)('0' + ddb__decimal_digit(&at, decimal.end));
  }
  if (count == 0) {
    return 0;
  }
  int64_t exponent = decimal.adjusted - ((int64_t)count - 1);
  exponent = exponent > 100000 ? 100000 : exponent < -100000 ? -100000 : exponent;
  (void)snprintf(text + count, 32, "e%lld", (long long)exponent);
  return sign * strtod(text, NULL);
}

ddb_status ddb__total_float(const ddb_value *number, double *out, ddb_error *err) {
  switch (number->kind) {
  case DDB_BOOL:
    *out = number->as.boolean;
    return DDB_OK;
  case DDB_INT:
    *out = (double)number->as.integer;
    return DDB_OK;
  case DDB_FLOAT:
    *out = number->as.real;
    return DDB_OK;
  case DDB_DECIMAL:
    *out = decimal_float(number);
    return DDB_OK;
  case DDB_BIGINT: {
    ddb__total total = {0};
    ddb_status status = ddb__total_add(&total, number, err);
    status = status ? status : gather_float(&total, out, err);
    ddb__total_fini(&total);
    return status;
  }
  default:
    return ddb__fail(err, DDB_ERR_TYPE, "a %s is not a number",
                     ddb_kind_name((ddb_kind)number->kind));
  }
}
