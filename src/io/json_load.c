/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_load.c - a JSON file as a new database: the file's frame.
 *
 *   file --64 KiB--> reader --tokens--> tape --values--> batch of records --> table
 *
 * Invariants
 *   1. A file with the mark "format" (its first key) must have a version that we know and a
 *      checksum, its last key, that holds. A file without it must be of the original layout and
 *      nothing else: damage to the mark cannot turn a marked file into an unmarked one that loads.
 *   2. On every error the half-built database is released; nothing is left of it.
 *   3. Memory: the database, one batch, the largest record twice.
 * Locks: none of our own; nobody else has the database yet.
 */
#include "io/json_load.h"

#include "base/status.h"
#include "io/try.h"
#include "store/text.h"

/* ---- Input -------------------------------------------------------------------------------- */

static ddb_status fill(void *context, char *buffer, size_t capacity, size_t *size, ddb_error *err) {
  ddb__loader *loader = context;
  DDB__TRY(ddb__file_read(&loader->file, buffer, capacity, size, err));
  uint64_t total = loader->progress.total;
  loader->done += *size;
  loader->done = total && loader->done > total ? total : loader->done;
  return ddb__layout_tell(&loader->progress, loader->done, false, err);
}

static ddb_status fail(const ddb__loader *loader, const char *problem) {
  return ddb__json_fail(&loader->reader, loader->reader.token_offset, "%s", problem);
}

/* ---- The frame ---------------------------------------------------------------------------- */

static bool key_is(const ddb__loader *loader, const char *name) {
  return ddb__text_equal(ddb__json_token_text(&loader->reader), ddb_str_from(name));
}

/* {"name": "dictdb", "version": 1} */
static ddb_status read_format(ddb__loader *loader) {
  uint64_t offset = loader->reader.token_offset;
  DDB__TRY(ddb__json_next(&loader->reader));
  loader->tape.count = 0;
  DDB__TRY(ddb__json_tape_read(&loader->tape, &loader->reader));
  size_t name = ddb__json_table_member(loader, 0, "name");
  size_t version = ddb__json_table_member(loader, 0, "version");
  ddb_str text = {NULL, 0};
  if (!name || !version || loader->tape.nodes[version].kind != DDB_INT ||
      ddb__json_decode_str(&loader->decoder, name, "a format's name", &text) != DDB_OK ||
      !ddb__text_equal(text, DDB_STR(DDB__LAYOUT_NAME))) {
    return ddb__json_fail(&loader->reader, offset, "not a DictDB file");
  }
  int64_t number = loader->tape.nodes[version].as.integer;
  if (number != DDB__LAYOUT_VERSION) {
    return ddb__json_fail(&loader->reader, offset,
                          "the file has format version %lld, this library reads version %d",
                          (long long)number, DDB__LAYOUT_VERSION);
  }
  loader->marked = true;
  loader->decoder.typed = true;
  return DDB_OK;
}

static ddb_status read_tables(ddb__loader *loader) {
  ddb__json_reader *reader = &loader->reader;
  DDB__TRY(ddb__json_next(reader));
  if (reader->token != DDB__JSON_OBJECT) {
    return fail(loader, "\"tables\" is not an object");
  }
  for (;;) {
    reader->text_size = 0;
    DDB__TRY(ddb__json_next(reader));
    if (reader->token == DDB__JSON_OBJECT_END) {
      return DDB_OK;
    }
    DDB__TRY(ddb__json_table_load(loader));
  }
}

static ddb_status read_checksum(ddb__loader *loader) {
  char expected[DDB__CHECKSUM_TEXT_SIZE];
  ddb__json_reader *reader = &loader->reader;
  ddb__json_reader_sum(reader);
  ddb__checksum_text(&loader->checksum, expected);
  DDB__TRY(ddb__json_next(reader));
  if (reader->token != DDB__JSON_STRING ||
      !ddb__text_equal(ddb__json_token_text(reader), (ddb_str){expected, sizeof expected})) {
    return fail(loader, "the checksum does not hold: the file is damaged");
  }
  DDB__TRY(ddb__json_next(reader));
  return reader->token == DDB__JSON_OBJECT_END
             ? DDB_OK
             : fail(loader, "something stands behind the checksum");
}

/* The members of the outermost object: *done when it has ended. */
static ddb_status read_member(ddb__loader *loader, bool first, bool *has_tables, bool *done) {
  ddb__json_reader *reader = &loader->reader;
  reader->text_size = 0;
  DDB__TRY(ddb__json_next(reader));
  *done = reader->token == DDB__JSON_OBJECT_END;
  if (*done) {
    return loader->marked ? fail(loader, "there is no checksum") : DDB_OK;
  }
  if (first && key_is(loader, "format")) {
    return read_format(loader);
  }
  if (!*has_tables && key_is(loader, "tables")) {
    *has_tables = true;
    return read_tables(loader);
  }
  if (loader->marked && *has_tables && key_is(loader, "checksum")) {
    *done = true;
    return read_checksum(loader);
  }
  ddb_str key = ddb__json_token_text(reader);
  return ddb__json_fail(reader, reader->token_offset, "unexpected key '%.*s'", DDB__STR_ARG(key));
}

static ddb_status read_file(ddb__loader *loader) {
  ddb__json_reader *reader = &loader->reader;
  bool has_tables = false;
  bool done = false;
  DDB__TRY(ddb__json_next(reader));
  if (reader->token != DDB__JSON_OBJECT) {
    return fail(loader, "not a DictDB file: it is not an object");
  }
  for (bool first = true; !done; first = false) {
    DDB__TRY(read_member(loader, first, &has_tables, &done));
  }
  if (!has_tables) {
    return fail(loader, "not a DictDB file: there are no tables");
  }
  DDB__TRY(ddb__json_next(reader)); /* nothing but the end can follow */
  loader->done = loader->progress.total;
  return ddb__layout_tell(&loader->progress, loader->done, true, loader->err);
}

/* ---- Life --------------------------------------------------------------------------------- */

static ddb_status init(ddb__loader *loader, const char *path) {
  ddb_error *err = loader->err;
  ddb__checksum_start(&loader->checksum);
  loader->decoder =
      (ddb__json_decoder){.tape = &loader->tape, .reader = &loader->reader, .err = err};
  DDB__TRY(ddb__file_open(&loader->file, path, err));
  loader->progress.total = loader->file.size;
  DDB__TRY(ddb__json_reader_init(&loader->reader, fill, loader, &loader->checksum, err));
  DDB__TRY(ddb__fill_init(&loader->fill, err));
  loader->maker.decoder = &loader->decoder;
  loader->maker.fill = &loader->fill;
  DDB__TRY(ddb_builder_new(&loader->defaults, err));
  return ddb_db_new(&loader->db, err);
}

static void fini(ddb__loader *loader) {
  ddb__json_maker_fini(&loader->maker);
  ddb__fill_fini(&loader->fill);
  ddb_builder_free(loader->defaults);
  ddb__json_decoder_fini(&loader->decoder);
  ddb__json_tape_fini(&loader->tape);
  ddb__json_reader_fini(&loader->reader);
  ddb__file_close(&loader->file);
}

ddb_status ddb__json_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                          ddb_error *err) {
  ddb_error own = {0};
  ddb__loader loader = {.file = {.fd = -1, .directory = -1},
                        .progress = {.call = progress, .context = context},
                        .err = &own};
  ddb_status status = init(&loader, path);
  if (status == DDB_OK) {
    status = read_file(&loader);
  }
  fini(&loader);
  if (status == DDB_OK) {
    *out = loader.db;
    return DDB_OK;
  }
  ddb_db_release(loader.db);
  if (err) {
    *err = own;
  }
  return status;
}

ddb_status ddb_db_load_json(const char *path, ddb_progress progress, void *context, ddb_db **out,
                            ddb_error *err) {
  ddb_error ignored;
  err = err ? err : &ignored;
  ddb_status status = ddb__json_load(path, progress, context, out, err);
  return status == DDB_ERR_CORRUPT ? ddb__file_name(err, path) : status;
}
