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

/* ---- The first of each value -------------------------------------------------------------- */

static bool has_path(const ddb__path *paths, size_t count, const ddb__path *path) {
  bool has = false;
  for (size_t i = 0; i < count && !has; i++) {
    has = ddb__path_equal(&paths[i], path);
  }
  return has;
}

/* Are the index's groups in the match the different values of the paths? Fields that the match fixes
 * are of one value. */
static bool groups_are(const ddb__match *match, const ddb__firsts *wanted) {
  const ddb__index_def *def = match->index->def;
  bool are = true;
  for (uint32_t i = match->equal_count; i < def->field_count && are; i++) {
    are = has_path(wanted->paths, wanted->path_count, &def->paths[i]);
  }
  for (size_t i = 0; i < wanted->path_count && are && !DDB__FAULT(FIRSTS_OF_FEWER); i++) {
    are = has_path(def->paths, def->field_count, &wanted->paths[i]);
  }
  return are;
}

/* Do they come in the order that is wanted, with no two in the same place? */
static bool groups_are_ordered(const ddb__match *match, const ddb__firsts *wanted) {
  const ddb__index_def *def = match->index->def;
  bool are = wanted->order && wanted->order_count == def->field_count - match->equal_count;
  for (size_t i = 0; i < wanted->order_count && are; i++) {
    are = ddb__path_equal(&wanted->order[i], &def->paths[match->equal_count + i]);
  }
  return are;
}

/* Does the order ask for no other paths? Then the first row of each value is the one that is kept. */
static bool order_is_within(const ddb__firsts *wanted) {
  bool is = true;
  for (size_t i = 0; i < wanted->order_count && is; i++) {
    is = has_path(wanted->paths, wanted->path_count, &wanted->order[i]);
  }
  return is;
}

/* The ranges of an index whose groups they are, in their order if there is such a one. */
static bool find_groups(const ddb__plan *plan, const ddb__firsts *wanted, ddb__match *out,
                        bool *ordered) {
  const ddb__root *root = plan->source.root;
  bool found = false;
  *ordered = false;
  for (uint32_t i = 0; i < root->index_count && !*ordered && order_is_within(wanted); i++) {
    ddb__match match;
    if (ddb__plan_told_by(plan, &root->indexes[i], &match) && groups_are(&match, wanted)) {
      *ordered = groups_are_ordered(&match, wanted);
      *out = found && !*ordered ? *out : match;
      found = true;
    }
  }
  return found;
}

typedef struct collector {
  const ddb__match *match;
  const ddb__rows *rows;
  ddb__seqs *out;
  uint64_t most; /* groups */
  uint64_t seen; /* entries of those so far */
  bool backwards;
  bool may_give_up;
  bool gave_up;
  ddb_error *err;
} collector;

/* Are the groups so far too small to look each up? */
static bool are_small(const collector *c) {
  size_t groups = c->out->count;
  return c->may_give_up && groups > GROUPS_FREE && groups % GROUPS_FREE == 0 &&
         c->seen / GROUP_MIN < groups - GROUPS_FREE;
}

/* One end of the group that a row is in. Not to be moved. */
typedef struct group_end {
  ddb__index_place place;
  ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
} group_end;

static void group_end_init(group_end *end, const collector *c, uint64_t seq, int side) {
  const ddb__index_def *def = c->match->index->def;
  ddb__index_values(def, ddb__rows_get(c->rows, seq), end->values);
  ddb__index_bound_init(&end->place, def, c->rows, end->values, def->field_count, false, side);
}

/* Moves the cursor past the next group, whose first row is *seq, and returns the rank there. */
static uint64_t step_over(const collector *c, ddb__tree_cursor *cursor, uint64_t *seq) {
  const ddb__tree *tree = &c->match->index->tree;
  ddb__tree_entry entry = {0, 0};
  group_end end;
  (void)(c->backwards ? ddb__tree_previous(cursor, &entry) : ddb__tree_next(cursor, &entry));
  group_end_init(&end, c, entry.seq, c->backwards ? -1 : 1);
  ddb__tree_seek(tree, &end.place.tree, cursor);
  if (c->backwards) {
    ddb__tree_cursor first = *cursor;
    (void)ddb__tree_next(&first, &entry);
  }
  *seq = entry.seq;
  return ddb__tree_rank(tree, &end.place.tree);
}

static ddb_status collect_range(collector *c, size_t index) {
  const ddb__tree *tree = &c->match->index->tree;
  ddb__range range;
  if (!ddb__range_init(&range, c->match, c->rows, index)) {
    return DDB_OK;
  }
  uint64_t from;
  uint64_t to;
  ddb__range_ranks(c->match, &range, &from, &to);
  const ddb__tree_place first = ddb__tree_at(0, 0);
  const ddb__tree_place last = ddb__tree_at(UINT64_MAX, UINT64_MAX);
  /* Not copied: what compares a place takes it for the index place that it is part of. */
  const ddb__tree_place *start = range.from_start ? &first : &range.from.tree;
  const ddb__tree_place *end = range.to_end ? &last : &range.to.tree;
  ddb__tree_cursor cursor;
  ddb__tree_seek(tree, c->backwards ? end : start, &cursor);
  ddb_status status = DDB_OK;
  while (from < to && c->out->count < c->most && !c->gave_up && !status) {
    uint64_t seq;
    uint64_t at = step_over(c, &cursor, &seq);
    c->seen += c->backwards ? to - at : at - from;
    *(c->backwards ? &to : &from) = at;
    status = ddb__seqs_append(c->out, seq, c->err);
    c->gave_up = are_small(c);
  }
  return status;
}

ddb_status ddb__firsts_collect(const ddb__plan *plan, const ddb__firsts *wanted, ddb__seqs *out,
                               ddb__match *match, bool *told, ddb_error *err) {
  bool ordered;
  *told = find_groups(plan, wanted, match, &ordered);
  if (!*told) {
    return DDB_OK;
  }
  const ddb__rows *rows = &plan->source.root->rows;
  uint64_t most = ordered ? wanted->most : UINT64_MAX;
  most -= most < UINT64_MAX && most > 1 && DDB__FAULT(FIRSTS_CUT_EARLY) ? 1 : 0;
  collector c = {.match = match,
                 .rows = rows,
                 .out = out,
                 .most = most,
                 .backwards = ordered && wanted->descending,
                 .may_give_up = most > ddb__range_entries(match, rows).count / GROUP_MIN,
                 .err = err};
  ddb_status status = DDB_OK;
  size_t ranges = ddb__range_count(match);
  for (size_t i = 0; i < ranges && !status; i++) {
    status = collect_range(&c, c.backwards ? ranges - 1 - i : i);
  }
  *told = !c.gave_up;
  return status;
}

ddb_status ddb__firsts_plan(ddb__plan *plan, const ddb__firsts *wanted, ddb_error *err) {
  ddb__seqs seqs;
  ddb__match match;
  bool told;
  ddb__seqs_init(&seqs);
  ddb_status status = ddb__firsts_collect(plan, wanted, &seqs, &match, &told, err);
  if (!status && told && !DDB__FAULT(FIRSTS_BY_VALUE)) {
    status = ddb__seqs_normalise(&seqs, err);
  }
  if (!status && told) {
    plan->candidates.count = 0;
    for (size_t i = 0; i < seqs.count && !status; i++) {
      status = ddb__seqs_append(&plan->candidates, seqs.items[i], err);
    }
    plan->by_candidates = true;
    plan->is_ordered = false;
    plan->is_firsts = true;
    plan->firsts = match;
  }
  ddb__seqs_fini(&seqs);
  return status;
}
