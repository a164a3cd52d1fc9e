/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_twin.h - values of all kinds, records as plain arrays of them, and conditions evaluated on
 * those by plain recursion: what test_query.c compares queries with.
 */
#ifndef DDB_TESTS_QUERY_TWIN_H
#define DDB_TESTS_QUERY_TWIN_H

#include "dictdb.h"

enum {
  TWIN_FIELDS = 6,
  TWIN_KEY = 0,
  TWIN_ONE_KIND = 4, /* a field that all records have, of one kind: sorting has a way for those */
  TWIN_NEVER = TWIN_FIELDS, /* a field that no record has */
  TWIN_POOL_MAX = 160
};
extern const char *const twin_names[TWIN_FIELDS + 1];

/* Values that are equal to each other often, of all kinds. */
extern ddb_value twin_pool[TWIN_POOL_MAX];
extern size_t twin_pool_count;
void twin_pool_make(uint64_t *random);
void twin_pool_free(void);
const ddb_value *twin_pick(uint64_t *random);
/* Of the kind that `seed` gives TWIN_ONE_KIND: float, date or int. */
ddb_value twin_one_kind(uint64_t seed, uint64_t *random);

/* order: the fields that there are, as they were first given. */
typedef struct twin_row {
  ddb_value values[TWIN_FIELDS + 1];
  uint8_t order[TWIN_FIELDS];
  uint8_t count;
} twin_row;

static inline ddb_value twin_read(ddb_value value) {
  return value.kind == DDB_MISSING ? ddb_null() : value;
}

/* Makes or drops a random index, of either kind and over one to three fields; looks at them all.
 * NULL, or what is wrong inside of one. */
const char *twin_index_toggle(uint64_t *random, ddb_table *table);

typedef struct twin_cond twin_cond;

/* A condition with literals from the rows and from the pool; valid until the next one is made. */
const twin_cond *twin_cond_random(uint64_t *random, const twin_row *rows, size_t row_count,
                                  int depth);
/* The same for the library; the caller's. */
ddb_cond *twin_cond_real(const twin_cond *cond);
bool twin_cond_matches(const twin_cond *cond, const twin_row *row);

#endif
