/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_view.c - RecordView, a read-only mapping over one record.
 *
 * A view owns a copy of the record's bytes and decodes a field when it is asked for: it costs one
 * allocation, stays valid for ever, and whatever it returns is new.
 *
 * Thread-safety: immutable.
 */
#include "pyddb.h"

typedef struct pyddb_record_view {
  PyObject_HEAD pyddb_state *state;
  ddb_record *record;
  PyObject *names; /* tuple of str */
} pyddb_record_view;

/* ---- Making -------------------------------------------------------------------------------- */

PyObject *pyddb_record_view_new(pyddb_source *source, const ddb_record *record) {
  pyddb_state *state = source->state;
  pyddb_names *owned;
  pyddb_names *shared = pyddb_names_get(source, ddb_record_shape(record), &owned);
  if (!shared) {
    return NULL;
  }
  PyObject *names = Py_NewRef(shared->tuple);
  pyddb_names_free(owned);
  pyddb_record_view *view =
      (pyddb_record_view *)state->record_view_type->tp_alloc(state->record_view_type, 0);
  if (!view) {
    Py_DECREF(names);
    return NULL;
  }
  view->state = state;
  view->names = names;
  ddb_error err;
  if (ddb_record_copy(record, &view->record, &err) != DDB_OK) {
    view->record = NULL;
    Py_DECREF(view);
    return pyddb_raise(state, &err);
  }
  return (PyObject *)view;
}

static void view_dealloc(PyObject *self) {
  pyddb_record_view *view = (pyddb_record_view *)self;
  PyTypeObject *type = Py_TYPE(self);
  ddb_record_free(view->record);
  Py_XDECREF(view->names);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyObject *view_dict(pyddb_record_view *view) {
  return pyddb_record_dict(view->state, view->record, view->names);
}

/* ---- Look-ups ------------------------------------------------------------------------------ */

/* The index of a name, -1 when there is none. Names are str, so no user code runs; a key of
 * another type is not there. */
static Py_ssize_t view_find(pyddb_record_view *view, PyObject *key) {
  Py_ssize_t count = PyTuple_GET_SIZE(view->names);
  for (Py_ssize_t i = 0; i < count; i++) {
    if (PyTuple_GET_ITEM(view->names, i) == key) {
      return i;
    }
  }
  if (PyUnicode_Check(key)) {
    for (Py_ssize_t i = 0; i < count; i++) {
      PyObject *name = PyTuple_GET_ITEM(view->names, i);
      if (PyUnicode_GET_LENGTH(name) == PyUnicode_GET_LENGTH(key) &&
          PyUnicode_Compare(name, key) == 0) {
        return i;
      }
    }
  }
  return -1;
}

static PyObject *view_value(pyddb_record_view *view, Py_ssize_t index) {
  ddb_value value = ddb_record_value(view->record, (size_t)index);
  return pyddb_value_out(view->state, &value);
}

static PyObject *view_subscript(PyObject *self, PyObject *key) {
  Py_ssize_t index = view_find((pyddb_record_view *)self, key);
  if (index < 0) {
    PyErr_SetObject(PyExc_KeyError, key);
    return NULL;
  }
  return view_value((pyddb_record_view *)self, index);
}

static Py_ssize_t view_length(PyObject *self) {
  return PyTuple_GET_SIZE(((pyddb_record_view *)self)->names);
}

static int view_contains(PyObject *self, PyObject *key) {
  return view_find((pyddb_record_view *)self, key) >= 0;
}

static PyObject *view_iter(PyObject *self) {
  return PyObject_GetIter(((pyddb_record_view *)self)->names);
}

PyDoc_STRVAR(view_get_doc, "get($self, key, default=None, /)\n--\n\n"
                           "Returns the field's value, or default when there is no such field.");

static PyObject *view_get(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  if (count < 1 || count > 2) {
    PyErr_Format(PyExc_TypeError, "get() takes 1 or 2 arguments (%zd given)", count);
    return NULL;
  }
  Py_ssize_t index = view_find((pyddb_record_view *)self, args[0]);
  if (index >= 0) {
    return view_value((pyddb_record_view *)self, index);
  }
  return Py_NewRef(count == 2 ? args[1] : Py_None);
}

static PyObject *view_part(PyObject *self, const char *method) {
  PyObject *dict = view_dict((pyddb_record_view *)self);
  PyObject *part = dict ? PyObject_CallMethod(dict, method, NULL) : NULL;
  Py_XDECREF(dict);
  return part;
}

PyDoc_STRVAR(view_keys_doc, "keys($self)\n--\n\nReturns a set-like view of the names.");
static PyObject *view_keys(PyObject *self, PyObject *unused) {
  (void)unused;
  return view_part(self, "keys");
}

PyDoc_STRVAR(view_values_doc, "values($self)\n--\n\nReturns a view of the values.");
static PyObject *view_values(PyObject *self, PyObject *unused) {
  (void)unused;
  return view_part(self, "values");
}

PyDoc_STRVAR(view_items_doc, "items($self)\n--\n\nReturns a view of the (name, value) pairs.");
static PyObject *view_items(PyObject *self, PyObject *unused) {
  (void)unused;
  return view_part(self, "items");
}

PyDoc_STRVAR(view_copy_doc, "copy($self)\n--\n\nReturns a new dict of the names and values.");
static PyObject *view_copy(PyObject *self, PyObject *unused) {
  (void)unused;
  return view_dict((pyddb_record_view *)self);
}

/* ---- Comparison, repr ---------------------------------------------------------------------- */

static PyObject *other_dict(pyddb_record_view *view, PyObject *other) {
  if (Py_IS_TYPE(other, view->state->record_view_type)) {
    return view_dict((pyddb_record_view *)other);
  }
  PyObject *dict = PyDict_New();
  if (dict && PyDict_Update(dict, other) < 0) {
    Py_CLEAR(dict);
  }
  return dict;
}

static PyObject *view_compare(PyObject *self, PyObject *other, int op) {
  if ((op != Py_EQ && op != Py_NE) || !pyddb_is_mapping(other)) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  PyObject *mine = view_dict((pyddb_record_view *)self);
  PyObject *theirs = mine ? other_dict((pyddb_record_view *)self, other) : NULL;
  PyObject *result = theirs ? PyObject_RichCompare(mine, theirs, op) : NULL;
  Py_XDECREF(mine);
  Py_XDECREF(theirs);
  return result;
}

static PyObject *view_repr(PyObject *self) {
  PyObject *dict = view_dict((pyddb_record_view *)self);
  PyObject *text = dict ? PyUnicode_FromFormat("RecordView(%R)", dict) : NULL;
  Py_XDECREF(dict);
  return text;
}

static PyMethodDef view_methods[] = {
    {"get", PYDDB_FAST(view_get), METH_FASTCALL, view_get_doc},
    {"keys", view_keys, METH_NOARGS, view_keys_doc},
    {"values", view_values, METH_NOARGS, view_values_doc},
    {"items", view_items, METH_NOARGS, view_items_doc},
    {"copy", view_copy, METH_NOARGS, view_copy_doc},
    {"__copy__", view_copy, METH_NOARGS, view_copy_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(view_doc, "A read-only mapping over one record, from select(copy=False).\n\n"
                       "Valid for ever; shows the version it was read from. Not hashable.");

static PyType_Slot view_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, view_dealloc),
    PYDDB_SLOT(Py_tp_richcompare, view_compare),
    PYDDB_SLOT(Py_tp_hash, PyObject_HashNotImplemented),
    PYDDB_SLOT(Py_tp_repr, view_repr),
    PYDDB_SLOT(Py_tp_iter, view_iter),
    PYDDB_SLOT(Py_mp_subscript, view_subscript),
    PYDDB_SLOT(Py_mp_length, view_length),
    PYDDB_SLOT(Py_sq_contains, view_contains),
    {Py_tp_methods, view_methods},
    {Py_tp_doc, (void *)(uintptr_t)view_doc},
    {0, NULL},
};

PyType_Spec pyddb_record_view_spec = {
    .name = "dictdb._core.RecordView",
    .basicsize = sizeof(pyddb_record_view),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_MAPPING,
    .slots = view_slots,
};
