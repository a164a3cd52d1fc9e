/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_file.h - native files, for who keeps them beside a log.
 */
#ifndef DDB_IO_NATIVE_FILE_H
#define DDB_IO_NATIVE_FILE_H

#include "dictdb.h"
#include "io/native.h"

/* ddb_snapshot_save, with the number of the first log segment that goes on from the snapshot (0:
 * none). *size: bytes of the file; may be NULL. */
ddb_status ddb__native_save(ddb_snapshot *snapshot, const char *path,
                            const ddb_save_options *options, uint64_t segment, uint64_t *size,
                            ddb_error *err);
/* ddb_db_load; *head: what the file begins with. */
ddb_status ddb__native_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                            ddb__native_head *head, uint64_t *size, ddb_error *err);

#endif
