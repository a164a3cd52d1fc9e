/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.h - what the binding keeps between calls so as not to make it again, on objects of pyddb.h.
 *
 *   Table, TableView   names and patterns of shapes, short strs (record_out.c), Fields (field.c)
 *   module's state     memory of Conditions (cond.c)
 *
 * Thread-safety: names are published once and stay; whatever else changes is changed with the GIL held,
 * and is not there without one, where threads would count the references of the same objects.
 */
#ifndef PYDDB_KEPT_H
#define PYDDB_KEPT_H

#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dictdb.h"

#define PYDDB_NAMES_WAYS 64
#define PYDDB_TEXT_WAYS  16u
#define PYDDB_FIELD_WAYS 16u
#define PYDDB_COND_WAYS  16u

/* Interned names of the fields of one shape. Freed with the source that keeps them. */
typedef struct pyddb_names {
  const ddb_shape *shape;
  PyObject *tuple;
#ifndef Py_GIL_DISABLED
  PyObject *pattern; /* a dict of the names; NULL: there is none yet */
  uint32_t uses;     /* until there is */
  bool in_place;     /* values can be put into its copies without their names */
#endif
} pyddb_names;

/* Short strs made lately, and the names of the last shape, borrowed. All NULL at first. */
typedef struct pyddb_texts {
  PyObject *last[PYDDB_TEXT_WAYS];
  const ddb_shape *shape;
  pyddb_names *names;
} pyddb_texts;

/* Fields asked for lately, each in the way of its name's address. All NULL at first. */
typedef struct pyddb_fields {
#ifndef Py_GIL_DISABLED
  struct pyddb_expr *last[PYDDB_FIELD_WAYS];
#else
  char none;
#endif
} pyddb_fields;

/* Memory of Conditions that are gone. */
typedef struct pyddb_free_conds {
#ifndef Py_GIL_DISABLED
  struct pyddb_cond *items[PYDDB_COND_WAYS];
#endif
  unsigned count;
} pyddb_free_conds;

#endif
