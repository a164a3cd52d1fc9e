/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - one commit number stands for one instant of all tables.
 *
 *   S1  Registration and publication exclude each other (db->latch). A root that a registered number
 *       can see is either some table's `visible`, or on that table's `kept` list (publish.c, U3).
 *   S2  For a number s a table shows its newest root without an owner whose commit is <= s.
 * Cost: opening is one latch and one allocation, whatever the number of tables; closing looks at
 * every table once.
 */
#include <assert.h>

#include "store/db.h"

static ddb_snapshot *snapshot_new(ddb_db *db, ddb_error *err) {
  ddb_snapshot *snapshot = ddb__alloc_zero(&ddb__heap_process, sizeof *snapshot);
  if (!snapshot) {
    (void)ddb__fail_memory(err, sizeof *snapshot);
    return NULL;
  }
  snapshot->db = ddb_db_acquire(db);
  return snapshot;
}

/* Under the latch. */
static void register_locked(ddb_db *db, ddb_snapshot *snapshot) {
  snapshot->commit = db->commit;
  snapshot->previous = db->newest;
  *(db->newest ? &db->newest->next : &db->oldest) = snapshot;
  db->newest = snapshot;
}

ddb_status ddb_snapshot_open(ddb_db *db, ddb_snapshot **out, ddb_error *err) {
  ddb_snapshot *snapshot = snapshot_new(db, err);
  if (!snapshot) {
    return DDB_ERR_NOMEM;
  }
  pthread_mutex_lock(&db->latch);
  register_locked(db, snapshot);
  pthread_mutex_unlock(&db->latch);
  *out = snapshot;
  return DDB_OK;
}

ddb_status ddb__db_journal_take(ddb_db *db, ddb__entry **entries, uint64_t *commit,
                                ddb_snapshot **snapshot, ddb_error *err) {
  ddb_snapshot *fresh = snapshot ? snapshot_new(db, err) : NULL;
  if (snapshot && !fresh) {
    return DDB_ERR_NOMEM;
  }
  pthread_mutex_lock(&db->latch);
  *entries = db->journal->head;
  *commit = db->commit;
  db->journal->head = db->journal->tail = NULL;
  if (fresh) {
    register_locked(db, fresh);
    *snapshot = fresh;
  }
  pthread_mutex_unlock(&db->latch);
  return DDB_OK;
}

void ddb_snapshot_close(ddb_snapshot *snapshot) {
  if (!snapshot) {
    return;
  }
  ddb_db *db = snapshot->db;
  pthread_mutex_lock(&db->latch);
  *(snapshot->previous ? &snapshot->previous->next : &db->oldest) = snapshot->next;
  *(snapshot->next ? &snapshot->next->previous : &db->newest) = snapshot->previous;
  pthread_mutex_unlock(&db->latch);
  ddb__free(&ddb__heap_process, snapshot, sizeof *snapshot);
  ddb__db_collect(db);
  ddb_db_release(db);
}

uint64_t ddb_snapshot_commit(const ddb_snapshot *snapshot) {
  return snapshot->commit;
}

const ddb__root *ddb__snapshot_root(const ddb_snapshot *snapshot, const ddb_table *table) {
  const ddb__root *root = NULL;
  pthread_mutex_lock(&snapshot->db->latch);
  if (table->visible->commit <= snapshot->commit) {
    root = table->visible;
  } else {
    for (const ddb__kept *kept = table->kept; kept && !root; kept = kept->next) {
      if (kept->root->commit <= snapshot->commit && snapshot->commit < kept->superseded) {
        root = kept->root;
      }
    }
  }
  pthread_mutex_unlock(&snapshot->db->latch);
  return root && !root->dropped ? root : NULL;
}

ddb_status ddb_snapshot_tables(ddb_snapshot *snapshot, ddb_table ***out, size_t *count,
                               ddb_error *err) {
  return ddb__db_collect_tables(snapshot->db, snapshot, out, count, err);
}

ddb_status ddb_snapshot_view(ddb_snapshot *snapshot, ddb_table *table, ddb_view *view,
                             ddb_error *err) {
  if (table->db != snapshot->db) {
    return ddb__fail(err, DDB_ERR_INVALID, "table '%.*s' is of another database",
                     DDB__STR_ARG(table->name));
  }
  const ddb__root *root = ddb__snapshot_root(snapshot, table);
  if (!root) {
    return ddb__fail(err, DDB_ERR_TABLE_NOT_FOUND, "table '%.*s' was not there at the snapshot",
                     DDB__STR_ARG(table->name));
  }
  /* The snapshot keeps what the root reaches; the key index, which it does not, needs the pin. */
  ddb_view opened = {.root = root, .table = table};
  const ddb__root *newest;
  ddb_status status = ddb__pin_view(table, &opened, &newest, err);
  if (status == DDB_OK) {
    *view = opened;
  }
  return status;
}

/* ---- Forgetting --------------------------------------------------------------------------- */

static bool seen_by_any(const ddb_db *db, uint64_t from, uint64_t superseded) {
  for (const ddb_snapshot *snapshot = db->oldest; snapshot; snapshot = snapshot->next) {
    if (snapshot->commit >= superseded) {
      return false;
    }
    if (snapshot->commit >= from) {
      return true;
    }
  }
  return false;
}

/* Takes off the table's list what nobody can see any more. Under the latch. */
static ddb__kept *unneeded_locked(ddb_table *table) {
  ddb__kept *unneeded = NULL;
  for (ddb__kept **link = &table->kept; *link;) {
    ddb__kept *kept = *link;
    if (seen_by_any(table->db, kept->root->commit, kept->superseded)) {
      link = &kept->next;
    } else {
      *link = kept->next;
      kept->next = unneeded;
      unneeded = kept;
    }
  }
  return unneeded;
}

static void forget(ddb_table *table, ddb__kept *kept) {
  while (kept) {
    ddb__kept *next = kept->next;
    ddb__unpin_long(table, kept->pin);
    ddb__free(&table->db->heap, kept, sizeof *kept);
    kept = next;
  }
}

/* One table with something to forget, referenced; NULL: none. */
static ddb_table *next_to_collect(ddb_db *db, size_t *position, ddb__kept **unneeded) {
  ddb_table *found = NULL;
  pthread_mutex_lock(&db->catalogue);
  while (!found && *position < db->table_count) {
    ddb_table *table = db->tables[(*position)++];
    pthread_mutex_lock(&db->latch);
    *unneeded = unneeded_locked(table);
    bool unseen =
        table->dropped_commit && !(db->oldest && db->oldest->commit < table->dropped_commit);
    pthread_mutex_unlock(&db->latch);
    if (unseen) { /* no snapshot sees it: off the list */
      --*position;
      db->table_count--;
      memmove(&db->tables[*position], &db->tables[*position + 1],
              (db->table_count - *position) * sizeof(ddb_table *));
      table->listed = false;
      found = table;
    } else if (*unneeded) {
      found = table;
    }
    if (found) {
      ddb__table_reference_locked(found);
    }
  }
  pthread_mutex_unlock(&db->catalogue);
  return found;
}

void ddb__db_collect(ddb_db *db) {
  if (db->fork_generation != ddb__fork_generation()) {
    return;
  }
  size_t position = 0;
  ddb__kept *unneeded = NULL;
  for (ddb_table *table; (table = next_to_collect(db, &position, &unneeded)) != NULL;) {
    forget(table, unneeded);
    unneeded = NULL;
    ddb_table_release(table);
  }
}
