/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - the methods that read by a query and give all of it at once: select, pluck, first, one,
 * exists.
 *
 *   arguments --> pyddb_query --> ddb_view_... (detached when long) --> records --> objects
 *                                 [callables]
 *
 * Records are borrowed from the view, which stays open until all are converted.
 */
#include "pyddb.h"

static PyObject *select_all(pyddb_source *source, const pyddb_query *query) {
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_records records = {0};
  PyObject *list = NULL;
  if (pyddb_view_select(source, &view, query->where, &query->core, &records) == 0) {
    list = pyddb_records_out(source, query, records.items, records.count);
    ddb_records_free(&records);
  }
  pyddb_view_close(source, &view);
  return list;
}

/* ---- Few records --------------------------------------------------------------------------- */

typedef ddb_status few_function(const ddb_view *view, const ddb_query *query,
                                const ddb_record **record, ddb_error *err);

static ddb_status few_one(const ddb_view *view, const ddb_query *query, const ddb_record **record,
                          ddb_error *err) {
  return ddb_view_one(view, query->where, record, err);
}

/* Asks the library. */
static int find_native(pyddb_source *source, const ddb_view *view, const pyddb_query *query,
                       few_function *function, const ddb_record **record) {
  ddb_query native = query->core;
  native.where = query->where ? query->where->cond : NULL;
  /* The first of all needs no search. */
  bool detach = (native.where || native.order_count > 0) &&
                !pyddb_is_short(source, query->where, ddb_view_count(view));
  ddb_error err;
  pyddb_detach_if(detach);
  ddb_status status = function(view, &native, record, &err);
  pyddb_attach_if(detach);
  if (status != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

static int fail_one(pyddb_source *source, const pyddb_query *query, size_t count) {
  pyddb_raise_format(source->state, count ? DDB_ERR_MULTIPLE_RECORDS : DDB_ERR_RECORD_NOT_FOUND,
                     "table %R: %s %R", source->table_name,
                     count ? "several records match" : "no record matches", query->where);
  return -1;
}

/* Callables are asked until there are as many records as are needed. */
static int find_coded(pyddb_source *source, const ddb_view *view, const pyddb_query *query,
                      bool is_one, const ddb_record **record) {
  ddb_query few = query->core;
  few.limit = is_one ? 2 : 1;
  ddb_records records = {0};
  if (pyddb_view_select(source, view, query->where, &few, &records) < 0) {
    return -1;
  }
  size_t count = records.count;
  *record = count > 0 ? records.items[0] : NULL;
  ddb_records_free(&records);
  return is_one && count != 1 ? fail_one(source, query, count) : 0;
}

static int find(pyddb_source *source, const ddb_view *view, const pyddb_query *query,
                few_function *function, const ddb_record **record) {
  *record = NULL;
  return query->where && query->where->code
             ? find_coded(source, view, query, function == few_one, record)
             : find_native(source, view, query, function, record);
}

/* What is made of the one record that `function` finds; `otherwise` when there is none. */
static PyObject *select_record(pyddb_source *source, const pyddb_query *query,
                               few_function *function, PyObject *otherwise) {
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  pyddb_reader reader;
  const ddb_record *record;
  PyObject *result = NULL;
  if (find(source, &view, query, function, &record) < 0) {
    result = NULL;
  } else if (!record) {
    result = Py_NewRef(otherwise);
  } else if (pyddb_reader_init(&reader, source, query) == 0) {
    result = pyddb_reader_read(&reader, record);
    pyddb_reader_fini(&reader);
  }
  pyddb_view_close(source, &view);
  return result;
}

/* ---- Methods ------------------------------------------------------------------------------- */

const char pyddb_select_doc[] =
    "select($self, columns=None, where=None, *, order_by=None, limit=None,\n"
    "       offset=0, copy=True, distinct=False, threads=None)\n--\n\n"
    "Returns the records that where holds for, of one instant, as a list.\n\n"
    "columns: fields and expressions, a dict {alias: field or expression}, or\n"
    "(alias, field) pairs; None: whole records. A field that a record lacks reads\n"
    "as None.\n"
    "where: a Condition or a callable that takes a RecordView; None: all.\n"
    "order_by: a field, expression or Order, or a list; '-name' is descending; None:\n"
    "insertion order. limit: int, or None. offset: int. copy: new dicts; with\n"
    "copy=False and no columns read-only RecordViews. distinct: keeps the first\n"
    "of records that are equal on the columns, before offset and limit. threads:\n"
    "at most so many look for records (int); None: of a large table as many as\n"
    "there are idle processors.\n\n"
    "Raises InvalidArgumentError (a ValueError) for a negative limit or offset,\n"
    "UnknownFieldError, UnsupportedTypeError (a TypeError).";

PyObject *pyddb_source_select(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  static const char *const names[] = {"columns", "where", "order_by", "limit",
                                      "offset",  "copy",  "distinct", "threads"};
  static const pyddb_signature signature = {"select", names, PYDDB_QUERY_SLOTS, 2, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[PYDDB_QUERY_SLOTS];
  pyddb_query query;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = select_all(source, &query);
  pyddb_query_fini(&query);
  return result;
}

const char pyddb_pluck_doc[] =
    "pluck($self, field, /, *fields, where=None, order_by=None, limit=None,\n"
    "      offset=0, distinct=False, threads=None)\n--\n\n"
    "Returns the values of a field or expression, one for each record, as a\n"
    "list; of several, tuples. The rest is as for select().";

PyObject *pyddb_source_pluck(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"where",  "order_by", "limit",
                                      "offset", "distinct", "threads"};
  static const pyddb_signature signature = {"pluck", names, 6, 0, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[6];
  if (count == 0) {
    PyErr_SetString(PyExc_TypeError, "pluck() missing required argument 'field'");
    return NULL;
  }
  if (pyddb_bind(&signature, args + count, 0, kw, given) < 0) {
    return NULL;
  }
  PyObject *slots[PYDDB_QUERY_SLOTS] = {
      [PYDDB_WHERE] = given[0],  [PYDDB_ORDER_BY] = given[1], [PYDDB_LIMIT] = given[2],
      [PYDDB_OFFSET] = given[3], [PYDDB_DISTINCT] = given[4], [PYDDB_THREADS] = given[5],
  };
  pyddb_query query;
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (pyddb_query_fields(source, &query, args, count, "pluck") == 0) {
    result = select_all(source, &query);
  }
  pyddb_query_fini(&query);
  return result;
}

const char pyddb_first_doc[] =
    "first($self, where=None, *, columns=None, order_by=None, offset=0,\n"
    "      default=None, copy=True)\n--\n\n"
    "Returns the first record that select() would give, or default when there is\n"
    "none. Without order_by it looks no further than that record.";

PyObject *pyddb_source_first(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"where", "columns", "order_by", "offset", "default", "copy"};
  static const pyddb_signature signature = {"first", names, 6, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[6];
  if (pyddb_bind(&signature, args, count, kw, given) < 0) {
    return NULL;
  }
  PyObject *slots[PYDDB_QUERY_SLOTS] = {
      [PYDDB_WHERE] = given[0],  [PYDDB_COLUMNS] = given[1], [PYDDB_ORDER_BY] = given[2],
      [PYDDB_OFFSET] = given[3], [PYDDB_COPY] = given[5],
  };
  pyddb_query query;
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = select_record(source, &query, ddb_view_first, given[4] ? given[4] : Py_None);
  pyddb_query_fini(&query);
  return result;
}

const char pyddb_one_doc[] =
    "one($self, where=None, *, columns=None, copy=True)\n--\n\n"
    "Returns the one record that where holds for.\n\n"
    "Raises RecordNotFoundError when there is none, MultipleRecordsError (a\n"
    "ValueError) when there are several.";

PyObject *pyddb_source_one(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"where", "columns", "copy"};
  static const pyddb_signature signature = {"one", names, 3, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[3];
  if (pyddb_bind(&signature, args, count, kw, given) < 0) {
    return NULL;
  }
  PyObject *slots[PYDDB_QUERY_SLOTS] = {
      [PYDDB_WHERE] = given[0], [PYDDB_COLUMNS] = given[1], [PYDDB_COPY] = given[2]};
  pyddb_query query;
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = select_record(source, &query, few_one, Py_None);
  pyddb_query_fini(&query);
  return result;
}

const char pyddb_exists_doc[] =
    "exists($self, where=None)\n--\n\n"
    "Returns whether there is a record that where holds for: a Condition, a\n"
    "callable that takes a RecordView, or None for any. Stops at the first.";

PyObject *pyddb_source_exists(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  static const char *const names[] = {"where"};
  static const pyddb_signature signature = {"exists", names, 1, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  pyddb_query query;
  ddb_view view;
  if (pyddb_bind(&signature, args, count, kw, &slots[PYDDB_WHERE]) < 0 ||
      pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  const ddb_record *record = NULL;
  int result = pyddb_view_open(source, &view);
  if (result == 0) {
    result = find(source, &view, &query, ddb_view_first, &record);
    pyddb_view_close(source, &view);
  }
  pyddb_query_fini(&query);
  return result < 0 ? NULL : PyBool_FromLong(record != NULL);
}
