/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - names of types, and progress. Thread-safety: names atomic, progress distinct. */
#include "io/layout.h"

#include <time.h>

#include "base/status.h"
#include "io/try.h"
#include "store/text.h"

#define TELL_NS UINT64_C(100000000)

const ddb__layout_type ddb__layout_types[] = {
#define DDB_X(types, name, plain_name) {types, name, plain_name},
    DDB__LAYOUT_TYPE_MAP(DDB_X)
#undef DDB_X
};
const size_t ddb__layout_type_count = sizeof ddb__layout_types / sizeof ddb__layout_types[0];

const char *ddb__layout_plain_name(const ddb_schema_field *field) {
  for (size_t i = 0; i < ddb__layout_type_count && !field->default_value; i++) {
    if (ddb__layout_types[i].types == field->types) {
      return ddb__layout_types[i].plain_name;
    }
  }
  return NULL;
}

uint32_t ddb__layout_types_of(ddb_str name, bool plain) {
  for (size_t i = 0; i < ddb__layout_type_count; i++) {
    const ddb__layout_type *type = &ddb__layout_types[i];
    const char *candidate = plain ? type->plain_name : type->name;
    if (candidate && ddb__text_equal(name, ddb_str_from(candidate))) {
      return type->types;
    }
  }
  return 0;
}

static uint64_t clock_ns(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

ddb_status ddb__layout_count(ddb__layout_progress *progress, ddb_snapshot *snapshot,
                             ddb_table *const *tables, size_t table_count, ddb_error *err) {
  progress->total = 0;
  for (size_t i = 0; i < table_count; i++) {
    ddb_view view;
    DDB__TRY(ddb_snapshot_view(snapshot, tables[i], &view, err));
    progress->total += ddb_view_count(&view);
    ddb_view_close(&view);
  }
  return DDB_OK;
}

ddb_status ddb__layout_tell(ddb__layout_progress *progress, uint64_t done, bool now,
                            ddb_error *err) {
  if (!progress->call) {
    return DDB_OK;
  }
  uint64_t time_ns = clock_ns();
  bool step = progress->total && done - progress->told >= progress->total / 100 + 1;
  if (!now && !step && time_ns - progress->told_ns < TELL_NS) {
    return DDB_OK;
  }
  progress->told = done;
  progress->told_ns = time_ns;
  if (progress->call(progress->context, done, progress->total) != 0) {
    return ddb__fail(err, DDB_ERR_INTERRUPTED, "stopped by the progress function");
  }
  return DDB_OK;
}
