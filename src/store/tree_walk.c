/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_walk.c - reading, freeing, retiring and checking a tree. Changing it is in tree.c, the nodes
 * and their invariants T1 to T5 in tree_node.h.
 *
 * Locks: none for reading; a published node never changes. Cost: a seek is O(height), a step O(1)
 * amortised; freeing and retiring are O(nodes).
 */
#include "store/tree.h"
#include "store/tree_node.h"

typedef struct ddb__tree_node tree_node;

/* ---- Cursor ------------------------------------------------------------------------------- */

void ddb__tree_seek(const ddb__tree *tree, const ddb__tree_place *place, ddb__tree_cursor *cursor) {
  cursor->height = tree->height;
  const tree_node *node = tree->root;
  for (uint32_t depth = 0; node; depth++) {
    bool leaf = node->level == 1;
    uint32_t index = leaf ? tree_search(node, place) : tree_child_index(node, place);
    cursor->nodes[depth] = node;
    cursor->indexes[depth] = index;
    node = leaf ? NULL : tree_descend(node, index);
  }
}

/* Moves from the end of a leaf to the start of the next one. */
static bool next_leaf(ddb__tree_cursor *cursor) {
  uint32_t depth = cursor->height - 1;
  do {
    if (depth == 0) {
      return false;
    }
    depth--;
    cursor->indexes[depth]++;
  } while (cursor->indexes[depth] == cursor->nodes[depth]->count);
  const tree_node *node = cursor->nodes[depth];
  uint32_t index = cursor->indexes[depth];
  while (node->level > 1) {
    node = tree_children(node)[index];
    index = 0;
    depth++;
    cursor->nodes[depth] = node;
    cursor->indexes[depth] = 0;
  }
  return true;
}

bool ddb__tree_next(ddb__tree_cursor *cursor, ddb__tree_entry *out) {
  if (cursor->height == 0) {
    return false;
  }
  uint32_t depth = cursor->height - 1;
  if (cursor->indexes[depth] == cursor->nodes[depth]->count && !next_leaf(cursor)) {
    cursor->height = 0;
    return false;
  }
  *out = cursor->nodes[depth]->entries[cursor->indexes[depth]++];
  return true;
}

/* Moves from the start of a leaf to the end of the one before. */
static bool previous_leaf(ddb__tree_cursor *cursor) {
  uint32_t depth = cursor->height - 1;
  do {
    if (depth == 0) {
      return false;
    }
    depth--;
  } while (cursor->indexes[depth] == 0);
  cursor->indexes[depth]--;
  const tree_node *node = cursor->nodes[depth];
  while (node->level > 1) {
    node = tree_children(node)[cursor->indexes[depth]];
    depth++;
    cursor->nodes[depth] = node;
    cursor->indexes[depth] = node->level > 1 ? node->count - 1 : node->count;
  }
  return true;
}

bool ddb__tree_previous(ddb__tree_cursor *cursor, ddb__tree_entry *out) {
  if (cursor->height == 0) {
    return false;
  }
  uint32_t depth = cursor->height - 1;
  if (cursor->indexes[depth] == 0 && !previous_leaf(cursor)) {
    cursor->height = 0;
    return false;
  }
  *out = cursor->nodes[depth]->entries[--cursor->indexes[depth]];
  return true;
}

bool ddb__tree_peek_previous(const ddb__tree_cursor *cursor, ddb__tree_entry *out) {
  uint32_t depth = cursor->height - 1;
  if (cursor->height == 0 || cursor->indexes[depth] == 0) {
    ddb__tree_cursor moved = *cursor;
    return ddb__tree_previous(&moved, out);
  }
  *out = cursor->nodes[depth]->entries[cursor->indexes[depth] - 1];
  return true;
}

uint64_t ddb__tree_rank(const ddb__tree *tree, const ddb__tree_place *place) {
  uint64_t rank = 0;
  const tree_node *node = tree->root;
  while (node && node->level > 1) {
    uint32_t index = tree_child_index(node, place);
    for (uint32_t i = 0; i < index; i++) {
      rank += tree_totals(node)[i];
    }
    node = tree_descend(node, index);
  }
  return node ? rank + tree_search(node, place) : 0;
}

ddb__tree_run ddb__tree_between(const ddb__tree *tree, const ddb__tree_place *from,
                                const ddb__tree_place *to) {
  ddb__tree_cursor cursor;
  ddb__tree_seek(tree, from, &cursor);
  if (cursor.height == 0) {
    return (ddb__tree_run){0, NULL, 0};
  }
  /* Mostly the run ends in the leaf where it starts, or in the next one. */
  const tree_node *leaf = cursor.nodes[cursor.height - 1];
  uint32_t start = cursor.indexes[cursor.height - 1];
  uint32_t end = tree_find(leaf, start, to, false);
  uint64_t here = end - start;
  ddb__tree_run run = {here, here > 0 ? &leaf->entries[start] : NULL, here};
  if (end < leaf->count || !next_leaf(&cursor)) {
    return run;
  }
  const tree_node *next = cursor.nodes[cursor.height - 1];
  uint32_t rest = tree_find(next, 0, to, false);
  if (here == 0 && rest > 0) {
    run.first = &next->entries[0];
    run.beside = rest;
  }
  run.count =
      rest < next->count ? here + rest : ddb__tree_rank(tree, to) - ddb__tree_rank(tree, from);
  return run;
}

/* ---- Freeing and retiring ----------------------------------------------------------------- */

/* Frees the nodes under `node` that are not older than `version`; by T5 what an older one reaches
 * is older too. */
static void free_since(tree_node *node, ddb__heap *heap, uint64_t version) {
  if (!node || node->head.birth < version) {
    return;
  }
  for (uint32_t i = 0; node->level > 1 && i < node->count; i++) {
    free_since(tree_children(node)[i], heap, version);
  }
  ddb__free(heap, node, tree_node_size(node));
}

void ddb__tree_free_born(ddb__tree *tree, ddb__heap *heap, uint64_t version) {
  free_since(tree->root, heap, version);
  *tree = (ddb__tree){NULL, 0, 0};
}

void ddb__tree_free(ddb__tree *tree, ddb__heap *heap) {
  ddb__tree_free_born(tree, heap, 0);
}

/* Leaves are counted without being read. */
static size_t count_nodes(const tree_node *node) {
  if (node->level <= 2) {
    return node->level == 1 ? 1 : 1 + (size_t)node->count;
  }
  size_t count = 1;
  for (uint32_t i = 0; i < node->count; i++) {
    count += count_nodes(tree_children(node)[i]);
  }
  return count;
}

static void drop_nodes(tree_node *node, ddb__edit *edit) {
  for (uint32_t i = 0; node->level > 1 && i < node->count; i++) {
    drop_nodes(tree_children(node)[i], edit);
  }
  ddb__edit_drop(edit, node, node->head.birth, tree_node_size(node));
}

ddb_status ddb__tree_retire(ddb__tree *tree, ddb__edit *edit, ddb_error *err) {
  if (tree->root) {
    ddb_status status = ddb__edit_reserve(edit, count_nodes(tree->root), err);
    if (status) {
      return status;
    }
    drop_nodes(tree->root, edit);
  }
  *tree = (ddb__tree){NULL, 0, 0};
  return DDB_OK;
}

/* ---- Checking ----------------------------------------------------------------------------- */

typedef struct checker {
  const ddb__tree_entry *last; /* the entry before */
  bool edge;                   /* on the right edge, where nodes may be nearly empty */
  int (*compare)(const void *context, uint64_t a, uint64_t b);
  const void *context;
} checker;

static bool in_order(const checker *check, ddb__tree_entry a, ddb__tree_entry b) {
  if (a.key != b.key) {
    return a.key < b.key;
  }
  int sign = check->compare ? check->compare(check->context, a.seq, b.seq) : 0;
  return sign < 0 || (sign == 0 && a.seq < b.seq);
}

static const char *check_leaf(const tree_node *leaf, checker *check) {
  uint32_t least = check->edge ? 1 : TREE_FAN / 8 > 1 ? TREE_FAN / 8 : 1;
  if (leaf->count < least) {
    return "a leaf has too few entries";
  }
  for (uint32_t i = 0; i < leaf->count; i++) {
    if (check->last && !in_order(check, *check->last, leaf->entries[i])) {
      return "entries are out of order (T1)";
    }
    check->last = &leaf->entries[i];
  }
  return NULL;
}

static const ddb__tree_entry *first_of(const tree_node *node) {
  while (node->level > 1) {
    node = tree_children(node)[0];
  }
  return &node->entries[0];
}

static const char *check_node(const tree_node *node, uint32_t level, uint64_t version,
                              checker *check) {
  if (node->level != level) {
    return "a node has the wrong level (T3)";
  }
  if (node->head.birth > version) {
    return "a node is younger than what reaches it (T5)";
  }
  if (node->count > TREE_FAN) {
    return "a node has too many entries";
  }
  if (level == 1) {
    return check_leaf(node, check);
  }
  if (node->count < 2) {
    return "a branch has one child (T4)";
  }
  bool edge = check->edge;
  for (uint32_t i = 0; i < node->count; i++) {
    const tree_node *child = tree_children(node)[i];
    check->edge = edge && i == node->count - 1;
    const char *wrong = check_node(child, level - 1, node->head.birth, check);
    if (wrong) {
      return wrong;
    }
    if (i > 0 && memcmp(first_of(child), &node->entries[i], sizeof node->entries[i]) != 0) {
      return "a branch's entry is not the first of its child (T2)";
    }
    if (tree_totals(node)[i] != tree_total(child)) {
      return "a branch's total is not that of its child (T2)";
    }
  }
  return NULL;
}

const char *ddb__tree_check(const ddb__tree *tree, uint64_t version,
                            int (*compare)(const void *context, uint64_t a, uint64_t b),
                            const void *context) {
  checker check = {.edge = true, .compare = compare, .context = context};
  if (!tree->root) {
    return tree->height == 0 && tree->count == 0 ? NULL : "an empty tree has a height or a count";
  }
  if (tree->height > DDB__TREE_HEIGHT_MAX) {
    return "the tree is too high";
  }
  const char *wrong = check_node(tree->root, tree->height, version, &check);
  if (!wrong && tree_total(tree->root) != tree->count) {
    wrong = "the count is not that of the entries";
  }
  return wrong;
}
