/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_save.c - a snapshot, or the difference of two, as a native file.
 *
 *   views --operations--> buffer of 1 MiB --zstd--> block --> file
 *
 * Invariants
 *   1. A snapshot is one instant; each of its tables is read through one view, opened and closed
 *      on this thread. Nobody waits for us, and we for nobody.
 *   2. The target is not touched until all is on disk.
 *   3. Memory: two buffers, whatever the size of the database, and some bytes for each shape.
 *   4. A table is the same one in two snapshots if it is the same object: a name may come back.
 * Cost of a difference: what changed, and some bytes for each table.
 */
#include "io/native_file.h"

#include <zstd.h>

#include "base/heap.h"
#include "io/difference.h"
#include "io/file.h"
#include "io/layout.h"
#include "io/native.h"
#include "io/ops.h"
#include "io/try.h"
#include "store/db.h"

typedef struct saver {
  ddb_snapshot *snapshot;
  ddb_snapshot *before; /* NULL: all of it is saved; else what changed since */
  ddb_table **tables;   /* of the snapshot */
  size_t table_count;
  ddb_table **old_tables; /* of `before` */
  size_t old_count;
  ddb__file file;
  int directory; /* see ddb__file_replace */
  ddb__native_head head;
  uint32_t block_count;
  int compression;
  ZSTD_CCtx *context; /* NULL: blocks are not compressed */
  char *packed;       /* ZSTD_COMPRESSBOUND of a block */
  ddb__layout_progress progress;
  uint64_t done;      /* records written; of a difference, those of the tables that are done */
  uint64_t file_size; /* of the finished file */
  ddb__ops ops;
  ddb_error *err;
} saver;

#define PACKED_SIZE     ZSTD_COMPRESSBOUND(DDB__NATIVE_BLOCK_MAX)
#define PROGRESS_PERIOD 4096

/* ---- Blocks ------------------------------------------------------------------------------- */

static ddb_status compress(saver *s, const char *data, size_t size, size_t *packed) {
  *packed = ZSTD_compressCCtx(s->context, s->packed, PACKED_SIZE, data, size, s->compression);
  return ZSTD_isError(*packed) ? ddb__fail_memory(s->err, size) : DDB_OK;
}

static ddb_status write_block(void *context, const char *data, size_t size, ddb_error *err) {
  saver *s = context;
  ddb__native_block block = {.raw_size = (uint32_t)size, .number = s->block_count++};
  const char *stored = data;
  size_t stored_size = size;
  if (s->context) {
    size_t packed;
    DDB__TRY(compress(s, data, size, &packed));
    if (packed < size) {
      block.codec = DDB__CODEC_ZSTD;
      stored = s->packed;
      stored_size = packed;
    }
  }
  block.stored_size = (uint32_t)stored_size;
  block.checksum = ddb__native_block_sum(&s->head, &block, stored);
  DDB__TRY(ddb__file_write(&s->file, &block, sizeof block, err));
  DDB__TRY(ddb__file_write(&s->file, stored, stored_size, err));
  return ddb__layout_tell(&s->progress, s->done, false, err);
}

/* ---- Tables ------------------------------------------------------------------------------- */

static ddb_status write_records(saver *s, const ddb_table *table, const ddb_view *view) {
  uint64_t position = 0;
  const ddb_record *record;
  while ((record = ddb_view_next(view, &position)) != NULL) {
    DDB__TRY(ddb__ops_record(&s->ops, table, record, s->err));
    if (++s->done % PROGRESS_PERIOD == 0) {
      DDB__TRY(ddb__layout_tell(&s->progress, s->done, false, s->err));
    }
  }
  return DDB_OK;
}

static ddb_status write_contents(saver *s, const ddb_table *table, const ddb_view *view) {
  const ddb__root *root = ddb__view_root(view);
  DDB__TRY(ddb__ops_table(&s->ops, table, s->err));
  DDB__TRY(write_records(s, table, view));
  DDB__TRY(ddb__ops_counter(&s->ops, table, root, s->err));
  for (uint32_t i = 0; i < root->index_count; i++) {
    DDB__TRY(ddb__ops_index(&s->ops, DDB__OP_INDEX, table, &root->indexes[i], s->err));
  }
  return DDB_OK;
}

static ddb_status write_table(saver *s, ddb_table *table) {
  ddb_view view;
  DDB__TRY(ddb_snapshot_view(s->snapshot, table, &view, s->err));
  ddb_status status = write_contents(s, table, &view);
  ddb_view_close(&view);
  return status;
}

static ddb_status write_change(saver *s, ddb_table *table) {
  ddb_view old;
  ddb_view new;
  DDB__TRY(ddb_snapshot_view(s->before, table, &old, s->err));
  ddb_status status = ddb_snapshot_view(s->snapshot, table, &new, s->err);
  if (status == DDB_OK) {
    status =
        ddb__difference(&s->ops, table, ddb__view_root(&old), ddb__view_root(&new), false, s->err);
    s->done += ddb_view_count(&new);
    ddb_view_close(&new);
  }
  ddb_view_close(&old);
  return status;
}

/* Both lists ascend by number. Tables that went come first, so that their names are free. */
static ddb_status write_difference(saver *s) {
  DDB__TRY(ddb__ops_before(&s->ops, s->old_tables, s->old_count, s->err));
  for (size_t i = 0, j = 0; i < s->old_count; i++) {
    bool stays = j < s->table_count && s->tables[j] == s->old_tables[i];
    if (stays) {
      j++;
    } else if (!DDB__FAULT(DELTA_FORGETS_DROP)) {
      DDB__TRY(ddb__ops_drop(&s->ops, s->old_tables[i], s->err));
    }
  }
  for (size_t i = 0, j = 0; i < s->table_count; i++) {
    while (j < s->old_count && s->old_tables[j] != s->tables[i] &&
           ddb__table_number(s->old_tables[j]) < ddb__table_number(s->tables[i])) {
      j++;
    }
    bool was_there = j < s->old_count && s->old_tables[j] == s->tables[i];
    DDB__TRY(was_there ? write_change(s, s->tables[i]) : write_table(s, s->tables[i]));
    DDB__TRY(ddb__layout_tell(&s->progress, s->done, false, s->err));
  }
  return DDB_OK;
}

static ddb_status write_everything(saver *s) {
  for (size_t i = 0; i < s->table_count; i++) {
    DDB__TRY(write_table(s, s->tables[i]));
  }
  return DDB_OK;
}

static ddb_status write_all(saver *s) {
  s->head.checksum = ddb__checksum_of(&s->head, offsetof(ddb__native_head, checksum), 0);
  DDB__TRY(ddb__file_write(&s->file, &s->head, sizeof s->head, s->err));
  DDB__TRY(s->before ? write_difference(s) : write_everything(s));
  DDB__TRY(ddb__ops_end(&s->ops, s->table_count, s->ops.record_count, s->err));
  DDB__TRY(ddb__ops_finish(&s->ops, s->err));
  return ddb__layout_tell(&s->progress, s->done, true, s->err);
}

/* ---- The file ----------------------------------------------------------------------------- */

static ddb_status write_file(void *context) {
  saver *s = context;
  DDB__TRY(write_all(s));
  s->file_size = s->file.size;
  return DDB_OK;
}

static ddb_status save_to(saver *s, const char *path) {
  DDB__TRY(ddb__layout_count(&s->progress, s->snapshot, s->tables, s->table_count, s->err));
  return ddb__file_replace_by(&s->file, s->directory, path, write_file, s, s->err);
}

static ddb_status open_compression(saver *s) {
  if (s->compression == 0) {
    return DDB_OK;
  }
  s->packed = ddb__alloc(&ddb__heap_process, PACKED_SIZE);
  s->context = s->packed ? ZSTD_createCCtx() : NULL;
  return s->context ? DDB_OK : ddb__fail_memory(s->err, PACKED_SIZE);
}

static ddb_status save_with_tables(saver *s, const char *path) {
  ddb_status status = open_compression(s);
  if (status == DDB_OK) {
    status = ddb__ops_init(&s->ops, DDB__NATIVE_BLOCK_MAX, write_block, s, s->err);
  }
  if (status == DDB_OK) {
    status = save_to(s, path);
    ddb__ops_fini(&s->ops);
  }
  (void)ZSTD_freeCCtx(s->context);
  ddb__free(&ddb__heap_process, s->packed, PACKED_SIZE);
  return status;
}

static ddb_status save_with_lists(saver *s, const char *path) {
  DDB__TRY(ddb_snapshot_tables(s->snapshot, &s->tables, &s->table_count, s->err));
  ddb_status status = DDB_OK;
  if (s->before) {
    status = ddb_snapshot_tables(s->before, &s->old_tables, &s->old_count, s->err);
  }
  if (status == DDB_OK) {
    status = save_with_tables(s, path);
    ddb_tables_free(s->old_tables, s->old_count);
  }
  ddb_tables_free(s->tables, s->table_count);
  return status;
}

ddb_status ddb__native_save(ddb_snapshot *snapshot, ddb_snapshot *before,
                            const ddb__native_head *head, int directory, const char *path,
                            const ddb_save_options *options, uint64_t *size, ddb_error *err) {
  saver s = {
      .directory = directory,
      .snapshot = snapshot,
      .before = before,
      .head = *head,
      .compression = options ? options->compression : 0,
      .err = err,
  };
  memcpy(s.head.magic, before ? DDB__DELTA_MAGIC : DDB__NATIVE_MAGIC, DDB__NATIVE_MAGIC_SIZE);
  s.head.version = DDB__NATIVE_VERSION;
  s.head.commit = ddb_snapshot_commit(snapshot);
  if (options) {
    s.progress.call = options->progress;
    s.progress.context = options->context;
  }
  DDB__TRY(ddb__native_check(err));
  if (s.compression < 0 || s.compression > DDB_COMPRESSION_MAX) {
    return ddb__fail(err, DDB_ERR_INVALID, "compression is a level from 0 (none) to %d, not %d",
                     DDB_COMPRESSION_MAX, s.compression);
  }
  DDB__TRY(save_with_lists(&s, path));
  if (size) {
    *size = s.file_size;
  }
  return DDB_OK;
}

ddb_status ddb_snapshot_save(ddb_snapshot *snapshot, const char *path,
                             const ddb_save_options *options, ddb_error *err) {
  if (!snapshot) {
    return ddb__fail(err, DDB_ERR_INVALID, "no snapshot given");
  }
  return ddb__native_save(snapshot, NULL, &(ddb__native_head){0}, -1, path, options, NULL, err);
}

ddb_status ddb__native_save_now(ddb_db *db, ddb__native_saver save, const char *path,
                                const ddb_save_options *options, ddb_error *err) {
  ddb_snapshot *snapshot;
  DDB__TRY(ddb_snapshot_open(db, &snapshot, err));
  ddb_status status = save(snapshot, path, options, err);
  ddb_snapshot_close(snapshot);
  return status;
}

ddb_status ddb_db_save(ddb_db *db, const char *path, const ddb_save_options *options,
                       ddb_error *err) {
  return ddb__native_save_now(db, ddb_snapshot_save, path, options, err);
}
