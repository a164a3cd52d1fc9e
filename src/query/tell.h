/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell.h - plans as nodes to read: what explain.c, aggregates and joins tell of how rows are found and
 * of what is done with them.
 *
 * Nodes come in the order of a walk, parents first, so that what a parent gave is written into it
 * later (by its place: nodes move as more are appended). A node's text is cut where its room ends.
 * Memory: the process heap, the caller's of explain. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_TELL_H
#define DDB_QUERY_TELL_H

#include "dictdb.h"
#include "query/plan.h"

typedef struct ddb__teller {
  bool analyzed; /* else nothing is known of what was met */
  bool bare;     /* indexes are told without their conditions, whose values are no one's */
  uint32_t depth;
  uint64_t start_ns;
  ddb_plan *out;
  ddb_error *err;
} ddb__teller;

void ddb__teller_init(ddb__teller *t, bool analyzed, ddb_plan *out, ddb_error *err);
/* Nanoseconds since init. */
uint64_t ddb__teller_ns(const ddb__teller *t);

/* The end of an explain: *out is the plan, or it is freed where that failed. Returns `status`. */
ddb_status ddb__tell_done(ddb_plan *plan, ddb_status status, ddb_plan *out);

/* Appends a node below the depth; valid until the next one. NULL: no memory, as `err` tells. */
ddb_plan_node *ddb__tell(const ddb__teller *t, const char *step, uint64_t estimate,
                         uint64_t actual);
/* What a node gave, when that is known later; `at` SIZE_MAX: there is no such node. */
void ddb__tell_actual(const ddb__teller *t, size_t at, uint64_t actual, uint64_t ns);

void ddb__tell_put(ddb_plan_node *node, const char *what);
void ddb__tell_put_name(ddb_plan_node *node, ddb_str name);
void ddb__tell_put_cond(ddb_plan_node *node, const ddb_cond *cond);
/* The field, or the expression where there is one. */
void ddb__tell_put_value(ddb_plan_node *node, ddb_str field, const ddb_expr *expr);
void ddb__tell_put_match(ddb_plan_node *node, const ddb__teller *t, const ddb_table *table,
                         const ddb__match *match);

/* Where the plan finds rows. was_ordered: before it was run; visited: of its walk. NOMEM. */
ddb_status ddb__tell_access(ddb__teller *t, const ddb__plan *plan, bool was_ordered,
                            uint64_t visited, uint64_t plan_ns);
/* The same, with the condition asked of them; matched: by so many. */
ddb_status ddb__tell_found(ddb__teller *t, const ddb__plan *plan, uint64_t matched,
                           uint64_t plan_ns);
/* Rows that match, as far as the plan knows. */
uint64_t ddb__tell_matches(const ddb__plan *plan);

/* Steps of a result; each goes one deeper. NOMEM. */
ddb_status ddb__tell_slice(ddb__teller *t, uint64_t limit, uint64_t offset, uint64_t given);
ddb_status ddb__tell_sort(ddb__teller *t, const ddb_order *order, size_t count, bool top,
                          uint64_t estimate, uint64_t sorted);
ddb_status ddb__tell_filter(ddb__teller *t, const ddb_cond *cond, uint64_t estimate,
                            uint64_t matched);

/* The steps at the end of an aggregate: places of nodes, SIZE_MAX where there is none. */
typedef struct ddb__tell_ends {
  size_t slice;
  size_t filter;
  size_t group;
} ddb__tell_ends;

ddb_status ddb__tell_aggregate(ddb__teller *t, const ddb_aggregate_query *query,
                               ddb__tell_ends *ends);

#endif
