// SPDX-License-Identifier: Apache-2.0
//
// bench_core - the core without Python: what one statement or read costs, and how reads fare beside
// other threads.
//
//   bench_core [ROWS] [ROUNDS]     defaults: 1000000 7
//
// Prints one JSON object: name -> median over the rounds. Times are ns, unless the name says ratio;
// those of one thread that waits for nothing are processor time. What is compared (one thread and
// two, alone and beside a writer) alternates within each round, and the ratio is taken per round:
// the machine's other work then weighs on both sides.
//
// Cold gets use random keys, and each key depends on the value read before it: without that the
// processor overlaps several gets and their cache misses.
#include <dictdb.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
  BATCH_COUNT = 1000,
  GET_COUNT = 300000,   // per round
  WRITE_COUNT = 100000, // per round
  HOT_COUNT = 1000,     // keys that stay in the cache
  TIMED_COUNT = 200000, // gets timed one by one, per round
  ROUNDS_MAX = 101,
  CITY_COUNT = 50
};

static const char *const FIELD_NAMES[] = {"id", "name", "age", "score", "city"};
enum { FIELD_COUNT = 5 };

static int64_t row_count = 1000000;
static int round_count = 7;
static ddb_db *db;
static ddb_table *table;

// ---- Helpers ----

static void check(ddb_status status, const ddb_error *err) {
  if (status != DDB_OK) {
    fprintf(stderr, "bench_core: %s: %s\n", ddb_status_name(status), err->message);
    exit(EXIT_FAILURE);
  }
}

static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t now_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

// For work of one thread that waits for nothing.
static int64_t processor_ns(void) {
  return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// splitmix64
static uint64_t random_next(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static int compare_doubles(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare_doubles);
  return values[count / 2];
}

static void report(const char *name, double *rounds) {
  static const char *separator = "{\n";
  printf("%s  \"%s\": %.4g", separator, name, median(rounds, round_count));
  fflush(stdout);
  separator = ",\n";
}

// ---- The table ----

typedef struct user_row {
  char name[24];
  char city[16];
  ddb_value values[FIELD_COUNT];
} user_row;

static void row_fill(user_row *row, int64_t id) {
  uint64_t state = (uint64_t)id;
  uint64_t bits = random_next(&state);
  snprintf(row->name, sizeof row->name, "user-%" PRId64, id);
  snprintf(row->city, sizeof row->city, "city-%d", (int)(bits % CITY_COUNT));
  row->values[0] = ddb_int(id);
  row->values[1] = ddb_text(ddb_str_from(row->name));
  row->values[2] = ddb_int((int64_t)(bits >> 8) % 100);
  row->values[3] = ddb_float((double)(bits >> 40) / 1000.0);
  row->values[4] = ddb_text(ddb_str_from(row->city));
}

static const ddb_shape *record_shape(void) {
  ddb_error err;
  const ddb_shape *shape = NULL;
  ddb_str names[FIELD_COUNT];
  for (int i = 0; i < FIELD_COUNT; i++) {
    names[i] = ddb_str_from(FIELD_NAMES[i]);
  }
  check(ddb_table_shape(table, DDB_SHAPE_RECORD, names, FIELD_COUNT, &shape, &err), &err);
  return shape;
}

static void batch_append(ddb_builder *batch, const ddb_shape *shape, int64_t id) {
  ddb_error err;
  user_row row;
  row_fill(&row, id);
  check(ddb_builder_record_begin(batch, shape, true, &err), &err);
  for (int i = 0; i < FIELD_COUNT; i++) {
    check(ddb_builder_append(batch, &row.values[i], &err), &err);
  }
  check(ddb_builder_end(batch, &err), &err);
}

static double fill_table(void) {
  ddb_error err;
  ddb_builder *batch = NULL;
  const ddb_shape *shape = record_shape();
  check(ddb_builder_new(&batch, &err), &err);
  int64_t began = processor_ns();
  for (int64_t id = 1; id <= row_count;) {
    ddb_builder_clear(batch);
    for (int i = 0; i < BATCH_COUNT && id <= row_count; i++) {
      batch_append(batch, shape, id++);
    }
    check(ddb_table_insert(table, batch, NULL, &err), &err);
  }
  double spent = (double)(processor_ns() - began) / (double)row_count;
  ddb_builder_free(batch);
  return spent;
}

static void open_table(void) {
  ddb_error err;
  check(ddb_db_new(&db, &err), &err);
  check(ddb_db_table_create(db, DDB_STR("users"), NULL, &table, &err), &err);
}

// ---- Reads ----

// One get: the view is opened and closed each time. Returns the age, and checks the record.
static inline int64_t get_age(int64_t id) {
  ddb_error err;
  ddb_view view;
  const ddb_record *record = NULL;
  ddb_value key = ddb_int(id);
  check(ddb_view_open(table, &view, &err), &err);
  check(ddb_view_get(&view, &key, &record, &err), &err);
  if (!record || ddb_record_value(record, 0).as.integer != id) {
    fprintf(stderr, "bench_core: wrong record for key %" PRId64 "\n", id);
    exit(EXIT_FAILURE);
  }
  int64_t age = ddb_record_value(record, 2).as.integer;
  ddb_view_close(&view);
  return age;
}

static volatile uint64_t volatile_zero = 0;

typedef struct spent {
  int64_t wall_ns;
  int64_t processor_ns;
} spent;

// `count` gets of random keys of `key_count`, each waiting for the one before.
static spent time_gets(int64_t key_count, int64_t count, uint64_t seed) {
  uint64_t state = seed, zero = volatile_zero, chain = 0;
  int64_t began = now_ns(), processor_began = processor_ns();
  for (int64_t i = 0; i < count; i++) {
    uint64_t pick = random_next(&state) + (chain & zero);
    chain += (uint64_t)get_age((int64_t)(pick % (uint64_t)key_count) + 1);
  }
  return (spent){now_ns() - began, processor_ns() - processor_began};
}

static int64_t time_scan(uint64_t *rows, uint64_t *matches) {
  ddb_error err;
  ddb_view view;
  uint64_t position = 0;
  *rows = *matches = 0;
  int64_t began = processor_ns();
  check(ddb_view_open(table, &view, &err), &err);
  for (const ddb_record *record; (record = ddb_view_next(&view, &position));) {
    int64_t age = ddb_record_value(record, 2).as.integer;
    *rows += 1;
    *matches += age >= 30 && age < 40;
  }
  ddb_view_close(&view);
  return processor_ns() - began;
}

static int64_t time_count_where(const ddb_cond *where, uint64_t *matches) {
  ddb_error err;
  ddb_view view;
  int64_t began = processor_ns();
  check(ddb_view_open(table, &view, &err), &err);
  check(ddb_view_count_where(&view, where, matches, &err), &err);
  ddb_view_close(&view);
  return processor_ns() - began;
}

static void bench_reads(void) {
  double cold[ROUNDS_MAX], hot[ROUNDS_MAX], scan[ROUNDS_MAX], filter[ROUNDS_MAX];
  ddb_error err;
  ddb_value low = ddb_int(30), high = ddb_int(39);
  ddb_cond *where = NULL;
  check(ddb_cond_between(DDB_STR("age"), &low, &high, &where, &err), &err);
  for (int i = 0; i < round_count; i++) {
    uint64_t rows = 0, matches = 0, counted = 0;
    cold[i] = (double)time_gets(row_count, GET_COUNT, (uint64_t)i).processor_ns / GET_COUNT;
    time_gets(HOT_COUNT, HOT_COUNT * 4, 1); // warms
    hot[i] = (double)time_gets(HOT_COUNT, GET_COUNT, (uint64_t)i).processor_ns / GET_COUNT;
    scan[i] = (double)time_scan(&rows, &matches) / (double)row_count;
    filter[i] = (double)time_count_where(where, &counted) / (double)row_count;
    if (rows < (uint64_t)row_count || counted != matches) {
      fprintf(stderr, "bench_core: %" PRIu64 " rows, %" PRIu64 " and %" PRIu64 " matches\n", rows,
              matches, counted);
      exit(EXIT_FAILURE);
    }
  }
  ddb_cond_release(where);
  report("get_cold_ns", cold);
  report("get_hot_ns", hot);
  report("scan_row_ns", scan);
  report("count_where_row_ns", filter);
}

// ---- Writes ----

static void insert_one(int64_t id) {
  ddb_error err;
  user_row row;
  ddb_field fields[FIELD_COUNT];
  row_fill(&row, id);
  for (int i = 0; i < FIELD_COUNT; i++) {
    fields[i] = (ddb_field){ddb_str_from(FIELD_NAMES[i]), row.values[i]};
  }
  check(ddb_table_insert_fields(table, fields, FIELD_COUNT, NULL, &err), &err);
}

typedef struct row_updater {
  const ddb_shape *shape;
  ddb_builder *changes;
} row_updater;

static void updater_init(row_updater *updater) {
  ddb_error err;
  ddb_str name = DDB_STR("age");
  check(ddb_table_shape(table, DDB_SHAPE_CHANGES, &name, 1, &updater->shape, &err), &err);
  check(ddb_builder_new(&updater->changes, &err), &err);
}

static void update_one(row_updater *updater, int64_t id, int64_t age) {
  ddb_error err;
  ddb_cond *where = NULL;
  ddb_value key = ddb_int(id), value = ddb_int(age);
  uint64_t count = 0;
  ddb_builder_clear(updater->changes);
  check(ddb_builder_record_begin(updater->changes, updater->shape, true, &err), &err);
  check(ddb_builder_append(updater->changes, &value, &err), &err);
  check(ddb_builder_end(updater->changes, &err), &err);
  check(ddb_cond_compare(DDB_STR("id"), DDB_OP_EQ, &key, &where, &err), &err);
  check(ddb_table_update(table, updater->changes, where, &count, &err), &err);
  ddb_cond_release(where);
  if (count != 1) {
    fprintf(stderr, "bench_core: %" PRIu64 " records have key %" PRId64 "\n", count, id);
    exit(EXIT_FAILURE);
  }
}

static void delete_new_rows(void) {
  ddb_error err;
  ddb_cond *where = NULL;
  ddb_value last = ddb_int(row_count);
  check(ddb_cond_compare(DDB_STR("id"), DDB_OP_GT, &last, &where, &err), &err);
  check(ddb_table_delete(table, where, NULL, &err), &err);
  ddb_cond_release(where);
}

static void bench_writes(void) {
  double insert[ROUNDS_MAX], update[ROUNDS_MAX];
  row_updater updater;
  updater_init(&updater);
  int64_t next_id = row_count + 1;
  for (int i = 0; i < round_count; i++) {
    uint64_t state = (uint64_t)i;
    int64_t began = processor_ns();
    for (int j = 0; j < WRITE_COUNT; j++) {
      insert_one(next_id++);
    }
    insert[i] = (double)(processor_ns() - began) / WRITE_COUNT;
    began = processor_ns();
    for (int j = 0; j < WRITE_COUNT; j++) {
      uint64_t bits = random_next(&state);
      update_one(&updater, (int64_t)(bits % (uint64_t)row_count) + 1, (int64_t)(bits >> 32) % 100);
    }
    update[i] = (double)(processor_ns() - began) / WRITE_COUNT;
  }
  delete_new_rows();
  ddb_builder_free(updater.changes);
  report("insert_ns", insert);
  report("update_ns", update);
}

// ---- Threads ----

typedef struct getter {
  uint64_t seed;
  spent spent;
} getter;

static void *get_in_thread(void *argument) {
  getter *self = argument;
  self->spent = time_gets(row_count, GET_COUNT, self->seed);
  return NULL;
}

// The time of the slowest of `count` threads that make their gets at once.
static spent time_getters(int count, uint64_t seed) {
  pthread_t threads[2];
  getter getters[2];
  spent slowest = {0, 0};
  for (int j = 0; j < count; j++) {
    getters[j] = (getter){.seed = seed + (uint64_t)j * 1000};
    pthread_create(&threads[j], NULL, get_in_thread, &getters[j]);
  }
  for (int j = 0; j < count; j++) {
    pthread_join(threads[j], NULL);
    slowest = getters[j].spent.wall_ns > slowest.wall_ns ? getters[j].spent : slowest;
  }
  return slowest;
}

// What two threads get in the time of one: 2 is perfect. By processor time it says what they cost
// each other on a machine whose processors are busy with other work.
static void bench_two_readers(void) {
  double ratio[ROUNDS_MAX], processor[ROUNDS_MAX];
  time_getters(2, 1); // warms
  for (int i = 0; i < round_count; i++) {
    spent one = time_getters(1, (uint64_t)i), two = time_getters(2, (uint64_t)i);
    ratio[i] = 2 * (double)one.wall_ns / (double)two.wall_ns;
    processor[i] = 2 * (double)one.processor_ns / (double)two.processor_ns;
  }
  report("get_two_threads_ratio", ratio);
  report("get_two_threads_processor_ratio", processor);
}

static atomic_bool writer_stop;
static atomic_long writer_count;

static void *write_in_thread(void *argument) {
  uint64_t state = 7;
  row_updater updater;
  (void)argument;
  updater_init(&updater);
  while (!atomic_load(&writer_stop)) {
    uint64_t bits = random_next(&state);
    update_one(&updater, (int64_t)(bits % (uint64_t)row_count) + 1, (int64_t)(bits >> 32) % 100);
    atomic_fetch_add(&writer_count, 1);
  }
  ddb_builder_free(updater.changes);
  return NULL;
}

// The 99th percentile of the times of single gets of random keys.
static double get_p99(double *times, uint64_t seed) {
  uint64_t state = seed, zero = volatile_zero, chain = 0;
  for (int i = 0; i < TIMED_COUNT; i++) {
    uint64_t pick = random_next(&state) + (chain & zero);
    int64_t began = now_ns();
    chain += (uint64_t)get_age((int64_t)(pick % (uint64_t)row_count) + 1);
    times[i] = (double)(now_ns() - began);
  }
  qsort(times, TIMED_COUNT, sizeof *times, compare_doubles);
  return times[TIMED_COUNT / 100 * 99];
}

static void bench_beside_writer(void) {
  double alone[ROUNDS_MAX], beside[ROUNDS_MAX], ratio[ROUNDS_MAX], writes[ROUNDS_MAX];
  double *times = malloc(TIMED_COUNT * sizeof *times);
  if (!times) {
    exit(EXIT_FAILURE);
  }
  for (int i = 0; i < round_count; i++) {
    pthread_t writer;
    alone[i] = get_p99(times, (uint64_t)i);
    atomic_store(&writer_stop, false);
    atomic_store(&writer_count, 0);
    int64_t began = now_ns();
    pthread_create(&writer, NULL, write_in_thread, NULL);
    while (atomic_load(&writer_count) == 0) {
    }
    beside[i] = get_p99(times, (uint64_t)i + 1000);
    atomic_store(&writer_stop, true);
    pthread_join(writer, NULL);
    ratio[i] = beside[i] / alone[i];
    writes[i] = (double)atomic_load(&writer_count) * 1e9 / (double)(now_ns() - began);
  }
  free(times);
  report("get_p99_alone_ns", alone);
  report("get_p99_beside_writer_ns", beside);
  report("get_p99_beside_writer_ratio", ratio);
  report("writes_beside_reader_per_s", writes);
}

int main(int argc, char **argv) {
  row_count = argc > 1 ? atoll(argv[1]) : row_count;
  round_count = argc > 2 ? atoi(argv[2]) : round_count;
  if (row_count < HOT_COUNT || round_count < 1 || round_count > ROUNDS_MAX) {
    fprintf(stderr, "usage: bench_core [ROWS, at least %d] [ROUNDS, 1 to %d]\n", HOT_COUNT,
            ROUNDS_MAX);
    return 2;
  }
  double bulk[ROUNDS_MAX];
  for (int i = 0; i < round_count; i++) {
    if (i > 0) {
      ddb_table_release(table);
      ddb_db_release(db);
    }
    open_table();
    bulk[i] = fill_table();
  }
  ddb_memory memory;
  ddb_table_memory(table, &memory);
  double row_bytes[ROUNDS_MAX];
  for (int i = 0; i < round_count; i++) {
    row_bytes[i] = (double)memory.total_bytes / (double)row_count;
  }
  report("bulk_insert_row_ns", bulk);
  report("row_bytes", row_bytes);
  bench_reads();
  bench_two_readers();
  bench_beside_writer();
  bench_writes();
  printf("\n}\n");
  ddb_table_release(table);
  ddb_db_release(db);
  return EXIT_SUCCESS;
}
