/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.h - text into a buffer of the caller's: counts all bytes, writes those that fit.
 */
#ifndef DDB_QUERY_WRITER_H
#define DDB_QUERY_WRITER_H

#include "dictdb.h"

typedef struct ddb__writer {
  char *buffer;
  size_t capacity;
  size_t size;
} ddb__writer;

/* The buffer may be NULL: then bytes are only counted. */
ddb__writer ddb__writer_start(char *buffer, size_t capacity);
void ddb__writer_put(ddb__writer *to, const char *text, size_t size);
void ddb__writer_text(ddb__writer *to, const char *text);
void ddb__writer_value(ddb__writer *to, const ddb_value *value);
/* A field's name; names that are no identifiers: ['first name']. */
void ddb__writer_field(ddb__writer *to, ddb_str name);
/* Ends the text with a NUL, after "..." at a boundary of UTF-8 when it was cut. */
void ddb__writer_end(ddb__writer *to);

#endif
