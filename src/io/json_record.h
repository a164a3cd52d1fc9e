/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_record.h - whole records as JSON objects, out and in. What every JSON-like format shares.
 * Thread-safety: distinct.
 */
#ifndef DDB_IO_JSON_RECORD_H
#define DDB_IO_JSON_RECORD_H

#include "dictdb.h"
#include "io/fill.h"
#include "io/json_decode.h"
#include "io/json_write.h"

/* What is known of the last record's names; zeroed: nothing. */
typedef struct ddb__json_names {
  uint64_t shape_id;
  bool are_quick; /* can be copied as they are */
  bool are_plain; /* can be keys of an object */
} ddb__json_names;

ddb_status ddb__json_write_record(ddb__json_writer *writer, ddb__json_names *names,
                                  const ddb_record *record);
/* A record by its members, one after another and at least one. pairs: one of the names cannot be a
 * key of an object (ddb__json_key_is_plain). */
ddb_status ddb__json_write_member(ddb__json_writer *writer, ddb_str name, const ddb_value *value,
                                  bool first, bool pairs);
ddb_status ddb__json_write_members_end(ddb__json_writer *writer, bool pairs);

/* Makes records of tapes; zeroed but for the borrowed members. */
typedef struct ddb__json_maker {
  ddb__json_decoder *decoder;
  ddb__fill *fill;
  bool validate;
  bool complete;          /* a record has to have its key and all fields of a schema */
  const ddb_shape *shape; /* of the last record; NULL for another table */
  ddb_str *names;         /* both owned, [capacity] */
  size_t *values;
  size_t capacity;
} ddb__json_maker;

void ddb__json_maker_fini(ddb__json_maker *maker);
/* Adds the record at `index` of the tape to the fill's batch (ddb__fill_add has to follow). CORRUPT,
 * and what builders and shapes give. */
ddb_status ddb__json_make(ddb__json_maker *maker, size_t index);

#endif
