/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changeset.c - mappings that update takes into ddb_changes.
 *
 *   {"a": 1, "b": t.b + 1, "c": Append(2), "d": UNSET, "e": lambda r: ...}
 *      |        |            |              |            |
 *      |        +--> an entry each <--------+            +--> called now; its result is one of these
 *      +--> a record of CHANGES in `plain`
 *
 * A row is what one mapping gives; rows share the builders. Pointers are made at the end
 * (_finish), since builders move while they grow. The caller's code runs in _add: no lock is held.
 */
#include "pyddb.h"

struct pyddb_entry {
  PyObject *name; /* str */
  pyddb_text text;
  ddb_change_kind kind;
  ddb_expr *expr; /* NULL: the value, if there is one */
  size_t value;   /* index in `values` */
};

struct pyddb_row {
  bool has_plain;
  size_t plain;
  size_t first; /* entries */
  size_t count;
};

int pyddb_changeset_init(pyddb_changeset *set, pyddb_table *table) {
  *set = (pyddb_changeset){.table = table};
  set->plain = pyddb_builder_take(table->source.state);
  set->values = set->plain ? pyddb_builder_take(table->source.state) : NULL;
  if (!set->values) {
    pyddb_changeset_fini(set);
    return -1;
  }
  return 0;
}

void pyddb_changeset_fini(pyddb_changeset *set) {
  pyddb_state *state = set->table->source.state;
  for (size_t i = 0; i < set->entry_count; i++) {
    pyddb_text_fini(&set->entries[i].text);
    Py_DECREF(set->entries[i].name);
    ddb_expr_release(set->entries[i].expr);
  }
  PyMem_Free(set->entries);
  PyMem_Free(set->rows);
  PyMem_Free(set->numbers);
  PyMem_Free(set->list);
  PyMem_Free(set->changes);
  pyddb_builder_give(state, set->plain);
  pyddb_builder_give(state, set->values);
}

/* Room for one more item; *items moves. */
static int make_room(void **items, size_t count, size_t *capacity, size_t size) {
  if (count < *capacity) {
    return 0;
  }
  size_t more = *capacity ? 2 * *capacity : 8;
  void *moved = PyMem_Realloc(*items, more * size);
  if (!moved) {
    PyErr_NoMemory();
    return -1;
  }
  *items = moved;
  *capacity = more;
  return 0;
}

/* ---- Adding -------------------------------------------------------------------------------- */

static int append_value(pyddb_changeset *set, PyObject *name, PyObject *value, size_t *index) {
  pyddb_input in = {set->table->source.state, set->values, set->table->source.table_name, name};
  *index = ddb_builder_count(set->values);
  return pyddb_append(&in, value);
}

/* An entry for a Change, or for an Expression (change is NULL). */
static int add_entry(pyddb_changeset *set, PyObject *name, const pyddb_change *change,
                     PyObject *operand) {
  pyddb_state *state = set->table->source.state;
  void *items = set->entries;
  int room = make_room(&items, set->entry_count, &set->entry_capacity, sizeof *set->entries);
  set->entries = items;
  if (room < 0) {
    return -1;
  }
  struct pyddb_entry entry = {.kind = change ? change->kind : DDB_CHANGE_SET};
  if (operand && pyddb_is_expr(state, operand)) {
    entry.expr = pyddb_expr_take((pyddb_expr *)operand);
    if (!entry.expr) {
      return -1;
    }
  } else if (operand && append_value(set, name, operand, &entry.value) < 0) {
    return -1;
  }
  if (pyddb_text_init(&entry.text, name) < 0) {
    ddb_expr_release(entry.expr);
    return -1;
  }
  entry.name = Py_NewRef(name);
  set->entries[set->entry_count++] = entry;
  return 0;
}

static int add_item(pyddb_changeset *set, PyObject *plain, PyObject *name, PyObject *value) {
  pyddb_state *state = set->table->source.state;
  bool named = PyUnicode_Check(name); /* a name that is none is refused with the plain ones */
  if (named && Py_IS_TYPE(value, state->change_type)) {
    const pyddb_change *change = (pyddb_change *)value;
    return add_entry(set, name, change, change->item);
  }
  if (named && pyddb_is_expr(state, value)) {
    return add_entry(set, name, NULL, value);
  }
  return PyDict_SetItem(plain, name, value);
}

bool pyddb_is_code(PyObject *value) {
  return PyCallable_Check(value) && !PyType_Check(value);
}

static int add_items(pyddb_changeset *set, PyObject *plain, PyObject *items, PyObject *view) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
    PyObject *pair = PyList_GET_ITEM(items, i);
    PyObject *value = PyTuple_GET_ITEM(pair, 1);
    value = view && pyddb_is_code(value) ? PyObject_CallOneArg(value, view) : Py_NewRef(value);
    int result = value ? add_item(set, plain, PyTuple_GET_ITEM(pair, 0), value) : -1;
    Py_XDECREF(value);
    if (result < 0) {
      return -1;
    }
  }
  return 0;
}

int pyddb_changeset_add(pyddb_changeset *set, PyObject *dict, PyObject *view) {
  void *rows = set->rows;
  int room = make_room(&rows, set->row_count, &set->row_capacity, sizeof *set->rows);
  set->rows = rows;
  PyObject *items = room == 0 ? PyDict_Items(dict) : NULL;
  PyObject *plain = items ? PyDict_New() : NULL;
  struct pyddb_row row = {.first = set->entry_count, .plain = ddb_builder_count(set->plain)};
  int result = plain ? add_items(set, plain, items, view) : -1;
  if (result == 0) {
    row.count = set->entry_count - row.first;
    row.has_plain = PyDict_GET_SIZE(plain) > 0 || row.count == 0;
    if (row.has_plain) {
      result =
          pyddb_append_record(set->table, set->plain, DDB_SHAPE_CHANGES, true, plain, "changes");
    }
  }
  Py_XDECREF(items);
  Py_XDECREF(plain);
  if (result == 0) {
    set->rows[set->row_count++] = row;
  }
  return result;
}

/* ---- The end ------------------------------------------------------------------------------- */

static void fill_list(pyddb_changeset *set) {
  for (size_t i = 0; i < set->entry_count; i++) {
    const struct pyddb_entry *entry = &set->entries[i];
    bool has_value = !entry->expr && entry->kind != DDB_CHANGE_UNSET;
    if (has_value) {
      set->numbers[i] = ddb_builder_value_at(set->values, entry->value);
    }
    set->list[i] = (ddb_change){.name = entry->text.str,
                                .kind = entry->kind,
                                .value = has_value ? &set->numbers[i] : NULL,
                                .expr = entry->expr};
  }
}

int pyddb_changeset_finish(pyddb_changeset *set) {
  PyMem_Free(set->numbers);
  PyMem_Free(set->list);
  PyMem_Free(set->changes);
  set->numbers = PyMem_Calloc(set->entry_count + 1, sizeof *set->numbers);
  set->list = PyMem_Calloc(set->entry_count + 1, sizeof *set->list);
  set->changes = PyMem_Calloc(set->row_count + 1, sizeof *set->changes);
  if (!set->numbers || !set->list || !set->changes) {
    PyErr_NoMemory();
    return -1;
  }
  fill_list(set);
  for (size_t i = 0; i < set->row_count; i++) {
    const struct pyddb_row *row = &set->rows[i];
    set->changes[i] = (ddb_changes){.batch = row->has_plain ? set->plain : NULL,
                                    .item = row->plain,
                                    .changes = set->list + row->first,
                                    .change_count = row->count};
  }
  return 0;
}
