/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - creating, dropping and listing indexes.
 *
 * An index is named by what it is over: a field (str or Field), or a list or tuple of them; and by
 * its type where a field has several.
 */
#include "pyddb.h"

/* ---- Arguments ----------------------------------------------------------------------------- */

typedef struct designation {
  PyObject *names[DDB_INDEX_FIELD_COUNT_MAX];
  pyddb_text texts[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_str fields[DDB_INDEX_FIELD_COUNT_MAX];
  size_t count;
} designation;

static void designation_fini(designation *d) {
  for (size_t i = 0; i < d->count; i++) {
    pyddb_text_fini(&d->texts[i]);
    Py_DECREF(d->names[i]);
  }
}

static int designation_add(pyddb_source *source, designation *d, PyObject *object) {
  if (d->count == DDB_INDEX_FIELD_COUNT_MAX) {
    pyddb_raise_format(source->state, DDB_ERR_LIMIT, "an index has at most %d fields",
                       (int)DDB_INDEX_FIELD_COUNT_MAX);
    return -1;
  }
  PyObject *name = pyddb_field_argument(source, object, "field");
  if (!name || pyddb_text_init(&d->texts[d->count], name) < 0) {
    Py_XDECREF(name);
    return -1;
  }
  d->names[d->count] = name;
  d->fields[d->count] = d->texts[d->count].str;
  d->count++;
  return 0;
}

static int designation_init(pyddb_source *source, designation *d, PyObject *object) {
  d->count = 0;
  if (!PyList_CheckExact(object) && !PyTuple_CheckExact(object)) {
    return designation_add(source, d, object);
  }
  PyObject *items = PySequence_Tuple(object); /* a list may change meanwhile */
  if (!items) {
    return -1;
  }
  int result = 0;
  Py_ssize_t count = PyTuple_GET_SIZE(items);
  for (Py_ssize_t i = 0; i < count && result == 0; i++) {
    result = designation_add(source, d, PyTuple_GET_ITEM(items, i));
  }
  Py_DECREF(items);
  if (result == 0 && count == 0) {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "an index needs a field");
    result = -1;
  }
  if (result < 0) {
    designation_fini(d);
  }
  return result;
}

static const char *const kind_names[] = {"hash", "sorted"};
enum { KIND_COUNT = sizeof kind_names / sizeof kind_names[0] };

static int kind_argument(pyddb_source *source, PyObject *object, ddb_index_kind *kind) {
  for (int i = 0; i < KIND_COUNT && PyUnicode_Check(object); i++) {
    if (PyUnicode_CompareWithASCIIString(object, kind_names[i]) == 0) {
      *kind = (ddb_index_kind)i;
      return 0;
    }
  }
  const char *nearest = pyddb_nearest(object, kind_names, KIND_COUNT);
  pyddb_raise_format(
      source->state, DDB_ERR_INVALID, "index_type must be 'hash' or 'sorted', not %R%s%s%s", object,
      nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
  return -1;
}

/* ---- Creating and dropping ----------------------------------------------------------------- */

const char pyddb_create_index_doc[] =
    "create_index($self, field, index_type='hash', *, unique=False)\n--\n\n"
    "Indexes a field (str or Field), or several together (a list of them). Indexes\n"
    "change the cost of answers, never the answers. 'hash' serves ==, is_in and\n"
    "is_null; 'sorted' serves these, <, <=, >, >=, between, startswith and order_by.\n"
    "A sorted index of several fields also serves the first of them, the first two,\n"
    "and so on.\n\n"
    "unique=True: no two records may have equal values; None and missing fields\n"
    "are not compared. Statements that would make duplicates raise\n"
    "DuplicateKeyError, and so does creating the index over some.\n\n"
    "Raises DuplicateIndexError, InvalidArgumentError for another index_type.";

PyObject *pyddb_table_create_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *kw) {
  static const char *const names[] = {"field", "index_type", "unique"};
  static const pyddb_signature signature = {"create_index", names, 3, 2, 1};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[3];
  ddb_index_options options = {.kind = DDB_INDEX_HASH};
  designation d;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      (slots[1] && kind_argument(source, slots[1], &options.kind) < 0) ||
      pyddb_bool_argument(slots[2], false, &options.unique) < 0 ||
      designation_init(source, &d, slots[0]) < 0) {
    return NULL;
  }
  options.fields = d.fields;
  options.field_count = d.count;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_table_index_add(source->table, &options, &err);
  pyddb_attach();
  designation_fini(&d);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(source->state, &err);
}

const char pyddb_drop_index_doc[] =
    "drop_index($self, field, index_type=None)\n--\n\n"
    "Removes the index over a field, or over a list of fields; of one type, or\n"
    "(None) of each. IndexNotFoundError without one.";

PyObject *pyddb_table_drop_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw) {
  static const char *const names[] = {"field", "index_type"};
  static const pyddb_signature signature = {"drop_index", names, 2, 2, 1};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *slots[2];
  ddb_index_kind kind;
  designation d;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0) {
    return NULL;
  }
  bool any = !slots[1] || slots[1] == Py_None;
  if ((!any && kind_argument(source, slots[1], &kind) < 0) ||
      designation_init(source, &d, slots[0]) < 0) {
    return NULL;
  }
  ddb_error err;
  ddb_status status =
      ddb_table_index_drop(source->table, d.fields, d.count, any ? NULL : &kind, &err);
  designation_fini(&d);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(source->state, &err);
}

/* ---- Facts --------------------------------------------------------------------------------- */

static PyObject *names_of(const ddb_view *view, size_t index, size_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *name = pyddb_name_out(ddb_view_index_field(view, index, i));
    if (!name) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, name);
  }
  return list;
}

static PyObject *describe(const ddb_view *view, size_t index) {
  ddb_index_info info;
  ddb_view_index_info(view, index, &info);
  PyObject *fields = names_of(view, index, info.field_count);
  return fields ? Py_BuildValue("{sNsssOsK}", "fields", fields, "index_type", kind_names[info.kind],
                                "unique", info.unique ? Py_True : Py_False, "entries",
                                (unsigned long long)info.entry_count)
                : NULL;
}

const char pyddb_indexes_doc[] =
    "indexes($self)\n--\n\n"
    "Returns a list of dicts, one for each index in order of creation: fields (a\n"
    "list of str), index_type, unique, entries.";

PyObject *pyddb_source_indexes(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  PyObject *list = PyList_New(0);
  size_t count = ddb_view_index_count(&view);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *one = describe(&view, i);
    if (!one || PyList_Append(list, one) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(one);
  }
  pyddb_view_close(source, &view);
  return list;
}

const char pyddb_indexed_fields_doc[] =
    "indexed_fields($self)\n--\n\n"
    "Returns the names of the fields that have an index of their own, as a list of\n"
    "str; indexes() tells of those over several fields too.";

PyObject *pyddb_source_indexed_fields(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  PyObject *list = PyList_New(0);
  size_t count = ddb_view_index_count(&view);
  for (size_t i = 0; list && i < count; i++) {
    ddb_index_info info;
    ddb_view_index_info(&view, i, &info);
    if (info.field_count > 1) {
      continue;
    }
    PyObject *name = pyddb_name_out(ddb_view_index_field(&view, i, 0));
    int known = name ? PySequence_Contains(list, name) : -1;
    if (known < 0 || (known == 0 && PyList_Append(list, name) < 0)) {
      Py_CLEAR(list);
    }
    Py_XDECREF(name);
  }
  pyddb_view_close(source, &view);
  return list;
}

static bool is_over(const ddb_view *view, size_t index, const designation *d) {
  ddb_index_info info;
  ddb_view_index_info(view, index, &info);
  bool same = info.field_count == d->count;
  for (size_t i = 0; same && i < d->count; i++) {
    ddb_str name = ddb_view_index_field(view, index, i);
    same = name.size == d->fields[i].size && memcmp(name.data, d->fields[i].data, name.size) == 0;
  }
  return same;
}

const char pyddb_has_index_doc[] =
    "has_index($self, field)\n--\n\n"
    "Returns whether there is an index over a field (str or Field), or over a list\n"
    "of fields.";

PyObject *pyddb_source_has_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *field = pyddb_bind_one("has_index", "field", args, count, kw);
  designation d;
  if (!field || designation_init(source, &d, field) < 0) {
    return NULL;
  }
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    designation_fini(&d);
    return NULL;
  }
  bool found = false;
  for (size_t i = 0; !found && i < ddb_view_index_count(&view); i++) {
    found = is_over(&view, i, &d);
  }
  pyddb_view_close(source, &view);
  designation_fini(&d);
  return PyBool_FromLong(found);
}
