/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insert.c - the statements that bring records in: insert and upsert.
 */
#include "store/table_private.h"

/* Records ahead whose slots of the key index are fetched: about the latency of memory. */
#define FETCH_AHEAD 6

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

ddb_status ddb_table_insert(ddb_table *table, ddb_builder *batch, ddb_value *keys, ddb_error *err) {
  ddb_status status = check_batch(table, batch, err);
  ddb__write write;
  if (status == DDB_OK) {
    status = ddb__write_begin(&write, table, err);
  }
  if (status != DDB_OK) {
    return status;
  }
  size_t count = ddb_builder_count(batch);
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    if (i + FETCH_AHEAD < count) {
      ddb__item later = ddb__builder_item(batch, i + FETCH_AHEAD);
      ddb__write_fetch(&write, &later, FETCH_AHEAD);
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
  ddb_status status = check_batch(table, batch, err);
  ddb__write write;
  if (status == DDB_OK) {
    status = ddb__write_begin(&write, table, err);
  }
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

ddb_status ddb__table_next_key_raise(ddb_table *table, int64_t next_key, ddb_error *err) {
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  if (next_key > write.next->next_key) {
    write.next->next_key = next_key;
    write.changed = true;
  }
  return ddb__write_finish(&write, DDB_OK, err);
}
