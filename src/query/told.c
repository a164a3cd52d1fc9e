/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told.c - see told.h. Cost: O(log n) for each row that is looked at: one for a minimum or a maximum,
 * one of each value for different values. With a condition, the rows that a walk of the index looks at
 * before one matches; the planner weighs that against a scan, as for a select with a limit of one.
 */
#include "query/told.h"

#include "query/firsts.h"
#include "query/order.h"

typedef ddb__aggregation run;

/* What the aggregate reads, when it is a field or a path into one that there is. */
static bool path_of(const run *r, size_t aggregate, ddb__path *out) {
  const ddb__input *input = &r->inputs[r->reads[aggregate]];
  const ddb__path *path = input->expr ? ddb__expr_path(input->expr) : NULL;
  *out = path ? *path : (ddb__path){.field_id = input->field_id};
  return (path || !input->expr) && out->field_id != DDB__NO_FIELD;
}

/* Of some rows, indexes over several fields may tell too. */
static bool is_indexed(const run *r, const ddb__root *root, size_t aggregate) {
  ddb__path path;
  bool is = false;
  for (uint32_t i = 0; i < root->index_count && path_of(r, aggregate, &path); i++) {
    const ddb__index_def *def = root->indexes[i].def;
    for (uint32_t at = 0; at < def->field_count && def->kind == DDB_INDEX_SORTED; at++) {
      is = is || ddb__path_equal(&def->paths[at], &path);
    }
  }
  return is;
}

/* The index that tells of the aggregate's field; NULL: none does. */
static const ddb__index *index_for(const run *r, const ddb__root *root, size_t aggregate) {
  ddb__path path;
  if (!path_of(r, aggregate, &path)) {
    return NULL;
  }
  switch (r->query->aggregates[aggregate].kind) {
  case DDB_AGGREGATE_COUNT:
  case DDB_AGGREGATE_MIN:
  case DDB_AGGREGATE_MAX:
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return ddb__firsts_index(root, &path);
  default:
    return NULL;
  }
}

/* A COUNT of records. */
static bool counts_records(const run *r, size_t aggregate) {
  return r->reads[aggregate] == DDB__NO_INPUT;
}

/* With a condition, of records, ends and different values only; and not with one that can fail, which
 * would fail on rows that a walk does not come by. */
static bool tells_some(const run *r, const ddb__root *root, size_t aggregate) {
  ddb_aggregate_kind kind = r->query->aggregates[aggregate].kind;
  bool knows = kind == DDB_AGGREGATE_MIN || kind == DDB_AGGREGATE_MAX ||
               kind == DDB_AGGREGATE_COUNT_DISTINCT;
  return counts_records(r, aggregate) || (knows && is_indexed(r, root, aggregate));
}

static bool indexes_tell(const run *r, const ddb__root *root) {
  const ddb_aggregate_query *query = r->query;
  bool tell = query->group_count == 0 &&
              (!query->where || ddb_cond_weight(query->where) < DDB_COND_WEIGHT_MAX);
  for (size_t i = 0; i < query->aggregate_count && tell; i++) {
    tell = query->where ? tells_some(r, root, i) : counts_records(r, i) || index_for(r, root, i);
  }
  return tell;
}

/* ---- Telling ------------------------------------------------------------------------------ */

static ddb_status tell_match(ddb__teller *t, const ddb__source *source, const ddb__match *match,
                             const char *what, uint64_t rows) {
  if (!t) {
    return DDB_OK;
  }
  ddb_plan_node *node = ddb__tell(t, "index", rows, rows);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  ddb__tell_put_match(node, t, source->table, match);
  ddb__tell_put(node, what);
  return DDB_OK;
}

static ddb_status tell_index(ddb__teller *t, const ddb__source *source, const ddb__index *index,
                             const char *what, uint64_t rows) {
  const ddb__match all = {.index = index};
  return tell_match(t, source, &all, what, rows);
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

static ddb_status take_rows_of(run *r, const ddb__rows *rows, const ddb__seqs *seqs,
                               size_t aggregate, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < seqs->count && !status; i++) {
    status = take_row(r, aggregate, ddb__rows_get(rows, seqs->items[i]), err);
  }
  return status;
}

/* A row of each value; that of null counts nothing. */
static ddb_status take_firsts(run *r, const ddb__source *source, size_t aggregate, bool *given_up,
                              ddb__teller *t, ddb_error *err) {
  ddb__path path;
  (void)path_of(r, aggregate, &path);
  const ddb__firsts wanted = {.paths = &path, .path_count = 1, .most = UINT64_MAX};
  ddb__plan plan;
  ddb__match match;
  bool told;
  ddb_status status = ddb__plan_init_count(&plan, source, r->query->where, err);
  if (status) {
    return status;
  }
  ddb__seqs seqs;
  ddb__seqs_init(&seqs);
  status = ddb__firsts_collect(&plan, &wanted, &seqs, &match, &told, err);
  *given_up = !told;
  if (!status && told) {
    status = take_rows_of(r, &source->root->rows, &seqs, aggregate, err);
  }
  if (!status && told) {
    status = tell_match(t, source, &match, ": the first of each value", seqs.count);
  }
  ddb__seqs_fini(&seqs);
  ddb__plan_fini(&plan);
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

static ddb_status tell_walk(ddb__teller *t, const ddb__plan *plan, const ddb__scan *scan,
                            uint64_t found) {
  if (!t) {
    return DDB_OK;
  }
  uint32_t depth = t->depth;
  ddb_status status = ddb__tell_filter(t, plan->where, 1, found);
  if (!status) {
    status = ddb__tell_access(t, plan, true, scan->visited, 0);
  }
  t->depth = depth;
  return status;
}

/* The first row that matches, from one end of the index; none: there is no value but null. */
static ddb_status take_first_match(run *r, ddb__plan *plan, size_t aggregate, bool *given_up,
                                   ddb__teller *t, ddb_error *err) {
  ddb__scan scan;
  ddb__batch batch;
  ddb__scan_init(&scan, plan, true);
  bool found = ddb__scan_next(&scan, &batch);
  ddb_status status = ddb__bound_status(&plan->bound, err);
  *given_up = !found && ddb__scan_gave_up(&scan);
  if (found && !status) {
    status = take_row(r, aggregate, batch.records[__builtin_ctzll(batch.mask)], err);
  }
  return status || *given_up ? status : tell_walk(t, plan, &scan, found);
}

static ddb_status take_matching_end(run *r, const ddb__source *source, size_t aggregate,
                                    bool *given_up, ddb__teller *t, ddb_error *err) {
  const ddb_aggregate *of = &r->query->aggregates[aggregate];
  const ddb__scope scope = {.shapes = r->shapes};
  ddb_order order = {
      .field = of->field, .expr = of->expr, .descending = of->kind == DDB_AGGREGATE_MAX};
  ddb__order_key key;
  const ddb__plan_order wanted = {.keys = &key, .key_count = 1, .keep = 1, .skips_nulls = true};
  ddb__plan plan;
  ddb_status status = ddb__order_bind(&key, &scope, &order, 1, err);
  if (!status) {
    status = ddb__plan_init_ordered(&plan, source, r->query->where, &wanted, err);
  }
  if (!status) {
    *given_up = !plan.is_ordered;
    if (plan.is_ordered) {
      status = take_first_match(r, &plan, aggregate, given_up, t, err);
    }
    ddb__plan_fini(&plan);
  }
  ddb__order_unbind(&key, 1);
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
  ddb_aggregate_kind kind = r->query->aggregates[aggregate].kind;
  if (kind == DDB_AGGREGATE_COUNT_DISTINCT) {
    return take_firsts(r, source, aggregate, given_up, t, err);
  }
  if (r->query->where) {
    return counts_records(r, aggregate)
               ? take_matching_count(r, source, aggregate, given_up, t, err)
               : take_matching_end(r, source, aggregate, given_up, t, err);
  }
  return kind == DDB_AGGREGATE_COUNT ? take_count(r, source, aggregate, t)
                                     : take_end(r, source, aggregate, t, err);
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
