/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_model.c - random statements against a plain twin: rows in an array, in insertion order.
 *
 * After each statement the newest version is compared with the twin; snapshots are kept with a copy
 * of the twin and compared again later. Then the same statements with every allocation failing once:
 * the failed statement must leave the table as it was, and all memory must come back.
 */
#include "store/table.h"
#include "support.h"

enum { KEYS = 60, ROWS_MAX = 4096, SNAPSHOTS = 6 };

typedef struct twin_row {
  int64_t key, a, b;
} twin_row;

typedef struct twin {
  twin_row rows[ROWS_MAX];
  size_t count;
  int64_t next_key;
} twin;

typedef struct kept_snapshot {
  ddb_snapshot *snapshot;
  twin copy;
} kept_snapshot;

typedef struct world {
  ddb_db *db;
  ddb_table *table;
  twin now;
  kept_snapshot kept[SNAPSHOTS];
  bool indexed;
  const twin *visible; /* what snapshots see: not `now` under an explicit write lock */
  uint64_t random;
} world;

static twin_row *twin_find(twin *t, int64_t key) {
  for (size_t i = 0; i < t->count; i++) {
    if (t->rows[i].key == key) {
      return &t->rows[i];
    }
  }
  return NULL;
}

static void twin_append(twin *t, twin_row row) {
  assert_true(t->count < ROWS_MAX);
  t->rows[t->count++] = row;
  if (row.key >= t->next_key) {
    t->next_key = row.key + 1;
  }
}

static void twin_remove_if(twin *t, bool (*matches)(const twin_row *, int64_t), int64_t with) {
  size_t kept = 0;
  for (size_t i = 0; i < t->count; i++) {
    if (!matches(&t->rows[i], with)) {
      t->rows[kept++] = t->rows[i];
    }
  }
  t->count = kept;
}

static bool a_equals(const twin_row *row, int64_t a) {
  return row->a == a;
}

static bool key_equals(const twin_row *row, int64_t key) {
  return row->key == key;
}

/* Text whose length depends on b: records change size. */
static ddb_value padding_of(int64_t b) {
  static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
  return ddb_text((ddb_str){text, (size_t)(b % 50)});
}

static void check_view(const ddb_view *view, twin *t) {
  assert_int_equal(ddb_view_count(view), t->count);
  uint64_t position = 0;
  for (size_t i = 0; i < t->count; i++) {
    const ddb_record *record = ddb_view_next(view, &position);
    assert_non_null(record);
    assert_int_equal(ddb_record_get(record, DDB_STR("id")).as.integer, t->rows[i].key);
    assert_int_equal(ddb_record_get(record, DDB_STR("a")).as.integer, t->rows[i].a);
    assert_int_equal(ddb_record_get(record, DDB_STR("b")).as.integer, t->rows[i].b);
    ddb_value padding = ddb_record_get(record, DDB_STR("text"));
    ddb_value expected = padding_of(t->rows[i].b);
    assert_true(ddb_value_equal(&padding, &expected));
  }
  assert_null(ddb_view_next(view, &position));
  for (int64_t key = -1; key < KEYS + 2; key++) {
    ddb_value wanted = key % 2 ? ddb_int(key) : ddb_float((double)key);
    const ddb_record *record;
    assert_ok(ddb_view_get(view, &wanted, &record, NULL));
    assert_int_equal(record != NULL, twin_find(t, key) != NULL);
  }
}

static void check_inside(const ddb_view *view) {
  const ddb__root *root = ddb__view_root(view);
  uint64_t count;
  const char *wrong = ddb__rows_check(&root->rows, root->version, &count);
  assert_string_equal(wrong ? wrong : "", "");
  assert_int_equal(count, root->count);
  for (uint32_t i = 0; i < root->index_count; i++) {
    wrong = ddb__index_check(root, &root->indexes[i]);
    assert_string_equal(wrong ? wrong : "", "");
    assert_int_equal(root->indexes[i].tree.count, root->count);
  }
}

static void check_now(world *w) {
  ddb_view view;
  assert_ok(ddb_view_open(w->table, &view, NULL));
  check_view(&view, &w->now);
  check_inside(&view);
  assert_int_equal(ddb_view_next_key(&view), w->now.next_key);
  /* A count through the plan, index or not. */
  ddb_cond *cond;
  ddb_value three = ddb_int(3);
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &three, &cond, NULL));
  uint64_t count, expected = 0;
  assert_ok(ddb_view_count_where(&view, cond, &count, NULL));
  for (size_t i = 0; i < w->now.count; i++) {
    expected += w->now.rows[i].a == 3;
  }
  assert_int_equal(count, expected);
  ddb_cond_release(cond);
  ddb_view_close(&view);
}

/* ---- Statements: each applies itself to the twin only when it succeeded -------------------- */

static ddb_status insert_rows(world *w, const twin_row *rows, size_t count, bool automatic) {
  const ddb_str names[] = {DDB_STR("a"), DDB_STR("b"), DDB_STR("text"), DDB_STR("id")};
  const ddb_shape *shape;
  ddb_builder *batch = NULL;
  ddb_status status = ddb_builder_new(&batch, NULL);
  if (status == DDB_OK) {
    status = ddb_table_shape(w->table, DDB_SHAPE_RECORD, names, automatic ? 3 : 4, &shape, NULL);
  }
  for (size_t i = 0; i < count && status == DDB_OK; i++) {
    const ddb_value values[] = {ddb_int(rows[i].a), ddb_int(rows[i].b), padding_of(rows[i].b),
                                ddb_int(rows[i].key)};
    status = ddb_builder_record_begin(batch, shape, true, NULL);
    for (size_t j = 0; j < (automatic ? 3u : 4u) && status == DDB_OK; j++) {
      status = ddb_builder_append(batch, &values[j], NULL);
    }
    if (status == DDB_OK) {
      status = ddb_builder_end(batch, NULL);
    }
  }
  if (status == DDB_OK) {
    status = ddb_table_insert(w->table, batch, NULL, NULL);
  }
  ddb_builder_free(batch);
  return status;
}

static ddb_status step_insert(world *w, uint64_t *random) {
  twin_row rows[8];
  size_t count = 1 + support_below(random, 8);
  bool automatic = support_below(random, 4) == 0 && w->now.next_key < KEYS;
  bool duplicate = false;
  for (size_t i = 0; i < count; i++) {
    rows[i].key = automatic ? w->now.next_key + (int64_t)i : (int64_t)support_below(random, KEYS);
    rows[i].a = (int64_t)support_below(random, 5);
    rows[i].b = (int64_t)support_below(random, 1000);
    duplicate |= twin_find(&w->now, rows[i].key) != NULL;
    for (size_t j = 0; j < i; j++) {
      duplicate |= rows[j].key == rows[i].key;
    }
  }
  ddb_status status = insert_rows(w, rows, count, automatic);
  if (status == DDB_OK) {
    assert_false(duplicate);
    for (size_t i = 0; i < count; i++) {
      twin_append(&w->now, rows[i]);
    }
  } else if (status != DDB_ERR_NOMEM) {
    assert_int_equal(status, DDB_ERR_DUPLICATE_KEY);
    assert_true(duplicate);
    status = DDB_OK;
  }
  return status;
}

static ddb_status condition(world *w, uint64_t *random, bool by_key, int64_t *with,
                            ddb_cond **out) {
  (void)w;
  *with = (int64_t)support_below(random, by_key ? KEYS : 5);
  ddb_value value = ddb_int(*with);
  return ddb_cond_compare(by_key ? DDB_STR("id") : DDB_STR("a"), DDB_OP_EQ, &value, out, NULL);
}

static ddb_status step_update(world *w, uint64_t *random) {
  bool by_key = support_below(random, 3) != 0;
  int64_t with, b = (int64_t)support_below(random, 1000), a = (int64_t)support_below(random, 5);
  const ddb_str names[] = {DDB_STR("b"), DDB_STR("text"), DDB_STR("a")};
  const ddb_value values[] = {ddb_int(b), padding_of(b), ddb_int(a)};
  ddb_cond *cond = NULL;
  ddb_builder *changes = NULL;
  const ddb_shape *shape;
  uint64_t count = 0;
  ddb_status status = condition(w, random, by_key, &with, &cond);
  if (status == DDB_OK) {
    status = ddb_builder_new(&changes, NULL);
  }
  if (status == DDB_OK) {
    status = ddb_table_shape(w->table, DDB_SHAPE_CHANGES, names, 3, &shape, NULL);
  }
  if (status == DDB_OK) {
    status = ddb_builder_record_begin(changes, shape, true, NULL);
  }
  for (size_t i = 0; i < 3 && status == DDB_OK; i++) {
    status = ddb_builder_append(changes, &values[i], NULL);
  }
  if (status == DDB_OK) {
    status = ddb_builder_end(changes, NULL);
  }
  if (status == DDB_OK) {
    status = ddb_table_update(w->table, changes, cond, &count, NULL);
  }
  ddb_builder_free(changes);
  ddb_cond_release(cond);
  if (status == DDB_OK) {
    uint64_t expected = 0;
    for (size_t i = 0; i < w->now.count; i++) {
      twin_row *row = &w->now.rows[i];
      if (by_key ? row->key == with : row->a == with) {
        row->a = a;
        row->b = b;
        expected++;
      }
    }
    assert_int_equal(count, expected);
  }
  return status;
}

static ddb_status step_delete(world *w, uint64_t *random) {
  bool by_key = support_below(random, 6) != 0;
  int64_t with;
  ddb_cond *cond = NULL;
  uint64_t count = 0;
  ddb_status status = condition(w, random, by_key, &with, &cond);
  if (status == DDB_OK) {
    status = ddb_table_delete(w->table, cond, &count, NULL);
  }
  ddb_cond_release(cond);
  if (status == DDB_OK) {
    size_t before = w->now.count;
    twin_remove_if(&w->now, by_key ? key_equals : a_equals, with);
    assert_int_equal(count, before - w->now.count);
  }
  return status;
}

static ddb_status step_upsert(world *w, uint64_t *random) {
  twin_row rows[3];
  const ddb_str names[] = {DDB_STR("id"), DDB_STR("a"), DDB_STR("b"), DDB_STR("text")};
  const ddb_shape *shape;
  ddb_builder *batch = NULL;
  ddb_status status = ddb_builder_new(&batch, NULL);
  if (status == DDB_OK) {
    status = ddb_table_shape(w->table, DDB_SHAPE_RECORD, names, 4, &shape, NULL);
  }
  for (size_t i = 0; i < 3 && status == DDB_OK; i++) {
    /* few keys: the same one twice in a batch */
    rows[i] = (twin_row){(int64_t)support_below(random, 5), (int64_t)support_below(random, 5),
                         (int64_t)support_below(random, 1000)};
    const ddb_value values[] = {ddb_int(rows[i].key), ddb_int(rows[i].a), ddb_int(rows[i].b),
                                padding_of(rows[i].b)};
    status = ddb_builder_record_begin(batch, shape, true, NULL);
    for (size_t j = 0; j < 4 && status == DDB_OK; j++) {
      status = ddb_builder_append(batch, &values[j], NULL);
    }
    if (status == DDB_OK) {
      status = ddb_builder_end(batch, NULL);
    }
  }
  if (status == DDB_OK) {
    status = ddb_table_upsert(w->table, batch, DDB_CONFLICT_UPDATE, NULL, NULL, NULL);
  }
  ddb_builder_free(batch);
  for (size_t i = 0; i < 3 && status == DDB_OK; i++) {
    twin_row *there = twin_find(&w->now, rows[i].key);
    if (there) {
      *there = rows[i];
    } else {
      twin_append(&w->now, rows[i]);
    }
  }
  return status;
}

static ddb_status step_index(world *w, uint64_t *random) {
  (void)random;
  ddb_status status = w->indexed
                          ? ddb_table_index_drop(w->table, &DDB_STR("a"), 1, NULL, NULL)
                          : ddb_table_index_create(w->table, DDB_STR("a"), DDB_INDEX_HASH, NULL);
  if (status == DDB_OK) {
    w->indexed = !w->indexed;
  }
  return status;
}

static ddb_status step_snapshot(world *w, uint64_t *random) {
  kept_snapshot *kept = &w->kept[support_below(random, SNAPSHOTS)];
  if (kept->snapshot) {
    ddb_view view;
    ddb_status status = ddb_snapshot_view(kept->snapshot, w->table, &view, NULL);
    if (status != DDB_OK) {
      return status;
    }
    check_view(&view, &kept->copy);
    check_inside(&view);
    ddb_view_close(&view);
    ddb_snapshot_close(kept->snapshot);
    kept->snapshot = NULL;
    return DDB_OK;
  }
  ddb_status status = ddb_snapshot_open(w->db, &kept->snapshot, NULL);
  if (status == DDB_OK) {
    kept->copy = *w->visible;
  }
  return status;
}

typedef ddb_status (*step)(world *w, uint64_t *random);
static const step steps[] = {step_insert, step_insert, step_insert, step_update,   step_update,
                             step_update, step_delete, step_upsert, step_snapshot, step_index};

static step choose(uint64_t *random) {
  uint64_t which = support_below(random, 200);
  return which == 0 ? step_index : steps[which % 9];
}

/* Several statements under one explicit write lock: snapshots must not see them yet. */
static ddb_status step_exclusive(world *w, uint64_t *random) {
  ddb_rwlock *lock = ddb_table_lock(w->table);
  ddb_snapshot *before = NULL;
  twin old = w->now;
  ddb_status status = ddb_rwlock_acquire_write(lock, DDB_WAIT_FOREVER, NULL);
  if (status != DDB_OK) {
    return status;
  }
  w->visible = &old;
  for (int i = 0; i < 3 && status == DDB_OK; i++) {
    status = choose(random)(w, random);
  }
  if (status == DDB_OK) {
    status = ddb_snapshot_open(w->db, &before, NULL);
  }
  for (int i = 0; i < 3 && status == DDB_OK; i++) {
    status = steps[support_below(random, 7)](w, random);
  }
  assert_ok(ddb_rwlock_release_write(lock, NULL));
  w->visible = &w->now;
  ddb_view view;
  if (before && status == DDB_OK) {
    status = ddb_snapshot_view(before, w->table, &view, NULL);
    if (status == DDB_OK) {
      check_view(&view, &old);
      ddb_view_close(&view);
    }
  }
  ddb_snapshot_close(before);
  return status;
}

static void world_open(world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->random = seed;
  w->now.next_key = 1;
  w->visible = &w->now;
  assert_ok(ddb_db_new(&w->db, NULL));
  assert_ok(ddb_db_table_create(w->db, DDB_STR("things"), NULL, &w->table, NULL));
}

static void world_close(world *w) {
  for (size_t i = 0; i < SNAPSHOTS; i++) {
    ddb_snapshot_close(w->kept[i].snapshot);
  }
  ddb_table_release(w->table);
  ddb_db_release(w->db);
}

static void test_model(void **state) {
  (void)state;
  static world w;
  uint64_t seed = support_seed("store model");
  int64_t before = support_allocator_bytes();
  size_t step_count = (size_t)support_number("DICTDB_STEPS", 60000);
  world_open(&w, seed);
  for (size_t i = 0; i < step_count; i++) {
    step next = support_below(&w.random, 25) == 0 ? step_exclusive : choose(&w.random);
    assert_ok(next(&w, &w.random));
    check_now(&w);
    if (w.now.count > 40 || w.now.next_key >= KEYS) { /* start over with a fresh table */
      world_close(&w);
      world_open(&w, w.random);
    }
  }
  world_close(&w);
  assert_int_equal(support_allocator_bytes(), before);
}

/* Each statement, with its first, second, ... allocation failing until it succeeds. */
static void test_allocation_failures(void **state) {
  (void)state;
  static world w;
  uint64_t seed = support_seed("allocation failures");
  int64_t before = support_allocator_bytes();
  size_t step_count = (size_t)support_number("DICTDB_STEPS", 60000) / 20;
  uint64_t failures = 0;
  world_open(&w, seed);
  for (size_t i = 0; i < step_count; i++) {
    step next = choose(&w.random);
    for (long n = 1;; n++) {
      uint64_t random = w.random; /* the same statement again */
      support_allocator_fail(n);
      ddb_status status = next(&w, &random);
      bool failed = support_allocator_failed();
      if (status == DDB_OK) { /* some allocations may fail without harm */
        w.random = random;
        break;
      }
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_true(failed);
      failures++;
      check_now(&w);
    }
    check_now(&w);
    if (w.now.count > 40 || w.now.next_key >= KEYS) {
      world_close(&w);
      world_open(&w, w.random);
    }
  }
  world_close(&w);
  assert_int_equal(support_allocator_bytes(), before);
  assert_true(failures > step_count);
}

static void test_memory_is_counted(void **state) {
  (void)state;
  static world w;
  world_open(&w, support_seed("memory"));
  for (int i = 0; i < 500; i++) {
    assert_ok(choose(&w.random)(&w, &w.random));
    assert_int_equal((int64_t)ddb_process_memory(), support_allocator_bytes());
    if (w.now.count > 40 || w.now.next_key >= KEYS) {
      break;
    }
  }
  ddb_memory memory;
  ddb_db_memory(w.db, &memory);
  assert_true(memory.total_bytes <= ddb_process_memory());
  assert_true(memory.old_bytes <= memory.total_bytes);
  world_close(&w);
}

int main(void) {
  support_allocator_install();
  /* The thread's own record stays for the life of the process: make it before anything is counted. */
  ddb_db *db;
  ddb_table *table;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  ddb_view_close(&view);
  ddb_table_release(table);
  ddb_db_release(db);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_memory_is_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
