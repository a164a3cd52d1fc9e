/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json.c - a libFuzzer target: any bytes as JSON text.
 *
 * Checked for every input, in pieces of every size that the first byte asks for:
 *   - no crash, no leak; the answer is a value or an error with a place inside the input
 *   - a value that was read is written, read again, and is identical; and written again to the same
 *     bytes
 *   - work is bounded: tokens, values and bytes written grow no faster than the input
 */
#include <stdlib.h>

#include "dictdb.h"
#include "io/json_decode.h"
#include "io/json_read.h"
#include "io/json_tape.h"
#include "io/json_write.h"
#include "store/value.h"

#define INPUT_SIZE_MAX 65536
/* Bytes written per byte read, at most: spaces after ',' and ':', "1e9" as "1000000000.0". */
#define GROWTH_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held) {
  if (!held) {
    abort();
  }
}

typedef struct source {
  const char *data;
  size_t size;
  size_t at;
  size_t piece;
  size_t fills; /* the work counter */
} source;

static ddb_status fill(void *context, char *buffer, size_t capacity, size_t *size, ddb_error *err) {
  source *from = context;
  (void)err;
  size_t count = from->size - from->at;
  count = count < from->piece ? count : from->piece;
  count = count < capacity ? count : capacity;
  memcpy(buffer, from->data + from->at, count);
  from->at += count;
  *size = count;
  require(++from->fills <= from->size + 1);
  return DDB_OK;
}

typedef struct sink {
  char *data;
  size_t size;
  size_t capacity;
} sink;

static ddb_status flush(void *context, const char *data, size_t size, ddb_error *err) {
  sink *to = context;
  (void)err;
  require(to->size + size <= to->capacity);
  memcpy(to->data + to->size, data, size);
  to->size += size;
  return DDB_OK;
}

static ddb_status read_value(source *from, ddb_builder *builder, ddb_error *err) {
  ddb__json_reader reader;
  ddb__json_tape tape = {0};
  ddb__json_decoder decoder = {.tape = &tape, .reader = &reader, .typed = true, .err = err};
  ddb_status status = ddb__json_reader_init(&reader, fill, from, NULL, err);
  if (status == DDB_OK) {
    status = ddb__json_next(&reader);
  }
  if (status == DDB_OK) {
    status = ddb__json_tape_read(&tape, &reader);
  }
  if (status == DDB_OK) {
    status = ddb__json_next(&reader);
  }
  require(tape.count <= from->size && reader.text_size <= from->size + 1);
  if (status == DDB_OK) {
    require(reader.token == DDB__JSON_END);
    status = ddb__json_decode(&decoder, 0, builder);
  }
  ddb__json_decoder_fini(&decoder);
  ddb__json_tape_fini(&tape);
  ddb__json_reader_fini(&reader);
  return status;
}

static void write_value(const ddb_value *value, sink *to) {
  ddb__json_writer writer;
  to->size = 0;
  if (ddb__json_writer_init(&writer, flush, to, NULL) == DDB_OK) {
    require(ddb__json_write_value(&writer, value) == DDB_OK);
    require(ddb__json_writer_flush(&writer) == DDB_OK);
  }
  ddb__json_writer_fini(&writer);
}

/* What was read survives being written, and its text is stable. */
static void check_there_and_back(const ddb_value *value, ddb_builder *again, sink *one, sink *two) {
  ddb_error err = {0};
  write_value(value, one);
  source from = {one->data, one->size, 0, one->size, 0};
  require(read_value(&from, again, &err) == DDB_OK);
  ddb_value back = ddb_builder_value_at(again, 0);
  require(ddb__value_identical(value, &back));
  write_value(&back, two);
  require(one->size == two->size && memcmp(one->data, two->data, one->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > INPUT_SIZE_MAX) {
    return 0;
  }
  source from = {(const char *)data + 1, size - 1, 0, 1 + (size_t)data[0] * 16, 0};
  size_t capacity = GROWTH_MAX * size + 256;
  sink one = {malloc(capacity), 0, capacity};
  sink two = {malloc(capacity), 0, capacity};
  ddb_builder *builder = NULL;
  ddb_builder *again = NULL;
  require(one.data && two.data);
  require(ddb_builder_new(&builder, NULL) == DDB_OK);
  require(ddb_builder_new(&again, NULL) == DDB_OK);
  ddb_error err = {0};
  ddb_status status = read_value(&from, builder, &err);
  if (status == DDB_OK) {
    ddb_value value = ddb_builder_value_at(builder, 0);
    check_there_and_back(&value, again, &one, &two);
  } else {
    require(err.status == status && err.message[0] && err.offset <= size);
  }
  ddb_builder_free(builder);
  ddb_builder_free(again);
  free(one.data);
  free(two.data);
  return 0;
}
