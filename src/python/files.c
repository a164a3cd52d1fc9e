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

typedef enum format { FORMAT_JSON, FORMAT_NATIVE, FORMAT_BY_CONTENT } format;

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

static int refuse_format(pyddb_state *state, PyObject *given, const char *what) {
  pyddb_raise_format(state, DDB_ERR_INVALID, "%s %R; the formats are: 'json', 'dictdb'", what,
                     given);
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
  bool json = PyUnicode_CompareWithASCIIString(text, "json") == 0;
  bool native = PyUnicode_CompareWithASCIIString(text, "dictdb") == 0;
  Py_DECREF(text);
  *out = json ? FORMAT_JSON : FORMAT_NATIVE;
  return json || native ? 0 : refuse_format(state, given, "unknown file_format");
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
  *out = has_suffix(text, ".json")                                 ? FORMAT_JSON
         : has_suffix(text, ".dictdb") || has_suffix(text, ".ddb") ? FORMAT_NATIVE
                                                                   : FORMAT_BY_CONTENT;
  Py_DECREF(text);
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
    "filename: str or Path. file_format: 'dictdb' (the native format: fast, exact) or\n"
    "'json', in any case; None: by the suffix, .dictdb or .ddb, .json. compression: of\n"
    "native files, 0 (none) or a level of zstd, 1 to 19. progress: called now and then\n"
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
  if (level && r->format == FORMAT_JSON) {
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
  return snapshot ? ddb_snapshot_save_json(snapshot->snapshot, path, pyddb_progress_tell, p, err)
                  : ddb_db_save_json(db, path, pyddb_progress_tell, p, err);
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
      take_format(state, slots[1], &r) < 0 ||
      (r.format == FORMAT_BY_CONTENT && refuse_suffix(state, r.path) < 0) ||
      take_compression(state, slots[2], &r) < 0) {
    pyddb_progress_fini(&p);
    Py_DECREF(r.path);
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = save_to(db, snapshot, &r, &p, &err);
  pyddb_attach();
  Py_DECREF(r.path);
  PyObject *result = status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, &err);
  pyddb_progress_fini(&p);
  return result;
}

/* ---- load ---------------------------------------------------------------------------------- */

const char pyddb_load_doc[] =
    "load($type, filename, file_format=None, *, progress=None)\n--\n\n"
    "Returns a new database with what a file holds; the layout of the original\n"
    "DictDB is read too. Of the directory of an opened database it reads what is there,\n"
    "open or not, and changes nothing. file_format: 'dictdb' or 'json'; None: by the suffix, else "
    "by\n"
    "what the file begins with. The other arguments are those of save.\n\n"
    "Raises CorruptFileError (with offset, the byte position), MissingFileError (a\n"
    "FileNotFoundError), StorageError, InvalidArgumentError.";

static ddb_status load_from(const request *r, pyddb_progress *p, ddb_db **db, ddb_error *err) {
  const char *path = PyBytes_AS_STRING(r->path);
  bool native = r->format == FORMAT_NATIVE;
  struct stat found;
  if (r->format != FORMAT_JSON && stat(path, &found) == 0 && S_ISDIR(found.st_mode)) {
    return ddb_directory_load(path, pyddb_progress_tell, p, db, err);
  }
  if (r->format == FORMAT_BY_CONTENT) {
    ddb_status status = ddb_file_is_native(path, &native, err);
    if (status != DDB_OK) {
      return status;
    }
  }
  return native ? ddb_db_load(path, pyddb_progress_tell, p, db, err)
                : ddb_db_load_json(path, pyddb_progress_tell, p, db, err);
}

ddb_db *pyddb_load(pyddb_state *state, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"filename", "file_format", "progress"};
  static const pyddb_signature signature = {"load", names, 3, 2, 1};
  PyObject *slots[3];
  request r = {0};
  pyddb_progress p;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_path_argument(state, slots[0], "filename", &r.path) < 0) {
    return NULL;
  }
  if (pyddb_progress_init(state, slots[2], "load", slots[0], &p) < 0 ||
      take_format(state, slots[1], &r) < 0) {
    pyddb_progress_fini(&p);
    Py_DECREF(r.path);
    return NULL;
  }
  ddb_db *db = NULL;
  ddb_error err;
  pyddb_detach();
  ddb_status status = load_from(&r, &p, &db, &err);
  pyddb_attach();
  Py_DECREF(r.path);
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
    db = NULL;
  }
  pyddb_progress_fini(&p);
  return db;
}
