/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregate.c - group-by and aggregates, a batch of rows at a time.
 *
 *   rows of the plan --inputs: one array of values for each field that is read-->
 *     --groups: the number of each row's group--> aggregators --> rowset --having, order, limit-->
 *
 * A field that several groups and aggregates name is read once. Nothing allocates for a row, but for
 * a new group or a value that is kept.
 * What indexes tell is not looked for in rows (told.h).
 * Locks: none; the caller's view keeps everything that is read. Cost: some nanoseconds a row for each
 * input and aggregate, on top of the scan.
 */
#include "query/aggregate.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/parallel.h"
#include "query/rowset.h"
#include "query/tell.h"
#include "query/told.h"

typedef ddb__aggregation run;

/* ---- Setting up --------------------------------------------------------------------------- */

static ddb_status check_query(const ddb_aggregate_query *query, ddb_error *err) {
  if ((query->group_count > 0 && !query->groups) ||
      (query->aggregate_count > 0 && !query->aggregates) ||
      (query->order_count > 0 && !query->order)) {
    return ddb__fail(err, DDB_ERR_INVALID, "an aggregate query counts what it does not have");
  }
  if (query->group_count + query->aggregate_count == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "an aggregate query needs a group or an aggregate");
  }
  for (size_t i = 0; i < query->group_count; i++) {
    const ddb_group_field *group = &query->groups[i];
    if (group->expr && !group->name.data) {
      char text[128];
      (void)ddb_expr_format(group->expr, text, sizeof text);
      return ddb__fail(err, DDB_ERR_INVALID, "the group '%s' needs a name in the result", text);
    }
    if (!group->expr && !group->field.data) {
      return ddb__fail(err, DDB_ERR_INVALID, "group %zu names no field", i);
    }
  }
  for (size_t i = 0; i < query->aggregate_count; i++) {
    const ddb_aggregate *aggregate = &query->aggregates[i];
    if ((unsigned)aggregate->kind > DDB_AGGREGATE_COLLECT) {
      return ddb__fail(err, DDB_ERR_INVALID, "no such aggregate: %d", (int)aggregate->kind);
    }
    if (!aggregate->field.data && !aggregate->expr && aggregate->kind != DDB_AGGREGATE_COUNT) {
      return ddb__fail(err, DDB_ERR_INVALID, "%s needs a field",
                       ddb__aggregate_kind_name(aggregate->kind));
    }
  }
  return DDB_OK;
}

static size_t room_of(size_t count) {
  return count * (sizeof(ddb__input) + sizeof(size_t) + sizeof(ddb_value *) + sizeof(ddb_str) +
                  sizeof(ddb_value) + sizeof(ddb__aggregator));
}

/* One allocation for all arrays, the most aligned first. */
static ddb_status allocate(run *r, ddb_error *err) {
  size_t bytes = room_of(r->count);
  r->inputs = ddb__alloc(&ddb__heap_process, bytes);
  if (!r->inputs) {
    return ddb__fail_memory(err, bytes);
  }
  r->aggregators = (ddb__aggregator *)(void *)(r->inputs + r->count);
  r->values = (ddb_value *)(void *)(r->aggregators + r->count);
  r->names = (ddb_str *)(void *)(r->values + r->count);
  r->columns = (const ddb_value **)(void *)(r->names + r->count);
  r->reads = (size_t *)(void *)(r->columns + r->count);
  return DDB_OK;
}

/* The input that reads the field or the expression, a new one if it must be. */
static ddb_status find_input(run *r, ddb_str field, const ddb_expr *expr, size_t *index,
                             ddb_error *err) {
  ddb__input *input = &r->inputs[r->input_count];
  ddb_status status = ddb__input_init(input, r->shapes, field, expr, err);
  if (status) {
    return status;
  }
  *index = 0;
  while (*index < r->input_count && (r->inputs[*index].source != input->source ||
                                     r->inputs[*index].field_id != input->field_id)) {
    ++*index;
  }
  if (*index == r->input_count) {
    r->input_count++;
  } else {
    ddb__input_fini(input);
  }
  return DDB_OK;
}

static ddb_status bind_groups(run *r, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < r->query->group_count && !status; i++) {
    const ddb_group_field *group = &r->query->groups[i];
    r->names[i] = group->name.data ? group->name : group->field;
    status = find_input(r, group->field, group->expr, &r->reads[i], err);
    r->groups.borrows = r->groups.borrows && !status && r->inputs[r->reads[i]].borrows;
  }
  return status;
}

static ddb_status bind_aggregates(run *r, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < r->query->aggregate_count && !status; i++) {
    const ddb_aggregate *aggregate = &r->query->aggregates[i];
    size_t at = r->query->group_count + i;
    r->names[at] = aggregate->name;
    r->reads[at] = DDB__NO_INPUT;
    bool borrows = r->borrows;
    if (aggregate->field.data || aggregate->expr) {
      status = find_input(r, aggregate->field, aggregate->expr, &r->reads[at], err);
      borrows = borrows && !status && r->inputs[r->reads[at]].borrows;
    }
    if (!status) {
      status = ddb__aggregator_init(&r->aggregators[i], aggregate, borrows, err);
      r->aggregator_count += status == DDB_OK;
    }
  }
  return status;
}

void ddb__aggregation_fini(run *r) {
  for (size_t i = 0; i < r->aggregator_count; i++) {
    ddb__aggregator_fini(&r->aggregators[i]);
  }
  for (size_t i = 0; i < r->input_count; i++) {
    ddb__input_fini(&r->inputs[i]);
  }
  ddb__groups_fini(&r->groups);
  ddb__arena_fini(&r->results);
  ddb__free(&ddb__heap_process, r->inputs, room_of(r->count));
}

static uint32_t group_count(const run *r) {
  return r->query->group_count > 0 ? r->groups.count : 1;
}

static ddb_status grow(run *r, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < r->aggregator_count && !status; i++) {
    status = ddb__aggregator_grow(&r->aggregators[i], group_count(r), err);
  }
  return status;
}

ddb_status ddb__aggregation_init(run *r, const ddb__shapes *shapes,
                                 const ddb_aggregate_query *query, bool borrows, ddb_error *err) {
  ddb_status status = check_query(query, err);
  if (status) {
    return status;
  }
  memset(r, 0, sizeof *r);
  r->query = query;
  r->shapes = shapes;
  r->borrows = borrows;
  r->count = query->group_count + query->aggregate_count;
  ddb__groups_init(&r->groups, query->group_count, borrows);
  status = allocate(r, err);
  if (!status) {
    status = bind_groups(r, err);
  }
  if (!status) {
    status = bind_aggregates(r, err);
  }
  if (!status) {
    status = grow(r, err);
  }
  if (status) {
    ddb__aggregation_fini(r);
    return status;
  }
  /* Inputs have their places only now. */
  for (size_t i = 0; i < query->group_count; i++) {
    r->columns[i] = r->inputs[r->reads[i]].values;
  }
  for (size_t i = query->group_count; i < r->count && query->group_count > 0; i++) {
    r->group_is_read = r->group_is_read || r->reads[i] == r->reads[0];
  }
  return DDB_OK;
}

/* ---- Rows --------------------------------------------------------------------------------- */

/* The group numbers of rows by the codes of their column; returns the rows that are left, those of
 * unknown codes among them. */
static uint64_t number_by_codes(run *r, const ddb__batch *batch, const ddb__column *column) {
  if (r->coded != batch->memo && !(r->coded && DDB__FAULT(CODE_GROUPS_KEPT))) {
    r->coded = batch->memo;
    memset(r->code_groups, 0, sizeof r->code_groups);
  }
  const uint8_t *codes = (const uint8_t *)column->lanes + batch->block_row;
  uint64_t left = batch->mask & ~batch->clean;
  for (uint64_t mask = batch->mask & batch->clean; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    uint32_t number = r->code_groups[codes[i]];
    r->numbers[i] = number - 1;
    left |= (uint64_t)(number == 0) << i;
  }
  return left;
}

/* The codes of the only group field's values in this batch; NULL: there are none. */
static const ddb__column *codes_of_groups(const run *r, const ddb__batch *batch) {
  if (!batch->memo || r->query->group_count != 1) {
    return NULL;
  }
  const ddb__input *input = &r->inputs[r->reads[0]];
  const ddb__column *column = input->expr ? NULL : ddb__memo_column(batch->memo, input->field_id);
  return column && column->kind == DDB__COLUMN_CODES ? column : NULL;
}

/* Values are looked at once for each code of a block, and where there is no code. */
static ddb_status number_coded(run *r, const ddb__batch *batch, const ddb__column *column,
                               ddb_error *err) {
  ddb__batch rest = *batch;
  rest.mask = number_by_codes(r, batch, column);
  if (rest.mask == 0) {
    return DDB_OK;
  }
  ddb_status status = DDB_OK;
  if (!r->group_is_read) {
    status = ddb__input_fill(&r->inputs[r->reads[0]], &rest, err);
  }
  if (!status) {
    status = ddb__groups_find(&r->groups, r->columns, rest.mask, r->numbers, err);
  }
  const uint8_t *codes = (const uint8_t *)column->lanes + batch->block_row;
  for (uint64_t left = rest.mask & batch->clean; left != 0 && !status; left &= left - 1) {
    unsigned i = (unsigned)__builtin_ctzll(left);
    r->code_groups[codes[i]] = r->numbers[i] + 1;
  }
  return status;
}

static ddb_status number_rows(run *r, const ddb__batch *batch, const ddb__column *codes,
                              ddb_error *err) {
  uint32_t before = r->groups.count;
  ddb_status status = codes
                          ? number_coded(r, batch, codes, err)
                          : ddb__groups_find(&r->groups, r->columns, batch->mask, r->numbers, err);
  return !status && r->groups.count > before ? grow(r, err) : status;
}

ddb_status ddb__aggregation_take(run *r, const ddb__batch *batch, ddb_error *err) {
  ddb_status status = DDB_OK;
  const ddb__column *codes = codes_of_groups(r, batch);
  for (size_t i = 0; i < r->input_count && !status; i++) {
    if (!codes || i != r->reads[0] || r->group_is_read) {
      status = ddb__input_fill(&r->inputs[i], batch, err);
    }
  }
  if (!status && r->query->group_count > 0) {
    status = number_rows(r, batch, codes, err);
  }
  for (size_t i = 0; i < r->aggregator_count && !status; i++) {
    size_t read = r->reads[r->query->group_count + i];
    const ddb__input *input = read == DDB__NO_INPUT ? NULL : &r->inputs[read];
    status = ddb__aggregator_feed(&r->aggregators[i], input ? input->values : NULL, r->numbers,
                                  input ? input->present : batch->mask, err);
  }
  return status;
}

static ddb_status take_records(run *r, const ddb_records *records, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t from = 0; from < records->count && !status; from += DDB__BATCH_MAX) {
    size_t count = records->count - from;
    uint64_t mask = count < DDB__BATCH_MAX ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
    ddb__batch batch = {.records = records->items + from, .mask = mask};
    status = ddb__aggregation_take(r, &batch, err);
  }
  return status;
}

/* Aggregates may keep values for as long as they borrow from the source's records: columns stay as
 * long as these. */
static void want_columns(const run *r, ddb__plan *plan) {
  plan->by_batch = r->borrows;
  for (size_t i = 0; i < r->input_count && r->borrows; i++) {
    uint32_t field_id = r->inputs[i].field_id;
    if (r->inputs[i].expr || plan->wanted_count == DDB__PLAN_WANTED_MAX) {
      plan->by_batch = false;
    } else if (field_id != DDB__NO_FIELD) {
      plan->wanted[plan->wanted_count++] = field_id;
    }
  }
}

/* ---- All rows ----------------------------------------------------------------------------- */

static ddb_status scan_rows(run *r, ddb__plan *plan, uint64_t *matched, ddb_error *err) {
  ddb_status status = DDB_OK;
  ddb__scan scan;
  ddb__batch batch;
  ddb__parallel_find(plan, r->query->threads);
  want_columns(r, plan);
  ddb__scan_init(&scan, plan, r->input_count > 0);
  while (!status && ddb__scan_next(&scan, &batch)) {
    *matched += (uint64_t)__builtin_popcountll(batch.mask);
    status = ddb__aggregation_take(r, &batch, err);
  }
  return status ? status : ddb__bound_status(&plan->bound, err);
}

/* t: NULL, or who is told of it; without analysis the rows are then not looked at. */
static ddb_status take_rows(run *r, const ddb__source *source, ddb__teller *t, ddb_error *err) {
  if (r->query->records) {
    return take_records(r, r->query->records, err);
  }
  bool told;
  ddb_status told_status = ddb__told_take(r, source, &told, t, err);
  if (told || told_status) {
    return told_status;
  }
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, source, r->query->where, err);
  if (status) {
    return status;
  }
  uint64_t plan_ns = t ? ddb__teller_ns(t) : 0;
  uint64_t matched = 0;
  if (!t || t->analyzed) {
    status = scan_rows(r, &plan, &matched, err);
  }
  if (!status && t) {
    status = ddb__tell_found(t, &plan, matched, plan_ns);
  }
  ddb__plan_fini(&plan);
  return status;
}

/* ---- Results ------------------------------------------------------------------------------ */

static ddb_status append_group(run *r, uint32_t group, ddb_rowset *rows, ddb_error *err) {
  size_t keys = r->query->group_count;
  if (keys > 0) {
    memcpy(r->values, ddb__groups_key(&r->groups, group), keys * sizeof *r->values);
  }
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < r->aggregator_count && !status; i++) {
    status =
        ddb__aggregator_result(&r->aggregators[i], group, &r->results, &r->values[keys + i], err);
  }
  ddb_record *record;
  if (!status) {
    status = ddb__rowset_make(rows->shape, &rows->arena, r->values, &record, err);
  }
  ddb__arena_clear(&r->results);
  return status ? status : ddb__rowset_append(rows, record, err);
}

ddb_status ddb__aggregation_rows(run *r, ddb_rowset **out, ddb_error *err) {
  const ddb_aggregate_query *query = r->query;
  ddb_rowset *rows;
  ddb_status status =
      ddb__rowset_new("the result of aggregating table", ddb__shapes_table_name(r->shapes),
                      r->names, r->count, &rows, err);
  if (status) {
    return status;
  }
  for (size_t i = 0; i < r->aggregator_count && !status; i++) {
    status = ddb__aggregator_settle(&r->aggregators[i], group_count(r), err);
  }
  for (uint32_t group = 0; group < group_count(r) && !status; group++) {
    status = append_group(r, group, rows, err);
  }
  if (!status) {
    status = ddb__rowset_keep(rows, query->having, query->groups, query->group_count, err);
  }
  r->kept = rows->records.count;
  if (!status) {
    status = ddb__rowset_sort(rows, query->order, query->order_count, query->groups,
                              query->group_count, err);
  }
  if (status) {
    ddb_rowset_free(rows);
    return status;
  }
  ddb__rowset_slice(rows, query->offset, query->limit);
  *out = rows;
  return DDB_OK;
}

ddb_status ddb_view_aggregate(const ddb_view *view, const ddb_aggregate_query *query,
                              ddb_rowset **out, ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "aggregate needs a view, a query and a result");
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  run r;
  ddb_status status = ddb__aggregation_init(&r, ddb__table_shapes(view->table), query, true, err);
  if (status) {
    return status;
  }
  status = take_rows(&r, &source, NULL, err);
  if (!status) {
    status = ddb__aggregation_rows(&r, out, err);
  }
  ddb__aggregation_fini(&r);
  return status;
}

/* ---- Explaining --------------------------------------------------------------------------- */

ddb_status ddb__aggregation_tell_rows(run *r, ddb__teller *t, const ddb__tell_ends *ends) {
  if (!t->analyzed) {
    return DDB_OK;
  }
  ddb__tell_actual(t, ends->group, group_count(r), ddb__teller_ns(t));
  ddb_rowset *rows;
  ddb_status status = ddb__aggregation_rows(r, &rows, t->err);
  if (!status) {
    ddb__tell_actual(t, ends->filter, r->kept, ddb__teller_ns(t));
    ddb__tell_actual(t, ends->slice, rows->records.count, ddb__teller_ns(t));
    t->out->nodes[0].ns = ddb__teller_ns(t);
    ddb_rowset_free(rows);
  }
  return status;
}

static ddb_status explain(run *r, const ddb__source *source, ddb__teller *t) {
  ddb__tell_ends ends;
  ddb_status status = ddb__tell_aggregate(t, r->query, &ends);
  if (!status) {
    status = take_rows(r, source, t, t->err);
  }
  return status ? status : ddb__aggregation_tell_rows(r, t, &ends);
}

ddb_status ddb_view_explain_aggregate(const ddb_view *view, const ddb_aggregate_query *query,
                                      bool analyze, ddb_plan *out, ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "explain needs a view, a query and a result");
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  ddb_plan plan = {0};
  ddb__teller t;
  run r;
  ddb__teller_init(&t, analyze, &plan, err);
  ddb_status status = ddb__aggregation_init(&r, ddb__table_shapes(view->table), query, true, err);
  if (status) {
    return status;
  }
  status = explain(&r, &source, &t);
  ddb__aggregation_fini(&r);
  return ddb__tell_done(&plan, status, out);
}
