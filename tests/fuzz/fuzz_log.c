/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_log.c - a libFuzzer target: any bytes as the files of a database's directory.
 *
 *   input:  u8 how | part | part ...      part: u8 kind | u8 number | u16 size in 8 bytes | bytes
 *
 * A part is a segment, or a checkpoint, of that number. By `how` the checksums of heads, blocks and
 * records are made to hold.
 * Checked for every input: no crash, no leak; a database, or an error that blames a file; memory is
 * paid for by the files. What was opened is there again when it is opened once more, as it is and
 * after a checkpoint.
 */
#include <string.h>
#include <sys/stat.h>

#include "io/native.h"
#include "support.h"

#define INPUT_SIZE_MAX 65536
#define NUMBER_COUNT   4 /* segments and checkpoints are numbered from 1 */
#define REPAIRED       1u

typedef struct part {
  uint8_t kind; /* even: a segment */
  uint8_t number;
  uint16_t size; /* in 8 bytes */
} part;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
}

/* ---- Files -------------------------------------------------------------------------------- */

static bool repair_head(char *file, size_t size, const char *magic, uint64_t number,
                        ddb__native_head *head) {
  if (size < sizeof *head) {
    return false;
  }
  memcpy(head, file, sizeof *head);
  memcpy(head->magic, magic, sizeof head->magic);
  head->version = DDB__NATIVE_VERSION;
  head->segment = number;
  head->checksum = ddb__checksum_of(head, offsetof(ddb__native_head, checksum), 0);
  memcpy(file, head, sizeof *head);
  return true;
}

static void repair_segment(char *file, size_t size, uint64_t number) {
  ddb__native_head head;
  ddb__log_record record;
  if (!repair_head(file, size, DDB__LOG_MAGIC, number, &head)) {
    return;
  }
  for (size_t at = sizeof head; size - at >= sizeof record; at += sizeof record + record.size) {
    memcpy(&record, file + at, sizeof record);
    if (record.size > size - at - sizeof record) {
      return;
    }
    record.body_checksum = ddb__checksum_of(file + at + sizeof record, record.size, 0);
    record.checksum = ddb__log_record_sum(&record, head.checksum);
    memcpy(file + at, &record, sizeof record);
  }
}

static void repair_checkpoint(char *file, size_t size, uint64_t number) {
  ddb__native_head head;
  ddb__native_block block;
  size_t at = sizeof head;
  if (!repair_head(file, size, DDB__NATIVE_MAGIC, number, &head)) {
    return;
  }
  for (; size - at >= sizeof block; at += sizeof block + block.stored_size) {
    memcpy(&block, file + at, sizeof block);
    if (block.stored_size > size - at - sizeof block) {
      return;
    }
    block.checksum = ddb__native_block_sum(&head, &block, file + at + sizeof block);
    memcpy(file + at, &block, sizeof block);
  }
}

/* What the checkpoint's blocks say they decompress to. */
static uint64_t decompressed_size(const char *file, size_t size) {
  ddb__native_block block;
  uint64_t sum = size;
  for (size_t at = sizeof(ddb__native_head); size > at && size - at >= sizeof block;) {
    memcpy(&block, file + at, sizeof block);
    if (block.stored_size > size - at - sizeof block) {
      break;
    }
    sum += block.raw_size <= DDB__NATIVE_BLOCK_MAX ? block.raw_size : 0;
    at += sizeof block + block.stored_size;
  }
  return sum;
}

static uint64_t write_part(const part *p, char *bytes, size_t size, bool repair) {
  char name[64];
  uint64_t number = 1 + p->number % NUMBER_COUNT;
  bool segment = p->kind % 2 == 0;
  if (repair) {
    (segment ? repair_segment : repair_checkpoint)(bytes, size, number);
  }
  (void)snprintf(name, sizeof name, segment ? "db/log-%016x.ddl" : "db/checkpoint-%016x.dictdb",
                 (unsigned)number);
  fuzz_write(fuzz_path(name), bytes, size);
  return decompressed_size(bytes, size);
}

/* Returns the bytes of all files, decompressed. */
static uint64_t write_parts(const uint8_t *data, size_t size, bool repair) {
  uint64_t sum = 0;
  fuzz_remove(fuzz_path("db"));
  fuzz_require(mkdir(fuzz_path("db"), 0700) == 0, "no directory");
  while (size >= sizeof(part)) {
    part p;
    memcpy(&p, data, sizeof p);
    data += sizeof p;
    size -= sizeof p;
    size_t given = 8 * (size_t)p.size < size ? 8 * (size_t)p.size : size;
    char *bytes = malloc(given + 1);
    fuzz_require(bytes != NULL, "no memory");
    memcpy(bytes, data, given);
    sum += write_part(&p, bytes, given, repair);
    free(bytes);
    data += given;
    size -= given;
  }
  return sum;
}

/* ---- Checks ------------------------------------------------------------------------------- */

static ddb_status open_db(ddb_db **db, ddb_error *err) {
  const ddb_open_options options = {.durability = DDB_DURABILITY_NONE};
  return ddb_db_open(fuzz_path("db"), &options, db, err);
}

/* What is in the directory is `expected`. close: with a checkpoint, else it is only let go. */
static void check_again(const fuzz_bytes *expected, bool close) {
  ddb_db *db;
  ddb_error err = {0};
  if (open_db(&db, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  fuzz_bytes now = fuzz_saved(db);
  fuzz_require(fuzz_same(&now, expected), "a database that differs when it is opened again");
  free(now.data);
  fuzz_require(!close || ddb_db_close(db, NULL) == DDB_OK, "it cannot be closed");
  ddb_db_release(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  ddb_db *db;
  ddb_error err = {0};
  uint64_t decompressed = write_parts(data + 1, size - 1, data[0] & REPAIRED);
  fuzz_memory_watch();
  ddb_status status = open_db(&db, &err);
  fuzz_memory_check(decompressed);
  if (status != DDB_OK) {
    fuzz_check_error(status, &err);
    return 0;
  }
  fuzz_read(db);
  fuzz_bytes saved = fuzz_saved(db);
  ddb_db_release(db);
  check_again(&saved, true);
  check_again(&saved, false);
  free(saved.data);
  return 0;
}
