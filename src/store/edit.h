/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit.h - one statement's work on the next version of a table.
 *
 * Persistent structures (rows.h, tree.h) take an edit to allocate nodes, and to retire what they
 * replace. Every node starts with ddb__node: the version it was born in. A node born in the edit's
 * version is private and is changed in place; an older one is copied and retired.
 *
 *   Invariants
 *   E1  What is retired in an edit was reached by the last published root, and only there once.
 *   E2  Retiring cannot fail: room is reserved before the copy that makes it necessary.
 *   E3  A node born in this edit and dropped again is freed at once: nobody else has seen it.
 * Under the table's write lock; owned by the statement.
 */
#ifndef DDB_STORE_EDIT_H
#define DDB_STORE_EDIT_H

#include "base/heap.h"
#include "base/status.h"
#include "dictdb.h"

typedef struct ddb__node {
  uint64_t birth;
} ddb__node;

/* What `memory` of a retired item is, beyond plain memory. */
enum {
  DDB__RETIRED_PLAIN,
  DDB__RETIRED_BLOCK, /* a rows node that can have a memo (memo.h): a reference of that goes with it */
  DDB__RETIRED_MEMO /* a reference of a memo; extra is 0 */
};

/* What is freed once no pin s has birth <= s < retire. */
typedef struct ddb__retired {
  void *memory; /* node, record, root or index segment; of a hint: NULL */
  uint64_t birth;
  uint64_t retire; /* the first version that does not reach it; stamped at commit */
  uint64_t hash;   /* of a hint: the key's hash; else what memory is */
  uint64_t extra;  /* memory: its size in bytes; a hint: its sequence number */
} ddb__retired;

/* Of a chunk, at most: 4 KiB. The first ones of an edit are smaller, since a database may have many
 * tables of a row or two. One that is not enough grows. */
#ifdef DDB_TESTING
#define DDB__RETIRED_CHUNK_ITEMS 7u
#define DDB__RETIRED_FIRST_ITEMS 2u
#else
#define DDB__RETIRED_CHUNK_ITEMS 102u
#define DDB__RETIRED_FIRST_ITEMS 3u
#endif

typedef struct ddb__retired_chunk {
  struct ddb__retired_chunk *next;
  uint32_t count;
  uint32_t capacity;
  ddb__retired items[];
} ddb__retired_chunk;

/* First in, first out, by chunks; moving a whole list costs one store. */
typedef struct ddb__retired_list {
  ddb__retired_chunk *head;
  ddb__retired_chunk *tail;
  uint64_t count; /* items */
} ddb__retired_list;

typedef struct ddb__edit {
  ddb__heap *heap;
  uint64_t version; /* that the nodes of this edit are born in */
  ddb__retired_list retired;
  ddb__retired_chunk *spare; /* reserved, empty */
  size_t room;               /* items that fit into retired's tail and the spare chunks */
  uint32_t chunk_items;      /* that the next new chunk has place for */
  uint64_t retired_bytes;
} ddb__edit;

void ddb__edit_init(ddb__edit *edit, ddb__heap *heap, uint64_t version);
/* Frees the list, not what is on it. */
void ddb__edit_fini(ddb__edit *edit);
/* Stamps what was retired with `retire` and moves it to the end of `queue`. Cannot fail. */
void ddb__edit_flush(ddb__edit *edit, uint64_t retire, ddb__retired_list *queue);
/* Makes room for `count` calls of ddb__edit_retire (or _drop, _retire_hint) before the next reserve,
 * and always keeps one more, for the root that a commit retires. NOMEM. */
ddb_status ddb__edit_reserve(ddb__edit *edit, size_t count, ddb_error *err);
/* Room was reserved. */
void ddb__edit_retire(ddb__edit *edit, void *memory, uint64_t birth, size_t size);
void ddb__edit_retire_as(ddb__edit *edit, uint64_t what, void *memory, uint64_t birth, size_t size);
void ddb__edit_retire_hint(ddb__edit *edit, uint64_t hash, uint64_t seq, uint64_t birth);
/* Retires an old node, or frees one of this edit (E3). Room for one was reserved. */
void ddb__edit_drop(ddb__edit *edit, void *memory, uint64_t birth, size_t size);

/* Abort: takes versioned items off the list again, since the published root still reaches them;
 * replaced index segments and directories (birth 0) are not undone, and stay. */
void ddb__edit_keep_unversioned(ddb__edit *edit);
/* Makes the edit ready for the next statement, with at most one chunk kept. */
void ddb__edit_reset(ddb__edit *edit, uint64_t version);

/* Empty, in no list. NULL: no memory. */
ddb__retired_chunk *ddb__retired_chunk_new(ddb__heap *heap, uint32_t capacity);
void ddb__retired_chunk_free(ddb__heap *heap, ddb__retired_chunk *chunk);
/* Lists of chunks. pop takes the first chunk off, NULL when there is none; splice moves all of
 * `from` to the end of `list`. */
void ddb__retired_list_append(ddb__retired_list *list, ddb__retired_chunk *chunk);
ddb__retired_chunk *ddb__retired_list_pop(ddb__retired_list *list);
void ddb__retired_list_splice(ddb__retired_list *list, ddb__retired_list *from);

#endif
