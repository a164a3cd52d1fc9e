/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - see judge.h. A later verdict on the same address replaces the earlier one: that record
 * is no more. Memory: the process heap, 80 bytes a record and copies of those judged by their contents. Thread-safety: distinct.
 */
#include "query/judge.h"

#include <string.h>

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
  if (!judge) {
    return;
  }
  for (size_t i = 0; i < judge->slot_count; i++) {
    ddb_record_free(judge->slots[i].copy);
  }
  ddb__free(&ddb__heap_process, judge->slots, judge->slot_count * sizeof *judge->slots);
  ddb__free(&ddb__heap_process, judge, sizeof *judge);
}

static bool equal(const ddb_record *a, const ddb_record *b) {
  return a->shape == b->shape && a->block.size == b->block.size &&
         memcmp(&a->block, &b->block, a->block.size) == 0;
}

static uint64_t hash_of(const ddb_record *record, bool by_contents) {
  return by_contents ? ddb__hash_bytes(&record->block, record->block.size)
                     : ddb__hash_mix((uint64_t)(uintptr_t)record);
}

/* The record's slot, or the free one where it would go; there is a free one. */
static ddb__verdict *slot_of(ddb__verdict *slots, size_t slot_count, const ddb_record *record,
                             bool by_contents, uint64_t hash) {
  size_t at = (size_t)hash & (slot_count - 1);
  while (slots[at].record &&
         (by_contents ? slots[at].hash != hash || !slots[at].copy || !equal(slots[at].copy, record)
                      : slots[at].record != record || slots[at].copy)) {
    at = (at + 1) & (slot_count - 1);
  }
  return &slots[at];
}

static void move(ddb__verdict *slots, size_t slot_count, const ddb__verdict *from) {
  size_t at = (size_t)from->hash & (slot_count - 1);
  while (slots[at].record) {
    at = (at + 1) & (slot_count - 1);
  }
  slots[at] = *from;
}

static ddb_status grow(ddb_judge *judge, ddb_error *err) {
  size_t slot_count = judge->slot_count ? 2 * judge->slot_count : SLOT_COUNT_FIRST;
  ddb__verdict *slots = ddb__alloc_zero(&ddb__heap_process, slot_count * sizeof *slots);
  if (!slots) {
    return ddb__fail_memory(err, slot_count * sizeof *slots);
  }
  for (size_t i = 0; i < judge->slot_count; i++) {
    if (judge->slots[i].record) {
      move(slots, slot_count, &judge->slots[i]);
    }
  }
  ddb__free(&ddb__heap_process, judge->slots, judge->slot_count * sizeof *slots);
  judge->slots = slots;
  judge->slot_count = slot_count;
  return DDB_OK;
}

static ddb_status put(ddb_judge *judge, const ddb_record *record, bool by_contents, size_t choice,
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
  uint64_t hash = hash_of(record, by_contents);
  ddb__verdict *slot = slot_of(judge->slots, judge->slot_count, record, by_contents, hash);
  ddb_record *copy = slot->copy;
  if (by_contents && !copy) {
    ddb_status status = ddb_record_copy(record, &copy, err);
    if (status) {
      return status;
    }
  }
  judge->count += !slot->record;
  judge->has_copies |= by_contents;
  *slot = (ddb__verdict){by_contents ? copy : record, record->birth, choice, hash, copy};
  return DDB_OK;
}

ddb_status ddb_judge_put(ddb_judge *judge, const ddb_record *record, size_t choice,
                         ddb_error *err) {
  return put(judge, record, false, choice, err);
}

ddb_status ddb_judge_put_equal(ddb_judge *judge, const ddb_record *record, size_t choice,
                               ddb_error *err) {
  return put(judge, record, true, choice, err);
}

bool ddb_judge_find(const ddb_judge *judge, const ddb_record *record, size_t *choice) {
  if (judge->slot_count == 0) {
    return false;
  }
  const ddb__verdict *slot =
      slot_of(judge->slots, judge->slot_count, record, false, hash_of(record, false));
  bool found = slot->record && slot->birth == record->birth;
  if (!found && judge->has_copies) {
    slot = slot_of(judge->slots, judge->slot_count, record, true, hash_of(record, true));
    found = slot->record != NULL;
  }
  if (found && choice) {
    *choice = slot->choice;
  }
  return found;
}
