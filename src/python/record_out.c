/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_out.c - ddb_record to dicts, always new ones.
 *
 *   shape --> names --(used often)--> pattern --PyDict_Copy--> dict <-- values
 *
 * Names: each source keeps, per shape, a tuple of interned names. Entries are never taken out, so
 * that readers need neither lock nor reference count; when the ways of a shape are taken, its names
 * are made anew each time.
 *
 * Pattern: a dict of these names whose keys are shared, as those of objects of one class are
 * (PEP 412). Its copies are dicts like any other, but they have no table of keys of their own, which
 * is a third of the memory of a small result and what most of the time of making it goes to. Which
 * dicts share their keys is the interpreter's affair: the pattern is whichever is smaller when copied,
 * one from an object or a plain one, so that nothing but speed depends on it. It is made when a shape
 * has been used PATTERN_USES times. Without the GIL there is none: all threads would count the
 * references of its keys.
 *
 * In place: such a dict keeps its values in an array in the order of its keys, so that a value needs
 * no look-up of its name to be put there. A look-up for each was a third of the time of a small
 * select. Where the array lies is known of the interpreters named at VALUES_AT and tried on each new
 * pattern; else, and for all that the collector must know of, it is PyDict_SetItem as ever.
 *
 * Texts: the last few short strs that were made are kept, and the same object is given again for the
 * same text. strs are immutable, so nobody can tell but by asking for the identity. A table keeps them
 * with the GIL, each reader its own without it.
 *
 * Thread-safety: names are shared; patterns and a table's texts are changed with the GIL held.
 */
#include "pyddb.h"

/* Bytes from a dict's array to its values: behind four small counters since 3.13. */
#if PY_VERSION_HEX < 0x030D0000
#define VALUES_AT 0
#elif PY_VERSION_HEX < 0x030F0000
#define VALUES_AT 8
#endif

#define PATTERN_USES   64
#define INSTANCES      40 /* after so many the interpreter leaves little room for further attributes */
#define TEXT_MAX       64
#define VALUES_AT_ONCE 16

/* ---- Names --------------------------------------------------------------------------------- */

static PyObject *names_make(const ddb_shape *shape) {
  Py_ssize_t count = (Py_ssize_t)ddb_shape_count(shape);
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *name = pyddb_name_out(ddb_shape_name(shape, (size_t)i));
    if (!name) {
      Py_CLEAR(tuple);
      break;
    }
    PyTuple_SET_ITEM(tuple, i, name);
  }
  return tuple;
}

void pyddb_names_free(pyddb_names *names) {
  if (names) {
    Py_DECREF(names->tuple);
#ifndef Py_GIL_DISABLED
    Py_XDECREF(names->pattern);
#endif
    PyMem_Free(names);
  }
}

static pyddb_names *names_new(const ddb_shape *shape) {
  PyObject *tuple = names_make(shape);
  pyddb_names *names = tuple ? PyMem_Malloc(sizeof *names) : NULL;
  if (!names) {
    Py_XDECREF(tuple);
    if (tuple) {
      PyErr_NoMemory();
    }
    return NULL;
  }
  *names = (pyddb_names){.shape = shape, .tuple = tuple};
  return names;
}

static pyddb_names *names_get_slow(pyddb_source *source, const ddb_shape *shape, size_t way,
                                   pyddb_names **owned) {
  pyddb_names *names = names_new(shape);
  for (size_t i = 0; names && i < 4; i++) {
    pyddb_names *empty = NULL;
    if (atomic_compare_exchange_strong(&source->names[(way + i) % PYDDB_NAMES_WAYS], &empty,
                                       names)) {
      return names;
    }
  }
  *owned = names;
  return names;
}

pyddb_names *pyddb_names_get(pyddb_source *source, const ddb_shape *shape, pyddb_names **owned) {
  *owned = NULL;
  size_t way = (size_t)(((uintptr_t)shape >> 4) ^ ((uintptr_t)shape >> 10)) % PYDDB_NAMES_WAYS;
  for (size_t i = 0; i < 4; i++) {
    pyddb_names *names =
        atomic_load_explicit(&source->names[(way + i) % PYDDB_NAMES_WAYS], memory_order_acquire);
    if (!names) {
      break;
    }
    if (names->shape == shape) {
      return names;
    }
  }
  return names_get_slow(source, shape, way, owned);
}

/* ---- Patterns ------------------------------------------------------------------------------ */

#ifndef Py_GIL_DISABLED

static int set_names(PyObject *object, PyObject *names,
                     int (*set)(PyObject *, PyObject *, PyObject *)) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
    if (set(object, PyTuple_GET_ITEM(names, i), Py_None) < 0) {
      return -1;
    }
  }
  return 0;
}

static PyObject *plain_pattern(PyObject *names) {
  PyObject *dict = PyDict_New();
  if (dict && set_names(dict, names, PyDict_SetItem) < 0) {
    Py_CLEAR(dict);
  }
  return dict;
}

static PyObject *instance_new(PyObject *type, PyObject *names) {
  PyObject *instance = PyObject_CallNoArgs(type);
  if (instance && set_names(instance, names, PyObject_SetAttr) < 0) {
    Py_CLEAR(instance);
  }
  return instance;
}

/* The attributes of an object, which share their keys with those of the other ones. Names that are
 * something else in an object, such as __class__, are refused by it. */
static PyObject *shared_pattern(PyObject *names) {
  PyObject *type = PyObject_CallFunction((PyObject *)&PyType_Type, "s(){}", "Record");
  PyObject *instance = type ? instance_new(type, names) : NULL;
  for (int i = 0; instance && i < INSTANCES; i++) {
    Py_SETREF(instance, PyObject_CallNoArgs(type));
  }
  if (instance) {
    Py_SETREF(instance, instance_new(type, names));
  }
  PyObject *attributes = instance ? PyObject_GenericGetDict(instance, NULL) : NULL;
  PyObject *dict = attributes ? PyDict_Copy(attributes) : NULL;
  Py_XDECREF(attributes);
  Py_XDECREF(instance);
  Py_XDECREF(type);
  return dict;
}

static bool has_names(PyObject *dict, PyObject *names) {
  Py_ssize_t count = 0;
  Py_ssize_t position = 0;
  PyObject *name;
  while (PyDict_Next(dict, &position, &name, NULL)) {
    if (count >= PyTuple_GET_SIZE(names) || name != PyTuple_GET_ITEM(names, count)) {
      return false;
    }
    count++;
  }
  return count == PyTuple_GET_SIZE(names);
}

/* Of a copy; PY_SSIZE_T_MAX: there is none. */
static Py_ssize_t size_of_copy(PyObject *dict) {
  PyObject *copy = dict ? PyDict_Copy(dict) : NULL;
  PyObject *size = copy ? PyObject_CallMethod(copy, "__sizeof__", NULL) : NULL;
  Py_ssize_t result = size ? PyLong_AsSsize_t(size) : -1;
  Py_XDECREF(copy);
  Py_XDECREF(size);
  return result < 0 ? PY_SSIZE_T_MAX : result;
}

/* Where a dict that shares its keys keeps its values; NULL: it does not share them, or nobody knows. */
static PyObject **values_of(PyObject *dict) {
#ifdef VALUES_AT
  char *array = (char *)((PyDictObject *)(void *)dict)->ma_values;
  return array ? (PyObject **)(void *)(array + VALUES_AT) : NULL;
#else
  (void)dict;
  return NULL;
#endif
}

/* Is a value set by its name found in its place, and one put there found by its name? */
static bool is_in_place(PyObject *dict, PyObject *name, Py_ssize_t i) {
  PyObject *set = PyFloat_FromDouble(1.0);
  PyObject *put = PyFloat_FromDouble(2.0);
  bool found = set && put && PyDict_SetItem(dict, name, set) == 0 && values_of(dict) &&
               values_of(dict)[i] == set;
  if (found) {
    Py_SETREF(values_of(dict)[i], Py_NewRef(put));
    found = PyDict_GetItemWithError(dict, name) == put;
  }
  Py_XDECREF(set);
  Py_XDECREF(put);
  return found;
}

/* Can values be put into copies of the pattern? Tried on one of them. */
static bool takes_in_place(PyObject *pattern, PyObject *names) {
  PyObject *dict = PyDict_Copy(pattern);
  bool takes = dict && values_of(dict);
  for (Py_ssize_t i = 0; takes && i < PyTuple_GET_SIZE(names); i++) {
    takes = is_in_place(dict, PyTuple_GET_ITEM(names, i), i);
  }
  takes = takes && has_names(dict, names);
  Py_XDECREF(dict);
  return takes;
}

/* Whatever fails, without a pattern there are dicts as well. */
static void pattern_make(pyddb_names *names) {
  PyObject *plain = plain_pattern(names->tuple);
  PyObject *shared = plain ? shared_pattern(names->tuple) : NULL;
  if (shared && has_names(shared, names->tuple) && size_of_copy(shared) < size_of_copy(plain)) {
    Py_SETREF(plain, Py_NewRef(shared));
  }
  Py_XDECREF(shared);
  names->in_place = plain && takes_in_place(plain, names->tuple);
  PyErr_Clear();
  names->pattern = plain;
}

/* A dict to be filled, mostly with all names; *in_place: its values may be put in place. */
static PyObject *dict_new(pyddb_names *names, bool *in_place) {
  if (names->pattern) {
    *in_place = names->in_place;
    return PyDict_Copy(names->pattern);
  }
  if (names->uses < PATTERN_USES && ++names->uses == PATTERN_USES) {
    pattern_make(names);
  }
  *in_place = false;
  return PyDict_New();
}

#else

static PyObject *dict_new(pyddb_names *names, bool *in_place) {
  (void)names;
  *in_place = false;
  return PyDict_New();
}

static PyObject **values_of(PyObject *dict) {
  (void)dict;
  return NULL;
}

#endif

/* ---- Texts --------------------------------------------------------------------------------- */

pyddb_texts *pyddb_texts_of(pyddb_source *source, pyddb_texts *own) {
#ifndef Py_GIL_DISABLED
  if (source->table) {
    return &source->texts;
  }
#else
  (void)source;
#endif
  return own;
}

void pyddb_texts_fini(pyddb_texts *texts) {
  for (size_t i = 0; i < PYDDB_TEXT_WAYS; i++) {
    Py_CLEAR(texts->last[i]);
  }
}

static inline uint64_t load_8(const char *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline uint32_t load_4(const char *from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* The same bytes? Of a few by both ends, which may overlap. size >= 4 */
static inline bool bytes_equal(const char *a, const char *b, size_t size) {
  if (size > 16) {
    return memcmp(a, b, size) == 0;
  }
  if (size >= 8) {
    return load_8(a) == load_8(b) && load_8(a + size - 8) == load_8(b + size - 8);
  }
  return load_4(a) == load_4(b) && load_4(a + size - 4) == load_4(b + size - 4);
}

/* By both ends. size >= 4 */
static size_t text_way(const char *data, size_t size) {
  uint32_t first = load_4(data);
  uint32_t last = load_4(data + size - 4);
  uint32_t mixed = (first ^ (last << 7 | last >> 25)) * UINT32_C(0x9e3779b1);
  return mixed >> 28 & (PYDDB_TEXT_WAYS - 1);
}

static PyObject *text_of(pyddb_texts *texts, const ddb_value *value) {
  ddb_str text = {value->as.data, value->size};
  if (text.size < 4 || text.size > TEXT_MAX) {
    return pyddb_text_out(text);
  }
  PyObject **last = &texts->last[text_way(text.data, text.size)];
  if (*last && (size_t)PyUnicode_GET_LENGTH(*last) == text.size &&
      bytes_equal((const char *)PyUnicode_1BYTE_DATA(*last), text.data, text.size)) {
    return Py_NewRef(*last);
  }
  PyObject *object = pyddb_text_out(text);
  if (object && PyUnicode_IS_COMPACT_ASCII(object)) {
    Py_XSETREF(*last, Py_NewRef(object));
  }
  return object;
}

PyObject *pyddb_value_near(pyddb_state *state, const ddb_value *value, pyddb_texts *texts) {
  return texts && value->kind == DDB_STR_KIND ? text_of(texts, value)
                                              : pyddb_value_out(state, value);
}

/* ---- Records ------------------------------------------------------------------------------- */

static bool is_plain(uint8_t kind) {
  const uint32_t plain = UINT32_C(1) << DDB_NULL | UINT32_C(1) << DDB_BOOL |
                         UINT32_C(1) << DDB_INT | UINT32_C(1) << DDB_FLOAT |
                         UINT32_C(1) << DDB_STR_KIND;
  return kind < 32 && (plain >> kind & 1) != 0;
}

/* Takes the value; NULL: it could not be made. */
static int dict_set(PyObject *dict, PyObject *name, PyObject *object) {
  int result = object ? PyDict_SetItem(dict, name, object) : -1;
  Py_XDECREF(object);
  return result;
}

/* Puts these values under their names. What the collector must know of, and what can run Python code as
 * it is made, goes by PyDict_SetItem, after which the values may lie elsewhere. */
static int put_values(pyddb_state *state, PyObject *dict, bool in_place, PyObject *const *names,
                      Py_ssize_t first, const ddb_value *values, size_t count, pyddb_texts *texts) {
  PyObject **places = in_place ? values_of(dict) : NULL;
  for (size_t i = 0; i < count; i++) {
    PyObject *object = pyddb_value_near(state, &values[i], texts);
    if (places && object && is_plain(values[i].kind)) {
      Py_XSETREF(places[(size_t)first + i], object);
      continue;
    }
    if (dict_set(dict, names[(size_t)first + i], object) < 0) {
      return -1;
    }
    places = in_place ? values_of(dict) : NULL;
  }
  return 0;
}

/* Puts the values under their names; takes the dict. */
static PyObject *dict_fill(pyddb_state *state, PyObject *dict, bool in_place,
                           const ddb_record *record, PyObject *names, pyddb_texts *texts) {
  ddb_value values[VALUES_AT_ONCE];
  Py_ssize_t count = PyTuple_GET_SIZE(names);
  for (Py_ssize_t first = 0; dict && first < count; first += VALUES_AT_ONCE) {
    Py_ssize_t left = count - first;
    size_t some = left < VALUES_AT_ONCE ? (size_t)left : VALUES_AT_ONCE;
    ddb_record_values(record, (size_t)first, some, values);
    if (put_values(state, dict, in_place, &PyTuple_GET_ITEM(names, 0), first, values, some, texts) <
        0) {
      Py_CLEAR(dict);
    }
  }
  return dict;
}

PyObject *pyddb_record_dict(pyddb_state *state, const ddb_record *record, PyObject *names) {
  return dict_fill(state, PyDict_New(), false, record, names, NULL);
}

/* As pyddb_names_get; neighbours mostly share their shape. */
static inline pyddb_names *names_near(pyddb_source *source, const ddb_shape *shape,
                                      pyddb_texts *texts, pyddb_names **owned) {
  if (texts && texts->shape == shape) {
    *owned = NULL;
    return texts->names;
  }
  pyddb_names *names = pyddb_names_get(source, shape, owned);
  if (texts && names && !*owned) {
    texts->shape = shape;
    texts->names = names;
  }
  return names;
}

PyObject *pyddb_record_out(pyddb_source *source, const ddb_record *record, pyddb_texts *texts) {
  pyddb_names *owned;
  pyddb_names *names = names_near(source, ddb_record_shape(record), texts, &owned);
  if (!names) {
    return NULL;
  }
  bool in_place;
  PyObject *dict = dict_new(names, &in_place);
  dict = dict_fill(source->state, dict, in_place, record, names->tuple, texts);
  pyddb_names_free(owned);
  return dict;
}
