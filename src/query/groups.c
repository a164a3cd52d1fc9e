/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups.c - see groups.h. Cost: a few nanoseconds for a key that came lately, else a hash of its
 * values and a look at one slot or two.
 */
#include "query/groups.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/hash.h"
#include "store/value.h"

#define GROUPS_FIRST 16u
#define ODD_FACTOR   UINT64_C(0x9e3779b97f4a7c15)

void ddb__groups_init(ddb__groups *groups, size_t width, bool borrows) {
  memset(groups, 0, sizeof *groups);
  groups->width = width;
  groups->borrows = borrows;
}

static size_t group_bytes(const ddb__groups *groups) {
  return groups->width * sizeof *groups->keys + sizeof *groups->hashes;
}

void ddb__groups_fini(ddb__groups *groups) {
  ddb__free(&ddb__heap_process, groups->keys, groups->capacity * group_bytes(groups));
  ddb__free(&ddb__heap_process, groups->slots, groups->slot_count * sizeof *groups->slots);
  ddb__arena_fini(&groups->arena);
  groups->keys = NULL;
  groups->slots = NULL;
  groups->capacity = 0;
  groups->slot_count = 0;
}

/* ---- Recent keys -------------------------------------------------------------------------- */

/* A number made of a value's own bits, the same for identical values; false: it would take long. */
static inline bool mix_bits(const ddb_value *value, uint64_t *mixed) {
  uint64_t word = 0;
  if (value->kind == DDB_STR_KIND) {
    size_t size = value->size < 8 ? value->size : 8;
    if (size == 8) {
      uint64_t tail;
      memcpy(&word, value->as.data, 8);
      memcpy(&tail, (const char *)value->as.data + value->size - 8, 8);
      word ^= tail * ODD_FACTOR;
    } else {
      const char *bytes = value->as.data;
      for (size_t i = 0; i < size; i++) {
        word = word << 8 | (unsigned char)bytes[i];
      }
    }
    word += value->size;
  } else if (value->kind == DDB_INT || value->kind == DDB_FLOAT || value->kind == DDB_NULL ||
             value->kind == DDB_DATE) {
    word = value->kind == DDB_NULL ? 0 : (uint64_t)value->as.integer;
  } else if (value->kind == DDB_BOOL) {
    word = value->as.boolean;
  } else {
    return false;
  }
  *mixed = (*mixed ^ word) * ODD_FACTOR;
  *mixed ^= *mixed >> 29;
  return true;
}

/* Are two values that mix_bits() takes the same to the bit? */
static inline bool identical(const ddb_value *a, const ddb_value *b) {
  if (a->kind != b->kind) {
    return false;
  }
  if (a->kind == DDB_STR_KIND) {
    return a->size == b->size && (a->size == 0 || memcmp(a->as.data, b->as.data, a->size) == 0);
  }
  return a->kind == DDB_NULL ||
         (a->kind == DDB_BOOL ? a->as.boolean == b->as.boolean : a->as.integer == b->as.integer);
}

/* The place in `recent` for a row's key; NULL: it has none. */
static inline uint32_t *recent_place(ddb__groups *groups, const ddb_value *const *columns,
                                     unsigned row) {
  uint64_t mixed = 0;
  for (size_t i = 0; i < groups->width; i++) {
    if (!mix_bits(&columns[i][row], &mixed)) {
      return NULL;
    }
  }
  return &groups->recent[mixed >> 56];
}

static inline bool is_identical(const ddb__groups *groups, uint32_t number,
                                const ddb_value *const *columns, unsigned row) {
  const ddb_value *key = ddb__groups_key(groups, number);
  for (size_t i = 0; i < groups->width; i++) {
    if (!identical(&key[i], &columns[i][row])) {
      return false;
    }
  }
  return true;
}

/* ---- All keys ----------------------------------------------------------------------------- */

static ddb_status grow_keys(ddb__groups *groups, ddb_error *err) {
  if (groups->capacity > DDB__GROUPS_MAX / 2) {
    return ddb__fail(err, DDB_ERR_LIMIT, "more than %u groups", groups->capacity);
  }
  uint32_t capacity = groups->capacity ? groups->capacity * 2 : GROUPS_FIRST;
  size_t bytes = capacity * group_bytes(groups);
  ddb_value *keys = ddb__alloc(&ddb__heap_process, bytes);
  if (!keys) {
    return ddb__fail_memory(err, bytes);
  }
  uint64_t *hashes = (uint64_t *)(void *)(keys + capacity * groups->width);
  if (groups->count > 0) {
    memcpy(keys, groups->keys, groups->count * groups->width * sizeof *keys);
    memcpy(hashes, groups->hashes, groups->count * sizeof *hashes);
  }
  ddb__free(&ddb__heap_process, groups->keys, groups->capacity * group_bytes(groups));
  groups->keys = keys;
  groups->hashes = hashes;
  groups->capacity = capacity;
  return DDB_OK;
}

static ddb_status grow_slots(ddb__groups *groups, ddb_error *err) {
  size_t slot_count = groups->slot_count ? groups->slot_count * 2 : GROUPS_FIRST * 2;
  size_t bytes = slot_count * sizeof *groups->slots;
  uint32_t *slots = ddb__alloc_zero(&ddb__heap_process, bytes);
  if (!slots) {
    return ddb__fail_memory(err, bytes);
  }
  for (uint32_t i = 0; i < groups->count; i++) {
    size_t at = (size_t)groups->hashes[i] & (slot_count - 1);
    while (slots[at] != 0) {
      at = (at + 1) & (slot_count - 1);
    }
    slots[at] = i + 1;
  }
  ddb__free(&ddb__heap_process, groups->slots, groups->slot_count * sizeof *groups->slots);
  groups->slots = slots;
  groups->slot_count = slot_count;
  return DDB_OK;
}

static ddb_status add_group(ddb__groups *groups, const ddb_value *const *columns, unsigned row,
                            uint64_t hash, ddb_error *err) {
  ddb_status status = groups->count == groups->capacity ? grow_keys(groups, err) : DDB_OK;
  ddb_value *key = groups->keys + groups->count * groups->width;
  for (size_t i = 0; i < groups->width && !status; i++) {
    key[i] = columns[i][row];
    status = groups->borrows ? DDB_OK : ddb__arena_copy(&groups->arena, &key[i], err);
  }
  if (!status) {
    groups->hashes[groups->count++] = hash;
  }
  return status;
}

/* Never but with a planted fault. */
static bool faulty_difference(const ddb_value *a, const ddb_value *b) {
  return (DDB__FAULT(GROUP_BY_KIND) && a->kind != b->kind) ||
         (DDB__FAULT(GROUP_BY_SIGN) && a->kind == DDB_FLOAT && b->kind == DDB_FLOAT &&
          a->as.integer != b->as.integer);
}

static bool is_same(const ddb__groups *groups, uint32_t number, const ddb_value *const *columns,
                    unsigned row) {
  const ddb_value *key = ddb__groups_key(groups, number);
  for (size_t i = 0; i < groups->width; i++) {
    if (!ddb__value_same(&key[i], &columns[i][row]) ||
        faulty_difference(&key[i], &columns[i][row])) {
      return false;
    }
  }
  return true;
}

static uint64_t hash_row(const ddb__groups *groups, const ddb_value *const *columns, unsigned row) {
  uint64_t hash = 0;
  for (size_t i = 0; i < groups->width; i++) {
    hash = ddb__hash_mix(hash + ddb_value_hash(&columns[i][row]));
  }
  return hash;
}

/* The slot of the row's group, or the free one where it would be. */
static size_t find_slot(const ddb__groups *groups, const ddb_value *const *columns, unsigned row,
                        uint64_t hash) {
  size_t at = (size_t)hash & (groups->slot_count - 1);
  for (; groups->slots[at] != 0; at = (at + 1) & (groups->slot_count - 1)) {
    uint32_t candidate = groups->slots[at] - 1;
    if (DDB__FAULT(GROUP_BY_SLOT) ||
        (groups->hashes[candidate] == hash && is_same(groups, candidate, columns, row))) {
      break;
    }
  }
  return at;
}

bool ddb__groups_seek(const ddb__groups *groups, const ddb_value *const *columns, unsigned row,
                      uint32_t *number) {
  if (groups->count == 0) {
    return false;
  }
  size_t at = find_slot(groups, columns, row, hash_row(groups, columns, row));
  *number = groups->slots[at] - 1;
  return groups->slots[at] != 0;
}

static ddb_status find_row(ddb__groups *groups, const ddb_value *const *columns, unsigned row,
                           uint32_t *number, ddb_error *err) {
  if (groups->count >= groups->slot_count / 2) {
    ddb_status status = grow_slots(groups, err);
    if (status) {
      return status;
    }
  }
  uint64_t hash = hash_row(groups, columns, row);
  size_t at = find_slot(groups, columns, row, hash);
  if (groups->slots[at] == 0) {
    ddb_status status = add_group(groups, columns, row, hash, err);
    if (status) {
      return status;
    }
    groups->slots[at] = groups->count;
  }
  *number = groups->slots[at] - 1;
  return DDB_OK;
}

ddb_status ddb__groups_find(ddb__groups *groups, const ddb_value *const *columns, uint64_t mask,
                            uint32_t *numbers, ddb_error *err) {
  for (; mask != 0; mask &= mask - 1) {
    unsigned row = (unsigned)__builtin_ctzll(mask);
    uint32_t *recent = recent_place(groups, columns, row);
    if (recent && *recent != 0 && is_identical(groups, *recent - 1, columns, row)) {
      numbers[row] = *recent - 1;
      continue;
    }
    ddb_status status = find_row(groups, columns, row, &numbers[row], err);
    if (status) {
      return status;
    }
    if (recent) {
      *recent = numbers[row] + 1;
    }
  }
  return DDB_OK;
}
