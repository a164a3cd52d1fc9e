/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregate.c - Aggregate, the base of Count, Sum and the rest, and aggregate().
 *
 *   arguments --call_init--> ddb_aggregate_query --run (detached when long)--> ddb_rowset --> dicts
 *
 * A call owns everything its query points to: `keep` holds the str objects whose bytes are lent. The
 * rows of the result need neither the view nor the table.
 */
#include "pyddb.h"

/* ---- The type ------------------------------------------------------------------------------ */

typedef struct pyddb_aggregate {
  PyObject_HEAD pyddb_state *state;
  PyObject *argument; /* str or Expression; NULL: none */
  double quantile;
  ddb_aggregate_kind kind;
} pyddb_aggregate;

static const struct {
  const char *name;
  ddb_aggregate_kind kind;
} kinds[] = {
    {"Count", DDB_AGGREGATE_COUNT},     {"Sum", DDB_AGGREGATE_SUM},
    {"Avg", DDB_AGGREGATE_AVG},         {"Min", DDB_AGGREGATE_MIN},
    {"Max", DDB_AGGREGATE_MAX},         {"CountDistinct", DDB_AGGREGATE_COUNT_DISTINCT},
    {"First", DDB_AGGREGATE_FIRST},     {"Last", DDB_AGGREGATE_LAST},
    {"StdDev", DDB_AGGREGATE_STDDEV},   {"PopulationStdDev", DDB_AGGREGATE_STDDEV_POPULATION},
    {"Median", DDB_AGGREGATE_MEDIAN},   {"Quantile", DDB_AGGREGATE_QUANTILE},
    {"Collect", DDB_AGGREGATE_COLLECT},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static void aggregate_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF(((pyddb_aggregate *)self)->argument);
  type->tp_free(self);
  Py_DECREF(type);
}

static int find_kind(pyddb_state *state, PyObject *name, ddb_aggregate_kind *kind) {
  for (size_t i = 0; i < KIND_COUNT && PyUnicode_Check(name); i++) {
    if (PyUnicode_CompareWithASCIIString(name, kinds[i].name) == 0) {
      *kind = kinds[i].kind;
      return 0;
    }
  }
  pyddb_raise_format(state, DDB_ERR_INVALID, "no such aggregate: %R", name);
  return -1;
}

static int check_argument(pyddb_state *state, PyObject *name, PyObject *argument) {
  if (PyUnicode_Check(argument) || pyddb_is_expr(state, argument)) {
    return 0;
  }
  pyddb_raise_format(state, DDB_ERR_TYPE, "%U(): a field is a str or an Expression, not '%s'", name,
                     Py_TYPE(argument)->tp_name);
  return -1;
}

/* Of Quantile: a number from 0 to 1. */
static int read_quantile(pyddb_state *state, PyObject *object, double *out) {
  if (pyddb_number_argument(state, object, "Quantile(): q", out) < 0) {
    return -1;
  }
  if (!(*out >= 0 && *out <= 1)) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "Quantile(): q must be from 0 to 1, not %R", object);
    return -1;
  }
  return 0;
}

static PyObject *aggregate_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static const char *const names[] = {"kind", "field", "quantile"};
  static const pyddb_signature signature = {"Aggregate", names, 3, 3, 1};
  PyObject *slots[3];
  pyddb_state *state = pyddb_state_of(type);
  if (!state || pyddb_bind_tuple(&signature, args, keywords, slots) < 0) {
    return NULL;
  }
  ddb_aggregate_kind kind;
  double quantile = 0;
  PyObject *argument = slots[1] == Py_None ? NULL : slots[1];
  if (find_kind(state, slots[0], &kind) < 0 ||
      ((argument || kind != DDB_AGGREGATE_COUNT) &&
       check_argument(state, slots[0], argument ? argument : Py_None) < 0) ||
      (slots[2] && read_quantile(state, slots[2], &quantile) < 0)) {
    return NULL;
  }
  pyddb_aggregate *self = (pyddb_aggregate *)type->tp_alloc(type, 0);
  if (self) {
    self->state = state;
    self->kind = kind;
    self->quantile = quantile;
    self->argument = Py_XNewRef(argument);
  }
  return (PyObject *)self;
}

static PyObject *argument_name(pyddb_state *state, PyObject *argument) {
  return Py_IS_TYPE(argument, state->field_type) ? ((pyddb_expr *)argument)->name : argument;
}

static PyObject *aggregate_repr(PyObject *self) {
  pyddb_aggregate *aggregate = (pyddb_aggregate *)self;
  bool population = aggregate->kind == DDB_AGGREGATE_STDDEV_POPULATION;
  const char *name = population ? "StdDev" : "";
  for (size_t i = 0; i < KIND_COUNT && !population; i++) {
    name = kinds[i].kind == aggregate->kind ? kinds[i].name : name;
  }
  if (!aggregate->argument) {
    return PyUnicode_FromFormat("%s()", name);
  }
  PyObject *field = argument_name(aggregate->state, aggregate->argument);
  if (aggregate->kind != DDB_AGGREGATE_QUANTILE) {
    return PyUnicode_FromFormat("%s(%R%s)", name, field, population ? ", population=True" : "");
  }
  PyObject *quantile = PyFloat_FromDouble(aggregate->quantile);
  PyObject *text = quantile ? PyUnicode_FromFormat("%s(%R, %R)", name, field, quantile) : NULL;
  Py_XDECREF(quantile);
  return text;
}

PyDoc_STRVAR(aggregate_type_doc,
             "Aggregate(kind, field=None, quantile=0)\n--\n\n"
             "The base of Count, Sum, Avg, Min, Max, CountDistinct, First, Last, StdDev,\n"
             "Median, Quantile and Collect, which aggregate() takes.");

static PyType_Slot aggregate_slots[] = {
    PYDDB_SLOT(Py_tp_new, aggregate_new),
    PYDDB_SLOT(Py_tp_dealloc, aggregate_dealloc),
    PYDDB_SLOT(Py_tp_repr, aggregate_repr),
    {Py_tp_doc, (void *)(uintptr_t)aggregate_type_doc},
    {0, NULL},
};

PyType_Spec pyddb_aggregate_spec = {
    .name = "dictdb._core.Aggregate",
    .basicsize = sizeof(pyddb_aggregate),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = aggregate_slots,
};

/* ---- Calls --------------------------------------------------------------------------------- */

typedef struct call {
  pyddb_source *source;
  ddb_aggregate_query query;
  PyObject *keep; /* list: owners of the texts below */
  PyObject *keys; /* list of str: the names of the result's fields */
  pyddb_text *texts;
  size_t text_count;
  ddb_expr **exprs; /* one reference each */
  size_t expr_count;
  ddb_group_field *groups;
  ddb_aggregate *aggregates;
  ddb_order *order;
  pyddb_cond *where;
  pyddb_cond *having;
} call;

static void call_fini(call *c) {
  for (size_t i = 0; i < c->text_count; i++) {
    pyddb_text_fini(&c->texts[i]);
  }
  for (size_t i = 0; i < c->expr_count; i++) {
    ddb_expr_release(c->exprs[i]);
  }
  PyMem_Free(c->texts);
  PyMem_Free(c->exprs);
  PyMem_Free(c->groups);
  PyMem_Free(c->aggregates);
  PyMem_Free(c->order);
  Py_CLEAR(c->keep);
  Py_CLEAR(c->keys);
  Py_CLEAR(c->where);
  Py_CLEAR(c->having);
}

/* The bytes of a str, for as long as the call lives. */
static int text_of(call *c, PyObject *object, ddb_str *out) {
  pyddb_text *texts = PyMem_Realloc(c->texts, (c->text_count + 1) * sizeof *texts);
  if (!texts) {
    PyErr_NoMemory();
    return -1;
  }
  c->texts = texts;
  if (PyList_Append(c->keep, object) < 0 || pyddb_text_init(&texts[c->text_count], object) < 0) {
    return -1;
  }
  *out = texts[c->text_count++].str;
  return 0;
}

static bool is_computed(call *c, PyObject *object) {
  pyddb_state *state = c->source->state;
  return pyddb_is_expr(state, object) && !Py_IS_TYPE(object, state->field_type);
}

/* The library's expression, for as long as the call lives. */
static int expr_of(call *c, PyObject *object, ddb_expr **expr) {
  ddb_expr **exprs = PyMem_Realloc(c->exprs, (c->expr_count + 1) * sizeof(ddb_expr *));
  if (!exprs) {
    PyErr_NoMemory();
    return -1;
  }
  c->exprs = exprs;
  *expr = pyddb_expr_take((pyddb_expr *)object);
  if (!*expr) {
    return -1;
  }
  c->exprs[c->expr_count++] = *expr;
  return 0;
}

/* What is read of each record: a str or Field of the source, or another expression. */
static int read_of(call *c, PyObject *object, const char *what, ddb_str *field, ddb_expr **expr) {
  if (!is_computed(c, object)) {
    PyObject *name = pyddb_field_argument(c->source, object, what);
    int result = name ? text_of(c, name, field) : -1;
    Py_XDECREF(name);
    if (result == 0 && !field->data) {
      field->data = ""; /* the empty name is one */
    }
    return result;
  }
  return expr_of(c, object, expr);
}

/* The name of one more field of the result. */
static int add_key(call *c, PyObject *name, const char *what, ddb_str *out) {
  pyddb_state *state = c->source->state;
  if (!PyUnicode_Check(name)) {
    pyddb_raise_format(state, DDB_ERR_TYPE, "%s: an alias must be str, not '%s'", what,
                       Py_TYPE(name)->tp_name);
    return -1;
  }
  int present = PySequence_Contains(c->keys, name);
  if (present > 0) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "%s: %R occurs twice in the result", what, name);
  }
  return present != 0 || PyList_Append(c->keys, name) < 0 ? -1 : text_of(c, name, out);
}

/* ---- group_by ------------------------------------------------------------------------------ */

static int add_group(call *c, PyObject *alias, PyObject *field) {
  ddb_group_field *group = &c->groups[c->query.group_count];
  if (read_of(c, field, "group_by", &group->field, &group->expr) < 0) {
    return -1;
  }
  /* An expression that was given no name is called what it says, as in columns. */
  PyObject *name = alias                   ? Py_NewRef(alias)
                   : is_computed(c, field) ? PyObject_Repr(field)
                                           : Py_NewRef(argument_name(c->source->state, field));
  int result = name ? add_key(c, name, "group_by", &group->name) : -1;
  Py_XDECREF(name);
  c->query.group_count += result == 0;
  return result;
}

static int add_group_item(call *c, PyObject *item) {
  if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
    return add_group(c, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
  }
  return add_group(c, NULL, item);
}

/* A tuple of fields or of (alias, field) pairs. */
static PyObject *group_items(call *c, PyObject *group_by) {
  pyddb_state *state = c->source->state;
  if (PyDict_Check(group_by)) {
    PyObject *items = PyDict_Items(group_by);
    PyObject *tuple = items ? PyList_AsTuple(items) : NULL;
    Py_XDECREF(items);
    return tuple;
  }
  if (PyUnicode_Check(group_by) || pyddb_is_expr(state, group_by)) {
    return PyTuple_Pack(1, group_by);
  }
  if (PyBytes_Check(group_by) || !Py_TYPE(group_by)->tp_iter) {
    return pyddb_raise_format(state, DDB_ERR_TYPE,
                              "group_by must be a field, a list of fields, or a dict of alias to "
                              "field, not '%s'",
                              Py_TYPE(group_by)->tp_name);
  }
  return PySequence_Tuple(group_by);
}

static int read_groups(call *c, PyObject *group_by) {
  if (!group_by || group_by == Py_None) {
    return 0;
  }
  PyObject *items = group_items(c, group_by);
  if (!items) {
    return -1;
  }
  int result = 0;
  c->groups = PyMem_Calloc((size_t)PyTuple_GET_SIZE(items) + 1, sizeof *c->groups);
  if (!c->groups) {
    PyErr_NoMemory();
    result = -1;
  } else if (PyTuple_GET_SIZE(items) == 0) {
    pyddb_raise_format(c->source->state, DDB_ERR_INVALID, "group_by names no field");
    result = -1;
  }
  for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(items); i++) {
    result = add_group_item(c, PyTuple_GET_ITEM(items, i));
  }
  Py_DECREF(items);
  c->query.groups = c->groups;
  return result;
}

/* ---- order_by ------------------------------------------------------------------------------ */

/* Of a name of the result: those are checked when the result is there, not by the table's schema. */
static int add_order(call *c, PyObject *item) {
  pyddb_source result = {.state = c->source->state};
  ddb_order *order = &c->order[c->query.order_count];
  pyddb_order_item read;
  if (pyddb_order_read(&result, item, &read) < 0) {
    return -1;
  }
  order->descending = read.descending;
  order->nulls = read.nulls;
  int status = PyUnicode_Check(read.column) ? text_of(c, read.column, &order->field)
                                            : expr_of(c, read.column, &order->expr);
  Py_DECREF(read.column);
  c->query.order_count += status == 0;
  return status;
}

static int read_order(call *c, PyObject *order_by) {
  if (!order_by || order_by == Py_None) {
    return 0;
  }
  bool many = PyList_Check(order_by) || PyTuple_Check(order_by);
  PyObject *items = many ? PySequence_Tuple(order_by) : PyTuple_Pack(1, order_by);
  if (!items) {
    return -1;
  }
  int result = 0;
  c->order = PyMem_Calloc((size_t)PyTuple_GET_SIZE(items) + 1, sizeof *c->order);
  if (!c->order) {
    PyErr_NoMemory();
    result = -1;
  }
  for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(items); i++) {
    result = add_order(c, PyTuple_GET_ITEM(items, i));
  }
  Py_DECREF(items);
  c->query.order = c->order;
  return result;
}

/* ---- Aggregates ---------------------------------------------------------------------------- */

enum { WHERE, GROUP_BY, HAVING, ORDER_BY, LIMIT, OFFSET, THREADS, ARGUMENT_COUNT };
static const char *const argument_names[] = {"where", "group_by", "having", "order_by",
                                             "limit", "offset",   "threads"};

static int add_aggregate(call *c, PyObject *name, PyObject *object) {
  pyddb_state *state = c->source->state;
  if (!PyObject_TypeCheck(object, state->aggregate_type)) {
    const char *nearest = pyddb_nearest(name, argument_names, ARGUMENT_COUNT);
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "aggregate(): %U must be an aggregate, such as Sum('price'), not '%s'%s%s%s",
                       name, Py_TYPE(object)->tp_name, nearest ? "; did you mean '" : "",
                       nearest ? nearest : "", nearest ? "'?" : "");
    return -1;
  }
  pyddb_aggregate *aggregate = (pyddb_aggregate *)object;
  ddb_aggregate *item = &c->aggregates[c->query.aggregate_count];
  item->kind = aggregate->kind;
  item->quantile = aggregate->quantile;
  if ((aggregate->argument &&
       read_of(c, aggregate->argument, "aggregate", &item->field, &item->expr) < 0) ||
      add_key(c, name, "aggregate()", &item->name) < 0) {
    return -1;
  }
  c->query.aggregate_count++;
  return 0;
}

/* Slots of the arguments that have names of their own; all other keywords are aggregates. */
static int read_arguments(PyObject *const *args, Py_ssize_t count, PyObject *kw, PyObject **slots,
                          PyObject *named) {
  static const pyddb_signature signature = {"aggregate", argument_names, ARGUMENT_COUNT, 2, 0};
  if (pyddb_bind(&signature, args, count, NULL, slots) < 0) {
    return -1;
  }
  for (Py_ssize_t i = 0; kw && i < PyTuple_GET_SIZE(kw); i++) {
    PyObject *name = PyTuple_GET_ITEM(kw, i);
    int slot = 0;
    while (slot < ARGUMENT_COUNT &&
           PyUnicode_CompareWithASCIIString(name, argument_names[slot]) != 0) {
      slot++;
    }
    if (slot == ARGUMENT_COUNT) {
      if (PyDict_SetItem(named, name, args[count + i]) < 0) {
        return -1;
      }
    } else if (slots[slot]) {
      PyErr_Format(PyExc_TypeError, "aggregate() got multiple values for argument '%s'",
                   argument_names[slot]);
      return -1;
    } else {
      slots[slot] = args[count + i];
    }
  }
  return 0;
}

static int read_aggregates(call *c, PyObject *named) {
  c->aggregates = PyMem_Calloc((size_t)PyDict_GET_SIZE(named) + 1, sizeof *c->aggregates);
  if (!c->aggregates) {
    PyErr_NoMemory();
    return -1;
  }
  c->query.aggregates = c->aggregates;
  PyObject *name, *object;
  Py_ssize_t position = 0;
  while (PyDict_Next(named, &position, &name, &object)) { /* nobody else has this dict */
    if (add_aggregate(c, name, object) < 0) {
      return -1;
    }
  }
  return 0;
}

/* A Condition over the result's names. */
static int read_having(call *c, PyObject *having) {
  pyddb_state *state = c->source->state;
  if (!having || having == Py_None) {
    return 0;
  }
  if (!Py_IS_TYPE(having, state->cond_type) || ((pyddb_cond *)having)->code) {
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "having must be a Condition over the result's names, such as "
                       "Field('n') > 1, not %R",
                       having);
    return -1;
  }
  c->having = (pyddb_cond *)Py_NewRef(having);
  c->query.having = c->having->cond;
  return 0;
}

static int check_rows_wanted(call *c, PyObject *const *slots) {
  pyddb_state *state = c->source->state;
  if (c->query.group_count + c->query.aggregate_count == 0) {
    pyddb_raise_format(state, DDB_ERR_INVALID,
                       "aggregate() needs an aggregate, such as total=Sum('price')");
    return -1;
  }
  for (int slot = HAVING; slot <= OFFSET && c->query.group_count == 0; slot++) {
    if (slots[slot] && slots[slot] != Py_None) {
      pyddb_raise_format(state, DDB_ERR_INVALID, "aggregate(): %s needs group_by",
                         argument_names[slot]);
      return -1;
    }
  }
  return 0;
}

static int call_init(call *c, pyddb_source *source, PyObject *const *args, Py_ssize_t count,
                     PyObject *kw) {
  *c = (call){.source = source, .query = DDB_AGGREGATE_QUERY_INIT};
  PyObject *slots[ARGUMENT_COUNT];
  PyObject *named = PyDict_New();
  c->keep = PyList_New(0);
  c->keys = PyList_New(0);
  int result = -1;
  if (named && c->keep && c->keys && read_arguments(args, count, kw, slots, named) == 0 &&
      pyddb_where_argument(source, slots[WHERE], &c->where) == 0 &&
      read_having(c, slots[HAVING]) == 0 && read_groups(c, slots[GROUP_BY]) == 0 &&
      read_aggregates(c, named) == 0 && read_order(c, slots[ORDER_BY]) == 0 &&
      check_rows_wanted(c, slots) == 0 &&
      (!slots[LIMIT] || slots[LIMIT] == Py_None ||
       pyddb_count_argument(source->state, slots[LIMIT], "limit", &c->query.limit) == 0) &&
      (!slots[OFFSET] ||
       pyddb_count_argument(source->state, slots[OFFSET], "offset", &c->query.offset) == 0) &&
      pyddb_threads_argument(source->state, slots[THREADS], &c->query.threads) == 0) {
    result = 0;
  }
  Py_XDECREF(named);
  if (result < 0) {
    call_fini(c);
  }
  return result;
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Those that the callables choose. */
static int choose_records(call *c, const ddb_view *view, ddb_records *records) {
  ddb_query all = DDB_QUERY_INIT;
  all.threads = c->query.threads;
  return pyddb_view_select(c->source, view, c->where, &all, records);
}

/* On an open view. Where callables choose the records, they are asked first. */
static ddb_rowset *run(call *c, const ddb_view *view) {
  pyddb_state *state = c->source->state;
  ddb_records records = {0};
  if (c->where && c->where->code) {
    if (choose_records(c, view, &records) < 0) {
      return NULL;
    }
    c->query.records = &records;
  } else {
    c->query.where = c->where ? c->where->cond : NULL;
  }
  bool detach = !pyddb_is_short(c->source, c->where, ddb_view_count(view));
  pyddb_detach_if(detach);
  ddb_rowset *rows = NULL;
  ddb_error err;
  ddb_status status = ddb_view_aggregate(view, &c->query, &rows, &err);
  pyddb_attach_if(detach);
  c->query.records = NULL; /* it ends here */
  ddb_records_free(&records);
  if (status != DDB_OK) {
    pyddb_raise(state, &err);
  }
  return status == DDB_OK ? rows : NULL;
}

PyObject *pyddb_rowset_out(pyddb_state *state, const ddb_rowset *rows, PyObject *names) {
  size_t count = ddb_rowset_count(rows);
  PyObject *list = PyList_New((Py_ssize_t)count);
  pyddb_breath breath = {0};
  for (size_t i = 0; list && i < count; i++) {
    PyObject *dict = pyddb_record_dict(state, ddb_rowset_record(rows, i), names);
    if (dict) {
      PyList_SET_ITEM(list, (Py_ssize_t)i, dict);
    }
    if (!dict || pyddb_breathe(&breath) < 0) {
      Py_CLEAR(list);
    }
  }
  return list;
}

static PyObject *rows_out(call *c, const ddb_rowset *rows) {
  pyddb_state *state = c->source->state;
  PyObject *names = PyList_AsTuple(c->keys);
  PyObject *result = NULL;
  if (names) {
    result = c->query.group_count > 0 ? pyddb_rowset_out(state, rows, names)
                                      : pyddb_record_dict(state, ddb_rowset_record(rows, 0), names);
    Py_DECREF(names);
  }
  return result;
}

const char pyddb_source_aggregate_doc[] =
    "aggregate($self, where=None, group_by=None, *, having=None,\n"
    "          order_by=None, limit=None, offset=0, threads=None, **named)\n--\n\n"
    "Returns a dict of the named aggregates (Count, Sum, ...) over the records that\n"
    "where holds for, of one instant; with group_by a list of such dicts, one for\n"
    "each group, the group's fields first.\n\n"
    "where: a Condition or a callable that takes a RecordView; None: all.\n"
    "group_by: a field (str or Field), a list of fields, or a dict of alias to\n"
    "field or Expression (without an alias it is called what it says);\n"
    "values are the same as == says, NaN and NaN too. having: a Condition over the\n"
    "result's names, or what a group is of. order_by: such a name, field or\n"
    "Expression, or a list of them, '-name' is descending; None: by the first\n"
    "record of each group. limit: int, or None.\n"
    "offset: int. threads: at most so many look for the records, as in select();\n"
    "they are added up in order, so that the answer is the same to the last digit.\n"
    "named: aggregates. They pass over None; of no values Count and\n"
    "CountDistinct are 0, Collect is [], all others are None.\n\n"
    "Raises UnsupportedTypeError (a TypeError) for a value that cannot be added or\n"
    "is not a number, naming field and type; UnknownFieldError;\n"
    "InvalidArgumentError (a ValueError) for a name that occurs twice; LimitError.";

PyObject *pyddb_source_aggregate(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *kw) {
  call c;
  if (call_init(&c, (pyddb_source *)self, args, count, kw) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  ddb_view view;
  if (pyddb_view_open(c.source, &view) == 0) {
    ddb_rowset *rows = run(&c, &view);
    pyddb_view_close(c.source, &view);
    if (rows) {
      result = rows_out(&c, rows);
      ddb_rowset_free(rows);
    }
  }
  call_fini(&c);
  return result;
}

PyObject *pyddb_aggregate_join(pyddb_source *source, const ddb_join *join, const ddb_cond *where,
                               PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  call c;
  if (call_init(&c, source, args, count, kw) < 0) {
    return NULL;
  }
  ddb_rowset *rows = NULL;
  ddb_error err;
  c.query.where = where;
  pyddb_detach();
  ddb_status status = ddb_join_aggregate(join, &c.query, &rows, &err);
  pyddb_attach();
  PyObject *result = status == DDB_OK ? rows_out(&c, rows) : pyddb_raise(source->state, &err);
  ddb_rowset_free(rows);
  call_fini(&c);
  return result;
}

/* ---- Explaining ---------------------------------------------------------------------------- */

static PyObject *nodes_of(call *c, ddb_status status, ddb_plan *plan, const ddb_error *err,
                          PyObject *below) {
  PyObject *nodes = NULL;
  if (status == DDB_OK) {
    nodes = pyddb_plan_nodes(plan, below);
    ddb_plan_free(plan);
  } else {
    pyddb_raise(c->source->state, err);
  }
  return nodes;
}

static PyObject *explain_native(call *c, const ddb_view *view, bool analyze) {
  ddb_plan plan;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_explain_aggregate(view, &c->query, analyze, &plan, &err);
  pyddb_attach();
  return nodes_of(c, status, &plan, &err, NULL);
}

/* The steps down to the one that adds records up: those that callables choose, or, when they are not
 * to be run, none. */
static PyObject *explain_ends(call *c, const ddb_view *view, bool analyze) {
  ddb_plan plan;
  ddb_error err;
  ddb_records records = {0};
  uint64_t start_ns = pyddb_now_ns();
  if (analyze && choose_records(c, view, &records) < 0) {
    return NULL;
  }
  c->query.records = &records;
  pyddb_detach();
  ddb_status status = ddb_view_explain_aggregate(view, &c->query, analyze, &plan, &err);
  pyddb_attach();
  c->query.records = NULL; /* it ends here */
  ddb_records_free(&records);
  if (status == DDB_OK && analyze) {
    plan.nodes[0].ns = pyddb_now_ns() - start_ns;
  }
  return nodes_of(c, status, &plan, &err, NULL);
}

/* With callables: below the ends is what a select finds for them. */
static PyObject *explain_asking(call *c, const ddb_view *view, bool analyze) {
  pyddb_query query = {.core = DDB_QUERY_INIT, .where = c->where};
  PyObject *nodes = explain_ends(c, view, analyze);
  PyObject *below = nodes ? pyddb_explain_nodes(c->source, &query, analyze) : NULL;
  if (nodes && (!below || pyddb_nodes_append(nodes, below, (uint32_t)PyList_GET_SIZE(nodes)) < 0)) {
    Py_CLEAR(nodes);
  }
  Py_XDECREF(below);
  return nodes;
}

PyObject *pyddb_aggregate_explain(pyddb_source *source, bool analyze, PyObject *const *args,
                                  Py_ssize_t count, PyObject *kw) {
  call c;
  if (call_init(&c, source, args, count, kw) < 0) {
    return NULL;
  }
  PyObject *nodes = NULL;
  ddb_view view;
  if (pyddb_view_open(source, &view) == 0) {
    bool asks = c.where && c.where->code;
    c.query.where = c.where && !asks ? c.where->cond : NULL;
    nodes = asks ? explain_asking(&c, &view, analyze) : explain_native(&c, &view, analyze);
    pyddb_view_close(source, &view);
  }
  call_fini(&c);
  return nodes;
}

PyObject *pyddb_aggregate_explain_join(pyddb_source *source, const ddb_join *join,
                                       const ddb_cond *where, bool analyze, PyObject *below,
                                       PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  call c;
  if (call_init(&c, source, args, count, kw) < 0) {
    return NULL;
  }
  ddb_plan plan;
  ddb_error err;
  c.query.where = where;
  pyddb_detach();
  ddb_status status = ddb_join_explain_aggregate(join, &c.query, analyze, &plan, &err);
  pyddb_attach();
  PyObject *nodes = nodes_of(&c, status, &plan, &err, below);
  call_fini(&c);
  return nodes;
}
