/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.c - arguments of fast calls: binding names to slots, and the common argument kinds.
 *
 * No format strings and no tuples: a positional call costs a comparison per argument.
 */
#include "pyddb.h"

#include <math.h>

static bool is_named(PyObject *name, const char *text) {
  if (!PyUnicode_IS_COMPACT_ASCII(name)) { /* of a subclass of str, perhaps */
    return PyUnicode_CompareWithASCIIString(name, text) == 0;
  }
  const char *own = (const char *)PyUnicode_1BYTE_DATA(name);
  return *own == *text && strcmp(own, text) == 0 &&
         (size_t)PyUnicode_GET_LENGTH(name) == strlen(text); /* it may hold a NUL */
}

#define NEAR_COUNT_MAX 32

const char *pyddb_nearest(PyObject *name, const char *const *names, size_t count) {
  if (!PyUnicode_Check(name) || !PyUnicode_IS_COMPACT_ASCII(name)) {
    return NULL;
  }
  ddb_str texts[NEAR_COUNT_MAX];
  count = count < NEAR_COUNT_MAX ? count : NEAR_COUNT_MAX;
  for (size_t i = 0; i < count; i++) {
    texts[i] = ddb_str_from(names[i]);
  }
  ddb_str given = {(const char *)PyUnicode_1BYTE_DATA(name), (size_t)PyUnicode_GET_LENGTH(name)};
  size_t nearest = ddb_str_nearest(given, texts, count);
  return nearest < count ? names[nearest] : NULL;
}

static int refuse_keyword(const pyddb_signature *signature, PyObject *name) {
  const char *nearest = pyddb_nearest(name, signature->names, signature->count);
  PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'%s%s%s",
               signature->name, name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
               nearest ? "'?" : "");
  return -1;
}

static int bind_keyword(const pyddb_signature *signature, PyObject *name, PyObject *value,
                        PyObject **slots) {
  for (uint8_t i = 0; i < signature->count; i++) {
    if (is_named(name, signature->names[i])) {
      if (slots[i]) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", signature->name,
                     signature->names[i]);
        return -1;
      }
      slots[i] = value;
      return 0;
    }
  }
  return refuse_keyword(signature, name);
}

static int bind_positional(const pyddb_signature *signature, PyObject *const *args,
                           Py_ssize_t arg_count, PyObject **slots) {
  if (arg_count > signature->positional_count) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional argument%s (%zd given)",
                 signature->name, signature->positional_count,
                 signature->positional_count == 1 ? "" : "s", arg_count);
    return -1;
  }
  for (uint8_t i = 0; i < signature->count; i++) {
    slots[i] = i < arg_count ? args[i] : NULL;
  }
  return 0;
}

static int check_required(const pyddb_signature *signature, PyObject **slots) {
  for (uint8_t i = 0; i < signature->required_count; i++) {
    if (!slots[i]) {
      PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", signature->name,
                   signature->names[i]);
      return -1;
    }
  }
  return 0;
}

int pyddb_bind(const pyddb_signature *signature, PyObject *const *args, Py_ssize_t arg_count,
               PyObject *keyword_names, PyObject **slots) {
  if (bind_positional(signature, args, arg_count, slots) < 0) {
    return -1;
  }
  if (keyword_names) {
    Py_ssize_t keyword_count = PyTuple_GET_SIZE(keyword_names);
    for (Py_ssize_t i = 0; i < keyword_count; i++) {
      if (bind_keyword(signature, PyTuple_GET_ITEM(keyword_names, i), args[arg_count + i], slots) <
          0) {
        return -1;
      }
    }
  }
  return check_required(signature, slots);
}

PyObject *pyddb_bind_one(const char *function, const char *name, PyObject *const *args,
                         Py_ssize_t arg_count, PyObject *keyword_names) {
  if (arg_count == 1 && !keyword_names) {
    return args[0];
  }
  const pyddb_signature signature = {function, &name, 1, 1, 1};
  PyObject *slot;
  return pyddb_bind(&signature, args, arg_count, keyword_names, &slot) < 0 ? NULL : slot;
}

int pyddb_bind_tuple(const pyddb_signature *signature, PyObject *args, PyObject *keywords,
                     PyObject **slots) {
  PyObject *const *items = &PyTuple_GET_ITEM(args, 0);
  if (bind_positional(signature, items, PyTuple_GET_SIZE(args), slots) < 0) {
    return -1;
  }
  PyObject *name, *value;
  Py_ssize_t position = 0;
  while (keywords && PyDict_Next(keywords, &position, &name, &value)) {
    if (bind_keyword(signature, name, value, slots) < 0) {
      return -1;
    }
  }
  return check_required(signature, slots);
}

/* ---- Kinds of arguments -------------------------------------------------------------------- */

int pyddb_number_argument(pyddb_state *state, PyObject *object, const char *what, double *out) {
  double number = PyBool_Check(object) ? -1.0 : PyFloat_AsDouble(object);
  if (number == -1.0 && (PyBool_Check(object) || PyErr_Occurred())) {
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) {
      return -1;
    }
    PyErr_Clear();
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be a number, not %R", what, object);
    return -1;
  }
  *out = number;
  return 0;
}

int pyddb_timeout(pyddb_state *state, PyObject *object, int64_t *timeout_ns) {
  *timeout_ns = DDB_WAIT_FOREVER;
  if (!object || object == Py_None) {
    return 0;
  }
  double seconds;
  if (pyddb_number_argument(state, object, "timeout", &seconds) < 0) {
    return -1;
  }
  if (isnan(seconds) || seconds < 0) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "timeout must be None or at least 0 seconds, not %R",
                       object);
    return -1;
  }
  if (seconds < 9.0e9) {
    *timeout_ns = (int64_t)ceil(seconds * 1e9);
  }
  return 0;
}

int pyddb_count_argument(pyddb_state *state, PyObject *object, const char *what, uint64_t *out) {
  if (PyBool_Check(object) || !PyIndex_Check(object)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be an int, not %s", what,
                       Py_TYPE(object)->tp_name);
    return -1;
  }
  PyObject *number = PyNumber_Index(object);
  if (!number) {
    return -1;
  }
  int overflow;
  long long count = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (overflow < 0 || (overflow == 0 && count < 0)) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "%s must not be negative: %R", what, object);
    return -1;
  }
  *out = overflow > 0 ? (uint64_t)INT64_MAX : (uint64_t)count;
  return 0;
}

int pyddb_threads_argument(pyddb_state *state, PyObject *object, uint32_t *out) {
  uint64_t threads = 0; /* automatic */
  if (object && object != Py_None) {
    if (pyddb_count_argument(state, object, "threads", &threads) < 0) {
      return -1;
    }
    if (threads == 0) {
      pyddb_raise_format(state, DDB_ERR_INVALID,
                         "threads must be at least 1, or None for as many as are of use");
      return -1;
    }
  }
  *out = threads < UINT32_MAX ? (uint32_t)threads : UINT32_MAX;
  return 0;
}

int pyddb_bool_argument(pyddb_state *state, PyObject *object, const char *what, bool absent,
                        bool *out) {
  if (object && !PyBool_Check(object)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be True or False, not %R", what, object);
    return -1;
  }
  *out = object ? object == Py_True : absent;
  return 0;
}

/* "'a', 'b' or 'c'" */
static PyObject *choices_text(const char *const *texts, size_t count) {
  PyObject *text = PyUnicode_FromFormat("'%s'", texts[0]);
  for (size_t i = 1; text && i < count; i++) {
    const char *between = i + 1 < count ? ", " : " or ";
    PyObject *longer = PyUnicode_FromFormat("%U%s'%s'", text, between, texts[i]);
    Py_SETREF(text, longer);
  }
  return text;
}

int pyddb_choice_argument(pyddb_state *state, PyObject *object, const char *what,
                          const char *const *texts, size_t count, size_t *out) {
  if (!object) {
    *out = 0;
    return 0;
  }
  for (size_t i = 0; PyUnicode_Check(object) && i < count; i++) {
    if (PyUnicode_CompareWithASCIIString(object, texts[i]) == 0) {
      *out = i;
      return 0;
    }
  }
  PyObject *choices = choices_text(texts, count);
  if (choices) {
    const char *nearest = pyddb_nearest(object, texts, count);
    pyddb_raise_format(state, DDB_ERR_INVALID, "%s must be %U, not %R%s%s%s", what, choices, object,
                       nearest ? "; did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'?" : "");
    Py_DECREF(choices);
  }
  return -1;
}

static const char *const missing_texts[] = {"ignore", "raise"};

PyObject *pyddb_missing_out(pyddb_missing missing) {
  return PyUnicode_FromString(missing_texts[missing]);
}

int pyddb_missing_argument(pyddb_state *state, PyObject *object, pyddb_missing absent,
                           pyddb_missing *out) {
  size_t choice = (size_t)absent;
  if (object && object != Py_None &&
      pyddb_choice_argument(state, object, "missing", missing_texts, 2, &choice) < 0) {
    return -1;
  }
  *out = (pyddb_missing)choice;
  return 0;
}

/* ---- Texts --------------------------------------------------------------------------------- */

int pyddb_text_init(pyddb_text *text, PyObject *object) {
  text->owner = NULL;
  if (PyUnicode_IS_COMPACT_ASCII(object)) {
    text->str =
        (ddb_str){(const char *)PyUnicode_1BYTE_DATA(object), (size_t)PyUnicode_GET_LENGTH(object)};
    return 0;
  }
  /* Not PyUnicode_AsUTF8AndSize: it would leave the bytes in the object for as long as it lives. */
  text->owner = PyUnicode_AsEncodedString(object, "utf-8", "surrogatepass");
  if (!text->owner) {
    return -1;
  }
  text->str = (ddb_str){PyBytes_AS_STRING(text->owner), (size_t)PyBytes_GET_SIZE(text->owner)};
  return 0;
}

static bool is_ascii(const char *data, size_t size) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    memcpy(&word, data + i, 8);
    if (word & UINT64_C(0x8080808080808080)) {
      return false;
    }
  }
  unsigned char rest = 0;
  for (; i < size; i++) {
    rest |= (unsigned char)data[i];
  }
  return rest < 0x80;
}

PyObject *pyddb_text_out(ddb_str text) {
  if (text.size > 1 && is_ascii(text.data, text.size)) {
    PyObject *object = PyUnicode_New((Py_ssize_t)text.size, 127);
    if (object) {
      memcpy(PyUnicode_1BYTE_DATA(object), text.data, text.size);
    }
    return object;
  }
  return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, "surrogatepass");
}

/* CPython 3.13 marks a str as interned after others can find it, without a lock: two threads must not
 * intern the same new name. No Python code runs under the mutex. */
static void intern(PyObject **name) {
#ifdef Py_GIL_DISABLED
  static PyMutex mutex;
  PyMutex_Lock(&mutex);
  PyUnicode_InternInPlace(name);
  PyMutex_Unlock(&mutex);
#else
  PyUnicode_InternInPlace(name);
#endif
}

PyObject *pyddb_name_out(ddb_str name) {
  PyObject *object = pyddb_text_out(name);
  if (object) {
    intern(&object);
  }
  return object;
}
