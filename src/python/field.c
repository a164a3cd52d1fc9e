/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.c - Field: the name of a field, whose comparisons make Conditions.
 *
 * A field knows nothing of its table: a condition made with one table's field works on another. The
 * table checks the name when the field is asked for (with a schema) and when a statement runs.
 */
#include "pyddb.h"

PyObject *pyddb_field_new(pyddb_state *state, PyObject *name) {
  pyddb_field *field = (pyddb_field *)state->field_type->tp_alloc(state->field_type, 0);
  if (field) {
    field->state = state;
    field->name = Py_NewRef(name);
  }
  return (PyObject *)field;
}

static void field_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF(((pyddb_field *)self)->name);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Names as arguments -------------------------------------------------------------------- */

/* The name that was probably meant: the library knows. */
static bool raise_near(pyddb_source *source, PyObject *name) {
  pyddb_text text;
  if (pyddb_text_init(&text, name) < 0) {
    return true;
  }
  const ddb_shape *shape;
  ddb_error err;
  bool near = ddb_table_shape(source->table, DDB_SHAPE_CHANGES, &text.str, 1, &shape, &err) ==
                  DDB_ERR_SCHEMA &&
              strstr(err.message, "did you mean");
  pyddb_text_fini(&text);
  if (near) {
    err.status = DDB_ERR_FIELD_NOT_FOUND;
    pyddb_raise(source->state, &err);
  }
  return near;
}

int pyddb_field_check(pyddb_source *source, PyObject *name) {
  if (!source->field_names) {
    return 0;
  }
  int known = PySet_Contains(source->field_names, name);
  if (known != 0) {
    return known < 0 ? -1 : 0;
  }
  if (raise_near(source, name)) {
    return -1;
  }
  PyObject *sorted = PySequence_List(source->field_names);
  PyObject *comma = PyUnicode_FromString(", ");
  if (sorted && comma && PyList_Sort(sorted) == 0) {
    PyObject *all = PyUnicode_Join(comma, sorted);
    if (all) {
      pyddb_raise_format(source->state, DDB_ERR_FIELD_NOT_FOUND,
                         "table %R has no field %R; it has: %U", source->table_name, name, all);
      Py_DECREF(all);
    }
  }
  Py_XDECREF(sorted);
  Py_XDECREF(comma);
  return -1;
}

PyObject *pyddb_field_argument(pyddb_source *source, PyObject *object, const char *what) {
  PyObject *name = Py_IS_TYPE(object, source->state->field_type) ? ((pyddb_field *)object)->name
                   : PyUnicode_Check(object)                     ? object
                                                                 : NULL;
  if (!name) {
    return pyddb_raise_format(source->state, DDB_ERR_TYPE,
                              "%s: a field is a str or a Field, not '%s'", what,
                              Py_TYPE(object)->tp_name);
  }
  return pyddb_field_check(source, name) < 0 ? NULL : Py_NewRef(name);
}

PyObject *pyddb_source_field(PyObject *self, PyObject *name) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *checked = pyddb_field_argument(source, name, "field");
  PyObject *field = checked ? pyddb_field_new(source->state, checked) : NULL;
  Py_XDECREF(checked);
  return field;
}

/* For __getattr__: what Python looks for in any object is not a field. */
PyObject *pyddb_source_attribute(PyObject *self, PyObject *name) {
  if (PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) > 4 &&
      PyUnicode_READ_CHAR(name, 0) == '_' && PyUnicode_READ_CHAR(name, 1) == '_') {
    PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute %R", Py_TYPE(self)->tp_name,
                 name);
    return NULL;
  }
  return pyddb_source_field(self, name);
}

/* ---- Conditions ---------------------------------------------------------------------------- */

static int refuse_field(pyddb_field *field, PyObject *value) {
  if (Py_IS_TYPE(value, field->state->field_type)) {
    pyddb_raise_format(field->state, DDB_ERR_TYPE,
                       "field %R cannot be compared with field %R: compare it with a value",
                       field->name, ((pyddb_field *)value)->name);
    return -1;
  }
  return 0;
}

static PyObject *make_cond(pyddb_field *field, ddb_status status, ddb_cond *cond, bool is_point,
                           const ddb_error *err) {
  if (status != DDB_OK) {
    return pyddb_raise(field->state, err);
  }
  return pyddb_cond_new(field->state, cond, is_point ? field->name : NULL);
}

static PyObject *compare(pyddb_field *field, ddb_op op, PyObject *operand) {
  pyddb_value value;
  pyddb_text name;
  if (refuse_field(field, operand) < 0 ||
      pyddb_value_init(field->state, operand, NULL, field->name, &value) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (pyddb_text_init(&name, field->name) == 0) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_compare(name.str, op, &value.value, &cond, &err);
    result = make_cond(field, status, cond, op == DDB_OP_EQ, &err);
    pyddb_text_fini(&name);
  }
  pyddb_value_fini(field->state, &value);
  return result;
}

static PyObject *field_compare(PyObject *self, PyObject *other, int op) {
  static const ddb_op ops[] = {
      [Py_LT] = DDB_OP_LT, [Py_LE] = DDB_OP_LE, [Py_EQ] = DDB_OP_EQ,
      [Py_NE] = DDB_OP_NE, [Py_GT] = DDB_OP_GT, [Py_GE] = DDB_OP_GE,
  };
  return compare((pyddb_field *)self, ops[op], other);
}

/* All values of an iterable as top-level items of a builder. NULL: exception. */
static ddb_builder *values_of(pyddb_field *field, PyObject *values) {
  if (PyUnicode_Check(values) || PyBytes_Check(values)) {
    pyddb_raise_format(field->state, DDB_ERR_TYPE,
                       "field %R: is_in() takes an iterable of values, not '%s'", field->name,
                       Py_TYPE(values)->tp_name);
    return NULL;
  }
  PyObject *items = PySequence_Tuple(values);
  ddb_builder *builder = items ? pyddb_builder_take(field->state) : NULL;
  pyddb_input in = {field->state, builder, NULL, field->name};
  for (Py_ssize_t i = 0; builder && i < PyTuple_GET_SIZE(items); i++) {
    if (refuse_field(field, PyTuple_GET_ITEM(items, i)) < 0 ||
        pyddb_append(&in, PyTuple_GET_ITEM(items, i)) < 0) {
      pyddb_builder_give(field->state, builder);
      builder = NULL;
    }
  }
  Py_XDECREF(items);
  return builder;
}

PyDoc_STRVAR(is_in_doc, "is_in($self, values, /)\n--\n\n"
                        "The field equals one of the values (any iterable).");

static PyObject *field_is_in(PyObject *self, PyObject *values) {
  pyddb_field *field = (pyddb_field *)self;
  ddb_builder *builder = values_of(field, values);
  if (!builder) {
    return NULL;
  }
  size_t count = ddb_builder_count(builder);
  ddb_value *items = PyMem_Calloc(count + 1, sizeof *items);
  pyddb_text name = {0};
  PyObject *result = NULL;
  if (!items) {
    PyErr_NoMemory();
  } else if (pyddb_text_init(&name, field->name) == 0) {
    for (size_t i = 0; i < count; i++) {
      items[i] = ddb_builder_value_at(builder, i);
    }
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_in(name.str, items, count, &cond, &err);
    result = make_cond(field, status, cond, count <= 64, &err);
    pyddb_text_fini(&name);
  }
  PyMem_Free(items);
  pyddb_builder_give(field->state, builder);
  return result;
}

PyDoc_STRVAR(between_doc, "between($self, low, high, /)\n--\n\n"
                          "low <= the field <= high.");

static PyObject *field_between(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  pyddb_field *field = (pyddb_field *)self;
  if (count != 2) {
    PyErr_Format(PyExc_TypeError, "between() takes 2 arguments (%zd given)", count);
    return NULL;
  }
  pyddb_value low, high;
  if (refuse_field(field, args[0]) < 0 || refuse_field(field, args[1]) < 0 ||
      pyddb_value_init(field->state, args[0], NULL, field->name, &low) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (pyddb_value_init(field->state, args[1], NULL, field->name, &high) == 0) {
    pyddb_text name;
    if (pyddb_text_init(&name, field->name) == 0) {
      ddb_cond *cond = NULL;
      ddb_error err;
      ddb_status status = ddb_cond_between(name.str, &low.value, &high.value, &cond, &err);
      result = make_cond(field, status, cond, false, &err);
      pyddb_text_fini(&name);
    }
    pyddb_value_fini(field->state, &high);
  }
  pyddb_value_fini(field->state, &low);
  return result;
}

PyDoc_STRVAR(startswith_doc, "startswith($self, prefix, /)\n--\n\n"
                             "The field is a str (or bytes) that starts with prefix.");
static PyObject *field_startswith(PyObject *self, PyObject *prefix) {
  return compare((pyddb_field *)self, DDB_OP_STARTSWITH, prefix);
}

PyDoc_STRVAR(endswith_doc, "endswith($self, suffix, /)\n--\n\n"
                           "The field is a str (or bytes) that ends with suffix.");
static PyObject *field_endswith(PyObject *self, PyObject *suffix) {
  return compare((pyddb_field *)self, DDB_OP_ENDSWITH, suffix);
}

PyDoc_STRVAR(contains_doc, "contains($self, item, /)\n--\n\n"
                           "item is a part of the field's str or bytes, an item of its list,\n"
                           "tuple or set, or a key of its dict.");
static PyObject *field_contains(PyObject *self, PyObject *item) {
  return compare((pyddb_field *)self, DDB_OP_CONTAINS, item);
}

static ddb_cond *null_cond(pyddb_field *field) {
  pyddb_text name;
  if (pyddb_text_init(&name, field->name) < 0) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  if (ddb_cond_is_null(name.str, &cond, &err) != DDB_OK) {
    pyddb_raise(field->state, &err);
    cond = NULL;
  }
  pyddb_text_fini(&name);
  return cond;
}

PyDoc_STRVAR(is_null_doc, "is_null($self)\n--\n\nThe field is None or missing.");
static PyObject *field_is_null(PyObject *self, PyObject *unused) {
  (void)unused;
  ddb_cond *cond = null_cond((pyddb_field *)self);
  return cond ? pyddb_cond_new(((pyddb_field *)self)->state, cond, NULL) : NULL;
}

PyDoc_STRVAR(is_not_null_doc, "is_not_null($self)\n--\n\nThe field is there and not None.");
static PyObject *field_is_not_null(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_field *field = (pyddb_field *)self;
  ddb_cond *operand = null_cond(field);
  if (!operand) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  ddb_status status = ddb_cond_not(operand, &cond, &err);
  ddb_cond_release(operand);
  return make_cond(field, status, cond, false, &err);
}

/* ---- The type ------------------------------------------------------------------------------ */

static Py_hash_t field_hash(PyObject *self) {
  return PyObject_Hash(((pyddb_field *)self)->name);
}

static PyObject *field_repr(PyObject *self) {
  return PyUnicode_FromFormat("Field(%R)", ((pyddb_field *)self)->name);
}

static int field_bool(PyObject *self) {
  pyddb_raise_format(((pyddb_field *)self)->state, DDB_ERR_TYPE,
                     "field %R has no truth value: compare it, or use is_null() or is_not_null()",
                     ((pyddb_field *)self)->name);
  return -1;
}

static PyObject *field_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"name"};
  static const pyddb_signature signature = {"Field", names, 1, 1, 1};
  PyObject *slots[1];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0) {
    return NULL;
  }
  if (!PyUnicode_Check(slots[0])) {
    return pyddb_raise_format(state, DDB_ERR_TYPE, "a field's name must be str, not '%s'",
                              Py_TYPE(slots[0])->tp_name);
  }
  return pyddb_field_new(state, slots[0]);
}

static PyObject *field_get_name(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_field *)self)->name);
}

static PyGetSetDef field_getset[] = {
    {"field_name", field_get_name, NULL, "The field's name (str).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef field_methods[] = {
    {"is_in", field_is_in, METH_O, is_in_doc},
    {"between", PYDDB_FAST(field_between), METH_FASTCALL, between_doc},
    {"startswith", field_startswith, METH_O, startswith_doc},
    {"endswith", field_endswith, METH_O, endswith_doc},
    {"contains", field_contains, METH_O, contains_doc},
    {"is_null", field_is_null, METH_NOARGS, is_null_doc},
    {"is_not_null", field_is_not_null, METH_NOARGS, is_not_null_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(field_doc, "Field(name)\n--\n\n"
                        "A field of records, by name. Comparing it with a value (== != < <= > >=)\n"
                        "makes a Condition. Tables give fields: table.age, table['count'].");

static PyType_Slot field_slots[] = {
    PYDDB_SLOT(Py_tp_new, field_new),
    PYDDB_SLOT(Py_tp_dealloc, field_dealloc),
    PYDDB_SLOT(Py_tp_richcompare, field_compare),
    PYDDB_SLOT(Py_tp_hash, field_hash),
    PYDDB_SLOT(Py_tp_repr, field_repr),
    PYDDB_SLOT(Py_nb_bool, field_bool),
    {Py_tp_getset, field_getset},
    {Py_tp_methods, field_methods},
    {Py_tp_doc, (void *)(uintptr_t)field_doc},
    {0, NULL},
};

PyType_Spec pyddb_field_spec = {
    .name = "dictdb._core.Field",
    .basicsize = sizeof(pyddb_field),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = field_slots,
};
