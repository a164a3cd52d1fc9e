/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_key.c - see index_key.h. The encoding of a list is that of its values, one after the other,
 * of which nothing beyond the 8th byte is made.
 *
 *   null        00
 *   number      class and exponent to the base 128 (1 or 2 bytes), then digits of 7 bits, each with
 *               a bit "more follow" below it; all complemented when negative. One number line for
 *               all kinds: 5, 5.0, Decimal("5.00") are the same bytes, and 5 < 5.5 < 6.
 *   str, bytes  class, the bytes with 00 as 00 ff, then 00
 *   temporal    class, a biased number of fixed size
 *   uuid        class, 16 bytes
 *   containers  class only: their items are compared in the records
 *
 * No encoding of one value with a class behind it is the beginning of another's, so that lists are
 * ordered by their values one after the other, and two lists that are the same but for zeros at the
 * end are the same.
 * Pure functions; nothing is allocated. Cost: some nanoseconds; a decimal some hundreds.
 */
#include "store/index_key.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/bigint.h"
#include "store/decimal.h"
#include "store/value.h"

enum {
  KEY_SIZE = 8,
  CODE_NULL = 0x00,
  CODE_ZERO = 0x30, /* of numbers; negative ones lie below by as much as positive ones above */
  NUMBER_SMALL = 0x01,
  NUMBER_PLAIN = 0x06, /* plus the exponent, from EXPONENT_MIN to EXPONENT_MAX */
  NUMBER_LARGE = 0x13,
  NUMBER_INFINITE = 0x14,
  NUMBER_NAN = 0x15,
  EXPONENT_MIN = -4,
  EXPONENT_MAX = 12,
  SMALL_BIAS = 200, /* the exponent of a double is -153 at least, 147 at most */
  CODE_STR = 0x60,
  CODE_BYTES,
  CODE_DATE,
  CODE_DATETIME_NAIVE,
  CODE_DATETIME_AWARE,
  CODE_TIME_NAIVE,
  CODE_TIME_AWARE,
  CODE_TIMEDELTA,
  CODE_LIST,
  CODE_DICT,
  CODE_SET,
  CODE_TUPLE,
  CODE_UUID
};
_Static_assert(NUMBER_SMALL < NUMBER_PLAIN + EXPONENT_MIN &&
                   NUMBER_PLAIN + EXPONENT_MAX < NUMBER_LARGE,
               "the codes of numbers overlap");

typedef struct writer {
  uint64_t bits;
  unsigned size; /* bytes written, KEY_SIZE at most */
  bool lost;     /* something that is not zero did not fit */
} writer;

static void put(writer *w, uint8_t byte) {
  if (w->size < KEY_SIZE) {
    w->size++;
    w->bits |= (uint64_t)byte << (8 * (KEY_SIZE - w->size));
  } else {
    w->lost |= byte != 0;
  }
}

/* The rest of the encoding is not known: it may be anything. */
static void give_up(writer *w) {
  w->size = KEY_SIZE;
  w->lost = true;
}

/* ---- Numbers ------------------------------------------------------------------------------ */

/* |number| = fraction * 2^-64 * 128^exponent, and a little more when `tail`. */
typedef struct magnitude {
  uint64_t fraction; /* 0: zero; else its first digit to the base 128 is not 0 */
  int exponent;
  bool tail;
} magnitude;

/* top: the highest 64 bits of a magnitude of bit_count bits, its first bit set. */
static magnitude magnitude_from(uint64_t top, int64_t bit_count, bool tail) {
  magnitude m;
  int64_t exponent = bit_count > 0 ? (bit_count + 6) / 7 : -(-bit_count / 7);
  unsigned pad = (unsigned)(7 * exponent - bit_count);
  m.exponent = (int)exponent;
  m.fraction = top >> pad;
  m.tail = tail || m.fraction << pad != top;
  return m;
}

static magnitude magnitude_of_u64(uint64_t number) {
  if (number == 0) {
    return (magnitude){0};
  }
  int zeros = __builtin_clzll(number);
  return magnitude_from(number << zeros, 64 - zeros, false);
}

/* real: finite, >= 0. */
static magnitude magnitude_of_double(double real) {
  int exponent;
  double mantissa = frexp(real, &exponent);
  return real > 0 ? magnitude_from((uint64_t)(mantissa * 0x1p64), exponent, false) : (magnitude){0};
}

static void put_exponent(writer *w, int exponent) {
  if (exponent < EXPONENT_MIN) {
    put(w, CODE_ZERO + NUMBER_SMALL);
    put(w, (uint8_t)(exponent + SMALL_BIAS));
  } else if (exponent <= EXPONENT_MAX) {
    put(w, (uint8_t)(CODE_ZERO + NUMBER_PLAIN + exponent));
  } else {
    put(w, CODE_ZERO + NUMBER_LARGE);
    put(w, (uint8_t)exponent);
  }
}

static void put_magnitude(writer *w, magnitude m) {
  if (m.fraction == 0) {
    put(w, CODE_ZERO);
    return;
  }
  put_exponent(w, m.exponent);
  while (m.fraction != 0 || (m.tail && w->size < KEY_SIZE)) {
    uint8_t digit = (uint8_t)(m.fraction >> 57);
    m.fraction <<= 7;
    put(w, (uint8_t)(digit << 1 | (m.fraction != 0 || m.tail)));
  }
  w->lost |= m.tail;
}

/* Below every double but zero, or above every one: by class only. */
static void put_extreme(writer *w, bool large) {
  put(w, large ? CODE_ZERO + NUMBER_LARGE : CODE_ZERO + NUMBER_SMALL);
  while (w->size < KEY_SIZE) {
    put(w, large ? 0xff : 0x00);
  }
  w->lost = true;
}

/* Negative numbers are written complemented about zero: the first byte is mirrored, those that
 * follow are flipped. */
static void put_negative(writer *w, writer positive) {
  for (unsigned i = 0; i < positive.size; i++) {
    uint8_t byte = (uint8_t)(positive.bits >> (8 * (KEY_SIZE - 1 - i)));
    put(w, i == 0 ? (uint8_t)(2 * CODE_ZERO - byte) : (uint8_t)~byte);
  }
  w->lost |= positive.lost;
}

static void put_signed(writer *w, magnitude m, bool negative) {
  if (!negative || m.fraction == 0) {
    put_magnitude(w, m);
    return;
  }
  writer positive = {0};
  put_magnitude(&positive, m);
  put_negative(w, positive);
}

static void put_signed_extreme(writer *w, bool large, bool negative) {
  writer positive = {0};
  put_extreme(&positive, large);
  if (negative) {
    put_negative(w, positive);
  } else {
    for (unsigned i = 0; i < KEY_SIZE; i++) {
      put(w, (uint8_t)(positive.bits >> (8 * (KEY_SIZE - 1 - i))));
    }
    w->lost = true;
  }
}

static void put_infinite(writer *w, bool negative) {
  put(w, negative ? CODE_ZERO - NUMBER_INFINITE : CODE_ZERO + NUMBER_INFINITE);
}

static void put_double(writer *w, double real) {
  if (isnan(real)) {
    put(w, CODE_ZERO + NUMBER_NAN);
  } else if (isinf(real)) {
    put_infinite(w, real < 0);
  } else {
    put_signed(w, magnitude_of_double(fabs(real)), real < 0);
  }
}

static void put_int(writer *w, int64_t integer) {
  uint64_t number = integer < 0 ? (uint64_t)0 - (uint64_t)integer : (uint64_t)integer;
  put_signed(w, magnitude_of_u64(number), integer < 0);
}

static void put_bigint(writer *w, const ddb_value *value) {
  bool negative;
  ddb__big big = ddb__big_from(value, &negative);
  if (big.size <= 8) {
    put_signed(w, magnitude_of_u64(ddb__big_to_u64(big)), negative);
    return;
  }
  if (big.size > 128 || ddb__big_compare_double(big, DBL_MAX) > 0) {
    put_signed_extreme(w, true, negative);
    return;
  }
  ddb__big high = {big.bytes + big.size - 8, 8};
  uint64_t top = ddb__big_to_u64(high);
  int zeros = __builtin_clzll(top);
  bool tail = false;
  for (size_t i = 0; i + 9 < big.size; i++) {
    tail |= big.bytes[i] != 0;
  }
  uint8_t next = big.bytes[big.size - 9];
  if (zeros > 0) {
    top = top << zeros | (uint64_t)next >> (8 - zeros);
    next = (uint8_t)(next << zeros);
  }
  put_signed(w, magnitude_from(top, 8 * (int64_t)big.size - zeros, tail || next != 0), negative);
}

/* The greatest double that is not above the magnitude of a finite decimal. */
static double floor_double(const ddb__decimal *decimal) {
  enum { DIGITS = 19 };
  if (decimal->adjusted > 400 || decimal->adjusted < -400) {
    return decimal->adjusted > 0 ? (double)INFINITY : 0.0;
  }
  char text[48];
  const char *at = decimal->digits;
  size_t count = 0;
  for (; count < DIGITS && count < decimal->digit_count; count++) {
    text[count] = (char)('0' + ddb__decimal_digit(&at, decimal->end));
  }
  /* No point: the text means the same in every locale. */
  (void)snprintf(text + count, sizeof text - count, "e%d",
                 (int)(decimal->adjusted - (int64_t)count + 1));
  double real = strtod(text, NULL);
  real = real > DBL_MAX ? DBL_MAX : real;
  while (real > 0 && ddb__decimal_compare_double(decimal, real) < 0) {
    real = nextafter(real, 0.0);
  }
  while (real < DBL_MAX &&
         ddb__decimal_compare_double(decimal, nextafter(real, (double)INFINITY)) >= 0) {
    real = nextafter(real, (double)INFINITY);
  }
  bool above = real == DBL_MAX && ddb__decimal_compare_double(decimal, real) > 0;
  return above ? (double)INFINITY : real;
}

static void put_decimal(writer *w, const ddb_value *value) {
  ddb__decimal decimal;
  bool read = ddb__decimal_parse((ddb_str){value->as.data, value->size}, &decimal);
  if (!read || decimal.class == DDB__DECIMAL_NAN || decimal.class == DDB__DECIMAL_SIGNALING) {
    put(w, CODE_ZERO + NUMBER_NAN);
    return;
  }
  if (decimal.class == DDB__DECIMAL_INFINITE) {
    put_infinite(w, decimal.negative);
    return;
  }
  double real = decimal.digit_count > 0 ? floor_double(&decimal) : 0.0;
  if (decimal.digit_count > 0 && (real == 0 || isinf(real))) {
    put_signed_extreme(w, real != 0, decimal.negative);
    return;
  }
  magnitude m = magnitude_of_double(real);
  m.tail = m.fraction != 0 && ddb__decimal_compare_double(&decimal, real) != 0;
  put_signed(w, m, decimal.negative);
}

/* ---- The others --------------------------------------------------------------------------- */

static void put_text(writer *w, const ddb_value *value, bool open) {
  const uint8_t *bytes = value->as.data;
  put(w, value->kind == DDB_STR_KIND ? CODE_STR : CODE_BYTES);
  for (uint32_t i = 0; i < value->size && !w->lost; i++) {
    put(w, bytes[i]);
    if (bytes[i] == 0) {
      put(w, 0xff);
    }
  }
  if (!open) {
    put(w, 0);
  }
}

/* number + 2^(bits - 1) in so many bits, from the left of the next whole bytes. */
static void put_biased(writer *w, int64_t number, unsigned bits) {
  int64_t half = INT64_C(1) << (bits - 1);
  bool within = number >= -half && number < half;
  uint64_t biased = within ? (uint64_t)(number + half) : number < 0 ? 0 : 2 * (uint64_t)half - 1;
  biased <<= 64 - bits;
  for (unsigned i = 0; i < (bits + 7) / 8; i++) {
    put(w, (uint8_t)(biased >> (56 - 8 * i)));
  }
  if (!within) {
    give_up(w);
  }
}

static void put_temporal(writer *w, const ddb_value *value) {
  bool aware;
  int64_t micros = ddb__value_instant(value, &aware);
  uint8_t naive = value->kind == DDB_DATETIME ? CODE_DATETIME_NAIVE : CODE_TIME_NAIVE;
  put(w, (uint8_t)(naive + aware));
  put_biased(w, micros, 60);
}

static void put_duration(writer *w, const ddb_value *value) {
  ddb_duration duration;
  memcpy(&duration, value->as.data, sizeof duration);
  put(w, CODE_TIMEDELTA);
  put_biased(w, duration.days, 32);
  put_biased(w, duration.micros, 40);
}

static void put_uuid(writer *w, const ddb_value *value) {
  put(w, CODE_UUID);
  for (uint32_t i = 0; i < value->size; i++) {
    put(w, ((const uint8_t *)value->as.data)[i]);
  }
}

static void put_container(writer *w, uint8_t code) {
  put(w, code);
  give_up(w);
}

static void put_value(writer *w, const ddb_value *value, bool open) {
  switch ((ddb_kind)value->kind) {
  case DDB_BOOL:
    put_int(w, value->as.boolean ? 1 : 0);
    break;
  case DDB_INT:
    put_int(w, value->as.integer);
    break;
  case DDB_BIGINT:
    put_bigint(w, value);
    break;
  case DDB_FLOAT:
    put_double(w, value->as.real);
    break;
  case DDB_DECIMAL:
    put_decimal(w, value);
    break;
  case DDB_STR_KIND:
  case DDB_BYTES:
    put_text(w, value, open);
    break;
  case DDB_DATE:
    put(w, CODE_DATE);
    put_biased(w, value->as.integer, 24);
    break;
  case DDB_DATETIME:
  case DDB_TIME:
    put_temporal(w, value);
    break;
  case DDB_TIMEDELTA:
    put_duration(w, value);
    break;
  case DDB_UUID:
    put_uuid(w, value);
    break;
  case DDB_LIST:
    put_container(w, CODE_LIST);
    break;
  case DDB_DICT:
    put_container(w, CODE_DICT);
    break;
  case DDB_TUPLE:
    put_container(w, CODE_TUPLE);
    break;
  case DDB_SET:
  case DDB_FROZENSET:
    put_container(w, CODE_SET);
    break;
  case DDB_MISSING:
  case DDB_NULL:
  case DDB_KIND_COUNT:
    put(w, CODE_NULL);
    break;
  }
}

static writer encode(const ddb_value *values, size_t count, bool open) {
  writer w = {0};
  for (size_t i = 0; i < count && !(w.size == KEY_SIZE && w.lost); i++) {
    put_value(&w, &values[i], open && i == count - 1);
  }
  return w;
}

uint64_t ddb__key_of(const ddb_value *values, size_t count) {
  writer w = encode(values, count, false);
  return w.bits | (w.lost ? 1 : 0);
}

ddb__key_span ddb__key_span_of(const ddb_value *values, size_t count, bool begins) {
  writer w = encode(values, count, begins);
  if (w.size < KEY_SIZE) {
    /* The value that follows begins with a code below 0x80: b"" is not the beginning of b"\0". */
    uint64_t rest = UINT64_MAX >> (8 * w.size + (begins ? 0 : 1));
    return (ddb__key_span){w.bits, w.bits | rest, true};
  }
  return (ddb__key_span){w.bits | (w.lost ? 1 : 0), w.bits | 1, false};
}

bool ddb__key_class(const ddb_value *value, uint8_t *first, uint8_t *end) {
  if (ddb__kind_is_number(value->kind)) {
    *first = CODE_ZERO - NUMBER_INFINITE;
    *end = CODE_ZERO + NUMBER_NAN;
    return !ddb__value_is_nan(value);
  }
  writer w = encode(value, 1, false);
  *first = (uint8_t)(w.bits >> 56);
  *end = (uint8_t)(*first + 1);
  return *first >= CODE_STR && *first <= CODE_TIMEDELTA;
}
