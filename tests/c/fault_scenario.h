/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_scenario.h - what the programs of planted faults share: a table of scenarios, each run in a
 * child process (fault_child.h), and the small tables that they are made of. Included once by each.
 */
#ifndef DDB_TESTS_FAULT_SCENARIO_H
#define DDB_TESTS_FAULT_SCENARIO_H

#include <stdatomic.h>

#include "fault_child.h"
#include "rows.h"

/* ---- What scenarios are made of ------------------------------------------------------------ */

static _Atomic int wrong; /* of the running scenario: each is a process */

static inline void check(bool holds) {
  if (!holds) {
    atomic_fetch_add(&wrong, 1);
  }
}

static inline bool nothing_wrong(void) {
  return atomic_load(&wrong) == 0;
}

static inline void ok(ddb_status status) {
  check(status == DDB_OK);
}

typedef struct world {
  ddb_db *db;
  ddb_table *table;
} world;

static inline world world_new(void) {
  world w = {NULL, NULL};
  ok(ddb_db_new(&w.db, NULL));
  ok(ddb_db_table_create(w.db, DDB_STR("t"), NULL, &w.table, NULL));
  return w;
}

static inline void check_rows(const ddb_view *view, int64_t count) {
  check(rows_are(view, 1, count));
}

static inline world world_with_rows(int64_t count) {
  world w = world_new();
  for (int64_t id = 1; id <= count; id++) {
    ok(rows_insert(w.table, id, 10 * id));
  }
  return w;
}

#ifdef DDB_TESTING

typedef struct fault_case {
  ddb__fault fault;
  scenario run;
  unsigned seconds; /* enough for the scenario that holds */
} fault_case;

static inline void hold_all(const fault_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!holds_in_child(cases[i].run, DDB__FAULT_NONE, 60)) {
      fail_msg("the scenario of %s fails without it", fault_name(cases[i].fault));
    }
  }
}

static inline void find_all(const fault_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (holds_in_child(cases[i].run, cases[i].fault, cases[i].seconds)) {
      fail_msg("%s was not found", fault_name(cases[i].fault));
    }
  }
}

#endif

#endif
