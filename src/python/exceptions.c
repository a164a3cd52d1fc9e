/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exceptions.c - one exception class per status code, and ddb_error -> exception.
 *
 * All derive from DictDBError and from the built-in class that fits. DictDBError has the attributes
 * table, field, expected and given (str or None), which say what the error is about.
 */
#include "pyddb.h"

#include <errno.h>
#include <string.h>

/* X(status, second base or NULL, documentation). NOMEM and INTERRUPTED have no class. */
#define CLASS_MAP(X)                                                                               \
  X(ERR_INVALID, PyExc_ValueError, "An argument has no meaning here.")                             \
  X(ERR_TYPE, PyExc_TypeError, "A value of this type cannot be stored or used here.")              \
  X(ERR_KEY, PyExc_ValueError, "A primary key is NaN, None or unhashable, or would be changed.")   \
  X(ERR_DUPLICATE_KEY, PyExc_KeyError, "A record with this primary key exists already.")           \
  X(ERR_DUPLICATE_TABLE, PyExc_KeyError, "A table with this name exists already.")                 \
  X(ERR_DUPLICATE_INDEX, PyExc_KeyError, "The field is indexed already.")                          \
  X(ERR_TABLE_NOT_FOUND, PyExc_KeyError, "There is no such table, or it was dropped.")             \
  X(ERR_RECORD_NOT_FOUND, PyExc_KeyError, "No record matched (one(), or missing='raise').")        \
  X(ERR_MULTIPLE_RECORDS, PyExc_ValueError, "Several records matched where one was asked for.")    \
  X(ERR_INDEX_NOT_FOUND, PyExc_KeyError, "The field is not indexed.")                              \
  X(ERR_FIELD_NOT_FOUND, PyExc_KeyError, "The table's schema has no such field.")                  \
  X(ERR_SCHEMA, PyExc_ValueError, "A record does not fit its table's schema.")                     \
  X(ERR_DEADLOCK, PyExc_RuntimeError, "Waiting would never end: threads wait for each other.")     \
  X(ERR_TIMEOUT, PyExc_TimeoutError, "A lock was not free in time.")                               \
  X(ERR_NOT_OWNER, PyExc_RuntimeError, "A lock was released by a thread that does not hold it.")   \
  X(ERR_FORKED, PyExc_RuntimeError, "What was made before a fork cannot be changed in the child.") \
  X(ERR_LIMIT, PyExc_ValueError, "Too deep, too large, or too many.")                              \
  X(ERR_CORRUPT, PyExc_ValueError, "A file is damaged; `offset` is the byte position.")            \
  X(ERR_IO, PyExc_OSError, "A file could not be read or written.")                                 \
  X(ERR_IN_USE, PyExc_OSError, "The database is open already; the message says where.")            \
  X(ERR_READ_ONLY, PyExc_OSError, "The database is closed, or its log could not be written.")

static int add_class(pyddb_state *state, PyObject **out, const char *name, const char *doc,
                     PyObject *bases, PyObject *attributes) {
  char full_name[80];
  PyOS_snprintf(full_name, sizeof full_name, "dictdb.%s", name);
  *out = PyErr_NewExceptionWithDoc(full_name, doc, bases, attributes);
  return *out ? PyModule_AddObjectRef(state->module, name, *out) : -1;
}

static int add_base(pyddb_state *state) {
  PyObject *attributes = Py_BuildValue("{sOsOsOsO}", "table", Py_None, "field", Py_None, "expected",
                                       Py_None, "given", Py_None);
  if (!attributes) {
    return -1;
  }
  int result = add_class(state, &state->exceptions[DDB_OK], "DictDBError",
                         "Base of all errors of dictdb. Attributes table, field, expected and\n"
                         "given (str or None) say what the error is about.",
                         PyExc_Exception, attributes);
  Py_DECREF(attributes);
  return result;
}

/* KeyError shows the repr() of its argument; a message is to be shown as it is. */
static PyObject *plain_text_attributes(void) {
  PyObject *show = PyObject_GetAttrString(PyExc_BaseException, "__str__");
  PyObject *attributes = show ? Py_BuildValue("{sO}", "__str__", show) : NULL;
  Py_XDECREF(show);
  return attributes;
}

static int add_derived(pyddb_state *state, ddb_status status, PyObject *second, const char *doc) {
  bool is_key_error = second == PyExc_KeyError;
  PyObject *base = state->exceptions[DDB_OK];
  /* A field is an attribute too: hasattr() and getattr() with a default want AttributeError. */
  PyObject *third = status == DDB_ERR_FIELD_NOT_FOUND ? PyExc_AttributeError
                    : status == DDB_ERR_LIMIT         ? PyExc_OverflowError
                                                      : NULL;
  PyObject *bases = third ? PyTuple_Pack(3, base, second, third) : PyTuple_Pack(2, base, second);
  PyObject *attributes = is_key_error ? plain_text_attributes() : PyDict_New();
  int result = -1;
  if (bases && attributes) {
    result = add_class(state, &state->exceptions[status], ddb_status_exception(status), doc, bases,
                       attributes);
  }
  Py_XDECREF(bases);
  Py_XDECREF(attributes);
  return result;
}

static int add_missing_file(pyddb_state *state) {
  PyObject *bases = PyTuple_Pack(2, state->exceptions[DDB_ERR_IO], PyExc_FileNotFoundError);
  if (!bases) {
    return -1;
  }
  int result = add_class(state, &state->missing_file_error, "MissingFileError",
                         "A file to be read does not exist.", bases, NULL);
  Py_DECREF(bases);
  return result;
}

int pyddb_exceptions_init(pyddb_state *state) {
  if (add_base(state) < 0) {
    return -1;
  }
#define ADD(status, second, doc)                                                                   \
  if (add_derived(state, DDB_##status, second, doc) < 0) {                                         \
    return -1;                                                                                     \
  }
  CLASS_MAP(ADD)
#undef ADD
  return add_missing_file(state);
}

/* ---- Texts --------------------------------------------------------------------------------- */

/* Texts of the library may be cut inside a character or hold lone surrogates. */
static PyObject *message_out(const char *text) {
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject *pyddb_short_repr(PyObject *object) {
  PyObject *text = PyObject_Repr(object);
  if (text && PyUnicode_GET_LENGTH(text) > 80) {
    PyObject *start = PyUnicode_Substring(text, 0, 77);
    Py_SETREF(text, start ? PyUnicode_FromFormat("%U...", start) : NULL);
    Py_XDECREF(start);
  }
  return text;
}

/* {native id: thread} of the threads that Python knows. NULL: an exception is set. */
static PyObject *known_threads(void) {
  PyObject *threading = PyImport_ImportModule("threading");
  PyObject *threads = threading ? PyObject_CallMethod(threading, "enumerate", NULL) : NULL;
  PyObject *by_id = threads ? PyDict_New() : NULL;
  for (Py_ssize_t i = 0; by_id && i < PyList_GET_SIZE(threads); i++) {
    PyObject *thread = PyList_GET_ITEM(threads, i);
    PyObject *id = PyObject_GetAttrString(thread, "native_id");
    PyObject *name = id ? PyObject_GetAttrString(thread, "name") : NULL;
    if (!name || PyDict_SetItem(by_id, id, name) < 0) {
      Py_CLEAR(by_id);
    }
    Py_XDECREF(id);
    Py_XDECREF(name);
  }
  Py_XDECREF(threading);
  Py_XDECREF(threads);
  return by_id;
}

/* The name after "thread " at `digits`, quoted, or NULL when nobody knows it. */
static PyObject *thread_name(PyObject *by_id, PyObject *message, Py_ssize_t digits,
                             Py_ssize_t *end) {
  Py_ssize_t length = PyUnicode_GET_LENGTH(message);
  long long id = 0;
  for (*end = digits; *end < length && *end < digits + 18; ++*end) {
    Py_UCS4 character = PyUnicode_READ_CHAR(message, *end);
    if (character < '0' || character > '9') {
      break;
    }
    id = id * 10 + (long long)(character - '0');
  }
  PyObject *number = PyLong_FromLongLong(id);
  PyObject *name = number && *end > digits ? PyDict_GetItemWithError(by_id, number) : NULL;
  Py_XDECREF(number);
  return name ? PyUnicode_FromFormat("%R", name) : NULL;
}

/* "thread 4711" becomes "thread 'worker-1'". On any failure the message stays as it is. */
static PyObject *name_threads(PyObject *message) {
  PyObject *by_id = known_threads();
  PyObject *marker = PyUnicode_FromString("thread ");
  Py_ssize_t at = 0;
  while (by_id && marker) {
    Py_ssize_t found = PyUnicode_Find(message, marker, at, PyUnicode_GET_LENGTH(message), 1);
    if (found < 0) {
      break;
    }
    Py_ssize_t end;
    at = found + PyUnicode_GET_LENGTH(marker);
    PyObject *name = thread_name(by_id, message, at, &end);
    if (name) {
      PyObject *before = PyUnicode_Substring(message, 0, at);
      PyObject *after = PyUnicode_Substring(message, end, PyUnicode_GET_LENGTH(message));
      PyObject *text = before && after ? PyUnicode_FromFormat("%U%U%U", before, name, after) : NULL;
      Py_XDECREF(before);
      Py_XDECREF(after);
      at += PyUnicode_GET_LENGTH(name);
      Py_DECREF(name);
      if (!text) {
        break;
      }
      Py_SETREF(message, text);
    }
  }
  PyErr_Clear();
  Py_XDECREF(by_id);
  Py_XDECREF(marker);
  return message;
}

/* ---- Raising ------------------------------------------------------------------------------- */

static int set_text(PyObject *exception, const char *name, const char *text, bool always) {
  if (!text[0] && !always) {
    return 0;
  }
  PyObject *value = message_out(text);
  int result = value ? PyObject_SetAttrString(exception, name, value) : -1;
  Py_XDECREF(value);
  return result;
}

static int set_attributes(PyObject *exception, const ddb_error *err) {
  bool always = err->status == DDB_ERR_SCHEMA;
  if (set_text(exception, "table", err->table, always) < 0 ||
      set_text(exception, "field", err->field, always) < 0 ||
      set_text(exception, "expected", err->expected, always) < 0 ||
      set_text(exception, "given", err->given, always) < 0) {
    return -1;
  }
  if (err->status != DDB_ERR_CORRUPT) {
    return 0;
  }
  PyObject *offset = PyLong_FromUnsignedLongLong(err->offset);
  int result = offset ? PyObject_SetAttrString(exception, "offset", offset) : -1;
  Py_XDECREF(offset);
  return result;
}

static PyObject *make_exception(pyddb_state *state, const ddb_error *err, PyObject *message) {
  PyObject *type = state->exceptions[err->status];
  if (!type) {
    type = state->exceptions[DDB_OK] ? state->exceptions[DDB_OK] : PyExc_RuntimeError;
  }
  if (err->status == DDB_ERR_IO && err->os_error) {
    if (err->os_error == ENOENT && state->missing_file_error) {
      type = state->missing_file_error;
    }
    return PyObject_CallFunction(type, "iO", err->os_error, message);
  }
  return PyObject_CallOneArg(type, message);
}

static PyObject *raise_with(pyddb_state *state, const ddb_error *err, PyObject *message) {
  PyObject *exception = make_exception(state, err, message);
  if (exception && set_attributes(exception, err) == 0) {
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  }
  Py_XDECREF(exception);
  return NULL;
}

static PyObject *prefixed(PyObject *message, PyObject *table, PyObject *field) {
  if (table && field) {
    return PyUnicode_FromFormat("table %R, field %R: %U", table, field, message);
  }
  return field ? PyUnicode_FromFormat("field %R: %U", field, message) : Py_NewRef(message);
}

PyObject *pyddb_raise(pyddb_state *state, const ddb_error *err) {
  return pyddb_raise_value(state, err, NULL, NULL);
}

PyObject *pyddb_raise_value(pyddb_state *state, const ddb_error *err, PyObject *table,
                            PyObject *field) {
  if (err->status == DDB_ERR_INTERRUPTED && PyErr_Occurred()) {
    return NULL;
  }
  if (err->status == DDB_ERR_NOMEM) {
    return PyErr_NoMemory();
  }
  PyObject *message = message_out(err->message[0] ? err->message : ddb_status_text(err->status));
  if (message && err->status == DDB_ERR_DEADLOCK) {
    message = name_threads(message);
  }
  if (message) {
    Py_SETREF(message, prefixed(message, table, field));
  }
  if (message) {
    raise_with(state, err, message);
    Py_DECREF(message);
  }
  return NULL;
}

PyObject *pyddb_raise_format(pyddb_state *state, ddb_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PyObject *message = PyUnicode_FromFormatV(format, arguments);
  va_end(arguments);
  if (message) {
    ddb_error err = {.status = status};
    raise_with(state, &err, message);
    Py_DECREF(message);
  }
  return NULL;
}
