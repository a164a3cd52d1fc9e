/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_check.c - one pass over a block, and over the blocks in it.
 *
 * Invariants
 *   1. Nothing is read before it is known to lie inside: sizes first, then what they span.
 *   2. A container's items are checked before its order is, which compares them.
 *   3. A pattern passes nothing that ddb__block_problem would not: it knows beforehand which values
 *      to look at, and looks at them as that does.
 * Cost: linear but for the comparisons of neighbours in sets and dicts.
 */
#include "io/block_check.h"

#include "base/testing.h"
#include "store/bigint.h"
#include "store/check.h"
#include "store/text.h"

static const char *container_problem(uint8_t kind, const ddb__block *block, size_t size,
                                     unsigned depth);

static bool kind_is_aligned(uint8_t kind) {
  return ddb__kind_is_container(kind) || kind == DDB_DATETIME || kind == DDB_TIME ||
         kind == DDB_TIMEDELTA || kind == DDB_UUID;
}

static const char *inline_problem(const ddb_value *value, uint64_t payload) {
  switch (value->kind) {
  case DDB_NULL:
    return payload == 0 ? NULL : "a null with a payload";
  case DDB_BOOL:
    return payload <= 1 ? NULL : "a bool that is neither 0 nor 1";
  case DDB_DATE:
    return ddb__check_scalar(value, NULL) == DDB_OK ? NULL : "a date out of range";
  case DDB_MISSING:
    return "a missing value";
  default:
    return NULL;
  }
}

/* Integers of int64's range are never kept as BIGINT, and no leading byte is 0. */
static bool bigint_is_normal(const ddb_value *value) {
  bool negative;
  ddb__big big = ddb__big_from(value, &negative);
  if (big.size + 1 != value->size) {
    return false;
  }
  return big.size > 8 || ddb__big_to_u64(big) > (uint64_t)INT64_MAX + negative;
}

static const char *sized_problem(const ddb_value *value, unsigned depth) {
  if (value->kind == DDB_STR_KIND) {
    return ddb__text_is_ascii(value->as.data, value->size) ||
                   ddb__text_valid((ddb_str){value->as.data, value->size})
               ? NULL
               : "text that is not UTF-8";
  }
  if (ddb__kind_is_container(value->kind)) {
    return container_problem(value->kind, value->as.data, value->size, depth + 1);
  }
  if (ddb__check_scalar(value, NULL) != DDB_OK) {
    return "a malformed value";
  }
  return value->kind != DDB_BIGINT || bigint_is_normal(value) ? NULL : "an integer not in its form";
}

/* end: of the data, before a dict's order. */
static const char *item_problem(const ddb__block *block, size_t index, size_t end, unsigned depth) {
  uint8_t kind = block->tags[index];
  uint64_t payload = ddb__block_payloads(block)[index];
  if (kind >= DDB_KIND_COUNT) {
    return "a value of unknown kind";
  }
  if (ddb__kind_is_inline(kind)) {
    ddb_value value = ddb_value_make(kind, 0, kind == DDB_BOOL ? 0 : payload);
    return inline_problem(&value, payload);
  }
  ddb__span span;
  memcpy(&span, &payload, sizeof span);
  if (span.offset < ddb__block_fixed_size(block->count) || span.offset > end ||
      span.size > end - span.offset) {
    return "a value outside of its record";
  }
  if (kind_is_aligned(kind) && span.offset % 8 != 0) {
    return "a value that is not aligned";
  }
  ddb_value value = ddb__block_value(block, index);
  return sized_problem(&value, depth);
}

static const char *set_problem(const ddb__block *block) {
  ddb_value before = {.kind = DDB_MISSING};
  for (uint32_t i = 0; i < block->count; i++) {
    ddb_value item = ddb__block_value(block, i);
    if (!ddb__value_hashable(&item)) {
      return "an unhashable item of a set";
    }
    int order = i == 0 ? -1 : ddb_value_compare(&before, &item);
    if (order > 0 || (order == 0 && ddb_value_equal(&before, &item))) {
      return "a set that is not in order";
    }
    before = item;
  }
  return NULL;
}

/* Entry a, then entry b, as sorting leaves them: by key, value, place. */
static bool entries_ascend(const ddb__block *block, uint32_t a, uint32_t b) {
  ddb_value keys[] = {ddb__block_value(block, 2 * (size_t)a),
                      ddb__block_value(block, 2 * (size_t)b)};
  int order = ddb_value_compare(&keys[0], &keys[1]);
  if (order != 0) {
    return order < 0;
  }
  ddb_value values[] = {ddb__block_value(block, 2 * (size_t)a + 1),
                        ddb__block_value(block, 2 * (size_t)b + 1)};
  order = ddb_value_compare(&values[0], &values[1]);
  return !ddb_value_equal(&keys[0], &keys[1]) && (order < 0 || (order == 0 && a < b));
}

static const char *dict_problem(const ddb__block *block, const uint32_t *order) {
  uint32_t count = block->count / 2;
  for (uint32_t i = 0; i < count; i++) {
    ddb_value key = ddb__block_value(block, 2 * (size_t)i);
    if (!ddb__value_hashable(&key)) {
      return "an unhashable key of a dict";
    }
    if (order[i] >= count || (i > 0 && !entries_ascend(block, order[i - 1], order[i]))) {
      return "a dict whose keys are not in order";
    }
  }
  return NULL;
}

static const char *container_problem(uint8_t kind, const ddb__block *block, size_t size,
                                     unsigned depth) {
  if (depth > DDB_DEPTH_MAX) {
    return "values nested too deep";
  }
  if (size < sizeof *block || size % 8 != 0 || block->size != size ||
      block->count > DDB_RECORD_SIZE_MAX / 9 || ddb__block_fixed_size(block->count) > size) {
    return "a block of a wrong size";
  }
  size_t order_size = kind == DDB_DICT ? ddb__align8(block->count / 2 * sizeof(uint32_t)) : 0;
  if ((kind == DDB_DICT && block->count % 2 != 0) ||
      order_size > size - ddb__block_fixed_size(block->count)) {
    return "a dict of a wrong size";
  }
  for (uint32_t i = 0; i < block->count; i++) {
    if (block->tags[i] == DDB_INT || block->tags[i] == DDB_FLOAT) {
      continue; /* any payload is one */
    }
    const char *problem = item_problem(block, i, size - order_size, depth);
    if (problem) {
      return problem;
    }
  }
  if (kind == DDB_SET || kind == DDB_FROZENSET) {
    return set_problem(block);
  }
  const char *order = (const char *)block + size - order_size;
  return kind == DDB_DICT ? dict_problem(block, (const uint32_t *)(const void *)order) : NULL;
}

const char *ddb__block_problem(uint8_t kind, const ddb__block *block, size_t size) {
  return container_problem(kind, block, size, kind == DDB_MISSING ? 0 : 1);
}

/* ---- Records like the one before ---------------------------------------------------------- */

void ddb__pattern_learn(ddb__pattern *pattern, const ddb__block *block) {
  pattern->count = 0;
  if (block->count > DDB__PATTERN_COUNT_MAX) {
    return;
  }
  pattern->count = block->count;
  pattern->look_count = 0;
  memcpy(pattern->tags, block->tags, ddb__align8(block->count));
  for (uint32_t i = 0; i < block->count; i++) {
    if (block->tags[i] != DDB_INT && block->tags[i] != DDB_FLOAT) {
      pattern->look[pattern->look_count++] = (uint8_t)i;
    }
  }
}

/* Is it a value of the usual kinds, in which item_problem would find nothing wrong? */
static inline bool is_usual(const ddb__block *block, uint8_t kind, uint64_t payload, size_t fixed,
                            size_t size) {
  if (kind != DDB_STR_KIND) {
    return (kind == DDB_NULL && payload == 0) || (kind == DDB_BOOL && payload <= 1);
  }
  ddb__span span;
  memcpy(&span, &payload, sizeof span);
  return span.offset >= fixed && span.offset <= size && span.size <= size - span.offset &&
         ddb__text_is_ascii((const char *)block + span.offset, span.size);
}

bool ddb__pattern_fits(const ddb__pattern *pattern, const ddb__block *block, size_t size) {
  uint32_t count = pattern->count;
  size_t fixed = ddb__block_fixed_size(count);
  if (count == 0 || size < fixed || block->count != count || block->size != size) {
    return false;
  }
  for (size_t i = 0; i < count; i += 8) {
    if (memcmp(&block->tags[i], &pattern->tags[i], 8) != 0) {
      return false;
    }
  }
  const uint64_t *payloads = ddb__block_payloads(block);
  uint32_t look_count = DDB__FAULT(PATTERN_BLIND) ? 0 : pattern->look_count;
  for (uint32_t i = 0; i < look_count; i++) {
    uint32_t index = pattern->look[i];
    if (!is_usual(block, pattern->tags[index], payloads[index], fixed, size)) {
      return !ddb__block_problem(DDB_MISSING, block, size);
    }
  }
  return true;
}
