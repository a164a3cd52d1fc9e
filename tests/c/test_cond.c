/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cond.c - conditions as objects: text, limits, sharing, memory. What they match is tested
 * with the queries.
 */
#include "query/cond.h"
#include "support.h"

static ddb_cond *compare(const char *field, ddb_op op, ddb_value value) {
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_compare(ddb_str_from(field), op, &value, &cond, NULL));
  return cond;
}
static ddb_value text(const char *characters) {
  return ddb_text(ddb_str_from(characters));
}

/* Takes its operands. */
static ddb_cond *join(bool is_and, ddb_cond *a, ddb_cond *b) {
  ddb_cond *operands[] = {a, b};
  ddb_cond *cond = NULL;
  assert_ok((is_and ? ddb_cond_and : ddb_cond_or)(operands, 2, &cond, NULL));
  ddb_cond_release(a);
  ddb_cond_release(b);
  return cond;
}
static ddb_cond *negate(ddb_cond *a) {
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_not(a, &cond, NULL));
  ddb_cond_release(a);
  return cond;
}

/* Takes the condition. */
static void expect_text(ddb_cond *cond, const char *expected) {
  char buffer[512];
  assert_int_equal(ddb_cond_format(cond, buffer, sizeof buffer), strlen(expected));
  assert_string_equal(buffer, expected);
  assert_int_equal(ddb_cond_format(cond, NULL, 0), strlen(expected));
  for (size_t capacity = 1; capacity <= strlen(expected); capacity++) {
    memset(buffer, 0x7f, sizeof buffer);
    assert_int_equal(ddb_cond_format(cond, buffer, capacity), strlen(expected));
    assert_true(strlen(buffer) < capacity);
    assert_int_equal(buffer[capacity], 0x7f);
    size_t dots = capacity > 3 ? 3 : capacity - 1;
    assert_memory_equal(buffer + strlen(buffer) - dots, "...", dots);
    assert_memory_equal(buffer, expected, strlen(buffer) - dots);
  }
  ddb_cond_release(cond);
}

static void formats(void **state) {
  (void)state;
  expect_text(compare("age", DDB_OP_GE, ddb_int(18)), "age >= 18");
  expect_text(join(true, compare("age", DDB_OP_GE, ddb_int(18)),
                   negate(compare("name", DDB_OP_EQ, text("Bob")))),
              "(age >= 18 & ~(name == 'Bob'))");
  expect_text(negate(join(false, compare("a", DDB_OP_LT, ddb_float(0.5)),
                          compare("b", DDB_OP_NE, ddb_null()))),
              "~(a < 0.5 | b != None)");
  expect_text(negate(negate(compare("a", DDB_OP_LE, ddb_bool(true)))), "a <= True");
  expect_text(compare("first name", DDB_OP_GT, ddb_int(1)), "['first name'] > 1");
  expect_text(compare("", DDB_OP_GT, ddb_int(1)), "[''] > 1");
  expect_text(compare("1st", DDB_OP_GT, ddb_int(1)), "['1st'] > 1");
  expect_text(compare("stra\xc3\x9f"
                      "e",
                      DDB_OP_STARTSWITH, text("\xc3\x84")),
              "stra\xc3\x9f"
              "e.startswith('\xc3\x84')");
  expect_text(compare("a", DDB_OP_ENDSWITH, text("x")), "a.endswith('x')");
  expect_text(compare("a", DDB_OP_CONTAINS, text("%s%n")), "a.contains('%s%n')");
  ddb_value values[] = {ddb_int(1), text("b"), ddb_null()};
  ddb_cond *cond;
  assert_ok(ddb_cond_in(DDB_STR("k"), values, 3, &cond, NULL));
  expect_text(cond, "k.is_in([1, 'b', None])");
  assert_ok(ddb_cond_in(DDB_STR("k"), NULL, 0, &cond, NULL));
  expect_text(cond, "k.is_in([])");
  assert_ok(ddb_cond_between(DDB_STR("k"), &values[0], &values[1], &cond, NULL));
  expect_text(cond, "k.between(1, 'b')");
  assert_ok(ddb_cond_is_null(DDB_STR("k"), &cond, NULL));
  expect_text(cond, "k.is_null()");
  assert_ok(ddb_cond_and(NULL, 0, &cond, NULL));
  expect_text(cond, "True");
  assert_ok(ddb_cond_or(NULL, 0, &cond, NULL));
  expect_text(cond, "False");
}

static void formats_long_values(void **state) {
  (void)state;
  char letters[2000];
  memset(letters, 'x', sizeof letters);
  ddb_cond *cond = compare("a", DDB_OP_EQ, ddb_text((ddb_str){letters, sizeof letters}));
  char buffer[3000];
  assert_int_equal(ddb_cond_format(cond, buffer, sizeof buffer), sizeof letters + 7);
  assert_int_equal(strlen(buffer), sizeof letters + 7);
  for (size_t capacity = 1; capacity < 2100; capacity += 37) {
    assert_int_equal(ddb_cond_format(cond, buffer, capacity), sizeof letters + 7);
    assert_true(strlen(buffer) < capacity);
  }
  ddb_cond_release(cond);
}

/* Literals are copied, nested ones too. */
static void literals_are_copied(void **state) {
  (void)state;
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  assert_ok(ddb_builder_begin(builder, DDB_LIST, 2, NULL));
  ddb_value item = ddb_int(1);
  assert_ok(ddb_builder_append(builder, &item, NULL));
  char characters[] = "abc";
  item = text(characters);
  assert_ok(ddb_builder_append(builder, &item, NULL));
  assert_ok(ddb_builder_end(builder, NULL));
  ddb_value list = ddb_builder_value_at(builder, 0);
  char name[] = "tags";
  ddb_cond *cond = compare(name, DDB_OP_EQ, list);
  ddb_builder_free(builder);
  memset(characters, 'z', sizeof characters);
  memset(name, 'z', sizeof name);
  expect_text(cond, "tags == [1, 'abc']");
}

static void bad_arguments(void **state) {
  (void)state;
  ddb_cond *cond = NULL;
  ddb_error error;
  ddb_value one = ddb_int(1);
  ddb_value bad = {.kind = 99};
  ddb_value hollow = {.kind = DDB_STR_KIND, .size = 5};
  ddb_value decimal = {.kind = DDB_DECIMAL, .size = 3, .as = {.data = "1x5"}};
  assert_int_equal(ddb_cond_compare(DDB_STR("a"), (ddb_op)77, &one, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, NULL, &cond, &error), DDB_ERR_INVALID);
  const ddb_op parts[] = {DDB_OP_STARTSWITH, DDB_OP_ENDSWITH};
  ddb_value no_parts[] = {ddb_int(3), ddb_null(), ddb_float(0.5)};
  for (size_t i = 0; i < 6; i++) {
    assert_int_equal(ddb_cond_compare(DDB_STR("a"), parts[i / 3], &no_parts[i % 3], &cond, &error),
                     DDB_ERR_TYPE);
    assert_string_equal(error.field, "a");
  }
  assert_string_equal(error.message, "what 'a' ends with is a str or bytes, not float");
  assert_int_equal(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &bad, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &hollow, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &decimal, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_in(DDB_STR("a"), NULL, 3, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_between(DDB_STR("a"), &one, NULL, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_not(NULL, &cond, &error), DDB_ERR_INVALID);
  ddb_cond *operands[] = {NULL, NULL};
  assert_int_equal(ddb_cond_and(operands, 2, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_and(operands, 1, &cond, &error), DDB_ERR_INVALID);
  assert_null(cond);
  assert_int_equal(ddb_process_memory(), 0);
}

/* c = c & x, a hundred thousand times, from either side. */
static void long_chains(void **state) {
  (void)state;
  for (int side = 0; side < 2; side++) {
    ddb_cond *chain = compare("a", DDB_OP_NE, ddb_int(-1));
    for (int i = 0; i < 100000; i++) {
      ddb_cond *next = compare("a", DDB_OP_NE, ddb_int(i));
      chain = side ? join(true, next, chain) : join(true, chain, next);
    }
    assert_true(ddb_process_memory() < UINT64_C(100001) * 400);
    char buffer[64];
    size_t size = ddb_cond_format(chain, buffer, sizeof buffer);
    assert_true(size > 1000000);
    assert_memory_equal(buffer, side ? "(a != 99999 & a != 99998 " : "(a != -1 & a != 0 & ", 20);
    ddb_cond_release(chain);
    assert_int_equal(ddb_process_memory(), 0);
  }
}

static void depth_is_limited(void **state) {
  (void)state;
  ddb_cond *cond = compare("a", DDB_OP_EQ, ddb_int(1));
  int levels = 1;
  for (;; levels++) {
    ddb_cond *operands[] = {cond, compare("b", DDB_OP_EQ, ddb_int(levels))};
    ddb_cond *deeper = NULL;
    ddb_error error;
    ddb_status status = (levels % 2 ? ddb_cond_and : ddb_cond_or)(operands, 2, &deeper, &error);
    ddb_cond_release(operands[1]);
    if (status) {
      assert_int_equal(status, DDB_ERR_LIMIT);
      assert_int_equal(error.status, DDB_ERR_LIMIT);
      break;
    }
    ddb_cond_release(cond);
    cond = deeper;
  }
  assert_int_equal(levels, DDB_DEPTH_MAX);
  assert_true(ddb_cond_format(cond, NULL, 0) > DDB_DEPTH_MAX);
  ddb_cond_release(cond);
  assert_int_equal(ddb_process_memory(), 0);
}

/* A condition that holds itself twice, and that twice, and so on, is refused in time. */
static void doubling_is_limited(void **state) {
  (void)state;
  ddb_cond *cond = compare("a", DDB_OP_EQ, ddb_int(1));
  int doublings = 0;
  ddb_status status = DDB_OK;
  for (; !status; doublings++) {
    ddb_cond *operands[] = {cond, cond};
    ddb_cond *twice = NULL;
    status = ddb_cond_or(operands, 2, &twice, NULL);
    if (!status) {
      ddb_cond_release(cond);
      cond = twice;
    }
  }
  assert_int_equal(status, DDB_ERR_LIMIT);
  assert_in_range(doublings, 15, 25);
  ddb_cond_release(cond);
  assert_int_equal(ddb_process_memory(), 0);
}

static void in_has(void **state) {
  (void)state;
  enum { COUNT = 1000 };
  ddb_value values[COUNT];
  for (int i = 0; i < COUNT; i++) {
    values[i] = i % 2 ? ddb_int(i / 4 * 3) : ddb_float(i / 2 * 3);
  }
  values[7] = ddb_float(0.0 / 0.0);
  ddb_cond *cond;
  assert_ok(ddb_cond_in(DDB_STR("a"), values, COUNT, &cond, NULL));
  for (int i = -10; i < 4000; i++) {
    ddb_value value = i % 3 ? ddb_int(i) : ddb_float(i);
    bool expected = false;
    for (int j = 0; j < COUNT; j++) {
      expected = expected || ddb_value_equal(&values[j], &value);
    }
    assert_int_equal(ddb__cond_in_has(cond, &value), expected);
  }
  assert_false(ddb__cond_in_has(cond, &values[7]));
  ddb_cond_release(cond);
}

/* Builds a bit of everything; false when memory ran out on the way. */
static bool build_all(void) {
  ddb_cond *parts[5] = {NULL};
  uint8_t digits[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  ddb_value values[] = {text("some text"),
                        ddb_int(7),
                        {.kind = DDB_BIGINT, .size = sizeof digits, .as = {.data = digits}}};
  bool built = !ddb_cond_compare(DDB_STR("a"), DDB_OP_EQ, &values[2], &parts[0], NULL) &&
               !ddb_cond_in(DDB_STR("b"), values, 3, &parts[1], NULL) &&
               !ddb_cond_between(DDB_STR("c"), &values[0], &values[1], &parts[2], NULL) &&
               !ddb_cond_not(parts[2], &parts[3], NULL) && !ddb_cond_and(parts, 4, &parts[4], NULL);
  if (built) {
    char buffer[100];
    ddb_cond_format(parts[4], buffer, sizeof buffer);
  }
  for (int i = 0; i < 5; i++) {
    ddb_cond_release(parts[i]);
  }
  return built;
}

static void weights(void **state) {
  (void)state;
  ddb_value many[3] = {ddb_int(1), ddb_int(2), ddb_int(3)};
  ddb_cond *in;
  ddb_cond *regex;
  ddb_cond *both;
  ddb_expr *name;
  assert_ok(ddb_cond_in(DDB_STR("age"), many, 3, &in, NULL));
  assert_int_equal(ddb_cond_weight(in), 4);
  assert_ok(ddb_expr_field(DDB_STR("name"), &name, NULL));
  assert_ok(ddb_cond_matches(name, DDB_STR("a+"), 0, &regex, NULL));
  assert_int_equal(ddb_cond_weight(regex), DDB_COND_WEIGHT_MAX);
  assert_ok(ddb_cond_and((ddb_cond *[]){in, in}, 2, &both, NULL));
  assert_int_equal(ddb_cond_weight(both), 9);
  ddb_cond_release(both);
  assert_ok(ddb_cond_or((ddb_cond *[]){in, regex}, 2, &both, NULL));
  assert_int_equal(ddb_cond_weight(both), DDB_COND_WEIGHT_MAX);
  ddb_cond_release(both);
  ddb_cond_release(regex);
  ddb_cond_release(in);
  ddb_expr_release(name);
}

static void allocations_fail(void **state) {
  (void)state;
  for (unsigned n = 1;; n++) {
    support_allocator_fail((long)n);
    bool built = build_all();
    bool failed = support_allocator_failed();
    assert_int_equal(ddb_process_memory(), 0);
    if (!failed) {
      assert_true(built);
      assert_true(n > 8);
      return;
    }
    assert_false(built);
  }
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
  ddb_order order = {.field = name};
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

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(formats),        cmocka_unit_test(formats_long_values),
      cmocka_unit_test(bad_arguments),  cmocka_unit_test(literals_are_copied),
      cmocka_unit_test(long_chains),    cmocka_unit_test(depth_is_limited),
      cmocka_unit_test(in_has),         cmocka_unit_test(doubling_is_limited),
      cmocka_unit_test(weights),        cmocka_unit_test(allocations_fail),
      cmocka_unit_test(unknown_fields), /* last: the library keeps something for the thread */
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
