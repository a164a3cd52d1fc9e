/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - select(): its arguments to a ddb_query, its records to dicts or views.
 *
 *   arguments --plan_init--> plan --pyddb_view_select (detached when long)--> ddb_records --> list
 *
 * The plan owns everything the query points to. The records are borrowed from the view, which stays
 * open until all are converted.
 */
#include "pyddb.h"

/* Field names, as Python and as C strings. */
typedef struct name_list {
  Py_ssize_t count;
  PyObject *objects; /* list of str, or NULL */
  pyddb_text *texts;
  ddb_str *strs;
} name_list;

typedef struct plan {
  ddb_query query;
  pyddb_cond *where;
  PyObject *aliases; /* list of str, one per column; NULL: whole records */
  name_list columns;
  name_list order;
  ddb_order *order_items;
  bool *descending;
  bool copy;
} plan;

/* ---- Names --------------------------------------------------------------------------------- */

static void names_fini(name_list *names) {
  for (Py_ssize_t i = 0; names->texts && i < names->count; i++) {
    pyddb_text_fini(&names->texts[i]);
  }
  PyMem_Free(names->texts);
  PyMem_Free(names->strs);
  Py_CLEAR(names->objects);
}

/* Encodes names->objects. */
static int names_encode(name_list *names) {
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

static int add_pair(pyddb_source *source, plan *p, PyObject *alias, PyObject *field) {
  if (!PyUnicode_Check(alias)) {
    pyddb_raise_format(source->state, DDB_ERR_TYPE, "columns: an alias must be str, not '%s'",
                       Py_TYPE(alias)->tp_name);
    return -1;
  }
  int present = PySequence_Contains(p->aliases, alias);
  if (present > 0) {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "columns: %R occurs twice", alias);
  }
  if (present != 0 || PyList_Append(p->aliases, alias) < 0) {
    return -1;
  }
  return append_take(p->columns.objects, pyddb_field_argument(source, field, "columns"));
}

static int add_column(pyddb_source *source, plan *p, PyObject *item) {
  if ((PyTuple_Check(item) || PyList_Check(item)) && PySequence_Size(item) == 2) {
    PyObject *alias = PySequence_GetItem(item, 0);
    PyObject *field = alias ? PySequence_GetItem(item, 1) : NULL;
    int result = field ? add_pair(source, p, alias, field) : -1;
    Py_XDECREF(alias);
    Py_XDECREF(field);
    return result;
  }
  PyObject *name = pyddb_field_argument(source, item, "columns");
  int result = name ? add_pair(source, p, name, name) : -1;
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

static int plan_columns(pyddb_source *source, plan *p, PyObject *columns) {
  if (!columns || columns == Py_None) {
    return 0;
  }
  PyObject *iterator = columns_iterator(source, columns);
  p->aliases = PyList_New(0);
  p->columns.objects = PyList_New(0);
  int result = iterator && p->aliases && p->columns.objects ? 0 : -1;
  PyObject *item;
  while (result == 0 && (item = PyIter_Next(iterator))) {
    result = add_column(source, p, item);
    Py_DECREF(item);
  }
  Py_XDECREF(iterator);
  if (result < 0 || PyErr_Occurred()) {
    return -1;
  }
  return names_encode(&p->columns);
}

/* ---- order_by ------------------------------------------------------------------------------ */

/* "-name" is descending; a Field is ascending whatever its name. */
static int add_order(pyddb_source *source, plan *p, PyObject *item) {
  Py_ssize_t index = PyList_GET_SIZE(p->order.objects);
  bool descending = PyUnicode_Check(item) && PyUnicode_GET_LENGTH(item) > 1 &&
                    PyUnicode_READ_CHAR(item, 0) == '-';
  bool *flags = PyMem_Realloc(p->descending, (size_t)index + 1);
  if (!flags) {
    PyErr_NoMemory();
    return -1;
  }
  p->descending = flags;
  p->descending[index] = descending;
  PyObject *name =
      descending ? PyUnicode_Substring(item, 1, PyUnicode_GET_LENGTH(item)) : Py_NewRef(item);
  int result =
      name ? append_take(p->order.objects, pyddb_field_argument(source, name, "order_by")) : -1;
  Py_XDECREF(name);
  return result;
}

static int plan_order(pyddb_source *source, plan *p, PyObject *order_by) {
  if (!order_by || order_by == Py_None) {
    return 0;
  }
  p->order.objects = PyList_New(0);
  int result = p->order.objects ? 0 : -1;
  if (result == 0 && !PyList_Check(order_by) && !PyTuple_Check(order_by)) {
    result = add_order(source, p, order_by);
  } else {
    PyObject *items = PySequence_Tuple(order_by);
    for (Py_ssize_t i = 0; result == 0 && items && i < PyTuple_GET_SIZE(items); i++) {
      result = add_order(source, p, PyTuple_GET_ITEM(items, i));
    }
    result = items ? result : -1;
    Py_XDECREF(items);
  }
  if (result < 0 || names_encode(&p->order) < 0) {
    return -1;
  }
  p->order_items = PyMem_Calloc((size_t)p->order.count + 1, sizeof *p->order_items);
  if (!p->order_items) {
    PyErr_NoMemory();
    return -1;
  }
  for (Py_ssize_t i = 0; i < p->order.count; i++) {
    p->order_items[i] = (ddb_order){.field = p->order.strs[i], .descending = p->descending[i]};
  }
  return 0;
}

/* ---- The plan ------------------------------------------------------------------------------ */

static void plan_fini(plan *p) {
  names_fini(&p->columns);
  names_fini(&p->order);
  PyMem_Free(p->order_items);
  PyMem_Free(p->descending);
  Py_CLEAR(p->aliases);
  Py_CLEAR(p->where);
}

enum { COLUMNS, WHERE, ORDER_BY, LIMIT, OFFSET, COPY, DISTINCT, ARGUMENT_COUNT };

static int plan_init(pyddb_source *source, plan *p, PyObject **slots) {
  bool distinct;
  *p = (plan){.query = DDB_QUERY_INIT};
  if (pyddb_where_argument(source, slots[WHERE], &p->where) < 0 ||
      plan_columns(source, p, slots[COLUMNS]) < 0 || plan_order(source, p, slots[ORDER_BY]) < 0 ||
      (slots[LIMIT] && slots[LIMIT] != Py_None &&
       pyddb_count_argument(source->state, slots[LIMIT], "limit", &p->query.limit) < 0) ||
      (slots[OFFSET] &&
       pyddb_count_argument(source->state, slots[OFFSET], "offset", &p->query.offset) < 0) ||
      pyddb_bool_argument(slots[COPY], true, &p->copy) < 0 ||
      pyddb_bool_argument(slots[DISTINCT], false, &distinct) < 0) {
    plan_fini(p);
    return -1;
  }
  p->query.order = p->order_items;
  p->query.order_count = (size_t)p->order.count;
  p->query.distinct = distinct;
  p->query.distinct_fields = p->columns.strs;
  p->query.distinct_count = (size_t)p->columns.count;
  return 0;
}

/* ---- Results ------------------------------------------------------------------------------- */

#define NO_COLUMN SIZE_MAX

static void find_columns(const plan *p, const ddb_shape *shape, size_t *indexes) {
  size_t field_count = ddb_shape_count(shape);
  for (Py_ssize_t i = 0; i < p->columns.count; i++) {
    ddb_str wanted = p->columns.strs[i];
    indexes[i] = NO_COLUMN;
    for (size_t field = 0; field < field_count; field++) {
      ddb_str name = ddb_shape_name(shape, field);
      if (name.size == wanted.size && memcmp(name.data, wanted.data, name.size) == 0) {
        indexes[i] = field;
        break;
      }
    }
  }
}

/* A missing field reads as None. */
static PyObject *columns_out(pyddb_source *source, const plan *p, const ddb_record *record,
                             const size_t *indexes) {
  PyObject *dict = PyDict_New();
  for (Py_ssize_t i = 0; dict && i < p->columns.count; i++) {
    ddb_value value = indexes[i] == NO_COLUMN ? ddb_null() : ddb_record_value(record, indexes[i]);
    PyObject *object = pyddb_value_out(source->state, &value);
    if (!object || PyDict_SetItem(dict, PyList_GET_ITEM(p->aliases, i), object) < 0) {
      Py_CLEAR(dict);
    }
    Py_XDECREF(object);
  }
  return dict;
}

/* Fills the list from its start; items not reached stay NULL and the list is dropped. */
static int fill_columns(pyddb_source *source, const plan *p, const ddb_records *records,
                        PyObject *list) {
  size_t *indexes = PyMem_Calloc((size_t)p->columns.count + 1, sizeof *indexes);
  if (!indexes) {
    PyErr_NoMemory();
    return -1;
  }
  pyddb_breath breath = {0};
  const ddb_shape *shape = NULL;
  int result = 0;
  for (size_t i = 0; result == 0 && i < records->count; i++) {
    const ddb_record *record = records->items[i];
    if (ddb_record_shape(record) != shape) {
      shape = ddb_record_shape(record);
      find_columns(p, shape, indexes);
    }
    PyObject *dict = columns_out(source, p, record, indexes);
    if (!dict || pyddb_breathe(&breath) < 0) {
      result = -1;
    }
    if (dict) {
      PyList_SET_ITEM(list, (Py_ssize_t)i, dict);
    }
  }
  PyMem_Free(indexes);
  return result;
}

static int fill_records(pyddb_source *source, const plan *p, const ddb_records *records,
                        PyObject *list) {
  pyddb_breath breath = {0};
  for (size_t i = 0; i < records->count; i++) {
    PyObject *item = p->copy ? pyddb_record_out(source, records->items[i])
                             : pyddb_record_view_new(source, records->items[i]);
    if (!item) {
      return -1;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    if (pyddb_breathe(&breath) < 0) {
      return -1;
    }
  }
  return 0;
}

static PyObject *records_out(pyddb_source *source, const plan *p, const ddb_records *records) {
  PyObject *list = PyList_New((Py_ssize_t)records->count);
  if (!list) {
    return NULL;
  }
  int result =
      p->aliases ? fill_columns(source, p, records, list) : fill_records(source, p, records, list);
  if (result < 0) {
    Py_CLEAR(list);
  }
  return list;
}

static PyObject *run(pyddb_source *source, const plan *p) {
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_records records = {0};
  PyObject *result = NULL;
  if (pyddb_view_select(source, &view, p->where, &p->query, &records) == 0) {
    result = records_out(source, p, &records);
    ddb_records_free(&records);
  }
  pyddb_view_close(source, &view);
  return result;
}

const char pyddb_select_doc[] =
    "select($self, columns=None, where=None, *, order_by=None, limit=None,\n"
    "       offset=0, copy=True, distinct=False)\n--\n\n"
    "Returns the records that where holds for, of one instant, as a list.\n\n"
    "columns: fields (str or Field), a dict {alias: field}, or (alias, field)\n"
    "pairs; None: whole records. A field that a record lacks reads as None.\n"
    "where: a Condition or a callable that takes a RecordView; None: all. order_by: a field or a "
    "list of fields;\n"
    "'-name' is descending; None: insertion order. limit: int, or None. offset:\n"
    "int. copy: new dicts; with copy=False and no columns read-only RecordViews.\n"
    "distinct: keeps the first of records that are equal on the columns.\n\n"
    "Raises InvalidArgumentError (a ValueError) for a negative limit or offset,\n"
    "UnknownFieldError, UnsupportedTypeError (a TypeError).";

PyObject *pyddb_source_select(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  static const char *const names[] = {"columns", "where", "order_by", "limit",
                                      "offset",  "copy",  "distinct"};
  static const pyddb_signature signature = {"select", names, ARGUMENT_COUNT, 2, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[ARGUMENT_COUNT];
  plan p;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 || plan_init(source, &p, slots) < 0) {
    return NULL;
  }
  PyObject *result = run(source, &p);
  plan_fini(&p);
  return result;
}
