/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.c - see blocks.h.
 */
#include "blocks.h"

#include <string.h>
#include <zstd.h>

void blocks_seal(ddb__native_head *head, const char *magic) {
  memcpy(head->magic, magic, sizeof head->magic);
  head->version = DDB__NATIVE_VERSION;
  head->checksum = ddb__checksum_of(head, offsetof(ddb__native_head, checksum), 0);
}

uint64_t blocks_walk(char *file, size_t size, bool repair, uint64_t *sum) {
  ddb__native_head head;
  uint64_t decompressed = size;
  size_t at = sizeof head;
  *sum = 0;
  if (size < sizeof head) {
    return size;
  }
  memcpy(&head, file, sizeof head);
  *sum = head.checksum;
  for (uint32_t number = 0; size - at >= sizeof(ddb__native_block); number++) {
    ddb__native_block block;
    memcpy(&block, file + at, sizeof block);
    char *stored = file + at + sizeof block;
    if (block.stored_size > size - at - sizeof block) {
      break;
    }
    decompressed += block.raw_size <= DDB__NATIVE_BLOCK_MAX ? block.raw_size : 0;
    if (repair) {
      block.number = number;
      block.checksum = ddb__native_block_sum(&head, &block, stored);
      memcpy(file + at, &block, sizeof block);
    }
    *sum = ddb__native_sum_add(*sum, &block);
    at += sizeof block + block.stored_size;
  }
  return decompressed;
}

static size_t put_block(char *out, const ddb__native_head *head, uint32_t number, const char *data,
                        size_t size, bool packed) {
  ddb__native_block block = {.raw_size = (uint32_t)size, .number = number};
  char *stored = out + sizeof block;
  size_t stored_size = packed ? ZSTD_compress(stored, ZSTD_compressBound(size), data, size, 1) : 0;
  if (packed && stored_size < size) {
    block.codec = DDB__CODEC_ZSTD;
  } else {
    memcpy(stored, data, size);
    stored_size = size;
  }
  block.stored_size = (uint32_t)stored_size;
  block.checksum = ddb__native_block_sum(head, &block, stored);
  memcpy(out, &block, sizeof block);
  return sizeof block + stored_size;
}

fuzz_bytes blocks_wrap(const ddb__native_head *head, const char *ops, size_t size, uint8_t how) {
  size_t piece = ((size_t)how / 2 + 1) * 512;
  fuzz_bytes file = {malloc(2 * size + 4096), sizeof *head};
  fuzz_require(file.data != NULL, "no memory");
  memcpy(file.data, head, sizeof *head);
  size -= size % 8;
  for (uint32_t number = 0; size > 0; number++) {
    size_t now = size < piece ? size : piece;
    file.size += put_block(file.data + file.size, head, number, ops, now, how & 1);
    ops += now;
    size -= now;
  }
  return file;
}
