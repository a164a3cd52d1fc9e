/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond.c - making, sharing and releasing conditions. The structure and its bounds are in cond.h.
 *
 * Literals are copied into the node (literals.h). A leaf over an expression that is just a field is
 * made a leaf over the field, so that there is one form of it to bind, to plan and to print.
 * Ownership: a node holds a reference to each operand, a leaf to its expressions. Locks: none; the count of references is
 * atomic and all else is constant. Memory: the process heap.
 */
#include "query/cond.h"

#include "base/heap.h"
#include "base/status.h"
#include "query/literals.h"
#include "store/value.h"

/* ---- Leaves ------------------------------------------------------------------------------- */

/* The parts of a leaf's allocation, each 8-byte aligned. */
typedef struct leaf_layout {
  size_t values;
  size_t hashes;
  size_t slots;
  size_t slot_count; /* 0: not an in */
  size_t bytes;      /* of the literals and the field's name */
  size_t size;
} leaf_layout;

static leaf_layout leaf_measure(ddb_str field, const ddb__literals *in, bool hashed) {
  leaf_layout at = {.values = ddb__align8(sizeof(ddb_cond))};
  at.hashes = at.values + in->count * sizeof(ddb_value);
  at.slots = at.hashes;
  if (hashed) {
    at.slot_count = 4;
    while (at.slot_count < 2 * in->count) {
      at.slot_count *= 2;
    }
    at.slots += in->count * sizeof(uint64_t);
  }
  at.bytes = at.slots + at.slot_count * sizeof(uint32_t);
  at.size = at.bytes;
  size_t taken = 0;
  for (size_t i = 0; i < in->count; i++) {
    ddb_value value = ddb__literals_at(in, i, &taken);
    at.size += ddb__literal_bytes(&value);
  }
  at.size += ddb__align8(field.size);
  return at;
}

static void in_insert(ddb_cond *cond, uint64_t *hashes, uint32_t *slots, uint32_t index) {
  const ddb_value *value = &cond->leaf.values[index];
  hashes[index] = ddb_value_hash(value);
  if (ddb__value_is_nan(value)) {
    return;
  }
  uint32_t slot = (uint32_t)hashes[index] & cond->leaf.slot_mask;
  while (slots[slot] != 0) {
    if (ddb_value_equal(&cond->leaf.values[slots[slot] - 1], value)) {
      return;
    }
    slot = (slot + 1) & cond->leaf.slot_mask;
  }
  slots[slot] = index + 1;
}

bool ddb__cond_in_has(const ddb_cond *cond, const ddb_value *value) {
  const ddb__cond_leaf *leaf = &cond->leaf;
  uint64_t hash = ddb_value_hash(value);
  uint32_t slot = (uint32_t)hash & leaf->slot_mask;
  for (; leaf->slots[slot] != 0; slot = (slot + 1) & leaf->slot_mask) {
    uint32_t index = leaf->slots[slot] - 1;
    if (leaf->hashes[index] == hash && ddb_value_equal(&leaf->values[index], value)) {
      return true;
    }
  }
  return false;
}

static void leaf_fill(ddb_cond *cond, const leaf_layout *at, ddb_str field,
                      const ddb__literals *in) {
  char *base = (char *)cond;
  ddb_value *values = (ddb_value *)(void *)(base + at->values);
  char *bytes = base + at->bytes;
  size_t taken = 0;
  for (size_t i = 0; i < in->count; i++) {
    values[i] = ddb__literals_at(in, i, &taken);
    bytes = ddb__literal_copy(&values[i], bytes);
  }
  if (field.size > 0) {
    memcpy(bytes, field.data, field.size);
  }
  cond->leaf = (ddb__cond_leaf){.field = {bytes, field.size}, .values = values};
  if (at->slot_count > 0) {
    uint64_t *hashes = (uint64_t *)(void *)(base + at->hashes);
    uint32_t *slots = (uint32_t *)(void *)(base + at->slots);
    memset(slots, 0, at->slot_count * sizeof *slots);
    cond->leaf.hashes = hashes;
    cond->leaf.slots = slots;
    cond->leaf.slot_mask = (uint32_t)at->slot_count - 1;
    for (size_t i = 0; i < in->count; i++) {
      in_insert(cond, hashes, slots, (uint32_t)i);
    }
  }
}

static uint32_t weight_sum(uint64_t a, uint64_t b) {
  return a + b < DDB_COND_WEIGHT_MAX ? (uint32_t)(a + b) : DDB_COND_WEIGHT_MAX;
}

uint32_t ddb_cond_weight(const ddb_cond *cond) {
  return cond->weight;
}

static ddb_cond *cond_alloc(size_t bytes, ddb__cond_kind kind, size_t count, ddb_error *err) {
  ddb_cond *cond = ddb__alloc(&ddb__heap_process, bytes);
  if (!cond) {
    ddb__fail_memory(err, bytes);
    return NULL;
  }
  atomic_init(&cond->references, 1);
  cond->kind = (uint8_t)kind;
  cond->op = 0;
  cond->depth = 1;
  cond->size = 1;
  cond->weight = kind == DDB__COND_MATCHES ? DDB_COND_WEIGHT_MAX : (uint32_t)count + 1;
  cond->count = (uint32_t)count;
  cond->bytes = bytes;
  cond->next_dead = NULL;
  return cond;
}

static ddb_status leaf_new(ddb__cond_kind kind, ddb_op op, ddb_str field, const ddb_value *values,
                           size_t count, ddb_cond **out, ddb_error *err) {
  if (!out || (field.size > 0 && !field.data) || (count > 0 && !values)) {
    return ddb__fail(err, DDB_ERR_INVALID, "a condition needs a field, values and a result");
  }
  if (count > DDB__COND_SIZE_MAX * 64 || field.size > DDB_RECORD_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a condition on too many values: %zu", count);
  }
  ddb__literals in;
  ddb_status status = ddb__literals_init(&in, values, count, err);
  if (!status) {
    leaf_layout at = leaf_measure(field, &in, kind == DDB__COND_IN || kind == DDB__COND_HAS_ANY);
    ddb_cond *cond = cond_alloc(at.size, kind, count, err);
    if (cond) {
      cond->op = (uint8_t)op;
      leaf_fill(cond, &at, field, &in);
      *out = cond;
    } else {
      status = DDB_ERR_NOMEM;
    }
  }
  ddb__literals_fini(&in);
  return status;
}

/* What a str or bytes begins or ends with is one too. Values of expressions are not checked: whether
 * they fit is known for each record, where what does not fit does not match. */
static ddb_status check_part(ddb_op op, ddb_str field, const ddb_value *value, ddb_error *err) {
  bool is_part = op == DDB_OP_STARTSWITH || op == DDB_OP_ENDSWITH;
  if (!is_part || value->kind == DDB_STR_KIND || value->kind == DDB_BYTES) {
    return DDB_OK;
  }
  (void)ddb__fail(err, DDB_ERR_TYPE, "what '%.*s' %s is a str or bytes, not %s",
                  DDB__STR_ARG(field), op == DDB_OP_STARTSWITH ? "starts with" : "ends with",
                  ddb_kind_name((ddb_kind)value->kind));
  if (err) {
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return DDB_ERR_TYPE;
}

ddb_status ddb_cond_compare(ddb_str field, ddb_op op, const ddb_value *value, ddb_cond **out,
                            ddb_error *err) {
  if (!value || (unsigned)op > DDB_OP_CONTAINS) {
    return ddb__fail(err, DDB_ERR_INVALID, "a comparison needs a value and an operator, not %d",
                     (int)op);
  }
  ddb_status status = check_part(op, field, value, err);
  return status ? status : leaf_new(DDB__COND_COMPARE, op, field, value, 1, out, err);
}

ddb_status ddb_cond_in(ddb_str field, const ddb_value *values, size_t value_count, ddb_cond **out,
                       ddb_error *err) {
  return leaf_new(DDB__COND_IN, DDB_OP_EQ, field, values, value_count, out, err);
}

ddb_status ddb_cond_between(ddb_str field, const ddb_value *low, const ddb_value *high,
                            ddb_cond **out, ddb_error *err) {
  if (!low || !high) {
    return ddb__fail(err, DDB_ERR_INVALID, "between needs two values");
  }
  ddb_value values[2] = {*low, *high};
  return leaf_new(DDB__COND_BETWEEN, DDB_OP_EQ, field, values, 2, out, err);
}

ddb_status ddb_cond_is_null(ddb_str field, ddb_cond **out, ddb_error *err) {
  return leaf_new(DDB__COND_NULL, DDB_OP_EQ, field, NULL, 0, out, err);
}

/* ---- Leaves over expressions -------------------------------------------------------------- */

ddb_status ddb__cond_leaf_new(ddb__cond_kind kind, ddb_op op, ddb_expr *left, ddb_expr *right,
                              const ddb_value *values, size_t count, ddb_cond **out,
                              ddb_error *err) {
  if (!left || !out) {
    return ddb__fail(err, DDB_ERR_INVALID, "a condition needs an expression and a result");
  }
  bool is_field = ddb__expr_is_field(left) && !right;
  if (is_field && kind != DDB__COND_EXISTS && kind != DDB__COND_MATCHES) {
    return leaf_new(kind, op, left->name, values, count, out, err);
  }
  ddb_cond *cond = NULL;
  ddb_status status = leaf_new(kind, op, DDB_STR(""), values, count, &cond, err);
  if (!status) {
    cond->leaf.expr = ddb_expr_acquire(left);
    cond->leaf.right = right ? ddb_expr_acquire(right) : NULL;
    cond->size += left->size + (right ? right->size : 0);
    cond->weight = weight_sum(cond->weight, left->size + (right ? right->size : 0));
    *out = cond;
  }
  return status;
}

/* a op b is b mirrored(op) a; of the operators up to GE. */
static ddb_op mirrored(ddb_op op) {
  static const ddb_op ops[] = {
      [DDB_OP_EQ] = DDB_OP_EQ, [DDB_OP_NE] = DDB_OP_NE, [DDB_OP_LT] = DDB_OP_GT,
      [DDB_OP_LE] = DDB_OP_GE, [DDB_OP_GT] = DDB_OP_LT, [DDB_OP_GE] = DDB_OP_LE,
  };
  return ops[op];
}

ddb_status ddb_cond_compare_expr(ddb_expr *left, ddb_op op, ddb_expr *right, ddb_cond **out,
                                 ddb_error *err) {
  if (!left || !right || (unsigned)op > DDB_OP_CONTAINS) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "a comparison needs two expressions and an operator, not %d", (int)op);
  }
  if (right->kind == DDB__EXPR_VALUE) {
    return ddb__cond_leaf_new(DDB__COND_COMPARE, op, left, NULL, &right->value, 1, out, err);
  }
  if (left->kind == DDB__EXPR_VALUE && op <= DDB_OP_GE) {
    return ddb__cond_leaf_new(DDB__COND_COMPARE, mirrored(op), right, NULL, &left->value, 1, out,
                              err);
  }
  return ddb__cond_leaf_new(DDB__COND_COMPARE, op, left, right, NULL, 0, out, err);
}

ddb_status ddb_cond_in_expr(ddb_expr *of, const ddb_value *values, size_t value_count,
                            ddb_cond **out, ddb_error *err) {
  return ddb__cond_leaf_new(DDB__COND_IN, DDB_OP_EQ, of, NULL, values, value_count, out, err);
}

ddb_status ddb_cond_between_expr(ddb_expr *of, const ddb_value *low, const ddb_value *high,
                                 ddb_cond **out, ddb_error *err) {
  if (!low || !high) {
    return ddb__fail(err, DDB_ERR_INVALID, "between needs two values");
  }
  ddb_value values[2] = {*low, *high};
  return ddb__cond_leaf_new(DDB__COND_BETWEEN, DDB_OP_EQ, of, NULL, values, 2, out, err);
}

ddb_status ddb_cond_is_null_expr(ddb_expr *of, ddb_cond **out, ddb_error *err) {
  return ddb__cond_leaf_new(DDB__COND_NULL, DDB_OP_EQ, of, NULL, NULL, 0, out, err);
}

/* ---- And, or, not ------------------------------------------------------------------------- */

/* Sets depth, size (C1, C2) and weight from the operands. */
static ddb_status inner_measure(ddb_cond *cond, ddb_error *err) {
  uint64_t size = 1;
  unsigned depth = 1;
  cond->weight = 1;
  for (uint32_t i = 0; i < cond->count; i++) {
    const ddb_cond *operand = cond->operands[i];
    unsigned level = operand->kind == cond->kind ? operand->depth : operand->depth + 1u;
    depth = level > depth ? level : depth;
    size += operand->size;
    cond->weight = weight_sum(cond->weight, operand->weight);
  }
  if (depth > DDB_DEPTH_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "conditions are nested more than %d levels deep",
                     DDB_DEPTH_MAX);
  }
  if (size > DDB__COND_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a condition of more than %u parts", DDB__COND_SIZE_MAX);
  }
  cond->depth = (uint16_t)depth;
  cond->size = (uint32_t)size;
  return DDB_OK;
}

static ddb_status inner_new(ddb__cond_kind kind, ddb_cond *const *operands, size_t count,
                            ddb_cond **out, ddb_error *err) {
  if (!out || (count > 0 && !operands)) {
    return ddb__fail(err, DDB_ERR_INVALID, "a condition needs its operands and a result");
  }
  for (size_t i = 0; i < count; i++) {
    if (!operands[i]) {
      return ddb__fail(err, DDB_ERR_INVALID, "operand %zu of a condition is NULL", i);
    }
  }
  if (count >= DDB__COND_SIZE_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "a condition of more than %u parts", DDB__COND_SIZE_MAX);
  }
  size_t bytes = sizeof(ddb_cond) + count * sizeof(ddb_cond *);
  ddb_cond *cond = cond_alloc(bytes, kind, count, err);
  if (!cond) {
    return DDB_ERR_NOMEM;
  }
  if (count > 0) {
    memcpy(cond->operands, operands, count * sizeof *operands);
  }
  ddb_status status = inner_measure(cond, err);
  if (status) {
    ddb__free(&ddb__heap_process, cond, bytes);
    return status;
  }
  for (size_t i = 0; i < count; i++) {
    ddb_cond_acquire(operands[i]);
  }
  *out = cond;
  return DDB_OK;
}

/* A single operand is its own and and its own or. */
static ddb_status list_new(ddb__cond_kind kind, ddb_cond *const *operands, size_t count,
                           ddb_cond **out, ddb_error *err) {
  if (count == 1 && out && operands && operands[0]) {
    *out = ddb_cond_acquire(operands[0]);
    return DDB_OK;
  }
  return inner_new(kind, operands, count, out, err);
}

ddb_status ddb_cond_and(ddb_cond *const *operands, size_t count, ddb_cond **out, ddb_error *err) {
  return list_new(DDB__COND_AND, operands, count, out, err);
}

ddb_status ddb_cond_or(ddb_cond *const *operands, size_t count, ddb_cond **out, ddb_error *err) {
  return list_new(DDB__COND_OR, operands, count, out, err);
}

ddb_status ddb_cond_not(ddb_cond *operand, ddb_cond **out, ddb_error *err) {
  if (out && operand && operand->kind == DDB__COND_NOT) {
    *out = ddb_cond_acquire(operand->operands[0]);
    return DDB_OK;
  }
  return inner_new(DDB__COND_NOT, &operand, 1, out, err);
}

/* ---- References --------------------------------------------------------------------------- */

ddb_cond *ddb_cond_acquire(ddb_cond *cond) {
  atomic_fetch_add_explicit(&cond->references, 1, memory_order_relaxed);
  return cond;
}

/* Puts the node on the list when that was its last reference. Whoever holds the only one is alone: the
 * load is enough then. */
static void release_one(ddb_cond *cond, ddb_cond **dead) {
  if (atomic_load_explicit(&cond->references, memory_order_acquire) == 1 ||
      atomic_fetch_sub_explicit(&cond->references, 1, memory_order_acq_rel) == 1) {
    cond->next_dead = *dead;
    *dead = cond;
  }
}

static void leaf_drop(const ddb__cond_leaf *leaf) {
  if (leaf->expr) {
    ddb_expr_release(leaf->expr);
    ddb_expr_release(leaf->right);
  }
  if (leaf->pattern) {
    ddb__pattern_free(leaf->pattern);
  }
}

void ddb_cond_release(ddb_cond *cond) {
  ddb_cond *dead = NULL;
  if (cond) {
    release_one(cond, &dead);
  }
  while (dead) {
    ddb_cond *next = dead;
    dead = next->next_dead;
    if (ddb__cond_is_inner(next)) {
      for (uint32_t i = 0; i < next->count; i++) {
        release_one(next->operands[i], &dead);
      }
    } else {
      leaf_drop(&next->leaf);
    }
    ddb__free(&ddb__heap_process, next, next->bytes);
  }
}

/* ---- Walking ------------------------------------------------------------------------------ */

void ddb__cond_walk_init(ddb__cond_walk *walk, const ddb_cond *cond) {
  walk->frames = walk->first_frames;
  walk->capacity = sizeof walk->first_frames / sizeof walk->first_frames[0];
  walk->frames[0] = (ddb__cond_frame){cond, 0};
  walk->count = 1;
}

void ddb__cond_walk_fini(ddb__cond_walk *walk) {
  if (walk->frames != walk->first_frames) {
    ddb__free(&ddb__heap_process, walk->frames, walk->capacity * sizeof *walk->frames);
  }
}

static ddb_status walk_push(ddb__cond_walk *walk, const ddb_cond *cond, ddb_error *err) {
  if (walk->count == walk->capacity) {
    size_t bytes = walk->capacity * sizeof *walk->frames;
    ddb__cond_frame *frames = ddb__alloc(&ddb__heap_process, 2 * bytes);
    if (!frames) {
      return ddb__fail_memory(err, 2 * bytes);
    }
    memcpy(frames, walk->frames, bytes);
    ddb__cond_walk_fini(walk);
    walk->frames = frames;
    walk->capacity *= 2;
  }
  walk->frames[walk->count++] = (ddb__cond_frame){cond, 0};
  return DDB_OK;
}

ddb_status ddb__cond_walk_next(ddb__cond_walk *walk, const ddb_cond **out, ddb_error *err) {
  while (walk->count > 0) {
    ddb__cond_frame *frame = &walk->frames[walk->count - 1];
    if (frame->next == frame->cond->count) {
      walk->count--;
      continue;
    }
    const ddb_cond *operand = frame->cond->operands[frame->next++];
    if (operand->kind != frame->cond->kind) {
      *out = operand;
      return DDB_OK;
    }
    ddb_status status = walk_push(walk, operand, err);
    if (status) {
      return status;
    }
  }
  *out = NULL;
  return DDB_OK;
}
