/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support.c - see support.h. Nothing is synced for real; the library's allocations go through a
 * counter, which is atomic because a log's thread allocates too.
 */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing.h"
#include "io/native.h"
#include "io/syscalls.h"

static char folder[128];
static _Atomic uint64_t held;
static _Atomic uint64_t most;
static uint64_t watched_from;

void fuzz_require(bool is_so, const char *what) {
  if (!is_so) {
    (void)fprintf(stderr, "fuzz: %s\n", what);
    abort();
  }
}

/* ---- Memory ------------------------------------------------------------------------------- */

static void *count_allocate(void *context, size_t size) {
  (void)context;
  uint64_t now = atomic_fetch_add(&held, size) + size;
  uint64_t before = atomic_load(&most);
  while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) {
  }
  return malloc(size);
}

static void count_release(void *context, void *memory, size_t size) {
  (void)context;
  atomic_fetch_sub(&held, size);
  free(memory);
}

void fuzz_memory_watch(void) {
  watched_from = atomic_load(&held);
  atomic_store(&most, watched_from);
}

void fuzz_memory_check(uint64_t decompressed) {
  uint64_t used = atomic_load(&most) - watched_from;
  if (used > 64 * decompressed + (UINT64_C(1) << 20)) {
    (void)fprintf(stderr, "%llu bytes held for %llu\n", (unsigned long long)used,
                  (unsigned long long)decompressed);
    fuzz_require(false, "the file made the load hold too much");
  }
}

/* ---- Files -------------------------------------------------------------------------------- */

void fuzz_remove(const char *path) {
  DIR *stream = opendir(path);
  struct dirent *entry;
  while (stream && (entry = readdir(stream)) != NULL) {
    char name[600];
    (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    (void)unlink(name);
  }
  if (stream) {
    closedir(stream);
  }
  (void)rmdir(path);
}

static void end(void) {
  fuzz_remove(folder);
}

void fuzz_begin(void) {
  static const ddb_allocator counting = {count_allocate, count_release, NULL};
  const char *base = getenv("TMPDIR");
  base = base ? base : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  (void)snprintf(folder, sizeof folder, "%.60s/dictdb-fuzz-XXXXXX", base);
  fuzz_require(mkdtemp(folder) != NULL, "no folder for the files");
  fuzz_require(ddb_allocator_set(&counting, NULL) == DDB_OK, "the allocator is in use");
  ddb__test_sys_trace(NULL, NULL, true);
  int fault = ddb__test_fault_find(getenv("DICTDB_FAULT"));
  ddb__test_fault_set(fault > 0 ? (ddb__fault)fault : DDB__FAULT_NONE);
  (void)atexit(end);
}

const char *fuzz_path(const char *name) {
  static char paths[4][256];
  static unsigned next;
  char *path = paths[next++ % 4];
  (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

void fuzz_write(const char *path, const void *data, size_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "cannot write a file");
  (void)close(fd);
}

fuzz_bytes fuzz_file(const char *path) {
  struct stat info;
  fuzz_bytes bytes = {0};
  int fd = open(path, O_RDONLY);
  fuzz_require(fd >= 0 && fstat(fd, &info) == 0, "cannot read a file");
  bytes.size = (size_t)info.st_size;
  bytes.data = malloc(bytes.size + 1);
  fuzz_require(bytes.data && read(fd, bytes.data, bytes.size) == (ssize_t)bytes.size,
               "cannot read a file");
  (void)close(fd);
  return bytes;
}

/* ---- Databases ---------------------------------------------------------------------------- */

fuzz_bytes fuzz_saved(ddb_db *db) {
  ddb_error err = {0};
  const char *path = fuzz_path("saved");
  if (ddb_db_save(db, path, NULL, &err) != DDB_OK) {
    fuzz_require(false, err.message);
  }
  return fuzz_file(path);
}

bool fuzz_same(const fuzz_bytes *a, const fuzz_bytes *b) {
  bool same = a->size == b->size;
  ddb__native_block block;
  size_t at = sizeof(ddb__native_head);
  for (; same && at < a->size; at += sizeof block + block.stored_size) {
    memcpy(&block, a->data + at, sizeof block);
    const size_t known = offsetof(ddb__native_block, checksum);
    same = memcmp(a->data + at, b->data + at, known) == 0 &&
           memcmp(a->data + at + sizeof block, b->data + at + sizeof block, block.stored_size) == 0;
  }
  return same;
}

void fuzz_check_error(ddb_status status, const ddb_error *err) {
  if (status != DDB_ERR_CORRUPT || err->status != status || !err->message[0]) {
    (void)fprintf(stderr, "status %d: %s\n", (int)status, err->message);
    fuzz_require(false, "an error that does not say that the file is damaged");
  }
}

static void read_table(ddb_table *table) {
  char text[256];
  ddb_view view;
  uint64_t at = 0;
  const ddb_record *record;
  fuzz_require(ddb_view_open(table, &view, NULL) == DDB_OK, "a table that cannot be read");
  while ((record = ddb_view_next(&view, &at)) != NULL) {
    for (size_t i = 0; i < ddb_record_count(record); i++) {
      ddb_value value = ddb_record_value(record, i);
      (void)ddb_value_format(&value, text, sizeof text);
      (void)ddb_value_hash(&value);
      fuzz_require(ddb_value_compare(&value, &value) == 0, "a value that differs from itself");
    }
  }
  ddb_view_close(&view);
}

void fuzz_read(ddb_db *db) {
  ddb_table **tables;
  size_t count;
  fuzz_require(ddb_db_tables(db, &tables, &count, NULL) == DDB_OK, "no tables");
  for (size_t i = 0; i < count; i++) {
    read_table(tables[i]);
  }
  ddb_tables_free(tables, count);
}
