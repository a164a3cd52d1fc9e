/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c - statements of several steps: ddb_table_run.
 *
 *   for each step: find its rows in the next version, then change or delete each; then commit
 *
 * Locks: the table's write lock, from begin to commit or abort. Memory: the process heap.
 */
#include "base/status.h"
#include "query/change.h"
#include "query/matches.h"
#include "store/outcome.h"
#include "store/rows.h"
#include "store/table.h"

typedef struct running {
  const ddb_run *run;
  ddb__write write;
  ddb__maker maker;
  ddb__copies copies; /* of what is returned, or of what is not judged */
  ddb_outcome out;
} running;

static ddb_status do_row(running *r, const ddb_step *step, const ddb__hit *row, ddb_error *err) {
  ddb_status status = DDB_OK;
  if (r->run->returning == DDB_RETURN_OLD) {
    status = ddb__copies_add(&r->copies, row->record, err);
  }
  if (status) {
    return status;
  }
  if (!step->changes) {
    return ddb__write_delete(&r->write, row->seq, row->record, err);
  }
  status = ddb__maker_apply(&r->maker, &r->write, row->seq, row->record,
                            &step->changes[row->choice], err);
  if (!status && r->run->returning == DDB_RETURN_NEW) {
    status = ddb__copies_add(&r->copies, ddb__rows_get(&r->write.next->rows, row->seq), err);
  }
  return status;
}

static ddb_status fail_unmatched(const running *r, const ddb_step *step, ddb_error *err) {
  char text[96] = "";
  if (step->key) {
    (void)ddb_value_format(step->key, text, sizeof text);
  }
  ddb_str name = ddb_table_name(r->write.table);
  (void)ddb__fail(err, DDB_ERR_RECORD_NOT_FOUND, "table '%.*s': no record to %s matched%s%s",
                  DDB__STR_ARG(name), step->changes ? "update" : "delete",
                  step->key ? " the key " : "", text);
  if (err) {
    ddb__error_text(err->table, sizeof err->table, name);
  }
  return DDB_ERR_RECORD_NOT_FOUND;
}

/* Instead of what would have been returned. */
static ddb_status be_stale(running *r, size_t step, const ddb__matches *found, ddb_error *err) {
  r->out.stale = true;
  r->out.stale_step = step;
  ddb__copies_fini(&r->copies);
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < found->count && !status && found->keeps_unjudged; i++) {
    if (found->items[i].choice == DDB__UNJUDGED) {
      status = ddb__copies_add(&r->copies, found->items[i].record, err);
    }
  }
  return status;
}

static ddb_status do_step(running *r, size_t index, ddb_error *err) {
  const ddb_step *step = &r->run->steps[index];
  ddb__matches found;
  ddb__matches_init(&found);
  found.keeps_unjudged = r->run->unjudged;
  ddb_status status = ddb__matches_step(&found, &r->write, step, err);
  if (!status && found.stale) {
    status = be_stale(r, index, &found, err);
  } else if (!status && found.count == 0 && r->run->must_match) {
    status = fail_unmatched(r, step, err);
  }
  if (!status && found.count == 0 && step->changes && !step->judge) {
    status =
        ddb__maker_check(&r->maker, step->changes, err); /* a mistake is one also of no record */
  }
  for (size_t i = 0; i < found.count && !status && !r->out.stale; i++) {
    status = do_row(r, step, &found.items[i], err);
  }
  r->out.matched += found.count;
  ddb__matches_fini(&found);
  return status;
}

static ddb_status check_run(const ddb_table *table, const ddb_run *run, const ddb_outcome *out,
                            ddb_error *err) {
  if (!table || !run || !out || (run->step_count > 0 && !run->steps) ||
      (unsigned)run->returning > DDB_RETURN_NEW) {
    return ddb__fail(err, DDB_ERR_INVALID, "a run needs a table, its steps and an outcome");
  }
  for (size_t i = 0; i < run->step_count; i++) {
    const ddb_step *step = &run->steps[i];
    if (step->order_count > 0 && !step->order) {
      return ddb__fail(err, DDB_ERR_INVALID, "step %zu orders by fields that it does not name", i);
    }
    if (run->returning == DDB_RETURN_NEW && !step->changes) {
      return ddb__fail(err, DDB_ERR_INVALID, "step %zu deletes: there are no new records", i);
    }
  }
  return DDB_OK;
}

ddb_status ddb_table_run(ddb_table *table, const ddb_run *run, ddb_outcome *out, ddb_error *err) {
  ddb_status status = check_run(table, run, out, err);
  running r = {.run = run};
  if (!status) {
    status = ddb__write_begin(&r.write, table, err);
  }
  if (status) {
    return status;
  }
  ddb__maker_init(&r.maker, table);
  for (size_t i = 0; i < run->step_count && !status && !r.out.stale; i++) {
    status = do_step(&r, i, err);
  }
  if (!status && !r.out.stale) {
    status = ddb__write_verify(&r.write, err);
  }
  if (!status) {
    status = ddb__copies_trim(&r.copies, err);
  }
  if (status || r.out.stale) {
    ddb__write_abort(&r.write);
  } else {
    status = ddb__write_commit(&r.write, err);
  }
  ddb__maker_fini(&r.maker);
  if (!status) {
    r.out.matched = r.out.stale ? 0 : r.out.matched;
    ddb__copies_give(&r.copies, &r.out);
    *out = r.out;
  }
  ddb__copies_fini(&r.copies);
  return status;
}
