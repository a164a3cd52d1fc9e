/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - making and freeing tables, and what a table tells about itself.
 *
 * A table is made with version 1, empty and visible to nobody until db.c lists it. It is freed when
 * it is neither listed nor referenced: then nobody reads, writes, or holds a snapshot that sees it.
 */
#include "store/table_private.h"

static _Atomic uint64_t next_table_id = 1;

static ddb__root *first_root(ddb_table *table) {
  ddb__root *root = ddb__alloc_zero(&table->heap, ddb__root_size(0));
  if (root) {
    root->version = 1;
    root->next_key = 1;
  }
  return root;
}

static ddb_status table_fill(ddb_table *table, ddb_str name, const ddb_table_options *options,
                             ddb_error *err) {
  ddb_status status =
      ddb__shapes_new(&ddb__heap_process, "table", name, options, &table->shapes, err);
  if (status != DDB_OK) {
    return status;
  }
  table->name = ddb__shapes_table_name(table->shapes);
  status = ddb_rwlock_new(table->name, &table->lock, err);
  if (status != DDB_OK) {
    return status;
  }
  ddb__rwlock_owner owner = {ddb__publish_acquired, ddb__publish_releasing, ddb__publish_released,
                             table};
  ddb__rwlock_owner_set(table->lock, &owner);
  status = ddb__keyindex_init(&table->keys, &table->heap, err);
  if (status != DDB_OK) {
    return status;
  }
  ddb__root *root = first_root(table);
  if (!root) {
    return ddb__fail_memory(err, ddb__root_size(0));
  }
  table->visible = root;
  atomic_init(&table->current, root);
  atomic_init(&table->version, root->version);
  return DDB_OK;
}

ddb_status ddb__table_new(ddb_db *db, ddb_str name, const ddb_table_options *options,
                          ddb_table **out, ddb_error *err) {
  ddb_table *table = ddb__alloc_zero(&db->heap, sizeof *table + DDB__CACHE_LINE);
  if (!table) {
    return ddb__fail_memory(err, sizeof *table);
  }
  /* The allocator aligns to 16 bytes; hot members want lines of their own. */
  uintptr_t start = (uintptr_t)table;
  size_t shift = (DDB__CACHE_LINE - start % DDB__CACHE_LINE) % DDB__CACHE_LINE;
  table = (ddb_table *)(void *)((char *)table + shift);
  table->allocation_shift = shift;
  table->db = db;
  table->hidden = true; /* until db.c lists it */
  ddb__heap_open_exclusive(&table->heap);
  ddb__memo_pool_init(&table->memos, &table->heap);
  table->id = atomic_fetch_add_explicit(&next_table_id, 1, memory_order_relaxed);
  table->fork_generation = ddb__fork_generation();
  ddb__edit_init(&table->edit, &table->heap, 0);
  ddb__edit_init(&table->release_edit, &table->heap, 0);
  ddb__pins_init(&table->pins);
  ddb_status status = table_fill(table, name, options, err);
  if (status != DDB_OK) {
    ddb__table_free(table);
    return status;
  }
  *out = table;
  return DDB_OK;
}

static void free_root(ddb_table *table, ddb__root *root) {
  ddb__rows_free(&root->rows, &table->heap);
  for (uint32_t i = 0; i < root->index_count; i++) {
    ddb__tree_free(&root->indexes[i].tree, &table->heap);
  }
  ddb__free(&table->heap, root, ddb__root_size(root->index_count));
}

void ddb__table_free(ddb_table *table) {
  ddb__root *root =
      (ddb__root *)(uintptr_t)atomic_load_explicit(&table->current, memory_order_acquire);
  if (root) {
    free_root(table, root);
  }
  ddb__pins_forget(table);
  ddb__pins_fini(&table->pins, &table->heap, &table->db->heap);
  ddb__memo_pool_fini(&table->memos);
  ddb__keyindex_fini(&table->keys, &table->heap);
  ddb__edit_fini(&table->edit);
  ddb__edit_fini(&table->release_edit);
  ddb__publish_free_release(table);
  ddb__index_defs_free(table);
  ddb__free(&table->db->heap, table->spare_kept, sizeof *table->spare_kept);
  ddb__free(&table->db->heap, table->spare_pin, sizeof *table->spare_pin);
  if (table->entry) {
    table->db->journal->calls->discard(table->db->journal, table->entry);
  }
  ddb_rwlock_free(table->lock);
  if (table->shapes) {
    ddb__shapes_release(table->shapes);
  }
  ddb__heap_close(&table->heap);
  void *allocation = (char *)table - table->allocation_shift;
  ddb__free(&table->db->heap, allocation, sizeof *table + DDB__CACHE_LINE);
}

ddb_status ddb__table_dropped(const ddb_table *table, ddb_error *err) {
  ddb_status status = ddb__fail(err, DDB_ERR_TABLE_NOT_FOUND, "table '%.*s' was dropped",
                                DDB__STR_ARG(table->name));
  if (err) {
    ddb__error_text(err->table, sizeof err->table, table->name);
  }
  return status;
}

ddb__shapes *ddb__table_shapes(const ddb_table *table) {
  return table->shapes;
}

ddb__heap *ddb__table_heap(const ddb_table *table) {
  return (ddb__heap *)&table->heap;
}

uint32_t ddb__table_number(const ddb_table *table) {
  return table->number;
}

ddb__memo_pool *ddb__table_memos(const ddb_table *table) {
  return ddb__table_forked(table) ? NULL : (ddb__memo_pool *)(uintptr_t)&table->memos;
}

ddb_str ddb_table_name(const ddb_table *table) {
  return table->name;
}

ddb_str ddb_table_primary_key(const ddb_table *table) {
  return ddb__shapes_schema(table->shapes)->primary_key;
}

const ddb_schema_field *ddb_table_schema(const ddb_table *table, size_t *count) {
  const ddb__schema *schema = ddb__shapes_schema(table->shapes);
  *count = schema->fields ? schema->field_count : 0;
  return schema->fields;
}

ddb_db *ddb_table_db(const ddb_table *table) {
  return table->db;
}

ddb_rwlock *ddb_table_lock(ddb_table *table) {
  return table->lock;
}

void ddb_table_memory(const ddb_table *table, ddb_memory *out) {
  uint64_t columns = ddb__heap_bytes(&table->memos.heap);
  *out = (ddb_memory){
      .total_bytes = ddb__heap_bytes(&table->heap) + columns,
      .old_bytes =
          atomic_load_explicit(&((ddb_table *)(uintptr_t)table)->old_bytes, memory_order_relaxed),
      .column_bytes = columns,
  };
}

uint64_t ddb_table_column_budget(const ddb_table *table) {
  return ddb__memo_pool_budget(&table->memos);
}

/* What is there goes by publishing an unchanged root, after which no new reader can find it. */
static ddb_status drop_columns(ddb_table *table, ddb_error *err) {
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  bool whole = ddb__memo_pool_drop(&table->memos, &write.next->rows);
  write.changed = true; /* also when not all could go: those that did are retired */
  status = ddb__write_commit(&write, err);
  while (ddb__rwlock_enter_write(table->lock, 0, NULL) == DDB_OK) { /* else the next writer does */
    bool more = ddb__pins_reclaim(table, (size_t)8 * DDB__RETIRED_CHUNK_ITEMS);
    ddb__rwlock_leave_write(table->lock);
    if (!more) {
      break;
    }
  }
  return whole || status != DDB_OK ? status : ddb__fail_memory(err, sizeof(ddb__stale));
}

ddb_status ddb_table_column_budget_set(ddb_table *table, uint64_t bytes, ddb_error *err) {
  if (!table) {
    return ddb__fail(err, DDB_ERR_INVALID, "a budget for columns needs a table");
  }
  if (ddb__table_forked(table)) {
    return ddb__fail(err, DDB_ERR_FORKED, "table '%.*s' belongs to the process before the fork",
                     DDB__STR_ARG(table->name));
  }
  atomic_store_explicit(&table->memos.budget, bytes, memory_order_relaxed);
  bool over = atomic_load_explicit(&table->memos.used, memory_order_relaxed) >
              ddb__memo_pool_budget(&table->memos);
  return over ? drop_columns(table, err) : DDB_OK;
}

ddb_status ddb_table_shape(ddb_table *table, ddb_shape_kind kind, const ddb_str *names,
                           size_t name_count, const ddb_shape **out, ddb_error *err) {
  return ddb__shapes_get(table->shapes, kind, names, name_count, out, err);
}
