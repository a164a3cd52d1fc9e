/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - secondary indexes: what one is over, and where a row's entry belongs in its tree.
 *
 *   hash    key: hash of the values                          order: key, seq
 *   sorted  key: the beginning of the values (index_key.h)   order: key, values, seq
 *
 * Every live row of a version has one entry in each index of it, missing values being null. Entries
 * hold no values: where the keys of a sorted index do not decide, the values are read from the rows
 * of the same version. Hence the one rule for writers:
 *
 *   X1  Whenever a tree is searched, each of its entries is that of the row's present record: an
 *       entry is removed before its row changes, and inserted after.
 *
 * What an index is over is a path: a field, or a value inside of it; where a record has none, null.
 *
 * Definitions belong to the table and live as long as it does. Locks: the table's write lock for
 * changes; none for reading. Cost: O(log n); a tie of keys costs a look at a row each.
 */
#ifndef DDB_STORE_INDEX_H
#define DDB_STORE_INDEX_H

#include "dictdb.h"
#include "store/path.h"
#include "store/record.h"
#include "store/rows.h"
#include "store/tree.h"

typedef struct ddb__index_def {
  struct ddb__index_def *next; /* of the table's list */
  ddb_index_kind kind;
  bool unique;
  uint32_t field_count;
  uint32_t step_count; /* of all paths */
  ddb_builder *steps;  /* owned: what the steps borrow from; NULL without one */
  ddb__path paths[];   /* [field_count], then the steps */
} ddb__index_def;

typedef struct ddb__index {
  const ddb__index_def *def;
  ddb__tree tree;
} ddb__index;

struct ddb__root;

/* A place in an index's tree. Borrows the values and the rows. */
typedef struct ddb__index_place {
  ddb__tree_place tree; /* first: what compare gets */
  const ddb__index_def *def;
  const ddb__rows *rows;
  const ddb_value *values;
  uint32_t count;
  bool begins; /* the last value stands for all that start with it */
} ddb__index_place;

/* Its field-th path, with the field's name; borrowed. */
ddb_path ddb__index_path(const ddb_table *table, const ddb__index_def *def, size_t field);
/* values[def->field_count]: what the record has in the index's fields; borrowed. */
void ddb__index_values(const ddb__index_def *def, const ddb_record *record, ddb_value *values);
uint64_t ddb__index_key(const ddb__index_def *def, const ddb_value *values);
/* The place of the row's entry. */
void ddb__index_place_init(ddb__index_place *place, const ddb__index_def *def,
                           const ddb__rows *rows, const ddb_value *values, uint64_t seq);
/* Of a sorted index: before (side -1) or after (1) all entries that begin with these values, with
 * `begins` all whose last one of these starts with the last value. */
void ddb__index_bound_init(ddb__index_place *place, const ddb__index_def *def,
                           const ddb__rows *rows, const ddb_value *values, uint32_t count,
                           bool begins, int side);
/* The order of two lists of values by a sorted index. */
int ddb__index_compare(const ddb_value *a, const ddb_value *b, uint32_t count);
/* Is there another row with equal values? Null equals nothing here, as in SQL. */
bool ddb__index_has_twin(const ddb__index *index, const ddb__rows *rows, const ddb_value *values,
                         uint64_t seq);

/* What an update moves: a bit per index, the last bit for all from the 64th on. Either record may
 * be NULL: all. */
uint64_t ddb__index_moved(const struct ddb__root *root, const ddb_record *old,
                          const ddb_record *new);
/* X1: before the row changes, and after. *clash: a unique index has such values already. */
ddb_status ddb__index_remove(struct ddb__root *root, ddb__edit *edit, uint64_t moved, uint64_t seq,
                             const ddb_record *old, ddb_error *err);
ddb_status ddb__index_insert(struct ddb__root *root, ddb__edit *edit, uint64_t moved, uint64_t seq,
                             const ddb_record *new, bool *clash, ddb_error *err);
/* For tests: the tree, and that each live row has its entry. NULL, or what is wrong. */
const char *ddb__index_check(const struct ddb__root *root, const ddb__index *index);

#endif
