/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - stepping into containers. Cost: O(1) per index, O(log n) comparisons per key.
 */
#include "store/path.h"

#include <stdio.h>

static ddb_value item_at(const ddb_value *list, const ddb_value *key) {
  int64_t count = (int64_t)ddb_value_item_count(list);
  int64_t index = key->kind == DDB_BOOL ? key->as.boolean : key->as.integer;
  bool is_index = key->kind == DDB_INT || key->kind == DDB_BOOL;
  if (!is_index || index >= count || index < -count) {
    return (ddb_value){.kind = DDB_MISSING};
  }
  return ddb_value_item(list, (size_t)(index < 0 ? index + count : index));
}

ddb_value ddb__path_step(const ddb_value *container, const ddb_value *key) {
  switch (container->kind) {
  case DDB_DICT:
    return ddb__value_dict_get(container, key);
  case DDB_LIST:
  case DDB_TUPLE:
    return item_at(container, key);
  default:
    return (ddb_value){.kind = DDB_MISSING};
  }
}

ddb_value ddb__path_walk(const ddb__path *path, ddb_value field) {
  for (uint32_t i = 0; i < path->step_count; i++) {
    field = ddb__path_step(&field, &path->steps[i]);
  }
  return field;
}

bool ddb__path_equal(const ddb__path *a, const ddb__path *b) {
  bool same = a->field_id == b->field_id && a->step_count == b->step_count;
  for (uint32_t i = 0; same && i < a->step_count; i++) {
    same = ddb__value_identical(&a->steps[i], &b->steps[i]);
  }
  return same;
}

size_t ddb__path_format_steps(const ddb_value *steps, size_t step_count, char *buffer,
                              size_t capacity) {
  size_t size = 0;
  if (capacity > 0) {
    buffer[0] = '\0';
  }
  for (size_t i = 0; i < step_count; i++) {
    char text[64]; /* a step that is longer is cut */
    (void)ddb_value_format(&steps[i], text, sizeof text);
    char *at = size < capacity ? buffer + size : NULL;
    size += (size_t)snprintf(at, at ? capacity - size : 0, "[%s]", text);
  }
  return size;
}

bool ddb__path_read(const ddb_value *part, ddb_value *steps, ddb_path *out) {
  size_t count = part->kind == DDB_LIST ? ddb_value_item_count(part) : 1;
  if (count == 0 || count > DDB_INDEX_STEP_COUNT_MAX + 1) {
    return false;
  }
  ddb_value name = part->kind == DDB_LIST ? ddb_value_item(part, 0) : *part;
  for (size_t i = 1; i < count; i++) {
    steps[i - 1] = ddb_value_item(part, i);
  }
  *out = (ddb_path){{name.as.data, name.size}, steps, count - 1};
  return name.kind == DDB_STR_KIND;
}
