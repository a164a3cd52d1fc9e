/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - see walk.h.
 */
#include "query/walk.h"

#include "base/testing.h"
#include "store/index_key.h"

void ddb__walk_init(ddb__walk *walk, const ddb__match *match, const ddb__rows *rows, uint64_t count,
                    bool descending) {
  walk->index = match->index;
  walk->rows = rows;
  walk->descending = descending;
  walk->group_left = 0;
  walk->left = 0;
  ddb__range range;
  if (ddb__range_init(&range, match, rows, 0)) {
    walk->left = count;
    ddb__tree_seek(&match->index->tree, descending ? &range.to.tree : &range.from.tree,
                   &walk->cursor);
  }
}

static void values_of(const ddb__walk *walk, ddb__tree_entry entry, ddb_value *values) {
  ddb__index_values(walk->index->def, ddb__rows_get(walk->rows, entry.seq), values);
}

static bool is_same(const ddb__walk *walk, ddb__tree_entry a, ddb__tree_entry b) {
  if (a.key != b.key || ddb__key_is_exact(a.key)) {
    return a.key == b.key;
  }
  ddb_value values[2][DDB_INDEX_FIELD_COUNT_MAX];
  values_of(walk, a, values[0]);
  values_of(walk, b, values[1]);
  return ddb__index_compare(values[0], values[1], walk->index->def->field_count) == 0;
}

/* Is there an entry before the cursor's that belongs to the group of `last`? */
static bool has_neighbour(const ddb__walk *walk, ddb__tree_entry last) {
  ddb__tree_entry entry;
  return walk->left > 1 && ddb__tree_peek_previous(&walk->cursor, &entry) &&
         is_same(walk, entry, last);
}

/* Moves the cursor before the group that ends with `last`, and gives it forwards. */
static void open_group(ddb__walk *walk, ddb__tree_entry last) {
  const ddb__index_def *def = walk->index->def;
  ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
  ddb__index_place from;
  ddb__index_place to;
  values_of(walk, last, values);
  ddb__index_bound_init(&from, def, walk->rows, values, def->field_count, false, -1);
  ddb__index_bound_init(&to, def, walk->rows, values, def->field_count, false, 1);
  walk->group_left = ddb__tree_between(&walk->index->tree, &from.tree, &to.tree).count;
  ddb__tree_seek(&walk->index->tree, &from.tree, &walk->group);
  walk->cursor = walk->group;
  walk->left -= walk->group_left;
}

bool ddb__walk_next(ddb__walk *walk, uint64_t *seq) {
  ddb__tree_entry entry;
  if (walk->group_left == 0) {
    if (walk->left == 0) {
      return false;
    }
    if (!walk->descending) {
      walk->left--;
      bool more = ddb__tree_next(&walk->cursor, &entry);
      *seq = entry.seq;
      return more;
    }
    if (!ddb__tree_previous(&walk->cursor, &entry)) {
      return false;
    }
    if (DDB__FAULT(WALK_TIES_BACKWARDS) || !has_neighbour(walk, entry)) {
      walk->left--;
      *seq = entry.seq;
      return true;
    }
    open_group(walk, entry);
  }
  walk->group_left--;
  bool more = ddb__tree_next(&walk->group, &entry);
  *seq = entry.seq;
  return more;
}
