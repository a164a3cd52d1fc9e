/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_node.h - the nodes of tree.h, for its two files only.
 *
 *   leaf    | birth | count | level 1 | entries[FAN]                               |
 *   branch  | birth | count | level n | entries[FAN] | children[FAN] | totals[FAN] |
 *
 *   T1  Entries of a leaf are strictly ascending.
 *   T2  Of a branch, entries[i] (i > 0) is the first entry of child i: one that is there, so that a
 *       place may look its row up; entries[0] means nothing. totals[i]: entries under child i.
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
  uint64_t totals[TREE_FAN];
} tree_branch;

static inline struct ddb__tree_node **tree_children(const struct ddb__tree_node *node) {
  return ((tree_branch *)(uintptr_t)node)->children;
}
static inline uint64_t *tree_totals(const struct ddb__tree_node *node) {
  return ((tree_branch *)(uintptr_t)node)->totals;
}
static inline size_t tree_node_size(const struct ddb__tree_node *node) {
  return node->level == 1 ? sizeof(struct ddb__tree_node) : sizeof(tree_branch);
}
/* Entries under a node. */
static inline uint64_t tree_total(const struct ddb__tree_node *node) {
  uint64_t total = node->level == 1 ? node->count : 0;
  for (uint32_t i = 0; node->level > 1 && i < node->count; i++) {
    total += tree_totals(node)[i];
  }
  return total;
}
/* Is the entry before the place, or at it when `or_at`? */
static inline bool tree_below(ddb__tree_entry entry, const ddb__tree_place *place, bool or_at) {
  if (entry.key < place->low || entry.key > place->high) {
    return entry.key < place->low;
  }
  int sign = place->compare ? place->compare(place, entry.seq) : 0;
  if (sign != 0 || place->side != 0) {
    return sign < 0 || (sign == 0 && place->side > 0);
  }
  return entry.seq < place->seq || (or_at && entry.seq == place->seq);
}
/* tree_find where keys alone decide: without a jump that the entries decide, half of which would be
 * guessed wrong. */
static inline uint32_t tree_find_key(const struct ddb__tree_node *node, uint32_t from, uint64_t key,
                                     bool or_at) {
  const ddb__tree_entry *low = &node->entries[from];
  uint32_t size = node->count - from;
  while (size > 0) {
    uint32_t half = (size + 1) / 2;
    uint64_t at = low[half - 1].key;
    low = (at < key) | ((at == key) & or_at) ? low + half : low;
    size -= half;
  }
  return (uint32_t)(low - node->entries);
}
/* The first index in [from, count) whose entry is not below the place (nor at it, when `or_at`), or
 * count. */
static inline uint32_t tree_find(const struct ddb__tree_node *node, uint32_t from,
                                 const ddb__tree_place *place, bool or_at) {
  if (!place->compare && place->side != 0 && place->low == place->high) {
    return tree_find_key(node, from, place->low, place->side > 0);
  }
  uint32_t low = from;
  uint32_t size = node->count - from;
  while (size > 0) {
    uint32_t half = size / 2;
    bool below = tree_below(node->entries[low + half], place, or_at);
    low = below ? low + half + 1 : low;
    size = below ? size - half - 1 : half;
  }
  return low;
}
static inline uint32_t tree_search(const struct ddb__tree_node *node,
                                   const ddb__tree_place *place) {
  return tree_find(node, 0, place, false);
}
/* The child of a branch whose range holds the place. */
static inline uint32_t tree_child_index(const struct ddb__tree_node *node,
                                        const ddb__tree_place *place) {
  return tree_find(node, 1, place, true) - 1;
}
/* That child. What a search reads of it begins to come in, all lines at once: the search would wait for
 * one after the other. */
static inline const struct ddb__tree_node *tree_descend(const struct ddb__tree_node *node,
                                                        uint32_t index) {
  const struct ddb__tree_node *child = tree_children(node)[index];
  for (size_t at = 0; at < sizeof *child; at += 64) {
    __builtin_prefetch((const char *)child + at, 0, 3);
  }
  for (size_t at = 0; node->level > 2 && at < sizeof(struct ddb__tree_node *[TREE_FAN]); at += 64) {
    __builtin_prefetch((const char *)tree_children(child) + at, 0, 3);
  }
  return child;
}

#endif
