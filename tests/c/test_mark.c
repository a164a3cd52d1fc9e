/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mark.c - what has changed since a version was marked: random histories beside a model that notes
 * each write, what a mark holds and lets go, marks of older versions, forks, lack of memory, threads.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_scenario.h"
#include "rows.h"
#include "support.h"

enum { KEYS = 40, STEPS = 60, ROUNDS = 40, MANY = 2000 };
enum { LITTLE = 4096 }; /* bytes that may wait for company before they are given back */

static ddb_db *db;
static ddb_table *table;

static int open_table(void **state) {
  (void)state;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("rows"), NULL, &table, NULL));
  return 0;
}

static int close_table(void **state) {
  (void)state;
  ddb_table_release(table);
  ddb_db_release(db);
  return 0;
}

static void mark_now(ddb_table *marked) {
  ddb_view view;
  assert_ok(ddb_view_open(marked, &view, NULL));
  assert_ok(ddb_view_mark(&view, NULL));
  ddb_view_close(&view);
}

static bool changed_now(ddb_table *marked) {
  ddb_view view;
  bool changed;
  assert_ok(ddb_view_open(marked, &view, NULL));
  assert_ok(ddb_view_is_changed(&view, &changed, NULL));
  ddb_view_close(&view);
  return changed;
}

static void count_now(ddb_table *marked, size_t *written, size_t *deleted) {
  ddb_view view;
  ddb_difference difference;
  assert_ok(ddb_view_open(marked, &view, NULL));
  assert_ok(ddb_view_difference(&view, &difference, NULL));
  *written = difference.written.count;
  *deleted = difference.deleted.count;
  ddb_difference_fini(&difference);
  ddb_view_close(&view);
}

/* ---- A model ------------------------------------------------------------------------------- */

/* Each write gives its row a number of its own; 0: there is no such row. */
typedef struct model {
  world w;
  int64_t last;
  int64_t now[KEYS];
  int64_t marked[KEYS];
  int64_t kept[KEYS]; /* of the snapshot */
  ddb_snapshot *snapshot;
} model;

static void write_one(model *m, uint64_t *seed) {
  int64_t id = (int64_t)support_below(seed, KEYS);
  if (m->now[id] && support_below(seed, 2)) {
    ok(rows_delete(m->w.table, id));
    m->now[id] = 0;
    if (support_below(seed, 2)) {
      return; /* else it comes back */
    }
  }
  m->last++;
  ok(m->now[id] ? rows_update(m->w.table, id, m->last) : rows_insert(m->w.table, id, m->last));
  m->now[id] = m->last;
}

static void mark_snapshot(model *m) {
  ddb_view view;
  ok(ddb_snapshot_view(m->snapshot, m->w.table, &view, NULL));
  ok(ddb_view_mark(&view, NULL));
  ddb_view_close(&view);
}

/* Takes a snapshot, or marks what the last one sees: that is never older than the mark here. */
static void mark_some(model *m, uint64_t *seed) {
  if (m->snapshot) {
    mark_snapshot(m);
    memcpy(m->marked, m->kept, sizeof m->kept);
    ddb_snapshot_close(m->snapshot);
    m->snapshot = NULL;
  } else if (support_below(seed, 2)) {
    ok(ddb_snapshot_open(m->w.db, &m->snapshot, NULL));
    memcpy(m->kept, m->now, sizeof m->now);
  } else if (support_below(seed, 8)) {
    ddb_view view;
    ok(ddb_view_open(m->w.table, &view, NULL));
    ok(ddb_view_mark(&view, NULL));
    ddb_view_close(&view);
    memcpy(m->marked, m->now, sizeof m->now);
  } else {
    ddb_table_unmark(m->w.table);
    memset(m->marked, 0, sizeof m->marked);
  }
}

static int64_t id_of(const ddb_record *record) {
  return ddb_record_get(record, DDB_STR("id")).as.integer;
}

/* Is it what the model says, in the order of the view? */
static void compare(const model *m) {
  ddb_view view;
  ddb_difference difference;
  bool changed;
  ok(ddb_view_open(m->w.table, &view, NULL));
  ok(ddb_view_difference(&view, &difference, NULL));
  ok(ddb_view_is_changed(&view, &changed, NULL));
  check(changed == (difference.written.count + difference.deleted.count > 0));
  size_t written = 0;
  uint64_t position = 0;
  const ddb_record *record;
  while ((record = ddb_view_next(&view, &position))) {
    int64_t id = id_of(record);
    if (m->now[id] != m->marked[id]) {
      check(written < difference.written.count && difference.written.items[written] == record);
      written++;
    }
  }
  check(written == difference.written.count);
  size_t deleted = 0;
  for (int64_t id = 0; id < KEYS; id++) {
    deleted += m->marked[id] && !m->now[id];
  }
  check(deleted == difference.deleted.count);
  for (size_t i = 0; i < difference.deleted.count; i++) {
    const ddb_record *gone = difference.deleted.items[i];
    int64_t id = id_of(gone);
    check(!m->now[id] && m->marked[id] == ddb_record_get(gone, DDB_STR("a")).as.integer);
  }
  ddb_difference_fini(&difference);
  ddb_view_close(&view);
}

static void run_history(uint64_t *seed) {
  model m = {.w = world_new()};
  for (int step = 0; step < STEPS; step++) {
    if (support_below(seed, 8) == 0) {
      mark_some(&m, seed);
    } else {
      write_one(&m, seed);
    }
    compare(&m);
  }
  ddb_snapshot_close(m.snapshot);
  ddb_table_release(m.w.table);
  ddb_db_release(m.w.db);
}

static void follows_a_model(void **state) {
  (void)state;
  uint64_t seed = support_seed("follows_a_model");
  for (int round = 0; round < ROUNDS; round++) {
    run_history(&seed);
  }
  assert_true(nothing_wrong());
}

#ifdef DDB_TESTING
static bool run_returns(void) {
  uint64_t seed = 1;
  for (int round = 0; round < 10; round++) {
    run_history(&seed);
  }
  return nothing_wrong();
}

static bool run_goes_back(void) {
  model m = {.w = world_with_rows(3)};
  bool changed;
  ddb_view view;
  ok(ddb_snapshot_open(m.w.db, &m.snapshot, NULL));
  ok(rows_insert(m.w.table, 4, 40));
  ok(ddb_view_open(m.w.table, &view, NULL));
  ok(ddb_view_mark(&view, NULL));
  mark_snapshot(&m);
  ok(ddb_view_is_changed(&view, &changed, NULL));
  check(!changed);
  ddb_view_close(&view);
  ddb_snapshot_close(m.snapshot);
  return nothing_wrong();
}

static const fault_case faults[] = {
    {DDB__FAULT_MARK_FORGETS_RETURN, run_returns, 60},
    {DDB__FAULT_MARK_GOES_BACK, run_goes_back, 60},
};
enum { FAULT_COUNT = sizeof faults / sizeof faults[0] };
_Static_assert(FAULT_COUNT == (int)FAULTS_OF_MARKS, "a fault has no scenario");

static void planted_faults(void **state) {
  (void)state;
  hold_all(faults, FAULT_COUNT);
  find_all(faults, FAULT_COUNT);
}
#endif

/* ---- Single cases -------------------------------------------------------------------------- */

static void without_a_mark_all_has_changed(void **state) {
  (void)state;
  size_t written, deleted;
  assert_false(changed_now(table));
  assert_ok(rows_insert_many(table, 1, 10));
  assert_ok(rows_delete(table, 3));
  count_now(table, &written, &deleted);
  assert_true(changed_now(table));
  assert_int_equal(written, 9);
  assert_int_equal(deleted, 0);
  assert_in_range(rows_old_bytes(table), 0, LITTLE);
}

/* A mark holds what it sees and no version after it; it lets go when it moves, ends, or the table goes. */
static void holds_and_lets_go(void **state) {
  (void)state;
  size_t written, deleted;
  assert_ok(rows_insert_many(table, 1, MANY));
  uint64_t whole = rows_total_bytes(table);
  mark_now(table);
  assert_in_range(rows_old_bytes(table), 0, LITTLE);
  for (int64_t turn = 0; turn < 5; turn++) {
    assert_ok(rows_update_all(table, turn));
    assert_in_range(rows_old_bytes(table), 1, 2 * whole);
  }
  count_now(table, &written, &deleted);
  assert_int_equal(written, MANY);
  mark_now(table);
  assert_int_equal(rows_old_bytes(table), 0);
  assert_false(changed_now(table));
  assert_ok(rows_delete_all(table));
  assert_true(rows_old_bytes(table) > 0);
  count_now(table, &written, &deleted);
  assert_int_equal(written, 0);
  assert_int_equal(deleted, MANY);
  ddb_table_unmark(table);
  ddb_table_unmark(table);
  ddb_table_unmark(NULL);
  assert_int_equal(rows_old_bytes(table), 0);
  assert_false(changed_now(table));
  assert_ok(rows_insert_many(table, 1, MANY));
  mark_now(table);
  assert_ok(rows_update_all(table, 1));
  assert_true(rows_old_bytes(table) > 0);
  assert_ok(ddb_db_table_drop(db, DDB_STR("rows"), NULL));
  assert_int_equal(rows_old_bytes(table), 0);
}

/* Through a view from before: it would stay as long as the table has a user. */
static void a_dropped_table_is_not_marked(void **state) {
  (void)state;
  ddb_table *other;
  ddb_view first, view; /* the second one of a thread gives memory back when it closes */
  assert_ok(rows_insert_many(table, 1, MANY));
  assert_ok(ddb_db_table_create(db, DDB_STR("other"), NULL, &other, NULL));
  assert_ok(ddb_view_open(other, &first, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(rows_update_all(table, 1));
  assert_ok(ddb_db_table_drop(db, DDB_STR("rows"), NULL));
  assert_true(rows_old_bytes(table) > 0);
  assert_ok(ddb_view_mark(&view, NULL));
  ddb_view_close(&view);
  assert_int_equal(rows_old_bytes(table), 0);
  ddb_view_close(&first);
  ddb_table_release(other);
}

/* What makes a new version without a new row is no change. */
static void indexes_and_locks_change_nothing(void **state) {
  (void)state;
  assert_ok(rows_insert_many(table, 1, 100));
  mark_now(table);
  assert_ok(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  assert_ok(ddb_tables_write_lock(&table, 1, DDB_WAIT_FOREVER, NULL));
  assert_false(changed_now(table));
  assert_ok(rows_update(table, 5, 1));
  assert_true(changed_now(table));
  mark_now(table); /* of the version that only its owner sees */
  assert_ok(rows_update(table, 6, 1));
  assert_ok(ddb_tables_write_unlock(&table, 1, NULL));
  size_t written, deleted;
  count_now(table, &written, &deleted);
  assert_int_equal(written, 1);
  assert_int_equal(deleted, 0);
}

static void an_older_view_has_not_changed(void **state) {
  (void)state;
  ddb_snapshot *snapshot;
  ddb_view view;
  ddb_difference difference;
  bool changed;
  assert_ok(rows_insert_many(table, 1, 10));
  mark_now(table);
  assert_ok(rows_update(table, 1, 5));
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  assert_ok(rows_delete(table, 2));
  mark_now(table);
  assert_ok(ddb_snapshot_view(snapshot, table, &view, NULL));
  assert_ok(ddb_view_is_changed(&view, &changed, NULL));
  assert_false(changed);
  assert_ok(ddb_view_difference(&view, &difference, NULL));
  assert_int_equal(difference.written.count + difference.deleted.count, 0);
  ddb_difference_fini(&difference);
  assert_ok(ddb_view_mark(&view, NULL));
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  assert_false(changed_now(table));
}

static void bad_arguments(void **state) {
  (void)state;
  const ddb_view closed = {0};
  ddb_difference difference;
  ddb_error error;
  ddb_view view;
  bool changed;
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_int_equal(ddb_view_mark(NULL, &error), DDB_ERR_INVALID);
  assert_string_equal(error.message, "a mark needs an open view");
  assert_int_equal(ddb_view_mark(&closed, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_difference(NULL, &difference, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_difference(&closed, &difference, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_difference(&view, NULL, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_is_changed(NULL, &changed, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_view_is_changed(&view, NULL, NULL), DDB_ERR_INVALID);
  ddb_difference_fini(NULL);
  ddb_view_close(&view);
}

/* Each allocation fails once: an error, and the mark is what it was. */
static void lack_of_memory(void **state) {
  (void)state;
  assert_ok(rows_insert_many(table, 1, 300));
  mark_now(table);
  assert_ok(rows_update_all(table, 7));
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  bool failed = true;
  for (long n = 1; failed; n++) {
    ddb_difference difference;
    support_allocator_fail(n);
    ddb_status status = ddb_view_difference(&view, &difference, NULL);
    failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    if (!failed) {
      assert_true(n > 3);
      assert_int_equal(difference.written.count, 300);
      ddb_difference_fini(&difference);
    }
  }
  bool changed = false;
  support_allocator_fail(1);
  assert_int_equal(ddb_view_is_changed(&view, &changed, NULL), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed());
  support_allocator_fail(1);
  assert_int_equal(ddb_view_mark(&view, NULL), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed());
  assert_ok(ddb_view_is_changed(&view, &changed, NULL));
  assert_true(changed);
  ddb_view_close(&view);
}

static void a_child_compares_and_does_not_mark(void **state) {
  (void)state;
  assert_ok(rows_insert_many(table, 1, 10));
  mark_now(table);
  assert_ok(rows_update(table, 4, 1));
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)alarm(20);
    size_t written, deleted;
    ddb_view view;
    ok(ddb_view_open(table, &view, NULL));
    check(ddb_view_mark(&view, NULL) == DDB_ERR_FORKED);
    ddb_view_close(&view);
    ddb_table_unmark(table);
    count_now(table, &written, &deleted);
    check(written == 1 && deleted == 0 && changed_now(table));
    _exit(nothing_wrong() ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- Threads ------------------------------------------------------------------------------- */

enum { WRITES = 400 };

static _Atomic bool stop;

/* Whole rows, none of which is deleted and there: whatever is marked meanwhile. */
static void *keep_comparing(void *unused) {
  (void)unused;
  bool last = false;
  while (!last) {
    last = atomic_load(&stop);
    ddb_view view;
    ddb_difference difference;
    ok(ddb_view_open(table, &view, NULL));
    ok(ddb_view_difference(&view, &difference, NULL));
    for (size_t i = 0; i < difference.written.count; i++) {
      check(rows_is(&view, id_of(difference.written.items[i]),
                    ddb_record_get(difference.written.items[i], DDB_STR("a")).as.integer));
    }
    for (size_t i = 0; i < difference.deleted.count; i++) {
      const ddb_record *found;
      ddb_value key = ddb_int(id_of(difference.deleted.items[i]));
      ok(ddb_view_get(&view, &key, &found, NULL));
      check(!found);
    }
    ddb_difference_fini(&difference);
    ddb_view_close(&view);
  }
  return NULL;
}

static void *keep_marking(void *unused) {
  (void)unused;
  for (int i = 0; !atomic_load(&stop); i++) {
    ddb_view view;
    ok(ddb_view_open(table, &view, NULL));
    ok(ddb_view_mark(&view, NULL));
    ddb_view_close(&view);
    if (i % 7 == 6) {
      ddb_table_unmark(table);
    }
  }
  return NULL;
}

static void threads_mark_and_compare(void **state) {
  (void)state;
  pthread_t threads[3];
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&threads[0], NULL, keep_comparing, NULL), 0);
  assert_int_equal(pthread_create(&threads[1], NULL, keep_marking, NULL), 0);
  assert_int_equal(pthread_create(&threads[2], NULL, keep_marking, NULL), 0);
  uint64_t seed = support_seed("threads_mark_and_compare");
  for (int64_t i = 1; i <= WRITES; i++) {
    int64_t id = (int64_t)support_below(&seed, KEYS);
    if (rows_update(table, id, i) != DDB_OK) {
      assert_ok(rows_insert(table, id, i));
    } else if (support_below(&seed, 3) == 0) {
      assert_ok(rows_delete(table, id));
    }
  }
  atomic_store(&stop, true);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  }
  assert_true(nothing_wrong());
  mark_now(table);
  ddb_table_unmark(table);
  assert_int_equal(rows_old_bytes(table), 0);
}

#define ON_TABLE(test) cmocka_unit_test_setup_teardown(test, open_table, close_table)

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(follows_a_model),
#ifdef DDB_TESTING
      cmocka_unit_test(planted_faults),
#endif
      ON_TABLE(without_a_mark_all_has_changed),
      ON_TABLE(holds_and_lets_go),
      ON_TABLE(a_dropped_table_is_not_marked),
      ON_TABLE(indexes_and_locks_change_nothing),
      ON_TABLE(an_older_view_has_not_changed),
      ON_TABLE(bad_arguments),
      ON_TABLE(lack_of_memory),
      ON_TABLE(a_child_compares_and_does_not_mark),
      ON_TABLE(threads_mark_and_compare),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
