/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - what the store asks of a string: that it is UTF-8, and which known name is nearest to
 * it.
 */
#ifndef DDB_STORE_TEXT_H
#define DDB_STORE_TEXT_H

#include "dictdb.h"

/* By words, of which the last may overlap: short texts, which most are, take a few instructions. */
static inline bool ddb__text_is_ascii(const char *at, size_t size) {
  uint64_t words = 0;
  uint64_t word;
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size && (words & UINT64_C(0x8080808080808080)) == 0; i += 8) {
      memcpy(&word, at + i, sizeof word);
      words |= word;
    }
    memcpy(&word, at + size - 8, sizeof word);
    words |= word;
  } else if (size >= 4) {
    uint32_t ends[2];
    memcpy(&ends[0], at, 4);
    memcpy(&ends[1], at + size - 4, 4);
    words = ends[0] | ends[1];
  } else {
    for (size_t i = 0; i < size; i++) {
      words |= (unsigned char)at[i];
    }
  }
  return (words & UINT64_C(0x8080808080808080)) == 0;
}

/* UTF-8 as Python's "surrogatepass" writes it: surrogates are allowed, each by itself; overlong
 * forms and code points above U+10FFFF are not. Byte order is then code point order. */
bool ddb__text_valid(ddb_str text);
/* Is `name` a misspelt `candidate`, and nearer to it than *least (SIZE_MAX at first), which it then
 * sets? */
bool ddb__text_nearer(ddb_str name, ddb_str candidate, size_t *least);

static inline bool ddb__text_equal(ddb_str a, ddb_str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
