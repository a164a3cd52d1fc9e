/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscalls.c - the wrappers, and the fault that a testing build can plant in one of them.
 *
 * Invariants
 *   1. A wrapper that is made to fail has not done its work (close excepted), and errno is set.
 * Locks: none; the fault's words are atomic, and only tests write them.
 */
#include "io/syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#ifdef DDB_TESTING
#include <stdatomic.h>

static _Atomic uint64_t call_count;
static _Atomic uint64_t failing_nth;
static _Atomic int failing_error;
static atomic_bool failing_repeat;
static _Atomic int failed_call = DDB__SYS_COUNT;
static _Atomic int only_call = DDB__SYS_COUNT;

void ddb__test_sys_fail(uint64_t nth, int error, bool repeat) {
  atomic_store(&call_count, 0);
  atomic_store(&failing_error, error);
  atomic_store(&failing_repeat, repeat);
  atomic_store(&failed_call, DDB__SYS_COUNT);
  atomic_store(&failing_nth, nth);
}

void ddb__test_sys_only(ddb__sys_call call) {
  atomic_store(&only_call, (int)call);
}

uint64_t ddb__test_sys_count(void) {
  return atomic_load(&call_count);
}

ddb__sys_call ddb__test_sys_failed(void) {
  return (ddb__sys_call)atomic_load(&failed_call);
}

const char *ddb__test_sys_name(ddb__sys_call call) {
  static const char *const names[] = {
#define DDB_X(name, text) text,
      DDB__SYS_MAP(DDB_X)
#undef DDB_X
          "none"};
  return names[call <= DDB__SYS_COUNT ? call : DDB__SYS_COUNT];
}

/* True: the call must fail, errno is set. size: NULL, or what is to be moved. */
static bool must_fail(ddb__sys_call call, size_t *size) {
  int only = atomic_load(&only_call);
  if (only != DDB__SYS_COUNT && only != (int)call) {
    return false;
  }
  uint64_t count = atomic_fetch_add(&call_count, 1) + 1;
  uint64_t nth = atomic_load(&failing_nth);
  if (nth == 0 || count < nth || (count > nth && !atomic_load(&failing_repeat))) {
    return false;
  }
  int error = atomic_load(&failing_error);
  atomic_store(&failed_call, (int)call);
  if (error == DDB__SYS_SHORT) {
    if (size && *size > 1) {
      *size /= 2;
    }
    return false;
  }
  errno = error;
  return true;
}
#define MUST_FAIL(name, size) must_fail(DDB__SYS_##name, (size))

static void (*_Atomic tracer)(void *context, const ddb__sys_event *event);
static void *_Atomic tracer_context;
static atomic_bool tracer_quick;

void ddb__test_sys_trace(void (*trace)(void *context, const ddb__sys_event *event), void *context,
                         bool quick) {
  atomic_store(&tracer, NULL);
  atomic_store(&tracer_context, context);
  atomic_store(&tracer_quick, quick);
  atomic_store(&tracer, trace);
}

static void tell(bool done, ddb__sys_event event) {
  int error = errno;
  void (*trace)(void *context, const ddb__sys_event *event) = atomic_load(&tracer);
  if (done && trace) {
    trace(atomic_load(&tracer_context), &event);
  }
  errno = error;
}
#define TELL(done, ...) tell((done), (ddb__sys_event){__VA_ARGS__})
#define NO_SYNC()       atomic_load(&tracer_quick)
#else
#define MUST_FAIL(name, size) ((void)(size), false)
#define TELL(done, ...)       ((void)(done))
#define NO_SYNC()             false
#endif

char *ddb__sys_realpath(const char *path, char *resolved) {
  return MUST_FAIL(REALPATH, NULL) ? NULL : realpath(path, resolved);
}

int ddb__sys_open(const char *path, int flags) {
  return MUST_FAIL(OPEN, NULL) ? -1 : open(path, flags);
}

int ddb__sys_openat(int directory, const char *name, int flags, mode_t mode) {
  int fd = MUST_FAIL(OPENAT, NULL) ? -1 : openat(directory, name, flags, mode);
  TELL(fd >= 0, .call = DDB__SYS_OPENAT, .fd = fd, .name = name);
  return fd;
}

ssize_t ddb__sys_read(int fd, void *buffer, size_t size) {
  return MUST_FAIL(READ, &size) ? -1 : read(fd, buffer, size);
}

off_t ddb__sys_lseek(int fd, off_t offset) {
  off_t at = MUST_FAIL(LSEEK, NULL) ? -1 : lseek(fd, offset, SEEK_SET);
  TELL(at >= 0, .call = DDB__SYS_LSEEK, .fd = fd, .size = (uint64_t)at);
  return at;
}

ssize_t ddb__sys_write(int fd, const void *data, size_t size) {
  ssize_t done = MUST_FAIL(WRITE, &size) ? -1 : write(fd, data, size);
  TELL(done > 0, .call = DDB__SYS_WRITE, .fd = fd, .data = data, .size = (uint64_t)done);
  return done;
}

int ddb__sys_fstat(int fd, struct stat *out) {
  return MUST_FAIL(FSTAT, NULL) ? -1 : fstat(fd, out);
}

int ddb__sys_fstatat(int directory, const char *name, struct stat *out) {
  return MUST_FAIL(FSTATAT, NULL) ? -1 : fstatat(directory, name, out, 0);
}

int ddb__sys_fchmod(int fd, mode_t mode) {
  return MUST_FAIL(FCHMOD, NULL) ? -1 : fchmod(fd, mode);
}

int ddb__sys_fsync(int fd) {
  int result = MUST_FAIL(FSYNC, NULL) ? -1 : NO_SYNC() ? 0 : fsync(fd);
  TELL(result == 0, .call = DDB__SYS_FSYNC, .fd = fd);
  return result;
}

int ddb__sys_fdatasync(int fd) {
  int result = MUST_FAIL(FDATASYNC, NULL) ? -1 : NO_SYNC() ? 0 : fdatasync(fd);
  TELL(result == 0, .call = DDB__SYS_FDATASYNC, .fd = fd);
  return result;
}

int ddb__sys_ftruncate(int fd, uint64_t size) {
  int result = MUST_FAIL(FTRUNCATE, NULL) ? -1 : ftruncate(fd, (off_t)size);
  TELL(result == 0, .call = DDB__SYS_FTRUNCATE, .fd = fd, .size = size);
  return result;
}

int ddb__sys_fallocate(int fd, uint64_t size) {
  return MUST_FAIL(FALLOCATE, NULL) ? -1 : fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
}

int ddb__sys_flock(int fd, int operation) {
  return MUST_FAIL(FLOCK, NULL) ? -1 : flock(fd, operation);
}

int ddb__sys_mkdir(const char *path, mode_t mode) {
  return MUST_FAIL(MKDIR, NULL) ? -1 : mkdir(path, mode);
}

static bool is_link(const char *name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int ddb__sys_readdir(int directory, void (*each)(void *context, const char *name), void *context) {
  if (MUST_FAIL(READDIR, NULL)) {
    return -1;
  }
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd < 0 ? NULL : fdopendir(fd);
  if (!stream) {
    int error = errno;
    if (fd >= 0) {
      (void)close(fd);
    }
    errno = error;
    return -1;
  }
  errno = 0;
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    if (!is_link(entry->d_name)) {
      each(context, entry->d_name);
    }
    errno = 0;
  }
  int error = errno;
  (void)closedir(stream);
  errno = error;
  return error ? -1 : 0;
}

int ddb__sys_renameat(int directory, const char *from, const char *to) {
  int result = MUST_FAIL(RENAMEAT, NULL) ? -1 : renameat(directory, from, directory, to);
  TELL(result == 0, .call = DDB__SYS_RENAMEAT, .fd = directory, .name = from, .to = to);
  return result;
}

int ddb__sys_unlinkat(int directory, const char *name) {
  int result = MUST_FAIL(UNLINKAT, NULL) ? -1 : unlinkat(directory, name, 0);
  TELL(result == 0, .call = DDB__SYS_UNLINKAT, .fd = directory, .name = name);
  return result;
}

int ddb__sys_close(int fd) {
  bool failing = MUST_FAIL(CLOSE, NULL);
  TELL(true, .call = DDB__SYS_CLOSE, .fd = fd);
  int result = close(fd);
  if (failing) {
#ifdef DDB_TESTING
    errno = atomic_load(&failing_error);
#endif
    return -1;
  }
  return result;
}
