/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - what the store asks of a string: that it is UTF-8, and which known name is nearest to
 * it.
 */
#ifndef DDB_STORE_TEXT_H
#define DDB_STORE_TEXT_H

#include "dictdb.h"

/* UTF-8 as Python's "surrogatepass" writes it: surrogates are allowed, each by itself; overlong
 * forms and code points above U+10FFFF are not. Byte order is then code point order. */
bool ddb__text_valid(ddb_str text);
/* Number of edits that turn `a` into `b`, SIZE_MAX when either is too long to be worth it. */
size_t ddb__text_distance(ddb_str a, ddb_str b);

static inline bool ddb__text_equal(ddb_str a, ddb_str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
