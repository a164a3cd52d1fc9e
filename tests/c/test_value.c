/* SPDX-License-Identifier: Apache-2.0 */
/* test_value.c - equality, total order, hash and text of values. */
#include "random_values.h"
#include "store/text.h"
#include "store/value.h"

#include <math.h>

#define VALUES 400

static ddb_value typed(uint8_t kind, const char *text) {
  return ddb_value_make(kind, (uint32_t)strlen(text), (uint64_t)(uintptr_t)text);
}

static ddb_builder *builder_make(void) {
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  return builder;
}

static void append(ddb_builder *builder, ddb_value value) {
  assert_ok(ddb_builder_append(builder, &value, NULL));
}

static void append_list(ddb_builder *builder, ddb_kind kind, size_t count, const ddb_value *items) {
  assert_ok(ddb_builder_begin(builder, kind, count, NULL));
  for (size_t i = 0; i < count; i++) {
    append(builder, items[i]);
  }
  assert_ok(ddb_builder_end(builder, NULL));
}

static bool equal(ddb_value a, ddb_value b) {
  bool forth = ddb_value_equal(&a, &b);
  assert_int_equal(forth, ddb_value_equal(&b, &a));
  if (forth) {
    assert_int_equal(ddb_value_compare(&a, &b), 0);
  }
  if (ddb_value_compare(&a, &b) == 0) {
    assert_int_equal(ddb_value_hash(&a), ddb_value_hash(&b));
  }
  return forth;
}

/* ---- Laws over random values -------------------------------------------------------------- */

static void check_pair(const ddb_value *a, const ddb_value *b) {
  int order = ddb_value_compare(a, b);
  assert_in_range(order + 1, 0, 2);
  assert_int_equal(order, -ddb_value_compare(b, a));
  bool same = order == 0;
  assert_int_equal(ddb_value_equal(a, b), same && !random_value_has_nan(a));
  if (same) {
    assert_int_equal(random_value_has_nan(a), random_value_has_nan(b));
    assert_int_equal(ddb_value_hash(a), ddb_value_hash(b));
  }
  if (ddb__value_identical(a, b)) {
    assert_true(same);
    assert_int_equal(a->kind, b->kind);
  }
  int condition;
  if (ddb_value_order(a, b, &condition)) {
    assert_int_equal(condition, order);
    assert_false(random_value_has_nan(a));
  }
}

static int compare_for_sort(const void *a, const void *b) {
  return ddb_value_compare(a, b);
}

static void test_laws(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_laws");
  ddb_builder *builder = builder_make();
  for (int round = 0; round < 8; round++) {
    ddb_builder_clear(builder);
    for (int i = 0; i < VALUES; i++) {
      random_value_append(builder, &state, 3, false);
    }
    ddb_value values[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
      values[i] = ddb_builder_value_at(builder, i);
      assert_true(ddb__value_identical(&values[i], &values[i]));
    }
    qsort(values, VALUES, sizeof values[0], compare_for_sort);
    size_t same_count = 0;
    for (size_t i = 0; i < VALUES; i++) {
      for (size_t j = i; j < VALUES; j++) {
        check_pair(&values[i], &values[j]);
        /* Sorted, no pair may be the wrong way round: the order is transitive. */
        assert_true(ddb_value_compare(&values[i], &values[j]) <= 0);
        same_count += i != j && ddb_value_compare(&values[i], &values[j]) == 0;
      }
    }
    assert_true(same_count > VALUES / 4);
  }
  ddb_builder_free(builder);
}

static void test_copies_are_identical(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_copies_are_identical");
  ddb_builder *from = builder_make();
  ddb_builder *to = builder_make();
  for (int i = 0; i < 2000; i++) {
    random_value_append(from, &state, 4, false);
    ddb_value value = ddb_builder_value_at(from, (size_t)i);
    append(to, value);
  }
  for (size_t i = 0; i < 2000; i++) {
    ddb_value a = ddb_builder_value_at(from, i);
    ddb_value b = ddb_builder_value_at(to, i);
    assert_true(ddb__value_identical(&a, &b));
    assert_int_equal(ddb_value_hash(&a), ddb_value_hash(&b));
  }
  ddb_builder_free(from);
  ddb_builder_free(to);
}

/* ---- Python's rules ----------------------------------------------------------------------- */

static void test_scalar_equality(void **unused) {
  (void)unused;
  assert_true(equal(ddb_bool(true), ddb_int(1)));
  assert_true(equal(ddb_int(1), ddb_float(1.0)));
  assert_true(equal(ddb_float(1.0), typed(DDB_DECIMAL, "1.0")));
  assert_true(equal(ddb_bool(false), ddb_float(-0.0)));
  assert_true(equal(ddb_float(INFINITY), typed(DDB_DECIMAL, "Infinity")));
  assert_false(equal(ddb_float(NAN), ddb_float(NAN)));
  assert_false(equal(ddb_float(0.1), typed(DDB_DECIMAL, "0.1")));
  assert_false(equal(typed(DDB_STR_KIND, "a"), typed(DDB_BYTES, "a")));
  assert_false(equal(ddb_null(), ddb_bool(false)));
  assert_false(equal(ddb_null(), ddb_int(0)));
  assert_true(equal(ddb_null(), (ddb_value){.kind = DDB_MISSING}));
  assert_false(equal(ddb_int((INT64_C(1) << 53) + 1), ddb_float(0x1p53)));
  assert_false(equal(typed(DDB_STR_KIND, ""), ddb_null()));
}

static void test_container_equality(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  const ddb_value one_two[] = {ddb_int(1), ddb_int(2)};
  const ddb_value two_one[] = {ddb_float(2), ddb_bool(true)};
  const ddb_value swapped[] = {ddb_int(2), ddb_null(), ddb_int(1), ddb_int(5)};
  const ddb_value entries[] = {ddb_bool(true), ddb_int(5), ddb_float(2), ddb_null()};
  append_list(b, DDB_LIST, 2, one_two);      /* 0 */
  append_list(b, DDB_TUPLE, 2, one_two);     /* 1 */
  append_list(b, DDB_SET, 2, one_two);       /* 2 */
  append_list(b, DDB_FROZENSET, 2, two_one); /* 3 */
  append_list(b, DDB_LIST, 2, two_one);      /* 4 */
  append_list(b, DDB_DICT, 4, swapped);      /* 5 */
  append_list(b, DDB_DICT, 4, entries);      /* 6 */
  append_list(b, DDB_DICT, 2, entries);      /* 7 */
  const ddb_value nan[] = {ddb_float(NAN)};
  append_list(b, DDB_TUPLE, 1, nan); /* 8 */
  ddb_value v[9];
  for (size_t i = 0; i < 9; i++) {
    v[i] = ddb_builder_value_at(b, i);
  }
  assert_false(equal(v[0], v[1]));
  assert_true(equal(v[2], v[3]));
  assert_false(equal(v[0], v[4]));
  assert_true(equal(v[5], v[6]));
  assert_false(ddb__value_identical(&v[5], &v[6]));
  assert_false(equal(v[6], v[7]));
  assert_false(equal(v[8], v[8]));
  assert_int_equal(ddb_value_compare(&v[8], &v[8]), 0);
  assert_int_equal(ddb_value_compare(&v[7], &v[6]), -1);
  ddb_builder_free(b);
}

static ddb_value temporal(ddb_temporal *bytes, uint8_t kind, int64_t hours, int64_t offset_hours) {
  bool naive = offset_hours == INT64_MIN;
  *bytes = (ddb_temporal){.micros = hours * 3600000000,
                          .offset_micros = naive ? DDB_OFFSET_NONE : offset_hours * 3600000000,
                          .zone_kind = naive ? DDB_ZONE_NONE : DDB_ZONE_FIXED};
  return ddb_value_make(kind, sizeof *bytes, (uint64_t)(uintptr_t)bytes);
}

static void test_times(void **unused) {
  (void)unused;
  ddb_temporal t[5];
  int order;
  ddb_value paris = temporal(&t[0], DDB_DATETIME, 1000, 2);
  ddb_value utc = temporal(&t[1], DDB_DATETIME, 998, 0);
  ddb_value naive = temporal(&t[2], DDB_DATETIME, 998, INT64_MIN);
  assert_true(equal(paris, utc));
  assert_false(equal(utc, naive));
  assert_false(ddb_value_order(&utc, &naive, &order));
  assert_true(ddb_value_order(&utc, &paris, &order) && order == 0);
  assert_int_equal(ddb_value_compare(&naive, &utc), -1);
  ddb_value noon = temporal(&t[3], DDB_TIME, 12, INT64_MIN);
  ddb_value noon_utc = temporal(&t[4], DDB_TIME, 11, -1);
  assert_false(equal(noon, noon_utc));
  assert_int_equal(ddb_value_compare(&noon, &noon_utc), -1);
  assert_int_equal(ddb_value_compare(&utc, &noon), -1);
  ddb_value date = ddb_value_make(DDB_DATE, 0, 735000);
  assert_false(equal(date, naive));
  assert_int_equal(ddb_value_compare(&date, &naive), -1);
  assert_false(ddb_value_order(&date, &naive, &order));
}

/* One value of each rank, in the documented order. */
static void test_ranks(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  ddb_temporal t[4];
  ddb_duration duration = {-5, 0};
  append(b, ddb_null());
  append(b, ddb_float(-INFINITY));
  append(b, ddb_float(NAN));
  append(b, typed(DDB_STR_KIND, ""));
  append(b, typed(DDB_STR_KIND, "\xef\xbf\xbf"));
  append(b, typed(DDB_STR_KIND, "\xf0\x90\x80\x80"));
  append(b, typed(DDB_BYTES, ""));
  append(b, ddb_value_make(DDB_DATE, 0, 1));
  append(b, temporal(&t[0], DDB_DATETIME, 9, INT64_MIN));
  append(b, temporal(&t[1], DDB_DATETIME, 9, 1));
  append(b, temporal(&t[2], DDB_TIME, 9, INT64_MIN));
  append(b, temporal(&t[3], DDB_TIME, 9, 1));
  append(b, ddb_value_make(DDB_TIMEDELTA, sizeof duration, (uint64_t)(uintptr_t)&duration));
  append_list(b, DDB_LIST, 0, NULL);
  append_list(b, DDB_DICT, 0, NULL);
  append_list(b, DDB_FROZENSET, 0, NULL);
  append_list(b, DDB_TUPLE, 0, NULL);
  append(b, typed(DDB_UUID, "0123456789abcdef"));
  for (size_t i = 0; i < ddb_builder_count(b); i++) {
    for (size_t j = 0; j < ddb_builder_count(b); j++) {
      ddb_value x = ddb_builder_value_at(b, i);
      ddb_value y = ddb_builder_value_at(b, j);
      assert_int_equal(ddb_value_compare(&x, &y), (i > j) - (i < j));
    }
  }
  ddb_builder_free(b);
}

static void test_hashable(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  assert_ok(ddb_builder_begin(b, DDB_TUPLE, 1, NULL));
  append_list(b, DDB_LIST, 0, NULL);
  assert_ok(ddb_builder_end(b, NULL));
  append_list(b, DDB_FROZENSET, 0, NULL);
  append_list(b, DDB_TUPLE, 0, NULL);
  append_list(b, DDB_SET, 0, NULL);
  append(b, typed(DDB_DECIMAL, "sNaN"));
  const bool expected[] = {false, true, true, false, false};
  for (size_t i = 0; i < 5; i++) {
    ddb_value value = ddb_builder_value_at(b, i);
    assert_int_equal(ddb__value_hashable(&value), expected[i]);
  }
  ddb_builder_free(b);
}

/* Sixteen bits of the hashes of integers 4096 apart, which have their last twelve bits in common. */
static void check_spread(unsigned shift) {
  enum { COUNT = 20000 };
  static bool seen[1 << 16];
  size_t taken = 0;
  memset(seen, 0, sizeof seen);
  for (int64_t i = 0; i < COUNT; i++) {
    ddb_value value = ddb_int(i * 4096);
    bool *bucket = &seen[(ddb_value_hash(&value) >> shift) & 0xffff];
    taken += !*bucket;
    *bucket = true;
  }
  /* Random functions fill 65536 (1 - e^(-20000/65536)) = 17,236 buckets. */
  assert_in_range(taken, 16900, 17600);
}

static void test_hashes_differ(void **unused) {
  (void)unused;
  check_spread(2); /* the last two bits are the integer's own (number.c) */
  check_spread(24);
  check_spread(48);
}

/* ---- Text --------------------------------------------------------------------------------- */

static void check_text(ddb_value value, const char *expected) {
  char text[256];
  assert_int_equal(ddb_value_format(&value, text, sizeof text), strlen(expected));
  assert_string_equal(text, expected);
}

static void test_format(void **unused) {
  (void)unused;
  check_text(ddb_null(), "None");
  check_text(ddb_bool(true), "True");
  check_text(ddb_int(INT64_MIN), "-9223372036854775808");
  check_text(ddb_float(0.1), "0.1");
  check_text(ddb_float(1e16), "1e+16");
  check_text(ddb_float(123456789012345680.0), "1.2345678901234568e+17");
  check_text(ddb_float(1e15), "1000000000000000.0");
  check_text(ddb_float(-0.0), "-0.0");
  check_text(ddb_float(0.0001), "0.0001");
  check_text(ddb_float(0.00001), "1e-05");
  check_text(ddb_float(-INFINITY), "-inf");
  check_text(ddb_float(NAN), "nan");
  check_text(typed(DDB_DECIMAL, "1.50"), "Decimal('1.50')");
  check_text(typed(DDB_STR_KIND, "it's"), "\"it's\"");
  check_text(typed(DDB_STR_KIND, "'\"\\\n\x01\x7f"), "'\\'\"\\\\\\n\\x01\\x7f'");
  check_text(typed(DDB_STR_KIND, "\xc3\xa9\xed\xb2\x80\xc2\x80"), "'\xc3\xa9\\udc80\\x80'");
  check_text(typed(DDB_BYTES, "a\xff\t'"), "b\"a\\xff\\t'\"");
  check_text(typed(DDB_UUID, "0123456789abcdef"), "UUID('30313233-3435-3637-3839-616263646566')");
  check_text(ddb_value_make(DDB_DATE, 0, 1), "date('0001-01-01')");
  check_text(ddb_value_make(DDB_DATE, 0, 3652059), "date('9999-12-31')");
  check_text(ddb_value_make(DDB_DATE, 0, 735354), "date('2014-05-01')");
  check_text(ddb_value_make(DDB_DATE, 0, 730179), "date('2000-02-29')");
  ddb_temporal t;
  check_text(temporal(&t, DDB_DATETIME, 735353 * 24 + 5, -5),
             "datetime('2014-05-01T05:00:00-05:00')");
  ddb_value clock = temporal(&t, DDB_TIME, 5, INT64_MIN);
  t.micros += 1500000;
  check_text(clock, "time('05:00:01.500000')");
  const uint8_t big[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  check_text(ddb_value_make(DDB_BIGINT, sizeof big, (uint64_t)(uintptr_t)big),
             "-18446744073709551616");
}

static void test_format_containers(void **unused) {
  (void)unused;
  ddb_builder *b = builder_make();
  const ddb_value items[] = {typed(DDB_STR_KIND, "b"), ddb_int(2), typed(DDB_STR_KIND, "a"),
                             ddb_int(1)};
  const char *expected[] = {"['b', 2, 'a', 1]", "('b', 2, 'a', 1)",    "('b',)",
                            "{1, 2, 'a', 'b'}", "frozenset({2, 'b'})", "set()",
                            "{'b': 2, 'a': 1}", "frozenset()",         "()"};
  append_list(b, DDB_LIST, 4, items);
  append_list(b, DDB_TUPLE, 4, items);
  append_list(b, DDB_TUPLE, 1, items);
  append_list(b, DDB_SET, 4, items);
  append_list(b, DDB_FROZENSET, 2, items);
  append_list(b, DDB_SET, 0, items);
  append_list(b, DDB_DICT, 4, items);
  append_list(b, DDB_FROZENSET, 0, items);
  append_list(b, DDB_TUPLE, 0, items);
  for (size_t i = 0; i < ddb_builder_count(b); i++) {
    check_text(ddb_builder_value_at(b, i), expected[i]);
  }
  ddb_builder_free(b);
}

static void check_cut(const ddb_value *value) {
  char text[64];
  size_t whole = ddb_value_format(value, NULL, 0);
  for (size_t capacity = 0; capacity < sizeof text - 1; capacity++) {
    memset(text, 0x55, sizeof text);
    assert_int_equal(ddb_value_format(value, text, capacity), whole);
    assert_int_equal(text[capacity], 0x55);
    if (capacity > 0) {
      size_t size = strlen(text);
      assert_in_range(size, 0, capacity - 1);
      assert_true(ddb__text_valid((ddb_str){text, size}));
      assert_int_equal(size == whole || (size >= 3 && memcmp(text + size - 3, "...", 3) == 0),
                       whole < capacity || capacity > 3);
    }
  }
}

static void test_format_is_bounded(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_format_is_bounded");
  ddb_builder *b = builder_make();
  for (size_t i = 0; i < 2000; i++) {
    random_value_append(b, &state, 3, false);
    ddb_value value = ddb_builder_value_at(b, i);
    check_cut(&value);
  }
  ddb_builder_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_laws),
      cmocka_unit_test(test_copies_are_identical),
      cmocka_unit_test(test_scalar_equality),
      cmocka_unit_test(test_container_equality),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_ranks),
      cmocka_unit_test(test_hashable),
      cmocka_unit_test(test_hashes_differ),
      cmocka_unit_test(test_format),
      cmocka_unit_test(test_format_containers),
      cmocka_unit_test(test_format_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
