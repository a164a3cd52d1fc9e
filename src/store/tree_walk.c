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

void ddb__tree_seek(const ddb__tree *tree, ddb__tree_entry from, ddb__tree_cursor *cursor) {
  cursor->height = tree->height;
  const tree_node *node = tree->root;
  for (uint32_t depth = 0; node; depth++) {
    bool leaf = node->level == 1;
    uint32_t index = leaf ? tree_search(node, 0, from) : tree_child_index(node, from);
    cursor->nodes[depth] = node;
    cursor->indexes[depth] = index;
    node = leaf ? NULL : tree_children(node)[index];
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

size_t ddb__tree_count_key(const ddb__tree *tree, uint64_t key, size_t limit) {
  ddb__tree_cursor cursor;
  ddb__tree_seek(tree, (ddb__tree_entry){key, 0}, &cursor);
  if (cursor.height == 0) {
    return 0;
  }
  size_t count = 0;
  uint32_t depth = cursor.height - 1;
  while (count < limit) {
    const tree_node *leaf = cursor.nodes[depth];
    uint32_t from = cursor.indexes[depth];
    uint32_t last = leaf->count;
    bool whole = from < last && leaf->entries[last - 1].key == key;
    uint32_t to = last;
    if (!whole) {
      to = tree_search(leaf, from, (ddb__tree_entry){key, UINT64_MAX});
      to += to < last && leaf->entries[to].key == key ? 1 : 0;
    }
    count += to - from;
    if (to < last || !next_leaf(&cursor)) {
      break;
    }
  }
  return count < limit ? count : limit;
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
  uint64_t count;
  bool edge; /* on the right edge, where nodes may be nearly empty */
} checker;

static const char *check_leaf(const tree_node *leaf, checker *check) {
  uint32_t least = check->edge ? 1 : TREE_FAN / 8 > 1 ? TREE_FAN / 8 : 1;
  if (leaf->count < least) {
    return "a leaf has too few entries";
  }
  for (uint32_t i = 0; i < leaf->count; i++) {
    if (check->last && !tree_less(*check->last, leaf->entries[i])) {
      return "entries are out of order (T1)";
    }
    check->last = &leaf->entries[i];
  }
  check->count += leaf->count;
  return NULL;
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
    if (i > 0 && check->last && !tree_less(*check->last, node->entries[i])) {
      return "an entry is not below the next child's bound (T2)";
    }
    const char *wrong = check_node(child, level - 1, node->head.birth, check);
    if (wrong) {
      return wrong;
    }
    while (child->level > 1) {
      child = tree_children(child)[0];
    }
    if (i > 0 && tree_less(child->entries[0], node->entries[i])) {
      return "an entry is below its child's bound (T2)";
    }
  }
  return NULL;
}

const char *ddb__tree_check(const ddb__tree *tree, uint64_t version) {
  checker check = {.edge = true};
  if (!tree->root) {
    return tree->height == 0 && tree->count == 0 ? NULL : "an empty tree has a height or a count";
  }
  if (tree->height > DDB__TREE_HEIGHT_MAX) {
    return "the tree is too high";
  }
  const char *wrong = check_node(tree->root, tree->height, version, &check);
  if (!wrong && check.count != tree->count) {
    wrong = "the count is not that of the entries";
  }
  return wrong;
}
