/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sets.c - what python/dictdb/_set.py, _verify.py and _backup.py need of the library: deltas, chains
 * of files, checks of files. Their arguments come from there, checked; paths are bytes, progress is
 * None or a callable (a bar, which may be for several calls, is made and closed there).
 *
 * The library works detached. Snapshots are in use meanwhile (snapshot.c), paths are held by the
 * arguments' tuple.
 */
#include "pyddb.h"

/* ---- Deltas -------------------------------------------------------------------------------- */

PyDoc_STRVAR(save_delta_doc,
             "_save_delta(snapshot, before, before_path, path, compression, progress, /)\n--\n\n"
             "Writes what leads from one Snapshot to a later one as a file that goes on from\n"
             "before_path, which holds `before`. Else as Snapshot.save.");

static PyObject *save_delta(pyddb_state *state, PyObject *args) {
  PyTypeObject *type = state->snapshot_type;
  pyddb_snapshot *snapshot;
  pyddb_snapshot *before;
  PyObject *before_path;
  PyObject *path;
  PyObject *function;
  pyddb_progress p;
  ddb_save_options options = {.progress = pyddb_progress_tell, .context = &p};
  if (!PyArg_ParseTuple(args, "O!O!SSiO:_save_delta", type, &snapshot, type, &before, &before_path,
                        &path, &options.compression, &function) ||
      pyddb_progress_init(state, function, "save", NULL, &p) < 0 ||
      pyddb_snapshot_use(snapshot) < 0) {
    return NULL;
  }
  if (pyddb_snapshot_use(before) < 0) {
    pyddb_snapshot_unuse(snapshot);
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status =
      ddb_snapshot_save_delta(snapshot->snapshot, before->snapshot, PyBytes_AS_STRING(before_path),
                              PyBytes_AS_STRING(path), &options, &err);
  pyddb_attach();
  pyddb_snapshot_unuse(before);
  pyddb_snapshot_unuse(snapshot);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
}

static PyObject *module_save_delta(PyObject *module, PyObject *args) {
  return save_delta(PyModule_GetState(module), args);
}

/* ---- Chains -------------------------------------------------------------------------------- */

const char pyddb_load_chain_doc[] =
    "_load_chain($type, paths, progress, failed, /)\n--\n\n"
    "Returns a new database from a tuple of paths, a base and its deltas. On an error the\n"
    "index of the file that is to blame is appended to the list `failed`.";

static ddb_status load_chain(PyObject *paths, pyddb_progress *p, ddb_db **db, size_t *failed,
                             ddb_error *err) {
  size_t count = (size_t)PyTuple_GET_SIZE(paths);
  const char **names = PyMem_Calloc(count + 1, sizeof *names);
  if (!names) {
    err->status = DDB_ERR_NOMEM;
    return DDB_ERR_NOMEM;
  }
  for (size_t i = 0; i < count; i++) {
    names[i] = PyBytes_AS_STRING(PyTuple_GET_ITEM(paths, (Py_ssize_t)i));
  }
  pyddb_detach();
  ddb_status status = ddb_db_load_chain(names, count, pyddb_progress_tell, p, db, failed, err);
  pyddb_attach();
  PyMem_Free(names);
  return status;
}

/* Keeps the exception that is set, unless this raises a worse one. */
static void tell_failed(PyObject *list, size_t failed) {
  PyObject *type;
  PyObject *value;
  PyObject *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject *number = PyLong_FromSize_t(failed);
  if (number) {
    (void)PyList_Append(list, number);
    Py_DECREF(number);
  }
  PyErr_Restore(type, value, traceback);
}

ddb_db *pyddb_load_chain(pyddb_state *state, PyObject *args) {
  PyObject *paths;
  PyObject *function;
  PyObject *list;
  pyddb_progress p;
  if (!PyArg_ParseTuple(args, "O!OO!:_load_chain", &PyTuple_Type, &paths, &function, &PyList_Type,
                        &list) ||
      pyddb_progress_init(state, function, "read", NULL, &p) < 0) {
    return NULL;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(paths); i++) {
    if (!PyBytes_Check(PyTuple_GET_ITEM(paths, i))) {
      PyErr_SetString(PyExc_TypeError, "_load_chain() takes a tuple of bytes");
      return NULL;
    }
  }
  ddb_db *db = NULL;
  size_t failed = 0;
  ddb_error err = {0};
  if (load_chain(paths, &p, &db, &failed, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    tell_failed(list, failed);
    return NULL;
  }
  return db;
}

const char pyddb_keys_raise_doc[] =
    "_keys_raise($self, path, /)\n--\n\n"
    "Automatic keys go on above what the file has for tables of the same names.";

PyObject *pyddb_keys_raise(pyddb_state *state, ddb_db *db, PyObject *path) {
  if (!PyBytes_Check(path)) {
    PyErr_SetString(PyExc_TypeError, "_keys_raise() takes bytes");
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_keys_raise(db, PyBytes_AS_STRING(path), &err);
  pyddb_attach();
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
}

/* ---- Files --------------------------------------------------------------------------------- */

static PyObject *info_new(const ddb_file_info *info) {
  static const char *const kinds[] = {"native", "delta", "log", "json"};
  return Py_BuildValue("(sKKKKKKKKKK)", kinds[info->kind], (unsigned long long)info->size,
                       (unsigned long long)info->sum, (unsigned long long)info->commit,
                       (unsigned long long)info->number, (unsigned long long)info->base,
                       (unsigned long long)info->before, (unsigned long long)info->table_count,
                       (unsigned long long)info->record_count,
                       (unsigned long long)info->operation_count,
                       (unsigned long long)info->whole_size);
}

PyDoc_STRVAR(
    describe_doc,
    "_file_describe(path, /)\n--\n\nReturns (kind, size, sum, commit, number, base, before,\n"
    "table_count, record_count, operation_count, whole_size), the last four 0.");

static PyObject *module_describe(PyObject *module, PyObject *path) {
  if (!PyBytes_Check(path)) {
    PyErr_SetString(PyExc_TypeError, "_file_describe() takes bytes");
    return NULL;
  }
  ddb_file_info info;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_file_describe(PyBytes_AS_STRING(path), &info, &err);
  pyddb_attach();
  return status == DDB_OK ? info_new(&info) : pyddb_raise(PyModule_GetState(module), &err);
}

typedef ddb_status (*verifier)(const char *path, ddb_progress progress, void *context,
                               ddb_file_info *out, ddb_error *err);

static PyObject *verify(pyddb_state *state, verifier run, PyObject *args) {
  PyObject *path;
  PyObject *function;
  pyddb_progress p;
  if (!PyArg_ParseTuple(args, "SO:_verify", &path, &function) ||
      pyddb_progress_init(state, function, "read", NULL, &p) < 0) {
    return NULL;
  }
  ddb_file_info info;
  ddb_error err;
  pyddb_detach();
  ddb_status status = run(PyBytes_AS_STRING(path), pyddb_progress_tell, &p, &info, &err);
  pyddb_attach();
  return status == DDB_OK ? info_new(&info) : pyddb_raise(state, &err);
}

PyDoc_STRVAR(file_verify_doc,
             "_file_verify(path, progress, /)\n--\n\nChecks every byte of a file and returns what\n"
             "_file_describe does, with the last four.");

static PyObject *module_file_verify(PyObject *module, PyObject *args) {
  return verify(PyModule_GetState(module), ddb_file_verify, args);
}

PyDoc_STRVAR(directory_verify_doc,
             "_directory_verify(path, progress, /)\n--\n\nReads the directory of a database\n"
             "without opening it, and returns the same.");

static PyObject *module_directory_verify(PyObject *module, PyObject *args) {
  return verify(PyModule_GetState(module), ddb_directory_verify, args);
}

PyMethodDef pyddb_set_functions[] = {
    {"_save_delta", module_save_delta, METH_VARARGS, save_delta_doc},
    {"_file_describe", module_describe, METH_O, describe_doc},
    {"_file_verify", module_file_verify, METH_VARARGS, file_verify_doc},
    {"_directory_verify", module_directory_verify, METH_VARARGS, directory_verify_doc},
    {NULL, NULL, 0, NULL},
};
