/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.h - exact comparison and hashing across bool, int, big int, float and decimal, as
 * Python does it (the numeric hash is CPython's: modulo 2^61 - 1, so that equal numbers of any kind
 * hash alike).
 */
#ifndef DDB_STORE_NUMBER_H
#define DDB_STORE_NUMBER_H

#include "dictdb.h"

/* Both are numbers (DDB_BOOL to DDB_DECIMAL). -1, 0, 1; NaNs are last and equal to each other. */
int ddb__number_compare(const ddb_value *a, const ddb_value *b);
uint64_t ddb__number_hash(const ddb_value *a);
bool ddb__number_is_nan(const ddb_value *a);
/* Is it equal to an int64? */
bool ddb__number_to_int(const ddb_value *a, int64_t *out);
/* Is the text a decimal as Python's str(Decimal) writes it (also what Decimal() accepts in plain
 * ASCII)? */
bool ddb__decimal_valid(ddb_str text);
/* Decimal digits of a DDB_BIGINT with sign; returns the size needed without NUL; writes at most
 * capacity. For messages and JSON. */
size_t ddb__bigint_format(const ddb_value *a, char *buffer, size_t capacity);
/* Parses [-]digits of any length into sign byte + magnitude (little-endian, no leading zeros).
 * capacity must be at least 2 + size / 2. Returns bytes written. */
size_t ddb__bigint_parse(ddb_str digits, uint8_t *bytes, size_t capacity);

#endif
