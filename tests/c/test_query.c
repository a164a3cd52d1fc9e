/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query.c - conditions, queries and the statements that use them, against plain loops over an
 * array: random records of all kinds with missing fields, NaN and nested values, random conditions,
 * on two tables that get the same statements, one of them with indexes. Answers must be the same
 * rows in the same order from all three.
 */
#include "fault_child.h"
#include "query_twin.h"
#include "store/column.h"
#include "store/value.h"
#include "support.h"

enum { ROWS_MAX = 1200 };

/* ---- The twin ----------------------------------------------------------------------------- */

typedef struct world {
  uint64_t seed;
  uint64_t random;
  ddb_db *db;
  ddb_table *tables[2]; /* the second has indexes */
  twin_row rows[ROWS_MAX];
  size_t row_count;
  uint64_t column_bytes; /* that were kept whenever the budget changed */
  uint64_t matched;      /* of all conditions so far: a test of nothing must not pass */
} world;

static world w;

static bool same(const ddb_value *a, const ddb_value *b) {
  return ddb__value_identical(a, b);
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static bool record_is(const ddb_record *record, const twin_row *r) {
  if (ddb_record_count(record) != r->count) {
    return false;
  }
  for (size_t i = 0; i < r->count; i++) {
    ddb_value value = ddb_record_value(record, i);
    ddb_str name = ddb_record_name(record, i);
    const char *expected = twin_names[r->order[i]];
    if (name.size != strlen(expected) || memcmp(name.data, expected, name.size) != 0 ||
        !same(&value, &r->values[r->order[i]])) {
      return false;
    }
  }
  return true;
}

typedef struct expected_rows {
  size_t items[ROWS_MAX];
  size_t count;
} expected_rows;

/* order: NULL, or the direction of each field and where its nulls go. */
static int naive_row_compare(const twin_row *a, const twin_row *b, const int *fields,
                             const ddb_order *order, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ddb_value left = twin_read(a->values[fields[i]]);
    ddb_value right = twin_read(b->values[fields[i]]);
    int sign = ddb_value_compare(&left, &right);
    if (sign == 0 || !order) {
      if (sign != 0) {
        return sign;
      }
      continue;
    }
    bool nulls = left.kind == DDB_NULL || right.kind == DDB_NULL;
    bool flipped = nulls && order[i].nulls != DDB_NULLS_DEFAULT ? order[i].nulls == DDB_NULLS_LAST
                                                                : order[i].descending;
    return flipped ? -sign : sign;
  }
  return 0;
}

static const char *check_result(const ddb_records *result, const expected_rows *expected) {
  if (result->count != expected->count) {
    return "a query has another number of rows";
  }
  for (size_t i = 0; i < result->count; i++) {
    if (!record_is(result->items[i], &w.rows[expected->items[i]])) {
      return "a query has other rows, or another order";
    }
  }
  return NULL;
}

/* A few at a time, all by a cursor that outlives its view. */
static const char *check_cursor(ddb_view *view, const ddb_query *query,
                                const expected_rows *expected) {
  static const ddb_record *items[ROWS_MAX + 64];
  ddb_records result = {.items = items};
  ddb_cursor *cursor;
  assert_ok(ddb_cursor_open(view, query, &cursor, NULL));
  ddb_view_close(view);
  for (size_t count = 1; count > 0 && result.count <= ROWS_MAX; result.count += count) {
    size_t room = (size_t)support_below(&w.random, support_below(&w.random, 2) ? 4 : 60) + 1;
    assert_ok(ddb_cursor_next(cursor, items + result.count, room, &count, NULL));
    assert_true(count <= room);
  }
  const char *wrong = check_result(&result, expected);
  ddb_cursor_close(cursor);
  return wrong;
}

static const char *check_first(const ddb_view *view, const ddb_query *query,
                               const expected_rows *expected) {
  const ddb_record *record;
  bool exists;
  assert_ok(ddb_view_first(view, query, &record, NULL));
  if (query->limit > 0 &&
      (expected->count > 0 ? !record || !record_is(record, &w.rows[expected->items[0]])
                           : record != NULL)) {
    return "the first record is another";
  }
  assert_ok(ddb_view_exists(view, query->where, &exists, NULL));
  if (expected->count > 0 && !exists) {
    return "what was found does not exist";
  }
  return NULL;
}

static const char *check_query(const ddb_query *query, const expected_rows *expected) {
  for (int t = 0; t < 2; t++) {
    ddb_view view;
    ddb_records result;
    assert_ok(ddb_view_open(w.tables[t], &view, NULL));
    assert_ok(ddb_view_select(&view, query, &result, NULL));
    const char *wrong = check_result(&result, expected);
    ddb_records_free(&result);
    wrong = wrong ? wrong : check_first(&view, query, expected);
    if (!wrong && support_below(&w.random, 3) == 0) {
      wrong = check_cursor(&view, query, expected); /* closes it */
    } else {
      ddb_view_close(&view);
    }
    if (wrong) {
      return wrong;
    }
  }
  return NULL;
}

static void expect_matching(const twin_cond *cond, expected_rows *out) {
  out->count = 0;
  for (size_t i = 0; i < w.row_count; i++) {
    if (!cond || twin_cond_matches(cond, &w.rows[i])) {
      out->items[out->count++] = i;
    }
  }
  w.matched += out->count;
}

static void expect_sorted(expected_rows *rows, const int *fields, const ddb_order *order,
                          size_t count) {
  for (size_t i = 1; i < rows->count; i++) {
    size_t moved = rows->items[i];
    size_t at = i;
    for (; at > 0 && naive_row_compare(&w.rows[moved], &w.rows[rows->items[at - 1]], fields, order,
                                       count) < 0;
         at--) {
      rows->items[at] = rows->items[at - 1];
    }
    rows->items[at] = moved;
  }
}

static void expect_distinct(expected_rows *rows, const int *fields, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < rows->count; i++) {
    bool seen = false;
    for (size_t j = 0; j < kept && !seen; j++) {
      seen = naive_row_compare(&w.rows[rows->items[i]], &w.rows[rows->items[j]], fields, NULL,
                               count) == 0;
    }
    if (!seen) {
      rows->items[kept++] = rows->items[i];
    }
  }
  rows->count = kept;
}

static void expect_slice(expected_rows *rows, uint64_t offset, uint64_t limit) {
  size_t from = offset < rows->count ? (size_t)offset : rows->count;
  size_t left = rows->count - from;
  rows->count = limit < left ? (size_t)limit : left;
  memmove(rows->items, rows->items + from, rows->count * sizeof rows->items[0]);
}

/* Some of the fields as expressions, and now and then a constant before them, which orders nothing. */
static void order_by_expressions(ddb_query *query, ddb_order *order, ddb_expr **exprs) {
  static const char text[] = "more than fits into a value";
  ddb_value constant = ddb_text(ddb_str_from(text));
  for (size_t i = 0; i < query->order_count; i++) {
    exprs[i] = NULL;
    if (support_below(&w.random, 4) == 0) {
      assert_ok(ddb_expr_field(order[i].field, &exprs[i], NULL));
      order[i].field = (ddb_str){NULL, 0};
      order[i].expr = exprs[i];
    }
  }
  exprs[query->order_count] = NULL;
  if (query->order_count > 0 && support_below(&w.random, 6) == 0) {
    assert_ok(ddb_expr_value(&constant, &exprs[query->order_count], NULL));
    memmove(order + 1, order, query->order_count * sizeof *order);
    order[0] = (ddb_order){.expr = exprs[query->order_count]};
    query->order_count++;
  }
}

static const char *check_with_expressions(ddb_query *query, ddb_order *order,
                                          const expected_rows *expected) {
  ddb_expr *exprs[4];
  ddb_expr *columns[4] = {NULL};
  size_t count = query->order_count;
  order_by_expressions(query, order, exprs);
  if (query->distinct_fields && support_below(&w.random, 2)) {
    for (size_t i = 0; i < query->distinct_count; i++) {
      assert_ok(ddb_expr_field(query->distinct_fields[i], &columns[i], NULL));
    }
    query->distinct_exprs = columns;
    query->distinct_fields = NULL;
  }
  const char *wrong = check_query(query, expected);
  for (size_t i = 0; i < 4; i++) {
    ddb_expr_release(i <= count ? exprs[i] : NULL);
    ddb_expr_release(columns[i]);
  }
  return wrong;
}

static const char *check_random_query(void) {
  static expected_rows expected;
  static const int every[] = {0, 1, 2, 3, 4, 5};
  const twin_cond *plain =
      support_below(&w.random, 10) ? twin_cond_random(&w.random, w.rows, w.row_count, 3) : NULL;
  ddb_query query = DDB_QUERY_INIT;
  int fields[3];
  ddb_order order[4];
  int distinct[3];
  ddb_str distinct_names[3];
  expect_matching(plain, &expected);
  query.threads = (uint32_t)support_below(&w.random, 4);
  query.order_count = support_below(&w.random, 2) ? support_below(&w.random, 4) : 0;
  query.order = order;
  for (size_t i = 0; i < query.order_count; i++) {
    fields[i] = (int)support_below(&w.random, TWIN_NEVER + 1);
    order[i] = (ddb_order){.field = ddb_str_from(twin_names[fields[i]]),
                           .descending = support_below(&w.random, 2),
                           .nulls = (ddb_nulls)support_below(&w.random, 3)};
  }
  expect_sorted(&expected, fields, order, query.order_count);
  query.distinct = support_below(&w.random, 4) == 0;
  if (query.distinct && support_below(&w.random, 4)) {
    query.distinct_fields = distinct_names;
    query.distinct_count = support_below(&w.random, 4);
    for (size_t i = 0; i < query.distinct_count; i++) {
      distinct[i] = (int)support_below(&w.random, TWIN_NEVER + 1);
      distinct_names[i] = ddb_str_from(twin_names[distinct[i]]);
    }
    expect_distinct(&expected, distinct, query.distinct_count);
  } else if (query.distinct) {
    expect_distinct(&expected, every, TWIN_FIELDS);
  }
  if (support_below(&w.random, 2)) {
    query.offset = support_below(&w.random, 8) ? support_below(&w.random, 6) : UINT64_MAX;
    query.limit = support_below(&w.random, 4) ? support_below(&w.random, 12) : DDB_NO_LIMIT;
  }
  expect_slice(&expected, query.offset, query.limit);
  ddb_cond *where = plain ? twin_cond_real(plain) : NULL;
  query.where = where;
  const char *wrong = check_with_expressions(&query, order, &expected);
  ddb_cond_release(where);
  return wrong;
}

static const char *check_one(const ddb_view *view, const ddb_cond *where,
                             const expected_rows *expected) {
  static const ddb_status statuses[] = {DDB_ERR_RECORD_NOT_FOUND, DDB_OK, DDB_ERR_MULTIPLE_RECORDS};
  const ddb_record *record = NULL;
  bool exists;
  ddb_status status = ddb_view_one(view, where, &record, NULL);
  assert_ok(ddb_view_exists(view, where, &exists, NULL));
  if (status != statuses[expected->count < 2 ? expected->count : 2] ||
      exists != (expected->count > 0)) {
    return "there is one, or none, or are several, and it says otherwise";
  }
  return record && !record_is(record, &w.rows[expected->items[0]]) ? "it is another one" : NULL;
}

static const char *check_count(void) {
  static expected_rows expected;
  const twin_cond *plain = twin_cond_random(&w.random, w.rows, w.row_count, 3);
  expect_matching(plain, &expected);
  ddb_cond *where = twin_cond_real(plain);
  const char *wrong = NULL;
  for (int t = 0; t < 2 && !wrong; t++) {
    ddb_view view;
    uint64_t count;
    uint32_t threads = (uint32_t)support_below(&w.random, 4);
    assert_ok(ddb_view_open(w.tables[t], &view, NULL));
    assert_ok(ddb_view_count_threads(&view, where, threads, &count, NULL));
    wrong = count == expected.count ? check_one(&view, where, &expected) : "a count is wrong";
    ddb_view_close(&view);
  }
  ddb_cond_release(where);
  return wrong;
}

static const char *check_columns(void) {
  bool seen[TWIN_FIELDS] = {false};
  const char *expected[TWIN_FIELDS];
  size_t count = 0;
  if (w.row_count > 0) {
    expected[count++] = twin_names[TWIN_KEY];
    seen[TWIN_KEY] = true;
  }
  for (size_t i = 0; i < w.row_count; i++) {
    for (size_t j = 0; j < w.rows[i].count; j++) {
      int field = w.rows[i].order[j];
      if (!seen[field]) {
        expected[count++] = twin_names[field];
        seen[field] = true;
      }
    }
  }
  ddb_view view;
  ddb_str columns[TWIN_FIELDS];
  size_t column_count = support_below(&w.random, TWIN_FIELDS + 1);
  size_t room = column_count;
  assert_ok(ddb_view_open(w.tables[0], &view, NULL));
  assert_ok(ddb_view_columns(&view, columns, &column_count, NULL));
  const char *wrong = column_count == count ? NULL : "there are other columns";
  for (size_t i = 0; i < room && i < count && !wrong; i++) {
    bool equal = columns[i].size == strlen(expected[i]) &&
                 memcmp(columns[i].data, expected[i], columns[i].size) == 0;
    wrong = equal ? NULL : "columns differ";
  }
  ddb_view_close(&view);
  return wrong;
}

static const char *check_all(void) {
  static expected_rows expected;
  ddb_query query = DDB_QUERY_INIT;
  expect_matching(NULL, &expected);
  return check_query(&query, &expected);
}

/* ---- Statements --------------------------------------------------------------------------- */

static ddb_value random_key(void) {
  for (;;) {
    uint64_t number = support_below(&w.random, 2000);
    ddb_value key = number % 11 == 0  ? twin_pool[support_below(&w.random, twin_pool_count)]
                    : number % 7 == 0 ? ddb_float((double)number + 0.5)
                                      : ddb_int((int64_t)number);
    /* A key must be like itself: no NaN, and no tuple that holds one. */
    bool taken = !ddb__value_hashable(&key) || key.kind == DDB_NULL || !ddb_value_equal(&key, &key);
    for (size_t i = 0; i < w.row_count && !taken; i++) {
      taken = ddb_value_equal(&w.rows[i].values[TWIN_KEY], &key);
    }
    if (!taken) {
      return key;
    }
  }
}

static ddb_value random_value(int field) {
  if (field == TWIN_KEY) {
    return random_key();
  }
  return field == TWIN_ONE_KIND ? twin_one_kind(w.seed, &w.random) : *twin_pick(&w.random);
}

static void random_row(twin_row *r) {
  *r = (twin_row){0};
  uint8_t fields[TWIN_FIELDS];
  for (uint8_t i = 0; i < TWIN_FIELDS; i++) {
    uint64_t at = support_below(&w.random, i + 1u);
    fields[i] = fields[at];
    fields[at] = i;
  }
  for (size_t i = 0; i < TWIN_FIELDS; i++) {
    if (fields[i] == TWIN_KEY || fields[i] == TWIN_ONE_KIND || support_below(&w.random, 3)) {
      r->order[r->count++] = fields[i];
      r->values[fields[i]] = random_value(fields[i]);
    }
  }
}

static void append_row(ddb_builder *batch, ddb_table *table, ddb_shape_kind kind,
                       const twin_row *r) {
  ddb_str fields[TWIN_FIELDS];
  for (size_t i = 0; i < r->count; i++) {
    fields[i] = ddb_str_from(twin_names[r->order[i]]);
  }
  const ddb_shape *shape;
  assert_ok(ddb_table_shape(table, kind, fields, r->count, &shape, NULL));
  assert_ok(ddb_builder_record_begin(batch, shape, true, NULL));
  for (size_t i = 0; i < r->count; i++) {
    assert_ok(ddb_builder_append(batch, &r->values[r->order[i]], NULL));
  }
  assert_ok(ddb_builder_end(batch, NULL));
}

static const char *insert_rows(void) {
  size_t first = w.row_count;
  for (uint64_t i = support_below(&w.random, 6) + 1; i > 0 && w.row_count < ROWS_MAX; i--) {
    random_row(&w.rows[w.row_count]);
    w.row_count++;
  }
  for (int t = 0; t < 2; t++) {
    ddb_builder *batch;
    assert_ok(ddb_builder_new(&batch, NULL));
    for (size_t i = first; i < w.row_count; i++) {
      append_row(batch, w.tables[t], DDB_SHAPE_RECORD, &w.rows[i]);
    }
    assert_ok(ddb_table_insert(w.tables[t], batch, NULL, NULL));
    ddb_builder_free(batch);
  }
  return NULL;
}

static void merge_row(twin_row *into, const twin_row *changes) {
  for (size_t i = 0; i < changes->count; i++) {
    uint8_t field = changes->order[i];
    if (into->values[field].kind == DDB_MISSING) {
      into->order[into->count++] = field;
    }
    into->values[field] = changes->values[field];
  }
}

static void random_changes(twin_row *r) {
  *r = (twin_row){0};
  for (uint8_t field = 1; field < TWIN_FIELDS; field++) {
    if (support_below(&w.random, 3) == 0) {
      r->order[r->count++] = field;
      r->values[field] = random_value(field);
    }
  }
}

static const char *update_rows(const ddb_cond *where, const expected_rows *expected) {
  twin_row changes;
  random_changes(&changes);
  for (int t = 0; t < 2; t++) {
    ddb_builder *builder;
    uint64_t count;
    assert_ok(ddb_builder_new(&builder, NULL));
    append_row(builder, w.tables[t], DDB_SHAPE_CHANGES, &changes);
    assert_ok(ddb_table_update(w.tables[t], builder, where, &count, NULL));
    ddb_builder_free(builder);
    if (count != expected->count) {
      return "an update matched another number of rows";
    }
  }
  for (size_t i = 0; i < expected->count; i++) {
    merge_row(&w.rows[expected->items[i]], &changes);
  }
  return NULL;
}

static const char *delete_rows(const ddb_cond *where, const expected_rows *expected) {
  for (int t = 0; t < 2; t++) {
    uint64_t count;
    assert_ok(ddb_table_delete(w.tables[t], where, &count, NULL));
    if (count != expected->count) {
      return "a delete matched another number of rows";
    }
  }
  for (size_t i = expected->count; i-- > 0;) {
    size_t at = expected->items[i];
    memmove(&w.rows[at], &w.rows[at + 1], (w.row_count - at - 1) * sizeof w.rows[0]);
    w.row_count--;
  }
  return NULL;
}

static const char *change_rows(bool delete) {
  static expected_rows expected;
  const twin_cond *plain = twin_cond_random(&w.random, w.rows, w.row_count, 2);
  expect_matching(plain, &expected);
  if (delete &&expected.count > w.row_count / 3 && support_below(&w.random, 20)) {
    return NULL; /* keep some */
  }
  ddb_cond *where = twin_cond_real(plain);
  const char *wrong = delete ? delete_rows(where, &expected) : update_rows(where, &expected);
  ddb_cond_release(where);
  return wrong ? wrong : check_all();
}

/* Columns are kept, some, or none: answers stay the same. */
static const char *change_budget(void) {
  static const uint64_t budgets[] = {1 << 20, 1 << 20, 0, 4000, DDB_COLUMN_BUDGET_AUTO};
  size_t choice = (size_t)support_below(&w.random, sizeof budgets / sizeof budgets[0]);
  for (int t = 0; t < 2; t++) {
    ddb_memory memory;
    ddb_table_memory(w.tables[t], &memory);
    w.column_bytes += memory.column_bytes;
    assert_ok(ddb_table_column_budget_set(w.tables[t], budgets[choice], NULL));
  }
  return NULL;
}

static const char *random_step(void) {
  if (support_below(&w.random, 50) == 0) {
    return change_budget();
  }
  switch (support_below(&w.random, 20)) {
  case 0:
  case 1:
  case 2:
    return insert_rows();
  case 3:
  case 4:
    return change_rows(false);
  case 5:
    return change_rows(true);
  case 6:
    return support_below(&w.random, 3) == 0 ? twin_index_toggle(&w.random, w.tables[1])
                                            : check_columns();
  case 7:
  case 8:
  case 9:
    return check_count();
  default:
    return check_random_query();
  }
}

/* ---- Tests -------------------------------------------------------------------------------- */

static void world_open(uint64_t from) {
  memset(&w, 0, sizeof w);
  w.seed = from;
  w.random = from;
  twin_pool_make(&w.random);
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("plain"), NULL, &w.tables[0], NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("indexed"), NULL, &w.tables[1], NULL));
  for (int field = 1; field < 4; field++) {
    ddb_index_kind kind = (from + (uint64_t)field) % 2 ? DDB_INDEX_SORTED : DDB_INDEX_HASH;
    assert_ok(ddb_table_index_create(w.tables[1], ddb_str_from(twin_names[field]), kind, NULL));
  }
}

static void world_close(void) {
  static int64_t left = -1; /* what the library keeps for the thread */
  ddb_table_release(w.tables[0]);
  ddb_table_release(w.tables[1]);
  ddb_db_release(w.db);
  twin_pool_free();
  left = left < 0 ? support_allocator_bytes() : left;
  assert_int_equal(support_allocator_bytes(), left);
}

static const char *run_model(uint64_t from, uint64_t steps) {
  world_open(from);
  const char *wrong = NULL;
  for (uint64_t i = 0; i < 25 && !wrong; i++) {
    wrong = insert_rows();
  }
  for (uint64_t i = 0; i < steps && !wrong; i++) {
    wrong = random_step();
  }
  bool columns = w.column_bytes > 0 || DDB__BLOCK_ROWS > 1000; /* Only tiny blocks fill up here. */
  if (!wrong && steps > 100 && (w.matched < steps || !columns)) {
    wrong = "hardly anything matched, or no columns: the test tests nothing";
  }
  world_close();
  return wrong;
}

static uint64_t seed;

static void model_holds(void **state) {
  (void)state;
  uint64_t rounds = support_number("DICTDB_ROUNDS", 6);
  for (uint64_t i = 0; i < rounds; i++) {
    const char *wrong = run_model(seed + i, 1500);
    if (wrong) {
      fail_msg("seed %llu: %s", (unsigned long long)(seed + i), wrong);
    }
  }
}

/* What of the world is asked and changed with every allocation failing once. */
static ddb_status ask(unsigned what, const ddb_cond *where, const ddb_builder *changes,
                      uint64_t *answer) {
  ddb_order order[] = {{.field = DDB_STR("a"), .descending = true}, {.field = DDB_STR("b")}};
  ddb_query query = {.where = where, .order = order, .limit = DDB_NO_LIMIT};
  query.order_count = what == 1 ? 2 : 0;
  query.distinct = what == 2;
  if (what == 5) {
    return ddb_table_update(w.tables[1], changes, where, answer, NULL);
  }
  if (what == 6) {
    return ddb_table_delete(w.tables[1], where, answer, NULL);
  }
  ddb_view view;
  ddb_records records = {0};
  size_t count = 0;
  ddb_status status = ddb_view_open(w.tables[1], &view, NULL);
  if (status) {
    return status;
  }
  if (what < 3) {
    status = ddb_view_select(&view, &query, &records, NULL);
    *answer = records.count;
  } else if (what == 3) {
    status = ddb_view_count_where(&view, where, answer, NULL);
  } else {
    status = ddb_view_columns(&view, NULL, &count, NULL);
    *answer = count;
  }
  ddb_records_free(&records);
  ddb_view_close(&view);
  return status;
}

static unsigned fail_each(unsigned what, const ddb_cond *where, const ddb_builder *changes) {
  for (unsigned n = 1;; n++) {
    int64_t before = support_allocator_bytes();
    uint64_t answer = 12345;
    support_allocator_fail((long)n);
    ddb_status status = ask(what, where, changes, &answer);
    bool failed = support_allocator_failed();
    if (!failed) {
      assert_ok(status);
      return n - 1;
    }
    /* A failed allocation that only gives memory back later may go unnoticed. */
    if (status) {
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_int_equal(answer, what < 3 || what == 4 ? 0 : 12345);
    }
    if (what < 5) {
      assert_int_equal(support_allocator_bytes(), before);
    }
    if (!status && what >= 5) {
      return n;
    }
    assert_null(check_all());
  }
}

static void allocations_fail(void **state) {
  (void)state;
  world_open(seed);
  for (int i = 0; i < 30; i++) {
    insert_rows();
  }
  assert_ok(ddb_table_column_budget_set(w.tables[0], 0, NULL));
  assert_ok(ddb_table_column_budget_set(w.tables[1], 0, NULL));
  twin_row changes;
  do {
    random_changes(&changes);
  } while (changes.count < 3);
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  append_row(builder, w.tables[1], DDB_SHAPE_CHANGES, &changes);
  ddb_cond *parts[2];
  ddb_value one = ddb_int(1);
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_GE, &one, &parts[0], NULL));
  assert_ok(ddb_cond_in(DDB_STR("b"), twin_pool, 24, &parts[1], NULL));
  ddb_cond *where;
  assert_ok(ddb_cond_or(parts, 2, &where, NULL));
  unsigned failures = 0;
  for (unsigned what = 0; what < 5; what++) {
    failures += fail_each(what, where, builder);
    failures += fail_each(what, parts[1], builder);
  }
  failures += fail_each(5, NULL, builder);
  uint64_t answer;
  ddb_builder_clear(builder);
  append_row(builder, w.tables[0], DDB_SHAPE_CHANGES, &changes);
  assert_ok(ddb_table_update(w.tables[0], builder, NULL, &answer, NULL));
  for (size_t i = 0; i < w.row_count; i++) {
    merge_row(&w.rows[i], &changes);
  }
  assert_null(check_all());
  failures += fail_each(6, NULL, NULL);
  assert_true(failures > 30);
  ddb_cond_release(where);
  ddb_cond_release(parts[0]);
  ddb_cond_release(parts[1]);
  ddb_builder_free(builder);
  world_close();
}

/* An update needs changes made for the table. */
static void bad_changes(void **state) {
  (void)state;
  world_open(seed);
  insert_rows();
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  uint64_t count = 7;
  assert_int_equal(ddb_table_update(w.tables[0], builder, NULL, &count, NULL), DDB_ERR_INVALID);
  ddb_value one = ddb_int(1);
  assert_ok(ddb_builder_append(builder, &one, NULL));
  assert_int_equal(ddb_table_update(w.tables[0], builder, NULL, &count, NULL), DDB_ERR_INVALID);
  ddb_builder_clear(builder);
  twin_row changes;
  do {
    random_changes(&changes);
  } while (changes.count == 0);
  append_row(builder, w.tables[1], DDB_SHAPE_CHANGES, &changes);
  assert_int_equal(ddb_table_update(w.tables[0], builder, NULL, &count, NULL), DDB_ERR_INVALID);
  assert_int_equal(count, 7);
  assert_ok(ddb_table_update(w.tables[1], builder, NULL, &count, NULL));
  assert_int_equal(count, w.row_count);
  /* Once more changes nothing, and still counts. */
  assert_ok(ddb_table_update(w.tables[1], builder, NULL, &count, NULL));
  assert_int_equal(count, w.row_count);
  ddb_builder_free(builder);
  world_close();
}

/* A hundred thousand conditions in a row are one list. */
static void long_condition(void **state) {
  (void)state;
  world_open(seed);
  insert_rows();
  ddb_value one = ddb_int(-1);
  ddb_cond *chain;
  assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_NE, &one, &chain, NULL));
  for (int i = 0; i < 100000; i++) {
    ddb_cond *operands[] = {chain, NULL};
    one = ddb_int(-2 - i);
    assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_NE, &one, &operands[1], NULL));
    assert_ok(ddb_cond_and(operands, 2, &chain, NULL));
    ddb_cond_release(operands[0]);
    ddb_cond_release(operands[1]);
  }
  ddb_view view;
  uint64_t count;
  assert_ok(ddb_view_open(w.tables[1], &view, NULL));
  assert_ok(ddb_view_count_where(&view, chain, &count, NULL));
  ddb_view_close(&view);
  assert_true(count + 1 >= w.row_count);
  ddb_cond_release(chain);
  world_close();
}

#ifdef DDB_TESTING
static bool three_models_hold(void) {
  const char *wrong = NULL;
  for (uint64_t round = 0; round < 3 && !wrong; round++) {
    wrong = run_model(seed + round, 1500);
  }
  return !wrong;
}

static void faults_are_found(void **state) {
  (void)state;
  static const ddb__fault faults[] = {DDB__FAULT_INDEX_STALE_UPDATE, DDB__FAULT_TREE_SPLIT_LOSES};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    if (holds_in_child(three_models_hold, faults[i], 60)) {
      fail_msg("%s was not found", fault_name(faults[i]));
    }
  }
}
#endif

int main(void) {
  support_allocator_install();
  seed = support_seed("test_query");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(model_holds),      cmocka_unit_test(allocations_fail),
      cmocka_unit_test(bad_changes),      cmocka_unit_test(long_condition),
#ifdef DDB_TESTING
      cmocka_unit_test(faults_are_found),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
