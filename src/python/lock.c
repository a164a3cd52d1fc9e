/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.c - RWLock, alone or of a table, and the guards that read_lock() and write_lock() return.
 *
 * A table's lock object holds a reference to the ddb_table, not to the Table object: no cycle. What
 * it locks lives as long as it does. `hold_count` counts what was acquired through this object and
 * not yet released. An object that dies while a thread still holds it lets its own thread's holds
 * go; should another thread hold it, the C lock is left allocated, for nothing may free it then.
 */
#include "pyddb.h"

typedef struct pyddb_lock {
  PyObject_HEAD pyddb_state *state;
  ddb_rwlock *lock;
  ddb_table *table; /* NULL: the lock stands alone and is owned */
  PyObject *name;   /* str or None */
  _Atomic int64_t hold_count;
} pyddb_lock;

typedef struct pyddb_guard {
  PyObject_HEAD pyddb_lock *lock; /* strong */
  int64_t timeout_ns;
  bool is_write;
} pyddb_guard;

/* ---- Making and freeing -------------------------------------------------------------------- */

PyObject *pyddb_lock_new(pyddb_state *state, ddb_table *table, PyObject *name) {
  pyddb_lock *lock = (pyddb_lock *)state->lock_type->tp_alloc(state->lock_type, 0);
  if (lock) {
    lock->state = state;
    lock->name = Py_NewRef(name);
    lock->table = ddb_table_acquire(table);
    lock->lock = ddb_table_lock(table);
  }
  return (PyObject *)lock;
}

static PyObject *lock_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"name"};
  static const pyddb_signature signature = {"RWLock", names, 1, 1, 0};
  PyObject *slots[1];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0) {
    return NULL;
  }
  pyddb_text name = {.str = DDB_STR("RWLock")};
  if (slots[0] && slots[0] != Py_None) {
    if (!PyUnicode_Check(slots[0])) {
      return pyddb_raise_format(state, DDB_ERR_TYPE, "a lock's name must be str, not '%s'",
                                Py_TYPE(slots[0])->tp_name);
    }
    if (pyddb_text_init(&name, slots[0]) < 0) {
      return NULL;
    }
  }
  pyddb_lock *lock = (pyddb_lock *)type->tp_alloc(type, 0);
  ddb_error err;
  if (lock) {
    lock->state = state;
    lock->name = Py_NewRef(slots[0] ? slots[0] : Py_None);
    if (ddb_rwlock_new(name.str, &lock->lock, &err) != DDB_OK) {
      lock->lock = NULL;
      Py_CLEAR(lock);
      pyddb_raise(state, &err);
    }
  }
  pyddb_text_fini(&name);
  return (PyObject *)lock;
}

/* The lock's end may fail for what was written under it: it is released all the same. */
static bool is_released(ddb_status status) {
  return status == DDB_OK || status == DDB_ERR_READ_ONLY;
}

static void release_own_holds(pyddb_lock *lock) {
  while (atomic_load(&lock->hold_count) > 0 &&
         (ddb_rwlock_release_read(lock->lock, NULL) == DDB_OK ||
          is_released(ddb_rwlock_release_write(lock->lock, NULL)))) {
    atomic_fetch_sub(&lock->hold_count, 1);
  }
}

static void lock_dealloc(PyObject *self) {
  pyddb_lock *lock = (pyddb_lock *)self;
  PyTypeObject *type = Py_TYPE(self);
  if (lock->table) {
    /* The table's lock is left as it is: what a thread holds, it holds. */
    if (atomic_load(&lock->hold_count) == 0) {
      ddb_table_release(lock->table);
    }
  } else if (lock->lock) {
    release_own_holds(lock);
    if (atomic_load(&lock->hold_count) == 0) {
      ddb_rwlock_free(lock->lock);
    }
  }
  Py_XDECREF(lock->name);
  type->tp_free(self);
  Py_DECREF(type);
}

/* ---- Acquire and release ------------------------------------------------------------------- */

static ddb_status acquire(pyddb_lock *lock, bool is_write, int64_t timeout_ns, ddb_error *err) {
  ddb_status status = is_write ? ddb_rwlock_acquire_write(lock->lock, timeout_ns, err)
                               : ddb_rwlock_acquire_read(lock->lock, timeout_ns, err);
  if (status == DDB_OK) {
    atomic_fetch_add(&lock->hold_count, 1);
  }
  return status;
}

static PyObject *release(pyddb_lock *lock, bool is_write) {
  ddb_error err;
  ddb_status status = is_write ? ddb_rwlock_release_write(lock->lock, &err)
                               : ddb_rwlock_release_read(lock->lock, &err);
  if (is_released(status)) {
    atomic_fetch_sub(&lock->hold_count, 1);
  }
  return status == DDB_OK ? Py_NewRef(Py_None) : pyddb_raise(lock->state, &err);
}

/* blocking and timeout as threading.Lock.acquire() takes them. */
static int acquire_timeout(pyddb_state *state, PyObject *blocking_object, PyObject *timeout,
                           int64_t *timeout_ns) {
  bool blocking;
  if (pyddb_bool_argument(state, blocking_object, "blocking", true, &blocking) < 0) {
    return -1;
  }
  bool is_default = !timeout || timeout == Py_None;
  if (!is_default) {
    double seconds;
    if (pyddb_number_argument(state, timeout, "timeout", &seconds) < 0) {
      return -1;
    }
    is_default = seconds == -1.0;
  }
  if (!blocking && !is_default) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "a timeout has no meaning with blocking=False");
    return -1;
  }
  if (is_default) {
    *timeout_ns = blocking ? DDB_WAIT_FOREVER : 0;
    return 0;
  }
  return pyddb_timeout(state, timeout, timeout_ns);
}

static PyObject *acquire_method(PyObject *self, const pyddb_signature *signature, bool is_write,
                                PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  pyddb_lock *lock = (pyddb_lock *)self;
  PyObject *slots[2];
  int64_t timeout_ns;
  if (pyddb_bind(signature, args, count, kw, slots) < 0 ||
      acquire_timeout(lock->state, slots[0], slots[1], &timeout_ns) < 0) {
    return NULL;
  }
  ddb_error err;
  switch (acquire(lock, is_write, timeout_ns, &err)) {
  case DDB_OK:
    Py_RETURN_TRUE;
  case DDB_ERR_TIMEOUT:
    Py_RETURN_FALSE;
  default:
    return pyddb_raise(lock->state, &err);
  }
}

static const char *const acquire_names[] = {"blocking", "timeout"};

PyDoc_STRVAR(acquire_read_doc,
             "acquire_read($self, blocking=True, timeout=-1)\n--\n\n"
             "Acquires the read side. Returns False when it was not free at once\n"
             "(blocking=False) or within timeout seconds, else True. Raises DeadlockError\n"
             "when the wait could not end, ForkedProcessError in a forked child.");
static PyObject *lock_acquire_read(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *kw) {
  static const pyddb_signature signature = {"acquire_read", acquire_names, 2, 2, 0};
  return acquire_method(self, &signature, false, args, count, kw);
}

PyDoc_STRVAR(acquire_write_doc,
             "acquire_write($self, blocking=True, timeout=-1)\n--\n\n"
             "Acquires the write side; else as acquire_read. A thread that holds the read\n"
             "side is upgraded: it waits for the other readers.");
static PyObject *lock_acquire_write(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                    PyObject *kw) {
  static const pyddb_signature signature = {"acquire_write", acquire_names, 2, 2, 0};
  return acquire_method(self, &signature, true, args, count, kw);
}

PyDoc_STRVAR(release_read_doc, "release_read($self)\n--\n\n"
                               "Releases one hold of the read side; LockOwnershipError when this\n"
                               "thread has none.");
static PyObject *lock_release_read(PyObject *self, PyObject *unused) {
  (void)unused;
  return release((pyddb_lock *)self, false);
}

PyDoc_STRVAR(release_write_doc, "release_write($self)\n--\n\n"
                                "Releases one hold of the write side; LockOwnershipError when\n"
                                "this thread has none.");
static PyObject *lock_release_write(PyObject *self, PyObject *unused) {
  (void)unused;
  return release((pyddb_lock *)self, true);
}

/* ---- Guards -------------------------------------------------------------------------------- */

static PyObject *guard_method(PyObject *self, const pyddb_signature *signature, bool is_write,
                              PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  pyddb_lock *lock = (pyddb_lock *)self;
  PyObject *slots[1];
  int64_t timeout_ns;
  if (pyddb_bind(signature, args, count, kw, slots) < 0 ||
      pyddb_timeout(lock->state, slots[0], &timeout_ns) < 0) {
    return NULL;
  }
  PyTypeObject *type = lock->state->guard_type;
  pyddb_guard *guard = (pyddb_guard *)type->tp_alloc(type, 0);
  if (guard) {
    guard->lock = (pyddb_lock *)Py_NewRef(self);
    guard->timeout_ns = timeout_ns;
    guard->is_write = is_write;
  }
  return (PyObject *)guard;
}

static const char *const guard_names[] = {"timeout"};

PyDoc_STRVAR(read_lock_doc,
             "read_lock($self, timeout=None)\n--\n\n"
             "Returns a context manager that holds the read side: writers wait, and every\n"
             "read in the block sees one state. timeout: seconds, or None to wait; then\n"
             "LockTimeoutError is raised.");
static PyObject *lock_read_lock(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                PyObject *kw) {
  static const pyddb_signature signature = {"read_lock", guard_names, 1, 1, 0};
  return guard_method(self, &signature, false, args, count, kw);
}

PyDoc_STRVAR(write_lock_doc,
             "write_lock($self, timeout=None)\n--\n\n"
             "Returns a context manager that holds the write side: nobody else sees what\n"
             "the block writes before it ends. timeout: as read_lock.");
static PyObject *lock_write_lock(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw) {
  static const pyddb_signature signature = {"write_lock", guard_names, 1, 1, 0};
  return guard_method(self, &signature, true, args, count, kw);
}

static PyObject *guard_enter(PyObject *self, PyObject *unused) {
  (void)unused;
  pyddb_guard *guard = (pyddb_guard *)self;
  ddb_error err;
  if (acquire(guard->lock, guard->is_write, guard->timeout_ns, &err) != DDB_OK) {
    return pyddb_raise(guard->lock->state, &err);
  }
  return Py_NewRef((PyObject *)guard->lock);
}

static PyObject *guard_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
  (void)args;
  (void)count;
  pyddb_guard *guard = (pyddb_guard *)self;
  return release(guard->lock, guard->is_write);
}

static void guard_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF((PyObject *)((pyddb_guard *)self)->lock);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMethodDef guard_methods[] = {
    {"__enter__", guard_enter, METH_NOARGS, "Acquires; returns the lock."},
    {"__exit__", PYDDB_FAST(guard_exit), METH_FASTCALL, "Releases."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot guard_slots[] = {
    PYDDB_SLOT(Py_tp_dealloc, guard_dealloc),
    {Py_tp_methods, guard_methods},
    {0, NULL},
};

PyType_Spec pyddb_guard_spec = {
    .name = "dictdb._core._LockGuard",
    .basicsize = sizeof(pyddb_guard),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = guard_slots,
};

/* ---- The type ------------------------------------------------------------------------------ */

PyDoc_STRVAR(stats_doc,
             "stats($self)\n--\n\n"
             "Returns a dict: reads, writes (acquisitions), waits (those that had to wait),\n"
             "wait_seconds, read_hold_seconds, write_hold_seconds (sums, float).");

static PyObject *lock_stats(PyObject *self, PyObject *unused) {
  (void)unused;
  ddb_rwlock_stats stats;
  ddb_rwlock_stats_get(((pyddb_lock *)self)->lock, &stats);
  return Py_BuildValue(
      "{sKsKsKsdsdsd}", "reads", (unsigned long long)stats.read_count, "writes",
      (unsigned long long)stats.write_count, "waits", (unsigned long long)stats.wait_count,
      "wait_seconds", (double)stats.wait_ns * 1e-9, "read_hold_seconds",
      (double)stats.read_hold_ns * 1e-9, "write_hold_seconds", (double)stats.write_hold_ns * 1e-9);
}

static PyObject *lock_repr(PyObject *self) {
  PyObject *name = ((pyddb_lock *)self)->name;
  return name == Py_None ? PyUnicode_FromFormat("<RWLock at %p>", (void *)self)
                         : PyUnicode_FromFormat("<RWLock %R>", name);
}

static PyMethodDef lock_methods[] = {
    {"acquire_read", PYDDB_FAST(lock_acquire_read), PYDDB_FAST_FLAGS, acquire_read_doc},
    {"acquire_write", PYDDB_FAST(lock_acquire_write), PYDDB_FAST_FLAGS, acquire_write_doc},
    {"release_read", lock_release_read, METH_NOARGS, release_read_doc},
    {"release_write", lock_release_write, METH_NOARGS, release_write_doc},
    {"read_lock", PYDDB_FAST(lock_read_lock), PYDDB_FAST_FLAGS, read_lock_doc},
    {"write_lock", PYDDB_FAST(lock_write_lock), PYDDB_FAST_FLAGS, write_lock_doc},
    {"stats", lock_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(lock_doc, "RWLock(name=None)\n--\n\n"
                       "Many readers or one writer; neither starves. Re-entrant in both modes,\n"
                       "owned by threads, interruptible. name is for messages.");

static PyType_Slot lock_slots[] = {
    PYDDB_SLOT(Py_tp_new, lock_tp_new),       PYDDB_SLOT(Py_tp_dealloc, lock_dealloc),
    PYDDB_SLOT(Py_tp_repr, lock_repr),        {Py_tp_methods, lock_methods},
    {Py_tp_doc, (void *)(uintptr_t)lock_doc}, {0, NULL},
};

PyType_Spec pyddb_lock_spec = {
    .name = "dictdb._core.RWLock",
    .basicsize = sizeof(pyddb_lock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lock_slots,
};
