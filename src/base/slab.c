/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.c - see slab.h.
 */
#include "base/slab.h"

#include <assert.h>

#include "base/heap_private.h"

#define PAGE_SIZE       ((size_t)64 << 10)
#define REGION_SIZE_MIN ((size_t)2 << 20)
#define REGION_SIZE_MAX ((size_t)32 << 20)
#define SMALL_SIZE_MAX  1024u /* classes by 16 bytes up to here, by 128 above */
#define SMALL_COUNT     (SMALL_SIZE_MAX / 16)
#define CLASS_COUNT     (SMALL_COUNT + (DDB__SLAB_BLOCK_SIZE_MAX - SMALL_SIZE_MAX) / 128)
#define NONE            UINT32_MAX

typedef struct slab_page {
  uintptr_t address;
  uint32_t region;
  uint32_t next; /* partial or empty list: page numbers, NONE at the ends */
  uint32_t previous;
  uint16_t free_first; /* offset / 16 of the first free block; 0xffff: none */
  uint16_t fresh;      /* blocks never used yet start at this offset / 16 */
  uint16_t live;
  uint16_t step; /* size of a block / 16 */
  uint8_t class;
} slab_page;
_Static_assert(sizeof(slab_page) == 32, "as slab.h says");

typedef struct slab_region {
  void *memory; /* as allocated; NULL: given back, its page numbers wait to be used again */
  size_t size;
  uint32_t page_first;
  uint32_t page_count;
  uint32_t live_pages;
} slab_region;

struct ddb__slab {
  ddb__heap *heap;
  slab_page *pages;
  uint32_t page_count;
  uint32_t page_capacity;
  slab_region *regions;
  uint32_t region_count;
  uint32_t region_capacity;
  uint32_t empty_regions;
  uint32_t *directory; /* page number + 1; 0: free */
  uint32_t directory_mask;
  uint32_t empty_first;
  uint32_t partial[CLASS_COUNT];
};

#define NO_BLOCK 0xffffu

static uint32_t class_of(size_t size) {
  return size <= SMALL_SIZE_MAX ? (uint32_t)((size + 15) / 16) - 1
                                : SMALL_COUNT + (uint32_t)((size - SMALL_SIZE_MAX + 127) / 128) - 1;
}

static size_t class_size(uint32_t class) {
  return class < SMALL_COUNT ? (class + 1) * (size_t)16
                             : SMALL_SIZE_MAX + (class - SMALL_COUNT + 1) * (size_t)128;
}

ddb__slab *ddb__slab_new(ddb__heap *heap) {
  ddb__slab *slab = ddb__heap_take(heap, sizeof *slab);
  if (!slab) {
    return NULL;
  }
  memset(slab, 0, sizeof *slab);
  slab->heap = heap;
  slab->empty_first = NONE;
  for (uint32_t i = 0; i < CLASS_COUNT; i++) {
    slab->partial[i] = NONE;
  }
  return slab;
}

static void region_free(ddb__slab *slab, slab_region *region) {
  ddb__heap_give_region(slab->heap, region->memory, region->size);
  region->memory = NULL;
}

void ddb__slab_free(ddb__slab *slab) {
  ddb__heap *heap = slab->heap;
  for (uint32_t i = 0; i < slab->region_count; i++) {
    if (slab->regions[i].memory) {
      region_free(slab, &slab->regions[i]);
    }
  }
  ddb__heap_give(heap, slab->pages, slab->page_capacity * sizeof *slab->pages);
  ddb__heap_give(heap, slab->regions, slab->region_capacity * sizeof *slab->regions);
  if (slab->directory) {
    ddb__heap_give(heap, slab->directory, (slab->directory_mask + 1) * sizeof *slab->directory);
  }
  ddb__heap_give(heap, slab, sizeof *slab);
}

/* ---- The directory of pages ---------------------------------------------------------------- */

static uint32_t directory_start(const ddb__slab *slab, uintptr_t address) {
  uint64_t mixed = (uint64_t)(address / PAGE_SIZE) * UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mixed >> 40) & slab->directory_mask;
}

static uint32_t page_find(const ddb__slab *slab, const void *block) {
  if (!slab->directory) {
    return NONE;
  }
  uintptr_t address = (uintptr_t)block & ~(uintptr_t)(PAGE_SIZE - 1);
  for (uint32_t at = directory_start(slab, address);; at = (at + 1) & slab->directory_mask) {
    uint32_t entry = slab->directory[at];
    if (entry == 0) {
      return NONE;
    }
    if (slab->pages[entry - 1].address == address) {
      return entry - 1;
    }
  }
}

static void directory_add(ddb__slab *slab, uint32_t page) {
  uint32_t at = directory_start(slab, slab->pages[page].address);
  while (slab->directory[at] != 0) {
    at = (at + 1) & slab->directory_mask;
  }
  slab->directory[at] = page + 1;
}

/* Anew from the regions that there are, with room for `more` pages at half load. */
static bool directory_rebuild(ddb__slab *slab, uint32_t more) {
  uint32_t slots = 64;
  while (slots < 2 * (slab->page_count + more)) {
    slots *= 2;
  }
  uint32_t *directory = ddb__heap_take(slab->heap, slots * sizeof *directory);
  if (!directory) {
    return false;
  }
  memset(directory, 0, slots * sizeof *directory);
  if (slab->directory) {
    ddb__heap_give(slab->heap, slab->directory,
                   (slab->directory_mask + 1) * sizeof *slab->directory);
  }
  slab->directory = directory;
  slab->directory_mask = slots - 1;
  for (uint32_t i = 0; i < slab->region_count; i++) {
    const slab_region *region = &slab->regions[i];
    for (uint32_t j = 0; region->memory && j < region->page_count; j++) {
      directory_add(slab, region->page_first + j);
    }
  }
  return true;
}

/* ---- Lists ---------------------------------------------------------------------------------- */

static void list_push(ddb__slab *slab, uint32_t *first, uint32_t number) {
  slab_page *page = &slab->pages[number];
  page->previous = NONE;
  page->next = *first;
  if (*first != NONE) {
    slab->pages[*first].previous = number;
  }
  *first = number;
}

static void list_remove(ddb__slab *slab, uint32_t *first, uint32_t number) {
  slab_page *page = &slab->pages[number];
  *(page->previous != NONE ? &slab->pages[page->previous].next : first) = page->next;
  if (page->next != NONE) {
    slab->pages[page->next].previous = page->previous;
  }
}

/* ---- Regions -------------------------------------------------------------------------------- */

static bool grow(ddb__heap *heap, void **array, uint32_t *capacity, uint32_t wanted, size_t size) {
  if (wanted <= *capacity) {
    return true;
  }
  uint32_t larger = *capacity ? *capacity : 32;
  while (larger < wanted) {
    larger *= 2;
  }
  void *moved = ddb__heap_take(heap, larger * size);
  if (!moved) {
    return false;
  }
  if (*array) {
    memcpy(moved, *array, *capacity * size);
    ddb__heap_give(heap, *array, *capacity * size);
  }
  *array = moved;
  *capacity = larger;
  return true;
}

/* An eighth of what there is, within limits: few regions, little unused. */
static size_t next_region_size(const ddb__slab *slab) {
  size_t size = REGION_SIZE_MIN;
  while (size < REGION_SIZE_MAX && size * 8 <= slab->page_count * PAGE_SIZE) {
    size *= 2;
  }
  return size;
}

static slab_region *region_slot(ddb__slab *slab, uint32_t page_count) {
  for (uint32_t i = 0; i < slab->region_count; i++) { /* the numbers of one given back */
    if (!slab->regions[i].memory && slab->regions[i].page_count == page_count) {
      return &slab->regions[i];
    }
  }
  if (!grow(slab->heap, (void **)&slab->regions, &slab->region_capacity, slab->region_count + 1,
            sizeof *slab->regions) ||
      !grow(slab->heap, (void **)&slab->pages, &slab->page_capacity, slab->page_count + page_count,
            sizeof *slab->pages)) {
    return NULL;
  }
  slab_region *region = &slab->regions[slab->region_count];
  *region = (slab_region){.page_first = slab->page_count, .page_count = page_count};
  return region;
}

static bool region_add(ddb__slab *slab) {
  size_t size = next_region_size(slab);
  uint32_t page_count = (uint32_t)(size / PAGE_SIZE);
  slab_region *region = region_slot(slab, page_count);
  bool is_new = region == &slab->regions[slab->region_count];
  if (!region || (is_new && slab->directory_mask < 2 * (slab->page_count + page_count) &&
                  !directory_rebuild(slab, page_count))) {
    return false;
  }
  uintptr_t start;
  region->memory = ddb__heap_take_region(slab->heap, size, PAGE_SIZE, &region->size, &start);
  if (!region->memory) {
    return false;
  }
  if (is_new) {
    slab->region_count++;
    slab->page_count += page_count;
  }
  region->live_pages = 0;
  for (uint32_t i = 0; i < page_count; i++) {
    uint32_t number = region->page_first + i;
    slab->pages[number] =
        (slab_page){.address = start + i * PAGE_SIZE, .region = (uint32_t)(region - slab->regions)};
    directory_add(slab, number);
  }
  for (uint32_t i = page_count; i-- > 0;) { /* the lowest address is used first */
    list_push(slab, &slab->empty_first, region->page_first + i);
  }
  slab->empty_regions++;
  return true;
}

/* L3. A directory entry cannot just be cleared: others may have been put behind it. Without memory
 * to build the directory anew, the region stays. */
static void region_give_back(ddb__slab *slab, slab_region *region) {
  slab_region old = *region;
  region->memory = NULL;
  if (!directory_rebuild(slab, 0)) {
    region->memory = old.memory;
    return;
  }
  for (uint32_t i = 0; i < region->page_count; i++) {
    list_remove(slab, &slab->empty_first, region->page_first + i);
  }
  slab->empty_regions--;
  region_free(slab, &old);
}

/* ---- Blocks --------------------------------------------------------------------------------- */

/* Apart from ddb__slab_take, which is short without it. */
static uint32_t __attribute__((noinline)) page_start(ddb__slab *slab, uint32_t class) {
  if (slab->empty_first == NONE && !region_add(slab)) {
    return NONE;
  }
  uint32_t number = slab->empty_first;
  list_remove(slab, &slab->empty_first, number);
  slab_page *page = &slab->pages[number];
  page->class = (uint8_t) class;
  page->step = (uint16_t)(class_size(class) / 16);
  page->free_first = NO_BLOCK;
  page->fresh = 0;
  page->live = 0;
  slab_region *region = &slab->regions[page->region];
  slab->empty_regions -= region->live_pages++ == 0;
  list_push(slab, &slab->partial[class], number);
  return number;
}

static bool page_full(const slab_page *page) {
  return page->free_first == NO_BLOCK && page->fresh + page->step > (int)(PAGE_SIZE / 16);
}

void *ddb__slab_take(ddb__slab *slab, size_t size) {
  uint32_t class = class_of(size);
  uint32_t number = slab->partial[class];
  if (number == NONE && (number = page_start(slab, class)) == NONE) {
    return NULL;
  }
  slab_page *page = &slab->pages[number];
  char *block;
  if (page->free_first != NO_BLOCK) {
    block = (char *)page->address + page->free_first * (size_t)16;
    memcpy(&page->free_first, block, sizeof page->free_first);
  } else {
    block = (char *)page->address + page->fresh * (size_t)16;
    page->fresh = (uint16_t)(page->fresh + page->step);
  }
  page->live++;
  if (page_full(page)) {
    list_remove(slab, &slab->partial[class], number);
  }
  return block;
}

bool ddb__slab_give(ddb__slab *slab, void *block) {
  uint32_t number = page_find(slab, block);
  if (number == NONE) {
    return false;
  }
  slab_page *page = &slab->pages[number];
  assert(page->live > 0);
  if (page_full(page)) {
    list_push(slab, &slab->partial[page->class], number);
  }
  memcpy(block, &page->free_first, sizeof page->free_first);
  page->free_first = (uint16_t)(((uintptr_t)block - page->address) / 16);
  if (--page->live > 0) {
    return true;
  }
  list_remove(slab, &slab->partial[page->class], number);
  list_push(slab, &slab->empty_first, number);
  slab_region *region = &slab->regions[page->region];
  if (--region->live_pages == 0 && slab->empty_regions++ > 0) {
    region_give_back(slab, region);
  }
  return true;
}
