/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - the rows of a sorted index in its order, either way; rows with equal values come in order
 * of insertion both ways, as sorting has it.
 *
 * Backwards, the entries before the cursor are taken a group of equal values at a time: where the
 * last entry has an equal neighbour, the group's beginning is looked up and its entries are given
 * forwards. Locks: none; the version's pin keeps what is read. Cost: O(log n) to begin and for each
 * group of several; O(1) a row. Not to be moved. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_WALK_H
#define DDB_QUERY_WALK_H

#include "dictdb.h"
#include "query/range.h"

typedef struct ddb__walk {
  const ddb__index *index;
  const ddb__rows *rows;
  bool descending;
  uint64_t left; /* entries not yet given, nor in the group */
  uint64_t group_left;
  ddb__tree_cursor cursor;
  ddb__tree_cursor group;
} ddb__walk;

/* Of the match's one range (ddb__range_count is 1), which has `count` entries (ddb__range_entries). */
void ddb__walk_init(ddb__walk *walk, const ddb__match *match, const ddb__rows *rows, uint64_t count,
                    bool descending);
/* False at the end. */
bool ddb__walk_next(ddb__walk *walk, uint64_t *seq);

#endif
