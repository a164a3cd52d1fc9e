/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.h - what the changes of a step do to a record.
 *
 * Memory: a builder of the process heap, made when first needed, and reused from record to record.
 * Under the table's write lock; distinct.
 */
#ifndef DDB_QUERY_CHANGE_H
#define DDB_QUERY_CHANGE_H

#include "dictdb.h"
#include "query/expr.h"
#include "store/write.h"

#define DDB__MAKER_INLINE 8u

typedef struct ddb__maker {
  ddb_table *table;
  ddb_builder *scratch;
  /* Of the changes seen last. */
  const ddb_changes *bound;
  const ddb_shape *shape;  /* of all that give the record a value; NULL: there are none */
  ddb__expr_bound **exprs; /* [expr_count], of the changes' expressions; NULL for the others */
  size_t expr_count;
  bool unsets;
  bool removes; /* then the shape depends on the record */
} ddb__maker;

void ddb__maker_init(ddb__maker *maker, ddb_table *table);
void ddb__maker_fini(ddb__maker *maker);
/* Could the changes be made to some record? The errors that do not depend on one. */
ddb_status ddb__maker_check(ddb__maker *maker, const ddb_changes *changes, ddb_error *err);
/* Does what `changes` say to the row, whose record this is. INVALID, TYPE, SCHEMA, KEY, LIMIT, NOMEM. */
ddb_status ddb__maker_apply(ddb__maker *maker, ddb__write *write, uint64_t seq,
                            const ddb_record *record, const ddb_changes *changes, ddb_error *err);

#endif
