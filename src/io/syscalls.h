/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscalls.h - every call to the operating system that file.c makes, one thin wrapper each, so that
 * a test can make the n-th of them fail.
 *
 * Each wrapper is the call of that name: same arguments, same result, same errno. In a release
 * build it is nothing else. Thread-safety: atomic.
 */
#ifndef DDB_IO_SYSCALLS_H
#define DDB_IO_SYSCALLS_H

#include <sys/stat.h>
#include <sys/types.h>

#include "dictdb.h"

/* X(enumerator, name of the call) */
#define DDB__SYS_MAP(X)                                                                            \
  X(REALPATH, "realpath")                                                                          \
  X(OPEN, "open")                                                                                  \
  X(OPENAT, "openat")                                                                              \
  X(READ, "read")                                                                                  \
  X(LSEEK, "lseek")                                                                                \
  X(WRITE, "write")                                                                                \
  X(FSTAT, "fstat")                                                                                \
  X(FSTATAT, "fstatat")                                                                            \
  X(FCHMOD, "fchmod")                                                                              \
  X(FSYNC, "fsync")                                                                                \
  X(FDATASYNC, "fdatasync")                                                                        \
  X(FTRUNCATE, "ftruncate")                                                                        \
  X(FALLOCATE, "fallocate")                                                                        \
  X(FLOCK, "flock")                                                                                \
  X(MKDIR, "mkdir")                                                                                \
  X(READDIR, "readdir")                                                                            \
  X(RENAMEAT, "renameat")                                                                          \
  X(UNLINKAT, "unlinkat")                                                                          \
  X(CLOSE, "close")

typedef enum ddb__sys_call {
#define DDB_X(name, text) DDB__SYS_##name,
  DDB__SYS_MAP(DDB_X)
#undef DDB_X
      DDB__SYS_COUNT
} ddb__sys_call;

char *ddb__sys_realpath(const char *path, char *resolved);
int ddb__sys_open(const char *path, int flags);
int ddb__sys_openat(int directory, const char *name, int flags, mode_t mode);
ssize_t ddb__sys_read(int fd, void *buffer, size_t size);
off_t ddb__sys_lseek(int fd, off_t offset);
ssize_t ddb__sys_write(int fd, const void *data, size_t size);
int ddb__sys_fstat(int fd, struct stat *out);
int ddb__sys_fstatat(int directory, const char *name, struct stat *out);
int ddb__sys_fchmod(int fd, mode_t mode);
int ddb__sys_fsync(int fd);
int ddb__sys_fdatasync(int fd);
int ddb__sys_ftruncate(int fd, uint64_t size);
/* Room on the disk for the bytes from 0 to `size`; the file's size stays as it is. */
int ddb__sys_fallocate(int fd, uint64_t size);
int ddb__sys_flock(int fd, int operation);
int ddb__sys_mkdir(const char *path, mode_t mode);
/* Calls `each` for every name in the directory but "." and "..". -1: errno says why. */
int ddb__sys_readdir(int directory, void (*each)(void *context, const char *name), void *context);
int ddb__sys_renameat(int directory, const char *from, const char *to);
int ddb__sys_unlinkat(int directory, const char *name);
/* When it is made to fail, the descriptor is closed all the same, as Linux does. */
int ddb__sys_close(int fd);

#ifdef DDB_TESTING
/* As an error: a read or write moves half of what was asked (at least one byte); other calls are
 * not touched. */
#define DDB__SYS_SHORT (-1)

/* From now on: the nth call (1 is the next one) fails with `error`, an errno value or
 * DDB__SYS_SHORT; with `repeat`, all after it too. nth 0: none. Restarts the count. */
DDB_API void ddb__test_sys_fail(uint64_t nth, int error, bool repeat);
/* Only this call is counted and made to fail; DDB__SYS_COUNT: all are. */
DDB_API void ddb__test_sys_only(ddb__sys_call call);
/* Calls made since ddb__test_sys_fail. */
DDB_API uint64_t ddb__test_sys_count(void);
/* The call that failed last, DDB__SYS_COUNT when none has since ddb__test_sys_fail. */
DDB_API ddb__sys_call ddb__test_sys_failed(void);
DDB_API const char *ddb__test_sys_name(ddb__sys_call call);

/* What changed files: told after each call that did. */
typedef struct ddb__sys_event {
  ddb__sys_call call; /* OPENAT (that may create), WRITE, FSYNC, FDATASYNC, FTRUNCATE, RENAMEAT,
                         UNLINKAT, CLOSE; LSEEK */
  int fd;             /* the file; of RENAMEAT and UNLINKAT the directory */
  const char *name;   /* OPENAT, RENAMEAT, UNLINKAT */
  const char *to;     /* RENAMEAT */
  const void *data;   /* WRITE: size bytes */
  uint64_t size;      /* WRITE; FTRUNCATE: the new size; LSEEK: the place */
} ddb__sys_event;
/* NULL ends it. quick: nothing is really synced. */
DDB_API void ddb__test_sys_trace(void (*trace)(void *context, const ddb__sys_event *event),
                                 void *context, bool quick);
#endif

#endif
