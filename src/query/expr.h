/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.h - the inside of an expression, and expressions made ready for one query on one table.
 *
 * An expression is one allocation per node, immutable but for the count of references:
 *
 *   | head | operands | value | bytes of the value or of the name |
 *
 *   X1  depth <= DDB_DEPTH_MAX: recursion over operands is bounded.
 *   X2  size, the nodes with what is shared counted each time, <= DDB__EXPR_SIZE_MAX.
 *
 * Bound, it is one block of nodes, in which a field with its steps is one node (a path); nodes[0] is
 * the root. The place of the field in the last shape seen is kept in the node, since neighbours
 * mostly share it. Big numbers are computed in memory that is had when the expression is bound:
 * operands of a sum have a place for their results, those on the left the same as the sum. Evaluating allocates nothing and cannot fail. A bound expression borrows from
 * the expression. Thread-safety: distinct (evaluating changes what is kept).
 */
#ifndef DDB_QUERY_EXPR_H
#define DDB_QUERY_EXPR_H

#include <stdatomic.h>

#include "dictdb.h"
#include "query/writer.h"
#include "store/arith.h"
#include "store/path.h"
#include "store/record.h"
#include "store/shape.h"

#define DDB__EXPR_SIZE_MAX (UINT32_C(1) << 16)

typedef enum ddb__expr_kind {
  DDB__EXPR_FIELD, /* name */
  DDB__EXPR_VALUE, /* value */
  DDB__EXPR_ITEM,  /* operands[0], value: the key */
  DDB__EXPR_LEN,   /* operands[0] */
  DDB__EXPR_ARITH  /* operands, op */
} ddb__expr_kind;

struct ddb_expr {
  _Atomic uint64_t references;
  uint8_t kind; /* ddb__expr_kind */
  uint8_t op;   /* ddb_arith */
  uint16_t depth;
  uint32_t size;
  size_t bytes;          /* of this allocation */
  ddb_expr *next_dead;   /* while it is being released */
  ddb_expr *operands[2]; /* NULL where there is none */
  ddb_str name;
  ddb_value value;
};

/* Is it just a field? */
static inline bool ddb__expr_is_field(const ddb_expr *expr) {
  return expr->kind == DDB__EXPR_FIELD;
}
/* Do they say the same? */
bool ddb__expr_equal(const ddb_expr *a, const ddb_expr *b);
/* Sums in parentheses when `operand` says that a method, an index or an operator follows. */
void ddb__expr_write(ddb__writer *to, const ddb_expr *expr, bool operand);

/* ---- Bound -------------------------------------------------------------------------------- */

typedef struct ddb__expr_node {
  uint8_t kind; /* ddb__expr_kind; FIELD: with the steps of the path */
  uint8_t op;
  uint32_t first; /* the operands' nodes */
  uint32_t second;
  uint32_t at; /* FIELD: its place in the last shape seen, or DDB__NO_FIELD */
  const ddb_shape *shape;
  ddb__path path;
  ddb_value value;
  char *result; /* ARITH: room for a result of variable size */
} ddb__expr_node;

typedef struct ddb__expr_bound {
  size_t bytes; /* of this allocation */
  uint32_t count;
  ddb__arith_space *space; /* NULL: nothing is computed */
  ddb__expr_node nodes[];
} ddb__expr_bound;

/* What names mean: fields of a registry, and with groups what these are of as well, by the names that
 * they have in the registry. A name that the registry has is its field. */
typedef struct ddb__scope {
  const ddb__shapes *shapes;
  const ddb_group_field *groups;
  size_t group_count;
} ddb__scope;

/* The id of a field, checked against the schema; DDB__NO_FIELD when no record has ever had it. */
ddb_status ddb__scope_field(const ddb__scope *scope, ddb_str name, uint32_t *field_id,
                            ddb_error *err);
/* Errors: FIELD_NOT_FOUND (the table's schema lacks a field), NOMEM. */
ddb_status ddb__expr_bind_within(const ddb_expr *expr, const ddb__scope *scope,
                                 ddb__expr_bound **out, ddb_error *err);
/* In a registry alone. */
ddb_status ddb__expr_bind(const ddb_expr *expr, const ddb__shapes *shapes, ddb__expr_bound **out,
                          ddb_error *err);
void ddb__expr_unbind(ddb__expr_bound *bound); /* NULL is allowed */
/* The expression's value for one record: borrowed from the record, the expression or the bound
 * expression, until the next call. MISSING: the field or the step is not there. */
ddb_value ddb__expr_eval(ddb__expr_bound *bound, const ddb_record *record);
/* The path, when the expression is a field with or without steps, else NULL. */
const ddb__path *ddb__expr_path(const ddb__expr_bound *bound);

#endif
