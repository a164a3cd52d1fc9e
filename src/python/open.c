/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c - databases in a directory: open, sync, checkpoint, close.
 *
 * All of it may wait for the disk, so the library works detached.
 */
#include "pyddb.h"

#include <math.h>

const char pyddb_open_doc[] =
    "open($type, path, durability='commit', *, interval=1.0, missing='ignore',\n"
    "     progress=None)\n--\n\n"
    "Opens a database whose commits are kept in a directory, which is made if it is not\n"
    "there. Use it with `with`, or close it.\n\n"
    "durability: what a statement that returned survives. 'commit': a crash of the\n"
    "machine. 'interval': a crash of the process; of the machine but for the last\n"
    "`interval` seconds. 'none': a crash of the process; of the machine but for what the\n"
    "system has not written. progress: as in load.\n"
    "Raises DatabaseInUseError (open elsewhere; the message says in which process),\n"
    "CorruptFileError, StorageError, InvalidArgumentError. Statements raise\n"
    "ReadOnlyDatabaseError once the log could not be written.";

static int take_durability(pyddb_state *state, PyObject *given, ddb_durability *out) {
  static const char *const levels[] = {"commit", "interval", "none"};
  *out = DDB_DURABILITY_COMMIT;
  if (!given) {
    return 0;
  }
  for (int i = 0; PyUnicode_Check(given) && i < 3; i++) {
    if (PyUnicode_CompareWithASCIIString(given, levels[i]) == 0) {
      *out = (ddb_durability)i;
      return 0;
    }
  }
  pyddb_raise_format(state, PyUnicode_Check(given) ? DDB_ERR_INVALID : DDB_ERR_TYPE,
                     "durability is 'commit', 'interval' or 'none', not %R", given);
  return -1;
}

static int take_interval(pyddb_state *state, PyObject *given, uint64_t *out_ns) {
  *out_ns = 0;
  if (!given) {
    return 0;
  }
  double seconds = PyBool_Check(given) ? -1.0 : PyFloat_AsDouble(given);
  if (PyErr_Occurred()) {
    return -1;
  }
  if (!(seconds >= 0.001 && seconds <= 86400.0)) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "interval is 0.001 to 86400 seconds, not %R", given);
    return -1;
  }
  *out_ns = (uint64_t)llround(seconds * 1e9);
  return 0;
}

ddb_db *pyddb_open(pyddb_state *state, PyObject *const *args, Py_ssize_t count, PyObject *kw,
                   pyddb_missing *missing) {
  static const char *const names[] = {"path", "durability", "interval", "missing", "progress"};
  static const pyddb_signature signature = {"open", names, 5, 2, 1};
  PyObject *slots[5];
  PyObject *path;
  pyddb_progress p;
  ddb_open_options options = {.progress = pyddb_progress_tell, .context = &p};
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      take_durability(state, slots[1], &options.durability) < 0 ||
      take_interval(state, slots[2], &options.interval_ns) < 0 ||
      pyddb_missing_argument(state, slots[3], PYDDB_MISSING_IGNORE, missing) < 0 ||
      pyddb_progress_init(state, slots[4], &p) < 0 ||
      pyddb_path_argument(state, slots[0], "path", &path) < 0) {
    return NULL;
  }
  ddb_db *db = NULL;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_open(PyBytes_AS_STRING(path), &options, &db, &err);
  pyddb_attach();
  Py_DECREF(path);
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
    return NULL;
  }
  return db;
}

static PyObject *finish(pyddb_state *state, ddb_status status, const ddb_error *err) {
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(state, err);
}

const char pyddb_sync_doc[] =
    "sync($self)\n--\n\n"
    "Returns when everything committed so far is on the disk, whatever the durability.\n"
    "Raises ReadOnlyDatabaseError; InvalidArgumentError for a database that is in memory\n"
    "only.";

PyObject *pyddb_sync(pyddb_state *state, ddb_db *db) {
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_sync(db, &err);
  pyddb_attach();
  return finish(state, status, &err);
}

const char pyddb_checkpoint_doc[] =
    "checkpoint($self, *, progress=None)\n--\n\n"
    "Writes one instant of the database to the directory and trims the log. It is also\n"
    "done when the log has grown, and by close. Readers and writers are not held up.\n"
    "Raises StorageError (the log goes on), ReadOnlyDatabaseError, InvalidArgumentError.";

PyObject *pyddb_checkpoint(pyddb_state *state, ddb_db *db, PyObject *const *args, Py_ssize_t count,
                           PyObject *kw) {
  static const char *const names[] = {"progress"};
  static const pyddb_signature signature = {"checkpoint", names, 1, 0, 0};
  PyObject *slots[1];
  pyddb_progress p;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_progress_init(state, slots[0], &p) < 0) {
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_checkpoint(db, pyddb_progress_tell, &p, &err);
  pyddb_attach();
  return finish(state, status, &err);
}

const char pyddb_close_doc[] =
    "close($self)\n--\n\n"
    "Of a database that was opened in a directory: checkpoint, sync, and the directory is\n"
    "free for others. Reads go on; statements raise ReadOnlyDatabaseError. Else nothing.";

PyObject *pyddb_close(pyddb_state *state, ddb_db *db) {
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_close(db, &err);
  pyddb_attach();
  return finish(state, status, &err);
}
