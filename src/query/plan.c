/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - choosing between a scan and candidates from indexes.
 *
 * Each part of the condition, negated or not, is asked for a step (plan.h): a leaf for its best index
 * or the primary key, an and for the best of its operands or of the indexes that serve several of
 * them together, an or for one of each of its operands. A not is carried down to the leaves, where
 * and and or change places. Estimates are exact counts of index entries, in O(log n) each; beyond a
 * quarter of the table a scan in order costs less than look-ups. An and of two large steps over
 * different operands takes what both have.
 *
 * Candidates may hold too much, never too little (range.h says why for indexes):
 *   - keys are hashable, but a set that is asked for can equal a frozenset that is there: literals
 *     that cannot be keys are left to the indexes and the scan.
 * Cost: O(log n) per literal and index, and O(candidates), with a sort when several runs are merged.
 */
#include "query/plan.h"

#include <math.h>

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/candidates.h"
#include "store/rows.h"
#include "store/text.h"

/* Candidates of one step from which it is worth while to look at a second one. */
#ifdef DDB_TESTING
#define INTERSECT_MIN 3u
#else
#define INTERSECT_MIN 64u
#endif
/* Few enough to look no further. */
#define FEW 4u

typedef struct planner {
  const ddb__source *source;
  const ddb__bound *bound;
  ddb__steps *steps;
  ddb_error *err;
} planner;

/* ---- Steps -------------------------------------------------------------------------------- */

static ddb__step *step_at(const planner *p, uint32_t step) {
  return &p->steps->items[step];
}

static uint64_t rows_of(const planner *p, uint32_t step) {
  return step == DDB__NO_STEP ? UINT64_MAX : step_at(p, step)->estimate;
}

/* *out: one more step, with nothing in it. */
static ddb_status step_new(const planner *p, uint32_t *out) {
  ddb__steps *steps = p->steps;
  if (steps->count == steps->capacity) {
    bool is_inline = steps->items == steps->inline_items;
    size_t bytes = steps->capacity * sizeof *steps->items;
    ddb__step *items = ddb__resize(&ddb__heap_process, is_inline ? NULL : steps->items,
                                   is_inline ? 0 : bytes, 4 * bytes);
    if (!items) {
      return ddb__fail_memory(p->err, 4 * bytes);
    }
    if (is_inline) {
      memcpy(items, steps->inline_items, bytes);
    }
    steps->items = items;
    steps->capacity *= 4;
  }
  *out = steps->count++;
  return DDB_OK;
}

static ddb_status step_add(const planner *p, const ddb__step *step, uint32_t *out) {
  ddb_status status = step_new(p, out);
  if (!status) {
    *step_at(p, *out) = *step;
  }
  return status;
}

static void steps_fini(ddb__steps *steps) {
  if (steps->items != steps->inline_items) {
    ddb__free(&ddb__heap_process, steps->items, steps->capacity * sizeof *steps->items);
  }
}

/* ---- Leaves ------------------------------------------------------------------------------- */

/* Might an index serve it? */
static bool is_leaf(const ddb__bound_node *node) {
  ddb__path path;
  return node->cond && ddb__range_knows(node->cond) && ddb__bound_path(node, &path);
}

/* Is the leaf about what the index has there? */
static bool is_over(const ddb__bound_node *leaf, const ddb__index_def *def, uint32_t field) {
  ddb__path path;
  if (!ddb__bound_path(leaf, &path)) {
    return false;
  }
  return DDB__FAULT(PLAN_PATH_BLIND) ? path.field_id == def->paths[field].field_id
                                     : ddb__path_equal(&path, &def->paths[field]);
}

static bool is_keyed(const ddb__bound_node *node) {
  const ddb_cond *leaf = node->cond;
  bool looks_up = node->is_key && (leaf->kind == DDB__COND_IN ||
                                   (leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_EQ));
  for (uint32_t i = 0; looks_up && i < leaf->count; i++) {
    looks_up = ddb__value_hashable(&leaf->leaf.values[i]);
  }
  return looks_up;
}

/* Takes the match for *best when it gives fewer rows. */
static ddb_status offer(const planner *p, const ddb__match *match, uint64_t covers,
                        uint32_t *best) {
  const ddb__rows *rows = &p->source->root->rows;
  const ddb__tree_run run = ddb__range_entries(match, rows);
  if (run.first) {
    ddb__rows_fetch_slot(rows, run.first->seq);
  }
  ddb_status status = DDB_OK;
  if (*best == DDB__NO_STEP) {
    status = step_new(p, best);
  } else if (run.count >= rows_of(p, *best)) {
    return DDB_OK;
  }
  if (!status) { /* field by field, in place: it is large */
    ddb__step *step = step_at(p, *best);
    step->kind = DDB__STEP_MATCH;
    step->is_exact = ddb__range_is_exact(match);
    step->first = DDB__NO_STEP;
    step->next = DDB__NO_STEP;
    step->leaf = NULL;
    step->match = *match;
    step->covers = covers;
    step->estimate = run.count;
    step->actual = 0;
    step->run = run;
  }
  return status;
}

static ddb_status plan_leaf(const planner *p, const ddb__bound_node *node, bool negated,
                            uint32_t *out) {
  if (!negated && is_keyed(node)) {
    ddb__step step = {.kind = DDB__STEP_KEY,
                      .first = DDB__NO_STEP,
                      .next = DDB__NO_STEP,
                      .leaf = node->cond,
                      .estimate = node->cond->count};
    return step_add(p, &step, out);
  }
  const ddb__root *root = p->source->root;
  ddb_status status = DDB_OK;
  for (uint32_t i = 0; i < root->index_count && !status; i++) {
    const ddb__index_def *def = root->indexes[i].def;
    bool whole = def->kind == DDB_INDEX_SORTED || def->field_count == 1;
    if (whole && is_over(node, def, 0) && ddb__range_serves(def->kind, node->cond, negated)) {
      ddb__match match;
      match.index = &root->indexes[i];
      match.equal_count = 0;
      match.negated = negated;
      match.skips_nulls = false;
      match.low = node->cond;
      match.high = NULL;
      status = offer(p, &match, 0, out);
    }
  }
  return status;
}

/* ---- Leaves of an and that one index serves together -------------------------------------- */

typedef struct operands {
  const ddb__bound *bound;
  uint32_t first;              /* the and's; 0: none */
  const ddb__bound_node *only; /* the one operand, which is in no list; NULL: a list */
} operands;

/* Steps through the operands: *at and *index are 0 at first. NULL at the end. */
static const ddb__bound_node *operand_next(const operands *of, uint32_t *at, unsigned *index) {
  const ddb__bound_node *node = NULL;
  if (of->only) {
    node = *index == 0 ? of->only : NULL;
  } else {
    *at = *index == 0 ? of->first : of->bound->nodes[*at].next;
    node = *at != 0 ? &of->bound->nodes[*at] : NULL;
  }
  ++*index;
  return node;
}

static uint64_t operand_bit(unsigned index) {
  return UINT64_C(1) << (index < 63 ? index : 63);
}

static bool is_above(const ddb_cond *leaf) {
  return leaf->kind == DDB__COND_COMPARE && (leaf->op == DDB_OP_GT || leaf->op == DDB_OP_GE);
}
static bool is_below(const ddb_cond *leaf) {
  return leaf->kind == DDB__COND_COMPARE && (leaf->op == DDB_OP_LT || leaf->op == DDB_OP_LE);
}

/* The first == leaf over the index's field; NULL: none. */
static const ddb_cond *find_equal(const operands *of, const ddb__index_def *def, uint32_t field,
                                  uint64_t *covers) {
  uint32_t at = 0;
  unsigned index = 0;
  for (const ddb__bound_node *node; (node = operand_next(of, &at, &index));) {
    if (is_leaf(node) && ddb__range_is_equal(node->cond) && is_over(node, def, field)) {
      *covers |= operand_bit(index - 1);
      return node->cond;
    }
  }
  return NULL;
}

/* What else is known of the field: the first leaf that serves, and the other end of its range. */
static void find_range(const operands *of, uint32_t field, ddb__match *match, uint64_t *covers) {
  const ddb__index_def *def = match->index->def;
  uint32_t at = 0;
  unsigned index = 0;
  for (const ddb__bound_node *node; (node = operand_next(of, &at, &index));) {
    bool not_equal = is_leaf(node) && node->cond->op == DDB_OP_NE;
    if (!is_leaf(node) || not_equal || !ddb__range_serves(def->kind, node->cond, false) ||
        !is_over(node, def, field)) {
      continue;
    }
    if (!match->low) {
      match->low = node->cond;
      *covers |= operand_bit(index - 1);
    } else if (!match->high && is_above(match->low) && is_below(node->cond)) {
      match->high = node->cond;
      *covers |= operand_bit(index - 1);
    } else if (!match->high && is_below(match->low) && is_above(node->cond)) {
      match->high = match->low;
      match->low = node->cond;
      *covers |= operand_bit(index - 1);
    }
  }
}

/* The match of an index with the and's leaves, of which at most so many == are taken. False: it
 * serves none of them. */
static bool find_match(const operands *of, const ddb__index *index, uint32_t equals_max,
                       ddb__match *match, uint64_t *covers) {
  const ddb__index_def *def = index->def;
  match->index = index;
  match->equal_count = 0;
  match->negated = false;
  match->skips_nulls = false;
  match->low = match->high = NULL;
  *covers = 0;
  while (match->equal_count < equals_max && match->equal_count < def->field_count) {
    const ddb_cond *leaf = find_equal(of, def, match->equal_count, covers);
    if (!leaf) {
      break;
    }
    match->equals[match->equal_count++] = leaf;
  }
  if (match->equal_count < def->field_count) {
    find_range(of, match->equal_count, match, covers);
  }
  uint32_t served = match->equal_count + (match->low ? 1u : 0u);
  return def->kind == DDB_INDEX_SORTED ? served > 0 : served == def->field_count;
}

/* ---- And, or, not ------------------------------------------------------------------------- */

static ddb_status plan_node(const planner *p, const ddb__bound_node *node, bool negated,
                            uint32_t *out);

/* The steps that an and may choose from, as a list. */
static ddb_status offer_all(const planner *p, const ddb__bound_node *node, bool negated,
                            uint32_t *list) {
  const ddb__root *root = p->source->root;
  const operands of = {p->bound, node->first, NULL};
  ddb_status status = DDB_OK;
  for (uint32_t i = 0; i < root->index_count && !negated && !status; i++) {
    ddb__match match;
    uint64_t covers;
    uint32_t step = DDB__NO_STEP;
    if (find_match(&of, &root->indexes[i], DDB_INDEX_FIELD_COUNT_MAX, &match, &covers)) {
      status = offer(p, &match, covers, &step);
      if (!status) {
        step_at(p, step)->next = *list;
        *list = step;
      }
    }
  }
  unsigned index = 0;
  for (uint32_t i = node->first; i != 0 && !status; i = p->bound->nodes[i].next, index++) {
    const ddb__bound_node *operand = &p->bound->nodes[i];
    uint32_t step = DDB__NO_STEP;
    if (negated || !is_leaf(operand) || is_keyed(operand)) {
      status = plan_node(p, operand, negated, &step);
    }
    if (!status && step != DDB__NO_STEP) {
      step_at(p, step)->covers = operand_bit(index);
      step_at(p, step)->next = *list;
      *list = step;
      if (step_at(p, step)->estimate <= FEW) {
        break;
      }
    }
  }
  return status;
}

static uint32_t take_best(const planner *p, uint32_t *list) {
  uint32_t best = *list;
  uint32_t before = DDB__NO_STEP; /* of the best */
  for (uint32_t last = *list; last != DDB__NO_STEP; last = step_at(p, last)->next) {
    uint32_t next = step_at(p, last)->next;
    if (rows_of(p, next) < rows_of(p, best)) {
      best = next;
      before = last;
    }
  }
  if (best != DDB__NO_STEP) {
    *(before == DDB__NO_STEP ? list : &step_at(p, before)->next) = step_at(p, best)->next;
    step_at(p, best)->next = DDB__NO_STEP;
  }
  return best;
}

/* Worth it: collecting an entry costs about half of what looking at a record does. */
static bool pays(const planner *p, uint64_t best, uint64_t other) {
  uint64_t all = p->source->root->count;
  return best >= INTERSECT_MIN && other <= all / 4 + 1 &&
         other / 2 <= best - best * other / (all + 1);
}

/* Every row: of ands of many operands the last bit stands for several. */
static bool covers_all(const planner *p, const ddb__bound_node *node, uint64_t covers) {
  unsigned count = 0;
  for (uint32_t i = node->first; i != 0; i = p->bound->nodes[i].next) {
    count++;
  }
  return (count < 63 && covers == operand_bit(count) - 1) || DDB__FAULT(PLAN_REST_FORGOTTEN);
}

static ddb_status plan_all(const planner *p, const ddb__bound_node *node, bool negated,
                           uint32_t *out) {
  uint32_t list = DDB__NO_STEP;
  ddb_status status = offer_all(p, node, negated, &list);
  uint32_t best = status ? DDB__NO_STEP : take_best(p, &list);
  if (best == DDB__NO_STEP) {
    return status;
  }
  step_at(p, best)->is_exact &= covers_all(p, node, step_at(p, best)->covers);
  *out = best;
  uint32_t other = take_best(p, &list);
  while (other != DDB__NO_STEP && (step_at(p, other)->covers & ~step_at(p, best)->covers) == 0) {
    other = take_best(p, &list);
  }
  if (other == DDB__NO_STEP || !pays(p, rows_of(p, best), rows_of(p, other))) {
    return DDB_OK;
  }
  ddb__step both = {.kind = DDB__STEP_INTERSECTION,
                    .first = best,
                    .next = DDB__NO_STEP,
                    .estimate = (uint64_t)((double)rows_of(p, best) * (double)rows_of(p, other) /
                                           (double)(p->source->root->count + 1))};
  step_at(p, best)->next = other;
  return step_add(p, &both, out);
}

static ddb_status plan_any(const planner *p, const ddb__bound_node *node, bool negated,
                           uint32_t *out) {
  ddb__step all = {.kind = DDB__STEP_UNION, .first = DDB__NO_STEP, .next = DDB__NO_STEP};
  uint64_t most = p->source->root->count;
  for (uint32_t i = node->first; i != 0; i = p->bound->nodes[i].next) {
    uint32_t step = DDB__NO_STEP;
    ddb_status status = plan_node(p, &p->bound->nodes[i], negated, &step);
    if (status) {
      return status;
    }
    if (step == DDB__NO_STEP) {
      if (DDB__FAULT(PLAN_OR_FORGETS)) {
        continue;
      }
      return DDB_OK;
    }
    uint64_t rows = rows_of(p, step);
    if (rows > most - all.estimate) {
      return DDB_OK; /* a scan is better */
    }
    all.estimate += rows;
    step_at(p, step)->next = all.first;
    all.first = step;
  }
  return step_add(p, &all, out);
}

/* *out stays DDB__NO_STEP when there is nothing better than a scan. */
static ddb_status plan_node(const planner *p, const ddb__bound_node *node, bool negated,
                            uint32_t *out) {
  switch ((ddb__bound_kind)node->kind) {
  case DDB__BOUND_CONST:
    if (node->flip == negated) {
      ddb__step none = {
          .kind = DDB__STEP_NOTHING, .is_exact = true, .first = DDB__NO_STEP, .next = DDB__NO_STEP};
      return step_add(p, &none, out);
    }
    return DDB_OK;
  case DDB__BOUND_NOT:
    negated = DDB__FAULT(PLAN_NOT_IS_OR) ? negated : !negated;
    return plan_node(p, &p->bound->nodes[node->first], negated, out);
  case DDB__BOUND_AND:
    return negated ? plan_any(p, node, true, out) : plan_all(p, node, false, out);
  case DDB__BOUND_OR:
    return negated ? plan_all(p, node, true, out) : plan_any(p, node, false, out);
  case DDB__BOUND_EXPR:
  case DDB__BOUND_NULL:
  case DDB__BOUND_NUMBER:
  case DDB__BOUND_TEXT:
  case DDB__BOUND_PREFIX:
  case DDB__BOUND_FEW:
  case DDB__BOUND_LEAF:
    return is_leaf(node) ? plan_leaf(p, node, negated, out) : DDB_OK;
  }
  return DDB_OK;
}

/* ---- Order -------------------------------------------------------------------------------- */

/* What a row costs that is looked at out of order, against one of a scan. */
#define LOOK_COST 4.0

static bool one_direction(const ddb__plan_order *order) {
  for (size_t i = 0; i < order->key_count; i++) {
    const ddb__order_key *key = &order->keys[i];
    ddb__path path;
    if (!ddb__term_path(&key->term, &path) || key->descending != order->keys[0].descending ||
        key->nulls_last != key->descending) {
      return false;
    }
  }
  return order->key_count > 0;
}

/* Does the index give this order, when its leading fields are fixed by the and's leaves? Equal
 * values come in order of insertion, so that no field may be left over. */
static bool match_order(const operands *of, const ddb__index *index, const ddb__plan_order *order,
                        ddb__match *match, uint64_t *covers) {
  const ddb__index_def *def = index->def;
  if (def->kind != DDB_INDEX_SORTED || order->key_count > def->field_count) {
    return false;
  }
  uint32_t fixed = def->field_count - (uint32_t)order->key_count;
  for (uint32_t i = fixed; i < def->field_count; i++) {
    ddb__path path;
    if (!ddb__term_path(&order->keys[i - fixed].term, &path) ||
        !ddb__path_equal(&path, &def->paths[i])) {
      return false;
    }
  }
  (void)find_match(of, index, fixed, match, covers);
  if (match->low && ddb__range_count(match) != 1) {
    match->low = NULL;
    *covers = 0;
  }
  return match->equal_count == fixed;
}

/* Is it cheaper to walk the index than to sort what matches? rows: in the range of the walk; matched:
 * about as many of them as match. */
static bool walk_pays(ddb__plan *plan, const ddb__plan_order *order, double rows, double matched) {
  double all = (double)plan->source.root->count;
  double wanted = (double)order->keep < matched ? (double)order->keep : matched;
  double visits = matched > 0 ? rows * wanted / matched : rows;
  double find = matched < all / 4 ? LOOK_COST * matched : all;
  double sort = matched * ((double)order->keep < all / 8 ? 1 : log2(matched + 2));
  plan->visits = (uint64_t)visits;
  plan->visits_max = (uint64_t)(2 * visits + all / 8) + 64;
  return LOOK_COST * visits + 8 <= find + sort + 8;
}

/* Sets is_ordered, when there is an index to walk and that is worth while. */
static void plan_order(ddb__plan *plan, const ddb__plan_order *order) {
  const ddb__root *root = plan->source.root;
  const ddb__bound_node *top = &plan->bound.nodes[0];
  operands of = {&plan->bound, top->kind == DDB__BOUND_AND ? top->first : 0,
                 is_leaf(top) ? top : NULL};
  bool none = top->kind == DDB__BOUND_CONST;
  double known = plan->root != DDB__NO_STEP ? (double)plan->steps.items[plan->root].estimate
                 : none                     ? (double)root->count
                                            : (double)root->count / 3;
  for (uint32_t i = 0; i < root->index_count && one_direction(order) && !plan->is_ordered; i++) {
    uint64_t covers;
    if (!match_order(&of, &root->indexes[i], order, &plan->order, &covers)) {
      continue;
    }
    plan->order.skips_nulls = order->skips_nulls && !plan->order.low;
    plan->order_rows = ddb__range_entries(&plan->order, &root->rows).count;
    double rows = (double)plan->order_rows;
    plan->is_ordered = walk_pays(plan, order, rows, known < rows ? known : rows);
    plan->descending = order->keys[0].descending && !DDB__FAULT(WALK_WRONG_WAY);
  }
}

/* ---- Plans -------------------------------------------------------------------------------- */

static void steps_init(ddb__plan *plan) {
  plan->steps.items = plan->steps.inline_items;
  plan->steps.count = 0;
  plan->steps.capacity = DDB__STEP_INLINE;
  plan->root = DDB__NO_STEP;
}

static ddb_status choose(ddb__plan *plan, ddb_error *err) {
  const planner p = {&plan->source, &plan->bound, &plan->steps, err};
  return plan_node(&p, &plan->bound.nodes[0], false, &plan->root);
}

/* Whether there are candidates, and of which step. order may be NULL. */
static ddb_status choose_candidates(ddb__plan *plan, bool count, const ddb__plan_order *order,
                                    ddb_error *err) {
  ddb_status status = choose(plan, err);
  if (!status && order) {
    plan_order(plan, order);
  }
  if (status || plan->root == DDB__NO_STEP || plan->is_ordered) {
    return status;
  }
  const ddb__step *root = &plan->steps.items[plan->root];
  if (count && root->is_exact) {
    plan->is_counted = true;
    plan->matched = root->estimate;
    return DDB_OK;
  }
  /* Small tables: look-ups cost less than to find out whether they do. */
  if (root->estimate > plan->source.root->count / 4 + 8) {
    return DDB_OK;
  }
  plan->by_candidates = true;
  return DDB_OK;
}

/* The key that the condition asks for, when that is all it does; else NULL. */
static const ddb_value *point_key(const ddb_table *table, const ddb_cond *where) {
  if (!where || where->kind != DDB__COND_COMPARE || where->op != DDB_OP_EQ || where->leaf.expr) {
    return NULL;
  }
  const ddb__schema *schema = ddb__shapes_schema(ddb__table_shapes(table));
  const ddb_value *key = &where->leaf.values[0];
  bool is_key = ddb__text_equal(where->leaf.field, schema->primary_key) && ddb__value_hashable(key);
  return is_key ? key : NULL;
}

bool ddb__plan_point(const ddb__source *source, const ddb_cond *where, uint64_t *seq,
                     const ddb_record **record) {
  const ddb_value *key = point_key(source->table, where);
  if (key) {
    *record = ddb__table_find(source->table, source->root, key, seq);
  }
  return key != NULL;
}

void ddb_table_expect(ddb_table *table, const ddb_cond *where, bool again) {
  const ddb_value *key = point_key(table, where);
  if (key) {
    ddb__table_expect(table, key, again);
  }
}

/* Up to the choice: what follows may take long. */
static ddb_status begin(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                        bool count, const ddb__plan_order *order, ddb_error *err) {
  const ddb__shapes *shapes = ddb__table_shapes(source->table);
  plan->source = *source;
  plan->where = where;
  plan->by_candidates = false;
  plan->is_counted = false;
  plan->is_ordered = false;
  plan->is_firsts = false;
  steps_init(plan);
  plan->found = NULL;
  plan->found_count = 0;
  plan->wanted_count = 0;
  plan->by_batch = false;
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
  if (!status && (where || order)) {
    status = choose_candidates(plan, count, order, err);
    if (status) {
      ddb__plan_fini(plan);
    }
  }
  return status;
}

static ddb_status finish(ddb__plan *plan, ddb_error *err) {
  ddb_status status = ddb__candidates_collect(plan, err);
  if (status) {
    ddb__plan_fini(plan);
  }
  return status;
}

ddb_status ddb__plan_init(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                          ddb_error *err) {
  ddb_status status = begin(plan, source, where, false, NULL, err);
  return status ? status : finish(plan, err);
}

ddb_status ddb__plan_init_ordered(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                                  const ddb__plan_order *order, ddb_error *err) {
  ddb_status status = begin(plan, source, where, false, order, err);
  return status ? status : finish(plan, err);
}

ddb_status ddb__plan_init_count(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                                ddb_error *err) {
  ddb_status status = begin(plan, source, where, true, NULL, err);
  return status ? status : finish(plan, err);
}

/* What takes microseconds: less than it takes to hand an interpreter over to another thread. */
#define FEW_ROWS     256u
#define SMALL_WEIGHT 64u

/* Is the condition too much to plan, or its records to look at, even when they are few? */
static bool is_heavy(const ddb_query *query, const ddb__root *root) {
  return root->count > FEW_ROWS && query->where && ddb_cond_weight(query->where) > SMALL_WEIGHT;
}

/* Entries that are read to find a step's rows: of two of which few rows are in both, all. */
static uint64_t entries_of(const ddb__steps *steps, uint32_t at) {
  const ddb__step *step = &steps->items[at];
  if (step->first == DDB__NO_STEP) {
    return step->estimate;
  }
  uint64_t entries = 0;
  for (uint32_t i = step->first; i != DDB__NO_STEP; i = steps->items[i].next) {
    entries += entries_of(steps, i);
  }
  return entries;
}

static bool is_long(const ddb__plan *plan, const ddb_query *query) {
  uint64_t all = plan->source.root->count;
  if (plan->by_candidates) {
    return plan->root != DDB__NO_STEP && entries_of(&plan->steps, plan->root) > FEW_ROWS;
  }
  bool sorts = query->order_count > 0 && !plan->is_ordered;
  bool first = !query->where && !sorts && !query->distinct && query->limit <= FEW_ROWS &&
               query->offset <= FEW_ROWS;
  return all > FEW_ROWS && !first;
}

ddb_status ddb__plan_init_query(ddb__plan *plan, const ddb__source *source, const ddb_query *query,
                                const ddb__plan_order *order, ddb_error *err) {
  bool heavy = query->before_long && is_heavy(query, source->root);
  if (heavy) {
    query->before_long(query->context);
  }
  ddb_status status = begin(plan, source, query->where, false, order, err);
  if (!status && !heavy && query->before_long && is_long(plan, query)) {
    query->before_long(query->context);
  }
  return status ? status : finish(plan, err);
}

/* By the fields of one index, or as the plan's own step has it. */
static bool told_by(const ddb__plan *plan, const ddb__index *index, ddb__match *match) {
  const ddb__bound_node *top = &plan->bound.nodes[0];
  bool is_and = top->kind == DDB__BOUND_AND;
  const operands of = {&plan->bound, is_and ? top->first : 0, is_leaf(top) ? top : NULL};
  const planner p = {&plan->source, &plan->bound, NULL, NULL};
  uint64_t covers;
  if ((is_and || is_leaf(top)) &&
      find_match(&of, index, DDB_INDEX_FIELD_COUNT_MAX, match, &covers) &&
      (is_and ? covers_all(&p, top, covers) : covers == 1) && ddb__range_is_exact(match)) {
    return true;
  }
  const ddb__step *step = plan->root != DDB__NO_STEP ? &plan->steps.items[plan->root] : NULL;
  bool same = step && step->kind == DDB__STEP_MATCH && step->is_exact && step->match.index == index;
  if (same) {
    *match = step->match;
  }
  return same;
}

bool ddb__plan_told_by(const ddb__plan *plan, const ddb__index *index, ddb__match *match) {
  const ddb__bound_node *top = &plan->bound.nodes[0];
  bool is_point = plan->by_candidates && plan->root == DDB__NO_STEP;
  if (index->def->kind != DDB_INDEX_SORTED || is_point) {
    return false;
  }
  if (top->kind == DDB__BOUND_CONST) {
    *match = (ddb__match){.index = index};
    return top->flip;
  }
  return told_by(plan, index, match);
}

void ddb__plan_fini(ddb__plan *plan) {
  ddb__free(&ddb__heap_process, (void *)(uintptr_t)plan->found,
            (plan->found_count + 1) * sizeof *plan->found);
  ddb__seqs_fini(&plan->candidates);
  steps_fini(&plan->steps);
  ddb__bound_fini(&plan->bound);
}
