/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.h - what an aggregate or a group reads of each record: the values of one field or expression,
 * for a batch of records at a time.
 *
 * The place of the field in the last shape seen is kept, since neighbours mostly share it. Values of
 * a field or a path borrow from the records, or from the columns that are kept of them; those that an
 * expression computes last until the next batch. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_INPUT_H
#define DDB_QUERY_INPUT_H

#include "dictdb.h"
#include "query/arena.h"
#include "query/expr.h"
#include "query/plan.h"

typedef struct ddb__input {
  uint32_t field_id; /* DDB__NO_FIELD: null everywhere */
  const ddb_shape *shape;
  uint32_t tag_at; /* byte offsets in a record of the shape; 0: it lacks the field */
  uint32_t payload_at;
  const ddb_expr *source; /* of an expression; NULL: a field */
  ddb__expr_bound *expr;
  bool borrows;      /* values borrow from the records */
  ddb__arena copies; /* of values that are computed */
  uint64_t present;  /* of the batch: the values that are not null */
  ddb_value values[DDB__BATCH_MAX];
} ddb__input;

/* expr: NULL: the field. FIELD_NOT_FOUND: a table with a schema lacks it; NOMEM. */
ddb_status ddb__input_init(ddb__input *input, const ddb__shapes *shapes, ddb_str field,
                           const ddb_expr *expr, ddb_error *err);
void ddb__input_fini(ddb__input *input);
/* values[i] for each bit i of the batch's mask, from its columns or its records; what is missing is
 * null. NOMEM, of expressions. */
ddb_status ddb__input_fill(ddb__input *input, const ddb__batch *batch, ddb_error *err);

#endif
