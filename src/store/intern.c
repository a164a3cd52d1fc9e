/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intern.c - growing and freeing the sets of intern.h. Tables double at three quarters full, so
 * that all older ones together are smaller than the newest.
 */
#include "store/intern.h"

#define MASK_FIRST 7

static size_t table_size(size_t mask) {
  return sizeof(ddb__intern_table) + (mask + 1) * sizeof(_Atomic(ddb__interned *));
}

static void table_put(ddb__intern_table *table, ddb__interned *item) {
  size_t i = (size_t)item->hash & table->mask;
  while (atomic_load_explicit(&table->slots[i], memory_order_relaxed) != NULL) {
    i = (i + 1) & table->mask;
  }
  atomic_store_explicit(&table->slots[i], item, memory_order_release);
}

bool ddb__intern_reserve(ddb__intern *set, ddb__heap *heap) {
  ddb__intern_table *old = atomic_load_explicit(&set->table, memory_order_relaxed);
  if (old != NULL && set->count + 1 <= (old->mask + 1) / 4 * 3) {
    return true;
  }
  size_t mask = old == NULL ? MASK_FIRST : old->mask * 2 + 1;
  ddb__intern_table *table = ddb__alloc_zero(heap, table_size(mask));
  if (table == NULL) {
    return false;
  }
  table->older = old;
  table->mask = mask;
  for (size_t i = 0; old != NULL && i <= old->mask; i++) {
    ddb__interned *item = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
    if (item != NULL) {
      table_put(table, item);
    }
  }
  atomic_store_explicit(&set->table, table, memory_order_release);
  return true;
}

void ddb__intern_add(ddb__intern *set, ddb__interned *item) {
  table_put(atomic_load_explicit(&set->table, memory_order_relaxed), item);
  set->count++;
}

void ddb__intern_free(ddb__intern *set, ddb__heap *heap,
                      void (*release)(ddb__heap *heap, ddb__interned *item)) {
  ddb__intern_table *table = atomic_load_explicit(&set->table, memory_order_acquire);
  for (size_t i = 0; table != NULL && i <= table->mask; i++) {
    ddb__interned *item = atomic_load_explicit(&table->slots[i], memory_order_relaxed);
    if (item != NULL) {
      release(heap, item);
    }
  }
  while (table != NULL) {
    ddb__intern_table *older = table->older;
    ddb__free(heap, table, table_size(table->mask));
    table = older;
  }
  atomic_store_explicit(&set->table, NULL, memory_order_relaxed);
  set->count = 0;
}
