/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_time_in.c - dates, times, durations and time zones into a ddb_builder.
 *
 * Zones: datetime.timezone is kept as offset and name, zoneinfo.ZoneInfo by its key. Any other
 * tzinfo is refused: its rules could not be restored from a file.
 */
#include "pyddb.h"

#include <datetime.h>

#define MICROS_PER_SECOND INT64_C(1000000)
#define MICROS_PER_DAY    (86400 * MICROS_PER_SECOND)
#define ZONE_SIZE_MAX     1024

typedef struct temporal_buffer {
  ddb_temporal temporal;
  char zone[ZONE_SIZE_MAX];
} temporal_buffer;

/* Days before the first of the year, of the proleptic Gregorian calendar; day 1 is 0001-01-01. */
static int64_t ordinal_of(int year, int month, int day) {
  static const int days_before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  int64_t before = year - 1;
  bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return before * 365 + before / 4 - before / 100 + before / 400 + days_before_month[month - 1] +
         (month > 2 && is_leap) + day;
}

static int64_t delta_micros(PyObject *delta) {
  return PyDateTime_DELTA_GET_DAYS(delta) * MICROS_PER_DAY +
         PyDateTime_DELTA_GET_SECONDS(delta) * MICROS_PER_SECOND +
         PyDateTime_DELTA_GET_MICROSECONDS(delta);
}

static int set_zone_text(const pyddb_input *in, temporal_buffer *buffer, PyObject *tzinfo,
                         PyObject *text) {
  if (!PyUnicode_Check(text)) {
    return pyddb_refuse(in, tzinfo, ": its name is not a str");
  }
  pyddb_text name;
  if (pyddb_text_init(&name, text) < 0) {
    return -1;
  }
  int result = 0;
  if (name.str.size > ZONE_SIZE_MAX) {
    result = pyddb_refuse(in, tzinfo, ": its name is too long");
  } else {
    memcpy(buffer->zone, name.str.data, name.str.size);
    buffer->temporal.zone_size = (uint16_t)name.str.size;
  }
  pyddb_text_fini(&name);
  return result;
}

/* timezone.__getinitargs__() is (offset,) or (offset, name). */
static int set_fixed_zone(const pyddb_input *in, temporal_buffer *buffer, PyObject *tzinfo) {
  buffer->temporal.zone_kind = DDB_ZONE_FIXED;
  PyDateTime_CAPI *api = in->state->datetime_capi;
  if (tzinfo == api->TimeZone_UTC) {
    buffer->temporal.offset_micros = 0;
    return 0;
  }
  PyObject *parts = PyObject_CallMethod(tzinfo, "__getinitargs__", NULL);
  int result = -1;
  if (parts && PyTuple_Check(parts) && PyTuple_GET_SIZE(parts) >= 1 &&
      PyObject_TypeCheck(PyTuple_GET_ITEM(parts, 0), api->DeltaType)) {
    buffer->temporal.offset_micros = delta_micros(PyTuple_GET_ITEM(parts, 0));
    result = PyTuple_GET_SIZE(parts) < 2
                 ? 0
                 : set_zone_text(in, buffer, tzinfo, PyTuple_GET_ITEM(parts, 1));
  } else if (parts) {
    result = pyddb_refuse(in, tzinfo, "");
  }
  Py_XDECREF(parts);
  return result;
}

static int set_iana_zone(const pyddb_input *in, temporal_buffer *buffer, PyObject *object,
                         PyObject *tzinfo) {
  buffer->temporal.zone_kind = DDB_ZONE_IANA;
  PyObject *key = PyObject_GetAttrString(tzinfo, "key");
  if (!key) {
    return -1;
  }
  int result = set_zone_text(in, buffer, tzinfo, key);
  Py_DECREF(key);
  PyObject *offset = result == 0 ? PyObject_CallMethod(object, "utcoffset", NULL) : NULL;
  if (!offset) {
    return -1;
  }
  PyDateTime_CAPI *api = in->state->datetime_capi;
  if (PyObject_TypeCheck(offset, api->DeltaType)) {
    buffer->temporal.offset_micros = delta_micros(offset);
  }
  Py_DECREF(offset);
  return 0;
}

static int set_zone(const pyddb_input *in, temporal_buffer *buffer, PyObject *object,
                    PyObject *tzinfo) {
  buffer->temporal.offset_micros = DDB_OFFSET_NONE;
  if (tzinfo == Py_None) {
    return 0;
  }
  PyDateTime_CAPI *api = in->state->datetime_capi;
  if (Py_IS_TYPE(tzinfo, Py_TYPE(api->TimeZone_UTC))) {
    return set_fixed_zone(in, buffer, tzinfo);
  }
  const pyddb_foreign *foreign = pyddb_foreign_get(in->state);
  if (!foreign) {
    return -1;
  }
  if (Py_IS_TYPE(tzinfo, (PyTypeObject *)foreign->zone_info)) {
    return set_iana_zone(in, buffer, object, tzinfo);
  }
  return pyddb_refuse(in, tzinfo, " as a time zone: use datetime.timezone or zoneinfo.ZoneInfo");
}

static int append_buffer(const pyddb_input *in, ddb_kind kind, temporal_buffer *buffer,
                         PyObject *object, PyObject *tzinfo) {
  Py_INCREF(tzinfo);
  int result = set_zone(in, buffer, object, tzinfo);
  Py_DECREF(tzinfo);
  if (result < 0) {
    ddb_builder_cancel(in->builder);
    return -1;
  }
  ddb_value value = {.kind = (uint8_t)kind,
                     .size = (uint32_t)sizeof(ddb_temporal) + buffer->temporal.zone_size,
                     .as = {.data = buffer}};
  return pyddb_append_value(in, &value);
}

static int append_datetime(const pyddb_input *in, PyObject *object) {
  int64_t day = ordinal_of(PyDateTime_GET_YEAR(object), PyDateTime_GET_MONTH(object),
                           PyDateTime_GET_DAY(object));
  int64_t second = PyDateTime_DATE_GET_HOUR(object) * 3600 +
                   PyDateTime_DATE_GET_MINUTE(object) * 60 + PyDateTime_DATE_GET_SECOND(object);
  temporal_buffer buffer;
  buffer.temporal = (ddb_temporal){
      .micros = (day - 1) * MICROS_PER_DAY + second * MICROS_PER_SECOND +
                PyDateTime_DATE_GET_MICROSECOND(object),
      .fold = PyDateTime_DATE_GET_FOLD(object),
  };
  return append_buffer(in, DDB_DATETIME, &buffer, object, PyDateTime_DATE_GET_TZINFO(object));
}

static int append_time(const pyddb_input *in, PyObject *object) {
  int64_t second = PyDateTime_TIME_GET_HOUR(object) * 3600 +
                   PyDateTime_TIME_GET_MINUTE(object) * 60 + PyDateTime_TIME_GET_SECOND(object);
  temporal_buffer buffer;
  buffer.temporal = (ddb_temporal){
      .micros = second * MICROS_PER_SECOND + PyDateTime_TIME_GET_MICROSECOND(object),
      .fold = PyDateTime_TIME_GET_FOLD(object),
  };
  return append_buffer(in, DDB_TIME, &buffer, object, PyDateTime_TIME_GET_TZINFO(object));
}

static int append_date(const pyddb_input *in, PyObject *object) {
  ddb_value value = {
      .kind = DDB_DATE,
      .as = {.integer = ordinal_of(PyDateTime_GET_YEAR(object), PyDateTime_GET_MONTH(object),
                                   PyDateTime_GET_DAY(object))}};
  return pyddb_append_value(in, &value);
}

static int append_delta(const pyddb_input *in, PyObject *object) {
  ddb_duration duration = {
      .days = PyDateTime_DELTA_GET_DAYS(object),
      .micros = PyDateTime_DELTA_GET_SECONDS(object) * MICROS_PER_SECOND +
                PyDateTime_DELTA_GET_MICROSECONDS(object),
  };
  ddb_value value = {.kind = DDB_TIMEDELTA, .size = sizeof duration, .as = {.data = &duration}};
  return pyddb_append_value(in, &value);
}

int pyddb_append_temporal(const pyddb_input *in, PyObject *object) {
  PyDateTime_CAPI *api = in->state->datetime_capi;
  if (PyObject_TypeCheck(object, api->DateTimeType)) {
    return append_datetime(in, object);
  }
  if (PyObject_TypeCheck(object, api->DateType)) {
    return append_date(in, object);
  }
  if (PyObject_TypeCheck(object, api->TimeType)) {
    return append_time(in, object);
  }
  if (PyObject_TypeCheck(object, api->DeltaType)) {
    return append_delta(in, object);
  }
  return -2;
}
