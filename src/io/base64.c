/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64.c - three bytes to four characters and back.
 *
 * Every text has one decoding and every decoding one text: what is not canonical is refused.
 */
#include "io/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ddb__base64_encode(const uint8_t *data, size_t size, char *out) {
  size_t at = 0;
  for (; at + 3 <= size; at += 3) {
    uint32_t group = (uint32_t)data[at] << 16 | (uint32_t)data[at + 1] << 8 | data[at + 2];
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    *out++ = alphabet[group >> 6 & 63];
    *out++ = alphabet[group & 63];
  }
  if (at == size) {
    return;
  }
  bool two = size - at == 2;
  uint32_t group = (uint32_t)data[at] << 16 | (two ? (uint32_t)data[at + 1] << 8 : 0);
  *out++ = alphabet[group >> 18];
  *out++ = alphabet[group >> 12 & 63];
  *out++ = two ? alphabet[group >> 6 & 63] : '=';
  *out++ = '=';
}

/* 64 for what is not in the alphabet. */
static uint32_t digit_of(char character) {
  if (character >= 'A' && character <= 'Z') {
    return (uint32_t)(character - 'A');
  }
  if (character >= 'a' && character <= 'z') {
    return (uint32_t)(character - 'a') + 26;
  }
  if (character >= '0' && character <= '9') {
    return (uint32_t)(character - '0') + 52;
  }
  return character == '+' ? 62 : character == '/' ? 63 : 64;
}

bool ddb__base64_decode(const char *text, size_t size, uint8_t *out, size_t *out_size) {
  if (size % 4 != 0) {
    return false;
  }
  size_t padding = 0;
  while (padding < 2 && padding < size && text[size - 1 - padding] == '=') {
    padding++;
  }
  uint8_t *start = out;
  for (size_t at = 0; at < size; at += 4) {
    size_t missing = at + 4 == size ? padding : 0;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
      uint32_t digit = i + missing >= 4 ? 0 : digit_of(text[at + i]);
      if (digit > 63) {
        return false;
      }
      group = group << 6 | digit;
    }
    if (missing && (group & (missing == 2 ? 0xffffu : 0xffu)) != 0) {
      return false;
    }
    for (size_t i = 0; i < 3 - missing; i++) {
      *out++ = (uint8_t)(group >> (16 - 8 * i));
    }
  }
  *out_size = (size_t)(out - start);
  return true;
}
