/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.h - regular expressions, by PCRE2.
 *
 * A ddb__regex is immutable but for a few spare working spaces, which threads take and give back.
 * Searching needs memory and may need more steps than it is given: then it fails, and so does the
 * statement. It never hangs, and needs no stack. Thread-safety: atomic.
 */
#ifndef DDB_QUERY_REGEX_H
#define DDB_QUERY_REGEX_H

#include "dictdb.h"

typedef struct ddb__regex ddb__regex;

/* INVALID (with the position and the reason), NOMEM. */
ddb_status ddb__regex_new(ddb_str pattern, uint32_t flags, ddb__regex **out, ddb_error *err);
void ddb__regex_free(ddb__regex *regex); /* NULL is allowed */
/* Is there a match anywhere? NOMEM, LIMIT. */
ddb_status ddb__regex_search(ddb__regex *regex, ddb_str text, bool *found);

#endif
