/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_kill.c - a process that writes is killed, again and again, wherever it may be: opening what
 * the one before it left, committing with several threads, making a checkpoint. Whatever a thread was
 * told to be committed is there, and of what it was not told at most the one commit on its way.
 *
 * DICTDB_KILLS sets the number of rounds. The writer shares a page of memory with this process, which
 * lives on when it is killed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_support.h"
#include "rows.h"

enum { WRITERS = 3, ROWS_MAX = 3000, CHECKPOINT_PERIOD = 60 };

typedef struct shared {
  _Atomic int64_t acknowledged[WRITERS]; /* commits */
  atomic_bool opened;
  atomic_bool failed;
} shared;

static shared *page;
static char path[200];

typedef struct writer {
  pthread_t thread;
  ddb_db *db;
  int64_t index;
} writer;

static ddb_table *table_of(ddb_db *db, const char *prefix, int64_t index) {
  char name[32];
  ddb_table *table;
  (void)snprintf(name, sizeof name, "%s%d", prefix, (int)index);
  if (ddb_db_table_get(db, ddb_str_from(name), &table, NULL) != DDB_OK &&
      ddb_db_table_create(db, ddb_str_from(name), NULL, &table, NULL) != DDB_OK) {
    return NULL;
  }
  return table;
}

/* Row `id` goes to both tables in one commit. */
static bool commit_pair(ddb_table **tables, int64_t id) {
  bool done = ddb_tables_write_lock(tables, 2, DDB_WAIT_FOREVER, NULL) == DDB_OK;
  done = done && rows_insert(tables[0], id, 10 * id) == DDB_OK;
  done = done && rows_insert(tables[1], id, 10 * id) == DDB_OK;
  return done && ddb_tables_write_unlock(tables, 2, NULL) == DDB_OK;
}

/* What is there is what the writer before was told, and at most one commit more. */
static bool take_over(ddb_table *table, int64_t index) {
  ddb_view view;
  if (!table || ddb_view_open(table, &view, NULL) != DDB_OK) {
    return false;
  }
  int64_t there = (int64_t)ddb_view_count(&view);
  ddb_view_close(&view);
  int64_t told = atomic_exchange(&page->acknowledged[index], there);
  return there == told || there == told + 1;
}

static void *write_pairs(void *context) {
  const writer *w = context;
  ddb_table *tables[] = {table_of(w->db, "a", w->index), table_of(w->db, "b", w->index)};
  bool done = take_over(tables[0], w->index) && tables[1];
  while (done) {
    int64_t id = atomic_load(&page->acknowledged[w->index]) + 1;
    if (id > ROWS_MAX) {
      (void)pause();
    }
    done = commit_pair(tables, id);
    atomic_store(&page->acknowledged[w->index], id);
    if (done && id % CHECKPOINT_PERIOD == 0) {
      done = ddb_db_checkpoint(w->db, NULL, NULL, NULL) == DDB_OK;
    }
  }
  atomic_store(&page->failed, true);
  return NULL;
}

/* The process that is killed. */
static void live(ddb_durability durability) {
  writer writers[WRITERS];
  const ddb_open_options options = {.durability = durability, .interval_ns = 2000000};
  ddb_db *db;
  if (ddb_db_open(path, &options, &db, NULL) != DDB_OK) {
    atomic_store(&page->failed, true);
    _exit(1);
  }
  atomic_store(&page->opened, true);
  for (int64_t i = 0; i < WRITERS; i++) {
    writers[i] = (writer){.db = db, .index = i};
    if (pthread_create(&writers[i].thread, NULL, write_pairs, &writers[i]) != 0) {
      atomic_store(&page->failed, true);
    }
  }
  for (;;) {
    (void)pause();
  }
}

static void check_table(ddb_table *table, int64_t count) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_count(&view), count);
  assert_true(rows_are(&view, 1, count));
  ddb_view_close(&view);
}

/* Opens what is there, checks it, and notes what it has. */
static void check(bool close) {
  ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
  for (int64_t i = 0; i < WRITERS; i++) {
    ddb_table *a = table_of(db, "a", i);
    ddb_table *b = table_of(db, "b", i);
    ddb_view view;
    assert_ok(ddb_view_open(a, &view, NULL));
    int64_t there = (int64_t)ddb_view_count(&view);
    ddb_view_close(&view);
    int64_t told = atomic_load(&page->acknowledged[i]);
    assert_in_range(there, told, told + 1);
    check_table(a, there);
    check_table(b, there);
    atomic_store(&page->acknowledged[i], there);
    ddb_table_release(a);
    ddb_table_release(b);
  }
  if (close) {
    assert_ok(ddb_db_close(db, NULL));
  }
  ddb_db_release(db);
}

static void forget(void) {
  log_remove(path);
  for (int i = 0; i < WRITERS; i++) {
    atomic_store(&page->acknowledged[i], 0);
  }
}

/* early: it may still be opening the database. */
static void kill_once(ddb_durability durability, bool early, useconds_t delay) {
  atomic_store(&page->opened, false);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    live(durability);
  }
  while (!early && !atomic_load(&page->opened) && !atomic_load(&page->failed)) {
    usleep(100);
  }
  usleep(delay);
  assert_int_equal(kill(child, SIGKILL), 0);
  int result;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_false(atomic_load(&page->failed));
}

static void test_killed_again_and_again(void **state) {
  (void)state;
  uint64_t seed = support_seed("kills");
  uint64_t rounds = support_number("DICTDB_KILLS", 24);
  int64_t commits = 0;
  (void)snprintf(path, sizeof path, "%s/db", log_folder);
  forget();
  for (uint64_t n = 0; n < rounds; n++) {
    ddb_durability durability = (ddb_durability)(n % 3);
    bool early = support_below(&seed, 4) == 0;
    kill_once(durability, early, (useconds_t)support_below(&seed, early ? 3000 : 15000));
    if (support_below(&seed, 3)) { /* else the next writer opens what this one left */
      check(support_below(&seed, 2));
    }
    if (atomic_load(&page->acknowledged[0]) > ROWS_MAX / 2) {
      check(false);
      commits += atomic_load(&page->acknowledged[0]);
      forget();
    }
  }
  check(true);
  commits += atomic_load(&page->acknowledged[0]);
  printf("  %llu kills, %lld commits of the first of %d threads\n", (unsigned long long)rounds,
         (long long)commits, WRITERS);
  log_remove(path);
}

int main(void) {
  if (SUPPORT_SANITIZED) {
    return 0; /* its own threads do not survive a fork */
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed_again_and_again),
  };
  page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    return 1;
  }
  return cmocka_run_group_tests(tests, log_setup, log_teardown);
}
