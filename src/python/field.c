/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.c - Field: the name of a field, an Expression; and names as arguments.
 *
 * A field knows nothing of its table: a condition made with one table's field works on another. The
 * table checks the name when the field is asked for (with a schema) and when a statement runs.
 *
 * A table keeps the Fields that it was asked for last, by the identity of the name, and gives the same
 * ones again: they are immutable. The one of its primary key knows the table for as long as it is kept,
 * so that comparing it can begin to fetch the record; whoever lets go of it takes that away.
 */
#include "pyddb.h"

PyObject *pyddb_field_new(pyddb_state *state, PyObject *name) {
  pyddb_expr *field = (pyddb_expr *)state->field_type->tp_alloc(state->field_type, 0);
  if (field) {
    field->state = state;
    field->name = Py_NewRef(name);
  }
  return (PyObject *)field;
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
  PyObject *name = Py_IS_TYPE(object, source->state->field_type) ? ((pyddb_expr *)object)->name
                   : PyUnicode_Check(object)                     ? object
                                                                 : NULL;
  if (!name) {
    return pyddb_raise_format(source->state, DDB_ERR_TYPE,
                              "%s: a field is a str or a Field, not '%s'", what,
                              Py_TYPE(object)->tp_name);
  }
  return pyddb_field_check(source, name) < 0 ? NULL : Py_NewRef(name);
}

PyObject *pyddb_column_argument(pyddb_source *source, PyObject *object, const char *what) {
  return Py_IS_TYPE(object, source->state->expr_type) ? Py_NewRef(object)
                                                      : pyddb_field_argument(source, object, what);
}

/* ---- Fields of a table --------------------------------------------------------------------- */

#ifndef Py_GIL_DISABLED

/* Code asks with the same str object again and again. */
static pyddb_expr **kept_at(pyddb_source *source, PyObject *name) {
  uintptr_t address = (uintptr_t)name;
  return &source->fields.last[((address >> 4) ^ (address >> 9)) % PYDDB_FIELD_WAYS];
}

/* A new reference; NULL without an exception: it is not kept. */
static PyObject *field_kept(pyddb_source *source, PyObject *name) {
  pyddb_expr *field = *kept_at(source, name);
  return field && field->name == name ? Py_NewRef(field) : NULL;
}

static void let_go(pyddb_expr **kept) {
  if (*kept) {
    (*kept)->keyed_by = NULL;
  }
  Py_CLEAR(*kept);
}

/* A str of a class of its own could refer to the table. */
static void field_keep(pyddb_source *source, pyddb_expr *field) {
  if (!PyUnicode_CheckExact(field->name)) {
    return;
  }
  pyddb_expr **kept = kept_at(source, field->name);
  let_go(kept);
  *kept = (pyddb_expr *)Py_NewRef(field);
  if (!source->snapshot && PyUnicode_Compare(field->name, source->primary_key) == 0) {
    field->keyed_by = source->table;
  }
}

void pyddb_fields_fini(pyddb_fields *kept) {
  for (size_t i = 0; i < PYDDB_FIELD_WAYS; i++) {
    let_go(&kept->last[i]);
  }
}

#else

static PyObject *field_kept(pyddb_source *source, PyObject *name) {
  (void)source;
  (void)name;
  return NULL;
}

static void field_keep(pyddb_source *source, pyddb_expr *field) {
  (void)source;
  (void)field;
}

void pyddb_fields_fini(pyddb_fields *kept) {
  (void)kept;
}

#endif

PyObject *pyddb_source_field(PyObject *self, PyObject *name) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *field = field_kept(source, name);
  if (field) {
    return field;
  }
  PyObject *checked = pyddb_field_argument(source, name, "field");
  field = checked ? pyddb_field_new(source->state, checked) : NULL;
  Py_XDECREF(checked);
  if (field) {
    field_keep(source, (pyddb_expr *)field);
  }
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

/* ---- The type ------------------------------------------------------------------------------ */

static Py_hash_t field_hash(PyObject *self) {
  return PyObject_Hash(((pyddb_expr *)self)->name);
}

static PyObject *field_repr(PyObject *self) {
  return PyUnicode_FromFormat("Field(%R)", ((pyddb_expr *)self)->name);
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
  return Py_NewRef(((pyddb_expr *)self)->name);
}

static PyGetSetDef field_getset[] = {
    {"field_name", field_get_name, NULL, "The field's name (str).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(field_doc, "Field(name)\n--\n\n"
                        "A field of records, by name. Comparing it with a value (== != < <= > >=)\n"
                        "makes a Condition. Tables give fields: table.age, table['count'].");

static PyType_Slot field_slots[] = {
    PYDDB_SLOT(Py_tp_new, field_new),
    PYDDB_SLOT(Py_tp_dealloc, pyddb_expr_dealloc),
    PYDDB_SLOT(Py_tp_richcompare, pyddb_expr_compare),
    PYDDB_SLOT(Py_tp_hash, field_hash),
    PYDDB_SLOT(Py_tp_repr, field_repr),
    {Py_tp_getset, field_getset},
    {Py_tp_doc, (void *)(uintptr_t)field_doc},
    {0, NULL},
};

PyType_Spec pyddb_field_spec = {
    .name = "dictdb._core.Field",
    .basicsize = sizeof(pyddb_expr),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = field_slots,
};
