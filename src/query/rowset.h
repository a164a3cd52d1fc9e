/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rowset.h - records that a query makes: all of one shape, in a registry of their own, so that
 * conditions and orders over their fields work as over a table's.
 *
 * A registry has a schema of the row's names, any kind of value in each: an unknown name is an error
 * with the nearest one, as for a table with a schema. Ownership: a rowset owns its registry and its
 * records. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_ROWSET_H
#define DDB_QUERY_ROWSET_H

#include "dictdb.h"
#include "query/arena.h"
#include "store/record.h"
#include "store/shape.h"

struct ddb_rowset {
  ddb__shapes *shapes;
  const ddb_shape *shape;
  ddb__arena arena;    /* the records */
  ddb_records records; /* in order */
};

/* `what` they are, of which table (the left one of a join), is for messages. Names that are not among these are unknown. INVALID: no name but
 * the empty one, or a name twice. */
ddb_status ddb__rowset_new(const char *what, ddb_str table, const ddb_str *names, size_t name_count,
                           ddb_rowset **out, ddb_error *err);
/* The same for rows whose shape is settled later (ddb__rowset_settle): `shape` is NULL. Unless it is
 * closed, names beyond these read as null. INVALID: a name twice. */
ddb_status ddb__rowset_open(const char *what, ddb_str table, const ddb_str *names,
                            size_t name_count, bool closed, ddb_rowset **out, ddb_error *err);
/* The rows have these of the names. */
ddb_status ddb__rowset_settle(ddb_rowset *rows, const ddb_str *names, size_t name_count,
                              ddb_error *err);
/* An encoded block of values: its size, and its bytes, into room for them. */
size_t ddb__rowset_block_size(const ddb_value *values, size_t count);
void ddb__rowset_block_fill(ddb__block *block, size_t size, const ddb_value *values, size_t count);
/* A record of one value for each name, in the arena. LIMIT, NOMEM. */
ddb_status ddb__rowset_make(const ddb_shape *shape, ddb__arena *arena, const ddb_value *values,
                            ddb_record **out, ddb_error *err);
ddb_status ddb__rowset_append(ddb_rowset *rows, const ddb_record *record, ddb_error *err);
/* Keeps the records that `having` (NULL: all) holds for. Where the rows are of groups, names in it, and
 * in an order, are what a scope (expr.h) makes of them. */
ddb_status ddb__rowset_keep(ddb_rowset *rows, const ddb_cond *having, const ddb_group_field *groups,
                            size_t group_count, ddb_error *err);
ddb_status ddb__rowset_sort(ddb_rowset *rows, const ddb_order *order, size_t order_count,
                            const ddb_group_field *groups, size_t group_count, ddb_error *err);
/* Keeps `limit` records from `offset` on. */
void ddb__rowset_slice(ddb_rowset *rows, uint64_t offset, uint64_t limit);

#endif
