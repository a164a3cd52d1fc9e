/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c - the read path, the only one: pin, read, unpin.
 *
 * Cost of open and close: two stores and two loads to the thread's own slot and the table's first
 * line; no lock, no allocation (a nested view: a mutex and an allocation).
 */
#include "store/table_private.h"

/* Is the root hidden from this thread by another one's explicit write lock? */
static bool hidden(const ddb_table *table, const ddb__root *root) {
  (void)table;
  return root->owner && root->owner != ddb__thread_self();
}

#ifdef DDB_TESTING
/* The planted form of hidden(): a flag, looked at before the root is loaded. */
static bool fault_hidden(ddb_table *table) {
  const ddb__thread *owner = atomic_load(&table->fault_owner);
  return DDB__FAULT(OWNER_OUTSIDE_ROOT) && owner && owner != ddb__thread_self();
}
#else
static bool fault_hidden(ddb_table *table) {
  (void)table;
  return false;
}
#endif

/* Waits until no other thread has an explicit write lock, and pins before it can take one again. */
static ddb_status pin_behind_owner(ddb_table *table, ddb_view *view, const ddb__root **root,
                                   ddb_error *err) {
  ddb_status status = ddb_rwlock_acquire_read(table->lock, DDB_WAIT_FOREVER, err);
  if (status != DDB_OK) {
    return status;
  }
  status = ddb__pin_view(table, view, root, err);
  (void)ddb_rwlock_release_read(table->lock, NULL);
  return status;
}

ddb_status ddb_view_open(ddb_table *table, ddb_view *view, ddb_error *err) {
  ddb_view opened = {.table = table};
  const ddb__root *root = NULL;
  ddb_status status = DDB_OK;
  bool wait = fault_hidden(table);
  if (!wait) {
    status = ddb__pin_view(table, &opened, &root, err);
    if (status != DDB_OK) {
      return status;
    }
    wait = hidden(table, root);
    if (wait && ddb__table_forked(table)) {
      root = table->visible; /* its owner is in the parent; nobody writes here */
      wait = false;
    } else if (wait) {
      ddb__unpin_view(&opened);
    }
  }
  if (wait) {
    status = pin_behind_owner(table, &opened, &root, err);
    if (status != DDB_OK) {
      return status;
    }
  }
  if (root->dropped) {
    ddb__unpin_view(&opened);
    return ddb__table_dropped(table, err);
  }
  opened.root = root;
  *view = opened;
  return DDB_OK;
}

void ddb_view_close(ddb_view *view) {
  ddb__unpin_view(view);
  view->root = NULL;
}

uint64_t ddb_view_count(const ddb_view *view) {
  return ddb__view_root(view)->count;
}

/* The root's row at `seq` if it has this key. */
static const ddb_record *row_with_key(const ddb__root *root, uint64_t seq, const ddb_value *key) {
  const ddb_record *record = ddb__rows_get(&root->rows, seq);
  if (!record) {
    return NULL;
  }
  __builtin_prefetch((const char *)record + 64); /* its key or what is read next may be there */
  ddb_value own = ddb__record_key(record);
  return ddb_value_equal(&own, key) ? record : NULL;
}

const ddb_record *ddb__table_find(const ddb_table *table, const ddb__root *root,
                                  const ddb_value *key, uint64_t *seq) {
  uint64_t place = UINT64_MAX;
  if (ddb__keyindex_place(&table->keys, key, &place)) {
    *seq = place;
    const ddb_record *record = row_with_key(root, place, key);
    if (record) {
      return record;
    }
  }
  if (ddb__root_guess(root, key, seq) && *seq != place && !DDB__FAULT(HINT_RECORD_BIRTH)) {
    const ddb_record *record = row_with_key(root, *seq, key);
    if (record) {
      return record;
    }
  }
  ddb__key_probe probe = ddb__keyindex_probe(&table->keys, ddb_value_hash(key));
  uint64_t candidate;
  while (ddb__keyindex_next(&probe, &candidate)) {
    const ddb_record *record = row_with_key(root, candidate, key);
    if (record) {
      *seq = candidate;
      return record;
    }
  }
  return NULL;
}

void ddb__table_expect(ddb_table *table, const ddb_value *key, bool again) {
  ddb__thread *thread = ddb__thread_self();
  if (!thread || atomic_load_explicit(&thread->pin_word, memory_order_relaxed) != 0 ||
      ddb__table_forked(table)) {
    return;
  }
  const ddb__root *root = ddb__pin_short(table, thread);
  uint64_t seq;
  if (ddb__keyindex_place(&table->keys, key, &seq) || ddb__root_guess(root, key, &seq)) {
    ddb__rows_fetch(&root->rows, seq, again);
  }
  ddb__unpin_short(thread);
}

ddb_status ddb_view_get(const ddb_view *view, const ddb_value *key, const ddb_record **out,
                        ddb_error *err) {
  if (!ddb__value_hashable(key)) {
    return ddb__fail(err, DDB_ERR_KEY, "a %s cannot be a primary key",
                     ddb_kind_name((ddb_kind)key->kind));
  }
  uint64_t seq;
  *out = ddb__table_find(view->table, ddb__view_root(view), key, &seq);
  return DDB_OK;
}

const ddb_record *ddb_view_next(const ddb_view *view, uint64_t *position) {
  const ddb__rows *rows = &ddb__view_root(view)->rows;
  while (*position < rows->end) {
    uint64_t count;
    const ddb_record *const *run = ddb__rows_run(rows, *position, &count);
    for (uint64_t i = 0; run && i < count; i++) {
      if (run[i]) {
        *position += i + 1;
        return run[i];
      }
    }
    *position += count;
  }
  return NULL;
}

size_t ddb_view_index_count(const ddb_view *view) {
  return ddb__view_root(view)->index_count;
}

void ddb_view_index_info(const ddb_view *view, size_t index, ddb_index_info *out) {
  const ddb__index *entry = &ddb__view_root(view)->indexes[index];
  *out = (ddb_index_info){.kind = entry->def->kind,
                          .unique = entry->def->unique,
                          .field_count = entry->def->field_count,
                          .entry_count = entry->tree.count};
}

ddb_str ddb_view_index_field(const ddb_view *view, size_t index, size_t field) {
  return ddb_view_index_path(view, index, field).field;
}

ddb_path ddb_view_index_path(const ddb_view *view, size_t index, size_t field) {
  return ddb__index_path(view->table, ddb__view_root(view)->indexes[index].def, field);
}

int64_t ddb_view_next_key(const ddb_view *view) {
  return ddb__view_root(view)->next_key;
}
