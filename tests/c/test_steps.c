/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_steps.c - statements of several steps against a plain array: random steps by key, by condition
 * with order and limit, and by a judge; values set, fields unset, items appended and removed; old and
 * new records returned. Every allocation of a statement is made to fail: nothing has changed then.
 */
#include "rows.h"
#include "support.h"

enum { ROWS_MAX = 40, TAGS_MAX = 12, STEPS_MAX = 4, NO_TAGS = -1 };

typedef struct row {
  int64_t id;
  int64_t a;
  int tag_count; /* NO_TAGS: the field is missing */
  int64_t tags[TAGS_MAX];
} row;

static uint64_t seed;
static uint64_t dice;
static ddb_db *db;
static ddb_table *table;
static row twin[ROWS_MAX];
static size_t twin_count;
static row returned[ROWS_MAX * STEPS_MAX];
static size_t returned_count;

static uint64_t roll(uint64_t bound) {
  return support_below(&dice, bound);
}

static void open_table(void) {
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  if (roll(2)) {
    assert_ok(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  }
  twin_count = 0;
}

static void close_table(void) {
  ddb_table_release(table);
  ddb_db_release(db);
}

static void insert_row(int64_t id) {
  ddb_field fields[] = {{DDB_STR("id"), ddb_int(id)}, {DDB_STR("a"), ddb_int((int64_t)roll(6))}};
  assert_ok(ddb_table_insert_fields(table, fields, 2, NULL, NULL));
  twin[twin_count++] = (row){id, fields[1].value.as.integer, NO_TAGS, {0}};
}

/* ---- Comparing ----------------------------------------------------------------------------- */

static bool record_is(const ddb_record *record, const row *r) {
  ddb_value tags = ddb_record_get(record, DDB_STR("tags"));
  if (ddb_record_get(record, DDB_STR("id")).as.integer != r->id ||
      ddb_record_get(record, DDB_STR("a")).as.integer != r->a ||
      ddb_record_count(record) != (r->tag_count == NO_TAGS ? 2 : 3)) {
    return false;
  }
  if (r->tag_count == NO_TAGS) {
    return tags.kind == DDB_MISSING;
  }
  bool same = tags.kind == DDB_LIST && ddb_value_item_count(&tags) == (size_t)r->tag_count;
  for (int i = 0; same && i < r->tag_count; i++) {
    same = ddb_value_item(&tags, (size_t)i).as.integer == r->tags[i];
  }
  return same;
}

static bool table_is_twin(void) {
  ddb_view view;
  uint64_t position = 0;
  assert_ok(ddb_view_open(table, &view, NULL));
  bool same = ddb_view_count(&view) == twin_count;
  for (size_t i = 0; same && i < twin_count; i++) {
    const ddb_record *record = ddb_view_next(&view, &position);
    same = record && record_is(record, &twin[i]);
  }
  for (int64_t a = 0; same && a < 6; a++) { /* through the index, when there is one */
    uint64_t count, expected = 0;
    ddb_value value = ddb_int(a);
    ddb_cond *cond;
    assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &value, &cond, NULL));
    assert_ok(ddb_view_count_where(&view, cond, &count, NULL));
    ddb_cond_release(cond);
    for (size_t i = 0; i < twin_count; i++) {
      expected += twin[i].a == a;
    }
    same = count == expected;
  }
  ddb_view_close(&view);
  return same;
}

/* ---- Random steps, and what they mean ------------------------------------------------------- */

/* A step and all that it points to. */
typedef struct plan {
  ddb_step step;
  ddb_value key;
  ddb_order order;
  int64_t below; /* where a < below; -1: all */
  ddb_changes changes;
  ddb_change list[3];
  ddb_value values[3];
  ddb_builder *batch;
  int64_t batch_a;
} plan;

static void add_change(plan *p, ddb_str name, ddb_change_kind kind, int64_t value) {
  size_t at = p->changes.change_count++;
  p->values[at] = ddb_int(value);
  p->list[at] = (ddb_change){.name = name, .kind = kind};
  if (kind != DDB_CHANGE_UNSET && roll(3) == 0) {
    ddb_expr *expr;
    assert_ok(ddb_expr_field(DDB_STR("a"), &expr, NULL));
    p->list[at].expr = expr;
  } else if (kind != DDB_CHANGE_UNSET) {
    p->list[at].value = &p->values[at];
  }
}

static void plan_batch(plan *p, int64_t a) {
  const ddb_shape *shape;
  ddb_str name = DDB_STR("a");
  ddb_value value = ddb_int(a);
  assert_ok(ddb_builder_new(&p->batch, NULL));
  assert_ok(ddb_table_shape(table, DDB_SHAPE_CHANGES, &name, 1, &shape, NULL));
  assert_ok(ddb_builder_record_begin(p->batch, shape, true, NULL));
  assert_ok(ddb_builder_append(p->batch, &value, NULL));
  assert_ok(ddb_builder_end(p->batch, NULL));
  p->changes.batch = p->batch;
  p->batch_a = a;
}

static void plan_changes(plan *p) {
  static const ddb_change_kind kinds[] = {DDB_CHANGE_UNSET, DDB_CHANGE_APPEND, DDB_CHANGE_REMOVE,
                                          DDB_CHANGE_APPEND};
  p->changes.changes = p->list;
  p->step.changes = &p->changes;
  uint64_t what = roll(4);
  if (what == 0) {
    plan_batch(p, (int64_t)roll(6));
  } else if (what == 1) {
    add_change(p, DDB_STR("a"), DDB_CHANGE_SET, (int64_t)roll(6));
  }
  if (what > 0 || roll(2)) {
    add_change(p, DDB_STR("tags"), kinds[roll(4)], (int64_t)roll(3));
  }
}

static void plan_make(plan *p, bool deletes) {
  *p = (plan){.step = DDB_STEP_INIT, .below = -1};
  if (roll(4) == 0) {
    p->key = ddb_int((int64_t)roll(ROWS_MAX));
    p->step.key = &p->key;
  }
  if (roll(3) > 0) {
    p->below = (int64_t)roll(7);
    ddb_value value = ddb_int(p->below);
    ddb_cond *cond;
    assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_LT, &value, &cond, NULL));
    p->step.where = cond;
  }
  if (roll(3) == 0) {
    p->order = (ddb_order){.field = DDB_STR("a"), .descending = roll(2) == 1};
    p->step.order = &p->order;
    p->step.order_count = 1;
  }
  if (roll(2)) {
    p->step.limit = roll(5);
  }
  if (!deletes) {
    plan_changes(p);
  }
}

static void plan_free(plan *p) {
  ddb_cond_release((ddb_cond *)(uintptr_t)p->step.where);
  ddb_builder_free(p->batch);
  for (size_t i = 0; i < p->changes.change_count; i++) {
    ddb_expr_release((ddb_expr *)(uintptr_t)p->list[i].expr);
  }
}

static bool twin_matches(const plan *p, const row *r) {
  return (!p->step.key || r->id == p->key.as.integer) && (p->below < 0 || r->a < p->below);
}

static void twin_tags(const ddb_change *change, int64_t value, row *r) {
  if (change->kind == DDB_CHANGE_UNSET) {
    r->tag_count = NO_TAGS;
  } else if (change->kind == DDB_CHANGE_APPEND) {
    r->tag_count = r->tag_count == NO_TAGS ? 0 : r->tag_count;
    r->tags[r->tag_count++] = value;
  } else if (r->tag_count != NO_TAGS) {
    int kept = 0;
    for (int i = 0; i < r->tag_count; i++) {
      if (r->tags[i] != value) {
        r->tags[kept++] = r->tags[i];
      }
    }
    r->tag_count = kept;
  }
}

static void twin_change(const plan *p, row *r) {
  row old = *r;
  if (p->batch) {
    r->a = p->batch_a;
  }
  for (size_t i = 0; i < p->changes.change_count; i++) {
    int64_t value = p->list[i].expr ? old.a : p->values[i].as.integer;
    if (p->list[i].name.size == 1) {
      r->a = value;
    } else {
      twin_tags(&p->list[i], value, r);
    }
  }
}

/* The twin's rows of a step, in order. */
static size_t twin_find(const plan *p, size_t *found) {
  size_t count = 0;
  for (size_t i = 0; i < twin_count; i++) {
    if (!twin_matches(p, &twin[i])) {
      continue;
    }
    size_t at = count++;
    while (p->step.order && at > 0 &&
           (p->order.descending ? twin[found[at - 1]].a < twin[i].a
                                : twin[found[at - 1]].a > twin[i].a)) {
      found[at] = found[at - 1];
      at--;
    }
    found[at] = i;
  }
  return count < p->step.limit ? count : (size_t)p->step.limit;
}

static uint64_t twin_step(const plan *p, ddb_returning returning) {
  size_t found[ROWS_MAX];
  bool gone[ROWS_MAX] = {false};
  size_t count = twin_find(p, found);
  for (size_t i = 0; i < count; i++) {
    if (returning == DDB_RETURN_OLD) {
      returned[returned_count++] = twin[found[i]];
    }
    gone[found[i]] = p->step.changes == NULL;
    if (p->step.changes) {
      twin_change(p, &twin[found[i]]);
    }
    if (returning == DDB_RETURN_NEW) {
      returned[returned_count++] = twin[found[i]];
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < twin_count; i++) {
    if (!gone[i]) {
      twin[kept++] = twin[i];
    }
  }
  twin_count = kept;
  return count;
}

static bool tags_fit(void) {
  for (size_t i = 0; i < twin_count; i++) {
    if (twin[i].tag_count >= TAGS_MAX - STEPS_MAX) {
      return false;
    }
  }
  return true;
}

static bool outcome_is(const ddb_outcome *out, uint64_t matched) {
  bool same = !out->stale && out->matched == matched && out->record_count == returned_count;
  for (size_t i = 0; same && i < returned_count; i++) {
    same = record_is(out->records[i], &returned[i]);
  }
  return same;
}

/* ---- Tests --------------------------------------------------------------------------------- */

/* Runs random steps on table and twin. fail: first with each allocation failing in turn. */
static void run_random(bool fail) {
  static plan plans[STEPS_MAX];
  static ddb_step steps[STEPS_MAX];
  ddb_returning returning = (ddb_returning)roll(3);
  ddb_run run = {.steps = steps, .step_count = 1 + roll(STEPS_MAX - 1), .returning = returning};
  for (size_t i = 0; i < run.step_count; i++) {
    plan_make(&plans[i], returning != DDB_RETURN_NEW && roll(8) == 0);
    steps[i] = plans[i].step;
  }
  ddb_outcome out = {0};
  for (long n = 1; fail; n++) {
    support_allocator_fail(n);
    ddb_status status = ddb_table_run(table, &run, &out, NULL);
    bool failed = support_allocator_failed();
    if (status == DDB_OK) { /* what only gives memory back later may fail without harm */
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_true(failed);
    assert_true(table_is_twin());
  }
  if (!fail) {
    assert_ok(ddb_table_run(table, &run, &out, NULL));
  }
  uint64_t matched = 0;
  returned_count = 0;
  for (size_t i = 0; i < run.step_count; i++) {
    matched += twin_step(&plans[i], returning);
    plan_free(&plans[i]);
  }
  assert_true(outcome_is(&out, matched));
  assert_true(table_is_twin());
  ddb_outcome_fini(&out);
}

static void run_rounds(int rounds, bool fail) {
  open_table(); /* what a thread's first statement leaves for good */
  insert_row(1);
  close_table();
  int64_t before = support_allocator_bytes();
  for (int round = 0; round < rounds; round++) {
    dice = seed + (uint64_t)round;
    open_table();
    int64_t id = 0;
    for (int i = 0; i < 60; i++) {
      if (twin_count < ROWS_MAX / 2 && roll(2)) {
        insert_row(id++);
      } else if (tags_fit()) {
        run_random(fail);
      }
    }
    close_table();
  }
  assert_int_equal(support_allocator_bytes(), before);
}

static void steps_do_what_they_say(void **state) {
  (void)state;
  run_rounds(150, false);
}

static void allocations_fail(void **state) {
  (void)state;
  run_rounds(6, true);
}

static ddb_status run_one(const ddb_step *step, ddb_outcome *out, ddb_error *err) {
  ddb_run run = {.steps = step, .step_count = 1};
  *out = (ddb_outcome){0};
  return ddb_table_run(table, &run, out, err);
}

/* The caller's code adds 100 to odd rows, while others change some between judging and running. */
static void a_judge_decides(void **state) {
  (void)state;
  dice = seed;
  open_table();
  for (int64_t id = 0; id < 20; id++) {
    insert_row(id);
  }
  ddb_judge *judge;
  ddb_builder *batch;
  ddb_changes changes[64] = {{0}};
  size_t made = 0;
  size_t judged[4] = {0};
  ddb_outcome out = {.stale = true};
  const ddb_shape *shape;
  ddb_str name = DDB_STR("a");
  assert_ok(ddb_judge_new(&judge, NULL));
  assert_ok(ddb_builder_new(&batch, NULL));
  assert_ok(ddb_table_shape(table, DDB_SHAPE_CHANGES, &name, 1, &shape, NULL));
  for (size_t round = 0; out.stale; round++) {
    ddb_view view;
    uint64_t position = 0;
    const ddb_record *record;
    assert_true(round < 4);
    assert_ok(ddb_view_open(table, &view, NULL));
    while ((record = ddb_view_next(&view, &position))) {
      ddb_value a = ddb_int(ddb_record_get(record, name).as.integer + 100);
      if (ddb_judge_find(judge, record, NULL)) {
        continue;
      }
      judged[round]++;
      if (ddb_record_get(record, DDB_STR("id")).as.integer % 2 == 0) {
        assert_ok(ddb_judge_put(judge, record, DDB_JUDGE_LEAVE, NULL));
        continue;
      }
      assert_ok(ddb_builder_record_begin(batch, shape, true, NULL));
      assert_ok(ddb_builder_append(batch, &a, NULL));
      assert_ok(ddb_builder_end(batch, NULL));
      changes[made] = (ddb_changes){.batch = batch, .item = made};
      assert_ok(ddb_judge_put(judge, record, made++, NULL));
    }
    ddb_view_close(&view);
    for (size_t i = round; i < 2; i++) { /* twice, then none */
      assert_ok(rows_set_field(table, 7 + (int64_t)round, name, 1000));
      twin[7 + round].a = 1000;
    }
    ddb_step step = {.limit = DDB_NO_LIMIT, .judge = judge, .changes = changes};
    assert_ok(run_one(&step, &out, NULL));
  }
  assert_int_equal(judged[0], 20);
  assert_int_equal(judged[1], 1);
  assert_int_equal(judged[2], 1);
  assert_int_equal(judged[3], 0);
  assert_int_equal(out.matched, 10);
  for (size_t i = 1; i < 20; i += 2) {
    twin[i].a += 100;
  }
  assert_true(table_is_twin());
  ddb_builder_free(batch);
  ddb_judge_free(judge);
  close_table();
}

static void expect_error(const ddb_change *change, ddb_status expected) {
  ddb_changes changes = {.changes = change, .change_count = 1};
  ddb_step step = {.limit = DDB_NO_LIMIT, .changes = &changes};
  ddb_outcome out;
  ddb_error err;
  assert_int_equal(run_one(&step, &out, &err), expected);
  assert_string_not_equal(err.message, "");
  assert_true(table_is_twin());
}

static void mistakes_change_nothing(void **state) {
  (void)state;
  dice = seed;
  open_table();
  insert_row(1);
  insert_row(2);
  ddb_value one = ddb_int(1);
  expect_error(&(ddb_change){DDB_STR("id"), DDB_CHANGE_SET, &one, NULL}, DDB_ERR_KEY);
  expect_error(&(ddb_change){DDB_STR("id"), DDB_CHANGE_UNSET, NULL, NULL}, DDB_ERR_KEY);
  expect_error(&(ddb_change){DDB_STR("a"), DDB_CHANGE_APPEND, &one, NULL}, DDB_ERR_TYPE);
  expect_error(&(ddb_change){DDB_STR("a"), DDB_CHANGE_REMOVE, &one, NULL}, DDB_ERR_TYPE);
  expect_error(&(ddb_change){DDB_STR("a"), DDB_CHANGE_SET, NULL, NULL}, DDB_ERR_INVALID);
  expect_error(&(ddb_change){DDB_STR("a"), (ddb_change_kind)77, &one, NULL}, DDB_ERR_INVALID);
  ddb_change twice[] = {{DDB_STR("a"), DDB_CHANGE_SET, &one, NULL},
                        {DDB_STR("a"), DDB_CHANGE_UNSET, NULL, NULL}};
  ddb_changes changes = {.changes = twice, .change_count = 2};
  ddb_step step = {.limit = DDB_NO_LIMIT, .changes = &changes};
  ddb_outcome out;
  assert_int_equal(run_one(&step, &out, NULL), DDB_ERR_INVALID);
  ddb_step deletes = DDB_STEP_INIT;
  ddb_run run = {.steps = &deletes, .step_count = 1, .returning = DDB_RETURN_NEW};
  assert_int_equal(ddb_table_run(table, &run, &out, NULL), DDB_ERR_INVALID);
  ddb_value nobody = ddb_int(99);
  deletes.key = &nobody;
  run = (ddb_run){.steps = &deletes, .step_count = 1, .must_match = true};
  assert_int_equal(ddb_table_run(table, &run, &out, NULL), DDB_ERR_RECORD_NOT_FOUND);
  assert_true(table_is_twin());
  close_table();
}

int main(void) {
  support_allocator_install();
  seed = support_seed("steps");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(steps_do_what_they_say),
      cmocka_unit_test(allocations_fail),
      cmocka_unit_test(a_judge_decides),
      cmocka_unit_test(mistakes_change_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
