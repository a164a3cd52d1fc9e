/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement.c - the statements that find their rows by a condition: update and delete.
 *
 * All rows are found in the next version before the first is changed: a change moves index entries
 * that the search still needs. `primary key == value` goes straight to its row.
 * Locks: the table's write lock, from begin to commit or abort. Memory: 16 bytes a matched row.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/plan.h"
#include "store/builder.h"
#include "store/write.h"

typedef struct match {
  uint64_t seq;
  const ddb_record *record;
} match;

#define MATCHES_INLINE 4u
typedef struct matches {
  match *items;
  size_t count;
  size_t capacity;
  match inline_items[MATCHES_INLINE];
} matches;

static void matches_init(matches *found) {
  found->items = found->inline_items;
  found->count = 0;
  found->capacity = MATCHES_INLINE;
}

static void matches_fini(matches *found) {
  if (found->items != found->inline_items) {
    ddb__free(&ddb__heap_process, found->items, found->capacity * sizeof(match));
  }
}

static ddb_status matches_add(matches *found, uint64_t seq, const ddb_record *record,
                              ddb_error *err) {
  if (found->count == found->capacity) {
    size_t bytes = found->capacity * sizeof(match);
    bool is_inline = found->items == found->inline_items;
    match *items = ddb__resize(&ddb__heap_process, is_inline ? NULL : found->items,
                               is_inline ? 0 : bytes, 4 * bytes);
    if (!items) {
      return ddb__fail_memory(err, 4 * bytes);
    }
    if (is_inline) {
      memcpy(items, found->inline_items, bytes);
    }
    found->items = items;
    found->capacity *= 4;
  }
  found->items[found->count++] = (match){seq, record};
  return DDB_OK;
}

static ddb_status find_all(matches *found, const ddb__source *source, const ddb_cond *where,
                           ddb_error *err) {
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, source, where, err);
  if (status) {
    return status;
  }
  ddb__scan scan;
  ddb__batch batch;
  ddb__scan_init(&scan, &plan, true);
  while (!status && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
      unsigned i = (unsigned)__builtin_ctzll(mask);
      status = matches_add(found, ddb__batch_seq(&batch, i), batch.records[i], err);
    }
  }
  ddb__plan_fini(&plan);
  return status;
}

static ddb_status find_matches(matches *found, const ddb__write *write, const ddb_cond *where,
                               ddb_error *err) {
  ddb__source source = {write->table, write->next};
  uint64_t seq;
  const ddb_record *record;
  if (ddb__plan_point(&source, where, &seq, &record)) {
    return record ? matches_add(found, seq, record, err) : DDB_OK;
  }
  return find_all(found, &source, where, err);
}

/* NULL `changes`: deletes. */
static ddb_status change_matches(ddb__write *write, const matches *found, const ddb__item *changes,
                                 ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < found->count && !status; i++) {
    const match *row = &found->items[i];
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
  matches found;
  matches_init(&found);
  status = find_matches(&found, &write, where, err);
  if (!status) {
    status = change_matches(&write, &found, changes, err);
  }
  if (!status) {
    status = ddb__write_verify(&write, err);
  }
  if (status) {
    ddb__write_abort(&write);
  } else {
    ddb__write_commit(&write);
    if (count) {
      *count = found.count;
    }
  }
  matches_fini(&found);
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
