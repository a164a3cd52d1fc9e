/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - texts of the status codes, and filling of ddb_error.
 *
 * Invariants
 *   1. Every text in a ddb_error ends with NUL and is whole UTF-8 (surrogates allowed): bytes that
 *      do not form a sequence, as a cut leaves them, are left out.
 *   2. Nothing here allocates, locks or fails.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct status_row {
  const char *name;
  const char *text;
  const char *exception;
} status_row;

static const status_row status_rows[DDB_STATUS_COUNT] = {
#define DDB_X(code, text, exception) [DDB_##code] = {#code, text, exception},
    DDB_STATUS_MAP(DDB_X)
#undef DDB_X
};

static const status_row *row_of(ddb_status status) {
  static const status_row unknown = {"ERR_UNKNOWN", "unknown status", "DictDBError"};
  return (unsigned)status < DDB_STATUS_COUNT ? &status_rows[status] : &unknown;
}

const char *ddb_status_name(ddb_status status) {
  return row_of(status)->name;
}

const char *ddb_status_text(ddb_status status) {
  return row_of(status)->text;
}

const char *ddb_status_exception(ddb_status status) {
  return row_of(status)->exception;
}

const char *ddb_version(void) {
  return DDB_VERSION;
}

/* Bytes of the UTF-8 sequence at `data`; 0 when there is none or it goes on after `size`. */
static size_t sequence_size(const unsigned char *data, size_t size) {
  unsigned char lead = data[0];
  size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length == 0 || length > size || lead > 0xf4) {
    return 0;
  }
  for (size_t i = 1; i < length; i++) {
    if ((data[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  if (length >= 3 && ((lead == 0xe0 && data[1] < 0xa0) || (lead == 0xf0 && data[1] < 0x90) ||
                      (lead == 0xf4 && data[1] > 0x8f))) {
    return 0;
  }
  return length;
}

/* Moves the whole sequences among the first `size` bytes to the front and ends them with NUL. */
static void keep_whole_sequences(char *text, size_t size) {
  size_t kept = 0;
  for (size_t i = 0; i < size;) {
    size_t length = sequence_size((const unsigned char *)text + i, size - i);
    if (length != 0) {
      memmove(text + kept, text + i, length);
      kept += length;
    }
    i += length != 0 ? length : 1;
  }
  text[kept] = '\0';
}

ddb_status(ddb__fail)(ddb_error *err, ddb_status status, const char *format, ...) {
  if (err == NULL) {
    return status;
  }
  ddb_error fresh = {.status = status};
  va_list arguments;
  va_start(arguments, format);
  int wanted = vsnprintf(fresh.message, sizeof fresh.message, format, arguments);
  va_end(arguments);
  if (wanted < 0) {
    ddb__error_text(fresh.message, sizeof fresh.message, ddb_str_from(ddb_status_text(status)));
  }
  keep_whole_sequences(fresh.message, strlen(fresh.message));
  *err = fresh;
  return status;
}

ddb_status(ddb__fail_memory)(ddb_error *err, size_t size) {
  return ddb__fail(err, DDB_ERR_NOMEM, "out of memory: %zu bytes could not be had", size);
}

void ddb__error_text(char *member, size_t capacity, ddb_str text) {
  size_t size = text.size < capacity ? text.size : capacity - 1;
  if (size != 0) {
    memcpy(member, text.data, size);
  }
  keep_whole_sequences(member, size);
}
