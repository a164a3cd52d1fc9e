/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.c - the registry of a table's field names and shapes.
 *
 *   registry --> fields  (intern set by name)    --> field nodes: name, dense id
 *            --> list    (array by id)           --> the same nodes
 *            --> shapes  (intern set by names)   --> shape nodes: ddb_shape and its arrays
 *            --> merges  (intern set by 2 shapes) -> the stored shape that a merge gives
 *
 *   S1  Nodes are complete before they are added to a set, and never change after (but for `mark`,
 *       which belongs to the mutex): whoever finds one may read it without a lock.
 *   S2  A shape's arrays live in its own node or in its stored shape's node; all nodes live until
 *       the registry goes.
 *   S3  Ids of a schema's fields are their positions in it: the schema's fields come first.
 *   S4  Two shapes of one kind never have the same caller's names: pointers may be compared.
 *
 * Locks: `mutex` guards additions, none else; look-ups that hit take none. The registry belongs to
 * its counted references; `heap` outlives it. A forked child adds nothing: the mutex may have been
 * held by a thread that is no more. Cost: a hit hashes the names and compares them once.
 */
#include "store/shape.h"

#include <pthread.h>

#include "base/status.h"
#include "base/thread.h"
#include "store/hash.h"
#include "store/intern.h"
#include "store/schema.h"
#include "store/text.h"

#define LIST_CAPACITY_FIRST 8

typedef struct field_node {
  ddb__interned link; /* hash of the name */
  uint32_t id;
  uint64_t mark; /* under the mutex: the last list of names it was seen in */
  ddb_str name;  /* its bytes follow the node */
} field_node;

typedef struct field_list {
  struct field_list *older;
  uint32_t capacity;
  field_node *items[];
} field_list;

typedef struct shape_node {
  ddb__interned link; /* hash of kind and the caller's names */
  size_t size;        /* of the node, arrays included */
  ddb_shape shape;
} shape_node;

typedef struct merge_node {
  ddb__interned link;
  const ddb_shape *base;
  const ddb_shape *changes;
  const ddb_shape *merged;
} merge_node;

struct ddb__shapes {
  _Atomic uint64_t references;
  ddb__heap *heap;
  uint64_t fork_generation;
  const char *what; /* "table", or what is made of it: for messages */
  ddb_str table_name;
  ddb__schema schema;
  uint32_t key_id; /* field id of the primary key */
  pthread_mutex_t mutex;
  uint64_t mark; /* under the mutex */
  ddb__intern fields;
  ddb__intern shapes;
  ddb__intern merges;
  _Atomic(field_list *) list;
  _Atomic uint32_t field_count; /* after it, items below it and `list` are visible */
};

static _Atomic uint64_t next_shape_id = 1;

/* For "%s '%.*s'". */
#define NAMED(shapes) (shapes)->what, DDB__STR_ARG((shapes)->table_name)

/* ---- Errors ------------------------------------------------------------------------------- */

static ddb_status name_culprit(const ddb__shapes *shapes, ddb_status status, ddb_str field,
                               ddb_error *err) {
  if (err != NULL) {
    ddb__error_text(err->table, sizeof err->table, shapes->table_name);
    ddb__error_text(err->field, sizeof err->field, field);
  }
  return status;
}

static ddb_status fail_unknown(const ddb__shapes *shapes, ddb_status status, ddb_str name,
                               ddb_error *err) {
  ddb_str nearest = ddb__schema_nearest(&shapes->schema, name);
  if (nearest.data != NULL) {
    ddb__fail(err, status, "%s '%.*s' has no field '%.*s'; did you mean '%.*s'?", NAMED(shapes),
              DDB__STR_ARG(name), DDB__STR_ARG(nearest));
  } else {
    ddb__fail(err, status, "%s '%.*s' has no field '%.*s'", NAMED(shapes), DDB__STR_ARG(name));
  }
  if (err != NULL && status == DDB_ERR_SCHEMA) {
    ddb__error_text(err->expected, sizeof err->expected, DDB_STR("no such field"));
    ddb__error_text(err->given, sizeof err->given, name);
  }
  return name_culprit(shapes, status, name, err);
}

static ddb_status fail_missing(const ddb__shapes *shapes, const ddb_schema_field *field,
                               ddb_error *err) {
  char expected[64];
  ddb__schema_types_format(field->types, expected, sizeof expected);
  ddb__fail(err, DDB_ERR_SCHEMA, "%s '%.*s': field '%.*s' is missing (expected %s)", NAMED(shapes),
            DDB__STR_ARG(field->name), expected);
  if (err != NULL) {
    ddb__error_text(err->expected, sizeof err->expected, ddb_str_from(expected));
    ddb__error_text(err->given, sizeof err->given, DDB_STR("missing"));
  }
  return name_culprit(shapes, DDB_ERR_SCHEMA, field->name, err);
}

static ddb_status fail_name(const ddb__shapes *shapes, ddb_status status, ddb_str name,
                            const char *problem, ddb_error *err) {
  ddb__fail(err, status, "%s '%.*s': field '%.*s' %s", NAMED(shapes), DDB__STR_ARG(name), problem);
  return name_culprit(shapes, status, name, err);
}

static ddb_status fail_count(const ddb__shapes *shapes, ddb_error *err) {
  ddb__fail(err, DDB_ERR_LIMIT, "%s '%.*s': a record of more than %u fields", NAMED(shapes),
            DDB_FIELD_COUNT_MAX);
  return name_culprit(shapes, DDB_ERR_LIMIT, (ddb_str){NULL, 0}, err);
}

/* ---- Fields ------------------------------------------------------------------------------- */

static bool field_match(const ddb__interned *item, const void *key) {
  return ddb__text_equal(((const field_node *)(const void *)item)->name, *(const ddb_str *)key);
}

static field_node *field_find(const ddb__shapes *shapes, ddb_str name, uint64_t hash) {
  return (field_node *)(void *)ddb__intern_find(&shapes->fields, hash, field_match, &name);
}

static uint64_t name_hash(ddb_str name) {
  return ddb__hash_bytes(name.data, name.size);
}

static size_t list_size(uint32_t capacity) {
  return sizeof(field_list) + capacity * sizeof(field_node *);
}

static field_node *field_at(const ddb__shapes *shapes, uint32_t id) {
  return atomic_load_explicit(&((ddb__shapes *)shapes)->list, memory_order_acquire)->items[id];
}

/* Room for one more field in the list by id. */
static bool list_reserve(ddb__shapes *shapes) {
  field_list *old = atomic_load_explicit(&shapes->list, memory_order_relaxed);
  uint32_t count = atomic_load_explicit(&shapes->field_count, memory_order_relaxed);
  if (old != NULL && count < old->capacity) {
    return true;
  }
  uint32_t capacity = old == NULL ? LIST_CAPACITY_FIRST : old->capacity * 2;
  field_list *list = ddb__alloc(shapes->heap, list_size(capacity));
  if (list == NULL) {
    return false;
  }
  list->older = old;
  list->capacity = capacity;
  for (uint32_t i = 0; old != NULL && i < count; i++) {
    list->items[i] = old->items[i];
  }
  atomic_store_explicit(&shapes->list, list, memory_order_release);
  return true;
}

/* NULL: no memory, or no id left. Under the mutex, or before the registry is shared. */
static field_node *field_add_locked(ddb__shapes *shapes, ddb_str name, uint64_t hash) {
  uint32_t id = atomic_load_explicit(&shapes->field_count, memory_order_relaxed);
  if (id >= UINT32_MAX / 2 || !list_reserve(shapes) ||
      !ddb__intern_reserve(&shapes->fields, shapes->heap)) {
    return NULL;
  }
  field_node *node = ddb__alloc(shapes->heap, sizeof *node + name.size);
  if (node == NULL) {
    return NULL;
  }
  char *bytes = (char *)(node + 1);
  if (name.size > 0) {
    memcpy(bytes, name.data, name.size);
  }
  *node = (field_node){.link = {hash}, .id = id, .name = {bytes, name.size}};
  atomic_load_explicit(&shapes->list, memory_order_relaxed)->items[id] = node;
  atomic_store_explicit(&shapes->field_count, id + 1, memory_order_release);
  ddb__intern_add(&shapes->fields, &node->link);
  return node;
}

static field_node *field_intern_locked(ddb__shapes *shapes, ddb_str name) {
  uint64_t hash = name_hash(name);
  field_node *node = field_find(shapes, name, hash);
  return node != NULL ? node : field_add_locked(shapes, name, hash);
}

uint32_t ddb__shapes_field_find(const ddb__shapes *shapes, ddb_str name) {
  const field_node *node = field_find(shapes, name, name_hash(name));
  return node != NULL ? node->id : DDB__NO_FIELD;
}

ddb_status ddb__shapes_field_check(const ddb__shapes *shapes, ddb_str name, ddb_error *err) {
  if (shapes->schema.fields == NULL ||
      ddb__shapes_field_find(shapes, name) < shapes->schema.field_count) {
    return DDB_OK;
  }
  return fail_unknown(shapes, DDB_ERR_FIELD_NOT_FOUND, name, err);
}

uint32_t ddb__shapes_field_count(const ddb__shapes *shapes) {
  return atomic_load_explicit(&((ddb__shapes *)shapes)->field_count, memory_order_acquire);
}

ddb_str ddb__shapes_field_name(const ddb__shapes *shapes, uint32_t field_id) {
  return field_at(shapes, field_id)->name;
}

/* ---- Shapes: looking up and adding -------------------------------------------------------- */

typedef struct shape_key {
  ddb_shape_kind kind;
  const ddb_str *names; /* or NULL: by ids */
  const uint32_t *ids;
  size_t count;
} shape_key;

static bool shape_match(const ddb__interned *item, const void *key) {
  const ddb_shape *shape = &((const shape_node *)(const void *)item)->shape;
  const shape_key *wanted = key;
  if (shape->kind != wanted->kind || shape->input_count != wanted->count) {
    return false;
  }
  if (wanted->names == NULL) {
    return wanted->count == 0 ||
           memcmp(shape->field_ids, wanted->ids, wanted->count * sizeof wanted->ids[0]) == 0;
  }
  for (size_t i = 0; i < wanted->count; i++) {
    if (!ddb__text_equal(shape->names[i], wanted->names[i])) {
      return false;
    }
  }
  return true;
}

static uint64_t shape_hash_step(uint64_t hash, uint64_t name) {
  return (hash ^ name) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 32);
}

static uint64_t shape_hash(const ddb__shapes *shapes, const shape_key *key) {
  uint64_t hash = (uint64_t)key->kind + 1;
  for (size_t i = 0; i < key->count; i++) {
    uint64_t name =
        key->names != NULL ? name_hash(key->names[i]) : field_at(shapes, key->ids[i])->link.hash;
    hash = shape_hash_step(hash, name);
  }
  return ddb__hash_mix(hash);
}

static const ddb_shape *shape_find(const ddb__shapes *shapes, const shape_key *key, uint64_t hash) {
  ddb__interned *item = ddb__intern_find(&shapes->shapes, hash, shape_match, key);
  return item != NULL ? &((shape_node *)(void *)item)->shape : NULL;
}

/* Points the shape's arrays into its node and fills them. */
static void shape_fill_arrays(ddb__shapes *shapes, shape_node *node, const uint32_t *ids) {
  ddb_shape *shape = &node->shape;
  size_t count = shape->count;
  ddb_str *names = (ddb_str *)(void *)(node + 1);
  const ddb_schema_field **checks = (const ddb_schema_field **)(void *)(names + count);
  bool checked = shapes->schema.fields != NULL;
  uint32_t *field_ids = (uint32_t *)(void *)(checks + (checked ? count : 0));
  for (size_t i = 0; i < count; i++) {
    field_ids[i] = ids[i];
    names[i] = field_at(shapes, ids[i])->name;
    if (checked) {
      checks[i] = &shapes->schema.fields[ids[i]];
    }
  }
  shape->field_ids = field_ids;
  shape->names = names;
  shape->checks = checked ? checks : NULL;
}

/* Adds the shape described by `draft` with these fields; a shape whose `stored` is set shares that
 * one's arrays. NULL: no memory. */
static const ddb_shape *shape_add_locked(ddb__shapes *shapes, const ddb_shape *draft,
                                         const uint32_t *ids, uint64_t hash) {
  size_t per_field = sizeof(ddb_str) + sizeof(uint32_t) +
                     (shapes->schema.fields != NULL ? sizeof(ddb_schema_field *) : 0);
  size_t size = sizeof(shape_node) + (draft->stored == NULL ? draft->count * per_field : 0);
  if (!ddb__intern_reserve(&shapes->shapes, shapes->heap)) {
    return NULL;
  }
  shape_node *node = ddb__alloc(shapes->heap, size);
  if (node == NULL) {
    return NULL;
  }
  *node = (shape_node){.link = {hash}, .size = size, .shape = *draft};
  ddb_shape *shape = &node->shape;
  shape->id = atomic_fetch_add_explicit(&next_shape_id, 1, memory_order_relaxed);
  shape->registry = shapes;
  if (shape->stored == NULL) {
    shape->stored = shape;
    shape_fill_arrays(shapes, node, ids);
  } else {
    shape->field_ids = shape->stored->field_ids;
    shape->names = shape->stored->names;
    shape->checks = shape->stored->checks;
  }
  ddb__intern_add(&shapes->shapes, &node->link);
  return shape;
}

/* The shape whose caller gives all of its fields: what records point to, and CHANGES. */
static const ddb_shape *shape_whole_locked(ddb__shapes *shapes, ddb_shape_kind kind,
                                           const uint32_t *ids, size_t count) {
  shape_key key = {.kind = kind, .ids = ids, .count = count};
  uint64_t hash = shape_hash(shapes, &key);
  const ddb_shape *found = shape_find(shapes, &key, hash);
  if (found != NULL) {
    return found;
  }
  ddb_shape draft = {.kind = kind, .count = (uint32_t)count, .input_count = (uint32_t)count};
  draft.key_index = UINT32_MAX;
  for (size_t i = 0; i < count && kind == DDB_SHAPE_RECORD; i++) {
    if (ids[i] == shapes->key_id) {
      draft.key_index = (uint32_t)i;
    }
  }
  return shape_add_locked(shapes, &draft, ids, hash);
}

/* ---- Shapes: from a caller's names -------------------------------------------------------- */

/* A caller's names on their way to a shape; under the mutex. */
typedef struct request {
  ddb_shape_kind kind;
  uint32_t *ids; /* [capacity] */
  size_t capacity;
  size_t count;       /* ids so far */
  size_t input_count; /* of them given by the caller */
  bool has_key;
  bool auto_key;
} request;

static ddb_status request_add_name(ddb__shapes *shapes, request *req, ddb_str name,
                                   ddb_error *err) {
  if (!ddb__text_valid(name)) {
    return fail_name(shapes, DDB_ERR_INVALID, name, "has a name that is not UTF-8", err);
  }
  ddb_status status = shapes->schema.fields == NULL
                          ? DDB_OK
                          : (ddb__shapes_field_find(shapes, name) < shapes->schema.field_count
                                 ? DDB_OK
                                 : fail_unknown(shapes, DDB_ERR_SCHEMA, name, err));
  if (status != DDB_OK) {
    return status;
  }
  field_node *node = field_intern_locked(shapes, name);
  if (node == NULL) {
    return ddb__fail_memory(err, sizeof *node + name.size);
  }
  if (node->mark == shapes->mark) {
    return fail_name(shapes, DDB_ERR_INVALID, name, "is given twice", err);
  }
  node->mark = shapes->mark;
  req->has_key |= node->id == shapes->key_id;
  req->ids[req->count++] = node->id;
  return DDB_OK;
}

/* The fields that the caller left out: the schema's defaults in its order, then the key. */
static ddb_status request_complete(ddb__shapes *shapes, request *req, ddb_error *err) {
  req->auto_key = !req->has_key;
  for (uint32_t id = 0; id < shapes->schema.field_count; id++) {
    const ddb_schema_field *field = &shapes->schema.fields[id];
    if (field_at(shapes, id)->mark == shapes->mark) {
      continue;
    }
    if (id == shapes->key_id && (field->types & DDB_TYPE(DDB_INT))) {
      continue;
    }
    if (field->default_value == NULL) {
      return fail_missing(shapes, field, err);
    }
    if (id == shapes->key_id) {
      req->auto_key = false;
    }
    req->ids[req->count++] = id;
  }
  if (req->auto_key) {
    req->ids[req->count++] = shapes->key_id;
  }
  return req->count > DDB_FIELD_COUNT_MAX ? fail_count(shapes, err) : DDB_OK;
}

static ddb_status request_ids(ddb__shapes *shapes, request *req, const ddb_str *names,
                              ddb_error *err) {
  shapes->mark++;
  for (size_t i = 0; i < req->input_count; i++) {
    ddb_status status = request_add_name(shapes, req, names[i], err);
    if (status != DDB_OK) {
      return status;
    }
  }
  if (req->kind == DDB_SHAPE_RECORD) {
    return request_complete(shapes, req, err);
  }
  return req->has_key ? fail_name(shapes, DDB_ERR_KEY, shapes->schema.primary_key,
                                  "is the primary key: it cannot be changed", err)
                      : DDB_OK;
}

/* The shape of a request whose ids are known. NULL: no memory. */
static const ddb_shape *request_shape(ddb__shapes *shapes, const request *req, uint64_t hash) {
  const ddb_shape *whole = shape_whole_locked(shapes, req->kind, req->ids, req->count);
  if (whole == NULL || req->count == req->input_count) {
    return whole;
  }
  ddb_shape draft = *whole;
  draft.input_count = (uint32_t)req->input_count;
  draft.auto_key = req->auto_key;
  return shape_add_locked(shapes, &draft, NULL, hash);
}

static ddb_status shape_make_locked(ddb__shapes *shapes, const shape_key *key, uint64_t hash,
                                    const ddb_shape **out, ddb_error *err) {
  request req = {.kind = key->kind, .input_count = key->count};
  req.capacity = key->count + shapes->schema.field_count + 1;
  req.ids = ddb__alloc(shapes->heap, req.capacity * sizeof req.ids[0]);
  if (req.ids == NULL) {
    return ddb__fail_memory(err, req.capacity * sizeof req.ids[0]);
  }
  ddb_status status = request_ids(shapes, &req, key->names, err);
  if (status == DDB_OK) {
    const ddb_shape *shape = request_shape(shapes, &req, hash);
    if (shape != NULL) {
      *out = shape;
    } else {
      status = ddb__fail_memory(err, sizeof(shape_node) + req.count * sizeof(ddb_str));
    }
  }
  ddb__free(shapes->heap, req.ids, req.capacity * sizeof req.ids[0]);
  return status;
}

static ddb_status shapes_lock(ddb__shapes *shapes, ddb_error *err) {
  if (ddb__fork_generation() != shapes->fork_generation) {
    return ddb__fail(err, DDB_ERR_FORKED, "%s '%.*s' was made before the fork", NAMED(shapes));
  }
  pthread_mutex_lock(&shapes->mutex);
  return DDB_OK;
}

ddb_status ddb__shapes_get(ddb__shapes *shapes, ddb_shape_kind kind, const ddb_str *names,
                           size_t name_count, const ddb_shape **out, ddb_error *err) {
  if ((kind != DDB_SHAPE_RECORD && kind != DDB_SHAPE_CHANGES) ||
      (names == NULL && name_count > 0)) {
    return ddb__fail(err, DDB_ERR_INVALID, "no such kind of shape, or no names");
  }
  if (name_count > DDB_FIELD_COUNT_MAX) {
    return fail_count(shapes, err);
  }
  static const ddb_str no_names[1];
  shape_key key = {.kind = kind, .names = names != NULL ? names : no_names, .count = name_count};
  uint64_t hash = shape_hash(shapes, &key);
  const ddb_shape *found = shape_find(shapes, &key, hash);
  if (found != NULL) {
    *out = found;
    return DDB_OK;
  }
  ddb_status status = shapes_lock(shapes, err);
  if (status != DDB_OK) {
    return status;
  }
  found = shape_find(shapes, &key, hash);
  if (found != NULL) {
    *out = found;
  } else {
    status = shape_make_locked(shapes, &key, hash, out, err);
  }
  pthread_mutex_unlock(&shapes->mutex);
  return status;
}

/* ---- Merging ------------------------------------------------------------------------------ */

static bool merge_match(const ddb__interned *item, const void *key) {
  const merge_node *node = (const merge_node *)(const void *)item;
  const merge_node *wanted = key;
  return node->base == wanted->base && node->changes == wanted->changes;
}

/* Has `base` every field of `changes`? Fields mostly come in the same order. */
static bool shape_covers(const ddb_shape *base, const ddb_shape *changes) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < changes->count; i++) {
    uint32_t left = base->count;
    while (left > 0 && base->field_ids[at] != changes->field_ids[i]) {
      at = at + 1 < base->count ? at + 1 : 0;
      left--;
    }
    if (left == 0) {
      return false;
    }
  }
  return true;
}

static ddb_status merge_ids_locked(ddb__shapes *shapes, const merge_node *key, uint32_t *ids,
                                   const ddb_shape **merged, ddb_error *err) {
  shapes->mark++;
  size_t count = key->base->count;
  for (uint32_t i = 0; i < key->base->count; i++) {
    ids[i] = key->base->field_ids[i];
    field_at(shapes, ids[i])->mark = shapes->mark;
  }
  for (uint32_t i = 0; i < key->changes->count; i++) {
    uint32_t id = key->changes->field_ids[i];
    if (field_at(shapes, id)->mark != shapes->mark) {
      ids[count++] = id;
    }
  }
  if (count > DDB_FIELD_COUNT_MAX) {
    return fail_count(shapes, err);
  }
  *merged = shape_whole_locked(shapes, DDB_SHAPE_RECORD, ids, count);
  return *merged != NULL ? DDB_OK : ddb__fail_memory(err, count * sizeof(ddb_str));
}

static ddb_status merge_make_locked(ddb__shapes *shapes, const merge_node *key,
                                    const ddb_shape **out, ddb_error *err) {
  size_t size = ((size_t)key->base->count + key->changes->count) * sizeof(uint32_t);
  uint32_t *ids = ddb__alloc(shapes->heap, size);
  if (ids == NULL) {
    return ddb__fail_memory(err, size);
  }
  const ddb_shape *merged;
  ddb_status status = merge_ids_locked(shapes, key, ids, &merged, err);
  ddb__free(shapes->heap, ids, size);
  if (status != DDB_OK) {
    return status;
  }
  merge_node *node = ddb__intern_reserve(&shapes->merges, shapes->heap)
                         ? ddb__alloc(shapes->heap, sizeof *node)
                         : NULL;
  if (node == NULL) {
    return ddb__fail_memory(err, sizeof *node);
  }
  *node = *key;
  node->merged = merged;
  ddb__intern_add(&shapes->merges, &node->link);
  *out = merged;
  return DDB_OK;
}

ddb_status ddb__shapes_merge(ddb__shapes *shapes, const ddb_shape *base, const ddb_shape *changes,
                             const ddb_shape **out, ddb_error *err) {
  if (shape_covers(base, changes)) {
    *out = base;
    return DDB_OK;
  }
  merge_node key = {.base = base, .changes = changes};
  key.link.hash = ddb__hash_mix(base->id * UINT64_C(0x9e3779b97f4a7c15) + changes->id);
  const merge_node *found =
      (merge_node *)(void *)ddb__intern_find(&shapes->merges, key.link.hash, merge_match, &key);
  if (found != NULL) {
    *out = found->merged;
    return DDB_OK;
  }
  ddb_status status = shapes_lock(shapes, err);
  if (status != DDB_OK) {
    return status;
  }
  found = (merge_node *)(void *)ddb__intern_find(&shapes->merges, key.link.hash, merge_match, &key);
  if (found != NULL) {
    *out = found->merged;
  } else {
    status = merge_make_locked(shapes, &key, out, err);
  }
  pthread_mutex_unlock(&shapes->mutex);
  return status;
}

/* ---- Validation --------------------------------------------------------------------------- */

static ddb_status fail_type(const ddb_shape *shape, uint32_t index, uint8_t kind, ddb_error *err) {
  const ddb__shapes *shapes = shape->registry;
  char expected[64];
  const char *given = ddb_kind_name((ddb_kind)kind);
  ddb__schema_types_format(shape->checks[index]->types, expected, sizeof expected);
  ddb__fail(err, DDB_ERR_SCHEMA, "%s '%.*s': field '%.*s' expects %s, not %s", NAMED(shapes),
            DDB__STR_ARG(shape->names[index]), expected, given);
  if (err != NULL) {
    ddb__error_text(err->expected, sizeof err->expected, ddb_str_from(expected));
    ddb__error_text(err->given, sizeof err->given, ddb_str_from(given));
  }
  return name_culprit(shapes, DDB_ERR_SCHEMA, shape->names[index], err);
}

ddb_status ddb__shape_validate(const ddb_shape *shape, const ddb__block *block, ddb_error *err) {
  if (shape->checks == NULL) {
    return DDB_OK;
  }
  for (uint32_t i = 0; i < shape->count; i++) {
    uint8_t kind = block->tags[i];
    bool assigned_later = kind == DDB_MISSING && shape->auto_key && i == shape->key_index;
    if (!assigned_later && !(shape->checks[i]->types & DDB_TYPE(kind))) {
      return fail_type(shape, i, kind, err);
    }
  }
  return DDB_OK;
}

/* ---- Life of the registry ----------------------------------------------------------------- */

static void field_release(ddb__heap *heap, ddb__interned *item) {
  field_node *node = (field_node *)(void *)item;
  ddb__free(heap, node, sizeof *node + node->name.size);
}

static void shape_release(ddb__heap *heap, ddb__interned *item) {
  shape_node *node = (shape_node *)(void *)item;
  ddb__free(heap, node, node->size);
}

static void merge_release(ddb__heap *heap, ddb__interned *item) {
  ddb__free(heap, item, sizeof(merge_node));
}

/* Everything of a registry whose schema and name are set. */
static void shapes_free(ddb__shapes *shapes) {
  ddb__heap *heap = shapes->heap;
  ddb__intern_free(&shapes->merges, heap, merge_release);
  ddb__intern_free(&shapes->shapes, heap, shape_release);
  ddb__intern_free(&shapes->fields, heap, field_release);
  field_list *list = atomic_load_explicit(&shapes->list, memory_order_relaxed);
  while (list != NULL) {
    field_list *older = list->older;
    ddb__free(heap, list, list_size(list->capacity));
    list = older;
  }
  pthread_mutex_destroy(&shapes->mutex);
  ddb__schema_fini(&shapes->schema, heap);
  ddb__text_free(heap, shapes->table_name);
  ddb__free(heap, shapes, sizeof *shapes);
}

/* S3: the schema's names first. */
static ddb_status intern_schema(ddb__shapes *shapes, ddb_error *err) {
  const ddb__schema *schema = &shapes->schema;
  for (size_t i = 0; i < schema->field_count; i++) {
    ddb_str name = schema->fields[i].name;
    if (ddb__shapes_field_find(shapes, name) != DDB__NO_FIELD) {
      return fail_name(shapes, DDB_ERR_INVALID, name, "is there twice", err);
    }
    if (field_add_locked(shapes, name, name_hash(name)) == NULL) {
      return ddb__fail_memory(err, sizeof(field_node) + name.size);
    }
  }
  const field_node *key = field_intern_locked(shapes, schema->primary_key);
  if (key == NULL) {
    return ddb__fail_memory(err, sizeof *key + schema->primary_key.size);
  }
  shapes->key_id = key->id;
  return DDB_OK;
}

ddb_status ddb__shapes_new(ddb__heap *heap, const char *what, ddb_str table_name,
                           const ddb_table_options *options, ddb__shapes **out, ddb_error *err) {
  ddb__shapes *shapes = ddb__alloc_zero(heap, sizeof *shapes);
  if (shapes == NULL) {
    return ddb__fail_memory(err, sizeof *shapes);
  }
  shapes->heap = heap;
  shapes->what = what;
  shapes->fork_generation = ddb__fork_generation();
  atomic_init(&shapes->references, 1);
  ddb_status status = ddb__schema_init(&shapes->schema, heap, table_name, options, err);
  if (status != DDB_OK) {
    ddb__free(heap, shapes, sizeof *shapes);
    return status;
  }
  if (!ddb__text_copy(heap, table_name, &shapes->table_name)) {
    ddb__schema_fini(&shapes->schema, heap);
    ddb__free(heap, shapes, sizeof *shapes);
    return ddb__fail_memory(err, table_name.size);
  }
  pthread_mutex_init(&shapes->mutex, NULL);
  status = intern_schema(shapes, err);
  if (status != DDB_OK) {
    shapes_free(shapes);
    return status;
  }
  *out = shapes;
  return DDB_OK;
}

ddb__shapes *ddb__shapes_acquire(ddb__shapes *shapes) {
  atomic_fetch_add_explicit(&shapes->references, 1, memory_order_relaxed);
  return shapes;
}

void ddb__shapes_release(ddb__shapes *shapes) {
  if (shapes != NULL &&
      atomic_fetch_sub_explicit(&shapes->references, 1, memory_order_acq_rel) == 1) {
    shapes_free(shapes);
  }
}

const ddb__schema *ddb__shapes_schema(const ddb__shapes *shapes) {
  return &shapes->schema;
}

ddb_str ddb__shapes_table_name(const ddb__shapes *shapes) {
  return shapes->table_name;
}

/* ---- The public side of a shape ----------------------------------------------------------- */

size_t ddb_shape_count(const ddb_shape *shape) {
  return shape->count;
}

ddb_str ddb_shape_name(const ddb_shape *shape, size_t index) {
  return shape->names[index];
}

uint64_t ddb_shape_id(const ddb_shape *shape) {
  return shape->id;
}
