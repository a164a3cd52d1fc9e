/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.c - Order: a field or an expression to sort by, its direction, and where its nulls go; and order_by arguments.
 *
 * Thread-safety: immutable.
 */
#include "pyddb.h"

typedef struct pyddb_order {
  PyObject_HEAD PyObject *key; /* str or Expression */
  bool descending;
  ddb_nulls nulls;
} pyddb_order;

static const char *const nulls_texts[] = {NULL, "first", "last"}; /* by ddb_nulls */

static int nulls_argument(pyddb_state *state, PyObject *object, ddb_nulls *out) {
  *out = DDB_NULLS_DEFAULT;
  if (!object || object == Py_None) {
    return 0;
  }
  size_t choice;
  if (pyddb_choice_argument(state, object, "nulls", nulls_texts + DDB_NULLS_FIRST, 2, &choice) <
      0) {
    return -1;
  }
  *out = (ddb_nulls)(choice + DDB_NULLS_FIRST);
  return 0;
}

/* ---- Making -------------------------------------------------------------------------------- */

/* "-name" is descending; a Field is what it is whatever its name. New reference. */
static PyObject *read_key(PyObject *object, bool *descending) {
  *descending = PyUnicode_Check(object) && PyUnicode_GET_LENGTH(object) > 1 &&
                PyUnicode_READ_CHAR(object, 0) == '-';
  return *descending ? PyUnicode_Substring(object, 1, PyUnicode_GET_LENGTH(object))
                     : Py_NewRef(object);
}

PyObject *pyddb_order_new(pyddb_state *state, PyObject *key, bool descending, PyObject *nulls) {
  ddb_nulls place;
  if (nulls_argument(state, nulls, &place) < 0) {
    return NULL;
  }
  pyddb_order *order = (pyddb_order *)state->order_type->tp_alloc(state->order_type, 0);
  if (order) {
    order->key = Py_NewRef(key);
    order->descending = descending;
    order->nulls = place;
  }
  return (PyObject *)order;
}

static PyObject *order_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"key", "descending", "nulls"};
  static const pyddb_signature signature = {"Order", names, 3, 1, 1};
  PyObject *slots[3];
  bool descending, minus;
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0 ||
      pyddb_bool_argument(state, slots[1], "Order: descending", false, &descending) < 0) {
    return NULL;
  }
  if (!PyUnicode_Check(slots[0]) && !pyddb_is_expr(state, slots[0])) {
    return pyddb_raise_format(state, DDB_ERR_TYPE,
                              "Order: a field is a str or an Expression, not '%s'",
                              Py_TYPE(slots[0])->tp_name);
  }
  PyObject *key = read_key(slots[0], &minus);
  PyObject *order = NULL;
  if (key && minus && slots[1]) {
    pyddb_raise_format(state, DDB_ERR_INVALID,
                       "Order(%R): either '-' or descending= says the direction, not both",
                       slots[0]);
  } else if (key) {
    order = pyddb_order_new(state, key, minus || descending, slots[2]);
  }
  Py_XDECREF(key);
  return order;
}

static void order_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF(((pyddb_order *)self)->key);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- asc, desc ----------------------------------------------------------------------------- */

static PyObject *order_of(PyObject *expr, bool descending, const char *name, PyObject *const *args,
                          Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"nulls"};
  const pyddb_signature signature = {name, names, 1, 0, 0};
  PyObject *slots[1];
  if (pyddb_bind(&signature, args, count, kw, slots) < 0) {
    return NULL;
  }
  return pyddb_order_new(((pyddb_expr *)expr)->state, expr, descending, slots[0]);
}

const char pyddb_asc_doc[] = "asc($self, *, nulls=None)\n--\n\n"
                             "The Order by this, the least first; nulls: 'first', 'last', or None\n"
                             "(first).";

PyObject *pyddb_expr_asc(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  return order_of(self, false, "asc", args, count, kw);
}

const char pyddb_desc_doc[] =
    "desc($self, *, nulls=None)\n--\n\n"
    "The Order by this, the greatest first; nulls: 'first', 'last', or None\n"
    "(last).";

PyObject *pyddb_expr_desc(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  return order_of(self, true, "desc", args, count, kw);
}

/* ---- Reading ------------------------------------------------------------------------------- */

int pyddb_order_read(pyddb_source *source, PyObject *item, pyddb_order_item *out) {
  PyObject *key;
  if (Py_IS_TYPE(item, source->state->order_type)) {
    const pyddb_order *order = (pyddb_order *)item;
    key = Py_NewRef(order->key);
    out->descending = order->descending;
    out->nulls = order->nulls;
  } else {
    key = read_key(item, &out->descending);
    out->nulls = DDB_NULLS_DEFAULT;
  }
  out->column = key ? pyddb_column_argument(source, key, "order_by") : NULL;
  Py_XDECREF(key);
  return out->column ? 0 : -1;
}

static PyObject *nulls_out(const pyddb_order *order) {
  const char *text = nulls_texts[order->nulls];
  return text ? PyUnicode_FromString(text) : Py_NewRef(Py_None);
}

static PyObject *order_get_key(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_order *)self)->key);
}

static PyObject *order_get_descending(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(((pyddb_order *)self)->descending);
}

static PyObject *order_get_nulls(PyObject *self, void *unused) {
  (void)unused;
  return nulls_out((pyddb_order *)self);
}

static PyObject *order_repr(PyObject *self) {
  const pyddb_order *order = (pyddb_order *)self;
  const char *nulls = nulls_texts[order->nulls];
  return PyUnicode_FromFormat("Order(%R%s%s%s%s)", order->key,
                              order->descending ? ", descending=True" : "",
                              nulls ? ", nulls='" : "", nulls ? nulls : "", nulls ? "'" : "");
}

/* ---- The type ------------------------------------------------------------------------------ */

static PyGetSetDef order_getset[] = {
    {"key", order_get_key, NULL, "What is sorted by (str, Field or Expression).", NULL},
    {"descending", order_get_descending, NULL, "Whether the greatest comes first (bool).", NULL},
    {"nulls", order_get_nulls, NULL, "'first', 'last', or None: as the direction has it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(order_doc,
             "Order(key, *, descending=False, nulls=None)\n--\n\n"
             "An item of order_by: what to sort by (a str, '-name' being descending, a Field\n"
             "or an Expression), and where records go for which it is None or missing: nulls\n"
             "is 'first', 'last', or None (first, and last when descending). The same as\n"
             "field.asc(nulls=...) and field.desc(nulls=...). Immutable.");

static PyType_Slot order_slots[] = {
    PYDDB_SLOT(Py_tp_new, order_tp_new),       PYDDB_SLOT(Py_tp_dealloc, order_dealloc),
    PYDDB_SLOT(Py_tp_repr, order_repr),        {Py_tp_getset, order_getset},
    {Py_tp_doc, (void *)(uintptr_t)order_doc}, {0, NULL},
};

PyType_Spec pyddb_order_spec = {
    .name = "dictdb._core.Order",
    .basicsize = sizeof(pyddb_order),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = order_slots,
};
