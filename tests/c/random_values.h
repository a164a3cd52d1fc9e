/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random_values.h - random values of all kinds, from a domain so small that equal ones come up
 * often.
 */
#ifndef DDB_TESTS_RANDOM_VALUES_H
#define DDB_TESTS_RANDOM_VALUES_H

#include "support.h"

/* Appends one value, nested at most `depth` levels, to whatever is open. */
void random_value_append(ddb_builder *builder, uint64_t *state, unsigned depth, bool hashable);
/* Does NaN occur in it? Then it does not equal itself. */
bool random_value_has_nan(const ddb_value *value);

#endif
