/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyindex.h - the primary-key index: shared by all versions, an extendible hash of hints.
 *
 *   directory: [top bits of the hash] --> segment: open addressing, slots {hash, seq}
 *
 * An entry says only "a row with this hash may be at this sequence number"; the reader's own row
 * vector is the truth. A key that was deleted and inserted again has two entries until the first
 * row is invisible to every pinned version.
 *
 *   K1  One writer (the table's write lock) changes the index; readers hold a pin on the table.
 *   K2  A slot's seq is written before its hash (release / acquire on the hash). A slot reused after
 *       a removal may show a reader an old hash with a new seq: a wrong hint, harmless.
 *   K3  Directories and segments that are replaced are retired with birth 0: any pinned version may
 *       be probing them. A reader needs nothing that was added after it pinned its version.
 *       Their stores and loads are sequentially consistent: a reclaimer that does not see a reader's
 *       pin may free what it replaced even where no publication followed (an aborted statement).
 *   K4  At least a quarter of a segment's slots are empty: every probe ends.
 *   K5  Keys by place. Where the key of row 0 is an int, any row whose key is an int as far from its
 *       sequence number as that one has no entry: a look-up of a whole number tries that row first.
 *       The rule stands before row 0 is published, and never changes afterwards. So automatic keys
 *       take no memory here, and a load of them no time.
 * Cost: a find is two dependent loads and a probe within one segment; an insert does a bounded amount
 * of work, at most one segment split (or, rarely, one copy of the directory).
 */
#ifndef DDB_STORE_KEYINDEX_H
#define DDB_STORE_KEYINDEX_H

#include <stdatomic.h>

#include "base/heap.h"
#include "dictdb.h"
#include "store/edit.h"

typedef struct ddb__key_slot {
  _Atomic uint64_t hash; /* 0: empty, 1: removed */
  _Atomic uint64_t seq;
} ddb__key_slot;

/* Segments of so many slots are split when they are full, smaller ones grow. */
#ifdef DDB_TESTING
#define DDB__KEY_SEGMENT_SLOTS 8u
#else
#define DDB__KEY_SEGMENT_SLOTS 512u /* the largest that the slab has pages for */
#endif

#define DDB__KEY_LINE_SIZE 64
typedef struct ddb__key_segment {
  uint32_t depth; /* leading hash bits that all its entries share */
  uint32_t mask;  /* slots - 1 */
  uint32_t used;  /* slots that are not empty, removed ones too; the writer's */
  uint32_t live;  /* the writer's */
  /* Where blocks are aligned so, four slots to a line, as consecutive integer keys come. */
  char padding[DDB__KEY_LINE_SIZE - 16];
  ddb__key_slot slots[];
} ddb__key_segment;

typedef struct ddb__key_directory {
  uint32_t depth;
  _Atomic(ddb__key_segment *) segments[]; /* 2^depth */
} ddb__key_directory;

typedef struct ddb__keyindex {
  _Atomic(ddb__key_directory *) directory;
  uint64_t count;         /* entries; the writer's */
  _Atomic int64_t offset; /* K5: key less sequence number; of row 0, if `by_place` */
  _Atomic bool by_place;
} ddb__keyindex;

ddb_status ddb__keyindex_init(ddb__keyindex *index, ddb__heap *heap, ddb_error *err);
void ddb__keyindex_fini(ddb__keyindex *index, ddb__heap *heap);

/* A probe for one hash: seqs of the entries that have it, in no order. */
typedef struct ddb__key_probe {
  const ddb__key_segment *segment;
  uint64_t hash;
  uint32_t position;
} ddb__key_probe;

static inline uint64_t ddb__key_hash(uint64_t hash) {
  return hash < 2 ? hash + 2 : hash;
}
static inline size_t ddb__key_directory_slot(uint64_t hash, uint32_t depth) {
  return depth == 0 ? 0 : (size_t)(hash >> (64 - depth));
}

static inline ddb__key_probe ddb__keyindex_probe(const ddb__keyindex *index, uint64_t hash) {
  hash = ddb__key_hash(hash);
  const ddb__key_directory *directory =
      atomic_load_explicit(&index->directory, memory_order_seq_cst);
  const ddb__key_segment *segment = atomic_load_explicit(
      &directory->segments[ddb__key_directory_slot(hash, directory->depth)], memory_order_seq_cst);
  return (ddb__key_probe){
      .segment = segment, .hash = hash, .position = (uint32_t)hash & segment->mask};
}

/* The writer's, before an insert of this hash some statements later: begins to bring in the segment's
 * head, and the slot if the segment is of the usual size. Waits for neither, and reads nothing that
 * may not be there. */
static inline void ddb__keyindex_fetch(const ddb__keyindex *index, uint64_t hash) {
  hash = ddb__key_hash(hash);
  const ddb__key_directory *directory =
      atomic_load_explicit(&index->directory, memory_order_relaxed);
  const char *segment = (const char *)atomic_load_explicit(
      &directory->segments[ddb__key_directory_slot(hash, directory->depth)], memory_order_relaxed);
  size_t slot = (size_t)hash & (DDB__KEY_SEGMENT_SLOTS - 1);
  __builtin_prefetch(segment, 1);
  __builtin_prefetch(segment + sizeof(ddb__key_segment) + slot * sizeof(ddb__key_slot), 1);
}

static inline bool ddb__keyindex_next(ddb__key_probe *probe, uint64_t *seq) {
  for (;;) {
    const ddb__key_slot *slot = &probe->segment->slots[probe->position];
    uint64_t hash = atomic_load_explicit(&slot->hash, memory_order_acquire); /* K2 */
    if (hash == 0) {
      return false;
    }
    probe->position = (probe->position + 1) & probe->segment->mask;
    if (hash == probe->hash) {
      *seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);
      return true;
    }
  }
}

/* The writer's, before it inserts row 0, of this key: sets the rule (K5). */
void ddb__keyindex_begin(ddb__keyindex *index, const ddb_value *key);
/* The writer's: has the row of this key no entry (K5)? */
bool ddb__keyindex_omits(const ddb__keyindex *index, const ddb_value *key, uint64_t seq);
/* The row where this key is if it has no entry; the caller looks whether it is there. False: none. */
bool ddb__keyindex_place(const ddb__keyindex *index, const ddb_value *key, uint64_t *seq);

/* On NOMEM nothing changed. */
ddb_status ddb__keyindex_insert(ddb__keyindex *index, ddb__edit *edit, uint64_t hash, uint64_t seq,
                                ddb_error *err);
/* No entry: nothing happens. Cannot fail. */
void ddb__keyindex_remove(ddb__keyindex *index, uint64_t hash, uint64_t seq);

#endif
