/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort.h - the orders that containers' blocks carry: sets lie sorted, dicts end with an index.
 */
#ifndef DDB_STORE_SORT_H
#define DDB_STORE_SORT_H

#include "store/value.h"

/* Bytes of working memory that the functions below want, 8-byte aligned. */
static inline size_t ddb__sort_scratch_size(size_t count) {
  return ddb__align8(2 * sizeof(uint32_t) * count) + 9 * ddb__align8(count);
}
/* Sorts a set's items and drops those equal to an earlier one: block->count may shrink. */
void ddb__sort_set(ddb__block *block, void *scratch);
/* Fills order[count / 2] with the entries sorted by key, then value. Returns the entry whose key
 * equals that of another, SIZE_MAX when there is none. */
size_t ddb__sort_dict(const ddb__block *block, uint32_t *order, void *scratch);

#endif
