/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - DictDB: the catalogue of tables, locks over several of them, snapshots, files.
 *
 * The library's catalogue is the truth; `tables` remembers which Table object was made for which
 * ddb_table, so that a table is the same object each time. An entry is taken as valid only when its
 * ddb_table is the one that the catalogue gives: a name may have been dropped and made again.
 */
#include "pyddb.h"

#include <structmember.h>

typedef struct pyddb_db {
  PyObject_HEAD pyddb_state *state;
  ddb_db *db;
  PyObject *tables; /* dict: name -> Table */
#ifdef Py_GIL_DISABLED
  PyMutex tables_mutex; /* for looking and then changing */
#endif
  PyObject *weak_list;
  pyddb_missing missing;
} pyddb_db;

/* ---- Making and freeing -------------------------------------------------------------------- */

/* Takes the reference to db. */
static PyObject *db_make(pyddb_state *state, PyTypeObject *type, ddb_db *core,
                         pyddb_missing missing) {
  pyddb_db *db = (pyddb_db *)type->tp_alloc(type, 0);
  if (!db) {
    ddb_db_release(core);
    return NULL;
  }
  db->state = state;
  db->db = core;
  db->missing = missing;
  db->tables = PyDict_New();
  if (!db->tables) {
    Py_CLEAR(db);
  }
  return (PyObject *)db;
}

static PyObject *db_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"missing"};
  static const pyddb_signature signature = {"DictDB", names, 1, 1, 0};
  PyObject *slots[1];
  pyddb_missing missing;
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0 ||
      pyddb_missing_argument(state, slots[0], PYDDB_MISSING_IGNORE, &missing) < 0) {
    return NULL;
  }
  ddb_db *core;
  ddb_error err;
  if (ddb_db_new(&core, &err) != DDB_OK) {
    return pyddb_raise(state, &err);
  }
  return db_make(state, type, core, missing);
}

static int db_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_db *)self)->tables);
  return 0;
}

static int db_clear(PyObject *self) {
  PyObject *tables = ((pyddb_db *)self)->tables;
  if (tables) {
    PyDict_Clear(tables);
  }
  return 0;
}

static void db_dealloc(PyObject *self) {
  pyddb_db *db = (pyddb_db *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (db->weak_list) {
    PyObject_ClearWeakRefs(self);
  }
  Py_CLEAR(db->tables);
  ddb_db_release(db->db);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Table objects ------------------------------------------------------------------------- */

static bool is_object_of(PyObject *object, ddb_table *core) {
  return object && ((pyddb_source *)object)->table == core;
}

/* A critical section would not do: it is let go of when a dict method opens one of its own. Names
 * are exact str objects and values are not dropped inside, so no Python code runs under the mutex. */
static void tables_lock(pyddb_db *db) {
#ifdef Py_GIL_DISABLED
  PyMutex_Lock(&db->tables_mutex);
#else
  (void)db;
#endif
}

static void tables_unlock(pyddb_db *db) {
#ifdef Py_GIL_DISABLED
  PyMutex_Unlock(&db->tables_mutex);
#else
  (void)db;
#endif
}

/* A new reference to the present entry; NULL without one or with an exception. */
static PyObject *entry_get_locked(pyddb_db *db, PyObject *name) {
#if PY_VERSION_HEX >= 0x030D0000
  PyObject *entry;
  return PyDict_GetItemRef(db->tables, name, &entry) < 0 ? NULL : entry;
#else
  return Py_XNewRef(PyDict_GetItemWithError(db->tables, name));
#endif
}

static PyObject *entry_get(pyddb_db *db, PyObject *name) {
  tables_lock(db);
  PyObject *entry = entry_get_locked(db, name);
  tables_unlock(db);
  return entry;
}

/* Puts `made` in place, unless another thread was faster; returns the object to use. */
static PyObject *entry_put(pyddb_db *db, PyObject *name, PyObject *made, ddb_table *core) {
  PyObject *result = NULL;
  tables_lock(db);
  PyObject *before = entry_get_locked(db, name);
  if (is_object_of(before, core)) {
    result = Py_NewRef(before);
  } else if (!PyErr_Occurred() && PyDict_SetItem(db->tables, name, made) == 0) {
    result = Py_NewRef(made);
  }
  tables_unlock(db);
  Py_XDECREF(before);
  return result;
}

static void entry_remove(pyddb_db *db, PyObject *name, ddb_table *core) {
  tables_lock(db);
  PyObject *before = entry_get_locked(db, name);
  if (is_object_of(before, core) && PyDict_DelItem(db->tables, name) < 0) {
    PyErr_Clear();
  }
  tables_unlock(db);
  Py_XDECREF(before);
}

/* The Table object of `core`, whose reference is taken. */
static PyObject *object_of(pyddb_db *db, ddb_table *core, pyddb_missing missing) {
  PyObject *name = pyddb_name_out(ddb_table_name(core));
  PyObject *object = name ? entry_get(db, name) : NULL;
  if (is_object_of(object, core)) {
    ddb_table_release(core);
    Py_DECREF(name);
    return object;
  }
  Py_XDECREF(object);
  PyObject *made = NULL;
  if (PyErr_Occurred()) {
    ddb_table_release(core);
  } else {
    made = pyddb_table_new(db->state, NULL, core, missing);
  }
  object = made ? entry_put(db, name, made, core) : NULL;
  Py_XDECREF(made);
  Py_XDECREF(name);
  return object;
}

/* The core table of a name; NULL: exception. A reference. */
static ddb_table *core_by_name(pyddb_db *db, PyObject *name) {
  if (!PyUnicode_Check(name)) {
    pyddb_raise_format(db->state, DDB_ERR_TYPE, "a table's name is a str, not '%s'",
                       Py_TYPE(name)->tp_name);
    return NULL;
  }
  pyddb_text text;
  if (pyddb_text_init(&text, name) < 0) {
    return NULL;
  }
  ddb_table *core = NULL;
  ddb_error err;
  if (ddb_db_table_get(db->db, text.str, &core, &err) != DDB_OK) {
    pyddb_raise(db->state, &err);
    core = NULL;
  }
  pyddb_text_fini(&text);
  return core;
}

/* ---- The catalogue ------------------------------------------------------------------------- */

PyDoc_STRVAR(create_table_doc,
             "create_table($self, table_name, primary_key='id', schema=None, *, missing=None)\n"
             "--\n\n"
             "Makes a table and returns it. schema: dict of field names to types, X | None,\n"
             "or Column(type, default=...). missing: 'ignore', 'raise', or None for the\n"
             "database's setting. Raises DuplicateTableError, InvalidArgumentError.");

static PyObject *db_create_table(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw) {
  static const char *const names[] = {"table_name", "primary_key", "schema", "missing"};
  static const pyddb_signature signature = {"create_table", names, 4, 3, 1};
  pyddb_db *db = (pyddb_db *)self;
  PyObject *slots[4];
  pyddb_missing missing;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_missing_argument(db->state, slots[3], db->missing, &missing) < 0) {
    return NULL;
  }
  ddb_table *core = pyddb_table_create(db->state, db->db, slots[0], slots[1], slots[2]);
  PyObject *table = core ? object_of(db, core, missing) : NULL;
  return pyddb_log(db->state, "CREATE_TABLE", slots[0], slots[1], table);
}

PyDoc_STRVAR(drop_table_doc,
             "drop_table($self, table_name)\n--\n\n"
             "Drops a table; later calls on it raise TableNotFoundError. Snapshots still\n"
             "see it. Waits for its writers.");

static PyObject *db_drop_table(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_db *db = (pyddb_db *)self;
  PyObject *name = pyddb_bind_one("drop_table", "table_name", args, count, kw);
  ddb_table *core = name ? core_by_name(db, name) : NULL;
  if (!core) {
    return NULL;
  }
  ddb_error err;
  ddb_status status = ddb_db_table_drop(db->db, ddb_table_name(core), &err);
  if (status == DDB_OK) {
    PyObject *key = pyddb_name_out(ddb_table_name(core));
    if (key) {
      entry_remove(db, key, core);
      Py_DECREF(key);
    }
    PyErr_Clear();
  }
  ddb_table_release(core);
  return status == DDB_OK ? pyddb_log(db->state, "DROP_TABLE", name, NULL, Py_NewRef(Py_None))
                          : pyddb_raise(db->state, &err);
}

PyDoc_STRVAR(get_table_doc, "get_table($self, table_name)\n--\n\n"
                            "Returns the table; TableNotFoundError without one. db[name] too.");

static PyObject *db_subscript(PyObject *self, PyObject *name) {
  pyddb_db *db = (pyddb_db *)self;
  ddb_table *core = core_by_name(db, name);
  return core ? object_of(db, core, db->missing) : NULL;
}

static PyObject *db_get_table(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  PyObject *name = pyddb_bind_one("get_table", "table_name", args, count, kw);
  return name ? db_subscript(self, name) : NULL;
}

/* The references of the array move to `list` or are dropped. */
static PyObject *list_of_objects(pyddb_db *db, ddb_table **cores, size_t count) {
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *object = object_of(db, ddb_table_acquire(cores[i]), db->missing);
    if (!object || PyList_Append(list, object) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(object);
  }
  return list;
}

static PyObject *table_objects(pyddb_db *db) {
  ddb_table **cores;
  size_t count;
  ddb_error err;
  if (ddb_db_tables(db->db, &cores, &count, &err) != DDB_OK) {
    return pyddb_raise(db->state, &err);
  }
  PyObject *list = list_of_objects(db, cores, count);
  ddb_tables_free(cores, count);
  return list;
}

PyDoc_STRVAR(list_tables_doc, "list_tables($self)\n--\n\n"
                              "Returns the names of the tables, in order of creation.");

static PyObject *db_list_tables(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_db *db = (pyddb_db *)self;
  ddb_table **cores;
  size_t count;
  ddb_error err;
  if (ddb_db_tables(db->db, &cores, &count, &err) != DDB_OK) {
    return pyddb_raise(db->state, &err);
  }
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *name = pyddb_name_out(ddb_table_name(cores[i]));
    if (!name || PyList_Append(list, name) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(name);
  }
  ddb_tables_free(cores, count);
  return list;
}

static PyObject *db_get_tables(PyObject *self, void *unused) {
  (void)unused;
  PyObject *objects = table_objects((pyddb_db *)self);
  PyObject *dict = objects ? PyDict_New() : NULL;
  for (Py_ssize_t i = 0; dict && i < PyList_GET_SIZE(objects); i++) {
    PyObject *object = PyList_GET_ITEM(objects, i);
    if (PyDict_SetItem(dict, ((pyddb_source *)object)->table_name, object) < 0) {
      Py_CLEAR(dict);
    }
  }
  Py_XDECREF(objects);
  return dict;
}

static int db_contains(PyObject *self, PyObject *name) {
  pyddb_db *db = (pyddb_db *)self;
  if (!PyUnicode_Check(name)) {
    return 0;
  }
  pyddb_text text;
  if (pyddb_text_init(&text, name) < 0) {
    return -1;
  }
  ddb_table *core = NULL;
  ddb_error err;
  ddb_status status = ddb_db_table_get(db->db, text.str, &core, &err);
  pyddb_text_fini(&text);
  if (status == DDB_OK) {
    ddb_table_release(core);
    return 1;
  }
  if (status == DDB_ERR_TABLE_NOT_FOUND) {
    return 0;
  }
  pyddb_raise(db->state, &err);
  return -1;
}

static Py_ssize_t db_length(PyObject *self) {
  PyObject *list = db_list_tables(self, NULL);
  Py_ssize_t count = list ? PyList_GET_SIZE(list) : -1;
  Py_XDECREF(list);
  return count;
}

static PyObject *db_iter(PyObject *self) {
  PyObject *list = db_list_tables(self, NULL);
  PyObject *iterator = list ? PyObject_GetIter(list) : NULL;
  Py_XDECREF(list);
  return iterator;
}

static PyObject *db_repr(PyObject *self) {
  PyObject *list = db_list_tables(self, NULL);
  PyObject *text = list ? PyUnicode_FromFormat("<DictDB tables=%R>", list) : NULL;
  Py_XDECREF(list);
  return text;
}

/* ---- Locks, snapshots, memory, files ------------------------------------------------------- */

/* Table objects of the positional arguments, names or Tables; none: all tables. */
static PyObject *guard_tables(pyddb_db *db, PyObject *const *args, Py_ssize_t count) {
  if (count == 0) {
    PyObject *list = table_objects(db);
    PyObject *all = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return all;
  }
  PyObject *tables = PyTuple_New(count);
  for (Py_ssize_t i = 0; tables && i < count; i++) {
    PyObject *table = PyObject_TypeCheck(args[i], db->state->table_type)
                          ? Py_NewRef(args[i])
                          : db_subscript((PyObject *)db, args[i]);
    if (!table) {
      Py_CLEAR(tables);
      break;
    }
    PyTuple_SET_ITEM(tables, i, table);
  }
  return tables;
}

PyDoc_STRVAR(write_lock_doc,
             "write_lock($self, *tables, timeout=None)\n--\n\n"
             "Returns a context manager that holds the write side of several tables (names\n"
             "or Tables; none given: all), taken in one global order. What the block writes\n"
             "becomes visible at one instant. `as` gives the tables, as a tuple. timeout:\n"
             "seconds, or None; then LockTimeoutError is raised and none is held.");

static PyObject *db_write_lock(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  static const char *const names[] = {"timeout"};
  static const pyddb_signature signature = {"write_lock", names, 1, 0, 0};
  pyddb_db *db = (pyddb_db *)self;
  PyObject *slots[1];
  int64_t timeout_ns;
  if (pyddb_bind(&signature, args + count, 0, kw, slots) < 0 ||
      pyddb_timeout(db->state, slots[0], &timeout_ns) < 0) {
    return NULL;
  }
  PyObject *tables = guard_tables(db, args, count);
  PyObject *guard = tables ? pyddb_db_guard_new(db->state, tables, timeout_ns) : NULL;
  Py_XDECREF(tables);
  return guard;
}

PyDoc_STRVAR(snapshot_doc,
             "snapshot($self)\n--\n\n"
             "Returns a Snapshot: one instant of all tables, taken in constant time. Use it\n"
             "with `with`, or close it.");

static PyObject *db_snapshot(PyObject *self, PyObject *unused) {
  (void)unused;
  return pyddb_snapshot_new(((pyddb_db *)self)->state, ((pyddb_db *)self)->db);
}

PyDoc_STRVAR(memory_doc, "memory($self)\n--\n\n"
                         "Returns a dict: total_bytes, and old_bytes, the part of it that only\n"
                         "superseded versions hold.");

static PyObject *db_memory(PyObject *self, PyObject *unused) {
  (void)unused;
  ddb_memory memory;
  ddb_db_memory(((pyddb_db *)self)->db, &memory);
  return pyddb_memory_dict(&memory);
}

static PyObject *log_import(const pyddb_db *db, PyObject *const *args, Py_ssize_t count,
                            PyObject *kw, PyObject *result) {
  return pyddb_log(db->state, "IMPORT", pyddb_log_argument("table_name", 1, args, count, kw),
                   pyddb_log_argument("filepath", 0, args, count, kw), result);
}

static PyObject *db_import_csv(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_db *db = (pyddb_db *)self;
  return log_import(db, args, count, kw, pyddb_import_csv(db->state, db->db, args, count, kw));
}

static PyObject *db_import_ndjson(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw) {
  pyddb_db *db = (pyddb_db *)self;
  return log_import(db, args, count, kw, pyddb_import_ndjson(db->state, db->db, args, count, kw));
}

static PyObject *db_save(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  pyddb_db *db = (pyddb_db *)self;
  PyObject *result = pyddb_save(db->state, db->db, NULL, args, count, kw);
  return pyddb_log(db->state, "SAVE", NULL, pyddb_log_argument("filename", 0, args, count, kw),
                   result);
}

static PyObject *db_load(PyObject *class, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  PyTypeObject *type = (PyTypeObject *)class;
  pyddb_state *state = pyddb_state_of(type);
  PyObject *db = NULL;
  ddb_db *core = state ? pyddb_load(state, class, args, count, kw, &db) : NULL;
  db = core ? db_make(state, type, core, PYDDB_MISSING_IGNORE) : db;
  return db ? pyddb_log(state, "LOAD", NULL, pyddb_log_argument("filename", 0, args, count, kw), db)
            : NULL;
}

static PyObject *db_load_chain(PyObject *class, PyObject *args) {
  PyTypeObject *type = (PyTypeObject *)class;
  pyddb_state *state = pyddb_state_of(type);
  ddb_db *core = state ? pyddb_load_chain(state, args) : NULL;
  return core ? db_make(state, type, core, PYDDB_MISSING_IGNORE) : NULL;
}

static PyObject *db_keys_raise(PyObject *self, PyObject *path) {
  return pyddb_keys_raise(((pyddb_db *)self)->state, ((pyddb_db *)self)->db, path);
}

static PyObject *db_open(PyObject *class, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  PyTypeObject *type = (PyTypeObject *)class;
  pyddb_missing missing;
  pyddb_state *state = pyddb_state_of(type);
  ddb_db *core = state ? pyddb_open(state, args, count, kw, &missing) : NULL;
  PyObject *db = core ? db_make(state, type, core, missing) : NULL;
  return db ? pyddb_log(state, "OPEN", NULL, pyddb_log_argument("path", 0, args, count, kw), db)
            : NULL;
}

static PyObject *db_sync(PyObject *self, PyObject *unused) {
  pyddb_db *db = (pyddb_db *)self;
  (void)unused;
  return pyddb_log(db->state, "SYNC", NULL, NULL, pyddb_sync(db->state, db->db));
}

static PyObject *db_checkpoint(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_db *db = (pyddb_db *)self;
  return pyddb_log(db->state, "CHECKPOINT", NULL, NULL,
                   pyddb_checkpoint(db->state, db->db, args, count, kw));
}

static PyObject *db_close(PyObject *self, PyObject *unused) {
  pyddb_db *db = (pyddb_db *)self;
  (void)unused;
  ddb_log_info before; /* of one that was closed already nothing is told */
  bool told = ddb_db_log_info(db->db, &before, NULL) == DDB_OK &&
              !(before.read_only && before.failure.status == DDB_OK);
  PyObject *result = pyddb_close(db->state, db->db);
  return told ? pyddb_log(db->state, "CLOSE", NULL, NULL, result) : result;
}

static PyObject *db_log_info(PyObject *self, PyObject *unused) {
  (void)unused;
  return pyddb_log_info(((pyddb_db *)self)->state, ((pyddb_db *)self)->db);
}

static PyObject *db_enter(PyObject *self, PyObject *unused) {
  (void)unused;
  return Py_NewRef(self);
}

static PyObject *db_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  (void)args;
  (void)count;
  return db_close(self, NULL);
}

/* ---- The type ------------------------------------------------------------------------------ */

static PyMethodDef db_methods[] = {
    {"create_table", PYDDB_FAST(db_create_table), PYDDB_FAST_FLAGS, create_table_doc},
    {"drop_table", PYDDB_FAST(db_drop_table), PYDDB_FAST_FLAGS, drop_table_doc},
    {"get_table", PYDDB_FAST(db_get_table), PYDDB_FAST_FLAGS, get_table_doc},
    {"list_tables", db_list_tables, METH_NOARGS, list_tables_doc},
    {"write_lock", PYDDB_FAST(db_write_lock), PYDDB_FAST_FLAGS, write_lock_doc},
    {"snapshot", db_snapshot, METH_NOARGS, snapshot_doc},
    {"memory", db_memory, METH_NOARGS, memory_doc},
    {"save", PYDDB_FAST(db_save), PYDDB_FAST_FLAGS, pyddb_save_doc},
    {"import_csv", PYDDB_FAST(db_import_csv), PYDDB_FAST_FLAGS, pyddb_import_csv_doc},
    {"import_ndjson", PYDDB_FAST(db_import_ndjson), PYDDB_FAST_FLAGS, pyddb_import_ndjson_doc},
    {"open", PYDDB_FAST(db_open), PYDDB_FAST_FLAGS | METH_CLASS, pyddb_open_doc},
    {"sync", db_sync, METH_NOARGS, pyddb_sync_doc},
    {"checkpoint", PYDDB_FAST(db_checkpoint), PYDDB_FAST_FLAGS, pyddb_checkpoint_doc},
    {"log_info", db_log_info, METH_NOARGS, pyddb_log_info_doc},
    {"close", db_close, METH_NOARGS, pyddb_close_doc},
    {"__enter__", db_enter, METH_NOARGS, "Returns the database."},
    {"__exit__", PYDDB_FAST(db_exit), METH_FASTCALL, "Closes the database."},
    {"load", PYDDB_FAST(db_load), PYDDB_FAST_FLAGS | METH_CLASS, pyddb_load_doc},
    {"_load_chain", db_load_chain, METH_VARARGS | METH_CLASS, pyddb_load_chain_doc},
    {"_keys_raise", db_keys_raise, METH_O, pyddb_keys_raise_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *db_get_missing(PyObject *self, void *closure) {
  (void)closure;
  return pyddb_missing_out(((pyddb_db *)self)->missing);
}

static PyGetSetDef db_getset[] = {
    {"_missing", db_get_missing, NULL, "What missing= was, as a str.", NULL},
    {"tables", db_get_tables, NULL, "A new dict of table names to Tables.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef db_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pyddb_db, weak_list), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(db_doc, "DictDB(missing='ignore')\n--\n\n"
                     "A database: named tables of dict records, in memory, shared by threads.\n"
                     "missing='raise': update and delete raise when nothing matches.");

static PyType_Slot db_slots[] = {
    PYDDB_SLOT(Py_tp_new, db_tp_new),
    PYDDB_SLOT(Py_tp_dealloc, db_dealloc),
    PYDDB_SLOT(Py_tp_traverse, db_traverse),
    PYDDB_SLOT(Py_tp_clear, db_clear),
    PYDDB_SLOT(Py_tp_repr, db_repr),
    PYDDB_SLOT(Py_tp_iter, db_iter),
    PYDDB_SLOT(Py_mp_subscript, db_subscript),
    PYDDB_SLOT(Py_mp_length, db_length),
    PYDDB_SLOT(Py_sq_contains, db_contains),
    {Py_tp_methods, db_methods},
    {Py_tp_getset, db_getset},
    {Py_tp_members, db_members},
    {Py_tp_doc, (void *)(uintptr_t)db_doc},
    {0, NULL},
};

PyType_Spec pyddb_db_spec = {
    .name = "dictdb._core.DictDB",
    .basicsize = sizeof(pyddb_db),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = db_slots,
};
