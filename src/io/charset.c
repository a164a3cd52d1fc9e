/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charset.c - see charset.h.
 *
 * Invariants
 *   1. What iconv leaves at the end of a piece is the beginning of a character: it is kept for the
 *      next piece, and an error at the end of the file.
 *   2. What is converted stays in `output` until that is full, so that short texts cost no system
 *      call each.
 *   3. Reading gives at least one byte unless the file has ended.
 *   4. At the end iconv is asked for what it keeps: letters that wait for an accent, ways back to the
 *      first state.
 */
#include "io/charset.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/heap.h"
#include "base/status.h"
#include "io/try.h"

/* *marked: it is the one with a byte order mark. */
static bool is_utf8(const char *name, bool *marked) {
  static const char *const names[] = {"", "utf-8", "utf8", "utf_8", "utf-8-sig", "utf_8_sig"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcasecmp(name, names[i]) == 0) {
      *marked = i >= 4;
      return true;
    }
  }
  return false;
}

ddb_status ddb__charset_open(ddb__charset *charset, const char *name, bool reading,
                             ddb_error *err) {
  *charset = (ddb__charset){0};
  if (!name || is_utf8(name, &charset->marked)) {
    return DDB_OK;
  }
  (void)snprintf(charset->name, sizeof charset->name, "%s", name);
  charset->handle = reading ? iconv_open("UTF-8", charset->name) //
                            : iconv_open(charset->name, "UTF-8");
  if (charset->handle == (iconv_t)-1) {
    return ddb__fail(err, errno == ENOMEM ? DDB_ERR_NOMEM : DDB_ERR_INVALID,
                     "the encoding '%s' is not known here", charset->name);
  }
  charset->input = ddb__alloc(&ddb__heap_process, 2 * DDB__CHARSET_BUFFER_SIZE);
  if (!charset->input) {
    (void)iconv_close(charset->handle);
    return ddb__fail_memory(err, 2 * DDB__CHARSET_BUFFER_SIZE);
  }
  charset->output = charset->input + DDB__CHARSET_BUFFER_SIZE;
  return DDB_OK;
}

void ddb__charset_close(ddb__charset *charset) {
  if (charset->input) {
    (void)iconv_close(charset->handle);
    ddb__free(&ddb__heap_process, charset->input, 2 * DDB__CHARSET_BUFFER_SIZE);
  }
  *charset = (ddb__charset){0};
}

/* Converts what is in `input`; the rest of it moves to the front. *made: bytes at `out`. */
static int convert(ddb__charset *charset, char *out, size_t capacity, size_t *made) {
  char *in = charset->input;
  size_t in_left = charset->input_size;
  size_t out_left = capacity;
  size_t result = iconv(charset->handle, &in, &in_left, &out, &out_left);
  int error = result == (size_t)-1 ? errno : 0;
  memmove(charset->input, in, in_left);
  charset->input_size = in_left;
  *made = capacity - out_left;
  return error;
}

/* To the first state. Returns the bytes at `out`: a few, none the second time. */
static size_t finish(const ddb__charset *charset, char *out, size_t capacity) {
  size_t left = capacity;
  (void)iconv(charset->handle, NULL, NULL, &out, &left);
  return capacity - left;
}

ddb_status ddb__charset_read(ddb__charset *charset, ddb__file *file, char *buffer, size_t capacity,
                             size_t *size, ddb_error *err) {
  if (!charset->input) {
    return ddb__file_read(file, buffer, capacity, size, err);
  }
  *size = 0;
  while (*size == 0) {
    if (!charset->ended && charset->input_size < DDB__CHARSET_BUFFER_SIZE) {
      size_t more;
      DDB__TRY(ddb__file_read(file, charset->input + charset->input_size,
                              DDB__CHARSET_BUFFER_SIZE - charset->input_size, &more, err));
      charset->ended = more == 0;
      charset->input_size += more;
    }
    if (charset->input_size == 0) {
      *size = finish(charset, buffer, capacity);
      return DDB_OK;
    }
    int error = convert(charset, buffer, capacity, size);
    bool cut = error == EINVAL && charset->ended;
    if (*size == 0 && (error == EILSEQ || cut)) {
      return ddb__fail(err, DDB_ERR_CORRUPT, "what stands here is not of the encoding '%s'",
                       charset->name);
    }
  }
  return DDB_OK;
}

static ddb_status put_output(ddb__charset *charset, ddb__file *file, ddb_error *err) {
  DDB__TRY(ddb__file_write(file, charset->output, charset->output_size, err));
  charset->output_size = 0;
  return DDB_OK;
}

/* Converts what is in `input`, but for the beginning of a character at its end. */
static ddb_status put(ddb__charset *charset, ddb__file *file, ddb_error *err) {
  int error = 0;
  do {
    size_t made;
    error = convert(charset, charset->output + charset->output_size,
                    DDB__CHARSET_BUFFER_SIZE - charset->output_size, &made);
    charset->output_size += made;
    if (error == EILSEQ) {
      return ddb__fail(err, DDB_ERR_INVALID, "a character cannot be written in the encoding '%s'",
                       charset->name);
    }
    if (error == E2BIG) {
      DDB__TRY(put_output(charset, file, err));
    }
  } while (error == E2BIG);
  return DDB_OK;
}

ddb_status ddb__charset_start(const ddb__charset *charset, ddb__file *file, ddb_error *err) {
  return charset->marked ? ddb__file_write(file, "\xef\xbb\xbf", 3, err) : DDB_OK;
}

ddb_status ddb__charset_write(ddb__charset *charset, ddb__file *file, const char *data, size_t size,
                              ddb_error *err) {
  if (!charset->input) {
    return ddb__file_write(file, data, size, err);
  }
  while (size) {
    size_t room = DDB__CHARSET_BUFFER_SIZE - charset->input_size;
    size_t part = size < room ? size : room;
    memcpy(charset->input + charset->input_size, data, part);
    charset->input_size += part;
    data += part;
    size -= part;
    DDB__TRY(put(charset, file, err));
  }
  return DDB_OK;
}

ddb_status ddb__charset_finish(ddb__charset *charset, ddb__file *file, ddb_error *err) {
  if (!charset->input) {
    return DDB_OK;
  }
  DDB__TRY(put_output(charset, file, err));
  charset->output_size = finish(charset, charset->output, DDB__CHARSET_BUFFER_SIZE);
  return put_output(charset, file, err);
}
