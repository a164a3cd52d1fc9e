/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - how the rows of a condition are found: a scan of all rows, or candidates from indexes.
 *
 * Every plan yields the same rows in the same order, that of insertion: candidates are sorted, and
 * the whole condition is evaluated on each. An index only leaves out rows that cannot match.
 *
 *   ddb__plan_init   ->  ddb__scan_init  ->  ddb__scan_next ... until false  ->  ddb__bound_status
 *   ->  ddb__plan_fini
 *
 * The caller keeps the source's root, and a pin on the table, from init to fini. Distinct.
 */
#ifndef DDB_QUERY_PLAN_H
#define DDB_QUERY_PLAN_H

#include "dictdb.h"
#include "query/bound.h"
#include "query/order.h"
#include "query/range.h"
#include "query/seqs.h"
#include "query/vector.h"
#include "query/walk.h"
#include "store/table.h"

/* One version of a table: a view's, or that which a statement is making. */
typedef struct ddb__source {
  const ddb_table *table;
  const ddb__root *root;
} ddb__source;

typedef enum ddb__step_kind {
  DDB__STEP_NOTHING, /* no row can match */
  DDB__STEP_KEY,     /* look-ups of primary keys */
  DDB__STEP_MATCH,   /* ranges of an index */
  DDB__STEP_UNION,
  DDB__STEP_INTERSECTION
} ddb__step_kind;

/* A way to candidates: a superset of the rows for which a part of the condition is true. */
typedef struct ddb__step {
  uint8_t kind;
  bool is_exact;  /* the candidates are those rows, each once */
  uint32_t first; /* operands: a list by `next` of steps; DDB__NO_STEP ends it */
  uint32_t next;
  const ddb_cond *leaf; /* KEY */
  ddb__match match;     /* MATCH */
  uint64_t covers;      /* which operands of an and it is made of: a bit each */
  uint64_t estimate;    /* rows */
  ddb__tree_run run;    /* MATCH: as ddb__range_entries gives them */
  uint64_t actual;      /* candidates collected */
} ddb__step;

#define DDB__NO_STEP     UINT32_MAX
#define DDB__STEP_INLINE 3u
typedef struct ddb__steps {
  ddb__step *items;
  uint32_t count;
  uint32_t capacity;
  ddb__step inline_items[DDB__STEP_INLINE];
} ddb__steps;

/* The order that the caller wants the rows in, and how many of them. */
typedef struct ddb__plan_order {
  const ddb__order_key *keys;
  size_t key_count;
  uint64_t keep;    /* UINT64_MAX: all */
  bool skips_nulls; /* of the one key: an index that is walked leaves these rows out */
} ddb__plan_order;

#define DDB__PLAN_WANTED_MAX 8u

typedef struct ddb__plan {
  ddb__source source;
  ddb__bound bound;
  const ddb_cond *where;
  bool by_candidates; /* else all rows are scanned */
  bool is_counted;
  bool is_ordered; /* else the rows come in order of insertion */
  bool descending;
  ddb__match order;    /* is_ordered: the index that is walked */
  uint64_t order_rows; /* in its range */
  uint64_t visits;     /* of the walk: about so many rows are looked at */
  uint64_t visits_max; /* with more than this, a sort is better after all */
  bool is_firsts;      /* the candidates are the first row of each value of an index, ... */
  ddb__match firsts;   /* ... in these ranges of it */
  uint64_t matched;
  uint32_t root; /* step; DDB__NO_STEP: a scan */
  ddb__steps steps;
  ddb__seqs candidates;
  /* The rows, when several threads found them already (parallel.h): [found_count], one more allocated. */
  const ddb_record **found;
  size_t found_count;
  /* Before a scan begins, its user may name fields that it reads of the rows, to have columns of them
   * too. `by_batch`: of these it reads nothing that a batch's columns tell. */
  uint32_t wanted[DDB__PLAN_WANTED_MAX];
  size_t wanted_count;
  bool by_batch;
} ddb__plan;

/* `where` (NULL: all) must outlive the plan. FIELD_NOT_FOUND, NOMEM. */
ddb_status ddb__plan_init(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                          ddb_error *err);
/* As ddb__plan_init; when is_ordered is true then, the scan gives the rows in this order. */
ddb_status ddb__plan_init_ordered(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                                  const ddb__plan_order *order, ddb_error *err);
/* The same of a query, of which `where` and what tells whether it is long are looked at. order: may be
 * NULL. */
ddb_status ddb__plan_init_query(ddb__plan *plan, const ddb__source *source, const ddb_query *query,
                                const ddb__plan_order *order, ddb_error *err);
/* Are the rows that match just those in ranges of the index, a sorted one, each once? Then *match are
 * these. */
bool ddb__plan_told_by(const ddb__plan *plan, const ddb__index *index, ddb__match *match);
void ddb__plan_fini(ddb__plan *plan);
/* A plan to count the rows with: when the indexes tell how many match, is_counted is true, `matched`
 * is that number and nothing is left to scan. */
ddb_status ddb__plan_init_count(ddb__plan *plan, const ddb__source *source, const ddb_cond *where,
                                ddb_error *err);

/* Is the condition just `primary key == value`? Then *record is the row's record, NULL when there
 * is none. The path of single updates: no binding, no allocation. */
bool ddb__plan_point(const ddb__source *source, const ddb_cond *where, uint64_t *seq,
                     const ddb_record **record);

#define DDB__BATCH_MAX 64u

/* Matching rows: records[i] of row first + i, or of row seqs[i], for each bit i of mask. */
typedef struct ddb__batch {
  const ddb_record *const *records;
  const uint64_t *seqs; /* NULL: consecutive */
  uint64_t first;
  uint64_t mask;
  /* Columns that tell values of the rows `clean`: row i is row block_row + i of the block. */
  const ddb__memo *memo; /* NULL: none */
  uint64_t clean;
  size_t block_row;
} ddb__batch;

static inline uint64_t ddb__batch_seq(const ddb__batch *batch, unsigned index) {
  return batch->seqs ? batch->seqs[index] : batch->first + index;
}

typedef struct ddb__scan_run {
  const ddb_record *const *records;
  uint64_t first;
  uint64_t sure;         /* bits of rows that match; with 0 in both: no more runs */
  uint64_t open;         /* bits of rows that are there, whose records tell */
  const ddb__memo *memo; /* as in a batch */
  uint64_t clean;
} ddb__scan_run;

#define DDB__SCAN_FIELDS_MAX 8u

/* The block a scan is in, as the columns kept of it tell. */
typedef struct ddb__scan_block {
  const ddb__rows_node *node;
  const ddb__memo *memo;
  bool has_wanted; /* the memo tells all that the plan's user wants */
  bool any_dirty;
  uint64_t dirty[DDB__ROWS_FAN];
  uint64_t first;
  uint64_t end; /* first row after it; 0: no block */
  ddb__verdict verdict;
} ddb__scan_block;

typedef struct ddb__scan {
  ddb__plan *plan;
  bool reads_all;      /* the caller reads the records that match */
  size_t reach;        /* bytes of a record to fetch ahead; 0: the records are not read at all */
  uint64_t position;   /* the next row, or the index of the next candidate or row found */
  uint64_t end;        /* of the rows */
  ddb__scan_run ahead; /* the run after the last one given, on its way into the cache */
  const ddb_record *gathered[DDB__BATCH_MAX];
  ddb__walk walk;   /* of an ordered plan */
  unsigned width;   /* rows of its next batch */
  uint64_t visited; /* rows that it gave */
  uint64_t walked[DDB__BATCH_MAX];
  bool counts; /* ddb__scan_count: what is sure is counted, not given */
  uint64_t counted;
  bool by_columns;    /* look for columns */
  size_t field_count; /* of those to keep columns of */
  uint32_t fields[DDB__SCAN_FIELDS_MAX];
  ddb__scan_block block;
} ddb__scan;

/* reads_all: will the caller read more of each record than its address? (Only speed depends on it.)
 */
void ddb__scan_init(ddb__scan *scan, ddb__plan *plan, bool reads_all);
/* Did an ordered scan end because the walk got too long, with rows left? */
static inline bool ddb__scan_gave_up(const ddb__scan *scan) {
  return scan->plan->is_ordered && (scan->walk.left > 0 || scan->walk.group_left > 0);
}
/* The next rows that match, in order; false at the end, or when a row could not be
 * evaluated: ddb__bound_status tells. The batch is valid until the next call. */
bool ddb__scan_next(ddb__scan *scan, ddb__batch *batch);
/* The same for a part of the rows, `first` at the beginning of a block (store/memo.h). `like` says
 * which columns to use: those that ddb__scan_choose chose for all parts. */
void ddb__scan_choose(ddb__scan *scan, ddb__plan *plan, bool reads_all);
void ddb__scan_part_init(ddb__scan *scan, ddb__plan *plan, const ddb__scan *like, uint64_t first,
                         uint64_t count);
uint64_t ddb__scan_part_count(ddb__scan *scan, ddb__plan *plan, const ddb__scan *like,
                              uint64_t first, uint64_t count);
/* How many rows match: in place of the two above. */
uint64_t ddb__scan_count(ddb__scan *scan, ddb__plan *plan);

#endif
