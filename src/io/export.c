/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c - records as the lines of a text file, in CSV or NDJSON.
 *
 *   record --cells or members--> writer's buffer --encoding--> temporary file --commit--> path
 *
 * Invariants
 *   1. The target is not touched until all is on disk.
 *   2. A line of CSV has as many cells as there are columns, and is never empty.
 * Memory: the buffers, whatever is written. Ownership: the export owns copies of all its options.
 */
#include <stdio.h>

#include "base/heap.h"
#include "base/status.h"
#include "io/cell.h"
#include "io/charset.h"
#include "io/csv_options.h"
#include "io/file.h"
#include "io/json_record.h"
#include "io/layout.h"
#include "io/try.h"
#include "store/record.h"
#include "store/schema.h"
#include "store/text.h"

#define PROGRESS_PERIOD 1024

struct ddb_export {
  ddb_text_format format;
  ddb__file file;
  ddb__charset charset;
  ddb__json_writer writer;
  ddb__cell_writer cells;
  ddb__json_names names;
  ddb__layout_progress progress;
  uint64_t done;
  bool open; /* the file can be cancelled */
  uint64_t shape_id;
  ddb_str null_text; /* copies: all owned */
  ddb_str *columns;
  uint32_t *places; /* of the columns in the shape; DDB__NO_FIELD: it has none */
  size_t column_count;
  bool pairs; /* NDJSON: a column's name cannot be a key of an object */
  bool skip_missing;
};

/* ---- Life --------------------------------------------------------------------------------- */

static ddb_status flush(void *context, const char *data, size_t size, ddb_error *err) {
  ddb_export *file = context;
  return ddb__charset_write(&file->charset, &file->file, data, size, err);
}

static ddb_status copy_columns(ddb_export *file, const ddb_export_options *options,
                               ddb_error *err) {
  size_t count = options->columns ? options->column_count : 0;
  if (count == 0) {
    return options->format == DDB_TEXT_NDJSON
               ? DDB_OK
               : ddb__fail(err, DDB_ERR_INVALID, "a CSV file needs at least one column");
  }
  file->columns = ddb__alloc_zero(&ddb__heap_process, count * sizeof *file->columns);
  if (file->columns) {
    file->column_count = count;
    file->places = ddb__alloc(&ddb__heap_process, count * sizeof *file->places);
  }
  bool copied = file->places != NULL;
  for (size_t i = 0; i < count && copied; i++) {
    copied = ddb__text_copy(&ddb__heap_process, options->columns[i], &file->columns[i]);
    file->pairs |= !ddb__json_key_is_plain(options->columns[i]);
  }
  return copied ? DDB_OK : ddb__fail_memory(err, count * sizeof *file->columns);
}

void ddb_export_cancel(ddb_export *file) {
  if (!file) {
    return;
  }
  if (file->open) {
    ddb__file_cancel(&file->file);
  }
  for (size_t i = 0; i < file->column_count; i++) {
    ddb__text_free(&ddb__heap_process, file->columns[i]);
  }
  ddb__free(&ddb__heap_process, file->columns, file->column_count * sizeof *file->columns);
  ddb__free(&ddb__heap_process, file->places, file->column_count * sizeof *file->places);
  ddb__text_free(&ddb__heap_process, file->null_text);
  ddb__cell_writer_fini(&file->cells);
  ddb__json_writer_fini(&file->writer);
  ddb__charset_close(&file->charset);
  ddb__free(&ddb__heap_process, file, sizeof *file);
}

/* Where text is converted, each cell is at once: a character that the encoding lacks shows up now. */
static ddb_status put_cell(ddb_export *file, const ddb_value *value) {
  DDB__TRY(ddb__cell_write(&file->cells, value));
  return file->charset.input ? ddb__json_writer_flush(&file->writer) : DDB_OK;
}

/* Only what the text itself is to blame for gets its name. where: in front of it. */
static ddb_status blame(const ddb_export *file, ddb_status status, const char *where,
                        ddb_str name) {
  ddb_error *err = file->writer.err;
  if (status == DDB_ERR_INVALID && err) {
    ddb_error cause = *err;
    (void)ddb__fail(err, status, "%sfield '%.*s': %s", where, DDB__STR_ARG(name), cause.message);
    ddb__error_text(err->field, sizeof err->field, name);
  }
  return status;
}

static ddb_status write_header(ddb_export *file) {
  for (size_t i = 0; i < file->column_count; i++) {
    ddb_value name = ddb_text(file->columns[i]);
    if (i) {
      DDB__TRY(ddb__json_write_raw(&file->writer, &file->cells.delimiter, 1));
    }
    DDB__TRY(blame(file, put_cell(file, &name), "the name of ", file->columns[i]));
  }
  return ddb__json_write_raw(&file->writer, "\r\n", 2);
}

static ddb_status start(ddb_export *file, const char *path, const ddb_export_options *options,
                        ddb_error *err) {
  char delimiter = 0;
  DDB__TRY(ddb__csv_delimiter(options->delimiter, options->null_text, &delimiter, err));
  DDB__TRY(copy_columns(file, options, err));
  if (!ddb__text_copy(&ddb__heap_process, options->null_text, &file->null_text)) {
    return ddb__fail_memory(err, options->null_text.size);
  }
  DDB__TRY(ddb__charset_open(&file->charset, options->encoding, false, err));
  DDB__TRY(ddb__json_writer_init(&file->writer, flush, file, err));
  file->cells = (ddb__cell_writer){
      .out = &file->writer, .delimiter = delimiter, .null_text = file->null_text};
  DDB__TRY(ddb__file_replace(&file->file, -1, path, err));
  file->open = true;
  DDB__TRY(ddb__charset_start(&file->charset, &file->file, err));
  return file->format == DDB_TEXT_CSV ? write_header(file) : DDB_OK;
}

ddb_status ddb_export_open(const char *path, const ddb_export_options *options, ddb_export **out,
                           ddb_error *err) {
  if (options->format != DDB_TEXT_CSV && options->format != DDB_TEXT_NDJSON) {
    return ddb__fail(err, DDB_ERR_INVALID, "no such text format: %d", (int)options->format);
  }
  ddb_export *file = ddb__alloc_zero(&ddb__heap_process, sizeof *file);
  if (!file) {
    return ddb__fail_memory(err, sizeof *file);
  }
  file->format = options->format;
  file->skip_missing = options->skip_missing;
  file->progress = (ddb__layout_progress){
      .call = options->progress, .context = options->context, .total = options->total};
  ddb_status status = start(file, path, options, err);
  if (status != DDB_OK) {
    ddb_export_cancel(file);
    return status;
  }
  *out = file;
  return DDB_OK;
}

/* ---- Records ------------------------------------------------------------------------------ */

/* Columns mostly stand in the order of the fields: each is looked for behind the one before. */
static void place_columns(ddb_export *file, const ddb_shape *shape) {
  uint32_t next = 0;
  file->shape_id = shape->id;
  for (size_t i = 0; i < file->column_count; i++) {
    file->places[i] = DDB__NO_FIELD;
    for (uint32_t tried = 0; tried < shape->count; tried++) {
      uint32_t place = (next + tried) % shape->count;
      if (ddb__text_equal(shape->names[place], file->columns[i])) {
        file->places[i] = place;
        next = place + 1;
        break;
      }
    }
  }
}

static ddb_value value_of(const ddb_export *file, const ddb_record *record, size_t column) {
  uint32_t place = file->places[column];
  return place == DDB__NO_FIELD ? ddb_null() : ddb__record_at(record, place);
}

/* Must a text there be told from a value of another type? */
static bool text_has_rivals(const ddb_export *file, const ddb_record *record, size_t column) {
  uint32_t place = file->places[column];
  const ddb_schema_field *const *checks = record->shape->checks;
  uint32_t types =
      checks && place != DDB__NO_FIELD ? checks[place]->types & ~DDB_TYPE(DDB_NULL) : 0;
  return (types & DDB_TYPE(DDB_STR_KIND)) && types != DDB_TYPE(DDB_STR_KIND);
}

static ddb_status blame_record(const ddb_export *file, ddb_status status, size_t column) {
  char where[48] = "";
  if (status != DDB_OK) {
    (void)snprintf(where, sizeof where, "record %llu, ", (unsigned long long)file->done + 1);
  }
  return blame(file, status, where, file->columns[column]);
}

static ddb_status put_cells(ddb_export *file, const ddb_record *record) {
  for (size_t i = 0; i < file->column_count; i++) {
    ddb_value value = value_of(file, record, i);
    if (i) {
      DDB__TRY(ddb__json_write_raw(&file->writer, &file->cells.delimiter, 1));
    }
    bool nothing = value.kind == DDB_NULL && file->null_text.size == 0;
    if (nothing && file->column_count == 1) {
      return blame_record(file,
                          ddb__fail(file->writer.err, DDB_ERR_INVALID,
                                    "null alone in a line cannot be read again: give null a text, "
                                    "or write another column too"),
                          i);
    }
    file->cells.quote_text = text_has_rivals(file, record, i);
    DDB__TRY(blame_record(file, put_cell(file, &value), i));
  }
  return ddb__json_write_raw(&file->writer, "\r\n", 2);
}

/* Where text is converted, a line is at once: see put_cell. */
static ddb_status end_line(ddb_export *file) {
  ddb_status status = file->charset.input ? ddb__json_writer_flush(&file->writer) : DDB_OK;
  ddb_error *err = file->writer.err;
  if (status == DDB_ERR_INVALID && err) {
    ddb_error cause = *err;
    return ddb__fail(err, status, "record %llu: %s", (unsigned long long)file->done + 1,
                     cause.message);
  }
  return status;
}

static ddb_status put_members(ddb_export *file, const ddb_record *record) {
  bool first = true;
  for (size_t i = 0; i < file->column_count; i++) {
    if (file->skip_missing && file->places[i] == DDB__NO_FIELD) {
      continue;
    }
    ddb_value value = value_of(file, record, i);
    DDB__TRY(ddb__json_write_member(&file->writer, file->columns[i], &value, first, file->pairs));
    first = false;
  }
  if (first) {
    return ddb__json_write_raw(&file->writer, "{}\n", 3);
  }
  DDB__TRY(ddb__json_write_members_end(&file->writer, file->pairs));
  return ddb__json_write_raw(&file->writer, "\n", 1);
}

static ddb_status put_whole(ddb_export *file, const ddb_record *record) {
  DDB__TRY(ddb__json_write_record(&file->writer, &file->names, record));
  return ddb__json_write_raw(&file->writer, "\n", 1);
}

ddb_status ddb_export_put(ddb_export *file, const ddb_record *record, ddb_error *err) {
  file->writer.err = err;
  if (file->column_count && record->shape->id != file->shape_id) {
    place_columns(file, record->shape);
  }
  if (file->format == DDB_TEXT_CSV) {
    DDB__TRY(put_cells(file, record));
  } else {
    DDB__TRY(file->column_count ? put_members(file, record) : put_whole(file, record));
    DDB__TRY(end_line(file));
  }
  if (++file->done % PROGRESS_PERIOD == 0) {
    return ddb__layout_tell(&file->progress, file->done, false, err);
  }
  return DDB_OK;
}

ddb_status ddb_export_commit(ddb_export *file, ddb_error *err) {
  file->writer.err = err;
  DDB__TRY(ddb__json_writer_flush(&file->writer));
  DDB__TRY(ddb__charset_finish(&file->charset, &file->file, err));
  file->progress.total = file->done;
  DDB__TRY(ddb__layout_tell(&file->progress, file->done, true, err));
  file->open = false;
  return ddb__file_commit(&file->file, err);
}
