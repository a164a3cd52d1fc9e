/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_load.h - what the two halves of loading share: json_load.c reads the file's frame,
 * json_table.c one table of it.
 */
#ifndef DDB_IO_JSON_LOAD_H
#define DDB_IO_JSON_LOAD_H

#include "dictdb.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/json_decode.h"
#include "io/json_read.h"
#include "io/json_tape.h"
#include "io/layout.h"

#define DDB__LOAD_BATCH_COUNT 4096
#define DDB__LOAD_BATCH_SIZE  ((uint64_t)4 * 1024 * 1024) /* bytes of JSON */

/* One load; on the stack of ddb_db_load_json. */
typedef struct ddb__loader {
  ddb_db *db; /* half built */
  ddb__file file;
  ddb__json_reader reader;
  ddb__json_tape tape; /* a table's properties, then one record */
  ddb__json_decoder decoder;
  ddb__checksum checksum;
  ddb__layout_progress progress; /* of bytes */
  uint64_t done;
  bool marked;           /* the file has our format mark */
  ddb_builder *batch;    /* records that are not inserted yet */
  ddb_builder *defaults; /* values of one schema */
  uint64_t *offsets;     /* [DDB__LOAD_BATCH_COUNT] where the batch's records begin; owned */
  /* Fields of the record in hand; both arrays have field_capacity items; owned. */
  ddb_str *names;
  size_t *values;
  size_t field_capacity;
  ddb_error *err; /* never NULL */
} ddb__loader;

/* The reader's last token is a table's name, a key of "tables": reads the table. */
ddb_status ddb__json_table_load(ddb__loader *loader);
/* Value of a member of the object at `index`; 0: it has no such member. */
size_t ddb__json_table_member(const ddb__loader *loader, size_t index, const char *name);

#endif
