/* SPDX-License-Identifier: Apache-2.0 */
/* test_shape.c - interned names: identity, schemas, merging, threads, failing memory. */
#include "store/shape.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static ddb__heap heap;

static ddb__shapes *shapes_make(const ddb_table_options *options) {
  ddb__shapes *shapes;
  assert_ok(ddb__shapes_new(&heap, "table", DDB_STR("users"), options, &shapes, NULL));
  return shapes;
}

static void shapes_end(ddb__shapes *shapes) {
  ddb__shapes_release(shapes);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

/* names: words parted by spaces. */
static size_t split(const char *names, ddb_str *out) {
  size_t count = 0;
  while (*names != '\0') {
    size_t size = strcspn(names, " ");
    out[count++] = (ddb_str){names, size};
    names += size + (names[size] == ' ');
  }
  return count;
}

static ddb_status get(ddb__shapes *shapes, ddb_shape_kind kind, const char *names,
                      const ddb_shape **out, ddb_error *err) {
  ddb_str list[16];
  size_t count = split(names, list);
  return ddb__shapes_get(shapes, kind, list, count, out, err);
}

static const ddb_shape *record(ddb__shapes *shapes, const char *names) {
  const ddb_shape *shape;
  assert_ok(get(shapes, DDB_SHAPE_RECORD, names, &shape, NULL));
  return shape;
}

static const ddb_shape *changes(ddb__shapes *shapes, const char *names) {
  const ddb_shape *shape;
  assert_ok(get(shapes, DDB_SHAPE_CHANGES, names, &shape, NULL));
  return shape;
}

static void check_names(const ddb_shape *shape, const char *names) {
  ddb_str list[16];
  size_t count = split(names, list);
  assert_int_equal(ddb_shape_count(shape), count);
  for (size_t i = 0; i < count; i++) {
    ddb_str name = ddb_shape_name(shape, i);
    assert_int_equal(name.size, list[i].size);
    assert_memory_equal(name.data, list[i].data, name.size);
    uint32_t id = ddb__shapes_field_find(shape->registry, list[i]);
    assert_int_equal(shape->field_ids[i], id);
    assert_int_equal(ddb__shape_find(shape, id), i);
    assert_ptr_equal(ddb__shapes_field_name(shape->registry, id).data, name.data);
  }
}

static void test_identity(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_shape *a = record(shapes, "name age");
  assert_ptr_equal(a, record(shapes, "name age"));
  assert_true(a->auto_key && a->input_count == 2 && a->count == 3 && a->key_index == 2);
  check_names(a, "name age id");
  assert_ptr_equal(a->stored->stored, a->stored);
  assert_false(a->stored->auto_key);
  /* All names given: the very shape that records point to. */
  assert_ptr_equal(record(shapes, "name age id"), a->stored);
  const ddb_shape *b = record(shapes, "age name");
  assert_ptr_not_equal(a, b);
  assert_ptr_not_equal(a->stored, b->stored);
  const ddb_shape *c = changes(shapes, "name age");
  assert_ptr_not_equal(a, c);
  assert_ptr_equal(c->stored, c);
  assert_int_equal(c->key_index, UINT32_MAX);
  assert_true(ddb_shape_id(a) != ddb_shape_id(b) && ddb_shape_id(a) != ddb_shape_id(a->stored));
  const ddb_shape *keyed = record(shapes, "id");
  assert_true(!keyed->auto_key && keyed->key_index == 0 && keyed->count == 1);
  const ddb_shape *empty = record(shapes, "");
  assert_true(empty->auto_key && empty->input_count == 0 && empty->stored == keyed);
  assert_int_equal(changes(shapes, "")->count, 0);
  shapes_end(shapes);
}

static void test_any_text_is_a_name(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_str names[] = {{"", 0}, {"a\0b", 3}, {"a\0c", 3}, {"\xed\xa0\x80", 3}};
  const ddb_shape *shape;
  assert_ok(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, names, 4, &shape, NULL));
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(ddb__shapes_field_find(shapes, names[i]), shape->field_ids[i]);
  }
  const ddb_str bad = {"\xff", 1};
  assert_int_equal(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, &bad, 1, &shape, NULL),
                   DDB_ERR_INVALID);
  shapes_end(shapes);
}

static void test_bad_names(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_shape *shape = NULL;
  ddb_error err;
  assert_int_equal(get(shapes, DDB_SHAPE_RECORD, "a b a", &shape, &err), DDB_ERR_INVALID);
  assert_string_equal(err.field, "a");
  assert_int_equal(get(shapes, DDB_SHAPE_CHANGES, "a id", &shape, &err), DDB_ERR_KEY);
  assert_string_equal(err.field, "id");
  assert_string_equal(err.table, "users");
  assert_int_equal(get(shapes, (ddb_shape_kind)7, "a", &shape, &err), DDB_ERR_INVALID);
  assert_int_equal(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, NULL, 1, &shape, &err),
                   DDB_ERR_INVALID);
  assert_null(shape);
  shapes_end(shapes);
}

static void test_wide(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  enum { WIDE = DDB_FIELD_COUNT_MAX };
  ddb_str *names = malloc((WIDE + 1) * sizeof *names);
  char(*texts)[8] = malloc((WIDE + 1) * sizeof *texts);
  for (size_t i = 0; i <= WIDE; i++) {
    names[i] = (ddb_str){texts[i], (size_t)snprintf(texts[i], sizeof texts[i], "f%zu", i)};
  }
  const ddb_shape *shape;
  const ddb_shape *merged;
  assert_int_equal(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, names, WIDE + 1, &shape, NULL),
                   DDB_ERR_LIMIT);
  /* The automatic key is one too many. */
  assert_int_equal(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, names, WIDE, &shape, NULL),
                   DDB_ERR_LIMIT);
  assert_ok(ddb__shapes_get(shapes, DDB_SHAPE_RECORD, names, WIDE - 1, &shape, NULL));
  assert_int_equal(shape->count, WIDE);
  const ddb_shape *one = changes(shapes, "other");
  assert_int_equal(ddb__shapes_merge(shapes, shape->stored, one, &merged, NULL), DDB_ERR_LIMIT);
  const ddb_shape *all;
  assert_ok(ddb__shapes_get(shapes, DDB_SHAPE_CHANGES, names, WIDE - 1, &all, NULL));
  assert_ok(ddb__shapes_merge(shapes, shape->stored, all, &merged, NULL));
  assert_ptr_equal(merged, shape->stored);
  free(names);
  free(texts);
  shapes_end(shapes);
}

/* ---- Schemas ------------------------------------------------------------------------------ */

static const ddb_schema_field people[] = {
    {DDB_STR("email"), DDB_TYPE(DDB_STR_KIND), NULL},
    {DDB_STR("age"), DDB_TYPE_INT | DDB_TYPE(DDB_NULL), NULL},
};

static void test_schema(void **unused) {
  (void)unused;
  ddb_value zero = ddb_int(0);
  ddb_schema_field fields[] = {people[0], people[1], {DDB_STR("score"), DDB_TYPE_FLOAT, &zero}};
  ddb_table_options options = {.schema = fields, .schema_count = 3};
  ddb__shapes *shapes = shapes_make(&options);
  const ddb__schema *schema = ddb__shapes_schema(shapes);
  assert_int_equal(schema->field_count, 4);
  assert_memory_equal(schema->fields[0].name.data, "id", 2);
  assert_int_equal(schema->fields[0].types, DDB_TYPE_INT);
  const ddb_shape *shape = record(shapes, "age email");
  check_names(shape, "age email score id");
  assert_true(shape->auto_key && shape->key_index == 3 && shape->input_count == 2);
  check_names(record(shapes, "age id email"), "age id email score");
  ddb_error err;
  assert_int_equal(get(shapes, DDB_SHAPE_RECORD, "age emial", &shape, &err), DDB_ERR_SCHEMA);
  assert_string_equal(err.field, "emial");
  assert_non_null(strstr(err.message, "did you mean 'email'?"));
  assert_int_equal(get(shapes, DDB_SHAPE_CHANGES, "ages", &shape, &err), DDB_ERR_SCHEMA);
  assert_non_null(strstr(err.message, "'age'?"));
  assert_int_equal(get(shapes, DDB_SHAPE_RECORD, "age xyzxyzxyz", &shape, &err), DDB_ERR_SCHEMA);
  assert_null(strstr(err.message, "mean"));
  assert_int_equal(get(shapes, DDB_SHAPE_RECORD, "email", &shape, &err), DDB_ERR_SCHEMA);
  assert_string_equal(err.field, "age");
  assert_string_equal(err.expected, "int | None");
  assert_string_equal(err.given, "missing");
  assert_int_equal(ddb__shapes_field_check(shapes, DDB_STR("agee"), &err), DDB_ERR_FIELD_NOT_FOUND);
  assert_ok(ddb__shapes_field_check(shapes, DDB_STR("id"), &err));
  /* What was refused left no field behind. */
  assert_int_equal(ddb__shapes_field_count(shapes), 4);
  shapes_end(shapes);
}

static void test_the_nearest_name(void **unused) {
  (void)unused;
  static const struct {
    const char *name;
    const char *nearest; /* NULL: none */
  } cases[] = {
      {"naem", "name"},       {"nmae", "name"},       {"name", "name"},  {"nme", "name"},
      {"named", "name"},      {"nams", "name"},       {"eman", NULL},    {"adress", "address"},
      {"addrses", "address"}, {"adderss", "address"}, {"sserdda", NULL}, {"", NULL},
      {"quantity", NULL},
  };
  const ddb_str names[] = {DDB_STR("address"), DDB_STR("name"), DDB_STR("amount")};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t at = ddb_str_nearest(ddb_str_from(cases[i].name), names, 3);
    if (cases[i].nearest) {
      assert_true(at < 3);
      assert_string_equal(names[at].data, cases[i].nearest);
    } else {
      assert_int_equal(at, 3);
    }
  }
  char bytes[80];
  memset(bytes, 'n', sizeof bytes);
  const ddb_str long_names[] = {{bytes, 64}, {bytes, 65}};
  assert_int_equal(ddb_str_nearest((ddb_str){bytes, 63}, long_names, 2), 0);
  assert_int_equal(ddb_str_nearest((ddb_str){bytes, 65}, long_names, 2), 2); /* too long to look */
  assert_int_equal(ddb_str_nearest(DDB_STR("name"), NULL, 0), 0);
}

static void test_key_of_a_schema(void **unused) {
  (void)unused;
  ddb_schema_field fields[] = {people[0], {DDB_STR("code"), DDB_TYPE(DDB_STR_KIND), NULL}};
  ddb_table_options options = {.primary_key = DDB_STR("code"), .schema = fields, .schema_count = 2};
  ddb__shapes *shapes = shapes_make(&options);
  const ddb_shape *shape;
  ddb_error err;
  assert_int_equal(get(shapes, DDB_SHAPE_RECORD, "email", &shape, &err), DDB_ERR_SCHEMA);
  assert_string_equal(err.field, "code");
  assert_string_equal(err.expected, "str");
  assert_int_equal(record(shapes, "code email")->key_index, 0);
  assert_int_equal(ddb__shapes_schema(shapes)->field_count, 2);
  assert_int_equal(get(shapes, DDB_SHAPE_CHANGES, "code", &shape, &err), DDB_ERR_KEY);
  shapes_end(shapes);
}

static void check_refused(ddb_table_options options, ddb_str table) {
  ddb__shapes *shapes = NULL;
  ddb_error err = {0};
  assert_int_equal(ddb__shapes_new(&heap, "table", table, &options, &shapes, &err),
                   DDB_ERR_INVALID);
  assert_true(err.message[0] != '\0');
  assert_null(shapes);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void test_bad_options(void **unused) {
  (void)unused;
  ddb_value wrong = ddb_bool(true);
  ddb_value malformed = ddb_value_make(DDB_DECIMAL, 1, (uint64_t)(uintptr_t) "x");
  const ddb_schema_field twice[] = {people[0], people[1], people[0]};
  const ddb_schema_field key_twice[] = {
      people[0], {DDB_STR("id"), DDB_TYPE_INT, NULL}, {DDB_STR("id"), DDB_TYPE_INT, NULL}};
  const ddb_schema_field bad_default[] = {people[0], {DDB_STR("n"), DDB_TYPE_INT, &wrong}};
  const ddb_schema_field bad_value[] = {people[0], {DDB_STR("n"), UINT32_MAX, &malformed}};
  const ddb_schema_field no_type[] = {{DDB_STR("n"), DDB_TYPE(DDB_MISSING), NULL}};
  const ddb_schema_field bad_name[] = {{{"\xc3", 1}, DDB_TYPE_INT, NULL}};
  ddb_str table = DDB_STR("t");
  check_refused((ddb_table_options){.schema = twice, .schema_count = 3}, table);
  check_refused((ddb_table_options){.schema = key_twice, .schema_count = 3}, table);
  check_refused((ddb_table_options){.schema = bad_default, .schema_count = 2}, table);
  check_refused((ddb_table_options){.schema = bad_value, .schema_count = 2}, table);
  check_refused((ddb_table_options){.schema = no_type, .schema_count = 1}, table);
  check_refused((ddb_table_options){.schema = bad_name, .schema_count = 1}, table);
  check_refused((ddb_table_options){.schema_count = 1}, table);
  check_refused((ddb_table_options){.primary_key = DDB_STR("")}, table);
  check_refused((ddb_table_options){.primary_key = {"\xff", 1}}, table);
  check_refused((ddb_table_options){.schema = NULL}, DDB_STR(""));
  check_refused((ddb_table_options){.schema = NULL}, (ddb_str){"\xff", 1});
}

/* Options and names are copied: nothing of the caller's is needed later. */
static void test_nothing_borrowed(void **unused) {
  (void)unused;
  char name[] = "score";
  char word[] = "a default of some length";
  ddb_value value = ddb_text(ddb_str_from(word));
  ddb_schema_field fields[] = {{ddb_str_from(name), DDB_TYPE(DDB_STR_KIND), &value}};
  ddb_table_options options = {.schema = fields, .schema_count = 1};
  ddb__shapes *shapes = shapes_make(&options);
  memset(name, 'x', sizeof name - 1);
  memset(word, 'x', sizeof word - 1);
  memset(fields, 0, sizeof fields);
  const ddb_shape *shape = record(shapes, "");
  check_names(shape, "score id");
  const ddb_value *kept = shape->checks[0]->default_value;
  ddb_value expected = ddb_text(DDB_STR("a default of some length"));
  assert_true(ddb__value_identical(kept, &expected));
  shapes_end(shapes);
}

/* ---- Merging ------------------------------------------------------------------------------ */

static void test_merge(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_shape *base = record(shapes, "a b id");
  const ddb_shape *merged;
  assert_ok(ddb__shapes_merge(shapes, base, changes(shapes, "b a"), &merged, NULL));
  assert_ptr_equal(merged, base);
  for (int i = 0; i < 2; i++) {
    assert_ok(ddb__shapes_merge(shapes, base, changes(shapes, "d b c"), &merged, NULL));
    check_names(merged, "a b id d c");
    assert_ptr_equal(merged, record(shapes, "a b id d c"));
    assert_int_equal(merged->key_index, 2);
  }
  assert_ok(ddb__shapes_merge(shapes, base, record(shapes, "id z"), &merged, NULL));
  check_names(merged, "a b id z");
  assert_ok(ddb__shapes_merge(shapes, base, record(shapes, "y"), &merged, NULL));
  check_names(merged, "a b id y");
  shapes_end(shapes);
}

static void test_random_merges(void **unused) {
  (void)unused;
  uint64_t state = support_seed("test_random_merges");
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_shape *base = record(shapes, "id");
  for (int i = 0; i < 20000; i++) {
    char names[64] = "";
    unsigned used = 0;
    size_t at = 0;
    for (size_t count = support_below(&state, 4); count > 0; count--) {
      unsigned letter = (unsigned)support_below(&state, 8);
      if (!(used & 1u << letter)) {
        at += (size_t)snprintf(names + at, sizeof names - at, at > 0 ? " %c" : "%c", 'a' + letter);
        used |= 1u << letter;
      }
    }
    const ddb_shape *added = changes(shapes, names);
    const ddb_shape *merged;
    assert_ok(ddb__shapes_merge(shapes, base, added, &merged, NULL));
    assert_true(merged->count >= base->count);
    for (uint32_t j = 0; j < base->count; j++) {
      assert_int_equal(merged->field_ids[j], base->field_ids[j]);
    }
    uint32_t extra = base->count;
    for (uint32_t j = 0; j < added->count; j++) {
      if (ddb__shape_find(base, added->field_ids[j]) == DDB__NO_FIELD) {
        assert_int_equal(merged->field_ids[extra++], added->field_ids[j]);
      }
    }
    assert_int_equal(extra, merged->count);
    base = support_below(&state, 6) == 0 ? record(shapes, "id") : merged;
  }
  shapes_end(shapes);
}

/* ---- Threads and processes ---------------------------------------------------------------- */

enum { THREADS = 4, LISTS = 4000 };

typedef struct racer {
  pthread_t thread;
  ddb__shapes *shapes;
  const ddb_shape *inputs[LISTS];
  const ddb_shape *merged[LISTS];
  bool failed;
} racer;

static pthread_barrier_t start;

static void *race(void *context) {
  racer *r = context;
  pthread_barrier_wait(&start);
  for (size_t i = 0; i < LISTS; i++) {
    char texts[3][16];
    ddb_str names[3];
    for (size_t j = 0; j < 3; j++) {
      int size = snprintf(texts[j], sizeof texts[j], "f%zu", i / (j + 1));
      texts[j][size++] = (char)('a' + j);
      names[j] = (ddb_str){texts[j], (size_t)size};
    }
    const ddb_shape *added;
    r->failed |=
        ddb__shapes_get(r->shapes, DDB_SHAPE_RECORD, names, 2, &r->inputs[i], NULL) != DDB_OK ||
        ddb__shapes_get(r->shapes, DDB_SHAPE_CHANGES, names + 2, 1, &added, NULL) != DDB_OK ||
        ddb__shapes_merge(r->shapes, r->inputs[i]->stored, added, &r->merged[i], NULL) != DDB_OK;
    uint32_t id = ddb__shapes_field_find(r->shapes, names[1]);
    r->failed |= id == DDB__NO_FIELD || ddb__shapes_field_name(r->shapes, id).size != names[1].size;
    r->failed |= ddb__shapes_field_count(r->shapes) <= id;
  }
  return NULL;
}

static void test_threads(void **unused) {
  (void)unused;
  static racer racers[THREADS];
  ddb__shapes *shapes = shapes_make(NULL);
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) {
    racers[i] = (racer){.shapes = ddb__shapes_acquire(shapes)};
    assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(racers[i].thread, NULL);
    assert_false(racers[i].failed);
    assert_memory_equal(racers[i].inputs, racers[0].inputs, sizeof racers[0].inputs);
    assert_memory_equal(racers[i].merged, racers[0].merged, sizeof racers[0].merged);
    ddb__shapes_release(shapes);
  }
  pthread_barrier_destroy(&start);
  shapes_end(shapes);
}

/* A child still finds what there was, and adds nothing. */
static void test_fork(void **unused) {
  (void)unused;
  ddb__shapes *shapes = shapes_make(NULL);
  const ddb_shape *known = record(shapes, "a b");
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const ddb_shape *found = NULL;
    const ddb_shape *added;
    bool ok = get(shapes, DDB_SHAPE_RECORD, "a b", &found, NULL) == DDB_OK && found == known &&
              get(shapes, DDB_SHAPE_RECORD, "c", &added, NULL) == DDB_ERR_FORKED;
    _exit(ok ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  shapes_end(shapes);
}

/* ---- Failing memory ----------------------------------------------------------------------- */

static ddb_status use_registry(ddb__shapes **out) {
  ddb_value value = ddb_text(DDB_STR("a default of some length"));
  const ddb_schema_field fields[] = {
      people[0], people[1], {DDB_STR("s"), DDB_TYPE(DDB_STR_KIND), &value}};
  ddb_table_options options = {.schema = fields, .schema_count = 3};
  return ddb__shapes_new(&heap, "table", DDB_STR("users"), &options, out, NULL);
}

static void test_failing_creation(void **unused) {
  (void)unused;
  long failures = 0;
  for (long n = 1;; n++) {
    ddb__shapes *shapes = NULL;
    int64_t before = support_allocator_bytes();
    support_allocator_fail(n);
    ddb_status status = use_registry(&shapes);
    if (!support_allocator_failed()) {
      assert_ok(status);
      ddb__shapes_release(shapes);
      break;
    }
    failures++;
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_null(shapes);
    assert_int_equal(support_allocator_bytes(), before);
  }
  assert_true(failures > 10);
}

static ddb_status get_and_merge(ddb__shapes *shapes, const ddb_shape **out) {
  const ddb_shape *base;
  const ddb_shape *added;
  ddb_status status = get(shapes, DDB_SHAPE_RECORD, "a b c d e", &base, NULL);
  if (status == DDB_OK) {
    status = get(shapes, DDB_SHAPE_CHANGES, "f g h i j k", &added, NULL);
  }
  return status != DDB_OK ? status : ddb__shapes_merge(shapes, base->stored, added, out, NULL);
}

static void test_failing_look_ups(void **unused) {
  (void)unused;
  long failures = 0;
  bool failed = true;
  for (long n = 1; failed; n++) {
    ddb__shapes *shapes = shapes_make(NULL);
    const ddb_shape *merged = NULL;
    support_allocator_fail(n);
    ddb_status status = get_and_merge(shapes, &merged);
    failed = support_allocator_failed();
    assert_int_equal(status, failed ? DDB_ERR_NOMEM : DDB_OK);
    failures += failed;
    /* A second time, it works. */
    assert_ok(get_and_merge(shapes, &merged));
    check_names(merged, "a b c d e id f g h i j k");
    shapes_end(shapes);
  }
  assert_true(failures > 15);
}

static int install(void **unused) {
  (void)unused;
  support_allocator_install();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_identity),
      cmocka_unit_test(test_any_text_is_a_name),
      cmocka_unit_test(test_bad_names),
      cmocka_unit_test(test_wide),
      cmocka_unit_test(test_schema),
      cmocka_unit_test(test_the_nearest_name),
      cmocka_unit_test(test_key_of_a_schema),
      cmocka_unit_test(test_bad_options),
      cmocka_unit_test(test_nothing_borrowed),
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_random_merges),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_failing_creation),
      cmocka_unit_test(test_failing_look_ups),
  };
  return cmocka_run_group_tests(tests, install, NULL);
}
