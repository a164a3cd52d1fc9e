/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_write.h - values as JSON text through one fixed buffer.
 *
 * Every value that the store can hold has a text, and the text gives the value back, equal and of
 * the same kind (docs/file-format.md). The writer keeps nothing but the buffer: memory does not
 * depend on what is written. It belongs to one thread.
 */
#ifndef DDB_IO_JSON_WRITE_H
#define DDB_IO_JSON_WRITE_H

#include "dictdb.h"

#define DDB__JSON_BUFFER_SIZE ((size_t)256 * 1024)
#define DDB__JSON_ROOM_MAX    ((size_t)8 * 1024) /* the most that ddb__json_room gives */

/* Takes the bytes that a full buffer holds. */
typedef ddb_status (*ddb__json_flush)(void *context, const char *data, size_t size, ddb_error *err);

typedef struct ddb__json_writer {
  char *buffer; /* DDB__JSON_BUFFER_SIZE bytes, owned */
  size_t used;
  ddb__json_flush flush;
  void *context;
  ddb_error *err; /* where every error of this writer goes; may be NULL */
} ddb__json_writer;

ddb_status ddb__json_writer_init(ddb__json_writer *writer, ddb__json_flush flush, void *context,
                                 ddb_error *err);
/* What is in the buffer is dropped. */
void ddb__json_writer_fini(ddb__json_writer *writer);
/* Hands what is in the buffer on. */
ddb_status ddb__json_writer_flush(ddb__json_writer *writer);

/* Makes room for `size` bytes (at most DDB__JSON_ROOM_MAX) at buffer + used. */
static inline ddb_status ddb__json_room(ddb__json_writer *writer, size_t size) {
  return size <= DDB__JSON_BUFFER_SIZE - writer->used ? DDB_OK : ddb__json_writer_flush(writer);
}

/* As it is: any number of bytes. */
ddb_status ddb__json_write_raw(ddb__json_writer *writer, const char *data, size_t size);
static inline ddb_status ddb__json_write_text(ddb__json_writer *writer, const char *text) {
  return ddb__json_write_raw(writer, text, strlen(text));
}
/* A string in quotes. INVALID when it is not UTF-8. A high surrogate with a low one behind it, both
 * lone, would read back as one character: ddb__json_write_value keeps them apart. */
ddb_status ddb__json_write_string(ddb__json_writer *writer, ddb_str text);
ddb_status ddb__json_write_value(ddb__json_writer *writer, const ddb_value *value);

/* May the string be a key of a JSON object as it is? Not "$type", nor what
 * ddb__json_write_string cannot keep. */
bool ddb__json_key_is_plain(ddb_str key);

#endif
