/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.h - sorting records by the total order of values over several fields or expressions; records
 * that are equal on all of them keep the order they were added in. With `keep` below the number of
 * rows, only the first `keep` of the result are held at any time. Memory: the process heap.
 * Thread-safety: distinct.
 */
#ifndef DDB_QUERY_ORDER_H
#define DDB_QUERY_ORDER_H

#include "dictdb.h"
#include "query/term.h"

typedef struct ddb__order_key {
  ddb__term term;
  bool descending;
  bool nulls_last; /* of null and missing, whichever the direction */
} ddb__order_key;

/* Where nulls go by default follows from the direction: they are the least of all values. */
static inline bool ddb__order_nulls_last(ddb_nulls nulls, bool descending) {
  return nulls == DDB_NULLS_DEFAULT ? descending : nulls == DDB_NULLS_LAST;
}

/* Makes keys[count] of what a query orders by. On failure, too, they are to be unbound. Errors:
 * INVALID, FIELD_NOT_FOUND, NOMEM. */
ddb_status ddb__order_bind(ddb__order_key *keys, const ddb__scope *scope, const ddb_order *order,
                           size_t count, ddb_error *err);
void ddb__order_unbind(ddb__order_key *keys, size_t count);

typedef struct ddb__order_row {
  const ddb_record *record;
  uint64_t arrival; /* rows added before it */
} ddb__order_row;

typedef struct ddb__order {
  ddb__order_key *keys; /* borrowed; reading them changes what they keep */
  size_t key_count;     /* > 0 */
  uint64_t keep;
  uint64_t arrived;
  size_t count;
  size_t capacity;
  ddb__order_row *rows;            /* [capacity] */
  ddb_value *values;               /* [capacity * key_count]: keys, taken out of the records once */
  size_t *heap;                    /* with `keep`: [count] rows, the last in order on top */
  struct ddb__order_copy **copies; /* [count] what a row's values borrow from beside the record */
  bool bounded;
  bool copies_values; /* there is a key whose values do not borrow from the record */
  bool exact;         /* rows with equal prefixes are equal by the first key */
} ddb__order;

/* What is sorted: order.c says what a prefix is. */
typedef struct ddb__order_item {
  uint64_t prefix;
  size_t row;
} ddb__order_item;

/* bounded: hold no more than `keep` rows (> 0), at O(log keep) for a row that is held. */
void ddb__order_init(ddb__order *order, ddb__order_key *keys, size_t key_count, bool bounded,
                     uint64_t keep);
void ddb__order_fini(ddb__order *order);
ddb_status ddb__order_add(ddb__order *order, const ddb_record *record, ddb_error *err);
/* *records: an array of order->count records in order, owned by the caller (process heap); NULL
 * when there are none. */
ddb_status ddb__order_finish(ddb__order *order, const ddb_record ***records, ddb_error *err);

#endif
