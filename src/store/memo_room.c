/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo_room.c - what gives way when the budget is full: the columns of fields that no scan has asked
 * for lately.
 *
 *   a scan finds no room for a column   ->  `lacking` says how much
 *   the next scan begins                ->  cold columns are taken off their blocks, by publishing an
 *                                           unchanged root, as a smaller budget does it
 *   the scan after it                   ->  frees them, once its own pin and all others are newer, and
 *                                           has the room
 *
 * A field is cold when COLD_SCANS scans of the table have begun since one asked for it. So fields that are
 * in use do not push each other out in turn, however little room there is.
 * Locks: the table's write side, tried without waiting: who holds it goes on, and so does the scan.
 * Cost: a walk over the blocks; not again before COLD_SCANS more scans when there was nothing cold.
 */
#include "base/testing.h"
#include "store/memo.h"
#include "store/rows_node.h"
#include "store/table_private.h"

#ifdef DDB_TESTING
#define COLD_SCANS 4u
#else
#define COLD_SCANS 16u
#endif

uint32_t ddb__memo_pool_begin_scan(ddb__memo_pool *pool) {
  return atomic_fetch_add_explicit(&pool->scans, 1, memory_order_relaxed) + 1;
}

bool ddb__memo_pool_use(ddb__memo_pool *pool, uint32_t field_id, uint32_t scan) {
  size_t slot = field_id % DDB__MEMO_USES;
  return atomic_exchange_explicit(&pool->uses[slot], scan, memory_order_relaxed) > 0;
}

/* ---- What is cold ------------------------------------------------------------------------- */

/* The bytes of each slot's columns. */
static void weigh(const ddb__rows *rows, uint64_t bytes[DDB__MEMO_USES]) {
  memset(bytes, 0, DDB__MEMO_USES * sizeof *bytes);
  for (uint64_t seq = 0; seq < rows->end; seq += DDB__BLOCK_ROWS) {
    ddb__rows_node *block = ddb__rows_block(rows, seq);
    const ddb__memo *memo = block ? atomic_load_explicit(&block->memo, memory_order_acquire) : NULL;
    for (uint32_t i = 0; memo && i < memo->count; i++) {
      bytes[memo->columns[i]->field_id % DDB__MEMO_USES] += memo->columns[i]->size;
    }
  }
}

/* Slots that are cold, the coldest first, until they hold so many bytes: a bit each. */
static uint64_t choose_cold(ddb__memo_pool *pool, const uint64_t bytes[DDB__MEMO_USES],
                            uint64_t wanted) {
  uint32_t now = atomic_load_explicit(&pool->scans, memory_order_relaxed);
  uint64_t cold = 0;
  uint64_t found = 0;
  while (found < wanted) {
    uint32_t oldest = DDB__FAULT(COLUMNS_PUSH_OUT) ? 0 : COLD_SCANS;
    size_t best = DDB__MEMO_USES;
    for (size_t i = 0; i < DDB__MEMO_USES; i++) {
      uint32_t age = now - atomic_load_explicit(&pool->uses[i], memory_order_relaxed);
      if (bytes[i] > 0 && (cold >> i & 1) == 0 && age > oldest) {
        oldest = age;
        best = i;
      }
    }
    if (best == DDB__MEMO_USES) {
      break;
    }
    cold |= UINT64_C(1) << best;
    found += bytes[best];
  }
  return cold;
}

/* ---- Taking it off ------------------------------------------------------------------------ */

static bool is_cold(uint64_t cold, const ddb__column *column) {
  return (cold >> (column->field_id % DDB__MEMO_USES) & 1) != 0;
}

/* The memo without its cold columns. NULL: no memory. */
static ddb__memo *copy_warm(ddb__memo_pool *pool, const ddb__memo *memo, uint32_t count,
                            uint64_t cold) {
  ddb__memo *copy = ddb__memo_take_anyway(pool, ddb__memo_size(count));
  if (copy) {
    memcpy(copy, memo, sizeof *copy);
    copy->references = 1;
    copy->capacity = count;
    copy->count = 0;
    for (uint32_t i = 0; i < memo->count; i++) {
      if (!is_cold(cold, memo->columns[i])) {
        atomic_fetch_add_explicit(&memo->columns[i]->references, 1, memory_order_relaxed);
        copy->columns[copy->count++] = memo->columns[i];
      }
    }
  }
  return copy;
}

/* Leaves a block as it is when there is no memory, or a reader is quicker: another time. */
static bool drop_cold(ddb__memo_pool *pool, ddb__rows_node *block, uint64_t cold) {
  ddb__memo *memo = atomic_load_explicit(&block->memo, memory_order_acquire);
  uint32_t warm = 0;
  for (uint32_t i = 0; memo && i < memo->count; i++) {
    warm += !is_cold(cold, memo->columns[i]);
  }
  if (!memo || warm == memo->count) {
    return false;
  }
  ddb__stale *stale = ddb__memo_take_anyway(pool, sizeof *stale);
  ddb__memo *copy = stale && warm > 0 ? copy_warm(pool, memo, warm, cold) : NULL;
  bool dropped = stale && (copy || warm == 0) &&
                 /* Release: pairs with the readers' acquire of the pointer. */
                 atomic_compare_exchange_strong_explicit(
                     &block->memo, &memo, copy, memory_order_acq_rel, memory_order_relaxed);
  if (dropped) {
    *stale = (ddb__stale){.memo = memo, .birth = block->node.birth};
    ddb__memo_pool_push(pool, stale);
  } else {
    if (copy) {
      ddb__memo_release(copy);
    }
    if (stale) {
      ddb__memo_give(pool, stale, sizeof *stale);
    }
  }
  return dropped;
}

/* Under the table's write lock. False: there was nothing, or no memory. */
static bool drop_cold_columns(ddb__memo_pool *pool, const ddb__rows *rows, uint64_t wanted) {
  uint64_t bytes[DDB__MEMO_USES];
  weigh(rows, bytes);
  uint64_t cold = choose_cold(pool, bytes, wanted);
  bool dropped = false;
  for (uint64_t seq = 0; cold != 0 && seq < rows->end; seq += DDB__BLOCK_ROWS) {
    ddb__rows_node *block = ddb__rows_block(rows, seq);
    dropped = (block && drop_cold(pool, block, cold)) || dropped;
  }
  return dropped;
}

/* ---- Making room -------------------------------------------------------------------------- */

static void make_room_locked(ddb_table *table) {
  ddb__memo_pool *pool = &table->memos;
  uint64_t lacking = atomic_exchange_explicit(&pool->lacking, 0, memory_order_relaxed);
  (void)ddb__pins_reclaim(table, (size_t)8 * DDB__RETIRED_CHUNK_ITEMS);
  uint64_t used = atomic_load_explicit(&pool->used, memory_order_relaxed);
  uint64_t budget = ddb__memo_pool_budget(pool);
  if (used + lacking <= budget) {
    return; /* what was taken off before is gone now */
  }
  ddb__write write;
  if (ddb__write_begin(&write, table, NULL) == DDB_OK) {
    /* What readers replaced goes with it: columns that are in use too, but twice. */
    bool stale = atomic_load_explicit(&pool->stale, memory_order_relaxed) != NULL;
    write.changed = drop_cold_columns(pool, &write.next->rows, used + lacking - budget) || stale;
    if (!write.changed) {
      uint32_t now = atomic_load_explicit(&pool->scans, memory_order_relaxed);
      atomic_store_explicit(&pool->room_again, now + COLD_SCANS, memory_order_relaxed);
    }
    ddb_status status = ddb__write_commit(&write, NULL);
    (void)status; /* nothing but columns is at stake */
  }
}

void ddb__table_make_room(ddb_table *table, uint32_t scan) {
  ddb__memo_pool *pool = &table->memos;
  if (atomic_load_explicit(&pool->lacking, memory_order_relaxed) == 0 ||
      (int32_t)(scan - atomic_load_explicit(&pool->room_again, memory_order_relaxed)) < 0 ||
      ddb__table_forked(table) || ddb__rwlock_write_held(table->lock)) {
    return;
  }
  if (ddb__rwlock_enter_write(table->lock, 0, NULL) == DDB_OK) {
    make_room_locked(table);
    ddb__rwlock_leave_write(table->lock);
  }
}
