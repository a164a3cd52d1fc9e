/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_push.c - see join_push.h. A part is pushed as it is where its names are those of the side;
 * where the join gave the fields other names, it is made again with the side's, which only conditions
 * on plain fields without patterns can be.
 */
#include "query/join_push.h"

#include "base/status.h"
#include "base/testing.h"
#include "query/bound.h"
#include "query/cond.h"

typedef enum side { SIDE_NONE, SIDE_LEFT = 1, SIDE_RIGHT = 2, SIDE_BOTH = 3 } side;

/* What a part of the condition is about. */
typedef struct survey {
  const ddb_join *join;
  unsigned sides;  /* side bits */
  bool stays;      /* it names what is no column, or must not be pushed */
  bool is_renamed; /* a name in it is not the field's */
  bool is_plain;   /* it can be made again */
} survey;

static const ddb_join_column *column_of(const ddb_join *join, ddb_str name) {
  for (size_t i = 0; i < join->column_count; i++) {
    const ddb_join_column *column = &join->columns[i];
    if (column->name.size == name.size &&
        (name.size == 0 || memcmp(column->name.data, name.data, name.size) == 0)) {
      return column;
    }
  }
  return NULL;
}

static void look_at_name(survey *of, ddb_str name) {
  const ddb_join_column *column = column_of(of->join, name);
  if (!column) {
    of->stays = true;
    return;
  }
  of->sides |= column->is_right ? SIDE_RIGHT : SIDE_LEFT;
  of->is_renamed = of->is_renamed || column->field.size != name.size ||
                   (name.size > 0 && memcmp(column->field.data, name.data, name.size) != 0);
}

static void look_at_expr(survey *of, const ddb_expr *expr) {
  if (expr->kind == DDB__EXPR_FIELD) {
    look_at_name(of, expr->name);
  }
  for (size_t i = 0; i < 2; i++) {
    if (expr->operands[i]) {
      look_at_expr(of, expr->operands[i]);
    }
  }
}

static void look_at_leaf(survey *of, const ddb_cond *leaf) {
  of->stays =
      of->stays || leaf->kind == DDB__COND_EXISTS || leaf->kind == DDB__COND_MATCHES; /* JP3 */
  of->is_plain = of->is_plain && !leaf->leaf.expr && !leaf->leaf.pattern;
  if (!leaf->leaf.expr) {
    look_at_name(of, leaf->leaf.field);
    return;
  }
  look_at_expr(of, leaf->leaf.expr);
  if (leaf->leaf.right) {
    look_at_expr(of, leaf->leaf.right);
  }
}

static ddb_status look_at(survey *of, const ddb_cond *cond, ddb_error *err) {
  if (!ddb__cond_is_inner(cond)) {
    look_at_leaf(of, cond);
    return DDB_OK;
  }
  ddb__cond_walk walk;
  const ddb_cond *operand;
  ddb__cond_walk_init(&walk, cond);
  ddb_status status = ddb__cond_walk_next(&walk, &operand, err);
  while (!status && operand) {
    status = look_at(of, operand, err);
    status = status ? status : ddb__cond_walk_next(&walk, &operand, err);
  }
  ddb__cond_walk_fini(&walk);
  return status;
}

/* ---- Nulls -------------------------------------------------------------------------------- */

typedef enum answer { NO, YES, UNKNOWN } answer;

static ddb_status answer_for_nulls(const ddb_cond *cond, answer *out, ddb_error *err);

static ddb_status answer_for_operands(const ddb_cond *cond, answer *out, ddb_error *err) {
  bool is_or = cond->kind == DDB__COND_OR;
  answer decides = is_or ? YES : NO;
  answer all = is_or ? NO : YES;
  ddb__cond_walk walk;
  const ddb_cond *operand;
  ddb__cond_walk_init(&walk, cond);
  ddb_status status = ddb__cond_walk_next(&walk, &operand, err);
  while (!status && operand && all != decides) {
    answer one = UNKNOWN;
    status = answer_for_nulls(operand, &one, err);
    all = one == decides ? decides : one == UNKNOWN ? UNKNOWN : all;
    status = status ? status : ddb__cond_walk_next(&walk, &operand, err);
  }
  ddb__cond_walk_fini(&walk);
  *out = cond->kind != DDB__COND_NOT || all == UNKNOWN ? all : all == YES ? NO : YES;
  return status;
}

/* Does the condition hold where all fields are null? (JP2) */
static ddb_status answer_for_nulls(const ddb_cond *cond, answer *out, ddb_error *err) {
  if (ddb__cond_is_inner(cond)) {
    return answer_for_operands(cond, out, err);
  }
  ddb_value null = ddb_null();
  *out = cond->leaf.expr ? UNKNOWN : ddb__bound_leaf_matches(cond, &null) ? YES : NO;
  return DDB_OK;
}

/* ---- Names -------------------------------------------------------------------------------- */

static ddb_status rename_cond(const ddb_join *join, const ddb_cond *cond, ddb_cond **out,
                              ddb_error *err);

static ddb_status rename_leaf(const ddb_join *join, const ddb_cond *leaf, ddb_cond **out,
                              ddb_error *err) {
  ddb_expr *field;
  ddb_status status = ddb_expr_field(column_of(join, leaf->leaf.field)->field, &field, err);
  if (!status) {
    status = ddb__cond_leaf_new(leaf->kind, leaf->op, field, NULL, leaf->leaf.values, leaf->count,
                                out, err);
    ddb_expr_release(field);
  }
  return status;
}

/* *to = *to `kind` part, of which *to may be NULL. Takes the part. */
static ddb_status add_operand(uint8_t kind, ddb_cond **to, ddb_cond *part, ddb_error *err) {
  if (!*to) {
    *to = part;
    return DDB_OK;
  }
  ddb_cond *parts[2] = {*to, part};
  ddb_cond *both;
  ddb_status status =
      kind == DDB__COND_OR ? ddb_cond_or(parts, 2, &both, err) : ddb_cond_and(parts, 2, &both, err);
  ddb_cond_release(part);
  if (!status) {
    ddb_cond_release(*to);
    *to = both;
  }
  return status;
}

/* The same condition with the side's names. */
static ddb_status rename_cond(const ddb_join *join, const ddb_cond *cond, ddb_cond **out,
                              ddb_error *err) {
  if (!ddb__cond_is_inner(cond)) {
    return rename_leaf(join, cond, out, err);
  }
  ddb_cond *made = NULL;
  ddb__cond_walk walk;
  const ddb_cond *operand;
  ddb__cond_walk_init(&walk, cond);
  ddb_status status = ddb__cond_walk_next(&walk, &operand, err);
  while (!status && operand) {
    ddb_cond *part;
    status = rename_cond(join, operand, &part, err);
    status = status ? status : add_operand(cond->kind, &made, part, err);
    status = status ? status : ddb__cond_walk_next(&walk, &operand, err);
  }
  ddb__cond_walk_fini(&walk);
  if (!status && cond->kind == DDB__COND_NOT) {
    status = ddb_cond_not(made, out, err);
  } else if (!status) {
    *out = made;
    return DDB_OK;
  }
  ddb_cond_release(made);
  return status;
}

/* ---- Parts -------------------------------------------------------------------------------- */

static ddb_status add_part(ddb_cond **to, ddb_cond *part, ddb_error *err) {
  return add_operand(DDB__COND_AND, to, part, err);
}

static ddb_cond *share(const ddb_cond *cond) {
  return ddb_cond_acquire((ddb_cond *)(uintptr_t)cond);
}

/* Where a part goes: to one side, or (SIDE_BOTH) it stays with the pairs. */
static side side_of(const ddb__join_push *push, const survey *part) {
  const ddb_join *join = &push->join;
  bool can = !part->stays && (part->is_plain || !part->is_renamed);
  if (can && part->sides == SIDE_LEFT && (join->left || push->splits)) {
    return SIDE_LEFT;
  }
  bool inner = join->kind == DDB_JOIN_INNER || DDB__FAULT(JOIN_PUSHES_OUTER);
  return can && part->sides == SIDE_RIGHT && inner && !push->splits ? SIDE_RIGHT : SIDE_BOTH;
}

static ddb_status push_part(ddb__join_push *push, const ddb_cond *cond, ddb_error *err) {
  survey part = {.join = &push->join, .is_plain = true};
  ddb_status status = look_at(&part, cond, err);
  if (status) {
    return status;
  }
  side to = side_of(push, &part);
  ddb_cond *pushed = NULL;
  if (to != SIDE_BOTH && part.is_renamed) {
    status = rename_cond(&push->join, cond, &pushed, err);
  } else {
    pushed = share(cond);
  }
  ddb_cond **where = to == SIDE_LEFT ? &push->left : to == SIDE_RIGHT ? &push->right : &push->where;
  return status ? status : add_part(where, pushed, err);
}

/* A part about the right side alone that nulls do not pass makes an inner join of a left one. */
static ddb_status weigh_part(ddb__join_push *push, const ddb_cond *cond, ddb_error *err) {
  survey part = {.join = &push->join, .is_plain = true};
  answer nulls = UNKNOWN;
  ddb_status status = look_at(&part, cond, err);
  if (!status && !part.stays && part.sides == SIDE_RIGHT) {
    status = answer_for_nulls(cond, &nulls, err);
  }
  if (nulls == NO) {
    push->join.kind = DDB_JOIN_INNER;
  }
  return status;
}

typedef ddb_status part_fn(ddb__join_push *push, const ddb_cond *cond, ddb_error *err);

static ddb_status each_part(ddb__join_push *push, const ddb_cond *where, part_fn *visit,
                            ddb_error *err) {
  if (where->kind != DDB__COND_AND) {
    return visit(push, where, err);
  }
  ddb__cond_walk walk;
  const ddb_cond *part;
  ddb__cond_walk_init(&walk, where);
  ddb_status status = ddb__cond_walk_next(&walk, &part, err);
  while (!status && part) {
    status = visit(push, part, err);
    status = status ? status : ddb__cond_walk_next(&walk, &part, err);
  }
  ddb__cond_walk_fini(&walk);
  return status;
}

/* ---- The whole ---------------------------------------------------------------------------- */

ddb_status ddb__join_push_init(ddb__join_push *push, const ddb_join *join, const ddb_cond *where,
                               ddb_error *err) {
  *push = (ddb__join_push){.join = *join};
  ddb_status status = DDB_OK;
  if (where && join->kind == DDB_JOIN_LEFT) {
    status = each_part(push, where, weigh_part, err);
  }
  if (where && !status) {
    status = each_part(push, where, push_part, err);
  }
  if (!status && push->left && join->left_where) {
    status = add_part(&push->left, share(join->left_where), err);
  }
  if (!status && push->right && join->right_where) {
    status = add_part(&push->right, share(join->right_where), err);
  }
  if (status) {
    ddb__join_push_fini(push);
    return status;
  }
  push->join.left_where = push->left ? push->left : join->left_where;
  push->join.right_where = push->right ? push->right : join->right_where;
  return DDB_OK;
}

void ddb__join_push_fini(ddb__join_push *push) {
  ddb_cond_release(push->where);
  ddb_cond_release(push->left);
  ddb_cond_release(push->right);
  *push = (ddb__join_push){0};
}

ddb_status ddb_join_split(const ddb_join *join, const ddb_cond *where, ddb_cond **left,
                          ddb_cond **rest, ddb_error *err) {
  if (!join || !join->columns || !where || !left || !rest) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "a split needs a join's columns, a condition and results");
  }
  ddb__join_push push = {.join = *join, .splits = true};
  ddb_status status = each_part(&push, where, push_part, err);
  if (status) {
    ddb__join_push_fini(&push);
    return status;
  }
  if (DDB__FAULT(JOIN_SPLIT_LOSES)) {
    ddb_cond_release(push.left);
    push.left = NULL;
  }
  *left = push.left;
  *rest = push.where;
  return DDB_OK;
}
