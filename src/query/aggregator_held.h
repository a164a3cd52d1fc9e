/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregator_held.h - the aggregates that need all values of a group at once: Median, Quantile and
 * Collect. For aggregator.c.
 */
#ifndef DDB_QUERY_AGGREGATOR_HELD_H
#define DDB_QUERY_AGGREGATOR_HELD_H

#include "query/aggregator.h"

void ddb__held_fini(ddb__aggregator *a);
/* TYPE: not a number, for Median and Quantile. */
ddb_status ddb__held_feed(ddb__aggregator *a, const ddb_value *values, const uint32_t *numbers,
                          uint64_t mask, ddb_error *err);
ddb_status ddb__held_settle(ddb__aggregator *a, uint32_t group_count, ddb_error *err);
ddb_status ddb__held_result(ddb__aggregator *a, uint32_t group, ddb__arena *arena, ddb_value *out,
                            ddb_error *err);

#endif
