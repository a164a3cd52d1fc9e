/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c - schemas between Python and the library.
 *
 * What a type annotation means is decided in Python (dictdb/_schema.py): schema_encode turns a
 * schema into rows (name, bits) or (name, bits, default), schema_decode turns rows into a dict.
 * Here rows become ddb_schema_field and back.
 */
#include "pyddb.h"

void pyddb_schema_fini(pyddb_state *state, pyddb_schema *schema) {
  for (size_t i = 0; schema->texts && i < schema->count; i++) {
    pyddb_text_fini(&schema->texts[i]);
  }
  PyMem_Free(schema->texts);
  PyMem_Free(schema->fields);
  PyMem_Free(schema->defaults);
  pyddb_builder_give(state, schema->builder);
  Py_XDECREF(schema->rows);
}

static int add_row(pyddb_state *state, PyObject *table, PyObject *row, pyddb_schema *schema,
                   size_t index) {
  ddb_schema_field *field = &schema->fields[index];
  PyObject *name;
  PyObject *default_object = NULL;
  unsigned int bits;
  if (!PyTuple_Check(row) || !PyArg_ParseTuple(row, "UI|O", &name, &bits, &default_object) ||
      pyddb_text_init(&schema->texts[index], name) < 0) {
    return -1;
  }
  field->name = schema->texts[index].str;
  field->types = bits;
  if (default_object) {
    pyddb_input in = {state, schema->builder, table, name};
    if (pyddb_append(&in, default_object) < 0) {
      return -1;
    }
    field->default_value = &schema->defaults[index];
  }
  return 0;
}

/* Values may move while more are appended: they are taken when all are there. */
static void take_defaults(pyddb_schema *schema) {
  size_t made = 0;
  for (size_t i = 0; i < schema->count; i++) {
    if (schema->fields[i].default_value) {
      schema->defaults[i] = ddb_builder_value_at(schema->builder, made++);
    }
  }
}

static int encode_rows(pyddb_state *state, PyObject *table, pyddb_schema *schema) {
  size_t count = (size_t)PyList_GET_SIZE(schema->rows);
  schema->texts = PyMem_Calloc(count + 1, sizeof *schema->texts);
  schema->fields = PyMem_Calloc(count + 1, sizeof *schema->fields);
  schema->defaults = PyMem_Calloc(count + 1, sizeof *schema->defaults);
  schema->builder = pyddb_builder_take(state);
  if (!schema->texts || !schema->fields || !schema->defaults || !schema->builder) {
    return PyErr_Occurred() ? -1 : (PyErr_NoMemory(), -1);
  }
  schema->count = count;
  for (size_t i = 0; i < count; i++) {
    if (add_row(state, table, PyList_GET_ITEM(schema->rows, (Py_ssize_t)i), schema, i) < 0) {
      return -1;
    }
  }
  take_defaults(schema);
  return 0;
}

int pyddb_schema_init(pyddb_state *state, PyObject *table, PyObject *object, pyddb_schema *schema) {
  *schema = (pyddb_schema){0};
  if (!object || object == Py_None) {
    return 0;
  }
  if (!state->schema_encode) {
    PyErr_SetString(PyExc_RuntimeError, "import dictdb, not dictdb._core: schemas need it");
    return -1;
  }
  schema->rows = PyObject_CallFunctionObjArgs(state->schema_encode, object, NULL);
  if (schema->rows && !PyList_CheckExact(schema->rows)) {
    PyErr_SetString(PyExc_TypeError, "schema_encode must return a list");
  } else if (schema->rows && encode_rows(state, table, schema) == 0) {
    return 0;
  }
  pyddb_schema_fini(state, schema);
  return -1;
}

static PyObject *row_out(pyddb_state *state, const ddb_schema_field *field) {
  PyObject *name = pyddb_name_out(field->name);
  if (!name || !field->default_value) {
    return name ? Py_BuildValue("(NI)", name, (unsigned int)field->types) : NULL;
  }
  PyObject *default_object = pyddb_value_out(state, field->default_value);
  if (!default_object) {
    Py_DECREF(name);
    return NULL;
  }
  return Py_BuildValue("(NIN)", name, (unsigned int)field->types, default_object);
}

PyObject *pyddb_schema_out(pyddb_state *state, ddb_table *table) {
  size_t count;
  const ddb_schema_field *fields = ddb_table_schema(table, &count);
  if (count == 0 || !state->schema_decode) {
    Py_RETURN_NONE;
  }
  PyObject *rows = PyList_New(0);
  for (size_t i = 0; rows && i < count; i++) {
    PyObject *row = row_out(state, &fields[i]);
    if (!row || PyList_Append(rows, row) < 0) {
      Py_CLEAR(rows);
    }
    Py_XDECREF(row);
  }
  PyObject *schema = rows ? PyObject_CallOneArg(state->schema_decode, rows) : NULL;
  Py_XDECREF(rows);
  return schema;
}
