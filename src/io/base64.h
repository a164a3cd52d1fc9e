/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - RFC 4648 base64 with padding, strict. Allocates nothing. Thread-safety: atomic. */
#ifndef DDB_IO_BASE64_H
#define DDB_IO_BASE64_H

#include "dictdb.h"

static inline size_t ddb__base64_size(size_t size) {
  return (size + 2) / 3 * 4;
}
/* Writes ddb__base64_size(size) bytes. */
void ddb__base64_encode(const uint8_t *data, size_t size, char *out);
/* Decodes into `out`, which may be the text's own memory. False: not base64 (wrong length, a wrong
 * character, bits that are not zero after the end). */
bool ddb__base64_decode(const char *text, size_t size, uint8_t *out, size_t *out_size);

#endif
