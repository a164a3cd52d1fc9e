/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort.c - a stable merge sort of indexes: short runs by insertion, then merges that cost one
 * comparison where the runs are in order already.
 *
 * Equal values are neighbours after sorting (V1 of value.c), so that one pass finds duplicates.
 * NaNs are neighbours too and stay: they equal nothing.
 */
#include "store/sort.h"

#define RUN 8

typedef struct order_key {
  const ddb__block *block;
  size_t stride; /* 1: items; 2: entries of key and value */
} order_key;

static int compare_at(const ddb__block *block, size_t a, size_t b) {
  ddb_value value_a = ddb__block_value(block, a);
  ddb_value value_b = ddb__block_value(block, b);
  return ddb_value_compare(&value_a, &value_b);
}

static bool equal_at(const ddb__block *block, size_t a, size_t b) {
  ddb_value value_a = ddb__block_value(block, a);
  ddb_value value_b = ddb__block_value(block, b);
  return ddb_value_equal(&value_a, &value_b);
}

static int compare_keys(const order_key *key, uint32_t a, uint32_t b) {
  int order = compare_at(key->block, a * key->stride, b * key->stride);
  if (order == 0 && key->stride == 2) {
    order = compare_at(key->block, a * key->stride + 1, b * key->stride + 1);
  }
  return order;
}

static void sort_run(const order_key *key, uint32_t *order, size_t count) {
  for (size_t i = 1; i < count; i++) {
    uint32_t moved = order[i];
    size_t at = i;
    for (; at > 0 && compare_keys(key, moved, order[at - 1]) < 0; at--) {
      order[at] = order[at - 1];
    }
    order[at] = moved;
  }
}

/* Merges from[0..left) and from[left..count) to `to`. */
static void merge_runs(const order_key *key, const uint32_t *from, size_t left, size_t count,
                       uint32_t *to) {
  if (left >= count || compare_keys(key, from[left - 1], from[left]) <= 0) {
    memcpy(to, from, count * sizeof *to);
    return;
  }
  size_t a = 0;
  size_t b = left;
  for (size_t i = 0; i < count; i++) {
    bool take_b = a == left || (b < count && compare_keys(key, from[b], from[a]) < 0);
    to[i] = take_b ? from[b++] : from[a++];
  }
}

static void sort_indexes(const order_key *key, uint32_t *order, uint32_t *scratch, size_t count) {
  for (size_t i = 0; i < count; i++) {
    order[i] = (uint32_t)i;
  }
  for (size_t i = 0; i < count; i += RUN) {
    sort_run(key, order + i, count - i < RUN ? count - i : RUN);
  }
  uint32_t *from = order;
  uint32_t *to = scratch;
  for (size_t width = RUN; width < count; width *= 2) {
    for (size_t i = 0; i < count; i += 2 * width) {
      size_t span = count - i < 2 * width ? count - i : 2 * width;
      merge_runs(key, from + i, width < span ? width : span, span, to + i);
    }
    uint32_t *swapped = from;
    from = to;
    to = swapped;
  }
  if (from != order && count > 0) {
    memcpy(order, from, count * sizeof *order);
  }
}

void ddb__sort_set(ddb__block *block, void *scratch) {
  size_t count = block->count;
  uint32_t *order = scratch;
  order_key key = {block, 1};
  sort_indexes(&key, order, order + count, count);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept == 0 || !equal_at(block, order[kept - 1], order[i])) {
      order[kept++] = order[i];
    }
  }
  uint64_t *payloads =
      (uint64_t *)(void *)((char *)scratch + ddb__align8(2 * sizeof(uint32_t) * count));
  uint8_t *tags = (uint8_t *)(payloads + count);
  for (size_t i = 0; i < kept; i++) {
    payloads[i] = ddb__block_payloads(block)[order[i]];
    tags[i] = block->tags[order[i]];
  }
  block->count = (uint32_t)kept;
  if (kept > 0) {
    memcpy(block->tags, tags, kept);
    memset(block->tags + kept, 0, ddb__align8(kept) - kept);
    memcpy(block->tags + ddb__align8(kept), payloads, kept * sizeof *payloads);
  }
}

size_t ddb__sort_dict(const ddb__block *block, uint32_t *order, void *scratch) {
  size_t count = block->count / 2;
  order_key key = {block, 2};
  sort_indexes(&key, order, scratch, count);
  for (size_t i = 1; i < count; i++) {
    if (equal_at(block, 2 * (size_t)order[i - 1], 2 * (size_t)order[i])) {
      return order[i];
    }
  }
  return SIZE_MAX;
}
