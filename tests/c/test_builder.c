/* SPDX-License-Identifier: Apache-2.0 */
/* test_builder.c - encoding values: round trips, limits, hostile input, failing memory. */
#include "store/builder.h"

#include <math.h>

#include "random_values.h"
#include "store/text.h"

static ddb__heap heap;

static ddb_value typed(uint8_t kind, const void *bytes, size_t size) {
  return ddb_value_make(kind, (uint32_t)size, (uint64_t)(uintptr_t)bytes);
}

static ddb_value text(const char *bytes) {
  return ddb_text(ddb_str_from(bytes));
}

static ddb_builder *builder_make(void) {
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  return builder;
}

static ddb_status append(ddb_builder *builder, ddb_value value) {
  return ddb_builder_append(builder, &value, NULL);
}

static ddb_value at(const ddb_builder *builder, size_t index) {
  return ddb_builder_value_at(builder, index);
}

/* ---- Values ------------------------------------------------------------------------------- */

static void test_scalars(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  uint8_t uuid[16] = {1, 2, 3};
  ddb_duration duration = {3, 4};
  const ddb_value values[] = {ddb_null(),
                              ddb_bool(true),
                              ddb_int(-5),
                              ddb_float(2.5),
                              text("a"),
                              text(""),
                              typed(DDB_BYTES, "x\0y", 3),
                              typed(DDB_UUID, uuid, 16),
                              typed(DDB_DECIMAL, "1.50", 4),
                              typed(DDB_TIMEDELTA, &duration, sizeof duration),
                              ddb_value_make(DDB_DATE, 0, 735000)};
  size_t count = sizeof values / sizeof values[0];
  for (size_t i = 0; i < count; i++) {
    assert_ok(append(b, values[i]));
  }
  assert_int_equal(ddb_builder_count(b), count);
  for (size_t i = 0; i < count; i++) {
    ddb_value got = at(b, i);
    assert_true(ddb__value_identical(&got, &values[i]));
    assert_null(ddb__builder_item(b, i).shape);
  }
  ddb_builder_free(b);
}

static void test_bigint_is_normalised(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  const uint8_t five[] = {1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const uint8_t lowest[] = {1, 0, 0, 0, 0, 0, 0, 0, 0x80};
  const uint8_t beyond[] = {0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0};
  const uint8_t zero[] = {1};
  assert_ok(append(b, typed(DDB_BIGINT, five, sizeof five)));
  assert_ok(append(b, typed(DDB_BIGINT, lowest, sizeof lowest)));
  assert_ok(append(b, typed(DDB_BIGINT, beyond, sizeof beyond)));
  assert_ok(append(b, typed(DDB_BIGINT, zero, sizeof zero)));
  ddb_value expected[] = {ddb_int(-5), ddb_int(INT64_MIN), typed(DDB_BIGINT, beyond, 9),
                          ddb_int(0)};
  for (size_t i = 0; i < 4; i++) {
    ddb_value got = at(b, i);
    assert_true(ddb__value_identical(&got, &expected[i]));
  }
  ddb_builder_free(b);
}

static void test_malformed(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  const ddb_temporal naive_with_offset = {.micros = 5, .offset_micros = 0};
  const ddb_temporal aware_without = {
      .micros = 5, .offset_micros = DDB_OFFSET_NONE, .zone_kind = DDB_ZONE_FIXED};
  const ddb_temporal too_late = {.micros = INT64_MAX, .offset_micros = DDB_OFFSET_NONE};
  const ddb_temporal wide_offset = {
      .micros = 5, .offset_micros = 86400000000, .zone_kind = DDB_ZONE_FIXED};
  const ddb_temporal long_zone = {
      .micros = 5, .offset_micros = 0, .zone_kind = DDB_ZONE_FIXED, .zone_size = 5};
  const ddb_duration too_long = {INT64_C(1000000000), 0};
  const ddb_duration negative = {0, -1};
  const uint8_t bad_sign[] = {2, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  const ddb_value values[] = {
      (ddb_value){.kind = DDB_MISSING},
      (ddb_value){.kind = DDB_KIND_COUNT},
      (ddb_value){.kind = 255},
      typed(DDB_DECIMAL, "1.5x", 4),
      typed(DDB_DECIMAL, "", 0),
      typed(DDB_STR_KIND, NULL, 3),
      typed(DDB_STR_KIND, "\xff", 1),
      typed(DDB_STR_KIND, "abcdefgh\xc0\x80", 10),
      typed(DDB_LIST, NULL, 0),
      typed(DDB_BIGINT, bad_sign, sizeof bad_sign),
      typed(DDB_BIGINT, "", 0),
      typed(DDB_UUID, "0123", 4),
      ddb_value_make(DDB_DATE, 0, 0),
      ddb_value_make(DDB_DATE, 0, 3652060),
      typed(DDB_DATETIME, "short", 5),
      typed(DDB_DATETIME, &naive_with_offset, sizeof(ddb_temporal)),
      typed(DDB_DATETIME, &aware_without, sizeof(ddb_temporal)),
      typed(DDB_TIME, &aware_without, sizeof(ddb_temporal)),
      typed(DDB_DATETIME, &too_late, sizeof(ddb_temporal)),
      typed(DDB_DATETIME, &wide_offset, sizeof(ddb_temporal)),
      typed(DDB_DATETIME, &long_zone, sizeof(ddb_temporal)),
      typed(DDB_TIMEDELTA, &too_long, sizeof too_long),
      typed(DDB_TIMEDELTA, &negative, sizeof negative),
      typed(DDB_TIMEDELTA, "x", 1),
  };
  assert_ok(append(b, text("first")));
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    ddb_error err = {0};
    assert_ok(ddb_builder_begin(b, DDB_LIST, 2, NULL));
    assert_ok(append(b, ddb_int(1)));
    assert_int_equal(ddb_builder_append(b, &values[i], &err), DDB_ERR_INVALID);
    assert_true(err.message[0] != '\0');
    /* The list is gone with it. */
    assert_int_equal(ddb_builder_end(b, NULL), DDB_ERR_INVALID);
    assert_int_equal(ddb_builder_count(b), 1);
  }
  ddb_value first = at(b, 0);
  ddb_value expected = text("first");
  assert_true(ddb__value_identical(&first, &expected));
  ddb_builder_free(b);
}

static void test_utf8(void **unused) {
  (void)unused;
  static const struct {
    const char *bytes;
    bool valid;
  } cases[] = {
      {"", true},
      {"plain", true},
      {"\x7f", true},
      {"\x80", false},
      {"\xc1\xbf", false},
      {"\xc2\x80", true},
      {"\xdf\xbf", true},
      {"\xc2", false},
      {"\xe0\x9f\xbf", false},
      {"\xe0\xa0\x80", true},
      {"\xed\xa0\x80", true},
      {"\xed\xbf\xbf\xed\xa0\x80", true},
      {"\xe1\x80", false},
      {"\xf0\x8f\xbf\xbf", false},
      {"\xf0\x90\x80\x80", true},
      {"\xf4\x8f\xbf\xbf", true},
      {"\xf4\x90\x80\x80", false},
      {"\xf5\x80\x80\x80", false},
      {"\xf0\x90\x80", false},
      {"\xc3\x28", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char bytes[64];
    /* At each distance from whole words of ASCII. */
    for (size_t before = 0; before < 20; before++) {
      size_t size = strlen(cases[i].bytes);
      memset(bytes, 'a', sizeof bytes);
      memcpy(bytes + before, cases[i].bytes, size);
      assert_int_equal(ddb__text_valid((ddb_str){bytes, before + size + 9}), cases[i].valid);
      assert_int_equal(ddb__text_valid((ddb_str){bytes, before + size}), cases[i].valid);
    }
  }
}

/* ---- Containers --------------------------------------------------------------------------- */

static void test_sets(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_sets");
  ddb_builder *b = builder_make();
  for (int round = 0; round < 300; round++) {
    ddb_builder_clear(b);
    size_t count = support_below(&state, 100);
    bool present[50] = {false};
    size_t distinct = 0;
    assert_ok(ddb_builder_begin(b, round % 2 ? DDB_SET : DDB_FROZENSET, count, NULL));
    for (size_t i = 0; i < count; i++) {
      size_t number = support_below(&state, 50);
      distinct += !present[number];
      bool as_float = !present[number];
      present[number] = true;
      /* The first of equal ones stays: it is a float, the others are ints. */
      assert_ok(append(b, as_float ? ddb_float((double)number) : ddb_int((int64_t)number)));
    }
    assert_ok(ddb_builder_end(b, NULL));
    ddb_value set = at(b, 0);
    assert_int_equal(ddb_value_item_count(&set), distinct);
    double last = -1;
    for (size_t i = 0; i < distinct; i++) {
      ddb_value item = ddb_value_item(&set, i);
      assert_int_equal(item.kind, DDB_FLOAT);
      assert_true(item.as.real > last);
      assert_true(present[(size_t)item.as.real]);
      last = item.as.real;
    }
  }
  ddb_builder_free(b);
}

static void test_set_of_texts(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  const char *words[] = {"pear", "apple", "pear", "fig", "apple", "a longer word than the others"};
  assert_ok(ddb_builder_begin(b, DDB_LIST, 2, NULL));
  assert_ok(ddb_builder_begin(b, DDB_SET, 6, NULL));
  for (size_t i = 0; i < 6; i++) {
    assert_ok(append(b, text(words[i])));
  }
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(append(b, text("behind")));
  assert_ok(ddb_builder_end(b, NULL));
  ddb_value list = at(b, 0);
  char buffer[128];
  ddb_value_format(&list, buffer, sizeof buffer);
  assert_string_equal(buffer,
                      "[{'a longer word than the others', 'apple', 'fig', 'pear'}, 'behind']");
  ddb_builder_free(b);
}

static void test_nans_in_sets_stay(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  assert_ok(ddb_builder_begin(b, DDB_SET, 3, NULL));
  assert_ok(append(b, ddb_float(NAN)));
  assert_ok(append(b, ddb_int(1)));
  assert_ok(append(b, ddb_float(NAN)));
  assert_ok(ddb_builder_end(b, NULL));
  ddb_value set = at(b, 0);
  assert_int_equal(ddb_value_item_count(&set), 3);
  ddb_builder_free(b);
}

/* NaN equals no other: it may be a key twice, and the order of such entries does not matter. */
static void test_nans_as_keys(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  for (int i = 0; i < 2; i++) {
    assert_ok(ddb_builder_begin(b, DDB_DICT, 4, NULL));
    assert_ok(append(b, ddb_float(NAN)));
    assert_ok(append(b, ddb_int(i)));
    assert_ok(append(b, ddb_float(NAN)));
    assert_ok(append(b, ddb_int(1 - i)));
    assert_ok(ddb_builder_end(b, NULL));
  }
  ddb_value first = at(b, 0);
  ddb_value second = at(b, 1);
  assert_int_equal(ddb_value_compare(&first, &second), 0);
  assert_int_equal(ddb_value_hash(&first), ddb_value_hash(&second));
  assert_false(ddb_value_equal(&first, &second));
  ddb_builder_free(b);
}

static void test_dicts(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_dicts");
  ddb_builder *b = builder_make();
  for (int round = 0; round < 300; round++) {
    size_t count = support_below(&state, 60);
    size_t keys[60];
    for (size_t i = 0; i < count; i++) {
      size_t j = support_below(&state, i + 1);
      keys[i] = keys[j];
      keys[j] = i;
    }
    ddb_builder_clear(b);
    for (int copy = 0; copy < 2; copy++) { /* in random order, then in order */
      assert_ok(ddb_builder_begin(b, DDB_DICT, 2 * count, NULL));
      for (size_t i = 0; i < count; i++) {
        size_t key = copy == 0 ? keys[i] : i;
        char name[40];
        snprintf(name, sizeof name, "key %zu", key);
        assert_ok(append(b, key % 3 ? text(name) : ddb_int((int64_t)key)));
        assert_ok(append(b, ddb_int((int64_t)key)));
      }
      assert_ok(ddb_builder_end(b, NULL));
    }
    ddb_value shuffled = at(b, 0);
    ddb_value sorted = at(b, 1);
    assert_true(ddb_value_equal(&shuffled, &sorted));
    assert_int_equal(ddb_value_compare(&shuffled, &sorted), 0);
    assert_int_equal(ddb_value_hash(&shuffled), ddb_value_hash(&sorted));
    for (size_t i = 0; i < count; i++) {
      ddb_value item = ddb_value_item(&shuffled, 2 * i + 1);
      assert_int_equal(item.as.integer, keys[i]);
    }
  }
  ddb_builder_free(b);
}

static void test_bad_containers(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb_error err;
  assert_int_equal(ddb_builder_end(b, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_builder_begin(b, DDB_INT, 1, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_builder_begin(b, (ddb_kind)(256 + DDB_LIST), 1, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_builder_begin(b, DDB_DICT, 3, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb_builder_begin(b, DDB_LIST, SIZE_MAX, &err), DDB_ERR_LIMIT);
  assert_int_equal(ddb_builder_begin(b, DDB_LIST, SIZE_MAX / 9 + 1, &err), DDB_ERR_LIMIT);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_int_equal(ddb_builder_end(b, &err), DDB_ERR_INVALID);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_ok(append(b, ddb_int(1)));
  assert_int_equal(append(b, ddb_int(2)), DDB_ERR_INVALID);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 0, NULL));
  assert_int_equal(append(b, text("x")), DDB_ERR_INVALID);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 0, NULL));
  assert_int_equal(ddb_builder_begin(b, DDB_LIST, 0, NULL), DDB_ERR_INVALID);
  /* 1 and True are one key. */
  assert_ok(ddb_builder_begin(b, DDB_DICT, 4, NULL));
  assert_ok(append(b, ddb_int(1)));
  assert_ok(append(b, ddb_null()));
  assert_ok(append(b, ddb_bool(true)));
  assert_ok(append(b, ddb_null()));
  assert_int_equal(ddb_builder_end(b, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "True"));
  static const ddb_kind kinds[] = {DDB_SET, DDB_FROZENSET, DDB_DICT};
  for (size_t i = 0; i < 3; i++) {
    assert_ok(ddb_builder_begin(b, kinds[i], kinds[i] == DDB_DICT ? 2 : 1, NULL));
    assert_ok(ddb_builder_begin(b, DDB_LIST, 0, NULL));
    assert_ok(ddb_builder_end(b, NULL));
    if (kinds[i] == DDB_DICT) {
      assert_ok(append(b, ddb_int(1)));
    }
    assert_int_equal(ddb_builder_end(b, &err), DDB_ERR_TYPE);
    assert_non_null(strstr(err.message, "list"));
  }
  assert_int_equal(ddb_builder_count(b), 0);
  ddb_builder_free(b);
}

static void nest(ddb_builder *b, unsigned depth) {
  for (unsigned i = 0; i < depth; i++) {
    assert_ok(ddb_builder_begin(b, DDB_TUPLE, 1, NULL));
  }
  assert_ok(append(b, ddb_int(7)));
  for (unsigned i = 0; i < depth; i++) {
    assert_ok(ddb_builder_end(b, NULL));
  }
}

static void test_depth(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb_error err;
  nest(b, DDB_DEPTH_MAX);
  ddb_value deepest = at(b, 0);
  ddb_value_hash(&deepest);
  assert_int_equal(ddb_value_compare(&deepest, &deepest), 0);
  for (unsigned i = 0; i < DDB_DEPTH_MAX; i++) {
    assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  }
  assert_int_equal(ddb_builder_begin(b, DDB_LIST, 1, &err), DDB_ERR_LIMIT);
  assert_non_null(strstr(err.message, "DDB_DEPTH_MAX"));
  /* The same through a container that is copied. */
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_int_equal(append(b, at(b, 0)), DDB_ERR_LIMIT);
  nest(b, DDB_DEPTH_MAX - 1);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_ok(append(b, at(b, 1)));
  assert_ok(ddb_builder_end(b, NULL));
  ddb_builder_free(b);
}

static void test_size(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb_error err;
  /* Refused by its size alone: the bytes are not there to be read. */
  ddb_value huge = typed(DDB_BYTES, "x", DDB_RECORD_SIZE_MAX);
  assert_int_equal(ddb_builder_append(b, &huge, &err), DDB_ERR_LIMIT);
  assert_non_null(strstr(err.message, "DDB_RECORD_SIZE_MAX"));
  huge.size = UINT32_MAX;
  assert_int_equal(ddb_builder_append(b, &huge, &err), DDB_ERR_LIMIT);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 2, NULL));
  assert_ok(append(b, text("here")));
  huge.size = DDB_RECORD_SIZE_MAX - 40;
  assert_int_equal(ddb_builder_append(b, &huge, &err), DDB_ERR_LIMIT);
  assert_int_equal(ddb_builder_count(b), 0);
  ddb_builder_free(b);
}

/* A value of the builder itself, appended to it while it has to move. */
static void test_append_own(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  assert_ok(append(b, text("a text that is long enough to be copied with care")));
  for (int i = 0; i < 2000; i++) {
    assert_ok(append(b, at(b, 0)));
  }
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_ok(append(b, at(b, 1)));
  assert_ok(ddb_builder_end(b, NULL));
  for (int i = 0; i < 2000; i++) {
    assert_ok(append(b, at(b, 2001)));
  }
  ddb_value first = at(b, 0);
  ddb_value last = at(b, 2000);
  ddb_value list = at(b, 2001);
  ddb_value last_list = at(b, 4001);
  assert_true(ddb__value_identical(&first, &last));
  assert_true(ddb__value_identical(&list, &last_list));
  ddb_builder_free(b);
}

static void test_clear_keeps_a_little(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  static char bytes[100000];
  for (int i = 0; i < 100; i++) {
    assert_ok(append(b, typed(DDB_BYTES, bytes, sizeof bytes)));
  }
  for (int i = 0; i < 100000; i++) {
    assert_ok(append(b, ddb_int(i)));
  }
  uint64_t full = ddb_process_memory();
  assert_true(full > 10000000);
  ddb_builder_clear(b);
  assert_int_equal(ddb_builder_count(b), 0);
  assert_true(ddb_process_memory() <= (1 << 20) + 10000);
  for (int i = 0; i < 1000; i++) {
    assert_ok(append(b, text("some text")));
  }
  uint64_t little = ddb_process_memory();
  ddb_builder_clear(b);
  assert_int_equal(ddb_process_memory(), little);
  ddb_builder_free(b);
}

/* What was dropped takes no room. */
static void test_errors_leave_nothing(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  uint64_t before = 0;
  for (int i = 0; i < 2000; i++) {
    assert_ok(ddb_builder_begin(b, DDB_LIST, 2, NULL));
    assert_ok(append(b, text("a text that takes some room, a little at least")));
    if (i % 2 == 0) {
      ddb_builder_cancel(b);
    } else {
      assert_int_equal(append(b, typed(DDB_UUID, "x", 1)), DDB_ERR_INVALID);
    }
    before = i == 10 ? ddb_process_memory() : before;
  }
  assert_int_equal(ddb_process_memory(), before);
  assert_int_equal(ddb_builder_count(b), 0);
  ddb_builder_free(b);
}

/* ---- Records ------------------------------------------------------------------------------ */

static ddb__shapes *shapes_make(const ddb_table_options *options) {
  ddb__shapes *shapes;
  assert_ok(ddb__shapes_new(&heap, "table", DDB_STR("t"), options, &shapes, NULL));
  return shapes;
}

static const ddb_shape *shape_make(ddb__shapes *shapes, ddb_shape_kind kind, size_t count,
                                   const ddb_str *names) {
  const ddb_shape *shape;
  assert_ok(ddb__shapes_get(shapes, kind, names, count, &shape, NULL));
  return shape;
}

static void test_records(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb_value city = text("Paris");
  ddb_schema_field schema[] = {
      {DDB_STR("name"), DDB_TYPE(DDB_STR_KIND), NULL},
      {DDB_STR("city"), DDB_TYPE(DDB_STR_KIND), &city},
      {DDB_STR("age"), DDB_TYPE_FLOAT | DDB_TYPE(DDB_NULL), NULL},
  };
  ddb_table_options options = {.schema = schema, .schema_count = 3};
  ddb__shapes *shapes = shapes_make(&options);
  const ddb_str names[] = {DDB_STR("age"), DDB_STR("name")};
  const ddb_shape *shape = shape_make(shapes, DDB_SHAPE_RECORD, 2, names);
  for (int i = 0; i < 3; i++) {
    assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
    assert_ok(append(b, i == 0 ? ddb_null() : ddb_int(i)));
    assert_ok(append(b, text("Bob")));
    assert_ok(ddb_builder_end(b, NULL));
  }
  ddb__item item = ddb__builder_item(b, 2);
  assert_ptr_equal(item.shape, shape);
  assert_int_equal(item.block->count, 4);
  const ddb_value expected[] = {ddb_int(2), text("Bob"), city, {.kind = DDB_MISSING}};
  for (size_t i = 0; i < 4; i++) {
    ddb_value got = ddb__block_value(item.block, i);
    assert_true(ddb__value_identical(&got, &expected[i]));
  }
  ddb_error err;
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  assert_ok(append(b, ddb_bool(true)));
  assert_ok(append(b, text("Bob")));
  assert_int_equal(ddb_builder_end(b, &err), DDB_ERR_SCHEMA);
  assert_string_equal(err.table, "t");
  assert_string_equal(err.field, "age");
  assert_string_equal(err.expected, "float | None");
  assert_string_equal(err.given, "bool");
  assert_ok(ddb_builder_record_begin(b, shape, false, NULL));
  assert_ok(append(b, ddb_bool(true)));
  assert_ok(append(b, text("Bob")));
  assert_ok(ddb_builder_end(b, &err));
  assert_int_equal(ddb_builder_count(b), 4);
  assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  assert_int_equal(ddb_builder_record_begin(b, shape, true, &err), DDB_ERR_INVALID);
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  assert_ok(append(b, ddb_null()));
  ddb_builder_cancel(b);
  assert_int_equal(ddb_builder_count(b), 4);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

/* A record's containers may nest as deep as those outside of one. */
static void test_record_depth(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_str name = DDB_STR("x");
  const ddb_shape *shape = shape_make(shapes, DDB_SHAPE_RECORD, 1, &name);
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  nest(b, DDB_DEPTH_MAX);
  assert_ok(ddb_builder_end(b, NULL));
  ddb_value deepest = ddb__block_value(ddb__builder_item(b, 0).block, 0);
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  assert_ok(append(b, deepest));
  assert_ok(ddb_builder_end(b, NULL));
  assert_ok(ddb_builder_record_begin(b, shape, true, NULL));
  for (unsigned i = 0; i < DDB_DEPTH_MAX; i++) {
    assert_ok(ddb_builder_begin(b, DDB_LIST, 1, NULL));
  }
  assert_int_equal(ddb_builder_begin(b, DDB_LIST, 1, NULL), DDB_ERR_LIMIT);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

/* ---- Failing memory ----------------------------------------------------------------------- */

static ddb_status build_much(ddb_builder *b, const ddb_shape *shape) {
  ddb_status status = ddb_builder_record_begin(b, shape, true, NULL);
  if (status == DDB_OK) {
    status = ddb_builder_begin(b, DDB_SET, 100, NULL);
  }
  for (int i = 0; status == DDB_OK && i < 100; i++) {
    char name[64];
    snprintf(name, sizeof name, "a text of some length, numbered %d", 100 - i);
    status = append(b, text(name));
  }
  status = status != DDB_OK ? status : ddb_builder_end(b, NULL);
  status = status != DDB_OK ? status : ddb_builder_begin(b, DDB_DICT, 200, NULL);
  for (int i = 0; status == DDB_OK && i < 200; i++) {
    status = append(b, ddb_int(i));
  }
  status = status != DDB_OK ? status : ddb_builder_end(b, NULL);
  return status != DDB_OK ? status : ddb_builder_end(b, NULL);
}

static void test_failing_allocations(void **unused) {
  (void)unused;
  int64_t before = support_allocator_bytes();
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_str names[] = {DDB_STR("a"), DDB_STR("b")};
  const ddb_shape *shape = shape_make(shapes, DDB_SHAPE_RECORD, 2, names);
  ddb_builder *b;
  support_allocator_fail(1);
  assert_int_equal(ddb_builder_new(&b, NULL), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed());
  long failures = 0;
  for (long n = 1;; n++) {
    b = builder_make();
    assert_ok(append(b, text("kept")));
    support_allocator_fail(n);
    ddb_status status = build_much(b, shape);
    bool failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    assert_int_equal(ddb_builder_count(b), failed ? 1 : 2);
    /* Usable afterwards, and what was finished is there. */
    assert_ok(build_much(b, shape));
    ddb_value kept = at(b, 0);
    ddb_value expected = text("kept");
    assert_true(ddb__value_identical(&kept, &expected));
    ddb_builder_free(b);
    if (!failed) {
      break;
    }
    failures++;
  }
  assert_true(failures >= 3);
  /* The list of items has to grow, too. */
  b = builder_make();
  for (int i = 0; i < 1000; i++) {
    support_allocator_fail(1);
    ddb_status status = append(b, ddb_int(i));
    if (support_allocator_failed()) {
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_ok(append(b, ddb_int(i)));
    }
    assert_int_equal(ddb_builder_count(b), i + 1);
    assert_int_equal(at(b, (size_t)i).as.integer, i);
  }
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
  assert_int_equal(support_allocator_bytes(), before);
}

/* ---- Random round trips ------------------------------------------------------------------- */

static void append_deeply(ddb_builder *to, const ddb_value *value) {
  if (!ddb__kind_is_container(value->kind)) {
    assert_ok(ddb_builder_append(to, value, NULL));
    return;
  }
  size_t count = ddb_value_item_count(value);
  assert_ok(ddb_builder_begin(to, (ddb_kind)value->kind, count, NULL));
  for (size_t i = 0; i < count; i++) {
    ddb_value item = ddb_value_item(value, i);
    append_deeply(to, &item);
  }
  assert_ok(ddb_builder_end(to, NULL));
}

static void test_round_trip(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_round_trip");
  ddb_builder *from = builder_make();
  ddb_builder *to = builder_make();
  for (size_t i = 0; i < 5000; i++) {
    random_value_append(from, &state, 5, false);
    ddb_value value = at(from, i);
    append_deeply(to, &value);
    ddb_value copy = at(to, i);
    assert_true(ddb__value_identical(&value, &copy));
    assert_int_equal(ddb_value_hash(&value), ddb_value_hash(&copy));
    if (ddb__kind_is_container(value.kind)) {
      assert_int_equal((uintptr_t)value.as.data % 8, 0);
      assert_int_equal(value.size % 8, 0);
    }
  }
  ddb_builder_free(from);
  ddb_builder_free(to);
}

static int install(void **unused) {
  (void)unused;
  support_allocator_install();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_bigint_is_normalised),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_sets),
      cmocka_unit_test(test_set_of_texts),
      cmocka_unit_test(test_nans_in_sets_stay),
      cmocka_unit_test(test_nans_as_keys),
      cmocka_unit_test(test_dicts),
      cmocka_unit_test(test_bad_containers),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_size),
      cmocka_unit_test(test_append_own),
      cmocka_unit_test(test_clear_keeps_a_little),
      cmocka_unit_test(test_errors_leave_nothing),
      cmocka_unit_test(test_records),
      cmocka_unit_test(test_record_depth),
      cmocka_unit_test(test_failing_allocations),
      cmocka_unit_test(test_round_trip),
  };
  return cmocka_run_group_tests(tests, install, NULL);
}
