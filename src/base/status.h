/* SPDX-License-Identifier: Apache-2.0 */
/* status.h - filling a ddb_error and returning its code in one expression. */
#ifndef DDB_BASE_STATUS_H
#define DDB_BASE_STATUS_H

#include "dictdb.h"

/* Sets *err (may be NULL) to `status` with a printf message and clears its other members; returns
 * `status`. Texts that came from users are arguments, never the format. */
ddb_status ddb__fail(ddb_error *err, ddb_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* DDB_ERR_NOMEM with the bytes that could not be had. */
ddb_status ddb__fail_memory(ddb_error *err, size_t size) __attribute__((cold));
/* Copies a text into one of the fixed members of ddb_error, cut at a UTF-8 boundary. */
void ddb__error_text(char *member, size_t capacity, ddb_str text);

#ifdef __clang_analyzer__ /* does not see that they never return DDB_OK */
#define ddb__fail(err, status, ...) (ddb__fail(err, status, __VA_ARGS__), (status))
#define ddb__fail_memory(err, size) (ddb__fail_memory(err, size), DDB_ERR_NOMEM)
#endif

/* For %.*s: at most `limit` bytes of a string. */
#define DDB__STR_ARG(text) (int)((text).size > 128 ? 128 : (text).size), (text).data

#endif
