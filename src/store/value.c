/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - equality, total order and hash of all kinds.
 *
 * The total order goes by rank first (a row of the table below), then by what the rank compares.
 *   V1  ddb_value_compare(a, b) == 0 is an equivalence, and equal (ddb_value_equal) implies it.
 *   V2  The other way round it holds for all values in which no NaN occurs.
 *   V3  compare == 0 implies the same hash.
 * Ranks whose kinds are equal to each other (null and missing, set and frozenset, all numbers) are
 * one rank. Sets lie sorted in their blocks and dicts carry an order, so that both are walked like
 * lists. Recursion is at most DDB_DEPTH_MAX deep.
 * Pure functions of borrowed, immutable values: atomic; nothing is allocated.
 */
#include "store/value.h"

#include "store/hash.h"
#include "store/number.h"

typedef enum value_rank {
  RANK_NULL,
  RANK_NUMBER,
  RANK_STR,
  RANK_BYTES,
  RANK_DATE,
  RANK_DATETIME_NAIVE,
  RANK_DATETIME_AWARE,
  RANK_TIME_NAIVE,
  RANK_TIME_AWARE,
  RANK_TIMEDELTA,
  RANK_LIST,
  RANK_DICT,
  RANK_SET,
  RANK_TUPLE,
  RANK_UUID
} value_rank;

/* The naive rank of a kind; the aware one follows it. */
static const uint8_t kind_ranks[DDB_KIND_COUNT] = {
    [DDB_MISSING] = RANK_NULL,
    [DDB_NULL] = RANK_NULL,
    [DDB_BOOL] = RANK_NUMBER,
    [DDB_INT] = RANK_NUMBER,
    [DDB_BIGINT] = RANK_NUMBER,
    [DDB_FLOAT] = RANK_NUMBER,
    [DDB_DECIMAL] = RANK_NUMBER,
    [DDB_STR_KIND] = RANK_STR,
    [DDB_BYTES] = RANK_BYTES,
    [DDB_DATE] = RANK_DATE,
    [DDB_DATETIME] = RANK_DATETIME_NAIVE,
    [DDB_TIME] = RANK_TIME_NAIVE,
    [DDB_TIMEDELTA] = RANK_TIMEDELTA,
    [DDB_LIST] = RANK_LIST,
    [DDB_DICT] = RANK_DICT,
    [DDB_TUPLE] = RANK_TUPLE,
    [DDB_SET] = RANK_SET,
    [DDB_FROZENSET] = RANK_SET,
    [DDB_UUID] = RANK_UUID,
};

const char *ddb_kind_name(ddb_kind kind) {
  static const char *const names[DDB_KIND_COUNT] = {
      [DDB_MISSING] = "missing",
      [DDB_NULL] = "None",
      [DDB_BOOL] = "bool",
      [DDB_INT] = "int",
      [DDB_BIGINT] = "int",
      [DDB_FLOAT] = "float",
      [DDB_DECIMAL] = "Decimal",
      [DDB_STR_KIND] = "str",
      [DDB_BYTES] = "bytes",
      [DDB_DATE] = "date",
      [DDB_DATETIME] = "datetime",
      [DDB_TIME] = "time",
      [DDB_TIMEDELTA] = "timedelta",
      [DDB_LIST] = "list",
      [DDB_DICT] = "dict",
      [DDB_TUPLE] = "tuple",
      [DDB_SET] = "set",
      [DDB_FROZENSET] = "frozenset",
      [DDB_UUID] = "UUID",
  };
  return (unsigned)kind < DDB_KIND_COUNT ? names[kind] : "unknown";
}

/* ---- Parts -------------------------------------------------------------------------------- */

static const ddb__block *block_of(const ddb_value *value) {
  return value->as.data;
}

/* The entries of a dict, sorted by key: it ends the block. */
static const uint32_t *dict_order(const ddb__block *block) {
  size_t size = ddb__align8(block->count / 2 * sizeof(uint32_t));
  return (const uint32_t *)(const void *)((const char *)block + block->size - size);
}

static int compare_i64(int64_t a, int64_t b) {
  return (a > b) - (a < b);
}

static int compare_bytes(const ddb_value *a, const ddb_value *b) {
  size_t size = a->size < b->size ? a->size : b->size;
  int order = size > 0 ? memcmp(a->as.data, b->as.data, size) : 0;
  if (order != 0) {
    return order < 0 ? -1 : 1;
  }
  return (a->size > b->size) - (a->size < b->size);
}

static bool equal_bytes(const ddb_value *a, const ddb_value *b) {
  return a->size == b->size && (a->size == 0 || memcmp(a->as.data, b->as.data, a->size) == 0);
}

/* Two's complement: the result is the same for all inputs, sensible for those in range. */
int64_t ddb__value_instant(const ddb_value *value, bool *aware) {
  ddb_temporal temporal;
  memcpy(&temporal, value->as.data, sizeof temporal);
  *aware = temporal.offset_micros != DDB_OFFSET_NONE;
  return *aware ? (int64_t)((uint64_t)temporal.micros - (uint64_t)temporal.offset_micros)
                : temporal.micros;
}

static value_rank rank_of(const ddb_value *value) {
  unsigned rank = value->kind < DDB_KIND_COUNT ? kind_ranks[value->kind] : RANK_NULL;
  if (rank == RANK_DATETIME_NAIVE || rank == RANK_TIME_NAIVE) {
    bool aware;
    ddb__value_instant(value, &aware);
    rank += aware;
  }
  return (value_rank)rank;
}

/* ---- Total order -------------------------------------------------------------------------- */

static int compare_temporals(const ddb_value *a, const ddb_value *b) {
  bool aware;
  int64_t micros_a = ddb__value_instant(a, &aware);
  return compare_i64(micros_a, ddb__value_instant(b, &aware));
}

static int compare_durations(const ddb_value *a, const ddb_value *b) {
  ddb_duration duration_a;
  ddb_duration duration_b;
  memcpy(&duration_a, a->as.data, sizeof duration_a);
  memcpy(&duration_b, b->as.data, sizeof duration_b);
  int order = compare_i64(duration_a.days, duration_b.days);
  return order != 0 ? order : compare_i64(duration_a.micros, duration_b.micros);
}

static int compare_items(const ddb__block *a, size_t index_a, const ddb__block *b, size_t index_b) {
  ddb_value item_a = ddb__block_value(a, index_a);
  ddb_value item_b = ddb__block_value(b, index_b);
  return ddb_value_compare(&item_a, &item_b);
}

static int compare_counts(size_t a, size_t b) {
  return (a > b) - (a < b);
}

static int compare_sequences(const ddb__block *a, const ddb__block *b) {
  size_t count = a->count < b->count ? a->count : b->count;
  for (size_t i = 0; i < count; i++) {
    int order = compare_items(a, i, b, i);
    if (order != 0) {
      return order;
    }
  }
  return compare_counts(a->count, b->count);
}

static int compare_dicts(const ddb__block *a, const ddb__block *b) {
  const uint32_t *order_a = dict_order(a);
  const uint32_t *order_b = dict_order(b);
  size_t count = (a->count < b->count ? a->count : b->count) / 2;
  for (size_t i = 0; i < count; i++) {
    size_t at_a = 2 * (size_t)order_a[i];
    size_t at_b = 2 * (size_t)order_b[i];
    int order = compare_items(a, at_a, b, at_b);
    order = order != 0 ? order : compare_items(a, at_a + 1, b, at_b + 1);
    if (order != 0) {
      return order;
    }
  }
  return compare_counts(a->count, b->count);
}

static int compare_in_rank(value_rank rank, const ddb_value *a, const ddb_value *b) {
  switch (rank) {
  case RANK_NULL:
    return 0;
  case RANK_NUMBER:
    return ddb__number_compare(a, b);
  case RANK_STR:
  case RANK_BYTES:
  case RANK_UUID:
    return compare_bytes(a, b);
  case RANK_DATE:
    return compare_i64(a->as.integer, b->as.integer);
  case RANK_DATETIME_NAIVE:
  case RANK_DATETIME_AWARE:
  case RANK_TIME_NAIVE:
  case RANK_TIME_AWARE:
    return compare_temporals(a, b);
  case RANK_TIMEDELTA:
    return compare_durations(a, b);
  case RANK_DICT:
    return compare_dicts(block_of(a), block_of(b));
  case RANK_LIST:
  case RANK_SET:
  case RANK_TUPLE:
    return compare_sequences(block_of(a), block_of(b));
  }
  return 0;
}

int ddb_value_compare(const ddb_value *a, const ddb_value *b) {
  if (a->kind == DDB_INT && b->kind == DDB_INT) {
    return compare_i64(a->as.integer, b->as.integer);
  }
  value_rank rank_a = rank_of(a);
  value_rank rank_b = rank_of(b);
  if (rank_a != rank_b) {
    return rank_a < rank_b ? -1 : 1;
  }
  return compare_in_rank(rank_a, a, b);
}

bool ddb_value_order(const ddb_value *a, const ddb_value *b, int *order) {
  value_rank rank = rank_of(a);
  if (rank != rank_of(b) || rank < RANK_NUMBER || rank > RANK_TIMEDELTA) {
    return false;
  }
  if (rank == RANK_NUMBER && (ddb__number_is_nan(a) || ddb__number_is_nan(b))) {
    return false;
  }
  *order = compare_in_rank(rank, a, b);
  return true;
}

/* ---- Equality ----------------------------------------------------------------------------- */

static bool equal_items(const ddb__block *a, size_t index_a, const ddb__block *b, size_t index_b) {
  ddb_value item_a = ddb__block_value(a, index_a);
  ddb_value item_b = ddb__block_value(b, index_b);
  return ddb_value_equal(&item_a, &item_b);
}

static bool equal_sequences(const ddb__block *a, const ddb__block *b) {
  if (a->count != b->count) {
    return false;
  }
  for (size_t i = 0; i < a->count; i++) {
    if (!equal_items(a, i, b, i)) {
      return false;
    }
  }
  return true;
}

static bool equal_dicts(const ddb__block *a, const ddb__block *b) {
  if (a->count != b->count) {
    return false;
  }
  const uint32_t *order_a = dict_order(a);
  const uint32_t *order_b = dict_order(b);
  for (size_t i = 0; i < a->count / 2; i++) {
    size_t at_a = 2 * (size_t)order_a[i];
    size_t at_b = 2 * (size_t)order_b[i];
    if (!equal_items(a, at_a, b, at_b) || !equal_items(a, at_a + 1, b, at_b + 1)) {
      return false;
    }
  }
  return true;
}

static bool equal_numbers(const ddb_value *a, const ddb_value *b) {
  if (a->kind == DDB_FLOAT && b->kind == DDB_FLOAT) {
    return a->as.real == b->as.real;
  }
  return ddb__number_compare(a, b) == 0 && !ddb__number_is_nan(a);
}

bool ddb_value_equal(const ddb_value *a, const ddb_value *b) {
  if (a->kind == DDB_INT && b->kind == DDB_INT) {
    return a->as.integer == b->as.integer;
  }
  if (a->kind == DDB_STR_KIND && b->kind == DDB_STR_KIND) {
    return equal_bytes(a, b);
  }
  value_rank rank = rank_of(a);
  if (rank != rank_of(b)) {
    return false;
  }
  switch (rank) {
  case RANK_NUMBER:
    return equal_numbers(a, b);
  case RANK_STR:
  case RANK_BYTES:
  case RANK_UUID:
    return equal_bytes(a, b);
  case RANK_DICT:
    return equal_dicts(block_of(a), block_of(b));
  case RANK_LIST:
  case RANK_SET:
  case RANK_TUPLE:
    return equal_sequences(block_of(a), block_of(b));
  default:
    return compare_in_rank(rank, a, b) == 0;
  }
}

static bool identical_blocks(const ddb__block *a, const ddb__block *b) {
  if (a->count != b->count) {
    return false;
  }
  for (size_t i = 0; i < a->count; i++) {
    ddb_value item_a = ddb__block_value(a, i);
    ddb_value item_b = ddb__block_value(b, i);
    if (!ddb__value_identical(&item_a, &item_b)) {
      return false;
    }
  }
  return true;
}

bool ddb__value_identical(const ddb_value *a, const ddb_value *b) {
  if (a->kind != b->kind) {
    return false;
  }
  if (ddb__kind_is_container(a->kind)) {
    return identical_blocks(block_of(a), block_of(b));
  }
  if (!ddb__kind_is_inline(a->kind)) {
    return equal_bytes(a, b);
  }
  switch (a->kind) {
  case DDB_NULL:
  case DDB_MISSING:
    return true;
  case DDB_BOOL:
    return a->as.boolean == b->as.boolean;
  default:
    return a->as.integer == b->as.integer; /* a double's bits, too */
  }
}

/* ---- Hash --------------------------------------------------------------------------------- */

static uint64_t hash_pair(uint64_t hash, uint64_t next) {
  return ddb__hash_mix((hash ^ next) + UINT64_C(0x9e3779b97f4a7c15) * (hash >> 7));
}

static uint64_t hash_ranked(value_rank rank, uint64_t word) {
  return hash_pair(ddb__hash_seed() + (uint64_t)rank, word);
}

static uint64_t hash_item(const ddb__block *block, size_t index) {
  ddb_value item = ddb__block_value(block, index);
  return ddb_value_hash(&item);
}

static uint64_t hash_sequence(value_rank rank, const ddb__block *block) {
  uint64_t hash = hash_ranked(rank, block->count);
  for (size_t i = 0; i < block->count; i++) {
    hash = hash_pair(hash, hash_item(block, i));
  }
  return hash;
}

static uint64_t hash_dict(const ddb__block *block) {
  const uint32_t *order = dict_order(block);
  uint64_t hash = hash_ranked(RANK_DICT, block->count);
  for (size_t i = 0; i < block->count / 2; i++) {
    size_t at = 2 * (size_t)order[i];
    hash = hash_pair(hash_pair(hash, hash_item(block, at)), hash_item(block, at + 1));
  }
  return hash;
}

uint64_t ddb_value_hash(const ddb_value *value) {
  if (value->kind == DDB_INT) {
    return ddb__number_hash(value);
  }
  bool aware;
  value_rank rank = rank_of(value);
  switch (rank) {
  case RANK_NULL:
    return hash_ranked(rank, 0);
  case RANK_NUMBER:
    return ddb__number_hash(value);
  case RANK_STR:
    return ddb__hash_bytes(value->as.data, value->size);
  case RANK_BYTES:
  case RANK_UUID:
    return hash_ranked(rank, ddb__hash_bytes(value->as.data, value->size));
  case RANK_DATE:
    return hash_ranked(rank, (uint64_t)value->as.integer);
  case RANK_DATETIME_NAIVE:
  case RANK_DATETIME_AWARE:
  case RANK_TIME_NAIVE:
  case RANK_TIME_AWARE:
    return hash_ranked(rank, (uint64_t)ddb__value_instant(value, &aware));
  case RANK_TIMEDELTA:
    return hash_ranked(rank, ddb__hash_bytes(value->as.data, sizeof(ddb_duration)));
  case RANK_DICT:
    return hash_dict(block_of(value));
  case RANK_LIST:
  case RANK_SET:
  case RANK_TUPLE:
    return hash_sequence(rank, block_of(value));
  }
  return 0;
}

/* ---- The rest ----------------------------------------------------------------------------- */

size_t ddb_value_item_count(const ddb_value *value) {
  return ddb__kind_is_container(value->kind) ? block_of(value)->count : 0;
}

ddb_value ddb_value_item(const ddb_value *value, size_t index) {
  return ddb__block_value(block_of(value), index);
}

ddb_value ddb__value_dict_get(const ddb_value *dict, const ddb_value *key) {
  const ddb__block *block = block_of(dict);
  const uint32_t *order = dict_order(block);
  size_t low = 0;
  size_t high = block->count / 2;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    ddb_value found = ddb__block_value(block, 2 * (size_t)order[middle]);
    int side = ddb_value_compare(key, &found);
    if (side == 0) {
      /* NaN is in its place in the order, but equals nothing. */
      return ddb_value_equal(key, &found) ? ddb__block_value(block, 2 * (size_t)order[middle] + 1)
                                          : (ddb_value){.kind = DDB_MISSING};
    }
    *(side < 0 ? &high : &low) = side < 0 ? middle : middle + 1;
  }
  return (ddb_value){.kind = DDB_MISSING};
}

static bool is_signaling(const ddb_value *value) {
  const char *text = value->as.data;
  size_t sign = value->size > 0 && (text[0] == '-' || text[0] == '+');
  return value->size > sign && (text[sign] | 0x20) == 's';
}

bool ddb__value_hashable(const ddb_value *value) {
  switch (value->kind) {
  case DDB_LIST:
  case DDB_DICT:
  case DDB_SET:
    return false;
  case DDB_DECIMAL:
    return !is_signaling(value); /* as in Python */
  case DDB_TUPLE:
    for (size_t i = 0; i < block_of(value)->count; i++) {
      ddb_value item = ddb__block_value(block_of(value), i);
      if (!ddb__value_hashable(&item)) {
        return false;
      }
    }
    return true;
  default:
    return true;
  }
}

bool ddb__value_to_int(const ddb_value *value, int64_t *out) {
  return ddb__kind_is_number(value->kind) && ddb__number_to_int(value, out);
}

bool ddb__value_is_nan(const ddb_value *value) {
  return ddb__kind_is_number(value->kind) && ddb__number_is_nan(value);
}
