/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - single code points of UTF-8, surrogates included ("surrogatepass").
 *
 * A lone surrogate is ED A0..BF xx: A0..AF a high (leading) one, B0..BF a low (trailing) one.
 */
#ifndef DDB_IO_UTF8_H
#define DDB_IO_UTF8_H

#include "dictdb.h"

#define DDB__SURROGATE_SIZE 3

/* Bytes of the code point at `at`, which is not ASCII; 0: not one of UTF-8 (a wrong byte, an
 * overlong form, above U+10FFFF, or more than `left` bytes). Surrogates are code points here. */
static inline size_t ddb__utf8_size(const uint8_t *at, size_t left) {
  uint8_t lead = at[0];
  if (lead < 0xc2 || lead > 0xf4) {
    return 0;
  }
  size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (left < size) {
    return 0;
  }
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  bool overlong = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xf0 && at[1] < 0x90);
  return overlong || (lead == 0xf4 && at[1] > 0x8f) ? 0 : size;
}

/* Of a code point that ddb__utf8_size has passed. */
static inline bool ddb__utf8_is_surrogate(const uint8_t *at) {
  return at[0] == 0xed && at[1] >= 0xa0;
}
static inline bool ddb__utf8_is_low_surrogate(const uint8_t *at) {
  return at[0] == 0xed && at[1] >= 0xb0;
}
static inline uint32_t ddb__utf8_surrogate(const uint8_t *at) {
  return 0xd000u | (uint32_t)(at[1] & 0x3f) << 6 | (at[2] & 0x3fu);
}

/* Writes a code point (a surrogate too) at `out`: 1 to 4 bytes, which it returns. */
static inline size_t ddb__utf8_put(uint32_t code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3f));
  out[2] = (char)(0x80 | (code >> 6 & 0x3f));
  out[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

#endif
