/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seeds.c - writes what the fuzz targets of files begin with: FOLDER/fuzz_native, FOLDER/fuzz_layout,
 * FOLDER/fuzz_delta, FOLDER/fuzz_log. The same files each time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_support.h"
#include "random_values.h"
#include "storage_support.h"

#include "io/native.h"
#include "io/syscalls.h"

#define FILE_SIZE_MAX 60000

static char out[300];

static void seeds_of(const char *folder, const char *target) {
  (void)snprintf(out, sizeof out, "%.200s/%s", folder, target);
  if (mkdir(out, 0777) != 0 && access(out, W_OK) != 0) {
    perror(out);
    exit(1);
  }
}

static void write_seed(const char *name, const void *data, size_t size) {
  char path[400];
  (void)snprintf(path, sizeof path, "%s/%s", out, name);
  storage_write(path, data, size);
}

/* ---- Native files ------------------------------------------------------------------------- */

/* The file behind two bytes that say what it is; and what is in its blocks, if they are plain. */
static void write_native(const char *name, ddb_db *db, int compression) {
  char as[64];
  const ddb_save_options options = {.compression = compression};
  assert_ok(ddb_db_save(db, storage_target, &options, NULL));
  storage_text file = storage_read(storage_target);
  char *data = malloc(file.size + 2);
  for (char mode = 0; mode < 2 && file.size <= FILE_SIZE_MAX; mode++) {
    data[0] = mode;
    data[1] = 0;
    memcpy(data + 2, file.data, file.size);
    (void)snprintf(as, sizeof as, "%s-%d-%d", name, compression, mode);
    write_seed(as, data, file.size + 2);
  }
  size_t start = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  if (compression == 0 && file.size - start <= FILE_SIZE_MAX) {
    data[0] = 2;
    data[1] = 2;
    memcpy(data + 2, file.data + start, file.size - start);
    (void)snprintf(as, sizeof as, "%s-operations", name);
    write_seed(as, data, file.size - start + 2);
  }
  free(data);
  free(file.data);
  (void)unlink(storage_target);
}

static ddb_db *random_db(uint64_t seed, size_t count) {
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "random", NULL);
  ddb_builder *values;
  assert_ok(ddb_builder_new(&values, NULL));
  for (size_t i = 0; i < count; i++) {
    char name[16];
    ddb_builder_clear(values);
    random_value_append(values, &seed, 3, false);
    (void)snprintf(name, sizeof name, "f%u", (unsigned)support_below(&seed, 5));
    ddb_field fields[] = {{ddb_str_from(name), ddb_builder_value_at(values, 0)},
                          {DDB_STR("n"), ddb_int((int64_t)i)}};
    storage_insert(table, NULL, 2, fields);
  }
  ddb_builder_free(values);
  assert_ok(ddb_table_index_create(table, DDB_STR("f1"), DDB_INDEX_HASH, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("f2"), DDB_INDEX_SORTED, NULL));
  ddb_table_release(table);
  return db;
}

static void native_seeds(void) {
  ddb_db *sample = storage_sample();
  ddb_db *empty = storage_db();
  write_native("sample", sample, 0);
  write_native("sample", sample, 3);
  write_native("empty", empty, 0);
  ddb_db_release(empty);
  ddb_db_release(sample);
  for (uint64_t seed = 1; seed <= 6; seed++) {
    char name[32];
    ddb_db *db = random_db(seed * 77, (size_t)1 << seed);
    (void)snprintf(name, sizeof name, "random%d", (int)seed);
    write_native(name, db, 0);
    write_native(name, db, (int)seed);
    ddb_db_release(db);
  }
}

/* ---- JSON files --------------------------------------------------------------------------- */

/* A byte that says that the checksum is to be put behind it, and the file up to there. */
static void write_marked(const char *name, ddb_db *db) {
  static const char last[] = "\"checksum\":";
  assert_ok(ddb_db_save_json(db, storage_target, NULL, NULL, NULL));
  storage_text file = storage_read(storage_target);
  char *end = strstr(file.data, last);
  for (char *next = end; next; next = strstr(end + 1, last)) {
    end = next; /* a text in the database may look like it */
  }
  assert_non_null(end);
  size_t size = (size_t)(end - file.data) + strlen(last);
  char *data = malloc(size + 1);
  data[0] = 1;
  memcpy(data + 1, file.data, size);
  write_seed(name, data, size + 1);
  free(data);
  free(file.data);
  (void)unlink(storage_target);
}

static void layout_seeds(void) {
  static const char original[] =
      "\0{\"tables\": {\"users\": {\"primary_key\": \"id\", \"schema\": null, \"records\": "
      "[{\"id\": 1, \"name\": \"Ada\", \"tags\": [\"a\", {}]}, {\"id\": 2, \"age\": 1.5e3}]}, "
      "\"typed\": {\"primary_key\": \"k\", \"schema\": {\"k\": \"str\", \"n\": \"int\", "
      "\"d\": \"dict\"}, \"records\": [{\"k\": \"x\", \"n\": 7, \"d\": {\"in\": null}}]}}}";
  ddb_db *sample = storage_sample();
  write_seed("original", original, sizeof original - 1);
  write_marked("sample", sample);
  ddb_db_release(sample);
  for (uint64_t seed = 1; seed <= 6; seed++) {
    char name[32];
    ddb_db *db = random_db(seed * 33, (size_t)1 << seed);
    (void)snprintf(name, sizeof name, "random%d", (int)seed);
    write_marked(name, db);
    ddb_db_release(db);
  }
}

/* ---- Deltas ------------------------------------------------------------------------------- */

/* A base and its delta, as they are, to be repaired, and as operations. */
static void write_delta(const char *name, const storage_text *base, const storage_text *delta) {
  char as[64];
  size_t start = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  char *data = malloc(4 + base->size + delta->size);
  uint16_t eighths = (uint16_t)(base->size / 8);
  memcpy(data + 2, &eighths, sizeof eighths);
  memcpy(data + 4, base->data, base->size);
  for (char mode = 0; mode < 3; mode++) {
    size_t skipped = mode == 2 ? start : 0;
    data[0] = mode;
    data[1] = mode;
    memcpy(data + 4 + base->size, delta->data + skipped, delta->size - skipped);
    (void)snprintf(as, sizeof as, "%s-%d", name, mode);
    write_seed(as, data, 4 + base->size + delta->size - skipped);
  }
  free(data);
}

/* What some random steps lead to, behind what some others led to. */
static void delta_seed(uint64_t seed, const char *path) {
  uint64_t state = seed * 501;
  char name[32];
  ddb_snapshot *before;
  ddb_snapshot *after;
  ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
  for (uint64_t step = 0; step < 4 * seed; step++) {
    (void)log_do(db, &state);
  }
  assert_ok(ddb_snapshot_open(db, &before, NULL));
  assert_ok(ddb_snapshot_save(before, storage_target, NULL, NULL));
  for (uint64_t step = 0; step < 2 * seed; step++) {
    (void)log_do(db, &state);
  }
  assert_ok(ddb_snapshot_open(db, &after, NULL));
  assert_ok(ddb_snapshot_save_delta(after, before, storage_target, storage_other, NULL, NULL));
  storage_text base = storage_read(storage_target);
  storage_text delta = storage_read(storage_other);
  if (base.size + delta.size <= FILE_SIZE_MAX) {
    (void)snprintf(name, sizeof name, "life%d", (int)seed);
    write_delta(name, &base, &delta);
  }
  free(base.data);
  free(delta.data);
  (void)unlink(storage_target);
  (void)unlink(storage_other);
  ddb_snapshot_close(before);
  ddb_snapshot_close(after);
  ddb_db_release(db);
  log_remove(path);
}

static void delta_seeds(void) {
  char path[200];
  (void)snprintf(path, sizeof path, "%s/db", log_folder);
  for (uint64_t seed = 1; seed <= 10; seed++) {
    delta_seed(seed, path);
  }
}

/* ---- Logs --------------------------------------------------------------------------------- */

/* Adds DIR/name as a part, if it is there. */
static void add_part(char *data, size_t *size, const char *path, const char *format, unsigned kind,
                     unsigned number) {
  char name[300];
  int length = snprintf(name, sizeof name, "%s/", path);
  (void)snprintf(name + length, sizeof name - (size_t)length, format, number);
  if (access(name, R_OK) != 0) {
    return;
  }
  storage_text file = storage_read(name);
  size_t padded = (file.size + 7) / 8 * 8;
  if (*size + 4 + padded <= FILE_SIZE_MAX) {
    uint16_t eighths = (uint16_t)(padded / 8);
    data[*size] = (char)kind;
    data[*size + 1] = (char)(number - 1);
    memcpy(data + *size + 2, &eighths, 2);
    memset(data + *size + 4, 0, padded);
    memcpy(data + *size + 4, file.data, file.size);
    *size += 4 + padded;
  }
  free(file.data);
}

/* The directory as it is now: as it is, and with checksums to be made to hold. */
static void write_log(const char *name, const char *path) {
  char as[64];
  char *data = malloc(FILE_SIZE_MAX);
  size_t size = 1;
  for (unsigned number = 1; number <= 4; number++) {
    add_part(data, &size, path, "log-%016x.ddl", 0, number);
    add_part(data, &size, path, "checkpoint-%016x.dictdb", 1, number);
  }
  for (char how = 0; how < 2; how++) {
    data[0] = how;
    (void)snprintf(as, sizeof as, "%s-%d", name, how);
    write_seed(as, data, size);
  }
  free(data);
}

static void log_seeds(void) {
  char path[200];
  (void)snprintf(path, sizeof path, "%s/db", log_folder);
  for (uint64_t seed = 1; seed <= 8; seed++) {
    uint64_t state = seed * 1001;
    unsigned checkpoints = 0;
    ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
    for (int step = 0; step < 6 * (int)seed && checkpoints < 2; step++) {
      checkpoints += log_do(db, &state) == LOG_CHECKPOINT;
    }
    char name[32];
    (void)snprintf(name, sizeof name, "life%d", (int)seed);
    write_log(name, path);
    ddb_db_release(db);
    log_remove(path);
  }
}

int main(int argc, char **argv) {
  void *state = NULL;
  if (argc != 2) {
    (void)fprintf(stderr, "usage: seeds FOLDER\n");
    return 2;
  }
#ifdef DDB_TESTING
  ddb__test_sys_trace(NULL, NULL, true);
#endif
  if (storage_setup(&state) != 0 || log_setup(&state) != 0) {
    return 1;
  }
  seeds_of(argv[1], "fuzz_native");
  native_seeds();
  seeds_of(argv[1], "fuzz_layout");
  layout_seeds();
  seeds_of(argv[1], "fuzz_delta");
  delta_seeds();
  seeds_of(argv[1], "fuzz_log");
  log_seeds();
  return storage_teardown(&state) + log_teardown(&state);
}
