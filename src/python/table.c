/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - the types Table and TableView: making, attributes, tables of methods.
 *
 * Fields by attribute come from a Python subclass with __getattr__ (dictdb.Table): from
 * CPython 3.12 on, a getattro slot here would cost every method call its specialisation. 3.11
 * specialises neither, and makes an AttributeError with its text before it calls __getattr__: there
 * the slot is several times cheaper. Names of methods and attributes are kept few, and the table's
 * own name is `table_name`, so that `table.name` is a field.
 */
#include "pyddb.h"

#include <structmember.h>

/* ---- Making -------------------------------------------------------------------------------- */

static int name_text(pyddb_state *state, PyObject *object, const char *what, pyddb_text *text) {
  if (!PyUnicode_Check(object)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be str, not '%s'", what,
                       Py_TYPE(object)->tp_name);
    return -1;
  }
  return pyddb_text_init(text, object);
}

static ddb_table *create(pyddb_state *state, ddb_db *db, ddb_str name, ddb_str key,
                         const pyddb_schema *schema) {
  ddb_table_options options = {
      .primary_key = key, .schema = schema->fields, .schema_count = schema->count};
  ddb_table *table;
  ddb_error err;
  if (ddb_db_table_create(db, name, &options, &table, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    return NULL;
  }
  return table;
}

ddb_table *pyddb_table_create(pyddb_state *state, ddb_db *db, PyObject *name, PyObject *key,
                              PyObject *schema_object) {
  pyddb_text name_bytes, key_bytes;
  if (name_text(state, name, "table_name", &name_bytes) < 0) {
    return NULL;
  }
  ddb_table *table = NULL;
  if (name_text(state, key ? key : state->id_text, "primary_key", &key_bytes) == 0) {
    pyddb_schema schema;
    if (pyddb_schema_init(state, name, schema_object, &schema) == 0) {
      table = create(state, db, name_bytes.str, key_bytes.str, &schema);
      pyddb_schema_fini(state, &schema);
    }
    pyddb_text_fini(&key_bytes);
  }
  pyddb_text_fini(&name_bytes);
  return table;
}

PyObject *pyddb_table_new(pyddb_state *state, PyTypeObject *type, ddb_table *core,
                          pyddb_missing missing) {
  if (!type) {
    type = state->table_class ? (PyTypeObject *)state->table_class : state->table_type;
  }
  pyddb_table *table = (pyddb_table *)type->tp_alloc(type, 0);
  if (!table) {
    ddb_table_release(core);
    return NULL;
  }
  table->missing = missing;
  if (pyddb_source_init(&table->source, state, core) < 0 ||
      !(table->lock = pyddb_lock_new(state, core, table->source.table_name))) {
    Py_CLEAR(table);
  }
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
  if (table) {
    PyUnstable_Object_EnableDeferredRefcount((PyObject *)table);
  }
#endif
  return (PyObject *)table;
}

/* A table that stands alone lives in a database of its own, which its reference keeps. */
static PyObject *table_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"name", "primary_key", "schema", "missing"};
  static const pyddb_signature signature = {"Table", names, 4, 3, 1};
  PyObject *slots[4];
  pyddb_missing missing;
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0 ||
      pyddb_missing_argument(state, slots[3], PYDDB_MISSING_IGNORE, &missing) < 0) {
    return NULL;
  }
  ddb_db *db;
  ddb_error err;
  if (ddb_db_new(&db, &err) != DDB_OK) {
    return pyddb_raise(state, &err);
  }
  ddb_table *table = pyddb_table_create(state, db, slots[0], slots[1], slots[2]);
  ddb_db_release(db);
  return table ? pyddb_table_new(state, type, table, missing) : NULL;
}

/* ---- Freeing ------------------------------------------------------------------------------- */

static int table_traverse(PyObject *self, visitproc visit, void *arg) {
  pyddb_table *table = (pyddb_table *)self;
  Py_VISIT(table->lock);
  return pyddb_source_traverse(&table->source, visit, arg);
}

static void table_dealloc(PyObject *self) {
  pyddb_table *table = (pyddb_table *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  pyddb_source_fini(&table->source);
  pyddb_shapes_fini(table);
  Py_CLEAR(table->lock);
  type->tp_free(self);
  Py_DECREF(type);
}

static int view_traverse(PyObject *self, visitproc visit, void *arg) {
  return pyddb_source_traverse((pyddb_source *)self, visit, arg);
}

static void view_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  pyddb_source_fini((pyddb_source *)self);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Attributes ---------------------------------------------------------------------------- */

static PyObject *get_table_name(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_source *)self)->table_name);
}

static PyObject *get_primary_key(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_source *)self)->primary_key);
}

static PyObject *get_schema(PyObject *self, void *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  return pyddb_schema_out(source->state, source->table);
}

static PyObject *get_lock(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_table *)self)->lock);
}

static PyObject *primary_key_name(PyObject *self, PyObject *unused) {
  (void)unused;
  return Py_NewRef(((pyddb_source *)self)->primary_key);
}

static PyObject *schema_fields(PyObject *self, PyObject *unused) {
  (void)unused;
  size_t count;
  const ddb_schema_field *fields = ddb_table_schema(((pyddb_source *)self)->table, &count);
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *name = pyddb_name_out(fields[i].name);
    if (!name) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, name);
  }
  return list;
}

static PyObject *source_field(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  PyObject *name = pyddb_bind_one("field", "name", args, count, kw);
  return name ? pyddb_source_field(self, name) : NULL;
}

static PyObject *source_repr(PyObject *self) {
  pyddb_source *source = (pyddb_source *)self;
  return PyUnicode_FromFormat("<%s %R primary_key=%R>", source->snapshot ? "TableView" : "Table",
                              source->table_name, source->primary_key);
}

#if PY_VERSION_HEX < 0x030C0000
/* What PyObject_GenericGetAttr does for an object without a dict of its own, and no more. NULL without
 * an exception: there is no such attribute. */
static PyObject *attribute_of_type(PyObject *self, PyObject *name) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject *found = Py_XNewRef(_PyType_Lookup(type, name));
  descrgetfunc get = found ? Py_TYPE(found)->tp_descr_get : NULL;
  PyObject *attribute = get ? get(found, self, (PyObject *)type) : Py_XNewRef(found);
  if (!attribute && found && PyErr_ExceptionMatches(PyExc_AttributeError)) {
    PyErr_Clear();
  }
  Py_XDECREF(found);
  return attribute;
}

static PyObject *table_getattro(PyObject *self, PyObject *name) {
  bool is_plain = Py_TYPE(self)->tp_dictoffset == 0 && PyUnicode_CheckExact(name);
  PyObject *attribute = is_plain ? attribute_of_type(self, name)
                                 : _PyObject_GenericGetAttrWithDict(self, name, NULL, 1);
  return attribute || PyErr_Occurred() ? attribute : pyddb_source_attribute(self, name);
}
#endif

/* ---- Methods of Table ---------------------------------------------------------------------- */

PyObject *pyddb_memory_dict(const ddb_memory *memory) {
  return Py_BuildValue("{sKsKsK}", "total_bytes", (unsigned long long)memory->total_bytes,
                       "old_bytes", (unsigned long long)memory->old_bytes, "column_bytes",
                       (unsigned long long)memory->column_bytes);
}

PyDoc_STRVAR(memory_doc, "memory($self)\n--\n\n"
                         "Returns a dict: total_bytes; old_bytes, the part of it that only\n"
                         "superseded versions hold; column_bytes, that of columns kept for scans.");

static PyObject *table_memory(PyObject *self, PyObject *unused) {
  (void)unused;
  ddb_memory memory;
  ddb_table_memory(((pyddb_source *)self)->table, &memory);
  return pyddb_memory_dict(&memory);
}

PyDoc_STRVAR(next_key_doc, "_next_key($self)\n--\n\nReturns the next automatic key, an int.");

static PyObject *source_next_key(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  int64_t key = ddb_view_next_key(&view);
  pyddb_view_close(source, &view);
  return PyLong_FromLongLong(key);
}

PyDoc_STRVAR(own_view_doc, "_view($self)\n--\n\nReturns a TableView of a snapshot of its own.");

static PyObject *table_view(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  PyObject *snapshot = pyddb_snapshot_new(source->state, ddb_table_db(source->table));
  PyObject *view =
      snapshot ? pyddb_table_view_new((pyddb_snapshot *)snapshot, source->table) : NULL;
  Py_XDECREF(snapshot);
  return view;
}

static PyObject *get_missing(PyObject *self, void *closure) {
  (void)closure;
  return pyddb_missing_out(((pyddb_table *)self)->missing);
}

/* ---- What the logger is told of ------------------------------------------------------------- */

PYDDB_LOGGED(pyddb_source_select, "SELECT")
PYDDB_LOGGED(pyddb_source_aggregate, "AGGREGATE")
PYDDB_LOGGED(pyddb_source_count, "COUNT")
PYDDB_LOGGED(pyddb_table_insert, "INSERT")
PYDDB_LOGGED(pyddb_table_upsert, "UPSERT")
PYDDB_LOGGED(pyddb_table_update, "UPDATE")
PYDDB_LOGGED(pyddb_table_update_many, "UPDATE")
PYDDB_LOGGED(pyddb_table_delete, "DELETE")

static PyObject *create_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *result = pyddb_table_create_index(self, args, count, kw);
  return pyddb_log(source->state, "CREATE_INDEX", source->table_name,
                   pyddb_log_argument("field", 0, args, count, kw), result);
}

static PyObject *drop_index(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *result = pyddb_table_drop_index(self, args, count, kw);
  return pyddb_log(source->state, "DROP_INDEX", source->table_name,
                   pyddb_log_argument("field", 0, args, count, kw), result);
}

/* ---- The types ----------------------------------------------------------------------------- */

PyDoc_STRVAR(len_doc, "len($self)\n--\n\nReturns the number of records, as size() does.");
PyDoc_STRVAR(field_doc, "field($self, name)\n--\n\nReturns the Field of this name, any str.");
PyDoc_STRVAR(attribute_doc, "_attribute($self, name, /)\n--\n\nWhat __getattr__ is.");
PyDoc_STRVAR(primary_key_name_doc,
             "primary_key_name($self)\n--\n\nReturns the name of the primary key's field.");
PyDoc_STRVAR(schema_fields_doc,
             "schema_fields($self)\n--\n\n"
             "Returns the names of the schema's fields, a list; empty without a schema.");

#define SOURCE_METHODS                                                                             \
  {"get", PYDDB_FAST(pyddb_source_get), PYDDB_FAST_FLAGS, pyddb_get_doc},                          \
      {"select", PYDDB_FAST(logged_pyddb_source_select), PYDDB_FAST_FLAGS, pyddb_select_doc},      \
      {"pluck", PYDDB_FAST(pyddb_source_pluck), PYDDB_FAST_FLAGS, pyddb_pluck_doc},                \
      {"first", PYDDB_FAST(pyddb_source_first), PYDDB_FAST_FLAGS, pyddb_first_doc},                \
      {"one", PYDDB_FAST(pyddb_source_one), PYDDB_FAST_FLAGS, pyddb_one_doc},                      \
      {"exists", PYDDB_FAST(pyddb_source_exists), PYDDB_FAST_FLAGS, pyddb_exists_doc},             \
      {"iter", PYDDB_FAST(pyddb_source_iter_by), PYDDB_FAST_FLAGS, pyddb_iter_doc},                \
      {"join", PYDDB_FAST(pyddb_source_join), PYDDB_FAST_FLAGS, pyddb_join_doc},                   \
      {"aggregate", PYDDB_FAST(logged_pyddb_source_aggregate), PYDDB_FAST_FLAGS,                   \
       pyddb_source_aggregate_doc},                                                                \
      {"count", PYDDB_FAST(logged_pyddb_source_count), PYDDB_FAST_FLAGS, pyddb_count_doc},         \
      {"all", pyddb_source_all, METH_NOARGS, pyddb_all_doc},                                       \
      {"copy", pyddb_source_copy, METH_NOARGS, pyddb_copy_doc},                                    \
      {"columns", pyddb_source_columns, METH_NOARGS, pyddb_columns_doc},                           \
      {"export_csv", PYDDB_FAST(pyddb_source_export_csv), PYDDB_FAST_FLAGS, pyddb_export_csv_doc}, \
      {"export_ndjson", PYDDB_FAST(pyddb_source_export_ndjson), PYDDB_FAST_FLAGS,                  \
       pyddb_export_ndjson_doc},                                                                   \
      {"size", pyddb_source_size, METH_NOARGS, pyddb_size_doc},                                    \
      {"len", pyddb_source_size, METH_NOARGS, len_doc},                                            \
      {"indexed_fields", pyddb_source_indexed_fields, METH_NOARGS, pyddb_indexed_fields_doc},      \
      {"explain", PYDDB_FAST(pyddb_source_explain), PYDDB_FAST_FLAGS, pyddb_explain_doc},          \
      {"indexes", pyddb_source_indexes, METH_NOARGS, pyddb_indexes_doc},                           \
      {"has_index", PYDDB_FAST(pyddb_source_has_index), PYDDB_FAST_FLAGS, pyddb_has_index_doc},    \
      {"_next_key", source_next_key, METH_NOARGS, next_key_doc},                                   \
      {"has_changes", pyddb_source_has_changes, METH_NOARGS, pyddb_has_changes_doc},               \
      {"get_dirty_records", pyddb_source_get_dirty_records, METH_NOARGS,                           \
       pyddb_get_dirty_records_doc},                                                               \
      {"get_deleted_pks", pyddb_source_get_deleted_pks, METH_NOARGS, pyddb_get_deleted_pks_doc},   \
      {"_mark", pyddb_source_mark, METH_NOARGS, pyddb_mark_doc},                                   \
      {"field", PYDDB_FAST(source_field), PYDDB_FAST_FLAGS, field_doc},                            \
      {"primary_key_name", primary_key_name, METH_NOARGS, primary_key_name_doc},                   \
      {"schema_fields", schema_fields, METH_NOARGS, schema_fields_doc}, {                          \
    "_attribute", pyddb_source_attribute, METH_O, attribute_doc                                    \
  }

#define SOURCE_SLOTS                                                                               \
  PYDDB_SLOT(Py_tp_repr, source_repr), PYDDB_SLOT(Py_tp_iter, pyddb_source_iter),                  \
      PYDDB_SLOT(Py_mp_subscript, pyddb_source_field),                                             \
      PYDDB_SLOT(Py_mp_length, pyddb_source_length),                                               \
      PYDDB_SLOT(Py_sq_contains, pyddb_source_contains)

#define SOURCE_GETSET                                                                              \
  {"table_name", get_table_name, NULL, "The table's name (str).", NULL},                           \
      {"primary_key", get_primary_key, NULL, "The name of the primary key's field (str).", NULL},  \
  {                                                                                                \
    "schema", get_schema, NULL, "A new dict of field names to types; None without one.", NULL      \
  }

static PyMethodDef table_methods[] = {
    SOURCE_METHODS,
    {"insert", PYDDB_FAST(logged_pyddb_table_insert), PYDDB_FAST_FLAGS, pyddb_insert_doc},
    {"upsert", PYDDB_FAST(logged_pyddb_table_upsert), PYDDB_FAST_FLAGS, pyddb_upsert_doc},
    {"update", PYDDB_FAST(logged_pyddb_table_update), PYDDB_FAST_FLAGS, pyddb_update_doc},
    {"update_many", PYDDB_FAST(logged_pyddb_table_update_many), PYDDB_FAST_FLAGS,
     pyddb_update_many_doc},
    {"delete", PYDDB_FAST(logged_pyddb_table_delete), PYDDB_FAST_FLAGS, pyddb_delete_doc},
    {"validate_record", PYDDB_FAST(pyddb_table_validate), PYDDB_FAST_FLAGS, pyddb_validate_doc},
    {"create_index", PYDDB_FAST(create_index), PYDDB_FAST_FLAGS, pyddb_create_index_doc},
    {"drop_index", PYDDB_FAST(drop_index), PYDDB_FAST_FLAGS, pyddb_drop_index_doc},
    {"memory", table_memory, METH_NOARGS, memory_doc},
    {"clear_dirty_tracking", pyddb_source_mark, METH_NOARGS, pyddb_clear_dirty_tracking_doc},
    {"stop_dirty_tracking", pyddb_table_stop_dirty_tracking, METH_NOARGS,
     pyddb_stop_dirty_tracking_doc},
    {"_view", table_view, METH_NOARGS, own_view_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(column_budget_doc,
             "How many bytes of columns may be kept for scans, an int. Set it to None for a\n"
             "quarter of the table's own bytes (as at first), to 0 to keep none. When they are\n"
             "full, fields that are not scanned for any more give way to those that are.");

static PyObject *get_column_budget(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromUnsignedLongLong(ddb_table_column_budget(((pyddb_source *)self)->table));
}

/* -1 with an exception: not None and not an int from 0 on. */
static int column_budget_argument(pyddb_state *state, PyObject *value, uint64_t *bytes) {
  *bytes = DDB_COLUMN_BUDGET_AUTO;
  if (value == Py_None) {
    return 0;
  }
  if (!PyLong_Check(value) || PyBool_Check(value)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "column_budget must be int or None, not '%s'",
                       Py_TYPE(value)->tp_name);
    return -1;
  }
  *bytes = PyLong_AsUnsignedLongLong(value);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    pyddb_raise_format(state, DDB_ERR_INVALID, "column_budget must be from 0 to 2**64 - 2 bytes");
    return -1;
  }
  *bytes -= *bytes == DDB_COLUMN_BUDGET_AUTO; /* more than there can be, either way */
  return 0;
}

static int set_column_budget(PyObject *self, PyObject *value, void *closure) {
  (void)closure;
  pyddb_source *source = (pyddb_source *)self;
  if (!value) {
    PyErr_SetString(PyExc_AttributeError, "column_budget cannot be deleted");
    return -1;
  }
  uint64_t bytes;
  if (column_budget_argument(source->state, value, &bytes) < 0) {
    return -1;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_table_column_budget_set(source->table, bytes, &err);
  pyddb_attach();
  if (status != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

static PyGetSetDef table_getset[] = {
    SOURCE_GETSET,
    {"column_budget", get_column_budget, set_column_budget, column_budget_doc, NULL},
    {"lock", get_lock, NULL, "The table's RWLock, the same object each time.", NULL},
    {"_missing", get_missing, NULL, "What missing= was, as a str.", NULL},
    {"_lock", get_lock, NULL, "The same as lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef source_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pyddb_source, weak_list), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(table_doc, "Table(name, primary_key='id', schema=None, *, missing='ignore')\n--\n\n"
                        "A table of dict records that threads share. Made alone like this, or by\n"
                        "DictDB.create_table. schema: dict of field names to types or Columns.\n"
                        "missing='raise': update and delete raise when nothing matches.");

static PyType_Slot table_slots[] = {
    SOURCE_SLOTS,
#if PY_VERSION_HEX < 0x030C0000
    PYDDB_SLOT(Py_tp_getattro, table_getattro),
#endif
    PYDDB_SLOT(Py_tp_new, table_tp_new),
    PYDDB_SLOT(Py_tp_dealloc, table_dealloc),
    PYDDB_SLOT(Py_tp_traverse, table_traverse),
    {Py_tp_methods, table_methods},
    {Py_tp_getset, table_getset},
    {Py_tp_members, source_members},
    {Py_tp_doc, (void *)(uintptr_t)table_doc},
    {0, NULL},
};

PyType_Spec pyddb_table_spec = {
    .name = "dictdb._core.Table",
    .basicsize = sizeof(pyddb_table),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = table_slots,
};

static PyMethodDef view_methods[] = {
    SOURCE_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef view_getset[] = {
    SOURCE_GETSET,
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(view_doc, "A table as a snapshot sees it: the reading part of Table.");

static PyType_Slot view_slots[] = {
    SOURCE_SLOTS,
    PYDDB_SLOT(Py_tp_dealloc, view_dealloc),
    PYDDB_SLOT(Py_tp_traverse, view_traverse),
    {Py_tp_methods, view_methods},
    {Py_tp_getset, view_getset},
    {Py_tp_members, source_members},
    {Py_tp_doc, (void *)(uintptr_t)view_doc},
    {0, NULL},
};

PyType_Spec pyddb_table_view_spec = {
    .name = "dictdb._core.TableView",
    .basicsize = sizeof(pyddb_source),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};
