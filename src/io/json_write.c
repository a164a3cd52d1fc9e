/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_write.c - one function per kind of value.
 *
 *   null, bool, int, float, str, list, dict with plain keys     as JSON has them
 *   all else                                {"$type": "<name>", "value": ..., <more>}
 *
 * Invariants
 *   1. Output is valid UTF-8, and valid JSON but for NaN, Infinity and -Infinity, which Python's
 *      json writes and reads too.
 *   2. An object has the key "$type" only if this file put it there: a dict that has the key itself
 *      is written as pairs.
 *   3. Recursion is as deep as the value, which its builder has held to DDB_DEPTH_MAX.
 * Ownership: the buffer. Locks: none. Cost: one pass; short texts are made in the buffer itself.
 */
#include "io/json_write.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/base64.h"
#include "io/number_text.h"
#include "io/scan.h"
#include "io/time_text.h"
#include "io/try.h"
#include "io/utf8.h"
#include "store/number.h"
#include "store/value.h"

/* Python's json refuses integers of more than 4,300 digits; these bytes make at most that many. */
#define PLAIN_MAGNITUDE_SIZE_MAX 1785
#define PLAIN_DIGITS_MAX         4301 /* with the sign */

/* ---- The buffer --------------------------------------------------------------------------- */

ddb_status ddb__json_writer_init(ddb__json_writer *writer, ddb__json_flush flush, void *context,
                                 ddb_error *err) {
  *writer = (ddb__json_writer){.flush = flush, .context = context, .err = err};
  writer->buffer = ddb__alloc(&ddb__heap_process, DDB__JSON_BUFFER_SIZE);
  return writer->buffer ? DDB_OK : ddb__fail_memory(err, DDB__JSON_BUFFER_SIZE);
}

void ddb__json_writer_fini(ddb__json_writer *writer) {
  ddb__free(&ddb__heap_process, writer->buffer, DDB__JSON_BUFFER_SIZE);
  writer->buffer = NULL;
}

ddb_status ddb__json_writer_flush(ddb__json_writer *writer) {
  size_t size = writer->used;
  writer->used = 0;
  return size ? writer->flush(writer->context, writer->buffer, size, writer->err) : DDB_OK;
}

ddb_status ddb__json_write_raw(ddb__json_writer *writer, const char *data, size_t size) {
  while (size > DDB__JSON_BUFFER_SIZE - writer->used) {
    size_t part = DDB__JSON_BUFFER_SIZE - writer->used;
    memcpy(writer->buffer + writer->used, data, part);
    writer->used += part;
    data += part;
    size -= part;
    DDB__TRY(ddb__json_writer_flush(writer));
  }
  if (size) {
    memcpy(writer->buffer + writer->used, data, size);
    writer->used += size;
  }
  return DDB_OK;
}

static inline ddb_status put_character(ddb__json_writer *writer, char character) {
  DDB__TRY(ddb__json_room(writer, 1));
  writer->buffer[writer->used++] = character;
  return DDB_OK;
}

#define PUT_LITERAL(writer, text) ddb__json_write_raw((writer), (text), sizeof(text) - 1)

/* ---- Strings ------------------------------------------------------------------------------ */

static char *put_unicode_escape(char *out, uint32_t unit) {
  static const char digits[] = "0123456789abcdef";
  *out++ = '\\';
  *out++ = 'u';
  for (int shift = 12; shift >= 0; shift -= 4) {
    *out++ = digits[unit >> shift & 15];
  }
  return out;
}

static ddb_status put_escape(ddb__json_writer *writer, uint8_t byte) {
  static const char letters[32] = {
      ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  DDB__TRY(ddb__json_room(writer, 6));
  char *out = writer->buffer + writer->used;
  char letter = byte < 0x20 ? letters[byte] : (char)byte;
  if (letter) {
    *out++ = '\\';
    *out++ = letter;
  } else {
    out = put_unicode_escape(out, byte);
  }
  writer->used = (size_t)(out - writer->buffer);
  return DDB_OK;
}

/* One code point that is not ASCII; *size: its bytes in the string. */
static ddb_status put_code_point(ddb__json_writer *writer, const char *at, size_t left,
                                 size_t *size) {
  const uint8_t *bytes = (const uint8_t *)at;
  *size = ddb__utf8_size(bytes, left);
  if (*size == 0) {
    return ddb__fail(writer->err, DDB_ERR_INVALID, "a string is not UTF-8 (byte 0x%02x)",
                     (unsigned)*bytes);
  }
  DDB__TRY(ddb__json_room(writer, 6));
  char *out = writer->buffer + writer->used;
  if (ddb__utf8_is_surrogate(bytes)) {
    out = put_unicode_escape(out, ddb__utf8_surrogate(bytes));
  } else {
    memcpy(out, at, *size);
    out += *size;
  }
  writer->used = (size_t)(out - writer->buffer);
  return DDB_OK;
}

ddb_status ddb__json_write_string(ddb__json_writer *writer, ddb_str text) {
  DDB__TRY(put_character(writer, '"'));
  const char *at = text.data;
  size_t left = text.size;
  while (left) {
    size_t run = ddb__scan_plain(at, left);
    DDB__TRY(ddb__json_write_raw(writer, at, run));
    at += run;
    left -= run;
    if (left) {
      size_t size = 1;
      if ((uint8_t)*at < 0x80) {
        DDB__TRY(put_escape(writer, (uint8_t)*at));
      } else {
        DDB__TRY(put_code_point(writer, at, left, &size));
      }
      at += size;
      left -= size;
    }
  }
  return put_character(writer, '"');
}

/* Bytes up to a low surrogate that stands right behind a high one; all when there is none. Both are
 * characters of their own here, and two \u escapes in a row would make them one. */
static size_t apart(ddb_str text) {
  const uint8_t *start = (const uint8_t *)text.data;
  const uint8_t *end = start + text.size;
  const uint8_t *at = start;
  while (at < end && (at = memchr(at, 0xed, (size_t)(end - at))) != NULL) {
    const uint8_t *next = at + DDB__SURROGATE_SIZE;
    if (next + 1 < end && ddb__utf8_is_surrogate(at) && !ddb__utf8_is_low_surrogate(at) &&
        ddb__utf8_is_low_surrogate(next)) {
      return (size_t)(next - start);
    }
    at++;
  }
  return text.size;
}

bool ddb__json_key_is_plain(ddb_str key) {
  static const ddb_str mark = {"$type", 5};
  bool is_mark = key.size == mark.size && memcmp(key.data, mark.data, mark.size) == 0;
  return !is_mark && (key.size == 0 || apart(key) == key.size);
}

static ddb_status open_typed(ddb__json_writer *writer, const char *name) {
  DDB__TRY(PUT_LITERAL(writer, "{\"$type\": \""));
  DDB__TRY(ddb__json_write_text(writer, name));
  return PUT_LITERAL(writer, "\", \"value\": ");
}

/* A str as it is, or as a list of parts that are to be joined. */
static ddb_status put_str(ddb__json_writer *writer, ddb_str text) {
  size_t part = text.size ? apart(text) : 0;
  if (part == text.size) {
    return ddb__json_write_string(writer, text);
  }
  DDB__TRY(open_typed(writer, "str"));
  const char *before = "[";
  while (text.size) {
    part = apart(text);
    DDB__TRY(ddb__json_write_text(writer, before));
    DDB__TRY(ddb__json_write_string(writer, (ddb_str){text.data, part}));
    text = (ddb_str){text.data + part, text.size - part};
    before = ", ";
  }
  return PUT_LITERAL(writer, "]}");
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static ddb_status put_int(ddb__json_writer *writer, int64_t number) {
  DDB__TRY(ddb__json_room(writer, DDB__INT_TEXT_SIZE));
  writer->used += ddb__number_text_int(number, writer->buffer + writer->used);
  return DDB_OK;
}

static ddb_status put_float(ddb__json_writer *writer, double number) {
  DDB__TRY(ddb__json_room(writer, DDB__FLOAT_TEXT_SIZE));
  writer->used += ddb__number_text_float(number, writer->buffer + writer->used);
  return DDB_OK;
}

/* Too long for Python's json: as hexadecimal digits, which cost nothing to read. */
static ddb_status put_long_int(ddb__json_writer *writer, const uint8_t *bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  DDB__TRY(open_typed(writer, "int"));
  DDB__TRY(ddb__json_write_text(writer, bytes[0] ? "\"-0x" : "\"0x"));
  for (size_t i = size; i-- > 1;) {
    DDB__TRY(ddb__json_room(writer, 2));
    writer->buffer[writer->used++] = digits[bytes[i] >> 4];
    writer->buffer[writer->used++] = digits[bytes[i] & 15];
  }
  return PUT_LITERAL(writer, "\"}");
}

static ddb_status put_bigint(ddb__json_writer *writer, const ddb_value *value) {
  if (value->size > 1 + PLAIN_MAGNITUDE_SIZE_MAX) {
    return put_long_int(writer, value->as.data, value->size);
  }
  DDB__TRY(ddb__json_room(writer, PLAIN_DIGITS_MAX + 1));
  writer->used += ddb__bigint_format(value, writer->buffer + writer->used, PLAIN_DIGITS_MAX + 1);
  return DDB_OK;
}

/* ---- What JSON lacks ---------------------------------------------------------------------- */

static ddb_status put_bytes(ddb__json_writer *writer, const ddb_value *value) {
  const size_t part_max = DDB__JSON_ROOM_MAX / 4 * 3;
  const uint8_t *at = value->as.data;
  size_t left = value->size;
  DDB__TRY(open_typed(writer, "bytes"));
  DDB__TRY(put_character(writer, '"'));
  while (left) {
    size_t part = left < part_max ? left : part_max;
    DDB__TRY(ddb__json_room(writer, ddb__base64_size(part)));
    ddb__base64_encode(at, part, writer->buffer + writer->used);
    writer->used += ddb__base64_size(part);
    at += part;
    left -= part;
  }
  return PUT_LITERAL(writer, "\"}");
}

static ddb_status put_decimal(ddb__json_writer *writer, const ddb_value *value) {
  DDB__TRY(open_typed(writer, "decimal"));
  DDB__TRY(ddb__json_write_string(writer, (ddb_str){value->as.data, value->size}));
  return put_character(writer, '}');
}

static ddb_status put_date(ddb__json_writer *writer, int64_t ordinal) {
  char text[DDB__TIME_TEXT_SIZE];
  size_t size = ddb__time_text_date(ordinal, text);
  DDB__TRY(open_typed(writer, "date"));
  DDB__TRY(ddb__json_write_string(writer, (ddb_str){text, size}));
  return put_character(writer, '}');
}

/* The zone is written unless the text says it all: naive, or a fixed offset without a name. */
static ddb_status put_zone(ddb__json_writer *writer, const ddb_temporal *temporal,
                           const char *name) {
  bool aware = temporal->offset_micros != DDB_OFFSET_NONE;
  bool said = temporal->zone_kind == (aware ? DDB_ZONE_FIXED : DDB_ZONE_NONE);
  if (said && temporal->zone_size == 0) {
    return DDB_OK;
  }
  static const char *const kinds[] = {"none", "fixed", "iana"};
  DDB__TRY(PUT_LITERAL(writer, ", \"zone\": [\""));
  DDB__TRY(ddb__json_write_text(writer, kinds[temporal->zone_kind % 3]));
  DDB__TRY(PUT_LITERAL(writer, "\", "));
  DDB__TRY(put_str(writer, (ddb_str){name, temporal->zone_size}));
  return put_character(writer, ']');
}

static ddb_status put_temporal(ddb__json_writer *writer, const ddb_value *value) {
  ddb_temporal temporal;
  char text[DDB__TIME_TEXT_SIZE];
  memcpy(&temporal, value->as.data, sizeof temporal);
  bool is_time = value->kind == DDB_TIME;
  size_t size =
      is_time ? ddb__time_text_time(&temporal, text) : ddb__time_text_datetime(&temporal, text);
  DDB__TRY(open_typed(writer, is_time ? "time" : "datetime"));
  DDB__TRY(ddb__json_write_string(writer, (ddb_str){text, size}));
  if (temporal.fold) {
    DDB__TRY(PUT_LITERAL(writer, ", \"fold\": 1"));
  }
  DDB__TRY(put_zone(writer, &temporal, (const char *)value->as.data + sizeof temporal));
  return put_character(writer, '}');
}

/* [days, seconds, microseconds], as Python's timedelta keeps them. */
static ddb_status put_duration(ddb__json_writer *writer, const ddb_value *value) {
  ddb_duration duration;
  memcpy(&duration, value->as.data, sizeof duration);
  DDB__TRY(open_typed(writer, "timedelta"));
  DDB__TRY(put_character(writer, '['));
  DDB__TRY(put_int(writer, duration.days));
  DDB__TRY(PUT_LITERAL(writer, ", "));
  DDB__TRY(put_int(writer, duration.micros / 1000000));
  DDB__TRY(PUT_LITERAL(writer, ", "));
  DDB__TRY(put_int(writer, duration.micros % 1000000));
  return PUT_LITERAL(writer, "]}");
}

static ddb_status put_uuid(ddb__json_writer *writer, const ddb_value *value) {
  DDB__TRY(open_typed(writer, "uuid"));
  DDB__TRY(ddb__json_room(writer, DDB__UUID_TEXT_SIZE + 3));
  char *out = writer->buffer + writer->used;
  *out++ = '"';
  ddb__time_text_uuid(value->as.data, out);
  out += DDB__UUID_TEXT_SIZE;
  *out++ = '"';
  *out++ = '}';
  writer->used = (size_t)(out - writer->buffer);
  return DDB_OK;
}

/* ---- Containers --------------------------------------------------------------------------- */

static ddb_status put_items(ddb__json_writer *writer, const ddb_value *value) {
  DDB__TRY(put_character(writer, '['));
  size_t count = ddb_value_item_count(value);
  for (size_t i = 0; i < count; i++) {
    if (i) {
      DDB__TRY(PUT_LITERAL(writer, ", "));
    }
    ddb_value item = ddb_value_item(value, i);
    DDB__TRY(ddb__json_write_value(writer, &item));
  }
  return put_character(writer, ']');
}

static ddb_status put_typed_items(ddb__json_writer *writer, const ddb_value *value,
                                  const char *name) {
  DDB__TRY(open_typed(writer, name));
  DDB__TRY(put_items(writer, value));
  return put_character(writer, '}');
}

static bool keys_are_plain(const ddb_value *dict) {
  size_t count = ddb_value_item_count(dict);
  for (size_t i = 0; i < count; i += 2) {
    ddb_value key = ddb_value_item(dict, i);
    if (key.kind != DDB_STR_KIND || !ddb__json_key_is_plain((ddb_str){key.as.data, key.size})) {
      return false;
    }
  }
  return true;
}

static ddb_status put_plain_dict(ddb__json_writer *writer, const ddb_value *dict) {
  DDB__TRY(put_character(writer, '{'));
  size_t count = ddb_value_item_count(dict);
  for (size_t i = 0; i < count; i += 2) {
    ddb_value key = ddb_value_item(dict, i);
    ddb_value item = ddb_value_item(dict, i + 1);
    if (i) {
      DDB__TRY(PUT_LITERAL(writer, ", "));
    }
    DDB__TRY(ddb__json_write_string(writer, (ddb_str){key.as.data, key.size}));
    DDB__TRY(PUT_LITERAL(writer, ": "));
    DDB__TRY(ddb__json_write_value(writer, &item));
  }
  return put_character(writer, '}');
}

static ddb_status put_pairs(ddb__json_writer *writer, const ddb_value *dict) {
  DDB__TRY(open_typed(writer, "dict"));
  DDB__TRY(put_character(writer, '['));
  size_t count = ddb_value_item_count(dict);
  for (size_t i = 0; i < count; i += 2) {
    ddb_value key = ddb_value_item(dict, i);
    ddb_value item = ddb_value_item(dict, i + 1);
    DDB__TRY(ddb__json_write_text(writer, i ? ", [" : "["));
    DDB__TRY(ddb__json_write_value(writer, &key));
    DDB__TRY(PUT_LITERAL(writer, ", "));
    DDB__TRY(ddb__json_write_value(writer, &item));
    DDB__TRY(put_character(writer, ']'));
  }
  return PUT_LITERAL(writer, "]}");
}

static ddb_status put_dict(ddb__json_writer *writer, const ddb_value *dict) {
  return keys_are_plain(dict) ? put_plain_dict(writer, dict) : put_pairs(writer, dict);
}

/* ---- Any value ---------------------------------------------------------------------------- */

ddb_status ddb__json_write_value(ddb__json_writer *writer, const ddb_value *value) {
  switch ((ddb_kind)value->kind) {
  case DDB_BOOL:
    return value->as.boolean ? PUT_LITERAL(writer, "true") : PUT_LITERAL(writer, "false");
  case DDB_INT:
    return put_int(writer, value->as.integer);
  case DDB_BIGINT:
    return put_bigint(writer, value);
  case DDB_FLOAT:
    return put_float(writer, value->as.real);
  case DDB_DECIMAL:
    return put_decimal(writer, value);
  case DDB_STR_KIND:
    return put_str(writer, (ddb_str){value->as.data, value->size});
  case DDB_BYTES:
    return put_bytes(writer, value);
  case DDB_DATE:
    return put_date(writer, value->as.integer);
  case DDB_DATETIME:
  case DDB_TIME:
    return put_temporal(writer, value);
  case DDB_TIMEDELTA:
    return put_duration(writer, value);
  case DDB_LIST:
    return put_items(writer, value);
  case DDB_DICT:
    return put_dict(writer, value);
  case DDB_TUPLE:
    return put_typed_items(writer, value, "tuple");
  case DDB_SET:
    return put_typed_items(writer, value, "set");
  case DDB_FROZENSET:
    return put_typed_items(writer, value, "frozenset");
  case DDB_UUID:
    return put_uuid(writer, value);
  case DDB_NULL:
  case DDB_MISSING:
  case DDB_KIND_COUNT:
    break;
  }
  return PUT_LITERAL(writer, "null");
}
