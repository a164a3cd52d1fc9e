/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_expr.c - expressions as objects, and what they are worth on a record. That conditions over
 * them match what they should is tested with the queries.
 */
#include "query/bound.h"
#include "query/expr.h"
#include "store/table.h"
#include "support.h"

/* With the record of the thread that the first view makes. */
static uint64_t memory_before;

static ddb_expr *field(const char *name) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_field(ddb_str_from(name), &expr, NULL));
  return expr;
}
static ddb_expr *literal(ddb_value value) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_value(&value, &expr, NULL));
  return expr;
}
static ddb_value text(const char *characters) {
  return ddb_text(ddb_str_from(characters));
}
/* These take their operands. */
static ddb_expr *item(ddb_expr *container, ddb_value key) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_item(container, &key, &expr, NULL));
  ddb_expr_release(container);
  return expr;
}
static ddb_expr *length(ddb_expr *of) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_len(of, &expr, NULL));
  ddb_expr_release(of);
  return expr;
}

static ddb_expr *arith(ddb_arith op, ddb_expr *left, ddb_expr *right) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_arith(op, left, right, &expr, NULL));
  ddb_expr_release(left);
  ddb_expr_release(right);
  return expr;
}

/* Takes the expression. */
static void expect_text(ddb_expr *expr, const char *expected) {
  char buffer[512];
  assert_int_equal(ddb_expr_format(expr, buffer, sizeof buffer), strlen(expected));
  assert_string_equal(buffer, expected);
  for (size_t capacity = 1; capacity <= strlen(expected); capacity++) {
    memset(buffer, 0x7f, sizeof buffer);
    assert_int_equal(ddb_expr_format(expr, buffer, capacity), strlen(expected));
    assert_true(strlen(buffer) < capacity);
    assert_int_equal(buffer[capacity], 0x7f);
  }
  ddb_expr_release(expr);
}

/* Takes the expressions. */
static void expect_cond_text(ddb_expr *left, ddb_op op, ddb_expr *right, const char *expected) {
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_compare_expr(left, op, right, &cond, NULL));
  ddb_expr_release(left);
  ddb_expr_release(right);
  char buffer[512];
  ddb_cond_format(cond, buffer, sizeof buffer);
  assert_string_equal(buffer, expected);
  ddb_cond_release(cond);
}

static void formats(void **state) {
  (void)state;
  expect_text(field("age"), "age");
  expect_text(field("a.b"), "['a.b']");
  expect_text(literal(text("x")), "'x'");
  expect_text(item(item(field("address"), text("city")), ddb_int(-1)), "address['city'][-1]");
  expect_text(length(item(field("first name"), ddb_int(0))), "['first name'][0].len_()");
  expect_text(arith(DDB_ARITH_ADD, field("a"), arith(DDB_ARITH_MUL, field("b"), field("c"))),
              "a + b * c");
  expect_text(arith(DDB_ARITH_MUL, field("a"), arith(DDB_ARITH_ADD, field("b"), field("c"))),
              "a * (b + c)");
  expect_text(arith(DDB_ARITH_SUB, arith(DDB_ARITH_SUB, field("a"), field("b")),
                    arith(DDB_ARITH_ADD, field("c"), field("d"))),
              "a - b - (c + d)");
  expect_text(arith(DDB_ARITH_NEG, arith(DDB_ARITH_FLOORDIV, field("a"), field("b")), NULL),
              "-(a // b)");
  expect_text(arith(DDB_ARITH_MOD, arith(DDB_ARITH_NEG, field("a"), NULL), literal(ddb_int(2))),
              "-a % 2");
  expect_text(length(arith(DDB_ARITH_DIV, field("a"), field("b"))), "(a / b).len_()");
  expect_cond_text(arith(DDB_ARITH_MUL, field("a"), field("b")), DDB_OP_GT, literal(ddb_int(9)),
                   "a * b > 9");
  expect_cond_text(field("a"), DDB_OP_LT, field("b"), "a < b");
  expect_cond_text(field("a"), DDB_OP_LT, literal(ddb_int(1)), "a < 1");
  expect_cond_text(literal(ddb_int(1)), DDB_OP_LT, field("b"), "b > 1");
  expect_cond_text(literal(ddb_int(1)), DDB_OP_GE, length(field("b")), "b.len_() <= 1");
  expect_cond_text(literal(text("ab")), DDB_OP_CONTAINS, field("b"), "'ab'.contains(b)");
  ddb_value values[] = {ddb_int(1), text("b")};
  ddb_expr *of = item(field("a"), text("b"));
  ddb_cond *cond = NULL;
  char buffer[64];
  assert_ok(ddb_cond_in_expr(of, values, 2, &cond, NULL));
  ddb_cond_format(cond, buffer, sizeof buffer);
  assert_string_equal(buffer, "a['b'].is_in([1, 'b'])");
  ddb_cond_release(cond);
  assert_ok(ddb_cond_between_expr(of, &values[0], &values[1], &cond, NULL));
  ddb_cond_format(cond, buffer, sizeof buffer);
  assert_string_equal(buffer, "a['b'].between(1, 'b')");
  ddb_cond_release(cond);
  assert_ok(ddb_cond_is_null_expr(of, &cond, NULL));
  ddb_cond_format(cond, buffer, sizeof buffer);
  assert_string_equal(buffer, "a['b'].is_null()");
  ddb_cond_release(cond);
  ddb_expr_release(of);
  assert_int_equal(ddb_process_memory(), memory_before);
}

static void bad_arguments(void **state) {
  (void)state;
  ddb_expr *expr = NULL;
  ddb_expr *one = literal(ddb_int(1));
  ddb_cond *cond = NULL;
  ddb_error error;
  ddb_value number = ddb_int(1);
  ddb_value bad = {.kind = 99};
  ddb_value decimal = {.kind = DDB_DECIMAL, .size = 3, .as = {.data = "1x5"}};
  assert_int_equal(ddb_expr_field((ddb_str){NULL, 3}, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_field(DDB_STR("a"), NULL, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_value(NULL, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_value(&bad, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_value(&decimal, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_item(NULL, &number, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_item(one, NULL, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_len(NULL, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare_expr(one, (ddb_op)77, one, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare_expr(one, DDB_OP_EQ, NULL, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare_expr(NULL, DDB_OP_EQ, one, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_in_expr(NULL, &number, 1, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_between_expr(one, &number, NULL, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_is_null_expr(NULL, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_arith(DDB_ARITH_NEG, one, one, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_arith(DDB_ARITH_ADD, one, NULL, &expr, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_expr_arith((ddb_arith)9, one, one, &expr, &error), DDB_ERR_INVALID);
  ddb_expr *word = literal(text("x"));
  assert_int_equal(ddb_expr_arith(DDB_ARITH_ADD, one, word, &expr, &error), DDB_ERR_TYPE);
  assert_non_null(strstr(error.message, "str"));
  assert_int_equal(ddb_expr_arith(DDB_ARITH_NEG, word, NULL, &expr, &error), DDB_ERR_TYPE);
  ddb_expr_release(word);
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  assert_ok(ddb_builder_begin(builder, DDB_LIST, 0, NULL));
  assert_ok(ddb_builder_end(builder, NULL));
  ddb_value list = ddb_builder_value_at(builder, 0);
  assert_int_equal(ddb_expr_item(one, &list, &expr, &error), DDB_ERR_TYPE);
  assert_non_null(strstr(error.message, "list"));
  ddb_builder_free(builder);
  ddb_expr_release(one);
  assert_null(expr);
  assert_null(cond);
  assert_int_equal(ddb_process_memory(), memory_before);
}

static void depth_is_limited(void **state) {
  (void)state;
  ddb_expr *expr = field("a");
  int levels = 1;
  ddb_expr *deeper = NULL;
  for (; !ddb_expr_len(expr, &deeper, NULL); levels++) {
    ddb_expr_release(expr);
    expr = deeper;
  }
  assert_int_equal(levels, DDB_DEPTH_MAX);
  ddb_error error;
  assert_int_equal(ddb_expr_len(expr, &deeper, &error), DDB_ERR_LIMIT);
  ddb_expr_release(expr);
  assert_int_equal(ddb_process_memory(), memory_before);
}

/* ---- On a record -------------------------------------------------------------------------- */

/* One record: id 1; tags ["x", (1, 2)]; address {"city": "Rome", 1: "one", NaN: 5}; name. */
typedef struct fixture {
  ddb_db *db;
  ddb_table *table;
  ddb_view view;
  const ddb_record *record;
} fixture;

static void fixture_open(fixture *f) {
  assert_ok(ddb_db_new(&f->db, NULL));
  assert_ok(ddb_db_table_create(f->db, DDB_STR("t"), NULL, &f->table, NULL));
  ddb_builder *b;
  assert_ok(ddb_builder_new(&b, NULL));
  const ddb_str names[] = {DDB_STR("id"), DDB_STR("tags"), DDB_STR("address"), DDB_STR("name")};
  const ddb_shape *shape;
  assert_ok(ddb_table_shape(f->table, DDB_SHAPE_RECORD, names, 4, &shape, NULL));
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  const ddb_value numbers[] = {ddb_int(1), ddb_int(2), ddb_float(0.0 / 0.0), ddb_int(5)};
  const ddb_value texts[] = {text("x"), text("city"), text("Rome"), text("one"),
                             text("stra\xc3\x9f\x65\xed\xa0\x80")};
  assert_ok(ddb_builder_append(b, &numbers[0], NULL));
  assert_ok(ddb_builder_begin(b, DDB_LIST, 2, NULL));
  assert_ok(ddb_builder_append(b, &texts[0], NULL));
  assert_ok(ddb_builder_begin(b, DDB_TUPLE, 2, NULL));
  assert_ok(ddb_builder_append(b, &numbers[0], NULL));
  assert_ok(ddb_builder_append(b, &numbers[1], NULL));
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(ddb_builder_begin(b, DDB_DICT, 6, NULL));
  assert_ok(ddb_builder_append(b, &texts[1], NULL));
  assert_ok(ddb_builder_append(b, &texts[2], NULL));
  assert_ok(ddb_builder_append(b, &numbers[0], NULL));
  assert_ok(ddb_builder_append(b, &texts[3], NULL));
  assert_ok(ddb_builder_append(b, &numbers[2], NULL));
  assert_ok(ddb_builder_append(b, &numbers[3], NULL));
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(ddb_builder_append(b, &texts[4], NULL));
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(ddb_table_insert(f->table, b, NULL, NULL));
  ddb_builder_free(b);
  assert_ok(ddb_view_open(f->table, &f->view, NULL));
  uint64_t position = 0;
  f->record = ddb_view_next(&f->view, &position);
}

static void fixture_close(fixture *f) {
  ddb_view_close(&f->view);
  ddb_table_release(f->table);
  ddb_db_release(f->db);
}

/* Takes the expression. */
static void expect_worth(fixture *f, ddb_expr *expr, ddb_value expected) {
  ddb__expr_bound *bound = NULL;
  assert_ok(ddb__expr_bind(expr, ddb__table_shapes(f->table), &bound, NULL));
  ddb_value value = ddb__expr_eval(bound, f->record);
  assert_int_equal(value.kind, expected.kind);
  assert_true(ddb_value_equal(&value, &expected));
  ddb__expr_unbind(bound);
  ddb_expr_release(expr);
}

static void worth(void **state) {
  (void)state;
  fixture f;
  fixture_open(&f);
  const ddb_value missing = {.kind = DDB_MISSING};
  expect_worth(&f, field("id"), ddb_int(1));
  expect_worth(&f, field("no"), missing);
  expect_worth(&f, item(field("no"), ddb_int(0)), missing);
  expect_worth(&f, item(field("id"), ddb_int(0)), missing);
  expect_worth(&f, item(field("name"), ddb_int(0)), missing);
  expect_worth(&f, item(field("tags"), ddb_int(0)), text("x"));
  expect_worth(&f, item(field("tags"), ddb_int(-2)), text("x"));
  expect_worth(&f, item(field("tags"), ddb_int(2)), missing);
  expect_worth(&f, item(field("tags"), ddb_int(-3)), missing);
  expect_worth(&f, item(field("tags"), ddb_int(INT64_MIN)), missing);
  expect_worth(&f, item(field("tags"), ddb_float(0.0)), missing);
  expect_worth(&f, item(field("tags"), text("x")), missing);
  expect_worth(&f, item(item(field("tags"), ddb_bool(true)), ddb_int(-1)), ddb_int(2));
  expect_worth(&f, item(field("address"), text("city")), text("Rome"));
  expect_worth(&f, item(field("address"), text("town")), missing);
  expect_worth(&f, item(field("address"), ddb_float(1.0)), text("one"));
  expect_worth(&f, item(field("address"), ddb_bool(true)), text("one"));
  expect_worth(&f, item(field("address"), ddb_float(0.0 / 0.0)), missing);
  expect_worth(&f, item(item(field("address"), text("city")), ddb_int(0)), missing);
  expect_worth(&f, length(field("address")), ddb_int(3));
  expect_worth(&f, length(field("tags")), ddb_int(2));
  expect_worth(&f, length(item(field("tags"), ddb_int(1))), ddb_int(2));
  expect_worth(&f, length(field("name")), ddb_int(7));
  expect_worth(&f, length(field("id")), ddb_null());
  expect_worth(&f, length(field("no")), ddb_null());
  expect_worth(&f, length(literal(text("\xe2\x82\xac"))), ddb_int(1));
  expect_worth(&f, literal(ddb_null()), ddb_null());
  expect_worth(&f, arith(DDB_ARITH_ADD, field("id"), field("no")), ddb_null());
  expect_worth(&f, arith(DDB_ARITH_ADD, field("id"), length(field("tags"))), ddb_int(3));
  /* Big results on both sides of an operator at once: 2^189 - 2^126 has no room to spare. */
  ddb_expr *big[3];
  for (int i = 0; i < 3; i++) {
    ddb_expr *first = arith(DDB_ARITH_SUB, literal(ddb_int(INT64_MAX)), field("id"));
    big[i] = arith(DDB_ARITH_MUL, arith(DDB_ARITH_ADD, first, literal(ddb_int(2))),
                   literal(ddb_int(INT64_MAX - i)));
  }
  ddb_expr *left = arith(DDB_ARITH_MUL, arith(DDB_ARITH_SUB, big[0], big[1]), field("id"));
  ddb_expr *nested = arith(DDB_ARITH_SUB, left, arith(DDB_ARITH_SUB, big[2], literal(ddb_int(1))));
  ddb_expr_acquire(nested);
  expect_worth(&f, arith(DDB_ARITH_SUB, nested, nested), ddb_int(0));
  expect_worth(&f, item(length(field("tags")), ddb_int(0)), missing);
  fixture_close(&f);
  assert_int_equal(ddb_process_memory(), memory_before);
}

/* What is a path, and which. */
static void paths(void **state) {
  (void)state;
  fixture f;
  fixture_open(&f);
  ddb_expr *expr = item(item(field("address"), text("city")), ddb_int(3));
  ddb__expr_bound *bound = NULL;
  assert_ok(ddb__expr_bind(expr, ddb__table_shapes(f.table), &bound, NULL));
  const ddb__path *path = ddb__expr_path(bound);
  assert_non_null(path);
  assert_int_equal(path->field_id,
                   ddb__shapes_field_find(ddb__table_shapes(f.table), DDB_STR("address")));
  assert_int_equal(path->step_count, 2);
  ddb_value first = text("city");
  assert_true(ddb_value_equal(&path->steps[0], &first));
  assert_int_equal(path->steps[1].as.integer, 3);
  ddb_value value = ddb__path_get(path, f.record);
  assert_int_equal(value.kind, DDB_MISSING);
  ddb__expr_unbind(bound);
  expr = length(expr);
  assert_ok(ddb__expr_bind(expr, ddb__table_shapes(f.table), &bound, NULL));
  assert_null(ddb__expr_path(bound));
  ddb__expr_unbind(bound);
  ddb_expr_release(expr);
  fixture_close(&f);
}

/* A typo at the root of a path, and in an operand of a comparison. */
static void unknown_fields_are_named(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  const ddb_schema_field schema[] = {{DDB_STR("address"), DDB_TYPE(DDB_DICT), NULL}};
  const ddb_table_options options = {.schema = schema, .schema_count = 1};
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), &options, &table, NULL));
  ddb_expr *known = length(field("address"));
  ddb_expr *unknown = item(field("adress"), text("city"));
  ddb_cond *conds[2];
  assert_ok(ddb_cond_compare_expr(known, DDB_OP_EQ, unknown, &conds[0], NULL));
  assert_ok(ddb_cond_compare_expr(unknown, DDB_OP_EQ, known, &conds[1], NULL));
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  for (int i = 0; i < 2; i++) {
    uint64_t count;
    ddb_error error;
    assert_int_equal(ddb_view_count_where(&view, conds[i], &count, &error),
                     DDB_ERR_FIELD_NOT_FOUND);
    assert_non_null(strstr(error.message, "address"));
    ddb_cond_release(conds[i]);
  }
  ddb_view_close(&view);
  ddb_expr_release(known);
  ddb_expr_release(unknown);
  ddb_table_release(table);
  ddb_db_release(db);
  assert_int_equal(ddb_process_memory(), memory_before);
}

/* ---- Memory ------------------------------------------------------------------------------- */

/* Builds a bit of everything and counts with it; false when memory ran out on the way. */
static bool build_all(fixture *f) {
  uint8_t digits[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  ddb_value big = {.kind = DDB_BIGINT, .size = sizeof digits, .as = {.data = digits}};
  ddb_value key = text("city");
  ddb_value values[] = {ddb_int(1), ddb_int(2)};
  ddb_expr *parts[5] = {NULL};
  ddb_cond *conds[4] = {NULL};
  ddb_cond *all = NULL;
  uint64_t count = 0;
  bool built = !ddb_expr_field(DDB_STR("tags"), &parts[0], NULL) &&
               !ddb_expr_item(parts[0], &key, &parts[1], NULL) &&
               !ddb_expr_len(parts[1], &parts[2], NULL) && !ddb_expr_value(&big, &parts[3], NULL) &&
               !ddb_expr_arith(DDB_ARITH_MUL, parts[3], parts[2], &parts[4], NULL) &&
               !ddb_cond_compare_expr(parts[2], DDB_OP_LT, parts[4], &conds[0], NULL) &&
               !ddb_cond_compare_expr(parts[2], DDB_OP_LT, parts[1], &conds[1], NULL) &&
               !ddb_cond_in_expr(parts[1], values, 2, &conds[2], NULL) &&
               !ddb_cond_is_null_expr(parts[2], &conds[3], NULL) &&
               !ddb_cond_or(conds, 4, &all, NULL) &&
               !ddb_view_count_where(&f->view, all, &count, NULL);
  assert_true(!built || count == 1);
  for (int i = 0; i < 5; i++) {
    ddb_expr_release(parts[i]);
    ddb_cond_release(i < 4 ? conds[i] : NULL);
  }
  ddb_cond_release(all);
  return built;
}

static void allocations_fail(void **state) {
  (void)state;
  fixture f;
  fixture_open(&f);
  uint64_t before = ddb_process_memory();
  for (unsigned n = 1;; n++) {
    support_allocator_fail((long)n);
    bool built = build_all(&f);
    bool failed = support_allocator_failed();
    assert_int_equal(ddb_process_memory(), before);
    if (!failed) {
      assert_true(built);
      assert_true(n > 15);
      break;
    }
    assert_false(built);
  }
  fixture_close(&f);
}

/* The same with patterns. Not enough memory for a search fails the statement. */
static bool build_patterns(fixture *f) {
  ddb_str found = DDB_STR("STRASSE");
  ddb_value values[] = {text("x"), text("y")};
  ddb_expr *name = NULL;
  ddb_expr *tags = NULL;
  ddb_cond *conds[7] = {NULL};
  ddb_cond *all = NULL;
  uint64_t count = 77;
  bool built = !ddb_expr_field(DDB_STR("name"), &name, NULL) &&
               !ddb_expr_field(DDB_STR("tags"), &tags, NULL) &&
               !ddb_cond_like(name, DDB_STR("str%"), DDB_STR("!"), false, &conds[0], NULL) &&
               !ddb_cond_like(name, DDB_STR("ST__%E%"), DDB_STR(""), true, &conds[1], NULL) &&
               !ddb_cond_compare_folded(name, DDB_OP_STARTSWITH, found, &conds[2], NULL) &&
               !ddb_cond_matches(name, DDB_STR("A\\wE?"), DDB_REGEX_IGNORE_CASE, &conds[3], NULL) &&
               !ddb_cond_exists(name, &conds[4], NULL) &&
               !ddb_cond_has_any(tags, values, 2, &conds[5], NULL) &&
               !ddb_cond_has_all(tags, values, 1, &conds[6], NULL) &&
               !ddb_cond_and(conds, 7, &all, NULL) &&
               !ddb_view_count_where(&f->view, all, &count, NULL);
  assert_int_equal(count, built ? 1 : 77);
  ddb_expr_release(name);
  ddb_expr_release(tags);
  for (int i = 0; i < 7; i++) {
    ddb_cond_release(conds[i]);
  }
  ddb_cond_release(all);
  return built;
}

static void allocations_of_patterns_fail(void **state) {
  (void)state;
  fixture f;
  fixture_open(&f);
  uint64_t before = ddb_process_memory();
  for (unsigned n = 1;; n++) {
    support_allocator_fail((long)n);
    bool built = build_patterns(&f);
    bool failed = support_allocator_failed();
    assert_int_equal(ddb_process_memory(), before);
    if (!failed) {
      assert_true(built);
      assert_true(n > 25);
      break;
    }
    assert_false(built);
  }
  fixture_close(&f);
}

static void bad_patterns(void **state) {
  (void)state;
  ddb_expr *of = field("a");
  ddb_cond *cond = NULL;
  ddb_error error;
  const ddb_str none = DDB_STR("");
  assert_int_equal(ddb_cond_like(of, DDB_STR("ab!"), DDB_STR("!"), false, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(error.offset, 2);
  assert_int_equal(ddb_cond_like(of, DDB_STR("a"), DDB_STR("!!"), false, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_like(NULL, DDB_STR("a"), none, false, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_like(of, DDB_STR("\xff"), none, true, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_like(of, (ddb_str){NULL, 5}, none, true, &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_matches(of, DDB_STR("\xc3\xa9("), 0, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(error.offset, 3);
  assert_non_null(strstr(error.message, "position 2"));
  assert_int_equal(ddb_cond_matches(of, DDB_STR("a"), 0x80, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_matches(of, DDB_STR("a"), 0, NULL, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare_folded(of, DDB_OP_LT, none, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_compare_folded(of, DDB_OP_EQ, DDB_STR("\x80"), &cond, &error),
                   DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_exists(NULL, &cond, &error), DDB_ERR_INVALID);
  assert_int_equal(ddb_cond_has_any(of, NULL, 2, &cond, &error), DDB_ERR_INVALID);
  assert_null(cond);
  ddb_expr_release(of);
  assert_int_equal(ddb_process_memory(), memory_before);
}

int main(void) {
  support_allocator_install();
  fixture f;
  fixture_open(&f);
  fixture_close(&f);
  memory_before = ddb_process_memory();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(formats),
      cmocka_unit_test(bad_arguments),
      cmocka_unit_test(depth_is_limited),
      cmocka_unit_test(worth),
      cmocka_unit_test(paths),
      cmocka_unit_test(unknown_fields_are_named),
      cmocka_unit_test(allocations_fail),
      cmocka_unit_test(allocations_of_patterns_fail),
      cmocka_unit_test(bad_patterns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
