/* SPDX-License-Identifier: Apache-2.0 */
/* query_twin.c - see query_twin.h. */
#include "query_twin.h"

#include <math.h>

#include "store/table.h"
#include "support.h"

const char *const twin_names[TWIN_FIELDS + 1] = {"id", "a", "b", "c", "d", "e f", "never"};

/* ---- Values ------------------------------------------------------------------------------- */

static ddb_builder *pool_builder;
ddb_value twin_pool[TWIN_POOL_MAX];
size_t twin_pool_count;

static void pool_add(ddb_value value) {
  assert_ok(ddb_builder_append(pool_builder, &value, NULL));
}

static ddb_value decimal(const char *digits) {
  return (ddb_value){.kind = DDB_DECIMAL, .size = (uint32_t)strlen(digits), .as = {.data = digits}};
}

static ddb_value bytes(const char *data, size_t size) {
  return (ddb_value){.kind = DDB_BYTES, .size = (uint32_t)size, .as = {.data = data}};
}

static void pool_add_plain(void) {
  static const double reals[] = {0.0,
                                 -0.0,
                                 0.5,
                                 1.0,
                                 2.0,
                                 2.5,
                                 -3.0,
                                 1e300,
                                 9007199254740993.0,
                                 9223372036854775808.0,
                                 -9223372036854775808.0,
                                 INFINITY,
                                 -INFINITY,
                                 NAN};
  static const int64_t integers[] = {
      0, 1, 2, 3, 4, -3, 9007199254740992, 9007199254740993, INT64_MAX, INT64_MIN, INT64_MAX - 511};
  static const char *const texts[] = {"",
                                      "a",
                                      "ab",
                                      "abc",
                                      "abcdefgh",
                                      "abcdefghij",
                                      "abcdefghik",
                                      "abcdefghijklmnopqrst",
                                      "abcdefghijklmnopqrsu",
                                      "abcdefgi",
                                      "b",
                                      "\xc3\xa9",
                                      "1",
                                      "None"};
  pool_add(ddb_null());
  pool_add(ddb_bool(true));
  pool_add(ddb_bool(false));
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
    pool_add(ddb_float(reals[i]));
  }
  for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
    pool_add(ddb_int(integers[i]));
  }
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    pool_add(ddb_text(ddb_str_from(texts[i])));
  }
  pool_add(bytes("ab", 2));
  pool_add(bytes("\0b", 2));
  pool_add(decimal("1.0"));
  pool_add(decimal("0.5"));
  pool_add(decimal("NaN"));
  pool_add(decimal("1E+30"));
}

static void pool_add_sized(void) {
  static const uint8_t big[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  static const uint8_t negative[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  static const uint8_t uuid[16] __attribute__((aligned(8))) = {1, 2, 3};
  static const ddb_duration duration = {1, 5};
  static const ddb_temporal naive = {.micros = 5, .offset_micros = DDB_OFFSET_NONE};
  static const ddb_temporal later = {.micros = 9, .offset_micros = DDB_OFFSET_NONE};
  static const ddb_temporal aware = {.micros = 5, .offset_micros = 0, .zone_kind = DDB_ZONE_FIXED};
  pool_add((ddb_value){.kind = DDB_BIGINT, .size = sizeof big, .as = {.data = big}});
  pool_add((ddb_value){.kind = DDB_BIGINT, .size = sizeof negative, .as = {.data = negative}});
  pool_add((ddb_value){.kind = DDB_DATE, .as = {.integer = 5}});
  pool_add((ddb_value){.kind = DDB_DATE, .as = {.integer = 700000}});
  pool_add((ddb_value){.kind = DDB_UUID, .size = 16, .as = {.data = uuid}});
  pool_add((ddb_value){.kind = DDB_TIMEDELTA, .size = sizeof duration, .as = {.data = &duration}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof naive, .as = {.data = &naive}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof later, .as = {.data = &later}});
  pool_add((ddb_value){.kind = DDB_DATETIME, .size = sizeof aware, .as = {.data = &aware}});
  pool_add((ddb_value){.kind = DDB_TIME, .size = sizeof naive, .as = {.data = &naive}});
}

/* A container of up to three plain values (of one, nested once more). */
static void pool_add_container(uint64_t *random, ddb_kind kind, bool nested) {
  bool is_dict = kind == DDB_DICT;
  size_t count = (size_t)support_below(random, 3);
  assert_ok(ddb_builder_begin(pool_builder, kind, is_dict ? 2 * count : count, NULL));
  for (size_t i = 0; i < count; i++) {
    if (is_dict) {
      pool_add(ddb_int((int64_t)i));
    }
    if (nested && i == 0) {
      pool_add_container(random, DDB_TUPLE, false);
    } else {
      bool is_nan = !is_dict && support_below(random, 8) == 0;
      pool_add(is_nan ? ddb_float(NAN) : ddb_int((int64_t)(i + support_below(random, 2))));
    }
  }
  assert_ok(ddb_builder_end(pool_builder, NULL));
}

void twin_pool_free(void) {
  ddb_builder_free(pool_builder);
}

void twin_pool_make(uint64_t *random) {
  static const ddb_kind kinds[] = {DDB_LIST, DDB_TUPLE, DDB_DICT};
  assert_ok(ddb_builder_new(&pool_builder, NULL));
  pool_add_plain();
  pool_add_sized();
  for (size_t i = 0; i < 18; i++) {
    pool_add_container(random, kinds[i % 3], i > 10);
  }
  for (size_t i = 0; i < 6; i++) {
    assert_ok(ddb_builder_begin(pool_builder, i % 2 ? DDB_SET : DDB_FROZENSET, 1 + i / 4, NULL));
    pool_add(ddb_int((int64_t)(i / 2)));
    if (i / 4) {
      pool_add(ddb_text(ddb_str_from("x")));
    }
    assert_ok(ddb_builder_end(pool_builder, NULL));
  }
  twin_pool_count = ddb_builder_count(pool_builder);
  assert_true(twin_pool_count <= TWIN_POOL_MAX);
  for (size_t i = 0; i < twin_pool_count; i++) {
    twin_pool[i] = ddb_builder_value_at(pool_builder, i);
  }
}

ddb_value twin_one_kind(uint64_t seed, uint64_t *random) {
  static const double reals[] = {-INFINITY, -1.5, -0.0, 0.0, 1e-310, 2.25, 7e9, INFINITY, NAN};
  static const int64_t integers[] = {INT64_MIN,        -1,       0, 1, 9007199254740993,
                                     9007199254740992, INT64_MAX};
  if (seed % 3 == 0) {
    return ddb_float(reals[support_below(random, sizeof reals / sizeof reals[0])]);
  }
  ddb_value value = ddb_int(integers[support_below(random, sizeof integers / sizeof integers[0])]);
  if (seed % 3 == 1) {
    value = (ddb_value){.kind = DDB_DATE, .as = {.integer = (int64_t)support_below(random, 9) + 1}};
  }
  return value;
}

const ddb_value *twin_pick(uint64_t *random) {
  /* Half of them from the few that are equal to each other often. */
  return &twin_pool[support_below(random, support_below(random, 2) ? 24 : twin_pool_count)];
}

/* ---- Conditions, and what they mean ------------------------------------------------------- */

/* What a leaf is about. */
typedef enum subject {
  SUBJECT_NAME,  /* the field, by name */
  SUBJECT_FIELD, /* the field, as an expression */
  SUBJECT_LENGTH,
  SUBJECT_ITEM, /* item or key `key` of the field */
  SUBJECT_COUNT
} subject;

struct twin_cond {
  int kind; /* 0 compare, 1 in, 2 between, 3 null, 4 and, 5 or, 6 not */
  subject about;
  int64_t key;
  int field;
  int right; /* of a comparison with a field, else -1 */
  ddb_op op;
  ddb_value values[6];
  size_t count;
  twin_cond *operands[4];
};

static twin_cond cond_store[400];
static size_t cond_used;

/* Where literals come from. */
typedef struct source {
  uint64_t *random;
  const twin_row *rows;
  size_t row_count;
} source;

static ddb_value cond_literal(const source *from, int field) {
  if (from->row_count > 0 && support_below(from->random, 3)) {
    ddb_value value = from->rows[support_below(from->random, from->row_count)].values[field];
    return twin_read(value);
  }
  if (field == TWIN_KEY && support_below(from->random, 2)) {
    return ddb_float((double)support_below(from->random, 300));
  }
  return *twin_pick(from->random);
}

static ddb_value naive_item(const ddb_value *value, int64_t key);

static twin_cond *random_cond(const source *from, int depth) {
  twin_cond *cond = &cond_store[cond_used++];
  *cond = (twin_cond){.right = -1};
  if (depth > 0 && support_below(from->random, 2)) {
    cond->kind = 4 + (int)support_below(from->random, 3);
    cond->count = cond->kind == 6 ? 1 : support_below(from->random, 4);
    for (size_t i = 0; i < cond->count; i++) {
      cond->operands[i] = random_cond(from, depth - 1);
    }
    return cond;
  }
  cond->field = (int)support_below(from->random, 12);
  cond->field = cond->field > TWIN_NEVER ? cond->field % 3 : cond->field;
  cond->kind = (int)support_below(from->random, 4);
  if (cond->kind == 0) {
    cond->op = support_below(from->random, 2) ? DDB_OP_EQ : (ddb_op)support_below(from->random, 9);
  }
  cond->count = cond->kind == 1 ? support_below(from->random, 7) : cond->kind == 2 ? 2 : 1;
  for (size_t i = 0; i < cond->count; i++) {
    cond->values[i] = cond_literal(from, cond->field);
  }
  bool of_text = cond->values[0].kind == DDB_STR_KIND || cond->values[0].kind == DDB_BYTES;
  if (cond->kind == 0 && !of_text &&
      (cond->op == DDB_OP_STARTSWITH || cond->op == DDB_OP_ENDSWITH)) {
    cond->op = DDB_OP_CONTAINS; /* what begins a text must be one */
  }
  if (support_below(from->random, 2)) {
    cond->about = (subject)support_below(from->random, SUBJECT_COUNT);
    cond->key = (int64_t)support_below(from->random, 5) - 2;
    cond->right = cond->kind == 0 ? (int)support_below(from->random, TWIN_FIELDS + 2) - 1 : -1;
  }
  for (size_t i = 0; cond->about == SUBJECT_ITEM && i < cond->count; i++) {
    cond->values[i] =
        support_below(from->random, 3) ? naive_item(&cond->values[i], cond->key) : cond->values[i];
  }
  return cond;
}

const twin_cond *twin_cond_random(uint64_t *random, const twin_row *rows, size_t row_count,
                                  int depth) {
  cond_used = 0;
  return random_cond(&(source){random, rows, row_count}, depth);
}

static ddb_expr *expr_field(int field) {
  ddb_expr *expr = NULL;
  assert_ok(ddb_expr_field(ddb_str_from(twin_names[field]), &expr, NULL));
  return expr;
}

static ddb_expr *expr_real(const twin_cond *plain) {
  ddb_expr *field = expr_field(plain->field);
  ddb_expr *expr = NULL;
  ddb_value key = ddb_int(plain->key);
  switch (plain->about) {
  case SUBJECT_LENGTH:
    assert_ok(ddb_expr_len(field, &expr, NULL));
    break;
  case SUBJECT_ITEM:
    assert_ok(ddb_expr_item(field, &key, &expr, NULL));
    break;
  default:
    return field;
  }
  ddb_expr_release(field);
  return expr;
}

/* Of a leaf that is about an expression, or compares with one. */
static ddb_cond *expr_cond_real(const twin_cond *plain) {
  ddb_expr *of = expr_real(plain);
  ddb_expr *right = NULL;
  ddb_cond *cond = NULL;
  switch (plain->kind) {
  case 0:
    if (plain->right >= 0) {
      right = expr_field(plain->right);
    } else {
      assert_ok(ddb_expr_value(&plain->values[0], &right, NULL));
    }
    assert_ok(ddb_cond_compare_expr(of, plain->op, right, &cond, NULL));
    break;
  case 1:
    assert_ok(ddb_cond_in_expr(of, plain->values, plain->count, &cond, NULL));
    break;
  case 2:
    assert_ok(ddb_cond_between_expr(of, &plain->values[0], &plain->values[1], &cond, NULL));
    break;
  default:
    assert_ok(ddb_cond_is_null_expr(of, &cond, NULL));
    break;
  }
  ddb_expr_release(of);
  ddb_expr_release(right);
  return cond;
}

ddb_cond *twin_cond_real(const twin_cond *plain) {
  if (plain->kind < 4 && (plain->about != SUBJECT_NAME || plain->right >= 0)) {
    return expr_cond_real(plain);
  }
  ddb_cond *cond = NULL;
  ddb_str field = ddb_str_from(twin_names[plain->field]);
  ddb_cond *operands[4] = {NULL};
  for (size_t i = 0; plain->kind >= 4 && i < plain->count; i++) {
    operands[i] = twin_cond_real(plain->operands[i]);
  }
  switch (plain->kind) {
  case 0:
    assert_ok(ddb_cond_compare(field, plain->op, &plain->values[0], &cond, NULL));
    break;
  case 1:
    assert_ok(ddb_cond_in(field, plain->values, plain->count, &cond, NULL));
    break;
  case 2:
    assert_ok(ddb_cond_between(field, &plain->values[0], &plain->values[1], &cond, NULL));
    break;
  case 3:
    assert_ok(ddb_cond_is_null(field, &cond, NULL));
    break;
  case 4:
    assert_ok(ddb_cond_and(operands, plain->count, &cond, NULL));
    break;
  case 5:
    assert_ok(ddb_cond_or(operands, plain->count, &cond, NULL));
    break;
  default:
    assert_ok(ddb_cond_not(operands[0], &cond, NULL));
    break;
  }
  for (size_t i = 0; i < 4; i++) {
    ddb_cond_release(operands[i]);
  }
  return cond;
}

static bool naive_part(ddb_op op, const ddb_value *value, const ddb_value *part) {
  bool texts =
      value->kind == part->kind && (value->kind == DDB_STR_KIND || value->kind == DDB_BYTES);
  if (texts) {
    const char *data = value->as.data;
    for (size_t at = 0; at + part->size <= value->size; at++) {
      bool allowed = op == DDB_OP_CONTAINS || (op == DDB_OP_STARTSWITH && at == 0) ||
                     (op == DDB_OP_ENDSWITH && at + part->size == value->size);
      if (allowed && (part->size == 0 || memcmp(data + at, part->as.data, part->size) == 0)) {
        return true;
      }
    }
    return false;
  }
  size_t step = value->kind == DDB_DICT ? 2 : 1;
  for (size_t i = 0; op == DDB_OP_CONTAINS && i < ddb_value_item_count(value); i += step) {
    ddb_value item = ddb_value_item(value, i);
    if (ddb_value_equal(&item, part)) {
      return true;
    }
  }
  return false;
}

static bool naive_compare(ddb_op op, const ddb_value *value, const ddb_value *literal) {
  int order = 0;
  bool ordered = ddb_value_order(value, literal, &order);
  switch (op) {
  case DDB_OP_EQ:
    return ddb_value_equal(value, literal);
  case DDB_OP_NE:
    return !ddb_value_equal(value, literal);
  case DDB_OP_LT:
    return ordered && order < 0;
  case DDB_OP_LE:
    return ordered && order <= 0;
  case DDB_OP_GT:
    return ordered && order > 0;
  case DDB_OP_GE:
    return ordered && order >= 0;
  default:
    return naive_part(op, value, literal);
  }
}

static ddb_value naive_length(const ddb_value *value) {
  int64_t length = (int64_t)ddb_value_item_count(value);
  const char *data = value->as.data;
  switch (value->kind) {
  case DDB_LIST:
  case DDB_TUPLE:
  case DDB_SET:
  case DDB_FROZENSET:
    return ddb_int(length);
  case DDB_DICT:
    return ddb_int(length / 2);
  case DDB_BYTES:
    return ddb_int(value->size);
  case DDB_STR_KIND:
    for (uint32_t i = 0; i < value->size; i++) {
      length += (data[i] & 0x80) == 0 || (data[i] & 0x40) != 0;
    }
    return ddb_int(length);
  default:
    return ddb_null();
  }
}

static ddb_value naive_item(const ddb_value *value, int64_t key) {
  int64_t count = (int64_t)ddb_value_item_count(value);
  if (value->kind == DDB_LIST || value->kind == DDB_TUPLE) {
    key += key < 0 ? count : 0;
    return key >= 0 && key < count ? ddb_value_item(value, (size_t)key) : ddb_null();
  }
  ddb_value number = ddb_int(key);
  for (int64_t i = 0; value->kind == DDB_DICT && i < count; i += 2) {
    ddb_value found = ddb_value_item(value, (size_t)i);
    if (ddb_value_equal(&found, &number)) {
      return ddb_value_item(value, (size_t)i + 1);
    }
  }
  return ddb_null();
}

static ddb_value naive_value(const twin_cond *cond, const twin_row *row) {
  ddb_value value = twin_read(row->values[cond->field]);
  switch (cond->about) {
  case SUBJECT_LENGTH:
    return naive_length(&value);
  case SUBJECT_ITEM:
    return naive_item(&value, cond->key);
  default:
    return value;
  }
}

bool twin_cond_matches(const twin_cond *cond, const twin_row *row) {
  ddb_value value = naive_value(cond, row);
  bool any = false;
  bool all = true;
  for (size_t i = 0; i < cond->count && cond->kind >= 4; i++) {
    bool holds = twin_cond_matches(cond->operands[i], row);
    any = any || holds;
    all = all && holds;
  }
  switch (cond->kind) {
  case 0: {
    ddb_value right = cond->right >= 0 ? twin_read(row->values[cond->right]) : cond->values[0];
    return naive_compare(cond->op, &value, &right);
  }
  case 1:
    for (size_t i = 0; i < cond->count; i++) {
      any = any || ddb_value_equal(&value, &cond->values[i]);
    }
    return any;
  case 2:
    return naive_compare(DDB_OP_GE, &value, &cond->values[0]) &&
           naive_compare(DDB_OP_LE, &value, &cond->values[1]);
  case 3:
    return value.kind == DDB_NULL;
  case 4:
    return all;
  case 5:
    return any;
  default:
    return !any;
  }
}

/* Fields, and items of them as conditions are about (SUBJECT_ITEM). */
static void index_random(uint64_t *random, ddb_index_options *options, ddb_path *paths,
                         ddb_value *steps) {
  *options =
      (ddb_index_options){.paths = paths,
                          .field_count = 1 + support_below(random, 8) / 5,
                          .kind = support_below(random, 3) ? DDB_INDEX_SORTED : DDB_INDEX_HASH};
  options->field_count += options->field_count == 2 && support_below(random, 2);
  uint64_t field = support_below(random, TWIN_FIELDS);
  for (size_t i = 0; i < options->field_count; i++) {
    steps[i] = ddb_int((int64_t)support_below(random, 5) - 2);
    paths[i] = (ddb_path){ddb_str_from(twin_names[field]), &steps[i], support_below(random, 3) / 2};
    field = (field + 1 + support_below(random, 2)) % TWIN_FIELDS;
  }
}

static const char *indexes_check(ddb_table *table) {
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  const ddb__root *root = ddb__view_root(&view);
  const char *wrong = NULL;
  for (uint32_t i = 0; i < root->index_count && !wrong; i++) {
    wrong = ddb__index_check(root, &root->indexes[i]);
  }
  ddb_view_close(&view);
  return wrong;
}

const char *twin_index_toggle(uint64_t *random, ddb_table *table) {
  ddb_index_options options;
  ddb_path paths[3];
  ddb_value steps[3];
  index_random(random, &options, paths, steps);
  ddb_status status = ddb_table_index_add(table, &options, NULL);
  if (status == DDB_ERR_DUPLICATE_INDEX) {
    status =
        ddb_table_index_drop_paths(table, options.paths, options.field_count, &options.kind, NULL);
  }
  assert_ok(status);
  ddb_view view;
  assert_ok(ddb_view_open(table, &view, NULL));
  bool many = ddb_view_index_count(&view) > 6;
  ddb_view_close(&view);
  if (many) {
    assert_ok(
        ddb_table_index_drop_paths(table, options.paths, options.field_count, &options.kind, NULL));
  }
  return indexes_check(table);
}
