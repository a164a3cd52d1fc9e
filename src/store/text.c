/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - UTF-8 validation with a fast path for ASCII, and the edit distance behind "did you
 * mean".
 */
#include "store/text.h"

/* Longer names get no suggestion: the tables of the distance are on the stack. */
#define DISTANCE_SIZE_MAX 64

/* Bytes of the sequence that starts at `at`, 0 when it is malformed. */
static size_t sequence_size(const unsigned char *at, size_t left) {
  unsigned char lead = at[0];
  if (lead < 0x80) {
    return 1;
  }
  size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || size > left) {
    return 0;
  }
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  bool overlong = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xf0 && at[1] < 0x90);
  bool too_high = lead == 0xf4 && at[1] > 0x8f;
  return overlong || too_high ? 0 : size;
}

bool ddb__text_valid(ddb_str text) {
  const unsigned char *at = (const unsigned char *)text.data;
  size_t left = text.size;
  while (left > 0) {
    while (left >= 8) {
      uint64_t word;
      memcpy(&word, at, sizeof word);
      if (word & UINT64_C(0x8080808080808080)) {
        break;
      }
      at += 8;
      left -= 8;
    }
    /* Up to eight sequences before the next try for whole words. */
    for (int i = 0; i < 8 && left > 0; i++) {
      size_t size = sequence_size(at, left);
      if (size == 0) {
        return false;
      }
      at += size;
      left -= size;
    }
  }
  return true;
}

/* ---- Names that were probably meant --------------------------------------------------------- */

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Bytes to put in, take out or change, and neighbours to swap, to make b of a: the distance that is
 * called optimal string alignment. SIZE_MAX: one is too long to be worth it. */
static size_t distance(ddb_str a, ddb_str b) {
  if (a.size > DISTANCE_SIZE_MAX || b.size > DISTANCE_SIZE_MAX) {
    return SIZE_MAX;
  }
  size_t rows[3][DISTANCE_SIZE_MAX + 1];
  for (size_t j = 0; j <= b.size; j++) {
    rows[0][j] = j;
  }
  for (size_t i = 1; i <= a.size; i++) {
    const size_t *before = rows[(i + 1) % 3];
    const size_t *last = rows[(i - 1) % 3];
    size_t *row = rows[i % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size; j++) {
      size_t replaced = last[j - 1] + (a.data[i - 1] != b.data[j - 1]);
      row[j] = min_size(replaced, 1 + min_size(last[j], row[j - 1]));
      if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1]) {
        row[j] = min_size(row[j], before[j - 2] + 1);
      }
    }
  }
  return rows[a.size % 3][b.size];
}

bool ddb__text_nearer(ddb_str name, ddb_str candidate, size_t *least) {
  size_t found = distance(name, candidate);
  if (found >= *least || found >= 2 + name.size / 4) {
    return false;
  }
  *least = found;
  return true;
}

size_t ddb_str_nearest(ddb_str name, const ddb_str *names, size_t count) {
  size_t nearest = count;
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    if (ddb__text_nearer(name, names[i], &least)) {
      nearest = i;
    }
  }
  return nearest;
}
