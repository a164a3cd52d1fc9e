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
#include "io/fill.h"
#include "io/json_decode.h"
#include "io/json_read.h"
#include "io/json_record.h"
#include "io/json_tape.h"
#include "io/layout.h"

/* One load; on the stack of ddb__json_load. */
typedef struct ddb__loader {
  ddb_db *db; /* half built */
  ddb__file file;
  ddb__json_reader reader;
  ddb__json_tape tape; /* a table's properties, then one record */
  ddb__json_decoder decoder;
  ddb__checksum checksum;
  ddb__layout_progress progress; /* of bytes */
  uint64_t done;
  bool marked; /* the file has our format mark */
  ddb__fill fill;
  ddb__json_maker maker;
  ddb_builder *defaults; /* values of one schema */
  ddb_error *err;        /* never NULL */
} ddb__loader;

/* ddb_db_load_json, but that errors do not name the file. */
ddb_status ddb__json_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                          ddb_error *err);
/* The reader's last token is a table's name, a key of "tables": reads the table. */
ddb_status ddb__json_table_load(ddb__loader *loader);
/* Value of a member of the object at `index`; 0: it has no such member. */
size_t ddb__json_table_member(const ddb__loader *loader, size_t index, const char *name);

#endif
