/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - explain(): the plan of a query, as an object of the Python class Plan, which is made
 * from a list of (depth, step, detail, estimate, actual, seconds).
 *
 * With callables the plan is the library's for what comes before them, as pyddb_view_select() asks
 * for it, then a step "callable", then what is done with what they leave. To analyze it, that is run
 * twice: once by the library, which measures, once to ask the callables.
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

static PyObject *explain(pyddb_source *source, const pyddb_query *query, bool analyze) {
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
  PyObject *plan = nodes ? PyObject_CallOneArg(source->state->plan_class, nodes) : NULL;
  Py_XDECREF(nodes);
  return plan;
}

const char pyddb_explain_doc[] =
    "explain($self, where=None, *, order_by=None, limit=None, offset=0,\n"
    "        distinct=False, analyze=False, columns=None)\n--\n\n"
    "Returns the Plan by which select() would find these records: its steps with the\n"
    "rows that each is thought to give. analyze=True runs the query, callables\n"
    "too, and tells how many there were and how long it took.";

PyObject *pyddb_source_explain(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  static const char *const names[] = {"where",    "order_by", "limit",  "offset",
                                      "distinct", "analyze",  "columns"};
  static const pyddb_signature signature = {"explain", names, 7, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[7];
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  pyddb_query query;
  bool analyze;
  if (pyddb_bind(&signature, args, count, kw, given) < 0 ||
      pyddb_bool_argument(source->state, given[5], "analyze", false, &analyze) < 0) {
    return NULL;
  }
  slots[PYDDB_WHERE] = given[0];
  slots[PYDDB_ORDER_BY] = given[1];
  slots[PYDDB_LIMIT] = given[2];
  slots[PYDDB_OFFSET] = given[3];
  slots[PYDDB_DISTINCT] = given[4];
  slots[PYDDB_COLUMNS] = given[6];
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = explain(source, &query, analyze);
  pyddb_query_fini(&query);
  return result;
}
