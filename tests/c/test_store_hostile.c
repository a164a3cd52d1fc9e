/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_hostile.c - workloads chosen to hurt: keys that come and go under a long snapshot, keys
 * that all collide, statements that always fail, views nested by the hundred, a catalogue that is
 * torn at from all sides while memory runs out. Memory stays bounded, and all of it comes back.
 *
 * DICTDB_LONG=1 multiplies the work.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/testing.h"
#include "rows.h"
#include "store/keyindex.h"
#include "support.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif
#ifndef SLOW
#define SLOW 0
#endif

enum { LITTLE = 64 * 1024 };

/* How often: less under a sanitizer or with tiny nodes. */
static int64_t scaled(int64_t count) {
#ifdef DDB_TESTING
  count /= 4;
#endif
  count /= SLOW ? 5 : 1;
  return support_number("DICTDB_LONG", 0) != 0 ? count * 10 : count;
}

typedef struct world {
  ddb_db *db;
  ddb_table *table;
  int64_t bytes_before;
} world;

static world world_new(void) {
  world w = {.bytes_before = support_allocator_bytes()};
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("t"), NULL, &w.table, NULL));
  return w;
}

/* Statements reclaim what old views held back, a part each. */
static void drain(ddb_table *table) {
  for (int i = 0; i < 1000 && rows_old_bytes(table) > 0; i++) {
    assert_ok(rows_update_all(table, -1 - i));
  }
#ifdef DDB_TESTING
  assert_int_equal(rows_old_bytes(table), 0);
#else
  assert_true(rows_old_bytes(table) <= LITTLE); /* a few items wait for company */
#endif
}

static void world_free(world *w) {
  ddb_table_release(w->table);
  ddb_db_release(w->db);
  assert_int_equal(support_allocator_bytes(), w->bytes_before);
}

/* As that, but the records of threads stay. */
static void world_free_after_threads(world *w) {
  ddb_table_release(w->table);
  ddb_db_release(w->db);
  assert_true(support_allocator_bytes() - w->bytes_before <= LITTLE / 4);
}

/* ---- Old versions -------------------------------------------------------------------------- */

/* A snapshot sees none of the rows that come and go, so it keeps none; and no index segment. */
static void test_key_churn_under_snapshot(void **state) {
  (void)state;
  world w = world_new();
  ddb_snapshot *snapshot;
  assert_ok(rows_insert_many(w.table, 1, 100));
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  int64_t count = scaled(200000);
  uint64_t early = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t id =
        i % 2 == 0 ? 1000 + i : 50; /* one never seen before, or one that the snapshot sees */
    if (id == 50) {
      assert_ok(rows_delete(w.table, id));
    }
    assert_ok(rows_insert(w.table, id, i));
    if (id != 50) {
      assert_ok(rows_delete(w.table, id));
    }
    if (i == count / 10) {
      early = rows_total_bytes(w.table);
    }
  }
  assert_true(rows_total_bytes(w.table) <= early + LITTLE);
  ddb_view view;
  assert_ok(ddb_snapshot_view(snapshot, w.table, &view, NULL));
  assert_true(rows_are(&view, 1, 100));
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  world_free(&w);
}

/* Many updates of each row: the snapshot keeps one old version of it. */
static void test_updates_under_snapshot(void **state) {
  (void)state;
  world w = world_new();
  ddb_snapshot *snapshots[3];
  assert_ok(rows_insert_many(w.table, 1, 500));
  int64_t count = scaled(100000);
  uint64_t early = 0;
  for (int64_t i = 0; i < count; i++) {
    if (i < 3) {
      assert_ok(ddb_snapshot_open(w.db, &snapshots[i], NULL));
    }
    assert_ok(rows_update(w.table, 1 + i % 500, i));
    if (i == count / 4) {
      early = rows_total_bytes(w.table);
    }
  }
  assert_true(rows_total_bytes(w.table) <= early + LITTLE);
  ddb_view view;
  assert_ok(ddb_snapshot_view(snapshots[0], w.table, &view, NULL));
  assert_true(rows_are(&view, 1, 500));
  ddb_view_close(&view);
  ddb_snapshot_close(snapshots[1]);
  ddb_snapshot_close(snapshots[0]);
  ddb_snapshot_close(snapshots[2]);
  world_free(&w);
}

/* A view that stays open, which costs more than a snapshot, but no more than what it can see. */
static void test_updates_under_view(void **state) {
  (void)state;
  uint64_t random = support_seed("updates under a view");
  world w = world_new();
  ddb_view view;
  assert_ok(rows_insert_many(w.table, 1, 1000));
  uint64_t before = rows_total_bytes(w.table);
  assert_ok(ddb_view_open(w.table, &view, NULL));
  for (int64_t i = 0; i < scaled(40000); i++) { /* the last untouched rows are hit one by one */
    assert_ok(rows_update(w.table, 1 + (int64_t)support_below(&random, 1000), i));
  }
#ifdef DDB_TESTING
  before *= 2; /* tiny nodes: more of them, and more to note of them */
#endif
  /* A table that is written to holds a whole chunk of retired items, one that was filled at once may not. */
  uint64_t chunk = sizeof(ddb__retired_chunk) + DDB__RETIRED_CHUNK_ITEMS * sizeof(ddb__retired);
  assert_true(rows_total_bytes(w.table) <= 3 * before + chunk);
  assert_true(rows_are(&view, 1, 1000));
  ddb_view_close(&view);
  drain(w.table);
  world_free(&w);
}

/* A reader that holds writers off, so that nobody can reclaim as pins go. */
typedef struct holder {
  ddb_rwlock *lock;
  _Atomic bool held;
  _Atomic bool go_on;
  pthread_t thread;
} holder;

static void *hold_read(void *context) {
  holder *self = context;
  (void)ddb_rwlock_acquire_read(self->lock, DDB_WAIT_FOREVER, NULL);
  atomic_store(&self->held, true);
  while (!atomic_load(&self->go_on)) {
    usleep(200);
  }
  (void)ddb_rwlock_release_read(self->lock, NULL);
  return NULL;
}

static void holder_start(holder *self, ddb_table *table) {
  *self = (holder){.lock = ddb_table_lock(table)};
  assert_int_equal(pthread_create(&self->thread, NULL, hold_read, self), 0);
  while (!atomic_load(&self->held)) {
    usleep(200);
  }
}

static void holder_finish(holder *self) {
  atomic_store(&self->go_on, true);
  pthread_join(self->thread, NULL);
}

/* What is left to the next statements to free is little, also where a lock was in the way. */
static void test_old_bytes_return(void **state) {
  (void)state;
  world w = world_new();
  ddb_snapshot *snapshot;
  ddb_view view, nested;
  assert_ok(rows_insert_many(w.table, 1, 2000));
  for (int round = 0; round < 4; round++) {
    assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
    assert_ok(ddb_view_open(w.table, &view, NULL));
    assert_ok(ddb_view_open(w.table, &nested, NULL));
    assert_ok(rows_update_all(w.table, round));
    uint64_t held = rows_old_bytes(w.table);
    assert_true(held > 2000 * 40);
    holder holder;
    if (round % 2 == 1) {
      holder_start(&holder, w.table);
    }
    ddb_view_close(round < 2 ? &view : &nested);
    ddb_view_close(round < 2 ? &nested : &view);
    ddb_snapshot_close(snapshot);
    if (round % 2 == 1) {
      assert_true(rows_old_bytes(w.table) > held / 2);
      holder_finish(&holder);
      for (int i = 0; i < 8 && rows_old_bytes(w.table) > held / 2; i++) { /* a bounded part each */
        assert_ok(rows_update(w.table, 1, 1000 * round + i));
      }
#ifndef DDB_TESTING
      assert_true(rows_old_bytes(w.table) <= held / 2);
#endif
    }
    drain(w.table);
  }
  world_free_after_threads(&w);
}

/* What a failed statement replaced in the key index is freed at once, if nobody looks; what the
 * statements before it replaced may wait on. */
static void test_a_failed_batch_leaves_nothing(void **state) {
  (void)state;
  for (int64_t count = 2; count < 300; count = count * 5 / 4 + 1) {
    world w = world_new();
    assert_ok(rows_insert(w.table, 5000, 0));
    uint64_t before = rows_old_bytes(w.table);
    assert_int_equal(rows_insert_many(w.table, 5001 - count, count), DDB_ERR_DUPLICATE_KEY);
    assert_true(rows_old_bytes(w.table) <= before);
    world_free(&w);
  }
}

/* Statements that fail leave replaced index segments behind: they must not pile up. */
static void test_failed_batches(void **state) {
  (void)state;
  world w = world_new();
  int64_t count = scaled(4000);
  uint64_t early = 0, late = 0;
  for (int64_t i = 0; i < count; i++) {
    /* ever new keys, and at the end one that is there */
    int64_t first = 1000 * i;
    if (i % 100 == 0) {
      assert_ok(rows_delete_all(w.table));
      for (int64_t j = 0; j < 100; j++) {
        assert_ok(rows_insert(w.table, first + 1000 * j + 200, 0));
      }
    }
    assert_int_equal(rows_insert_many(w.table, first, 201), DDB_ERR_DUPLICATE_KEY);
    uint64_t *peak = i < count / 2 ? &early : &late;
    uint64_t bytes = rows_total_bytes(w.table);
    *peak = bytes > *peak ? bytes : *peak;
  }
  assert_true(late <= early + early / 2 + LITTLE);
  world_free(&w);
}

/* A queue: rows enter at one end and leave at the other. */
static void test_queue(void **state) {
  (void)state;
  world w = world_new();
  int64_t count = scaled(1000000);
  int64_t length = 300;
  uint64_t early = 0;
  assert_ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  for (int64_t i = 1; i <= count; i++) {
    assert_ok(rows_insert(w.table, i, 10 * i));
    if (i > length) {
      assert_ok(rows_delete(w.table, i - length));
    }
    if (i == count / 4) {
      early = rows_total_bytes(w.table);
    }
  }
  /* Tiny segments reach their sizes late. */
  assert_true(rows_total_bytes(w.table) <= early + early / 2 + LITTLE);
  ddb_view view;
  assert_ok(ddb_view_open(w.table, &view, NULL));
  assert_true(rows_are(&view, count - length + 1, length));
  ddb_view_close(&view);
  world_free(&w);
}

/* ---- The key index ------------------------------------------------------------------------- */

/* j * (2^61 - 1) + 1 as a big integer or an int64: they all hash like 1. */
static ddb_value colliding_key(uint64_t j, uint8_t *bytes) {
  unsigned __int128 number = (unsigned __int128)j * ((UINT64_C(1) << 61) - 1) + 1;
  if (number <= INT64_MAX) {
    return ddb_int((int64_t)number);
  }
  uint32_t size = 1;
  bytes[0] = 0;
  for (; number != 0; number >>= 8) {
    bytes[size++] = (uint8_t)number;
  }
  return (ddb_value){.kind = DDB_BIGINT, .size = size, .as.data = bytes};
}

static void test_colliding_keys(void **state) {
  (void)state;
  uint64_t random = support_seed("colliding keys");
  world w = world_new();
  uint8_t bytes[32];
  ddb_value one = ddb_int(1);
  uint64_t count = SLOW ? 200 : 800;
  for (uint64_t j = 0; j < count; j++) {
    ddb_value key = colliding_key(j, bytes);
    assert_int_equal(ddb_value_hash(&key), ddb_value_hash(&one));
    assert_ok(rows_insert_key(w.table, &key, (int64_t)j));
    assert_ok(rows_insert(w.table, 100 + (int64_t)j, -1)); /* others between them */
  }
  ddb_snapshot *snapshot;
  assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  for (uint64_t i = 0; i < count; i++) { /* gone and back again, some twice */
    uint64_t j = support_below(&random, count);
    ddb_value key = colliding_key(j, bytes);
    ddb_cond *cond;
    uint64_t found = 0;
    assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &cond, NULL));
    assert_ok(ddb_table_delete(w.table, cond, &found, NULL));
    assert_int_equal(found, 1);
    assert_ok(rows_insert_key(w.table, &key, (int64_t)j));
    assert_int_equal(rows_insert_key(w.table, &key, 0), DDB_ERR_DUPLICATE_KEY);
    ddb_cond_release(cond);
  }
  for (int which = 0; which < 2; which++) {
    ddb_view view;
    assert_ok(which ? ddb_view_open(w.table, &view, NULL)
                    : ddb_snapshot_view(snapshot, w.table, &view, NULL));
    assert_int_equal(ddb_view_count(&view), 2 * count);
    for (uint64_t j = 0; j < count + 5; j++) {
      const ddb_record *record;
      ddb_value key = colliding_key(j, bytes);
      assert_ok(ddb_view_get(&view, &key, &record, NULL));
      assert_int_equal(record != NULL, j < count);
      assert_true(!record || ddb_record_get(record, DDB_STR("a")).as.integer == (int64_t)j);
    }
    ddb_view_close(&view);
  }
  ddb_snapshot_close(snapshot);
  world_free(&w);
}

/* The index alone against a list: few hashes, or hashes that differ in their last bits only. */
enum { HINTS_MAX = 1500 };

typedef struct hint {
  uint64_t hash;
  uint64_t seq;
} hint;

static uint64_t choose_hash(uint64_t *random) {
  uint64_t low = support_below(random, 40);
  switch (support_below(random, 3)) {
  case 0:
    return low; /* the two reserved values too */
  case 1:
    return UINT64_MAX - low; /* one directory slot for all */
  default:
    return support_random(random) << 11 | low;
  }
}

static void free_retired(ddb__edit *edit) {
  ddb__retired_chunk *chunk;
  while ((chunk = ddb__retired_list_pop(&edit->retired)) != NULL) {
    for (uint32_t i = 0; i < chunk->count; i++) {
      assert_int_equal(chunk->items[i].birth, 0);
      ddb__free(edit->heap, chunk->items[i].memory, chunk->items[i].extra);
    }
    chunk->count = 0;
    ddb__retired_chunk_free(edit->heap, chunk);
  }
  edit->room = 0;
  ddb__edit_reset(edit, 1);
}

static size_t probe_count(const ddb__keyindex *index, hint wanted, uint64_t *all) {
  ddb__key_probe probe = ddb__keyindex_probe(index, wanted.hash);
  uint64_t seq;
  size_t found = 0;
  for (*all = 0; ddb__keyindex_next(&probe, &seq); ++*all) {
    found += seq == wanted.seq;
  }
  return found;
}

static void test_key_index(void **state) {
  (void)state;
  uint64_t random = support_seed("key index");
  int64_t before = support_allocator_bytes();
  static ddb__heap heap;
  static hint hints[HINTS_MAX];
  size_t count = 0;
  ddb__keyindex index;
  ddb__edit edit;
  ddb__edit_init(&edit, &heap, 1);
  assert_ok(ddb__keyindex_init(&index, &heap, NULL));
  int64_t steps = scaled(200000);
  for (int64_t i = 0; i < steps; i++) {
    bool growing = i / (steps / 4) % 2 == 0;
    if (count > 0 && (count == HINTS_MAX || support_below(&random, 8) >= (growing ? 5u : 3u))) {
      size_t at = support_below(&random, count);
      ddb__keyindex_remove(&index, hints[at].hash, hints[at].seq);
      uint64_t all;
      assert_int_equal(probe_count(&index, hints[at], &all), 0);
      hints[at] = hints[--count];
    } else {
      hint new = {choose_hash(&random), (uint64_t)i};
      support_allocator_fail((long)support_below(&random, 30)); /* 0: it succeeds */
      ddb_status status = ddb__keyindex_insert(&index, &edit, new.hash, new.seq, NULL);
      bool failed = support_allocator_failed();
      assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
      if (status == DDB_OK) {
        hints[count++] = new;
      }
      if (edit.retired.count > 0) {
        free_retired(&edit);
      }
    }
    assert_int_equal(index.count, count);
    if (i % 500 == 0) {
      for (size_t j = 0; j < count; j++) {
        uint64_t all, expected = 0;
        assert_int_equal(probe_count(&index, hints[j], &all), 1);
        for (size_t k = 0; j % 16 == 0 && k < count; k++) {
          expected += ddb__key_hash(hints[k].hash) == ddb__key_hash(hints[j].hash);
        }
        assert_true(j % 16 != 0 || all == expected);
      }
    }
  }
  ddb__keyindex_fini(&index, &heap);
  free_retired(&edit);
  ddb__edit_fini(&edit);
  assert_int_equal(support_allocator_bytes(), before);
}

/* A segment that collisions made large is small again some time after they are gone. */
static void test_key_index_shrinks(void **state) {
  (void)state;
  static ddb__heap heap;
  ddb__keyindex index;
  ddb__edit edit;
  ddb__edit_init(&edit, &heap, 1);
  assert_ok(ddb__keyindex_init(&index, &heap, NULL));
  for (uint64_t seq = 0; seq < 5000; seq++) {
    assert_ok(ddb__keyindex_insert(&index, &edit, 7, seq, NULL));
    free_retired(&edit);
  }
  uint64_t large = ddb__heap_bytes(&heap);
  for (uint64_t seq = 0; seq < 5000; seq++) {
    ddb__keyindex_remove(&index, 7, seq);
  }
  for (uint64_t seq = 0; seq < 100000; seq++) {
    uint64_t hash = seq * UINT64_C(0x9e3779b97f4a7c15) >> 40; /* into the same segment */
    assert_ok(ddb__keyindex_insert(&index, &edit, hash, seq, NULL));
    ddb__keyindex_remove(&index, hash, seq);
    free_retired(&edit);
  }
  assert_true(ddb__heap_bytes(&heap) < large - large / 4);
  ddb__keyindex_fini(&index, &heap);
  ddb__edit_fini(&edit);
}

/* ---- Views --------------------------------------------------------------------------------- */

enum { TABLES = 5, DEPTH = 100 };

/* Views of several tables, each of another version, closed in any order. */
static void test_nested_views(void **state) {
  (void)state;
  uint64_t random = support_seed("nested views");
  world w = world_new();
  ddb_table *tables[TABLES];
  for (int i = 0; i < TABLES; i++) {
    char name[] = {'n', (char)('0' + i)};
    assert_ok(ddb_db_table_create(w.db, (ddb_str){name, 2}, NULL, &tables[i], NULL));
    assert_ok(rows_insert_many(tables[i], 1, 30));
  }
  for (int round = 0; round < 20; round++) {
    struct {
      ddb_view view;
      int64_t a;
    } open[DEPTH];
    for (int64_t i = 0; i < DEPTH; i++) {
      ddb_table *table = tables[support_below(&random, TABLES)];
      assert_ok(rows_update_all(table, i));
      open[i].a = i;
      if (support_below(&random, 4) ==
          0) { /* through a snapshot that goes before its version does */
        ddb_snapshot *snapshot;
        assert_ok(ddb_snapshot_open(w.db, &snapshot, NULL));
        assert_ok(ddb_snapshot_view(snapshot, table, &open[i].view, NULL));
        assert_true(rows_is(&open[i].view, 7, i));
        ddb_view_close(&open[i].view);
        ddb_snapshot_close(snapshot);
      }
      assert_ok(ddb_view_open(table, &open[i].view, NULL));
    }
    for (size_t left = DEPTH; left > 0; left--) {
      size_t at = support_below(&random, left);
      for (int64_t id = 1; id <= 30; id++) {
        assert_true(rows_is(&open[at].view, id, open[at].a));
      }
      ddb_view_close(&open[at].view);
      assert_ok(rows_update(tables[left % TABLES], 3, -1));
      open[at] = open[left - 1];
    }
    for (int i = 0; i < TABLES; i++) {
      drain(tables[i]);
    }
  }
  for (int i = 0; i < TABLES; i++) {
    ddb_table_release(tables[i]);
  }
  world_free(&w);
}

/* ---- Threads ------------------------------------------------------------------------------- */

enum { THREADS = 4 };

typedef struct actor {
  ddb_db *db;
  ddb_table *table;
  ddb_snapshot *snapshot;
  uint64_t random;
  int64_t rounds;
  pthread_t thread;
} actor;

static _Atomic uint64_t wrong;
static _Atomic bool stop;

static void expect(bool holds) {
  if (!holds) {
    atomic_fetch_add(&wrong, 1);
  }
}

static void run_actors(actor *actors, size_t count, void *(*run)(void *)) {
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(pthread_create(&actors[i].thread, NULL, run, &actors[i]), 0);
  }
  for (size_t i = 0; i < count; i++) {
    pthread_join(actors[i].thread, NULL);
  }
}

/* A snapshot is used by all threads at once and closed by the last. */
static void *read_snapshot(void *context) {
  actor *self = context;
  for (int64_t i = 0; i < self->rounds; i++) {
    ddb_view view, nested;
    expect(ddb_snapshot_view(self->snapshot, self->table, &view, NULL) == DDB_OK);
    expect(ddb_snapshot_view(self->snapshot, self->table, &nested, NULL) == DDB_OK);
    expect(rows_are(&view, 1, 40));
    ddb_view_close(&view);
    expect(rows_are(&nested, 1, 40));
    ddb_view_close(&nested);
  }
  return NULL;
}

static void *keep_writing(void *context) {
  actor *self = context;
  for (int64_t i = 0; !atomic_load(&stop); i++) {
    int64_t id = 1 + (int64_t)support_below(&self->random, 40);
    expect(rows_delete(self->table, id) == DDB_OK);
    expect(rows_insert(self->table, id, i) == DDB_OK);
    expect(rows_update_all(self->table, i) == DDB_OK);
  }
  return NULL;
}

static void test_snapshot_of_many_threads(void **state) {
  (void)state;
  uint64_t seed = support_seed("snapshot of many threads");
  world w = world_new();
  assert_ok(rows_insert_many(w.table, 1, 40));
  ddb_snapshot *snapshots[THREADS];
  actor readers[THREADS];
  actor writer = {.table = w.table, .random = seed};
  for (size_t i = 0; i < THREADS; i++) {
    assert_ok(ddb_snapshot_open(w.db, &snapshots[i], NULL));
    readers[i] = (actor){.table = w.table, .snapshot = snapshots[i / 2], .rounds = scaled(4000)};
  }
  atomic_store(&stop, false);
  pthread_create(&writer.thread, NULL, keep_writing, &writer);
  run_actors(readers, THREADS, read_snapshot);
  for (size_t i = 0; i < THREADS; i++) {
    ddb_snapshot_close(snapshots[(i + 1) % THREADS]);
  }
  atomic_store(&stop, true);
  pthread_join(writer.thread, NULL);
  assert_int_equal(atomic_load(&wrong), 0);
  world_free_after_threads(&w);
}

static bool expected_here(ddb_status status) {
  return status == DDB_OK || status == DDB_ERR_DUPLICATE_TABLE ||
         status == DDB_ERR_TABLE_NOT_FOUND || status == DDB_ERR_NOMEM;
}

/* One step of a storm on a few names. */
static void storm_step(actor *self) {
  char name[] = {'s', (char)('0' + support_below(&self->random, 3))};
  ddb_table *table = NULL;
  ddb_status status;
  switch (support_below(&self->random, 5)) {
  case 0:
    status = ddb_db_table_create(self->db, (ddb_str){name, 2}, NULL, &table, NULL);
    break;
  case 1:
    status = ddb_db_table_drop(self->db, (ddb_str){name, 2}, NULL);
    break;
  case 2: {
    ddb_table **tables;
    size_t count;
    status = ddb_db_tables(self->db, &tables, &count, NULL);
    if (status == DDB_OK) {
      ddb_tables_free(tables, count);
    }
    break;
  }
  case 3: {
    ddb_snapshot *snapshot;
    status = ddb_snapshot_open(self->db, &snapshot, NULL);
    if (status == DDB_OK) {
      ddb_snapshot_close(snapshot);
    }
    break;
  }
  default:
    status = ddb_db_table_get(self->db, (ddb_str){name, 2}, &table, NULL);
  }
  expect(expected_here(status));
  if (table) {
    int64_t id = (int64_t)support_below(&self->random, 1000000);
    status = rows_insert(table, id, 10 * id);
    expect(expected_here(status) || status == DDB_ERR_DUPLICATE_KEY);
    ddb_view view;
    status = ddb_view_open(table, &view, NULL);
    expect(expected_here(status));
    if (status == DDB_OK) {
      uint64_t position = 0, count = 0;
      while (ddb_view_next(&view, &position)) {
        count++;
      }
      expect(count == ddb_view_count(&view));
      ddb_view_close(&view);
    }
    ddb_table_release(table);
  }
}

static void *storm(void *context) {
  actor *self = context;
  for (int64_t i = 0; i < self->rounds; i++) {
    if (support_below(&self->random, 4) == 0) {
      support_allocator_fail(1 + (long)support_below(&self->random, 20));
    }
    storm_step(self);
  }
  return NULL;
}

static void test_catalogue_storm(void **state) {
  (void)state;
  uint64_t seed = support_seed("catalogue storm");
  world w = world_new();
  actor actors[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    actors[i] = (actor){.db = w.db, .random = seed + 2 * i, .rounds = scaled(20000)};
  }
  run_actors(actors, THREADS, storm);
  (void)support_allocator_failed();
  assert_int_equal(atomic_load(&wrong), 0);
  world_free_after_threads(&w);
}

/* The last references to a table and to its database go at the same time, from two threads. */
static void *release_table(void *context) {
  actor *self = context;
  ddb_table_release(self->table);
  return NULL;
}

static void *drop_and_release(void *context) {
  actor *self = context;
  ddb_table *table;
  if (support_below(&self->random, 2) == 0) {
    expect(expected_here(ddb_db_table_drop(self->db, DDB_STR("t"), NULL)));
  } else if (ddb_db_table_get(self->db, DDB_STR("t"), &table, NULL) == DDB_OK) {
    ddb_table_release(table);
  }
  ddb_db_release(self->db);
  return NULL;
}

static void test_last_references(void **state) {
  (void)state;
  uint64_t seed = support_seed("last references");
  int64_t before = support_allocator_bytes();
  for (int64_t i = 0; i < scaled(8000); i++) {
    world w = world_new();
    actor holder = {.table = w.table};
    actor owner = {.db = w.db, .random = seed + 2 * (uint64_t)i};
    if (i % 2 == 0) {
      assert_ok(rows_insert_many(w.table, 1, 3));
    }
    pthread_create(&owner.thread, NULL, drop_and_release, &owner);
    pthread_create(&holder.thread, NULL, release_table, &holder);
    pthread_join(owner.thread, NULL);
    pthread_join(holder.thread, NULL);
  }
  assert_int_equal(atomic_load(&wrong), 0);
  assert_true(support_allocator_bytes() - before <= LITTLE);
}

int main(void) {
  support_allocator_install();
  world w = world_new(); /* this thread's record stays: it is made before anything is counted */
  assert_ok(rows_insert(w.table, 1, 1));
  ddb_table_release(w.table);
  ddb_db_release(w.db);
#ifdef DDB_TESTING
  ddb__test_yield_set(50, 1);
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_key_churn_under_snapshot),
      cmocka_unit_test(test_updates_under_snapshot),
      cmocka_unit_test(test_updates_under_view),
      cmocka_unit_test(test_old_bytes_return),
      cmocka_unit_test(test_a_failed_batch_leaves_nothing),
      cmocka_unit_test(test_failed_batches),
      cmocka_unit_test(test_queue),
      cmocka_unit_test(test_colliding_keys),
      cmocka_unit_test(test_key_index),
      cmocka_unit_test(test_key_index_shrinks),
      cmocka_unit_test(test_nested_views),
      cmocka_unit_test(test_snapshot_of_many_threads),
      cmocka_unit_test(test_catalogue_storm),
      cmocka_unit_test(test_last_references),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
