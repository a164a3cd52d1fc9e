/* SPDX-License-Identifier: Apache-2.0 */
/*
 * total.h - a sum of values: exact over int, big int, bool and Decimal; compensated over floats
 * (Neumaier); of timedeltas too. Kinds are summed apart and brought together at the end, so that the
 * order of addition only matters among floats.
 *
 *   whole    booleans and int64 (an int128 holds 2^64 of them); microseconds of timedeltas
 *   real     floats, what rounding lost of them in `lost`
 *   large    big ints and Decimals, made when the first one comes
 *
 * Memory: the process heap, only for `large`. Thread-safety: distinct.
 */
#ifndef DDB_QUERY_TOTAL_H
#define DDB_QUERY_TOTAL_H

#include <math.h>

#include "base/testing.h"
#include "dictdb.h"
#include "query/arena.h"
#include "query/wide.h"

enum { DDB__TOTAL_INT = 1, DDB__TOTAL_FLOAT = 2, DDB__TOTAL_DECIMAL = 4, DDB__TOTAL_DURATION = 8 };

typedef struct ddb__total_large ddb__total_large;

typedef struct ddb__total {
  ddb__int128 whole;
  double real;
  double lost;
  uint64_t count; /* values added */
  ddb__total_large *large;
  uint8_t seen; /* DDB__TOTAL_... */
} ddb__total;   /* {0}: empty */

void ddb__total_fini(ddb__total *total);

static inline void ddb__total_add_int(ddb__total *total, int64_t integer) {
  total->whole += integer;
  total->seen |= DDB__TOTAL_INT;
  total->count++;
}
static inline void ddb__total_add_float(ddb__total *total, double real) {
  double sum = total->real + real;
  if (DDB__FAULT(SUM_UNCOMPENSATED)) {
    total->lost = 0;
  } else if (fabs(total->real) >= fabs(real)) {
    total->lost += (total->real - sum) + real;
  } else {
    total->lost += (real - sum) + total->real;
  }
  total->real = sum;
  total->seen |= DDB__TOTAL_FLOAT;
  total->count++;
}
/* Any value. TYPE: it cannot be added, whatever else there is; LIMIT: Decimals too far apart. */
ddb_status ddb__total_add(ddb__total *total, const ddb_value *value, ddb_error *err);
/* The sum (count > 0); its bytes are the arena's. TYPE: kinds that Python does not add (float and
 * Decimal, timedelta and number); LIMIT: too large for its kind. */
ddb_status ddb__total_sum(const ddb__total *total, ddb__arena *arena, ddb_value *out,
                          ddb_error *err);
/* The sum divided by the count: float; of Decimals a Decimal of 28 digits, rounded half to even as
 * Python's default context does; of timedeltas a timedelta. */
ddb_status ddb__total_mean(const ddb__total *total, ddb__arena *arena, ddb_value *out,
                           ddb_error *err);
/* The nearest float to a number. LIMIT: an int too large. */
ddb_status ddb__total_float(const ddb_value *number, double *out, ddb_error *err);

#endif
