/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_chaos.c - threads do at random all that can be done to three tables: statements of
 * every kind, good and bad, explicit locks, groups, upgrades, indexes that come and go, nested
 * views, snapshots that several threads share, with memory running out now and then. Whatever a
 * view or a snapshot shows is whole and does not change; indexes never change an answer; no memory
 * is lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/testing.h"
#include "rows.h"
#include "support.h"

enum { TABLES = 3, THREADS = 4, KEYS = 60, VALUES = 8, SHARED = 3, DEPTH_MAX = 3 };

typedef struct chaos {
  ddb_db *db;
  ddb_table *tables[TABLES];
  pthread_mutex_t mutex;
  ddb_snapshot *shared[SHARED]; /* under mutex */
  int users[SHARED];            /* under mutex */
  _Atomic bool stop;
  _Atomic uint64_t wrong;
  _Atomic uint64_t done[DDB_STATUS_COUNT];
  bool without_memory;
} chaos;

typedef struct actor {
  chaos *chaos;
  uint64_t random;
  pthread_t thread;
  int depth; /* of what is open around the present step */
} actor;

static uint64_t below(actor *self, uint64_t bound) {
  return support_below(&self->random, bound);
}

static void expect(actor *self, bool holds) {
  if (!holds) {
    atomic_fetch_add(&self->chaos->wrong, 1);
  }
}

/* What a step may end with. */
static void note(actor *self, ddb_status status) {
  /* Relaxed: it must not order what the library forgot to order. */
  atomic_fetch_add_explicit(&self->chaos->done[status], 1, memory_order_relaxed);
  expect(self, status == DDB_OK || status == DDB_ERR_NOMEM || status == DDB_ERR_DUPLICATE_KEY ||
                   status == DDB_ERR_RECORD_NOT_FOUND || status == DDB_ERR_DEADLOCK ||
                   status == DDB_ERR_TIMEOUT || status == DDB_ERR_DUPLICATE_INDEX ||
                   status == DDB_ERR_INDEX_NOT_FOUND);
}

static ddb_table *any_table(actor *self) {
  return self->chaos->tables[below(self, TABLES)];
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* A sum over all rows in order; counts how often `wanted` occurs as a. */
static uint64_t walk(actor *self, const ddb_view *view, int64_t wanted, uint64_t *matches) {
  uint64_t sum = 1, rows = 0, position = 0;
  *matches = 0;
  for (const ddb_record *r; (r = ddb_view_next(view, &position)) != NULL; rows++) {
    ddb_value key = ddb_record_get(r, DDB_STR("id"));
    int64_t a = ddb_record_get(r, DDB_STR("a")).as.integer;
    const ddb_record *found = NULL;
    expect(self, ddb_record_get(r, DDB_STR("twin")).as.integer == -a);
    expect(self, ddb_view_get(view, &key, &found, NULL) == DDB_OK && found == r);
    *matches += a == wanted;
    sum = sum * 31 + (uint64_t)key.as.integer * 7 + (uint64_t)a;
  }
  expect(self, rows == ddb_view_count(view));
  return sum;
}

static void check_view(actor *self, const ddb_view *view) {
  ddb_value wanted = ddb_int((int64_t)below(self, VALUES));
  uint64_t matches, again, counted;
  uint64_t sum = walk(self, view, wanted.as.integer, &matches);
  ddb_cond *cond;
  if (ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &wanted, &cond, NULL) == DDB_OK) {
    if (ddb_view_count_where(view, cond, &counted, NULL) == DDB_OK) {
      expect(self, counted == matches);
    }
    ddb_cond_release(cond);
  }
  expect(self, walk(self, view, wanted.as.integer, &again) == sum && again == matches);
}

static void step(actor *self);

static void read_view(actor *self) {
  ddb_view view;
  ddb_status status = ddb_view_open(any_table(self), &view, NULL);
  note(self, status);
  if (status == DDB_OK) {
    check_view(self, &view);
    if (self->depth < DEPTH_MAX) {
      self->depth++;
      step(self);
      self->depth--;
      check_view(self, &view);
    }
    ddb_view_close(&view);
  }
}

/* One of the shared snapshots, made when it is not there, closed by its last user now and then. */
static ddb_snapshot *snapshot_take(actor *self, size_t which) {
  chaos *c = self->chaos;
  pthread_mutex_lock(&c->mutex);
  if (!c->shared[which] && ddb_snapshot_open(c->db, &c->shared[which], NULL) != DDB_OK) {
    c->shared[which] = NULL;
  }
  ddb_snapshot *snapshot = c->shared[which];
  c->users[which] += snapshot != NULL;
  pthread_mutex_unlock(&c->mutex);
  return snapshot;
}

static void snapshot_give(actor *self, size_t which, bool close) {
  chaos *c = self->chaos;
  ddb_snapshot *last = NULL;
  pthread_mutex_lock(&c->mutex);
  if (--c->users[which] == 0 && close) {
    last = c->shared[which];
    c->shared[which] = NULL;
  }
  pthread_mutex_unlock(&c->mutex);
  ddb_snapshot_close(last);
}

static void read_snapshot(actor *self) {
  size_t which = below(self, SHARED);
  ddb_snapshot *snapshot = snapshot_take(self, which);
  if (!snapshot) {
    return;
  }
  ddb_view views[TABLES];
  size_t open = 0;
  for (ddb_status status = DDB_OK; open < TABLES && status == DDB_OK; open += status == DDB_OK) {
    status = ddb_snapshot_view(snapshot, self->chaos->tables[open], &views[open], NULL);
    note(self, status);
  }
  for (size_t i = 0; i < open; i++) {
    check_view(self, &views[i]);
  }
  for (size_t i = 0; i < open; i++) {
    ddb_view_close(&views[(i + 1) % open]);
  }
  snapshot_give(self, which, below(self, 4) == 0);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static int64_t value_for(actor *self) {
  return (int64_t)below(self, VALUES);
}

static void write_something(actor *self) {
  ddb_table *table = any_table(self);
  int64_t id = 1 + (int64_t)below(self, KEYS);
  switch (below(self, 10)) {
  case 0:
    note(self, rows_update_all(table, value_for(self)));
    break;
  case 1:
    note(self, rows_insert_many(table, id, 12)); /* mostly in vain */
    break;
  case 2:
    note(self, ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
    break;
  case 3:
    note(self, ddb_table_index_drop(table, &DDB_STR("a"), 1, NULL, NULL));
    break;
  case 4:
  case 5:
    note(self, rows_insert(table, id, value_for(self)));
    break;
  case 6:
  case 7:
    note(self, rows_delete(table, id));
    break;
  default:
    note(self, rows_update(table, id, value_for(self)));
  }
}

static int64_t timeout_for(actor *self) {
  return below(self, 3) == 0 ? 0 : below(self, 2) == 0 ? INT64_C(2000000) : DDB_WAIT_FOREVER;
}

/* Rows may be torn inside the block: nobody else may see it. */
static void write_block(actor *self) {
  ddb_table *table = any_table(self);
  int64_t id = 1 + (int64_t)below(self, KEYS);
  ddb_status status = ddb_rwlock_acquire_write(ddb_table_lock(table), timeout_for(self), NULL);
  note(self, status);
  if (status != DDB_OK) {
    return;
  }
  int64_t a = value_for(self);
  status = rows_set_field(table, id, DDB_STR("a"), a);
  for (int i = 0; status == DDB_OK; i++) { /* made good whatever it takes */
    status = rows_set_field(table, id, DDB_STR("twin"), -a);
    if (status == DDB_OK) {
      break;
    }
    expect(self, status == DDB_ERR_NOMEM && i < 1000);
    status = DDB_OK;
  }
  if (self->depth < DEPTH_MAX) {
    self->depth++;
    step(self);
    self->depth--;
  }
  expect(self, ddb_rwlock_release_write(ddb_table_lock(table), NULL) == DDB_OK);
}

static void group_block(actor *self) {
  ddb_table *group[TABLES];
  size_t count = 1 + below(self, TABLES);
  size_t first = below(self, TABLES);
  for (size_t i = 0; i < count; i++) {
    group[i] = self->chaos->tables[(first + i) % TABLES];
  }
  ddb_status status = ddb_tables_write_lock(group, count, timeout_for(self), NULL);
  note(self, status);
  if (status == DDB_OK) {
    for (int i = 0; i < 3; i++) {
      write_something(self);
    }
    expect(self, ddb_tables_write_unlock(group, count, NULL) == DDB_OK);
  }
}

static void read_block(actor *self) {
  ddb_rwlock *lock = ddb_table_lock(any_table(self));
  ddb_status status = ddb_rwlock_acquire_read(lock, timeout_for(self), NULL);
  note(self, status);
  if (status == DDB_OK) {
    if (self->depth < DEPTH_MAX) {
      self->depth++;
      step(self); /* a statement among them is an upgrade */
      self->depth--;
    }
    expect(self, ddb_rwlock_release_read(lock, NULL) == DDB_OK);
  }
}

static void step(actor *self) {
  if (self->chaos->without_memory && below(self, 10) == 0) {
    support_allocator_fail(1 + (long)below(self, 12));
  }
  switch (below(self, 12)) {
  case 0:
    write_block(self);
    break;
  case 1:
    group_block(self);
    break;
  case 2:
    read_block(self);
    break;
  case 3:
  case 4:
    read_view(self);
    break;
  case 5:
    read_snapshot(self);
    break;
  default:
    write_something(self);
  }
}

static void *act(void *context) {
  actor *self = context;
  while (!atomic_load(&self->chaos->stop) && atomic_load(&self->chaos->wrong) == 0) {
    step(self);
  }
  return NULL;
}

/* ---- Runs ---------------------------------------------------------------------------------- */

static void chaos_open(chaos *c, bool without_memory) {
  memset(c, 0, sizeof *c);
  c->without_memory = without_memory;
  pthread_mutex_init(&c->mutex, NULL);
  assert_ok(ddb_db_new(&c->db, NULL));
  for (int i = 0; i < TABLES; i++) {
    char name[] = {'c', (char)('0' + i)};
    assert_ok(ddb_db_table_create(c->db, (ddb_str){name, 2}, NULL, &c->tables[i], NULL));
  }
}

static void chaos_close(chaos *c) {
  for (int i = 0; i < SHARED; i++) {
    ddb_snapshot_close(c->shared[i]);
  }
  for (int i = 0; i < TABLES; i++) {
    for (int64_t j = 0; j < 10000 && rows_old_bytes(c->tables[i]) > 64 * 1024; j++) {
      assert_ok(rows_update_all(c->tables[i], j));
    }
    assert_true(rows_old_bytes(c->tables[i]) <= 64 * 1024);
    ddb_table_release(c->tables[i]);
  }
  ddb_db_release(c->db);
  pthread_mutex_destroy(&c->mutex);
}

/* Whether what the run is for has come up by now, however slow the machine is. */
static bool has_met_all(const chaos *c) {
  return atomic_load(&c->done[DDB_OK]) > 100 && atomic_load(&c->done[DDB_ERR_DUPLICATE_KEY]) > 0 &&
         (!c->without_memory || atomic_load(&c->done[DDB_ERR_NOMEM]) > 0);
}

static void run_chaos(const char *name, bool without_memory) {
  uint64_t seed = support_seed(name);
  int64_t before = support_allocator_bytes();
  uint64_t seconds = support_number("DICTDB_LONG", 0) != 0 ? 60 : 4;
  chaos c;
  actor actors[THREADS];
  chaos_open(&c, without_memory);
#ifdef DDB_TESTING
  ddb__test_yield_set(4, seed);
#endif
  for (size_t i = 0; i < THREADS; i++) {
    actors[i] = (actor){.chaos = &c, .random = seed + 2 * i};
    assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
  }
  for (uint64_t i = 0; (i < seconds * 100 || !has_met_all(&c)) && atomic_load(&c.wrong) == 0; i++) {
    usleep(10 * 1000);
  }
  atomic_store(&c.stop, true);
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(actors[i].thread, NULL);
  }
  (void)support_allocator_failed();
#ifdef DDB_TESTING
  ddb__test_yield_set(0, 0);
#endif
  assert_int_equal(atomic_load(&c.wrong), 0);
  assert_true(without_memory || atomic_load(&c.done[DDB_ERR_NOMEM]) == 0);
  chaos_close(&c);
  assert_true(support_allocator_bytes() - before <= 16 * 1024); /* threads' records */
}

static void test_chaos(void **state) {
  (void)state;
  run_chaos("chaos", false);
}

static void test_chaos_without_memory(void **state) {
  (void)state;
  run_chaos("chaos without memory", true);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chaos),
      cmocka_unit_test(test_chaos_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
