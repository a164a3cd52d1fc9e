/* SPDX-License-Identifier: Apache-2.0 */
/*
 * natural.c - schoolbook arithmetic on whole numbers of bounded size.
 *
 * Multiplication and division are quadratic: at the bound some hundred microseconds. Division is
 * Knuth's algorithm D, on limbs of 64 bits.
 */
#include "store/natural.h"

#include <assert.h>
#include <math.h>

__extension__ typedef unsigned __int128 wide;

#define CHUNK        UINT64_C(10000000000000000000)
#define CHUNK_DIGITS 19

static void trim(ddb__natural *n) {
  while (n->count > 0 && n->limbs[n->count - 1] == 0) {
    n->count--;
  }
}

void ddb__natural_set(ddb__natural *n, uint64_t value) {
  n->limbs[0] = value;
  n->count = value != 0;
}

void ddb__natural_copy(ddb__natural *to, const ddb__natural *from) {
  to->count = from->count;
  memcpy(to->limbs, from->limbs, from->count * sizeof from->limbs[0]);
}

/* ---- Bytes and digits --------------------------------------------------------------------- */

bool ddb__natural_from_big(ddb__natural *n, ddb__big big) {
  n->count = (big.size + 7) / 8;
  if (n->count > DDB__NATURAL_LIMBS) {
    return false;
  }
  for (size_t i = 0; i < n->count; i++) {
    uint64_t limb = 0;
    for (size_t j = 8 * i + 8 < big.size ? 8 * i + 8 : big.size; j-- > 8 * i;) {
      limb = limb << 8 | big.bytes[j];
    }
    n->limbs[i] = limb;
  }
  trim(n);
  return true;
}

size_t ddb__natural_to_bytes(const ddb__natural *n, uint8_t *bytes) {
  size_t size = 0;
  for (size_t i = 0; i < n->count; i++) {
    uint64_t limb = n->limbs[i];
    for (size_t j = 0; j < 8 && (i + 1 < n->count || limb > 0); j++) {
      bytes[size++] = (uint8_t)limb;
      limb >>= 8;
    }
  }
  return size;
}

/* n = n * factor + add */
static bool step(ddb__natural *n, uint64_t factor, uint64_t add) {
  uint64_t carry = add;
  for (size_t i = 0; i < n->count; i++) {
    wide product = (wide)n->limbs[i] * factor + carry;
    n->limbs[i] = (uint64_t)product;
    carry = (uint64_t)(product >> 64);
  }
  if (carry > 0) {
    if (n->count == DDB__NATURAL_LIMBS) {
      return false;
    }
    n->limbs[n->count++] = carry;
  }
  return true;
}

bool ddb__natural_from_digits(ddb__natural *n, const ddb__decimal *decimal) {
  const char *at = decimal->digits;
  n->count = 0;
  for (size_t left = decimal->digit_count; left > 0;) {
    size_t digits = left < CHUNK_DIGITS ? left : CHUNK_DIGITS;
    uint64_t chunk = 0;
    uint64_t factor = 1;
    for (size_t i = 0; i < digits; i++) {
      chunk = chunk * 10 + ddb__decimal_digit(&at, decimal->end);
      factor *= 10;
    }
    if (!step(n, factor, chunk)) {
      return false;
    }
    left -= digits;
  }
  return true;
}

/* n /= divisor; returns the remainder. */
static uint64_t divide_small(ddb__natural *n, uint64_t divisor) {
  uint64_t remainder = 0;
  for (size_t i = n->count; i-- > 0;) {
    wide part = (wide)remainder << 64 | n->limbs[i];
    n->limbs[i] = (uint64_t)(part / divisor);
    remainder = (uint64_t)(part % divisor);
  }
  trim(n);
  return remainder;
}

size_t ddb__natural_to_digits(ddb__natural *n, char *digits) {
  size_t count = 0; /* written backwards */
  while (n->count > 0) {
    uint64_t chunk = divide_small(n, CHUNK);
    for (int i = 0; i < CHUNK_DIGITS && (n->count > 0 || chunk > 0); i++) {
      digits[count++] = (char)('0' + chunk % 10);
      chunk /= 10;
    }
  }
  for (size_t i = 0; i < count / 2; i++) {
    char digit = digits[i];
    digits[i] = digits[count - 1 - i];
    digits[count - 1 - i] = digit;
  }
  return count;
}

size_t ddb__natural_bits(const ddb__natural *n) {
  return n->count == 0 ? 0 : n->count * 64 - (size_t)__builtin_clzll(n->limbs[n->count - 1]);
}

/* ---- Arithmetic --------------------------------------------------------------------------- */

int ddb__natural_compare(const ddb__natural *a, const ddb__natural *b) {
  if (a->count != b->count) {
    return a->count < b->count ? -1 : 1;
  }
  for (size_t i = a->count; i-- > 0;) {
    if (a->limbs[i] != b->limbs[i]) {
      return a->limbs[i] < b->limbs[i] ? -1 : 1;
    }
  }
  return 0;
}

bool ddb__natural_add(ddb__natural *a, const ddb__natural *b) {
  while (a->count < b->count) {
    a->limbs[a->count++] = 0;
  }
  uint64_t carry = 0;
  for (size_t i = 0; i < a->count; i++) {
    wide sum = (wide)a->limbs[i] + (i < b->count ? b->limbs[i] : 0) + carry;
    a->limbs[i] = (uint64_t)sum;
    carry = (uint64_t)(sum >> 64);
  }
  if (carry > 0) {
    if (a->count == DDB__NATURAL_LIMBS) {
      return false;
    }
    a->limbs[a->count++] = carry;
  }
  return true;
}

void ddb__natural_subtract(ddb__natural *a, const ddb__natural *b) {
  uint64_t borrow = 0;
  for (size_t i = 0; i < a->count; i++) {
    wide difference = (wide)a->limbs[i] - (i < b->count ? b->limbs[i] : 0) - borrow;
    a->limbs[i] = (uint64_t)difference;
    borrow = (uint64_t)(difference >> 64) & 1;
  }
  trim(a);
}

bool ddb__natural_multiply(ddb__natural *result, const ddb__natural *a, const ddb__natural *b) {
  result->count = 0;
  if (a->count == 0 || b->count == 0) {
    return true;
  }
  if (a->count + b->count > DDB__NATURAL_LIMBS) {
    return false;
  }
  result->count = a->count + b->count;
  memset(result->limbs, 0, result->count * sizeof result->limbs[0]);
  for (size_t i = 0; i < a->count; i++) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b->count; j++) {
      wide sum = (wide)a->limbs[i] * b->limbs[j] + result->limbs[i + j] + carry;
      result->limbs[i + j] = (uint64_t)sum;
      carry = (uint64_t)(sum >> 64);
    }
    result->limbs[i + b->count] = carry;
  }
  trim(result);
  return true;
}

bool ddb__natural_scale(ddb__natural *n, uint64_t exponent) {
  if (n->count == 0) {
    return true;
  }
  if (exponent > DDB__NATURAL_DIGITS_MAX) {
    return false;
  }
  for (; exponent >= CHUNK_DIGITS; exponent -= CHUNK_DIGITS) {
    if (!step(n, CHUNK, 0)) {
      return false;
    }
  }
  uint64_t factor = 1;
  for (; exponent > 0; exponent--) {
    factor *= 10;
  }
  return step(n, factor, 0);
}

bool ddb__natural_shift(ddb__natural *n, size_t bits) {
  size_t whole = bits / 64;
  unsigned part = (unsigned)(bits % 64);
  if (n->count == 0) {
    return true;
  }
  if (n->count + whole + 1 > DDB__NATURAL_LIMBS) {
    return false;
  }
  n->limbs[n->count] = 0;
  for (size_t i = n->count + 1; i-- > 0;) {
    uint64_t below = i > 0 && part > 0 ? n->limbs[i - 1] >> (64 - part) : 0;
    n->limbs[i + whole] = n->limbs[i] << part | below;
  }
  memset(n->limbs, 0, whole * sizeof n->limbs[0]);
  n->count += whole + 1;
  trim(n);
  return true;
}

/* n >>= bits, below 64, of a number whose lowest bits are zero. */
static void shift_back(ddb__natural *n, unsigned bits) {
  for (size_t i = 0; bits > 0 && i < n->count; i++) {
    uint64_t above = i + 1 < n->count ? n->limbs[i + 1] << (64 - bits) : 0;
    n->limbs[i] = n->limbs[i] >> bits | above;
  }
  trim(n);
}

/* A digit of the quotient: the limbs at `at`, one more than b has, less b times the digit. b's
 * highest bit is set, so that the first guess is at most two too large. */
static uint64_t divide_step(uint64_t *at, const ddb__natural *b) {
  size_t n = b->count;
  wide top = (wide)at[n] << 64 | at[n - 1];
  uint64_t high = b->limbs[n - 1];
  assert(high >> 63);
  wide guess = at[n] >= high ? UINT64_MAX : top / high;
  wide rest = top - guess * high;
  while (n > 1 && rest >> 64 == 0 && guess * b->limbs[n - 2] > (rest << 64 | at[n - 2])) {
    guess--;
    rest += high;
  }
  uint64_t borrow = 0;
  uint64_t carry = 0;
  for (size_t i = 0; i <= n; i++) {
    wide product = (i < n ? guess * b->limbs[i] : 0) + carry;
    carry = (uint64_t)(product >> 64);
    wide difference = (wide)at[i] - (uint64_t)product - borrow;
    at[i] = (uint64_t)difference;
    borrow = (uint64_t)(difference >> 64) & 1;
  }
  if (borrow > 0) {
    guess--;
    carry = 0;
    for (size_t i = 0; i <= n; i++) {
      wide sum = (wide)at[i] + (i < n ? b->limbs[i] : 0) + carry;
      at[i] = (uint64_t)sum;
      carry = (uint64_t)(sum >> 64);
    }
  }
  return (uint64_t)guess;
}

bool ddb__natural_divide(ddb__natural *quotient, ddb__natural *a, ddb__natural *b) {
  if (ddb__natural_compare(a, b) < 0) {
    quotient->count = 0;
    return true;
  }
  unsigned bits = (unsigned)__builtin_clzll(b->limbs[b->count - 1]);
  if (!ddb__natural_shift(a, bits) || a->count == DDB__NATURAL_LIMBS) {
    return false;
  }
  ddb__natural_shift(b, bits); /* the same number of limbs */
  a->limbs[a->count] = 0;
  size_t digits = a->count + 1 - b->count;
  for (size_t i = digits; i-- > 0;) {
    quotient->limbs[i] = divide_step(a->limbs + i, b);
  }
  quotient->count = digits;
  trim(quotient);
  a->count = b->count;
  trim(a);
  shift_back(a, bits);
  shift_back(b, bits);
  return true;
}

/* ---- Doubles ------------------------------------------------------------------------------ */

double ddb__natural_to_double(const ddb__natural *n, int64_t exponent, bool more) {
  size_t bits = ddb__natural_bits(n);
  if (bits == 0) {
    return 0;
  }
  /* The 64 highest bits, the first of them set; below says whether something follows. */
  uint64_t head = n->limbs[n->count - 1];
  unsigned zeros = (unsigned)__builtin_clzll(head);
  bool below = more;
  uint64_t next = n->count > 1 ? n->limbs[n->count - 2] : 0;
  if (zeros > 0) {
    head = head << zeros | next >> (64 - zeros);
    next <<= zeros;
  }
  below = below || next > 0;
  for (size_t i = 2; i < n->count && !below; i++) {
    below = n->limbs[n->count - 1 - i] > 0;
  }
  int64_t top = exponent + (int64_t)bits - 1; /* the exponent of the first bit */
  if (top > 1023) {
    return (double)INFINITY;
  }
  int64_t kept = top >= -1022 ? 53 : 53 - (-1022 - top);
  if (kept < 0) {
    return 0;
  }
  uint64_t whole = kept > 0 ? head >> (64 - kept) : 0;
  uint64_t rest = kept > 0 ? head << kept : head;
  uint64_t half = UINT64_C(1) << 63;
  whole += rest > half || (rest == half && (below || (whole & 1) != 0));
  return ldexp((double)whole, (int)(top - kept + 1));
}
