/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read.c - the tokenizer.
 *
 * Why our own: of the C libraries in Debian 12, Jansson, cJSON, json-c, parson and JSON-GLib build
 * the whole tree of a file and hold integers as int64 or double; YAJL streams, but has had no
 * release since 2014 and loses lone surrogates. A backup must come back exactly, however large.
 *
 *   input --fill--> buffer [ consumed | at ... end )         64 KiB, moved down before each fill
 *   text:  [ texts of tokens that the user still needs ... )
 *
 * Invariants
 *   1. at <= end; buffer[0] is byte `base` of the input; bytes before `summed` are in the checksum,
 *      and summed <= at: what is not consumed is not summed.
 *   2. in_object[0 .. depth) is what is open; no function calls itself: deep input costs no stack.
 *   3. Memory: the buffer, and texts that the input has already delivered, at most doubled.
 * Ownership: buffer and text. Locks: none.
 * Cost: a few cycles per byte; one branch per byte outside of strings.
 */
#include "io/json_read.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/heap.h"
#include "base/status.h"
#include "io/number_text.h"
#include "io/scan.h"
#include "io/try.h"
#include "io/utf8.h"

enum expect {
  EXPECT_VALUE,
  EXPECT_VALUE_OR_CLOSE, /* right after '[' */
  EXPECT_KEY_OR_CLOSE,   /* right after '{' */
  EXPECT_COMMA_OR_CLOSE,
  EXPECT_END
};

#define AT_END           (-1)
#define NUMBER_LOOKAHEAD 40 /* nearly all numbers are shorter */

/* ---- Errors ------------------------------------------------------------------------------- */

ddb_status ddb__json_fail(const ddb__json_reader *reader, uint64_t offset, const char *format,
                          ...) {
  char text[300];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  ddb_status status =
      ddb__fail(reader->err, DDB_ERR_CORRUPT, "%s (byte %llu)", text, (unsigned long long)offset);
  if (reader->err) {
    reader->err->offset = offset;
  }
  return status;
}

/* The input has ended: at reader->end. */
static ddb_status fail_truncated(const ddb__json_reader *reader) {
  uint64_t offset = reader->base + (uint64_t)(reader->end - reader->buffer);
  return ddb__json_fail(reader, offset, "the file is cut off");
}

static ddb_status fail_character(const ddb__json_reader *reader, const char *expected) {
  uint64_t offset = ddb__json_reader_offset(reader);
  unsigned byte = (uint8_t)*reader->at;
  if (byte > 0x20 && byte < 0x7f) {
    return ddb__json_fail(reader, offset, "expected %s, found '%c'", expected, (char)byte);
  }
  return ddb__json_fail(reader, offset, "expected %s, found byte 0x%02x", expected, byte);
}

/* ---- Input -------------------------------------------------------------------------------- */

void ddb__json_reader_sum(ddb__json_reader *reader) {
  if (reader->checksum) {
    ddb__checksum_add(reader->checksum, reader->summed, (size_t)(reader->at - reader->summed));
  }
  reader->summed = reader->at;
}

static ddb_status refill(ddb__json_reader *reader) {
  ddb__json_reader_sum(reader);
  size_t left = (size_t)(reader->end - reader->at);
  memmove(reader->buffer, reader->at, left);
  reader->base += (uint64_t)(reader->at - reader->buffer);
  reader->at = reader->summed = reader->buffer;
  reader->end = reader->buffer + left;
  size_t size = 0;
  DDB__TRY(reader->fill(reader->context, reader->buffer + left, DDB__JSON_READ_SIZE - left, &size,
                        reader->err));
  reader->ended = size == 0;
  reader->end += size;
  return DDB_OK;
}

/* Makes `size` bytes (a few) available at reader->at, fewer only at the end of the input. */
static inline ddb_status want(ddb__json_reader *reader, size_t size) {
  while ((size_t)(reader->end - reader->at) < size && !reader->ended) {
    DDB__TRY(refill(reader));
  }
  return DDB_OK;
}

/* *next: the byte that stands at reader->at, or AT_END. */
static inline ddb_status skip_space(ddb__json_reader *reader, int *next) {
  for (;;) {
    while (reader->at < reader->end) {
      uint8_t byte = (uint8_t)*reader->at;
      if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') {
        *next = byte;
        return DDB_OK;
      }
      reader->at++;
    }
    if (reader->ended) {
      *next = AT_END;
      return DDB_OK;
    }
    DDB__TRY(refill(reader));
  }
}

void ddb__json_reader_move(ddb__json_reader *reader, uint64_t offset, bool before_value) {
  reader->base = offset;
  reader->at = reader->end = reader->summed = reader->buffer;
  reader->ended = false;
  reader->expect = before_value ? EXPECT_VALUE : EXPECT_COMMA_OR_CLOSE;
}

void ddb__json_reader_restart(ddb__json_reader *reader) {
  ddb__json_reader_move(reader, 0, true);
  reader->depth = 0;
  reader->text_size = 0;
}

/* ---- Texts -------------------------------------------------------------------------------- */

static ddb_status grow_text(ddb__json_reader *reader, size_t size) {
  size_t needed = reader->text_size + size;
  if (needed > DDB_RECORD_SIZE_MAX) {
    return ddb__json_fail(reader, reader->token_offset, "a record of more than 2 GiB");
  }
  char *text =
      ddb__room(&ddb__heap_process, reader->text, &reader->text_capacity, needed, 1, reader->err);
  if (!text) {
    return DDB_ERR_NOMEM;
  }
  reader->text = text;
  return DDB_OK;
}

static inline ddb_status reserve_text(ddb__json_reader *reader, size_t size) {
  return reader->text_capacity - reader->text_size >= size ? DDB_OK : grow_text(reader, size);
}

static inline ddb_status append_text(ddb__json_reader *reader, const char *data, size_t size) {
  DDB__TRY(reserve_text(reader, size));
  if (size) {
    memcpy(reader->text + reader->text_size, data, size);
    reader->text_size += size;
  }
  return DDB_OK;
}

/* ---- Life --------------------------------------------------------------------------------- */

ddb_status ddb__json_reader_init(ddb__json_reader *reader, ddb__json_fill fill, void *context,
                                 ddb__checksum *checksum, ddb_error *err) {
  memset(reader, 0, sizeof *reader);
  reader->fill = fill;
  reader->context = context;
  reader->checksum = checksum;
  reader->err = err;
  reader->buffer = ddb__alloc(&ddb__heap_process, DDB__JSON_READ_SIZE);
  if (!reader->buffer) {
    return ddb__fail_memory(err, DDB__JSON_READ_SIZE);
  }
  reader->at = reader->end = reader->summed = reader->buffer;
  return grow_text(reader, 1); /* so that the text of an empty string has an address */
}

void ddb__json_reader_fini(ddb__json_reader *reader) {
  ddb__free(&ddb__heap_process, reader->buffer, DDB__JSON_READ_SIZE);
  ddb__free(&ddb__heap_process, reader->text, reader->text_capacity);
  reader->buffer = NULL;
  reader->text = NULL;
}

/* ---- Strings ------------------------------------------------------------------------------ */

static bool hex_value(char digit, uint32_t *value) {
  if (digit >= '0' && digit <= '9') {
    *value = (uint32_t)(digit - '0');
    return true;
  }
  char lower = (char)(digit | 0x20);
  *value = (uint32_t)(lower - 'a') + 10;
  return lower >= 'a' && lower <= 'f';
}

/* The four digits of a \u escape, which begin at `at`. */
static bool hex_unit(const char *at, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t digit;
    if (!hex_value(at[i], &digit)) {
      return false;
    }
    *unit = *unit << 4 | digit;
  }
  return true;
}

/* reader->at is behind "\u". A high and a low surrogate in a row make one character. */
static ddb_status read_unicode_escape(ddb__json_reader *reader) {
  uint32_t code;
  DDB__TRY(want(reader, 10));
  size_t left = (size_t)(reader->end - reader->at);
  if (left < 4) {
    return fail_truncated(reader);
  }
  if (!hex_unit(reader->at, &code)) {
    return fail_character(reader, "four hexadecimal digits after \\u");
  }
  reader->at += 4;
  uint32_t low;
  if (code >= 0xd800 && code < 0xdc00 && left >= 10 && reader->at[0] == '\\' &&
      reader->at[1] == 'u' && hex_unit(reader->at + 2, &low) && low >= 0xdc00 && low < 0xe000) {
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    reader->at += 6;
  }
  DDB__TRY(reserve_text(reader, 4));
  reader->text_size += ddb__utf8_put(code, reader->text + reader->text_size);
  return DDB_OK;
}

/* reader->at is at the backslash. */
static ddb_status read_escape(ddb__json_reader *reader) {
  static const char from[] = "\"\\/bfnrt";
  static const char to[] = "\"\\/\b\f\n\r\t";
  DDB__TRY(want(reader, 2));
  if (reader->end - reader->at < 2) {
    return fail_truncated(reader);
  }
  reader->at++;
  char letter = *reader->at;
  if (letter == 'u') {
    reader->at++;
    return read_unicode_escape(reader);
  }
  const char *found = letter ? strchr(from, letter) : NULL;
  if (!found) {
    return fail_character(reader, "an escape sequence");
  }
  reader->at++;
  return append_text(reader, &to[found - from], 1);
}

/* reader->at is at a byte above 0x7f. */
static ddb_status read_code_point(ddb__json_reader *reader) {
  DDB__TRY(want(reader, 4));
  const uint8_t *bytes = (const uint8_t *)reader->at;
  size_t size = ddb__utf8_size(bytes, (size_t)(reader->end - reader->at));
  if (size == 0 || ddb__utf8_is_surrogate(bytes)) {
    return ddb__json_fail(reader, ddb__json_reader_offset(reader), "a string is not UTF-8");
  }
  DDB__TRY(append_text(reader, reader->at, size));
  reader->at += size;
  return DDB_OK;
}

/* reader->at is at the opening quote. */
static ddb_status read_string(ddb__json_reader *reader) {
  reader->at++;
  reader->token_text = reader->text_size;
  for (;;) {
    size_t run = ddb__scan_plain(reader->at, (size_t)(reader->end - reader->at));
    DDB__TRY(append_text(reader, reader->at, run));
    reader->at += run;
    if (reader->at == reader->end) {
      if (reader->ended) {
        return fail_truncated(reader);
      }
      DDB__TRY(refill(reader));
      continue;
    }
    uint8_t byte = (uint8_t)*reader->at;
    if (byte == '"') {
      reader->at++;
      reader->token_size = reader->text_size - reader->token_text;
      return DDB_OK;
    }
    if (byte < 0x20) {
      return fail_character(reader, "a character or an escape sequence");
    }
    DDB__TRY(byte == '\\' ? read_escape(reader) : read_code_point(reader));
  }
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static inline bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

static inline bool is_number_character(char character) {
  return is_digit(character) || character == '-' || character == '+' || character == '.' ||
         character == 'e' || character == 'E';
}

static const char *skip_digits(const char *at, const char *end) {
  while (at < end && is_digit(*at)) {
    at++;
  }
  return at;
}

/* Does all of it follow JSON's grammar of numbers? */
static bool number_is_valid(const char *at, const char *end, bool *is_float) {
  *is_float = false;
  at += at < end && *at == '-';
  const char *digits = at;
  at = skip_digits(at, end);
  if (at == digits || (*digits == '0' && at - digits > 1)) {
    return false;
  }
  if (at < end && *at == '.') {
    *is_float = true;
    digits = ++at;
    at = skip_digits(at, end);
    if (at == digits) {
      return false;
    }
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    *is_float = true;
    at++;
    at += at < end && (*at == '+' || *at == '-');
    digits = at;
    at = skip_digits(at, end);
    if (at == digits) {
      return false;
    }
  }
  return at == end;
}

/* True: *number is the integer; it may well be outside int64 otherwise. */
static bool fits_int64(const char *at, const char *end, int64_t *number) {
  bool negative = *at == '-';
  at += negative;
  uint64_t magnitude = 0;
  for (; at < end; at++) {
    uint64_t digit = (uint64_t)(*at - '0');
    if (magnitude > (UINT64_MAX - digit) / 10) {
      return false;
    }
    magnitude = magnitude * 10 + digit;
  }
  uint64_t limit = (uint64_t)INT64_MAX + negative;
  *number = (int64_t)(negative ? UINT64_C(0) - magnitude : magnitude);
  return magnitude <= limit;
}

/* The number's text stands at the end of reader->text. */
static ddb_status take_number_text(ddb__json_reader *reader) {
  const char *start = reader->text + reader->token_text;
  const char *end = reader->text + reader->text_size;
  bool is_float;
  if (!number_is_valid(start, end, &is_float)) {
    return ddb__json_fail(reader, reader->token_offset, "'%.*s' is not a number",
                          (int)(end - start > 40 ? 40 : end - start), start);
  }
  reader->token_size = (size_t)(end - start);
  if (!is_float && !fits_int64(start, end, &reader->as.integer)) {
    reader->token = DDB__JSON_BIGINT;
    return DDB_OK;
  }
  if (is_float) {
    DDB__TRY(append_text(reader, "", 1));
    reader->as.real =
        ddb__number_text_to_float(reader->text + reader->token_text, reader->token_size);
  }
  reader->token = is_float ? DDB__JSON_FLOAT : DDB__JSON_INT;
  reader->text_size = reader->token_text;
  return DDB_OK;
}

/* The general way: any length, across fills. */
static ddb_status read_any_number(ddb__json_reader *reader) {
  reader->token_text = reader->text_size;
  for (;;) {
    const char *at = reader->at;
    while (at < reader->end && is_number_character(*at)) {
      at++;
    }
    DDB__TRY(append_text(reader, reader->at, (size_t)(at - reader->at)));
    reader->at = at;
    if (at < reader->end || reader->ended) {
      return take_number_text(reader);
    }
    DDB__TRY(refill(reader));
  }
}

/* Up to 18 digits and nothing after them: no copy. */
static inline bool read_short_int(ddb__json_reader *reader) {
  const char *at = reader->at;
  bool negative = *at == '-';
  at += negative;
  const char *digits = at;
  const char *limit = reader->end - at > 18 ? at + 18 : reader->end;
  int64_t number = 0;
  while (at < limit && is_digit(*at)) {
    number = number * 10 + (*at - '0');
    at++;
  }
  if (at == digits || at == reader->end || is_number_character(*at) ||
      (*digits == '0' && at - digits > 1)) {
    return false;
  }
  reader->token = DDB__JSON_INT;
  reader->as.integer = negative ? -number : number;
  reader->at = at;
  return true;
}

static ddb_status read_literal(ddb__json_reader *reader, const char *text, ddb__json_token token) {
  size_t size = strlen(text);
  DDB__TRY(want(reader, size));
  for (size_t i = 0; i < size; i++) {
    if (reader->at == reader->end) {
      return fail_truncated(reader);
    }
    if (*reader->at != text[i]) {
      return fail_character(reader, text);
    }
    reader->at++;
  }
  reader->token = token;
  return DDB_OK;
}

static ddb_status read_float_literal(ddb__json_reader *reader, const char *text, double real) {
  reader->as.real = real;
  return read_literal(reader, text, DDB__JSON_FLOAT);
}

static ddb_status read_number(ddb__json_reader *reader) {
  DDB__TRY(want(reader, NUMBER_LOOKAHEAD));
  if (read_short_int(reader)) {
    return DDB_OK;
  }
  if (reader->end - reader->at > 1 && reader->at[0] == '-' && reader->at[1] == 'I') {
    return read_float_literal(reader, "-Infinity", -(double)INFINITY);
  }
  return read_any_number(reader);
}

/* ---- Grammar ------------------------------------------------------------------------------ */

static ddb_status open_container(ddb__json_reader *reader, bool object) {
  if (reader->depth == DDB__JSON_DEPTH_MAX) {
    return ddb__json_fail(reader, reader->token_offset, "nested deeper than %d",
                          DDB__JSON_DEPTH_MAX);
  }
  reader->at++;
  reader->in_object[reader->depth++] = object;
  reader->token = object ? DDB__JSON_OBJECT : DDB__JSON_ARRAY;
  reader->expect = object ? EXPECT_KEY_OR_CLOSE : EXPECT_VALUE_OR_CLOSE;
  return DDB_OK;
}

static inline void after_value(ddb__json_reader *reader) {
  reader->expect = reader->depth ? EXPECT_COMMA_OR_CLOSE : EXPECT_END;
}

static void close_container(ddb__json_reader *reader) {
  reader->at++;
  bool object = reader->in_object[--reader->depth];
  reader->token = object ? DDB__JSON_OBJECT_END : DDB__JSON_ARRAY_END;
  after_value(reader);
}

static ddb_status read_scalar(ddb__json_reader *reader, int next) {
  switch (next) {
  case '"':
    reader->token = DDB__JSON_STRING;
    return read_string(reader);
  case 't':
    reader->as.boolean = true;
    return read_literal(reader, "true", DDB__JSON_BOOL);
  case 'f':
    reader->as.boolean = false;
    return read_literal(reader, "false", DDB__JSON_BOOL);
  case 'n':
    return read_literal(reader, "null", DDB__JSON_NULL);
  case 'N':
    return read_float_literal(reader, "NaN", (double)NAN);
  case 'I':
    return read_float_literal(reader, "Infinity", (double)INFINITY);
  default:
    if (next == '-' || (next >= '0' && next <= '9')) {
      return read_number(reader);
    }
    return fail_character(reader, "a value");
  }
}

static ddb_status read_value(ddb__json_reader *reader, int next) {
  if (next == AT_END) {
    return fail_truncated(reader);
  }
  reader->token_offset = ddb__json_reader_offset(reader);
  if (next == '{' || next == '[') {
    return open_container(reader, next == '{');
  }
  DDB__TRY(read_scalar(reader, next));
  after_value(reader);
  return DDB_OK;
}

static ddb_status read_key(ddb__json_reader *reader, int next) {
  if (next == AT_END) {
    return fail_truncated(reader);
  }
  if (next != '"') {
    return fail_character(reader, "a key");
  }
  reader->token_offset = ddb__json_reader_offset(reader);
  reader->token = DDB__JSON_KEY;
  DDB__TRY(read_string(reader));
  DDB__TRY(skip_space(reader, &next));
  if (next != ':') {
    return next == AT_END ? fail_truncated(reader) : fail_character(reader, "':'");
  }
  reader->at++;
  reader->expect = EXPECT_VALUE;
  return DDB_OK;
}

static ddb_status read_after_value(ddb__json_reader *reader, int next) {
  bool object = reader->in_object[reader->depth - 1];
  if (next == (object ? '}' : ']')) {
    close_container(reader);
    return DDB_OK;
  }
  if (next == AT_END) {
    return fail_truncated(reader);
  }
  if (next != ',') {
    return fail_character(reader, object ? "',' or '}'" : "',' or ']'");
  }
  reader->at++;
  DDB__TRY(skip_space(reader, &next));
  return object ? read_key(reader, next) : read_value(reader, next);
}

ddb_status ddb__json_next(ddb__json_reader *reader) {
  int next;
  DDB__TRY(skip_space(reader, &next));
  reader->token_offset = ddb__json_reader_offset(reader);
  switch ((enum expect)reader->expect) {
  case EXPECT_COMMA_OR_CLOSE:
    return read_after_value(reader, next);
  case EXPECT_VALUE_OR_CLOSE:
  case EXPECT_KEY_OR_CLOSE:
    if (next == (reader->in_object[reader->depth - 1] ? '}' : ']')) {
      close_container(reader);
      return DDB_OK;
    }
    return reader->expect == EXPECT_KEY_OR_CLOSE ? read_key(reader, next)
                                                 : read_value(reader, next);
  case EXPECT_END:
    if (next != AT_END) {
      return fail_character(reader, "the end of the file");
    }
    reader->token = DDB__JSON_END;
    return DDB_OK;
  case EXPECT_VALUE:
    break;
  }
  return read_value(reader, next);
}

ddb_status ddb__json_skip(ddb__json_reader *reader) {
  size_t text_size = reader->text_size;
  if (reader->token != DDB__JSON_OBJECT && reader->token != DDB__JSON_ARRAY) {
    return DDB_OK;
  }
  uint32_t outside = reader->depth - 1;
  while (reader->depth > outside) {
    DDB__TRY(ddb__json_next(reader));
    reader->text_size = text_size;
  }
  return DDB_OK;
}

ddb_status ddb__json_next_line(ddb__json_reader *reader, bool *found, uint64_t *lines) {
  uint64_t before = *lines;
  bool first = reader->expect == EXPECT_VALUE; /* nothing has been read yet */
  for (;;) {
    DDB__TRY(want(reader, 1));
    if (reader->at == reader->end) {
      *found = false;
      return DDB_OK;
    }
    char byte = *reader->at;
    if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') {
      break;
    }
    *lines += byte == '\n';
    reader->at++;
  }
  if (!first && *lines == before) {
    return fail_character(reader, "the end of the line");
  }
  reader->expect = EXPECT_VALUE;
  *found = true;
  return ddb__json_next(reader);
}
