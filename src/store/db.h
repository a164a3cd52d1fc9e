/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - the catalogue's and the snapshots' common ground inside the store.
 *
 * References. A database lives while it has any: one for each handle, each snapshot, and each table
 * that users hold. A table's own count is its users' only; the catalogue lists it without counting.
 * The step from 0 to 1 and back is made under db->catalogue, so that listing, freeing and getting
 * agree.
 */
#ifndef DDB_STORE_DB_H
#define DDB_STORE_DB_H

#include "store/table_private.h"

/* References to the tables for which `root_of` gives a root, in order of creation. Under no lock. */
ddb_status ddb__db_collect_tables(ddb_db *db, const ddb_snapshot *snapshot, ddb_table ***out,
                                  size_t *count, ddb_error *err);
/* Under db->catalogue: one more user of a listed table. */
void ddb__table_reference_locked(ddb_table *table);

#endif
