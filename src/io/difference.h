/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.h - what leads from one version of a table to a later one, as operations. The log has it
 * of each commit, a delta of two snapshots: no way to change a table can forget either.
 * Allocates in the operations' buffer only. Thread-safety: that of `ops`; versions never change.
 */
#ifndef DDB_IO_DIFFERENCE_H
#define DDB_IO_DIFFERENCE_H

#include "io/ops.h"
#include "store/root.h"

/* `base` NULL: the table is new, with all that `next` has. implied_keys: where replaying the
 * records moves the automatic key as they did, it is not written. Cost: the nodes of `next` that
 * `base` does not share, and the records that changed. */
ddb_status ddb__difference(ddb__ops *ops, const ddb_table *table, const ddb__root *base,
                           const ddb__root *next, bool implied_keys, ddb_error *err);

#endif
