/* SPDX-License-Identifier: Apache-2.0 */
/* json_support.c - see json_support.h. */
#include "json_support.h"

#include "io/json_decode.h"
#include "io/json_tape.h"
#include "io/json_write.h"

ddb_status json_fill(void *context, char *buffer, size_t capacity, size_t *size, ddb_error *err) {
  json_source *from = context;
  (void)err;
  size_t count = from->size - from->at;
  count = count > capacity ? capacity : count;
  count = from->piece && count > from->piece ? from->piece : count;
  memcpy(buffer, from->data + from->at, count);
  from->at += count;
  *size = count;
  return DDB_OK;
}

ddb_status json_flush(void *context, const char *data, size_t size, ddb_error *err) {
  json_sink *to = context;
  (void)err;
  if (to->size + size > to->capacity) {
    to->capacity = (to->size + size) * 2;
    to->data = realloc(to->data, to->capacity);
    assert_non_null(to->data);
  }
  memcpy(to->data + to->size, data, size);
  to->size += size;
  return DDB_OK;
}

ddb_status json_decode(const char *data, size_t size, size_t piece, bool typed,
                       ddb_builder *builder, ddb_error *err) {
  json_source from = {data, size, 0, piece};
  ddb__json_reader reader;
  ddb__json_tape tape = {0};
  ddb_status status = ddb__json_reader_init(&reader, json_fill, &from, NULL, err);
  ddb__json_decoder decoder = {.tape = &tape, .reader = &reader, .typed = typed, .err = err};
  if (status == DDB_OK) {
    status = ddb__json_next(&reader);
  }
  if (status == DDB_OK) {
    status = ddb__json_tape_read(&tape, &reader);
  }
  if (status == DDB_OK) {
    status = ddb__json_next(&reader);
    assert_true(status != DDB_OK || reader.token == DDB__JSON_END);
  }
  ddb_builder_clear(builder);
  if (status == DDB_OK) {
    status = ddb__json_decode(&decoder, 0, builder);
  }
  if (status != DDB_OK) {
    ddb_builder_cancel(builder);
  }
  ddb__json_decoder_fini(&decoder);
  ddb__json_tape_fini(&tape);
  ddb__json_reader_fini(&reader);
  return status;
}

ddb_status json_encode(const ddb_value *value, json_sink *to) {
  ddb__json_writer writer;
  to->size = 0;
  ddb_status status = ddb__json_writer_init(&writer, json_flush, to, NULL);
  if (status == DDB_OK) {
    status = ddb__json_write_value(&writer, value);
  }
  if (status == DDB_OK) {
    status = ddb__json_writer_flush(&writer);
  }
  ddb__json_writer_fini(&writer);
  return status;
}

ddb_builder *json_builder(void) {
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  return builder;
}
