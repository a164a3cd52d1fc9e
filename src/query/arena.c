/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - see arena.h. Chunks double up to CHUNK_MAX; what is larger than half of one gets a chunk
 * of its own, behind the one in use.
 */
#include "query/arena.h"

#include "base/heap.h"
#include "base/status.h"
#include "store/value.h"

#define CHUNK_FIRST 1024u
#define CHUNK_MAX   (UINT32_C(1) << 20)
#define ALIGNMENT   16u

_Static_assert(sizeof(ddb__arena_chunk) % ALIGNMENT == 0, "what follows the head is aligned");

static ddb__arena_chunk *chunk_new(size_t size) {
  ddb__arena_chunk *chunk = ddb__alloc(&ddb__heap_process, size);
  if (chunk) {
    chunk->size = size;
  }
  return chunk;
}

static void use_chunk(ddb__arena *arena) {
  arena->at = (char *)(arena->chunks + 1);
  arena->left = arena->chunks->size - sizeof(ddb__arena_chunk);
}

static void *take_apart(ddb__arena *arena, size_t size) {
  ddb__arena_chunk *chunk = chunk_new(size + sizeof(ddb__arena_chunk));
  if (!chunk) {
    return NULL;
  }
  if (arena->chunks) {
    chunk->next = arena->chunks->next;
    arena->chunks->next = chunk;
  } else {
    chunk->next = NULL;
    arena->chunks = chunk;
    arena->left = 0;
  }
  return chunk + 1;
}

void *ddb__arena_take(ddb__arena *arena, size_t size) {
  size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  if (size > arena->left) {
    if (size > CHUNK_MAX / 2) {
      return take_apart(arena, size);
    }
    size_t wanted = arena->chunks ? arena->chunks->size * 2 : CHUNK_FIRST;
    wanted = wanted > CHUNK_MAX ? CHUNK_MAX : wanted;
    while (wanted < size + sizeof(ddb__arena_chunk)) {
      wanted *= 2;
    }
    ddb__arena_chunk *chunk = chunk_new(wanted);
    if (!chunk) {
      return NULL;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    use_chunk(arena);
  }
  void *taken = arena->at;
  arena->at += size;
  arena->left -= size;
  return taken;
}

static void free_chunks(ddb__arena_chunk *chunk) {
  while (chunk) {
    ddb__arena_chunk *next = chunk->next;
    ddb__free(&ddb__heap_process, chunk, chunk->size);
    chunk = next;
  }
}

void ddb__arena_clear(ddb__arena *arena) {
  if (arena->chunks) {
    free_chunks(arena->chunks->next);
    arena->chunks->next = NULL;
    use_chunk(arena);
  }
}

void ddb__arena_fini(ddb__arena *arena) {
  free_chunks(arena->chunks);
  *arena = (ddb__arena){0};
}

ddb_status ddb__arena_copy(ddb__arena *arena, ddb_value *value, ddb_error *err) {
  if (ddb__kind_is_inline(value->kind) || value->size == 0) {
    return DDB_OK;
  }
  void *bytes = ddb__arena_take(arena, value->size);
  if (!bytes) {
    return ddb__fail_memory(err, value->size);
  }
  memcpy(bytes, value->as.data, value->size);
  value->as.data = bytes;
  return DDB_OK;
}
