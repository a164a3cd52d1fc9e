/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_failures.c - opened databases whose memory or disk fails: nothing half done, nothing that was
 * acknowledged is lost, everybody is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_support.h"
#include "rows.h"

#include "io/syscalls.h"

static void test_no_memory(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 40));
  assert_ok(ddb_db_sync(db, NULL));
  for (int statement = 0; statement < 5; statement++) {
    for (long n = 1;; n++) {
      uint64_t digest = log_digest(db);
      support_allocator_fail(n);
      ddb_status status = statement == 0   ? rows_insert_many(table, 100, 20)
                          : statement == 1 ? rows_update_all(table, 77)
                          : statement == 2 ? rows_delete_all(table)
                          : statement == 3
                              ? ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL)
                              : ddb_db_checkpoint(db, NULL, NULL, NULL);
      bool failed = support_allocator_failed();
      if (!failed) {
        assert_ok(status);
        break;
      }
      if (status != DDB_OK) {
        assert_int_equal(status, DDB_ERR_NOMEM);
        assert_int_equal(log_digest(db), digest);
      } else {
        break;
      }
    }
  }
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status = log_try_open(log_path, &db, NULL);
    bool failed = support_allocator_failed();
    if (status == DDB_OK) {
      assert_int_equal(log_digest(db), digest);
      ddb_db_release(db);
    } else {
      assert_int_equal(status, DDB_ERR_NOMEM);
    }
    if (!failed) {
      assert_ok(status);
      break;
    }
  }
}

#ifdef DDB_TESTING
/* Commits until something fails; returns how many were acknowledged. */
static int commit_until_failure(ddb_db *db, ddb_status *failure, ddb_error *err) {
  int count = 0;
  *failure = DDB_OK;
  ddb_table *table;
  if ((*failure = ddb_db_table_get(db, DDB_STR("t"), &table, err)) != DDB_OK) {
    return 0;
  }
  for (; count < 6 && *failure == DDB_OK; count += *failure == DDB_OK) {
    ddb_field field = {DDB_STR("a"), ddb_int(count)};
    *failure = ddb_table_insert_fields(table, &field, 1, NULL, err);
    if (count == 3 && *failure == DDB_OK) {
      (void)ddb_db_checkpoint(db, NULL, NULL, NULL); /* may fail without harm */
    }
  }
  ddb_table_release(table);
  return count;
}

/* Every system call of a life made to fail once: what was acknowledged is there. */
static void test_every_call_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      log_remove(log_path);
      ddb_error err = {0};
      ddb_status failure;
      ddb_db *db;
      int count = 0;
      bool tried = false;
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = log_try_open(log_path, &db, &err);
      if (status == DDB_OK) {
        ddb_table *table;
        status = ddb_db_table_create(db, DDB_STR("t"), NULL, &table, &err);
        if (status == DDB_OK) {
          ddb_table_release(table);
          count = commit_until_failure(db, &failure, &err);
          tried = failure != DDB_OK;
          status = failure;
        }
        (void)ddb_db_close(db, NULL);
        ddb_db_release(db);
      }
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status != DDB_OK) {
        bool told = status == DDB_ERR_IO || status == DDB_ERR_READ_ONLY;
        assert_true(told && err.os_error == errors[e]);
        assert_true(errors[e] != EINTR && errors[e] != DDB__SYS_SHORT);
      }
      uint64_t found = log_count_rows(log_path);
      if (found < (uint64_t)count || found > (uint64_t)count + tried) {
        fail_msg("%s failed at call %d: %d acknowledged, %d there", ddb__test_sys_name(failed),
                 (int)n, count, (int)found);
      }
      if (failed == DDB__SYS_COUNT) {
        assert_ok(status);
        assert_true(n > 20);
        break;
      }
    }
  }
}

static int stop_at_once(void *context, uint64_t done, uint64_t total) {
  (void)context;
  (void)done;
  (void)total;
  return 1;
}

/* Leaves a checkpoint, two segments after it, a torn commit and what a crash left of a save. Returns the
 * digest of what can be recovered. */
static uint64_t leave_a_mess(void) {
  char file[300];
  struct stat info;
  log_remove(log_path);
  ddb_db *db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  assert_ok(rows_insert_many(table, 1, 5));
  assert_ok(ddb_db_checkpoint(db, NULL, NULL, NULL));
  assert_ok(rows_insert(table, 6, 1));
  assert_int_equal(ddb_db_checkpoint(db, stop_at_once, NULL, NULL), DDB_ERR_INTERRUPTED);
  assert_ok(rows_insert(table, 7, 1));
  uint64_t digest = log_digest(db);
  assert_ok(rows_insert(table, 8, 1));
  ddb_table_release(table);
  ddb_db_release(db);
  (void)snprintf(file, sizeof file, "%s/log-0000000000000003.ddl", log_path);
  assert_int_equal(stat(file, &info), 0);
  assert_int_equal(truncate(file, info.st_size - 8), 0);
  (void)snprintf(file, sizeof file, "%s/.checkpoint-0000000000000003.dictdb.0.tmp", log_path);
  int fd = open(file, O_WRONLY | O_CREAT, 0600);
  assert_true(fd >= 0);
  close(fd);
  return digest;
}

/* Every system call of a recovery made to fail once: told or made good, and the next one succeeds. */
static void test_every_call_of_a_recovery_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      uint64_t digest = leave_a_mess();
      ddb_error err = {0};
      ddb_db *db;
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = log_try_open(log_path, &db, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      if (status == DDB_OK) {
        assert_int_equal(log_digest(db), digest);
        ddb_db_release(db);
      } else {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
        assert_true(errors[e] != EINTR && errors[e] != DDB__SYS_SHORT);
      }
      db = log_open(log_path, DDB_DURABILITY_COMMIT);
      assert_int_equal(log_digest(db), digest);
      ddb_db_release(db);
      if (failed == DDB__SYS_COUNT) {
        assert_true(n > 20);
        break;
      }
    }
  }
}

/* Overwrites the last record of segment 1, which begins at `offset`, as if its write had been lost. */
static void lose_record(off_t offset) {
  char file[300];
  static const char zeros[64];
  (void)snprintf(file, sizeof file, "%s/log-0000000000000001.ddl", log_path);
  int fd = open(file, O_WRONLY);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, zeros, sizeof zeros, offset), sizeof zeros);
  close(fd);
}

static off_t end_of_segment(void) {
  char file[300];
  struct stat info;
  (void)snprintf(file, sizeof file, "%s/log-0000000000000001.ddl", log_path);
  assert_int_equal(stat(file, &info), 0);
  return info.st_size;
}

/* The end of segment 1 is lost, so segment 2 has to go. While it cannot be removed, nothing may go on
 * from there: a commit as long as the lost one would bring that of segment 2 back. */
static void test_a_lost_end_that_cannot_be_removed(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_NONE);
  ddb_table *table = log_table(db, "t");
  uint64_t before = log_digest(db);
  off_t end = end_of_segment();
  assert_ok(rows_insert(table, 10, 1));
  assert_int_equal(ddb_db_checkpoint(db, stop_at_once, NULL, NULL), DDB_ERR_INTERRUPTED);
  off_t whole = end_of_segment();
  assert_ok(rows_insert(table, 11, 1));
  ddb_table_release(table);
  ddb_db_release(db);
  lose_record(end);
  ddb_error err = {0};
  ddb__test_sys_only(DDB__SYS_UNLINKAT);
  ddb__test_sys_fail(1, EIO, true);
  ddb_status status = log_try_open(log_path, &db, &err);
  ddb__test_sys_fail(0, 0, false);
  ddb__test_sys_only(DDB__SYS_COUNT);
  if (status == DDB_OK) { /* what must not be: shows what comes of it */
    table = log_table(db, "t");
    assert_ok(rows_insert(table, 12, 1));
    uint64_t after = log_digest(db);
    ddb_table_release(table);
    ddb_db_release(db);
    assert_int_equal(end_of_segment(), whole);
    db = log_open(log_path, DDB_DURABILITY_NONE);
    assert_int_equal(log_digest(db), after);
  }
  assert_int_equal(status, DDB_ERR_IO);
  assert_int_equal(err.os_error, EIO);
  assert_non_null(strstr(err.message, log_path));
  db = log_open(log_path, DDB_DURABILITY_NONE);
  assert_int_equal(log_digest(db), before);
  ddb_db_release(db);
}

/* Space that is lacking fails the statement before anything has changed. */
static void test_no_space_changes_nothing(void **state) {
  (void)state;
  ddb_db *db = log_open(log_path, DDB_DURABILITY_COMMIT);
  ddb_table *table = log_table(db, "t");
  ddb__test_sys_only(DDB__SYS_FALLOCATE);
  for (int64_t i = 0; i < 4; i++) { /* each more than is ever reserved ahead */
    uint64_t digest = log_digest(db);
    ddb__test_sys_fail(1, ENOSPC, false);
    ddb_status status = rows_insert_many(table, 1 + 3000 * i, 3000);
    assert_int_equal(ddb__test_sys_failed(), DDB__SYS_FALLOCATE);
    ddb__test_sys_fail(0, 0, false);
    assert_int_equal(status, DDB_ERR_IO);
    assert_int_equal(log_digest(db), digest);
    assert_ok(rows_insert_many(table, 1 + 3000 * i, 3000));
  }
  ddb__test_sys_only(DDB__SYS_WRITE);
  ddb__test_sys_fail(1, ENOSPC, true);
  assert_int_equal(rows_insert(table, 999999, 1), DDB_ERR_READ_ONLY);
  ddb__test_sys_fail(0, 0, false);
  ddb__test_sys_only(DDB__SYS_COUNT);
  assert_int_equal(rows_insert(table, 1000000, 1), DDB_ERR_READ_ONLY);
  assert_int_equal(ddb_db_sync(db, NULL), DDB_ERR_READ_ONLY);
  assert_int_equal(ddb_db_close(db, NULL), DDB_ERR_READ_ONLY);
  ddb_table_release(table);
  ddb_db_release(db);
}

typedef struct told {
  _Atomic int count;
  _Atomic uint64_t commit; /* of the newest checkpoint */
  _Atomic uint64_t size;
  _Atomic int os_error;
} told;

static void tell(void *context, const ddb_error *cause) {
  told *t = context;
  atomic_store(&t->os_error, cause->os_error);
  atomic_fetch_add(&t->count, 1);
}

static void tell_checkpoint(void *context, uint64_t commit, uint64_t size) {
  told *t = context;
  atomic_store(&t->size, size);
  atomic_store(&t->commit, commit);
}

/* Waits as long as it takes: the test's own limit ends it. */
static ddb_log_info wait_for_failures(ddb_db *db, uint64_t least) {
  for (;;) {
    ddb_log_info info = log_info(db);
    if (least ? info.checkpoint_failures >= least : info.checkpoints > 0) {
      return info;
    }
    usleep(1000);
  }
}

/* A checkpoint that the database makes by itself fails: that is told, tried again, and no harm. */
static void test_failed_checkpoints_are_told_and_tried_again(void **state) {
  (void)state;
  told t = {0};
  ddb_db *db;
  const ddb_open_options options = {.durability = DDB_DURABILITY_NONE,
                                    .on_failure = tell,
                                    .failure_context = &t,
                                    .on_checkpoint = tell_checkpoint};
  assert_ok(ddb_db_open(log_path, &options, &db, NULL));
  ddb_table *table = log_table(db, "t");
  ddb__test_sys_only(DDB__SYS_RENAMEAT);
  ddb__test_sys_fail(1, ENOSPC, true);
  assert_ok(rows_insert_many(table, 1, 2000)); /* more than a log may have */
  ddb_log_info info = wait_for_failures(db, 3);
  assert_int_equal(info.checkpoint_error.status, DDB_ERR_IO);
  assert_int_equal(info.checkpoint_error.os_error, ENOSPC);
  assert_int_equal(info.checkpoints, 0);
  assert_false(info.read_only);
  assert_ok(rows_insert(table, 5000, 1));
  assert_int_equal(atomic_load(&t.commit), 0);
  ddb__test_sys_fail(0, 0, false);
  ddb__test_sys_only(DDB__SYS_COUNT);
  info = wait_for_failures(db, 0);
  assert_int_equal(info.checkpoint_failures, 0);
  assert_int_equal(info.checkpoint_error.status, DDB_OK);
  assert_true(info.checkpoint_bytes > 0);
  while (atomic_load(&t.commit) == 0) {
    usleep(1000);
  }
  assert_int_equal(atomic_load(&t.commit), info.checkpoint_commit);
  assert_int_equal(atomic_load(&t.size), info.checkpoint_bytes);
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  log_close(db);
  assert_true(atomic_load(&t.count) >= 2); /* the third may have been noted, and not told yet */
  assert_int_equal(atomic_load(&t.os_error), ENOSPC);
  db = log_open(log_path, DDB_DURABILITY_NONE);
  assert_int_equal(log_digest(db), digest);
  log_close(db);
}

/* A sync that the database makes by itself fails: that is told too. */
static void test_a_failed_sync_of_the_interval_is_told(void **state) {
  (void)state;
  told t = {0};
  ddb_db *db;
  const ddb_open_options options = {.durability = DDB_DURABILITY_INTERVAL,
                                    .interval_ns = 1000000,
                                    .on_failure = tell,
                                    .failure_context = &t};
  assert_ok(ddb_db_open(log_path, &options, &db, NULL));
  ddb__test_sys_only(DDB__SYS_FDATASYNC);
  ddb__test_sys_fail(1, EIO, true);
  ddb_table *table;
  ddb_status status = ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL);
  while (atomic_load(&t.count) == 0) {
    usleep(1000);
  }
  ddb__test_sys_fail(0, 0, false);
  ddb__test_sys_only(DDB__SYS_COUNT);
  assert_int_equal(atomic_load(&t.os_error), EIO);
  ddb_log_info info = log_info(db);
  assert_true(info.read_only);
  assert_int_equal(info.failure.os_error, EIO);
  assert_true(info.synced_commit < info.commit);
  if (status == DDB_OK) {
    assert_int_equal(rows_insert(table, 1, 1), DDB_ERR_READ_ONLY);
    ddb_table_release(table);
  }
  ddb_db_release(db);
}

#endif

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, log_begin, log_end)
  const struct CMUnitTest tests[] = {
      TEST(test_no_memory),
#ifdef DDB_TESTING
      TEST(test_every_call_fails),
      TEST(test_every_call_of_a_recovery_fails),
      TEST(test_a_lost_end_that_cannot_be_removed),
      TEST(test_no_space_changes_nothing),
      TEST(test_failed_checkpoints_are_told_and_tried_again),
      TEST(test_a_failed_sync_of_the_interval_is_told),
#endif
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, log_setup, log_teardown);
}
