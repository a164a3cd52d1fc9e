/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_side.h - the right side of a join: the records that are equal to a left record's keys, in
 * insertion order.
 *
 *   looked up   a condition `field == value & ...` for each left record, through the planner, while
 *               these are few
 *   hashed      groups of rows with equal keys; from each group's first row on, `next` leads on
 *
 * Records borrow from the right view. Memory: the process heap. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_JOIN_SIDE_H
#define DDB_QUERY_JOIN_SIDE_H

#include "dictdb.h"
#include "query/groups.h"
#include "query/input.h"
#include "query/tell.h"

#define DDB__JOIN_KEYS_MAX 16u

typedef struct ddb__join_row {
  const ddb_record *record;
  uint32_t next; /* index + 1 of the next row of its group; 0: none */
} ddb__join_row;

typedef struct ddb__join_group {
  uint32_t first; /* index of a row */
  uint32_t last;
} ddb__join_group;

typedef struct ddb__join_side {
  const ddb_join *join;
  ddb__source source;
  bool hashed;
  uint64_t lookups_left; /* until hashing is cheaper after all */
  uint64_t lookups;      /* done */
  uint64_t looked_up;    /* rows that they found */
  uint64_t matched;      /* rows that right_where kept, when hashed */
  ddb__groups keys;
  ddb__join_group *groups; /* [group_capacity] */
  size_t group_capacity;
  ddb__join_row *rows; /* [row_capacity] */
  size_t row_count;
  size_t row_capacity;
  ddb_records found; /* looked up: of the last left record */
} ddb__join_side;

/* left_count: at least so many records will be looked for, as far as it is known. When there are few,
 * they are looked up; if there are more then, the side is hashed after all. Nothing is read before
 * the first of them. */
void ddb__join_side_init(ddb__join_side *side, const ddb_join *join, uint64_t left_count);
/* How the records are found, or would be where the teller has not analyzed. NOMEM. */
ddb_status ddb__join_side_tell(ddb__join_side *side, ddb__teller *t);
void ddb__join_side_fini(ddb__join_side *side);
/* Starts with the matches of a left record's keys (one value each): *match: an opaque place. */
ddb_status ddb__join_side_find(ddb__join_side *side, const ddb_value *keys, uint64_t *match,
                               ddb_error *err);
/* The next match, NULL: no more. */
const ddb_record *ddb__join_side_next(const ddb__join_side *side, uint64_t *match);

#endif
