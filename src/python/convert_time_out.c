/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_time_out.c - dates, times, durations and time zones to Python objects.
 *
 * A zone key that this machine's time zone database does not know becomes a fixed offset with the
 * key as its name, when the offset is known: the instant is right, and the record stays readable.
 */
#include "pyddb.h"

#include <datetime.h>

#define MICROS_PER_SECOND INT64_C(1000000)
#define MICROS_PER_DAY    (86400 * MICROS_PER_SECOND)

typedef struct civil_date {
  int year, month, day;
} civil_date;

/* The inverse of ordinal_of() in convert_time_in.c. */
static civil_date civil_of(int64_t ordinal) {
  /* Years that start in March put the leap day last: day 0 is 0000-03-01. */
  int64_t days = ordinal + 305;
  int64_t era = days / 146097;
  int64_t day_of_era = days % 146097;
  int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month = (5 * day_of_year + 2) / 153;
  civil_date date = {
      .year = (int)(year_of_era + era * 400 + (month >= 10)),
      .month = (int)(month < 10 ? month + 3 : month - 9),
      .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
  };
  return date;
}

static PyObject *delta_out(PyDateTime_CAPI *api, int64_t days, int64_t micros) {
  return api->Delta_FromDelta((int)days, (int)(micros / MICROS_PER_SECOND),
                              (int)(micros % MICROS_PER_SECOND), 1, api->DeltaType);
}

static PyObject *fixed_zone_out(PyDateTime_CAPI *api, int64_t offset, ddb_str name) {
  if (offset == 0 && name.size == 0) {
    return Py_NewRef(api->TimeZone_UTC);
  }
  PyObject *delta = delta_out(api, 0, offset);
  PyObject *text = name.size ? pyddb_text_out(name) : NULL;
  PyObject *zone = NULL;
  if (delta && (text || name.size == 0)) {
    zone = api->TimeZone_FromTimeZone(delta, text);
  }
  Py_XDECREF(delta);
  Py_XDECREF(text);
  return zone;
}

static PyObject *iana_zone_out(pyddb_state *state, int64_t offset, ddb_str key) {
  const pyddb_foreign *foreign = pyddb_foreign_get(state);
  PyObject *text = foreign ? pyddb_text_out(key) : NULL;
  PyObject *zone = text ? PyObject_CallOneArg(foreign->zone_info, text) : NULL;
  Py_XDECREF(text);
  if (!zone && offset != DDB_OFFSET_NONE && PyErr_ExceptionMatches(PyExc_Exception) &&
      !PyErr_ExceptionMatches(PyExc_MemoryError)) {
    PyErr_Clear();
    zone = fixed_zone_out(state->datetime_capi, offset, key);
  }
  return zone;
}

static PyObject *zone_out(pyddb_state *state, const ddb_temporal *temporal, ddb_str name) {
  switch (temporal->zone_kind) {
  case DDB_ZONE_FIXED:
    return fixed_zone_out(state->datetime_capi, temporal->offset_micros, name);
  case DDB_ZONE_IANA:
    return iana_zone_out(state, temporal->offset_micros, name);
  default:
    Py_RETURN_NONE;
  }
}

static PyObject *date_out(PyDateTime_CAPI *api, const ddb_value *value) {
  civil_date date = civil_of(value->as.integer);
  return api->Date_FromDate(date.year, date.month, date.day, api->DateType);
}

static PyObject *moment_out(PyDateTime_CAPI *api, ddb_kind kind, const ddb_temporal *temporal,
                            PyObject *zone) {
  int64_t micros = temporal->micros % MICROS_PER_DAY;
  int second_of_day = (int)(micros / MICROS_PER_SECOND);
  int hour = second_of_day / 3600;
  int minute = second_of_day / 60 % 60;
  int second = second_of_day % 60;
  int microsecond = (int)(micros % MICROS_PER_SECOND);
  if (kind == DDB_TIME) {
    return api->Time_FromTimeAndFold(hour, minute, second, microsecond, zone, temporal->fold,
                                     api->TimeType);
  }
  civil_date date = civil_of(temporal->micros / MICROS_PER_DAY + 1);
  return api->DateTime_FromDateAndTimeAndFold(date.year, date.month, date.day, hour, minute, second,
                                              microsecond, zone, temporal->fold, api->DateTimeType);
}

PyObject *pyddb_temporal_out(pyddb_state *state, const ddb_value *value) {
  PyDateTime_CAPI *api = state->datetime_capi;
  if (value->kind == DDB_DATE) {
    return date_out(api, value);
  }
  if (value->kind == DDB_TIMEDELTA) {
    ddb_duration duration;
    memcpy(&duration, value->as.data, sizeof duration);
    return delta_out(api, duration.days, duration.micros);
  }
  ddb_temporal temporal;
  memcpy(&temporal, value->as.data, sizeof temporal);
  ddb_str name = {(const char *)value->as.data + sizeof temporal, temporal.zone_size};
  PyObject *zone = zone_out(state, &temporal, name);
  PyObject *moment = zone ? moment_out(api, (ddb_kind)value->kind, &temporal, zone) : NULL;
  Py_XDECREF(zone);
  return moment;
}
