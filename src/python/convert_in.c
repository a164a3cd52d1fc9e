/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_in.c - Python values into a ddb_builder.
 *
 * Exact built-in types are read directly. Containers that could change are copied first, so that
 * nothing that runs meanwhile (a tzinfo, a property of a subclass) can pull them away. Subclasses
 * of the scalar types are taken as their base value, provided that the base value equals the
 * object; an IntEnum and a numpy.float64 pass, a pandas Timestamp with nanoseconds does not.
 * Subclasses of containers are taken as their base too (defaultdict, OrderedDict, named tuples).
 *
 * Everything here runs before any lock is taken. Depth is bounded by the builder (DDB_DEPTH_MAX).
 */
#include "pyddb.h"

#define TEXT_SIZE_MAX 0x7fffffff

/* ---- Errors -------------------------------------------------------------------------------- */

int pyddb_refuse(const pyddb_input *in, PyObject *object, const char *advice) {
  const char *type_name = Py_TYPE(object)->tp_name;
  if (in->table && in->field) {
    pyddb_raise_format(in->state, DDB_ERR_TYPE,
                       "table %R, field %R: values of type '%.100s' cannot be stored%s", in->table,
                       in->field, type_name, advice);
  } else if (in->field) {
    pyddb_raise_format(in->state, DDB_ERR_TYPE,
                       "field %R: values of type '%.100s' cannot be used%s", in->field, type_name,
                       advice);
  } else {
    pyddb_raise_format(in->state, DDB_ERR_TYPE, "values of type '%.100s' cannot be used%s",
                       type_name, advice);
  }
  if (in->builder) {
    ddb_builder_cancel(in->builder);
  }
  return -1;
}

static void copy_text(char *buffer, size_t capacity, PyObject *object) {
  pyddb_text text;
  if (!object || buffer[0]) {
    return;
  }
  if (pyddb_text_init(&text, object) < 0) {
    PyErr_Clear();
    return;
  }
  size_t size = text.str.size < capacity ? text.str.size : capacity - 1;
  memcpy(buffer, text.str.data, size);
  buffer[size] = '\0';
  pyddb_text_fini(&text);
}

static int raise_error(const pyddb_input *in, ddb_error *err) {
  copy_text(err->table, sizeof err->table, in->table);
  copy_text(err->field, sizeof err->field, in->field);
  pyddb_raise_value(in->state, err, in->table, in->field);
  return -1;
}

int pyddb_append_value(const pyddb_input *in, const ddb_value *value) {
  ddb_error err;
  return ddb_builder_append(in->builder, value, &err) == DDB_OK ? 0 : raise_error(in, &err);
}

/* ---- Scalars ------------------------------------------------------------------------------- */

static int refuse_size(const pyddb_input *in, Py_ssize_t size) {
  pyddb_raise_format(in->state, DDB_ERR_LIMIT, "a value of %zd bytes is too large", size);
  if (in->builder) {
    ddb_builder_cancel(in->builder);
  }
  return -1;
}

/*
 * Exact types whose value needs no memory: 1 and *value, which borrows from the object; else 0.
 */
static inline int plain_value(PyObject *object, ddb_value *value) {
  PyTypeObject *type = Py_TYPE(object);
  if (type == &PyUnicode_Type) {
    if (!PyUnicode_IS_COMPACT_ASCII(object) || PyUnicode_GET_LENGTH(object) > TEXT_SIZE_MAX) {
      return 0;
    }
    *value = ddb_text((ddb_str){(const char *)PyUnicode_1BYTE_DATA(object),
                                (size_t)PyUnicode_GET_LENGTH(object)});
    return 1;
  }
  if (type == &PyLong_Type) {
    int overflow;
    long long integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    *value = ddb_int(integer);
    return overflow == 0;
  }
  if (type == &PyFloat_Type) {
    *value = ddb_float(PyFloat_AS_DOUBLE(object));
    return 1;
  }
  if (type == &PyBool_Type) {
    *value = ddb_bool(object == Py_True);
    return 1;
  }
  if (object == Py_None) {
    *value = ddb_null();
    return 1;
  }
  if (type == &PyBytes_Type && PyBytes_GET_SIZE(object) <= TEXT_SIZE_MAX) {
    *value = (ddb_value){.kind = DDB_BYTES,
                         .size = (uint32_t)PyBytes_GET_SIZE(object),
                         .as = {.data = PyBytes_AS_STRING(object)}};
    return 1;
  }
  return 0;
}

static int append_text(const pyddb_input *in, PyObject *object) {
  pyddb_text text;
  if (pyddb_text_init(&text, object) < 0) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  int result;
  if (text.str.size > TEXT_SIZE_MAX) {
    result = refuse_size(in, (Py_ssize_t)text.str.size);
  } else {
    ddb_value value = ddb_text(text.str);
    result = pyddb_append_value(in, &value);
  }
  pyddb_text_fini(&text);
  return result;
}

static int append_bytes(const pyddb_input *in, PyObject *object) {
  if (PyBytes_GET_SIZE(object) > TEXT_SIZE_MAX) {
    return refuse_size(in, PyBytes_GET_SIZE(object));
  }
  ddb_value value = {.kind = DDB_BYTES,
                     .size = (uint32_t)PyBytes_GET_SIZE(object),
                     .as = {.data = PyBytes_AS_STRING(object)}};
  return pyddb_append_value(in, &value);
}

/* Sign and little-endian magnitude of an int outside int64. Only int's own methods are called, so
 * a subclass cannot interfere. */
static PyObject *big_int_bytes(PyObject *object, bool *is_negative) {
  PyObject *zero = PyLong_FromLong(0);
  PyObject *order = zero ? PyLong_Type.tp_richcompare(object, zero, Py_LT) : NULL;
  PyObject *magnitude = order ? PyLong_Type.tp_as_number->nb_absolute(object) : NULL;
  PyObject *bits = magnitude ? PyObject_CallMethod(magnitude, "bit_length", NULL) : NULL;
  Py_ssize_t bit_count = bits ? PyLong_AsSsize_t(bits) : -1;
  PyObject *bytes = NULL;
  if (bit_count >= 0) {
    *is_negative = order == Py_True;
    bytes = PyObject_CallMethod(magnitude, "to_bytes", "ns", (bit_count + 7) / 8, "little");
  }
  Py_XDECREF(zero);
  Py_XDECREF(order);
  Py_XDECREF(magnitude);
  Py_XDECREF(bits);
  return bytes;
}

static int append_big_int(const pyddb_input *in, PyObject *object) {
  bool is_negative = false;
  PyObject *bytes = big_int_bytes(object, &is_negative);
  if (!bytes) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  Py_ssize_t size = PyBytes_GET_SIZE(bytes) + 1;
  char *data = size <= TEXT_SIZE_MAX ? PyMem_Malloc((size_t)size) : NULL;
  int result;
  if (data) {
    data[0] = is_negative;
    memcpy(data + 1, PyBytes_AS_STRING(bytes), (size_t)size - 1);
    ddb_value value = {.kind = DDB_BIGINT, .size = (uint32_t)size, .as = {.data = data}};
    result = pyddb_append_value(in, &value);
  } else if (size > TEXT_SIZE_MAX) {
    result = refuse_size(in, size);
  } else {
    PyErr_NoMemory();
    ddb_builder_cancel(in->builder);
    result = -1;
  }
  PyMem_Free(data);
  Py_DECREF(bytes);
  return result;
}

static int append_int(const pyddb_input *in, PyObject *object) {
  int overflow;
  long long integer = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow) {
    return append_big_int(in, object);
  }
  ddb_value value = ddb_int(integer);
  return pyddb_append_value(in, &value);
}

static int append_decimal(const pyddb_input *in, const pyddb_foreign *foreign, PyObject *object) {
  /* str() of the class itself: a subclass may show itself differently. */
  PyObject *text = ((PyTypeObject *)foreign->decimal)->tp_str(object);
  const char *data = NULL;
  Py_ssize_t size = 0;
  if (text) {
    data = PyUnicode_AsUTF8AndSize(text, &size);
  }
  int result = -1;
  if (!data) {
    ddb_builder_cancel(in->builder);
  } else {
    ddb_value value = {.kind = DDB_DECIMAL, .size = (uint32_t)size, .as = {.data = data}};
    result = size > TEXT_SIZE_MAX ? refuse_size(in, size) : pyddb_append_value(in, &value);
  }
  Py_XDECREF(text);
  return result;
}

static int append_uuid(const pyddb_input *in, PyObject *object) {
  PyObject *bytes = PyObject_GetAttrString(object, "bytes");
  int result = -1;
  if (!bytes) {
    ddb_builder_cancel(in->builder);
  } else if (!PyBytes_CheckExact(bytes) || PyBytes_GET_SIZE(bytes) != 16) {
    result = pyddb_refuse(in, object, ": its bytes are not 16 bytes");
  } else {
    ddb_value value = {.kind = DDB_UUID, .size = 16, .as = {.data = PyBytes_AS_STRING(bytes)}};
    result = pyddb_append_value(in, &value);
  }
  Py_XDECREF(bytes);
  return result;
}

/* ---- Containers ---------------------------------------------------------------------------- */

static int begin(const pyddb_input *in, ddb_kind kind, Py_ssize_t item_count) {
  ddb_error err;
  return ddb_builder_begin(in->builder, kind, (size_t)item_count, &err) == DDB_OK
             ? 0
             : raise_error(in, &err);
}

static int end(const pyddb_input *in) {
  ddb_error err;
  return ddb_builder_end(in->builder, &err) == DDB_OK ? 0 : raise_error(in, &err);
}

/* tuple: nobody else changes it. */
static int append_items(const pyddb_input *in, ddb_kind kind, PyObject *tuple) {
  Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  if (begin(in, kind, count) < 0) {
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    if (pyddb_append(in, PyTuple_GET_ITEM(tuple, i)) < 0) {
      return -1;
    }
  }
  return end(in);
}

/* Takes the reference; NULL: an exception is set. */
static int append_items_take(const pyddb_input *in, ddb_kind kind, PyObject *tuple) {
  if (!tuple) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  int result = append_items(in, kind, tuple);
  Py_DECREF(tuple);
  return result;
}

/* Copying a set calls no __hash__ and no __eq__, and is atomic on free-threaded builds too. */
static PyObject *set_items(PyObject *set) {
  PyObject *copy = PyFrozenSet_New(set);
  PyObject *items = copy ? PySequence_Tuple(copy) : NULL;
  Py_XDECREF(copy);
  return items;
}

static int append_dict_items(const pyddb_input *in, PyObject *copy) {
  if (begin(in, DDB_DICT, 2 * PyDict_GET_SIZE(copy)) < 0) {
    return -1;
  }
  PyObject *key, *value;
  Py_ssize_t position = 0;
  while (PyDict_Next(copy, &position, &key, &value)) {
    if (pyddb_append(in, key) < 0 || pyddb_append(in, value) < 0) {
      return -1;
    }
  }
  return end(in);
}

/* dict(object): what a subclass such as OrderedDict says about its order is heard. */
static PyObject *copy_dict(PyObject *object) {
  if (PyDict_CheckExact(object)) {
    return PyDict_Copy(object);
  }
  PyObject *copy = PyDict_New();
  if (copy && PyDict_Update(copy, object) < 0) {
    Py_CLEAR(copy);
  }
  return copy;
}

static int append_dict(const pyddb_input *in, PyObject *object) {
  PyObject *copy = copy_dict(object);
  if (!copy) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  int result = append_dict_items(in, copy);
  Py_DECREF(copy);
  return result;
}

static int append_container(const pyddb_input *in, PyObject *object) {
  if (PyList_Check(object)) {
    return append_items_take(in, DDB_LIST, PyList_AsTuple(object));
  }
  if (PyTuple_Check(object)) {
    return append_items(in, DDB_TUPLE, object);
  }
  if (PyDict_Check(object)) {
    return append_dict(in, object);
  }
  if (PyFrozenSet_Check(object)) {
    return append_items_take(in, DDB_FROZENSET, set_items(object));
  }
  if (PyAnySet_Check(object)) {
    return append_items_take(in, DDB_SET, set_items(object));
  }
  return -2;
}

/* ---- Any value ----------------------------------------------------------------------------- */

/* Also subclasses: each scalar by its base. -2: not a scalar. */
static int append_scalar(const pyddb_input *in, PyObject *object) {
  if (PyUnicode_Check(object)) {
    return append_text(in, object);
  }
  if (PyLong_Check(object)) {
    return append_int(in, object);
  }
  if (PyFloat_Check(object)) {
    ddb_value value = ddb_float(PyFloat_AS_DOUBLE(object));
    return pyddb_append_value(in, &value);
  }
  if (PyBytes_Check(object)) {
    return append_bytes(in, object);
  }
  int result = pyddb_append_temporal(in, object);
  if (result != -2) {
    return result;
  }
  const pyddb_foreign *foreign = pyddb_foreign_get(in->state);
  if (!foreign) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  if (PyObject_TypeCheck(object, (PyTypeObject *)foreign->decimal)) {
    return append_decimal(in, foreign, object);
  }
  if (PyObject_TypeCheck(object, (PyTypeObject *)foreign->uuid)) {
    return append_uuid(in, object);
  }
  return -2;
}

/* Would the value that was stored for `object`, an instance of a subclass, equal it? */
static int check_subclass(const pyddb_input *in, PyObject *object) {
  if (PyFloat_Check(object) && PyFloat_AS_DOUBLE(object) != PyFloat_AS_DOUBLE(object)) {
    return 0;
  }
  pyddb_input alone = *in;
  alone.builder = pyddb_builder_take(in->state);
  int result = alone.builder ? append_scalar(&alone, object) : -1;
  int equal = result == -2;
  if (result == 0) {
    ddb_value value = ddb_builder_value_at(alone.builder, 0);
    PyObject *base = pyddb_value_out(in->state, &value);
    equal = base ? PyObject_RichCompareBool(object, base, Py_EQ) : -1;
    Py_XDECREF(base);
  }
  pyddb_builder_give(in->state, alone.builder);
  if (result == -1 || equal < 0) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  return equal ? 0 : pyddb_refuse(in, object, ": it would not be equal afterwards");
}

static bool is_base_type(const pyddb_input *in, PyTypeObject *type) {
  const pyddb_foreign *foreign = atomic_load_explicit(&in->state->foreign, memory_order_acquire);
  return type->tp_base == &PyBaseObject_Type || type == &PyBool_Type ||
         (type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 ||
         (foreign && ((PyObject *)type == foreign->decimal || (PyObject *)type == foreign->uuid));
}

static int append_other(const pyddb_input *in, PyObject *object) {
  int result = append_container(in, object);
  if (result != -2) {
    return result;
  }
  if (!is_base_type(in, Py_TYPE(object)) && check_subclass(in, object) < 0) {
    return -1;
  }
  result = append_scalar(in, object);
  return result != -2 ? result : pyddb_refuse(in, object, "");
}

int pyddb_append(const pyddb_input *in, PyObject *object) {
  ddb_value value;
  if (plain_value(object, &value)) {
    return pyddb_append_value(in, &value);
  }
  return append_other(in, object);
}

/* ---- One value alone ----------------------------------------------------------------------- */

int pyddb_value_init(pyddb_state *state, PyObject *object, PyObject *table, PyObject *field,
                     pyddb_value *out) {
  out->builder = NULL;
  if (plain_value(object, &out->value)) {
    return 0;
  }
  out->builder = pyddb_builder_take(state);
  pyddb_input in = {state, out->builder, table, field};
  if (!out->builder || pyddb_append(&in, object) < 0) {
    pyddb_value_fini(state, out);
    return -1;
  }
  out->value = ddb_builder_value_at(out->builder, 0);
  return 0;
}

void pyddb_value_fini(pyddb_state *state, pyddb_value *value) {
  pyddb_builder_give(state, value->builder);
  value->builder = NULL;
}
