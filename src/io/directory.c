/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - a database's directory made of a snapshot: what ddb_db_open opens later.
 *
 *   directory -> its lock -> checkpoint 1 -> segment 1, empty
 *
 * Invariants
 *   1. The checkpoint comes first: a directory that a crash left without the segment is refused by
 *      open, not taken for an empty database.
 *   2. Nothing that is there is touched: a directory with files is refused.
 *   3. On error the files are gone again; the directory may stay, and its lock, which hold nothing.
 * Locks: the directory's, as while it is open. Cost: a save, and three syncs.
 */
#include <limits.h>
#include <unistd.h>

#include "base/heap.h"
#include "io/file.h"
#include "io/native_file.h"
#include "io/syscalls.h"
#include "io/try.h"
#include "io/wal.h"

#define FIRST 1

/* Syncs the directories as well: a replacement does its own, ddb__wal_claim that of the name. */
static ddb_status fill(ddb__wal *wal, ddb_snapshot *snapshot, const ddb_save_options *options,
                       ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  char path[PATH_MAX];
  const ddb__native_head head = {.segment = FIRST};
  ddb__wal_checkpoint_name(FIRST, name);
  DDB__TRY(ddb__wal_path(wal, name, path, sizeof path, err));
  ddb_status status =
      ddb__native_save(snapshot, NULL, &head, wal->directory, path, options, NULL, err);
  if (status == DDB_OK) {
    wal->identity = ddb__file_unique();
    status = ddb__wal_segment_new(wal, FIRST, &wal->fd, &wal->seed, err);
  }
  if (status != DDB_OK) {
    ddb__wal_tidy(wal, UINT64_MAX);
  }
  return status;
}

ddb_status ddb_snapshot_save_directory(ddb_snapshot *snapshot, const char *path,
                                       const ddb_save_options *options, ddb_error *err) {
  if (!snapshot) {
    return ddb__fail(err, DDB_ERR_INVALID, "no snapshot given");
  }
  if (!path || !*path) {
    return ddb__fail(err, DDB_ERR_INVALID, "no path given");
  }
  ddb__wal wal = {.fd = -1, .old_fd = -1, .lock = -1, .directory = -1};
  ddb_status status = ddb__wal_claim(&wal, path, err);
  if (status == DDB_OK) {
    status = fill(&wal, snapshot, options, err);
  }
  ddb__wal_close_files(&wal, true);
  ddb__free(&ddb__heap_process, wal.path, wal.path_size);
  return status;
}

ddb_status ddb_db_save_directory(ddb_db *db, const char *path, const ddb_save_options *options,
                                 ddb_error *err) {
  return ddb__native_save_now(db, ddb_snapshot_save_directory, path, options, err);
}
