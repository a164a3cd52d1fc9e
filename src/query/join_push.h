/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_push.h - which parts of a join's condition can be asked of one side alone, before joining.
 *
 *   where: left.a > 1 & right.b == 2 & (left.c | right.d)
 *     left side: a > 1      right side: b == 2      left over, for the pairs: c | d
 *
 *   JP1 The rows of the result stay the same, and their order: a part that names only fields of the
 *       left side keeps or drops all pairs of a left record.
 *   JP2 In a left join a part about the right side is asked only of pairs, where nulls may stand for a
 *       record. But when such a part is false for nulls, no pair without a right record is left,
 *       and the join is an inner one.
 *   JP3 `exists` stays with the pairs, in which every field exists; so does `matches`, which can fail.
 * Memory: some conditions. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_JOIN_PUSH_H
#define DDB_QUERY_JOIN_PUSH_H

#include "dictdb.h"

typedef struct ddb__join_push {
  ddb_join join;   /* as it is to be run */
  ddb_cond *where; /* of the pairs; NULL: all */
  ddb_cond *left;  /* what the join's sides have beside their own, or NULL */
  ddb_cond *right;
  bool splits; /* ddb_join_split: the left side is anything */
} ddb__join_push;

/* `join` is checked, and what `where` (NULL: all) names. What both consist of must outlive it. */
ddb_status ddb__join_push_init(ddb__join_push *push, const ddb_join *join, const ddb_cond *where,
                               ddb_error *err);
void ddb__join_push_fini(ddb__join_push *push);

#endif
