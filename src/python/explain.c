/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - explain(): the plan of a query, as an object of the Python class Plan, which is made
 * from a list of (depth, step, detail, estimate, actual, seconds).
 */
#include "pyddb.h"

static PyObject *count_out(uint64_t count) {
  return count == DDB_NO_LIMIT ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(count);
}

static PyObject *node_out(const ddb_plan_node *node, uint32_t shift) {
  ddb_str detail = ddb_str_from(node->detail);
  PyObject *text = PyUnicode_DecodeUTF8(detail.data, (Py_ssize_t)detail.size, "replace");
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

/* coded: callables filter what the plan gives. */
static PyObject *nodes_out(const ddb_plan *plan, bool coded) {
  PyObject *list = PyList_New(0);
  PyObject *code = list && coded
                       ? Py_BuildValue("(IssOOO)", 0u, "callable", "", Py_None, Py_None, Py_None)
                       : NULL;
  if (list && coded && (!code || PyList_Append(list, code) < 0)) {
    Py_CLEAR(list);
  }
  Py_XDECREF(code);
  for (size_t i = 0; list && i < plan->count; i++) {
    PyObject *node = node_out(&plan->nodes[i], coded ? 1 : 0);
    if (!node || PyList_Append(list, node) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(node);
  }
  return list;
}

static PyObject *explain(pyddb_source *source, const pyddb_query *query, bool analyze) {
  bool coded = query->where && query->where->code;
  if (coded && analyze) {
    return pyddb_raise_format(source->state, DDB_ERR_INVALID,
                              "explain(analyze=True) does not run callables");
  }
  ddb_query native = query->core;
  native.where = query->where ? query->where->cond : NULL;
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return NULL;
  }
  ddb_plan plan;
  ddb_error err;
  pyddb_detach();
  ddb_status status = ddb_view_explain(&view, &native, analyze, &plan, &err);
  pyddb_attach();
  pyddb_view_close(source, &view);
  if (status != DDB_OK) {
    return pyddb_raise(source->state, &err);
  }
  PyObject *nodes = nodes_out(&plan, coded);
  ddb_plan_free(&plan);
  PyObject *result = nodes ? PyObject_CallOneArg(source->state->plan_class, nodes) : NULL;
  Py_XDECREF(nodes);
  return result;
}

const char pyddb_explain_doc[] =
    "explain($self, where=None, *, order_by=None, limit=None, offset=0,\n"
    "        distinct=False, analyze=False)\n--\n\n"
    "Returns the Plan by which select() would find these records: its steps with the\n"
    "rows that each is thought to give. analyze=True runs the query, and tells how\n"
    "many there were and how long it took.";

PyObject *pyddb_source_explain(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  static const char *const names[] = {"where",  "order_by", "limit",
                                      "offset", "distinct", "analyze"};
  static const pyddb_signature signature = {"explain", names, 6, 1, 0};
  pyddb_source *source = (pyddb_source *)self;
  PyObject *given[6];
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
  if (pyddb_query_init(source, &query, slots) < 0) {
    return NULL;
  }
  PyObject *result = explain(source, &query, analyze);
  pyddb_query_fini(&query);
  return result;
}
