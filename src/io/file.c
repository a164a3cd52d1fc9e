/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - atomic replacement, and plain reading.
 *
 *   open directory -> create .NAME.<random>.tmp (O_EXCL) -> write ... -> fsync -> close
 *                  -> renameat over NAME -> fsync directory
 *
 * Invariants
 *   1. Until renameat succeeds the file at the path is not touched, whatever fails.
 *   2. On every path but a killed process (or a failing unlink) the temporary file is gone.
 *   3. All names are looked up in the directory opened first, or lent: a change of the working directory, or
 *      of the directory's own name, cannot tear temporary file and target apart.
 *   4. Only a regular file, or none, is replaced: a device or a directory is refused.
 * Ownership: the descriptors and the path of a ddb__file, but not a directory that was lent.
 * Locks: none. Cost: two syncs per replacement.
 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "io/syscalls.h"
#include "io/try.h"

#define NAME_BYTES_KEPT 200
#define CREATE_TRIES    100

static const ddb__file no_file = {.fd = -1, .directory = -1};

/* ---- Errors ------------------------------------------------------------------------------- */

ddb_status ddb__file_fail(ddb_error *err, int error, const char *action, const char *path) {
  char text[128] = "";
#if defined(__GLIBC__)
  const char *reason = strerror_r(error, text, sizeof text);
#else
  const char *reason = strerror_r(error, text, sizeof text) == 0 ? text : "unknown error";
#endif
  ddb_status status = ddb__fail(err, DDB_ERR_IO, "cannot %s '%.200s': %s", action, path, reason);
  if (err) {
    err->os_error = error;
  }
  return status;
}

ddb_status ddb__file_name(ddb_error *err, const char *path) {
  ddb_error cause = *err;
  (void)ddb__fail(err, cause.status, "'%.160s': %s", path, cause.message);
  memcpy(cause.message, err->message, sizeof cause.message);
  *err = cause;
  return cause.status;
}

/* ---- Names -------------------------------------------------------------------------------- */

static ddb_status keep_path(ddb__file *file, const char *path, ddb_error *err) {
  size_t size = strlen(path) + 1;
  file->path = ddb__alloc(&ddb__heap_process, size);
  if (!file->path) {
    return ddb__fail_memory(err, size);
  }
  memcpy(file->path, path, size);
  file->path_size = size;
  const char *slash = strrchr(file->path, '/');
  file->name = slash ? slash + 1 : file->path;
  return DDB_OK;
}

static ddb_status check_path(const char *path, ddb_error *err) {
  if (!path || !*path) {
    return ddb__fail(err, DDB_ERR_INVALID, "no path given");
  }
  return DDB_OK;
}

/* The path that will be replaced: what a symbolic link leads to, not the link. */
static ddb_status resolve_target(ddb__file *file, const char *path, ddb_error *err) {
  char resolved[PATH_MAX];
  char *found;
  do {
    found = ddb__sys_realpath(path, resolved);
  } while (!found && errno == EINTR);
  if (!found && errno != ENOENT) {
    return ddb__file_fail(err, errno, "resolve", path);
  }
  DDB__TRY(keep_path(file, found ? found : path, err));
  return *file->name ? DDB_OK : ddb__file_fail(err, EISDIR, "replace", path);
}

uint64_t ddb__file_unique(void) {
  static _Atomic uint64_t counter;
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  uint64_t mix = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
  mix ^= (uint64_t)getpid() << 40;
  mix +=
      atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed) * UINT64_C(0x9e3779b97f4a7c15);
  mix = (mix ^ (mix >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  mix = (mix ^ (mix >> 27)) * UINT64_C(0x94d049bb133111eb);
  return mix ^ (mix >> 31);
}

/* ---- Replacing ---------------------------------------------------------------------------- */

static ddb_status open_directory(ddb__file *file, ddb_error *err) {
  char *slash = strrchr(file->path, '/');
  const char *directory = ".";
  char kept = 0;
  if (slash) {
    /* "/name" is in "/", "a/name" in "a": cut after the slash, or before it. */
    char *cut = slash == file->path ? slash + 1 : slash;
    kept = *cut;
    *cut = '\0';
    directory = file->path;
    slash = cut;
  }
  do {
    file->directory = ddb__sys_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (file->directory < 0 && errno == EINTR);
  int error = errno;
  if (slash) {
    *slash = kept;
  }
  return file->directory < 0 ? ddb__file_fail(err, error, "open the directory of", file->path)
                             : DDB_OK;
}

/* *mode: of the file that is there now; untouched when there is none. */
static ddb_status check_target(const ddb__file *file, mode_t *mode, bool *exists, ddb_error *err) {
  struct stat info;
  int result;
  do {
    result = ddb__sys_fstatat(file->directory, file->name, &info);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    if (errno == ENOENT) {
      *exists = false;
      return DDB_OK;
    }
    return ddb__file_fail(err, errno, "look at", file->path);
  }
  if (!S_ISREG(info.st_mode)) {
    return ddb__file_fail(err, S_ISDIR(info.st_mode) ? EISDIR : EINVAL, "replace", file->path);
  }
  *exists = true;
  *mode = info.st_mode & 0777;
  return DDB_OK;
}

static ddb_status create_temporary(ddb__file *file, ddb_error *err) {
  for (int tries = 0; tries < CREATE_TRIES; tries++) {
    (void)snprintf(file->temporary, sizeof file->temporary, ".%.*s.%016llx.tmp", NAME_BYTES_KEPT,
                   file->name, (unsigned long long)ddb__file_unique());
    file->fd = ddb__sys_openat(file->directory, file->temporary,
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0) {
      file->temporary_made = true;
      return DDB_OK;
    }
    if (errno != EEXIST && errno != EINTR) {
      break;
    }
  }
  return ddb__file_fail(err, errno, "create a temporary file beside", file->path);
}

static ddb_status prepare(ddb__file *file, int directory, const char *path, ddb_error *err) {
  mode_t mode = 0;
  bool exists = false;
  if (directory < 0) {
    DDB__TRY(resolve_target(file, path, err));
    DDB__TRY(open_directory(file, err));
  } else {
    DDB__TRY(keep_path(file, path, err));
    file->directory = directory;
    file->directory_lent = true;
  }
  DDB__TRY(check_target(file, &mode, &exists, err));
  DDB__TRY(create_temporary(file, err));
  int result = 0;
  while (exists && (result = ddb__sys_fchmod(file->fd, mode)) < 0 && errno == EINTR) {
  }
  return result < 0 ? ddb__file_fail(err, errno, "set the mode of the new", file->path) : DDB_OK;
}

ddb_status ddb__file_replace(ddb__file *file, int directory, const char *path, ddb_error *err) {
  *file = no_file;
  DDB__TRY(check_path(path, err));
  ddb_status status = prepare(file, directory, path, err);
  if (status != DDB_OK) {
    ddb__file_cancel(file);
  }
  return status;
}

ddb_status ddb__file_write(ddb__file *file, const void *data, size_t size, ddb_error *err) {
  const char *at = data;
  size_t left = size;
  while (left) {
    ssize_t written = ddb__sys_write(file->fd, at, left);
    if (written > 0) {
      at += written;
      left -= (size_t)written;
    } else if (written == 0 || errno != EINTR) {
      return ddb__file_fail(err, written == 0 ? ENOSPC : errno, "write", file->path);
    }
  }
  file->size += size;
  return DDB_OK;
}

int ddb__file_sync(int fd) {
  int result;
  do {
    result = ddb__sys_fsync(fd);
  } while (result < 0 && errno == EINTR);
  return result;
}

/* Everything up to the instant from which the path is the new file. */
static ddb_status put_in_place(ddb__file *file, ddb_error *err) {
  if (ddb__file_sync(file->fd) < 0) {
    return ddb__file_fail(err, errno, "sync", file->path);
  }
  int result = ddb__sys_close(file->fd);
  file->fd = -1;
  /* EINTR: the descriptor is closed, and the sync before it has succeeded. */
  if (result < 0 && errno != EINTR) {
    return ddb__file_fail(err, errno, "close", file->path);
  }
  do {
    result = ddb__sys_renameat(file->directory, file->temporary, file->name);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    return ddb__file_fail(err, errno, "replace", file->path);
  }
  file->temporary_made = false;
  return DDB_OK;
}

ddb_status ddb__file_commit(ddb__file *file, ddb_error *err) {
  ddb_status status = put_in_place(file, err);
  bool sync = status == DDB_OK && !DDB__FAULT(RENAME_UNSYNCED);
  if (sync && ddb__file_sync(file->directory) < 0 && errno != EINVAL) {
    /* EINVAL: this file system does not sync directories. */
    status = ddb__file_fail(err, errno, "sync the directory of", file->path);
  }
  ddb__file_cancel(file);
  return status;
}

static void release(ddb__file *file) {
  if (file->fd >= 0) {
    (void)ddb__sys_close(file->fd);
  }
  if (file->directory >= 0 && !file->directory_lent) {
    (void)ddb__sys_close(file->directory);
  }
  ddb__free(&ddb__heap_process, file->path, file->path_size);
  *file = no_file;
}

void ddb__file_cancel(ddb__file *file) {
  while (file->temporary_made && ddb__sys_unlinkat(file->directory, file->temporary) < 0 &&
         errno == EINTR) {
  }
  release(file);
}

ddb_status ddb__file_replace_by(ddb__file *file, int directory, const char *path,
                                ddb_status (*write)(void *context), void *context, ddb_error *err) {
  DDB__TRY(ddb__file_replace(file, directory, path, err));
  ddb_status status = write(context);
  if (status != DDB_OK) {
    ddb__file_cancel(file);
    return status;
  }
  return ddb__file_commit(file, err);
}

typedef struct chunks {
  ddb__file file;
  ddb_chunks next;
  void *context;
  ddb_error *err;
} chunks;

static ddb_status write_chunks(void *context) {
  chunks *c = context;
  for (;;) {
    const void *data = NULL;
    size_t size = 0;
    DDB__TRY(c->next(c->context, &data, &size, c->err));
    if (size == 0) {
      return DDB_OK;
    }
    DDB__TRY(ddb__file_write(&c->file, data, size, c->err));
  }
}

ddb_status ddb_file_replace(const char *path, ddb_chunks next, void *context, ddb_error *err) {
  chunks c = {.next = next, .context = context, .err = err};
  return ddb__file_replace_by(&c.file, -1, path, write_chunks, &c, err);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static ddb_status open_for_reading(ddb__file *file, ddb_error *err) {
  do {
    file->fd = ddb__sys_open(file->path, O_RDONLY | O_CLOEXEC);
  } while (file->fd < 0 && errno == EINTR);
  if (file->fd < 0) {
    return ddb__file_fail(err, errno, "open", file->path);
  }
  struct stat info;
  int result;
  do {
    result = ddb__sys_fstat(file->fd, &info);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    return ddb__file_fail(err, errno, "look at", file->path);
  }
  if (S_ISDIR(info.st_mode)) {
    return ddb__file_fail(err, EISDIR, "read", file->path);
  }
  file->size = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
  return DDB_OK;
}

ddb_status ddb__file_open(ddb__file *file, const char *path, ddb_error *err) {
  *file = no_file;
  DDB__TRY(check_path(path, err));
  DDB__TRY(keep_path(file, path, err));
  ddb_status status = open_for_reading(file, err);
  if (status != DDB_OK) {
    release(file);
  }
  return status;
}

ddb_status ddb__file_read(ddb__file *file, void *buffer, size_t capacity, size_t *size,
                          ddb_error *err) {
  ssize_t count;
  do {
    count = ddb__sys_read(file->fd, buffer, capacity);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return ddb__file_fail(err, errno, "read", file->path);
  }
  *size = (size_t)count;
  return DDB_OK;
}

ddb_status ddb__file_read_full(ddb__file *file, void *buffer, size_t wanted, size_t *size,
                               ddb_error *err) {
  size_t done = 0;
  while (done < wanted) {
    size_t piece = 0;
    DDB__TRY(ddb__file_read(file, (char *)buffer + done, wanted - done, &piece, err));
    if (piece == 0) {
      break;
    }
    done += piece;
  }
  *size = done;
  return DDB_OK;
}

ddb_status ddb__file_seek(ddb__file *file, uint64_t offset, ddb_error *err) {
  off_t result;
  do {
    result = ddb__sys_lseek(file->fd, (off_t)offset);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? ddb__file_fail(err, errno, "seek in", file->path) : DDB_OK;
}

void ddb__file_close(ddb__file *file) {
  release(file);
}
