/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.c - see outcome.h. Memory: the process heap.
 */
#include "store/outcome.h"

#include <stdint.h>

#include "base/heap.h"
#include "base/status.h"

static ddb_status resize(ddb__copies *copies, size_t capacity, ddb_error *err) {
  size_t size = sizeof *copies->items;
  ddb_record **items =
      ddb__resize(&ddb__heap_process, copies->items, copies->capacity * size, capacity * size);
  if (!items && capacity > 0) {
    return ddb__fail_memory(err, capacity * size);
  }
  copies->items = items;
  copies->capacity = capacity;
  return DDB_OK;
}

ddb_status ddb__copies_add(ddb__copies *copies, const ddb_record *record, ddb_error *err) {
  ddb_status status = DDB_OK;
  if (copies->count == copies->capacity) {
    status = resize(copies, copies->capacity ? 2 * copies->capacity : 4, err);
  }
  ddb_record *copy = NULL;
  if (!status && record) {
    status = ddb_record_copy(record, &copy, err);
  }
  if (!status) {
    copies->items[copies->count++] = copy;
  }
  return status;
}

ddb_status ddb__copies_trim(ddb__copies *copies, ddb_error *err) {
  return copies->capacity > copies->count ? resize(copies, copies->count, err) : DDB_OK;
}

void ddb__copies_fini(ddb__copies *copies) {
  for (size_t i = 0; i < copies->count; i++) {
    ddb_record_free(copies->items[i]);
  }
  ddb__free(&ddb__heap_process, copies->items, copies->capacity * sizeof *copies->items);
  *copies = (ddb__copies){0};
}

void ddb_outcome_fini(ddb_outcome *outcome) {
  if (outcome) {
    ddb__copies copies = {outcome->records, outcome->record_count, outcome->record_count};
    ddb__copies_fini(&copies);
    *outcome = (ddb_outcome){0};
  }
}
