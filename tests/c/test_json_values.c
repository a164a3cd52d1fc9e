/* SPDX-License-Identifier: Apache-2.0 */
/* test_json_values.c - every kind of value to JSON and back, hand-written, random and hostile. */
#include <math.h>

#include "json_support.h"

#include "io/json_write.h"
#include "store/value.h"

/* ---- Values ------------------------------------------------------------------------------- */

static void assert_same_text(const char *in, const char *out) {
  ddb_builder *builder = json_builder();
  json_sink to = {0};
  ddb_error err;
  if (json_decode(in, strlen(in), 0, true, builder, &err) != DDB_OK) {
    fail_msg("%s: %s", in, err.message);
  }
  ddb_value value = ddb_builder_value_at(builder, 0);
  assert_ok(json_encode(&value, &to));
  if (to.size != strlen(out) || memcmp(to.data, out, to.size) != 0) {
    fail_msg("%s became %.*s, not %s", in, (int)to.size, to.data, out);
  }
  free(to.data);
  ddb_builder_free(builder);
}

static void test_goldens(void **state) {
  (void)state;
  static const char *const same[] = {
      "null",
      "true",
      "false",
      "0",
      "-5",
      "9223372036854775807",
      "-9223372036854775808",
      "9223372036854775808",
      "-123456789012345678901234567890",
      "1.5",
      "1e+100",
      "NaN",
      "Infinity",
      "-Infinity",
      "-0.0",
      "\"\"",
      "\"a\\\"\\\\\\n\\u0001\"",
      "\"\xc3\xa9\"",
      "\"\\ud800\"",
      "\"\\udc00\\ud800\"",
      "[]",
      "[1, [2, []]]",
      "{}",
      "{\"a\": 1, \"b\": {\"c\": []}}",
      "{\"$type\": \"bytes\", \"value\": \"\"}",
      "{\"$type\": \"bytes\", \"value\": \"AAEC/w==\"}",
      "{\"$type\": \"decimal\", \"value\": \"-1.50\"}",
      "{\"$type\": \"decimal\", \"value\": \"1E+3\"}",
      "{\"$type\": \"decimal\", \"value\": \"sNaN12\"}",
      "{\"$type\": \"date\", \"value\": \"2013-01-31\"}",
      "{\"$type\": \"time\", \"value\": \"23:59:59.999999\"}",
      "{\"$type\": \"time\", \"value\": \"01:02:03+05:30\"}",
      "{\"$type\": \"time\", \"value\": \"01:02:03\", \"zone\": [\"iana\", \"Asia/Tokyo\"]}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-31T05:17:00\"}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-31T05:17:00\", \"fold\": 1}",
      "{\"$type\": \"datetime\", \"value\": \"0001-01-01T00:00:00+00:00\"}",
      "{\"$type\": \"datetime\", \"value\": \"9999-12-31T23:59:59.999999-23:59:59.999999\"}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-31T05:17:00+01:00\", \"zone\": [\"fixed\", "
      "\"CET\"]}",
      "{\"$type\": \"datetime\", \"value\": \"2013-10-27T02:30:00+01:00\", \"fold\": 1, \"zone\": "
      "[\"iana\", \"Europe/Paris\"]}",
      "{\"$type\": \"timedelta\", \"value\": [-1, 86399, 999999]}",
      "{\"$type\": \"uuid\", \"value\": \"12345678-9abc-def0-1234-567812345678\"}",
      "{\"$type\": \"tuple\", \"value\": [1, \"a\"]}",
      "{\"$type\": \"set\", \"value\": [1, 2]}",
      "{\"$type\": \"frozenset\", \"value\": []}",
      "{\"$type\": \"dict\", \"value\": [[1, \"a\"], [null, \"b\"]]}",
      "{\"$type\": \"dict\", \"value\": [[\"$type\", \"bytes\"], [\"value\", \"AA==\"]]}",
      "{\"$type\": \"str\", \"value\": [\"\\ud83d\", \"\\ude00\"]}",
      "{\"$type\": \"str\", \"value\": [\"a\\ud83d\", \"\\ude00b\\udbff\", \"\\udc00\\udc00\"]}",
      "{\"$type\": \"dict\", \"value\": [[{\"$type\": \"str\", \"value\": [\"\\ud83d\", "
      "\"\\ude00\"]}, 1]]}"};
  for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
    assert_same_text(same[i], same[i]);
  }
  assert_same_text("-0", "0");
  assert_same_text("1E5", "100000.0");
  assert_same_text("1e400", "Infinity");
  assert_same_text("\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80/\"");
  assert_same_text("{\"value\": [1], \"$type\": \"tuple\"}",
                   "{\"$type\": \"tuple\", \"value\": [1]}");
  assert_same_text("{\"$type\": \"int\", \"value\": \"0x0010\"}", "16");
  assert_same_text("{\"$type\": \"dict\", \"value\": [[\"a\", 1]]}", "{\"a\": 1}");
}

static void test_typed_refusals(void **state) {
  (void)state;
  static const char *const bad[] = {
      "{\"$type\": 1, \"value\": 1}",
      "{\"$type\": \"tuple\"}",
      "{\"$type\": \"none\", \"value\": 1}",
      "{\"$type\": \"tuple\", \"value\": 1}",
      "{\"$type\": \"tuple\", \"value\": [], \"more\": 1}",
      "{\"$type\": \"tuple\", \"value\": [], \"fold\": 1}",
      "{\"$type\": \"date\", \"value\": \"2013-01-31\", \"zone\": [\"fixed\", \"\"]}",
      "{\"$type\": \"tuple\", \"value\": [], \"value\": []}",
      "{\"$type\": \"tuple\", \"$type\": \"tuple\", \"value\": []}",
      "{\"$type\": \"bytes\", \"value\": \"A\"}",
      "{\"$type\": \"bytes\", \"value\": null}",
      "{\"$type\": \"decimal\", \"value\": \"abc\"}",
      "{\"$type\": \"decimal\", \"value\": 1}",
      "{\"$type\": \"date\", \"value\": \"2013-02-30\"}",
      "{\"$type\": \"time\", \"value\": \"25:00:00\"}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T00:00:00\", \"fold\": 2}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T00:00:00\", \"zone\": \"UTC\"}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T00:00:00\", \"zone\": [\"x\", \"y\"]}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T00:00:00\", \"zone\": [\"iana\"]}",
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T00:00:00\", \"zone\": [\"iana\", 1]}",
      "{\"$type\": \"timedelta\", \"value\": [1, 2]}",
      "{\"$type\": \"timedelta\", \"value\": [1, 86400, 0]}",
      "{\"$type\": \"timedelta\", \"value\": [1, -1, 0]}",
      "{\"$type\": \"timedelta\", \"value\": [1, 0, 1000000]}",
      "{\"$type\": \"timedelta\", \"value\": [1, 0, 1.0]}",
      "{\"$type\": \"uuid\", \"value\": \"12345678\"}",
      "{\"$type\": \"uuid\", \"value\": \"12345678-9abc-def0-1234-56781234567g\"}",
      "{\"$type\": \"dict\", \"value\": [[1]]}",
      "{\"$type\": \"dict\", \"value\": [1]}",
      "{\"$type\": \"dict\", \"value\": {}}",
      "{\"$type\": \"int\", \"value\": \"12\"}",
      "{\"$type\": \"int\", \"value\": \"0x\"}",
      "{\"$type\": \"int\", \"value\": \"0xg\"}",
      "{\"$type\": \"int\", \"value\": 12}",
      "{\"$type\": \"str\", \"value\": \"a\"}",
      "{\"$type\": \"str\", \"value\": []}",
      "{\"$type\": \"str\", \"value\": [1]}",
      "{\"a\": 1, \"b\": 2, \"a\": 3}",
      "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"b\":1}"};
  ddb_builder *builder = json_builder();
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    ddb_error err;
    if (json_decode(bad[i], strlen(bad[i]), 0, true, builder, &err) != DDB_ERR_CORRUPT) {
      fail_msg("%s was taken", bad[i]);
    }
    assert_true(strlen(err.message) > 5);
  }
  /* Without the mark they are dicts like any other. */
  assert_ok(json_decode(bad[0], strlen(bad[0]), 0, false, builder, NULL));
  ddb_value value = ddb_builder_value_at(builder, 0);
  assert_int_equal(value.kind, DDB_DICT);
  assert_int_equal(ddb_value_item_count(&value), 4);
  ddb_builder_free(builder);
}

/* Unhashable keys and items: the builder's own refusal. */
static void test_unhashable(void **state) {
  (void)state;
  static const char *const bad[] = {"{\"$type\": \"set\", \"value\": [[]]}",
                                    "{\"$type\": \"dict\", \"value\": [[[], 1]]}"};
  ddb_builder *builder = json_builder();
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(json_decode(bad[i], strlen(bad[i]), 0, true, builder, NULL), DDB_ERR_TYPE);
  }
  ddb_builder_free(builder);
}

/* Every byte changed, every truncation: an answer, never a crash. */
static void test_hostile_bytes(void **state) {
  (void)state;
  static const char sample[] =
      "{\"a\": [1, -2.5e3, true, null, \"x\\u00e9\\ud83d\\ude00\xc3\xa9\"], \"b\": "
      "{\"$type\": \"datetime\", \"value\": \"2013-01-01T05:00:00.000001-05:00\", \"fold\": 1, "
      "\"zone\": [\"iana\", \"America/New_York\"]}, \"c\": {\"$type\": \"bytes\", \"value\": "
      "\"AAEC/w==\"}, \"d\": {\"$type\": \"set\", \"value\": [1, \"a\"]}, \"e\": {\"$type\": "
      "\"dict\", \"value\": [[1, 2], [null, 3]]}, \"f\": {\"$type\": \"timedelta\", \"value\": "
      "[1, 2, 3]}, \"g\": {\"$type\": \"decimal\", \"value\": \"-1.50\"}, \"h\": {\"$type\": "
      "\"uuid\", \"value\": \"12345678-1234-5678-1234-567812345678\"}, \"i\": NaN, \"j\": "
      "123456789012345678901234567890, \"k\": {\"$type\": \"str\", \"value\": [\"\\ud83d\", "
      "\"\\ude00\"]}, \"l\": {\"$type\": \"int\", \"value\": \"-0x1ffffffffffffffffff\"}}";
  size_t size = sizeof sample - 1;
  char text[sizeof sample];
  ddb_builder *builder = json_builder();
  assert_ok(json_decode(sample, size, 0, true, builder, NULL));
  unsigned accepted = 0;
  for (size_t i = 0; i < size; i++) {
    memcpy(text, sample, sizeof sample);
    for (int byte = 0; byte < 256; byte++) {
      text[i] = (char)byte;
      ddb_status status = json_decode(text, size, byte % 5, true, builder, NULL);
      assert_int_not_equal(status, DDB_ERR_NOMEM);
      accepted += status == DDB_OK;
    }
    assert_int_equal(json_decode(sample, i, i % 7, true, builder, NULL), DDB_ERR_CORRUPT);
  }
  assert_true(accepted > size && accepted < size * 256 / 2);
  ddb_builder_free(builder);
}

/* ---- Random values ------------------------------------------------------------------------ */

static size_t random_text(uint64_t *seed, char *out) {
  static const char *const parts[] = {"a",
                                      "Z",
                                      "\"",
                                      "\\",
                                      "\n",
                                      "\x01",
                                      "\x7f",
                                      "$type",
                                      "value",
                                      "\xc3\xa9",
                                      "\xe2\x82\xac",
                                      "\xf0\x9f\x98\x80",
                                      "\xed\xa0\x80",
                                      "\xed\xb0\x80",
                                      "\xed\x9f\xbf",
                                      "long plain text "};
  size_t size = 0;
  for (uint64_t i = support_below(seed, 6); i > 0; i--) {
    const char *part = parts[support_below(seed, sizeof parts / sizeof parts[0])];
    memcpy(out + size, part, strlen(part));
    size += strlen(part);
  }
  if (support_below(seed, 10) == 0) {
    out[size++] = '\0';
  }
  return size;
}

static void append_bytes(ddb_builder *builder, ddb_kind kind, const void *data, size_t size) {
  ddb_value value = {.kind = (uint8_t)kind, .size = (uint32_t)size, .as = {.data = data}};
  assert_ok(ddb_builder_append(builder, &value, NULL));
}

static void append_bigint(ddb_builder *builder, uint64_t *seed) {
  uint8_t bytes[4000];
  size_t size = 9 + support_below(seed, support_below(seed, 20) == 0 ? sizeof bytes - 10 : 40);
  for (size_t i = 1; i < size; i++) {
    bytes[i] = (uint8_t)support_random(seed);
  }
  bytes[0] = support_random(seed) & 1;
  bytes[size - 1] |= 1;
  append_bytes(builder, DDB_BIGINT, bytes, size);
}

static void append_temporal(ddb_builder *builder, uint64_t *seed, ddb_kind kind) {
  struct {
    ddb_temporal head;
    char zone[96]; /* as much as random_text makes */
  } value = {.head = {.offset_micros = DDB_OFFSET_NONE}};
  bool is_time = kind == DDB_TIME;
  uint64_t day = UINT64_C(86400000000);
  value.head.micros = (int64_t)(support_random(seed) % (is_time ? day : 3652059 * day));
  value.head.micros -= support_below(seed, 2) ? 0 : value.head.micros % 1000000;
  value.head.fold = support_random(seed) & 1;
  value.head.zone_kind = (uint8_t)support_below(seed, 3);
  if (value.head.zone_kind != DDB_ZONE_NONE) {
    bool known = !is_time || value.head.zone_kind == DDB_ZONE_FIXED || support_below(seed, 2);
    int64_t unit = support_below(seed, 2) ? 1 : 60000000;
    int64_t offset = (int64_t)support_below(seed, 2 * day - 1) - (int64_t)day + 1;
    value.head.offset_micros = known ? offset / unit * unit : DDB_OFFSET_NONE;
    value.head.zone_size = (uint16_t)(random_text(seed, value.zone) % 60);
    while (value.head.zone_size && (value.zone[value.head.zone_size] & 0xc0) == 0x80) {
      value.head.zone_size--;
    }
  }
  append_bytes(builder, kind, &value, sizeof value.head + value.head.zone_size);
}

static void append_random(ddb_builder *builder, uint64_t *seed, int depth);

static void append_scalar(ddb_builder *builder, uint64_t *seed, bool hashable_set_item) {
  static const char *const decimals[] = {
      "0",   "-0",     "1.50",     "1E+3",     "-12345678901234567890.5",
      "NaN", "-sNaN7", "Infinity", "-Infinity"};
  char text[128];
  uint64_t bits = support_random(seed) << 32 ^ support_random(seed);
  ddb_value value = ddb_null();
  ddb_duration duration = {(int64_t)support_below(seed, 1999999999) - 999999999,
                           (int64_t)support_below(seed, UINT64_C(86400000000))};
  switch (support_below(seed, 14)) {
  case 0:
    break;
  case 1:
    value = ddb_bool(bits & 1);
    break;
  case 2:
    value = ddb_int((int64_t)bits >> (bits % 64));
    break;
  case 3:
    append_bigint(builder, seed);
    return;
  case 4:
    memcpy(&value.as.real, &bits, sizeof bits);
    value.kind = DDB_FLOAT;
    if (isnan(value.as.real)) {
      value.as.real = hashable_set_item ? 0.5 : (double)NAN; /* JSON has one NaN */
    }
    break;
  case 5:
    value = ddb_float((double)(int64_t)(bits % 100000) / 100);
    break;
  case 6: {
    const char *decimal = decimals[bits % (hashable_set_item ? 5 : 9)];
    append_bytes(builder, DDB_DECIMAL, decimal, strlen(decimal));
    return;
  }
  case 7:
    append_bytes(builder, DDB_BYTES, text, random_text(seed, text));
    return;
  case 8:
    value = (ddb_value){.kind = DDB_DATE, .as = {.integer = (int64_t)(1 + bits % 3652059)}};
    break;
  case 9:
    append_temporal(builder, seed, bits & 1 ? DDB_DATETIME : DDB_TIME);
    return;
  case 10:
    append_bytes(builder, DDB_TIMEDELTA, &duration, sizeof duration);
    return;
  case 11: {
    uint64_t uuid[2] = {bits, ~bits};
    append_bytes(builder, DDB_UUID, uuid, 16);
    return;
  }
  default:
    append_bytes(builder, DDB_STR_KIND, text, random_text(seed, text));
    return;
  }
  assert_ok(ddb_builder_append(builder, &value, NULL));
}

/* Distinct keys: an int that counts up, or a tuple with it. */
static void append_key(ddb_builder *builder, uint64_t *seed, int64_t number, bool plain) {
  char text[128];
  ddb_value value = ddb_int(number);
  if (plain) {
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    append_bytes(builder, DDB_STR_KIND, text, (size_t)size + random_text(seed, text + size));
  } else if (number % 2) {
    assert_ok(ddb_builder_append(builder, &value, NULL));
  } else {
    assert_ok(ddb_builder_begin(builder, DDB_TUPLE, 2, NULL));
    assert_ok(ddb_builder_append(builder, &value, NULL));
    append_scalar(builder, seed, true);
    assert_ok(ddb_builder_end(builder, NULL));
  }
}

static void append_container(ddb_builder *builder, uint64_t *seed, int depth) {
  static const ddb_kind kinds[] = {DDB_LIST, DDB_DICT, DDB_TUPLE, DDB_SET, DDB_FROZENSET};
  ddb_kind kind = kinds[support_below(seed, 5)];
  uint64_t count = support_below(seed, 5) + (support_below(seed, 30) == 0 ? 40 : 0);
  bool plain = support_below(seed, 2);
  assert_ok(ddb_builder_begin(builder, kind, kind == DDB_DICT ? 2 * count : count, NULL));
  for (uint64_t i = 0; i < count; i++) {
    if (kind == DDB_SET || kind == DDB_FROZENSET) {
      append_key(builder, seed, (int64_t)i, plain);
      continue;
    }
    if (kind == DDB_DICT) {
      append_key(builder, seed, (int64_t)i, plain);
    }
    append_random(builder, seed, depth + 1);
  }
  assert_ok(ddb_builder_end(builder, NULL));
}

static void append_random(ddb_builder *builder, uint64_t *seed, int depth) {
  if (depth < 4 && support_below(seed, 3) == 0) {
    append_container(builder, seed, depth);
  } else {
    append_scalar(builder, seed, false);
  }
}

static void test_random_values(void **state) {
  (void)state;
  uint64_t seed = support_seed("random values");
  ddb_builder *one = json_builder();
  ddb_builder *two = json_builder();
  json_sink to = {0};
  for (int i = 0; i < 20000; i++) {
    ddb_builder_clear(one);
    append_random(one, &seed, 0);
    ddb_value value = ddb_builder_value_at(one, 0);
    assert_ok(json_encode(&value, &to));
    ddb_error err;
    if (json_decode(to.data, to.size, support_below(&seed, 3) * 7, true, two, &err) != DDB_OK) {
      fail_msg("%.*s: %s", (int)to.size, to.data, err.message);
    }
    ddb_value back = ddb_builder_value_at(two, 0);
    if (!ddb__value_identical(&value, &back)) {
      fail_msg("step %d: %.*s", i, (int)to.size, to.data);
    }
  }
  free(to.data);
  ddb_builder_free(one);
  ddb_builder_free(two);
}

/* Far larger than any buffer, at every alignment to it. */
static void test_large_values(void **state) {
  (void)state;
  size_t size = 3 * DDB__JSON_BUFFER_SIZE;
  char *text = malloc(size);
  assert_non_null(text);
  ddb_builder *one = json_builder();
  ddb_builder *two = json_builder();
  json_sink to = {0};
  for (size_t shift = 0; shift < 8; shift++) {
    for (size_t i = 0; i < size; i++) {
      text[i] = (char)(i % 7 == 0 ? '\n' : 'a' + i % 26);
    }
    for (size_t i = shift; i + 4 < size; i += 11) {
      memcpy(text + i, "\xf0\x9f\x98\x80", 4);
    }
    ddb_builder_clear(one);
    assert_ok(ddb_builder_begin(one, DDB_LIST, 2, NULL));
    append_bytes(one, DDB_STR_KIND, text, size);
    append_bytes(one, DDB_BYTES, text, size - shift);
    assert_ok(ddb_builder_end(one, NULL));
    ddb_value value = ddb_builder_value_at(one, 0);
    assert_ok(json_encode(&value, &to));
    assert_ok(json_decode(to.data, to.size, shift ? 4099 : 0, true, two, NULL));
    ddb_value back = ddb_builder_value_at(two, 0);
    assert_true(ddb__value_identical(&value, &back));
  }
  free(text);
  free(to.data);
  ddb_builder_free(one);
  ddb_builder_free(two);
}

static void test_long_integers(void **state) {
  (void)state;
  enum { DIGITS_MAX = 100000 };
  char *digits = malloc(DIGITS_MAX + 2);
  assert_non_null(digits);
  memset(digits, '7', DIGITS_MAX + 2);
  ddb_builder *builder = json_builder();
  json_sink to = {0};
  assert_ok(json_decode(digits, DIGITS_MAX, 0, true, builder, NULL));
  ddb_value value = ddb_builder_value_at(builder, 0);
  assert_ok(json_encode(&value, &to));
  assert_memory_equal(to.data, "{\"$type\": \"int\"", 15); /* too long for Python's json */
  ddb_builder *back = json_builder();
  assert_ok(json_decode(to.data, to.size, 0, true, back, NULL));
  ddb_value again = ddb_builder_value_at(back, 0);
  assert_true(ddb__value_identical(&value, &again));
  assert_ok(json_decode(digits, 4200, 0, true, back, NULL));
  again = ddb_builder_value_at(back, 0);
  assert_ok(json_encode(&again, &to));
  assert_int_equal(to.size, 4200);
  assert_memory_equal(to.data, digits, 4200);
  assert_int_equal(json_decode(digits, DIGITS_MAX + 1, 0, true, builder, NULL), DDB_ERR_CORRUPT);
  free(digits);
  free(to.data);
  ddb_builder_free(builder);
  ddb_builder_free(back);
}

static void test_what_is_not_utf8_is_not_written(void **state) {
  (void)state;
  json_sink to = {0};
  static const char *const bad[] = {"\xff", "a\xc3", "\xed\xa0", "\xf4\x90\x80\x80"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    ddb_value value = ddb_text(ddb_str_from(bad[i]));
    assert_int_equal(json_encode(&value, &to), DDB_ERR_INVALID);
  }
  free(to.data);
}

static void test_no_memory(void **state) {
  (void)state;
  static const char text[] =
      "[{\"$type\": \"bytes\", \"value\": \"AAEC/w==\"}, 123456789012345678901234567890, {\"a\":1,"
      "\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1}, \"text\"]";
  ddb_builder *builder = json_builder();
  int64_t bytes = support_allocator_bytes();
  for (long n = 1;; n++) {
    ddb_builder_free(builder);
    builder = json_builder();
    support_allocator_fail(n);
    ddb_status status = json_decode(text, sizeof text - 1, 0, true, builder, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      assert_true(n > 5);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
  }
  ddb_builder_free(builder);
  builder = json_builder();
  assert_int_equal(support_allocator_bytes(), bytes);
  ddb_value value = ddb_int(1);
  json_sink to = {0};
  support_allocator_fail(1);
  assert_int_equal(json_encode(&value, &to), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed());
  ddb_builder_free(builder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_goldens),       cmocka_unit_test(test_typed_refusals),
      cmocka_unit_test(test_unhashable),    cmocka_unit_test(test_hostile_bytes),
      cmocka_unit_test(test_random_values), cmocka_unit_test(test_large_values),
      cmocka_unit_test(test_long_integers), cmocka_unit_test(test_what_is_not_utf8_is_not_written),
      cmocka_unit_test(test_no_memory),
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
