/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal.h - the log of a database that lives in a directory, and what keeps it short.
 *
 *   DIR/LOCK                        held while the database is open; the holder's pid
 *   DIR/log-<n>.ddl                 segment n: a head, then a record for each commit, in order
 *   DIR/checkpoint-<n>.dictdb       the state before segment n
 *
 *   committers --queue, in order of commits (store/journal.h)--> one of them writes for all
 *              --> one of them syncs for all --> each returns when its commit is durable
 *
 *   L1  What the newest checkpoint n and the segments n, n+1, ... hold is the database, from the
 *       moment that open returns to the last durable commit.
 *   L2  Two roles, `writing` and `syncing`, each held by one thread at a time, without the mutex. The
 *       writer alone moves the end of the log; the syncer alone closes a segment.
 *   L3  A record says up to which place the log was synced when it was written. So a damaged record
 *       is a torn tail, which is cut, unless a record behind it proves that it was once whole. So is
 *       a segment shorter than the next one's records say.
 *   L4  A segment's file is complete with its head, name and directory entry before any record goes
 *       to it; an older segment goes only when a checkpoint after it is on the disk.
 *   L5  After a failed write or sync nothing more is written: what the disk has is a prefix.
 *   L6  The mutex is held for moments; nothing waits for anything else under it but the latch.
 */
#ifndef DDB_IO_WAL_H
#define DDB_IO_WAL_H

#include <pthread.h>

#include "dictdb.h"
#include "io/native.h"
#include "store/journal.h"

#define DDB__WAL_NAME_SIZE   64
#define DDB__WAL_BUFFER_SIZE ((size_t)256 * 1024)

typedef struct ddb__wal {
  ddb__journal journal; /* first */
  ddb_db *db;           /* who owns this */
  ddb_durability durability;
  uint64_t interval_ns;
  char *path; /* of the directory, absolute; owned */
  size_t path_size;
  int directory; /* descriptors; -1: none */
  int lock;
  uint64_t identity; /* of segments: part of their checksums */

  pthread_mutex_t mutex;
  pthread_cond_t changed; /* roles, positions, failure */
  pthread_cond_t wake;    /* for the thread */
  bool writing;
  bool syncing;
  bool checkpointing;
  pthread_t checkpointer; /* while `checkpointing` */
  bool closed;
  bool failed;
  ddb_error failure; /* the first one */

  /* Changed by who is writing, under the mutex. */
  int fd;     /* of the last segment */
  int old_fd; /* of the one before, while it is not synced; -1: none */
  uint64_t segment;
  uint64_t seed;   /* checksum of its head */
  uint64_t before; /* where the segment before it ended */
  ddb__log_place written;
  uint64_t written_commit;
  uint64_t log_size; /* bytes that the checkpoint does not have */

  ddb__log_place synced;
  uint64_t synced_commit;
  uint64_t checkpoint_size;
  uint64_t checkpoint_commit;
  uint64_t checkpoint_count;
  uint64_t checkpoint_failures; /* since the last one that was made */
  ddb_error checkpoint_error;   /* of the last failure */

  /* The log's space, so that a full disk fails a statement before it is published. */
  bool no_reservation; /* this file system cannot */
  uint64_t reserved;   /* bytes of the last segment that the disk has for us */
  uint64_t pending;    /* bytes that entries need and that are not written */

  char *buffer; /* the writer's */

  bool has_thread;
  bool stopping;
  bool orphaned; /* the thread frees all this when it ends */
  bool checkpoint_wanted;
  uint64_t retry_ns;                                         /* on the clock: not before that */
  void (*on_failure)(void *context, const ddb_error *cause); /* these three: constant */
  void (*on_checkpoint)(void *context, uint64_t commit, uint64_t size);
  void *failure_context;
  pthread_t thread;
} ddb__wal;

/* ---- wal.c: writing and syncing ---- */

extern const ddb__journal_calls ddb__wal_calls; /* in database.c */
ddb_status ddb__wal_wait(ddb__journal *journal, uint64_t commit, ddb_error *err);
/* Everything committed before the call is written, and with `sync` synced. READ_ONLY. */
ddb_status ddb__wal_flush(ddb__wal *wal, bool sync, ddb_error *err);
/* A new last segment, for commits after the snapshot, which is opened at that instant. */
ddb_status ddb__wal_rotate(ddb__wal *wal, ddb_snapshot **snapshot, ddb_error *err);
/* Makes segment `number`; the descriptor is at its end. */
ddb_status ddb__wal_segment_new(ddb__wal *wal, uint64_t number, int *fd, uint64_t *seed,
                                ddb_error *err);
/* Reserves space for `size` bytes more. IO when the disk is full. */
ddb_status ddb__wal_reserve(ddb__wal *wal, uint64_t size, ddb_error *err);
void ddb__wal_unreserve(ddb__wal *wal, uint64_t size);
/* READ_ONLY, with the reason. Under the mutex. */
ddb_status ddb__wal_refusal_locked(const ddb__wal *wal, ddb_error *err);

/* ---- wal_entry.c: what a commit changes ---- */

ddb_status ddb__wal_statement(ddb__journal *journal, const ddb_table *table, const ddb__root *base,
                              const ddb__root *next, ddb__entry **link, ddb_error *err);
void ddb__wal_discard(ddb__journal *journal, ddb__entry *unused);
ddb_str ddb__wal_entry_bytes(const ddb__entry *taken);
/* What was reserved for it. */
uint64_t ddb__wal_entry_reserved(const ddb__entry *taken);
void ddb__wal_entry_free(ddb__entry *taken);

/* ---- wal_open.c: the directory ---- */

ddb_status ddb__wal_path(const ddb__wal *wal, const char *name, char *out, size_t capacity,
                         ddb_error *err);
void ddb__wal_segment_name(uint64_t number, char *out);    /* DDB__WAL_NAME_SIZE bytes */
void ddb__wal_checkpoint_name(uint64_t number, char *out); /* the same */
/* Makes or finds the directory, takes its lock, loads what is there. *out: the database, without the
 * journal. */
ddb_status ddb__wal_open(ddb__wal *wal, const char *path, const ddb_open_options *options,
                         ddb_db **out, ddb_error *err);
/* Makes the directory, or finds an empty one, and takes its lock. INVALID: it has files. */
ddb_status ddb__wal_claim(ddb__wal *wal, const char *path, ddb_error *err);
/* Loads what is there into a database in memory; changes nothing, locks nothing, and tries again when
 * whoever has it open changed something meanwhile. Fills commit (of the checkpoint) and number.
 * INVALID: no database is there. */
ddb_status ddb__wal_load(const char *path, const ddb_open_options *options, ddb_db **out,
                         ddb_file_info *info, ddb_error *err);
/* Removes segments and checkpoints with numbers below `number`, and what a crash left. */
void ddb__wal_tidy(ddb__wal *wal, uint64_t number);
/* Closes all descriptors. unlock: a child that has just been forked may not have closed its own yet,
 * and must not keep the lock; the child itself leaves it to the parent. */
void ddb__wal_close_files(ddb__wal *wal, bool unlock);

/* ---- wal_replay.c: reading segments ---- */

/* Replays segments `first` ... `last`. *end: where the log ends; what is behind it is to be cut. */
ddb_status ddb__wal_replay(ddb__wal *wal, ddb_db *db, uint64_t first, uint64_t last,
                           uint64_t after_commit, const ddb_open_options *options,
                           ddb__log_place *end, bool *torn, ddb_error *err);
/* Checks one segment by itself. Fills commit, number, operation_count, and whole_size: where it ends
 * in what a crash left, else its size. */
ddb_status ddb__wal_segment_verify(const char *path, ddb_progress progress, void *context,
                                   ddb_file_info *info, ddb_error *err);

#endif
