/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - like, and comparisons without regard to case.
 *
 *   pattern:  | head | source | escape | prefix | tokens[count] | failures[count] |
 *
 * A like tries to match what follows the last % at each place in turn; an earlier % need not be tried
 * again. So it takes at most (characters of the text) x (of the pattern) steps. Texts are searched
 * without regard to case by Knuth, Morris and Pratt: each character is folded once.
 */
#include "query/pattern.h"

#include <utf8proc.h>

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "store/text.h"
#include "store/value.h"

/* ---- Reading ------------------------------------------------------------------------------ */

enum { FOLD_MAX = 4 };

/* A text's code points, folded or as they are. */
typedef struct reader {
  const unsigned char *at;
  const unsigned char *end;
  bool folded;
  uint8_t next; /* of those that the last character was folded to */
  uint8_t count;
  int32_t points[FOLD_MAX];
} reader;

static reader reader_of(ddb_str text, bool folded) {
  const unsigned char *at = (const unsigned char *)text.data;
  return (reader){.at = at, .end = at + text.size, .folded = folded};
}

static bool at_end(const reader *r) {
  return r->next == r->count && r->at == r->end;
}

/* The text is valid (store/text.h). */
static uint32_t next_character(reader *r) {
  unsigned char lead = *r->at++;
  if (lead < 0x80) {
    return lead;
  }
  int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  uint32_t point = lead & (0x3fu >> more);
  for (; more > 0; more--) {
    point = point << 6 | (*r->at++ & 0x3fu);
  }
  return point;
}

/* Not at the end. */
static uint32_t next_point(reader *r) {
  if (r->next < r->count) {
    return (uint32_t)r->points[r->next++];
  }
  uint32_t point = next_character(r);
  if (!r->folded || point < 0x80 || DDB__FAULT(FOLD_ASCII_ONLY)) {
    return r->folded && point >= 'A' && point <= 'Z' ? point + ('a' - 'A') : point;
  }
  int boundary = 0;
  utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)point, r->points, FOLD_MAX,
                                                   UTF8PROC_CASEFOLD, &boundary);
  if (count < 1 || count > FOLD_MAX) {
    return point;
  }
  r->next = 1;
  r->count = (uint8_t)count;
  return (uint32_t)r->points[0];
}

/* ---- Making ------------------------------------------------------------------------------- */

static ddb__pattern *pattern_new(ddb_str source, ddb_str escape, size_t token_max, bool searches,
                                 uint32_t **tokens, ddb_error *err) {
  size_t head = ddb__align8(sizeof(ddb__pattern));
  size_t texts = ddb__align8(2 * source.size + escape.size);
  size_t bytes = head + texts + token_max * sizeof(uint32_t) * (searches ? 2 : 1);
  char *memory = ddb__alloc(&ddb__heap_process, bytes);
  if (!memory) {
    ddb__fail_memory(err, bytes);
    return NULL;
  }
  ddb__pattern *pattern = (ddb__pattern *)(void *)memory;
  *pattern = (ddb__pattern){.bytes = bytes};
  if (source.size > 0) {
    memcpy(memory + head, source.data, source.size);
  }
  if (escape.size > 0) {
    memcpy(memory + head + source.size, escape.data, escape.size);
  }
  pattern->source = (ddb_str){memory + head, source.size};
  pattern->escape = (ddb_str){memory + head + source.size, escape.size};
  pattern->prefix = (ddb_str){memory + head + source.size + escape.size, 0};
  *tokens = (uint32_t *)(void *)(memory + head + texts);
  pattern->tokens = *tokens;
  return pattern;
}

void ddb__pattern_free(ddb__pattern *pattern) {
  if (pattern) {
    ddb__regex_free(pattern->regex);
    ddb__free(&ddb__heap_process, pattern, pattern->bytes);
  }
}

static ddb_status check_text(ddb_str text, const char *what, ddb_error *err) {
  if ((text.size > 0 && !text.data) || text.size > DDB_RECORD_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_INVALID, "%s needs a text", what);
  }
  return ddb__text_valid(text) ? DDB_OK : ddb__fail(err, DDB_ERR_INVALID, "%s: not UTF-8", what);
}

/* The code point of an escape, 0 without one. */
static ddb_status read_escape(ddb_str escape, uint32_t *out, ddb_error *err) {
  *out = 0;
  ddb_status status = check_text(escape, "like: the escape character", err);
  if (status || escape.size == 0) {
    return status;
  }
  reader r = reader_of(escape, false);
  *out = next_character(&r);
  if (!at_end(&r) || *out == '%' || *out == '_' || *out == 0) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "like: the escape must be one character other than %% and _, not '%.*s'",
                     DDB__STR_ARG(escape));
  }
  return DDB_OK;
}

static ddb_status bad_like(ddb_str source, size_t position, size_t offset, const char *reason,
                           ddb_error *err) {
  ddb_status status = ddb__fail(err, DDB_ERR_INVALID, "like pattern '%.*s', position %zu: %s",
                                DDB__STR_ARG(source), position, reason);
  if (err) {
    err->offset = offset;
  }
  return status;
}

/* Appends a character, folded or as it is. */
static void add_character(ddb__pattern *pattern, uint32_t *tokens, const char *data, size_t size) {
  reader r = reader_of((ddb_str){data, size}, pattern->folded);
  while (!at_end(&r)) {
    tokens[pattern->count++] = next_point(&r);
  }
}

/* The tokens of a like; its literal start goes to its prefix too. */
static ddb_status tokenize(ddb__pattern *pattern, uint32_t *tokens, uint32_t escape,
                           ddb_error *err) {
  char *prefix = (char *)(uintptr_t)pattern->prefix.data;
  reader r = reader_of(pattern->source, false);
  bool literal = true; /* nothing but characters so far */
  size_t wildcards = 0;
  for (size_t position = 0; !at_end(&r); position++) {
    const char *start = (const char *)r.at;
    uint32_t point = next_character(&r);
    bool escaped = escape != 0 && point == escape && !DDB__FAULT(LIKE_NO_ESCAPE);
    if (escaped) {
      size_t offset = (size_t)(start - pattern->source.data);
      if (at_end(&r)) {
        return bad_like(pattern->source, position, offset, "the escape has nothing after it", err);
      }
      start = (const char *)r.at;
      point = next_character(&r);
      if (point != '%' && point != '_' && point != escape) {
        return bad_like(pattern->source, position, offset, "an escape is for %, _ and itself only",
                        err);
      }
      position++;
    }
    if (!escaped && (point == '%' || point == '_')) {
      literal = false;
      wildcards++;
      tokens[pattern->count++] = point == '%' ? DDB__PATTERN_ANY : DDB__PATTERN_ONE;
      continue;
    }
    size_t size = (size_t)((const char *)r.at - start);
    if (literal) {
      memcpy(prefix + pattern->prefix.size, start, size);
      pattern->prefix.size += size;
    }
    add_character(pattern, tokens, start, size);
  }
  pattern->is_exact = literal;
  pattern->is_prefix = wildcards == 1 && tokens[pattern->count - 1] == DDB__PATTERN_ANY;
  return DDB_OK;
}

ddb_status ddb__pattern_like(ddb_str pattern, ddb_str escape, bool folded, ddb__pattern **out,
                             ddb_error *err) {
  uint32_t escape_point = 0;
  ddb_status status = check_text(pattern, "like", err);
  if (!status) {
    status = read_escape(escape, &escape_point, err);
  }
  if (status) {
    return status;
  }
  uint32_t *tokens;
  ddb__pattern *made =
      pattern_new(pattern, escape, pattern.size * (folded ? FOLD_MAX : 1), false, &tokens, err);
  if (!made) {
    return DDB_ERR_NOMEM;
  }
  made->folded = folded;
  status = tokenize(made, tokens, escape_point, err);
  if (status) {
    ddb__pattern_free(made);
    return status;
  }
  *out = made;
  return DDB_OK;
}

/* failures[i]: of the first i + 1 tokens, the longest start that is their end too. */
static void find_failures(const uint32_t *tokens, uint32_t *failures, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    while (i > 0 && kept > 0 && tokens[i] != tokens[kept]) {
      kept = failures[kept - 1];
    }
    kept += i > 0 && tokens[i] == tokens[kept];
    failures[i] = (uint32_t)kept;
  }
}

ddb_status ddb__pattern_folded(ddb_str text, ddb__pattern **out, ddb_error *err) {
  ddb_status status = check_text(text, "a comparison without regard to case", err);
  if (status) {
    return status;
  }
  uint32_t *tokens;
  size_t token_max = text.size * FOLD_MAX;
  ddb__pattern *made = pattern_new(text, DDB_STR(""), token_max, true, &tokens, err);
  if (!made) {
    return DDB_ERR_NOMEM;
  }
  made->folded = true;
  add_character(made, tokens, made->source.data, made->source.size);
  find_failures(tokens, tokens + token_max, made->count);
  made->failures = tokens + token_max;
  *out = made;
  return DDB_OK;
}

ddb_status ddb__pattern_regex(ddb_str pattern, uint32_t flags, ddb__pattern **out, ddb_error *err) {
  ddb_status status = check_text(pattern, "matches", err);
  if (status) {
    return status;
  }
  if ((flags & ~(uint32_t)DDB_REGEX_ALL) != 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "matches: unknown flags 0x%x",
                     (unsigned)(flags & ~(uint32_t)DDB_REGEX_ALL));
  }
  uint32_t *tokens;
  ddb__pattern *made = pattern_new(pattern, DDB_STR(""), 0, false, &tokens, err);
  if (!made) {
    return DDB_ERR_NOMEM;
  }
  made->flags = flags;
  status = ddb__regex_new(made->source, flags, &made->regex, err);
  if (status) {
    ddb__pattern_free(made);
    return status;
  }
  *out = made;
  return DDB_OK;
}

/* ---- Matching ----------------------------------------------------------------------------- */

/* Does the next of the text fit the token? A _ takes a whole character. Not at the end. */
static bool fits(reader *r, uint32_t token) {
  if (token != DDB__PATTERN_ONE) {
    return next_point(r) == token;
  }
  if (r->next < r->count) {
    return false;
  }
  next_character(r);
  return true;
}

bool ddb__pattern_is_like(const ddb__pattern *pattern, ddb_str text) {
  reader r = reader_of(text, pattern->folded);
  reader retry = r;
  size_t next = 0;
  size_t after_any = 0; /* the token after the last %; 0: there was none */
  for (;;) {
    if (next < pattern->count && pattern->tokens[next] == DDB__PATTERN_ANY) {
      after_any = ++next;
      retry = r;
      if (next == pattern->count) {
        return true;
      }
      continue;
    }
    if (at_end(&r) || (next == pattern->count && DDB__FAULT(LIKE_NO_END))) {
      return next == pattern->count;
    }
    if (next < pattern->count && fits(&r, pattern->tokens[next])) {
      next++;
      continue;
    }
    if (after_any == 0) {
      return false;
    }
    r = retry;
    next_point(&r);
    retry = r;
    next = after_any;
  }
}

bool ddb__pattern_is_folded(const ddb__pattern *pattern, ddb_op op, ddb_str text) {
  reader r = reader_of(text, true);
  size_t found = 0; /* tokens that the text ends with so far */
  bool whole = op == DDB_OP_EQ || op == DDB_OP_STARTSWITH;
  while (!at_end(&r)) {
    if (found == pattern->count && op != DDB_OP_ENDSWITH) {
      return op != DDB_OP_EQ;
    }
    uint32_t point = next_point(&r);
    if (whole && point != pattern->tokens[found]) {
      return false;
    }
    while (found > 0 && (found == pattern->count || pattern->tokens[found] != point)) {
      found = pattern->failures[found - 1];
    }
    found += pattern->count > 0 && pattern->tokens[found] == point;
  }
  return found == pattern->count;
}
