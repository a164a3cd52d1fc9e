/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.c - databases that live in a directory: opening, checkpoints, closing, and the thread that
 * syncs at intervals and makes checkpoints when the log has grown.
 *
 * Ownership: the database owns its log (journal.h); the thread has no reference to the database, but
 * takes one for each checkpoint, if it is not too late. It may so happen that the thread's own is the
 * last one: then it cannot be waited for, and frees the log itself when it ends.
 * Cost of a checkpoint: the database is written once; nobody waits but for a short write.
 */
#include <limits.h>
#include <time.h>

#include "base/heap.h"
#include "base/rwlock.h"
#include "base/testing.h"
#include "io/native_file.h"
#include "io/try.h"
#include "io/wal.h"

#define SECOND_NS UINT64_C(1000000000)
/* The pause after the first failure of a checkpoint; doubled up to 64 times. */
#ifdef DDB_TESTING
#define RETRY_NS_FIRST UINT64_C(1000000)
#else
#define RETRY_NS_FIRST SECOND_NS
#endif

/* ---- Life --------------------------------------------------------------------------------- */

static void wal_free(ddb__wal *wal) {
  ddb__wal_close_files(wal, true);
  pthread_cond_destroy(&wal->wake);
  pthread_cond_destroy(&wal->changed);
  pthread_mutex_destroy(&wal->mutex);
  ddb__free(&ddb__heap_process, wal->buffer, DDB__WAL_BUFFER_SIZE);
  ddb__free(&ddb__heap_process, wal->path, wal->path_size);
  ddb__free(&ddb__heap_process, wal, sizeof *wal);
}

static ddb__wal *wal_new(const ddb_open_options *options, ddb_error *err) {
  ddb__wal *wal = ddb__alloc_zero(&ddb__heap_process, sizeof *wal);
  char *buffer = wal ? ddb__alloc(&ddb__heap_process, DDB__WAL_BUFFER_SIZE) : NULL;
  if (!buffer) {
    ddb__free(&ddb__heap_process, wal, sizeof *wal);
    (void)ddb__fail_memory(err, DDB__WAL_BUFFER_SIZE);
    return NULL;
  }
  wal->buffer = buffer;
  wal->journal.calls = &ddb__wal_calls;
  wal->directory = wal->lock = wal->fd = wal->old_fd = -1;
  wal->durability = options ? options->durability : DDB_DURABILITY_COMMIT;
  wal->on_failure = options ? options->on_failure : NULL;
  wal->on_checkpoint = options ? options->on_checkpoint : NULL;
  wal->failure_context = options ? options->failure_context : NULL;
  wal->interval_ns = options && options->interval_ns ? options->interval_ns : SECOND_NS;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&wal->mutex, NULL);
  pthread_cond_init(&wal->changed, NULL);
  pthread_cond_init(&wal->wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
  return wal;
}

/* ---- Checkpoints -------------------------------------------------------------------------- */

typedef struct watcher {
  ddb__wal *wal;
  bool in_passing; /* by the thread: closing stops it */
  ddb_progress call;
  void *context;
} watcher;

static int watch(void *context, uint64_t done, uint64_t total) {
  const watcher *w = context;
  pthread_mutex_lock(&w->wal->mutex);
  bool stopping = w->wal->stopping;
  pthread_mutex_unlock(&w->wal->mutex);
  return (stopping && w->in_passing) || (w->call && w->call(w->context, done, total) != 0);
}

/* The snapshot and the segment after it are there: writes the file, then forgets what it covers. */
static ddb_status save_snapshot(ddb__wal *wal, ddb_snapshot *snapshot, uint64_t number, watcher *w,
                                ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  char path[PATH_MAX];
  uint64_t size;
  const ddb_save_options options = {.progress = watch, .context = w};
  ddb__wal_checkpoint_name(number, name);
  DDB__TRY(ddb__wal_path(wal, name, path, sizeof path, err));
  const ddb__native_head head = {.segment = number};
  if (DDB__FAULT(LOG_TRIMMED_EARLY)) {
    ddb__wal_tidy(wal, number);
  }
  DDB__TRY(ddb__native_save(snapshot, NULL, &head, wal->directory, path, &options, &size, err));
  uint64_t commit = ddb_snapshot_commit(snapshot);
  pthread_mutex_lock(&wal->mutex);
  wal->checkpoint_size = size;
  wal->checkpoint_commit = commit;
  wal->log_size = wal->written.offset;
  wal->synced_commit = commit > wal->synced_commit ? commit : wal->synced_commit;
  pthread_cond_broadcast(&wal->changed);
  pthread_mutex_unlock(&wal->mutex);
  ddb__wal_tidy(wal, number);
  return DDB_OK;
}

static ddb_status checkpoint(ddb__wal *wal, watcher *w, ddb_error *err) {
  ddb_snapshot *snapshot;
  ddb_status status = ddb__wal_rotate(wal, &snapshot, err);
  if (status == DDB_OK) {
    status = save_snapshot(wal, snapshot, wal->segment, w, err);
    ddb_snapshot_close(snapshot);
  }
  return status;
}

/* A checkpoint's progress function cannot wait for that checkpoint. */
static ddb_status refuse_inside(ddb__wal *wal, ddb_error *err) {
  pthread_mutex_lock(&wal->mutex);
  bool inside = wal->checkpointing && pthread_equal(wal->checkpointer, pthread_self());
  pthread_mutex_unlock(&wal->mutex);
  return inside ? ddb__fail(err, DDB_ERR_DEADLOCK,
                            "this thread is making a checkpoint of '%.200s': its progress function "
                            "cannot begin another one, nor close the database",
                            wal->path)
                : DDB_OK;
}

/* One that its user stopped has not failed. */
static void note_checkpoint_locked(ddb__wal *wal, ddb_status status, const ddb_error *cause) {
  if (status == DDB_OK) {
    wal->checkpoint_count++;
    wal->checkpoint_failures = 0;
    wal->checkpoint_error = (ddb_error){0};
    wal->checkpoint_wanted = false;
  } else if (status != DDB_ERR_INTERRUPTED) {
    wal->checkpoint_failures++;
    wal->checkpoint_error = *cause;
  }
}

/* One at a time. The caller has a reference to the database. */
static ddb_status checkpoint_alone(ddb__wal *wal, watcher *w, ddb_error *err) {
  DDB__TRY(refuse_inside(wal, err));
  void *state = ddb__wait_begin();
  pthread_mutex_lock(&wal->mutex);
  while (wal->checkpointing) {
    pthread_cond_wait(&wal->changed, &wal->mutex);
  }
  bool usable = !wal->failed && !wal->closed;
  ddb_status status = usable ? DDB_OK : ddb__wal_refusal_locked(wal, err);
  wal->checkpointing = usable;
  wal->checkpointer = pthread_self();
  pthread_mutex_unlock(&wal->mutex);
  ddb__wait_end(state);
  if (!usable) {
    return status;
  }
  ddb_error cause = {0};
  status = checkpoint(wal, w, &cause);
  pthread_mutex_lock(&wal->mutex);
  wal->checkpointing = false;
  note_checkpoint_locked(wal, status, &cause);
  pthread_cond_broadcast(&wal->changed);
  pthread_mutex_unlock(&wal->mutex);
  if (status != DDB_OK && err) {
    *err = cause;
  }
  return status;
}

/* ---- The thread --------------------------------------------------------------------------- */

static uint64_t clock_ns(void) {
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void tell_failure(const ddb__wal *wal, const ddb_error *cause) {
  if (wal->on_failure) {
    wal->on_failure(wal->failure_context, cause);
  }
}

/* A failure of a checkpoint harms nothing: the log goes on. It is tried again, after a pause that grows
 * with each failure. */
static void checkpoint_in_passing(ddb__wal *wal) {
  ddb_db *db = wal->db;
  if (!ddb__db_try_acquire(db)) {
    return;
  }
  ddb_error cause = {0};
  watcher w = {.wal = wal, .in_passing = true};
  ddb_status status = checkpoint_alone(wal, &w, &cause);
  pthread_mutex_lock(&wal->mutex);
  uint64_t doubled = wal->checkpoint_failures < 7 ? wal->checkpoint_failures : 7;
  wal->checkpoint_wanted = status != DDB_OK && !wal->failed;
  wal->retry_ns = status == DDB_OK ? 0 : clock_ns() + (RETRY_NS_FIRST << doubled) / 2;
  uint64_t commit = wal->checkpoint_commit;
  uint64_t size = wal->checkpoint_size;
  pthread_mutex_unlock(&wal->mutex);
  if (status == DDB_OK && wal->on_checkpoint) {
    wal->on_checkpoint(wal->failure_context, commit, size);
  } else if (status != DDB_OK && status != DDB_ERR_INTERRUPTED) {
    tell_failure(wal, &cause);
  }
  ddb_db_release(db);
}

static void sync_in_passing(ddb__wal *wal) {
  ddb_error cause = {0};
  if (ddb__wal_flush(wal, true, &cause) != DDB_OK) { /* the next statements fail */
    tell_failure(wal, &cause);
  }
}

/* Until there is something to do. True: a checkpoint. */
static bool sleep_locked(ddb__wal *wal) {
  uint64_t now = clock_ns();
  bool syncs = wal->durability == DDB_DURABILITY_INTERVAL;
  uint64_t until = syncs ? now + wal->interval_ns : UINT64_MAX;
  for (; !wal->stopping && now < until; now = clock_ns()) {
    if (wal->checkpoint_wanted && wal->retry_ns <= now) {
      return true;
    }
    uint64_t wake = wal->checkpoint_wanted && wal->retry_ns < until ? wal->retry_ns : until;
    struct timespec at = {.tv_sec = (time_t)(wake / SECOND_NS),
                          .tv_nsec = (long)(wake % SECOND_NS)};
    if (wake == UINT64_MAX) {
      pthread_cond_wait(&wal->wake, &wal->mutex);
    } else {
      (void)pthread_cond_timedwait(&wal->wake, &wal->mutex, &at);
    }
  }
  return false;
}

static void *run(void *context) {
  ddb__wal *wal = context;
  ddb__wait_without_hooks();
  pthread_mutex_lock(&wal->mutex);
  while (!wal->stopping) {
    bool due = sleep_locked(wal);
    bool dirty = wal->written_commit > wal->synced_commit && !wal->failed;
    pthread_mutex_unlock(&wal->mutex);
    if (wal->durability == DDB_DURABILITY_INTERVAL && dirty) {
      sync_in_passing(wal);
    }
    if (due) {
      checkpoint_in_passing(wal);
    }
    pthread_mutex_lock(&wal->mutex);
  }
  bool orphan = wal->orphaned;
  pthread_mutex_unlock(&wal->mutex);
  if (orphan) {
    wal_free(wal);
  }
  return NULL;
}

static ddb_status start_thread(ddb__wal *wal, ddb_error *err) {
  int error = pthread_create(&wal->thread, NULL, run, wal);
  wal->has_thread = error == 0;
  return error == 0
             ? DDB_OK
             : ddb__fail(err, DDB_ERR_NOMEM, "cannot start the thread of '%.200s'", wal->path);
}

/* False: it is this thread, and will free the log. */
static bool stop_thread(ddb__wal *wal) {
  pthread_mutex_lock(&wal->mutex);
  bool has_thread = wal->has_thread;
  bool own = has_thread && pthread_equal(wal->thread, pthread_self());
  wal->stopping = true;
  wal->has_thread = false;
  wal->orphaned = own;
  pthread_cond_signal(&wal->wake);
  pthread_mutex_unlock(&wal->mutex);
  if (own) {
    (void)pthread_detach(wal->thread);
  } else if (has_thread) {
    void *state = ddb__wait_begin();
    (void)pthread_join(wal->thread, NULL);
    ddb__wait_end(state);
  }
  return !own;
}

/* ---- Closing ------------------------------------------------------------------------------ */

/* Nothing more goes to the log; who waits for it is told. The descriptors are closed when nobody can
 * be using them. */
static void close_locked(ddb__wal *wal) {
  wal->closed = true;
  atomic_store_explicit(&wal->journal.refusing, true, memory_order_relaxed);
  while (wal->writing || wal->syncing || wal->checkpointing) {
    pthread_cond_wait(&wal->changed, &wal->mutex);
  }
  pthread_cond_broadcast(&wal->changed);
  ddb__wal_close_files(wal, true);
}

static void forget_queue(ddb__wal *wal) {
  ddb__entry *entries;
  uint64_t commit;
  (void)ddb__db_journal_take(wal->db, &entries, &commit, NULL, NULL);
  while (entries) {
    ddb__entry *next = entries->next;
    ddb__wal_entry_free(entries);
    entries = next;
  }
}

/* The last reference has gone: everything committed is synced, if the disk lets us. */
static void release(ddb__journal *journal) {
  ddb__wal *wal = (ddb__wal *)(void *)journal;
  bool ours = stop_thread(wal);
  if (!wal->closed) {
    (void)ddb__wal_flush(wal, true, NULL);
    pthread_mutex_lock(&wal->mutex);
    close_locked(wal);
    pthread_mutex_unlock(&wal->mutex);
  }
  forget_queue(wal);
  if (ours) {
    wal_free(wal);
  }
}

ddb_status ddb_db_close(ddb_db *db, ddb_error *err) {
  ddb__wal *wal = (ddb__wal *)(void *)ddb__db_journal(db);
  if (!wal || ddb__db_forked(db)) {
    return DDB_OK; /* the parent's files are not open in a child */
  }
  pthread_mutex_lock(&wal->mutex);
  bool closed = wal->closed;
  pthread_mutex_unlock(&wal->mutex);
  if (closed) {
    return DDB_OK;
  }
  DDB__TRY(refuse_inside(wal, err));
  atomic_store_explicit(&wal->journal.refusing, true, memory_order_relaxed);
  (void)stop_thread(wal);
  ddb_status status = ddb__wal_flush(wal, true, err);
  pthread_mutex_lock(&wal->mutex);
  bool worth = wal->log_size > sizeof(ddb__native_head) && !wal->failed && !wal->closed;
  pthread_mutex_unlock(&wal->mutex);
  if (status == DDB_OK && worth) {
    watcher w = {.wal = wal};
    (void)checkpoint_alone(wal, &w, NULL); /* the log has everything all the same */
  }
  pthread_mutex_lock(&wal->mutex);
  if (!wal->closed) {
    close_locked(wal);
  }
  pthread_mutex_unlock(&wal->mutex);
  forget_queue(wal);
  return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static void forked(ddb__journal *journal) {
  ddb__wal_close_files((ddb__wal *)(void *)journal, false);
}

static ddb_status refusal(ddb__journal *journal, ddb_error *err) {
  ddb__wal *wal = (ddb__wal *)(void *)journal;
  pthread_mutex_lock(&wal->mutex);
  ddb_status status = ddb__wal_refusal_locked(wal, err);
  pthread_mutex_unlock(&wal->mutex);
  return status;
}

const ddb__journal_calls ddb__wal_calls = {
    .refusal = refusal,
    .statement = ddb__wal_statement,
    .discard = ddb__wal_discard,
    .wait = ddb__wal_wait,
    .forked = forked,
    .release = release,
};

static ddb_status check_options(const char *path, const ddb_open_options *options, ddb_error *err) {
  if (!path || !*path) {
    return ddb__fail(err, DDB_ERR_INVALID, "no path given");
  }
  if (options &&
      (options->durability < DDB_DURABILITY_COMMIT || options->durability > DDB_DURABILITY_NONE)) {
    return ddb__fail(err, DDB_ERR_INVALID, "unknown durability %d", (int)options->durability);
  }
  return ddb__native_check(err);
}

ddb_status ddb_db_open(const char *path, const ddb_open_options *options, ddb_db **out,
                       ddb_error *err) {
  DDB__TRY(check_options(path, options, err));
  ddb__wal *wal = wal_new(options, err);
  if (!wal) {
    return DDB_ERR_NOMEM;
  }
  ddb_db *db;
  ddb_status status = ddb__wal_open(wal, path, options, &db, err);
  if (status != DDB_OK) {
    wal_free(wal);
    return status;
  }
  wal->db = db;
  wal->written_commit = wal->synced_commit = ddb__db_journal_commit(db);
  ddb__db_journal_set(db, &wal->journal);
  status = start_thread(wal, err);
  if (status != DDB_OK) {
    ddb_db_release(db);
    return status;
  }
  *out = db;
  return DDB_OK;
}

static ddb_status opened(const ddb_db *db, ddb__wal **out, ddb_error *err) {
  *out = (ddb__wal *)(void *)ddb__db_journal(db);
  if (!*out) {
    return ddb__fail(err, DDB_ERR_INVALID, "the database was not opened in a directory");
  }
  return ddb__db_forked(db) ? ddb__fail(err, DDB_ERR_FORKED,
                                        "a forked child can only read databases of its parent")
                            : DDB_OK;
}

ddb_status ddb_db_sync(ddb_db *db, ddb_error *err) {
  ddb__wal *wal;
  DDB__TRY(opened(db, &wal, err));
  return ddb__wal_flush(wal, true, err);
}

ddb_status ddb_db_checkpoint(ddb_db *db, ddb_progress progress, void *context, ddb_error *err) {
  ddb__wal *wal;
  DDB__TRY(opened(db, &wal, err));
  watcher w = {.wal = wal, .call = progress, .context = context};
  return checkpoint_alone(wal, &w, err);
}

ddb_status ddb_db_log_info(ddb_db *db, ddb_log_info *out, ddb_error *err) {
  ddb__wal *wal;
  DDB__TRY(opened(db, &wal, err));
  uint64_t commit = ddb__db_journal_commit(db);
  pthread_mutex_lock(&wal->mutex);
  *out = (ddb_log_info){
      .durability = wal->durability,
      .read_only = wal->closed || wal->failed,
      .commit = commit > wal->written_commit ? commit : wal->written_commit,
      .written_commit = wal->written_commit,
      .synced_commit = wal->synced_commit,
      .log_bytes = wal->log_size,
      .checkpoint_bytes = wal->checkpoint_size,
      .checkpoint_commit = wal->checkpoint_commit,
      .checkpoints = wal->checkpoint_count,
      .checkpoint_failures = wal->checkpoint_failures,
      .checkpoint_error = wal->checkpoint_error,
      .failure = wal->failure,
  };
  pthread_mutex_unlock(&wal->mutex);
  return DDB_OK;
}
