/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h - operations on their way in: a stream of bytes becomes tables and records.
 *
 *   ddb__replay_init -> ddb__replay_bytes ... -> ddb__replay_flush -> ddb__replay_fini
 *
 * A scan looks at the operations' form alone and changes nothing but automatic keys: it raises those of
 * the tables that the database has by the same name.
 * The database is nobody else's yet. Nothing that comes is trusted: CORRUPT, with the offset (in the
 * file) of the bytes that began the operation. Distinct. Memory: 16 bytes for each shape and table,
 * the largest operation once.
 */
#ifndef DDB_IO_REPLAY_H
#define DDB_IO_REPLAY_H

#include "dictdb.h"
#include "io/block_check.h"
#include "io/native.h"
#include "store/write.h"

typedef struct ddb__replay_table {
  ddb_table *table; /* a reference */
  uint32_t number;
} ddb__replay_table;

typedef struct ddb__replay_shape {
  const ddb_shape *shape; /* an input shape, all of whose fields are given */
  uint32_t table;         /* where in `tables` */
} ddb__replay_shape;

typedef enum ddb__replay_mode {
  DDB__REPLAY_SNAPSHOT, /* a whole database, with an end */
  DDB__REPLAY_DELTA,    /* changes to one, with a beginning and an end */
  DDB__REPLAY_LOG,      /* changes to one */
  DDB__REPLAY_SCAN      /* any of them */
} ddb__replay_mode;

typedef struct ddb__replay {
  ddb_db *db;
  ddb__replay_mode mode;
  bool begun; /* a delta: its first operation was there */
  bool ended;
  ddb__replay_table *tables; /* ascending by number */
  size_t table_count;
  size_t table_capacity;
  ddb__replay_shape *shapes; /* by number */
  size_t shape_count;
  size_t shape_capacity;
  ddb_str *names; /* scratch */
  size_t name_capacity;
  size_t last_table; /* of the last operation, in `tables` */
  ddb__write write;  /* an open statement, if `writing` */
  bool writing;
  uint32_t write_count; /* records in it */
  uint64_t records;     /* put in all */
  uint64_t operations;
  ddb__op like;         /* the last operation, if it was a record; kind 0: it was none */
  ddb__pattern pattern; /* of that record */
  uint32_t scanned;     /* the number of the last table that a scan met */
  uint64_t offset;      /* of the operation's bytes in the file */
  char *carry;          /* an operation that came in pieces: aligned as the allocator does */
  size_t carry_size;
  size_t carry_capacity;
  uint64_t carry_offset;
  ddb_error *err; /* never NULL */
} ddb__replay;

/* With the tables that `db` has. */
ddb_status ddb__replay_init(ddb__replay *replay, ddb_db *db, ddb__replay_mode mode, ddb_error *err);
/* Another file goes on: a delta behind a snapshot or a delta, with the tables as they are now. */
void ddb__replay_restart(ddb__replay *replay, ddb__replay_mode mode);
/* The next bytes, aligned to 8, which are at `offset` of the file (or come from what is there). */
ddb_status ddb__replay_bytes(ddb__replay *replay, const char *data, size_t size, uint64_t offset);
/* The stream may end here: no operation is cut, everything is in the tables. Shape numbers begin
 * anew. */
ddb_status ddb__replay_flush(ddb__replay *replay, uint64_t offset);
/* On every path; what was not flushed is dropped. */
void ddb__replay_fini(ddb__replay *replay);

/* An error that the file is not to blame for. */
bool ddb__replay_innocent(ddb_status status);

#endif
