/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.c - making, sharing, releasing and printing expressions. The structure and its bounds are in
 * expr.h.
 *
 * Ownership: a node holds a reference to each operand and copies of its literal and its name. Locks:
 * none; the count of references is atomic and all else is constant. Memory: the process heap.
 */
#include "query/expr.h"

#include "base/heap.h"
#include "base/status.h"
#include "query/literals.h"
#include "store/text.h"
#include "store/value.h"

/* ---- Making ------------------------------------------------------------------------------- */

static ddb_expr *expr_alloc(ddb__expr_kind kind, size_t tail, ddb_error *err) {
  size_t bytes = ddb__align8(sizeof(ddb_expr)) + tail;
  ddb_expr *expr = ddb__alloc(&ddb__heap_process, bytes);
  if (!expr) {
    ddb__fail_memory(err, bytes);
    return NULL;
  }
  *expr = (ddb_expr){.kind = (uint8_t)kind, .depth = 1, .size = 1, .bytes = bytes};
  atomic_init(&expr->references, 1);
  return expr;
}

static char *expr_tail(ddb_expr *expr) {
  return (char *)expr + ddb__align8(sizeof(ddb_expr));
}

static ddb_status missing_argument(ddb_error *err) {
  return ddb__fail(err, DDB_ERR_INVALID, "an expression needs its operands and a result");
}

/* Takes references to the operands (X1, X2); drops the node on an error. */
static ddb_status expr_join(ddb_expr *expr, ddb_expr *first, ddb_expr *second, ddb_expr **out,
                            ddb_error *err) {
  unsigned depth = second && second->depth > first->depth ? second->depth : first->depth;
  uint32_t size = 1 + first->size + (second ? second->size : 0);
  ddb_status status = DDB_OK;
  if (depth >= DDB_DEPTH_MAX) {
    status = ddb__fail(err, DDB_ERR_LIMIT, "expressions are nested more than %d levels deep",
                       DDB_DEPTH_MAX);
  } else if (size > DDB__EXPR_SIZE_MAX) {
    status =
        ddb__fail(err, DDB_ERR_LIMIT, "an expression of more than %u parts", DDB__EXPR_SIZE_MAX);
  }
  if (status) {
    ddb__free(&ddb__heap_process, expr, expr->bytes);
    return status;
  }
  expr->depth = (uint16_t)(depth + 1);
  expr->size = size;
  expr->operands[0] = ddb_expr_acquire(first);
  expr->operands[1] = second ? ddb_expr_acquire(second) : NULL;
  *out = expr;
  return DDB_OK;
}

ddb_status ddb_expr_field(ddb_str name, ddb_expr **out, ddb_error *err) {
  if (!out || (name.size > 0 && !name.data)) {
    return missing_argument(err);
  }
  if (name.size > DDB_RECORD_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a field's name of %zu bytes", name.size);
  }
  ddb_expr *expr = expr_alloc(DDB__EXPR_FIELD, name.size, err);
  if (!expr) {
    return DDB_ERR_NOMEM;
  }
  char *bytes = expr_tail(expr);
  if (name.size > 0) {
    memcpy(bytes, name.data, name.size);
  }
  expr->name = (ddb_str){bytes, name.size};
  *out = expr;
  return DDB_OK;
}

/* A node with a copy of a literal. */
static ddb_status expr_with_value(ddb__expr_kind kind, const ddb_value *value, ddb_expr **out,
                                  ddb_error *err) {
  ddb__literals in;
  ddb_status status = ddb__literals_init(&in, value, 1, err);
  if (!status) {
    size_t taken = 0;
    ddb_value literal = ddb__literals_at(&in, 0, &taken);
    ddb_expr *expr = expr_alloc(kind, ddb__literal_bytes(&literal), err);
    if (expr) {
      expr->value = literal;
      ddb__literal_copy(&expr->value, expr_tail(expr));
      *out = expr;
    } else {
      status = DDB_ERR_NOMEM;
    }
  }
  ddb__literals_fini(&in);
  return status;
}

ddb_status ddb_expr_value(const ddb_value *value, ddb_expr **out, ddb_error *err) {
  return out && value ? expr_with_value(DDB__EXPR_VALUE, value, out, err) : missing_argument(err);
}

ddb_status ddb_expr_item(ddb_expr *container, const ddb_value *key, ddb_expr **out,
                         ddb_error *err) {
  if (!container || !key || !out) {
    return missing_argument(err);
  }
  ddb_expr *expr = NULL;
  ddb_status status = expr_with_value(DDB__EXPR_ITEM, key, &expr, err);
  if (status) {
    return status;
  }
  if (!ddb__value_hashable(&expr->value)) {
    status = ddb__fail(err, DDB_ERR_TYPE,
                       "a step of a path is a dict's key or a list's index, "
                       "not an unhashable %s",
                       ddb_kind_name(expr->value.kind));
    ddb__free(&ddb__heap_process, expr, expr->bytes);
    return status;
  }
  return expr_join(expr, container, NULL, out, err);
}

bool ddb_expr_path(const ddb_expr *expr, ddb_value *steps, size_t capacity, ddb_path *out) {
  size_t count = 0;
  const ddb_expr *root = expr;
  for (; root && root->kind == DDB__EXPR_ITEM; root = root->operands[0]) {
    count++;
  }
  if (!root || !ddb__expr_is_field(root) || count > capacity) {
    return false;
  }
  for (size_t i = count; i-- > 0; expr = expr->operands[0]) {
    steps[i] = expr->value;
  }
  *out = (ddb_path){root->name, steps, count};
  return true;
}

ddb_status ddb_expr_len(ddb_expr *of, ddb_expr **out, ddb_error *err) {
  if (!of || !out) {
    return missing_argument(err);
  }
  ddb_expr *expr = expr_alloc(DDB__EXPR_LEN, 0, err);
  return expr ? expr_join(expr, of, NULL, out, err) : DDB_ERR_NOMEM;
}

/* A constant that is no number makes each result null: a mistake. */
static bool may_be_number(const ddb_expr *expr) {
  return !expr || expr->kind != DDB__EXPR_VALUE || ddb__kind_is_number(expr->value.kind);
}

ddb_status ddb_expr_arith(ddb_arith op, ddb_expr *left, ddb_expr *right, ddb_expr **out,
                          ddb_error *err) {
  if (!left || !out || (unsigned)op > DDB_ARITH_NEG || (op == DDB_ARITH_NEG) != !right) {
    return missing_argument(err);
  }
  if (!may_be_number(left) || !may_be_number(right)) {
    const ddb_expr *culprit = may_be_number(left) ? right : left;
    return ddb__fail(err, DDB_ERR_TYPE, "arithmetic needs numbers, not %s",
                     ddb_kind_name(culprit->value.kind));
  }
  ddb_expr *expr = expr_alloc(DDB__EXPR_ARITH, 0, err);
  if (!expr) {
    return DDB_ERR_NOMEM;
  }
  expr->op = (uint8_t)op;
  return expr_join(expr, left, right, out, err);
}

/* ---- References --------------------------------------------------------------------------- */

ddb_expr *ddb_expr_acquire(ddb_expr *expr) {
  atomic_fetch_add_explicit(&expr->references, 1, memory_order_relaxed);
  return expr;
}

/* Puts the node on the list when that was its last reference. */
static void release_one(ddb_expr *expr, ddb_expr **dead) {
  if (expr && atomic_fetch_sub_explicit(&expr->references, 1, memory_order_acq_rel) == 1) {
    expr->next_dead = *dead;
    *dead = expr;
  }
}

void ddb_expr_release(ddb_expr *expr) {
  ddb_expr *dead = NULL;
  release_one(expr, &dead);
  while (dead) {
    ddb_expr *next = dead;
    dead = next->next_dead;
    release_one(next->operands[0], &dead);
    release_one(next->operands[1], &dead);
    ddb__free(&ddb__heap_process, next, next->bytes);
  }
}

/* ---- Comparing ---------------------------------------------------------------------------- */

/* NULL: no operand. Recurses over operands: X1. */
static bool operands_equal(const ddb_expr *a, const ddb_expr *b) {
  return a == b || (a && b && ddb__expr_equal(a, b));
}

bool ddb__expr_equal(const ddb_expr *a, const ddb_expr *b) {
  return a->kind == b->kind && a->op == b->op && a->size == b->size &&
         ddb__text_equal(a->name, b->name) && a->value.kind == b->value.kind &&
         ddb__value_same(&a->value, &b->value) && operands_equal(a->operands[0], b->operands[0]) &&
         operands_equal(a->operands[1], b->operands[1]);
}

/* ---- Text --------------------------------------------------------------------------------- */

/* How tightly an operator binds. */
typedef enum strength { SUM, PRODUCT, SIGN, ATOM } strength;

static strength strength_of(const ddb_expr *expr) {
  if (expr->kind != DDB__EXPR_ARITH) {
    return ATOM;
  }
  return expr->op == DDB_ARITH_NEG ? SIGN : expr->op <= DDB_ARITH_SUB ? SUM : PRODUCT;
}

static void write_bound(ddb__writer *to, const ddb_expr *expr, strength least);

static void write_arith(ddb__writer *to, const ddb_expr *expr) {
  static const char *const signs[] = {
      [DDB_ARITH_ADD] = " + ", [DDB_ARITH_SUB] = " - ",       [DDB_ARITH_MUL] = " * ",
      [DDB_ARITH_DIV] = " / ", [DDB_ARITH_FLOORDIV] = " // ", [DDB_ARITH_MOD] = " % ",
      [DDB_ARITH_NEG] = "-",
  };
  strength own = strength_of(expr);
  if (expr->op != DDB_ARITH_NEG) {
    write_bound(to, expr->operands[0], own);
  }
  ddb__writer_text(to, signs[expr->op]);
  /* Operators of one strength group from the left. */
  write_bound(to, expr->operands[expr->op == DDB_ARITH_NEG ? 0 : 1],
              own == SIGN ? SIGN : (strength)(own + 1));
}

/* In parentheses when it binds less than `least`. */
static void write_bound(ddb__writer *to, const ddb_expr *expr, strength least) {
  bool enclosed = strength_of(expr) < least;
  ddb__writer_text(to, enclosed ? "(" : "");
  switch ((ddb__expr_kind)expr->kind) {
  case DDB__EXPR_FIELD:
    ddb__writer_field(to, expr->name);
    break;
  case DDB__EXPR_VALUE:
    ddb__writer_value(to, &expr->value);
    break;
  case DDB__EXPR_ITEM:
    write_bound(to, expr->operands[0], ATOM);
    ddb__writer_text(to, "[");
    ddb__writer_value(to, &expr->value);
    ddb__writer_text(to, "]");
    break;
  case DDB__EXPR_LEN:
    write_bound(to, expr->operands[0], ATOM);
    ddb__writer_text(to, ".len_()");
    break;
  case DDB__EXPR_ARITH:
    write_arith(to, expr);
    break;
  }
  ddb__writer_text(to, enclosed ? ")" : "");
}

void ddb__expr_write(ddb__writer *to, const ddb_expr *expr, bool operand) {
  write_bound(to, expr, operand ? ATOM : SUM);
}

size_t ddb_expr_format(const ddb_expr *expr, char *buffer, size_t capacity) {
  ddb__writer to = ddb__writer_start(buffer, capacity);
  ddb__expr_write(&to, expr, false);
  ddb__writer_end(&to);
  return to.size;
}
