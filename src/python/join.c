/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c - what dictdb.Join (python/dictdb/_join.py) is built on: tables as one snapshot sees them,
 * and the running of a chain of joins.
 *
 *   base --step--> rows --step--> rows ... --last step--> count, dicts, or aggregates
 *
 * A step is a tuple (view, is_left, ((left, right), ...), ((is_right, field, name), ...), where): the
 * table that is joined, how, on which fields, the fields of the rows, and which of them are kept (None:
 * all). The steps are a tuple of the caller's, which holds all that a chain borrows.
 */
#include "pyddb.h"

typedef struct step {
  ddb_join join;
  ddb_view view; /* of the right side */
  pyddb_source *source;
  bool is_open;
  ddb_join_key *keys;
  ddb_join_column *columns;
  const ddb_cond *where;
  ddb_cond *own; /* NULL; or `where`, when that was made here */
} step;

typedef struct chain {
  pyddb_state *state;
  pyddb_source *base;
  ddb_view view;
  bool is_open;
  step *steps;
  Py_ssize_t step_count;
  pyddb_text *texts;
  size_t text_count;
  size_t text_capacity;
  ddb_rowset *rows; /* what the last step's left side is */
  bool explains;
  bool analyzes;
  PyObject *below; /* list: the plan of the steps before; NULL: none was told */
} chain;

/* ---- Reading steps ------------------------------------------------------------------------- */

static int text_of(chain *c, PyObject *object, ddb_str *out) {
  if (c->text_count == c->text_capacity) {
    size_t capacity = c->text_capacity ? c->text_capacity * 2 : 32;
    pyddb_text *texts = PyMem_Realloc(c->texts, capacity * sizeof *texts);
    if (!texts) {
      PyErr_NoMemory();
      return -1;
    }
    c->texts = texts;
    c->text_capacity = capacity;
  }
  if (!PyUnicode_Check(object)) {
    PyErr_SetString(PyExc_TypeError, "a name in a join must be str");
    return -1;
  }
  if (pyddb_text_init(&c->texts[c->text_count], object) < 0) {
    return -1;
  }
  *out = c->texts[c->text_count++].str;
  return 0;
}

static int read_keys(chain *c, step *s, PyObject *keys) {
  s->keys = PyMem_Calloc((size_t)PyTuple_GET_SIZE(keys) + 1, sizeof *s->keys);
  if (!s->keys) {
    PyErr_NoMemory();
    return -1;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); i++) {
    PyObject *left, *right;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(keys, i), "UU", &left, &right) ||
        text_of(c, left, &s->keys[i].left) < 0 || text_of(c, right, &s->keys[i].right) < 0) {
      return -1;
    }
  }
  s->join.keys = s->keys;
  s->join.key_count = (size_t)PyTuple_GET_SIZE(keys);
  return 0;
}

static int read_columns(chain *c, step *s, PyObject *columns) {
  s->columns = PyMem_Calloc((size_t)PyTuple_GET_SIZE(columns) + 1, sizeof *s->columns);
  if (!s->columns) {
    PyErr_NoMemory();
    return -1;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(columns); i++) {
    int is_right;
    PyObject *field, *name;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(columns, i), "pUU", &is_right, &field, &name) ||
        text_of(c, field, &s->columns[i].field) < 0 || text_of(c, name, &s->columns[i].name) < 0) {
      return -1;
    }
    s->columns[i].is_right = is_right;
  }
  s->join.columns = s->columns;
  s->join.column_count = (size_t)PyTuple_GET_SIZE(columns);
  return 0;
}

int pyddb_join_where(pyddb_state *state, const pyddb_cond *where, const ddb_cond **out) {
  *out = NULL;
  if (where && where->code) {
    pyddb_raise_format(state, DDB_ERR_TYPE,
                       "a join's where has callables, which cannot be asked about its rows: use "
                       "comparisons of fields");
    return -1;
  }
  *out = where ? where->cond : NULL;
  return 0;
}

static int read_step(chain *c, step *s, PyObject *tuple) {
  PyObject *view, *keys, *columns, *where;
  int is_left, closed;
  if (!PyArg_ParseTuple(tuple, "O!pO!O!Op", c->state->table_view_type, &view, &is_left,
                        &PyTuple_Type, &keys, &PyTuple_Type, &columns, &where, &closed)) {
    return -1;
  }
  s->source = (pyddb_source *)view;
  s->join.kind = is_left ? DDB_JOIN_LEFT : DDB_JOIN_INNER;
  s->join.closed = closed;
  if (where != Py_None && (!Py_IS_TYPE(where, c->state->cond_type) ||
                           pyddb_join_where(c->state, (pyddb_cond *)where, &s->where) < 0)) {
    if (!PyErr_Occurred()) {
      PyErr_SetString(PyExc_TypeError, "a join's where must be a Condition");
    }
    return -1;
  }
  if (read_keys(c, s, keys) < 0 || read_columns(c, s, columns) < 0 ||
      pyddb_view_open(s->source, &s->view) < 0) {
    return -1;
  }
  s->is_open = true;
  s->join.right = &s->view;
  return 0;
}

static void chain_fini(chain *c) {
  Py_CLEAR(c->below);
  ddb_rowset_free(c->rows);
  for (Py_ssize_t i = c->steps ? c->step_count : 0; i > 0; i--) {
    step *s = &c->steps[i - 1];
    if (s->is_open) {
      pyddb_view_close(s->source, &s->view);
    }
    PyMem_Free(s->keys);
    PyMem_Free(s->columns);
    ddb_cond_release(s->own);
  }
  if (c->is_open) {
    pyddb_view_close(c->base, &c->view);
  }
  for (size_t i = 0; i < c->text_count; i++) {
    pyddb_text_fini(&c->texts[i]);
  }
  PyMem_Free(c->steps);
  PyMem_Free(c->texts);
}

/* `where` becomes this: takes it. */
static void set_where(step *s, ddb_cond *where) {
  ddb_cond_release(s->own);
  s->own = where;
  s->where = where;
}

/* Moves what of a step's condition is about the rows of the step before to that. */
static ddb_status move_back(step *before, step *s, ddb_error *err) {
  ddb_cond *left, *rest;
  ddb_status status = ddb_join_split(&s->join, s->where, &left, &rest, err);
  if (status != DDB_OK) {
    return status;
  }
  if (left && before->where) {
    ddb_cond *parts[2] = {(ddb_cond *)(uintptr_t)before->where, left};
    ddb_cond *both = NULL;
    status = ddb_cond_and(parts, 2, &both, err);
    ddb_cond_release(left);
    left = both;
  }
  if (status != DDB_OK) {
    ddb_cond_release(rest);
    return status;
  }
  if (left) {
    set_where(before, left);
  }
  set_where(s, rest);
  return DDB_OK;
}

static int move_all_back(chain *c) {
  for (Py_ssize_t i = c->step_count - 1; i > 0; i--) {
    ddb_error err;
    if (c->steps[i].where && move_back(&c->steps[i - 1], &c->steps[i], &err) != DDB_OK) {
      pyddb_raise(c->state, &err);
      return -1;
    }
  }
  return 0;
}

static int chain_init(chain *c, PyObject *module, PyObject *base, PyObject *steps) {
  *c = (chain){.state = PyModule_GetState(module)};
  if (!Py_IS_TYPE(base, c->state->table_view_type) || !PyTuple_Check(steps) ||
      PyTuple_GET_SIZE(steps) == 0) {
    PyErr_SetString(PyExc_TypeError, "a join is of a TableView and a tuple of steps");
    return -1;
  }
  c->base = (pyddb_source *)base;
  c->step_count = PyTuple_GET_SIZE(steps);
  c->steps = PyMem_Calloc((size_t)c->step_count, sizeof *c->steps);
  if (!c->steps) {
    PyErr_NoMemory();
    return -1;
  }
  c->is_open = pyddb_view_open(c->base, &c->view) == 0;
  for (Py_ssize_t i = 0; i < c->step_count; i++) {
    if (!c->is_open || read_step(c, &c->steps[i], PyTuple_GET_ITEM(steps, i)) < 0) {
      chain_fini(c);
      return -1;
    }
  }
  if (move_all_back(c) < 0) {
    chain_fini(c);
    return -1;
  }
  return 0;
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Puts the plan of a step before the last on that of those before it. */
static int tell_step(chain *c, const step *s) {
  ddb_query query = DDB_QUERY_INIT;
  query.where = s->where;
  ddb_plan plan;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_join_explain(&s->join, &query, c->analyzes, &plan, &err);
  pyddb_attach();
  if (status != DDB_OK) {
    pyddb_raise(c->state, &err);
    return -1;
  }
  PyObject *nodes = pyddb_plan_nodes(&plan, c->below);
  ddb_plan_free(&plan);
  Py_XSETREF(c->below, nodes);
  return nodes ? 0 : -1;
}

/* All steps but the last, whose join is then ready. */
static ddb_join *run_before_last(chain *c) {
  ddb_error err;
  c->steps[0].join.left = &c->view;
  for (Py_ssize_t i = 0; i + 1 < c->step_count; i++) {
    ddb_query query = DDB_QUERY_INIT;
    query.where = c->steps[i].where;
    ddb_rowset *rows = NULL;
    if (c->explains && tell_step(c, &c->steps[i]) < 0) {
      return NULL;
    }
    pyddb_detach();
    ddb_status status = ddb_join_select(&c->steps[i].join, &query, &rows, &err);
    ddb_rowset_free(c->rows);
    pyddb_attach();
    c->rows = rows;
    if (status != DDB_OK) {
      pyddb_raise(c->state, &err);
      return NULL;
    }
    c->steps[i + 1].join.left_rows = rows;
  }
  return &c->steps[c->step_count - 1].join;
}

PyDoc_STRVAR(count_doc, "_join_count(base, steps, /)\n--\n\nReturns the number of rows.");

static PyObject *join_count(PyObject *module, PyObject *args) {
  PyObject *base, *steps;
  chain c;
  if (!PyArg_ParseTuple(args, "OO:_join_count", &base, &steps) ||
      chain_init(&c, module, base, steps) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  const ddb_join *join = run_before_last(&c);
  if (join) {
    uint64_t count;
    ddb_error err;
    pyddb_detach();
    ddb_status status = ddb_join_count(join, c.steps[c.step_count - 1].where, &count, &err);
    pyddb_attach();
    result = status == DDB_OK ? PyLong_FromUnsignedLongLong(count) : pyddb_raise(c.state, &err);
  }
  chain_fini(&c);
  return result;
}

/* The rows of the last step as the query wants them. */
static PyObject *select_rows(chain *c, const ddb_join *join, pyddb_query *query) {
  pyddb_source rows_source = {.state = c->state};
  ddb_rowset *rows = NULL;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_join_select(join, &query->core, &rows, &err);
  pyddb_attach();
  if (status != DDB_OK) {
    return pyddb_raise(c->state, &err);
  }
  query->rows = rows;
  size_t count = ddb_rowset_count(rows);
  const ddb_record **records = PyMem_Calloc(count + 1, sizeof(ddb_record *));
  PyObject *result = NULL;
  if (!records) {
    PyErr_NoMemory();
  } else {
    for (size_t i = 0; i < count; i++) {
      records[i] = ddb_rowset_record(rows, i);
    }
    result = pyddb_records_out(&rows_source, query, records, count);
  }
  PyMem_Free((void *)(uintptr_t)records);
  ddb_rowset_free(rows);
  return result;
}

PyDoc_STRVAR(select_doc,
             "_join_select(base, steps, columns, order_by, limit, offset, distinct, /)\n--\n\n"
             "Returns the rows as dicts. columns: as of select(), not None.");

static PyObject *join_select(PyObject *module, PyObject *args) {
  PyObject *base, *steps, *slots[PYDDB_QUERY_SLOTS] = {0};
  chain c;
  if (!PyArg_ParseTuple(args, "OOOOOOO:_join_select", &base, &steps, &slots[PYDDB_COLUMNS],
                        &slots[PYDDB_ORDER_BY], &slots[PYDDB_LIMIT], &slots[PYDDB_OFFSET],
                        &slots[PYDDB_DISTINCT]) ||
      chain_init(&c, module, base, steps) < 0) {
    return NULL;
  }
  pyddb_source rows_source = {.state = c.state};
  pyddb_query query;
  PyObject *result = NULL;
  if (pyddb_query_init(&rows_source, &query, slots) == 0) {
    const ddb_join *join = run_before_last(&c);
    query.core.where = c.steps[c.step_count - 1].where;
    result = join ? select_rows(&c, join, &query) : NULL;
    pyddb_query_fini(&query);
  }
  chain_fini(&c);
  return result;
}

PyDoc_STRVAR(aggregate_doc, "_join_aggregate(base, steps, /, *args, **kwargs)\n--\n\n"
                            "As aggregate(), over the rows that the steps' conditions keep; it\n"
                            "has no where.");

static PyObject *join_aggregate(PyObject *module, PyObject *const *args, Py_ssize_t count,
                                PyObject *kw) {
  chain c;
  if (count < 2) {
    PyErr_SetString(PyExc_TypeError, "_join_aggregate() takes a base and steps");
    return NULL;
  }
  if (chain_init(&c, module, args[0], args[1]) < 0) {
    return NULL;
  }
  pyddb_source rows_source = {.state = c.state};
  const ddb_join *join = run_before_last(&c);
  PyObject *result = join
                         ? pyddb_aggregate_join(&rows_source, join, c.steps[c.step_count - 1].where,
                                                args + 2, count - 2, kw)
                         : NULL;
  chain_fini(&c);
  return result;
}

PyDoc_STRVAR(explain_doc,
             "_join_explain(base, steps, analyze, columns, order_by, limit, offset, distinct, /)\n"
             "--\n\n"
             "Returns the nodes of a Plan: how _join_select would find its rows.");

static PyObject *join_explain(PyObject *module, PyObject *args) {
  PyObject *base, *steps, *slots[PYDDB_QUERY_SLOTS] = {0};
  int analyze;
  chain c;
  if (!PyArg_ParseTuple(args, "OOpOOOOO:_join_explain", &base, &steps, &analyze,
                        &slots[PYDDB_COLUMNS], &slots[PYDDB_ORDER_BY], &slots[PYDDB_LIMIT],
                        &slots[PYDDB_OFFSET], &slots[PYDDB_DISTINCT]) ||
      chain_init(&c, module, base, steps) < 0) {
    return NULL;
  }
  c.explains = true;
  c.analyzes = analyze;
  pyddb_source rows_source = {.state = c.state};
  pyddb_query query;
  PyObject *result = NULL;
  if (pyddb_query_init(&rows_source, &query, slots) == 0) {
    const ddb_join *join = run_before_last(&c);
    query.core.where = c.steps[c.step_count - 1].where;
    if (join) {
      ddb_plan plan;
      ddb_error err;
      pyddb_detach();
      ddb_status status = ddb_join_explain(join, &query.core, analyze, &plan, &err);
      pyddb_attach();
      result = status == DDB_OK ? pyddb_plan_nodes(&plan, c.below) : pyddb_raise(c.state, &err);
      if (status == DDB_OK) {
        ddb_plan_free(&plan);
      }
    }
    pyddb_query_fini(&query);
  }
  chain_fini(&c);
  return result;
}

PyDoc_STRVAR(explain_aggregate_doc,
             "_join_explain_aggregate(base, steps, analyze, /, *args, **kwargs)\n--\n\n"
             "The same of _join_aggregate.");

static PyObject *join_explain_aggregate(PyObject *module, PyObject *const *args, Py_ssize_t count,
                                        PyObject *kw) {
  chain c;
  if (count < 3) {
    PyErr_SetString(PyExc_TypeError, "_join_explain_aggregate() takes a base, steps and analyze");
    return NULL;
  }
  int analyze = PyObject_IsTrue(args[2]);
  if (analyze < 0 || chain_init(&c, module, args[0], args[1]) < 0) {
    return NULL;
  }
  c.explains = true;
  c.analyzes = analyze;
  pyddb_source rows_source = {.state = c.state};
  const ddb_join *join = run_before_last(&c);
  PyObject *result =
      join ? pyddb_aggregate_explain_join(&rows_source, join, c.steps[c.step_count - 1].where,
                                          analyze, c.below, args + 3, count - 3, kw)
           : NULL;
  chain_fini(&c);
  return result;
}

/* ---- One snapshot -------------------------------------------------------------------------- */

/* Are all of the snapshot of the first? */
static bool of_one_snapshot(PyObject *sources) {
  const pyddb_snapshot *first = ((pyddb_source *)PyTuple_GET_ITEM(sources, 0))->snapshot;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sources); i++) {
    if (((pyddb_source *)PyTuple_GET_ITEM(sources, i))->snapshot != first) {
      return false;
    }
  }
  return true;
}

static int check_sources(pyddb_state *state, PyObject *sources) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sources); i++) {
    PyObject *source = PyTuple_GET_ITEM(sources, i);
    if (!PyObject_TypeCheck(source, state->table_type) &&
        !Py_IS_TYPE(source, state->table_view_type)) {
      pyddb_raise_format(state, DDB_ERR_TYPE, "join: a table is joined with a table, not '%s'",
                         Py_TYPE(source)->tp_name);
      return -1;
    }
    pyddb_source *first = (pyddb_source *)PyTuple_GET_ITEM(sources, 0);
    if (ddb_table_db(((pyddb_source *)source)->table) != ddb_table_db(first->table)) {
      pyddb_raise_format(state, DDB_ERR_INVALID,
                         "join: tables %R and %R are of different databases", first->table_name,
                         ((pyddb_source *)source)->table_name);
      return -1;
    }
  }
  if (!of_one_snapshot(sources)) {
    pyddb_raise_format(state, DDB_ERR_INVALID,
                       "join: all sides must be tables of the database, or all of one snapshot");
    return -1;
  }
  return 0;
}

static PyObject *new_views(pyddb_state *state, PyObject *sources) {
  const pyddb_source *first = (pyddb_source *)PyTuple_GET_ITEM(sources, 0);
  PyObject *snapshot = pyddb_snapshot_new(state, ddb_table_db(first->table));
  PyObject *views = snapshot ? PyTuple_New(PyTuple_GET_SIZE(sources)) : NULL;
  for (Py_ssize_t i = 0; views && i < PyTuple_GET_SIZE(sources); i++) {
    const pyddb_source *source = (pyddb_source *)PyTuple_GET_ITEM(sources, i);
    PyObject *view = pyddb_table_view_new((pyddb_snapshot *)snapshot, source->table);
    if (!view) {
      Py_CLEAR(views);
      break;
    }
    PyTuple_SET_ITEM(views, i, view);
  }
  Py_XDECREF(snapshot);
  return views;
}

PyDoc_STRVAR(views_doc, "_join_views(sources, /)\n--\n\n"
                        "Returns a tuple of TableViews of one snapshot: a new one, unless the\n"
                        "sources (a tuple) are of one.");

static PyObject *join_views(PyObject *module, PyObject *sources) {
  pyddb_state *state = PyModule_GetState(module);
  if (!PyTuple_Check(sources) || PyTuple_GET_SIZE(sources) == 0) {
    PyErr_SetString(PyExc_TypeError, "_join_views() takes a tuple of tables");
    return NULL;
  }
  if (check_sources(state, sources) < 0) {
    return NULL;
  }
  bool is_snapshot = ((pyddb_source *)PyTuple_GET_ITEM(sources, 0))->snapshot != NULL;
  return is_snapshot ? Py_NewRef(sources) : new_views(state, sources);
}

PyMethodDef pyddb_join_functions[] = {
    {"_join_views", join_views, METH_O, views_doc},
    {"_join_count", join_count, METH_VARARGS, count_doc},
    {"_join_select", join_select, METH_VARARGS, select_doc},
    {"_join_explain", join_explain, METH_VARARGS, explain_doc},
    {"_join_explain_aggregate", PYDDB_FAST(join_explain_aggregate), PYDDB_FAST_FLAGS,
     explain_aggregate_doc},
    {"_join_aggregate", PYDDB_FAST(join_aggregate), PYDDB_FAST_FLAGS, aggregate_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- The method ---------------------------------------------------------------------------- */

const char pyddb_join_doc[] =
    "join($self, other, on, how='inner', *, prefix=None)\n--\n\n"
    "Returns the Join of this table with another one of the database (or of one\n"
    "snapshot): pairs of records that are equal on some fields. Nothing is read\n"
    "until its select(), count() or aggregate() is called.\n\n"
    "on: a field that both have; a pair (this one's, other's); or a list of these.\n"
    "how: 'inner', or 'left': records without a match are paired with None.\n"
    "prefix: put before the names of other's fields; None: '<table>.' before those\n"
    "that this one has too.";

PyObject *pyddb_source_join(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  PyObject *module = PyImport_ImportModule("dictdb._join");
  PyObject *function = module ? PyObject_GetAttrString(module, "join") : NULL;
  Py_XDECREF(module);
  Py_ssize_t total = count + (kw ? PyTuple_GET_SIZE(kw) : 0);
  PyObject **all = function ? PyMem_Calloc((size_t)total + 1, sizeof *all) : NULL;
  PyObject *result = NULL;
  if (function && !all) {
    PyErr_NoMemory();
  } else if (all) {
    all[0] = self;
    for (Py_ssize_t i = 0; i < total; i++) {
      all[i + 1] = args[i];
    }
    result = PyObject_Vectorcall(function, all, (size_t)count + 1, kw);
  }
  PyMem_Free(all);
  Py_XDECREF(function);
  return result;
}
