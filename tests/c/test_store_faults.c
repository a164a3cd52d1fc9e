/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_faults.c - the tests can fail: every planted fault of base/testing.h that concerns the
 * core is found, by a scenario that holds without it; test_query_faults.c has those of queries over
 * columns and joins.
 *
 * A scenario runs in a child process with a time limit: a wrong answer, a crash (released memory is
 * filled with 0xDD; sanitizers stop at its use) and a hang all count as found. Only the testing build
 * has faults.
 */
#include "base/testing.h"
#include "support.h"

#ifdef DDB_TESTING

#include <pthread.h>
#include <sched.h>

#include "bank.h"
#include "fault_scenario.h"
#include "lock_actors.h"
#include "stop.h"
#include "store/table.h"

static uint64_t seed;

static _Atomic bool row_was_read;

/* A reader of a table of one row, to be stopped somewhere. */
static ddb_status read_one_row(void *table) {
  ddb_view view;
  ddb_status status = ddb_view_open(table, &view, NULL);
  if (status == DDB_OK) {
    uint64_t position = 0;
    const ddb_record *record = ddb_view_next(&view, &position);
    check(record && ddb_record_get(record, DDB_STR("a")).as.integer ==
                        -ddb_record_get(record, DDB_STR("twin")).as.integer);
    check(ddb_view_count(&view) == 1);
    ddb_view_close(&view);
  }
  atomic_store(&row_was_read, true);
  return status;
}

/* ---- A scenario for each fault ------------------------------------------------------------- */

/* One statement: what it frees is not used again at once. */
static bool run_pin_without_hold(void) {
  world w = world_with_rows(1);
  stop_thread reader = {read_one_row, w.table, 0};
  stop_thread_start(&reader, DDB__POINT_PIN_LOADED);
  ok(rows_set_field(w.table, 1, DDB_STR("a"), 5));
  ok(stop_thread_finish(&reader));
  return nothing_wrong();
}

static bool run_retire_early(void) {
  world w = world_with_rows(20);
  ddb_view view;
  ok(ddb_view_open(w.table, &view, NULL));
  for (int64_t id = 1; id <= 20; id++) {
    ok(rows_update(w.table, id, 7));
  }
  check_rows(&view, 20);
  ddb_view_close(&view);
  return nothing_wrong();
}

static bool run_hint_record_birth(void) {
  world w = world_with_rows(3);
  ddb_view view;
  ddb_snapshot *snapshot = NULL;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  ok(rows_update(w.table, 2, 7));
  ok(rows_delete(w.table, 2));
  ok(rows_insert(w.table, 2, 8));
  check_rows(&view, 3);
  ddb_view_close(&view);
  ok(ddb_snapshot_view(snapshot, w.table, &view, NULL));
  check_rows(&view, 3);
  ddb_view_close(&view);
  ddb_snapshot_close(snapshot);
  return nothing_wrong();
}

static bool key_finds(ddb_table *table, ddb_value key, int64_t id) {
  ddb_view view;
  const ddb_record *record = NULL;
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_get(&view, &key, &record, NULL));
  bool found = record && ddb_record_get(record, DDB_STR("id")).as.integer == id;
  ddb_view_close(&view);
  return found;
}

static bool run_place_by_kind(void) {
  world w = world_with_rows(10);
  for (int64_t id = 1; id <= 10; id++) {
    check(key_finds(w.table, ddb_float((double)id), id));
  }
  check(key_finds(w.table, ddb_bool(true), 1));
  check(!key_finds(w.table, ddb_bool(false), 0));
  check(rows_insert(w.table, 1, 1) == DDB_ERR_DUPLICATE_KEY);
  return nothing_wrong();
}

/* Keys on the rule, then off it, then on it again. */
static bool run_place_rule_moves(void) {
  static const int64_t keys[] = {5, 6, 7, 8, 100, 3, 11, 12, 13, 9, 15, -4, 17, INT64_MAX};
  enum { COUNT = sizeof keys / sizeof keys[0] };
  world w = world_new();
  for (size_t i = 0; i < COUNT; i++) {
    ok(rows_insert(w.table, keys[i], 1));
  }
  for (size_t i = 0; i < COUNT; i++) {
    check(key_finds(w.table, ddb_int(keys[i]), keys[i]));
    check(rows_insert(w.table, keys[i], 1) == DDB_ERR_DUPLICATE_KEY);
  }
  check(!key_finds(w.table, ddb_int(10), 10)); /* 15 is where 10 would be */
  check(!key_finds(w.table, ddb_int(INT64_MIN), 0));
  ok(rows_delete(w.table, 7));
  ok(rows_delete(w.table, 100));
  check(!key_finds(w.table, ddb_int(7), 7) && !key_finds(w.table, ddb_int(100), 100));
  ok(rows_insert(w.table, 7, 2)); /* off the rule this time */
  check(key_finds(w.table, ddb_int(7), 7));
  return nothing_wrong();
}

static bool run_owner_outside_root(void) {
  world w = world_with_rows(1);
  stop_thread reader = {read_one_row, w.table, 0};
  stop_thread_start(&reader, DDB__POINT_PIN_HELD);
  ok(ddb_rwlock_acquire_write(ddb_table_lock(w.table), DDB_WAIT_FOREVER, NULL));
  ok(rows_set_field(w.table, 1, DDB_STR("a"), 5));
  stop_thread_release(&reader);
  while (!atomic_load(&row_was_read) && !lock_is_waited_for(ddb_table_lock(w.table))) {
    sched_yield();
  }
  ok(rows_set_field(w.table, 1, DDB_STR("twin"), -5));
  ok(ddb_rwlock_release_write(ddb_table_lock(w.table), NULL));
  ok(stop_thread_finish(&reader));
  return nothing_wrong();
}

/* The second of two records has a key that is there. */
static void insert_in_vain(ddb_table *table) {
  const ddb_str names[] = {DDB_STR("id"), DDB_STR("a"), DDB_STR("twin")};
  const ddb_shape *shape = NULL;
  ddb_builder *batch = NULL;
  ok(ddb_builder_new(&batch, NULL));
  ok(ddb_table_shape(table, DDB_SHAPE_RECORD, names, 3, &shape, NULL));
  for (int64_t id = 100; id > 0; id -= 99) {
    const ddb_value values[] = {ddb_int(id), ddb_int(0), ddb_int(0)};
    ok(ddb_builder_record_begin(batch, shape, true, NULL));
    for (size_t i = 0; i < 3; i++) {
      ok(ddb_builder_append(batch, &values[i], NULL));
    }
    ok(ddb_builder_end(batch, NULL));
  }
  check(ddb_table_insert(table, batch, NULL, NULL) == DDB_ERR_DUPLICATE_KEY);
  ddb_builder_free(batch);
}

static bool run_abort_publishes(void) {
  world w = world_with_rows(3);
  ddb_view view;
  insert_in_vain(w.table);
  ok(ddb_view_open(w.table, &view, NULL));
  check_rows(&view, 3);
  ddb_view_close(&view);
  return nothing_wrong();
}

static bool run_abort_leaks(void) {
  int64_t before = support_allocator_bytes();
  world w = world_with_rows(3);
  for (int i = 0; i < 100; i++) {
    insert_in_vain(w.table);
  }
  ddb_table_release(w.table);
  ddb_db_release(w.db);
  check(support_allocator_bytes() - before < 4096); /* a thread's record stays */
  return nothing_wrong();
}

static bool run_edit_in_place(void) {
  world w = world_with_rows(3);
  ddb_view view;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(rows_update(w.table, 2, 7));
  check_rows(&view, 3);
  ddb_view_close(&view);
  return nothing_wrong();
}

static uint64_t count_equal(ddb_table *table, int64_t number) {
  uint64_t count = 0;
  ok(rows_count_equal(table, DDB_STR("a"), number, &count));
  return count;
}

/* Enough rows for the index to be chosen over a scan. */
static bool run_index_stale_update(void) {
  world w = world_with_rows(50);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  ok(rows_set_field(w.table, 7, DDB_STR("a"), 3));
  check(count_equal(w.table, 3) == 1);
  check(count_equal(w.table, 70) == 0);
  return nothing_wrong();
}

static bool run_tree_split_loses(void) {
  world w = world_new();
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  for (int64_t id = 1; id <= 200; id++) {
    ok(rows_insert(w.table, id, 10 * id));
  }
  for (int64_t id = 1; id <= 200; id++) {
    check(count_equal(w.table, 10 * id) == 1);
  }
  return nothing_wrong();
}

/* As many groups as rows. */
static bool run_group_by_slot(void) {
  world w = world_with_rows(200);
  ddb_group_field group = {.field = DDB_STR("a")};
  ddb_aggregate_query query = DDB_AGGREGATE_QUERY_INIT;
  query.groups = &group;
  query.group_count = 1;
  ddb_view view;
  ddb_rowset *rows = NULL;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_aggregate(&view, &query, &rows, NULL));
  check(rows && ddb_rowset_count(rows) == 200);
  ddb_rowset_free(rows);
  ddb_view_close(&view);
  return nothing_wrong();
}

static int64_t insert_automatic(ddb_table *table) {
  ddb_field field = {DDB_STR("a"), ddb_int(0)};
  ddb_value key = ddb_null();
  ok(ddb_table_insert_fields(table, &field, 1, &key, NULL));
  return key.as.integer;
}

static bool run_key_reused(void) {
  world w = world_new();
  int64_t first = insert_automatic(w.table);
  ok(rows_delete(w.table, first));
  check(insert_automatic(w.table) == first + 1);
  return nothing_wrong();
}

static bool run_slot_reused(void) {
  world w = world_with_rows(20);
  ddb_view view, nested;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_open(w.table, &nested, NULL));
  ddb_view_close(&nested);
  for (int64_t id = 1; id <= 20; id++) {
    ok(rows_update(w.table, id, 7));
  }
  check_rows(&view, 20);
  ddb_view_close(&view);
  return nothing_wrong();
}

static bool run_snapshot_not_kept(void) {
  world w = world_with_rows(20);
  ddb_snapshot *snapshot = NULL;
  ddb_view view;
  ok(ddb_snapshot_open(w.db, &snapshot, NULL));
  for (int64_t id = 1; id <= 20; id++) {
    ok(rows_update(w.table, id, 7));
  }
  ddb_status status = ddb_snapshot_view(snapshot, w.table, &view, NULL);
  ok(status);
  if (status == DDB_OK) {
    check_rows(&view, 20);
    ddb_view_close(&view);
  }
  ddb_snapshot_close(snapshot);
  return nothing_wrong();
}

static void *insert_once(void *context) {
  ok(rows_insert(context, 1, 1));
  return NULL;
}

static bool run_lost_wakeup(void) {
  world w = world_new();
  pthread_t writer;
  ok(ddb_rwlock_acquire_read(ddb_table_lock(w.table), DDB_WAIT_FOREVER, NULL));
  pthread_create(&writer, NULL, insert_once, w.table);
  while (!lock_is_waited_for(ddb_table_lock(w.table))) {
    sched_yield();
  }
  ok(ddb_rwlock_release_read(ddb_table_lock(w.table), NULL));
  pthread_join(writer, NULL);
  return nothing_wrong();
}

static bool run_cursor_not_held(void) {
  world w = world_with_rows(20);
  ddb_query query = DDB_QUERY_INIT;
  ddb_view view;
  ddb_cursor *cursor;
  const ddb_record *records[20];
  size_t count = 0;
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_cursor_open(&view, &query, &cursor, NULL));
  ddb_view_close(&view);
  for (int64_t a = 0; a < 3; a++) {
    ok(rows_update_all(w.table, a));
  }
  ok(ddb_cursor_next(cursor, records, 20, &count, NULL));
  check(count == 20);
  for (size_t i = 0; i < count && nothing_wrong(); i++) {
    check(ddb_record_get(records[i], DDB_STR("a")).as.integer == 10 * (int64_t)(i + 1));
  }
  ddb_cursor_close(cursor);
  return nothing_wrong();
}

static void check_count(ddb_table *table, ddb_str field, int64_t number, uint64_t wanted) {
  uint64_t count = 0;
  ok(rows_count_equal(table, field, number, &count));
  check(count == wanted);
}

static world world_with_columns(void) {
  world w = world_with_rows(100);
  ok(ddb_table_column_budget_set(w.table, 1 << 20, NULL));
  ddb_memory memory;
  for (int i = 0; i < 3; i++) {
    check_count(w.table, DDB_STR("a"), 170, 1);
  }
  ddb_table_memory(w.table, &memory);
  check(memory.column_bytes > 0);
  return w;
}

static bool run_memo_stale(void) {
  world w = world_with_columns();
  ok(rows_update(w.table, 17, 5));
  check_count(w.table, DDB_STR("a"), 170, 0);
  check_count(w.table, DDB_STR("a"), 5, 1);
  return nothing_wrong();
}

static bool run_memo_null_lost(void) {
  world w = world_with_rows(100);
  ok(ddb_table_column_budget_set(w.table, 1 << 20, NULL));
  ddb_str name = DDB_STR("a");
  for (int64_t id = 1; id <= 100; id++) {
    ddb_value value = id % 7 ? ddb_int(1000 * id) : ddb_null();
    ok(rows_set_value(w.table, id, name, &value));
  }
  ddb_value low = ddb_int(INT64_MIN);
  ddb_cond *any;
  ok(ddb_cond_compare(name, DDB_OP_GE, &low, &any, NULL));
  for (int i = 0; i < 3; i++) {
    ddb_view view;
    uint64_t count = 0;
    ok(ddb_view_open(w.table, &view, NULL));
    ok(ddb_view_count_where(&view, any, &count, NULL));
    check(count == 86);
    ddb_view_close(&view);
  }
  ddb_cond_release(any);
  return nothing_wrong();
}

/* Before the lock is taken, the first time: somebody writes. */
static void write_meanwhile(void *context, ddb__point point) {
  ddb_table *table = context;
  if (point == DDB__POINT_BEFORE_LOCK) {
    ddb__test_hook_set(NULL, NULL);
    ok(rows_update(table, 7, 30));
    ok(rows_delete(table, 8));
    ok(rows_insert(table, 200, 30));
  }
}

static bool run_build_misses_changes(void) {
  for (ddb_index_kind kind = DDB_INDEX_HASH; kind <= DDB_INDEX_SORTED && nothing_wrong(); kind++) {
    world w = world_with_rows(100);
    ddb__test_hook_set(write_meanwhile, w.table);
    ok(ddb_table_index_create(w.table, DDB_STR("a"), kind, NULL));
    check(count_equal(w.table, 30) == 3);
    check(count_equal(w.table, 70) == 0);
    check(count_equal(w.table, 80) == 0);
    ddb_view view;
    ok(ddb_view_open(w.table, &view, NULL));
    const ddb__root *root = ddb__view_root(&view);
    check(ddb__index_check(root, &root->indexes[0]) == NULL);
    ddb_view_close(&view);
  }
  return nothing_wrong();
}

static uint64_t count_where(ddb_table *table, const ddb_cond *where) {
  ddb_view view;
  uint64_t count = 0;
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_count_where(&view, where, &count, NULL));
  ddb_view_close(&view);
  return count;
}

static ddb_cond *compare_number(ddb_str field, ddb_op op, int64_t number) {
  ddb_value value = ddb_int(number);
  ddb_cond *cond = NULL;
  ok(ddb_cond_compare(field, op, &value, &cond, NULL));
  return cond;
}

static bool run_tree_stale_first(void) {
  world w = world_with_rows(100);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  for (int64_t id = 1; id <= 99 && nothing_wrong(); id++) {
    ddb_view view;
    ok(rows_delete(w.table, id * 37 % 101));
    ok(ddb_view_open(w.table, &view, NULL));
    const ddb__root *root = ddb__view_root(&view);
    check(ddb__index_check(root, &root->indexes[0]) == NULL);
    ddb_view_close(&view);
  }
  return nothing_wrong();
}

static bool run_unique_unchecked(void) {
  world w = world_with_rows(20);
  ddb_str field = DDB_STR("a");
  ddb_index_options options = {.fields = &field, .field_count = 1, .unique = true};
  ok(ddb_table_index_add(w.table, &options, NULL));
  check(rows_insert(w.table, 21, 100) == DDB_ERR_DUPLICATE_KEY);
  return nothing_wrong();
}

static bool run_range_excludes_end(void) {
  world w = world_with_rows(50);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_cond *cond = compare_number(DDB_STR("a"), DDB_OP_LE, 30);
  check(count_where(w.table, cond) == 3);
  ddb_cond_release(cond);
  return nothing_wrong();
}

static bool run_plan_not_is_or(void) {
  world w = world_with_rows(50);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_cond *equal = compare_number(DDB_STR("a"), DDB_OP_EQ, 30);
  ddb_cond *cond = NULL;
  ok(ddb_cond_not(equal, &cond, NULL));
  check(count_where(w.table, cond) == 49);
  ddb_cond_release(cond);
  ddb_cond_release(equal);
  return nothing_wrong();
}

static bool run_plan_or_forgets(void) {
  world w = world_with_rows(50);
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_cond *parts[2] = {compare_number(DDB_STR("a"), DDB_OP_EQ, 30),
                        compare_number(DDB_STR("twin"), DDB_OP_EQ, -40)};
  ddb_cond *cond = NULL;
  ok(ddb_cond_or(parts, 2, &cond, NULL));
  check(count_where(w.table, cond) == 2);
  ddb_cond_release(cond);
  ddb_cond_release(parts[0]);
  ddb_cond_release(parts[1]);
  return nothing_wrong();
}

/* The first item is one less than the second; an index over the one says nothing of the other. */
static bool run_plan_path_blind(void) {
  world w = world_with_rows(50);
  const ddb_value zero = ddb_int(0);
  const ddb_path path = {DDB_STR("list"), &zero, 1};
  ddb_index_options options = {.paths = &path, .field_count = 1};
  ok(ddb_table_index_add(w.table, &options, NULL));
  ddb_builder *builder;
  ok(ddb_builder_new(&builder, NULL));
  for (int64_t id = 1; id < 50; id++) {
    const ddb_value items[2] = {ddb_int(id), ddb_int(id + 1)};
    ddb_builder_clear(builder);
    ok(ddb_builder_begin(builder, DDB_LIST, 2, NULL));
    ok(ddb_builder_append(builder, &items[0], NULL));
    ok(ddb_builder_append(builder, &items[1], NULL));
    ok(ddb_builder_end(builder, NULL));
    ddb_value list = ddb_builder_value_at(builder, 0);
    ok(rows_set_value(w.table, id, DDB_STR("list"), &list));
  }
  ddb_builder_free(builder);
  ddb_expr *exprs[3] = {NULL};
  const ddb_value one = ddb_int(1);
  const ddb_value two = ddb_int(2);
  ddb_cond *cond = NULL;
  ok(ddb_expr_field(DDB_STR("list"), &exprs[0], NULL));
  ok(ddb_expr_item(exprs[0], &one, &exprs[1], NULL));
  ok(ddb_expr_value(&two, &exprs[2], NULL));
  ok(ddb_cond_compare_expr(exprs[1], DDB_OP_EQ, exprs[2], &cond, NULL));
  check(count_where(w.table, cond) == 1);
  ddb_cond_release(cond);
  for (int i = 0; i < 3; i++) {
    ddb_expr_release(exprs[i]);
  }
  return nothing_wrong();
}

/* Judged, then changed by somebody else: the step must not go by the verdict, nor without one. */
static bool run_stale_skipped(void) {
  world w = world_with_rows(20);
  ddb_judge *judge;
  ddb_view view;
  uint64_t position = 0;
  const ddb_record *record;
  ok(ddb_judge_new(&judge, NULL));
  ok(ddb_view_open(w.table, &view, NULL));
  while ((record = ddb_view_next(&view, &position))) {
    ok(ddb_judge_put(judge, record, 0, NULL));
  }
  ddb_view_close(&view);
  ok(rows_update(w.table, 7, 1));
  ddb_step step = {.limit = DDB_NO_LIMIT, .judge = judge};
  ddb_run run = {.steps = &step, .step_count = 1};
  ddb_outcome outcome = {0};
  ok(ddb_table_run(w.table, &run, &outcome, NULL));
  check(outcome.stale && outcome.matched == 0);
  ddb_outcome_fini(&outcome);
  ddb_judge_free(judge);
  return nothing_wrong();
}

/* twin = a, while a becomes 7: the old a is meant. */
static bool run_changed_in_turn(void) {
  world w = world_with_rows(3);
  const ddb_shape *shape;
  ddb_str a = DDB_STR("a");
  ddb_value seven = ddb_int(7);
  ddb_builder *batch;
  ddb_expr *expr;
  ok(ddb_builder_new(&batch, NULL));
  ok(ddb_table_shape(w.table, DDB_SHAPE_CHANGES, &a, 1, &shape, NULL));
  ok(ddb_builder_record_begin(batch, shape, true, NULL));
  ok(ddb_builder_append(batch, &seven, NULL));
  ok(ddb_builder_end(batch, NULL));
  ok(ddb_expr_field(a, &expr, NULL));
  ddb_change change = {.name = DDB_STR("twin"), .kind = DDB_CHANGE_SET, .expr = expr};
  ddb_changes changes = {.batch = batch, .changes = &change, .change_count = 1};
  ddb_value key = ddb_int(2);
  ddb_step step = {.key = &key, .limit = DDB_NO_LIMIT, .changes = &changes};
  ddb_run run = {.steps = &step, .step_count = 1, .returning = DDB_RETURN_NEW};
  ddb_outcome outcome = {0};
  ok(ddb_table_run(w.table, &run, &outcome, NULL));
  check(outcome.record_count == 1);
  check(ddb_record_get(outcome.records[0], a).as.integer == 7);
  check(ddb_record_get(outcome.records[0], DDB_STR("twin")).as.integer == 20);
  ddb_outcome_fini(&outcome);
  ddb_expr_release(expr);
  ddb_builder_free(batch);
  return nothing_wrong();
}

static bool run_parallel_loses(void) {
  world w = world_with_rows(100);
  ddb_value low = ddb_int(0);
  ddb_cond *where;
  ddb_view view;
  uint64_t count = 0;
  ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_GE, &low, &where, NULL));
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_count_threads(&view, where, 3, &count, NULL));
  check(count == 100);
  ddb_view_close(&view);
  ddb_cond_release(where);
  return nothing_wrong();
}

/* 60 rows with a = 0, 1 or 2; `twin` tells one from the next. */
static world world_to_order(void) {
  world w = world_new();
  for (int64_t id = 1; id <= 60; id++) {
    ok(rows_insert(w.table, id, id % 3));
    ok(rows_set_field(w.table, id, DDB_STR("twin"), id));
  }
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  return w;
}

/* The ids, by a from the greatest down, are in groups that ascend. */
static void check_descending(ddb_table *table, const ddb_cond *where, uint64_t limit, int64_t first,
                             int64_t step) {
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  ddb_query query = {.where = where, .order = &order, .order_count = 1, .limit = limit};
  ddb_view view;
  ddb_records records = {0};
  ok(ddb_view_open(table, &view, NULL));
  ok(ddb_view_select(&view, &query, &records, NULL));
  check(records.count == limit);
  for (size_t i = 0; i < records.count && nothing_wrong(); i++) {
    int64_t id = ddb_record_get(records.items[i], DDB_STR("id")).as.integer;
    check(id == first + step * (int64_t)i);
  }
  ddb_records_free(&records);
  ddb_view_close(&view);
}

static bool run_walk_ties_backwards(void) {
  world w = world_to_order();
  check_descending(w.table, NULL, 5, 2, 3);
  return nothing_wrong();
}

/* Two rows match at once, and the third only beyond what the walk looks at. */
static bool run_walk_forgets_rows(void) {
  world w = world_new();
  for (int64_t id = 1; id <= 3000; id++) {
    ok(rows_insert(w.table, id, 3000 - id));
    ok(id <= 2 || id == 2999 ? rows_set_field(w.table, id, DDB_STR("twin"), 7) : DDB_OK);
  }
  ok(ddb_table_index_create(w.table, DDB_STR("a"), DDB_INDEX_SORTED, NULL));
  ddb_cond *where = compare_number(DDB_STR("twin"), DDB_OP_EQ, 7);
  ddb_order order = {.field = DDB_STR("a"), .descending = true};
  ddb_query query = {.where = where, .order = &order, .order_count = 1, .limit = 3};
  ddb_view view;
  ddb_records records = {0};
  ok(ddb_view_open(w.table, &view, NULL));
  ok(ddb_view_select(&view, &query, &records, NULL));
  check(records.count == 3);
  if (nothing_wrong()) {
    check(ddb_record_get(records.items[2], DDB_STR("id")).as.integer == 2999);
  }
  ddb_records_free(&records);
  ddb_view_close(&view);
  ddb_cond_release(where);
  return nothing_wrong();
}

static const fault_case cases[] = {
    {DDB__FAULT_PIN_WITHOUT_HOLD, run_pin_without_hold, 20},
    {DDB__FAULT_RETIRE_EARLY, run_retire_early, 20},
    {DDB__FAULT_HINT_RECORD_BIRTH, run_hint_record_birth, 20},
    {DDB__FAULT_PLACE_BY_KIND, run_place_by_kind, 20},
    {DDB__FAULT_PLACE_RULE_MOVES, run_place_rule_moves, 20},
    {DDB__FAULT_OWNER_OUTSIDE_ROOT, run_owner_outside_root, 20},
    {DDB__FAULT_ABORT_PUBLISHES, run_abort_publishes, 20},
    {DDB__FAULT_EDIT_IN_PLACE, run_edit_in_place, 20},
    {DDB__FAULT_INDEX_STALE_UPDATE, run_index_stale_update, 20},
    {DDB__FAULT_KEY_REUSED, run_key_reused, 20},
    {DDB__FAULT_GROUP_BY_SLOT, run_group_by_slot, 20},
    {DDB__FAULT_SLOT_REUSED, run_slot_reused, 20},
    {DDB__FAULT_SNAPSHOT_NOT_KEPT, run_snapshot_not_kept, 20},
    {DDB__FAULT_LOST_WAKEUP, run_lost_wakeup, 3},
    {DDB__FAULT_ABORT_LEAKS, run_abort_leaks, 20},
    {DDB__FAULT_TREE_SPLIT_LOSES, run_tree_split_loses, 20},
    {DDB__FAULT_CURSOR_NOT_HELD, run_cursor_not_held, 20},
    {DDB__FAULT_PARALLEL_LOSES, run_parallel_loses, 20},
    {DDB__FAULT_MEMO_STALE, run_memo_stale, 20},
    {DDB__FAULT_MEMO_NULL_LOST, run_memo_null_lost, 20},
    {DDB__FAULT_TREE_STALE_FIRST, run_tree_stale_first, 20},
    {DDB__FAULT_UNIQUE_UNCHECKED, run_unique_unchecked, 20},
    {DDB__FAULT_RANGE_EXCLUDES_END, run_range_excludes_end, 20},
    {DDB__FAULT_PLAN_NOT_IS_OR, run_plan_not_is_or, 20},
    {DDB__FAULT_PLAN_OR_FORGETS, run_plan_or_forgets, 20},
    {DDB__FAULT_PLAN_PATH_BLIND, run_plan_path_blind, 20},
    {DDB__FAULT_STALE_SKIPPED, run_stale_skipped, 20},
    {DDB__FAULT_CHANGED_IN_TURN, run_changed_in_turn, 20},
    {DDB__FAULT_BUILD_MISSES_CHANGES, run_build_misses_changes, 20},
    {DDB__FAULT_WALK_TIES_BACKWARDS, run_walk_ties_backwards, 20},
    {DDB__FAULT_WALK_FORGETS_ROWS, run_walk_forgets_rows, 20},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };
/* All but NONE, CONVERT_UNDER_LOCK, which is the extension's, and those of other programs. */
_Static_assert(CASE_COUNT == DDB__FAULT_COUNT - 2 - FAULTS_OF_QUERIES - FAULTS_OF_LOGS -
                                 FAULTS_OF_DELTAS - FAULTS_OF_MARKS - FAULTS_OF_FILES -
                                 FAULTS_OF_FUZZING - FAULTS_OF_TWINS,
               "a fault has no scenario");

static void test_scenarios_hold(void **state) {
  (void)state;
  hold_all(cases, CASE_COUNT);
}

static void test_faults_are_found(void **state) {
  (void)state;
  find_all(cases, CASE_COUNT);
}

/* ---- The bank finds them too --------------------------------------------------------------- */

static bool run_bank(void) {
  bank b;
  bank_open(&b, seed);
  ddb__test_yield_set(3, seed);
  bank_run(&b, support_number("DICTDB_MILLISECONDS", 1000));
  bank_check_snapshot(&b);
  return atomic_load(&b.wrong) == 0;
}

static void test_bank_finds(void **state) {
  (void)state;
  static const ddb__fault faults[] = {DDB__FAULT_RETIRE_EARLY, DDB__FAULT_EDIT_IN_PLACE,
                                      DDB__FAULT_OWNER_OUTSIDE_ROOT, DDB__FAULT_SLOT_REUSED,
                                      DDB__FAULT_SNAPSHOT_NOT_KEPT};
  assert_true(holds_in_child(run_bank, DDB__FAULT_NONE, 60));
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    bool held = true;
    for (int attempt = 0; held && attempt < 20; attempt++) {
      held = holds_in_child(run_bank, faults[i], 30);
    }
    if (held) {
      fail_msg("the bank did not find %s", fault_name(faults[i]));
    }
  }
}

int main(void) {
  seed = support_seed("store faults");
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scenarios_hold),
      cmocka_unit_test(test_faults_are_found),
      cmocka_unit_test(test_bank_finds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_only_in_testing_builds(void **state) {
  (void)state;
  skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_in_testing_builds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
