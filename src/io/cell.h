/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.h - values as the cells of a CSV file, and back (docs/file-format.md).
 *
 * A cell is the plain text of its value where there is one, else its JSON text. Quotes tell text
 * from what would be read as something else: the null text, what looks like a number, and any text of
 * a field that may be something else too.
 * Thread-safety: distinct.
 */
#ifndef DDB_IO_CELL_H
#define DDB_IO_CELL_H

#include "dictdb.h"
#include "io/json_decode.h"
#include "io/json_read.h"
#include "io/json_tape.h"
#include "io/json_write.h"

#define DDB__CELL_DIGITS_MAX 4300 /* of an integer: what Python's int() takes */

typedef struct ddb__cell_writer {
  ddb__json_writer *out;
  ddb__json_writer json; /* a JSON text on its way into a quoted cell; buffer NULL: not used yet */
  char delimiter;
  bool quote_text;   /* the field in hand may be a str among others: see ddb__cell_read */
  ddb_str null_text; /* borrowed */
} ddb__cell_writer;

void ddb__cell_writer_fini(ddb__cell_writer *writer);
/* null and missing become the null text. INVALID: a str that is not Unicode. */
ddb_status ddb__cell_write(ddb__cell_writer *writer, const ddb_value *value);

typedef struct ddb__cell_reader {
  ddb_str null_text; /* borrowed */
  bool infer;        /* no type asked for: what looks like a number is one */
  bool lenient;      /* what is not of the type asked for stays text */
  ddb_error *err;    /* may be NULL */
  /* Private: the JSON text in hand. */
  ddb_str source;
  ddb__json_reader reader;
  ddb__json_tape tape;
  ddb__json_decoder decoder;
  ddb_builder *trial; /* owned; NULL: not needed yet */
  uint8_t *scratch;
  size_t scratch_size;
} ddb__cell_reader;

void ddb__cell_reader_fini(ddb__cell_reader *reader); /* also after zeroing */
/* Appends the cell's value to the builder. types: what a schema asks for, DDB_TYPE bits; 0: nothing.
 * A quoted text is a str where one may be. SCHEMA: it is no such value; CORRUPT: it should be JSON, and
 * is not. After an error the record in hand has to be cancelled. */
ddb_status ddb__cell_read(ddb__cell_reader *reader, ddb_str text, bool quoted, uint32_t types,
                          ddb_builder *builder);
/* Is the text a number by itself, unquoted and with no type asked for? *is_float: which. */
bool ddb__cell_is_number(ddb_str text, bool *is_float);

#endif
