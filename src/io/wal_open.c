/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_open.c - a database's directory: making it, its lock, what is in it, and tidying up.
 *
 *   newest checkpoint n (none: an empty database, n = 1) -> segments n, n+1, ... -> the log goes on
 *   where they end
 *
 * Invariants
 *   1. Nothing is loaded to go on from, and nothing removed, before the lock is ours. Names are looked
 *      at before, so that no lock is left in a directory that is not a database's. ddb__wal_load, which
 *      changes nothing, takes no lock.
 *   2. Older checkpoints and segments are removed only when a newer checkpoint was read whole, or was
 *      written and synced. Files that are not ours are never touched; a directory that has none of
 *      ours, but others, is refused.
 *   3. What is made, written or removed is named in the directory that was locked, even where that has
 *      been moved meanwhile and its path leads to another database. Opening reads by the path, and
 *      ends with an error if that leads to another one then.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/testing.h"
#include "io/file.h"
#include "io/native_file.h"
#include "io/syscalls.h"
#include "io/try.h"
#include "io/wal.h"

#define LOCK_NAME         "LOCK"
#define SEGMENT_PREFIX    "log-"
#define SEGMENT_SUFFIX    ".ddl"
#define CHECKPOINT_PREFIX "checkpoint-"
#define CHECKPOINT_SUFFIX ".dictdb"

#define LOAD_ATTEMPTS_MAX 100

/* ---- Names -------------------------------------------------------------------------------- */

void ddb__wal_segment_name(uint64_t number, char *out) {
  (void)snprintf(out, DDB__WAL_NAME_SIZE, SEGMENT_PREFIX "%016llx" SEGMENT_SUFFIX,
                 (unsigned long long)number);
}

void ddb__wal_checkpoint_name(uint64_t number, char *out) {
  (void)snprintf(out, DDB__WAL_NAME_SIZE, CHECKPOINT_PREFIX "%016llx" CHECKPOINT_SUFFIX,
                 (unsigned long long)number);
}

ddb_status ddb__wal_path(const ddb__wal *wal, const char *name, char *out, size_t capacity,
                         ddb_error *err) {
  int size = snprintf(out, capacity, "%s/%s", wal->path, name);
  return size >= 0 && (size_t)size < capacity
             ? DDB_OK
             : ddb__file_fail(err, ENAMETOOLONG, "open", wal->path);
}

/* 0: not such a name. */
static uint64_t number_of(const char *name, const char *prefix, const char *suffix) {
  size_t size = strlen(prefix);
  unsigned long long number = 0;
  if (strncmp(name, prefix, size) != 0 || strlen(name) != size + 16 + strlen(suffix) ||
      strspn(name + size, "0123456789abcdef") != 16 || strcmp(name + size + 16, suffix) != 0) {
    return 0;
  }
  number = strtoull(name + size, NULL, 16);
  return number;
}

/* A temporary file that a save of ours did not finish. */
static bool is_leftover(const char *name) {
  size_t size = strlen(name);
  bool ours = strncmp(name, "." SEGMENT_PREFIX, sizeof SEGMENT_PREFIX) == 0 ||
              strncmp(name, "." CHECKPOINT_PREFIX, sizeof CHECKPOINT_PREFIX) == 0;
  return ours && size > 4 && strcmp(name + size - 4, ".tmp") == 0;
}

/* ---- What is there ------------------------------------------------------------------------ */

typedef struct listing {
  ddb__wal *wal;
  uint64_t keep;       /* tidying: numbers below go */
  uint64_t checkpoint; /* the newest; 0: none */
  uint64_t last;       /* the newest segment; 0: none */
  char stranger[DDB__WAL_NAME_SIZE];
} listing;

static void look(void *context, const char *name) {
  listing *found = context;
  uint64_t segment = number_of(name, SEGMENT_PREFIX, SEGMENT_SUFFIX);
  uint64_t checkpoint = number_of(name, CHECKPOINT_PREFIX, CHECKPOINT_SUFFIX);
  found->last = segment > found->last ? segment : found->last;
  found->checkpoint = checkpoint > found->checkpoint ? checkpoint : found->checkpoint;
  if (!segment && !checkpoint && !is_leftover(name) && strcmp(name, LOCK_NAME) != 0) {
    (void)snprintf(found->stranger, sizeof found->stranger, "%.60s", name);
  }
}

static ddb_status list(const ddb__wal *wal, void (*each)(void *context, const char *name),
                       listing *found, ddb_error *err) {
  int result;
  do {
    result = ddb__sys_readdir(wal->directory, each, found);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? ddb__file_fail(err, errno, "read the directory", wal->path) : DDB_OK;
}

/* -1: it is still there, and errno says why. */
static int remove_file(const ddb__wal *wal, const char *name) {
  int result;
  do {
    result = ddb__sys_unlinkat(wal->directory, name);
  } while (result < 0 && errno == EINTR);
  return result < 0 && errno != ENOENT ? -1 : 0;
}

static void tidy(void *context, const char *name) {
  const listing *found = context;
  uint64_t number = number_of(name, SEGMENT_PREFIX, SEGMENT_SUFFIX);
  number += number_of(name, CHECKPOINT_PREFIX, CHECKPOINT_SUFFIX);
  if ((number && number < found->keep) || is_leftover(name)) {
    (void)remove_file(found->wal, name);
  }
}

/* What cannot be removed is tried again next time: it does no harm. */
void ddb__wal_tidy(ddb__wal *wal, uint64_t number) {
  listing found = {.wal = wal, .keep = number};
  (void)list(wal, tidy, &found, NULL);
}

/* ---- The directory and its lock ----------------------------------------------------------- */

/* The name of the directory itself, which may be older than its first file: whoever made it may have
 * been killed before this. */
static ddb_status sync_parent(const char *path, ddb_error *err) {
  char parent[PATH_MAX + 4];
  (void)snprintf(parent, sizeof parent, "%s/..", path);
  int fd;
  do {
    fd = ddb__sys_open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno == EACCES) {
    return DDB_OK; /* what may not be read cannot be synced */
  }
  int result = fd < 0 ? -1 : ddb__file_sync(fd);
  ddb_status status = result < 0 && errno != EINVAL
                          ? ddb__file_fail(err, errno, "sync the directory of", path)
                          : DDB_OK;
  if (fd >= 0) {
    (void)ddb__sys_close(fd);
  }
  return status;
}

static ddb_status open_directory(ddb__wal *wal, const char *path, ddb_error *err) {
  char resolved[PATH_MAX];
  int made;
  do {
    made = ddb__sys_mkdir(path, 0777);
  } while (made < 0 && errno == EINTR);
  if (made < 0 && errno != EEXIST) {
    return ddb__file_fail(err, errno, "make the directory", path);
  }
  char *found;
  do {
    found = ddb__sys_realpath(path, resolved);
  } while (!found && errno == EINTR);
  if (!found) {
    return ddb__file_fail(err, errno, "resolve", path);
  }
  wal->path_size = strlen(resolved) + 1;
  wal->path = ddb__alloc(&ddb__heap_process, wal->path_size);
  if (!wal->path) {
    return ddb__fail_memory(err, wal->path_size);
  }
  memcpy(wal->path, resolved, wal->path_size);
  do {
    wal->directory = ddb__sys_open(wal->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (wal->directory < 0 && errno == EINTR);
  return wal->directory < 0 ? ddb__file_fail(err, errno, "open the directory", path) : DDB_OK;
}

static ddb_status in_use(const ddb__wal *wal, ddb_error *err) {
  char text[32] = "";
  ssize_t size = ddb__sys_read(wal->lock, text, sizeof text - 1);
  long pid = size > 0 ? strtol(text, NULL, 10) : 0;
  if (pid == (long)getpid()) {
    return ddb__fail(err, DDB_ERR_IN_USE, "the database '%.200s' is open in this process already",
                     wal->path);
  }
  return pid > 0
             ? ddb__fail(err, DDB_ERR_IN_USE, "the database '%.200s' is open in process %ld",
                         wal->path, pid)
             : ddb__fail(err, DDB_ERR_IN_USE, "the database '%.200s' is open elsewhere", wal->path);
}

/* The pid is for people and messages: the lock is what counts. */
static void write_pid(const ddb__wal *wal) {
  char text[32];
  int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ddb__sys_ftruncate(wal->lock, 0) == 0) {
    (void)!ddb__sys_write(wal->lock, text, (size_t)size);
  }
}

static ddb_status take_lock(ddb__wal *wal, ddb_error *err) {
  do {
    wal->lock = ddb__sys_openat(wal->directory, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  } while (wal->lock < 0 && errno == EINTR);
  if (wal->lock < 0) {
    return ddb__file_fail(err, errno, "open the lock of", wal->path);
  }
  int result;
  do {
    result = ddb__sys_flock(wal->lock, LOCK_EX | LOCK_NB);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    return errno == EWOULDBLOCK ? in_use(wal, err) : ddb__file_fail(err, errno, "lock", wal->path);
  }
  write_pid(wal);
  return DDB_OK;
}

static void close_one(int *fd) {
  if (*fd >= 0) {
    (void)ddb__sys_close(*fd);
    *fd = -1;
  }
}

void ddb__wal_close_files(ddb__wal *wal, bool unlock) {
  if (unlock && wal->lock >= 0) {
    (void)ddb__sys_flock(wal->lock, LOCK_UN);
  }
  close_one(&wal->fd);
  close_one(&wal->old_fd);
  close_one(&wal->lock);
  close_one(&wal->directory);
}

/* ---- Loading ------------------------------------------------------------------------------ */

static ddb_status load_checkpoint(ddb__wal *wal, uint64_t number, const ddb_open_options *options,
                                  ddb_db **out, uint64_t *commit, ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  char path[PATH_MAX];
  *commit = 0;
  if (number == 0) {
    return ddb_db_new(out, err);
  }
  ddb__native_chain chain = {0};
  ddb__native_head head;
  ddb__wal_checkpoint_name(number, name);
  DDB__TRY(ddb__wal_path(wal, name, path, sizeof path, err));
  ddb_status status =
      ddb__native_load(path, options ? options->progress : NULL, options ? options->context : NULL,
                       out, &chain, &head, &wal->checkpoint_size, err);
  if (status == DDB_ERR_CORRUPT && err) {
    return ddb__file_name(err, path);
  }
  DDB__TRY(status);
  if (head.segment != number) {
    ddb_db_release(*out);
    return ddb__fail(err, DDB_ERR_CORRUPT, "the checkpoint '%.200s' is that of another number",
                     path);
  }
  *commit = wal->checkpoint_commit = head.commit;
  return DDB_OK;
}

static ddb_status sync_directory(const ddb__wal *wal, ddb_error *err) {
  return ddb__file_sync(wal->directory) < 0 && errno != EINVAL /* some file systems cannot */
             ? ddb__file_fail(err, errno, "sync the directory", wal->path)
             : DDB_OK;
}

/* Cuts what is behind the log's end: later segments first, so that none of them is ever read after
 * an earlier one has new records. */
static ddb_status cut(ddb__wal *wal, ddb__log_place end, uint64_t last, ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  for (uint64_t segment = last; segment > end.segment; segment--) {
    ddb__wal_segment_name(segment, name);
    if (remove_file(wal, name) < 0) {
      return ddb__file_fail(err, errno, "remove the lost end of the log of", wal->path);
    }
  }
  if (last > end.segment) {
    DDB__TRY(sync_directory(wal, err));
  }
  int result;
  do {
    result = ddb__sys_ftruncate(wal->fd, end.offset);
  } while (result < 0 && errno == EINTR);
  return result < 0 || ddb__file_sync(wal->fd) < 0
             ? ddb__file_fail(err, errno, "cut the log of", wal->path)
             : DDB_OK;
}

/* Opens the segment where the log ends, and goes there. */
static ddb_status go_on(ddb__wal *wal, ddb__log_place end, bool torn, uint64_t last,
                        ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  ddb__wal_segment_name(end.segment, name);
  do {
    wal->fd = ddb__sys_openat(wal->directory, name, O_WRONLY | O_CLOEXEC, 0);
  } while (wal->fd < 0 && errno == EINTR);
  if (wal->fd < 0) {
    return ddb__file_fail(err, errno, "open the log of", wal->path);
  }
  if (torn && !DDB__FAULT(LOG_TAIL_KEPT)) {
    DDB__TRY(cut(wal, end, last, err));
  }
  off_t at;
  do {
    at = ddb__sys_lseek(wal->fd, (off_t)end.offset);
  } while (at < 0 && errno == EINTR);
  if (at < 0) {
    return ddb__file_fail(err, errno, "seek in the log of", wal->path);
  }
  wal->segment = end.segment;
  wal->written = end;
  return DDB_OK;
}

/* What was read may still be on its way to the disk, names too: nothing goes on from it, and nothing
 * older is removed, before it is there. */
static ddb_status make_durable(ddb__wal *wal, uint64_t first, ddb_error *err) {
  DDB__TRY(sync_directory(wal, err));
  for (uint64_t segment = first; segment < wal->segment; segment++) {
    char name[DDB__WAL_NAME_SIZE];
    ddb__wal_segment_name(segment, name);
    int fd;
    do {
      fd = ddb__sys_openat(wal->directory, name, O_RDONLY | O_CLOEXEC, 0);
    } while (fd < 0 && errno == EINTR);
    bool failed = fd < 0 || ddb__file_sync(fd) < 0;
    int error = errno;
    close_one(&fd);
    if (failed) {
      return ddb__file_fail(err, error, "sync the log of", wal->path);
    }
  }
  if (ddb__file_sync(wal->fd) < 0) {
    return ddb__file_fail(err, errno, "sync the log of", wal->path);
  }
  wal->synced = wal->written;
  return DDB_OK;
}

static int look_at(int directory, const char *name, struct stat *info) {
  int result;
  do {
    result = ddb__sys_fstatat(directory, name, info);
  } while (result < 0 && errno == EINTR);
  return result;
}

/* What was read by the path is to be gone on from in the locked directory: are they still one? */
static ddb_status check_place(const ddb__wal *wal, ddb_error *err) {
  struct stat locked;
  struct stat named;
  if (look_at(wal->directory, ".", &locked) < 0 || look_at(AT_FDCWD, wal->path, &named) < 0) {
    return ddb__file_fail(err, errno, "look at", wal->path);
  }
  return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino
             ? DDB_OK
             : ddb__file_fail(err, ESTALE, "go on in", wal->path);
}

static ddb_status load_log(ddb__wal *wal, ddb_db *db, const listing *found, uint64_t commit,
                           const ddb_open_options *options, ddb_error *err) {
  uint64_t first = found->checkpoint ? found->checkpoint : 1;
  if (found->last == 0 && found->checkpoint == 0) {
    DDB__TRY(sync_parent(wal->path, err));
    wal->identity = ddb__file_unique();
    DDB__TRY(ddb__wal_segment_new(wal, 1, &wal->fd, &wal->seed, err));
    wal->segment = 1;
    wal->written = wal->synced = (ddb__log_place){1, sizeof(ddb__native_head)};
    return DDB_OK;
  }
  ddb__log_place end;
  bool torn;
  uint64_t last = found->last > first ? found->last : first; /* the first one has to be there */
  DDB__TRY(ddb__wal_replay(wal, db, first, last, commit, options, &end, &torn, err));
  DDB__TRY(check_place(wal, err));
  DDB__TRY(go_on(wal, end, torn, last, err));
  if (!DDB__FAULT(RECOVERY_UNSYNCED)) {
    DDB__TRY(make_durable(wal, first, err));
  }
  ddb__wal_tidy(wal, first);
  return DDB_OK;
}

/* What is there: a database, or nothing but what one begins with. */
static ddb_status look_around(ddb__wal *wal, listing *found, ddb_error *err) {
  *found = (listing){.wal = wal};
  DDB__TRY(list(wal, look, found, err));
  return found->checkpoint || found->last || !found->stranger[0]
             ? DDB_OK
             : ddb__fail(err, DDB_ERR_INVALID,
                         "the directory '%.200s' has other files ('%s'), and no database",
                         wal->path, found->stranger);
}

static ddb_status load(ddb__wal *wal, const ddb_open_options *options, ddb_db **out,
                       ddb_error *err) {
  listing found;
  uint64_t commit;
  DDB__TRY(look_around(wal, &found, err));
  DDB__TRY(load_checkpoint(wal, found.checkpoint, options, out, &commit, err));
  ddb_status status = load_log(wal, *out, &found, commit, options, err);
  if (status != DDB_OK) {
    ddb_db_release(*out);
  }
  return status;
}

/* ---- Looking without opening -------------------------------------------------------------- */

/* Of a database that may be open elsewhere: its newest names, and the bytes of the newest segment. */
static ddb_status look_again(ddb__wal *wal, listing *found, uint64_t *size, ddb_error *err) {
  char name[DDB__WAL_NAME_SIZE];
  char path[PATH_MAX];
  ddb__file file;
  *found = (listing){.wal = wal};
  *size = 0;
  DDB__TRY(list(wal, look, found, err));
  ddb__wal_segment_name(found->last, name);
  DDB__TRY(ddb__wal_path(wal, name, path, sizeof path, err));
  ddb_status status = ddb__file_open(&file, path, err);
  if (status == DDB_OK) {
    *size = file.size;
    ddb__file_close(&file);
  }
  return status == DDB_ERR_IO && err->os_error == ENOENT ? DDB_OK : status; /* it has gone again */
}

static ddb_status load_found(ddb__wal *wal, const listing *found, const ddb_open_options *options,
                             ddb_db **out, ddb_file_info *info, ddb_error *err) {
  ddb__log_place end;
  bool torn;
  if (!found->checkpoint && !found->last) {
    return ddb__fail(err, DDB_ERR_INVALID, "'%.200s' is not the directory of a database",
                     wal->path);
  }
  DDB__TRY(load_checkpoint(wal, found->checkpoint, options, out, &info->commit, err));
  uint64_t first = found->checkpoint ? found->checkpoint : 1;
  uint64_t last = found->last > first ? found->last : first;
  ddb_status status =
      ddb__wal_replay(wal, *out, first, last, info->commit, options, &end, &torn, err);
  info->number = first;
  if (status != DDB_OK) {
    ddb_db_release(*out);
  }
  return status;
}

/* A checkpoint takes files away; and a record that was being written when it was read, and is whole and
 * synced when the log is searched behind it, looks like damage. In a directory that nobody changed it
 * is. */
static ddb_status load_unlocked(ddb__wal *wal, const ddb_open_options *options, ddb_db **out,
                                ddb_file_info *info, ddb_error *err) {
  listing found;
  uint64_t size;
  DDB__TRY(look_again(wal, &found, &size, err));
  for (int attempt = 1;; attempt++) {
    const listing before = found;
    const uint64_t size_before = size;
    ddb_error again;
    ddb_status status = load_found(wal, &before, options, out, info, err);
    bool may_pass = status == DDB_ERR_CORRUPT || (status == DDB_ERR_IO && err->os_error == ENOENT);
    if (!may_pass || attempt == LOAD_ATTEMPTS_MAX ||
        look_again(wal, &found, &size, &again) != DDB_OK ||
        (found.checkpoint == before.checkpoint && found.last == before.last &&
         size == size_before)) {
      return status;
    }
  }
}

ddb_status ddb__wal_load(const char *path, const ddb_open_options *options, ddb_db **out,
                         ddb_file_info *info, ddb_error *err) {
  ddb_error ignored;
  ddb__wal wal = {.path = (char *)(uintptr_t)path, .fd = -1, .old_fd = -1, .lock = -1};
  err = err ? err : &ignored;
  do {
    wal.directory = ddb__sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (wal.directory < 0 && errno == EINTR);
  if (wal.directory < 0) {
    return ddb__file_fail(err, errno, "open the directory", path);
  }
  ddb_status status = load_unlocked(&wal, options, out, info, err);
  close_one(&wal.directory);
  return status;
}

static ddb_status refuse_content(ddb__wal *wal, ddb_error *err) {
  listing found = {.wal = wal};
  DDB__TRY(list(wal, look, &found, err));
  if (found.checkpoint || found.last) {
    return ddb__fail(err, DDB_ERR_INVALID, "the directory '%.200s' has a database already",
                     wal->path);
  }
  return found.stranger[0]
             ? ddb__fail(err, DDB_ERR_INVALID, "the directory '%.200s' is not empty: it has '%s'",
                         wal->path, found.stranger)
             : DDB_OK;
}

ddb_status ddb__wal_claim(ddb__wal *wal, const char *path, ddb_error *err) {
  DDB__TRY(open_directory(wal, path, err));
  DDB__TRY(refuse_content(wal, err)); /* before a lock is put into it */
  DDB__TRY(take_lock(wal, err));
  DDB__TRY(refuse_content(wal, err));
  return sync_parent(wal->path, err);
}

ddb_status ddb__wal_open(ddb__wal *wal, const char *path, const ddb_open_options *options,
                         ddb_db **out, ddb_error *err) {
  listing found;
  DDB__TRY(open_directory(wal, path, err));
  DDB__TRY(look_around(wal, &found, err)); /* before a lock is put into it */
  DDB__TRY(take_lock(wal, err));
  return load(wal, options, out, err);
}
