/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h - the operations that native files and logs are made of, on their way out.
 *
 *   ddb__ops_init -> ddb__ops_table, ddb__ops_record, ... -> ddb__ops_fini
 *
 * Bytes gather in a buffer. With a `flush` it is handed over each time it is full; without, it grows.
 * A shape is described before the first record that has it; numbers count from 0 through all tables.
 * Distinct. Memory: the buffer, and some bytes per shape.
 */
#ifndef DDB_IO_OPS_H
#define DDB_IO_OPS_H

#include "dictdb.h"
#include "io/native.h"
#include "store/root.h"
#include "store/table.h"

typedef ddb_status (*ddb__ops_flush)(void *context, const char *data, size_t size, ddb_error *err);

typedef struct ddb__ops_shape {
  const ddb_shape *shape; /* NULL: an empty slot */
  uint32_t number;
} ddb__ops_shape;

typedef struct ddb__ops {
  char *data;
  size_t size;
  size_t capacity;
  ddb__ops_flush flush; /* NULL: the buffer grows */
  void *context;
  ddb_builder *scratch;   /* descriptions */
  ddb__ops_shape *shapes; /* a hash table of those described */
  size_t shape_capacity;  /* a power of 2, or 0 */
  uint32_t shape_count;
  ddb__ops_shape last; /* the shape of the last record */
  uint64_t record_count;
} ddb__ops;

ddb_status ddb__ops_init(ddb__ops *ops, size_t capacity, ddb__ops_flush flush, void *context,
                         ddb_error *err);
/* Frees everything. */
void ddb__ops_fini(ddb__ops *ops);

ddb_status ddb__ops_table(ddb__ops *ops, const ddb_table *table, ddb_error *err);
ddb_status ddb__ops_drop(ddb__ops *ops, const ddb_table *table, ddb_error *err);
ddb_status ddb__ops_record(ddb__ops *ops, const ddb_table *table, const ddb_record *record,
                           ddb_error *err);
ddb_status ddb__ops_delete(ddb__ops *ops, const ddb_table *table, const ddb_value *key,
                           ddb_error *err);
ddb_status ddb__ops_counter(ddb__ops *ops, const ddb_table *table, const ddb__root *root,
                            ddb_error *err);
/* kind: DDB__OP_INDEX or DDB__OP_INDEX_DROP. */
ddb_status ddb__ops_index(ddb__ops *ops, ddb__op_kind kind, const ddb_table *table,
                          const ddb__index *index, ddb_error *err);
/* The tables of the version that a delta begins with. */
ddb_status ddb__ops_before(ddb__ops *ops, ddb_table *const *tables, size_t count, ddb_error *err);
ddb_status ddb__ops_end(ddb__ops *ops, uint64_t table_count, uint64_t record_count, ddb_error *err);
/* Forgets what came after the first `size` bytes, without `flush`. Shapes count from 0 again. */
void ddb__ops_cut(ddb__ops *ops, size_t size);
/* Hands over what is left. */
ddb_status ddb__ops_finish(ddb__ops *ops, ddb_error *err);

#endif
