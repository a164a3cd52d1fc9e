/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel.c - see parallel.h.
 *
 *   PA1 A chunk belongs to the one thread that took its number; chunks are read after all have joined.
 *   PA2 A thread evaluates with a bound condition of its own; the condition itself is immutable.
 */
#include "query/parallel.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/testing.h"

#ifdef DDB_TESTING
#define CHUNK_BLOCKS 1u
#define ROWS_MIN     64u /* automatic: fewer are not worth it */
#else
#define CHUNK_BLOCKS 8u
#define ROWS_MIN     200000u
#endif
#define CHUNK_ROWS  ((uint64_t)CHUNK_BLOCKS * DDB__BLOCK_ROWS)
#define THREADS_MAX 64u
#define AUTO_MAX    8u

typedef struct chunk {
  const ddb_record **items;
  size_t count; /* matches */
  size_t capacity;
} chunk;

typedef struct job {
  ddb__plan *plan;
  const ddb__scan *like; /* says which columns to use */
  bool counts;
  size_t chunk_count;
  chunk *chunks;
  _Atomic size_t next;
  _Atomic bool failed;
} job;

/* ---- One thread --------------------------------------------------------------------------- */

static bool chunk_grow(chunk *into) {
  size_t capacity = into->capacity ? 2 * into->capacity : 256;
  size_t size = sizeof *into->items;
  const ddb_record **items = ddb__resize(&ddb__heap_process, (void *)(uintptr_t)into->items,
                                         into->capacity * size, capacity * size);
  if (items) {
    into->items = items;
    into->capacity = capacity;
  }
  return items != NULL;
}

static bool collect(ddb__scan *scan, chunk *into) {
  ddb__batch batch;
  while (ddb__scan_next(scan, &batch)) {
    if (into->capacity - into->count < DDB__BATCH_MAX && !chunk_grow(into)) {
      return false;
    }
    for (uint64_t mask = batch.mask; mask != 0; mask &= mask - 1) {
      into->items[into->count++] = batch.records[__builtin_ctzll(mask)];
    }
  }
  return true;
}

/* Takes chunks until none is left. */
static void work(job *j, ddb__plan *plan) {
  ddb__scan scan;
  size_t i;
  while ((i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->chunk_count &&
         !atomic_load_explicit(&j->failed, memory_order_relaxed)) {
    uint64_t first = i * CHUNK_ROWS;
    if (j->counts) {
      j->chunks[i].count = (size_t)ddb__scan_part_count(&scan, plan, j->like, first, CHUNK_ROWS);
    } else {
      ddb__scan_part_init(&scan, plan, j->like, first, CHUNK_ROWS);
      if (!collect(&scan, &j->chunks[i])) {
        atomic_store_explicit(&j->failed, true, memory_order_relaxed);
      }
    }
    if (plan->bound.failure != DDB_OK) { /* the caller's own scan will find it, and say so */
      atomic_store_explicit(&j->failed, true, memory_order_relaxed);
    }
    if (DDB__FAULT(PARALLEL_LOSES) && i == j->chunk_count / 2) {
      j->chunks[i].count = 0;
    }
  }
}

static void *run_helper(void *context) {
  job *j = context;
  ddb__plan plan = {.source = j->plan->source, .where = j->plan->where};
  const ddb__shapes *shapes = ddb__table_shapes(plan.source.table);
  if (ddb__bound_init(&plan.bound, plan.where, shapes, NULL) == DDB_OK) { /* PA2 */
    work(j, &plan);
    ddb__bound_fini(&plan.bound);
  }
  return NULL; /* without memory the others do its part */
}

/* ---- All of them -------------------------------------------------------------------------- */

static size_t start_helpers(job *j, pthread_t *threads, size_t count) {
  sigset_t all;
  sigset_t before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's threads */
  size_t started = 0;
  while (started < count && pthread_create(&threads[started], NULL, run_helper, j) == 0) {
    started++;
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

/* False: no memory for it; nothing was done. */
static bool run(job *j, uint32_t threads) {
  uint64_t rows = j->plan->source.root->rows.end;
  j->chunk_count = (size_t)((rows + CHUNK_ROWS - 1) / CHUNK_ROWS);
  j->chunks = ddb__alloc_zero(&ddb__heap_process, j->chunk_count * sizeof *j->chunks);
  if (!j->chunks) {
    return false;
  }
  pthread_t helpers[THREADS_MAX];
  size_t started = start_helpers(j, helpers, threads - 1);
  work(j, j->plan);
  for (size_t i = 0; i < started; i++) {
    (void)pthread_join(helpers[i], NULL);
  }
  return !atomic_load_explicit(&j->failed, memory_order_relaxed);
}

static void job_fini(job *j) {
  for (size_t i = 0; j->chunks && i < j->chunk_count; i++) {
    ddb__free(&ddb__heap_process, (void *)(uintptr_t)j->chunks[i].items,
              j->chunks[i].capacity * sizeof *j->chunks[i].items);
  }
  ddb__free(&ddb__heap_process, j->chunks, j->chunk_count * sizeof *j->chunks);
}

/* ---- How many ----------------------------------------------------------------------------- */

/* Tasks that run or want to at this moment, this thread among them; 0: not known. */
static uint32_t running_tasks(void) {
  char text[128];
  int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return 0;
  }
  ssize_t size = read(file, text, sizeof text - 1);
  (void)close(file);
  if (size <= 0) {
    return 0;
  }
  text[size] = '\0';
  char *at = text; /* "0.20 0.18 0.12 1/80 11206" */
  for (int i = 0; i < 3 && at; i++) {
    at = strchr(at, ' ');
    at = at ? at + 1 : NULL;
  }
  unsigned long running = at ? strtoul(at, NULL, 10) : 0;
  return running < UINT32_MAX ? (uint32_t)running : 0;
}

/* Processors that nobody uses now, and the one this thread is on. */
static uint32_t idle_processors(void) {
  cpu_set_t allowed;
  uint32_t running = running_tasks();
  if (running == 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return 1;
  }
  uint32_t processors = (uint32_t)CPU_COUNT(&allowed);
  return running < processors ? processors - running + 1 : 1;
}

/* Does the first block have all columns that the condition needs? Then one thread is fast enough. */
static bool has_columns(const ddb__plan *plan) {
  uint32_t fields[DDB__SCAN_FIELDS_MAX];
  size_t count = ddb__vector_fields(&plan->bound, fields, DDB__SCAN_FIELDS_MAX);
  ddb__rows_node *block = ddb__rows_block(&plan->source.root->rows, 0);
  const ddb__memo *memo = block && count > 0 ? ddb__memo_get(NULL, block, NULL, 0, false) : NULL;
  bool all = memo != NULL;
  for (size_t i = 0; all && i < count; i++) {
    const ddb__column *column = ddb__memo_column(memo, fields[i]);
    all = column && column->kind != DDB__COLUMN_NONE;
  }
  return all;
}

static uint32_t threads_for(const ddb__plan *plan, uint32_t wanted) {
  uint64_t rows = plan->source.root->rows.end;
  if (wanted == 1 || !plan->where || plan->by_candidates || rows <= CHUNK_ROWS) {
    return 1;
  }
  uint32_t threads = wanted;
  if (wanted == 0) {
    bool pays = plan->where && rows >= ROWS_MIN && !has_columns(plan);
    threads = pays ? idle_processors() : 1;
    threads = threads < AUTO_MAX ? threads : AUTO_MAX;
  }
  uint64_t chunks = (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
  threads = threads < chunks ? threads : (uint32_t)chunks;
  return threads < THREADS_MAX ? threads : THREADS_MAX;
}

/* ---- What they are for -------------------------------------------------------------------- */

uint64_t ddb__parallel_count(ddb__plan *plan, uint32_t threads) {
  ddb__scan scan;
  uint32_t count = threads_for(plan, threads);
  if (count > 1) {
    job j = {.plan = plan, .like = &scan, .counts = true};
    uint64_t matches = 0;
    ddb__scan_choose(&scan, plan, false);
    bool done = run(&j, count);
    for (size_t i = 0; done && i < j.chunk_count; i++) {
      matches += j.chunks[i].count;
    }
    job_fini(&j);
    if (done) {
      return matches;
    }
  }
  return ddb__scan_count(&scan, plan);
}

void ddb__parallel_find(ddb__plan *plan, uint32_t threads) {
  uint32_t count = threads_for(plan, threads);
  if (count == 1) {
    return;
  }
  ddb__scan scan;
  job j = {.plan = plan, .like = &scan};
  ddb__scan_choose(&scan, plan, false);
  bool done = run(&j, count);
  size_t matches = 0;
  for (size_t i = 0; done && i < j.chunk_count; i++) {
    matches += j.chunks[i].count;
  }
  plan->found = done ? ddb__alloc(&ddb__heap_process, (matches + 1) * sizeof *plan->found) : NULL;
  for (size_t i = 0; plan->found && i < j.chunk_count; i++) {
    if (j.chunks[i].count > 0) {
      memcpy(plan->found + plan->found_count, j.chunks[i].items,
             j.chunks[i].count * sizeof *plan->found);
      plan->found_count += j.chunks[i].count;
    }
  }
  job_fini(&j);
}
