/* SPDX-License-Identifier: Apache-2.0 */
/* json_support.h - what the JSON tests share: JSON text from memory and into it. */
#ifndef DDB_TESTS_JSON_SUPPORT_H
#define DDB_TESTS_JSON_SUPPORT_H

#include "support.h"

#include "io/json_read.h"

/* A text for the reader, given in pieces. */
typedef struct json_source {
  const char *data;
  size_t size;
  size_t at;
  size_t piece; /* bytes given at once; 0: all */
} json_source;

/* Where the writer's text goes; data is the user's to free. */
typedef struct json_sink {
  char *data;
  size_t size;
  size_t capacity;
} json_sink;

ddb_status json_fill(void *context, char *buffer, size_t capacity, size_t *size, ddb_error *err);
ddb_status json_flush(void *context, const char *data, size_t size, ddb_error *err);

ddb_builder *json_builder(void);
/* One value, read and decoded: item 0 of the builder. */
ddb_status json_decode(const char *data, size_t size, size_t piece, bool typed,
                       ddb_builder *builder, ddb_error *err);
/* One value's text; to->size starts from 0. */
ddb_status json_encode(const ddb_value *value, json_sink *to);

#endif
