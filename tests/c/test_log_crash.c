/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_crash.c - a crash at every moment of a random life, of the recovery from it, and of the life
 * after that. What was acknowledged must be there, in full and in order; what was on its way whole or
 * not at all. Faults that are planted in the log must show.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash_support.h"
#include "rows.h"

#include "base/testing.h"
#include "io/syscalls.h"

#ifdef DDB_TESTING
enum { CRASHES = SUPPORT_SANITIZED ? 4000 : 20000 };

static char path[200];
static char crashed[200];

static int setup(void **state) {
  int result = log_setup(state);
  (void)snprintf(path, sizeof path, "%s/life", log_folder);
  (void)snprintf(crashed, sizeof crashed, "%s/crashed", log_folder);
  return result;
}

static bool report; /* say what is wrong */

static size_t tell(const char *where, size_t crash, const char *problem) {
  static unsigned told;
  if (problem && report && told++ < 5) {
    printf("  %s, event %zu of %zu: %s\n", where, crash, crash_events(), problem);
  }
  return problem != NULL;
}

/* Makes and opens `count` states of the life, from crashes after event `from`; returns how many were
 * wrong. */
static size_t crash_often(const char *where, size_t from, size_t until, ddb_durability durability,
                          uint64_t *seed, size_t count) {
  size_t wrong = 0;
  for (size_t n = 0; n < count; n++) {
    size_t crash = from + support_below(seed, until - from + 1);
    crash_make(crashed, crash, seed);
    wrong += tell(where, crash, crash_check(crashed, crash, durability));
    log_remove(crashed);
  }
  return wrong;
}

static size_t crash_lives(ddb_durability durability, uint64_t seed, size_t count) {
  size_t wrong = 0;
  for (size_t done = 0; done < count; done += 1000) {
    crash_live(path, durability, &seed, 150);
    size_t now = count - done < 1000 ? count - done : 1000;
    wrong += crash_often("life", 0, crash_events(), durability, &seed, now);
    log_remove(path);
  }
  return wrong;
}

/* A life that crashes up to three times; the states of each recovery, and of what follows it. */
static size_t crash_again(ddb_durability durability, uint64_t *seed, size_t samples) {
  size_t wrong = 0;
  crash_live(path, durability, seed, 40);
  for (int round = 0; round < 3 && wrong == 0; round++) {
    crash_kind kind = (crash_kind)support_below(seed, 2);
    size_t crash = crash_base() + support_below(seed, crash_events() - crash_base() + 1);
    const char *problem = crash_go_on(path, crash, kind, durability, seed, 15);
    wrong += tell(kind == CRASH_KILL ? "killed" : "power cut", crash, problem);
    if (problem) {
      break;
    }
    size_t recovered = crash_recovered();
    wrong += crash_often("recovery", crash_base(), recovered, durability, seed, samples);
    wrong += crash_often(kind == CRASH_KILL ? "after being killed" : "after a power cut", recovered,
                         crash_events(), durability, seed, samples);
  }
  log_remove(path);
  return wrong;
}

static size_t crash_recoveries(ddb_durability durability, uint64_t seed, size_t count) {
  enum { SAMPLES = 30 };
  size_t wrong = 0;
  for (size_t done = 0; done < count; done += 6 * SAMPLES) {
    wrong += crash_again(durability, &seed, SAMPLES);
  }
  return wrong;
}

static void test_crashes(void **state) {
  (void)state;
  uint64_t seed = support_seed("crashes");
  uint64_t count = support_number("DICTDB_CRASHES", CRASHES);
  report = true;
  assert_int_equal(crash_lives(DDB_DURABILITY_COMMIT, seed, (size_t)count / 2), 0);
  assert_int_equal(crash_lives(DDB_DURABILITY_NONE, seed + 2, (size_t)count / 2), 0);
  report = false;
}

static void test_crashes_of_recoveries(void **state) {
  (void)state;
  uint64_t seed = support_seed("recoveries");
  uint64_t count = support_number("DICTDB_CRASHES", CRASHES) / 4;
  report = true;
  assert_int_equal(crash_recoveries(DDB_DURABILITY_COMMIT, seed, (size_t)count / 2), 0);
  assert_int_equal(crash_recoveries(DDB_DURABILITY_NONE, seed + 2, (size_t)count / 2), 0);
  report = false;
}

/* ---- The simulator sees what it is for ---------------------------------------------------- */

/* A file system that forgets all syncs must show. */
static void test_the_simulator_finds_lost_syncs(void **state) {
  (void)state;
  uint64_t seed = 7;
  crash_live(path, DDB_DURABILITY_COMMIT, &seed, 60);
  crash_forget_syncs();
  assert_true(crash_often("life", 0, crash_events(), DDB_DURABILITY_COMMIT, &seed, 200) > 20);
  log_remove(path);
}

/* Commits that wait while another is being written share the next write, in their order. */
typedef struct writer {
  pthread_t thread;
  ddb_table *table;
  int64_t id;
  ddb_status status;
} writer;

static atomic_bool writing; /* a write is on its way, and is held there */
static atomic_bool go_on;

static void hold_write(void *context, const ddb__sys_event *event) {
  (void)context;
  if (event->call == DDB__SYS_WRITE && !atomic_exchange(&writing, true)) {
    while (!atomic_load(&go_on)) {
      usleep(200);
    }
  }
}

static void *insert_one(void *context) {
  writer *w = context;
  w->status = rows_insert(w->table, w->id, w->id);
  return NULL;
}

static void wait_for_rows(ddb_table *table, uint64_t count) {
  for (;;) {
    ddb_view view;
    assert_ok(ddb_view_open(table, &view, NULL));
    uint64_t there = ddb_view_count(&view);
    ddb_view_close(&view);
    if (there == count) {
      return;
    }
    usleep(200);
  }
}

/* Three commits, the last two in one write. NULL, or what is wrong with what can be opened then. */
static const char *write_together(void) {
  enum { WRITERS = 3 };
  writer writers[WRITERS];
  ddb_db *db = log_open(path, DDB_DURABILITY_COMMIT);
  ddb_table *table;
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  atomic_store(&writing, false);
  atomic_store(&go_on, false);
  ddb__test_sys_trace(hold_write, NULL, true);
  for (int i = 0; i < WRITERS; i++) {
    writers[i] = (writer){.table = table, .id = i + 1};
    assert_int_equal(pthread_create(&writers[i].thread, NULL, insert_one, &writers[i]), 0);
    wait_for_rows(table, (uint64_t)i + 1);
    while (!atomic_load(&writing)) {
      usleep(200);
    }
  }
  atomic_store(&go_on, true);
  for (int i = 0; i < WRITERS; i++) {
    pthread_join(writers[i].thread, NULL);
    assert_ok(writers[i].status);
  }
  ddb__test_sys_trace(NULL, NULL, true);
  uint64_t digest = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  const char *problem = NULL;
  if (log_try_open(path, &db, NULL) != DDB_OK) {
    problem = "it does not open";
  } else {
    problem = log_digest(db) == digest ? NULL : "something else is there";
    ddb_db_release(db);
  }
  log_remove(path);
  return problem;
}

static void test_commits_of_one_write(void **state) {
  (void)state;
  assert_null(write_together());
}

/* Overwrites the head of the record at `offset`, as if its write had been lost. */
static void lose_record(off_t offset) {
  char file[300];
  static const char zeros[64];
  (void)snprintf(file, sizeof file, "%s/log-0000000000000001.ddl", path);
  int fd = open(file, O_WRONLY);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, zeros, sizeof zeros, offset), sizeof zeros);
  close(fd);
}

static off_t end_of_log(void) {
  char file[300];
  struct stat info;
  (void)snprintf(file, sizeof file, "%s/log-0000000000000001.ddl", path);
  assert_int_equal(stat(file, &info), 0);
  return info.st_size;
}

/* Of two commits the first is lost, and so the second one too; a third, as long as the first, goes to
 * its place, and must not bring the second one back. */
static const char *write_over_a_torn_tail(void) {
  ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
  ddb_table *table;
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  uint64_t before = log_digest(db);
  off_t first = end_of_log();
  assert_ok(rows_insert(table, 10, 1));
  off_t second = end_of_log();
  assert_ok(rows_insert(table, 11, 1));
  ddb_table_release(table);
  ddb_db_release(db);
  lose_record(first);
  db = log_open(path, DDB_DURABILITY_NONE);
  assert_int_equal(log_digest(db), before);
  assert_ok(ddb_db_table_get(db, DDB_STR("t"), &table, NULL));
  assert_ok(rows_insert(table, 12, 1));
  assert_int_equal(end_of_log() >= second, true);
  uint64_t after = log_digest(db);
  ddb_table_release(table);
  ddb_db_release(db);
  db = log_open(path, DDB_DURABILITY_NONE);
  const char *problem = log_digest(db) == after ? NULL : "something that was cut is there again";
  ddb_db_release(db);
  log_remove(path);
  return problem;
}

static void test_a_cut_tail_stays_cut(void **state) {
  (void)state;
  assert_null(write_over_a_torn_tail());
}

/* ---- Planted faults ----------------------------------------------------------------------- */

static bool run_commits(uint64_t seed) {
  return crash_lives(DDB_DURABILITY_COMMIT, seed, 300) > 0;
}

static bool run_syncs(uint64_t seed) {
  return crash_lives(DDB_DURABILITY_NONE, seed, 300) > 0;
}

static bool run_recoveries(uint64_t seed) {
  return crash_again(DDB_DURABILITY_NONE, &seed, 20) > 0;
}

static bool run_tail(uint64_t seed) {
  (void)seed;
  return write_over_a_torn_tail() != NULL;
}

static bool run_together(uint64_t seed) {
  (void)seed;
  return write_together() != NULL;
}

typedef struct planted {
  ddb__fault fault;
  bool (*find)(uint64_t seed);
} planted;

static const planted faults[] = {
    {DDB__FAULT_LOG_ACK_EARLY, run_commits},        {DDB__FAULT_LOG_ORDER_SWAPPED, run_together},
    {DDB__FAULT_LOG_COMMIT_SPLIT, run_commits},     {DDB__FAULT_LOG_CHECKSUM_UNCHECKED, run_syncs},
    {DDB__FAULT_LOG_TAIL_KEPT, run_tail},           {DDB__FAULT_LOG_GAP_UNCHECKED, run_syncs},
    {DDB__FAULT_LOG_OLD_UNSYNCED, run_syncs},       {DDB__FAULT_LOG_COUNTER_LOST, run_commits},
    {DDB__FAULT_LOG_TRIMMED_EARLY, run_commits},    {DDB__FAULT_RENAME_UNSYNCED, run_commits},
    {DDB__FAULT_RECOVERY_UNSYNCED, run_recoveries},
};

_Static_assert(sizeof faults / sizeof faults[0] == FAULTS_OF_LOGS, "a fault has no scenario");

static void test_planted_faults_are_found(void **state) {
  (void)state;
  enum { ATTEMPTS = 60 };
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    bool found = false;
    uint64_t attempt = 0;
    ddb__test_fault_set(faults[i].fault);
    while (!found && attempt++ < ATTEMPTS) {
      found = faults[i].find(attempt * 1000003);
    }
    ddb__test_fault_set(DDB__FAULT_NONE);
    printf("  fault %d: %s after %d\n", (int)faults[i].fault, found ? "found" : "MISSED",
           (int)attempt);
    assert_true(found);
  }
}
#endif

int main(void) {
#ifdef DDB_TESTING
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crashes),
      cmocka_unit_test(test_crashes_of_recoveries),
      cmocka_unit_test(test_the_simulator_finds_lost_syncs),
      cmocka_unit_test(test_commits_of_one_write),
      cmocka_unit_test(test_a_cut_tail_stays_cut),
      cmocka_unit_test(test_planted_faults_are_found),
  };
  return cmocka_run_group_tests(tests, setup, log_teardown);
#else
  return 0; /* only the testing build can record its calls */
#endif
}
