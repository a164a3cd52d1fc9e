/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_run.c - updates and deletes that are more than a condition and plain values: with limit and
 * order_by, returning records, with Expressions and Changes, with callables.
 *
 * With callables (in the condition or in the changes) a statement goes in rounds:
 *   1. open a view; select the native part's candidates, in order; ask the code about each, and work
 *      out the changes of those it holds for, until there are as many as the limit says; close it.
 *      No lock is held, and all is of one version. Verdicts are kept by the records' identity.
 *   2. run it. The library finds the candidates again, under the table's lock. When one of them is not
 *      among the verdicts, it has changed nothing, and the next round asks about what is new.
 *   3. After PYDDB_ROUNDS rounds the next ones hold the table's public write lock. Only the callables
 *      themselves can change the table then; when they go on to, the statement gives up.
 *
 * What fails before the statement takes effect, callables that raise included, leaves all as it was.
 * The one thing that can fail after it is memory for the records that it returns.
 */
#include "pyddb.h"

#define DETACH_RECORDS 256

static const char *const returning_texts[] = {"count", "old", "new"};

/* ---- Running ------------------------------------------------------------------------------- */

/* Runs it detached when it may be long. */
static int call(pyddb_table *table, const ddb_run *run, bool detach, ddb_outcome *out) {
  ddb_error err;
  pyddb_detach_if(detach);
  ddb_status status = ddb_table_run(table->source.table, run, out, &err);
  pyddb_attach_if(detach);
  if (status != DDB_OK) {
    pyddb_raise(table->source.state, &err);
    return -1;
  }
  return 0;
}

PyObject *pyddb_outcome_records(pyddb_table *table, const ddb_outcome *out) {
  PyObject *list = PyList_New((Py_ssize_t)out->record_count);
  for (size_t i = 0; list && i < out->record_count; i++) {
    PyObject *item = out->records[i] ? pyddb_record_out(&table->source, out->records[i], NULL)
                                     : Py_NewRef(Py_None);
    if (!item) {
      Py_CLEAR(list);
      break;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, item);
  }
  return list;
}

PyObject *pyddb_steps_run(pyddb_table *table, const ddb_run *run, bool detach, ddb_outcome *out) {
  PyObject *reserve = PyLong_FromLongLong(INT64_MAX); /* let go of for the result */
  if (!reserve || call(table, run, detach, out) < 0) {
    Py_XDECREF(reserve);
    return NULL;
  }
  Py_DECREF(reserve);
  if (out->stale) {
    return NULL;
  }
  PyObject *result = run->returning == DDB_RETURN_COUNT ? PyLong_FromUnsignedLongLong(out->matched)
                                                        : pyddb_outcome_records(table, out);
  ddb_outcome_fini(out);
  return result;
}

/* ---- Callables ----------------------------------------------------------------------------- */

/* An update or a delete. */
typedef struct statement {
  pyddb_table *table;
  pyddb_query query;
  ddb_returning returning;
  pyddb_missing missing;
  bool deletes;
  pyddb_changeset set;
  pyddb_asker asker;
} statement;

static int judge_all(statement *s, const ddb_records *records) {
  uint64_t chosen = 0;
  for (size_t i = 0; i < records->count && chosen < s->query.core.limit; i++) {
    size_t choice;
    if (pyddb_asker_ask(&s->asker, records->items[i], false, &choice) < 0) {
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
  if (!s->deletes && pyddb_changeset_finish(&s->set) < 0) {
    return NULL;
  }
  ddb_step step = {
      .where = s->query.where ? s->query.where->cond : NULL,
      .order = s->query.core.order,
      .order_count = s->query.core.order_count,
      .limit = s->query.core.limit,
      .judge = s->asker.judge,
      .changes = s->deletes ? NULL : s->set.changes,
  };
  ddb_run run = {
      .steps = &step,
      .step_count = 1,
      .returning = s->returning,
      .must_match = s->missing == PYDDB_MISSING_RAISE,
  };
  ddb_outcome out = {0};
  PyObject *result = pyddb_steps_run(s->table, &run, detach, &out);
  *stale = out.stale;
  ddb_outcome_fini(&out);
  return result;
}

static PyObject *run_rounds(statement *s, bool *stale) {
  PyObject *result = NULL;
  *stale = true;
  for (int round = 0; *stale && round < PYDDB_ROUNDS; round++) {
    size_t count;
    *stale = false;
    result = judge_round(s, &count) == 0 ? run_once(s, count > DETACH_RECORDS, stale) : NULL;
  }
  return result;
}

int pyddb_rounds_lock(pyddb_table *table) {
  ddb_error err;
  if (ddb_rwlock_acquire_write(ddb_table_lock(table->source.table), DDB_WAIT_FOREVER, &err) !=
      DDB_OK) {
    pyddb_raise(table->source.state, &err);
    return -1;
  }
  return 0;
}

void pyddb_rounds_unlock(pyddb_table *table) {
  /* This thread has it. */
  (void)ddb_rwlock_release_write(ddb_table_lock(table->source.table), NULL);
}

PyObject *pyddb_rounds_fail(pyddb_table *table) {
  return pyddb_raise_format(table->source.state, DDB_ERR_INVALID,
                            "table %R: the callables of a statement change the records that they "
                            "are asked about, each time they are asked",
                            table->source.table_name);
}

static PyObject *run_coded(statement *s) {
  if (pyddb_asker_begin(&s->asker) < 0) {
    return NULL;
  }
  bool stale;
  PyObject *result = run_rounds(s, &stale);
  if (!stale) {
    return result;
  }
  if (pyddb_rounds_lock(s->table) < 0) {
    return NULL;
  }
  result = run_rounds(s, &stale);
  pyddb_rounds_unlock(s->table);
  return stale ? pyddb_rounds_fail(s->table) : result;
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

static int statement_init(statement *s, pyddb_table *table, PyObject *changes,
                          const pyddb_run_arguments *args) {
  pyddb_state *state = table->source.state;
  PyObject *slots[PYDDB_QUERY_SLOTS] = {NULL};
  *s = (statement){.table = table, .deletes = !changes};
  slots[PYDDB_WHERE] = args->where;
  slots[PYDDB_LIMIT] = args->limit;
  slots[PYDDB_ORDER_BY] = args->order_by;
  size_t returning;
  if (pyddb_choice_argument(state, args->returning, "returning", returning_texts, changes ? 3 : 2,
                            &returning) < 0 ||
      pyddb_missing_argument(state, args->missing, table->missing, &s->missing) < 0 ||
      pyddb_changeset_init(&s->set, table) < 0) {
    return -1;
  }
  s->returning = (ddb_returning)returning;
  if (pyddb_query_init(&table->source, &s->query, slots) < 0) {
    pyddb_changeset_fini(&s->set);
    return -1;
  }
  if (pyddb_asker_init(&s->asker, table, &s->set, changes, s->query.where) < 0) {
    pyddb_query_fini(&s->query);
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
  bool stale, detach;
  if (pyddb_asker_asks(&s.asker)) {
    result = run_coded(&s);
  } else if (run_is_long(&s, &detach) == 0) {
    result = run_once(&s, detach, &stale);
  }
  pyddb_asker_fini(&s.asker);
  pyddb_query_fini(&s.query);
  pyddb_changeset_fini(&s.set);
  return result;
}
