/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.c - the extension module dictdb._core: its state, its types, what Python helpers register.
 *
 * Multi-phase initialisation; one state per module object, so interpreters share nothing but the C
 * library. Spare builders wait in the state, one cache line each: threads start looking at
 * different ones.
 */
#include "pyddb.h"

#include <datetime.h>

pyddb_state *pyddb_state_of(PyTypeObject *type) {
  PyObject *module = PyType_GetModuleByDef(type, &pyddb_module);
  return module ? PyModule_GetState(module) : NULL;
}

/* ---- Builders ------------------------------------------------------------------------------ */

static unsigned spare_start(void) {
#ifdef Py_GIL_DISABLED
  unsigned long ident = PyThread_get_thread_ident();
  return (unsigned)((ident >> 12) ^ (ident >> 21));
#else
  return 0;
#endif
}

/* Returns the spare that is there, which is then the caller's; or, with `wanted`, puts that in the
 * place if it is empty, and returns NULL if it was. The GIL, where there is one, is held. */
static ddb_builder *spare_swap(pyddb_spare *spare, ddb_builder *wanted) {
  ddb_builder *present = atomic_load_explicit(&spare->builder, memory_order_relaxed);
#ifdef Py_GIL_DISABLED
  if (wanted) {
    return !present && atomic_compare_exchange_strong_explicit(&spare->builder, &present, wanted,
                                                               memory_order_acq_rel,
                                                               memory_order_relaxed)
               ? NULL
               : present;
  }
  return present ? atomic_exchange_explicit(&spare->builder, NULL, memory_order_acq_rel) : NULL;
#else
  if (!present || !wanted) {
    atomic_store_explicit(&spare->builder, wanted, memory_order_relaxed);
  }
  return present;
#endif
}

ddb_builder *pyddb_builder_take(pyddb_state *state) {
  unsigned start = spare_start();
  for (unsigned i = 0; i < PYDDB_SPARE_COUNT; i++) {
    ddb_builder *builder = spare_swap(&state->spare[(start + i) % PYDDB_SPARE_COUNT], NULL);
    if (builder) {
      return builder;
    }
  }
  ddb_error err;
  ddb_builder *builder;
  if (ddb_builder_new(&builder, &err) != DDB_OK) {
    pyddb_raise(state, &err);
    return NULL;
  }
  return builder;
}

void pyddb_builder_give(pyddb_state *state, ddb_builder *builder) {
  if (!builder) {
    return;
  }
  ddb_builder_clear(builder);
  unsigned start = spare_start();
  for (unsigned i = 0; i < PYDDB_SPARE_COUNT; i++) {
    if (!spare_swap(&state->spare[(start + i) % PYDDB_SPARE_COUNT], builder)) {
      return;
    }
  }
  ddb_builder_free(builder);
}

static void spares_free(pyddb_state *state) {
  for (unsigned i = 0; i < PYDDB_SPARE_COUNT; i++) {
    ddb_builder_free(spare_swap(&state->spare[i], NULL));
  }
}

/* ---- Types of other modules ---------------------------------------------------------------- */

static PyObject *import_attribute(const char *module_name, const char *name) {
  PyObject *module = PyImport_ImportModule(module_name);
  PyObject *attribute = module ? PyObject_GetAttrString(module, name) : NULL;
  Py_XDECREF(module);
  return attribute;
}

static void foreign_free(pyddb_foreign *foreign) {
  if (foreign) {
    Py_XDECREF(foreign->decimal);
    Py_XDECREF(foreign->uuid);
    Py_XDECREF(foreign->zone_info);
    PyMem_Free(foreign);
  }
}

const pyddb_foreign *pyddb_foreign_get(pyddb_state *state) {
  pyddb_foreign *foreign = atomic_load_explicit(&state->foreign, memory_order_acquire);
  if (foreign) {
    return foreign;
  }
  foreign = PyMem_Calloc(1, sizeof *foreign);
  if (!foreign) {
    PyErr_NoMemory();
    return NULL;
  }
  if (!(foreign->decimal = import_attribute("decimal", "Decimal")) ||
      !(foreign->uuid = import_attribute("uuid", "UUID")) ||
      !(foreign->zone_info = import_attribute("zoneinfo", "ZoneInfo"))) {
    foreign_free(foreign);
    return NULL;
  }
  pyddb_foreign *present = NULL;
  if (!atomic_compare_exchange_strong(&state->foreign, &present, foreign)) {
    foreign_free(foreign);
    return present;
  }
  return foreign;
}

/* ---- Module functions ---------------------------------------------------------------------- */

PyDoc_STRVAR(register_doc,
             "_register(table_class, schema_encode, schema_decode, plan_class, /)\n--\n\n"
             "Names the Python parts: the class of a database's tables (a subclass of\n"
             "Table), the two functions that translate schemas, the class of plans.");

static PyObject *module_register(PyObject *module, PyObject *args) {
  pyddb_state *state = PyModule_GetState(module);
  PyObject *table_class, *encode, *decode, *plan;
  if (!PyArg_ParseTuple(args, "O!OOO:_register", &PyType_Type, &table_class, &encode, &decode,
                        &plan)) {
    return NULL;
  }
  if (!PyType_IsSubtype((PyTypeObject *)table_class, state->table_type)) {
    PyErr_SetString(PyExc_TypeError, "table_class must be a subclass of dictdb._core.Table");
    return NULL;
  }
  Py_XSETREF(state->table_class, Py_NewRef(table_class));
  Py_XSETREF(state->schema_encode, Py_NewRef(encode));
  Py_XSETREF(state->schema_decode, Py_NewRef(decode));
  Py_XSETREF(state->plan_class, Py_NewRef(plan));
  Py_RETURN_NONE;
}

PyDoc_STRVAR(register_files_doc,
             "_register_files(progress_bar, pickle_save, pickle_load, pickle_is_one, /)\n--\n\n"
             "Names the class that progress=True makes a bar of, and what reads and writes\n"
             "pickles.");

static PyObject *module_register_files(PyObject *module, PyObject *args) {
  pyddb_state *state = PyModule_GetState(module);
  PyObject *bar, *save, *load, *is_one;
  if (!PyArg_ParseTuple(args, "OOOO:_register_files", &bar, &save, &load, &is_one)) {
    return NULL;
  }
  Py_XSETREF(state->progress_bar, Py_NewRef(bar));
  Py_XSETREF(state->pickle_save, Py_NewRef(save));
  Py_XSETREF(state->pickle_load, Py_NewRef(load));
  Py_XSETREF(state->pickle_is_one, Py_NewRef(is_one));
  Py_RETURN_NONE;
}

PyDoc_STRVAR(process_memory_doc, "process_memory()\n--\n\n"
                                 "Returns the bytes (int) that the library holds in this process.\n"
                                 "Spare buffers are given back first.");

static PyObject *module_process_memory(PyObject *module, PyObject *unused) {
  (void)unused;
  spares_free(PyModule_GetState(module));
  return PyLong_FromUnsignedLongLong(ddb_process_memory());
}

static PyMethodDef module_functions[] = {
    {"_register_files", module_register_files, METH_VARARGS, register_files_doc},
    {"_replace_file", pyddb_replace_file, METH_VARARGS, pyddb_replace_file_doc},
    {"_register", module_register, METH_VARARGS, register_doc},
    {"process_memory", module_process_memory, METH_NOARGS, process_memory_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- Initialisation ------------------------------------------------------------------------ */

static int add_types(PyObject *module, pyddb_state *state) {
  const struct {
    PyType_Spec *spec;
    PyTypeObject **type;
    bool is_public;
    PyTypeObject **base; /* NULL: object */
  } table[] = {
      {&pyddb_expr_spec, &state->expr_type, true, NULL},
      {&pyddb_field_spec, &state->field_type, true, &state->expr_type},
      {&pyddb_cond_spec, &state->cond_type, true, NULL},
      {&pyddb_change_spec, &state->change_type, true, NULL},
      {&pyddb_order_spec, &state->order_type, true, NULL},
      {&pyddb_aggregate_spec, &state->aggregate_type, true, NULL},
      {&pyddb_lock_spec, &state->lock_type, true, NULL},
      {&pyddb_guard_spec, &state->guard_type, false, NULL},
      {&pyddb_record_view_spec, &state->record_view_type, true, NULL},
      {&pyddb_cursor_spec, &state->cursor_type, true, NULL},
      {&pyddb_table_spec, &state->table_type, true, NULL},
      {&pyddb_table_view_spec, &state->table_view_type, true, NULL},
      {&pyddb_snapshot_spec, &state->snapshot_type, true, NULL},
      {&pyddb_db_guard_spec, &state->db_guard_type, false, NULL},
      {&pyddb_db_spec, &state->db_type, true, NULL},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    PyObject *type = PyType_FromModuleAndSpec(module, table[i].spec,
                                              table[i].base ? (PyObject *)*table[i].base : NULL);
    if (!type) {
      return -1;
    }
    *table[i].type = (PyTypeObject *)type;
    if (table[i].is_public && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
      return -1;
    }
  }
  return 0;
}

/* isinstance(record_view, Mapping) */
static int register_mapping(pyddb_state *state) {
  PyObject *mapping = import_attribute("collections.abc", "Mapping");
  PyObject *result =
      mapping ? PyObject_CallMethod(mapping, "register", "O", state->record_view_type) : NULL;
  Py_XDECREF(mapping);
  Py_XDECREF(result);
  return result ? 0 : -1;
}

/* KIND_BITS: {"int": bits, ...}, the types a schema can ask for, by their names in the core. */
static int add_kinds(PyObject *module) {
  PyObject *bits = PyDict_New();
  if (!bits) {
    return -1;
  }
  int result = 0;
  for (int kind = DDB_NULL; kind < DDB_KIND_COUNT && result == 0; kind++) {
    bool is_int = kind == DDB_INT || kind == DDB_BIGINT;
    uint32_t types = is_int ? DDB_TYPE_INT : kind == DDB_FLOAT ? DDB_TYPE_FLOAT : DDB_TYPE(kind);
    PyObject *number = PyLong_FromUnsignedLong(types);
    result = number ? PyDict_SetItemString(bits, ddb_kind_name((ddb_kind)kind), number) : -1;
    Py_XDECREF(number);
  }
  if (result == 0) {
    result = PyModule_AddObjectRef(module, "KIND_BITS", bits);
  }
  Py_DECREF(bits);
  return result;
}

static int add_texts(pyddb_state *state) {
  state->id_text = PyUnicode_InternFromString("id");
  state->action_texts[DDB_ACTION_INSERTED] = PyUnicode_InternFromString("inserted");
  state->action_texts[DDB_ACTION_UPDATED] = PyUnicode_InternFromString("updated");
  state->action_texts[DDB_ACTION_IGNORED] = PyUnicode_InternFromString("ignored");
  return PyErr_Occurred() ? -1 : 0;
}

static int module_exec(PyObject *module) {
  pyddb_state *state = PyModule_GetState(module);
  state->module = module;
  atomic_store(&state->log_statements, true); /* until the logger was asked */
  state->datetime_capi = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
  if (add_texts(state) < 0 || !state->datetime_capi || pyddb_exceptions_init(state) < 0 ||
      add_types(module, state) < 0 || register_mapping(state) < 0 || add_kinds(module) < 0 ||
      PyModule_AddFunctions(module, pyddb_cond_functions) < 0 || pyddb_changes_add(module) < 0 ||
      PyModule_AddFunctions(module, pyddb_join_functions) < 0 ||
      PyModule_AddFunctions(module, pyddb_log_functions) < 0 || pyddb_aio_add(module, state) < 0 ||
      PyModule_AddFunctions(module, pyddb_set_functions) < 0 ||
      PyModule_AddStringConstant(module, "__version__", ddb_version()) < 0) {
    return -1;
  }
#ifdef DDB_TESTING
  if (PyModule_AddFunctions(module, pyddb_test_functions) < 0) {
    return -1;
  }
#endif
  pyddb_wait_hooks_install();
  return 0;
}

/* clang-format off */
#define STATE_OBJECTS(X)                                                                           \
  X(db_type) X(db_guard_type) X(snapshot_type) X(table_type) X(table_view_type) X(cursor_type)   \
  X(record_view_type) X(expr_type) X(field_type) X(cond_type) X(change_type) X(order_type) X(lock_type) X(guard_type) X(table_class)         \
  X(schema_encode) X(schema_decode) X(plan_class) X(log_function) X(progress_bar) X(pickle_save) X(pickle_load) X(pickle_is_one) X(wait_refused_error) X(id_text) X(missing_file_error)                               \
  X(aggregate_type) X(action_texts[DDB_ACTION_INSERTED]) X(action_texts[DDB_ACTION_UPDATED])                         \
  X(action_texts[DDB_ACTION_IGNORED])
/* clang-format on */

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
  pyddb_state *state = PyModule_GetState(module);
  if (!state) {
    return 0;
  }
#define VISIT(member) Py_VISIT(state->member);
  STATE_OBJECTS(VISIT)
#undef VISIT
  for (int i = 0; i < DDB_STATUS_COUNT; i++) {
    Py_VISIT(state->exceptions[i]);
  }
  pyddb_foreign *foreign = atomic_load(&state->foreign);
  if (foreign) {
    Py_VISIT(foreign->decimal);
    Py_VISIT(foreign->uuid);
    Py_VISIT(foreign->zone_info);
  }
  return 0;
}

static int module_clear(PyObject *module) {
  pyddb_state *state = PyModule_GetState(module);
  if (!state) {
    return 0;
  }
#define CLEAR(member) Py_CLEAR(state->member);
  STATE_OBJECTS(CLEAR)
#undef CLEAR
  for (int i = 0; i < DDB_STATUS_COUNT; i++) {
    Py_CLEAR(state->exceptions[i]);
  }
  foreign_free(atomic_exchange(&state->foreign, NULL));
  return 0;
}

static void module_free(void *module) {
  pyddb_state *state = PyModule_GetState((PyObject *)module);
  if (!state) {
    return;
  }
  module_clear((PyObject *)module);
  spares_free(state);
  pyddb_conds_free(state);
}

static PyModuleDef_Slot module_slots[] = {
    PYDDB_SLOT(Py_mod_exec, module_exec),
/* In 3.12, datetime has no C interface in an interpreter with its own GIL. */
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#elif PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The compiled part of dictdb. Import dictdb instead.");

struct PyModuleDef pyddb_module = {
    PyModuleDef_HEAD_INIT,         .m_name = "dictdb._core",      .m_doc = module_doc,
    .m_size = sizeof(pyddb_state), .m_methods = module_functions, .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,       .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) {
  return PyModuleDef_Init(&pyddb_module);
}
