/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill.c - see fill.h. Everything goes through the public statements: a file can bring nothing in
 * that a program could not insert.
 * Memory: one batch, of at most BATCH_COUNT records or about BATCH_SIZE bytes of the file.
 */
#include "io/fill.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/try.h"
#include "store/builder.h"
#include "store/write.h"

#define BATCH_COUNT 4096
#define BATCH_SIZE  ((uint64_t)4 * 1024 * 1024)

ddb_status ddb__fill_init(ddb__fill *fill, ddb_error *err) {
  *fill = (ddb__fill){.err = err};
  DDB__TRY(ddb_builder_new(&fill->batch, err));
  fill->places = ddb__alloc(&ddb__heap_process, BATCH_COUNT * sizeof *fill->places);
  return fill->places ? DDB_OK : ddb__fail_memory(err, BATCH_COUNT * sizeof *fill->places);
}

void ddb__fill_fini(ddb__fill *fill) {
  ddb_builder_free(fill->batch);
  ddb__free(&ddb__heap_process, fill->places, BATCH_COUNT * sizeof *fill->places);
  *fill = (ddb__fill){0};
}

bool ddb__fill_file_is_innocent(ddb_status status) {
  return status == DDB_OK || status == DDB_ERR_NOMEM || status == DDB_ERR_IO ||
         status == DDB_ERR_INTERRUPTED || status == DDB_ERR_FORKED;
}

/* Which record of the batch does the table refuse? Tries them again, and takes all of it back. */
static size_t find_refused(const ddb__fill *fill) {
  ddb_error ignored;
  ddb__write write;
  size_t index = 0;
  size_t count = ddb_builder_count(fill->batch);
  if (ddb__write_begin(&write, fill->table, &ignored) != DDB_OK) {
    return 0;
  }
  for (; index < count; index++) {
    ddb__item item = ddb__builder_item(fill->batch, index);
    ddb_value key;
    if (ddb__write_insert(&write, &item, &key, &ignored) != DDB_OK) {
      break;
    }
  }
  ddb__write_abort(&write);
  return index < count ? index : count - 1;
}

ddb_status ddb__fill_flush(ddb__fill *fill) {
  if (ddb_builder_count(fill->batch) == 0) {
    return DDB_OK;
  }
  ddb_status status = ddb_table_insert(fill->table, fill->batch, NULL, fill->err);
  if (!ddb__fill_file_is_innocent(status)) {
    fill->refused = fill->places[find_refused(fill)];
    return status;
  }
  ddb_builder_clear(fill->batch);
  return status;
}

ddb_status ddb__fill_add(ddb__fill *fill, uint64_t offset, uint64_t line) {
  size_t count = ddb_builder_count(fill->batch);
  fill->places[count - 1] = (ddb__place){offset, line, ++fill->count};
  bool full = count == BATCH_COUNT || offset - fill->places[0].offset > BATCH_SIZE;
  return full ? ddb__fill_flush(fill) : DDB_OK;
}
