/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firsts.c - see firsts.h.
 */
#include "query/firsts.h"

#include "base/testing.h"
#include "store/index.h"

/* Looking up a group costs about as much as scanning so many rows; groups that are looked up before
 * it is asked whether they are as large. */
#ifdef DDB_TESTING
#define GROUP_MIN   2u
#define GROUPS_FREE 4u
#else
#define GROUP_MIN   64u
#define GROUPS_FREE 32u
#endif

const ddb__index *ddb__firsts_index(const ddb__root *root, const ddb__path *path) {
  for (uint32_t i = 0; i < root->index_count; i++) {
    const ddb__index_def *def = root->indexes[i].def;
    if (def->kind == DDB_INDEX_SORTED && def->field_count == 1 &&
        ddb__path_equal(&def->paths[0], path)) {
      return &root->indexes[i];
    }
  }
  return NULL;
}

/* Before (side -1) or behind (1) the entries of the value. */
static void place_at(ddb__index_place *place, const ddb__index *index, const ddb__rows *rows,
                     const ddb_value *value, int side) {
  ddb__index_bound_init(place, index->def, rows, value, 1, false, side);
}

static void seek_value(const ddb__index *index, const ddb__rows *rows, const ddb_value *value,
                       int side, ddb__tree_cursor *cursor) {
  ddb__index_place place;
  place_at(&place, index, rows, value, side);
  ddb__tree_seek(&index->tree, &place.tree, cursor);
}

static ddb_value value_of(const ddb__index *index, const ddb__rows *rows, uint64_t seq) {
  ddb_value value;
  ddb__index_values(index->def, ddb__rows_get(rows, seq), &value);
  return value;
}

uint64_t ddb__firsts_count(const ddb__index *index, const ddb__rows *rows) {
  ddb_value null = ddb_null();
  ddb__index_place place;
  place_at(&place, index, rows, &null, DDB__FAULT(FIRSTS_COUNT_NULLS) ? -1 : 1);
  return index->tree.count - ddb__tree_rank(&index->tree, &place.tree);
}

bool ddb__firsts_least(const ddb__index *index, const ddb__rows *rows, uint64_t *seq) {
  ddb_value null = ddb_null();
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  seek_value(index, rows, &null, 1, &cursor);
  bool found = ddb__tree_next(&cursor, &entry);
  *seq = found ? entry.seq : 0;
  return found;
}

bool ddb__firsts_greatest(const ddb__index *index, const ddb__rows *rows, uint64_t *seq) {
  ddb__tree_place end = ddb__tree_at(UINT64_MAX, UINT64_MAX);
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb__tree_seek(&index->tree, &end, &cursor);
  if (!ddb__tree_previous(&cursor, &entry)) {
    return false;
  }
  ddb_value value = value_of(index, rows, entry.seq);
  if (value.kind <= DDB_NULL) {
    return false;
  }
  seek_value(index, rows, &value, -1, &cursor);
  *seq = entry.seq;
  if (!DDB__FAULT(FIRSTS_LAST_OF_TIES) && ddb__tree_next(&cursor, &entry)) {
    *seq = entry.seq;
  }
  return true;
}

/* Are the groups so far too small to look each up? */
static bool are_small(const ddb__index *index, const ddb__index_place *end, size_t groups) {
  return groups > GROUPS_FREE && groups % GROUPS_FREE == 0 &&
         ddb__tree_rank(&index->tree, &end->tree) / GROUP_MIN < groups - GROUPS_FREE;
}

ddb_status ddb__firsts_collect(const ddb__index *index, const ddb__rows *rows, bool nulls,
                               ddb__seqs *out, bool *given_up, ddb_error *err) {
  ddb_value value = ddb_null();
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb_status status = DDB_OK;
  seek_value(index, rows, &value, nulls ? -1 : 1, &cursor);
  *given_up = false;
  for (size_t groups = 1; !*given_up && !status && ddb__tree_next(&cursor, &entry); groups++) {
    ddb__index_place end;
    value = value_of(index, rows, entry.seq);
    place_at(&end, index, rows, &value, 1);
    ddb__tree_seek(&index->tree, &end.tree, &cursor);
    status = ddb__seqs_append(out, entry.seq, err);
    *given_up = are_small(index, &end, groups);
  }
  return status;
}
