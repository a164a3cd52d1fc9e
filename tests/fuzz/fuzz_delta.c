/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_delta.c - a libFuzzer target: any bytes as a native file and a delta that goes on from it.
 *
 * The first byte says what the rest is, the second how big blocks are, the next two how many eighths
 * of bytes the base has; the delta is what is behind it:
 *   AS_IT_IS   two files
 *   REPAIRED   two files whose checksums and block numbers are made to hold, and the delta to go on
 *              from the base: what lies behind all that is reached
 *   OPERATIONS a repaired base, and what a delta holds, put into blocks as the second byte says
 * Checked for every input: no crash, no leak, a database or an error that blames a file; memory is paid
 * for by the files; what loads passes its check, and raises keys; what was loaded is saved, loaded and
 * saved again to the same bytes.
 */
#include <string.h>

#include "blocks.h"

enum { AS_IT_IS, REPAIRED, OPERATIONS, MODE_COUNT };
#define INPUT_SIZE_MAX 65536
#define INPUT_HEAD     4

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
}

/* ---- Files -------------------------------------------------------------------------------- */

static fuzz_bytes copy_of(const char *data, size_t size) {
  fuzz_bytes file = {malloc(size + 1), size};
  fuzz_require(file.data != NULL, "no memory");
  if (size) {
    memcpy(file.data, data, size);
  }
  return file;
}

/* Its checksums hold, if it has a head. *sum: what a delta names it by. */
static fuzz_bytes make_base(const char *data, size_t size, bool repair, uint64_t *sum,
                            uint64_t *decompressed) {
  fuzz_bytes file = copy_of(data, size);
  ddb__native_head head;
  if (repair && size >= sizeof head) {
    memcpy(&head, data, sizeof head);
    blocks_seal(&head, DDB__NATIVE_MAGIC);
    memcpy(file.data, &head, sizeof head);
  }
  *decompressed += blocks_walk(file.data, file.size, repair, sum);
  return file;
}

static void place(ddb__native_head *head, uint64_t sum) {
  head->segment = 1;
  head->unused[DDB__DELTA_BASE] = head->unused[DDB__DELTA_BEFORE] = sum;
  head->unused[DDB__DELTA_BEFORE_COMMIT] = 0;
  blocks_seal(head, DDB__DELTA_MAGIC);
}

static fuzz_bytes make_delta(unsigned mode, const char *data, size_t size, uint8_t how,
                             uint64_t base, uint64_t *decompressed) {
  ddb__native_head head = {.commit = 9};
  fuzz_bytes file;
  uint64_t sum;
  if (mode == OPERATIONS) {
    place(&head, base);
    file = blocks_wrap(&head, data, size, how);
  } else {
    file = copy_of(data, size);
    if (mode == REPAIRED && size >= sizeof head) {
      memcpy(&head, data, sizeof head);
      place(&head, base);
      memcpy(file.data, &head, sizeof head);
    }
  }
  *decompressed += blocks_walk(file.data, file.size, mode == REPAIRED, &sum);
  return file;
}

/* ---- Checks ------------------------------------------------------------------------------- */

static void check_there_and_back(ddb_db *db) {
  ddb_error err = {0};
  ddb_db *back;
  fuzz_bytes one = fuzz_saved(db);
  const char *path = fuzz_path("again");
  fuzz_write(path, one.data, one.size);
  if (ddb_db_load(path, NULL, NULL, &back, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  fuzz_bytes two = fuzz_saved(back);
  fuzz_require(fuzz_same(&one, &two), "a database that changes when it is saved and loaded");
  ddb_db_release(back);
  free(one.data);
  free(two.data);
}

/* The delta by itself: what applies passes. */
static void check_alone(const char *path, bool applies) {
  ddb_file_info info;
  ddb_error err = {0};
  ddb_status status = ddb_file_verify(path, NULL, NULL, &info, &err);
  if (status != DDB_OK) {
    fuzz_require(!applies, "a delta that applies, but does not pass its check");
    fuzz_check_error(status, &err);
  }
}

static void check_loaded(ddb_db *db, const char *delta) {
  ddb_error err = {0};
  fuzz_read(db);
  check_there_and_back(db);
  if (ddb_db_keys_raise(db, delta, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < INPUT_HEAD || size > INPUT_SIZE_MAX) {
    return 0;
  }
  unsigned mode = data[0] % MODE_COUNT;
  uint16_t eighths;
  memcpy(&eighths, data + 2, sizeof eighths);
  size_t rest = size - INPUT_HEAD;
  size_t base_size = (size_t)eighths * 8 < rest ? (size_t)eighths * 8 : rest;
  const char *bytes = (const char *)data + INPUT_HEAD;
  uint64_t decompressed = 0;
  uint64_t sum;
  fuzz_bytes base = make_base(bytes, base_size, mode != AS_IT_IS, &sum, &decompressed);
  fuzz_bytes delta =
      make_delta(mode, bytes + base_size, rest - base_size, data[1], sum, &decompressed);
  char first[300];
  char second[300];
  const char *paths[] = {first, second};
  (void)snprintf(first, sizeof first, "%s", fuzz_path("base"));
  (void)snprintf(second, sizeof second, "%s", fuzz_path("delta"));
  fuzz_write(first, base.data, base.size);
  fuzz_write(second, delta.data, delta.size);
  ddb_db *db = NULL;
  ddb_error err = {0};
  fuzz_memory_watch();
  ddb_status status = ddb_db_load_chain(paths, 2, NULL, NULL, &db, NULL, &err);
  fuzz_memory_check(decompressed);
  check_alone(second, status == DDB_OK);
  if (status == DDB_OK) {
    check_loaded(db, second);
    ddb_db_release(db);
  } else {
    fuzz_check_error(status, &err);
  }
  free(base.data);
  free(delta.data);
  return 0;
}
