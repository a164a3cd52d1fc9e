/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.c - Expression: what is computed from a record, as an object; the base of Field.
 *
 * An Expression holds one reference to an immutable ddb_expr. A Field holds its name only, and makes
 * its ddb_expr when it becomes part of something larger: a comparison with a value needs none.
 */
#include "pyddb.h"

PyObject *pyddb_expr_new(pyddb_state *state, ddb_expr *expr) {
  pyddb_expr *self = (pyddb_expr *)state->expr_type->tp_alloc(state->expr_type, 0);
  if (!self) {
    ddb_expr_release(expr);
    return NULL;
  }
  self->state = state;
  self->expr = expr;
  return (PyObject *)self;
}

void pyddb_expr_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF(((pyddb_expr *)self)->name);
  ddb_expr_release(((pyddb_expr *)self)->expr);
  type->tp_free(self);
  Py_DECREF(type);
}

ddb_expr *pyddb_expr_take(pyddb_expr *self) {
  if (self->expr) {
    return ddb_expr_acquire(self->expr);
  }
  pyddb_text name;
  if (pyddb_text_init(&name, self->name) < 0) {
    return NULL;
  }
  ddb_expr *expr = NULL;
  ddb_error err;
  if (ddb_expr_field(name.str, &expr, &err) != DDB_OK) {
    pyddb_raise(self->state, &err);
    expr = NULL;
  }
  pyddb_text_fini(&name);
  return expr;
}

ddb_expr *pyddb_expr_operand(pyddb_state *state, PyObject *object, PyObject *field) {
  if (pyddb_is_expr(state, object)) {
    return pyddb_expr_take((pyddb_expr *)object);
  }
  pyddb_value value;
  if (pyddb_value_init(state, object, NULL, field, &value) < 0) {
    return NULL;
  }
  ddb_expr *expr = NULL;
  ddb_error err;
  if (ddb_expr_value(&value.value, &expr, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    expr = NULL;
  }
  pyddb_value_fini(state, &value);
  return expr;
}

/* The expression that `status` is about, as an object; or its exception. */
static PyObject *expr_out(pyddb_state *state, ddb_status status, ddb_expr *expr,
                          const ddb_error *err) {
  return status == DDB_OK ? pyddb_expr_new(state, expr) : pyddb_raise(state, err);
}

/* ---- Paths and lengths --------------------------------------------------------------------- */

static PyObject *expr_item(PyObject *object, PyObject *key_object) {
  pyddb_expr *self = (pyddb_expr *)object;
  if (PySlice_Check(key_object) || pyddb_is_expr(self->state, key_object)) {
    return pyddb_raise_format(self->state, DDB_ERR_TYPE,
                              "%R: a step of a path is a dict's key or a list's index, not '%s'",
                              object, Py_TYPE(key_object)->tp_name);
  }
  pyddb_value key;
  if (pyddb_value_init(self->state, key_object, NULL, self->name, &key) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  ddb_expr *container = pyddb_expr_take(self);
  if (container) {
    ddb_expr *expr = NULL;
    ddb_error err;
    ddb_status status = ddb_expr_item(container, &key.value, &expr, &err);
    result = expr_out(self->state, status, expr, &err);
    ddb_expr_release(container);
  }
  pyddb_value_fini(self->state, &key);
  return result;
}

PyObject *pyddb_expr_len(PyObject *object, PyObject *unused) {
  (void)unused;
  pyddb_expr *self = (pyddb_expr *)object;
  ddb_expr *of = pyddb_expr_take(self);
  if (!of) {
    return NULL;
  }
  ddb_expr *expr = NULL;
  ddb_error err;
  ddb_status status = ddb_expr_len(of, &expr, &err);
  ddb_expr_release(of);
  return expr_out(self->state, status, expr, &err);
}

/* ---- Arithmetic ---------------------------------------------------------------------------- */

/* The expression among two operands, whose type is of this module: they share their destructor. */
static pyddb_expr *expr_among(PyObject *left, PyObject *right) {
  return (pyddb_expr *)(Py_TYPE(left)->tp_dealloc == pyddb_expr_dealloc ? left : right);
}

static PyObject *arith(ddb_arith op, PyObject *left, PyObject *right) {
  pyddb_expr *self = expr_among(left, right);
  ddb_expr *first = pyddb_expr_operand(self->state, left, self->name);
  ddb_expr *second = first && right ? pyddb_expr_operand(self->state, right, self->name) : NULL;
  PyObject *result = NULL;
  if (first && (second || !right)) {
    ddb_expr *expr = NULL;
    ddb_error err;
    ddb_status status = ddb_expr_arith(op, first, second, &expr, &err);
    result = expr_out(self->state, status, expr, &err);
  }
  ddb_expr_release(first);
  ddb_expr_release(second);
  return result;
}

static PyObject *expr_add(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_ADD, left, right);
}
static PyObject *expr_subtract(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_SUB, left, right);
}
static PyObject *expr_multiply(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_MUL, left, right);
}
static PyObject *expr_divide(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_DIV, left, right);
}
static PyObject *expr_floor_divide(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_FLOORDIV, left, right);
}
static PyObject *expr_remainder(PyObject *left, PyObject *right) {
  return arith(DDB_ARITH_MOD, left, right);
}
static PyObject *expr_negative(PyObject *self) {
  return arith(DDB_ARITH_NEG, self, NULL);
}

/* ---- The type ------------------------------------------------------------------------------ */

/* What Python would otherwise do with `in` and len(): look for a sequence, and not find one. */
static int expr_contains(PyObject *object, PyObject *item) {
  (void)item;
  pyddb_raise_format(((pyddb_expr *)object)->state, DDB_ERR_TYPE,
                     "%R: `in` cannot make a condition: use contains()", object);
  return -1;
}

static Py_ssize_t expr_length(PyObject *object) {
  pyddb_raise_format(((pyddb_expr *)object)->state, DDB_ERR_TYPE,
                     "%R: len() cannot make an expression: use len_()", object);
  return -1;
}

static int expr_bool(PyObject *object) {
  pyddb_expr *self = (pyddb_expr *)object;
  if (self->name) {
    pyddb_raise_format(self->state, DDB_ERR_TYPE,
                       "field %R has no truth value: compare it, or use is_null() or is_not_null()",
                       self->name);
  } else {
    pyddb_raise_format(
        self->state, DDB_ERR_TYPE,
        "expression %R has no truth value: compare it, or use is_null() or is_not_null()", object);
  }
  return -1;
}

static PyObject *expr_repr(PyObject *object) {
  const ddb_expr *expr = ((pyddb_expr *)object)->expr;
  char space[256];
  size_t size = ddb_expr_format(expr, space, sizeof space);
  if (size < sizeof space) {
    return PyUnicode_DecodeUTF8(space, (Py_ssize_t)size, "backslashreplace");
  }
  char *buffer = PyMem_Malloc(size + 1);
  if (!buffer) {
    return PyErr_NoMemory();
  }
  ddb_expr_format(expr, buffer, size + 1);
  PyObject *text = PyUnicode_DecodeUTF8(buffer, (Py_ssize_t)size, "backslashreplace");
  PyMem_Free(buffer);
  return text;
}

/* Comparing makes a Condition, so that only the object itself is the same key. */
static Py_hash_t expr_hash(PyObject *object) {
  uint64_t address = (uint64_t)(uintptr_t)object;
  Py_hash_t hash = (Py_hash_t)(address >> 4 | address << 60);
  return hash == -1 ? -2 : hash;
}

static PyObject *expr_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"value"};
  static const pyddb_signature signature = {"Expression", names, 1, 1, 1};
  PyObject *slots[1];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0) {
    return NULL;
  }
  if (type != state->expr_type) {
    return pyddb_raise_format(state, DDB_ERR_TYPE, "Expression cannot be subclassed");
  }
  if (pyddb_is_expr(state, slots[0])) {
    return Py_NewRef(slots[0]);
  }
  ddb_expr *expr = pyddb_expr_operand(state, slots[0], NULL);
  return expr ? pyddb_expr_new(state, expr) : NULL;
}

PyDoc_STRVAR(expr_doc,
             "Expression(value)\n--\n\n"
             "What is computed from a record: a Field, a value inside it (field['city'],\n"
             "field[0]), a sum or another result of + - * / // %, a length, or a constant.\n"
             "Comparing it makes a Condition. It is null for a record for which it cannot be\n"
             "computed.");

static PyType_Slot expr_slots[] = {
    PYDDB_SLOT(Py_tp_new, expr_tp_new),
    PYDDB_SLOT(Py_tp_dealloc, pyddb_expr_dealloc),
    PYDDB_SLOT(Py_tp_richcompare, pyddb_expr_compare),
    PYDDB_SLOT(Py_tp_hash, expr_hash),
    PYDDB_SLOT(Py_tp_repr, expr_repr),
    PYDDB_SLOT(Py_nb_bool, expr_bool),
    PYDDB_SLOT(Py_nb_add, expr_add),
    PYDDB_SLOT(Py_nb_subtract, expr_subtract),
    PYDDB_SLOT(Py_nb_multiply, expr_multiply),
    PYDDB_SLOT(Py_nb_true_divide, expr_divide),
    PYDDB_SLOT(Py_nb_floor_divide, expr_floor_divide),
    PYDDB_SLOT(Py_nb_remainder, expr_remainder),
    PYDDB_SLOT(Py_nb_negative, expr_negative),
    PYDDB_SLOT(Py_mp_subscript, expr_item),
    PYDDB_SLOT(Py_mp_length, expr_length),
    PYDDB_SLOT(Py_sq_contains, expr_contains),
    {Py_tp_methods, pyddb_expr_methods},
    {Py_tp_doc, (void *)(uintptr_t)expr_doc},
    {0, NULL},
};

PyType_Spec pyddb_expr_spec = {
    .name = "dictdb._core.Expression",
    .basicsize = sizeof(pyddb_expr),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_BASETYPE,
    .slots = expr_slots,
};
