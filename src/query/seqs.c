/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seqs.c - see seqs.h. Sorting: insertion for a few, else by bytes from the lowest up, skipping
 * those that all numbers share (a million rows differ in three).
 */
#include "query/seqs.h"

#include "base/heap.h"
#include "base/status.h"

void ddb__seqs_init(ddb__seqs *seqs) {
  seqs->items = seqs->inline_items;
  seqs->count = 0;
  seqs->capacity = DDB__SEQS_INLINE;
}

void ddb__seqs_fini(ddb__seqs *seqs) {
  if (seqs->items != seqs->inline_items) {
    ddb__free(&ddb__heap_process, seqs->items, seqs->capacity * sizeof *seqs->items);
  }
  ddb__seqs_init(seqs);
}

ddb_status ddb__seqs_append(ddb__seqs *seqs, uint64_t seq, ddb_error *err) {
  if (seqs->count == seqs->capacity) {
    size_t bytes = seqs->capacity * sizeof *seqs->items;
    bool is_inline = seqs->items == seqs->inline_items;
    uint64_t *items = ddb__resize(&ddb__heap_process, is_inline ? NULL : seqs->items,
                                  is_inline ? 0 : bytes, 2 * bytes);
    if (!items) {
      return ddb__fail_memory(err, 2 * bytes);
    }
    if (is_inline) {
      memcpy(items, seqs->inline_items, bytes);
    }
    seqs->items = items;
    seqs->capacity *= 2;
  }
  seqs->items[seqs->count++] = seq;
  return DDB_OK;
}

static bool is_ascending(const ddb__seqs *seqs) {
  for (size_t i = 1; i < seqs->count; i++) {
    if (seqs->items[i - 1] >= seqs->items[i]) {
      return false;
    }
  }
  return true;
}

static void sort_few(uint64_t *items, size_t count) {
  for (size_t i = 1; i < count; i++) {
    uint64_t item = items[i];
    size_t at = i;
    for (; at > 0 && items[at - 1] > item; at--) {
      items[at] = items[at - 1];
    }
    items[at] = item;
  }
}

/* Sorts by one byte, stably, from `from` to `to`. */
static void sort_by_byte(const uint64_t *from, uint64_t *to, size_t count, unsigned shift) {
  size_t starts[257] = {0};
  for (size_t i = 0; i < count; i++) {
    starts[((from[i] >> shift) & 0xff) + 1]++;
  }
  for (size_t i = 1; i < 257; i++) {
    starts[i] += starts[i - 1];
  }
  for (size_t i = 0; i < count; i++) {
    to[starts[(from[i] >> shift) & 0xff]++] = from[i];
  }
}

static ddb_status sort_many(uint64_t *items, size_t count, ddb_error *err) {
  size_t bytes = count * sizeof *items;
  uint64_t *scratch = ddb__alloc(&ddb__heap_process, bytes);
  if (!scratch) {
    return ddb__fail_memory(err, bytes);
  }
  uint64_t differing = 0;
  for (size_t i = 1; i < count; i++) {
    differing |= items[i] ^ items[0];
  }
  uint64_t *from = items;
  uint64_t *to = scratch;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    if ((differing >> shift) & 0xff) {
      sort_by_byte(from, to, count, shift);
      uint64_t *swap = from;
      from = to;
      to = swap;
    }
  }
  if (from != items) {
    memcpy(items, from, bytes);
  }
  ddb__free(&ddb__heap_process, scratch, bytes);
  return DDB_OK;
}

ddb_status ddb__seqs_normalise(ddb__seqs *seqs, ddb_error *err) {
  if (is_ascending(seqs)) {
    return DDB_OK;
  }
  if (seqs->count <= 32) {
    sort_few(seqs->items, seqs->count);
  } else {
    ddb_status status = sort_many(seqs->items, seqs->count, err);
    if (status) {
      return status;
    }
  }
  size_t kept = 1;
  for (size_t i = 1; i < seqs->count; i++) {
    if (seqs->items[i] != seqs->items[kept - 1]) {
      seqs->items[kept++] = seqs->items[i];
    }
  }
  seqs->count = kept;
  return DDB_OK;
}

void ddb__seqs_intersect(ddb__seqs *seqs, const ddb__seqs *other) {
  size_t kept = 0;
  size_t at = 0;
  for (size_t i = 0; i < seqs->count; i++) {
    while (at < other->count && other->items[at] < seqs->items[i]) {
      at++;
    }
    if (at < other->count && other->items[at] == seqs->items[i]) {
      seqs->items[kept++] = seqs->items[i];
    }
  }
  seqs->count = kept;
}
