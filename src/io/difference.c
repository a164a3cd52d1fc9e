/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.c - see difference.h.
 *
 * Invariants
 *   1. Deletions and changes come before what was appended: a key that was deleted and inserted again
 *      is put last, as it is in the table.
 *   2. Indexes that go are dropped first, new ones come last, and all end in the order they have.
 */
#include "io/difference.h"

#include "base/testing.h"
#include "io/try.h"
#include "store/record.h"

typedef struct differ {
  ddb__ops *ops;
  const ddb_table *table;
  int64_t next_key; /* what replaying leads to */
  bool keys_used_up;
} differ;

static ddb_status change(void *context, const ddb_record *before, const ddb_record *after,
                         ddb_error *err) {
  differ *d = context;
  if (!after) {
    ddb_value key = ddb__record_key(before);
    return ddb__ops_delete(d->ops, d->table, &key, err);
  }
  int64_t number;
  ddb_value key = ddb__record_key(after);
  if (!before && ddb__value_to_int(&key, &number) && number >= d->next_key) {
    d->keys_used_up = number == INT64_MAX;
    d->next_key = number == INT64_MAX ? number : number + 1;
  }
  return ddb__ops_record(d->ops, d->table, after, err);
}

/* Drops what the new version lacks, or has in another order. *kept: so many of its indexes, the first
 * ones, are there then. */
static ddb_status keep_indexes(ddb__ops *ops, const ddb_table *table, const ddb__root *base,
                               const ddb__root *next, uint32_t *kept, ddb_error *err) {
  *kept = 0;
  for (uint32_t i = 0; i < base->index_count; i++) {
    if (*kept < next->index_count && next->indexes[*kept].def == base->indexes[i].def) {
      ++*kept;
    } else {
      DDB__TRY(ddb__ops_index(ops, DDB__OP_INDEX_DROP, table, &base->indexes[i], err));
    }
  }
  return DDB_OK;
}

ddb_status ddb__difference(ddb__ops *ops, const ddb_table *table, const ddb__root *base,
                           const ddb__root *next, bool implied_keys, ddb_error *err) {
  static const ddb__root empty = {.next_key = 1};
  if (!base) { /* it may have been filled before it was listed */
    DDB__TRY(ddb__ops_table(ops, table, err));
    base = &empty;
  }
  if (next->dropped) {
    return ddb__ops_drop(ops, table, err);
  }
  differ d = {ops, table, base->next_key, base->keys_used_up};
  uint32_t kept;
  DDB__TRY(keep_indexes(ops, table, base, next, &kept, err));
  DDB__TRY(ddb__rows_diff(&base->rows, &next->rows, change, &d, err));
  bool moved = base->next_key != next->next_key || base->keys_used_up != next->keys_used_up;
  bool implied = d.next_key == next->next_key && d.keys_used_up == next->keys_used_up;
  if ((implied_keys ? !implied : moved) && !DDB__FAULT(LOG_COUNTER_LOST)) {
    DDB__TRY(ddb__ops_counter(ops, table, next, err));
  }
  for (uint32_t i = kept; i < next->index_count; i++) {
    DDB__TRY(ddb__ops_index(ops, DDB__OP_INDEX, table, &next->indexes[i], err));
  }
  return DDB_OK;
}
