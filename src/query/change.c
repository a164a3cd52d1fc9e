/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.c - see change.h.
 *
 *   old record --work out--> [new values, a CHANGES record in the scratch builder]
 *       |
 *       +--merge the batch's item--> +--merge the new values--> +--leave out what is UNSET--> new
 *
 * Everything that depends on the old record is worked out before the first merge. The records in
 * between are born in this version, and go at once when the next takes their place.
 */
#include "query/change.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/builder.h"
#include "store/rows.h"
#include "store/table.h"
#include "store/text.h"

void ddb__maker_init(ddb__maker *maker, ddb_table *table) {
  *maker = (ddb__maker){.table = table};
}

static void unbind_exprs(ddb__maker *maker) {
  for (size_t i = 0; i < maker->expr_count; i++) {
    ddb__expr_unbind(maker->exprs[i]);
  }
  ddb__free(&ddb__heap_process, maker->exprs, maker->expr_count * sizeof *maker->exprs);
  maker->exprs = NULL;
  maker->expr_count = 0;
}

void ddb__maker_fini(ddb__maker *maker) {
  unbind_exprs(maker);
  ddb_builder_free(maker->scratch);
}

/* ---- Binding ------------------------------------------------------------------------------ */

static ddb_status check_item(const ddb__maker *maker, const ddb_changes *changes, ddb_error *err) {
  const ddb_shape *shape = changes->item < ddb_builder_count(changes->batch)
                               ? ddb__builder_item(changes->batch, changes->item).shape
                               : NULL;
  if (!shape || shape->kind != DDB_SHAPE_CHANGES ||
      shape->registry != ddb__table_shapes(maker->table)) {
    return ddb__fail(err, DDB_ERR_INVALID, "a step on '%.*s' needs changes in a shape of the table",
                     DDB__STR_ARG(ddb_table_name(maker->table)));
  }
  return DDB_OK;
}

static bool item_names(const ddb_changes *changes, ddb_str name) {
  const ddb_shape *shape = ddb__builder_item(changes->batch, changes->item).shape;
  for (uint32_t i = 0; i < shape->count; i++) {
    if (ddb__text_equal(shape->names[i], name)) {
      return true;
    }
  }
  return false;
}

static ddb_status check_change(const ddb__maker *maker, const ddb_changes *changes,
                               const ddb_change *change, ddb_error *err) {
  bool known = (unsigned)change->kind <= DDB_CHANGE_REMOVE;
  int values = (change->value != NULL) + (change->expr != NULL);
  if (!known || (change->kind != DDB_CHANGE_UNSET && values != 1)) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "a change of '%.*s' of no such kind, or without one value",
                     DDB__STR_ARG(change->name));
  }
  if (changes->batch && item_names(changes, change->name)) {
    return ddb__fail(err, DDB_ERR_INVALID, "table '%.*s': field '%.*s' is changed twice",
                     DDB__STR_ARG(ddb_table_name(maker->table)), DDB__STR_ARG(change->name));
  }
  return DDB_OK;
}

/* Does the change give the record a value? Nothing is removed from what is not there. */
static bool gives_value(const ddb_change *change, const ddb_record *record) {
  return change->kind != DDB_CHANGE_UNSET &&
         (change->kind != DDB_CHANGE_REMOVE || !record ||
          ddb_record_get(record, change->name).kind != DDB_MISSING);
}

static ddb_status find_shapes(ddb__maker *maker, const ddb_changes *changes,
                              const ddb_record *record, ddb_str *names, ddb_error *err) {
  ddb__shapes *shapes = ddb__table_shapes(maker->table);
  size_t all = changes->change_count;
  for (size_t i = 0; i < all; i++) {
    names[i] = changes->changes[i].name;
  }
  /* A shape of all names checks them. */
  ddb_status status = ddb__shapes_get(shapes, DDB_SHAPE_CHANGES, names, all, &maker->shape, err);
  size_t count = 0;
  maker->unsets = maker->removes = false;
  for (size_t i = 0; i < all; i++) {
    const ddb_change *change = &changes->changes[i];
    maker->unsets |= change->kind == DDB_CHANGE_UNSET;
    maker->removes |= change->kind == DDB_CHANGE_REMOVE;
    if (gives_value(change, record)) {
      names[count++] = change->name;
    }
  }
  if (!status && count < all) {
    maker->shape = NULL;
    status = count == 0
                 ? DDB_OK
                 : ddb__shapes_get(shapes, DDB_SHAPE_CHANGES, names, count, &maker->shape, err);
  }
  return status;
}

static ddb_status bind_changes(ddb__maker *maker, const ddb_changes *changes,
                               const ddb_record *record, ddb_error *err) {
  ddb_str names_inline[DDB__MAKER_INLINE];
  ddb_str *names = names_inline;
  size_t size = changes->change_count * sizeof *names;
  if (changes->change_count > DDB__MAKER_INLINE &&
      !(names = ddb__alloc(&ddb__heap_process, size))) {
    return ddb__fail_memory(err, size);
  }
  ddb_status status = find_shapes(maker, changes, record, names, err);
  if (names != names_inline) {
    ddb__free(&ddb__heap_process, names, size);
  }
  if (!status && !maker->scratch) {
    status = ddb_builder_new(&maker->scratch, err);
  }
  return status;
}

static ddb_status bind_exprs(ddb__maker *maker, const ddb_changes *changes, ddb_error *err) {
  size_t count = changes->change_count;
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    any |= changes->changes[i].expr != NULL;
  }
  if (!any) {
    return DDB_OK;
  }
  maker->exprs = ddb__alloc_zero(&ddb__heap_process, count * sizeof *maker->exprs);
  if (!maker->exprs) {
    return ddb__fail_memory(err, count * sizeof *maker->exprs);
  }
  maker->expr_count = count;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && !status; i++) {
    if (changes->changes[i].expr) {
      status = ddb__expr_bind(changes->changes[i].expr, ddb__table_shapes(maker->table),
                              &maker->exprs[i], err);
    }
  }
  return status;
}

static ddb_status bind(ddb__maker *maker, const ddb_changes *changes, const ddb_record *record,
                       ddb_error *err) {
  if (maker->bound == changes && !maker->removes) {
    return DDB_OK;
  }
  ddb_status status = changes->batch ? check_item(maker, changes, err) : DDB_OK;
  for (size_t i = 0; i < changes->change_count && !status; i++) {
    status = check_change(maker, changes, &changes->changes[i], err);
  }
  maker->bound = NULL;
  maker->shape = NULL;
  maker->unsets = maker->removes = false;
  unbind_exprs(maker);
  if (!status && changes->change_count > 0) {
    status = bind_changes(maker, changes, record, err);
  }
  if (!status) {
    status = bind_exprs(maker, changes, err);
  }
  if (!status) {
    maker->bound = changes;
  }
  return status;
}

ddb_status ddb__maker_check(ddb__maker *maker, const ddb_changes *changes, ddb_error *err) {
  return bind(maker, changes, NULL, err);
}

/* ---- Values ------------------------------------------------------------------------------- */

static ddb_value field_of(const ddb_record *record, ddb_str name) {
  ddb_value value = ddb_record_get(record, name);
  return value.kind == DDB_MISSING ? ddb_null() : value;
}

/* The value that the index-th change gives or names, borrowed until the next. */
static ddb_value value_of(const ddb__maker *maker, const ddb_record *record,
                          const ddb_changes *changes, size_t index) {
  if (!changes->changes[index].expr) {
    return *changes->changes[index].value;
  }
  ddb_value value = ddb__expr_eval(maker->exprs[index], record);
  return value.kind == DDB_MISSING ? ddb_null() : value;
}

static bool holds_items(uint8_t kind) {
  return kind == DDB_LIST || kind == DDB_TUPLE || kind == DDB_SET || kind == DDB_FROZENSET;
}

static ddb_status fail_items(const ddb__maker *maker, const ddb_record *record,
                             const ddb_change *change, uint8_t kind, ddb_error *err) {
  char text[96];
  ddb_value key = ddb__record_key(record);
  (void)ddb_value_format(&key, text, sizeof text);
  (void)ddb__fail(err, DDB_ERR_TYPE,
                  "table '%.*s': field '%.*s' of record %s is a %s: items can be %s lists, tuples "
                  "and sets only",
                  DDB__STR_ARG(ddb_table_name(maker->table)), DDB__STR_ARG(change->name), text,
                  ddb_kind_name((ddb_kind)kind),
                  change->kind == DDB_CHANGE_APPEND ? "appended to" : "removed from");
  if (err) {
    ddb__error_text(err->table, sizeof err->table, ddb_table_name(maker->table));
    ddb__error_text(err->field, sizeof err->field, change->name);
    ddb__error_text(err->given, sizeof err->given, ddb_str_from(ddb_kind_name((ddb_kind)kind)));
  }
  return DDB_ERR_TYPE;
}

/* Items of `from` equal to the value. */
static size_t count_equal(const ddb_value *from, const ddb_value *value) {
  size_t equal = 0;
  size_t count = ddb_value_item_count(from);
  for (size_t i = 0; i < count; i++) {
    ddb_value item = ddb_value_item(from, i);
    equal += ddb_value_equal(&item, value);
  }
  return equal;
}

/* The items of `from`, but for those equal to `without` (NULL: all), and then `last`, unless NULL. */
static ddb_status append_items(ddb_builder *builder, uint8_t kind, const ddb_value *from,
                               const ddb_value *without, const ddb_value *last, ddb_error *err) {
  size_t count = ddb_value_item_count(from);
  size_t size = count - (without ? count_equal(from, without) : 0) + (last ? 1 : 0);
  ddb_status status = ddb_builder_begin(builder, (ddb_kind)kind, size, err);
  for (size_t i = 0; i < count && !status; i++) {
    ddb_value item = ddb_value_item(from, i);
    if (!without || !ddb_value_equal(&item, without)) {
      status = ddb_builder_append(builder, &item, err);
    }
  }
  if (!status && last) {
    status = ddb_builder_append(builder, last, err);
  }
  return status ? status : ddb_builder_end(builder, err);
}

static ddb_status change_items(ddb__maker *maker, const ddb_record *record,
                               const ddb_change *change, const ddb_value *value, ddb_error *err) {
  ddb_value old = field_of(record, change->name);
  bool appends = change->kind == DDB_CHANGE_APPEND;
  if (old.kind == DDB_NULL) {
    return appends ? append_items(maker->scratch, DDB_LIST, &old, NULL, value, err)
                   : ddb_builder_append(maker->scratch, &old, err);
  }
  if (!holds_items(old.kind)) {
    return fail_items(maker, record, change, old.kind, err);
  }
  if (!appends) {
    return append_items(maker->scratch, old.kind, &old, value, NULL, err);
  }
  bool is_set = old.kind == DDB_SET || old.kind == DDB_FROZENSET;
  bool is_in = is_set && count_equal(&old, value) > 0;
  return append_items(maker->scratch, old.kind, &old, NULL, is_in ? NULL : value, err);
}

/* All values that are set, as the one record of the scratch builder. */
static ddb_status work_out(ddb__maker *maker, const ddb_record *record, const ddb_changes *changes,
                           ddb_error *err) {
  ddb_builder_clear(maker->scratch);
  ddb_status status = ddb_builder_record_begin(maker->scratch, maker->shape, true, err);
  for (size_t i = 0; i < changes->change_count && !status; i++) {
    const ddb_change *change = &changes->changes[i];
    if (!gives_value(change, record)) {
      continue;
    }
    ddb_value value = value_of(maker, record, changes, i);
    status = change->kind == DDB_CHANGE_SET ? ddb_builder_append(maker->scratch, &value, err)
                                            : change_items(maker, record, change, &value, err);
  }
  return status ? status : ddb_builder_end(maker->scratch, err);
}

/* ---- Leaving out -------------------------------------------------------------------------- */

static bool is_unset(const ddb_changes *changes, ddb_str name) {
  for (size_t i = 0; i < changes->change_count; i++) {
    if (changes->changes[i].kind == DDB_CHANGE_UNSET &&
        ddb__text_equal(changes->changes[i].name, name)) {
      return true;
    }
  }
  return false;
}

static ddb_status rest_shape(ddb__maker *maker, const ddb_record *record,
                             const ddb_changes *changes, const ddb_shape **shape, ddb_error *err) {
  uint32_t count = record->shape->count;
  size_t size = count * sizeof(ddb_str);
  ddb_str *names = ddb__alloc(&ddb__heap_process, size);
  if (!names) {
    return ddb__fail_memory(err, size);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!is_unset(changes, record->shape->names[i])) {
      names[kept++] = record->shape->names[i];
    }
  }
  *shape = record->shape;
  ddb_status status = kept == count ? DDB_OK
                                    : ddb__shapes_get(ddb__table_shapes(maker->table),
                                                      DDB_SHAPE_RECORD, names, kept, shape, err);
  ddb__free(&ddb__heap_process, names, size);
  return status;
}

static ddb_status leave_out(ddb__maker *maker, ddb__write *write, uint64_t seq,
                            const ddb_record *record, const ddb_changes *changes, ddb_error *err) {
  const ddb_shape *shape;
  ddb_status status = rest_shape(maker, record, changes, &shape, err);
  if (status || shape == record->shape) {
    return status;
  }
  ddb_builder_clear(maker->scratch);
  status = ddb_builder_record_begin(maker->scratch, shape, true, err);
  for (uint32_t i = 0; i < record->shape->count && !status; i++) {
    if (!is_unset(changes, record->shape->names[i])) {
      ddb_value value = ddb__record_at(record, i);
      status = ddb_builder_append(maker->scratch, &value, err);
    }
  }
  if (!status) {
    status = ddb_builder_end(maker->scratch, err);
  }
  if (status) {
    return status;
  }
  ddb__item whole = ddb__builder_item(maker->scratch, 0);
  return ddb__write_replace(write, seq, record, whole.shape->stored, whole.block, err);
}

/* ---- All of it ---------------------------------------------------------------------------- */

static ddb_status merge(ddb__write *write, uint64_t seq, const ddb_builder *builder, size_t index,
                        ddb_error *err) {
  ddb__item item = ddb__builder_item(builder, index);
  const ddb_record *record = ddb__rows_get(&write->next->rows, seq);
  return ddb__write_update(write, seq, record, item.shape->stored, item.block, err);
}

ddb_status ddb__maker_apply(ddb__maker *maker, ddb__write *write, uint64_t seq,
                            const ddb_record *record, const ddb_changes *changes, ddb_error *err) {
  ddb_status status = bind(maker, changes, record, err);
  if (!status && changes->batch && DDB__FAULT(CHANGED_IN_TURN)) {
    status = merge(write, seq, changes->batch, changes->item, err);
    record = ddb__rows_get(&write->next->rows, seq);
  }
  if (!status && maker->shape) {
    status = work_out(maker, record, changes, err);
  }
  if (!status && changes->batch) {
    status = merge(write, seq, changes->batch, changes->item, err);
  }
  if (!status && maker->shape) {
    status = merge(write, seq, maker->scratch, 0, err);
  }
  if (!status && maker->unsets) {
    record = ddb__rows_get(&write->next->rows, seq);
    status = leave_out(maker, write, seq, record, changes, err);
  }
  return status;
}
