/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - explain(): the plan of a query, as an object of the Python class Plan, which is made
 * from a list of (depth, step, detail, estimate, actual, seconds).
 *
 * With callables the plan is the library's for what comes before them, as pyddb_view_select() asks
 * for it, then a step "callable", then what is done with what they leave. To analyze it, that is run
 * twice: once by the library, which measures, once to ask the callables. Of an aggregate (aggregate.c)
 * they are told below it, in the same words.
 */
#include "pyddb.h"

static PyObject *count_out(uint64_t count) {
  return count == DDB_NO_LIMIT ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(count);
}

/* detail: instead of the node's own; NULL: that. */
static PyObject *node_out(const ddb_plan_node *node, uint32_t shift, PyObject *detail) {
  ddb_str own = ddb_str_from(node->detail);
  PyObject *text =
      detail ? Py_NewRef(detail) : PyUnicode_DecodeUTF8(own.data, (Py_ssize_t)own.size, "replace");
  PyObject *estimate = count_out(node->estimate);
  PyObject *actual = count_out(node->actual);
  PyObject *seconds =
      node->ns > 0 ? PyFloat_FromDouble((double)node->ns / 1e9) : Py_NewRef(Py_None);
  if (!text || !estimate || !actual || !seconds) {
    Py_XDECREF(text);
    Py_XDECREF(estimate);
    Py_XDECREF(actual);
    Py_XDECREF(seconds);
    return NULL;
  }
  return Py_BuildValue("(IsNNNN)", node->depth + shift, node->step, text, estimate, actual,
                       seconds);
}

static int node_append(PyObject *list, const ddb_plan_node *node, uint32_t shift,
                       PyObject *detail) {
  PyObject *tuple = node_out(node, shift, detail);
  int result = tuple ? PyList_Append(list, tuple) : -1;
  Py_XDECREF(tuple);
  return result;
}

/* Appends nodes with their depths increased. */
int pyddb_nodes_append(PyObject *list, PyObject *nodes, uint32_t shift) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(nodes); i++) {
    PyObject *node = PyList_GET_ITEM(nodes, i); /* nobody else has this list */
    PyObject *rest = PyTuple_GetSlice(node, 1, PyTuple_GET_SIZE(node));
    long depth = PyLong_AsLong(PyTuple_GET_ITEM(node, 0)) + (long)shift;
    PyObject *first = rest ? Py_BuildValue("(l)", depth) : NULL;
    PyObject *moved = first ? PySequence_Concat(first, rest) : NULL;
    int result = moved ? PyList_Append(list, moved) : -1;
    Py_XDECREF(rest);
    Py_XDECREF(first);
    Py_XDECREF(moved);
    if (result < 0) {
      return -1;
    }
  }
  return 0;
}

/* A list, where `below` (NULL: nothing) are the nodes of what a join's "rows" came from. */
PyObject *pyddb_plan_nodes(const ddb_plan *plan, PyObject *below) {
  PyObject *list = PyList_New(0);
  int result = list ? 0 : -1;
  for (size_t i = 0; result == 0 && i < plan->count; i++) {
    bool stands_for = below && strcmp(plan->nodes[i].step, "rows") == 0;
    result = stands_for ? pyddb_nodes_append(list, below, plan->nodes[i].depth)
                        : node_append(list, &plan->nodes[i], 0, NULL);
  }
  if (result < 0) {
    Py_CLEAR(list);
  }
  return list;
}

/* ---- What is told -------------------------------------------------------------------------- */

/* What the library does; and where callables have a say, what is done with what they leave. */
typedef struct told {
  ddb_plan native;
  ddb_plan after;     /* its leading nodes: slice, distinct */
  size_t after_count; /* of these */
  PyObject *code;     /* the callables, in words; NULL: none */
  ddb_plan_node asked;
} told;

static void told_fini(told *t) {
  ddb_plan_free(&t->native);
  ddb_plan_free(&t->after);
  Py_CLEAR(t->code);
}

static PyObject *nodes_out(const told *t) {
  PyObject *list = PyList_New(0);
  int result = list ? 0 : -1;
  for (size_t i = 0; result == 0 && i < t->after_count; i++) {
    result = node_append(list, &t->after.nodes[i], 0, NULL);
  }
  uint32_t shift = (uint32_t)t->after_count;
  if (result == 0 && t->code) {
    result = node_append(list, &t->asked, shift, t->code);
    shift++;
  }
  for (size_t i = 0; result == 0 && i < t->native.count; i++) {
    result = node_append(list, &t->native.nodes[i], shift, NULL);
  }
  if (result < 0) {
    Py_CLEAR(list);
  }
  return list;
}

static int plan_native(pyddb_source *source, const ddb_view *view, const ddb_query *query,
                       bool analyze, ddb_plan *out) {
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_explain(view, query, analyze, out, &err);
  pyddb_attach();
  if (status != DDB_OK) {
    *out = (ddb_plan){0};
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

/* ---- Callables ----------------------------------------------------------------------------- */

/* As pyddb_view_select() does it, whose steps are counted: the callables are asked until there are
 * as many records as are wanted, of which the rest of the query takes its part. */
static int run_asking(pyddb_source *source, const ddb_view *view, const pyddb_query *query,
                      told *t) {
  const ddb_query *core = &query->core;
  ddb_query before = *core;
  before.distinct = false;
  before.offset = 0;
  if (core->distinct || core->limit > UINT64_MAX - core->offset) {
    before.limit = DDB_NO_LIMIT;
  } else if (core->limit > 0) {
    before.limit = core->limit + core->offset;
  }
  uint64_t start_ns = pyddb_now_ns();
  ddb_records records = {0};
  if (pyddb_view_select(source, view, query->where, &before, &records) < 0) {
    return -1;
  }
  t->asked.actual = records.count;
  t->asked.ns = pyddb_now_ns() - start_ns;
  ddb_error err;
  int result = 0;
  if (t->after_count > 0) {
    if (ddb_view_trim(view, core, &records, &err) != DDB_OK) {
      pyddb_raise(source->state, &err);
      result = -1;
    }
    t->after.nodes[0].actual = records.count;
    t->after.nodes[0].ns = pyddb_now_ns() - start_ns;
  }
  ddb_records_free(&records);
  return result;
}

/* The library finds records in order; the callables are asked; then come distinct, offset, limit. */
static int tell_asking(pyddb_source *source, const ddb_view *view, const pyddb_query *query,
                       bool analyze, told *t) {
  ddb_query native = query->core;
  native.where = query->where->cond;
  if (plan_native(source, view, &native, false, &t->after) < 0) {
    return -1;
  }
  native.distinct = false;
  native.offset = 0;
  native.limit = native.limit == 0 ? 0 : DDB_NO_LIMIT;
  t->after_count = (query->core.limit != DDB_NO_LIMIT || query->core.offset > 0 ? 1u : 0u) +
                   (query->core.distinct ? 1u : 0u);
  t->asked = (ddb_plan_node){
      .step = "callable", .estimate = DDB_NO_LIMIT, .actual = DDB_NO_LIMIT, .depth = 0};
  if (plan_native(source, view, &native, analyze, &t->native) < 0 ||
      (analyze && run_asking(source, view, query, t) < 0)) {
    return -1;
  }
  return 0;
}

PyObject *pyddb_explain_nodes(pyddb_source *source, const pyddb_query *query, bool analyze) {
  told t = {.code = NULL};
  PyObject *code = query->where ? query->where->code : NULL;
  if (code && (pyddb_code_check(source, code) < 0 || !(t.code = pyddb_code_repr(code)))) {
    return NULL;
  }
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    told_fini(&t);
    return NULL;
  }
  int result;
  if (code) {
    result = tell_asking(source, &view, query, analyze, &t);
  } else {
    ddb_query native = query->core;
    native.where = query->where ? query->where->cond : NULL;
    result = plan_native(source, &view, &native, analyze, &t.native);
  }
  pyddb_view_close(source, &view);
  PyObject *nodes = result == 0 ? nodes_out(&t) : NULL;
  told_fini(&t);
  return nodes;
}

/* ---- The method ---------------------------------------------------------------------------- */

const char pyddb_explain_doc[] =
    "explain($self, where=None, group_by=None, *, having=None, order_by=None,\n"
    "        limit=None, offset=0, distinct=False, analyze=False, columns=None,\n"
    "        threads=None, **named)\n--\n\n"
    "Returns the Plan by which select() would find these records: its steps with the\n"
    "rows that each is thought to give; with group_by or named aggregates (n=Count())\n"
    "that of aggregate(). analyze=True runs the query, callables too, and tells\n"
    "how many there were and how long it took.";

enum {
  WHERE,
  GROUP_BY,
  HAVING,
  ORDER_BY,
  LIMIT,
  OFFSET,
  DISTINCT,
  ANALYZE,
  COLUMNS,
  THREADS,
  ARGUMENT_COUNT
};
static const char *const argument_names[] = {"where",   "group_by", "having",   "order_by",
                                             "limit",   "offset",   "distinct", "analyze",
                                             "columns", "threads"};
static const pyddb_signature signature = {"explain", argument_names, ARGUMENT_COUNT, 2, 0};

/* Is it aggregate() that is asked about? */
static bool is_aggregate(const pyddb_source *source, PyObject *const *args, Py_ssize_t count,
                         PyObject *kw) {
  bool is = count > 1 && args[1] != Py_None;
  for (Py_ssize_t i = 0; kw && i < PyTuple_GET_SIZE(kw); i++) {
    PyObject *value = args[count + i];
    bool groups = PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kw, i), "group_by") == 0;
    is = is || (groups && value != Py_None) ||
         PyObject_TypeCheck(value, source->state->aggregate_type);
  }
  return is;
}

/* Is the argument explain()'s own? Those of a select that say nothing are passed over too. */
static bool is_own(PyObject *name, PyObject *value, PyObject **analyze) {
  if (PyUnicode_CompareWithASCIIString(name, "analyze") == 0) {
    *analyze = value;
    return true;
  }
  return (PyUnicode_CompareWithASCIIString(name, "columns") == 0 && value == Py_None) ||
         (PyUnicode_CompareWithASCIIString(name, "distinct") == 0 && value == Py_False);
}

/* The arguments but for explain()'s own are aggregate()'s. */
static PyObject *explain_aggregate(pyddb_source *source, PyObject *const *args, Py_ssize_t count,
                                   PyObject *kw) {
  Py_ssize_t given = kw ? PyTuple_GET_SIZE(kw) : 0;
  PyObject **kept = PyMem_Calloc((size_t)(count + given) + 1, sizeof *kept);
  PyObject *names = kept ? PyList_New(0) : NULL;
  PyObject *analyze = NULL;
  PyObject *nodes = NULL;
  int result = names ? 0 : -1;
  if (!kept) {
    PyErr_NoMemory();
  } else {
    memcpy(kept, args, (size_t)count * sizeof *kept);
  }
  for (Py_ssize_t i = 0; result == 0 && i < given; i++) {
    PyObject *name = PyTuple_GET_ITEM(kw, i);
    PyObject *value = args[count + i];
    if (!is_own(name, value, &analyze)) {
      kept[count + PyList_GET_SIZE(names)] = value;
      result = PyList_Append(names, name);
    }
  }
  PyObject *left = result == 0 ? PyList_AsTuple(names) : NULL;
  bool analyzed;
  if (left && pyddb_bool_argument(source->state, analyze, "analyze", false, &analyzed) == 0) {
    nodes = pyddb_aggregate_explain(source, analyzed, kept, count, left);
  }
  Py_XDECREF(left);
  Py_XDECREF(names);
  PyMem_Free(kept);
  return nodes;
}

static PyObject *explain_select(pyddb_source *source, PyObject *const *args, Py_ssize_t count,
                                PyObject *kw) {
  PyObject *given[ARGUMENT_COUNT];
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  pyddb_query query;
  bool analyze;
  if (pyddb_bind(&signature, args, count, kw, given) < 0 ||
      pyddb_bool_argument(source->state, given[ANALYZE], "analyze", false, &analyze) < 0) {
    return NULL;
  }
  if (given[HAVING] && given[HAVING] != Py_None) {
    return pyddb_raise_format(source->state, DDB_ERR_INVALID, "explain(): having needs group_by");
  }
  slots[PYDDB_WHERE] = given[WHERE];
  slots[PYDDB_ORDER_BY] = given[ORDER_BY];
  slots[PYDDB_LIMIT] = given[LIMIT];
  slots[PYDDB_OFFSET] = given[OFFSET];
  slots[PYDDB_DISTINCT] = given[DISTINCT];
  slots[PYDDB_COLUMNS] = given[COLUMNS];
  slots[PYDDB_THREADS] = given[THREADS];
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *nodes = pyddb_explain_nodes(source, &query, analyze);
  pyddb_query_fini(&query);
  return nodes;
}

PyObject *pyddb_source_explain(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_source *source = (pyddb_source *)self;
  PyObject *nodes = is_aggregate(source, args, count, kw)
                        ? explain_aggregate(source, args, count, kw)
                        : explain_select(source, args, count, kw);
  PyObject *plan = nodes ? PyObject_CallOneArg(source->state->plan_class, nodes) : NULL;
  Py_XDECREF(nodes);
  return plan;
}
