/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_outcome.c - what statements return: the records of inserts and upserts, and the records that a
 * judge does not know. Every allocation of a statement is made to fail: nothing has changed then, and
 * nothing leaks.
 */
#include "support.h"

static ddb_db *db;
static ddb_table *table;
static ddb_builder *batch;
static int64_t bytes_before;

static void leave(void) {
  ddb_builder_free(batch);
  ddb_table_release(table);
  ddb_db_release(db);
}

static void enter(void) {
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  assert_ok(ddb_builder_new(&batch, NULL));
}

static int set_up(void **state) {
  (void)state;
  enter(); /* what a thread's first statement leaves for good */
  assert_ok(ddb_table_insert_fields(table, (ddb_field[]){{DDB_STR("a"), ddb_text(DDB_STR("once"))}},
                                    1, NULL, NULL));
  leave();
  bytes_before = support_allocator_bytes();
  enter();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  leave();
  assert_int_equal(support_allocator_bytes(), bytes_before);
  return 0;
}

/* Appends {id, a}; id 0: without one. */
static void append(int64_t id, const char *a) {
  ddb_str names[] = {DDB_STR("a"), DDB_STR("id")};
  ddb_value values[] = {ddb_text(ddb_str_from(a)), ddb_int(id)};
  size_t count = id == 0 ? 1 : 2;
  const ddb_shape *shape;
  assert_ok(ddb_table_shape(table, DDB_SHAPE_RECORD, names, count, &shape, NULL));
  assert_ok(ddb_builder_record_begin(batch, shape, true, NULL));
  for (size_t i = 0; i < count; i++) {
    assert_ok(ddb_builder_append(batch, &values[i], NULL));
  }
  assert_ok(ddb_builder_end(batch, NULL));
}

static void assert_record(const ddb_record *record, int64_t id, const char *a) {
  assert_non_null(record);
  assert_int_equal(ddb_record_get(record, DDB_STR("id")).as.integer, id);
  ddb_value text = ddb_record_get(record, DDB_STR("a"));
  assert_int_equal(text.size, strlen(a));
  assert_memory_equal(text.as.data, a, strlen(a));
}

static void assert_row(int64_t id, const char *a) {
  ddb_view view;
  const ddb_record *record;
  ddb_value key = ddb_int(id);
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(ddb_view_get(&view, &key, &record, NULL));
  if (a) {
    assert_record(record, id, a);
  } else {
    assert_null(record);
  }
  ddb_view_close(&view);
}

static uint64_t row_count(void) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  uint64_t count = ddb_view_count(&view);
  ddb_view_close(&view);
  return count;
}

/* Fails at each allocation in turn, and then succeeds. */
static void upsert(ddb_conflict conflict, ddb_returning returning, ddb_outcome *out) {
  uint64_t rows = row_count();
  for (long n = 1;; n++) {
    *out = (ddb_outcome){.matched = 77};
    support_allocator_fail(n);
    ddb_status status = ddb_table_upsert_returning(table, batch, conflict, returning, out, NULL);
    bool failed = support_allocator_failed();
    if (status == DDB_OK) { /* what only gives memory back later may fail without harm */
      assert_true(n > 1);
      return;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_true(failed);
    assert_int_equal(out->matched, 77);
    assert_int_equal(row_count(), rows);
  }
}

static void upserts_return_records(void **state) {
  (void)state;
  ddb_outcome out;
  for (int64_t id = 1; id <= 9; id++) {
    append(id, "first");
  }
  append(0, "tenth");
  upsert(DDB_CONFLICT_ERROR, DDB_RETURN_NEW, &out);
  assert_int_equal(out.matched, 10);
  assert_int_equal(out.record_count, 10);
  assert_record(out.records[8], 9, "first");
  assert_record(out.records[9], 10, "tenth");
  ddb_outcome_fini(&out);
  ddb_builder_clear(batch);

  append(3, "third");
  append(20, "new");
  append(20, "newer");
  append(0, "newest");
  upsert(DDB_CONFLICT_UPDATE, DDB_RETURN_OLD, &out);
  assert_int_equal(out.matched, 4);
  assert_int_equal(out.record_count, 4);
  assert_record(out.records[0], 3, "first");
  assert_null(out.records[1]);
  assert_record(out.records[2], 20, "new");
  assert_null(out.records[3]);
  ddb_outcome_fini(&out);
  assert_row(20, "newer");
  assert_row(21, "newest");
  ddb_builder_clear(batch);

  append(3, "ignored");
  append(30, "thirtieth");
  upsert(DDB_CONFLICT_IGNORE, DDB_RETURN_NEW, &out);
  assert_int_equal(out.matched, 1);
  assert_record(out.records[0], 3, "third");
  assert_record(out.records[1], 30, "thirtieth");
  ddb_outcome_fini(&out);
  assert_row(3, "third");
}

static void counts_have_no_records(void **state) {
  (void)state;
  ddb_outcome out;
  append(1, "first");
  append(2, "second");
  upsert(DDB_CONFLICT_UPDATE, DDB_RETURN_COUNT, &out);
  assert_int_equal(out.matched, 2);
  assert_null(out.records);
  assert_int_equal(out.record_count, 0);
  ddb_outcome_fini(&out);
  assert_int_equal(
      ddb_table_upsert_returning(table, batch, DDB_CONFLICT_ERROR, DDB_RETURN_NEW, &out, NULL),
      DDB_ERR_DUPLICATE_KEY);
  assert_int_equal(
      ddb_table_upsert_returning(table, batch, DDB_CONFLICT_ERROR, (ddb_returning)3, &out, NULL),
      DDB_ERR_INVALID);
  assert_int_equal(row_count(), 2);
  ddb_builder_clear(batch);
  assert_ok(
      ddb_table_upsert_returning(table, batch, DDB_CONFLICT_ERROR, DDB_RETURN_NEW, &out, NULL));
  assert_int_equal(out.record_count, 0);
  ddb_outcome_fini(&out);
}

/* ---- Judging what only the statement has --------------------------------------------------- */

enum { CHAIN = 4 };

/* Field b of row 1 becomes 1, then 2, ..., each by a step whose judge has to see the one before. */
typedef struct chain {
  ddb_judge *judges[CHAIN];
  ddb_value values[CHAIN];
  ddb_change list[CHAIN];
  ddb_changes changes[CHAIN];
  ddb_step steps[CHAIN];
} chain;

static void chain_init(chain *c, const ddb_value *key) {
  for (int i = 0; i < CHAIN; i++) {
    assert_ok(ddb_judge_new(&c->judges[i], NULL));
    c->values[i] = ddb_int(i + 1);
    c->list[i] = (ddb_change){.name = DDB_STR("b"), .value = &c->values[i]};
    c->changes[i] = (ddb_changes){.changes = &c->list[i], .change_count = 1};
    c->steps[i] = (ddb_step){.key = i % 2 ? key : NULL,
                             .limit = DDB_NO_LIMIT,
                             .judge = c->judges[i],
                             .changes = c->changes};
  }
}

/* What the step's judge says of a copy: only row 1 is changed, and only as the step before left it. */
static void judge_copy(const chain *c, const ddb_outcome *out, const ddb_record *record) {
  size_t step = out->stale_step;
  bool mine = ddb_record_get(record, DDB_STR("id")).as.integer == 1;
  ddb_value b = ddb_record_get(record, DDB_STR("b"));
  if (mine && step > 0) {
    assert_int_equal(b.as.integer, step);
  } else {
    assert_int_equal(b.kind, DDB_MISSING);
  }
  size_t known;
  assert_false(ddb_judge_find(c->judges[step], record, &known));
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status =
        ddb_judge_put_equal(c->judges[step], record, mine ? step : DDB_JUDGE_LEAVE, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_false(ddb_judge_find(c->judges[step], record, &known));
  }
  assert_true(ddb_judge_find(c->judges[step], record, &known));
  assert_int_equal(known, mine ? step : DDB_JUDGE_LEAVE);
}

static void run_chain(const chain *c, ddb_outcome *out) {
  ddb_run run = {
      .steps = c->steps, .step_count = CHAIN, .returning = DDB_RETURN_OLD, .unjudged = true};
  for (long n = 1;; n++) {
    *out = (ddb_outcome){0};
    support_allocator_fail(n);
    ddb_status status = ddb_table_run(table, &run, out, NULL);
    bool failed = support_allocator_failed();
    if (status == DDB_OK) {
      assert_true(n > 1);
      return;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_true(failed);
    assert_null(out->records);
  }
}

static void judged_by_contents(void **state) {
  (void)state;
  static chain c;
  ddb_value key = ddb_int(1);
  ddb_outcome out;
  size_t copies[CHAIN] = {0};
  for (int64_t id = 1; id <= 100; id++) { /* the judge's table grows, with copies in it */
    append(id, "row");
  }
  upsert(DDB_CONFLICT_ERROR, DDB_RETURN_COUNT, &out);
  chain_init(&c, &key);
  for (int round = 0;; round++) {
    run_chain(&c, &out);
    if (!out.stale) {
      break;
    }
    assert_true(round < CHAIN);
    assert_int_equal(out.stale_step, round);
    assert_int_equal(out.matched, 0);
    copies[round] = out.record_count;
    for (size_t i = 0; i < out.record_count; i++) {
      judge_copy(&c, &out, out.records[i]);
    }
    ddb_outcome_fini(&out);
  }
  assert_int_equal(copies[0], 100);
  assert_int_equal(copies[1], 1);
  assert_int_equal(copies[2], 100);
  assert_int_equal(copies[3], 1);
  assert_int_equal(out.matched, CHAIN);
  assert_int_equal(out.record_count, CHAIN);
  assert_int_equal(ddb_record_get(out.records[3], DDB_STR("b")).as.integer, 3);
  ddb_outcome_fini(&out);
  for (int i = 0; i < CHAIN; i++) {
    ddb_judge_free(c.judges[i]);
  }
}

/* A verdict by contents does not count for a row that differs in one field, nor one by address for
 * an equal record elsewhere. */
static void verdicts_are_not_mixed_up(void **state) {
  (void)state;
  ddb_outcome one, two;
  append(1, "a");
  upsert(DDB_CONFLICT_UPDATE, DDB_RETURN_NEW, &one);
  ddb_builder_clear(batch);
  append(1, "b");
  upsert(DDB_CONFLICT_UPDATE, DDB_RETURN_NEW, &two);
  ddb_judge *judge;
  size_t choice;
  assert_ok(ddb_judge_new(&judge, NULL));
  assert_ok(ddb_judge_put_equal(judge, one.records[0], 5, NULL));
  assert_false(ddb_judge_find(judge, two.records[0], &choice));
  assert_ok(ddb_judge_put(judge, one.records[0], 6, NULL));
  assert_true(ddb_judge_find(judge, one.records[0], &choice));
  assert_int_equal(choice, 6);
  ddb_record *copy;
  assert_ok(ddb_record_copy(one.records[0], &copy, NULL));
  assert_true(ddb_judge_find(judge, copy, &choice));
  assert_int_equal(choice, 5);
  assert_ok(ddb_judge_put_equal(judge, copy, 7, NULL));
  assert_true(ddb_judge_find(judge, copy, &choice));
  assert_int_equal(choice, 7);
  assert_int_equal(ddb_judge_put_equal(judge, NULL, 7, NULL), DDB_ERR_INVALID);
  ddb_record_free(copy);
  ddb_judge_free(judge);
  ddb_outcome_fini(&one);
  ddb_outcome_fini(&two);
  ddb_outcome_fini(NULL);
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(upserts_return_records, set_up, tear_down),
      cmocka_unit_test_setup_teardown(counts_have_no_records, set_up, tear_down),
      cmocka_unit_test_setup_teardown(judged_by_contents, set_up, tear_down),
      cmocka_unit_test_setup_teardown(verdicts_are_not_mixed_up, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
