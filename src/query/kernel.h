/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - the loops over columns: which of 64 * `words` lanes lie in a range, as bits; how many do.
 *
 * The fastest version that this processor can run is taken at the first use; all give the same bits.
 * Lanes need not be aligned. Thread-safety: atomic.
 */
#ifndef DDB_QUERY_KERNEL_H
#define DDB_QUERY_KERNEL_H

#include "dictdb.h"

typedef enum ddb__kernel_level {
  DDB__KERNEL_PLAIN,
  DDB__KERNEL_AVX2,
  DDB__KERNEL_AVX512,
  DDB__KERNEL_LEVEL_COUNT
} ddb__kernel_level;

typedef struct ddb__kernels {
  /* low <= lane <= high, unsigned; low <= high. */
  void (*range_8)(const void *lanes, size_t words, uint64_t low, uint64_t high, uint64_t *out);
  void (*range_16)(const void *lanes, size_t words, uint64_t low, uint64_t high, uint64_t *out);
  void (*range_32)(const void *lanes, size_t words, uint64_t low, uint64_t high, uint64_t *out);
  void (*range_64)(const void *lanes, size_t words, uint64_t low, uint64_t high, uint64_t *out);
  /* low <= lane <= high of doubles; never of a NaN. */
  void (*range_real)(const double *lanes, size_t words, double low, double high, uint64_t *out);
  uint64_t (*count)(const uint64_t *words, size_t count); /* of the bits that are set */
} ddb__kernels;

const ddb__kernels *ddb__kernels_get(void);
/* Those of a level; NULL: this processor or this build has none. */
const ddb__kernels *ddb__kernels_of(ddb__kernel_level level);
/* codes[i] is in the set of 256 bits? */
void ddb__kernel_codes(const uint8_t *codes, size_t words, const uint64_t set[4], uint64_t *out);

#ifdef DDB_TESTING
/* Takes this level from now on; false when there is none. */
DDB_API bool ddb__test_kernel_set(unsigned level);
#endif

#endif
