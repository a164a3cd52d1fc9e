/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.c - Change: what an update does to a field other than giving it a value. Append(item),
 * Remove(item) and UNSET make them.
 *
 * Thread-safety: immutable. The item is whatever the user gave; it is converted when a statement runs.
 */
#include "pyddb.h"

static PyObject *change_new(pyddb_state *state, ddb_change_kind kind, PyObject *item) {
  pyddb_change *change = (pyddb_change *)state->change_type->tp_alloc(state->change_type, 0);
  if (change) {
    change->kind = kind;
    change->item = Py_XNewRef(item);
  }
  return (PyObject *)change;
}

static int change_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_change *)self)->item);
  return 0;
}

static int change_clear(PyObject *self) {
  Py_CLEAR(((pyddb_change *)self)->item);
  return 0;
}

static void change_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  (void)change_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyObject *change_repr(PyObject *self) {
  pyddb_change *change = (pyddb_change *)self;
  if (!change->item) {
    return PyUnicode_FromString("UNSET");
  }
  const char *name = change->kind == DDB_CHANGE_APPEND ? "Append" : "Remove";
  int status = Py_ReprEnter(self);
  if (status != 0) {
    return status > 0 ? PyUnicode_FromFormat("%s(...)", name) : NULL;
  }
  PyObject *text = PyUnicode_FromFormat("%s(%R)", name, change->item);
  Py_ReprLeave(self);
  return text;
}

PyDoc_STRVAR(change_doc,
             "What an update does to a field other than giving it a value: Append(item),\n"
             "Remove(item) or UNSET. Immutable.");

static PyType_Slot change_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, change_dealloc),  PYDDB_SLOT(Py_tp_traverse, change_traverse),
    PYDDB_SLOT(Py_tp_clear, change_clear),      PYDDB_SLOT(Py_tp_repr, change_repr),
    {Py_tp_doc, (void *)(uintptr_t)change_doc}, {0, NULL},
};

PyType_Spec pyddb_change_spec = {
    .name = "dictdb._core.Change",
    .basicsize = sizeof(pyddb_change),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = change_slots,
};

/* ---- Append, Remove, UNSET ----------------------------------------------------------------- */

PyDoc_STRVAR(append_doc,
             "Append(item, /)\n--\n\n"
             "A Change: the item (a value or an Expression) comes to the end of the field's\n"
             "list or tuple, or into its set. A field that is None or missing becomes a list\n"
             "of the one item.");

static PyObject *module_append(PyObject *module, PyObject *item) {
  return change_new(PyModule_GetState(module), DDB_CHANGE_APPEND, item);
}

PyDoc_STRVAR(remove_doc,
             "Remove(item, /)\n--\n\n"
             "A Change: all items equal to this one (a value or an Expression) go from the\n"
             "field's list, tuple or set. A field that is None or missing stays so.");

static PyObject *module_remove(PyObject *module, PyObject *item) {
  return change_new(PyModule_GetState(module), DDB_CHANGE_REMOVE, item);
}

static PyMethodDef functions[] = {
    {"Append", module_append, METH_O, append_doc},
    {"Remove", module_remove, METH_O, remove_doc},
    {NULL, NULL, 0, NULL},
};

int pyddb_changes_add(PyObject *module) {
  PyObject *unset = change_new(PyModule_GetState(module), DDB_CHANGE_UNSET, NULL);
  int result = unset ? PyModule_AddObjectRef(module, "UNSET", unset) : -1;
  Py_XDECREF(unset);
  return result < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
