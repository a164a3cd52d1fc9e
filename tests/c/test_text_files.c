/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_files.c - CSV and NDJSON: cells and lines both ways, refusals with their line, memory and
 * system calls that fail, damage.
 */
#include <errno.h>

#include "storage_support.h"

#include "io/syscalls.h"

static ddb_import_options csv_in(void) {
  return (ddb_import_options){.format = DDB_TEXT_CSV};
}

static ddb_status import_text(ddb_db *db, const char *text, size_t size,
                              const ddb_import_options *options, ddb_error *err) {
  storage_write(storage_other, text, size);
  return ddb_db_import(db, storage_other, DDB_STR("t"), options, NULL, err);
}

static bool has_table(ddb_db *db) {
  ddb_table *table;
  if (ddb_db_table_get(db, DDB_STR("t"), &table, NULL) != DDB_OK) {
    return false;
  }
  ddb_table_release(table);
  return true;
}

/* The records as Python's repr() would write the values: "id=1 a='x'; id=2 a=None; ". */
static void describe(ddb_db *db, char *out, size_t capacity) {
  ddb_table *table;
  ddb_view view;
  size_t used = 0;
  uint64_t position = 0;
  const ddb_record *record;
  out[0] = '\0';
  assert_ok(ddb_db_table_get(db, DDB_STR("t"), &table, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  while ((record = ddb_view_next(&view, &position)) != NULL) {
    for (size_t i = 0; i < ddb_record_count(record); i++) {
      ddb_str name = ddb_record_name(record, i);
      ddb_value value = ddb_record_value(record, i);
      used += (size_t)snprintf(out + used, capacity - used, "%s%.*s=", i ? " " : "", (int)name.size,
                               name.data);
      (void)ddb_value_format(&value, out + used, capacity - used);
      used += strlen(out + used);
    }
    used += (size_t)snprintf(out + used, capacity - used, "; ");
  }
  ddb_view_close(&view);
  ddb_table_release(table);
}

static void assert_reads(const char *text, const ddb_import_options *options,
                         const char *expected) {
  char found[4000];
  ddb_error err = {0};
  ddb_db *db = storage_db();
  if (import_text(db, text, strlen(text), options, &err) != DDB_OK) {
    fail_msg("%s: %s", text, err.message);
  }
  describe(db, found, sizeof found);
  assert_string_equal(found, expected);
  ddb_db_release(db);
}

static void test_cells(void **state) {
  (void)state;
  ddb_import_options options = csv_in();
  assert_reads("id,a\n1,x\n", &options, "id=1 a='x'; ");
  assert_reads("\xef\xbb\xbf\"id\",a\r\n1,\"\"\r\n2,\r\n", &options, "id=1 a=''; id=2 a=None; ");
  assert_reads("\n\nid,a\r1,\"a\r\n\"\"b\"\"\"\r\r2,5", &options,
               "id=1 a='a\\r\\n\"b\"'; id=2 a=5; ");
  assert_reads("a\n7\n", &options, "a=7 id=1; ");
  assert_reads("a,b\n,\n", &options, "a=None b=None id=1; ");
  assert_reads("id,a,b,c,d\n1,007,1_000,nan,01e5\n", &options,
               "id=1 a='007' b='1_000' c='nan' d='01e5'; ");
  assert_reads("id,a,b,c,d\n1,-7,0,-0,+5\n", &options, "id=1 a=-7 b=0 c='-0' d='+5'; ");
  assert_reads("id,a,b,c,d\n1,1e5,-1.5,.5,1.\n", &options,
               "id=1 a=100000.0 b=-1.5 c='.5' d='1.'; ");
  assert_reads("id,a,b,c\n1,1e999, 5,1e\n", &options, "id=1 a='1e999' b=' 5' c='1e'; ");
  assert_reads("id,a,b\n1,\"5\",123456789012345678901234567890\n", &options,
               "id=1 a='5' b=123456789012345678901234567890; ");
  assert_reads("id,a\n9223372036854775807,-9223372036854775808\n", &options,
               "id=9223372036854775807 a=-9223372036854775808; ");
  assert_reads("id,a\n1,it\"s\n", &options, "id=1 a='it\"s'; ");
  options.only_text = true;
  assert_reads("id,a\n1,5\n", &options, "id='1' a='5'; ");
  options = csv_in();
  options.no_header = true;
  assert_reads("7,x\n", &options, "column_1=7 column_2='x' id=1; ");
  assert_reads("", &options, "");
  options = csv_in();
  options.delimiter = '\t';
  options.null_text = DDB_STR("NULL");
  assert_reads("id\ta\tb\n1\tNULL\t\"NULL\"\n2\t\tx,y\n", &options,
               "id=1 a=None b='NULL'; id=2 a='' b='x,y'; ");
  options = csv_in();
  options.encoding = "ISO-8859-1";
  assert_reads("id,a\n1,\xe9\n", &options, "id=1 a='\xc3\xa9'; ");
}

static void test_lines(void **state) {
  (void)state;
  ddb_import_options options = {.format = DDB_TEXT_NDJSON};
  assert_reads("{\"id\": 1, \"a\": [1, null]}\n{\"a\": {\"b\": 2.5}}\n", &options,
               "id=1 a=[1, None]; a={'b': 2.5} id=2; ");
  assert_reads("\n {\"a\": {\"$type\": \"date\", \"value\": \"2020-02-29\"}} \r\n\n", &options,
               "a=date('2020-02-29') id=1; ");
  assert_reads("", &options, "");
}

static void test_schemas(void **state) {
  (void)state;
  const ddb_schema_field fields[] = {
      {DDB_STR("id"), DDB_TYPE_INT, NULL},
      {DDB_STR("f"), DDB_TYPE_FLOAT | DDB_TYPE(DDB_NULL), NULL},
      {DDB_STR("b"), DDB_TYPE(DDB_BOOL), NULL},
      {DDB_STR("s"), DDB_TYPE(DDB_STR_KIND), NULL},
      {DDB_STR("d"), DDB_TYPE(DDB_DATETIME), NULL},
      {DDB_STR("l"), DDB_TYPE(DDB_LIST) | DDB_TYPE(DDB_BYTES), NULL}};
  const ddb_table_options table = {.schema = fields, .schema_count = 6};
  ddb_import_options options = csv_in();
  options.table = &table;
  assert_reads("id,f,b,s,d,l\n007, 3 ,YES,5,2020-01-02 03:04:05,\"[1, \"\"x\"\"]\"\n", &options,
               "id=7 f=3.0 b=True s='5' d=datetime('2020-01-02T03:04:05') l=[1, 'x']; ");
  assert_reads("id,f,b,s,d,l\n+1,,0,,2020-01-02T03:04:05Z,AA==\n", &options,
               "id=1 f=None b=False s='' d=datetime('2020-01-02T03:04:05+00:00') "
               "l=b'\\x00'; ");
  assert_reads("id,f,b,s,d,l\n1,9007199254740993,no,,2020-01-02T03:04:05,[]\n"
               "2,-9007199254740992,no,,2020-01-02T03:04:05,[]\n",
               &options,
               "id=1 f=9007199254740993 b=False s='' d=datetime('2020-01-02T03:04:05') l=[]; "
               "id=2 f=-9007199254740992.0 b=False s='' d=datetime('2020-01-02T03:04:05') l=[]; ");
}

static void assert_refused(const char *text, const ddb_import_options *options, ddb_status expected,
                           const char *words) {
  ddb_error err = {0};
  ddb_db *db = storage_db();
  uint64_t bytes = ddb_process_memory();
  ddb_status status = import_text(db, text, strlen(text), options, &err);
  if (status != expected || !strstr(err.message, words)) {
    fail_msg("%s: %s (%s)", text, ddb_status_name(status), err.message);
  }
  assert_int_equal(ddb_process_memory(), bytes);
  assert_false(has_table(db));
  ddb_db_release(db);
}

static void test_refusals(void **state) {
  (void)state;
  const ddb_schema_field fields[] = {{DDB_STR("id"), DDB_TYPE_INT, NULL},
                                     {DDB_STR("a"), DDB_TYPE(DDB_DATE), NULL}};
  const ddb_table_options table = {.schema = fields, .schema_count = 2};
  ddb_import_options csv = csv_in();
  ddb_import_options typed = csv_in();
  ddb_import_options lines = {.format = DDB_TEXT_NDJSON};
  typed.table = &table;
  assert_refused("", &csv, DDB_ERR_CORRUPT, "no header");
  assert_refused("id,a\n1,2\n\n3\n", &csv, DDB_ERR_CORRUPT, "line 4: 1 cells");
  assert_refused("id,a\n1,\"x\ny\"\n3,4,5\n", &csv, DDB_ERR_CORRUPT, "line 4: 3 cells");
  assert_refused("id,a\n1,\"x\r\ny\n3,4\n", &csv, DDB_ERR_CORRUPT, "opens in line 2");
  assert_refused("id,a\n1,\"x\"y\n", &csv, DDB_ERR_CORRUPT, "line 2: text stands behind");
  assert_refused(",\n", &csv, DDB_ERR_CORRUPT, "column 1 of the header");
  assert_refused("id,\n", &csv, DDB_ERR_CORRUPT, "column 2 of the header");
  assert_refused("id,a,a\n", &csv, DDB_ERR_INVALID, "line 1");
  assert_refused("id\n1\n2\n1\n", &csv, DDB_ERR_DUPLICATE_KEY, "line 4");
  assert_refused("id,a\n,1\n", &csv, DDB_ERR_KEY, "line 2");
  assert_refused("id,a\n1,\xff\n", &csv, DDB_ERR_INVALID, "line 2: field 'a'");
  assert_refused("id,a\n1,2020-02-30\n", &typed, DDB_ERR_SCHEMA, "line 2: field 'a' expects date");
  assert_refused("id,a\n1,\n", &typed, DDB_ERR_SCHEMA, "line 2");
  assert_refused("id,b\n1,x\n", &typed, DDB_ERR_SCHEMA, "'b'");
  assert_refused("{\"a\": 1}\n{\"a\": }\n", &lines, DDB_ERR_CORRUPT, "line 2");
  assert_refused("{\"a\": 1} {\"a\": 2}\n", &lines, DDB_ERR_CORRUPT, "end of the line");
  assert_refused("{\"a\": 1}\n[1]\n", &lines, DDB_ERR_CORRUPT, "line 2: not an object");
  assert_refused("{\"id\": 1}\n\n{\"id\": 1}\n", &lines, DDB_ERR_DUPLICATE_KEY, "line 3");
  csv.encoding = "no such thing";
  assert_refused("id\n1\n", &csv, DDB_ERR_INVALID, "encoding 'no such thing'");
  csv = csv_in();
  csv.encoding = "UTF-16LE";
  assert_refused("i\0d\0\n\0x", &csv, DDB_ERR_CORRUPT, "UTF-16LE");
  csv = csv_in();
  csv.delimiter = '"';
  assert_refused("id\n1\n", &csv, DDB_ERR_INVALID, "delimiter");
  csv = csv_in();
  csv.null_text = DDB_STR("a,b");
  assert_refused("id\n1\n", &csv, DDB_ERR_INVALID, "null");
}

/* ---- Out ---------------------------------------------------------------------------------- */

static ddb_status export_table(ddb_db *db, const char *name, const ddb_export_options *options,
                               ddb_error *err) {
  ddb_table *table;
  ddb_view view;
  ddb_export *file;
  uint64_t position = 0;
  const ddb_record *record;
  assert_ok(ddb_db_table_get(db, ddb_str_from(name), &table, NULL));
  assert_ok(ddb_view_open(table, &view, NULL));
  ddb_status status = ddb_export_open(storage_target, options, &file, err);
  if (status == DDB_OK) {
    while (status == DDB_OK && (record = ddb_view_next(&view, &position)) != NULL) {
      status = ddb_export_put(file, record, err);
    }
    if (status == DDB_OK) {
      status = ddb_export_commit(file, err);
    }
    ddb_export_cancel(file);
  }
  ddb_view_close(&view);
  ddb_table_release(table);
  return status;
}

static void assert_target(const char *expected) {
  storage_text text = storage_read(storage_target);
  assert_string_equal(text.data, expected);
  free(text.data);
}

static ddb_db *odd_texts(void) {
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  INSERT(table, FIELD("id", ddb_int(1)), FIELD("a", storage_str("x,y")), FIELD("b", ddb_null()));
  INSERT(table, FIELD("id", ddb_int(2)), FIELD("a", storage_str("")), FIELD("b", ddb_float(1)));
  INSERT(table, FIELD("id", ddb_int(3)), FIELD("a", storage_str("42")));
  INSERT(table, FIELD("id", ddb_int(4)), FIELD("a", storage_str("\"\n")), FIELD("b", ddb_bool(1)));
  ddb_table_release(table);
  return db;
}

static void test_export(void **state) {
  (void)state;
  const ddb_str columns[] = {DDB_STR("id"), DDB_STR("a"), DDB_STR("b")};
  ddb_export_options options = {.columns = columns, .column_count = 3};
  ddb_error err;
  ddb_db *db = odd_texts();
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("id,a,b\r\n1,\"x,y\",\r\n2,\"\",1.0\r\n3,\"42\",\r\n4,\"\"\"\n\",true\r\n");
  options.delimiter = ';';
  options.null_text = DDB_STR("-");
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("id;a;b\r\n1;x,y;-\r\n2;\"\";1.0\r\n3;\"42\";-\r\n4;\"\"\"\n\";true\r\n");
  options = (ddb_export_options){.format = DDB_TEXT_NDJSON};
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("{\"id\": 1, \"a\": \"x,y\", \"b\": null}\n{\"id\": 2, \"a\": \"\", \"b\": 1.0}\n"
                "{\"id\": 3, \"a\": \"42\"}\n{\"id\": 4, \"a\": \"\\\"\\n\", \"b\": true}\n");
  options = (ddb_export_options){.columns = columns + 2, .column_count = 1};
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "record 1, field 'b'"));
  options.format = DDB_TEXT_NDJSON;
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("{\"b\": null}\n{\"b\": 1.0}\n{\"b\": null}\n{\"b\": true}\n");
  options.skip_missing = true;
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("{\"b\": null}\n{\"b\": 1.0}\n{}\n{\"b\": true}\n");
  const ddb_str odd[] = {DDB_STR("$type"), DDB_STR("id")};
  options = (ddb_export_options){
      .format = DDB_TEXT_NDJSON, .columns = odd, .column_count = 2, .skip_missing = true};
  assert_ok(export_table(db, "t", &options, NULL));
#define PAIR(key) "{\"$type\": \"dict\", \"value\": [[\"id\", " key "]]}\n"
  assert_target(PAIR("1") PAIR("2") PAIR("3") PAIR("4"));
#undef PAIR
  options = (ddb_export_options){0};
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  options.format = (ddb_text_format)7;
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  ddb_db_release(db);
}

static void test_what_an_encoding_lacks(void **state) {
  (void)state;
  const ddb_str columns[] = {DDB_STR("id"), DDB_STR("a")};
  ddb_export_options options = {.columns = columns, .column_count = 2, .encoding = "ISO-8859-1"};
  ddb_error err;
  ddb_db *db = storage_db();
  ddb_table *table = storage_table(db, "t", NULL);
  INSERT(table, FIELD("a", storage_str("\xc3\xa9")));
  assert_ok(export_table(db, "t", &options, NULL));
  assert_target("id,a\r\n1,\xe9\r\n");
  INSERT(table, FIELD("a", storage_str("\xe2\x82\xac")));
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "record 2, field 'a'"));
  assert_non_null(strstr(err.message, "ISO-8859-1"));
  options.format = DDB_TEXT_NDJSON;
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "record 2: "));
  options.format = DDB_TEXT_CSV;
  assert_target("id,a\r\n1,\xe9\r\n");
  options.encoding = NULL;
  INSERT(table, FIELD("a", storage_str("\xed\xa0\x80")));
  assert_int_equal(export_table(db, "t", &options, &err), DDB_ERR_INVALID);
  assert_non_null(strstr(err.message, "record 3, field 'a'"));
  assert_target("id,a\r\n1,\xe9\r\n");
  ddb_table_release(table);
  ddb_db_release(db);
}

/* ---- Failures ----------------------------------------------------------------------------- */

static const char sample_csv[] = "id,a,b\r\n1,\"x\"\"y\",1.5\r\n2,,\"[1, 2]\"\r\n3,z,-4\r\n";
static const char sample_lines[] =
    "{\"id\": 1, \"a\": [1, {\"b\": \"c\"}]}\n{\"id\": 2, \"a\": {\"$type\": \"set\", \"value\": "
    "[1]}}\n{\"b\": 1e300}\n";

static void every_allocation(const ddb_import_options *options, const char *text) {
  long n = 1;
  for (;; n++) {
    ddb_error err = {0};
    ddb_db *db = storage_db();
    uint64_t bytes = ddb_process_memory();
    storage_write(storage_other, text, strlen(text));
    support_allocator_fail(n);
    ddb_status status = ddb_db_import(db, storage_other, DDB_STR("t"), options, NULL, &err);
    bool failed = support_allocator_failed();
    if (status != DDB_OK) {
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_false(has_table(db));
      assert_int_equal(ddb_process_memory(), bytes);
    }
    ddb_db_release(db);
    if (!failed) {
      assert_ok(status);
      break;
    }
  }
  assert_true(n > 10);
}

static void test_no_memory_to_import(void **state) {
  (void)state;
  ddb_import_options options = csv_in();
  every_allocation(&options, sample_csv);
  options.encoding = "ISO-8859-1";
  every_allocation(&options, sample_csv);
  const ddb_schema_field fields[] = {{.name = DDB_STR("id"), .types = DDB_TYPE(DDB_INT)},
                                     {.name = DDB_STR("a"), .types = DDB_TYPE(DDB_LIST)}};
  const ddb_table_options table = {.schema = fields, .schema_count = 2};
  options = csv_in();
  options.table = &table;
  options.skip_validation = true;
  every_allocation(&options, "id,a\n1,[5]\n2,[5\n3,\"[[1, {}], 2]\"\n");
  options = (ddb_import_options){.format = DDB_TEXT_NDJSON};
  every_allocation(&options, sample_lines);
}

static void test_no_memory_to_export(void **state) {
  (void)state;
  const ddb_str columns[] = {DDB_STR("id"), DDB_STR("v"), DDB_STR("w")};
  ddb_db *db = storage_sample();
  uint64_t bytes = ddb_process_memory();
  for (int format = DDB_TEXT_CSV; format <= DDB_TEXT_NDJSON; format++) {
    ddb_export_options options = {.format = (ddb_text_format)format,
                                  .columns = columns,
                                  .column_count = 3,
                                  .null_text = DDB_STR("null")};
    for (long n = 1;; n++) {
      storage_write(storage_target, "old", 3);
      support_allocator_fail(n);
      ddb_status status = export_table(db, "values", &options, NULL);
      if (!support_allocator_failed()) {
        assert_ok(status);
        assert_true(n > 5);
        break;
      }
      assert_int_equal(status, DDB_ERR_NOMEM);
      assert_target("old");
      assert_int_equal(ddb_process_memory(), bytes);
    }
  }
  ddb_db_release(db);
}

#ifdef DDB_TESTING
static void test_every_system_call_fails(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EINTR, DDB__SYS_SHORT};
  const ddb_str columns[] = {DDB_STR("id"), DDB_STR("a")};
  ddb_export_options options = {.columns = columns, .column_count = 2};
  ddb_import_options in = csv_in();
  ddb_db *db = odd_texts();
  for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
    bool untouched = false;
    for (uint64_t n = 1; !untouched; n++) {
      ddb_error err = {0};
      storage_write(storage_target, "old", 3);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = export_table(db, "t", &options, &err);
      untouched = ddb__test_sys_failed() == DDB__SYS_COUNT;
      ddb__test_sys_fail(0, 0, false);
      if (status != DDB_OK && !strstr(err.message, "sync the directory")) {
        assert_int_equal(status, DDB_ERR_IO);
        assert_int_equal(err.os_error, errors[e]);
        assert_target("old");
      }
    }
    untouched = false;
    for (uint64_t n = 1; !untouched; n++) {
      ddb_error err = {0};
      ddb_db *other = storage_db();
      storage_write(storage_other, sample_csv, sizeof sample_csv - 1);
      ddb__test_sys_fail(n, errors[e], false);
      ddb_status status = ddb_db_import(other, storage_other, DDB_STR("t"), &in, NULL, &err);
      untouched = ddb__test_sys_failed() == DDB__SYS_COUNT;
      ddb__test_sys_fail(0, 0, false);
      assert_int_equal(has_table(other), status == DDB_OK);
      assert_true(status == DDB_OK || status == DDB_ERR_IO);
      ddb_db_release(other);
    }
  }
  ddb_db_release(db);
}
#endif

/* Every byte replaced, every cut: a table or an error, never a part of a table. */
static void test_damage(void **state) {
  (void)state;
  uint64_t seed = support_seed("text damage");
  const char *const texts[] = {sample_csv, sample_lines};
  for (int format = DDB_TEXT_CSV; format <= DDB_TEXT_NDJSON; format++) {
    ddb_import_options options = {.format = (ddb_text_format)format};
    size_t size = strlen(texts[format]);
    char text[300];
    for (size_t i = 0; i < 4 * size; i++) {
      memcpy(text, texts[format], size);
      size_t kept = i < size ? i : size;
      if (i >= size) {
        text[i % size] = (char)support_random(&seed);
      }
      ddb_db *db = storage_db();
      ddb_error err = {0};
      ddb_status status = import_text(db, text, kept, &options, &err);
      assert_int_equal(has_table(db), status == DDB_OK);
      if (status != DDB_OK) {
        assert_non_null(strstr(err.message, storage_other));
      }
      ddb_db_release(db);
    }
  }
}

static int stop_at(void *context, uint64_t done, uint64_t total) {
  (void)total;
  return done >= *(uint64_t *)context;
}

static void test_progress_stops(void **state) {
  (void)state;
  uint64_t limit = 0;
  ddb_db *db = storage_db();
  ddb_import_options options = csv_in();
  options.progress = stop_at;
  options.context = &limit;
  assert_int_equal(import_text(db, sample_csv, sizeof sample_csv - 1, &options, NULL),
                   DDB_ERR_INTERRUPTED);
  assert_false(has_table(db));
  ddb_db_release(db);
  db = odd_texts();
  ddb_export_options out = {.format = DDB_TEXT_NDJSON, .progress = stop_at, .context = &limit};
  storage_write(storage_target, "old", 3);
  assert_int_equal(export_table(db, "t", &out, NULL), DDB_ERR_INTERRUPTED);
  assert_target("old");
  ddb_db_release(db);
}

/* Nobody sees a table before it is whole, snapshots that were taken meanwhile do not see it at all. */
static int look(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  ddb_db *db = context;
  ddb_snapshot *snapshot;
  ddb_table **tables;
  size_t count;
  assert_false(has_table(db));
  assert_ok(ddb_snapshot_open(db, &snapshot, NULL));
  assert_ok(ddb_snapshot_tables(snapshot, &tables, &count, NULL));
  assert_int_equal(count, 0);
  ddb_tables_free(tables, count);
  ddb_snapshot_close(snapshot);
  return 0;
}

static void test_the_table_appears_whole(void **state) {
  (void)state;
  static char text[200000];
  size_t size = 0;
  size += (size_t)snprintf(text, sizeof text, "id\n");
  for (int i = 1; i <= 20000; i++) {
    size += (size_t)snprintf(text + size, sizeof text - size, "%d\n", i);
  }
  ddb_db *db = storage_db();
  ddb_import_options options = csv_in();
  options.progress = look;
  options.context = db;
  assert_ok(import_text(db, text, size, &options, NULL));
  assert_true(has_table(db));
  assert_int_equal(import_text(db, text, size, &options, NULL), DDB_ERR_DUPLICATE_TABLE);
  ddb_db_release(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cells),
      cmocka_unit_test(test_lines),
      cmocka_unit_test(test_schemas),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_export),
      cmocka_unit_test(test_what_an_encoding_lacks),
      cmocka_unit_test(test_no_memory_to_import),
      cmocka_unit_test(test_no_memory_to_export),
#ifdef DDB_TESTING
      cmocka_unit_test(test_every_system_call_fails),
#endif
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_progress_stops),
      cmocka_unit_test(test_the_table_appears_whole),
  };
  support_allocator_install();
  return cmocka_run_group_tests(tests, storage_setup, storage_teardown);
}
