/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - save and load: path and format, progress, signals.
 *
 * The library works detached. Its progress calls are passed on at most every PROGRESS_NS, and the
 * first and the last always; each also runs pending signal handlers. What a handler or the progress
 * function raises ends the work and is what save or load raises.
 */
#include "pyddb.h"

#include <time.h>

#define PROGRESS_NS 20000000u

typedef struct progress {
  PyObject *function; /* or NULL */
  uint64_t last_ns;
  uint64_t done, total;
} progress;

static uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int progress_attached(void *context) {
  progress *p = context;
  if (PyErr_CheckSignals() < 0) {
    return -1;
  }
  if (!p->function) {
    return 0;
  }
  PyObject *result = PyObject_CallFunction(p->function, "KK", (unsigned long long)p->done,
                                           (unsigned long long)p->total);
  Py_XDECREF(result);
  return result ? 0 : -1;
}

static int on_progress(void *context, uint64_t done, uint64_t total) {
  progress *p = context;
  uint64_t now_ns = clock_ns();
  bool is_last = total > 0 && done >= total;
  if (p->last_ns != 0 && !is_last && now_ns - p->last_ns < PROGRESS_NS) {
    return 0;
  }
  p->last_ns = now_ns;
  p->done = done;
  p->total = total;
  return pyddb_detached_call(progress_attached, p);
}

/* ---- Arguments ----------------------------------------------------------------------------- */

static int refuse_format(pyddb_state *state, PyObject *given, const char *what) {
  pyddb_raise_format(state, DDB_ERR_INVALID, "%s %R; the formats are: 'json'", what, given);
  return -1;
}

static int refuse_suffix(pyddb_state *state, PyObject *path) {
  PyObject *text =
      PyUnicode_DecodeFSDefaultAndSize(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path));
  if (text) {
    refuse_format(state, text, "file_format is not given and does not follow from the suffix of");
    Py_DECREF(text);
  }
  return -1;
}

static int check_format(pyddb_state *state, PyObject *format, PyObject *path) {
  PyObject *text;
  if (format && format != Py_None) {
    if (!PyUnicode_Check(format)) {
      pyddb_raise_format(state, DDB_ERR_TYPE, "file_format must be str or None, not '%s'",
                         Py_TYPE(format)->tp_name);
      return -1;
    }
    text = PyObject_CallMethod(format, "lower", NULL);
    if (!text) {
      return -1;
    }
    int same = PyUnicode_CompareWithASCIIString(text, "json") == 0;
    Py_DECREF(text);
    return same ? 0 : refuse_format(state, format, "unknown file_format");
  }
  text = PyObject_CallMethod(path, "lower", NULL);
  if (!text) {
    return -1;
  }
  Py_ssize_t size = PyBytes_GET_SIZE(text);
  bool same = size > 5 && memcmp(PyBytes_AS_STRING(text) + size - 5, ".json", 5) == 0;
  Py_DECREF(text);
  return same ? 0 : refuse_suffix(state, path);
}

/* With the exception of the conversion set: in words of ours when it is about the type or a NUL. */
static PyObject *refuse_path(pyddb_state *state, PyObject *path) {
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    return pyddb_raise_format(state, DDB_ERR_TYPE, "filename must be a str or a Path, not '%s'",
                              Py_TYPE(path)->tp_name);
  }
  if (PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear();
    return pyddb_raise_format(state, DDB_ERR_INVALID, "filename %R cannot be the name of a file",
                              path);
  }
  return NULL;
}

/* The path as bytes (new reference); p->function is borrowed. */
static PyObject *parse(pyddb_state *state, const pyddb_signature *signature, PyObject *const *args,
                       Py_ssize_t count, PyObject *kw, progress *p) {
  PyObject *slots[3];
  PyObject *path;
  *p = (progress){0};
  if (pyddb_bind(signature, args, count, kw, slots) < 0) {
    return NULL;
  }
  if (!PyUnicode_FSConverter(slots[0], &path)) {
    return refuse_path(state, slots[0]);
  }
  if (slots[2] && slots[2] != Py_None) {
    p->function = slots[2];
    if (!PyCallable_Check(p->function)) {
      pyddb_raise_format(state, DDB_ERR_TYPE, "progress must be callable, not '%s'",
                         Py_TYPE(p->function)->tp_name);
      Py_CLEAR(path);
    }
  }
  if (path && check_format(state, slots[1], path) < 0) {
    Py_CLEAR(path);
  }
  return path;
}

static const char *const names[] = {"filename", "file_format", "progress"};

/* ---- save ---------------------------------------------------------------------------------- */

const char pyddb_save_doc[] =
    "save($self, filename, file_format=None, *, progress=None)\n--\n\n"
    "Writes one instant of all tables to a file, which is replaced as a whole or not\n"
    "at all. Readers and writers are not held up.\n\n"
    "filename: str or Path. file_format: 'json' in any case; None: by the suffix.\n"
    "progress: called now and then with (done, total), total 0 when it is not known;\n"
    "what it raises ends the save. Raises StorageError (an OSError),\n"
    "InvalidArgumentError (a ValueError).";

PyObject *pyddb_save(pyddb_state *state, ddb_db *db, pyddb_snapshot *snapshot,
                     PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const pyddb_signature signature = {"save", names, 3, 2, 1};
  progress p;
  PyObject *path = parse(state, &signature, args, count, kw, &p);
  if (!path) {
    return NULL;
  }
  const char *bytes = PyBytes_AS_STRING(path);
  ddb_error err;
  pyddb_detach();
  ddb_status status = snapshot
                          ? ddb_snapshot_save_json(snapshot->snapshot, bytes, on_progress, &p, &err)
                          : ddb_db_save_json(db, bytes, on_progress, &p, &err);
  pyddb_attach();
  Py_DECREF(path);
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
}

/* ---- load ---------------------------------------------------------------------------------- */

const char pyddb_load_doc[] =
    "load($type, filename, file_format=None, *, progress=None)\n--\n\n"
    "Returns a new database with what a file holds; the layout of the original\n"
    "DictDB is read too. The arguments are those of save.\n\n"
    "Raises CorruptFileError (with offset, the byte position), MissingFileError (a\n"
    "FileNotFoundError), StorageError, InvalidArgumentError.";

ddb_db *pyddb_load(pyddb_state *state, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const pyddb_signature signature = {"load", names, 3, 2, 1};
  progress p;
  PyObject *path = parse(state, &signature, args, count, kw, &p);
  if (!path) {
    return NULL;
  }
  ddb_db *db = NULL;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_load_json(PyBytes_AS_STRING(path), on_progress, &p, &db, &err);
  pyddb_attach();
  Py_DECREF(path);
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
    return NULL;
  }
  return db;
}
