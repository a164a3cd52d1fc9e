/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c - a text file as a new table, from CSV or NDJSON.
 *
 *   file --encoding--> rows or lines --> batch of records --> hidden table --> listed
 *
 * Invariants
 *   1. The table is hidden until it holds all of the file: on an error nothing of it is left, and
 *      nobody has seen any.
 *   2. Rows have exactly as many cells as the header.
 * Memory beside the table's: one batch, the largest row twice. Locks: none of our own.
 */
#include <stdio.h>

#include "base/heap.h"
#include "base/status.h"
#include "io/cell.h"
#include "io/charset.h"
#include "io/csv_options.h"
#include "io/csv_read.h"
#include "io/file.h"
#include "io/fill.h"
#include "io/json_record.h"
#include "io/layout.h"
#include "io/try.h"
#include "store/schema.h"
#include "store/shape.h"
#include "store/table.h"
#include "store/text.h"

#define COLUMN_NAME_SIZE_MAX 32 /* more than any number needs */

typedef struct importer {
  const ddb_import_options *options;
  ddb_table *table; /* hidden */
  ddb__file file;
  ddb__charset charset;
  ddb__layout_progress progress; /* of bytes */
  uint64_t done;
  ddb__fill fill;
  uint64_t line; /* of what is being read */
  uint64_t offset;
  ddb_error *err; /* never NULL */

  /* CSV */
  ddb__csv_reader rows;
  ddb__cell_reader cells;
  const ddb_shape *shape;
  size_t column_count;

  /* NDJSON */
  ddb__json_reader reader;
  ddb__json_tape tape;
  ddb__json_decoder decoder;
  ddb__json_maker maker;
} importer;

/* ---- Input and errors --------------------------------------------------------------------- */

static ddb_status fill_buffer(void *context, char *buffer, size_t capacity, size_t *size,
                              ddb_error *err) {
  importer *im = context;
  DDB__TRY(ddb__charset_read(&im->charset, &im->file, buffer, capacity, size, err));
  uint64_t total = im->progress.total;
  im->done += *size;
  im->done = total && im->done > total ? total : im->done;
  return ddb__layout_tell(&im->progress, im->done, false, err);
}

static ddb_status blame_line(const importer *im, ddb_status status, uint64_t line,
                             uint64_t offset) {
  if (ddb__fill_file_is_innocent(status)) {
    return status;
  }
  ddb_error cause = *im->err;
  (void)ddb__fail(im->err, status, "line %llu: %s", (unsigned long long)line, cause.message);
  memcpy(cause.message, im->err->message, sizeof cause.message);
  *im->err = cause;
  if (!im->err->offset && !im->charset.input) {
    im->err->offset = offset;
  }
  return status;
}

static ddb_status blame(const importer *im, ddb_status status) {
  return blame_line(im, status, im->line, im->offset);
}

static ddb_status add_record(importer *im) {
  ddb_status status = ddb__fill_add(&im->fill, im->offset, im->line);
  return blame_line(im, status, im->fill.refused.line, im->fill.refused.offset);
}

static ddb_status flush_records(importer *im) {
  ddb_status status = ddb__fill_flush(&im->fill);
  return blame_line(im, status, im->fill.refused.line, im->fill.refused.offset);
}

/* ---- CSV ---------------------------------------------------------------------------------- */

static ddb_status shape_of(importer *im, const ddb_str *names) {
  return ddb_table_shape(im->table, DDB_SHAPE_RECORD, names, im->column_count, &im->shape, im->err);
}

/* The first row's cells are the names; where there are none, its count is all it tells. */
static ddb_status name_columns(importer *im, ddb_str *names, char *made) {
  for (size_t i = 0; i < im->column_count; i++) {
    if (im->options->no_header) {
      char *name = made + i * COLUMN_NAME_SIZE_MAX;
      (void)snprintf(name, COLUMN_NAME_SIZE_MAX, "column_%zu", i + 1);
      names[i] = ddb_str_from(name);
      continue;
    }
    names[i] = ddb__csv_text(&im->rows, i);
    if (names[i].size == 0 && !im->rows.cells[i].quoted) {
      return ddb__fail(im->err, DDB_ERR_CORRUPT, "column %zu of the header has no name", i + 1);
    }
  }
  return shape_of(im, names);
}

static ddb_status read_header(importer *im) {
  im->column_count = im->rows.cell_count;
  size_t size = im->column_count * (sizeof(ddb_str) + COLUMN_NAME_SIZE_MAX);
  ddb_str *names = ddb__alloc(&ddb__heap_process, size);
  if (!names) {
    return ddb__fail_memory(im->err, size);
  }
  ddb_status status = name_columns(im, names, (char *)(names + im->column_count));
  ddb__free(&ddb__heap_process, names, size);
  return status;
}

static ddb_status fail_ragged(const importer *im) {
  return ddb__fail(im->err, DDB_ERR_CORRUPT, "%zu cells in a file of %zu columns",
                   im->rows.cell_count, im->column_count);
}

static ddb_status fail_cell(const importer *im, ddb_status status, size_t index) {
  if (!ddb__fill_file_is_innocent(status)) {
    ddb_error cause = *im->err;
    ddb_str name = im->shape->names[index];
    char expected[64] = "";
    if (cause.status == DDB_ERR_SCHEMA && im->shape->checks) {
      ddb__schema_types_format(im->shape->checks[index]->types, expected, sizeof expected);
    }
    (void)ddb__fail(im->err, status, "field '%.*s'%s%s: %s", DDB__STR_ARG(name),
                    *expected ? " expects " : "", expected, cause.message);
    ddb__error_text(im->err->field, sizeof im->err->field, name);
    ddb__error_text(im->err->expected, sizeof im->err->expected, ddb_str_from(expected));
  }
  return status;
}

static ddb_status read_row(importer *im) {
  if (im->rows.cell_count != im->column_count) {
    return fail_ragged(im);
  }
  ddb_builder *batch = im->fill.batch;
  DDB__TRY(ddb_builder_record_begin(batch, im->shape, !im->options->skip_validation, im->err));
  for (size_t i = 0; i < im->column_count; i++) {
    const ddb_schema_field *const *checks = im->shape->checks;
    uint32_t types = checks ? checks[i]->types : 0;
    ddb_status status = ddb__cell_read(&im->cells, ddb__csv_text(&im->rows, i),
                                       im->rows.cells[i].quoted, types, batch);
    if (status != DDB_OK) {
      ddb_builder_cancel(batch);
      return fail_cell(im, status, i);
    }
  }
  return ddb_builder_end(batch, im->err);
}

static ddb_status next_row(importer *im, bool *found) {
  ddb_status status = ddb__csv_next(&im->rows, found);
  im->line = im->rows.row_line;
  im->offset = im->rows.row_offset;
  return blame(im, status);
}

static ddb_status read_csv(importer *im) {
  bool found;
  DDB__TRY(next_row(im, &found));
  if (!found) {
    return im->options->no_header ? DDB_OK
                                  : ddb__fail(im->err, DDB_ERR_CORRUPT, "there is no header");
  }
  DDB__TRY(blame(im, read_header(im)));
  if (!im->options->no_header) {
    DDB__TRY(next_row(im, &found));
  }
  while (found) {
    DDB__TRY(blame(im, read_row(im)));
    DDB__TRY(add_record(im));
    DDB__TRY(next_row(im, &found));
  }
  return flush_records(im);
}

/* ---- NDJSON ------------------------------------------------------------------------------- */

static ddb_status read_line(importer *im) {
  im->tape.count = 0;
  if (im->reader.token != DDB__JSON_OBJECT) {
    return ddb__json_fail(&im->reader, im->reader.token_offset,
                          im->reader.token == DDB__JSON_ARRAY && im->line == 1
                              ? "a list and no record: a whole database is read by load"
                              : "not an object");
  }
  DDB__TRY(ddb__json_tape_read(&im->tape, &im->reader));
  return ddb__json_make(&im->maker, 0);
}

static ddb_status next_line(importer *im, bool *found) {
  im->reader.text_size = 0;
  ddb_status status = ddb__json_next_line(&im->reader, found, &im->line);
  im->offset = im->reader.token_offset;
  return blame(im, status);
}

static ddb_status read_lines(importer *im) {
  bool found;
  im->line = 1;
  DDB__TRY(next_line(im, &found));
  while (found) {
    DDB__TRY(blame(im, read_line(im)));
    DDB__TRY(add_record(im));
    DDB__TRY(next_line(im, &found));
  }
  return flush_records(im);
}

/* ---- Life --------------------------------------------------------------------------------- */

static ddb_status init_csv(importer *im) {
  const ddb_import_options *options = im->options;
  char delimiter = 0;
  DDB__TRY(ddb__csv_delimiter(options->delimiter, options->null_text, &delimiter, im->err));
  im->cells = (ddb__cell_reader){.null_text = options->null_text,
                                 .infer = !options->only_text,
                                 .lenient = options->skip_validation,
                                 .err = im->err};
  return ddb__csv_reader_init(&im->rows, fill_buffer, im, delimiter, im->err);
}

static ddb_status init_lines(importer *im) {
  im->decoder =
      (ddb__json_decoder){.tape = &im->tape, .reader = &im->reader, .typed = true, .err = im->err};
  im->maker = (ddb__json_maker){
      .decoder = &im->decoder, .fill = &im->fill, .validate = !im->options->skip_validation};
  return ddb__json_reader_init(&im->reader, fill_buffer, im, NULL, im->err);
}

static ddb_status read_all(importer *im, const char *path) {
  const ddb_import_options *options = im->options;
  bool csv = options->format == DDB_TEXT_CSV;
  DDB__TRY(ddb__fill_init(&im->fill, im->err));
  im->fill.table = im->table;
  DDB__TRY(ddb__charset_open(&im->charset, options->encoding, true, im->err));
  DDB__TRY(csv ? init_csv(im) : init_lines(im));
  DDB__TRY(ddb__file_open(&im->file, path, im->err));
  im->progress.total = im->file.size;
  DDB__TRY(csv ? read_csv(im) : read_lines(im));
  return ddb__layout_tell(&im->progress, im->progress.total, true, im->err);
}

static void fini(importer *im) {
  ddb__json_maker_fini(&im->maker);
  ddb__json_decoder_fini(&im->decoder);
  ddb__json_tape_fini(&im->tape);
  ddb__json_reader_fini(&im->reader);
  ddb__cell_reader_fini(&im->cells);
  ddb__csv_reader_fini(&im->rows);
  ddb__charset_close(&im->charset);
  ddb__fill_fini(&im->fill);
  ddb__file_close(&im->file);
}

static ddb_status import(importer *im, ddb_db *db, const char *path, ddb_str table_name,
                         uint64_t *count) {
  if (im->options->format != DDB_TEXT_CSV && im->options->format != DDB_TEXT_NDJSON) {
    return ddb__fail(im->err, DDB_ERR_INVALID, "no such text format: %d", (int)im->options->format);
  }
  DDB__TRY(ddb__db_table_begin(db, table_name, im->options->table, &im->table, im->err));
  ddb_status status = read_all(im, path);
  uint64_t records = im->fill.count;
  fini(im);
  if (status != DDB_OK) {
    ddb__db_table_discard(im->table);
    return ddb__fill_file_is_innocent(status) ? status : ddb__file_name(im->err, path);
  }
  DDB__TRY(ddb__db_table_list(im->table, 0, im->err));
  ddb_table_release(im->table);
  if (count) {
    *count = records;
  }
  return DDB_OK;
}

ddb_status ddb_db_import(ddb_db *db, const char *path, ddb_str table_name,
                         const ddb_import_options *options, uint64_t *count, ddb_error *err) {
  ddb_error own = {0};
  importer im = {.options = options,
                 .file = {.fd = -1, .directory = -1},
                 .progress = {.call = options->progress, .context = options->context},
                 .err = &own};
  ddb_status status = import(&im, db, path, table_name, count);
  if (status != DDB_OK && err) {
    *err = own;
  }
  return status;
}
