/* SPDX-License-Identifier: Apache-2.0 */
/*
 * projection.c - ddb_projection: expressions computed for one record after another.
 *
 *   | head | columns[count] |      references to the table, its shapes and the expressions
 *
 * Cost of a read: that of the expressions. Locks: none.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/rowset.h"
#include "query/term.h"
#include "store/table.h"

typedef struct entry {
  ddb__term term;
  ddb_expr *expr;
} entry;

struct ddb_projection {
  ddb_table *table; /* NULL: of a rowset */
  ddb__shapes *shapes;
  size_t count; /* of the entries that are bound */
  size_t bytes; /* of this allocation */
  entry entries[];
};

static ddb_status make(ddb_table *table, ddb__shapes *shapes, ddb_expr *const *columns,
                       size_t count, ddb_projection **out, ddb_error *err) {
  size_t bytes = sizeof(ddb_projection) + count * sizeof(entry);
  ddb_projection *projection = ddb__alloc(&ddb__heap_process, bytes);
  if (!projection) {
    return ddb__fail_memory(err, bytes);
  }
  projection->table = table ? ddb_table_acquire(table) : NULL;
  projection->shapes = ddb__shapes_acquire(shapes);
  projection->count = 0;
  projection->bytes = bytes;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && !status; i++) {
    entry *to = &projection->entries[i];
    status = ddb__term_bind(&to->term, shapes, (ddb_str){NULL, 0}, columns[i], err);
    if (!status) {
      to->expr = ddb_expr_acquire(columns[i]);
      projection->count++;
    }
  }
  if (status) {
    ddb_projection_free(projection);
    return status;
  }
  *out = projection;
  return DDB_OK;
}

ddb_status ddb_projection_new(ddb_table *table, ddb_expr *const *columns, size_t count,
                              ddb_projection **out, ddb_error *err) {
  if (!table || (count > 0 && !columns) || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a projection needs a table, columns and a result");
  }
  return make(table, ddb__table_shapes(table), columns, count, out, err);
}

ddb_status ddb_rowset_projection(const ddb_rowset *rows, ddb_expr *const *columns, size_t count,
                                 ddb_projection **out, ddb_error *err) {
  if (!rows || (count > 0 && !columns) || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a projection needs rows, columns and a result");
  }
  return make(NULL, rows->shapes, columns, count, out, err);
}

void ddb_projection_read(ddb_projection *projection, const ddb_record *record, ddb_value *values) {
  for (size_t i = 0; i < projection->count; i++) {
    values[i] = ddb__term_read(&projection->entries[i].term, record);
  }
}

void ddb_projection_free(ddb_projection *projection) {
  if (!projection) {
    return;
  }
  for (size_t i = 0; i < projection->count; i++) {
    ddb__term_unbind(&projection->entries[i].term);
    ddb_expr_release(projection->entries[i].expr);
  }
  ddb__shapes_release(projection->shapes);
  ddb_table_release(projection->table);
  ddb__free(&ddb__heap_process, projection, projection->bytes);
}
