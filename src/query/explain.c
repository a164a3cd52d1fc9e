/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - a plan as nodes to read.
 *
 *   slice <- distinct <- sort | top <- filter <- scan | key | index | walk | union | intersection
 *
 * It is the selection's own plan that is told of, made as for any other query; with `analyze` the
 * selection is run to its end, and its counters are read. Memory: the process heap, the caller's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/heap.h"
#include "base/status.h"
#include "query/selection.h"

typedef struct teller {
  const ddb_query *query;
  const ddb__selection *s;
  bool analyzed;
  uint64_t given;   /* rows of the result */
  uint64_t plan_ns; /* to plan, and to collect candidates */
  uint64_t all_ns;
  uint32_t depth;
  ddb_plan *out;
  ddb_error *err;
} teller;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Nodes -------------------------------------------------------------------------------- */

static ddb_plan_node *node_add(const teller *t, const char *step, uint64_t estimate,
                               uint64_t actual) {
  ddb_plan *plan = t->out;
  if (plan->count == plan->capacity) {
    size_t capacity = plan->capacity ? 2 * plan->capacity : 8;
    ddb_plan_node *nodes = ddb__resize(&ddb__heap_process, plan->nodes,
                                       plan->capacity * sizeof *nodes, capacity * sizeof *nodes);
    if (!nodes) {
      ddb__fail_memory(t->err, capacity * sizeof *nodes);
      return NULL;
    }
    plan->nodes = nodes;
    plan->capacity = capacity;
  }
  ddb_plan_node *node = &plan->nodes[plan->count++];
  *node = (ddb_plan_node){.step = step,
                          .depth = t->depth,
                          .estimate = estimate,
                          .actual = t->analyzed ? actual : DDB_NO_LIMIT};
  return node;
}

/* Text that grows in a node's detail, cut where that ends. */
typedef struct text {
  char *at;
  size_t size;
  size_t capacity;
} text;

static text text_of(ddb_plan_node *node) {
  return (text){node->detail, 0, sizeof node->detail};
}

static void put(text *to, const char *what) {
  int size = snprintf(to->at + to->size, to->capacity - to->size, "%s", what);
  to->size += size > 0 ? (size_t)size : 0;
  to->size = to->size < to->capacity ? to->size : to->capacity - 1;
}

static void put_name(text *to, ddb_str name) {
  char buffer[100];
  size_t size = name.size < sizeof buffer - 1 ? name.size : sizeof buffer - 1;
  if (size > 0) {
    memcpy(buffer, name.data, size);
  }
  buffer[size] = '\0';
  put(to, buffer);
}

static void put_path(text *to, ddb_path path) {
  char steps[100];
  (void)ddb__path_format_steps(path.steps, path.step_count, steps, sizeof steps);
  put_name(to, path.field);
  put(to, steps);
}

static void put_cond(text *to, const ddb_cond *cond) {
  char buffer[192];
  ddb_cond_format(cond, buffer, sizeof buffer);
  put(to, buffer);
}

static void put_match(const teller *t, text *to, const ddb__match *match) {
  const ddb__index_def *def = match->index->def;
  put(to, def->kind == DDB_INDEX_SORTED ? "sorted (" : "hash (");
  for (uint32_t i = 0; i < def->field_count; i++) {
    put(to, i > 0 ? ", " : "");
    put_path(to, ddb__index_path(t->s->source.table, def, i));
  }
  put(to, ")");
  const char *before = ": ";
  for (uint32_t i = 0; i < match->equal_count; i++, before = " & ") {
    put(to, before);
    put_cond(to, match->equals[i]);
  }
  const ddb_cond *ends[2] = {match->low, match->high};
  for (int i = 0; i < 2; i++) {
    if (ends[i]) {
      put(to, before);
      put(to, match->negated ? "~" : "");
      put_cond(to, ends[i]);
      before = " & ";
    }
  }
}

/* ---- Finding rows ------------------------------------------------------------------------- */

static ddb_status tell_step(teller *t, const ddb__step *step) {
  static const char *const names[] = {"nothing", "key", "index", "union", "intersection"};
  ddb_plan_node *node = node_add(t, names[step->kind], step->estimate, step->actual);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  text detail = text_of(node);
  if (step->kind == DDB__STEP_KEY) {
    put_cond(&detail, step->leaf);
  } else if (step->kind == DDB__STEP_MATCH) {
    put_match(t, &detail, &step->match);
  }
  ddb_status status = DDB_OK;
  t->depth++;
  const ddb__steps *steps = &t->s->plan.steps;
  for (uint32_t i = step->first; i != DDB__NO_STEP && !status; i = steps->items[i].next) {
    status = tell_step(t, &steps->items[i]);
    if (step->kind == DDB__STEP_INTERSECTION && i != step->first) {
      break;
    }
  }
  t->depth--;
  return status;
}

static ddb_status tell_walk(const teller *t, bool gave_up) {
  const ddb__plan *plan = &t->s->plan;
  ddb_plan_node *node = node_add(t, "walk", plan->visits, t->s->scanning ? t->s->scan.visited : 0);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  text detail = text_of(node);
  put_match(t, &detail, &plan->order);
  put(&detail, plan->descending ? ", backwards" : "");
  put(&detail, gave_up ? ", given up" : "");
  return DDB_OK;
}

static ddb_status tell_firsts(const teller *t) {
  const ddb__plan *plan = &t->s->plan;
  ddb_plan_node *node = node_add(t, "index", plan->candidates.count, plan->candidates.count);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  const ddb__match all = {.index = plan->firsts};
  text detail = text_of(node);
  put_match(t, &detail, &all);
  put(&detail, ": the first of each value");
  return DDB_OK;
}

/* was_ordered: before the query was run. */
static ddb_status tell_access(teller *t, bool was_ordered) {
  const ddb__plan *plan = &t->s->plan;
  uint64_t all = t->s->source.root->count;
  size_t at = t->out->count;
  ddb_status status = DDB_OK;
  if (was_ordered) {
    status = tell_walk(t, !plan->is_ordered);
    if (!status && !plan->is_ordered) {
      status = node_add(t, "scan", all, all) ? DDB_OK : DDB_ERR_NOMEM;
    }
  } else if (plan->firsts) {
    status = tell_firsts(t);
  } else if (plan->by_candidates && plan->root == DDB__NO_STEP) {
    ddb_plan_node *node = node_add(t, "key", 1, plan->candidates.count);
    if (!node) {
      return DDB_ERR_NOMEM;
    }
    text detail = text_of(node);
    put_cond(&detail, t->query->where);
  } else if (plan->by_candidates) {
    status = tell_step(t, &plan->steps.items[plan->root]);
  } else {
    status = node_add(t, "scan", all, all) ? DDB_OK : DDB_ERR_NOMEM;
  }
  if (!status && t->analyzed) {
    t->out->nodes[at].ns = t->plan_ns;
  }
  return status;
}

/* ---- What is done with them --------------------------------------------------------------- */

/* Rows that match, as far as the plan knows. */
static uint64_t matches_known(const ddb__plan *plan) {
  if (plan->bound.nodes[0].kind == DDB__BOUND_CONST && plan->bound.nodes[0].flip) {
    return plan->by_candidates ? plan->candidates.count : plan->source.root->count;
  }
  bool known = plan->root != DDB__NO_STEP && plan->steps.items[plan->root].is_exact;
  return known ? plan->steps.items[plan->root].estimate : DDB_NO_LIMIT;
}

static ddb_status tell_filter(teller *t, bool was_ordered) {
  const ddb__selection *s = t->s;
  if (t->query->where) {
    bool sorted = s->key_count > 0 && !s->plan.is_ordered;
    ddb_plan_node *node =
        node_add(t, "filter", matches_known(&s->plan), sorted ? s->matched : s->walked);
    if (!node) {
      return DDB_ERR_NOMEM;
    }
    text detail = text_of(node);
    put_cond(&detail, t->query->where);
    t->depth++;
  }
  return tell_access(t, was_ordered);
}

static ddb_status tell_sort(teller *t, bool was_ordered) {
  const ddb_query *query = t->query;
  if (query->order_count > 0 && (!was_ordered || !t->s->plan.is_ordered)) {
    bool top = !query->distinct && query->limit != DDB_NO_LIMIT;
    ddb_plan_node *node =
        node_add(t, top ? "top" : "sort", matches_known(&t->s->plan), t->s->sorted_count);
    if (!node) {
      return DDB_ERR_NOMEM;
    }
    text detail = text_of(node);
    for (size_t i = 0; i < query->order_count; i++) {
      char buffer[160] = "";
      const ddb_order *order = &query->order[i];
      put(&detail, i > 0 ? ", " : "");
      put(&detail, order->descending ? "-" : "");
      if (order->expr) {
        ddb_expr_format(order->expr, buffer, sizeof buffer);
        put(&detail, buffer);
      } else {
        put_name(&detail, order->field);
      }
    }
    t->depth++;
  }
  return tell_filter(t, was_ordered);
}

static ddb_status tell_distinct(teller *t, bool was_ordered) {
  if (t->query->distinct) {
    if (!node_add(t, "distinct", DDB_NO_LIMIT, DDB_NO_LIMIT)) {
      return DDB_ERR_NOMEM;
    }
    t->depth++;
  }
  return tell_sort(t, was_ordered);
}

static ddb_status tell_slice(teller *t, bool was_ordered) {
  const ddb_query *query = t->query;
  if (query->limit != DDB_NO_LIMIT || query->offset > 0) {
    ddb_plan_node *node = node_add(t, "slice", query->limit, t->given);
    if (!node) {
      return DDB_ERR_NOMEM;
    }
    text detail = text_of(node);
    char buffer[80];
    if (query->limit != DDB_NO_LIMIT) {
      (void)snprintf(buffer, sizeof buffer, "limit %" PRIu64, query->limit);
      put(&detail, buffer);
    }
    if (query->offset > 0) {
      (void)snprintf(buffer, sizeof buffer, "%soffset %" PRIu64, detail.size > 0 ? ", " : "",
                     query->offset);
      put(&detail, buffer);
    }
    t->depth++;
  }
  ddb_status status = tell_distinct(t, was_ordered);
  if (!status && t->analyzed) {
    t->out->nodes[0].ns = t->all_ns;
  }
  return status;
}

/* ---- Explaining --------------------------------------------------------------------------- */

static ddb_status run_to_end(ddb__selection *s, uint64_t *given, ddb_error *err) {
  const ddb_record *records[64];
  size_t count = 1;
  ddb_status status = DDB_OK;
  while (count > 0 && !status) {
    status = ddb__selection_next(s, records, sizeof records / sizeof records[0], &count, err);
    *given += status ? 0 : count;
  }
  return status;
}

ddb_status ddb_view_explain(const ddb_view *view, const ddb_query *query, bool analyze,
                            ddb_plan *out, ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "explain needs a view, a query and a result");
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  ddb__selection s;
  ddb_plan plan = {0};
  teller t = {.query = query, .s = &s, .analyzed = analyze, .out = &plan, .err = err};
  uint64_t start = now_ns();
  ddb_status status = ddb__selection_init(&s, &source, query, err);
  if (status) {
    return status;
  }
  bool was_ordered = s.plan.is_ordered;
  t.plan_ns = now_ns() - start;
  if (analyze) {
    status = run_to_end(&s, &t.given, err);
    t.all_ns = now_ns() - start;
  }
  if (!status) {
    status = tell_slice(&t, was_ordered);
  }
  ddb__selection_fini(&s);
  if (status) {
    ddb_plan_free(&plan);
  } else {
    *out = plan;
  }
  return status;
}

void ddb_plan_free(ddb_plan *plan) {
  if (plan) {
    ddb__free(&ddb__heap_process, plan->nodes, plan->capacity * sizeof *plan->nodes);
    *plan = (ddb_plan){0};
  }
}
