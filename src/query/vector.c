/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vector.c - see vector.h.
 *
 * Cost: for a leaf 64 words are written and a column is read once, 1 to 8 bytes a row; 1 KiB of stack
 * for each level of an and, or, not.
 */
#include "query/vector.h"

#include "query/kernel.h"

#define WORDS DDB__BLOCK_WORDS

static void fill(uint64_t *words, uint64_t with) {
  for (size_t i = 0; i < WORDS; i++) {
    words[i] = with;
  }
}

/* What is sure is all that may be. */
static void set_exact(ddb__verdict *out) {
  memcpy(out->maybe, out->sure, sizeof out->maybe);
}

static void set_all(ddb__verdict *out, bool value) {
  fill(out->sure, value ? UINT64_MAX : 0);
  fill(out->maybe, value ? UINT64_MAX : 0);
}

static void set_unknown(ddb__verdict *out) {
  fill(out->sure, 0);
  fill(out->maybe, UINT64_MAX);
}

/* ---- Lanes -------------------------------------------------------------------------------- */

static void range_of(const ddb__column *column, uint64_t low, uint64_t high, uint64_t *out) {
  const ddb__kernels *kernels = ddb__kernels_get();
  switch (column->lane) {
  case 1:
    kernels->range_8(column->lanes, WORDS, low, high, out);
    break;
  case 2:
    kernels->range_16(column->lanes, WORDS, low, high, out);
    break;
  case 4:
    kernels->range_32(column->lanes, WORDS, low, high, out);
    break;
  default:
    kernels->range_64(column->lanes, WORDS, low, high, out);
  }
}

/* The rows whose int is in the range: its nulls have lanes too, whose bits mean nothing. */
static void ints_between(const ddb__column *column, int64_t low, int64_t high, uint64_t *out) {
  if (low > high || low > column->int_high || high < column->int_low) {
    fill(out, 0);
  } else if (low <= column->int_low && high >= column->int_high) {
    fill(out, UINT64_MAX);
  } else {
    int64_t first = low > column->int_low ? low : column->int_low;
    int64_t last = high < column->int_high ? high : column->int_high;
    range_of(column, (uint64_t)first - (uint64_t)column->base,
             (uint64_t)last - (uint64_t)column->base, out);
  }
}

static void reals_between(const ddb__column *column, double low, double high, uint64_t *out) {
  bool some = low <= column->real_high && high >= column->real_low; /* false for NaN bounds */
  if (!some) {
    fill(out, 0);
  } else if (!column->has_nan && low <= column->real_low && high >= column->real_high) {
    fill(out, UINT64_MAX);
  } else {
    ddb__kernels_get()->range_real(column->lanes, WORDS, low, high, out);
  }
}

/* `null_matches` for the null rows, in place of what their lanes say. */
static void settle_nulls(const ddb__column *column, bool null_matches, uint64_t *words) {
  for (size_t i = 0; column->has_nulls && i < WORDS; i++) {
    words[i] = null_matches ? words[i] | column->nulls[i] : words[i] & ~column->nulls[i];
  }
}

static void invert(uint64_t *words) {
  for (size_t i = 0; i < WORDS; i++) {
    words[i] = ~words[i];
  }
}

/* ---- Leaves ------------------------------------------------------------------------------- */

/* Each different value is asked once. */
static void eval_codes(const ddb__bound_node *node, const ddb__column *column, ddb__verdict *out) {
  uint64_t set[4] = {0};
  unsigned count = 0;
  unsigned last = 0;
  for (unsigned i = 0; i < column->value_count; i++) {
    if (ddb__bound_leaf_matches(node->cond, &column->values[i])) {
      set[i / 64] |= UINT64_C(1) << (i % 64);
      count++;
      last = i;
    }
  }
  if (count == 0 || count == column->value_count) {
    set_all(out, count != 0);
    return;
  }
  unsigned first = last + 1 - count; /* when they lie together */
  bool together = true;
  for (unsigned i = first; i < last; i++) {
    together = together && (set[i / 64] >> (i % 64) & 1) != 0;
  }
  if (together) {
    ddb__kernels_get()->range_8(column->lanes, WORDS, first, last, out->sure);
  } else {
    ddb__kernel_codes(column->lanes, WORDS, set, out->sure);
  }
  set_exact(out);
}

static void eval_number(const ddb__bound_node *node, const ddb__column *column, ddb__verdict *out) {
  uint64_t *words = out->sure;
  if (column->kind == DDB__COLUMN_INT) {
    int64_t high = (int64_t)((uint64_t)node->int_low + node->int_width);
    ints_between(column, node->int_low, high, words);
    if (node->int_flip) {
      invert(words);
    }
  } else if (column->kind == DDB__COLUMN_FLOAT) {
    reals_between(column, node->real_low, node->real_high, words);
    if (node->flip) {
      invert(words);
    }
  } else { /* strs are no numbers */
    fill(words, node->flip ? UINT64_MAX : 0);
  }
  settle_nulls(column, node->flip, words);
  set_exact(out);
}

static void hashes_equal(const ddb__column *column, const ddb_value *literal, uint64_t *out) {
  uint32_t hash = ddb__column_hash(literal);
  range_of(column, hash, hash, out);
  settle_nulls(column, false, out);
}

static void eval_text(const ddb__bound_node *node, const ddb__column *column, ddb__verdict *out) {
  if (column->kind != DDB__COLUMN_HASHES) { /* numbers are no strs */
    set_all(out, node->flip);
    return;
  }
  uint64_t words[WORDS];
  hashes_equal(column, &node->cond->leaf.values[0], words);
  if (node->flip) {
    fill(out->maybe, UINT64_MAX);
    invert(words);
    memcpy(out->sure, words, sizeof out->sure);
  } else {
    fill(out->sure, 0);
    memcpy(out->maybe, words, sizeof out->maybe);
  }
}

/* An in of ints, or of strs. */
static void eval_few(const ddb__bound_node *node, const ddb__column *column, ddb__verdict *out) {
  const ddb_value *literals = node->cond->leaf.values;
  bool ints = literals[0].kind == DDB_INT;
  uint64_t *found = out->sure;
  uint64_t words[WORDS];
  if (column->kind == DDB__COLUMN_FLOAT && ints) { /* 1.0 is in [1] */
    set_unknown(out);
    return;
  }
  bool of_kind = column->kind == (ints ? DDB__COLUMN_INT : DDB__COLUMN_HASHES);
  fill(found, 0);
  for (uint32_t i = 0; of_kind && i < node->cond->count; i++) {
    if (ints) {
      ints_between(column, literals[i].as.integer, literals[i].as.integer, words);
    } else {
      hashes_equal(column, &literals[i], words);
    }
    for (size_t j = 0; j < WORDS; j++) {
      found[j] |= words[j];
    }
  }
  settle_nulls(column, false, found);
  set_exact(out);
  if (!ints && of_kind) {
    fill(out->sure, 0);
  }
}

static void eval_leaf(const ddb__bound_node *node, const ddb__memo *memo, ddb__verdict *out) {
  const ddb__column *column = ddb__memo_column(memo, node->field_id);
  if (!column || column->kind == DDB__COLUMN_NONE) {
    set_unknown(out);
  } else if (column->kind == DDB__COLUMN_CODES) {
    eval_codes(node, column, out);
  } else if (node->kind == DDB__BOUND_NULL) {
    if (column->has_nulls) {
      memcpy(out->sure, column->nulls, sizeof out->sure);
      set_exact(out);
    } else {
      set_all(out, false);
    }
  } else if (node->kind == DDB__BOUND_NUMBER) {
    eval_number(node, column, out);
  } else if (node->kind == DDB__BOUND_TEXT) {
    eval_text(node, column, out);
  } else if (node->kind == DDB__BOUND_FEW) {
    eval_few(node, column, out);
  } else {
    set_unknown(out);
  }
}

/* ---- The tree ----------------------------------------------------------------------------- */

static void eval_node(const ddb__bound *bound, const ddb__bound_node *node, const ddb__memo *memo,
                      ddb__verdict *out);

/* Is there a bit? Without a branch for each word. */
static bool any(const uint64_t *words) {
  uint64_t all = 0;
  for (size_t i = 0; i < WORDS; i++) {
    all |= words[i];
  }
  return all != 0;
}

static void eval_and(const ddb__bound *bound, const ddb__bound_node *node, const ddb__memo *memo,
                     ddb__verdict *out) {
  ddb__verdict one;
  if (node->first == 0) {
    set_all(out, true);
    return;
  }
  eval_node(bound, &bound->nodes[node->first], memo, out);
  uint32_t next = bound->nodes[node->first].next;
  for (uint32_t i = next; i != 0 && any(out->maybe); i = bound->nodes[i].next) {
    eval_node(bound, &bound->nodes[i], memo, &one);
    for (size_t j = 0; j < WORDS; j++) {
      out->sure[j] &= one.sure[j];
      out->maybe[j] &= one.maybe[j];
    }
  }
}

static void eval_or(const ddb__bound *bound, const ddb__bound_node *node, const ddb__memo *memo,
                    ddb__verdict *out) {
  ddb__verdict one;
  if (node->first == 0) {
    set_all(out, false);
    return;
  }
  eval_node(bound, &bound->nodes[node->first], memo, out);
  for (uint32_t i = bound->nodes[node->first].next; i != 0; i = bound->nodes[i].next) {
    eval_node(bound, &bound->nodes[i], memo, &one);
    for (size_t j = 0; j < WORDS; j++) {
      out->sure[j] |= one.sure[j];
      out->maybe[j] |= one.maybe[j];
    }
  }
}

static void eval_not(const ddb__bound *bound, const ddb__bound_node *node, const ddb__memo *memo,
                     ddb__verdict *out) {
  ddb__verdict one;
  eval_node(bound, &bound->nodes[node->first], memo, &one);
  for (size_t j = 0; j < WORDS; j++) {
    out->sure[j] = ~one.maybe[j];
    out->maybe[j] = ~one.sure[j];
  }
}

/* Recurses over kinds only: C1 of cond.h. */
static void eval_node(const ddb__bound *bound, const ddb__bound_node *node, const ddb__memo *memo,
                      ddb__verdict *out) {
  switch ((ddb__bound_kind)node->kind) {
  case DDB__BOUND_CONST:
    set_all(out, node->flip);
    return;
  case DDB__BOUND_NULL:
  case DDB__BOUND_NUMBER:
  case DDB__BOUND_TEXT:
  case DDB__BOUND_PREFIX:
  case DDB__BOUND_FEW:
  case DDB__BOUND_LEAF:
    eval_leaf(node, memo, out);
    return;
  case DDB__BOUND_EXPR:
    set_unknown(out);
    return;
  case DDB__BOUND_AND:
    eval_and(bound, node, memo, out);
    return;
  case DDB__BOUND_OR:
    eval_or(bound, node, memo, out);
    return;
  case DDB__BOUND_NOT:
    eval_not(bound, node, memo, out);
    return;
  }
  set_unknown(out);
}

void ddb__vector_eval(const ddb__bound *bound, const ddb__memo *memo, ddb__verdict *out) {
  eval_node(bound, &bound->nodes[0], memo, out);
}

static bool has_column(const ddb__bound_node *node) {
  return node->kind >= DDB__BOUND_NULL && node->kind <= DDB__BOUND_LEAF;
}

size_t ddb__vector_fields(const ddb__bound *bound, uint32_t *fields, size_t capacity) {
  size_t count = 0;
  for (size_t i = 0; i < bound->count; i++) {
    const ddb__bound_node *node = &bound->nodes[i];
    bool wanted = has_column(node) && count < capacity;
    for (size_t j = 0; wanted && j < count; j++) {
      wanted = fields[j] != node->field_id;
    }
    if (wanted) {
      fields[count++] = node->field_id;
    }
  }
  return count;
}
