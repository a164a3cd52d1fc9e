/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr_cond.c - comparisons and methods of fields and other expressions that make Conditions.
 *
 * A field against values is by far the most frequent: it goes by the field's name and makes no
 * ddb_expr. point_field (cond.c) is set for it alone.
 */
#include "pyddb.h"

static PyObject *make_cond(pyddb_expr *self, ddb_status status, ddb_cond *cond, bool is_point,
                           const ddb_error *err) {
  if (status != DDB_OK) {
    return pyddb_raise(self->state, err);
  }
  return pyddb_cond_new(self->state, cond, is_point ? self->name : NULL);
}

/* ---- Comparisons --------------------------------------------------------------------------- */

static __attribute__((noinline)) PyObject *compare_exprs(pyddb_expr *self, ddb_op op,
                                                         PyObject *operand) {
  ddb_expr *left = pyddb_expr_take(self);
  ddb_expr *right = left ? pyddb_expr_operand(self->state, operand, self->name) : NULL;
  PyObject *result = NULL;
  if (right) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_compare_expr(left, op, right, &cond, &err);
    result = make_cond(self, status, cond, false, &err);
  }
  ddb_expr_release(left);
  ddb_expr_release(right);
  return result;
}

static PyObject *compare(pyddb_expr *self, ddb_op op, PyObject *operand) {
  if (!self->name || pyddb_is_expr(self->state, operand)) {
    return compare_exprs(self, op, operand);
  }
  pyddb_value value;
  pyddb_text name;
  if (pyddb_value_init(self->state, operand, NULL, self->name, &value) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (pyddb_text_init(&name, self->name) == 0) {
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = ddb_cond_compare(name.str, op, &value.value, &cond, &err);
    if (self->keyed_by && op == DDB_OP_EQ) {
      ddb_table_expect(self->keyed_by, cond, false);
    }
    result = make_cond(self, status, cond, op == DDB_OP_EQ, &err);
    pyddb_text_fini(&name);
  }
  pyddb_value_fini(self->state, &value);
  return result;
}

PyObject *pyddb_expr_compare(PyObject *self, PyObject *other, int op) {
  static const ddb_op ops[] = {
      [Py_LT] = DDB_OP_LT, [Py_LE] = DDB_OP_LE, [Py_EQ] = DDB_OP_EQ,
      [Py_NE] = DDB_OP_NE, [Py_GT] = DDB_OP_GT, [Py_GE] = DDB_OP_GE,
  };
  return compare((pyddb_expr *)self, ops[op], other);
}

/* With what a text or bytes may begin or end with; `what` names it. */
static PyObject *compare_part(PyObject *object, ddb_op op, PyObject *part, const char *what) {
  pyddb_expr *self = (pyddb_expr *)object;
  if (!PyUnicode_Check(part) && !PyBytes_Check(part) && !pyddb_is_expr(self->state, part)) {
    return pyddb_raise_format(self->state, DDB_ERR_TYPE,
                              "%R.%s must be str, bytes or an Expression, not '%s'", object, what,
                              Py_TYPE(part)->tp_name);
  }
  return compare(self, op, part);
}

PyDoc_STRVAR(startswith_doc, "startswith($self, prefix, /)\n--\n\n"
                             "The value is a str (or bytes) that starts with prefix.");
static PyObject *expr_startswith(PyObject *self, PyObject *prefix) {
  return compare_part(self, DDB_OP_STARTSWITH, prefix, "startswith(): prefix");
}

PyDoc_STRVAR(endswith_doc, "endswith($self, suffix, /)\n--\n\n"
                           "The value is a str (or bytes) that ends with suffix.");
static PyObject *expr_endswith(PyObject *self, PyObject *suffix) {
  return compare_part(self, DDB_OP_ENDSWITH, suffix, "endswith(): suffix");
}

PyDoc_STRVAR(contains_doc, "contains($self, item, /)\n--\n\n"
                           "item is a part of the value's str or bytes, an item of its list,\n"
                           "tuple or set, or a key of its dict.");
static PyObject *expr_contains(PyObject *self, PyObject *item) {
  return compare((pyddb_expr *)self, DDB_OP_CONTAINS, item);
}

/* ---- Several values ------------------------------------------------------------------------ */

/* All values of an iterable as top-level items of a builder. NULL: exception. */
static ddb_builder *values_of(pyddb_expr *self, PyObject *values, const char *method) {
  bool is_iterable = Py_TYPE(values)->tp_iter || PySequence_Check(values);
  if (!is_iterable || PyUnicode_Check(values) || PyBytes_Check(values) ||
      pyddb_is_expr(self->state, values)) {
    pyddb_raise_format(self->state, DDB_ERR_TYPE, "%R: %s() takes an iterable of values, not '%s'",
                       self, method, Py_TYPE(values)->tp_name);
    return NULL;
  }
  PyObject *items = PySequence_Tuple(values);
  ddb_builder *builder = items ? pyddb_builder_take(self->state) : NULL;
  pyddb_input in = {self->state, builder, NULL, self->name};
  for (Py_ssize_t i = 0; builder && i < PyTuple_GET_SIZE(items); i++) {
    PyObject *item = PyTuple_GET_ITEM(items, i);
    bool refused = pyddb_is_expr(self->state, item);
    if (refused) {
      pyddb_raise_format(self->state, DDB_ERR_TYPE,
                         "%R: %s() takes values, not the expression %R: compare with it, and "
                         "combine the conditions with |",
                         self, method, item);
    }
    if (refused || pyddb_append(&in, item) < 0) {
      pyddb_builder_give(self->state, builder);
      builder = NULL;
    }
  }
  Py_XDECREF(items);
  return builder;
}

typedef ddb_status make_of_values(ddb_expr *of, const ddb_value *values, size_t count,
                                  ddb_cond **out, ddb_error *err);

/* is_point: do few values mean few records? */
static PyObject *with_values(PyObject *object, PyObject *values, const char *method,
                             make_of_values *make, bool is_point) {
  pyddb_expr *self = (pyddb_expr *)object;
  ddb_builder *builder = values_of(self, values, method);
  if (!builder) {
    return NULL;
  }
  size_t count = ddb_builder_count(builder);
  ddb_value *items = PyMem_Calloc(count + 1, sizeof *items);
  ddb_expr *of = items ? pyddb_expr_take(self) : NULL;
  PyObject *result = NULL;
  if (!items) {
    PyErr_NoMemory();
  } else if (of) {
    for (size_t i = 0; i < count; i++) {
      items[i] = ddb_builder_value_at(builder, i);
    }
    ddb_cond *cond = NULL;
    ddb_error err;
    ddb_status status = make(of, items, count, &cond, &err);
    result = make_cond(self, status, cond, is_point && count <= 64, &err);
  }
  ddb_expr_release(of);
  PyMem_Free(items);
  pyddb_builder_give(self->state, builder);
  return result;
}

PyDoc_STRVAR(is_in_doc, "is_in($self, values, /)\n--\n\n"
                        "The value equals one of the values (any iterable).");
static PyObject *expr_is_in(PyObject *self, PyObject *values) {
  return with_values(self, values, "is_in", ddb_cond_in_expr, true);
}

PyDoc_STRVAR(has_any_doc, "has_any($self, values, /)\n--\n\n"
                          "The value is a list, tuple, set or dict that holds one of the values\n"
                          "(any iterable); of a dict, its keys count.");
static PyObject *expr_has_any(PyObject *self, PyObject *values) {
  return with_values(self, values, "has_any", ddb_cond_has_any, false);
}

PyDoc_STRVAR(has_all_doc, "has_all($self, values, /)\n--\n\n"
                          "The value is a list, tuple, set or dict that holds each of the values\n"
                          "(any iterable); of a dict, its keys count.");
static PyObject *expr_has_all(PyObject *self, PyObject *values) {
  return with_values(self, values, "has_all", ddb_cond_has_all, false);
}

/* low <= self and self <= high, of which one at least is no value. */
static PyObject *between_exprs(pyddb_expr *self, PyObject *low, PyObject *high) {
  PyObject *above = compare(self, DDB_OP_GE, low);
  PyObject *below = above ? compare(self, DDB_OP_LE, high) : NULL;
  PyObject *result = below ? PyNumber_And(above, below) : NULL;
  Py_XDECREF(above);
  Py_XDECREF(below);
  return result;
}

static PyObject *between_values(pyddb_expr *self, const ddb_value *low, const ddb_value *high) {
  ddb_expr *of = pyddb_expr_take(self);
  if (!of) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  ddb_status status = ddb_cond_between_expr(of, low, high, &cond, &err);
  ddb_expr_release(of);
  return make_cond(self, status, cond, false, &err);
}

PyDoc_STRVAR(between_doc, "between($self, low, high, /)\n--\n\n"
                          "low <= the value <= high.");

static PyObject *expr_between(PyObject *object, PyObject *const *args, Py_ssize_t count) {
  pyddb_expr *self = (pyddb_expr *)object;
  if (count != 2) {
    PyErr_Format(PyExc_TypeError, "between() takes 2 arguments (%zd given)", count);
    return NULL;
  }
  if (pyddb_is_expr(self->state, args[0]) || pyddb_is_expr(self->state, args[1])) {
    return between_exprs(self, args[0], args[1]);
  }
  pyddb_value low, high;
  if (pyddb_value_init(self->state, args[0], NULL, self->name, &low) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (pyddb_value_init(self->state, args[1], NULL, self->name, &high) == 0) {
    result = between_values(self, &low.value, &high.value);
    pyddb_value_fini(self->state, &high);
  }
  pyddb_value_fini(self->state, &low);
  return result;
}

/* ---- Null ---------------------------------------------------------------------------------- */

static ddb_cond *null_cond(pyddb_expr *self) {
  ddb_expr *of = pyddb_expr_take(self);
  if (!of) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  if (ddb_cond_is_null_expr(of, &cond, &err) != DDB_OK) {
    pyddb_raise(self->state, &err);
    cond = NULL;
  }
  ddb_expr_release(of);
  return cond;
}

PyDoc_STRVAR(is_null_doc, "is_null($self)\n--\n\nThe value is None or missing.");
static PyObject *expr_is_null(PyObject *self, PyObject *unused) {
  (void)unused;
  ddb_cond *cond = null_cond((pyddb_expr *)self);
  return cond ? pyddb_cond_new(((pyddb_expr *)self)->state, cond, NULL) : NULL;
}

PyDoc_STRVAR(is_not_null_doc, "is_not_null($self)\n--\n\nThe value is there and not None.");
static PyObject *expr_is_not_null(PyObject *object, PyObject *unused) {
  (void)unused;
  pyddb_expr *self = (pyddb_expr *)object;
  ddb_cond *operand = null_cond(self);
  if (!operand) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  ddb_status status = ddb_cond_not(operand, &cond, &err);
  ddb_cond_release(operand);
  return make_cond(self, status, cond, false, &err);
}

PyDoc_STRVAR(exists_doc, "exists($self)\n--\n\nThe value is there, even if it is None.");
static PyObject *expr_exists(PyObject *object, PyObject *unused) {
  (void)unused;
  pyddb_expr *self = (pyddb_expr *)object;
  ddb_expr *of = pyddb_expr_take(self);
  if (!of) {
    return NULL;
  }
  ddb_cond *cond = NULL;
  ddb_error err;
  ddb_status status = ddb_cond_exists(of, &cond, &err);
  ddb_expr_release(of);
  return make_cond(self, status, cond, false, &err);
}

/* ---- The methods --------------------------------------------------------------------------- */

PyDoc_STRVAR(like_doc, "like($self, pattern, escape=None)\n--\n\n"
                       "The value is a str that is like the pattern: % stands for any characters,\n"
                       "_ for one. After the escape character both stand for themselves.\n\n"
                       "Raises InvalidArgumentError for a bad pattern, naming the position.");
PyDoc_STRVAR(ilike_doc, "ilike($self, pattern, escape=None)\n--\n\n"
                        "As like(), without regard to case.");
PyDoc_STRVAR(matches_doc,
             "matches($self, regex, flags=0)\n--\n\n"
             "The value is a str in which the regular expression (PCRE2) matches somewhere.\n"
             "flags: re.I, re.M, re.S, re.X, re.A. Nothing matches a lone surrogate.\n\n"
             "Raises InvalidArgumentError for a bad regex, naming the position. A statement\n"
             "raises LimitError when a search takes too many steps.");
PyDoc_STRVAR(iequals_doc, "iequals($self, text, /)\n--\n\n"
                          "The value is this str, without regard to case (as str.casefold()).");
PyDoc_STRVAR(icontains_doc, "icontains($self, text, /)\n--\n\n"
                            "The value is a str that contains text, without regard to case.");
PyDoc_STRVAR(istartswith_doc,
             "istartswith($self, prefix, /)\n--\n\n"
             "The value is a str that starts with prefix, without regard to case.");
PyDoc_STRVAR(iendswith_doc, "iendswith($self, suffix, /)\n--\n\n"
                            "The value is a str that ends with suffix, without regard to case.");
PyDoc_STRVAR(len_doc, "len_($self)\n--\n\n"
                      "The length: of a str in characters, of bytes, a list, a tuple, a set or a\n"
                      "dict in items. Null for anything else.");

PyMethodDef pyddb_expr_methods[] = {
    {"is_in", expr_is_in, METH_O, is_in_doc},
    {"between", PYDDB_FAST(expr_between), METH_FASTCALL, between_doc},
    {"startswith", expr_startswith, METH_O, startswith_doc},
    {"endswith", expr_endswith, METH_O, endswith_doc},
    {"contains", expr_contains, METH_O, contains_doc},
    {"is_null", expr_is_null, METH_NOARGS, is_null_doc},
    {"is_not_null", expr_is_not_null, METH_NOARGS, is_not_null_doc},
    {"exists", expr_exists, METH_NOARGS, exists_doc},
    {"has_any", expr_has_any, METH_O, has_any_doc},
    {"has_all", expr_has_all, METH_O, has_all_doc},
    {"like", PYDDB_FAST(pyddb_expr_like), PYDDB_FAST_FLAGS, like_doc},
    {"ilike", PYDDB_FAST(pyddb_expr_ilike), PYDDB_FAST_FLAGS, ilike_doc},
    {"matches", PYDDB_FAST(pyddb_expr_matches), PYDDB_FAST_FLAGS, matches_doc},
    {"iequals", pyddb_expr_iequals, METH_O, iequals_doc},
    {"icontains", pyddb_expr_icontains, METH_O, icontains_doc},
    {"istartswith", pyddb_expr_istartswith, METH_O, istartswith_doc},
    {"iendswith", pyddb_expr_iendswith, METH_O, iendswith_doc},
    {"len_", pyddb_expr_len, METH_NOARGS, len_doc},
    {"asc", PYDDB_FAST(pyddb_expr_asc), PYDDB_FAST_FLAGS, pyddb_asc_doc},
    {"desc", PYDDB_FAST(pyddb_expr_desc), PYDDB_FAST_FLAGS, pyddb_desc_doc},
    {NULL, NULL, 0, NULL},
};
