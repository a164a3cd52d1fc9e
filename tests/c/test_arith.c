/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_arith.c - arithmetic on values: a list of sums with Python's answers, laws that hold for whole
 * numbers of any size, the bounds, and that no byte beyond the room for a result is written.
 */
#include <math.h>

#include "arith_cases.h"
#include "store/arith.h"
#include "store/number.h"
#include "store/value.h"
#include "support.h"

enum { TEXT_MAX = 20000 };

static ddb__arith_space space;

/* A value from its text in arith_cases.h; big ones lie in `bytes`. */
static ddb_value parse(const char *text, uint8_t *bytes) {
  switch (*text++) {
  case 'b':
    return ddb_bool(*text == '1');
  case 'f':
    return ddb_float(strtod(text, NULL));
  case 'd':
    memcpy(bytes, text, strlen(text));
    return (ddb_value){.kind = DDB_DECIMAL, .size = (uint32_t)strlen(text), .as = {.data = bytes}};
  case 'i': {
    size_t size = ddb__bigint_parse(ddb_str_from(text), bytes, TEXT_MAX);
    ddb_value big = {.kind = DDB_BIGINT, .size = (uint32_t)size, .as = {.data = bytes}};
    int64_t small;
    return ddb__number_to_int(&big, &small) ? ddb_int(small) : big;
  }
  default:
    return ddb_null();
  }
}

static void expect(const char *what, const ddb_value *value, const ddb_value *expected) {
  char text[2][512];
  ddb_value_format(value, text[0], sizeof text[0]);
  ddb_value_format(expected, text[1], sizeof text[1]);
  bool same_nan = value->kind == DDB_FLOAT && expected->kind == DDB_FLOAT &&
                  isnan(value->as.real) && isnan(expected->as.real);
  if (!same_nan && !ddb__value_identical(value, expected)) {
    fail_msg("%s gave %s, not %s", what, text[0], text[1]);
  }
}

static void python_agrees(void **state) {
  (void)state;
  static uint8_t bytes[3][TEXT_MAX];
  for (size_t i = 0; i < sizeof arith_cases / sizeof arith_cases[0]; i++) {
    ddb_value left = parse(arith_cases[i].left, bytes[0]);
    ddb_value right = parse(arith_cases[i].right, bytes[1]);
    ddb_value expected = parse(arith_cases[i].result, bytes[2]);
    char result[DDB__ARITH_RESULT_SIZE];
    ddb_value value = ddb__arith(arith_cases[i].op, &left, &right, &space, result);
    char what[256];
    snprintf(what, sizeof what, "case %zu: %s and %s", i, arith_cases[i].left,
             arith_cases[i].right);
    expect(what, &value, &expected);
    /* The left operand may lie where the result goes. */
    if (left.kind == DDB_BIGINT || left.kind == DDB_DECIMAL) {
      memcpy(result, left.as.data, left.size);
      left.as.data = result;
      value = ddb__arith(arith_cases[i].op, &left, &right, &space, result);
      expect(what, &value, &expected);
    }
  }
}

/* ---- Laws --------------------------------------------------------------------------------- */

/* Of up to `size` bytes, often with whole limbs of ones or zeros. */
static ddb_value random_int(uint64_t *random, size_t size_max, uint8_t *bytes) {
  size_t size = 1 + (size_t)support_below(random, size_max);
  bytes[0] = (uint8_t)support_below(random, 2);
  int run = 0;
  for (size_t i = 1; i <= size; i++) {
    run = support_below(random, 12) == 0 ? (int)support_below(random, 3) : run;
    bytes[i] = run == 0 ? (uint8_t)support_random(random) : run == 1 ? 0xff : 0;
  }
  bytes[size] |= 1;
  ddb_value big = {.kind = DDB_BIGINT, .size = (uint32_t)size + 1, .as = {.data = bytes}};
  int64_t small;
  return ddb__number_to_int(&big, &small) ? ddb_int(small) : big;
}

static ddb_value compute(ddb_arith op, const ddb_value *a, const ddb_value *b, char *bytes) {
  bytes[DDB__ARITH_RESULT_SIZE] = 0x5a;
  ddb_value value = ddb__arith(op, a, b, &space, bytes);
  assert_int_equal(bytes[DDB__ARITH_RESULT_SIZE], 0x5a);
  return value;
}

static void whole_numbers_obey_laws(void **state) {
  (void)state;
  uint64_t random = support_seed("test_arith");
  static uint8_t operands[3][DDB__ARITH_SIZE_MAX];
  static char results[6][DDB__ARITH_RESULT_SIZE + 1];
  for (int round = 0; round < 4000; round++) {
    size_t size = round % 50 == 0 ? 1300 : round % 3 == 0 ? 17 : 60;
    ddb_value a = random_int(&random, size, operands[0]);
    ddb_value b = random_int(&random, round % 2 ? size : size / 2 + 1, operands[1]);
    ddb_value c = random_int(&random, size, operands[2]);
    /* a == a // b * b + a % b, and the remainder has the sign of b and is smaller. */
    ddb_value quotient = compute(DDB_ARITH_FLOORDIV, &a, &b, results[0]);
    ddb_value remainder = compute(DDB_ARITH_MOD, &a, &b, results[1]);
    ddb_value product = compute(DDB_ARITH_MUL, &quotient, &b, results[2]);
    ddb_value sum = compute(DDB_ARITH_ADD, &product, &remainder, results[3]);
    expect("a // b * b + a % b", &sum, &a);
    ddb_value zero = ddb_int(0);
    if (!ddb_value_equal(&remainder, &zero)) {
      assert_int_equal(ddb_value_compare(&remainder, &zero), ddb_value_compare(&b, &zero));
    }
    ddb_value gap = compute(DDB_ARITH_SUB, &b, &remainder, results[4]);
    assert_int_equal(ddb_value_compare(&gap, &zero), ddb_value_compare(&b, &zero));
    /* (a + b) * c == a * c + b * c, and a - b == -(b - a). */
    sum = compute(DDB_ARITH_ADD, &a, &b, results[0]);
    product = compute(DDB_ARITH_MUL, &sum, &c, results[1]);
    ddb_value first = compute(DDB_ARITH_MUL, &a, &c, results[2]);
    ddb_value second = compute(DDB_ARITH_MUL, &b, &c, results[3]);
    sum = compute(DDB_ARITH_ADD, &first, &second, results[4]);
    expect("a * c + b * c", &sum, &product);
    ddb_value back = compute(DDB_ARITH_SUB, &b, &a, results[5]);
    back = compute(DDB_ARITH_NEG, &back, NULL, results[5]);
    gap = compute(DDB_ARITH_SUB, &a, &b, results[0]);
    expect("-(b - a)", &back, &gap);
  }
}

/* ---- Bounds, and what is no number -------------------------------------------------------- */

static void bounds(void **state) {
  (void)state;
  static uint8_t bytes[DDB__ARITH_SIZE_MAX + 3];
  static char results[2][DDB__ARITH_RESULT_SIZE + 1];
  memset(bytes, 0xff, sizeof bytes);
  bytes[0] = 0;
  ddb_value largest = {.kind = DDB_BIGINT, .size = DDB__ARITH_SIZE_MAX + 1, .as = {.data = bytes}};
  ddb_value one = ddb_int(1);
  ddb_value two = ddb_int(2);
  ddb_value same = compute(DDB_ARITH_MUL, &largest, &one, results[0]);
  assert_true(ddb_value_equal(&same, &largest));
  ddb_value half = compute(DDB_ARITH_FLOORDIV, &largest, &two, results[1]);
  assert_int_equal(half.kind, DDB_BIGINT);
  assert_int_equal(compute(DDB_ARITH_ADD, &largest, &one, results[0]).kind, DDB_NULL);
  assert_int_equal(compute(DDB_ARITH_MUL, &largest, &largest, results[0]).kind, DDB_NULL);
  ddb_value quotient = compute(DDB_ARITH_DIV, &largest, &largest, results[0]);
  assert_true(quotient.kind == DDB_FLOAT && quotient.as.real == 1.0);
  assert_int_equal(compute(DDB_ARITH_DIV, &one, &largest, results[0]).kind, DDB_FLOAT);
  largest.size++; /* one byte more than the bound */
  assert_int_equal(compute(DDB_ARITH_SUB, &largest, &one, results[0]).kind, DDB_NULL);
  assert_int_equal(compute(DDB_ARITH_NEG, &largest, NULL, results[0]).kind, DDB_NULL);
  static char digits[DDB__ARITH_DIGITS_MAX + 1];
  memset(digits, '7', sizeof digits);
  ddb_value decimal = {.kind = DDB_DECIMAL, .size = DDB__ARITH_DIGITS_MAX, .as = {.data = digits}};
  assert_int_equal(compute(DDB_ARITH_MUL, &decimal, &decimal, results[0]).kind, DDB_DECIMAL);
  decimal.size++;
  assert_int_equal(compute(DDB_ARITH_ADD, &decimal, &one, results[0]).kind, DDB_NULL);
}

static void no_numbers(void **state) {
  (void)state;
  static char result[DDB__ARITH_RESULT_SIZE + 1];
  const ddb_value others[] = {ddb_null(),
                              {.kind = DDB_MISSING},
                              ddb_text(DDB_STR("1")),
                              {.kind = DDB_DATE, .as = {.integer = 5}}};
  ddb_value one = ddb_int(1);
  for (ddb_arith op = DDB_ARITH_ADD; op <= DDB_ARITH_NEG; op++) {
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
      assert_int_equal(compute(op, &others[i], &one, result).kind, DDB_NULL);
      if (op != DDB_ARITH_NEG) {
        assert_int_equal(compute(op, &one, &others[i], result).kind, DDB_NULL);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(python_agrees),
      cmocka_unit_test(whole_numbers_obey_laws),
      cmocka_unit_test(bounds),
      cmocka_unit_test(no_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
