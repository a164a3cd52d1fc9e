/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - what both sides of a JSON file must agree on; docs/file-format.md draws the whole.
 */
#ifndef DDB_IO_LAYOUT_H
#define DDB_IO_LAYOUT_H

#include "dictdb.h"

#define DDB__LAYOUT_NAME    "dictdb"
#define DDB__LAYOUT_VERSION 1

/* X(type bits, name in "schema_types", name in the original layout's "schema" or NULL). In this
 * order a set of bits is taken apart, largest part first: float is taken before int, int before the
 * two kinds of integers. */
#define DDB__LAYOUT_TYPE_MAP(X)                                                                    \
  X(DDB_TYPE_FLOAT, "float", "float")                                                              \
  X(DDB_TYPE_INT, "int", "int")                                                                    \
  X(DDB_TYPE(DDB_STR_KIND), "str", "str")                                                          \
  X(DDB_TYPE(DDB_BOOL), "bool", "bool")                                                            \
  X(DDB_TYPE(DDB_LIST), "list", "list")                                                            \
  X(DDB_TYPE(DDB_DICT), "dict", "dict")                                                            \
  X(DDB_TYPE(DDB_NULL), "null", NULL)                                                              \
  X(DDB_TYPE(DDB_FLOAT), "float64", NULL)                                                          \
  X(DDB_TYPE(DDB_INT), "int64", NULL)                                                              \
  X(DDB_TYPE(DDB_BIGINT), "bigint", NULL)                                                          \
  X(DDB_TYPE(DDB_DECIMAL), "decimal", NULL)                                                        \
  X(DDB_TYPE(DDB_BYTES), "bytes", NULL)                                                            \
  X(DDB_TYPE(DDB_DATE), "date", NULL)                                                              \
  X(DDB_TYPE(DDB_DATETIME), "datetime", NULL)                                                      \
  X(DDB_TYPE(DDB_TIME), "time", NULL)                                                              \
  X(DDB_TYPE(DDB_TIMEDELTA), "timedelta", NULL)                                                    \
  X(DDB_TYPE(DDB_TUPLE), "tuple", NULL)                                                            \
  X(DDB_TYPE(DDB_SET), "set", NULL)                                                                \
  X(DDB_TYPE(DDB_FROZENSET), "frozenset", NULL)                                                    \
  X(DDB_TYPE(DDB_UUID), "uuid", NULL)

#define DDB__LAYOUT_ALL_TYPES (DDB_TYPE(DDB_KIND_COUNT) - 1)

typedef struct ddb__layout_type {
  uint32_t types;
  const char *name;
  const char *plain_name; /* NULL: the original layout has no such type */
} ddb__layout_type;

extern const ddb__layout_type ddb__layout_types[];
extern const size_t ddb__layout_type_count;

/* The original layout's name of a field that a value is required for; NULL: it has none. */
const char *ddb__layout_plain_name(const ddb_schema_field *field);
/* 0: no such name. */
uint32_t ddb__layout_types_of(ddb_str name, bool plain);

/* Long work that its caller may follow and stop: about every 1 % or 100 ms. */
typedef struct ddb__layout_progress {
  ddb_progress call; /* NULL: nobody follows */
  void *context;
  uint64_t total;
  uint64_t told;    /* what the last call said */
  uint64_t told_ns; /* when, 0: never */
} ddb__layout_progress;

/* What is to be done: all records of these tables, as the snapshot sees them. */
ddb_status ddb__layout_count(ddb__layout_progress *progress, ddb_snapshot *snapshot,
                             ddb_table *const *tables, size_t table_count, ddb_error *err);
/* INTERRUPTED when the caller says so. now: whatever the time. */
ddb_status ddb__layout_tell(ddb__layout_progress *progress, uint64_t done, bool now,
                            ddb_error *err);

#endif
