/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_file.c - files are replaced whole or not at all: modes, links, devices, and every system
 * call made to fail once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#include "io/file.h"
#include "io/syscalls.h"

#define OLD_TEXT "the old contents"
#define NEW_TEXT "contents that are new, and longer"

static char folder[64];
static char target[128];

/* ---- Helpers ------------------------------------------------------------------------------ */

static int make_folder(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  (void)snprintf(folder, sizeof folder, "%.30s/dictdb-file-XXXXXX", base ? base : "/tmp");
  assert_non_null(mkdtemp(folder));
  (void)snprintf(target, sizeof target, "%s/target.json", folder);
  return 0;
}

/* Removes everything in the folder; returns how many entries there were. */
static int empty_folder(void) {
  DIR *directory = opendir(folder);
  assert_non_null(directory);
  int count = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      assert_int_equal(unlinkat(dirfd(directory), entry->d_name, 0), 0);
      count++;
    }
  }
  closedir(directory);
  return count;
}

static int remove_folder(void **state) {
  (void)state;
  (void)empty_folder();
  assert_int_equal(rmdir(folder), 0);
  return 0;
}

static void put_text(const char *path, const char *text, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  assert_int_equal(fchmod(fd, mode), 0);
  close(fd);
}

static void assert_text(const char *path, const char *expected) {
  char text[256] = "";
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  ssize_t size = read(fd, text, sizeof text - 1);
  assert_true(size >= 0);
  text[size] = '\0';
  close(fd);
  assert_string_equal(text, expected);
}

static mode_t mode_of(const char *path) {
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  return info.st_mode & 07777;
}

static ddb_status replace_text(const char *path, ddb_error *err) {
  ddb__file file;
  ddb_status status = ddb__file_replace(&file, -1, path, err);
  if (status != DDB_OK) {
    return status;
  }
  status = ddb__file_write(&file, NEW_TEXT, 10, err);
  if (status == DDB_OK) {
    status = ddb__file_write(&file, &NEW_TEXT[10], strlen(NEW_TEXT) - 10, err);
  }
  if (status != DDB_OK) {
    ddb__file_cancel(&file);
    return status;
  }
  return ddb__file_commit(&file, err);
}

/* ---- Replacing ---------------------------------------------------------------------------- */

static void test_a_new_file_gets_the_umask(void **state) {
  (void)state;
  mode_t before = umask(027);
  assert_ok(replace_text(target, NULL));
  umask(before);
  assert_text(target, NEW_TEXT);
  assert_int_equal(mode_of(target), 0640);
  assert_int_equal(empty_folder(), 1);
}

static void test_the_old_file_gives_its_mode(void **state) {
  (void)state;
  put_text(target, OLD_TEXT, 0604);
  assert_ok(replace_text(target, NULL));
  assert_text(target, NEW_TEXT);
  assert_int_equal(mode_of(target), 0604);
  assert_int_equal(empty_folder(), 1);
}

static void test_cancel_leaves_the_old_file(void **state) {
  (void)state;
  ddb__file file;
  put_text(target, OLD_TEXT, 0600);
  assert_ok(ddb__file_replace(&file, -1, target, NULL));
  assert_ok(ddb__file_write(&file, NEW_TEXT, 5, NULL));
  assert_text(target, OLD_TEXT);
  ddb__file_cancel(&file);
  assert_text(target, OLD_TEXT);
  assert_int_equal(empty_folder(), 1);
}

static void test_a_link_stays_a_link(void **state) {
  (void)state;
  char link[160];
  (void)snprintf(link, sizeof link, "%s/link", folder);
  put_text(target, OLD_TEXT, 0600);
  assert_int_equal(symlink("target.json", link), 0);
  assert_ok(replace_text(link, NULL));
  struct stat info;
  assert_int_equal(lstat(link, &info), 0);
  assert_true(S_ISLNK(info.st_mode));
  assert_text(target, NEW_TEXT);
  assert_int_equal(empty_folder(), 2);
}

static void test_relative_paths_survive_a_change_of_folder(void **state) {
  (void)state;
  ddb__file file;
  int here = open(".", O_RDONLY | O_DIRECTORY);
  assert_true(here >= 0);
  assert_int_equal(chdir(folder), 0);
  assert_ok(ddb__file_replace(&file, -1, "target.json", NULL));
  assert_int_equal(chdir("/"), 0);
  assert_ok(ddb__file_write(&file, NEW_TEXT, strlen(NEW_TEXT), NULL));
  assert_ok(ddb__file_commit(&file, NULL));
  assert_int_equal(fchdir(here), 0);
  close(here);
  assert_text(target, NEW_TEXT);
  assert_int_equal(empty_folder(), 1);
}

static void test_two_at_once_do_not_meet(void **state) {
  (void)state;
  ddb__file one;
  ddb__file two;
  assert_ok(ddb__file_replace(&one, -1, target, NULL));
  assert_ok(ddb__file_replace(&two, -1, target, NULL));
  assert_ok(ddb__file_write(&one, "one", 3, NULL));
  assert_ok(ddb__file_write(&two, "two", 3, NULL));
  assert_ok(ddb__file_commit(&one, NULL));
  assert_text(target, "one");
  assert_ok(ddb__file_commit(&two, NULL));
  assert_text(target, "two");
  assert_int_equal(empty_folder(), 1);
}

static void test_the_longest_name(void **state) {
  (void)state;
  char path[400];
  char name[NAME_MAX + 1];
  memset(name, 'n', NAME_MAX);
  name[NAME_MAX] = '\0';
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_ok(replace_text(path, NULL));
  assert_text(path, NEW_TEXT);
  assert_int_equal(empty_folder(), 1);
}

static void assert_refused(const char *path, ddb_status status, int os_error) {
  ddb_error err;
  assert_int_equal(replace_text(path, &err), status);
  assert_int_equal(err.status, status);
  assert_int_equal(err.os_error, os_error);
  if (path && *path) {
    assert_non_null(strstr(err.message, path));
  }
}

static void test_what_cannot_be_replaced(void **state) {
  (void)state;
  char path[200];
  assert_refused(NULL, DDB_ERR_INVALID, 0);
  assert_refused("", DDB_ERR_INVALID, 0);
  assert_refused(folder, DDB_ERR_IO, EISDIR);
  assert_refused("/dev/null", DDB_ERR_IO, EINVAL);
  assert_refused("/", DDB_ERR_IO, EISDIR);
  (void)snprintf(path, sizeof path, "%s/no/file", folder);
  assert_int_equal(replace_text(path, NULL), DDB_ERR_IO);
  (void)snprintf(path, sizeof path, "%s/new/", folder);
  assert_int_equal(replace_text(path, NULL), DDB_ERR_IO);
  put_text(target, OLD_TEXT, 0600);
  (void)snprintf(path, sizeof path, "%s/below", target);
  assert_refused(path, DDB_ERR_IO, ENOTDIR);
  assert_text(target, OLD_TEXT);
  assert_int_equal(empty_folder(), 1);
}

static void test_no_memory(void **state) {
  (void)state;
  put_text(target, OLD_TEXT, 0600);
  int64_t bytes = support_allocator_bytes();
  for (long n = 1;; n++) {
    support_allocator_fail(n);
    ddb_status status = replace_text(target, NULL);
    if (!support_allocator_failed()) {
      assert_ok(status);
      assert_true(n > 1);
      break;
    }
    assert_int_equal(status, DDB_ERR_NOMEM);
    assert_int_equal(support_allocator_bytes(), bytes);
    assert_text(target, OLD_TEXT);
  }
  assert_int_equal(support_allocator_bytes(), bytes);
  assert_int_equal(empty_folder(), 1);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static ddb_status read_text(const char *path, char *text, size_t capacity, ddb_error *err) {
  ddb__file file;
  ddb_status status = ddb__file_open(&file, path, err);
  if (status != DDB_OK) {
    return status;
  }
  size_t used = 0;
  size_t size = 1;
  status = ddb__file_seek(&file, 4, err);
  while (status == DDB_OK && size) {
    status = ddb__file_read(&file, text + used, capacity - used, &size, err);
    used += status == DDB_OK ? size : 0;
  }
  text[used] = '\0';
  ddb__file_close(&file);
  return status;
}

static void test_reading(void **state) {
  (void)state;
  char text[64];
  ddb_error err;
  put_text(target, OLD_TEXT, 0600);
  assert_ok(read_text(target, text, sizeof text - 1, NULL));
  assert_string_equal(text, &OLD_TEXT[4]);
  assert_int_equal(empty_folder(), 1);
  assert_int_equal(read_text(target, text, sizeof text - 1, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, ENOENT);
  assert_non_null(strstr(err.message, target));
  assert_int_equal(read_text(folder, text, sizeof text - 1, &err), DDB_ERR_IO);
  assert_int_equal(err.os_error, EISDIR);
  assert_int_equal(read_text(NULL, text, sizeof text - 1, &err), DDB_ERR_INVALID);
}

/* ---- Every system call fails once --------------------------------------------------------- */

/* ---- In a format of the program's own ------------------------------------------------------ */

typedef struct source {
  const char *const *texts; /* the last is NULL */
  ddb_status end;
} source;

static ddb_status next_text(void *context, const void **data, size_t *size, ddb_error *err) {
  source *s = context;
  const char *text = *s->texts;
  if (text) {
    *data = text;
    *size = strlen(text);
    s->texts++;
    return DDB_OK;
  }
  if (s->end != DDB_OK && err) {
    *err = (ddb_error){.status = s->end, .message = "no more"};
  }
  return s->end;
}

static void test_what_a_function_gives(void **state) {
  (void)state;
  const char *const texts[] = {"contents that ", "are new, ", "and longer", NULL};
  ddb_error err;
  source whole = {texts, DDB_OK};
  source stopped = {texts, DDB_ERR_INTERRUPTED};
  source nothing = {texts + 3, DDB_OK};
  int64_t bytes = support_allocator_bytes();
  put_text(target, OLD_TEXT, 0600);
  assert_int_equal(ddb_file_replace(target, next_text, &stopped, &err), DDB_ERR_INTERRUPTED);
  assert_string_equal(err.message, "no more");
  assert_text(target, OLD_TEXT);
  assert_ok(ddb_file_replace(target, next_text, &whole, &err));
  assert_text(target, NEW_TEXT);
  assert_ok(ddb_file_replace(target, next_text, &nothing, NULL));
  assert_text(target, "");
  assert_int_equal(empty_folder(), 1);
  assert_int_equal(ddb_file_replace("/nonexistent/file", next_text, &whole, &err), DDB_ERR_IO);
  assert_int_equal(support_allocator_bytes(), bytes);
}

#ifdef DDB_TESTING
/* The lowest free descriptor: the same before and after, if none was left open. */
static int next_descriptor(void) {
  int fd = dup(STDOUT_FILENO);
  assert_true(fd >= 0);
  close(fd);
  return fd;
}

/* The public way: pieces that a function gives. */
static ddb_status next_piece(void *context, const void **data, size_t *size, ddb_error *err) {
  size_t *done = context;
  (void)err;
  size_t left = strlen(NEW_TEXT) - *done;
  *data = &NEW_TEXT[*done];
  *size = left > 10 ? 10 : left;
  *done += *size;
  return DDB_OK;
}

static ddb_status replace_by_pieces(const char *path, ddb_error *err) {
  size_t done = 0;
  return ddb_file_replace(path, next_piece, &done, err);
}

static ddb__sys_call last_failed;
static ddb_status (*replace)(const char *path, ddb_error *err) = replace_text;

/* Is the outcome of a replacement right, given the call that failed? Returns whether one did. */
static bool check_failure(int error, bool repeat, uint64_t n) {
  ddb_error err = {0};
  put_text(target, OLD_TEXT, 0600);
  int64_t bytes = support_allocator_bytes();
  int descriptor = next_descriptor();
  ddb__test_sys_fail(n, error, repeat);
  ddb_status status = replace(target, &err);
  ddb__sys_call failed = last_failed = ddb__test_sys_failed();
  bool renamed = false;
  ddb__test_sys_fail(0, 0, false);
  assert_int_equal(support_allocator_bytes(), bytes);
  assert_int_equal(next_descriptor(), descriptor);
  if (failed == DDB__SYS_COUNT) {
    assert_ok(status);
    assert_text(target, NEW_TEXT);
    assert_int_equal(empty_folder(), 1);
    return false;
  }
  if (status == DDB_OK) {
    /* What is over does not matter any more, or was tried again. */
    assert_true(failed == DDB__SYS_CLOSE || error == EINTR || error == DDB__SYS_SHORT ||
                (failed == DDB__SYS_OPENAT && error == EEXIST));
    assert_text(target, NEW_TEXT);
  } else {
    assert_int_equal(status, DDB_ERR_IO);
    assert_int_equal(err.os_error, error);
    assert_non_null(strstr(err.message, target));
    renamed = strstr(err.message, "sync the directory of") != NULL;
    assert_text(target, renamed ? NEW_TEXT : OLD_TEXT);
  }
  int count = empty_folder();
  /* Only when unlink fails too, something is left. */
  assert_true(count == 1 || (repeat && count == 2));
  return true;
}

/* The order that a power cut asks for: the file's sync, the rename, the directory's sync. */
static void check_order(void) {
  static const ddb__sys_call order[] = {DDB__SYS_OPENAT,   DDB__SYS_WRITE, DDB__SYS_FSYNC,
                                        DDB__SYS_RENAMEAT, DDB__SYS_FSYNC, DDB__SYS_COUNT};
  size_t met = 0;
  for (uint64_t n = 1; check_failure(EIO, false, n); n++) {
    met += last_failed == order[met];
  }
  assert_int_equal(order[met], DDB__SYS_COUNT);
}

static void fail_each(int error, bool repeat) {
  uint64_t n = 1;
  while (check_failure(error, repeat, n)) {
    n++;
  }
  printf("  errno %d%s: %llu calls\n", error, repeat ? " from then on" : "",
         (unsigned long long)n - 1);
  assert_true(n > 8);
}

static void test_every_call_of_a_replacement_fails(void **state) {
  (void)state;
  fail_each(EIO, false);
  check_order();
  fail_each(ENOSPC, false);
  fail_each(EACCES, false);
  fail_each(EIO, true);
}

static void test_interrupted_and_short_calls_go_on(void **state) {
  (void)state;
  fail_each(EINTR, false);
  fail_each(DDB__SYS_SHORT, false);
}

static void test_every_call_fails_between_pieces(void **state) {
  replace = replace_by_pieces;
  test_every_call_of_a_replacement_fails(state);
  test_interrupted_and_short_calls_go_on(state);
  replace = replace_text;
}

static void test_names_that_are_taken(void **state) {
  (void)state;
  fail_each(EEXIST, false);
}

static void test_every_call_of_reading_fails(void **state) {
  (void)state;
  static const int errors[] = {EIO, EINTR, DDB__SYS_SHORT};
  char text[64];
  put_text(target, OLD_TEXT, 0600);
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    for (uint64_t n = 1;; n++) {
      ddb_error err = {0};
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = read_text(target, text, sizeof text - 1, &err);
      ddb__sys_call failed = ddb__test_sys_failed();
      ddb__test_sys_fail(0, 0, false);
      bool harmless = failed == DDB__SYS_CLOSE || errors[e] == EINTR || errors[e] < 0;
      if (failed == DDB__SYS_COUNT || harmless) {
        assert_ok(status);
        assert_string_equal(text, &OLD_TEXT[4]);
      } else {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
      }
      if (failed == DDB__SYS_COUNT) {
        assert_true(n > 4);
        break;
      }
    }
  }
  assert_int_equal(empty_folder(), 1);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_new_file_gets_the_umask),
      cmocka_unit_test(test_the_old_file_gives_its_mode),
      cmocka_unit_test(test_cancel_leaves_the_old_file),
      cmocka_unit_test(test_a_link_stays_a_link),
      cmocka_unit_test(test_relative_paths_survive_a_change_of_folder),
      cmocka_unit_test(test_two_at_once_do_not_meet),
      cmocka_unit_test(test_the_longest_name),
      cmocka_unit_test(test_what_cannot_be_replaced),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_reading),
      cmocka_unit_test(test_what_a_function_gives),
#ifdef DDB_TESTING
      cmocka_unit_test(test_every_call_of_a_replacement_fails),
      cmocka_unit_test(test_interrupted_and_short_calls_go_on),
      cmocka_unit_test(test_every_call_fails_between_pieces),
      cmocka_unit_test(test_names_that_are_taken),
      cmocka_unit_test(test_every_call_of_reading_fails),
#endif
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
