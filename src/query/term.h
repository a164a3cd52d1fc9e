/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term.h - what sorting and distinct read of a record: a field, or a bound expression.
 *
 * Values of fields, and of paths into them, borrow from the record; those of other expressions from
 * the bound expression, until it is evaluated again. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_TERM_H
#define DDB_QUERY_TERM_H

#include "dictdb.h"
#include "query/bound.h"
#include "query/expr.h"
#include "store/record.h"

typedef struct ddb__term {
  uint32_t field_id;     /* DDB__NO_FIELD: null everywhere */
  ddb__expr_bound *expr; /* NULL: the field */
} ddb__term;

/* `expr` may be NULL: the field `name` then counts. FIELD_NOT_FOUND, NOMEM. */
static inline ddb_status ddb__term_bind_within(ddb__term *term, const ddb__scope *scope,
                                               ddb_str name, const ddb_expr *expr, ddb_error *err) {
  term->field_id = DDB__NO_FIELD;
  term->expr = NULL;
  return expr ? ddb__expr_bind_within(expr, scope, &term->expr, err)
              : ddb__scope_field(scope, name, &term->field_id, err);
}

static inline ddb_status ddb__term_bind(ddb__term *term, const ddb__shapes *shapes, ddb_str name,
                                        const ddb_expr *expr, ddb_error *err) {
  const ddb__scope scope = {.shapes = shapes};
  return ddb__term_bind_within(term, &scope, name, expr, err);
}

static inline void ddb__term_unbind(ddb__term *term) {
  ddb__expr_unbind(term->expr);
  term->expr = NULL;
}

static inline ddb_value ddb__term_read(const ddb__term *term, const ddb_record *record) {
  if (term->expr) {
    return ddb__expr_eval(term->expr, record);
  }
  return term->field_id == DDB__NO_FIELD ? ddb_null() : ddb__record_field(record, term->field_id);
}

/* Is it a field or a path into one? Then *out is it. */
static inline bool ddb__term_path(const ddb__term *term, ddb__path *out) {
  const ddb__path *path = term->expr ? ddb__expr_path(term->expr) : NULL;
  *out = path ? *path : (ddb__path){.field_id = term->field_id};
  return (path || !term->expr) && out->field_id != DDB__NO_FIELD;
}

/* Do its values borrow from more than the record? */
static inline bool ddb__term_is_computed(const ddb__term *term) {
  return term->expr && !ddb__expr_path(term->expr);
}

#endif
