/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bigint.h - magnitudes of big integers: little-endian bytes, read in place.
 */
#ifndef DDB_STORE_BIGINT_H
#define DDB_STORE_BIGINT_H

#include "dictdb.h"
#include "store/decimal.h"

typedef struct ddb__big {
  const uint8_t *bytes;
  size_t size; /* no leading (most significant) zero byte is counted */
} ddb__big;

/* The magnitude behind a DDB_BIGINT's sign byte; *negative: its sign. */
ddb__big ddb__big_from(const ddb_value *value, bool *negative);
/* Of at most 8 bytes. */
uint64_t ddb__big_to_u64(ddb__big big);
/* -1, 0, 1. In those below `a` has more than 8 bytes. */
int ddb__big_compare(ddb__big a, ddb__big b);
int ddb__big_compare_double(ddb__big a, double b); /* b finite, >= 0 */
int ddb__big_compare_decimal(ddb__big a, const ddb__decimal *b);
uint64_t ddb__big_residue(ddb__big a); /* modulo 2^61 - 1 */

#endif
