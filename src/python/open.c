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
  size_t choice;
  if (given && !PyUnicode_Check(given)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "durability must be str, not '%s'",
                       Py_TYPE(given)->tp_name);
    return -1;
  }
  if (pyddb_choice_argument(state, given, "durability", levels, 3, &choice) < 0) {
    return -1;
  }
  *out = (ddb_durability)choice;
  return 0;
}

static int take_interval(pyddb_state *state, PyObject *given, uint64_t *out_ns) {
  *out_ns = 0;
  if (!given) {
    return 0;
  }
  double seconds;
  if (pyddb_number_argument(state, given, "interval", &seconds) < 0) {
    return -1;
  }
  if (!(seconds >= 0.001 && seconds <= 86400.0)) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "interval is 0.001 to 86400 seconds, not %R", given);
    return -1;
  }
  *out_ns = (uint64_t)llround(seconds * 1e9);
  return 0;
}

/* In the main thread, when it next runs Python code. text: malloc, ours. */
static int log_text(const char *level, void *text) {
  PyObject *logging = PyImport_ImportModule("logging");
  PyObject *logger = logging ? PyObject_CallMethod(logging, "getLogger", "s", "dictdb") : NULL;
  PyObject *done = logger ? PyObject_CallMethod(logger, level, "ss", "%s", text) : NULL;
  if (!done) {
    PyErr_WriteUnraisable(logger);
  }
  Py_XDECREF(done);
  Py_XDECREF(logger);
  Py_XDECREF(logging);
  free(text);
  return 0;
}

static int log_failure(void *text) {
  return log_text("error", text);
}

static int log_checkpoint(void *text) {
  return log_text("info", text);
}

/* By the log's own thread, which Python does not know: it may not run Python code. */
static void note(int (*call)(void *text), const char *words) {
  char *text = Py_IsInitialized() ? strdup(words) : NULL;
  if (text && Py_AddPendingCall(call, text) < 0) {
    free(text); /* too many wait: log_info tells of it all the same */
  }
}

static void note_failure(void *context, const ddb_error *cause) {
  (void)context;
  note(log_failure, cause->message);
}

static void note_checkpoint(void *context, uint64_t commit, uint64_t size) {
  char text[100];
  (void)context;
  (void)snprintf(text, sizeof text, "checkpoint done by itself: commit %llu, %llu bytes",
                 (unsigned long long)commit, (unsigned long long)size);
  note(log_checkpoint, text);
}

ddb_db *pyddb_open(pyddb_state *state, PyObject *const *args, Py_ssize_t count, PyObject *kw,
                   pyddb_missing *missing) {
  static const char *const names[] = {"path", "durability", "interval", "missing", "progress"};
  static const pyddb_signature signature = {"open", names, 5, 2, 1};
  PyObject *slots[5];
  PyObject *path;
  pyddb_progress p;
  ddb_open_options options = {.progress = pyddb_progress_tell,
                              .context = &p,
                              .on_failure = note_failure,
                              .on_checkpoint = note_checkpoint};
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      take_durability(state, slots[1], &options.durability) < 0 ||
      take_interval(state, slots[2], &options.interval_ns) < 0 ||
      pyddb_missing_argument(state, slots[3], PYDDB_MISSING_IGNORE, missing) < 0 ||
      pyddb_path_argument(state, slots[0], "path", &path) < 0) {
    return NULL;
  }
  if (pyddb_progress_init(state, slots[4], "open", slots[0], &p) < 0) {
    Py_DECREF(path);
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
    db = NULL;
  }
  pyddb_progress_fini(&p);
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
      pyddb_progress_init(state, slots[0], "checkpoint", NULL, &p) < 0) {
    return NULL;
  }
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_db_checkpoint(db, pyddb_progress_tell, &p, &err);
  pyddb_attach();
  PyObject *result = finish(state, status, &err);
  pyddb_progress_fini(&p);
  return result;
}

const char pyddb_log_info_doc[] =
    "log_info($self)\n--\n\n"
    "What the log of an opened database has done, as a dict: durability; read_only (closed,\n"
    "or failed); commit, written_commit and synced_commit (the last commit, and those that\n"
    "the system and the disk have); log_bytes (to be read at the next open);\n"
    "checkpoint_bytes and checkpoint_commit of the newest checkpoint; checkpoints made since\n"
    "open, checkpoint_failures since the last one; checkpoint_error and failure, each a text\n"
    "or None. A checkpoint that the database makes by itself and that fails is also logged\n"
    "as an error, and tried again.\n"
    "Raises InvalidArgumentError for a database that is in memory only.";

static PyObject *text_of(const ddb_error *err) {
  return err->status == DDB_OK
             ? Py_NewRef(Py_None)
             : PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
}

PyObject *pyddb_log_info(pyddb_state *state, ddb_db *db) {
  static const char *const levels[] = {"commit", "interval", "none"};
  ddb_error err;
  ddb_log_info info;
  if (ddb_db_log_info(db, &info, &err) != DDB_OK) {
    return pyddb_raise(state, &err);
  }
  return Py_BuildValue(
      "{s:s,s:O,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:N,s:N}", "durability", levels[info.durability],
      "read_only", info.read_only ? Py_True : Py_False, "commit", (unsigned long long)info.commit,
      "written_commit", (unsigned long long)info.written_commit, "synced_commit",
      (unsigned long long)info.synced_commit, "log_bytes", (unsigned long long)info.log_bytes,
      "checkpoint_bytes", (unsigned long long)info.checkpoint_bytes, "checkpoint_commit",
      (unsigned long long)info.checkpoint_commit, "checkpoints",
      (unsigned long long)info.checkpoints, "checkpoint_failures",
      (unsigned long long)info.checkpoint_failures, "checkpoint_error",
      text_of(&info.checkpoint_error), "failure", text_of(&info.failure));
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
