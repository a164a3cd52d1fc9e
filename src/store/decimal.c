/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal.c - exact arithmetic on the texts of decimals, without an allocation.
 *
 * Comparison goes by the exponent of the first digit, then digit by digit. An integer or a double
 * becomes a decimal on the stack first: every double has a finite decimal expansion, of at most 767
 * digits, which limbs of nine digits hold.
 * Cost: linear in the digits; a double costs up to some microseconds when it is tiny.
 */
#include "store/decimal.h"

#include <math.h>

#include "store/number.h"

/* Beyond Python's own bounds of an exponent, so that sums with a digit count stay in int64. */
#define EXPONENT_MAX        INT64_C(2000000000000000000)
#define DOUBLE_ADJUSTED_MAX 308
#define DOUBLE_ADJUSTED_MIN (-324)
#define LIMB_BASE           UINT32_C(1000000000)
#define LIMB_DIGITS         9
#define LIMB_COUNT_MAX      (DDB__DOUBLE_DIGITS_MAX / LIMB_DIGITS)

/* ---- Parsing ------------------------------------------------------------------------------ */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Compares without regard to case; `word` is in lower case. */
static bool starts_with_word(const char *at, const char *end, const char *word) {
  for (; *word != '\0'; at++, word++) {
    if (at == end || (*at | 0x20) != *word) {
      return false;
    }
  }
  return true;
}

static bool parse_special(const char *at, const char *end, ddb__decimal *out) {
  size_t size = (size_t)(end - at);
  if ((size == 3 && starts_with_word(at, end, "inf")) ||
      (size == 8 && starts_with_word(at, end, "infinity"))) {
    out->class = DDB__DECIMAL_INFINITE;
    return true;
  }
  bool signaling = starts_with_word(at, end, "snan");
  if (!signaling && !starts_with_word(at, end, "nan")) {
    return false;
  }
  out->class = signaling ? DDB__DECIMAL_SIGNALING : DDB__DECIMAL_NAN;
  for (at += signaling ? 4 : 3; at < end; at++) {
    if (!is_digit(*at)) {
      return false;
    }
  }
  return true;
}

static bool parse_exponent(const char *at, const char *end, int64_t *exponent) {
  if (at == end) {
    *exponent = 0;
    return true;
  }
  if ((*at | 0x20) != 'e') {
    return false;
  }
  at++;
  bool negative = at < end && *at == '-';
  if (at < end && (*at == '-' || *at == '+')) {
    at++;
  }
  if (at == end) {
    return false;
  }
  int64_t sum = 0;
  for (; at < end; at++) {
    if (!is_digit(*at) || sum > EXPONENT_MAX / 10) {
      return false;
    }
    sum = sum * 10 + (*at - '0');
  }
  *exponent = negative ? -sum : sum;
  return true;
}

/* The coefficient: digits with at most one point. Returns its end, NULL when there is no digit. */
static const char *parse_coefficient(const char *at, const char *end, ddb__decimal *out) {
  const char *point = NULL;
  const char *first = NULL;
  size_t digits = 0;
  int64_t before_point = 0; /* digits from `first` to the point; negative: zeros behind it */
  for (; at < end && (is_digit(*at) || (*at == '.' && point == NULL)); at++) {
    if (*at == '.') {
      point = at;
      continue;
    }
    digits++;
    if (first == NULL && *at == '0') {
      before_point -= point != NULL;
      continue;
    }
    first = first == NULL ? at : first;
    out->digit_count++;
    before_point += point == NULL;
  }
  out->digits = first != NULL ? first : at;
  out->end = at;
  out->adjusted = before_point - 1;
  return digits > 0 ? at : NULL;
}

bool ddb__decimal_parse(ddb_str text, ddb__decimal *out) {
  const char *at = text.data;
  const char *end = at + text.size;
  if (text.size == 0) {
    return false;
  }
  *out = (ddb__decimal){.negative = *at == '-'};
  at += *at == '-' || *at == '+';
  if (at < end && !is_digit(*at) && *at != '.') {
    return parse_special(at, end, out);
  }
  int64_t exponent;
  at = parse_coefficient(at, end, out);
  if (at == NULL || !parse_exponent(at, end, &exponent)) {
    return false;
  }
  out->adjusted += exponent;
  return true;
}

bool ddb__decimal_valid(ddb_str text) {
  ddb__decimal parsed;
  return ddb__decimal_parse(text, &parsed);
}

/* ---- Comparison --------------------------------------------------------------------------- */

int ddb__decimal_compare(const ddb__decimal *a, const ddb__decimal *b) {
  if (a->digit_count == 0 || b->digit_count == 0) {
    return (a->digit_count != 0) - (b->digit_count != 0);
  }
  if (a->adjusted != b->adjusted) {
    return a->adjusted < b->adjusted ? -1 : 1;
  }
  const char *at_a = a->digits;
  const char *at_b = b->digits;
  while (at_a < a->end || at_b < b->end) {
    unsigned digit_a = ddb__decimal_digit(&at_a, a->end);
    unsigned digit_b = ddb__decimal_digit(&at_b, b->end);
    if (digit_a != digit_b) {
      return digit_a < digit_b ? -1 : 1;
    }
  }
  return 0;
}

int ddb__decimal_compare_u64(const ddb__decimal *a, uint64_t b) {
  char text[20];
  char *end = text + sizeof text;
  char *at = end;
  for (; b > 0; b /= 10) {
    *--at = (char)('0' + b % 10);
  }
  size_t count = (size_t)(end - at);
  ddb__decimal other = {
      .digits = at, .end = end, .digit_count = count, .adjusted = (int64_t)count - 1};
  return ddb__decimal_compare(a, &other);
}

/* ---- Doubles ------------------------------------------------------------------------------ */

typedef struct limbs {
  uint32_t items[LIMB_COUNT_MAX + 2]; /* least significant first */
  size_t count;
} limbs;

static void limbs_multiply(limbs *value, uint32_t factor) {
  uint64_t carry = 0;
  for (size_t i = 0; i < value->count; i++) {
    carry += (uint64_t)value->items[i] * factor;
    value->items[i] = (uint32_t)(carry % LIMB_BASE);
    carry /= LIMB_BASE;
  }
  if (carry > 0) {
    value->items[value->count++] = (uint32_t)carry;
  }
}

/* value *= base ** exponent, by factors below 2^30. */
static void limbs_scale(limbs *value, uint32_t base, int exponent) {
  int per_step = base == 2 ? 29 : 12;
  uint32_t step = base == 2 ? UINT32_C(1) << 29 : UINT32_C(244140625);
  for (; exponent >= per_step; exponent -= per_step) {
    limbs_multiply(value, step);
  }
  for (; exponent > 0; exponent--) {
    limbs_multiply(value, base);
  }
}

static void limbs_set(limbs *value, uint64_t x) {
  value->count = 0;
  for (; x > 0; x /= LIMB_BASE) {
    value->items[value->count++] = (uint32_t)(x % LIMB_BASE);
  }
}

static size_t limbs_digits(const limbs *value, char *text) {
  char *at = text;
  for (size_t i = value->count; i-- > 0;) {
    uint32_t limb = value->items[i];
    for (int j = LIMB_DIGITS - 1; j >= 0; j--) {
      at[j] = (char)('0' + limb % 10);
      limb /= 10;
    }
    at += LIMB_DIGITS;
  }
  return (size_t)(at - text);
}

int ddb__decimal_compare_double(const ddb__decimal *a, double b) {
  if (b == 0 || a->digit_count == 0) {
    return (a->digit_count != 0) - (b != 0);
  }
  if (a->adjusted > DOUBLE_ADJUSTED_MAX || a->adjusted < DOUBLE_ADJUSTED_MIN) {
    return a->adjusted > 0 ? 1 : -1;
  }
  int exponent;
  uint64_t mantissa = (uint64_t)ldexp(frexp(b, &exponent), 53);
  exponent -= 53;
  int zeros = __builtin_ctzll(mantissa);
  mantissa >>= zeros;
  exponent += zeros;
  /* m * 2^e, or for a negative e: m * 5^-e * 10^e. */
  limbs value;
  limbs_set(&value, mantissa);
  limbs_scale(&value, exponent < 0 ? 5 : 2, exponent < 0 ? -exponent : exponent);
  char text[sizeof value.items / sizeof value.items[0] * LIMB_DIGITS] = "";
  size_t size = limbs_digits(&value, text);
  const char *first = text;
  while (first < text + size && *first == '0') {
    first++;
  }
  ddb__decimal other = {.digits = first, .end = text + size};
  other.digit_count = (size_t)(other.end - first);
  other.adjusted = (int64_t)other.digit_count - 1 + (exponent < 0 ? exponent : 0);
  return ddb__decimal_compare(a, &other);
}

/* ---- Hash and conversion ------------------------------------------------------------------ */

static uint64_t prime_power(uint64_t base, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) {
      result = ddb__prime_multiply(result, base);
    }
    base = ddb__prime_multiply(base, base);
  }
  return result;
}

uint64_t ddb__decimal_residue(const ddb__decimal *a) {
  uint64_t sum = 0;
  const char *at = a->digits;
  for (size_t i = 0; i < a->digit_count; i++) {
    sum = ddb__prime_reduce(ddb__prime_multiply(sum, 10) + ddb__decimal_digit(&at, a->end));
  }
  int64_t exponent = a->adjusted - ((int64_t)a->digit_count - 1);
  /* The inverse of 10 modulo the prime. */
  uint64_t base = exponent >= 0 ? 10 : UINT64_C(2075258708292324556);
  uint64_t power = prime_power(base, exponent >= 0 ? (uint64_t)exponent : (uint64_t)-exponent);
  return ddb__prime_multiply(sum, power);
}

bool ddb__decimal_has_fraction(const ddb__decimal *a) {
  const char *at = a->digits;
  int64_t exponent = a->adjusted;
  for (size_t i = 0; i < a->digit_count; i++, exponent--) {
    if (ddb__decimal_digit(&at, a->end) != 0 && exponent < 0) {
      return true;
    }
  }
  return false;
}

bool ddb__decimal_to_int(const ddb__decimal *a, int64_t *out) {
  if (a->class != DDB__DECIMAL_FINITE) {
    return false;
  }
  if (a->digit_count == 0) {
    *out = 0;
    return true;
  }
  if (a->adjusted > 18 || ddb__decimal_has_fraction(a)) {
    return false;
  }
  uint64_t sum = 0;
  const char *at = a->digits;
  for (int64_t i = 0; i <= a->adjusted; i++) {
    sum = sum * 10 + ddb__decimal_digit(&at, a->end); /* at most 19 digits: no overflow */
  }
  if (sum > (uint64_t)INT64_MAX + a->negative) {
    return false;
  }
  *out = a->negative ? (int64_t)(0 - sum) : (int64_t)sum;
  return true;
}
