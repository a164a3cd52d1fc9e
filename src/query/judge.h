/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - what a caller's own code decided about records, by the records' identity or contents.
 *
 * A record is known by its address together with the version that made it (its birth): an address
 * may come to hold another record, but no version publishes two records that lie there. Nothing
 * that such an entry points to is ever read. A record that only a statement in the making has, which
 * may be undone and made again elsewhere, is known by its contents: the key is among them.
 */
#ifndef DDB_QUERY_JUDGE_H
#define DDB_QUERY_JUDGE_H

#include "dictdb.h"

typedef struct ddb__verdict {
  const ddb_record *record; /* NULL: a free slot */
  uint64_t birth;
  size_t choice;
  uint64_t hash;    /* of the address, or of the contents */
  ddb_record *copy; /* owned; NULL: by the address */
} ddb__verdict;

struct ddb_judge {
  ddb__verdict *slots; /* open addressing */
  size_t slot_count;   /* 0, or a power of 2 */
  size_t count;
  bool has_copies;
};

#endif
