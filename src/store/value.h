/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - encoded blocks: how values lie in records, and in each other.
 *
 *   block (8-byte aligned, relocatable: it holds no pointer):
 *   +-----------+-----------+----------------------+---------------------+----------------------+
 *   | u32 count | u32 size  | u8 tag[count], pad 8 | u64 payload[count]  | variable-size data   |
 *   +-----------+-----------+----------------------+---------------------+----------------------+
 *   tag: ddb_kind. payload: bool, int64, double, date inline; the variable-size kinds have
 *   {u32 offset, u32 size}: offset from the start of the block, size in bytes. Nested containers
 *   are blocks at 8-byte aligned offsets, their size that of the block; ddb_temporal, ddb_duration
 *   and UUID are 8-byte aligned too. size: of the whole block, a multiple of 8.
 *
 *   Sets are stored with their items sorted by ddb_value_compare. A dict block (count = 2 * entries)
 *   ends with u32 order[entries], padded to 8: the entries sorted by key.
 */
#ifndef DDB_STORE_VALUE_H
#define DDB_STORE_VALUE_H

#include "dictdb.h"

typedef struct ddb__block {
  uint32_t count;
  uint32_t size;
  uint8_t tags[]; /* then payloads, then data */
} ddb__block;

typedef struct ddb__span {
  uint32_t offset;
  uint32_t size;
} ddb__span;

static inline size_t ddb__align8(size_t size) {
  return (size + 7) & ~(size_t)7;
}
/* Bytes before the variable-size data. */
static inline size_t ddb__block_fixed_size(size_t count) {
  return sizeof(ddb__block) + ddb__align8(count) + 8 * count;
}
static inline const uint64_t *ddb__block_payloads(const ddb__block *block) {
  return (const uint64_t *)(const void *)(block->tags + ddb__align8(block->count));
}
static inline bool ddb__kind_is_inline(uint8_t kind) {
  return kind == DDB_BOOL || kind == DDB_INT || kind == DDB_FLOAT || kind == DDB_DATE ||
         kind == DDB_NULL || kind == DDB_MISSING;
}
static inline bool ddb__kind_is_container(uint8_t kind) {
  return kind >= DDB_LIST && kind <= DDB_FROZENSET;
}
static inline bool ddb__kind_is_number(uint8_t kind) {
  return kind >= DDB_BOOL && kind <= DDB_DECIMAL;
}

/* The index-th value of a block; borrowed. */
static inline ddb_value ddb__block_value(const ddb__block *block, size_t index) {
  uint64_t payload = ddb__block_payloads(block)[index];
  uint8_t kind = block->tags[index];
  if (ddb__kind_is_inline(kind)) {
    return ddb_value_make(kind, 0, payload);
  }
  ddb__span span;
  memcpy(&span, &payload, sizeof span);
  return ddb_value_make(kind, span.size, (uint64_t)(uintptr_t)((const char *)block + span.offset));
}

/* May the value be a key, a dict's key or a set's item? Lists, dicts and sets may not, nor tuples
 * that hold them (Python's rule; frozensets may). */
bool ddb__value_hashable(const ddb_value *value);
/* Bit-for-bit the same kind and contents (NaN is itself; 1 is not 1.0): nothing would change. */
bool ddb__value_identical(const ddb_value *a, const ddb_value *b);
/* Equal in the total order; used by distinct. */
static inline bool ddb__value_same(const ddb_value *a, const ddb_value *b) {
  return ddb_value_compare(a, b) == 0;
}
/* Is the value a number equal to an int64? (True, 5.0, Decimal(5)): automatic keys go above it. */
bool ddb__value_to_int(const ddb_value *value, int64_t *out);
bool ddb__value_is_nan(const ddb_value *value);
/* What a dict has under a key, borrowed; MISSING when it lacks it. */
ddb_value ddb__value_dict_get(const ddb_value *dict, const ddb_value *key);
/* What a datetime or time is compared by, in microseconds: the wall clock when naive, else the
 * instant in UTC. */
int64_t ddb__value_instant(const ddb_value *value, bool *aware);

#endif
