/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_guard.c - what DictDB.write_lock returns: explicit write locks on several tables at once.
 */
#include "pyddb.h"

typedef struct pyddb_db_guard {
  PyObject_HEAD pyddb_state *state;
  PyObject *tables; /* tuple of Table */
  ddb_table **cores;
  size_t count;
  int64_t timeout_ns;
} pyddb_db_guard;

PyObject *pyddb_db_guard_new(pyddb_state *state, PyObject *tables, int64_t timeout_ns) {
  size_t count = (size_t)PyTuple_GET_SIZE(tables);
  ddb_table **cores = PyMem_Calloc(count + 1, sizeof(ddb_table *));
  if (!cores) {
    return PyErr_NoMemory();
  }
  for (size_t i = 0; i < count; i++) {
    cores[i] = ((pyddb_source *)PyTuple_GET_ITEM(tables, (Py_ssize_t)i))->table;
  }
  PyTypeObject *type = state->db_guard_type;
  pyddb_db_guard *guard = (pyddb_db_guard *)type->tp_alloc(type, 0);
  if (!guard) {
    PyMem_Free(cores);
    return NULL;
  }
  guard->state = state;
  guard->tables = Py_NewRef(tables);
  guard->cores = cores;
  guard->count = count;
  guard->timeout_ns = timeout_ns;
  return (PyObject *)guard;
}

static PyObject *guard_enter(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_db_guard *guard = (pyddb_db_guard *)self;
  ddb_error err;
  if (ddb_tables_write_lock(guard->cores, guard->count, guard->timeout_ns, &err) != DDB_OK) {
    return pyddb_raise(guard->state, &err);
  }
  return Py_NewRef(guard->tables);
}

static PyObject *guard_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  (void)args;
  (void)count;
  pyddb_db_guard *guard = (pyddb_db_guard *)self;
  ddb_error err;
  if (ddb_tables_write_unlock(guard->cores, guard->count, &err) != DDB_OK) {
    return pyddb_raise(guard->state, &err);
  }
  Py_RETURN_NONE;
}

static int guard_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_db_guard *)self)->tables);
  return 0;
}

static void guard_dealloc(PyObject *self) {
  pyddb_db_guard *guard = (pyddb_db_guard *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_XDECREF(guard->tables);
  PyMem_Free(guard->cores);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMethodDef guard_methods[] = {
    {"__enter__", guard_enter, METH_NOARGS, "Acquires; returns the tables as a tuple."},
    {"__exit__", PYDDB_FAST(guard_exit), METH_FASTCALL, "Releases."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot guard_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, guard_dealloc),
    PYDDB_SLOT(Py_tp_traverse, guard_traverse),
    {Py_tp_methods, guard_methods},
    {0, NULL},
};

PyType_Spec pyddb_db_guard_spec = {
    .name = "dictdb._core._TablesGuard",
    .basicsize = sizeof(pyddb_db_guard),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = guard_slots,
};
