/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insert.c - the statements that bring records in: insert and upsert.
 */
#include "store/outcome.h"
#include "store/table_private.h"

/* Records of another table would carry its shapes. */
static ddb_status check_batch(const ddb_table *table, const ddb_builder *batch, ddb_error *err) {
  size_t count = ddb_builder_count(batch);
  for (size_t i = 0; i < count; i++) {
    const ddb_shape *shape = ddb__builder_item(batch, i).shape;
    if (!shape || shape->registry != table->shapes || shape->kind != DDB_SHAPE_RECORD) {
      return ddb__fail(err, DDB_ERR_INVALID,
                       "item %zu of the batch is not a record made for table '%.*s'", i,
                       DDB__STR_ARG(table->name));
    }
  }
  return DDB_OK;
}

/* A statement with the batch's records. */
static ddb_status begin(ddb__write *write, ddb_table *table, const ddb_builder *batch,
                        ddb_error *err) {
  ddb_status status = check_batch(table, batch, err);
  return status == DDB_OK ? ddb__write_begin(write, table, err) : status;
}

ddb_status ddb_table_insert(ddb_table *table, ddb_builder *batch, ddb_value *keys, ddb_error *err) {
  ddb__write write;
  ddb_status status = begin(&write, table, batch, err);
  if (status != DDB_OK) {
    return status;
  }
  size_t count = ddb_builder_count(batch);
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    if (i + DDB__WRITE_AHEAD < count) {
      ddb__item later = ddb__builder_item(batch, i + DDB__WRITE_AHEAD);
      ddb__write_fetch(&write, &later, DDB__WRITE_AHEAD);
    }
    ddb__item item = ddb__builder_item(batch, i);
    ddb_value key;
    status = ddb__write_insert(&write, &item, &key, err);
    if (status == DDB_OK && keys) {
      keys[i] = key;
    }
  }
  return ddb__write_finish(&write, status, err);
}

static ddb_status upsert_one(ddb__write *write, const ddb__item *item, ddb_conflict conflict,
                             ddb_value *key, ddb_action *action, ddb_error *err) {
  uint64_t seq;
  const ddb_record *record;
  bool found = false;
  if (!item->shape->auto_key) {
    *key = ddb__block_value(item->block, item->shape->key_index);
    found = ddb__value_hashable(key) && ddb__write_find(write, key, &seq, &record);
  }
  if (!found || conflict == DDB_CONFLICT_ERROR) {
    *action = DDB_ACTION_INSERTED;
    return ddb__write_insert(write, item, key, err);
  }
  if (conflict == DDB_CONFLICT_IGNORE) {
    *action = DDB_ACTION_IGNORED;
    return DDB_OK;
  }
  *action = DDB_ACTION_UPDATED;
  return ddb__write_update(write, seq, record, item->shape->stored, item->block, err);
}

ddb_status ddb_table_upsert(ddb_table *table, ddb_builder *batch, ddb_conflict conflict,
                            ddb_value *keys, ddb_action *actions, ddb_error *err) {
  ddb__write write;
  ddb_status status = begin(&write, table, batch, err);
  if (status != DDB_OK) {
    return status;
  }
  size_t count = ddb_builder_count(batch);
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    ddb__item item = ddb__builder_item(batch, i);
    ddb_value key;
    ddb_action action;
    status = upsert_one(&write, &item, conflict, &key, &action, err);
    if (status == DDB_OK && keys) {
      keys[i] = key;
    }
    if (status == DDB_OK && actions) {
      actions[i] = action;
    }
  }
  return ddb__write_finish(&write, status, err);
}

/* ---- Returning records -------------------------------------------------------------------- */

typedef struct returned {
  ddb_returning returning;
  uint64_t matched;
  ddb__copies copies;
} returned;

/* The record of an item that has a key, as it is in the statement's version; NULL: there is none. */
static const ddb_record *record_there(const ddb__write *write, const ddb_value *key) {
  uint64_t seq;
  const ddb_record *record;
  return ddb__value_hashable(key) && ddb__write_find(write, key, &seq, &record) ? record : NULL;
}

static ddb_status put_item(ddb__write *write, const ddb__item *item, ddb_conflict conflict,
                           returned *out, ddb_error *err) {
  ddb_status status = DDB_OK;
  ddb_value key;
  if (out->returning == DDB_RETURN_OLD) {
    const ddb_record *old = NULL;
    if (!item->shape->auto_key) {
      key = ddb__block_value(item->block, item->shape->key_index);
      old = record_there(write, &key);
    }
    status = ddb__copies_add(&out->copies, old, err);
  }
  ddb_action action;
  if (!status) {
    status = upsert_one(write, item, conflict, &key, &action, err);
  }
  if (!status) {
    out->matched += action != DDB_ACTION_IGNORED;
  }
  if (!status && out->returning == DDB_RETURN_NEW) {
    status = ddb__copies_add(&out->copies, record_there(write, &key), err);
  }
  return status;
}

static ddb_status put_all(ddb__write *write, ddb_builder *batch, ddb_conflict conflict,
                          returned *out, ddb_error *err) {
  ddb_status status = DDB_OK;
  size_t count = ddb_builder_count(batch);
  for (size_t i = 0; i < count && !status; i++) {
    ddb__item item = ddb__builder_item(batch, i);
    status = put_item(write, &item, conflict, out, err);
  }
  return status ? status : ddb__copies_trim(&out->copies, err);
}

ddb_status ddb_table_upsert_returning(ddb_table *table, ddb_builder *batch, ddb_conflict conflict,
                                      ddb_returning returning, ddb_outcome *out, ddb_error *err) {
  if (!table || !batch || !out || (unsigned)returning > DDB_RETURN_NEW) {
    return ddb__fail(err, DDB_ERR_INVALID, "an upsert needs a table, a batch and an outcome");
  }
  ddb__write write;
  ddb_status status = begin(&write, table, batch, err);
  if (status) {
    return status;
  }
  returned made = {.returning = returning};
  status = ddb__write_finish(&write, put_all(&write, batch, conflict, &made, err), err);
  if (!status) {
    *out = (ddb_outcome){.matched = made.matched};
    ddb__copies_give(&made.copies, out);
  }
  ddb__copies_fini(&made.copies);
  return status;
}

/* ---- One record without a builder --------------------------------------------------------- */

static ddb_status build_record(ddb_table *table, ddb_builder *batch, const ddb_field *fields,
                               size_t count, ddb_error *err) {
  ddb_str names_inline[32] = {{0}};
  ddb_str *names = names_inline;
  size_t size = count * sizeof *names;
  if (count > sizeof names_inline / sizeof names_inline[0]) {
    names = ddb__alloc(&ddb__heap_process, size);
    if (!names) {
      return ddb__fail_memory(err, size);
    }
  }
  for (size_t i = 0; i < count; i++) {
    names[i] = fields[i].name;
  }
  const ddb_shape *shape;
  ddb_status status = ddb_table_shape(table, DDB_SHAPE_RECORD, names, count, &shape, err);
  if (names != names_inline) {
    ddb__free(&ddb__heap_process, names, size);
  }
  if (status == DDB_OK) {
    status = ddb_builder_record_begin(batch, shape, true, err);
  }
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    status = ddb_builder_append(batch, &fields[i].value, err);
  }
  return status == DDB_OK ? ddb_builder_end(batch, err) : status;
}

/* The caller's own value for the key: what the builder made goes with it. */
static ddb_value given_key(const ddb_table *table, const ddb_field *fields, size_t count,
                           ddb_value assigned) {
  ddb_str name = ddb_table_primary_key(table);
  for (size_t i = 0; i < count; i++) {
    if (fields[i].name.size == name.size &&
        memcmp(fields[i].name.data, name.data, name.size) == 0) {
      return fields[i].value;
    }
  }
  return assigned;
}

ddb_status ddb_table_insert_fields(ddb_table *table, const ddb_field *fields, size_t count,
                                   ddb_value *key, ddb_error *err) {
  ddb_builder *batch;
  ddb_status status = ddb_builder_new(&batch, err);
  if (status != DDB_OK) {
    return status;
  }
  status = build_record(table, batch, fields, count, err);
  ddb_value assigned;
  if (status == DDB_OK) {
    status = ddb_table_insert(table, batch, &assigned, err);
  }
  if (status == DDB_OK && key) {
    *key = given_key(table, fields, count, assigned);
  }
  ddb_builder_free(batch);
  return status;
}

/* Most tables that are loaded have come so far by their records. The counter never falls: what is true
 * of one version stays true, and a statement, with the room that its first one takes, is spared. */
static ddb_status next_key_reached(ddb_table *table, int64_t next_key, bool *reached,
                                   ddb_error *err) {
  ddb_view view;
  ddb_status status = ddb_view_open(table, &view, err);
  if (status == DDB_OK) {
    *reached = ddb__view_root(&view)->next_key >= next_key;
    ddb_view_close(&view);
  }
  return status;
}

ddb_status ddb__table_next_key_raise(ddb_table *table, int64_t next_key, ddb_error *err) {
  ddb__write write;
  bool reached = false;
  ddb_status status = next_key_reached(table, next_key, &reached, err);
  if (status != DDB_OK || reached) {
    return status;
  }
  status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  if (next_key > write.next->next_key) {
    write.next->next_key = next_key;
    write.changed = true;
  }
  return ddb__write_finish(&write, DDB_OK, err);
}
