/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asker.c - asks callables about records: does the condition hold, and which changes are made?
 *
 * The answers go into a judge, which the library then runs a step with; changes become rows of a
 * changeset. What was answered once about a record is not asked again.
 *
 * Callables may do what they like: no lock is held, and a view of the record is all they get.
 */
#include "pyddb.h"

static int has_code(PyObject *dict) {
  PyObject *values = PyDict_Values(dict);
  int found = values ? 0 : -1;
  for (Py_ssize_t i = 0; values && found == 0 && i < PyList_GET_SIZE(values); i++) {
    found = pyddb_is_code(PyList_GET_ITEM(values, i));
  }
  Py_XDECREF(values);
  return found;
}

static int read_changes(pyddb_asker *asker, PyObject *changes) {
  if (pyddb_is_code(changes) && !pyddb_is_mapping(changes)) {
    asker->function = Py_NewRef(changes);
    asker->per_record = true;
    return 0;
  }
  asker->dict = pyddb_dict_of(asker->table, changes, "changes");
  int coded = asker->dict ? has_code(asker->dict) : -1;
  asker->per_record = coded > 0;
  return coded < 0 ? -1 : 0;
}

int pyddb_asker_init(pyddb_asker *asker, pyddb_table *table, pyddb_changeset *set,
                     PyObject *changes, pyddb_cond *where) {
  *asker = (pyddb_asker){.table = table, .set = set};
  if (changes && read_changes(asker, changes) < 0) {
    pyddb_asker_fini(asker);
    return -1;
  }
  asker->code = where ? Py_XNewRef(where->code) : NULL;
  if (changes && !asker->per_record) {
    asker->choice = set->row_count;
    if (pyddb_changeset_add(set, asker->dict, NULL) < 0) {
      pyddb_asker_fini(asker);
      return -1;
    }
  }
  return 0;
}

void pyddb_asker_fini(pyddb_asker *asker) {
  ddb_judge_free(asker->judge);
  asker->judge = NULL;
  Py_CLEAR(asker->code);
  Py_CLEAR(asker->dict);
  Py_CLEAR(asker->function);
}

int pyddb_asker_begin(pyddb_asker *asker) {
  ddb_error err;
  if (asker->code && pyddb_code_check(&asker->table->source, asker->code) < 0) {
    return -1;
  }
  if (!asker->judge && ddb_judge_new(&asker->judge, &err) != DDB_OK) {
    pyddb_raise(asker->table->source.state, &err);
    return -1;
  }
  return 0;
}

/* The changes of one record as a dict; new reference. */
static PyObject *changes_of(pyddb_asker *asker, PyObject *view) {
  if (!asker->function) {
    return Py_NewRef(asker->dict);
  }
  PyObject *changes = PyObject_CallOneArg(asker->function, view);
  PyObject *dict = changes ? pyddb_dict_of(asker->table, changes, "what a callable returns") : NULL;
  Py_XDECREF(changes);
  return dict;
}

/* The index of the record's changes. */
static int choose(pyddb_asker *asker, const ddb_record *record, PyObject **view, size_t *choice) {
  *choice = asker->choice;
  if (!asker->per_record) {
    return 0;
  }
  if (!*view && !(*view = pyddb_record_view_new(&asker->table->source, record))) {
    return -1;
  }
  *choice = asker->set->row_count;
  PyObject *dict = changes_of(asker, *view);
  int result = dict ? pyddb_changeset_add(asker->set, dict, *view) : -1;
  Py_XDECREF(dict);
  return result;
}

static int ask(pyddb_asker *asker, const ddb_record *record, size_t *choice) {
  PyObject *view = NULL;
  int answer =
      asker->code ? pyddb_code_matches(&asker->table->source, asker->code, record, &view) : 1;
  *choice = DDB_JUDGE_LEAVE;
  if (answer > 0 && choose(asker, record, &view, choice) < 0) {
    answer = -1;
  }
  Py_XDECREF(view);
  return answer < 0 ? -1 : 0;
}

int pyddb_asker_ask(pyddb_asker *asker, const ddb_record *record, bool by_contents,
                    size_t *choice) {
  if (ddb_judge_find(asker->judge, record, choice)) {
    return 0;
  }
  if (ask(asker, record, choice) < 0) {
    return -1;
  }
  ddb_error err;
  ddb_status status = by_contents ? ddb_judge_put_equal(asker->judge, record, *choice, &err)
                                  : ddb_judge_put(asker->judge, record, *choice, &err);
  if (status != DDB_OK) {
    pyddb_raise(asker->table->source.state, &err);
    return -1;
  }
  return 0;
}
