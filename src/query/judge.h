/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - what a caller's own code decided about records, by the records' identity.
 *
 * A record is known by its address together with the version that made it (its birth): an address
 * may come to hold another record, but no version publishes two records that lie there. Nothing
 * that an entry points to is ever read.
 */
#ifndef DDB_QUERY_JUDGE_H
#define DDB_QUERY_JUDGE_H

#include "dictdb.h"

typedef struct ddb__verdict {
  const ddb_record *record; /* NULL: a free slot */
  uint64_t birth;
  size_t choice;
} ddb__verdict;

struct ddb_judge {
  ddb__verdict *slots; /* open addressing */
  size_t slot_count;   /* 0, or a power of 2 */
  size_t count;
};

#endif
