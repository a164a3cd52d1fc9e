/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregator_held.c - see aggregator_held.h.
 *
 *   held    | value, group | in the order they came --settle, a stable counting sort-->
 *   sorted  | values of group 0 | of group 1 | ...
 *
 * The order statistics are selected in place, in expected linear time: three-way partitions around
 * pivots that a fixed generator picks, so that equal values cost no more than others.
 */
#include "query/aggregator_held.h"

#include <math.h>

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/rowset.h"
#include "query/total.h"
#include "store/hash.h"
#include "store/number.h"
#include "store/value.h"

#define HELD_FIRST 64u

void ddb__held_fini(ddb__aggregator *a) {
  ddb__free(&ddb__heap_process, a->held, a->held_capacity * sizeof *a->held);
  ddb__free(&ddb__heap_process, a->sorted, a->held_count * sizeof *a->sorted);
  ddb__free(&ddb__heap_process, a->starts, a->start_count * sizeof *a->starts);
}

/* ---- Gathering ---------------------------------------------------------------------------- */

static ddb_status reserve(ddb__aggregator *a, size_t more, ddb_error *err) {
  if (a->held_count + more <= a->held_capacity) {
    return DDB_OK;
  }
  size_t capacity = a->held_capacity ? a->held_capacity * 2 : HELD_FIRST;
  ddb__held *held = ddb__resize(&ddb__heap_process, a->held, a->held_capacity * sizeof *held,
                                capacity * sizeof *held);
  if (!held) {
    return ddb__fail_memory(err, capacity * sizeof *held);
  }
  a->held = held;
  a->held_capacity = capacity;
  return DDB_OK;
}

ddb_status ddb__held_feed(ddb__aggregator *a, const ddb_value *values, const uint32_t *numbers,
                          uint64_t mask, ddb_error *err) {
  ddb_status status = reserve(a, HELD_FIRST, err); /* a batch */
  for (; mask != 0 && !status; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    if (a->spec->kind != DDB_AGGREGATE_COLLECT && !ddb__kind_is_number(values[i].kind)) {
      return ddb__fail(err, DDB_ERR_TYPE, "a %s is not a number",
                       ddb_kind_name((ddb_kind)values[i].kind));
    }
    ddb__held *held = &a->held[a->held_count];
    *held = (ddb__held){values[i], numbers[i]};
    status = a->borrows ? DDB_OK : ddb__arena_copy(&a->arena, &held->value, err);
    a->held_count += status == DDB_OK;
  }
  return status;
}

ddb_status ddb__held_settle(ddb__aggregator *a, uint32_t group_count, ddb_error *err) {
  size_t bytes = ((size_t)group_count + 1) * sizeof *a->starts;
  a->starts = ddb__alloc_zero(&ddb__heap_process, bytes);
  if (!a->starts) {
    return ddb__fail_memory(err, bytes);
  }
  a->start_count = (size_t)group_count + 1;
  if (a->held_count == 0) {
    return DDB_OK;
  }
  a->sorted = ddb__alloc(&ddb__heap_process, a->held_count * sizeof *a->sorted);
  if (!a->sorted) {
    return ddb__fail_memory(err, a->held_count * sizeof *a->sorted);
  }
  for (size_t i = 0; i < a->held_count; i++) {
    a->starts[a->held[i].group + 1]++;
  }
  for (size_t i = 1; i <= group_count; i++) {
    a->starts[i] += a->starts[i - 1];
  }
  /* Filling moves each start to the next one's place: then they are moved back. */
  for (size_t i = 0; i < a->held_count; i++) {
    a->sorted[a->starts[a->held[i].group]++] = a->held[i].value;
  }
  memmove(a->starts + 1, a->starts, group_count * sizeof *a->starts);
  a->starts[0] = 0;
  return DDB_OK;
}

/* ---- Order statistics --------------------------------------------------------------------- */

static void swap(ddb_value *values, size_t a, size_t b) {
  ddb_value value = values[a];
  values[a] = values[b];
  values[b] = value;
}

/* Brings the value of rank `rank` to its place, smaller ones before it, larger ones behind. */
static void select_rank(ddb_value *values, size_t count, size_t rank) {
  size_t first = 0;
  size_t end = count;
  uint64_t seed = count;
  while (end - first > 1) {
    seed = ddb__hash_mix(seed + 1);
    ddb_value pivot = values[first + (size_t)(seed % (end - first))];
    size_t below = first; /* [first, below) < pivot, [below, at) equal, [above, end) > pivot */
    size_t above = end;
    for (size_t at = first; at < above;) {
      int order = ddb__number_compare(&values[at], &pivot);
      if (order < 0) {
        swap(values, below++, at++);
      } else if (order > 0) {
        swap(values, --above, at);
      } else {
        at++;
      }
    }
    if (rank < below) {
      end = below;
    } else if (rank >= above) {
      first = above;
    } else {
      return;
    }
  }
}

/* The values of ranks `rank` and rank + 1 (the same one when it is the last). */
static void select_two(ddb_value *values, size_t count, size_t rank, ddb_value pair[2]) {
  select_rank(values, count, rank);
  pair[0] = values[rank];
  pair[1] = rank + 1 < count ? values[rank + 1] : pair[0];
  for (size_t i = rank + 2; i < count; i++) {
    pair[1] = ddb__number_compare(&values[i], &pair[1]) < 0 ? values[i] : pair[1];
  }
}

static bool has_nan(const ddb_value *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (ddb__number_is_nan(&values[i])) {
      return true;
    }
  }
  return false;
}

static ddb_status median(ddb_value *values, size_t count, ddb__arena *arena, ddb_value *out,
                         ddb_error *err) {
  ddb_value pair[2];
  select_two(values, count, (count - 1) / 2, pair);
  if (count % 2 == 1 || DDB__FAULT(MEDIAN_IS_LOW)) {
    *out = pair[0];
    return DDB_OK;
  }
  ddb__total total = {0};
  ddb_status status = ddb__total_add(&total, &pair[0], err);
  if (!status) {
    status = ddb__total_add(&total, &pair[1], err);
  }
  if (!status) {
    status = ddb__total_mean(&total, arena, out, err);
  }
  ddb__total_fini(&total);
  return status;
}

static ddb_status quantile(ddb_value *values, size_t count, double wanted, ddb_value *out,
                           ddb_error *err) {
  double place = wanted * (double)(count - 1);
  size_t rank = (size_t)place;
  rank = rank > count - 1 ? count - 1 : rank;
  double part = place - (double)rank;
  ddb_value pair[2];
  double low = 0;
  double high = 0;
  select_two(values, count, rank, pair);
  ddb_status status = ddb__total_float(&pair[0], &low, err);
  if (!status) {
    status = ddb__total_float(&pair[1], &high, err);
  }
  /* Between two equal infinities there is nothing to subtract. */
  double real = low == high || part == 0 ? low
                : part < 0.5             ? low + (high - low) * part
                                         : high - (high - low) * (1 - part);
  *out = ddb_float(real);
  return status;
}

static ddb_status collect(const ddb_value *values, size_t count, ddb__arena *arena, ddb_value *out,
                          ddb_error *err) {
  size_t size = ddb__rowset_block_size(values, count);
  if (size > DDB_RECORD_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a list of more than %u bytes", DDB_RECORD_SIZE_MAX);
  }
  ddb__block *block = ddb__arena_take(arena, size);
  if (!block) {
    return ddb__fail_memory(err, size);
  }
  ddb__rowset_block_fill(block, size, values, count);
  *out = (ddb_value){.kind = DDB_LIST, .size = (uint32_t)size, .as.data = block};
  return DDB_OK;
}

ddb_status ddb__held_result(ddb__aggregator *a, uint32_t group, ddb__arena *arena, ddb_value *out,
                            ddb_error *err) {
  size_t count = a->starts[group + 1] - a->starts[group];
  ddb_value *values = count > 0 ? a->sorted + a->starts[group] : NULL;
  if (a->spec->kind == DDB_AGGREGATE_COLLECT) {
    return collect(values, count, arena, out, err);
  }
  if (count == 0) {
    *out = ddb_null();
    return DDB_OK;
  }
  if (has_nan(values, count)) {
    *out = ddb_float(NAN);
    return DDB_OK;
  }
  return a->spec->kind == DDB_AGGREGATE_MEDIAN
             ? median(values, count, arena, out, err)
             : quantile(values, count, a->spec->quantile, out, err);
}
