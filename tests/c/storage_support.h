/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_support.h - what the storage tests share: a folder, files, databases, and their
 * comparison.
 */
#ifndef DDB_TESTS_STORAGE_SUPPORT_H
#define DDB_TESTS_STORAGE_SUPPORT_H

#include "support.h"

/* A folder of this run, and two paths in it. */
extern char storage_folder[64];
extern char storage_target[128];
extern char storage_other[128];

typedef struct storage_text {
  char *data;
  size_t size;
} storage_text;

/* Group fixtures. The second fails when something was left in the folder. */
int storage_setup(void **state);
int storage_teardown(void **state);

/* The whole file, with a NUL behind it; data is the caller's to free. */
storage_text storage_read(const char *path);
void storage_write(const char *path, const char *data, size_t size);

ddb_db *storage_db(void);
ddb_table *storage_table(ddb_db *db, const char *name, const ddb_table_options *options);
ddb_value storage_str(const char *bytes);
/* Inserts one record; the key may be NULL. */
void storage_insert(ddb_table *table, ddb_value *key, size_t count, const ddb_field *fields);
#define INSERT(table, ...)                                                                         \
  storage_insert((table), NULL, sizeof((ddb_field[]){__VA_ARGS__}) / sizeof(ddb_field),            \
                 (ddb_field[]){__VA_ARGS__})
#define FIELD(name, value)                                                                         \
  { DDB_STR(name), (value) }

bool storage_same_text(ddb_str a, ddb_str b);

ddb_db *storage_load(const char *path);
ddb_db *storage_load_text(const char *json);
/* Tables, schemas, records with kinds and order, automatic keys, indexes. */
void storage_assert_same(ddb_db *a, ddb_db *b);
/* Saves, loads, compares, and saves again: the same bytes. */
void storage_assert_survives(ddb_db *db);
/* A database with one of everything: schemas, indexes, odd names, all kinds of keys. */
ddb_db *storage_sample(void);

#endif
