/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_key.h - the first 8 bytes of an order-preserving encoding of values: the keys of sorted
 * indexes.
 *
 *   K1  a before b in the total order  =>  key(a) <= key(b)
 *   K2  a and b the same in it         =>  key(a) == key(b)
 *   K3  key(a) == key(b) and exact     =>  a and b are the same: no value has to be read
 * A key is exact when its lowest bit is 0: then it holds the whole encoding, but for zeros.
 */
#ifndef DDB_STORE_INDEX_KEY_H
#define DDB_STORE_INDEX_KEY_H

#include "dictdb.h"

/* The keys of all values that begin with the encoded ones. */
typedef struct ddb__key_span {
  uint64_t low;
  uint64_t high;
  bool exact; /* only of those: no value has to be read */
} ddb__key_span;

static inline bool ddb__key_is_exact(uint64_t key) {
  return (key & 1) == 0;
}
/* Of a whole list of values. */
uint64_t ddb__key_of(const ddb_value *values, size_t count);
/* Of all lists that begin with these values. begins: the last value, a str or bytes, stands for all
 * that start with it. */
ddb__key_span ddb__key_span_of(const ddb_value *values, size_t count, bool begins);
/* The values that `<` is defined for against this one (ddb_value_order): all whose encoding begins
 * with a byte of [*first, *end). False: none. */
bool ddb__key_class(const ddb_value *value, uint8_t *first, uint8_t *end);

#endif
