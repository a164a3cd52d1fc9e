/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_files.c - tables as CSV and NDJSON files: export_csv, export_ndjson, import_csv,
 * import_ndjson.
 *
 *   arguments --> options of the library --> one view, or one new table (detached)
 *
 * Records that are given instead of the table's own go through a table of their own, whose key has
 * a name that they lack.
 */
#include "pyddb.h"

#include <string.h>

/* ---- Arguments ----------------------------------------------------------------------------- */

/* The name that iconv may know: Python's own for the encoding, but hyphens for underscores and utf-16le
 * for utf-16-le. *out: bytes. */
static int take_encoding(pyddb_state *state, PyObject *given, PyObject **out) {
  static const char *const changes[][2] = {
      {"_", "-"}, {"16-", "16"}, {"32-", "32"}, {"iso2022-", "iso-2022-"}};
  *out = NULL;
  if (!given) {
    return 0;
  }
  PyObject *codecs = PyImport_ImportModule("codecs");
  PyObject *info = codecs ? PyObject_CallMethod(codecs, "lookup", "O", given) : NULL;
  PyObject *name = info ? PyObject_GetAttrString(info, "name") : NULL;
  for (size_t i = 0; name && i < sizeof changes / sizeof changes[0]; i++) {
    Py_SETREF(name, PyObject_CallMethod(name, "replace", "ss", changes[i][0], changes[i][1]));
  }
  *out = name ? PyUnicode_AsASCIIString(name) : NULL;
  Py_XDECREF(codecs);
  Py_XDECREF(info);
  Py_XDECREF(name);
  if (!*out &&
      (PyErr_ExceptionMatches(PyExc_LookupError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
       PyErr_ExceptionMatches(PyExc_ValueError))) {
    PyErr_Clear();
    pyddb_raise_format(state, PyUnicode_Check(given) ? DDB_ERR_INVALID : DDB_ERR_TYPE,
                       "encoding %R is not known", given);
  }
  return *out ? 0 : -1;
}

static int take_delimiter(pyddb_state *state, PyObject *given, char *out) {
  *out = ',';
  if (!given) {
    return 0;
  }
  if (!PyUnicode_Check(given) || PyUnicode_GET_LENGTH(given) != 1 ||
      PyUnicode_READ_CHAR(given, 0) >= 0x80 || PyUnicode_READ_CHAR(given, 0) == 0) {
    pyddb_raise_format(state, PyUnicode_Check(given) ? DDB_ERR_INVALID : DDB_ERR_TYPE,
                       "delimiter is one ASCII character, not %R", given);
    return -1;
  }
  *out = (char)PyUnicode_READ_CHAR(given, 0);
  return 0;
}

static int take_text(pyddb_state *state, PyObject *given, const char *what, pyddb_text *out) {
  *out = (pyddb_text){0};
  if (given && !PyUnicode_Check(given)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be str, not '%s'", what,
                       Py_TYPE(given)->tp_name);
    return -1;
  }
  return given ? pyddb_text_init(out, given) : 0;
}

static const char *text_of(PyObject *bytes) {
  return bytes ? PyBytes_AS_STRING(bytes) : NULL;
}

/* ---- Columns ------------------------------------------------------------------------------- */

typedef struct columns {
  PyObject *names; /* list of str, owned */
  pyddb_text *texts;
  ddb_str *strings;
  size_t count;
} columns;

static void columns_fini(columns *c) {
  for (size_t i = 0; c->texts && i < c->count; i++) {
    pyddb_text_fini(&c->texts[i]);
  }
  PyMem_Free(c->texts);
  PyMem_Free(c->strings);
  Py_CLEAR(c->names);
}

static int columns_texts(columns *c) {
  c->count = (size_t)PyList_GET_SIZE(c->names);
  c->texts = PyMem_Calloc(c->count + 1, sizeof *c->texts);
  c->strings = PyMem_Calloc(c->count + 1, sizeof *c->strings);
  if (!c->texts || !c->strings) {
    PyErr_NoMemory();
    return -1;
  }
  for (size_t i = 0; i < c->count; i++) {
    if (pyddb_text_init(&c->texts[i], PyList_GET_ITEM(c->names, (Py_ssize_t)i)) < 0) {
      return -1;
    }
    c->strings[i] = c->texts[i].str;
  }
  return 0;
}

/* Names from the caller: each once, of the schema if there is one. */
static int columns_given(pyddb_source *source, PyObject *given, columns *c) {
  if (PyUnicode_Check(given)) {
    pyddb_raise_format(source->state, DDB_ERR_TYPE, "columns is a list of fields, not a str");
    return -1;
  }
  PyObject *items = PySequence_List(given);
  c->names = items ? PyList_New(0) : NULL;
  int result = c->names ? 0 : -1;
  for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(items); i++) {
    PyObject *name = pyddb_field_argument(source, PyList_GET_ITEM(items, i), "columns");
    int twice = name ? PySequence_Contains(c->names, name) : -1;
    result = twice == 0 ? PyList_Append(c->names, name) : -1;
    if (twice > 0) {
      pyddb_raise_format(source->state, DDB_ERR_INVALID, "columns names %R twice", name);
    }
    Py_XDECREF(name);
  }
  Py_XDECREF(items);
  if (result == 0 && PyList_GET_SIZE(c->names) == 0) {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "columns must name at least one field");
    result = -1;
  }
  return result;
}

/* All fields that the view's records have, without `hidden` (or NULL); never none: then `key`. */
static int columns_of_view(pyddb_source *source, const ddb_view *view, PyObject *hidden,
                           PyObject *key, columns *c) {
  c->names = pyddb_source_columns_of(source, view);
  if (!c->names) {
    return -1;
  }
  if (hidden) {
    Py_ssize_t place = PySequence_Index(c->names, hidden);
    if (place >= 0 && PyList_SetSlice(c->names, place, place + 1, NULL) < 0) {
      return -1;
    }
    PyErr_Clear(); /* no records: it is not there */
  }
  return PyList_GET_SIZE(c->names) == 0 ? PyList_Append(c->names, key) : 0;
}

/* ---- Export -------------------------------------------------------------------------------- */

typedef struct export_call {
  pyddb_source *source;
  PyObject *key;  /* of the source that was asked, borrowed from it */
  PyObject *path; /* bytes, owned */
  PyObject *encoding;
  pyddb_text null_text;
  pyddb_cond *where;
  columns columns;
  pyddb_progress progress;
  ddb_export_options options;
} export_call;

static void export_fini(export_call *e) {
  Py_XDECREF(e->path);
  Py_XDECREF(e->encoding);
  pyddb_text_fini(&e->null_text);
  Py_XDECREF(e->where);
  columns_fini(&e->columns);
  pyddb_progress_fini(&e->progress);
}

/* records: NULL for all of the view. */
static ddb_status put_all(const ddb_view *view, const ddb_records *records, ddb_export *file,
                          ddb_error *err) {
  ddb_status status = DDB_OK;
  uint64_t position = 0;
  const ddb_record *record;
  if (records) {
    for (size_t i = 0; i < records->count && status == DDB_OK; i++) {
      status = ddb_export_put(file, records->items[i], err);
    }
    return status;
  }
  while (status == DDB_OK && (record = ddb_view_next(view, &position)) != NULL) {
    status = ddb_export_put(file, record, err);
  }
  return status;
}

static ddb_status write_file(export_call *e, const ddb_view *view, const ddb_records *records,
                             ddb_error *err) {
  ddb_export *file = NULL;
  ddb_status status = ddb_export_open(PyBytes_AS_STRING(e->path), &e->options, &file, err);
  if (status == DDB_OK) {
    status = put_all(view, records, file, err);
  }
  if (status == DDB_OK) {
    status = ddb_export_commit(file, err);
  }
  ddb_export_cancel(file);
  return status;
}

static PyObject *export_view(export_call *e, const ddb_view *view) {
  static const ddb_query query = DDB_QUERY_INIT;
  ddb_records records = {0};
  if (e->where && pyddb_view_select(e->source, view, e->where, &query, &records) < 0) {
    return NULL;
  }
  uint64_t count = e->where ? records.count : ddb_view_count(view);
  e->options.total = count;
  ddb_error err;
  pyddb_detach();
  ddb_status status = write_file(e, view, e->where ? &records : NULL, &err);
  pyddb_attach();
  ddb_records_free(&records);
  return status == DDB_OK ? PyLong_FromUnsignedLongLong(count)
                          : pyddb_raise(e->source->state, &err);
}

static PyObject *export_source(export_call *e, PyObject *given_columns, PyObject *hidden) {
  bool csv = e->options.format == DDB_TEXT_CSV;
  bool given = given_columns && given_columns != Py_None;
  if (given && columns_given(e->source, given_columns, &e->columns) < 0) {
    return NULL;
  }
  ddb_view view;
  if (pyddb_view_open(e->source, &view) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  bool named = given || (!csv && !hidden) ||
               columns_of_view(e->source, &view, hidden, e->key, &e->columns) == 0;
  if (named && (!e->columns.names || columns_texts(&e->columns) == 0)) {
    e->options.columns = e->columns.strings;
    e->options.column_count = e->columns.count;
    e->options.skip_missing = !given; /* as in a whole record, but for the hidden field */
    result = export_view(e, &view);
  }
  pyddb_view_close(e->source, &view);
  return result;
}

/* A table of the records, whose key they do not have. */
static PyObject *table_of(pyddb_state *state, PyObject *records, PyObject *key) {
  PyObject *table = PyObject_CallFunction((PyObject *)state->table_class, "sO", "records", key);
  PyObject *items = table ? PySequence_List(records) : NULL;
  PyObject *keys = items ? PyObject_CallMethod(table, "insert", "O", items) : NULL;
  Py_XDECREF(items);
  if (!keys) {
    Py_CLEAR(table);
  }
  Py_XDECREF(keys);
  return table;
}

/* slots: filepath, records, columns, where, progress. */
static PyObject *run_export(export_call *e, PyObject *const *slots) {
  pyddb_state *state = e->source->state;
  PyObject *table = NULL;
  PyObject *key = NULL;
  e->key = e->source->primary_key;
  if (slots[1] && slots[1] != Py_None) {
    key = PyUnicode_FromStringAndSize("\0row", 4);
    table = key ? table_of(state, slots[1], key) : NULL;
    if (!table) {
      Py_XDECREF(key);
      return NULL;
    }
    e->source = (pyddb_source *)table;
  }
  PyObject *result = NULL;
  if (pyddb_path_argument(state, slots[0], "filepath", &e->path) == 0 &&
      pyddb_where_argument(e->source, slots[3], &e->where) == 0 &&
      pyddb_progress_init(state, slots[4], "export", slots[0], &e->progress) == 0) {
    e->options.progress = pyddb_progress_tell;
    e->options.context = &e->progress;
    e->options.encoding = text_of(e->encoding);
    e->options.null_text = e->null_text.str;
    result = export_source(e, slots[2], key);
  }
  Py_XDECREF(table);
  Py_XDECREF(key);
  return result;
}

static PyObject *log_export(const pyddb_source *source, PyObject *const *args, Py_ssize_t count,
                            PyObject *kw, PyObject *result) {
  return pyddb_log(source->state, "EXPORT", source->table_name,
                   pyddb_log_argument("filepath", 0, args, count, kw), result);
}

const char pyddb_export_csv_doc[] =
    "export_csv($self, filepath, *, records=None, columns=None, where=None,\n"
    "           delimiter=',', encoding='utf-8', null='', progress=None)\n--\n\n"
    "Writes records of one instant to a CSV file (RFC 4180), which is replaced as a whole\n"
    "or not at all; returns how many.\n\n"
    "records: these mappings instead of the table's records. columns: fields, in this\n"
    "order; None: all. where: as in select. null: what stands for None, unquoted. progress:\n"
    "as in save. Text is quoted where it would be read as something else. Raises\n"
    "StorageError, InvalidArgumentError (also a str that the encoding cannot hold).";

PyObject *pyddb_source_export_csv(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw) {
  static const char *const names[] = {"filepath", "records",   "columns",  "where",
                                      "progress", "delimiter", "encoding", "null"};
  static const pyddb_signature signature = {"export_csv", names, 8, 1, 1};
  PyObject *slots[8];
  export_call e = {.source = (pyddb_source *)self, .options = {.format = DDB_TEXT_CSV}};
  PyObject *result = NULL;
  pyddb_state *state = e.source->state;
  if (pyddb_bind(&signature, args, count, kw, slots) == 0 &&
      take_delimiter(state, slots[5], &e.options.delimiter) == 0 &&
      take_encoding(state, slots[6], &e.encoding) == 0 &&
      take_text(state, slots[7], "null", &e.null_text) == 0) {
    result = run_export(&e, slots);
  }
  export_fini(&e);
  return log_export((pyddb_source *)self, args, count, kw, result);
}

const char pyddb_export_ndjson_doc[] =
    "export_ndjson($self, filepath, *, records=None, columns=None, where=None,\n"
    "              progress=None)\n--\n\n"
    "Writes records of one instant to a file of one JSON object a line, which is replaced as\n"
    "a whole or not at all; returns how many. Every value comes back equal from\n"
    "import_ndjson; fields that a record lacks are left out, but with columns they are null.\n"
    "The arguments are those of export_csv.";

PyObject *pyddb_source_export_ndjson(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                     PyObject *kw) {
  static const char *const names[] = {"filepath", "records", "columns", "where", "progress"};
  static const pyddb_signature signature = {"export_ndjson", names, 5, 1, 1};
  PyObject *slots[5];
  export_call e = {.source = (pyddb_source *)self, .options = {.format = DDB_TEXT_NDJSON}};
  PyObject *result = NULL;
  if (pyddb_bind(&signature, args, count, kw, slots) == 0) {
    result = run_export(&e, slots);
  }
  export_fini(&e);
  return log_export((pyddb_source *)self, args, count, kw, result);
}

/* ---- Import -------------------------------------------------------------------------------- */

typedef struct import_call {
  PyObject *path;
  PyObject *encoding;
  pyddb_text null_text, name, key;
  pyddb_schema schema;
  pyddb_progress progress;
  ddb_table_options table;
  ddb_import_options options;
} import_call;

static void import_fini(pyddb_state *state, import_call *i) {
  Py_XDECREF(i->path);
  Py_XDECREF(i->encoding);
  pyddb_text_fini(&i->null_text);
  pyddb_text_fini(&i->name);
  pyddb_text_fini(&i->key);
  pyddb_schema_fini(state, &i->schema);
  pyddb_progress_fini(&i->progress);
}

/* slots: filepath, table_name, primary_key, schema, skip_validation, progress. */
static int take_common(pyddb_state *state, PyObject *const *slots, import_call *i) {
  if (pyddb_path_argument(state, slots[0], "filepath", &i->path) < 0 ||
      take_text(state, slots[1], "table_name", &i->name) < 0 ||
      take_text(state, slots[2], "primary_key", &i->key) < 0) {
    return -1;
  }
  if (pyddb_schema_init(state, slots[1], slots[3], &i->schema) < 0) {
    i->schema = (pyddb_schema){0};
    return -1;
  }
  if (pyddb_bool_argument(state, slots[4], "skip_validation", false, &i->options.skip_validation) <
          0 ||
      pyddb_progress_init(state, slots[5], "import", slots[0], &i->progress) < 0) {
    return -1;
  }
  if (slots[2] && i->key.str.size == 0) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "primary_key must not be empty");
    return -1;
  }
  i->table.primary_key = i->key.str;
  i->table.schema = i->schema.fields;
  i->table.schema_count = i->schema.count;
  i->options.table = &i->table;
  i->options.encoding = text_of(i->encoding);
  i->options.null_text = i->null_text.str;
  i->options.progress = pyddb_progress_tell;
  i->options.context = &i->progress;
  return 0;
}

static PyObject *run_import(pyddb_state *state, ddb_db *db, const import_call *i) {
  ddb_error err;
  uint64_t count = 0;
  pyddb_detach();
  ddb_status status =
      ddb_db_import(db, PyBytes_AS_STRING(i->path), i->name.str, &i->options, &count, &err);
  pyddb_attach();
  return status == DDB_OK ? PyLong_FromUnsignedLongLong(count) : pyddb_raise(state, &err);
}

const char pyddb_import_csv_doc[] =
    "import_csv($self, filepath, table_name, *, primary_key='id', delimiter=',',\n"
    "           has_header=True, encoding='utf-8', schema=None, infer_types=True,\n"
    "           skip_validation=False, null='', progress=None)\n--\n\n"
    "Makes a table of a CSV file (RFC 4180) and returns how many records it has. It appears\n"
    "with all of them at one instant, or not at all.\n\n"
    "schema: as in create_table; its types say what a cell means. Without one, infer_types\n"
    "makes ints and floats of what is written as they are (42, -1.5, 2e3) and stands\n"
    "unquoted; 007, 1_000 and nan stay text. has_header=False: the columns are called column_1,\n"
    "column_2, ... null: an unquoted cell with this text is None. skip_validation: text that\n"
    "is not of its field's type stays text. progress: as in save, in bytes. Raises\n"
    "CorruptFileError (a ragged row), SchemaValidationError, DuplicateKeyError (all with file\n"
    "and line), DuplicateTableError, StorageError, InvalidArgumentError.";

PyObject *pyddb_import_csv(pyddb_state *state, ddb_db *db, PyObject *const *args, Py_ssize_t count,
                           PyObject *kw) {
  static const char *const names[] = {"filepath",        "table_name",  "primary_key", "schema",
                                      "skip_validation", "progress",    "encoding",    "delimiter",
                                      "has_header",      "infer_types", "null"};
  static const pyddb_signature signature = {"import_csv", names, 11, 2, 2};
  PyObject *slots[11];
  import_call i = {.options = {.format = DDB_TEXT_CSV}};
  bool has_header, infer_types;
  PyObject *result = NULL;
  if (pyddb_bind(&signature, args, count, kw, slots) == 0 &&
      take_encoding(state, slots[6], &i.encoding) == 0 &&
      take_delimiter(state, slots[7], &i.options.delimiter) == 0 &&
      pyddb_bool_argument(state, slots[8], "has_header", true, &has_header) == 0 &&
      pyddb_bool_argument(state, slots[9], "infer_types", true, &infer_types) == 0 &&
      take_text(state, slots[10], "null", &i.null_text) == 0 &&
      take_common(state, slots, &i) == 0) {
    i.options.no_header = !has_header;
    i.options.only_text = !infer_types;
    result = run_import(state, db, &i);
  }
  import_fini(state, &i);
  return result;
}

const char pyddb_import_ndjson_doc[] =
    "import_ndjson($self, filepath, table_name, *, primary_key='id', schema=None,\n"
    "              skip_validation=False, progress=None)\n--\n\n"
    "Makes a table of a file of one JSON object a line and returns how many records it has.\n"
    "It appears with all of them at one instant, or not at all. The arguments and errors are\n"
    "those of import_csv.";

PyObject *pyddb_import_ndjson(pyddb_state *state, ddb_db *db, PyObject *const *args,
                              Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"filepath", "table_name",      "primary_key",
                                      "schema",   "skip_validation", "progress"};
  static const pyddb_signature signature = {"import_ndjson", names, 6, 2, 2};
  PyObject *slots[6];
  import_call i = {.options = {.format = DDB_TEXT_NDJSON}};
  PyObject *result = NULL;
  if (pyddb_bind(&signature, args, count, kw, slots) == 0 && take_common(state, slots, &i) == 0) {
    result = run_import(state, db, &i);
  }
  import_fini(state, &i);
  return result;
}
