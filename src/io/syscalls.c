/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscalls.c - the wrappers, and the fault that a testing build can plant in one of them.
 *
 * Invariants
 *   1. A wrapper that is made to fail has not done its work (close excepted), and errno is set.
 * Locks: none; the fault's words are atomic, and only tests write them.
 */
#include "io/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef DDB_TESTING
#include <stdatomic.h>

static _Atomic uint64_t call_count;
static _Atomic uint64_t failing_nth;
static _Atomic int failing_error;
static atomic_bool failing_repeat;
static _Atomic int failed_call = DDB__SYS_COUNT;

void ddb__test_sys_fail(uint64_t nth, int error, bool repeat) {
  atomic_store(&call_count, 0);
  atomic_store(&failing_error, error);
  atomic_store(&failing_repeat, repeat);
  atomic_store(&failed_call, DDB__SYS_COUNT);
  atomic_store(&failing_nth, nth);
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
#else
#define MUST_FAIL(name, size) ((void)(size), false)
#endif

char *ddb__sys_realpath(const char *path, char *resolved) {
  return MUST_FAIL(REALPATH, NULL) ? NULL : realpath(path, resolved);
}

int ddb__sys_open(const char *path, int flags) {
  return MUST_FAIL(OPEN, NULL) ? -1 : open(path, flags);
}

int ddb__sys_openat(int directory, const char *name, int flags, mode_t mode) {
  return MUST_FAIL(OPENAT, NULL) ? -1 : openat(directory, name, flags, mode);
}

ssize_t ddb__sys_read(int fd, void *buffer, size_t size) {
  return MUST_FAIL(READ, &size) ? -1 : read(fd, buffer, size);
}

off_t ddb__sys_lseek(int fd, off_t offset) {
  return MUST_FAIL(LSEEK, NULL) ? -1 : lseek(fd, offset, SEEK_SET);
}

ssize_t ddb__sys_write(int fd, const void *data, size_t size) {
  return MUST_FAIL(WRITE, &size) ? -1 : write(fd, data, size);
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
  return MUST_FAIL(FSYNC, NULL) ? -1 : fsync(fd);
}

int ddb__sys_renameat(int directory, const char *from, const char *to) {
  return MUST_FAIL(RENAMEAT, NULL) ? -1 : renameat(directory, from, directory, to);
}

int ddb__sys_unlinkat(int directory, const char *name) {
  return MUST_FAIL(UNLINKAT, NULL) ? -1 : unlinkat(directory, name, 0);
}

int ddb__sys_close(int fd) {
  bool failing = MUST_FAIL(CLOSE, NULL);
  int result = close(fd);
  if (failing) {
#ifdef DDB_TESTING
    errno = atomic_load(&failing_error);
#endif
    return -1;
  }
  return result;
}
