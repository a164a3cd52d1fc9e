/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number_text.h - ints and floats as JSON text, exactly, whatever the locale.
 *
 * Nothing here allocates but the C library's own strtod. Thread-safety: atomic.
 */
#ifndef DDB_IO_NUMBER_TEXT_H
#define DDB_IO_NUMBER_TEXT_H

#include "dictdb.h"

#define DDB__INT_TEXT_SIZE   20 /* -9223372036854775808 */
#define DDB__FLOAT_TEXT_SIZE 32 /* with room for snprintf's NUL */

/* Writes at `out`, without NUL; returns the bytes written. */
size_t ddb__number_text_int(int64_t number, char *out);
/* A text that reads back as the same float and as a float, never as an int; NaN, Infinity and
 * -Infinity as Python's json writes them. */
size_t ddb__number_text_float(double number, char *out);
/* text: a number in JSON's grammar, followed by a NUL. Rounded to nearest; too large is infinite,
 * as in Python. */
double ddb__number_text_to_float(const char *text, size_t size);

#endif
