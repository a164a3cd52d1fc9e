/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection.c - see selection.h. A row is taken off the batch, or off the sorted ones, only when
 * nothing can fail any more: what failed for lack of memory can be asked for again.
 */
#include "query/selection.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/firsts.h"
#include "query/parallel.h"

/* ---- Columns ------------------------------------------------------------------------------ */

/* Zeroed room for the columns, in place or allocated; NULL: no memory. */
static void *make_room(void *in_place, size_t count, size_t size) {
  if (count <= DDB__SELECTION_INLINE) {
    memset(in_place, 0, count * size);
    return in_place;
  }
  return count > SIZE_MAX / size ? NULL : ddb__alloc_zero(&ddb__heap_process, count * size);
}

static ddb_status bind_order(ddb__selection *s, const ddb__shapes *shapes, const ddb_query *query,
                             ddb_error *err) {
  size_t count = query->order_count;
  ddb__order_key *keys = make_room(s->inline_keys, count, sizeof *keys);
  if (!keys) {
    return ddb__fail_memory(err, count * sizeof *keys);
  }
  s->keys = keys;
  s->key_count = count;
  const ddb__scope scope = {.shapes = shapes};
  return ddb__order_bind(keys, &scope, query->order, count, err);
}

static ddb_status bind_distinct(ddb__selection *s, const ddb__shapes *shapes,
                                const ddb_query *query, ddb_error *err) {
  if (!query->distinct || (!query->distinct_fields && !query->distinct_exprs)) {
    ddb__distinct_init(&s->distinct, NULL, 0);
    return DDB_OK;
  }
  size_t count = query->distinct_count;
  ddb__distinct_column *columns = make_room(s->inline_columns, count, sizeof *columns);
  if (!columns) {
    return ddb__fail_memory(err, count * sizeof *columns);
  }
  s->distinct_columns = columns;
  s->distinct_count = count;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && !status; i++) {
    const ddb_expr *expr = query->distinct_exprs ? query->distinct_exprs[i] : NULL;
    ddb_str name = expr || !query->distinct_fields ? (ddb_str){NULL, 0} : query->distinct_fields[i];
    status = ddb__term_bind(&columns[i].new, shapes, name, expr, err);
    if (!status) {
      status = ddb__term_bind(&columns[i].old, shapes, name, expr, err);
    }
  }
  ddb__distinct_init(&s->distinct, columns, count);
  return status;
}

static void free_columns(ddb__selection *s) {
  ddb__order_unbind(s->keys, s->key_count);
  for (size_t i = 0; i < s->distinct_count; i++) {
    ddb__term_unbind(&s->distinct_columns[i].new);
    ddb__term_unbind(&s->distinct_columns[i].old);
  }
  if (s->keys != s->inline_keys) {
    ddb__free(&ddb__heap_process, s->keys, s->key_count * sizeof *s->keys);
  }
  if (s->distinct_columns != s->inline_columns) {
    ddb__free(&ddb__heap_process, s->distinct_columns,
              s->distinct_count * sizeof *s->distinct_columns);
  }
}

ddb_status ddb__query_check(const ddb_query *query, ddb_error *err) {
  if (query->order_count > 0 && !query->order) {
    return ddb__fail(err, DDB_ERR_INVALID, "a query orders by %zu fields that it does not name",
                     query->order_count);
  }
  bool named = !query->distinct_exprs || query->distinct_fields;
  for (size_t i = 0; query->distinct && !named && i < query->distinct_count; i++) {
    if (!query->distinct_exprs[i]) {
      return ddb__fail(err, DDB_ERR_INVALID, "a query's distinct expression %zu is missing", i);
    }
  }
  return DDB_OK;
}

/* Rows of the plan, in order, that can be wanted yet; with a distinct, any number. */
static uint64_t kept(const ddb__selection *s) {
  bool open = s->is_distinct || s->left > UINT64_MAX - s->to_skip - s->walked;
  return open ? UINT64_MAX : s->left + s->to_skip + s->walked;
}

/* All keys go one way, with nulls where that has them. */
static bool has_one_direction(const ddb__selection *s) {
  bool has = true;
  for (size_t i = 0; i < s->key_count && has; i++) {
    has = s->keys[i].descending == s->keys[0].descending &&
          s->keys[i].nulls_last == s->keys[i].descending;
  }
  return has;
}

/* Different values of fields: the first row of each is enough. With a limit and no order the first
 * rows of a scan may be, too. */
static ddb_status plan_firsts(ddb__selection *s, const ddb_query *query, ddb_error *err) {
  ddb__path paths[DDB_INDEX_FIELD_COUNT_MAX];
  ddb__path order[DDB_INDEX_FIELD_COUNT_MAX];
  bool may = s->is_distinct && s->distinct_count > 0 &&
             s->distinct_count <= DDB_INDEX_FIELD_COUNT_MAX &&
             s->key_count <= DDB_INDEX_FIELD_COUNT_MAX &&
             (s->key_count > 0 || query->limit == DDB_NO_LIMIT);
  for (size_t i = 0; may && i < s->distinct_count; i++) {
    may = ddb__term_path(&s->distinct_columns[i].new, &paths[i]);
  }
  for (size_t i = 0; may && i < s->key_count; i++) {
    may = ddb__term_path(&s->keys[i].term, &order[i]);
  }
  if (!may) {
    return DDB_OK;
  }
  bool cut = has_one_direction(s) && s->left <= UINT64_MAX - s->to_skip;
  const ddb__firsts wanted = {.paths = paths,
                              .path_count = s->distinct_count,
                              .order = order,
                              .order_count = s->key_count,
                              .descending = s->key_count > 0 && s->keys[0].descending,
                              .most = cut ? s->left + s->to_skip : UINT64_MAX};
  return ddb__firsts_plan(&s->plan, &wanted, err);
}

ddb_status ddb__selection_init(ddb__selection *s, const ddb__source *source, const ddb_query *query,
                               ddb_error *err) {
  ddb_status status = ddb__query_check(query, err);
  if (status) {
    return status;
  }
  s->source = *source;
  s->scanning = false;
  s->batch.mask = 0;
  s->keys = s->inline_keys;
  s->key_count = 0;
  s->sorted = NULL;
  s->sorted_count = 0;
  s->sorted_next = 0;
  s->walked = 0;
  s->matched = 0;
  s->is_sorted = false;
  s->is_lent = false;
  s->is_distinct = query->distinct;
  s->distinct_columns = NULL;
  s->distinct_count = 0;
  s->to_skip = query->offset;
  s->left = query->limit;
  s->threads = query->threads;
  const ddb__shapes *shapes = ddb__table_shapes(source->table);
  bool planned = false;
  status = bind_order(s, shapes, query, err);
  if (!status) {
    status = bind_distinct(s, shapes, query, err);
  }
  if (!status) {
    const ddb__plan_order order = {s->keys, s->key_count, kept(s), false};
    status =
        ddb__plan_init_query(&s->plan, &s->source, query, s->key_count > 0 ? &order : NULL, err);
    planned = status == DDB_OK;
  }
  if (!status) {
    status = plan_firsts(s, query, err);
  }
  if (status) {
    if (planned) {
      ddb__plan_fini(&s->plan);
    }
    free_columns(s);
  }
  return status;
}

void ddb__selection_fini(ddb__selection *s) {
  ddb__plan_fini(&s->plan);
  ddb__distinct_fini(&s->distinct);
  if (!s->is_lent) {
    ddb__free(&ddb__heap_process, (void *)(uintptr_t)s->sorted,
              s->sorted_count * sizeof *s->sorted);
  }
  free_columns(s);
}

void ddb__selection_lend(ddb__selection *s, const ddb_record **records, size_t count) {
  s->sorted = records;
  s->sorted_count = count;
  s->is_sorted = true;
  s->is_lent = true;
}

/* ---- Rows --------------------------------------------------------------------------------- */

static ddb_status sort_all(ddb__selection *s, ddb__order *order, ddb_error *err) {
  ddb__batch batch;
  ddb_status status = DDB_OK;
  ddb__parallel_find(&s->plan, s->threads);
  ddb__scan_init(&s->scan, &s->plan, true);
  while (!status && ddb__scan_next(&s->scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
      s->matched++;
      status = ddb__order_add(order, batch.records[__builtin_ctzll(mask)], err);
    }
  }
  status = status ? status : ddb__bound_status(&s->plan.bound, err);
  return status ? status : ddb__order_finish(order, &s->sorted, err);
}

static ddb_status sort(ddb__selection *s, ddb_error *err) {
  uint64_t keep = kept(s);
  bool bounded = keep <= s->source.root->count / 8;
  ddb__order order;
  ddb__order_init(&order, s->keys, s->key_count, bounded, keep);
  ddb_status status = sort_all(s, &order, err);
  if (!status) {
    s->sorted_count = order.count;
    s->is_sorted = true;
  }
  ddb__order_fini(&order);
  return status;
}

/* The rows are taken from those sorted, or lent; else straight from the scan. */
static bool is_sorting(const ddb__selection *s) {
  return s->is_lent || (s->key_count > 0 && !s->plan.is_ordered);
}

/* Fewer rows match than it seemed, and the walk of the index goes on and on: sorts all of them, and
 * goes on behind those that were given. */
static void give_up_order(ddb__selection *s) {
  s->plan.is_ordered = false;
  s->sorted_next = DDB__FAULT(WALK_FORGETS_ROWS) ? 0 : (size_t)s->walked;
}

/* The next row of plan and order, which stays the next until it is dropped; NULL: no more. */
static ddb_status row_peek(ddb__selection *s, const ddb_record **record, ddb_error *err) {
  *record = NULL;
  if (!is_sorting(s)) {
    if (!s->scanning) {
      if (s->left == DDB_NO_LIMIT && !s->plan.is_ordered) { /* else the first rows may be enough */
        ddb__parallel_find(&s->plan, s->threads);
      }
      ddb__scan_init(&s->scan, &s->plan, s->is_distinct);
      s->scanning = true;
    }
    if (s->batch.mask != 0 || ddb__scan_next(&s->scan, &s->batch)) {
      *record = s->batch.records[__builtin_ctzll(s->batch.mask)];
      return DDB_OK;
    }
    s->batch.mask = 0;
    ddb_status status = ddb__bound_status(&s->plan.bound, err);
    if (status || !ddb__scan_gave_up(&s->scan)) {
      return status;
    }
    give_up_order(s);
  }
  ddb_status status = s->is_sorted ? DDB_OK : sort(s, err);
  if (!status && s->sorted_next < s->sorted_count) {
    *record = s->sorted[s->sorted_next];
  }
  return status;
}

static void row_drop(ddb__selection *s) {
  if (is_sorting(s)) {
    s->sorted_next++;
  } else {
    s->batch.mask &= s->batch.mask - 1;
    s->walked++;
  }
}

/* Is each row of a batch given as it is? */
static bool gives_batches(const ddb__selection *s) {
  return !s->is_distinct && s->to_skip == 0 && !is_sorting(s);
}

/* The rest of the batch, as far as it is wanted. */
static size_t batch_drop(ddb__selection *s, const ddb_record **records, size_t capacity) {
  size_t most = s->left < capacity ? (size_t)s->left : capacity;
  size_t given = 0;
  uint64_t mask = s->batch.mask;
  for (; mask != 0 && given < most; mask &= mask - 1) {
    records[given++] = s->batch.records[__builtin_ctzll(mask)];
  }
  s->batch.mask = mask;
  s->walked += given;
  s->left -= given;
  return given;
}

ddb_status ddb__selection_next(ddb__selection *s, const ddb_record **records, size_t capacity,
                               size_t *count, ddb_error *err) {
  size_t given = 0;
  ddb_status status = DDB_OK;
  while (given < capacity && s->left > 0) {
    const ddb_record *record;
    bool is_new = true;
    status = row_peek(s, &record, err);
    if (!status && record && s->is_distinct) {
      status = ddb__distinct_add(&s->distinct, record, &is_new, err);
    }
    if (status || !record) {
      break;
    }
    if (gives_batches(s)) {
      given += batch_drop(s, records + given, capacity - given);
      continue;
    }
    row_drop(s);
    if ((is_new || DDB__FAULT(DISTINCT_AFTER_OFFSET)) && s->to_skip > 0) {
      s->to_skip--;
    } else if (is_new) {
      records[given++] = record;
      s->left--;
    }
  }
  if (status && given == 0) {
    return status;
  }
  *count = given;
  return DDB_OK;
}
