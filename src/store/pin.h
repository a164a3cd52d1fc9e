/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pin.h - how readers say which version of a table they use, and how old versions are freed.
 *
 * Short pins: the thread's slot, two words of one cache line (base/thread.h):
 *   pin_table = table; pin_word = HOLD|v        v: the table's version counter, read before
 *   root = table->current
 *   pin_word = root->version                    ... read ...   pin_word = 0
 * HOLD|v stands for every version >= v, so that a reader that is descheduled between the two stores
 * delays only what is retired after v. The slot holds a number and not the root's address, so no
 * reclaimer ever dereferences what another thread is about to free.
 *
 *   P1  The first store of pin_word, the load of the root, the store of the root by a writer and the
 *       scan's load of pin_word are sequentially consistent. A scan that follows a publication
 *       either sees the reader's HOLD or the reader sees the new root.
 *   P2  The second store only narrows the pin; release is enough, so that the load of the root is
 *       not seen to come after it.
 *   P3  pin_table is written (release) before pin_word and read (acquire) after it: a scan that sees a
 *       word sees the table it names or a later one, and then that pin is over, its reads included.
 *   P4  A slot in use is never reused: a nested view takes a long pin.
 * Long pins: a list per table under pin_mutex, {version, probes, count}. Some keep a root: those that
 * snapshots see, the one that is visible while a write lock is held, and those of cursors. Others are
 * nested views, and probe the key index too.
 *
 * Reclamation (by the holder of the write lock): an item born at b and retired at r is freed once no
 * pin s has b <= s < r. Items that only a long pin holds back wait on that pin's own list, so they
 * are looked at again only when it goes.
 *
 *   P5  What no root reaches (index segments, b = 0) is held back by pins that probe only: whoever
 *       looks up through a kept root has a pin of the newest version for it. A snapshot then costs what
 *       it can see, however long the key index is churned meanwhile.
 */
#ifndef DDB_STORE_PIN_H
#define DDB_STORE_PIN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "dictdb.h"
#include "store/edit.h"
#include "store/root.h"

#define DDB__PIN_HOLD (UINT64_C(1) << 63)

typedef struct ddb__long_pin {
  struct ddb__long_pin *previous;
  struct ddb__long_pin *next;
  uint64_t version;
  uint64_t count;
  bool probes;               /* P5 */
  ddb__retired_list waiting; /* items that this version needs, and no short pin did */
} ddb__long_pin;

typedef struct ddb__pins {
  pthread_mutex_t mutex;
  ddb__long_pin *first; /* ascending by version; under mutex */
  ddb__long_pin *last;
  ddb__retired_list released; /* what gone pins left behind; under mutex */
  _Atomic bool any_released;  /* is it not empty? Changed under mutex */
  ddb__retired_list queue;    /* under the table's write lock */
} ddb__pins;

void ddb__pins_init(ddb__pins *pins);
/* All items are freed: the table goes, nobody reads. `pin_heap`: of the pins that are left, those of
 * a thread that ended with a lock. */
void ddb__pins_fini(ddb__pins *pins, ddb__heap *heap, ddb__heap *pin_heap);

/* A long pin that keeps the root `version`, which is pinned already or cannot be reclaimed meanwhile.
 * `fresh`: memory for a new entry (of the database's heap); *fresh is set to NULL when it was used. */
ddb__long_pin *ddb__pins_add(ddb__pins *pins, uint64_t version, ddb__long_pin **fresh);
/* Gives the entry's memory back through *unused when its count reached 0. */
void ddb__pins_drop(ddb__pins *pins, ddb__long_pin *pin, ddb__long_pin **unused);

/* The short pin of this thread, whose slot must be free; returns the newest root. */
const ddb__root *ddb__pin_short(ddb_table *table, ddb__thread *thread);
void ddb__unpin_short(ddb__thread *thread);
/* A pin of the newest root for as long as the view is open: short, or long when the slot is in use.
 * Sets view->pin and token. Nothing of the table is reclaimed in a forked child, which pins nothing. */
ddb_status ddb__pin_view(ddb_table *table, ddb_view *view, const ddb__root **root, ddb_error *err);
void ddb__unpin_view(ddb_view *view);
/* Drops a long pin, frees its memory, and reclaims what it held back unless a writer is at work (who
 * will then). */
void ddb__unpin_long(ddb_table *table, ddb__long_pin *pin);

/* The table goes: threads that ended with a view of it open pin it no more, so that a table that comes
 * to lie where this one was is not taken for it. */
void ddb__pins_forget(const ddb_table *table);

/* Frees what no pin needs, looking at about `budget` items. Under the table's write lock, after the
 * publication whose items it may free. Returns true when there may be more to free now. */
bool ddb__pins_reclaim(ddb_table *table, size_t budget);

#endif
