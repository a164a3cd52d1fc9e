/* SPDX-License-Identifier: Apache-2.0 */
/* cell_write.c - a value as a cell. See cell.h. Cost: one pass (quadratic for integers of at most
 * DDB__CELL_DIGITS_MAX digits); nothing is allocated but, once, the buffer that JSON texts pass
 * through. */
#include "base/heap.h"
#include "base/status.h"
#include "io/base64.h"
#include "io/cell.h"
#include "io/number_text.h"
#include "io/time_text.h"
#include "io/try.h"
#include "io/utf8.h"
#include "store/number.h"
#include "store/text.h"
#include "store/value.h"

#define DIGITS_MAGNITUDE_SIZE_MAX 1786 /* of the largest of DDB__CELL_DIGITS_MAX digits */

void ddb__cell_writer_fini(ddb__cell_writer *writer) {
  ddb__json_writer_fini(&writer->json);
}

/* ---- Quotes ------------------------------------------------------------------------------- */

static bool needs_quotes(const ddb__cell_writer *writer, ddb_str text) {
  for (size_t i = 0; i < text.size; i++) {
    char c = text.data[i];
    if (c == writer->delimiter || c == '"' || c == '\n' || c == '\r') {
      return true;
    }
  }
  return false;
}

static ddb_status put_doubled(ddb__json_writer *out, const char *data, size_t size) {
  while (size) {
    const char *quote = memchr(data, '"', size);
    size_t run = quote ? (size_t)(quote - data) + 1 : size;
    DDB__TRY(ddb__json_write_raw(out, data, run));
    if (quote) {
      DDB__TRY(ddb__json_write_raw(out, "\"", 1));
    }
    data += run;
    size -= run;
  }
  return DDB_OK;
}

static ddb_status put_quoted(ddb__json_writer *out, ddb_str text) {
  DDB__TRY(ddb__json_write_raw(out, "\"", 1));
  DDB__TRY(put_doubled(out, text.data, text.size));
  return ddb__json_write_raw(out, "\"", 1);
}

/* What is not null must not be read as it. */
static ddb_status put_text(const ddb__cell_writer *writer, ddb_str text) {
  bool quoted = needs_quotes(writer, text) || ddb__text_equal(text, writer->null_text);
  return quoted ? put_quoted(writer->out, text)
                : ddb__json_write_raw(writer->out, text.data, text.size);
}

/* ---- Text --------------------------------------------------------------------------------- */

static bool has_surrogate(ddb_str text) {
  const uint8_t *at = (const uint8_t *)text.data;
  const uint8_t *end = at + text.size;
  while (at < end && (at = memchr(at, 0xed, (size_t)(end - at))) != NULL) {
    if (ddb__utf8_is_surrogate(at)) { /* a lead byte is followed by another: the text is UTF-8 */
      return true;
    }
    at++;
  }
  return false;
}

static ddb_status put_str(const ddb__cell_writer *writer, ddb_str text) {
  bool is_float;
  if (text.size && has_surrogate(text)) {
    return ddb__fail(writer->out->err, DDB_ERR_INVALID,
                     "a str with a lone surrogate cannot be in a CSV file");
  }
  /* A byte order mark at the start of a file is none if it is quoted. */
  bool special = writer->quote_text || text.size == 0 || ddb__cell_is_number(text, &is_float) ||
                 (uint8_t)text.data[0] == 0xef;
  return special ? put_quoted(writer->out, text) : put_text(writer, text);
}

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

static ddb_status put_bytes(const ddb__cell_writer *writer, const ddb_value *value) {
  char text[4096];
  const size_t part_max = sizeof text / 4 * 3;
  const uint8_t *at = value->as.data;
  if (value->size == 0) {
    return put_quoted(writer->out, (ddb_str){"", 0});
  }
  if (value->size <= part_max) {
    ddb__base64_encode(at, value->size, text);
    return put_text(writer, (ddb_str){text, ddb__base64_size(value->size)});
  }
  /* Only where the delimiter is one of its letters: quoted, it is a text where one may be. */
  size_t quotes = strchr(base64_letters, writer->delimiter) != NULL;
  DDB__TRY(ddb__json_write_raw(writer->out, "\"", quotes));
  for (size_t left = value->size; left;) {
    size_t part = left < part_max ? left : part_max;
    ddb__base64_encode(at, part, text);
    DDB__TRY(ddb__json_write_raw(writer->out, text, ddb__base64_size(part)));
    at += part;
    left -= part;
  }
  return ddb__json_write_raw(writer->out, "\"", quotes);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static ddb_status flush_json(void *context, const char *data, size_t size, ddb_error *err) {
  (void)err;
  return put_doubled(context, data, size);
}

static ddb_status put_json(ddb__cell_writer *writer, const ddb_value *value) {
  if (!writer->json.buffer) {
    DDB__TRY(ddb__json_writer_init(&writer->json, flush_json, writer->out, writer->out->err));
  }
  DDB__TRY(ddb__json_write_raw(writer->out, "\"", 1));
  writer->json.used = 0;
  writer->json.err = writer->out->err; /* each record may bring another one */
  DDB__TRY(ddb__json_write_value(&writer->json, value));
  DDB__TRY(ddb__json_writer_flush(&writer->json));
  return ddb__json_write_raw(writer->out, "\"", 1);
}

static ddb_status put_bigint(ddb__cell_writer *writer, const ddb_value *value) {
  char digits[DDB__CELL_DIGITS_MAX + 2];
  if (value->size > 1 + DIGITS_MAGNITUDE_SIZE_MAX) {
    return put_json(writer, value);
  }
  size_t size = ddb__bigint_format(value, digits, sizeof digits);
  bool negative = digits[0] == '-';
  return size > DDB__CELL_DIGITS_MAX + (size_t)negative ? put_json(writer, value)
                                                        : put_text(writer, ddb_str_from(digits));
}

/* What the text does not say (a fold, a named zone) only the JSON text does. */
static ddb_status put_temporal(ddb__cell_writer *writer, const ddb_value *value) {
  ddb_temporal temporal;
  char text[DDB__TIME_TEXT_SIZE];
  memcpy(&temporal, value->as.data, sizeof temporal);
  bool aware = temporal.offset_micros != DDB_OFFSET_NONE;
  bool said = temporal.zone_kind == (aware ? DDB_ZONE_FIXED : DDB_ZONE_NONE);
  if (temporal.fold || !said || temporal.zone_size) {
    return put_json(writer, value);
  }
  size_t size = value->kind == DDB_TIME ? ddb__time_text_time(&temporal, text)
                                        : ddb__time_text_datetime(&temporal, text);
  return put_text(writer, (ddb_str){text, size});
}

/* ---- Any value ---------------------------------------------------------------------------- */

static ddb_status put_short(const ddb__cell_writer *writer, const ddb_value *value) {
  char text[DDB__TIME_TEXT_SIZE];
  size_t size;
  switch ((ddb_kind)value->kind) {
  case DDB_INT:
    size = ddb__number_text_int(value->as.integer, text);
    break;
  case DDB_FLOAT:
    size = ddb__number_text_float(value->as.real, text);
    break;
  case DDB_DATE:
    size = ddb__time_text_date(value->as.integer, text);
    break;
  default:
    ddb__time_text_uuid(value->as.data, text);
    size = DDB__UUID_TEXT_SIZE;
    break;
  }
  return put_text(writer, (ddb_str){text, size});
}

ddb_status ddb__cell_write(ddb__cell_writer *writer, const ddb_value *value) {
  switch ((ddb_kind)value->kind) {
  case DDB_MISSING:
  case DDB_NULL:
  case DDB_KIND_COUNT:
    break;
  case DDB_BOOL:
    return put_text(writer, value->as.boolean ? DDB_STR("true") : DDB_STR("false"));
  case DDB_INT:
  case DDB_FLOAT:
  case DDB_DATE:
  case DDB_UUID:
    return put_short(writer, value);
  case DDB_BIGINT:
    return put_bigint(writer, value);
  case DDB_DECIMAL:
    return put_text(writer, (ddb_str){value->as.data, value->size});
  case DDB_STR_KIND:
    return put_str(writer, (ddb_str){value->as.data, value->size});
  case DDB_BYTES:
    return put_bytes(writer, value);
  case DDB_DATETIME:
  case DDB_TIME:
    return put_temporal(writer, value);
  case DDB_TIMEDELTA:
  case DDB_LIST:
  case DDB_DICT:
  case DDB_TUPLE:
  case DDB_SET:
  case DDB_FROZENSET:
    return put_json(writer, value);
  }
  return ddb__json_write_raw(writer->out, writer->null_text.data, writer->null_text.size);
}
