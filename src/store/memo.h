/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo.h - columns kept with the rows: what scans have decoded of a block of rows, for the next scan.
 *
 * A block is the rows below one node of level 2 (64 leaves, 4,096 rows) all of whose rows exist. Its
 * memo is an immutable set of columns: one field's values of all its rows, packed, with their least
 * and greatest. Scans that find a column read it instead of the records.
 *
 *   block --> memo --> column of "age"   (u8 above a base)
 *                  \-> column of "city"  (u8 codes, a dictionary)
 *
 *   M1  A memo tells what the records of its rows say; rows that changed since it was made are named
 *       by the nodes (RN1 of rows_node.h) and their values in it are not to be used.
 *   M2  Memos are made from published versions only. A version number is used again after an aborted
 *       statement, and only what was published is what its birth says for ever.
 *   M3  Publication is one compare and exchange (release); a loser frees what it made. What it replaced
 *       may be in use by readers of every version that reaches the node: it goes on the pool's list
 *       of stale memos, which the next writer retires with the interval from the node's birth to its
 *       own version, and so through the ordinary reclamation.
 *   M4  A memo is freed with its last reference: of nodes (each is reclaimed when no pin can see it),
 *       of the stale list, of retired items. They are counted under the table's write lock alone; a
 *       column's references are atomic, since readers share columns between memos.
 *   M5  Nothing here fails a statement: what cannot be had is not made.
 *   M6  When the budget is full, columns of fields that scans do not ask for any more give way
 *       (memo_room.c).
 * Memory: a heap of the pool's, within its budget; it counts into the table's.
 * Cost: 10 to 20 ns a row and column to make, less than 1 ns a row to read (query/vector.h).
 */
#ifndef DDB_STORE_MEMO_H
#define DDB_STORE_MEMO_H

#include <stdatomic.h>

#include "base/heap.h"
#include "dictdb.h"
#include "store/column.h"
#include "store/edit.h"
#include "store/rows.h"

typedef struct ddb__memo {
  uint64_t birth; /* of the node it was made from */
  uint32_t references;
  uint32_t count;
  uint32_t capacity;
  ddb__memo_pool *pool;
  uint64_t live[DDB__BLOCK_WORDS]; /* rows that are there */
  ddb__column *columns[];          /* [count] of [capacity] */
} ddb__memo;

typedef struct ddb__stale {
  struct ddb__stale *next;
  ddb__memo *memo;
  uint64_t birth; /* of the node that had it */
} ddb__stale;

#define DDB__MEMO_USES 64u

/* A table's memos. */
struct ddb__memo_pool {
  ddb__heap heap;
  const ddb__heap *table_heap;
  _Atomic uint64_t budget; /* bytes; DDB_COLUMN_BUDGET_AUTO */
  _Atomic uint64_t used;   /* bytes of memos and columns, of those being made too */
  _Atomic(ddb__stale *) stale;
  _Atomic uint32_t scans; /* that have begun */
  _Atomic uint32_t
      uses[DDB__MEMO_USES];    /* the last scan that asked for a field, by its id; 0: none */
  _Atomic uint64_t lacking;    /* bytes that scans had no room for, since room was made */
  _Atomic uint32_t room_again; /* the first scan that may make room */
};

void ddb__memo_pool_init(ddb__memo_pool *pool, const ddb__heap *table_heap);
/* All nodes are freed. */
void ddb__memo_pool_fini(ddb__memo_pool *pool);
/* In bytes, for the table as it is now. Atomic. */
uint64_t ddb__memo_pool_budget(const ddb__memo_pool *pool);
/* The number of a scan that begins. */
uint32_t ddb__memo_pool_begin_scan(ddb__memo_pool *pool);
/* Notes that a scan reads a field; true when an earlier one did: columns pay from the second on. */
bool ddb__memo_pool_use(ddb__memo_pool *pool, uint32_t field_id, uint32_t scan);
/* For memo_room.c: memory beyond the budget, that room is made with (NULL: there is none); the size of
 * a memo; a stale one. */
void *ddb__memo_take_anyway(ddb__memo_pool *pool, size_t size);
size_t ddb__memo_size(size_t column_count);
void ddb__memo_pool_push(ddb__memo_pool *pool, ddb__stale *stale);

/* The columns of these fields, distinct, for a block of a published root that the caller has pinned:
 * what there is, and with `build` what the budget allows to make or to bring up to date. NULL: no
 * memo. The memo is valid as long as the pin. */
const ddb__memo *ddb__memo_get(ddb__memo_pool *pool, ddb__rows_node *block, const uint32_t *fields,
                               size_t count, bool build);
/* NULL: the memo has no such column. */
const ddb__column *ddb__memo_column(const ddb__memo *memo, uint32_t field_id);

/* Whether there are rows of the block that the memo says nothing true about; when there are, which, in
 * a word for each leaf. */
bool ddb__memo_dirty(const ddb__memo *memo, const ddb__rows_node *block,
                     uint64_t dirty[DDB__ROWS_FAN]);

/* Under the table's write lock: drops one reference. */
void ddb__memo_release(ddb__memo *memo);
/* Under the table's write lock: moves stale memos to the edit's retire list, as far as there is
 * memory for the list. */
void ddb__memo_pool_retire(ddb__memo_pool *pool, ddb__edit *edit);
/* Takes the memos off all blocks of the rows, for the stale list. False: no memory for the list; some
 * may be off already. Under the table's write lock. */
bool ddb__memo_pool_drop(ddb__memo_pool *pool, const ddb__rows *rows);

#endif
