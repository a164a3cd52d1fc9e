/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell.c - see tell.h. Cost: some snprintf for each node.
 */
#include "query/tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/heap.h"
#include "base/status.h"
#include "query/aggregator.h"

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void ddb__teller_init(ddb__teller *t, bool analyzed, ddb_plan *out, ddb_error *err) {
  *t = (ddb__teller){.analyzed = analyzed, .start_ns = now_ns(), .out = out, .err = err};
}

uint64_t ddb__teller_ns(const ddb__teller *t) {
  return now_ns() - t->start_ns;
}

ddb_status ddb__tell_done(ddb_plan *plan, ddb_status status, ddb_plan *out) {
  if (status) {
    ddb_plan_free(plan);
  } else {
    *out = *plan;
  }
  return status;
}

/* ---- Nodes -------------------------------------------------------------------------------- */

ddb_plan_node *ddb__tell(const ddb__teller *t, const char *step, uint64_t estimate,
                         uint64_t actual) {
  ddb_plan *plan = t->out;
  ddb_plan_node *nodes = ddb__room(&ddb__heap_process, plan->nodes, &plan->capacity,
                                   plan->count + 1, sizeof *nodes, t->err);
  if (!nodes) {
    return NULL;
  }
  plan->nodes = nodes;
  ddb_plan_node *node = &plan->nodes[plan->count++];
  *node = (ddb_plan_node){.step = step,
                          .depth = t->depth,
                          .estimate = estimate,
                          .actual = t->analyzed ? actual : DDB_NO_LIMIT};
  return node;
}

void ddb__tell_actual(const ddb__teller *t, size_t at, uint64_t actual, uint64_t ns) {
  if (at != SIZE_MAX && t->analyzed) {
    t->out->nodes[at].actual = actual;
    t->out->nodes[at].ns = ns;
  }
}

void ddb__tell_put(ddb_plan_node *node, const char *what) {
  size_t size = strlen(node->detail);
  (void)snprintf(node->detail + size, sizeof node->detail - size, "%s", what);
}

void ddb__tell_put_name(ddb_plan_node *node, ddb_str name) {
  char buffer[100];
  size_t size = name.size < sizeof buffer - 1 ? name.size : sizeof buffer - 1;
  if (size > 0) {
    memcpy(buffer, name.data, size);
  }
  buffer[size] = '\0';
  ddb__tell_put(node, buffer);
}

void ddb__tell_put_cond(ddb_plan_node *node, const ddb_cond *cond) {
  char buffer[sizeof node->detail];
  ddb_cond_format(cond, buffer, sizeof buffer);
  ddb__tell_put(node, buffer);
}

void ddb__tell_put_value(ddb_plan_node *node, ddb_str field, const ddb_expr *expr) {
  if (expr) {
    char buffer[160] = "";
    ddb_expr_format(expr, buffer, sizeof buffer);
    ddb__tell_put(node, buffer);
  } else {
    ddb__tell_put_name(node, field);
  }
}

static void put_path(ddb_plan_node *node, ddb_path path) {
  char steps[100];
  (void)ddb__path_format_steps(path.steps, path.step_count, steps, sizeof steps);
  ddb__tell_put_name(node, path.field);
  ddb__tell_put(node, steps);
}

void ddb__tell_put_match(ddb_plan_node *node, const ddb__teller *t, const ddb_table *table,
                         const ddb__match *match) {
  const ddb__index_def *def = match->index->def;
  ddb__tell_put(node, def->kind == DDB_INDEX_SORTED ? "sorted (" : "hash (");
  for (uint32_t i = 0; i < def->field_count; i++) {
    ddb__tell_put(node, i > 0 ? ", " : "");
    put_path(node, ddb__index_path(table, def, i));
  }
  ddb__tell_put(node, ")");
  const char *before = ": ";
  for (uint32_t i = 0; i < match->equal_count && !t->bare; i++, before = " & ") {
    ddb__tell_put(node, before);
    ddb__tell_put_cond(node, match->equals[i]);
  }
  const ddb_cond *ends[2] = {match->low, match->high};
  for (int i = 0; i < 2; i++) {
    if (ends[i] && !t->bare) {
      ddb__tell_put(node, before);
      ddb__tell_put(node, match->negated ? "~" : "");
      ddb__tell_put_cond(node, ends[i]);
      before = " & ";
    }
  }
}

/* ---- Finding rows ------------------------------------------------------------------------- */

static ddb_status tell_key(const ddb__teller *t, const ddb_cond *cond, uint64_t estimate,
                           uint64_t actual) {
  ddb_plan_node *node =
      ddb__tell(t, "key", t->bare ? DDB_NO_LIMIT : estimate, t->bare ? DDB_NO_LIMIT : actual);
  if (node && !t->bare) {
    ddb__tell_put_cond(node, cond);
  }
  return node ? DDB_OK : DDB_ERR_NOMEM;
}

static ddb_status tell_step(ddb__teller *t, const ddb__plan *plan, const ddb__step *step) {
  static const char *const names[] = {"nothing", "key", "index", "union", "intersection"};
  if (step->kind == DDB__STEP_KEY) {
    return tell_key(t, step->leaf, step->estimate, step->actual);
  }
  ddb_plan_node *node = ddb__tell(t, names[step->kind], t->bare ? DDB_NO_LIMIT : step->estimate,
                                  t->bare ? DDB_NO_LIMIT : step->actual);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  if (step->kind == DDB__STEP_MATCH) {
    ddb__tell_put_match(node, t, plan->source.table, &step->match);
  }
  ddb_status status = DDB_OK;
  t->depth++;
  for (uint32_t i = step->first; i != DDB__NO_STEP && !status; i = plan->steps.items[i].next) {
    status = tell_step(t, plan, &plan->steps.items[i]);
    if (step->kind == DDB__STEP_INTERSECTION && i != step->first) {
      break;
    }
  }
  t->depth--;
  return status;
}

static ddb_status tell_walk(const ddb__teller *t, const ddb__plan *plan, uint64_t visited) {
  ddb_plan_node *node = ddb__tell(t, "walk", plan->visits, visited);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  ddb__tell_put_match(node, t, plan->source.table, &plan->order);
  ddb__tell_put(node, plan->order.skips_nulls ? ", without null" : "");
  ddb__tell_put(node, plan->descending ? ", backwards" : "");
  ddb__tell_put(node, plan->is_ordered ? "" : ", given up");
  return DDB_OK;
}

static ddb_status tell_firsts(const ddb__teller *t, const ddb__plan *plan) {
  ddb_plan_node *node = ddb__tell(t, "index", plan->candidates.count, plan->candidates.count);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  ddb__tell_put_match(node, t, plan->source.table, &plan->firsts);
  ddb__tell_put(node, ": the first of each value");
  return DDB_OK;
}

ddb_status ddb__tell_access(ddb__teller *t, const ddb__plan *plan, bool was_ordered,
                            uint64_t visited, uint64_t plan_ns) {
  uint64_t all = plan->source.root->count;
  size_t at = t->out->count;
  ddb_status status = DDB_OK;
  if (was_ordered) {
    status = tell_walk(t, plan, visited);
    if (!status && !plan->is_ordered) {
      status = ddb__tell(t, "scan", all, all) ? DDB_OK : DDB_ERR_NOMEM;
    }
  } else if (plan->is_firsts) {
    status = tell_firsts(t, plan);
  } else if (plan->by_candidates && plan->root == DDB__NO_STEP) {
    status = tell_key(t, plan->where, 1, plan->candidates.count);
  } else if (plan->by_candidates) {
    status = tell_step(t, plan, &plan->steps.items[plan->root]);
  } else {
    status = ddb__tell(t, "scan", all, all) ? DDB_OK : DDB_ERR_NOMEM;
  }
  if (!status && t->analyzed) {
    t->out->nodes[at].ns = plan_ns;
  }
  return status;
}

uint64_t ddb__tell_matches(const ddb__plan *plan) {
  if (plan->is_firsts) {
    return plan->candidates.count;
  }
  if (plan->bound.nodes[0].kind == DDB__BOUND_CONST && plan->bound.nodes[0].flip) {
    return plan->by_candidates ? plan->candidates.count : plan->source.root->count;
  }
  bool known = plan->root != DDB__NO_STEP && plan->steps.items[plan->root].is_exact;
  return known ? plan->steps.items[plan->root].estimate : DDB_NO_LIMIT;
}

ddb_status ddb__tell_found(ddb__teller *t, const ddb__plan *plan, uint64_t matched,
                           uint64_t plan_ns) {
  uint32_t depth = t->depth;
  ddb_status status = DDB_OK;
  if (plan->where) {
    status = ddb__tell_filter(t, plan->where, ddb__tell_matches(plan), matched);
  }
  if (!status) {
    status = ddb__tell_access(t, plan, false, 0, plan_ns);
  }
  t->depth = depth;
  return status;
}

/* ---- What is done with them --------------------------------------------------------------- */

ddb_status ddb__tell_filter(ddb__teller *t, const ddb_cond *cond, uint64_t estimate,
                            uint64_t matched) {
  ddb_plan_node *node = ddb__tell(t, "filter", estimate, matched);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  ddb__tell_put_cond(node, cond);
  t->depth++;
  return DDB_OK;
}

ddb_status ddb__tell_sort(ddb__teller *t, const ddb_order *order, size_t count, bool top,
                          uint64_t estimate, uint64_t sorted) {
  ddb_plan_node *node = ddb__tell(t, top ? "top" : "sort", estimate, sorted);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  for (size_t i = 0; i < count; i++) {
    ddb__tell_put(node, i > 0 ? ", " : "");
    ddb__tell_put(node, order[i].descending ? "-" : "");
    ddb__tell_put_value(node, order[i].field, order[i].expr);
  }
  t->depth++;
  return DDB_OK;
}

ddb_status ddb__tell_slice(ddb__teller *t, uint64_t limit, uint64_t offset, uint64_t given) {
  ddb_plan_node *node = ddb__tell(t, "slice", limit, given);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  char buffer[80];
  if (limit != DDB_NO_LIMIT) {
    (void)snprintf(buffer, sizeof buffer, "limit %" PRIu64, limit);
    ddb__tell_put(node, buffer);
  }
  if (offset > 0) {
    const char *before = limit != DDB_NO_LIMIT ? ", " : "";
    (void)snprintf(buffer, sizeof buffer, "%soffset %" PRIu64, before, offset);
    ddb__tell_put(node, buffer);
  }
  t->depth++;
  return DDB_OK;
}

/* ---- Aggregates --------------------------------------------------------------------------- */

/* by city, age + 1: n = Count(), oldest = Max(age) */
static void put_aggregates(ddb_plan_node *node, const ddb_aggregate_query *query) {
  for (size_t i = 0; i < query->group_count; i++) {
    const ddb_group_field *group = &query->groups[i];
    ddb__tell_put(node, i > 0 ? ", " : "by ");
    ddb__tell_put_value(node, group->field, group->expr);
  }
  ddb__tell_put(node, query->group_count > 0 && query->aggregate_count > 0 ? ": " : "");
  for (size_t i = 0; i < query->aggregate_count; i++) {
    const ddb_aggregate *aggregate = &query->aggregates[i];
    ddb__tell_put(node, i > 0 ? ", " : "");
    ddb__tell_put_name(node, aggregate->name);
    ddb__tell_put(node, " = ");
    ddb__tell_put(node, ddb__aggregate_kind_name(aggregate->kind));
    ddb__tell_put(node, "(");
    ddb__tell_put_value(node, aggregate->field, aggregate->expr);
    ddb__tell_put(node, ")");
  }
}

ddb_status ddb__tell_aggregate(ddb__teller *t, const ddb_aggregate_query *query,
                               ddb__tell_ends *ends) {
  *ends = (ddb__tell_ends){SIZE_MAX, SIZE_MAX, SIZE_MAX};
  ddb_status status = DDB_OK;
  if (query->limit != DDB_NO_LIMIT || query->offset > 0) {
    ends->slice = t->out->count;
    status = ddb__tell_slice(t, query->limit, query->offset, 0);
  }
  if (!status && query->order_count > 0) {
    status = ddb__tell_sort(t, query->order, query->order_count, false, DDB_NO_LIMIT, DDB_NO_LIMIT);
  }
  if (!status && query->having) {
    ends->filter = t->out->count;
    status = ddb__tell_filter(t, query->having, DDB_NO_LIMIT, DDB_NO_LIMIT);
  }
  if (status) {
    return status;
  }
  ends->group = t->out->count;
  bool grouped = query->group_count > 0;
  ddb_plan_node *node =
      ddb__tell(t, grouped ? "group" : "aggregate", grouped ? DDB_NO_LIMIT : 1, DDB_NO_LIMIT);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  put_aggregates(node, query);
  t->depth++;
  return DDB_OK;
}
