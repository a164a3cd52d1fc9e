/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - a persistent (copy-on-write) B+tree of (key, seq) pairs of 64-bit numbers, ordered by
 * key, then seq: the secondary indexes. Under a hash index, key is the hash of a value, and a run of
 * equal keys lists the candidate rows in insertion order.
 *
 * A tree is a value: a root pointer and a height, kept in the table's root. Nodes are nodes of
 * edit.h: changed in place when born in the edit's version, else copied and the old one retired.
 * Reading takes no lock: a pinned root never changes.
 */
#ifndef DDB_STORE_TREE_H
#define DDB_STORE_TREE_H

#include "dictdb.h"
#include "store/edit.h"

typedef struct ddb__tree {
  struct ddb__tree_node *root; /* NULL: empty */
  uint32_t height;             /* 1: the root is a leaf */
  uint64_t count;
} ddb__tree;

typedef struct ddb__tree_entry {
  uint64_t key;
  uint64_t seq;
} ddb__tree_entry;

/* On error the tree is valid: as it was, or with nodes copied; the statement aborts anyway.
 * *changed: false when the pair was there already (insert) or was not (remove). */
ddb_status ddb__tree_insert(ddb__tree *tree, ddb__edit *edit, ddb__tree_entry entry, bool *changed,
                            ddb_error *err);
ddb_status ddb__tree_remove(ddb__tree *tree, ddb__edit *edit, ddb__tree_entry entry, bool *changed,
                            ddb_error *err);
/* A tree from sorted, distinct entries: packed leaves, O(n). */
ddb_status ddb__tree_build(ddb__tree *tree, ddb__edit *edit, const ddb__tree_entry *entries,
                           size_t count, ddb_error *err);

/* Walks in order from the first entry >= `from`. */
#define DDB__TREE_HEIGHT_MAX 40 /* of tiny test nodes too */
typedef struct ddb__tree_cursor {
  const struct ddb__tree_node *nodes[DDB__TREE_HEIGHT_MAX];
  uint32_t indexes[DDB__TREE_HEIGHT_MAX];
  uint32_t height;
} ddb__tree_cursor;
void ddb__tree_seek(const ddb__tree *tree, ddb__tree_entry from, ddb__tree_cursor *cursor);
bool ddb__tree_next(ddb__tree_cursor *cursor, ddb__tree_entry *out); /* false at the end */
/* Entries with exactly this key, counted by walking at most `limit` of them. */
size_t ddb__tree_count_key(const ddb__tree *tree, uint64_t key, size_t limit);

/* Abort: frees every node born in `version` (E3); what is older stays. Cannot fail. */
void ddb__tree_free_born(ddb__tree *tree, ddb__heap *heap, uint64_t version);
/* Frees all nodes: the table goes. */
void ddb__tree_free(ddb__tree *tree, ddb__heap *heap);
/* Retires every node (the index is dropped). Reserves by itself. */
ddb_status ddb__tree_retire(ddb__tree *tree, ddb__edit *edit, ddb_error *err);
/* For tests: order, fill, heights, count, births not above `version`. NULL, or what is wrong. */
const char *ddb__tree_check(const ddb__tree *tree, uint64_t version);

#endif
