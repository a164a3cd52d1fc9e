/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - choosing between a scan and candidates from indexes.
 *
 * What gives candidates: ==, in and is_null over a field with a hash index; == and in over the
 * primary key. An and takes the operand with the fewest, an or needs them of all its operands, a
 * not has none. Estimates are exact counts up to a limit, a quarter of the table: beyond it a scan
 * in order costs less than look-ups. Candidates may hold too much, never too little:
 *   - equal values hash alike, so a run of equal hashes holds all rows that can match;
 *   - missing and null hash alike, so == None, None among an in's values, and is_null find both;
 *   - NaN equals nothing, so it has no candidates;
 *   - keys are hashable, but a set that is asked for can equal a frozenset that is there: literals
 *     that cannot be keys are left to the scan.
 * Cost: O(log n) per literal and O(candidates), with a sort when several runs are merged.
 */
#include "query/plan.h"

#include "store/rows.h"
#include "store/tree.h"

#define NO_INDEX UINT64_MAX

typedef struct planner {
  const ddb__source *source;
  ddb__bound *bound;
  ddb__seqs *candidates;
  uint64_t limit;
  ddb_error *err;
} planner;

static bool text_equal(ddb_str a, ddb_str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ---- Estimates ---------------------------------------------------------------------------- */

static uint64_t add_estimates(const planner *p, uint64_t a, uint64_t b) {
  return a > p->limit || b > p->limit - a ? NO_INDEX : a + b;
}

static uint64_t estimate_hash(const planner *p, const ddb__index *index, const ddb_value *value) {
  return ddb__tree_count_key(&index->tree, ddb_value_hash(value), (size_t)p->limit + 1);
}

/* Of one literal of an == or an in. */
static uint64_t estimate_value(const planner *p, const ddb__bound_node *node,
                               const ddb__index *index, const ddb_value *value) {
  if (ddb__value_is_nan(value)) {
    return 0;
  }
  if (node->is_key && ddb__value_hashable(value)) {
    return 1;
  }
  return index ? estimate_hash(p, index, value) : NO_INDEX;
}

static bool leaf_has_candidates(const ddb_cond *leaf) {
  return leaf->kind == DDB__COND_IN || leaf->kind == DDB__COND_NULL ||
         (leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_EQ);
}

static uint64_t estimate_leaf(const planner *p, const ddb__bound_node *node) {
  const ddb_cond *leaf = node->cond;
  if (!leaf_has_candidates(leaf)) {
    return NO_INDEX;
  }
  const ddb__index *index = ddb__root_index(p->source->root, node->field_id);
  if (!index && !node->is_key) {
    return NO_INDEX;
  }
  if (leaf->kind == DDB__COND_NULL) {
    ddb_value null = ddb_null();
    return index ? add_estimates(p, 0, estimate_hash(p, index, &null)) : NO_INDEX;
  }
  uint64_t sum = 0;
  for (uint32_t i = 0; i < leaf->count && sum != NO_INDEX; i++) {
    sum = add_estimates(p, sum, estimate_value(p, node, index, &leaf->leaf.values[i]));
  }
  return sum;
}

static uint64_t estimate(const planner *p, ddb__bound_node *node);

static uint64_t estimate_and(const planner *p, const ddb__bound_node *node) {
  uint64_t least = NO_INDEX;
  for (uint32_t i = node->first; i != 0 && least > 1; i = p->bound->nodes[i].next) {
    uint64_t rows = estimate(p, &p->bound->nodes[i]);
    least = rows < least ? rows : least;
  }
  return least;
}

static uint64_t estimate_or(const planner *p, const ddb__bound_node *node) {
  uint64_t sum = 0;
  for (uint32_t i = node->first; i != 0 && sum != NO_INDEX; i = p->bound->nodes[i].next) {
    sum = add_estimates(p, sum, estimate(p, &p->bound->nodes[i]));
  }
  return sum;
}

/* Nodes that an and or an or did not need to ask keep NO_INDEX, which no choice takes. */
static uint64_t estimate(const planner *p, ddb__bound_node *node) {
  uint64_t rows = NO_INDEX;
  switch ((ddb__bound_kind)node->kind) {
  case DDB__BOUND_CONST:
    rows = node->flip ? NO_INDEX : 0;
    break;
  case DDB__BOUND_EXPR:
  case DDB__BOUND_NOT:
    break;
  case DDB__BOUND_AND:
    rows = estimate_and(p, node);
    break;
  case DDB__BOUND_OR:
    rows = estimate_or(p, node);
    break;
  case DDB__BOUND_NULL:
  case DDB__BOUND_NUMBER:
  case DDB__BOUND_TEXT:
  case DDB__BOUND_PREFIX:
  case DDB__BOUND_FEW:
  case DDB__BOUND_LEAF:
    rows = estimate_leaf(p, node);
    break;
  }
  node->estimate = rows;
  return rows;
}

/* ---- Candidates --------------------------------------------------------------------------- */

static ddb_status collect_hash(const planner *p, const ddb__index *index, const ddb_value *value) {
  uint64_t hash = ddb_value_hash(value);
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb__tree_seek(&index->tree, (ddb__tree_entry){hash, 0}, &cursor);
  while (ddb__tree_next(&cursor, &entry) && entry.key == hash) {
    ddb_status status = ddb__seqs_append(p->candidates, entry.seq, p->err);
    if (status) {
      return status;
    }
  }
  return DDB_OK;
}

static ddb_status collect_value(const planner *p, const ddb__bound_node *node,
                                const ddb__index *index, const ddb_value *value) {
  if (ddb__value_is_nan(value)) {
    return DDB_OK;
  }
  if (node->is_key && ddb__value_hashable(value)) {
    uint64_t seq;
    bool found = ddb__table_find(p->source->table, p->source->root, value, &seq) != NULL;
    return found ? ddb__seqs_append(p->candidates, seq, p->err) : DDB_OK;
  }
  return collect_hash(p, index, value);
}

static ddb_status collect_leaf(const planner *p, const ddb__bound_node *node) {
  const ddb__index *index = ddb__root_index(p->source->root, node->field_id);
  if (node->cond->kind == DDB__COND_NULL) {
    ddb_value null = ddb_null();
    return collect_hash(p, index, &null);
  }
  ddb_status status = DDB_OK;
  for (uint32_t i = 0; i < node->cond->count && !status; i++) {
    status = collect_value(p, node, index, &node->cond->leaf.values[i]);
  }
  return status;
}

static ddb_status collect(const planner *p, const ddb__bound_node *node);

static ddb_status collect_and(const planner *p, const ddb__bound_node *node) {
  const ddb__bound_node *best = &p->bound->nodes[node->first];
  for (uint32_t i = best->next; i != 0; i = p->bound->nodes[i].next) {
    best = p->bound->nodes[i].estimate < best->estimate ? &p->bound->nodes[i] : best;
  }
  return collect(p, best);
}

static ddb_status collect_or(const planner *p, const ddb__bound_node *node) {
  ddb_status status = DDB_OK;
  for (uint32_t i = node->first; i != 0 && !status; i = p->bound->nodes[i].next) {
    status = collect(p, &p->bound->nodes[i]);
  }
  return status;
}

/* Of a node whose estimate is not NO_INDEX. */
static ddb_status collect(const planner *p, const ddb__bound_node *node) {
  switch ((ddb__bound_kind)node->kind) {
  case DDB__BOUND_AND:
    return collect_and(p, node);
  case DDB__BOUND_OR:
    return collect_or(p, node);
  case DDB__BOUND_NULL:
  case DDB__BOUND_NUMBER:
  case DDB__BOUND_TEXT:
  case DDB__BOUND_PREFIX:
  case DDB__BOUND_FEW:
  case DDB__BOUND_LEAF:
    return collect_leaf(p, node);
  case DDB__BOUND_CONST: /* false */
  case DDB__BOUND_EXPR:  /* never */
  case DDB__BOUND_NOT:   /* never */
    break;
  }
  return DDB_OK;
}

/* ---- Plans -------------------------------------------------------------------------------- */

static ddb_status plan_candidates(ddb__plan *plan, ddb_error *err) {
  /* Small tables: look-ups cost less than to find out whether they do. */
  planner p = {&plan->source, &plan->bound, &plan->candidates, plan->source.root->count / 4 + 8,
               err};
  for (size_t i = 0; i < plan->bound.count; i++) {
    plan->bound.nodes[i].estimate = NO_INDEX;
  }
  plan->by_candidates = estimate(&p, &plan->bound.nodes[0]) != NO_INDEX;
  if (!plan->by_candidates) {
    return DDB_OK;
  }
  ddb_status status = collect(&p, &plan->bound.nodes[0]);
  return status ? status : ddb__seqs_normalise(&plan->candidates, err);
}

bool ddb__plan_point(const ddb__source *source, const ddb_cond *where, uint64_t *seq,
                     const ddb_record **record) {
  if (!where || where->kind != DDB__COND_COMPARE || where->op != DDB_OP_EQ || where->leaf.expr) {
    return false;
  }
  const ddb__schema *schema = ddb__shapes_schema(ddb__table_shapes(source->table));
  const ddb_value *key = &where->leaf.values[0];
  if (!text_equal(where->leaf.field, schema->primary_key) || !ddb__value_hashable(key)) {
    return false;
  }
  *record = ddb__table_find(source->table, source->root, key, seq);
  return true;
}

ddb_status ddb__plan_init(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                          ddb_error *err) {
  const ddb__shapes *shapes = ddb__table_shapes(source->table);
  plan->source = *source;
  plan->by_candidates = false;
  ddb__seqs_init(&plan->candidates);
  uint64_t seq;
  const ddb_record *record;
  if (ddb__plan_point(source, where, &seq, &record)) {
    /* The row is found by the condition itself: there is nothing left to check. */
    plan->by_candidates = true;
    ddb_status status = ddb__bound_init(&plan->bound, NULL, shapes, err);
    return status || !record ? status : ddb__seqs_append(&plan->candidates, seq, err);
  }
  ddb_status status = ddb__bound_init(&plan->bound, where, shapes, err);
  if (!status && where) {
    status = plan_candidates(plan, err);
    if (status) {
      ddb__plan_fini(plan);
    }
  }
  return status;
}

void ddb__plan_fini(ddb__plan *plan) {
  ddb__seqs_fini(&plan->candidates);
  ddb__bound_fini(&plan->bound);
}
