/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr_bound.c - binding an expression to a table, and evaluating it on a record.
 *
 *   | head | nodes[size] | ddb_value steps[size] |
 *
 * The steps of a path lie together, in their order. Cost: linear in the expression for each record;
 * a field costs a load of the record's shape, its tag and its payload.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/bound.h"
#include "query/expr.h"

/* ---- Binding ------------------------------------------------------------------------------ */

typedef struct binder {
  const ddb__shapes *shapes;
  ddb__expr_bound *bound;
  ddb_value *steps; /* the next free */
  ddb_error *err;
} binder;

/* A chain of items that starts at a field: one node. *is_path: is it one? */
static ddb_status bind_path(binder *b, const ddb_expr *expr, ddb__expr_node *node, bool *is_path) {
  uint32_t count = 0;
  const ddb_expr *root = expr;
  for (; root->kind == DDB__EXPR_ITEM; root = root->operands[0]) {
    count++;
  }
  *is_path = root->kind == DDB__EXPR_FIELD;
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
  return ddb__bound_field(b->shapes, root->name, &node->path.field_id, b->err);
}

/* Recurses over operands: X1. */
static ddb_status bind_node(binder *b, const ddb_expr *expr, uint32_t *index) {
  *index = b->bound->count++;
  ddb__expr_node *node = &b->bound->nodes[*index];
  *node = (ddb__expr_node){.kind = expr->kind, .value = expr->value};
  bool is_path;
  ddb_status status = bind_path(b, expr, node, &is_path);
  return status || is_path || !expr->operands[0] ? status
                                                 : bind_node(b, expr->operands[0], &node->first);
}

ddb_status ddb__expr_bind(const ddb_expr *expr, const ddb__shapes *shapes, ddb__expr_bound **out,
                          ddb_error *err) {
  size_t count = expr->size;
  size_t steps_at = sizeof(ddb__expr_bound) + count * sizeof(ddb__expr_node);
  size_t bytes = steps_at + count * sizeof(ddb_value);
  ddb__expr_bound *bound = ddb__alloc(&ddb__heap_process, bytes);
  if (!bound) {
    return ddb__fail_memory(err, bytes);
  }
  bound->bytes = bytes;
  bound->count = 0;
  binder b = {shapes, bound, (ddb_value *)(void *)((char *)bound + steps_at), err};
  uint32_t root;
  ddb_status status = bind_node(&b, expr, &root);
  if (status) {
    ddb__expr_unbind(bound);
    return status;
  }
  *out = bound;
  return DDB_OK;
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
  }
  return ddb_null();
}

ddb_value ddb__expr_eval(ddb__expr_bound *bound, const ddb_record *record) {
  return eval_node(bound, &bound->nodes[0], record);
}
