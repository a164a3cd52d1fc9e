/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.c - putting texts, values and names together. Cost: linear in the text.
 */
#include "query/writer.h"

ddb__writer ddb__writer_start(char *buffer, size_t capacity) {
  ddb__writer to = {.capacity = buffer ? capacity : 0};
  to.buffer = buffer;
  return to;
}

void ddb__writer_put(ddb__writer *to, const char *text, size_t size) {
  if (to->size < to->capacity) {
    size_t room = to->capacity - to->size;
    memcpy(to->buffer + to->size, text, size < room ? size : room);
  }
  to->size += size;
}

void ddb__writer_text(ddb__writer *to, const char *text) {
  ddb__writer_put(to, text, strlen(text));
}

void ddb__writer_value(ddb__writer *to, const ddb_value *value) {
  char text[256];
  size_t size = ddb_value_format(value, text, sizeof text);
  if (size < sizeof text || to->size >= to->capacity) {
    ddb__writer_put(to, text, size < sizeof text ? size : 0);
    to->size += size < sizeof text ? 0 : size;
    return;
  }
  /* When it does not fit, what it wrote is cut, with its NUL inside: ddb__writer_end sees to that. */
  size_t room = to->capacity - to->size;
  memset(to->buffer + to->size, '.', room);
  size_t whole = ddb_value_format(value, to->buffer + to->size, room);
  if (whole >= room) {
    char *nul = memchr(to->buffer + to->size, 0, room);
    if (nul) {
      memset(nul, '.', room - (size_t)(nul - (to->buffer + to->size)));
    }
  }
  to->size += whole;
}

static bool is_identifier(ddb_str name) {
  for (size_t i = 0; i < name.size; i++) {
    unsigned char c = (unsigned char)name.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
      return false;
    }
  }
  return name.size > 0;
}

void ddb__writer_field(ddb__writer *to, ddb_str name) {
  if (is_identifier(name)) {
    ddb__writer_put(to, name.data, name.size);
    return;
  }
  ddb_value text = ddb_text(name);
  ddb__writer_text(to, "[");
  ddb__writer_value(to, &text);
  ddb__writer_text(to, "]");
}

void ddb__writer_end(ddb__writer *to) {
  if (to->capacity == 0) {
    return;
  }
  if (to->size < to->capacity) {
    to->buffer[to->size] = 0;
    return;
  }
  size_t dots = to->capacity > 3 ? 3 : to->capacity - 1;
  size_t end = to->capacity - 1 - dots;
  while (end > 0 && ((unsigned char)to->buffer[end] & 0xc0) == 0x80) {
    end--;
  }
  memset(to->buffer + end, '.', dots);
  to->buffer[end + dots] = 0;
}
