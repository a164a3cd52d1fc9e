/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_read.c - what Table and TableView (a table as a snapshot sees it) share: views, get, count,
 * whole copies, and facts about the table.
 *
 * Every method opens a view, reads one state through it, and closes it before it returns; the view
 * belongs to the calling thread. Converting a record may run Python code (the hash of a set's item,
 * the collector), which may open further views: they nest.
 */
#include "pyddb.h"

#define SHORT_RECORDS 256

/* ---- Sources ------------------------------------------------------------------------------- */

/* A frozenset of the names in the table's schema, or NULL without exception when it has none. */
static PyObject *schema_names(ddb_table *table) {
  size_t count;
  const ddb_schema_field *schema = ddb_table_schema(table, &count);
  if (count == 0) {
    return NULL;
  }
  PyObject *names = PyFrozenSet_New(NULL);
  for (size_t i = 0; names && i < count; i++) {
    PyObject *name = pyddb_name_out(schema[i].name);
    if (!name || PySet_Add(names, name) < 0) {
      Py_CLEAR(names);
    }
    Py_XDECREF(name);
  }
  return names;
}

int pyddb_source_init(pyddb_source *source, pyddb_state *state, ddb_table *table) {
  source->state = state;
  source->table = table;
  source->table_name = pyddb_name_out(ddb_table_name(table));
  source->primary_key = pyddb_name_out(ddb_table_primary_key(table));
  source->field_names = schema_names(table);
  return source->table_name && source->primary_key && !PyErr_Occurred() ? 0 : -1;
}

int pyddb_source_traverse(pyddb_source *source, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(source));
  Py_VISIT(source->snapshot);
  Py_VISIT(source->field_names);
  return 0;
}

void pyddb_source_fini(pyddb_source *source) {
  if (source->weak_list) {
    PyObject_ClearWeakRefs((PyObject *)source);
  }
  for (size_t i = 0; i < PYDDB_NAMES_WAYS; i++) {
    pyddb_names_free(atomic_exchange(&source->names[i], NULL));
  }
  pyddb_fields_fini(&source->fields);
#ifndef Py_GIL_DISABLED
  pyddb_texts_fini(&source->texts);
#endif
  ddb_table_release(source->table);
  Py_CLEAR(source->snapshot);
  Py_CLEAR(source->table_name);
  Py_CLEAR(source->primary_key);
  Py_CLEAR(source->field_names);
}

int pyddb_view_open(pyddb_source *source, ddb_view *view) {
  ddb_error err;
  ddb_status status;
  if (!source->snapshot) {
    status = ddb_view_open(source->table, view, &err);
  } else {
    if (pyddb_snapshot_use(source->snapshot) < 0) {
      return -1;
    }
    status = ddb_snapshot_view(source->snapshot->snapshot, source->table, view, &err);
    if (status != DDB_OK) {
      pyddb_snapshot_unuse(source->snapshot);
    }
  }
  if (status != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

void pyddb_view_close(pyddb_source *source, ddb_view *view) {
  ddb_view_close(view);
  if (source->snapshot) {
    pyddb_snapshot_unuse(source->snapshot);
  }
}

bool pyddb_is_short(pyddb_source *source, const pyddb_cond *where, uint64_t record_count) {
  if (record_count <= SHORT_RECORDS) {
    return true;
  }
  return where && where->point_field &&
         (where->point_field == source->primary_key ||
          PyUnicode_Compare(where->point_field, source->primary_key) == 0);
}

/* ---- get, in ------------------------------------------------------------------------------- */

/* 1, and with `out` a new dict in *out; 0: no such record; -1: exception. */
static int find(pyddb_source *source, PyObject *key_object, PyObject **out) {
  pyddb_value key;
  if (pyddb_value_init(source->state, key_object, source->table_name, source->primary_key, &key) <
      0) {
    return -1;
  }
  ddb_view view;
  int result = -1;
  if (pyddb_view_open(source, &view) == 0) {
    const ddb_record *record;
    ddb_error err;
    if (ddb_view_get(&view, &key.value, &record, &err) != DDB_OK) {
      pyddb_raise(source->state, &err);
    } else if (!record || !out) {
      result = record != NULL;
    } else {
      *out = pyddb_record_out(source, record, NULL);
      result = *out ? 1 : -1;
    }
    pyddb_view_close(source, &view);
  }
  pyddb_value_fini(source->state, &key);
  return result;
}

const char pyddb_get_doc[] =
    "get($self, pk, default=None)\n--\n\n"
    "Returns the record with this primary key as a new dict, or default.\n\n"
    "Raises PrimaryKeyError for an unhashable key.";

PyObject *pyddb_source_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"pk", "default"};
  static const pyddb_signature signature = {"get", names, 2, 2, 1};
  PyObject *slots[2];
  if (count == 1 && !kw) {
    slots[0] = args[0];
    slots[1] = NULL;
  } else if (pyddb_bind(&signature, args, count, kw, slots) < 0) {
    return NULL;
  }
  PyObject *record;
  int found = find((pyddb_source *)self, slots[0], &record);
  if (found > 0) {
    return record;
  }
  return found < 0 ? NULL : Py_NewRef(slots[1] ? slots[1] : Py_None);
}

int pyddb_source_contains(PyObject *self, PyObject *key) {
  return find((pyddb_source *)self, key, NULL);
}

/* ---- count, len ---------------------------------------------------------------------------- */

static int count_native(pyddb_source *source, const ddb_view *view, const pyddb_cond *where,
                        uint32_t threads, uint64_t *out) {
  ddb_error err;
  bool detach = !pyddb_is_short(source, where, ddb_view_count(view));
  pyddb_detach_if(detach);
  ddb_status status = ddb_view_count_threads(view, where ? where->cond : NULL, threads, out, &err);
  pyddb_attach_if(detach);
  if (status != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

static int count_coded(pyddb_source *source, const ddb_view *view, const pyddb_cond *where,
                       uint64_t *out) {
  static const ddb_query query = DDB_QUERY_INIT;
  ddb_records records = {0};
  if (pyddb_view_select(source, view, where, &query, &records) < 0) {
    return -1;
  }
  *out = records.count;
  ddb_records_free(&records);
  return 0;
}

static int count_where(pyddb_source *source, const pyddb_cond *where, uint32_t threads,
                       uint64_t *out) {
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return -1;
  }
  int result = 0;
  if (!where) {
    *out = ddb_view_count(&view);
  } else {
    result = where->code ? count_coded(source, &view, where, out)
                         : count_native(source, &view, where, threads, out);
  }
  pyddb_view_close(source, &view);
  return result;
}

const char pyddb_count_doc[] =
    "count($self, where=None, *, threads=None)\n--\n\n"
    "Returns how many records where holds for: a Condition, a callable that takes\n"
    "a RecordView, or None for all. threads: at most so many look for them (int);\n"
    "None: of a large table as many as there are idle processors.";

PyObject *pyddb_source_count(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"where", "threads"};
  static const pyddb_signature signature = {"count", names, 2, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[2];
  pyddb_cond *where;
  uint32_t threads;
  uint64_t result;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_threads_argument(source->state, slots[1], &threads) < 0 ||
      pyddb_where_argument(source, slots[0], &where) < 0) {
    return NULL;
  }
  int counted = count_where(source, where, threads, &result);
  Py_XDECREF(where);
  return counted < 0 ? NULL : PyLong_FromUnsignedLongLong(result);
}

Py_ssize_t pyddb_source_length(PyObject *self) {
  uint64_t count;
  return count_where((pyddb_source *)self, NULL, 1, &count) < 0 ? -1 : (Py_ssize_t)count;
}

const char pyddb_size_doc[] = "size($self)\n--\n\nReturns the number of records, as len() does.";

PyObject *pyddb_source_size(PyObject *self, PyObject *unused) {
  (void)unused;
  Py_ssize_t count = pyddb_source_length(self);
  return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

/* ---- all, copy ----------------------------------------------------------------------------- */

static PyObject *list_of_records(pyddb_source *source, const ddb_view *view) {
  PyObject *list = PyList_New(0);
  pyddb_texts own = {0};
  pyddb_texts *texts = pyddb_texts_of(source, &own);
  pyddb_breath breath = {0};
  uint64_t position = 0;
  const ddb_record *record;
  while (list && (record = ddb_view_next(view, &position))) {
    PyObject *dict = pyddb_record_out(source, record, texts);
    if (!dict || PyList_Append(list, dict) < 0 || pyddb_breathe(&breath) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(dict);
  }
  pyddb_texts_fini(&own);
  return list;
}

const char pyddb_all_doc[] =
    "all($self)\n--\n\nReturns all records of one instant, as a list of new dicts.";

PyObject *pyddb_source_all(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  PyObject *list = list_of_records(source, &view);
  pyddb_view_close(source, &view);
  return list;
}

static int put_record(pyddb_source *source, PyObject *dict, ddb_str key_name,
                      const ddb_record *record, pyddb_texts *texts) {
  ddb_value key = ddb_record_get(record, key_name);
  PyObject *key_object = pyddb_value_out(source->state, &key);
  PyObject *fields = key_object ? pyddb_record_out(source, record, texts) : NULL;
  int result = fields ? PyDict_SetItem(dict, key_object, fields) : -1;
  Py_XDECREF(key_object);
  Py_XDECREF(fields);
  return result;
}

const char pyddb_copy_doc[] =
    "copy($self)\n--\n\n"
    "Returns all records of one instant, as a new dict {primary key: record}.";

PyObject *pyddb_source_copy(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_str key_name = ddb_table_primary_key(source->table);
  PyObject *dict = PyDict_New();
  pyddb_texts own = {0};
  pyddb_texts *texts = pyddb_texts_of(source, &own);
  pyddb_breath breath = {0};
  uint64_t position = 0;
  const ddb_record *record;
  while (dict && (record = ddb_view_next(&view, &position))) {
    if (put_record(source, dict, key_name, record, texts) < 0 || pyddb_breathe(&breath) < 0) {
      Py_CLEAR(dict);
    }
  }
  pyddb_texts_fini(&own);
  pyddb_view_close(source, &view);
  return dict;
}

/* ---- Facts --------------------------------------------------------------------------------- */

static PyObject *list_of_names(const ddb_str *names, size_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *name = pyddb_name_out(names[i]);
    if (!name) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, name);
  }
  return list;
}

PyObject *pyddb_source_columns_of(pyddb_source *source, const ddb_view *view) {
  size_t capacity = 32;
  for (;;) {
    ddb_str *names = PyMem_Malloc(capacity * sizeof *names);
    if (!names) {
      return PyErr_NoMemory();
    }
    size_t count = capacity;
    ddb_error err;
    ddb_status status = ddb_view_columns(view, names, &count, &err);
    PyObject *list = NULL;
    bool fits = count <= capacity;
    if (status != DDB_OK) {
      pyddb_raise(source->state, &err);
    } else if (fits) {
      list = list_of_names(names, count);
    }
    PyMem_Free(names);
    if (status != DDB_OK || fits) {
      return list;
    }
    capacity = count;
  }
}

const char pyddb_columns_doc[] =
    "columns($self)\n--\n\n"
    "Returns the names of all fields that occur in the records, the primary key\n"
    "first, as a list of str.";

PyObject *pyddb_source_columns(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  PyObject *list = pyddb_source_columns_of(source, &view);
  pyddb_view_close(source, &view);
  return list;
}
