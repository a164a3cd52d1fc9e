/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - a persistent (copy-on-write) B+tree of (key, seq) pairs of 64-bit numbers: the secondary
 * indexes. Under a hash index, key is the hash of a value, and a run of equal keys lists the
 * candidate rows in insertion order. Under a sorted index, key is the beginning of the value
 * (index_key.h); where keys do not decide, a place does, by looking at the entries' rows.
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

/*
 * Where to look: an entry is before it when its key is below `low`, after it when above `high`.
 * Between the two, `compare` gives the sign of the entry's value less the place's (NULL: 0), and
 * `side` or else seq decides at last. An entry's own place has low == high, its key; a bound of a
 * range has a side.
 */
typedef struct ddb__tree_place {
  uint64_t low;
  uint64_t high;
  uint64_t seq;
  int side; /* -1: before all equal entries; 1: after them; 0: where seq says */
  int (*compare)(const struct ddb__tree_place *place, uint64_t seq);
} ddb__tree_place;

static inline ddb__tree_place ddb__tree_at(uint64_t key, uint64_t seq) {
  return (ddb__tree_place){key, key, seq, 0, NULL};
}

/* Inserts or removes the entry of a place. On error the tree is valid: as it was, or with nodes
 * copied; the statement aborts anyway. *changed: false when the entry was there already (insert) or
 * was not (remove). */
ddb_status ddb__tree_insert(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                            bool *changed, ddb_error *err);
ddb_status ddb__tree_remove(ddb__tree *tree, ddb__edit *edit, const ddb__tree_place *place,
                            bool *changed, ddb_error *err);
/* A tree from sorted, distinct entries: packed leaves, O(n). */
ddb_status ddb__tree_build(ddb__tree *tree, ddb__edit *edit, const ddb__tree_entry *entries,
                           size_t count, ddb_error *err);

/* A cursor stands between entries: seek puts it before the first one that is not before the place. */
#define DDB__TREE_HEIGHT_MAX 40 /* of tiny test nodes too */
typedef struct ddb__tree_cursor {
  const struct ddb__tree_node *nodes[DDB__TREE_HEIGHT_MAX];
  uint32_t indexes[DDB__TREE_HEIGHT_MAX];
  uint32_t height;
} ddb__tree_cursor;
void ddb__tree_seek(const ddb__tree *tree, const ddb__tree_place *place, ddb__tree_cursor *cursor);
/* The entry behind the cursor, which moves past it; false at the end. */
bool ddb__tree_next(ddb__tree_cursor *cursor, ddb__tree_entry *out);
/* The entry before the cursor, which moves before it; false at the start. */
bool ddb__tree_previous(ddb__tree_cursor *cursor, ddb__tree_entry *out);
/* The same, and the cursor stays. */
bool ddb__tree_peek_previous(const ddb__tree_cursor *cursor, ddb__tree_entry *out);
/* How many entries are before the place: O(height). */
uint64_t ddb__tree_rank(const ddb__tree *tree, const ddb__tree_place *place);
/* The entries from one place to another: cheap to find when they are few. */
typedef struct ddb__tree_run {
  uint64_t count;
  const ddb__tree_entry *first; /* NULL: there is none, or it was not looked for */
  uint64_t beside; /* so many lie there, side by side, as long as the tree is as it is */
} ddb__tree_run;
ddb__tree_run ddb__tree_between(const ddb__tree *tree, const ddb__tree_place *from,
                                const ddb__tree_place *to);

/* Abort: frees every node born in `version` (E3); what is older stays. Cannot fail. */
void ddb__tree_free_born(ddb__tree *tree, ddb__heap *heap, uint64_t version);
/* Frees all nodes: the table goes. */
void ddb__tree_free(ddb__tree *tree, ddb__heap *heap);
/* Retires every node (the index is dropped). Reserves by itself. */
ddb_status ddb__tree_retire(ddb__tree *tree, ddb__edit *edit, ddb_error *err);
/* For tests: order, fill, heights, counts, births not above `version`. NULL, or what is wrong.
 * compare: the order of two rows' values, where keys do not decide; NULL: by seq. */
const char *ddb__tree_check(const ddb__tree *tree, uint64_t version,
                            int (*compare)(const void *context, uint64_t a, uint64_t b),
                            const void *context);

#endif
