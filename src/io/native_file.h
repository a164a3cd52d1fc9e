/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_file.h - native files, for who keeps them beside a log, or in sets.
 */
#ifndef DDB_IO_NATIVE_FILE_H
#define DDB_IO_NATIVE_FILE_H

#include "dictdb.h"
#include "io/native.h"
#include "io/replay.h"

/* Saves a snapshot, or with `before` what changed since that one, of the same database. head: its
 * `segment` and `unused` are the file's. directory: see ddb__file_replace. *size: bytes of the file; may
 * be NULL. */
ddb_status ddb__native_save(ddb_snapshot *snapshot, ddb_snapshot *before,
                            const ddb__native_head *head, int directory, const char *path,
                            const ddb_save_options *options, uint64_t *size, ddb_error *err);
typedef ddb_status (*ddb__native_saver)(ddb_snapshot *snapshot, const char *path,
                                        const ddb_save_options *options, ddb_error *err);
/* Saves a snapshot of this moment. */
ddb_status ddb__native_save_now(ddb_db *db, ddb__native_saver save, const char *path,
                                const ddb_save_options *options, ddb_error *err);
/* Where a chain of a base and its deltas is. */
typedef struct ddb__native_chain {
  uint64_t base;   /* sum of the first file (native.h) */
  uint64_t sum;    /* of the last */
  uint64_t commit; /* the last one in it; 0: it does not say */
  uint64_t number; /* deltas so far */
} ddb__native_chain;

/* Reads a file, of the kind that the replay's mode is for, into its database. A delta must go on from
 * *chain, which is then behind it; of other files it begins there. On error what was replayed is to
 * be thrown away. CORRUPT (with offset), IO, NOMEM, INTERRUPTED. */
ddb_status ddb__native_read(const char *path, ddb_progress progress, void *context,
                            ddb__replay *replay, ddb__native_chain *chain, ddb__native_head *head,
                            uint64_t *size, ddb_error *err);
/* The head and the sum, which may be wrong if the file is damaged: reads the blocks' heads only. */
ddb_status ddb__native_walk(const char *path, ddb__native_head *head, uint64_t *sum,
                            ddb_error *err);
/* ddb_db_load, but that errors do not name the file; *chain: what may follow, *head: what the file begins with. */
ddb_status ddb__native_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                            ddb__native_chain *chain, ddb__native_head *head, uint64_t *size,
                            ddb_error *err);

#endif
