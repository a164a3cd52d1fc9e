/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c - see write.h.
 *
 *   W1  Between begin and end this thread holds the table's write lock, and nothing here calls out.
 *   W2  Every step that can fail comes before the publication; an abort leaves rows, indexes, counters and
 *       accounting as they were (index segments that were replaced stay replaced: same entries).
 *   W3  A key hint is added before the row is published: until then it leads readers to a row that
 *       their version does not have.
 *   W4  A removed row's hint goes when its whole life, from row_birth on, is out of sight.
 *   W5  No statement commits with rows that may be duplicates under a unique index: each row that
 *       met its like when it was changed is looked at again at the end, so that a statement may move
 *       values from row to row.
 */
#include "store/write.h"

#include <assert.h>

#include "store/table_private.h"

static ddb_status begin_locked(ddb__write *write, ddb_table *table, ddb_error *err) {
  const ddb__root *base = atomic_load_explicit(&table->current, memory_order_relaxed);
  if (base->dropped) {
    return ddb__table_dropped(table, err);
  }
  ddb_status status = ddb__journal_check(table->db->journal, err);
  if (status == DDB_OK) {
    status = ddb__publish_reserve(table, err);
  }
  if (status == DDB_OK) {
    status = ddb__edit_reserve(&table->edit, 0, err); /* room for the root itself */
  }
  if (status != DDB_OK) {
    return status;
  }
  size_t size = ddb__root_size(base->index_count);
  ddb__root *next = ddb__alloc(&table->heap, size);
  if (!next) {
    return ddb__fail_memory(err, size);
  }
  memcpy(next, base, size);
  next->version = base->version + 1;
  next->commit = 0; /* until it is published: no columns are kept of it (M2) */
  table->edit.version = next->version;
  *write = (ddb__write){.table = table, .base = base, .next = next, .edit = &table->edit};
  return DDB_OK;
}

ddb_status ddb__write_begin(ddb__write *write, ddb_table *table, ddb_error *err) {
  DDB__POINT(BEFORE_LOCK);
  ddb_status status = ddb__rwlock_enter_write(table->lock, DDB_WAIT_FOREVER, err);
  if (status != DDB_OK) {
    return status;
  }
  DDB__POINT(LOCKED);
  status = begin_locked(write, table, err);
  if (status != DDB_OK) {
    ddb__rwlock_leave_write(table->lock);
  }
  return status;
}

/* ---- Keys --------------------------------------------------------------------------------- */

static ddb_status key_error(const ddb_table *table, ddb_status status, const char *what,
                            const ddb_value *key, ddb_error *err) {
  char text[96];
  (void)ddb_value_format(key, text, sizeof text);
  ddb_str field = ddb_table_primary_key(table);
  (void)ddb__fail(err, status, "table '%.*s': %s %s for primary key '%.*s'",
                  DDB__STR_ARG(table->name), what, text, DDB__STR_ARG(field));
  if (err) {
    ddb__error_text(err->table, sizeof err->table, table->name);
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return status;
}

static ddb_status check_key(const ddb__write *write, const ddb_value *key, ddb_error *err) {
  if (key->kind == DDB_INT && key->as.integer >= write->next->next_key &&
      !write->next->keys_used_up) {
    return DDB_OK; /* above every integer key that was ever there: saves a search in cold memory */
  }
  /* Unlike itself: NaN, or a tuple that holds one. It could never be found again. */
  if (key->kind == DDB_NULL || key->kind == DDB_MISSING || !ddb_value_equal(key, key)) {
    return key_error(write->table, DDB_ERR_KEY, "unusable value", key, err);
  }
  if (!ddb__value_hashable(key)) {
    return key_error(write->table, DDB_ERR_KEY, "unhashable value", key, err);
  }
  uint64_t seq;
  const ddb_record *record;
  if (ddb__write_find(write, key, &seq, &record)) {
    return key_error(write->table, DDB_ERR_DUPLICATE_KEY, "duplicate value", key, err);
  }
  return DDB_OK;
}

/* Automatic keys go on above every integer key that was ever there. */
static void raise_next_key(ddb__root *root, const ddb_value *key) {
  int64_t number = key->as.integer;
  if ((key->kind == DDB_INT || ddb__value_to_int(key, &number)) && number >= root->next_key) {
    root->keys_used_up = number == INT64_MAX;
    root->next_key = number == INT64_MAX ? number : number + 1;
  }
}

/* A majority vote over all inserts (Boyer and Moore): an odd key now and then changes nothing.
 * `count` rows from `seq` on, whose keys follow each other. */
static void vote_offset(ddb__root *root, const ddb_value *key, uint64_t seq, uint64_t count) {
  int64_t offset = key->kind == DDB_INT ? (int64_t)((uint64_t)key->as.integer - seq) : 0;
  if (key->kind == DDB_INT && offset == root->key_offset) {
    root->key_votes += count;
  } else if (root->key_votes >= count) {
    root->key_votes -= count;
  } else {
    root->key_offset = offset;
    root->key_votes = count - root->key_votes - 1;
  }
}

void ddb__write_fetch(const ddb__write *write, const ddb__item *item, size_t ahead) {
  ddb_value key = item->shape->auto_key
                      ? ddb_int((int64_t)((uint64_t)write->next->next_key + ahead))
                      : ddb__block_value(item->block, item->shape->key_index);
  if (!ddb__keyindex_omits(&write->table->keys, &key, write->next->rows.end + ahead)) {
    ddb__keyindex_fetch(&write->table->keys, ddb_value_hash(&key));
  }
}

bool ddb__write_find(const ddb__write *write, const ddb_value *key, uint64_t *seq,
                     const ddb_record **record) {
  *record = ddb__table_find(write->table, write->next, key, seq);
  return *record != NULL;
}

/* ---- Secondary indexes -------------------------------------------------------------------- */

/* A later step of the statement may still resolve it: ddb__write_verify decides. */
static ddb_status add_clash(ddb__write *write, uint64_t seq, ddb_error *err) {
  uint64_t *clashes = ddb__room(&ddb__heap_process, write->clashes, &write->clash_capacity,
                                write->clash_count + 1, sizeof *clashes, err);
  if (!clashes) {
    return DDB_ERR_NOMEM;
  }
  write->clashes = clashes;
  clashes[write->clash_count++] = seq;
  return DDB_OK;
}

static void forget_clashes(ddb__write *write) {
  ddb__free(&ddb__heap_process, write->clashes, write->clash_capacity * sizeof *write->clashes);
  write->clashes = NULL;
  write->clash_count = write->clash_capacity = 0;
}

void ddb__write_trust(ddb__write *write) {
  forget_clashes(write);
}

static ddb_status insert_entries(ddb__write *write, uint64_t moved, uint64_t seq,
                                 const ddb_record *record, ddb_error *err) {
  bool clash = false;
  ddb_status status = ddb__index_insert(write->next, write->edit, moved, seq, record, &clash, err);
  return status == DDB_OK && clash ? add_clash(write, seq, err) : status;
}

ddb_status ddb__write_verify(ddb__write *write, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < write->clash_count && status == DDB_OK; i++) {
    uint64_t seq = write->clashes[i];
    const ddb_record *record = ddb__rows_get(&write->next->rows, seq);
    for (uint32_t at = 0; record && at < write->next->index_count && status == DDB_OK; at++) {
      const ddb__index *index = &write->next->indexes[at];
      ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
      ddb__index_values(index->def, record, values);
      if (index->def->unique && ddb__index_has_twin(index, &write->next->rows, values, seq)) {
        status = ddb__index_duplicate(write->table, index->def, values, err);
      }
    }
  }
  forget_clashes(write);
  return status;
}

/* ---- Steps -------------------------------------------------------------------------------- */

static ddb_record *make_record(ddb__write *write, const ddb__item *item, ddb_error *err) {
  const ddb_shape *stored = item->shape->stored;
  ddb_record *record = ddb__record_new(&write->table->heap, stored, item->block);
  if (!record) {
    (void)ddb__fail_memory(err, item->block->size);
    return NULL;
  }
  record->birth = record->row_birth = write->next->version;
  if (item->shape->auto_key) {
    uint32_t at = item->shape->key_index;
    uint64_t payload = (uint64_t)write->next->next_key;
    size_t offset = sizeof(ddb__block) + ddb__align8(record->block.count) + 8 * (size_t)at;
    record->block.tags[at] = DDB_INT;
    memcpy((char *)record + offsetof(ddb_record, block) + offset, &payload, sizeof payload);
  }
  return record;
}

static ddb_status resolve_key(const ddb__write *write, const ddb__item *item, ddb_value *key,
                              ddb_error *err) {
  if (!item->shape->auto_key) {
    *key = ddb__block_value(item->block, item->shape->key_index);
    return check_key(write, key, err);
  }
  if (write->next->keys_used_up) {
    return ddb__fail(err, DDB_ERR_LIMIT, "table '%.*s': automatic keys are used up",
                     DDB__STR_ARG(write->table->name));
  }
  *key = ddb_int(write->next->next_key);
  return DDB_OK;
}

/* What leads to the row by its key, where that is not its place (K5). */
static ddb_status add_hint(ddb__write *write, const ddb_value *key, uint64_t seq, ddb_error *err) {
  ddb__keyindex *keys = &write->table->keys;
  if (seq == 0 || DDB__FAULT(PLACE_RULE_MOVES)) {
    ddb__keyindex_begin(keys, key);
  }
  write->hinted = !ddb__keyindex_omits(keys, key, seq);
  return write->hinted ? ddb__keyindex_insert(keys, write->edit, ddb_value_hash(key), seq, err)
                       : DDB_OK;
}

ddb_status ddb__write_insert(ddb__write *write, const ddb__item *item, ddb_value *key,
                             ddb_error *err) {
  ddb_value own;
  ddb_status status = resolve_key(write, item, &own, err);
  if (status != DDB_OK) {
    return status;
  }
  ddb_record *record = make_record(write, item, err);
  if (!record) {
    return DDB_ERR_NOMEM;
  }
  write->changed = true;
  uint64_t seq = write->next->rows.end;
  status = ddb__rows_append(&write->next->rows, write->edit, record, err);
  if (status != DDB_OK) {
    ddb__free(&write->table->heap, record, ddb__record_size(record));
    return status;
  }
  status = add_hint(write, &own, seq, err);
  if (status == DDB_OK) { /* W3 */
    status = insert_entries(write, UINT64_MAX, seq, record, err);
  }
  if (status == DDB_OK) {
    write->next->count++;
    raise_next_key(write->next, &own);
    vote_offset(write->next, &own, seq, 1);
    *key = own;
  }
  return status;
}

/* How many of the blocks have integer keys that follow each other at their rows' places, above all keys
 * that were ever there? Nothing has to be looked up for such, and no entry made. */
static size_t count_in_place(const ddb__write *write, const ddb_shape *shape,
                             const ddb__block *const *blocks, size_t count) {
  const ddb__root *root = write->next;
  if (root->rows.end == 0 || root->index_count > 0 || root->keys_used_up ||
      DDB__FAULT(PLACE_RULE_MOVES)) {
    return 0;
  }
  size_t i = 0;
  for (; i < count; i++) {
    ddb_value key = ddb__block_value(blocks[i], shape->key_index);
    if (!ddb__keyindex_omits(&write->table->keys, &key, root->rows.end + i) ||
        (key.as.integer < root->next_key && !DDB__FAULT(RUN_KEYS_UNCHECKED)) ||
        key.as.integer == INT64_MAX) {
      break;
    }
  }
  return i;
}

#define RUN_COUNT_MAX 64

static void free_made(ddb__write *write, ddb_record *const *records, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ddb__free(&write->table->heap, records[i], ddb__record_size(records[i]));
  }
}

/* Of count_in_place's blocks, at most RUN_COUNT_MAX. */
static ddb_status insert_in_place(ddb__write *write, const ddb_shape *shape,
                                  const ddb__block *const *blocks, size_t count, ddb_error *err) {
  ddb__root *root = write->next;
  ddb_record *records[RUN_COUNT_MAX];
  for (size_t made = 0; made < count; made++) {
    ddb__item item = {.shape = shape, .block = blocks[made]};
    records[made] = make_record(write, &item, err);
    if (!records[made]) {
      free_made(write, records, made);
      return DDB_ERR_NOMEM;
    }
  }
  uint64_t seq = root->rows.end;
  write->changed = true;
  write->hinted = false;
  ddb_status status = ddb__rows_append_run(&root->rows, write->edit, records, count, err);
  if (status != DDB_OK) { /* the abort finds those that are in */
    size_t done = (size_t)(root->rows.end - seq);
    free_made(write, records + done, count - done);
    return status;
  }
  ddb_value first = ddb__block_value(blocks[0], shape->key_index);
  root->count += count;
  root->next_key = first.as.integer + (int64_t)count;
  vote_offset(root, &first, seq, count);
  return DDB_OK;
}

ddb_status ddb__write_insert_run(ddb__write *write, const ddb_shape *shape,
                                 const ddb__block *const *blocks, size_t count, ddb_error *err) {
  assert(!shape->auto_key && shape->input_count == shape->count);
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && status == DDB_OK;) {
    size_t most = count - i < RUN_COUNT_MAX ? count - i : RUN_COUNT_MAX;
    size_t in_place = count_in_place(write, shape, blocks + i, most);
    if (in_place > 0) {
      status = insert_in_place(write, shape, blocks + i, in_place, err);
      i += in_place;
      continue;
    }
    if (write->hinted && i + DDB__WRITE_AHEAD < count) {
      ddb__item later = {.shape = shape, .block = blocks[i + DDB__WRITE_AHEAD]};
      ddb__write_fetch(write, &later, DDB__WRITE_AHEAD);
    }
    ddb__item item = {.shape = shape, .block = blocks[i++]};
    ddb_value key;
    status = ddb__write_insert(write, &item, &key, err);
  }
  return status;
}

/* Puts `new`, which is taken, in the place of `record`. */
static ddb_status replace(ddb__write *write, uint64_t seq, const ddb_record *record,
                          ddb_record *new, ddb_error *err) {
  new->birth = write->next->version;
  new->row_birth = record->row_birth;
  write->changed = true;
  uint64_t moved = ddb__index_moved(write->next, record, new);
  ddb_status status = ddb__index_remove(write->next, write->edit, moved, seq, record, err);
  if (status == DDB_OK) {
    status = ddb__rows_set(&write->next->rows, write->edit, seq, new, err);
  }
  if (status != DDB_OK) {
    ddb__free(&write->table->heap, new, ddb__record_size(new));
    return status;
  }
  status = insert_entries(write, moved, seq, new, err);
  if (status == DDB_OK) {
    status = ddb__edit_reserve(write->edit, 1, err);
  }
  if (status == DDB_OK || record->birth == write->next->version) {
    ddb__edit_drop(write->edit, (void *)(uintptr_t)record, record->birth, ddb__record_size(record));
  }
  return status;
}

ddb_status ddb__write_update(ddb__write *write, uint64_t seq, const ddb_record *record,
                             const ddb_shape *changes_shape, const ddb__block *changes,
                             ddb_error *err) {
  if (!ddb__record_merge_changes(record, changes_shape, changes)) {
    return DDB_OK;
  }
  const ddb_shape *merged;
  ddb_status status =
      ddb__shapes_merge(write->table->shapes, record->shape, changes_shape, &merged, err);
  if (status != DDB_OK) {
    return status;
  }
  bool too_large = false;
  ddb_record *new =
      ddb__record_merge(&write->table->heap, record, changes_shape, changes, merged, &too_large);
  if (!new) {
    return too_large ? ddb__fail(err, DDB_ERR_LIMIT, "table '%.*s': a record grew too large",
                                 DDB__STR_ARG(write->table->name))
                     : ddb__fail_memory(err, ddb__record_size(record));
  }
  return replace(write, seq, record, new, err);
}

ddb_status ddb__write_put(ddb__write *write, const ddb__item *item, ddb_error *err) {
  ddb_value key = ddb__block_value(item->block, item->shape->key_index);
  uint64_t seq;
  const ddb_record *record;
  if (!ddb__value_hashable(&key) || !ddb__write_find(write, &key, &seq, &record)) {
    return ddb__write_insert(write, item, &key, err);
  }
  return ddb__write_replace(write, seq, record, item->shape->stored, item->block, err);
}

ddb_status ddb__write_replace(ddb__write *write, uint64_t seq, const ddb_record *record,
                              const ddb_shape *stored, const ddb__block *block, ddb_error *err) {
  assert(stored->key_index != DDB__NO_FIELD);
  ddb_record *new = ddb__record_new(&write->table->heap, stored, block);
  return new ? replace(write, seq, record, new, err) : ddb__fail_memory(err, block->size);
}

/* Of a row that this statement inserted, nobody has seen anything; of an older one, readers may
 * need record and hint. Room for two was reserved. */
static void drop_row(ddb__write *write, uint64_t seq, const ddb_record *record) {
  ddb_value key = ddb__record_key(record);
  if (ddb__keyindex_omits(&write->table->keys, &key, seq)) {
    /* there is no hint */
  } else if (record->row_birth == write->next->version) {
    ddb__keyindex_remove(&write->table->keys, ddb_value_hash(&key), seq);
  } else {
    uint64_t birth = DDB__FAULT(HINT_RECORD_BIRTH) ? record->birth : record->row_birth;
    ddb__edit_retire_hint(write->edit, ddb_value_hash(&key), seq, birth);
  }
  ddb__edit_drop(write->edit, (void *)(uintptr_t)record, record->birth, ddb__record_size(record));
}

ddb_status ddb__write_delete(ddb__write *write, uint64_t seq, const ddb_record *record,
                             ddb_error *err) {
  write->changed = true;
  ddb_status status = ddb__index_remove(write->next, write->edit, UINT64_MAX, seq, record, err);
  if (status == DDB_OK) {
    status = ddb__rows_set(&write->next->rows, write->edit, seq, NULL, err);
  }
  if (status != DDB_OK) {
    return status;
  }
  status = ddb__edit_reserve(write->edit, 2, err);
  if (status != DDB_OK) {
    if (record->birth == write->next->version) { /* an earlier step's; the rows have it no more */
      ddb__edit_drop(write->edit, (void *)(uintptr_t)record, record->birth,
                     ddb__record_size(record));
    }
    return status;
  }
  ddb_value key = ddb__record_key(record);
  if (DDB__FAULT(KEY_REUSED) && key.kind == DDB_INT &&
      key.as.integer + 1 == write->next->next_key) {
    write->next->next_key--;
  }
  drop_row(write, seq, record);
  write->next->count--;
  return DDB_OK;
}

/* ---- Ends --------------------------------------------------------------------------------- */

/* W2: the hints of rows that the statement appended are the only thing to undo in shared memory. */
static void remove_hints(ddb__write *write) {
  const ddb__rows *rows = &write->next->rows;
  for (uint64_t seq = write->base->rows.end; seq < rows->end; seq++) {
    const ddb_record *record = ddb__rows_get(rows, seq);
    if (record) {
      ddb_value key = ddb__record_key(record);
      if (!ddb__keyindex_omits(&write->table->keys, &key, seq)) {
        ddb__keyindex_remove(&write->table->keys, ddb_value_hash(&key), seq);
      }
    }
  }
}

static void discard_next(ddb__write *write) {
  ddb__heap *heap = &write->table->heap;
  ddb__root *next = write->next;
  ddb__rows_free_born(&next->rows, heap, next->version, write->base->rows.end);
  for (uint32_t i = 0; i < next->index_count; i++) {
    ddb__tree_free_born(&next->indexes[i].tree, heap, next->version);
  }
}

void ddb__write_abort(ddb__write *write) {
  ddb_table *table = write->table;
  forget_clashes(write);
  if (write->changed && DDB__FAULT(ABORT_PUBLISHES)) {
    ddb_status ignored = ddb__write_commit(write, NULL);
    (void)ignored;
    return;
  }
  if (write->changed) {
    remove_hints(write);
    discard_next(write);
  }
  ddb__edit_keep_unversioned(write->edit);
  size_t replaced = (size_t)write->edit->retired.count;
  ddb__table_count_old(table, write->edit->retired_bytes);
  ddb__edit_flush(write->edit, write->next->version, &table->pins.queue);
  ddb__edit_reset(write->edit, 0);
  ddb__free(&table->heap, write->next, ddb__root_size(write->next->index_count));
  if (replaced > 0 || table->pins.queue.count >= DDB__RETIRED_CHUNK_ITEMS) {
    ddb__pins_reclaim(table, (size_t)2 * DDB__RETIRED_CHUNK_ITEMS + 2 * replaced);
  }
  ddb__rwlock_leave_write(table->lock);
}

static ddb_status tell_journal(ddb__write *write, ddb_error *err) {
  ddb_table *table = write->table;
  ddb__journal *journal = table->db->journal;
  if (!journal || table->hidden) {
    return DDB_OK;
  }
  return journal->calls->statement(journal, table, write->base, write->next, &table->entry, err);
}

ddb_status ddb__write_commit(ddb__write *write, ddb_error *err) {
  if (!write->changed) {
    ddb__write_abort(write);
    return DDB_OK;
  }
  assert(write->clash_count == 0 && "W5: verified");
  ddb_table *table = write->table;
  ddb__journal *journal = table->db->journal;
  ddb_status status = tell_journal(write, err);
  if (status != DDB_OK) {
    ddb__write_abort(write);
    return status;
  }
  DDB__POINT(EDITED);
  ddb__memo_pool_retire(&table->memos, write->edit); /* before publishing: M3 */
  uint64_t commit = ddb__publish(table, write->next);
  DDB__POINT(PUBLISHED);
  ddb__publish_retire(table, write->base, write->edit);
  ddb__rwlock_leave_write(table->lock);
  DDB__POINT(UNLOCKED);
  return ddb__journal_wait(journal, commit, err);
}

ddb_status ddb__write_finish(ddb__write *write, ddb_status status, ddb_error *err) {
  status = status == DDB_OK ? ddb__write_verify(write, err) : status;
  if (status == DDB_OK) {
    return ddb__write_commit(write, err);
  }
  ddb__write_abort(write);
  return status;
}
