/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - where a database's commits go besides memory: what the store asks of a log, and what it
 * promises to it. The log itself is io/wal.c.
 *
 *   statement: the next version is built --statement()--> the table's entry, grown by what changed
 *   latch:     commit number, roots; the entries of its tables to the end of the queue
 *   unlocked:  wait(commit)
 *
 *   J1  The queue is in order of commit numbers, and the entries of one commit are neighbours: they
 *       are linked under the latch that gives the number.
 *   J2  What can fail (memory, the log's space) fails before the latch, and the statement with it.
 *   J3  Under an explicit write lock the entry gathers all statements; its last commit takes it.
 *   J4  wait() is called with no lock held, but those of an explicit write lock on another table. Its
 *       failure says that memory is ahead of the disk.
 */
#ifndef DDB_STORE_JOURNAL_H
#define DDB_STORE_JOURNAL_H

#include <stdatomic.h>

#include "dictdb.h"
#include "store/root.h"

/* What one commit changes in one table: the head of something of the log's own. */
typedef struct ddb__entry {
  struct ddb__entry *next;
  uint64_t commit;
} ddb__entry;

typedef struct ddb__journal ddb__journal;

typedef struct ddb__journal_calls {
  /* The error for a journal that is `refusing`. */
  ddb_status (*refusal)(ddb__journal *journal, ddb_error *err);
  /* Adds to *entry, which it makes when it is NULL, what leads from `base` (NULL: the table itself
   * is new) to `next`. On error *entry is as it was. Under the table's write lock. */
  ddb_status (*statement)(ddb__journal *journal, const ddb_table *table, const ddb__root *base,
                          const ddb__root *next, ddb__entry **entry, ddb_error *err);
  /* Frees an entry that no commit took. */
  void (*discard)(ddb__journal *journal, ddb__entry *entry);
  /* Returns when `commit` is as durable as the database was opened for. READ_ONLY. */
  ddb_status (*wait)(ddb__journal *journal, uint64_t commit, ddb_error *err);
  /* In a forked child, with only this thread: the parent's files are not ours. */
  void (*forked)(ddb__journal *journal);
  /* The database goes; nobody uses it any more. */
  void (*release)(ddb__journal *journal);
} ddb__journal_calls;

struct ddb__journal {
  const ddb__journal_calls *calls;
  _Atomic bool refusing; /* statements fail: closed, or read-only after a failure */
  ddb__entry *head;      /* the queue; under db->latch */
  ddb__entry *tail;
};

/* Before anybody else has the database. */
void ddb__db_journal_set(ddb_db *db, ddb__journal *journal);
ddb__journal *ddb__db_journal(const ddb_db *db); /* NULL: in memory only */
/* Takes the queue; *commit: the database's last one. With `snapshot`, also registers one of that
 * instant. NOMEM only with a snapshot; nothing is taken then. */
ddb_status ddb__db_journal_take(ddb_db *db, ddb__entry **entries, uint64_t *commit,
                                ddb_snapshot **snapshot, ddb_error *err);
/* Is this process a child of the one that made it? */
bool ddb__db_forked(const ddb_db *db);
/* The number of the last commit. */
uint64_t ddb__db_journal_commit(ddb_db *db);
/* One more reference, unless the last one is gone. */
bool ddb__db_try_acquire(ddb_db *db);

/* For the store: */
/* May a statement begin? */
static inline ddb_status ddb__journal_check(ddb__journal *journal, ddb_error *err) {
  return journal && atomic_load_explicit(&journal->refusing, memory_order_relaxed)
             ? journal->calls->refusal(journal, err)
             : DDB_OK;
}
/* Under the latch. */
static inline void ddb__journal_append_locked(ddb__journal *journal, ddb__entry *entry,
                                              uint64_t commit) {
  entry->commit = commit;
  entry->next = NULL;
  *(journal->tail ? &journal->tail->next : &journal->head) = entry;
  journal->tail = entry;
}
/* commit: 0 when nothing went to the journal. */
static inline ddb_status ddb__journal_wait(ddb__journal *journal, uint64_t commit, ddb_error *err) {
  return commit ? journal->calls->wait(journal, commit, err) : DDB_OK;
}

#endif
