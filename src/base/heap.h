/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - every allocation of the library, sized at both ends and counted.
 *
 * A ddb__heap is a counter of bytes; the memory itself comes from the process's allocator
 * (ddb_allocator_set, else malloc). Each database and table has one heap; what belongs to neither
 * uses ddb__heap_process. Counters are atomic and relaxed: they order nothing.
 * Thread-safety: atomic.
 */
#ifndef DDB_BASE_HEAP_H
#define DDB_BASE_HEAP_H

#include <stdatomic.h>

#include "dictdb.h"

typedef struct ddb__heap {
  _Atomic uint64_t bytes;
  bool exclusive;         /* ddb__heap_open_exclusive; constant while in use */
  struct ddb__slab *slab; /* of an exclusive heap that has grown large */
  struct ddb__heap *next; /* the list of exclusive heaps */
  struct ddb__heap *previous;
} ddb__heap;

extern ddb__heap ddb__heap_process;

/* Makes a zeroed heap one that only one thread at a time changes (the holder of a table's write
 * lock): its counter then needs no locked instruction, which is felt where a statement allocates a
 * dozen nodes. Close it when its last block is freed. */
void ddb__heap_open_exclusive(ddb__heap *heap);
void ddb__heap_close(ddb__heap *heap);

/* NULL when there is no memory. size > 0. Memory is not cleared. */
void *ddb__alloc(ddb__heap *heap, size_t size) __attribute__((malloc, alloc_size(2)));
void *ddb__alloc_zero(ddb__heap *heap, size_t size) __attribute__((malloc, alloc_size(2)));
/* New block with the old contents (old_size bytes of it); on NULL the old one is untouched. */
void *ddb__resize(ddb__heap *heap, void *memory, size_t old_size, size_t new_size);
/* An array with room for `needed` items, which grows by doubling; *capacity counts items, 0 of none.
 * NULL: no memory, as `err` tells; array and capacity are as they were. needed > 0. */
void *ddb__room(ddb__heap *heap, void *items, size_t *capacity, size_t needed, size_t item_size,
                ddb_error *err);
/* NULL is allowed (size is then ignored). */
void ddb__free(ddb__heap *heap, void *memory, size_t size);

/* A heap that is a part of the sum of all: bytes in process memory and in `heap`. */
static inline uint64_t ddb__heap_bytes(const ddb__heap *heap) {
  return atomic_load_explicit(&((ddb__heap *)heap)->bytes, memory_order_relaxed);
}

#endif
