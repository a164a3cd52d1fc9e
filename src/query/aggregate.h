/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregate.h - aggregates over rows that come a batch at a time, from anywhere.
 *
 *   init -> take... -> rows -> fini
 *
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_AGGREGATE_H
#define DDB_QUERY_AGGREGATE_H

#include "dictdb.h"
#include "query/aggregator.h"
#include "query/groups.h"
#include "query/input.h"
#include "query/plan.h"
#include "query/tell.h"

#define DDB__NO_INPUT SIZE_MAX /* of what reads nothing of a row */

typedef struct ddb__aggregation {
  const ddb_aggregate_query *query;
  const ddb__shapes *shapes;
  bool borrows;
  size_t count; /* group fields and aggregates: the fields of a row of the result */
  size_t input_count;
  ddb__input *inputs;        /* [count] */
  size_t *reads;             /* [count]: the input of each group field, then of each aggregate */
  const ddb_value **columns; /* [group_count] */
  ddb_str *names;            /* [count] */
  ddb_value *values;         /* [count]: one row of the result */
  ddb__aggregator *aggregators;
  size_t aggregator_count; /* initialised ones */
  ddb__groups groups;      /* when there are group fields */
  uint32_t numbers[DDB__BATCH_MAX];
  bool group_is_read; /* an aggregate reads the first group's values too */
  /* With one group field whose column has codes: the group of each code of a block, + 1. */
  const ddb__memo *coded;
  uint32_t code_groups[DDB__COLUMN_CODES_MAX];
  ddb__arena results; /* what aggregators make for one row */
  size_t kept;        /* groups that `having` kept */
} ddb__aggregation;

/* For rows whose field ids are those of `shapes`. borrows: the rows stay until fini; else each batch
 * only until the next. `query` is borrowed; its where and records are not looked at. Errors as of
 * ddb_view_aggregate; then there is nothing to fini. */
ddb_status ddb__aggregation_init(ddb__aggregation *r, const ddb__shapes *shapes,
                                 const ddb_aggregate_query *query, bool borrows, ddb_error *err);
void ddb__aggregation_fini(ddb__aggregation *r);
ddb_status ddb__aggregation_take(ddb__aggregation *r, const ddb__batch *batch, ddb_error *err);
/* The result. Once. */
ddb_status ddb__aggregation_rows(ddb__aggregation *r, ddb_rowset **out, ddb_error *err);
/* In its place, when there is one to be told how many there are: and nothing without analysis. */
ddb_status ddb__aggregation_tell_rows(ddb__aggregation *r, ddb__teller *t,
                                      const ddb__tell_ends *ends);

#endif
