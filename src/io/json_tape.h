/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_tape.h - one JSON value as a flat array of nodes, each before its children.
 *
 *   {"a": [1, 2]}   ->   DICT(count 2, end 5)  STR "a"  LIST(count 2, end 5)  INT 1  INT 2
 *
 * A builder wants to know how many items a container has before it gets them, and whether an object
 * is a {"$type": ...}: so a record is read to a tape first. The tape holds one record at a time
 * (and a table's properties before it). Texts are in the reader's text; a node has the offset.
 * Thread-safety: distinct.
 */
#ifndef DDB_IO_JSON_TAPE_H
#define DDB_IO_JSON_TAPE_H

#include "dictdb.h"
#include "io/json_read.h"

typedef struct ddb__json_node {
  uint8_t kind;  /* NULL, BOOL, INT, BIGINT, FLOAT, STR_KIND, LIST or DICT */
  uint32_t size; /* bytes of text; items (a DICT has a key and a value for each entry) */
  union {
    bool boolean;
    int64_t integer;
    double real;
    uint64_t text; /* offset in the reader's text */
    uint64_t end;  /* containers: index of the node behind the last child's */
  } as;
} ddb__json_node;

typedef struct ddb__json_tape {
  ddb__json_node *nodes; /* owned */
  size_t count;
  size_t capacity;
} ddb__json_tape;

void ddb__json_tape_fini(ddb__json_tape *tape);
/* Appends the value that the reader's last token begins (or the key that it is), to its end. */
ddb_status ddb__json_tape_read(ddb__json_tape *tape, ddb__json_reader *reader);
/* Index of the node behind this one and its children: its next sibling. */
static inline size_t ddb__json_tape_after(const ddb__json_tape *tape, size_t index) {
  const ddb__json_node *node = &tape->nodes[index];
  return node->kind == DDB_LIST || node->kind == DDB_DICT ? (size_t)node->as.end : index + 1;
}

#endif
