/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bound.c - binding a condition to a table; eval.c evaluates it.
 *
 * Comparisons with int, float and bool literals become one range of int64 and one of doubles that
 * hold exactly the values which the comparison is true for, so that one loop does for all of them
 * and no int is rounded on its way to a comparison with a float. != is == with the answer flipped.
 * Cost: linear in the condition; a condition of up to DDB__BOUND_INLINE parts allocates nothing.
 */
#include "query/bound.h"

#include <math.h>

#include "base/heap.h"
#include "base/status.h"
#include "store/text.h"

/* ---- Ranges of numbers -------------------------------------------------------------------- */

#define TWO_63 9223372036854775808.0

/* Sets int_low and int_width. */
static void int_range(ddb__bound_node *node, bool empty, int64_t low, int64_t high) {
  empty = empty || low > high;
  node->int_low = empty ? INT64_MIN : low;
  node->int_width = empty ? UINT64_MAX : (uint64_t)high - (uint64_t)low;
  node->int_flip = node->flip != empty;
}

/* The first int above a bound, or on it when it belongs to the range. False: there is none. */
static bool int_above(const ddb_value *bound, bool included, int64_t *out) {
  if (bound->kind != DDB_FLOAT) {
    int64_t value = bound->kind == DDB_BOOL ? bound->as.boolean : bound->as.integer;
    *out = included || value == INT64_MAX ? value : value + 1;
    return included || value != INT64_MAX;
  }
  double real = included ? ceil(bound->as.real) : floor(bound->as.real);
  if (real >= TWO_63) {
    return false;
  }
  *out = real < -TWO_63 ? INT64_MIN : (int64_t)real + (included ? 0 : 1);
  return true;
}

static bool int_below(const ddb_value *bound, bool included, int64_t *out) {
  if (bound->kind != DDB_FLOAT) {
    int64_t value = bound->kind == DDB_BOOL ? bound->as.boolean : bound->as.integer;
    *out = included || value == INT64_MIN ? value : value - 1;
    return included || value != INT64_MIN;
  }
  double real = included ? floor(bound->as.real) : ceil(bound->as.real);
  if (real < -TWO_63 || (real == -TWO_63 && !included)) {
    return false;
  }
  *out = real >= TWO_63 ? INT64_MAX : (int64_t)real - (included ? 0 : 1);
  return true;
}

/* The sign of `real` - `integer`, exactly; `real` is the double nearest to `integer`. */
static int compare_nearest(double real, int64_t integer) {
  if (real >= TWO_63) {
    return 1;
  }
  int64_t back = (int64_t)real;
  return back < integer ? -1 : back > integer ? 1 : 0;
}

/* The first double above a bound, or on it when it belongs to the range; NaN: there is none. */
static double real_above(const ddb_value *bound, bool included) {
  double real = bound->as.real;
  int sign = 0;
  if (bound->kind != DDB_FLOAT) {
    int64_t value = bound->kind == DDB_BOOL ? bound->as.boolean : bound->as.integer;
    real = (double)value;
    sign = compare_nearest(real, value);
  }
  if (sign > 0 || (sign == 0 && included)) {
    return real;
  }
  return real == (double)INFINITY ? (double)NAN : nextafter(real, (double)INFINITY);
}

static double real_below(const ddb_value *bound, bool included) {
  double real = bound->as.real;
  int sign = 0;
  if (bound->kind != DDB_FLOAT) {
    int64_t value = bound->kind == DDB_BOOL ? bound->as.boolean : bound->as.integer;
    real = (double)value;
    sign = compare_nearest(real, value);
  }
  if (sign < 0 || (sign == 0 && included)) {
    return real;
  }
  return real == -(double)INFINITY ? (double)NAN : nextafter(real, -(double)INFINITY);
}

/* NULL bounds are open. */
static void set_ranges(ddb__bound_node *node, const ddb_value *low, bool low_included,
                       const ddb_value *high, bool high_included) {
  int64_t first = INT64_MIN;
  int64_t last = INT64_MAX;
  bool some = !low || int_above(low, low_included, &first);
  some = (!high || int_below(high, high_included, &last)) && some;
  int_range(node, !some, first, last);
  node->real_low = low ? real_above(low, low_included) : -(double)INFINITY;
  node->real_high = high ? real_below(high, high_included) : (double)INFINITY;
}

static bool is_ranged(const ddb_value *value) {
  return value->kind == DDB_INT || value->kind == DDB_FLOAT || value->kind == DDB_BOOL;
}

/* Turns the leaf into a NUMBER (a CONST for NaN) when its literals and its operator allow it. */
static void bind_number(ddb__bound_node *node, const ddb_cond *leaf) {
  const ddb_value *low = &leaf->leaf.values[0];
  const ddb_value *high = &leaf->leaf.values[leaf->count - 1];
  if (!is_ranged(low) || !is_ranged(high) ||
      (leaf->kind == DDB__COND_COMPARE && leaf->op > DDB_OP_GE)) {
    return;
  }
  node->flip = leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_NE;
  if (ddb__value_is_nan(low) || ddb__value_is_nan(high)) {
    node->kind = DDB__BOUND_CONST;
    return;
  }
  node->kind = DDB__BOUND_NUMBER;
  bool between = leaf->kind == DDB__COND_BETWEEN;
  bool above = leaf->op == DDB_OP_GT || leaf->op == DDB_OP_GE;
  bool below = leaf->op == DDB_OP_LT || leaf->op == DDB_OP_LE;
  bool exact = between || leaf->op == DDB_OP_EQ || leaf->op == DDB_OP_NE;
  set_ranges(node, above || exact ? low : NULL, exact || leaf->op == DDB_OP_GE,
             below || exact ? high : NULL, exact || leaf->op == DDB_OP_LE);
}

/* ---- Leaves ------------------------------------------------------------------------------- */

ddb_status ddb__bound_field(const ddb__shapes *shapes, ddb_str name, uint32_t *field_id,
                            ddb_error *err) {
  const ddb__scope scope = {.shapes = shapes};
  return ddb__scope_field(&scope, name, field_id, err);
}

/* Are the values of an in few, and all ints or all strs? */
static bool are_few(const ddb_cond *leaf) {
  bool few = leaf->count > 0 && leaf->count <= DDB__BOUND_FEW_MAX;
  for (uint32_t i = 0; few && i < leaf->count; i++) {
    uint8_t kind = leaf->leaf.values[i].kind;
    few = kind == leaf->leaf.values[0].kind && (kind == DDB_INT || kind == DDB_STR_KIND);
  }
  return few;
}

/* The expressions belong to the node as soon as they are there: ddb__bound_fini sees to them. */
static ddb_status bind_expr(ddb__bound_node *node, const ddb_cond *leaf, const ddb__scope *scope,
                            ddb_error *err) {
  node->kind = DDB__BOUND_EXPR;
  node->field_id = DDB__NO_FIELD;
  ddb_status status = ddb__expr_bind_within(leaf->leaf.expr, scope, &node->left, err);
  return status || !leaf->leaf.right
             ? status
             : ddb__expr_bind_within(leaf->leaf.right, scope, &node->right, err);
}

static ddb_status bind_leaf(ddb__bound_node *node, const ddb_cond *leaf, const ddb__scope *scope,
                            ddb_error *err) {
  node->cond = leaf;
  if (leaf->leaf.expr) {
    return bind_expr(node, leaf, scope, err);
  }
  ddb_status status = ddb__scope_field(scope, leaf->leaf.field, &node->field_id, err);
  if (status) {
    return status;
  }
  if (node->field_id == DDB__NO_FIELD) {
    ddb_value null = ddb_null();
    node->kind = DDB__BOUND_CONST;
    node->flip = ddb__bound_leaf_matches(leaf, &null);
    return DDB_OK;
  }
  node->kind = DDB__BOUND_LEAF;
  node->is_key = ddb__text_equal(leaf->leaf.field, ddb__shapes_schema(scope->shapes)->primary_key);
  if (leaf->kind == DDB__COND_NULL) {
    node->kind = DDB__BOUND_NULL;
  } else if (leaf->kind == DDB__COND_COMPARE && leaf->op <= DDB_OP_NE &&
             leaf->leaf.values[0].kind == DDB_STR_KIND) {
    node->kind = DDB__BOUND_TEXT;
    node->flip = leaf->op == DDB_OP_NE;
  } else if (leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_STARTSWITH &&
             leaf->leaf.values[0].kind == DDB_STR_KIND) {
    node->kind = DDB__BOUND_PREFIX;
  } else if (leaf->kind == DDB__COND_LIKE && !leaf->leaf.pattern->folded &&
             leaf->leaf.pattern->is_exact) {
    node->kind = DDB__BOUND_TEXT;
  } else if (leaf->kind == DDB__COND_LIKE && !leaf->leaf.pattern->folded &&
             leaf->leaf.pattern->is_prefix) {
    node->kind = DDB__BOUND_PREFIX;
  } else if (leaf->kind == DDB__COND_IN && are_few(leaf)) {
    node->kind = DDB__BOUND_FEW;
  } else if (leaf->kind == DDB__COND_COMPARE || leaf->kind == DDB__COND_BETWEEN) {
    bind_number(node, leaf);
  }
  return DDB_OK;
}

bool ddb__bound_path(const ddb__bound_node *node, ddb__path *out) {
  if (!node->cond || node->right) {
    return false;
  }
  const ddb__path *path = node->kind == DDB__BOUND_EXPR ? ddb__expr_path(node->left) : NULL;
  *out = path ? *path : (ddb__path){.field_id = node->field_id};
  return path || node->kind != DDB__BOUND_EXPR;
}

/* ---- The tree ----------------------------------------------------------------------------- */

static ddb_status bind_node(ddb__bound *bound, const ddb_cond *cond, const ddb__scope *scope,
                            uint32_t *index, ddb_error *err);

/* Binds the operands in two lists, so that those that cost little narrow the mask first. */
static ddb_status bind_operands(ddb__bound *bound, ddb__bound_node *inner, const ddb_cond *cond,
                                const ddb__scope *scope, ddb_error *err) {
  uint32_t heads[2] = {0, 0};
  uint32_t *tails[2] = {&heads[0], &heads[1]};
  ddb__cond_walk walk;
  ddb__cond_walk_init(&walk, cond);
  const ddb_cond *operand;
  ddb_status status;
  while (!(status = ddb__cond_walk_next(&walk, &operand, err)) && operand) {
    uint32_t index = 0;
    status = bind_node(bound, operand, scope, &index, err);
    if (status) {
      break;
    }
    ddb__bound_node *node = &bound->nodes[index];
    int list = node->kind <= DDB__BOUND_NUMBER ? 0 : 1;
    *tails[list] = index;
    tails[list] = &node->next;
  }
  ddb__cond_walk_fini(&walk);
  *tails[0] = heads[1];
  inner->first = heads[0];
  return status;
}

static ddb_status bind_node(ddb__bound *bound, const ddb_cond *cond, const ddb__scope *scope,
                            uint32_t *index, ddb_error *err) {
  *index = (uint32_t)bound->count;
  ddb__bound_node *node = &bound->nodes[bound->count++];
  memset(node, 0, sizeof *node);
  if (!cond || (ddb__cond_is_inner(cond) && cond->count == 0)) {
    node->kind = DDB__BOUND_CONST;
    node->flip = !cond || cond->kind == DDB__COND_AND;
    return DDB_OK;
  }
  if (!ddb__cond_is_inner(cond)) {
    return bind_leaf(node, cond, scope, err);
  }
  node->kind = cond->kind == DDB__COND_AND  ? DDB__BOUND_AND
               : cond->kind == DDB__COND_OR ? DDB__BOUND_OR
                                            : DDB__BOUND_NOT;
  return bind_operands(bound, node, cond, scope, err);
}

ddb_status ddb__bound_init_within(ddb__bound *bound, const ddb_cond *cond, const ddb__scope *scope,
                                  ddb_error *err) {
  bound->nodes = bound->inline_nodes;
  bound->count = 0;
  bound->failure = DDB_OK;
  bound->capacity = cond ? cond->size : 1;
  if (bound->capacity > DDB__BOUND_INLINE) {
    size_t bytes = bound->capacity * sizeof *bound->nodes;
    bound->nodes = ddb__alloc(&ddb__heap_process, bytes);
    if (!bound->nodes) {
      return ddb__fail_memory(err, bytes);
    }
  }
  uint32_t root;
  ddb_status status = bind_node(bound, cond, scope, &root, err);
  if (status) {
    ddb__bound_fini(bound);
  }
  return status;
}

ddb_status ddb__bound_init(ddb__bound *bound, const ddb_cond *cond, const ddb__shapes *shapes,
                           ddb_error *err) {
  const ddb__scope scope = {.shapes = shapes};
  return ddb__bound_init_within(bound, cond, &scope, err);
}

void ddb__bound_fini(ddb__bound *bound) {
  for (size_t i = 0; i < bound->count; i++) {
    if (bound->nodes[i].kind == DDB__BOUND_EXPR) {
      ddb__expr_unbind(bound->nodes[i].left);
      ddb__expr_unbind(bound->nodes[i].right);
    }
  }
  bound->count = 0;
  if (bound->nodes != bound->inline_nodes) {
    ddb__free(&ddb__heap_process, bound->nodes, bound->capacity * sizeof *bound->nodes);
  }
  bound->nodes = bound->inline_nodes;
}

ddb_status ddb__bound_status(const ddb__bound *bound, ddb_error *err) {
  switch (bound->failure) {
  case DDB_OK:
    return DDB_OK;
  case DDB_ERR_NOMEM:
    return ddb__fail(err, DDB_ERR_NOMEM, "out of memory in a search by a regex");
  default:
    return ddb__fail(
        err, bound->failure,
        "a search by a regex was given up: it needs too many steps or too much memory");
  }
}
