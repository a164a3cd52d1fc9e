/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distinct.h - a set of records that differ on some columns, or on all fields. Values are the same when the
 * total order says so (1 and 1.0 and True; NaN and NaN), a missing field is a null one, and the
 * order of a record's fields does not matter.
 * Memory: the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_DISTINCT_H
#define DDB_QUERY_DISTINCT_H

#include "dictdb.h"
#include "query/term.h"

typedef struct ddb__distinct_entry {
  const ddb_record *record;
  uint64_t hash;
} ddb__distinct_entry;

/* Bound twice, since what an expression gives lasts only until it is evaluated again. */
typedef struct ddb__distinct_column {
  ddb__term new;
  ddb__term old;
} ddb__distinct_column;

typedef struct ddb__distinct {
  ddb__distinct_column *columns; /* borrowed; NULL: all fields */
  size_t column_count;
  ddb__distinct_entry *slots; /* open addressing; record NULL: free */
  size_t slot_count;          /* 0, or a power of 2 */
  size_t count;
} ddb__distinct;

void ddb__distinct_init(ddb__distinct *set, ddb__distinct_column *columns, size_t column_count);
void ddb__distinct_fini(ddb__distinct *set);
/* *added: false when a record that is the same is there. */
ddb_status ddb__distinct_add(ddb__distinct *set, const ddb_record *record, bool *added,
                             ddb_error *err);

#endif
