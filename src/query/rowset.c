/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rowset.c - see rowset.h.
 */
#include "query/rowset.h"

#include "base/heap.h"
#include "base/status.h"
#include "query/bound.h"
#include "query/order.h"

#define FIELDS_INLINE 16u
#define BATCH         64u

/* ---- Making ------------------------------------------------------------------------------- */

/* With a schema of these names. */
static ddb_status registry_new(const char *what, ddb_str table, ddb_str key, const ddb_str *names,
                               size_t name_count, ddb__shapes **out, ddb_error *err) {
  ddb_table_options options = {.primary_key = key, .schema_count = name_count};
  size_t bytes = name_count * sizeof(ddb_schema_field);
  ddb_schema_field *fields = ddb__alloc(&ddb__heap_process, bytes);
  if (!fields) {
    return ddb__fail_memory(err, bytes);
  }
  for (size_t i = 0; i < name_count; i++) {
    fields[i] = (ddb_schema_field){.name = names[i], .types = UINT32_MAX};
  }
  options.schema = fields;
  ddb_status status = ddb__shapes_new(&ddb__heap_process, what, table, &options, out, err);
  ddb__free(&ddb__heap_process, fields, bytes);
  return status;
}

static ddb_status rowset_alloc(size_t name_count, ddb_rowset **out, ddb_error *err) {
  if (name_count == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "rows need at least one field");
  }
  ddb_rowset *rows = ddb__alloc_zero(&ddb__heap_process, sizeof *rows);
  if (!rows) {
    return ddb__fail_memory(err, sizeof *rows);
  }
  *out = rows;
  return DDB_OK;
}

ddb_status ddb__rowset_new(const char *what, ddb_str table, const ddb_str *names, size_t name_count,
                           ddb_rowset **out, ddb_error *err) {
  ddb_rowset *rows = NULL;
  ddb_status status = rowset_alloc(name_count, &rows, err);
  if (status) {
    return status;
  }
  ddb_str key = names[0];
  for (size_t i = 0; i < name_count && key.size == 0; i++) {
    key = names[i]; /* any will do, but it must not be empty */
  }
  status = registry_new(what, table, key, names, name_count, &rows->shapes, err);
  if (!status) {
    status = ddb__shapes_get(rows->shapes, DDB_SHAPE_RECORD, names, name_count, &rows->shape, err);
  }
  if (status) {
    ddb_rowset_free(rows);
    return status;
  }
  rows->shape = rows->shape->stored;
  *out = rows;
  return DDB_OK;
}

/* A registry must have a key. No row of these has it: its name is one that nobody gives a field. */
ddb_status ddb__rowset_open(const char *what, ddb_str table, const ddb_str *names,
                            size_t name_count, bool closed, ddb_rowset **out, ddb_error *err) {
  ddb_rowset *rows = NULL;
  ddb_status status = rowset_alloc(name_count, &rows, err);
  if (status) {
    return status;
  }
  ddb_table_options options = {.primary_key = DDB_STR("\x01row")};
  status =
      closed ? registry_new(what, table, options.primary_key, names, name_count, &rows->shapes, err)
             : ddb__shapes_new(&ddb__heap_process, what, table, &options, &rows->shapes, err);
  if (!status) {
    status = ddb__rowset_settle(rows, names, name_count, err);
    rows->shape = NULL;
  }
  if (status) {
    ddb_rowset_free(rows);
    return status;
  }
  *out = rows;
  return DDB_OK;
}

ddb_status ddb__rowset_settle(ddb_rowset *rows, const ddb_str *names, size_t name_count,
                              ddb_error *err) {
  return ddb__shapes_get(rows->shapes, DDB_SHAPE_CHANGES, names, name_count, &rows->shape, err);
}

static size_t aligned(uint8_t kind, size_t offset) {
  bool bytes =
      kind == DDB_STR_KIND || kind == DDB_BYTES || kind == DDB_BIGINT || kind == DDB_DECIMAL;
  return bytes ? offset : ddb__align8(offset);
}

size_t ddb__rowset_block_size(const ddb_value *values, size_t count) {
  size_t size = ddb__block_fixed_size(count);
  for (size_t i = 0; i < count; i++) {
    if (!ddb__kind_is_inline(values[i].kind)) {
      size = aligned(values[i].kind, size) + values[i].size;
    }
  }
  return ddb__align8(size);
}

void ddb__rowset_block_fill(ddb__block *block, size_t size, const ddb_value *values, size_t count) {
  block->count = (uint32_t)count;
  block->size = (uint32_t)size;
  char *bytes = (char *)block;
  uint64_t *payloads = (uint64_t *)(void *)(bytes + sizeof(ddb__block) + ddb__align8(count));
  memset(block->tags + count, 0, ddb__align8(count) - count);
  size_t end = ddb__block_fixed_size(count);
  for (size_t i = 0; i < count; i++) {
    const ddb_value *value = &values[i];
    block->tags[i] = value->kind == DDB_MISSING ? DDB_NULL : value->kind;
    payloads[i] = 0;
    if (value->kind == DDB_BOOL) {
      payloads[i] = value->as.boolean;
    } else if (value->kind == DDB_INT || value->kind == DDB_DATE || value->kind == DDB_FLOAT) {
      memcpy(&payloads[i], &value->as, sizeof payloads[i]);
    } else if (!ddb__kind_is_inline(value->kind)) {
      size_t start = aligned(value->kind, end);
      memset(bytes + end, 0, start - end);
      if (value->size > 0) {
        memcpy(bytes + start, value->as.data, value->size);
      }
      ddb__span span = {(uint32_t)start, value->size};
      memcpy(&payloads[i], &span, sizeof span);
      end = start + value->size;
    }
  }
  memset(bytes + end, 0, block->size - end);
}

ddb_status ddb__rowset_make(const ddb_shape *shape, ddb__arena *arena, const ddb_value *values,
                            ddb_record **out, ddb_error *err) {
  size_t size = ddb__rowset_block_size(values, shape->count);
  if (size > DDB_RECORD_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a row of the result of more than %u bytes",
                     DDB_RECORD_SIZE_MAX);
  }
  ddb_record *record = ddb__arena_take(arena, offsetof(ddb_record, block) + size);
  if (!record) {
    return ddb__fail_memory(err, size);
  }
  record->birth = 0;
  record->row_birth = 0;
  record->shape = shape;
  ddb__rowset_block_fill(&record->block, size, values, shape->count);
  *out = record;
  return DDB_OK;
}

ddb_status ddb__rowset_append(ddb_rowset *rows, const ddb_record *record, ddb_error *err) {
  ddb_records *records = &rows->records;
  if (records->count == records->capacity) {
    size_t capacity = records->capacity ? records->capacity * 2 : 16;
    size_t size = sizeof *records->items;
    const ddb_record **items = ddb__resize(&ddb__heap_process, (void *)(uintptr_t)records->items,
                                           records->capacity * size, capacity * size);
    if (!items) {
      return ddb__fail_memory(err, capacity * size);
    }
    records->items = items;
    records->capacity = capacity;
  }
  records->items[records->count++] = record;
  return DDB_OK;
}

/* ---- Refining ----------------------------------------------------------------------------- */

ddb_status ddb__rowset_keep(ddb_rowset *rows, const ddb_cond *having, const ddb_group_field *groups,
                            size_t group_count, ddb_error *err) {
  if (!having) {
    return DDB_OK;
  }
  const ddb__scope scope = {rows->shapes, groups, group_count};
  ddb__bound bound;
  ddb_status status = ddb__bound_init_within(&bound, having, &scope, err);
  if (status) {
    return status;
  }
  ddb_records *records = &rows->records;
  size_t kept = 0;
  for (size_t from = 0; from < records->count && !bound.failure; from += BATCH) {
    size_t count = records->count - from < BATCH ? records->count - from : BATCH;
    uint64_t all = count == BATCH ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    uint64_t mask = ddb__bound_eval(&bound, records->items + from, all);
    for (; mask != 0; mask &= mask - 1) {
      records->items[kept++] = records->items[from + (size_t)__builtin_ctzll(mask)];
    }
  }
  records->count = kept;
  status = ddb__bound_status(&bound, err);
  ddb__bound_fini(&bound);
  return status;
}

static ddb_status sort_records(ddb_rowset *rows, ddb__order_key *keys, size_t key_count,
                               ddb_error *err) {
  ddb_records *records = &rows->records;
  ddb__order order;
  ddb__order_init(&order, keys, key_count, false, 0);
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < records->count && !status; i++) {
    status = ddb__order_add(&order, records->items[i], err);
  }
  const ddb_record **sorted = NULL;
  if (!status) {
    status = ddb__order_finish(&order, &sorted, err);
  }
  if (sorted) {
    size_t bytes = records->count * sizeof *sorted;
    memcpy((void *)(uintptr_t)records->items, (const void *)(uintptr_t)sorted, bytes);
    ddb__free(&ddb__heap_process, (void *)(uintptr_t)sorted, bytes);
  }
  ddb__order_fini(&order);
  return status;
}

ddb_status ddb__rowset_sort(ddb_rowset *rows, const ddb_order *order, size_t order_count,
                            const ddb_group_field *groups, size_t group_count, ddb_error *err) {
  if (order_count == 0) {
    return DDB_OK;
  }
  const ddb__scope scope = {rows->shapes, groups, group_count};
  size_t bytes = order_count * sizeof(ddb__order_key);
  ddb__order_key near[FIELDS_INLINE];
  ddb__order_key *keys =
      order_count <= FIELDS_INLINE ? near : ddb__alloc(&ddb__heap_process, bytes);
  if (!keys) {
    return ddb__fail_memory(err, bytes);
  }
  ddb_status status = ddb__order_bind(keys, &scope, order, order_count, err);
  if (!status) {
    status = sort_records(rows, keys, order_count, err);
  }
  ddb__order_unbind(keys, order_count);
  if (keys != near) {
    ddb__free(&ddb__heap_process, keys, bytes);
  }
  return status;
}

void ddb__rowset_slice(ddb_rowset *rows, uint64_t offset, uint64_t limit) {
  ddb_records *records = &rows->records;
  size_t skipped = offset < records->count ? (size_t)offset : records->count;
  records->count -= skipped;
  records->count = limit < records->count ? (size_t)limit : records->count;
  if (skipped > 0) {
    memmove((void *)(uintptr_t)records->items, (const void *)(uintptr_t)(records->items + skipped),
            records->count * sizeof *records->items);
  }
}

/* ---- The public side ---------------------------------------------------------------------- */

size_t ddb_rowset_count(const ddb_rowset *rows) {
  return rows->records.count;
}

const ddb_record *ddb_rowset_record(const ddb_rowset *rows, size_t index) {
  return rows->records.items[index];
}

void ddb_rowset_free(ddb_rowset *rows) {
  if (rows) {
    ddb_records_free(&rows->records);
    ddb__arena_fini(&rows->arena);
    ddb__shapes_release(rows->shapes);
    ddb__free(&ddb__heap_process, rows, sizeof *rows);
  }
}
