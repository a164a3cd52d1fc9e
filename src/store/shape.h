/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.h - interned lists of field names, per table.
 *
 * A ddb_shape is immutable once it is returned and lives as long as its registry, which is
 * reference-counted: the table holds one reference, each record copy another. Two roles:
 *   - stored: what records point to. stored->stored == itself.
 *   - input: what a caller gave; its values are the first input_count fields of input->stored; the
 *     rest are the automatic key (auto_key) and a schema's defaults, filled by the builder.
 * Fields have ids, dense per registry, so that a condition binds its names once per query.
 * Thread-safety: atomic (look-ups take no lock where they hit; a mutex otherwise).
 */
#ifndef DDB_STORE_SHAPE_H
#define DDB_STORE_SHAPE_H

#include "base/heap.h"
#include "dictdb.h"
#include "store/value.h"

typedef struct ddb__shapes ddb__shapes; /* the registry */

/* A table's schema and key, constant after creation: what shapes are made and checked against. */
typedef struct ddb__schema {
  ddb_str primary_key;
  ddb_schema_field *fields; /* NULL: no schema */
  size_t field_count;
} ddb__schema;

struct ddb_shape {
  uint64_t id; /* unique in the process */
  ddb__shapes *registry;
  const ddb_shape *stored;
  ddb_shape_kind kind;
  uint32_t count;                        /* fields of the stored record */
  uint32_t input_count;                  /* leading fields that the caller gives */
  uint32_t key_index;                    /* where the primary key is; UINT32_MAX: none (CHANGES) */
  bool auto_key;                         /* the key is assigned at insert */
  const uint32_t *field_ids;             /* [count] */
  const ddb_str *names;                  /* [count]; bytes owned by the registry */
  const ddb_schema_field *const *checks; /* [count] or NULL: the schema's field for each */
};

#define DDB__NO_FIELD UINT32_MAX

/* what: "table", or what is made of that table; static, for messages. */
ddb_status ddb__shapes_new(ddb__heap *heap, const char *what, ddb_str table_name,
                           const ddb_table_options *options, ddb__shapes **out, ddb_error *err);
ddb__shapes *ddb__shapes_acquire(ddb__shapes *shapes);
void ddb__shapes_release(ddb__shapes *shapes);
const ddb__schema *ddb__shapes_schema(const ddb__shapes *shapes);
ddb_str ddb__shapes_table_name(const ddb__shapes *shapes);

/* The work behind ddb_table_shape. */
ddb_status ddb__shapes_get(ddb__shapes *shapes, ddb_shape_kind kind, const ddb_str *names,
                           size_t name_count, const ddb_shape **out, ddb_error *err);
/* The stored shape of `base` with the fields of `changes` that it lacks appended. */
ddb_status ddb__shapes_merge(ddb__shapes *shapes, const ddb_shape *base, const ddb_shape *changes,
                             const ddb_shape **out, ddb_error *err);
/* DDB__NO_FIELD when no shape has ever had it. Never fails. */
uint32_t ddb__shapes_field_find(const ddb__shapes *shapes, ddb_str name);
/* FIELD_NOT_FOUND, with the nearest name, when the table has a schema without `name`. */
ddb_status ddb__shapes_field_check(const ddb__shapes *shapes, ddb_str name, ddb_error *err);
/* Number of fields ever seen (ids are below it), and the name of one. */
uint32_t ddb__shapes_field_count(const ddb__shapes *shapes);
ddb_str ddb__shapes_field_name(const ddb__shapes *shapes, uint32_t field_id);
/* Position of a field in a shape, DDB__NO_FIELD when it has none. */
static inline uint32_t ddb__shape_find(const ddb_shape *shape, uint32_t field_id) {
  for (uint32_t i = 0; i < shape->count; i++) {
    if (shape->field_ids[i] == field_id) {
      return i;
    }
  }
  return DDB__NO_FIELD;
}
/* Checks the values of a block against the schema: SCHEMA, with table, field, expected, given. */
ddb_status ddb__shape_validate(const ddb_shape *shape, const ddb__block *block, ddb_error *err);

#endif
