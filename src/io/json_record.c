/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_record.c - see json_record.h.
 *
 * Invariants
 *   1. A record with a field that no key of an object can name is written as pairs, like any dict.
 *   2. In: the shape is asked for again only when the names change.
 */
#include "io/json_record.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/scan.h"
#include "io/try.h"
#include "store/record.h"
#include "store/shape.h"
#include "store/text.h"

#define QUICK_NAME_SIZE_MAX 1024

/* ---- Out ---------------------------------------------------------------------------------- */

static void look_at_shape(ddb__json_names *names, const ddb_shape *shape) {
  *names = (ddb__json_names){shape->id, true, true};
  for (uint32_t i = 0; i < shape->count; i++) {
    ddb_str name = shape->names[i];
    names->are_plain &= ddb__json_key_is_plain(name);
    names->are_quick &=
        name.size <= QUICK_NAME_SIZE_MAX && ddb__scan_plain(name.data, name.size) == name.size;
  }
}

/* ", " or "{", then "name": without a look at its characters. */
static inline ddb_status write_quick_name(ddb__json_writer *writer, ddb_str name, bool first) {
  DDB__TRY(ddb__json_room(writer, name.size + 6));
  char *out = writer->buffer + writer->used;
  if (first) {
    *out++ = '{';
  } else {
    *out++ = ',';
    *out++ = ' ';
  }
  *out++ = '"';
  if (name.size) {
    memcpy(out, name.data, name.size);
    out += name.size;
  }
  *out++ = '"';
  *out++ = ':';
  *out++ = ' ';
  writer->used = (size_t)(out - writer->buffer);
  return DDB_OK;
}

static ddb_status write_pair(ddb__json_writer *writer, ddb_str name, const ddb_value *value,
                             bool first) {
  ddb_value text = ddb_text(name);
  DDB__TRY(ddb__json_write_text(writer, first ? "{\"$type\": \"dict\", \"value\": [[" : ", ["));
  DDB__TRY(ddb__json_write_value(writer, &text));
  DDB__TRY(ddb__json_write_text(writer, ", "));
  DDB__TRY(ddb__json_write_value(writer, value));
  return ddb__json_write_text(writer, "]");
}

ddb_status ddb__json_write_member(ddb__json_writer *writer, ddb_str name, const ddb_value *value,
                                  bool first, bool pairs) {
  if (pairs) {
    return write_pair(writer, name, value, first);
  }
  DDB__TRY(ddb__json_write_text(writer, first ? "{" : ", "));
  DDB__TRY(ddb__json_write_string(writer, name));
  DDB__TRY(ddb__json_write_text(writer, ": "));
  return ddb__json_write_value(writer, value);
}

ddb_status ddb__json_write_members_end(ddb__json_writer *writer, bool pairs) {
  return ddb__json_write_text(writer, pairs ? "]}" : "}");
}

ddb_status ddb__json_write_record(ddb__json_writer *writer, ddb__json_names *names,
                                  const ddb_record *record) {
  if (record->shape->id != names->shape_id) {
    look_at_shape(names, record->shape);
  }
  const ddb_shape *shape = record->shape;
  for (uint32_t i = 0; i < shape->count; i++) {
    ddb_value value = ddb__record_at(record, i);
    if (names->are_plain && names->are_quick) {
      DDB__TRY(write_quick_name(writer, shape->names[i], i == 0));
      DDB__TRY(ddb__json_write_value(writer, &value));
    } else {
      DDB__TRY(ddb__json_write_member(writer, shape->names[i], &value, i == 0, !names->are_plain));
    }
  }
  return ddb__json_write_members_end(writer, !names->are_plain);
}

/* ---- In ----------------------------------------------------------------------------------- */

void ddb__json_maker_fini(ddb__json_maker *maker) {
  ddb__free(&ddb__heap_process, maker->names, maker->capacity * sizeof *maker->names);
  ddb__free(&ddb__heap_process, maker->values, maker->capacity * sizeof *maker->values);
  maker->names = NULL;
  maker->values = NULL;
  maker->capacity = 0;
}

static ddb_status need_fields(ddb__json_maker *maker, size_t count) {
  if (count <= maker->capacity) {
    return DDB_OK;
  }
  size_t capacity = maker->capacity ? maker->capacity : 32;
  while (capacity < count) {
    capacity *= 2;
  }
  ddb__json_maker_fini(maker);
  maker->capacity = capacity;
  maker->names = ddb__alloc(&ddb__heap_process, capacity * sizeof *maker->names);
  maker->values = ddb__alloc(&ddb__heap_process, capacity * sizeof *maker->values);
  if (maker->names && maker->values) {
    return DDB_OK;
  }
  ddb__json_maker_fini(maker);
  return ddb__fail_memory(maker->decoder->err, capacity * sizeof *maker->names);
}

/* The status is spelled out so that a compiler sees that it is not OK. */
#define CORRUPT(maker, problem)                                                                    \
  ((void)ddb__fail((maker)->decoder->err, DDB_ERR_CORRUPT, problem), (ddb_status)DDB_ERR_CORRUPT)

static ddb_status find_shape(ddb__json_maker *maker, size_t count) {
  const ddb_shape *shape;
  DDB__TRY(ddb_table_shape(maker->fill->table, DDB_SHAPE_RECORD, maker->names, count, &shape,
                           maker->decoder->err));
  if (maker->complete && shape->auto_key) {
    return CORRUPT(maker, "the primary key is missing");
  }
  if (maker->complete && shape->input_count != shape->count) {
    return CORRUPT(maker, "fields of the schema are missing");
  }
  maker->shape = shape;
  return DDB_OK;
}

static ddb_status blame_field(const ddb__json_maker *maker, ddb_status status, ddb_str name) {
  ddb_error *err = maker->decoder->err;
  if (err && !ddb__fill_file_is_innocent(status)) {
    ddb_error cause = *err;
    (void)ddb__fail(err, status, "field '%.*s': %s", DDB__STR_ARG(name), cause.message);
    ddb__error_text(err->field, sizeof err->field, name);
    err->offset = cause.offset;
  }
  return status;
}

ddb_status ddb__json_make(ddb__json_maker *maker, size_t index) {
  ddb__json_decoder *decoder = maker->decoder;
  ddb_builder *batch = maker->fill->batch;
  ddb__json_entries entries;
  DDB__TRY(ddb__json_decode_entries(decoder, index, &entries));
  size_t count = entries.count;
  DDB__TRY(need_fields(maker, count));
  const ddb_shape *shape = maker->shape;
  bool same = shape && shape->input_count == count;
  for (size_t i = 0; i < count; i++) {
    DDB__TRY(ddb__json_decode_entry(decoder, &entries, &maker->names[i], &maker->values[i]));
    same = same && ddb__text_equal(maker->names[i], shape->names[i]);
  }
  if (!same) {
    DDB__TRY(find_shape(maker, count));
  }
  DDB__TRY(ddb_builder_record_begin(batch, maker->shape, maker->validate, decoder->err));
  for (size_t i = 0; i < count; i++) {
    ddb_status status = ddb__json_decode(decoder, maker->values[i], batch);
    if (status != DDB_OK) {
      return blame_field(maker, status, maker->names[i]);
    }
  }
  return ddb_builder_end(batch, decoder->err);
}
