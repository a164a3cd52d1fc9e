/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection.h - the records of a query, a few at a time.
 *
 *   rows of the plan -> [order] -> [distinct] -> offset, limit -> result
 *
 * Without an order rows go straight through, and nobody looks further than is asked for. With one
 * they are sorted when the first is asked for; with a limit and no distinct, only offset + limit rows
 * are held when that is little. "First" in distinct is first in the order asked for.
 *
 * An order may come from an index that is walked; where too few of its rows match, that is given up
 * for a sort, which goes on behind the rows that were given. Candidates are looked up in init only,
 * so that what follows needs no more of the table than the root. The caller keeps the root, and the
 * query's condition and expressions, from init to fini; records borrow from the root. Not to be
 * moved. Memory: the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_SELECTION_H
#define DDB_QUERY_SELECTION_H

#include "dictdb.h"
#include "query/distinct.h"
#include "query/order.h"
#include "query/plan.h"

#define DDB__SELECTION_INLINE 8u

typedef struct ddb__selection {
  ddb__source source;
  ddb__plan plan;
  ddb__scan scan;
  bool scanning;    /* the scan has begun */
  ddb__batch batch; /* rows that were found and not looked at: mask */
  ddb__order_key *keys;
  size_t key_count;          /* 0: insertion order */
  const ddb_record **sorted; /* with keys, once `scanning` is over */
  size_t sorted_count;
  size_t sorted_next;
  uint64_t walked;  /* rows taken from the scan */
  uint64_t matched; /* rows that were sorted */
  bool is_sorted;
  bool is_lent; /* sorted is the caller's */
  bool is_distinct;
  ddb__distinct_column *distinct_columns; /* NULL: on all fields */
  size_t distinct_count;
  ddb__distinct distinct;
  uint64_t to_skip;
  uint64_t left;    /* rows that may still be given */
  uint32_t threads; /* as in ddb_query */
  ddb__order_key inline_keys[DDB__SELECTION_INLINE];
  ddb__distinct_column inline_columns[DDB__SELECTION_INLINE];
} ddb__selection;

/* INVALID: the query counts what it does not point to. */
ddb_status ddb__query_check(const ddb_query *query, ddb_error *err);
/* Errors: INVALID, FIELD_NOT_FOUND, NOMEM; then there is nothing to fini. */
ddb_status ddb__selection_init(ddb__selection *s, const ddb__source *source, const ddb_query *query,
                               ddb_error *err);
void ddb__selection_fini(ddb__selection *s);
/* Before the first row is asked for: these rows, in order, take the place of those that would be found
 * and sorted. Borrowed until fini. */
void ddb__selection_lend(ddb__selection *s, const ddb_record **records, size_t count);
/* At most `capacity` records; *count is 0 at the end only. NOMEM: nothing was given, and nothing is
 * lost; the next call goes on. */
ddb_status ddb__selection_next(ddb__selection *s, const ddb_record **records, size_t capacity,
                               size_t *count, ddb_error *err);

#endif
