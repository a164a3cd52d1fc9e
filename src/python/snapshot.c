/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - Snapshot: one instant of all tables of a database.
 *
 * `users` counts the open views and, until it is closed, the object itself; whoever brings it to
 * zero closes the ddb_snapshot, which must have no open view then. TableViews hold the Snapshot,
 * the Snapshot only the ddb_tables: no cycle.
 */
#include "pyddb.h"

#define NEAR_COUNT_MAX 256u /* tables among which a name is looked for that was meant */

#include <structmember.h>

/* ---- Use ----------------------------------------------------------------------------------- */

int pyddb_snapshot_use(pyddb_snapshot *snapshot) {
  uint32_t users = atomic_load(&snapshot->users);
  while (users > 0 && !atomic_load(&snapshot->closed)) {
    if (atomic_compare_exchange_weak(&snapshot->users, &users, users + 1)) {
      return 0;
    }
  }
  pyddb_raise_format(snapshot->state, DDB_ERR_INVALID, "the snapshot is closed");
  return -1;
}

void pyddb_snapshot_unuse(pyddb_snapshot *snapshot) {
  if (atomic_fetch_sub(&snapshot->users, 1) == 1) {
    ddb_snapshot_close(snapshot->snapshot);
  }
}

static void close_once(pyddb_snapshot *snapshot) {
  if (!atomic_exchange(&snapshot->closed, true)) {
    pyddb_snapshot_unuse(snapshot);
  }
}

/* ---- Making and freeing -------------------------------------------------------------------- */

PyObject *pyddb_snapshot_new(pyddb_state *state, ddb_db *db) {
  PyTypeObject *type = state->snapshot_type;
  pyddb_snapshot *snapshot = (pyddb_snapshot *)type->tp_alloc(type, 0);
  if (!snapshot) {
    return NULL;
  }
  snapshot->state = state;
  atomic_store(&snapshot->closed, true);
  ddb_error err;
  if (ddb_snapshot_open(db, &snapshot->snapshot, &err) != DDB_OK) {
    Py_DECREF(snapshot);
    return pyddb_raise(state, &err);
  }
  atomic_store(&snapshot->users, 1);
  atomic_store(&snapshot->closed, false);
  if (ddb_snapshot_tables(snapshot->snapshot, &snapshot->tables, &snapshot->table_count, &err) !=
      DDB_OK) {
    snapshot->tables = NULL;
    Py_DECREF(snapshot);
    return pyddb_raise(state, &err);
  }
  return (PyObject *)snapshot;
}

static void snapshot_dealloc(PyObject *self) {
  pyddb_snapshot *snapshot = (pyddb_snapshot *)self;
  PyTypeObject *type = Py_TYPE(self);
  if (snapshot->weak_list) {
    PyObject_ClearWeakRefs(self);
  }
  close_once(snapshot);
  if (snapshot->tables) {
    ddb_tables_free(snapshot->tables, snapshot->table_count);
  }
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Tables -------------------------------------------------------------------------------- */

/* NULL without exception when there is none. */
static ddb_table *find(pyddb_snapshot *snapshot, PyObject *name) {
  pyddb_text text;
  if (!PyUnicode_Check(name) || pyddb_text_init(&text, name) < 0) {
    return NULL;
  }
  ddb_table *found = NULL;
  for (size_t i = 0; i < snapshot->table_count && !found; i++) {
    ddb_str candidate = ddb_table_name(snapshot->tables[i]);
    if (candidate.size == text.str.size &&
        memcmp(candidate.data, text.str.data, candidate.size) == 0) {
      found = snapshot->tables[i];
    }
  }
  pyddb_text_fini(&text);
  return found;
}

PyObject *pyddb_table_view_new(pyddb_snapshot *snapshot, ddb_table *table) {
  PyTypeObject *type = snapshot->state->table_view_type;
  pyddb_source *view = (pyddb_source *)type->tp_alloc(type, 0);
  if (!view) {
    return NULL;
  }
  view->snapshot = (pyddb_snapshot *)Py_NewRef((PyObject *)snapshot);
  if (pyddb_source_init(view, snapshot->state, ddb_table_acquire(table)) < 0) {
    Py_CLEAR(view);
  }
  return (PyObject *)view;
}

/* Raises, with the name that was probably meant. */
static PyObject *raise_not_found(pyddb_snapshot *snapshot, PyObject *name) {
  ddb_str names[NEAR_COUNT_MAX] = {{NULL, 0}};
  size_t count = 0;
  for (; count < snapshot->table_count && count < NEAR_COUNT_MAX; count++) {
    names[count] = ddb_table_name(snapshot->tables[count]);
  }
  pyddb_text text;
  size_t nearest = count;
  if (PyUnicode_Check(name)) {
    if (pyddb_text_init(&text, name) < 0) {
      return NULL;
    }
    nearest = ddb_str_nearest(text.str, names, count);
    pyddb_text_fini(&text);
  }
  PyObject *near = nearest < count ? pyddb_text_out(names[nearest]) : NULL;
  if (near) {
    pyddb_raise_format(snapshot->state, DDB_ERR_TABLE_NOT_FOUND,
                       "the snapshot has no table %R; did you mean %R?", name, near);
    Py_DECREF(near);
  } else if (!PyErr_Occurred()) {
    pyddb_raise_format(snapshot->state, DDB_ERR_TABLE_NOT_FOUND, "the snapshot has no table %R",
                       name);
  }
  return NULL;
}

static PyObject *snapshot_subscript(PyObject *self, PyObject *name) {
  pyddb_snapshot *snapshot = (pyddb_snapshot *)self;
  if (atomic_load(&snapshot->closed)) {
    return pyddb_raise_format(snapshot->state, DDB_ERR_INVALID, "the snapshot is closed");
  }
  ddb_table *table = find(snapshot, name);
  if (!table) {
    return PyErr_Occurred() ? NULL : raise_not_found(snapshot, name);
  }
  return pyddb_table_view_new(snapshot, table);
}

static int snapshot_contains(PyObject *self, PyObject *name) {
  ddb_table *table = find((pyddb_snapshot *)self, name);
  return PyErr_Occurred() ? -1 : table != NULL;
}

static Py_ssize_t snapshot_length(PyObject *self) {
  return (Py_ssize_t)((pyddb_snapshot *)self)->table_count;
}

PyDoc_STRVAR(list_tables_doc,
             "list_tables($self)\n--\n\nReturns the names of the tables, in order of creation.");

static PyObject *snapshot_list_tables(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_snapshot *snapshot = (pyddb_snapshot *)self;
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < snapshot->table_count; i++) {
    PyObject *name = pyddb_name_out(ddb_table_name(snapshot->tables[i]));
    if (!name || PyList_Append(list, name) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(name);
  }
  return list;
}

static PyObject *snapshot_iter(PyObject *self) {
  PyObject *list = snapshot_list_tables(self, NULL);
  PyObject *iterator = list ? PyObject_GetIter(list) : NULL;
  Py_XDECREF(list);
  return iterator;
}

/* ---- Other methods ------------------------------------------------------------------------- */

PyDoc_STRVAR(close_doc, "close($self)\n--\n\n"
                        "Lets go of the instant. Reads that go on in other threads finish; later\n"
                        "ones raise InvalidArgumentError. Closing twice does nothing.");

static PyObject *snapshot_close(PyObject *self, PyObject *unused) {
  (void)unused;
  close_once((pyddb_snapshot *)self);
  Py_RETURN_NONE;
}

static PyObject *snapshot_enter(PyObject *self, PyObject *unused) {
  (void)unused;
  return Py_NewRef(self);
}

static PyObject *snapshot_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  (void)args;
  (void)count;
  return snapshot_close(self, NULL);
}

static PyObject *snapshot_save(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_snapshot *snapshot = (pyddb_snapshot *)self;
  if (pyddb_snapshot_use(snapshot) < 0) {
    return NULL;
  }
  PyObject *result = pyddb_save(snapshot->state, NULL, snapshot, args, count, kw);
  pyddb_snapshot_unuse(snapshot);
  return result;
}

static PyObject *get_commit(PyObject *self, void *unused) {
  (void)unused;
  pyddb_snapshot *snapshot = (pyddb_snapshot *)self;
  if (pyddb_snapshot_use(snapshot) < 0) {
    return NULL;
  }
  uint64_t commit = ddb_snapshot_commit(snapshot->snapshot);
  pyddb_snapshot_unuse(snapshot);
  return PyLong_FromUnsignedLongLong(commit);
}

static PyObject *get_closed(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(atomic_load(&((pyddb_snapshot *)self)->closed));
}

static PyMethodDef snapshot_methods[] = {
    {"list_tables", snapshot_list_tables, METH_NOARGS, list_tables_doc},
    {"save", PYDDB_FAST(snapshot_save), PYDDB_FAST_FLAGS, pyddb_save_doc},
    {"close", snapshot_close, METH_NOARGS, close_doc},
    {"__enter__", snapshot_enter, METH_NOARGS, "Returns the snapshot."},
    {"__exit__", PYDDB_FAST(snapshot_exit), METH_FASTCALL, "Closes the snapshot."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef snapshot_getset[] = {
    {"commit", get_commit, NULL, "The commit number of the instant (int).", NULL},
    {"closed", get_closed, NULL, "Whether it is closed (bool).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef snapshot_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pyddb_snapshot, weak_list), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(snapshot_doc,
             "One instant of all tables, from DictDB.snapshot(). snapshot['users'] is a\n"
             "TableView. Any thread may use and close it; stops nobody. What it sees stays\n"
             "in memory until it is closed.");

static PyType_Slot snapshot_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, snapshot_dealloc),
    PYDDB_SLOT(Py_tp_iter, snapshot_iter),
    PYDDB_SLOT(Py_mp_subscript, snapshot_subscript),
    PYDDB_SLOT(Py_mp_length, snapshot_length),
    PYDDB_SLOT(Py_sq_contains, snapshot_contains),
    {Py_tp_methods, snapshot_methods},
    {Py_tp_getset, snapshot_getset},
    {Py_tp_members, snapshot_members},
    {Py_tp_doc, (void *)(uintptr_t)snapshot_doc},
    {0, NULL},
};

PyType_Spec pyddb_snapshot_spec = {
    .name = "dictdb._core.Snapshot",
    .basicsize = sizeof(pyddb_snapshot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = snapshot_slots,
};
