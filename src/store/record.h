/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - one immutable heap block per record.
 *
 *   +--------------+------------------+--------------+---------------------------------+
 *   | u64 birth    | u64 row_birth    | shape *      | ddb__block: the fields' values  |
 *   +--------------+------------------+--------------+---------------------------------+
 *   birth: the table version that made this record. row_birth: the version that inserted its row,
 *   carried over by updates; index hints live from it on.
 */
#ifndef DDB_STORE_RECORD_H
#define DDB_STORE_RECORD_H

#include "base/heap.h"
#include "dictdb.h"
#include "store/shape.h"
#include "store/value.h"

__extension__ struct ddb_record {
  uint64_t birth;
  uint64_t row_birth;
  const ddb_shape *shape; /* stored shape */
  ddb__block block;       /* ends in a flexible array: the record does */
};

static inline size_t ddb__record_size(const ddb_record *record) {
  return offsetof(ddb_record, block) + record->block.size;
}
static inline ddb_value ddb__record_at(const ddb_record *record, uint32_t index) {
  return ddb__block_value(&record->block, index);
}
static inline ddb_value ddb__record_key(const ddb_record *record) {
  return ddb__block_value(&record->block, record->shape->key_index);
}
/* MISSING when the record has no such field. */
static inline ddb_value ddb__record_field(const ddb_record *record, uint32_t field_id) {
  uint32_t index = ddb__shape_find(record->shape, field_id);
  return index == DDB__NO_FIELD ? (ddb_value){.kind = DDB_MISSING} : ddb__record_at(record, index);
}

/* A new record from a block; births are the caller's to set. NULL: no memory. */
ddb_record *ddb__record_new(ddb__heap *heap, const ddb_shape *stored, const ddb__block *block);
/* `base` with the fields of `changes` (a block of shape `changes_shape`) merged in, laid out as
 * `merged` (from ddb__shapes_merge). The primary key of `base` stays. NULL: no memory, or over
 * DDB_RECORD_SIZE_MAX (*too_large is set). */
ddb_record *ddb__record_merge(ddb__heap *heap, const ddb_record *base,
                              const ddb_shape *changes_shape, const ddb__block *changes,
                              const ddb_shape *merged, bool *too_large);
/* Would the merge change anything? */
bool ddb__record_merge_changes(const ddb_record *base, const ddb_shape *changes_shape,
                               const ddb__block *changes);

#endif
