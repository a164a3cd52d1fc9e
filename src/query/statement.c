/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement.c - the statements that find their rows by a condition: update and delete.
 *
 * Locks: the table's write lock, from begin to commit or abort.
 */
#include "base/status.h"
#include "query/matches.h"
#include "store/builder.h"
#include "store/table.h"

/* NULL `changes`: deletes. */
static ddb_status change_matches(ddb__write *write, const ddb__matches *found,
                                 const ddb__item *changes, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < found->count && !status; i++) {
    const ddb__hit *row = &found->items[i];
    status = changes ? ddb__write_update(write, row->seq, row->record, changes->shape->stored,
                                         changes->block, err)
                     : ddb__write_delete(write, row->seq, row->record, err);
  }
  return status;
}

static ddb_status run(ddb_table *table, const ddb__item *changes, const ddb_cond *where,
                      uint64_t *count, ddb_error *err) {
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status) {
    return status;
  }
  ddb__matches found;
  ddb__matches_init(&found);
  status = ddb__matches_where(&found, &write, where, err);
  if (!status) {
    status = change_matches(&write, &found, changes, err);
  }
  status = ddb__write_finish(&write, status, err);
  if (!status && count) {
    *count = found.count;
  }
  ddb__matches_fini(&found);
  return status;
}

ddb_status ddb_table_update(ddb_table *table, const ddb_builder *changes, const ddb_cond *where,
                            uint64_t *count, ddb_error *err) {
  if (!table || !changes || ddb_builder_count(changes) != 1) {
    return ddb__fail(err, DDB_ERR_INVALID, "update needs a table and one record of changes");
  }
  ddb__item item = ddb__builder_item(changes, 0);
  if (!item.shape || item.shape->kind != DDB_SHAPE_CHANGES ||
      item.shape->registry != ddb__table_shapes(table)) {
    return ddb__fail(err, DDB_ERR_INVALID, "update of '%.*s' needs changes in a shape of the table",
                     DDB__STR_ARG(ddb_table_name(table)));
  }
  return run(table, &item, where, count, err);
}

ddb_status ddb_table_delete(ddb_table *table, const ddb_cond *where, uint64_t *count,
                            ddb_error *err) {
  if (!table) {
    return ddb__fail(err, DDB_ERR_INVALID, "delete needs a table");
  }
  return run(table, NULL, where, count, err);
}
