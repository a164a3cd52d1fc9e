/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.h - blocks of a few sizes from large regions, for the heap of a table that has grown.
 *
 * A table of a million rows is a million small blocks that are read in any order: they cost a miss
 * of the address translation each unless they lie in huge pages, and an allocator made for all
 * threads costs more than the one writer at a time needs.
 *
 *   region (2 to 32 MiB, one allocation) = pages of 64 KiB, each with blocks of one size class
 *   pages[]      what is known of each page, dense, apart from the pages: freeing a block touches
 *                the block and 32 bytes here
 *   directory    address of a page -> its number (open addressing)
 *
 *   L1  A block belongs to the page its address lies in; a block that lies in none came from elsewhere.
 *   L2  A page is on its class's list of partial pages, or full, or empty; empty pages serve any class.
 *   L3  A region whose pages are all empty is given back, but for one.
 * Thread-safety: none; the heap's users exclude each other.
 * Cost: a few loads; rarely a region. Up to 1/8 of a block is lost to rounding, usually 1/20.
 */
#ifndef DDB_BASE_SLAB_H
#define DDB_BASE_SLAB_H

#include "base/heap.h"
#include "dictdb.h"

#define DDB__SLAB_BLOCK_SIZE_MAX 8320 /* a key segment of 512 slots fits, 7 to a page */

typedef struct ddb__slab ddb__slab;

/* NULL: no memory. Regions are counted in `heap`, which the slab is for. */
ddb__slab *ddb__slab_new(ddb__heap *heap);
/* All blocks are freed. */
void ddb__slab_free(ddb__slab *slab);
/* size <= DDB__SLAB_BLOCK_SIZE_MAX. NULL: no memory. Aligned to 16 bytes. */
void *ddb__slab_take(ddb__slab *slab, size_t size);
/* False when the block is not the slab's; nothing happened then. */
bool ddb__slab_give(ddb__slab *slab, void *block);

#endif
