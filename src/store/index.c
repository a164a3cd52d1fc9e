/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - creating and dropping secondary indexes: statements whose next root has one more or one
 * fewer. Readers go on with the roots they have; writers wait.
 *
 * Cost of creation: one pass over the rows, a radix sort of (hash, seq) pairs, packed leaves.
 */
#include "store/table_private.h"

static ddb_status index_error(const ddb_table *table, ddb_status status, ddb_str field,
                              ddb_error *err) {
  const char *what = status == DDB_ERR_DUPLICATE_INDEX ? "has an index on" : "has no index on";
  (void)ddb__fail(err, status, "table '%.*s' %s field '%.*s'", DDB__STR_ARG(table->name), what,
                  DDB__STR_ARG(field));
  if (err) {
    ddb__error_text(err->table, sizeof err->table, table->name);
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return status;
}

/* The field's id, made if no record has had the field. */
static ddb_status field_intern(ddb_table *table, ddb_str field, uint32_t *id, ddb_error *err) {
  ddb_status status = ddb__shapes_field_check(table->shapes, field, err);
  if (status != DDB_OK) {
    return status;
  }
  *id = ddb__shapes_field_find(table->shapes, field);
  if (*id != DDB__NO_FIELD) {
    return DDB_OK;
  }
  const ddb_shape *shape;
  status = ddb__shapes_get(table->shapes, DDB_SHAPE_CHANGES, &field, 1, &shape, err);
  if (status == DDB_OK) {
    *id = shape->field_ids[0];
  }
  return status;
}

/* Sorts by key, stably: `entries` come in order of seq. Radix sort by bytes, lowest first; `scratch`
 * has room for as many. (qsort would allocate behind the allocator's back.) */
static void sort_entries(ddb__tree_entry *entries, ddb__tree_entry *scratch, size_t count) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    size_t starts[256] = {0};
    for (size_t i = 0; i < count; i++) {
      starts[entries[i].key >> shift & 0xff]++;
    }
    size_t start = 0;
    for (size_t byte = 0; byte < 256; byte++) {
      size_t here = starts[byte];
      starts[byte] = start;
      start += here;
    }
    for (size_t i = 0; i < count; i++) {
      scratch[starts[entries[i].key >> shift & 0xff]++] = entries[i];
    }
    ddb__tree_entry *sorted = scratch; /* eight passes: the last one ends in `entries` */
    scratch = entries;
    entries = sorted;
  }
}

static size_t collect(const ddb__root *root, uint32_t field_id, ddb__tree_entry *entries) {
  size_t found = 0;
  for (uint64_t seq = 0, count; seq < root->rows.end; seq += count) {
    const ddb_record *const *run = ddb__rows_run(&root->rows, seq, &count);
    for (uint64_t i = 0; run && i < count; i++) {
      if (run[i]) {
        ddb_value value = ddb__record_field(run[i], field_id);
        entries[found++] = (ddb__tree_entry){ddb_value_hash(&value), seq + i};
      }
    }
  }
  return found;
}

static ddb_status build(ddb__write *write, ddb__index *index, ddb_error *err) {
  size_t count = (size_t)write->next->count;
  size_t size = 2 * count * sizeof(ddb__tree_entry);
  if (count == 0) {
    return DDB_OK;
  }
  ddb__tree_entry *entries = ddb__alloc(&write->table->heap, size);
  if (!entries) {
    return ddb__fail_memory(err, size);
  }
  size_t found = collect(write->next, index->field_id, entries);
  sort_entries(entries, entries + count, found);
  ddb_status status = ddb__tree_build(&index->tree, write->edit, entries, found, err);
  ddb__free(&write->table->heap, entries, size);
  return status;
}

/* Gives the statement a next root with room for `index_count` indexes. */
static ddb_status resize_next(ddb__write *write, uint32_t index_count, ddb_error *err) {
  uint32_t keep = write->next->index_count < index_count ? write->next->index_count : index_count;
  size_t size = ddb__root_size(index_count);
  ddb__root *next = ddb__alloc_zero(&write->table->heap, size);
  if (!next) {
    return ddb__fail_memory(err, size);
  }
  memcpy(next, write->next, ddb__root_size(keep));
  next->index_count = index_count;
  ddb__free(&write->table->heap, write->next, ddb__root_size(write->next->index_count));
  write->next = next;
  return DDB_OK;
}

/* Under an explicit write lock, its end needs a root with as many indexes. */
static ddb_status finish(ddb__write *write, ddb_status status, ddb_error *err) {
  if (status == DDB_OK && write->next->owner) {
    status = ddb__publish_reserve_release(write->table, write->next->index_count, err);
  }
  if (status == DDB_OK) {
    ddb__write_commit(write);
  } else {
    ddb__write_abort(write);
  }
  return status;
}

ddb_status ddb_table_index_create(ddb_table *table, ddb_str field, ddb_index_kind kind,
                                  ddb_error *err) {
  if (kind != DDB_INDEX_HASH) {
    return ddb__fail(err, DDB_ERR_INVALID, "unknown index kind %d", (int)kind);
  }
  uint32_t field_id;
  ddb_status status = field_intern(table, field, &field_id, err);
  ddb__write write;
  if (status == DDB_OK) {
    status = ddb__write_begin(&write, table, err);
  }
  if (status != DDB_OK) {
    return status;
  }
  if (ddb__root_index(write.next, field_id)) {
    status = index_error(table, DDB_ERR_DUPLICATE_INDEX, field, err);
    return finish(&write, status, err);
  }
  status = resize_next(&write, write.next->index_count + 1, err);
  if (status == DDB_OK) {
    write.changed = true;
    ddb__index *index = &write.next->indexes[write.next->index_count - 1];
    *index = (ddb__index){.field_id = field_id, .kind = kind};
    status = build(&write, index, err);
  }
  return finish(&write, status, err);
}

ddb_status ddb_table_index_drop(ddb_table *table, ddb_str field, ddb_error *err) {
  uint32_t field_id = ddb__shapes_field_find(table->shapes, field);
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  const ddb__index *found = ddb__root_index(write.next, field_id);
  if (!found) {
    return finish(&write, index_error(table, DDB_ERR_INDEX_NOT_FOUND, field, err), err);
  }
  uint32_t at = (uint32_t)(found - write.next->indexes);
  uint32_t last = write.next->index_count - 1;
  ddb__tree tree = found->tree;
  status = ddb__tree_retire(&tree, write.edit, err);
  if (status == DDB_OK) {
    write.changed = true;
    memmove(&write.next->indexes[at], &write.next->indexes[at + 1],
            (last - at) * sizeof write.next->indexes[0]);
    status = resize_next(&write, last, err);
  }
  return finish(&write, status, err);
}
