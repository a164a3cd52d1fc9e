/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_layout.c - a libFuzzer target: any bytes as a JSON file of a database; fuzz_json.c is about
 * single values.
 *
 * The first byte says what the rest is:
 *   AS_IT_IS   a file: of the original's layout, if it is to be taken
 *   MARKED     a file of ours up to the value of "checksum", which is put behind it and holds: what
 *              only files with a mark may have is reached
 * Checked for every input: no crash, no leak, a database or an error that blames the file; memory is
 * paid for by the file; what was loaded is the same after it was saved as JSON and loaded again.
 */
#include <string.h>

#include "support.h"

#include "io/checksum.h"

enum { AS_IT_IS, MARKED, MODE_COUNT };
#define INPUT_SIZE_MAX 65536
/* A record is a record, and a table a table, however short their text. */
#define OBJECT_SIZE 4u

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  fuzz_begin();
  return 0;
}

static fuzz_bytes saved(ddb_db *db, const char *path) {
  ddb_error err = {0};
  if (ddb_db_save_json(db, path, NULL, NULL, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  return fuzz_file(path);
}

/* As text, in which the items of a set have an order. */
static void check_there_and_back(ddb_db *db) {
  const char *path = fuzz_path("back");
  ddb_error err = {0};
  ddb_db *back;
  fuzz_bytes one = saved(db, path);
  if (ddb_db_load_json(path, NULL, NULL, &back, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  fuzz_bytes two = saved(back, path);
  fuzz_require(one.size == two.size && memcmp(one.data, two.data, one.size) == 0,
               "a database that changes when it is saved and loaded");
  ddb_db_release(back);
  free(one.data);
  free(two.data);
}

static fuzz_bytes make_file(unsigned mode, const uint8_t *data, size_t size) {
  char text[DDB__CHECKSUM_TEXT_SIZE];
  fuzz_bytes file = {malloc(size + sizeof text + 8), size};
  fuzz_require(file.data != NULL, "no memory");
  memcpy(file.data, data, size);
  if (mode == MARKED) {
    ddb__checksum checksum;
    ddb__checksum_start(&checksum);
    ddb__checksum_add(&checksum, data, size);
    ddb__checksum_text(&checksum, text);
    file.size += (size_t)sprintf(file.data + size, "\"%.*s\"}", (int)sizeof text, text);
  }
  return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  fuzz_bytes file = make_file(data[0] % MODE_COUNT, data + 1, size - 1);
  const char *path = fuzz_path("input");
  fuzz_write(path, file.data, file.size);
  ddb_db *db = NULL;
  ddb_error err = {0};
  fuzz_memory_watch();
  ddb_status status = ddb_db_load_json(path, NULL, NULL, &db, &err);
  fuzz_memory_check(OBJECT_SIZE * file.size);
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
