/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - see judge.h. A later verdict on the same address replaces the earlier one: that record
 * is no more. Memory: the process heap, 48 bytes a record. Thread-safety: distinct.
 */
#include "query/judge.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/hash.h"
#include "store/record.h"

#define SLOT_COUNT_FIRST 64u

ddb_status ddb_judge_new(ddb_judge **out, ddb_error *err) {
  ddb_judge *judge = ddb__alloc_zero(&ddb__heap_process, sizeof *judge);
  if (!judge) {
    return ddb__fail_memory(err, sizeof *judge);
  }
  *out = judge;
  return DDB_OK;
}

void ddb_judge_free(ddb_judge *judge) {
  if (judge) {
    ddb__free(&ddb__heap_process, judge->slots, judge->slot_count * sizeof *judge->slots);
    ddb__free(&ddb__heap_process, judge, sizeof *judge);
  }
}

/* The record's slot, or the free one where it would go; there is a free one. */
static ddb__verdict *slot_of(ddb__verdict *slots, size_t slot_count, const ddb_record *record) {
  size_t at = (size_t)ddb__hash_mix((uint64_t)(uintptr_t)record) & (slot_count - 1);
  while (slots[at].record && slots[at].record != record) {
    at = (at + 1) & (slot_count - 1);
  }
  return &slots[at];
}

static ddb_status grow(ddb_judge *judge, ddb_error *err) {
  size_t slot_count = judge->slot_count ? 2 * judge->slot_count : SLOT_COUNT_FIRST;
  ddb__verdict *slots = ddb__alloc_zero(&ddb__heap_process, slot_count * sizeof *slots);
  if (!slots) {
    return ddb__fail_memory(err, slot_count * sizeof *slots);
  }
  for (size_t i = 0; i < judge->slot_count; i++) {
    if (judge->slots[i].record) {
      *slot_of(slots, slot_count, judge->slots[i].record) = judge->slots[i];
    }
  }
  ddb__free(&ddb__heap_process, judge->slots, judge->slot_count * sizeof *slots);
  judge->slots = slots;
  judge->slot_count = slot_count;
  return DDB_OK;
}

ddb_status ddb_judge_put(ddb_judge *judge, const ddb_record *record, size_t choice,
                         ddb_error *err) {
  if (!judge || !record) {
    return ddb__fail(err, DDB_ERR_INVALID, "a verdict needs a judge and a record");
  }
  if (judge->count >= judge->slot_count / 2) {
    ddb_status status = grow(judge, err);
    if (status) {
      return status;
    }
  }
  ddb__verdict *slot = slot_of(judge->slots, judge->slot_count, record);
  judge->count += !slot->record;
  *slot = (ddb__verdict){record, record->birth, choice};
  return DDB_OK;
}

bool ddb_judge_find(const ddb_judge *judge, const ddb_record *record, size_t *choice) {
  if (judge->slot_count == 0) {
    return false;
  }
  const ddb__verdict *slot = slot_of(judge->slots, judge->slot_count, record);
  if (!slot->record || slot->birth != record->birth) {
    return false;
  }
  if (choice) {
    *choice = slot->choice;
  }
  return true;
}
