/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - the checks a builder makes on what a caller appends: ranges are those of Python's
 * types, so that whatever is stored can be given back.
 */
#include "store/check.h"

#include "base/status.h"
#include "store/number.h"
#include "store/text.h"
#include "store/value.h"

#define DAY_MICROS        INT64_C(86400000000)
#define ORDINAL_MAX       INT64_C(3652059) /* 9999-12-31 */
#define DURATION_DAYS_MAX INT64_C(999999999)

static ddb_status fail_value(ddb_error *err, uint8_t kind, const char *problem) {
  return ddb__fail(err, DDB_ERR_INVALID, "malformed %s: %s", ddb_kind_name((ddb_kind)kind),
                   problem);
}

static ddb_status check_bigint(const ddb_value *value, ddb_error *err) {
  const uint8_t *bytes = value->as.data;
  if (value->size == 0 || bytes[0] > 1) {
    return fail_value(err, value->kind, "no sign byte of 0 or 1");
  }
  return DDB_OK;
}

static const char *temporal_problem(const ddb_value *value) {
  ddb_temporal temporal;
  if (value->size < sizeof temporal) {
    return "wrong size";
  }
  memcpy(&temporal, value->as.data, sizeof temporal);
  bool is_time = value->kind == DDB_TIME;
  bool naive = temporal.zone_kind == DDB_ZONE_NONE;
  bool has_offset = temporal.offset_micros != DDB_OFFSET_NONE;
  ddb_str zone = {(const char *)value->as.data + sizeof temporal, temporal.zone_size};
  if (value->size != sizeof temporal + zone.size) {
    return "wrong size";
  }
  if (temporal.micros < 0 || temporal.micros >= (is_time ? 1 : ORDINAL_MAX) * DAY_MICROS) {
    return "out of range";
  }
  if (temporal.fold > 1 || temporal.reserved != 0 || temporal.zone_kind > DDB_ZONE_IANA) {
    return "unknown fold or kind of zone";
  }
  bool may_lack = naive || (is_time && temporal.zone_kind == DDB_ZONE_IANA); /* it needs a date */
  if ((naive && (has_offset || zone.size > 0)) || (!has_offset && !may_lack)) {
    return "zone and offset do not fit";
  }
  if (has_offset &&
      (temporal.offset_micros <= -DAY_MICROS || temporal.offset_micros >= DAY_MICROS)) {
    return "offset of a day or more";
  }
  return ddb__text_valid(zone) ? NULL : "zone is not UTF-8";
}

static const char *duration_problem(const ddb_value *value) {
  ddb_duration duration;
  if (value->size != sizeof duration) {
    return "wrong size";
  }
  memcpy(&duration, value->as.data, sizeof duration);
  bool in_range = duration.days >= -DURATION_DAYS_MAX && duration.days <= DURATION_DAYS_MAX &&
                  duration.micros >= 0 && duration.micros < DAY_MICROS;
  return in_range ? NULL : "out of range";
}

static ddb_status fail_if(ddb_error *err, uint8_t kind, const char *problem) {
  return problem == NULL ? DDB_OK : fail_value(err, kind, problem);
}

ddb_status ddb__check_scalar(const ddb_value *value, ddb_error *err) {
  if (value->kind == DDB_DATE) {
    bool in_range = value->as.integer >= 1 && value->as.integer <= ORDINAL_MAX;
    return fail_if(err, value->kind, in_range ? NULL : "out of range");
  }
  ddb_str bytes = {value->as.data, value->size};
  if (bytes.data == NULL && bytes.size > 0) {
    return fail_value(err, value->kind, "no data");
  }
  switch (value->kind) {
  case DDB_STR_KIND:
    return fail_if(err, value->kind, ddb__text_valid(bytes) ? NULL : "not UTF-8");
  case DDB_BYTES:
    return DDB_OK;
  case DDB_BIGINT:
    return check_bigint(value, err);
  case DDB_DECIMAL:
    return fail_if(err, value->kind, ddb__decimal_valid(bytes) ? NULL : "not a number");
  case DDB_DATETIME:
  case DDB_TIME:
    return fail_if(err, value->kind, temporal_problem(value));
  case DDB_TIMEDELTA:
    return fail_if(err, value->kind, duration_problem(value));
  case DDB_UUID:
    return fail_if(err, value->kind, value->size == 16 ? NULL : "not 16 bytes");
  default:
    return ddb__fail(err, DDB_ERR_INVALID, "a value of kind %u cannot be stored", value->kind);
  }
}

unsigned ddb__check_depth(const ddb_value *value) {
  if (!ddb__kind_is_container(value->kind)) {
    return 0;
  }
  const ddb__block *block = value->as.data;
  unsigned deepest = 0;
  for (size_t i = 0; i < block->count; i++) {
    ddb_value item = ddb__block_value(block, i);
    unsigned depth = ddb__check_depth(&item);
    deepest = depth > deepest ? depth : deepest;
  }
  return deepest + 1;
}
