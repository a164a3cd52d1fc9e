/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyindex.c - see keyindex.h.
 *
 * A full segment is rebuilt: at the same size when removed slots fill it (smaller when hardly anything
 * else is left), doubled while it is small, else split in two by its next hash bit. Splitting needs entries that differ in that bit; where many
 * share a hash (equal keys of many dead rows, chosen collisions) the segment grows instead, so that
 * the directory stays in proportion to the number of entries.
 */
#include "store/keyindex.h"

#include <assert.h>

#include "base/testing.h"
#include "store/value.h"

#ifdef DDB_TESTING
#define SEGMENT_SLOTS_MIN 4u
#else
#define SEGMENT_SLOTS_MIN 16u
#endif
#define SLOT_EMPTY   UINT64_C(0)
#define SLOT_REMOVED UINT64_C(1)

static size_t segment_size(uint32_t slots) {
  return sizeof(ddb__key_segment) + (size_t)slots * sizeof(ddb__key_slot);
}

static size_t directory_size(uint32_t depth) {
  return sizeof(ddb__key_directory) + (sizeof(ddb__key_segment *) << depth);
}

static ddb__key_segment *segment_new(ddb__heap *heap, uint32_t depth, uint32_t slots,
                                     ddb_error *err) {
  ddb__key_segment *segment = ddb__alloc_zero(heap, segment_size(slots));
  if (!segment) {
    (void)ddb__fail_memory(err, segment_size(slots));
    return NULL;
  }
  segment->depth = depth;
  segment->mask = slots - 1;
  return segment;
}

static void segment_free(ddb__heap *heap, ddb__key_segment *segment) {
  if (segment) {
    ddb__free(heap, segment, segment_size(segment->mask + 1));
  }
}

/* The writer's own loads: it wrote these words, or holds the lock under which they were written. */
static ddb__key_directory *directory_of(const ddb__keyindex *index) {
  return atomic_load_explicit(&index->directory, memory_order_relaxed);
}

static ddb__key_segment *segment_at(const ddb__key_directory *directory, size_t slot) {
  return atomic_load_explicit(&directory->segments[slot], memory_order_relaxed);
}

ddb_status ddb__keyindex_init(ddb__keyindex *index, ddb__heap *heap, ddb_error *err) {
  ddb__key_directory *directory = ddb__alloc(heap, directory_size(0));
  if (!directory) {
    return ddb__fail_memory(err, directory_size(0));
  }
  ddb__key_segment *segment = segment_new(heap, 0, SEGMENT_SLOTS_MIN, err);
  if (!segment) {
    ddb__free(heap, directory, directory_size(0));
    return DDB_ERR_NOMEM;
  }
  directory->depth = 0;
  atomic_init(&directory->segments[0], segment);
  atomic_init(&index->directory, directory);
  atomic_init(&index->offset, 0);
  atomic_init(&index->by_place, false);
  index->count = 0;
  return DDB_OK;
}

void ddb__keyindex_fini(ddb__keyindex *index, ddb__heap *heap) {
  ddb__key_directory *directory = directory_of(index);
  if (!directory) {
    return;
  }
  size_t slots = (size_t)1 << directory->depth;
  for (size_t i = 0; i < slots;) { /* a segment fills 2^(difference of depths) neighbours */
    ddb__key_segment *segment = segment_at(directory, i);
    i += (size_t)1 << (directory->depth - segment->depth);
    segment_free(heap, segment);
  }
  ddb__free(heap, directory, directory_size(directory->depth));
  atomic_store_explicit(&index->directory, NULL, memory_order_relaxed);
}

/* ---- Keys by place (K5) ------------------------------------------------------------------- */

/* The testing build's tables are small: half of their rows have entries, so that both ways are used
 * everywhere. */
#ifdef DDB_TESTING
#define MAY_OMIT(seq) (((seq)&2) == 0)
#else
#define MAY_OMIT(seq) true
#endif

void ddb__keyindex_begin(ddb__keyindex *index, const ddb_value *key) {
  /* A planted fault of hints needs hints. */
  bool by_place = key->kind == DDB_INT && !DDB__FAULT(HINT_RECORD_BIRTH);
  int64_t offset = by_place ? key->as.integer : 0;
  atomic_store_explicit(&index->offset, offset, memory_order_relaxed);
  atomic_store_explicit(&index->by_place, by_place, memory_order_relaxed);
}

bool ddb__keyindex_omits(const ddb__keyindex *index, const ddb_value *key, uint64_t seq) {
  uint64_t offset = (uint64_t)atomic_load_explicit(&index->offset, memory_order_relaxed);
  return key->kind == DDB_INT && (uint64_t)key->as.integer - offset == seq && MAY_OMIT(seq) &&
         atomic_load_explicit(&index->by_place, memory_order_relaxed);
}

bool ddb__keyindex_place(const ddb__keyindex *index, const ddb_value *key, uint64_t *seq) {
  int64_t number;
  if (!atomic_load_explicit(&index->by_place, memory_order_relaxed) ||
      (DDB__FAULT(PLACE_BY_KIND) && key->kind != DDB_INT) || !ddb__value_to_int(key, &number)) {
    return false;
  }
  *seq = (uint64_t)number - (uint64_t)atomic_load_explicit(&index->offset, memory_order_relaxed);
  return true;
}

/* ---- Segments ----------------------------------------------------------------------------- */

/* Into a segment with room. Readers may be probing it (K2). */
static void place(ddb__key_segment *segment, uint64_t hash, uint64_t seq) {
  uint32_t position = (uint32_t)hash & segment->mask;
  for (;;) {
    ddb__key_slot *slot = &segment->slots[position];
    uint64_t there = atomic_load_explicit(&slot->hash, memory_order_relaxed);
    if (there == SLOT_EMPTY || there == SLOT_REMOVED) {
      segment->used += there == SLOT_EMPTY;
      segment->live++;
      atomic_store_explicit(&slot->seq, seq, memory_order_relaxed);
      atomic_store_explicit(&slot->hash, hash, memory_order_release);
      return;
    }
    position = (position + 1) & segment->mask;
  }
}

static bool has_room(const ddb__key_segment *segment) {
  uint32_t slots = segment->mask + 1;
  return segment->used + 1 <= slots - slots / 4; /* K4 */
}

/* Copies the live entries; those with the next hash bit set go to `high`. */
static void copy_entries(const ddb__key_segment *from, ddb__key_segment *low,
                         ddb__key_segment *high) {
  for (uint32_t i = 0; i <= from->mask; i++) {
    uint64_t hash = atomic_load_explicit(&from->slots[i].hash, memory_order_relaxed);
    if (hash == SLOT_EMPTY || hash == SLOT_REMOVED) {
      continue;
    }
    uint64_t seq = atomic_load_explicit(&from->slots[i].seq, memory_order_relaxed);
    bool upper = high && (hash >> (63 - from->depth) & 1);
    place(upper ? high : low, hash, seq);
  }
}

/* Points the directory's slots of `old` at its successors, and retires it (K3). */
static void replace(ddb__key_directory *directory, ddb__edit *edit, uint64_t hash,
                    ddb__key_segment *old, ddb__key_segment *low, ddb__key_segment *high) {
  size_t width = (size_t)1 << (directory->depth - old->depth);
  size_t first = ddb__key_directory_slot(hash, directory->depth) & ~(width - 1);
  for (size_t i = 0; i < width; i++) {
    ddb__key_segment *successor = high && i >= width / 2 ? high : low;
    atomic_store_explicit(&directory->segments[first + i], successor, memory_order_seq_cst);
  }
  ddb__edit_retire(edit, old, 0, segment_size(old->mask + 1));
}

static ddb_status directory_double(ddb__keyindex *index, ddb__edit *edit, ddb_error *err) {
  ddb__key_directory *old = directory_of(index);
  ddb__key_directory *wide = ddb__alloc(edit->heap, directory_size(old->depth + 1));
  if (!wide) {
    return ddb__fail_memory(err, directory_size(old->depth + 1));
  }
  wide->depth = old->depth + 1;
  for (size_t i = 0; i < (size_t)1 << wide->depth; i++) {
    atomic_init(&wide->segments[i], segment_at(old, i / 2));
  }
  atomic_store_explicit(&index->directory, wide, memory_order_seq_cst);
  ddb__edit_retire(edit, old, 0, directory_size(old->depth));
  return DDB_OK;
}

/* Deep enough for an even spread with room to spare; deeper would let chosen collisions blow the
 * directory up. */
static bool may_split(const ddb__keyindex *index, const ddb__key_segment *segment) {
  uint32_t depth_max = 3;
  for (uint64_t segments = index->count / (DDB__KEY_SEGMENT_SLOTS / 4); segments; segments >>= 1) {
    depth_max++;
  }
  return segment->mask + 1 >= DDB__KEY_SEGMENT_SLOTS && segment->depth < depth_max &&
         segment->depth < 40;
}

static ddb_status split(ddb__keyindex *index, ddb__edit *edit, uint64_t hash,
                        ddb__key_segment *segment, ddb_error *err) {
  if (segment->depth == directory_of(index)->depth &&
      directory_double(index, edit, err) != DDB_OK) {
    return DDB_ERR_NOMEM;
  }
  uint32_t slots = segment->mask + 1; /* as large as the old: it may hold all entries */
  ddb__key_segment *low = segment_new(edit->heap, segment->depth + 1, slots, err);
  ddb__key_segment *high = low ? segment_new(edit->heap, segment->depth + 1, slots, err) : NULL;
  if (!high) {
    segment_free(edit->heap, low);
    return DDB_ERR_NOMEM;
  }
  copy_entries(segment, low, high);
  replace(directory_of(index), edit, hash, segment, low, high);
  return DDB_OK;
}

static ddb_status rebuild(ddb__keyindex *index, ddb__edit *edit, uint64_t hash,
                          ddb__key_segment *segment, ddb_error *err) {
  uint32_t slots = segment->mask + 1;
  bool clean = segment->live < slots / 2; /* mostly removed entries: the same size will do */
  while (slots > SEGMENT_SLOTS_MIN && segment->live < slots / 8) {
    slots /= 2;
  }
  if (!clean && slots > UINT32_MAX / 2) {
    return ddb__fail(err, DDB_ERR_LIMIT, "too many rows share one key hash");
  }
  ddb__key_segment *copy = segment_new(edit->heap, segment->depth, clean ? slots : slots * 2, err);
  if (!copy) {
    return DDB_ERR_NOMEM;
  }
  copy_entries(segment, copy, NULL);
  replace(directory_of(index), edit, hash, segment, copy, NULL);
  return DDB_OK;
}

ddb_status ddb__keyindex_insert(ddb__keyindex *index, ddb__edit *edit, uint64_t hash, uint64_t seq,
                                ddb_error *err) {
  hash = ddb__key_hash(hash);
  for (;;) {
    ddb__key_directory *directory = directory_of(index);
    ddb__key_segment *segment =
        segment_at(directory, ddb__key_directory_slot(hash, directory->depth));
    if (has_room(segment)) {
      place(segment, hash, seq);
      index->count++;
      return DDB_OK;
    }
    ddb_status status = ddb__edit_reserve(edit, 2, err);
    if (status == DDB_OK) {
      bool crowded = segment->live >= (segment->mask + 1) / 2;
      status = crowded && may_split(index, segment) ? split(index, edit, hash, segment, err)
                                                    : rebuild(index, edit, hash, segment, err);
    }
    if (status != DDB_OK) {
      return status;
    }
  }
}

void ddb__keyindex_remove(ddb__keyindex *index, uint64_t hash, uint64_t seq) {
  ddb__key_probe probe = ddb__keyindex_probe(index, hash);
  uint64_t found;
  while (ddb__keyindex_next(&probe, &found)) {
    if (found == seq) {
      ddb__key_segment *segment = (ddb__key_segment *)(uintptr_t)probe.segment;
      uint32_t position = (probe.position + segment->mask) & segment->mask;
      atomic_store_explicit(&segment->slots[position].hash, SLOT_REMOVED, memory_order_release);
      segment->live--;
      index->count--;
      return;
    }
  }
}
