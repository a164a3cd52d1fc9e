/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charset.h - text files in other encodings than UTF-8, a piece at a time, by the system's iconv.
 *
 * Without a name, or with one of UTF-8's, nothing is converted; utf-8-sig begins with a byte order
 * mark when it is written. Belongs to one thread. Memory: two
 * fixed buffers, only where something is converted.
 */
#ifndef DDB_IO_CHARSET_H
#define DDB_IO_CHARSET_H

#include <iconv.h>

#include "dictdb.h"
#include "io/file.h"

#define DDB__CHARSET_BUFFER_SIZE ((size_t)64 * 1024)

typedef struct ddb__charset {
  char name[64]; /* "" for UTF-8 */
  iconv_t handle;
  char *input; /* DDB__CHARSET_BUFFER_SIZE bytes, owned; NULL: nothing is converted */
  char *output;
  size_t input_size;  /* bytes in `input` that are not converted yet */
  size_t output_size; /* writing: bytes in `output` that are not in the file yet */
  bool ended;         /* reading: the file has */
  bool marked;        /* the file begins with a byte order mark of UTF-8 */
} ddb__charset;

/* name: NULL or "" for UTF-8. reading: from that encoding, else to it. INVALID: not known. */
ddb_status ddb__charset_open(ddb__charset *charset, const char *name, bool reading, ddb_error *err);
void ddb__charset_close(ddb__charset *charset); /* also after zeroing */
/* As ddb__file_read, in UTF-8. CORRUPT: not of the encoding. capacity >= 16. */
ddb_status ddb__charset_read(ddb__charset *charset, ddb__file *file, char *buffer, size_t capacity,
                             size_t *size, ddb_error *err);
/* As ddb__file_write, from UTF-8. INVALID: a character that the encoding lacks; what was given before
 * it is converted by then, so that whoever gives one text at a time knows which it was. */
ddb_status ddb__charset_write(ddb__charset *charset, ddb__file *file, const char *data, size_t size,
                              ddb_error *err);
/* Writing: before the first byte. */
ddb_status ddb__charset_start(const ddb__charset *charset, ddb__file *file, ddb_error *err);
/* After the last byte was written. */
ddb_status ddb__charset_finish(ddb__charset *charset, ddb__file *file, ddb_error *err);

#endif
