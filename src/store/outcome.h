/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.h - copies of the records that a statement returns.
 *
 * They are made before the commit, so that what is returned cannot fail after it. Freed by
 * ddb_outcome_fini, which knows no capacity: ddb__copies_trim makes the array as large as it has to be.
 */
#ifndef DDB_STORE_OUTCOME_H
#define DDB_STORE_OUTCOME_H

#include "dictdb.h"

typedef struct ddb__copies {
  ddb_record **items; /* NULL: no record for that one */
  size_t count;
  size_t capacity;
} ddb__copies;

/* Appends a copy of the record; NULL: there is none, which is appended too. */
ddb_status ddb__copies_add(ddb__copies *copies, const ddb_record *record, ddb_error *err);
ddb_status ddb__copies_trim(ddb__copies *copies, ddb_error *err);
void ddb__copies_fini(ddb__copies *copies); /* may be used again */

/* Moves trimmed copies into the outcome. */
static inline void ddb__copies_give(ddb__copies *copies, ddb_outcome *outcome) {
  outcome->records = copies->items;
  outcome->record_count = copies->count;
  *copies = (ddb__copies){0};
}

#endif
