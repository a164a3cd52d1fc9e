/* SPDX-License-Identifier: Apache-2.0 */
/* try.h - hands an error on to the caller: for functions that own nothing yet at that point. */
#ifndef DDB_IO_TRY_H
#define DDB_IO_TRY_H

#include "dictdb.h"

#define DDB__TRY(call)                                                                             \
  do {                                                                                             \
    ddb_status try_status_ = (call);                                                               \
    if (try_status_ != DDB_OK) {                                                                   \
      return try_status_;                                                                          \
    }                                                                                              \
  } while (0)

#endif
