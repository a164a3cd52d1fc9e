/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell_read.c - a cell as a value. See cell.h.
 *
 * Invariants
 *   1. Without a type asked for, only a text that its value would be written as again is a number:
 *      no leading zeros, no signs but a minus, no underscores, no blanks, no words. So nothing that
 *      identifies something ("007", "1e5" with a zero before it, "nan") is lost.
 *   2. With types asked for, a text becomes a value of one of them, or an error. What JSON text had
 *      appended before it failed goes with its record: see try_json.
 *   3. An int is made a float (where both may be) only if no digit of it is lost.
 * Cost: linear, but for integers (quadratic in at most DDB__CELL_DIGITS_MAX digits).
 */
#include <math.h>
#include <strings.h>

#include "base/heap.h"
#include "base/status.h"
#include "io/base64.h"
#include "io/cell.h"
#include "io/fill.h"
#include "io/number_text.h"
#include "io/time_text.h"
#include "io/try.h"
#include "store/number.h"
#include "store/text.h"

#define FLOAT_SIZE_MAX 400
#define INT_TYPES      (DDB_TYPE(DDB_INT) | DDB_TYPE(DDB_BIGINT))
#define JSON_TYPES                                                                                 \
  (DDB_TYPE(DDB_LIST) | DDB_TYPE(DDB_DICT) | DDB_TYPE(DDB_TUPLE) | DDB_TYPE(DDB_SET) |             \
   DDB_TYPE(DDB_FROZENSET) | DDB_TYPE(DDB_TIMEDELTA) | DDB_TYPE(DDB_TIME) |                        \
   DDB_TYPE(DDB_DATETIME) | INT_TYPES)

void ddb__cell_reader_fini(ddb__cell_reader *reader) {
  ddb__json_decoder_fini(&reader->decoder);
  ddb__json_tape_fini(&reader->tape);
  ddb__json_reader_fini(&reader->reader);
  ddb_builder_free(reader->trial);
  ddb__free(&ddb__heap_process, reader->scratch, reader->scratch_size);
  *reader = (ddb__cell_reader){0};
}

static ddb_status need_scratch(ddb__cell_reader *reader, size_t size) {
  if (size <= reader->scratch_size) {
    return DDB_OK;
  }
  ddb__free(&ddb__heap_process, reader->scratch, reader->scratch_size);
  reader->scratch_size = 0;
  reader->scratch = ddb__alloc(&ddb__heap_process, size);
  if (!reader->scratch) {
    return ddb__fail_memory(reader->err, size);
  }
  reader->scratch_size = size;
  return DDB_OK;
}

static ddb_status append(const ddb__cell_reader *reader, ddb_builder *builder, ddb_kind kind,
                         const void *data, size_t size) {
  ddb_value value = {.kind = (uint8_t)kind, .size = (uint32_t)size, .as = {.data = data}};
  return ddb_builder_append(builder, &value, reader->err);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static size_t digits_at(const char *at, const char *end) {
  const char *start = at;
  while (at < end && *at >= '0' && *at <= '9') {
    at++;
  }
  return (size_t)(at - start);
}

/* The exponent, if one stands there: *at moves behind it. False: it is broken. */
static bool pass_exponent(const char **at, const char *end) {
  if (*at == end || (**at != 'e' && **at != 'E')) {
    return true;
  }
  const char *next = *at + 1;
  next += next < end && (*next == '-' || *next == '+');
  size_t digits = digits_at(next, end);
  *at = next + digits;
  return digits > 0;
}

bool ddb__cell_is_number(ddb_str text, bool *is_float) {
  const char *at = text.data;
  const char *end = at + text.size;
  bool negative = text.size > 0 && *at == '-';
  at += negative;
  size_t whole = digits_at(at, end);
  if (whole == 0 || (whole > 1 && *at == '0')) {
    return false;
  }
  bool zero = *at == '0';
  at += whole;
  if (at == end) {
    *is_float = false;
    return whole <= DDB__CELL_DIGITS_MAX && !(negative && zero);
  }
  *is_float = true;
  if (*at == '.') {
    size_t fraction = digits_at(at + 1, end);
    at += 1 + fraction;
    if (fraction == 0) {
      return false;
    }
  }
  return pass_exponent(&at, end) && at == end && text.size <= FLOAT_SIZE_MAX;
}

static double to_float(ddb_str text) {
  char copy[FLOAT_SIZE_MAX + 1];
  memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  return ddb__number_text_to_float(copy, text.size);
}

/* digits: [-]digits. *value: it may lie in the scratch memory. */
static ddb_status parse_int(ddb__cell_reader *reader, ddb_str digits, ddb_value *value) {
  size_t capacity = 2 + digits.size / 2;
  if (digits.size <= 18) {
    int64_t number = 0;
    bool negative = digits.data[0] == '-';
    for (size_t i = negative; i < digits.size; i++) {
      number = number * 10 + (digits.data[i] - '0');
    }
    *value = ddb_int(negative ? -number : number);
    return DDB_OK;
  }
  DDB__TRY(need_scratch(reader, capacity));
  size_t size = ddb__bigint_parse(digits, reader->scratch, capacity);
  *value = (ddb_value){.kind = DDB_BIGINT, .size = (uint32_t)size, .as = {.data = reader->scratch}};
  return DDB_OK;
}

/* digits: see parse_int. as_float: the float of that value, if there is one. */
static ddb_status append_int(ddb__cell_reader *reader, ddb_str digits, bool as_float,
                             ddb_builder *builder) {
  ddb_value value = ddb_null();
  DDB__TRY(parse_int(reader, digits, &value));
  if (as_float && digits.size <= FLOAT_SIZE_MAX) {
    const ddb_value real = ddb_float(to_float(digits));
    value = ddb__number_compare(&value, &real) == 0 ? real : value;
  }
  return ddb_builder_append(builder, &value, reader->err);
}

/* *done: something was appended. */
static ddb_status infer(ddb__cell_reader *reader, ddb_str text, ddb_builder *builder, bool *done) {
  bool is_float;
  *done = ddb__cell_is_number(text, &is_float);
  if (!*done) {
    return DDB_OK;
  }
  if (!is_float) {
    return append_int(reader, text, false, builder);
  }
  ddb_value value = ddb_float(to_float(text));
  *done = isfinite(value.as.real) != 0; /* beyond what a float can be: it meant something else */
  return *done ? ddb_builder_append(builder, &value, reader->err) : DDB_OK;
}

/* ---- Types that are asked for: true when the text is one, *value or an append is made ----- */

static bool word_is(ddb_str text, const char *word) {
  return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

static bool read_bool(ddb_str text, bool alone, ddb_value *value) {
  static const char *const words[2][3] = {{"false", "0", "no"}, {"true", "1", "yes"}};
  for (size_t i = 0; i < 2; i++) {
    for (size_t j = 0; j < (alone ? 3 : 1); j++) {
      if (word_is(text, words[i][j])) {
        *value = ddb_bool(i == 1);
        return true;
      }
    }
  }
  return false;
}

/* Leading zeros and a plus are fine here; *digits: what append_int takes, at most copied. */
static bool read_int(ddb_str text, ddb_str *digits) {
  bool negative = text.size > 0 && *text.data == '-';
  size_t sign = text.size > 0 && (negative || *text.data == '+');
  const char *at = text.data + sign;
  size_t count = digits_at(at, text.data + text.size);
  if (count == 0 || sign + count != text.size || count > DDB__CELL_DIGITS_MAX) {
    return false;
  }
  *digits = negative ? text : (ddb_str){at, count};
  return true;
}

static bool read_float(ddb_str text, double *out) {
  bool signed_ = text.size > 0 && (*text.data == '-' || *text.data == '+');
  ddb_str bare = {text.data + signed_, text.size - signed_};
  double sign = signed_ && *text.data == '-' ? -1.0 : 1.0;
  if (word_is(bare, "nan")) {
    *out = (double)NAN;
    return true;
  }
  if (word_is(bare, "inf") || word_is(bare, "infinity")) {
    *out = sign * (double)INFINITY;
    return true;
  }
  const char *at = bare.data;
  const char *end = at + bare.size;
  size_t digits = digits_at(at, end);
  at += digits;
  if (at < end && *at == '.') {
    size_t fraction = digits_at(at + 1, end);
    digits += fraction;
    at += 1 + fraction;
  }
  if (digits == 0 || !pass_exponent(&at, end) || at != end || bare.size > FLOAT_SIZE_MAX) {
    return false;
  }
  *out = sign * to_float(bare);
  return true;
}

/* A blank for the T and a Z for the offset are common. */
static bool read_datetime(ddb_str text, ddb_temporal *out) {
  char copy[DDB__TIME_TEXT_SIZE];
  if (text.size < 10 || text.size > sizeof copy - 6) {
    return false;
  }
  memcpy(copy, text.data, text.size);
  if (text.size > 10 && copy[10] == ' ') {
    copy[10] = 'T';
  }
  size_t size = text.size;
  if (copy[size - 1] == 'Z') {
    memcpy(copy + size - 1, "+00:00", sizeof "+00:00");
    size += 5;
  }
  return ddb__time_text_to_datetime((ddb_str){copy, size}, out);
}

static bool read_temporal(ddb_str text, ddb_kind kind, ddb_temporal *out) {
  bool is_one = kind == DDB_TIME ? ddb__time_text_to_time(text, out) : read_datetime(text, out);
  if (is_one) {
    out->zone_kind = out->offset_micros == DDB_OFFSET_NONE ? DDB_ZONE_NONE : DDB_ZONE_FIXED;
  }
  return is_one;
}

/* ---- JSON --------------------------------------------------------------------------------- */

static ddb_status fill(void *context, char *buffer, size_t capacity, size_t *size, ddb_error *err) {
  ddb__cell_reader *reader = context;
  (void)err;
  *size = reader->source.size < capacity ? reader->source.size : capacity;
  if (*size) {
    memcpy(buffer, reader->source.data, *size);
  }
  reader->source.data += *size;
  reader->source.size -= *size;
  return DDB_OK;
}

static ddb_status append_json(ddb__cell_reader *reader, ddb_str text, ddb_builder *builder) {
  ddb__json_reader *json = &reader->reader;
  if (!json->buffer) {
    DDB__TRY(ddb__json_reader_init(json, fill, reader, NULL, reader->err));
    reader->decoder = (ddb__json_decoder){
        .tape = &reader->tape, .reader = json, .typed = true, .err = reader->err};
  }
  ddb__json_reader_restart(json);
  reader->source = text;
  reader->tape.count = 0;
  DDB__TRY(ddb__json_next(json));
  DDB__TRY(ddb__json_tape_read(&reader->tape, json));
  DDB__TRY(ddb__json_next(json)); /* nothing but the end can follow */
  return ddb__json_decode(&reader->decoder, 0, builder);
}

/* Where the cell may be text too: apart first, since a builder that fails drops its record. */
static ddb_status try_json(ddb__cell_reader *reader, ddb_str text, uint32_t types,
                           ddb_builder *builder, bool *done) {
  if (!reader->trial) {
    DDB__TRY(ddb_builder_new(&reader->trial, reader->err));
  }
  ddb_builder_clear(reader->trial);
  ddb_status status = append_json(reader, text, reader->trial);
  *done = false;
  if (status != DDB_OK) {
    return ddb__fill_file_is_innocent(status) ? status : DDB_OK;
  }
  ddb_value value = ddb_builder_value_at(reader->trial, 0);
  *done = (types & DDB_TYPE(value.kind)) != 0;
  return *done ? ddb_builder_append(builder, &value, reader->err) : DDB_OK;
}

static bool takes_text(const ddb__cell_reader *reader, uint32_t types) {
  return (types & DDB_TYPE(DDB_STR_KIND)) || reader->lenient;
}

/* ---- A type ------------------------------------------------------------------------------- */

/* The kinds whose text has a form of its own. *done: something was appended. */
static ddb_status read_scalar(ddb__cell_reader *reader, ddb_str text, uint32_t types,
                              ddb_builder *builder, bool *done) {
  ddb_value value = ddb_null();
  ddb_str digits;
  double real;
  *done = true;
  if ((types & DDB_TYPE(DDB_BOOL)) &&
      read_bool(text, !(types & ~(DDB_TYPE(DDB_BOOL) | DDB_TYPE(DDB_NULL))), &value)) {
    return ddb_builder_append(builder, &value, reader->err);
  }
  if ((types & INT_TYPES) && read_int(text, &digits)) {
    return append_int(reader, digits, (types & DDB_TYPE(DDB_FLOAT)) != 0, builder);
  }
  if ((types & DDB_TYPE(DDB_FLOAT)) && read_float(text, &real)) {
    value = ddb_float(real);
    return ddb_builder_append(builder, &value, reader->err);
  }
  if ((types & DDB_TYPE(DDB_DECIMAL)) && ddb__decimal_valid(text)) {
    return append(reader, builder, DDB_DECIMAL, text.data, text.size);
  }
  *done = false;
  return DDB_OK;
}

static ddb_status read_other(ddb__cell_reader *reader, ddb_str text, uint32_t types,
                             ddb_builder *builder, bool *done) {
  ddb_value value = {.kind = DDB_DATE};
  ddb_temporal temporal;
  _Alignas(8) uint8_t uuid[16];
  *done = true;
  if ((types & DDB_TYPE(DDB_DATE)) && ddb__time_text_to_date(text, &value.as.integer)) {
    return ddb_builder_append(builder, &value, reader->err);
  }
  for (ddb_kind kind = DDB_DATETIME; kind <= DDB_TIME; kind++) {
    if ((types & DDB_TYPE(kind)) && read_temporal(text, kind, &temporal)) {
      return append(reader, builder, kind, &temporal, sizeof temporal);
    }
  }
  if ((types & DDB_TYPE(DDB_UUID)) && ddb__time_text_to_uuid(text, uuid)) {
    return append(reader, builder, DDB_UUID, uuid, sizeof uuid);
  }
  if ((types & JSON_TYPES) && text.size && (*text.data == '{' || *text.data == '[')) {
    return takes_text(reader, types) ? try_json(reader, text, types, builder, done)
                                     : append_json(reader, text, builder);
  }
  if (types & DDB_TYPE(DDB_BYTES)) {
    size_t size;
    DDB__TRY(need_scratch(reader, text.size / 4 * 3 + 4));
    if (ddb__base64_decode(text.data, text.size, reader->scratch, &size)) {
      return append(reader, builder, DDB_BYTES, reader->scratch, size);
    }
  }
  *done = false;
  return DDB_OK;
}

static ddb_str trimmed(ddb_str text) {
  while (text.size && (*text.data == ' ' || *text.data == '\t')) {
    text.data++;
    text.size--;
  }
  while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
    text.size--;
  }
  return text;
}

static ddb_status read_typed(ddb__cell_reader *reader, ddb_str text, uint32_t types,
                             ddb_builder *builder) {
  bool done;
  ddb_str bare = trimmed(text);
  DDB__TRY(read_scalar(reader, bare, types, builder, &done));
  if (!done) {
    DDB__TRY(read_other(reader, bare, types, builder, &done));
  }
  if (done) {
    return DDB_OK;
  }
  if (takes_text(reader, types)) {
    return append(reader, builder, DDB_STR_KIND, text.data, text.size);
  }
  return ddb__fail(reader->err, DDB_ERR_SCHEMA, "'%.*s' is not of its type", DDB__STR_ARG(text));
}

ddb_status ddb__cell_read(ddb__cell_reader *reader, ddb_str text, bool quoted, uint32_t types,
                          ddb_builder *builder) {
  bool text_wanted = (types & DDB_TYPE(DDB_STR_KIND)) != 0;
  bool null_wanted = types == 0 || (types & DDB_TYPE(DDB_NULL)) || !text_wanted;
  if (!quoted && null_wanted && ddb__text_equal(text, reader->null_text)) {
    ddb_value null = ddb_null();
    return ddb_builder_append(builder, &null, reader->err);
  }
  if (types && !(quoted && text_wanted)) {
    return read_typed(reader, text, types, builder);
  }
  bool done = false;
  if (!types && !quoted && reader->infer) {
    DDB__TRY(infer(reader, text, builder, &done));
  }
  return done ? DDB_OK : append(reader, builder, DDB_STR_KIND, text.data, text.size);
}
