/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_private.h - memory for slab.c: from the process's allocator, counted in the heap.
 */
#ifndef DDB_BASE_HEAP_PRIVATE_H
#define DDB_BASE_HEAP_PRIVATE_H

#include "base/heap.h"

/* As ddb__alloc and ddb__free, past the heap's slab. */
void *ddb__heap_take(ddb__heap *heap, size_t size);
void ddb__heap_give(ddb__heap *heap, void *memory, size_t size);

/* `size` bytes at *start, which is a multiple of `alignment`. Returns the allocation, whose size is
 * *allocated. From the system's allocator: huge pages are asked for, where the system has them. */
void *ddb__heap_take_region(ddb__heap *heap, size_t size, size_t alignment, size_t *allocated,
                            uintptr_t *start);
void ddb__heap_give_region(ddb__heap *heap, void *memory, size_t allocated);

#endif
