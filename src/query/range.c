/* SPDX-License-Identifier: Apache-2.0 */
/*
 * range.c - see range.h.
 */
#include "query/range.h"

#include "base/testing.h"
#include "store/index_key.h"
#include "store/value.h"

/* ---- What serves what --------------------------------------------------------------------- */

/* A like that a str's beginning tells something of: values[0] is that beginning. */
static bool is_literal_like(const ddb_cond *leaf) {
  return leaf->kind == DDB__COND_LIKE && !leaf->leaf.pattern->folded;
}

static bool is_equal_like(const ddb_cond *leaf) {
  return is_literal_like(leaf) && leaf->leaf.pattern->is_exact;
}

/* Does the beginning decide? */
static bool is_decided_like(const ddb_cond *leaf) {
  return is_literal_like(leaf) && (leaf->leaf.pattern->is_exact || leaf->leaf.pattern->is_prefix);
}

bool ddb__range_knows(const ddb_cond *leaf) {
  return leaf->kind <= DDB__COND_NULL || is_decided_like(leaf) ||
         (is_literal_like(leaf) && leaf->leaf.values[0].size > 0);
}

bool ddb__range_is_equal(const ddb_cond *leaf) {
  return leaf->kind == DDB__COND_NULL || is_equal_like(leaf) ||
         (leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_EQ) ||
         (leaf->kind == DDB__COND_IN && leaf->count == 1);
}

bool ddb__range_serves(ddb_index_kind kind, const ddb_cond *leaf, bool negated) {
  if (kind == DDB_INDEX_HASH) {
    return !negated && (leaf->kind == DDB__COND_IN || ddb__range_is_equal(leaf));
  }
  if (leaf->kind == DDB__COND_IN) {
    return !negated || leaf->count <= 1;
  }
  if (leaf->kind == DDB__COND_LIKE) {
    return ddb__range_knows(leaf) && (!negated || is_decided_like(leaf));
  }
  return leaf->kind == DDB__COND_NULL || leaf->kind == DDB__COND_BETWEEN ||
         (leaf->kind == DDB__COND_COMPARE && leaf->op <= DDB_OP_STARTSWITH);
}

static ddb_value literal_of(const ddb_cond *leaf, size_t index) {
  return leaf->kind == DDB__COND_NULL ? ddb_null() : leaf->leaf.values[index];
}

/* Do `<` and its like mean the same class of values for both? */
static bool share_class(const ddb_value *a, const ddb_value *b) {
  uint8_t first_a;
  uint8_t first_b;
  uint8_t end;
  return ddb__key_class(a, &first_a, &end) && ddb__key_class(b, &first_b, &end) &&
         first_a == first_b;
}

bool ddb__range_is_exact(const ddb__match *match) {
  if (match->index->def->kind != DDB_INDEX_SORTED) {
    return false;
  }
  if (!match->low) {
    return true;
  }
  if (match->equal_count > 0) {
    return false; /* the class of the last value is not looked at */
  }
  if (match->high) {
    return share_class(&match->low->leaf.values[0], &match->high->leaf.values[0]);
  }
  if (match->low->kind == DDB__COND_LIKE) {
    return is_decided_like(match->low) || DDB__FAULT(RANGE_LIKE_DECIDES);
  }
  return match->low->kind != DDB__COND_IN || match->low->count <= 1;
}

/* ---- Bounds ------------------------------------------------------------------------------- */

typedef struct maker {
  ddb__range *range;
  const ddb__match *match;
  const ddb__rows *rows;
} maker;

/* The range begins (side -1: before, 1: after the value's entries) or ends there. */
static void set_place(const maker *m, ddb__index_place *place, const ddb_value *value, bool begins,
                      int side) {
  ddb_value *values = place == &m->range->from ? m->range->low : m->range->high;
  uint32_t count = m->match->equal_count;
  if (value) {
    values[count++] = *value;
  }
  ddb__index_bound_init(place, m->match->index->def, m->rows, values, count, begins, side);
}

/* From or to where the class of the value starts or ends. Behind fixed values, nulls at most are
 * left out. */
static void set_class(const maker *m, ddb__index_place *place, const ddb_value *value, bool start) {
  uint8_t codes[2];
  if (m->match->equal_count > 0) {
    ddb_value null = ddb_null();
    set_place(m, place, start ? &null : NULL, false, 1);
  } else if (ddb__key_class(value, &codes[0], &codes[1])) {
    uint64_t key = (uint64_t)codes[start ? 0 : 1] << 56;
    *place = (ddb__index_place){.tree = {key, key, 0, -1, NULL}};
  }
}

static bool is_comparable(const ddb_value *value) {
  uint8_t first;
  uint8_t end;
  return ddb__key_class(value, &first, &end);
}

/* NaN, or what holds one, equals nothing. */
static bool set_equal(const maker *m, const ddb_value *value) {
  set_place(m, &m->range->from, value, false, -1);
  set_place(m, &m->range->to, value, false, 1);
  return !value || ddb_value_equal(value, value);
}

static bool set_between(const maker *m, const ddb_value *low, const ddb_value *high) {
  if (!share_class(low, high) || ddb_value_compare(low, high) > 0) {
    return false;
  }
  set_place(m, &m->range->from, low, false, -1);
  set_place(m, &m->range->to, high, false, 1);
  return true;
}

static bool set_begins(const maker *m, const ddb_value *start) {
  if (start->kind != DDB_STR_KIND && start->kind != DDB_BYTES) {
    return false;
  }
  set_place(m, &m->range->from, start, true, -1);
  set_place(m, &m->range->to, start, !DDB__FAULT(RANGE_PREFIX_SHORT), 1);
  return true;
}

/* One end, and the class for the other. */
static bool set_compared(const maker *m, ddb_op op, const ddb_value *value) {
  if (!is_comparable(value)) {
    return false;
  }
  bool above = op == DDB_OP_GT || op == DDB_OP_GE;
  bool included = op == DDB_OP_GE || op == DDB_OP_LE;
  if (DDB__FAULT(RANGE_EXCLUDES_END)) {
    included = false;
  }
  set_class(m, above ? &m->range->to : &m->range->from, value, !above);
  set_place(m, above ? &m->range->from : &m->range->to, value, false, above != included ? 1 : -1);
  return true;
}

/* > or >= with < or <=. */
static bool set_both(const maker *m) {
  const ddb_cond *high = m->match->high;
  if (!set_compared(m, (ddb_op)m->match->low->op, &m->match->low->leaf.values[0])) {
    return false;
  }
  const ddb_value *end = &high->leaf.values[0];
  set_place(m, &m->range->to, end, false, high->op == DDB_OP_LE ? 1 : -1);
  return is_comparable(end);
}

static bool set_leaf(const maker *m, const ddb_cond *leaf, size_t index) {
  ddb_value value = {.kind = DDB_NULL};
  if (leaf->count > 0) {
    value = literal_of(leaf, index);
  }
  if (leaf->kind == DDB__COND_BETWEEN) {
    return set_between(m, &leaf->leaf.values[0], &leaf->leaf.values[1]);
  }
  if (leaf->kind == DDB__COND_LIKE && !is_equal_like(leaf)) {
    return set_begins(m, &value);
  }
  if (leaf->kind != DDB__COND_COMPARE || leaf->op <= DDB_OP_NE) {
    return set_equal(m, &value);
  }
  return leaf->op == DDB_OP_STARTSWITH ? set_begins(m, &value)
                                       : set_compared(m, (ddb_op)leaf->op, &value);
}

/* ---- Hash runs ---------------------------------------------------------------------------- */

static bool set_run(const maker *m, size_t index) {
  const ddb__match *match = m->match;
  ddb_value *values = m->range->low;
  uint32_t count = match->equal_count;
  if (match->low) {
    values[count++] = literal_of(match->low, index);
  }
  uint64_t key = ddb__index_key(match->index->def, values);
  m->range->from = (ddb__index_place){.tree = {key, key, 0, -1, NULL}};
  m->range->to = (ddb__index_place){.tree = {key, key, 0, 1, NULL}};
  return count == 0 || ddb_value_equal(&values[count - 1], &values[count - 1]);
}

/* ---- Ranges ------------------------------------------------------------------------------- */

/* != and what is negated: what is not in the one range of the leaf. */
static bool is_complement(const ddb__match *match) {
  const ddb_cond *leaf = match->low;
  bool not_equal = leaf && leaf->kind == DDB__COND_COMPARE && leaf->op == DDB_OP_NE;
  return not_equal != match->negated;
}

size_t ddb__range_count(const ddb__match *match) {
  if (is_complement(match)) {
    return 2;
  }
  bool is_in = match->low && match->low->kind == DDB__COND_IN;
  return is_in ? match->low->count : 1;
}

/* Before the leaf's range (index 0), or after it; all when it is empty. */
static bool complement(const maker *m, bool some, size_t index) {
  ddb__range *range = m->range;
  if (!some) {
    range->from_start = range->to_end = true;
    return index == 0;
  }
  if (index == 0) {
    range->to = range->from;
    range->from_start = true;
    if (DDB__FAULT(RANGE_NULL_SKIPPED)) {
      ddb_value null = ddb_null();
      range->from_start = false;
      set_place(m, &range->from, &null, false, 1);
    }
  } else {
    range->from = range->to;
    range->to_end = true;
  }
  return true;
}

bool ddb__range_init(ddb__range *range, const ddb__match *match, const ddb__rows *rows,
                     size_t index) {
  maker m = {range, match, rows};
  range->from_start = range->to_end = false;
  bool some = true;
  for (uint32_t i = 0; i < match->equal_count; i++) {
    ddb_value value = literal_of(match->equals[i], 0);
    range->low[i] = range->high[i] = value;
    some = some && ddb_value_equal(&value, &value);
  }
  if (match->index->def->kind == DDB_INDEX_HASH) {
    return set_run(&m, index) && some;
  }
  bool inner = is_complement(match);
  if (!match->low) {
    some = set_equal(&m, NULL) && some;
    range->from_start = range->to_end = match->equal_count == 0; /* the places hold as well */
    if (match->skips_nulls && !DDB__FAULT(WALK_BEGINS_AT_NULL)) {
      ddb_value null = ddb_null();
      range->from_start = false;
      set_place(&m, &range->from, &null, false, 1);
    }
  } else if (match->high) {
    some = set_both(&m) && some;
  } else if (match->low->kind == DDB__COND_IN && match->low->count == 0) {
    some = false;
  } else {
    some = set_leaf(&m, match->low, inner ? 0 : index) && some;
  }
  return inner ? complement(&m, some, index) : some;
}

/* The entries' places may not hold for what is open. */
void ddb__range_ranks(const ddb__match *match, const ddb__range *range, uint64_t *from,
                      uint64_t *to) {
  const ddb__tree *tree = &match->index->tree;
  *from = range->from_start ? 0 : ddb__tree_rank(tree, &range->from.tree);
  *to = range->to_end ? tree->count : ddb__tree_rank(tree, &range->to.tree);
}

static ddb__tree_run range_run(const ddb__match *match, const ddb__range *range) {
  const ddb__tree *tree = &match->index->tree;
  if (!range->from_start && !range->to_end) {
    return ddb__tree_between(tree, &range->from.tree, &range->to.tree);
  }
  uint64_t from;
  uint64_t to;
  ddb__range_ranks(match, range, &from, &to);
  return (ddb__tree_run){to > from ? to - from : 0, NULL, 0};
}

ddb__tree_run ddb__range_entries(const ddb__match *match, const ddb__rows *rows) {
  ddb__tree_run all = {0, NULL, 0};
  size_t count = ddb__range_count(match);
  for (size_t i = 0; i < count; i++) {
    ddb__range range;
    if (ddb__range_init(&range, match, rows, i)) {
      ddb__tree_run run = range_run(match, &range);
      run.count += all.count;
      all = count == 1 ? run : (ddb__tree_run){run.count, NULL, 0};
    }
  }
  return all;
}

static ddb_status append_walk(const ddb__tree *tree, const ddb__range *range, uint64_t count,
                              ddb__seqs *out, ddb_error *err) {
  ddb__tree_place start = ddb__tree_at(0, 0);
  ddb__tree_cursor cursor;
  ddb__tree_entry entry;
  ddb_status status = DDB_OK;
  ddb__tree_seek(tree, range->from_start ? &start : &range->from.tree, &cursor);
  for (; count > 0 && !status && ddb__tree_next(&cursor, &entry); count--) {
    status = ddb__seqs_append(out, entry.seq, err);
  }
  return status;
}

static ddb_status append_beside(const ddb__tree_run *run, ddb__seqs *out, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (uint64_t i = 0; i < run->beside && !status; i++) {
    status = ddb__seqs_append(out, run->first[i].seq, err);
  }
  return status;
}

static ddb_status append_range(const ddb__match *match, const ddb__range *range,
                               const ddb__tree_run *run, ddb__seqs *out, ddb_error *err) {
  return run->first && run->beside == run->count
             ? append_beside(run, out, err)
             : append_walk(&match->index->tree, range, run->count, out, err);
}

ddb_status ddb__range_collect(const ddb__match *match, const ddb__rows *rows,
                              const ddb__tree_run *run, ddb__seqs *out, ddb_error *err) {
  if (run->first && run->beside == run->count) {
    return append_beside(run, out, err);
  }
  ddb_status status = DDB_OK;
  size_t count = ddb__range_count(match);
  for (size_t i = 0; i < count && !status; i++) {
    ddb__range range;
    if (ddb__range_init(&range, match, rows, i)) {
      const ddb__tree_run one = count == 1 ? *run : range_run(match, &range);
      status = append_range(match, &range, &one, out, err);
    }
  }
  return status;
}
