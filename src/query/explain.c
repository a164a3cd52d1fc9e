/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - the plan of a select (tell.h).
 *
 *   slice <- distinct <- sort | top <- filter <- scan | key | index | walk | union | intersection
 *
 * It is the selection's own plan that is told of, made as for any other query; with `analyze` the
 * selection is run to its end, and its counters are read. Memory: the process heap, the caller's.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/selection.h"
#include "query/tell.h"

typedef struct telling {
  const ddb_query *query;
  const ddb__selection *s;
  bool was_ordered; /* before the query was run */
  uint64_t given;   /* rows of the result */
  uint64_t plan_ns; /* to plan, and to collect candidates */
  uint64_t all_ns;
} telling;

/* ---- Steps -------------------------------------------------------------------------------- */

static ddb_status tell_filter(ddb__teller *t, const telling *of) {
  const ddb__selection *s = of->s;
  ddb_status status = DDB_OK;
  if (of->query->where) {
    bool sorted = s->key_count > 0 && !s->plan.is_ordered;
    status = ddb__tell_filter(t, of->query->where, ddb__tell_matches(&s->plan),
                              sorted ? s->matched : s->walked);
  }
  uint64_t visited = s->scanning ? s->scan.visited : 0;
  return status ? status : ddb__tell_access(t, &s->plan, of->was_ordered, visited, of->plan_ns);
}

static ddb_status tell_sort(ddb__teller *t, const telling *of) {
  const ddb_query *query = of->query;
  ddb_status status = DDB_OK;
  if (query->order_count > 0 && (!of->was_ordered || !of->s->plan.is_ordered)) {
    bool top = !query->distinct && query->limit != DDB_NO_LIMIT;
    status = ddb__tell_sort(t, query->order, query->order_count, top,
                            ddb__tell_matches(&of->s->plan), of->s->sorted_count);
  }
  return status ? status : tell_filter(t, of);
}

static ddb_status tell_distinct(ddb__teller *t, const telling *of) {
  if (of->query->distinct) {
    if (!ddb__tell(t, "distinct", DDB_NO_LIMIT, DDB_NO_LIMIT)) {
      return DDB_ERR_NOMEM;
    }
    t->depth++;
  }
  return tell_sort(t, of);
}

static ddb_status tell_slice(ddb__teller *t, const telling *of) {
  const ddb_query *query = of->query;
  ddb_status status = DDB_OK;
  if (query->limit != DDB_NO_LIMIT || query->offset > 0) {
    status = ddb__tell_slice(t, query->limit, query->offset, of->given);
  }
  if (!status) {
    status = tell_distinct(t, of);
  }
  if (!status && t->analyzed) {
    t->out->nodes[0].ns = of->all_ns;
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
  telling of = {.query = query, .s = &s};
  ddb__teller t;
  ddb__teller_init(&t, analyze, &plan, err);
  ddb_status status = ddb__selection_init(&s, &source, query, err);
  if (status) {
    return status;
  }
  of.was_ordered = s.plan.is_ordered;
  of.plan_ns = ddb__teller_ns(&t);
  if (analyze) {
    status = run_to_end(&s, &of.given, err);
    of.all_ns = ddb__teller_ns(&t);
  }
  if (!status) {
    status = tell_slice(&t, &of);
  }
  ddb__selection_fini(&s);
  return ddb__tell_done(&plan, status, out);
}

void ddb_plan_free(ddb_plan *plan) {
  if (plan) {
    ddb__free(&ddb__heap_process, plan->nodes, plan->capacity * sizeof *plan->nodes);
    *plan = (ddb_plan){0};
  }
}
