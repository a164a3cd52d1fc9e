/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr_bound.c - binding an expression to a table, and evaluating it on a record.
 *
 *   | head | nodes[size] | ddb_value steps[size] | space, results (with arithmetic) |
 *
 * The steps of a path lie together, in their order. A result of variable size may lie where the
 * left operand's does: that one has been read by then. Cost: linear in the expression for each record;
 * a field costs a load of the record's shape, its tag and its payload.
 */
#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/expr.h"
#include "store/text.h"

/* ---- Names -------------------------------------------------------------------------------- */

static ddb_str name_of_group(const ddb_group_field *group) {
  return group->name.data ? group->name : group->field;
}

static bool is_of_field(const ddb_group_field *group, ddb_str name) {
  ddb_str field = group->expr ? group->expr->name : group->field;
  return (!group->expr || ddb__expr_is_field(group->expr)) && ddb__text_equal(field, name);
}

ddb_status ddb__scope_field(const ddb__scope *scope, ddb_str name, uint32_t *field_id,
                            ddb_error *err) {
  *field_id = ddb__shapes_field_find(scope->shapes, name);
  for (size_t i = 0; i < scope->group_count && *field_id == DDB__NO_FIELD; i++) {
    if (is_of_field(&scope->groups[i], name)) {
      *field_id = ddb__shapes_field_find(scope->shapes, name_of_group(&scope->groups[i]));
    }
  }
  return *field_id == DDB__NO_FIELD ? ddb__shapes_field_check(scope->shapes, name, err) : DDB_OK;
}

/* Are all its fields there? Recurses over operands: X1. */
static bool has_fields(const ddb__scope *scope, const ddb_expr *expr) {
  if (expr->kind == DDB__EXPR_FIELD) {
    return ddb__shapes_field_find(scope->shapes, expr->name) != DDB__NO_FIELD;
  }
  return (!expr->operands[0] || has_fields(scope, expr->operands[0])) &&
         (!expr->operands[1] || has_fields(scope, expr->operands[1]));
}

/* The group that is of this very expression, which the registry does not have the fields for; NULL:
 * none. */
static const ddb_group_field *group_of(const ddb__scope *scope, const ddb_expr *expr) {
  for (size_t i = 0; i < scope->group_count; i++) {
    const ddb_group_field *group = &scope->groups[i];
    if (group->expr && ddb__expr_equal(group->expr, expr)) {
      return has_fields(scope, expr) && !DDB__FAULT(GROUP_HIDES_NAME) ? NULL : group;
    }
  }
  return NULL;
}

/* ---- Binding ------------------------------------------------------------------------------ */

typedef struct binder {
  const ddb__scope *scope;
  ddb__expr_bound *bound;
  ddb_value *steps; /* the next free */
  char *results;
  ddb_error *err;
} binder;

/* A chain of items that starts at a field or a group: one node. *is_path: is it one? */
static ddb_status bind_path(binder *b, const ddb_expr *expr, ddb__expr_node *node, bool *is_path) {
  uint32_t count = 0;
  const ddb_expr *root = expr;
  const ddb_group_field *group = group_of(b->scope, root);
  for (; !group && root->kind == DDB__EXPR_ITEM; group = group_of(b->scope, root)) {
    root = root->operands[0];
    count++;
  }
  *is_path = group || root->kind == DDB__EXPR_FIELD;
  if (!*is_path) {
    return DDB_OK;
  }
  for (uint32_t i = count; i-- > 0; expr = expr->operands[0]) {
    b->steps[i] = expr->value;
  }
  node->kind = DDB__EXPR_FIELD;
  node->at = DDB__NO_FIELD;
  node->path.step_count = count;
  node->path.steps = b->steps;
  b->steps += count;
  ddb_str name = group ? name_of_group(group) : root->name;
  return ddb__scope_field(b->scope, name, &node->path.field_id, b->err);
}

/* Results of variable size that are needed at one time. Recurses over operands: X1. */
static size_t count_results(const ddb_expr *expr) {
  size_t first = expr->operands[0] ? count_results(expr->operands[0]) : 0;
  if (expr->kind != DDB__EXPR_ARITH) {
    return first;
  }
  size_t second = 1 + (expr->operands[1] ? count_results(expr->operands[1]) : 0);
  return first > second ? first : second;
}

/* result: the first of the results that this node may use. Recurses over operands: X1. */
static ddb_status bind_node(binder *b, const ddb_expr *expr, size_t result, uint32_t *index) {
  *index = b->bound->count++;
  ddb__expr_node *node = &b->bound->nodes[*index];
  *node = (ddb__expr_node){.kind = expr->kind, .op = expr->op, .value = expr->value};
  bool is_path;
  ddb_status status = bind_path(b, expr, node, &is_path);
  if (status || is_path) {
    return status;
  }
  if (expr->kind == DDB__EXPR_ARITH) {
    node->result = b->results + result * DDB__ARITH_RESULT_SIZE;
  }
  status = expr->operands[0] ? bind_node(b, expr->operands[0], result, &node->first) : DDB_OK;
  if (!status && expr->operands[1]) {
    status = bind_node(b, expr->operands[1], result + 1, &node->second);
  }
  return status;
}

ddb_status ddb__expr_bind_within(const ddb_expr *expr, const ddb__scope *scope,
                                 ddb__expr_bound **out, ddb_error *err) {
  size_t count = expr->size;
  size_t result_count = count_results(expr);
  size_t steps_at = sizeof(ddb__expr_bound) + count * sizeof(ddb__expr_node);
  size_t space_at = steps_at + count * sizeof(ddb_value);
  size_t results_at = space_at + (result_count > 0 ? sizeof(ddb__arith_space) : 0);
  size_t bytes = results_at + result_count * DDB__ARITH_RESULT_SIZE;
  char *memory = ddb__alloc(&ddb__heap_process, bytes);
  if (!memory) {
    return ddb__fail_memory(err, bytes);
  }
  ddb__expr_bound *bound = (ddb__expr_bound *)(void *)memory;
  bound->bytes = bytes;
  bound->count = 0;
  bound->space = result_count > 0 ? (ddb__arith_space *)(void *)(memory + space_at) : NULL;
  binder b = {scope, bound, (ddb_value *)(void *)(memory + steps_at), memory + results_at, err};
  uint32_t root;
  ddb_status status = bind_node(&b, expr, 0, &root);
  if (status) {
    ddb__expr_unbind(bound);
    return status;
  }
  *out = bound;
  return DDB_OK;
}

ddb_status ddb__expr_bind(const ddb_expr *expr, const ddb__shapes *shapes, ddb__expr_bound **out,
                          ddb_error *err) {
  const ddb__scope scope = {.shapes = shapes};
  return ddb__expr_bind_within(expr, &scope, out, err);
}

void ddb__expr_unbind(ddb__expr_bound *bound) {
  ddb__free(&ddb__heap_process, bound, bound ? bound->bytes : 0);
}

const ddb__path *ddb__expr_path(const ddb__expr_bound *bound) {
  return bound->nodes[0].kind == DDB__EXPR_FIELD ? &bound->nodes[0].path : NULL;
}

/* ---- Evaluation --------------------------------------------------------------------------- */

static ddb_value eval_path(ddb__expr_node *node, const ddb_record *record) {
  if (record->shape != node->shape) {
    node->shape = record->shape;
    node->at = ddb__shape_find(record->shape, node->path.field_id);
  }
  if (node->at == DDB__NO_FIELD) {
    return (ddb_value){.kind = DDB_MISSING};
  }
  return ddb__path_walk(&node->path, ddb__record_at(record, node->at));
}

static int64_t count_code_points(const ddb_value *text) {
  const char *bytes = text->as.data;
  int64_t count = 0;
  for (uint32_t i = 0; i < text->size; i++) {
    count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
  }
  return count;
}

static ddb_value length_of(const ddb_value *value) {
  switch (value->kind) {
  case DDB_STR_KIND:
    return ddb_int(count_code_points(value));
  case DDB_BYTES:
    return ddb_int(value->size);
  case DDB_DICT:
    return ddb_int((int64_t)ddb_value_item_count(value) / 2);
  case DDB_LIST:
  case DDB_TUPLE:
  case DDB_SET:
  case DDB_FROZENSET:
    return ddb_int((int64_t)ddb_value_item_count(value));
  default:
    return ddb_null();
  }
}

static ddb_value eval_node(ddb__expr_bound *bound, ddb__expr_node *node, const ddb_record *record);

static ddb_value eval_arith(ddb__expr_bound *bound, const ddb__expr_node *node,
                            const ddb_record *record) {
  ddb_value left = eval_node(bound, &bound->nodes[node->first], record);
  ddb_value right = left;
  if (node->op != DDB_ARITH_NEG) {
    right = eval_node(bound, &bound->nodes[node->second], record);
  }
  return ddb__arith((ddb_arith)node->op, &left, &right, bound->space, node->result);
}

static ddb_value eval_node(ddb__expr_bound *bound, ddb__expr_node *node, const ddb_record *record) {
  switch ((ddb__expr_kind)node->kind) {
  case DDB__EXPR_FIELD:
    return eval_path(node, record);
  case DDB__EXPR_VALUE:
    return node->value;
  case DDB__EXPR_ITEM: {
    ddb_value container = eval_node(bound, &bound->nodes[node->first], record);
    return ddb__path_step(&container, &node->value);
  }
  case DDB__EXPR_LEN: {
    ddb_value of = eval_node(bound, &bound->nodes[node->first], record);
    return length_of(&of);
  }
  case DDB__EXPR_ARITH:
    return eval_arith(bound, node, record);
  }
  return ddb_null();
}

ddb_value ddb__expr_eval(ddb__expr_bound *bound, const ddb_record *record) {
  return eval_node(bound, &bound->nodes[0], record);
}
