/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - see replay.h.
 *
 * Invariants
 *   1. A block is checked (block_check.c) before anything looks into it.
 *   2. Records of one table gather in one open statement; it is committed before anything else
 *      touches the table, and at the latest after WRITE_COUNT_MAX.
 *   3. What is allocated is in proportion to bytes that have come.
 *   4. `like` is the head of the last operation if that was a record, whose table and shape are then there.
 */
#include "io/replay.h"

#include <assert.h>

#include "base/heap.h"
#include "base/testing.h"
#include "io/try.h"
#include "store/record.h"
#include "store/table.h"
#include "store/text.h"

#define WRITE_COUNT_MAX 4096
#define RUN_COUNT_MAX   256 /* records: what lies between two passes over them stays in the cache */

bool ddb__replay_innocent(ddb_status status) {
  return status == DDB_OK || status == DDB_ERR_NOMEM || status == DDB_ERR_IO ||
         status == DDB_ERR_INTERRUPTED || status == DDB_ERR_FORKED;
}

/* ---- Errors ------------------------------------------------------------------------------- */

static ddb_status corrupt(const ddb__replay *replay, const char *problem) {
  (void)ddb__fail(replay->err, DDB_ERR_CORRUPT, "damaged file (byte %llu): %s",
                  (unsigned long long)replay->offset, problem);
  replay->err->offset = replay->offset;
  return DDB_ERR_CORRUPT;
}

/* Gives an error of the store, which the file is to blame for, its place. */
static ddb_status blame(const ddb__replay *replay, ddb_status status) {
  if (ddb__replay_innocent(status) || status == DDB_ERR_CORRUPT) {
    return status;
  }
  ddb_error cause = *replay->err;
  (void)corrupt(replay, cause.message);
  memcpy(replay->err->table, cause.table, sizeof cause.table);
  memcpy(replay->err->field, cause.field, sizeof cause.field);
  return DDB_ERR_CORRUPT;
}

/* ---- Life --------------------------------------------------------------------------------- */

static ddb_status tables_add(ddb__replay *replay, ddb_table *table, uint32_t number) {
  ddb__replay_table *tables = ddb__room(&ddb__heap_process, replay->tables, &replay->table_capacity,
                                        replay->table_count + 1, sizeof *tables, replay->err);
  if (!tables) {
    return DDB_ERR_NOMEM;
  }
  replay->tables = tables;
  tables[replay->table_count++] =
      (ddb__replay_table){.table = ddb_table_acquire(table), .number = number};
  return DDB_OK;
}

ddb_status ddb__replay_init(ddb__replay *replay, ddb_db *db, ddb__replay_mode mode,
                            ddb_error *err) {
  *replay = (ddb__replay){.db = db, .mode = mode, .err = err};
  if (mode == DDB__REPLAY_SCAN) {
    return DDB_OK; /* the file says how its tables are called */
  }
  ddb_table **tables;
  size_t count;
  DDB__TRY(ddb_db_tables(db, &tables, &count, err));
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    status = tables_add(replay, tables[i], ddb__table_number(tables[i]));
  }
  ddb_tables_free(tables, count);
  return status;
}

void ddb__replay_restart(ddb__replay *replay, ddb__replay_mode mode) {
  assert(!replay->writing && replay->carry_size == 0);
  replay->mode = mode;
  replay->begun = replay->ended = false;
  replay->records = replay->operations = 0;
}

void ddb__replay_fini(ddb__replay *replay) {
  if (replay->writing) {
    ddb__write_abort(&replay->write);
  }
  for (size_t i = 0; i < replay->table_count; i++) {
    ddb_table_release(replay->tables[i].table);
  }
  ddb__free(&ddb__heap_process, replay->tables, replay->table_capacity * sizeof *replay->tables);
  ddb__free(&ddb__heap_process, replay->shapes, replay->shape_capacity * sizeof *replay->shapes);
  ddb__free(&ddb__heap_process, replay->names, replay->name_capacity * sizeof *replay->names);
  ddb__free(&ddb__heap_process, replay->carry, replay->carry_capacity);
  *replay = (ddb__replay){0};
}

/* ---- Statements --------------------------------------------------------------------------- */

static ddb_status write_end(ddb__replay *replay) {
  if (!replay->writing) {
    return DDB_OK;
  }
  replay->writing = false;
  replay->write_count = 0;
  ddb__write_trust(&replay->write);
  return ddb__write_commit(&replay->write, replay->err);
}

/* The open statement is one on this table. */
static ddb_status write_on(ddb__replay *replay, ddb_table *table) {
  if (replay->writing && replay->write.table == table && replay->write_count < WRITE_COUNT_MAX) {
    return DDB_OK;
  }
  DDB__TRY(write_end(replay));
  DDB__TRY(ddb__write_begin(&replay->write, table, replay->err));
  replay->writing = true;
  return DDB_OK;
}

/* Where in `tables` the operation's table is. */
static ddb_status find_table(ddb__replay *replay, uint32_t number, size_t *at) {
  if (replay->last_table < replay->table_count &&
      replay->tables[replay->last_table].number == number) {
    *at = replay->last_table;
    return DDB_OK;
  }
  size_t low = 0;
  size_t high = replay->table_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (replay->tables[middle].number < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == replay->table_count || replay->tables[low].number != number) {
    return corrupt(replay, "an operation on a table that is not there");
  }
  *at = replay->last_table = low;
  return DDB_OK;
}

/* ---- Records ------------------------------------------------------------------------------ */

/* What comes next is likely to be like it (take_run). */
static void learn(ddb__replay *replay, const ddb__op *op, const ddb__block *block) {
  replay->like = *op;
  ddb__pattern_learn(&replay->pattern, block);
}

static ddb_status apply_put(ddb__replay *replay, const ddb__op *op, const ddb__block *block) {
  if (op->shape >= replay->shape_count) {
    return corrupt(replay, "a record of a shape that is not there");
  }
  const ddb__replay_shape *known = &replay->shapes[op->shape];
  const ddb__replay_table *entry = &replay->tables[known->table];
  if (entry->number != op->table || block->count != known->shape->count) {
    return corrupt(replay, "a record that does not have its shape");
  }
  DDB__TRY(write_on(replay, entry->table));
  learn(replay, op, block);
  ddb__item item = {.shape = known->shape, .block = block};
  ddb_value key;
  replay->write_count++;
  replay->records++;
  return replay->mode == DDB__REPLAY_SNAPSHOT
             ? ddb__write_insert(&replay->write, &item, &key, replay->err)
             : ddb__write_put(&replay->write, &item, replay->err);
}

static ddb_status apply_delete(ddb__replay *replay, ddb_table *table, const ddb_value *list) {
  if (ddb_value_item_count(list) != 1) {
    return corrupt(replay, "a deletion without a key");
  }
  ddb_value key = ddb_value_item(list, 0);
  uint64_t seq;
  const ddb_record *record;
  DDB__TRY(write_on(replay, table));
  if (!ddb__value_hashable(&key) || !ddb__write_find(&replay->write, &key, &seq, &record)) {
    return corrupt(replay, "a deletion of a record that is not there");
  }
  replay->write_count++;
  return ddb__write_delete(&replay->write, seq, record, replay->err);
}

static ddb_status apply_counter(ddb__replay *replay, ddb_table *table, const ddb_value *list) {
  ddb_value next = ddb_value_item_count(list) == 1 ? ddb_value_item(list, 0) : ddb_bool(false);
  if (next.kind != DDB_INT && next.kind != DDB_NULL) {
    return corrupt(replay, "a counter that is no number");
  }
  DDB__TRY(write_on(replay, table));
  ddb__root *root = replay->write.next;
  if (next.kind == DDB_NULL || next.as.integer > root->next_key) {
    root->keys_used_up = next.kind == DDB_NULL;
    root->next_key = next.kind == DDB_NULL ? INT64_MAX : next.as.integer;
    replay->write.changed = true;
  }
  return DDB_OK;
}

/* ---- Shapes and indexes ------------------------------------------------------------------- */

static ddb_status need_names(ddb__replay *replay, size_t count) {
  if (count <= replay->name_capacity) {
    return DDB_OK;
  }
  ddb_str *names = ddb__resize(&ddb__heap_process, replay->names,
                               replay->name_capacity * sizeof *names, count * sizeof *names);
  if (!names) {
    return ddb__fail_memory(replay->err, count * sizeof *names);
  }
  replay->names = names;
  replay->name_capacity = count;
  return DDB_OK;
}

static bool text_item(const ddb_value *list, size_t index, ddb_str *out) {
  ddb_value item = ddb_value_item(list, index);
  if (item.kind != DDB_STR_KIND) {
    return false;
  }
  *out = (ddb_str){item.as.data, item.size};
  return true;
}

static ddb_status apply_shape(ddb__replay *replay, const ddb__op *op, size_t at,
                              const ddb_value *list) {
  size_t count = ddb_value_item_count(list);
  if (op->shape == 0 && replay->mode == DDB__REPLAY_LOG) {
    replay->shape_count = 0; /* another table's part of the commit begins */
  }
  if (op->shape != replay->shape_count) {
    return corrupt(replay, "shapes out of order");
  }
  DDB__TRY(need_names(replay, count));
  for (size_t i = 0; i < count; i++) {
    if (!text_item(list, i, &replay->names[i])) {
      return corrupt(replay, "a field's name that is no text");
    }
  }
  ddb__replay_shape *shapes = ddb__room(&ddb__heap_process, replay->shapes, &replay->shape_capacity,
                                        replay->shape_count + 1, sizeof *shapes, replay->err);
  if (!shapes) {
    return DDB_ERR_NOMEM;
  }
  replay->shapes = shapes;
  const ddb_shape *shape;
  DDB__TRY(ddb_table_shape(replay->tables[at].table, DDB_SHAPE_RECORD, replay->names, count, &shape,
                           replay->err));
  if (shape->auto_key || shape->input_count != shape->count) {
    return corrupt(replay, "a shape without all fields of its table");
  }
  shapes[replay->shape_count++] = (ddb__replay_shape){shape, (uint32_t)at};
  return DDB_OK;
}

/* [kind, unique, [field | [field, step, ...], ...]] */
static ddb_status apply_index(ddb__replay *replay, const ddb__op *op, ddb_table *table,
                              const ddb_value *list) {
  ddb_str kind;
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_value steps[DDB_INDEX_FIELD_COUNT_MAX][DDB_INDEX_STEP_COUNT_MAX];
  ddb_value parts = ddb_null();
  if (ddb_value_item_count(list) == 3) {
    parts = ddb_value_item(list, 2);
  }
  ddb_index_options options = {.paths = paths, .field_count = ddb_value_item_count(&parts)};
  bool formed = parts.kind == DDB_LIST && options.field_count > 0 &&
                options.field_count <= DDB_INDEX_FIELD_COUNT_MAX && text_item(list, 0, &kind);
  for (size_t i = 0; formed && i < options.field_count; i++) {
    ddb_value part = ddb_value_item(&parts, i);
    formed = ddb__path_read(&part, steps[i], &paths[i]);
  }
  if (!formed) {
    return corrupt(replay, "a malformed index");
  }
  ddb_value unique = ddb_value_item(list, 1);
  bool sorted = ddb__text_equal(kind, DDB_STR("sorted"));
  if ((!sorted && !ddb__text_equal(kind, DDB_STR("hash"))) || unique.kind != DDB_BOOL) {
    return corrupt(replay, "an unknown kind of index");
  }
  options.kind = sorted ? DDB_INDEX_SORTED : DDB_INDEX_HASH;
  options.unique = unique.as.boolean;
  DDB__TRY(write_end(replay));
  return op->kind == DDB__OP_INDEX ? ddb_table_index_add(table, &options, replay->err)
                                   : ddb_table_index_drop_paths(table, paths, options.field_count,
                                                                &options.kind, replay->err);
}

/* ---- Tables ------------------------------------------------------------------------------- */

/* values: room for the default. */
static bool read_field(const ddb_value *list, ddb_schema_field *field, ddb_value *value) {
  if (list->kind != DDB_LIST || ddb_value_item_count(list) != 4 ||
      !text_item(list, 0, &field->name)) {
    return false;
  }
  ddb_value types = ddb_value_item(list, 1);
  ddb_value has_default = ddb_value_item(list, 2);
  if (types.kind != DDB_INT || types.as.integer < 0 || types.as.integer > UINT32_MAX ||
      has_default.kind != DDB_BOOL) {
    return false;
  }
  *value = ddb_value_item(list, 3);
  field->types = (uint32_t)types.as.integer;
  field->default_value = has_default.as.boolean ? value : NULL;
  return true;
}

static ddb_status create_table(ddb__replay *replay, const ddb__op *op, ddb_str name,
                               const ddb_table_options *options) {
  ddb_table *table;
  DDB__TRY(ddb__db_table_create(replay->db, name, options, op->table, &table, replay->err));
  ddb_status status = tables_add(replay, table, op->table);
  ddb_table_release(table);
  return status;
}

static ddb_status create_with_schema(ddb__replay *replay, const ddb__op *op, ddb_str name,
                                     ddb_table_options *options, const ddb_value *list) {
  size_t count = ddb_value_item_count(list);
  size_t size = count * (sizeof(ddb_schema_field) + sizeof(ddb_value)) + 1;
  ddb_schema_field *fields = ddb__alloc_zero(&ddb__heap_process, size);
  if (!fields) {
    return ddb__fail_memory(replay->err, size);
  }
  ddb_value *values = (ddb_value *)(void *)(fields + count);
  ddb_status status = count ? DDB_OK : corrupt(replay, "a schema without fields");
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    ddb_value item = ddb_value_item(list, i);
    if (!read_field(&item, &fields[i], &values[i])) {
      status = corrupt(replay, "a malformed schema");
    }
  }
  options->schema = fields;
  options->schema_count = count;
  if (status == DDB_OK) {
    status = create_table(replay, op, name, options);
  }
  ddb__free(&ddb__heap_process, fields, size);
  return status;
}

static ddb_status apply_table(ddb__replay *replay, const ddb__op *op, const ddb_value *list) {
  ddb_str name;
  ddb_table_options options = {0};
  DDB__TRY(write_end(replay));
  if (ddb_value_item_count(list) != 3 || !text_item(list, 0, &name) ||
      !text_item(list, 1, &options.primary_key) || options.primary_key.size == 0) {
    return corrupt(replay, "a malformed table");
  }
  if (op->table == 0 ||
      (replay->table_count && replay->tables[replay->table_count - 1].number >= op->table)) {
    return corrupt(replay, "tables out of order");
  }
  ddb_value schema = ddb_value_item(list, 2);
  if (schema.kind == DDB_LIST) {
    return create_with_schema(replay, op, name, &options, &schema);
  }
  return schema.kind == DDB_NULL ? create_table(replay, op, name, &options)
                                 : corrupt(replay, "a malformed schema");
}

static ddb_status apply_drop(ddb__replay *replay, size_t at) {
  ddb_table *table = replay->tables[at].table;
  DDB__TRY(write_end(replay));
  DDB__TRY(ddb_db_table_drop(replay->db, ddb_table_name(table), replay->err));
  ddb_table_release(table);
  replay->table_count--;
  memmove(&replay->tables[at], &replay->tables[at + 1],
          (replay->table_count - at) * sizeof *replay->tables);
  replay->shape_count = 0; /* they name tables by place; no record of this part follows */
  return DDB_OK;
}

static ddb_status apply_end(ddb__replay *replay, const ddb_value *list) {
  DDB__TRY(write_end(replay));
  if (replay->mode == DDB__REPLAY_LOG || ddb_value_item_count(list) != 2) {
    return corrupt(replay, "an end where none belongs");
  }
  ddb_value counts[] = {ddb_value_item(list, 0), ddb_value_item(list, 1)};
  if (counts[0].kind != DDB_INT || counts[1].kind != DDB_INT ||
      (uint64_t)counts[0].as.integer != replay->table_count ||
      (uint64_t)counts[1].as.integer != replay->records) {
    return corrupt(replay, "tables or records are missing");
  }
  replay->ended = true;
  return DDB_OK;
}

/* The next of a list [[number, name], ...] that ascends: *number in, the one before. */
static bool read_before(const ddb_value *list, size_t index, uint32_t *number, ddb_str *name) {
  ddb_value item = ddb_value_item(list, index);
  if (item.kind != DDB_LIST || ddb_value_item_count(&item) != 2 || !text_item(&item, 1, name)) {
    return false;
  }
  ddb_value given = ddb_value_item(&item, 0);
  if (given.kind != DDB_INT || given.as.integer <= *number || given.as.integer > UINT32_MAX) {
    return false;
  }
  *number = (uint32_t)given.as.integer;
  return true;
}

/* The tables are those that are there, and are called by these numbers from now on: a database that
 * came from JSON has numbers of its own. */
static ddb_status apply_before(ddb__replay *replay, const ddb_value *list) {
  size_t count = ddb_value_item_count(list);
  if (replay->mode != DDB__REPLAY_DELTA || replay->begun || count != replay->table_count) {
    return corrupt(replay, "it does not begin with the tables that there are");
  }
  uint32_t number = 0;
  for (size_t i = 0; i < count; i++) {
    ddb_str name;
    if (!read_before(list, i, &number, &name) ||
        !ddb__text_equal(name, ddb_table_name(replay->tables[i].table))) {
      return corrupt(replay, "it does not begin with the tables that there are");
    }
    replay->tables[i].number = number;
  }
  replay->begun = true;
  replay->last_table = 0;
  replay->shape_count = 0;
  return DDB_OK;
}

/* ---- Scanning ----------------------------------------------------------------------------- */

/* The file's table is one that the database has by this name, or none of interest. */
static ddb_status scan_table(ddb__replay *replay, uint32_t number, ddb_str name) {
  if (number <= replay->scanned) {
    return corrupt(replay, "tables out of order");
  }
  replay->scanned = number;
  ddb_table *table;
  ddb_status status = ddb_db_table_get(replay->db, name, &table, replay->err);
  if (status == DDB_ERR_TABLE_NOT_FOUND) {
    return DDB_OK;
  }
  if (status == DDB_OK) {
    status = tables_add(replay, table, number);
    ddb_table_release(table);
  }
  return status;
}

static ddb_status scan_before(ddb__replay *replay, const ddb_value *list) {
  uint32_t number = 0;
  ddb_str name;
  for (size_t i = 0; i < ddb_value_item_count(list); i++) {
    if (!read_before(list, i, &number, &name)) {
      return corrupt(replay, "malformed tables");
    }
    DDB__TRY(scan_table(replay, number, name));
  }
  return DDB_OK;
}

static ddb_status scan_counter(ddb__replay *replay, const ddb__op *op, const ddb_value *list) {
  for (size_t i = 0; i < replay->table_count; i++) {
    if (replay->tables[i].number == op->table) {
      DDB__TRY(apply_counter(replay, replay->tables[i].table, list));
    }
  }
  return DDB_OK;
}

static ddb_status scan(ddb__replay *replay, const ddb__op *op, const ddb_value *list) {
  ddb_str name;
  switch (op->kind) {
  case DDB__OP_END:
    replay->ended = true;
    return write_end(replay);
  case DDB__OP_BEFORE:
    return scan_before(replay, list);
  case DDB__OP_TABLE:
    return text_item(list, 0, &name) ? scan_table(replay, op->table, name)
                                     : corrupt(replay, "a malformed table");
  case DDB__OP_COUNTER:
    return scan_counter(replay, op, list);
  default:
    return DDB_OK;
  }
}

/* ---- Operations --------------------------------------------------------------------------- */

static ddb_status apply_to_table(ddb__replay *replay, const ddb__op *op, const ddb_value *list) {
  size_t at = 0;
  DDB__TRY(find_table(replay, op->table, &at));
  ddb_table *table = replay->tables[at].table;
  switch (op->kind) {
  case DDB__OP_SHAPE:
    return apply_shape(replay, op, at, list);
  case DDB__OP_COUNTER:
    return apply_counter(replay, table, list);
  case DDB__OP_INDEX:
    return apply_index(replay, op, table, list);
  default:
    break;
  }
  if (replay->mode == DDB__REPLAY_SNAPSHOT) {
    return corrupt(replay, "a change in a snapshot");
  }
  switch (op->kind) {
  case DDB__OP_DELETE:
    return apply_delete(replay, table, list);
  case DDB__OP_DROP:
    return apply_drop(replay, at);
  default:
    return apply_index(replay, op, table, list);
  }
}

static ddb_status apply(ddb__replay *replay, const ddb__op *op, const ddb__block *block) {
  if (replay->ended) {
    return corrupt(replay, "something behind the end");
  }
  const char *problem =
      ddb__block_problem(op->kind == DDB__OP_PUT ? DDB_MISSING : DDB_LIST, block, op->size);
  if (problem && !DDB__FAULT(BLOCK_UNCHECKED)) {
    return corrupt(replay, problem);
  }
  replay->operations++;
  replay->like.kind = 0; /* shapes and tables may change: but for a record, that sets it */
  if (replay->mode == DDB__REPLAY_DELTA && !replay->begun && op->kind != DDB__OP_BEFORE) {
    return corrupt(replay, "it does not begin with the tables that there are");
  }
  if (op->kind == DDB__OP_PUT) {
    return replay->mode == DDB__REPLAY_SCAN ? DDB_OK : blame(replay, apply_put(replay, op, block));
  }
  ddb_value list = ddb_value_make(DDB_LIST, op->size, (uint64_t)(uintptr_t)block);
  if (replay->mode == DDB__REPLAY_SCAN) {
    return blame(replay, scan(replay, op, &list));
  }
  switch (op->kind) {
  case DDB__OP_BEFORE:
    return blame(replay, apply_before(replay, &list));
  case DDB__OP_END:
    return blame(replay, apply_end(replay, &list));
  case DDB__OP_TABLE:
    return blame(replay, apply_table(replay, op, &list));
  default:
    return blame(replay, apply_to_table(replay, op, &list));
  }
}

static ddb_status check_head(const ddb__replay *replay, const ddb__op *op) {
  if (op->kind == 0 || op->kind >= DDB__OP_KIND_COUNT) {
    return corrupt(replay, "an unknown operation");
  }
  if (op->size < sizeof(ddb__block) || op->size % 8 != 0 || op->size > DDB_RECORD_SIZE_MAX) {
    return corrupt(replay, "an operation of a wrong size");
  }
  return DDB_OK;
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static ddb_status carry_add(ddb__replay *replay, const char *data, size_t size) {
  if (size == 0) {
    return DDB_OK;
  }
  char *carry = ddb__room(&ddb__heap_process, replay->carry, &replay->carry_capacity,
                          replay->carry_size + size, 1, replay->err);
  if (!carry) {
    return DDB_ERR_NOMEM;
  }
  replay->carry = carry;
  memcpy(carry + replay->carry_size, data, size);
  replay->carry_size += size;
  return DDB_OK;
}

/* Bytes that the operation in `carry` lacks; 0: it is whole. Its head is checked once it is there. */
static ddb_status carry_lacks(ddb__replay *replay, size_t *lacks) {
  ddb__op op;
  if (replay->carry_size < sizeof op) {
    *lacks = sizeof op - replay->carry_size;
    return DDB_OK;
  }
  memcpy(&op, replay->carry, sizeof op);
  DDB__TRY(check_head(replay, &op));
  *lacks = sizeof op + op.size - replay->carry_size;
  return DDB_OK;
}

/* Completes the operation in `carry`, as far as the bytes go. */
static ddb_status carry_on(ddb__replay *replay, const char **data, size_t *size) {
  replay->offset = replay->carry_offset;
  for (;;) {
    size_t lacks;
    DDB__TRY(carry_lacks(replay, &lacks));
    if (lacks == 0) {
      ddb__op op;
      memcpy(&op, replay->carry, sizeof op);
      replay->carry_size = 0;
      return apply(replay, &op, (const ddb__block *)(const void *)(replay->carry + sizeof op));
    }
    if (*size == 0) {
      return DDB_OK;
    }
    size_t piece = lacks < *size ? lacks : *size;
    DDB__TRY(carry_add(replay, *data, piece));
    *data += piece;
    *size -= piece;
  }
}

/* Records that lie one behind the other, of one shape, like the one before them (block_check.h): takes
 * them off the bytes. There may be none. */
static size_t take_run(const ddb__replay *replay, const char **data, size_t *size,
                       const ddb__block **blocks) {
  size_t count = 0;
  const char *at = *data;
  const char *end = at + *size;
  while (count < RUN_COUNT_MAX && (size_t)(end - at) >= sizeof(ddb__op)) {
    const ddb__op *op = (const ddb__op *)(const void *)at;
    const ddb__block *block = (const ddb__block *)(const void *)(at + sizeof *op);
    if (op->kind != DDB__OP_PUT || op->table != replay->like.table ||
        op->shape != replay->like.shape || op->size > (size_t)(end - at) - sizeof *op ||
        op->size % 8 != 0 || op->size > DDB_RECORD_SIZE_MAX ||
        !ddb__pattern_fits(&replay->pattern, block, op->size)) {
      break;
    }
    blocks[count++] = block;
    at += sizeof *op + op->size;
  }
  *data = at;
  *size = (size_t)(end - at);
  return count;
}

static ddb_status apply_run(ddb__replay *replay, const ddb__block *const *blocks, size_t count) {
  const ddb__replay_shape *known = &replay->shapes[replay->like.shape];
  DDB__TRY(write_on(replay, replay->tables[known->table].table));
  replay->operations += count;
  replay->records += count;
  replay->write_count += (uint32_t)count;
  if (replay->mode == DDB__REPLAY_SNAPSHOT) {
    return ddb__write_insert_run(&replay->write, known->shape, blocks, count, replay->err);
  }
  for (size_t i = 0; i < count; i++) {
    if (replay->write.hinted && i + DDB__WRITE_AHEAD < count) {
      ddb__item later = {.shape = known->shape, .block = blocks[i + DDB__WRITE_AHEAD]};
      ddb__write_fetch(&replay->write, &later, DDB__WRITE_AHEAD);
    }
    ddb__item item = {.shape = known->shape, .block = blocks[i]};
    DDB__TRY(ddb__write_put(&replay->write, &item, replay->err));
  }
  return DDB_OK;
}

ddb_status ddb__replay_bytes(ddb__replay *replay, const char *data, size_t size, uint64_t offset) {
  if (replay->carry_size) {
    DDB__TRY(carry_on(replay, &data, &size));
  }
  replay->offset = offset;
  while (size >= sizeof(ddb__op)) {
    const ddb__block *blocks[RUN_COUNT_MAX];
    size_t count = replay->like.kind ? take_run(replay, &data, &size, blocks) : 0;
    if (count) {
      DDB__TRY(blame(replay, apply_run(replay, blocks, count)));
      continue;
    }
    ddb__op op;
    memcpy(&op, data, sizeof op);
    DDB__TRY(check_head(replay, &op));
    if (size - sizeof op < op.size) {
      break;
    }
    DDB__TRY(apply(replay, &op, (const ddb__block *)(const void *)(data + sizeof op)));
    data += sizeof op + op.size;
    size -= sizeof op + op.size;
  }
  if (size) {
    replay->carry_offset = offset;
    DDB__TRY(carry_add(replay, data, size));
  }
  return DDB_OK;
}

ddb_status ddb__replay_flush(ddb__replay *replay, uint64_t offset) {
  replay->offset = offset;
  if (replay->carry_size) {
    return corrupt(replay, "an operation that is cut off");
  }
  if (replay->mode <= DDB__REPLAY_DELTA && !replay->ended) {
    return corrupt(replay, "the end is missing");
  }
  replay->shape_count = 0;
  replay->like.kind = 0;
  return blame(replay, write_end(replay));
}
