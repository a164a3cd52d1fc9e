/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group.c - explicit write locks on several tables: taken in the order of table ids, so that groups
 * cannot deadlock with each other; what was written becomes visible with one commit.
 */
#include <stdlib.h>
#include <time.h>

#include "store/table_private.h"

static int compare_ids(const void *left, const void *right) {
  const ddb_table *a = *(ddb_table *const *)left;
  const ddb_table *b = *(ddb_table *const *)right;
  return a->id < b->id ? -1 : a->id > b->id;
}

/* The tables in order of id, in memory that is the caller's to free. NULL: there is none. */
static ddb_table **sorted(ddb_table *const *tables, size_t count, ddb_error *err) {
  size_t size = count * sizeof(ddb_table *) + 1;
  ddb_table **copy = ddb__alloc(&ddb__heap_process, size);
  if (!copy) {
    (void)ddb__fail_memory(err, size);
    return NULL;
  }
  if (count) {
    memcpy(copy, tables, count * sizeof *copy);
    qsort(copy, count, sizeof(ddb_table *), compare_ids);
  }
  return copy;
}

static void sorted_free(ddb_table **tables, size_t count) {
  ddb__free(&ddb__heap_process, tables, count * sizeof(ddb_table *) + 1);
}

static ddb_status of_two_databases(const ddb_table *a, const ddb_table *b, ddb_error *err) {
  return ddb__fail(err, DDB_ERR_INVALID, "tables '%.*s' and '%.*s' are of different databases",
                   DDB__STR_ARG(a->name), DDB__STR_ARG(b->name));
}

static ddb_status check(ddb_table *const *tables, size_t count, ddb_error *err) {
  for (size_t i = 1; i < count; i++) {
    if (tables[i] == tables[i - 1]) {
      return ddb__fail(err, DDB_ERR_INVALID, "table '%.*s' is named twice",
                       DDB__STR_ARG(tables[i]->name));
    }
    if (tables[i]->db != tables[0]->db) {
      return of_two_databases(tables[0], tables[i], err);
    }
  }
  return DDB_OK;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* What is left of the whole group's timeout. */
static int64_t time_left(int64_t timeout_ns, int64_t start_ns) {
  if (timeout_ns <= 0) {
    return timeout_ns; /* for ever, or a try */
  }
  int64_t spent = now_ns() - start_ns;
  return spent < timeout_ns ? timeout_ns - spent : 0;
}

ddb_status ddb_tables_write_lock(ddb_table *const *tables, size_t count, int64_t timeout_ns,
                                 ddb_error *err) {
  ddb_table **order = sorted(tables, count, err);
  if (!order) {
    return DDB_ERR_NOMEM;
  }
  ddb_status status = check(order, count, err);
  size_t held = 0;
  int64_t start_ns = timeout_ns > 0 ? now_ns() : 0;
  while (status == DDB_OK && held < count) {
    int64_t left_ns = time_left(timeout_ns, start_ns);
    status = ddb_rwlock_acquire_write(order[held]->lock, left_ns, err);
    held += status == DDB_OK;
  }
  while (status != DDB_OK && held > 0) {
    (void)ddb_rwlock_release_write(order[--held]->lock, NULL);
  }
  sorted_free(order, count);
  return status;
}

/* Unlocking allocates nothing: it cannot fail for want of memory. */
static ddb_status check_held(ddb_table *const *tables, size_t count, ddb_error *err) {
  for (size_t i = 0; i < count; i++) {
    if (ddb__rwlock_exclusive_depth(tables[i]->lock) == 0) {
      return ddb__fail(err, DDB_ERR_NOT_OWNER, "this thread does not hold table '%.*s'",
                       DDB__STR_ARG(tables[i]->name));
    }
    if (tables[i]->db != tables[0]->db) {
      return of_two_databases(tables[0], tables[i], err);
    }
    for (size_t j = 0; j < i; j++) {
      if (tables[j] == tables[i]) {
        return ddb__fail(err, DDB_ERR_INVALID, "table '%.*s' is named twice",
                         DDB__STR_ARG(tables[i]->name));
      }
    }
  }
  return DDB_OK;
}

ddb_status ddb_tables_write_unlock(ddb_table *const *tables, size_t count, ddb_error *err) {
  ddb_status status = check_held(tables, count, err);
  if (status != DDB_OK || count == 0) {
    return status;
  }
  uint64_t commit = 0;
  ddb_db *db = tables[0]->db;
  if (!ddb__table_forked(tables[0])) {
    commit = ddb__publish_release_group(tables, count);
  }
  for (size_t i = 0; i < count; i++) {
    (void)ddb_rwlock_release_write(tables[i]->lock, NULL);
  }
  return ddb__journal_wait(db->journal, commit, err);
}
