/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query.c - conditions, queries and the statements that use them, against plain loops over an
 * array: random records of all kinds with missing fields, NaN and nested values, random conditions,
 * on two tables that get the same statements, one of them with indexes. Answers must be the same rows
 * in the same order from all three.
 */
#include <math.h>

#include "base/testing.h"
#include "store/record.h"
#include "support.h"

enum { FIELDS = 6, POOL_MAX = 160, ROWS_MAX = 1200, KEY = 0, NEVER = FIELDS };

/* The last of them is in no record. */
static const char *const names[FIELDS + 1] = {"id", "a", "b", "c", "d", "e f", "never"};

/* ---- Values ------------------------------------------------------------------------------- */

static ddb_builder *pool_builder;
static ddb_value pool[POOL_MAX];
static size_t pool_count;

static void pool_add(ddb_value value) {
  assert_ok(ddb_builder_append(pool_builder, &value, NULL));
}

static ddb_value decimal(const char *digits) {
  return (ddb_value){.kind = DDB_DECIMAL, .size = (uint32_t)strlen(digits), .as = {.data = digits}};
}

static ddb_value bytes(const char *data, size_t size) {
  return (ddb_value){.kind = DDB_BYTES, .size = (uint32_t)size, .as = {.data = data}};
}

static void pool_add_plain(void) {
  static const double reals[] = {0.0, -0.0, 0.5, 1.0, 2.0, 2.5, -3.0, 1e300, 9007199254740993.0,
                                 9223372036854775808.0, -9223372036854775808.0, INFINITY,
                                 -INFINITY, NAN};
  static const int64_t integers[] = {0, 1, 2, 3, 4, -3, 9007199254740992, 9007199254740993,
                                     INT64_MAX, INT64_MIN, INT64_MAX - 511};
  static const char *const texts[] = {"", "a", "ab", "abc", "abcdefgh", "abcdefgi", "b",
                                      "\xc3\xa9", "1", "None"};
  pool_add(ddb_null());
  pool_add(ddb_bool(true));
  pool_add(ddb_bool(false));
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
    pool_add(ddb_float(reals[i]));
  }
  for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
    pool_add(ddb_int(integers[i]));
  }
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    pool_add(ddb_text(ddb_str_from(texts[i])));
  }
  pool_add(bytes("ab", 2));
  pool_add(bytes("\0b", 2));
  pool_add(decimal("1.0"));
  pool_add(decimal("0.5"));
  pool_add(decimal("NaN"));
  pool_add(decimal("1E+30"));
}

static void pool_add_sized(void) {
  static const uint8_t big[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  static const uint8_t negative[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  static const uint8_t uuid[16] __attribute__((aligned(8))) = {1, 2, 3};
  static const ddb_duration duration = {1, 5};
  static const ddb_temporal naive = {.micros = 5, .offset_micros = DDB_OFFSET_NONE};
  static const ddb_temporal later = {.micros = 9, .offset_micros = DDB_OFFSET_NONE};
  static const ddb_temporal aware = {.micros = 5, .offset_micros = 0, .zone_kind = DDB_ZONE_FIXED};
  pool_add((ddb_value){.kind = DDB_BIGINT, .size = sizeof big, .as = {.data = big}});
  pool_add((ddb_value){.kind = DDB_BIGINT, .size = sizeof negative, .as = {.data = negative}});
  pool_add((ddb_value){.kind = DDB_DATE, .as = {.integer = 5}});
  pool_add((ddb_value){.kind = DDB_DATE, .as = {.integer = 700000}});
  pool_add((ddb_value){.kind = DDB_UUID, .size = 16, .as = {.data = uuid}});
  pool_add((ddb_value){.kind = DDB_TIMEDELTA, .size = sizeof duration, .as = {.data = &duration}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof naive, .as = {.data = &naive}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof later, .as = {.data = &later}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof aware, .as = {.data = &aware}});
  pool_add((ddb_value){.kind = DDB_TIME, .size = sizeof naive, .as = {.data = &naive}});
}

/* A container of up to three plain values (of one, nested once more). */
static void pool_add_container(uint64_t *random, ddb_kind kind, bool nested) {
  bool is_dict = kind == DDB_DICT;
  size_t count = (size_t)support_below(random, 3);
  assert_ok(ddb_builder_begin(pool_builder, kind, is_dict ? 2 * count : count, NULL));
  for (size_t i = 0; i < count; i++) {
    if (is_dict) {
      pool_add(ddb_int((int64_t)i));
    }
    if (nested && i == 0) {
      pool_add_container(random, DDB_TUPLE, false);
    } else {
      bool is_nan = !is_dict && support_below(random, 8) == 0;
      pool_add(is_nan ? ddb_float(NAN) : ddb_int((int64_t)(i + support_below(random, 2))));
    }
  }
  assert_ok(ddb_builder_end(pool_builder, NULL));
}

static void pool_make(uint64_t *random) {
  static const ddb_kind kinds[] = {DDB_LIST, DDB_TUPLE, DDB_DICT};
  assert_ok(ddb_builder_new(&pool_builder, NULL));
  pool_add_plain();
  pool_add_sized();
  for (size_t i = 0; i < 18; i++) {
    pool_add_container(random, kinds[i % 3], i > 10);
  }
  for (size_t i = 0; i < 6; i++) {
    assert_ok(ddb_builder_begin(pool_builder, i % 2 ? DDB_SET : DDB_FROZENSET, 1 + i / 4, NULL));
    pool_add(ddb_int((int64_t)(i / 2)));
    if (i / 4) {
      pool_add(ddb_text(ddb_str_from("x")));
    }
    assert_ok(ddb_builder_end(pool_builder, NULL));
  }
  pool_count = ddb_builder_count(pool_builder);
  assert_true(pool_count <= POOL_MAX);
  for (size_t i = 0; i < pool_count; i++) {
    pool[i] = ddb_builder_value_at(pool_builder, i);
  }
}

enum { ONE_KIND = 4 }; /* a field that all records have, of one kind: sorting has a way for those */

static ddb_value one_kind_value(uint64_t seed, uint64_t *random) {
  static const double reals[] = {-INFINITY, -1.5, -0.0, 0.0, 1e-310, 2.25, 7e9, INFINITY, NAN};
  static const int64_t integers[] = {INT64_MIN, -1, 0, 1, 9007199254740993, 9007199254740992,
                                     INT64_MAX};
  if (seed % 3 == 0) {
    return ddb_float(reals[support_below(random, sizeof reals / sizeof reals[0])]);
  }
  ddb_value value = ddb_int(integers[support_below(random, sizeof integers / sizeof integers[0])]);
  if (seed % 3 == 1) {
    value = (ddb_value){.kind = DDB_DATE, .as = {.integer = (int64_t)support_below(random, 9) + 1}};
  }
  return value;
}

static const ddb_value *pool_pick(uint64_t *random) {
  /* Half of them from the few that are equal to each other often. */
  return &pool[support_below(random, support_below(random, 2) ? 24 : pool_count)];
}

/* ---- The twin ----------------------------------------------------------------------------- */

/* order: the fields that there are, as they were first given. */
typedef struct row {
  ddb_value values[FIELDS + 1];
  uint8_t order[FIELDS];
  uint8_t count;
} row;

typedef struct world {
  uint64_t seed;
  uint64_t random;
  ddb_db *db;
  ddb_table *tables[2]; /* the second has indexes */
  bool indexed[FIELDS + 1];
  row rows[ROWS_MAX];
  size_t row_count;
  uint64_t matched; /* of all conditions so far: a test of nothing must not pass */
} world;

static world w;

static ddb_value as_read(ddb_value value) {
  return value.kind == DDB_MISSING ? ddb_null() : value;
}

static bool same(const ddb_value *a, const ddb_value *b) {
  return ddb__value_identical(a, b);
}

/* ---- Conditions, and what they mean ------------------------------------------------------- */

typedef struct plain_cond {
  int kind; /* 0 compare, 1 in, 2 between, 3 null, 4 and, 5 or, 6 not */
  int field;
  ddb_op op;
  ddb_value values[6];
  size_t count;
  struct plain_cond *operands[4];
} plain_cond;

static plain_cond cond_store[400];
static size_t cond_used;

static ddb_value cond_literal(int field) {
  if (w.row_count > 0 && support_below(&w.random, 3)) {
    ddb_value value = w.rows[support_below(&w.random, w.row_count)].values[field];
    return as_read(value);
  }
  if (field == KEY && support_below(&w.random, 2)) {
    return ddb_float((double)support_below(&w.random, 300));
  }
  return *pool_pick(&w.random);
}

static plain_cond *random_cond(int depth) {
  plain_cond *cond = &cond_store[cond_used++];
  *cond = (plain_cond){0};
  if (depth > 0 && support_below(&w.random, 2)) {
    cond->kind = 4 + (int)support_below(&w.random, 3);
    cond->count = cond->kind == 6 ? 1 : support_below(&w.random, 4);
    for (size_t i = 0; i < cond->count; i++) {
      cond->operands[i] = random_cond(depth - 1);
    }
    return cond;
  }
  cond->field = (int)support_below(&w.random, 12);
  cond->field = cond->field > NEVER ? cond->field % 3 : cond->field;
  cond->kind = (int)support_below(&w.random, 4);
  if (cond->kind == 0) {
    cond->op = support_below(&w.random, 2) ? DDB_OP_EQ : (ddb_op)support_below(&w.random, 9);
  }
  cond->count = cond->kind == 1 ? support_below(&w.random, 7) : cond->kind == 2 ? 2 : 1;
  for (size_t i = 0; i < cond->count; i++) {
    cond->values[i] = cond_literal(cond->field);
  }
  return cond;
}

static ddb_cond *real_cond(const plain_cond *plain) {
  ddb_cond *cond = NULL;
  ddb_str field = ddb_str_from(names[plain->field]);
  ddb_cond *operands[4] = {NULL};
  for (size_t i = 0; plain->kind >= 4 && i < plain->count; i++) {
    operands[i] = real_cond(plain->operands[i]);
  }
  switch (plain->kind) {
  case 0:
    assert_ok(ddb_cond_compare(field, plain->op, &plain->values[0], &cond, NULL));
    break;
  case 1:
    assert_ok(ddb_cond_in(field, plain->values, plain->count, &cond, NULL));
    break;
  case 2:
    assert_ok(ddb_cond_between(field, &plain->values[0], &plain->values[1], &cond, NULL));
    break;
  case 3:
    assert_ok(ddb_cond_is_null(field, &cond, NULL));
    break;
  case 4:
    assert_ok(ddb_cond_and(operands, plain->count, &cond, NULL));
    break;
  case 5:
    assert_ok(ddb_cond_or(operands, plain->count, &cond, NULL));
    break;
  default:
    assert_ok(ddb_cond_not(operands[0], &cond, NULL));
    break;
  }
  for (size_t i = 0; i < 4; i++) {
    ddb_cond_release(operands[i]);
  }
  return cond;
}

static bool naive_part(ddb_op op, const ddb_value *value, const ddb_value *part) {
  bool texts = value->kind == part->kind &&
               (value->kind == DDB_STR_KIND || value->kind == DDB_BYTES);
  if (texts) {
    const char *data = value->as.data;
    for (size_t at = 0; at + part->size <= value->size; at++) {
      bool allowed = op == DDB_OP_CONTAINS || (op == DDB_OP_STARTSWITH && at == 0) ||
                     (op == DDB_OP_ENDSWITH && at + part->size == value->size);
      if (allowed && (part->size == 0 || memcmp(data + at, part->as.data, part->size) == 0)) {
        return true;
      }
    }
    return false;
  }
  size_t step = value->kind == DDB_DICT ? 2 : 1;
  for (size_t i = 0; op == DDB_OP_CONTAINS && i < ddb_value_item_count(value); i += step) {
    ddb_value item = ddb_value_item(value, i);
    if (ddb_value_equal(&item, part)) {
      return true;
    }
  }
  return false;
}

static bool naive_compare(ddb_op op, const ddb_value *value, const ddb_value *literal) {
  int order = 0;
  bool ordered = ddb_value_order(value, literal, &order);
  switch (op) {
  case DDB_OP_EQ:
    return ddb_value_equal(value, literal);
  case DDB_OP_NE:
    return !ddb_value_equal(value, literal);
  case DDB_OP_LT:
    return ordered && order < 0;
  case DDB_OP_LE:
    return ordered && order <= 0;
  case DDB_OP_GT:
    return ordered && order > 0;
  case DDB_OP_GE:
    return ordered && order >= 0;
  default:
    return naive_part(op, value, literal);
  }
}

static bool naive_matches(const plain_cond *cond, const row *r) {
  ddb_value value = as_read(r->values[cond->field]);
  bool any = false;
  bool all = true;
  for (size_t i = 0; i < cond->count && cond->kind >= 4; i++) {
    bool holds = naive_matches(cond->operands[i], r);
    any = any || holds;
    all = all && holds;
  }
  switch (cond->kind) {
  case 0:
    return naive_compare(cond->op, &value, &cond->values[0]);
  case 1:
    for (size_t i = 0; i < cond->count; i++) {
      any = any || ddb_value_equal(&value, &cond->values[i]);
    }
    return any;
  case 2:
    return naive_compare(DDB_OP_GE, &value, &cond->values[0]) &&
           naive_compare(DDB_OP_LE, &value, &cond->values[1]);
  case 3:
    return value.kind == DDB_NULL;
  case 4:
    return all;
  case 5:
    return any;
  default:
    return !any;
  }
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static bool record_is(const ddb_record *record, const row *r) {
  if (ddb_record_count(record) != r->count) {
    return false;
  }
  for (size_t i = 0; i < r->count; i++) {
    ddb_value value = ddb_record_value(record, i);
    ddb_str name = ddb_record_name(record, i);
    const char *expected = names[r->order[i]];
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

static int naive_row_compare(const row *a, const row *b, const int *fields, const bool *descending,
                             size_t count) {
  for (size_t i = 0; i < count; i++) {
    ddb_value left = as_read(a->values[fields[i]]);
    ddb_value right = as_read(b->values[fields[i]]);
    int sign = ddb_value_compare(&left, &right);
    if (sign != 0) {
      return descending && descending[i] ? -sign : sign;
    }
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

static const char *check_query(const ddb_query *query, const expected_rows *expected) {
  for (int t = 0; t < 2; t++) {
    ddb_view view;
    ddb_records result;
    assert_ok(ddb_view_open(w.tables[t], &view, NULL));
    assert_ok(ddb_view_select(&view, query, &result, NULL));
    const char *wrong = check_result(&result, expected);
    ddb_records_free(&result);
    ddb_view_close(&view);
    if (wrong) {
      return wrong;
    }
  }
  return NULL;
}

static void expect_matching(const plain_cond *cond, expected_rows *out) {
  out->count = 0;
  for (size_t i = 0; i < w.row_count; i++) {
    if (!cond || naive_matches(cond, &w.rows[i])) {
      out->items[out->count++] = i;
    }
  }
  w.matched += out->count;
}

static void expect_sorted(expected_rows *rows, const int *fields, const bool *descending,
                          size_t count) {
  for (size_t i = 1; i < rows->count; i++) {
    size_t moved = rows->items[i];
    size_t at = i;
    for (; at > 0 && naive_row_compare(&w.rows[moved], &w.rows[rows->items[at - 1]], fields,
                                       descending, count) < 0;
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

static const char *check_random_query(void) {
  static expected_rows expected;
  static const int every[] = {0, 1, 2, 3, 4, 5};
  cond_used = 0;
  plain_cond *plain = support_below(&w.random, 10) ? random_cond(3) : NULL;
  ddb_query query = DDB_QUERY_INIT;
  int fields[3];
  bool descending[3];
  ddb_order order[3];
  int distinct[3];
  ddb_str distinct_names[3];
  expect_matching(plain, &expected);
  query.order_count = support_below(&w.random, 2) ? support_below(&w.random, 4) : 0;
  query.order = order;
  for (size_t i = 0; i < query.order_count; i++) {
    fields[i] = (int)support_below(&w.random, NEVER + 1);
    descending[i] = support_below(&w.random, 2);
    order[i] = (ddb_order){ddb_str_from(names[fields[i]]), descending[i]};
  }
  expect_sorted(&expected, fields, descending, query.order_count);
  query.distinct = support_below(&w.random, 4) == 0;
  if (query.distinct && support_below(&w.random, 4)) {
    query.distinct_fields = distinct_names;
    query.distinct_count = support_below(&w.random, 4);
    for (size_t i = 0; i < query.distinct_count; i++) {
      distinct[i] = (int)support_below(&w.random, NEVER + 1);
      distinct_names[i] = ddb_str_from(names[distinct[i]]);
    }
    expect_distinct(&expected, distinct, query.distinct_count);
  } else if (query.distinct) {
    expect_distinct(&expected, every, FIELDS);
  }
  if (support_below(&w.random, 2)) {
    query.offset = support_below(&w.random, 8) ? support_below(&w.random, 6) : UINT64_MAX;
    query.limit = support_below(&w.random, 4) ? support_below(&w.random, 12) : DDB_NO_LIMIT;
  }
  expect_slice(&expected, query.offset, query.limit);
  ddb_cond *where = plain ? real_cond(plain) : NULL;
  query.where = where;
  const char *wrong = check_query(&query, &expected);
  ddb_cond_release(where);
  return wrong;
}

static const char *check_count(void) {
  static expected_rows expected;
  cond_used = 0;
  plain_cond *plain = random_cond(3);
  expect_matching(plain, &expected);
  ddb_cond *where = real_cond(plain);
  const char *wrong = NULL;
  for (int t = 0; t < 2 && !wrong; t++) {
    ddb_view view;
    uint64_t count;
    assert_ok(ddb_view_open(w.tables[t], &view, NULL));
    assert_ok(ddb_view_count_where(&view, where, &count, NULL));
    ddb_view_close(&view);
    wrong = count == expected.count ? NULL : "a count is wrong";
  }
  ddb_cond_release(where);
  return wrong;
}

static const char *check_columns(void) {
  bool seen[FIELDS] = {false};
  const char *expected[FIELDS];
  size_t count = 0;
  if (w.row_count > 0) {
    expected[count++] = names[KEY];
    seen[KEY] = true;
  }
  for (size_t i = 0; i < w.row_count; i++) {
    for (size_t j = 0; j < w.rows[i].count; j++) {
      int field = w.rows[i].order[j];
      if (!seen[field]) {
        expected[count++] = names[field];
        seen[field] = true;
      }
    }
  }
  ddb_view view;
  ddb_str columns[FIELDS];
  size_t column_count = support_below(&w.random, FIELDS + 1);
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
    ddb_value key = number % 11 == 0 ? pool[support_below(&w.random, pool_count)]
                    : number % 7 == 0 ? ddb_float((double)number + 0.5)
                                      : ddb_int((int64_t)number);
    bool taken = !ddb__value_hashable(&key) || key.kind == DDB_NULL || ddb__value_is_nan(&key);
    for (size_t i = 0; i < w.row_count && !taken; i++) {
      taken = ddb_value_equal(&w.rows[i].values[KEY], &key);
    }
    if (!taken) {
      return key;
    }
  }
}

static ddb_value random_value(int field) {
  if (field == KEY) {
    return random_key();
  }
  return field == ONE_KIND ? one_kind_value(w.seed, &w.random) : *pool_pick(&w.random);
}

static void random_row(row *r) {
  *r = (row){0};
  uint8_t fields[FIELDS];
  for (uint8_t i = 0; i < FIELDS; i++) {
    uint64_t at = support_below(&w.random, i + 1u);
    fields[i] = fields[at];
    fields[at] = i;
  }
  for (size_t i = 0; i < FIELDS; i++) {
    if (fields[i] == KEY || fields[i] == ONE_KIND || support_below(&w.random, 3)) {
      r->order[r->count++] = fields[i];
      r->values[fields[i]] = random_value(fields[i]);
    }
  }
}

static void append_row(ddb_builder *batch, ddb_table *table, ddb_shape_kind kind, const row *r) {
  ddb_str fields[FIELDS];
  for (size_t i = 0; i < r->count; i++) {
    fields[i] = ddb_str_from(names[r->order[i]]);
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

static void merge_row(row *into, const row *changes) {
  for (size_t i = 0; i < changes->count; i++) {
    uint8_t field = changes->order[i];
    if (into->values[field].kind == DDB_MISSING) {
      into->order[into->count++] = field;
    }
    into->values[field] = changes->values[field];
  }
}

static void random_changes(row *r) {
  *r = (row){0};
  for (uint8_t field = 1; field < FIELDS; field++) {
    if (support_below(&w.random, 3) == 0) {
      r->order[r->count++] = field;
      r->values[field] = random_value(field);
    }
  }
}

static const char *update_rows(const ddb_cond *where, const expected_rows *expected) {
  row changes;
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
  cond_used = 0;
  plain_cond *plain = random_cond(2);
  expect_matching(plain, &expected);
  if (delete && expected.count > w.row_count / 3 && support_below(&w.random, 20)) {
    return NULL; /* keep some */
  }
  ddb_cond *where = real_cond(plain);
  const char *wrong = delete ? delete_rows(where, &expected) : update_rows(where, &expected);
  ddb_cond_release(where);
  return wrong ? wrong : check_all();
}

static const char *toggle_index(void) {
  int field = (int)support_below(&w.random, FIELDS);
  ddb_str name = ddb_str_from(names[field]);
  if (w.indexed[field]) {
    assert_ok(ddb_table_index_drop(w.tables[1], name, NULL));
  } else {
    assert_ok(ddb_table_index_create(w.tables[1], name, DDB_INDEX_HASH, NULL));
  }
  w.indexed[field] = !w.indexed[field];
  return NULL;
}

static const char *random_step(void) {
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
    return support_below(&w.random, 6) == 0 ? toggle_index() : check_columns();
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
  pool_make(&w.random);
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("plain"), NULL, &w.tables[0], NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("indexed"), NULL, &w.tables[1], NULL));
  for (int field = 1; field < 4; field++) {
    assert_ok(ddb_table_index_create(w.tables[1], ddb_str_from(names[field]), DDB_INDEX_HASH, NULL));
    w.indexed[field] = true;
  }
}

static void world_close(void) {
  static int64_t left = -1; /* what the library keeps for the thread */
  ddb_table_release(w.tables[0]);
  ddb_table_release(w.tables[1]);
  ddb_db_release(w.db);
  ddb_builder_free(pool_builder);
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
  if (!wrong && steps > 100 && w.matched < steps) {
    wrong = "hardly anything matched: the test tests nothing";
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
  ddb_order order[] = {{DDB_STR("a"), true}, {DDB_STR("b"), false}};
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
  row changes;
  do {
    random_changes(&changes);
  } while (changes.count < 3);
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  append_row(builder, w.tables[1], DDB_SHAPE_CHANGES, &changes);
  ddb_cond *parts[2];
  ddb_value one = ddb_int(1);
  assert_ok(ddb_cond_compare(DDB_STR("a"), DDB_OP_GE, &one, &parts[0], NULL));
  assert_ok(ddb_cond_in(DDB_STR("b"), pool, 24, &parts[1], NULL));
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

/* Names are checked against a schema wherever a query can hold one. */
static void unknown_fields(void **state) {
  (void)state;
  ddb_schema_field schema[] = {{DDB_STR("id"), DDB_TYPE_INT, NULL},
                               {DDB_STR("price"), DDB_TYPE_FLOAT, NULL}};
  ddb_table_options options = {.schema = schema, .schema_count = 2};
  ddb_db *db;
  ddb_table *table;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("goods"), &options, &table, NULL));
  ddb_cond *good;
  ddb_cond *bad;
  ddb_value one = ddb_int(1);
  assert_ok(ddb_cond_compare(DDB_STR("price"), DDB_OP_LT, &one, &good, NULL));
  assert_ok(ddb_cond_compare(DDB_STR("prise"), DDB_OP_LT, &one, &bad, NULL));
  ddb_view view;
  ddb_records records;
  ddb_error error;
  uint64_t count;
  ddb_str name = DDB_STR("prise");
  ddb_order order = {name, false};
  ddb_query queries[] = {DDB_QUERY_INIT, DDB_QUERY_INIT, DDB_QUERY_INIT};
  queries[0].where = bad;
  queries[1].order = &order;
  queries[1].order_count = 1;
  queries[2].distinct = true;
  queries[2].distinct_fields = &name;
  queries[2].distinct_count = 1;
  assert_ok(ddb_view_open(table, &view, NULL));
  for (size_t i = 0; i < 3; i++) {
    memset(&error, 0, sizeof error);
    assert_int_equal(ddb_view_select(&view, &queries[i], &records, &error),
                     DDB_ERR_FIELD_NOT_FOUND);
    assert_string_equal(error.field, "prise");
    assert_non_null(strstr(error.message, "price"));
    queries[i].limit = 0;
    assert_int_equal(ddb_view_select(&view, &queries[i], &records, NULL), DDB_ERR_FIELD_NOT_FOUND);
  }
  assert_int_equal(ddb_view_count_where(&view, bad, &count, NULL), DDB_ERR_FIELD_NOT_FOUND);
  assert_ok(ddb_view_count_where(&view, good, &count, NULL));
  assert_int_equal(count, 0);
  ddb_view_close(&view);
  assert_int_equal(ddb_table_delete(table, bad, &count, NULL), DDB_ERR_FIELD_NOT_FOUND);
  assert_ok(ddb_table_delete(table, good, &count, NULL));
  ddb_cond_release(good);
  ddb_cond_release(bad);
  ddb_table_release(table);
  ddb_db_release(db);
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
  row changes;
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
static void faults_are_found(void **state) {
  (void)state;
  static const ddb__fault faults[] = {DDB__FAULT_INDEX_STALE_UPDATE, DDB__FAULT_TREE_SPLIT_LOSES};
  for (size_t i = 0; i < 2; i++) {
    ddb__test_fault_set(faults[i]);
    const char *wrong = NULL;
    for (uint64_t round = 0; round < 3 && !wrong; round++) {
      wrong = run_model(seed + round, 1500);
    }
    ddb__test_fault_set(DDB__FAULT_NONE);
    if (!wrong) {
      fail_msg("planted fault %d was not found", (int)faults[i]);
    }
  }
}
#endif

int main(void) {
  support_allocator_install();
  seed = support_seed("test_query");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(model_holds),    cmocka_unit_test(allocations_fail),
      cmocka_unit_test(unknown_fields), cmocka_unit_test(bad_changes),
      cmocka_unit_test(long_condition),
#ifdef DDB_TESTING
      cmocka_unit_test(faults_are_found),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
