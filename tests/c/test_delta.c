/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_delta.c - deltas: a base and what changed since are the database at that moment, over random
 * histories; whatever is done to a file is found; planted faults of the difference are found too.
 */
#include <errno.h>
#include <unistd.h>

#include "log_support.h"
#include "rows.h"
#include "storage_support.h"

#include "io/native.h"
#include "io/syscalls.h"

#ifdef DDB_TESTING
#include "fault_scenario.h"
#endif

enum {
  CHAIN_MAX = 10,
  ROUNDS = SUPPORT_SANITIZED ? 20 : 60,
  FORGED = SUPPORT_SANITIZED ? 2000 : 6000
};

/* ---- Chains ------------------------------------------------------------------------------- */

typedef struct chain {
  char names[CHAIN_MAX][200];
  const char *paths[CHAIN_MAX];
  uint64_t digests[CHAIN_MAX];
  size_t count;
  ddb_snapshot *last;
} chain;

static void chain_begin(chain *c, ddb_db *db, bool json) {
  *c = (chain){.count = 1};
  for (size_t i = 0; i < CHAIN_MAX; i++) {
    (void)snprintf(c->names[i], sizeof c->names[i], "%s/chain-%zu", log_folder, i);
    c->paths[i] = c->names[i];
  }
  assert_ok(ddb_snapshot_open(db, &c->last, NULL));
  assert_ok(json ? ddb_snapshot_save_json(c->last, c->paths[0], NULL, NULL, NULL)
                 : ddb_snapshot_save(c->last, c->paths[0], NULL, NULL));
  c->digests[0] = log_digest(db);
}

static void chain_add(chain *c, ddb_db *db, int compression) {
  ddb_snapshot *snapshot;
  ddb_error err;
  const ddb_save_options options = {.compression = compression};
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  if (ddb_snapshot_save_delta(snapshot, c->last, c->paths[c->count - 1], c->paths[c->count],
                              &options, &err) != DDB_OK) {
    fail_msg("%s", err.message);
  }
  ddb_snapshot_close(c->last);
  c->last = snapshot;
  c->digests[c->count++] = log_digest(db);
}

static void chain_end(chain *c) {
  ddb_snapshot_close(c->last);
  for (size_t i = 0; i < CHAIN_MAX; i++) {
    (void)unlink(c->names[i]);
  }
}

static ddb_status chain_load(const chain *c, size_t count, ddb_db **db, ddb_error *err) {
  return ddb_db_load_chain(c->paths, count, NULL, NULL, db, NULL, err);
}

/* ---- Histories ---------------------------------------------------------------------------- */

/* Every state on the way comes back. False: one did not, or would not load. */
static bool history_holds(ddb_db *db, uint64_t *seed, bool json) {
  chain c;
  bool held = true;
  chain_begin(&c, db, json);
  while (c.count < CHAIN_MAX) {
    for (uint64_t n = support_below(seed, 12); n > 0; n--) {
      (void)log_do(db, seed);
    }
    chain_add(&c, db, support_below(seed, 3) ? 0 : 1);
  }
  for (size_t count = 1; count <= c.count; count++) {
    ddb_db *back;
    ddb_error err;
    if (chain_load(&c, count, &back, &err) != DDB_OK) {
      print_message("  %zu files: %s\n", count, err.message);
      held = false;
      continue;
    }
    held = held && log_digest(back) == c.digests[count - 1];
    if (held && count == c.count) {
      storage_assert_same(db, back);
    }
    ddb_db_release(back);
  }
  chain_end(&c);
  return held;
}

static bool histories_hold(uint64_t seed, uint64_t rounds) {
  bool held = true;
  for (uint64_t round = 0; round < rounds && held; round++) {
    char path[200];
    (void)snprintf(path, sizeof path, "%s/db", log_folder);
    ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
    for (uint64_t n = support_below(&seed, 60); n > 0; n--) {
      (void)log_do(db, &seed);
    }
    held = history_holds(db, &seed, round % 3 == 2);
    assert_ok(ddb_db_close(db, NULL));
    ddb_db_release(db);
    log_remove(path);
  }
  return held;
}

static void test_histories(void **state) {
  (void)state;
  assert_true(
      histories_hold(support_seed("histories"), support_number("DICTDB_DELTA_ROUNDS", ROUNDS)));
}

#ifdef DDB_TESTING
static bool run_histories(void) {
  return histories_hold(1, 40);
}

static const fault_case faults[] = {
    {DDB__FAULT_DELTA_SKIPS_NODE, run_histories, 120},
    {DDB__FAULT_DELTA_FORGETS_DROP, run_histories, 120},
    {DDB__FAULT_LOG_COUNTER_LOST, run_histories, 120}, /* test_log_crash.c finds it too */
};
enum { FAULT_COUNT = sizeof faults / sizeof faults[0] };
_Static_assert(FAULT_COUNT == FAULTS_OF_DELTAS + 1, "a fault has no scenario");

static void test_planted_faults(void **state) {
  (void)state;
  find_all(faults, FAULT_COUNT);
}
#endif

/* ---- Single cases ------------------------------------------------------------------------- */

static ddb_db *filled(void) {
  ddb_db *db = storage_sample();
  ddb_table *table = storage_table(db, "t", NULL);
  assert_ok(rows_insert_many(table, 1, 20));
  assert_ok(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("twin"), DDB_INDEX_SORTED, NULL));
  ddb_table_release(table);
  return db;
}

static ddb_table *get(ddb_db *db, const char *name) {
  ddb_table *table;
  assert_ok(ddb_db_table_get(db, ddb_str_from(name), &table, NULL));
  return table;
}

/* A bit of everything that a delta can say. */
static void change_all(ddb_db *db) {
  ddb_table *table = get(db, "t");
  ddb_str a = DDB_STR("a");
  assert_ok(rows_update(table, 3, 5));
  assert_ok(rows_delete(table, 4));
  assert_ok(rows_delete(table, 20));
  assert_ok(rows_insert(table, 4, 7));
  assert_ok(ddb_table_index_drop(table, &a, 1, NULL, NULL));
  assert_ok(ddb_table_index_create(table, a, DDB_INDEX_HASH, NULL));
  ddb_table_release(table);
  assert_ok(ddb_db_table_drop(db, DDB_STR("values"), NULL));
  table = storage_table(db, "values", NULL);
  assert_ok(rows_insert_many(table, 1, 3));
  assert_ok(rows_delete_all(table));
  ddb_table_release(table);
  const ddb_schema_field fields[] = {{DDB_STR("id"), DDB_TYPE_INT, NULL},
                                     {DDB_STR("n"), DDB_TYPE_INT, NULL}};
  table = storage_table(db, "new", &(ddb_table_options){.schema = fields, .schema_count = 2});
  INSERT(table, FIELD("n", ddb_int(1)));
  ddb_table_release(table);
}

static void make_chain(chain *c, ddb_db *db, bool json, int compression) {
  chain_begin(c, db, json);
  change_all(db);
  chain_add(c, db, compression);
  ddb_table *table = get(db, "new");
  INSERT(table, FIELD("n", ddb_int(2)));
  ddb_table_release(table);
  chain_add(c, db, compression);
}

static void test_everything_in_a_delta(void **state) {
  (void)state;
  for (int json = 0; json < 2; json++) {
    ddb_db *db = filled();
    ddb_db *back;
    chain c;
    make_chain(&c, db, json, json);
    assert_ok(chain_load(&c, 3, &back, NULL));
    storage_assert_same(db, back);
    ddb_db_release(back);
    chain_add(&c, db, 0); /* nothing changed */
    assert_ok(chain_load(&c, 4, &back, NULL));
    storage_assert_same(db, back);
    ddb_db_release(back);
    chain_end(&c);
    ddb_db_release(db);
  }
}

/* What is in an explicit write lock is not there yet, and nobody waits. */
static void test_a_write_lock_is_not_waited_for(void **state) {
  (void)state;
  ddb_db *db = filled();
  ddb_db *back;
  ddb_table *table = get(db, "t");
  chain c;
  chain_begin(&c, db, false);
  assert_ok(rows_update(table, 1, 100));
  uint64_t before = log_digest(db);
  assert_ok(ddb_tables_write_lock(&table, 1, DDB_WAIT_FOREVER, NULL));
  assert_ok(rows_update(table, 1, 200));
  chain_add(&c, db, 0);
  assert_ok(ddb_tables_write_unlock(&table, 1, NULL));
  chain_add(&c, db, 0);
  assert_ok(chain_load(&c, 2, &back, NULL));
  assert_int_equal(log_digest(back), before);
  ddb_db_release(back);
  assert_ok(chain_load(&c, 3, &back, NULL));
  assert_int_equal(log_digest(back), log_digest(db));
  ddb_db_release(back);
  chain_end(&c);
  ddb_table_release(table);
  ddb_db_release(db);
}

static void test_the_cost_is_of_what_changed(void **state) {
  (void)state;
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  assert_ok(rows_insert_many(table, 1, 20000));
  chain c;
  chain_begin(&c, db, false);
  assert_ok(rows_update(table, 10000, 1));
  chain_add(&c, db, 0);
  storage_text base = storage_read(c.paths[0]);
  storage_text delta = storage_read(c.paths[1]);
  assert_true(delta.size < 1024);
  assert_true(base.size > 500 * 1024);
  free(base.data);
  free(delta.data);
  chain_end(&c);
  ddb_table_release(table);
  ddb_db_release(db);
}

static int64_t next_key(ddb_db *db, const char *name) {
  ddb_view view;
  ddb_table *table = get(db, name);
  assert_ok(ddb_view_open(table, &view, NULL));
  int64_t next = ddb_view_next_key(&view);
  ddb_view_close(&view);
  ddb_table_release(table);
  return next;
}

/* Of a table that is gone later, too; never down. */
static void test_keys_go_on(void **state) {
  (void)state;
  for (int json = 0; json < 2; json++) {
    ddb_db *db = filled();
    ddb_db *back;
    chain c;
    chain_begin(&c, db, json);
    ddb_table *table = get(db, "t");
    assert_ok(rows_insert_many(table, 500, 10));
    assert_ok(rows_delete_all(table));
    chain_add(&c, db, 0);
    ddb_table_release(table);
    assert_ok(ddb_db_table_drop(db, DDB_STR("t"), NULL));
    ddb_table_release(storage_table(db, "t", NULL));
    chain_add(&c, db, 0);
    assert_ok(ddb_db_save(db, storage_target, NULL, NULL));
    assert_ok(chain_load(&c, 1, &back, NULL));
    assert_int_equal(next_key(back, "t"), 21);
    assert_ok(ddb_db_keys_raise(back, c.paths[2], NULL));
    assert_ok(ddb_db_keys_raise(back, storage_target, NULL));
    assert_int_equal(next_key(back, "t"), 21);
    assert_ok(ddb_db_keys_raise(back, c.paths[1], NULL));
    assert_int_equal(next_key(back, "t"), 510);
    assert_ok(ddb_db_keys_raise(back, c.paths[0], NULL));
    assert_int_equal(next_key(back, "t"), 510);
    assert_ok(ddb_db_save_json(back, storage_other, NULL, NULL, NULL));
    ddb_db_release(back);
    assert_ok(chain_load(&c, 1, &back, NULL));
    assert_ok(ddb_db_keys_raise(back, storage_other, NULL));
    assert_int_equal(next_key(back, "t"), 510);
    ddb_db_release(back);
    chain_end(&c);
    ddb_db_release(db);
  }
}

/* ---- What does not fit -------------------------------------------------------------------- */

static void assert_corrupt(ddb_status status, const ddb_error *err) {
  if (status != DDB_ERR_CORRUPT) {
    fail_msg("%s (%s)", ddb_status_name(status), status == DDB_OK ? "" : err->message);
  }
}

static void test_files_that_do_not_follow(void **state) {
  (void)state;
  ddb_db *db = filled();
  ddb_db *back;
  ddb_error err;
  size_t failed = 9;
  chain c;
  make_chain(&c, db, false, 0);
  const char *skipped[] = {c.paths[0], c.paths[2]};
  const char *twice[] = {c.paths[0], c.paths[1], c.paths[1]};
  const char *no_base[] = {c.paths[1], c.paths[2]};
  const char *no_delta[] = {c.paths[0], c.paths[0]};
  const char *missing[] = {c.paths[0], "/nonexistent/delta"};
  assert_corrupt(ddb_db_load_chain(skipped, 2, NULL, NULL, &back, &failed, &err), &err);
  assert_int_equal(failed, 1);
  assert_non_null(strstr(err.message, "chain-2"));
  assert_corrupt(ddb_db_load_chain(twice, 3, NULL, NULL, &back, &failed, &err), &err);
  assert_int_equal(failed, 2);
  assert_corrupt(ddb_db_load_chain(no_base, 2, NULL, NULL, &back, &failed, &err), &err);
  assert_int_equal(failed, 0);
  assert_corrupt(ddb_db_load_chain(no_delta, 2, NULL, NULL, &back, &failed, &err), &err);
  assert_int_equal(ddb_db_load_chain(missing, 2, NULL, NULL, &back, &failed, &err), DDB_ERR_IO);
  assert_int_equal(failed, 1);
  assert_int_equal(ddb_db_load_chain(missing, 0, NULL, NULL, &back, NULL, &err), DDB_ERR_INVALID);
  assert_corrupt(ddb_db_load(c.paths[1], NULL, NULL, &back, &err), &err);
  /* Another base of the same state. */
  assert_ok(ddb_snapshot_save(c.last, storage_target, NULL, NULL));
  const char *other[] = {storage_target, c.paths[1]};
  assert_corrupt(ddb_db_load_chain(other, 2, NULL, NULL, &back, NULL, &err), &err);
  /* Not the file of that snapshot, and snapshots that are not in order. */
  ddb_snapshot *now;
  ddb_table *table = get(db, "t");
  assert_ok(rows_update(table, 1, 1));
  ddb_table_release(table);
  assert_ok(ddb_snapshot_open(db, &now, NULL));
  assert_int_equal(ddb_snapshot_save_delta(now, c.last, c.paths[1], storage_other, NULL, &err),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_snapshot_save_delta(c.last, now, c.paths[2], storage_other, NULL, &err),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_snapshot_save_delta(now, NULL, c.paths[2], storage_other, NULL, &err),
                   DDB_ERR_INVALID);
  storage_write(storage_other, "{\"tables\": {}}", 14); /* no checksum to refer to */
  assert_int_equal(ddb_snapshot_save_delta(now, c.last, storage_other, storage_target, NULL, &err),
                   DDB_ERR_INVALID);
  ddb_snapshot_close(now);
  chain_end(&c);
  ddb_db_release(db);
}

static void flip_every_byte(const chain *c, uint64_t *seed) {
  storage_text delta = storage_read(c->paths[1]);
  uint64_t bytes = ddb_process_memory();
  ddb_db *back;
  ddb_error err;
  ddb_file_info info;
  for (size_t i = 0; i < delta.size; i++) {
    char kept = delta.data[i];
    delta.data[i] = (char)(kept ^ (1 << support_below(seed, 8)));
    storage_write(c->paths[1], delta.data, delta.size);
    assert_corrupt(chain_load(c, 2, &back, &err), &err);
    assert_true(err.offset <= i);
    assert_corrupt(ddb_file_verify(c->paths[1], NULL, NULL, &info, &err), &err);
    (void)ddb_file_describe(c->paths[1], &info, &err);
    delta.data[i] = kept;
  }
  for (size_t size = 0; size < delta.size; size++) {
    storage_write(c->paths[1], delta.data, size);
    assert_corrupt(chain_load(c, 2, &back, &err), &err);
    assert_corrupt(ddb_file_verify(c->paths[1], NULL, NULL, &info, &err), &err);
  }
  assert_int_equal(ddb_process_memory(), bytes);
  storage_write(c->paths[1], delta.data, delta.size);
  assert_ok(ddb_file_verify(c->paths[1], NULL, NULL, &info, &err));
  assert_int_equal(info.kind, DDB_FILE_DELTA);
  assert_int_equal(info.number, 1);
  assert_int_equal(info.size, delta.size);
  free(delta.data);
}

static void test_every_byte_counts(void **state) {
  (void)state;
  uint64_t seed = support_seed("bytes");
  for (int compression = 0; compression < 2; compression++) {
    ddb_db *db = filled();
    chain c;
    make_chain(&c, db, false, compression);
    flip_every_byte(&c, &seed);
    chain_end(&c);
    ddb_db_release(db);
  }
}

/* A delta of one block whose checksums hold, whatever is in it. */
static void forge(const char *path, storage_text *delta) {
  ddb__native_head head;
  ddb__native_block block;
  memcpy(&head, delta->data, sizeof head);
  memcpy(&block, delta->data + sizeof head, sizeof block);
  block.checksum = ddb__native_block_sum(&head, &block, delta->data + sizeof head + sizeof block);
  memcpy(delta->data + sizeof head, &block, sizeof block);
  storage_write(path, delta->data, delta->size);
}

static void test_forged_operations(void **state) {
  (void)state;
  uint64_t seed = support_seed("forged");
  uint64_t rounds = support_number("DICTDB_FORGED", FORGED);
  ddb_db *db = filled();
  chain c;
  make_chain(&c, db, false, 0);
  storage_text delta = storage_read(c.paths[1]);
  char *original = malloc(delta.size);
  memcpy(original, delta.data, delta.size);
  size_t start = sizeof(ddb__native_head) + sizeof(ddb__native_block);
  unsigned refused = 0;
  uint64_t bytes = ddb_process_memory();
  for (uint64_t round = 0; round < rounds; round++) {
    memcpy(delta.data, original, delta.size);
    for (uint64_t n = 1 + support_below(&seed, 3); n > 0; n--) {
      size_t at = start + support_below(&seed, delta.size - start);
      char bit = (char)(delta.data[at] ^ (1 << support_below(&seed, 8)));
      delta.data[at] = support_below(&seed, 2) ? bit : (char)support_below(&seed, 40);
    }
    forge(c.paths[1], &delta);
    ddb_db *back;
    ddb_error err;
    ddb_file_info info;
    (void)ddb_file_verify(c.paths[1], NULL, NULL, &info, &err);
    ddb_status status = chain_load(&c, 2, &back, &err);
    if (status == DDB_OK) {
      (void)log_digest(back);
      (void)ddb_db_keys_raise(back, c.paths[1], &err);
      ddb_db_release(back);
    } else {
      assert_corrupt(status, &err);
      refused++;
    }
    assert_int_equal(ddb_process_memory(), bytes);
  }
  print_message("  %u of %llu refused\n", refused, (unsigned long long)rounds);
  assert_in_range(refused, rounds / 10, rounds - 1);
  free(original);
  free(delta.data);
  chain_end(&c);
  ddb_db_release(db);
}

/* ---- Failures ----------------------------------------------------------------------------- */

/* *loaded: what came back, or NULL. */
static ddb_status use_all(const chain *c, ddb_snapshot *now, ddb_db **loaded, ddb_error *err) {
  ddb_db *back;
  *loaded = NULL;
  ddb_status status = ddb_snapshot_save_delta(now, c->last, c->paths[2], c->paths[3], NULL, err);
  if (status == DDB_OK) {
    status = chain_load(c, 4, &back, err);
  }
  if (status == DDB_OK) {
    *loaded = back;
    status = ddb_db_keys_raise(back, c->paths[3], err);
  }
  ddb_file_info info;
  return status == DDB_OK ? ddb_file_verify(c->paths[1], NULL, NULL, &info, err) : status;
}

static void compare_and_release(ddb_db *expected, ddb_db *loaded) {
  if (loaded) {
    storage_assert_same(expected, loaded);
    ddb_db_release(loaded);
  }
}

static void test_no_memory(void **state) {
  (void)state;
  ddb_db *db = filled();
  chain c;
  ddb_snapshot *now;
  make_chain(&c, db, false, 0);
  ddb_table *table = get(db, "t");
  assert_ok(rows_update(table, 1, 1));
  ddb_table_release(table);
  assert_ok(ddb_snapshot_open(db, &now, NULL));
  uint64_t bytes = ddb_process_memory();
  for (long n = 1;; n++) {
    ddb_db *loaded;
    support_allocator_fail(n);
    ddb_status status = use_all(&c, now, &loaded, NULL);
    bool failed = support_allocator_failed();
    compare_and_release(db, loaded);
    assert_int_equal(ddb_process_memory(), bytes);
    if (!failed) {
      assert_ok(status);
      assert_true(n > 50);
      break;
    }
    assert_true(status == DDB_OK || status == DDB_ERR_NOMEM);
  }
  ddb_snapshot_close(now);
  chain_end(&c);
  ddb_db_release(db);
}

#ifdef DDB_TESTING
static void test_every_call_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  ddb_db *db = filled();
  chain c;
  ddb_snapshot *now;
  make_chain(&c, db, false, 1);
  assert_ok(ddb_snapshot_open(db, &now, NULL));
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      ddb_db *loaded;
      (void)unlink(c.paths[3]);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = use_all(&c, now, &loaded, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      compare_and_release(db, loaded);
      if (status != DDB_OK) {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
        assert_true(errors[e] == ENOSPC || errors[e] == EIO); /* others are tried again */
      }
      ddb_file_info info;
      if (access(c.paths[3], F_OK) == 0) { /* never a half file that looks whole */
        assert_ok(ddb_file_verify(c.paths[3], NULL, NULL, &info, NULL));
      }
      if (failed == DDB__SYS_COUNT) {
        assert_ok(status);
        assert_true(n > 30);
        break;
      }
    }
  }
  ddb_snapshot_close(now);
  chain_end(&c);
  ddb_db_release(db);
}
#endif

/* ---- Checking files ----------------------------------------------------------------------- */

static int stop_at_once(void *context, uint64_t done, uint64_t total) {
  (void)context;
  (void)done;
  (void)total;
  return 1;
}

static void test_descriptions(void **state) {
  (void)state;
  ddb_db *back;
  ddb_file_info infos[3];
  ddb_file_info info;
  chain c;
  for (int json = 0; json < 2; json++) {
    ddb_db *db = filled();
    make_chain(&c, db, json, 0);
    for (size_t i = 0; i < 3; i++) {
      assert_ok(ddb_file_describe(c.paths[i], &infos[i], NULL));
      assert_ok(ddb_file_verify(c.paths[i], NULL, NULL, &info, NULL));
      assert_int_equal(info.kind, infos[i].kind);
      assert_int_equal(info.sum, infos[i].sum);
      assert_int_equal(info.commit, infos[i].commit);
      assert_int_equal(info.number, i);
      assert_int_equal(ddb_file_verify(c.paths[i], stop_at_once, NULL, &info, NULL),
                       DDB_ERR_INTERRUPTED);
      if (i > 0) {
        assert_int_equal(info.base, infos[0].sum);
        assert_int_equal(info.before, infos[i - 1].sum);
      }
    }
    assert_int_equal(infos[0].kind, json ? DDB_FILE_JSON : DDB_FILE_NATIVE);
    assert_int_equal(ddb_db_load_chain(c.paths, 3, stop_at_once, NULL, &back, NULL, NULL),
                     DDB_ERR_INTERRUPTED);
    chain_end(&c);
    ddb_db_release(db);
  }
  assert_int_equal(ddb_file_describe("/nonexistent/file", &info, NULL), DDB_ERR_IO);
  assert_int_equal(ddb_file_verify("/nonexistent/file", NULL, NULL, &info, NULL), DDB_ERR_IO);
}

/* A segment of a log: whole, torn, damaged. */
static void test_segments(void **state) {
  (void)state;
  char path[200];
  char segment[256];
  ddb_file_info info;
  ddb_error err;
  (void)snprintf(path, sizeof path, "%s/db", log_folder);
  (void)snprintf(segment, sizeof segment, "%s/log-0000000000000001.ddl", path);
  ddb_db *db = log_open(path, DDB_DURABILITY_COMMIT);
  ddb_table *table = storage_table(db, "t", NULL);
  for (int64_t id = 1; id <= 10; id++) {
    assert_ok(rows_insert(table, id, id));
  }
  storage_text whole = storage_read(segment); /* while it is open: nothing is locked */
  assert_ok(ddb_file_verify(segment, NULL, NULL, &info, NULL));
  assert_int_equal(info.kind, DDB_FILE_LOG);
  assert_int_equal(info.number, 1);
  assert_int_equal(info.operation_count, 11);
  assert_int_equal(info.whole_size, whole.size);
  for (size_t i = 0; i < whole.size; i++) {
    whole.data[i] = (char)(whole.data[i] ^ 4);
    storage_write(storage_target, whole.data, whole.size);
    ddb_status status = ddb_file_verify(storage_target, NULL, NULL, &info, &err);
    if (status == DDB_OK) { /* as of a crash */
      assert_true(info.whole_size <= i && info.whole_size < whole.size);
    } else {
      assert_corrupt(status, &err);
      assert_true(err.offset <= i);
    }
    whole.data[i] = (char)(whole.data[i] ^ 4);
  }
  assert_ok(ddb_directory_verify(path, NULL, NULL, &info, NULL));
  assert_int_equal(info.table_count, 1);
  assert_int_equal(info.record_count, 10);
  ddb_table_release(table);
  assert_ok(ddb_db_close(db, NULL));
  ddb_db_release(db);
  assert_ok(ddb_directory_verify(path, NULL, NULL, &info, NULL));
  assert_int_equal(info.number, 2); /* a checkpoint now */
  assert_int_equal(info.record_count, 10);
  assert_ok(ddb_directory_load(path, NULL, NULL, &db, NULL));
  assert_false(ddb_db_is_kept(db));
  assert_ok(ddb_db_table_get(db, DDB_STR("t"), &table, NULL));
  assert_ok(rows_insert(table, 11, 11));
  ddb_table_release(table);
  ddb_db_release(db);
  assert_ok(ddb_directory_verify(path, NULL, NULL, &info, NULL)); /* not changed */
  assert_int_equal(info.record_count, 10);
  (void)snprintf(segment, sizeof segment, "%s/checkpoint-0000000000000002.dictdb", path);
  storage_write(segment, whole.data, 100);
  assert_corrupt(ddb_directory_verify(path, NULL, NULL, &info, &err), &err);
  free(whole.data);
  log_remove(path);
  assert_int_equal(ddb_directory_verify(path, NULL, NULL, &info, &err), DDB_ERR_IO);
  assert_int_equal(ddb_directory_verify(log_folder, NULL, NULL, &info, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_directory_load(path, NULL, NULL, &db, &err), DDB_ERR_IO);
  assert_int_equal(ddb_directory_load(log_folder, NULL, NULL, &db, &err), DDB_ERR_INVALID);
}

typedef struct growth {
  ddb_table *table;
  int64_t count;
} growth;

/* A writer that is as fast as the reader, for a while. */
static int grow(void *context, uint64_t done, uint64_t total) {
  growth *g = context;
  (void)done;
  (void)total;
  if (g->count < 500) {
    g->count++;
    assert_ok(rows_insert(g->table, g->count, g->count));
  }
  return 0;
}

static void test_a_log_ends_where_it_did_when_it_was_opened(void **state) {
  (void)state;
  char path[200];
  char segment[256];
  ddb_file_info info;
  (void)snprintf(path, sizeof path, "%s/grows", log_folder);
  (void)snprintf(segment, sizeof segment, "%s/log-0000000000000001.ddl", path);
  ddb_db *db = log_open(path, DDB_DURABILITY_NONE);
  growth g = {.table = storage_table(db, "t", NULL)};
  while (g.count < 20) {
    (void)grow(&g, 0, 0);
  }
  assert_ok(ddb_file_verify(segment, grow, &g, &info, NULL));
  assert_int_equal(info.operation_count, 21); /* with the table */
  assert_in_range(g.count, 30, 100);
  uint64_t before = (uint64_t)g.count;
  assert_ok(ddb_directory_verify(path, grow, &g, &info, NULL));
  assert_int_equal(info.record_count, before);
  assert_true((uint64_t)g.count > before);
  ddb_table_release(g.table);
  assert_ok(ddb_db_close(db, NULL));
  ddb_db_release(db);
  log_remove(path);
}

static int setup(void **state) {
  return log_setup(state) || storage_setup(state);
}

static int teardown(void **state) {
  return storage_teardown(state) || log_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#ifdef DDB_TESTING
      cmocka_unit_test(test_planted_faults), /* first: it forks, while there is one thread */
#endif
      cmocka_unit_test(test_histories),
      cmocka_unit_test(test_everything_in_a_delta),
      cmocka_unit_test(test_a_write_lock_is_not_waited_for),
      cmocka_unit_test(test_the_cost_is_of_what_changed),
      cmocka_unit_test(test_keys_go_on),
      cmocka_unit_test(test_files_that_do_not_follow),
      cmocka_unit_test(test_every_byte_counts),
      cmocka_unit_test(test_forged_operations),
      cmocka_unit_test(test_no_memory),
#ifdef DDB_TESTING
      cmocka_unit_test(test_every_call_fails),
#endif
      cmocka_unit_test(test_descriptions),
      cmocka_unit_test(test_segments),
      cmocka_unit_test(test_a_log_ends_where_it_did_when_it_was_opened),
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, setup, teardown);
}
