/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c - a table's schema: copied from the options of the table's creation, constant from then
 * on, freed with the registry of shapes that owns it. Defaults are normalised by a builder first,
 * so that what a record is filled with is as sound as what a caller appends.
 */
#include "store/schema.h"

#include <stdio.h>

#include "base/status.h"
#include "store/builder.h"
#include "store/text.h"

/* Names compared for a suggestion: beyond it an error would cost too much. */
#define NEAREST_COUNT_MAX 1000

bool ddb__text_copy(ddb__heap *heap, ddb_str text, ddb_str *out) {
  if (text.size == 0) {
    *out = DDB_STR("");
    return true;
  }
  char *data = ddb__alloc(heap, text.size);
  if (data == NULL) {
    return false;
  }
  memcpy(data, text.data, text.size);
  *out = (ddb_str){data, text.size};
  return true;
}

void ddb__text_free(ddb__heap *heap, ddb_str text) {
  if (text.size > 0) {
    ddb__free(heap, (void *)text.data, text.size);
  }
}

/* ---- Texts of types ----------------------------------------------------------------------- */

void ddb__schema_types_format(uint32_t types, char *buffer, size_t capacity) {
  if ((types & DDB_TYPE(DDB_FLOAT)) && (types & DDB_TYPE_INT) == DDB_TYPE_INT) {
    types &= ~DDB_TYPE_INT; /* implied by float */
  } else if (types & DDB_TYPE(DDB_INT)) {
    types &= ~DDB_TYPE(DDB_BIGINT);
  }
  size_t used = 0;
  buffer[0] = '\0';
  /* null, the lowest bit, is named last. */
  for (unsigned step = DDB_NULL + 1; step <= DDB_KIND_COUNT; step++) {
    unsigned kind = step == DDB_KIND_COUNT ? DDB_NULL : step;
    if (!(types & DDB_TYPE(kind))) {
      continue;
    }
    int added = snprintf(buffer + used, capacity - used, "%s%s", used > 0 ? " | " : "",
                         ddb_kind_name((ddb_kind)kind));
    if (added < 0 || (size_t)added >= capacity - used) {
      return;
    }
    used += (size_t)added;
  }
}

ddb_str ddb__schema_nearest(const ddb__schema *schema, ddb_str name) {
  ddb_str nearest = {NULL, 0};
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < schema->field_count && i < NEAREST_COUNT_MAX; i++) {
    if (ddb__text_nearer(name, schema->fields[i].name, &least)) {
      nearest = schema->fields[i].name;
    }
  }
  return nearest;
}

/* ---- Copying ------------------------------------------------------------------------------ */

static ddb_status fail_field(ddb_error *err, ddb_status status, ddb_str table, ddb_str field,
                             const char *problem) {
  ddb__fail(err, status, "table '%.*s': field '%.*s' of the schema %s", DDB__STR_ARG(table),
            DDB__STR_ARG(field), problem);
  if (err != NULL) {
    ddb__error_text(err->table, sizeof err->table, table);
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return status;
}

static void default_free(ddb__heap *heap, const ddb_value *value) {
  if (value != NULL) {
    if (!ddb__kind_is_inline(value->kind) && value->size > 0) {
      ddb__free(heap, (void *)value->as.data, value->size);
    }
    ddb__free(heap, (void *)value, sizeof *value);
  }
}

/* An owned copy of a value that lies in a builder. NULL: no memory. */
static const ddb_value *default_copy(ddb__heap *heap, ddb_value value) {
  ddb_value *copy = ddb__alloc(heap, sizeof *copy);
  if (copy == NULL) {
    return NULL;
  }
  *copy = value;
  if (ddb__kind_is_inline(value.kind)) {
    return copy;
  }
  if (value.size == 0) {
    copy->as.data = "";
    return copy;
  }
  void *data = ddb__alloc(heap, value.size);
  if (data == NULL) {
    ddb__free(heap, copy, sizeof *copy);
    return NULL;
  }
  memcpy(data, value.as.data, value.size);
  copy->as.data = data;
  return copy;
}

static ddb_status default_check(const ddb_schema_field *from, ddb_value value, ddb_str table,
                                ddb_error *err) {
  if (from->types & DDB_TYPE(value.kind)) {
    return DDB_OK;
  }
  fail_field(err, DDB_ERR_INVALID, table, from->name, "has a default of a wrong type");
  if (err != NULL) {
    ddb__schema_types_format(from->types, err->expected, sizeof err->expected);
    ddb__error_text(err->given, sizeof err->given, ddb_str_from(ddb_kind_name(value.kind)));
  }
  return DDB_ERR_INVALID;
}

static ddb_status default_init(ddb_schema_field *field, ddb__heap *heap, ddb_builder *scratch,
                               ddb_str table, const ddb_schema_field *from, ddb_error *err) {
  ddb_builder_clear(scratch);
  ddb_status status = ddb_builder_append(scratch, from->default_value, err);
  if (status != DDB_OK) {
    return status;
  }
  ddb_value value = ddb_builder_value_at(scratch, 0);
  status = default_check(from, value, table, err);
  if (status != DDB_OK) {
    return status;
  }
  field->default_value = default_copy(heap, value);
  return field->default_value == NULL ? ddb__fail_memory(err, value.size) : DDB_OK;
}

/* On error the field holds nothing. */
static ddb_status field_init(ddb_schema_field *field, ddb__heap *heap, ddb_builder *scratch,
                             ddb_str table, const ddb_schema_field *from, ddb_error *err) {
  if (!ddb__text_valid(from->name)) {
    return fail_field(err, DDB_ERR_INVALID, table, from->name, "has a name that is not UTF-8");
  }
  if ((from->types & ~DDB_TYPE(DDB_MISSING) & (DDB_TYPE(DDB_KIND_COUNT) - 1)) == 0) {
    return fail_field(err, DDB_ERR_INVALID, table, from->name, "admits no type");
  }
  *field = (ddb_schema_field){.types = from->types};
  if (!ddb__text_copy(heap, from->name, &field->name)) {
    return ddb__fail_memory(err, from->name.size);
  }
  if (from->default_value != NULL) {
    ddb_status status = default_init(field, heap, scratch, table, from, err);
    if (status != DDB_OK) {
      ddb__text_free(heap, field->name);
      return status;
    }
  }
  return DDB_OK;
}

static void fields_free(ddb_schema_field *fields, size_t count, size_t capacity, ddb__heap *heap) {
  for (size_t i = 0; i < count; i++) {
    default_free(heap, fields[i].default_value);
    ddb__text_free(heap, fields[i].name);
  }
  ddb__free(heap, fields, capacity * sizeof *fields);
}

static bool names_key(const ddb_table_options *options, ddb_str key) {
  for (size_t i = 0; i < options->schema_count; i++) {
    if (ddb__text_equal(options->schema[i].name, key)) {
      return true;
    }
  }
  return false;
}

static ddb_status fields_init(ddb__schema *schema, ddb__heap *heap, ddb_builder *scratch,
                              ddb_str table, const ddb_table_options *options, ddb_error *err) {
  bool with_key = names_key(options, schema->primary_key);
  size_t capacity = options->schema_count + (with_key ? 0 : 1);
  ddb_schema_field *fields = ddb__alloc(heap, capacity * sizeof *fields);
  if (fields == NULL) {
    return ddb__fail_memory(err, capacity * sizeof *fields);
  }
  const ddb_schema_field key = {.name = schema->primary_key, .types = DDB_TYPE_INT};
  for (size_t i = 0; i < capacity; i++) {
    size_t from = with_key ? i : i - 1;
    ddb_status status = field_init(&fields[i], heap, scratch, table,
                                   !with_key && i == 0 ? &key : &options->schema[from], err);
    if (status != DDB_OK) {
      fields_free(fields, i, capacity, heap);
      return status;
    }
  }
  schema->fields = fields;
  schema->field_count = capacity;
  return DDB_OK;
}

static ddb_status options_check(ddb_str table, ddb_str key, const ddb_table_options *options,
                                ddb_error *err) {
  if (table.size == 0 || !ddb__text_valid(table)) {
    return ddb__fail(err, DDB_ERR_INVALID, "a table's name must be a non-empty UTF-8 text");
  }
  if (key.size == 0 || !ddb__text_valid(key)) {
    return ddb__fail(err, DDB_ERR_INVALID,
                     "table '%.*s': the primary key's name must be a non-empty UTF-8 text",
                     DDB__STR_ARG(table));
  }
  if (options->schema == NULL && options->schema_count > 0) {
    return ddb__fail(err, DDB_ERR_INVALID, "table '%.*s': schema_count without a schema",
                     DDB__STR_ARG(table));
  }
  if (options->schema_count >= DDB_FIELD_COUNT_MAX) {
    return ddb__fail(err, DDB_ERR_LIMIT, "table '%.*s': more than %u fields in the schema",
                     DDB__STR_ARG(table), DDB_FIELD_COUNT_MAX - 1);
  }
  return DDB_OK;
}

ddb_status ddb__schema_init(ddb__schema *schema, ddb__heap *heap, ddb_str table_name,
                            const ddb_table_options *options, ddb_error *err) {
  static const ddb_table_options none = {.schema = NULL};
  options = options != NULL ? options : &none;
  ddb_str key = options->primary_key.data != NULL ? options->primary_key : DDB_STR("id");
  ddb_status status = options_check(table_name, key, options, err);
  if (status != DDB_OK) {
    return status;
  }
  *schema = (ddb__schema){.fields = NULL};
  if (!ddb__text_copy(heap, key, &schema->primary_key)) {
    return ddb__fail_memory(err, key.size);
  }
  if (options->schema == NULL) {
    return DDB_OK;
  }
  ddb_builder *scratch;
  status = ddb_builder_new(&scratch, err);
  if (status == DDB_OK) {
    status = fields_init(schema, heap, scratch, table_name, options, err);
    ddb_builder_free(scratch);
  }
  if (status != DDB_OK) {
    ddb__text_free(heap, schema->primary_key);
  }
  return status;
}

void ddb__schema_fini(ddb__schema *schema, ddb__heap *heap) {
  if (schema->fields != NULL) {
    fields_free(schema->fields, schema->field_count, schema->field_count, heap);
  }
  ddb__text_free(heap, schema->primary_key);
}
