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

#include "blocks.h"

enum { AS_IT_IS, REPAIRED, OPERATIONS, MODE_COUNT };
#define INPUT_SIZE_MAX 65536

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
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

static fuzz_bytes make_file(unsigned mode, const char *data, size_t size, uint8_t how) {
  ddb__native_head head = {.commit = 7};
  if (mode == OPERATIONS) {
    blocks_seal(&head, DDB__NATIVE_MAGIC);
    return blocks_wrap(&head, data, size, how);
  }
  fuzz_bytes file = {malloc(size + 1), size};
  fuzz_require(file.data != NULL, "no memory");
  memcpy(file.data, data, size);
  if (mode == REPAIRED && size >= sizeof head) {
    memcpy(&head, data, sizeof head);
    blocks_seal(&head, DDB__NATIVE_MAGIC);
    memcpy(file.data, &head, sizeof head);
  }
  return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  unsigned mode = data[0] % MODE_COUNT;
  fuzz_bytes file = make_file(mode, (const char *)data + 2, size - 2, data[1]);
  uint64_t sum;
  uint64_t decompressed = blocks_walk(file.data, file.size, mode == REPAIRED, &sum);
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
