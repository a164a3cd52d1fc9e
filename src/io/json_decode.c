/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_decode.c - one function per "$type", and plain JSON.
 *
 * Invariants
 *   1. Only what json_write.c could have written is taken: a wrong member, a missing one, a text
 *      that has another form, a key given twice are all DDB_ERR_CORRUPT.
 *   2. Recursion is as deep as the tape, which the reader holds to DDB__JSON_DEPTH_MAX.
 *   3. Work is linear in the input, but for integers in decimal digits (quadratic, and therefore
 *      bounded: longer ones are written in hexadecimal).
 * Ownership: the scratch memory. Locks: none.
 */
#include "io/json_decode.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/base64.h"
#include "io/time_text.h"
#include "io/try.h"
#include "store/hash.h"
#include "store/number.h"
#include "store/text.h"

#define DIGITS_MAX    100000
#define QUADRATIC_MAX 8 /* that many keys are compared with each other, more are hashed */

/* The status is spelled out so that a compiler sees that it is not OK. */
#define CORRUPT(decoder, ...)                                                                      \
  ((void)ddb__fail((decoder)->err, DDB_ERR_CORRUPT, __VA_ARGS__), (ddb_status)DDB_ERR_CORRUPT)

void ddb__json_decoder_fini(ddb__json_decoder *decoder) {
  ddb__free(&ddb__heap_process, decoder->scratch, decoder->scratch_size);
  decoder->scratch = NULL;
  decoder->scratch_size = 0;
}

static ddb_status need_scratch(ddb__json_decoder *decoder, size_t size) {
  if (size <= decoder->scratch_size) {
    return DDB_OK;
  }
  size_t rounded = (size + 4095) & ~(size_t)4095;
  ddb__json_decoder_fini(decoder);
  decoder->scratch = ddb__alloc(&ddb__heap_process, rounded);
  if (!decoder->scratch) {
    return ddb__fail_memory(decoder->err, rounded);
  }
  decoder->scratch_size = rounded;
  return DDB_OK;
}

static const ddb__json_node *node_at(const ddb__json_decoder *decoder, size_t index) {
  return &decoder->tape->nodes[index];
}

static ddb_status append(ddb__json_decoder *decoder, ddb_builder *builder, ddb_kind kind,
                         const void *data, size_t size) {
  ddb_value value = {.kind = (uint8_t)kind, .size = (uint32_t)size, .as = {.data = data}};
  return ddb_builder_append(builder, &value, decoder->err);
}

/* ---- {"$type": ...} ----------------------------------------------------------------------- */

/* An object's members that mean something; 0: absent (node 0 is never a member's value). */
typedef struct typed {
  ddb_str name; /* of the type */
  size_t value;
  size_t fold;
  size_t zone;
} typed;

static bool object_is_typed(const ddb__json_decoder *decoder, size_t index) {
  const ddb__json_node *node = node_at(decoder, index);
  if (!decoder->typed || node->kind != DDB_DICT) {
    return false;
  }
  size_t key = index + 1;
  for (uint32_t i = 0; i < node->size; i += 2) {
    if (ddb__text_equal(ddb__json_node_text(decoder, key), DDB_STR("$type"))) {
      return true;
    }
    key = ddb__json_tape_after(decoder->tape, key + 1);
  }
  return false;
}

static ddb_status read_typed(const ddb__json_decoder *decoder, size_t index, typed *out) {
  size_t type = 0;
  struct {
    ddb_str name;
    size_t *place;
  } members[] = {{DDB_STR("$type"), &type},
                 {DDB_STR("value"), &out->value},
                 {DDB_STR("fold"), &out->fold},
                 {DDB_STR("zone"), &out->zone}};
  *out = (typed){0};
  size_t key = index + 1;
  for (uint32_t i = 0; i < node_at(decoder, index)->size; i += 2) {
    ddb_str name = ddb__json_node_text(decoder, key);
    size_t *place = NULL;
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++) {
      place = ddb__text_equal(name, members[m].name) ? members[m].place : place;
    }
    if (!place || *place) {
      return CORRUPT(decoder, "a $type object has the member '%.*s' %s", DDB__STR_ARG(name),
                     place ? "twice" : "that it should not have");
    }
    *place = key + 1;
    key = ddb__json_tape_after(decoder->tape, key + 1);
  }
  if (node_at(decoder, type)->kind != DDB_STR_KIND || !out->value) {
    return CORRUPT(decoder, "a $type object needs a $type that is a string, and a value");
  }
  out->name = ddb__json_node_text(decoder, type);
  return DDB_OK;
}

static ddb_status fail_typed(const ddb__json_decoder *decoder, const typed *object) {
  return CORRUPT(decoder, "not a value of $type '%.*s'", DDB__STR_ARG(object->name));
}

/* The value's text, when it is a string. */
static ddb_status typed_text(const ddb__json_decoder *decoder, const typed *object, ddb_str *out) {
  if (node_at(decoder, object->value)->kind != DDB_STR_KIND) {
    return fail_typed(decoder, object);
  }
  *out = ddb__json_node_text(decoder, object->value);
  return DDB_OK;
}

/* ---- Strings ------------------------------------------------------------------------------ */

/* Parts that are to be joined: the reader has put their texts one behind the other. */
static ddb_status join_parts(const ddb__json_decoder *decoder, const typed *object, ddb_str *out) {
  const ddb__json_node *list = node_at(decoder, object->value);
  if (list->kind != DDB_LIST || list->size == 0) {
    return fail_typed(decoder, object);
  }
  size_t size = 0;
  for (size_t i = 1; i <= list->size; i++) {
    if (node_at(decoder, object->value + i)->kind != DDB_STR_KIND) {
      return fail_typed(decoder, object);
    }
    size += node_at(decoder, object->value + i)->size;
  }
  *out = (ddb_str){ddb__json_node_text(decoder, object->value + 1).data, size};
  return DDB_OK;
}

ddb_status ddb__json_decode_str(const ddb__json_decoder *decoder, size_t index, const char *what,
                                ddb_str *out) {
  if (node_at(decoder, index)->kind == DDB_STR_KIND) {
    *out = ddb__json_node_text(decoder, index);
    return DDB_OK;
  }
  if (object_is_typed(decoder, index)) {
    typed object;
    DDB__TRY(read_typed(decoder, index, &object));
    if (ddb__text_equal(object.name, DDB_STR("str"))) {
      return join_parts(decoder, &object, out);
    }
  }
  return CORRUPT(decoder, "%s is not a string", what);
}

static ddb_status decode_str(ddb__json_decoder *decoder, const typed *object,
                             ddb_builder *builder) {
  ddb_str text = {NULL, 0};
  DDB__TRY(join_parts(decoder, object, &text));
  return append(decoder, builder, DDB_STR_KIND, text.data, text.size);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static ddb_status decode_bigint(ddb__json_decoder *decoder, size_t index, ddb_builder *builder) {
  ddb_str digits = ddb__json_node_text(decoder, index);
  if (digits.size > DIGITS_MAX) {
    return CORRUPT(decoder, "an integer of %zu digits; more than %d have to be hexadecimal",
                   digits.size, DIGITS_MAX);
  }
  size_t capacity = 2 + digits.size / 2;
  DDB__TRY(need_scratch(decoder, capacity));
  size_t size = ddb__bigint_parse(digits, decoder->scratch, capacity);
  return append(decoder, builder, DDB_BIGINT, decoder->scratch, size);
}

/* 16 for what is not a digit. */
static uint8_t hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') {
    return (uint8_t)(digit - '0');
  }
  return digit >= 'a' && digit <= 'f' ? (uint8_t)(digit - 'a' + 10) : 16;
}

/* "0x1f", "-0x1f" */
static ddb_status decode_int(ddb__json_decoder *decoder, const typed *object,
                             ddb_builder *builder) {
  ddb_str text = {NULL, 0};
  DDB__TRY(typed_text(decoder, object, &text));
  bool negative = text.size > 0 && text.data[0] == '-';
  const char *at = text.data + negative;
  size_t digits = text.size - negative;
  if (digits < 3 || at[0] != '0' || at[1] != 'x') {
    return fail_typed(decoder, object);
  }
  at += 2;
  digits -= 2;
  while (digits > 1 && *at == '0') {
    at++;
    digits--;
  }
  size_t size = (digits + 1) / 2;
  DDB__TRY(need_scratch(decoder, 1 + size));
  memset(decoder->scratch, 0, 1 + size);
  decoder->scratch[0] = negative;
  for (size_t i = 0; i < digits; i++) {
    uint8_t digit = hex_digit(at[digits - 1 - i]);
    if (digit > 15) {
      return fail_typed(decoder, object);
    }
    decoder->scratch[1 + i / 2] |= (uint8_t)(i % 2 ? digit << 4 : digit);
  }
  return append(decoder, builder, DDB_BIGINT, decoder->scratch, 1 + size);
}

static ddb_status decode_decimal(ddb__json_decoder *decoder, const typed *object,
                                 ddb_builder *builder) {
  ddb_str text = {NULL, 0};
  DDB__TRY(typed_text(decoder, object, &text));
  if (!ddb__decimal_valid(text)) {
    return fail_typed(decoder, object);
  }
  return append(decoder, builder, DDB_DECIMAL, text.data, text.size);
}

/* ---- Bytes, times ------------------------------------------------------------------------- */

static ddb_status decode_bytes(ddb__json_decoder *decoder, const typed *object,
                               ddb_builder *builder) {
  ddb_str text = {NULL, 0};
  size_t size;
  DDB__TRY(typed_text(decoder, object, &text));
  DDB__TRY(need_scratch(decoder, text.size / 4 * 3 + 1));
  if (!ddb__base64_decode(text.data, text.size, decoder->scratch, &size)) {
    return fail_typed(decoder, object);
  }
  return append(decoder, builder, DDB_BYTES, decoder->scratch, size);
}

static ddb_status decode_uuid(ddb__json_decoder *decoder, const typed *object,
                              ddb_builder *builder) {
  _Alignas(8) uint8_t bytes[16];
  ddb_str text = {NULL, 0};
  DDB__TRY(typed_text(decoder, object, &text));
  if (!ddb__time_text_to_uuid(text, bytes)) {
    return fail_typed(decoder, object);
  }
  return append(decoder, builder, DDB_UUID, bytes, sizeof bytes);
}

static ddb_status decode_date(ddb__json_decoder *decoder, const typed *object,
                              ddb_builder *builder) {
  ddb_value value = {.kind = DDB_DATE};
  ddb_str text = {NULL, 0};
  DDB__TRY(typed_text(decoder, object, &text));
  if (!ddb__time_text_to_date(text, &value.as.integer)) {
    return fail_typed(decoder, object);
  }
  return ddb_builder_append(builder, &value, decoder->err);
}

static ddb_status read_fold(const ddb__json_decoder *decoder, const typed *object,
                            ddb_temporal *temporal) {
  if (!object->fold) {
    return DDB_OK;
  }
  const ddb__json_node *node = node_at(decoder, object->fold);
  if (node->kind != DDB_INT || node->as.integer != 1) {
    return fail_typed(decoder, object);
  }
  temporal->fold = 1;
  return DDB_OK;
}

/* ["fixed", "CET"], ["iana", "Europe/Paris"]; see put_zone in json_write.c. */
static ddb_status read_zone(const ddb__json_decoder *decoder, const typed *object,
                            ddb_temporal *temporal, ddb_str *name) {
  *name = (ddb_str){"", 0};
  if (!object->zone) {
    bool aware = temporal->offset_micros != DDB_OFFSET_NONE;
    temporal->zone_kind = aware ? DDB_ZONE_FIXED : DDB_ZONE_NONE;
    return DDB_OK;
  }
  const ddb__json_node *list = node_at(decoder, object->zone);
  if (list->kind != DDB_LIST || list->size != 2) {
    return fail_typed(decoder, object);
  }
  ddb_str kind;
  DDB__TRY(ddb__json_decode_str(decoder, object->zone + 1, "a zone's kind", &kind));
  size_t name_index = ddb__json_tape_after(decoder->tape, object->zone + 1);
  DDB__TRY(ddb__json_decode_str(decoder, name_index, "a zone's name", name));
  static const char *const kinds[] = {"none", "fixed", "iana"};
  for (unsigned i = DDB_ZONE_NONE; i <= DDB_ZONE_IANA; i++) {
    if (ddb__text_equal(kind, ddb_str_from(kinds[i])) && name->size <= UINT16_MAX) {
      temporal->zone_kind = (uint8_t)i;
      temporal->zone_size = (uint16_t)name->size;
      return DDB_OK;
    }
  }
  return fail_typed(decoder, object);
}

static ddb_status decode_temporal(ddb__json_decoder *decoder, const typed *object,
                                  ddb_builder *builder, ddb_kind kind) {
  ddb_temporal temporal;
  ddb_str text = {NULL, 0};
  ddb_str name;
  DDB__TRY(typed_text(decoder, object, &text));
  if (!(kind == DDB_TIME ? ddb__time_text_to_time(text, &temporal)
                         : ddb__time_text_to_datetime(text, &temporal))) {
    return fail_typed(decoder, object);
  }
  DDB__TRY(read_fold(decoder, object, &temporal));
  DDB__TRY(read_zone(decoder, object, &temporal, &name));
  DDB__TRY(need_scratch(decoder, sizeof temporal + name.size));
  memcpy(decoder->scratch, &temporal, sizeof temporal);
  if (name.size) {
    memcpy(decoder->scratch + sizeof temporal, name.data, name.size);
  }
  return append(decoder, builder, kind, decoder->scratch, sizeof temporal + name.size);
}

static ddb_status decode_datetime(ddb__json_decoder *decoder, const typed *object,
                                  ddb_builder *builder) {
  return decode_temporal(decoder, object, builder, DDB_DATETIME);
}

static ddb_status decode_time(ddb__json_decoder *decoder, const typed *object,
                              ddb_builder *builder) {
  return decode_temporal(decoder, object, builder, DDB_TIME);
}

/* [days, seconds, microseconds] */
static ddb_status decode_timedelta(ddb__json_decoder *decoder, const typed *object,
                                   ddb_builder *builder) {
  const ddb__json_node *list = node_at(decoder, object->value);
  if (list->kind != DDB_LIST || list->size != 3) {
    return fail_typed(decoder, object);
  }
  const ddb__json_node *parts = list + 1;
  for (int i = 0; i < 3; i++) {
    if (parts[i].kind != DDB_INT) {
      return fail_typed(decoder, object);
    }
  }
  int64_t seconds = parts[1].as.integer;
  int64_t micros = parts[2].as.integer;
  if (seconds < 0 || seconds >= 86400 || micros < 0 || micros >= 1000000) {
    return fail_typed(decoder, object);
  }
  ddb_duration duration = {parts[0].as.integer, seconds * 1000000 + micros};
  return append(decoder, builder, DDB_TIMEDELTA, &duration, sizeof duration);
}

/* ---- Lists and the like ------------------------------------------------------------------- */

static ddb_status decode_items(ddb__json_decoder *decoder, size_t index, ddb_builder *builder,
                               ddb_kind kind) {
  uint32_t count = node_at(decoder, index)->size;
  DDB__TRY(ddb_builder_begin(builder, kind, count, decoder->err));
  size_t item = index + 1;
  for (uint32_t i = 0; i < count; i++) {
    DDB__TRY(ddb__json_decode(decoder, item, builder));
    item = ddb__json_tape_after(decoder->tape, item);
  }
  return ddb_builder_end(builder, decoder->err);
}

static ddb_status decode_typed_items(ddb__json_decoder *decoder, const typed *object,
                                     ddb_builder *builder, ddb_kind kind) {
  if (node_at(decoder, object->value)->kind != DDB_LIST) {
    return fail_typed(decoder, object);
  }
  return decode_items(decoder, object->value, builder, kind);
}

static ddb_status decode_tuple(ddb__json_decoder *decoder, const typed *object,
                               ddb_builder *builder) {
  return decode_typed_items(decoder, object, builder, DDB_TUPLE);
}

static ddb_status decode_set(ddb__json_decoder *decoder, const typed *object,
                             ddb_builder *builder) {
  return decode_typed_items(decoder, object, builder, DDB_SET);
}

static ddb_status decode_frozenset(ddb__json_decoder *decoder, const typed *object,
                                   ddb_builder *builder) {
  return decode_typed_items(decoder, object, builder, DDB_FROZENSET);
}

/* ---- Dicts -------------------------------------------------------------------------------- */

static bool is_pair(const ddb__json_decoder *decoder, size_t index) {
  return node_at(decoder, index)->kind == DDB_LIST && node_at(decoder, index)->size == 2;
}

/* {"$type": "dict", "value": [[key, value], ...]} */
static ddb_status decode_pairs(ddb__json_decoder *decoder, const typed *object,
                               ddb_builder *builder) {
  const ddb__json_node *list = node_at(decoder, object->value);
  if (list->kind != DDB_LIST) {
    return fail_typed(decoder, object);
  }
  uint32_t count = list->size;
  DDB__TRY(ddb_builder_begin(builder, DDB_DICT, (size_t)count * 2, decoder->err));
  size_t pair = object->value + 1;
  for (uint32_t i = 0; i < count; i++) {
    if (!is_pair(decoder, pair)) {
      return fail_typed(decoder, object);
    }
    DDB__TRY(ddb__json_decode(decoder, pair + 1, builder));
    DDB__TRY(ddb__json_decode(decoder, ddb__json_tape_after(decoder->tape, pair + 1), builder));
    pair = ddb__json_tape_after(decoder->tape, pair);
  }
  return ddb_builder_end(builder, decoder->err);
}

static ddb_status fail_twice(const ddb__json_decoder *decoder, ddb_str key) {
  return CORRUPT(decoder, "an object has the key '%.*s' twice", DDB__STR_ARG(key));
}

static ddb_status check_few_keys(const ddb__json_decoder *decoder, size_t index) {
  ddb_str keys[QUADRATIC_MAX];
  size_t count = node_at(decoder, index)->size / 2;
  size_t key = index + 1;
  for (size_t i = 0; i < count; i++) {
    keys[i] = ddb__json_node_text(decoder, key);
    for (size_t j = 0; j < i; j++) {
      if (ddb__text_equal(keys[i], keys[j])) {
        return fail_twice(decoder, keys[i]);
      }
    }
    key = ddb__json_tape_after(decoder->tape, key + 1);
  }
  return DDB_OK;
}

/* An open-addressed table of key nodes in the scratch memory; 0: free (node 0 is no key). */
static ddb_status check_many_keys(ddb__json_decoder *decoder, size_t index) {
  size_t count = node_at(decoder, index)->size / 2;
  size_t capacity = 16;
  while (capacity < count * 2) {
    capacity *= 2;
  }
  DDB__TRY(need_scratch(decoder, capacity * sizeof(size_t)));
  size_t *places = (size_t *)(void *)decoder->scratch;
  memset(places, 0, capacity * sizeof *places);
  size_t key = index + 1;
  for (size_t i = 0; i < count; i++) {
    ddb_str text = ddb__json_node_text(decoder, key);
    size_t at = (size_t)ddb__hash_bytes(text.data, text.size) & (capacity - 1);
    for (; places[at]; at = (at + 1) & (capacity - 1)) {
      if (ddb__text_equal(text, ddb__json_node_text(decoder, places[at]))) {
        return fail_twice(decoder, text);
      }
    }
    places[at] = key;
    key = ddb__json_tape_after(decoder->tape, key + 1);
  }
  return DDB_OK;
}

static ddb_status decode_object(ddb__json_decoder *decoder, size_t index, ddb_builder *builder) {
  uint32_t count = node_at(decoder, index)->size;
  DDB__TRY(count / 2 <= QUADRATIC_MAX ? check_few_keys(decoder, index)
                                      : check_many_keys(decoder, index));
  return decode_items(decoder, index, builder, DDB_DICT);
}

ddb_status ddb__json_decode_entries(const ddb__json_decoder *decoder, size_t index,
                                    ddb__json_entries *out) {
  if (node_at(decoder, index)->kind != DDB_DICT) {
    return CORRUPT(decoder, "not an object");
  }
  *out = (ddb__json_entries){.at = index + 1, .count = node_at(decoder, index)->size / 2};
  if (!object_is_typed(decoder, index)) {
    return DDB_OK;
  }
  typed object;
  DDB__TRY(read_typed(decoder, index, &object));
  const ddb__json_node *list = node_at(decoder, object.value);
  if (!ddb__text_equal(object.name, DDB_STR("dict")) || list->kind != DDB_LIST || object.fold ||
      object.zone) {
    return CORRUPT(decoder, "not a dict");
  }
  *out = (ddb__json_entries){.at = object.value + 1, .count = list->size, .pairs = true};
  return DDB_OK;
}

ddb_status ddb__json_decode_entry(const ddb__json_decoder *decoder, ddb__json_entries *entries,
                                  ddb_str *key, size_t *value) {
  size_t key_index = entries->at;
  if (entries->pairs) {
    if (!is_pair(decoder, entries->at)) {
      return CORRUPT(decoder, "not a pair of key and value");
    }
    key_index++;
  }
  DDB__TRY(ddb__json_decode_str(decoder, key_index, "a field's name", key));
  *value = ddb__json_tape_after(decoder->tape, key_index);
  entries->at = ddb__json_tape_after(decoder->tape, *value);
  entries->count--;
  return DDB_OK;
}

/* ---- Any value ---------------------------------------------------------------------------- */

typedef ddb_status (*typed_decoder)(ddb__json_decoder *decoder, const typed *object,
                                    ddb_builder *builder);

static const struct {
  const char *name;
  typed_decoder decode;
} typed_decoders[] = {
    {"datetime", decode_datetime}, {"time", decode_time},
    {"date", decode_date},         {"timedelta", decode_timedelta},
    {"decimal", decode_decimal},   {"bytes", decode_bytes},
    {"uuid", decode_uuid},         {"tuple", decode_tuple},
    {"set", decode_set},           {"frozenset", decode_frozenset},
    {"dict", decode_pairs},        {"int", decode_int},
    {"str", decode_str},
};

static ddb_status decode_typed(ddb__json_decoder *decoder, size_t index, ddb_builder *builder) {
  typed object;
  DDB__TRY(read_typed(decoder, index, &object));
  for (size_t i = 0; i < sizeof typed_decoders / sizeof typed_decoders[0]; i++) {
    if (!ddb__text_equal(object.name, ddb_str_from(typed_decoders[i].name))) {
      continue;
    }
    if ((object.fold || object.zone) && i > 1) {
      return fail_typed(decoder, &object);
    }
    return typed_decoders[i].decode(decoder, &object, builder);
  }
  return CORRUPT(decoder, "no such $type: '%.*s'", DDB__STR_ARG(object.name));
}

ddb_status ddb__json_decode(ddb__json_decoder *decoder, size_t index, ddb_builder *builder) {
  const ddb__json_node *node = node_at(decoder, index);
  ddb_value value = {.kind = node->kind};
  switch (node->kind) {
  case DDB_BIGINT:
    return decode_bigint(decoder, index, builder);
  case DDB_LIST:
    return decode_items(decoder, index, builder, DDB_LIST);
  case DDB_DICT:
    return object_is_typed(decoder, index) ? decode_typed(decoder, index, builder)
                                           : decode_object(decoder, index, builder);
  case DDB_STR_KIND:
    value = ddb_text(ddb__json_node_text(decoder, index));
    break;
  case DDB_BOOL:
    value.as.boolean = node->as.boolean;
    break;
  default: /* NULL, INT, FLOAT: the same eight bytes */
    value.as.integer = node->as.integer;
    break;
  }
  return ddb_builder_append(builder, &value, decoder->err);
}
