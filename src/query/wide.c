/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wide.c - see wide.h. Cost: linear in the limbs.
 */
#include "query/wide.h"

#include <math.h>

#include "base/heap.h"

#define TEN_DIGITS   19u
#define TEN_POWER    UINT64_C(10000000000000000000)
#define LIMBS_INLINE 64u

void ddb__wide_fini(ddb__wide *wide) {
  ddb__free(&ddb__heap_process, wide->limbs, wide->capacity * sizeof *wide->limbs);
  *wide = (ddb__wide){0};
}

/* ---- Room --------------------------------------------------------------------------------- */

/* Limbs up to `count`, filled with the sign. */
static bool extend(ddb__wide *wide, size_t count) {
  if (count > wide->capacity) {
    size_t capacity = wide->capacity * 2 > count ? wide->capacity * 2 : count + 2;
    size_t size = sizeof *wide->limbs;
    uint64_t *limbs =
        ddb__resize(&ddb__heap_process, wide->limbs, wide->capacity * size, capacity * size);
    if (!limbs) {
      return false;
    }
    wide->limbs = limbs;
    wide->capacity = capacity;
  }
  uint64_t sign = ddb__wide_negative(wide) ? UINT64_MAX : 0;
  while (wide->count < count) {
    wide->limbs[wide->count++] = sign;
  }
  return true;
}

/* Drops limbs that say no more than the sign of the one below. */
static void trim(ddb__wide *wide) {
  while (wide->count > 1) {
    uint64_t below = wide->limbs[wide->count - 2];
    if (wide->limbs[wide->count - 1] != (below >> 63 != 0 ? UINT64_MAX : 0)) {
      break;
    }
    wide->count--;
  }
  if (wide->count == 1 && wide->limbs[0] == 0) {
    wide->count = 0;
  }
}

/* ---- Adding ------------------------------------------------------------------------------- */

bool ddb__wide_add(ddb__wide *wide, const uint64_t *magnitude, size_t count, bool negative) {
  size_t larger = wide->count > count ? wide->count : count;
  if (!extend(wide, larger + 1)) {
    return false;
  }
  uint64_t flip = negative ? UINT64_MAX : 0;
  uint64_t carry = negative;
  for (size_t i = 0; i < wide->count; i++) {
    uint64_t limb = (i < count ? magnitude[i] : 0) ^ flip;
    ddb__uint128 sum = (ddb__uint128)wide->limbs[i] + limb + carry;
    wide->limbs[i] = (uint64_t)sum;
    carry = (uint64_t)(sum >> 64);
  }
  trim(wide);
  return true;
}

bool ddb__wide_add_int(ddb__wide *wide, ddb__int128 number) {
  ddb__uint128 magnitude = number < 0 ? 0 - (ddb__uint128)number : (ddb__uint128)number;
  uint64_t limbs[2] = {(uint64_t)magnitude, (uint64_t)(magnitude >> 64)};
  return ddb__wide_add(wide, limbs, 2, number < 0);
}

bool ddb__wide_add_bytes(ddb__wide *wide, const uint8_t *bytes, size_t size, bool negative) {
  uint64_t near[LIMBS_INLINE];
  size_t count = (size + 7) / 8;
  uint64_t *limbs = near;
  if (count > LIMBS_INLINE) {
    limbs = ddb__alloc(&ddb__heap_process, count * sizeof *limbs);
    if (!limbs) {
      return false;
    }
  }
  memset(limbs, 0, count * sizeof *limbs);
  for (size_t i = 0; i < size; i++) {
    limbs[i / 8] |= (uint64_t)bytes[i] << (i % 8 * 8);
  }
  bool added = ddb__wide_add(wide, limbs, count, negative);
  if (limbs != near) {
    ddb__free(&ddb__heap_process, limbs, count * sizeof *limbs);
  }
  return added;
}

static void negate(uint64_t *limbs, size_t count) {
  uint64_t carry = 1;
  for (size_t i = 0; i < count; i++) {
    limbs[i] = ~limbs[i] + carry;
    carry = carry && limbs[i] == 0;
  }
}

bool ddb__wide_add_wide(ddb__wide *wide, const ddb__wide *other) {
  size_t larger = wide->count > other->count ? wide->count : other->count;
  if (!extend(wide, larger + 1)) {
    return false;
  }
  uint64_t sign = ddb__wide_negative(other) ? UINT64_MAX : 0;
  uint64_t carry = 0;
  for (size_t i = 0; i < wide->count; i++) {
    ddb__uint128 sum =
        (ddb__uint128)wide->limbs[i] + (i < other->count ? other->limbs[i] : sign) + carry;
    wide->limbs[i] = (uint64_t)sum;
    carry = (uint64_t)(sum >> 64);
  }
  trim(wide);
  return true;
}

/* ---- Scaling ------------------------------------------------------------------------------ */

bool ddb__wide_scale(ddb__wide *wide, uint64_t factor, uint64_t add) {
  if (!extend(wide, wide->count + 2)) {
    return false;
  }
  bool negative = ddb__wide_negative(wide);
  if (negative) {
    negate(wide->limbs, wide->count);
  }
  uint64_t carry = add;
  for (size_t i = 0; i < wide->count; i++) {
    ddb__uint128 product = (ddb__uint128)wide->limbs[i] * factor + carry;
    wide->limbs[i] = (uint64_t)product;
    carry = (uint64_t)(product >> 64);
  }
  if (negative) {
    negate(wide->limbs, wide->count);
  }
  trim(wide);
  return true;
}

bool ddb__wide_scale_ten(ddb__wide *wide, uint64_t exponent) {
  for (; exponent >= TEN_DIGITS; exponent -= TEN_DIGITS) {
    if (!ddb__wide_scale(wide, TEN_POWER, 0)) {
      return false;
    }
  }
  uint64_t rest = 1;
  for (; exponent > 0; exponent--) {
    rest *= 10;
  }
  return rest == 1 || ddb__wide_scale(wide, rest, 0);
}

/* ---- Reading ------------------------------------------------------------------------------ */

size_t ddb__wide_magnitude(const ddb__wide *wide, uint64_t *out) {
  size_t count = wide->count;
  if (count > 0) {
    memcpy(out, wide->limbs, count * sizeof *out);
  }
  if (ddb__wide_negative(wide)) {
    negate(out, count);
  }
  while (count > 0 && out[count - 1] == 0) {
    count--;
  }
  return count;
}

uint64_t ddb__wide_divide(uint64_t *limbs, size_t count, uint64_t divisor) {
  uint64_t rest = 0;
  for (size_t i = count; i-- > 0;) {
    ddb__uint128 dividend = (ddb__uint128)rest << 64 | limbs[i];
    limbs[i] = (uint64_t)(dividend / divisor);
    rest = (uint64_t)(dividend % divisor);
  }
  return rest;
}

/* limbs x 2^exponent, and a little more when sticky. The 64 highest bits with the rest in the last
 * of them round as the whole does. */
static double limbs_round(const uint64_t *limbs, size_t count, int exponent, bool sticky) {
  while (count > 0 && limbs[count - 1] == 0) {
    count--;
  }
  if (count == 0) {
    return 0;
  }
  int shift = __builtin_clzll(limbs[count - 1]);
  uint64_t next = count > 1 ? limbs[count - 2] : 0;
  uint64_t top = limbs[count - 1] << shift | (shift > 0 ? next >> (64 - shift) : 0);
  sticky = sticky || (shift > 0 ? next << shift : next) != 0;
  for (size_t i = 0; i + 2 < count && !sticky; i++) {
    sticky = limbs[i] != 0;
  }
  size_t above = (count - 1) * 64;
  if (above > 1 << 20) {
    return HUGE_VAL;
  }
  return ldexp((double)(top | sticky), (int)above - shift + exponent);
}

bool ddb__wide_ratio(const ddb__wide *wide, uint64_t divisor, double *out) {
  enum { FRACTION_LIMBS = 2 };
  uint64_t near[LIMBS_INLINE];
  size_t count = wide->count + FRACTION_LIMBS;
  uint64_t *limbs = near;
  if (count > LIMBS_INLINE) {
    limbs = ddb__alloc(&ddb__heap_process, count * sizeof *limbs);
    if (!limbs) {
      return false;
    }
  }
  limbs[0] = limbs[1] = 0;
  size_t used = ddb__wide_magnitude(wide, limbs + FRACTION_LIMBS) + FRACTION_LIMBS;
  uint64_t rest = ddb__wide_divide(limbs, used, divisor);
  double magnitude = limbs_round(limbs, used, -64 * FRACTION_LIMBS, rest != 0);
  *out = ddb__wide_negative(wide) ? -magnitude : magnitude;
  if (limbs != near) {
    ddb__free(&ddb__heap_process, limbs, count * sizeof *limbs);
  }
  return true;
}
