/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups.h - the groups of rows that are the same on some values, numbered as they first appear.
 * Values are the same when the total order says so (1 and 1.0 and True; NaN and NaN; null and
 * missing).
 *
 *   slots   open addressing: number of a group + 1, or 0
 *   keys    [group * width]: the values seen first
 *   recent  groups whose key's bytes mix to that place: rows mostly repeat a key to the bit
 *
 * Memory: the process heap, in proportion to the groups. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_GROUPS_H
#define DDB_QUERY_GROUPS_H

#include "dictdb.h"
#include "query/arena.h"

#define DDB__GROUPS_RECENT 256u
#define DDB__GROUPS_MAX    (UINT32_MAX - 1)

typedef struct ddb__groups {
  size_t width; /* > 0 */
  bool borrows; /* values outlive the groups; else they are copied */
  uint32_t count;
  uint32_t capacity;
  ddb_value *keys;
  uint64_t *hashes; /* [capacity], behind the keys */
  uint32_t *slots;
  size_t slot_count; /* 0, or a power of 2 */
  ddb__arena arena;
  uint32_t recent[DDB__GROUPS_RECENT]; /* number + 1, or 0 */
} ddb__groups;

void ddb__groups_init(ddb__groups *groups, size_t width, bool borrows);
void ddb__groups_fini(ddb__groups *groups);
/* For each bit i of the mask: numbers[i], the group of columns[0..width)[i], a new one if it must be.
 * No value is MISSING. */
ddb_status ddb__groups_find(ddb__groups *groups, const ddb_value *const *columns, uint64_t mask,
                            uint32_t *numbers, ddb_error *err);
/* The group of one row, without making one; false: there is none. */
bool ddb__groups_seek(const ddb__groups *groups, const ddb_value *const *columns, unsigned row,
                      uint32_t *number);
static inline const ddb_value *ddb__groups_key(const ddb__groups *groups, uint32_t number) {
  return &groups->keys[number * groups->width];
}

#endif
