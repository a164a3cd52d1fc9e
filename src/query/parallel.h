/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel.h - scanning with several threads.
 *
 * The rows are cut into chunks; each thread takes the next chunk until none is left, and results are put
 * together in the order of the chunks: they are those of one thread. The caller is one of the
 * threads and waits for the others, so that its pin holds for all of them. The others are started for
 * this one scan and end with it: nothing is left that a fork could lose, and nothing runs when
 * nobody asks. They block all signals, and do not use the library but for reading.
 *
 * Nothing here fails: what cannot be had (threads, memory) leaves the work to the caller.
 * Cost: some 20 microseconds a thread; so a scan of less than a few milliseconds stays with one.
 */
#ifndef DDB_QUERY_PARALLEL_H
#define DDB_QUERY_PARALLEL_H

#include "query/plan.h"

/* How many rows match. threads: at most; 0: as many as are idle, when that pays. */
uint64_t ddb__parallel_count(ddb__plan *plan, uint32_t threads);
/* Finds all rows of the plan, if more than one thread can; scans of the plan then give those. */
void ddb__parallel_find(ddb__plan *plan, uint32_t threads);

#endif
