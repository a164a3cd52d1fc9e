/* SPDX-License-Identifier: Apache-2.0 */
/* test_json.c - the tokenizer on good and bad text; numbers, base64, dates and times. */
#include <locale.h>
#include <math.h>

#include "json_support.h"

#include "io/base64.h"
#include "io/number_text.h"
#include "io/time_text.h"

/* ---- Tokens ------------------------------------------------------------------------------- */

static ddb_status parse(const char *text, size_t size, size_t piece, ddb_error *err) {
  ddb_builder *builder = json_builder();
  ddb_status status = json_decode(text, size, piece, false, builder, err);
  ddb_builder_free(builder);
  return status;
}

static void test_good_texts(void **state) {
  (void)state;
  static const char *const texts[] = {"null",
                                      " true ",
                                      "false\n",
                                      "0",
                                      "-0",
                                      "1e5",
                                      "1E+5",
                                      "1.5e-3",
                                      "\"\"",
                                      "[]",
                                      "{}",
                                      "[[],{}]",
                                      "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
                                      "\t\r\n [ 1 , 2 ] ",
                                      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                      "\"\\u0000\"",
                                      "NaN",
                                      "Infinity",
                                      "-Infinity",
                                      "[NaN,-Infinity]",
                                      "\"\x7f\"",
                                      "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                                      "\"\\ud83d\\ude00\"",
                                      "\"\\ud83d\"",
                                      "\"\\ude00\\ud83d\"",
                                      "\"\\ud83dx\"",
                                      "\"\\ud83d\\n\"",
                                      "\"\\ud83d\\u0041\"",
                                      "123456789012345678901234567890",
                                      "-9223372036854775808",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "1e400",
                                      "-1e400",
                                      "1e-400",
                                      "[1,\"a\",null,true,1.5]",
                                      "{\"\":1,\"\\u0000\":2}"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    for (size_t piece = 0; piece < 8; piece++) {
      ddb_error err;
      if (parse(texts[i], strlen(texts[i]), piece, &err) != DDB_OK) {
        fail_msg("%s (in pieces of %zu): %s", texts[i], piece, err.message);
      }
    }
  }
}

static void test_bad_texts(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint64_t offset;
  } cases[] = {{"", 0},
               {" ", 1},
               {"nul", 3},
               {"nulL", 3},
               {"tru", 3},
               {"truth", 3},
               {"True", 0},
               {"+1", 0},
               {"01", 0},
               {"-", 0},
               {"-01", 0},
               {"1.", 0},
               {".5", 0},
               {"1e", 0},
               {"1e+", 0},
               {"1.e1", 0},
               {"0x10", 1},
               {"1 2", 2},
               {"--1", 0},
               {"1-2", 0},
               {"1.5.5", 0},
               {"nan", 1},
               {"-NaN", 0},
               {"Infinit", 7},
               {"-Infinit", 8},
               {"-Inf", 4},
               {"[", 1},
               {"]", 0},
               {"[1", 2},
               {"[1,", 3},
               {"[1,]", 3},
               {"[,1]", 1},
               {"[1 2]", 3},
               {"[1}", 2},
               {"{", 1},
               {"{\"a\"", 4},
               {"{\"a\"}", 4},
               {"{\"a\":", 5},
               {"{\"a\":}", 5},
               {"{\"a\":1", 6},
               {"{\"a\":1,", 7},
               {"{\"a\":1,}", 7},
               {"{a:1}", 1},
               {"{1:1}", 1},
               {"{\"a\":1]", 6},
               {"\"", 1},
               {"\"abc", 4},
               {"\"\n\"", 1},
               {"\"\x1f\"", 1},
               {"\"\\x\"", 2},
               {"\"\\u12\"", 6},
               {"\"\\u12g4\"", 3},
               {"\"\\", 2},
               {"\"\\u", 3},
               {"\"\\u00", 5},
               {"\"\x80\"", 1},
               {"\"\xc3\"", 1},
               {"\"\xc0\xaf\"", 1},
               {"\"\xed\xa0\x80\"", 1},
               {"\"\xf5\x80\x80\x80\"", 1},
               {"\"\xf4\x90\x80\x80\"", 1},
               {"\"\xe0\x80\x80\"", 1},
               {"\"\xff\"", 1},
               {"\"a\" \"b\"", 4},
               {"\xef\xbb\xbf{}", 0},
               {"'a'", 0},
               {"//\n1", 0},
               {"[1]]", 3},
               {"{}x", 2},
               {"{\"a\":1,\"a\":2}", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (size_t piece = 0; piece < 4; piece++) {
      ddb_error err = {0};
      ddb_status status = parse(cases[i].text, strlen(cases[i].text), piece, &err);
      if (status != DDB_ERR_CORRUPT || err.offset != cases[i].offset) {
        fail_msg("%s gave %s at byte %llu: %s", cases[i].text, ddb_status_name(status),
                 (unsigned long long)err.offset, err.message);
      }
    }
  }
  assert_int_equal(parse("\"\0\"", 3, 0, NULL), DDB_ERR_CORRUPT);
  assert_int_equal(parse("1\0", 2, 0, NULL), DDB_ERR_CORRUPT);
}

static void test_depth(void **state) {
  (void)state;
  enum { DEEP = 100000 };
  char *text = malloc(2 * DEEP);
  assert_non_null(text);
  ddb_error err;
  memset(text, '[', DEEP);
  memset(text + DEEP, ']', DEEP);
  assert_int_equal(parse(text, 2 * DEEP, 0, &err), DDB_ERR_CORRUPT);
  assert_int_equal(err.offset, DDB__JSON_DEPTH_MAX);
  assert_int_equal(parse(text + DEEP - DDB_DEPTH_MAX, 2 * DDB_DEPTH_MAX, 0, NULL), DDB_OK);
  /* The tokenizer takes more than a value may have. */
  assert_int_equal(parse(text + DEEP - DDB_DEPTH_MAX - 1, 2 * DDB_DEPTH_MAX + 2, 0, NULL),
                   DDB_ERR_LIMIT);
  for (size_t i = 0; i + 5 <= 2 * DEEP; i += 5) {
    memcpy(text + i, "{\"a\":", 5);
  }
  assert_int_equal(parse(text, 2 * DEEP, 0, NULL), DDB_ERR_CORRUPT);
  free(text);
}

static void test_skip_keeps_no_text(void **state) {
  (void)state;
  const char *text =
      "[{\"a\": [\"long text\", {\"b\": \"more\"}], \"c\": 12345678901234567890123}, 7]";
  json_source from = {text, strlen(text), 0, 3};
  ddb__json_reader reader;
  assert_ok(ddb__json_reader_init(&reader, json_fill, &from, NULL, NULL));
  assert_ok(ddb__json_next(&reader));
  assert_ok(ddb__json_next(&reader));
  assert_int_equal(reader.token, DDB__JSON_OBJECT);
  assert_ok(ddb__json_skip(&reader));
  assert_int_equal(reader.text_size, 0);
  assert_ok(ddb__json_next(&reader));
  assert_int_equal(reader.token, DDB__JSON_INT);
  assert_int_equal(reader.as.integer, 7);
  assert_int_equal(reader.token_offset, strlen(text) - 2);
  assert_ok(ddb__json_next(&reader));
  assert_ok(ddb__json_next(&reader));
  assert_int_equal(reader.token, DDB__JSON_END);
  ddb__json_reader_fini(&reader);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static double float_there_and_back(double number) {
  char text[DDB__FLOAT_TEXT_SIZE + 1];
  size_t size = ddb__number_text_float(number, text);
  assert_true(size < DDB__FLOAT_TEXT_SIZE);
  text[size] = '\0';
  assert_true(strpbrk(text, ".eNI") != NULL);
  return isfinite(number) ? ddb__number_text_to_float(text, size) : number;
}

static void assert_float_text(double number, const char *expected) {
  char text[DDB__FLOAT_TEXT_SIZE + 1];
  text[ddb__number_text_float(number, text)] = '\0';
  assert_string_equal(text, expected);
}

static void test_float_texts(void **state) {
  (void)state;
  assert_float_text(0.0, "0.0");
  assert_float_text(-0.0, "-0.0");
  assert_float_text(1.0, "1.0");
  assert_float_text(-1.5, "-1.5");
  assert_float_text(0.1, "0.1");
  assert_float_text(1.0 / 3, "0.3333333333333333");
  assert_float_text(12.345, "12.345");
  assert_float_text(0.05, "0.05");
  assert_float_text(1e22, "1e+22");
  assert_float_text(1e15, "1e+15");
  assert_float_text(123456789012345.0, "123456789012345.0");
  assert_float_text(5e-324, "4.94065645841247e-324");
  assert_float_text(1.7976931348623157e308, "1.7976931348623157e+308");
  assert_float_text((double)NAN, "NaN");
  assert_float_text((double)INFINITY, "Infinity");
  assert_float_text(-(double)INFINITY, "-Infinity");
}

static void check_random_floats(uint64_t *seed, int count) {
  for (int i = 0; i < count; i++) {
    uint64_t bits = support_random(seed) << 32 ^ support_random(seed);
    double number;
    memcpy(&number, &bits, sizeof number);
    double decimal = (double)(int64_t)support_below(seed, 2000000000) /
                     (double)(1 + support_below(seed, 1000000));
    if (isfinite(number)) {
      assert_true(float_there_and_back(number) == number);
    }
    assert_true(float_there_and_back(decimal) == decimal);
    assert_true(float_there_and_back(-round(decimal * 100) / 100) == -round(decimal * 100) / 100);
  }
}

static void test_random_floats(void **state) {
  (void)state;
  uint64_t seed = support_seed("random floats");
  check_random_floats(&seed, 100000);
}

/* What is read is what strtod reads. */
static void test_reading_floats(void **state) {
  (void)state;
  uint64_t seed = support_seed("reading floats");
  for (int i = 0; i < 100000; i++) {
    char text[64];
    int size = snprintf(
        text, sizeof text, "%llu.%llue%d", (unsigned long long)support_below(&seed, 1u << (i % 31)),
        (unsigned long long)support_random(&seed) >> (i % 50), (int)support_below(&seed, 60) - 30);
    assert_true(ddb__number_text_to_float(text, (size_t)size) == strtod(text, NULL));
  }
  static const char *const texts[] = {"1e23",
                                      "9007199254740993.0",
                                      "2.2250738585072011e-308",
                                      "1e999999999999",
                                      "1e-999999999999",
                                      "0e999999999999",
                                      "0.000000000000000000000000000000001e33",
                                      "12345678901234567890123456789.0"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    assert_true(ddb__number_text_to_float(texts[i], strlen(texts[i])) == strtod(texts[i], NULL));
  }
}

static void test_the_locale_does_not_matter(void **state) {
  (void)state;
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ps_AF.UTF-8"};
  const char *set = NULL;
  for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++) {
    set = setlocale(LC_NUMERIC, names[i]);
  }
  uint64_t seed = support_seed("locale");
  check_random_floats(&seed, 1000);
  assert_float_text(1.0 / 3, "0.3333333333333333");
  assert_true(ddb__number_text_to_float("0.3333333333333333", 18) == 1.0 / 3);
  if (set) {
    assert_true(*localeconv()->decimal_point != '.');
  } else {
    printf("  (no locale with a decimal comma here)\n");
  }
  (void)setlocale(LC_NUMERIC, "C");
}

static void test_int_texts(void **state) {
  (void)state;
  static const int64_t numbers[] = {0, 1, -1, 9, 10, 99, 100, INT64_MAX, INT64_MIN, INT64_MIN + 1};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    char text[DDB__INT_TEXT_SIZE + 1];
    char expected[32];
    text[ddb__number_text_int(numbers[i], text)] = '\0';
    (void)snprintf(expected, sizeof expected, "%lld", (long long)numbers[i]);
    assert_string_equal(text, expected);
  }
}

/* ---- Base64, dates ------------------------------------------------------------------------ */

static void test_base64(void **state) {
  (void)state;
  uint64_t seed = support_seed("base64");
  for (size_t size = 0; size < 200; size++) {
    uint8_t bytes[200];
    uint8_t back[300];
    char text[300];
    size_t back_size;
    for (size_t i = 0; i < size; i++) {
      bytes[i] = (uint8_t)support_random(&seed);
    }
    ddb__base64_encode(bytes, size, text);
    assert_true(ddb__base64_decode(text, ddb__base64_size(size), back, &back_size));
    assert_int_equal(back_size, size);
    assert_memory_equal(back, bytes, size);
  }
  static const char *const bad[] = {"A",    "AA",   "AAA",      "A===",  "AB==", "AAB=",
                                    "A=AA", "AA=A", "AA==AAAA", "AAA\n", "AA-_", "===="};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    uint8_t back[16];
    size_t back_size;
    if (ddb__base64_decode(bad[i], strlen(bad[i]), back, &back_size)) {
      fail_msg("'%s' was taken for base64", bad[i]);
    }
  }
}

static void test_every_date(void **state) {
  (void)state;
  char before[16] = "0000-12-31";
  for (int64_t ordinal = 1; ordinal <= 3652059; ordinal++) {
    char text[DDB__TIME_TEXT_SIZE];
    size_t size = ddb__time_text_date(ordinal, text);
    int64_t back;
    assert_int_equal(size, 10);
    if (!ddb__time_text_to_date((ddb_str){text, size}, &back) || back != ordinal ||
        memcmp(before, text, 10) >= 0) {
      fail_msg("ordinal %lld: %.10s", (long long)ordinal, text);
    }
    memcpy(before, text, 10);
  }
  assert_memory_equal(before, "9999-12-31", 10);
}

static void test_bad_times(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "2013",
                                    "0000-01-01T00:00:00",
                                    "2013-13-01T00:00:00",
                                    "2013-00-01T00:00:00",
                                    "2013-02-29T00:00:00",
                                    "1900-02-29T00:00:00",
                                    "2013-01-32T00:00:00",
                                    "2013-01-00T00:00:00",
                                    "2013-01-01 00:00:00",
                                    "2013-01-01T24:00:00",
                                    "2013-01-01T00:60:00",
                                    "2013-01-01T00:00:60",
                                    "2013-01-01T00:00",
                                    "2013-01-01T00:00:00.5",
                                    "2013-01-01T00:00:00Z",
                                    "2013-01-01T00:00:00+1",
                                    "2013-01-01T00:00:00+24:00",
                                    "2013-01-01T00:00:00+01:00x",
                                    "2013-1-1T00:00:00"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    ddb_temporal out;
    if (ddb__time_text_to_datetime(ddb_str_from(bad[i]), &out)) {
      fail_msg("'%s' was taken for a datetime", bad[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good_texts),     cmocka_unit_test(test_bad_texts),
      cmocka_unit_test(test_depth),          cmocka_unit_test(test_skip_keeps_no_text),
      cmocka_unit_test(test_float_texts),    cmocka_unit_test(test_random_floats),
      cmocka_unit_test(test_reading_floats), cmocka_unit_test(test_the_locale_does_not_matter),
      cmocka_unit_test(test_int_texts),      cmocka_unit_test(test_base64),
      cmocka_unit_test(test_every_date),     cmocka_unit_test(test_bad_times),
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
