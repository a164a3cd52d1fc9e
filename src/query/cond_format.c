/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond_format.c - conditions as text, in the words of the Python package: "(age >= 18 & ~(name ==
 * 'Bob'))", "city.is_in(['Rome', 'Oslo'])". Cost: linear in the text; recursion over kinds only (C1
 * of cond.h).
 */
#include "query/cond.h"
#include "query/writer.h"

static void put_subject(ddb__writer *to, const ddb_cond *cond) {
  if (cond->leaf.expr) {
    bool by_operator = cond->kind == DDB__COND_COMPARE && cond->op <= DDB_OP_GE;
    ddb__expr_write(to, cond->leaf.expr, !by_operator);
  } else {
    ddb__writer_field(to, cond->leaf.field);
  }
}

static void put_values(ddb__writer *to, const ddb_cond *cond) {
  for (uint32_t i = 0; i < cond->count; i++) {
    ddb__writer_text(to, i > 0 ? ", " : "");
    ddb__writer_value(to, &cond->leaf.values[i]);
  }
}

static void put_comparison(ddb__writer *to, const ddb_cond *cond) {
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
  ddb__writer_text(to, before[cond->op]);
  if (cond->leaf.right) {
    ddb__expr_write(to, cond->leaf.right, false);
  } else {
    put_values(to, cond);
  }
  ddb__writer_text(to, cond->op >= DDB_OP_STARTSWITH ? ")" : "");
}

static void put_flags(ddb__writer *to, uint32_t flags) {
  static const char letters[] = "IMSXA";
  const char *before = ", flags=re.";
  for (int i = 0; letters[i] != 0; i++) {
    if (flags & (1u << i)) {
      ddb__writer_text(to, before);
      ddb__writer_put(to, &letters[i], 1);
      before = " | re.";
    }
  }
}

static void put_pattern(ddb__writer *to, const ddb_cond *cond) {
  static const char *const folded[] = {
      [DDB_OP_EQ] = ".iequals(",
      [DDB_OP_STARTSWITH] = ".istartswith(",
      [DDB_OP_ENDSWITH] = ".iendswith(",
      [DDB_OP_CONTAINS] = ".icontains(",
  };
  const ddb__pattern *pattern = cond->leaf.pattern;
  ddb_value source = ddb_text(pattern->source);
  ddb__writer_text(to, cond->kind == DDB__COND_FOLDED    ? folded[cond->op]
                       : cond->kind == DDB__COND_MATCHES ? ".matches("
                       : pattern->folded                 ? ".ilike("
                                                         : ".like(");
  ddb__writer_value(to, &source);
  if (pattern->escape.size > 0) {
    ddb_value escape = ddb_text(pattern->escape);
    ddb__writer_text(to, ", escape=");
    ddb__writer_value(to, &escape);
  }
  put_flags(to, pattern->flags);
  ddb__writer_text(to, ")");
}

static void put_leaf(ddb__writer *to, const ddb_cond *cond) {
  put_subject(to, cond);
  switch (cond->kind) {
  case DDB__COND_COMPARE:
    put_comparison(to, cond);
    break;
  case DDB__COND_IN:
    ddb__writer_text(to, ".is_in([");
    put_values(to, cond);
    ddb__writer_text(to, "])");
    break;
  case DDB__COND_BETWEEN:
    ddb__writer_text(to, ".between(");
    put_values(to, cond);
    ddb__writer_text(to, ")");
    break;
  case DDB__COND_EXISTS:
    ddb__writer_text(to, ".exists()");
    break;
  case DDB__COND_HAS_ANY:
  case DDB__COND_HAS_ALL:
    ddb__writer_text(to, cond->kind == DDB__COND_HAS_ANY ? ".has_any([" : ".has_all([");
    put_values(to, cond);
    ddb__writer_text(to, "])");
    break;
  case DDB__COND_LIKE:
  case DDB__COND_FOLDED:
  case DDB__COND_MATCHES:
    put_pattern(to, cond);
    break;
  default:
    ddb__writer_text(to, ".is_null()");
    break;
  }
}

static void put_cond(ddb__writer *to, const ddb_cond *cond);

static void put_list(ddb__writer *to, const ddb_cond *cond) {
  ddb__cond_walk walk;
  ddb__cond_walk_init(&walk, cond);
  const char *separator = "";
  const ddb_cond *operand;
  ddb__writer_text(to, "(");
  /* Without memory for the walk the text ends early; the function has no way to say so. */
  while (ddb__cond_walk_next(&walk, &operand, NULL) == DDB_OK && operand) {
    ddb__writer_text(to, separator);
    put_cond(to, operand);
    separator = cond->kind == DDB__COND_AND ? " & " : " | ";
  }
  ddb__writer_text(to, ")");
  ddb__cond_walk_fini(&walk);
}

static void put_cond(ddb__writer *to, const ddb_cond *cond) {
  if (!ddb__cond_is_inner(cond)) {
    put_leaf(to, cond);
  } else if (cond->kind == DDB__COND_NOT) {
    bool bare = !ddb__cond_is_inner(cond->operands[0]);
    ddb__writer_text(to, bare ? "~(" : "~");
    put_cond(to, cond->operands[0]);
    ddb__writer_text(to, bare ? ")" : "");
  } else if (cond->count == 0) {
    ddb__writer_text(to, cond->kind == DDB__COND_AND ? "True" : "False");
  } else {
    put_list(to, cond);
  }
}

size_t ddb_cond_format(const ddb_cond *cond, char *buffer, size_t capacity) {
  ddb__writer to = ddb__writer_start(buffer, capacity);
  put_cond(&to, cond);
  ddb__writer_end(&to);
  return to.size;
}
