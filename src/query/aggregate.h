/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregate.h - aggregates over the rows of any source.
 */
#ifndef DDB_QUERY_AGGREGATE_H
#define DDB_QUERY_AGGREGATE_H

#include "dictdb.h"
#include "query/plan.h"

/* The work behind ddb_view_aggregate. borrows: the source's records stay until the call is over;
 * else each batch's only until the next. */
ddb_status ddb__aggregate_run(const ddb__source *source, const ddb_aggregate_query *query,
                              bool borrows, ddb_rowset **out, ddb_error *err);

#endif
