/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c - statements of several steps: ddb_table_run.
 *
 *   for each step: find its rows in the next version, then change or delete each; then commit
 *
 * The outcome's records are copied before the commit, so that what is returned cannot fail after it.
 * Locks: the table's write lock, from begin to commit or abort. Memory: the process heap.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/change.h"
#include "query/matches.h"
#include "store/rows.h"
#include "store/table.h"

typedef struct running {
  const ddb_run *run;
  ddb__write write;
  ddb__maker maker;
  ddb_outcome out;
  size_t capacity; /* of out.records */
} running;

static void copies_free(ddb_record **records, size_t count, size_t capacity) {
  for (size_t i = 0; i < count; i++) {
    ddb_record_free(records[i]);
  }
  ddb__free(&ddb__heap_process, records, capacity * sizeof *records);
}

/* The array is as large as it has to be: the outcome does not keep a capacity. */
void ddb_outcome_fini(ddb_outcome *outcome) {
  if (outcome) {
    copies_free(outcome->records, outcome->record_count, outcome->record_count);
    *outcome = (ddb_outcome){0};
  }
}

static ddb_status copies_resize(running *r, size_t capacity, ddb_error *err) {
  size_t size = sizeof *r->out.records;
  ddb_record **records =
      ddb__resize(&ddb__heap_process, r->out.records, r->capacity * size, capacity * size);
  if (!records && capacity > 0) {
    return ddb__fail_memory(err, capacity * size);
  }
  r->out.records = records;
  r->capacity = capacity;
  return DDB_OK;
}

static ddb_status keep_copy(running *r, const ddb_record *record, ddb_error *err) {
  ddb_status status = DDB_OK;
  if (r->out.record_count == r->capacity) {
    status = copies_resize(r, r->capacity ? 2 * r->capacity : 4, err);
  }
  if (!status) {
    status = ddb_record_copy(record, &r->out.records[r->out.record_count], err);
  }
  r->out.record_count += !status;
  return status;
}

static ddb_status do_row(running *r, const ddb_step *step, const ddb__hit *row, ddb_error *err) {
  ddb_status status = DDB_OK;
  if (r->run->returning == DDB_RETURN_OLD) {
    status = keep_copy(r, row->record, err);
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
    status = keep_copy(r, ddb__rows_get(&r->write.next->rows, row->seq), err);
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

static ddb_status do_step(running *r, const ddb_step *step, ddb_error *err) {
  ddb__matches found;
  ddb__matches_init(&found);
  ddb_status status = ddb__matches_step(&found, &r->write, step, err);
  if (!status && found.stale) {
    r->out.stale = true;
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

static void drop_outcome(running *r) {
  copies_free(r->out.records, r->out.record_count, r->capacity);
  r->out = (ddb_outcome){.stale = r->out.stale};
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
    status = do_step(&r, &run->steps[i], err);
  }
  if (!status && !r.out.stale) {
    status = ddb__write_verify(&r.write, err);
  }
  if (!status && r.capacity > r.out.record_count) {
    status = copies_resize(&r, r.out.record_count, err);
  }
  if (status || r.out.stale) {
    ddb__write_abort(&r.write);
    drop_outcome(&r);
  } else {
    status = ddb__write_commit(&r.write, err);
    if (status) {
      drop_outcome(&r); /* it was published; the log has failed */
    }
  }
  ddb__maker_fini(&r.maker);
  if (!status) {
    *out = r.out;
  }
  return status;
}
