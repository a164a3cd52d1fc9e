/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_write.c - the methods of Table that write; updates and deletes that are more than plain values
 * and a condition go on in table_run.c.
 *
 * Each converts all it was given, which may run the caller's code, and then makes one call into the
 * library, which is all or nothing. A statement about one record stays attached; one that may take
 * long detaches first.
 *
 * A statement that has taken effect should not fail for want of memory for its result. So what the
 * result needs is allocated before, and let go of just before the result is made of it.
 */
#include "pyddb.h"

#define DETACH_RECORDS  64
#define RESERVE_PER_KEY 48 /* bytes of an int object, with the allocator's share */

/* ---- The planted fault --------------------------------------------------------------------- */

/* Only the testing build can hold the lock here; in others both calls vanish. */
static int convert_begin(pyddb_table *table) {
#ifdef DDB_TESTING
  ddb_error err;
  if (pyddb_test_convert_locked() && ddb_rwlock_acquire_write(ddb_table_lock(table->source.table),
                                                              DDB_WAIT_FOREVER, &err) != DDB_OK) {
    pyddb_raise(table->source.state, &err);
    return -1;
  }
#else
  (void)table;
#endif
  return 0;
}

static void convert_end(pyddb_table *table) {
#ifdef DDB_TESTING
  if (pyddb_test_convert_locked()) {
    ddb_rwlock_release_write(ddb_table_lock(table->source.table), NULL);
  }
#else
  (void)table;
#endif
}

static int append_mapping(pyddb_table *table, ddb_builder *builder, ddb_shape_kind kind,
                          bool validate, PyObject *mapping, const char *what) {
  if (convert_begin(table) < 0) {
    return -1;
  }
  int result = pyddb_append_record(table, builder, kind, validate, mapping, what);
  convert_end(table);
  return result;
}

/* An int as large as any result; NULL: an exception is set. */
static PyObject *reserve_int(void) {
  return PyLong_FromLongLong(INT64_MAX);
}

/* ---- Returning records --------------------------------------------------------------------- */

/* An insert or upsert that returns a count or records: a list, or the one record. */
static PyObject *put_returning(pyddb_table *table, ddb_builder *batch, ddb_conflict conflict,
                               ddb_returning returning, bool one) {
  PyObject *reserve = reserve_int();
  if (!reserve) {
    return NULL;
  }
  bool is_long = ddb_builder_count(batch) > DETACH_RECORDS;
  ddb_outcome out;
  ddb_error err;
  if (is_long) {
    pyddb_detach();
  }
  ddb_status status =
      ddb_table_upsert_returning(table->source.table, batch, conflict, returning, &out, &err);
  if (is_long) {
    pyddb_attach();
  }
  Py_DECREF(reserve);
  if (status != DDB_OK) {
    return pyddb_raise(table->source.state, &err);
  }
  PyObject *result = returning == DDB_RETURN_COUNT ? PyLong_FromUnsignedLongLong(out.matched)
                                                   : pyddb_outcome_records(table, &out);
  ddb_outcome_fini(&out);
  if (result && one && returning != DDB_RETURN_COUNT) {
    Py_SETREF(result, Py_NewRef(PyList_GET_ITEM(result, 0)));
  }
  return result;
}

/* What insert may return: its first choice is not among the library's. */
enum { INSERT_KEY, INSERT_COUNT, INSERT_NEW };

static ddb_returning insert_returning(size_t choice) {
  return choice == INSERT_NEW ? DDB_RETURN_NEW : DDB_RETURN_COUNT;
}

/* ---- insert -------------------------------------------------------------------------------- */

static PyObject *insert_one(pyddb_table *table, PyObject *record, bool validate, size_t returning) {
  pyddb_state *state = table->source.state;
  ddb_builder *builder = pyddb_builder_take(state);
  if (!builder) {
    return NULL;
  }
  PyObject *result = NULL;
  PyObject *reserve = NULL;
  int appended = append_mapping(table, builder, DDB_SHAPE_RECORD, validate, record, "a record");
  if (appended == 0 && returning != INSERT_KEY) {
    result = put_returning(table, builder, DDB_CONFLICT_ERROR, insert_returning(returning), true);
  } else if (appended == 0 && (reserve = reserve_int())) {
    ddb_error err;
    ddb_value key;
    ddb_status status = ddb_table_insert(table->source.table, builder, &key, &err);
    Py_DECREF(reserve);
    result = status == DDB_OK ? pyddb_value_out(state, &key) : pyddb_raise(state, &err);
  }
  pyddb_builder_give(state, builder);
  return result;
}

/* Takes `list`, which has room for the keys. */
static PyObject *fill_keys(pyddb_state *state, PyObject *list, const ddb_value *keys,
                           size_t count) {
  for (size_t i = 0; i < count; i++) {
    PyObject *key = pyddb_value_out(state, &keys[i]);
    if (!key) {
      Py_DECREF(list);
      return NULL;
    }
    PyList_SET_ITEM(list, (Py_ssize_t)i, key);
  }
  return list;
}

static ddb_status insert_call(pyddb_table *table, ddb_builder *batch, ddb_value *keys, size_t count,
                              ddb_error *err) {
  if (count == 0) {
    return DDB_OK;
  }
  bool is_long = count > DETACH_RECORDS;
  if (is_long) {
    pyddb_detach();
  }
  ddb_status status = ddb_table_insert(table->source.table, batch, keys, err);
  if (is_long) {
    pyddb_attach();
  }
  return status;
}

static PyObject *insert_batch(pyddb_table *table, ddb_builder *batch) {
  size_t count = ddb_builder_count(batch);
  PyObject *list = PyList_New((Py_ssize_t)count);
  ddb_value *keys = PyMem_Calloc(count + 1, sizeof *keys);
  void *reserve = PyMem_RawMalloc(count * RESERVE_PER_KEY + 1);
  PyObject *result = NULL;
  if (list && keys && reserve) {
    ddb_error err;
    ddb_status status = insert_call(table, batch, keys, count, &err);
    PyMem_RawFree(reserve);
    reserve = NULL;
    if (status == DDB_OK) {
      result = fill_keys(table->source.state, list, keys, count);
      list = NULL;
    } else {
      pyddb_raise(table->source.state, &err);
    }
  } else {
    PyErr_NoMemory();
  }
  PyMem_RawFree(reserve);
  PyMem_Free(keys);
  Py_XDECREF(list);
  return result;
}

static int append_all(pyddb_table *table, ddb_builder *batch, PyObject *iterator, bool validate) {
  pyddb_breath breath = {0};
  PyObject *record;
  while ((record = PyIter_Next(iterator))) {
    int result = pyddb_append_record(table, batch, DDB_SHAPE_RECORD, validate, record,
                                     "each item of an iterable");
    Py_DECREF(record);
    if (result < 0 || pyddb_breathe(&breath) < 0) {
      return -1;
    }
  }
  return PyErr_Occurred() ? -1 : 0;
}

static PyObject *insert_many(pyddb_table *table, PyObject *iterator, bool validate,
                             size_t returning) {
  pyddb_state *state = table->source.state;
  ddb_builder *batch = pyddb_builder_take(state);
  PyObject *result = NULL;
  if (batch && convert_begin(table) == 0) {
    int converted = append_all(table, batch, iterator, validate);
    convert_end(table);
    if (converted == 0) {
      result = returning == INSERT_KEY ? insert_batch(table, batch)
                                       : put_returning(table, batch, DDB_CONFLICT_ERROR,
                                                       insert_returning(returning), false);
    }
  }
  pyddb_builder_give(state, batch);
  return result;
}

/* NULL with an exception when records is not an iterable that could hold mappings. */
static PyObject *iterator_of(pyddb_table *table, PyObject *records) {
  bool is_text = PyUnicode_Check(records) || PyBytes_Check(records) || PyByteArray_Check(records);
  PyObject *iterator = is_text ? NULL : PyObject_GetIter(records);
  if (iterator || (!is_text && !PyErr_ExceptionMatches(PyExc_TypeError))) {
    return iterator;
  }
  if (!is_text && Py_TYPE(records)->tp_iter) {
    return NULL;
  }
  PyErr_Clear();
  return pyddb_raise_format(table->source.state, DDB_ERR_TYPE,
                            "table %R: insert() takes a mapping or an iterable of mappings, "
                            "not '%s'",
                            table->source.table_name, Py_TYPE(records)->tp_name);
}

static int check_batch_size(pyddb_state *state, PyObject *object) {
  uint64_t size = 1;
  if (object && object != Py_None && pyddb_count_argument(state, object, "batch_size", &size) < 0) {
    return -1;
  }
  if (size == 0) {
    pyddb_raise_format(state, DDB_ERR_INVALID, "batch_size must be at least 1");
    return -1;
  }
  return 0;
}

const char pyddb_insert_doc[] =
    "insert($self, record, *, batch_size=None, skip_validation=False,\n"
    "       returning='key')\n--\n\n"
    "Inserts one record (a mapping) or many (an iterable of mappings).\n\n"
    "Returns the record's primary key, or the list of keys. All or nothing: when\n"
    "any record cannot be inserted, or the iterable raises, none is. The mappings\n"
    "are copied and not changed; a missing key is assigned (int). batch_size is\n"
    "accepted for compatibility and checked; the statement is one batch always.\n"
    "skip_validation leaves out the check of the values' types. returning: 'new'\n"
    "gives the record as it is in the table, or the list of them, with keys and\n"
    "defaults; 'count' gives how many.\n\n"
    "Raises DuplicateKeyError, PrimaryKeyError, SchemaValidationError,\n"
    "UnsupportedTypeError (a TypeError), LimitError, TableNotFoundError.";

PyObject *pyddb_table_insert(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"record", "batch_size", "skip_validation", "returning"};
  static const char *const texts[] = {"key", "count", "new"};
  static const pyddb_signature signature = {"insert", names, 4, 1, 1};
  pyddb_table *table = (pyddb_table *)self;
  pyddb_state *state = table->source.state;
  PyObject *slots[4];
  bool skip;
  size_t returning;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_bool_argument(state, slots[2], "skip_validation", false, &skip) < 0 ||
      check_batch_size(state, slots[1]) < 0 ||
      pyddb_choice_argument(state, slots[3], "returning", texts, 3, &returning) < 0) {
    return NULL;
  }
  if (pyddb_is_mapping(slots[0])) {
    return insert_one(table, slots[0], !skip, returning);
  }
  PyObject *iterator = iterator_of(table, slots[0]);
  PyObject *result = iterator ? insert_many(table, iterator, !skip, returning) : NULL;
  Py_XDECREF(iterator);
  return result;
}

/* ---- upsert -------------------------------------------------------------------------------- */

/* Takes `pair`, a tuple of two. */
static PyObject *upsert_result(pyddb_state *state, PyObject *pair, const ddb_value *key,
                               ddb_action action) {
  PyObject *key_object = pyddb_value_out(state, key);
  if (!key_object) {
    Py_DECREF(pair);
    return NULL;
  }
  PyTuple_SET_ITEM(pair, 0, key_object);
  PyTuple_SET_ITEM(pair, 1, Py_NewRef(state->action_texts[action]));
  return pair;
}

static PyObject *upsert_batch(pyddb_table *table, ddb_builder *batch, ddb_conflict conflict) {
  PyObject *pair = PyTuple_New(2);
  PyObject *reserve = pair ? reserve_int() : NULL;
  if (!reserve) {
    Py_XDECREF(pair);
    return NULL;
  }
  ddb_error err;
  ddb_value key;
  ddb_action action;
  ddb_status status = ddb_table_upsert(table->source.table, batch, conflict, &key, &action, &err);
  Py_DECREF(reserve);
  if (status != DDB_OK) {
    Py_DECREF(pair);
    return pyddb_raise(table->source.state, &err);
  }
  return upsert_result(table->source.state, pair, &key, action);
}

const char pyddb_upsert_doc[] =
    "upsert($self, record, on_conflict='update', *, returning='action')\n--\n\n"
    "Inserts a record, or does what on_conflict says when its key exists:\n"
    "'update' merges its fields into the record there, 'ignore' leaves that one,\n"
    "'error' raises DuplicateKeyError.\n\n"
    "Returns (key, 'inserted' | 'updated' | 'ignored'). returning: 'new' gives the\n"
    "record that is there now, 'old' the one that was there before, or None;\n"
    "'count' gives 1, or 0 when it was ignored.";

PyObject *pyddb_table_upsert(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"record", "on_conflict", "returning"};
  static const char *const conflicts[] = {"update", "ignore", "error"}; /* as in ddb_conflict */
  static const char *const texts[] = {"action", "count", "old", "new"}; /* then as ddb_returning */
  static const pyddb_signature signature = {"upsert", names, 3, 2, 1};
  pyddb_table *table = (pyddb_table *)self;
  pyddb_state *state = table->source.state;
  PyObject *slots[3];
  size_t conflict, returning;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_choice_argument(state, slots[1], "on_conflict", conflicts, 3, &conflict) < 0 ||
      pyddb_choice_argument(state, slots[2], "returning", texts, 4, &returning) < 0) {
    return NULL;
  }
  ddb_builder *builder = pyddb_builder_take(state);
  if (!builder) {
    return NULL;
  }
  PyObject *result = NULL;
  if (append_mapping(table, builder, DDB_SHAPE_RECORD, true, slots[0], "a record") == 0) {
    result = returning == 0 ? upsert_batch(table, builder, (ddb_conflict)conflict)
                            : put_returning(table, builder, (ddb_conflict)conflict,
                                            (ddb_returning)(returning - 1), true);
  }
  pyddb_builder_give(state, builder);
  return result;
}

/* ---- update and delete --------------------------------------------------------------------- */

/* Whether a statement with this condition should detach. The count may be old: it is a guess. */
static int is_long(pyddb_table *table, const pyddb_cond *where, bool *out) {
  *out = false;
  if (pyddb_is_short(&table->source, where, UINT64_MAX)) { /* of one key, however many there are */
    return 0;
  }
  ddb_view view;
  if (pyddb_view_open(&table->source, &view) < 0) {
    return -1;
  }
  *out = !pyddb_is_short(&table->source, where, ddb_view_count(&view));
  pyddb_view_close(&table->source, &view);
  return 0;
}

static PyObject *matched_out(pyddb_table *table, uint64_t matched, pyddb_missing missing,
                             const char *verb) {
  if (matched == 0 && missing == PYDDB_MISSING_RAISE) {
    return pyddb_raise_format(table->source.state, DDB_ERR_RECORD_NOT_FOUND,
                              "table %R: no record to %s matched", table->source.table_name, verb);
  }
  return PyLong_FromUnsignedLongLong(matched);
}

/* changes: NULL deletes. */
static PyObject *run(pyddb_table *table, const ddb_builder *changes, const pyddb_cond *where,
                     pyddb_missing missing) {
  bool detach;
  if (is_long(table, where, &detach) < 0) {
    return NULL;
  }
  /* Small results, those of a short statement, are ints that Python always has. */
  PyObject *reserve = detach ? reserve_int() : NULL;
  if (detach && !reserve) {
    return NULL;
  }
  ddb_table *core = table->source.table;
  const ddb_cond *cond = where ? where->cond : NULL;
  uint64_t matched = 0;
  ddb_error err;
  pyddb_detach_if(detach);
  ddb_status status = changes ? ddb_table_update(core, changes, cond, &matched, &err)
                              : ddb_table_delete(core, cond, &matched, &err);
  pyddb_attach_if(detach);
  Py_XDECREF(reserve);
  if (status != DDB_OK) {
    return pyddb_raise(table->source.state, &err);
  }
  return matched_out(table, matched, missing, changes ? "update" : "delete");
}

const char pyddb_update_doc[] =
    "update($self, changes, where=None, *, limit=None, order_by=None,\n"
    "       returning='count', missing=None)\n--\n\n"
    "Makes the changes to every record that where holds for. All or nothing.\n\n"
    "changes: a mapping of names to values, Expressions of the record as it was\n"
    "(table.stock - 1), Append(item), Remove(item), UNSET, or callables that take a\n"
    "RecordView and return one of these; or one callable that returns the mapping.\n"
    "where: a Condition, a callable, or None for all. limit: change so many at\n"
    "most, the first by order_by (as in select). returning: 'count' of the records\n"
    "matched, or the records themselves, 'old' or 'new', as a list of dicts.\n"
    "missing='raise' raises RecordNotFoundError when nothing matched; None means\n"
    "the table's own setting. Callables run with no lock held, and again for\n"
    "records that changed meanwhile; after three rounds under the write lock.\n\n"
    "Raises PrimaryKeyError when changes name the primary key,\n"
    "SchemaValidationError, UnsupportedTypeError, UnknownFieldError.";

static int append_changes(pyddb_table *table, ddb_builder *builder, PyObject *dict) {
  if (convert_begin(table) < 0) {
    return -1;
  }
  int result = pyddb_append_changes(table, builder, dict);
  convert_end(table);
  return result;
}

/* *done: the values were plain ones, and this was all. */
static PyObject *update_plain(pyddb_table *table, PyObject *dict, PyObject *where,
                              pyddb_missing missing, bool *done) {
  pyddb_state *state = table->source.state;
  ddb_builder *builder = pyddb_builder_take(state);
  *done = true;
  if (!builder) {
    return NULL;
  }
  PyObject *result = NULL;
  int appended = append_changes(table, builder, dict);
  if (appended == 0) {
    result = run(table, builder, where == Py_None ? NULL : (pyddb_cond *)where, missing);
  }
  *done = appended <= 0;
  pyddb_builder_give(state, builder);
  return result;
}

PyObject *pyddb_table_update(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"changes",  "where",     "limit",
                                      "order_by", "returning", "missing"};
  static const pyddb_signature signature = {"update", names, 6, 2, 1};
  pyddb_table *table = (pyddb_table *)self;
  PyObject *slots[6];
  pyddb_missing missing;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_missing_argument(table->source.state, slots[5], table->missing, &missing) < 0) {
    return NULL;
  }
  if (PyDict_CheckExact(slots[0]) && !slots[2] && !slots[3] && !slots[4] &&
      pyddb_is_native(table->source.state, slots[1])) {
    if (slots[1] && slots[1] != Py_None) {
      ddb_table_expect(table->source.table, ((pyddb_cond *)slots[1])->cond, true);
    }
    bool done;
    PyObject *result = update_plain(table, slots[0], slots[1], missing, &done);
    if (done) {
      return result;
    }
  }
  pyddb_run_arguments rest = {slots[1], slots[2], slots[3], slots[4], slots[5]};
  return pyddb_run(table, slots[0], &rest);
}

const char pyddb_delete_doc[] =
    "delete($self, where=None, *, limit=None, order_by=None, returning='count',\n"
    "       missing=None)\n--\n\n"
    "Deletes every record that where holds for. All or nothing.\n\n"
    "where: a Condition, a callable that takes a RecordView, or None for all.\n"
    "limit: delete so many at most, the first by order_by (as in select).\n"
    "returning: 'count' of the records deleted, or 'old', the records themselves\n"
    "as a list of dicts. missing='raise' raises RecordNotFoundError when nothing\n"
    "matched; None means the table's setting.";

PyObject *pyddb_table_delete(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *kw) {
  static const char *const names[] = {"where", "limit", "order_by", "returning", "missing"};
  static const pyddb_signature signature = {"delete", names, 5, 1, 0};
  pyddb_table *table = (pyddb_table *)self;
  pyddb_state *state = table->source.state;
  PyObject *slots[5];
  pyddb_missing missing;
  if (pyddb_bind(&signature, args, count, kw, slots) < 0 ||
      pyddb_missing_argument(state, slots[4], table->missing, &missing) < 0) {
    return NULL;
  }
  if (!slots[1] && !slots[2] && !slots[3] && pyddb_is_native(state, slots[0])) {
    pyddb_cond *where = slots[0] && slots[0] != Py_None ? (pyddb_cond *)slots[0] : NULL;
    return run(table, NULL, where, missing);
  }
  pyddb_run_arguments rest = {slots[0], slots[1], slots[2], slots[3], slots[4]};
  return pyddb_run(table, NULL, &rest);
}

/* ---- validate_record ----------------------------------------------------------------------- */

const char pyddb_validate_doc[] =
    "validate_record($self, record)\n--\n\n"
    "Checks that a record (a mapping) could be inserted, apart from its key\n"
    "being taken. Raises what insert would raise; returns None.";

PyObject *pyddb_table_validate(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *kw) {
  pyddb_table *table = (pyddb_table *)self;
  PyObject *record = pyddb_bind_one("validate_record", "record", args, count, kw);
  ddb_builder *builder = record ? pyddb_builder_take(table->source.state) : NULL;
  if (!builder) {
    return NULL;
  }
  int result = pyddb_append_record(table, builder, DDB_SHAPE_RECORD, true, record, "a record");
  pyddb_builder_give(table->source.state, builder);
  return result == 0 ? Py_NewRef(Py_None) : NULL;
}
