/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matches.c - see matches.h.
 */
#include "query/matches.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/plan.h"
#include "query/selection.h"

void ddb__matches_fini(ddb__matches *found) {
  if (found->items != found->inline_items) {
    ddb__free(&ddb__heap_process, found->items, found->capacity * sizeof *found->items);
  }
}

static ddb_status grow(ddb__matches *found, ddb_error *err) {
  size_t bytes = found->capacity * sizeof *found->items;
  bool is_inline = found->items == found->inline_items;
  ddb__hit *items = ddb__resize(&ddb__heap_process, is_inline ? NULL : found->items,
                                is_inline ? 0 : bytes, 4 * bytes);
  if (!items) {
    return ddb__fail_memory(err, 4 * bytes);
  }
  if (is_inline) {
    memcpy(items, found->inline_items, bytes);
  }
  found->items = items;
  found->capacity *= 4;
  return DDB_OK;
}

static inline ddb_status add(ddb__matches *found, uint64_t seq, const ddb_record *record,
                             size_t choice, ddb_error *err) {
  if (found->count == found->capacity) {
    ddb_status status = grow(found, err);
    if (status) {
      return status;
    }
  }
  found->items[found->count++] = (ddb__hit){seq, record, choice};
  return DDB_OK;
}

static ddb_status find_all(ddb__matches *found, const ddb__source *source, const ddb_cond *where,
                           ddb_error *err) {
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, source, where, err);
  if (status) {
    return status;
  }
  ddb__scan scan;
  ddb__batch batch;
  ddb__scan_init(&scan, &plan, true);
  while (!status && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status; mask &= mask - 1) {
      unsigned i = (unsigned)__builtin_ctzll(mask);
      status = add(found, ddb__batch_seq(&batch, i), batch.records[i], 0, err);
    }
  }
  status = status ? status : ddb__bound_status(&plan.bound, err);
  ddb__plan_fini(&plan);
  return status;
}

ddb_status ddb__matches_where(ddb__matches *found, const ddb__write *write, const ddb_cond *where,
                              ddb_error *err) {
  ddb__source source = {write->table, write->next};
  uint64_t seq;
  const ddb_record *record;
  if (ddb__plan_point(&source, where, &seq, &record)) {
    return record ? add(found, seq, record, 0, err) : DDB_OK;
  }
  return find_all(found, &source, where, err);
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* One candidate of a step, in order. *done: no more are wanted. */
static ddb_status consider(ddb__matches *found, const ddb_step *step, uint64_t seq,
                           const ddb_record *record, bool *done, ddb_error *err) {
  size_t choice = 0;
  if (step->judge && !ddb_judge_find(step->judge, record, &choice)) {
    if (DDB__FAULT(STALE_SKIPPED)) {
      return DDB_OK;
    }
    found->stale = true;
    *done = !found->keeps_unjudged;
    return *done ? DDB_OK : add(found, seq, record, DDB__UNJUDGED, err);
  }
  if (choice == DDB_JUDGE_LEAVE) {
    return DDB_OK;
  }
  ddb_status status = add(found, seq, record, choice, err);
  *done = found->count >= step->limit;
  return status;
}

static ddb_status step_by_key(ddb__matches *found, const ddb__write *write, const ddb_step *step,
                              ddb_error *err) {
  if (!ddb__value_hashable(step->key)) {
    return ddb__fail(err, DDB_ERR_KEY, "table '%.*s': a step asks for an unhashable primary key",
                     DDB__STR_ARG(ddb_table_name(write->table)));
  }
  uint64_t seq;
  const ddb_record *record;
  bool matches = false;
  ddb_status status = ddb_table_cond_check(write->table, step->where, err);
  if (!status && ddb__write_find(write, step->key, &seq, &record)) {
    status = ddb_record_matches(record, step->where, &matches, err);
  }
  bool done;
  return matches ? consider(found, step, seq, record, &done, err) : status;
}

static ddb_status step_in_order(ddb__matches *found, const ddb__write *write, const ddb_step *step,
                                ddb_error *err) {
  ddb__source source = {write->table, write->next};
  ddb_query query = {.where = step->where,
                     .order = step->order,
                     .order_count = step->order_count,
                     .limit = step->judge ? DDB_NO_LIMIT : step->limit};
  ddb__selection selection;
  ddb_status status = ddb__selection_init(&selection, &source, &query, err);
  if (status) {
    return status;
  }
  const ddb_record *records[DDB__BATCH_MAX];
  size_t count = 1;
  bool done = false;
  while (!status && !done && count > 0) {
    status = ddb__selection_next(&selection, records, DDB__BATCH_MAX, &count, err);
    for (size_t i = 0; !status && !done && i < count; i++) {
      ddb_value key = ddb__record_key(records[i]);
      uint64_t seq = 0;
      const ddb_record *same;
      (void)ddb__write_find(write, &key, &seq, &same); /* it is there: it was found by its row */
      status = consider(found, step, seq, records[i], &done, err);
    }
  }
  ddb__selection_fini(&selection);
  return status;
}

static ddb_status step_by_rows(ddb__matches *found, const ddb__write *write, const ddb_step *step,
                               ddb_error *err) {
  ddb__source source = {write->table, write->next};
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &source, step->where, err);
  if (status) {
    return status;
  }
  ddb__scan scan;
  ddb__batch batch;
  bool done = false;
  ddb__scan_init(&scan, &plan, true);
  while (!status && !done && ddb__scan_next(&scan, &batch)) {
    for (uint64_t mask = batch.mask; mask != 0 && !status && !done; mask &= mask - 1) {
      unsigned i = (unsigned)__builtin_ctzll(mask);
      status = consider(found, step, ddb__batch_seq(&batch, i), batch.records[i], &done, err);
    }
  }
  status = status ? status : ddb__bound_status(&plan.bound, err);
  ddb__plan_fini(&plan);
  return status;
}

ddb_status ddb__matches_step(ddb__matches *found, const ddb__write *write, const ddb_step *step,
                             ddb_error *err) {
  if (step->limit == 0) {
    return ddb_table_cond_check(write->table, step->where, err);
  }
  if (step->key) {
    return step_by_key(found, write, step, err);
  }
  if (step->order_count > 0 && !DDB__FAULT(STEP_LIMIT_UNORDERED)) {
    return step_in_order(found, write, step, err);
  }
  return step_by_rows(found, write, step, err);
}
