/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_side.c - see join_side.h. Cost: a look-up of the planner (about a microsecond) for each left
 * record; or a pass over the right side, and one probe for each left record.
 */
#include "query/join_side.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/value.h"

#define ROWS_FIRST    64u
#define LOOKUP_FACTOR 16u /* a look-up costs about as much as hashing so many rows */

static bool matches_nothing(const ddb_value *key) {
  return (key->kind <= DDB_NULL && !DDB__FAULT(JOIN_NULLS_MATCH)) || ddb__value_is_nan(key);
}

/* ---- Looking up --------------------------------------------------------------------------- */

/* right_where & right.k == value & ... */
static ddb_status make_condition(const ddb_join *join, const ddb_value *keys, ddb_cond **out,
                                 ddb_error *err) {
  ddb_cond *parts[DDB__JOIN_KEYS_MAX + 1] = {NULL};
  size_t count = 0;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < join->key_count && !status; i++) {
    status = ddb_cond_compare(join->keys[i].right, DDB_OP_EQ, &keys[i], &parts[count], err);
    count += status == DDB_OK;
  }
  if (!status && join->right_where) {
    parts[count++] = ddb_cond_acquire((ddb_cond *)(uintptr_t)join->right_where);
  }
  if (!status) {
    status = ddb_cond_and(parts, count, out, err);
  }
  while (count > 0) {
    ddb_cond_release(parts[--count]);
  }
  return status;
}

static ddb_status append_found(ddb_records *found, const ddb_record *record, ddb_error *err) {
  if (found->count == found->capacity) {
    size_t capacity = found->capacity ? found->capacity * 2 : 16;
    size_t size = sizeof *found->items;
    const ddb_record **items = ddb__resize(&ddb__heap_process, (void *)(uintptr_t)found->items,
                                           found->capacity * size, capacity * size);
    if (!items) {
      return ddb__fail_memory(err, capacity * size);
    }
    found->items = items;
    found->capacity = capacity;
  }
  found->items[found->count++] = record;
  return DDB_OK;
}

/* *by_index: does the planner use an index for it? Else nothing is looked up. */
static ddb_status look_up(ddb__join_side *side, const ddb_value *keys, bool *by_index,
                          ddb_error *err) {
  ddb_cond *cond;
  side->found.count = 0;
  ddb_status status = make_condition(side->join, keys, &cond, err);
  if (status) {
    return status;
  }
  ddb__plan plan;
  status = ddb__plan_init(&plan, &side->source, cond, err);
  if (!status) {
    *by_index = plan.by_candidates;
    ddb__scan scan;
    ddb__batch batch;
    ddb__scan_init(&scan, &plan, true);
    while (*by_index && !status && ddb__scan_next(&scan, &batch)) {
      for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
        status = append_found(&side->found, batch.records[__builtin_ctzll(mask)], err);
      }
    }
    status = status ? status : ddb__bound_status(&plan.bound, err);
    ddb__plan_fini(&plan);
  }
  ddb_cond_release(cond);
  return status;
}

/* ---- Hashing ------------------------------------------------------------------------------ */

static ddb_status reserve_rows(ddb__join_side *side, ddb_error *err) {
  if (side->row_count == UINT32_MAX - 1) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a join with more than %zu rows on its right side",
                     side->row_count);
  }
  if (side->row_count < side->row_capacity) {
    return DDB_OK;
  }
  size_t capacity = side->row_capacity ? side->row_capacity * 2 : ROWS_FIRST;
  ddb__join_row *rows = ddb__resize(&ddb__heap_process, side->rows,
                                    side->row_capacity * sizeof *rows, capacity * sizeof *rows);
  if (!rows) {
    return ddb__fail_memory(err, capacity * sizeof *rows);
  }
  side->rows = rows;
  side->row_capacity = capacity;
  return DDB_OK;
}

static ddb_status reserve_groups(ddb__join_side *side, ddb_error *err) {
  if (side->keys.count <= side->group_capacity) {
    return DDB_OK;
  }
  size_t capacity = side->keys.capacity;
  ddb__join_group *groups =
      ddb__resize(&ddb__heap_process, side->groups, side->group_capacity * sizeof *groups,
                  capacity * sizeof *groups);
  if (!groups) {
    return ddb__fail_memory(err, capacity * sizeof *groups);
  }
  side->groups = groups;
  side->group_capacity = capacity;
  return DDB_OK;
}

static ddb_status add_row(ddb__join_side *side, const ddb_record *record, uint32_t group,
                          bool is_new, ddb_error *err) {
  ddb_status status = reserve_rows(side, err);
  if (status) {
    return status;
  }
  uint32_t row = (uint32_t)side->row_count++;
  side->rows[row] = (ddb__join_row){record, 0};
  if (is_new) {
    side->groups[group].first = row;
  } else {
    side->rows[side->groups[group].last].next = row + 1;
  }
  side->groups[group].last = row;
  return DDB_OK;
}

static ddb_status add_batch(ddb__join_side *side, ddb__input *inputs, const ddb__batch *batch,
                            ddb_error *err) {
  const ddb_value *columns[DDB__JOIN_KEYS_MAX];
  uint64_t mask = batch->mask;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < side->join->key_count && !status; i++) {
    status = ddb__input_fill(&inputs[i], batch, err);
    mask &= DDB__FAULT(JOIN_NULLS_MATCH) ? mask : inputs[i].present;
    columns[i] = inputs[i].values;
  }
  for (; mask != 0 && !status; mask &= mask - 1) {
    unsigned row = (unsigned)__builtin_ctzll(mask);
    uint32_t numbers[DDB__BATCH_MAX];
    uint32_t before = side->keys.count;
    status = ddb__groups_find(&side->keys, columns, UINT64_C(1) << row, numbers, err);
    if (!status) {
      status = reserve_groups(side, err);
    }
    if (!status) {
      bool is_new = side->keys.count > before;
      status = add_row(side, batch->records[row], numbers[row], is_new, err);
    }
  }
  return status;
}

static ddb_status hash_rows(ddb__join_side *side, ddb__input *inputs, ddb_error *err) {
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &side->source, side->join->right_where, err);
  if (status) {
    return status;
  }
  ddb__scan scan;
  ddb__batch batch;
  ddb__scan_init(&scan, &plan, true);
  while (!status && ddb__scan_next(&scan, &batch)) {
    side->matched += (uint64_t)__builtin_popcountll(batch.mask);
    status = add_batch(side, inputs, &batch, err);
  }
  status = status ? status : ddb__bound_status(&plan.bound, err);
  ddb__plan_fini(&plan);
  return status;
}

static ddb_status build(ddb__join_side *side, ddb_error *err) {
  const ddb_join *join = side->join;
  const ddb__shapes *shapes = ddb__table_shapes(side->source.table);
  size_t bytes = join->key_count * sizeof(ddb__input);
  ddb__input *inputs = ddb__alloc(&ddb__heap_process, bytes);
  if (!inputs) {
    return ddb__fail_memory(err, bytes);
  }
  ddb_status status = DDB_OK;
  size_t count = 0;
  for (; count < join->key_count && !status; count++) {
    status = ddb__input_init(&inputs[count], shapes, join->keys[count].right, NULL, err);
  }
  if (!status) {
    status = hash_rows(side, inputs, err);
  }
  while (count > 0) {
    ddb__input_fini(&inputs[--count]);
  }
  ddb__free(&ddb__heap_process, inputs, bytes);
  side->hashed = status == DDB_OK;
  return status;
}

/* ---- The side ----------------------------------------------------------------------------- */

void ddb__join_side_init(ddb__join_side *side, const ddb_join *join, uint64_t left_count) {
  *side = (ddb__join_side){.join = join};
  side->source = (ddb__source){join->right->table, ddb__view_root(join->right)};
  ddb__groups_init(&side->keys, join->key_count, true);
  uint64_t most = side->source.root->count / LOOKUP_FACTOR;
  side->lookups_left = left_count < most ? most : 0;
}

void ddb__join_side_fini(ddb__join_side *side) {
  ddb__groups_fini(&side->keys);
  ddb__free(&ddb__heap_process, side->groups, side->group_capacity * sizeof *side->groups);
  ddb__free(&ddb__heap_process, side->rows, side->row_capacity * sizeof *side->rows);
  ddb_records_free(&side->found);
  side->groups = NULL;
  side->rows = NULL;
}

/* Groups go by the total order, in which NaN is like NaN also within a list; == does not. */
static bool equal_keys(const ddb__join_side *side, uint32_t group, const ddb_value *keys) {
  const ddb_value *own = ddb__groups_key(&side->keys, group);
  for (size_t i = 0; i < side->join->key_count; i++) {
    if (ddb__kind_is_container(keys[i].kind) && !ddb_value_equal(&keys[i], &own[i])) {
      return false;
    }
  }
  return true;
}

ddb_status ddb__join_side_find(ddb__join_side *side, const ddb_value *keys, uint64_t *match,
                               ddb_error *err) {
  *match = UINT64_MAX;
  for (size_t i = 0; i < side->join->key_count; i++) {
    if (matches_nothing(&keys[i])) {
      return DDB_OK;
    }
  }
  if (!side->hashed) {
    bool by_index = false;
    ddb_status status = DDB_OK;
    if (side->lookups_left > 0) {
      side->lookups_left--;
      status = look_up(side, keys, &by_index, err);
      side->lookups += by_index;
    }
    if (status || by_index) {
      side->looked_up += side->found.count;
      *match = 0;
      return status;
    }
    status = build(side, err);
    if (status) {
      return status;
    }
  }
  const ddb_value *columns[DDB__JOIN_KEYS_MAX];
  for (size_t i = 0; i < side->join->key_count; i++) {
    columns[i] = &keys[i];
  }
  uint32_t group;
  if (ddb__groups_seek(&side->keys, columns, 0, &group) && equal_keys(side, group, keys)) {
    *match = side->groups[group].first;
  }
  return DDB_OK;
}

const ddb_record *ddb__join_side_next(const ddb__join_side *side, uint64_t *match) {
  if (*match == UINT64_MAX) {
    return NULL;
  }
  if (!side->hashed) {
    return *match < side->found.count ? side->found.items[(*match)++] : NULL;
  }
  const ddb__join_row *row = &side->rows[*match];
  *match = row->next == 0 || DDB__FAULT(JOIN_TWINS_LOST) ? UINT64_MAX : row->next - 1;
  return row->record;
}

/* ---- Telling ------------------------------------------------------------------------------ */

static void put_keys(ddb_plan_node *node, const ddb_join *join) {
  for (size_t i = 0; i < join->key_count; i++) {
    ddb__tell_put(node, i > 0 ? ", " : "by ");
    ddb__tell_put_name(node, join->keys[i].right);
  }
}

static ddb_status tell_hash(const ddb__join_side *side, ddb__teller *t) {
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &side->source, side->join->right_where, t->err);
  if (status) {
    return status;
  }
  ddb_plan_node *node = ddb__tell(t, "hash", ddb__tell_matches(&plan), side->row_count);
  status = node ? DDB_OK : DDB_ERR_NOMEM;
  if (node) {
    put_keys(node, side->join);
    ddb__tell_put(node, side->lookups > 0 ? ", after look-ups" : "");
    t->depth++;
    status = ddb__tell_found(t, &plan, side->matched, 0);
    t->depth--;
  }
  ddb__plan_fini(&plan);
  return status;
}

/* The steps of a look-up, whatever it is for. *by_index: there are some. */
static ddb_status tell_lookup(ddb__join_side *side, ddb__teller *t, bool *by_index) {
  ddb_value keys[DDB__JOIN_KEYS_MAX];
  for (size_t i = 0; i < side->join->key_count; i++) {
    keys[i] = ddb_int(0);
  }
  ddb_cond *cond;
  ddb__plan plan;
  ddb_status status = make_condition(side->join, keys, &cond, t->err);
  if (status) {
    return status;
  }
  status = ddb__plan_init(&plan, &side->source, cond, t->err);
  if (!status) {
    *by_index = plan.by_candidates;
    if (plan.by_candidates) {
      ddb_plan_node *node = ddb__tell(t, "lookup", DDB_NO_LIMIT, side->looked_up);
      status = node ? DDB_OK : DDB_ERR_NOMEM;
      if (node) {
        put_keys(node, side->join);
        t->depth++;
        t->bare = true;
        status = ddb__tell_access(t, &plan, false, 0, 0);
        t->bare = false;
        t->depth--;
      }
    }
    ddb__plan_fini(&plan);
  }
  ddb_cond_release(cond);
  return status;
}

ddb_status ddb__join_side_tell(ddb__join_side *side, ddb__teller *t) {
  bool by_index = false;
  ddb_status status = DDB_OK;
  if (!side->hashed && (side->lookups > 0 || side->lookups_left > 0)) {
    status = tell_lookup(side, t, &by_index);
  }
  return status || by_index ? status : tell_hash(side, t);
}
