/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregator.h - one aggregate over all groups: a state for each group, fed a batch of values at a
 * time.
 *
 *   init -> (grow, feed)... -> settle -> result of each group -> fini
 *
 * Values are borrowed where they outlive the aggregator (`borrows`), else what is kept is copied.
 * Memory: the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_AGGREGATOR_H
#define DDB_QUERY_AGGREGATOR_H

#include "dictdb.h"
#include "query/arena.h"
#include "query/groups.h"

/* A value kept for later, and its group. */
typedef struct ddb__held {
  ddb_value value;
  uint32_t group;
} ddb__held;

typedef struct ddb__aggregator {
  const ddb_aggregate *spec;
  bool borrows;
  size_t state_size;
  char *states;      /* [capacity], by group */
  uint32_t capacity; /* groups */
  /* Kinds that need all values: those of the groups mixed; once settled, of one after the other. */
  ddb__held *held;
  size_t held_count;
  size_t held_capacity;
  ddb_value *sorted; /* [held_count] */
  size_t *starts;    /* [start_count]: of each group in `sorted`, and the end */
  size_t start_count;
  ddb__groups *distinct; /* pairs of a group's number and a value */
  ddb__arena arena;      /* copies of held values */
} ddb__aggregator;

/* INVALID, NOMEM. `spec` is borrowed. */
ddb_status ddb__aggregator_init(ddb__aggregator *a, const ddb_aggregate *spec, bool borrows,
                                ddb_error *err);
void ddb__aggregator_fini(ddb__aggregator *a);
/* Room for so many groups; new ones are empty. */
ddb_status ddb__aggregator_grow(ddb__aggregator *a, uint32_t group_count, ddb_error *err);
/* values[i] goes to group numbers[i], for each bit i of the mask; none is null. A COUNT of records has
 * no values: NULL. */
ddb_status ddb__aggregator_feed(ddb__aggregator *a, const ddb_value *values,
                                const uint32_t *numbers, uint64_t mask, ddb_error *err);
/* A COUNT of one group: as many more. */
void ddb__aggregator_count(ddb__aggregator *a, uint64_t count);
/* All values have come. */
ddb_status ddb__aggregator_settle(ddb__aggregator *a, uint32_t group_count, ddb_error *err);
/* Variable-size results are in `arena`, or borrowed from what was fed. */
ddb_status ddb__aggregator_result(ddb__aggregator *a, uint32_t group, ddb__arena *arena,
                                  ddb_value *out, ddb_error *err);
const char *ddb__aggregate_kind_name(ddb_aggregate_kind kind); /* "Sum" */

#endif
