/* SPDX-License-Identifier: Apache-2.0 */
/*
 * column.h - one field's values of all rows of a block (memo.h), packed for scanning.
 *
 *   ints       lane = value - base, in the fewest of 1, 2, 4, 8 bytes
 *   floats     as they are
 *   codes      a byte a row into a dictionary of different values, of any kinds
 *   hashes     of strs: rows with another hash differ, rows with the same one have to be looked at
 *
 * Missing reads as null, but for codes, which tell them apart. Rows that are not there have lanes too, which mean nothing.
 *   CO1 A published column is immutable. It is freed with its last reference.
 *   CO2 Bounds are never too narrow; after changes they can be too wide.
 * One allocation each, from the pool's heap and within its budget. Thread-safety: atomic references.
 */
#ifndef DDB_STORE_COLUMN_H
#define DDB_STORE_COLUMN_H

#include <stdatomic.h>

#include "base/heap.h"
#include "dictdb.h"
#include "store/rows.h"

#define DDB__BLOCK_ROWS  (DDB__ROWS_FAN * DDB__ROWS_FAN)
#define DDB__BLOCK_WORDS ((DDB__BLOCK_ROWS + 63u) / 64u) /* bit i % 64 of word i / 64: row i */
#define DDB__BLOCK_LANES (DDB__BLOCK_WORDS * 64u)        /* rows, and unused ones in tiny nodes */

typedef enum ddb__column_kind {
  DDB__COLUMN_NONE, /* of no use: remembered so that it is not tried again */
  DDB__COLUMN_INT,
  DDB__COLUMN_FLOAT,
  DDB__COLUMN_CODES,
  DDB__COLUMN_HASHES
} ddb__column_kind;

#define DDB__COLUMN_CODES_MAX 256u

typedef struct ddb__column {
  _Atomic uint32_t references;
  uint32_t field_id;
  uint8_t kind;         /* ddb__column_kind */
  uint8_t lane;         /* bytes a row */
  bool has_nulls;       /* `nulls` can have a bit; not of CODES */
  bool has_nan;         /* FLOAT */
  uint32_t value_count; /* CODES */
  size_t size;          /* of this allocation */
  /* Of what is not null nor NaN; low > high: there is nothing. */
  int64_t int_low;
  int64_t int_high;
  int64_t base; /* INT: the value of lane 0 */
  double real_low;
  double real_high;
  uint64_t *nulls; /* [DDB__BLOCK_WORDS]; NULL: of CODES and NONE */
  void *lanes;     /* [DDB__BLOCK_LANES], aligned to 16 bytes */
  ddb_value *values;
} ddb__column;

/* Room in a budget, for memos and columns. */
typedef struct ddb__memo_pool ddb__memo_pool;
/* NULL: over the budget, or no memory. */
void *ddb__memo_take(ddb__memo_pool *pool, size_t size);
void ddb__memo_give(ddb__memo_pool *pool, void *memory, size_t size);

/* A column of these values ([DDB__BLOCK_ROWS]; MISSING also where there is no row: `live` tells which).
 * NULL: over the budget, or no memory. */
ddb__column *ddb__column_make(ddb__memo_pool *pool, uint32_t field_id, const ddb_value *values,
                              const uint64_t *live);
/* A private copy that can be changed. NULL as above. */
ddb__column *ddb__column_copy(ddb__memo_pool *pool, const ddb__column *column);
/* Puts another value in. False: it does not fit, and the copy is of no more use. */
bool ddb__column_set(ddb__column *column, size_t row, const ddb_value *value);
void ddb__column_release(ddb__memo_pool *pool, ddb__column *column);

/* Does the column tell its rows' values? */
static inline bool ddb__column_has_values(const ddb__column *column) {
  return column->kind == DDB__COLUMN_INT || column->kind == DDB__COLUMN_FLOAT ||
         column->kind == DDB__COLUMN_CODES;
}

static inline uint32_t ddb__column_hash(const ddb_value *value) {
  return (uint32_t)(ddb_value_hash(value) >> 32);
}

#endif
