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

/* Values of an int column whose lanes are so many bytes: a constant where this is called. */
static inline __attribute__((always_inline)) void
take_ints(ddb__input *input, const ddb__column *column, size_t first, uint64_t told, size_t lane) {
  const char *lanes = (const char *)column->lanes + first * lane;
  for (; told != 0; told &= told - 1) {
    unsigned i = (unsigned)__builtin_ctzll(told);
    uint64_t above =
        0; /* little-endian, as values are in files and on all that this is built for */
    memcpy(&above, lanes + i * lane, lane);
    input->values[i] = ddb_int((int64_t)((uint64_t)column->base + above));
  }
}

static void take_reals(ddb__input *input, const ddb__column *column, size_t first, uint64_t told) {
  const double *lanes = (const double *)column->lanes + first;
  for (; told != 0; told &= told - 1) {
    unsigned i = (unsigned)__builtin_ctzll(told);
    input->values[i] = ddb_float(lanes[i]);
  }
}

static uint64_t take_codes(ddb__input *input, const ddb__column *column, size_t first,
                           uint64_t told) {
  const uint8_t *codes = (const uint8_t *)column->lanes + first;
  uint64_t present = 0;
  for (; told != 0; told &= told - 1) {
    unsigned i = (unsigned)__builtin_ctzll(told);
    const ddb_value *value = &column->values[codes[i]];
    bool is_null = value->kind <= DDB_NULL;
    input->values[i] = is_null ? ddb_null() : *value;
    present |= (uint64_t)!is_null << i;
  }
  return present;
}

/* Ints or floats, in the loop for their size. */
static uint64_t take_numbers(ddb__input *input, const ddb__column *column, size_t first,
                             uint64_t told) {
  /* A leaf's rows are bits of one word: block_row is a multiple of their number. */
  uint64_t nulls = column->has_nulls ? told & column->nulls[first / 64] >> (first % 64) : 0;
  told &= ~nulls;
  for (uint64_t mask = nulls; mask != 0; mask &= mask - 1) {
    input->values[__builtin_ctzll(mask)] = ddb_null();
  }
  if (column->kind == DDB__COLUMN_FLOAT) {
    take_reals(input, column, first, told);
  } else if (column->lane == 1) {
    take_ints(input, column, first, told, 1);
  } else if (column->lane == 2) {
    take_ints(input, column, first, told, 2);
  } else if (column->lane == 4) {
    take_ints(input, column, first, told, 4);
  } else {
    take_ints(input, column, first, told, 8);
  }
  return told;
}

/* The rows that the batch's columns tell; returns the rest. */
static uint64_t take_column(ddb__input *input, const ddb__batch *batch) {
  const ddb__column *column = batch->memo ? ddb__memo_column(batch->memo, input->field_id) : NULL;
  if (!column || !ddb__column_has_values(column)) {
    return batch->mask;
  }
  uint64_t told = DDB__FAULT(INPUT_STALE) ? batch->mask : batch->mask & batch->clean;
  input->present = column->kind == DDB__COLUMN_CODES
                       ? take_codes(input, column, batch->block_row, told)
                       : take_numbers(input, column, batch->block_row, told);
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
