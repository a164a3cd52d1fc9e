/* SPDX-License-Identifier: Apache-2.0 */
/*
 * time_text.h - dates, times and UUIDs as ISO 8601 / RFC 4122 text, as Python's isoformat() and
 * str() write them, and back.
 *
 * The text carries wall clock and offset; fold and zone are not in it. Reading is strict: the form
 * that is written here, and nothing else. Allocates nothing. Thread-safety: atomic.
 */
#ifndef DDB_IO_TIME_TEXT_H
#define DDB_IO_TIME_TEXT_H

#include "dictdb.h"

#define DDB__TIME_TEXT_SIZE 64 /* room enough for any of them */
#define DDB__UUID_TEXT_SIZE 36

/* Each writes at `out`, without NUL, and returns the bytes written. */
size_t ddb__time_text_date(int64_t ordinal, char *out);
size_t ddb__time_text_datetime(const ddb_temporal *temporal, char *out);
size_t ddb__time_text_time(const ddb_temporal *temporal, char *out);
void ddb__time_text_uuid(const uint8_t *bytes, char *out);

/* False: not such a text, or out of range (years 1 to 9999). */
bool ddb__time_text_to_date(ddb_str text, int64_t *ordinal);
/* Sets micros and offset_micros (DDB_OFFSET_NONE when the text has none), clears the rest. */
bool ddb__time_text_to_datetime(ddb_str text, ddb_temporal *out);
bool ddb__time_text_to_time(ddb_str text, ddb_temporal *out);
bool ddb__time_text_to_uuid(ddb_str text, uint8_t *bytes);

#endif
