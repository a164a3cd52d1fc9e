/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - making, freeing and applying a table's ddb__schema (its type is in shape.h).
 */
#ifndef DDB_STORE_SCHEMA_H
#define DDB_STORE_SCHEMA_H

#include "base/heap.h"
#include "dictdb.h"
#include "store/shape.h"

/* Deep copy of the options, the key's field first when it is not among them. On error nothing is
 * held. INVALID, NOMEM. */
ddb_status ddb__schema_init(ddb__schema *schema, ddb__heap *heap, ddb_str table_name,
                            const ddb_table_options *options, ddb_error *err);
void ddb__schema_fini(ddb__schema *schema, ddb__heap *heap);
/* The name of the schema nearest to `name`; {NULL, 0}: none is near. */
ddb_str ddb__schema_nearest(const ddb__schema *schema, ddb_str name);
/* "int | None" for type bits; cut at capacity. */
void ddb__schema_types_format(uint32_t types, char *buffer, size_t capacity);

/* Copies of strings: an empty one takes no memory. */
bool ddb__text_copy(ddb__heap *heap, ddb_str text, ddb_str *out);
void ddb__text_free(ddb__heap *heap, ddb_str text);

#endif
