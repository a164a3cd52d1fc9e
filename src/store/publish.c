/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c - the one place where versions become visible, and explicit write locks.
 *
 *   commit n:  current --> root n        (owner NULL: visible to all)
 *   explicit write lock by T:
 *     acquired:  current --> root n+1 owned by T, equal to n; visible stays n, with a long pin
 *     statements of T publish n+2, n+3, ... owned by T
 *     releasing: current, visible --> root m, equal to the last, without an owner
 *   Readers that load a root owned by another thread wait for the lock; snapshots use `visible`.
 *   A drop is visible to all at once, also under an explicit lock: nothing is left to hide, and the
 *   name is free from that commit on. The end of such a lock has nothing to publish.
 *
 *   U1  current and visible change under the database's latch only, with the commit number.
 *   U2  Under the latch: no allocation, no call out but the table's pins mutex.
 *   U3  A visible root that is superseded while a registered snapshot can see it is kept, with a long
 *       pin of its version, before the latch is released; so it is before anything that it reaches
 *       can be reclaimed.
 */
#include <assert.h>

#include "store/table_private.h"

/* How much is reclaimed in passing: below the first, items wait for company. */
#ifdef DDB_TESTING
#define RECLAIM_COUNT_MIN 1
#else
#define RECLAIM_COUNT_MIN 64
#endif
/* Unless one statement left so much. */
#define RECLAIM_SIZE_MIN (64 * 1024)

ddb_status ddb__publish_reserve(ddb_table *table, ddb_error *err) {
  if (!table->spare_kept) {
    table->spare_kept = ddb__alloc(&table->db->heap, sizeof *table->spare_kept);
  }
  if (!table->spare_pin) {
    table->spare_pin = ddb__alloc(&table->db->heap, sizeof *table->spare_pin);
  }
  if (!table->spare_kept || !table->spare_pin) {
    return ddb__fail_memory(err, sizeof *table->spare_pin);
  }
  return DDB_OK;
}

static void keep_visible(ddb_table *table, uint64_t superseded) {
  ddb__kept *kept = table->spare_kept;
  table->spare_kept = NULL;
  kept->root = table->visible;
  kept->superseded = superseded;
  kept->pin = ddb__pins_add(&table->pins, table->visible->version, &table->spare_pin);
  kept->next = table->kept;
  table->kept = kept;
}

/* True: the journal got something. */
static bool publish_locked(ddb_table *table, ddb__root *root, uint64_t commit) {
  ddb__entry *entry = root->owner ? NULL : table->entry; /* J3 */
  root->commit = commit;
  if (entry) {
    table->entry = NULL;
    ddb__journal_append_locked(table->db->journal, entry, commit);
  }
  if (!root->owner) {
    const ddb_snapshot *newest = table->db->newest;
    bool seen = newest && newest->commit >= table->visible->commit && !table->hidden;
    if (seen && !DDB__FAULT(SNAPSHOT_NOT_KEPT)) {
      keep_visible(table, commit); /* U3 */
    }
    table->visible = root;
    if (root->dropped) {
      table->dropped_commit = commit;
      atomic_store_explicit(&table->gone, true, memory_order_release);
    }
  }
  /* Pairs with the readers' load in ddb__pin_short (P1); the counter follows the root. */
  atomic_store_explicit(&table->current, root, memory_order_seq_cst);
  atomic_store_explicit(&table->version, root->version, memory_order_release);
  return entry != NULL;
}

uint64_t ddb__publish(ddb_table *table, ddb__root *root) {
  ddb_db *db = table->db;
  pthread_mutex_lock(&db->latch);
  uint64_t commit = ++db->commit;
  bool written = publish_locked(table, root, commit);
  pthread_mutex_unlock(&db->latch);
  return written ? commit : 0;
}

void ddb__publish_retire(ddb_table *table, const ddb__root *old, ddb__edit *edit) {
  size_t count = (size_t)edit->retired.count;
  bool large = edit->retired_bytes >= RECLAIM_SIZE_MIN;
  ddb__edit_retire(edit, (void *)(uintptr_t)old, old->version, ddb__root_size(old->index_count));
  ddb__table_count_old(table, edit->retired_bytes);
  ddb__edit_flush(edit, old->version + 1, &table->pins.queue);
  ddb__edit_reset(edit, 0);
  if (large || table->pins.queue.count >= RECLAIM_COUNT_MIN ||
      atomic_load_explicit(&table->pins.any_released, memory_order_relaxed)) {
    ddb__pins_reclaim(table, (size_t)2 * DDB__RETIRED_CHUNK_ITEMS + 2 * count);
  }
}

static ddb__root *root_copy(ddb_table *table, const ddb__root *root) {
  size_t size = ddb__root_size(root->index_count);
  ddb__root *copy = ddb__alloc(&table->heap, size);
  if (copy) {
    memcpy(copy, root, size);
  }
  return copy;
}

ddb_status ddb__publish_reserve_release(ddb_table *table, uint32_t index_count, ddb_error *err) {
  size_t size = ddb__root_size(index_count);
  ddb__root *root = ddb__alloc(&table->heap, size);
  if (!root) {
    return ddb__fail_memory(err, size);
  }
  root->index_count = index_count;
  ddb__publish_free_release(table);
  table->release_root = root;
  return DDB_OK;
}

void ddb__publish_free_release(ddb_table *table) {
  if (table->release_root) {
    ddb__free(&table->heap, table->release_root, ddb__root_size(table->release_root->index_count));
    table->release_root = NULL;
  }
}

ddb_status ddb__publish_acquired(void *context, ddb_error *err) {
  ddb_table *table = context;
  const ddb__root *base = atomic_load_explicit(&table->current, memory_order_relaxed);
  if (base->dropped) {
    return ddb__table_dropped(table, err);
  }
  ddb_status status = ddb__publish_reserve(table, err);
  if (status == DDB_OK) {
    status = ddb__edit_reserve(&table->edit, 0, err);
  }
  if (status == DDB_OK) {
    status = ddb__edit_reserve(&table->release_edit, 0, err);
  }
  if (status == DDB_OK) {
    status = ddb__publish_reserve_release(table, base->index_count, err);
  }
  ddb__root *owned = status == DDB_OK ? root_copy(table, base) : NULL;
  ddb__long_pin *fresh = owned ? ddb__alloc(&table->db->heap, sizeof *fresh) : NULL;
  if (!fresh) {
    ddb__publish_free_release(table);
    ddb__free(&table->heap, owned, owned ? ddb__root_size(owned->index_count) : 0);
    return status == DDB_OK ? ddb__fail_memory(err, sizeof *owned) : status;
  }
  owned->version = base->version + 1;
  owned->owner = ddb__thread_self();
#ifdef DDB_TESTING
  if (DDB__FAULT(OWNER_OUTSIDE_ROOT)) {
    atomic_store(&table->fault_owner, owned->owner);
    owned->owner = NULL;
  }
#endif
  table->group_published = false;
  table->visible_pin = ddb__pins_add(&table->pins, base->version, &fresh);
  ddb__free(&table->db->heap, fresh, sizeof *fresh);
  (void)ddb__publish(table, owned); /* nobody sees it: nothing for the journal */
  ddb__publish_retire(table, base, &table->edit);
  return DDB_OK;
}

/* The root that ends the lock: the last one, visible to all; none when the table was dropped. */
static void fill_release_root(ddb_table *table) {
  const ddb__root *last = atomic_load_explicit(&table->current, memory_order_relaxed);
  table->release_last = NULL;
  if (last->dropped) {
    ddb__publish_free_release(table);
    return;
  }
  ddb__root *root = table->release_root;
  assert(root->index_count == last->index_count);
  memcpy(root, last, ddb__root_size(last->index_count));
  root->version = last->version + 1;
  root->owner = NULL;
  table->release_last = last;
}

static void finish_release(ddb_table *table) {
  ddb__long_pin *pin = table->visible_pin;
  table->visible_pin = NULL;
#ifdef DDB_TESTING
  atomic_store(&table->fault_owner, NULL);
#endif
  if (table->release_last) {
    ddb__publish_retire(table, table->release_last, &table->release_edit);
  }
  ddb__unpin_long(table, pin);
}

uint64_t ddb__publish_release_group(ddb_table *const *tables, size_t count) {
  ddb_db *db = tables[0]->db;
  for (size_t i = 0; i < count; i++) {
    tables[i]->group_published = ddb__rwlock_exclusive_depth(tables[i]->lock) == 1;
    if (tables[i]->group_published) { /* else an outer lock goes on */
      fill_release_root(tables[i]);
    }
  }
  bool written = false;
  pthread_mutex_lock(&db->latch);
  uint64_t commit = ++db->commit;
  for (size_t i = 0; i < count; i++) {
    if (tables[i]->group_published && tables[i]->release_last) {
      assert(tables[i]->db == db);
      ddb__root *root = tables[i]->release_root;
      assert(root && "reserved when the lock was acquired");
      tables[i]->release_root = NULL;
      written |= publish_locked(tables[i], root, commit);
    }
  }
  pthread_mutex_unlock(&db->latch);
  for (size_t i = 0; i < count; i++) {
    if (tables[i]->group_published) {
      finish_release(tables[i]);
    }
  }
  return written ? commit : 0;
}

uint64_t ddb__publish_releasing(void *context) {
  ddb_table *table = context;
  uint64_t commit = table->group_published ? 0 : ddb__publish_release_group(&table, 1);
  table->group_published = false;
  return commit;
}

ddb_status ddb__publish_released(void *context, uint64_t commit, ddb_error *err) {
  const ddb_table *table = context;
  return ddb__journal_wait(table->db->journal, commit, err);
}
