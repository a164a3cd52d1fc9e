/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that is taken piece by piece and given back at once: what a query makes for its
 * result. Chunks come from the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_ARENA_H
#define DDB_QUERY_ARENA_H

#include "dictdb.h"

typedef struct ddb__arena_chunk {
  struct ddb__arena_chunk *next;
  size_t size; /* of the chunk, this head included */
} ddb__arena_chunk;

typedef struct ddb__arena {
  ddb__arena_chunk *chunks; /* the one in use first */
  char *at;
  size_t left;
} ddb__arena; /* {0}: empty */

/* 16-byte aligned, not cleared; NULL: no memory. */
void *ddb__arena_take(ddb__arena *arena, size_t size);
/* Gives all back but the newest chunk, to be filled again. */
void ddb__arena_clear(ddb__arena *arena);
void ddb__arena_fini(ddb__arena *arena);
/* Makes the value's bytes the arena's own. NOMEM. */
ddb_status ddb__arena_copy(ddb__arena *arena, ddb_value *value, ddb_error *err);

#endif
