/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.c - compiling and searching with PCRE2.
 *
 * Texts may hold lone surrogates, which are not UTF-8: nothing matches them, and they end what
 * matches. A regex is compiled twice, for texts with some and, without a check, for those without.
 * PCRE2 counts steps anew for each position that a match could start at. So a short text is given
 * a count for each, of which the sum is bounded; a long one is searched a stretch of positions at a
 * time, until they have taken too long.
 * Memory comes from the process heap; blocks carry their size, which PCRE2 does not give back.
 * Cost: a search takes a spare working space by an atomic exchange.
 */
#include "query/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>
#include <time.h>

#include "base/heap.h"
#include "base/status.h"
#include "store/text.h"

#define SPARE_COUNT     4
#define SHORT_SIZE      1000u
#define STEPS_TEXT_MAX  50000000u /* of all positions of a short text, or of a stretch */
#define STEPS_MAX       10000000u /* of one position */
#define STEPS_LONG      1000000u  /* of one of a long text, and 8 for each byte */
#define STRETCH_LENIENT 64        /* times as long where each stretch costs a check of the text */
#define SEARCH_NS_MAX   INT64_C(2000000000)
#define HEAP_MAX_KIB    65536u

typedef struct workspace {
  pcre2_match_data *data;
  pcre2_match_context *context;
} workspace;

struct ddb__regex {
  pcre2_general_context *memory;
  pcre2_code *code;    /* for valid UTF-8 */
  pcre2_code *lenient; /* for texts with lone surrogates */
  _Atomic(workspace *) spare[SPARE_COUNT];
};

/* ---- Memory ------------------------------------------------------------------------------- */

#define BLOCK_HEAD 16 /* keeps the alignment */

static void *block_new(size_t size, void *context) {
  (void)context;
  char *block = ddb__alloc(&ddb__heap_process, size + BLOCK_HEAD);
  if (!block) {
    return NULL;
  }
  memcpy(block, &size, sizeof size);
  return block + BLOCK_HEAD;
}

static void block_free(void *memory, void *context) {
  (void)context;
  if (memory) {
    char *block = (char *)memory - BLOCK_HEAD;
    size_t size;
    memcpy(&size, block, sizeof size);
    ddb__free(&ddb__heap_process, block, size + BLOCK_HEAD);
  }
}

static void workspace_free(workspace *space) {
  if (space) {
    pcre2_match_data_free(space->data);
    pcre2_match_context_free(space->context);
    ddb__free(&ddb__heap_process, space, sizeof *space);
  }
}

static workspace *workspace_new(const ddb__regex *regex) {
  workspace *space = ddb__alloc(&ddb__heap_process, sizeof *space);
  if (!space) {
    return NULL;
  }
  /* One pair of offsets: where it matches is not asked. */
  space->data = pcre2_match_data_create(1, regex->memory);
  space->context = pcre2_match_context_create(regex->memory);
  if (!space->data || !space->context) {
    workspace_free(space);
    return NULL;
  }
  pcre2_set_heap_limit(space->context, HEAP_MAX_KIB);
  return space;
}

static workspace *workspace_take(ddb__regex *regex) {
  for (size_t i = 0; i < SPARE_COUNT; i++) {
    if (atomic_load_explicit(&regex->spare[i], memory_order_relaxed)) {
      workspace *space = atomic_exchange(&regex->spare[i], NULL);
      if (space) {
        return space;
      }
    }
  }
  return workspace_new(regex);
}

static void workspace_give(ddb__regex *regex, workspace *space) {
  for (size_t i = 0; i < SPARE_COUNT; i++) {
    workspace *none = NULL;
    if (atomic_compare_exchange_strong(&regex->spare[i], &none, space)) {
      return;
    }
  }
  workspace_free(space);
}

/* ---- Compiling ---------------------------------------------------------------------------- */

static uint32_t options_of(uint32_t flags) {
  uint32_t options = PCRE2_UTF | PCRE2_USE_OFFSET_LIMIT | PCRE2_NEVER_BACKSLASH_C;
  options |= flags & DDB_REGEX_ASCII ? 0 : PCRE2_UCP;
  options |= flags & DDB_REGEX_IGNORE_CASE ? PCRE2_CASELESS : 0;
  options |= flags & DDB_REGEX_MULTILINE ? PCRE2_MULTILINE : 0;
  options |= flags & DDB_REGEX_DOT_ALL ? PCRE2_DOTALL : 0;
  options |= flags & DDB_REGEX_VERBOSE ? PCRE2_EXTENDED : 0;
  return options;
}

static ddb_status bad_regex(ddb_str pattern, int code, size_t offset, ddb_error *err) {
  if (code == PCRE2_ERROR_HEAP_FAILED) {
    return ddb__fail_memory(err, pattern.size);
  }
  PCRE2_UCHAR reason[160];
  if (pcre2_get_error_message(code, reason, sizeof reason) < 0) {
    memcpy(reason, "not a pattern", sizeof "not a pattern");
  }
  offset = offset < pattern.size ? offset : pattern.size;
  size_t position = 0; /* in characters */
  for (size_t i = 0; i < offset; i++) {
    position += ((unsigned char)pattern.data[i] & 0xc0) != 0x80;
  }
  ddb_status status = ddb__fail(err, DDB_ERR_INVALID, "regex '%.*s', position %zu: %s",
                                DDB__STR_ARG(pattern), position, (const char *)reason);
  if (err) {
    err->offset = offset;
  }
  return status;
}

ddb_status ddb__regex_new(ddb_str pattern, uint32_t flags, ddb__regex **out, ddb_error *err) {
  ddb__regex *regex = ddb__alloc_zero(&ddb__heap_process, sizeof *regex);
  if (!regex) {
    return ddb__fail_memory(err, sizeof *regex);
  }
  regex->memory = pcre2_general_context_create(block_new, block_free, NULL);
  pcre2_compile_context *context =
      regex->memory ? pcre2_compile_context_create(regex->memory) : NULL;
  if (!context) {
    ddb__regex_free(regex);
    return ddb__fail_memory(err, pattern.size);
  }
  int code = 0;
  PCRE2_SIZE offset = 0;
  uint32_t options = options_of(flags);
  PCRE2_SPTR text = (PCRE2_SPTR)pattern.data;
  regex->code = pcre2_compile(text, pattern.size, options, &code, &offset, context);
  if (regex->code) {
    options |= PCRE2_MATCH_INVALID_UTF | PCRE2_NO_UTF_CHECK;
    regex->lenient = pcre2_compile(text, pattern.size, options, &code, &offset, context);
  }
  pcre2_compile_context_free(context);
  if (!regex->lenient) {
    ddb__regex_free(regex);
    return bad_regex(pattern, code, offset, err);
  }
  *out = regex;
  return DDB_OK;
}

void ddb__regex_free(ddb__regex *regex) {
  if (!regex) {
    return;
  }
  for (size_t i = 0; i < SPARE_COUNT; i++) {
    workspace_free(atomic_load(&regex->spare[i]));
  }
  pcre2_code_free(regex->code);
  pcre2_code_free(regex->lenient);
  pcre2_general_context_free(regex->memory);
  ddb__free(&ddb__heap_process, regex, sizeof *regex);
}

/* ---- Searching ---------------------------------------------------------------------------- */

static bool has_surrogate(ddb_str text) {
  const char *at = text.data;
  const char *end = text.data + text.size;
  while (at < end && (at = memchr(at, 0xed, (size_t)(end - at))) != NULL) {
    if ((unsigned char)at[1] >= 0xa0) { /* the text is valid: two bytes follow */
      return true;
    }
    at += 3;
  }
  return false;
}

static int64_t thread_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A search of one stretch of positions after another; the code of pcre2_match. */
static int search_long(const pcre2_code *code, ddb_str text, bool lenient, workspace *space) {
  uint32_t options = lenient ? 0 : PCRE2_NO_UTF_CHECK;
  uint64_t steps = STEPS_LONG + 8 * (uint64_t)text.size;
  steps = steps < UINT32_MAX ? steps : UINT32_MAX;
  size_t stretch = (size_t)(STEPS_TEXT_MAX / steps) + 1;
  stretch *= lenient ? STRETCH_LENIENT : 1;
  pcre2_set_match_limit(space->context, (uint32_t)steps);
  int64_t start_ns = thread_ns();
  for (size_t from = 0;;) {
    size_t last = text.size - from > stretch ? from + stretch : text.size;
    while (last < text.size && ((unsigned char)text.data[last] & 0xc0) == 0x80) {
      last++;
    }
    pcre2_set_offset_limit(space->context, last);
    int result = pcre2_match(code, (PCRE2_SPTR)text.data, text.size, from, options, space->data,
                             space->context);
    if (result != PCRE2_ERROR_NOMATCH || last == text.size) {
      return result;
    }
    if (thread_ns() - start_ns > SEARCH_NS_MAX) {
      return PCRE2_ERROR_MATCHLIMIT;
    }
    from = last;
  }
}

static int search_short(const pcre2_code *code, ddb_str text, bool lenient, workspace *space) {
  uint32_t options = lenient ? 0 : PCRE2_NO_UTF_CHECK;
  uint32_t steps = STEPS_TEXT_MAX / ((uint32_t)text.size + 1);
  pcre2_set_match_limit(space->context, steps < STEPS_MAX ? steps : STEPS_MAX);
  pcre2_set_offset_limit(space->context, PCRE2_UNSET);
  const char *data = text.size > 0 ? text.data : "";
  return pcre2_match(code, (PCRE2_SPTR)data, text.size, 0, options, space->data, space->context);
}

ddb_status ddb__regex_search(ddb__regex *regex, ddb_str text, bool *found) {
  workspace *space = workspace_take(regex);
  if (!space) {
    return DDB_ERR_NOMEM;
  }
  bool lenient = has_surrogate(text);
  const pcre2_code *code = lenient ? regex->lenient : regex->code;
  int result = text.size <= SHORT_SIZE ? search_short(code, text, lenient, space)
                                       : search_long(code, text, lenient, space);
  workspace_give(regex, space);
  *found = result >= 0; /* 0: more groups than offsets */
  if (result >= 0 || result == PCRE2_ERROR_NOMATCH) {
    return DDB_OK;
  }
  return result == PCRE2_ERROR_NOMEMORY ? DDB_ERR_NOMEM : DDB_ERR_LIMIT;
}
