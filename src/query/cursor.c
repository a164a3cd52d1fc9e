/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor.c - ddb_cursor: a selection that holds its version by itself.
 *
 * The version is held by a long pin, which belongs to no thread. Indexes are looked up when the cursor
 * opens, under the caller's view; from then on only the root's rows are read. Ownership: a reference
 * to the table, one to the condition and to each expression, the pin. Locks: none of its own.
 */
#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/selection.h"

struct ddb_cursor {
  ddb_table *table;
  ddb_cond *where;
  ddb_view view;
  ddb__selection selection;
  size_t expr_room;
  size_t expr_count;
  ddb_expr *exprs[];
};

static size_t cursor_bytes(size_t expr_count) {
  return sizeof(ddb_cursor) + expr_count * sizeof(ddb_expr *);
}

static void keep_expr(ddb_cursor *cursor, ddb_expr *expr) {
  if (expr) {
    cursor->exprs[cursor->expr_count++] = ddb_expr_acquire(expr);
  }
}

/* References to what the query points to. */
static void keep(ddb_cursor *cursor, const ddb_view *view, const ddb_query *query) {
  cursor->table = ddb_table_acquire(view->table);
  cursor->where = query->where ? ddb_cond_acquire((ddb_cond *)(uintptr_t)query->where) : NULL;
  cursor->expr_count = 0;
  for (size_t i = 0; i < query->order_count; i++) {
    keep_expr(cursor, query->order[i].expr);
  }
  for (size_t i = 0; query->distinct_exprs && i < query->distinct_count; i++) {
    keep_expr(cursor, query->distinct_exprs[i]);
  }
}

static ddb_status cursor_init(ddb_cursor *cursor, const ddb_view *view, const ddb_query *query,
                              ddb_error *err) {
  ddb_status status = ddb__view_hold(view, &cursor->view, err);
  if (status) {
    return status;
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  status = ddb__selection_init(&cursor->selection, &source, query, err);
  cursor->selection.threads = 1; /* it looks no further than it is asked */
  if (status) {
    ddb_view_close(&cursor->view);
  }
  return status;
}

ddb_status ddb_cursor_open(const ddb_view *view, const ddb_query *query, ddb_cursor **out,
                           ddb_error *err) {
  if (!view || !query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a cursor needs a view, a query and a result");
  }
  size_t expr_room = query->order_count + (query->distinct_exprs ? query->distinct_count : 0);
  ddb_cursor *cursor = ddb__alloc(&ddb__heap_process, cursor_bytes(expr_room));
  if (!cursor) {
    return ddb__fail_memory(err, cursor_bytes(expr_room));
  }
  cursor->expr_room = expr_room;
  ddb_status status = cursor_init(cursor, view, query, err);
  if (status) {
    ddb__free(&ddb__heap_process, cursor, cursor_bytes(expr_room));
    return status;
  }
  keep(cursor, view, query);
  *out = cursor;
  return DDB_OK;
}

ddb_status ddb_cursor_next(ddb_cursor *cursor, const ddb_record **records, size_t capacity,
                           size_t *count, ddb_error *err) {
  if (!cursor || !records || !count || capacity == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "a cursor's next needs room for records, and a count");
  }
  ddb_status status = ddb__selection_next(&cursor->selection, records, capacity, count, err);
  const ddb_record *lost[1];
  size_t lost_count;
  if (DDB__FAULT(CURSOR_DROPS_ROW) && !status && *count == capacity) {
    status = ddb__selection_next(&cursor->selection, lost, 1, &lost_count, err);
  }
  return status;
}

void ddb_cursor_close(ddb_cursor *cursor) {
  if (!cursor) {
    return;
  }
  ddb__selection_fini(&cursor->selection);
  ddb_view_close(&cursor->view);
  ddb_cond_release(cursor->where);
  ddb_table_release(cursor->table);
  for (size_t i = 0; i < cursor->expr_count; i++) {
    ddb_expr_release(cursor->exprs[i]);
  }
  ddb__free(&ddb__heap_process, cursor, cursor_bytes(cursor->expr_room));
}
