/* SPDX-License-Identifier: Apache-2.0 */
/*
 * time_text.c - the proleptic Gregorian calendar and its text.
 *
 *   2013-01-31T05:17:00.000250+01:00:30.5     date T time [.micros] [offset]
 *
 * Counting days in years that start in March puts the leap day last: a date is then a closed
 * formula over eras of 400 years (146,097 days each).
 */
#include "io/time_text.h"

#define MICROS_PER_SECOND INT64_C(1000000)
#define MICROS_PER_MINUTE (60 * MICROS_PER_SECOND)
#define MICROS_PER_HOUR   (60 * MICROS_PER_MINUTE)
#define MICROS_PER_DAY    (24 * MICROS_PER_HOUR)
/* Days from 0000-03-01 to 0000-12-31: ordinal 1 is day 306 of that count. */
#define DAYS_TO_ORDINAL 305

typedef struct civil {
  int64_t year;
  int64_t month;
  int64_t day;
} civil;

static civil civil_of(int64_t ordinal) {
  int64_t days = ordinal + DAYS_TO_ORDINAL;
  int64_t era = days / 146097;
  int64_t day_of_era = days % 146097;
  int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t march_month = (5 * day_of_year + 2) / 153;
  int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  return (civil){.year = year_of_era + era * 400 + (month <= 2),
                 .month = month,
                 .day = day_of_year - (153 * march_month + 2) / 5 + 1};
}

static int64_t ordinal_of(civil date) {
  int64_t year = date.year - (date.month <= 2);
  int64_t era = year / 400;
  int64_t year_of_era = year % 400;
  int64_t march_month = date.month > 2 ? date.month - 3 : date.month + 9;
  int64_t day_of_year = (153 * march_month + 2) / 5 + date.day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - DAYS_TO_ORDINAL;
}

static int64_t month_days(int64_t year, int64_t month) {
  static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (month == 2 && leap);
}

/* ---- Writing ------------------------------------------------------------------------------ */

static char *put_digits(char *out, int64_t number, int digits) {
  for (int i = digits; i-- > 0;) {
    out[i] = (char)('0' + number % 10);
    number /= 10;
  }
  return out + digits;
}

static char *put_date(char *out, int64_t ordinal) {
  civil date = civil_of(ordinal);
  out = put_digits(out, date.year, 4);
  *out++ = '-';
  out = put_digits(out, date.month, 2);
  *out++ = '-';
  return put_digits(out, date.day, 2);
}

/* HH:MM, then :SS unless they may be left out, then .ffffff unless they are zero. */
static char *put_clock(char *out, int64_t micros, bool seconds_needed) {
  out = put_digits(out, micros / MICROS_PER_HOUR, 2);
  *out++ = ':';
  out = put_digits(out, micros / MICROS_PER_MINUTE % 60, 2);
  int64_t rest = micros % MICROS_PER_MINUTE;
  if (seconds_needed || rest) {
    *out++ = ':';
    out = put_digits(out, rest / MICROS_PER_SECOND, 2);
  }
  if (rest % MICROS_PER_SECOND) {
    *out++ = '.';
    out = put_digits(out, rest % MICROS_PER_SECOND, 6);
  }
  return out;
}

static char *put_offset(char *out, int64_t offset) {
  if (offset == DDB_OFFSET_NONE) {
    return out;
  }
  *out++ = offset < 0 ? '-' : '+';
  return put_clock(out, offset < 0 ? -offset : offset, false);
}

size_t ddb__time_text_date(int64_t ordinal, char *out) {
  return (size_t)(put_date(out, ordinal) - out);
}

size_t ddb__time_text_datetime(const ddb_temporal *temporal, char *out) {
  char *at = put_date(out, temporal->micros / MICROS_PER_DAY + 1);
  *at++ = 'T';
  at = put_clock(at, temporal->micros % MICROS_PER_DAY, true);
  return (size_t)(put_offset(at, temporal->offset_micros) - out);
}

size_t ddb__time_text_time(const ddb_temporal *temporal, char *out) {
  char *at = put_clock(out, temporal->micros, true);
  return (size_t)(put_offset(at, temporal->offset_micros) - out);
}

static bool dash_before(size_t byte) {
  return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void ddb__time_text_uuid(const uint8_t *bytes, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < 16; i++) {
    if (dash_before(i)) {
      *out++ = '-';
    }
    *out++ = digits[bytes[i] >> 4];
    *out++ = digits[bytes[i] & 15];
  }
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Takes from the front of *text. */
static bool take_digits(ddb_str *text, int count, int64_t *number) {
  if (text->size < (size_t)count) {
    return false;
  }
  *number = 0;
  for (int i = 0; i < count; i++) {
    char digit = text->data[i];
    if (digit < '0' || digit > '9') {
      return false;
    }
    *number = *number * 10 + (digit - '0');
  }
  *text = (ddb_str){text->data + count, text->size - (size_t)count};
  return true;
}

static bool take_character(ddb_str *text, char character) {
  if (text->size == 0 || *text->data != character) {
    return false;
  }
  *text = (ddb_str){text->data + 1, text->size - 1};
  return true;
}

static bool take_date(ddb_str *text, int64_t *ordinal) {
  civil date;
  if (!take_digits(text, 4, &date.year) || !take_character(text, '-') ||
      !take_digits(text, 2, &date.month) || !take_character(text, '-') ||
      !take_digits(text, 2, &date.day)) {
    return false;
  }
  if (date.year < 1 || date.month < 1 || date.month > 12 || date.day < 1 ||
      date.day > month_days(date.year, date.month)) {
    return false;
  }
  *ordinal = ordinal_of(date);
  return true;
}

static bool take_clock(ddb_str *text, bool seconds_needed, int64_t *micros) {
  int64_t hour;
  int64_t minute;
  int64_t second = 0;
  int64_t fraction = 0;
  if (!take_digits(text, 2, &hour) || !take_character(text, ':') ||
      !take_digits(text, 2, &minute)) {
    return false;
  }
  if (take_character(text, ':')) {
    if (!take_digits(text, 2, &second)) {
      return false;
    }
    if (take_character(text, '.') && !take_digits(text, 6, &fraction)) {
      return false;
    }
  } else if (seconds_needed) {
    return false;
  }
  *micros =
      hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + fraction;
  return hour < 24 && minute < 60 && second < 60;
}

static bool take_offset(ddb_str *text, int64_t *offset) {
  *offset = DDB_OFFSET_NONE;
  if (text->size == 0) {
    return true;
  }
  bool negative = take_character(text, '-');
  if (!negative && !take_character(text, '+')) {
    return false;
  }
  if (!take_clock(text, false, offset)) {
    return false;
  }
  *offset = negative ? -*offset : *offset;
  return true;
}

bool ddb__time_text_to_date(ddb_str text, int64_t *ordinal) {
  return take_date(&text, ordinal) && text.size == 0;
}

bool ddb__time_text_to_datetime(ddb_str text, ddb_temporal *out) {
  int64_t ordinal;
  *out = (ddb_temporal){0};
  if (!take_date(&text, &ordinal) || !take_character(&text, 'T') ||
      !take_clock(&text, true, &out->micros) || !take_offset(&text, &out->offset_micros)) {
    return false;
  }
  out->micros += (ordinal - 1) * MICROS_PER_DAY;
  return text.size == 0;
}

bool ddb__time_text_to_time(ddb_str text, ddb_temporal *out) {
  *out = (ddb_temporal){0};
  return take_clock(&text, true, &out->micros) && take_offset(&text, &out->offset_micros) &&
         text.size == 0;
}

/* 16 for what is not a hexadecimal digit. */
static uint8_t hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') {
    return (uint8_t)(digit - '0');
  }
  return digit >= 'a' && digit <= 'f' ? (uint8_t)(digit - 'a' + 10) : 16;
}

bool ddb__time_text_to_uuid(ddb_str text, uint8_t *bytes) {
  if (text.size != DDB__UUID_TEXT_SIZE) {
    return false;
  }
  const char *at = text.data;
  for (size_t i = 0; i < 16; i++) {
    if (dash_before(i) && *at++ != '-') {
      return false;
    }
    uint8_t high = hex_digit(at[0]);
    uint8_t low = hex_digit(at[1]);
    if (high > 15 || low > 15) {
      return false;
    }
    bytes[i] = (uint8_t)(high << 4 | low);
    at += 2;
  }
  return true;
}
