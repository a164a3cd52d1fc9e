/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv_read.h - CSV (RFC 4180) as rows of cells, from a stream.
 *
 * Cells are separated by the delimiter, rows by CR LF, LF or CR. A cell that begins with a quote
 * ends at the next one that is not doubled. Empty lines are no rows. A byte order mark is passed
 * over. Thread-safety: distinct. Errors: CORRUPT with a place, NOMEM, those of `fill`.
 */
#ifndef DDB_IO_CSV_READ_H
#define DDB_IO_CSV_READ_H

#include "dictdb.h"

#define DDB__CSV_BUFFER_SIZE ((size_t)64 * 1024)

/* *size: bytes put into the buffer; 0: the input has ended. */
typedef ddb_status (*ddb__csv_fill)(void *context, char *buffer, size_t capacity, size_t *size,
                                    ddb_error *err);

typedef struct ddb__csv_cell {
  uint32_t at; /* offset in the row's text */
  uint32_t size : 31;
  uint32_t quoted : 1;
} ddb__csv_cell;

typedef struct ddb__csv_reader {
  /* The last row. */
  ddb__csv_cell *cells; /* owned */
  size_t cell_count;
  char *text;        /* owned */
  uint64_t row_line; /* where it begins; lines count from 1 */
  uint64_t row_offset;

  /* Private to csv_read.c. */
  ddb__csv_fill fill;
  void *context;
  ddb_error *err; /* may be NULL */
  char delimiter;
  size_t cell_capacity;
  size_t text_size;
  size_t text_capacity;
  char *buffer; /* owned */
  const char *at;
  const char *end;
  uint64_t base; /* offset of buffer[0] */
  uint64_t line; /* of the byte at `at` */
  bool started;
  bool ended;
} ddb__csv_reader;

/* After an error too, _fini has to follow. */
ddb_status ddb__csv_reader_init(ddb__csv_reader *reader, ddb__csv_fill fill, void *context,
                                char delimiter, ddb_error *err);
void ddb__csv_reader_fini(ddb__csv_reader *reader);
/* *found: false at the end of the input. */
ddb_status ddb__csv_next(ddb__csv_reader *reader, bool *found);

static inline ddb_str ddb__csv_text(const ddb__csv_reader *reader, size_t cell) {
  return (ddb_str){reader->text + reader->cells[cell].at, reader->cells[cell].size};
}

#endif
