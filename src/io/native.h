/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.h - the layout of native files and of what they are made of; docs/file-format.md draws the
 * whole. All numbers are little-endian, as they lie in memory: on other machines ddb__native_check
 * refuses.
 *
 *   snapshot, delta:  | head | block header, bytes | block header, bytes | ...
 *   The blocks' bytes, decompressed and joined, are operations: | ddb__op, block of values | ...
 */
#ifndef DDB_IO_NATIVE_H
#define DDB_IO_NATIVE_H

#include "base/status.h"
#include "dictdb.h"
#include "io/checksum.h"

#define DDB__NATIVE_MAGIC                                                                          \
  "\x89"                                                                                           \
  "DictDB\n"
#define DDB__NATIVE_MAGIC_SIZE 8
/* A delta: what leads from one snapshot to a later one. */
#define DDB__DELTA_MAGIC                                                                           \
  "\x89"                                                                                           \
  "DictDd\n"
#define DDB__NATIVE_VERSION   1
#define DDB__NATIVE_BLOCK_MAX (UINT32_C(1) << 20) /* bytes of a block, decompressed */

typedef struct ddb__native_head {
  char magic[DDB__NATIVE_MAGIC_SIZE];
  uint32_t version;
  uint32_t reserved;  /* 0 */
  uint64_t commit;    /* the last one in it */
  uint64_t segment;   /* of a database's checkpoint: the first log segment that goes on; of a delta:
                        its number behind its base, from 1; else 0 */
  uint64_t unused[3]; /* of a delta: see ddb__delta_place; else 0 */
  uint64_t checksum;  /* of the bytes before it */
} ddb__native_head;
_Static_assert(sizeof(ddb__native_head) == 64, "as the format says");

typedef enum ddb__codec { DDB__CODEC_NONE, DDB__CODEC_ZSTD, DDB__CODEC_COUNT } ddb__codec;

typedef struct ddb__native_block {
  uint32_t stored_size; /* bytes that follow */
  uint32_t raw_size;    /* what they decompress to: 1 ... DDB__NATIVE_BLOCK_MAX */
  uint32_t codec;
  uint32_t number;   /* 0, 1, 2, ... */
  uint64_t checksum; /* of the 16 bytes before it, the file's head and what is stored */
} ddb__native_block;
_Static_assert(sizeof(ddb__native_block) == 24, "as the format says");

/* What a block's checksum is seeded with, so that a block of another file, or of another place in
 * this one, does not fit. */
static inline uint64_t ddb__native_block_sum(const ddb__native_head *head,
                                             const ddb__native_block *block, const void *stored) {
  uint64_t seed = ddb__checksum_of(block, offsetof(ddb__native_block, checksum), head->checksum);
  return ddb__checksum_of(stored, block->stored_size, seed);
}

/* Stands for a whole file: its head's checksum, then for each block the checksum of the block's,
 * seeded with what came before. A delta names its predecessors by it. */
static inline uint64_t ddb__native_sum_add(uint64_t sum, const ddb__native_block *block) {
  return ddb__checksum_of(&block->checksum, sizeof block->checksum, sum);
}

/* Where `unused` of a delta's head has what it belongs to. */
typedef enum ddb__delta_place {
  DDB__DELTA_BASE,         /* sum of the file that the chain begins with */
  DDB__DELTA_BEFORE,       /* sum of the file that this one follows */
  DDB__DELTA_BEFORE_COMMIT /* the last commit in that one; 0: it does not say */
} ddb__delta_place;

/* A segment of a log: a head with this magic and its own number, then records, each a commit. */
#define DDB__LOG_MAGIC                                                                             \
  "\x89"                                                                                           \
  "DictDL\n"

typedef struct ddb__log_place {
  uint64_t segment;
  uint64_t offset;
} ddb__log_place;

typedef struct ddb__log_record {
  char magic[8]; /* DDB__RECORD_MAGIC */
  uint64_t size; /* bytes of operations that follow; a multiple of 8 */
  uint64_t commit;
  ddb__log_place synced; /* up to here the log was on the disk when this was written */
  uint64_t before;       /* where the segment before this one ended */
  uint64_t body_checksum;
  uint64_t checksum; /* of the bytes before it, seeded with the segment's head's */
} ddb__log_record;
#define DDB__RECORD_MAGIC "DictCmt\n"
_Static_assert(sizeof(ddb__log_record) == 64, "as the format says");

static inline uint64_t ddb__log_record_sum(const ddb__log_record *record, uint64_t seed) {
  return ddb__checksum_of(record, offsetof(ddb__log_record, checksum), seed);
}

typedef enum ddb__op_kind {
  DDB__OP_END = 1,    /* [tables, records]: the last one of a snapshot or delta */
  DDB__OP_TABLE,      /* [name, primary key, None | [[name, types, has default, default], ...]] */
  DDB__OP_DROP,       /* [] */
  DDB__OP_SHAPE,      /* [name, ...]: gets the next number */
  DDB__OP_PUT,        /* a record of shape `shape`; one with its key is replaced */
  DDB__OP_DELETE,     /* [key] */
  DDB__OP_COUNTER,    /* [next automatic key | None when they are used up] */
  DDB__OP_INDEX,      /* [kind, unique, [field | [field, step, ...], ...]] */
  DDB__OP_INDEX_DROP, /* the same */
  DDB__OP_BEFORE,     /* [[number, name], ...]: the first one of a delta, the tables there were */
  DDB__OP_KIND_COUNT
} ddb__op_kind;

typedef struct ddb__op {
  uint32_t kind;
  uint32_t size;  /* of the block that follows; a multiple of 8 */
  uint32_t table; /* the table's number; 0: none */
  uint32_t shape; /* PUT, SHAPE; else 0 */
} ddb__op;
_Static_assert(sizeof(ddb__op) == 16, "as the format says");

/* INVALID on a machine that is not little-endian. */
static inline ddb_status ddb__native_check(ddb_error *err) {
  const uint16_t one = 1;
  uint8_t first;
  memcpy(&first, &one, 1);
  return first == 1 ? DDB_OK
                    : ddb__fail(err, DDB_ERR_INVALID,
                                "native files need a little-endian machine; use JSON");
}

#endif
