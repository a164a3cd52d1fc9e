/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firsts.h - the first row of each value of a sorted index, found without looking at the others.
 *
 * Rows with values that are equal in the total order are a group of entries, in order of insertion;
 * the groups come from the least value to the greatest, null and missing first. So the ends of the
 * index are a field's minimum and maximum, its groups are the field's different values (those of
 * several fields together, for an index over these), and the first row of a group is the one that a
 * scan would have kept. In ranges that are just the rows that match a condition, these are their
 * groups: ranges begin and end between groups.
 *
 * Locks: none; the version's pin keeps what is read. Cost: O(log n) for each row that is found.
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_FIRSTS_H
#define DDB_QUERY_FIRSTS_H

#include "dictdb.h"
#include "query/plan.h"
#include "query/seqs.h"
#include "store/root.h"

/* The sorted index over just this path; NULL: there is none. */
const ddb__index *ddb__firsts_index(const ddb__root *root, const ddb__path *path);

/* Rows whose value is not null. */
uint64_t ddb__firsts_count(const ddb__index *index, const ddb__rows *rows);
/* The first row of the least value that is not null; false: all are. */
bool ddb__firsts_least(const ddb__index *index, const ddb__rows *rows, uint64_t *seq);
/* The same of the greatest. */
bool ddb__firsts_greatest(const ddb__index *index, const ddb__rows *rows, uint64_t *seq);

/* What somebody wants the different values of: several paths together, of the rows of a plan. */
typedef struct ddb__firsts {
  const ddb__path *paths;
  size_t path_count;
  /* In the order of these paths, all from the least or all from the greatest: the first `most`. NULL:
   * all, in order of insertion. */
  const ddb__path *order;
  size_t order_count;
  bool descending;
  uint64_t most;
} ddb__firsts;

/* Appends the first row of each value, null included, when an index tells them: *told, and *match its
 * ranges. It does not when there are so many values that looking at each row costs less. The seqs are
 * in no order. NOMEM. */
ddb_status ddb__firsts_collect(const ddb__plan *plan, const ddb__firsts *wanted, ddb__seqs *out,
                               ddb__match *match, bool *told, ddb_error *err);
/* The same rows as the plan's candidates, in order of insertion, in the place of what it had. */
ddb_status ddb__firsts_plan(ddb__plan *plan, const ddb__firsts *wanted, ddb_error *err);

#endif
