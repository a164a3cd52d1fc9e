/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_check.h - is what a file gives as an encoded block (store/value.h) one that a builder could
 * have made? What passes is safe for everything in the store. Allocates nothing; atomic.
 */
#ifndef DDB_IO_BLOCK_CHECK_H
#define DDB_IO_BLOCK_CHECK_H

#include "store/value.h"

#define DDB__PATTERN_COUNT_MAX 64

/* The kinds of a record's values, which those of the next one mostly have too. */
typedef struct ddb__pattern {
  uint32_t count; /* of values; 0: nothing was learnt */
  uint32_t look_count;
  uint8_t
      look[DDB__PATTERN_COUNT_MAX]; /* values of which the kind does not say that they are right */
  uint8_t tags[DDB__PATTERN_COUNT_MAX]; /* as they lie in the block, with what fills the last 8 */
} ddb__pattern;

/* `size` bytes are at `block`, which is aligned to 8. NULL, or what is wrong: a static text. `kind`
 * is what the block is of: a kind of container, or DDB_MISSING for a record. */
const char *ddb__block_problem(uint8_t kind, const ddb__block *block, size_t size);

/* `block` is a record in which nothing was wrong. One of more values than DDB__PATTERN_COUNT_MAX teaches
 * nothing. */
void ddb__pattern_learn(ddb__pattern *pattern, const ddb__block *block);
/* Has a record of `size` bytes (a multiple of 8) the kinds of the learnt one, and is nothing wrong with
 * it? False: ddb__block_problem is to be asked. */
bool ddb__pattern_fits(const ddb__pattern *pattern, const ddb__block *block, size_t size);

#endif
