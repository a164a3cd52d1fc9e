/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_check.h - is what a file gives as an encoded block (store/value.h) one that a builder could
 * have made? What passes is safe for everything in the store. Allocates nothing; atomic.
 */
#ifndef DDB_IO_BLOCK_CHECK_H
#define DDB_IO_BLOCK_CHECK_H

#include "store/value.h"

/* `size` bytes are at `block`, which is aligned to 8. NULL, or what is wrong: a static text. `kind`
 * is what the block is of: a kind of container, or DDB_MISSING for a record. */
const char *ddb__block_problem(uint8_t kind, const ddb__block *block, size_t size);

#endif
