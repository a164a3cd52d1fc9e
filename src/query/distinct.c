/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distinct.c - see distinct.h. The hash of a record is a sum over its fields that are not null, so
 * that their order does not matter. Cost: a hash of the fields for each record.
 */
#include "query/distinct.h"

#include "base/heap.h"
#include "base/status.h"
#include "store/hash.h"
#include "store/value.h"

#define SLOT_COUNT_FIRST 64u

void ddb__distinct_init(ddb__distinct *set, ddb__distinct_column *columns, size_t column_count) {
  *set = (ddb__distinct){.columns = columns, .column_count = column_count};
}

void ddb__distinct_fini(ddb__distinct *set) {
  ddb__free(&ddb__heap_process, set->slots, set->slot_count * sizeof *set->slots);
  *set = (ddb__distinct){0};
}

static bool is_null(const ddb_value *value) {
  return value->kind <= DDB_NULL;
}

/* number: of the field, or of the column. */
static uint64_t field_hash(uint32_t number, const ddb_value *value) {
  return is_null(value) ? 0 : ddb__hash_mix(ddb_value_hash(value) + ddb__hash_mix(number + 1u));
}

static uint64_t hash_record(const ddb__distinct *set, const ddb_record *record) {
  uint64_t hash = 0;
  if (set->columns) {
    for (size_t i = 0; i < set->column_count; i++) {
      ddb_value value = ddb__term_read(&set->columns[i].new, record);
      hash += field_hash((uint32_t)i, &value);
    }
    return hash;
  }
  for (uint32_t i = 0; i < record->shape->count; i++) {
    ddb_value value = ddb__record_at(record, i);
    hash += field_hash(record->shape->field_ids[i], &value);
  }
  return hash;
}

static bool same_columns(const ddb__distinct *set, const ddb_record *a, const ddb_record *b) {
  for (size_t i = 0; i < set->column_count; i++) {
    ddb_value left = ddb__term_read(&set->columns[i].old, a);
    ddb_value right = ddb__term_read(&set->columns[i].new, b);
    left = is_null(&left) ? ddb_null() : left;
    right = is_null(&right) ? ddb_null() : right;
    if (!ddb__value_same(&left, &right)) {
      return false;
    }
  }
  return true;
}

/* Is each field of `a` the same in `b`? */
static bool fields_within(const ddb_record *a, const ddb_record *b) {
  for (uint32_t i = 0; i < a->shape->count; i++) {
    ddb_value left = ddb__record_at(a, i);
    ddb_value right =
        a->shape == b->shape ? ddb__record_at(b, i) : ddb__record_field(b, a->shape->field_ids[i]);
    if (!ddb__value_same(&left, &right)) {
      return false;
    }
  }
  return true;
}

static bool same(const ddb__distinct *set, const ddb_record *a, const ddb_record *b) {
  if (set->columns) {
    return same_columns(set, a, b);
  }
  return fields_within(a, b) && (a->shape == b->shape || fields_within(b, a));
}

static void put(ddb__distinct_entry *slots, size_t slot_count, ddb__distinct_entry entry) {
  size_t at = (size_t)entry.hash & (slot_count - 1);
  while (slots[at].record) {
    at = (at + 1) & (slot_count - 1);
  }
  slots[at] = entry;
}

static ddb_status grow(ddb__distinct *set, ddb_error *err) {
  size_t slot_count = set->slot_count ? set->slot_count * 2 : SLOT_COUNT_FIRST;
  size_t bytes = slot_count * sizeof *set->slots;
  ddb__distinct_entry *slots = ddb__alloc_zero(&ddb__heap_process, bytes);
  if (!slots) {
    return ddb__fail_memory(err, bytes);
  }
  for (size_t i = 0; i < set->slot_count; i++) {
    if (set->slots[i].record) {
      put(slots, slot_count, set->slots[i]);
    }
  }
  ddb__free(&ddb__heap_process, set->slots, set->slot_count * sizeof *set->slots);
  set->slots = slots;
  set->slot_count = slot_count;
  return DDB_OK;
}

ddb_status ddb__distinct_add(ddb__distinct *set, const ddb_record *record, bool *added,
                             ddb_error *err) {
  if (set->count >= set->slot_count / 2) {
    ddb_status status = grow(set, err);
    if (status) {
      return status;
    }
  }
  uint64_t hash = ddb__hash_mix(hash_record(set, record));
  size_t at = (size_t)hash & (set->slot_count - 1);
  for (; set->slots[at].record; at = (at + 1) & (set->slot_count - 1)) {
    if (set->slots[at].hash == hash && same(set, set->slots[at].record, record)) {
      *added = false;
      return DDB_OK;
    }
  }
  set->slots[at] = (ddb__distinct_entry){record, hash};
  set->count++;
  *added = true;
  return DDB_OK;
}
