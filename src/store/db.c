/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - databases and their catalogue of tables. See db.h for references.
 *
 * Creation and drop are commits like any other: a table's first visible root carries the number at
 * which it appears, its last one the mark that it was dropped, so that snapshots see neither too
 * early nor too late. A dropped table stays listed while a snapshot may see it.
 */
#include "store/db.h"

#include <assert.h>

#define NEAR_COUNT_MAX 256u /* tables among which a name is looked for that was meant */

/* All databases of the process, for fork: the handlers take every catalogue and latch, so that the
 * child finds them free and what they guard whole. */
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static ddb_db *registry_first;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
  pthread_mutex_lock(&registry_mutex);
  for (ddb_db *db = registry_first; db; db = db->registry_next) {
    pthread_mutex_lock(&db->catalogue);
    pthread_mutex_lock(&db->latch);
  }
}

static void after_fork(void) {
  for (ddb_db *db = registry_first; db; db = db->registry_next) {
    pthread_mutex_unlock(&db->latch);
    pthread_mutex_unlock(&db->catalogue);
  }
  pthread_mutex_unlock(&registry_mutex);
}

/* The child lets go of the parent's files, so that locks on them end with the parent. */
static void after_fork_in_child(void) {
  for (ddb_db *db = registry_first; db; db = db->registry_next) {
    if (db->journal) {
      db->journal->calls->forked(db->journal);
    }
  }
  after_fork();
}

static void install_fork_handlers(void) {
  (void)pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static void registry_add(ddb_db *db) {
  (void)pthread_once(&fork_once, install_fork_handlers);
  pthread_mutex_lock(&registry_mutex);
  db->registry_next = registry_first;
  if (registry_first) {
    registry_first->registry_previous = db;
  }
  registry_first = db;
  pthread_mutex_unlock(&registry_mutex);
}

static void registry_remove(ddb_db *db) {
  pthread_mutex_lock(&registry_mutex);
  *(db->registry_previous ? &db->registry_previous->registry_next : &registry_first) =
      db->registry_next;
  if (db->registry_next) {
    db->registry_next->registry_previous = db->registry_previous;
  }
  pthread_mutex_unlock(&registry_mutex);
}

ddb_status ddb_db_new(ddb_db **out, ddb_error *err) {
  ddb_db *db = ddb__alloc_zero(&ddb__heap_process, sizeof *db);
  if (!db) {
    return ddb__fail_memory(err, sizeof *db);
  }
  atomic_init(&db->references, 1);
  db->fork_generation = ddb__fork_generation();
  pthread_mutex_init(&db->catalogue, NULL);
  pthread_mutex_init(&db->latch, NULL);
  registry_add(db);
  *out = db;
  return DDB_OK;
}

ddb_db *ddb_db_acquire(ddb_db *db) {
  atomic_fetch_add_explicit(&db->references, 1, memory_order_relaxed);
  return db;
}

static void db_free(ddb_db *db) {
  assert(!db->oldest && "a snapshot holds a reference");
  ddb__journal *journal = db->journal;
  registry_remove(db);
  for (size_t i = 0; i < db->table_count; i++) {
    ddb__table_free(db->tables[i]);
  }
  ddb__free(&db->heap, db->tables, db->table_capacity * sizeof *db->tables);
  if (journal) {
    journal->calls->release(journal);
  }
  pthread_mutex_destroy(&db->latch);
  pthread_mutex_destroy(&db->catalogue);
  ddb__free(&ddb__heap_process, db, sizeof *db);
}

bool ddb__db_try_acquire(ddb_db *db) {
  uint64_t seen = atomic_load_explicit(&db->references, memory_order_relaxed);
  while (seen > 0) {
    if (atomic_compare_exchange_weak_explicit(&db->references, &seen, seen + 1,
                                              memory_order_relaxed, memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

/* ---- The journal -------------------------------------------------------------------------- */

void ddb__db_journal_set(ddb_db *db, ddb__journal *journal) {
  db->journal = journal;
}

bool ddb_db_is_kept(const ddb_db *db) {
  return db->journal != NULL;
}

ddb__journal *ddb__db_journal(const ddb_db *db) {
  return db->journal;
}

bool ddb__db_forked(const ddb_db *db) {
  return db->fork_generation != ddb__fork_generation();
}

uint64_t ddb__db_journal_commit(ddb_db *db) {
  pthread_mutex_lock(&db->latch);
  uint64_t commit = db->commit;
  pthread_mutex_unlock(&db->latch);
  return commit;
}

void ddb_db_release(ddb_db *db) {
  if (!db) {
    return;
  }
  /* acq_rel: every use by other holders comes before the freeing. */
  uint64_t before = atomic_fetch_sub_explicit(&db->references, 1, memory_order_acq_rel);
  if (before == 1 && db->fork_generation == ddb__fork_generation()) {
    db_free(db);
  }
}

void ddb_db_memory(const ddb_db *db, ddb_memory *out) {
  ddb_db *self = (ddb_db *)(uintptr_t)db;
  ddb_memory sum = {.total_bytes = ddb__heap_bytes(&db->heap)};
  pthread_mutex_lock(&self->catalogue);
  for (size_t i = 0; i < db->table_count; i++) {
    ddb_memory one;
    ddb_table_memory(db->tables[i], &one);
    sum.total_bytes += one.total_bytes;
    sum.old_bytes += one.old_bytes;
    sum.column_bytes += one.column_bytes;
  }
  pthread_mutex_unlock(&self->catalogue);
  *out = sum;
}

/* ---- Table references --------------------------------------------------------------------- */

void ddb__table_reference_locked(ddb_table *table) {
  if (atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed) == 0) {
    (void)ddb_db_acquire(table->db);
  }
}

ddb_table *ddb_table_acquire(ddb_table *table) {
  atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
  return table;
}

void ddb_table_release(ddb_table *table) {
  if (!table) {
    return;
  }
  uint64_t seen = atomic_load_explicit(&table->references, memory_order_relaxed);
  while (seen > 1) {
    if (atomic_compare_exchange_weak_explicit(&table->references, &seen, seen - 1,
                                              memory_order_release, memory_order_relaxed)) {
      return;
    }
  }
  ddb_db *db = table->db;
  pthread_mutex_lock(&db->catalogue);
  bool last = atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1;
  bool unused = last && !table->listed && !ddb__table_forked(table);
  pthread_mutex_unlock(&db->catalogue);
  if (unused) {
    ddb__table_free(table);
  }
  if (last) {
    ddb_db_release(db);
  }
}

/* ---- Catalogue ---------------------------------------------------------------------------- */

static bool is_gone(const ddb_table *table) {
  return atomic_load_explicit(&((ddb_table *)(uintptr_t)table)->gone, memory_order_acquire);
}

static bool same_text(ddb_str a, ddb_str b) {
  return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static ddb_table *find_locked(const ddb_db *db, ddb_str name) {
  for (size_t i = 0; i < db->table_count; i++) {
    if (!is_gone(db->tables[i]) && same_text(db->tables[i]->name, name)) {
      return db->tables[i];
    }
  }
  return NULL;
}

/* Says which table was probably meant, where there are not too many to look through. */
static void tell_not_found_locked(const ddb_db *db, ddb_str name, ddb_error *err) {
  ddb_str names[NEAR_COUNT_MAX] = {{NULL, 0}};
  size_t count = 0;
  for (size_t i = 0; err && i < db->table_count && count < NEAR_COUNT_MAX; i++) {
    if (!is_gone(db->tables[i])) {
      names[count++] = db->tables[i]->name;
    }
  }
  size_t nearest = ddb_str_nearest(name, names, count);
  if (nearest < count) {
    (void)ddb__fail(err, DDB_ERR_TABLE_NOT_FOUND, "no table '%.*s'; did you mean '%.*s'?",
                    DDB__STR_ARG(name), DDB__STR_ARG(names[nearest]));
  } else {
    (void)ddb__fail(err, DDB_ERR_TABLE_NOT_FOUND, "no table '%.*s'", DDB__STR_ARG(name));
  }
  if (err) {
    ddb__error_text(err->table, sizeof err->table, name);
  }
}

static ddb_status reserve_locked(ddb_db *db, ddb_error *err) {
  ddb_table **tables = ddb__room(&db->heap, db->tables, &db->table_capacity, db->table_count + 1,
                                 sizeof *tables, err);
  if (!tables) {
    return DDB_ERR_NOMEM;
  }
  db->tables = tables;
  return DDB_OK;
}

static ddb_status check_name_locked(const ddb_db *db, ddb_str name, ddb_error *err) {
  return find_locked(db, name) ? ddb__fail(err, DDB_ERR_DUPLICATE_TABLE,
                                           "table '%.*s' exists already", DDB__STR_ARG(name))
                               : DDB_OK;
}

/* The table appears: its newest root gets its commit number, which is returned. */
static uint64_t list_locked(ddb_db *db, ddb_table *table, uint32_t number) {
  db->last_number = number;
  pthread_mutex_lock(&db->latch);
  ddb__root *root = (ddb__root *)(uintptr_t)table->visible;
  uint64_t commit = root->commit = ++db->commit;
  if (table->entry) {
    ddb__journal_append_locked(db->journal, table->entry, commit);
    table->entry = NULL;
  }
  pthread_mutex_unlock(&db->latch);
  db->tables[db->table_count++] = table;
  table->listed = true;
  table->hidden = false;
  return commit;
}

static ddb_status forked(ddb_error *err) {
  return ddb__fail(err, DDB_ERR_FORKED, "a forked child can only read databases of its parent");
}

/* *number: 0 for the next one. */
static ddb_status check_number_locked(const ddb_db *db, uint32_t *number, ddb_error *err) {
  if (*number == 0 && db->last_number == UINT32_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "the database has used all its numbers of tables");
  }
  *number = *number ? *number : db->last_number + 1;
  return *number > db->last_number ? DDB_OK
                                   : ddb__fail(err, DDB_ERR_INVALID, "a table's number is taken");
}

/* Nobody else has the table yet. */
static ddb_status describe_creation(ddb_db *db, ddb_table *table, uint32_t number, ddb_error *err) {
  table->number = number;
  ddb_status status = ddb__journal_check(db->journal, err);
  return status == DDB_OK && db->journal
             ? db->journal->calls->statement(db->journal, table, NULL, table->visible,
                                             &table->entry, err)
             : status;
}

ddb_status ddb_db_table_create(ddb_db *db, ddb_str name, const ddb_table_options *options,
                               ddb_table **out, ddb_error *err) {
  return ddb__db_table_create(db, name, options, 0, out, err);
}

ddb_status ddb__db_table_begin(ddb_db *db, ddb_str name, const ddb_table_options *options,
                               ddb_table **out, ddb_error *err) {
  if (db->fork_generation != ddb__fork_generation()) {
    return forked(err);
  }
  if (name.size == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "a table's name must not be empty");
  }
  pthread_mutex_lock(&db->catalogue);
  ddb_status status = check_name_locked(db, name, err);
  pthread_mutex_unlock(&db->catalogue);
  return status == DDB_OK ? ddb__table_new(db, name, options, out, err) : status;
}

void ddb__db_table_discard(ddb_table *table) {
  ddb__table_free(table);
}

ddb_status ddb__db_table_list(ddb_table *table, uint32_t number, ddb_error *err) {
  ddb_db *db = table->db;
  pthread_mutex_lock(&db->catalogue);
  ddb_status status = check_name_locked(db, table->name, err);
  if (status == DDB_OK) {
    status = reserve_locked(db, err);
  }
  if (status == DDB_OK) {
    status = check_number_locked(db, &number, err);
  }
  if (status == DDB_OK) {
    status = describe_creation(db, table, number, err);
  }
  uint64_t commit = 0;
  if (status == DDB_OK) {
    commit = list_locked(db, table, number);
    ddb__table_reference_locked(table);
  }
  pthread_mutex_unlock(&db->catalogue);
  if (status != DDB_OK) {
    ddb__table_free(table);
    return status;
  }
  status = db->journal ? ddb__journal_wait(db->journal, commit, err) : DDB_OK;
  if (status != DDB_OK) { /* it is there all the same: memory is ahead of the disk */
    ddb_table_release(table);
  }
  return status;
}

ddb_status ddb__db_table_create(ddb_db *db, ddb_str name, const ddb_table_options *options,
                                uint32_t number, ddb_table **out, ddb_error *err) {
  ddb_table *table;
  ddb_status status = ddb__db_table_begin(db, name, options, &table, err);
  if (status == DDB_OK) {
    status = ddb__db_table_list(table, number, err);
  }
  if (status == DDB_OK) {
    *out = table;
  }
  return status;
}

void ddb__db_commit_raise(ddb_db *db, uint64_t commit) {
  pthread_mutex_lock(&db->latch);
  db->commit = commit > db->commit ? commit : db->commit;
  pthread_mutex_unlock(&db->latch);
}

ddb_status ddb_db_table_get(ddb_db *db, ddb_str name, ddb_table **out, ddb_error *err) {
  pthread_mutex_lock(&db->catalogue);
  ddb_table *table = find_locked(db, name);
  if (table) {
    ddb__table_reference_locked(table);
  } else {
    tell_not_found_locked(db, name, err);
  }
  pthread_mutex_unlock(&db->catalogue);
  if (!table) {
    return DDB_ERR_TABLE_NOT_FOUND;
  }
  *out = table;
  return DDB_OK;
}

/* Publishes a last root, visible to all; the rows stay for those who still see them. */
static ddb_status publish_drop(ddb_table *table, ddb_error *err) {
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  write.next->dropped = true;
  write.next->owner = NULL;
  write.changed = true;
  return ddb__write_commit(&write, err);
}

ddb_status ddb_db_table_drop(ddb_db *db, ddb_str name, ddb_error *err) {
  ddb_table *table;
  ddb_status status = ddb_db_table_get(db, name, &table, err);
  if (status != DDB_OK) {
    return status;
  }
  /* Of two droppers one publishes; the other finds the table dropped, as if it had come later. */
  status = publish_drop(table, err);
  if (status == DDB_OK) {
    ddb_table_unmark(table);
  }
  ddb_table_release(table);
  if (status == DDB_OK) {
    ddb__db_collect(db);
  }
  return status;
}

/* References to the tables of one instant: of the snapshot's, or of now. Under db->catalogue. */
static size_t reference_all_locked(ddb_db *db, const ddb_snapshot *snapshot, ddb_table **out) {
  size_t found = 0;
  if (!snapshot) {
    pthread_mutex_lock(&db->latch); /* no drop between the first look and the last */
  }
  for (size_t i = 0; i < db->table_count; i++) {
    ddb_table *table = db->tables[i];
    if (snapshot ? ddb__snapshot_root(snapshot, table) != NULL : !is_gone(table)) {
      ddb__table_reference_locked(table);
      out[found++] = table;
    }
  }
  if (!snapshot) {
    pthread_mutex_unlock(&db->latch);
  }
  return found;
}

ddb_status ddb__db_collect_tables(ddb_db *db, const ddb_snapshot *snapshot, ddb_table ***out,
                                  size_t *count, ddb_error *err) {
  pthread_mutex_lock(&db->catalogue);
  size_t size = (db->table_count + 1) * sizeof(ddb_table *);
  ddb_table **tables = ddb__alloc(&ddb__heap_process, size);
  if (!tables) {
    pthread_mutex_unlock(&db->catalogue);
    return ddb__fail_memory(err, size);
  }
  size_t found = reference_all_locked(db, snapshot, tables);
  size_t exact = (found + 1) * sizeof(ddb_table *);
  pthread_mutex_unlock(&db->catalogue);
  if (exact != size) {
    ddb_table **fit = ddb__alloc(&ddb__heap_process, exact);
    if (!fit) {
      for (size_t i = 0; i < found; i++) {
        ddb_table_release(tables[i]);
      }
      ddb__free(&ddb__heap_process, tables, size);
      return ddb__fail_memory(err, exact);
    }
    memcpy(fit, tables, found * sizeof *fit);
    ddb__free(&ddb__heap_process, tables, size);
    tables = fit;
  }
  *out = tables;
  *count = found;
  return DDB_OK;
}

ddb_status ddb_db_tables(ddb_db *db, ddb_table ***out, size_t *count, ddb_error *err) {
  return ddb__db_collect_tables(db, NULL, out, count, err);
}

void ddb_tables_free(ddb_table **tables, size_t count) {
  if (!tables) {
    return;
  }
  for (size_t i = 0; i < count; i++) {
    ddb_table_release(tables[i]);
  }
  ddb__free(&ddb__heap_process, tables, (count + 1) * sizeof *tables);
}
