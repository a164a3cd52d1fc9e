/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregator.c - see aggregator.h. Each kind is a loop over the values of a batch, without a call for
 * ints and floats. Cost: some nanoseconds a value; a hash for COUNT_DISTINCT.
 */
#include "query/aggregator.h"

#include "base/heap.h"
#include "base/status.h"
#include "query/aggregator_held.h"
#include "query/plan.h"
#include "query/total.h"
#include "store/value.h"

#define GROUPS_FIRST 16u

/* Of MIN, MAX, FIRST and LAST. MISSING: none came. */
typedef struct kept {
  ddb_value value;
  char *copy; /* the value's bytes when they had to be copied */
  size_t copy_size;
} kept;

/* Of the standard deviations. Distances are from the first value: near a large one the mean itself
 * would be rounded by more than the values differ. */
typedef struct moments {
  uint64_t count;
  double first;
  double mean;    /* of the distances from the first */
  double squares; /* sum of the squared distances from the mean */
} moments;

const char *ddb__aggregate_kind_name(ddb_aggregate_kind kind) {
  switch (kind) {
  case DDB_AGGREGATE_COUNT:
    return "Count";
  case DDB_AGGREGATE_SUM:
    return "Sum";
  case DDB_AGGREGATE_AVG:
    return "Avg";
  case DDB_AGGREGATE_MIN:
    return "Min";
  case DDB_AGGREGATE_MAX:
    return "Max";
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return "CountDistinct";
  case DDB_AGGREGATE_FIRST:
    return "First";
  case DDB_AGGREGATE_LAST:
    return "Last";
  case DDB_AGGREGATE_STDDEV:
  case DDB_AGGREGATE_STDDEV_POPULATION:
    return "StdDev";
  case DDB_AGGREGATE_MEDIAN:
    return "Median";
  case DDB_AGGREGATE_QUANTILE:
    return "Quantile";
  case DDB_AGGREGATE_COLLECT:
    break;
  }
  return "Collect";
}

static size_t state_size_of(ddb_aggregate_kind kind) {
  switch (kind) {
  case DDB_AGGREGATE_COUNT:
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return sizeof(uint64_t);
  case DDB_AGGREGATE_SUM:
  case DDB_AGGREGATE_AVG:
    return sizeof(ddb__total);
  case DDB_AGGREGATE_MIN:
  case DDB_AGGREGATE_MAX:
  case DDB_AGGREGATE_FIRST:
  case DDB_AGGREGATE_LAST:
    return sizeof(kept);
  case DDB_AGGREGATE_STDDEV:
  case DDB_AGGREGATE_STDDEV_POPULATION:
    return sizeof(moments);
  case DDB_AGGREGATE_MEDIAN:
  case DDB_AGGREGATE_QUANTILE:
  case DDB_AGGREGATE_COLLECT:
    break;
  }
  return 0;
}

ddb_status ddb__aggregator_init(ddb__aggregator *a, const ddb_aggregate *spec, bool borrows,
                                ddb_error *err) {
  *a = (ddb__aggregator){.spec = spec, .borrows = borrows, .state_size = state_size_of(spec->kind)};
  if (spec->kind == DDB_AGGREGATE_QUANTILE && !(spec->quantile >= 0 && spec->quantile <= 1)) {
    return ddb__fail(err, DDB_ERR_INVALID, "a quantile is from 0 to 1, not %g", spec->quantile);
  }
  if (spec->kind == DDB_AGGREGATE_COUNT_DISTINCT) {
    a->distinct = ddb__alloc(&ddb__heap_process, sizeof *a->distinct);
    if (!a->distinct) {
      return ddb__fail_memory(err, sizeof *a->distinct);
    }
    ddb__groups_init(a->distinct, 2, borrows);
  }
  return DDB_OK;
}

static bool keeps_values(ddb_aggregate_kind kind) {
  return kind == DDB_AGGREGATE_MIN || kind == DDB_AGGREGATE_MAX || kind == DDB_AGGREGATE_FIRST ||
         kind == DDB_AGGREGATE_LAST;
}

static void free_states(ddb__aggregator *a) {
  ddb_aggregate_kind kind = a->spec->kind;
  for (uint32_t i = 0; i < a->capacity; i++) {
    char *state = a->states + i * a->state_size;
    if (kind == DDB_AGGREGATE_SUM || kind == DDB_AGGREGATE_AVG) {
      ddb__total_fini((ddb__total *)(void *)state);
    } else if (keeps_values(kind) && !a->borrows) {
      kept *k = (kept *)(void *)state;
      ddb__free(&ddb__heap_process, k->copy, k->copy_size);
    }
  }
  ddb__free(&ddb__heap_process, a->states, a->capacity * a->state_size);
}

void ddb__aggregator_fini(ddb__aggregator *a) {
  free_states(a);
  ddb__held_fini(a);
  if (a->distinct) {
    ddb__groups_fini(a->distinct);
    ddb__free(&ddb__heap_process, a->distinct, sizeof *a->distinct);
  }
  ddb__arena_fini(&a->arena);
  *a = (ddb__aggregator){0};
}

ddb_status ddb__aggregator_grow(ddb__aggregator *a, uint32_t group_count, ddb_error *err) {
  if (group_count <= a->capacity || a->state_size == 0) {
    return DDB_OK;
  }
  uint32_t capacity = a->capacity ? a->capacity : GROUPS_FIRST;
  while (capacity < group_count) {
    capacity = capacity > UINT32_MAX / 2 ? UINT32_MAX : capacity * 2;
  }
  size_t old_bytes = a->capacity * a->state_size;
  size_t bytes = capacity * a->state_size;
  char *states = ddb__resize(&ddb__heap_process, a->states, old_bytes, bytes);
  if (!states) {
    return ddb__fail_memory(err, bytes);
  }
  memset(states + old_bytes, 0, bytes - old_bytes);
  a->states = states;
  a->capacity = capacity;
  return DDB_OK;
}

/* An error about a value: names the aggregate and its field. */
static ddb_status fail_value(const ddb__aggregator *a, const ddb_error *cause, ddb_error *err) {
  if (cause->status == DDB_ERR_NOMEM) {
    if (err) {
      *err = *cause;
    }
    return cause->status;
  }
  ddb_str field = a->spec->field;
  const char *kind = ddb__aggregate_kind_name(a->spec->kind);
  if (a->spec->expr) {
    char text[128];
    (void)ddb_expr_format(a->spec->expr, text, sizeof text);
    return ddb__fail(err, cause->status, "%s of %s: %s", kind, text, cause->message);
  }
  ddb__fail(err, cause->status, "%s of field '%.*s': %s", kind, DDB__STR_ARG(field),
            cause->message);
  if (err) {
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return cause->status;
}

/* ---- Feeding ------------------------------------------------------------------------------ */

static void feed_counts(ddb__aggregator *a, const uint32_t *numbers, uint64_t mask) {
  uint64_t *counts = (uint64_t *)(void *)a->states;
  for (; mask != 0; mask &= mask - 1) {
    counts[numbers[__builtin_ctzll(mask)]]++;
  }
}

static ddb_status feed_totals(ddb__aggregator *a, const ddb_value *values, const uint32_t *numbers,
                              uint64_t mask, ddb_error *err) {
  ddb__total *totals = (ddb__total *)(void *)a->states;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    ddb__total *total = &totals[numbers[i]];
    if (values[i].kind == DDB_INT) {
      ddb__total_add_int(total, values[i].as.integer);
    } else if (values[i].kind == DDB_FLOAT) {
      ddb__total_add_float(total, values[i].as.real);
    } else {
      ddb_error cause;
      if (ddb__total_add(total, &values[i], &cause)) {
        return fail_value(a, &cause, err);
      }
    }
  }
  return DDB_OK;
}

static ddb_status keep(const ddb__aggregator *a, kept *k, const ddb_value *value, ddb_error *err) {
  if (!a->borrows && !ddb__kind_is_inline(value->kind) && value->size > 0) {
    if (value->size > k->copy_size) {
      size_t size = ddb__align8(value->size) * 2;
      char *copy = ddb__alloc(&ddb__heap_process, size);
      if (!copy) {
        return ddb__fail_memory(err, size);
      }
      ddb__free(&ddb__heap_process, k->copy, k->copy_size);
      k->copy = copy;
      k->copy_size = size;
    }
    memcpy(k->copy, value->as.data, value->size);
    k->value = *value;
    k->value.as.data = k->copy;
    return DDB_OK;
  }
  k->value = *value;
  return DDB_OK;
}

static inline int compare_kept(const ddb_value *a, const ddb_value *b) {
  if (a->kind == DDB_FLOAT && b->kind == DDB_FLOAT) {
    if (a->as.real < b->as.real) {
      return -1;
    }
    if (a->as.real > b->as.real) {
      return 1;
    }
  }
  return ddb_value_compare(a, b);
}

static ddb_status feed_extremes(ddb__aggregator *a, const ddb_value *values,
                                const uint32_t *numbers, uint64_t mask, ddb_error *err) {
  kept *states = (kept *)(void *)a->states;
  int wanted = a->spec->kind == DDB_AGGREGATE_MIN ? -1 : 1;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    kept *k = &states[numbers[i]];
    if (k->value.kind == DDB_MISSING || compare_kept(&values[i], &k->value) == wanted) {
      ddb_status status = keep(a, k, &values[i], err);
      if (status) {
        return status;
      }
    }
  }
  return DDB_OK;
}

static ddb_status feed_ends(ddb__aggregator *a, const ddb_value *values, const uint32_t *numbers,
                            uint64_t mask, ddb_error *err) {
  kept *states = (kept *)(void *)a->states;
  bool last = a->spec->kind == DDB_AGGREGATE_LAST;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    kept *k = &states[numbers[i]];
    if (last || k->value.kind == DDB_MISSING) {
      ddb_status status = keep(a, k, &values[i], err);
      if (status) {
        return status;
      }
    }
  }
  return DDB_OK;
}

static ddb_status feed_moments(ddb__aggregator *a, const ddb_value *values, const uint32_t *numbers,
                               uint64_t mask, ddb_error *err) {
  moments *states = (moments *)(void *)a->states;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    ddb_error cause;
    double real;
    if (ddb__total_float(&values[i], &real, &cause)) {
      return fail_value(a, &cause, err);
    }
    moments *m = &states[numbers[i]];
    m->first = m->count == 0 ? real : m->first;
    m->count++;
    real -= m->first;
    double distance = real - m->mean;
    m->mean += distance / (double)m->count;
    m->squares += distance * (real - m->mean);
  }
  return DDB_OK;
}

/* A new pair of group and value is one more for its group. */
static ddb_status feed_distinct(ddb__aggregator *a, const ddb_value *values,
                                const uint32_t *numbers, uint64_t mask, ddb_error *err) {
  uint64_t *counts = (uint64_t *)(void *)a->states;
  ddb_value owners[DDB__BATCH_MAX];
  for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
    unsigned i = (unsigned)__builtin_ctzll(rest);
    owners[i] = ddb_int(numbers[i]);
  }
  const ddb_value *columns[2] = {owners, values};
  uint32_t pairs[DDB__BATCH_MAX];
  uint32_t pair = a->distinct->count;
  ddb_status status = ddb__groups_find(a->distinct, columns, mask, pairs, err);
  for (; pair < a->distinct->count && !status; pair++) {
    counts[ddb__groups_key(a->distinct, pair)->as.integer]++;
  }
  return status;
}

ddb_status ddb__aggregator_feed(ddb__aggregator *a, const ddb_value *values,
                                const uint32_t *numbers, uint64_t mask, ddb_error *err) {
  switch (a->spec->kind) {
  case DDB_AGGREGATE_COUNT:
    feed_counts(a, numbers, mask);
    return DDB_OK;
  case DDB_AGGREGATE_SUM:
  case DDB_AGGREGATE_AVG:
    return feed_totals(a, values, numbers, mask, err);
  case DDB_AGGREGATE_MIN:
  case DDB_AGGREGATE_MAX:
    return feed_extremes(a, values, numbers, mask, err);
  case DDB_AGGREGATE_FIRST:
  case DDB_AGGREGATE_LAST:
    return feed_ends(a, values, numbers, mask, err);
  case DDB_AGGREGATE_STDDEV:
  case DDB_AGGREGATE_STDDEV_POPULATION:
    return feed_moments(a, values, numbers, mask, err);
  case DDB_AGGREGATE_COUNT_DISTINCT:
    return feed_distinct(a, values, numbers, mask, err);
  case DDB_AGGREGATE_MEDIAN:
  case DDB_AGGREGATE_QUANTILE:
  case DDB_AGGREGATE_COLLECT:
    break;
  }
  ddb_error cause;
  if (ddb__held_feed(a, values, numbers, mask, &cause)) {
    return fail_value(a, &cause, err);
  }
  return DDB_OK;
}

void ddb__aggregator_count(ddb__aggregator *a, uint64_t count) {
  *(uint64_t *)(void *)a->states += count;
}

ddb_status ddb__aggregator_settle(ddb__aggregator *a, uint32_t group_count, ddb_error *err) {
  return a->state_size == 0 ? ddb__held_settle(a, group_count, err) : DDB_OK;
}

/* ---- Results ------------------------------------------------------------------------------ */

static ddb_status total_result(const ddb__aggregator *a, const ddb__total *total, ddb__arena *arena,
                               ddb_value *out, ddb_error *err) {
  if (total->count == 0) {
    *out = ddb_null();
    return DDB_OK;
  }
  ddb_error cause;
  ddb_status status = a->spec->kind == DDB_AGGREGATE_SUM
                          ? ddb__total_sum(total, arena, out, &cause)
                          : ddb__total_mean(total, arena, out, &cause);
  return status ? fail_value(a, &cause, err) : DDB_OK;
}

static ddb_value moments_result(const moments *m, bool population) {
  uint64_t least = population ? 1 : 2;
  return m->count < least ? ddb_null()
                          : ddb_float(sqrt(m->squares / (double)(m->count - least + 1)));
}

ddb_status ddb__aggregator_result(ddb__aggregator *a, uint32_t group, ddb__arena *arena,
                                  ddb_value *out, ddb_error *err) {
  const void *state = a->states + group * a->state_size;
  switch (a->spec->kind) {
  case DDB_AGGREGATE_COUNT:
  case DDB_AGGREGATE_COUNT_DISTINCT:
    *out = ddb_int((int64_t) * (const uint64_t *)state);
    return DDB_OK;
  case DDB_AGGREGATE_SUM:
  case DDB_AGGREGATE_AVG:
    return total_result(a, state, arena, out, err);
  case DDB_AGGREGATE_MIN:
  case DDB_AGGREGATE_MAX:
  case DDB_AGGREGATE_FIRST:
  case DDB_AGGREGATE_LAST:
    *out = ((const kept *)state)->value;
    return DDB_OK;
  case DDB_AGGREGATE_STDDEV:
  case DDB_AGGREGATE_STDDEV_POPULATION:
    *out = moments_result(state, a->spec->kind == DDB_AGGREGATE_STDDEV_POPULATION);
    return DDB_OK;
  case DDB_AGGREGATE_MEDIAN:
  case DDB_AGGREGATE_QUANTILE:
  case DDB_AGGREGATE_COLLECT:
    break;
  }
  ddb_error cause;
  if (ddb__held_result(a, group, arena, out, &cause)) {
    return fail_value(a, &cause, err);
  }
  return DDB_OK;
}
