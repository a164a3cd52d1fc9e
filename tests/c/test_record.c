/* SPDX-License-Identifier: Apache-2.0 */
/* test_record.c - records: reading, merging against a naive model, copies that outlive all else. */
#include "store/record.h"

#include "random_values.h"
#include "store/builder.h"

static ddb__heap heap;

static ddb__shapes *shapes_make(void) {
  ddb__shapes *shapes;
  assert_ok(ddb__shapes_new(&heap, "table", DDB_STR("t"), NULL, &shapes, NULL));
  return shapes;
}

static ddb_builder *builder_make(void) {
  ddb_builder *builder;
  assert_ok(ddb_builder_new(&builder, NULL));
  return builder;
}

static void record_free(ddb_record *record) {
  ddb__free(&heap, record, ddb__record_size(record));
}

static ddb__item last_item(const ddb_builder *builder) {
  return ddb__builder_item(builder, ddb_builder_count(builder) - 1);
}

/* A record item of single-letter fields with these values; the key is among them or automatic. */
static ddb__item make(ddb__shapes *shapes, ddb_builder *builder, ddb_shape_kind kind,
                      const char *letters, const ddb_value *values) {
  ddb_str names[32];
  size_t count = strlen(letters);
  for (size_t i = 0; i < count; i++) {
    names[i] = letters[i] == '#' ? DDB_STR("id") : (ddb_str){letters + i, 1};
  }
  const ddb_shape *shape;
  assert_ok(ddb__shapes_get(shapes, kind, names, count, &shape, NULL));
  assert_ok(ddb_builder_record_begin(builder, shape, true, NULL));
  for (size_t i = 0; i < count; i++) {
    assert_ok(ddb_builder_append(builder, &values[i], NULL));
  }
  assert_ok(ddb_builder_end(builder, NULL));
  return last_item(builder);
}

static ddb_record *make_record(ddb__shapes *shapes, ddb_builder *builder, const char *letters,
                               const ddb_value *values) {
  ddb__item item = make(shapes, builder, DDB_SHAPE_RECORD, letters, values);
  ddb_record *record = ddb__record_new(&heap, item.shape->stored, item.block);
  assert_non_null(record);
  return record;
}

static ddb_record *merge(ddb__shapes *shapes, const ddb_record *base, ddb__item changes) {
  const ddb_shape *merged;
  bool too_large = true;
  assert_ok(ddb__shapes_merge(shapes, base->shape, changes.shape, &merged, NULL));
  ddb_record *record =
      ddb__record_merge(&heap, base, changes.shape, changes.block, merged, &too_large);
  assert_non_null(record);
  assert_false(too_large);
  assert_ptr_equal(record->shape, merged);
  return record;
}

static void check(ddb_value value, ddb_value expected) {
  assert_true(ddb__value_identical(&value, &expected));
}

static ddb_value get(const ddb_record *record, const char *name) {
  return ddb_record_get(record, ddb_str_from(name));
}

static void test_reading(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_text(DDB_STR("hello")), ddb_int(5), ddb_null()};
  ddb_record *record = make_record(shapes, b, "a#b", values);
  ddb_builder_free(b);
  assert_int_equal(ddb_record_count(record), 3);
  check(ddb_record_value(record, 0), values[0]);
  ddb_value some[3] = {ddb_bool(true), ddb_bool(true), ddb_bool(true)};
  ddb_record_values(record, 1, 2, some);
  check(some[0], values[1]);
  check(some[1], values[2]);
  check(some[2], ddb_bool(true)); /* and no more */
  ddb_record_values(record, 3, 0, some);
  check(some[0], values[1]);
  check(ddb__record_key(record), ddb_int(5));
  check(get(record, "a"), values[0]);
  check(get(record, "b"), ddb_null());
  assert_int_equal(get(record, "c").kind, DDB_MISSING);
  assert_int_equal(get(record, "").kind, DDB_MISSING);
  assert_memory_equal(ddb_record_name(record, 1).data, "id", 2);
  assert_ptr_equal(ddb_record_shape(record), record->shape);
  record_free(record);
  ddb__shapes_release(shapes);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void test_patch(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_text(DDB_STR("a text")), ddb_int(5), ddb_float(1.5), ddb_null()};
  const ddb_value new_values[] = {ddb_bool(true), ddb_int(9)};
  ddb_record *base = make_record(shapes, b, "a#bc", values);
  ddb_record *merged = merge(shapes, base, make(shapes, b, DDB_SHAPE_CHANGES, "cb", new_values));
  assert_ptr_equal(merged->shape, base->shape);
  assert_int_equal(ddb__record_size(merged), ddb__record_size(base));
  check(get(merged, "a"), values[0]);
  check(get(merged, "b"), ddb_int(9));
  check(get(merged, "c"), ddb_bool(true));
  check(get(base, "b"), ddb_float(1.5));
  /* A text in the place of a number, and back: nothing of it stays behind. */
  ddb_record *longer = merge(shapes, merged, make(shapes, b, DDB_SHAPE_CHANGES, "b", &values[0]));
  ddb_record *back = merge(shapes, longer, make(shapes, b, DDB_SHAPE_CHANGES, "b", &values[2]));
  check(get(longer, "b"), values[0]);
  assert_int_equal(ddb__record_size(back), ddb__record_size(base));
  record_free(base);
  record_free(merged);
  record_free(longer);
  record_free(back);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

/* A whole record merged into another: its key is not taken. */
static void test_key_stays(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value old[] = {ddb_int(5), ddb_int(1)};
  const ddb_value new[] = {ddb_int(2), ddb_float(5.0)};
  ddb_record *base = make_record(shapes, b, "#a", old);
  ddb__item changes = make(shapes, b, DDB_SHAPE_RECORD, "a#", new);
  assert_true(ddb__record_merge_changes(base, changes.shape, changes.block));
  ddb_record *merged = merge(shapes, base, changes);
  check(ddb__record_key(merged), ddb_int(5));
  check(get(merged, "a"), ddb_int(2));
  assert_false(ddb__record_merge_changes(merged, changes.shape, changes.block));
  const ddb_value text[] = {ddb_text(DDB_STR("x")), ddb_float(5.0)};
  ddb_record *texts = merge(shapes, base, make(shapes, b, DDB_SHAPE_RECORD, "a#", text));
  check(ddb__record_key(texts), ddb_int(5));
  /* An automatic key is a hole: it must not come through. */
  ddb__item automatic = make(shapes, b, DDB_SHAPE_RECORD, "a", new);
  ddb_record *kept = merge(shapes, texts, automatic);
  check(ddb__record_key(kept), ddb_int(5));
  record_free(base);
  record_free(merged);
  record_free(texts);
  record_free(kept);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

static void test_changes_anything(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_int(5), ddb_int(1), ddb_text(DDB_STR("t"))};
  ddb_record *base = make_record(shapes, b, "#ab", values);
  const struct {
    const char *letters;
    ddb_value value;
    bool expected;
  } cases[] = {
      {"a", ddb_int(1), false},
      {"a", ddb_float(1.0), true},
      {"a", ddb_bool(true), true},
      {"b", ddb_text(DDB_STR("t")), false},
      {"b", ddb_text(DDB_STR("tt")), true},
      {"c", ddb_null(), true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ddb__item item = make(shapes, b, DDB_SHAPE_CHANGES, cases[i].letters, &cases[i].value);
    assert_int_equal(ddb__record_merge_changes(base, item.shape, item.block), cases[i].expected);
  }
  record_free(base);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

/* ---- Against a model ---------------------------------------------------------------------- */

enum { FIELDS = 10 };

/* Random values for a random choice of fields; *letters names them. */
static ddb__item random_item(ddb__shapes *shapes, ddb_builder *b, uint64_t *state,
                             ddb_shape_kind kind, char letters[FIELDS + 2]) {
  ddb_builder *scratch = builder_make();
  ddb_value values[FIELDS + 1];
  size_t count = 0;
  for (size_t i = 0; i < FIELDS; i++) {
    if (support_below(state, 3) == 0) {
      size_t at = support_below(state, count + 1);
      letters[count] = letters[at];
      letters[at] = (char)('a' + i);
      count++;
    }
  }
  if (kind == DDB_SHAPE_RECORD) {
    letters[count++] = '#';
  }
  letters[count] = '\0';
  for (size_t i = 0; i < count; i++) {
    random_value_append(scratch, state, 2, false);
  }
  for (size_t i = 0; i < count; i++) {
    values[i] = ddb_builder_value_at(scratch, i);
  }
  ddb__item item = make(shapes, b, kind, letters, values);
  ddb_builder_free(scratch);
  return item;
}

static void check_padding(const ddb_record *record) {
  const ddb__block *block = &record->block;
  for (size_t i = block->count; i < ddb__align8(block->count); i++) {
    assert_int_equal(block->tags[i], 0);
  }
  size_t end = ddb__block_fixed_size(block->count);
  for (size_t i = 0; i < block->count; i++) {
    ddb_value value = ddb__block_value(block, i);
    if (!ddb__kind_is_inline(value.kind)) {
      size_t offset = (size_t)((const char *)value.as.data - (const char *)block);
      assert_true(offset >= end);
      end = offset + value.size;
    }
  }
  assert_int_equal(ddb__align8(end), block->size);
}

/* The model: fields of the record in order; a change replaces in place or is appended. */
static void check_merge(const ddb_record *base, ddb__item changes, const ddb_record *merged) {
  uint32_t extra = base->shape->count;
  for (uint32_t i = 0; i < base->shape->count; i++) {
    uint32_t at = ddb__shape_find(changes.shape, base->shape->field_ids[i]);
    bool replaced = at != DDB__NO_FIELD && i != base->shape->key_index;
    check(ddb__record_at(merged, i),
          replaced ? ddb__block_value(changes.block, at) : ddb__record_at(base, i));
  }
  for (uint32_t i = 0; i < changes.shape->count; i++) {
    if (ddb__shape_find(base->shape, changes.shape->field_ids[i]) == DDB__NO_FIELD) {
      assert_int_equal(merged->shape->field_ids[extra], changes.shape->field_ids[i]);
      check(ddb__record_at(merged, extra++), ddb__block_value(changes.block, i));
    }
  }
  assert_int_equal(extra, merged->shape->count);
  assert_int_equal(merged->block.count, extra);
}

static void test_random_merges(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_random_merges");
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  char letters[FIELDS + 2];
  for (int round = 0; round < 300; round++) {
    ddb_builder_clear(b);
    ddb__item first = random_item(shapes, b, &state, DDB_SHAPE_RECORD, letters);
    ddb_record *record = ddb__record_new(&heap, first.shape->stored, first.block);
    for (int step = 0; step < 20; step++) {
      ddb_shape_kind kind = support_below(&state, 4) ? DDB_SHAPE_CHANGES : DDB_SHAPE_RECORD;
      ddb__item changes = random_item(shapes, b, &state, kind, letters);
      bool changed = ddb__record_merge_changes(record, changes.shape, changes.block);
      ddb_record *merged = merge(shapes, record, changes);
      check_merge(record, changes, merged);
      check_padding(merged);
      bool same = merged->shape == record->shape;
      for (uint32_t i = 0; same && i < merged->shape->count; i++) {
        ddb_value before = ddb__record_at(record, i);
        ddb_value after = ddb__record_at(merged, i);
        same = ddb__value_identical(&before, &after);
      }
      assert_int_equal(changed, !same);
      record_free(record);
      record = merged;
    }
    record_free(record);
  }
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

/* ---- Limits and memory -------------------------------------------------------------------- */

/* Blocks that claim to be large: the size is refused before a byte of them is read. */
static void test_too_large(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_int(1), ddb_text(DDB_STR("small"))};
  ddb_record *base = make_record(shapes, b, "#a", values);
  ddb__item changes = make(shapes, b, DDB_SHAPE_CHANGES, "b", &values[1]);
  ddb__block *block = malloc(changes.block->size);
  memcpy(block, changes.block, changes.block->size);
  ddb__span span = {24, 0x7ffffff0u};
  memcpy((char *)block + 16, &span, sizeof span);
  const ddb_shape *merged;
  bool too_large = false;
  assert_ok(ddb__shapes_merge(shapes, base->shape, changes.shape, &merged, NULL));
  assert_null(ddb__record_merge(&heap, base, changes.shape, block, merged, &too_large));
  assert_true(too_large);
  free(block);
  record_free(base);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

static void test_failing_allocations(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_int(1), ddb_text(DDB_STR("small"))};
  ddb_record *base = make_record(shapes, b, "#a", values);
  ddb__item number = make(shapes, b, DDB_SHAPE_CHANGES, "a", &values[0]);
  ddb__item longer = make(shapes, b, DDB_SHAPE_CHANGES, "a", &values[1]);
  const ddb_shape *shape = base->shape;
  bool too_large = true;
  int64_t before = support_allocator_bytes();
  support_allocator_fail(1);
  assert_null(ddb__record_merge(&heap, base, number.shape, number.block, shape, &too_large));
  assert_true(support_allocator_failed() && !too_large);
  support_allocator_fail(1);
  assert_null(ddb__record_merge(&heap, base, longer.shape, longer.block, shape, &too_large));
  assert_true(support_allocator_failed());
  support_allocator_fail(1);
  assert_null(ddb__record_new(&heap, shape, &base->block));
  assert_true(support_allocator_failed());
  ddb_record *copy = NULL;
  support_allocator_fail(1);
  assert_int_equal(ddb_record_copy(base, &copy, NULL), DDB_ERR_NOMEM);
  assert_true(support_allocator_failed() && copy == NULL);
  assert_int_equal(support_allocator_bytes(), before);
  record_free(base);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
}

static void test_copy_outlives_all(void **unused) {
  (void)unused;
  int64_t before = support_allocator_bytes();
  ddb__shapes *shapes = shapes_make();
  ddb_builder *b = builder_make();
  const ddb_value values[] = {ddb_int(1), ddb_text(DDB_STR("small"))};
  ddb_record *base = make_record(shapes, b, "#a", values);
  base->birth = 7;
  base->row_birth = 3;
  ddb_record *copy;
  assert_ok(ddb_record_copy(base, &copy, NULL));
  record_free(base);
  ddb_builder_free(b);
  ddb__shapes_release(shapes);
  check(get(copy, "a"), values[1]);
  assert_int_equal(ddb_record_name(copy, 1).data[0], 'a');
  assert_true(copy->birth == 7 && copy->row_birth == 3);
  ddb_record *second;
  assert_ok(ddb_record_copy(copy, &second, NULL));
  ddb_record_free(copy);
  check(ddb__record_key(second), ddb_int(1));
  ddb_record_free(second);
  ddb_record_free(NULL);
  assert_int_equal(support_allocator_bytes(), before);
}

static int install(void **unused) {
  (void)unused;
  support_allocator_install();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reading),
      cmocka_unit_test(test_patch),
      cmocka_unit_test(test_key_stays),
      cmocka_unit_test(test_changes_anything),
      cmocka_unit_test(test_random_merges),
      cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_failing_allocations),
      cmocka_unit_test(test_copy_outlives_all),
  };
  return cmocka_run_group_tests(tests, install, NULL);
}
