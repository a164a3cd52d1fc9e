/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intern.h - a grow-only hash set of pointers: looked up without a lock, added to under the
 * owner's.
 *
 *   table --> { mask | slot[0] ... slot[mask] } --> items, each starting with ddb__interned
 *     |
 *     +-- older --> the tables it replaced, kept until the set goes: a reader may still be in one
 *
 *   I1  A slot goes from NULL to an item once and never changes again; the store releases, the load
 *       acquires: whoever sees the item sees its contents.
 *   I2  At least a quarter of the slots is NULL, so that every probe ends.
 *   I3  A reader in an older table misses at most what was added after it began; it then asks again
 *       under the owner's mutex.
 * Items belong to the owner, who frees them with the set. Thread-safety: look-up atomic; _reserve
 * and _add under the owner's mutex.
 */
#ifndef DDB_STORE_INTERN_H
#define DDB_STORE_INTERN_H

#include <stdatomic.h>

#include "base/heap.h"
#include "dictdb.h"

typedef struct ddb__interned {
  uint64_t hash;
} ddb__interned;

typedef struct ddb__intern_table {
  struct ddb__intern_table *older;
  size_t mask;
  _Atomic(ddb__interned *) slots[];
} ddb__intern_table;

typedef struct ddb__intern {
  _Atomic(ddb__intern_table *) table; /* NULL: empty */
  size_t count;                       /* under the owner's mutex */
} ddb__intern;

/* Does `item` have the key that is looked up? Hashes are equal already. */
typedef bool (*ddb__intern_match)(const ddb__interned *item, const void *key);

static inline ddb__interned *ddb__intern_find(const ddb__intern *set, uint64_t hash,
                                              ddb__intern_match match, const void *key) {
  ddb__intern_table *table =
      atomic_load_explicit(&((ddb__intern *)set)->table, memory_order_acquire);
  if (table == NULL) {
    return NULL;
  }
  for (size_t i = (size_t)hash & table->mask;; i = (i + 1) & table->mask) {
    ddb__interned *item = atomic_load_explicit(&table->slots[i], memory_order_acquire);
    if (item == NULL || (item->hash == hash && match(item, key))) {
      return item;
    }
  }
}

/* Room for one more _add. False: no memory, nothing changed. */
bool ddb__intern_reserve(ddb__intern *set, ddb__heap *heap);
/* Room was reserved; no item with this key is there. Cannot fail. */
void ddb__intern_add(ddb__intern *set, ddb__interned *item);
/* Calls `release` on every item, then frees the tables. Nobody else uses the set any more. */
void ddb__intern_free(ddb__intern *set, ddb__heap *heap,
                      void (*release)(ddb__heap *heap, ddb__interned *item));

#endif
