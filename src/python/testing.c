/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing.c - module functions of the testing build: planted faults, stopping points, memory that
 * runs out, a data race.
 *
 * A thread that sleeps or yields at a point lets go of the interpreter meanwhile, if it holds it:
 * otherwise nobody could be seen to go on, and short statements would never meet.
 *
 * They reach into the library's test interface, which no public header has; the declarations here
 * repeat those of its testing header, enumerations being unsigned.
 */
#include "pyddb.h"

#ifdef DDB_TESTING

#include <time.h>

void ddb__test_fault_set(unsigned fault);
int ddb__test_fault_find(const char *name);
void ddb__test_hook_set(void (*hook)(void *context, unsigned point), void *context);
void ddb__test_yield_set(unsigned period, uint64_t seed);
bool ddb__fault_planted(unsigned fault);

/* In the library's order. */
static const char *const point_names[] = {"BEFORE_LOCK", "LOCKED",  "EDITED",   "PUBLISHED",
                                          "UNLOCKED",    "RECLAIM", "PIN_HELD", "PIN_LOADED"};
#define POINT_COUNT (sizeof point_names / sizeof point_names[0])

static _Atomic unsigned sleep_ms[POINT_COUNT];
static _Atomic unsigned yield_period;
static _Atomic uint64_t yield_state;

#define PAUSE_NS_MAX 50000u

static void pause_for(uint64_t nanoseconds) {
  struct timespec left = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                          .tv_nsec = (long)(nanoseconds % 1000000000u)};
  PyThreadState *attached = PyGILState_Check() ? PyEval_SaveThread() : NULL;
  while (nanosleep(&left, &left) != 0) {
  }
  if (attached) {
    PyEval_RestoreThread(attached);
  }
}

static uint64_t next_random(void) {
  const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
  uint64_t mixed = atomic_fetch_add_explicit(&yield_state, step, memory_order_relaxed) + step;
  mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
  return mixed ^ (mixed >> 31);
}

static void on_point(void *context, unsigned point) {
  (void)context;
  if (point >= POINT_COUNT) { /* one that this file does not know */
    return;
  }
  unsigned milliseconds = atomic_load_explicit(&sleep_ms[point], memory_order_relaxed);
  if (milliseconds != 0) {
    pause_for(milliseconds * UINT64_C(1000000));
  }
  unsigned period = atomic_load_explicit(&yield_period, memory_order_relaxed);
  uint64_t random = period != 0 ? next_random() : 0;
  if (period != 0 && random % period == 0) {
    pause_for((random >> 32) % PAUSE_NS_MAX);
  }
}

static void install_hook(void) {
  static atomic_flag installed = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&installed)) {
    ddb__test_hook_set(on_point, NULL);
  }
}

bool pyddb_test_convert_locked(void) {
  int fault = ddb__test_fault_find("CONVERT_UNDER_LOCK");
  return fault > 0 && ddb__fault_planted((unsigned)fault);
}

PyDoc_STRVAR(fault_doc, "_test_fault(name, /)\n--\n\nPlants a fault by its name; None: none.");

static PyObject *test_fault(PyObject *module, PyObject *name) {
  (void)module;
  int fault = 0;
  if (name != Py_None) {
    const char *text = PyUnicode_AsUTF8(name);
    if (!text) {
      return NULL;
    }
    fault = ddb__test_fault_find(text);
    if (fault < 0) {
      PyErr_Format(PyExc_ValueError, "no fault is named %R", name);
      return NULL;
    }
  }
  ddb__test_fault_set((unsigned)fault);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(sleep_doc, "_test_sleep(point, milliseconds, /)\n--\n\n"
                        "Lets every thread sleep at a point (its name); 0 ends it.");

static PyObject *test_sleep(PyObject *module, PyObject *args) {
  (void)module;
  const char *name;
  unsigned milliseconds;
  if (!PyArg_ParseTuple(args, "sI:_test_sleep", &name, &milliseconds)) {
    return NULL;
  }
  for (unsigned point = 0; point < POINT_COUNT; point++) {
    if (strcmp(name, point_names[point]) == 0) {
      atomic_store_explicit(&sleep_ms[point], milliseconds, memory_order_relaxed);
      install_hook();
      Py_RETURN_NONE;
    }
  }
  PyErr_Format(PyExc_ValueError, "no point is named '%s'", name);
  return NULL;
}

PyDoc_STRVAR(yield_doc, "_test_yield(period, seed=0, /)\n--\n\n"
                        "One reached point in period lets other threads run; 0: none.");

static PyObject *test_yield(PyObject *module, PyObject *args) {
  (void)module;
  unsigned period;
  unsigned long long seed = 0;
  if (!PyArg_ParseTuple(args, "I|K:_test_yield", &period, &seed)) {
    return NULL;
  }
  atomic_store_explicit(&yield_state, seed, memory_order_relaxed);
  atomic_store_explicit(&yield_period, period, memory_order_relaxed);
  install_hook();
  ddb__test_yield_set(period, seed);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(points_doc, "_test_points()\n--\n\nReturns the names of the points.");

static PyObject *test_points(PyObject *module, PyObject *unused) {
  (void)module;
  (void)unused;
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < POINT_COUNT; i++) {
    PyObject *name = PyUnicode_FromString(point_names[i]);
    if (!name || PyList_Append(list, name) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(name);
  }
  return list;
}

PyDoc_STRVAR(race_doc, "_test_race(count, /)\n--\n\n"
                       "Adds to a counter without any synchronisation, detached: a data race when\n"
                       "two threads do, which ThreadSanitizer must report.");

static PyObject *test_race(PyObject *module, PyObject *argument) {
  static volatile unsigned long counter;
  (void)module;
  unsigned long count = PyLong_AsUnsignedLong(argument);
  if (count == (unsigned long)-1 && PyErr_Occurred()) {
    return NULL;
  }
  pyddb_detach();
  for (unsigned long i = 0; i < count; i++) {
    counter = counter + 1;
  }
  pyddb_attach();
  return PyLong_FromUnsignedLong(counter);
}

/* ---- Memory that runs out ------------------------------------------------------------------ */

/* Of this thread: how many of the library's allocations are left before one fails; 0: none will. */
static _Thread_local unsigned long starve_after;

static void *starving_allocate(void *context, size_t size) {
  (void)context;
  return starve_after > 0 && --starve_after == 0 ? NULL : malloc(size);
}

static void starving_release(void *context, void *memory, size_t size) {
  (void)context;
  (void)size;
  free(memory);
}

PyDoc_STRVAR(starve_doc, "_test_starve(count, /)\n--\n\n"
                         "Lets the count-th of this thread's allocations from now on fail, once;\n"
                         "0: none. Returns whether the one before is still to fail (bool). The\n"
                         "first call must come before the library has allocated anything.");

static PyObject *test_starve(PyObject *module, PyObject *argument) {
  static atomic_flag installed = ATOMIC_FLAG_INIT;
  unsigned long count = PyLong_AsUnsignedLong(argument);
  if (count == (unsigned long)-1 && PyErr_Occurred()) {
    return NULL;
  }
  if (!atomic_flag_test_and_set(&installed)) {
    const ddb_allocator allocator = {starving_allocate, starving_release, NULL};
    ddb_error err;
    if (ddb_allocator_set(&allocator, &err) != DDB_OK) {
      return pyddb_raise(PyModule_GetState(module), &err);
    }
  }
  bool is_left = starve_after > 0;
  starve_after = count;
  return PyBool_FromLong(is_left);
}

PyMethodDef pyddb_test_functions[] = {
    {"_test_starve", test_starve, METH_O, starve_doc},
    {"_test_fault", test_fault, METH_O, fault_doc},
    {"_test_sleep", test_sleep, METH_VARARGS, sleep_doc},
    {"_test_yield", test_yield, METH_VARARGS, yield_doc},
    {"_test_points", test_points, METH_NOARGS, points_doc},
    {"_test_race", test_race, METH_O, race_doc},
    {NULL, NULL, 0, NULL},
};

#else

/* ISO C wants a translation unit to declare something. */
typedef int pyddb_testing_is_off;

#endif
