/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_table.c - one table of a JSON file: properties, records in batches, then keys and indexes.
 *
 *   tape: [ name | properties ... | the record in hand ]      cut back to the properties per record
 *
 * Invariants
 *   1. The table is created when its properties are known, before its first record is inserted. In
 *      a file of the original layout they may stand behind the records: those are then passed over
 *      and read again.
 *   2. Everything goes through the public statements: a file can bring nothing in that a program
 *      could not insert. A record that the table refuses is DDB_ERR_CORRUPT with its number.
 *   3. Texts of properties stay in the reader's text until the table is done; they are named by
 *      node, since the text moves when it grows.
 * Ownership: the table reference of `load`. Locks: none of our own.
 */
#include "io/json_load.h"

#include "base/heap.h"
#include "base/status.h"
#include "io/try.h"
#include "store/table.h"
#include "store/text.h"
#include "store/write.h"

#define NAME_NODE 0 /* the table's key in "tables" */

/* X(enumerator, key, also in the original layout) */
#define PROPERTY_MAP(X)                                                                            \
  X(NAME, "name", false)                                                                           \
  X(PRIMARY_KEY, "primary_key", true)                                                              \
  X(SCHEMA, "schema", true)                                                                        \
  X(SCHEMA_TYPES, "schema_types", false)                                                           \
  X(SCHEMA_EXCEPTIONS, "schema_exceptions", false)                                                 \
  X(NEXT_KEY, "next_key", false)                                                                   \
  X(INDEXES, "indexes", false)                                                                     \
  X(RECORDS, "records", true)

typedef enum property {
#define DDB_X(name, key, original) PROPERTY_##name,
  PROPERTY_MAP(DDB_X)
#undef DDB_X
      PROPERTY_COUNT
} property;

static const struct {
  const char *key;
  bool original;
} properties[PROPERTY_COUNT] = {
#define DDB_X(name, key, original) {key, original},
    PROPERTY_MAP(DDB_X)
#undef DDB_X
};

typedef struct table_load {
  ddb__loader *loader;
  size_t nodes[PROPERTY_COUNT]; /* 0: not there yet; RECORDS: 1 when it was there */
  ddb_table *table;             /* NULL: not created yet; owned */
  uint64_t records_offset;      /* records that were passed over begin here; 0: none were */
} table_load;

/* ---- Errors ------------------------------------------------------------------------------- */

static ddb_str table_name(const table_load *load) {
  const ddb__json_decoder *decoder = &load->loader->decoder;
  ddb_str name = ddb__json_node_text(decoder, NAME_NODE);
  if (load->nodes[PROPERTY_NAME]) {
    ddb_error ignored;
    ddb__json_decoder quiet = *decoder;
    quiet.err = &ignored;
    (void)ddb__json_decode_str(&quiet, load->nodes[PROPERTY_NAME], "a table's name", &name);
  }
  return name;
}

/* Gives an error that the file is to blame for its place. record: 0 for the table itself. */
static ddb_status blame(const table_load *load, ddb_status status, uint64_t record,
                        uint64_t offset) {
  if (ddb__fill_file_is_innocent(status)) {
    return status;
  }
  ddb_error *err = load->loader->err;
  ddb_error cause = *err;
  ddb_str name = table_name(load);
  offset = cause.offset ? cause.offset : offset;
  if (record) {
    (void)ddb__fail(err, DDB_ERR_CORRUPT, "table '%.*s', record %llu (byte %llu): %s",
                    DDB__STR_ARG(name), (unsigned long long)record, (unsigned long long)offset,
                    cause.message);
  } else {
    (void)ddb__fail(err, DDB_ERR_CORRUPT, "table '%.*s' (byte %llu): %s", DDB__STR_ARG(name),
                    (unsigned long long)offset, cause.message);
  }
  err->offset = offset;
  memcpy(err->field, cause.field, sizeof err->field);
  memcpy(err->expected, cause.expected, sizeof err->expected);
  memcpy(err->given, cause.given, sizeof err->given);
  ddb__error_text(err->table, sizeof err->table, name);
  return DDB_ERR_CORRUPT;
}

#define CORRUPT(load, ...)                                                                         \
  ((void)ddb__fail((load)->loader->err, DDB_ERR_CORRUPT, __VA_ARGS__), (ddb_status)DDB_ERR_CORRUPT)

/* ---- Properties --------------------------------------------------------------------------- */

static const ddb__json_node *node_at(const ddb__loader *loader, size_t index) {
  return &loader->tape.nodes[index];
}

size_t ddb__json_table_member(const ddb__loader *loader, size_t index, const char *name) {
  const ddb__json_node *node = node_at(loader, index);
  size_t key = index + 1;
  for (uint32_t i = 0; node->kind == DDB_DICT && i < node->size; i += 2) {
    if (ddb__text_equal(ddb__json_node_text(&loader->decoder, key), ddb_str_from(name))) {
      return key + 1;
    }
    key = ddb__json_tape_after(&loader->tape, key + 1);
  }
  return 0;
}

static ddb_status member_str(const table_load *load, size_t index, const char *name, ddb_str *out) {
  size_t member = ddb__json_table_member(load->loader, index, name);
  if (!member) {
    return CORRUPT(load, "\"%s\" is missing", name);
  }
  return ddb__json_decode_str(&load->loader->decoder, member, name, out);
}

/* Fields of a schema on their way to ddb_db_table_create. */
typedef struct schema_load {
  size_t count;
  ddb_schema_field *fields;  /* [count], owned */
  ddb_value *default_values; /* [count], owned */
} schema_load;

static size_t schema_load_size(const schema_load *schema) {
  return schema->count * (sizeof *schema->fields + sizeof *schema->default_values);
}

static ddb_status schema_load_init(const table_load *load, schema_load *schema, size_t count) {
  schema->count = count;
  if (count == 0) {
    return CORRUPT(load, "a schema has no fields");
  }
  schema->fields = ddb__alloc_zero(&ddb__heap_process, schema_load_size(schema));
  if (!schema->fields) {
    return ddb__fail_memory(load->loader->err, schema_load_size(schema));
  }
  schema->default_values = (ddb_value *)(void *)(schema->fields + count);
  return DDB_OK;
}

/* {"field": "type", ...} */
static ddb_status read_plain_schema(const table_load *load, size_t index, schema_load *schema) {
  const ddb__json_decoder *decoder = &load->loader->decoder;
  if (node_at(load->loader, index)->kind != DDB_DICT) {
    return CORRUPT(load, "\"schema\" is neither null nor an object");
  }
  DDB__TRY(schema_load_init(load, schema, node_at(load->loader, index)->size / 2));
  size_t key = index + 1;
  for (size_t i = 0; i < schema->count; i++) {
    ddb_schema_field *field = &schema->fields[i];
    ddb_str type;
    field->name = ddb__json_node_text(decoder, key);
    DDB__TRY(ddb__json_decode_str(decoder, key + 1, "a type", &type));
    field->types = ddb__layout_types_of(type, true);
    if (!field->types) {
      return CORRUPT(load, "field '%.*s' has the unknown type '%.*s'", DDB__STR_ARG(field->name),
                     DDB__STR_ARG(type));
    }
    key = ddb__json_tape_after(decoder->tape, key + 1);
  }
  return DDB_OK;
}

static ddb_status read_types(const table_load *load, size_t index, uint32_t *types) {
  size_t list = ddb__json_table_member(load->loader, index, "types");
  if (!list || node_at(load->loader, list)->kind != DDB_LIST) {
    return CORRUPT(load, "a field of the schema has no \"types\"");
  }
  size_t item = list + 1;
  for (uint32_t i = 0; i < node_at(load->loader, list)->size; i++) {
    ddb_str name;
    DDB__TRY(ddb__json_decode_str(&load->loader->decoder, item, "a type", &name));
    uint32_t bits = ddb__layout_types_of(name, false);
    if (!bits) {
      return CORRUPT(load, "unknown type '%.*s'", DDB__STR_ARG(name));
    }
    *types |= bits;
    item = ddb__json_tape_after(&load->loader->tape, item);
  }
  return DDB_OK;
}

/* [{"name": ..., "types": [...], "default": ...}, ...] */
static ddb_status read_full_schema(const table_load *load, size_t index, schema_load *schema) {
  ddb__loader *loader = load->loader;
  if (node_at(loader, index)->kind != DDB_LIST) {
    return CORRUPT(load, "\"schema_types\" is neither null nor a list");
  }
  DDB__TRY(schema_load_init(load, schema, node_at(loader, index)->size));
  size_t item = index + 1;
  for (size_t i = 0; i < schema->count; i++) {
    ddb_schema_field *field = &schema->fields[i];
    DDB__TRY(member_str(load, item, "name", &field->name));
    DDB__TRY(read_types(load, item, &field->types));
    size_t value = ddb__json_table_member(loader, item, "default");
    if (value) {
      DDB__TRY(ddb__json_decode(&loader->decoder, value, loader->defaults));
      field->default_value = &schema->default_values[i];
    }
    item = ddb__json_tape_after(&loader->tape, item);
  }
  size_t next = 0;
  for (size_t i = 0; i < schema->count; i++) {
    if (schema->fields[i].default_value) {
      schema->default_values[i] = ddb_builder_value_at(loader->defaults, next++);
    }
  }
  return DDB_OK;
}

static ddb_status read_schema(const table_load *load, schema_load *schema) {
  size_t full = load->nodes[PROPERTY_SCHEMA_TYPES];
  size_t plain = load->nodes[PROPERTY_SCHEMA];
  if (full) {
    return node_at(load->loader, full)->kind == DDB_NULL ? DDB_OK
                                                         : read_full_schema(load, full, schema);
  }
  if (!plain || node_at(load->loader, plain)->kind == DDB_NULL) {
    return DDB_OK;
  }
  return read_plain_schema(load, plain, schema);
}

static ddb_status create_with(table_load *load, const schema_load *schema) {
  ddb_table_options options = {.schema = schema->fields, .schema_count = schema->count};
  ddb__loader *loader = load->loader;
  ddb_str name = ddb__json_node_text(&loader->decoder, NAME_NODE);
  if (load->nodes[PROPERTY_NAME]) {
    DDB__TRY(ddb__json_decode_str(&loader->decoder, load->nodes[PROPERTY_NAME], "\"name\"", &name));
  }
  if (load->nodes[PROPERTY_PRIMARY_KEY]) {
    DDB__TRY(ddb__json_decode_str(&loader->decoder, load->nodes[PROPERTY_PRIMARY_KEY],
                                  "\"primary_key\"", &options.primary_key));
  }
  size_t exceptions = load->nodes[PROPERTY_SCHEMA_EXCEPTIONS];
  loader->maker.validate = !(exceptions && node_at(loader, exceptions)->kind == DDB_BOOL &&
                             node_at(loader, exceptions)->as.boolean);
  loader->maker.complete = loader->marked;
  loader->maker.shape = NULL;
  DDB__TRY(ddb_db_table_create(loader->db, name, &options, &load->table, loader->err));
  loader->fill.table = load->table;
  loader->fill.count = 0;
  return DDB_OK;
}

static ddb_status create_table(table_load *load) {
  schema_load schema = {0};
  ddb_status status = read_schema(load, &schema);
  if (status == DDB_OK) {
    status = create_with(load, &schema);
  }
  ddb__free(&ddb__heap_process, schema.fields, schema_load_size(&schema));
  ddb_builder_clear(load->loader->defaults);
  return status;
}

/* ---- Records ------------------------------------------------------------------------------ */

static ddb_status blame_refused(const table_load *load, ddb_status status) {
  const ddb__place *refused = &load->loader->fill.refused;
  return blame(load, status, refused->record, refused->offset);
}

/* The reader's last token begins the record. */
static ddb_status read_record(table_load *load) {
  ddb__loader *loader = load->loader;
  uint64_t offset = loader->reader.token_offset;
  size_t index = loader->tape.count;
  ddb_status status = loader->reader.token == DDB__JSON_OBJECT
                          ? ddb__json_tape_read(&loader->tape, &loader->reader)
                          : CORRUPT(load, "not an object");
  if (status == DDB_OK) {
    status = ddb__json_make(&loader->maker, index);
  }
  if (status != DDB_OK) {
    return blame(load, status, loader->fill.count + 1, offset);
  }
  return blame_refused(load, ddb__fill_add(&loader->fill, offset, 0));
}

/* The reader's last token begins the list of records. */
static ddb_status read_records(table_load *load) {
  ddb__loader *loader = load->loader;
  ddb__json_reader *reader = &loader->reader;
  if (reader->token != DDB__JSON_ARRAY) {
    return blame(load, CORRUPT(load, "\"records\" is not a list"), 0, reader->token_offset);
  }
  size_t text_size = reader->text_size;
  size_t node_count = loader->tape.count;
  for (;;) {
    ddb_status status = ddb__json_next(reader);
    if (status != DDB_OK) {
      return blame(load, status, loader->fill.count + 1, reader->token_offset);
    }
    if (reader->token == DDB__JSON_ARRAY_END) {
      return blame_refused(load, ddb__fill_flush(&loader->fill));
    }
    DDB__TRY(read_record(load));
    reader->text_size = text_size;
    loader->tape.count = node_count;
  }
}

/* Back to the records that were passed over, and to the place behind the table again. */
static ddb_status read_passed_records(table_load *load) {
  ddb__loader *loader = load->loader;
  uint64_t behind = ddb__json_reader_offset(&loader->reader);
  DDB__TRY(ddb__file_seek(&loader->file, load->records_offset, loader->err));
  ddb__json_reader_move(&loader->reader, load->records_offset, true);
  DDB__TRY(ddb__json_next(&loader->reader));
  DDB__TRY(read_records(load));
  DDB__TRY(ddb__file_seek(&loader->file, behind, loader->err));
  ddb__json_reader_move(&loader->reader, behind, false);
  return DDB_OK;
}

/* ---- After the records -------------------------------------------------------------------- */

/* No automatic key is left: what a record with the greatest key has done, though it may be gone. */
static ddb_status use_keys_up(table_load *load) {
  ddb__write write;
  DDB__TRY(ddb__write_begin(&write, load->table, load->loader->err));
  write.next->next_key = INT64_MAX;
  write.next->keys_used_up = true;
  write.changed = true;
  return ddb__write_commit(&write, load->loader->err);
}

static ddb_status restore_next_key(table_load *load) {
  size_t index = load->nodes[PROPERTY_NEXT_KEY];
  if (!index) {
    return DDB_OK;
  }
  const ddb__json_node *node = node_at(load->loader, index);
  if (node->kind == DDB_NULL) {
    return use_keys_up(load);
  }
  if (node->kind != DDB_INT) {
    return CORRUPT(load, "\"next_key\" is neither null nor an integer");
  }
  return ddb__table_next_key_raise(load->table, node->as.integer, load->loader->err);
}

/* What an index is over, as it was read. */
typedef struct index_load {
  ddb_builder *parts; /* what the paths borrow from */
  size_t count;
  ddb_path paths[DDB_INDEX_FIELD_COUNT_MAX];
  ddb_value steps[DDB_INDEX_FIELD_COUNT_MAX][DDB_INDEX_STEP_COUNT_MAX];
} index_load;

/* "field": a name, or a list of a name and steps; or "fields": a list of them. */
static ddb_status read_index_fields(table_load *load, size_t item, index_load *out) {
  ddb__loader *loader = load->loader;
  size_t list = ddb__json_table_member(loader, item, "fields");
  size_t part = list ? list + 1 : ddb__json_table_member(loader, item, "field");
  out->count = list ? node_at(loader, list)->size : 1;
  if (!part) {
    return CORRUPT(load, "\"field\" is missing");
  }
  if ((list && node_at(loader, list)->kind != DDB_LIST) || out->count == 0 ||
      out->count > DDB_INDEX_FIELD_COUNT_MAX) {
    return CORRUPT(load, "the \"fields\" of an index are no list of 1 to %u names",
                   DDB_INDEX_FIELD_COUNT_MAX);
  }
  for (size_t i = 0; i < out->count; i++) {
    DDB__TRY(ddb__json_decode(&loader->decoder, part, out->parts));
    part = ddb__json_tape_after(&loader->tape, part);
  }
  for (size_t i = 0; i < out->count; i++) {
    ddb_value value = ddb_builder_value_at(out->parts, i);
    if (!ddb__path_read(&value, out->steps[i], &out->paths[i])) {
      return CORRUPT(load, "a field of an index is neither a name nor a list of a name and steps");
    }
  }
  return DDB_OK;
}

static ddb_status add_index(table_load *load, size_t item, index_load *over) {
  ddb__loader *loader = load->loader;
  ddb_str kind;
  DDB__TRY(read_index_fields(load, item, over));
  ddb_index_options options = {
      .paths = over->paths, .field_count = over->count, .kind = DDB_INDEX_HASH};
  DDB__TRY(member_str(load, item, "kind", &kind));
  if (ddb__text_equal(kind, DDB_STR("sorted"))) {
    options.kind = DDB_INDEX_SORTED;
  } else if (!ddb__text_equal(kind, DDB_STR("hash"))) {
    return CORRUPT(load, "no such kind of index: '%.*s'", DDB__STR_ARG(kind));
  }
  size_t unique = ddb__json_table_member(loader, item, "unique");
  if (unique) {
    if (node_at(loader, unique)->kind != DDB_BOOL) {
      return CORRUPT(load, "\"unique\" of an index is neither true nor false");
    }
    options.unique = node_at(loader, unique)->as.boolean;
  }
  DDB__TRY(ddb__layout_tell(&loader->progress, loader->done, false, loader->err));
  return ddb_table_index_add(load->table, &options, loader->err);
}

static ddb_status restore_index(table_load *load, size_t item) {
  index_load over;
  DDB__TRY(ddb_builder_new(&over.parts, load->loader->err));
  ddb_status status = add_index(load, item, &over);
  ddb_builder_free(over.parts);
  return status;
}

static ddb_status restore_indexes(table_load *load) {
  const ddb__loader *loader = load->loader;
  size_t list = load->nodes[PROPERTY_INDEXES];
  if (!list) {
    return DDB_OK;
  }
  if (node_at(loader, list)->kind != DDB_LIST) {
    return CORRUPT(load, "\"indexes\" is not a list");
  }
  size_t item = list + 1;
  for (uint32_t i = 0; i < node_at(loader, list)->size; i++) {
    DDB__TRY(restore_index(load, item));
    item = ddb__json_tape_after(&loader->tape, item);
  }
  return DDB_OK;
}

/* ---- The table ---------------------------------------------------------------------------- */

/* The last token is a key of the table's object. */
static ddb_status find_property(const table_load *load, property *out) {
  ddb_str key = ddb__json_token_text(&load->loader->reader);
  for (property p = 0; p < PROPERTY_COUNT; p++) {
    bool known = load->loader->marked || properties[p].original;
    if (known && ddb__text_equal(key, ddb_str_from(properties[p].key))) {
      *out = p;
      return load->nodes[p] ? CORRUPT(load, "\"%s\" is there twice", properties[p].key) : DDB_OK;
    }
  }
  return CORRUPT(load, "unknown property '%.*s'", DDB__STR_ARG(key));
}

/* Are the properties there that the table is created with? */
static bool ready_for_records(const table_load *load) {
  const size_t *nodes = load->nodes;
  return nodes[PROPERTY_PRIMARY_KEY] && nodes[PROPERTY_SCHEMA] &&
         (!load->loader->marked || nodes[PROPERTY_SCHEMA_TYPES]);
}

static ddb_status read_records_or_pass(table_load *load) {
  ddb__json_reader *reader = &load->loader->reader;
  load->nodes[PROPERTY_RECORDS] = 1;
  if (ready_for_records(load)) {
    DDB__TRY(blame(load, create_table(load), 0, reader->token_offset));
    return read_records(load);
  }
  if (load->loader->marked) {
    return blame(load, CORRUPT(load, "properties are missing before the records"), 0,
                 reader->token_offset);
  }
  load->records_offset = reader->token_offset;
  return ddb__json_skip(reader);
}

static ddb_status read_properties(table_load *load) {
  ddb__loader *loader = load->loader;
  ddb__json_reader *reader = &loader->reader;
  for (;;) {
    property p = PROPERTY_COUNT;
    DDB__TRY(ddb__json_next(reader));
    if (reader->token == DDB__JSON_OBJECT_END) {
      return DDB_OK;
    }
    DDB__TRY(blame(load, find_property(load, &p), 0, reader->token_offset));
    DDB__TRY(ddb__json_next(reader));
    if (p == PROPERTY_RECORDS) {
      DDB__TRY(read_records_or_pass(load));
    } else {
      size_t index = loader->tape.count;
      DDB__TRY(ddb__json_tape_read(&loader->tape, reader));
      load->nodes[p] = index;
    }
  }
}

static ddb_status check_complete(const table_load *load) {
  static const property needed[] = {PROPERTY_RECORDS, PROPERTY_NEXT_KEY, PROPERTY_INDEXES};
  size_t count = load->loader->marked ? sizeof needed / sizeof needed[0] : 1;
  for (size_t i = 0; i < count; i++) {
    if (!load->nodes[needed[i]]) {
      return CORRUPT(load, "\"%s\" is missing", properties[needed[i]].key);
    }
  }
  return DDB_OK;
}

static ddb_status load_table(table_load *load) {
  ddb__loader *loader = load->loader;
  DDB__TRY(ddb__json_next(&loader->reader));
  uint64_t offset = loader->reader.token_offset;
  if (loader->reader.token != DDB__JSON_OBJECT) {
    return blame(load, CORRUPT(load, "a table has to be an object"), 0, offset);
  }
  DDB__TRY(read_properties(load));
  DDB__TRY(blame(load, check_complete(load), 0, offset));
  if (!load->table) {
    DDB__TRY(blame(load, create_table(load), 0, offset));
    DDB__TRY(read_passed_records(load));
  }
  DDB__TRY(blame(load, restore_next_key(load), 0, offset));
  return blame(load, restore_indexes(load), 0, offset);
}

ddb_status ddb__json_table_load(ddb__loader *loader) {
  table_load load = {.loader = loader};
  loader->tape.count = NAME_NODE;
  DDB__TRY(ddb__json_tape_read(&loader->tape, &loader->reader));
  ddb_status status = load_table(&load);
  ddb_table_release(load.table);
  return status;
}
