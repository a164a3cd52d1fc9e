/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_native.c - a libFuzzer target: any bytes as a native file.
 *
 * The first byte says what the rest is:
 *   AS_IT_IS   a file
 *   REPAIRED   a file whose checksums, block numbers and counts are made to hold, as far as it has
 *              blocks: what lies behind the checksums is reached
 *   OPERATIONS what a file holds; it is cut into blocks of a size that the second byte says,
 *              compressed if its lowest bit does
 * Checked for every input: no crash, no leak, a database or an error that blames the file; memory is
 * paid for by the file; what was loaded is saved, loaded and saved again to the same bytes.
 */
#include <string.h>
#include <zstd.h>

#include "io/native.h"
#include "support.h"

enum { AS_IT_IS, REPAIRED, OPERATIONS, MODE_COUNT };
#define INPUT_SIZE_MAX 65536

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
}

static void repair_head(ddb__native_head *head) {
  memcpy(head->magic, DDB__NATIVE_MAGIC, sizeof head->magic);
  head->version = DDB__NATIVE_VERSION;
  head->checksum = ddb__checksum_of(head, offsetof(ddb__native_head, checksum), 0);
}

/* Walks the blocks as the reader does. Returns the bytes that they say they decompress to. */
static uint64_t walk(char *file, size_t size, bool repair) {
  ddb__native_head head;
  uint64_t decompressed = size;
  size_t at = sizeof head;
  if (size < sizeof head) {
    return size;
  }
  memcpy(&head, file, sizeof head);
  if (repair) {
    repair_head(&head);
    memcpy(file, &head, sizeof head);
  }
  for (uint32_t number = 0; size - at >= sizeof(ddb__native_block); number++) {
    ddb__native_block block;
    memcpy(&block, file + at, sizeof block);
    char *stored = file + at + sizeof block;
    if (block.stored_size > size - at - sizeof block) {
      break;
    }
    decompressed += block.raw_size <= DDB__NATIVE_BLOCK_MAX ? block.raw_size : 0;
    if (repair) {
      block.number = number;
      block.checksum = ddb__native_block_sum(&head, &block, stored);
      memcpy(file + at, &block, sizeof block);
    }
    at += sizeof block + block.stored_size;
  }
  return decompressed;
}

/* ---- Operations --------------------------------------------------------------------------- */

static size_t put_block(char *out, const ddb__native_head *head, uint32_t number, const char *data,
                        size_t size, bool packed) {
  ddb__native_block block = {.raw_size = (uint32_t)size, .number = number};
  char *stored = out + sizeof block;
  size_t stored_size = packed ? ZSTD_compress(stored, ZSTD_compressBound(size), data, size, 1) : 0;
  if (packed && stored_size < size) {
    block.codec = DDB__CODEC_ZSTD;
  } else {
    memcpy(stored, data, size);
    stored_size = size;
  }
  block.stored_size = (uint32_t)stored_size;
  block.checksum = ddb__native_block_sum(head, &block, stored);
  memcpy(out, &block, sizeof block);
  return sizeof block + stored_size;
}

static fuzz_bytes wrap(const char *ops, size_t size, uint8_t how) {
  size_t piece = ((size_t)how / 2 + 1) * 512;
  fuzz_bytes file = {malloc(2 * size + 4096), sizeof(ddb__native_head)};
  ddb__native_head head = {.commit = 7};
  repair_head(&head);
  fuzz_require(file.data != NULL, "no memory");
  memcpy(file.data, &head, sizeof head);
  size -= size % 8;
  for (uint32_t number = 0; size > 0; number++) {
    size_t now = size < piece ? size : piece;
    file.size += put_block(file.data + file.size, &head, number, ops, now, how & 1);
    ops += now;
    size -= now;
  }
  return file;
}

/* ---- Checks ------------------------------------------------------------------------------- */

static ddb_status load(const char *data, size_t size, ddb_db **out, ddb_error *err) {
  const char *path = fuzz_path("input");
  fuzz_write(path, data, size);
  return ddb_db_load(path, NULL, NULL, out, err);
}

static void check_there_and_back(ddb_db *db) {
  ddb_error err = {0};
  ddb_db *back;
  fuzz_bytes one = fuzz_saved(db);
  if (load(one.data, one.size, &back, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  fuzz_bytes two = fuzz_saved(back);
  fuzz_require(fuzz_same(&one, &two), "a database that changes when it is saved and loaded");
  ddb_db_release(back);
  free(one.data);
  free(two.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  unsigned mode = data[0] % MODE_COUNT;
  fuzz_bytes file;
  if (mode == OPERATIONS) {
    file = wrap((const char *)data + 2, size - 2, data[1]);
  } else {
    file = (fuzz_bytes){malloc(size), size - 2};
    fuzz_require(file.data != NULL, "no memory");
    memcpy(file.data, data + 2, file.size);
  }
  uint64_t decompressed = walk(file.data, file.size, mode == REPAIRED);
  ddb_db *db = NULL;
  ddb_error err = {0};
  fuzz_memory_watch();
  ddb_status status = load(file.data, file.size, &db, &err);
  fuzz_memory_check(decompressed);
  if (status == DDB_OK) {
    fuzz_read(db);
    check_there_and_back(db);
    ddb_db_release(db);
  } else {
    fuzz_check_error(status, &err);
  }
  free(file.data);
  return 0;
}
