/* SPDX-License-Identifier: Apache-2.0 */
/*
 * range.h - what a leaf of a condition asks of an index: the ranges of its entries that hold all
 * rows for which the leaf is true.
 *
 *   kind of index   leaves                        ranges
 *   hash            ==, is_null, in               a run of equal hashes for each value
 *   sorted          these, and <, <=, >, >=,      one for each value, else one; all but one when
 *                   between, startswith, like     the leaf is negated
 *
 * Ranges may hold too much, never too little; "exact" ones hold nothing else:
 *   - null and missing are equal, and the least of all values; NaN, and what holds it, equals
 *     nothing and is never less or greater;
 *   - < and its like are defined within a class of comparable values only, which is a range too;
 *   - equal hashes may be those of different values;
 *   - a like is == when its pattern is all literal, else what starts as the pattern does.
 * Cost: O(log n) to make and to count one, a value at a time.
 */
#ifndef DDB_QUERY_RANGE_H
#define DDB_QUERY_RANGE_H

#include "dictdb.h"
#include "query/bound.h"
#include "query/seqs.h"
#include "store/root.h"

/* Leaves that are true together, by the fields of an index: leading == (or is_null), then what is
 * known of the next field. */
typedef struct ddb__match {
  const ddb__index *index;
  uint8_t equal_count;
  bool negated;         /* of a single leaf */
  bool skips_nulls;     /* of the next field, when nothing is known of it */
  const ddb_cond *low;  /* of the next field; NULL: nothing is known of it */
  const ddb_cond *high; /* a second one, when `low` is > or >= and this is < or <= */
  const ddb_cond *equals[DDB_INDEX_FIELD_COUNT_MAX];
} ddb__match;

/* Might some index serve the leaf? */
bool ddb__range_knows(const ddb_cond *leaf);
/* Does the leaf fix its field to one value, null included? */
bool ddb__range_is_equal(const ddb_cond *leaf);
/* Can a sorted index (negated or not), or a hash index, serve the leaf as the last of a match? */
bool ddb__range_serves(ddb_index_kind kind, const ddb_cond *leaf, bool negated);
/* Are the rows of the match's ranges just those for which all its leaves are true? Each of them
 * once? */
bool ddb__range_is_exact(const ddb__match *match);

/* One range of entries; place to place. Not to be moved. */
typedef struct ddb__range {
  ddb__index_place from;
  ddb__index_place to;
  bool from_start; /* from the first entry of the index */
  bool to_end;     /* to the last one */
  ddb_value low[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_value high[DDB_INDEX_FIELD_COUNT_MAX];
} ddb__range;

size_t ddb__range_count(const ddb__match *match);
/* False: the range is empty. index < ddb__range_count. */
bool ddb__range_init(ddb__range *range, const ddb__match *match, const ddb__rows *rows,
                     size_t index);
/* The entries before it begins, and before it ends. */
void ddb__range_ranks(const ddb__match *match, const ddb__range *range, uint64_t *from,
                      uint64_t *to);
/* The entries in all ranges of the match; `first` is NULL when it has several, or one with an open end. */
ddb__tree_run ddb__range_entries(const ddb__match *match, const ddb__rows *rows);
/* Their rows; run: those of the match. */
ddb_status ddb__range_collect(const ddb__match *match, const ddb__rows *rows,
                              const ddb__tree_run *run, ddb__seqs *out, ddb_error *err);

#endif
