/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - reading queries over a view: select, first, one, exists, count.
 *
 * Ownership: results borrow the view's records; the arrays are the caller's (process heap). Locks:
 * none; the view's pin keeps everything that is read.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/parallel.h"
#include "query/selection.h"

#define RESULT_ROOM_FIRST 16u

static ddb__source source_of(const ddb_view *view) {
  return (ddb__source){view->table, ddb__view_root(view)};
}

/* ---- select ------------------------------------------------------------------------------- */

static ddb_status result_grow(ddb_records *result, ddb_error *err) {
  size_t capacity = result->capacity ? result->capacity * 2 : RESULT_ROOM_FIRST;
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

/* Nothing is allocated for nothing: the first records come to `first`. */
static ddb_status take_all(ddb__selection *s, ddb_records *result, ddb_error *err) {
  const ddb_record *first[RESULT_ROOM_FIRST];
  size_t count;
  ddb_status status = ddb__selection_next(s, first, RESULT_ROOM_FIRST, &count, err);
  if (status || count == 0) {
    return status;
  }
  status = result_grow(result, err);
  if (status) {
    return status;
  }
  memcpy(result->items, first, count * sizeof *first);
  result->count = count;
  while (!status && count > 0) {
    if (result->count == result->capacity) {
      status = result_grow(result, err);
    }
    if (!status) {
      status = ddb__selection_next(s, result->items + result->count,
                                   result->capacity - result->count, &count, err);
    }
    result->count += status ? 0 : count;
  }
  return status;
}

ddb_status ddb_view_select(const ddb_view *view, const ddb_query *query, ddb_records *out,
                           ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "select needs a view, a query and a result");
  }
  ddb__source source = source_of(view);
  ddb__selection s;
  ddb_status status = ddb__selection_init(&s, &source, query, err);
  if (status) {
    return status;
  }
  ddb_records result = {0};
  status = take_all(&s, &result, err);
  ddb__selection_fini(&s);
  if (status) {
    ddb_records_free(&result);
  } else {
    *out = result;
  }
  return status;
}

ddb_status ddb_view_trim(const ddb_view *view, const ddb_query *query, ddb_records *records,
                         ddb_error *err) {
  if (!view || !query || !records) {
    return ddb__fail(err, DDB_ERR_INVALID, "trim needs a view, a query and records");
  }
  ddb__source source = source_of(view);
  ddb_query rest = *query;
  rest.where = NULL;
  rest.order_count = 0;
  ddb__selection s;
  ddb_status status = ddb__selection_init(&s, &source, &rest, err);
  if (status) {
    return status;
  }
  ddb__selection_lend(&s, records->items, records->count);
  size_t capacity = records->count;
  size_t given = 1;
  records->count = 0; /* what is given lies before what is still to be looked at */
  while (!status && given > 0) {
    status = ddb__selection_next(&s, records->items + records->count, capacity - records->count,
                                 &given, err);
    records->count += status ? 0 : given;
  }
  ddb__selection_fini(&s);
  return status;
}

void ddb_records_free(ddb_records *records) {
  if (records) {
    ddb__free(&ddb__heap_process, (void *)(uintptr_t)records->items,
              records->capacity * sizeof *records->items);
    *records = (ddb_records){0};
  }
}

/* ---- first, one, exists ------------------------------------------------------------------- */

/* The first records, at most `most` of them. */
static ddb_status take_few(const ddb_view *view, const ddb_query *query, uint64_t most,
                           const ddb_record **records, size_t *count, ddb_error *err) {
  ddb_query few = *query;
  few.limit = most;
  ddb__source source = source_of(view);
  ddb__selection s;
  ddb_status status = ddb__selection_init(&s, &source, &few, err);
  if (!status) {
    status = ddb__selection_next(&s, records, (size_t)most, count, err);
    ddb__selection_fini(&s);
  }
  return status;
}

ddb_status ddb_view_first(const ddb_view *view, const ddb_query *query, const ddb_record **out,
                          ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "first needs a view, a query and a result");
  }
  const ddb_record *record = NULL;
  size_t count = 0;
  ddb_status status = take_few(view, query, 1, &record, &count, err);
  if (!status) {
    *out = count > 0 ? record : NULL;
  }
  return status;
}

static ddb_status fail_one(const ddb_view *view, const ddb_cond *where, bool several,
                           ddb_error *err) {
  ddb_status status = several ? DDB_ERR_MULTIPLE_RECORDS : DDB_ERR_RECORD_NOT_FOUND;
  ddb_str name = ddb_table_name(view->table);
  if (!where) {
    return ddb__fail(err, status, "table '%.*s' has %s", DDB__STR_ARG(name),
                     several ? "more than one record" : "no record");
  }
  char text[200];
  ddb_cond_format(where, text, sizeof text);
  return ddb__fail(err, status, "table '%.*s': %s %s", DDB__STR_ARG(name),
                   several ? "several records match" : "no record matches", text);
}

ddb_status ddb_view_one(const ddb_view *view, const ddb_cond *where, const ddb_record **out,
                        ddb_error *err) {
  if (!view || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "one needs a view and a result");
  }
  ddb_query query = {.where = where};
  const ddb_record *records[2];
  size_t count = 0;
  ddb_status status = take_few(view, &query, 2, records, &count, err);
  if (status) {
    return status;
  }
  if (count != 1) {
    return fail_one(view, where, count > 1, err);
  }
  *out = records[0];
  return DDB_OK;
}

ddb_status ddb_view_exists(const ddb_view *view, const ddb_cond *where, bool *exists,
                           ddb_error *err) {
  if (!view || !exists) {
    return ddb__fail(err, DDB_ERR_INVALID, "exists needs a view and a result");
  }
  ddb_query query = {.where = where};
  const ddb_record *record;
  size_t count = 0;
  ddb_status status = take_few(view, &query, 1, &record, &count, err);
  if (!status) {
    *exists = count > 0;
  }
  return status;
}

/* ---- count -------------------------------------------------------------------------------- */

ddb_status ddb_view_count_where(const ddb_view *view, const ddb_cond *where, uint64_t *count,
                                ddb_error *err) {
  return ddb_view_count_threads(view, where, 0, count, err);
}

ddb_status ddb_view_count_threads(const ddb_view *view, const ddb_cond *where, uint32_t threads,
                                  uint64_t *count, ddb_error *err) {
  if (!view || !count) {
    return ddb__fail(err, DDB_ERR_INVALID, "count needs a view and a result");
  }
  ddb__source source = source_of(view);
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
  ddb_status status = ddb__plan_init_count(&plan, &source, where, err);
  if (status) {
    return status;
  }
  if (plan.is_counted) {
    *count = plan.matched;
    ddb__plan_fini(&plan);
    return DDB_OK;
  }
  uint64_t found = ddb__parallel_count(&plan, threads);
  status = ddb__bound_status(&plan.bound, err);
  *count = status ? *count : found;
  ddb__plan_fini(&plan);
  return status;
}
