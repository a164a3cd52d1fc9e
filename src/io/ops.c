/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c - see ops.h. Descriptions are made by a builder, so that they are blocks like any value;
 * records go out as they lie in memory.
 *
 * Invariants
 *   1. An operation that fits into the buffer is never cut in two by a flush.
 *   2. On error nothing of the operation counts: who makes them throws the whole away.
 */
#include "io/ops.h"

#include <assert.h>

#include "base/heap.h"
#include "io/try.h"

#define SHAPE_CAPACITY_FIRST 16

ddb_status ddb__ops_init(ddb__ops *ops, size_t capacity, ddb__ops_flush flush, void *context,
                         ddb_error *err) {
  *ops = (ddb__ops){.flush = flush, .context = context};
  DDB__TRY(ddb_builder_new(&ops->scratch, err));
  ops->data = ddb__alloc(&ddb__heap_process, capacity);
  if (!ops->data) {
    ddb__ops_fini(ops);
    return ddb__fail_memory(err, capacity);
  }
  ops->capacity = capacity;
  return DDB_OK;
}

void ddb__ops_fini(ddb__ops *ops) {
  ddb__free(&ddb__heap_process, ops->shapes, ops->shape_capacity * sizeof *ops->shapes);
  ddb__free(&ddb__heap_process, ops->data, ops->capacity);
  ddb_builder_free(ops->scratch);
  *ops = (ddb__ops){0};
}

void ddb__ops_cut(ddb__ops *ops, size_t size) {
  assert(!ops->flush && size <= ops->size);
  ddb__free(&ddb__heap_process, ops->shapes, ops->shape_capacity * sizeof *ops->shapes);
  ops->shapes = NULL;
  ops->shape_capacity = 0;
  ops->shape_count = 0;
  ops->last = (ddb__ops_shape){0};
  ops->size = size;
}

/* ---- Bytes -------------------------------------------------------------------------------- */

ddb_status ddb__ops_finish(ddb__ops *ops, ddb_error *err) {
  if (ops->size == 0) {
    return DDB_OK;
  }
  assert(ops->flush);
  DDB__TRY(ops->flush(ops->context, ops->data, ops->size, err));
  ops->size = 0;
  return DDB_OK;
}

static ddb_status grow(ddb__ops *ops, size_t need, ddb_error *err) {
  char *data = ddb__room(&ddb__heap_process, ops->data, &ops->capacity, ops->size + need, 1, err);
  if (!data) {
    return DDB_ERR_NOMEM;
  }
  ops->data = data;
  return DDB_OK;
}

/* Copies bytes out, in pieces where they do not fit. */
static ddb_status put_bytes(ddb__ops *ops, const void *bytes, size_t size, ddb_error *err) {
  const char *from = bytes;
  while (size > 0) {
    if (ops->size == ops->capacity) {
      DDB__TRY(ddb__ops_finish(ops, err));
    }
    size_t room = ops->capacity - ops->size;
    size_t piece = size < room ? size : room;
    memcpy(ops->data + ops->size, from, piece);
    ops->size += piece;
    from += piece;
    size -= piece;
  }
  return DDB_OK;
}

static ddb_status put(ddb__ops *ops, ddb__op_kind kind, uint32_t table, uint32_t shape,
                      const ddb__block *block, ddb_error *err) {
  ddb__op op = {.kind = kind, .size = block->size, .table = table, .shape = shape};
  size_t need = sizeof op + block->size;
  if (ops->capacity - ops->size < need) {
    DDB__TRY(ops->flush ? ddb__ops_finish(ops, err) : grow(ops, need, err));
  }
  if (ops->capacity - ops->size >= need) {
    memcpy(ops->data + ops->size, &op, sizeof op);
    memcpy(ops->data + ops->size + sizeof op, block, block->size);
    ops->size += need;
    return DDB_OK;
  }
  DDB__TRY(put_bytes(ops, &op, sizeof op, err));
  return put_bytes(ops, block, block->size, err);
}

/* ---- Descriptions ------------------------------------------------------------------------- */

static ddb_status describe(ddb__ops *ops, size_t count, ddb_error *err) {
  ddb_builder_clear(ops->scratch);
  return ddb_builder_begin(ops->scratch, DDB_LIST, count, err);
}

static ddb_status add(ddb__ops *ops, ddb_value value, ddb_error *err) {
  return ddb_builder_append(ops->scratch, &value, err);
}

/* The description is complete. */
static ddb_status put_description(ddb__ops *ops, ddb__op_kind kind, uint32_t table, uint32_t shape,
                                  ddb_error *err) {
  DDB__TRY(ddb_builder_end(ops->scratch, err));
  ddb_value list = ddb_builder_value_at(ops->scratch, 0);
  return put(ops, kind, table, shape, list.as.data, err);
}

static ddb_status describe_field(ddb__ops *ops, const ddb_schema_field *field, ddb_error *err) {
  DDB__TRY(ddb_builder_begin(ops->scratch, DDB_LIST, 4, err));
  DDB__TRY(add(ops, ddb_text(field->name), err));
  DDB__TRY(add(ops, ddb_int(field->types), err));
  DDB__TRY(add(ops, ddb_bool(field->default_value != NULL), err));
  DDB__TRY(add(ops, field->default_value ? *field->default_value : ddb_null(), err));
  return ddb_builder_end(ops->scratch, err);
}

ddb_status ddb__ops_table(ddb__ops *ops, const ddb_table *table, ddb_error *err) {
  size_t count;
  const ddb_schema_field *fields = ddb_table_schema(table, &count);
  DDB__TRY(describe(ops, 3, err));
  DDB__TRY(add(ops, ddb_text(ddb_table_name(table)), err));
  DDB__TRY(add(ops, ddb_text(ddb_table_primary_key(table)), err));
  if (count == 0) {
    DDB__TRY(add(ops, ddb_null(), err));
  } else {
    DDB__TRY(ddb_builder_begin(ops->scratch, DDB_LIST, count, err));
    for (size_t i = 0; i < count; i++) {
      DDB__TRY(describe_field(ops, &fields[i], err));
    }
    DDB__TRY(ddb_builder_end(ops->scratch, err));
  }
  return put_description(ops, DDB__OP_TABLE, ddb__table_number(table), 0, err);
}

ddb_status ddb__ops_drop(ddb__ops *ops, const ddb_table *table, ddb_error *err) {
  DDB__TRY(describe(ops, 0, err));
  return put_description(ops, DDB__OP_DROP, ddb__table_number(table), 0, err);
}

ddb_status ddb__ops_delete(ddb__ops *ops, const ddb_table *table, const ddb_value *key,
                           ddb_error *err) {
  DDB__TRY(describe(ops, 1, err));
  DDB__TRY(add(ops, *key, err));
  return put_description(ops, DDB__OP_DELETE, ddb__table_number(table), 0, err);
}

ddb_status ddb__ops_counter(ddb__ops *ops, const ddb_table *table, const ddb__root *root,
                            ddb_error *err) {
  DDB__TRY(describe(ops, 1, err));
  DDB__TRY(add(ops, root->keys_used_up ? ddb_null() : ddb_int(root->next_key), err));
  return put_description(ops, DDB__OP_COUNTER, ddb__table_number(table), 0, err);
}

static ddb_status describe_path(ddb__ops *ops, ddb_path path, ddb_error *err) {
  if (path.step_count == 0) {
    return add(ops, ddb_text(path.field), err);
  }
  DDB__TRY(ddb_builder_begin(ops->scratch, DDB_LIST, 1 + path.step_count, err));
  DDB__TRY(add(ops, ddb_text(path.field), err));
  for (size_t i = 0; i < path.step_count; i++) {
    DDB__TRY(add(ops, path.steps[i], err));
  }
  return ddb_builder_end(ops->scratch, err);
}

ddb_status ddb__ops_index(ddb__ops *ops, ddb__op_kind kind, const ddb_table *table,
                          const ddb__index *index, ddb_error *err) {
  const ddb__index_def *def = index->def;
  bool sorted = def->kind == DDB_INDEX_SORTED;
  DDB__TRY(describe(ops, 3, err));
  DDB__TRY(add(ops, ddb_text(sorted ? DDB_STR("sorted") : DDB_STR("hash")), err));
  DDB__TRY(add(ops, ddb_bool(def->unique), err));
  DDB__TRY(ddb_builder_begin(ops->scratch, DDB_LIST, def->field_count, err));
  for (uint32_t i = 0; i < def->field_count; i++) {
    DDB__TRY(describe_path(ops, ddb__index_path(table, def, i), err));
  }
  DDB__TRY(ddb_builder_end(ops->scratch, err));
  return put_description(ops, kind, ddb__table_number(table), 0, err);
}

ddb_status ddb__ops_before(ddb__ops *ops, ddb_table *const *tables, size_t count, ddb_error *err) {
  DDB__TRY(describe(ops, count, err));
  for (size_t i = 0; i < count; i++) {
    DDB__TRY(ddb_builder_begin(ops->scratch, DDB_LIST, 2, err));
    DDB__TRY(add(ops, ddb_int(ddb__table_number(tables[i])), err));
    DDB__TRY(add(ops, ddb_text(ddb_table_name(tables[i])), err));
    DDB__TRY(ddb_builder_end(ops->scratch, err));
  }
  return put_description(ops, DDB__OP_BEFORE, 0, 0, err);
}

ddb_status ddb__ops_end(ddb__ops *ops, uint64_t table_count, uint64_t record_count,
                        ddb_error *err) {
  DDB__TRY(describe(ops, 2, err));
  DDB__TRY(add(ops, ddb_int((int64_t)table_count), err));
  DDB__TRY(add(ops, ddb_int((int64_t)record_count), err));
  return put_description(ops, DDB__OP_END, 0, 0, err);
}

/* ---- Shapes and records ------------------------------------------------------------------- */

/* The shape's slot, or the empty one where it belongs. */
static ddb__ops_shape *shape_slot(ddb__ops_shape *shapes, size_t capacity, const ddb_shape *shape) {
  size_t at = (size_t)(shape->id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
  while (shapes[at].shape && shapes[at].shape != shape) {
    at = (at + 1) & (capacity - 1);
  }
  return &shapes[at];
}

static ddb_status reserve_shape(ddb__ops *ops, ddb_error *err) {
  if (4 * ((size_t)ops->shape_count + 1) <= 3 * ops->shape_capacity) {
    return DDB_OK;
  }
  size_t capacity = ops->shape_capacity ? 2 * ops->shape_capacity : SHAPE_CAPACITY_FIRST;
  ddb__ops_shape *shapes = ddb__alloc_zero(&ddb__heap_process, capacity * sizeof *shapes);
  if (!shapes) {
    return ddb__fail_memory(err, capacity * sizeof *shapes);
  }
  for (size_t i = 0; i < ops->shape_capacity; i++) {
    if (ops->shapes[i].shape) {
      *shape_slot(shapes, capacity, ops->shapes[i].shape) = ops->shapes[i];
    }
  }
  ddb__free(&ddb__heap_process, ops->shapes, ops->shape_capacity * sizeof *shapes);
  ops->shapes = shapes;
  ops->shape_capacity = capacity;
  return DDB_OK;
}

static ddb_status put_shape(ddb__ops *ops, const ddb_table *table, const ddb_shape *shape,
                            ddb_error *err) {
  DDB__TRY(describe(ops, shape->count, err));
  for (uint32_t i = 0; i < shape->count; i++) {
    DDB__TRY(add(ops, ddb_text(shape->names[i]), err));
  }
  return put_description(ops, DDB__OP_SHAPE, ddb__table_number(table), ops->shape_count, err);
}

static ddb_status find_shape(ddb__ops *ops, const ddb_table *table, const ddb_shape *shape,
                             ddb_error *err) {
  DDB__TRY(reserve_shape(ops, err));
  ddb__ops_shape *slot = shape_slot(ops->shapes, ops->shape_capacity, shape);
  if (!slot->shape) {
    DDB__TRY(put_shape(ops, table, shape, err));
    *slot = (ddb__ops_shape){shape, ops->shape_count++};
  }
  ops->last = *slot;
  return DDB_OK;
}

ddb_status ddb__ops_record(ddb__ops *ops, const ddb_table *table, const ddb_record *record,
                           ddb_error *err) {
  if (record->shape != ops->last.shape) {
    DDB__TRY(find_shape(ops, table, record->shape, err));
  }
  ops->record_count++;
  return put(ops, DDB__OP_PUT, ddb__table_number(table), ops->last.number, &record->block, err);
}
