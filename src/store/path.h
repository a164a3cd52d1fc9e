/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - the way from a record to a value inside one of its fields: address["city"], tags[0].
 *
 * A step is the key of a dict or the index of a list or tuple (an int or a bool; negative: from the
 * end). What is not there, and any step into another kind of value, is MISSING: walking never
 * fails. All functions are pure and atomic; results borrow from the record.
 */
#ifndef DDB_STORE_PATH_H
#define DDB_STORE_PATH_H

#include "dictdb.h"
#include "store/record.h"
#include "store/value.h"

typedef struct ddb__path {
  uint32_t field_id; /* DDB__NO_FIELD: missing everywhere */
  uint32_t step_count;
  const ddb_value *steps;
} ddb__path;

/* One step. */
ddb_value ddb__path_step(const ddb_value *container, const ddb_value *key);
/* All steps of a path, from the value of its field. */
ddb_value ddb__path_walk(const ddb__path *path, ddb_value field);
static inline ddb_value ddb__path_get(const ddb__path *path, const ddb_record *record) {
  ddb_value field = ddb__record_field(record, path->field_id);
  return path->step_count == 0 ? field : ddb__path_walk(path, field);
}
/* The same field and identical steps: then they lead to the same value in every record. */
bool ddb__path_equal(const ddb__path *a, const ddb__path *b);
/* A path as files have it: a text, the field; or a list of the field and the steps. *out borrows, its
 * steps from steps[DDB_INDEX_STEP_COUNT_MAX]. False: it is none. */
bool ddb__path_read(const ddb_value *part, ddb_value *steps, ddb_path *out);
/* "['city'][0]", as ddb_value_format. */
size_t ddb__path_format_steps(const ddb_value *steps, size_t step_count, char *buffer,
                              size_t capacity);

#endif
