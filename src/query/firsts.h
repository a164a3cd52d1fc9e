/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firsts.h - the first row of each value of a sorted index, found without looking at the others.
 *
 * Rows with values that are equal in the total order are a group of entries, in order of insertion;
 * the groups come from the least value to the greatest, null and missing first. So the ends of the
 * index are a field's minimum and maximum, its groups are the field's different values, and the first
 * row of a group is the one that a scan would have kept.
 *
 * Locks: none; the version's pin keeps what is read. Cost: O(log n) for each row that is found.
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_FIRSTS_H
#define DDB_QUERY_FIRSTS_H

#include "dictdb.h"
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
/* Appends the first row of each value, by value; nulls: of null too. *given_up: there are so many
 * values that looking at each row costs less. NOMEM. */
ddb_status ddb__firsts_collect(const ddb__index *index, const ddb__rows *rows, bool nulls,
                               ddb__seqs *out, bool *given_up, ddb_error *err);

#endif
