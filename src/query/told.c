/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told.c - see told.h. Cost: O(log n) for each row that is looked at: one for a minimum or a maximum,
 * one of each value for different values. With a condition, the rows that a walk of the index looks at
 * before one matches; the planner weighs that against a scan, as for a select with a limit of one.
 */
#include "query/told.h"

#include "query/firsts.h"
#include "query/selection.h"

typedef ddb__aggregation run;

/* The index that tells of the aggregate's field; NULL: none does. */
static const ddb__index *index_for(const run *r, const ddb__root *root, size_t aggregate) {
  const ddb__input *input = &r->inputs[r->reads[aggregate]];
  ddb__path path = {.field_id = input->field_id};
  const ddb__path *inside = input->expr ? ddb__expr_path(input->expr) : &path;
  if (!inside || inside->field_id == DDB__NO_FIELD) {
    return NULL;
  }
  switch (r->query->aggregates[aggregate].kind) {
  case DDB_AGGREGATE_COUNT:
  case DDB_AGGREGATE_MIN:
  case DDB_AGGREGATE_MAX:
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return ddb__firsts_index(root, inside);
  default:
    return NULL;
  }
}

/* A COUNT of records. */
static bool counts_records(const run *r, size_t aggregate) {
  return r->reads[aggregate] == DDB__NO_INPUT;
}

/* With a condition, of records and ends only; and not with one that can fail, which would fail on rows
 * that a walk does not come by. */
static bool tells_some(const run *r, size_t aggregate) {
  ddb_aggregate_kind kind = r->query->aggregates[aggregate].kind;
  return counts_records(r, aggregate) || kind == DDB_AGGREGATE_MIN || kind == DDB_AGGREGATE_MAX;
}

static bool indexes_tell(const run *r, const ddb__root *root) {
  const ddb_aggregate_query *query = r->query;
  bool tell = query->group_count == 0 &&
              (!query->where || ddb_cond_weight(query->where) < DDB_COND_WEIGHT_MAX);
  for (size_t i = 0; i < query->aggregate_count && tell; i++) {
    tell = (counts_records(r, i) || index_for(r, root, i)) && (!query->where || tells_some(r, i));
  }
  return tell;
}

/* ---- Telling ------------------------------------------------------------------------------ */

static ddb_status tell_index(ddb__teller *t, const ddb__source *source, const ddb__index *index,
                             const char *what, uint64_t rows) {
  if (!t) {
    return DDB_OK;
  }
  ddb_plan_node *node = ddb__tell(t, "index", rows, rows);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  const ddb__match all = {.index = index};
  ddb__tell_put_match(node, t, source->table, &all);
  ddb__tell_put(node, what);
  return DDB_OK;
}

static ddb_status tell_count(const ddb__teller *t, uint64_t rows) {
  ddb_plan_node *node = t ? ddb__tell(t, "count", rows, rows) : NULL;
  if (node) {
    ddb__tell_put(node, "of all records");
  }
  return t && !node ? DDB_ERR_NOMEM : DDB_OK;
}

/* ---- Taking ------------------------------------------------------------------------------- */

static ddb_status take_row(run *r, size_t aggregate, const ddb_record *record, ddb_error *err) {
  ddb__input *input = &r->inputs[r->reads[aggregate]];
  ddb__batch batch = {.records = &record, .mask = 1};
  ddb_status status = ddb__input_fill(input, &batch, err);
  return status ? status
                : ddb__aggregator_feed(&r->aggregators[aggregate], input->values, r->numbers,
                                       input->present, err);
}

/* A row of each value. */
static ddb_status take_firsts(run *r, const ddb__source *source, size_t aggregate, bool *given_up,
                              ddb__teller *t, ddb_error *err) {
  const ddb__rows *rows = &source->root->rows;
  const ddb__index *index = index_for(r, source->root, aggregate);
  ddb__seqs seqs;
  ddb__seqs_init(&seqs);
  ddb_status status = ddb__firsts_collect(index, rows, false, &seqs, given_up, err);
  for (size_t i = 0; i < seqs.count && !*given_up && !status; i++) {
    status = take_row(r, aggregate, ddb__rows_get(rows, seqs.items[i]), err);
  }
  if (!status) {
    status = tell_index(t, source, index, ": the first of each value", seqs.count);
  }
  ddb__seqs_fini(&seqs);
  return status;
}

static ddb_status take_count(run *r, const ddb__source *source, size_t aggregate, ddb__teller *t) {
  if (counts_records(r, aggregate)) {
    ddb__aggregator_count(&r->aggregators[aggregate], source->root->count);
    return tell_count(t, source->root->count);
  }
  const ddb__index *index = index_for(r, source->root, aggregate);
  uint64_t count = ddb__firsts_count(index, &source->root->rows);
  ddb__aggregator_count(&r->aggregators[aggregate], count);
  return tell_index(t, source, index, ": the count of values", count);
}

static ddb_status take_end(run *r, const ddb__source *source, size_t aggregate, ddb__teller *t,
                           ddb_error *err) {
  const ddb__index *index = index_for(r, source->root, aggregate);
  const ddb__rows *rows = &source->root->rows;
  bool least = r->query->aggregates[aggregate].kind == DDB_AGGREGATE_MIN;
  uint64_t seq;
  bool found =
      least ? ddb__firsts_least(index, rows, &seq) : ddb__firsts_greatest(index, rows, &seq);
  ddb_status status = found ? take_row(r, aggregate, ddb__rows_get(rows, seq), err) : DDB_OK;
  return status ? status
                : tell_index(t, source, index, least ? ": the least" : ": the greatest", found);
}

/* ---- With a condition --------------------------------------------------------------------- */

static ddb_status tell_walk(ddb__teller *t, const ddb__selection *s, const ddb_cond *where,
                            uint64_t found) {
  if (!t) {
    return DDB_OK;
  }
  uint32_t depth = t->depth;
  ddb_status status = ddb__tell_filter(t, where, 1, found);
  if (!status) {
    status = ddb__tell_access(t, &s->plan, true, s->scanning ? s->scan.visited : 0, 0);
  }
  t->depth = depth;
  return status;
}

/* The first row that matches, from one end of the index. One whose value is null, at the end where
 * these are, does not tell the least: then the try is given up. */
static ddb_status take_first_match(run *r, ddb__selection *s, size_t aggregate, bool *given_up,
                                   ddb__teller *t, ddb_error *err) {
  ddb__input *input = &r->inputs[r->reads[aggregate]];
  const ddb_record *record = NULL;
  size_t count = 0;
  *given_up = !s->plan.is_ordered;
  if (*given_up) {
    return DDB_OK;
  }
  ddb_status status = ddb__selection_next(s, &record, 1, &count, err);
  if (!status && count > 0) {
    ddb__batch batch = {.records = &record, .mask = 1};
    status = ddb__input_fill(input, &batch, err);
    bool least = r->query->aggregates[aggregate].kind == DDB_AGGREGATE_MIN;
    *given_up = !status && input->present == 0 && least;
  }
  if (!status && count > 0 && !*given_up) {
    status = take_row(r, aggregate, record, err);
  }
  return status || *given_up ? status : tell_walk(t, s, r->query->where, count);
}

static ddb_status take_matching_end(run *r, const ddb__source *source, size_t aggregate,
                                    bool *given_up, ddb__teller *t, ddb_error *err) {
  const ddb_aggregate *of = &r->query->aggregates[aggregate];
  ddb_order order = {
      .field = of->field, .expr = of->expr, .descending = of->kind == DDB_AGGREGATE_MAX};
  ddb_query query = {.where = r->query->where, .order = &order, .order_count = 1, .limit = 1};
  ddb__selection s;
  ddb_status status = ddb__selection_init(&s, source, &query, err);
  if (!status) {
    status = take_first_match(r, &s, aggregate, given_up, t, err);
    ddb__selection_fini(&s);
  }
  return status;
}

/* Nothing is counted when it is given up. */
static ddb_status take_matching_count(run *r, const ddb__source *source, size_t aggregate,
                                      bool *given_up, ddb__teller *t, ddb_error *err) {
  ddb__plan plan;
  ddb_status status = ddb__plan_init_count(&plan, source, r->query->where, err);
  if (status) {
    return status;
  }
  *given_up = !plan.is_counted;
  if (plan.is_counted) {
    ddb__aggregator_count(&r->aggregators[aggregate], plan.matched);
    ddb_plan_node *node = t ? ddb__tell(t, "count", plan.matched, plan.matched) : NULL;
    status = t && !node ? DDB_ERR_NOMEM : DDB_OK;
    if (node) {
      ddb__tell_put_cond(node, r->query->where);
    }
  }
  ddb__plan_fini(&plan);
  return status;
}

static ddb_status take(run *r, const ddb__source *source, size_t aggregate, bool *given_up,
                       ddb__teller *t, ddb_error *err) {
  if (r->query->where) {
    return counts_records(r, aggregate)
               ? take_matching_count(r, source, aggregate, given_up, t, err)
               : take_matching_end(r, source, aggregate, given_up, t, err);
  }
  switch (r->query->aggregates[aggregate].kind) {
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return take_firsts(r, source, aggregate, given_up, t, err);
  case DDB_AGGREGATE_COUNT:
    return take_count(r, source, aggregate, t);
  default:
    return take_end(r, source, aggregate, t, err);
  }
}

/* What may be given up comes first: counts would be harmed by being taken again. */
ddb_status ddb__told_take(run *r, const ddb__source *source, bool *told, ddb__teller *t,
                          ddb_error *err) {
  size_t nodes = t ? t->out->count : 0;
  ddb_status status = DDB_OK;
  *told = indexes_tell(r, source->root);
  for (int turn = 0; turn < 2; turn++) {
    for (size_t i = 0; i < r->aggregator_count && *told && !status; i++) {
      bool risky = r->query->aggregates[i].kind != DDB_AGGREGATE_COUNT;
      bool given_up = false;
      if (risky == (turn == 0)) {
        status = take(r, source, i, &given_up, t, err);
        *told = !given_up;
      }
    }
  }
  if (t && !*told) {
    t->out->count = nodes;
  }
  return status;
}
