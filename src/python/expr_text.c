/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr_text.c - methods of expressions that make Conditions on texts: like, without regard to case,
 * regular expressions.
 */
#include "pyddb.h"

/* The flags of Python's `re` module, in the order of DDB_REGEX_... */
static const struct {
  long python;
  uint32_t core;
} regex_flags[] = {
    {2, DDB_REGEX_IGNORE_CASE}, {8, DDB_REGEX_MULTILINE}, {16, DDB_REGEX_DOT_ALL},
    {64, DDB_REGEX_VERBOSE},    {256, DDB_REGEX_ASCII},   {32, 0}, /* UNICODE is the default */
};

/* A str argument of a method; what: "like(): pattern". */
static int text_argument(pyddb_expr *self, PyObject *object, const char *what, pyddb_text *out) {
  if (!PyUnicode_Check(object)) {
    pyddb_raise_format(self->state, DDB_ERR_TYPE, "%R.%s must be str, not '%s'", self, what,
                       Py_TYPE(object)->tp_name);
    return -1;
  }
  return pyddb_text_init(out, object);
}

static PyObject *cond_out(pyddb_expr *self, ddb_status status, ddb_cond *cond,
                          const ddb_error *err) {
  return status == DDB_OK ? pyddb_cond_new(self->state, cond, NULL) : pyddb_raise(self->state, err);
}

/* ---- like ---------------------------------------------------------------------------------- */

static PyObject *like(pyddb_expr *self, PyObject *pattern_object, PyObject *escape_object,
                      bool ignore_case) {
  pyddb_text pattern = {0};
  pyddb_text escape = {0};
  bool has_escape = escape_object && escape_object != Py_None;
  if (text_argument(self, pattern_object, "like(): pattern", &pattern) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (has_escape && PyUnicode_Check(escape_object) && PyUnicode_GET_LENGTH(escape_object) != 1) {
    pyddb_raise_format(self->state, DDB_ERR_INVALID, "like(): escape must be one character, not %R",
                       escape_object);
  } else if (!has_escape || text_argument(self, escape_object, "like(): escape", &escape) == 0) {
    ddb_expr *of = pyddb_expr_take(self);
    if (of) {
      ddb_cond *cond = NULL;
      ddb_error err;
      ddb_status status = ddb_cond_like(of, pattern.str, escape.str, ignore_case, &cond, &err);
      result = cond_out(self, status, cond, &err);
      ddb_expr_release(of);
    }
    pyddb_text_fini(&escape);
  }
  pyddb_text_fini(&pattern);
  return result;
}

PyObject *pyddb_expr_like(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"pattern", "escape"};
  static const pyddb_signature signature = {"like", names, 2, 2, 1};
  PyObject *slots[2];
  return pyddb_bind(&signature, args, count, kw, slots) < 0
             ? NULL
             : like((pyddb_expr *)self, slots[0], slots[1], false);
}

PyObject *pyddb_expr_ilike(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kw) {
  static const char *const names[] = {"pattern", "escape"};
  static const pyddb_signature signature = {"ilike", names, 2, 2, 1};
  PyObject *slots[2];
  return pyddb_bind(&signature, args, count, kw, slots) < 0
             ? NULL
             : like((pyddb_expr *)self, slots[0], slots[1], true);
}

/* ---- Without regard to case ---------------------------------------------------------------- */

static PyObject *folded(PyObject *object, ddb_op op, const char *what, PyObject *operand) {
  pyddb_expr *self = (pyddb_expr *)object;
  pyddb_text text;
  if (text_argument(self, operand, what, &text) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  ddb_expr *of = pyddb_expr_take(self);
  if (of) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_compare_folded(of, op, text.str, &cond, &err);
    result = cond_out(self, status, cond, &err);
    ddb_expr_release(of);
  }
  pyddb_text_fini(&text);
  return result;
}

PyObject *pyddb_expr_iequals(PyObject *self, PyObject *text) {
  return folded(self, DDB_OP_EQ, "iequals(): text", text);
}
PyObject *pyddb_expr_icontains(PyObject *self, PyObject *text) {
  return folded(self, DDB_OP_CONTAINS, "icontains(): text", text);
}
PyObject *pyddb_expr_istartswith(PyObject *self, PyObject *text) {
  return folded(self, DDB_OP_STARTSWITH, "istartswith(): text", text);
}
PyObject *pyddb_expr_iendswith(PyObject *self, PyObject *text) {
  return folded(self, DDB_OP_ENDSWITH, "iendswith(): text", text);
}

/* ---- Regular expressions ------------------------------------------------------------------- */

static int flags_argument(pyddb_expr *self, PyObject *object, uint32_t *out) {
  *out = 0;
  if (!object) {
    return 0;
  }
  if (!PyLong_Check(object)) {
    pyddb_raise_format(self->state, DDB_ERR_TYPE,
                       "matches(): flags must be flags of the module re, not '%s'",
                       Py_TYPE(object)->tp_name);
    return -1;
  }
  int overflow;
  long left = PyLong_AsLongAndOverflow(object, &overflow);
  if (left == -1 && PyErr_Occurred()) {
    return -1;
  }
  for (size_t i = 0; i < sizeof regex_flags / sizeof regex_flags[0]; i++) {
    *out |= (left & regex_flags[i].python) != 0 ? regex_flags[i].core : 0;
    left &= ~regex_flags[i].python;
  }
  if (left != 0 || overflow != 0) {
    pyddb_raise_format(self->state, DDB_ERR_INVALID,
                       "matches(): flags may be re.I, re.M, re.S, re.X, re.A and re.U, not %R",
                       object);
    return -1;
  }
  return 0;
}

PyObject *pyddb_expr_matches(PyObject *object, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"regex", "flags"};
  static const pyddb_signature signature = {"matches", names, 2, 2, 1};
  pyddb_expr *self = (pyddb_expr *)object;
  PyObject *slots[2];
  uint32_t flags;
  pyddb_text regex;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      flags_argument(self, slots[1], &flags) < 0 ||
      text_argument(self, slots[0], "matches(): regex", &regex) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  ddb_expr *of = pyddb_expr_take(self);
  if (of) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_matches(of, regex.str, flags, &cond, &err);
    result = cond_out(self, status, cond, &err);
    ddb_expr_release(of);
  }
  pyddb_text_fini(&regex);
  return result;
}
