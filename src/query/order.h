/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.h - sorting records by the total order of values over several fields; records that are
 * equal on all of them keep the order they were added in. With `keep` below the number of rows,
 * only the first `keep` of the result are held at any time. Memory: the process heap.
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_ORDER_H
#define DDB_QUERY_ORDER_H

#include "dictdb.h"
#include "store/record.h"

typedef struct ddb__order_key {
  uint32_t field_id; /* DDB__NO_FIELD: null everywhere */
  bool descending;
  bool nulls_last; /* of null and missing, whichever the direction */
} ddb__order_key;

/* Where nulls go by default follows from the direction: they are the least of all values. */
static inline bool ddb__order_nulls_last(ddb_nulls nulls, bool descending) {
  return nulls == DDB_NULLS_DEFAULT ? descending : nulls == DDB_NULLS_LAST;
}

typedef struct ddb__order_row {
  const ddb_record *record;
  uint64_t arrival; /* rows added before it */
} ddb__order_row;

typedef struct ddb__order {
  const ddb__order_key *keys; /* borrowed */
  size_t key_count;           /* > 0 */
  uint64_t keep;
  uint64_t arrived;
  size_t count;
  size_t capacity;
  ddb__order_row *rows; /* [capacity] */
  ddb_value *values;    /* [capacity * key_count]: keys, taken out of the records once */
  size_t *heap;         /* with `keep`: [count] rows, the last in order on top */
  bool bounded;
  bool exact; /* rows with equal prefixes are equal by the first key */
} ddb__order;

/* What is sorted: order.c says what a prefix is. */
typedef struct ddb__order_item {
  uint64_t prefix;
  size_t row;
} ddb__order_item;

/* bounded: hold no more than `keep` rows (> 0), at O(log keep) for a row that is held. */
void ddb__order_init(ddb__order *order, const ddb__order_key *keys, size_t key_count, bool bounded,
                     uint64_t keep);
void ddb__order_fini(ddb__order *order);
ddb_status ddb__order_add(ddb__order *order, const ddb_record *record, ddb_error *err);
/* *records: an array of order->count records in order, owned by the caller (process heap); NULL
 * when there are none. */
ddb_status ddb__order_finish(ddb__order *order, const ddb_record ***records, ddb_error *err);

#endif
