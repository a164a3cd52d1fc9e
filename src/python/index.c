/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - creating, dropping and listing indexes.
 *
 * An index is named by what it is over: a field (str or Field), a path into one (Expression, or in a
 * list a tuple of the field and its steps), or a list or tuple of them; and by its type where a field
 * has several.
 */
#include "pyddb.h"

/* ---- Arguments ----------------------------------------------------------------------------- */

typedef struct designation {
  ddb_expr *exprs[DDB_INDEX_FIELD_COUNT_MAX]; /* what the paths borrow from */
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_value steps[DDB_INDEX_FIELD_COUNT_MAX][DDB_INDEX_STEP_COUNT_MAX];
  size_t count;
} designation;

static void designation_fini(designation *d) {
  for (size_t i = 0; i < d->count; i++) {
    ddb_expr_release(d->exprs[i]);
  }
}

/* (field, step, ...), as indexes() tells of a path. New reference: an Expression. */
static PyObject *path_of_tuple(pyddb_source *source, PyObject *tuple) {
  PyObject *path = NULL;
  if (PyTuple_GET_SIZE(tuple) > 0) {
    path = pyddb_source_field((PyObject *)source, PyTuple_GET_ITEM(tuple, 0));
  } else {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "an index needs a field");
  }
  for (Py_ssize_t i = 1; path && i < PyTuple_GET_SIZE(tuple); i++) {
    Py_SETREF(path, PyObject_GetItem(path, PyTuple_GET_ITEM(tuple, i)));
  }
  return path;
}

/* The field or path that was asked for, as an Expression. New reference. */
static PyObject *path_argument(pyddb_source *source, PyObject *object, bool listed) {
  if (Py_IS_TYPE(object, source->state->expr_type)) {
    return Py_NewRef(object);
  }
  return listed && PyTuple_CheckExact(object) ? path_of_tuple(source, object)
                                              : pyddb_source_field((PyObject *)source, object);
}

static int designation_add(pyddb_source *source, designation *d, PyObject *object, bool listed) {
  if (d->count == DDB_INDEX_FIELD_COUNT_MAX) {
    pyddb_raise_format(source->state, DDB_ERR_LIMIT, "an index has at most %d fields",
                       (int)DDB_INDEX_FIELD_COUNT_MAX);
    return -1;
  }
  PyObject *path = path_argument(source, object, listed);
  ddb_expr *expr = path ? pyddb_expr_take((pyddb_expr *)path) : NULL;
  if (!expr) {
    Py_XDECREF(path);
    return -1;
  }
  size_t at = d->count;
  d->exprs[d->count++] = expr; /* designation_fini sees to it */
  int result = -1;
  if (!ddb_expr_path(expr, d->steps[at], DDB_INDEX_STEP_COUNT_MAX, &d->paths[at])) {
    pyddb_raise_format(source->state, DDB_ERR_TYPE,
                       "an index is over fields, and paths of up to %d steps into them, not %R",
                       (int)DDB_INDEX_STEP_COUNT_MAX, path);
  } else {
    PyObject *name = pyddb_name_out(d->paths[at].field);
    result = name ? pyddb_field_check(source, name) : -1;
    Py_XDECREF(name);
  }
  Py_DECREF(path);
  return result;
}

static int designation_list(pyddb_source *source, designation *d, PyObject *object) {
  PyObject *items = PySequence_Tuple(object); /* a list may change meanwhile */
  if (!items) {
    return -1;
  }
  int result = 0;
  Py_ssize_t count = PyTuple_GET_SIZE(items);
  for (Py_ssize_t i = 0; i < count && result == 0; i++) {
    result = designation_add(source, d, PyTuple_GET_ITEM(items, i), true);
  }
  Py_DECREF(items);
  if (result == 0 && count == 0) {
    pyddb_raise_format(source->state, DDB_ERR_INVALID, "an index needs a field");
    result = -1;
  }
  return result;
}

static int designation_init(pyddb_source *source, designation *d, PyObject *object) {
  d->count = 0;
  int result = PyList_CheckExact(object) || PyTuple_CheckExact(object)
                   ? designation_list(source, d, object)
                   : designation_add(source, d, object, false);
  if (result < 0) {
    designation_fini(d);
  }
  return result;
}

static const char *const kind_names[] = {"hash", "sorted"};
enum { KIND_COUNT = sizeof kind_names / sizeof kind_names[0] };

static int kind_argument(pyddb_source *source, PyObject *object, ddb_index_kind *kind) {
  size_t choice;
  if (pyddb_choice_argument(source->state, object, "index_type", kind_names, KIND_COUNT, &choice) <
      0) {
    return -1;
  }
  *kind = (ddb_index_kind)choice;
  return 0;
}

/* ---- Creating and dropping ----------------------------------------------------------------- */

const char pyddb_create_index_doc[] =
    "create_index($self, field, index_type='hash', *, unique=False)\n--\n\n"
    "Indexes a field (str or Field), what lies inside of one (table.address['city'],\n"
    "table.tags[0]), or several together (a list of them). Indexes change the cost\n"
    "of answers, never the answers. 'hash' serves ==, is_in and is_null; 'sorted'\n"
    "serves these, <, <=, >, >=, between, startswith, a like that begins with a text,\n"
    "order_by, distinct, Min and Max. A sorted index of several fields also serves the\n"
    "first of them, the first two, and so on.\n\n"
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
      pyddb_bool_argument(source->state, slots[2], "unique", false, &options.unique) < 0 ||
      designation_init(source, &d, slots[0]) < 0) {
    return NULL;
  }
  options.paths = d.paths;
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
    "Removes the index over a field, a path into one or a list of them; of one\n"
    "type, or (None) of each. IndexNotFoundError without one.";

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
      ddb_table_index_drop_paths(source->table, d.paths, d.count, any ? NULL : &kind, &err);
  designation_fini(&d);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(source->state, &err);
}

/* ---- Facts --------------------------------------------------------------------------------- */

/* A field is its name; what lies inside of one is a tuple of the name and the steps. */
static PyObject *path_out(pyddb_state *state, const ddb_path *path) {
  PyObject *name = pyddb_name_out(path->field);
  if (!name || path->step_count == 0) {
    return name;
  }
  PyObject *tuple = PyTuple_New((Py_ssize_t)path->step_count + 1);
  if (!tuple) {
    Py_DECREF(name);
    return NULL;
  }
  PyTuple_SET_ITEM(tuple, 0, name);
  for (size_t i = 0; i < path->step_count; i++) {
    PyObject *step = pyddb_value_out(state, &path->steps[i]);
    if (!step) {
      Py_DECREF(tuple);
      return NULL;
    }
    PyTuple_SET_ITEM(tuple, (Py_ssize_t)i + 1, step);
  }
  return tuple;
}

static PyObject *names_of(pyddb_state *state, const ddb_view *view, size_t index, size_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    ddb_path path = ddb_view_index_path(view, index, i);
    PyObject *name = path_out(state, &path);
    if (!name) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, name);
  }
  return list;
}

static PyObject *describe(pyddb_state *state, const ddb_view *view, size_t index) {
  ddb_index_info info;
  ddb_view_index_info(view, index, &info);
  PyObject *fields = names_of(state, view, index, info.field_count);
  return fields ? Py_BuildValue("{sNsssOsK}", "fields", fields, "index_type", kind_names[info.kind],
                                "unique", info.unique ? Py_True : Py_False, "entries",
                                (unsigned long long)info.entry_count)
                : NULL;
}

const char pyddb_indexes_doc[] =
    "indexes($self)\n--\n\n"
    "Returns a list of dicts, one for each index in order of creation: fields (a\n"
    "list of str; a path is a tuple of the field and the steps into it), index_type,\n"
    "unique, entries. Such a list of fields names the index in other methods.";

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
    PyObject *one = describe(source->state, &view, i);
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
    "str; indexes() tells of those over paths and over several fields too.";

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
    ddb_path path = ddb_view_index_path(&view, i, 0);
    if (info.field_count > 1 || path.step_count > 0) {
      continue;
    }
    PyObject *name = pyddb_name_out(path.field);
    int known = name ? PySequence_Contains(list, name) : -1;
    if (known < 0 || (known == 0 && PyList_Append(list, name) < 0)) {
      Py_CLEAR(list);
    }
    Py_XDECREF(name);
  }
  pyddb_view_close(source, &view);
  return list;
}

const char pyddb_has_index_doc[] =
    "has_index($self, field)\n--\n\n"
    "Returns whether there is an index over a field (str or Field) or a path into\n"
    "one, or over a list of them.";

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
    found = ddb_view_index_is_over(&view, i, d.paths, d.count);
  }
  pyddb_view_close(source, &view);
  designation_fini(&d);
  return PyBool_FromLong(found);
}
