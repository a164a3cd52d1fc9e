/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bigint.c - comparison, hashing, parsing and formatting of big integers.
 *
 * Comparisons that need working memory (with a decimal of the same number of digits) take it from
 * the stack, beyond SCRATCH_LIMBS straight from the kernel: the allocator is the caller's and may
 * refuse, a comparison may not. Conversions between binary and decimal are quadratic.
 */
#include "store/bigint.h"

#include <math.h>
#include <sys/mman.h>

#include "store/number.h"

__extension__ typedef unsigned __int128 wide;

#define SCRATCH_LIMBS 512 /* 4 KiB: about 9,800 digits */
#define CHUNK         UINT64_C(10000000000000000000)
#define CHUNK_DIGITS  19

/* ---- Scratch ------------------------------------------------------------------------------ */

typedef struct scratch {
  uint64_t *limbs;
  size_t count;
  uint64_t near[SCRATCH_LIMBS];
} scratch;

static bool scratch_init(scratch *s, size_t count) {
  s->count = count;
  s->limbs = s->near;
  if (count <= SCRATCH_LIMBS) {
    return true;
  }
  void *far = mmap(NULL, count * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  s->limbs = far != MAP_FAILED ? far : NULL;
  return s->limbs != NULL;
}

static void scratch_fini(scratch *s) {
  if (s->limbs != s->near && s->limbs != NULL) {
    munmap(s->limbs, s->count * sizeof(uint64_t));
  }
}

/* ---- Magnitudes --------------------------------------------------------------------------- */

ddb__big ddb__big_from(const ddb_value *value, bool *negative) {
  const uint8_t *bytes = value->as.data;
  size_t size = value->size;
  *negative = size > 0 && bytes[0] != 0;
  while (size > 1 && bytes[size - 1] == 0) {
    size--;
  }
  return (ddb__big){bytes + 1, size > 0 ? size - 1 : 0};
}

/* The index-th 64-bit limb; missing bytes are 0. */
static uint64_t limb_at(ddb__big big, size_t index) {
  size_t start = index * 8;
  uint64_t limb = 0;
  if (start + 8 <= big.size) {
    memcpy(&limb, big.bytes + start, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    limb = __builtin_bswap64(limb);
#endif
    return limb;
  }
  for (size_t i = big.size; i-- > start;) {
    limb = limb << 8 | big.bytes[i];
  }
  return limb;
}

static size_t limb_count(ddb__big big) {
  return (big.size + 7) / 8;
}

uint64_t ddb__big_to_u64(ddb__big big) {
  return limb_at(big, 0);
}

static size_t bit_count(ddb__big big) {
  return big.size == 0 ? 0 : big.size * 8 - (size_t)(__builtin_clz(big.bytes[big.size - 1]) - 24);
}

int ddb__big_compare(ddb__big a, ddb__big b) {
  if (a.size != b.size) {
    return a.size < b.size ? -1 : 1;
  }
  for (size_t i = limb_count(a); i-- > 0;) {
    uint64_t limb_a = limb_at(a, i);
    uint64_t limb_b = limb_at(b, i);
    if (limb_a != limb_b) {
      return limb_a < limb_b ? -1 : 1;
    }
  }
  return 0;
}

int ddb__big_compare_double(ddb__big a, double b) {
  int exponent;
  uint64_t mantissa = (uint64_t)ldexp(frexp(b, &exponent), 64); /* the highest bit is set */
  size_t bits = bit_count(a);
  if (exponent < 0 || bits != (size_t)exponent) {
    return exponent < 0 || bits > (size_t)exponent ? 1 : -1;
  }
  /* The 64 highest bits of `a`, then whether any below is set; b has none there. */
  uint64_t top = 0;
  for (size_t i = 0; i < 64; i++) {
    size_t bit = bits - 1 - i;
    top = top << 1 | (a.bytes[bit / 8] >> (bit % 8) & 1u);
  }
  if (top != mantissa) {
    return top < mantissa ? -1 : 1;
  }
  for (size_t bit = 0; bit < bits - 64; bit++) {
    if (a.bytes[bit / 8] >> (bit % 8) & 1u) {
      return 1;
    }
  }
  return 0;
}

uint64_t ddb__big_residue(ddb__big a) {
  uint64_t sum = 0;
  for (size_t i = limb_count(a); i-- > 0;) {
    /* 2^64 is 8 modulo the prime. */
    uint64_t limb = limb_at(a, i);
    sum = ddb__prime_reduce(ddb__prime_multiply(sum, 8) + ddb__prime_reduce(limb));
  }
  return sum;
}

/* ---- Against decimals --------------------------------------------------------------------- */

/* limbs = limbs * factor + add; count grows by at most one. */
static size_t limbs_step(uint64_t *limbs, size_t count, uint64_t factor, uint64_t add) {
  uint64_t carry = add;
  for (size_t i = 0; i < count; i++) {
    wide product = (wide)limbs[i] * factor + carry;
    limbs[i] = (uint64_t)product;
    carry = (uint64_t)(product >> 64);
  }
  if (carry > 0) {
    limbs[count++] = carry;
  }
  return count;
}

/* The integer part of a decimal >= 1 in binary; the caller made room. */
static size_t integer_part(const ddb__decimal *a, uint64_t *limbs) {
  size_t count = 0;
  const char *at = a->digits;
  uint64_t left = (uint64_t)a->adjusted + 1;
  while (left > 0) {
    uint64_t digits = left < CHUNK_DIGITS ? left : CHUNK_DIGITS;
    uint64_t chunk = 0;
    uint64_t factor = 1;
    for (uint64_t i = 0; i < digits; i++) {
      chunk = chunk * 10 + ddb__decimal_digit(&at, a->end);
      factor *= 10;
    }
    count = limbs_step(limbs, count, factor, chunk);
    left -= digits;
  }
  return count;
}

static int compare_limbs(ddb__big a, const uint64_t *limbs, size_t count) {
  if (limb_count(a) != count) {
    return limb_count(a) < count ? -1 : 1;
  }
  for (size_t i = count; i-- > 0;) {
    uint64_t limb = limb_at(a, i);
    if (limb != limbs[i]) {
      return limb < limbs[i] ? -1 : 1;
    }
  }
  return 0;
}

/* When the kernel has no memory for an exact answer: equality by residue, order by leading bits. */
static int compare_roughly(ddb__big a, const ddb__decimal *b) {
  if (ddb__big_residue(a) == ddb__decimal_residue(b)) {
    return 0;
  }
  size_t last = limb_count(a) - 1;
  long double bits =
      logl((long double)limb_at(a, last) * 0x1p64L + (long double)limb_at(a, last - 1)) +
      (long double)(last - 1) * 64 * logl(2);
  long double coefficient = 0;
  const char *at = b->digits;
  for (int i = 0; i < CHUNK_DIGITS; i++) {
    coefficient = coefficient * 10 + (long double)ddb__decimal_digit(&at, b->end);
  }
  long double digits = logl(coefficient) + (long double)(b->adjusted - CHUNK_DIGITS + 1) * logl(10);
  return bits < digits ? -1 : 1;
}

int ddb__big_compare_decimal(ddb__big a, const ddb__decimal *b) {
  /* 2^(bits-1) <= a < 2^bits gives bounds of the exponent of its first digit; log10(2) is rounded
   * down for the one and up for the other. */
  size_t bits = bit_count(a);
  int64_t low =
      (int64_t)((wide)(bits - 1) * UINT64_C(301029995663981195) / UINT64_C(1000000000000000000));
  int64_t high =
      (int64_t)((wide)bits * UINT64_C(301029995663981196) / UINT64_C(1000000000000000000));
  if (b->digit_count == 0 || b->adjusted < low) {
    return 1;
  }
  if (b->adjusted > high) {
    return -1;
  }
  scratch s;
  if (!scratch_init(&s, limb_count(a) + 3)) {
    return compare_roughly(a, b);
  }
  size_t count = integer_part(b, s.limbs);
  int order = compare_limbs(a, s.limbs, count);
  scratch_fini(&s);
  return order == 0 && ddb__decimal_has_fraction(b) ? -1 : order;
}

/* ---- Text --------------------------------------------------------------------------------- */

/* limbs /= CHUNK; returns the remainder. */
static uint64_t limbs_divide(uint64_t *limbs, size_t count) {
  uint64_t remainder = 0;
  for (size_t i = count; i-- > 0;) {
    wide part = (wide)remainder << 64 | limbs[i];
    limbs[i] = (uint64_t)(part / CHUNK);
    remainder = (uint64_t)(part % CHUNK);
  }
  return remainder;
}

typedef struct output {
  char *buffer;
  size_t capacity;
  size_t size;
} output;

static void put(output *out, char c) {
  if (out->size + 1 < out->capacity) {
    out->buffer[out->size] = c;
  }
  out->size++;
}

static void put_chunk(output *out, uint64_t chunk, bool padded) {
  char text[CHUNK_DIGITS];
  int at = CHUNK_DIGITS;
  do {
    text[--at] = (char)('0' + chunk % 10);
    chunk /= 10;
  } while (padded ? at > 0 : chunk > 0);
  for (; at < CHUNK_DIGITS; at++) {
    put(out, text[at]);
  }
}

size_t ddb__bigint_format(const ddb_value *a, char *buffer, size_t capacity) {
  bool negative;
  ddb__big big = ddb__big_from(a, &negative);
  size_t count = limb_count(big);
  output out = {buffer, capacity, 0};
  scratch s;
  /* The quotient, then the chunks of digits, which are a little more. */
  if (scratch_init(&s, count + count + count / 64 + 2)) {
    for (size_t i = 0; i < count; i++) {
      s.limbs[i] = limb_at(big, i);
    }
    uint64_t *chunks = s.limbs + count;
    size_t chunk_count = 0;
    do {
      chunks[chunk_count++] = limbs_divide(s.limbs, count);
      while (count > 0 && s.limbs[count - 1] == 0) {
        count--;
      }
    } while (count > 0);
    if (negative && big.size > 0) {
      put(&out, '-');
    }
    put_chunk(&out, chunks[chunk_count - 1], false);
    for (size_t i = chunk_count - 1; i-- > 0;) {
      put_chunk(&out, chunks[i], true);
    }
    scratch_fini(&s);
  }
  if (capacity > 0) {
    buffer[out.size < capacity ? out.size : capacity - 1] = '\0';
  }
  return out.size;
}

/* bytes = bytes * factor + add, little-endian, no leading zero; returns the new size. */
static size_t bytes_step(uint8_t *bytes, size_t size, uint64_t factor, uint64_t add) {
  uint64_t carry = add;
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    wide product = (wide)limb_at((ddb__big){bytes + i, 8}, 0) * factor + carry;
    for (size_t j = 0; j < 8; j++) {
      bytes[i + j] = (uint8_t)(product >> (8 * j));
    }
    carry = (uint64_t)(product >> 64);
  }
  wide rest = (wide)limb_at((ddb__big){bytes + i, size - i}, 0) * factor + carry;
  for (; rest > 0 || i < size; i++) {
    bytes[i] = (uint8_t)rest;
    rest >>= 8;
  }
  return i;
}

size_t ddb__bigint_parse(ddb_str digits, uint8_t *bytes, size_t capacity) {
  size_t at = 0;
  bool negative = digits.size > 0 && digits.data[0] == '-';
  at += negative;
  if (capacity < 2 + digits.size / 2) {
    return 0;
  }
  uint8_t *magnitude = bytes + 1;
  size_t size = 0;
  while (at < digits.size) {
    uint64_t chunk = 0;
    uint64_t factor = 1;
    for (int i = 0; i < CHUNK_DIGITS && at < digits.size; i++, at++) {
      chunk = chunk * 10 + (uint64_t)(digits.data[at] - '0');
      factor *= 10;
    }
    size = bytes_step(magnitude, size, factor, chunk);
  }
  bytes[0] = negative && size > 0;
  return 1 + size;
}
