/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.c - encodes values straight into blocks, in one growing buffer.
 *
 *   data: | item 0 | item 1 | ... | open item: block [ nested block [ ... size
 *   items: {shape, kind, place} of the finished top-level items
 *   frames: one per open container or record, the outermost first; offsets, since `data` moves
 *
 *   B1  Finished items end at or before `item_start`, and no error touches them.
 *   B2  Every failure drops the open item: size goes back to item_start, depth to 0.
 *   B3  size - item_start <= DDB_RECORD_SIZE_MAX: all offsets within an item fit 32 bits.
 *   B4  All padding is zero.
 *
 * A container's fixed part is laid out when it is opened, so that items go to their final places;
 * set and dict orders are made when it is closed, with working memory behind the item.
 * Owned by its user; distinct. Cost: some nanoseconds per scalar, growth is geometric.
 */
#include "store/builder.h"

#include <assert.h>

#include "base/heap.h"
#include "base/status.h"
#include "store/bigint.h"
#include "store/check.h"
#include "store/sort.h"
#include "store/text.h"

#define DATA_CAPACITY_FIRST 1024
#define ITEM_CAPACITY_FIRST 16
#define KEPT_DATA_MAX       ((size_t)3 << 18) /* of the 1 MiB that clear keeps */
#define KEPT_ITEMS_MAX      ((size_t)1 << 18)

typedef struct frame {
  size_t start;       /* of the block in data */
  size_t payloads_at; /* in data */
  uint32_t expected;  /* values that the caller gives */
  uint32_t next;
  uint8_t kind; /* DDB_MISSING: a record */
  bool validate;
} frame;

typedef struct item {
  const ddb_shape *shape; /* of a record */
  uint64_t payload;       /* inline kinds: as in a block; else: offset in data */
  uint32_t size;
  uint8_t kind;
} item;

struct ddb_builder {
  char *data;
  size_t size;
  size_t capacity;
  size_t item_start; /* where the item that comes next, or is open, begins */
  item *items;
  size_t item_count;
  size_t item_capacity;
  const ddb_shape *shape;          /* of the open record */
  uint32_t depth;                  /* frames in use */
  frame frames[DDB_DEPTH_MAX + 1]; /* a record is no level of nesting */
};

/* ---- Life --------------------------------------------------------------------------------- */

ddb_status ddb_builder_new(ddb_builder **out, ddb_error *err) {
  ddb_builder *builder = ddb__alloc(&ddb__heap_process, sizeof *builder);
  if (builder == NULL) {
    return ddb__fail_memory(err, sizeof *builder);
  }
  memset(builder, 0, offsetof(ddb_builder, frames));
  *out = builder;
  return DDB_OK;
}

static void data_free(ddb_builder *builder) {
  ddb__free(&ddb__heap_process, builder->data, builder->capacity);
  builder->data = NULL;
  builder->capacity = 0;
}

static void items_free(ddb_builder *builder) {
  ddb__free(&ddb__heap_process, builder->items, builder->item_capacity * sizeof(item));
  builder->items = NULL;
  builder->item_capacity = 0;
}

void ddb_builder_free(ddb_builder *builder) {
  if (builder != NULL) {
    data_free(builder);
    items_free(builder);
    ddb__free(&ddb__heap_process, builder, sizeof *builder);
  }
}

void ddb_builder_clear(ddb_builder *builder) {
  if (builder->capacity > KEPT_DATA_MAX) {
    data_free(builder);
  }
  if (builder->item_capacity * sizeof(item) > KEPT_ITEMS_MAX) {
    items_free(builder);
  }
  builder->size = 0;
  builder->item_start = 0;
  builder->item_count = 0;
  builder->depth = 0;
}

void ddb_builder_cancel(ddb_builder *builder) {
  builder->size = builder->item_start;
  builder->depth = 0;
}

/* B2; the status passes through. */
static ddb_status drop(ddb_builder *builder, ddb_status status) {
  ddb_builder_cancel(builder);
  return status;
}

/* ---- Room --------------------------------------------------------------------------------- */

static ddb_status __attribute__((noinline, cold))
data_grow(ddb_builder *builder, size_t need, ddb_error *err) {
  size_t capacity = builder->capacity > 0 ? builder->capacity : DATA_CAPACITY_FIRST;
  while (capacity - builder->size < need) {
    capacity *= 2; /* need is below 2^40: no overflow */
  }
  char *data = ddb__resize(&ddb__heap_process, builder->data, builder->capacity, capacity);
  if (data == NULL) {
    return drop(builder, ddb__fail_memory(err, capacity));
  }
  builder->data = data;
  builder->capacity = capacity;
  return DDB_OK;
}

/* Room for `need` more bytes behind `size`. */
static inline ddb_status data_reserve(ddb_builder *builder, size_t need, ddb_error *err) {
  if (__builtin_expect(builder->capacity - builder->size >= need, 1)) {
    return DDB_OK;
  }
  return data_grow(builder, need, err);
}

static ddb_status __attribute__((noinline, cold)) fail_size(ddb_builder *builder, ddb_error *err) {
  return drop(builder,
              ddb__fail(err, DDB_ERR_LIMIT, "a record of more than %u bytes (DDB_RECORD_SIZE_MAX)",
                        DDB_RECORD_SIZE_MAX));
}

/* The same for bytes that become part of the item (B3). */
static inline ddb_status item_reserve(ddb_builder *builder, size_t need, ddb_error *err) {
  /* A multiple of 8 less than the maximum, so that the block's end can still be aligned. */
  size_t limit = (DDB_RECORD_SIZE_MAX & ~(size_t)7) - (builder->size - builder->item_start);
  return need <= limit ? data_reserve(builder, need, err) : fail_size(builder, err);
}

static void align_size(ddb_builder *builder) {
  size_t aligned = ddb__align8(builder->size);
  assert(builder->data != NULL); /* room was reserved */
  memset(builder->data + builder->size, 0, aligned - builder->size);
  builder->size = aligned;
}

static ddb_status __attribute__((noinline, cold)) items_grow(ddb_builder *builder, ddb_error *err) {
  size_t old = builder->item_capacity;
  size_t capacity = old > 0 ? old * 2 : ITEM_CAPACITY_FIRST;
  item *items =
      ddb__resize(&ddb__heap_process, builder->items, old * sizeof(item), capacity * sizeof(item));
  if (items == NULL) {
    return drop(builder, ddb__fail_memory(err, capacity * sizeof(item)));
  }
  builder->items = items;
  builder->item_capacity = capacity;
  return DDB_OK;
}

static inline ddb_status items_reserve(ddb_builder *builder, ddb_error *err) {
  return builder->item_count < builder->item_capacity ? DDB_OK : items_grow(builder, err);
}

/* Room was reserved; the item's data end at `size`. */
static void items_push(ddb_builder *builder, item finished) {
  builder->items[builder->item_count++] = finished;
  builder->item_start = builder->size;
}

/* ---- Values ------------------------------------------------------------------------------- */

static frame *top(ddb_builder *builder) {
  return &builder->frames[builder->depth - 1];
}

static ddb_status __attribute__((noinline, cold)) fail_full(ddb_builder *builder, ddb_error *err) {
  return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "more values than the %u announced",
                                 top(builder)->expected));
}

static inline bool is_full(ddb_builder *builder) {
  return builder->depth > 0 && top(builder)->next == top(builder)->expected;
}

/* Writes the next slot of the innermost frame, which has room. */
static inline void frame_put(ddb_builder *builder, uint8_t kind, uint64_t payload) {
  frame *f = top(builder);
  assert(builder->data != NULL); /* the frame is in it */
  ddb__block *block = (ddb__block *)(void *)(builder->data + f->start);
  block->tags[f->next] = kind;
  memcpy(builder->data + f->payloads_at + 8 * (size_t)f->next, &payload, sizeof payload);
  f->next++;
}

static inline ddb_status put_inline(ddb_builder *builder, uint8_t kind, uint64_t payload,
                                    ddb_error *err) {
  if (__builtin_expect(builder->depth > 0, 1)) {
    if (is_full(builder)) {
      return fail_full(builder, err);
    }
    frame_put(builder, kind, payload);
    return DDB_OK;
  }
  ddb_status status = items_reserve(builder, err);
  if (status == DDB_OK) {
    items_push(builder, (item){.payload = payload, .kind = kind});
  }
  return status;
}

/* A value of `size` bytes at `start` in data is complete: its place goes to the innermost frame, or
 * it is a finished item. */
static void put_placed(ddb_builder *builder, uint8_t kind, size_t start, uint32_t size) {
  if (builder->depth > 0) {
    ddb__span span = {(uint32_t)(start - top(builder)->start), size};
    uint64_t payload;
    memcpy(&payload, &span, sizeof payload);
    frame_put(builder, kind, payload);
  } else {
    items_push(builder, (item){.payload = start, .size = size, .kind = kind});
  }
}

/* Copies bytes in. They may lie in this very builder, which may move. */
static ddb_status put_bytes(ddb_builder *builder, uint8_t kind, const void *bytes, uint32_t size,
                            bool aligned, ddb_error *err) {
  if (is_full(builder)) {
    return fail_full(builder, err);
  }
  uintptr_t offset = (uintptr_t)bytes - (uintptr_t)builder->data;
  bool own = builder->data != NULL && offset < builder->size;
  ddb_status status = item_reserve(builder, (size_t)size + 7, err);
  if (status == DDB_OK && builder->depth == 0) {
    status = items_reserve(builder, err);
  }
  if (status != DDB_OK) {
    return drop(builder, status);
  }
  if (aligned) {
    align_size(builder);
  }
  size_t start = builder->size;
  assert(builder->data != NULL); /* room was reserved */
  if (size > 0) {
    memcpy(builder->data + start, own ? builder->data + offset : bytes, size);
  }
  builder->size += size;
  put_placed(builder, kind, start, size);
  return DDB_OK;
}

static ddb_status append_bigint(ddb_builder *builder, const ddb_value *value, ddb_error *err) {
  bool negative;
  ddb__big big = ddb__big_from(value, &negative);
  uint64_t magnitude = ddb__big_to_u64(big);
  if (big.size <= 8 && magnitude <= (uint64_t)INT64_MAX + negative) {
    return put_inline(builder, DDB_INT, negative ? 0 - magnitude : magnitude, err);
  }
  return put_bytes(builder, DDB_BIGINT, value->as.data, (uint32_t)big.size + 1, false, err);
}

static ddb_status append_container(ddb_builder *builder, const ddb_value *value, ddb_error *err) {
  unsigned records = builder->depth > 0 && builder->frames[0].kind == DDB_MISSING;
  if (value->as.data == NULL) {
    return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "a container without a block"));
  }
  if (builder->depth - records + ddb__check_depth(value) > DDB_DEPTH_MAX) {
    return drop(builder, ddb__fail(err, DDB_ERR_LIMIT, "nested deeper than %d (DDB_DEPTH_MAX)",
                                   DDB_DEPTH_MAX));
  }
  return put_bytes(builder, value->kind, value->as.data, value->size, true, err);
}

static ddb_status append_sized(ddb_builder *builder, const ddb_value *value, ddb_error *err) {
  if (ddb__kind_is_container(value->kind)) {
    return append_container(builder, value, err);
  }
  ddb_status status = ddb__check_scalar(value, err);
  if (status != DDB_OK) {
    return drop(builder, status);
  }
  switch (value->kind) {
  case DDB_BIGINT:
    return append_bigint(builder, value, err);
  case DDB_DATETIME:
  case DDB_TIME:
  case DDB_TIMEDELTA:
  case DDB_UUID:
    return put_bytes(builder, value->kind, value->as.data, value->size, true, err);
  default:
    return put_bytes(builder, value->kind, value->as.data, value->size, false, err);
  }
}

/* Most strings: what they are takes no call to find out. */
static inline bool is_short_ascii(const ddb_value *value) {
  const char *at = value->as.data;
  return at != NULL && value->size <= 16 && ddb__text_is_ascii(at, value->size);
}

ddb_status ddb_builder_append(ddb_builder *builder, const ddb_value *value, ddb_error *err) {
  switch (value->kind) {
  case DDB_NULL:
    return put_inline(builder, DDB_NULL, 0, err);
  case DDB_BOOL:
    return put_inline(builder, DDB_BOOL, value->as.boolean ? 1 : 0, err);
  case DDB_DATE: {
    ddb_status status = ddb__check_scalar(value, err);
    if (status != DDB_OK) {
      return drop(builder, status);
    }
  }
    __attribute__((fallthrough));
  case DDB_INT:
  case DDB_FLOAT:
    return put_inline(builder, value->kind, (uint64_t)value->as.integer, err);
  case DDB_STR_KIND:
    if (is_short_ascii(value)) {
      return put_bytes(builder, DDB_STR_KIND, value->as.data, value->size, false, err);
    }
    return append_sized(builder, value, err);
  default:
    return append_sized(builder, value, err);
  }
}

/* ---- Containers and records --------------------------------------------------------------- */

/* Lays out the fixed part of a block of `count` values and opens its frame. */
static ddb_status frame_open(ddb_builder *builder, uint8_t kind, size_t count, uint32_t expected,
                             ddb_error *err) {
  size_t fixed = ddb__block_fixed_size(count);
  ddb_status status = item_reserve(builder, fixed + 7, err);
  if (status == DDB_OK && builder->depth == 0) {
    status = items_reserve(builder, err);
  }
  if (status != DDB_OK) {
    return drop(builder, status);
  }
  align_size(builder);
  if (builder->depth == 0) {
    builder->item_start = builder->size;
  }
  size_t start = builder->size;
  ddb__block *block = (ddb__block *)(void *)(builder->data + start);
  block->count = (uint32_t)count;
  block->size = 0;
  size_t tags = ddb__align8(count);
  if (tags > 0) {
    memset((char *)block + sizeof *block + tags - 8, 0, 8);
  }
  builder->size = start + fixed;
  builder->frames[builder->depth++] = (frame){
      .start = start,
      .payloads_at = start + sizeof *block + tags,
      .expected = expected,
      .kind = kind,
  };
  return DDB_OK;
}

ddb_status ddb_builder_begin(ddb_builder *builder, ddb_kind kind, size_t item_count,
                             ddb_error *err) {
  if (!ddb__kind_is_container((uint8_t)kind) || (unsigned)kind >= DDB_KIND_COUNT) {
    return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "'%s' is not a kind of container",
                                   ddb_kind_name(kind)));
  }
  if (kind == DDB_DICT && item_count % 2 != 0) {
    return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "a dict of an odd number of items"));
  }
  if (is_full(builder)) {
    return fail_full(builder, err);
  }
  unsigned records = builder->depth > 0 && builder->frames[0].kind == DDB_MISSING;
  if (builder->depth - records >= DDB_DEPTH_MAX) {
    return drop(builder, ddb__fail(err, DDB_ERR_LIMIT, "nested deeper than %d (DDB_DEPTH_MAX)",
                                   DDB_DEPTH_MAX));
  }
  if (item_count > DDB_RECORD_SIZE_MAX / 9) {
    return fail_size(builder, err);
  }
  return frame_open(builder, (uint8_t)kind, item_count, (uint32_t)item_count, err);
}

ddb_status ddb_builder_record_begin(ddb_builder *builder, const ddb_shape *shape, bool validate,
                                    ddb_error *err) {
  if (builder->depth > 0) {
    return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "a record inside of another item"));
  }
  ddb_status status = frame_open(builder, DDB_MISSING, shape->count, shape->input_count, err);
  if (status == DDB_OK) {
    builder->shape = shape;
    builder->frames[0].validate = validate;
  }
  return status;
}

static ddb__block *block_at(ddb_builder *builder, size_t start) {
  return (ddb__block *)(void *)(builder->data + start);
}

/* Keys of a dict (every second item) or items of a set. */
static ddb_status check_hashable(ddb_builder *builder, const frame *f, ddb_error *err) {
  const ddb__block *block = block_at(builder, f->start);
  bool is_dict = f->kind == DDB_DICT;
  for (size_t i = 0; i < block->count; i += is_dict ? 2 : 1) {
    ddb_value value = ddb__block_value(block, i);
    if (!ddb__value_hashable(&value)) {
      return drop(builder, ddb__fail(err, DDB_ERR_TYPE, "unhashable %s as %s of a %s",
                                     ddb_kind_name((ddb_kind)value.kind), is_dict ? "key" : "item",
                                     ddb_kind_name((ddb_kind)f->kind)));
    }
  }
  return DDB_OK;
}

static ddb_status end_set(ddb_builder *builder, const frame *f, ddb_error *err) {
  ddb_status status = check_hashable(builder, f, err);
  if (status != DDB_OK || f->expected < 2) {
    return status;
  }
  status = data_reserve(builder, 7 + ddb__sort_scratch_size(f->expected), err);
  if (status == DDB_OK) {
    ddb__sort_set(block_at(builder, f->start), builder->data + ddb__align8(builder->size));
  }
  return status;
}

static ddb_status fail_key(ddb_builder *builder, const ddb__block *block, size_t entry,
                           ddb_error *err) {
  char text[128];
  ddb_value key = ddb__block_value(block, 2 * entry);
  ddb_value_format(&key, text, sizeof text);
  return drop(builder, ddb__fail(err, DDB_ERR_INVALID, "key %s twice in a dict", text));
}

static ddb_status end_dict(ddb_builder *builder, const frame *f, ddb_error *err) {
  ddb_status status = check_hashable(builder, f, err);
  size_t entries = f->expected / 2;
  size_t size = ddb__align8(entries * sizeof(uint32_t));
  if (status == DDB_OK) {
    status = item_reserve(builder, size + 7, err);
  }
  if (status == DDB_OK) {
    status = data_reserve(builder, size + 7 + ddb__sort_scratch_size(entries), err);
  }
  if (status != DDB_OK) {
    return status;
  }
  align_size(builder);
  if (entries == 0) {
    return DDB_OK;
  }
  char *at = builder->data + builder->size;
  memset(at + size - 8, 0, 8);
  const ddb__block *block = block_at(builder, f->start);
  size_t twice = ddb__sort_dict(block, (uint32_t *)(void *)at, at + size);
  if (twice != SIZE_MAX) {
    return fail_key(builder, block, twice, err);
  }
  builder->size += size;
  return DDB_OK;
}

/* What the caller did not give: the schema's defaults; the automatic key is a hole. */
static ddb_status fill_record(ddb_builder *builder, const ddb_shape *shape, ddb_error *err) {
  frame *f = &builder->frames[0];
  f->expected = shape->count;
  for (uint32_t i = shape->input_count; i < shape->count; i++) {
    if (shape->auto_key && i == shape->key_index) {
      frame_put(builder, DDB_MISSING, 0);
      continue;
    }
    ddb_status status = ddb_builder_append(builder, shape->checks[i]->default_value, err);
    if (status != DDB_OK) {
      return status;
    }
  }
  return DDB_OK;
}

static ddb_status end_record(ddb_builder *builder, const frame *f, ddb_error *err) {
  const ddb_shape *shape = builder->shape;
  ddb_status status = shape->input_count < shape->count ? fill_record(builder, shape, err) : DDB_OK;
  if (status != DDB_OK || !f->validate) {
    return status;
  }
  status = ddb__shape_validate(shape, block_at(builder, f->start), err);
  return status == DDB_OK ? DDB_OK : drop(builder, status);
}

static ddb_status end_frame(ddb_builder *builder, const frame *f, ddb_error *err) {
  ddb_status status = DDB_OK;
  switch (f->kind) {
  case DDB_MISSING:
    status = end_record(builder, f, err);
    break;
  case DDB_DICT:
    return end_dict(builder, f, err); /* aligned already: the order ends the block */
  case DDB_SET:
  case DDB_FROZENSET:
    status = end_set(builder, f, err);
    break;
  default:
    break;
  }
  return status != DDB_OK ? status : data_reserve(builder, 7, err);
}

ddb_status ddb_builder_end(ddb_builder *builder, ddb_error *err) {
  if (builder->depth == 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "nothing is open");
  }
  frame *f = top(builder);
  if (f->next != f->expected) {
    return drop(builder,
                ddb__fail(err, DDB_ERR_INVALID, "%u of %u announced values", f->next, f->expected));
  }
  ddb_status status = end_frame(builder, f, err);
  if (status != DDB_OK) {
    return status;
  }
  align_size(builder);
  uint32_t size = (uint32_t)(builder->size - f->start);
  block_at(builder, f->start)->size = size;
  builder->depth--;
  if (f->kind == DDB_MISSING) {
    items_push(builder, (item){.shape = builder->shape, .payload = f->start, .size = size});
  } else {
    put_placed(builder, f->kind, f->start, size);
  }
  return DDB_OK;
}

/* ---- Finished items ----------------------------------------------------------------------- */

size_t ddb_builder_count(const ddb_builder *builder) {
  return builder->item_count;
}

ddb_value ddb_builder_value_at(const ddb_builder *builder, size_t index) {
  const item *finished = &builder->items[index];
  if (ddb__kind_is_inline(finished->kind)) {
    return ddb_value_make(finished->kind, 0, finished->payload);
  }
  return ddb_value_make(finished->kind, finished->size,
                        (uint64_t)(uintptr_t)(builder->data + finished->payload));
}

ddb__item ddb__builder_item(const ddb_builder *builder, size_t index) {
  const item *finished = &builder->items[index];
  return (ddb__item){
      .shape = finished->shape,
      .block = finished->shape == NULL
                   ? NULL
                   : (const ddb__block *)(const void *)(builder->data + finished->payload),
  };
}
