/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_entry.c - what leads from one version of a table to the next, as operations: the difference of
 * the two, so that every way to change a table is in the log without knowing of it.
 *
 * Invariant: on error the entry is as it was, and so is the log's space.
 * Under the table's write lock. Cost: the nodes of the new version, and the records that changed.
 */
#include "base/heap.h"
#include "io/difference.h"
#include "io/try.h"
#include "io/wal.h"

#define FIRST_CAPACITY 512

typedef struct entry {
  ddb__entry link; /* first */
  ddb__ops ops;
  uint64_t reserved;
} entry;

/* A version that is there for other reasons: nothing is allocated for it, so that it cannot fail. */
static bool is_unchanged(const ddb__root *base, const ddb__root *next) {
  return base && !next->dropped && base->rows.root == next->rows.root &&
         base->rows.end == next->rows.end && base->index_count == next->index_count &&
         base->next_key == next->next_key && base->keys_used_up == next->keys_used_up;
}

static entry *entry_new(ddb_error *err) {
  entry *e = ddb__alloc_zero(&ddb__heap_process, sizeof *e);
  if (!e) {
    (void)ddb__fail_memory(err, sizeof *e);
    return NULL;
  }
  if (ddb__ops_init(&e->ops, FIRST_CAPACITY, NULL, NULL, err) != DDB_OK) {
    ddb__free(&ddb__heap_process, e, sizeof *e);
    return NULL;
  }
  return e;
}

void ddb__wal_entry_free(ddb__entry *taken) {
  entry *e = (entry *)(void *)taken;
  ddb__ops_fini(&e->ops);
  ddb__free(&ddb__heap_process, e, sizeof *e);
}

void ddb__wal_discard(ddb__journal *journal, ddb__entry *unused) {
  ddb__wal_unreserve((ddb__wal *)(void *)journal, ddb__wal_entry_reserved(unused));
  ddb__wal_entry_free(unused);
}

ddb_str ddb__wal_entry_bytes(const ddb__entry *taken) {
  const entry *e = (const entry *)(const void *)taken;
  return (ddb_str){e->ops.data, e->ops.size};
}

uint64_t ddb__wal_entry_reserved(const ddb__entry *taken) {
  return ((const entry *)(const void *)taken)->reserved;
}

ddb_status ddb__wal_statement(ddb__journal *journal, const ddb_table *table, const ddb__root *base,
                              const ddb__root *next, ddb__entry **link, ddb_error *err) {
  ddb__wal *wal = (ddb__wal *)(void *)journal;
  if (is_unchanged(base, next)) {
    return DDB_OK;
  }
  entry *e = *link ? (entry *)(void *)*link : entry_new(err);
  if (!e) {
    return DDB_ERR_NOMEM;
  }
  size_t size = e->ops.size;
  ddb_status status = ddb__difference(&e->ops, table, base, next, true, err);
  bool empty = e->ops.size == size;
  uint64_t need = empty ? 0 : e->ops.size + sizeof(ddb__log_record) - e->reserved;
  if (status == DDB_OK && need) {
    status = ddb__wal_reserve(wal, need, err);
  }
  if ((status != DDB_OK || empty) && !*link) {
    ddb__wal_entry_free(&e->link);
  } else if (status != DDB_OK) {
    ddb__ops_cut(&e->ops, size);
  } else {
    e->reserved += need;
    *link = &e->link;
  }
  return status;
}
