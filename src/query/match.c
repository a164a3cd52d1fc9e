/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match.c - a condition and one record, for callers who filter by more than conditions.
 *
 * Binds the condition anew at each call: some tens of nanoseconds, an allocation when it has many
 * leaves. Locks: none. Thread-safety: atomic.
 */
#include "base/status.h"
#include "query/bound.h"
#include "store/table.h"

ddb_status ddb_record_matches(const ddb_record *record, const ddb_cond *cond, bool *out,
                              ddb_error *err) {
  if (!record || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "matching needs a record and a result");
  }
  ddb__bound bound;
  ddb_status status = ddb__bound_init(&bound, cond, record->shape->registry, err);
  if (status == DDB_OK) {
    bool matches = ddb__bound_eval(&bound, &record, 1) != 0;
    status = ddb__bound_status(&bound, err);
    *out = status ? *out : matches;
    ddb__bound_fini(&bound);
  }
  return status;
}

ddb_status ddb_table_cond_check(const ddb_table *table, const ddb_cond *cond, ddb_error *err) {
  if (!table) {
    return ddb__fail(err, DDB_ERR_INVALID, "a condition is checked for a table");
  }
  ddb__bound bound;
  ddb_status status = ddb__bound_init(&bound, cond, ddb__table_shapes(table), err);
  if (status == DDB_OK) {
    ddb__bound_fini(&bound);
  }
  return status;
}
