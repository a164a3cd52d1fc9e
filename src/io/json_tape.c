/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_tape.c - from tokens to nodes, without recursion.
 *
 * Invariants
 *   1. A container's count and end are set when it closes; until then `as.end` is the index of the
 *      container around it, so that the chain of open containers needs no memory of its own.
 *   2. Every node has cost the input at least one byte: 16 bytes of memory for it.
 * Ownership: nodes. Locks: none. Cost: one store per token.
 */
#include "io/json_tape.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/try.h"

#define CAPACITY_FIRST 256
#define NODE_COUNT_MAX ((size_t)UINT32_MAX / 2)
#define NOTHING_OPEN   SIZE_MAX

void ddb__json_tape_fini(ddb__json_tape *tape) {
  ddb__free(&ddb__heap_process, tape->nodes, tape->capacity * sizeof *tape->nodes);
  *tape = (ddb__json_tape){0};
}

static ddb_status grow(ddb__json_tape *tape, const ddb__json_reader *reader) {
  if (tape->count >= NODE_COUNT_MAX) {
    return ddb__json_fail(reader, reader->token_offset, "a record of too many values");
  }
  size_t capacity = tape->capacity ? tape->capacity * 2 : CAPACITY_FIRST;
  ddb__json_node *nodes = ddb__resize(&ddb__heap_process, tape->nodes,
                                      tape->capacity * sizeof *nodes, capacity * sizeof *nodes);
  if (!nodes) {
    return ddb__fail_memory(reader->err, capacity * sizeof *nodes);
  }
  tape->nodes = nodes;
  tape->capacity = capacity;
  return DDB_OK;
}

static ddb__json_node node_of(const ddb__json_reader *reader) {
  ddb__json_node node = {.kind = DDB_NULL};
  switch (reader->token) {
  case DDB__JSON_BOOL:
    node.kind = DDB_BOOL;
    node.as.boolean = reader->as.boolean;
    break;
  case DDB__JSON_INT:
    node.kind = DDB_INT;
    node.as.integer = reader->as.integer;
    break;
  case DDB__JSON_FLOAT:
    node.kind = DDB_FLOAT;
    node.as.real = reader->as.real;
    break;
  case DDB__JSON_BIGINT:
  case DDB__JSON_STRING:
  case DDB__JSON_KEY:
    node.kind = reader->token == DDB__JSON_BIGINT ? DDB_BIGINT : DDB_STR_KIND;
    node.size = (uint32_t)reader->token_size;
    node.as.text = reader->token_text;
    break;
  case DDB__JSON_OBJECT:
    node.kind = DDB_DICT;
    break;
  case DDB__JSON_ARRAY:
    node.kind = DDB_LIST;
    break;
  case DDB__JSON_NULL:
  case DDB__JSON_END:
  case DDB__JSON_OBJECT_END:
  case DDB__JSON_ARRAY_END:
    break;
  }
  return node;
}

ddb_status ddb__json_tape_read(ddb__json_tape *tape, ddb__json_reader *reader) {
  size_t open = NOTHING_OPEN;
  for (;;) {
    if (reader->token == DDB__JSON_OBJECT_END || reader->token == DDB__JSON_ARRAY_END) {
      size_t outer = (size_t)tape->nodes[open].as.end;
      tape->nodes[open].as.end = tape->count;
      open = outer;
    } else {
      if (tape->count == tape->capacity) {
        DDB__TRY(grow(tape, reader));
      }
      ddb__json_node node = node_of(reader);
      if (open != NOTHING_OPEN) {
        tape->nodes[open].size++;
      }
      if (node.kind == DDB_DICT || node.kind == DDB_LIST) {
        node.as.end = open;
        open = tape->count;
      }
      tape->nodes[tape->count++] = node;
    }
    if (open == NOTHING_OPEN) {
      return DDB_OK;
    }
    DDB__TRY(ddb__json_next(reader));
  }
}
