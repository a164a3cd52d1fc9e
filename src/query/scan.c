/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - the rows of a plan, batch by batch.
 *
 * Records lie anywhere in memory, and a scan of many waits for memory more than for anything else.
 * So the records of the next leaf are fetched ahead while those of this one are evaluated, and
 * candidates are looked up by the batch before the first is read. Where columns were kept of a block
 * (store/memo.h), they tell which rows match, or need a look; the other records are not touched.
 */
#include "query/kernel.h"
#include "query/plan.h"
#include "store/memo.h"
#include "store/rows.h"
#include "store/table.h"

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

/* ---- Columns ------------------------------------------------------------------------------ */

static size_t add_field(uint32_t *fields, size_t count, uint32_t field_id) {
  for (size_t i = 0; i < count; i++) {
    if (fields[i] == field_id) {
      return count;
    }
  }
  if (count < DDB__SCAN_FIELDS_MAX) {
    fields[count++] = field_id;
  }
  return count;
}

/* Which fields' columns to keep. What a statement is making is not published: none of that. */
static void choose_columns(ddb__scan *scan) {
  const ddb__source *source = &scan->plan->source;
  scan->by_columns = false;
  scan->field_count = 0;
  scan->block.end = 0;
  ddb__memo_pool *pool = ddb__table_memos(source->table);
  if (!pool || source->root->rows.end < DDB__BLOCK_ROWS) {
    return;
  }
  uint32_t fields[DDB__SCAN_FIELDS_MAX];
  size_t count = ddb__vector_fields(&scan->plan->bound, fields, DDB__SCAN_FIELDS_MAX);
  for (size_t i = 0; i < scan->plan->wanted_count; i++) {
    count = add_field(fields, count, scan->plan->wanted[i]);
  }
  scan->by_columns = count > 0;
  if (count == 0 || source->root->commit == 0) {
    return;
  }
  uint32_t number = ddb__memo_pool_begin_scan(pool);
  for (size_t i = 0; i < count; i++) {
    if (ddb__memo_pool_use(pool, fields[i], number)) {
      scan->fields[scan->field_count++] = fields[i];
    }
  }
  ddb__table_make_room((ddb_table *)(uintptr_t)source->table, number);
}

#define LEAF_MASK (UINT64_MAX >> (64 - DDB__ROWS_FAN))

static inline uint64_t leaf_bits(const uint64_t *words, size_t leaf) {
  size_t row = leaf * DDB__ROWS_FAN;
  return words[row / 64] >> (row % 64) & LEAF_MASK;
}

/* Rows of a leaf that are there. */
static uint64_t live_bits(const ddb__rows_node *block, size_t leaf) {
  const ddb_record *const *records = ddb__rows_block_leaf(block, leaf);
  uint64_t live = 0;
  for (unsigned i = 0; records && i < DDB__ROWS_FAN; i++) {
    live |= (uint64_t)(records[i] != NULL) << i;
  }
  return live;
}

/* Rows that changed since the memo was made are open, if they are there. */
static void open_dirty(ddb__scan_block *in, const ddb__memo *memo, const ddb__rows_node *block) {
  ddb__verdict *verdict = &in->verdict;
  uint64_t *dirty = in->dirty;
  in->any_dirty = ddb__memo_dirty(memo, block, dirty);
  for (size_t leaf = 0; in->any_dirty && leaf < DDB__ROWS_FAN; leaf++) {
    if (dirty[leaf] != 0) {
      size_t row = leaf * DDB__ROWS_FAN;
      uint64_t live = dirty[leaf] & live_bits(block, leaf);
      verdict->sure[row / 64] &= ~(dirty[leaf] << (row % 64));
      verdict->maybe[row / 64] &= ~(dirty[leaf] << (row % 64));
      verdict->maybe[row / 64] |= live << (row % 64);
    }
  }
}

static bool has_wanted(const ddb__plan *plan, const ddb__memo *memo) {
  bool all = plan->by_batch;
  for (size_t i = 0; all && i < plan->wanted_count; i++) {
    const ddb__column *column = ddb__memo_column(memo, plan->wanted[i]);
    all = column && ddb__column_has_values(column);
  }
  return all;
}

/* Is there anything left to look at? */
static bool count_sure(ddb__scan *scan) {
  ddb__verdict *verdict = &scan->block.verdict;
  uint64_t open = 0;
  scan->counted += ddb__kernels_get()->count(verdict->sure, DDB__BLOCK_WORDS);
  for (size_t i = 0; i < DDB__BLOCK_WORDS; i++) {
    verdict->maybe[i] &= ~verdict->sure[i];
    verdict->sure[i] = 0;
    open |= verdict->maybe[i];
  }
  return open != 0;
}

/* At the first row of a block whose columns tell something: evaluates on them. A count that needs no
 * record of the block is behind it then. */
static void enter_block(ddb__scan *scan) {
  const ddb__source *source = &scan->plan->source;
  ddb__rows_node *node = ddb__rows_block(&source->root->rows, scan->position);
  if (!node) {
    return;
  }
  const ddb__memo *memo = ddb__memo_get(ddb__table_memos(source->table), node, scan->fields,
                                        scan->field_count, scan->field_count > 0);
  if (!memo) {
    return;
  }
  ddb__verdict *verdict = &scan->block.verdict;
  ddb__vector_eval(&scan->plan->bound, memo, verdict);
  for (size_t i = 0; i < DDB__BLOCK_WORDS; i++) {
    verdict->sure[i] &= memo->live[i];
    verdict->maybe[i] &= memo->live[i];
  }
  open_dirty(&scan->block, memo, node);
  scan->block.memo = memo;
  scan->block.has_wanted = has_wanted(scan->plan, memo);
  scan->block.node = node;
  scan->block.first = scan->position;
  scan->block.end = scan->position + DDB__BLOCK_ROWS;
  if (scan->counts && !count_sure(scan)) {
    scan->position = scan->block.end;
  }
}

/* ---- Runs --------------------------------------------------------------------------------- */

static void fetch_rows(const ddb__scan *scan, const ddb_record *const *records, uint64_t mask) {
  for (; mask != 0; mask &= mask - 1) {
    fetch_ahead(records[__builtin_ctzll(mask)], scan->reach);
  }
}

/* The next leaf of the block with a row that matches or may; nothing when there is none. */
static ddb__scan_run run_of_block(ddb__scan *scan) {
  const ddb__scan_block *block = &scan->block;
  ddb__scan_run run = {0};
  while (scan->position < block->end) {
    size_t leaf = (size_t)(scan->position - block->first) / DDB__ROWS_FAN;
    uint64_t maybe = leaf_bits(block->verdict.maybe, leaf);
    run.first = scan->position;
    scan->position += DDB__ROWS_FAN;
    if (maybe != 0) {
      run.records = ddb__rows_block_leaf(block->node, leaf);
      run.sure = leaf_bits(block->verdict.sure, leaf);
      run.open = maybe & ~run.sure;
      run.memo = block->memo;
      run.clean = block->any_dirty ? ~block->dirty[leaf] : UINT64_MAX;
      uint64_t told = block->has_wanted ? run.sure & run.clean : 0;
      fetch_rows(scan, run.records, scan->reads_all ? maybe & ~told : run.open);
      break;
    }
  }
  return run;
}

static ddb__scan_run run_of_leaf(ddb__scan *scan) {
  uint64_t count;
  ddb__scan_run run = {.records =
                           ddb__rows_run(&scan->plan->source.root->rows, scan->position, &count),
                       .first = scan->position};
  scan->position += count;
  for (uint64_t i = 0; run.records && i < count; i++) {
    const ddb_record *record = run.records[i];
    if (record) {
      fetch_ahead(record, scan->reach);
      run.open |= UINT64_C(1) << i;
    }
  }
  return run;
}

/* The next leaf with a record, its records on their way. */
static ddb__scan_run run_next(ddb__scan *scan) {
  ddb__scan_run run = {0};
  while ((run.sure | run.open) == 0 && scan->position < scan->end) {
    if (scan->by_columns && scan->position % DDB__BLOCK_ROWS == 0) {
      uint64_t first = scan->position;
      enter_block(scan);
      if (scan->position != first) {
        continue;
      }
    }
    run = scan->position < scan->block.end ? run_of_block(scan) : run_of_leaf(scan);
  }
  return run;
}

/* The rows of one leaf that candidates were last looked up in. */
typedef struct leaf_rows {
  const ddb_record *const *records; /* NULL: a hole */
  uint64_t first;
  uint64_t count;
} leaf_rows;

/* Candidates mostly have neighbours, which lie in one leaf. */
static inline const ddb_record *look_up(const ddb__rows *rows, leaf_rows *leaf, uint64_t seq) {
  if (seq - leaf->first >= leaf->count) {
    leaf->count = 0;
    if (seq >= rows->end) {
      return NULL;
    }
    leaf->records = ddb__rows_run(rows, seq, &leaf->count);
    leaf->first = seq;
  }
  return leaf->records ? leaf->records[seq - leaf->first] : NULL;
}

/* The next candidates that are there. */
static bool gather(ddb__scan *scan, ddb__batch *batch) {
  const ddb__seqs *seqs = &scan->plan->candidates;
  const ddb__rows *rows = &scan->plan->source.root->rows;
  batch->memo = NULL;
  batch->records = scan->gathered;
  batch->seqs = seqs->items + scan->position;
  batch->mask = 0;
  leaf_rows leaf = {0};
  unsigned count = 0;
  for (; count < DDB__BATCH_MAX && scan->position < seqs->count; count++, scan->position++) {
    const ddb_record *record = look_up(rows, &leaf, seqs->items[scan->position]);
    scan->gathered[count] = record;
    if (record) {
      fetch_ahead(record, scan->reach);
      batch->mask |= UINT64_C(1) << count;
    }
  }
  return count > 0;
}

/* The next rows in the order of an index: a few at first, since a few may be all that is wanted.
 * Ends before its time when the walk gets too long. */
static bool gather_ordered(ddb__scan *scan, ddb__batch *batch) {
  const ddb__rows *rows = &scan->plan->source.root->rows;
  batch->memo = NULL;
  batch->records = scan->gathered;
  batch->seqs = scan->walked;
  batch->mask = 0;
  unsigned count = 0;
  uint64_t seq;
  bool too_long = scan->visited > scan->plan->visits_max;
  while (count < scan->width && !too_long && ddb__walk_next(&scan->walk, &seq)) {
    scan->walked[count] = seq;
    scan->gathered[count] = ddb__rows_get(rows, seq);
    fetch_ahead(scan->gathered[count], scan->reach);
    batch->mask |= UINT64_C(1) << count;
    count++;
  }
  scan->visited += count;
  scan->width = DDB__BATCH_MAX;
  return count > 0;
}

static void begin_ordered(ddb__scan *scan) {
  const ddb__plan *plan = scan->plan;
  scan->visited = 0;
  scan->width = plan->visits < DDB__BATCH_MAX ? (unsigned)plan->visits + 1 : DDB__BATCH_MAX;
  ddb__walk_init(&scan->walk, &plan->order, &plan->source.root->rows, plan->order_rows,
                 plan->descending);
}

void ddb__scan_choose(ddb__scan *scan, ddb__plan *plan, bool reads_all) {
  scan->plan = plan;
  scan->reads_all = reads_all;
  choose_columns(scan);
}

static void begin(ddb__scan *scan, uint64_t first, uint64_t end) {
  scan->reach = scan->reads_all || ddb__bound_reach(&scan->plan->bound) > 0 ? 2 * LINE : 0;
  scan->position = first;
  scan->end = end;
  scan->block.end = 0;
  if (scan->plan->is_ordered) {
    begin_ordered(scan);
  } else if (!scan->plan->by_candidates && !scan->plan->found) {
    scan->ahead = run_next(scan);
  }
}

static void begin_all(ddb__scan *scan, ddb__plan *plan, bool reads_all) {
  scan->plan = plan;
  scan->reads_all = reads_all;
  if (!plan->by_candidates && !plan->found) {
    choose_columns(scan);
  }
  begin(scan, 0, plan->source.root->rows.end);
}

static void begin_part(ddb__scan *scan, ddb__plan *plan, const ddb__scan *like, uint64_t first,
                       uint64_t count) {
  uint64_t end = plan->source.root->rows.end;
  scan->plan = plan;
  scan->reads_all = like->reads_all;
  scan->by_columns = like->by_columns;
  scan->field_count = like->field_count;
  memcpy(scan->fields, like->fields, sizeof scan->fields);
  begin(scan, first, count < end - first ? first + count : end);
}

void ddb__scan_init(ddb__scan *scan, ddb__plan *plan, bool reads_all) {
  scan->counts = false;
  begin_all(scan, plan, reads_all);
}

void ddb__scan_part_init(ddb__scan *scan, ddb__plan *plan, const ddb__scan *like, uint64_t first,
                         uint64_t count) {
  scan->counts = false;
  begin_part(scan, plan, like, first, count);
}

/* The next of the rows that were found already. */
static bool take_found(ddb__scan *scan, ddb__batch *batch) {
  const ddb__plan *plan = scan->plan;
  size_t left = plan->found_count - (size_t)scan->position;
  size_t count = left < DDB__BATCH_MAX ? left : DDB__BATCH_MAX;
  batch->memo = NULL;
  batch->records = plan->found + scan->position;
  batch->seqs = NULL;
  batch->first = 0;
  batch->mask = count < DDB__BATCH_MAX ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
  scan->position += count;
  if (scan->reads_all) {
    size_t next = left - count < DDB__BATCH_MAX ? left - count : DDB__BATCH_MAX;
    for (size_t i = 0; i < next; i++) {
      fetch_ahead(batch->records[count + i], scan->reach);
    }
  }
  return count > 0;
}

/* *open: the rows of the batch that are to be looked at. */
static bool batch_next(ddb__scan *scan, ddb__batch *batch, uint64_t *open) {
  if (scan->plan->found) {
    *open = 0;
    return take_found(scan, batch);
  }
  if (scan->plan->by_candidates || scan->plan->is_ordered) {
    bool more = scan->plan->is_ordered ? gather_ordered(scan, batch) : gather(scan, batch);
    *open = batch->mask;
    return more;
  }
  ddb__scan_run run = scan->ahead;
  if ((run.sure | run.open) == 0) {
    return false;
  }
  scan->ahead = run_next(scan);
  *batch = (ddb__batch){.records = run.records,
                        .first = run.first,
                        .mask = run.sure | run.open,
                        .memo = run.memo,
                        .clean = run.clean,
                        .block_row = (size_t)(run.first % DDB__BLOCK_ROWS)};
  *open = run.open;
  return true;
}

bool ddb__scan_next(ddb__scan *scan, ddb__batch *batch) {
  uint64_t open;
  while (batch_next(scan, batch, &open)) {
    uint64_t read = scan->reads_all && !scan->plan->by_batch ? batch->mask : open;
    if (scan->reach > 0 && read != 0) {
      guess_reach(scan, batch->records[__builtin_ctzll(read)]);
    }
    if (open != 0) {
      batch->mask &= ~open | ddb__bound_eval(&scan->plan->bound, batch->records, open);
      if (scan->plan->bound.failure != DDB_OK) {
        return false;
      }
    }
    if (batch->mask != 0) {
      return true;
    }
  }
  return false;
}

static uint64_t count_all(ddb__scan *scan) {
  ddb__batch batch;
  while (ddb__scan_next(scan, &batch)) {
    scan->counted += (unsigned)__builtin_popcountll(batch.mask);
  }
  return scan->counted;
}

uint64_t ddb__scan_count(ddb__scan *scan, ddb__plan *plan) {
  scan->counts = true;
  scan->counted = 0;
  begin_all(scan, plan, false);
  return count_all(scan);
}

uint64_t ddb__scan_part_count(ddb__scan *scan, ddb__plan *plan, const ddb__scan *like,
                              uint64_t first, uint64_t count) {
  scan->counts = true;
  scan->counted = 0;
  begin_part(scan, plan, like, first, count);
  return count_all(scan);
}
