/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checksum.h - XXH3-64, of bytes at hand or over a stream, there as 16 hexadecimal digits. It finds
 * damage; it does not keep out somebody who wants to forge a file.
 * Allocates nothing. Thread-safety: distinct.
 */
#ifndef DDB_IO_CHECKSUM_H
#define DDB_IO_CHECKSUM_H

#include "dictdb.h"

#define DDB__CHECKSUM_TEXT_SIZE 16

typedef struct ddb__checksum {
  _Alignas(64) uint8_t state[576]; /* XXH3_state_t */
} ddb__checksum;

uint64_t ddb__checksum_of(const void *data, size_t size, uint64_t seed);
void ddb__checksum_start(ddb__checksum *checksum);
void ddb__checksum_add(ddb__checksum *checksum, const void *data, size_t size);
uint64_t ddb__checksum_value(const ddb__checksum *checksum);
/* Of what was added so far; more may follow. Writes DDB__CHECKSUM_TEXT_SIZE bytes, no NUL. */
void ddb__checksum_text(const ddb__checksum *checksum, char *out);

#endif
