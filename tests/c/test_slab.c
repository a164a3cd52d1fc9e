/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_slab.c - random taking and giving of blocks, whose contents are checked; regions go back; every
 * allocation fails once; blocks from elsewhere are told apart.
 */
#include "base/slab.h"
#include "support.h"

enum { BLOCKS = 20000 };

typedef struct block {
  unsigned char *memory;
  size_t size;
  unsigned char fill;
} block;

static void check(const block *b) {
  for (size_t i = 0; i < b->size; i++) {
    assert_int_equal(b->memory[i], b->fill);
  }
}

static size_t random_size(uint64_t *random) {
  size_t size =
      1 + support_below(random, support_below(random, 2) ? 128 : DDB__SLAB_BLOCK_SIZE_MAX);
  return size;
}

static void test_blocks_keep_their_bytes(void **state) {
  (void)state;
  static block blocks[BLOCKS];
  uint64_t random = support_seed("slab");
  ddb__heap heap = {0};
  ddb__slab *slab = ddb__slab_new(&heap);
  assert_non_null(slab);
  for (int round = 0; round < 200000; round++) {
    block *b = &blocks[support_below(&random, BLOCKS)];
    if (b->memory) {
      check(b);
      assert_true(ddb__slab_give(slab, b->memory));
      b->memory = NULL;
      continue;
    }
    *b = (block){.size = random_size(&random), .fill = (unsigned char)support_random(&random)};
    b->memory = ddb__slab_take(slab, b->size);
    assert_non_null(b->memory);
    assert_int_equal((uintptr_t)b->memory % 16, 0);
    memset(b->memory, b->fill, b->size);
  }
  uint64_t most = ddb__heap_bytes(&heap);
  for (size_t i = 0; i < BLOCKS; i++) {
    if (blocks[i].memory) {
      check(&blocks[i]);
      assert_true(ddb__slab_give(slab, blocks[i].memory));
      blocks[i].memory = NULL;
    }
  }
  assert_true(ddb__heap_bytes(&heap) < most / 2); /* regions went back, but for one */
  ddb__slab_free(slab);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void test_blocks_from_elsewhere(void **state) {
  (void)state;
  ddb__heap heap = {0};
  ddb__slab *slab = ddb__slab_new(&heap);
  char *other = malloc(100);
  assert_false(ddb__slab_give(slab, other)); /* before the first region */
  void *own = ddb__slab_take(slab, 100);
  assert_false(ddb__slab_give(slab, other));
  assert_true(ddb__slab_give(slab, own));
  free(other);
  ddb__slab_free(slab);
  assert_int_equal(ddb__heap_bytes(&heap), 0);
}

static void test_failures(void **state) {
  (void)state;
  ddb__heap heap = {0};
  int64_t before = support_allocator_bytes();
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb__slab *slab = ddb__slab_new(&heap);
    size_t taken = 0;
    void *last = NULL;
    for (int i = 0; slab && i < 5000; i++) {
      void *memory = ddb__slab_take(slab, 1500);
      if (memory) {
        last = memory;
        taken++;
      }
    }
    if (last) {
      assert_true(ddb__slab_give(slab, last));
      assert_non_null(ddb__slab_take(slab, 1500)); /* usable after a failure */
    }
    bool failed = support_allocator_failed();
    if (slab) {
      ddb__slab_free(slab);
    }
    assert_int_equal(support_allocator_bytes(), before);
    assert_int_equal(ddb__heap_bytes(&heap), 0);
    if (!failed) {
      assert_int_equal(taken, 5000);
      return;
    }
  }
}

int main(void) {
  support_allocator_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks_keep_their_bytes),
      cmocka_unit_test(test_blocks_from_elsewhere),
      cmocka_unit_test(test_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
