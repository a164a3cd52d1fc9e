/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pyddb.h - what the files of the extension module dictdb._core share.
 *
 *   module.c        the module, its state, and the wait hooks
 *   exceptions.c    exception types; ddb_error -> Python exception
 *   args.c          positional and keyword arguments of fast calls
 *   threads.c       detaching from the interpreter around long work
 *   convert_in.c    Python value  -> ddb_builder      convert_time_in.c    dates and times
 *   convert_out.c   ddb_value     -> Python value     convert_time_out.c
 *   record_out.c    ddb_record    -> dict
 *   batch.c         mappings -> records of a builder; the cache of shapes
 *   query.c         arguments of queries -> ddb_query      results.c        records -> objects
 *   db.c, db_guard.c, snapshot.c, files.c, table.c, table_write.c, table_read.c, select.c, cursor.c,
 *   record_view.c, expr.c, expr_cond.c, expr_text.c, field.c, cond.c, order.c, lock.c, schema.c: the types and what they do
 *   code.c          callables in conditions
 *   change.c, changeset.c, asker.c, table_run.c, table_many.c   updates that are more than plain values
 *   log.c           what statements tell the logger
 *   aio.c           calls that an event loop can make
 *   testing.c       what only the testing build has
 *
 * Invariants
 *   I1  No Python code runs between the library's taking and releasing of a lock: all conversion
 *       happens before a statement or, on an open view, after it.
 *   I2  What is borrowed from a Python container is held by a strong reference before anything can
 *       run Python code; exact dicts are read inside a critical section.
 *   I3  No mutable static data but two words about the process (is the hook set? which thread state
 *       did this thread detach from?): everything else hangs on the module's state or on an object.
 *   I4  Every object holds a pointer to its module's state. The object's type holds the module.
 *
 * Thread-safety levels (CPython's words): every method of every type is "shared" or better; what is
 * stored in the C library is "atomic".
 */
#ifndef PYDDB_H
#define PYDDB_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dictdb.h"
#include "kept.h"

/* ISO C has no cast from a function to an object pointer, but the slots are declared so. */
#define PYDDB_SLOT(slot, function)                                                                 \
  { (slot), __extension__(void *)(function) }
#define PYDDB_FAST(function) ((PyCFunction)(void (*)(void))(function))
#define PYDDB_FAST_FLAGS     (METH_FASTCALL | METH_KEYWORDS)

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION()         }
#endif

/* Objects that threads share keep what readers need off the cache line of the reference count. */
#ifdef Py_GIL_DISABLED
#define PYDDB_APART char apart[128 - sizeof(PyObject)];
#else
#define PYDDB_APART
#endif

/* ---- The module's state -------------------------------------------------------------------- */

#define PYDDB_SPARE_COUNT 8

typedef struct pyddb_spare {
  _Atomic(ddb_builder *) builder;
  char apart[64 - sizeof(void *)];
} pyddb_spare;

/* Types of other modules, imported when first a value might need them. */
typedef struct pyddb_foreign {
  PyObject *decimal;
  PyObject *uuid;
  PyObject *zone_info;
} pyddb_foreign;

typedef struct pyddb_state {
  PyObject *module; /* borrowed: the module owns the state */
  PyObject *exceptions[DDB_STATUS_COUNT];
  PyObject *wait_refused_error; /* see aio.c */
  PyObject *missing_file_error; /* StorageError that is a FileNotFoundError too */
  PyTypeObject *db_type;
  PyTypeObject *db_guard_type;
  PyTypeObject *snapshot_type;
  PyTypeObject *table_type;
  PyTypeObject *table_view_type;
  PyTypeObject *cursor_type;
  PyTypeObject *record_view_type;
  PyTypeObject *expr_type;
  PyTypeObject *field_type;
  PyTypeObject *cond_type;
  PyTypeObject *change_type;
  PyTypeObject *order_type;
  PyTypeObject *aggregate_type;
  PyTypeObject *lock_type;
  PyTypeObject *guard_type;
  PyObject *table_class;   /* the Python subclass that databases make; NULL: table_type */
  PyObject *schema_encode; /* Python helpers, see schema.c; NULL until they are registered */
  PyObject *schema_decode;
  PyObject *plan_class;
  PyObject *progress_bar; /* what progress=True makes; NULL until it is named */
  PyObject *pickle_save;  /* functions of _pickles.py; as above */
  PyObject *pickle_load;
  PyObject *pickle_is_one;
  PyObject *log_function;      /* see log.c; NULL until it is named */
  _Atomic bool log_statements; /* whether statements about records call it */
  PyObject *id_text;           /* interned "id" */
  PyObject *action_texts[3];   /* interned, by ddb_action */
  void *datetime_capi;         /* PyDateTime_CAPI of this interpreter */
  _Atomic(pyddb_foreign *) foreign;
  pyddb_spare spare[PYDDB_SPARE_COUNT];
  pyddb_free_conds free_conds;
} pyddb_state;

extern struct PyModuleDef pyddb_module;
/* The state of the module that `type` or a base of it belongs to. NULL: an exception is set. */
pyddb_state *pyddb_state_of(PyTypeObject *type);
/* Borrowed for as long as the state lives. NULL: an exception is set. */
const pyddb_foreign *pyddb_foreign_get(pyddb_state *state);
/* A builder from the spare ones, or a new one; NULL: an exception is set. */
ddb_builder *pyddb_builder_take(pyddb_state *state);
void pyddb_builder_give(pyddb_state *state, ddb_builder *builder); /* NULL is allowed */

/* ---- Exceptions ---------------------------------------------------------------------------- */

int pyddb_exceptions_init(pyddb_state *state);
/* Sets the exception of `err` (status must not be OK). Always returns NULL. */
PyObject *pyddb_raise(pyddb_state *state, const ddb_error *err);
/* The same about a value: its text also names the table and the field (NULL: unknown). */
PyObject *pyddb_raise_value(pyddb_state *state, const ddb_error *err, PyObject *table,
                            PyObject *field);
/* An exception of the status's type, with a text as PyUnicode_FromFormat makes it. */
PyObject *pyddb_raise_format(pyddb_state *state, ddb_status status, const char *format, ...);
/* The argument, at most 80 characters of its repr(), for messages; never NULL without exception. */
PyObject *pyddb_short_repr(PyObject *object);

/* ---- Logging ------------------------------------------------------------------------------- */

/* Tells the logger of a statement that gave `result`, which is returned; NULL stays NULL. */
PyObject *pyddb_log(pyddb_state *state, const char *op, PyObject *table, PyObject *detail,
                    PyObject *result);
/* The argument at a place of a fast call, which may be given by name: borrowed; NULL: there is none. */
PyObject *pyddb_log_argument(const char *name, Py_ssize_t place, PyObject *const *args,
                             Py_ssize_t count, PyObject *kw);
extern PyMethodDef pyddb_log_functions[];

/* Defines logged_<function>: the same method of a table, which the logger may be told of. */
#define PYDDB_LOGGED(function, op)                                                                 \
  static PyObject *logged_##function(PyObject *self, PyObject *const *args, Py_ssize_t count,      \
                                     PyObject *kw) {                                               \
    PyObject *result = function(self, args, count, kw);                                            \
    pyddb_state *state = ((pyddb_source *)self)->state;                                            \
    return atomic_load_explicit(&state->log_statements, memory_order_relaxed)                      \
               ? pyddb_log(state, (op), ((pyddb_source *)self)->table_name,                        \
                           pyddb_log_argument("returning", 0, args + count, 0, kw), result)        \
               : result;                                                                           \
  }

/* ---- Threads ------------------------------------------------------------------------------- */

/* Around work without Python objects that may take long. Not to be nested. */
void pyddb_detach(void);
void pyddb_attach(void);
/* Around what may be long; else the release would cost more than it gives. */
void pyddb_detach_if(bool is_long);
void pyddb_attach_if(bool is_long);
/* Of a ddb_query: detaches and sets a bool. */
void pyddb_before_long(void *context);
/* Runs function(context) attached, from a callback inside pyddb_detach ... pyddb_attach. 0 when the
 * thread is not detached. */
int pyddb_detached_call(int (*function)(void *context), void *context);
void pyddb_wait_hooks_install(void);
/* What this thread may not wait for. All borrowed for as long as it is set; see aio.c. */
typedef struct pyddb_waiting {
  const ddb_rwlock *refused; /* this lock; NULL: none */
  PyObject *is_cancelled;    /* any longer than until this gives true; NULL: never */
  PyObject *error;           /* what is raised */
} pyddb_waiting;
pyddb_waiting *pyddb_waiting_now(void);
/* WaitRefusedError and the functions of aio.c. */
int pyddb_aio_add(PyObject *module, pyddb_state *state);

uint64_t pyddb_now_ns(void); /* monotonic */

/* For loops that hold the interpreter long: lets signals and other threads through each 5 ms. */
typedef struct pyddb_breath {
  uint64_t last_ns;
  uint32_t steps;
} pyddb_breath;
int pyddb_breath_slow(pyddb_breath *breath);
static inline int pyddb_breathe(pyddb_breath *breath) {
  return (++breath->steps & 127u) == 0 ? pyddb_breath_slow(breath) : 0;
}

/* ---- Arguments ----------------------------------------------------------------------------- */

typedef struct pyddb_signature {
  const char *name;         /* of the function, for messages */
  const char *const *names; /* of all arguments, positional ones first */
  uint8_t count;            /* of names */
  uint8_t positional_count; /* that may be given by position */
  uint8_t required_count;
} pyddb_signature;

/* Puts the arguments into slots[count] (borrowed; NULL where absent). */
int pyddb_bind(const pyddb_signature *signature, PyObject *const *args, Py_ssize_t arg_count,
               PyObject *keyword_names, PyObject **slots);
/* The name that was probably meant by a str that is none of them; NULL: none is near. */
const char *pyddb_nearest(PyObject *name, const char *const *names, size_t count);
/* The one argument of a function, borrowed; NULL: an exception is set. */
PyObject *pyddb_bind_one(const char *function, const char *name, PyObject *const *args,
                         Py_ssize_t arg_count, PyObject *keyword_names);
/* The same for the tuple and dict that tp_new gets. */
int pyddb_bind_tuple(const pyddb_signature *signature, PyObject *args, PyObject *keywords,
                     PyObject **slots);
/* A real number that is not a bool; `what` names it. */
int pyddb_number_argument(pyddb_state *state, PyObject *object, const char *what, double *out);
/* Seconds or None (or NULL) to nanoseconds; what: "timeout". */
int pyddb_timeout(pyddb_state *state, PyObject *object, int64_t *timeout_ns);
/* A count that is not negative; `what` names it. */
int pyddb_count_argument(pyddb_state *state, PyObject *object, const char *what, uint64_t *out);
/* None or absent: 0, automatic; else from 1 on. */
int pyddb_threads_argument(pyddb_state *state, PyObject *object, uint32_t *out);
/* True or False and nothing else: a "no" is not to be taken for yes. */
int pyddb_bool_argument(pyddb_state *state, PyObject *object, const char *what, bool absent,
                        bool *out);
/* One of some texts, by its index; absent: the first. `what` is the argument's name. A word that is
 * none of them is told with the nearest one. */
int pyddb_choice_argument(pyddb_state *state, PyObject *object, const char *what,
                          const char *const *texts, size_t count, size_t *out);

/* "ignore" or "raise": what happens when nothing matched. */
typedef enum pyddb_missing { PYDDB_MISSING_IGNORE, PYDDB_MISSING_RAISE } pyddb_missing;
int pyddb_missing_argument(pyddb_state *state, PyObject *object, pyddb_missing absent,
                           pyddb_missing *out);
PyObject *pyddb_missing_out(pyddb_missing missing);

/* UTF-8 of a str for as long as the struct lives; `owner` is NULL when the str itself lends it. */
typedef struct pyddb_text {
  ddb_str str;
  PyObject *owner;
} pyddb_text;
int pyddb_text_init(pyddb_text *text, PyObject *object);
static inline void pyddb_text_fini(pyddb_text *text) {
  Py_CLEAR(text->owner);
}
/* A str to an interned str object or any other; new reference. */
PyObject *pyddb_text_out(ddb_str text);
PyObject *pyddb_name_out(ddb_str name); /* interned */

/* ---- Conversion ---------------------------------------------------------------------------- */

/* What is being converted, for messages. All borrowed, may be NULL. */
typedef struct pyddb_input {
  pyddb_state *state;
  ddb_builder *builder;
  PyObject *table; /* name */
  PyObject *field; /* name */
} pyddb_input;

/* Appends one value to the builder. -1: exception set, the item under construction dropped. */
int pyddb_append(const pyddb_input *in, PyObject *object);
/* What dates, times and zones do; -2: not one of them. */
int pyddb_append_temporal(const pyddb_input *in, PyObject *object);
int pyddb_append_value(const pyddb_input *in, const ddb_value *value);
/* UnsupportedTypeError that names table, field and type. Returns -1. */
int pyddb_refuse(const pyddb_input *in, PyObject *object, const char *advice);

/* One value outside records; `builder` is NULL when the object itself lends the bytes. */
typedef struct pyddb_value {
  ddb_value value;
  ddb_builder *builder;
} pyddb_value;
int pyddb_value_init(pyddb_state *state, PyObject *object, PyObject *table, PyObject *field,
                     pyddb_value *out);
void pyddb_value_fini(pyddb_state *state, pyddb_value *value);

PyObject *pyddb_value_out(pyddb_state *state, const ddb_value *value);
PyObject *pyddb_temporal_out(pyddb_state *state, const ddb_value *value);

/* ---- Where records come from: a table, or a table as a snapshot sees it -------------------- */

#define PYDDB_SHAPE_WAYS 32

typedef struct pyddb_shape_entry pyddb_shape_entry; /* see batch.c */
typedef struct pyddb_snapshot pyddb_snapshot;

/* The common start of Table and TableView. */
typedef struct pyddb_source {
  PyObject_HEAD PYDDB_APART pyddb_state *state;
  ddb_table *table;
  pyddb_snapshot *snapshot; /* strong; NULL: the present version */
  PyObject *table_name;
  PyObject *primary_key;
  PyObject *field_names; /* frozenset of the schema's names; NULL: no schema */
  PyObject *weak_list;
  _Atomic(pyddb_names *) names[PYDDB_NAMES_WAYS];
  pyddb_fields fields;
#ifndef Py_GIL_DISABLED
  pyddb_texts texts;
#endif
} pyddb_source;

typedef struct pyddb_table {
  pyddb_source source;
  PyObject *lock;
  pyddb_missing missing;
  _Atomic(pyddb_shape_entry *) shapes[PYDDB_SHAPE_WAYS];
  _Atomic(pyddb_shape_entry *) retired;
  _Atomic uint32_t retired_count;
} pyddb_table;

/* Fills in what `source` derives from its table, whose reference it takes even on failure. */
int pyddb_source_init(pyddb_source *source, pyddb_state *state, ddb_table *table);
void pyddb_source_fini(pyddb_source *source);
int pyddb_source_traverse(pyddb_source *source, visitproc visit, void *arg);

/* Opens a view of a source; *closing is for _close. May wait. */
int pyddb_view_open(pyddb_source *source, ddb_view *view);
void pyddb_view_close(pyddb_source *source, ddb_view *view);

/* The names of a shape: borrowed from the cache, or *owned is set, which is to be freed. */
pyddb_names *pyddb_names_get(pyddb_source *source, const ddb_shape *shape, pyddb_names **owned);
void pyddb_names_free(pyddb_names *names); /* NULL is allowed */

/* The table's, or `own`: those to use, while nobody else uses them. */
pyddb_texts *pyddb_texts_of(pyddb_source *source, pyddb_texts *own);
void pyddb_texts_fini(pyddb_texts *texts);
/* As pyddb_value_out, but a str may be one that was made before. texts may be NULL. */
PyObject *pyddb_value_near(pyddb_state *state, const ddb_value *value, pyddb_texts *texts);

/* A new dict. texts may be NULL. */
PyObject *pyddb_record_out(pyddb_source *source, const ddb_record *record, pyddb_texts *texts);
PyObject *pyddb_record_dict(pyddb_state *state, const ddb_record *record, PyObject *names);

/* Shape for these keys (str objects), in order. NULL: exception set. */
const ddb_shape *pyddb_shape_get(pyddb_table *table, ddb_shape_kind kind, PyObject *const *keys,
                                 Py_ssize_t count);
void pyddb_shapes_fini(pyddb_table *table);
/* Appends one mapping as a record or as changes; `what` names it in messages. */
int pyddb_append_record(pyddb_table *table, ddb_builder *builder, ddb_shape_kind kind,
                        bool validate, PyObject *mapping, const char *what);
/* The same of an exact dict of changes. 1: some of the values are not plain, and nothing was done. */
int pyddb_append_changes(pyddb_table *table, ddb_builder *builder, PyObject *dict);
bool pyddb_is_mapping(PyObject *object);
/* A new dict of a mapping; `what` names it in messages. */
PyObject *pyddb_dict_of(pyddb_table *table, PyObject *mapping, const char *what);

/* ---- Types --------------------------------------------------------------------------------- */

/* An Expression or a Field: one of the two is there. */
typedef struct pyddb_expr {
  PyObject_HEAD PYDDB_APART pyddb_state *state;
  PyObject *name;      /* of a Field */
  ddb_expr *expr;      /* of any other expression */
  ddb_table *keyed_by; /* the table that keeps this Field of its primary key: borrowed; or NULL */
} pyddb_expr;

/* It holds for the records that both `cond` and `code` hold for. */
typedef struct pyddb_cond {
  PyObject_HEAD PYDDB_APART pyddb_state *state;
  ddb_cond *cond; /* NULL: all records; then there is code */
  PyObject
      *point_field; /* only few records of a given key can match: the field asked for; or NULL */
  PyObject *code;   /* what callables are asked, see code.c; NULL: nothing */
} pyddb_cond;

struct pyddb_snapshot {
  PyObject_HEAD pyddb_state *state;
  ddb_snapshot *snapshot;
  ddb_table **tables; /* of its instant, one reference each */
  size_t table_count;
  PyObject *weak_list;
  _Atomic uint32_t users; /* open views, and the object itself until it is closed */
  _Atomic bool closed;
};

/* Append(item), Remove(item), UNSET. */
typedef struct pyddb_change {
  PyObject_HEAD ddb_change_kind kind;
  PyObject *item; /* NULL for UNSET */
} pyddb_change;

/* The type objects' specs: each file makes its type. */
extern PyType_Spec pyddb_db_spec, pyddb_db_guard_spec, pyddb_snapshot_spec, pyddb_table_spec,
    pyddb_table_view_spec, pyddb_cursor_spec, pyddb_record_view_spec, pyddb_expr_spec,
    pyddb_field_spec, pyddb_cond_spec, pyddb_change_spec, pyddb_order_spec, pyddb_lock_spec,
    pyddb_guard_spec;

/* A Table object of `type` (NULL: the state's) for `table`, whose reference is taken. */
PyObject *pyddb_table_new(pyddb_state *state, PyTypeObject *type, ddb_table *core,
                          pyddb_missing missing);
/* Makes the table in `db`; both for Table() and DictDB.create_table. */
ddb_table *pyddb_table_create(pyddb_state *state, ddb_db *db, PyObject *name, PyObject *key,
                              PyObject *schema);
/* dict name -> type, or None; new reference. */
PyObject *pyddb_schema_out(pyddb_state *state, ddb_table *table);
/* A schema as ddb_table_create wants it, with what it points to. */
typedef struct pyddb_schema {
  PyObject *rows; /* list of (name, bits) or (name, bits, default) */
  pyddb_text *texts;
  ddb_schema_field *fields;
  ddb_value *defaults;
  ddb_builder *builder;
  size_t count;
} pyddb_schema;
int pyddb_schema_init(pyddb_state *state, PyObject *table, PyObject *object, pyddb_schema *schema);
void pyddb_schema_fini(pyddb_state *state, pyddb_schema *schema);

PyObject *pyddb_field_new(pyddb_state *state, PyObject *name);
void pyddb_fields_fini(pyddb_fields *kept);
/* An Expression over `expr`, whose reference it takes. */
PyObject *pyddb_expr_new(pyddb_state *state, ddb_expr *expr);
void pyddb_expr_dealloc(PyObject *self);
static inline bool pyddb_is_expr(const pyddb_state *state, PyObject *object) {
  return Py_IS_TYPE(object, state->field_type) || Py_IS_TYPE(object, state->expr_type);
}
/* What an expression stands for: a new reference. NULL: exception. */
ddb_expr *pyddb_expr_take(pyddb_expr *self);
/* The same of an expression or of any value; `field` is the name for messages, or NULL. */
ddb_expr *pyddb_expr_operand(pyddb_state *state, PyObject *object, PyObject *field);
PyObject *pyddb_expr_compare(PyObject *self, PyObject *other, int op);
PyObject *pyddb_expr_len(PyObject *object, PyObject *unused);
PyObject *pyddb_expr_like(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_expr_ilike(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_expr_matches(PyObject *object, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw);
PyObject *pyddb_expr_iequals(PyObject *self, PyObject *text);
PyObject *pyddb_expr_icontains(PyObject *self, PyObject *text);
PyObject *pyddb_expr_istartswith(PyObject *self, PyObject *text);
PyObject *pyddb_expr_iendswith(PyObject *self, PyObject *text);
extern PyMethodDef pyddb_expr_methods[];

/* str or Field to str (new reference). `what`: "order_by". Checks that the schema has it. */
PyObject *pyddb_field_argument(pyddb_source *source, PyObject *object, const char *what);
/* The same of what may be an Expression, too, which is itself then. */
PyObject *pyddb_column_argument(pyddb_source *source, PyObject *object, const char *what);
/* UnknownFieldError when a schema lacks `name`. */
int pyddb_field_check(pyddb_source *source, PyObject *name);
/* The `where` of a statement: None, NULL, a Condition or a callable. *out: NULL or a new reference;
 * it may have code, which pyddb_view_select and pyddb_code_matches know how to ask. */
int pyddb_where_argument(pyddb_source *source, PyObject *object, pyddb_cond **out);
/* The same where callables cannot be asked: they are refused. */
int pyddb_cond_argument(pyddb_source *source, PyObject *object, pyddb_cond **out);
/* Is it no condition, or one without code? */
static inline bool pyddb_is_native(const pyddb_state *state, PyObject *object) {
  return !object || object == Py_None ||
         (Py_IS_TYPE(object, state->cond_type) && !((pyddb_cond *)object)->code);
}
/* A Condition, which takes `cond`. */
PyObject *pyddb_cond_new(pyddb_state *state, ddb_cond *cond, PyObject *point_field);
void pyddb_conds_free(pyddb_state *state);

/* Code: see code.c. Each of these returns a new reference; NULL: an exception is set. */
PyObject *pyddb_code_join(pyddb_state *state, bool is_and, PyObject *const *parts,
                          Py_ssize_t count);
PyObject *pyddb_code_not(pyddb_state *state, PyObject *part);
PyObject *pyddb_code_repr(PyObject *code);
/* Would the conditions within the code be refused by this table? */
int pyddb_code_check(pyddb_source *source, PyObject *code);
/* Asks the code about a record: 1, 0, or -1 with an exception. Runs the callers' callables: no lock
 * may be held. *view: NULL, or the record's view; is set when one was made. */
int pyddb_code_matches(pyddb_source *source, PyObject *code, const ddb_record *record,
                       PyObject **view);
/* ddb_view_select with `where` instead of the query's condition; detaches when that is long. Runs
 * callables, if there are any, while the view is open. */
int pyddb_view_select(pyddb_source *source, const ddb_view *view, const pyddb_cond *where,
                      const ddb_query *query, ddb_records *out);
/* Will a statement with this condition be so short that detaching costs more than it gives? */
bool pyddb_is_short(pyddb_source *source, const pyddb_cond *cond, uint64_t record_count);
extern PyMethodDef pyddb_cond_functions[];

/* An Order object. nulls: 'first', 'last', None or NULL. */
PyObject *pyddb_order_new(pyddb_state *state, PyObject *key, bool descending, PyObject *nulls);
PyObject *pyddb_expr_asc(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_expr_desc(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
extern const char pyddb_asc_doc[], pyddb_desc_doc[];
/* An item of order_by; column is a new reference: str or Expression. */
typedef struct pyddb_order_item {
  PyObject *column;
  bool descending;
  ddb_nulls nulls;
} pyddb_order_item;
int pyddb_order_read(pyddb_source *source, PyObject *item, pyddb_order_item *out);

/* A lock object over the lock of `table` (a reference of its own is taken). */
PyObject *pyddb_lock_new(pyddb_state *state, ddb_table *table, PyObject *name);

PyObject *pyddb_record_view_new(pyddb_source *source, const ddb_record *record);
/* A Cursor over all records. */
PyObject *pyddb_source_iter(PyObject *self);
/* Views and TableViews of a snapshot. */
int pyddb_snapshot_use(pyddb_snapshot *snapshot);
void pyddb_snapshot_unuse(pyddb_snapshot *snapshot);
PyObject *pyddb_snapshot_new(pyddb_state *state, ddb_db *db);

/* (filename, file_format=None, *, progress=None) of db (when snapshot is NULL) or snapshot. */
PyObject *pyddb_save(pyddb_state *state, ddb_db *db, pyddb_snapshot *snapshot,
                     PyObject *const *args, Py_ssize_t count, PyObject *kw);
/* A reference; or, when it is a pickle, NULL and a new *object of the class. NULL and NULL: an
 * exception is set. */
ddb_db *pyddb_load(pyddb_state *state, PyObject *class, PyObject *const *args, Py_ssize_t count,
                   PyObject *kw, PyObject **object);
PyObject *pyddb_replace_file(PyObject *module, PyObject *args);
extern const char pyddb_replace_file_doc[];
extern const char pyddb_save_doc[], pyddb_load_doc[];
PyObject *pyddb_import_csv(pyddb_state *state, ddb_db *db, PyObject *const *args, Py_ssize_t count,
                           PyObject *kw);
PyObject *pyddb_import_ndjson(pyddb_state *state, ddb_db *db, PyObject *const *args,
                              Py_ssize_t count, PyObject *kw);
extern const char pyddb_import_csv_doc[], pyddb_import_ndjson_doc[];

/* What long work of the library calls, and what it needs for that. */
typedef struct pyddb_progress {
  PyObject *function; /* borrowed from the arguments, or `bar`, or NULL */
  PyObject *bar;      /* what progress=True asks for, owned */
  uint64_t last_ns;
  uint64_t done, total;
} pyddb_progress;
/* given: NULL, None, False; True for a bar, called by the verb and the path's last part; a callable. */
int pyddb_progress_init(pyddb_state *state, PyObject *given, const char *verb, PyObject *path,
                        pyddb_progress *p);
void pyddb_progress_fini(pyddb_progress *p); /* also when zeroed */
int pyddb_progress_tell(void *context, uint64_t done, uint64_t total);
/* *out: bytes, a new reference. name: of the argument. */
int pyddb_path_argument(pyddb_state *state, PyObject *given, const char *name, PyObject **out);

/* ---- sets.c: chains of files --------------------------------------------------------------- */

ddb_db *pyddb_load_chain(pyddb_state *state, PyObject *args);
PyObject *pyddb_keys_raise(pyddb_state *state, ddb_db *db, PyObject *path);
extern const char pyddb_load_chain_doc[], pyddb_keys_raise_doc[];
extern PyMethodDef pyddb_set_functions[];

/* ---- open.c: databases in a directory ----------------------------------------------------- */

ddb_db *pyddb_open(pyddb_state *state, PyObject *const *args, Py_ssize_t count, PyObject *kw,
                   pyddb_missing *missing);
PyObject *pyddb_sync(pyddb_state *state, ddb_db *db);
PyObject *pyddb_checkpoint(pyddb_state *state, ddb_db *db, PyObject *const *args, Py_ssize_t count,
                           PyObject *kw);
PyObject *pyddb_close(pyddb_state *state, ddb_db *db);
PyObject *pyddb_log_info(pyddb_state *state, ddb_db *db);
extern const char pyddb_open_doc[], pyddb_sync_doc[], pyddb_checkpoint_doc[], pyddb_close_doc[],
    pyddb_log_info_doc[];

/* DictDB.write_lock: tables is a tuple of Table objects. */
PyObject *pyddb_db_guard_new(pyddb_state *state, PyObject *tables, int64_t timeout_ns);
PyObject *pyddb_memory_dict(const ddb_memory *memory);

/* ---- Queries -------------------------------------------------------------------------------- */

/* Fields and expressions, for the library. */
typedef struct pyddb_column_list {
  Py_ssize_t count;
  PyObject *objects; /* list of str and Expression, or NULL */
  pyddb_text *texts;
  ddb_str *strs;    /* of those that are str */
  ddb_expr **exprs; /* of all, when there is an Expression; else NULL */
} pyddb_column_list;

/* What is made of a record. */
typedef enum pyddb_form {
  PYDDB_FORM_DICT,
  PYDDB_FORM_VIEW,
  PYDDB_FORM_COLUMNS, /* a dict of aliases */
  PYDDB_FORM_VALUE,
  PYDDB_FORM_TUPLE
} pyddb_form;

typedef struct pyddb_query {
  ddb_query core;
  pyddb_cond *where; /* strong; it may have code, and is not in `core` */
  PyObject *aliases; /* list of str, one per column */
  pyddb_column_list columns;
  pyddb_column_list order_columns;
  ddb_order *order;
  pyddb_form form;
  const ddb_rowset *rows; /* what expressions are computed of, instead of the source's records */
} pyddb_query;

/* Arguments of queries, borrowed; NULL: not given. In the order of select(). */
enum {
  PYDDB_COLUMNS,
  PYDDB_WHERE,
  PYDDB_ORDER_BY,
  PYDDB_LIMIT,
  PYDDB_OFFSET,
  PYDDB_COPY,
  PYDDB_DISTINCT,
  PYDDB_THREADS,
  PYDDB_QUERY_SLOTS
};
/* On failure there is nothing to fini. */
int pyddb_query_init(pyddb_source *source, pyddb_query *query, PyObject *const *slots);
/* Asks for the values of these fields and expressions instead of records; `what` names the method. The query is to
 * be finished in any case. */
int pyddb_query_fields(pyddb_source *source, pyddb_query *query, PyObject *const *fields,
                       Py_ssize_t count, const char *what);
void pyddb_query_fini(pyddb_query *query);

typedef struct pyddb_reader {
  pyddb_source *source;
  const pyddb_query *query;
  const ddb_shape *shape;     /* of the last record */
  size_t *indexes;            /* of the columns in it; NULL: there are no columns */
  ddb_projection *projection; /* instead of indexes, with expressions */
  ddb_value *values;
  pyddb_texts *texts;
  pyddb_texts own_texts;
} pyddb_reader;

int pyddb_reader_init(pyddb_reader *reader, pyddb_source *source, const pyddb_query *query);
void pyddb_reader_fini(pyddb_reader *reader);
PyObject *pyddb_reader_read(pyddb_reader *reader, const ddb_record *record);
/* A list of what the query gives for each record. */
PyObject *pyddb_records_out(pyddb_source *source, const pyddb_query *query,
                            const ddb_record *const *records, size_t count);

/* Methods of Table and TableView alike. */
PyObject *pyddb_source_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_source_select(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw);
PyObject *pyddb_source_pluck(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_source_first(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_source_one(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_source_exists(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *kw);
PyObject *pyddb_source_iter_by(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw);
PyObject *pyddb_source_count(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_source_export_csv(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw);
PyObject *pyddb_source_export_ndjson(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                     PyObject *kw);
extern const char pyddb_export_csv_doc[], pyddb_export_ndjson_doc[];
/* The names of the fields that a view's records have, a new list. */
PyObject *pyddb_source_columns_of(pyddb_source *source, const ddb_view *view);
extern PyType_Spec pyddb_aggregate_spec;
PyObject *pyddb_source_aggregate(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw);
/* A list of dicts; names: a tuple of str, one for each field. */
PyObject *pyddb_rowset_out(pyddb_state *state, const ddb_rowset *rows, PyObject *names);
extern const char pyddb_source_aggregate_doc[];

/* Joins: see join.c. `source` stands for the rows: names are not checked by a schema of its own. */
PyObject *pyddb_aggregate_join(pyddb_source *source, const ddb_join *join, const ddb_cond *where,
                               PyObject *const *args, Py_ssize_t count, PyObject *kw);
/* Plans as lists of nodes, which Plan is made of: see explain.c. `below` (NULL: none) takes the place of
 * a join's "rows". */
PyObject *pyddb_plan_nodes(const ddb_plan *plan, PyObject *below);
int pyddb_nodes_append(PyObject *list, PyObject *nodes, uint32_t shift);
PyObject *pyddb_explain_nodes(pyddb_source *source, const pyddb_query *query, bool analyze);
/* The arguments are aggregate()'s. */
PyObject *pyddb_aggregate_explain(pyddb_source *source, bool analyze, PyObject *const *args,
                                  Py_ssize_t count, PyObject *kw);
PyObject *pyddb_aggregate_explain_join(pyddb_source *source, const ddb_join *join,
                                       const ddb_cond *where, bool analyze, PyObject *below,
                                       PyObject *const *args, Py_ssize_t count, PyObject *kw);
/* NULL or a condition without callables. */
int pyddb_join_where(pyddb_state *state, const pyddb_cond *where, const ddb_cond **out);
PyObject *pyddb_source_join(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
extern const char pyddb_join_doc[];
extern PyMethodDef pyddb_join_functions[];
/* A TableView. */
PyObject *pyddb_table_view_new(pyddb_snapshot *snapshot, ddb_table *table);
PyObject *pyddb_source_all(PyObject *self, PyObject *unused);
PyObject *pyddb_source_copy(PyObject *self, PyObject *unused);
PyObject *pyddb_source_columns(PyObject *self, PyObject *unused);
PyObject *pyddb_source_size(PyObject *self, PyObject *unused);
PyObject *pyddb_source_indexes(PyObject *self, PyObject *unused);
PyObject *pyddb_source_explain(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw);
PyObject *pyddb_source_indexed_fields(PyObject *self, PyObject *unused);
PyObject *pyddb_source_has_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw);
Py_ssize_t pyddb_source_length(PyObject *self);
int pyddb_source_contains(PyObject *self, PyObject *key);
extern const char pyddb_get_doc[], pyddb_select_doc[], pyddb_pluck_doc[], pyddb_first_doc[],
    pyddb_one_doc[], pyddb_exists_doc[], pyddb_iter_doc[], pyddb_count_doc[], pyddb_all_doc[],
    pyddb_copy_doc[], pyddb_columns_doc[], pyddb_size_doc[], pyddb_indexed_fields_doc[],
    pyddb_has_index_doc[], pyddb_indexes_doc[], pyddb_explain_doc[];
PyObject *pyddb_source_field(PyObject *self, PyObject *name);
PyObject *pyddb_source_attribute(PyObject *self, PyObject *name);

/* What has changed: see mark.c. */
PyObject *pyddb_source_has_changes(PyObject *self, PyObject *unused);
PyObject *pyddb_source_get_dirty_records(PyObject *self, PyObject *unused);
PyObject *pyddb_source_get_deleted_pks(PyObject *self, PyObject *unused);
PyObject *pyddb_source_mark(PyObject *self, PyObject *unused);
PyObject *pyddb_table_stop_dirty_tracking(PyObject *self, PyObject *unused);
extern const char pyddb_has_changes_doc[], pyddb_get_dirty_records_doc[],
    pyddb_get_deleted_pks_doc[], pyddb_mark_doc[], pyddb_clear_dirty_tracking_doc[],
    pyddb_stop_dirty_tracking_doc[];

/* Mappings for update on their way to ddb_changes: see changeset.c. */
struct pyddb_entry;
struct pyddb_row;
typedef struct pyddb_changeset {
  pyddb_table *table;
  ddb_builder *plain;  /* records of CHANGES */
  ddb_builder *values; /* single values */
  struct pyddb_entry *entries;
  size_t entry_count;
  size_t entry_capacity;
  struct pyddb_row *rows;
  size_t row_count;
  size_t row_capacity;
  /* From _finish on, until the next _add. */
  ddb_value *numbers;
  ddb_change *list;
  ddb_changes *changes; /* [row_count] */
} pyddb_changeset;
int pyddb_changeset_init(pyddb_changeset *set, pyddb_table *table); /* on failure: no fini */
void pyddb_changeset_fini(pyddb_changeset *set);
/* Adds a row. Callables in the dict are called with `view`; without one they are refused. */
int pyddb_changeset_add(pyddb_changeset *set, PyObject *dict, PyObject *view);
int pyddb_changeset_finish(pyddb_changeset *set);
/* Is it a callable that stands for a value or a mapping? */
bool pyddb_is_code(PyObject *value);
int pyddb_changes_add(PyObject *module); /* Append, Remove, UNSET */

/* What callables say about the records of one step: see asker.c. */
typedef struct pyddb_asker {
  pyddb_table *table;
  pyddb_changeset *set; /* where changes go */
  PyObject *code;       /* of the condition; NULL: it holds */
  PyObject *dict;       /* the changes; NULL: there is a function, or it deletes */
  PyObject *function;   /* makes the changes of each record; NULL: the dict has them */
  bool per_record;      /* the changes have callables */
  size_t choice;        /* without per_record: the row of all records */
  ddb_judge *judge;     /* from _begin on */
} pyddb_asker;
/* changes: a mapping or a callable; NULL: it deletes. Adds a row when that is the same for all. */
int pyddb_asker_init(pyddb_asker *asker, pyddb_table *table, pyddb_changeset *set,
                     PyObject *changes, pyddb_cond *where); /* on failure: no fini */
void pyddb_asker_fini(pyddb_asker *asker);
/* Has it anything to ask? */
static inline bool pyddb_asker_asks(const pyddb_asker *asker) {
  return asker->code || asker->per_record;
}
int pyddb_asker_begin(pyddb_asker *asker);
/* Asks, unless the judge knows; by_contents: the record is not of a view. */
int pyddb_asker_ask(pyddb_asker *asker, const ddb_record *record, bool by_contents, size_t *choice);

/* Runs steps, detached if that may be long. NULL without an exception: the outcome is stale, and the
 * caller's to free; else nothing is left of it. */
PyObject *pyddb_steps_run(pyddb_table *table, const ddb_run *run, bool detach, ddb_outcome *out);
/* A list of dicts, with None for records that are not there. */
PyObject *pyddb_outcome_records(pyddb_table *table, const ddb_outcome *out);
/* Rounds of a statement with callables that go without a lock. */
#define PYDDB_ROUNDS 3
/* Takes the public write lock for the rounds after them. */
int pyddb_rounds_lock(pyddb_table *table);
void pyddb_rounds_unlock(pyddb_table *table);
PyObject *pyddb_rounds_fail(pyddb_table *table); /* callables change what they are asked about */

/* Arguments of update and delete, borrowed; NULL: not given. */
typedef struct pyddb_run_arguments {
  PyObject *where;
  PyObject *limit;
  PyObject *order_by;
  PyObject *returning;
  PyObject *missing;
} pyddb_run_arguments;
/* Any update (changes: a mapping or a callable) or delete (changes: NULL). */
PyObject *pyddb_run(pyddb_table *table, PyObject *changes, const pyddb_run_arguments *args);

/* Methods of Table that write. */
PyObject *pyddb_table_insert(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_table_upsert(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_table_update(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_table_update_many(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw);
PyObject *pyddb_table_delete(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw);
PyObject *pyddb_table_validate(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw);
extern const char pyddb_insert_doc[], pyddb_upsert_doc[], pyddb_update_doc[],
    pyddb_update_many_doc[], pyddb_delete_doc[], pyddb_validate_doc[];

PyObject *pyddb_table_create_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *kw);
PyObject *pyddb_table_drop_index(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw);
extern const char pyddb_create_index_doc[], pyddb_drop_index_doc[];

#ifdef DDB_TESTING
/* Under the planted fault: the public write lock is taken before the conversion. */
bool pyddb_test_convert_locked(void);
extern PyMethodDef pyddb_test_functions[];
#endif

#endif
