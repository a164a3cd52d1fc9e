/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill.h - records of a file on their way into a table: a batch at a time, and which of them the
 * table refused. Thread-safety: distinct.
 */
#ifndef DDB_IO_FILL_H
#define DDB_IO_FILL_H

#include "dictdb.h"

/* Where a record begins in its file. */
typedef struct ddb__place {
  uint64_t offset;
  uint64_t line;   /* 0: not known */
  uint64_t record; /* its number in the table, from 1 */
} ddb__place;

typedef struct ddb__fill {
  ddb_table *table;   /* borrowed; set by the user, with an empty batch */
  ddb_builder *batch; /* owned; the user builds the next record in it */
  ddb__place *places; /* of the batch's records; owned */
  uint64_t count;     /* records of this table so far, the batch's included; the user resets it */
  ddb__place refused; /* after an error of add or flush that the records are to blame for */
  ddb_error *err;
} ddb__fill;

ddb_status ddb__fill_init(ddb__fill *fill, ddb_error *err); /* _fini has to follow in any case */
void ddb__fill_fini(ddb__fill *fill);
/* The batch has got a record: inserts the batch if it is full. Errors: those of ddb_table_insert. */
ddb_status ddb__fill_add(ddb__fill *fill, uint64_t offset, uint64_t line);
ddb_status ddb__fill_flush(ddb__fill *fill);
/* Did the machine or the caller fail, rather than the file? */
bool ddb__fill_file_is_innocent(ddb_status status);

#endif
