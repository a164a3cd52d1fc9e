/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond.h - the inside of a condition, for binding, planning and printing.
 *
 *   leaf   | head | field, values -> | ddb_value[count] | hashes, slots (in only) | bytes |
 *   inner  | head | ddb_cond *operands[count]                                           |
 *
 * One allocation each, immutable but for the count of references. An and of ands (an or of ors) is
 * not copied flat when it is made: `c = c & x` in a loop makes a chain of two-operand nodes, each
 * sharing all before it, that ddb__cond_walk reads as one list. Such a chain counts as one level of
 * depth, and nothing recurses along it.
 *
 *   C1  depth <= DDB_DEPTH_MAX: recursion over operands of another kind is bounded.
 *   C2  size, the nodes of the tree and of its expressions, what is shared counted each time, <= DDB__COND_SIZE_MAX:
 *       `c = c & c` in a loop is refused before it gets too long to evaluate.
 */
#ifndef DDB_QUERY_COND_H
#define DDB_QUERY_COND_H

#include <stdatomic.h>

#include "dictdb.h"
#include "query/expr.h"
#include "query/pattern.h"

#define DDB__COND_SIZE_MAX (UINT32_C(1) << 20)

typedef enum ddb__cond_kind {
  DDB__COND_COMPARE, /* values[0], or the leaf's right */
  DDB__COND_IN,      /* values[count] */
  DDB__COND_BETWEEN, /* values[0] to values[1] */
  DDB__COND_NULL,
  DDB__COND_EXISTS,  /* always of an expression: a missing field is not null here */
  DDB__COND_HAS_ANY, /* values[count] */
  DDB__COND_HAS_ALL, /* values[count] */
  DDB__COND_LIKE,    /* pattern; values[0]: the literal text that it begins with, a str */
  DDB__COND_FOLDED,  /* pattern, op; values[0]: the text */
  DDB__COND_MATCHES, /* pattern; always of an expression: it may fail */
  DDB__COND_AND,
  DDB__COND_OR,
  DDB__COND_NOT
} ddb__cond_kind;

/* Of a field against literals, or (expr is there, the field's name is "") of an expression against
 * literals or against another expression (right; no values). */
typedef struct ddb__cond_leaf {
  ddb_str field;
  ddb_expr *expr;
  ddb_expr *right;
  const ddb_value *values;
  ddb__pattern *pattern; /* owned */
  /* in, has_any: open addressing over the values but for NaN and repeats; a slot is an index + 1, or 0. */
  const uint64_t *hashes; /* [count] */
  const uint32_t *slots;  /* [slot_mask + 1] */
  uint32_t slot_mask;
} ddb__cond_leaf;

struct ddb_cond {
  _Atomic uint64_t references;
  uint8_t kind; /* ddb__cond_kind */
  uint8_t op;   /* ddb_op, of a comparison */
  uint16_t depth;
  uint32_t size;
  uint32_t weight;      /* see ddb_cond_weight */
  uint32_t count;       /* values of a leaf, operands of an inner node */
  size_t bytes;         /* of this allocation */
  ddb_cond *next_dead;  /* while it is being released */
  ddb__cond_leaf leaf;  /* leaves */
  ddb_cond *operands[]; /* inner nodes */
};

static inline bool ddb__cond_is_inner(const ddb_cond *cond) {
  return cond->kind >= DDB__COND_AND;
}
/* A leaf over `left`, or over the field that it is; right may be NULL: the values stand for it. The
 * caller gives it its pattern. */
ddb_status ddb__cond_leaf_new(ddb__cond_kind kind, ddb_op op, ddb_expr *left, ddb_expr *right,
                              const ddb_value *values, size_t count, ddb_cond **out,
                              ddb_error *err);
/* Is `value` equal to one of the values of an in or a has_any? */
bool ddb__cond_in_has(const ddb_cond *cond, const ddb_value *value);

/* Walks the operands of an and, an or, a not in order, those of nested nodes of the same kind in
 * their place. */
typedef struct ddb__cond_frame {
  const ddb_cond *cond;
  uint32_t next;
} ddb__cond_frame;
typedef struct ddb__cond_walk {
  ddb__cond_frame *frames;
  size_t count;
  size_t capacity;
  ddb__cond_frame first_frames[4];
} ddb__cond_walk;
void ddb__cond_walk_init(ddb__cond_walk *walk, const ddb_cond *cond);
/* *out: NULL at the end. NOMEM. */
ddb_status ddb__cond_walk_next(ddb__cond_walk *walk, const ddb_cond **out, ddb_error *err);
void ddb__cond_walk_fini(ddb__cond_walk *walk);

#endif
