/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seqs.h - a growing list of sequence numbers, made a sorted set at the end. A few need no
 * allocation. Memory: the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_SEQS_H
#define DDB_QUERY_SEQS_H

#include "dictdb.h"

#ifdef DDB_TESTING
#define DDB__SEQS_INLINE 4u
#else
#define DDB__SEQS_INLINE 16u
#endif

typedef struct ddb__seqs {
  uint64_t *items;
  size_t count;
  size_t capacity;
  uint64_t inline_items[DDB__SEQS_INLINE];
} ddb__seqs;

void ddb__seqs_init(ddb__seqs *seqs);
void ddb__seqs_fini(ddb__seqs *seqs);
/* NOMEM leaves the list as it was. */
ddb_status ddb__seqs_append(ddb__seqs *seqs, uint64_t seq, ddb_error *err);
/* Sorts and drops repeats. Linear when sorted already. */
ddb_status ddb__seqs_normalise(ddb__seqs *seqs, ddb_error *err);
/* Keeps what `other` has too. Both are normalised. */
void ddb__seqs_intersect(ddb__seqs *seqs, const ddb__seqs *other);

#endif
