/* SPDX-License-Identifier: Apache-2.0 */
/*
 * candidates.h - the rows that the steps of a plan name, before the condition is evaluated on them.
 *
 * Cost: of a key or an entry O(1), and a sort where several runs are merged. The first row's record is
 * on its way when they are there. Memory: the process heap.
 */
#ifndef DDB_QUERY_CANDIDATES_H
#define DDB_QUERY_CANDIDATES_H

#include "query/plan.h"

/* Fills plan->candidates, which is empty, when the plan is by candidates of a step. NOMEM. */
ddb_status ddb__candidates_collect(ddb__plan *plan, ddb_error *err);

#endif
