/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.h - the finished items of a ddb_builder, for the store.
 */
#ifndef DDB_STORE_BUILDER_H
#define DDB_STORE_BUILDER_H

#include "dictdb.h"
#include "store/shape.h"
#include "store/value.h"

/* A finished top-level item. Records: `shape` is set and `block` is the record's body with
 * shape->stored's fields in order; the automatic key, when the shape has one, is DDB_MISSING. */
typedef struct ddb__item {
  const ddb_shape *shape;  /* NULL: a plain value */
  const ddb__block *block; /* records only; borrowed until the next append or clear */
} ddb__item;

ddb__item ddb__builder_item(const ddb_builder *builder, size_t index);

#endif
