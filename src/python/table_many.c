/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_many.c - update_many: many updates as one statement of the library, each seeing what those
 * before it did.
 *
 * With callables it goes in rounds, as other updates do (see table_run.c):
 *   1. On one view, all callables are asked about the records that the view has for them, but for those
 *      that an earlier update changes: a callable only ever sees records as they really come to be.
 *   2. The statement is run. When an update finds a record that its callables were not asked about,
 *      since it has changed meanwhile, or since an earlier update of this statement changes it,
 *      nothing is changed, and they are asked about copies of those that it found; then 2 again.
 *   3. After PYDDB_ROUNDS rounds the next ones hold the table's public write lock. Each of them then
 *      gets at least one update further, so there are at most as many as updates.
 * What was answered about such a copy holds for every equal record: the next round makes it anew.
 * So an update whose callables need what earlier ones did costs one more run of the statement.
 */
#include "pyddb.h"

#define DETACH_STEPS 64

typedef struct item {
  PyObject *where;    /* strong: a Condition; NULL: by key */
  pyddb_asker *asker; /* NULL: nothing to ask */
  size_t row;         /* of the changes, when there is nothing to ask */
} item;

/* What a batch of updates is made of; `steps` and `keys` are made at the end. */
typedef struct batch {
  pyddb_table *table;
  pyddb_changeset set;
  ddb_builder *keys; /* of the items without a condition, in order */
  item *items;
  size_t count;
  size_t capacity;
  size_t asker_count;
  ddb_step *steps;
  ddb_value *values; /* of keys, by item */
} batch;

/* ---- Reading ------------------------------------------------------------------------------- */

static int make_room(batch *b) {
  if (b->count < b->capacity) {
    return 0;
  }
  size_t capacity = b->capacity ? 2 * b->capacity : 16;
  item *items = PyMem_Realloc(b->items, capacity * sizeof *items);
  if (!items) {
    PyErr_NoMemory();
    return -1;
  }
  b->items = items;
  b->capacity = capacity;
  return 0;
}

/* Takes `where`, which may be NULL. */
static int add_item(batch *b, PyObject *changes, pyddb_cond *where) {
  pyddb_asker asker;
  if (make_room(b) < 0 || pyddb_asker_init(&asker, b->table, &b->set, changes, where) < 0) {
    Py_XDECREF(where);
    return -1;
  }
  item made = {.where = (PyObject *)where, .row = asker.choice};
  if (!pyddb_asker_asks(&asker)) {
    pyddb_asker_fini(&asker);
  } else if ((made.asker = PyMem_Malloc(sizeof asker))) {
    *made.asker = asker;
    b->asker_count++;
  } else {
    pyddb_asker_fini(&asker);
    Py_XDECREF(where);
    PyErr_NoMemory();
    return -1;
  }
  b->items[b->count++] = made;
  return 0;
}

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
    result = add_item(b, dict, NULL);
  }
  Py_DECREF(dict);
  return result;
}

/* (changes, where) */
static int add_pair(batch *b, PyObject *pair) {
  pyddb_cond *where;
  if (pyddb_where_argument(&b->table->source, PyTuple_GET_ITEM(pair, 1), &where) < 0) {
    return -1;
  }
  if (!where) {
    pyddb_raise_format(b->table->source.state, DDB_ERR_TYPE,
                       "table %R: an update of update_many() is (changes, where), and where is a "
                       "Condition or a callable",
                       b->table->source.table_name);
    return -1;
  }
  return add_item(b, PyTuple_GET_ITEM(pair, 0), where);
}

static int add_update(batch *b, PyObject *update) {
  if (PyTuple_Check(update) && PyTuple_GET_SIZE(update) == 2) {
    return add_pair(b, update);
  }
  if (pyddb_is_mapping(update)) {
    return add_keyed(b, update);
  }
  pyddb_raise_format(b->table->source.state, DDB_ERR_TYPE,
                     "table %R: each of the updates must be a mapping with the primary key, or a "
                     "pair (changes, where), not '%s'",
                     b->table->source.table_name, Py_TYPE(update)->tp_name);
  return -1;
}

static int add_updates(batch *b, PyObject *updates) {
  PyObject *iterator = PyObject_GetIter(updates);
  PyObject *update;
  pyddb_breath breath = {0};
  int result = iterator ? 0 : -1;
  while (result == 0 && (update = PyIter_Next(iterator))) {
    result = add_update(b, update) < 0 || pyddb_breathe(&breath) < 0 ? -1 : 0;
    Py_DECREF(update);
  }
  Py_XDECREF(iterator);
  return result < 0 || PyErr_Occurred() ? -1 : 0;
}

/* ---- Steps --------------------------------------------------------------------------------- */

static int make_steps(batch *b) {
  b->steps = PyMem_Calloc(b->count + 1, sizeof *b->steps);
  b->values = PyMem_Calloc(b->count + 1, sizeof *b->values);
  if (!b->steps || !b->values) {
    PyErr_NoMemory();
    return -1;
  }
  size_t key_count = 0;
  for (size_t i = 0; i < b->count; i++) {
    const item *from = &b->items[i];
    b->steps[i].limit = DDB_NO_LIMIT;
    if (from->where) {
      b->steps[i].where = ((pyddb_cond *)from->where)->cond;
    } else {
      b->values[i] = ddb_builder_value_at(b->keys, key_count++);
      b->steps[i].key = &b->values[i];
    }
    if (from->asker) {
      if (pyddb_asker_begin(from->asker) < 0) {
        return -1;
      }
      b->steps[i].judge = from->asker->judge;
    }
  }
  return 0;
}

/* The changes move while rows are added. */
static int point_to_changes(batch *b) {
  if (pyddb_changeset_finish(&b->set) < 0) {
    return -1;
  }
  for (size_t i = 0; i < b->count; i++) {
    b->steps[i].changes = b->set.changes + (b->items[i].asker ? 0 : b->items[i].row);
  }
  return 0;
}

/* ---- Asking -------------------------------------------------------------------------------- */

/* Asking on a view: `touched` has its records that earlier updates change. About those nothing is
 * asked yet: they will not be as the view has them. */
typedef struct asking {
  batch *batch;
  ddb_view view;
  ddb_judge *touched;
} asking;

static int ask_one(asking *a, const item *of, const ddb_record *record) {
  size_t choice = 0;
  if (ddb_judge_find(a->touched, record, NULL)) {
    return 0;
  }
  if (of->asker && pyddb_asker_ask(of->asker, record, false, &choice) < 0) {
    return -1;
  }
  ddb_error err;
  if (choice != DDB_JUDGE_LEAVE && ddb_judge_put(a->touched, record, 0, &err) != DDB_OK) {
    pyddb_raise(a->batch->table->source.state, &err);
    return -1;
  }
  return 0;
}

static int ask_by_key(asking *a, size_t index) {
  const ddb_record *record;
  ddb_error err;
  if (ddb_view_get(&a->view, a->batch->steps[index].key, &record, &err) != DDB_OK) {
    pyddb_raise(a->batch->table->source.state, &err);
    return -1;
  }
  return record ? ask_one(a, &a->batch->items[index], record) : 0;
}

static int ask_by_condition(asking *a, size_t index) {
  const item *of = &a->batch->items[index];
  const pyddb_cond *where = (pyddb_cond *)of->where;
  pyddb_cond native = {
      .state = where->state, .cond = where->cond, .point_field = where->point_field};
  ddb_query all = DDB_QUERY_INIT;
  ddb_records records = {0};
  if (pyddb_view_select(&a->batch->table->source, &a->view, &native, &all, &records) < 0) {
    return -1;
  }
  int result = 0;
  for (size_t i = 0; i < records.count && result == 0; i++) {
    result = ask_one(a, of, records.items[i]);
  }
  ddb_records_free(&records);
  return result;
}

static int ask_on_view(batch *b) {
  asking a = {.batch = b};
  ddb_error err;
  if (ddb_judge_new(&a.touched, &err) != DDB_OK) {
    pyddb_raise(b->table->source.state, &err);
    return -1;
  }
  int result = pyddb_view_open(&b->table->source, &a.view);
  if (result == 0) {
    size_t left = b->asker_count;
    for (size_t i = 0; i < b->count && left > 0 && result == 0; i++) {
      left -= b->items[i].asker != NULL;
      result = b->items[i].where ? ask_by_condition(&a, i) : ask_by_key(&a, i);
    }
    pyddb_view_close(&b->table->source, &a.view);
  }
  ddb_judge_free(a.touched);
  return result;
}

static int ask_about_copies(batch *b, const ddb_outcome *out) {
  size_t choice;
  int result = 0;
  for (size_t i = 0; i < out->record_count && result == 0; i++) {
    result = pyddb_asker_ask(b->items[out->stale_step].asker, out->records[i], true, &choice);
  }
  return result;
}

/* ---- Running ------------------------------------------------------------------------------- */

static PyObject *run_rounds(batch *b, const ddb_run *run, size_t rounds, bool *stale) {
  bool detach = b->count > DETACH_STEPS || ddb_builder_count(b->keys) < b->count;
  PyObject *result = NULL;
  *stale = true;
  for (size_t round = 0; *stale && round < rounds; round++) {
    ddb_outcome out = {0};
    result = point_to_changes(b) == 0 ? pyddb_steps_run(b->table, run, detach, &out) : NULL;
    *stale = out.stale && ask_about_copies(b, &out) == 0;
    ddb_outcome_fini(&out);
  }
  return result;
}

static PyObject *run_batch(batch *b, ddb_returning returning, pyddb_missing missing) {
  ddb_run run = {
      .steps = b->steps,
      .step_count = b->count,
      .returning = returning,
      .must_match = missing == PYDDB_MISSING_RAISE,
      .unjudged = true,
  };
  if (b->asker_count > 0 && ask_on_view(b) < 0) {
    return NULL;
  }
  bool stale;
  PyObject *result = run_rounds(b, &run, PYDDB_ROUNDS, &stale);
  if (!stale) {
    return result;
  }
  if (pyddb_rounds_lock(b->table) < 0) {
    return NULL;
  }
  result = run_rounds(b, &run, b->asker_count + 1, &stale);
  pyddb_rounds_unlock(b->table);
  return stale ? pyddb_rounds_fail(b->table) : result;
}

static int batch_init(batch *b, PyObject *self) {
  *b = (batch){.table = (pyddb_table *)self};
  if (pyddb_changeset_init(&b->set, b->table) < 0) {
    return -1;
  }
  b->keys = pyddb_builder_take(b->table->source.state);
  if (!b->keys) {
    pyddb_changeset_fini(&b->set);
    return -1;
  }
  return 0;
}

static void batch_fini(batch *b) {
  for (size_t i = 0; i < b->count; i++) {
    Py_XDECREF(b->items[i].where);
    if (b->items[i].asker) {
      pyddb_asker_fini(b->items[i].asker);
      PyMem_Free(b->items[i].asker);
    }
  }
  PyMem_Free(b->items);
  PyMem_Free(b->steps);
  PyMem_Free(b->values);
  pyddb_builder_give(b->table->source.state, b->keys);
  pyddb_changeset_fini(&b->set);
}

const char pyddb_update_many_doc[] =
    "update_many($self, updates, *, returning='count', missing=None)\n--\n\n"
    "Makes many updates as one statement, all or nothing, at one instant.\n\n"
    "Each of updates is a mapping with the primary key, whose other fields are\n"
    "merged into that record, or a pair (changes, where) as update() takes them,\n"
    "callables included. They are made in this order: each sees what those before\n"
    "it did. returning as in update(), over all of them. missing='raise': one that\n"
    "matches nothing raises RecordNotFoundError, and nothing is changed.";

PyObject *pyddb_table_update_many(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *kw) {
  static const char *const names[] = {"updates", "returning", "missing"};
  static const char *const texts[] = {"count", "old", "new"};
  static const pyddb_signature signature = {"update_many", names, 3, 1, 1};
  const pyddb_table *table = (pyddb_table *)self;
  PyObject *slots[3];
  size_t returning;
  pyddb_missing missing;
  batch b;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_choice_argument(table->source.state, slots[1], "returning", texts, 3, &returning) < 0 ||
      pyddb_missing_argument(table->source.state, slots[2], table->missing, &missing) < 0 ||
      batch_init(&b, self) < 0) {
    return NULL;
  }
  PyObject *result = NULL;
  if (add_updates(&b, slots[0]) == 0 && make_steps(&b) == 0) {
    result = run_batch(&b, (ddb_returning)returning, missing);
  }
  batch_fini(&b);
  return result;
}
