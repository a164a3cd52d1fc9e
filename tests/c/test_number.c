/* SPDX-License-Identifier: Apache-2.0 */
/* test_number.c - the number line: exact comparison, hash and conversion across all forms. */
#include "store/number.h"

#include <math.h>

#include "number_cases.h"
#include "store/value.h"
#include "support.h"

#define CASE_COUNT (sizeof number_cases / sizeof number_cases[0])

static ddb_value bytes_value(uint8_t kind, const void *bytes, size_t size) {
  return ddb_value_make(kind, (uint32_t)size, (uint64_t)(uintptr_t)bytes);
}

static ddb_value decimal(const char *text) {
  return bytes_value(DDB_DECIMAL, text, strlen(text));
}

/* An integer of any size; the bytes are the caller's. */
static ddb_value integer(const char *digits, uint8_t **bytes) {
  size_t capacity = 2 + strlen(digits) / 2;
  *bytes = malloc(capacity);
  size_t size = ddb__bigint_parse(ddb_str_from(digits), *bytes, capacity);
  assert_in_range(size, 1, capacity);
  return bytes_value(DDB_BIGINT, *bytes, size);
}

static int sign_of(int x) {
  return (x > 0) - (x < 0);
}

/* ---- The table ---------------------------------------------------------------------------- */

static ddb_value case_value(const number_case *from, uint8_t **bytes) {
  *bytes = NULL;
  if (from->form == 'F') {
    return ddb_float(strtod(from->text, NULL));
  }
  if (from->form == 'D') {
    return decimal(from->text);
  }
  char *end;
  long long small = strtoll(from->text, &end, 10);
  /* strtoll clamps: as many digits as int64's ends have may still be beyond. */
  return small > INT64_MIN && small < INT64_MAX ? ddb_int(small) : integer(from->text, bytes);
}

static void test_table(void **unused) {
  (void)unused;
  static ddb_value values[CASE_COUNT];
  static uint8_t *bytes[CASE_COUNT];
  int last_place = number_cases[CASE_COUNT - 1].place;
  for (size_t i = 0; i < CASE_COUNT; i++) {
    values[i] = case_value(&number_cases[i], &bytes[i]);
  }
  for (size_t i = 0; i < CASE_COUNT; i++) {
    for (size_t j = 0; j < CASE_COUNT; j++) {
      int expected = sign_of(number_cases[i].place - number_cases[j].place);
      int order = ddb_value_compare(&values[i], &values[j]);
      bool is_nan = number_cases[i].place == last_place;
      if (order != expected ||
          ddb_value_equal(&values[i], &values[j]) != (expected == 0 && !is_nan)) {
        fail_msg("%s against %s: %d", number_cases[i].text, number_cases[j].text, order);
      }
      if (expected == 0) {
        assert_int_equal(ddb_value_hash(&values[i]), ddb_value_hash(&values[j]));
      }
    }
    assert_int_equal(ddb__number_is_nan(&values[i]), number_cases[i].place == last_place);
  }
  for (size_t i = 0; i < CASE_COUNT; i++) {
    free(bytes[i]);
  }
}

/* ---- Random fractions --------------------------------------------------------------------- */

__extension__ typedef __int128 wide;

static int compare_wide(wide a, wide b) {
  return (a > b) - (a < b);
}

/* m / 2^k as a double against d / 10^e as a decimal, by cross multiplication. */
static void test_random_fractions(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_random_fractions");
  int equal_count = 0;
  for (int i = 0; i < 200000; i++) {
    int k = (int)support_below(&state, 20);
    int e = (int)support_below(&state, 12);
    wide power = 1;
    for (int j = 0; j < e; j++) {
      power *= 10;
    }
    int64_t m = (int64_t)support_below(&state, UINT64_C(1) << support_below(&state, 40));
    m = support_below(&state, 2) ? -m : m;
    /* The nearest decimal of e places, and its neighbours. */
    wide scaled = (wide)m * power;
    int64_t d = (int64_t)(scaled >> k) + (int64_t)support_below(&state, 3) - 1;
    if (scaled % ((wide)1 << k) == 0 && support_below(&state, 2)) {
      d = (int64_t)(scaled >> k);
    }
    char text[64];
    snprintf(text, sizeof text, "%lldE-%d", (long long)d, e);
    ddb_value a = ddb_float(ldexp((double)m, -k));
    ddb_value b = decimal(text);
    int expected = compare_wide(scaled, d * ((wide)1 << k));
    assert_int_equal(ddb__number_compare(&a, &b), expected);
    assert_int_equal(ddb__number_compare(&b, &a), -expected);
    if (expected == 0) {
      equal_count++;
      assert_int_equal(ddb__number_hash(&a), ddb__number_hash(&b));
    }
    int64_t whole;
    bool is_whole = m % ((int64_t)1 << k) == 0;
    assert_int_equal(ddb__number_to_int(&a, &whole), is_whole);
    if (is_whole) {
      assert_int_equal(whole, m / ((int64_t)1 << k));
    }
  }
  assert_true(equal_count > 100);
}

static void test_random_ints(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_random_ints");
  for (int i = 0; i < 200000; i++) {
    int64_t a = (int64_t)(support_random(&state) << 11 ^ support_random(&state));
    a >>= support_below(&state, 64);
    double real = (double)a;
    real = support_below(&state, 2) ? real : nextafter(real, real + 1e300);
    ddb_value value = ddb_int(a);
    ddb_value other = ddb_float(real);
    int expected = compare_wide(a, (wide)real);
    if (expected == 0) {
      expected = real > (double)(wide)real ? -1 : real < (double)(wide)real ? 1 : 0;
    }
    assert_int_equal(ddb__number_compare(&value, &other), expected);
  }
}

/* ---- Big integers ------------------------------------------------------------------------- */

static void check_digits(const char *digits) {
  uint8_t *bytes;
  ddb_value value = integer(digits, &bytes);
  size_t size = strlen(digits);
  char *text = malloc(size + 2);
  memset(text, 0x55, size + 2);
  assert_int_equal(ddb__bigint_format(&value, text, size + 1), size);
  assert_string_equal(text, digits);
  assert_int_equal(text[size + 1], 0x55);
  memset(text, 0x55, size + 2);
  assert_int_equal(ddb__bigint_format(&value, text, size / 2), size);
  assert_int_equal(text[size / 2], 0x55);
  assert_memory_equal(text, digits, size / 2 > 0 ? size / 2 - 1 : 0);
  /* The same number as a decimal, and its neighbours above. */
  ddb_value same = decimal(digits);
  assert_int_equal(ddb__number_compare(&value, &same), 0);
  assert_int_equal(ddb__number_hash(&value), ddb__number_hash(&same));
  char *near = malloc(size + 3);
  memcpy(near, digits, size);
  memcpy(near + size, ".1", 3);
  ddb_value above = decimal(near);
  assert_int_equal(ddb__number_compare(&value, &above), digits[0] == '-' ? 1 : -1);
  free(near);
  free(text);
  free(bytes);
}

static void test_bigint_digits(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_bigint_digits");
  static char digits[24002];
  for (int i = 0; i < 3000; i++) {
    size_t size = 1 + support_below(&state, i % 100 == 0 ? 2000 : 90);
    size_t sign = support_below(&state, 2);
    digits[0] = '-';
    for (size_t j = 0; j < size; j++) {
      digits[sign + j] = (char)('0' + (support_below(&state, 4) ? support_below(&state, 10) : 0));
    }
    if (digits[sign] == '0') {
      digits[sign] = '1';
    }
    digits[sign + size] = '\0';
    check_digits(digits);
  }
  /* Beyond what the stack holds. */
  memset(digits, '9', 24000);
  digits[24000] = '\0';
  check_digits(digits);
}

static void test_huge_powers(void **unused) {
  (void)unused;
  static char digits[30002];
  const size_t sizes[] = {30, 5000, 30000};
  for (size_t i = 0; i < 3; i++) {
    char text[32];
    memset(digits, '0', sizes[i] + 1);
    digits[0] = '1';
    digits[sizes[i] + 1] = '\0';
    snprintf(text, sizeof text, "1E+%zu", sizes[i]);
    uint8_t *bytes;
    ddb_value power = decimal(text);
    ddb_value value = integer(digits, &bytes);
    assert_int_equal(ddb__number_compare(&value, &power), 0);
    assert_int_equal(ddb__number_hash(&value), ddb__number_hash(&power));
    free(bytes);
    digits[sizes[i]] = '1';
    value = integer(digits, &bytes);
    assert_int_equal(ddb__number_compare(&value, &power), 1);
    free(bytes);
    memset(digits, '9', sizes[i]);
    digits[sizes[i]] = '\0';
    value = integer(digits, &bytes);
    assert_int_equal(ddb__number_compare(&value, &power), -1);
    assert_int_equal(ddb__number_compare(&power, &value), 1);
    free(bytes);
  }
}

/* What no builder makes: values are read right all the same. */
static void test_odd_bigints(void **unused) {
  (void)unused;
  const uint8_t padded[] = {1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const uint8_t minus_zero[] = {1};
  ddb_value five = bytes_value(DDB_BIGINT, padded, sizeof padded);
  ddb_value zero = bytes_value(DDB_BIGINT, minus_zero, 1);
  ddb_value minus_five = ddb_int(-5);
  ddb_value nothing = ddb_int(0);
  assert_int_equal(ddb__number_compare(&five, &minus_five), 0);
  assert_int_equal(ddb__number_hash(&five), ddb__number_hash(&minus_five));
  assert_int_equal(ddb__number_compare(&zero, &nothing), 0);
  char text[8];
  assert_int_equal(ddb__bigint_format(&zero, text, sizeof text), 1);
  ddb_value malformed = decimal("12x");
  assert_true(ddb__number_is_nan(&malformed));
}

/* ---- Decimals ----------------------------------------------------------------------------- */

static void test_decimal_valid(void **unused) {
  (void)unused;
  const char *good[] = {"0",        "-0",    "+1",
                        "1.",       ".5",    "1.5",
                        "1E5",      "1e-5",  "1E+999999999999999999",
                        "NaN",      "nan12", "-sNaN",
                        "sNaN9",    "Inf",   "-infinity",
                        "INFINITY", "00012", "1E+00000000000000000000000000001"};
  const char *bad[] = {"",
                       "-",
                       "+",
                       ".",
                       "-.",
                       "E5",
                       ".E5",
                       "1E",
                       "1E+",
                       "1E5.0",
                       "1.2.3",
                       "--1",
                       "1_000",
                       " 1",
                       "1 ",
                       "0x1",
                       "infin",
                       "NaN-1",
                       "NaNx",
                       "sNa",
                       "1,5",
                       "1E5x",
                       "1E99999999999999999999999",
                       "\xd9\xa1"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    assert_true(ddb__decimal_valid(ddb_str_from(good[i])));
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (ddb__decimal_valid(ddb_str_from(bad[i]))) {
      fail_msg("'%s' passed", bad[i]);
    }
  }
  assert_false(ddb__decimal_valid((ddb_str){"1\0", 2}));
}

static void check_to_int(ddb_value value, bool expected, int64_t number) {
  int64_t out = 77;
  assert_int_equal(ddb__value_to_int(&value, &out), expected);
  assert_int_equal(out, expected ? number : 77);
}

static void test_to_int(void **unused) {
  (void)unused;
  check_to_int(ddb_bool(true), true, 1);
  check_to_int(ddb_int(INT64_MIN), true, INT64_MIN);
  check_to_int(ddb_float(-5.0), true, -5);
  check_to_int(ddb_float(5.5), false, 0);
  check_to_int(ddb_float(0x1p63), false, 0);
  check_to_int(ddb_float(-0x1p63), true, INT64_MIN);
  check_to_int(ddb_float(0x1p64), false, 0);
  check_to_int(ddb_float(NAN), false, 0);
  check_to_int(ddb_float(INFINITY), false, 0);
  check_to_int(decimal("5.000"), true, 5);
  check_to_int(decimal("-5E+3"), true, -5000);
  check_to_int(decimal("0E+9999"), true, 0);
  check_to_int(decimal("0E-9999"), true, 0);
  check_to_int(decimal("9223372036854775807"), true, INT64_MAX);
  check_to_int(decimal("9223372036854775808"), false, 0);
  check_to_int(decimal("-9223372036854775808.0"), true, INT64_MIN);
  check_to_int(decimal("99999999999999999999"), false, 0);
  check_to_int(decimal("1E+19"), false, 0);
  check_to_int(decimal("0.5"), false, 0);
  check_to_int(decimal("500E-2"), true, 5);
  check_to_int(decimal("501E-2"), false, 0);
  check_to_int(decimal("NaN"), false, 0);
  check_to_int(ddb_null(), false, 0);
  check_to_int(ddb_text(DDB_STR("5")), false, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),         cmocka_unit_test(test_random_fractions),
      cmocka_unit_test(test_random_ints),   cmocka_unit_test(test_bigint_digits),
      cmocka_unit_test(test_huge_powers),   cmocka_unit_test(test_odd_bigints),
      cmocka_unit_test(test_decimal_valid), cmocka_unit_test(test_to_int),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
