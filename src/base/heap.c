/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c - the allocator hook and the counters.
 *
 *   ddb__heap of a table:  bytes ──┐            one atomic add each, on a line of the table
 *   shards[16]:            sum of all heaps but the process heap, spread by thread
 *   ddb__heap_process:     bytes ──┘            process memory = its bytes + sum of the shards
 *   exclusive heaps:       bytes, listed                       + sum over the list
 *
 * Invariants
 *   1. A block counts in its heap and in the process sum from after it was got until before it is
 *      given back, with the size that was asked for.
 *   2. A shard alone means nothing (one thread may free what another allocated, so that it wraps);
 *      the sum of all is the number of bytes, exact whenever no call is in progress.
 *   3. The allocator changes only while nothing is in use: each block goes back where it came from.
 *   4. An exclusive heap is counted by plain relaxed loads and stores: its users exclude each other.
 * Locks: list_mutex guards the list of exclusive heaps; a leaf, held across fork.
 * Cost: two uncontended atomic additions over the allocator's own; none for an exclusive heap.
 */
#include "base/heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/heap_private.h"
#include "base/slab.h"
#include "base/status.h"

#define SHARD_COUNT    16u
#define SHARD_STRIDE   64u
#define HUGE_PAGE_SIZE ((size_t)2 << 20)
/* Below it a table's blocks are few: a region for them would be mostly unused. */
#define SLAB_HEAP_SIZE_MIN ((uint64_t)1 << 20)

typedef struct heap_shard {
  _Alignas(SHARD_STRIDE) _Atomic uint64_t bytes;
} heap_shard;

ddb__heap ddb__heap_process;

static heap_shard shards[SHARD_COUNT];

static void *system_allocate(void *context, size_t size) {
  (void)context;
  return malloc(size);
}

static void system_release(void *context, void *memory, size_t size) {
  (void)context;
  (void)size;
  free(memory);
}

/* Written only while no memory is in use and, by contract, by the only thread. */
static ddb_allocator allocator = {system_allocate, system_release, NULL};

/* A thread's own address names its shard: threads seldom share one, and it needs no record. */
static _Atomic uint64_t *own_shard(void) {
  static _Thread_local char anchor __attribute__((tls_model("initial-exec")));
  uint64_t mixed = (uint64_t)(uintptr_t)&anchor * UINT64_C(0x9e3779b97f4a7c15);
  return &shards[mixed >> 60].bytes;
}
_Static_assert(SHARD_COUNT == 16, "own_shard takes four bits");

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static ddb__heap *list_first;

static void fork_prepare(void) {
  pthread_mutex_lock(&list_mutex);
}

static void fork_done(void) {
  pthread_mutex_unlock(&list_mutex);
}

__attribute__((constructor)) static void set_up(void) {
  (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

void ddb__heap_open_exclusive(ddb__heap *heap) {
  heap->exclusive = true;
  pthread_mutex_lock(&list_mutex);
  heap->previous = NULL;
  heap->next = list_first;
  if (list_first != NULL) {
    list_first->previous = heap;
  }
  list_first = heap;
  pthread_mutex_unlock(&list_mutex);
}

void ddb__heap_close(ddb__heap *heap) {
  if (heap->slab != NULL) {
    ddb__slab_free(heap->slab);
    heap->slab = NULL;
  }
  pthread_mutex_lock(&list_mutex);
  *(heap->previous != NULL ? &heap->previous->next : &list_first) = heap->next;
  if (heap->next != NULL) {
    heap->next->previous = heap->previous;
  }
  pthread_mutex_unlock(&list_mutex);
}

static uint64_t exclusive_bytes(void) {
  uint64_t sum = 0;
  pthread_mutex_lock(&list_mutex);
  for (const ddb__heap *heap = list_first; heap != NULL; heap = heap->next) {
    sum += ddb__heap_bytes(heap);
  }
  pthread_mutex_unlock(&list_mutex);
  return sum;
}

/* `bytes` may be a negated size: counters wrap. */
static void count_bytes(ddb__heap *heap, uint64_t bytes) {
  if (heap->exclusive) {
    uint64_t old = atomic_load_explicit(&heap->bytes, memory_order_relaxed);
    atomic_store_explicit(&heap->bytes, old + bytes, memory_order_relaxed);
    return;
  }
  atomic_fetch_add_explicit(&heap->bytes, bytes, memory_order_relaxed);
  if (heap != &ddb__heap_process) {
    atomic_fetch_add_explicit(own_shard(), bytes, memory_order_relaxed);
  }
}

uint64_t ddb_process_memory(void) {
  uint64_t sum = ddb__heap_bytes(&ddb__heap_process) + exclusive_bytes();
  for (size_t i = 0; i < SHARD_COUNT; i++) {
    sum += atomic_load_explicit(&shards[i].bytes, memory_order_relaxed);
  }
  /* A block freed between two of the loads by another thread than its maker's. */
  return sum > UINT64_MAX / 2 ? 0 : sum;
}

ddb_status ddb_allocator_set(const ddb_allocator *wanted, ddb_error *err) {
  uint64_t used = ddb_process_memory();
  if (used != 0) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "the allocator cannot change: %llu bytes of the present one are in use",
                     (unsigned long long)used);
  }
  if (wanted != NULL && (wanted->allocate == NULL || wanted->release == NULL)) {
    return ddb__fail(err, DDB_ERR_INVALID, "an allocator needs both allocate and release");
  }
  allocator = wanted != NULL ? *wanted : (ddb_allocator){system_allocate, system_release, NULL};
  return DDB_OK;
}

void *ddb__heap_take(ddb__heap *heap, size_t size) {
  if (size > PTRDIFF_MAX) {
    return NULL;
  }
  void *memory = allocator.allocate(allocator.context, size);
  if (memory != NULL) {
    count_bytes(heap, size);
  }
  return memory;
}

void ddb__heap_give(ddb__heap *heap, void *memory, size_t size) {
  if (memory == NULL) {
    return;
  }
  count_bytes(heap, UINT64_C(0) - (uint64_t)size);
  allocator.release(allocator.context, memory, size);
}

static bool system_memory(void) {
  return allocator.allocate == system_allocate;
}

/* `size`: huge pages. Past malloc, which would keep some regions of this size among small blocks, and
 * so neither give them back nor leave them whole. */
static void *map_aligned(size_t size) {
  char *whole =
      mmap(NULL, size + HUGE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) {
    return NULL;
  }
  size_t before = -(uintptr_t)whole & (HUGE_PAGE_SIZE - 1);
  if (before > 0) {
    (void)munmap(whole, before);
  }
  (void)munmap(whole + before + size, HUGE_PAGE_SIZE - before);
  return whole + before;
}

void *ddb__heap_take_region(ddb__heap *heap, size_t size, size_t alignment, size_t *allocated,
                            uintptr_t *start) {
  if (!system_memory()) {
    *allocated = size + alignment;
    void *memory = ddb__heap_take(heap, *allocated);
    *start = ((uintptr_t)memory + alignment - 1) & ~(uintptr_t)(alignment - 1);
    return memory;
  }
  *allocated = size;
  void *memory = map_aligned(size);
  if (memory != NULL) {
    (void)madvise(memory, size, MADV_HUGEPAGE); /* advice: it may be refused */
    count_bytes(heap, size);
  }
  *start = (uintptr_t)memory;
  return memory;
}

void ddb__heap_give_region(ddb__heap *heap, void *memory, size_t allocated) {
  if (!system_memory()) {
    ddb__heap_give(heap, memory, allocated);
    return;
  }
  (void)munmap(memory, allocated);
  count_bytes(heap, UINT64_C(0) - (uint64_t)allocated);
}

/* The testing build keeps each block apart, so that tools see every misuse. */
#ifdef DDB_TESTING
static ddb__slab *slab_for(ddb__heap *heap, size_t size) {
  (void)size;
  return heap->slab;
}
#else
static ddb__slab *slab_for(ddb__heap *heap, size_t size) {
  if (!heap->exclusive || size > DDB__SLAB_BLOCK_SIZE_MAX) {
    return NULL;
  }
  if (heap->slab == NULL && ddb__heap_bytes(heap) >= SLAB_HEAP_SIZE_MIN) {
    heap->slab = ddb__slab_new(heap);
  }
  return heap->slab;
}
#endif

void *ddb__alloc(ddb__heap *heap, size_t size) {
  ddb__slab *slab = slab_for(heap, size);
  return slab != NULL ? ddb__slab_take(slab, size) : ddb__heap_take(heap, size);
}

void *ddb__alloc_zero(ddb__heap *heap, size_t size) {
  void *memory = ddb__alloc(heap, size);
  if (memory != NULL) {
    memset(memory, 0, size);
  }
  return memory;
}

/* The system's realloc can grow in place, and moves large blocks without copying. */
static void *resize_system(ddb__heap *heap, void *memory, size_t old_size, size_t new_size) {
  void *moved = realloc(memory, new_size);
  if (moved != NULL) {
    count_bytes(heap, (uint64_t)new_size - (uint64_t)old_size);
  }
  return moved;
}

void *ddb__resize(ddb__heap *heap, void *memory, size_t old_size, size_t new_size) {
  if (memory == NULL) {
    return ddb__alloc(heap, new_size);
  }
  if (new_size > PTRDIFF_MAX) {
    return NULL;
  }
  if (system_memory() && heap->slab == NULL) {
    return resize_system(heap, memory, old_size, new_size);
  }
  void *moved = ddb__alloc(heap, new_size);
  if (moved != NULL) {
    memcpy(moved, memory, old_size < new_size ? old_size : new_size);
    ddb__free(heap, memory, old_size);
  }
  return moved;
}

#define ROOM_SIZE_FIRST  256u
#define ROOM_COUNT_FIRST 8u

void *ddb__room(ddb__heap *heap, void *items, size_t *capacity, size_t needed, size_t item_size,
                ddb_error *err) {
  if (needed <= *capacity) {
    return items;
  }
  size_t wanted = *capacity;
  if (wanted == 0) {
    wanted = ROOM_SIZE_FIRST / item_size;
    wanted = wanted > ROOM_COUNT_FIRST ? wanted : ROOM_COUNT_FIRST;
  }
  bool fits = needed <= (size_t)PTRDIFF_MAX / 2 / item_size;
  while (wanted < needed && fits) {
    wanted *= 2;
  }
  void *grown = fits ? ddb__resize(heap, items, *capacity * item_size, wanted * item_size) : NULL;
  if (!grown) {
    (void)ddb__fail_memory(err, wanted * item_size);
    return NULL;
  }
  *capacity = wanted;
  return grown;
}

void ddb__free(ddb__heap *heap, void *memory, size_t size) {
  bool from_slab = heap->slab != NULL && memory != NULL && size <= DDB__SLAB_BLOCK_SIZE_MAX &&
                   ddb__slab_give(heap->slab, memory);
  if (!from_slab) {
    ddb__heap_give(heap, memory, size);
  }
}
