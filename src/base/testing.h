/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing.h - what only the testing build (-Dtesting=true) has: tiny structures, points where a
 * test can stop a thread, random yields, and planted faults that the tests must find.
 * In a release build all of it compiles to nothing.
 */
#ifndef DDB_BASE_TESTING_H
#define DDB_BASE_TESTING_H

#include <stdbool.h>

#include "dictdb.h"

/* X(name, what is wrong when it is planted) */
#define DDB__FAULT_MAP(X)                                                                          \
  X(PIN_WITHOUT_HOLD, "a reader loads the root before its slot says so")                           \
  X(RETIRE_EARLY, "a node is retired one version early")                                           \
  X(HINT_RECORD_BIRTH, "an index entry is retired with its record's birth, not its row's")         \
  X(PLACE_BY_KIND, "a key by its place is found by ints only, not by what equals them")            \
  X(PLACE_RULE_MOVES, "a key that is off the rule moves it")                                       \
  X(OWNER_OUTSIDE_ROOT, "the exclusive owner is a flag beside the root")                           \
  X(CONVERT_UNDER_LOCK, "user data is converted while the write lock is held")                     \
  X(ABORT_PUBLISHES, "a failed statement publishes what it did before it failed")                  \
  X(EDIT_IN_PLACE, "a published leaf is changed instead of copied")                                \
  X(INDEX_STALE_UPDATE, "an update leaves a secondary index as it was")                            \
  X(KEY_REUSED, "deleting the newest record gives its automatic key back")                         \
  X(GROUP_BY_SLOT, "keys of groups that fall into one slot are one group")                         \
  X(SLOT_REUSED, "a nested view takes the slot that is in use")                                    \
  X(SNAPSHOT_NOT_KEPT, "a root that a snapshot needs is not kept")                                 \
  X(LOST_WAKEUP, "releasing a lock forgets a waiting writer")                                      \
  X(ABORT_LEAKS, "a failed statement forgets to free its new records")                             \
  X(TREE_SPLIT_LOSES, "splitting an index node loses an entry")                                    \
  X(STALE_SKIPPED, "a row that changed after it was judged is passed over")                        \
  X(CHANGED_IN_TURN, "an expression sees what the same update has changed already")                \
  X(CURSOR_NOT_HELD, "a cursor does not hold its version")                                         \
  X(PARALLEL_LOSES, "a scan by several threads loses the rows of one chunk")                       \
  X(MEMO_STALE, "an update does not tell the columns kept that a row changed")                     \
  X(MEMO_NULL_LOST, "a column kept forgets that a row is null")                                    \
  X(INPUT_STALE, "an aggregate takes the value of a row that changed from its column")             \
  X(CODE_GROUPS_KEPT, "the groups of one block's codes are taken for those of the next")           \
  X(COLUMNS_PUSH_OUT, "columns that scans ask for give way to others")                             \
  X(JOIN_PUSHES_OUTER, "what a left join asks of its pairs is asked of the right side before")     \
  X(JOIN_EARLY_END, "a join that is to end at a limit ends one row early")                         \
  X(JOIN_SPLIT_LOSES, "what is asked of the left side before it is joined is asked of nobody")     \
  X(TREE_STALE_FIRST, "removing the first entry of an index node leaves it above")                 \
  X(UNIQUE_UNCHECKED, "a unique index is not asked whether it is")                                 \
  X(RANGE_EXCLUDES_END, "a range of an index leaves out the end that belongs to it")               \
  X(RANGE_LIKE_DECIDES, "what starts as a pattern does is taken for what matches it")              \
  X(RANGE_PREFIX_SHORT, "the range of what starts with a text ends behind the text itself")        \
  X(RANGE_NULL_SKIPPED, "what is not equal to a value is sought after null")                       \
  X(PLAN_UNION_LOSES, "a union gives what its first part has")                                     \
  X(PLAN_INTERSECTION_LOSES, "an intersection loses the last row that both parts have")            \
  X(PLAN_REST_FORGOTTEN, "a count goes by an index that serves a part of the condition")           \
  X(WALK_WRONG_WAY, "an index is read forwards whichever way the order goes")                      \
  X(FIRSTS_COUNT_NULLS, "an index that counts a field's values counts null too")                   \
  X(FIRSTS_LAST_OF_TIES, "of the greatest values of an index the last is given")                   \
  X(FIRSTS_OF_FEWER, "an index's different values are taken for those of more fields")             \
  X(FIRSTS_CUT_EARLY, "of the first different values of an index the last is left out")            \
  X(FIRSTS_BY_VALUE, "the first rows of an index's values stay in the order of the values")        \
  X(PLAN_NOT_IS_OR, "the planner takes the candidates of an or for those of its negation")         \
  X(PLAN_OR_FORGETS, "the planner leaves an operand of an or without an index out")                \
  X(PLAN_PATH_BLIND,                                                                               \
    "the planner takes an index over one path for those over others of its field")                 \
  X(BUILD_MISSES_CHANGES, "a new index misses what was written while it was built")                \
  X(WALK_BEGINS_AT_NULL, "a walk for the least value that is not null begins at null")             \
  X(WALK_TIES_BACKWARDS, "an index read backwards gives equal rows backwards too")                 \
  X(WALK_FORGETS_ROWS, "an order given up on begins again at its first row")                       \
  X(LOG_ACK_EARLY, "a commit returns when it is written, not when it is on the disk")              \
  X(LOG_ORDER_SWAPPED, "commits that are written together are in the log backwards")               \
  X(LOG_COMMIT_SPLIT, "the tables of one commit get a record each")                                \
  X(LOG_CHECKSUM_UNCHECKED, "the operations of a record are not compared with its checksum")       \
  X(LOG_TAIL_KEPT, "what is behind the end of a torn log is not cut")                              \
  X(LOG_GAP_UNCHECKED, "a segment that lost its end is not noticed when the next one is there")    \
  X(LOG_OLD_UNSYNCED, "only the last segment is synced")                                           \
  X(LOG_COUNTER_LOST, "the automatic key is in no log and no delta")                               \
  X(LOG_TRIMMED_EARLY, "older segments go before the checkpoint is on the disk")                   \
  X(RENAME_UNSYNCED, "a file that was replaced is not synced with its directory")                  \
  X(RECOVERY_UNSYNCED, "what was recovered is built upon before it is on the disk")                \
  X(BLOCK_UNCHECKED, "the values of a file are taken as they come")                                \
  X(PATTERN_BLIND,                                                                                 \
    "a record with the kinds of the one before is taken without looking at its values")            \
  X(RUN_KEYS_UNCHECKED, "a key at its row's place is not compared with those that were there")     \
  X(ARITH_WRAPS, "a sum of two ints that is too large for 64 bits wraps around")                   \
  X(ARITH_NULL_IS_ZERO, "null is 0 in a sum")                                                      \
  X(FLOOR_TRUNCATES, "// of ints rounds towards zero")                                             \
  X(EXISTS_IS_NOT_NULL, "a field that is None does not exist")                                     \
  X(HAS_ALL_IS_FIRST, "has_all() looks for the first value only")                                  \
  X(LIKE_NO_ESCAPE, "the escape of a like is a character like others")                             \
  X(LIKE_NO_END, "a like need not match to the end of the text")                                   \
  X(FOLD_ASCII_ONLY, "comparisons without regard to case fold ASCII letters only")                 \
  X(JOIN_NULLS_MATCH, "null equals null in a join")                                                \
  X(JOIN_LEFT_LOST, "a left join loses the records without a match")                               \
  X(JOIN_TWINS_LOST, "a join finds one match for each left record")                                \
  X(SUM_UNCOMPENSATED, "floats are added as they come")                                            \
  X(GROUP_BY_KIND, "1, 1.0 and True are different groups")                                         \
  X(GROUP_HIDES_NAME, "what a group is of hides names of the result")                              \
  X(GROUP_BY_SIGN, "0.0 and -0.0 are different groups")                                            \
  X(MEDIAN_IS_LOW, "the median of an even number of values is the lower of the middle two")        \
  X(ORDER_NULLS_DEFAULT, "an order does not ask where nulls are wanted")                           \
  X(ORDER_TIES_BACKWARDS, "rows that are equal in order come last first")                          \
  X(DISTINCT_AFTER_OFFSET, "offset counts rows that distinct drops")                               \
  X(CURSOR_DROPS_ROW, "a cursor loses the row after a full batch")                                 \
  X(STEP_LIMIT_UNORDERED, "an update with limit and order takes the first rows as they lie")       \
  X(DELTA_SKIPS_NODE, "a delta passes over the last child of a node that changed")                 \
  X(DELTA_FORGETS_DROP, "a delta does not say that a table was dropped")                           \
  X(MARK_GOES_BACK, "an older version takes the place of the one that a table is compared with")   \
  X(MARK_FORGETS_RETURN, "a key that was deleted and inserted again counts as deleted")

typedef enum ddb__fault {
  DDB__FAULT_NONE,
#define DDB_X(name, text) DDB__FAULT_##name,
  DDB__FAULT_MAP(DDB_X)
#undef DDB_X
      DDB__FAULT_COUNT
} ddb__fault;

/* X(name, where a writer can be stopped) - none of them inside the commit latch */
#define DDB__POINT_MAP(X)                                                                          \
  X(BEFORE_LOCK, "before the write lock is taken")                                                 \
  X(LOCKED, "write lock held, nothing changed")                                                    \
  X(EDITED, "the next version is built, not published")                                            \
  X(PUBLISHED, "published, write lock still held")                                                 \
  X(UNLOCKED, "write lock released")                                                               \
  X(RECLAIM, "before old versions are freed")                                                      \
  X(PIN_HELD, "a reader has announced itself and not loaded the root")                             \
  X(PIN_LOADED, "a reader has loaded the root and not said which one")

typedef enum ddb__point {
#define DDB_X(name, text) DDB__POINT_##name,
  DDB__POINT_MAP(DDB_X)
#undef DDB_X
      DDB__POINT_COUNT
} ddb__point;

#ifdef DDB_TESTING
bool ddb__fault_planted(ddb__fault fault);
void ddb__point_reached(ddb__point point);
/* Exported by testing builds only, for test programs and the extension's test module. */
DDB_API void ddb__test_fault_set(ddb__fault fault);
DDB_API int ddb__test_fault_find(const char *name); /* -1: no such fault */
DDB_API void ddb__test_hook_set(void (*hook)(void *context, ddb__point point), void *context);
/* Sleep at a point, milliseconds; 0 ends it. */
DDB_API void ddb__test_sleep_set(ddb__point point, unsigned milliseconds);
/* One reached point in `period` yields the processor; 0: none. */
DDB_API void ddb__test_yield_set(unsigned period, uint64_t seed);
#define DDB__FAULT(name) ddb__fault_planted(DDB__FAULT_##name)
#define DDB__POINT(name) ddb__point_reached(DDB__POINT_##name)
#else
#define DDB__FAULT(name) false
#define DDB__POINT(name) ((void)0)
#endif

#endif
