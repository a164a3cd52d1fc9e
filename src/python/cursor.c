/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor.c - Cursor: the records of a query little by little; what iter(table) is, too.
 *
 *   ddb_cursor --refill (detached)--> batch [at, count) --take--> record --read--> object
 *
 * The ddb_cursor holds its version by itself, so the object depends on no thread and on no snapshot.
 * Batches grow from one record to batch_size, so that the first record comes at once.
 *
 * Thread-safety: shared; each record goes to one of the threads that ask. `lock` guards the batch and
 * the ddb_cursor, and no Python code runs while it is held; a thread that waits for it is detached.
 * Callables are asked about a record by the thread that took it. Which records distinct, offset and
 * limit leave would then depend on the threads: with these, callables are asked when the cursor opens.
 * `users` counts the calls that use records, and until it is closed the object itself: whoever brings
 * it to zero closes the ddb_cursor. `reader` is used by one call at a time (reader_busy); another
 * call makes one of its own.
 */
#include "pyddb.h"

#include <pythread.h>
#include <structmember.h>

#define BATCH_SIZE     256u
#define BATCH_SIZE_MAX 65536u
#define SHORT_RECORDS  256u
#define UNKNOWN        UINT64_MAX

typedef struct pyddb_cursor {
  PyObject_HEAD pyddb_state *state;
  pyddb_source *source;
  pyddb_query query;
  ddb_cursor *core; /* NULL: closed */
  PyObject *code;   /* callables still to be asked; NULL: none */
  bool is_found;    /* `found` is the one batch, made when the cursor opened */
  ddb_records found;
  PyThread_type_lock lock;
  bool detaches;            /* the table is large enough */
  const ddb_record **batch; /* [batch_size] */
  size_t batch_size;
  size_t at;     /* the next one in the batch */
  size_t count;  /* in the batch */
  size_t ask;    /* how many to fetch next */
  uint64_t left; /* records to come, or UNKNOWN */
  _Atomic uint32_t users;
  _Atomic bool closed;
  _Atomic bool exhausted; /* closed because nothing is left */
  _Atomic bool reader_busy;
  pyddb_reader reader;
  PyObject *weak_list;
} pyddb_cursor;

/* ---- Use ----------------------------------------------------------------------------------- */

static bool cursor_use(pyddb_cursor *cursor) {
  uint32_t users = atomic_load(&cursor->users);
  while (users > 0 && !atomic_load(&cursor->closed)) {
    if (atomic_compare_exchange_weak(&cursor->users, &users, users + 1)) {
      return true;
    }
  }
  return false;
}

static void cursor_unuse(pyddb_cursor *cursor) {
  if (atomic_fetch_sub(&cursor->users, 1) == 1) {
    ddb_cursor_close(cursor->core);
    cursor->core = NULL;
  }
}

static void close_once(pyddb_cursor *cursor) {
  if (!atomic_exchange(&cursor->closed, true)) {
    cursor_unuse(cursor);
  }
}

static void cursor_lock(pyddb_cursor *cursor) {
  if (!PyThread_acquire_lock(cursor->lock, NOWAIT_LOCK)) {
    Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(cursor->lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
  }
}

/* ---- Opening ------------------------------------------------------------------------------- */

static pyddb_cursor *cursor_new(pyddb_source *source) {
  PyTypeObject *type = source->state->cursor_type;
  pyddb_cursor *cursor = (pyddb_cursor *)type->tp_alloc(type, 0);
  if (!cursor) {
    return NULL;
  }
  cursor->state = source->state;
  cursor->source = (pyddb_source *)Py_NewRef((PyObject *)source);
  atomic_store(&cursor->closed, true);
  cursor->lock = PyThread_allocate_lock();
  if (!cursor->lock) {
    Py_DECREF(cursor);
    PyErr_NoMemory();
    return NULL;
  }
  return cursor;
}

/* Where all records are wanted their number is known. */
static uint64_t count_ahead(const pyddb_cursor *cursor, uint64_t count) {
  const ddb_query *query = &cursor->query.core;
  if (cursor->is_found) {
    return cursor->found.count;
  }
  if (cursor->query.where || query->distinct) {
    return UNKNOWN;
  }
  count -= query->offset < count ? query->offset : count;
  return count < query->limit ? count : query->limit;
}

static bool is_whole(const ddb_query *query) {
  return !query->distinct && query->offset == 0 && query->limit == DDB_NO_LIMIT;
}

/* Through the caller's view: all that the callables leave, or the ddb_cursor that will find it. Either
 * holds the version. */
static int open_core(pyddb_cursor *cursor, const ddb_view *view) {
  pyddb_cond *where = cursor->query.where;
  ddb_query query = cursor->query.core;
  query.where = where ? where->cond : NULL;
  if (where && where->code) {
    if (pyddb_code_check(cursor->source, where->code) < 0) {
      return -1;
    }
    if (is_whole(&query)) {
      cursor->code = Py_NewRef(where->code);
    } else {
      cursor->is_found = true;
      if (pyddb_view_select(cursor->source, view, where, &query, &cursor->found) < 0) {
        return -1;
      }
    }
  }
  ddb_error err;
  if (ddb_cursor_open(view, &query, &cursor->core, &err) != DDB_OK) {
    pyddb_raise(cursor->state, &err);
    return -1;
  }
  return 0;
}

static int cursor_open(pyddb_cursor *cursor, uint64_t batch_size) {
  pyddb_source *source = cursor->source;
  cursor->batch_size = batch_size < BATCH_SIZE_MAX ? (size_t)batch_size : BATCH_SIZE_MAX;
  cursor->batch = PyMem_Calloc(cursor->batch_size, sizeof *cursor->batch);
  if (!cursor->batch) {
    PyErr_NoMemory();
    return -1;
  }
  ddb_view view;
  if (pyddb_reader_init(&cursor->reader, source, &cursor->query) < 0 ||
      pyddb_view_open(source, &view) < 0) {
    return -1;
  }
  uint64_t record_count = ddb_view_count(&view);
  int result = open_core(cursor, &view);
  pyddb_view_close(source, &view);
  if (result < 0) {
    return -1;
  }
  cursor->detaches = record_count > SHORT_RECORDS;
  cursor->left = count_ahead(cursor, record_count);
  Py_CLEAR(cursor->query.where); /* its parts are where they are needed now */
  cursor->ask = 1;
  atomic_store(&cursor->users, 1);
  atomic_store(&cursor->closed, false);
  return 0;
}

static PyObject *cursor_make(pyddb_source *source, PyObject *const *slots, uint64_t batch_size) {
  pyddb_cursor *cursor = cursor_new(source);
  if (cursor && (pyddb_query_init(source, &cursor->query, slots) < 0 ||
                 cursor_open(cursor, batch_size) < 0)) {
    Py_CLEAR(cursor);
  }
  return (PyObject *)cursor;
}

PyObject *pyddb_source_iter(PyObject *self) {
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  return cursor_make((pyddb_source *)self, slots, BATCH_SIZE);
}

const char pyddb_iter_doc[] =
    "iter($self, where=None, *, columns=None, order_by=None, limit=None,\n"
    "     offset=0, copy=True, distinct=False, batch_size=256)\n--\n\n"
    "Returns a Cursor: an iterator over the records that select() would give, all\n"
    "of one instant, which fetches at most batch_size of them at a time. Without\n"
    "order_by the first comes at once, and memory does not grow with the table.";

PyObject *pyddb_source_iter_by(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  static const char *const names[] = {"where",  "columns", "order_by", "limit",
                                      "offset", "copy",    "distinct", "batch_size"};
  static const pyddb_signature signature = {"iter", names, 8, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[8];
  uint64_t batch_size = BATCH_SIZE;
  if (pyddb_bind(&signature, args, count, kw, given) < 0 ||
      (given[7] && pyddb_count_argument(source->state, given[7], "batch_size", &batch_size) < 0)) {
    return NULL;
  }
  if (batch_size == 0) {
    return pyddb_raise_format(source->state, DDB_ERR_INVALID, "batch_size must be at least 1");
  }
  PyObject *slots[PYDDB_QUERY_SLOTS] = {
      [PYDDB_WHERE] = given[0],    [PYDDB_COLUMNS] = given[1], [PYDDB_ORDER_BY] = given[2],
      [PYDDB_LIMIT] = given[3],    [PYDDB_OFFSET] = given[4],  [PYDDB_COPY] = given[5],
      [PYDDB_DISTINCT] = given[6],
  };
  return cursor_make(source, slots, batch_size);
}

/* ---- Records ------------------------------------------------------------------------------- */

/* Fetches the next batch. Under `lock`. */
static ddb_status refill(pyddb_cursor *cursor, ddb_error *err) {
  size_t count = 0;
  if (cursor->detaches) {
    pyddb_detach();
  }
  ddb_status status = ddb_cursor_next(cursor->core, cursor->batch, cursor->ask, &count, err);
  if (cursor->detaches) {
    pyddb_attach();
  }
  if (status == DDB_OK) {
    cursor->at = 0;
    cursor->count = count;
    size_t more = cursor->ask * 2;
    cursor->ask = more < cursor->batch_size ? more : cursor->batch_size;
  }
  return status;
}

/* The next record that was found. Under `lock`. */
static ddb_status next_record(pyddb_cursor *cursor, const ddb_record **record, ddb_error *err) {
  *record = NULL;
  if (cursor->is_found) {
    if (cursor->at < cursor->found.count) {
      *record = cursor->found.items[cursor->at++];
    }
    return DDB_OK;
  }
  ddb_status status = cursor->at == cursor->count ? refill(cursor, err) : DDB_OK;
  if (status == DDB_OK && cursor->at < cursor->count) {
    *record = cursor->batch[cursor->at++];
  }
  return status;
}

/* The next record for the caller, who uses the cursor; NULL at the end. */
static int take(pyddb_cursor *cursor, const ddb_record **record) {
  ddb_error err;
  cursor_lock(cursor);
  ddb_status status = next_record(cursor, record, &err);
  cursor->left -= *record && cursor->left != UNKNOWN;
  PyThread_release_lock(cursor->lock);
  if (status != DDB_OK) {
    pyddb_raise(cursor->state, &err);
    return -1;
  }
  return 0;
}

static PyObject *read_record(pyddb_cursor *cursor, const ddb_record *record) {
  if (!atomic_exchange(&cursor->reader_busy, true)) {
    PyObject *result = pyddb_reader_read(&cursor->reader, record);
    atomic_store(&cursor->reader_busy, false);
    return result;
  }
  pyddb_reader reader;
  if (pyddb_reader_init(&reader, cursor->source, &cursor->query) < 0) {
    return NULL;
  }
  PyObject *result = pyddb_reader_read(&reader, record);
  pyddb_reader_fini(&reader);
  return result;
}

/* The next record that the callables hold for, too. */
static int take_matching(pyddb_cursor *cursor, const ddb_record **record) {
  int answer = 0;
  while (answer == 0) {
    if (take(cursor, record) < 0) {
      return -1;
    }
    if (!*record || !cursor->code) {
      return 0;
    }
    PyObject *view = NULL;
    answer = pyddb_code_matches(cursor->source, cursor->code, *record, &view);
    Py_XDECREF(view);
  }
  return answer < 0 ? -1 : 0;
}

/* The next object; NULL without exception at the end. */
static PyObject *next_used(pyddb_cursor *cursor) {
  const ddb_record *record;
  if (take_matching(cursor, &record) < 0) {
    return NULL;
  }
  if (!record) {
    atomic_store(&cursor->exhausted, true);
    close_once(cursor);
    return NULL;
  }
  return read_record(cursor, record);
}

static PyObject *raise_closed(pyddb_cursor *cursor) {
  return pyddb_raise_format(cursor->state, DDB_ERR_INVALID, "the cursor is closed");
}

static PyObject *cursor_next(PyObject *self) {
  pyddb_cursor *cursor = (pyddb_cursor *)self;
  if (!cursor_use(cursor)) {
    return atomic_load(&cursor->exhausted) ? NULL : raise_closed(cursor);
  }
  PyObject *result = next_used(cursor);
  cursor_unuse(cursor);
  return result;
}

PyDoc_STRVAR(fetch_doc, "fetch($self, count=None)\n--\n\n"
                        "Returns the next records, at most count (None: batch_size) of them, as a\n"
                        "list; an empty one at the end.");

static PyObject *cursor_fetch(PyObject *self, PyObject *const *args, Py_ssize_t arg_count,
                              PyObject *kw) {
  static const char *const names[] = {"count"};
  static const pyddb_signature signature = {"fetch", names, 1, 1, 0};
  pyddb_cursor *cursor = (pyddb_cursor *)self;
  PyObject *slots[1];
  uint64_t count = cursor->batch_size;
  if (pyddb_bind(&signature, args, arg_count, kw, slots) < 0 ||
      (slots[0] && slots[0] != Py_None &&
       pyddb_count_argument(cursor->state, slots[0], "count", &count) < 0)) {
    return NULL;
  }
  if (!cursor_use(cursor)) {
    return atomic_load(&cursor->exhausted) ? PyList_New(0) : raise_closed(cursor);
  }
  PyObject *list = PyList_New(0);
  pyddb_breath breath = {0};
  for (uint64_t i = 0; list && i < count; i++) {
    PyObject *item = next_used(cursor);
    if (!item) {
      break;
    }
    if (PyList_Append(list, item) < 0 || pyddb_breathe(&breath) < 0) {
      Py_CLEAR(list);
    }
    Py_DECREF(item);
  }
  if (PyErr_Occurred()) {
    Py_CLEAR(list);
  }
  cursor_unuse(cursor);
  return list;
}

static PyObject *cursor_length_hint(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_cursor *cursor = (pyddb_cursor *)self;
  cursor_lock(cursor);
  uint64_t left = atomic_load(&cursor->closed) ? 0 : cursor->left;
  PyThread_release_lock(cursor->lock);
  return left == UNKNOWN ? Py_NewRef(Py_NotImplemented) : PyLong_FromUnsignedLongLong(left);
}

/* ---- Closing ------------------------------------------------------------------------------- */

PyDoc_STRVAR(close_doc, "close($self)\n--\n\n"
                        "Lets go of the version. Calls that go on in other threads finish; later\n"
                        "ones raise InvalidArgumentError. Closing twice does nothing.");

static PyObject *cursor_close(PyObject *self, PyObject *unused) {
  (void)unused;
  close_once((pyddb_cursor *)self);
  Py_RETURN_NONE;
}

static PyObject *cursor_enter(PyObject *self, PyObject *unused) {
  (void)unused;
  return Py_NewRef(self);
}

static PyObject *cursor_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  (void)args;
  (void)count;
  return cursor_close(self, NULL);
}

static PyObject *get_closed(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(atomic_load(&((pyddb_cursor *)self)->closed));
}

static int cursor_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(((pyddb_cursor *)self)->source);
  Py_VISIT(((pyddb_cursor *)self)->code);
  return 0;
}

static int cursor_clear(PyObject *self) {
  pyddb_cursor *cursor = (pyddb_cursor *)self;
  close_once(cursor);
  Py_CLEAR(cursor->code);
  return 0;
}

static void cursor_dealloc(PyObject *self) {
  pyddb_cursor *cursor = (pyddb_cursor *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (cursor->weak_list) {
    PyObject_ClearWeakRefs(self);
  }
  (void)cursor_clear(self);
  ddb_records_free(&cursor->found);
  pyddb_reader_fini(&cursor->reader);
  pyddb_query_fini(&cursor->query);
  PyMem_Free(cursor->batch);
  if (cursor->lock) {
    PyThread_free_lock(cursor->lock);
  }
  Py_XDECREF((PyObject *)cursor->source);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- The type ------------------------------------------------------------------------------ */

static PyMethodDef cursor_methods[] = {
    {"fetch", PYDDB_FAST(cursor_fetch), PYDDB_FAST_FLAGS, fetch_doc},
    {"close", cursor_close, METH_NOARGS, close_doc},
    {"__length_hint__", cursor_length_hint, METH_NOARGS, "Records left, where it is known."},
    {"__enter__", cursor_enter, METH_NOARGS, "Returns the cursor."},
    {"__exit__", PYDDB_FAST(cursor_exit), METH_FASTCALL, "Closes the cursor."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef cursor_getset[] = {
    {"closed", get_closed, NULL, "Whether it is closed, or at its end (bool).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef cursor_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pyddb_cursor, weak_list), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(cursor_doc,
             "An iterator over the records of one instant, from table.iter() or iter(table).\n"
             "Any thread may use and close it; each record goes to one of them. What it sees\n"
             "stays in memory until it is at its end, closed, or gone.");

static PyType_Slot cursor_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, cursor_dealloc),
    PYDDB_SLOT(Py_tp_traverse, cursor_traverse),
    PYDDB_SLOT(Py_tp_clear, cursor_clear),
    PYDDB_SLOT(Py_tp_iter, PyObject_SelfIter),
    PYDDB_SLOT(Py_tp_iternext, cursor_next),
    {Py_tp_methods, cursor_methods},
    {Py_tp_getset, cursor_getset},
    {Py_tp_members, cursor_members},
    {Py_tp_doc, (void *)(uintptr_t)cursor_doc},
    {0, NULL},
};

PyType_Spec pyddb_cursor_spec = {
    .name = "dictdb._core.Cursor",
    .basicsize = sizeof(pyddb_cursor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = cursor_slots,
};
