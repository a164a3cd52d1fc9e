/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - is a caller's value well-formed? What passes is safe for everything in the store.
 */
#ifndef DDB_STORE_CHECK_H
#define DDB_STORE_CHECK_H

#include "dictdb.h"

/* Scalars of the kinds that have bytes, and dates. INVALID, naming kind and problem. */
ddb_status ddb__check_scalar(const ddb_value *value, ddb_error *err);
/* Levels of containers in a value; 0: a scalar. Containers come from a builder and are trusted. */
unsigned ddb__check_depth(const ddb_value *value);

#endif
