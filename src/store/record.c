/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - making, merging and copying records.
 *
 * A merge that puts inline values in the place of inline values (the usual update of numbers) is
 * one memcpy and a patch per field. Any other lays the record out anew: sizes first, then the
 * values, by the same walk, so that nothing of a replaced text stays behind. Ownership: a record of
 * a table belongs to the table's heap; a copy to the process's, and it holds a reference to the
 * registry of its shape. Records are immutable: everything here is atomic.
 */
#include "store/record.h"

#include "base/status.h"

ddb_record *ddb__record_new(ddb__heap *heap, const ddb_shape *stored, const ddb__block *block) {
  ddb_record *record = ddb__alloc(heap, offsetof(ddb_record, block) + block->size);
  if (record == NULL) {
    return NULL;
  }
  record->birth = 0;
  record->row_birth = 0;
  record->shape = stored;
  memcpy(&record->block, block, block->size);
  return record;
}

/* ---- Merging ------------------------------------------------------------------------------ */

/* Where in `shape` the field is, searched from *hint on: fields mostly come in the same order. */
static uint32_t find_from(const ddb_shape *shape, uint32_t field_id, uint32_t *hint) {
  uint32_t at = *hint < shape->count ? *hint : 0;
  for (uint32_t left = shape->count; left > 0; left--) {
    if (shape->field_ids[at] == field_id) {
      *hint = at + 1;
      return at;
    }
    at = at + 1 < shape->count ? at + 1 : 0;
  }
  return DDB__NO_FIELD;
}

static uint32_t key_id(const ddb_shape *shape) {
  return shape->field_ids[shape->key_index];
}

bool ddb__record_merge_changes(const ddb_record *base, const ddb_shape *changes_shape,
                               const ddb__block *changes) {
  uint32_t hint = 0;
  for (uint32_t i = 0; i < changes_shape->count; i++) {
    uint32_t field_id = changes_shape->field_ids[i];
    if (field_id == key_id(base->shape)) {
      continue;
    }
    uint32_t at = find_from(base->shape, field_id, &hint);
    if (at == DDB__NO_FIELD) {
      return true;
    }
    ddb_value old = ddb__record_at(base, at);
    ddb_value new = ddb__block_value(changes, i);
    if (!ddb__value_identical(&old, &new)) {
      return true;
    }
  }
  return false;
}

/* Do all changes put inline values in the place of inline values? */
static bool merge_is_patch(const ddb_record *base, const ddb_shape *changes_shape,
                           const ddb__block *changes, const ddb_shape *merged) {
  if (merged != base->shape) {
    return false;
  }
  uint32_t hint = 0;
  for (uint32_t i = 0; i < changes_shape->count; i++) {
    uint32_t field_id = changes_shape->field_ids[i];
    if (field_id == key_id(base->shape)) {
      continue;
    }
    uint32_t at = find_from(base->shape, field_id, &hint);
    if (at == DDB__NO_FIELD || !ddb__kind_is_inline(base->block.tags[at]) ||
        !ddb__kind_is_inline(changes->tags[i])) {
      return false;
    }
  }
  return true;
}

static uint64_t *payloads_of(ddb__block *block) {
  return (uint64_t *)(void *)(block->tags + ddb__align8(block->count));
}

static ddb_record *merge_patched(ddb__heap *heap, const ddb_record *base,
                                 const ddb_shape *changes_shape, const ddb__block *changes) {
  ddb_record *record = ddb__record_new(heap, base->shape, &base->block);
  if (record == NULL) {
    return NULL;
  }
  uint32_t hint = 0;
  for (uint32_t i = 0; i < changes_shape->count; i++) {
    uint32_t field_id = changes_shape->field_ids[i];
    if (field_id != key_id(base->shape)) {
      uint32_t at = find_from(base->shape, field_id, &hint);
      record->block.tags[at] = changes->tags[i];
      payloads_of(&record->block)[at] = ddb__block_payloads(changes)[i];
    }
  }
  return record;
}

/* Where the value that the merged record has at `index` lies: base's fields come first in it. */
typedef struct source {
  const ddb__block *block;
  uint32_t index;
} source;

static inline source merge_source(const ddb_record *base, const ddb_shape *changes_shape,
                                  const ddb__block *changes, const ddb_shape *merged,
                                  uint32_t index, uint32_t *hint) {
  if (index == base->shape->key_index) {
    return (source){&base->block, index};
  }
  uint32_t at = find_from(changes_shape, merged->field_ids[index], hint);
  return at != DDB__NO_FIELD ? (source){changes, at} : (source){&base->block, index};
}

static inline ddb__span source_span(source from) {
  ddb__span span;
  memcpy(&span, &ddb__block_payloads(from.block)[from.index], sizeof span);
  return span;
}

static size_t align_for(uint8_t kind, size_t offset) {
  bool bytes =
      kind == DDB_STR_KIND || kind == DDB_BYTES || kind == DDB_BIGINT || kind == DDB_DECIMAL;
  return bytes ? offset : ddb__align8(offset);
}

static size_t merged_size(const ddb_record *base, const ddb_shape *changes_shape,
                          const ddb__block *changes, const ddb_shape *merged) {
  size_t size = ddb__block_fixed_size(merged->count);
  uint32_t hint = 0;
  for (uint32_t i = 0; i < merged->count; i++) {
    source from = merge_source(base, changes_shape, changes, merged, i, &hint);
    uint8_t kind = from.block->tags[from.index];
    if (!ddb__kind_is_inline(kind)) {
      size = align_for(kind, size) + source_span(from).size;
    }
  }
  return ddb__align8(size);
}

static void merge_fill(ddb_record *record, const ddb_record *base, const ddb_shape *changes_shape,
                       const ddb__block *changes, const ddb_shape *merged) {
  ddb__block *block = &record->block;
  uint64_t *payloads = payloads_of(block);
  char *bytes = (char *)block;
  memset(block->tags + block->count, 0, ddb__align8(block->count) - block->count);
  size_t end = ddb__block_fixed_size(merged->count);
  uint32_t hint = 0;
  for (uint32_t i = 0; i < merged->count; i++) {
    source from = merge_source(base, changes_shape, changes, merged, i, &hint);
    uint8_t kind = from.block->tags[from.index];
    block->tags[i] = kind;
    if (ddb__kind_is_inline(kind)) {
      payloads[i] = ddb__block_payloads(from.block)[from.index];
      continue;
    }
    ddb__span old = source_span(from);
    size_t start = align_for(kind, end);
    memset(bytes + end, 0, start - end);
    memcpy(bytes + start, (const char *)from.block + old.offset, old.size);
    ddb__span span = {(uint32_t)start, old.size};
    memcpy(&payloads[i], &span, sizeof span);
    end = start + old.size;
  }
  memset(bytes + end, 0, block->size - end);
}

ddb_record *ddb__record_merge(ddb__heap *heap, const ddb_record *base,
                              const ddb_shape *changes_shape, const ddb__block *changes,
                              const ddb_shape *merged, bool *too_large) {
  *too_large = false;
  if (merge_is_patch(base, changes_shape, changes, merged)) {
    return merge_patched(heap, base, changes_shape, changes);
  }
  size_t size = merged_size(base, changes_shape, changes, merged);
  if (size > DDB_RECORD_SIZE_MAX) {
    *too_large = true;
    return NULL;
  }
  ddb_record *record = ddb__alloc(heap, offsetof(ddb_record, block) + size);
  if (record == NULL) {
    return NULL;
  }
  record->birth = 0;
  record->row_birth = 0;
  record->shape = merged;
  record->block.count = merged->count;
  record->block.size = (uint32_t)size;
  merge_fill(record, base, changes_shape, changes, merged);
  return record;
}

/* ---- The public side ---------------------------------------------------------------------- */

size_t ddb_record_count(const ddb_record *record) {
  return record->shape->count;
}

ddb_value ddb_record_value(const ddb_record *record, size_t index) {
  return ddb__record_at(record, (uint32_t)index);
}

void ddb_record_values(const ddb_record *record, size_t first, size_t count,
                       ddb_value *restrict out) {
  for (size_t i = 0; i < count; i++) {
    out[i] = ddb__record_at(record, (uint32_t)(first + i));
  }
}

ddb_str ddb_record_name(const ddb_record *record, size_t index) {
  return record->shape->names[index];
}

ddb_value ddb_record_get(const ddb_record *record, ddb_str name) {
  uint32_t field_id = ddb__shapes_field_find(record->shape->registry, name);
  return field_id == DDB__NO_FIELD ? (ddb_value){.kind = DDB_MISSING}
                                   : ddb__record_field(record, field_id);
}

const ddb_shape *ddb_record_shape(const ddb_record *record) {
  return record->shape;
}

ddb_status ddb_record_copy(const ddb_record *record, ddb_record **out, ddb_error *err) {
  ddb_record *copy = ddb__record_new(&ddb__heap_process, record->shape, &record->block);
  if (copy == NULL) {
    return ddb__fail_memory(err, ddb__record_size(record));
  }
  copy->birth = record->birth;
  copy->row_birth = record->row_birth;
  ddb__shapes_acquire(copy->shape->registry);
  *out = copy;
  return DDB_OK;
}

void ddb_record_free(ddb_record *record) {
  if (record != NULL) {
    ddb__shapes *registry = record->shape->registry;
    ddb__free(&ddb__heap_process, record, ddb__record_size(record));
    ddb__shapes_release(registry);
  }
}
