/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval.c - evaluating a bound condition on a run of records.
 *
 * Each leaf loops over the records of the mask that are still open; and narrows the mask from
 * operand to operand, or takes what matched off it. So a run's records are brought into the cache
 * once, and every loop has one test that the compiler sees whole.
 * Cost: about a nanosecond per record and simple leaf once the record is in the cache.
 */
#include "base/testing.h"
#include "query/bound.h"
#include "store/number.h"

/* ---- What a leaf means -------------------------------------------------------------------- */

static inline uint64_t load64(const char *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}
static inline uint32_t load32(const char *from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* As memcmp() == 0. The wide masked loads of a vectorised memcmp touch the line after a short text
 * too, which nobody has fetched: in a scan that was most of the time. */
static inline bool bytes_equal(const char *a, const char *b, size_t size) {
  if (size > 16) {
    return memcmp(a, b, size) == 0;
  }
  if (size >= 8) {
    return load64(a) == load64(b) && load64(a + size - 8) == load64(b + size - 8);
  }
  if (size >= 4) {
    return load32(a) == load32(b) && load32(a + size - 4) == load32(b + size - 4);
  }
  for (size_t i = 0; i < size; i++) {
    if (a[i] != b[i]) {
      return false;
    }
  }
  return true;
}

static bool bytes_at(const ddb_value *value, size_t at, const ddb_value *part) {
  return bytes_equal((const char *)value->as.data + at, part->as.data, part->size);
}

static bool affix_matches(ddb_op op, const ddb_value *value, const ddb_value *part) {
  if (value->kind != part->kind || (value->kind != DDB_STR_KIND && value->kind != DDB_BYTES) ||
      value->size < part->size) {
    return false;
  }
  if (op == DDB_OP_CONTAINS) {
    return part->size == 0 ||
           memmem(value->as.data, value->size, part->as.data, part->size) != NULL;
  }
  return bytes_at(value, op == DDB_OP_ENDSWITH ? value->size - part->size : 0, part);
}

static bool contains(const ddb_value *value, const ddb_value *part) {
  if (!ddb__kind_is_container(value->kind)) {
    return affix_matches(DDB_OP_CONTAINS, value, part);
  }
  size_t step = value->kind == DDB_DICT ? 2 : 1;
  size_t count = ddb_value_item_count(value);
  for (size_t i = 0; i < count; i += step) {
    ddb_value item = ddb_value_item(value, i);
    if (ddb_value_equal(&item, part)) {
      return true;
    }
  }
  return false;
}

static bool compares(ddb_op op, const ddb_value *value, const ddb_value *literal) {
  int order;
  switch (op) {
  case DDB_OP_EQ:
    return ddb_value_equal(value, literal);
  case DDB_OP_NE:
    return !ddb_value_equal(value, literal);
  case DDB_OP_LT:
    return ddb_value_order(value, literal, &order) && order < 0;
  case DDB_OP_LE:
    return ddb_value_order(value, literal, &order) && order <= 0;
  case DDB_OP_GT:
    return ddb_value_order(value, literal, &order) && order > 0;
  case DDB_OP_GE:
    return ddb_value_order(value, literal, &order) && order >= 0;
  case DDB_OP_CONTAINS:
    return contains(value, literal);
  case DDB_OP_STARTSWITH:
  case DDB_OP_ENDSWITH:
  default:
    return affix_matches(op, value, literal);
  }
}

static ddb_str text_in(const ddb_value *value) {
  return (ddb_str){value->as.data, value->size};
}

static bool has_any(const ddb_cond *leaf, const ddb_value *value) {
  size_t step = value->kind == DDB_DICT ? 2 : 1;
  size_t count = ddb_value_item_count(value);
  bool found = false;
  for (size_t i = 0; i < count && !found; i += step) {
    ddb_value item = ddb_value_item(value, i);
    found = ddb__cond_in_has(leaf, &item);
  }
  return found;
}

static bool has_all(const ddb_cond *leaf, const ddb_value *value) {
  bool all = ddb__kind_is_container(value->kind);
  uint32_t wanted = DDB__FAULT(HAS_ALL_IS_FIRST) && leaf->count > 1 ? 1 : leaf->count;
  for (uint32_t i = 0; i < wanted && all; i++) {
    all = contains(value, &leaf->leaf.values[i]);
  }
  return all;
}

bool ddb__bound_leaf_matches(const ddb_cond *leaf, const ddb_value *value) {
  ddb_value read = value->kind == DDB_MISSING ? ddb_null() : *value;
  const ddb_value *values = leaf->leaf.values;
  switch (leaf->kind) {
  case DDB__COND_COMPARE:
    return compares((ddb_op)leaf->op, &read, &values[0]);
  case DDB__COND_IN:
    return ddb__cond_in_has(leaf, &read);
  case DDB__COND_EXISTS:
    return value->kind != DDB_MISSING &&
           !(DDB__FAULT(EXISTS_IS_NOT_NULL) && value->kind == DDB_NULL);
  case DDB__COND_HAS_ANY:
    return has_any(leaf, &read);
  case DDB__COND_HAS_ALL:
    return has_all(leaf, &read);
  case DDB__COND_LIKE:
    return read.kind == DDB_STR_KIND && ddb__pattern_is_like(leaf->leaf.pattern, text_in(&read));
  case DDB__COND_FOLDED:
    return read.kind == DDB_STR_KIND &&
           ddb__pattern_is_folded(leaf->leaf.pattern, (ddb_op)leaf->op, text_in(&read));
  case DDB__COND_BETWEEN:
    return compares(DDB_OP_GE, &read, &values[0]) && compares(DDB_OP_LE, &read, &values[1]);
  default:
    return read.kind == DDB_NULL;
  }
}

/* ---- Tests of one record ------------------------------------------------------------------ */

/* Where the field lies in the records of one shape. */
typedef struct place {
  uint32_t tag_at; /* 0: nowhere */
  uint32_t payload_at;
} place;

static inline uint64_t payload_of(const ddb_record *record, place at) {
  uint64_t payload;
  memcpy(&payload, (const char *)record + at.payload_at, sizeof payload);
  return payload;
}

static inline ddb_value value_of(const ddb_record *record, uint8_t kind, place at) {
  ddb_value value = {.kind = kind};
  if (kind == DDB_MISSING) {
    return value;
  }
  uint64_t payload = payload_of(record, at);
  if (ddb__kind_is_inline(kind)) {
    value.as.integer = (int64_t)payload;
  } else {
    ddb__span span;
    memcpy(&span, &payload, sizeof span);
    value.size = span.size;
    value.as.data = (const char *)&record->block + span.offset;
  }
  return value;
}

static inline bool test_leaf(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                             place at) {
  ddb_value value = value_of(record, kind, at);
  return ddb__bound_leaf_matches(node->cond, &value);
}

static inline bool test_null(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                             place at) {
  (void)node;
  (void)record;
  (void)at;
  return kind <= DDB_NULL;
}

static __attribute__((noinline)) bool
test_other_number(const ddb__bound_node *node, const ddb_record *record, uint8_t kind, place at) {
  return ddb__kind_is_number(kind) ? test_leaf(node, record, kind, at) : node->flip;
}

static inline bool test_number(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                               place at) {
  if (kind == DDB_INT) {
    uint64_t above = payload_of(record, at) - (uint64_t)node->int_low;
    return (above <= node->int_width) != node->int_flip;
  }
  if (kind == DDB_FLOAT) {
    uint64_t payload = payload_of(record, at);
    double real;
    memcpy(&real, &payload, sizeof real);
    return (real >= node->real_low && real <= node->real_high) != node->flip;
  }
  return test_other_number(node, record, kind, at);
}

/* A str of the record, as a view of its bytes. */
static inline ddb_str text_of(const ddb_record *record, place at) {
  uint64_t payload = payload_of(record, at);
  ddb__span span;
  memcpy(&span, &payload, sizeof span);
  return (ddb_str){(const char *)&record->block + span.offset, span.size};
}

static inline bool test_text(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                             place at) {
  if (kind != DDB_STR_KIND) {
    return node->flip;
  }
  const ddb_value *literal = &node->cond->leaf.values[0];
  ddb_str text = text_of(record, at);
  bool equal = text.size == literal->size && bytes_equal(text.data, literal->as.data, text.size);
  return equal != node->flip;
}

static inline bool test_prefix(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                               place at) {
  if (kind != DDB_STR_KIND) {
    return false;
  }
  const ddb_value *literal = &node->cond->leaf.values[0];
  ddb_str text = text_of(record, at);
  return text.size >= literal->size && bytes_equal(text.data, literal->as.data, literal->size);
}

static inline bool test_few(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                            place at) {
  const ddb_value *literals = node->cond->leaf.values;
  bool found = false;
  if (kind != literals[0].kind) {
    /* 1.0 and True are in [1]; what is no str is in no list of them. */
    return ddb__kind_is_number(kind) && literals[0].kind == DDB_INT &&
           test_leaf(node, record, kind, at);
  }
  if (kind == DDB_INT) {
    int64_t integer = (int64_t)payload_of(record, at);
    for (uint32_t i = 0; i < node->cond->count; i++) {
      found |= literals[i].as.integer == integer;
    }
    return found;
  }
  ddb_str text = text_of(record, at);
  for (uint32_t i = 0; i < node->cond->count && !found; i++) {
    found = literals[i].size == text.size && bytes_equal(text.data, literals[i].as.data, text.size);
  }
  return found;
}

/* ---- Loops -------------------------------------------------------------------------------- */

static __attribute__((noinline)) void locate(ddb__bound_node *node, const ddb_shape *shape) {
  uint32_t index = ddb__shape_find(shape, node->field_id);
  node->shape = shape;
  node->tag_at = 0;
  node->payload_at = 0;
  if (index != DDB__NO_FIELD) {
    size_t block = offsetof(ddb_record, block);
    node->tag_at = (uint32_t)(block + offsetof(ddb__block, tags) + index);
    node->payload_at =
        (uint32_t)(block + sizeof(ddb__block) + ddb__align8(shape->count) + 8 * (size_t)index);
  }
}

typedef bool leaf_test(const ddb__bound_node *node, const ddb_record *record, uint8_t kind,
                       place at);

/* Inlined with a constant `test` each time. */
static inline __attribute__((always_inline)) uint64_t
leaf_loop(ddb__bound_node *node, const ddb_record *const *records, uint64_t mask, leaf_test *test) {
  uint64_t result = 0;
  const ddb_shape *shape = node->shape;
  place at = {node->tag_at, node->payload_at};
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    const ddb_record *record = records[i];
    if (__builtin_expect(record->shape != shape, 0)) {
      shape = record->shape;
      locate(node, shape);
      at = (place){node->tag_at, node->payload_at};
    }
    uint8_t kind = at.tag_at ? ((const uint8_t *)record)[at.tag_at] : (uint8_t)DDB_MISSING;
    result |= (uint64_t)test(node, record, kind, at) << i;
  }
  return result;
}

static bool search(ddb__bound *bound, const ddb_cond *leaf, const ddb_value *value) {
  bool found = false;
  if (value->kind == DDB_STR_KIND && bound->failure == DDB_OK) {
    bound->failure = ddb__regex_search(leaf->leaf.pattern->regex, text_in(value), &found);
  }
  return found;
}

static bool test_expr(ddb__bound *bound, const ddb__bound_node *node, const ddb_record *record) {
  ddb_value left = ddb__expr_eval(node->left, record);
  if (node->cond->kind == DDB__COND_MATCHES) {
    return search(bound, node->cond, &left);
  }
  if (!node->right) {
    return ddb__bound_leaf_matches(node->cond, &left);
  }
  ddb_value right = ddb__expr_eval(node->right, record);
  return compares((ddb_op)node->cond->op, &left, &right);
}

static uint64_t expr_loop(ddb__bound *bound, const ddb__bound_node *node,
                          const ddb_record *const *records, uint64_t mask) {
  uint64_t result = 0;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    result |= (uint64_t)test_expr(bound, node, records[i]) << i;
  }
  return result;
}

static uint64_t eval_node(ddb__bound *bound, ddb__bound_node *node,
                          const ddb_record *const *records, uint64_t mask);

static uint64_t eval_and(ddb__bound *bound, const ddb__bound_node *node,
                         const ddb_record *const *records, uint64_t mask) {
  for (uint32_t i = node->first; i != 0 && mask != 0; i = bound->nodes[i].next) {
    mask = eval_node(bound, &bound->nodes[i], records, mask);
  }
  return mask;
}

static uint64_t eval_or(ddb__bound *bound, const ddb__bound_node *node,
                        const ddb_record *const *records, uint64_t mask) {
  uint64_t open = mask;
  for (uint32_t i = node->first; i != 0 && open != 0; i = bound->nodes[i].next) {
    open &= ~eval_node(bound, &bound->nodes[i], records, open);
  }
  return mask & ~open;
}

/* Recurses over kinds only: C1 of cond.h. */
static uint64_t eval_node(ddb__bound *bound, ddb__bound_node *node,
                          const ddb_record *const *records, uint64_t mask) {
  switch ((ddb__bound_kind)node->kind) {
  case DDB__BOUND_CONST:
    return node->flip ? mask : 0;
  case DDB__BOUND_NULL:
    return leaf_loop(node, records, mask, test_null);
  case DDB__BOUND_NUMBER:
    return leaf_loop(node, records, mask, test_number);
  case DDB__BOUND_TEXT:
    return leaf_loop(node, records, mask, test_text);
  case DDB__BOUND_PREFIX:
    return leaf_loop(node, records, mask, test_prefix);
  case DDB__BOUND_FEW:
    return leaf_loop(node, records, mask, test_few);
  case DDB__BOUND_LEAF:
    return leaf_loop(node, records, mask, test_leaf);
  case DDB__BOUND_EXPR:
    return expr_loop(bound, node, records, mask);
  case DDB__BOUND_AND:
    return eval_and(bound, node, records, mask);
  case DDB__BOUND_OR:
    return eval_or(bound, node, records, mask);
  case DDB__BOUND_NOT:
    return mask & ~eval_node(bound, &bound->nodes[node->first], records, mask);
  }
  return 0;
}

uint64_t ddb__bound_eval(ddb__bound *bound, const ddb_record *const *records, uint64_t mask) {
  return eval_node(bound, &bound->nodes[0], records, mask);
}

size_t ddb__bound_reach(const ddb__bound *bound) {
  size_t reach = 0;
  for (size_t i = 0; i < bound->count; i++) {
    const ddb__bound_node *node = &bound->nodes[i];
    if (node->kind >= DDB__BOUND_TEXT && node->kind <= DDB__BOUND_EXPR) {
      return SIZE_MAX;
    }
    if (node->kind == DDB__BOUND_NUMBER || node->kind == DDB__BOUND_NULL) {
      size_t end =
          node->payload_at ? node->payload_at + sizeof(uint64_t) : offsetof(ddb_record, block);
      reach = end > reach ? end : reach;
    }
  }
  return reach;
}
