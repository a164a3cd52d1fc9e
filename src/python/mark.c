/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark.c - the methods that tell what has changed in a table since a version of it was marked.
 *
 * The difference is found detached; its records are converted while the view and the difference, which
 * they are borrowed from, are there. Marking gives memory back, which may take long: detached as well.
 */
#include "pyddb.h"

const char pyddb_has_changes_doc[] =
    "has_changes($self)\n--\n\n"
    "Returns whether a record was inserted, changed or deleted since clear_dirty_tracking()\n"
    "was called last. If it never was: whether there are records.";

PyObject *pyddb_source_has_changes(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  bool changed;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_is_changed(&view, &changed, &err);
  pyddb_attach();
  PyObject *result = status == DDB_OK ? PyBool_FromLong(changed) : pyddb_raise(source->state, &err);
  pyddb_view_close(source, &view);
  return result;
}

typedef PyObject *(*records_out)(pyddb_source *source, const ddb_difference *difference);

static PyObject *difference_out(PyObject *self, records_out convert) {
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_difference difference;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_difference(&view, &difference, &err);
  pyddb_attach();
  PyObject *list = NULL;
  if (status == DDB_OK) {
    list = convert(source, &difference);
    pyddb_detach();
    ddb_difference_fini(&difference);
    pyddb_attach();
  } else {
    pyddb_raise(source->state, &err);
  }
  pyddb_view_close(source, &view);
  return list;
}

static PyObject *written_out(pyddb_source *source, const ddb_difference *difference) {
  static const pyddb_query whole = {.form = PYDDB_FORM_DICT};
  return pyddb_records_out(source, &whole, difference->written.items, difference->written.count);
}

static PyObject *deleted_out(pyddb_source *source, const ddb_difference *difference) {
  ddb_str name = ddb_table_primary_key(source->table);
  PyObject *list = PyList_New((Py_ssize_t)difference->deleted.count);
  pyddb_breath breath = {0};
  for (size_t i = 0; list && i < difference->deleted.count; i++) {
    ddb_value key = ddb_record_get(difference->deleted.items[i], name);
    PyObject *object = pyddb_value_out(source->state, &key);
    if (object) {
      PyList_SET_ITEM(list, (Py_ssize_t)i, object);
    }
    if (!object || pyddb_breathe(&breath) < 0) {
      Py_CLEAR(list);
    }
  }
  return list;
}

const char pyddb_get_dirty_records_doc[] =
    "get_dirty_records($self)\n--\n\n"
    "Returns the records that were inserted or changed since clear_dirty_tracking() was\n"
    "called last, in order of insertion, as a list of new dicts. If it never was: all.";

PyObject *pyddb_source_get_dirty_records(PyObject *self, PyObject *unused) {
  (void)unused;
  return difference_out(self, written_out);
}

const char pyddb_get_deleted_pks_doc[] =
    "get_deleted_pks($self)\n--\n\n"
    "Returns the primary keys of the records that were there when clear_dirty_tracking()\n"
    "was called last and are not now, as a list. If it never was: an empty one.";

PyObject *pyddb_source_get_deleted_pks(PyObject *self, PyObject *unused) {
  (void)unused;
  return difference_out(self, deleted_out);
}

const char pyddb_clear_dirty_tracking_doc[] =
    "clear_dirty_tracking($self)\n--\n\n"
    "Lets has_changes(), get_dirty_records() and get_deleted_pks() tell what changes from\n"
    "now on. The records as they are now stay in memory for that, as old_bytes of memory()\n"
    "where they are changed or deleted later, until this is called again, or\n"
    "stop_dirty_tracking().";

const char pyddb_mark_doc[] =
    "_mark($self)\n--\n\n"
    "What clear_dirty_tracking() does, as of this version; does nothing if a later one is\n"
    "what is compared with.";

PyObject *pyddb_source_mark(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_source *source = (pyddb_source *)self;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_mark(&view, &err);
  pyddb_attach();
  pyddb_view_close(source, &view);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(source->state, &err);
}

const char pyddb_stop_dirty_tracking_doc[] =
    "stop_dirty_tracking($self)\n--\n\n"
    "Gives back the memory that clear_dirty_tracking() holds: it is as if it had never been\n"
    "called.";

PyObject *pyddb_table_stop_dirty_tracking(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_detach();
  ddb_table_unmark(((pyddb_source *)self)->table);
  pyddb_attach();
  Py_RETURN_NONE;
}
