/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_base.c - status codes and error texts, the allocator and its counters, thread records.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#include "base/heap.h"
#include "base/status.h"
#include "base/testing.h"
#include "base/thread.h"
#include "lock_actors.h"

/* ---- status.c ---- */

static void test_every_status_has_texts(void **state) {
  (void)state;
  for (int i = 0; i < DDB_STATUS_COUNT; i++) {
    assert_true(strlen(ddb_status_name((ddb_status)i)) > 1);
    assert_true(strlen(ddb_status_text((ddb_status)i)) > 1);
    assert_int_equal(strlen(ddb_status_exception((ddb_status)i)) == 0, i == DDB_OK);
  }
  assert_string_equal(ddb_status_name(DDB_ERR_KEY), "ERR_KEY");
  assert_string_equal(ddb_status_text(DDB_ERR_KEY), "bad primary key");
  assert_string_equal(ddb_status_exception(DDB_ERR_KEY), "PrimaryKeyError");
  assert_string_equal(ddb_version(), DDB_VERSION);
  const int outside[] = {-1, DDB_STATUS_COUNT, 1 << 30};
  for (int i = 0; i < 3; i++) {
    assert_non_null(ddb_status_name((ddb_status)outside[i]));
    assert_non_null(ddb_status_text((ddb_status)outside[i]));
    assert_non_null(ddb_status_exception((ddb_status)outside[i]));
  }
}

static void test_fail_fills_and_clears(void **state) {
  (void)state;
  assert_int_equal(ddb__fail(NULL, DDB_ERR_KEY, "%d", 1), DDB_ERR_KEY);
  ddb_error err;
  memset(&err, 0x5a, sizeof err);
  assert_int_equal(ddb__fail(&err, DDB_ERR_KEY, "key %d of %s", 7, "%s%n"), DDB_ERR_KEY);
  assert_string_equal(err.message, "key 7 of %s%n");
  assert_int_equal(err.status, DDB_ERR_KEY);
  assert_int_equal(err.os_error, 0);
  assert_int_equal(err.offset, 0);
  assert_string_equal(err.table, "");
  assert_string_equal(err.field, "");
  assert_string_equal(err.expected, "");
  assert_string_equal(err.given, "");
  assert_int_equal(ddb__fail_memory(&err, 12345), DDB_ERR_NOMEM);
  assert_non_null(strstr(err.message, "12345"));
}

static bool is_whole(const char *text) {
  for (const unsigned char *at = (const unsigned char *)text; *at != 0;) {
    int more = *at < 0x80 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
    for (at++; more > 0; more--, at++) {
      if ((*at & 0xc0) != 0x80) {
        return false;
      }
    }
  }
  return true;
}

static void test_texts_are_cut_between_characters(void **state) {
  (void)state;
  /* 1, 2, 3, 4 bytes, and a lone surrogate */
  const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                    "\xed\xa0\x80"};
  for (size_t kind = 0; kind < 5; kind++) {
    for (size_t lead = 0; lead < 4; lead++) {
      char text[1024] = "xxxx";
      size_t size = lead;
      while (size < 1000) {
        memcpy(text + size, characters[kind], strlen(characters[kind]));
        size += strlen(characters[kind]);
      }
      text[size] = '\0';
      ddb_error err;
      (void)ddb__fail(&err, DDB_ERR_IO, "%s", text);
      ddb__error_text(err.table, sizeof err.table, (ddb_str){text, size});
      assert_true(is_whole(err.message) && is_whole(err.table));
      assert_int_equal(memcmp(err.message, text, strlen(err.message)), 0);
      assert_int_equal(memcmp(err.table, text, strlen(err.table)), 0);
      assert_in_range(strlen(err.message), sizeof err.message - 4, sizeof err.message - 1);
      assert_in_range(strlen(err.table), sizeof err.table - 4, sizeof err.table - 1);
    }
  }
}

static void test_broken_bytes_are_left_out(void **state) {
  (void)state;
  const char *const broken[] = {"a\xff"
                                "b",
                                "a\x80"
                                "b",
                                "a\xc0\xaf"
                                "b",
                                "a\xe2\x82"
                                "b",
                                "a\xf5\x80\x80\x80"
                                "b",
                                "ab\xe2",
                                "a\xe0\x80\x80"
                                "b",
                                "a\xf4\x90\x80\x80"
                                "b",
                                "a\xf0\x80\x80\x80"
                                "b"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ddb_error err;
    (void)ddb__fail(&err, DDB_ERR_IO, "%s", broken[i]);
    assert_string_equal(err.message, "ab");
  }
  ddb_error err;
  ddb_str cut = {"1234567890\xe2\x82\xac", 12};
  (void)ddb__fail(&err, DDB_ERR_IO,
                  "<"
                  "%.*s"
                  ">",
                  DDB__STR_ARG(cut));
  assert_string_equal(err.message, "<1234567890>");
  ddb__error_text(err.table, sizeof err.table, (ddb_str){NULL, 0});
  assert_string_equal(err.table, "");
}

/* ---- heap.c ---- */

static void test_heaps_count_what_is_asked(void **state) {
  (void)state;
  ddb__heap heap = {0};
  uint64_t before = ddb_process_memory();
  unsigned char *a = ddb__alloc(&heap, 1000);
  unsigned char *b = ddb__alloc_zero(&heap, 77);
  assert_true((uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0);
  for (int i = 0; i < 77; i++) {
    assert_int_equal(b[i], 0);
  }
  assert_int_equal(ddb__heap_bytes(&heap), 1077);
  assert_int_equal(ddb_process_memory(), before + 1077);
  memset(a, 7, 1000);
  a = ddb__resize(&heap, a, 1000, 5000);
  assert_int_equal(ddb__heap_bytes(&heap), 5077);
  a = ddb__resize(&heap, a, 5000, 10);
  assert_int_equal(a[9], 7);
  assert_int_equal(ddb_process_memory(), before + 87);
  unsigned char *c = a;
  a = ddb__resize(&heap, NULL, 0, 20);
  assert_non_null(a);
  ddb__free(&heap, a, 20);
  assert_int_equal(ddb__heap_bytes(&heap), 87);
  ddb__free(&heap, NULL, 99);
  ddb__free(&heap, b, 77);
  ddb__free(&heap, c, 10);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
  assert_int_equal((uint64_t)support_allocator_bytes(), ddb_process_memory());
}

static void test_failures_change_nothing(void **state) {
  (void)state;
  ddb__heap heap = {0};
  char *block = ddb__alloc(&heap, 16);
  memcpy(block, "0123456789abcdef", 16);
  support_allocator_fail(1);
  assert_null(ddb__resize(&heap, block, 16, 32));
  assert_true(support_allocator_failed());
  support_allocator_fail(1);
  assert_null(ddb__alloc_zero(&heap, 32));
  assert_true(support_allocator_failed());
  volatile size_t too_much = SIZE_MAX; /* hidden from the compiler's warnings */
  assert_null(ddb__alloc(&heap, too_much));
  assert_null(ddb__alloc(&heap, too_much / 2 + 1));
  assert_null(ddb__resize(&heap, block, 16, too_much - 8));
  assert_int_equal(memcmp(block, "0123456789abcdef", 16), 0);
  assert_int_equal(ddb__heap_bytes(&heap), 16);
  ddb__free(&heap, block, 16);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void test_allocator_stays_while_in_use(void **state) {
  (void)state;
  void *block = ddb__alloc(&ddb__heap_process, 10);
  ddb_error err;
  assert_int_equal(ddb_allocator_set(NULL, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "in use"));
  ddb__free(&ddb__heap_process, block, 10);
}

/* With the system's own allocator, which resizes by realloc. Run first: nothing is in use yet. */
static void test_system_allocator(void **state) {
  (void)state;
  ddb__heap heap = {0};
  assert_int_equal(ddb_process_memory(), 0);
  char *block = ddb__alloc(&heap, 3);
  memcpy(block, "abc", 3);
  block = ddb__resize(&heap, block, 3, 1 << 20);
  assert_int_equal(memcmp(block, "abc", 3), 0);
  assert_int_equal(ddb__heap_bytes(&heap), 1 << 20);
  assert_int_equal(ddb_process_memory(), 1 << 20);
  ddb__free(&heap, block, 1 << 20);
  assert_int_equal(ddb_process_memory(), 0);
  const ddb_allocator half = {0};
  assert_int_equal(ddb_allocator_set(&half, NULL), DDB_ERR_INVALID);
  assert_ok(ddb_allocator_set(NULL, NULL));
  support_allocator_install();
}

typedef struct churn {
  ddb__heap *heap;
  void *blocks[200];
  bool release;
} churn;

static void *run_churn(void *argument) {
  churn *churn = argument;
  for (int i = 0; i < 200; i++) {
    if (churn->release) {
      ddb__free(churn->heap, churn->blocks[i], (size_t)i + 1);
    } else {
      churn->blocks[i] = ddb__alloc(churn->heap, (size_t)i + 1);
    }
  }
  return NULL;
}

static void test_sum_holds_when_others_free(void **state) {
  (void)state;
  static ddb__heap heaps[4];
  churn churns[4] = {0};
  pthread_t threads[4];
  uint64_t before = ddb_process_memory();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 4; i++) {
      churns[i].heap = &heaps[i];
      churns[i].release = round == 1;
      pthread_create(&threads[i], NULL, run_churn, &churns[i]);
    }
    for (int i = 0; i < 4; i++) {
      pthread_join(threads[i], NULL);
    }
    assert_int_equal(ddb_process_memory() - before, round == 0 ? 4 * 200 * 201 / 2 : 0);
  }
}

/* ---- thread.c ---- */

typedef struct visitor {
  ddb__thread *record;
  uint64_t id;
  int64_t native_id;
  uint64_t pin;
  uint32_t lock_count;
} visitor;

static void *run_visitor(void *argument) {
  visitor *visitor = argument;
  ddb__thread *record = ddb__thread_self();
  visitor->record = record;
  if (record == NULL) {
    return NULL;
  }
  visitor->id = record->id;
  visitor->native_id = record->native_id;
  atomic_store(&record->pin_word, visitor->pin);
  atomic_store(&record->lock_count, visitor->lock_count);
  return ddb__thread_self() == record ? NULL : argument;
}

static visitor visit(uint64_t pin, uint32_t lock_count) {
  visitor visitor = {.pin = pin, .lock_count = lock_count};
  pthread_t thread;
  void *result = NULL;
  pthread_create(&thread, NULL, run_visitor, &visitor);
  pthread_join(thread, &result);
  assert_null(result);
  return visitor;
}

static bool is_registered(const ddb__thread *wanted) {
  for (ddb__thread *thread = ddb__thread_first(); thread != NULL; thread = thread->next) {
    if (thread == wanted) {
      return true;
    }
  }
  return false;
}

static void test_records_are_reused(void **state) {
  (void)state;
  ddb__thread *own = ddb__thread_self();
  assert_int_equal((uintptr_t)own % DDB__CACHE_LINE, 0);
  assert_int_equal(own->native_id, getpid());
  visitor first = visit(0, 0);
  assert_ptr_not_equal(first.record, own);
  assert_int_not_equal(first.native_id, own->native_id);
  assert_true(is_registered(own) && is_registered(first.record));
  uint64_t bytes = ddb_process_memory();
  uint64_t last = first.id;
  for (int i = 0; i < 50; i++) {
    visitor next = visit(0, 0);
    assert_ptr_equal(next.record, first.record);
    assert_true(next.id > last);
    last = next.id;
  }
  assert_int_equal(ddb_process_memory(), bytes);
  assert_ptr_equal(ddb__thread_self(), own);
}

static void test_records_in_use_are_left(void **state) {
  (void)state;
  visitor pinned = visit(77, 0);
  visitor locked = visit(0, 1);
  assert_ptr_not_equal(pinned.record, locked.record);
  assert_true(atomic_load(&pinned.record->ended) && atomic_load(&locked.record->ended));
  visitor next = visit(0, 0);
  assert_ptr_not_equal(next.record, pinned.record);
  assert_ptr_not_equal(next.record, locked.record);
  assert_true(is_registered(pinned.record) && is_registered(locked.record));
  assert_int_equal(atomic_load(&pinned.record->pin_word), 77);
}

static void test_no_memory_for_a_record(void **state) {
  (void)state;
  /* Two at once need a new record: all free ones are taken first. */
  for (ddb__thread *thread = ddb__thread_first(); thread != NULL; thread = thread->next) {
    if (thread->id == 0) {
      visitor taken = visit(1, 0);
      assert_true(atomic_load(&taken.record->ended));
    }
  }
  uint64_t bytes = ddb_process_memory();
  support_allocator_fail(1);
  visitor none = visit(0, 0);
  assert_true(support_allocator_failed());
  assert_null(none.record);
  assert_int_equal(ddb_process_memory(), bytes);
  assert_non_null(visit(0, 0).record);
}

/* Holds a record (and a pin in it) while the other thread forks. */
static void *run_holder(void *argument) {
  int *pipes = argument;
  atomic_store(&ddb__thread_self()->pin_word, 5);
  char byte = 0;
  (void)!write(pipes[1], &byte, 1);
  (void)!read(pipes[2], &byte, 1);
  atomic_store(&ddb__thread_self()->pin_word, 0);
  return NULL;
}

/* The child's view; 0 when all is right. */
static int check_child(ddb__thread *own, uint64_t generation) {
  if (ddb__fork_generation() != generation + 1) {
    return 1;
  }
  if (ddb__thread_self() != own || own->id == 0 || own->native_id != getpid()) {
    return 2;
  }
  for (ddb__thread *thread = ddb__thread_first(); thread != NULL; thread = thread->next) {
    if (thread != own && !atomic_load(&thread->ended) && thread->id != 0) {
      return 3;
    }
    if (thread != own && atomic_load(&thread->pin_word) != 0) {
      return 4;
    }
  }
  if (!CHILD_MAY_START_THREADS) {
    return 0;
  }
  visitor next = {0};
  pthread_t thread;
  pthread_create(&thread, NULL, run_visitor, &next);
  pthread_join(thread, NULL);
  return next.record == NULL || next.record == own ? 5 : 0;
}

static void test_fork_keeps_the_forking_thread(void **state) {
  (void)state;
  int up[2];
  int down[2];
  assert_int_equal(pipe(up), 0);
  assert_int_equal(pipe(down), 0);
  int ends[4] = {up[0], up[1], down[0], down[1]};
  ddb__thread *own = ddb__thread_self();
  uint64_t generation = ddb__fork_generation();
  pthread_t holder;
  pthread_create(&holder, NULL, run_holder, ends);
  char byte;
  assert_int_equal(read(up[0], &byte, 1), 1);
  pid_t child = fork();
  if (child == 0) {
    _exit(check_child(own, generation));
  }
  int status = -1;
  waitpid(child, &status, 0);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(ddb__fork_generation(), generation);
  assert_int_equal(write(down[1], "", 1), 1);
  pthread_join(holder, NULL);
  for (int i = 0; i < 4; i++) {
    close(ends[i]);
  }
}

/* ---- testing.c ---- */

#ifdef DDB_TESTING
static int reached[DDB__POINT_COUNT];

static void note_point(void *context, ddb__point point) {
  ((int *)context)[point]++;
}

static void test_faults_and_points(void **state) {
  (void)state;
  assert_int_equal(ddb__test_fault_find("LOST_WAKEUP"), DDB__FAULT_LOST_WAKEUP);
  assert_int_equal(ddb__test_fault_find("NONE"), DDB__FAULT_NONE);
  assert_int_equal(ddb__test_fault_find("lost_wakeup"), -1);
  assert_int_equal(ddb__test_fault_find(NULL), -1);
  assert_false(DDB__FAULT(LOST_WAKEUP));
  ddb__test_fault_set(DDB__FAULT_LOST_WAKEUP);
  assert_true(DDB__FAULT(LOST_WAKEUP));
  assert_false(DDB__FAULT(EDIT_IN_PLACE));
  ddb__test_fault_set(DDB__FAULT_NONE);
  ddb__test_yield_set(2, 1);
  ddb__test_hook_set(note_point, reached);
  ddb__test_sleep_set(DDB__POINT_LOCKED, 1);
  DDB__POINT(LOCKED);
  DDB__POINT(LOCKED);
  DDB__POINT(EDITED);
  ddb__test_sleep_set(DDB__POINT_LOCKED, 0);
  ddb__test_yield_set(0, 0);
  ddb__test_hook_set(NULL, NULL);
  DDB__POINT(LOCKED);
  assert_int_equal(reached[DDB__POINT_LOCKED], 2);
  assert_int_equal(reached[DDB__POINT_EDITED], 1);
}
#endif

int main(void) {
  alarm(120);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_system_allocator), /* first */
      cmocka_unit_test(test_every_status_has_texts),
      cmocka_unit_test(test_fail_fills_and_clears),
      cmocka_unit_test(test_texts_are_cut_between_characters),
      cmocka_unit_test(test_broken_bytes_are_left_out),
      cmocka_unit_test(test_heaps_count_what_is_asked),
      cmocka_unit_test(test_failures_change_nothing),
      cmocka_unit_test(test_allocator_stays_while_in_use),
      cmocka_unit_test(test_sum_holds_when_others_free),
      cmocka_unit_test(test_records_are_reused),
      cmocka_unit_test(test_records_in_use_are_left),
      cmocka_unit_test(test_no_memory_for_a_record),
      cmocka_unit_test(test_fork_keeps_the_forking_thread),
#ifdef DDB_TESTING
      cmocka_unit_test(test_faults_and_points),
#endif
  };
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
