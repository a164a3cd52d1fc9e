/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number_text.c - two quick ways that cover nearly all real data, and the C library for the rest.
 *
 * Writing: most floats are decimals of a few digits. When m = x * 10^k rounded is below 2^53 and
 * m / 10^k gives x back (one correctly rounded division of exact operands), then the decimal
 * "m / 10^k" reads back as x; the smallest such k has the fewest digits. Else %.15g, %.16g, %.17g:
 * the first that reads back.
 * Reading: up to 19 digits below 2^53 with a power of ten up to 22 need one exact operation. Else
 * strtod.
 * snprintf and strtod write and read the decimal point of the thread's locale: both run under the
 * "C" locale, set for this thread for the length of the call.
 */
#include "io/number_text.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_LIMIT      9007199254740992.0 /* 2^53 */
#define POWER_MAX        22
#define QUICK_DIGITS_MAX 12 /* after the point: with more, the C library is as quick */

static const double powers[POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                             1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* ---- The "C" locale ----------------------------------------------------------------------- */

static pthread_once_t plain_once = PTHREAD_ONCE_INIT;
static locale_t plain_locale;

static void make_plain_locale(void) {
  plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The C library's "C" locale is built in, so that this does not fail for want of memory; were there
 * none, the thread's own stays in force. */
static locale_t enter_plain_locale(void) {
  (void)pthread_once(&plain_once, make_plain_locale);
  return plain_locale ? uselocale(plain_locale) : (locale_t)0;
}

static void leave_plain_locale(locale_t before) {
  if (before) {
    (void)uselocale(before);
  }
}

/* ---- Writing ------------------------------------------------------------------------------ */

static size_t write_unsigned(uint64_t number, char *out) {
  char reversed[DDB__INT_TEXT_SIZE];
  size_t size = 0;
  do {
    reversed[size++] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  for (size_t i = 0; i < size; i++) {
    out[i] = reversed[size - 1 - i];
  }
  return size;
}

size_t ddb__number_text_int(int64_t number, char *out) {
  if (number >= 0) {
    return write_unsigned((uint64_t)number, out);
  }
  *out = '-';
  return 1 + write_unsigned(UINT64_C(0) - (uint64_t)number, out + 1);
}

/* m / 10^digits with exactly `digits` digits after the point (at least one). */
static size_t write_scaled(uint64_t scaled, int digits, char *out) {
  uint64_t power = 1;
  for (int i = 0; i < digits; i++) {
    power *= 10;
  }
  size_t size = write_unsigned(scaled / power, out);
  out[size++] = '.';
  if (digits == 0) {
    out[size++] = '0';
    return size;
  }
  uint64_t fraction = scaled % power;
  for (int i = digits; i-- > 0;) {
    out[size + (size_t)i] = (char)('0' + fraction % 10);
    fraction /= 10;
  }
  return size + (size_t)digits;
}

/* 0: not a short decimal. magnitude is finite and not negative. */
static size_t write_quick(double magnitude, char *out) {
  if (magnitude >= 1e15 || (magnitude < 1e-4 && magnitude > 0.0)) {
    return 0;
  }
  for (int digits = 0; digits <= QUICK_DIGITS_MAX; digits++) {
    double scaled = magnitude * powers[digits];
    if (scaled >= EXACT_LIMIT) {
      return 0;
    }
    uint64_t whole = (uint64_t)(scaled + 0.5);
    if ((double)whole / powers[digits] == magnitude) {
      return write_scaled(whole, digits, out);
    }
  }
  return 0;
}

static size_t write_shortest(double number, char *out) {
  locale_t before = enter_plain_locale();
  int size = 0;
  for (int precision = 15; precision <= 17; precision++) {
    size = snprintf(out, DDB__FLOAT_TEXT_SIZE, "%.*g", precision, number);
    if (precision == 17 || strtod(out, NULL) == number) {
      break;
    }
  }
  leave_plain_locale(before);
  size_t used = (size_t)size;
  if (!memchr(out, '.', used) && !memchr(out, 'e', used)) {
    out[used++] = '.';
    out[used++] = '0';
  }
  return used;
}

static size_t write_literal(const char *text, char *out) {
  size_t size = 0;
  for (; text[size]; size++) {
    out[size] = text[size];
  }
  return size;
}

size_t ddb__number_text_float(double number, char *out) {
  if (isnan(number)) {
    return write_literal("NaN", out);
  }
  if (isinf(number)) {
    return write_literal(number > 0 ? "Infinity" : "-Infinity", out);
  }
  bool negative = signbit(number) != 0;
  if (negative) {
    *out = '-';
  }
  size_t quick = write_quick(fabs(number), out + negative);
  return quick ? quick + negative : write_shortest(number, out);
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* A JSON number taken apart: mantissa * 10^exponent, when it has at most 19 digits. */
typedef struct decimal {
  uint64_t mantissa;
  int digits; /* of the mantissa, leading zeros not counted */
  int exponent;
  bool negative;
} decimal;

/* The exponent's digits; clamped, so that it cannot overflow. */
static int read_exponent(const char *at, const char *end) {
  bool negative = *at == '-';
  at += *at == '-' || *at == '+';
  int exponent = 0;
  for (; at < end; at++) {
    exponent = exponent < 100000 ? exponent * 10 + (*at - '0') : exponent;
  }
  return negative ? -exponent : exponent;
}

static decimal take_apart(const char *text, size_t size) {
  const char *at = text;
  const char *end = text + size;
  decimal result = {.negative = *at == '-'};
  at += result.negative;
  bool after_point = false;
  for (; at < end && *at != 'e' && *at != 'E'; at++) {
    if (*at == '.') {
      after_point = true;
      continue;
    }
    if (result.digits < 20) {
      result.mantissa = result.mantissa * 10 + (uint64_t)(*at - '0');
      result.digits += result.mantissa != 0;
      result.exponent -= after_point;
    }
  }
  if (at < end) {
    result.exponent += read_exponent(at + 1, end);
  }
  return result;
}

double ddb__number_text_to_float(const char *text, size_t size) {
  decimal parts = take_apart(text, size);
  if (parts.digits <= 19 && parts.mantissa < (UINT64_C(1) << 53) && parts.exponent >= -POWER_MAX &&
      parts.exponent <= POWER_MAX) {
    double magnitude = (double)parts.mantissa;
    magnitude = parts.exponent < 0 ? magnitude / powers[-parts.exponent]
                                   : magnitude * powers[parts.exponent];
    return parts.negative ? -magnitude : magnitude;
  }
  locale_t before = enter_plain_locale();
  double result = strtod(text, NULL);
  leave_plain_locale(before);
  return result;
}
