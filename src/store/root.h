/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root.h - one version of a table: immutable once published.
 */
#ifndef DDB_STORE_ROOT_H
#define DDB_STORE_ROOT_H

#include "base/thread.h"
#include "dictdb.h"
#include "store/index.h"
#include "store/rows.h"

typedef struct ddb__root {
  uint64_t version; /* of the table; its birth */
  uint64_t commit;  /* of the database, set under the latch */
  /* The thread whose explicit write lock this version was made under; NULL: visible to all. It is
   * part of the root because a flag beside it can be read at the wrong moment. */
  const ddb__thread *owner;
  bool dropped; /* the table is gone from this version on */
  uint64_t count;
  int64_t next_key; /* automatic keys: the next one */
  bool keys_used_up;
  /* Where most rows have key == seq + key_offset, as with automatic keys, a look-up tries that row
   * first and spares a miss in the key index. key_votes: rows that fitted less those that did not. */
  int64_t key_offset;
  uint64_t key_votes;
  ddb__rows rows;
  uint32_t index_count;
  ddb__index indexes[];
} ddb__root;

static inline size_t ddb__root_size(uint32_t index_count) {
  return sizeof(ddb__root) + index_count * sizeof(ddb__index);
}
/* The row where an integer key is if it follows the others; the caller checks. False: they follow no
 * rule. */
static inline bool ddb__root_guess(const ddb__root *root, const ddb_value *key, uint64_t *seq) {
  *seq = (uint64_t)key->as.integer - (uint64_t)root->key_offset;
  return key->kind == DDB_INT && root->key_votes > root->rows.end / 2 && *seq < root->rows.end;
}

#endif
