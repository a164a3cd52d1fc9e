/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit.c - the retire list of a statement, and the chunk lists it is made of.
 *
 * Ownership: an edit owns its chunks until flush hands them to the table's queue or fini frees
 * them. What the items point to is never touched here.
 */
#include "store/edit.h"

#include <assert.h>

#include "base/testing.h"

static size_t chunk_size(uint32_t capacity) {
  return sizeof(ddb__retired_chunk) + capacity * sizeof(ddb__retired);
}

ddb__retired_chunk *ddb__retired_chunk_new(ddb__heap *heap, uint32_t capacity) {
  ddb__retired_chunk *chunk = ddb__alloc(heap, chunk_size(capacity));
  if (chunk) {
    chunk->next = NULL;
    chunk->count = 0;
    chunk->capacity = capacity;
  }
  return chunk;
}

void ddb__retired_chunk_free(ddb__heap *heap, ddb__retired_chunk *chunk) {
  ddb__free(heap, chunk, chunk_size(chunk->capacity));
}

void ddb__retired_list_append(ddb__retired_list *list, ddb__retired_chunk *chunk) {
  chunk->next = NULL;
  if (list->tail) {
    list->tail->next = chunk;
  } else {
    list->head = chunk;
  }
  list->tail = chunk;
  list->count += chunk->count;
}

ddb__retired_chunk *ddb__retired_list_pop(ddb__retired_list *list) {
  ddb__retired_chunk *chunk = list->head;
  if (!chunk) {
    return NULL;
  }
  list->head = chunk->next;
  if (!list->head) {
    list->tail = NULL;
  }
  list->count -= chunk->count;
  chunk->next = NULL;
  return chunk;
}

void ddb__retired_list_splice(ddb__retired_list *list, ddb__retired_list *from) {
  if (!from->head) {
    return;
  }
  if (list->tail) {
    list->tail->next = from->head;
  } else {
    list->head = from->head;
  }
  list->tail = from->tail;
  list->count += from->count;
  *from = (ddb__retired_list){0};
}

void ddb__edit_init(ddb__edit *edit, ddb__heap *heap, uint64_t version) {
  *edit = (ddb__edit){.heap = heap, .version = version, .chunk_items = DDB__RETIRED_FIRST_ITEMS};
}

static void free_chunks(ddb__heap *heap, ddb__retired_chunk *chunk) {
  while (chunk) {
    ddb__retired_chunk *next = chunk->next;
    ddb__retired_chunk_free(heap, chunk);
    chunk = next;
  }
}

void ddb__edit_fini(ddb__edit *edit) {
  free_chunks(edit->heap, edit->retired.head);
  free_chunks(edit->heap, edit->spare);
  *edit = (ddb__edit){0};
}

void ddb__edit_keep_unversioned(ddb__edit *edit) {
  ddb__retired_list all = edit->retired;
  edit->retired = (ddb__retired_list){0};
  edit->retired_bytes = 0;
  ddb__retired_chunk *chunk;
  while ((chunk = ddb__retired_list_pop(&all)) != NULL) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
      if (chunk->items[i].birth == 0 && chunk->items[i].memory) {
        edit->retired_bytes += chunk->items[i].extra;
        chunk->items[kept++] = chunk->items[i];
      }
    }
    chunk->count = kept;
    if (kept > 0) {
      ddb__retired_list_append(&edit->retired, chunk);
    } else { /* not to be queued: nothing would ever call for its turn */
      chunk->next = edit->spare;
      edit->spare = chunk;
    }
  }
}

void ddb__edit_reset(ddb__edit *edit, uint64_t version) {
  ddb__retired_chunk *keep = edit->spare;
  if (keep) {
    edit->spare = keep->next;
  } else {
    keep = ddb__retired_list_pop(&edit->retired);
  }
  free_chunks(edit->heap, edit->retired.head);
  free_chunks(edit->heap, edit->spare);
  *edit = (ddb__edit){
      .heap = edit->heap, .version = version, .spare = keep, .chunk_items = edit->chunk_items};
  if (keep) {
    keep->count = 0;
    keep->next = NULL;
    edit->room = keep->capacity;
  }
}

/* Where the edit's small chunk hangs, which is its only one then; NULL: it has none. */
static ddb__retired_chunk **small_chunk(ddb__edit *edit) {
  ddb__retired_chunk **only = edit->retired.head ? &edit->retired.head : &edit->spare;
  return *only && (*only)->capacity < DDB__RETIRED_CHUNK_ITEMS ? only : NULL;
}

/* Nothing points at items: a chunk may be replaced by a larger one. */
static void grow_chunk(ddb__edit *edit, ddb__retired_chunk **only, ddb__retired_chunk *to) {
  ddb__retired_chunk *from = *only;
  memcpy(to->items, from->items, from->count * sizeof from->items[0]);
  to->count = from->count;
  edit->room += to->capacity - from->capacity;
  *only = to;
  if (edit->retired.tail == from) {
    edit->retired.tail = to;
  }
  ddb__retired_chunk_free(edit->heap, from);
}

static uint32_t larger(uint32_t capacity) {
  return 4 * capacity < DDB__RETIRED_CHUNK_ITEMS ? 4 * capacity : DDB__RETIRED_CHUNK_ITEMS;
}

static ddb_status add_room(ddb__edit *edit, ddb_error *err) {
  ddb__retired_chunk **only = small_chunk(edit);
  uint32_t capacity = only ? larger((*only)->capacity) : edit->chunk_items;
  ddb__retired_chunk *chunk = ddb__retired_chunk_new(edit->heap, capacity);
  if (!chunk) {
    return ddb__fail_memory(err, chunk_size(capacity));
  }
  edit->chunk_items = capacity;
  if (only) {
    grow_chunk(edit, only, chunk);
  } else {
    chunk->next = edit->spare;
    edit->spare = chunk;
    edit->room += capacity;
  }
  return DDB_OK;
}

ddb_status ddb__edit_reserve(ddb__edit *edit, size_t count, ddb_error *err) {
  ddb_status status = DDB_OK;
  while (!status && edit->room < count + 1) { /* one more: for the root that the commit retires */
    status = add_room(edit, err);
  }
  return status;
}

static ddb__retired *next_item(ddb__edit *edit) {
  assert(edit->room > 0 && "E2: room was reserved");
  ddb__retired_chunk *tail = edit->retired.tail;
  if (!tail || tail->count == tail->capacity) {
    tail = edit->spare;
    edit->spare = tail->next;
    ddb__retired_list_append(&edit->retired, tail);
  }
  edit->room--;
  edit->retired.count++;
  return &tail->items[tail->count++];
}

void ddb__edit_retire_as(ddb__edit *edit, uint64_t what, void *memory, uint64_t birth,
                         size_t size) {
  *next_item(edit) = (ddb__retired){.memory = memory, .birth = birth, .hash = what, .extra = size};
  edit->retired_bytes += size;
}

void ddb__edit_retire(ddb__edit *edit, void *memory, uint64_t birth, size_t size) {
  ddb__edit_retire_as(edit, DDB__RETIRED_PLAIN, memory, birth, size);
}

void ddb__edit_retire_hint(ddb__edit *edit, uint64_t hash, uint64_t seq, uint64_t birth) {
  *next_item(edit) = (ddb__retired){.birth = birth, .hash = hash, .extra = seq};
}

void ddb__edit_drop(ddb__edit *edit, void *memory, uint64_t birth, size_t size) {
  if (birth == edit->version) {
    ddb__free(edit->heap, memory, size);
  } else {
    ddb__edit_retire(edit, memory, birth, size);
  }
}

/* Small edits share the queue's last chunk: one chunk then serves many statements. */
static bool merge_into_tail(ddb__edit *edit, ddb__retired_list *queue) {
  ddb__retired_chunk *from = edit->retired.head;
  ddb__retired_chunk *to = queue->tail;
  if (!from || from->next || !to || to->count + from->count > to->capacity) {
    return false;
  }
  memcpy(&to->items[to->count], from->items, from->count * sizeof from->items[0]);
  to->count += from->count;
  queue->count += from->count;
  return true;
}

void ddb__edit_flush(ddb__edit *edit, uint64_t retire, ddb__retired_list *queue) {
  uint64_t stamp = DDB__FAULT(RETIRE_EARLY) ? retire - 1 : retire;
  for (ddb__retired_chunk *chunk = edit->retired.head; chunk; chunk = chunk->next) {
    for (uint32_t i = 0; i < chunk->count; i++) {
      chunk->items[i].retire = stamp;
    }
  }
  if (merge_into_tail(edit, queue)) {
    return;
  }
  ddb__retired_list_splice(queue, &edit->retired);
  edit->chunk_items =
      larger(edit->chunk_items); /* a queue of many small ones would be mostly gaps */
}
