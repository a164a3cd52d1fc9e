/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_format.c - values as text for messages, like Python's repr().
 *
 * Everything is written through a sink that counts all bytes and keeps those that fit, so that the
 * size of the whole text is known whatever the buffer. What was cut ends in "..." at a character's
 * boundary. Lone surrogates and control characters are escaped: the text is always valid UTF-8.
 * Integers too long for a message are hexadecimal: exact, and linear in their size.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/number.h"
#include "store/value.h"

#define DECIMAL_BYTES_MAX 512 /* magnitudes up to this size are written in decimal */
#define DAY_MICROS        INT64_C(86400000000)

typedef struct sink {
  char *buffer;
  size_t capacity;
  size_t size;
} sink;

static void put_bytes(sink *out, const char *bytes, size_t size) {
  if (out->size < out->capacity) {
    size_t left = out->capacity - out->size;
    memcpy(out->buffer + out->size, bytes, size < left ? size : left);
  }
  out->size += size;
}

static void put_text(sink *out, const char *text) {
  put_bytes(out, text, strlen(text));
}

static void put_char(sink *out, char c) {
  put_bytes(out, &c, 1);
}

/* ---- Strings ------------------------------------------------------------------------------ */

static void put_escape(sink *out, const char *prefix, unsigned code, int digits) {
  char text[16];
  snprintf(text, sizeof text, "%s%0*x", prefix, digits, code);
  put_text(out, text);
}

/* Python's choice: single quotes, unless the text has them and no double ones. */
static char quote_for(const ddb_value *value) {
  bool has_single = value->size > 0 && memchr(value->as.data, '\'', value->size) != NULL;
  bool has_double = value->size > 0 && memchr(value->as.data, '"', value->size) != NULL;
  return has_single && !has_double ? '"' : '\'';
}

/* ASCII, and single bytes of bytes. */
static void put_escaped(sink *out, unsigned char c, char quote) {
  if (c == (unsigned char)quote || c == '\\') {
    put_char(out, '\\');
    put_char(out, (char)c);
  } else if (c == '\n') {
    put_text(out, "\\n");
  } else if (c == '\r') {
    put_text(out, "\\r");
  } else if (c == '\t') {
    put_text(out, "\\t");
  } else if (c < 0x20 || c >= 0x7f) {
    put_escape(out, "\\x", c, 2);
  } else {
    put_char(out, (char)c);
  }
}

/* Bytes of the sequence at `at`, as far as there are so many. */
static size_t sequence_size(const unsigned char *at, size_t left) {
  size_t size = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
  return size < left ? size : left;
}

/* A character beyond ASCII: as it is, or escaped where it would not show or not be UTF-8. */
static void put_wide(sink *out, const unsigned char *at, size_t size) {
  if (size == 3 && at[0] == 0xed && at[1] >= 0xa0) {
    put_escape(out, "\\u", 0xd000u | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu), 4);
  } else if (size == 2 && at[0] == 0xc2 && at[1] <= 0xa0) {
    put_escape(out, "\\x", at[1], 2);
  } else {
    put_bytes(out, (const char *)at, size);
  }
}

static void put_str(sink *out, const ddb_value *value) {
  const unsigned char *at = value->as.data;
  size_t left = value->size;
  char quote = quote_for(value);
  put_char(out, quote);
  while (left > 0) {
    size_t size = sequence_size(at, left);
    if (*at < 0x80) {
      put_escaped(out, *at, quote);
    } else {
      put_wide(out, at, size);
    }
    at += size;
    left -= size;
  }
  put_char(out, quote);
}

static void put_bytes_value(sink *out, const ddb_value *value) {
  const unsigned char *bytes = value->as.data;
  char quote = quote_for(value);
  put_char(out, 'b');
  put_char(out, quote);
  for (size_t i = 0; i < value->size; i++) {
    put_escaped(out, bytes[i], quote);
  }
  put_char(out, quote);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static void put_int(sink *out, int64_t integer) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)integer);
  put_text(out, text);
}

static void put_bigint(sink *out, const ddb_value *value) {
  const uint8_t *bytes = value->as.data;
  if (value->size <= DECIMAL_BYTES_MAX) {
    char text[DECIMAL_BYTES_MAX * 5 / 2 + 2];
    ddb__bigint_format(value, text, sizeof text);
    put_text(out, text);
    return;
  }
  put_text(out, bytes[0] != 0 ? "-0x" : "0x");
  put_escape(out, "", bytes[value->size - 1], 1);
  for (size_t i = value->size - 1; i-- > 1;) {
    put_escape(out, "", bytes[i], 2);
  }
}

/* The shortest digits that give the same double back; returns their number and the exponent of the
 * first. Whatever the locale's decimal point is, it is skipped. */
static int shortest_digits(double real, char digits[20], int *exponent) {
  char text[64];
  for (int precision = 0; precision <= 16; precision++) {
    snprintf(text, sizeof text, "%.*e", precision, real);
    if (strtod(text, NULL) == real) {
      break;
    }
  }
  const char *at = text;
  int count = 0;
  for (; *at != 'e'; at++) {
    if (*at >= '0' && *at <= '9' && count < 19) {
      digits[count++] = *at;
    }
  }
  *exponent = (int)strtol(at + 1, NULL, 10);
  return count;
}

static void put_zeros(sink *out, int count) {
  for (int i = 0; i < count; i++) {
    put_char(out, '0');
  }
}

/* As repr(float) lays digits out: scientific below 1e-4 and from 1e16 on. */
static void put_finite(sink *out, double real) {
  char digits[20] = "0";
  int exponent;
  int count = shortest_digits(real, digits, &exponent);
  if (exponent < -4 || exponent >= 16) {
    put_char(out, digits[0]);
    if (count > 1) {
      put_char(out, '.');
      put_bytes(out, digits + 1, (size_t)count - 1);
    }
    char text[16];
    snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    put_text(out, text);
  } else if (exponent < 0) {
    put_text(out, "0.");
    put_zeros(out, -exponent - 1);
    put_bytes(out, digits, (size_t)count);
  } else {
    int before = count < exponent + 1 ? count : exponent + 1;
    put_bytes(out, digits, (size_t)before);
    put_zeros(out, exponent + 1 - before);
    put_char(out, '.');
    put_bytes(out, before < count ? digits + before : "0",
              before < count ? (size_t)(count - before) : 1);
  }
}

static void put_float(sink *out, double real) {
  if (isnan(real)) {
    put_text(out, "nan");
    return;
  }
  if (signbit(real)) {
    put_char(out, '-');
  }
  if (isinf(real)) {
    put_text(out, "inf");
  } else {
    put_finite(out, fabs(real));
  }
}

/* ---- Dates and times ---------------------------------------------------------------------- */

/* Proleptic Gregorian date of an ordinal: 400-year cycles of 146,097 days from 1 March of year 0.
 */
static void put_date(sink *out, int64_t ordinal) {
  int64_t day = ordinal + 305; /* 1 March 0000 is day 0 of its cycle: ordinal -305 */
  int64_t cycle = day / 146097 - (day % 146097 < 0);
  int64_t in_cycle = day - cycle * 146097;
  int64_t year_of_cycle = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
  int64_t in_year = in_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
  int64_t shifted = (5 * in_year + 2) / 153; /* months from March */
  int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  int64_t year = year_of_cycle + cycle * 400 + (month <= 2);
  char text[64];
  long long day_of_month = in_year - (153 * shifted + 2) / 5 + 1;
  snprintf(text, sizeof text, "%04lld-%02lld-%02lld", (long long)year, (long long)month,
           day_of_month);
  put_text(out, text);
}

static void put_clock(sink *out, int64_t micros, bool with_fraction) {
  char text[64];
  long long seconds = micros / 1000000;
  snprintf(text, sizeof text, "%02lld:%02lld:%02lld", seconds / 3600, seconds / 60 % 60,
           seconds % 60);
  put_text(out, text);
  if (with_fraction && micros % 1000000 != 0) {
    snprintf(text, sizeof text, ".%06lld", (long long)(micros % 1000000));
    put_text(out, text);
  }
}

static void put_offset(sink *out, int64_t offset) {
  int64_t size = offset < 0 ? (int64_t)(0 - (uint64_t)offset) : offset;
  char text[64];
  snprintf(text, sizeof text, "%c%02lld:%02lld", offset < 0 ? '-' : '+',
           (long long)(size / 3600000000), (long long)(size / 60000000 % 60));
  put_text(out, text);
  if (size % 60000000 != 0) {
    snprintf(text, sizeof text, ":%02lld", (long long)(size / 1000000 % 60));
    put_text(out, text);
  }
}

static void put_temporal(sink *out, const ddb_value *value) {
  ddb_temporal temporal;
  memcpy(&temporal, value->as.data, sizeof temporal);
  if (value->kind == DDB_DATETIME) {
    put_text(out, "datetime('");
    put_date(out, temporal.micros / DAY_MICROS + 1);
    put_char(out, 'T');
    put_clock(out, temporal.micros % DAY_MICROS, true);
  } else {
    put_text(out, "time('");
    put_clock(out, temporal.micros, true);
  }
  if (temporal.offset_micros != DDB_OFFSET_NONE) {
    put_offset(out, temporal.offset_micros);
  }
  put_text(out, "')");
}

static void put_duration(sink *out, const ddb_value *value) {
  ddb_duration duration;
  memcpy(&duration, value->as.data, sizeof duration);
  char text[128];
  snprintf(text, sizeof text, "timedelta(days=%lld, seconds=%lld, microseconds=%lld)",
           (long long)duration.days, (long long)(duration.micros / 1000000),
           (long long)(duration.micros % 1000000));
  put_text(out, text);
}

static void put_uuid(sink *out, const ddb_value *value) {
  const uint8_t *bytes = value->as.data;
  put_text(out, "UUID('");
  for (size_t i = 0; i < 16 && i < value->size; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      put_char(out, '-');
    }
    put_escape(out, "", bytes[i], 2);
  }
  put_text(out, "')");
}

/* ---- Containers --------------------------------------------------------------------------- */

static void put_value(sink *out, const ddb_value *value);

static void put_items(sink *out, const ddb_value *value, const char *open, const char *close) {
  put_text(out, open);
  size_t count = ddb_value_item_count(value);
  bool is_dict = value->kind == DDB_DICT;
  for (size_t i = 0; i < count; i++) {
    if (i > 0) {
      put_text(out, is_dict && i % 2 == 1 ? ": " : ", ");
    }
    ddb_value item = ddb_value_item(value, i);
    put_value(out, &item);
  }
  put_text(out, close);
}

static void put_container(sink *out, const ddb_value *value) {
  size_t count = ddb_value_item_count(value);
  switch (value->kind) {
  case DDB_LIST:
    put_items(out, value, "[", "]");
    break;
  case DDB_DICT:
    put_items(out, value, "{", "}");
    break;
  case DDB_TUPLE:
    put_items(out, value, "(", count == 1 ? ",)" : ")");
    break;
  case DDB_SET:
    put_items(out, value, count == 0 ? "set(" : "{", count == 0 ? ")" : "}");
    break;
  default:
    put_items(out, value, count == 0 ? "frozenset(" : "frozenset({", count == 0 ? ")" : "})");
    break;
  }
}

static void put_value(sink *out, const ddb_value *value) {
  switch (value->kind) {
  case DDB_MISSING:
    put_text(out, "missing");
    break;
  case DDB_NULL:
    put_text(out, "None");
    break;
  case DDB_BOOL:
    put_text(out, value->as.boolean ? "True" : "False");
    break;
  case DDB_INT:
    put_int(out, value->as.integer);
    break;
  case DDB_BIGINT:
    put_bigint(out, value);
    break;
  case DDB_FLOAT:
    put_float(out, value->as.real);
    break;
  case DDB_DECIMAL:
    put_text(out, "Decimal('");
    put_bytes(out, value->as.data, value->size);
    put_text(out, "')");
    break;
  case DDB_STR_KIND:
    put_str(out, value);
    break;
  case DDB_BYTES:
    put_bytes_value(out, value);
    break;
  case DDB_DATE:
    put_text(out, "date('");
    put_date(out, value->as.integer);
    put_text(out, "')");
    break;
  case DDB_DATETIME:
  case DDB_TIME:
    put_temporal(out, value);
    break;
  case DDB_TIMEDELTA:
    put_duration(out, value);
    break;
  case DDB_UUID:
    put_uuid(out, value);
    break;
  default:
    put_container(out, value);
    break;
  }
}

/* Ends a text that did not fit: "..." where a character begins, as far as there is room. */
static void cut(char *buffer, size_t capacity) {
  size_t end = capacity - 1;
  size_t dots = end < 3 ? end : 3;
  size_t at = end - dots;
  while (at > 0 && ((unsigned char)buffer[at] & 0xc0) == 0x80) {
    at--;
  }
  memset(buffer + at, '.', dots);
  buffer[at + dots] = '\0';
}

size_t ddb_value_format(const ddb_value *value, char *buffer, size_t capacity) {
  sink out = {buffer, capacity, 0};
  put_value(&out, value);
  if (out.size < capacity) {
    buffer[out.size] = '\0';
  } else if (capacity > 0) {
    cut(buffer, capacity);
  }
  return out.size;
}
