/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_view.c - RecordView, a read-only mapping over one record, and the iterator over records.
 *
 * A view owns a copy of the record's bytes and decodes a field when it is asked for: it costs one
 * allocation, stays valid for ever, and whatever it returns is new. The iterator owns copies of all
 * the records of one instant, so that it does not depend on the thread that made it; each is freed
 * when it has been handed out.
 *
 * Thread-safety: a RecordView is immutable; of an iterator that threads share, each record goes to
 * one of them.
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
  PyObject *owned;
  PyObject *names = pyddb_names_get(source, ddb_record_shape(record), &owned);
  if (!names) {
    return NULL;
  }
  names = owned ? owned : Py_NewRef(names);
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

/* ---- The iterator -------------------------------------------------------------------------- */

typedef struct pyddb_iterator {
  PyObject_HEAD pyddb_source *source; /* strong */
  ddb_record **records;
  size_t count;
  _Atomic size_t next;
} pyddb_iterator;

static int copy_records(const ddb_view *view, ddb_record **records, size_t capacity, size_t *count,
                        ddb_error *err) {
  uint64_t position = 0;
  const ddb_record *record;
  while (*count < capacity && (record = ddb_view_next(view, &position))) {
    if (ddb_record_copy(record, &records[*count], err) != DDB_OK) {
      return -1;
    }
    ++*count;
  }
  return 0;
}

static int iterator_fill(pyddb_iterator *iterator) {
  pyddb_source *source = iterator->source;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return -1;
  }
  size_t capacity = (size_t)ddb_view_count(&view);
  iterator->records = PyMem_Calloc(capacity + 1, sizeof(ddb_record *));
  ddb_error err = {.status = DDB_ERR_NOMEM};
  int result = -1;
  if (iterator->records) {
    bool detach = !pyddb_is_short(source, NULL, capacity);
    if (detach) {
      pyddb_detach();
    }
    result = copy_records(&view, iterator->records, capacity, &iterator->count, &err);
    if (detach) {
      pyddb_attach();
    }
  }
  pyddb_view_close(source, &view);
  if (result < 0) {
    pyddb_raise(source->state, &err);
  }
  return result;
}

PyObject *pyddb_source_iter(PyObject *self) {
  pyddb_source *source = (pyddb_source *)self;
  PyTypeObject *type = source->state->iterator_type;
  pyddb_iterator *iterator = (pyddb_iterator *)type->tp_alloc(type, 0);
  if (!iterator) {
    return NULL;
  }
  iterator->source = (pyddb_source *)Py_NewRef(self);
  if (iterator_fill(iterator) < 0) {
    Py_CLEAR(iterator);
  }
  return (PyObject *)iterator;
}

static PyObject *iterator_next(PyObject *self) {
  pyddb_iterator *iterator = (pyddb_iterator *)self;
  if (atomic_load(&iterator->next) >= iterator->count) {
    return NULL;
  }
  size_t index = atomic_fetch_add(&iterator->next, 1);
  if (index >= iterator->count) {
    return NULL;
  }
  PyObject *dict = pyddb_record_out(iterator->source, iterator->records[index]);
  ddb_record_free(iterator->records[index]);
  iterator->records[index] = NULL;
  return dict;
}

static PyObject *iterator_length_hint(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_iterator *iterator = (pyddb_iterator *)self;
  size_t next = atomic_load(&iterator->next);
  return PyLong_FromSize_t(next < iterator->count ? iterator->count - next : 0);
}

static int iterator_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_iterator *)self)->source);
  return 0;
}

static void iterator_dealloc(PyObject *self) {
  pyddb_iterator *iterator = (pyddb_iterator *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  for (size_t i = 0; i < iterator->count; i++) {
    ddb_record_free(iterator->records[i]);
  }
  PyMem_Free(iterator->records);
  Py_XDECREF(iterator->source);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", iterator_length_hint, METH_NOARGS, "Records left."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iterator_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, iterator_dealloc), PYDDB_SLOT(Py_tp_traverse, iterator_traverse),
    PYDDB_SLOT(Py_tp_iter, PyObject_SelfIter),   PYDDB_SLOT(Py_tp_iternext, iterator_next),
    {Py_tp_methods, iterator_methods},           {0, NULL},
};

PyType_Spec pyddb_iterator_spec = {
    .name = "dictdb._core._RecordIterator",
    .basicsize = sizeof(pyddb_iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};
