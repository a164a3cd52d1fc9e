/* SPDX-License-Identifier: Apache-2.0 */
/*
 * column.c - packing a field's values, and changing one of them. See column.h.
 *
 *   +--------+-------+-------+---------------------+---------------+
 *   | header | nulls | lanes | values (dictionary) | their bytes   |
 *   +--------+-------+-------+---------------------+---------------+
 *
 * Cost: a pass over the values to see what they are, one to pack them; codes hash each value.
 */
#include "store/column.h"

#include <math.h>

#include "base/testing.h"
#include "store/value.h"

#define CODE_BYTES_MAX (32u * 1024u) /* of a dictionary's values: beyond, hashes are smaller */
#define CODE_SLOTS     (4u * DDB__COLUMN_CODES_MAX)

/* What the values of a column have in common. */
typedef struct survey {
  size_t nulls;
  size_t ints;
  size_t reals;
  size_t texts;
  size_t others;
} survey;

static bool bit_of(const uint64_t *words, size_t row) {
  return (words[row / 64] >> (row % 64) & 1) != 0;
}

static survey survey_of(const ddb_value *values, const uint64_t *live) {
  survey seen = {0};
  for (size_t i = 0; i < DDB__BLOCK_ROWS; i++) {
    switch (values[i].kind) {
    case DDB_MISSING:
    case DDB_NULL:
      seen.nulls += bit_of(live, i);
      break;
    case DDB_INT:
      seen.ints++;
      break;
    case DDB_FLOAT:
      seen.reals++;
      break;
    case DDB_STR_KIND:
      seen.texts++;
      break;
    default:
      seen.others++;
    }
  }
  return seen;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static size_t nulls_size(uint8_t kind) {
  bool has = kind != DDB__COLUMN_CODES && kind != DDB__COLUMN_NONE;
  return has ? DDB__BLOCK_WORDS * sizeof(uint64_t) : 0;
}

static void place(ddb__column *column) {
  char *at = (char *)column + ((sizeof *column + 15) & ~(size_t)15);
  size_t nulls = nulls_size(column->kind);
  column->nulls = nulls ? (uint64_t *)(void *)at : NULL;
  column->lanes = at + nulls;
  column->values = (ddb_value *)(void *)(at + nulls + (size_t)column->lane * DDB__BLOCK_LANES);
}

static ddb__column *column_new(ddb__memo_pool *pool, uint32_t field_id, uint8_t kind, uint8_t lane,
                               size_t values_size) {
  size_t size = ((sizeof(ddb__column) + 15) & ~(size_t)15) + nulls_size(kind) +
                (size_t)lane * DDB__BLOCK_LANES + values_size;
  ddb__column *column = ddb__memo_take(pool, size);
  if (!column) {
    return NULL;
  }
  memset(column, 0, size - values_size);
  atomic_init(&column->references, 1);
  column->field_id = field_id;
  column->kind = kind;
  column->lane = lane;
  column->size = size;
  column->int_low = INT64_MAX;
  column->int_high = INT64_MIN;
  column->real_low = (double)INFINITY;
  column->real_high = -(double)INFINITY;
  place(column);
  return column;
}

void ddb__column_release(ddb__memo_pool *pool, ddb__column *column) {
  /* acq_rel: what others read of it comes before the freeing. */
  if (column && atomic_fetch_sub_explicit(&column->references, 1, memory_order_acq_rel) == 1) {
    ddb__memo_give(pool, column, column->size);
  }
}

ddb__column *ddb__column_copy(ddb__memo_pool *pool, const ddb__column *column) {
  ddb__column *copy = ddb__memo_take(pool, column->size);
  if (!copy) {
    return NULL;
  }
  memcpy((char *)copy + sizeof copy->references, (const char *)column + sizeof column->references,
         column->size - sizeof column->references);
  atomic_init(&copy->references, 1);
  place(copy);
  for (uint32_t i = 0; i < copy->value_count; i++) { /* their bytes moved along */
    if (!ddb__kind_is_inline(copy->values[i].kind)) {
      size_t at = (size_t)((const char *)column->values[i].as.data - (const char *)column);
      copy->values[i].as.data = (const char *)copy + at;
    }
  }
  return copy;
}

/* ---- Values ------------------------------------------------------------------------------- */

static void set_null(ddb__column *column, size_t row, bool is_null) {
  uint64_t bit = UINT64_C(1) << (row % 64);
  uint64_t *word = &column->nulls[row / 64];
  *word = is_null && !DDB__FAULT(MEMO_NULL_LOST) ? *word | bit : *word & ~bit;
  column->has_nulls = column->has_nulls || is_null;
}

static bool lane_fits(const ddb__column *column, int64_t value) {
  if (value < column->base) {
    return false;
  }
  uint64_t above = (uint64_t)value - (uint64_t)column->base;
  return column->lane == 8 || above >> (8 * column->lane) == 0;
}

static void put_int(ddb__column *column, size_t row, int64_t value) {
  uint64_t above = (uint64_t)value - (uint64_t)column->base;
  switch (column->lane) {
  case 1:
    ((uint8_t *)column->lanes)[row] = (uint8_t)above;
    break;
  case 2:
    ((uint16_t *)column->lanes)[row] = (uint16_t)above;
    break;
  case 4:
    ((uint32_t *)column->lanes)[row] = (uint32_t)above;
    break;
  default:
    ((uint64_t *)column->lanes)[row] = above;
  }
  column->int_low = value < column->int_low ? value : column->int_low;
  column->int_high = value > column->int_high ? value : column->int_high;
}

static void put_real(ddb__column *column, size_t row, double value) {
  ((double *)column->lanes)[row] = value;
  column->has_nan = column->has_nan || isnan(value);
  column->real_low = value < column->real_low ? value : column->real_low;
  column->real_high = value > column->real_high ? value : column->real_high;
}

static bool is_nothing(const ddb_value *value) {
  return value->kind == DDB_MISSING || value->kind == DDB_NULL;
}

/* A condition can tell missing from null: they have codes of their own. */
static bool same_code(const ddb_value *a, const ddb_value *b) {
  return a->kind == b->kind && (is_nothing(a) || ddb__value_identical(a, b));
}

static bool set_code(ddb__column *column, size_t row, const ddb_value *value) {
  for (uint32_t i = 0; i < column->value_count; i++) {
    if (same_code(&column->values[i], value)) {
      ((uint8_t *)column->lanes)[row] = (uint8_t)i;
      return true;
    }
  }
  return false;
}

bool ddb__column_set(ddb__column *column, size_t row, const ddb_value *value) {
  if (column->kind == DDB__COLUMN_NONE) {
    return true;
  }
  if (column->kind == DDB__COLUMN_CODES) {
    return set_code(column, row, value);
  }
  set_null(column, row, is_nothing(value));
  if (is_nothing(value)) {
    return true;
  }
  if (column->kind == DDB__COLUMN_INT && value->kind == DDB_INT &&
      lane_fits(column, value->as.integer)) {
    put_int(column, row, value->as.integer);
    return true;
  }
  if (column->kind == DDB__COLUMN_FLOAT && value->kind == DDB_FLOAT) {
    put_real(column, row, value->as.real);
    return true;
  }
  if (column->kind == DDB__COLUMN_HASHES && value->kind == DDB_STR_KIND) {
    ((uint32_t *)column->lanes)[row] = ddb__column_hash(value);
    return true;
  }
  return false;
}

/* ---- Making ------------------------------------------------------------------------------- */

/* Fills a new column of a kind that takes all the values. */
static void fill(ddb__column *column, const ddb_value *values, const uint64_t *live) {
  for (size_t i = 0; i < DDB__BLOCK_ROWS; i++) {
    if (bit_of(live, i)) {
      (void)ddb__column_set(column, i, &values[i]);
    }
  }
}

static uint8_t lane_for(uint64_t width) {
  return width >> 8 == 0 ? 1 : width >> 16 == 0 ? 2 : width >> 32 == 0 ? 4 : 8;
}

static ddb__column *make_ints(ddb__memo_pool *pool, uint32_t field_id, const ddb_value *values,
                              const uint64_t *live) {
  int64_t low = INT64_MAX;
  int64_t high = INT64_MIN;
  for (size_t i = 0; i < DDB__BLOCK_ROWS; i++) {
    if (values[i].kind == DDB_INT) {
      low = values[i].as.integer < low ? values[i].as.integer : low;
      high = values[i].as.integer > high ? values[i].as.integer : high;
    }
  }
  uint64_t width = low > high ? 0 : (uint64_t)high - (uint64_t)low;
  ddb__column *column = column_new(pool, field_id, DDB__COLUMN_INT, lane_for(width), 0);
  if (column) {
    column->base = low > high ? 0 : low;
    fill(column, values, live);
  }
  return column;
}

static ddb__column *make_plain(ddb__memo_pool *pool, uint32_t field_id, ddb__column_kind kind,
                               const ddb_value *values, const uint64_t *live) {
  uint8_t lane = kind == DDB__COLUMN_FLOAT ? 8 : kind == DDB__COLUMN_HASHES ? 4 : 0;
  ddb__column *column = column_new(pool, field_id, (uint8_t)kind, lane, 0);
  if (column && kind != DDB__COLUMN_NONE) {
    fill(column, values, live);
  }
  return column;
}

/* The different values of a block, while they are few. */
typedef struct dictionary {
  const ddb_value *values[DDB__COLUMN_CODES_MAX];
  uint64_t hashes[DDB__COLUMN_CODES_MAX];
  uint16_t slots[CODE_SLOTS]; /* index + 1 */
  uint32_t count;
  size_t bytes;
} dictionary;

static size_t value_bytes(const ddb_value *value) {
  return ddb__kind_is_inline(value->kind) ? 0 : ddb__align8(value->size);
}

/* The value's code, UINT32_MAX: there are too many. */
static uint32_t code_of(dictionary *known, const ddb_value *value) {
  uint64_t hash = is_nothing(value) ? value->kind : ddb_value_hash(value);
  uint32_t slot = (uint32_t)(hash >> 40) % CODE_SLOTS;
  for (; known->slots[slot] != 0; slot = (slot + 1) % CODE_SLOTS) {
    uint32_t code = known->slots[slot] - 1u;
    if (known->hashes[code] == hash && same_code(known->values[code], value)) {
      return code;
    }
  }
  if (known->count == DDB__COLUMN_CODES_MAX || known->bytes + value_bytes(value) > CODE_BYTES_MAX) {
    return UINT32_MAX;
  }
  known->values[known->count] = value;
  known->hashes[known->count] = hash;
  known->bytes += value_bytes(value);
  known->slots[slot] = (uint16_t)(known->count + 1);
  return known->count++;
}

/* False: too many different values. */
static bool find_codes(dictionary *known, const ddb_value *values, const uint64_t *live,
                       uint8_t *codes) {
  memset(known->slots, 0, sizeof known->slots);
  known->count = 0;
  known->bytes = 0;
  for (size_t i = 0; i < DDB__BLOCK_ROWS; i++) {
    codes[i] = 0;
    if (bit_of(live, i)) {
      uint32_t code = code_of(known, &values[i]);
      if (code == UINT32_MAX) {
        return false;
      }
      codes[i] = (uint8_t)code;
    }
  }
  return true;
}

static ddb__column *make_codes(ddb__memo_pool *pool, uint32_t field_id, const dictionary *known,
                               const uint8_t *codes) {
  size_t size = known->count * sizeof(ddb_value) + known->bytes;
  ddb__column *column = column_new(pool, field_id, DDB__COLUMN_CODES, 1, size);
  if (!column) {
    return NULL;
  }
  memcpy(column->lanes, codes, DDB__BLOCK_ROWS);
  column->value_count = known->count;
  char *bytes = (char *)(column->values + known->count);
  for (uint32_t i = 0; i < known->count; i++) {
    column->values[i] = *known->values[i];
    if (!ddb__kind_is_inline(column->values[i].kind)) {
      memcpy(bytes, known->values[i]->as.data, known->values[i]->size);
      column->values[i].as.data = bytes;
      bytes += value_bytes(known->values[i]);
    }
  }
  return column;
}

ddb__column *ddb__column_make(ddb__memo_pool *pool, uint32_t field_id, const ddb_value *values,
                              const uint64_t *live) {
  survey seen = survey_of(values, live);
  if (seen.reals + seen.texts + seen.others == 0 && seen.ints > 0) {
    return make_ints(pool, field_id, values, live);
  }
  if (seen.ints + seen.texts + seen.others == 0 && seen.reals > 0) {
    return make_plain(pool, field_id, DDB__COLUMN_FLOAT, values, live);
  }
  struct {
    dictionary known;
    uint8_t codes[DDB__BLOCK_ROWS];
  } *work = ddb__alloc(&ddb__heap_process, sizeof *work);
  if (!work) {
    return NULL;
  }
  ddb__column *column;
  if (find_codes(&work->known, values, live, work->codes)) {
    column = make_codes(pool, field_id, &work->known, work->codes);
  } else {
    bool texts = seen.ints + seen.reals + seen.others == 0;
    column =
        make_plain(pool, field_id, texts ? DDB__COLUMN_HASHES : DDB__COLUMN_NONE, values, live);
  }
  ddb__free(&ddb__heap_process, work, sizeof *work);
  return column;
}
