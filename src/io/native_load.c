/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_load.c - native files, read: as a new database, or into one.
 *
 *   file --block--> checksum --zstd--> bytes of operations --> replay.c --> tables
 *
 * Invariants
 *   1. No byte is looked into before its block's checksum has held.
 *   2. A size that the file claims is compared with what is left of the file, and with
 *      DDB__NATIVE_BLOCK_MAX, before anything is allocated for it.
 *   3. On every error a half-built database is released; nothing is left of it.
 */
#include <zstd.h>

#include "base/heap.h"
#include "io/file.h"
#include "io/layout.h"
#include "io/native.h"
#include "io/native_file.h"
#include "io/replay.h"
#include "io/try.h"
#include "store/table.h"

typedef struct loader {
  ddb__file file;
  uint64_t at; /* bytes read */
  ddb__native_head head;
  uint64_t sum; /* of what was read */
  uint32_t block_count;
  char *stored; /* one block as it is in the file */
  size_t stored_capacity;
  char *raw; /* decompressed */
  size_t raw_capacity;
  ZSTD_DCtx *context; /* NULL: none was needed yet */
  ddb__layout_progress progress;
  ddb__replay *replay; /* NULL: only the blocks' heads are looked at */
  ddb_error *err;      /* never NULL */
} loader;

static ddb_status corrupt(const loader *l, uint64_t offset, const char *problem) {
  (void)ddb__fail(l->err, DDB_ERR_CORRUPT, "damaged file (byte %llu): %s",
                  (unsigned long long)offset, problem);
  l->err->offset = offset;
  return DDB_ERR_CORRUPT;
}

/* *size: bytes read, fewer than asked for at the end of the file only. */
static ddb_status read_up_to(loader *l, void *buffer, size_t wanted, size_t *size) {
  DDB__TRY(ddb__file_read_full(&l->file, buffer, wanted, size, l->err));
  l->at += *size;
  return DDB_OK;
}

static ddb_status read_exactly(loader *l, void *buffer, size_t wanted) {
  size_t size;
  DDB__TRY(read_up_to(l, buffer, wanted, &size));
  return size == wanted ? DDB_OK : corrupt(l, l->at, "the file is cut off");
}

static bool is_delta(const ddb__native_head *head) {
  return memcmp(head->magic, DDB__DELTA_MAGIC, DDB__NATIVE_MAGIC_SIZE) == 0;
}

static const char *magic_problem(const loader *l) {
  bool delta = is_delta(&l->head);
  if (!delta && memcmp(l->head.magic, DDB__NATIVE_MAGIC, DDB__NATIVE_MAGIC_SIZE) != 0) {
    return "not a DictDB file";
  }
  ddb__replay_mode mode = l->replay ? l->replay->mode : DDB__REPLAY_SCAN;
  if (delta && mode == DDB__REPLAY_SNAPSHOT) {
    return "a delta, which is nothing without the files before it";
  }
  return !delta && mode == DDB__REPLAY_DELTA ? "not a delta" : NULL;
}

static ddb_status read_head(loader *l) {
  ddb__native_head *head = &l->head;
  DDB__TRY(read_exactly(l, head, sizeof *head));
  const char *problem = magic_problem(l);
  if (problem) {
    return corrupt(l, 0, problem);
  }
  if (ddb__checksum_of(head, offsetof(ddb__native_head, checksum), 0) != head->checksum) {
    return corrupt(l, 0, "the head's checksum does not hold");
  }
  if (head->version != DDB__NATIVE_VERSION) {
    (void)ddb__fail(l->err, DDB_ERR_CORRUPT,
                    "the file has format version %u, this library reads version %d", head->version,
                    DDB__NATIVE_VERSION);
    return DDB_ERR_CORRUPT;
  }
  l->sum = head->checksum;
  return DDB_OK;
}

/* Does the delta go on from where the chain is? */
static ddb_status check_place(loader *l, const ddb__native_chain *chain) {
  const ddb__native_head *head = &l->head;
  if (head->unused[DDB__DELTA_BASE] != chain->base) {
    return corrupt(l, 0, "a delta of another base");
  }
  uint64_t commit = head->unused[DDB__DELTA_BEFORE_COMMIT];
  if (head->unused[DDB__DELTA_BEFORE] != chain->sum || head->segment != chain->number + 1 ||
      (commit && chain->commit && commit != chain->commit)) {
    return corrupt(l, 0, "a delta that does not follow the file before it");
  }
  return DDB_OK;
}

/* ---- Blocks ------------------------------------------------------------------------------- */

static ddb_status need(loader *l, char **buffer, size_t *capacity, size_t size) {
  if (size <= *capacity) {
    return DDB_OK;
  }
  char *grown = ddb__alloc(&ddb__heap_process, size);
  if (!grown) {
    return ddb__fail_memory(l->err, size);
  }
  ddb__free(&ddb__heap_process, *buffer, *capacity);
  *buffer = grown;
  *capacity = size;
  return DDB_OK;
}

static const char *block_problem(const loader *l, const ddb__native_block *block) {
  if (block->number != l->block_count || block->codec >= DDB__CODEC_COUNT) {
    return "blocks out of order, or of an unknown kind";
  }
  bool plain = block->codec == DDB__CODEC_NONE;
  if (block->raw_size == 0 || block->raw_size > DDB__NATIVE_BLOCK_MAX || block->raw_size % 8 != 0 ||
      block->stored_size > block->raw_size || (plain && block->stored_size != block->raw_size)) {
    return "a block of a wrong size";
  }
  bool known = l->file.size > 0;
  return known && block->stored_size > l->file.size - l->at ? "the file is cut off" : NULL;
}

static ddb_status decompress(loader *l, const ddb__native_block *block, uint64_t offset) {
  if (!l->context) {
    l->context = ZSTD_createDCtx();
    if (!l->context) {
      return ddb__fail_memory(l->err, block->raw_size);
    }
  }
  DDB__TRY(need(l, &l->raw, &l->raw_capacity, block->raw_size));
  size_t size =
      ZSTD_decompressDCtx(l->context, l->raw, block->raw_size, l->stored, block->stored_size);
  return size == block->raw_size ? DDB_OK : corrupt(l, offset, "a block that does not decompress");
}

static ddb_status read_block(loader *l, const ddb__native_block *block, uint64_t offset) {
  const char *problem = block_problem(l, block);
  if (problem) {
    return corrupt(l, offset, problem);
  }
  DDB__TRY(need(l, &l->stored, &l->stored_capacity, block->stored_size));
  DDB__TRY(read_exactly(l, l->stored, block->stored_size));
  if (ddb__native_block_sum(&l->head, block, l->stored) != block->checksum) {
    return corrupt(l, offset, "a block's checksum does not hold");
  }
  l->block_count++;
  l->sum = ddb__native_sum_add(l->sum, block);
  const char *data = l->stored;
  if (block->codec == DDB__CODEC_ZSTD) {
    DDB__TRY(decompress(l, block, offset));
    data = l->raw;
  }
  DDB__TRY(ddb__replay_bytes(l->replay, data, block->raw_size, offset));
  return ddb__layout_tell(&l->progress, l->at, false, l->err);
}

/* Behind the head. */
static ddb_status read_blocks(loader *l) {
  for (;;) {
    ddb__native_block block;
    uint64_t offset = l->at;
    size_t size;
    DDB__TRY(read_up_to(l, &block, sizeof block, &size));
    if (size == 0) {
      break;
    }
    if (size < sizeof block) {
      return corrupt(l, l->at, "the file is cut off");
    }
    DDB__TRY(read_block(l, &block, offset));
  }
  DDB__TRY(ddb__replay_flush(l->replay, l->at));
  if (!l->replay->ended) { /* a scan does not ask for it: logs have none */
    return corrupt(l, l->at, "the end is missing");
  }
  return ddb__layout_tell(&l->progress, l->at, true, l->err);
}

static ddb_status read_all(loader *l, ddb__native_chain *chain) {
  DDB__TRY(read_head(l));
  bool follows = l->replay->mode == DDB__REPLAY_DELTA;
  DDB__TRY(follows ? check_place(l, chain) : DDB_OK);
  DDB__TRY(read_blocks(l));
  chain->number = is_delta(&l->head) ? l->head.segment : 0;
  chain->base = is_delta(&l->head) ? l->head.unused[DDB__DELTA_BASE] : l->sum;
  chain->sum = l->sum;
  chain->commit = l->head.commit;
  return DDB_OK;
}

ddb_status ddb__native_read(const char *path, ddb_progress progress, void *context,
                            ddb__replay *replay, ddb__native_chain *chain, ddb__native_head *head,
                            uint64_t *size, ddb_error *err) {
  ddb_error ignored;
  loader l = {
      .progress = {.call = progress, .context = context},
      .replay = replay,
      .err = err ? err : &ignored,
  };
  DDB__TRY(ddb__native_check(l.err));
  DDB__TRY(ddb__file_open(&l.file, path, l.err));
  l.progress.total = l.file.size;
  ddb_status status = read_all(&l, chain);
  ddb__file_close(&l.file);
  (void)ZSTD_freeDCtx(l.context);
  ddb__free(&ddb__heap_process, l.stored, l.stored_capacity);
  ddb__free(&ddb__heap_process, l.raw, l.raw_capacity);
  if (status == DDB_OK) {
    *head = l.head;
    *size = l.at;
  }
  return status;
}

/* ---- Without what is in the blocks -------------------------------------------------------- */

/* Goes from block to block by their heads, which may be wrong: so may the sum be then. */
static ddb_status walk(loader *l) {
  DDB__TRY(read_head(l));
  for (;;) {
    ddb__native_block block;
    size_t size;
    DDB__TRY(read_up_to(l, &block, sizeof block, &size));
    if (size == 0) {
      return DDB_OK;
    }
    const char *problem = size < sizeof block ? "the file is cut off" : block_problem(l, &block);
    if (problem) {
      return corrupt(l, l->at, problem);
    }
    l->block_count++;
    l->sum = ddb__native_sum_add(l->sum, &block);
    l->at += block.stored_size;
    DDB__TRY(ddb__file_seek(&l->file, l->at, l->err));
  }
}

ddb_status ddb__native_walk(const char *path, ddb__native_head *head, uint64_t *sum,
                            ddb_error *err) {
  ddb_error ignored;
  loader l = {.err = err ? err : &ignored};
  DDB__TRY(ddb__file_open(&l.file, path, l.err));
  ddb_status status = walk(&l);
  ddb__file_close(&l.file);
  if (status == DDB_OK) {
    *head = l.head;
    *sum = l.sum;
  }
  return status;
}

/* ---- The database ------------------------------------------------------------------------- */

ddb_status ddb__native_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                            ddb__native_chain *chain, ddb__native_head *head, uint64_t *size,
                            ddb_error *err) {
  ddb_error ignored;
  ddb_db *db;
  ddb__replay replay;
  err = err ? err : &ignored;
  DDB__TRY(ddb_db_new(&db, err));
  ddb_status status = ddb__replay_init(&replay, db, DDB__REPLAY_SNAPSHOT, err);
  if (status == DDB_OK) {
    status = ddb__native_read(path, progress, context, &replay, chain, head, size, err);
  }
  ddb__replay_fini(&replay);
  if (status != DDB_OK) {
    ddb_db_release(db);
    return status;
  }
  ddb__db_commit_raise(db, head->commit);
  *out = db;
  return DDB_OK;
}

ddb_status ddb_db_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                       ddb_error *err) {
  ddb__native_chain chain = {0};
  ddb__native_head head;
  uint64_t size;
  ddb_error ignored;
  err = err ? err : &ignored;
  ddb_status status = ddb__native_load(path, progress, context, out, &chain, &head, &size, err);
  return status == DDB_ERR_CORRUPT ? ddb__file_name(err, path) : status;
}

ddb_status ddb_file_is_native(const char *path, bool *out, ddb_error *err) {
  loader l = {.err = err};
  ddb_error ignored;
  l.err = err ? err : &ignored;
  char magic[DDB__NATIVE_MAGIC_SIZE];
  size_t size;
  DDB__TRY(ddb__file_open(&l.file, path, l.err));
  ddb_status status = read_up_to(&l, magic, sizeof magic, &size);
  ddb__file_close(&l.file);
  if (status == DDB_OK) {
    *out = size == sizeof magic && memcmp(magic, DDB__NATIVE_MAGIC, size) == 0;
  }
  return status;
}
