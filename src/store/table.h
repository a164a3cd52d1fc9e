/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - a table as the layers above the store see it. Its inside is in table_private.h.
 */
#ifndef DDB_STORE_TABLE_H
#define DDB_STORE_TABLE_H

#include "dictdb.h"
#include "store/memo.h"
#include "store/root.h"
#include "store/shape.h"

ddb__shapes *ddb__table_shapes(const ddb_table *table);
ddb__heap *ddb__table_heap(const ddb_table *table);
/* What a table is called in files: unique in its database, ascending in order of creation. */
uint32_t ddb__table_number(const ddb_table *table);
static inline const ddb__root *ddb__view_root(const ddb_view *view) {
  return (const ddb__root *)view->root;
}
/* A view of the same version that belongs to no thread: any may close it, also after `view`, and
 * after the snapshot that `view` is of. It keeps the root's rows and trees, not the key index: look
 * nothing up through it. The caller keeps the table referenced. NOMEM. */
ddb_status ddb__view_hold(const ddb_view *view, ddb_view *held, ddb_error *err);
/* Where the table's columns are kept. NULL in a forked child, which reclaims nothing. */
ddb__memo_pool *ddb__table_memos(const ddb_table *table);
/* When a scan begins: makes room for columns if earlier ones lacked it (memo_room.c). Waits for nobody.
 * Not in a statement that writes. */
void ddb__table_make_room(ddb_table *table, uint32_t scan);
/* The live row with this key in `root`, through the shared key index. The caller has a pin on the
 * table (of any version: it protects the index) and one on `root`. NULL: none. */
const ddb_record *ddb__table_find(const ddb_table *table, const ddb__root *root,
                                  const ddb_value *key, uint64_t *seq);
/* ddb_table_expect, of a hashable key. */
void ddb__table_expect(ddb_table *table, const ddb_value *key, bool again);
/* As ddb_db_table_create, with the number that the table has in a file; 0: the next one. */
ddb_status ddb__db_table_create(ddb_db *db, ddb_str name, const ddb_table_options *options,
                                uint32_t number, ddb_table **out, ddb_error *err);
/* The same in two steps: a table that nobody sees until it is listed, whatever it holds by then. One
 * thread has it; the journal gets all of it with the commit that lists it. list: takes the table; on
 * DDB_OK the caller has a reference; on error the table is gone. Errors as above. */
ddb_status ddb__db_table_begin(ddb_db *db, ddb_str name, const ddb_table_options *options,
                               ddb_table **out, ddb_error *err);
ddb_status ddb__db_table_list(ddb_table *table, uint32_t number, ddb_error *err);
/* Instead of listing it. */
void ddb__db_table_discard(ddb_table *table);
/* Commits are numbered above `commit` from now on: for loading. */
void ddb__db_commit_raise(ddb_db *db, uint64_t commit);
/* Automatic keys go on at `next_key` at least: for loading. */
ddb_status ddb__table_next_key_raise(ddb_table *table, int64_t next_key, ddb_error *err);

#endif
