/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock.h - what the store needs of ddb_rwlock beyond the public contract.
 */
#ifndef DDB_BASE_RWLOCK_H
#define DDB_BASE_RWLOCK_H

#include "base/thread.h"
#include "dictdb.h"

/*
 * Called by the *public* acquire and release of the write side, outermost level only, by the
 * holder while it holds it and with no internal mutex held. acquired may fail: the lock is then
 * released again and the acquire returns its status. releasing cannot fail; what it returns, unless
 * it is 0, goes to `released`, called when the lock is free again, whose status the release returns.
 */
typedef struct ddb__rwlock_owner {
  ddb_status (*acquired)(void *context, ddb_error *err);
  uint64_t (*releasing)(void *context);
  ddb_status (*released)(void *context, uint64_t token, ddb_error *err);
  void *context;
} ddb__rwlock_owner;

void ddb__rwlock_owner_set(ddb_rwlock *lock, const ddb__rwlock_owner *owner);

/*
 * The statements' own acquisition of the write side: same lock, same rules (re-entrant, upgrade,
 * deadlock detection, wait hooks), without the owner's calls and without hold time. Release by the
 * same thread.
 */
ddb_status ddb__rwlock_enter_write(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err);
void ddb__rwlock_leave_write(ddb_rwlock *lock);
/* The wait hooks around a wait for something else than a lock: no internal mutex may be held. The
 * second gets what the first returned. */
void *ddb__wait_begin(void);
void ddb__wait_end(void *state);
/* From now on they do nothing on this thread: it is one of the library's own. */
void ddb__wait_without_hooks(void);
/* True when this thread holds the write side by a public acquire. */
bool ddb__rwlock_held_exclusively(const ddb_rwlock *lock);
/* How many public acquires of the write side this thread holds. */
uint32_t ddb__rwlock_exclusive_depth(const ddb_rwlock *lock);
/* True when this thread holds the write side in any way: for asserts. */
bool ddb__rwlock_write_held(const ddb_rwlock *lock);

#endif
