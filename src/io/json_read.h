/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read.h - a streaming JSON tokenizer: one token per call, in constant memory but for texts.
 *
 * Accepts RFC 8259 in UTF-8, and NaN, Infinity and -Infinity as Python's json writes them. Refuses
 * everything else with DDB_ERR_CORRUPT and the byte's offset. After an error the reader is only
 * good for _fini. It belongs to one thread.
 *
 * Texts (of strings, keys and big integers) are appended to reader->text and stay there until the
 * user cuts text_size back; they are named by offset, since the memory moves when it grows.
 */
#ifndef DDB_IO_JSON_READ_H
#define DDB_IO_JSON_READ_H

#include "dictdb.h"
#include "io/checksum.h"

#define DDB__JSON_READ_SIZE ((size_t)64 * 1024)
/* A value can take three levels of JSON for one of its own ({"$type": "dict", "value": [[...]]}),
 * and the file's layout stands around it. */
#define DDB__JSON_DEPTH_MAX (3 * DDB_DEPTH_MAX + 16)

typedef enum ddb__json_token {
  DDB__JSON_END, /* of the text: a whole value was read, and nothing follows */
  DDB__JSON_OBJECT,
  DDB__JSON_OBJECT_END,
  DDB__JSON_ARRAY,
  DDB__JSON_ARRAY_END,
  DDB__JSON_KEY, /* its colon is consumed */
  DDB__JSON_STRING,
  DDB__JSON_INT,
  DDB__JSON_BIGINT, /* text: "-" and digits */
  DDB__JSON_FLOAT,
  DDB__JSON_BOOL,
  DDB__JSON_NULL
} ddb__json_token;

/* Reads up to `capacity` bytes; *size 0: the end. */
typedef ddb_status (*ddb__json_fill)(void *context, char *buffer, size_t capacity, size_t *size,
                                     ddb_error *err);

typedef struct ddb__json_reader {
  /* The last token. */
  ddb__json_token token;
  uint64_t token_offset; /* of its first byte in the input */
  size_t token_text;     /* offset in `text` */
  size_t token_size;
  union {
    bool boolean;
    int64_t integer;
    double real;
  } as;
  char *text; /* owned */
  size_t text_size;
  size_t text_capacity;

  /* Private to json_read.c. */
  ddb__json_fill fill;
  void *context;
  ddb_error *err;
  char *buffer; /* DDB__JSON_READ_SIZE bytes, owned */
  const char *at;
  const char *end;
  const char *summed;      /* bytes before it are in the checksum */
  ddb__checksum *checksum; /* NULL: none is kept */
  uint64_t base;           /* offset of buffer[0] in the input */
  bool ended;
  uint8_t expect;
  uint32_t depth;
  uint8_t in_object[DDB__JSON_DEPTH_MAX]; /* what is open, outermost first */
} ddb__json_reader;

/* err: where every error of this reader goes; may be NULL. checksum: of all bytes consumed; may be
 * NULL. After an error too, _fini has to follow. */
ddb_status ddb__json_reader_init(ddb__json_reader *reader, ddb__json_fill fill, void *context,
                                 ddb__checksum *checksum, ddb_error *err);
void ddb__json_reader_fini(ddb__json_reader *reader);

/* Reads the next token into reader->token. */
ddb_status ddb__json_next(ddb__json_reader *reader);
/* The last token begins a value: reads to its end, keeping no text. */
ddb_status ddb__json_skip(ddb__json_reader *reader);
/* Brings the checksum up to the end of the last token (a key's colon is part of it). */
void ddb__json_reader_sum(ddb__json_reader *reader);
/* The input has been set to `offset`: goes on there, at the same depth, with a value (before_value)
 * or with what follows one. A checksum is then of no use. */
void ddb__json_reader_move(ddb__json_reader *reader, uint64_t offset, bool before_value);
/* Another input: its first value comes next. */
void ddb__json_reader_restart(ddb__json_reader *reader);
/* The last value stood alone in its line: begins the next one, of a line below. *found: false at the
 * end of the input. *lines: increased by the line ends passed. */
ddb_status ddb__json_next_line(ddb__json_reader *reader, bool *found, uint64_t *lines);
/* Offset of the next byte. */
static inline uint64_t ddb__json_reader_offset(const ddb__json_reader *reader) {
  return reader->base + (uint64_t)(reader->at - reader->buffer);
}
static inline ddb_str ddb__json_token_text(const ddb__json_reader *reader) {
  return (ddb_str){reader->text + reader->token_text, reader->token_size};
}
/* DDB_ERR_CORRUPT at an offset. */
ddb_status ddb__json_fail(const ddb__json_reader *reader, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

#endif
