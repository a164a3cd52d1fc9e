/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - what statements tell the logger of the package, which is Python code (_logging.py).
 *
 *   statement --> result --> [is logging on?] --> pyddb_log --> function(op, table, detail, result)
 *
 * Invariants
 *   I1  A statement is told of after it has taken effect, when this library holds no lock for it
 *       (an explicit write lock of the program may be held by the thread).
 *   I2  Nothing that the logger does changes the statement's result: an exception is reported as one
 *       that nobody can catch, and an interrupt is put off until after the statement.
 *   I3  With the level disabled a statement costs one load and one branch more.
 *
 * Ownership: the function is the state's, set once while the package is imported.
 */
#include "pyddb.h"

#include <signal.h>

/* The exception that is set came out of the logger. */
static void set_aside(PyObject *function) {
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
    PyErr_Clear();
    PyErr_SetInterruptEx(SIGINT);
    return;
  }
  PyErr_WriteUnraisable(function);
}

PyObject *pyddb_log(pyddb_state *state, const char *op, PyObject *table, PyObject *detail,
                    PyObject *result) {
  if (!result || !state->log_function) {
    return result;
  }
  PyObject *told = PyObject_CallFunction(state->log_function, "sOOO", op, table ? table : Py_None,
                                         detail ? detail : Py_None, result);
  if (!told) {
    set_aside(state->log_function);
  }
  Py_XDECREF(told);
  return result;
}

PyObject *pyddb_log_argument(const char *name, Py_ssize_t place, PyObject *const *args,
                             Py_ssize_t count, PyObject *kw) {
  if (count > place) {
    return args[place];
  }
  for (Py_ssize_t i = 0; kw && i < PyTuple_GET_SIZE(kw); i++) {
    if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kw, i), name) == 0) {
      return args[count + i];
    }
  }
  return NULL;
}

PyDoc_STRVAR(log_function_doc,
             "_log_function(function, /)\n--\n\n"
             "Names what is called as function(op, table, detail, result) after statements.");

static PyObject *module_log_function(PyObject *module, PyObject *function) {
  pyddb_state *state = PyModule_GetState(module);
  Py_XSETREF(state->log_function, Py_NewRef(function));
  Py_RETURN_NONE;
}

PyDoc_STRVAR(log_statements_doc, "_log_statements(is_on, /)\n--\n\n"
                                 "Says whether reads and writes of records are told of.");

static PyObject *module_log_statements(PyObject *module, PyObject *is_on) {
  pyddb_state *state = PyModule_GetState(module);
  int value = PyObject_IsTrue(is_on);
  if (value < 0) {
    return NULL;
  }
  atomic_store(&state->log_statements, value != 0);
  Py_RETURN_NONE;
}

PyMethodDef pyddb_log_functions[] = {
    {"_log_function", module_log_function, METH_O, log_function_doc},
    {"_log_statements", module_log_statements, METH_O, log_statements_doc},
    {NULL, NULL, 0, NULL},
};
