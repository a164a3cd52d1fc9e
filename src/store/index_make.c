/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_make.c - creating and dropping secondary indexes: statements whose next root has one more or
 * one fewer. Readers go on with the roots they have.
 *
 * The entries of a new index are made from a view, while others write. Then, under the write lock,
 * they become a tree: without those of rows that changed since, which are found by comparing the
 * leaves of both versions and inserted one by one.
 *
 * Cost of creation: one pass over the rows, a radix sort of (key, seq) pairs; where the keys of a
 * sorted index do not decide, a merge sort that reads the values. Under the lock: one pass over the
 * rows' addresses, packed leaves.
 */
#include <stdio.h>

#include "store/index_key.h"
#include "store/table_private.h"

/* ---- Names and errors --------------------------------------------------------------------- */

/* "'a'", "'a'['city']", or "('a', 'b')". */
static void name_fields(const ddb_path *paths, size_t count, char *text, size_t capacity) {
  size_t at = 0;
  for (size_t i = 0; i < count && at < capacity; i++) {
    ddb_value name = ddb_text(paths[i].field);
    const char *before = i > 0 ? ", " : count > 1 ? "(" : "";
    at += (size_t)snprintf(text + at, capacity - at, "%s", before);
    at += at < capacity ? ddb_value_format(&name, text + at, capacity - at) : 0;
    at += at < capacity ? ddb__path_format_steps(paths[i].steps, paths[i].step_count, text + at,
                                                 capacity - at)
                        : 0;
  }
  if (count > 1 && at < capacity) {
    (void)snprintf(text + at, capacity - at, ")");
  }
}

/* What the table knows of a path: it may have no such field. */
static ddb__path path_known(const ddb_table *table, const ddb_path *path) {
  return (ddb__path){.field_id = ddb__shapes_field_find(table->shapes, path->field),
                     .step_count = (uint32_t)path->step_count,
                     .steps = path->steps};
}

static ddb_status index_error(const ddb_table *table, ddb_status status, const char *problem,
                              const ddb_path *paths, size_t count, ddb_error *err) {
  char names[160];
  name_fields(paths, count, names, sizeof names);
  (void)ddb__fail(err, status, "table '%.*s' %s %s", DDB__STR_ARG(table->name), problem, names);
  if (err) {
    ddb__error_text(err->table, sizeof err->table, table->name);
    ddb__error_text(err->field, sizeof err->field, paths[0].field);
  }
  return status;
}

ddb_path ddb__index_path(const ddb_table *table, const ddb__index_def *def, size_t field) {
  const ddb__path *path = &def->paths[field];
  return (ddb_path){ddb__shapes_field_name(table->shapes, path->field_id), path->steps,
                    path->step_count};
}

ddb_status ddb__index_duplicate(const ddb_table *table, const ddb__index_def *def,
                                const ddb_value *values, ddb_error *err) {
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX] = {0};
  char text[160];
  size_t at = 0;
  for (uint32_t i = 0; i < def->field_count; i++) {
    paths[i] = ddb__index_path(table, def, i);
    const char *before = i > 0 ? ", " : def->field_count > 1 ? "(" : "";
    at += at < sizeof text ? (size_t)snprintf(text + at, sizeof text - at, "%s", before) : 0;
    at += at < sizeof text ? ddb_value_format(&values[i], text + at, sizeof text - at) : 0;
  }
  char problem[200];
  (void)snprintf(problem, sizeof problem, "would have %.150s%s twice under the unique index on",
                 text, def->field_count > 1 ? ")" : "");
  return index_error(table, DDB_ERR_DUPLICATE_KEY, problem, paths, def->field_count, err);
}

/* ---- Definitions -------------------------------------------------------------------------- */

/* The field's id, made if no record has had the field. */
static ddb_status field_intern(ddb_table *table, ddb_str field, uint32_t *id, ddb_error *err) {
  ddb_status status = ddb__shapes_field_check(table->shapes, field, err);
  if (status != DDB_OK) {
    return status;
  }
  *id = ddb__shapes_field_find(table->shapes, field);
  if (*id != DDB__NO_FIELD) {
    return DDB_OK;
  }
  const ddb_shape *shape;
  status = ddb__shapes_get(table->shapes, DDB_SHAPE_CHANGES, &field, 1, &shape, err);
  if (status == DDB_OK) {
    *id = shape->field_ids[0];
  }
  return status;
}

/* What the caller gave, checked; the steps stay the caller's. */
typedef struct wish {
  ddb_index_kind kind;
  bool unique;
  size_t count;
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX];
  ddb__path bound[DDB_INDEX_FIELD_COUNT_MAX];
} wish;

static ddb_status check_path(const ddb_table *table, const ddb_path *path, ddb_error *err) {
  if (path->step_count > DDB_INDEX_STEP_COUNT_MAX || (path->step_count > 0 && !path->steps)) {
    return ddb__fail(err, DDB_ERR_LIMIT,
                     "an index of '%.*s' has at most %u steps into a field, not %zu",
                     DDB__STR_ARG(table->name), DDB_INDEX_STEP_COUNT_MAX, path->step_count);
  }
  for (size_t i = 0; i < path->step_count; i++) {
    if (!ddb__value_hashable(&path->steps[i])) {
      return ddb__fail(err, DDB_ERR_TYPE,
                       "a step of a path is a dict's key or a list's index, "
                       "not an unhashable %s",
                       ddb_kind_name(path->steps[i].kind));
    }
  }
  return DDB_OK;
}

/* Of the path at `index`: names a field, and is none of those before it. */
static ddb_status path_intern(ddb_table *table, wish *w, size_t index, ddb_error *err) {
  const ddb_path *path = &w->paths[index];
  ddb__path *bound = &w->bound[index];
  ddb_status status = check_path(table, path, err);
  if (status == DDB_OK) {
    status = field_intern(table, path->field, &bound->field_id, err);
  }
  bound->step_count = (uint32_t)path->step_count;
  bound->steps = path->steps;
  for (size_t i = 0; i < index && status == DDB_OK; i++) {
    if (ddb__path_equal(&w->bound[i], bound)) {
      status = index_error(table, DDB_ERR_INVALID, "cannot have an index with a field twice:", path,
                           1, err);
    }
  }
  return status;
}

static ddb_status want(ddb_table *table, const ddb_index_options *options, wish *w,
                       ddb_error *err) {
  if (options->kind != DDB_INDEX_HASH && options->kind != DDB_INDEX_SORTED) {
    return ddb__fail(err, DDB_ERR_INVALID, "unknown index kind %d", (int)options->kind);
  }
  if (options->field_count == 0 || (!options->fields && !options->paths)) {
    return ddb__fail(err, DDB_ERR_INVALID, "an index of '%.*s' needs a field",
                     DDB__STR_ARG(table->name));
  }
  if (options->field_count > DDB_INDEX_FIELD_COUNT_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "an index has at most %u fields, not %zu",
                     DDB_INDEX_FIELD_COUNT_MAX, options->field_count);
  }
  w->kind = options->kind;
  w->unique = options->unique;
  w->count = options->field_count;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < w->count && status == DDB_OK; i++) {
    w->paths[i] = options->paths ? options->paths[i] : (ddb_path){.field = options->fields[i]};
    status = path_intern(table, w, i, err);
  }
  return status;
}

static bool def_is_over(const ddb__index_def *def, const ddb__path *paths, size_t count) {
  bool same = def->field_count == count;
  for (size_t i = 0; same && i < count; i++) {
    same = ddb__path_equal(&def->paths[i], &paths[i]);
  }
  return same;
}

bool ddb_view_index_is_over(const ddb_view *view, size_t index, const ddb_path *paths,
                            size_t path_count) {
  const ddb__index_def *def = ddb__view_root(view)->indexes[index].def;
  bool same = def->field_count == path_count;
  for (size_t i = 0; same && i < path_count; i++) {
    ddb__path path = path_known(view->table, &paths[i]);
    same = ddb__path_equal(&def->paths[i], &path);
  }
  return same;
}

static size_t def_size(size_t field_count, size_t step_count) {
  return sizeof(ddb__index_def) + field_count * sizeof(ddb__path) + step_count * sizeof(ddb_value);
}

/* Its steps are borrowed. */
static void def_fill(ddb__index_def *def, const wish *w) {
  *def = (ddb__index_def){.kind = w->kind, .unique = w->unique, .field_count = (uint32_t)w->count};
  memcpy(def->paths, w->bound, w->count * sizeof *w->bound);
  for (size_t i = 0; i < w->count; i++) {
    def->step_count += w->bound[i].step_count;
  }
}

/* Makes the borrowed steps the definition's own. */
static ddb_status def_own(ddb__index_def *def, ddb_error *err) {
  if (def->step_count == 0) {
    return DDB_OK;
  }
  ddb_status status = ddb_builder_new(&def->steps, err);
  for (uint32_t i = 0; i < def->field_count; i++) {
    for (uint32_t j = 0; j < def->paths[i].step_count && status == DDB_OK; j++) {
      status = ddb_builder_append(def->steps, &def->paths[i].steps[j], err);
    }
  }
  ddb_value *steps = (ddb_value *)(void *)(def->paths + def->field_count);
  for (uint32_t i = 0; i < def->step_count && status == DDB_OK; i++) {
    steps[i] = ddb_builder_value_at(def->steps, i);
  }
  for (uint32_t i = 0; i < def->field_count; i++) {
    def->paths[i].steps = steps;
    steps += def->paths[i].step_count;
  }
  return status;
}

static void def_free(ddb_table *table, ddb__index_def *def) {
  ddb_builder_free(def->steps);
  ddb__free(&table->heap, def, def_size(def->field_count, def->step_count));
}

/* Definitions are kept: what is dropped and created again is the same one. */
static const ddb__index_def *def_get(ddb_table *table, const ddb__index_def *like, ddb_error *err) {
  for (const ddb__index_def *def = table->index_defs; def; def = def->next) {
    if (def->kind == like->kind && def->unique == like->unique &&
        def_is_over(def, like->paths, like->field_count)) {
      return def;
    }
  }
  size_t size = def_size(like->field_count, like->step_count);
  ddb__index_def *def = ddb__alloc(&table->heap, size);
  if (!def) {
    (void)ddb__fail_memory(err, size);
    return NULL;
  }
  memcpy(def, like, def_size(like->field_count, 0));
  if (def_own(def, err) != DDB_OK) {
    def_free(table, def);
    return NULL;
  }
  def->next = table->index_defs;
  table->index_defs = def;
  return def;
}

void ddb__index_defs_free(ddb_table *table) {
  while (table->index_defs) {
    ddb__index_def *def = table->index_defs;
    table->index_defs = def->next;
    def_free(table, def);
  }
}

/* ---- Building ----------------------------------------------------------------------------- */

typedef struct build {
  ddb_table *table;
  const ddb__root *root;
  const ddb__index_def *def;
  ddb__tree_entry *entries;
  ddb__tree_entry *scratch; /* room for as many */
  size_t count;
  size_t bytes;      /* of entries and scratch */
  uint64_t *changed; /* rows that changed since, ascending */
  size_t changed_count;
  size_t changed_capacity;
} build;

/* Sorts by key, stably: entries come in order of seq. Radix sort by bytes, lowest first. (qsort would
 * allocate behind the allocator's back.) */
static void sort_by_key(const build *b) {
  ddb__tree_entry *entries = b->entries;
  ddb__tree_entry *scratch = b->scratch;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    size_t starts[256] = {0};
    for (size_t i = 0; i < b->count; i++) {
      starts[entries[i].key >> shift & 0xff]++;
    }
    size_t start = 0;
    for (size_t byte = 0; byte < 256; byte++) {
      size_t here = starts[byte];
      starts[byte] = start;
      start += here;
    }
    for (size_t i = 0; i < b->count; i++) {
      scratch[starts[entries[i].key >> shift & 0xff]++] = entries[i];
    }
    ddb__tree_entry *sorted = scratch; /* eight passes: the last one ends in b->entries */
    scratch = entries;
    entries = sorted;
  }
}

static void collect(build *b) {
  const ddb__rows *rows = &b->root->rows;
  for (uint64_t seq = 0, count; seq < rows->end; seq += count) {
    const ddb_record *const *run = ddb__rows_run(rows, seq, &count);
    for (uint64_t i = 0; run && i < count; i++) {
      if (run[i]) {
        ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
        ddb__index_values(b->def, run[i], values);
        b->entries[b->count++] = (ddb__tree_entry){ddb__index_key(b->def, values), seq + i};
      }
    }
  }
}

static void values_at(const build *b, ddb__tree_entry entry, ddb_value *values) {
  ddb__index_values(b->def, ddb__rows_get(&b->root->rows, entry.seq), values);
}

static int compare_entries(const build *b, ddb__tree_entry left, ddb__tree_entry right) {
  ddb_value a[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_value c[DDB_INDEX_FIELD_COUNT_MAX];
  values_at(b, left, a);
  values_at(b, right, c);
  return ddb__index_compare(a, c, b->def->field_count);
}

/* Sorts entries of one key by their values, stably. */
static void sort_run(const build *b, ddb__tree_entry *entries, ddb__tree_entry *scratch,
                     size_t count) {
  if (count < 2) {
    return;
  }
  size_t half = count / 2;
  sort_run(b, entries, scratch, half);
  sort_run(b, entries + half, scratch, count - half);
  if (compare_entries(b, entries[half - 1], entries[half]) <= 0) {
    return;
  }
  memcpy(scratch, entries, half * sizeof *entries);
  size_t left = 0;
  size_t right = half;
  for (size_t to = 0; left < half; to++) {
    bool from_right = right < count && compare_entries(b, entries[right], scratch[left]) < 0;
    entries[to] = from_right ? entries[right++] : scratch[left++];
  }
}

static size_t run_end(const build *b, size_t from) {
  size_t end = from + 1;
  while (end < b->count && b->entries[end].key == b->entries[from].key) {
    end++;
  }
  return end;
}

static void sort_ties(const build *b) {
  for (size_t from = 0, end; from < b->count; from = end) {
    end = run_end(b, from);
    if (!ddb__key_is_exact(b->entries[from].key)) {
      sort_run(b, b->entries + from, b->scratch, end - from);
    }
  }
}

/* Two rows with equal values, in the finished index. */
static ddb_status check_unique(const build *b, const ddb__index *index, ddb_error *err) {
  for (size_t from = 0, end; from < b->count; from = end) {
    end = run_end(b, from);
    for (size_t i = from; i + 1 < end; i++) {
      ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
      if (b->def->kind == DDB_INDEX_SORTED &&
          compare_entries(b, b->entries[i], b->entries[i + 1]) != 0) {
        continue;
      }
      values_at(b, b->entries[i], values);
      if (ddb__index_has_twin(index, &b->root->rows, values, b->entries[i].seq)) {
        return ddb__index_duplicate(b->table, b->def, values, err);
      }
    }
  }
  return DDB_OK;
}

static ddb_status prepare(build *b, ddb_error *err) {
  size_t count = (size_t)b->root->count;
  b->bytes = 2 * count * sizeof(ddb__tree_entry);
  if (count == 0) {
    return DDB_OK;
  }
  b->entries = ddb__alloc(&ddb__heap_process, b->bytes);
  if (!b->entries) {
    return ddb__fail_memory(err, b->bytes);
  }
  b->scratch = b->entries + count;
  collect(b);
  sort_by_key(b);
  if (b->def->kind == DDB_INDEX_SORTED) {
    sort_ties(b);
  }
  return DDB_OK;
}

static void build_fini(build *b) {
  ddb__free(&ddb__heap_process, b->entries, b->bytes);
  ddb__free(&ddb__heap_process, b->changed, b->changed_capacity * sizeof *b->changed);
}

/* ---- What changed meanwhile --------------------------------------------------------------- */

static ddb_status changed_add(build *b, uint64_t seq, ddb_error *err) {
  uint64_t *changed = ddb__room(&ddb__heap_process, b->changed, &b->changed_capacity,
                                b->changed_count + 1, sizeof *changed, err);
  if (!changed) {
    return DDB_ERR_NOMEM;
  }
  b->changed = changed;
  changed[b->changed_count++] = seq;
  return DDB_OK;
}

/* Rows whose records differ from those that the entries were made of. The view that the build holds
 * keeps the old records: no new one can have the address of one of them. */
static ddb_status find_changed(build *b, const ddb__rows *now, ddb_error *err) {
  const ddb__rows *then = &b->root->rows;
  ddb_status status = DDB_OK;
  for (uint64_t seq = 0, step; seq < now->end && status == DDB_OK; seq += step) {
    uint64_t count;
    const ddb_record *const *new = ddb__rows_run(now, seq, &step);
    const ddb_record *const *old = NULL;
    if (seq < then->end) {
      old = ddb__rows_run(then, seq, &count);
      step = count < step ? count : step;
    }
    for (uint64_t i = 0; i < step && new != old &&status == DDB_OK; i++) {
      if ((new ? new[i] : NULL) != (old ? old[i] : NULL)) {
        status = changed_add(b, seq + i, err);
      }
    }
  }
  return status;
}

static bool is_changed(const build *b, uint64_t seq) {
  size_t low = 0;
  size_t high = b->changed_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (b->changed[middle] < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < b->changed_count && b->changed[low] == seq;
}

/* X1: from here on the entries are those of rows that are as they were. */
static void forget_changed(build *b) {
  size_t kept = 0;
  for (size_t i = 0; i < b->count && b->changed_count > 0; i++) {
    if (!is_changed(b, b->entries[i].seq)) {
      b->entries[kept++] = b->entries[i];
    }
  }
  b->count = b->changed_count > 0 ? kept : b->count;
}

static ddb_status insert_changed(const build *b, ddb__write *write, ddb__index *index,
                                 ddb_error *err) {
  const ddb__rows *rows = &write->next->rows;
  ddb_status status = DDB_OK;
  for (size_t i = 0; i < b->changed_count && status == DDB_OK; i++) {
    const ddb_record *record = ddb__rows_get(rows, b->changed[i]);
    if (!record) {
      continue;
    }
    ddb_value values[DDB_INDEX_FIELD_COUNT_MAX];
    ddb__index_place place;
    bool changed;
    ddb__index_values(b->def, record, values);
    if (b->def->unique && ddb__index_has_twin(index, rows, values, b->changed[i])) {
      return ddb__index_duplicate(b->table, b->def, values, err);
    }
    ddb__index_place_init(&place, b->def, rows, values, b->changed[i]);
    status = ddb__tree_insert(&index->tree, write->edit, &place.tree, &changed, err);
  }
  return status;
}

/* Under the write lock: the entries become a tree, with what changed since they were made. */
static ddb_status finish_build(build *b, ddb__write *write, ddb__index *index, ddb_error *err) {
  ddb_status status =
      DDB__FAULT(BUILD_MISSES_CHANGES) ? DDB_OK : find_changed(b, &write->next->rows, err);
  if (status == DDB_OK) {
    forget_changed(b);
    b->root = write->next;
    status = ddb__tree_build(&index->tree, write->edit, b->entries, b->count, err);
  }
  if (status == DDB_OK && b->def->unique) {
    status = check_unique(b, index, err);
  }
  return status == DDB_OK ? insert_changed(b, write, index, err) : status;
}

/* ---- Statements --------------------------------------------------------------------------- */

/* Gives the statement a next root with room for `index_count` indexes. */
static ddb_status resize_next(ddb__write *write, uint32_t index_count, ddb_error *err) {
  uint32_t keep = write->next->index_count < index_count ? write->next->index_count : index_count;
  size_t size = ddb__root_size(index_count);
  ddb__root *next = ddb__alloc_zero(&write->table->heap, size);
  if (!next) {
    return ddb__fail_memory(err, size);
  }
  memcpy(next, write->next, ddb__root_size(keep));
  next->index_count = index_count;
  ddb__free(&write->table->heap, write->next, ddb__root_size(write->next->index_count));
  write->next = next;
  return DDB_OK;
}

/* Under an explicit write lock, its end needs a root with as many indexes. */
static ddb_status finish(ddb__write *write, ddb_status status, ddb_error *err) {
  if (status == DDB_OK && write->next->owner) {
    status = ddb__publish_reserve_release(write->table, write->next->index_count, err);
  }
  if (status == DDB_OK) {
    return ddb__write_commit(write, err);
  }
  ddb__write_abort(write);
  return status;
}

static bool has_index(const ddb__root *root, const ddb__index_def *like) {
  for (uint32_t i = 0; i < root->index_count; i++) {
    const ddb__index_def *def = root->indexes[i].def;
    if (def->kind == like->kind && def_is_over(def, like->paths, like->field_count)) {
      return true;
    }
  }
  return false;
}

static ddb_status check_new(const build *b, const ddb__root *root, ddb_error *err) {
  if (!has_index(root, b->def)) {
    return DDB_OK;
  }
  const char *problem =
      b->def->kind == DDB_INDEX_HASH ? "has a hash index on" : "has a sorted index on";
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX] = {0};
  for (uint32_t i = 0; i < b->def->field_count; i++) {
    paths[i] = ddb__index_path(b->table, b->def, i);
  }
  return index_error(b->table, DDB_ERR_DUPLICATE_INDEX, problem, paths, b->def->field_count, err);
}

static ddb_status add(ddb__write *write, build *b, ddb_error *err) {
  ddb_status status = check_new(b, write->next, err);
  if (status != DDB_OK) {
    return status;
  }
  const ddb__index_def *def = def_get(write->table, b->def, err);
  if (!def) {
    return DDB_ERR_NOMEM;
  }
  status = resize_next(write, write->next->index_count + 1, err);
  if (status != DDB_OK) {
    return status;
  }
  write->changed = true;
  ddb__index *index = &write->next->indexes[write->next->index_count - 1];
  *index = (ddb__index){.def = def};
  b->def = def;
  return finish_build(b, write, index, err);
}

/* Makes the entries of the view's version while others write, then the index. */
static ddb_status add_beside(ddb_table *table, const ddb_view *view, const wish *w,
                             ddb_error *err) {
  /* As the table's own will be, which is made under the lock. */
  _Alignas(ddb__index_def) char
      room[sizeof(ddb__index_def) + DDB_INDEX_FIELD_COUNT_MAX * sizeof(ddb__path)];
  ddb__index_def *def = (ddb__index_def *)(void *)room;
  def_fill(def, w);
  build b = {.table = table, .root = ddb__view_root(view), .def = def};
  ddb_status status = check_new(&b, b.root, err);
  if (status == DDB_OK) {
    status = prepare(&b, err);
  }
  ddb__write write;
  if (status == DDB_OK) {
    status = ddb__write_begin(&write, table, err);
  }
  if (status == DDB_OK) {
    status = finish(&write, add(&write, &b, err), err);
  }
  build_fini(&b);
  return status;
}

ddb_status ddb_table_index_add(ddb_table *table, const ddb_index_options *options, ddb_error *err) {
  wish w = {0};
  ddb_status status = want(table, options, &w, err);
  ddb_view view;
  if (status == DDB_OK) {
    status = ddb_view_open(table, &view, err);
  }
  if (status != DDB_OK) {
    return status;
  }
  status = add_beside(table, &view, &w, err);
  ddb_view_close(&view);
  return status;
}

ddb_status ddb_table_index_create(ddb_table *table, ddb_str field, ddb_index_kind kind,
                                  ddb_error *err) {
  ddb_index_options options = {.fields = &field, .field_count = 1, .kind = kind};
  return ddb_table_index_add(table, &options, err);
}

/* Takes the index at `at` out of the next root. */
static ddb_status remove_at(ddb__write *write, uint32_t at, ddb_error *err) {
  uint32_t last = write->next->index_count - 1;
  ddb__tree tree = write->next->indexes[at].tree;
  ddb_status status = ddb__tree_retire(&tree, write->edit, err);
  if (status == DDB_OK) {
    write->changed = true;
    memmove(&write->next->indexes[at], &write->next->indexes[at + 1],
            (last - at) * sizeof write->next->indexes[0]);
    status = resize_next(write, last, err);
  }
  return status;
}

ddb_status ddb_table_index_drop_paths(ddb_table *table, const ddb_path *paths, size_t path_count,
                                      const ddb_index_kind *kind, ddb_error *err) {
  if (path_count == 0 || !paths || path_count > DDB_INDEX_FIELD_COUNT_MAX) {
    return ddb__fail(err, DDB_ERR_INVALID, "an index of '%.*s' has 1 to %u fields, not %zu",
                     DDB__STR_ARG(table->name), DDB_INDEX_FIELD_COUNT_MAX, path_count);
  }
  ddb__path bound[DDB_INDEX_FIELD_COUNT_MAX];
  for (size_t i = 0; i < path_count; i++) {
    ddb_status status = check_path(table, &paths[i], err);
    if (status != DDB_OK) {
      return status;
    }
    bound[i] = path_known(table, &paths[i]);
  }
  ddb__write write;
  ddb_status status = ddb__write_begin(&write, table, err);
  if (status != DDB_OK) {
    return status;
  }
  bool found = false;
  for (uint32_t i = 0; i < write.next->index_count && status == DDB_OK;) {
    const ddb__index_def *def = write.next->indexes[i].def;
    if (def_is_over(def, bound, path_count) && (!kind || def->kind == *kind)) {
      found = true;
      status = remove_at(&write, i, err);
    } else {
      i++;
    }
  }
  if (!found) {
    const char *problem = !kind                     ? "has no index on"
                          : *kind == DDB_INDEX_HASH ? "has no hash index on"
                                                    : "has no sorted index on";
    status = index_error(table, DDB_ERR_INDEX_NOT_FOUND, problem, paths, path_count, err);
  }
  return finish(&write, status, err);
}

ddb_status ddb_table_index_drop(ddb_table *table, const ddb_str *fields, size_t field_count,
                                const ddb_index_kind *kind, ddb_error *err) {
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX] = {0};
  size_t known = fields && field_count <= DDB_INDEX_FIELD_COUNT_MAX ? field_count : 0;
  for (size_t i = 0; i < known; i++) {
    paths[i] = (ddb_path){.field = fields[i]};
  }
  return ddb_table_index_drop_paths(table, known > 0 ? paths : NULL, field_count, kind, err);
}
