/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.h - the write path, the only one.
 *
 *   ddb__write w;
 *   status = ddb__write_begin(&w, table, err);        the table's write lock; a private next root
 *   ... ddb__write_insert / _update / _delete ...     copy on write, hints, retire list
 *   status = ddb__write_finish(&w, status, err);      verifies, and commits or aborts
 *
 * Between begin and commit `w.next` is the statement's own view of the table; `w.base` the published
 * one. After a failed step only abort is allowed. commit publishes under the commit latch, then
 * reclaims, then unlocks; a statement that changed nothing publishes nothing. In memory it cannot
 * fail. With a journal it may: before it publishes, and has then aborted; or after, when the log
 * could not be written or synced (READ_ONLY).
 */
#ifndef DDB_STORE_WRITE_H
#define DDB_STORE_WRITE_H

#include "dictdb.h"
#include "store/builder.h"
#include "store/edit.h"
#include "store/root.h"

/* Records from now whose slots of the key index are fetched: about the latency of memory. */
#define DDB__WRITE_AHEAD 6

typedef struct ddb__write {
  ddb_table *table;
  const ddb__root *base;
  ddb__root *next; /* private copy of base, edited */
  ddb__edit *edit; /* the table's */
  bool changed;
  bool hinted;       /* the last insert has put something into the key index */
  uint64_t *clashes; /* rows that met their like in a unique index */
  size_t clash_count;
  size_t clash_capacity;
} ddb__write;

ddb_status ddb__write_begin(ddb__write *write, ddb_table *table, ddb_error *err);
/* Inserts a record of the batch, assigning an automatic key when the shape asks for it. *key: the
 * key, borrowed from the batch's item or an int. DUPLICATE_KEY, KEY, LIMIT, NOMEM. */
ddb_status ddb__write_insert(ddb__write *write, const ddb__item *item, ddb_value *key,
                             ddb_error *err);
/* Inserts records of one shape, of which each value is given, in order. Faster than one by one. */
ddb_status ddb__write_insert_run(ddb__write *write, const ddb_shape *shape,
                                 const ddb__block *const *blocks, size_t count, ddb_error *err);
/* Begins to bring in what the insert of the item, `ahead` records from now, will touch. */
void ddb__write_fetch(const ddb__write *write, const ddb__item *item, size_t ahead);
/* Finds the live row with this key in `next`. *seq, *record: set when found. */
bool ddb__write_find(const ddb__write *write, const ddb_value *key, uint64_t *seq,
                     const ddb_record **record);
/* Merges `changes` (a block of `changes_shape`) into the row's record. */
ddb_status ddb__write_update(ddb__write *write, uint64_t seq, const ddb_record *record,
                             const ddb_shape *changes_shape, const ddb__block *changes,
                             ddb_error *err);
/* Inserts the record, which has its key, or puts it in the place of the one with that key. */
ddb_status ddb__write_put(ddb__write *write, const ddb__item *item, ddb_error *err);
/* Puts a whole record, with the same primary key, in the place of the row's. */
ddb_status ddb__write_replace(ddb__write *write, uint64_t seq, const ddb_record *record,
                              const ddb_shape *stored, const ddb__block *block, ddb_error *err);
ddb_status ddb__write_delete(ddb__write *write, uint64_t seq, const ddb_record *record,
                             ddb_error *err);
/* The statement's last step that can fail: DUPLICATE_KEY, naming index and values. Before each commit. */
ddb_status ddb__write_verify(ddb__write *write, ddb_error *err);
/* Instead of it, for statements that were verified when they were made, and may be seen in parts now. */
void ddb__write_trust(ddb__write *write);
ddb_status ddb__write_commit(ddb__write *write, ddb_error *err) __attribute__((warn_unused_result));
void ddb__write_abort(ddb__write *write);
/* Verifies and commits when `status` is OK, else aborts and returns it. */
ddb_status ddb__write_finish(ddb__write *write, ddb_status status, ddb_error *err);

#endif
