/* SPDX-License-Identifier: Apache-2.0 */
/* crash_support.c - see crash_support.h. */
#include "crash_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

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
static size_t base;
static size_t recovered;

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

static void forget_all(void) {
  for (size_t i = 0; i < event_count; i++) {
    free(events[i].data);
  }
  event_count = floor_count = state_count = base = recovered = 0;
  inode_count = 0;
  memset(inode_of_fd, -1, sizeof inode_of_fd);
}

/* Steps of the open database, which is then closed, or let go. */
static void live_on(ddb_db *db, uint64_t *seed, int steps, bool close) {
  log_committed = note_commit;
  for (int i = 0; i < steps; i++) {
    if (log_do(db, seed) != LOG_STATEMENT) {
      note_floor();
    }
  }
  log_committed = NULL;
  if (close) {
    assert_ok(ddb_db_close(db, NULL));
    note_floor();
  }
  ddb_db_release(db);
  ddb__test_sys_trace(NULL, NULL, true);
}

void crash_live(const char *path, ddb_durability durability, uint64_t *seed, int steps) {
  forget_all();
  ddb__test_sys_trace(record, NULL, true);
  ddb_db *db = log_open(path, durability);
  state_count = 1;
  digests[0] = log_digest(db);
  acknowledged[0] = 0;
  live_on(db, seed, steps, true);
}

size_t crash_events(void) {
  return event_count;
}

size_t crash_base(void) {
  return base;
}

size_t crash_recovered(void) {
  return recovered;
}

void crash_forget_syncs(void) {
  for (size_t i = 0; i < event_count; i++) {
    if (events[i].call == DDB__SYS_FDATASYNC) {
      events[i].inode = INODES_MAX; /* of no file that there is */
    }
  }
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

/* files: LOSS_COUNT: each loses something else. */
static void make_disk(const char *path, size_t crash, loss how, loss files, uint64_t *seed) {
  static entry names[INODES_MAX];
  memset(names, 0, sizeof names);
  size_t synced = 0;
  for (size_t i = 0; i < crash; i++) {
    synced = events[i].call == DDB__SYS_FSYNC && events[i].inode < 0 ? i : synced;
  }
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
      loss of_file = files == LOSS_COUNT ? (loss)support_below(seed, LOSS_COUNT) : files;
      write_after_crash(path, names[i].name,
                        file_after_crash(names[i].inode, crash, of_file, seed));
    }
  }
}

void crash_make(const char *path, size_t crash, uint64_t *seed) {
  make_disk(path, crash, (loss)support_below(seed, LOSS_COUNT), LOSS_COUNT, seed);
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

static char problem[500];

/* The number of the state that the open database is in; SIZE_MAX, and the problem, when it is none of
 * those. */
static size_t find_state(ddb_db *db, size_t first, size_t last) {
  uint64_t digest = log_digest(db);
  for (size_t i = first; i <= last; i++) {
    if (digests[i] == digest) {
      return i;
    }
  }
  size_t other = 0;
  while (other < state_count && digests[other] != digest) {
    other++;
  }
  (void)snprintf(problem, sizeof problem, "state %zu of %zu, none of %zu to %zu", other,
                 state_count, first, last);
  return SIZE_MAX;
}

/* NULL: it does not open, and the problem says why. */
static ddb_db *open_again(const char *path, ddb_durability durability) {
  ddb_db *db;
  ddb_error err;
  const ddb_open_options options = {.durability = durability};
  if (ddb_db_open(path, &options, &db, &err) == DDB_OK) {
    return db;
  }
  (void)snprintf(problem, sizeof problem, "it does not open: %.400s", err.message);
  return NULL;
}

const char *crash_check(const char *path, size_t crash, ddb_durability durability) {
  size_t first;
  size_t last;
  allowed(crash, durability, &first, &last);
  ddb_db *db = open_again(path, durability);
  if (!db) {
    return problem;
  }
  size_t found = find_state(db, first, last);
  ddb_db_release(db);
  return found == SIZE_MAX ? problem : NULL;
}

/* ---- Life after a crash ------------------------------------------------------------------- */

static void forget_after(size_t crash) {
  while (event_count > crash) {
    free(events[--event_count].data);
  }
  while (floor_count && floor_events[floor_count - 1] > crash) {
    floor_count--;
  }
  memset(inode_of_fd, -1, sizeof inode_of_fd);
}

/* The file as something that has always been there. */
static void record_file(const char *path, const char *name) {
  char file[300];
  (void)snprintf(file, sizeof file, "%s/%s", path, name);
  int fd = open(file, O_RDONLY);
  assert_true(fd >= 0);
  ssize_t size = read(fd, contents, sizeof contents);
  assert_in_range(size, 0, FILE_MAX - 1);
  close(fd);
  const int any = 0;
  record(NULL, &(ddb__sys_event){.call = DDB__SYS_OPENAT, .fd = any, .name = name});
  if (size > 0) {
    record(NULL, &(ddb__sys_event){
                     .call = DDB__SYS_WRITE, .fd = any, .data = contents, .size = (uint64_t)size});
  }
  record(NULL, &(ddb__sys_event){.call = DDB__SYS_FSYNC, .fd = any});
  record(NULL, &(ddb__sys_event){.call = DDB__SYS_CLOSE, .fd = any});
}

static void record_files(const char *path) {
  DIR *stream = opendir(path);
  assert_non_null(stream);
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2) {
      record_file(path, entry->d_name);
    }
  }
  closedir(stream);
  record(NULL, &(ddb__sys_event){.call = DDB__SYS_FSYNC, .fd = FDS_MAX});
}

const char *crash_go_on(const char *path, size_t crash, crash_kind kind, ddb_durability durability,
                        uint64_t *seed, int steps) {
  size_t first;
  size_t last;
  allowed(crash, durability, &first, &last);
  log_remove(path);
  if (kind == CRASH_KILL) {
    allowed(crash, DDB_DURABILITY_COMMIT, &first, &last); /* nothing that was written is lost */
    make_disk(path, crash, LOSE_NOTHING, LOSE_NOTHING, seed);
    forget_after(crash);
  } else {
    crash_make(path, crash, seed);
  }
  if (kind == CRASH_POWER) {
    size_t count = last - first + 1;
    memmove(digests, digests + first, count * sizeof *digests);
    forget_all();
    first = 0;
    last = count - 1;
    record_files(path);
  }
  base = event_count;
  ddb__test_sys_trace(record, NULL, true);
  ddb_db *db = open_again(path, durability);
  size_t found = db ? find_state(db, first, last) : SIZE_MAX;
  if (found == SIZE_MAX) {
    if (db) {
      ddb_db_release(db);
    }
    ddb__test_sys_trace(NULL, NULL, true);
    state_count = 0;
    return problem;
  }
  recovered = events_now();
  if (kind == CRASH_POWER) { /* recovery always leads there, whatever happens to it */
    digests[0] = digests[found];
    found = 0;
    acknowledged[0] = 0;
  } else if (acknowledged[found] > crash) {
    acknowledged[found] = recovered; /* it was on its way */
  }
  state_count = found + 1;
  note_floor();
  live_on(db, seed, steps, support_below(seed, 2));
  return NULL;
}
#endif
