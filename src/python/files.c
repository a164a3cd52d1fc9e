/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - save and load: path and format, progress, signals.
 *
 * The library works detached. Its progress calls are passed on at most every PROGRESS_NS, and the
 * first and the last always; each also runs pending signal handlers. What a handler or the progress
 * function raises ends the work and is what save or load raises.
 */
#include "pyddb.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PROGRESS_NS 20000000u

typedef enum format {
  FORMAT_JSON,
  FORMAT_NATIVE,
  FORMAT_PICKLE,
  FORMAT_DIRECTORY,
  FORMAT_UNKNOWN
} format;

/* What a call of save or load asks for. */
typedef struct request {
  PyObject *path; /* bytes, owned */
  format format;
  int compression;
} request;

static int progress_attached(void *context) {
  pyddb_progress *p = context;
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

int pyddb_progress_tell(void *context, uint64_t done, uint64_t total) {
  pyddb_progress *p = context;
  uint64_t now_ns = pyddb_now_ns();
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

static const char *const format_names[] = {"json", "dictdb", "pickle", "directory"}; /* by format */

static int format_by_name(pyddb_state *state, PyObject *given, format *out) {
  if (!PyUnicode_Check(given)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "file_format must be str or None, not '%s'",
                       Py_TYPE(given)->tp_name);
    return -1;
  }
  PyObject *text = PyObject_CallMethod(given, "lower", NULL);
  if (!text) {
    return -1;
  }
  size_t choice;
  int result =
      pyddb_choice_argument(state, text, "file_format", format_names, FORMAT_UNKNOWN, &choice);
  Py_DECREF(text);
  if (result == 0) {
    *out = (format)choice;
  }
  return result;
}

static bool has_suffix(PyObject *path, const char *suffix) {
  size_t size = (size_t)PyBytes_GET_SIZE(path);
  size_t suffix_size = strlen(suffix);
  return size > suffix_size &&
         memcmp(PyBytes_AS_STRING(path) + size - suffix_size, suffix, suffix_size) == 0;
}

static int format_by_suffix(PyObject *path, format *out) {
  PyObject *text = PyObject_CallMethod(path, "lower", NULL);
  if (!text) {
    return -1;
  }
  static const struct {
    const char *suffix;
    format format;
  } suffixes[] = {{".json", FORMAT_JSON},
                  {".dictdb", FORMAT_NATIVE},
                  {".ddb", FORMAT_NATIVE},
                  {".pickle", FORMAT_PICKLE},
                  {".pkl", FORMAT_PICKLE}};
  *out = FORMAT_UNKNOWN;
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    if (has_suffix(text, suffixes[i].suffix)) {
      *out = suffixes[i].format;
    }
  }
  Py_DECREF(text);
  return 0;
}

/* What is written when nothing says otherwise: the native format, but not into a file whose name says
 * that it is one table's text. */
static int default_format(pyddb_state *state, request *r) {
  static const char *const texts[] = {".csv", ".tsv", ".ndjson", ".jsonl"};
  if (r->format != FORMAT_UNKNOWN) {
    return 0;
  }
  PyObject *path = PyObject_CallMethod(r->path, "lower", NULL);
  if (!path) {
    return -1;
  }
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    if (has_suffix(path, texts[i])) {
      Py_DECREF(path);
      pyddb_raise_format(state, DDB_ERR_INVALID,
                         "a database is not saved as '*%s': export_csv and export_ndjson write one "
                         "table; file_format= says what else it is to be",
                         texts[i]);
      return -1;
    }
  }
  Py_DECREF(path);
  r->format = FORMAT_NATIVE;
  return 0;
}

/* With the exception of the conversion set: in words of ours when it is about the type or a NUL. */
static PyObject *refuse_path(pyddb_state *state, PyObject *path, const char *name) {
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    return pyddb_raise_format(state, DDB_ERR_TYPE, "%s must be a str or a Path, not '%s'", name,
                              Py_TYPE(path)->tp_name);
  }
  if (PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear();
    return pyddb_raise_format(state, DDB_ERR_INVALID, "%s %R cannot be the name of a file", name,
                              path);
  }
  return NULL;
}

int pyddb_path_argument(pyddb_state *state, PyObject *given, const char *name, PyObject **out) {
  if (!PyUnicode_FSConverter(given, out)) {
    refuse_path(state, given, name);
    return -1;
  }
  return 0;
}

/* The bar that a Python helper draws; NULL: an exception is set. */
static PyObject *progress_bar(pyddb_state *state, const char *verb, PyObject *path) {
  if (!state->progress_bar) {
    PyErr_SetString(PyExc_RuntimeError, "import dictdb, not dictdb._core: bars need it");
    return NULL;
  }
  return PyObject_CallFunction(state->progress_bar, "sO", verb, path ? path : Py_None);
}

int pyddb_progress_init(pyddb_state *state, PyObject *given, const char *verb, PyObject *path,
                        pyddb_progress *p) {
  *p = (pyddb_progress){0};
  if (!given || given == Py_None || given == Py_False) {
    return 0;
  }
  if (given == Py_True) {
    p->function = p->bar = progress_bar(state, verb, path);
    return p->bar ? 0 : -1;
  }
  if (!PyCallable_Check(given)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "progress must be callable or True, not '%s'",
                       Py_TYPE(given)->tp_name);
    return -1;
  }
  p->function = given;
  return 0;
}

void pyddb_progress_fini(pyddb_progress *p) {
  if (!p->bar) {
    return;
  }
#if PY_VERSION_HEX >= 0x030C0000
  PyObject *raised = PyErr_GetRaisedException();
#else
  PyObject *type, *raised, *trace;
  PyErr_Fetch(&type, &raised, &trace);
#endif
  PyObject *closed = PyObject_CallMethod(p->bar, "close", NULL);
  if (!closed) {
    PyErr_WriteUnraisable(p->bar);
  }
  Py_XDECREF(closed);
  Py_CLEAR(p->bar);
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(raised);
#else
  PyErr_Restore(type, raised, trace);
#endif
}

/* r->path is set, and owned by the caller. given: NULL, None or a name. */
static int take_format(pyddb_state *state, PyObject *given, request *r) {
  return given && given != Py_None ? format_by_name(state, given, &r->format)
                                   : format_by_suffix(r->path, &r->format);
}

/* ---- save ---------------------------------------------------------------------------------- */

const char pyddb_save_doc[] =
    "save($self, filename, file_format=None, *, compression=0, progress=None)\n--\n\n"
    "Writes one instant of all tables to a file, which is replaced as a whole or not\n"
    "at all. Readers and writers are not held up.\n\n"
    "filename: str or Path. file_format: 'dictdb' (the native format: fast, exact),\n"
    "'json', 'pickle' (plain data) or 'directory' (a new one, which open opens; a\n"
    "directory with files is refused), in any case; None: by the suffix .dictdb, .ddb,\n"
    ".json, .pickle or .pkl, else 'dictdb'. compression: of native files, 0 (none) or\n"
    "a level of zstd, 1 to 19. progress: called now and then\n"
    "with (done, total), total 0 when it is not known; what it raises ends the save.\n"
    "Raises StorageError (an OSError), InvalidArgumentError (a ValueError).";

static int take_compression(pyddb_state *state, PyObject *given, request *r) {
  r->compression = 0;
  if (!given) {
    return 0;
  }
  if (!PyLong_Check(given) || PyBool_Check(given)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "compression must be int, not '%s'",
                       Py_TYPE(given)->tp_name);
    return -1;
  }
  int overflow;
  long level = PyLong_AsLongAndOverflow(given, &overflow);
  if (overflow || level < 0 || level > DDB_COMPRESSION_MAX) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "compression is a level from 0 to %d, not %R",
                       DDB_COMPRESSION_MAX, given);
    return -1;
  }
  if (level && r->format != FORMAT_NATIVE && r->format != FORMAT_DIRECTORY) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "only files of the format 'dictdb' are compressed");
    return -1;
  }
  r->compression = (int)level;
  return 0;
}

static ddb_status save_to(ddb_db *db, pyddb_snapshot *snapshot, const request *r, pyddb_progress *p,
                          ddb_error *err) {
  const char *path = PyBytes_AS_STRING(r->path);
  ddb_save_options options = {r->compression, pyddb_progress_tell, p};
  if (r->format == FORMAT_NATIVE) {
    return snapshot ? ddb_snapshot_save(snapshot->snapshot, path, &options, err)
                    : ddb_db_save(db, path, &options, err);
  }
  if (r->format == FORMAT_DIRECTORY) {
    return snapshot ? ddb_snapshot_save_directory(snapshot->snapshot, path, &options, err)
                    : ddb_db_save_directory(db, path, &options, err);
  }
  return snapshot ? ddb_snapshot_save_json(snapshot->snapshot, path, pyddb_progress_tell, p, err)
                  : ddb_db_save_json(db, path, pyddb_progress_tell, p, err);
}

static PyObject *save_pickle(pyddb_state *state, ddb_db *db, pyddb_snapshot *snapshot,
                             const request *r, const pyddb_progress *p) {
  PyObject *seen = snapshot ? Py_NewRef((PyObject *)snapshot) : pyddb_snapshot_new(state, db);
  PyObject *result = seen ? PyObject_CallFunctionObjArgs(state->pickle_save, seen, r->path,
                                                         p->function ? p->function : Py_None, NULL)
                          : NULL;
  Py_XDECREF(seen);
  return result;
}

static PyObject *save_file(pyddb_state *state, ddb_db *db, pyddb_snapshot *snapshot,
                           const request *r, pyddb_progress *p) {
  if (r->format == FORMAT_PICKLE) {
    return save_pickle(state, db, snapshot, r, p);
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = save_to(db, snapshot, r, p, &err);
  pyddb_attach();
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
}

PyObject *pyddb_save(pyddb_state *state, ddb_db *db, pyddb_snapshot *snapshot,
                     PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"filename", "file_format", "compression", "progress"};
  static const pyddb_signature signature = {"save", names, 4, 2, 1};
  PyObject *slots[4];
  request r = {0};
  pyddb_progress p;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_path_argument(state, slots[0], "filename", &r.path) < 0) {
    return NULL;
  }
  if (pyddb_progress_init(state, slots[3], "save", slots[0], &p) < 0 ||
      take_format(state, slots[1], &r) < 0 || default_format(state, &r) < 0 ||
      take_compression(state, slots[2], &r) < 0) {
    pyddb_progress_fini(&p);
    Py_DECREF(r.path);
    return NULL;
  }
  PyObject *result = save_file(state, db, snapshot, &r, &p);
  Py_DECREF(r.path);
  pyddb_progress_fini(&p);
  return result;
}

/* ---- load ---------------------------------------------------------------------------------- */

const char pyddb_load_doc[] =
    "load($type, filename, file_format=None, *, progress=None)\n--\n\n"
    "Returns a new database with what a file holds; files of the original DictDB are\n"
    "read too. Of the directory of an opened database it reads what is there, open or\n"
    "not, and changes nothing. file_format: 'dictdb', 'json', 'pickle' or 'directory';\n"
    "None: that of a directory, by the\n"
    "suffix, else by what the file begins with. No code from the file is run, not of\n"
    "pickles either. The other arguments are those of save.\n\n"
    "Raises CorruptFileError (with offset, the byte position), MissingFileError (a\n"
    "FileNotFoundError), StorageError, InvalidArgumentError.";

static bool is_directory(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static ddb_db *load_from(pyddb_state *state, const request *r, pyddb_progress *p) {
  const char *path = PyBytes_AS_STRING(r->path);
  ddb_db *db = NULL;
  ddb_error err;
  pyddb_detach();
  ddb_status status;
  if (r->format == FORMAT_JSON) {
    status = ddb_db_load_json(path, pyddb_progress_tell, p, &db, &err);
  } else if (r->format == FORMAT_DIRECTORY || is_directory(path)) {
    status = ddb_directory_load(path, pyddb_progress_tell, p, &db, &err);
  } else {
    status = ddb_db_load(path, pyddb_progress_tell, p, &db, &err);
  }
  pyddb_attach();
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
    return NULL;
  }
  return db;
}

static int format_by_content(pyddb_state *state, request *r) {
  const char *path = PyBytes_AS_STRING(r->path);
  ddb_error err;
  pyddb_detach();
  bool native = is_directory(path);
  ddb_status status = native ? DDB_OK : ddb_file_is_native(path, &native, &err);
  pyddb_attach();
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
    return -1;
  }
  if (native) {
    r->format = FORMAT_NATIVE;
    return 0;
  }
  PyObject *pickled = PyObject_CallOneArg(state->pickle_is_one, r->path);
  int result = pickled ? PyObject_IsTrue(pickled) : -1;
  Py_XDECREF(pickled);
  r->format = result > 0 ? FORMAT_PICKLE : FORMAT_JSON;
  return result < 0 ? -1 : 0;
}

static int load_request(pyddb_state *state, PyObject *const *slots, request *r, pyddb_progress *p) {
  if (pyddb_path_argument(state, slots[0], "filename", &r->path) < 0) {
    return -1;
  }
  if (pyddb_progress_init(state, slots[2], "load", slots[0], p) < 0 ||
      take_format(state, slots[1], r) < 0) {
    return -1;
  }
  return r->format == FORMAT_UNKNOWN ? format_by_content(state, r) : 0;
}

ddb_db *pyddb_load(pyddb_state *state, PyObject *class, PyObject *const *args, Py_ssize_t count,
                   PyObject *kw, PyObject **object) {
  static const char *const names[] = {"filename", "file_format", "progress"};
  static const pyddb_signature signature = {"load", names, 3, 2, 1};
  PyObject *slots[3];
  request r = {0};
  pyddb_progress p = {0};
  ddb_db *db = NULL;
  *object = NULL;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0) {
    return NULL;
  }
  if (load_request(state, slots, &r, &p) == 0) {
    if (r.format == FORMAT_PICKLE) {
      *object = PyObject_CallFunctionObjArgs(state->pickle_load, class, r.path,
                                             p.function ? p.function : Py_None, NULL);
    } else {
      db = load_from(state, &r, &p);
    }
  }
  Py_XDECREF(r.path);
  pyddb_progress_fini(&p);
  return db;
}

/* ---- A file in a format of Python's --------------------------------------------------------- */

typedef struct pieces {
  PyObject *iterator;
  PyObject *piece; /* the last one, owned; NULL: none yet, or the end */
} pieces;

static int next_piece(void *context) {
  pieces *p = context;
  Py_XSETREF(p->piece, PyIter_Next(p->iterator));
  if (p->piece && (!PyBytes_Check(p->piece) || PyBytes_GET_SIZE(p->piece) == 0)) {
    PyErr_SetString(PyExc_TypeError, "pieces of a file are bytes, and none is empty");
  }
  return PyErr_Occurred() ? -1 : 0;
}

static ddb_status next_chunk(void *context, const void **data, size_t *size, ddb_error *err) {
  pieces *p = context;
  if (pyddb_detached_call(next_piece, p) < 0) {
    *err = (ddb_error){.status = DDB_ERR_INTERRUPTED};
    return DDB_ERR_INTERRUPTED;
  }
  *data = p->piece ? PyBytes_AS_STRING(p->piece) : NULL;
  *size = p->piece ? (size_t)PyBytes_GET_SIZE(p->piece) : 0;
  return DDB_OK;
}

const char pyddb_replace_file_doc[] =
    "_replace_file(path, pieces, /)\n--\n\n"
    "Replaces a file, whole or not at all, by an iterator's bytes objects, none empty.";

PyObject *pyddb_replace_file(PyObject *module, PyObject *args) {
  pyddb_state *state = PyModule_GetState(module);
  PyObject *path, *iterable;
  if (!PyArg_ParseTuple(args, "SO:_replace_file", &path, &iterable)) {
    return NULL;
  }
  pieces p = {.iterator = PyObject_GetIter(iterable)};
  if (!p.iterator) {
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_file_replace(PyBytes_AS_STRING(path), next_chunk, &p, &err);
  pyddb_attach();
  PyObject *result = status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
  Py_XDECREF(p.piece);
  Py_DECREF(p.iterator);
  return result;
}
