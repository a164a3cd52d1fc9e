/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - see index.h: places, and the entries of a row that changes.
 */
#include "store/index.h"

#include "base/testing.h"
#include "store/hash.h"
#include "store/index_key.h"
#include "store/root.h"

/* ---- Values and places -------------------------------------------------------------------- */

void ddb__index_values(const ddb__index_def *def, const ddb_record *record, ddb_value *values) {
  for (uint32_t i = 0; i < def->field_count; i++) {
    values[i] = ddb__path_get(&def->paths[i], record);
  }
}

uint64_t ddb__index_key(const ddb__index_def *def, const ddb_value *values) {
  if (def->kind == DDB_INDEX_SORTED) {
    return ddb__key_of(values, def->field_count);
  }
  uint64_t hash = ddb_value_hash(&values[0]); /* missing and null hash alike */
  for (uint32_t i = 1; i < def->field_count; i++) {
    hash = ddb__hash_mix(hash) + ddb_value_hash(&values[i]);
  }
  return hash;
}

int ddb__index_compare(const ddb_value *a, const ddb_value *b, uint32_t count) {
  int sign = 0;
  for (uint32_t i = 0; i < count && sign == 0; i++) {
    sign = ddb_value_compare(&a[i], &b[i]);
  }
  return sign;
}

static bool starts_with(const ddb_value *value, const ddb_value *start) {
  return value->kind == start->kind && value->size >= start->size &&
         (start->size == 0 || memcmp(value->as.data, start->as.data, start->size) == 0);
}

static int compare_row(const ddb__tree_place *tree, uint64_t seq) {
  const ddb__index_place *place = (const ddb__index_place *)(const void *)tree;
  const ddb_record *record = ddb__rows_get(place->rows, seq);
  int sign = 0;
  for (uint32_t i = 0; i < place->count && sign == 0; i++) {
    ddb_value value = ddb__path_get(&place->def->paths[i], record);
    bool starts = place->begins && i == place->count - 1 && starts_with(&value, &place->values[i]);
    sign = starts ? 0 : ddb_value_compare(&value, &place->values[i]);
  }
  return sign;
}

void ddb__index_place_init(ddb__index_place *place, const ddb__index_def *def,
                           const ddb__rows *rows, const ddb_value *values, uint64_t seq) {
  uint64_t key = ddb__index_key(def, values);
  bool decides = def->kind == DDB_INDEX_HASH || ddb__key_is_exact(key);
  *place = (ddb__index_place){.tree = {key, key, seq, 0, decides ? NULL : compare_row},
                              .def = def,
                              .rows = rows,
                              .values = values,
                              .count = def->field_count};
}

void ddb__index_bound_init(ddb__index_place *place, const ddb__index_def *def,
                           const ddb__rows *rows, const ddb_value *values, uint32_t count,
                           bool begins, int side) {
  ddb__key_span span;
  if (count == def->field_count && !begins) {
    uint64_t key = ddb__key_of(values, count);
    span = (ddb__key_span){key, key, ddb__key_is_exact(key)};
  } else {
    span = ddb__key_span_of(values, count, begins);
  }
  *place =
      (ddb__index_place){.tree = {span.low, span.high, 0, side, span.exact ? NULL : compare_row},
                         .def = def,
                         .rows = rows,
                         .values = values,
                         .count = count,
                         .begins = begins};
}

/* ---- Twins -------------------------------------------------------------------------------- */

/* NaN, and what holds one, equals nothing either. */
static bool can_have_twin(const ddb_value *values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (values[i].kind <= DDB_NULL || !ddb_value_equal(&values[i], &values[i])) {
      return false;
    }
  }
  return true;
}

static bool row_equals(const ddb__index_def *def, const ddb__rows *rows, uint64_t seq,
                       const ddb_value *values) {
  const ddb_record *record = ddb__rows_get(rows, seq);
  for (uint32_t i = 0; i < def->field_count; i++) {
    ddb_value value = ddb__path_get(&def->paths[i], record);
    if (!ddb_value_equal(&value, &values[i])) {
      return false;
    }
  }
  return true;
}

bool ddb__index_has_twin(const ddb__index *index, const ddb__rows *rows, const ddb_value *values,
                         uint64_t seq) {
  const ddb__index_def *def = index->def;
  if (!can_have_twin(values, def->field_count) || DDB__FAULT(UNIQUE_UNCHECKED)) {
    return false;
  }
  ddb__index_place place;
  ddb__index_place_init(&place, def, rows, values, 0);
  place.tree.side = -1;
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb__tree_seek(&index->tree, &place.tree, &cursor);
  while (ddb__tree_next(&cursor, &entry) && entry.key == place.tree.low) {
    if (entry.seq != seq && row_equals(def, rows, entry.seq, values)) {
      return true;
    }
    if (def->kind == DDB_INDEX_SORTED && entry.seq != seq) {
      return false; /* the first at or above the values is not equal to them */
    }
  }
  return false;
}

/* ---- A row changes ------------------------------------------------------------------------ */

#define MOVED_ALL UINT64_MAX

static bool is_moved(uint64_t moved, uint32_t index) {
  return (moved >> (index < 63 ? index : 63) & 1) != 0;
}

static bool values_moved(const ddb__index_def *def, const ddb_record *old, const ddb_record *new) {
  for (uint32_t i = 0; i < def->field_count; i++) {
    ddb_value before = ddb__path_get(&def->paths[i], old);
    ddb_value after = ddb__path_get(&def->paths[i], new);
    if (ddb_value_compare(&before, &after) != 0) {
      return true;
    }
  }
  return false;
}

uint64_t ddb__index_moved(const ddb__root *root, const ddb_record *old, const ddb_record *new) {
  if (!old || !new) {
    return MOVED_ALL;
  }
  uint64_t moved = 0;
  for (uint32_t i = 0; i < root->index_count && !DDB__FAULT(INDEX_STALE_UPDATE); i++) {
    moved |= (uint64_t)values_moved(root->indexes[i].def, old, new) << (i < 63 ? i : 63);
  }
  return moved;
}

ddb_status ddb__index_remove(ddb__root *root, ddb__edit *edit, uint64_t moved, uint64_t seq,
                             const ddb_record *old, ddb_error *err) {
  for (uint32_t i = 0; i < root->index_count; i++) {
    ddb__index *index = &root->indexes[i];
    if (!is_moved(moved, i)) {
      continue;
    }
    ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
    ddb__index_place place;
    ddb__index_values(index->def, old, values);
    ddb__index_place_init(&place, index->def, &root->rows, values, seq);
    bool changed;
    ddb_status status = ddb__tree_remove(&index->tree, edit, &place.tree, &changed, err);
    if (status != DDB_OK) {
      return status;
    }
  }
  return DDB_OK;
}

ddb_status ddb__index_insert(ddb__root *root, ddb__edit *edit, uint64_t moved, uint64_t seq,
                             const ddb_record *new, bool *clash, ddb_error *err) {
  for (uint32_t i = 0; i < root->index_count; i++) {
    ddb__index *index = &root->indexes[i];
    if (!is_moved(moved, i)) {
      continue;
    }
    ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
    ddb__index_place place;
    ddb__index_values(index->def, new, values);
    if (index->def->unique && ddb__index_has_twin(index, &root->rows, values, seq)) {
      *clash = true;
    }
    ddb__index_place_init(&place, index->def, &root->rows, values, seq);
    bool changed;
    ddb_status status = ddb__tree_insert(&index->tree, edit, &place.tree, &changed, err);
    if (status != DDB_OK) {
      return status;
    }
  }
  return DDB_OK;
}

/* ---- Checking ----------------------------------------------------------------------------- */

typedef struct check_context {
  const ddb__root *root;
  const ddb__index_def *def;
} check_context;

static int compare_rows(const void *context, uint64_t a, uint64_t b) {
  const check_context *check = context;
  const ddb_record *records[2] = {ddb__rows_get(&check->root->rows, a),
                                  ddb__rows_get(&check->root->rows, b)};
  if (!records[0] || !records[1]) {
    return 0;
  }
  ddb_value values[2][DDB_INDEX_FIELD_COUNT_MAX];
  ddb__index_values(check->def, records[0], values[0]);
  ddb__index_values(check->def, records[1], values[1]);
  return ddb__index_compare(values[0], values[1], check->def->field_count);
}

static bool has_entry(const ddb__root *root, const ddb__index *index, uint64_t seq,
                      const ddb_record *record) {
  ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
  ddb__index_place place;
  ddb__index_values(index->def, record, values);
  ddb__index_place_init(&place, index->def, &root->rows, values, seq);
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb__tree_seek(&index->tree, &place.tree, &cursor);
  return ddb__tree_next(&cursor, &entry) && entry.key == place.tree.low && entry.seq == seq;
}

const char *ddb__index_check(const ddb__root *root, const ddb__index *index) {
  check_context context = {root, index->def};
  bool sorted = index->def->kind == DDB_INDEX_SORTED;
  const char *wrong =
      ddb__tree_check(&index->tree, root->version, sorted ? compare_rows : NULL, &context);
  if (!wrong && index->tree.count != root->count) {
    wrong = "an index has not as many entries as there are rows";
  }
  for (uint64_t seq = 0; !wrong && seq < root->rows.end; seq++) {
    const ddb_record *record = ddb__rows_get(&root->rows, seq);
    if (record && !has_entry(root, index, seq, record)) {
      wrong = "a row has no entry in an index";
    }
  }
  return wrong;
}
