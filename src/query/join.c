/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c - joins of two sides: pairs of records become records of the result's own shape, so that
 * conditions, expressions, orders and aggregates work on them as on any others.
 *
 *   left records --matches of the right side (join_side.h)--> pairs --the columns that somebody
 *     reads--> records, a batch at a time --where--> a sink: count, rows, or aggregates
 *
 * What of `where` is about one side alone chooses that side's records, through its planner
 * (join_push.h). The left side is scanned as far as rows are wanted.
 *
 * What nobody reads is not copied: `where`, order and aggregates are bound first, to the names of all
 * columns; then the rows get those of them that were found there (all, for a selection).
 * Locks: none; the caller's views keep everything. Memory: the right side's hash table, and the
 * result.
 */
#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "query/aggregate.h"
#include "query/distinct.h"
#include "query/join_push.h"
#include "query/join_side.h"
#include "query/parallel.h"
#include "query/rowset.h"
#include "query/selection.h"

/* Where a column's values are. */
typedef struct column {
  uint32_t field_id; /* in its side's registry */
  uint32_t name_id;  /* in the result's */
  bool is_right;
  bool is_used;
  const ddb_shape *shape; /* the last one seen, and its place there */
  uint32_t index;
} column;

typedef struct joining {
  ddb__join_push push; /* the join as it is run, and what is left of its condition */
  const ddb_join *join;
  const ddb__shapes *left_shapes;
  ddb__input *keys; /* [key_count], of the left side */
  size_t key_count; /* initialised ones */
  ddb__join_side right;
  bool has_right;
  ddb_str *names; /* [column_count] */
  column *columns;
  ddb_value *values; /* [column_count]: of one row */
  size_t used_count;
  ddb_rowset *rows;
  ddb__bound where;
  bool has_where;
  ddb__teller *teller; /* NULL; or who is told of it */
  uint64_t paired;     /* pairs */
  uint64_t passed;     /* those that `where` kept */
  /* The batch. */
  ddb__arena arena;
  size_t count;
  const ddb_record *records[DDB__BATCH_MAX];
  /* What becomes of the rows: */
  ddb_status (*sink)(struct joining *j, uint64_t mask, ddb_error *err);
  bool done; /* no more rows are wanted */
  const ddb_query *query;
  uint64_t enough; /* rows: no more are wanted */
  ddb__distinct distinct;
  ddb__aggregation *aggregation;
  uint64_t counted;
} joining;

/* ---- Setting up --------------------------------------------------------------------------- */

static ddb_status check_join(const ddb_join *join, ddb_error *err) {
  if (!join || (!join->left == !join->left_rows) || !join->right) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join needs a left and a right side");
  }
  if (join->key_count == 0 || !join->keys || join->column_count == 0 || !join->columns) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join needs fields to join on, and columns");
  }
  if (join->key_count > DDB__JOIN_KEYS_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a join on more than %u fields", DDB__JOIN_KEYS_MAX);
  }
  if ((unsigned)join->kind > DDB_JOIN_LEFT || (join->left_rows && join->left_where)) {
    return ddb__fail(err, DDB_ERR_INVALID, "no such join");
  }
  return DDB_OK;
}

static size_t room_of(const ddb_join *join) {
  return join->column_count * (sizeof(ddb_value) + sizeof(ddb_str) + sizeof(column)) +
         join->key_count * sizeof(ddb__input);
}

static ddb_status allocate(joining *j, ddb_error *err) {
  size_t bytes = room_of(j->join);
  j->keys = ddb__alloc_zero(&ddb__heap_process, bytes);
  if (!j->keys) {
    return ddb__fail_memory(err, bytes);
  }
  j->values = (ddb_value *)(void *)(j->keys + j->join->key_count);
  j->names = (ddb_str *)(void *)(j->values + j->join->column_count);
  j->columns = (column *)(void *)(j->names + j->join->column_count);
  return DDB_OK;
}

static ddb_status bind_columns(joining *j, ddb_error *err) {
  const ddb_join *join = j->join;
  const ddb__shapes *right = ddb__table_shapes(join->right->table);
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < join->column_count && !status; i++) {
    const ddb_join_column *from = &join->columns[i];
    j->names[i] = from->name;
    j->columns[i].is_right = from->is_right;
    j->columns[i].index = DDB__NO_FIELD;
    status = ddb__bound_field(from->is_right ? right : j->left_shapes, from->field,
                              &j->columns[i].field_id, err);
  }
  for (; j->key_count < join->key_count && !status; j->key_count++) {
    uint32_t unused;
    const ddb_join_key *key = &join->keys[j->key_count];
    status = ddb__bound_field(right, key->right, &unused, err);
    if (!status) {
      status = ddb__input_init(&j->keys[j->key_count], j->left_shapes, key->left, NULL, err);
    }
  }
  if (!status) {
    status = ddb__rowset_open("the join of table", ddb__shapes_table_name(j->left_shapes), j->names,
                              join->column_count, join->closed, &j->rows, err);
  }
  for (size_t i = 0; i < join->column_count && !status; i++) {
    j->columns[i].name_id = ddb__shapes_field_find(j->rows->shapes, j->names[i]);
  }
  return status;
}

static void joining_fini(joining *j) {
  for (size_t i = 0; i < j->key_count; i++) {
    ddb__input_fini(&j->keys[i]);
  }
  if (j->has_right) {
    ddb__join_side_fini(&j->right);
  }
  if (j->has_where) {
    ddb__bound_fini(&j->where);
  }
  ddb__distinct_fini(&j->distinct);
  ddb_rowset_free(j->rows);
  ddb__arena_fini(&j->arena);
  ddb__free(&ddb__heap_process, j->keys, room_of(j->join));
  ddb__join_push_fini(&j->push);
}

/* Names are checked in the whole condition; what is left for the pairs is bound. */
static ddb_status bind_where(joining *j, const ddb_cond *where, ddb_error *err) {
  const ddb__shapes *shapes = j->rows->shapes;
  ddb_status status = ddb__bound_init(&j->where, where, shapes, err);
  if (status) {
    return status;
  }
  ddb__bound_fini(&j->where);
  status = ddb__join_push_init(&j->push, j->join, where, err);
  if (status) {
    return status;
  }
  j->join = &j->push.join;
  if (j->push.where) {
    status = ddb__bound_init(&j->where, j->push.where, shapes, err);
    j->has_where = status == DDB_OK;
  }
  return status;
}

static ddb_status joining_init(joining *j, const ddb_join *join, const ddb_cond *where,
                               ddb_error *err) {
  ddb_status status = check_join(join, err);
  if (status) {
    return status;
  }
  memset(j, 0, offsetof(joining, records));
  j->join = join;
  j->left_shapes = join->left ? ddb__table_shapes(join->left->table) : join->left_rows->shapes;
  ddb__distinct_init(&j->distinct, NULL, 0);
  j->aggregation = NULL;
  j->counted = 0;
  j->enough = UINT64_MAX;
  j->done = false;
  status = allocate(j, err);
  if (!status) {
    status = bind_columns(j, err);
  }
  if (!status && where) {
    status = bind_where(j, where, err);
  }
  if (status) {
    joining_fini(j);
  }
  return status;
}

/* ---- Which columns are read --------------------------------------------------------------- */

static void use_field(joining *j, uint32_t name_id) {
  for (size_t i = 0; i < j->join->column_count; i++) {
    j->columns[i].is_used = j->columns[i].is_used || j->columns[i].name_id == name_id;
  }
}

static void use_expr(joining *j, const ddb__expr_bound *expr) {
  for (uint32_t i = 0; expr && i < expr->count; i++) {
    if (expr->nodes[i].kind == DDB__EXPR_FIELD) {
      use_field(j, expr->nodes[i].path.field_id);
    }
  }
}

static void use_where(joining *j) {
  for (size_t i = 0; j->has_where && i < j->where.count; i++) {
    const ddb__bound_node *node = &j->where.nodes[i];
    if (node->kind == DDB__BOUND_EXPR) {
      use_expr(j, node->left);
      use_expr(j, node->right);
    } else if (node->cond) {
      use_field(j, node->field_id);
    }
  }
}

static void use_inputs(joining *j) {
  for (size_t i = 0; i < j->aggregation->input_count; i++) {
    use_field(j, j->aggregation->inputs[i].field_id);
    use_expr(j, j->aggregation->inputs[i].expr);
  }
}

/* The rows get the columns that are used; what is not is taken off the list. */
static ddb_status settle(joining *j, ddb_error *err) {
  bool any = !j->has_where && !j->aggregation;
  for (size_t i = 0; i < j->join->column_count; i++) {
    any = any || j->columns[i].is_used;
  }
  j->columns[0].is_used = j->columns[0].is_used || !any; /* there must be a record to look at */
  for (size_t i = 0; i < j->join->column_count; i++) {
    if (j->columns[i].is_used) {
      j->columns[j->used_count] = j->columns[i];
      j->names[j->used_count++] = j->names[i];
    }
  }
  return j->used_count > 0 ? ddb__rowset_settle(j->rows, j->names, j->used_count, err) : DDB_OK;
}

/* ---- Rows --------------------------------------------------------------------------------- */

static ddb_value column_value(column *c, const ddb_record *record) {
  if (!record || c->field_id == DDB__NO_FIELD) {
    return ddb_null();
  }
  if (record->shape != c->shape) {
    c->shape = record->shape;
    c->index = ddb__shape_find(record->shape, c->field_id);
  }
  return c->index == DDB__NO_FIELD ? ddb_null() : ddb__record_at(record, c->index);
}

static ddb_status flush(joining *j, ddb_error *err) {
  uint64_t mask = j->count < DDB__BATCH_MAX ? (UINT64_C(1) << j->count) - 1 : UINT64_MAX;
  if (j->has_where && mask != 0) {
    mask = ddb__bound_eval(&j->where, j->records, mask);
    ddb_status failed = ddb__bound_status(&j->where, err);
    if (failed) {
      return failed;
    }
  }
  j->paired += j->count;
  j->passed += (uint64_t)__builtin_popcountll(mask);
  ddb_status status = mask != 0 ? j->sink(j, mask, err) : DDB_OK;
  j->count = 0;
  ddb__arena_clear(&j->arena);
  return status;
}

/* right: NULL: nulls. */
static ddb_status emit(joining *j, const ddb_record *left, const ddb_record *right,
                       ddb_error *err) {
  ddb_record *record = NULL;
  if (j->used_count > 0) {
    for (size_t i = 0; i < j->used_count; i++) {
      column *c = &j->columns[i];
      j->values[i] = column_value(c, c->is_right ? right : left);
    }
    ddb_status status = ddb__rowset_make(j->rows->shape, &j->arena, j->values, &record, err);
    if (status) {
      return status;
    }
  }
  j->records[j->count++] = record;
  return j->count == DDB__BATCH_MAX ? flush(j, err) : DDB_OK;
}

static ddb_status pair(joining *j, const ddb_record *left, const ddb_value *keys, ddb_error *err) {
  uint64_t match;
  ddb_status status = ddb__join_side_find(&j->right, keys, &match, err);
  const ddb_record *right = status ? NULL : ddb__join_side_next(&j->right, &match);
  if (!status && !right && j->join->kind == DDB_JOIN_LEFT && !DDB__FAULT(JOIN_LEFT_LOST)) {
    return emit(j, left, NULL, err);
  }
  for (; right && !status && !j->done; right = ddb__join_side_next(&j->right, &match)) {
    status = emit(j, left, right, err);
  }
  return status;
}

static ddb_status pair_batch(joining *j, const ddb__batch *batch, ddb_error *err) {
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < j->key_count && !status; i++) {
    status = ddb__input_fill(&j->keys[i], batch, err);
  }
  for (uint64_t mask = batch->mask; mask != 0 && !status && !j->done; mask &= mask - 1) {
    unsigned row = (unsigned)__builtin_ctzll(mask);
    ddb_value keys[DDB__JOIN_KEYS_MAX];
    for (size_t i = 0; i < j->key_count; i++) {
      keys[i] = j->keys[i].values[row];
    }
    status = pair(j, batch->records[row], keys, err);
  }
  return status;
}

/* left_count: at least so many left records are there, as far as that is known. No more than the
 * rows that are wanted may be needed. */
static void open_right(joining *j, uint64_t left_count) {
  uint64_t count = left_count < j->enough ? left_count : j->enough;
  ddb__join_side_init(&j->right, j->join, count);
  j->has_right = true;
}

static bool is_run(const joining *j) {
  return !j->teller || j->teller->analyzed;
}

/* The left side's rows of another join. */
static ddb_status pair_rows(joining *j, ddb_error *err) {
  const ddb_records *left = &j->join->left_rows->records;
  ddb_status status = DDB_OK;
  open_right(j, left->count);
  for (size_t from = 0; from < left->count && is_run(j) && !status && !j->done;
       from += DDB__BATCH_MAX) {
    size_t count = left->count - from;
    uint64_t mask = count < DDB__BATCH_MAX ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
    ddb__batch batch = {.records = left->items + from, .mask = mask};
    status = pair_batch(j, &batch, err);
  }
  if (!status && j->teller) {
    status = ddb__tell(j->teller, "rows", left->count, left->count) ? DDB_OK : DDB_ERR_NOMEM;
  }
  return status;
}

static ddb_status scan_left(joining *j, ddb__plan *plan, uint64_t *matched, ddb_error *err) {
  ddb_status status = DDB_OK;
  ddb__scan scan;
  ddb__batch batch;
  if (j->aggregation) { /* it reads all of them */
    ddb__parallel_find(plan, j->aggregation->query->threads);
  }
  ddb__scan_init(&scan, plan, true);
  while (!status && !j->done && ddb__scan_next(&scan, &batch)) {
    *matched += (uint64_t)__builtin_popcountll(batch.mask);
    status = pair_batch(j, &batch, err);
  }
  return status ? status : ddb__bound_status(&plan->bound, err);
}

/* The left side's records, as they are found: it ends where no more rows are wanted. */
static ddb_status pair_scanned(joining *j, ddb_error *err) {
  const ddb_join *join = j->join;
  ddb__source source = {join->left->table, ddb__view_root(join->left)};
  ddb__plan plan;
  ddb_status status = ddb__plan_init(&plan, &source, join->left_where, err);
  if (status) {
    return status;
  }
  uint64_t plan_ns = j->teller ? ddb__teller_ns(j->teller) : 0;
  uint64_t matched = 0;
  open_right(j, !join->left_where ? source.root->count : plan.candidates.count);
  if (is_run(j)) {
    status = scan_left(j, &plan, &matched, err);
  }
  if (!status && j->teller) {
    status = ddb__tell_found(j->teller, &plan, matched, plan_ns);
  }
  ddb__plan_fini(&plan);
  return status;
}

static ddb_status run(joining *j, ddb_error *err) {
  use_where(j);
  ddb_status status = settle(j, err);
  if (!status) {
    status = j->join->left_rows ? pair_rows(j, err) : pair_scanned(j, err);
  }
  if (!status && j->teller) {
    status = ddb__join_side_tell(&j->right, j->teller);
  }
  return status || j->done ? status : flush(j, err);
}

/* ---- Counting ----------------------------------------------------------------------------- */

static ddb_status sink_count(joining *j, uint64_t mask, ddb_error *err) {
  (void)err;
  j->counted += (uint64_t)__builtin_popcountll(mask);
  return DDB_OK;
}

ddb_status ddb_join_count(const ddb_join *join, const ddb_cond *where, uint64_t *count,
                          ddb_error *err) {
  joining j;
  if (!count) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join's count needs a result");
  }
  ddb_status status = joining_init(&j, join, where, err);
  if (status) {
    return status;
  }
  j.sink = sink_count;
  status = run(&j, err);
  if (!status) {
    *count = j.counted;
  }
  joining_fini(&j);
  return status;
}

/* ---- Selecting ---------------------------------------------------------------------------- */

/* The records go into the result's own arena. Without an order, no more are taken than are wanted. */
static ddb_status sink_rows(joining *j, uint64_t mask, ddb_error *err) {
  const ddb_query *query = j->query;
  ddb_status status = DDB_OK;
  for (; mask != 0 && !status && !j->done; mask &= mask - 1) {
    const ddb_record *made = j->records[__builtin_ctzll(mask)];
    size_t size = ddb__record_size(made);
    ddb_record *kept = ddb__arena_take(&j->rows->arena, size);
    if (!kept) {
      return ddb__fail_memory(err, size);
    }
    memcpy(kept, made, size);
    bool added = true;
    if (query->distinct && query->order_count == 0) {
      status = ddb__distinct_add(&j->distinct, kept, &added, err);
    }
    if (!status && added) {
      status = ddb__rowset_append(j->rows, kept, err);
    }
    j->done = j->rows->records.count + (DDB__FAULT(JOIN_EARLY_END) ? 1 : 0) >= j->enough;
  }
  return status;
}

/* "First" in distinct is first in the order asked for. */
static ddb_status drop_repeats(joining *j, ddb_error *err) {
  ddb_records *records = &j->rows->records;
  size_t kept = 0;
  for (size_t i = 0; i < records->count; i++) {
    bool added;
    ddb_status status = ddb__distinct_add(&j->distinct, records->items[i], &added, err);
    if (status) {
      return status;
    }
    if (added) {
      records->items[kept++] = records->items[i];
    }
  }
  records->count = kept;
  return DDB_OK;
}

static ddb_status finish_rows(joining *j, ddb_error *err) {
  const ddb_query *query = j->query;
  ddb_status status = ddb__rowset_sort(j->rows, query->order, query->order_count, NULL, 0, err);
  if (!status && query->distinct && query->order_count > 0) {
    status = drop_repeats(j, err);
  }
  if (!status) {
    ddb__rowset_slice(j->rows, query->offset, query->limit);
  }
  return status;
}

/* What distinct goes by; none: all fields. */
static ddb_status bind_distinct(joining *j, ddb__distinct_column **columns, ddb_error *err) {
  const ddb_query *query = j->query;
  size_t count = query->distinct_count;
  *columns = NULL;
  if (!query->distinct || (!query->distinct_fields && !query->distinct_exprs) || count == 0) {
    return DDB_OK;
  }
  *columns = ddb__alloc_zero(&ddb__heap_process, count * sizeof **columns);
  if (!*columns) {
    return ddb__fail_memory(err, count * sizeof **columns);
  }
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < count && !status; i++) {
    const ddb_expr *expr = query->distinct_exprs ? query->distinct_exprs[i] : NULL;
    ddb_str name = expr || !query->distinct_fields ? (ddb_str){NULL, 0} : query->distinct_fields[i];
    status = ddb__term_bind(&(*columns)[i].new, j->rows->shapes, name, expr, err);
    if (!status) {
      status = ddb__term_bind(&(*columns)[i].old, j->rows->shapes, name, expr, err);
    }
  }
  ddb__distinct_init(&j->distinct, *columns, count);
  return status;
}

static void unbind_distinct(ddb__distinct_column *columns, size_t count) {
  for (size_t i = 0; columns && i < count; i++) {
    ddb__term_unbind(&columns[i].new);
    ddb__term_unbind(&columns[i].old);
  }
  ddb__free(&ddb__heap_process, columns, count * sizeof *columns);
}

static ddb_status selecting_init(joining *j, const ddb_join *join, const ddb_query *query,
                                 ddb__distinct_column **columns, ddb_error *err) {
  ddb_status status = ddb__query_check(query, err);
  if (!status) {
    status = joining_init(j, join, query->where, err);
  }
  if (status) {
    return status;
  }
  j->sink = sink_rows;
  j->query = query;
  if (query->order_count == 0 && query->limit <= UINT64_MAX - query->offset) {
    j->enough = query->limit + query->offset;
  }
  for (size_t i = 0; i < join->column_count; i++) {
    j->columns[i].is_used = true;
  }
  status = bind_distinct(j, columns, err);
  if (status) {
    joining_fini(j);
    unbind_distinct(*columns, query->distinct_count);
  }
  return status;
}

ddb_status ddb_join_select(const ddb_join *join, const ddb_query *query, ddb_rowset **out,
                           ddb_error *err) {
  joining j;
  ddb__distinct_column *columns;
  if (!query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join's select needs a query and a result");
  }
  ddb_status status = selecting_init(&j, join, query, &columns, err);
  if (status) {
    return status;
  }
  status = query->limit > 0 ? run(&j, err) : settle(&j, err);
  if (!status) {
    status = finish_rows(&j, err);
  }
  if (!status) {
    *out = j.rows;
    j.rows = NULL;
  }
  joining_fini(&j);
  unbind_distinct(columns, query->distinct_count);
  return status;
}

/* ---- Aggregates --------------------------------------------------------------------------- */

static ddb_status sink_aggregate(joining *j, uint64_t mask, ddb_error *err) {
  ddb__batch batch = {.records = j->records, .mask = mask};
  return ddb__aggregation_take(j->aggregation, &batch, err);
}

static ddb_status aggregating_init(joining *j, const ddb_join *join,
                                   const ddb_aggregate_query *query, ddb__aggregation *r,
                                   ddb_error *err) {
  ddb_status status = joining_init(j, join, query->where, err);
  if (status) {
    return status;
  }
  status = ddb__aggregation_init(r, j->rows->shapes, query, false, err);
  if (status) {
    joining_fini(j);
    return status;
  }
  j->sink = sink_aggregate;
  j->aggregation = r;
  use_inputs(j);
  return DDB_OK;
}

ddb_status ddb_join_aggregate(const ddb_join *join, const ddb_aggregate_query *query,
                              ddb_rowset **out, ddb_error *err) {
  joining j;
  ddb__aggregation r;
  if (!query || !out || query->records) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join's aggregate needs a query and a result");
  }
  ddb_status status = aggregating_init(&j, join, query, &r, err);
  if (status) {
    return status;
  }
  status = run(&j, err);
  if (!status) {
    status = ddb__aggregation_rows(&r, out, err);
  }
  ddb__aggregation_fini(&r);
  joining_fini(&j);
  return status;
}

/* ---- Explaining --------------------------------------------------------------------------- */

/* inner on id = user, kind = kind */
static void put_join(ddb_plan_node *node, const ddb_join *join) {
  ddb__tell_put(node, join->kind == DDB_JOIN_LEFT ? "left on " : "inner on ");
  for (size_t i = 0; i < join->key_count; i++) {
    ddb__tell_put(node, i > 0 ? ", " : "");
    ddb__tell_put_name(node, join->keys[i].left);
    ddb__tell_put(node, " = ");
    ddb__tell_put_name(node, join->keys[i].right);
  }
}

/* The pairs, and below them the sides; the join is run where the teller analyzes. */
static ddb_status tell_pairs(joining *j, ddb__teller *t) {
  size_t filter = SIZE_MAX;
  ddb_status status = DDB_OK;
  j->teller = t;
  if (j->has_where) {
    filter = t->out->count;
    status = ddb__tell_filter(t, j->push.where, DDB_NO_LIMIT, 0);
  }
  size_t at = t->out->count;
  ddb_plan_node *node = status ? NULL : ddb__tell(t, "join", DDB_NO_LIMIT, 0);
  if (!node) {
    return DDB_ERR_NOMEM;
  }
  put_join(node, j->join);
  t->depth++;
  status = run(j, t->err);
  if (!status) {
    ddb__tell_actual(t, filter, j->passed, ddb__teller_ns(t));
    ddb__tell_actual(t, at, j->paired, ddb__teller_ns(t));
  }
  return status;
}

static ddb_status tell_select(joining *j, ddb__teller *t) {
  const ddb_query *query = j->query;
  ddb_status status = DDB_OK;
  size_t slice = SIZE_MAX;
  size_t sort = SIZE_MAX;
  if (query->limit != DDB_NO_LIMIT || query->offset > 0) {
    slice = t->out->count;
    status = ddb__tell_slice(t, query->limit, query->offset, 0);
  }
  if (!status && query->distinct) {
    status = ddb__tell(t, "distinct", DDB_NO_LIMIT, DDB_NO_LIMIT) ? DDB_OK : DDB_ERR_NOMEM;
    t->depth++;
  }
  if (!status && query->order_count > 0) {
    sort = t->out->count;
    status = ddb__tell_sort(t, query->order, query->order_count, false, DDB_NO_LIMIT, 0);
  }
  if (!status) {
    status = tell_pairs(j, t);
  }
  if (!status && t->analyzed) {
    ddb__tell_actual(t, sort, j->rows->records.count, 0);
    status = finish_rows(j, t->err);
    ddb__tell_actual(t, slice, j->rows->records.count, 0);
    t->out->nodes[0].ns = ddb__teller_ns(t);
  }
  return status;
}

ddb_status ddb_join_explain(const ddb_join *join, const ddb_query *query, bool analyze,
                            ddb_plan *out, ddb_error *err) {
  joining j;
  ddb__distinct_column *columns;
  ddb_plan plan = {0};
  ddb__teller t;
  if (!query || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join's explain needs a query and a result");
  }
  ddb__teller_init(&t, analyze, &plan, err);
  ddb_status status = selecting_init(&j, join, query, &columns, err);
  if (status) {
    return status;
  }
  j.done = query->limit == 0;
  status = tell_select(&j, &t);
  joining_fini(&j);
  unbind_distinct(columns, query->distinct_count);
  return ddb__tell_done(&plan, status, out);
}

ddb_status ddb_join_explain_aggregate(const ddb_join *join, const ddb_aggregate_query *query,
                                      bool analyze, ddb_plan *out, ddb_error *err) {
  joining j;
  ddb__aggregation r;
  ddb_plan plan = {0};
  ddb__teller t;
  ddb__tell_ends ends;
  if (!query || !out || query->records) {
    return ddb__fail(err, DDB_ERR_INVALID, "a join's explain needs a query and a result");
  }
  ddb__teller_init(&t, analyze, &plan, err);
  ddb_status status = aggregating_init(&j, join, query, &r, err);
  if (status) {
    return status;
  }
  status = ddb__tell_aggregate(&t, query, &ends);
  if (!status) {
    status = tell_pairs(&j, &t);
  }
  if (!status) {
    status = ddb__aggregation_tell_rows(&r, &t, &ends);
  }
  ddb__aggregation_fini(&r);
  joining_fini(&j);
  return ddb__tell_done(&plan, status, out);
}
