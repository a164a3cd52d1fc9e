/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bound.h - a condition made ready for one query on one table: names are field ids, literals are
 * ranges, nested ands and ors are flat. It is evaluated on up to 64 records at a time.
 *
 *   nodes[0] is the root; an inner node's operands are a list: first, then next of each; 0 ends it.
 *
 * A field that no record of the table ever had reads as null everywhere: its leaf is a constant. In
 * each leaf the place of the field in the last shape seen is kept, since neighbours mostly share
 * it. Borrows from the condition. Thread-safety: distinct (evaluating changes what is kept).
 */
#ifndef DDB_QUERY_BOUND_H
#define DDB_QUERY_BOUND_H

#include "dictdb.h"
#include "query/cond.h"
#include "store/record.h"
#include "store/shape.h"

typedef enum ddb__bound_kind {
  DDB__BOUND_CONST,  /* flip: the answer */
  DDB__BOUND_NULL,   /* is the field null or missing */
  DDB__BOUND_NUMBER, /* within a range of numbers, or not (flip) */
  DDB__BOUND_TEXT,   /* equal to a str, or not (flip) */
  DDB__BOUND_PREFIX, /* does a str start with another */
  DDB__BOUND_FEW,    /* in a few ints, or in a few strs */
  DDB__BOUND_LEAF,   /* any other leaf over a field */
  DDB__BOUND_EXPR,   /* any leaf over an expression */
  DDB__BOUND_AND,
  DDB__BOUND_OR,
  DDB__BOUND_NOT
} ddb__bound_kind;

typedef struct ddb__bound_node {
  uint8_t kind;
  bool flip;
  bool is_key; /* the leaf is over the primary key */
  bool int_flip;
  uint32_t field_id;
  uint32_t first;
  uint32_t next;
  const ddb_cond *cond; /* leaves */
  /* Of the last shape seen: byte offsets in a record; tag_at is 0 when it lacks the field. */
  const ddb_shape *shape;
  uint32_t tag_at;
  uint32_t payload_at;
  /* NUMBER: v is in when v - int_low <= int_width (unsigned), or real_low <= v <= real_high. */
  int64_t int_low;
  uint64_t int_width;
  double real_low;
  double real_high;
  ddb__expr_bound *left;  /* EXPR: owned */
  ddb__expr_bound *right; /* NULL: the leaf's values stand for it */
  uint64_t estimate;      /* the planner's: candidate rows, UINT64_MAX when there is no index */
} ddb__bound_node;

#define DDB__BOUND_FEW_MAX 16u /* beyond, hashing is faster than looking at each */
#define DDB__BOUND_INLINE  4u
typedef struct ddb__bound {
  ddb__bound_node *nodes;
  size_t count;
  size_t capacity;
  ddb_status failure; /* of a search by a regex; the records that it was about did not match */
  ddb__bound_node inline_nodes[DDB__BOUND_INLINE];
} ddb__bound;

/* cond may be NULL: true. Errors: FIELD_NOT_FOUND (the table's schema lacks a name), NOMEM. */
ddb_status ddb__bound_init(ddb__bound *bound, const ddb_cond *cond, const ddb__shapes *shapes,
                           ddb_error *err);
ddb_status ddb__bound_init_within(ddb__bound *bound, const ddb_cond *cond, const ddb__scope *scope,
                                  ddb_error *err);
void ddb__bound_fini(ddb__bound *bound);
/* ddb__scope_field, of a registry alone. */
ddb_status ddb__bound_field(const ddb__shapes *shapes, ddb_str name, uint32_t *field_id,
                            ddb_error *err);

/* Is the leaf, one against literals, about a field or a path into one? Then *out is it. */
bool ddb__bound_path(const ddb__bound_node *node, ddb__path *out);

/* Could all records so far be evaluated? To be asked after the last: LIMIT, NOMEM. */
ddb_status ddb__bound_status(const ddb__bound *bound, ddb_error *err);
/* The bits of `mask` whose records match. */
uint64_t ddb__bound_eval(ddb__bound *bound, const ddb_record *const *records, uint64_t mask);
/* Bytes from the start of a record like the last ones that evaluating reads, 0: none, SIZE_MAX: it
 * depends on the values. */
size_t ddb__bound_reach(const ddb__bound *bound);
/* The meaning of a leaf against literals, for one value: what all the loops amount to. */
bool ddb__bound_leaf_matches(const ddb_cond *leaf, const ddb_value *value);

#endif
