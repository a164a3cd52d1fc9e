/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - files that are replaced whole or not at all, and files that are read from start to end.
 *
 *   ddb__file_replace -> ddb__file_write ... -> ddb__file_commit    the path is the new file
 *                                            -> ddb__file_cancel    the path is as it was
 *   ddb__file_open -> ddb__file_read ... -> ddb__file_close
 *
 * A ddb__file lives where its user puts it (no pointer to itself) and belongs to one thread at a
 * time. Errors are DDB_ERR_IO with os_error and the path; also NOMEM, and INVALID for no path.
 * Memory: the names only. What is written goes to the system at once: buffers are the caller's.
 */
#ifndef DDB_IO_FILE_H
#define DDB_IO_FILE_H

#include "dictdb.h"

typedef struct ddb__file {
  int fd;              /* -1: none */
  int directory;       /* replacing: the directory of all names below, else -1 */
  bool directory_lent; /* it is the caller's */
  char *path;          /* replacing: symbolic links are followed; NUL-terminated, owned */
  size_t path_size;    /* bytes allocated at path */
  const char *name;    /* replacing: the last part of path */
  uint64_t size;       /* bytes of the file: written so far, or to be read (0: not known) */
  bool temporary_made; /* the file `temporary` exists */
  char temporary[256]; /* replacing: its name */
} ddb__file;

/* Makes a temporary file beside `path`, with the mode of the file that is there now. directory: a
 * descriptor of the directory that the path's last part is in, wherever that is by now, lent to `file`
 * for its life; -1: the one that the path says. On error there is nothing to cancel. */
ddb_status ddb__file_replace(ddb__file *file, int directory, const char *path, ddb_error *err);
ddb_status ddb__file_write(ddb__file *file, const void *data, size_t size, ddb_error *err);
/* Syncs the temporary file, renames it over the path, syncs the directory. On error the file is
 * cancelled; only when the directory's sync has failed (after the rename) the path is the new file,
 * and a power cut may bring the old one back. Ends the use of `file` either way. */
ddb_status ddb__file_commit(ddb__file *file, ddb_error *err);
/* Removes the temporary file. */
void ddb__file_cancel(ddb__file *file);
/* All of it: `write` gives the file its bytes; the path is replaced if it returns DDB_OK, else as it was. */
ddb_status ddb__file_replace_by(ddb__file *file, int directory, const char *path,
                                ddb_status (*write)(void *context), void *context, ddb_error *err);

ddb_status ddb__file_open(ddb__file *file, const char *path, ddb_error *err);
/* *size: bytes read, 0 at the end of the file. */
ddb_status ddb__file_read(ddb__file *file, void *buffer, size_t capacity, size_t *size,
                          ddb_error *err);
/* *size: bytes read, fewer than `wanted` at the end of the file only. */
ddb_status ddb__file_read_full(ddb__file *file, void *buffer, size_t wanted, size_t *size,
                               ddb_error *err);
/* The next read starts at this byte. */
ddb_status ddb__file_seek(ddb__file *file, uint64_t offset, ddb_error *err);
void ddb__file_close(ddb__file *file);

/* IO with os_error `error` (an errno value): "cannot <action> '<path>': ...". */
ddb_status ddb__file_fail(ddb_error *err, int error, const char *action, const char *path);
/* Puts a file's name in front of what an error says; returns its status. err: not NULL. */
ddb_status ddb__file_name(ddb_error *err, const char *path);
/* A number that no other call, in no other process, is likely to give. */
uint64_t ddb__file_unique(void);
/* fsync, again after EINTR. -1: errno says why. */
int ddb__file_sync(int fd);

#endif
