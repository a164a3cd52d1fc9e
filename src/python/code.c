/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - callables in conditions: how they are combined, and how records are put to them.
 *
 * The code of a Condition is a tree of Python objects:
 *   a Condition without code     the library is asked about one record
 *   a tuple (op, part, ...)      and, or, not; of an `or`, Conditions come first
 *   anything else                a callable: called with a RecordView, its result's truth counts
 *
 * A statement first lets the library find the records that the condition's native part holds for,
 * by indexes and with the interpreter detached, in their order. The code is asked about those alone,
 * one after another, with no lock held and on one version, whose view is open meanwhile: a callable
 * may use the table, and sees its own version of it.
 */
#include "pyddb.h"

enum { AND, OR, NOT };

#define DEPTH_MAX DDB_DEPTH_MAX

/* ---- Trees --------------------------------------------------------------------------------- */

static bool is_tree(PyObject *code) {
  return PyTuple_CheckExact(code);
}

static long op_of(PyObject *tree) {
  return PyLong_AsLong(PyTuple_GET_ITEM(tree, 0));
}

static bool is_native(pyddb_state *state, PyObject *code) {
  return Py_IS_TYPE(code, state->cond_type);
}

/* Levels of the tree; it is bounded by DEPTH_MAX, checked wherever a level is added. */
static int depth_of(PyObject *code) {
  int deepest = 0;
  for (Py_ssize_t i = 1; is_tree(code) && i < PyTuple_GET_SIZE(code); i++) {
    int depth = depth_of(PyTuple_GET_ITEM(code, i));
    deepest = depth > deepest ? depth : deepest;
  }
  return deepest + 1;
}

/* Takes `list`. */
static PyObject *tree_new(pyddb_state *state, long op, PyObject *list) {
  PyObject *number = list ? PyLong_FromLong(op) : NULL;
  PyObject *tree = NULL;
  if (number && PyList_Insert(list, 0, number) == 0) {
    tree = PyList_AsTuple(list);
  }
  Py_XDECREF(number);
  Py_XDECREF(list);
  if (tree && depth_of(tree) > DEPTH_MAX) {
    Py_DECREF(tree);
    return pyddb_raise_format(state, DDB_ERR_LIMIT,
                              "a condition with callables is nested deeper than %d levels",
                              DEPTH_MAX);
  }
  return tree;
}

/* Appends a part, or the parts of one of the same kind. */
static int append_part(PyObject *list, long op, PyObject *part) {
  if (!is_tree(part) || op_of(part) != op) {
    return PyList_Append(list, part);
  }
  for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(part); i++) {
    if (PyList_Append(list, PyTuple_GET_ITEM(part, i)) < 0) {
      return -1;
    }
  }
  return 0;
}

PyObject *pyddb_code_join(pyddb_state *state, bool is_and, PyObject *const *parts,
                          Py_ssize_t count) {
  if (count == 1) {
    return Py_NewRef(parts[0]);
  }
  long op = is_and ? AND : OR;
  PyObject *list = PyList_New(0);
  for (int natives = 1; natives >= 0; natives--) {
    for (Py_ssize_t i = 0; list && i < count; i++) {
      if (is_native(state, parts[i]) == (natives == 1) && append_part(list, op, parts[i]) < 0) {
        Py_CLEAR(list);
      }
    }
  }
  return tree_new(state, op, list);
}

PyObject *pyddb_code_not(pyddb_state *state, PyObject *part) {
  PyObject *list = PyList_New(0);
  if (list && PyList_Append(list, part) < 0) {
    Py_CLEAR(list);
  }
  return tree_new(state, NOT, list);
}

PyObject *pyddb_code_repr(PyObject *code) {
  if (!is_tree(code)) {
    return PyObject_Repr(code);
  }
  long op = op_of(code);
  if (op == NOT) {
    PyObject *part = pyddb_code_repr(PyTuple_GET_ITEM(code, 1));
    PyObject *text = part ? PyUnicode_FromFormat("~%U", part) : NULL;
    Py_XDECREF(part);
    return text;
  }
  PyObject *texts = PyList_New(0);
  for (Py_ssize_t i = 1; texts && i < PyTuple_GET_SIZE(code); i++) {
    PyObject *part = pyddb_code_repr(PyTuple_GET_ITEM(code, i));
    if (!part || PyList_Append(texts, part) < 0) {
      Py_CLEAR(texts);
    }
    Py_XDECREF(part);
  }
  PyObject *between = PyUnicode_FromString(op == AND ? " & " : " | ");
  PyObject *joined = texts && between ? PyUnicode_Join(between, texts) : NULL;
  PyObject *text = joined ? PyUnicode_FromFormat("(%U)", joined) : NULL;
  Py_XDECREF(texts);
  Py_XDECREF(between);
  Py_XDECREF(joined);
  return text;
}

/* ---- Asking -------------------------------------------------------------------------------- */

int pyddb_code_check(pyddb_source *source, PyObject *code) {
  if (is_native(source->state, code)) {
    ddb_error err;
    if (ddb_table_cond_check(source->table, ((pyddb_cond *)code)->cond, &err) != DDB_OK) {
      pyddb_raise(source->state, &err);
      return -1;
    }
  }
  for (Py_ssize_t i = 1; is_tree(code) && i < PyTuple_GET_SIZE(code); i++) {
    if (pyddb_code_check(source, PyTuple_GET_ITEM(code, i)) < 0) {
      return -1;
    }
  }
  return 0;
}

static int ask_native(pyddb_source *source, PyObject *code, const ddb_record *record) {
  bool matches;
  ddb_error err;
  if (ddb_record_matches(record, ((pyddb_cond *)code)->cond, &matches, &err) != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return matches;
}

static int ask_callable(pyddb_source *source, PyObject *code, const ddb_record *record,
                        PyObject **view) {
  if (!*view && !(*view = pyddb_record_view_new(source, record))) {
    return -1;
  }
  PyObject *answer = PyObject_CallOneArg(code, *view);
  int truth = answer ? PyObject_IsTrue(answer) : -1;
  Py_XDECREF(answer);
  return truth;
}

int pyddb_code_matches(pyddb_source *source, PyObject *code, const ddb_record *record,
                       PyObject **view) {
  if (is_native(source->state, code)) {
    return ask_native(source, code, record);
  }
  if (!is_tree(code)) {
    return ask_callable(source, code, record, view);
  }
  long op = op_of(code);
  int answer = op != OR;
  for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(code) && answer == (op != OR); i++) {
    answer = pyddb_code_matches(source, PyTuple_GET_ITEM(code, i), record, view);
  }
  return op == NOT && answer >= 0 ? !answer : answer;
}

/* ---- Selecting ----------------------------------------------------------------------------- */

/* Keeps the records that the code holds for, until there are `enough`. */
static int filter(pyddb_source *source, PyObject *code, ddb_records *records, uint64_t enough) {
  size_t kept = 0;
  int answer = 0;
  for (size_t i = 0; i < records->count && kept < enough && answer >= 0; i++) {
    PyObject *view = NULL;
    answer = pyddb_code_matches(source, code, records->items[i], &view);
    Py_XDECREF(view);
    if (answer > 0) {
      records->items[kept++] = records->items[i];
    }
  }
  records->count = kept;
  return answer < 0 ? -1 : 0;
}

static int select_native(pyddb_source *source, const ddb_view *view, const pyddb_cond *where,
                         const ddb_query *query, ddb_records *out) {
  ddb_query native = *query;
  native.where = where ? where->cond : NULL;
  bool detached = false;
  native.before_long = pyddb_before_long;
  native.context = &detached;
  ddb_error err;
  ddb_status status = ddb_view_select(view, &native, out, &err);
  pyddb_attach_if(detached);
  if (status != DDB_OK) {
    pyddb_raise(source->state, &err);
    return -1;
  }
  return 0;
}

int pyddb_view_select(pyddb_source *source, const ddb_view *view, const pyddb_cond *where,
                      const ddb_query *query, ddb_records *out) {
  if (!where || !where->code) {
    return select_native(source, view, where, query, out);
  }
  if (pyddb_code_check(source, where->code) < 0) {
    return -1;
  }
  ddb_query whole = *query;
  whole.distinct = false;
  whole.offset = 0;
  whole.limit = query->limit == 0 ? 0 : DDB_NO_LIMIT;
  ddb_records records = {0};
  if (select_native(source, view, where, &whole, &records) < 0) {
    return -1;
  }
  uint64_t enough = query->distinct || query->limit > UINT64_MAX - query->offset
                        ? UINT64_MAX
                        : query->limit + query->offset;
  ddb_error err;
  int result = filter(source, where->code, &records, enough);
  if (result == 0 && ddb_view_trim(view, query, &records, &err) != DDB_OK) {
    pyddb_raise(source->state, &err);
    result = -1;
  }
  if (result == 0) {
    *out = records;
  } else {
    ddb_records_free(&records);
  }
  return result;
}
