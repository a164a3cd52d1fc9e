/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told.h - aggregates that indexes tell, without a look at the rows.
 *
 * Aggregates over one group are taken from indexes when that goes for each of them; else nothing is,
 * and the rows are scanned. What was taken before a try was given up is not harmed by being taken
 * again: the values are those of rows that the scan comes by.
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_TOLD_H
#define DDB_QUERY_TOLD_H

#include "query/aggregate.h"
#include "query/tell.h"

/* *told: all is taken, and the rows need not be looked at. t: NULL, or what is told of it. NOMEM. */
ddb_status ddb__told_take(ddb__aggregation *r, const ddb__source *source, bool *told,
                          ddb__teller *t, ddb_error *err);

#endif
