/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support.h - what the fuzz targets of files share: a folder in memory, a budget of memory, and a
 * database as bytes.
 */
#ifndef DDB_TESTS_FUZZ_SUPPORT_H
#define DDB_TESTS_FUZZ_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>

#include "dictdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

typedef struct fuzz_bytes {
  char *data; /* malloc */
  size_t size;
} fuzz_bytes;

/* Aborts with the text when it does not hold, so that the fuzzer keeps the input. */
void fuzz_require(bool held, const char *what);
/* Before any other call: counts what is allocated, makes a folder that goes with the process, plants
 * the fault that DICTDB_FAULT names. */
void fuzz_begin(void);
/* A path in that folder; valid until the fourth call from here. */
const char *fuzz_path(const char *name);
void fuzz_write(const char *path, const void *data, size_t size);
fuzz_bytes fuzz_file(const char *path);
/* Removes a directory of files. */
void fuzz_remove(const char *path);

/* From now on: the most that is held above what is held now. */
void fuzz_memory_watch(void);
/* No file makes a load hold more than 64 times its decompressed bytes and 1 MiB. */
void fuzz_memory_check(uint64_t decompressed);

/* The database as a native file, uncompressed. */
fuzz_bytes fuzz_saved(ddb_db *db);
/* Have two such files the same contents? The number of the last commit may differ. */
bool fuzz_same(const fuzz_bytes *a, const fuzz_bytes *b);
/* An error of a file: a status that blames it, with a text. */
void fuzz_check_error(ddb_status status, const ddb_error *err);
/* Looks at every value of every table, so that sanitizers see it. */
void fuzz_read(ddb_db *db);

#endif
