/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c - sorted and unique indexes: the order of keys against the order of values, tables
 * whose values share long beginnings, uniqueness, and allocations that fail. That no index changes
 * an answer is test_query.c's.
 */
#include "base/testing.h"
#include "random_values.h"
#include "rows.h"
#include "store/index_key.h"
#include "store/table.h"
#include "store/value.h"
#include "support.h"

static uint64_t seed;

/* ---- Keys --------------------------------------------------------------------------------- */

enum { VALUES = 900 };

static ddb_value values[VALUES];
static size_t value_count;

static void add(ddb_builder *builder, ddb_value value) {
  assert_ok(ddb_builder_append(builder, &value, NULL));
}

static void add_text(ddb_builder *builder, uint8_t kind, const char *text) {
  ddb_value value = ddb_text(ddb_str_from(text));
  value.kind = kind;
  add(builder, value);
}

/* Numbers near each other and near what the encoding turns on: powers of 128 and of 2. */
static void add_numbers(ddb_builder *builder, uint64_t *random) {
  static const char *const decimals[] = {"0",
                                         "-0",
                                         "5",
                                         "5.0",
                                         "5.5",
                                         "0.1",
                                         "0.10000000000000001",
                                         "1E-400",
                                         "-1E-400",
                                         "1E+400",
                                         "-1E400",
                                         "Infinity",
                                         "-Infinity",
                                         "NaN",
                                         "1E-324",
                                         "4.9E-324",
                                         "1.7976931348623157E+308",
                                         "1.7976931348623158E+308",
                                         "179769313486231590772930519078902473361797697894230657273"
                                         "430081157732675805500963132708477322"
                                         "407536021120113879871393357658789768814416622492847430639"
                                         "474124377767893424865485276302219601"
                                         "246094119453082952085005768838150682342462881473913110540"
                                         "827237163350510684586298239947245938"
                                         "479716304835356329624224137215",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "9223372036854775807.5",
                                         "36028797018963968",
                                         "36028797018963967.9999999999999999999",
                                         "127.99999999999999999999",
                                         "128.00000000000000000001",
                                         "-127.99999999999999999999",
                                         "-128.00000000000000000001"};
  for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
    add_text(builder, DDB_DECIMAL, decimals[i]);
  }
  for (int i = 0; i < 60; i++) {
    int64_t near = INT64_C(1) << support_below(random, 63);
    int64_t number = near + (int64_t)support_below(random, 5) - 2;
    add(builder, ddb_int(support_below(random, 2) ? number : -number));
    double real = (double)number + ((double)support_below(random, 3) - 1.0) / 4.0;
    add(builder, ddb_float(support_below(random, 2) ? real : -real));
    uint64_t bits = support_random(random);
    double any;
    memcpy(&any, &bits, sizeof any);
    add(builder, ddb_float(any));
  }
  static const double reals[] = {0.0, -0.0, 4.9e-324, -4.9e-324, 2.2250738585072014e-308,
                                 0.1, 19.99};
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
    add(builder, ddb_float(reals[i]));
  }
  for (size_t size = 8; size < 140; size += 1 + size / 9) {
    uint8_t big[160] = {(uint8_t)support_below(random, 2)};
    for (size_t i = 1; i <= size; i++) {
      big[i] = support_below(random, 2) ? 0xff : (uint8_t)support_below(random, 2);
    }
    big[size] |= 0x80;
    ddb_value value = {.kind = DDB_BIGINT, .size = (uint32_t)size + 1, .as.data = big};
    add(builder, value);
  }
}

static void add_texts(ddb_builder *builder, uint64_t *random) {
  static const char *const texts[] = {"", "a", "ab", "abcdef", "abcdefg", "abcdefh", "abcdefghi"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    add_text(builder, DDB_STR_KIND, texts[i]);
    add_text(builder, DDB_BYTES, texts[i]);
  }
  for (int i = 0; i < 80; i++) {
    char text[12];
    size_t size = support_below(random, sizeof text);
    for (size_t at = 0; at < size; at++) {
      text[at] = "\0\1ab\x7f"[support_below(random, 5)];
    }
    add(builder, ddb_text((ddb_str){text, size}));
  }
}

static void make_values(ddb_builder *builder, uint64_t *random) {
  add(builder, ddb_null());
  add_numbers(builder, random);
  add_texts(builder, random);
  for (int i = 0; i < 300; i++) {
    random_value_append(builder, random, 2, false);
  }
  value_count = ddb_builder_count(builder);
  assert_true(value_count <= VALUES);
  for (size_t i = 0; i < value_count; i++) {
    values[i] = ddb_builder_value_at(builder, i);
  }
}

static void fail_pair(const char *what, const ddb_value *a, const ddb_value *b) {
  char texts[2][200];
  ddb_value_format(a, texts[0], sizeof texts[0]);
  ddb_value_format(b, texts[1], sizeof texts[1]);
  fail_msg("seed %llu: %s: %s, %s", (unsigned long long)seed, what, texts[0], texts[1]);
}

static void check_keys(const ddb_value *a, const ddb_value *b, uint64_t key_a, uint64_t key_b,
                       int order) {
  if (order < 0 ? key_a > key_b : order == 0 && key_a != key_b) {
    fail_pair("keys are not in the order of their values (K1, K2)", a, b);
  }
  if (key_a == key_b && ddb__key_is_exact(key_a) && order != 0) {
    fail_pair("an exact key of different values (K3)", a, b);
  }
}

static void keys_in_order(void **state) {
  (void)state;
  uint64_t random = seed;
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  make_values(builder, &random);
  size_t exact = 0;
  for (size_t i = 0; i < value_count; i++) {
    uint64_t key = ddb__key_of(&values[i], 1);
    exact += ddb__key_is_exact(key);
    for (size_t j = 0; j < value_count; j++) {
      check_keys(&values[i], &values[j], key, ddb__key_of(&values[j], 1),
                 ddb_value_compare(&values[i], &values[j]));
    }
  }
  assert_true(exact > value_count / 5);
  ddb_builder_free(builder);
}

/* Of lists of two values; and the span of the first one holds all of them. */
static void keys_of_lists(void **state) {
  (void)state;
  uint64_t random = seed + 1;
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  make_values(builder, &random);
  for (int i = 0; i < 400000; i++) {
    ddb_value a[2] = {values[support_below(&random, value_count)],
                      values[support_below(&random, value_count)]};
    ddb_value b[2] = {support_below(&random, 2) ? a[0]
                                                : values[support_below(&random, value_count)],
                      values[support_below(&random, value_count)]};
    uint64_t key_a = ddb__key_of(a, 2);
    uint64_t key_b = ddb__key_of(b, 2);
    check_keys(&a[0], &b[1], key_a, key_b, ddb__index_compare(a, b, 2));
    ddb__key_span span = ddb__key_span_of(a, 1, false);
    int first = ddb_value_compare(&b[0], &a[0]);
    bool within = key_b >= span.low && key_b <= span.high;
    if ((first == 0 && !within) || (within && span.exact && first != 0) ||
        (first < 0 && key_b > span.high) || (first > 0 && key_b < span.low)) {
      fail_pair("the span of a value is wrong", &a[0], &b[0]);
    }
  }
  ddb_builder_free(builder);
}

/* ---- Tables ------------------------------------------------------------------------------- */

typedef struct world {
  ddb_db *db;
  ddb_table *table;
} world;

static world world_new(void) {
  world w;
  assert_ok(ddb_db_new(&w.db, NULL));
  assert_ok(ddb_db_table_create(w.db, DDB_STR("t"), NULL, &w.table, NULL));
  return w;
}

static void world_free(world *w) {
  ddb_table_release(w->table);
  ddb_db_release(w->db);
}

static ddb_status add_index(ddb_table *table, ddb_index_kind kind, bool unique, const char *first,
                            const char *second, ddb_error *err) {
  ddb_str fields[2] = {ddb_str_from(first), ddb_str_from(second)};
  ddb_index_options options = {
      .fields = fields, .field_count = second ? 2 : 1, .kind = kind, .unique = unique};
  return ddb_table_index_add(table, &options, err);
}

static ddb_status insert(ddb_table *table, int64_t id, ddb_value a, ddb_value b, ddb_error *err) {
  ddb_field fields[] = {{DDB_STR("id"), ddb_int(id)}, {DDB_STR("a"), a}, {DDB_STR("b"), b}};
  return ddb_table_insert_fields(table, fields, 3, NULL, err);
}

static ddb_status update(ddb_table *table, int64_t id, const char *field, ddb_value value,
                         ddb_error *err) {
  ddb_str name = ddb_str_from(field);
  const ddb_shape *shape;
  ddb_builder *changes;
  ddb_cond *where = NULL;
  ddb_value key = ddb_int(id);
  uint64_t count;
  ddb_status status = ddb_builder_new(&changes, err);
  if (status) {
    return status;
  }
  status = ddb_table_shape(table, DDB_SHAPE_CHANGES, &name, 1, &shape, err);
  status = status ? status : ddb_builder_record_begin(changes, shape, true, err);
  status = status ? status : ddb_builder_append(changes, &value, err);
  status = status ? status : ddb_builder_end(changes, err);
  if (!status && id >= 0) {
    status = ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &where, err);
  }
  status = status ? status : ddb_table_update(table, changes, where, &count, err);
  ddb_cond_release(where);
  ddb_builder_free(changes);
  return status;
}

static void delete_row(ddb_table *table, int64_t id) {
  ddb_cond *where;
  ddb_value key = ddb_int(id);
  assert_ok(ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &where, NULL));
  assert_ok(ddb_table_delete(table, where, NULL, NULL));
  ddb_cond_release(where);
}

static void check_table(ddb_table *table) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  const ddb__root *root = ddb__view_root(&view);
  for (uint32_t i = 0; i < root->index_count; i++) {
    const char *wrong = ddb__index_check(root, &root->indexes[i]);
    if (wrong) {
      fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    }
  }
  ddb_view_close(&view);
}

/* Keys decide nothing here: every comparison reads rows, also those of rows that changed. */
static void shared_beginnings(void **state) {
  (void)state;
  uint64_t random = seed + 2;
  world w = world_new();
  assert_ok(add_index(w.table, DDB_INDEX_SORTED, false, "a", NULL, NULL));
  assert_ok(add_index(w.table, DDB_INDEX_SORTED, false, "a", "b", NULL));
  enum { ROWS = 300 };
  bool there[ROWS] = {false};
  for (int step = 0; step < 4000; step++) {
    int64_t id = (int64_t)support_below(&random, ROWS);
    char text[40];
    int number = (int)support_below(&random, 60);
    (void)snprintf(text, sizeof text, "a long common beginning %03d", number);
    ddb_value value = ddb_text(ddb_str_from(text));
    if (!there[id]) {
      assert_ok(insert(w.table, id, value, ddb_int(number % 3), NULL));
      there[id] = true;
    } else if (support_below(&random, 3)) {
      assert_ok(update(w.table, id, "a", value, NULL));
    } else {
      delete_row(w.table, id);
      there[id] = false;
    }
    if (step % 50 == 0) {
      check_table(w.table);
    }
    if (step % 500 == 499) { /* built at once, it is the same */
      assert_ok(ddb_table_index_drop(w.table, &DDB_STR("a"), 1, NULL, NULL));
      assert_ok(add_index(w.table, DDB_INDEX_SORTED, false, "a", NULL, NULL));
      check_table(w.table);
    }
  }
  world_free(&w);
}

/* ---- Unique ------------------------------------------------------------------------------- */

static void unique_refuses(void **state) {
  (void)state;
  ddb_value x = ddb_text(DDB_STR("a text beyond the key"));
  ddb_value y = ddb_text(DDB_STR("a text beyond the keys"));
  for (ddb_index_kind kind = DDB_INDEX_HASH; kind <= DDB_INDEX_SORTED; kind++) {
    world w = world_new();
    ddb_error error;
    assert_ok(add_index(w.table, kind, true, "a", NULL, NULL));
    assert_ok(insert(w.table, 1, x, ddb_int(1), NULL));
    assert_int_equal(insert(w.table, 2, x, ddb_int(1), &error), DDB_ERR_DUPLICATE_KEY);
    assert_non_null(strstr(error.message, "'a text beyond the key' twice"));
    assert_string_equal(error.field, "a");
    assert_ok(insert(w.table, 2, y, ddb_int(1), NULL));
    assert_int_equal(update(w.table, 2, "a", x, NULL), DDB_ERR_DUPLICATE_KEY);
    assert_ok(update(w.table, 2, "a", y, NULL));
    assert_int_equal(update(w.table, -1, "a", ddb_float(1), NULL), DDB_ERR_DUPLICATE_KEY);
    assert_ok(insert(w.table, 3, ddb_null(), ddb_int(1), NULL));
    assert_ok(insert(w.table, 4, ddb_null(), ddb_int(1), NULL));
    double nan = strtod("nan", NULL);
    assert_ok(insert(w.table, 5, ddb_float(nan), ddb_int(1), NULL));
    assert_ok(insert(w.table, 6, ddb_float(nan), ddb_int(1), NULL));
    assert_ok(insert(w.table, 7, ddb_int(1), ddb_int(1), NULL));
    assert_int_equal(insert(w.table, 8, ddb_float(1), ddb_int(1), NULL), DDB_ERR_DUPLICATE_KEY);
    assert_int_equal(insert(w.table, 8, ddb_bool(true), ddb_int(1), NULL), DDB_ERR_DUPLICATE_KEY);
    delete_row(w.table, 7);
    assert_ok(insert(w.table, 8, ddb_bool(true), ddb_int(1), NULL));
    check_table(w.table);
    world_free(&w);
  }
}

static void unique_of_two(void **state) {
  (void)state;
  for (ddb_index_kind kind = DDB_INDEX_HASH; kind <= DDB_INDEX_SORTED; kind++) {
    world w = world_new();
    ddb_error error;
    assert_ok(add_index(w.table, kind, true, "a", "b", NULL));
    assert_ok(insert(w.table, 1, ddb_int(1), ddb_int(1), NULL));
    assert_ok(insert(w.table, 2, ddb_int(1), ddb_int(2), NULL));
    assert_int_equal(insert(w.table, 3, ddb_float(1), ddb_int(2), &error), DDB_ERR_DUPLICATE_KEY);
    assert_non_null(strstr(error.message, "(1.0, 2) twice"));
    assert_non_null(strstr(error.message, "('a', 'b')"));
    assert_ok(insert(w.table, 4, ddb_int(1), ddb_null(), NULL));
    assert_ok(insert(w.table, 5, ddb_int(1), ddb_null(), NULL));
    world_free(&w);
  }
}

/* Duplicates that a statement makes and resolves itself are none. */
static void unique_moves(void **state) {
  (void)state;
  world w = world_new();
  assert_ok(add_index(w.table, DDB_INDEX_SORTED, true, "a", NULL, NULL));
  assert_ok(insert(w.table, 1, ddb_int(1), ddb_int(0), NULL));
  assert_ok(insert(w.table, 2, ddb_int(2), ddb_int(0), NULL));
  ddb_str names[] = {DDB_STR("id"), DDB_STR("a")};
  const ddb_shape *shape;
  ddb_builder *batch;
  assert_ok(ddb_builder_new(&batch, NULL));
  assert_ok(ddb_table_shape(w.table, DDB_SHAPE_RECORD, names, 2, &shape, NULL));
  for (int64_t id = 1; id <= 2; id++) {
    ddb_value key = ddb_int(id);
    ddb_value other = ddb_int(3 - id);
    assert_ok(ddb_builder_record_begin(batch, shape, true, NULL));
    assert_ok(ddb_builder_append(batch, &key, NULL));
    assert_ok(ddb_builder_append(batch, &other, NULL));
    assert_ok(ddb_builder_end(batch, NULL));
  }
  assert_ok(ddb_table_upsert(w.table, batch, DDB_CONFLICT_UPDATE, NULL, NULL, NULL));
  check_table(w.table);
  ddb_builder_free(batch);
  world_free(&w);
}

static size_t index_count(ddb_table *table) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  size_t count = ddb_view_index_count(&view);
  ddb_view_close(&view);
  return count;
}

static void unique_over_duplicates(void **state) {
  (void)state;
  world w = world_new();
  ddb_error error;
  for (int64_t id = 0; id < 100; id++) {
    assert_ok(insert(w.table, id, id % 50 ? ddb_int(id) : ddb_null(),
                     ddb_text(id == 77 ? DDB_STR("the same text") : DDB_STR("")), NULL));
  }
  assert_ok(update(w.table, 7, "b", ddb_text(DDB_STR("the same text")), NULL));
  for (ddb_index_kind kind = DDB_INDEX_HASH; kind <= DDB_INDEX_SORTED; kind++) {
    assert_int_equal(add_index(w.table, kind, true, "b", NULL, &error), DDB_ERR_DUPLICATE_KEY);
    assert_non_null(strstr(error.message, " twice under the unique index on 'b'"));
    assert_int_equal(index_count(w.table), kind);
    assert_ok(add_index(w.table, kind, true, "a", NULL, NULL));
    assert_int_equal(add_index(w.table, kind, false, "a", NULL, &error), DDB_ERR_DUPLICATE_INDEX);
    assert_int_equal(add_index(w.table, kind, false, "a", "a", &error), DDB_ERR_INVALID);
  }
  assert_int_equal(index_count(w.table), 2);
  ddb_str field = DDB_STR("a");
  ddb_index_options options = {.fields = &field, .field_count = 1, .kind = DDB_INDEX_SORTED};
  assert_ok(ddb_table_index_drop(w.table, &field, 1, &options.kind, NULL));
  assert_int_equal(ddb_table_index_drop(w.table, &field, 1, &options.kind, NULL),
                   DDB_ERR_INDEX_NOT_FOUND);
  assert_ok(ddb_table_index_drop(w.table, &field, 1, NULL, NULL));
  options.field_count = 0;
  assert_int_equal(ddb_table_index_add(w.table, &options, NULL), DDB_ERR_INVALID);
  assert_int_equal(ddb_table_index_drop(w.table, &field, 0, NULL, NULL), DDB_ERR_INVALID);
  world_free(&w);
}

/* ---- Paths -------------------------------------------------------------------------------- */

static ddb_status add_paths(ddb_table *table, const ddb_path *paths, size_t count, ddb_error *err) {
  ddb_index_options options = {.paths = paths, .field_count = count, .kind = DDB_INDEX_SORTED};
  return ddb_table_index_add(table, &options, err);
}

static void paths_are_copied(void **state) {
  (void)state;
  world w = world_new();
  char text[] = "more than fits into a value";
  ddb_value steps[2] = {ddb_text(ddb_str_from(text)), ddb_int(-1)};
  ddb_path paths[2] = {{DDB_STR("a"), steps, 2}, {.field = DDB_STR("b")}};
  assert_ok(add_paths(w.table, paths, 2, NULL));
  memset(text, 'x', sizeof text - 1);
  steps[1] = ddb_int(7);
  ddb_view view;
  assert_ok(ddb_view_open(w.table, &view, NULL));
  ddb_path path = ddb_view_index_path(&view, 0, 0);
  assert_int_equal(path.step_count, 2);
  assert_memory_equal(path.steps[0].as.data, "more than fits into a value", 27);
  assert_int_equal(path.steps[1].as.integer, -1);
  assert_int_equal(ddb_view_index_path(&view, 0, 1).step_count, 0);
  assert_false(ddb_view_index_is_over(&view, 0, paths, 2));
  memcpy(text, "more than fits into a value", 27);
  assert_false(ddb_view_index_is_over(&view, 0, paths, 2));
  steps[1] = ddb_int(-1);
  assert_true(ddb_view_index_is_over(&view, 0, paths, 2));
  assert_false(ddb_view_index_is_over(&view, 0, paths, 1));
  ddb_view_close(&view);
  assert_ok(ddb_table_index_drop_paths(w.table, paths, 2, NULL, NULL));
  assert_int_equal(index_count(w.table), 0);
  world_free(&w);
}

static void bad_paths(void **state) {
  (void)state;
  world w = world_new();
  ddb_error error;
  ddb_value steps[DDB_INDEX_STEP_COUNT_MAX + 1];
  for (size_t i = 0; i < DDB_INDEX_STEP_COUNT_MAX + 1; i++) {
    steps[i] = ddb_int((int64_t)i);
  }
  ddb_path paths[2] = {{DDB_STR("a"), steps, DDB_INDEX_STEP_COUNT_MAX + 1},
                       {DDB_STR("a"), steps, 1}};
  assert_int_equal(add_paths(w.table, paths, 1, &error), DDB_ERR_LIMIT);
  assert_int_equal(ddb_table_index_drop_paths(w.table, paths, 1, NULL, &error), DDB_ERR_LIMIT);
  paths[0].step_count = 1;
  assert_int_equal(add_paths(w.table, paths, 2, &error), DDB_ERR_INVALID);
  assert_non_null(strstr(error.message, "a field twice: 'a'[0]"));
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  assert_ok(ddb_builder_begin(builder, DDB_LIST, 0, NULL));
  assert_ok(ddb_builder_end(builder, NULL));
  steps[0] = ddb_builder_value_at(builder, 0);
  assert_int_equal(add_paths(w.table, paths, 1, &error), DDB_ERR_TYPE);
  assert_non_null(strstr(error.message, "unhashable list"));
  ddb_builder_free(builder);
  paths[0].steps = NULL;
  assert_int_equal(add_paths(w.table, paths, 1, &error), DDB_ERR_LIMIT);
  assert_int_equal(index_count(w.table), 0);
  world_free(&w);
}

/* What is a path, and what is not. */
static void expressions_as_paths(void **state) {
  (void)state;
  ddb_expr *field;
  ddb_expr *item;
  ddb_expr *deep;
  ddb_expr *length;
  ddb_value one = ddb_int(1);
  ddb_value text = ddb_text(DDB_STR("x"));
  ddb_value steps[2];
  ddb_path path = {.step_count = 77};
  assert_ok(ddb_expr_field(DDB_STR("a"), &field, NULL));
  assert_ok(ddb_expr_item(field, &one, &item, NULL));
  assert_ok(ddb_expr_item(item, &text, &deep, NULL));
  assert_ok(ddb_expr_len(item, &length, NULL));
  assert_false(ddb_expr_path(length, steps, 2, &path));
  assert_false(ddb_expr_path(deep, steps, 1, &path));
  assert_int_equal(path.step_count, 77);
  assert_true(ddb_expr_path(deep, steps, 2, &path));
  assert_int_equal(path.step_count, 2);
  assert_int_equal(path.steps[0].as.integer, 1);
  assert_int_equal(path.steps[1].kind, DDB_STR_KIND);
  assert_memory_equal(path.field.data, "a", path.field.size);
  assert_true(ddb_expr_path(field, NULL, 0, &path));
  assert_int_equal(path.step_count, 0);
  ddb_expr_release(field);
  ddb_expr_release(item);
  ddb_expr_release(deep);
  ddb_expr_release(length);
}

/* ---- Allocations -------------------------------------------------------------------------- */

typedef ddb_status (*statement)(ddb_table *table);

static ddb_status create_two(ddb_table *table) {
  return add_index(table, DDB_INDEX_SORTED, true, "a", "b", NULL);
}
static ddb_status create_path(ddb_table *table) {
  static const ddb_value steps[] = {{.kind = DDB_INT, .as = {.integer = 1}},
                                    {.kind = DDB_STR_KIND, .size = 9, .as = {.data = "more than"}}};
  ddb_path paths[2] = {{DDB_STR("a"), steps, 1}, {DDB_STR("b"), steps, 2}};
  return add_paths(table, paths, 2, NULL);
}
static ddb_status insert_one(ddb_table *table) {
  return insert(table, 1000, ddb_text(DDB_STR("a long common beginning 0500")), ddb_int(1), NULL);
}
static ddb_status insert_twice(ddb_table *table) {
  return insert(table, 1001, ddb_text(DDB_STR("a long common beginning 0500")), ddb_int(1), NULL);
}
static ddb_status change_one(ddb_table *table) {
  return update(table, 10, "a", ddb_text(DDB_STR("a long common beginning 0777")), NULL);
}

/* Of many steps; and run. */
static ddb_status explain(ddb_table *table) {
  ddb_cond *parts[9] = {NULL};
  ddb_cond *where = NULL;
  ddb_status status = DDB_OK;
  for (int i = 0; i < 9 && !status; i++) {
    ddb_value value = ddb_int(i);
    status = ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &value, &parts[i], NULL);
  }
  status = status ? status : ddb_cond_or(parts, 9, &where, NULL);
  ddb_order order = {.field = DDB_STR("a")};
  ddb_query query = {.where = where, .order = &order, .order_count = 1, .limit = 5};
  ddb_view view;
  ddb_plan plan = {0};
  status = status ? status : ddb_view_open(table, &view, NULL);
  if (!status) {
    status = ddb_view_explain(&view, &query, true, &plan, NULL);
    ddb_view_close(&view);
  }
  if (!status) {
    assert_string_equal(plan.nodes[0].step, "slice");
    assert_int_equal(plan.nodes[0].actual, 5);
    assert_string_equal(plan.nodes[plan.count - 1].step, "key");
  }
  ddb_plan_free(&plan);
  ddb_cond_release(where);
  for (int i = 0; i < 9; i++) {
    ddb_cond_release(parts[i]);
  }
  return status;
}

static unsigned fail_each(world *w, statement run, ddb_status expected) {
  for (unsigned n = 1;; n++) {
    support_allocator_fail((long)n);
    ddb_status status = run(w->table);
    bool failed = support_allocator_failed();
    check_table(w->table);
    if (status != DDB_ERR_NOMEM) {
      assert_int_equal(status, expected);
      assert_true(!failed || n > 1);
      return n - 1;
    }
    assert_true(failed);
  }
}

static void allocations_fail(void **state) {
  (void)state;
  world w = world_new();
  for (int64_t id = 0; id < 60; id++) {
    char text[40];
    (void)snprintf(text, sizeof text, "a long common beginning %04d", (int)(id * 37 % 600));
    assert_ok(insert(w.table, id, ddb_text(ddb_str_from(text)), ddb_int(id % 4), NULL));
  }
  unsigned failures = fail_each(&w, create_two, DDB_OK);
  assert_int_equal(index_count(w.table), 1);
  failures += fail_each(&w, create_path, DDB_OK);
  assert_int_equal(index_count(w.table), 2);
  failures += fail_each(&w, insert_one, DDB_OK);
  failures += fail_each(&w, insert_twice, DDB_ERR_DUPLICATE_KEY);
  failures += fail_each(&w, change_one, DDB_OK);
  failures += fail_each(&w, explain, DDB_OK);
  assert_true(failures > 20);
  world_free(&w);
}

/* ---- Before long work ---------------------------------------------------------------------- */

static void count_call(void *context) {
  ++*(unsigned *)context;
}

static ddb_cond *compare(const char *field, ddb_op op, int64_t number) {
  ddb_value value = ddb_int(number);
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_compare(ddb_str_from(field), op, &value, &cond, NULL));
  return cond;
}

static ddb_cond *one_of(int64_t first, size_t count) {
  ddb_value numbers[100];
  for (size_t i = 0; i < count; i++) {
    numbers[i] = ddb_int(first + (int64_t)i);
  }
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_in(DDB_STR("a"), numbers, count, &cond, NULL));
  return cond;
}

/* How often the query told that it may take long. Takes the condition. */
static unsigned told(ddb_table *table, ddb_cond *where, ddb_query query, size_t expected) {
  unsigned calls = 0;
  query.where = where;
  query.before_long = count_call;
  query.context = &calls;
  ddb_view view;
  ddb_records records = {0};
  assert_ok(ddb_view_open(table, &view, NULL));
  assert_ok(ddb_view_select(&view, &query, &records, NULL));
  assert_int_equal(records.count, expected);
  ddb_records_free(&records);
  ddb_view_close(&view);
  ddb_cond_release(where);
  return calls;
}

static ddb_cond *both(ddb_cond *a, ddb_cond *b) {
  ddb_cond *const operands[] = {a, b};
  ddb_cond *cond = NULL;
  assert_ok(ddb_cond_and(operands, 2, &cond, NULL));
  ddb_cond_release(a);
  ddb_cond_release(b);
  return cond;
}

/* Few rows that are found by way of many entries of two indexes take as long as many. */
static void long_intersections_are_told(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  const ddb_query all = DDB_QUERY_INIT;
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  for (int64_t id = 0; id < 3000; id++) {
    assert_ok(insert(table, id, ddb_int(id % 10), ddb_int(id / 10 % 10), NULL));
  }
  assert_ok(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  assert_ok(ddb_table_index_create(table, DDB_STR("b"), DDB_INDEX_HASH, NULL));
  ddb_cond *few = both(compare("a", DDB_OP_EQ, 1), compare("b", DDB_OP_EQ, 1));
  assert_int_equal(told(table, few, all, 30), 1);
  few = both(compare("a", DDB_OP_EQ, 1), compare("b", DDB_OP_EQ, -1));
  assert_int_equal(told(table, few, all, 0), 0);
  ddb_table_release(table);
  ddb_db_release(db);
}

/* Only what looks at many records is, and once. */
static void long_queries_are_told(void **state) {
  (void)state;
  ddb_db *db;
  ddb_table *table;
  const ddb_query all = DDB_QUERY_INIT;
  ddb_query few = {.limit = 5};
  ddb_order by_a = {.field = DDB_STR("a")};
  ddb_query sorted = {.limit = 5, .order = &by_a, .order_count = 1};
  assert_ok(ddb_db_new(&db, NULL));
  assert_ok(ddb_db_table_create(db, DDB_STR("t"), NULL, &table, NULL));
  for (int64_t id = 1; id <= 200; id++) {
    assert_ok(rows_insert(table, id, id));
  }
  assert_int_equal(told(table, NULL, all, 200), 0);
  assert_int_equal(told(table, compare("a", DDB_OP_GT, 0), all, 200), 0);
  for (int64_t id = 201; id <= 3000; id++) {
    assert_ok(rows_insert(table, id, id % 1000));
  }
  assert_int_equal(told(table, compare("a", DDB_OP_EQ, 500), all, 3), 1);
  assert_int_equal(told(table, compare("id", DDB_OP_EQ, 500), all, 1), 0);
  assert_int_equal(told(table, compare("id", DDB_OP_EQ, -5), all, 0), 0);
  assert_int_equal(told(table, NULL, all, 3000), 1);
  assert_int_equal(told(table, NULL, few, 5), 0);
  assert_int_equal(told(table, NULL, sorted, 5), 1);
  assert_int_equal(told(table, compare("id", DDB_OP_GT, 2990), few, 5), 1);
  assert_ok(ddb_table_index_create(table, DDB_STR("a"), DDB_INDEX_HASH, NULL));
  assert_int_equal(told(table, compare("a", DDB_OP_EQ, 500), all, 3), 0);
  assert_int_equal(told(table, compare("a", DDB_OP_EQ, 500), sorted, 3), 0);
  assert_int_equal(told(table, one_of(500, 60), all, 180), 0);
  assert_int_equal(told(table, one_of(500, 99), all, 297), 1);
  few.offset = 300;
  assert_int_equal(told(table, NULL, few, 5), 1);
  few.offset = 0;
  few.distinct = true;
  assert_int_equal(told(table, NULL, few, 5), 1);
  ddb_table_release(table);
  ddb_db_release(db);
}

int main(void) {
  support_allocator_install();
  seed = support_seed("test_index");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_in_order),
      cmocka_unit_test(keys_of_lists),
      cmocka_unit_test(shared_beginnings),
      cmocka_unit_test(unique_refuses),
      cmocka_unit_test(unique_of_two),
      cmocka_unit_test(unique_moves),
      cmocka_unit_test(unique_over_duplicates),
      cmocka_unit_test(allocations_fail),
      cmocka_unit_test(paths_are_copied),
      cmocka_unit_test(bad_paths),
      cmocka_unit_test(expressions_as_paths),
      cmocka_unit_test(long_queries_are_told),
      cmocka_unit_test(long_intersections_are_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
