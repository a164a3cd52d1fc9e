/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo.c - making, publishing and dropping memos. See memo.h.
 */
#include "store/memo.h"

#include <assert.h>

#include "base/testing.h"
#include "store/rows_node.h"

#ifdef DDB_TESTING
#define REFRESH_ROWS_MIN 2u
#else
#define REFRESH_ROWS_MIN 8u /* dirty rows: fewer are read from their records each time */
#endif
/* Automatic: so much of the table's bytes. A column of numbers takes 1 to 8 bytes a row. */
#define BUDGET_PART   4u
#define FAN_MASK_WORD (DDB__ROWS_FAN == 64 ? UINT64_MAX : (UINT64_C(1) << (DDB__ROWS_FAN % 64)) - 1)

/* ---- The pool ----------------------------------------------------------------------------- */

void ddb__memo_pool_init(ddb__memo_pool *pool, const ddb__heap *table_heap) {
  pool->table_heap = table_heap;
  atomic_init(&pool->budget, DDB_COLUMN_BUDGET_AUTO);
}

uint64_t ddb__memo_pool_budget(const ddb__memo_pool *pool) {
  uint64_t budget =
      atomic_load_explicit(&((ddb__memo_pool *)(uintptr_t)pool)->budget, memory_order_relaxed);
  return budget == DDB_COLUMN_BUDGET_AUTO ? ddb__heap_bytes(pool->table_heap) / BUDGET_PART
                                          : budget;
}

void *ddb__memo_take(ddb__memo_pool *pool, size_t size) {
  uint64_t before = atomic_fetch_add_explicit(&pool->used, size, memory_order_relaxed);
  bool fits = before + size <= ddb__memo_pool_budget(pool);
  void *memory = fits ? ddb__alloc(&pool->heap, size) : NULL;
  if (!memory) {
    atomic_fetch_sub_explicit(&pool->used, size, memory_order_relaxed);
  }
  return memory;
}

void ddb__memo_give(ddb__memo_pool *pool, void *memory, size_t size) {
  ddb__free(&pool->heap, memory, size);
  atomic_fetch_sub_explicit(&pool->used, size, memory_order_relaxed);
}

void *ddb__memo_take_anyway(ddb__memo_pool *pool, size_t size) {
  void *memory = ddb__alloc(&pool->heap, size);
  if (memory) {
    atomic_fetch_add_explicit(&pool->used, size, memory_order_relaxed);
  }
  return memory;
}

/* ---- Memos -------------------------------------------------------------------------------- */

size_t ddb__memo_size(size_t count) {
  return sizeof(ddb__memo) + count * sizeof(ddb__column *);
}

/* With its references of columns. Of one that was never published, or under the write lock. */
static void memo_free(ddb__memo *memo) {
  ddb__memo_pool *pool = memo->pool;
  for (uint32_t i = 0; i < memo->count; i++) {
    ddb__column_release(pool, memo->columns[i]);
  }
  ddb__memo_give(pool, memo, ddb__memo_size(memo->capacity));
}

void ddb__memo_release(ddb__memo *memo) {
  assert(memo->references > 0);
  if (--memo->references == 0) {
    memo_free(memo);
  }
}

const ddb__column *ddb__memo_column(const ddb__memo *memo, uint32_t field_id) {
  for (uint32_t i = 0; i < memo->count; i++) {
    if (memo->columns[i]->field_id == field_id) {
      return memo->columns[i];
    }
  }
  return NULL;
}

bool ddb__memo_dirty(const ddb__memo *memo, const ddb__rows_node *block,
                     uint64_t dirty[DDB__ROWS_FAN]) {
  if (memo->birth == block->node.birth) {
    return false; /* RN1 */
  }
  memset(dirty, 0, DDB__ROWS_FAN * sizeof *dirty);
  for (uint64_t leaves = block->dirty; leaves != 0; leaves &= leaves - 1) {
    unsigned i = (unsigned)__builtin_ctzll(leaves);
    const ddb__rows_node *leaf = block->slots[i];
    if (leaf) {
      __builtin_prefetch(&leaf->dirty);
    }
  }
  for (uint64_t leaves = block->dirty; leaves != 0; leaves &= leaves - 1) {
    unsigned i = (unsigned)__builtin_ctzll(leaves);
    const ddb__rows_node *leaf = block->slots[i];
    dirty[i] = leaf ? leaf->dirty : FAN_MASK_WORD;
  }
  return block->dirty != 0;
}

void ddb__memo_pool_push(ddb__memo_pool *pool, ddb__stale *stale) {
  stale->next = atomic_load_explicit(&pool->stale, memory_order_relaxed);
  /* Release: the next writer reads what the entry says. */
  while (!atomic_compare_exchange_weak_explicit(&pool->stale, &stale->next, stale,
                                                memory_order_release, memory_order_relaxed)) {
  }
}

/* ---- Making ------------------------------------------------------------------------------- */

/* A memo in the making. */
typedef struct draft {
  ddb__memo_pool *pool;
  const ddb__rows_node *block;
  const ddb__memo *old;          /* NULL: none */
  uint64_t dirty[DDB__ROWS_FAN]; /* of old */
  bool any_dirty;
  ddb_value *values; /* [DDB__BLOCK_ROWS] */
  ddb__memo *memo;
} draft;

static const ddb_record *record_at(const ddb__rows_node *block, size_t row) {
  const ddb__rows_node *leaf = block->slots[row / DDB__ROWS_FAN];
  return leaf ? leaf->slots[row % DDB__ROWS_FAN] : NULL;
}

/* Begins to bring a leaf's records in. */
static void fetch_leaf(const ddb__rows_node *block, size_t leaf) {
  const ddb_record *const *records =
      leaf < DDB__ROWS_FAN ? ddb__rows_block_leaf(block, leaf) : NULL;
  for (size_t i = 0; records && i < DDB__ROWS_FAN; i++) {
    if (records[i]) {
      __builtin_prefetch(&records[i]->shape);
      __builtin_prefetch((const char *)&records[i]->shape + 64);
    }
  }
}

/* Begins to bring in what the dirty rows are now: first where their records are noted, then these. */
static void fetch_dirty(const draft *work, bool records) {
  for (size_t leaf = 0; leaf < DDB__ROWS_FAN; leaf++) {
    const ddb_record *const *slots =
        work->dirty[leaf] ? ddb__rows_block_leaf(work->block, leaf) : NULL;
    for (uint64_t rows = slots ? work->dirty[leaf] : 0; rows != 0; rows &= rows - 1) {
      const ddb_record *const *slot = &slots[__builtin_ctzll(rows)];
      if (!records) {
        __builtin_prefetch(slot);
      } else if (*slot) {
        __builtin_prefetch(&(*slot)->shape);
        __builtin_prefetch((const char *)&(*slot)->shape + 64);
      }
    }
  }
}

/* Of a clean memo nothing changed, of another one the dirty rows; else all have to be looked at. */
static void find_live(const draft *work, uint64_t *live) {
  memset(live, 0, DDB__BLOCK_WORDS * sizeof *live);
  if (work->old) {
    memcpy(live, work->old->live, DDB__BLOCK_WORDS * sizeof *live);
  }
  for (size_t leaf = 0; leaf < DDB__ROWS_FAN; leaf++) {
    size_t first = leaf * DDB__ROWS_FAN;
    uint64_t rows = !work->old ? FAN_MASK_WORD : work->any_dirty ? work->dirty[leaf] : 0;
    for (; rows != 0; rows &= rows - 1) {
      size_t row = first + (unsigned)__builtin_ctzll(rows);
      uint64_t bit = UINT64_C(1) << (row % 64);
      bool there = record_at(work->block, row) != NULL;
      live[row / 64] = there ? live[row / 64] | bit : live[row / 64] & ~bit;
    }
  }
}

/* Reads the field of all rows. */
static void gather(const draft *work, uint32_t field_id) {
  const ddb_shape *shape = NULL;
  uint32_t index = DDB__NO_FIELD;
  fetch_leaf(work->block, 0);
  for (size_t row = 0; row < DDB__BLOCK_ROWS; row++) {
    if (row % DDB__ROWS_FAN == 0) {
      fetch_leaf(work->block, row / DDB__ROWS_FAN + 1);
    }
    const ddb_record *record = record_at(work->block, row);
    if (record && record->shape != shape) {
      shape = record->shape;
      index = ddb__shape_find(shape, field_id);
    }
    work->values[row] = record && index != DDB__NO_FIELD ? ddb__record_at(record, index)
                                                         : (ddb_value){.kind = DDB_MISSING};
  }
}

static bool make_column(draft *work, uint32_t field_id) {
  if (!work->values) {
    work->values = ddb__alloc(&ddb__heap_process, DDB__BLOCK_ROWS * sizeof *work->values);
    if (!work->values) {
      return false;
    }
  }
  gather(work, field_id);
  ddb__column *column = ddb__column_make(work->pool, field_id, work->values, work->memo->live);
  if (column) {
    work->memo->columns[work->memo->count++] = column;
  }
  return column != NULL;
}

/* Puts what the dirty rows say now into a private copy. */
static bool patch(const draft *work, ddb__column *column) {
  for (size_t leaf = 0; leaf < DDB__ROWS_FAN; leaf++) {
    for (uint64_t rows = work->dirty[leaf]; rows != 0; rows &= rows - 1) {
      size_t row = leaf * DDB__ROWS_FAN + (unsigned)__builtin_ctzll(rows);
      const ddb_record *record = record_at(work->block, row);
      ddb_value value =
          record ? ddb__record_field(record, column->field_id) : (ddb_value){.kind = DDB_MISSING};
      if (record && !ddb__column_set(column, row, &value)) {
        return false;
      }
    }
  }
  return true;
}

/* The old column, or one like it with the dirty rows as they are; NULL: it has to be made anew. */
static ddb__column *carry_over(const draft *work, ddb__column *old) {
  if (!work->any_dirty || old->kind == DDB__COLUMN_NONE) {
    atomic_fetch_add_explicit(&old->references, 1, memory_order_relaxed);
    return old;
  }
  ddb__column *copy = ddb__column_copy(work->pool, old);
  if (copy && !patch(work, copy)) {
    ddb__column_release(work->pool, copy);
    copy = NULL;
  }
  return copy;
}

/* Fills the draft's memo. False: not all of it could be had. */
static bool fill_memo(draft *work, const uint32_t *fields, size_t count) {
  ddb__memo *memo = work->memo;
  for (uint32_t i = 0; work->old && i < work->old->count; i++) {
    ddb__column *column = carry_over(work, work->old->columns[i]);
    if (column) {
      memo->columns[memo->count++] = column;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (!ddb__memo_column(memo, fields[i]) && !make_column(work, fields[i])) {
      return false;
    }
  }
  return true;
}

static size_t count_missing(const ddb__memo *memo, const uint32_t *fields, size_t count) {
  size_t missing = 0;
  for (size_t i = 0; i < count; i++) {
    missing += !memo || !ddb__memo_column(memo, fields[i]);
  }
  return missing;
}

static size_t count_dirty(const draft *work) {
  size_t rows = 0;
  for (size_t i = 0; work->any_dirty && i < DDB__ROWS_FAN; i++) {
    rows += (unsigned)__builtin_popcountll(work->dirty[i]);
  }
  return rows;
}

/* Room for all that may be made: so that nothing is decoded for nothing. */
static bool has_room(const draft *work, size_t column_count) {
  uint64_t used = atomic_load_explicit(&work->pool->used, memory_order_relaxed);
  uint64_t wanted = ddb__memo_size(column_count) +
                    column_count * (sizeof(ddb__column) + DDB__BLOCK_LANES * sizeof(uint64_t));
  bool fits = used + wanted <= ddb__memo_pool_budget(work->pool);
  if (!fits && used > 0) { /* else there is nothing that could give way */
    atomic_fetch_add_explicit(&work->pool->lacking, wanted, memory_order_relaxed);
  }
  return fits;
}

/* Puts the draft in the old memo's place. */
static const ddb__memo *publish(draft *work, ddb__rows_node *block, ddb__stale *stale) {
  ddb__memo *expected = (ddb__memo *)(uintptr_t)work->old;
  work->memo->references = 1;
  /* Release: pairs with the readers' acquire of the pointer. */
  if (!atomic_compare_exchange_strong_explicit(&block->memo, &expected, work->memo,
                                               memory_order_acq_rel, memory_order_acquire)) {
    return NULL;
  }
  if (stale) { /* there was an old one: M3 */
    *stale = (ddb__stale){.memo = (ddb__memo *)(uintptr_t)work->old, .birth = block->node.birth};
    ddb__memo_pool_push(work->pool, stale);
  }
  return work->memo;
}

/* Fills the memo and publishes it; NULL: neither, or another thread came first. */
static const ddb__memo *finish(draft *work, ddb__rows_node *block, const uint32_t *fields,
                               size_t count, ddb__stale *stale) {
  if (work->any_dirty) {
    fetch_dirty(work, false);
    fetch_dirty(work, true);
  }
  find_live(work, work->memo->live);
  const ddb__memo *made = fill_memo(work, fields, count) ? publish(work, block, stale) : NULL;
  if (!made) {
    memo_free(work->memo);
  }
  return made;
}

static const ddb__memo *make(draft *work, ddb__rows_node *block, const uint32_t *fields,
                             size_t count) {
  size_t missing = count_missing(work->old, fields, count);
  size_t columns = missing + (work->old ? work->old->count : 0);
  if (!has_room(work, work->any_dirty ? columns : missing)) {
    return NULL;
  }
  ddb__stale *stale = NULL;
  if (work->old && !(stale = ddb__memo_take(work->pool, sizeof *stale))) {
    return NULL;
  }
  const ddb__memo *made = NULL;
  work->memo = ddb__memo_take(work->pool, ddb__memo_size(columns));
  if (work->memo) {
    *work->memo =
        (ddb__memo){.birth = block->node.birth, .capacity = (uint32_t)columns, .pool = work->pool};
    made = finish(work, block, fields, count, stale);
  }
  if (!made && stale) {
    ddb__memo_give(work->pool, stale, sizeof *stale);
  }
  ddb__free(&ddb__heap_process, work->values, DDB__BLOCK_ROWS * sizeof *work->values);
  return made;
}

const ddb__memo *ddb__memo_get(ddb__memo_pool *pool, ddb__rows_node *block, const uint32_t *fields,
                               size_t count, bool build) {
  const ddb__memo *old = atomic_load_explicit(&block->memo, memory_order_acquire);
  size_t missing = count_missing(old, fields, count);
  if (!build || (missing == 0 && old->birth == block->node.birth)) {
    return old;
  }
  draft work = {.pool = pool, .block = block, .old = old};
  if (work.old) {
    work.any_dirty = ddb__memo_dirty(work.old, block, work.dirty);
  }
  if (missing == 0 && count_dirty(&work) < REFRESH_ROWS_MIN) {
    return work.old;
  }
  const ddb__memo *made = make(&work, block, fields, count);
  return made ? made : work.old;
}

/* ---- Dropping ----------------------------------------------------------------------------- */

void ddb__memo_pool_retire(ddb__memo_pool *pool, ddb__edit *edit) {
  if (atomic_load_explicit(&pool->stale, memory_order_relaxed) == NULL) {
    return;
  }
  /* Acquire: pairs with the release of the pushes. */
  ddb__stale *list = atomic_exchange_explicit(&pool->stale, NULL, memory_order_acquire);
  while (list && ddb__edit_reserve(edit, 1, NULL) == DDB_OK) {
    ddb__stale *stale = list;
    list = stale->next;
    ddb__edit_retire_as(edit, DDB__RETIRED_MEMO, stale->memo, stale->birth, 0);
    ddb__memo_give(pool, stale, sizeof *stale);
  }
  while (list) { /* another time */
    ddb__stale *stale = list;
    list = stale->next;
    ddb__memo_pool_push(pool, stale);
  }
}

bool ddb__memo_pool_drop(ddb__memo_pool *pool, const ddb__rows *rows) {
  for (uint64_t seq = 0; seq < rows->end; seq += DDB__BLOCK_ROWS) {
    ddb__rows_node *block = ddb__rows_block(rows, seq);
    if (!block || !atomic_load_explicit(&block->memo, memory_order_relaxed)) {
      continue;
    }
    ddb__stale *stale = ddb__memo_take_anyway(pool, sizeof *stale);
    if (!stale) {
      return false;
    }
    ddb__memo *memo = atomic_exchange_explicit(&block->memo, NULL, memory_order_acq_rel);
    *stale = (ddb__stale){.memo = memo, .birth = block->node.birth};
    ddb__memo_pool_push(pool, stale);
  }
  return true;
}

void ddb__memo_pool_fini(ddb__memo_pool *pool) {
  ddb__stale *list = atomic_exchange_explicit(&pool->stale, NULL, memory_order_acquire);
  while (list) {
    ddb__stale *stale = list;
    list = stale->next;
    ddb__memo_release(stale->memo);
    ddb__memo_give(pool, stale, sizeof *stale);
  }
  assert(ddb__heap_bytes(&pool->heap) == 0);
}
