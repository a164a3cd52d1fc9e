/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_support.h - a disk that can crash: the system calls of a database's life are recorded, and from
 * them the states are made in which a crash may leave the disk.
 *
 * Power cut: what was synced is there; of the rest of a file any writes may be lost or torn, and of the
 * names in a directory any changes since its last sync. Killed process: everything written is there.
 *
 *   crash_live -> crash_make, crash_check ...      at any event
 *              -> crash_go_on                      what was left is opened, and life goes on from
 *                                                  there: recovery can be crashed too
 * One life at a time.
 */
#ifndef DDB_TESTS_CRASH_SUPPORT_H
#define DDB_TESTS_CRASH_SUPPORT_H

#include "log_support.h"

#ifdef DDB_TESTING
typedef enum crash_kind { CRASH_POWER, CRASH_KILL } crash_kind;

/* A new database at `path` lives for so many random steps, and is closed. */
void crash_live(const char *path, ddb_durability durability, uint64_t *seed, int steps);
/* Events so far; of them, those before a database was opened again, and those before it could be
 * used (0: it was never reopened). */
size_t crash_events(void);
size_t crash_base(void);
size_t crash_recovered(void);
/* Nothing is synced any more in what was recorded. */
void crash_forget_syncs(void);
/* Makes the directory that a power cut after `crash` events may leave. */
void crash_make(const char *path, size_t crash, uint64_t *seed);
/* Opens it. NULL, or what is wrong with it. */
const char *crash_check(const char *path, size_t crash, ddb_durability durability);
/* Crashes after `crash` events, opens what is left at `path`, lives for some steps more. What comes is
 * recorded: from what a power cut left, or after what a killed process had done. NULL, or what is
 * wrong. */
const char *crash_go_on(const char *path, size_t crash, crash_kind kind, ddb_durability durability,
                        uint64_t *seed, int steps);
#endif
#endif
