/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv_read.c - see csv_read.h.
 *
 *   input --fill--> buffer [ consumed | at ... end )         64 KiB
 *   text:  [ the row's cells, unquoted, one behind the other )
 *
 * Invariants
 *   1. at <= end; buffer[0] is byte `base` of the input.
 *   2. Memory: the buffer, and twice the largest row: 8 bytes for a cell, its text.
 *   3. Each byte is looked at once, but for the run that memcpy takes.
 * Ownership: buffer, text and cells.
 */
#include "io/csv_read.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/try.h"

static ddb_status fail_at(const ddb__csv_reader *reader, uint64_t offset, const char *problem) {
  ddb_status status = ddb__fail(reader->err, DDB_ERR_CORRUPT, "%s", problem);
  if (reader->err) {
    reader->err->offset = offset;
  }
  return status;
}

static ddb_status grow_text(ddb__csv_reader *reader, size_t size) {
  size_t needed = reader->text_size + size;
  if (needed > DDB_RECORD_SIZE_MAX) {
    return fail_at(reader, reader->row_offset, "a row of more than 2 GiB");
  }
  char *text =
      ddb__room(&ddb__heap_process, reader->text, &reader->text_capacity, needed, 1, reader->err);
  if (!text) {
    return DDB_ERR_NOMEM;
  }
  reader->text = text;
  return DDB_OK;
}

/* ---- Life --------------------------------------------------------------------------------- */

ddb_status ddb__csv_reader_init(ddb__csv_reader *reader, ddb__csv_fill fill, void *context,
                                char delimiter, ddb_error *err) {
  *reader = (ddb__csv_reader){
      .fill = fill, .context = context, .err = err, .delimiter = delimiter, .line = 1};
  reader->buffer = ddb__alloc(&ddb__heap_process, DDB__CSV_BUFFER_SIZE);
  reader->at = reader->end = reader->buffer;
  if (!reader->buffer) {
    return ddb__fail_memory(err, DDB__CSV_BUFFER_SIZE);
  }
  return grow_text(reader, 1); /* empty cells have an address too */
}

void ddb__csv_reader_fini(ddb__csv_reader *reader) {
  ddb__free(&ddb__heap_process, reader->buffer, DDB__CSV_BUFFER_SIZE);
  ddb__free(&ddb__heap_process, reader->text, reader->text_capacity);
  ddb__free(&ddb__heap_process, reader->cells, reader->cell_capacity * sizeof *reader->cells);
  *reader = (ddb__csv_reader){0};
}

static uint64_t offset_now(const ddb__csv_reader *reader) {
  return reader->base + (uint64_t)(reader->at - reader->buffer);
}

/* ---- Input -------------------------------------------------------------------------------- */

static ddb_status refill(ddb__csv_reader *reader) {
  size_t size = 0;
  reader->base += (uint64_t)(reader->end - reader->buffer);
  reader->at = reader->end = reader->buffer;
  DDB__TRY(reader->fill(reader->context, reader->buffer, DDB__CSV_BUFFER_SIZE, &size, reader->err));
  reader->end += size;
  reader->ended = size == 0;
  return DDB_OK;
}

/* *byte: the next one, which stays; -1 at the end. */
static inline ddb_status peek(ddb__csv_reader *reader, int *byte) {
  if (reader->at == reader->end && !reader->ended) {
    DDB__TRY(refill(reader));
  }
  *byte = reader->at < reader->end ? (uint8_t)*reader->at : -1;
  return DDB_OK;
}

static ddb_status skip_mark(ddb__csv_reader *reader) {
  while (reader->end - reader->at < 3 && !reader->ended) {
    size_t have = (size_t)(reader->end - reader->buffer);
    size_t size = 0;
    DDB__TRY(reader->fill(reader->context, reader->buffer + have, DDB__CSV_BUFFER_SIZE - have,
                          &size, reader->err));
    reader->end += size;
    reader->ended = size == 0;
  }
  if (reader->end - reader->at >= 3 && memcmp(reader->at, "\xef\xbb\xbf", 3) == 0) {
    reader->at += 3;
  }
  reader->started = true;
  return DDB_OK;
}

/* ---- The row ------------------------------------------------------------------------------ */

static inline ddb_status add_text(ddb__csv_reader *reader, const char *data, size_t size) {
  if (size > reader->text_capacity - reader->text_size) {
    DDB__TRY(grow_text(reader, size));
  }
  if (size) {
    memcpy(reader->text + reader->text_size, data, size);
    reader->text_size += size;
  }
  return DDB_OK;
}

static ddb_status add_cell(ddb__csv_reader *reader, size_t at, bool quoted) {
  if (reader->cell_count == reader->cell_capacity) {
    if (reader->cell_count == DDB_FIELD_COUNT_MAX) {
      return fail_at(reader, reader->row_offset, "a row of more than 65535 cells");
    }
    size_t capacity = reader->cell_capacity ? 2 * reader->cell_capacity : 16;
    capacity = capacity < DDB_FIELD_COUNT_MAX ? capacity : DDB_FIELD_COUNT_MAX;
    ddb__csv_cell *cells = ddb__resize(&ddb__heap_process, reader->cells,
                                       reader->cell_capacity * sizeof *cells, //
                                       capacity * sizeof *cells);
    if (!cells) {
      return ddb__fail_memory(reader->err, capacity * sizeof *cells);
    }
    reader->cells = cells;
    reader->cell_capacity = capacity;
  }
  reader->cells[reader->cell_count++] =
      (ddb__csv_cell){(uint32_t)at, (uint32_t)(reader->text_size - at) & 0x7fffffffu, quoted};
  return DDB_OK;
}

/* Up to the delimiter or the end of the line, which stays. */
static ddb_status read_plain(ddb__csv_reader *reader) {
  for (;;) {
    const char *start = reader->at;
    const char *at = start;
    while (at < reader->end && *at != reader->delimiter && *at != '\n' && *at != '\r') {
      at++;
    }
    reader->at = at;
    DDB__TRY(add_text(reader, start, (size_t)(at - start)));
    int byte;
    if (at < reader->end) {
      return DDB_OK;
    }
    DDB__TRY(peek(reader, &byte));
    if (byte < 0) {
      return DDB_OK;
    }
  }
}

/* One CR LF, LF or CR, which is there. */
static ddb_status skip_line_end(ddb__csv_reader *reader) {
  bool carriage = *reader->at++ == '\r';
  reader->line++;
  if (carriage) {
    int byte;
    DDB__TRY(peek(reader, &byte));
    reader->at += byte == '\n';
  }
  return DDB_OK;
}

static ddb_status fail_open_quote(const ddb__csv_reader *reader, uint64_t line, uint64_t offset) {
  ddb_status status = ddb__fail(reader->err, DDB_ERR_CORRUPT,
                                "the quote that opens in line %llu (byte %llu) is never closed",
                                (unsigned long long)line, (unsigned long long)offset);
  if (reader->err) {
    reader->err->offset = offset;
  }
  return status;
}

/* Behind the opening quote. A line end in it is part of the text, as it is. */
static ddb_status read_quoted(ddb__csv_reader *reader) {
  uint64_t line = reader->line;
  uint64_t offset = offset_now(reader) - 1;
  bool after_return = false;
  for (;;) {
    const char *start = reader->at;
    const char *at = start;
    while (at < reader->end && *at != '"') {
      reader->line += *at == '\r' || (*at == '\n' && !after_return);
      after_return = *at == '\r';
      at++;
    }
    reader->at = at;
    DDB__TRY(add_text(reader, start, (size_t)(at - start)));
    int byte;
    DDB__TRY(peek(reader, &byte));
    if (byte < 0) {
      return fail_open_quote(reader, line, offset);
    }
    if (byte != '"') {
      continue; /* the buffer had ended */
    }
    after_return = false;
    reader->at++;
    DDB__TRY(peek(reader, &byte));
    if (byte != '"') {
      return DDB_OK;
    }
    DDB__TRY(add_text(reader, "\"", 1));
    reader->at++;
  }
}

/* *more: another cell follows in this row. */
static ddb_status read_cell(ddb__csv_reader *reader, bool *more) {
  size_t start = reader->text_size;
  int byte;
  DDB__TRY(peek(reader, &byte));
  bool quoted = byte == '"';
  if (quoted) {
    reader->at++;
    DDB__TRY(read_quoted(reader));
  } else {
    DDB__TRY(read_plain(reader));
  }
  DDB__TRY(add_cell(reader, start, quoted));
  DDB__TRY(peek(reader, &byte));
  *more = byte == (uint8_t)reader->delimiter;
  if (*more) {
    reader->at++;
    return DDB_OK;
  }
  if (byte < 0) {
    return DDB_OK;
  }
  return byte == '\n' || byte == '\r'
             ? skip_line_end(reader)
             : fail_at(reader, offset_now(reader), "text stands behind a closing quote");
}

ddb_status ddb__csv_next(ddb__csv_reader *reader, bool *found) {
  int byte;
  if (!reader->started) {
    DDB__TRY(skip_mark(reader));
  }
  DDB__TRY(peek(reader, &byte));
  while (byte == '\n' || byte == '\r') {
    DDB__TRY(skip_line_end(reader));
    DDB__TRY(peek(reader, &byte));
  }
  reader->row_line = reader->line;
  reader->row_offset = offset_now(reader);
  reader->cell_count = 0;
  reader->text_size = 0;
  *found = byte >= 0;
  for (bool more = *found; more;) {
    DDB__TRY(read_cell(reader, &more));
  }
  return DDB_OK;
}
