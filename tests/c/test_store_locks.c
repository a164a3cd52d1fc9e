/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_locks.c - explicit locks on tables and all that may happen under them: indexes made
 * and dropped while memory runs out, tables dropped, upgrades, groups, threads that end with a
 * lock, writers and readers stopped half-way while everybody else must go on.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "rows.h"
#include "stop.h"
#include "support.h"

enum { LITTLE = 16 * 1024 }; /* records of threads that have ended */
#define MS INT64_C(1000000)

typedef struct world {
  ddb_db *db;
  ddb_table *table;
  ddb_rwlock *lock;
  int64_t bytes_before;
} world;

static world world_new(int64_t rows) {
  world w = {.bytes_before = support_allocator_bytes()};
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("t"), NULL, &w.table, NULL));
  assert_ok(rows_insert_many(w.table, 1, rows));
  w.lock = ddb_table_lock(w.table);
  return w;
}

static void world_free(world *w) {
  ddb_table_release(w->table);
  ddb_db_release(w->db);
  assert_true(support_allocator_bytes() - w->bytes_before <= LITTLE);
}

static void lock(world *w) {
  assert_ok(ddb_rwlock_acquire_write(w->lock, DDB_WAIT_FOREVER, NULL));
}

static void unlock(world *w) {
  assert_ok(ddb_rwlock_release_write(w->lock, NULL));
}

/* Runs a function in a thread of its own, to its end. */
static void *in_thread(void *(*run)(void *), void *context) {
  pthread_t thread;
  void *result = NULL;
  assert_int_equal(pthread_create(&thread, NULL, run, context), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  return result;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- A thread's first call ------------------------------------------------------------------ */

static void *lock_first(void *context) {
  world *w = context;
  ddb_status status = ddb_rwlock_acquire_write(w->lock, DDB_WAIT_FOREVER, NULL);
  usleep(200 * 1000);
  return status == DDB_OK && ddb_rwlock_release_write(w->lock, NULL) == DDB_OK ? w : NULL;
}

/* Who waits for it looks at a record that was made a moment ago: a matter for ThreadSanitizer, so
 * the two threads must not be ordered by anything but the lock. */
static void test_first_call(void **state) {
  (void)state;
  world w = world_new(1);
  pthread_t thread;
  void *result;
  assert_int_equal(pthread_create(&thread, NULL, lock_first, &w), 0);
  usleep(100 * 1000);
  assert_ok(rows_update(w.table, 1, 5));
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_non_null(result);
  world_free(&w);
}

/* ---- Reading in one's own block ------------------------------------------------------------ */

static void test_own_block(void **state) {
  (void)state;
  world w = world_new(10);
  ddb_view before, inside, nested;
  ddb_snapshot *snapshot;
  assert_ok(ddb_view_open(w.table, &before, NULL));
  lock(&w);
  lock(&w);
  assert_ok(rows_update(w.table, 3, 7));
  assert_ok(ddb_view_open(w.table, &inside, NULL));
  assert_ok(rows_delete(w.table, 3));
  assert_ok(ddb_view_open(w.table, &nested, NULL));
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  unlock(&w);
  assert_ok(rows_insert(w.table, 3, 8));
  unlock(&w);
  assert_true(rows_are(&before, 1, 10));
  assert_true(rows_is(&inside, 3, 7));
  assert_false(rows_is(&nested, 3, 7));
  assert_int_equal(ddb_view_count(&nested), 9);
  ddb_view_close(&before);
  ddb_view_close(&inside);
  ddb_view_close(&nested);
  assert_ok(ddb_snapshot_view(snapshot, w.table, &before, NULL));
  assert_true(rows_are(&before, 1, 10)); /* as it was before the block */
  ddb_view_close(&before);
  assert_ok(ddb_view_open(w.table, &before, NULL));
  assert_true(rows_is(&before, 3, 8));
  ddb_view_close(&before);
  ddb_snapshot_close(snapshot);
  world_free(&w);
}

/* ---- Drops --------------------------------------------------------------------------------- */

/* Another thread sees the drop at once, and can have the name. */
static void *take_name(void *context) {
  ddb_db *db = context;
  ddb_table *table = NULL;
  if (ddb_db_table_get(db, DDB_STR("t"), &table, NULL) == DDB_ERR_TABLE_NOT_FOUND &&
      ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL) == DDB_OK &&
      rows_insert(table, 1, 77) == DDB_OK) {
    return table;
  }
  return NULL;
}

static void *read_dropped(void *context) {
  ddb_view view;
  ddb_status status = ddb_view_open(context, &view, NULL);
  return status == DDB_ERR_TABLE_NOT_FOUND ? context : NULL;
}

static void check_one_table(ddb_db *db, ddb_snapshot *snapshot, ddb_table *expected) {
  ddb_table **tables;
  size_t count;
  assert_ok(snapshot ? ddb_snapshot_tables(snapshot, &tables, &count, NULL)
                     : ddb_db_tables(db, &tables, &count, NULL));
  assert_int_equal(count, 1);
  assert_ptr_equal(tables[0], expected);
  ddb_tables_free(tables, count);
}

static void test_drop_in_block(void **state) {
  (void)state;
  for (int with_snapshot = 0; with_snapshot < 2; with_snapshot++) {
    world w = world_new(10);
    ddb_snapshot *before = NULL, *after = NULL;
    if (with_snapshot) {
      assert_ok(ddb_snapshot_open(w.db, &before, NULL));
    }
    lock(&w);
    assert_ok(rows_update_all(w.table, 5));
    assert_ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
    assert_ok(ddb_db_table_drop(w.db, DDB_STR("t"), NULL));
    assert_int_equal(ddb_db_table_drop(w.db, DDB_STR("t"), NULL), DDB_ERR_TABLE_NOT_FOUND);
    assert_int_equal(rows_update_all(w.table, 6), DDB_ERR_TABLE_NOT_FOUND);
    assert_non_null(in_thread(read_dropped, w.table));
    ddb_table *other = in_thread(take_name, w.db);
    assert_non_null(other);
    if (with_snapshot) {
      assert_ok(ddb_snapshot_open(w.db, &after, NULL));
      check_one_table(w.db, before, w.table);
      check_one_table(w.db, after, other);
    }
    check_one_table(w.db, NULL, other);
    unlock(&w);
    if (with_snapshot) {
      ddb_view view;
      assert_ok(ddb_snapshot_view(before, w.table, &view, NULL));
      assert_true(rows_are(&view, 1, 10));
      ddb_view_close(&view);
      ddb_snapshot_close(before);
      check_one_table(w.db, after, other);
      ddb_snapshot_close(after);
    }
    /* With its last user the table goes, the database stays. */
    ddb_memory memory;
    ddb_db_memory(w.db, &memory);
    uint64_t all = memory.total_bytes;
    ddb_table_release(w.table);
    ddb_db_memory(w.db, &memory);
    assert_true(memory.total_bytes < all);
    w.table = other;
    world_free(&w);
  }
}

static void test_drop_in_group(void **state) {
  (void)state;
  world w = world_new(10);
  ddb_table *second;
  assert_ok(ddb_db_table_create(w.db, DDB_STR("second"), NULL, &second, NULL));
  ddb_table *both[] = {second, w.table};
  ddb_snapshot *snapshot;
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  assert_ok(ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  assert_ok(rows_insert(second, 1, 1));
  assert_ok(ddb_db_table_drop(w.db, DDB_STR("t"), NULL));
  assert_ok(rows_insert(second, 2, 2));
  assert_ok(ddb_tables_write_unlock(both, 2, NULL));
  ddb_view view;
  assert_ok(ddb_view_open(second, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 2);
  ddb_view_close(&view);
  assert_ok(ddb_snapshot_view(snapshot, second, &view, NULL));
  assert_int_equal(ddb_view_count(&view), 0);
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  ddb_table_release(second);
  world_free(&w);
}

/* ---- Groups -------------------------------------------------------------------------------- */

static void test_group_errors(void **state) {
  (void)state;
  world w = world_new(1), other = world_new(1);
  ddb_table *second;
  assert_ok(ddb_db_table_create(w.db, DDB_STR("second"), NULL, &second, NULL));
  ddb_table *twice[] = {second, w.table, second};
  ddb_table *mixed[] = {w.table, other.table};
  ddb_table *both[] = {second, w.table};
  assert_int_equal(ddb_tables_write_lock(twice, 3, 0, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_tables_write_lock(mixed, 2, 0, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_tables_write_unlock(both, 2, NULL), DDB_ERR_NOT_OWNER);
  assert_ok(ddb_tables_write_lock(both, 0, 0, NULL));
  assert_ok(ddb_tables_write_unlock(both, 0, NULL));
  lock(&w);
  lock(&other);
  assert_int_equal(ddb_tables_write_unlock(both, 2, NULL), DDB_ERR_NOT_OWNER);
  assert_int_equal(ddb_tables_write_unlock(mixed, 2, NULL), DDB_ERR_INVALID);
  unlock(&w);
  unlock(&other);
  for (long n = 1;; n++) { /* without memory none is held */
    support_allocator_fail(n);
    ddb_status status = ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      break;
    }
    if (status == DDB_OK) {
      assert_ok(ddb_tables_write_unlock(both, 2, NULL));
    } else {
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_int_equal(ddb_rwlock_release_write(w.lock, NULL), DDB_ERR_NOT_OWNER);
      assert_int_equal(ddb_rwlock_release_write(ddb_table_lock(second), NULL), DDB_ERR_NOT_OWNER);
    }
  }
  assert_ok(ddb_tables_write_unlock(&both[1], 1, NULL)); /* one by one is allowed */
  assert_ok(ddb_tables_write_unlock(both, 1, NULL));
  ddb_table_release(second);
  world_free(&w);
  world_free(&other);
}

typedef struct pair {
  ddb_table *tables[2];
  ddb_db *db;
  ddb_snapshot *snapshot;
  _Atomic bool held;
  _Atomic bool go_on;
} pair;

static void *hold_write(void *context) {
  pair *p = context;
  (void)ddb_tables_write_lock(p->tables, 2, DDB_WAIT_FOREVER, NULL);
  atomic_store(&p->held, true);
  usleep(3000 * 1000);
  (void)ddb_rwlock_release_write(ddb_table_lock(p->tables[0]), NULL);
  while (!atomic_load(&p->go_on)) {
    usleep(1000);
  }
  (void)ddb_rwlock_release_write(ddb_table_lock(p->tables[1]), NULL);
  return NULL;
}

/* The timeout is of the whole group, and one that is not had leaves none held. */
static void test_group_timeout(void **state) {
  (void)state;
  world w = world_new(1);
  pair p = {.tables = {w.table}};
  pthread_t thread;
  assert_ok(ddb_db_table_create(w.db, DDB_STR("second"), NULL, &p.tables[1], NULL));
  pthread_create(&thread, NULL, hold_write, &p);
  while (!atomic_load(&p.held)) {
    usleep(1000);
  }
  double start = now();
  assert_int_equal(ddb_tables_write_lock(p.tables, 2, 0, NULL), DDB_ERR_TIMEOUT);
  assert_int_equal(ddb_tables_write_lock(p.tables, 2, 4000 * MS, NULL), DDB_ERR_TIMEOUT);
  assert_true(now() - start >= 3.99);
  assert_true(now() - start < 6.9); /* not 4 s more once the first was had, after 3 s */
  assert_int_equal(ddb_tables_write_lock(p.tables, 2, 0, NULL), DDB_ERR_TIMEOUT);
  assert_int_equal(ddb_rwlock_release_write(w.lock, NULL), DDB_ERR_NOT_OWNER);
  assert_ok(rows_update(w.table, 1, 3)); /* free for all */
  atomic_store(&p.go_on, true);
  pthread_join(thread, NULL);
  assert_ok(ddb_tables_write_lock(p.tables, 2, 0, NULL));
  assert_ok(ddb_tables_write_unlock(p.tables, 2, NULL));
  ddb_table_release(p.tables[1]);
  world_free(&w);
}

/* Within an outer lock on one of its tables, a group publishes only the others. */
static void test_group_in_block(void **state) {
  (void)state;
  world w = world_new(1);
  ddb_table *second;
  ddb_snapshot *snapshot;
  ddb_view view;
  assert_ok(ddb_db_table_create(w.db, DDB_STR("second"), NULL, &second, NULL));
  assert_ok(rows_insert(second, 1, 10));
  ddb_table *both[] = {second, w.table};
  lock(&w);
  assert_ok(ddb_tables_write_lock(both, 2, DDB_WAIT_FOREVER, NULL));
  assert_ok(rows_update(w.table, 1, 5));
  assert_ok(rows_update(second, 1, 5));
  assert_ok(ddb_tables_write_unlock(both, 2, NULL));
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  assert_ok(ddb_snapshot_view(snapshot, w.table, &view, NULL));
  assert_true(rows_is(&view, 1, 10));
  ddb_view_close(&view);
  assert_ok(ddb_snapshot_view(snapshot, second, &view, NULL));
  assert_true(rows_is(&view, 1, 5));
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  unlock(&w);
  ddb_table_release(second);
  world_free(&w);
}

/* ---- Without memory ------------------------------------------------------------------------ */

typedef ddb_status (*block_step)(ddb_table *table);

static ddb_status make_index(ddb_table *table) {
  return ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL);
}
static ddb_status drop_index(ddb_table *table) {
  return ddb_table_index_drop(table, &DDB_STR("a"), 1, NULL, NULL);
}
static ddb_status change_rows(ddb_table *table) {
  return rows_update_all(table, 10);
}
static ddb_status put_rows_back(ddb_table *table) {
  ddb_status status = rows_delete_all(table);
  return status == DDB_OK ? rows_insert_many(table, 1, 40) : status;
}
static ddb_status nothing(ddb_table *table) {
  (void)table;
  return DDB_OK;
}

/* A block of two steps, every allocation of which fails once. Its end never fails. */
static void run_block(world *w, block_step first, block_step second) {
  for (long n = 1;; n++) {
    bool done = true;
    support_allocator_fail(n);
    ddb_status status = ddb_rwlock_acquire_write(w->lock, DDB_WAIT_FOREVER, NULL);
    if (status == DDB_OK) {
      status = first(w->table);
      done = status == DDB_OK;
      status = done ? second(w->table) : status;
      assert_ok(ddb_rwlock_release_write(w->lock, NULL));
    }
    bool failed = support_allocator_failed();
    if (status == DDB_OK) {
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_true(failed);
    if (done && status != DDB_OK && first != nothing) { /* the first step stays: do it back */
      ddb_status undone = first == make_index   ? drop_index(w->table)
                          : first == drop_index ? make_index(w->table)
                                                : DDB_OK;
      assert_true(undone == DDB_OK || undone == DDB_ERR_INDEX_NOT_FOUND ||
                  undone == DDB_ERR_DUPLICATE_INDEX);
    }
  }
}

static void test_blocks_without_memory(void **state) {
  (void)state;
  for (int with_snapshot = 0; with_snapshot < 2; with_snapshot++) {
    world w = world_new(40);
    ddb_snapshot *snapshot = NULL;
    if (with_snapshot) {
      assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
    }
    run_block(&w, nothing, nothing);
    run_block(&w, change_rows, make_index);
    uint64_t count;
    assert_ok(rows_count_equal(w.table, DDB_STR("a"), 10, &count));
    assert_int_equal(count, 40);
    run_block(&w, drop_index, make_index);
    run_block(&w, nothing, drop_index);
    run_block(&w, make_index, drop_index);
    run_block(&w, put_rows_back, nothing);
    ddb_view view;
    assert_ok(ddb_view_open(w.table, &view, NULL));
    assert_int_equal(ddb_view_index_count(&view), 0);
    assert_true(rows_are(&view, 1, 40));
    ddb_view_close(&view);
    if (with_snapshot) {
      assert_ok(ddb_snapshot_view(snapshot, w.table, &view, NULL));
      assert_int_equal(ddb_view_index_count(&view), 0);
      assert_true(rows_are(&view, 1, 40));
      ddb_view_close(&view);
      ddb_snapshot_close(snapshot);
    }
    world_free(&w);
  }
}

/* ---- Upgrades ------------------------------------------------------------------------------ */

typedef struct upgrader {
  ddb_table *table;
  pthread_barrier_t *both;
  ddb_status status;
  pthread_t thread;
} upgrader;

/* read_lock, then a statement: of two at once one must give up. */
static void *read_then_write(void *context) {
  upgrader *self = context;
  ddb_rwlock *table_lock = ddb_table_lock(self->table);
  (void)ddb_rwlock_acquire_read(table_lock, DDB_WAIT_FOREVER, NULL);
  pthread_barrier_wait(self->both);
  self->status = rows_insert(self->table, 100 + (int64_t)(uintptr_t)self % 1000, 1);
  (void)ddb_rwlock_release_read(table_lock, NULL);
  return NULL;
}

static void test_upgrades(void **state) {
  (void)state;
  world w = world_new(3);
  for (int round = 0; round < 50; round++) {
    pthread_barrier_t both;
    pthread_barrier_init(&both, NULL, 2);
    upgrader two[2];
    for (int i = 0; i < 2; i++) {
      two[i] = (upgrader){.table = w.table, .both = &both};
      pthread_create(&two[i].thread, NULL, read_then_write, &two[i]);
    }
    for (int i = 0; i < 2; i++) {
      pthread_join(two[i].thread, NULL);
    }
    pthread_barrier_destroy(&both);
    int good = 0;
    for (int i = 0; i < 2; i++) {
      good += two[i].status == DDB_OK;
      assert_true(two[i].status == DDB_OK || two[i].status == DDB_ERR_DEADLOCK);
    }
    assert_true(good >= 1);
    assert_ok(rows_delete_all(w.table));
  }
  /* Alone: read, write, nested views, all at once. */
  ddb_view view, nested;
  assert_ok(ddb_rwlock_acquire_read(w.lock, DDB_WAIT_FOREVER, NULL));
  assert_ok(ddb_view_open(w.table, &view, NULL));
  assert_ok(rows_insert_many(w.table, 1, 5));
  assert_ok(ddb_view_open(w.table, &nested, NULL));
  lock(&w);
  assert_ok(rows_delete(w.table, 5));
  ddb_view_close(&view);
  unlock(&w);
  assert_true(rows_are(&nested, 1, 5));
  ddb_view_close(&nested);
  assert_ok(ddb_rwlock_release_read(w.lock, NULL));
  world_free(&w);
}

/* ---- Threads that end with a lock ---------------------------------------------------------- */

static void *lock_and_end(void *context) {
  pair *p = context;
  bool held = ddb_tables_write_lock(p->tables, 2, DDB_WAIT_FOREVER, NULL) == DDB_OK &&
              rows_update_all(p->tables[0], 9) == DDB_OK &&
              rows_insert(p->tables[1], 1, 1) == DDB_OK;
  return held ? p : NULL;
}

/* Nobody can end its block: what it wrote is never seen, who wants the lock is told. */
static void test_ended_owner(void **state) {
  (void)state;
  world w = world_new(400);
  pair p = {.tables = {w.table}, .db = w.db};
  ddb_snapshot *snapshot;
  ddb_view view;
  assert_ok(ddb_db_table_create(w.db, DDB_STR("second"), NULL, &p.tables[1], NULL));
  assert_non_null(in_thread(lock_and_end, &p));
  assert_int_equal(ddb_view_open(w.table, &view, NULL), DDB_ERR_DEADLOCK);
  assert_int_equal(rows_insert(w.table, 500, 1), DDB_ERR_DEADLOCK);
  assert_int_equal(ddb_db_table_drop(w.db, DDB_STR("t"), NULL), DDB_ERR_DEADLOCK);
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  assert_ok(ddb_snapshot_view(snapshot, w.table, &view, NULL));
  assert_true(rows_are(&view, 1, 400));
  ddb_view_close(&view);
  assert_ok(ddb_snapshot_view(snapshot, p.tables[1], &view, NULL));
  assert_int_equal(ddb_view_count(&view), 0);
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  ddb_table_release(p.tables[1]);
  world_free(&w);
}

static void *open_and_end(void *context) {
  ddb_view view, nested;
  bool opened = ddb_view_open(context, &view, NULL) == DDB_OK &&
                ddb_view_open(context, &nested, NULL) == DDB_OK;
  return opened ? context : NULL;
}

/* A thread that ends with views open costs memory, no more. */
static void test_ended_reader(void **state) {
  (void)state;
  world w = world_new(20);
  assert_non_null(in_thread(open_and_end, w.table));
  for (int64_t i = 0; i < 100; i++) {
    assert_ok(rows_update_all(w.table, i));
  }
  assert_true(rows_old_bytes(w.table) > 0);
  world_free(&w);
}

/* ---- Stopped half-way ---------------------------------------------------------------------- */

#ifdef DDB_TESTING

static ddb_status write_all(void *table) {
  return rows_update_all(table, 5);
}
static ddb_status index_a(void *table) {
  return ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL);
}
static ddb_status unindex_a(void *table) {
  return ddb_table_index_drop(table, &DDB_STR("a"), 1, NULL, NULL);
}
static ddb_status insert_one(void *table) {
  return rows_insert(table, 1000, 1);
}
static ddb_status delete_one(void *table) {
  return rows_delete(table, 1000);
}

/* All that reads can do. */
static void read_everything(world *w, const ddb_snapshot *old) {
  ddb_view view, nested;
  ddb_snapshot *snapshot;
  ddb_table **tables;
  size_t table_count;
  ddb_memory memory;
  uint64_t count;
  assert_ok(ddb_view_open(w->table, &view, NULL));
  assert_ok(ddb_view_open(w->table, &nested, NULL));
  assert_int_equal(ddb_view_count(&view), ddb_view_count(&nested));
  assert_ok(ddb_view_count_where(&view, NULL, &count, NULL));
  ddb_view_close(&view);
  ddb_view_close(&nested);
  assert_ok(rows_count_equal(w->table, DDB_STR("a"), 5, &count));
  assert_ok(ddb_snapshot_open(w->db, &snapshot, NULL));
  assert_ok(ddb_snapshot_tables(snapshot, &tables, &table_count, NULL));
  ddb_tables_free(tables, table_count);
  assert_ok(ddb_snapshot_view(snapshot, w->table, &view, NULL));
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  assert_ok(ddb_snapshot_view((ddb_snapshot *)(uintptr_t)old, w->table, &view, NULL));
  assert_true(rows_are(&view, 1, 50));
  ddb_view_close(&view);
  assert_ok(ddb_db_tables(w->db, &tables, &table_count, NULL));
  ddb_tables_free(tables, table_count);
  ddb_db_memory(w->db, &memory);
}

static void test_stopped_writer(void **state) {
  (void)state;
  static ddb_status (*const writes[])(void *) = {write_all, insert_one, delete_one, index_a,
                                                 unindex_a};
  world w = world_new(50);
  ddb_snapshot *old;
  assert_ok(ddb_snapshot_open(w.db, &old, NULL));
  for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
    for (int point = 0; point < DDB__POINT_PIN_HELD; point++) {
      stop_thread writer = {writes[i], w.table, 0};
      if (writes[i] == write_all) {
        assert_ok(rows_update_all(w.table, 4)); /* so that it changes something */
      }
      stop_thread_start(&writer, (ddb__point)point);
      read_everything(&w, old); /* were it to wait for the writer, it would do so for ever */
      assert_ok(stop_thread_finish(&writer));
      if (point + 1 < DDB__POINT_PIN_HELD) { /* once more, at the next point */
        if (writes[i] == insert_one) {
          assert_ok(delete_one(w.table));
        } else if (writes[i] == delete_one) {
          assert_ok(insert_one(w.table));
        } else if (writes[i] == index_a) {
          assert_ok(unindex_a(w.table));
        } else if (writes[i] == unindex_a) {
          assert_ok(index_a(w.table));
        }
      }
    }
  }
  ddb_snapshot_close(old);
  world_free(&w);
}

static ddb_status read_one(void *table) {
  ddb_view view;
  ddb_status status = ddb_view_open(table, &view, NULL);
  if (status == DDB_OK) {
    uint64_t position = 0, count = 0;
    while (ddb_view_next(&view, &position)) {
      count++;
    }
    status = count == ddb_view_count(&view) ? DDB_OK : DDB_ERR_CORRUPT;
    ddb_view_close(&view);
  }
  return status;
}

/* A reader stopped while it pins holds back memory, not writers. */
static void test_stopped_reader(void **state) {
  (void)state;
  static const ddb__point points[] = {DDB__POINT_PIN_HELD, DDB__POINT_PIN_LOADED};
  for (size_t i = 0; i < 2; i++) {
    world w = world_new(50);
    stop_thread reader = {read_one, w.table, 0};
    stop_thread_start(&reader, points[i]);
    for (int64_t j = 0; j < 200; j++) {
      assert_ok(rows_insert(w.table, 100 + j, j));
      assert_ok(rows_delete(w.table, 100 + j));
      assert_ok(rows_update_all(w.table, j));
      assert_ok(ddb_rwlock_acquire_write(w.lock, 0, NULL));
      assert_ok(ddb_rwlock_release_write(w.lock, NULL));
    }
    assert_true(rows_old_bytes(w.table) > 0);
    assert_ok(stop_thread_finish(&reader));
    for (int64_t j = 0; j < 1000 && rows_old_bytes(w.table) > 0; j++) {
      assert_ok(rows_update_all(w.table, -1 - j));
    }
    assert_int_equal(rows_old_bytes(w.table), 0);
    world_free(&w);
  }
}

#else

static void test_stopped_writer(void **state) {
  (void)state;
  skip();
}
static void test_stopped_reader(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_call), /* first: later threads are given records of ended ones */
      cmocka_unit_test(test_own_block),
      cmocka_unit_test(test_drop_in_block),
      cmocka_unit_test(test_drop_in_group),
      cmocka_unit_test(test_group_errors),
      cmocka_unit_test(test_group_timeout),
      cmocka_unit_test(test_group_in_block),
      cmocka_unit_test(test_blocks_without_memory),
      cmocka_unit_test(test_upgrades),
      cmocka_unit_test(test_ended_owner),
      cmocka_unit_test(test_ended_reader),
      cmocka_unit_test(test_stopped_writer),
      cmocka_unit_test(test_stopped_reader),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
