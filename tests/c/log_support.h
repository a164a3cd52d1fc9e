/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_support.h - what the tests of opened databases share: folders, a random workload whose every
 * state is remembered as one number.
 */
#ifndef DDB_TESTS_LOG_SUPPORT_H
#define DDB_TESTS_LOG_SUPPORT_H

#include "support.h"

/* A folder of this run, in memory where there is such a place; removed with all that is in it. */
extern char log_folder[128];
int log_setup(void **state);
int log_teardown(void **state);
/* Removes a directory of files. */
void log_remove(const char *path);

/* A number for everything that can be read of a database. */
uint64_t log_digest(ddb_db *db);
ddb_db *log_open(const char *path, ddb_durability durability);
ddb_status log_try_open(const char *path, ddb_db **db, ddb_error *err);

/* For a test: log_path is a directory in the folder, removed at its end. */
extern char log_path[160];
int log_begin(void **state);
int log_end(void **state);

void log_close(ddb_db *db);
/* The table, made if need be; a reference. */
ddb_table *log_table(ddb_db *db, const char *name);
/* Opens the directory and counts the rows of table "t". */
uint64_t log_count_rows(const char *path);
ddb_log_info log_info(ddb_db *db);

typedef enum log_step {
  LOG_STATEMENT, /* something changed, or nothing */
  LOG_SYNC,
  LOG_CHECKPOINT
} log_step;
/* Called after each commit of log_do; NULL: nobody cares. */
extern void (*log_committed)(ddb_db *db);
/* One random step: statements on a few tables, locks over two of them, tables that come and go, indexes.
 * It must succeed. */
log_step log_do(ddb_db *db, uint64_t *seed);

#endif
