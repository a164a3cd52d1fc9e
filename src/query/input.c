/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c - see input.h. Cost: about a nanosecond for an inline value in the cache.
 */
#include "query/input.h"

#include "base/testing.h"
#include "store/value.h"

ddb_status ddb__input_init(ddb__input *input, const ddb__shapes *shapes, ddb_str field,
                           const ddb_expr *expr, ddb_error *err) {
  memset(input, 0, offsetof(ddb__input, values));
  input->source = expr;
  input->borrows = true;
  if (!expr) {
    return ddb__bound_field(shapes, field, &input->field_id, err);
  }
  input->field_id = DDB__NO_FIELD;
  ddb_status status = ddb__expr_bind(expr, shapes, &input->expr, err);
  input->borrows = status || ddb__expr_path(input->expr);
  return status;
}

void ddb__input_fini(ddb__input *input) {
  ddb__expr_unbind(input->expr);
  ddb__arena_fini(&input->copies);
}

static __attribute__((noinline)) void find_place(ddb__input *input, const ddb_shape *shape) {
  uint32_t index = ddb__shape_find(shape, input->field_id);
  input->shape = shape;
  input->tag_at = 0;
  if (index != DDB__NO_FIELD) {
    size_t block = offsetof(ddb_record, block);
    input->tag_at = (uint32_t)(block + offsetof(ddb__block, tags) + index);
    input->payload_at = (uint32_t)(block + sizeof(ddb__block) + ddb__align8(shape->count) +
                                   (size_t)index * sizeof(uint64_t));
  }
}

static inline ddb_value read_value(const ddb__input *input, const ddb_record *record) {
  const char *bytes = (const char *)record;
  uint8_t kind = input->tag_at == 0 ? DDB_MISSING : (uint8_t)bytes[input->tag_at];
  if (kind <= DDB_NULL) {
    return ddb_null();
  }
  uint64_t payload;
  memcpy(&payload, bytes + input->payload_at, sizeof payload);
  if (ddb__kind_is_inline(kind)) {
    return ddb_value_make(kind, 0, payload);
  }
  ddb__span span;
  memcpy(&span, &payload, sizeof span);
  const char *data = (const char *)&record->block + span.offset;
  return ddb_value_make(kind, span.size, (uint64_t)(uintptr_t)data);
}

static ddb_status compute(ddb__input *input, const ddb_record *const *records, uint64_t mask,
                          ddb_error *err) {
  ddb__arena_clear(&input->copies);
  ddb_status status = DDB_OK;
  for (; mask != 0 && !status; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    ddb_value value = ddb__expr_eval(input->expr, records[i]);
    if (value.kind <= DDB_NULL) {
      input->values[i] = ddb_null();
      continue;
    }
    input->values[i] = value;
    input->present |= UINT64_C(1) << i;
    if (!input->borrows) {
      status = ddb__arena_copy(&input->copies, &input->values[i], err);
    }
  }
  return status;
}

/* The rows that the batch's columns tell; returns the rest. */
static uint64_t take_column(ddb__input *input, const ddb__batch *batch) {
  const ddb__column *column = batch->memo ? ddb__memo_column(batch->memo, input->field_id) : NULL;
  if (!column || !ddb__column_has_values(column)) {
    return batch->mask;
  }
  uint64_t told = DDB__FAULT(INPUT_STALE) ? batch->mask : batch->mask & batch->clean;
  uint64_t present = 0;
  for (uint64_t mask = told; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    input->values[i] = ddb__column_value(column, batch->block_row + i);
    present |= (uint64_t)(input->values[i].kind != DDB_NULL) << i;
  }
  input->present = present;
  return batch->mask & ~told;
}

ddb_status ddb__input_fill(ddb__input *input, const ddb__batch *batch, ddb_error *err) {
  input->present = 0;
  if (input->expr) {
    return compute(input, batch->records, batch->mask, err);
  }
  if (input->field_id == DDB__NO_FIELD) {
    for (unsigned i = 0; i < DDB__BATCH_MAX; i++) {
      input->values[i] = ddb_null();
    }
    return DDB_OK;
  }
  uint64_t mask = take_column(input, batch);
  uint64_t present = input->present;
  for (; mask != 0; mask &= mask - 1) {
    unsigned i = (unsigned)__builtin_ctzll(mask);
    const ddb_record *record = batch->records[i];
    if (record->shape != input->shape) {
      find_place(input, record->shape);
    }
    input->values[i] = read_value(input, record);
    present |= (uint64_t)(input->values[i].kind != DDB_NULL) << i;
  }
  input->present = present;
  return DDB_OK;
}
