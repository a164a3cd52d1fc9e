/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - a persistent (copy-on-write) radix vector: sequence number -> record, or NULL.
 *
 *   root --> [64 children] --> ... --> leaf [64 records]
 *   height 0: empty; 1: the root is a leaf; each level multiplies the reach by 64.
 *
 * Sequence numbers only grow; an emptied leaf, and a branch of emptied ones, is dropped (its pointer
 * is NULL). Appends: slots at or beyond `end` of every published version are invisible, so an
 * append may write them in a published leaf (invariant R2) without a copy.
 *
 *   R1  A reader of version v touches only slots below v's `end`.
 *   R2  A slot at or beyond the newest published `end` is written by the one writer only; an aborted
 *       append leaves garbage there, which the next append overwrites.
 * Because of R2 a leaf has no mask of live rows: a NULL record marks a hole.
 */
#ifndef DDB_STORE_ROWS_H
#define DDB_STORE_ROWS_H

#include "dictdb.h"
#include "store/edit.h"
#include "store/record.h"

#ifdef DDB_TESTING
#define DDB__ROWS_BITS 2u
#else
#define DDB__ROWS_BITS 6u
#endif
#define DDB__ROWS_FAN (1u << DDB__ROWS_BITS)

typedef struct ddb__rows_node ddb__rows_node;

typedef struct ddb__rows {
  ddb__rows_node *root;
  uint32_t height;
  uint64_t end; /* the next sequence number */
} ddb__rows;

/* NULL: no such row. */
const ddb_record *ddb__rows_get(const ddb__rows *rows, uint64_t seq);
/* Starts to bring in what a change of the row reads: its leaf or, when `deeper`, for which the leaf is
 * read, its record. */
void ddb__rows_fetch(const ddb__rows *rows, uint64_t seq, bool deeper);
/* Starts to bring in what a reader of the row looks at first: where its leaf has the record. */
void ddb__rows_fetch_slot(const ddb__rows *rows, uint64_t seq);
/* The slots from `seq` (< end) to the end of its leaf, at most to rows->end: *count of them; NULL
 * entries are holes. Returns NULL where there is no leaf: the next *count rows are all holes. */
const ddb_record *const *ddb__rows_run(const ddb__rows *rows, uint64_t seq, uint64_t *count);

/* The node of the block (memo.h) that begins at `seq`, or NULL: it does not begin there, not all of its
 * rows exist yet, or none does any more. */
ddb__rows_node *ddb__rows_block(const ddb__rows *rows, uint64_t seq);
/* The records of a block's leaf, NULL when the leaf is gone. */
const ddb_record *const *ddb__rows_block_leaf(const ddb__rows_node *block, size_t leaf);

/* Stores a record at rows->end and moves end. Reserves by itself. */
ddb_status ddb__rows_append(ddb__rows *rows, ddb__edit *edit, const ddb_record *record,
                            ddb_error *err);
/* The same for several, in order. After an error those before the new end are in. */
ddb_status ddb__rows_append_run(ddb__rows *rows, ddb__edit *edit, ddb_record *const *records,
                                size_t count, ddb_error *err);
/* Replaces the record of a live row (NULL: deletes the row). The old record is *not* retired: it is
 * the caller's. */
ddb_status ddb__rows_set(ddb__rows *rows, ddb__edit *edit, uint64_t seq, const ddb_record *record,
                         ddb_error *err);

/* Abort: frees the nodes and records born in `version`, those appended since old_end included. */
void ddb__rows_free_born(ddb__rows *rows, ddb__heap *heap, uint64_t version, uint64_t old_end);
/* Frees a node that can have a memo, and its reference of that. Under the table's write lock. */
void ddb__rows_block_free(ddb__heap *heap, ddb__rows_node *block);
/* Frees everything, records too: the table goes. */
void ddb__rows_free(ddb__rows *rows, ddb__heap *heap);
/* Calls `change` for every row below old->end that differs, in order, then for the later ones: before
 * is NULL for an appended row, after for a deleted one. `new` comes from `old` by sets and appends. A
 * status other than OK ends it and is returned. Cost: nodes that both share are not looked into. */
typedef ddb_status (*ddb__rows_change)(void *context, const ddb_record *before,
                                       const ddb_record *after, ddb_error *err);
ddb_status ddb__rows_diff(const ddb__rows *old, const ddb__rows *new, ddb__rows_change change,
                          void *context, ddb_error *err);
/* For tests. NULL, or what is wrong. *count: live rows found. */
const char *ddb__rows_check(const ddb__rows *rows, uint64_t version, uint64_t *count);

#endif
