/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_scenario.h - what the programs that plant faults share: scenarios that run in a child process
 * each, with a time limit, and the small tables that they are made of. Included once by each of them.
 */
#ifndef DDB_TESTS_FAULT_SCENARIO_H
#define DDB_TESTS_FAULT_SCENARIO_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "rows.h"
#include "support.h"

/* ---- Children ------------------------------------------------------------------------------ */

typedef bool (*scenario)(void);

/* Did the scenario hold? seconds: after them it counts as hanging. */
static inline bool holds_in_child(scenario run, ddb__fault fault, unsigned seconds) {
  fflush(stdout);
  fflush(stderr);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit no_core = {0, 0};
    const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
      (void)signal(crashes[i], SIG_DFL); /* cmocka would go on in the child */
    }
    if (fault != DDB__FAULT_NONE && !freopen("/dev/null", "w", stderr)) {
      _exit(3);
    }
    (void)alarm(seconds);
    ddb__test_fault_set(fault);
    _exit(run() ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

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

static inline const char *fault_name(ddb__fault fault) {
  static const char *const names[DDB__FAULT_COUNT] = {[DDB__FAULT_NONE] = "NONE",
#define DDB_X(name, text) [DDB__FAULT_##name] = #name,
                                                      DDB__FAULT_MAP(DDB_X)
#undef DDB_X
  };
  return names[fault];
}

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
