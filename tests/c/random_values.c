/* SPDX-License-Identifier: Apache-2.0 */
/* random_values.c - see random_values.h. */
#include "random_values.h"

#include <math.h>

#define DAY_MICROS INT64_C(86400000000)

static const int64_t ints[] = {0,
                               1,
                               -1,
                               2,
                               5,
                               10,
                               INT64_C(1) << 53,
                               (INT64_C(1) << 53) + 1,
                               INT64_MAX,
                               INT64_MIN,
                               INT64_C(2305843009213693951),
                               INT64_C(2305843009213693952)};
static const double doubles[] = {0.0,  -0.0,   1.0,      -1.0,    2.0,      0.5,   0.1,
                                 10.0, 0x1p53, 0x1p63,   -0x1p63, 0x1p64,   1e100, 5e-324,
                                 1e22, 0x1p61, INFINITY, NAN,     -INFINITY};
static const char *const decimals[] = {"0",
                                       "-0",
                                       "0E+5",
                                       "1",
                                       "1.0",
                                       "1.00E0",
                                       "-1",
                                       "0.5",
                                       "0.1",
                                       "10",
                                       "1E+1",
                                       "1E100",
                                       "1E+100",
                                       "2.0",
                                       "NaN",
                                       "Infinity",
                                       "-Inf",
                                       "1E-400",
                                       "sNaN1",
                                       "9007199254740993",
                                       "9223372036854775808",
                                       "18446744073709551616",
                                       "1E+22",
                                       "0.1000000000000000055511151231257827021181583404541015625"};
static const char *const texts[] = {"",
                                    "a",
                                    "b",
                                    "ab",
                                    "a\x00z",
                                    "z",
                                    "\xc3\xa9",
                                    "\xed\xa0\x80",
                                    "\xef\xbf\xbf",
                                    "\xf0\x90\x80\x80",
                                    "a somewhat longer text, beyond sixteen bytes"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(array)  ((array)[support_below(state, COUNT(array))])

static ddb_value text_value(uint8_t kind, const char *text, size_t size) {
  return ddb_value_make(kind, (uint32_t)size, (uint64_t)(uintptr_t)text);
}

static void append(ddb_builder *builder, const ddb_value *value) {
  assert_ok(ddb_builder_append(builder, value, NULL));
}

static void append_bigint(ddb_builder *builder, uint64_t *state) {
  uint8_t bytes[14] = {0};
  bytes[0] = support_below(state, 2) == 1;
  bytes[8] = 0x80; /* 2^63, 2^64 or more */
  bytes[9] = (uint8_t)support_below(state, 2);
  bytes[8] = bytes[9] != 0 ? (uint8_t)(0x80 * support_below(state, 2)) : 0x80;
  bytes[12] = (uint8_t)support_below(state, 2);
  ddb_value value = text_value(DDB_BIGINT, (const char *)bytes, sizeof bytes);
  append(builder, &value);
}

static void append_temporal(ddb_builder *builder, uint64_t *state, uint8_t kind) {
  static const int64_t offsets[] = {0, 3600000000, -3600000000, 30000000};
  struct {
    ddb_temporal temporal;
    char zone[16];
  } bytes;
  memset(&bytes, 0, sizeof bytes);
  ddb_temporal *t = &bytes.temporal;
  int64_t hours = (int64_t)support_below(state, 4) + 1;
  t->micros = hours * 3600000000 + (kind == DDB_DATETIME ? 735000 * DAY_MICROS : 0);
  t->fold = (uint8_t)support_below(state, 2);
  t->zone_kind = (uint8_t)support_below(state, 3);
  t->offset_micros = t->zone_kind == DDB_ZONE_NONE ? DDB_OFFSET_NONE : PICK(offsets);
  if (kind == DDB_TIME && t->zone_kind == DDB_ZONE_IANA && support_below(state, 2)) {
    t->offset_micros = DDB_OFFSET_NONE;
  }
  if (t->zone_kind != DDB_ZONE_NONE && support_below(state, 2)) {
    memcpy(bytes.zone, "Europe/Paris", 12);
    t->zone_size = 12;
  }
  ddb_value value = text_value(kind, (const char *)&bytes, sizeof *t + t->zone_size);
  append(builder, &value);
}

static void append_duration(ddb_builder *builder, uint64_t *state) {
  ddb_duration duration = {(int64_t)support_below(state, 3) - 1, (int64_t)support_below(state, 2)};
  ddb_value value = text_value(DDB_TIMEDELTA, (const char *)&duration, sizeof duration);
  append(builder, &value);
}

static void append_bytes_kind(ddb_builder *builder, uint64_t *state, uint8_t kind) {
  char uuid[16] = {0};
  uuid[support_below(state, 16)] = (char)support_below(state, 3);
  ddb_value value = text_value(kind, uuid, kind == DDB_UUID ? 16 : support_below(state, 4));
  append(builder, &value);
}

static void append_text(ddb_builder *builder, uint64_t *state) {
  size_t index = support_below(state, COUNT(texts));
  ddb_value value = text_value(DDB_STR_KIND, texts[index], index == 4 ? 3 : strlen(texts[index]));
  append(builder, &value);
}

static void append_number(ddb_builder *builder, uint64_t *state) {
  const char *text = PICK(decimals);
  ddb_value value;
  switch (support_below(state, 5)) {
  case 0:
    value = ddb_bool(support_below(state, 2));
    break;
  case 1:
    value = ddb_int(PICK(ints));
    break;
  case 2:
    value = ddb_float(PICK(doubles));
    break;
  case 3:
    value =
        text_value(DDB_DECIMAL, text[0] == 's' ? "NaN" : text, text[0] == 's' ? 3 : strlen(text));
    break;
  default:
    append_bigint(builder, state);
    return;
  }
  append(builder, &value);
}

static void append_scalar(ddb_builder *builder, uint64_t *state) {
  ddb_value value;
  switch (support_below(state, 12)) {
  case 0:
    value = ddb_null();
    break;
  case 1:
    value = ddb_value_make(DDB_DATE, 0, 735000 + support_below(state, 3));
    break;
  case 2:
    append_temporal(builder, state, DDB_DATETIME);
    return;
  case 3:
    append_temporal(builder, state, DDB_TIME);
    return;
  case 4:
    append_duration(builder, state);
    return;
  case 5:
    append_bytes_kind(builder, state, DDB_UUID);
    return;
  case 6:
    append_bytes_kind(builder, state, DDB_BYTES);
    return;
  case 7:
  case 8:
    append_text(builder, state);
    return;
  default:
    append_number(builder, state);
    return;
  }
  append(builder, &value);
}

/* Keys of a dict must differ: numbered, some as int, some as float. */
static void append_dict(ddb_builder *builder, uint64_t *state, unsigned depth) {
  size_t entries = support_below(state, 4);
  size_t first = support_below(state, 2);
  bool down = support_below(state, 2);
  assert_ok(ddb_builder_begin(builder, DDB_DICT, 2 * entries, NULL));
  for (size_t i = 0; i < entries; i++) {
    size_t number = first + (down ? entries - 1 - i : i);
    ddb_value key = support_below(state, 2) ? ddb_int((int64_t)number) : ddb_float((double)number);
    append(builder, &key);
    random_value_append(builder, state, depth - 1, false);
  }
  assert_ok(ddb_builder_end(builder, NULL));
}

static void append_container(ddb_builder *builder, uint64_t *state, unsigned depth, bool hashable) {
  static const ddb_kind kinds[] = {DDB_TUPLE, DDB_FROZENSET, DDB_LIST, DDB_SET, DDB_DICT};
  ddb_kind kind = kinds[support_below(state, hashable ? 2 : 5)];
  if (kind == DDB_DICT) {
    append_dict(builder, state, depth);
    return;
  }
  size_t count = support_below(state, support_below(state, 20) == 0 ? 40 : 4);
  bool items_hashable = hashable || kind == DDB_SET || kind == DDB_FROZENSET;
  assert_ok(ddb_builder_begin(builder, kind, count, NULL));
  for (size_t i = 0; i < count; i++) {
    random_value_append(builder, state, depth - 1, items_hashable);
  }
  assert_ok(ddb_builder_end(builder, NULL));
}

void random_value_append(ddb_builder *builder, uint64_t *state, unsigned depth, bool hashable) {
  if (depth > 0 && support_below(state, 3) == 0) {
    append_container(builder, state, depth, hashable);
  } else {
    append_scalar(builder, state);
  }
}

bool random_value_has_nan(const ddb_value *value) {
  if (value->kind == DDB_FLOAT) {
    return isnan(value->as.real);
  }
  if (value->kind == DDB_DECIMAL) {
    const char *text = value->as.data;
    return memchr(text, 'N', value->size) != NULL;
  }
  for (size_t i = 0; i < ddb_value_item_count(value); i++) {
    ddb_value item = ddb_value_item(value, i);
    if (random_value_has_nan(&item)) {
      return true;
    }
  }
  return false;
}
