/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond_format.c - conditions as text, in the words of the Python package: "(age >= 18 & ~(name ==
 * 'Bob'))", "city.is_in(['Rome', 'Oslo'])". Cost: linear in the text; recursion over kinds only (C1
 * of cond.h).
 */
#include "query/cond.h"

/* Counts all bytes, writes those that fit. */
typedef struct writer {
  char *buffer;
  size_t capacity;
  size_t size;
} writer;

static void put(writer *to, const char *text, size_t size) {
  if (to->size < to->capacity) {
    size_t room = to->capacity - to->size;
    memcpy(to->buffer + to->size, text, size < room ? size : room);
  }
  to->size += size;
}

static void put_text(writer *to, const char *text) {
  put(to, text, strlen(text));
}

static void put_value(writer *to, const ddb_value *value) {
  char text[256];
  size_t size = ddb_value_format(value, text, sizeof text);
  if (size < sizeof text || to->size >= to->capacity) {
    put(to, text, size < sizeof text ? size : 0);
    to->size += size < sizeof text ? 0 : size;
    return;
  }
  /* When it does not fit, what it wrote is cut, with its NUL inside: writer_end sees to that. */
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

/* Names that are no identifiers: ['first name']. */
static void put_field(writer *to, ddb_str name) {
  if (is_identifier(name)) {
    put(to, name.data, name.size);
    return;
  }
  ddb_value text = ddb_text(name);
  put_text(to, "[");
  put_value(to, &text);
  put_text(to, "]");
}

static void put_values(writer *to, const ddb_cond *cond) {
  for (uint32_t i = 0; i < cond->count; i++) {
    put_text(to, i > 0 ? ", " : "");
    put_value(to, &cond->leaf.values[i]);
  }
}

static void put_comparison(writer *to, const ddb_cond *cond) {
  static const char *const before[] = {
      [DDB_OP_EQ] = " == ",
      [DDB_OP_NE] = " != ",
      [DDB_OP_LT] = " < ",
      [DDB_OP_LE] = " <= ",
      [DDB_OP_GT] = " > ",
      [DDB_OP_GE] = " >= ",
      [DDB_OP_STARTSWITH] = ".startswith(",
      [DDB_OP_ENDSWITH] = ".endswith(",
      [DDB_OP_CONTAINS] = ".contains(",
  };
  put_text(to, before[cond->op]);
  put_values(to, cond);
  put_text(to, cond->op >= DDB_OP_STARTSWITH ? ")" : "");
}

static void put_leaf(writer *to, const ddb_cond *cond) {
  put_field(to, cond->leaf.field);
  switch (cond->kind) {
  case DDB__COND_COMPARE:
    put_comparison(to, cond);
    break;
  case DDB__COND_IN:
    put_text(to, ".is_in([");
    put_values(to, cond);
    put_text(to, "])");
    break;
  case DDB__COND_BETWEEN:
    put_text(to, ".between(");
    put_values(to, cond);
    put_text(to, ")");
    break;
  default:
    put_text(to, ".is_null()");
    break;
  }
}

static void put_cond(writer *to, const ddb_cond *cond);

static void put_list(writer *to, const ddb_cond *cond) {
  ddb__cond_walk walk;
  ddb__cond_walk_init(&walk, cond);
  const char *separator = "";
  const ddb_cond *operand;
  put_text(to, "(");
  /* Without memory for the walk the text ends early; the function has no way to say so. */
  while (ddb__cond_walk_next(&walk, &operand, NULL) == DDB_OK && operand) {
    put_text(to, separator);
    put_cond(to, operand);
    separator = cond->kind == DDB__COND_AND ? " & " : " | ";
  }
  put_text(to, ")");
  ddb__cond_walk_fini(&walk);
}

static void put_cond(writer *to, const ddb_cond *cond) {
  if (!ddb__cond_is_inner(cond)) {
    put_leaf(to, cond);
  } else if (cond->kind == DDB__COND_NOT) {
    bool bare = !ddb__cond_is_inner(cond->operands[0]);
    put_text(to, bare ? "~(" : "~");
    put_cond(to, cond->operands[0]);
    put_text(to, bare ? ")" : "");
  } else if (cond->count == 0) {
    put_text(to, cond->kind == DDB__COND_AND ? "True" : "False");
  } else {
    put_list(to, cond);
  }
}

/* Ends the text with a NUL, after "..." at a boundary of UTF-8 when it was cut. */
static void writer_end(writer *to) {
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

size_t ddb_cond_format(const ddb_cond *cond, char *buffer, size_t capacity) {
  writer to = {buffer, buffer ? capacity : 0, 0};
  put_cond(&to, cond);
  writer_end(&to);
  return to.size;
}
