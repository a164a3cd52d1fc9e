/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matches.h - the rows that a statement is about, found in the version that it is making.
 *
 * All are found before the first is changed: a change moves index entries that the search still
 * needs. `primary key == value` goes straight to its row. Memory: 24 bytes a row, the first few in
 * place. Under the table's write lock; distinct.
 */
#ifndef DDB_QUERY_MATCHES_H
#define DDB_QUERY_MATCHES_H

#include "dictdb.h"
#include "store/write.h"

typedef struct ddb__hit {
  uint64_t seq;
  const ddb_record *record;
  size_t choice; /* a judge's, else 0 */
} ddb__hit;

#define DDB__UNJUDGED (DDB_JUDGE_LEAVE - 1)

#define DDB__MATCHES_INLINE 4u
typedef struct ddb__matches {
  ddb__hit *items;
  size_t count;
  size_t capacity;
  bool stale;          /* a record was not judged */
  bool keeps_unjudged; /* these are then among the items, with that choice; nothing is changed */
  ddb__hit inline_items[DDB__MATCHES_INLINE];
} ddb__matches;

static inline void ddb__matches_init(ddb__matches *found) {
  found->items = found->inline_items;
  found->count = 0;
  found->capacity = DDB__MATCHES_INLINE;
  found->stale = found->keeps_unjudged = false;
}
void ddb__matches_fini(ddb__matches *found);
/* Every row that `where` (NULL: all) holds for, in order. FIELD_NOT_FOUND, NOMEM. */
ddb_status ddb__matches_where(ddb__matches *found, const ddb__write *write, const ddb_cond *where,
                              ddb_error *err);
/* The rows of a step. FIELD_NOT_FOUND, KEY, INVALID, NOMEM. */
ddb_status ddb__matches_step(ddb__matches *found, const ddb__write *write, const ddb_step *step,
                             ddb_error *err);

#endif
