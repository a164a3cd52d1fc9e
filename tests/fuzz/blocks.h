/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.h - what the fuzz targets of files made of blocks share: checksums that are made to hold, so
 * that what lies behind them is reached, and operations put into blocks.
 */
#ifndef DDB_TESTS_FUZZ_BLOCKS_H
#define DDB_TESTS_FUZZ_BLOCKS_H

#include "io/native.h"
#include "support.h"

/* The magic, this version, and the checksum of what else the head has. */
void blocks_seal(ddb__native_head *head, const char *magic);
/* Walks the blocks as the reader does. Returns the bytes that they say they decompress to; *sum: what
 * stands for the file (io/native.h). repair: numbers and checksums are made to hold under the head. */
uint64_t blocks_walk(char *file, size_t size, bool repair, uint64_t *sum);
/* A file of these operations, cut into blocks of a size that `how` says, compressed if its lowest bit
 * does. The head is sealed. */
fuzz_bytes blocks_wrap(const ddb__native_head *head, const char *ops, size_t size, uint8_t how);

#endif
