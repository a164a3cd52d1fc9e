/* SPDX-License-Identifier: Apache-2.0 */
/*
 * literals.h - the literals of a condition or an expression on their way into its one allocation.
 *
 * Plain ones are copied as they are; those with an inner format (big ints, decimals, dates with
 * zones, containers) go through a builder first, which checks them.
 *
 *   init  ->  literals_at and _bytes to measure, the same to copy  ->  fini
 *
 * Borrows the caller's array. Inlined: a condition with one number is made in tens of nanoseconds.
 */
#ifndef DDB_QUERY_LITERALS_H
#define DDB_QUERY_LITERALS_H

#include "base/status.h"
#include "dictdb.h"
#include "store/value.h"

typedef struct ddb__literals {
  const ddb_value *values;
  size_t count;
  ddb_builder *checked; /* NULL: all are plain */
} ddb__literals;

static inline bool ddb__literal_is_plain(uint8_t kind) {
  return ddb__kind_is_inline(kind) || kind == DDB_STR_KIND || kind == DDB_BYTES;
}

/* Also after an error, fini must follow. */
static inline ddb_status ddb__literals_init(ddb__literals *in, const ddb_value *values,
                                            size_t count, ddb_error *err) {
  *in = (ddb__literals){values, count, NULL};
  for (size_t i = 0; i < count; i++) {
    const ddb_value *value = &values[i];
    bool sized = !ddb__kind_is_inline(value->kind);
    if (value->kind >= DDB_KIND_COUNT || (sized && value->size > 0 && !value->as.data)) {
      return ddb__fail(err, DDB_ERR_INVALID, "a condition's value is not a value: kind %d",
                       value->kind);
    }
    if (ddb__literal_is_plain(value->kind)) {
      continue;
    }
    ddb_status status = in->checked ? DDB_OK : ddb_builder_new(&in->checked, err);
    if (!status) {
      status = ddb_builder_append(in->checked, value, err);
    }
    if (status) {
      return status;
    }
  }
  return DDB_OK;
}

static inline void ddb__literals_fini(ddb__literals *in) {
  ddb_builder_free(in->checked);
}

/* The i-th literal; *taken, 0 at first, counts those that came from the builder so far. */
static inline ddb_value ddb__literals_at(const ddb__literals *in, size_t index, size_t *taken) {
  ddb_value value = in->values[index];
  if (value.kind == DDB_MISSING) {
    return ddb_null();
  }
  return ddb__literal_is_plain(value.kind) ? value : ddb_builder_value_at(in->checked, (*taken)++);
}

/* Bytes that a literal needs beside its ddb_value. */
static inline size_t ddb__literal_bytes(const ddb_value *value) {
  return ddb__kind_is_inline(value->kind) ? 0 : ddb__align8(value->size);
}

/* Copies a literal's bytes to `bytes`; returns the end of what it needs there. */
static inline char *ddb__literal_copy(ddb_value *value, char *bytes) {
  if (ddb__kind_is_inline(value->kind)) {
    return bytes;
  }
  if (value->size > 0) {
    memcpy(bytes, value->as.data, value->size);
  }
  value->as.data = bytes;
  return bytes + ddb__literal_bytes(value);
}

#endif
