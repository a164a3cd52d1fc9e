/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - the rows of a plan, batch by batch.
 *
 * Records lie anywhere in memory, and a scan of many waits for memory more than for anything else.
 * So the records of the next leaf are fetched ahead while those of this one are evaluated, and
 * candidates are looked up by the batch before the first is read.
 */
#include "query/plan.h"
#include "store/rows.h"

_Static_assert(DDB__ROWS_FAN <= DDB__BATCH_MAX, "a leaf's rows are bits of one word");

#define LINE      64u
#define REACH_MAX 512u

/* Brings the lines in that hold the first `reach` bytes of a record, from its shape on. Into the
 * second-level cache: three times as many lines can be on their way there as to the first level,
 * and a run of records is more than those. Measured: 11 against 25 ns a row on scattered records.
 */
static inline void fetch_ahead(const ddb_record *record, size_t reach) {
  const char *from = (const char *)&record->shape;
  const char *to = (const char *)record + reach;
  for (; from < to; from = (const char *)(((uintptr_t)from | (LINE - 1)) + 1)) {
    __builtin_prefetch(from, 0, 1);
  }
}

/* What the next records are likely to be read of, to judge by one of these: for numbers their
 * place, for texts and the rest all of it. */
static void guess_reach(ddb__scan *scan, const ddb_record *record) {
  size_t reach = ddb__bound_reach(&scan->plan->bound);
  if (scan->reads_all || reach == SIZE_MAX) {
    reach = ddb__record_size(record);
  }
  scan->reach = reach < REACH_MAX ? reach : REACH_MAX;
}

/* The next leaf with a record, its records on their way. */
static ddb__scan_run run_next(ddb__scan *scan) {
  const ddb__rows *rows = &scan->plan->source.root->rows;
  ddb__scan_run run = {NULL, 0, 0};
  while (run.live == 0 && scan->position < rows->end) {
    uint64_t count;
    run.records = ddb__rows_run(rows, scan->position, &count);
    run.first = scan->position;
    scan->position += count;
    for (uint64_t i = 0; run.records && i < count; i++) {
      const ddb_record *record = run.records[i];
      if (record) {
        fetch_ahead(record, scan->reach);
        run.live |= UINT64_C(1) << i;
      }
    }
  }
  return run;
}

/* The next candidates that are there. */
static bool gather(ddb__scan *scan, ddb__batch *batch) {
  const ddb__seqs *seqs = &scan->plan->candidates;
  const ddb__rows *rows = &scan->plan->source.root->rows;
  batch->records = scan->gathered;
  batch->seqs = seqs->items + scan->position;
  batch->mask = 0;
  unsigned count = 0;
  for (; count < DDB__BATCH_MAX && scan->position < seqs->count; count++, scan->position++) {
    const ddb_record *record = ddb__rows_get(rows, seqs->items[scan->position]);
    scan->gathered[count] = record;
    if (record) {
      fetch_ahead(record, scan->reach);
      batch->mask |= UINT64_C(1) << count;
    }
  }
  return count > 0;
}

void ddb__scan_init(ddb__scan *scan, ddb__plan *plan, bool reads_all) {
  scan->plan = plan;
  scan->reads_all = reads_all;
  scan->reach = reads_all || ddb__bound_reach(&plan->bound) > 0 ? 2 * LINE : 0;
  scan->position = 0;
  if (!plan->by_candidates) {
    scan->ahead = run_next(scan);
  }
}

static bool batch_next(ddb__scan *scan, ddb__batch *batch) {
  if (scan->plan->by_candidates) {
    return gather(scan, batch);
  }
  ddb__scan_run run = scan->ahead;
  if (run.live == 0) {
    return false;
  }
  scan->ahead = run_next(scan);
  *batch = (ddb__batch){run.records, NULL, run.first, run.live};
  return true;
}

bool ddb__scan_next(ddb__scan *scan, ddb__batch *batch) {
  while (batch_next(scan, batch)) {
    if (scan->reach > 0 && batch->mask != 0) {
      guess_reach(scan, batch->records[__builtin_ctzll(batch->mask)]);
    }
    batch->mask = ddb__bound_eval(&scan->plan->bound, batch->records, batch->mask);
    if (batch->mask != 0) {
      return true;
    }
  }
  return false;
}
