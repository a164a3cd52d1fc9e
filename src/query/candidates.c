/* SPDX-License-Identifier: Apache-2.0 */
/*
 * candidates.c - see candidates.h.
 *
 *   step --> keys looked up, entries of an index, what several steps have --> sorted, each once
 */
#include "query/candidates.h"

#include "base/status.h"
#include "base/testing.h"
#include "store/rows.h"

typedef struct collector {
  const ddb__source *source;
  ddb__steps *steps;
  ddb_error *err;
} collector;

static ddb_status collect(const collector *c, ddb__step *step, ddb__seqs *out);

static ddb_status collect_keys(const collector *c, const ddb_cond *leaf, ddb__seqs *out) {
  ddb_status status = DDB_OK;
  for (uint32_t i = 0; i < leaf->count && !status; i++) {
    uint64_t seq;
    if (ddb__table_find(c->source->table, c->source->root, &leaf->leaf.values[i], &seq)) {
      status = ddb__seqs_append(out, seq, c->err);
    }
  }
  return status;
}

static ddb_status collect_union(const collector *c, const ddb__step *step, ddb__seqs *out) {
  ddb_status status = DDB_OK;
  for (uint32_t i = step->first; i != DDB__NO_STEP && !status; i = c->steps->items[i].next) {
    status = collect(c, &c->steps->items[i], out);
    if (DDB__FAULT(PLAN_UNION_LOSES)) {
      break;
    }
  }
  return status;
}

/* Of two steps: what both have, appended to `out`, which holds nothing. */
static ddb_status collect_intersection(const collector *c, const ddb__step *step, ddb__seqs *out) {
  ddb__step *first = &c->steps->items[step->first];
  ddb__seqs other;
  ddb__seqs_init(&other);
  ddb_status status = collect(c, first, out);
  if (!status) {
    status = collect(c, &c->steps->items[first->next], &other);
  }
  if (!status) {
    status = ddb__seqs_normalise(out, c->err);
  }
  if (!status) {
    status = ddb__seqs_normalise(&other, c->err);
  }
  if (!status) {
    ddb__seqs_intersect(out, &other);
    out->count -= out->count > 0 && DDB__FAULT(PLAN_INTERSECTION_LOSES) ? 1 : 0;
  }
  ddb__seqs_fini(&other);
  return status;
}

static ddb_status collect_apart(const collector *c, const ddb__step *step, ddb__seqs *out) {
  ddb__seqs own;
  ddb__seqs_init(&own);
  ddb_status status = collect_intersection(c, step, &own);
  for (size_t i = 0; i < own.count && !status; i++) {
    status = ddb__seqs_append(out, own.items[i], c->err);
  }
  ddb__seqs_fini(&own);
  return status;
}

/* Appends, in any order and with repeats. */
static ddb_status collect(const collector *c, ddb__step *step, ddb__seqs *out) {
  ddb_status status = DDB_OK;
  size_t before = out->count;
  switch ((ddb__step_kind)step->kind) {
  case DDB__STEP_NOTHING:
    break;
  case DDB__STEP_KEY:
    status = collect_keys(c, step->leaf, out);
    break;
  case DDB__STEP_MATCH:
    status = ddb__range_collect(&step->match, &c->source->root->rows, &step->run, out, c->err);
    break;
  case DDB__STEP_UNION:
    status = collect_union(c, step, out);
    break;
  case DDB__STEP_INTERSECTION:
    status = before > 0 ? collect_apart(c, step, out) : collect_intersection(c, step, out);
    break;
  }
  step->actual = out->count - before;
  return status;
}

ddb_status ddb__candidates_collect(ddb__plan *plan, ddb_error *err) {
  ddb__seqs *candidates = &plan->candidates;
  if (!plan->by_candidates || plan->root == DDB__NO_STEP) {
    return DDB_OK;
  }
  const collector c = {&plan->source, &plan->steps, err};
  ddb_status status = collect(&c, &plan->steps.items[plan->root], candidates);
  if (!status) {
    status = ddb__seqs_normalise(candidates, err);
  }
  if (!status && candidates->count > 0) { /* mostly its place is known by now */
    ddb__rows_fetch(&plan->source.root->rows, candidates->items[0], true);
  }
  return status;
}
