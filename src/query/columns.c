/* SPDX-License-Identifier: Apache-2.0 */
/*
 * columns.c - the field names that occur in a view.
 *
 * One pass over the records looks at their shapes only, and at a shape's fields once: the shapes
 * and the fields seen are a set each. Cost: O(rows), a load per record; fields times distinct
 * shapes.
 */
#include <assert.h>

#include "base/heap.h"
#include "base/status.h"
#include "query/plan.h"

/* Shapes by address, open addressing, at most half full. */
typedef struct shape_set {
  const ddb_shape **slots;
  size_t slot_count;
  size_t count;
} shape_set;

static size_t shape_slot(const shape_set *set, const ddb_shape *shape) {
  assert(set->slots);
  size_t at = (size_t)(shape->id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (set->slot_count - 1);
  while (set->slots[at] && set->slots[at] != shape) {
    at = (at + 1) & (set->slot_count - 1);
  }
  return at;
}

static void shape_set_fini(shape_set *set) {
  ddb__free(&ddb__heap_process, (void *)(uintptr_t)set->slots,
            set->slot_count * sizeof *set->slots);
}

static ddb_status shape_set_grow(shape_set *set, ddb_error *err) {
  shape_set grown = {.slot_count = set->slot_count ? set->slot_count * 2 : 16, .count = set->count};
  size_t bytes = grown.slot_count * sizeof *grown.slots;
  grown.slots = ddb__alloc_zero(&ddb__heap_process, bytes);
  if (!grown.slots) {
    return ddb__fail_memory(err, bytes);
  }
  for (size_t i = 0; i < set->slot_count; i++) {
    if (set->slots[i]) {
      grown.slots[shape_slot(&grown, set->slots[i])] = set->slots[i];
    }
  }
  shape_set_fini(set);
  *set = grown;
  return DDB_OK;
}

typedef struct columns {
  shape_set shapes;
  uint64_t *seen; /* a bit per field id */
  size_t seen_words;
  ddb_str *names; /* the caller's */
  size_t room;
  size_t count;
} columns;

static void add_fields(columns *c, const ddb_shape *shape) {
  for (uint32_t i = 0; i < shape->count; i++) {
    uint32_t id = shape->field_ids[i];
    uint64_t bit = UINT64_C(1) << (id % 64);
    if (c->seen[id / 64] & bit) {
      continue;
    }
    c->seen[id / 64] |= bit;
    if (c->count < c->room) {
      c->names[c->count] = shape->names[i];
    }
    c->count++;
  }
}

static ddb_status add_shape(columns *c, const ddb_shape *shape, ddb_error *err) {
  if (c->shapes.count >= c->shapes.slot_count / 2) {
    ddb_status status = shape_set_grow(&c->shapes, err);
    if (status) {
      return status;
    }
  }
  size_t at = shape_slot(&c->shapes, shape);
  if (!c->shapes.slots[at]) {
    c->shapes.slots[at] = shape;
    c->shapes.count++;
    add_fields(c, shape);
  }
  return DDB_OK;
}

/* The key is in every record: it comes first as soon as there is one. */
static void add_key(columns *c, const ddb_shape *shape) {
  uint32_t id = shape->field_ids[shape->key_index];
  c->seen[id / 64] |= UINT64_C(1) << (id % 64);
  if (c->room > 0) {
    c->names[0] = shape->names[shape->key_index];
  }
  c->count = 1;
}

static ddb_status collect(columns *c, ddb__plan *plan, ddb_error *err) {
  ddb__scan scan;
  ddb__batch batch;
  ddb_status status = DDB_OK;
  const ddb_shape *last = NULL;
  ddb__scan_init(&scan, plan, true);
  while (!status && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
      const ddb_shape *shape = batch.records[__builtin_ctzll(mask)]->shape;
      if (shape == last) {
        continue;
      }
      if (!last) {
        add_key(c, shape);
      }
      last = shape;
      status = add_shape(c, shape, err);
    }
  }
  return status ? status : ddb__bound_status(&plan->bound, err);
}

ddb_status ddb_view_columns(const ddb_view *view, ddb_str *names, size_t *count, ddb_error *err) {
  if (!view || !count) {
    return ddb__fail(err, DDB_ERR_INVALID, "columns needs a view and a count");
  }
  ddb__source source = {view->table, ddb__view_root(view)};
  columns c = {.names = names, .room = names ? *count : 0};
  c.seen_words = ddb__shapes_field_count(ddb__table_shapes(view->table)) / 64 + 1;
  c.seen = ddb__alloc_zero(&ddb__heap_process, c.seen_words * sizeof *c.seen);
  if (!c.seen) {
    return ddb__fail_memory(err, c.seen_words * sizeof *c.seen);
  }
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &source, NULL, err);
  if (!status) {
    status = collect(&c, &plan, err);
    ddb__plan_fini(&plan);
  }
  shape_set_fini(&c.shapes);
  ddb__free(&ddb__heap_process, c.seen, c.seen_words * sizeof *c.seen);
  if (!status) {
    *count = c.count;
  }
  return status;
}
