/* SPDX-License-Identifier: Apache-2.0 */
/* csv_options.h - what the two sides of CSV check of what they are asked for. Atomic. */
#ifndef DDB_IO_CSV_OPTIONS_H
#define DDB_IO_CSV_OPTIONS_H

#include "base/status.h"
#include "dictdb.h"

/* given: 0 for a comma. INVALID: it cannot be one; or the null text would need quotes, or is cut by
 * it. */
static inline ddb_status ddb__csv_delimiter(char given, ddb_str null_text, char *out,
                                            ddb_error *err) {
  char delimiter = given ? given : ',';
  if (delimiter == '"' || delimiter == '\n' || delimiter == '\r' || (uint8_t)delimiter >= 0x80) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "the delimiter is one ASCII character, and no quote or line end");
  }
  for (size_t i = 0; i < null_text.size; i++) {
    char c = null_text.data[i];
    if (c == delimiter || c == '"' || c == '\n' || c == '\r') {
      return ddb__fail(err, DDB_ERR_INVALID,
                       "the text of null must not hold delimiters, quotes or line ends");
    }
  }
  *out = delimiter;
  return DDB_OK;
}

#endif
