/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_save.c - a snapshot as a JSON file.
 *
 *   {"format": ..., "tables": {name: {properties, "records": [       one record per line
 *   ...]}, ...}, "checksum": of all bytes before it}
 *
 * Invariants
 *   1. The snapshot is one instant; each of its tables is read through one view, opened and closed
 *      on this thread. Nobody waits for us, and we for nobody.
 *   2. Every value that a table can hold has a text (json_write.c), so that nothing but memory, the
 *      disk and the caller's will can stop a save; the target is not touched until all is on disk.
 *   3. Memory: one buffer, whatever the size of the database.
 * A schema goes out twice: "schema_types" says all of it, "schema" what the original layout can,
 * and only if all records keep to it: a first pass over the tables with a schema finds that out.
 */
#include "base/heap.h"
#include "base/status.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/json_record.h"
#include "io/json_write.h"
#include "io/layout.h"
#include "io/try.h"
#include "store/record.h"
#include "store/table.h"

#define CHECK_PERIOD 4096 /* records between two looks at the progress function */

typedef struct saver {
  ddb__checksum checksum;
  ddb_snapshot *snapshot;
  ddb_table **tables;
  size_t table_count;
  ddb__json_writer writer;
  ddb__file file;
  ddb__layout_progress progress;
  uint64_t done; /* records written */
  ddb_error *err;
  ddb__json_names names;
} saver;

/* What a table's records say about its schema. */
typedef struct findings {
  bool exceptions;   /* some do not keep to it: they were inserted without validation */
  bool int_in_float; /* fine here, not in the original */
} findings;

/* ---- Schemas ------------------------------------------------------------------------------ */

static void check_record(const ddb_record *record, findings *found) {
  const ddb_shape *shape = record->shape;
  for (uint32_t i = 0; i < shape->count; i++) {
    uint32_t type = DDB_TYPE(record->block.tags[i]);
    uint32_t allowed = shape->checks[i]->types;
    found->exceptions |= (type & allowed) == 0;
    found->int_in_float |= (type & DDB_TYPE_INT) && (allowed & DDB_TYPE(DDB_FLOAT));
  }
}

static ddb_status check_records(saver *s, const ddb_view *view, findings *found) {
  uint64_t position = 0;
  uint64_t count = 0;
  const ddb_record *record;
  while ((record = ddb_view_next(view, &position)) != NULL) {
    check_record(record, found);
    if (++count % CHECK_PERIOD == 0) {
      DDB__TRY(ddb__layout_tell(&s->progress, s->done, false, s->err));
    }
  }
  return DDB_OK;
}

/* Can the original layout say the whole schema? */
static bool schema_is_plain(const ddb_schema_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!ddb__layout_plain_name(&fields[i]) || !ddb__json_key_is_plain(fields[i].name)) {
      return false;
    }
  }
  return true;
}

static ddb_status write_plain_schema(saver *s, const ddb_schema_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, i ? ", " : "{"));
    DDB__TRY(ddb__json_write_string(&s->writer, fields[i].name));
    DDB__TRY(ddb__json_write_text(&s->writer, ": "));
    DDB__TRY(ddb__json_write_string(&s->writer, ddb_str_from(ddb__layout_plain_name(&fields[i]))));
  }
  return ddb__json_write_text(&s->writer, "}");
}

static ddb_status write_types(saver *s, uint32_t types) {
  const char *before = "[";
  for (size_t i = 0; i < ddb__layout_type_count; i++) {
    const ddb__layout_type *type = &ddb__layout_types[i];
    if ((types & type->types) == type->types) {
      types &= ~type->types;
      DDB__TRY(ddb__json_write_text(&s->writer, before));
      DDB__TRY(ddb__json_write_string(&s->writer, ddb_str_from(type->name)));
      before = ", ";
    }
  }
  return ddb__json_write_text(&s->writer, *before == '[' ? "[]" : "]");
}

static ddb_status write_schema_field(saver *s, const ddb_schema_field *field) {
  ddb_value name = ddb_text(field->name);
  DDB__TRY(ddb__json_write_text(&s->writer, "{\"name\": "));
  DDB__TRY(ddb__json_write_value(&s->writer, &name));
  DDB__TRY(ddb__json_write_text(&s->writer, ", \"types\": "));
  DDB__TRY(write_types(s, field->types));
  if (field->default_value) {
    DDB__TRY(ddb__json_write_text(&s->writer, ", \"default\": "));
    DDB__TRY(ddb__json_write_value(&s->writer, field->default_value));
  }
  return ddb__json_write_text(&s->writer, "}");
}

static ddb_status write_schema(saver *s, const ddb_table *table, const ddb_view *view) {
  size_t count;
  const ddb_schema_field *fields = ddb_table_schema(table, &count);
  if (count == 0) {
    return ddb__json_write_text(&s->writer, ",\n\"schema\": null, \"schema_types\": null");
  }
  findings found = {0};
  DDB__TRY(check_records(s, view, &found));
  DDB__TRY(ddb__json_write_text(&s->writer, ",\n\"schema\": "));
  if (schema_is_plain(fields, count) && !found.exceptions && !found.int_in_float) {
    DDB__TRY(write_plain_schema(s, fields, count));
  } else {
    DDB__TRY(ddb__json_write_text(&s->writer, "null"));
  }
  DDB__TRY(ddb__json_write_text(&s->writer, ",\n\"schema_types\": ["));
  for (size_t i = 0; i < count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, i ? ",\n" : ""));
    DDB__TRY(write_schema_field(s, &fields[i]));
  }
  DDB__TRY(ddb__json_write_text(&s->writer, "]"));
  return found.exceptions ? ddb__json_write_text(&s->writer, ",\n\"schema_exceptions\": true")
                          : DDB_OK;
}

/* ---- Tables ------------------------------------------------------------------------------- */

/* A name that an object's key cannot keep stands inside the table; its key is then any text. */
static ddb_status write_table_name(saver *s, const ddb_table *table, size_t index) {
  ddb_str name = ddb_table_name(table);
  if (ddb__json_key_is_plain(name)) {
    DDB__TRY(ddb__json_write_string(&s->writer, name));
    return ddb__json_write_text(&s->writer, ": {");
  }
  ddb_value number = ddb_int((int64_t)index);
  ddb_value value = ddb_text(name);
  DDB__TRY(ddb__json_write_text(&s->writer, "\"table "));
  DDB__TRY(ddb__json_write_value(&s->writer, &number));
  DDB__TRY(ddb__json_write_text(&s->writer, "\": {\"name\": "));
  DDB__TRY(ddb__json_write_value(&s->writer, &value));
  return ddb__json_write_text(&s->writer, ", ");
}

/* A field is a name, what lies inside of one a list of the name and the steps. */
static ddb_status write_path(saver *s, ddb_path path) {
  ddb_value field = ddb_text(path.field);
  DDB__TRY(ddb__json_write_text(&s->writer, path.step_count > 0 ? "[" : ""));
  DDB__TRY(ddb__json_write_value(&s->writer, &field));
  for (size_t i = 0; i < path.step_count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, ", "));
    DDB__TRY(ddb__json_write_value(&s->writer, &path.steps[i]));
  }
  return ddb__json_write_text(&s->writer, path.step_count > 0 ? "]" : "");
}

/* One field stands by itself, several in a list. */
static ddb_status write_index(saver *s, const ddb_view *view, size_t index) {
  ddb_index_info info;
  ddb_view_index_info(view, index, &info);
  bool several = info.field_count > 1;
  DDB__TRY(ddb__json_write_text(&s->writer, several ? "{\"fields\": [" : "{\"field\": "));
  for (size_t i = 0; i < info.field_count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, i ? ", " : ""));
    DDB__TRY(write_path(s, ddb_view_index_path(view, index, i)));
  }
  DDB__TRY(ddb__json_write_text(&s->writer, several ? "], \"kind\": " : ", \"kind\": "));
  DDB__TRY(
      ddb__json_write_text(&s->writer, info.kind == DDB_INDEX_SORTED ? "\"sorted\"" : "\"hash\""));
  return ddb__json_write_text(&s->writer, info.unique ? ", \"unique\": true}" : "}");
}

static ddb_status write_indexes(saver *s, const ddb_view *view) {
  DDB__TRY(ddb__json_write_text(&s->writer, ", \"indexes\": ["));
  size_t count = ddb_view_index_count(view);
  for (size_t i = 0; i < count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, i ? ", " : ""));
    DDB__TRY(write_index(s, view, i));
  }
  return ddb__json_write_text(&s->writer, "]");
}

/* null: the automatic keys are used up. */
static ddb_status write_next_key(saver *s, const ddb_view *view) {
  ddb_value next = ddb_int(ddb_view_next_key(view));
  if (ddb__view_root(view)->keys_used_up) {
    next = ddb_null();
  }
  DDB__TRY(ddb__json_write_text(&s->writer, ",\n\"next_key\": "));
  return ddb__json_write_value(&s->writer, &next);
}

static ddb_status write_properties(saver *s, const ddb_table *table, const ddb_view *view) {
  ddb_value key = ddb_text(ddb_table_primary_key(table));
  DDB__TRY(ddb__json_write_text(&s->writer, "\"primary_key\": "));
  DDB__TRY(ddb__json_write_value(&s->writer, &key));
  DDB__TRY(write_schema(s, table, view));
  DDB__TRY(write_next_key(s, view));
  return write_indexes(s, view);
}

/* ---- Records ------------------------------------------------------------------------------ */

static ddb_status write_records(saver *s, const ddb_view *view) {
  uint64_t position = 0;
  const ddb_record *record = ddb_view_next(view, &position);
  DDB__TRY(ddb__json_write_text(&s->writer, ",\n\"records\": ["));
  for (const char *before = "\n"; record; before = ",\n") {
    DDB__TRY(ddb__json_write_text(&s->writer, before));
    DDB__TRY(ddb__json_write_record(&s->writer, &s->names, record));
    s->done++;
    record = ddb_view_next(view, &position);
  }
  return ddb__json_write_text(&s->writer, "]}");
}

static ddb_status write_table(saver *s, size_t index) {
  ddb_table *table = s->tables[index];
  ddb_view view;
  DDB__TRY(ddb_snapshot_view(s->snapshot, table, &view, s->err));
  ddb_status status = write_table_name(s, table, index);
  if (status == DDB_OK) {
    status = write_properties(s, table, &view);
  }
  if (status == DDB_OK) {
    status = write_records(s, &view);
  }
  ddb_view_close(&view);
  return status;
}

/* ---- The file ----------------------------------------------------------------------------- */

static ddb_status flush(void *context, const char *data, size_t size, ddb_error *err) {
  saver *s = context;
  ddb__checksum_add(&s->checksum, data, size);
  DDB__TRY(ddb__file_write(&s->file, data, size, err));
  return ddb__layout_tell(&s->progress, s->done, false, err);
}

static ddb_status write_checksum(saver *s) {
  char text[DDB__CHECKSUM_TEXT_SIZE];
  DDB__TRY(ddb__json_write_text(&s->writer, "\n},\n\"checksum\":"));
  DDB__TRY(ddb__json_writer_flush(&s->writer));
  ddb__checksum_text(&s->checksum, text);
  DDB__TRY(ddb__json_write_text(&s->writer, " \""));
  DDB__TRY(ddb__json_write_raw(&s->writer, text, sizeof text));
  DDB__TRY(ddb__json_write_text(&s->writer, "\"\n}\n"));
  return ddb__json_writer_flush(&s->writer);
}

static ddb_status write_all(saver *s) {
  DDB__TRY(ddb__json_write_text(&s->writer, "{\n\"format\": {\"name\": \"" DDB__LAYOUT_NAME
                                            "\", \"version\": "));
  ddb_value version = ddb_int(DDB__LAYOUT_VERSION);
  DDB__TRY(ddb__json_write_value(&s->writer, &version));
  DDB__TRY(ddb__json_write_text(&s->writer, "},\n\"tables\": {"));
  for (size_t i = 0; i < s->table_count; i++) {
    DDB__TRY(ddb__json_write_text(&s->writer, i ? ",\n" : "\n"));
    DDB__TRY(write_table(s, i));
  }
  DDB__TRY(write_checksum(s));
  return ddb__layout_tell(&s->progress, s->done, true, s->err);
}

static ddb_status write_file(void *context) {
  return write_all(context);
}

static ddb_status save_to(saver *s, const char *path) {
  DDB__TRY(ddb__layout_count(&s->progress, s->snapshot, s->tables, s->table_count, s->err));
  return ddb__file_replace_by(&s->file, -1, path, write_file, s, s->err);
}

ddb_status ddb_snapshot_save_json(ddb_snapshot *snapshot, const char *path, ddb_progress progress,
                                  void *context, ddb_error *err) {
  saver s = {.snapshot = snapshot, .progress = {.call = progress, .context = context}, .err = err};
  if (!snapshot) {
    return ddb__fail(err, DDB_ERR_INVALID, "no snapshot given");
  }
  ddb__checksum_start(&s.checksum);
  DDB__TRY(ddb__json_writer_init(&s.writer, flush, &s, err));
  ddb_status status = ddb_snapshot_tables(snapshot, &s.tables, &s.table_count, err);
  if (status == DDB_OK) {
    status = save_to(&s, path);
    ddb_tables_free(s.tables, s.table_count);
  }
  ddb__json_writer_fini(&s.writer);
  return status;
}

ddb_status ddb_db_save_json(ddb_db *db, const char *path, ddb_progress progress, void *context,
                            ddb_error *err) {
  ddb_snapshot *snapshot;
  DDB__TRY(ddb_snapshot_open(db, &snapshot, err));
  ddb_status status = ddb_snapshot_save_json(snapshot, path, progress, context, err);
  ddb_snapshot_close(snapshot);
  return status;
}
