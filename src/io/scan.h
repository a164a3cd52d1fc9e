/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h - the bytes of a JSON string that stand for themselves, eight at a time. */
#ifndef DDB_IO_SCAN_H
#define DDB_IO_SCAN_H

#include "dictdb.h"

/* Does one of the eight bytes need more than copying: below 0x20, '"', '\\', or not ASCII? Never
 * misses one; may say yes for a neighbour of one. */
static inline bool ddb__scan_eight(const char *at) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  const uint64_t highs = UINT64_C(0x8080808080808080);
  uint64_t word;
  memcpy(&word, at, sizeof word);
  uint64_t quote = word ^ ones * '"';
  uint64_t slash = word ^ ones * '\\';
  uint64_t found = word | (word - ones * 0x20) | (quote - ones) | (slash - ones);
  return (found & highs) != 0;
}

static inline bool ddb__scan_one(char character) {
  uint8_t byte = (uint8_t)character;
  return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

/* Number of leading bytes that stand for themselves. */
static inline size_t ddb__scan_plain(const char *at, size_t size) {
  size_t run = 0;
  while (run + 8 <= size && !ddb__scan_eight(at + run)) {
    run += 8;
  }
  while (run < size && !ddb__scan_one(at[run])) {
    run++;
  }
  return run;
}

#endif
