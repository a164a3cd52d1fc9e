/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tree.c - the B+tree against a sorted array: random statements of inserts and removals, some
 * aborted, with old versions kept, read again and reclaimed as a table does it.
 */
#include "fault_child.h"
#include "store/tree.h"

/* ---- Helpers ------------------------------------------------------------------------------ */

static uint64_t random_state;

static uint64_t random_below(uint64_t limit) {
  return support_below(&random_state, limit);
}

enum { MODEL_MAX = 6000, SNAPSHOT_MAX = 6 };
#ifdef DDB_TESTING
enum { FILL_LOSS_PERCENT = 187, LEAF_LOSS_PERCENT = 130 };
#else
enum { FILL_LOSS_PERCENT = 135, LEAF_LOSS_PERCENT = 130 };
#endif

typedef struct model {
  ddb__tree_entry entries[MODEL_MAX];
  size_t count;
} model;

static int entry_compare(ddb__tree_entry a, ddb__tree_entry b) {
  if (a.key != b.key) {
    return a.key < b.key ? -1 : 1;
  }
  return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}
static size_t model_search(const model *m, ddb__tree_entry entry) {
  size_t low = 0;
  size_t high = m->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (entry_compare(m->entries[middle], entry) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
static bool model_has(const model *m, ddb__tree_entry entry) {
  size_t at = model_search(m, entry);
  return at < m->count && entry_compare(m->entries[at], entry) == 0;
}
static bool model_insert(model *m, ddb__tree_entry entry) {
  if (model_has(m, entry)) {
    return false;
  }
  size_t at = model_search(m, entry);
  memmove(&m->entries[at + 1], &m->entries[at], (m->count - at) * sizeof entry);
  m->entries[at] = entry;
  m->count++;
  return true;
}
static bool model_remove(model *m, ddb__tree_entry entry) {
  if (!model_has(m, entry)) {
    return false;
  }
  size_t at = model_search(m, entry);
  memmove(&m->entries[at], &m->entries[at + 1], (m->count - at - 1) * sizeof entry);
  m->count--;
  return true;
}

static const char *compare_walk(const ddb__tree *tree, const model *m, size_t from) {
  ddb__tree_cursor cursor;
  ddb__tree_entry start = {0, 0};
  if (from < m->count) {
    start = m->entries[from];
  } else if (from > 0) {
    start = (ddb__tree_entry){UINT64_MAX, UINT64_MAX};
  }
  ddb__tree_place place = ddb__tree_at(start.key, start.seq);
  ddb__tree_seek(tree, &place, &cursor);
  if (ddb__tree_rank(tree, &place) != from) {
    return "the rank differs from the model";
  }
  ddb__tree_entry entry;
  for (size_t i = from; i < m->count; i++) {
    if (!ddb__tree_next(&cursor, &entry) || entry_compare(entry, m->entries[i]) != 0) {
      return "the walk differs from the model";
    }
  }
  if (ddb__tree_next(&cursor, &entry) || ddb__tree_next(&cursor, &entry)) {
    return "the walk goes on after the end";
  }
  ddb__tree_seek(tree, &place, &cursor);
  for (size_t i = from; i > 0; i--) {
    ddb__tree_entry peeked;
    if (!ddb__tree_peek_previous(&cursor, &peeked) || !ddb__tree_previous(&cursor, &entry) ||
        entry_compare(entry, peeked) != 0 || entry_compare(entry, m->entries[i - 1]) != 0) {
      return "the walk back differs from the model";
    }
  }
  if (ddb__tree_peek_previous(&cursor, &entry) || ddb__tree_previous(&cursor, &entry) ||
      ddb__tree_previous(&cursor, &entry)) {
    return "the walk back goes on after the start";
  }
  return NULL;
}

/* Does the tree find the model's `count` entries from `at` on between the places? */
static bool between_is(const ddb__tree *tree, const model *m, const ddb__tree_place *from,
                       const ddb__tree_place *to, size_t at, size_t count) {
  ddb__tree_run run = ddb__tree_between(tree, from, to);
  bool is = run.count == count && (run.first != NULL) == (count > 0) &&
            (run.beside > 0) == (count > 0) && run.beside <= count;
  for (size_t i = 0; is && i < run.beside; i++) {
    is = entry_compare(run.first[i], m->entries[at + i]) == 0;
  }
  return is;
}

/* NULL, or how the tree differs from the model. */
static const char *compare(const ddb__tree *tree, const model *m, uint64_t version) {
  const char *wrong = ddb__tree_check(tree, version, NULL, NULL);
  if (!wrong && tree->count != m->count) {
    wrong = "the count differs from the model's";
  }
  if (!wrong) {
    wrong = compare_walk(tree, m, 0);
  }
  if (!wrong && m->count > 0) {
    wrong = compare_walk(tree, m, random_below(m->count + 1));
  }
  for (int i = 0; !wrong && i < 4 && m->count > 0; i++) {
    uint64_t key = m->entries[random_below(m->count)].key + random_below(2);
    size_t at = model_search(m, (ddb__tree_entry){key, 0});
    size_t count = 0;
    while (at + count < m->count && m->entries[at + count].key == key) {
      count++;
    }
    ddb__tree_place first = ddb__tree_at(key, 0);
    ddb__tree_place last = ddb__tree_at(key, 0);
    first.side = -1;
    last.side = 1;
    if (!between_is(tree, m, &first, &last, at, count)) {
      wrong = "the entries of a key differ from the model's";
    }
    last = ddb__tree_at(m->entries[m->count - 1].key, m->entries[m->count - 1].seq);
    if (!between_is(tree, m, &first, &last, at, at < m->count ? m->count - 1 - at : 0)) {
      wrong = "the entries of a range differ from the model's";
    }
  }
  return wrong;
}

/* ---- A table's worth of versions ---------------------------------------------------------- */

typedef struct snapshot {
  ddb__tree tree;
  uint64_t version;
  model content;
} snapshot;

typedef struct world {
  ddb__heap heap;
  ddb__tree tree; /* published */
  uint64_t version;
  model content;
  ddb__retired_list queue;
  snapshot *snapshots[SNAPSHOT_MAX];
  uint64_t next_seq;
} world;

static bool pinned(const world *w, const ddb__retired *item) {
  for (size_t i = 0; i < SNAPSHOT_MAX; i++) {
    const snapshot *s = w->snapshots[i];
    if (s && item->birth <= s->version && s->version < item->retire) {
      return true;
    }
  }
  return false;
}

static void reclaim(world *w) {
  ddb__retired_list kept = {0};
  ddb__retired_chunk *chunk;
  while ((chunk = ddb__retired_list_pop(&w->queue))) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
      if (pinned(w, &chunk->items[i])) {
        chunk->items[count++] = chunk->items[i];
      } else {
        ddb__free(&w->heap, chunk->items[i].memory, chunk->items[i].extra);
      }
    }
    chunk->count = count;
    if (count > 0) {
      ddb__retired_list_append(&kept, chunk);
    } else {
      ddb__retired_chunk_free(&w->heap, chunk);
    }
  }
  w->queue = kept;
}

static const char *snapshot_drop(world *w, size_t index) {
  snapshot *s = w->snapshots[index];
  if (!s) {
    return NULL;
  }
  const char *wrong = compare(&s->tree, &s->content, s->version);
  free(s);
  w->snapshots[index] = NULL;
  return wrong;
}

static const char *snapshot_take(world *w) {
  size_t index = random_below(SNAPSHOT_MAX);
  const char *wrong = snapshot_drop(w, index);
  snapshot *s = malloc(sizeof *s);
  *s = (snapshot){.tree = w->tree, .version = w->version, .content = w->content};
  w->snapshots[index] = s;
  return wrong;
}

/* Keys that come in several patterns: few keys with ascending numbers (a hash index of a field of
 * few values), ascending keys, and any. */
static ddb__tree_entry random_entry(world *w, unsigned pattern) {
  switch (pattern) {
  case 0:
    return (ddb__tree_entry){random_below(5) * 1000, w->next_seq++};
  case 1:
    w->next_seq++;
    return (ddb__tree_entry){w->next_seq, w->next_seq};
  case 2:
    return (ddb__tree_entry){random_below(3) ? 7 : UINT64_MAX, random_below(2000)};
  default:
    return (ddb__tree_entry){random_below(300), random_below(4)};
  }
}

static const char *change_once(world *w, ddb__edit *edit, ddb__tree *tree, model *m,
                               unsigned pattern, unsigned remove_percent) {
  bool changed = false;
  bool expected;
  ddb_status status;
  if (random_below(100) < remove_percent || m->count >= MODEL_MAX - 1) {
    ddb__tree_entry entry =
        m->count > 0 && random_below(10) ? m->entries[random_below(m->count)] : random_entry(w, 3);
    expected = model_remove(m, entry);
    ddb__tree_place place = ddb__tree_at(entry.key, entry.seq);
    status = ddb__tree_remove(tree, edit, &place, &changed, NULL);
  } else {
    ddb__tree_entry entry = random_entry(w, pattern);
    expected = model_insert(m, entry);
    ddb__tree_place place = ddb__tree_at(entry.key, entry.seq);
    status = ddb__tree_insert(tree, edit, &place, &changed, NULL);
  }
  if (status) {
    return "a change failed";
  }
  return changed == expected ? NULL : "changed differs from the model";
}

/* One statement: a few changes, then published or aborted. */
static const char *statement(world *w, unsigned pattern, unsigned remove_percent) {
  static model next;
  next = w->content;
  ddb__tree tree = w->tree;
  ddb__edit edit;
  ddb__edit_init(&edit, &w->heap, w->version + 1);
  const char *wrong = NULL;
  for (uint64_t i = random_below(8) + 1; i > 0 && !wrong; i--) {
    wrong = change_once(w, &edit, &tree, &next, pattern, remove_percent);
  }
  if (!wrong) {
    wrong = compare(&tree, &next, edit.version);
  }
  if (wrong || random_below(4) == 0) {
    ddb__tree_free_born(&tree, &w->heap, edit.version);
  } else {
    w->tree = tree;
    w->content = next;
    w->version++;
    ddb__edit_flush(&edit, w->version, &w->queue);
  }
  ddb__edit_fini(&edit);
  return wrong;
}

static void world_free(world *w) {
  for (size_t i = 0; i < SNAPSHOT_MAX; i++) {
    free(w->snapshots[i]);
    w->snapshots[i] = NULL;
  }
  reclaim(w);
  ddb__tree_free(&w->tree, &w->heap);
}

/* NULL, or the first thing that went wrong. */
static const char *run_model(uint64_t seed, unsigned steps) {
  random_state = seed;
  int64_t before = support_allocator_bytes();
  static world one;
  world *w = &one;
  const char *wrong = NULL;
  unsigned pattern = 0;
  unsigned remove_percent = 20;
  for (unsigned i = 0; i < steps && !wrong; i++) {
    if (random_below(150) == 0) {
      pattern = (unsigned)random_below(4);
      remove_percent = random_below(3) ? (unsigned)random_below(50) : 90;
    }
    wrong = statement(w, pattern, remove_percent);
    if (!wrong && random_below(6) == 0) {
      wrong = snapshot_take(w);
    }
    if (!wrong && random_below(3) == 0) {
      wrong = snapshot_drop(w, random_below(SNAPSHOT_MAX));
      reclaim(w);
    }
  }
  if (wrong) { /* what it left may not be whole enough to be freed */
    return wrong;
  }
  world_free(w);
  bool clean = ddb__heap_bytes(&w->heap) == 0 && support_allocator_bytes() == before;
  memset(w, 0, sizeof *w);
  return clean ? NULL : "memory was leaked";
}

static void model_holds(void **state) {
  (void)state;
  uint64_t seed = random_state;
  for (uint64_t i = 0; i < 6; i++) {
    const char *wrong = run_model(seed + 2 * i, 3000);
    if (wrong) {
      fail_msg("seed %llu: %s", (unsigned long long)(seed + 2 * i), wrong);
    }
  }
}

/* ---- Every allocation fails once ---------------------------------------------------------- */

static void build_model(model *m, ddb__tree *tree, ddb__edit *edit, size_t count) {
  m->count = 0;
  for (size_t i = 0; i < count; i++) {
    m->entries[m->count++] = (ddb__tree_entry){i / 3 * 10, i % 3 * 10};
  }
  assert_ok(ddb__tree_build(tree, edit, m->entries, m->count, NULL));
}

/* Makes the change with the n-th allocation failing, for every n, on a tree of an older version.
 * Returns the number of failures seen. */
static unsigned fail_each(ddb__heap *heap, const ddb__tree *base, const model *m,
                          ddb__tree_entry entry, bool insert) {
  for (unsigned n = 1;; n++) {
    ddb__edit edit;
    ddb__edit_init(&edit, heap, 2);
    ddb__tree tree = *base;
    bool changed;
    ddb_error error;
    ddb__tree_place place = ddb__tree_at(entry.key, entry.seq);
    support_allocator_fail((long)n);
    ddb_status status = insert ? ddb__tree_insert(&tree, &edit, &place, &changed, &error)
                               : ddb__tree_remove(&tree, &edit, &place, &changed, &error);
    bool failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    if (failed) {
      assert_int_equal(error.status, DDB_ERR_NOMEM);
      const char *wrong = compare(&tree, m, 2);
      if (wrong) {
        fail_msg("%s of %zu, allocation %u: %s", insert ? "insert" : "remove", m->count, n, wrong);
      }
    } else {
      assert_true(changed);
      assert_null(ddb__tree_check(&tree, 2, NULL, NULL));
    }
    ddb__tree_free_born(&tree, heap, 2);
    ddb__edit_fini(&edit);
    assert_null(compare(base, m, 1));
    if (!failed) {
      return n - 1;
    }
  }
}

static void allocations_fail(void **state) {
  (void)state;
  static model m;
  ddb__heap heap = {0};
  unsigned failures = 0;
  for (size_t count = 0; count < 400; count += 1 + count / 7) {
    ddb__edit edit;
    ddb__edit_init(&edit, &heap, 1);
    ddb__tree tree;
    build_model(&m, &tree, &edit, count);
    uint64_t before = ddb__heap_bytes(&heap);
    for (int i = 0; i < 5; i++) {
      ddb__tree_entry entry = {i == 0 ? UINT64_MAX : random_below(1500), 7};
      failures += fail_each(&heap, &tree, &m, entry, true);
      if (count > 0) {
        failures += fail_each(&heap, &tree, &m, m.entries[random_below(count)], false);
      }
      assert_int_equal(ddb__heap_bytes(&heap), before);
    }
    ddb__tree_free(&tree, &heap);
    ddb__edit_fini(&edit);
  }
  assert_true(failures > 100);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void build_fails(void **state) {
  (void)state;
  static model m;
  ddb__heap heap = {0};
  m.count = 0;
  for (uint64_t i = 0; i < 500; i++) {
    m.entries[m.count++] = (ddb__tree_entry){i, i};
  }
  for (unsigned n = 1;; n++) {
    ddb__edit edit;
    ddb__edit_init(&edit, &heap, 1);
    ddb__tree tree;
    support_allocator_fail((long)n);
    ddb_status status = ddb__tree_build(&tree, &edit, m.entries, m.count, NULL);
    bool failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    if (failed) {
      assert_null(tree.root);
    }
    ddb__tree_free(&tree, &heap);
    ddb__edit_fini(&edit);
    assert_int_equal(ddb__heap_bytes(&heap), 0);
    if (!failed) {
      assert_true(n > 8);
      return;
    }
  }
}

/* ---- Build, retire, fill ------------------------------------------------------------------ */

static void build_any_size(void **state) {
  (void)state;
  static model m;
  ddb__heap heap = {0};
  for (size_t count = 0; count < MODEL_MAX; count += 1 + count / 5) {
    ddb__edit edit;
    ddb__edit_init(&edit, &heap, 3);
    ddb__tree tree;
    build_model(&m, &tree, &edit, count);
    assert_null(compare(&tree, &m, 3));
    ddb__tree_free(&tree, &heap);
    ddb__edit_fini(&edit);
    assert_int_equal(ddb__heap_bytes(&heap), 0);
  }
}

static void retire_all(void **state) {
  (void)state;
  static world w;
  memset(&w, 0, sizeof w);
  ddb__edit edit;
  ddb__edit_init(&edit, &w.heap, 1);
  build_model(&w.content, &w.tree, &edit, 1000);
  ddb__edit_fini(&edit);
  w.version = 1;
  assert_null(snapshot_take(&w));
  ddb__edit_init(&edit, &w.heap, 2);
  ddb__tree tree = w.tree;
  bool changed;
  ddb__tree_place place = ddb__tree_at(5, 5);
  assert_ok(ddb__tree_insert(&tree, &edit, &place, &changed, NULL));
  assert_ok(ddb__tree_retire(&tree, &edit, NULL));
  assert_null(tree.root);
  ddb__edit_flush(&edit, 2, &w.queue);
  ddb__edit_fini(&edit);
  w.tree = tree;
  w.version = 2;
  reclaim(&w);
  for (size_t i = 0; i < SNAPSHOT_MAX; i++) {
    assert_null(snapshot_drop(&w, i));
  }
  world_free(&w);
  assert_int_equal(ddb__heap_bytes(&w.heap), 0);
}

static size_t count_leaves(const ddb__tree *tree) {
  ddb__tree_place start = ddb__tree_at(0, 0);
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  const struct ddb__tree_node *last = NULL;
  size_t count = 0;
  ddb__tree_seek(tree, &start, &cursor);
  while (ddb__tree_next(&cursor, &entry)) {
    count += cursor.nodes[cursor.height - 1] != last;
    last = cursor.nodes[cursor.height - 1];
  }
  return count;
}

/* Appending fills the leaves: under one key, under few keys, and under ascending keys. */
static void appends_fill(void **state) {
  (void)state;
  static const uint64_t key_counts[] = {1, 7, 50, 20000};
  for (size_t k = 0; k < sizeof key_counts / sizeof key_counts[0]; k++) {
    uint64_t keys = key_counts[k];
    ddb__heap heap = {0};
    ddb__edit edit;
    ddb__edit_init(&edit, &heap, 1);
    ddb__tree tree = {0};
    bool changed;
    for (uint64_t i = 0; i < 20000; i++) {
      ddb__tree_place place = ddb__tree_at(i % keys, i);
      assert_ok(ddb__tree_insert(&tree, &edit, &place, &changed, NULL));
    }
    assert_null(ddb__tree_check(&tree, 1, NULL, NULL));
    size_t leaves = count_leaves(&tree);
    uint64_t appended = ddb__heap_bytes(&heap);
    ddb__edit_fini(&edit);
    static ddb__tree_entry entries[20000];
    ddb__tree_cursor cursor;
    ddb__tree_place start = ddb__tree_at(0, 0);
    ddb__tree_seek(&tree, &start, &cursor);
    for (size_t i = 0; i < 20000; i++) {
      assert_true(ddb__tree_next(&cursor, &entries[i]));
    }
    ddb__tree_free(&tree, &heap);
    ddb__edit_init(&edit, &heap, 1);
    assert_ok(ddb__tree_build(&tree, &edit, entries, 20000, NULL));
    assert_true(leaves * 100 < count_leaves(&tree) * LEAF_LOSS_PERCENT);
    /* Branches of four halve; those of 64 hardly matter. */
    assert_true(appended < ddb__heap_bytes(&heap) * FILL_LOSS_PERCENT / 100);
    ddb__tree_free(&tree, &heap);
    ddb__edit_fini(&edit);
    assert_int_equal(ddb__heap_bytes(&heap), 0);
  }
}

#ifdef DDB_TESTING
static bool one_model_holds(void) {
  return run_model(1, 2000) == NULL;
}

static void faults_are_found(void **state) {
  (void)state;
  static const ddb__fault faults[] = {DDB__FAULT_TREE_SPLIT_LOSES, DDB__FAULT_TREE_STALE_FIRST};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    if (holds_in_child(one_model_holds, faults[i], 60)) {
      fail_msg("%s was not found", fault_name(faults[i]));
    }
  }
}
#endif

int main(void) {
  support_allocator_install();
  random_state = support_seed("test_tree");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(model_holds),      cmocka_unit_test(allocations_fail),
      cmocka_unit_test(build_fails),      cmocka_unit_test(build_any_size),
      cmocka_unit_test(retire_all),       cmocka_unit_test(appends_fill),
#ifdef DDB_TESTING
      cmocka_unit_test(faults_are_found),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
