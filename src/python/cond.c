/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond.c - Condition, and And, Or, Not.
 *
 * A Condition holds one reference to an immutable ddb_cond; combining makes a new one. point_field
 * names a field that the condition fixes to a few values: when it is the primary key, few records
 * can match, and the statement is too short to detach for.
 *
 * With callables among the operands, a Condition has two parts, which must both hold: a ddb_cond, so
 * that the library finds the candidates, and the code that is asked about them (code.c). An `and`
 * joins parts with parts. An `or` has a native part when all its operands have, and its code is the
 * whole of it. Of a `not` nothing is native. Callables may refer to the Condition: the collector knows
 * of those that have code, and of no others. Most live for one statement: the memory of the last few
 * that are gone is kept for the next ones.
 */
#include "pyddb.h"

/* ---- Memory -------------------------------------------------------------------------------- */

static pyddb_cond *cond_alloc(pyddb_state *state) {
#ifndef Py_GIL_DISABLED
  pyddb_free_conds *free = &state->free_conds;
  if (free->count > 0) {
    return (pyddb_cond *)PyObject_Init((PyObject *)free->items[--free->count], state->cond_type);
  }
#endif
  return PyObject_GC_New(pyddb_cond, state->cond_type);
}

/* Module, types and Conditions may be garbage of one cycle, and go in any order. The module may have
 * gone, with its state: the collector has taken it from the type then. And what is kept may outlive
 * its type, which PyObject_GC_Del() looks at: it passes for one of a type that never goes. */
static void cond_free(pyddb_cond *self) {
#ifndef Py_GIL_DISABLED
  PyObject *module = ((PyHeapTypeObject *)(void *)Py_TYPE(self))->ht_module;
  pyddb_free_conds *free = module ? &self->state->free_conds : NULL;
  if (free && free->count < PYDDB_COND_WAYS) {
    Py_SET_TYPE(self, &PyTuple_Type);
    free->items[free->count++] = self;
    return;
  }
#endif
  PyObject_GC_Del(self);
}

void pyddb_conds_free(pyddb_state *state) {
#ifndef Py_GIL_DISABLED
  pyddb_free_conds *free = &state->free_conds;
  while (free->count > 0) {
    PyObject_GC_Del(free->items[--free->count]);
  }
#else
  (void)state;
#endif
}

PyObject *pyddb_cond_new(pyddb_state *state, ddb_cond *cond, PyObject *point_field) {
  pyddb_cond *self = cond_alloc(state);
  if (!self) {
    ddb_cond_release(cond);
    return NULL;
  }
  self->state = state;
  self->cond = cond;
  self->point_field = Py_XNewRef(point_field);
  self->code = NULL;
  return (PyObject *)self;
}

/* Takes `cond` (may be NULL) and `code` (NULL: an exception is set). */
static PyObject *coded_new(pyddb_state *state, ddb_cond *cond, PyObject *point_field,
                           PyObject *code) {
  if (!code) {
    ddb_cond_release(cond);
    return NULL;
  }
  PyObject *self = pyddb_cond_new(state, cond, point_field);
  if (self) {
    ((pyddb_cond *)self)->code = code;
    PyObject_GC_Track(self);
  } else {
    Py_DECREF(code);
  }
  return self;
}

static int cond_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_cond *)self)->code);
  return 0;
}

static void cond_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  pyddb_cond *cond = (pyddb_cond *)self;
  if (cond->code) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(cond->code);
  }
  ddb_cond_release(cond->cond);
  Py_XDECREF(cond->point_field);
  cond_free(cond);
  Py_DECREF(type);
}

/* ---- Conditions as arguments --------------------------------------------------------------- */

static PyObject *refuse_cond(pyddb_state *state, PyObject *object, const char *what) {
  if (PyBool_Check(object)) {
    return pyddb_raise_format(
        state, DDB_ERR_TYPE,
        "%s: a boolean was used as a condition; compare a field of the table, and "
        "combine conditions with & | ~ instead of and, or, not",
        what);
  }
  if (Py_IS_TYPE(object, state->field_type)) {
    return pyddb_raise_format(state, DDB_ERR_TYPE, "%s: field %R is not a condition: compare it",
                              what, ((pyddb_expr *)object)->name);
  }
  if (pyddb_is_expr(state, object)) {
    return pyddb_raise_format(state, DDB_ERR_TYPE,
                              "%s: expression %R is not a condition: compare it", what, object);
  }
  return pyddb_raise_format(
      state, DDB_ERR_TYPE,
      "%s must be a Condition, such as table.age >= 18, or a callable, not '%s'", what,
      Py_TYPE(object)->tp_name);
}

/* A Condition as it is, a callable as one; a new reference. */
static pyddb_cond *cond_of(pyddb_state *state, PyObject *object, const char *what) {
  if (Py_IS_TYPE(object, state->cond_type)) {
    return (pyddb_cond *)Py_NewRef(object);
  }
  if (!PyCallable_Check(object) || PyType_Check(object)) { /* a class is a mistake */
    return (pyddb_cond *)refuse_cond(state, object, what);
  }
  return (pyddb_cond *)coded_new(state, NULL, NULL, Py_NewRef(object));
}

int pyddb_where_argument(pyddb_source *source, PyObject *object, pyddb_cond **out) {
  *out = NULL;
  if (!object || object == Py_None) {
    return 0;
  }
  *out = cond_of(source->state, object, "where");
  return *out ? 0 : -1;
}

int pyddb_cond_argument(pyddb_source *source, PyObject *object, pyddb_cond **out) {
  *out = NULL;
  if (!object || object == Py_None) {
    return 0;
  }
  pyddb_state *state = source->state;
  if (!Py_IS_TYPE(object, state->cond_type)) {
    refuse_cond(state, object, "where");
    return -1;
  }
  if (((pyddb_cond *)object)->code) {
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "where: %R has callables, which cannot be asked here: use comparisons of "
                       "fields",
                       object);
    return -1;
  }
  *out = (pyddb_cond *)object;
  return 0;
}

/* ---- Combining ----------------------------------------------------------------------------- */

/* The operands of an and, or an or. */
typedef struct operands {
  pyddb_cond **items; /* strong */
  ddb_cond **conds;   /* borrowed: their native parts */
  Py_ssize_t count;
  Py_ssize_t cond_count;
  bool has_code;
  PyObject *point_field; /* borrowed */
} operands;

static void operands_fini(operands *all) {
  for (Py_ssize_t i = 0; i < all->count; i++) {
    Py_DECREF(all->items[i]);
  }
  PyMem_Free(all->items);
}

static int operands_init(operands *all, pyddb_state *state, PyObject *const *objects,
                         Py_ssize_t count, const char *what) {
  *all = (operands){.items = PyMem_Calloc(2 * (size_t)count + 1, sizeof(void *))};
  if (!all->items) {
    PyErr_NoMemory();
    return -1;
  }
  all->conds = (ddb_cond **)(void *)(all->items + count);
  for (; all->count < count; all->count++) {
    pyddb_cond *operand = cond_of(state, objects[all->count], what);
    if (!operand) {
      operands_fini(all);
      return -1;
    }
    all->items[all->count] = operand;
    all->has_code |= operand->code != NULL;
    all->point_field = operand->point_field ? operand->point_field : all->point_field;
    if (operand->cond) {
      all->conds[all->cond_count++] = operand->cond;
    }
  }
  return 0;
}

/* All that must hold for an operand, as code; a new reference. */
static PyObject *whole_code(pyddb_cond *operand) {
  if (!operand->code) {
    return Py_NewRef(operand);
  }
  if (!operand->cond) {
    return Py_NewRef(operand->code);
  }
  PyObject *native = pyddb_cond_new(operand->state, ddb_cond_acquire(operand->cond), NULL);
  PyObject *parts[] = {native, operand->code};
  PyObject *code = native ? pyddb_code_join(operand->state, true, parts, 2) : NULL;
  Py_XDECREF(native);
  return code;
}

/* What the code of an `and` of these is, or that of an `or`; a new reference. */
static PyObject *operands_code(pyddb_state *state, const operands *all, bool is_and) {
  PyObject **parts = PyMem_Calloc((size_t)all->count, sizeof *parts);
  if (!parts) {
    return PyErr_NoMemory();
  }
  Py_ssize_t count = 0;
  bool failed = false;
  for (Py_ssize_t i = 0; i < all->count && !failed; i++) {
    pyddb_cond *operand = all->items[i];
    if (!is_and || operand->code) {
      PyObject *part = is_and ? Py_NewRef(operand->code) : whole_code(operand);
      failed = !part;
      if (part) {
        parts[count++] = part;
      }
    }
  }
  PyObject *code = failed ? NULL : pyddb_code_join(state, is_and, parts, count);
  while (count > 0) {
    Py_DECREF(parts[--count]);
  }
  PyMem_Free(parts);
  return code;
}

static PyObject *join(pyddb_state *state, const operands *all, bool is_and) {
  ddb_cond *cond = NULL;
  if (!all->has_code || all->cond_count == all->count || (is_and && all->cond_count > 0)) {
    size_t count = (size_t)all->cond_count;
    ddb_error err;
    ddb_status status = is_and ? ddb_cond_and(all->conds, count, &cond, &err)
                               : ddb_cond_or(all->conds, count, &cond, &err);
    if (status != DDB_OK) {
      return pyddb_raise(state, &err);
    }
  }
  PyObject *point_field = is_and ? all->point_field : NULL;
  return all->has_code ? coded_new(state, cond, point_field, operands_code(state, all, is_and))
                       : pyddb_cond_new(state, cond, point_field);
}

static PyObject *combine(pyddb_state *state, bool is_and, PyObject *const *objects,
                         Py_ssize_t count, const char *what) {
  operands all;
  if (operands_init(&all, state, objects, count, what) < 0) {
    return NULL;
  }
  PyObject *result = join(state, &all, is_and);
  operands_fini(&all);
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
  PyObject *both[] = {left, right};
  return combine(state, is_and, both, 2, is_and ? "operand of &" : "operand of |");
}

static PyObject *cond_and(PyObject *left, PyObject *right) {
  return combine_two(true, left, right);
}

static PyObject *cond_or(PyObject *left, PyObject *right) {
  return combine_two(false, left, right);
}

static PyObject *negate(pyddb_state *state, pyddb_cond *operand) {
  if (operand->code) {
    PyObject *whole = whole_code(operand);
    PyObject *code = whole ? pyddb_code_not(state, whole) : NULL;
    Py_XDECREF(whole);
    return coded_new(state, NULL, NULL, code);
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  return ddb_cond_not(operand->cond, &cond, &err) == DDB_OK ? pyddb_cond_new(state, cond, NULL)
                                                            : pyddb_raise(state, &err);
}

static PyObject *cond_invert(PyObject *self) {
  return negate(((pyddb_cond *)self)->state, (pyddb_cond *)self);
}

/* ---- The type ------------------------------------------------------------------------------ */

static int cond_bool(PyObject *self) {
  pyddb_raise_format(((pyddb_cond *)self)->state, DDB_ERR_TYPE,
                     "a condition has no truth value: combine conditions with & | ~ instead of "
                     "and, or, not; and write (a <= field) & (field <= b), or between(a, b)");
  return -1;
}

static PyObject *native_repr(const ddb_cond *cond) {
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

static PyObject *cond_repr(PyObject *self) {
  pyddb_cond *cond = (pyddb_cond *)self;
  if (!cond->code) {
    return native_repr(cond->cond);
  }
  PyObject *code = pyddb_code_repr(cond->code);
  if (!code || !cond->cond) {
    return code;
  }
  PyObject *native = native_repr(cond->cond);
  PyObject *text = native ? PyUnicode_FromFormat("(%U & %U)", native, code) : NULL;
  Py_XDECREF(native);
  Py_DECREF(code);
  return text;
}

static PyObject *cond_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"condition"};
  static const pyddb_signature signature = {"Condition", names, 1, 1, 1};
  PyObject *slots[1];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0) {
    return NULL;
  }
  return (PyObject *)cond_of(state, slots[0], "Condition()");
}

PyDoc_STRVAR(cond_doc,
             "Condition(condition)\n--\n\n"
             "What a record must fulfil. Made by comparing fields, or of a callable that\n"
             "takes a RecordView; combined with & | ~ or And, Or, Not; Condition(c) is\n"
             "c. Immutable; has no truth value.");

static PyType_Slot cond_slots[] = {
    PYDDB_SLOT(Py_tp_new, cond_tp_new),
    PYDDB_SLOT(Py_tp_dealloc, cond_dealloc),
    PYDDB_SLOT(Py_tp_traverse, cond_traverse),
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
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
  pyddb_cond *cond = cond_of(state, operand, "argument of Not()");
  PyObject *result = cond ? negate(state, cond) : NULL;
  Py_XDECREF(cond);
  return result;
}

PyMethodDef pyddb_cond_functions[] = {
    {"And", PYDDB_FAST(module_and), METH_FASTCALL, and_doc},
    {"Or", PYDDB_FAST(module_or), METH_FASTCALL, or_doc},
    {"Not", module_not, METH_O, not_doc},
    {NULL, NULL, 0, NULL},
};
