/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - see rows.h.
 *
 * Cost: get is `height` dependent loads; append touches the right edge only and copies nothing;
 * set copies the path, `height` nodes of 64 pointers, once per statement and node.
 *
 *   R3  A node is dropped only when all of its range lies below `end`: the right edge, where appends
 *       land, always exists when `end` is inside a leaf.
 */
#include "store/rows.h"

#include <assert.h>

#include "base/testing.h"
#include "store/rows_node.h"

#define FAN_MASK (DDB__ROWS_FAN - 1u)

static unsigned shift_of(uint32_t level) { /* level 1: a leaf */
  return (level - 1) * DDB__ROWS_BITS;
}

/* Rows below one node of this level; saturates for the highest. */
static uint64_t span_of(uint32_t level) {
  unsigned bits = level * DDB__ROWS_BITS;
  return bits >= 64 ? UINT64_MAX : UINT64_C(1) << bits;
}

static size_t slot_of(uint64_t seq, uint32_t level) {
  return (size_t)(seq >> shift_of(level)) & FAN_MASK;
}

static const ddb__rows_node *leaf_of(const ddb__rows *rows, uint64_t seq) {
  const ddb__rows_node *node = rows->root;
  for (uint32_t level = rows->height; node && level > 1; level--) {
    node = node->slots[slot_of(seq, level)];
  }
  return node;
}

const ddb_record *ddb__rows_get(const ddb__rows *rows, uint64_t seq) {
  if (seq >= rows->end) {
    return NULL;
  }
  const ddb__rows_node *leaf = leaf_of(rows, seq);
  return leaf ? leaf->slots[seq & FAN_MASK] : NULL;
}

static void fetch(const void *from, size_t size) {
  for (size_t at = 0; at < size; at += 64) {
    __builtin_prefetch((const char *)from + at);
  }
}

void ddb__rows_fetch(const ddb__rows *rows, uint64_t seq, bool deeper) {
  const ddb__rows_node *leaf = seq < rows->end ? leaf_of(rows, seq) : NULL;
  const ddb_record *record = leaf && deeper ? leaf->slots[seq & FAN_MASK] : NULL;
  if (record) {
    fetch(record, 2 * 64);
  } else if (leaf && !deeper) {
    fetch(leaf, sizeof *leaf);
  }
}

void ddb__rows_fetch_slot(const ddb__rows *rows, uint64_t seq) {
  const ddb__rows_node *leaf = seq < rows->end ? leaf_of(rows, seq) : NULL;
  if (leaf) {
    __builtin_prefetch(&leaf->slots[seq & FAN_MASK]);
  }
}

const ddb_record *const *ddb__rows_run(const ddb__rows *rows, uint64_t seq, uint64_t *count) {
  assert(seq < rows->end);
  uint64_t rest = DDB__ROWS_FAN - (seq & FAN_MASK);
  *count = rest < rows->end - seq ? rest : rows->end - seq;
  const ddb__rows_node *node = rows->root;
  for (uint32_t level = rows->height; level > 1; level--) {
    node = node ? node->slots[slot_of(seq, level)] : NULL;
    if (!node) { /* a whole subtree of holes */
      uint64_t skip = span_of(level - 1) - (seq & (span_of(level - 1) - 1));
      *count = skip < rows->end - seq ? skip : rows->end - seq;
      return NULL;
    }
  }
  return node ? (const ddb_record *const *)(const void *)&node->slots[seq & FAN_MASK] : NULL;
}

ddb__rows_node *ddb__rows_block(const ddb__rows *rows, uint64_t seq) {
  if (rows->height < 2 || (seq & (span_of(2) - 1)) != 0 || rows->end - seq < span_of(2)) {
    return NULL;
  }
  ddb__rows_node *node = rows->root;
  for (uint32_t level = rows->height; node && level > 2; level--) {
    node = node->slots[slot_of(seq, level)];
  }
  return node;
}

const ddb_record *const *ddb__rows_block_leaf(const ddb__rows_node *block, size_t leaf) {
  const ddb__rows_node *node = block->slots[leaf];
  return node ? (const ddb_record *const *)(const void *)node->slots : NULL;
}

void ddb__rows_block_free(ddb__heap *heap, ddb__rows_node *block) {
  ddb__memo *memo = atomic_load_explicit(&block->memo, memory_order_acquire);
  if (memo) {
    ddb__memo_release(memo);
  }
  ddb__free(heap, block, sizeof *block);
}

static void node_free(ddb__heap *heap, ddb__rows_node *node, uint32_t level) {
  if (level == 2) {
    ddb__rows_block_free(heap, node);
  } else {
    ddb__free(heap, node, sizeof *node);
  }
}

static void node_retire(ddb__edit *edit, ddb__rows_node *node, uint32_t level) {
  uint64_t what = level == 2 ? DDB__RETIRED_BLOCK : DDB__RETIRED_PLAIN;
  ddb__edit_retire_as(edit, what, node, node->node.birth, sizeof *node);
}

static ddb__rows_node *node_new(ddb__edit *edit, ddb_error *err) {
  ddb__rows_node *node = ddb__alloc_zero(edit->heap, sizeof *node);
  if (!node) {
    (void)ddb__fail_memory(err, sizeof *node);
    return NULL;
  }
  node->node.birth = edit->version;
  return node;
}

/* A chain of new nodes from `level` down to a leaf, holding `record` in each first slot. */
static ddb__rows_node *path_new(ddb__edit *edit, uint32_t level, const ddb_record *record,
                                ddb_error *err) {
  ddb__rows_node *below = NULL;
  for (uint32_t at = 1; at <= level; at++) {
    ddb__rows_node *node = node_new(edit, err);
    if (!node) {
      while (below) { /* each chain node but the leaf has one child */
        ddb__rows_node *child = --at > 1 ? below->slots[0] : NULL;
        ddb__free(edit->heap, below, sizeof *below);
        below = child;
      }
      return NULL;
    }
    node->slots[0] = at == 1 ? (void *)(uintptr_t)record : below;
    below = node;
  }
  return below;
}

static ddb_status grow(ddb__rows *rows, ddb__edit *edit, ddb_error *err) {
  ddb__rows_node *root = node_new(edit, err);
  if (!root) {
    return DDB_ERR_NOMEM;
  }
  root->slots[0] = rows->root;
  rows->root = root;
  rows->height++;
  return DDB_OK;
}

ddb_status ddb__rows_append(ddb__rows *rows, ddb__edit *edit, const ddb_record *record,
                            ddb_error *err) {
  uint64_t seq = rows->end;
  if (seq == UINT64_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "the table has used all its sequence numbers");
  }
  if (rows->height == 0) {
    rows->root = path_new(edit, 1, record, err);
    if (!rows->root) {
      return DDB_ERR_NOMEM;
    }
    rows->height = 1;
    rows->end = seq + 1;
    return DDB_OK;
  }
  if (seq == span_of(rows->height) && grow(rows, edit, err) != DDB_OK) {
    return DDB_ERR_NOMEM;
  }
  /* Down the right edge; what is beyond it is ours to write, published or not (R2). */
  ddb__rows_node *node = rows->root;
  for (uint32_t level = rows->height; level > 1; level--) {
    void **slot = &node->slots[slot_of(seq, level)];
    if ((seq & (span_of(level - 1) - 1)) == 0) {
      ddb__rows_node *path = path_new(edit, level - 1, record, err);
      if (!path) {
        return DDB_ERR_NOMEM;
      }
      *slot = path;
      rows->end = seq + 1;
      return DDB_OK;
    }
    node = *slot;
    assert(node && "R3: the right edge exists");
  }
  node->slots[seq & FAN_MASK] = (void *)(uintptr_t)record;
  rows->end = seq + 1;
  return DDB_OK;
}

ddb_status ddb__rows_append_run(ddb__rows *rows, ddb__edit *edit, ddb_record *const *records,
                                size_t count, ddb_error *err) {
  for (size_t i = 0; i < count;) {
    ddb_status status = ddb__rows_append(rows, edit, records[i], err);
    if (status != DDB_OK) {
      return status;
    }
    i++;
    size_t used = (size_t)rows->end & FAN_MASK; /* 0: that was the leaf's last one */
    size_t room = used == 0 ? 0 : DDB__ROWS_FAN - used;
    size_t more = room < count - i ? room : count - i;
    if (more > 0) {
      ddb__rows_node *leaf = (ddb__rows_node *)(uintptr_t)leaf_of(rows, rows->end - 1);
      memcpy(&leaf->slots[used], &records[i], more * sizeof *records);
      rows->end += more;
      i += more;
    }
  }
  return DDB_OK;
}

/* Would `node` hold nothing once the slot is emptied? Slots beyond end hold garbage: count none. */
static bool empties(const ddb__rows_node *node, size_t slot) {
  for (size_t i = 0; i < DDB__ROWS_FAN; i++) {
    if (i != slot && node->slots[i]) {
      return false;
    }
  }
  return true;
}

/* The copy of a block goes on with its memo: what changes in it from now on is dirty (RN1). */
static void inherit_memo(ddb__rows_node *copy, const ddb__rows_node *node) {
  ddb__memo *memo =
      atomic_load_explicit(&((ddb__rows_node *)(uintptr_t)node)->memo, memory_order_acquire);
  atomic_init(&copy->memo, memo);
  copy->dirty = 0;
  if (memo) {
    memo->references++;
    copy->dirty = memo->birth == node->node.birth ? 0 : node->dirty;
  }
}

/* The top node mostly has few children, and what lies beyond `end` is nobody's (R1): it stays behind. */
static void copy_slots(const ddb__rows *rows, ddb__rows_node *copy, const ddb__rows_node *node,
                       uint32_t level) {
  size_t used = level == rows->height ? slot_of(rows->end - 1, level) + 1 : DDB__ROWS_FAN;
  if (used <= DDB__ROWS_FAN / 4) {
    memcpy(copy->slots, node->slots, used * sizeof copy->slots[0]);
  } else {
    memcpy(copy->slots, node->slots, sizeof copy->slots);
  }
}

/* Makes *link ours to write: copies an older node and retires it. Room was reserved. */
static ddb_status own(const ddb__rows *rows, ddb__rows_node **link, uint32_t level, ddb__edit *edit,
                      ddb_error *err) {
  ddb__rows_node *node = *link;
  if (node->node.birth == edit->version) {
    return DDB_OK;
  }
  ddb__rows_node *copy = ddb__alloc(edit->heap, sizeof *copy);
  if (!copy) {
    return ddb__fail_memory(err, sizeof *copy);
  }
  copy_slots(rows, copy, node, level);
  copy->node.birth = edit->version;
  if (level == 2) {
    inherit_memo(copy, node);
  } else {
    atomic_init(&copy->memo, NULL);
    copy->dirty = node->dirty;
  }
  node_retire(edit, node, level);
  *link = copy;
  return DDB_OK;
}

/* Drops the nodes on the way to `seq` that its removal empties, from the leaf up (R3). Returns the
 * lowest level that stays, where the slot is then emptied. */
static uint32_t level_that_stays(const ddb__rows *rows, uint64_t seq) {
  const ddb__rows_node *nodes[64 / DDB__ROWS_BITS + 2];
  const ddb__rows_node *node = rows->root;
  for (uint32_t level = rows->height; level >= 1; level--) {
    nodes[level] = node;
    node = level > 1 ? node->slots[slot_of(seq, level)] : NULL;
  }
  uint32_t level = 1;
  while (level < rows->height) {
    uint64_t start = seq & ~(span_of(level) - 1);
    if (rows->end - start < span_of(level) || !empties(nodes[level], slot_of(seq, level))) {
      break;
    }
    level++;
  }
  return level;
}

static void drop_chain(ddb__rows_node *node, uint32_t level, uint64_t seq, ddb__edit *edit) {
  while (node) {
    ddb__rows_node *child = level > 1 ? node->slots[slot_of(seq, level)] : NULL;
    if (node->node.birth == edit->version) {
      node_free(edit->heap, node, level);
    } else {
      node_retire(edit, node, level);
    }
    node = child;
    level--;
  }
}

/* Notes that the row differs from what the block's memo says. `first`: is it the first of its leaf?
 * Set for a block, used for its leaf (RN2). */
static void mark_dirty(ddb__rows_node *node, uint32_t level, size_t slot, bool *first) {
  uint64_t bit = UINT64_C(1) << slot;
  if (level == 2) {
    *first = (node->dirty & bit) == 0;
    node->dirty |= bit;
  } else if (level == 1 && !DDB__FAULT(MEMO_STALE)) {
    node->dirty = (*first ? 0 : node->dirty) | bit;
  }
}

ddb_status ddb__rows_set(ddb__rows *rows, ddb__edit *edit, uint64_t seq, const ddb_record *record,
                         ddb_error *err) {
  assert(ddb__rows_get(rows, seq));
  ddb__rows_fetch(rows, seq, false); /* it will be copied after the nodes above it */
  ddb_status status = ddb__edit_reserve(edit, rows->height, err);
  if (status != DDB_OK) {
    return status;
  }
  uint32_t lowest = record ? 1 : level_that_stays(rows, seq);
  ddb__rows_node **link = &rows->root;
  bool first = true;
  for (uint32_t level = rows->height;; level--) {
    bool in_place = DDB__FAULT(EDIT_IN_PLACE) && level == 1;
    if (!in_place && (status = own(rows, link, level, edit, err)) != DDB_OK) {
      return status;
    }
    void **slot = &(*link)->slots[slot_of(seq, level)];
    mark_dirty(*link, level, slot_of(seq, level), &first);
    if (level == lowest) {
      if (level > 1) {
        drop_chain(*slot, level - 1, seq, edit);
      }
      *slot = (void *)(uintptr_t)record;
      return DDB_OK;
    }
    link = (ddb__rows_node **)(void *)slot;
  }
}

static void free_record_born(ddb__heap *heap, ddb_record *record, uint64_t version) {
  if (record && record->birth == version && !DDB__FAULT(ABORT_LEAKS)) {
    ddb__free(heap, record, ddb__record_size(record));
  }
}

typedef struct born {
  ddb__heap *heap;
  uint64_t version;
  uint64_t old_end;
  uint64_t end;
} born;

/* An old node holds something of `version` only beyond old_end (R2). */
static void free_born(const born *what, ddb__rows_node *node, uint32_t level, uint64_t start) {
  bool ours = node->node.birth == what->version;
  uint64_t step = level > 1 ? span_of(level - 1) : 1;
  for (size_t i = 0; i < DDB__ROWS_FAN; i++) {
    uint64_t first = start + i * step;
    if (first >= what->end) {
      break;
    }
    bool beyond =
        what->end - first > step ? first + step > what->old_end : what->end > what->old_end;
    if (!node->slots[i] || (!ours && !beyond)) {
      continue;
    }
    if (level > 1) {
      free_born(what, node->slots[i], level - 1, first);
    } else {
      free_record_born(what->heap, node->slots[i], what->version);
    }
  }
  if (ours) {
    node_free(what->heap, node, level);
  }
}

void ddb__rows_free_born(ddb__rows *rows, ddb__heap *heap, uint64_t version, uint64_t old_end) {
  born what = {.heap = heap, .version = version, .old_end = old_end, .end = rows->end};
  if (rows->root) {
    free_born(&what, rows->root, rows->height, 0);
  }
  *rows = (ddb__rows){0};
}

static void free_all(ddb__heap *heap, ddb__rows_node *node, uint32_t level, uint64_t start,
                     uint64_t end) {
  uint64_t step = level > 1 ? span_of(level - 1) : 1;
  for (size_t i = 0; i < DDB__ROWS_FAN && start + i * step < end; i++) {
    if (!node->slots[i]) {
      continue;
    }
    if (level > 1) {
      free_all(heap, node->slots[i], level - 1, start + i * step, end);
    } else {
      ddb_record *record = node->slots[i];
      ddb__free(heap, record, ddb__record_size(record));
    }
  }
  node_free(heap, node, level);
}

void ddb__rows_free(ddb__rows *rows, ddb__heap *heap) {
  if (rows->root) {
    free_all(heap, rows->root, rows->height, 0, rows->end);
  }
  *rows = (ddb__rows){0};
}

typedef struct diff {
  uint64_t end; /* of the old rows */
  ddb__rows_change change;
  void *context;
  ddb_error *err;
} diff;

/* The rows below two nodes of one level; either may be NULL. */
static ddb_status diff_nodes(const diff *d, const ddb__rows_node *old, const ddb__rows_node *new,
                             uint32_t level, uint64_t start) {
  uint64_t step = level > 1 ? span_of(level - 1) : 1;
  for (size_t i = 0; i < DDB__ROWS_FAN && start + i * step < d->end; i++) {
    void *before = old ? old->slots[i] : NULL;
    void *after = new ? new->slots[i] : NULL;
    bool skipped = level > 1 && i == DDB__ROWS_FAN - 1 && DDB__FAULT(DELTA_SKIPS_NODE);
    if (before == after || skipped) {
      continue;
    }
    ddb_status status = level > 1 ? diff_nodes(d, before, after, level - 1, start + i * step)
                                  : d->change(d->context, before, after, d->err);
    if (status != DDB_OK) {
      return status;
    }
  }
  return DDB_OK;
}

ddb_status ddb__rows_diff(const ddb__rows *old, const ddb__rows *new, ddb__rows_change change,
                          void *context, ddb_error *err) {
  diff d = {.end = old->end, .change = change, .context = context, .err = err};
  const ddb__rows_node *node = new->root;
  for (uint32_t level = new->height; level > old->height; level--) {
    node = node ? node->slots[0] : NULL; /* grown: the old rows are at the left */
  }
  ddb_status status = DDB_OK;
  if (old->height && node != old->root) {
    status = diff_nodes(&d, old->root, node, old->height, 0);
  }
  for (uint64_t seq = old->end, count; seq < new->end &&status == DDB_OK; seq += count) {
    const ddb_record *const *run = ddb__rows_run(new, seq, &count);
    for (uint64_t i = 0; run && i < count && status == DDB_OK; i++) {
      status = run[i] ? change(context, NULL, run[i], err) : DDB_OK;
    }
  }
  return status;
}

static const char *check(const ddb__rows_node *node, uint32_t level, uint64_t start, uint64_t end,
                         uint64_t version, uint64_t *count) {
  if (node->node.birth > version) {
    return "a node was born after the version that reaches it";
  }
  uint64_t step = level > 1 ? span_of(level - 1) : 1;
  for (size_t i = 0; i < DDB__ROWS_FAN && start + i * step < end; i++) {
    if (!node->slots[i]) {
      continue;
    }
    if (level == 1) {
      const ddb_record *record = node->slots[i];
      if (record->birth > version || record->row_birth > record->birth) {
        return "a record was born after the version that reaches it, or before its row";
      }
      ++*count;
    } else {
      const char *wrong = check(node->slots[i], level - 1, start + i * step, end, version, count);
      if (wrong) {
        return wrong;
      }
    }
  }
  return NULL;
}

const char *ddb__rows_check(const ddb__rows *rows, uint64_t version, uint64_t *count) {
  *count = 0;
  if (rows->height && rows->end > span_of(rows->height)) {
    return "more rows than the height can reach";
  }
  return rows->root ? check(rows->root, rows->height, 0, rows->end, version, count) : NULL;
}
