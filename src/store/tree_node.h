/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_node.h - the nodes of tree.h, for its two files only.
 *
 *   leaf    | birth | count | level 1 | entries[FAN]                 |
 *   branch  | birth | count | level n | entries[FAN] | children[FAN] |
 *
 *   T1  Entries of a leaf are strictly ascending.
 *   T2  Of a branch, entries[i] (i > 0) is a lower bound of child i and above every entry of child
 *       i - 1; entries[0] means nothing.
 *   T3  All leaves are at level 1; the child of a branch is one level below it.
 *   T4  A branch has at least 2 children; a leaf is empty at no time that others can see.
 *   T5  A node is not older than its children.
 */
#ifndef DDB_STORE_TREE_NODE_H
#define DDB_STORE_TREE_NODE_H

#include "store/tree.h"

#ifdef DDB_TESTING
#define TREE_FAN 4u
#else
#define TREE_FAN 32u /* 64: as fast, with twice the copying */
#endif

struct ddb__tree_node {
  ddb__node head;
  uint32_t count; /* entries of a leaf, children of a branch */
  uint32_t level;
  ddb__tree_entry entries[TREE_FAN];
};

typedef struct tree_branch {
  struct ddb__tree_node node;
  struct ddb__tree_node *children[TREE_FAN];
} tree_branch;

static inline struct ddb__tree_node **tree_children(const struct ddb__tree_node *node) {
  return ((tree_branch *)(uintptr_t)node)->children;
}
static inline size_t tree_node_size(const struct ddb__tree_node *node) {
  return node->level == 1 ? sizeof(struct ddb__tree_node) : sizeof(tree_branch);
}
static inline bool tree_less(ddb__tree_entry a, ddb__tree_entry b) {
  return a.key < b.key || (a.key == b.key && a.seq < b.seq);
}
/* The first index in [from, count) whose entry is not below `entry`, or count. */
static inline uint32_t tree_search(const struct ddb__tree_node *node, uint32_t from,
                                   ddb__tree_entry entry) {
  uint32_t low = from;
  uint32_t size = node->count - from;
  while (size > 0) {
    uint32_t half = size / 2;
    bool above = tree_less(node->entries[low + half], entry);
    low = above ? low + half + 1 : low;
    size = above ? size - half - 1 : half;
  }
  return low;
}
/* Starts to bring the entries of a node in, all lines at once: a search would wait for one after
 * the other. */
static inline void tree_fetch(const struct ddb__tree_node *node) {
  for (size_t at = 0; at < sizeof *node; at += 64) {
    __builtin_prefetch((const char *)node + at, 0, 3);
  }
}
/* The child of a branch whose range holds `entry`. */
static inline uint32_t tree_child_index(const struct ddb__tree_node *node, ddb__tree_entry entry) {
  uint32_t index = tree_search(node, 1, entry);
  bool exact = index < node->count && !tree_less(entry, node->entries[index]);
  return exact ? index : index - 1;
}

#endif
