/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c - what select(), first(), iter() and their like are asked for: arguments to a ddb_query.
 *
 *   columns, where, order_by, limit, offset, copy, distinct  --pyddb_query_init-->  pyddb_query
 *
 * A pyddb_query owns everything that its ddb_query points to, and the condition, which is kept beside
 * it. All user code but the callables of conditions runs here, before a view is open.
 */
#include "pyddb.h"

/* ---- Columns ------------------------------------------------------------------------------- */

/* May be called again: a cursor is left to its destructor, however far it came. */
static void columns_fini(pyddb_column_list *columns) {
  for (Py_ssize_t i = 0; i < columns->count; i++) {
    pyddb_text_fini(&columns->texts[i]);
    if (columns->exprs) {
      ddb_expr_release(columns->exprs[i]);
    }
  }
  PyMem_Free(columns->texts);
  PyMem_Free(columns->strs);
  PyMem_Free(columns->exprs);
  Py_XDECREF(columns->objects);
  *columns = (pyddb_column_list){0};
}

static int columns_reserve(pyddb_column_list *columns, size_t count) {
  bool has_exprs = false;
  for (size_t i = 0; i < count; i++) {
    has_exprs |= !PyUnicode_Check(PyList_GET_ITEM(columns->objects, (Py_ssize_t)i));
  }
  columns->texts = PyMem_Calloc(count + 1, sizeof *columns->texts);
  columns->strs = PyMem_Calloc(count + 1, sizeof *columns->strs);
  columns->exprs = has_exprs ? PyMem_Calloc(count + 1, sizeof(ddb_expr *)) : NULL;
  if (!columns->texts || !columns->strs || (has_exprs && !columns->exprs)) {
    PyErr_NoMemory();
    return -1;
  }
  return 0;
}

static int encode_column(pyddb_state *state, pyddb_column_list *columns, Py_ssize_t i) {
  PyObject *object = PyList_GET_ITEM(columns->objects, i);
  if (!PyUnicode_Check(object)) {
    columns->exprs[i] = pyddb_expr_take((pyddb_expr *)object);
    return columns->exprs[i] ? 0 : -1;
  }
  if (pyddb_text_init(&columns->texts[i], object) < 0) {
    return -1;
  }
  columns->strs[i] = columns->texts[i].str;
  ddb_error err;
  if (columns->exprs && ddb_expr_field(columns->strs[i], &columns->exprs[i], &err) != DDB_OK) {
    columns->exprs[i] = NULL;
    pyddb_text_fini(&columns->texts[i]);
    pyddb_raise(state, &err);
    return -1;
  }
  return 0;
}

/* For the library: columns->objects. */
static int columns_encode(pyddb_state *state, pyddb_column_list *columns) {
  Py_ssize_t count = PyList_GET_SIZE(columns->objects);
  if (columns_reserve(columns, (size_t)count) < 0) {
    return -1;
  }
  for (; columns->count < count; columns->count++) {
    if (encode_column(state, columns, columns->count) < 0) {
      return -1;
    }
  }
  return 0;
}

static int append_take(PyObject *list, PyObject *item) {
  int result = item ? PyList_Append(list, item) : -1;
  Py_XDECREF(item);
  return result;
}

/* ---- columns ------------------------------------------------------------------------------- */

static int add_pair(pyddb_source *source, pyddb_query *q, PyObject *alias, PyObject *field) {
  if (!PyUnicode_Check(alias)) {
    pyddb_raise_format(source->state, DDB_ERR_TYPE, "columns: an alias must be str, not '%s'",
                       Py_TYPE(alias)->tp_name);
    return -1;
  }
  int present = PySequence_Contains(q->aliases, alias);
  if (present > 0) {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "columns: %R occurs twice", alias);
  }
  if (present != 0 || PyList_Append(q->aliases, alias) < 0) {
    return -1;
  }
  return append_take(q->columns.objects, pyddb_column_argument(source, field, "columns"));
}

static int add_column(pyddb_source *source, pyddb_query *q, PyObject *item) {
  if ((PyTuple_Check(item) || PyList_Check(item)) && PySequence_Size(item) == 2) {
    PyObject *alias = PySequence_GetItem(item, 0);
    PyObject *field = alias ? PySequence_GetItem(item, 1) : NULL;
    int result = field ? add_pair(source, q, alias, field) : -1;
    Py_XDECREF(alias);
    Py_XDECREF(field);
    return result;
  }
  /* An expression that was given no name is called what it says. */
  bool is_expr = Py_IS_TYPE(item, source->state->expr_type);
  PyObject *alias = is_expr ? PyObject_Repr(item) : pyddb_field_argument(source, item, "columns");
  int result = alias ? add_pair(source, q, alias, is_expr ? item : alias) : -1;
  Py_XDECREF(alias);
  return result;
}

static PyObject *columns_iterator(pyddb_source *source, PyObject *columns) {
  if (PyDict_Check(columns)) {
    PyObject *items = PyDict_Items(columns);
    PyObject *iterator = items ? PyObject_GetIter(items) : NULL;
    Py_XDECREF(items);
    return iterator;
  }
  if (PyUnicode_Check(columns) || PyBytes_Check(columns) || pyddb_is_expr(source->state, columns) ||
      !Py_TYPE(columns)->tp_iter) {
    return pyddb_raise_format(source->state, DDB_ERR_TYPE,
                              "columns must be a list of fields and expressions, a dict of alias "
                              "to field or expression, or (alias, field) pairs, not '%s'",
                              Py_TYPE(columns)->tp_name);
  }
  return PyObject_GetIter(columns);
}

static int query_columns(pyddb_source *source, pyddb_query *q, PyObject *columns) {
  if (!columns || columns == Py_None) {
    return 0;
  }
  PyObject *iterator = columns_iterator(source, columns);
  q->aliases = PyList_New(0);
  q->columns.objects = PyList_New(0);
  int result = iterator && q->aliases && q->columns.objects ? 0 : -1;
  PyObject *item;
  while (result == 0 && (item = PyIter_Next(iterator))) {
    result = add_column(source, q, item);
    Py_DECREF(item);
  }
  Py_XDECREF(iterator);
  if (result < 0 || PyErr_Occurred()) {
    return -1;
  }
  q->form = PYDDB_FORM_COLUMNS;
  return columns_encode(source->state, &q->columns);
}

static void distinct_by_columns(pyddb_query *q) {
  q->core.distinct_fields = q->columns.strs;
  q->core.distinct_exprs = q->columns.exprs;
  q->core.distinct_count = (size_t)q->columns.count;
}

int pyddb_query_fields(pyddb_source *source, pyddb_query *q, PyObject *const *fields,
                       Py_ssize_t count, const char *what) {
  q->columns.objects = PyList_New(0);
  int result = q->columns.objects ? 0 : -1;
  for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
    result = append_take(q->columns.objects, pyddb_column_argument(source, fields[i], what));
  }
  if (result < 0 || columns_encode(source->state, &q->columns) < 0) {
    return -1;
  }
  q->form = count == 1 ? PYDDB_FORM_VALUE : PYDDB_FORM_TUPLE;
  distinct_by_columns(q);
  return 0;
}

/* ---- order_by ------------------------------------------------------------------------------ */

static int add_order(pyddb_source *source, pyddb_query *q, PyObject *item) {
  size_t index = (size_t)PyList_GET_SIZE(q->order_columns.objects);
  ddb_order *order = PyMem_Realloc(q->order, (index + 1) * sizeof *order);
  if (!order) {
    PyErr_NoMemory();
    return -1;
  }
  q->order = order;
  pyddb_order_item read;
  if (pyddb_order_read(source, item, &read) < 0) {
    return -1;
  }
  order[index] = (ddb_order){.descending = read.descending, .nulls = read.nulls};
  return append_take(q->order_columns.objects, read.column);
}

/* A field is ordered by as a field, for which there may be an index. */
static ddb_expr *order_expr(const pyddb_column_list *columns, Py_ssize_t i) {
  bool is_field = PyUnicode_Check(PyList_GET_ITEM(columns->objects, i));
  return is_field ? NULL : columns->exprs[i];
}

static int query_order(pyddb_source *source, pyddb_query *q, PyObject *order_by) {
  if (!order_by || order_by == Py_None) {
    return 0;
  }
  q->order_columns.objects = PyList_New(0);
  int result = q->order_columns.objects ? 0 : -1;
  if (result == 0 && !PyList_Check(order_by) && !PyTuple_Check(order_by)) {
    result = add_order(source, q, order_by);
  } else {
    PyObject *items = PySequence_Tuple(order_by);
    for (Py_ssize_t i = 0; result == 0 && items && i < PyTuple_GET_SIZE(items); i++) {
      result = add_order(source, q, PyTuple_GET_ITEM(items, i));
    }
    result = items ? result : -1;
    Py_XDECREF(items);
  }
  if (result < 0 || columns_encode(source->state, &q->order_columns) < 0) {
    return -1;
  }
  for (Py_ssize_t i = 0; i < q->order_columns.count; i++) {
    q->order[i].field = q->order_columns.strs[i];
    q->order[i].expr = order_expr(&q->order_columns, i);
  }
  q->core.order = q->order;
  q->core.order_count = (size_t)q->order_columns.count;
  return 0;
}

/* ---- The query ----------------------------------------------------------------------------- */

void pyddb_query_fini(pyddb_query *q) {
  columns_fini(&q->columns);
  columns_fini(&q->order_columns);
  PyMem_Free(q->order);
  q->order = NULL;
  Py_CLEAR(q->aliases);
  Py_CLEAR(q->where);
}

static int query_counts(pyddb_source *source, pyddb_query *q, PyObject *const *slots) {
  if (slots[PYDDB_LIMIT] && slots[PYDDB_LIMIT] != Py_None &&
      pyddb_count_argument(source->state, slots[PYDDB_LIMIT], "limit", &q->core.limit) < 0) {
    return -1;
  }
  return slots[PYDDB_OFFSET]
             ? pyddb_count_argument(source->state, slots[PYDDB_OFFSET], "offset", &q->core.offset)
             : 0;
}

int pyddb_query_init(pyddb_source *source, pyddb_query *q, PyObject *const *slots) {
  bool copy;
  *q = (pyddb_query){.core = DDB_QUERY_INIT};
  if (pyddb_where_argument(source, slots[PYDDB_WHERE], &q->where) < 0 ||
      query_columns(source, q, slots[PYDDB_COLUMNS]) < 0 ||
      query_order(source, q, slots[PYDDB_ORDER_BY]) < 0 || query_counts(source, q, slots) < 0 ||
      pyddb_bool_argument(source->state, slots[PYDDB_COPY], "copy", true, &copy) < 0 ||
      pyddb_bool_argument(source->state, slots[PYDDB_DISTINCT], "distinct", false,
                          &q->core.distinct) < 0 ||
      pyddb_threads_argument(source->state, slots[PYDDB_THREADS], &q->core.threads) < 0) {
    pyddb_query_fini(q);
    return -1;
  }
  if (q->form == PYDDB_FORM_DICT && !copy) {
    q->form = PYDDB_FORM_VIEW;
  }
  distinct_by_columns(q);
  return 0;
}
