/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_private.h - the inside of tables and databases, for the store's own files.
 *
 * Mutexes, in the order in which one thread may take them:
 *   db->catalogue  names and lists of tables and snapshots
 *   table->lock    the public RWLock
 *   db->latch      commit numbers, publication; tens of nanoseconds, no allocation, no other lock
 *   pins.mutex     the table's long pins
 */
#ifndef DDB_STORE_TABLE_PRIVATE_H
#define DDB_STORE_TABLE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/rwlock.h"
#include "base/status.h"
#include "base/testing.h"
#include "base/thread.h"
#include "store/journal.h"
#include "store/keyindex.h"
#include "store/memo.h"
#include "store/pin.h"
#include "store/root.h"
#include "store/table.h"
#include "store/write.h"

/* A root that a snapshot sees and that is no longer the visible one. */
typedef struct ddb__kept {
  struct ddb__kept *next;
  const ddb__root *root;
  uint64_t superseded; /* commit number of its successor */
  ddb__long_pin *pin;
} ddb__kept;

/* Apart by who writes: NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct ddb_table {
  /* Read by every reader; written at each publication. */
  _Alignas(DDB__CACHE_LINE) _Atomic(const ddb__root *) current; /* newest, maybe owned */
  _Atomic uint64_t version; /* current's version, stored after it */
  ddb__keyindex keys;

  /* Constant. */
  _Alignas(DDB__CACHE_LINE) ddb_db *db;
  size_t allocation_shift; /* bytes from the allocation to this struct */
  uint64_t id;             /* unique in the process: the global order of write locks */
  uint32_t number;         /* unique in the database, also in what is saved of it */
  uint64_t fork_generation;
  ddb_str name;
  ddb__shapes *shapes;
  ddb_rwlock *lock;

  _Atomic uint64_t references; /* the users'; see db.c */
  bool listed;                 /* in db->tables; under db->catalogue */
  _Atomic bool gone;           /* dropped: its name is free; set under db->latch */
  uint64_t dropped_commit;     /* 0: not dropped; under db->latch */

  ddb__heap heap; /* exclusive: used under the write lock; pins and kept roots are in db->heap */
  _Atomic uint64_t old_bytes; /* changed under the write lock */
  ddb__memo_pool memos;       /* columns kept with the rows */

  /* Under the write lock. */
  ddb__index_def *index_defs; /* all that there ever were: roots and snapshots refer to them */
  ddb__edit edit;             /* scratch of the next statement */
  bool hidden;                /* nobody else has it yet, and the journal hears nothing of it */
  ddb__entry *entry;          /* what the next commit gives the journal; NULL: nothing yet */
  ddb__kept *spare_kept;      /* reserved for a publication that snapshots need kept */
  ddb__long_pin *spare_pin;
  ddb__root *release_root;       /* reserved for the end of an explicit write lock */
  ddb__edit release_edit;        /* with room to retire the root before it */
  ddb__long_pin *visible_pin;    /* `visible`, while an explicit write lock is held */
  const ddb__root *release_last; /* what release_root supersedes; NULL: nothing to publish */
  bool group_published;          /* several tables were published together: releasing need not */
#ifdef DDB_TESTING
  _Atomic(const ddb__thread *) fault_owner; /* of DDB__FAULT_OWNER_OUTSIDE_ROOT */
#endif

  /* Under db->latch. */
  const ddb__root *visible; /* newest root without an owner */
  ddb__kept *kept;
  ddb_view mark; /* mark.c: what is held to be compared with; its root is NULL: nothing is */

  ddb__pins pins;
};

struct ddb_snapshot {
  ddb_db *db;
  uint64_t commit;
  ddb_snapshot *previous;
  ddb_snapshot *next;
};

struct ddb_db {
  _Atomic uint64_t references; /* handles, snapshots, and one for each table with users */
  uint64_t fork_generation;
  ddb__heap heap;
  ddb__journal *journal; /* constant; NULL: in memory only */

  pthread_mutex_t catalogue;
  ddb_table **tables; /* in order of creation; dropped ones while a snapshot may see them */
  size_t table_count;
  size_t table_capacity;
  uint32_t last_number; /* of the tables made so far */

  pthread_mutex_t latch;
  uint64_t commit;
  ddb_snapshot *oldest; /* registered snapshots, by commit number; under latch */
  ddb_snapshot *newest;

  ddb_db *registry_previous; /* all databases, for fork; under the registry's mutex */
  ddb_db *registry_next;
};

static inline bool ddb__table_forked(const ddb_table *table) {
  return table->fork_generation != ddb__fork_generation();
}

/* Under the table's write lock: it has one writer, so that no read-modify-write is needed. */
static inline void ddb__table_count_old(ddb_table *table, uint64_t bytes) {
  uint64_t old = atomic_load_explicit(&table->old_bytes, memory_order_relaxed);
  atomic_store_explicit(&table->old_bytes, old + bytes, memory_order_relaxed);
}

ddb_status ddb__table_new(ddb_db *db, ddb_str name, const ddb_table_options *options,
                          ddb_table **out, ddb_error *err);
void ddb__table_free(ddb_table *table);
ddb_status ddb__table_dropped(const ddb_table *table, ddb_error *err); /* the error for it */

/* Publishing (publish.c). Room is reserved under the write lock; what follows cannot fail. */
ddb_status ddb__publish_reserve(ddb_table *table, ddb_error *err);
/* Makes `root` the table's newest. Returns the commit number when the journal got something, else
 * 0: what ddb__journal_wait takes. */
uint64_t ddb__publish(ddb_table *table, ddb__root *root);
/* After it: retire the old root and what the edit retired, make the edit ready for
 * the next statement, reclaim. */
void ddb__publish_retire(ddb_table *table, const ddb__root *old, ddb__edit *edit);
/* Makes table->release_root one for so many indexes: the last fallible step of a statement that
 * changes their number under an explicit write lock. */
ddb_status ddb__publish_reserve_release(ddb_table *table, uint32_t index_count, ddb_error *err);
void ddb__publish_free_release(ddb_table *table);
/* Ends the exclusive versions of all these tables at one instant; the locks are released next. Not in
 * a forked child. Returns what ddb__publish does. */
uint64_t ddb__publish_release_group(ddb_table *const *tables, size_t count);
/* What the table's lock calls (base/rwlock.h); context: the table. */
ddb_status ddb__publish_acquired(void *context, ddb_error *err);
uint64_t ddb__publish_releasing(void *context);
ddb_status ddb__publish_released(void *context, uint64_t commit, ddb_error *err);

/* Indexes (index_make.c). */
void ddb__index_defs_free(ddb_table *table);
/* DUPLICATE_KEY, for these values. */
ddb_status ddb__index_duplicate(const ddb_table *table, const ddb__index_def *def,
                                const ddb_value *values, ddb_error *err);

/* Forgets kept roots and dropped tables that no registered snapshot needs. */
void ddb__db_collect(ddb_db *db);
/* The root that a snapshot sees; NULL: the table was not there. */
const ddb__root *ddb__snapshot_root(const ddb_snapshot *snapshot, const ddb_table *table);

#endif
