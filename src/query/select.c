/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - reading queries over a view: select, count, columns.
 *
 *   rows of the plan -> [order] -> [distinct] -> offset, limit -> result
 *
 * Without an order rows go straight through and the scan stops at the limit. With one, and no
 * distinct, only offset + limit rows are held when that is little. "First" in distinct is first in
 * the order asked for.
 * Ownership: results borrow the view's records; the arrays are the caller's (process heap). Locks:
 * none; the view's pin keeps everything that is read.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/distinct.h"
#include "query/order.h"
#include "query/plan.h"
#include "store/rows.h"

#define FIELDS_INLINE 8u

/* A query whose names are field ids. */
typedef struct selection {
  const ddb_query *query;
  ddb__source source;
  ddb__order_key *keys;
  uint32_t *distinct_ids; /* NULL: none, or on all fields */
  ddb__order_key inline_keys[FIELDS_INLINE];
  uint32_t inline_ids[FIELDS_INLINE];
  ddb__distinct distinct;
  uint64_t to_skip;
  ddb_records result;
} selection;

/* ---- Names -------------------------------------------------------------------------------- */

static void selection_fini(selection *s) {
  const ddb_query *query = s->query;
  if (s->keys != s->inline_keys) {
    ddb__free(&ddb__heap_process, s->keys, query->order_count * sizeof *s->keys);
  }
  if (s->distinct_ids != s->inline_ids) {
    ddb__free(&ddb__heap_process, s->distinct_ids, query->distinct_count * sizeof(uint32_t));
  }
  ddb__distinct_fini(&s->distinct);
  ddb_records_free(&s->result);
}

/* Room for the names' ids, in place or allocated. */
static ddb_status make_room(void **room, void *in_place, size_t count, size_t size,
                            ddb_error *err) {
  *room = in_place;
  if (count > FIELDS_INLINE) {
    *room = count > SIZE_MAX / size ? NULL : ddb__alloc(&ddb__heap_process, count * size);
  }
  return *room ? DDB_OK : ddb__fail_memory(err, count * size);
}

static ddb_status bind_order(selection *s, const ddb__shapes *shapes, ddb_error *err) {
  void *room;
  size_t count = s->query->order_count;
  ddb_status status = make_room(&room, s->inline_keys, count, sizeof *s->keys, err);
  s->keys = room;
  for (size_t i = 0; i < count && !status; i++) {
    const ddb_order *order = &s->query->order[i];
    s->keys[i].descending = order->descending;
    status = ddb__bound_field(shapes, order->field, &s->keys[i].field_id, err);
  }
  return status;
}

static ddb_status bind_distinct(selection *s, const ddb__shapes *shapes, ddb_error *err) {
  if (!s->query->distinct || !s->query->distinct_fields) {
    s->distinct_ids = NULL;
    ddb__distinct_init(&s->distinct, NULL, 0);
    return DDB_OK;
  }
  void *room;
  size_t count = s->query->distinct_count;
  ddb_status status = make_room(&room, s->inline_ids, count, sizeof(uint32_t), err);
  s->distinct_ids = room;
  for (size_t i = 0; i < count && !status; i++) {
    const ddb_str name = s->query->distinct_fields[i];
    status = ddb__bound_field(shapes, name, &s->distinct_ids[i], err);
  }
  ddb__distinct_init(&s->distinct, s->distinct_ids, count);
  return status;
}

static ddb_status selection_init(selection *s, const ddb_view *view, const ddb_query *query,
                                 ddb_error *err) {
  if (query->order_count > 0 && !query->order) {
    return ddb__fail(err, DDB_ERR_INVALID, "a query orders by %zu fields that it does not name",
                     query->order_count);
  }
  s->query = query;
  s->source = (ddb__source){view->table, ddb__view_root(view)};
  s->keys = s->inline_keys;
  s->distinct_ids = NULL;
  s->distinct = (ddb__distinct){0};
  s->to_skip = query->offset;
  s->result = (ddb_records){0};
  const ddb__shapes *shapes = ddb__table_shapes(view->table);
  ddb_status status = bind_order(s, shapes, err);
  if (!status) {
    status = bind_distinct(s, shapes, err);
  }
  if (status) {
    selection_fini(s);
  }
  return status;
}

/* ---- Results ------------------------------------------------------------------------------ */

static ddb_status result_grow(ddb_records *result, ddb_error *err) {
  size_t capacity = result->capacity ? result->capacity * 2 : 16;
  size_t size = sizeof *result->items;
  const ddb_record **items = ddb__resize(&ddb__heap_process, (void *)(uintptr_t)result->items,
                                         result->capacity * size, capacity * size);
  if (!items) {
    return ddb__fail_memory(err, capacity * size);
  }
  result->items = items;
  result->capacity = capacity;
  return DDB_OK;
}

/* The end of the pipeline: distinct, offset, limit. *done: no more rows are wanted. */
static ddb_status emit(selection *s, const ddb_record *record, bool *done, ddb_error *err) {
  if (s->query->distinct) {
    bool added;
    ddb_status status = ddb__distinct_add(&s->distinct, record, &added, err);
    if (status || !added) {
      return status;
    }
  }
  if (s->to_skip > 0) {
    s->to_skip--;
    return DDB_OK;
  }
  if (s->result.count == s->result.capacity) {
    ddb_status status = result_grow(&s->result, err);
    if (status) {
      return status;
    }
  }
  s->result.items[s->result.count++] = record;
  *done = s->result.count >= s->query->limit;
  return DDB_OK;
}

static ddb_status run_unordered(selection *s, ddb__plan *plan, ddb_error *err) {
  ddb__scan scan;
  ddb__batch batch;
  bool done = false;
  ddb_status status = DDB_OK;
  ddb__scan_init(&scan, plan, s->query->distinct);
  while (!done && !status && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !done && !status; mask &= mask - 1) {
      status = emit(s, batch.records[__builtin_ctzll(mask)], &done, err);
    }
  }
  return status;
}

static ddb_status emit_ordered(selection *s, ddb__order *order, ddb_error *err) {
  const ddb_record **records;
  ddb_status status = ddb__order_finish(order, &records, err);
  bool done = false;
  for (size_t i = 0; i < order->count && !status && !done; i++) {
    status = emit(s, records[i], &done, err);
  }
  ddb__free(&ddb__heap_process, (void *)(uintptr_t)records, order->count * sizeof *records);
  return status;
}

static ddb_status run_ordered(selection *s, ddb__plan *plan, ddb_error *err) {
  const ddb_query *query = s->query;
  uint64_t keep =
      query->limit > UINT64_MAX - query->offset ? UINT64_MAX : query->limit + query->offset;
  bool bounded = !query->distinct && keep <= s->source.root->count / 8;
  ddb__order order;
  ddb__order_init(&order, s->keys, query->order_count, bounded, keep);
  ddb__scan scan;
  ddb__batch batch;
  ddb_status status = DDB_OK;
  ddb__scan_init(&scan, plan, true);
  while (!status && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
      status = ddb__order_add(&order, batch.records[__builtin_ctzll(mask)], err);
    }
  }
  if (!status) {
    status = emit_ordered(s, &order, err);
  }
  ddb__order_fini(&order);
  return status;
}

ddb_status ddb_view_select(const ddb_view *view, const ddb_query *query, ddb_records *out,
                           ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "select needs a view, a query and a result");
  }
  selection s;
  ddb_status status = selection_init(&s, view, query, err);
  if (status) {
    return status;
  }
  ddb__plan plan;
  status = ddb__plan_init(&plan, &s.source, query->where, err);
  if (!status) {
    if (query->limit > 0) {
      status = query->order_count > 0 ? run_ordered(&s, &plan, err) : run_unordered(&s, &plan, err);
    }
    ddb__plan_fini(&plan);
  }
  if (!status) {
    *out = s.result;
    s.result = (ddb_records){0};
  }
  selection_fini(&s);
  return status;
}

void ddb_records_free(ddb_records *records) {
  if (records) {
    ddb__free(&ddb__heap_process, (void *)(uintptr_t)records->items,
              records->capacity * sizeof *records->items);
    *records = (ddb_records){0};
  }
}

ddb_status ddb_view_count_where(const ddb_view *view, const ddb_cond *where, uint64_t *count,
                                ddb_error *err) {
  if (!view || !count) {
    return ddb__fail(err, DDB_ERR_INVALID, "count needs a view and a result");
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  uint64_t seq;
  const ddb_record *record;
  if (!where) {
    *count = source.root->count;
    return DDB_OK;
  }
  if (ddb__plan_point(&source, where, &seq, &record)) {
    *count = record ? 1 : 0;
    return DDB_OK;
  }
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &source, where, err);
  if (status) {
    return status;
  }
  ddb__scan scan;
  ddb__batch batch;
  uint64_t matched = 0;
  ddb__scan_init(&scan, &plan, false);
  while (ddb__scan_next(&scan, &batch)) {
    matched += (uint64_t)__builtin_popcountll(batch.mask);
  }
  ddb__plan_fini(&plan);
  *count = matched;
  return DDB_OK;
}
