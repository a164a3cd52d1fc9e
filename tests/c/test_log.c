/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c - databases that live in a directory: what was committed is there again, one process at a
 * time, damage is found, failures make the database read-only and never lie.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_support.h"
#include "rows.h"

#include "io/native.h"
#include "io/syscalls.h"

/* ---- Whatever happens is there again ------------------------------------------------------ */

static void test_random_histories(void **state) {
  (void)state;
  uint64_t seed = support_seed("histories");
  for (int round = 0; round < 12; round++) {
    log_remove(log_path);
    ddb_durability durability = (ddb_durability)support_below(&seed, 3);
    ddb_db *db = log_open(log_path, durability);
    for (int i = 0; i < 250; i++) {
      (void)log_do(db, &seed);
      if (support_below(&seed, 25) == 0) {
        uint64_t digest = log_digest(db);
        if (support_below(&seed, 2)) {
          assert_ok(ddb_db_close(db, NULL));
        }
        ddb_db_release(db);
        db = log_open(log_path, durability);
        assert_int_equal(log_digest(db), digest);
      }
    }
    log_close(db);
  }
}

/* A failed statement leaves nothing in the log, under an explicit lock neither. */
static void test_failed_statements_are_not_logged(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 5));
  assert_int_equal(rows_insert_many(table, 4, 10), DDB_ERR_DUPLICATE_KEY);
  assert_ok(ddb_tables_write_lock(&table, 1, DDB_WAIT_FOREVER, NULL));
  assert_ok(rows_insert_many(table, 6, 2));
  assert_int_equal(rows_insert_many(table, 1, 3), DDB_ERR_DUPLICATE_KEY);
  assert_ok(rows_delete(table, 1));
  assert_ok(ddb_tables_write_unlock(&table, 1, NULL));
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  db = log_open(log_path, DDB_DURABILITY_NONE);
  assert_int_equal(log_digest(db), digest);
  ddb_db_release(db);
}

/* Statements larger than the log's buffer, and checkpoints that come by themselves. */
static void test_large_commits(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 8000));
  assert_ok(rows_update_all(table, 3));
  for (int i = 0; i < 300; i++) {
    assert_ok(rows_insert_many(table, 10000 + 10 * i, 10));
  }
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  db = log_open(log_path, DDB_DURABILITY_COMMIT);
  assert_int_equal(log_digest(db), digest);
  log_close(db);
}

static void test_closed(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "t");
  ddb_table *other;
  assert_ok(rows_insert(table, 1, 1));
  assert_ok(ddb_db_close(db, NULL));
  assert_ok(ddb_db_close(db, NULL));
  assert_int_equal(rows_insert(table, 2, 2), DDB_ERR_READ_ONLY);
  assert_int_equal(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, &err),
                   DDB_ERR_READ_ONLY);
  assert_non_null(strstr(err.message, "closed"));
  assert_int_equal(ddb_db_table_create(db, DDB_STR("x"), NULL, &other, NULL), DDB_ERR_READ_ONLY);
  assert_int_equal(ddb_db_table_drop(db, DDB_STR("t"), NULL), DDB_ERR_READ_ONLY);
  assert_int_equal(ddb_db_checkpoint(db, NULL, NULL, NULL), DDB_ERR_READ_ONLY);
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 1);
  ddb_view_close(&view);
  ddb_table_release(table);
  ddb_db_release(db);
}

typedef struct visit {
  ddb_db *db;
  ddb_table *table;
  int calls;
} visit;

static int visit_inside(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  visit *v = context;
  ddb_error err;
  v->calls++;
  assert_int_equal(ddb_db_close(v->db, &err), DDB_ERR_DEADLOCK);
  assert_non_null(strstr(err.message, "progress"));
  assert_int_equal(ddb_db_checkpoint(v->db, NULL, NULL, &err), DDB_ERR_DEADLOCK);
  assert_ok(rows_insert(v->table, 100 + v->calls, 1));
  assert_ok(ddb_db_sync(v->db, NULL));
  return 0;
}

static void test_progress_uses_the_database(void **state) {
  (void)state;
  visit v = {.db = log_open(log_path, DDB_DURABILITY_COMMIT)};
  v.table = log_table(v.db, "t");
  assert_ok(rows_insert_many(v.table, 1, 50));
  assert_ok(ddb_db_checkpoint(v.db, visit_inside, &v, NULL));
  assert_true(v.calls > 0);
  ddb_table_release(v.table);
  log_close(v.db);
}

static void test_in_memory(void **state) {
  (void)state;
  ddb_db *db;
  assert_ok(ddb_db_new(&db, NULL));
  assert_int_equal(ddb_db_sync(db, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_db_checkpoint(db, NULL, NULL, NULL), DDB_ERR_INVALID);
  assert_ok(ddb_db_close(db, NULL));
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert(table, 1, 1));
  ddb_table_release(table);
  ddb_db_release(db);
}

/* ---- One at a time ------------------------------------------------------------------------ */

static void test_one_at_a_time(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *second;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  assert_int_equal(log_try_open(log_path, &second, &err), DDB_ERR_IN_USE);
  assert_non_null(strstr(err.message, "in this process"));
  pid_t child = fork();
  if (child == 0) {
    /* The child inherits nothing that keeps the lock, and cannot write. */
    ddb_table *table;
    int wrong = ddb_db_table_create(db, DDB_STR("x"), NULL, &table, NULL) != DDB_ERR_FORKED;
    wrong |= ddb_db_sync(db, NULL) != DDB_ERR_FORKED;
    wrong |= log_try_open(log_path, &second, &err) != DDB_ERR_IN_USE;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getppid());
    _exit(wrong || !strstr(err.message, pid));
  }
  int result;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_int_equal(result, 0);
  child = fork();
  if (child == 0) {
    (void)pause();
    _exit(0);
  }
  log_close(db); /* though the child lives */
  ddb_status status = log_try_open(log_path, &db, &err);
  assert_int_equal(kill(child, SIGKILL), 0);
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_ok(status);
  log_close(db);
}

/* A database that is moved while it is open goes on where it is now; another one that has come to its
 * place is not touched. */
static void test_moved_while_open(void **state) {
  (void)state;
  char there[200];
  char other[200];
  (void)snprintf(there, sizeof there, "%s-there", log_path);
  (void)snprintf(other, sizeof other, "%s-other", log_path);
  ddb_db *moved = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_db *newer = log_open(other, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(moved, "t");
  ddb_table *newer_table = log_table(newer, "t");
  assert_ok(ddb_db_checkpoint(newer, NULL, NULL, NULL));
  assert_ok(rows_insert_many(table, 1, 5));
  assert_ok(rows_insert_many(newer_table, 1, 7)); /* in segment 2 of it */
  assert_int_equal(rename(log_path, there), 0);
  assert_int_equal(rename(other, log_path), 0);
  ddb_error err = {0};
  if (ddb_db_checkpoint(moved, NULL, NULL, &err) != DDB_OK) { /* makes segment 2 */
    print_message("%s\n", err.message);
  }
  ddb_db *seen;
  assert_ok(ddb_directory_load(log_path, NULL, NULL, &seen, NULL));
  assert_int_equal(log_digest(seen), log_digest(newer));
  ddb_db_release(seen);
  assert_ok(err.status);
  assert_ok(rows_insert(table, 6, 1));
  ddb_table_release(table);
  ddb_table_release(newer_table);
  log_close(moved);
  log_close(newer);
  assert_int_equal(log_count_rows(there), 6);
  assert_int_equal(log_count_rows(log_path), 7);
  log_remove(there);
}

static void test_what_cannot_be_opened(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *db;
  char file[200];
  assert_int_equal(log_try_open("", &db, &err), DDB_ERR_INVALID);
  assert_int_equal(log_try_open(NULL, &db, &err), DDB_ERR_INVALID);
  assert_int_equal(log_try_open("/nonexistent/folder/db", &db, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOENT);
  const ddb_open_options options = {.durability = (ddb_durability)7};
  assert_int_equal(ddb_db_open(log_path, &options, &db, &err), DDB_ERR_INVALID);
  assert_int_equal(mkdir(log_path, 0700), 0);
  (void)snprintf(file, sizeof file, "%s/letter.txt", log_path);
  int fd = open(file, O_WRONLY | O_CREAT, 0600);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(log_try_open(log_path, &db, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "letter.txt"));
  char lock[200];
  (void)snprintf(lock, sizeof lock, "%s/LOCK", log_path);
  assert_int_equal(access(lock, F_OK), -1); /* nothing is left in what is not a database's */
  assert_int_equal(log_try_open(file, &db, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOTDIR);
}

/* ---- Damage ------------------------------------------------------------------------------- */

typedef struct file_text {
  char data[60000];
  size_t size;
} file_text;

static void read_file(const char *name, file_text *out) {
  char file[300];
  (void)snprintf(file, sizeof file, "%s/%s", log_path, name);
  int fd = open(file, O_RDONLY);
  assert_true(fd >= 0);
  ssize_t size = read(fd, out->data, sizeof out->data);
  assert_in_range(size, 1, sizeof out->data - 1);
  out->size = (size_t)size;
  close(fd);
}

static void write_file(const char *name, const char *data, size_t size) {
  char file[300];
  (void)snprintf(file, sizeof file, "%s/%s", log_path, name);
  int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, size), size);
  close(fd);
}

#define SEGMENT    "log-0000000000000002.ddl"
#define CHECKPOINT "checkpoint-0000000000000002.dictdb"
enum { STATES = 24 };

/* A checkpoint and a log of STATES synced commits; digests[i]: after i of them. */
static void make_history(uint64_t *digests, uint64_t seed) {
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "a");
  assert_ok(rows_insert_many(table, 1, 10));
  assert_ok(ddb_db_checkpoint(db, NULL, NULL, NULL));
  digests[0] = log_digest(db);
  for (int i = 1; i <= STATES; i++) {
    assert_ok(i % 3 ? rows_insert(table, 100 + i, (int64_t)support_below(&seed, 50))
                    : rows_update(table, 1 + i % 10, i));
    digests[i] = log_digest(db);
  }
  ddb_table_release(table);
  ddb_db_release(db);
}

/* The state that opens, or -1 when it is refused. */
static int state_that_opens(const uint64_t *digests) {
  ddb_db *db;
  ddb_error err;
  ddb_status status = log_try_open(log_path, &db, &err);
  if (status == DDB_ERR_CORRUPT) {
    return -1;
  }
  if (status != DDB_OK) {
    fail_msg("%s", err.message);
  }
  uint64_t digest = log_digest(db);
  ddb_db_release(db);
  for (int i = 0; i <= STATES; i++) {
    if (digests[i] == digest) {
      return i;
    }
  }
  fail_msg("a state that never was");
  return -1;
}

static void test_every_byte_of_a_log(void **state) {
  (void)state;
  static file_text log;
  static file_text checkpoint;
  uint64_t digests[STATES + 1];
  uint64_t seed = support_seed("log bytes");
  make_history(digests, seed);
  read_file(SEGMENT, &log);
  read_file(CHECKPOINT, &checkpoint);
  unsigned refused = 0;
  for (size_t i = 0; i < log.size; i++) {
    char kept = log.data[i];
    log.data[i] = (char)(kept ^ (1 << support_below(&seed, 8)));
    write_file(SEGMENT, log.data, log.size);
    write_file(CHECKPOINT, checkpoint.data, checkpoint.size);
    int found = state_that_opens(digests);
    refused += found < 0;
    /* What a later commit had seen on the disk is never lost in silence: only the last one may be. */
    assert_true(found < 0 || found >= STATES - 1);
    log.data[i] = kept;
  }
  assert_true(refused > log.size / 2);
  int before = 0;
  for (size_t size = 0; size <= log.size; size++) {
    write_file(SEGMENT, log.data, size);
    int found = state_that_opens(digests);
    assert_true(size < sizeof(ddb__native_head) ? found == -1 : found >= before);
    before = found;
  }
  assert_int_equal(before, STATES);
}

#define NEWER_SEGMENT    "log-0000000000000003.ddl"
#define NEWER_CHECKPOINT "checkpoint-0000000000000003.dictdb"

static bool is_there(const char *name) {
  char file[300];
  (void)snprintf(file, sizeof file, "%s/%s", log_path, name);
  return access(file, F_OK) == 0;
}

/* What a crash leaves that comes after the new checkpoint has its name, and before the files that it
 * replaces are gone. Returns the digest. */
static uint64_t make_two_checkpoints(file_text *newer) {
  static file_text log;
  static file_text checkpoint;
  uint64_t digests[STATES + 1];
  make_history(digests, 1);
  read_file(SEGMENT, &log);
  read_file(CHECKPOINT, &checkpoint);
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "a");
  assert_ok(ddb_db_checkpoint(db, NULL, NULL, NULL));
  assert_ok(rows_insert(table, 200, 7));
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  assert_false(is_there(SEGMENT) || is_there(CHECKPOINT));
  write_file(SEGMENT, log.data, log.size);
  write_file(CHECKPOINT, checkpoint.data, checkpoint.size);
  read_file(NEWER_CHECKPOINT, newer);
  return digest;
}

/* The file is named, and nothing is removed. */
static void assert_checkpoint_refused(void) {
  ddb_db *db = NULL;
  ddb_error err;
  assert_int_equal(log_try_open(log_path, &db, &err), DDB_ERR_CORRUPT);
  assert_non_null(strstr(err.message, NEWER_CHECKPOINT));
  assert_int_equal(log_try_open(log_path, &db, NULL), DDB_ERR_CORRUPT);
  assert_true(is_there(CHECKPOINT) && is_there(SEGMENT) && is_there(NEWER_SEGMENT));
}

static void assert_opens_as(uint64_t digest) {
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  assert_int_equal(log_digest(db), digest);
  ddb_db_release(db);
}

static void test_every_byte_of_a_checkpoint(void **state) {
  (void)state;
  static file_text newer;
  uint64_t seed = support_seed("checkpoint bytes");
  uint64_t digest = make_two_checkpoints(&newer);
  for (size_t i = 0; i < newer.size; i++) {
    char kept = newer.data[i];
    newer.data[i] = (char)(kept ^ (1 << support_below(&seed, 8)));
    write_file(NEWER_CHECKPOINT, newer.data, newer.size);
    assert_checkpoint_refused();
    newer.data[i] = kept;
    write_file(NEWER_CHECKPOINT, newer.data, i); /* cut here */
    assert_checkpoint_refused();
  }
  char file[300];
  (void)snprintf(file, sizeof file, "%s/" NEWER_CHECKPOINT, log_path);
  assert_int_equal(unlink(file), 0);
  assert_opens_as(digest); /* the checkpoint before, and the log since */
  write_file(NEWER_CHECKPOINT, newer.data, newer.size);
  assert_opens_as(digest);
  assert_false(is_there(CHECKPOINT) || is_there(SEGMENT));
}

/* ---- Directories made of a database -------------------------------------------------------- */

static void test_a_directory_is_made_and_opened(void **state) {
  (void)state;
  ddb_error err;
  char source[200];
  uint64_t seed = support_seed("made");
  (void)snprintf(source, sizeof source, "%s.source", log_path);
  ddb_db *db = log_open(source, DDB_DURABILITY_NONE);
  for (int i = 0; i < 60; i++) {
    (void)log_do(db, &seed);
  }
  uint64_t digest = log_digest(db);
  const ddb_save_options options = {.compression = 3};
  ddb_snapshot *snapshot;
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  assert_ok(ddb_snapshot_save_directory(snapshot, log_path, &options, &err));
  ddb_snapshot_close(snapshot);
  assert_int_equal(ddb_db_save_directory(db, log_path, NULL, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "has a database already"));
  ddb_db *opened = log_open(log_path, DDB_DURABILITY_COMMIT);
  assert_int_equal(log_digest(opened), digest);
  for (int i = 0; i < 30; i++) {
    (void)log_do(opened, &seed);
  }
  digest = log_digest(opened);
  assert_int_equal(ddb_db_save_directory(db, log_path, NULL, &err), DDB_ERR_INVALID);
  log_close(opened);
  assert_opens_as(digest); /* and goes on */
  char file[300];
  log_remove(log_path);
  assert_int_equal(mkdir(log_path, 0700), 0);
  write_file("letter.txt", "x", 1);
  assert_int_equal(ddb_db_save_directory(db, log_path, NULL, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "letter.txt"));
  assert_false(is_there("LOCK"));
  (void)snprintf(file, sizeof file, "%s/letter.txt", log_path);
  assert_int_equal(ddb_db_save_directory(db, file, NULL, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOTDIR);
  assert_int_equal(ddb_db_save_directory(db, "", NULL, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_db_save_directory(db, NULL, NULL, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_snapshot_save_directory(NULL, log_path, NULL, &err), DDB_ERR_INVALID);
  assert_int_equal(unlink(file), 0);
  assert_ok(ddb_db_save_directory(db, log_path, NULL, &err));
  (void)snprintf(file, sizeof file, "%s/log-0000000000000001.ddl", log_path);
  assert_int_equal(unlink(file), 0); /* as if killed before its end */
  assert_int_equal(log_try_open(log_path, &opened, &err), DDB_ERR_CORRUPT);
  log_close(db);
  log_remove(source);
}

static void test_no_memory_for_a_directory(void **state) {
  (void)state;
  ddb_db *db;
  assert_ok(ddb_db_new(&db, NULL));
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 50));
  uint64_t digest = log_digest(db);
  int64_t bytes = support_allocator_bytes();
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status = ddb_db_save_directory(db, log_path, NULL, NULL);
    bool failed = support_allocator_failed();
    assert_int_equal(support_allocator_bytes(), bytes);
    if (!failed) {
      assert_ok(status);
      assert_true(n > 3);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
  }
  assert_opens_as(digest);
  ddb_table_release(table);
  ddb_db_release(db);
}

#ifdef DDB_TESTING
/* Every call fails once: told, and the directory can be used for the next try; or done. */
static void test_every_call_of_a_directory_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  ddb_db *db;
  assert_ok(ddb_db_new(&db, NULL));
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 50));
  uint64_t digest = log_digest(db);
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      log_remove(log_path);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_save_directory(db, log_path, NULL, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status != DDB_OK) {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
        assert_true(errors[e] != EINTR && errors[e] != DDB__SYS_SHORT);
        assert_false(is_there("checkpoint-0000000000000001.dictdb") ||
                     is_there("log-0000000000000001.ddl"));
        assert_ok(ddb_db_save_directory(db, log_path, NULL, &err));
      }
      assert_opens_as(digest);
      if (failed == DDB__SYS_COUNT) {
        assert_ok(status);
        assert_true(n > 15);
        break;
      }
    }
  }
  ddb_table_release(table);
  ddb_db_release(db);
}
#endif

static void test_a_missing_segment(void **state) {
  (void)state;
  ddb_error err;
  ddb_db *db;
  uint64_t digests[STATES + 1];
  make_history(digests, 1);
  char file[300];
  (void)snprintf(file, sizeof file, "%s/" SEGMENT, log_path);
  assert_int_equal(unlink(file), 0);
  assert_int_equal(log_try_open(log_path, &db, &err), DDB_ERR_CORRUPT);
  assert_non_null(strstr(err.message, "missing"));
}

static void test_what_the_log_says_of_itself(void **state) {
  (void)state;
  ddb_log_info info;
  ddb_db *db;
  assert_ok(ddb_db_new(&db, NULL));
  assert_int_equal(ddb_db_log_info(db, &info, NULL), DDB_ERR_INVALID);
  ddb_db_release(db);
  db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert(table, 1, 1));
  info = log_info(db);
  assert_int_equal(info.durability, DDB_DURABILITY_NONE);
  assert_false(info.read_only);
  assert_int_equal(info.commit, 2);
  assert_int_equal(info.written_commit, 2);
  assert_int_equal(info.synced_commit, 0);
  assert_true(info.log_bytes > 100);
  assert_int_equal(info.checkpoint_bytes + info.checkpoints + info.checkpoint_failures, 0);
  assert_ok(ddb_db_sync(db, NULL));
  assert_int_equal(log_info(db).synced_commit, 2);
  assert_ok(ddb_db_checkpoint(db, NULL, NULL, NULL));
  info = log_info(db);
  assert_int_equal(info.checkpoints, 1);
  assert_int_equal(info.checkpoint_commit, 2);
  assert_true(info.checkpoint_bytes > 100 && info.log_bytes <= sizeof(ddb__native_head));
  assert_ok(rows_insert(table, 2, 1));
  uint64_t bytes = log_info(db).log_bytes;
  ddb_table_release(table);
  ddb_db_release(db);
  db = log_open(log_path, DDB_DURABILITY_COMMIT);
  info = log_info(db);
  assert_int_equal(info.log_bytes, bytes);
  assert_int_equal(info.commit, 3);
  assert_int_equal(info.synced_commit, 3);
  assert_int_equal(info.checkpoint_commit, 2);
  assert_ok(ddb_db_close(db, NULL));
  info = log_info(db);
  assert_true(info.read_only && info.failure.status == DDB_OK);
  ddb_db_release(db);
}

/* ---- Threads ------------------------------------------------------------------------------ */

typedef struct committer {
  pthread_t thread;
  ddb_table *table;
  int64_t first;
  _Atomic bool *stop;
  _Atomic int64_t count; /* of statements, failed ones included */
  _Atomic int64_t wrong;
} committer;

static void *commit_rows(void *context) {
  committer *c = context;
  while (!atomic_load(c->stop)) {
    bool wrong = rows_insert(c->table, c->first + c->count, 1) != DDB_OK;
    atomic_fetch_add(&c->wrong, wrong);
    atomic_fetch_add(&c->count, 1);
  }
  return NULL;
}

static void wait_above(const _Atomic int64_t *number, int64_t floor) {
  while (atomic_load(number) <= floor) {
    usleep(1000);
  }
}

enum { COMMITTERS = 4 };

static void commit_together(ddb_durability durability) {
  ddb_db *db = log_open(log_path, durability);
  ddb_table *tables[2] = {log_table(db, "a"), log_table(db, "b")};
  _Atomic bool stop = false;
  committer committers[COMMITTERS];
  for (int i = 0; i < COMMITTERS; i++) {
    committers[i] =
        (committer){.table = tables[i % 2], .first = 1 + (int64_t)i * 1000000, .stop = &stop};
    assert_int_equal(pthread_create(&committers[i].thread, NULL, commit_rows, &committers[i]), 0);
  }
  for (int i = 0; i < 15; i++) {
    wait_above(&committers[i % COMMITTERS].count, i);
    usleep(5000);
    assert_ok(i % 3 ? ddb_db_checkpoint(db, NULL, NULL, NULL) : ddb_db_sync(db, NULL));
  }
  atomic_store(&stop, true);
  for (int i = 0; i < COMMITTERS; i++) {
    pthread_join(committers[i].thread, NULL);
    assert_int_equal(committers[i].wrong, 0);
  }
  uint64_t digest = log_digest(db);
  ddb_table_release(tables[0]);
  ddb_table_release(tables[1]);
  ddb_db_release(db);
  db = log_open(log_path, durability);
  assert_int_equal(log_digest(db), digest);
  log_close(db);
  log_remove(log_path);
}

static void test_threads_commit_together(void **state) {
  (void)state;
  commit_together(DDB_DURABILITY_COMMIT);
  commit_together(DDB_DURABILITY_INTERVAL);
  commit_together(DDB_DURABILITY_NONE);
}

/* Commits that race with the end of the database are in it, or have failed. */
static void test_closing_under_commits(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
    ddb_table *table = log_table(db, "t");
    assert_ok(rows_delete_all(table));
    _Atomic bool stop = false;
    committer c = {.table = table, .first = 1, .stop = &stop};
    assert_int_equal(pthread_create(&c.thread, NULL, commit_rows, &c), 0);
    wait_above(&c.count, round);
    assert_ok(ddb_db_close(db, NULL));
    wait_above(&c.wrong, 0);
    atomic_store(&stop, true);
    pthread_join(c.thread, NULL);
    ddb_table_release(table);
    ddb_db_release(db);
    db = log_open(log_path, DDB_DURABILITY_COMMIT);
    table = log_table(db, "t");
    ddb_view view;
    assert_ok(ddb_view_open(table, &view, NULL));
    int64_t acknowledged = c.count - c.wrong;
    assert_in_range(ddb_view_count(&view), acknowledged, acknowledged + 1);
    ddb_view_close(&view);
    ddb_table_release(table);
    ddb_db_release(db);
  }
}

#ifdef DDB_TESTING
/* Nobody is told that a commit is safe when the sync that it waits for fails. */
static void test_a_failed_sync_is_told_to_all(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "t");
  _Atomic bool stop = false;
  committer committers[COMMITTERS];
  for (int i = 0; i < COMMITTERS; i++) {
    committers[i] = (committer){.table = table, .first = 1 + (int64_t)i * 1000000, .stop = &stop};
    assert_int_equal(pthread_create(&committers[i].thread, NULL, commit_rows, &committers[i]), 0);
  }
  for (int i = 0; i < COMMITTERS; i++) {
    wait_above(&committers[i].count, 3);
  }
  ddb__test_sys_only(DDB__SYS_FDATASYNC);
  ddb__test_sys_fail(1, EIO, true);
  for (int i = 0; i < COMMITTERS; i++) {
    wait_above(&committers[i].wrong, 0);
  }
  atomic_store(&stop, true);
  int64_t acknowledged = 0;
  for (int i = 0; i < COMMITTERS; i++) {
    pthread_join(committers[i].thread, NULL);
    acknowledged += committers[i].count - committers[i].wrong;
  }
  ddb_error err;
  assert_int_equal(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, &err),
                   DDB_ERR_READ_ONLY);
  assert_int_equal(err.os_error, EIO);
  assert_non_null(strstr(err.message, "ahead of the disk"));
  ddb_table_release(table);
  ddb_db_release(db);
  ddb__test_sys_fail(0, 0, false);
  ddb__test_sys_only(DDB__SYS_COUNT);
  assert_in_range(log_count_rows(log_path), acknowledged, acknowledged + COMMITTERS);
}
#endif

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, log_begin, log_end)
  const struct CMUnitTest tests[] = {
      TEST(test_random_histories),
      TEST(test_failed_statements_are_not_logged),
      TEST(test_large_commits),
      TEST(test_closed),
      TEST(test_progress_uses_the_database),
      TEST(test_in_memory),
      TEST(test_one_at_a_time),
      TEST(test_moved_while_open),
      TEST(test_what_cannot_be_opened),
      TEST(test_every_byte_of_a_log),
      TEST(test_every_byte_of_a_checkpoint),
      TEST(test_a_missing_segment),
      TEST(test_a_directory_is_made_and_opened),
      TEST(test_no_memory_for_a_directory),
#ifdef DDB_TESTING
      TEST(test_every_call_of_a_directory_fails),
#endif
      TEST(test_what_the_log_says_of_itself),
      TEST(test_threads_commit_together),
      TEST(test_closing_under_commits),
#ifdef DDB_TESTING
      TEST(test_a_failed_sync_is_told_to_all),
#endif
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, log_setup, log_teardown);
}
