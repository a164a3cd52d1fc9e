/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_out.c - ddb_value to Python objects, always new ones.
 *
 * The values borrow from a record that an open view pins or that the caller owns, so what Python
 * runs meanwhile (the hash of a set's item, the collector) can do no harm.
 */
#include "pyddb.h"

/* ---- Values -------------------------------------------------------------------------------- */

static PyObject *list_out(pyddb_state *state, const ddb_value *value) {
  Py_ssize_t count = (Py_ssize_t)ddb_value_item_count(value);
  PyObject *list = PyList_New(count);
  for (Py_ssize_t i = 0; list && i < count; i++) {
    ddb_value item = ddb_value_item(value, (size_t)i);
    PyObject *object = pyddb_value_out(state, &item);
    if (!object) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, i, object);
  }
  return list;
}

static PyObject *tuple_out(pyddb_state *state, const ddb_value *value) {
  Py_ssize_t count = (Py_ssize_t)ddb_value_item_count(value);
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    ddb_value item = ddb_value_item(value, (size_t)i);
    PyObject *object = pyddb_value_out(state, &item);
    if (!object) {
      Py_CLEAR(tuple);
      break;
    }
    PyTuple_SET_ITEM(tuple, i, object);
  }
  return tuple;
}

static PyObject *set_out(pyddb_state *state, const ddb_value *value) {
  PyObject *set = value->kind == DDB_SET ? PySet_New(NULL) : PyFrozenSet_New(NULL);
  size_t count = ddb_value_item_count(value);
  for (size_t i = 0; set && i < count; i++) {
    ddb_value item = ddb_value_item(value, i);
    PyObject *object = pyddb_value_out(state, &item);
    if (!object || PySet_Add(set, object) < 0) {
      Py_CLEAR(set);
    }
    Py_XDECREF(object);
  }
  return set;
}

static PyObject *dict_out(pyddb_state *state, const ddb_value *value) {
  PyObject *dict = PyDict_New();
  size_t count = ddb_value_item_count(value);
  for (size_t i = 0; dict && i + 1 < count; i += 2) {
    ddb_value key = ddb_value_item(value, i);
    ddb_value item = ddb_value_item(value, i + 1);
    PyObject *key_object = pyddb_value_out(state, &key);
    PyObject *item_object = key_object ? pyddb_value_out(state, &item) : NULL;
    if (!item_object || PyDict_SetItem(dict, key_object, item_object) < 0) {
      Py_CLEAR(dict);
    }
    Py_XDECREF(key_object);
    Py_XDECREF(item_object);
  }
  return dict;
}

static PyObject *big_int_out(const ddb_value *value) {
  const char *data = value->as.data;
  PyObject *magnitude = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "y#s", data + 1,
                                            (Py_ssize_t)value->size - 1, "little");
  if (magnitude && data[0]) {
    Py_SETREF(magnitude, PyNumber_Negative(magnitude));
  }
  return magnitude;
}

static PyObject *decimal_out(pyddb_state *state, const ddb_value *value) {
  const pyddb_foreign *foreign = pyddb_foreign_get(state);
  if (!foreign) {
    return NULL;
  }
  return PyObject_CallFunction(foreign->decimal, "s#", (const char *)value->as.data,
                               (Py_ssize_t)value->size);
}

static PyObject *uuid_out(pyddb_state *state, const ddb_value *value) {
  const pyddb_foreign *foreign = pyddb_foreign_get(state);
  if (!foreign) {
    return NULL;
  }
  return PyObject_CallFunction(foreign->uuid, "Oy#", Py_None, (const char *)value->as.data,
                               (Py_ssize_t)16);
}

static PyObject *other_out(pyddb_state *state, const ddb_value *value) {
  switch ((ddb_kind)value->kind) {
  case DDB_BIGINT:
    return big_int_out(value);
  case DDB_DECIMAL:
    return decimal_out(state, value);
  case DDB_BYTES:
    return PyBytes_FromStringAndSize(value->as.data, (Py_ssize_t)value->size);
  case DDB_LIST:
    return list_out(state, value);
  case DDB_TUPLE:
    return tuple_out(state, value);
  case DDB_DICT:
    return dict_out(state, value);
  case DDB_SET:
  case DDB_FROZENSET:
    return set_out(state, value);
  case DDB_UUID:
    return uuid_out(state, value);
  case DDB_DATE:
  case DDB_DATETIME:
  case DDB_TIME:
  case DDB_TIMEDELTA:
    return pyddb_temporal_out(state, value);
  case DDB_MISSING:
  case DDB_NULL:
  case DDB_BOOL:
  case DDB_INT:
  case DDB_FLOAT:
  case DDB_STR_KIND:
  case DDB_KIND_COUNT:
    break;
  }
  Py_RETURN_NONE;
}

PyObject *pyddb_value_out(pyddb_state *state, const ddb_value *value) {
  switch (value->kind) {
  case DDB_INT:
    return PyLong_FromLongLong(value->as.integer);
  case DDB_STR_KIND:
    return pyddb_text_out((ddb_str){value->as.data, value->size});
  case DDB_FLOAT:
    return PyFloat_FromDouble(value->as.real);
  case DDB_BOOL:
    return PyBool_FromLong(value->as.boolean);
  default:
    return other_out(state, value);
  }
}
