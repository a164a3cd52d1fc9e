/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vector.h - evaluating a bound condition on the columns of a block (store/memo.h).
 *
 * Some parts of a condition can be told from columns, some cannot. So every row is in one of three
 * states: it matches (sure), it may match (open) and has to be looked at, or it does not. Evaluating the
 * whole condition on the open rows' records gives the answer; what is sure needs no record at all.
 *
 *   leaf with a column     decided, but for equal hashes of strs, which stay open
 *   any other leaf         open
 *   and, or, not           of both bounds
 * The least and greatest of a column decide a leaf for a block without a look at its lanes.
 * Thread-safety: distinct bounds; columns are shared.
 */
#ifndef DDB_QUERY_VECTOR_H
#define DDB_QUERY_VECTOR_H

#include "query/bound.h"
#include "store/memo.h"

/* A row matches for certain when it is in `sure`, and perhaps when it is in `maybe`, a superset. */
typedef struct ddb__verdict {
  uint64_t sure[DDB__BLOCK_WORDS];
  uint64_t maybe[DDB__BLOCK_WORDS];
} ddb__verdict;

/* The fields whose columns can help, distinct, at most `capacity`; returns how many. */
size_t ddb__vector_fields(const ddb__bound *bound, uint32_t *fields, size_t capacity);
/* By the memo alone, as if none of its rows were dirty or gone. */
void ddb__vector_eval(const ddb__bound *bound, const ddb__memo *memo, ddb__verdict *out);

#endif
