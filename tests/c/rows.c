/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - see rows.h. */
#include "rows.h"

static const ddb_str names[] = {{"id", 2}, {"a", 1}, {"twin", 4}};

ddb_status rows_insert_key(ddb_table *table, const ddb_value *key, int64_t a) {
  const ddb_field fields[] = {{names[0], *key}, {names[1], ddb_int(a)}, {names[2], ddb_int(-a)}};
  return ddb_table_insert_fields(table, fields, 3, NULL, NULL);
}

ddb_status rows_insert(ddb_table *table, int64_t id, int64_t a) {
  ddb_value key = ddb_int(id);
  return rows_insert_key(table, &key, a);
}

static ddb_status add_record(ddb_builder *batch, const ddb_shape *shape, const ddb_value *values,
                             size_t count) {
  ddb_status status = ddb_builder_record_begin(batch, shape, true, NULL);
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    status = ddb_builder_append(batch, &values[i], NULL);
  }
  return status == DDB_OK ? ddb_builder_end(batch, NULL) : status;
}

ddb_status rows_insert_many(ddb_table *table, int64_t first, int64_t count) {
  const ddb_shape *shape;
  ddb_builder *batch;
  ddb_status status = ddb_builder_new(&batch, NULL);
  if (status != DDB_OK) {
    return status;
  }
  status = ddb_table_shape(table, DDB_SHAPE_RECORD, names, 3, &shape, NULL);
  for (int64_t id = first; id < first + count && status == DDB_OK; id++) {
    const ddb_value values[] = {ddb_int(id), ddb_int(10 * id), ddb_int(-10 * id)};
    status = add_record(batch, shape, values, 3);
  }
  if (status == DDB_OK) {
    status = ddb_table_insert(table, batch, NULL, NULL);
  }
  ddb_builder_free(batch);
  return status;
}

static ddb_status key_is(int64_t id, ddb_cond **out) {
  ddb_value key = ddb_int(id);
  return ddb_cond_compare(names[0], DDB_OP_EQ, &key, out, NULL);
}

static ddb_status update(ddb_table *table, const ddb_cond *where, const ddb_str *fields,
                         const ddb_value *values, size_t count, uint64_t *matched) {
  const ddb_shape *shape;
  ddb_builder *changes;
  ddb_status status = ddb_builder_new(&changes, NULL);
  if (status != DDB_OK) {
    return status;
  }
  ddb_table_expect(table, where, false);
  status = ddb_table_shape(table, DDB_SHAPE_CHANGES, fields, count, &shape, NULL);
  if (status == DDB_OK) {
    status = add_record(changes, shape, values, count);
  }
  if (status == DDB_OK) {
    ddb_table_expect(table, where, true);
    status = ddb_table_update(table, changes, where, matched, NULL);
  }
  ddb_builder_free(changes);
  return status;
}

static ddb_status update_key(ddb_table *table, int64_t id, const ddb_str *fields,
                             const ddb_value *values, size_t count) {
  ddb_cond *cond;
  uint64_t matched = 0;
  ddb_status status = key_is(id, &cond);
  if (status != DDB_OK) {
    return status;
  }
  status = update(table, cond, fields, values, count, &matched);
  ddb_cond_release(cond);
  return status == DDB_OK && matched != 1 ? DDB_ERR_RECORD_NOT_FOUND : status;
}

ddb_status rows_update(ddb_table *table, int64_t id, int64_t a) {
  const ddb_value values[] = {ddb_int(a), ddb_int(-a)};
  return update_key(table, id, &names[1], values, 2);
}

ddb_status rows_set_value(ddb_table *table, int64_t id, ddb_str name, const ddb_value *value) {
  return update_key(table, id, &name, value, 1);
}

ddb_status rows_set_field(ddb_table *table, int64_t id, ddb_str name, int64_t number) {
  ddb_value value = ddb_int(number);
  return rows_set_value(table, id, name, &value);
}

ddb_status rows_update_all(ddb_table *table, int64_t a) {
  const ddb_value values[] = {ddb_int(a), ddb_int(-a)};
  return update(table, NULL, &names[1], values, 2, NULL);
}

ddb_status rows_delete(ddb_table *table, int64_t id) {
  ddb_cond *cond;
  uint64_t matched = 0;
  ddb_status status = key_is(id, &cond);
  if (status != DDB_OK) {
    return status;
  }
  status = ddb_table_delete(table, cond, &matched, NULL);
  ddb_cond_release(cond);
  return status == DDB_OK && matched != 1 ? DDB_ERR_RECORD_NOT_FOUND : status;
}

ddb_status rows_delete_all(ddb_table *table) {
  return ddb_table_delete(table, NULL, NULL, NULL);
}

ddb_status rows_count_equal(ddb_table *table, ddb_str field, int64_t number, uint64_t *count) {
  ddb_value value = ddb_int(number);
  ddb_cond *cond;
  ddb_view view;
  ddb_status status = ddb_cond_compare(field, DDB_OP_EQ, &value, &cond, NULL);
  if (status != DDB_OK) {
    return status;
  }
  status = ddb_view_open(table, &view, NULL);
  if (status == DDB_OK) {
    status = ddb_view_count_where(&view, cond, count, NULL);
    ddb_view_close(&view);
  }
  ddb_cond_release(cond);
  return status;
}

static bool record_is(const ddb_record *record, int64_t id, int64_t a) {
  return record && ddb_record_get(record, names[0]).as.integer == id &&
         ddb_record_get(record, names[1]).as.integer == a &&
         ddb_record_get(record, names[2]).as.integer == -a;
}

bool rows_is(const ddb_view *view, int64_t id, int64_t a) {
  const ddb_record *record = NULL;
  ddb_value key = ddb_int(id);
  return ddb_view_get(view, &key, &record, NULL) == DDB_OK && record_is(record, id, a);
}

bool rows_are(const ddb_view *view, int64_t first, int64_t count) {
  uint64_t position = 0;
  bool are = ddb_view_count(view) == (uint64_t)count;
  for (int64_t id = first; id < first + count && are; id++) {
    are = record_is(ddb_view_next(view, &position), id, 10 * id) && rows_is(view, id, 10 * id);
  }
  return are && ddb_view_next(view, &position) == NULL;
}

uint64_t rows_total_bytes(const ddb_table *table) {
  ddb_memory memory;
  ddb_table_memory(table, &memory);
  return memory.total_bytes;
}

uint64_t rows_old_bytes(const ddb_table *table) {
  ddb_memory memory;
  ddb_table_memory(table, &memory);
  return memory.old_bytes;
}
