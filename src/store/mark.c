/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark.c - the one version of a table that later ones are compared with, for "what has changed?".
 *
 *   mark: version m, held by a long pin ... version v of a view
 *   difference = rows of v that m has not (written), keys of m that v has not (deleted)
 *
 * Invariants
 *   1. table->mark changes under the database's latch, and its version only grows until it goes. A table
 *      that was dropped has none: nobody would let go of it.
 *   2. Whoever compares has a pin of its own on the marked version, taken under that latch: the mark
 *      may go meanwhile.
 * Ownership: the table owns its mark, which holds no reference to it. Cost: of a mark one pin; of a
 * statement nothing; of a difference what ddb__rows_diff says, and a look-up for each row that went.
 */
#include "store/rows.h"
#include "store/table_private.h"

static void release(ddb_view *mark) {
  if (mark->root) {
    ddb_view_close(mark);
  }
}

/* Takes `mark`; returns what is to be closed: the one before, or the one given. */
static ddb_view replace(ddb_table *table, ddb_view mark) {
  pthread_mutex_lock(&table->db->latch);
  ddb_view old = table->mark;
  bool later = old.root && mark.root &&
               ddb__view_root(&old)->version > ddb__view_root(&mark)->version &&
               !DDB__FAULT(MARK_GOES_BACK);
  bool refused = later || (mark.root && table->visible->dropped); /* its drop has been here */
  if (!refused) {
    table->mark = mark;
  }
  pthread_mutex_unlock(&table->db->latch);
  return refused ? mark : old;
}

ddb_status ddb_view_mark(const ddb_view *view, ddb_error *err) {
  if (!view || !view->root) {
    return ddb__fail(err, DDB_ERR_INVALID, "a mark needs an open view");
  }
  ddb_table *table = view->table;
  if (ddb__table_forked(table)) {
    return ddb__fail(err, DDB_ERR_FORKED, "table '%.*s' belongs to the process before the fork",
                     DDB__STR_ARG(table->name));
  }
  ddb_view mark;
  ddb_status status = ddb__view_hold(view, &mark, err);
  if (status == DDB_OK) {
    ddb_view unused = replace(table, mark);
    release(&unused);
  }
  return status;
}

void ddb_table_unmark(ddb_table *table) {
  if (table && !ddb__table_forked(table)) {
    ddb_view old = replace(table, (ddb_view){0});
    release(&old);
  }
}

/* Holds the table's mark for a comparison with the view: *held has no root when there is none. *later:
 * the mark is newer than the view. */
static ddb_status hold(const ddb_view *view, ddb_view *held, bool *later, ddb_error *err) {
  ddb_table *table = view->table;
  *held = (ddb_view){0};
  if (ddb__table_forked(table)) { /* nothing is reclaimed, nor marked, here */
    *held = table->mark;
  } else {
    ddb__long_pin *fresh = ddb__alloc(&table->db->heap, sizeof *fresh);
    if (!fresh) {
      return ddb__fail_memory(err, sizeof *fresh);
    }
    pthread_mutex_lock(&table->db->latch);
    if (table->mark.root) {
      *held = table->mark;
      held->pin = ddb__pins_add(&table->pins, ddb__view_root(held)->version, &fresh);
    }
    pthread_mutex_unlock(&table->db->latch);
    ddb__free(&table->db->heap, fresh, sizeof *fresh);
  }
  *later = held->root && ddb__view_root(held)->version > ddb__view_root(view)->version;
  return DDB_OK;
}

static ddb_status push(ddb_records *records, const ddb_record *record, ddb_error *err) {
  const ddb_record **items = ddb__room(&ddb__heap_process, (void *)(uintptr_t)records->items,
                                       &records->capacity, records->count + 1, sizeof *items, err);
  if (!items) {
    return DDB_ERR_NOMEM;
  }
  records->items = items;
  items[records->count++] = record;
  return DDB_OK;
}

typedef struct comparison {
  const ddb_view *view;
  ddb_difference *out; /* NULL: ends at the first */
  bool changed;
} comparison;

static ddb_status compare(void *context, const ddb_record *before, const ddb_record *after,
                          ddb_error *err) {
  comparison *c = context;
  c->changed = true;
  if (!c->out) {
    return DDB_ERR_INTERRUPTED;
  }
  if (after) {
    return push(&c->out->written, after, err);
  }
  ddb_value key = ddb__record_key(before);
  uint64_t seq;
  bool returned = ddb__table_find(c->view->table, ddb__view_root(c->view), &key, &seq) &&
                  !DDB__FAULT(MARK_FORGETS_RETURN);
  return returned ? DDB_OK : push(&c->out->deleted, before, err);
}

static ddb_status walk(comparison *c, const ddb_view *mark, ddb_error *err) {
  static const ddb__rows none = {0};
  const ddb__rows *before = mark->root ? &ddb__view_root(mark)->rows : &none;
  return ddb__rows_diff(before, &ddb__view_root(c->view)->rows, compare, c, err);
}

ddb_status ddb_view_difference(const ddb_view *view, ddb_difference *out, ddb_error *err) {
  if (!view || !view->root || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a difference needs an open view and a result");
  }
  ddb_difference found = {0};
  bool later = false;
  ddb_status status = hold(view, &found.mark, &later, err);
  if (status == DDB_OK && !later) {
    comparison c = {view, &found, false};
    status = walk(&c, &found.mark, err);
  }
  if (status == DDB_OK) {
    *out = found;
  } else {
    ddb_difference_fini(&found);
  }
  return status;
}

static void records_fini(ddb_records *records) {
  ddb__free(&ddb__heap_process, (void *)(uintptr_t)records->items,
            records->capacity * sizeof *records->items);
  *records = (ddb_records){0};
}

void ddb_difference_fini(ddb_difference *difference) {
  if (difference) {
    records_fini(&difference->written);
    records_fini(&difference->deleted);
    release(&difference->mark);
  }
}

ddb_status ddb_view_is_changed(const ddb_view *view, bool *changed, ddb_error *err) {
  if (!view || !view->root || !changed) {
    return ddb__fail(err, DDB_ERR_INVALID, "a comparison needs an open view and a result");
  }
  ddb_view mark;
  bool later = false;
  ddb_status status = hold(view, &mark, &later, err);
  if (status == DDB_OK) {
    comparison c = {.view = view};
    if (!later) {
      (void)walk(&c, &mark, NULL); /* it ends at the first, and fails in no other way */
    }
    release(&mark);
    *changed = c.changed;
  }
  return status;
}
