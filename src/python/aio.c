/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aio.c - what the package's asyncio part asks of the extension: calls that an event loop can make,
 * and what is needed to tell which ones are short.
 *
 *   event loop    _without_waiting(table, ...)  -- would wait for the table's lock --> WaitRefusedError
 *   its threads   _cancellable(is_cancelled, ...) -- waits until that is true ------> WaitRefusedError
 *
 * Invariants
 *   I1  A refused wait is a statement that was not begun: it can be made again, by another thread.
 *   I2  What a thread may not wait for is the thread's, kept on the C stack: calls nest.
 *
 * Ownership: all borrowed from the arguments of the call that is under way.
 */
#include "pyddb.h"

static PyObject *call_with(pyddb_waiting waiting, PyObject *function, PyObject *args,
                           PyObject *keywords) {
  pyddb_waiting *present = pyddb_waiting_now();
  pyddb_waiting outer = *present;
  *present = waiting;
  PyObject *result = PyObject_Call(function, args, keywords);
  *present = outer;
  return result;
}

PyDoc_STRVAR(
    without_waiting_doc,
    "_without_waiting(table, function, args, kwargs, /)\n--\n\n"
    "Calls the function. Should it have to wait for the table's lock, WaitRefusedError is\n"
    "raised and nothing has changed.");

static PyObject *without_waiting(PyObject *module, PyObject *arguments) {
  pyddb_state *state = PyModule_GetState(module);
  PyObject *table, *function, *args, *keywords;
  if (!PyArg_ParseTuple(arguments, "O!OO!O!:_without_waiting", state->table_type, &table, &function,
                        &PyTuple_Type, &args, &PyDict_Type, &keywords)) {
    return NULL;
  }
  pyddb_waiting waiting = {.refused = ddb_table_lock(((pyddb_source *)table)->table),
                           .error = state->wait_refused_error};
  return call_with(waiting, function, args, keywords);
}

PyDoc_STRVAR(cancellable_doc,
             "_cancellable(is_cancelled, function, args, kwargs, /)\n--\n\n"
             "Calls the function. Waits for locks end with WaitRefusedError some time after\n"
             "is_cancelled() is true.");

static PyObject *cancellable(PyObject *module, PyObject *arguments) {
  pyddb_state *state = PyModule_GetState(module);
  PyObject *is_cancelled, *function, *args, *keywords;
  if (!PyArg_ParseTuple(arguments, "OOO!O!:_cancellable", &is_cancelled, &function, &PyTuple_Type,
                        &args, &PyDict_Type, &keywords)) {
    return NULL;
  }
  pyddb_waiting waiting = {.is_cancelled = is_cancelled, .error = state->wait_refused_error};
  return call_with(waiting, function, args, keywords);
}

PyDoc_STRVAR(weight_doc,
             "_weight(where, /)\n--\n\n"
             "Returns how many values are compared for one record, roughly (int); None: it\n"
             "cannot be foreseen, or where is not a Condition or None.");

static PyObject *weight(PyObject *module, PyObject *where) {
  pyddb_state *state = PyModule_GetState(module);
  if (where == Py_None) {
    return PyLong_FromLong(0);
  }
  if (!pyddb_is_native(state, where)) {
    Py_RETURN_NONE;
  }
  uint32_t found = ddb_cond_weight(((pyddb_cond *)where)->cond);
  return found == DDB_COND_WEIGHT_MAX ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(found);
}

PyDoc_STRVAR(is_kept_doc, "_is_kept(table, /)\n--\n\n"
                          "Returns whether the table's statements may wait for a disk (bool).");

/* NULL: an exception is set. */
static ddb_table *table_of(PyObject *module, PyObject *object) {
  pyddb_state *state = PyModule_GetState(module);
  if (!PyObject_TypeCheck(object, state->table_type)) {
    PyErr_Format(PyExc_TypeError, "not a Table: '%s'", Py_TYPE(object)->tp_name);
    return NULL;
  }
  return ((pyddb_source *)object)->table;
}

static PyObject *is_kept(PyObject *module, PyObject *table) {
  ddb_table *core = table_of(module, table);
  return core ? PyBool_FromLong(ddb_db_is_kept(ddb_table_db(core))) : NULL;
}

PyDoc_STRVAR(is_locked_doc, "_is_locked(table, /)\n--\n\n"
                            "Returns whether this thread holds the table's lock (bool).");

static PyObject *is_locked(PyObject *module, PyObject *table) {
  ddb_table *core = table_of(module, table);
  return core ? PyBool_FromLong(ddb_rwlock_is_held(ddb_table_lock(core))) : NULL;
}

static PyMethodDef functions[] = {
    {"_without_waiting", without_waiting, METH_VARARGS, without_waiting_doc},
    {"_cancellable", cancellable, METH_VARARGS, cancellable_doc},
    {"_weight", weight, METH_O, weight_doc},
    {"_is_kept", is_kept, METH_O, is_kept_doc},
    {"_is_locked", is_locked, METH_O, is_locked_doc},
    {NULL, NULL, 0, NULL},
};

int pyddb_aio_add(PyObject *module, pyddb_state *state) {
  state->wait_refused_error = PyErr_NewExceptionWithDoc(
      "dictdb._core.WaitRefusedError", "A wait that the calling thread may not make.", NULL, NULL);
  return state->wait_refused_error &&
                 PyModule_AddObjectRef(module, "WaitRefusedError", state->wait_refused_error) == 0
             ? PyModule_AddFunctions(module, functions)
             : -1;
}
