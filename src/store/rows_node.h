/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_node.h - the nodes of rows.h, for rows.c and memo.c only.
 *
 *   leaf      | birth | -    | dirty: rows   | records[FAN]  |
 *   level 2   | birth | memo | dirty: leaves | leaves[FAN]   |    "block" below: all rows of one
 *   above     | birth | -    | -             | children[FAN] |
 *
 *   RN1 A block's memo was made from this node (same birth), or from an older node at the same place.
 *       In the second case the rows that differ since are exactly the dirty rows of dirty leaves.
 *   RN2 A leaf's dirty rows mean something only where its block's bit of it is set.
 *   RN3 `dirty` changes only while the node is private to a statement; `memo` of a published node by
 *       compare and exchange (memo.c), so that it is atomic everywhere.
 *   RN4 A node holds one reference of its memo. References are counted under the table's write lock.
 */
#ifndef DDB_STORE_ROWS_NODE_H
#define DDB_STORE_ROWS_NODE_H

#include <stdatomic.h>

#include "store/memo.h"
#include "store/rows.h"

struct ddb__rows_node {
  ddb__node node;
  _Atomic(ddb__memo *) memo;
  uint64_t dirty;
  /* Children, or records in a leaf. A slot beyond every published `end` may be written while
   * readers use the others (R2). */
  void *slots[DDB__ROWS_FAN];
};

#endif
