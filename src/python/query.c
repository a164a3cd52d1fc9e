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

/* ---- Names --------------------------------------------------------------------------------- */

static void names_fini(pyddb_name_list *names) {
  for (Py_ssize_t i = 0; names->texts && i < names->count; i++) {
    pyddb_text_fini(&names->texts[i]);
  }
  PyMem_Free(names->texts);
  PyMem_Free(names->strs);
  Py_CLEAR(names->objects);
}

/* Encodes names->objects. */
static int names_encode(pyddb_name_list *names) {
  Py_ssize_t count = PyList_GET_SIZE(names->objects);
  names->texts = PyMem_Calloc((size_t)count + 1, sizeof *names->texts);
  names->strs = PyMem_Calloc((size_t)count + 1, sizeof *names->strs);
  if (!names->texts || !names->strs) {
    PyErr_NoMemory();
    return -1;
  }
  for (; names->count < count; names->count++) {
    Py_ssize_t i = names->count;
    if (pyddb_text_init(&names->texts[i], PyList_GET_ITEM(names->objects, i)) < 0) {
      return -1;
    }
    names->strs[i] = names->texts[i].str;
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
  return append_take(q->columns.objects, pyddb_field_argument(source, field, "columns"));
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
  PyObject *name = pyddb_field_argument(source, item, "columns");
  int result = name ? add_pair(source, q, name, name) : -1;
  Py_XDECREF(name);
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
                              "columns must be a list of fields, a dict of alias to field, or "
                              "(alias, field) pairs, not '%s'",
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
  return names_encode(&q->columns);
}

int pyddb_query_fields(pyddb_source *source, pyddb_query *q, PyObject *const *fields,
                       Py_ssize_t count, const char *what) {
  q->columns.objects = PyList_New(0);
  int result = q->columns.objects ? 0 : -1;
  for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
    result = append_take(q->columns.objects, pyddb_field_argument(source, fields[i], what));
  }
  if (result < 0 || names_encode(&q->columns) < 0) {
    return -1;
  }
  q->form = count == 1 ? PYDDB_FORM_VALUE : PYDDB_FORM_TUPLE;
  q->core.distinct_fields = q->columns.strs;
  q->core.distinct_count = (size_t)count;
  return 0;
}

/* ---- order_by ------------------------------------------------------------------------------ */

static int add_order(pyddb_source *source, pyddb_query *q, PyObject *item) {
  size_t index = (size_t)PyList_GET_SIZE(q->order_names.objects);
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
  return append_take(q->order_names.objects, read.name);
}

static int query_order(pyddb_source *source, pyddb_query *q, PyObject *order_by) {
  if (!order_by || order_by == Py_None) {
    return 0;
  }
  q->order_names.objects = PyList_New(0);
  int result = q->order_names.objects ? 0 : -1;
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
  if (result < 0 || names_encode(&q->order_names) < 0) {
    return -1;
  }
  for (Py_ssize_t i = 0; i < q->order_names.count; i++) {
    q->order[i].field = q->order_names.strs[i];
  }
  q->core.order = q->order;
  q->core.order_count = (size_t)q->order_names.count;
  return 0;
}

/* ---- The query ----------------------------------------------------------------------------- */

void pyddb_query_fini(pyddb_query *q) {
  names_fini(&q->columns);
  names_fini(&q->order_names);
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
      pyddb_bool_argument(slots[PYDDB_COPY], true, &copy) < 0 ||
      pyddb_bool_argument(slots[PYDDB_DISTINCT], false, &q->core.distinct) < 0) {
    pyddb_query_fini(q);
    return -1;
  }
  if (q->form == PYDDB_FORM_DICT && !copy) {
    q->form = PYDDB_FORM_VIEW;
  }
  q->core.distinct_fields = q->columns.strs;
  q->core.distinct_count = (size_t)q->columns.count;
  return 0;
}
