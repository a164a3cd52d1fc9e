/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond_pattern.c - making the conditions on texts and containers that are more than comparisons.
 *
 * The pattern of a like, of a comparison without regard to case or of a regex is prepared here, and
 * belongs to the condition. Ownership, locks, memory: as cond.c.
 */
#include "base/heap.h"
#include "base/status.h"
#include "query/cond.h"

ddb_status ddb_cond_exists(ddb_expr *of, ddb_cond **out, ddb_error *err) {
  return ddb__cond_leaf_new(DDB__COND_EXISTS, DDB_OP_EQ, of, NULL, NULL, 0, out, err);
}

ddb_status ddb_cond_has_any(ddb_expr *of, const ddb_value *values, size_t value_count,
                            ddb_cond **out, ddb_error *err) {
  return ddb__cond_leaf_new(DDB__COND_HAS_ANY, DDB_OP_EQ, of, NULL, values, value_count, out, err);
}

ddb_status ddb_cond_has_all(ddb_expr *of, const ddb_value *values, size_t value_count,
                            ddb_cond **out, ddb_error *err) {
  return ddb__cond_leaf_new(DDB__COND_HAS_ALL, DDB_OP_EQ, of, NULL, values, value_count, out, err);
}

/* A leaf with a pattern, which it takes even on an error; text: its value, {NULL, 0}: none. */
static ddb_status leaf_with_pattern(ddb__cond_kind kind, ddb_op op, ddb_expr *of, ddb_str text,
                                    ddb__pattern *pattern, ddb_cond **out, ddb_error *err) {
  ddb_value value = ddb_text(text);
  ddb_cond *cond = NULL;
  ddb_status status = ddb__cond_leaf_new(kind, op, of, NULL, &value, text.data ? 1 : 0, &cond, err);
  if (status) {
    ddb__pattern_free(pattern);
    return status;
  }
  cond->leaf.pattern = pattern;
  *out = cond;
  return DDB_OK;
}

static ddb_status check_arguments(const ddb_expr *of, ddb_cond **out, ddb_error *err) {
  return of && out
             ? DDB_OK
             : ddb__fail(err, DDB_ERR_INVALID, "a condition needs an expression and a result");
}

ddb_status ddb_cond_like(ddb_expr *of, ddb_str pattern, ddb_str escape, bool ignore_case,
                         ddb_cond **out, ddb_error *err) {
  ddb__pattern *made = NULL;
  ddb_status status = check_arguments(of, out, err);
  if (!status) {
    status = ddb__pattern_like(pattern, escape, ignore_case, &made, err);
  }
  return status ? status
                : leaf_with_pattern(DDB__COND_LIKE, DDB_OP_EQ, of, made->prefix, made, out, err);
}

ddb_status ddb_cond_compare_folded(ddb_expr *of, ddb_op op, ddb_str text, ddb_cond **out,
                                   ddb_error *err) {
  ddb__pattern *made = NULL;
  ddb_status status = check_arguments(of, out, err);
  if (!status && op != DDB_OP_EQ && (op < DDB_OP_STARTSWITH || op > DDB_OP_CONTAINS)) {
    status =
        ddb__fail(err, DDB_ERR_INVALID, "operator %d has no form without regard to case", (int)op);
  }
  if (!status) {
    status = ddb__pattern_folded(text, &made, err);
  }
  return status ? status
                : leaf_with_pattern(DDB__COND_FOLDED, op, of, made->source, made, out, err);
}

ddb_status ddb_cond_matches(ddb_expr *of, ddb_str pattern, uint32_t flags, ddb_cond **out,
                            ddb_error *err) {
  ddb__pattern *made = NULL;
  ddb_status status = check_arguments(of, out, err);
  if (!status) {
    status = ddb__pattern_regex(pattern, flags, &made, err);
  }
  return status ? status
                : leaf_with_pattern(DDB__COND_MATCHES, DDB_OP_EQ, of, (ddb_str){NULL, 0}, made, out,
                                    err);
}
