/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_run.c - updates and deletes that are more than a condition and plain values: with limit and
 * order_by, returning records, with Expressions and Changes, with callables, many at once.
 *
 * With callables (in the condition or in the changes) a statement goes in rounds:
 *   1. open a view; select the native part's candidates, in order; ask the code about each, and work
 *      out the changes of those it holds for, until there are as many as the limit says; close it.
 *      No lock is held, and all is of one version. Verdicts are kept by the records' identity.
 *   2. run it. The library finds the candidates again, under the table's lock. When one of them is not
 *      among the verdicts, it has changed nothing, and the next round asks about what is new.
 *   3. After ROUNDS rounds the next ones hold the table's public write lock. Only the callables
 *      themselves can change the table then; when they go on to, the statement gives up.
 *
 * What fails before the statement takes effect, callables that raise included, leaves all as it was.
 * The one thing that can fail after it is memory for the records that it returns.
 */
#include "pyddb.h"

#define ROUNDS         3
#define DETACH_STEPS   64
#define DETACH_RECORDS 256

static int returning_argument(pyddb_state *state, PyObject *object, bool deletes,
                              ddb_returning *out) {
  static const char *const texts[] = {"count", "old", "new"};
  *out = DDB_RETURN_COUNT;
  if (!object) {
    return 0;
  }
  for (int i = 0; PyUnicode_Check(object) && i < (deletes ? 2 : 3); i++) {
    if (PyUnicode_CompareWithASCIIString(object, texts[i]) == 0) {
      *out = (ddb_returning)i;
      return 0;
    }
  }
  pyddb_raise_format(state, DDB_ERR_INVALID, "returning must be 'count'%s, not %R",
                     deletes ? " or 'old'" : ", 'old' or 'new'", object);
  return -1;
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Runs it detached when it may be long. */
static int call(pyddb_table *table, const ddb_run *run, bool detach, ddb_outcome *out) {
  ddb_error err;
  if (detach) {
    pyddb_detach();
  }
  ddb_status status = ddb_table_run(table->source.table, run, out, &err);
  if (detach) {
    pyddb_attach();
  }
  if (status != DDB_OK) {
    pyddb_raise(table->source.state, &err);
    return -1;
  }
  return 0;
}

static PyObject *records_out(pyddb_table *table, const ddb_outcome *out) {
  PyObject *list = PyList_New((Py_ssize_t)out->record_count);
  for (size_t i = 0; list && i < out->record_count; i++) {
    PyObject *dict = pyddb_record_out(&table->source, out->records[i]);
    if (!dict) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, dict);
  }
  return list;
}

/* Runs the steps. reserve: an int, let go of for the result. NULL with *stale: another round. */
static PyObject *run_steps(pyddb_table *table, const ddb_run *run, bool detach, bool *stale) {
  PyObject *reserve = PyLong_FromLongLong(INT64_MAX);
  ddb_outcome out;
  if (!reserve || call(table, run, detach, &out) < 0) {
    Py_XDECREF(reserve);
    return NULL;
  }
  Py_DECREF(reserve);
  *stale = out.stale;
  PyObject *result = NULL;
  if (!out.stale) {
    result = run->returning == DDB_RETURN_COUNT ? PyLong_FromUnsignedLongLong(out.matched)
                                                : records_out(table, &out);
  }
  ddb_outcome_fini(&out);
  return result;
}

/* ---- Callables ----------------------------------------------------------------------------- */

/* An update or a delete. */
typedef struct statement {
  pyddb_table *table;
  pyddb_query query;
  ddb_returning returning;
  pyddb_missing missing;
  PyObject *dict;     /* strong: the changes; NULL: there is a function, or it deletes */
  PyObject *function; /* borrowed: the changes of each record; NULL */
  bool is_coded;      /* has callables, in the changes or in the condition */
  bool per_record;    /* the changes have callables */
  pyddb_changeset set;
  ddb_judge *judge; /* with is_coded */
} statement;

static bool deletes(const statement *s) {
  return !s->dict && !s->function;
}

/* The changes of one record as a dict; new reference. */
static PyObject *changes_of(statement *s, PyObject *view) {
  if (!s->function) {
    return Py_NewRef(s->dict);
  }
  PyObject *changes = PyObject_CallOneArg(s->function, view);
  PyObject *dict = changes ? pyddb_dict_of(s->table, changes, "what a callable returns") : NULL;
  Py_XDECREF(changes);
  return dict;
}

/* The index of the record's changes. */
static int choose(statement *s, const ddb_record *record, PyObject **view, size_t *choice) {
  *choice = 0;
  if (!s->per_record) {
    return 0;
  }
  if (!*view && !(*view = pyddb_record_view_new(&s->table->source, record))) {
    return -1;
  }
  *choice = s->set.row_count;
  PyObject *dict = changes_of(s, *view);
  int result = dict ? pyddb_changeset_add(&s->set, dict, *view) : -1;
  Py_XDECREF(dict);
  return result;
}

/* Judges a record that the judge does not know. */
static int judge_record(statement *s, const ddb_record *record, size_t *choice) {
  PyObject *view = NULL;
  PyObject *code = s->query.where ? s->query.where->code : NULL;
  int answer = code ? pyddb_code_matches(&s->table->source, code, record, &view) : 1;
  *choice = DDB_JUDGE_LEAVE;
  if (answer > 0 && choose(s, record, &view, choice) < 0) {
    answer = -1;
  }
  Py_XDECREF(view);
  ddb_error err;
  if (answer >= 0 && ddb_judge_put(s->judge, record, *choice, &err) != DDB_OK) {
    pyddb_raise(s->table->source.state, &err);
    answer = -1;
  }
  return answer < 0 ? -1 : 0;
}

static int judge_all(statement *s, const ddb_records *records) {
  uint64_t chosen = 0;
  for (size_t i = 0; i < records->count && chosen < s->query.core.limit; i++) {
    size_t choice;
    if (!ddb_judge_find(s->judge, records->items[i], &choice) &&
        judge_record(s, records->items[i], &choice) < 0) {
      return -1;
    }
    chosen += choice != DDB_JUDGE_LEAVE;
  }
  return 0;
}

/* *count: the candidates there were. */
static int judge_round(statement *s, size_t *count) {
  pyddb_source *source = &s->table->source;
  pyddb_cond native = {.state = source->state};
  if (s->query.where) {
    if (s->query.where->code && pyddb_code_check(source, s->query.where->code) < 0) {
      return -1;
    }
    native.cond = s->query.where->cond;
    native.point_field = s->query.where->point_field;
  }
  ddb_query all = s->query.core;
  all.limit = s->query.core.limit == 0 ? 0 : DDB_NO_LIMIT;
  ddb_records records = {0};
  ddb_view view;
  if (pyddb_view_open(source, &view) < 0) {
    return -1;
  }
  int result = pyddb_view_select(source, &view, &native, &all, &records);
  if (result == 0) {
    *count = records.count;
    result = judge_all(s, &records);
    ddb_records_free(&records);
  }
  pyddb_view_close(source, &view);
  return result;
}

static PyObject *run_once(statement *s, bool detach, bool *stale) {
  *stale = false;
  if (!deletes(s) && pyddb_changeset_finish(&s->set) < 0) {
    return NULL;
  }
  ddb_step step = {
      .where = s->query.where ? s->query.where->cond : NULL,
      .order = s->query.core.order,
      .order_count = s->query.core.order_count,
      .limit = s->query.core.limit,
      .judge = s->judge,
      .changes = deletes(s) ? NULL : s->set.changes,
  };
  ddb_run run = {
      .steps = &step,
      .step_count = 1,
      .returning = s->returning,
      .must_match = s->missing == PYDDB_MISSING_RAISE,
  };
  return run_steps(s->table, &run, detach, stale);
}

static PyObject *run_rounds(statement *s, int rounds, bool *stale) {
  PyObject *result = NULL;
  *stale = true;
  for (int round = 0; *stale && round < rounds; round++) {
    size_t count;
    result = judge_round(s, &count) == 0 ? run_once(s, count > DETACH_RECORDS, stale) : NULL;
    if (!result && PyErr_Occurred()) {
      *stale = false;
    }
  }
  return result;
}

static PyObject *run_coded(statement *s) {
  pyddb_state *state = s->table->source.state;
  ddb_rwlock *lock = ddb_table_lock(s->table->source.table);
  ddb_error err;
  if (ddb_judge_new(&s->judge, &err) != DDB_OK) {
    return pyddb_raise(state, &err);
  }
  bool stale;
  PyObject *result = run_rounds(s, ROUNDS, &stale);
  if (!stale) {
    return result;
  }
  if (ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, &err) != DDB_OK) {
    return pyddb_raise(state, &err);
  }
  result = run_rounds(s, ROUNDS, &stale);
  (void)ddb_rwlock_release_write(lock, NULL); /* this thread has just acquired it */
  if (stale) {
    pyddb_raise_format(state, DDB_ERR_INVALID,
                       "table %R: the callables of a statement change the records that they are "
                       "asked about, each time they are asked",
                       s->table->source.table_name);
  }
  return result;
}

/* ---- Update and delete --------------------------------------------------------------------- */

static int run_is_long(statement *s, bool *out) {
  ddb_view view;
  if (pyddb_view_open(&s->table->source, &view) < 0) {
    return -1;
  }
  *out = !pyddb_is_short(&s->table->source, s->query.where, ddb_view_count(&view));
  pyddb_view_close(&s->table->source, &view);
  return 0;
}

static PyObject *run_statement(statement *s) {
  if (!deletes(s) && !s->per_record && pyddb_changeset_add(&s->set, s->dict, NULL) < 0) {
    return NULL;
  }
  if (s->is_coded) {
    return run_coded(s);
  }
  bool stale, detach;
  return run_is_long(s, &detach) < 0 ? NULL : run_once(s, detach, &stale);
}

static int has_code(PyObject *dict) {
  PyObject *values = PyDict_Values(dict);
  int found = values ? 0 : -1;
  for (Py_ssize_t i = 0; values && found == 0 && i < PyList_GET_SIZE(values); i++) {
    found = pyddb_is_code(PyList_GET_ITEM(values, i));
  }
  Py_XDECREF(values);
  return found;
}

static int statement_changes(statement *s, PyObject *changes) {
  if (pyddb_is_code(changes) && !pyddb_is_mapping(changes)) {
    s->function = changes;
    s->per_record = true;
    return 0;
  }
  s->dict = pyddb_dict_of(s->table, changes, "changes");
  int coded = s->dict ? has_code(s->dict) : -1;
  s->per_record = coded > 0;
  return coded < 0 ? -1 : 0;
}

static int statement_init(statement *s, pyddb_table *table, PyObject *changes,
                          const pyddb_run_arguments *args) {
  pyddb_state *state = table->source.state;
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  *s = (statement){.table = table};
  slots[PYDDB_WHERE] = args->where;
  slots[PYDDB_LIMIT] = args->limit;
  slots[PYDDB_ORDER_BY] = args->order_by;
  if (returning_argument(state, args->returning, !changes, &s->returning) < 0 ||
      pyddb_missing_argument(state, args->missing, table->missing, &s->missing) < 0 ||
      pyddb_changeset_init(&s->set, table) < 0) {
    return -1;
  }
  if (pyddb_query_init(&table->source, &s->query, slots) < 0) {
    pyddb_changeset_fini(&s->set);
    return -1;
  }
  return 0;
}

PyObject *pyddb_run(pyddb_table *table, PyObject *changes, const pyddb_run_arguments *args) {
  statement s;
  if (statement_init(&s, table, changes, args) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (!changes || statement_changes(&s, changes) == 0) {
    s.is_coded = s.per_record || (s.query.where && s.query.where->code);
    result = run_statement(&s);
  }
  ddb_judge_free(s.judge);
  Py_XDECREF(s.dict);
  pyddb_query_fini(&s.query);
  pyddb_changeset_fini(&s.set);
  return result;
}

/* ---- update_many --------------------------------------------------------------------------- */

/* What a batch of updates is made of; `conds` holds what the steps point to. */
typedef struct batch {
  pyddb_table *table;
  pyddb_changeset set;
  ddb_builder *keys;
  PyObject *conds; /* list of Conditions and None, one per step */
} batch;

/* {"id": 1, "a": 2}: takes the key out of a copy. */
static int add_keyed(batch *b, PyObject *mapping) {
  pyddb_source *source = &b->table->source;
  PyObject *dict = pyddb_dict_of(b->table, mapping, "each of the updates");
  PyObject *key = dict ? PyDict_GetItemWithError(dict, source->primary_key) : NULL;
  if (!key) {
    if (dict && !PyErr_Occurred()) {
      pyddb_raise_format(source->state, DDB_ERR_KEY,
                         "table %R: an update of update_many() lacks the primary key %R",
                         source->table_name, source->primary_key);
    }
    Py_XDECREF(dict);
    return -1;
  }
  pyddb_input in = {source->state, b->keys, source->table_name, source->primary_key};
  int result = pyddb_append(&in, key);
  if (result == 0) {
    result = PyDict_DelItem(dict, source->primary_key);
  }
  if (result == 0) {
    result = pyddb_changeset_add(&b->set, dict, NULL);
  }
  if (result == 0) {
    result = PyList_Append(b->conds, Py_None);
  }
  Py_DECREF(dict);
  return result;
}

/* (changes, where) */
static int add_pair(batch *b, PyObject *pair) {
  PyObject *dict = pyddb_dict_of(b->table, PyTuple_GET_ITEM(pair, 0), "changes");
  pyddb_cond *where;
  int result =
      dict ? pyddb_cond_argument(&b->table->source, PyTuple_GET_ITEM(pair, 1), &where) : -1;
  if (result == 0 && !where) {
    pyddb_raise_format(b->table->source.state, DDB_ERR_TYPE,
                       "table %R: an update of update_many() is (changes, where), and where is a "
                       "Condition",
                       b->table->source.table_name);
    result = -1;
  }
  if (result == 0) {
    result = pyddb_changeset_add(&b->set, dict, NULL);
  }
  if (result == 0) {
    result = PyList_Append(b->conds, (PyObject *)where);
  }
  Py_XDECREF(dict);
  return result;
}

static int add_update(batch *b, PyObject *item) {
  if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
    return add_pair(b, item);
  }
  if (pyddb_is_mapping(item)) {
    return add_keyed(b, item);
  }
  pyddb_raise_format(b->table->source.state, DDB_ERR_TYPE,
                     "table %R: each of the updates must be a mapping with the primary key, or a "
                     "pair (changes, where), not '%s'",
                     b->table->source.table_name, Py_TYPE(item)->tp_name);
  return -1;
}

static int add_updates(batch *b, PyObject *updates) {
  PyObject *iterator = PyObject_GetIter(updates);
  PyObject *item;
  pyddb_breath breath = {0};
  int result = iterator ? 0 : -1;
  while (result == 0 && (item = PyIter_Next(iterator))) {
    result = add_update(b, item) < 0 || pyddb_breathe(&breath) < 0 ? -1 : 0;
    Py_DECREF(item);
  }
  Py_XDECREF(iterator);
  return result < 0 || PyErr_Occurred() ? -1 : pyddb_changeset_finish(&b->set);
}

static void fill_steps(const batch *b, ddb_step *steps, ddb_value *keys) {
  size_t key_count = 0;
  for (size_t i = 0; i < b->set.row_count; i++) {
    PyObject *cond = PyList_GET_ITEM(b->conds, (Py_ssize_t)i);
    steps[i] = (ddb_step){.limit = DDB_NO_LIMIT, .changes = &b->set.changes[i]};
    if (cond == Py_None) {
      keys[i] = ddb_builder_value_at(b->keys, key_count++);
      steps[i].key = &keys[i];
    } else {
      steps[i].where = ((pyddb_cond *)cond)->cond;
    }
  }
}

static PyObject *run_batch(const batch *b, ddb_returning returning, pyddb_missing missing) {
  size_t count = b->set.row_count;
  ddb_step *steps = PyMem_Calloc(count + 1, sizeof *steps);
  ddb_value *keys = PyMem_Calloc(count + 1, sizeof *keys);
  PyObject *result = NULL;
  if (steps && keys) {
    bool detach = count > DETACH_STEPS || ddb_builder_count(b->keys) < count;
    fill_steps(b, steps, keys);
    ddb_run run = {
        .steps = steps,
        .step_count = count,
        .returning = returning,
        .must_match = missing == PYDDB_MISSING_RAISE,
    };
    bool stale;
    result = run_steps(b->table, &run, detach, &stale);
  } else {
    PyErr_NoMemory();
  }
  PyMem_Free(steps);
  PyMem_Free(keys);
  return result;
}

const char pyddb_update_many_doc[] =
    "update_many($self, updates, *, returning='count', missing=None)\n--\n\n"
    "Makes many updates as one statement, all or nothing, at one instant.\n\n"
    "Each of updates is a mapping with the primary key, whose other fields are\n"
    "merged into that record, or a pair (changes, where) as update() takes them,\n"
    "without callables. They are made in this order: each sees what those before\n"
    "it did. returning as in update(), over all of them. missing='raise': one that\n"
    "matches nothing raises RecordNotFoundError, and nothing is changed.";

PyObject *pyddb_table_update_many(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw) {
  static const char *const names[] = {"updates", "returning", "missing"};
  static const pyddb_signature signature = {"update_many", names, 3, 1, 1};
  batch b = {.table = (pyddb_table *)self};
  pyddb_state *state = b.table->source.state;
  PyObject *slots[3];
  ddb_returning returning;
  pyddb_missing missing;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      returning_argument(state, slots[1], false, &returning) < 0 ||
      pyddb_missing_argument(state, slots[2], b.table->missing, &missing) < 0 ||
      pyddb_changeset_init(&b.set, b.table) < 0) {
    return NULL;
  }
  b.keys = pyddb_builder_take(state);
  b.conds = PyList_New(0);
  PyObject *result = NULL;
  if (b.keys && b.conds && add_updates(&b, slots[0]) == 0) {
    result = run_batch(&b, returning, missing);
  }
  Py_XDECREF(b.conds);
  pyddb_builder_give(state, b.keys);
  pyddb_changeset_fini(&b.set);
  return result;
}
