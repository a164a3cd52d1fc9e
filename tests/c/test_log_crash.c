/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_crash.c - a crash at every moment of a random life: the system calls are recorded, and from
 * them the states in which a crash may leave the disk are made and opened again.
 *
 * What was synced is there. Of the rest of a file any writes may be lost or torn, and of the names in a
 * directory any changes since its last sync. What was acknowledged must be there, in full and in
 * order; what was on its way whole or not at all.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_support.h"

#include "io/syscalls.h"

#ifdef DDB_TESTING
enum { EVENTS_MAX = 8000, STATES_MAX = 4000, INODES_MAX = 600, FDS_MAX = 256, FILE_MAX = 1 << 20 };

typedef struct event {
  ddb__sys_call call;
  int inode; /* -1: the directory */
  char name[64];
  char to[64];
  char *data;
  uint64_t offset; /* WRITE; FTRUNCATE: the new size */
  size_t size;
} event;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static event events[EVENTS_MAX];
static size_t event_count;
static int inode_of_fd[FDS_MAX];
static uint64_t place_of_fd[FDS_MAX];
static int inode_count;

/* State n is there after n commits; acknowledged[n]: events when its commit had returned. */
static uint64_t digests[STATES_MAX];
static size_t acknowledged[STATES_MAX];
static size_t state_count;
/* Where a sync of everything had returned: states before `floor_state` are safe. */
static size_t floor_events[STATES_MAX];
static size_t floor_states[STATES_MAX];
static size_t floor_count;

/* ---- Recording ---------------------------------------------------------------------------- */

static int find_name(const char *name) {
  int found = -1;
  for (size_t i = 0; i < event_count; i++) {
    const event *e = &events[i];
    if (e->call == DDB__SYS_OPENAT && strcmp(e->name, name) == 0) {
      found = e->inode;
    } else if (e->call == DDB__SYS_RENAMEAT && strcmp(e->to, name) == 0) {
      found = e->inode;
    } else if ((e->call == DDB__SYS_RENAMEAT || e->call == DDB__SYS_UNLINKAT) &&
               strcmp(e->name, name) == 0) {
      found = -1;
    }
  }
  return found;
}

static event *event_new(const ddb__sys_event *from, int inode) {
  if (event_count == EVENTS_MAX) {
    abort();
  }
  event *e = &events[event_count];
  *e = (event){.call = from->call, .inode = inode};
  if (from->name) {
    (void)snprintf(e->name, sizeof e->name, "%s", from->name);
  }
  if (from->to) {
    (void)snprintf(e->to, sizeof e->to, "%s", from->to);
  }
  return e;
}

static void record_open(const ddb__sys_event *from) {
  int inode = find_name(from->name);
  inode_of_fd[from->fd] = inode;
  place_of_fd[from->fd] = 0;
  if (inode < 0) {
    inode_of_fd[from->fd] = inode_count;
    (void)event_new(from, inode_count++);
    event_count++;
  }
}

static void record(void *context, const ddb__sys_event *from) {
  (void)context;
  pthread_mutex_lock(&mutex);
  int inode = from->fd < FDS_MAX ? inode_of_fd[from->fd] : -1;
  switch (from->call) {
  case DDB__SYS_OPENAT:
    record_open(from);
    break;
  case DDB__SYS_LSEEK:
    place_of_fd[from->fd] = from->size;
    break;
  case DDB__SYS_CLOSE:
    inode_of_fd[from->fd] = -1;
    break;
  case DDB__SYS_WRITE: {
    event *e = event_new(from, inode);
    e->data = malloc(from->size);
    memcpy(e->data, from->data, from->size);
    e->size = from->size;
    e->offset = place_of_fd[from->fd];
    place_of_fd[from->fd] += from->size;
    event_count++;
    break;
  }
  case DDB__SYS_RENAMEAT:
  case DDB__SYS_UNLINKAT:
    (void)event_new(from, find_name(from->name));
    event_count++;
    break;
  default:
    event_new(from, inode)->offset = from->size;
    event_count++;
  }
  pthread_mutex_unlock(&mutex);
}

static size_t events_now(void) {
  pthread_mutex_lock(&mutex);
  size_t count = event_count;
  pthread_mutex_unlock(&mutex);
  return count;
}

static void note_commit(ddb_db *db) {
  size_t now = events_now();
  uint64_t digest = log_digest(db);
  if (digest == digests[state_count - 1]) {
    return; /* nothing changed: nothing to tell apart */
  }
  assert_true(state_count < STATES_MAX);
  digests[state_count] = digest;
  acknowledged[state_count++] = now;
}

static void note_floor(void) {
  floor_events[floor_count] = events_now();
  floor_states[floor_count++] = state_count - 1;
}

static void live(const char *path, ddb_durability durability, uint64_t *seed, int steps) {
  for (size_t i = 0; i < event_count; i++) {
    free(events[i].data);
  }
  event_count = floor_count = 0;
  inode_count = 0;
  memset(inode_of_fd, -1, sizeof inode_of_fd);
  ddb__test_sys_trace(record, NULL, true);
  ddb_db *db = log_open(path, durability);
  state_count = 1;
  digests[0] = log_digest(db);
  log_committed = note_commit;
  for (int i = 0; i < steps; i++) {
    if (log_do(db, seed) != LOG_STATEMENT) {
      note_floor();
    }
  }
  log_committed = NULL;
  assert_ok(ddb_db_close(db, NULL));
  note_floor();
  ddb_db_release(db);
  ddb__test_sys_trace(NULL, NULL, true);
}

/* ---- Crashes ------------------------------------------------------------------------------ */

typedef enum loss { LOSE_ALL, LOSE_NOTHING, LOSE_TAIL, LOSE_ANY, LOSS_COUNT } loss;

/* Is the operation, the `index`-th of `count` that are not synced, kept? */
static bool kept(loss how, size_t index, size_t cut, uint64_t *seed) {
  return how == LOSE_NOTHING || (how == LOSE_TAIL && index < cut) ||
         (how == LOSE_ANY && support_below(seed, 2));
}

static char contents[FILE_MAX];

static void put(size_t *size, const event *e, size_t bytes, uint64_t *seed) {
  if (e->call == DDB__SYS_FTRUNCATE) {
    *size = e->offset;
    return;
  }
  assert_true(e->offset + bytes <= FILE_MAX);
  if (e->offset > *size) { /* a hole: zeros, or what was on the disk before */
    memset(contents + *size, support_below(seed, 2) ? 0 : (int)support_below(seed, 256),
           e->offset - *size);
  }
  memcpy(contents + e->offset, e->data, bytes);
  *size = e->offset + bytes > *size ? e->offset + bytes : *size;
}

static bool changes_file(const event *e, int inode) {
  return e->inode == inode && (e->call == DDB__SYS_WRITE || e->call == DDB__SYS_FTRUNCATE);
}

static size_t file_after_crash(int inode, size_t crash, loss how, uint64_t *seed) {
  size_t synced = 0;
  for (size_t i = 0; i < crash; i++) {
    bool sync = events[i].call == DDB__SYS_FSYNC || events[i].call == DDB__SYS_FDATASYNC;
    synced = sync && events[i].inode == inode ? i : synced;
  }
  size_t size = 0;
  size_t index = 0;
  size_t cut = support_below(seed, 6);
  for (size_t i = 0; i < crash; i++) {
    const event *e = &events[i];
    if (!changes_file(e, inode)) {
      continue;
    }
    if (i < synced) {
      put(&size, e, e->size, seed);
      continue;
    }
    if (kept(how, index, cut, seed)) {
      put(&size, e, e->size, seed);
    } else if (how >= LOSE_TAIL && e->size && support_below(seed, 2)) {
      put(&size, e, support_below(seed, e->size), seed); /* torn */
      cut = 0;
    }
    index++;
  }
  return size;
}

static void write_after_crash(const char *path, const char *name, size_t size) {
  char file[300];
  (void)snprintf(file, sizeof file, "%s/%s", path, name);
  int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, contents, size), size);
  close(fd);
}

typedef struct entry {
  char name[64];
  int inode;
} entry;

static void set_name(entry *names, const char *name, int inode) {
  entry *empty = NULL;
  for (int i = 0; i < INODES_MAX; i++) {
    if (strcmp(names[i].name, name) == 0) {
      empty = &names[i];
      break;
    }
    empty = !empty && !names[i].name[0] ? &names[i] : empty;
  }
  assert_non_null(empty);
  (void)snprintf(empty->name, sizeof empty->name, "%s", inode < 0 ? "" : name);
  empty->inode = inode;
}

static void change_names(entry *names, const event *e) {
  if (e->call == DDB__SYS_OPENAT) {
    set_name(names, e->name, e->inode);
  } else if (e->call == DDB__SYS_UNLINKAT) {
    set_name(names, e->name, -1);
  } else if (e->call == DDB__SYS_RENAMEAT) {
    set_name(names, e->name, -1);
    set_name(names, e->to, e->inode);
  }
}

static void make_crash(const char *path, size_t crash, uint64_t *seed) {
  static entry names[INODES_MAX];
  memset(names, 0, sizeof names);
  size_t synced = 0;
  for (size_t i = 0; i < crash; i++) {
    synced = events[i].call == DDB__SYS_FSYNC && events[i].inode < 0 ? i : synced;
  }
  loss how = (loss)support_below(seed, LOSS_COUNT);
  size_t cut = support_below(seed, 6);
  size_t index = 0;
  for (size_t i = 0; i < crash; i++) {
    const event *e = &events[i];
    bool is_name =
        e->call == DDB__SYS_OPENAT || e->call == DDB__SYS_UNLINKAT || e->call == DDB__SYS_RENAMEAT;
    if (is_name && (i < synced || kept(how, index++, cut, seed))) {
      change_names(names, e);
    }
  }
  assert_int_equal(mkdir(path, 0700), 0);
  for (int i = 0; i < INODES_MAX; i++) {
    if (names[i].name[0]) {
      loss of_file = (loss)support_below(seed, LOSS_COUNT);
      write_after_crash(path, names[i].name,
                        file_after_crash(names[i].inode, crash, of_file, seed));
    }
  }
}

/* The first and the last state that the crash may leave. */
static void allowed(size_t crash, ddb_durability durability, size_t *first, size_t *last) {
  *first = 0;
  size_t done = 0;
  while (done + 1 < state_count && acknowledged[done + 1] <= crash) {
    done++;
  }
  *last = done + 1 < state_count ? done + 1 : done;
  for (size_t i = 0; i < floor_count && floor_events[i] <= crash; i++) {
    *first = floor_states[i];
  }
  if (durability == DDB_DURABILITY_COMMIT) {
    *first = done;
  }
}

/* NULL, or what is wrong with the database that the crash left. */
static const char *check_crash(const char *path, size_t crash, ddb_durability durability) {
  static char problem[500];
  size_t first;
  size_t last;
  ddb_db *db;
  ddb_error err;
  allowed(crash, durability, &first, &last);
  if (log_try_open(path, &db, &err) != DDB_OK) {
    (void)snprintf(problem, sizeof problem, "it does not open: %s", err.message);
    return problem;
  }
  uint64_t digest = log_digest(db);
  ddb_db_release(db);
  for (size_t i = first; i <= last; i++) {
    if (digests[i] == digest) {
      return NULL;
    }
  }
  (void)snprintf(problem, sizeof problem, "none of the states %zu to %zu", first, last);
  return problem;
}

/* Makes and opens `count` crash states of lives of that durability; returns how many were wrong. */
static size_t crash_lives(ddb_durability durability, uint64_t seed, size_t count, bool report) {
  char path[200];
  char crashed[200];
  size_t wrong = 0;
  (void)snprintf(path, sizeof path, "%s/life", log_folder);
  (void)snprintf(crashed, sizeof crashed, "%s/crashed", log_folder);
  for (size_t done = 0; done < count;) {
    live(path, durability, &seed, 150);
    for (size_t n = 0; n < 1000 && done < count; n++, done++) {
      size_t crash = support_below(&seed, event_count + 1);
      make_crash(crashed, crash, &seed);
      const char *problem = check_crash(crashed, crash, durability);
      if (problem && report && wrong < 3) {
        printf("  crash at event %zu of %zu: %s\n", crash, event_count, problem);
      }
      wrong += problem != NULL;
      log_remove(crashed);
    }
    log_remove(path);
  }
  return wrong;
}

static void test_crashes(void **state) {
  (void)state;
  uint64_t seed = support_seed("crashes");
  uint64_t count = support_number("DICTDB_CRASHES", 20000);
  assert_int_equal(crash_lives(DDB_DURABILITY_COMMIT, seed, (size_t)count / 2, true), 0);
  assert_int_equal(crash_lives(DDB_DURABILITY_NONE, seed + 1, (size_t)count / 2, true), 0);
}

/* The simulator is no use if it finds nothing: a file system that forgets all syncs must show. */
static void test_the_simulator_finds_lost_syncs(void **state) {
  (void)state;
  char path[200];
  char crashed[200];
  uint64_t seed = 7;
  size_t wrong = 0;
  (void)snprintf(path, sizeof path, "%s/life", log_folder);
  (void)snprintf(crashed, sizeof crashed, "%s/crashed", log_folder);
  live(path, DDB_DURABILITY_COMMIT, &seed, 60);
  for (size_t i = 0; i < event_count; i++) {
    if (events[i].call == DDB__SYS_FDATASYNC) {
      events[i].inode = INODES_MAX; /* of no file that there is */
    }
  }
  for (int n = 0; n < 200; n++) {
    size_t crash = support_below(&seed, event_count + 1);
    make_crash(crashed, crash, &seed);
    wrong += check_crash(crashed, crash, DDB_DURABILITY_COMMIT) != NULL;
    log_remove(crashed);
  }
  log_remove(path);
  assert_true(wrong > 20);
}
#endif

int main(void) {
#ifdef DDB_TESTING
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crashes),
      cmocka_unit_test(test_the_simulator_finds_lost_syncs),
  };
  return cmocka_run_group_tests(tests, log_setup, log_teardown);
#else
  return 0; /* only the testing build can record its calls */
#endif
}
