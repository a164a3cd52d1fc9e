// SPDX-License-Identifier: Apache-2.0
//
// A concurrent web application on libdictdb: sessions and events, shared by worker threads.
//
//   cc webapp.c $(pkg-config --cflags --libs dictdb) -pthread -o webapp && ./webapp [FILE]
//
// The rule that holds at every instant: a session's `requests` is the number of its events. The
// program checks it from snapshots while the workers run, saves a snapshot to FILE (or to a
// temporary file), loads it again and checks the rule there too.
#include <dictdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKER_COUNT = 4, REQUEST_COUNT = 5000, SESSION_COUNT = 50 };

typedef struct web_app {
  ddb_db *db;
  ddb_table *tables[2]; // sessions, events
  atomic_bool done;
} web_app;

static void check(ddb_status status, const ddb_error *err) {
  if (status != DDB_OK) {
    fprintf(stderr, "webapp: %s: %s\n", ddb_status_name(status), err->message);
    exit(EXIT_FAILURE);
  }
}

// The `requests` of a session; -1 when there is none. What is read through a view belongs to it.
static int64_t requests_of(ddb_table *sessions, ddb_value session_id) {
  ddb_error err;
  ddb_view view;
  const ddb_record *record = NULL;
  check(ddb_view_open(sessions, &view, &err), &err);
  check(ddb_view_get(&view, &session_id, &record, &err), &err);
  int64_t requests = record ? ddb_record_get(record, DDB_STR("requests")).as.integer : -1;
  ddb_view_close(&view);
  return requests;
}

// UPDATE sessions SET requests = ... WHERE session_id = ...
static void set_requests(ddb_table *sessions, ddb_value session_id, int64_t requests) {
  ddb_error err;
  ddb_builder *changes = NULL;
  ddb_cond *where = NULL;
  const ddb_shape *shape = NULL;
  ddb_str name = DDB_STR("requests");
  ddb_value value = ddb_int(requests);
  check(ddb_table_shape(sessions, DDB_SHAPE_CHANGES, &name, 1, &shape, &err), &err);
  check(ddb_builder_new(&changes, &err), &err);
  check(ddb_builder_record_begin(changes, shape, true, &err), &err);
  check(ddb_builder_append(changes, &value, &err), &err);
  check(ddb_builder_end(changes, &err), &err);
  check(ddb_cond_compare(DDB_STR("session_id"), DDB_OP_EQ, &session_id, &where, &err), &err);
  check(ddb_table_update(sessions, changes, where, NULL, &err), &err);
  ddb_cond_release(where);
  ddb_builder_free(changes);
}

// Both tables are locked, so that reading the count and writing it back is one step, and what is
// written to the two becomes visible together.
static void handle_request(web_app *app, const char *session, int64_t user_id, const char *action) {
  ddb_error err;
  ddb_table *sessions = app->tables[0], *events = app->tables[1];
  ddb_value session_id = ddb_text(ddb_str_from(session));
  check(ddb_tables_write_lock(app->tables, 2, DDB_WAIT_FOREVER, &err), &err);
  int64_t requests = requests_of(sessions, session_id);
  if (requests < 0) {
    ddb_field fields[] = {{DDB_STR("session_id"), session_id},
                          {DDB_STR("user_id"), ddb_int(user_id)},
                          {DDB_STR("requests"), ddb_int(1)}};
    check(ddb_table_insert_fields(sessions, fields, 3, NULL, &err), &err);
  } else {
    set_requests(sessions, session_id, requests + 1);
  }
  ddb_field event[] = {{DDB_STR("session_id"), session_id},
                       {DDB_STR("action"), ddb_text(ddb_str_from(action))}};
  check(ddb_table_insert_fields(events, event, 2, NULL, &err), &err);
  check(ddb_tables_write_unlock(app->tables, 2, &err), &err);
}

typedef struct worker {
  web_app *app;
  unsigned int seed;
} worker;

static void *serve(void *argument) {
  worker *self = argument;
  for (int i = 0; i < REQUEST_COUNT; i++) {
    char session[32];
    int number = rand_r(&self->seed) % SESSION_COUNT;
    snprintf(session, sizeof session, "session-%d", number);
    handle_request(self->app, session, number / 2, i % 3 ? "view" : "buy");
  }
  return NULL;
}

// One instant of both tables: events, and the sum of the sessions' requests.
static bool rule_holds(ddb_snapshot *snapshot, ddb_table *const *tables, uint64_t *events) {
  ddb_error err;
  ddb_view view;
  uint64_t position = 0, sum = 0;
  check(ddb_snapshot_view(snapshot, tables[0], &view, &err), &err);
  for (const ddb_record *record; (record = ddb_view_next(&view, &position));) {
    sum += (uint64_t)ddb_record_get(record, DDB_STR("requests")).as.integer;
  }
  ddb_view_close(&view);
  check(ddb_snapshot_view(snapshot, tables[1], &view, &err), &err);
  *events = ddb_view_count(&view);
  ddb_view_close(&view);
  return sum == *events;
}

static void *watch(void *argument) {
  web_app *app = argument;
  uint64_t checks = 0, events = 0;
  while (!atomic_load(&app->done)) {
    ddb_error err;
    ddb_snapshot *snapshot = NULL;
    check(ddb_snapshot_open(app->db, &snapshot, &err), &err);
    if (!rule_holds(snapshot, app->tables, &events)) {
      fprintf(stderr, "webapp: the rule was broken at %llu events\n", (unsigned long long)events);
      exit(EXIT_FAILURE);
    }
    ddb_snapshot_close(snapshot);
    checks++;
  }
  printf("the rule held in %llu snapshots\n", (unsigned long long)checks);
  return NULL;
}

static void open_app(web_app *app) {
  ddb_error err;
  ddb_table_options options = {.primary_key = DDB_STR("session_id")};
  check(ddb_db_new(&app->db, &err), &err);
  check(ddb_db_table_create(app->db, DDB_STR("sessions"), &options, &app->tables[0], &err), &err);
  options.primary_key = DDB_STR("event_id"); // assigned: 1, 2, 3, ...
  check(ddb_db_table_create(app->db, DDB_STR("events"), &options, &app->tables[1], &err), &err);
  check(ddb_table_index_create(app->tables[1], DDB_STR("session_id"), DDB_INDEX_HASH, &err), &err);
}

static void run_threads(web_app *app) {
  pthread_t threads[WORKER_COUNT], watcher;
  worker workers[WORKER_COUNT];
  pthread_create(&watcher, NULL, watch, app);
  for (unsigned int i = 0; i < WORKER_COUNT; i++) {
    workers[i] = (worker){app, i + 1};
    pthread_create(&threads[i], NULL, serve, &workers[i]);
  }
  for (int i = 0; i < WORKER_COUNT; i++) {
    pthread_join(threads[i], NULL);
  }
  atomic_store(&app->done, true);
  pthread_join(watcher, NULL);
}

// Loads the file into a database of its own and checks the rule there.
static void check_file(const char *path) {
  ddb_error err;
  ddb_db *db = NULL;
  ddb_table *tables[2];
  ddb_snapshot *snapshot = NULL;
  uint64_t events = 0;
  check(ddb_db_load_json(path, NULL, NULL, &db, &err), &err);
  check(ddb_db_table_get(db, DDB_STR("sessions"), &tables[0], &err), &err);
  check(ddb_db_table_get(db, DDB_STR("events"), &tables[1], &err), &err);
  check(ddb_snapshot_open(db, &snapshot, &err), &err);
  if (!rule_holds(snapshot, tables, &events) || events != WORKER_COUNT * REQUEST_COUNT) {
    fprintf(stderr, "webapp: the file is not what was saved\n");
    exit(EXIT_FAILURE);
  }
  printf("saved and loaded %llu events\n", (unsigned long long)events);
  ddb_snapshot_close(snapshot);
  ddb_table_release(tables[0]);
  ddb_table_release(tables[1]);
  ddb_db_release(db);
}

int main(int argc, char **argv) {
  ddb_error err;
  char temporary[] = "/tmp/webapp-XXXXXX";
  const char *path = argc > 1 ? argv[1] : temporary;
  web_app app = {.done = false};
  open_app(&app);
  run_threads(&app);
  if (argc <= 1) {
    int descriptor = mkstemp(temporary);
    if (descriptor < 0) {
      perror("webapp: mkstemp");
      return EXIT_FAILURE;
    }
    close(descriptor);
  }
  check(ddb_db_save_json(app.db, path, NULL, NULL, &err), &err);
  check_file(path);
  if (argc <= 1) {
    unlink(temporary);
  }
  ddb_table_release(app.tables[0]);
  ddb_table_release(app.tables[1]);
  ddb_db_release(app.db);
  return EXIT_SUCCESS;
}
