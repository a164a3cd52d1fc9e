/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads.c - detaching from the interpreter (letting go of the GIL) and coming back.
 *
 * Point operations stay attached: they take less time than detaching does. Only when the library
 * really waits for a lock do its wait hooks detach, so that the holder can run. Long work detaches
 * first (pyddb_detach); a wait or a callback inside it finds the thread state in `detached`.
 *
 *   attached --pyddb_detach / wait_begin--> detached --pyddb_attach / wait_end--> attached
 *                                             |  ^
 *                                      resume_begin, resume_end (signal handlers, callbacks)
 *
 * While a handler or a callback runs the thread is attached, `detached` is empty, and the library
 * may be entered again. On a free-threaded build the same calls let the collector stop the world.
 */
#include "pyddb.h"

#include <time.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define BREATH_NS   5000000u
#define POLLS_APART 20 /* of threads that cannot run signal handlers */

/* What this thread detached from; empty while it is attached. */
typedef struct detachment {
  PyThreadState *thread_state;
  bool by_wait;        /* the wait hook detached, and attaches again */
  uint32_t poll_count; /* of this wait */
} detachment;

static _Thread_local detachment detached;
static _Thread_local pyddb_waiting waiting_now;

pyddb_waiting *pyddb_waiting_now(void) {
  return &waiting_now;
}

void pyddb_detach(void) {
  PyThreadState *thread_state = PyEval_SaveThread();
  detached = (detachment){.thread_state = thread_state};
}

void pyddb_before_long(void *context) {
  pyddb_detach();
  *(bool *)context = true;
}

void pyddb_attach(void) {
  PyThreadState *thread_state = detached.thread_state;
  detached = (detachment){0};
  PyEval_RestoreThread(thread_state);
}

void pyddb_detach_if(bool is_long) {
  if (is_long) {
    pyddb_detach();
  }
}

void pyddb_attach_if(bool is_long) {
  if (is_long) {
    pyddb_attach();
  }
}

/* The detachment itself is kept on the C stack meanwhile: callbacks may nest. */
static detachment resume(void) {
  detachment saved = detached;
  detached = (detachment){0};
  PyEval_RestoreThread(saved.thread_state);
  return saved;
}

static void suspend(detachment saved) {
  PyThreadState *thread_state = PyEval_SaveThread();
  detached = saved;
  detached.thread_state = thread_state;
}

static PyThreadState *current_thread_state(void) {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked();
#else
  return _PyThreadState_UncheckedGet();
#endif
}

int pyddb_detached_call(int (*function)(void *context), void *context) {
  if (!detached.thread_state) {
    return 0;
  }
  detachment saved = resume();
  int result = function(context);
  suspend(saved);
  return result;
}

static int check_signals(void *context) {
  (void)context;
  return PyErr_CheckSignals();
}

/* Signal handlers run in the main thread only. Which one that is cannot be asked while detached:
 * the process's first thread is the usual answer, and the others ask as well, but rarely. */
static bool is_first_thread(void) {
#if defined(__linux__)
  return syscall(SYS_gettid) == getpid();
#else
  return true;
#endif
}

/* ---- Wait hooks ---------------------------------------------------------------------------- */

static void *wait_begin(void *context) {
  (void)context;
  if (!detached.thread_state && current_thread_state()) {
    pyddb_detach();
    detached.by_wait = true;
  }
  detached.poll_count = 0;
  return NULL;
}

static int check_cancelled(void *context) {
  (void)context;
  PyObject *answer = PyObject_CallNoArgs(waiting_now.is_cancelled);
  int is_cancelled = answer ? PyObject_IsTrue(answer) : -1;
  Py_XDECREF(answer);
  if (is_cancelled > 0) {
    PyErr_SetString(waiting_now.error, "the wait was cancelled");
  }
  return is_cancelled;
}

static int wait_poll(void *context, void *wait) {
  (void)context;
  (void)wait;
  if (waiting_now.is_cancelled && pyddb_detached_call(check_cancelled, NULL) != 0) {
    return -1;
  }
  if (!is_first_thread() && ++detached.poll_count % POLLS_APART != 0) {
    return 0;
  }
  return pyddb_detached_call(check_signals, NULL);
}

static int raise_refused(void *context) {
  (void)context;
  PyErr_SetString(waiting_now.error, "the lock is not free");
  return -1;
}

static int wait_refuse(void *context, const ddb_rwlock *lock) {
  (void)context;
  if (!waiting_now.refused || lock != waiting_now.refused) {
    return 0;
  }
  return detached.thread_state ? pyddb_detached_call(raise_refused, NULL) : raise_refused(NULL);
}

static void wait_end(void *context, void *wait) {
  (void)context;
  (void)wait;
  if (detached.by_wait) {
    pyddb_attach();
  }
}

void pyddb_wait_hooks_install(void) {
  static atomic_flag installed = ATOMIC_FLAG_INIT;
  static const ddb_wait_hooks hooks = {
      .begin = wait_begin,
      .poll = wait_poll,
      .end = wait_end,
      .refuse = wait_refuse,
  };
  if (!atomic_flag_test_and_set(&installed)) {
    ddb_wait_hooks_set(&hooks);
  }
}

/* ---- Long loops in Python objects ---------------------------------------------------------- */

uint64_t pyddb_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int pyddb_breath_slow(pyddb_breath *breath) {
  uint64_t now_ns = pyddb_now_ns();
  if (breath->last_ns == 0) {
    breath->last_ns = now_ns;
  }
  if (now_ns - breath->last_ns < BREATH_NS) {
    return 0;
  }
  pyddb_detach();
  pyddb_attach();
  breath->last_ns = pyddb_now_ns();
  return PyErr_CheckSignals();
}
