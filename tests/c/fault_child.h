/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_child.h - a scenario in a child process, with a planted fault or without: a fault may spoil
 * memory, so a crash and a hang are finds too. Fork it from a process that has no other threads.
 */
#ifndef DDB_TESTS_FAULT_CHILD_H
#define DDB_TESTS_FAULT_CHILD_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "support.h"

#ifdef DDB_TESTING /* other builds have no faults to plant */

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

static inline const char *fault_name(ddb__fault fault) {
  static const char *const names[DDB__FAULT_COUNT] = {[DDB__FAULT_NONE] = "NONE",
#define DDB_X(name, text) [DDB__FAULT_##name] = #name,
                                                      DDB__FAULT_MAP(DDB_X)
#undef DDB_X
  };
  return names[fault];
}

#endif

#endif
