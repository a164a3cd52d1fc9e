/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - changing a tree: insert, remove, bulk build. Reading and freeing are in tree_walk.c, the
 * nodes and their invariants T1 to T5 in tree_node.h.
 *
 * Both changes go down once, after a look that proves there is something to change. On the way each
 * node is made writable (copied when it is older than the edit) and each child is prepared before
 * it is entered: a full one is split, one at its minimum is merged or levelled with a sibling. The
 * change of the leaf therefore cannot fail, and an allocation that fails on the way leaves a tree
 * with the same entries. What changes with the leaf in the branches above it, their totals and the
 * first entry of a child, is set last, along the path that was taken.
 *
 * Splits: at the right edge of the tree, and at the end of a run of equal keys, nearly all stays on
 * the left, because what follows will be appended there. Elsewhere halves.
 * Ownership: nodes belong to the versions that reach them; see edit.h for retiring.
 * Locks: the table's write lock. Cost: O(height), of which old nodes are copied.
 */
#include "store/tree.h"

#include "base/testing.h"
#include "store/tree_node.h"

typedef struct ddb__tree_node tree_node;

enum {
  LEAF_MIN = TREE_FAN / 4,
  BRANCH_MIN = TREE_FAN / 4 > 2 ? TREE_FAN / 4 : 2,
  MERGED_MAX = TREE_FAN * 3 / 4 > 2 * BRANCH_MIN ? TREE_FAN * 3 / 4 : 2 * BRANCH_MIN,
  SPLIT_MIN = TREE_FAN / 8 > 1 ? TREE_FAN / 8 : 1,
  BRANCH_EDGE = TREE_FAN - 2 /* children that stay left when the right edge splits */
};
_Static_assert(MERGED_MAX <= TREE_FAN && BRANCH_EDGE >= 2, "a split or merge would break T4");

static tree_node *node_new(const ddb__edit *edit, uint32_t level) {
  tree_node *node = ddb__alloc(edit->heap, level == 1 ? sizeof(tree_node) : sizeof(tree_branch));
  if (node) {
    node->head.birth = edit->version;
    node->count = 0;
    node->level = level;
  }
  return node;
}

/* Copies entries (and children) [from, from + count) of `source` to index `to` of `target`; the two
 * may be one node. Counts are the caller's to set. */
static void node_move(tree_node *target, uint32_t to, const tree_node *source, uint32_t from,
                      uint32_t count) {
  memmove(&target->entries[to], &source->entries[from], count * sizeof target->entries[0]);
  if (target->level > 1) {
    memmove(&tree_children(target)[to], &tree_children(source)[from], count * sizeof(tree_node *));
    memmove(&tree_totals(target)[to], &tree_totals(source)[from], count * sizeof(uint64_t));
  }
}

/* Makes the node at *slot writable. Room to retire one was reserved. */
static ddb_status touch(tree_node **slot, ddb__edit *edit, ddb_error *err) {
  tree_node *old = *slot;
  if (old->head.birth == edit->version) {
    return DDB_OK;
  }
  tree_node *copy = node_new(edit, old->level);
  if (!copy) {
    return ddb__fail_memory(err, tree_node_size(old));
  }
  node_move(copy, 0, old, 0, old->count);
  copy->count = old->count;
  *slot = copy;
  ddb__edit_drop(edit, old, old->head.birth, tree_node_size(old));
  return DDB_OK;
}

static bool contains(const ddb__tree *tree, const ddb__tree_place *place) {
  const tree_node *node = tree->root;
  if (!node) {
    return false;
  }
  while (node->level > 1) {
    node = tree_descend(node, tree_child_index(node, place));
  }
  uint32_t index = tree_search(node, place);
  return index < node->count && tree_below(node->entries[index], place, true);
}

/* The branches from the root to the leaf of a change, and the child taken in each. */
typedef struct path {
  tree_node *nodes[DDB__TREE_HEIGHT_MAX];
  uint32_t indexes[DDB__TREE_HEIGHT_MAX];
  uint32_t count;
} path;

static void path_add(path *way, tree_node *node, uint32_t index) {
  way->nodes[way->count] = node;
  way->indexes[way->count++] = index;
}

static void path_count(const path *way, uint64_t change) {
  for (uint32_t i = 0; i < way->count; i++) {
    tree_totals(way->nodes[i])[way->indexes[i]] += change;
  }
}

/* The leaf has a new first entry (T2). */
static void path_first(const path *way, ddb__tree_entry first) {
  for (uint32_t i = way->count; i > 0; i--) {
    if (way->indexes[i - 1] > 0) {
      way->nodes[i - 1]->entries[way->indexes[i - 1]] = first;
      return;
    }
  }
}

/* ---- Insert ------------------------------------------------------------------------------- */

/* How many entries of a full leaf stay on the left when `entry` makes it split. */
static uint32_t leaf_cut(const tree_node *leaf, const ddb__tree_place *place, bool right_edge) {
  uint32_t index = tree_search(leaf, place);
  if (right_edge && index == TREE_FAN) {
    return TREE_FAN;
  }
  bool run_ends = index > 0 && leaf->entries[index - 1].key == place->low &&
                  (index == TREE_FAN || leaf->entries[index].key != place->low);
  if (!run_ends) {
    return TREE_FAN / 2;
  }
  uint32_t most = TREE_FAN - SPLIT_MIN;
  return index < SPLIT_MIN ? (uint32_t)SPLIT_MIN : index > most ? most : index;
}

/* Splits the full, writable child `index` of a writable parent with room. When the leaf's right
 * part is empty, the place's entry goes there next (T4). */
static ddb_status split_child(tree_node *parent, uint32_t index, const ddb__tree_place *place,
                              bool right_edge, ddb__edit *edit, ddb_error *err) {
  tree_node *left = tree_children(parent)[index];
  tree_node *right = node_new(edit, left->level);
  if (!right) {
    return ddb__fail_memory(err, tree_node_size(left));
  }
  uint32_t cut = TREE_FAN / 2;
  if (left->level == 1) {
    cut = leaf_cut(left, place, right_edge);
  } else if (right_edge && tree_child_index(left, place) == TREE_FAN - 1) {
    cut = BRANCH_EDGE;
  }
  right->count = TREE_FAN - cut;
  node_move(right, 0, left, cut, right->count);
  left->count = cut;
  if (DDB__FAULT(TREE_SPLIT_LOSES) && left->level == 1 && cut > 1 && cut < TREE_FAN) {
    left->count--;
  }
  node_move(parent, index + 2, parent, index + 1, parent->count - index - 1);
  ddb__tree_entry next = {place->low, place->seq};
  parent->entries[index + 1] = right->count > 0 ? right->entries[0] : next;
  tree_children(parent)[index + 1] = right;
  tree_totals(parent)[index] = tree_total(left);
  tree_totals(parent)[index + 1] = tree_total(right);
  parent->count++;
  return DDB_OK;
}

static ddb_status root_make(ddb__tree *tree, ddb__edit *edit, ddb_error *err) {
  if (!tree->root) {
    tree->root = node_new(edit, 1);
    tree->height = tree->root ? 1 : 0;
  } else if (tree->root->count == TREE_FAN) {
    tree_node *root = node_new(edit, tree->height + 1);
    if (!root) {
      return ddb__fail_memory(err, sizeof(tree_branch));
    }
    root->count = 1;
    tree_children(root)[0] = tree->root;
    tree_totals(root)[0] = tree->count;
    memset(&root->entries[0], 0, sizeof root->entries[0]);
    tree->root = root;
    tree->height++;
  }
  return tree->root ? DDB_OK : ddb__fail_memory(err, sizeof(tree_node));
}

/* An allocation failed just after the root grew or was made: no node may be left with one child,
 * nor a leaf with nothing. */
static void root_unmake(ddb__tree *tree, ddb__edit *edit) {
  tree_node *root = tree->root;
  if (root->level == 1 && root->count == 0) {
    tree->root = NULL;
    tree->height = 0;
    ddb__edit_drop(edit, root, root->head.birth, sizeof(tree_node));
  } else if (root->level > 1 && root->count == 1) {
    tree->root = tree_children(root)[0];
    tree->height--;
    ddb__edit_drop(edit, root, root->head.birth, sizeof(tree_branch));
  }
}

/* Goes from the writable root, which has room, to a writable leaf with room. */
static ddb_status descend_to_insert(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                                    path *way, tree_node **leaf, ddb_error *err) {
  tree_node *node = tree->root;
  bool right_edge = true;
  while (node->level > 1) {
    uint32_t index = tree_child_index(node, place);
    right_edge = right_edge && index == node->count - 1;
    ddb_status status = touch(&tree_children(node)[index], edit, err);
    if (!status && tree_children(node)[index]->count == TREE_FAN) {
      status = split_child(node, index, place, right_edge, edit, err);
      if (!status) {
        index = tree_child_index(node, place);
        right_edge = right_edge && index == node->count - 1;
      }
    }
    if (status) {
      return status;
    }
    path_add(way, node, index);
    node = tree_children(node)[index];
  }
  *leaf = node;
  return DDB_OK;
}

ddb_status ddb__tree_insert(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                            bool *changed, ddb_error *err) {
  if (contains(tree, place)) {
    *changed = false;
    return DDB_OK;
  }
  ddb_status status = ddb__edit_reserve(edit, tree->height, err);
  if (!status && tree->root) {
    status = touch(&tree->root, edit, err);
  }
  if (!status) {
    status = root_make(tree, edit, err);
  }
  if (status) {
    return status;
  }
  path way;
  way.count = 0;
  tree_node *leaf;
  status = descend_to_insert(tree, edit, place, &way, &leaf, err);
  if (status) {
    root_unmake(tree, edit);
    return status;
  }
  uint32_t index = tree_search(leaf, place);
  node_move(leaf, index + 1, leaf, index, leaf->count - index);
  leaf->entries[index] = (ddb__tree_entry){place->low, place->seq};
  leaf->count++;
  path_count(&way, 1);
  tree->count++;
  *changed = true;
  return DDB_OK;
}

/* ---- Remove ------------------------------------------------------------------------------- */

static uint32_t count_min(const tree_node *node) {
  return node->level == 1 ? (uint32_t)LEAF_MIN : (uint32_t)BRANCH_MIN;
}

/* Appends the child `left + 1` of the writable parent to its writable left sibling and drops it. */
static void merge_children(tree_node *parent, uint32_t left_index, ddb__edit *edit) {
  tree_node *left = tree_children(parent)[left_index];
  tree_node *right = tree_children(parent)[left_index + 1];
  uint32_t at = left->count;
  node_move(left, at, right, 0, right->count);
  if (left->level > 1) {
    left->entries[at] = parent->entries[left_index + 1];
  }
  left->count += right->count;
  tree_totals(parent)[left_index] += tree_totals(parent)[left_index + 1];
  node_move(parent, left_index + 1, parent, left_index + 2, parent->count - left_index - 2);
  parent->count--;
  ddb__edit_drop(edit, right, right->head.birth, tree_node_size(right));
}

/* Moves entries between two writable siblings until the left one has `left_count`. */
static void level_children(tree_node *parent, uint32_t left_index, uint32_t left_count) {
  tree_node *left = tree_children(parent)[left_index];
  tree_node *right = tree_children(parent)[left_index + 1];
  uint32_t total = left->count + right->count;
  if (right->level > 1) {
    right->entries[0] = parent->entries[left_index + 1];
  }
  if (left->count < left_count) {
    uint32_t moved = left_count - left->count;
    node_move(left, left->count, right, 0, moved);
    node_move(right, 0, right, moved, right->count - moved);
  } else {
    uint32_t moved = left->count - left_count;
    node_move(right, moved, right, 0, right->count);
    node_move(right, 0, left, left_count, moved);
  }
  left->count = left_count;
  right->count = total - left_count;
  parent->entries[left_index + 1] = right->entries[0];
  tree_totals(parent)[left_index] = tree_total(left);
  tree_totals(parent)[left_index + 1] = tree_total(right);
}

/* Raises the child `index` of the writable parent above its minimum with the help of a sibling. */
static ddb_status child_fill(tree_node *parent, uint32_t index, ddb__edit *edit, ddb_error *err) {
  uint32_t left_index = index > 0 ? index - 1 : 0;
  tree_node **pair = &tree_children(parent)[left_index];
  uint32_t total = pair[0]->count + pair[1]->count;
  ddb_status status = touch(&pair[0], edit, err);
  if (status) {
    return status;
  }
  if (total <= MERGED_MAX) {
    merge_children(parent, left_index, edit);
    return DDB_OK;
  }
  status = touch(&pair[1], edit, err);
  if (!status) {
    level_children(parent, left_index, index == left_index ? (total + 1) / 2 : total / 2);
  }
  return status;
}

/* Goes from the writable root to the writable leaf of the place; every node on the way, but for the
 * root, is above its minimum. */
static ddb_status descend_to_remove(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                                    path *way, tree_node **leaf, ddb_error *err) {
  tree_node *node = tree->root;
  while (node->level > 1) {
    uint32_t index = tree_child_index(node, place);
    const tree_node *child = tree_children(node)[index];
    ddb_status status = DDB_OK;
    if (child->count <= count_min(child)) {
      status = child_fill(node, index, edit, err);
      index = tree_child_index(node, place);
    }
    if (!status) {
      status = touch(&tree_children(node)[index], edit, err);
    }
    if (status) {
      return status;
    }
    tree_node *next = tree_children(node)[index];
    if (node->count == 1) {
      root_unmake(tree, edit);
    } else {
      path_add(way, node, index);
    }
    node = next;
  }
  *leaf = node;
  return DDB_OK;
}

ddb_status ddb__tree_remove(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                            bool *changed, ddb_error *err) {
  if (!contains(tree, place)) {
    *changed = false;
    return DDB_OK;
  }
  /* A level replaces the node on the way and one sibling at most. */
  ddb_status status = ddb__edit_reserve(edit, 2 * (size_t)tree->height + 1, err);
  if (!status) {
    status = touch(&tree->root, edit, err);
  }
  path way;
  way.count = 0;
  tree_node *leaf;
  if (!status) {
    status = descend_to_remove(tree, edit, place, &way, &leaf, err);
  }
  if (status) {
    return status;
  }
  uint32_t index = tree_search(leaf, place);
  node_move(leaf, index, leaf, index + 1, leaf->count - index - 1);
  leaf->count--;
  if (index == 0 && leaf->count > 0 && !DDB__FAULT(TREE_STALE_FIRST)) {
    path_first(&way, leaf->entries[0]);
  }
  path_count(&way, (uint64_t)0 - 1);
  tree->count--;
  root_unmake(tree, edit);
  *changed = true;
  return DDB_OK;
}

/* ---- Bulk build --------------------------------------------------------------------------- */

/* Entries that `level` levels can hold, at most `limit`. */
static size_t level_capacity(uint32_t level, size_t limit) {
  size_t capacity = TREE_FAN;
  for (uint32_t i = 1; i < level && capacity < limit; i++) {
    capacity = capacity > limit / TREE_FAN ? limit : capacity * TREE_FAN;
  }
  return capacity;
}

/* A node of `level` over sorted entries, shared out evenly among as few children as can hold them
 * (T4: more than half of the room of one child for each). On NOMEM: the part that was built, NULL
 * when there is none, and *failed. */
static tree_node *build_node(const ddb__edit *edit, uint32_t level, const ddb__tree_entry *entries,
                             size_t count, bool *failed) {
  tree_node *node = node_new(edit, level);
  if (!node) {
    *failed = true;
    return NULL;
  }
  if (level == 1) {
    memcpy(node->entries, entries, count * sizeof *entries);
    node->count = (uint32_t)count;
    return node;
  }
  size_t capacity = level_capacity(level - 1, count);
  size_t children = (count + capacity - 1) / capacity;
  size_t start = 0;
  for (size_t i = 0; i < children; i++) {
    size_t share = count / children + (i < count % children ? 1 : 0);
    tree_node *child = build_node(edit, level - 1, entries + start, share, failed);
    if (child) {
      node->entries[node->count] = entries[start];
      tree_totals(node)[node->count] = tree_total(child);
      tree_children(node)[node->count++] = child;
    }
    if (*failed) {
      break;
    }
    start += share;
  }
  return node;
}

ddb_status ddb__tree_build(ddb__tree *tree, ddb__edit *edit, const ddb__tree_entry *entries,
                           size_t count, ddb_error *err) {
  *tree = (ddb__tree){NULL, 0, 0};
  if (count == 0) {
    return DDB_OK;
  }
  ddb__tree built = {NULL, 1, count};
  while (level_capacity(built.height, count) < count) {
    built.height++;
  }
  bool failed = false;
  built.root = build_node(edit, built.height, entries, count, &failed);
  if (failed) {
    ddb__tree_free_born(&built, edit->heap, edit->version);
    return ddb__fail_memory(err, sizeof(tree_branch));
  }
  *tree = built;
  return DDB_OK;
}
