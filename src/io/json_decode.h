/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_decode.h - values of a tape on their way into a builder.
 *
 * Errors: CORRUPT with a message that says what is wrong (the caller knows where), NOMEM, and those
 * of the builder. Thread-safety: distinct.
 */
#ifndef DDB_IO_JSON_DECODE_H
#define DDB_IO_JSON_DECODE_H

#include "dictdb.h"
#include "io/json_tape.h"

typedef struct ddb__json_decoder {
  const ddb__json_tape *tape;
  const ddb__json_reader *reader; /* whose text the nodes' texts are in */
  bool typed; /* {"$type": ...} means what json_write.h says; else it is a dict */
  ddb_error *err;
  uint8_t *scratch; /* owned; starts as NULL */
  size_t scratch_size;
} ddb__json_decoder;

void ddb__json_decoder_fini(ddb__json_decoder *decoder);

/* Appends the value at `index` to the builder. */
ddb_status ddb__json_decode(ddb__json_decoder *decoder, size_t index, ddb_builder *builder);
/* The str at `index`, borrowed from the reader's text; CORRUPT when it is none. what: names it. */
ddb_status ddb__json_decode_str(const ddb__json_decoder *decoder, size_t index, const char *what,
                                ddb_str *out);
/* The entries of a dict whose keys are all str: *first is the index of the first of *count nodes'
 * trees. Plain: key, value, key, value, ... Pairs ({"$type": "dict"}): [key, value], ... */
typedef struct ddb__json_entries {
  size_t at;    /* the next entry's node */
  size_t count; /* entries left */
  bool pairs;
} ddb__json_entries;
ddb_status ddb__json_decode_entries(const ddb__json_decoder *decoder, size_t index,
                                    ddb__json_entries *out);
/* Takes the next entry; entries->count > 0. */
ddb_status ddb__json_decode_entry(const ddb__json_decoder *decoder, ddb__json_entries *entries,
                                  ddb_str *key, size_t *value);

/* Text of a STR_KIND or BIGINT node. */
static inline ddb_str ddb__json_node_text(const ddb__json_decoder *decoder, size_t index) {
  const ddb__json_node *node = &decoder->tape->nodes[index];
  return (ddb_str){decoder->reader->text + node->as.text, node->size};
}

#endif
