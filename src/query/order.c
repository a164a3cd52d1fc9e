/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.c - see order.h.
 *
 *   rows    | record, arrival |    one per row held
 *   values  | key 0 | key 1 |..    of the same row
 *   items   | prefix | row |       what is sorted
 *
 * A prefix is a number such that a's below b's means that a comes before b by the first key; only
 * rows with equal prefixes are compared by value. Arrival decides last, so no two rows are equal.
 * Few items are merged; many are first sorted by the bytes in which their prefixes differ, and then
 * merged where prefixes are equal.
 *
 * A value that an expression computed lies in the bound expression until the next record is read: it
 * is copied for as long as its row is held.
 * Cost: O(n) for values that their prefixes tell apart, else O(n log n), mostly on 16-byte items;
 * bounded: O(n + held log keep).
 */
#include "query/order.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/value.h"

/* ---- Keys --------------------------------------------------------------------------------- */

ddb_status ddb__order_bind(ddb__order_key *keys, const ddb__scope *scope, const ddb_order *order,
                           size_t count, ddb_error *err) {
  memset(keys, 0, count * sizeof *keys);
  for (size_t i = 0; i < count; i++) {
    if ((unsigned)order[i].nulls > DDB_NULLS_LAST) {
      return ddb__fail(err, DDB_ERR_INVALID, "a query has no such place for nulls: %u",
                       (unsigned)order[i].nulls);
    }
    keys[i].descending = order[i].descending;
    ddb_nulls nulls = DDB__FAULT(ORDER_NULLS_DEFAULT) ? DDB_NULLS_DEFAULT : order[i].nulls;
    keys[i].nulls_last = ddb__order_nulls_last(nulls, order[i].descending);
    ddb_status status =
        ddb__term_bind_within(&keys[i].term, scope, order[i].field, order[i].expr, err);
    if (status) {
      return status;
    }
  }
  return DDB_OK;
}

void ddb__order_unbind(ddb__order_key *keys, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ddb__term_unbind(&keys[i].term);
  }
}

/* ---- Rows held ---------------------------------------------------------------------------- */

/* The variable-size parts of a row's computed values. */
typedef struct ddb__order_copy {
  size_t bytes; /* of this allocation */
  uint64_t data[];
} ddb__order_copy;

void ddb__order_init(ddb__order *order, ddb__order_key *keys, size_t key_count, bool bounded,
                     uint64_t keep) {
  *order = (ddb__order){.keys = keys, .key_count = key_count, .keep = keep, .bounded = bounded};
  for (size_t i = 0; i < key_count; i++) {
    order->copies_values |= ddb__term_is_computed(&keys[i].term);
  }
}

static size_t row_bytes(const ddb__order *order) {
  return sizeof *order->rows + order->key_count * sizeof *order->values + sizeof *order->heap +
         (order->copies_values ? sizeof(ddb__order_copy *) : 0);
}

static void copy_free(ddb__order_copy *copy) {
  ddb__free(&ddb__heap_process, copy, copy ? copy->bytes : 0);
}

static void free_rows(ddb__order *order) {
  ddb__free(&ddb__heap_process, order->rows, order->capacity * row_bytes(order));
}

void ddb__order_fini(ddb__order *order) {
  for (size_t i = 0; order->copies_values && i < order->count; i++) {
    copy_free(order->copies[i]);
  }
  free_rows(order);
  order->rows = NULL;
  order->capacity = 0;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static inline int compare_key(const ddb__order_key *key, const ddb_value *a, const ddb_value *b) {
  bool a_null = a->kind <= DDB_NULL;
  bool b_null = b->kind <= DDB_NULL;
  if (a_null || b_null) {
    return a_null == b_null ? 0 : a_null == key->nulls_last ? 1 : -1;
  }
  int sign = ddb_value_compare(a, b);
  return key->descending ? -sign : sign;
}

static int compare_values(const ddb__order *order, const ddb_value *a, const ddb_value *b) {
  for (size_t i = 0; i < order->key_count; i++) {
    int sign = compare_key(&order->keys[i], &a[i], &b[i]);
    if (sign != 0) {
      return sign;
    }
  }
  return 0;
}

static bool row_before(const ddb__order *order, size_t a, size_t b) {
  int sign = compare_values(order, &order->values[a * order->key_count],
                            &order->values[b * order->key_count]);
  bool earlier = order->rows[a].arrival < order->rows[b].arrival;
  return sign < 0 || (sign == 0 && earlier != DDB__FAULT(ORDER_TIES_BACKWARDS));
}

/* ---- Adding ------------------------------------------------------------------------------- */

/* One allocation: rows, then values, then heap, then copies. */
static ddb_status grow(ddb__order *order, ddb_error *err) {
  size_t capacity = order->capacity ? order->capacity * 2 : 64;
  if (order->bounded && capacity > order->keep) {
    capacity = (size_t)order->keep;
  }
  size_t bytes = capacity * row_bytes(order);
  ddb__order_row *rows = ddb__alloc(&ddb__heap_process, bytes);
  if (!rows) {
    return ddb__fail_memory(err, bytes);
  }
  ddb_value *values = (ddb_value *)(void *)(rows + capacity);
  size_t *heap = (size_t *)(void *)(values + capacity * order->key_count);
  ddb__order_copy **copies =
      order->copies_values ? (ddb__order_copy **)(void *)(heap + capacity) : NULL;
  if (order->count > 0) {
    memcpy(rows, order->rows, order->count * sizeof *rows);
    memcpy(values, order->values, order->count * order->key_count * sizeof *values);
    memcpy(heap, order->heap, order->count * sizeof *heap);
  }
  if (copies && order->count > 0) {
    memcpy(copies, order->copies, order->count * sizeof *copies);
  }
  free_rows(order);
  order->rows = rows;
  order->values = values;
  order->heap = heap;
  order->copies = copies;
  order->capacity = capacity;
  return DDB_OK;
}

static bool needs_copy(const ddb__order *order, size_t key, const ddb_value *value) {
  return !ddb__kind_is_inline(value->kind) && ddb__term_is_computed(&order->keys[key].term);
}

/* Copies what the values do not borrow from the record. *out: NULL when there is nothing. */
static ddb_status copy_values(const ddb__order *order, ddb_value *values, ddb__order_copy **out,
                              ddb_error *err) {
  size_t bytes = 0;
  for (size_t i = 0; i < order->key_count; i++) {
    bytes += needs_copy(order, i, &values[i]) ? ddb__align8(values[i].size) : 0;
  }
  *out = NULL;
  if (bytes == 0) {
    return DDB_OK;
  }
  bytes += sizeof(ddb__order_copy);
  ddb__order_copy *copy = ddb__alloc(&ddb__heap_process, bytes);
  if (!copy) {
    return ddb__fail_memory(err, bytes);
  }
  copy->bytes = bytes;
  char *to = (char *)copy->data;
  for (size_t i = 0; i < order->key_count; i++) {
    if (needs_copy(order, i, &values[i])) {
      memcpy(to, values[i].as.data, values[i].size);
      values[i].as.data = to;
      to += ddb__align8(values[i].size);
    }
  }
  *out = copy;
  return DDB_OK;
}

/* Makes `record` the row's. On failure the row is as it was. `held`: it is a row already. */
static ddb_status set_row(ddb__order *order, size_t row, bool held, const ddb_record *record,
                          uint64_t arrival, ddb_error *err) {
  ddb_value *values = &order->values[row * order->key_count];
  if (!order->copies_values) {
    for (size_t i = 0; i < order->key_count; i++) {
      values[i] = ddb__term_read(&order->keys[i].term, record);
    }
  } else {
    ddb_value inline_values[4];
    bool is_inline = order->key_count <= sizeof inline_values / sizeof *inline_values;
    size_t bytes = order->key_count * sizeof *values;
    ddb_value *read = is_inline ? inline_values : ddb__alloc(&ddb__heap_process, bytes);
    if (!read) {
      return ddb__fail_memory(err, bytes);
    }
    for (size_t i = 0; i < order->key_count; i++) {
      read[i] = ddb__term_read(&order->keys[i].term, record);
    }
    ddb__order_copy *copy;
    ddb_status status = copy_values(order, read, &copy, err);
    if (!status) {
      copy_free(held ? order->copies[row] : NULL);
      order->copies[row] = copy;
      memcpy(values, read, bytes);
    }
    if (!is_inline) {
      ddb__free(&ddb__heap_process, read, bytes);
    }
    if (status) {
      return status;
    }
  }
  order->rows[row] = (ddb__order_row){record, arrival};
  return DDB_OK;
}

static void heap_swap(ddb__order *order, size_t a, size_t b) {
  size_t row = order->heap[a];
  order->heap[a] = order->heap[b];
  order->heap[b] = row;
}

static void heap_up(ddb__order *order, size_t at) {
  while (at > 0 && row_before(order, order->heap[(at - 1) / 2], order->heap[at])) {
    heap_swap(order, at, (at - 1) / 2);
    at = (at - 1) / 2;
  }
}

static void heap_down(ddb__order *order, size_t at) {
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= order->count) {
      return;
    }
    if (child + 1 < order->count && row_before(order, order->heap[child], order->heap[child + 1])) {
      child++;
    }
    if (!row_before(order, order->heap[at], order->heap[child])) {
      return;
    }
    heap_swap(order, at, child);
    at = child;
  }
}

/* The record takes the place of the last one in order, unless it comes after it. */
static ddb_status replace_last(ddb__order *order, const ddb_record *record, uint64_t arrival,
                               ddb_error *err) {
  size_t last = order->heap[0];
  const ddb_value *kept = &order->values[last * order->key_count];
  for (size_t i = 0; i < order->key_count; i++) {
    ddb_value own = ddb__term_read(&order->keys[i].term, record);
    int sign = compare_key(&order->keys[i], &own, &kept[i]);
    if (sign > 0) {
      return DDB_OK;
    }
    if (sign < 0) {
      ddb_status status = set_row(order, last, true, record, arrival, err);
      if (!status) {
        heap_down(order, 0);
      }
      return status;
    }
  }
  return DDB_OK;
}

ddb_status ddb__order_add(ddb__order *order, const ddb_record *record, ddb_error *err) {
  uint64_t arrival = order->arrived++;
  if (order->bounded && order->count == order->keep) {
    return replace_last(order, record, arrival, err);
  }
  ddb_status status = DDB_OK;
  if (order->count == order->capacity) {
    status = grow(order, err);
  }
  size_t row = order->count;
  if (!status) {
    status = set_row(order, row, false, record, arrival, err);
  }
  if (status) {
    return status;
  }
  order->count++;
  if (order->bounded) {
    order->heap[row] = row;
    heap_up(order, row);
  }
  return DDB_OK;
}

/* ---- Prefixes ----------------------------------------------------------------------------- */

#define PREFIX_CLASS(number) ((uint64_t)(number) << 61)

/* Ascending with the double; NaN last, -0.0 as 0.0. */
static uint64_t real_prefix(double real) {
  if (real != real) {
    return UINT64_MAX;
  }
  real += 0.0;
  uint64_t bits;
  memcpy(&bits, &real, sizeof bits);
  return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static uint64_t int_prefix(int64_t integer) {
  return (uint64_t)integer ^ UINT64_C(1) << 63;
}

static uint64_t bytes_prefix(const ddb_value *value) {
  uint64_t prefix = 0;
  for (unsigned i = 0; i < 7; i++) {
    uint8_t byte = i < value->size ? ((const uint8_t *)value->as.data)[i] : 0;
    prefix = prefix << 8 | byte;
  }
  return prefix;
}

/* Follows the classes of ddb_value_compare, of values that are not null: the classes are 1 to 5, so
 * that nulls can go below and above whichever the direction. Without `numbers`, those are all one. */
static uint64_t prefix_of(const ddb_value *value, bool numbers) {
  switch (value->kind) {
  case DDB_BOOL:
    return PREFIX_CLASS(1) | (numbers ? real_prefix(value->as.boolean ? 1.0 : 0.0) >> 3 : 0);
  case DDB_INT:
    return PREFIX_CLASS(1) | (numbers ? real_prefix((double)value->as.integer) >> 3 : 0);
  case DDB_FLOAT:
    return PREFIX_CLASS(1) | (numbers ? real_prefix(value->as.real) >> 3 : 0);
  case DDB_BIGINT:
  case DDB_DECIMAL:
    return PREFIX_CLASS(1);
  case DDB_STR_KIND:
    return PREFIX_CLASS(2) | bytes_prefix(value);
  case DDB_BYTES:
    return PREFIX_CLASS(3) | bytes_prefix(value);
  case DDB_DATE:
    return PREFIX_CLASS(4) | int_prefix(value->as.integer) >> 3;
  default:
    return PREFIX_CLASS(5);
  }
}

/* Of values that are all of one of these kinds, so that equal prefixes are equal values. */
static uint64_t exact_prefix_of(const ddb_value *value) {
  return value->kind == DDB_FLOAT ? real_prefix(value->as.real) : int_prefix(value->as.integer);
}

static void make_prefixes(ddb__order *order, ddb__order_item *items) {
  uint32_t kinds = 0;
  for (size_t i = 0; i < order->count; i++) {
    kinds |= DDB_TYPE(order->values[i * order->key_count].kind);
  }
  order->exact =
      kinds == DDB_TYPE(DDB_INT) || kinds == DDB_TYPE(DDB_FLOAT) || kinds == DDB_TYPE(DDB_DATE);
  /* Big ints and decimals have no nearest double at hand: where one is, no number has a prefix. */
  bool numbers = (kinds & (DDB_TYPE(DDB_BIGINT) | DDB_TYPE(DDB_DECIMAL))) == 0;
  uint64_t flip = order->keys[0].descending ? UINT64_MAX : 0;
  uint64_t null_prefix = order->keys[0].nulls_last ? UINT64_MAX : 0;
  for (size_t i = 0; i < order->count; i++) {
    const ddb_value *value = &order->values[i * order->key_count];
    uint64_t prefix = value->kind <= DDB_NULL ? null_prefix
                      : order->exact          ? exact_prefix_of(value) ^ flip
                                              : prefix_of(value, numbers) ^ flip;
    items[i] = (ddb__order_item){prefix, i};
  }
}

/* ---- Sorting ------------------------------------------------------------------------------ */

typedef ddb__order_item item;

static inline bool item_before(const ddb__order *order, const item *a, const item *b) {
  if (a->prefix != b->prefix) {
    return a->prefix < b->prefix;
  }
  if (order->exact && order->key_count == 1 && !order->bounded) {
    return a->row < b->row; /* rows are in order of arrival */
  }
  return row_before(order, a->row, b->row);
}

static void insertion_sort(const ddb__order *order, item *items, size_t count) {
  for (size_t i = 1; i < count; i++) {
    item moved = items[i];
    size_t at = i;
    for (; at > 0 && item_before(order, &moved, &items[at - 1]); at--) {
      items[at] = items[at - 1];
    }
    items[at] = moved;
  }
}

/* Sorts `items` with room for half of them in `scratch`. */
static void merge_sort(const ddb__order *order, item *items, item *scratch, size_t count) {
  if (count <= 12) {
    insertion_sort(order, items, count);
    return;
  }
  size_t half = count / 2;
  merge_sort(order, items, scratch, half);
  merge_sort(order, items + half, scratch, count - half);
  if (item_before(order, &items[half - 1], &items[half])) {
    return;
  }
  memcpy(scratch, items, half * sizeof *items);
  size_t left = 0;
  size_t right = half;
  for (size_t to = 0; left < half; to++) {
    bool from_right = right < count && item_before(order, &items[right], &scratch[left]);
    items[to] = from_right ? items[right++] : scratch[left++];
  }
}

/* Below this merging is faster. */
#ifdef DDB_TESTING
#define MANY_ITEMS 16u
#else
#define MANY_ITEMS 512u
#endif

/* Stably, by one byte of the prefix. */
static void sort_by_byte(const item *from, item *to, size_t count, unsigned shift) {
  size_t starts[257] = {0};
  for (size_t i = 0; i < count; i++) {
    starts[((from[i].prefix >> shift) & 0xff) + 1]++;
  }
  for (size_t i = 1; i < 257; i++) {
    starts[i] += starts[i - 1];
  }
  for (size_t i = 0; i < count; i++) {
    to[starts[(from[i].prefix >> shift) & 0xff]++] = from[i];
  }
}

/* Sorts by prefix only, from the lowest byte up; items that share it stay in order of row. */
static void sort_by_prefix(item *items, item *scratch, size_t count) {
  uint64_t differing = 0;
  for (size_t i = 1; i < count; i++) {
    differing |= items[i].prefix ^ items[0].prefix;
  }
  item *from = items;
  item *to = scratch;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    if ((differing >> shift) & 0xff) {
      sort_by_byte(from, to, count, shift);
      item *swap = from;
      from = to;
      to = swap;
    }
  }
  if (from != items) {
    memcpy(items, from, count * sizeof *items);
  }
}

/* `scratch`: room for all of them. */
static void sort_items(const ddb__order *order, item *items, item *scratch, size_t count) {
  if (count < MANY_ITEMS) {
    merge_sort(order, items, scratch, count);
    return;
  }
  sort_by_prefix(items, scratch, count);
  if (order->exact && order->key_count == 1 && !order->bounded) {
    return; /* rows are in order of arrival */
  }
  for (size_t from = 0, to; from < count; from = to) {
    for (to = from + 1; to < count && items[to].prefix == items[from].prefix;) {
      to++;
    }
    if (to - from > 1) {
      merge_sort(order, items + from, scratch, to - from);
    }
  }
}

ddb_status ddb__order_finish(ddb__order *order, const ddb_record ***records, ddb_error *err) {
  *records = NULL;
  if (order->count == 0) {
    return DDB_OK;
  }
  size_t item_bytes = 2 * order->count * sizeof(item);
  size_t result_bytes = order->count * sizeof(ddb_record *);
  item *items = ddb__alloc(&ddb__heap_process, item_bytes);
  const ddb_record **result = items ? ddb__alloc(&ddb__heap_process, result_bytes) : NULL;
  if (!result) {
    ddb__free(&ddb__heap_process, items, item_bytes);
    return ddb__fail_memory(err, items ? result_bytes : item_bytes);
  }
  make_prefixes(order, items);
  sort_items(order, items, items + order->count, order->count);
  for (size_t i = 0; i < order->count; i++) {
    result[i] = order->rows[items[i].row].record;
  }
  ddb__free(&ddb__heap_process, items, item_bytes);
  *records = result;
  return DDB_OK;
}
