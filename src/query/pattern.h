/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - what like(), matches() and the comparisons without regard to case look for in a str,
 * prepared when the condition is made.
 *
 * Folding is Unicode's full case folding ("ß" is "ss"), code point by code point. Lone surrogates
 * are code points like others. Immutable after it is made, so that threads share it; matching
 * allocates nothing, except in a regex (regex.h).
 */
#ifndef DDB_QUERY_PATTERN_H
#define DDB_QUERY_PATTERN_H

#include "dictdb.h"
#include "query/regex.h"

typedef struct ddb__pattern {
  size_t bytes;   /* of this allocation */
  ddb_str source; /* as it was given */
  ddb_str escape; /* of a like; "" without one */
  bool folded;
  uint32_t flags;    /* of a regex */
  ddb_str prefix;    /* of a like: the literal text that it begins with ... */
  bool is_exact;     /* ... and that is all of it */
  bool is_prefix;    /* ... and only a % follows */
  ddb__regex *regex; /* owned; NULL: not a regex */
  size_t count;
  const uint32_t *tokens;   /* code points, and for a like the two below */
  const uint32_t *failures; /* without regard to case: how much of the text may be kept */
} ddb__pattern;

#define DDB__PATTERN_ANY UINT32_MAX       /* % */
#define DDB__PATTERN_ONE (UINT32_MAX - 1) /* _ */

/* INVALID (with the position), NOMEM. */
ddb_status ddb__pattern_like(ddb_str pattern, ddb_str escape, bool folded, ddb__pattern **out,
                             ddb_error *err);
ddb_status ddb__pattern_folded(ddb_str text, ddb__pattern **out, ddb_error *err);
ddb_status ddb__pattern_regex(ddb_str pattern, uint32_t flags, ddb__pattern **out, ddb_error *err);
void ddb__pattern_free(ddb__pattern *pattern); /* NULL is allowed */

bool ddb__pattern_is_like(const ddb__pattern *pattern, ddb_str text);
/* op: EQ, STARTSWITH, ENDSWITH or CONTAINS, without regard to case. */
bool ddb__pattern_is_folded(const ddb__pattern *pattern, ddb_op op, ddb_str text);

#endif
