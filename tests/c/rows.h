/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - small statements for tests: rows {id, a, twin} with twin = -a, so that a torn row shows.
 */
#ifndef DDB_TESTS_ROWS_H
#define DDB_TESTS_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "dictdb.h"

ddb_status rows_insert(ddb_table *table, int64_t id, int64_t a);
ddb_status rows_insert_key(ddb_table *table, const ddb_value *key, int64_t a);
/* The ids first .. first + count - 1 in one statement, a = 10 * id. */
ddb_status rows_insert_many(ddb_table *table, int64_t first, int64_t count);
/* Nothing found is an error (DDB_ERR_RECORD_NOT_FOUND), in the next two. */
ddb_status rows_update(ddb_table *table, int64_t id, int64_t a);
ddb_status rows_delete(ddb_table *table, int64_t id);
/* One field only: leaves the row torn until the other follows. */
ddb_status rows_set_field(ddb_table *table, int64_t id, ddb_str name, int64_t number);
ddb_status rows_set_value(ddb_table *table, int64_t id, ddb_str name, const ddb_value *value);
ddb_status rows_update_all(ddb_table *table, int64_t a);
ddb_status rows_delete_all(ddb_table *table);
ddb_status rows_count_equal(ddb_table *table, ddb_str field, int64_t number, uint64_t *count);

/* Is the row there, whole, with this `a`? */
bool rows_is(const ddb_view *view, int64_t id, int64_t a);
/* Does the view hold first .. first + count - 1 in this order, a = 10 * id, and nothing else? */
bool rows_are(const ddb_view *view, int64_t first, int64_t count);

uint64_t rows_total_bytes(const ddb_table *table);
uint64_t rows_old_bytes(const ddb_table *table);

#endif
