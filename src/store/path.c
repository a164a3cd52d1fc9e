/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - stepping into containers. Cost: O(1) per index, O(log n) comparisons per key.
 */
#include "store/path.h"

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
