/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond.c - Condition, and And, Or, Not.
 *
 * A Condition holds one reference to an immutable ddb_cond; combining makes a new one. point_field
 * names a field that the condition fixes to a few values: when it is the primary key, few records
 * can match, and the statement is too short to detach for.
 */
#include "pyddb.h"

PyObject *pyddb_cond_new(pyddb_state *state, ddb_cond *cond, PyObject *point_field) {
  pyddb_cond *self = (pyddb_cond *)state->cond_type->tp_alloc(state->cond_type, 0);
  if (!self) {
    ddb_cond_release(cond);
    return NULL;
  }
  self->state = state;
  self->cond = cond;
  self->point_field = Py_XNewRef(point_field);
  return (PyObject *)self;
}

static void cond_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  ddb_cond_release(((pyddb_cond *)self)->cond);
  Py_XDECREF(((pyddb_cond *)self)->point_field);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Conditions as arguments --------------------------------------------------------------- */

static pyddb_cond *check_cond(pyddb_state *state, PyObject *object, const char *what) {
  if (Py_IS_TYPE(object, state->cond_type)) {
    return (pyddb_cond *)object;
  }
  if (PyBool_Check(object)) {
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "%s: a boolean was used as a condition; compare a field of the table, and "
                       "combine conditions with & | ~ instead of and, or, not",
                       what);
  } else if (Py_IS_TYPE(object, state->field_type)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s: field %R is not a condition: compare it", what,
                       ((pyddb_field *)object)->name);
  } else {
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "%s must be a Condition, such as table.age >= 18, not '%s'", what,
                       Py_TYPE(object)->tp_name);
  }
  return NULL;
}

int pyddb_cond_argument(pyddb_source *source, PyObject *object, pyddb_cond **out) {
  *out = NULL;
  if (!object || object == Py_None) {
    return 0;
  }
  *out = check_cond(source->state, object, "where");
  return *out ? 0 : -1;
}

/* ---- Combining ----------------------------------------------------------------------------- */

static PyObject *combine(pyddb_state *state, bool is_and, PyObject *const *operands,
                         Py_ssize_t count, const char *what) {
  ddb_cond **conds = PyMem_Calloc((size_t)count + 1, sizeof(ddb_cond *));
  if (!conds) {
    return PyErr_NoMemory();
  }
  PyObject *point_field = NULL;
  PyObject *result = NULL;
  Py_ssize_t i = 0;
  for (; i < count; i++) {
    pyddb_cond *operand = check_cond(state, operands[i], what);
    if (!operand) {
      break;
    }
    conds[i] = operand->cond;
    if (is_and && operand->point_field) {
      point_field = operand->point_field;
    }
  }
  if (i == count) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = is_and ? ddb_cond_and(conds, (size_t)count, &cond, &err)
                               : ddb_cond_or(conds, (size_t)count, &cond, &err);
    result = status == DDB_OK ? pyddb_cond_new(state, cond, point_field) : pyddb_raise(state, &err);
  }
  PyMem_Free(conds);
  return result;
}

/* One of the two is a Condition, the other anything. */
static pyddb_state *state_of_either(PyObject *left, PyObject *right) {
  if (PyType_HasFeature(Py_TYPE(left), Py_TPFLAGS_HEAPTYPE)) {
    pyddb_state *state = pyddb_state_of(Py_TYPE(left));
    if (state) {
      return state;
    }
    PyErr_Clear();
  }
  return pyddb_state_of(Py_TYPE(right));
}

static PyObject *combine_two(bool is_and, PyObject *left, PyObject *right) {
  pyddb_state *state = state_of_either(left, right);
  if (!state) {
    return NULL;
  }
  PyObject *operands[] = {left, right};
  return combine(state, is_and, operands, 2, is_and ? "operand of &" : "operand of |");
}

static PyObject *cond_and(PyObject *left, PyObject *right) {
  return combine_two(true, left, right);
}

static PyObject *cond_or(PyObject *left, PyObject *right) {
  return combine_two(false, left, right);
}

static PyObject *negate(pyddb_state *state, ddb_cond *operand) {
  ddb_cond *cond = NULL;
  ddb_error err;
  return ddb_cond_not(operand, &cond, &err) == DDB_OK ? pyddb_cond_new(state, cond, NULL)
                                                      : pyddb_raise(state, &err);
}

static PyObject *cond_invert(PyObject *self) {
  return negate(((pyddb_cond *)self)->state, ((pyddb_cond *)self)->cond);
}

/* ---- The type ------------------------------------------------------------------------------ */

static int cond_bool(PyObject *self) {
  pyddb_raise_format(((pyddb_cond *)self)->state, DDB_ERR_TYPE,
                     "a condition has no truth value: combine conditions with & | ~ instead of "
                     "and, or, not; and write (a <= field) & (field <= b), or between(a, b)");
  return -1;
}

static PyObject *cond_repr(PyObject *self) {
  const ddb_cond *cond = ((pyddb_cond *)self)->cond;
  char space[256];
  size_t size = ddb_cond_format(cond, space, sizeof space);
  if (size < sizeof space) {
    return PyUnicode_DecodeUTF8(space, (Py_ssize_t)size, "backslashreplace");
  }
  char *buffer = PyMem_Malloc(size + 1);
  if (!buffer) {
    return PyErr_NoMemory();
  }
  ddb_cond_format(cond, buffer, size + 1);
  PyObject *text = PyUnicode_DecodeUTF8(buffer, (Py_ssize_t)size, "backslashreplace");
  PyMem_Free(buffer);
  return text;
}

static PyObject *cond_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"condition"};
  static const pyddb_signature signature = {"Condition", names, 1, 1, 1};
  PyObject *slots[1];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0 ||
      !check_cond(state, slots[0], "Condition()")) {
    return NULL;
  }
  return Py_NewRef(slots[0]);
}

PyDoc_STRVAR(cond_doc, "Condition(condition)\n--\n\n"
                       "What a record must fulfil. Made by comparing fields; combined with & | ~\n"
                       "or And, Or, Not; Condition(c) is c. Immutable; has no truth value.");

static PyType_Slot cond_slots[] = {
    PYDDB_SLOT(Py_tp_new, cond_tp_new),
    PYDDB_SLOT(Py_tp_dealloc, cond_dealloc),
    PYDDB_SLOT(Py_tp_repr, cond_repr),
    PYDDB_SLOT(Py_nb_bool, cond_bool),
    PYDDB_SLOT(Py_nb_and, cond_and),
    PYDDB_SLOT(Py_nb_or, cond_or),
    PYDDB_SLOT(Py_nb_invert, cond_invert),
    {Py_tp_doc, (void *)(uintptr_t)cond_doc},
    {0, NULL},
};

PyType_Spec pyddb_cond_spec = {
    .name = "dictdb._core.Condition",
    .basicsize = sizeof(pyddb_cond),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cond_slots,
};

/* ---- And, Or, Not -------------------------------------------------------------------------- */

PyDoc_STRVAR(and_doc, "And(*conditions)\n--\n\n"
                      "The Condition that all hold; of none: always true.");

static PyObject *module_and(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  return combine(PyModule_GetState(module), true, args, count, "argument of And()");
}

PyDoc_STRVAR(or_doc, "Or(*conditions)\n--\n\n"
                     "The Condition that at least one holds; of none: never true.");

static PyObject *module_or(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  return combine(PyModule_GetState(module), false, args, count, "argument of Or()");
}

PyDoc_STRVAR(not_doc, "Not(condition, /)\n--\n\nThe Condition that the given one does not hold.");

static PyObject *module_not(PyObject *module, PyObject *operand) {
  pyddb_state *state = PyModule_GetState(module);
  pyddb_cond *cond = check_cond(state, operand, "argument of Not()");
  return cond ? negate(state, cond->cond) : NULL;
}

PyMethodDef pyddb_cond_functions[] = {
    {"And", PYDDB_FAST(module_and), METH_FASTCALL, and_doc},
    {"Or", PYDDB_FAST(module_or), METH_FASTCALL, or_doc},
    {"Not", module_not, METH_O, not_doc},
    {NULL, NULL, 0, NULL},
};
