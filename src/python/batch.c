/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.c - mappings into records of a builder, and the cache that finds their shape.
 *
 * Reading a mapping: an exact dict is read at one instant (inside a critical section) into an array
 * of strong references; any other mapping is made a dict first, through its keys() and __getitem__.
 *
 * The shape cache is keyed by the identity of the key objects: dict displays, csv and json readers
 * use the same str objects for record after record, so that a hit costs a comparison per key.
 *   - An entry is immutable and holds strong references to its keys, so that an address in it
 *     cannot come to mean another str.
 *   - With the GIL, a miss replaces the entry. Without it readers may be looking at the old one,
 *     which therefore waits in `retired` until the table object goes; after RETIRED_MAX of them
 *     entries are kept as they are. A miss is no error: the library finds the shape by the names.
 */
#include "pyddb.h"

#define FIELDS_INLINE 32
#define RETIRED_MAX   256u

struct pyddb_shape_entry {
  pyddb_shape_entry *next; /* in `retired` */
  const ddb_shape *shape;
  ddb_shape_kind kind;
  Py_ssize_t count;
  PyObject *keys[];
};

/* The fields of one mapping: strong references. */
typedef struct fields {
  Py_ssize_t count;
  Py_ssize_t capacity;
  PyObject **keys;
  PyObject **values;
  PyObject *space[2 * FIELDS_INLINE];
} fields;

/* ---- Reading mappings ---------------------------------------------------------------------- */

static void fields_fini(fields *f) {
  for (Py_ssize_t i = 0; i < f->count; i++) {
    Py_DECREF(f->keys[i]);
    Py_DECREF(f->values[i]);
  }
  if (f->keys != f->space) {
    PyMem_Free(f->keys);
  }
}

static int fields_reserve(fields *f, Py_ssize_t count) {
  f->count = 0;
  f->capacity = FIELDS_INLINE;
  f->keys = f->space;
  if (count > FIELDS_INLINE) {
    f->capacity = count;
    f->keys = PyMem_Malloc(2 * (size_t)count * sizeof(PyObject *));
    if (!f->keys) {
      f->keys = f->space;
      PyErr_NoMemory();
      return -1;
    }
  }
  f->values = f->keys + f->capacity;
  return 0;
}

static int fields_init(fields *f, PyObject *dict) {
  int result;
  Py_BEGIN_CRITICAL_SECTION(dict);
  result = fields_reserve(f, PyDict_GET_SIZE(dict));
  PyObject *key, *value;
  Py_ssize_t position = 0;
  while (result == 0 && f->count < f->capacity && PyDict_Next(dict, &position, &key, &value)) {
    f->keys[f->count] = Py_NewRef(key);
    f->values[f->count] = Py_NewRef(value);
    f->count++;
  }
  Py_END_CRITICAL_SECTION();
  return result;
}

bool pyddb_is_mapping(PyObject *object) {
  if (PyDict_Check(object)) {
    return true;
  }
  if (PyList_Check(object) || PyTuple_Check(object) || PyType_Check(object) ||
      !PyMapping_Check(object)) {
    return false;
  }
  PyObject *keys = PyObject_GetAttrString(object, "keys");
  if (!keys) {
    PyErr_Clear();
    return false;
  }
  Py_DECREF(keys);
  return true;
}

PyObject *pyddb_dict_of(pyddb_table *table, PyObject *mapping, const char *what) {
  if (!pyddb_is_mapping(mapping)) {
    return pyddb_raise_format(table->source.state, DDB_ERR_TYPE,
                              "table %R: %s must be a mapping of field names to values, not '%s'",
                              table->source.table_name, what, Py_TYPE(mapping)->tp_name);
  }
  PyObject *dict = PyDict_New();
  if (dict && PyDict_Update(dict, mapping) < 0) {
    Py_CLEAR(dict);
  }
  return dict;
}

/* ---- The shape cache ----------------------------------------------------------------------- */

static size_t way_of(ddb_shape_kind kind, PyObject *const *keys, Py_ssize_t count) {
  uintptr_t mixed = (uintptr_t)count + (uintptr_t)kind;
  if (count > 0) {
    mixed ^= ((uintptr_t)keys[0] >> 4) ^ ((uintptr_t)keys[0] >> 11) ^
             ((uintptr_t)keys[count - 1] >> 5) ^ ((uintptr_t)keys[count / 2] >> 6);
  }
  return (size_t)mixed % PYDDB_SHAPE_WAYS;
}

static bool entry_matches(const pyddb_shape_entry *entry, ddb_shape_kind kind,
                          PyObject *const *keys, Py_ssize_t count) {
  if (!entry || entry->count != count || entry->kind != kind) {
    return false;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    if (entry->keys[i] != keys[i]) {
      return false;
    }
  }
  return true;
}

static void entry_free(pyddb_shape_entry *entry) {
  for (Py_ssize_t i = 0; i < entry->count; i++) {
    Py_DECREF(entry->keys[i]);
  }
  PyMem_Free(entry);
}

static void entry_retire(pyddb_table *table, pyddb_shape_entry *entry) {
#ifdef Py_GIL_DISABLED
  entry->next = atomic_load(&table->retired);
  while (!atomic_compare_exchange_weak(&table->retired, &entry->next, entry)) {
  }
#else
  (void)table;
  entry_free(entry);
#endif
}

static bool may_replace(pyddb_table *table) {
#ifdef Py_GIL_DISABLED
  return atomic_fetch_add(&table->retired_count, 1) < RETIRED_MAX;
#else
  (void)table;
  return true;
#endif
}

/* Without memory there is no entry, and nothing is wrong. */
static void cache_put(pyddb_table *table, size_t way, ddb_shape_kind kind, PyObject *const *keys,
                      Py_ssize_t count, const ddb_shape *shape) {
  bool is_taken = atomic_load(&table->shapes[way]) != NULL;
  if (is_taken && !may_replace(table)) {
    return;
  }
  pyddb_shape_entry *entry = PyMem_Malloc(sizeof *entry + (size_t)count * sizeof(PyObject *));
  if (!entry) {
    return;
  }
  entry->shape = shape;
  entry->kind = kind;
  entry->count = count;
  for (Py_ssize_t i = 0; i < count; i++) {
    entry->keys[i] = Py_NewRef(keys[i]);
  }
  pyddb_shape_entry *before = atomic_exchange(&table->shapes[way], entry);
  if (before) {
    entry_retire(table, before);
  }
}

void pyddb_shapes_fini(pyddb_table *table) {
  for (size_t way = 0; way < PYDDB_SHAPE_WAYS; way++) {
    pyddb_shape_entry *entry = atomic_exchange(&table->shapes[way], NULL);
    if (entry) {
      entry_free(entry);
    }
  }
  pyddb_shape_entry *entry = atomic_exchange(&table->retired, NULL);
  while (entry) {
    pyddb_shape_entry *next = entry->next;
    entry_free(entry);
    entry = next;
  }
}

static int check_names(pyddb_table *table, PyObject *const *keys, Py_ssize_t count) {
  for (Py_ssize_t i = 0; i < count; i++) {
    if (!PyUnicode_Check(keys[i])) {
      PyObject *shown = pyddb_short_repr(keys[i]);
      if (shown) {
        pyddb_raise_format(table->source.state, DDB_ERR_TYPE,
                           "table %R: field names must be str, not '%s': %U",
                           table->source.table_name, Py_TYPE(keys[i])->tp_name, shown);
        Py_DECREF(shown);
      }
      return -1;
    }
  }
  return 0;
}

static const ddb_shape *shape_by_texts(pyddb_table *table, ddb_shape_kind kind,
                                       PyObject *const *keys, Py_ssize_t count, pyddb_text *texts,
                                       ddb_str *names) {
  Py_ssize_t made = 0;
  while (made < count && pyddb_text_init(&texts[made], keys[made]) == 0) {
    names[made] = texts[made].str;
    made++;
  }
  const ddb_shape *shape = NULL;
  if (made == count) {
    ddb_error err;
    if (ddb_table_shape(table->source.table, kind, names, (size_t)count, &shape, &err) != DDB_OK) {
      pyddb_raise(table->source.state, &err);
      shape = NULL;
    }
  }
  for (Py_ssize_t i = 0; i < made; i++) {
    pyddb_text_fini(&texts[i]);
  }
  return shape;
}

static const ddb_shape *shape_by_names(pyddb_table *table, ddb_shape_kind kind,
                                       PyObject *const *keys, Py_ssize_t count) {
  struct {
    pyddb_text texts[FIELDS_INLINE];
    ddb_str names[FIELDS_INLINE];
  } space;
  if (check_names(table, keys, count) < 0) {
    return NULL;
  }
  if (count <= FIELDS_INLINE) {
    return shape_by_texts(table, kind, keys, count, space.texts, space.names);
  }
  pyddb_text *texts = PyMem_Malloc((size_t)count * (sizeof(pyddb_text) + sizeof(ddb_str)));
  if (!texts) {
    PyErr_NoMemory();
    return NULL;
  }
  const ddb_shape *shape =
      shape_by_texts(table, kind, keys, count, texts, (ddb_str *)(void *)(texts + count));
  PyMem_Free(texts);
  return shape;
}

const ddb_shape *pyddb_shape_get(pyddb_table *table, ddb_shape_kind kind, PyObject *const *keys,
                                 Py_ssize_t count) {
  size_t way = way_of(kind, keys, count);
  pyddb_shape_entry *entry = atomic_load_explicit(&table->shapes[way], memory_order_acquire);
  if (entry_matches(entry, kind, keys, count)) {
    return entry->shape;
  }
  const ddb_shape *shape = shape_by_names(table, kind, keys, count);
  if (shape && count <= FIELDS_INLINE) {
    cache_put(table, way, kind, keys, count, shape);
  }
  return shape;
}

/* ---- Records ------------------------------------------------------------------------------- */

static int append_fields(pyddb_table *table, ddb_builder *builder, ddb_shape_kind kind,
                         bool validate, const fields *f) {
  pyddb_state *state = table->source.state;
  const ddb_shape *shape = pyddb_shape_get(table, kind, f->keys, f->count);
  if (!shape) {
    return -1;
  }
  ddb_error err;
  if (ddb_builder_record_begin(builder, shape, validate, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    return -1;
  }
  pyddb_input in = {state, builder, table->source.table_name, NULL};
  for (Py_ssize_t i = 0; i < f->count; i++) {
    in.field = f->keys[i];
    if (pyddb_append(&in, f->values[i]) < 0) {
      return -1;
    }
  }
  if (ddb_builder_end(builder, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    return -1;
  }
  return 0;
}

/* Has it no values but plain ones? */
static bool all_plain(const pyddb_state *state, const fields *f) {
  for (Py_ssize_t i = 0; i < f->count; i++) {
    PyObject *value = f->values[i];
    bool usual = PyLong_CheckExact(value) || PyUnicode_CheckExact(value) ||
                 PyFloat_CheckExact(value) || value == Py_None;
    if (!usual && (Py_IS_TYPE(value, state->change_type) || pyddb_is_expr(state, value) ||
                   pyddb_is_code(value))) {
      return false;
    }
  }
  return true;
}

int pyddb_append_changes(pyddb_table *table, ddb_builder *builder, PyObject *dict) {
  fields f;
  int result = fields_init(&f, dict);
  if (result == 0) {
    result = all_plain(table->source.state, &f)
                 ? append_fields(table, builder, DDB_SHAPE_CHANGES, true, &f)
                 : 1;
  }
  fields_fini(&f);
  return result;
}

int pyddb_append_record(pyddb_table *table, ddb_builder *builder, ddb_shape_kind kind,
                        bool validate, PyObject *mapping, const char *what) {
  fields f;
  int result;
  if (PyDict_CheckExact(mapping)) {
    result = fields_init(&f, mapping);
  } else {
    PyObject *dict = pyddb_dict_of(table, mapping, what);
    if (!dict) {
      return -1;
    }
    result = fields_init(&f, dict);
    Py_DECREF(dict);
  }
  if (result == 0) {
    result = append_fields(table, builder, kind, validate, &f);
  }
  fields_fini(&f);
  return result;
}
