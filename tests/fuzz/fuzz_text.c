/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_text.c - a libFuzzer target: any bytes as a CSV or NDJSON file of one table.
 *
 * The first byte says how the rest is read: format, header or none, types asked for or inferred, the
 * encoding, the delimiter. Checked for every input: no crash, no leak, a table or an error that
 * blames the file and leaves no table behind; memory is paid for by the file; what was imported is
 * exported, imported and exported again to the same bytes.
 */
#include <string.h>

#include "support.h"

#define INPUT_SIZE_MAX 65536

enum {
  NDJSON = 1,
  NO_HEADER = 2,
  SCHEMA = 4,
  ONLY_TEXT = 8,
  LATIN = 16,
  SEMICOLON = 32,
  LENIENT = 64
};

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
}

/* All fields that a record of the view has; at most `capacity`. */
static size_t columns_of(const ddb_view *view, ddb_str *names, size_t capacity) {
  size_t count = capacity;
  fuzz_require(ddb_view_columns(view, names, &count, NULL) == DDB_OK, "columns");
  return count;
}

static bool export_table(ddb_table *table, const ddb_export_options *base, const char *path) {
  static ddb_str names[65536];
  ddb_view view;
  ddb_error err;
  ddb_export *file = NULL; /* none: a column whose name no encoding has */
  ddb_export_options options = *base;
  fuzz_require(ddb_view_open(table, &view, NULL) == DDB_OK, "view");
  options.column_count = columns_of(&view, names, sizeof names / sizeof names[0]);
  options.columns = options.format == DDB_TEXT_CSV && options.column_count ? names : NULL;
  bool possible = options.format == DDB_TEXT_NDJSON || options.column_count > 1;
  ddb_status status = possible ? ddb_export_open(path, &options, &file, &err) : DDB_ERR_INVALID;
  uint64_t position = 0;
  const ddb_record *record;
  while (status == DDB_OK && (record = ddb_view_next(&view, &position)) != NULL) {
    status = ddb_export_put(file, record, &err);
  }
  if (status == DDB_OK) {
    status = ddb_export_commit(file, &err);
  }
  ddb_export_cancel(file);
  ddb_view_close(&view);
  fuzz_require(status == DDB_OK || status == DDB_ERR_INVALID, "an export that fails");
  return status == DDB_OK;
}

static void export_twice(ddb_db *db, ddb_table *table, const ddb_import_options *in) {
  ddb_export_options out = {.format = in->format, .delimiter = in->delimiter};
  ddb_import_options again = {.format = in->format, .delimiter = in->delimiter, .table = in->table};
  ddb_error err;
  ddb_table *back;
  if (!export_table(table, &out, fuzz_path("one"))) {
    return; /* a lone surrogate, or a null alone in a line */
  }
  fuzz_bytes one = fuzz_file(fuzz_path("one"));
  again.skip_validation = in->skip_validation;
  if (ddb_db_import(db, fuzz_path("one"), DDB_STR("u"), &again, NULL, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  fuzz_require(ddb_db_table_get(db, DDB_STR("u"), &back, NULL) == DDB_OK, "no table");
  fuzz_require(export_table(back, &out, fuzz_path("two")), "a second export that fails");
  fuzz_bytes two = fuzz_file(fuzz_path("two"));
  fuzz_require(one.size == two.size && memcmp(one.data, two.data, one.size) == 0,
               "another file after a round trip");
  free(one.data);
  free(two.data);
  ddb_table_release(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const ddb_schema_field fields[] = {
      {DDB_STR("id"), DDB_TYPE_INT, NULL},
      {DDB_STR("a"), (1u << DDB_KIND_COUNT) - 2, NULL},
      {DDB_STR("b"), DDB_TYPE(DDB_BYTES) | DDB_TYPE(DDB_NULL), NULL},
      {DDB_STR("c"), DDB_TYPE(DDB_DATETIME) | DDB_TYPE(DDB_NULL), NULL},
      {DDB_STR("d"), DDB_TYPE(DDB_DICT) | DDB_TYPE(DDB_NULL), NULL}};
  if (size < 1 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  unsigned mode = data[0];
  ddb_table_options table = {0};
  if (mode & SCHEMA) {
    table.schema = fields;
    table.schema_count = sizeof fields / sizeof fields[0];
  }
  ddb_import_options options = {.format = mode & NDJSON ? DDB_TEXT_NDJSON : DDB_TEXT_CSV,
                                .table = &table,
                                .no_header = mode & NO_HEADER,
                                .only_text = mode & ONLY_TEXT,
                                .encoding = mode & LATIN ? "ISO-8859-1" : NULL,
                                .skip_validation = mode & LENIENT,
                                .delimiter = mode & SEMICOLON ? ';' : ','};
  ddb_db *db;
  ddb_error err = {0};
  ddb_table *made = NULL;
  fuzz_write(fuzz_path("in"), data + 1, size - 1);
  fuzz_require(ddb_db_new(&db, NULL) == DDB_OK, "no memory");
  fuzz_memory_watch();
  ddb_status status = ddb_db_import(db, fuzz_path("in"), DDB_STR("t"), &options, NULL, &err);
  fuzz_memory_check(4 * size); /* a record is a record, however short its row */
  bool there = ddb_db_table_get(db, DDB_STR("t"), &made, NULL) == DDB_OK;
  fuzz_require(there == (status == DDB_OK), "a table of a failed import, or none of another");
  if (status == DDB_OK) {
    fuzz_read(db);
    export_twice(db, made, &options);
    ddb_table_release(made);
  } else {
    fuzz_require(strstr(err.message, "in'") != NULL, "an error without the file's name");
  }
  ddb_db_release(db);
  return 0;
}
