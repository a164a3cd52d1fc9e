/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pin.c - long pins, and the reclamation of old versions. See pin.h.
 *
 * Cost: a reclaim pass reads one cache line per thread of the process and then does a few comparisons
 * per item; items are handled by chunks, so nothing is allocated on the way but a chunk for a long
 * pin's waiting list, without which items simply stay in the queue.
 */
#include "store/pin.h"

#include "base/testing.h"
#include "store/memo.h"
#include "store/table_private.h"

void ddb__pins_init(ddb__pins *pins) {
  *pins = (ddb__pins){0};
  pthread_mutex_init(&pins->mutex, NULL);
}

static void free_memory(ddb__heap *heap, const ddb__retired *item) {
  if (item->hash == DDB__RETIRED_BLOCK) {
    ddb__rows_block_free(heap, item->memory);
  } else if (item->hash == DDB__RETIRED_MEMO) {
    ddb__memo_release(item->memory);
  } else {
    ddb__free(heap, item->memory, item->extra);
  }
}

static void free_list(ddb__retired_list *list, ddb__heap *heap) {
  ddb__retired_chunk *chunk;
  while ((chunk = ddb__retired_list_pop(list)) != NULL) {
    for (uint32_t i = 0; i < chunk->count; i++) {
      ddb__retired *item = &chunk->items[i];
      if (item->memory) {
        free_memory(heap, item);
      }
    }
    ddb__retired_chunk_free(heap, chunk);
  }
}

void ddb__pins_fini(ddb__pins *pins, ddb__heap *heap, ddb__heap *pin_heap) {
  while (pins->first) {
    ddb__long_pin *pin = pins->first;
    pins->first = pin->next;
    free_list(&pin->waiting, heap);
    ddb__free(pin_heap, pin, sizeof *pin);
  }
  free_list(&pins->queue, heap);
  free_list(&pins->released, heap);
  pthread_mutex_destroy(&pins->mutex);
}

static ddb__long_pin *add_locked(ddb__pins *pins, uint64_t version, bool probes,
                                 ddb__long_pin **fresh) {
  ddb__long_pin *after = pins->last;
  while (after && after->version > version) {
    after = after->previous;
  }
  for (ddb__long_pin *same = after; same && same->version == version; same = same->previous) {
    if (same->probes == probes) {
      same->count++;
      return same;
    }
  }
  ddb__long_pin *pin = *fresh;
  *fresh = NULL;
  *pin = (ddb__long_pin){.version = version, .count = 1, .probes = probes, .previous = after};
  pin->next = after ? after->next : pins->first;
  *(after ? &after->next : &pins->first) = pin;
  *(pin->next ? &pin->next->previous : &pins->last) = pin;
  return pin;
}

ddb__long_pin *ddb__pins_add(ddb__pins *pins, uint64_t version, ddb__long_pin **fresh) {
  pthread_mutex_lock(&pins->mutex);
  ddb__long_pin *pin = add_locked(pins, version, false, fresh);
  pthread_mutex_unlock(&pins->mutex);
  return pin;
}

void ddb__pins_drop(ddb__pins *pins, ddb__long_pin *pin, ddb__long_pin **unused) {
  *unused = NULL;
  pthread_mutex_lock(&pins->mutex);
  if (--pin->count == 0) {
    *(pin->previous ? &pin->previous->next : &pins->first) = pin->next;
    *(pin->next ? &pin->next->previous : &pins->last) = pin->previous;
    if (pin->waiting.head) {
      ddb__retired_list_splice(&pins->released, &pin->waiting);
      atomic_store_explicit(&pins->any_released, true, memory_order_relaxed);
    }
    *unused = pin;
  }
  pthread_mutex_unlock(&pins->mutex);
}

#define SHORT_PINS_MAX 64

/* The short pins of one table at one moment. */
typedef struct scan {
  uint64_t hold_min; /* every version from this one on may be pinned; UINT64_MAX: none */
  size_t count;
  uint64_t versions[SHORT_PINS_MAX];
} scan;

static void scan_slots(const ddb_table *table, scan *out) {
  out->hold_min = UINT64_MAX;
  out->count = 0;
  for (ddb__thread *thread = ddb__thread_first(); thread; thread = thread->next) {
    uint64_t word = atomic_load_explicit(&thread->pin_word, memory_order_seq_cst); /* P1 */
    if (word == 0 ||
        atomic_load_explicit(&thread->pin_table, memory_order_acquire) != (uintptr_t)table) {
      continue; /* P3 */
    }
    uint64_t version = word & ~DDB__PIN_HOLD;
    if ((word & DDB__PIN_HOLD) || out->count == SHORT_PINS_MAX) {
      out->hold_min = version < out->hold_min ? version : out->hold_min;
    } else {
      out->versions[out->count++] = version;
    }
  }
}

void ddb__pins_forget(const ddb_table *table) {
  for (ddb__thread *thread = ddb__thread_first(); thread; thread = thread->next) {
    if (atomic_load_explicit(&thread->ended, memory_order_acquire) &&
        atomic_load_explicit(&thread->pin_table, memory_order_relaxed) == (uintptr_t)table) {
      atomic_store_explicit(&thread->pin_table, 0, memory_order_relaxed);
    }
  }
}

static bool short_pinned(const scan *pins, const ddb__retired *item) {
  if (item->retire > pins->hold_min) {
    return true;
  }
  for (size_t i = 0; i < pins->count; i++) {
    if (item->birth <= pins->versions[i] && pins->versions[i] < item->retire) {
      return true;
    }
  }
  return false;
}

/* The newest long pin that needs the item: when it goes, an older one may still. */
static ddb__long_pin *long_pinned(const ddb__pins *pins, const ddb__retired *item) {
  bool probed = item->birth == 0; /* P5 */
  ddb__long_pin *pin = pins->last;
  while (pin && (pin->version >= item->retire || (probed && !pin->probes))) {
    pin = pin->previous;
  }
  return pin && pin->version >= item->birth ? pin : NULL;
}

static void free_item(ddb_table *table, const ddb__retired *item) {
  if (item->memory) {
    free_memory(&table->heap, item);
    ddb__table_count_old(table, UINT64_C(0) - item->extra);
  } else {
    ddb__keyindex_remove(&table->keys, item->hash, item->extra);
  }
}

/* Moves the item to the pin's list; false when there is no memory for a chunk. */
static bool park(ddb_table *table, ddb__long_pin *pin, const ddb__retired *item) {
  ddb__retired_chunk *tail = pin->waiting.tail;
  if (!tail || tail->count == tail->capacity) {
    tail = ddb__retired_chunk_new(&table->heap, DDB__RETIRED_CHUNK_ITEMS);
    if (!tail) {
      return false;
    }
    ddb__retired_list_append(&pin->waiting, tail);
  }
  tail->items[tail->count++] = *item;
  pin->waiting.count++;
  return true;
}

/* Frees or parks the chunk's items; those that stay are moved to its front. */
static uint32_t sweep(ddb_table *table, const scan *pins, ddb__retired_chunk *chunk) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < chunk->count; i++) {
    ddb__retired *item = &chunk->items[i];
    if (short_pinned(pins, item)) {
      chunk->items[kept++] = *item;
      continue;
    }
    ddb__long_pin *pin = long_pinned(&table->pins, item);
    if (!pin) {
      free_item(table, item);
    } else if (!park(table, pin, item)) {
      chunk->items[kept++] = *item;
    }
  }
  uint32_t gone = chunk->count - kept;
  chunk->count = kept;
  return gone;
}

/* What a sweep left of a chunk goes to the end of the queue: into its last chunk where there is room,
 * so that chunks of which one item stays do not pile up. */
static void put_back(ddb_table *table, ddb__retired_chunk *chunk) {
  ddb__retired_list *queue = &table->pins.queue;
  ddb__retired_chunk *tail = queue->tail;
  if (!tail || tail->count + chunk->count > tail->capacity) {
    ddb__retired_list_append(queue, chunk);
    return;
  }
  memcpy(&tail->items[tail->count], chunk->items, chunk->count * sizeof chunk->items[0]);
  tail->count += chunk->count;
  queue->count += chunk->count;
  ddb__retired_chunk_free(&table->heap, chunk);
}

bool ddb__pins_reclaim(ddb_table *table, size_t budget) {
  ddb__pins *pins = &table->pins;
  DDB__POINT(RECLAIM);
  scan slots;
  scan_slots(table, &slots);
  bool progress = true;
  for (size_t seen = 0; progress && seen < budget;) {
    pthread_mutex_lock(&pins->mutex);
    ddb__retired_list_splice(&pins->queue, &pins->released);
    atomic_store_explicit(&pins->any_released, false, memory_order_relaxed);
    ddb__retired_chunk *chunk = ddb__retired_list_pop(&pins->queue);
    if (!chunk) {
      pthread_mutex_unlock(&pins->mutex);
      return false;
    }
    seen += chunk->count ? chunk->count : 1;
    progress = sweep(table, &slots, chunk) > 0;
    pthread_mutex_unlock(&pins->mutex);
    if (chunk->count) {
      put_back(table, chunk);
    } else {
      ddb__retired_chunk_free(&table->heap, chunk);
    }
  }
  return progress && pins->queue.count > 0;
}

const ddb__root *ddb__pin_short(ddb_table *table, ddb__thread *thread) {
  uint64_t version = atomic_load_explicit(&table->version, memory_order_acquire);
  atomic_store_explicit(&thread->pin_table, (uintptr_t)table, memory_order_release); /* P3 */
  if (!DDB__FAULT(PIN_WITHOUT_HOLD)) {
    atomic_store_explicit(&thread->pin_word, DDB__PIN_HOLD | version, memory_order_seq_cst);
  }
  DDB__POINT(PIN_HELD);
  const ddb__root *root = atomic_load_explicit(&table->current, memory_order_seq_cst); /* P1 */
  DDB__POINT(PIN_LOADED);
  atomic_store_explicit(&thread->pin_word, root->version, memory_order_release); /* P2 */
  return root;
}

void ddb__unpin_short(ddb__thread *thread) {
  /* Pairs with the scan's load: what was read under the pin is read before it is freed. */
  atomic_store_explicit(&thread->pin_word, 0, memory_order_release);
}

enum { PIN_SHORT, PIN_LONG, PIN_NONE };

static ddb_status pin_long(ddb_table *table, ddb_view *view, const ddb__root **root,
                           ddb_error *err) {
  ddb__long_pin *fresh = ddb__alloc(&table->db->heap, sizeof *fresh);
  if (!fresh) {
    return ddb__fail_memory(err, sizeof *fresh);
  }
  pthread_mutex_lock(&table->pins.mutex);
  *root = atomic_load_explicit(&table->current, memory_order_seq_cst);
  view->pin = add_locked(&table->pins, (*root)->version, true, &fresh);
  pthread_mutex_unlock(&table->pins.mutex);
  view->token = PIN_LONG;
  ddb__free(&table->db->heap, fresh, sizeof *fresh);
  return DDB_OK;
}

ddb_status ddb__pin_view(ddb_table *table, ddb_view *view, const ddb__root **root, ddb_error *err) {
  ddb__thread *thread = ddb__thread_self();
  if (!thread) {
    return ddb__fail_memory(err, sizeof *thread);
  }
  if (ddb__table_forked(table)) {
    view->pin = NULL;
    view->token = PIN_NONE;
    *root = atomic_load_explicit(&table->current, memory_order_acquire);
    return DDB_OK;
  }
  bool slot_free = atomic_load_explicit(&thread->pin_word, memory_order_relaxed) == 0;
  if (!slot_free && !DDB__FAULT(SLOT_REUSED)) {
    return pin_long(table, view, root, err); /* P4 */
  }
  *root = ddb__pin_short(table, thread);
  view->pin = thread;
  view->token = PIN_SHORT;
  return DDB_OK;
}

void ddb__unpin_long(ddb_table *table, ddb__long_pin *pin) {
  if (ddb__table_forked(table)) {
    return;
  }
  ddb__long_pin *unused;
  ddb__pins_drop(&table->pins, pin, &unused);
  if (!unused) {
    return;
  }
  ddb__free(&table->db->heap, unused, sizeof *unused);
  bool more = true;
  while (more && ddb__rwlock_enter_write(table->lock, 0, NULL) == DDB_OK) {
    more = ddb__pins_reclaim(table, (size_t)8 * DDB__RETIRED_CHUNK_ITEMS);
    ddb__rwlock_leave_write(table->lock);
  }
}

/* The root cannot go meanwhile: `view`, or the snapshot that it is of, holds it. */
ddb_status ddb__view_hold(const ddb_view *view, ddb_view *held, ddb_error *err) {
  ddb_table *table = view->table;
  if (ddb__table_forked(table) || DDB__FAULT(CURSOR_NOT_HELD)) {
    *held = (ddb_view){view->root, table, NULL, PIN_NONE};
    return DDB_OK;
  }
  ddb__long_pin *fresh = ddb__alloc(&table->db->heap, sizeof *fresh);
  if (!fresh) {
    return ddb__fail_memory(err, sizeof *fresh);
  }
  ddb__long_pin *pin = ddb__pins_add(&table->pins, ddb__view_root(view)->version, &fresh);
  ddb__free(&table->db->heap, fresh, sizeof *fresh);
  *held = (ddb_view){view->root, table, pin, PIN_LONG};
  return DDB_OK;
}

void ddb__unpin_view(ddb_view *view) {
  if (view->token == PIN_SHORT) {
    ddb__unpin_short(view->pin);
  } else if (view->token == PIN_LONG) {
    ddb__unpin_long(view->table, view->pin);
  }
}
