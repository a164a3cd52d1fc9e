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
/* Is `name` a misspelt `candidate`, and nearer to it than *least (SIZE_MAX at first), which it then
 * sets? */
bool ddb__text_nearer(ddb_str name, ddb_str candidate, size_t *least);

static inline bool ddb__text_equal(ddb_str a, ddb_str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
