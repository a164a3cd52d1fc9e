/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dictdb.h - the whole contract of libdictdb, an embedded in-memory database of dict-like records
 * that threads share.
 *
 * The idea: writers build the next version of a table beside the current one and publish it with
 * one pointer store; readers pin a version and wait for nothing but another thread's explicit
 * write lock.
 *
 * Conventions
 *   - Fallible functions return ddb_status and take `ddb_error *err` last (may be NULL). Results go
 *     through out-pointers, written only on DDB_OK. A look-up that finds nothing is not an error.
 *   - Strings are ddb_str: UTF-8 bytes with a size; they may hold NUL and lone surrogates (encoded
 *     as Python's "surrogatepass" does). Nothing given to a function is kept: it is copied.
 *   - *get* borrows, *copy* returns something owned, *take* consumes; acquire/release count
 *     references; open/close are for resources.
 *   - Thread-safety levels, named per function group as CPython names them:
 *       atomic      any threads, same object; each call happens at one instant
 *       shared      any threads, same object; a call may see another half way (never corrupt)
 *       distinct    different threads may use different objects
 *   - A library never prints, never aborts, never calls back under one of its locks (the exceptions
 *     are the allocator and the test hooks).
 */
#ifndef DICTDB_H
#define DICTDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define DDB_API
#else
#define DDB_API __attribute__((visibility("default")))
#endif

#define DDB_VERSION_MAJOR 0
#define DDB_VERSION_MINOR 1
#define DDB_VERSION_PATCH 0
#define DDB_VERSION       "0.1.0"

/* Limits. A value or record over them is refused with DDB_ERR_LIMIT. */
#define DDB_DEPTH_MAX             200 /* nesting of containers, conditions and expressions */
#define DDB_RECORD_SIZE_MAX       0x7fffffffu /* bytes of one encoded record */
#define DDB_FIELD_COUNT_MAX       65535u      /* fields of one record */
#define DDB_INDEX_FIELD_COUNT_MAX 8u          /* fields of one index */
#define DDB_INDEX_STEP_COUNT_MAX  32u         /* steps into one of them */

/* ---- Status codes and errors -------------------------------------------------------------- */

/* X(code, text, Python exception). The one table of all codes. */
#define DDB_STATUS_MAP(X)                                                                          \
  X(OK, "ok", "")                                                                                  \
  X(ERR_NOMEM, "out of memory", "MemoryError")                                                     \
  X(ERR_INVALID, "invalid argument", "InvalidArgumentError")                                       \
  X(ERR_TYPE, "unsupported type", "UnsupportedTypeError")                                          \
  X(ERR_KEY, "bad primary key", "PrimaryKeyError")                                                 \
  X(ERR_DUPLICATE_KEY, "duplicate key", "DuplicateKeyError")                                       \
  X(ERR_DUPLICATE_TABLE, "table exists already", "DuplicateTableError")                            \
  X(ERR_DUPLICATE_INDEX, "index exists already", "DuplicateIndexError")                            \
  X(ERR_TABLE_NOT_FOUND, "no such table", "TableNotFoundError")                                    \
  X(ERR_RECORD_NOT_FOUND, "no such record", "RecordNotFoundError")                                 \
  X(ERR_MULTIPLE_RECORDS, "several records", "MultipleRecordsError")                               \
  X(ERR_INDEX_NOT_FOUND, "no such index", "IndexNotFoundError")                                    \
  X(ERR_FIELD_NOT_FOUND, "no such field", "UnknownFieldError")                                     \
  X(ERR_SCHEMA, "schema validation failed", "SchemaValidationError")                               \
  X(ERR_DEADLOCK, "deadlock", "DeadlockError")                                                     \
  X(ERR_TIMEOUT, "timed out", "LockTimeoutError")                                                  \
  X(ERR_INTERRUPTED, "interrupted", "InterruptedWaitError")                                        \
  X(ERR_NOT_OWNER, "lock not held by this thread", "LockOwnershipError")                           \
  X(ERR_FORKED, "not usable in a forked child", "ForkedProcessError")                              \
  X(ERR_LIMIT, "limit exceeded", "LimitError")                                                     \
  X(ERR_CORRUPT, "damaged file", "CorruptFileError")                                               \
  X(ERR_IO, "input/output error", "StorageError")                                                  \
  X(ERR_IN_USE, "database in use", "DatabaseInUseError")                                           \
  X(ERR_READ_ONLY, "database is read-only", "ReadOnlyDatabaseError")

typedef enum ddb_status {
#define DDB_X(code, text, exception) DDB_##code,
  DDB_STATUS_MAP(DDB_X)
#undef DDB_X
      DDB_STATUS_COUNT
} ddb_status;

/*
 * What went wrong, in words that name the culprit. Fixed size, no ownership. Unused texts are "".
 * `offset` is the byte position of a parse error, else 0; `os_error` an errno value, else 0.
 */
typedef struct ddb_error {
  ddb_status status;
  int os_error;
  uint64_t offset;
  char table[64];
  char field[64];
  char expected[64];
  char given[64];
  char message[384];
} ddb_error;

DDB_API const char *ddb_status_name(ddb_status status);      /* "ERR_KEY"; static, never NULL */
DDB_API const char *ddb_status_text(ddb_status status);      /* "bad primary key" */
DDB_API const char *ddb_status_exception(ddb_status status); /* "PrimaryKeyError" */
DDB_API const char *ddb_version(void);

/* ---- Strings ------------------------------------------------------------------------------ */

typedef struct ddb_str {
  const char *data; /* not NUL-terminated */
  size_t size;      /* bytes */
} ddb_str;

#define DDB_STR(literal) ((ddb_str){(literal), sizeof(literal) - 1})

static inline ddb_str ddb_str_from(const char *text) {
  return (ddb_str){text, text ? strlen(text) : 0};
}

/* The name that was probably meant by one that is none of them, as messages suggest it ("did you
 * mean"): its index, or `count` when none is near. */
DDB_API size_t ddb_str_nearest(ddb_str name, const ddb_str *names, size_t count);

/* ---- Memory ------------------------------------------------------------------------------- */

/*
 * The allocator of the process. `allocate` returns NULL when there is no memory (the statement then
 * fails with DDB_ERR_NOMEM and nothing changes); memory must be aligned to 16 bytes. `release` gets
 * the size that was asked for. Both are called from any thread, also under internal locks: they
 * must not call libdictdb. Set it before any other call; not thread-safe; returns
 * DDB_ERR_INVALID once memory is in use. NULL restores malloc and free.
 */
typedef struct ddb_allocator {
  void *(*allocate)(void *context, size_t size);
  void (*release)(void *context, void *memory, size_t size);
  void *context;
} ddb_allocator;
DDB_API ddb_status ddb_allocator_set(const ddb_allocator *allocator, ddb_error *err);

/* Bytes asked of the allocator and not yet released. `old_bytes` is the part of `total_bytes` that
 * only superseded versions hold, `column_bytes` that of the columns kept for scans, whose versions
 * it is. Atomic, but a running statement's bytes are included. */
typedef struct ddb_memory {
  uint64_t total_bytes;
  uint64_t old_bytes;
  uint64_t column_bytes;
} ddb_memory;

/* Everything that the library holds in this process. */
DDB_API uint64_t ddb_process_memory(void);

/* ---- Waiting ------------------------------------------------------------------------------ */

/*
 * Called around every wait for a lock that really blocks, with no internal mutex held: `begin`
 * before it (a language binding lets other threads run), `end` after it with begin's result, `poll`
 * about every 50 ms in between (non-zero ends the wait with DDB_ERR_INTERRUPTED). `refuse` is asked
 * before begin: non-zero, and the wait is not begun (DDB_ERR_INTERRUPTED). Any may be NULL.
 * Process-wide; set once, before threads start.
 */
typedef struct ddb_rwlock ddb_rwlock;
typedef struct ddb_wait_hooks {
  void *(*begin)(void *context);
  int (*poll)(void *context, void *state); /* state: what begin returned */
  void (*end)(void *context, void *state);
  void *context;
  int (*refuse)(void *context, const ddb_rwlock *lock);
} ddb_wait_hooks;
DDB_API void ddb_wait_hooks_set(const ddb_wait_hooks *hooks);

/* ---- RWLock ------------------------------------------------------------------------------- */

/*
 * Many readers or one writer; phase-fair (a reader waits for one writer at most, a writer for one
 * phase of readers per writer before it); re-entrant in both modes; owned by OS threads. A thread
 * that holds the read side may acquire the write side (an upgrade: it waits for the other readers
 * and admits no new ones; a second upgrader gets DDB_ERR_DEADLOCK). A thread that holds the write
 * side may acquire the read side. A wait that would close a cycle of waiting threads returns
 * DDB_ERR_DEADLOCK, naming threads and locks. In a forked child every acquire returns
 * DDB_ERR_FORKED for locks made before the fork. All functions: atomic.
 */

#define DDB_WAIT_FOREVER (-1LL)

typedef struct ddb_rwlock_stats {
  uint64_t read_count;    /* acquisitions of the read side, re-entrant ones included */
  uint64_t write_count;   /* acquisitions of the write side; each statement that writes is one */
  uint64_t wait_count;    /* acquisitions that had to wait */
  uint64_t wait_ns;       /* sum of the waits */
  uint64_t read_hold_ns;  /* sum over threads of outermost acquire to release */
  uint64_t write_hold_ns; /* the same for explicit write locks */
} ddb_rwlock_stats;

/* `name` is for messages; at most 63 bytes are kept. */
DDB_API ddb_status ddb_rwlock_new(ddb_str name, ddb_rwlock **out, ddb_error *err);
/* Only when nobody holds it or waits for it. NULL is allowed. */
DDB_API void ddb_rwlock_free(ddb_rwlock *lock);
/* timeout_ns: DDB_WAIT_FOREVER, 0 (try), or nanoseconds. Errors: TIMEOUT (also for a failed try),
 * DEADLOCK, INTERRUPTED, FORKED, NOMEM. On error the lock is as it was. */
DDB_API ddb_status ddb_rwlock_acquire_read(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err);
DDB_API ddb_status ddb_rwlock_acquire_write(ddb_rwlock *lock, int64_t timeout_ns, ddb_error *err);
/* NOT_OWNER when this thread does not hold that side. */
DDB_API ddb_status ddb_rwlock_release_read(ddb_rwlock *lock, ddb_error *err);
DDB_API ddb_status ddb_rwlock_release_write(ddb_rwlock *lock, ddb_error *err);
/* Does this thread hold either side? */
DDB_API bool ddb_rwlock_is_held(const ddb_rwlock *lock);
DDB_API void ddb_rwlock_stats_get(const ddb_rwlock *lock, ddb_rwlock_stats *out);

/* ---- Values ------------------------------------------------------------------------------- */

/*
 * Kinds carry Python's equality: True == 1 == 1.0 == Decimal(1); list != tuple; set == frozenset;
 * NaN equals nothing. ddb_value_compare is the total order of DictDB over all values: missing and
 * null; booleans and numbers, exact, NaN last; str by code points; bytes; date, datetime (naive,
 * then aware by instant), time, timedelta; list; dict; then the others by name.
 */
typedef enum ddb_kind {
  DDB_MISSING = 0, /* only as a result: the record has no such field */
  DDB_NULL,
  DDB_BOOL,
  DDB_INT,      /* int64 */
  DDB_BIGINT,   /* integers outside int64: sign byte (0 or 1), then magnitude, little-endian */
  DDB_FLOAT,    /* IEEE double */
  DDB_DECIMAL,  /* text as Python's str(Decimal): "-1.50", "1E+3", "NaN", "sNaN12", "Infinity" */
  DDB_STR_KIND, /* UTF-8, lone surrogates kept */
  DDB_BYTES,
  DDB_DATE,      /* int64: proleptic Gregorian ordinal, 1 is 0001-01-01 */
  DDB_DATETIME,  /* ddb_temporal */
  DDB_TIME,      /* ddb_temporal */
  DDB_TIMEDELTA, /* ddb_duration */
  DDB_LIST,
  DDB_DICT, /* items alternate key, value, in insertion order */
  DDB_TUPLE,
  DDB_SET,
  DDB_FROZENSET,
  DDB_UUID, /* 16 bytes, big-endian */
  DDB_KIND_COUNT
} ddb_kind;

/* Largest unit first. `zone` follows the struct: zone_size bytes. */
typedef struct ddb_temporal {
  int64_t micros;        /* wall clock: since 0001-01-01T00:00 (datetime) or midnight (time) */
  int64_t offset_micros; /* from UTC; DDB_OFFSET_NONE: naive, or a time in an IANA zone */
  uint8_t fold;
  uint8_t zone_kind; /* DDB_ZONE_... */
  uint16_t zone_size;
  uint32_t reserved; /* 0 */
} ddb_temporal;
#define DDB_OFFSET_NONE INT64_MIN
enum {
  DDB_ZONE_NONE = 0,  /* naive */
  DDB_ZONE_FIXED = 1, /* fixed offset; zone is its name or "" */
  DDB_ZONE_IANA = 2   /* zone is a key such as "Europe/Paris" */
};

typedef struct ddb_duration {
  int64_t days;
  int64_t micros; /* 0 <= micros < 86,400,000,000 */
} ddb_duration;

/*
 * One value, 16 bytes. Variable-size kinds point to bytes owned by somebody else: the record or the
 * builder the value was read from, or the caller. Containers point to an encoded block (see
 * ddb_value_item) and are made by a ddb_builder only.
 */
typedef struct ddb_value {
  uint8_t kind; /* ddb_kind */
  uint8_t reserved[3];
  uint32_t size; /* bytes at as.data, for kinds that have them */
  union {
    bool boolean;
    int64_t integer; /* INT, DATE */
    double real;
    const void *data;
  } as;
} ddb_value;

/* A value as two whole words: initialised member by member it is copied with a stall, which costs
 * more than all the rest of an append. payload: what `as` holds, its bytes. */
static inline ddb_value ddb_value_make(uint8_t kind, uint32_t size, uint64_t payload) {
  ddb_value value;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  uint64_t head = (uint64_t)kind | (uint64_t)size << 32;
  memcpy(&value, &head, sizeof head);
#else
  memset(&value, 0, sizeof value);
  value.kind = kind;
  value.size = size;
#endif
  memcpy(&value.as, &payload, sizeof payload);
  return value;
}
static inline ddb_value ddb_null(void) {
  return ddb_value_make(DDB_NULL, 0, 0);
}
static inline ddb_value ddb_bool(bool boolean) {
  return ddb_value_make(DDB_BOOL, 0, boolean ? 1 : 0);
}
static inline ddb_value ddb_int(int64_t integer) {
  return ddb_value_make(DDB_INT, 0, (uint64_t)integer);
}
static inline ddb_value ddb_float(double real) {
  uint64_t payload;
  memcpy(&payload, &real, sizeof payload);
  return ddb_value_make(DDB_FLOAT, 0, payload);
}
/* text.size must be below 2^31. */
static inline ddb_value ddb_text(ddb_str text) {
  return ddb_value_make(DDB_STR_KIND, (uint32_t)text.size, (uint64_t)(uintptr_t)text.data);
}

/* Values are immutable: all functions here are atomic and allocate nothing, but for _format. */
DDB_API bool ddb_value_equal(const ddb_value *a, const ddb_value *b);  /* Python's == */
DDB_API int ddb_value_compare(const ddb_value *a, const ddb_value *b); /* total order: -1, 0, 1 */
/* True and *order (-1, 0, 1) when `<` is defined between the two as a condition (rule of comparable
 * kinds: numbers and booleans; str; bytes; dates; datetimes both naive or both aware; times the
 * same; timedeltas). False for NaN. */
DDB_API bool ddb_value_order(const ddb_value *a, const ddb_value *b, int *order);
/* Equal values (in either sense) hash the same. Stable within a process only. */
DDB_API uint64_t ddb_value_hash(const ddb_value *value);
/* Containers: number of items (a dict has two per entry), else 0. */
DDB_API size_t ddb_value_item_count(const ddb_value *value);
/* The index-th item, borrowed from the container; index < ddb_value_item_count. */
DDB_API ddb_value ddb_value_item(const ddb_value *value, size_t index);
/* Text like Python's repr(), at most `capacity` bytes with the NUL, "..." at the end when cut.
 * Returns the bytes the whole text needs, without NUL. */
DDB_API size_t ddb_value_format(const ddb_value *value, char *buffer, size_t capacity);
DDB_API const char *ddb_kind_name(ddb_kind kind); /* "int", "str", "datetime", ... */

/* ---- Builders: values and records on their way in ----------------------------------------- */

/*
 * A builder converts the caller's data to private memory before any lock is taken. It holds a
 * sequence of top-level items: values (ddb_builder_value_at) or records of one table. Usage: append
 * values; containers and records are opened with their exact number of items, which follow, and
 * closed with _end. After an error the item under construction is dropped and the builder can be
 * used again. Thread-safety: distinct.
 */
typedef struct ddb_builder ddb_builder;
typedef struct ddb_table ddb_table;
typedef struct ddb_shape ddb_shape;
typedef struct ddb_record ddb_record;

DDB_API ddb_status ddb_builder_new(ddb_builder **out, ddb_error *err);
DDB_API void ddb_builder_free(ddb_builder *builder);  /* NULL is allowed */
DDB_API void ddb_builder_clear(ddb_builder *builder); /* keeps its memory, up to 1 MiB */
/* Finished top-level items. */
DDB_API size_t ddb_builder_count(const ddb_builder *builder);
/* A finished top-level value, borrowed until the next append or clear. */
DDB_API ddb_value ddb_builder_value_at(const ddb_builder *builder, size_t index);
/* Appends any value; containers are copied. Errors: NOMEM, LIMIT, INVALID (malformed: a DECIMAL
 * that is not a number, a STR_KIND that is not UTF-8, a BIGINT in int64's range is stored as INT). */
DDB_API ddb_status ddb_builder_append(ddb_builder *builder, const ddb_value *value, ddb_error *err);
/* kind: LIST, TUPLE, SET, FROZENSET or DICT. item_count: exact; for a DICT, twice its length.
 * Keys of dicts and items of sets must be hashable: checked at _end (TYPE). */
DDB_API ddb_status ddb_builder_begin(ddb_builder *builder, ddb_kind kind, size_t item_count,
                                     ddb_error *err);
DDB_API ddb_status ddb_builder_end(ddb_builder *builder, ddb_error *err);
/* Drops what was opened and not finished. */
DDB_API void ddb_builder_cancel(ddb_builder *builder);

/*
 * The ordered field names of a record, interned in its table and valid as long as the table is
 * referenced. RECORD: a whole record, for insert and upsert; the primary key may be absent (it is
 * then assigned), a schema's defaults are filled in and its required fields checked. CHANGES: some
 * fields, for update. Errors: INVALID (a name twice), SCHEMA (unknown or missing field), KEY
 * (the primary key among CHANGES), LIMIT, NOMEM. Atomic.
 */
typedef enum ddb_shape_kind { DDB_SHAPE_RECORD, DDB_SHAPE_CHANGES } ddb_shape_kind;
DDB_API ddb_status ddb_table_shape(ddb_table *table, ddb_shape_kind kind, const ddb_str *names,
                                   size_t name_count, const ddb_shape **out, ddb_error *err);
/* Opens a record: as many values follow as the shape was asked for with names, in that order; then
 * ddb_builder_end, which checks the schema (unless validate is false). */
DDB_API ddb_status ddb_builder_record_begin(ddb_builder *builder, const ddb_shape *shape,
                                            bool validate, ddb_error *err);

/* ---- Expressions -------------------------------------------------------------------------- */

/*
 * What is computed from one record: a field, a step into a dict or a list, a literal, a sum, a
 * length. An immutable tree; reference-counted, atomic. Functions take new references to their operands.
 * Evaluating never fails: a field or a step that is not there is missing, and what cannot be
 * computed (of missing, null, or values of another kind) is null.
 */
typedef struct ddb_expr ddb_expr;

DDB_API ddb_status ddb_expr_field(ddb_str name, ddb_expr **out, ddb_error *err);
/* The value of a key in a dict, or the item at an index of a list or tuple (negative: from the
 * end). Missing when there is none, and in anything else. Errors: TYPE (an unhashable key). */
DDB_API ddb_status ddb_expr_item(ddb_expr *container, const ddb_value *key, ddb_expr **out,
                                 ddb_error *err);
DDB_API ddb_status ddb_expr_value(const ddb_value *value, ddb_expr **out, ddb_error *err);
typedef enum ddb_arith {
  DDB_ARITH_ADD,
  DDB_ARITH_SUB,
  DDB_ARITH_MUL,
  DDB_ARITH_DIV,
  DDB_ARITH_FLOORDIV,
  DDB_ARITH_MOD,
  DDB_ARITH_NEG /* of one operand: right is NULL */
} ddb_arith;
/* As Python computes: int and bool exactly, of any size (/ gives a float); int with float as
 * floats; Decimal, also with int, in Python's default context (28 digits). Null: no numbers,
 * Decimal with float, division by zero, what raises in Python, and numbers of more than 4,096
 * bytes or 4,000 digits. Errors: TYPE (a literal that is no number). */
DDB_API ddb_status ddb_expr_arith(ddb_arith op, ddb_expr *left, ddb_expr *right, ddb_expr **out,
                                  ddb_error *err);
/* Code points of a str, bytes of bytes, items of a list, tuple or set, entries of a dict. */
DDB_API ddb_status ddb_expr_len(ddb_expr *of, ddb_expr **out, ddb_error *err);
/* A field, or what lies inside of it: the steps are keys of dicts and indexes of lists and tuples, as
 * of ddb_expr_item. Borrowed. */
typedef struct ddb_path {
  ddb_str field;
  const ddb_value *steps;
  size_t step_count; /* 0: the field */
} ddb_path;
/* Is the expression a field, or a path into one? Then *out is it, its steps in the room given, both
 * borrowed from the expression. False also when it has more steps than there is room for. */
DDB_API bool ddb_expr_path(const ddb_expr *expr, ddb_value *steps, size_t capacity, ddb_path *out);
DDB_API ddb_expr *ddb_expr_acquire(ddb_expr *expr);
DDB_API void ddb_expr_release(ddb_expr *expr); /* NULL is allowed */
/* As ddb_value_format: "address['city']", "(price + tax) * quantity", "tags.len_()". */
DDB_API size_t ddb_expr_format(const ddb_expr *expr, char *buffer, size_t capacity);

/* ---- Conditions --------------------------------------------------------------------------- */

/*
 * An immutable tree over fields of a record; reference-counted, atomic. A missing field (or
 * expression) reads as null. ==, != and in follow ddb_value_equal; <, <=, >, >=, between
 * ddb_value_order. None of them fails on any record; only a search by a regex can be given up.
 */
typedef struct ddb_cond ddb_cond;

typedef enum ddb_op {
  DDB_OP_EQ,
  DDB_OP_NE,
  DDB_OP_LT,
  DDB_OP_LE,
  DDB_OP_GT,
  DDB_OP_GE,
  DDB_OP_STARTSWITH, /* of str and bytes; with a value of another kind: TYPE, or no match in _expr */
  DDB_OP_ENDSWITH,
  DDB_OP_CONTAINS /* substring of str and bytes; item of list, tuple, set; key of dict */
} ddb_op;

DDB_API ddb_status ddb_cond_compare(ddb_str field, ddb_op op, const ddb_value *value,
                                    ddb_cond **out, ddb_error *err);
DDB_API ddb_status ddb_cond_in(ddb_str field, const ddb_value *values, size_t value_count,
                               ddb_cond **out, ddb_error *err);
DDB_API ddb_status ddb_cond_between(ddb_str field, const ddb_value *low, const ddb_value *high,
                                    ddb_cond **out, ddb_error *err); /* both ends included */
DDB_API ddb_status ddb_cond_is_null(ddb_str field, ddb_cond **out, ddb_error *err);
/* The same over expressions; of two expressions, either may be a literal. An expression that is just
 * a field makes the same condition as its name does. */
DDB_API ddb_status ddb_cond_compare_expr(ddb_expr *left, ddb_op op, ddb_expr *right, ddb_cond **out,
                                         ddb_error *err);
DDB_API ddb_status ddb_cond_in_expr(ddb_expr *of, const ddb_value *values, size_t value_count,
                                    ddb_cond **out, ddb_error *err);
DDB_API ddb_status ddb_cond_between_expr(ddb_expr *of, const ddb_value *low, const ddb_value *high,
                                         ddb_cond **out, ddb_error *err);
DDB_API ddb_status ddb_cond_is_null_expr(ddb_expr *of, ddb_cond **out, ddb_error *err);
/* The value is there, even if it is null. */
DDB_API ddb_status ddb_cond_exists(ddb_expr *of, ddb_cond **out, ddb_error *err);
/* A list, tuple, set or dict (its keys) that holds one, or each, of the values. */
DDB_API ddb_status ddb_cond_has_any(ddb_expr *of, const ddb_value *values, size_t value_count,
                                    ddb_cond **out, ddb_error *err);
DDB_API ddb_status ddb_cond_has_all(ddb_expr *of, const ddb_value *values, size_t value_count,
                                    ddb_cond **out, ddb_error *err);
/* A str that is like the pattern as a whole: % stands for any characters, _ for one; after the
 * escape character ("": none) these and itself stand for themselves. INVALID, with the position. */
DDB_API ddb_status ddb_cond_like(ddb_expr *of, ddb_str pattern, ddb_str escape, bool ignore_case,
                                 ddb_cond **out, ddb_error *err);
/* A str that, both being case-folded as Unicode says, is (EQ), begins with, ends with or contains
 * the text. */
DDB_API ddb_status ddb_cond_compare_folded(ddb_expr *of, ddb_op op, ddb_str text, ddb_cond **out,
                                           ddb_error *err);
/* A str in which the regular expression of PCRE2 matches somewhere. Nothing matches a lone
 * surrogate. INVALID, with the position. A statement fails with LIMIT when a search needs more than
 * some ten million steps at one place, 64 MiB, or some seconds. */
#define DDB_REGEX_IGNORE_CASE 0x1u
#define DDB_REGEX_MULTILINE   0x2u  /* ^ and $ at each line */
#define DDB_REGEX_DOT_ALL     0x4u  /* . matches a newline too */
#define DDB_REGEX_VERBOSE     0x8u  /* blanks and comments in the pattern */
#define DDB_REGEX_ASCII       0x10u /* \w, \d, \s and \b for ASCII only */
#define DDB_REGEX_ALL         0x1fu
DDB_API ddb_status ddb_cond_matches(ddb_expr *of, ddb_str pattern, uint32_t flags, ddb_cond **out,
                                    ddb_error *err);
/* New references to the operands are taken. No operand: and is true, or is false. */
DDB_API ddb_status ddb_cond_and(ddb_cond *const *operands, size_t count, ddb_cond **out,
                                ddb_error *err);
DDB_API ddb_status ddb_cond_or(ddb_cond *const *operands, size_t count, ddb_cond **out,
                               ddb_error *err);
DDB_API ddb_status ddb_cond_not(ddb_cond *operand, ddb_cond **out, ddb_error *err);
DDB_API ddb_cond *ddb_cond_acquire(ddb_cond *cond);
DDB_API void ddb_cond_release(ddb_cond *cond); /* NULL is allowed */
/* Roughly how many values are compared to tell whether it holds for one record. MAX: it cannot be
 * foreseen, as with a regular expression. */
#define DDB_COND_WEIGHT_MAX UINT32_MAX
DDB_API uint32_t ddb_cond_weight(const ddb_cond *cond);
/* As ddb_value_format: "(age >= 18 & ~(name == 'Bob'))". */
DDB_API size_t ddb_cond_format(const ddb_cond *cond, char *buffer, size_t capacity);

/* ---- Databases and the catalogue ---------------------------------------------------------- */

typedef struct ddb_db ddb_db;

DDB_API ddb_status ddb_db_new(ddb_db **out, ddb_error *err);
/* Drops this reference; memory goes when the last table reference and snapshot is released. NULL is
 * allowed. */
DDB_API void ddb_db_release(ddb_db *db);
DDB_API ddb_db *ddb_db_acquire(ddb_db *db);
DDB_API void ddb_db_memory(const ddb_db *db, ddb_memory *out);

/* Types a schema can ask for: a bit per ddb_kind. */
#define DDB_TYPE(kind) (UINT32_C(1) << (kind))
#define DDB_TYPE_INT   (DDB_TYPE(DDB_INT) | DDB_TYPE(DDB_BIGINT))
#define DDB_TYPE_FLOAT (DDB_TYPE(DDB_FLOAT) | DDB_TYPE_INT) /* an int is taken for a float */

typedef struct ddb_schema_field {
  ddb_str name;
  uint32_t types;                 /* DDB_TYPE bits; with DDB_TYPE(DDB_NULL): nullable */
  const ddb_value *default_value; /* NULL: the field is required */
} ddb_schema_field;

typedef struct ddb_table_options {
  ddb_str primary_key;            /* {NULL, 0}: "id" */
  const ddb_schema_field *schema; /* NULL: none; any record is taken */
  size_t schema_count;            /* the key's field is added as int when it is not there */
} ddb_table_options;

/* Atomic. *out gets a reference. options may be NULL. Errors: DUPLICATE_TABLE, INVALID (an empty
 * name or key name, a field twice, a default of a wrong type), NOMEM. */
DDB_API ddb_status ddb_db_table_create(ddb_db *db, ddb_str name, const ddb_table_options *options,
                                       ddb_table **out, ddb_error *err);
/* Atomic. Every later call on the table gives TABLE_NOT_FOUND; snapshots still see it. Waits for
 * the table's writers; under the thread's own explicit write lock it shows to all at once. Errors: TABLE_NOT_FOUND and those of ddb_rwlock_acquire_write. */
DDB_API ddb_status ddb_db_table_drop(ddb_db *db, ddb_str name, ddb_error *err);
DDB_API ddb_status ddb_db_table_get(ddb_db *db, ddb_str name, ddb_table **out, ddb_error *err);
/* References to all tables of one instant, in order of creation; free with ddb_tables_free. */
DDB_API ddb_status ddb_db_tables(ddb_db *db, ddb_table ***out, size_t *count, ddb_error *err);
DDB_API void ddb_tables_free(ddb_table **tables, size_t count);

/* ---- Tables ------------------------------------------------------------------------------- */

DDB_API ddb_table *ddb_table_acquire(ddb_table *table);
DDB_API void ddb_table_release(ddb_table *table); /* NULL is allowed */
/* Borrowed from the table, constant. */
DDB_API ddb_str ddb_table_name(const ddb_table *table);
DDB_API ddb_str ddb_table_primary_key(const ddb_table *table);
/* Fields of the schema with the key's, borrowed; *count is 0 without a schema. */
DDB_API const ddb_schema_field *ddb_table_schema(const ddb_table *table, size_t *count);
/* The table's public lock. read_lock: holds writers off, so that every read sees one state.
 * write_lock: nobody else sees what is written until it is released. Lives with the table. */
DDB_API ddb_db *ddb_table_db(const ddb_table *table); /* its database */
DDB_API ddb_rwlock *ddb_table_lock(ddb_table *table);
DDB_API void ddb_table_memory(const ddb_table *table, ddb_memory *out);

/*
 * Columns. From the second scan of a field on, its values are kept packed beside the rows as long as
 * they fit in the table's budget of bytes; scans that find them are several times faster. They never
 * change an answer. The budget is AUTO at first, a quarter of the table's own bytes; 0 keeps none. When
 * it is full, fields that have not been scanned for lately give way to those that are.
 * Setting one that is smaller than what is kept drops all columns, by a statement that changes
 * nothing (errors: those of statements); what old versions hold goes with them. Atomic.
 */
#define DDB_COLUMN_BUDGET_AUTO UINT64_MAX
/* In bytes; of AUTO what it amounts to now. */
DDB_API uint64_t ddb_table_column_budget(const ddb_table *table);
DDB_API ddb_status ddb_table_column_budget_set(ddb_table *table, uint64_t bytes, ddb_error *err);

/*
 * Explicit write locks on several tables, in one global order whatever the order given; released
 * together, all that was written becoming visible at one instant. A table may appear once only.
 * `release` takes what `acquire` took, in any order. Errors: those of ddb_rwlock_acquire_write, and
 * INVALID; on error none is held.
 */
DDB_API ddb_status ddb_tables_write_lock(ddb_table *const *tables, size_t count, int64_t timeout_ns,
                                         ddb_error *err);
DDB_API ddb_status ddb_tables_write_unlock(ddb_table *const *tables, size_t count, ddb_error *err);

/*
 * Statements. Each is all or nothing and atomic; each takes the table's write side and may wait for
 * another thread's explicit lock. Common errors: NOMEM, TABLE_NOT_FOUND (dropped), FORKED, and
 * those of ddb_rwlock_acquire_write. Batches are builders of records made with this table's shapes.
 */

/* Inserts all records of the batch. keys: NULL, or room for one value per record: the key each
 * record got (undefined on error); variable-size keys borrow from the batch. Errors: DUPLICATE_KEY, KEY (NaN, null,
 * unhashable), LIMIT (automatic keys or sequence numbers used up). */
DDB_API ddb_status ddb_table_insert(ddb_table *table, ddb_builder *batch, ddb_value *keys,
                                    ddb_error *err);

typedef struct ddb_field {
  ddb_str name;
  ddb_value value;
} ddb_field;
/* One record without a builder: for C programs. key may be NULL; a variable-size key borrows from
 * `fields`. */
DDB_API ddb_status ddb_table_insert_fields(ddb_table *table, const ddb_field *fields, size_t count,
                                           ddb_value *key, ddb_error *err);

typedef enum ddb_conflict {
  DDB_CONFLICT_UPDATE,
  DDB_CONFLICT_IGNORE,
  DDB_CONFLICT_ERROR
} ddb_conflict;
typedef enum ddb_action { DDB_ACTION_INSERTED, DDB_ACTION_UPDATED, DDB_ACTION_IGNORED } ddb_action;
/* For each record of the batch: inserts it, or, when its key exists, merges its fields into the
 * record there (UPDATE), leaves it (IGNORE) or fails (ERROR). keys, actions: NULL or room. Keys of
 * records that were there borrow from the batch. With a schema, defaults count as fields given. */
DDB_API ddb_status ddb_table_upsert(ddb_table *table, ddb_builder *batch, ddb_conflict conflict,
                                    ddb_value *keys, ddb_action *actions, ddb_error *err);
/* What a statement gives back: the number of its records, or them, as they were or have become. */
typedef enum ddb_returning { DDB_RETURN_COUNT, DDB_RETURN_OLD, DDB_RETURN_NEW } ddb_returning;
typedef struct ddb_outcome {
  uint64_t matched;     /* records, of all steps together */
  bool stale;           /* nothing was done: judge again */
  size_t stale_step;    /* which step met a record that its judge does not know */
  ddb_record **records; /* copies, as `returning` asked for, in the order they were found in; when
                           stale, what `unjudged` asked for */
  size_t record_count;
} ddb_outcome;
DDB_API void ddb_outcome_fini(ddb_outcome *outcome); /* NULL is allowed */
/* As ddb_table_upsert; with ERROR it inserts. matched: the records inserted or updated. records: one
 * for each record of the batch, in which OLD has NULL where none was there. */
DDB_API ddb_status ddb_table_upsert_returning(ddb_table *table, ddb_builder *batch,
                                              ddb_conflict conflict, ddb_returning returning,
                                              ddb_outcome *out, ddb_error *err);
/* Says that a statement with this condition is about to come: when it is `primary key == value`, what
 * finding the record has to wait for begins to come into the cache; said `again` a few hundred
 * instructions later, the record itself. A hint: it waits for no lock, changes nothing and may do nothing. */
DDB_API void ddb_table_expect(ddb_table *table, const ddb_cond *where, bool again);
/* Merges the one CHANGES record of `changes` into every record that `where` (NULL: all) holds for.
 * *count: records matched (may be NULL). Nothing matched is not an error. */
DDB_API ddb_status ddb_table_update(ddb_table *table, const ddb_builder *changes,
                                    const ddb_cond *where, uint64_t *count, ddb_error *err);
DDB_API ddb_status ddb_table_delete(ddb_table *table, const ddb_cond *where, uint64_t *count,
                                    ddb_error *err);

/* ---- Indexes ------------------------------------------------------------------------------ */

typedef enum ddb_index_kind {
  DDB_INDEX_HASH,  /* serves ==, in, is_null, and a like that is a == */
  DDB_INDEX_SORTED /* by ddb_value_compare: these, <, <=, >, >=, between, startswith, a like that
                      begins with a literal text, and order */
} ddb_index_kind;

typedef struct ddb_index_options {
  const ddb_str *fields; /* an index of several is ordered by the first, then the second, ... */
  const ddb_path *paths; /* NULL, or in place of the fields: also what lies inside of them */
  size_t field_count;    /* 1 to DDB_INDEX_FIELD_COUNT_MAX */
  ddb_index_kind kind;
  bool unique; /* no two records with equal values; null and missing are not compared */
} ddb_index_options;

/* Indexes change the cost of answers, never the answers; a unique one also refuses statements
 * (DUPLICATE_KEY). Built while others read and, but for its last part, write. There may be one index of each kind
 * over the same fields. Errors: DUPLICATE_INDEX, DUPLICATE_KEY (unique, and the table holds
 * duplicates), FIELD_NOT_FOUND, INVALID (no field or a field twice), TYPE (a step that is unhashable),
 * LIMIT, NOMEM; nothing is left of an index that could not be made. */
DDB_API ddb_status ddb_table_index_add(ddb_table *table, const ddb_index_options *options,
                                       ddb_error *err);
/* The same, for an index of one field that is not unique. */
DDB_API ddb_status ddb_table_index_create(ddb_table *table, ddb_str field, ddb_index_kind kind,
                                          ddb_error *err);
/* Removes the index over just these fields: of one kind or (NULL) of each. INDEX_NOT_FOUND. */
DDB_API ddb_status ddb_table_index_drop(ddb_table *table, const ddb_str *fields, size_t field_count,
                                        const ddb_index_kind *kind, ddb_error *err);
DDB_API ddb_status ddb_table_index_drop_paths(ddb_table *table, const ddb_path *paths,
                                              size_t path_count, const ddb_index_kind *kind,
                                              ddb_error *err);

/* ---- Reading ------------------------------------------------------------------------------ */

/*
 * A view is one pinned version of one table. Opening and closing costs a few nanoseconds and waits
 * for nothing but another thread's explicit write lock; what is read through it is one state and
 * stays valid until it is closed. Owned by the thread that opened it, which closes it (views nest).
 * Keep it short: an open view keeps old versions in memory; use a snapshot for long work. The caller
 * keeps its reference to the table, and a snapshot's view its snapshot, while the view is open.
 * Errors of open: TABLE_NOT_FOUND (dropped), NOMEM, and those of ddb_rwlock_acquire_read.
 */
typedef struct ddb_view {
  const void *root;
  ddb_table *table;
  void *pin;
  uint64_t token;
} ddb_view;

DDB_API ddb_status ddb_view_open(ddb_table *table, ddb_view *view, ddb_error *err);
DDB_API void ddb_view_close(ddb_view *view);
DDB_API uint64_t ddb_view_count(const ddb_view *view);
/* *out: the record, borrowed from the view, or NULL when there is none. An unhashable key gives
 * DDB_ERR_KEY; NaN and null find nothing. */
DDB_API ddb_status ddb_view_get(const ddb_view *view, const ddb_value *key, const ddb_record **out,
                                ddb_error *err);
/* Walks the records in insertion order: *position starts at 0. NULL at the end. */
DDB_API const ddb_record *ddb_view_next(const ddb_view *view, uint64_t *position);
/* The indexes of the view's version, in order of creation; index < ddb_view_index_count. */
typedef struct ddb_index_info {
  ddb_index_kind kind;
  bool unique;
  size_t field_count;
  uint64_t entry_count; /* one per record */
} ddb_index_info;
DDB_API size_t ddb_view_index_count(const ddb_view *view);
DDB_API void ddb_view_index_info(const ddb_view *view, size_t index, ddb_index_info *out);
/* The name of its field-th field, borrowed from the view. */
DDB_API ddb_str ddb_view_index_field(const ddb_view *view, size_t index, size_t field);
/* The same with the steps into it, borrowed too. */
DDB_API ddb_path ddb_view_index_path(const ddb_view *view, size_t index, size_t field);
/* Is it over just these, in this order? */
DDB_API bool ddb_view_index_is_over(const ddb_view *view, size_t index, const ddb_path *paths,
                                    size_t path_count);
/* The key that the next record without one would get. */
DDB_API int64_t ddb_view_next_key(const ddb_view *view);

/* Where records go whose value is null or missing. */
typedef enum ddb_nulls {
  DDB_NULLS_DEFAULT, /* as the total order has it: first, and last when descending */
  DDB_NULLS_FIRST,
  DDB_NULLS_LAST
} ddb_nulls;

typedef struct ddb_order {
  ddb_str field;
  bool descending;
  ddb_nulls nulls;
  ddb_expr *expr; /* NULL: by the field; else by this */
} ddb_order;

#define DDB_NO_LIMIT UINT64_MAX
typedef struct ddb_query {
  const ddb_cond *where;  /* NULL: all */
  const ddb_order *order; /* stable; by ddb_value_compare */
  size_t order_count;     /* 0: insertion order */
  bool distinct;          /* keep the first of records equal on distinct_fields, before limit */
  const ddb_str *distinct_fields; /* NULL: on all fields */
  size_t distinct_count;
  ddb_expr *const *distinct_exprs; /* NULL, or distinct_count expressions instead of fields */
  uint64_t offset;
  uint64_t limit; /* DDB_NO_LIMIT: all */
  /* At most so many threads find the rows; the answer is the same. 0: where the table is large, as
   * many as there are idle processors. Only where rows are scanned for, and all are wanted or sorted;
   * a cursor uses one. */
  uint32_t threads;
  /* When not NULL, called by ddb_view_select, once, before it begins what may take long: when it is
   * not just about a few records that an index or their key leads to, or that come first. */
  void (*before_long)(void *context);
  void *context;
} ddb_query;
#define DDB_QUERY_INIT                                                                             \
  { .limit = DDB_NO_LIMIT }

/* The matching records, in order: an array borrowed from the view's version and owned by the caller
 * (ddb_records_free). Fields named in a query on a table with a schema must exist
 * (DDB_ERR_FIELD_NOT_FOUND, with the nearest name). */
typedef struct ddb_records {
  const ddb_record **items;
  size_t count;
  size_t capacity;
} ddb_records;
DDB_API ddb_status ddb_view_select(const ddb_view *view, const ddb_query *query, ddb_records *out,
                                   ddb_error *err);
DDB_API void ddb_records_free(ddb_records *records);
/* *out: the first record that ddb_view_select would give, borrowed from the view; NULL when there is
 * none. The query's limit is not looked at. */
DDB_API ddb_status ddb_view_first(const ddb_view *view, const ddb_query *query,
                                  const ddb_record **out, ddb_error *err);
/* *out: the one record that `where` (NULL: all) holds for, borrowed from the view. Errors:
 * RECORD_NOT_FOUND, MULTIPLE_RECORDS. */
DDB_API ddb_status ddb_view_one(const ddb_view *view, const ddb_cond *where, const ddb_record **out,
                                ddb_error *err);
/* Is there a record that `where` (NULL: all) holds for? Stops at the first. */
DDB_API ddb_status ddb_view_exists(const ddb_view *view, const ddb_cond *where, bool *exists,
                                   ddb_error *err);
/* The last steps of a select, distinct, offset and limit, on records of the view that the caller has
 * selected without them, in order, and filtered by code of its own. `where` and `order` are not
 * looked at. On error they are still to be freed, and good for nothing else. */
DDB_API ddb_status ddb_view_trim(const ddb_view *view, const ddb_query *query, ddb_records *records,
                                 ddb_error *err);
/* Does the condition (NULL: yes) hold for this record? FIELD_NOT_FOUND, NOMEM. */
DDB_API ddb_status ddb_record_matches(const ddb_record *record, const ddb_cond *cond, bool *out,
                                      ddb_error *err);
/* Could the condition be asked of the table? FIELD_NOT_FOUND, NOMEM. */
DDB_API ddb_status ddb_table_cond_check(const ddb_table *table, const ddb_cond *cond,
                                        ddb_error *err);
DDB_API ddb_status ddb_view_count_where(const ddb_view *view, const ddb_cond *where,
                                        uint64_t *count, ddb_error *err);
/* threads: as in ddb_query; ddb_view_count_where has 0. */
DDB_API ddb_status ddb_view_count_threads(const ddb_view *view, const ddb_cond *where,
                                          uint32_t threads, uint64_t *count, ddb_error *err);

/*
 * Expressions over the records of a table, computed one record after another. Holds references to the
 * table and to the expressions. Thread-safety: distinct.
 */
typedef struct ddb_projection ddb_projection;

/* Errors: FIELD_NOT_FOUND (the table's schema lacks a field), NOMEM. */
DDB_API ddb_status ddb_projection_new(ddb_table *table, ddb_expr *const *columns, size_t count,
                                      ddb_projection **out, ddb_error *err);
/* values: room for one per column. They borrow from the record, and from the projection until the
 * next read. MISSING: the record has no such field. */
DDB_API void ddb_projection_read(ddb_projection *projection, const ddb_record *record,
                                 ddb_value *values);
DDB_API void ddb_projection_free(ddb_projection *projection); /* NULL is allowed */

/* How a query would be answered: a tree, its nodes in the order of a walk, each parent before its
 * children. With `analyze` the query is run, and the nodes tell what was met. */
typedef struct ddb_plan_node {
  const char *step; /* constant: "scan", "key", "index", "walk", "union", "intersection", "nothing",
                       "filter", "sort", "top", "distinct", "slice"; of aggregates "aggregate",
                       "group", "count"; of joins "join", "hash", "lookup", "rows" */
  char detail[192]; /* what of: an index and its conditions, a condition, fields, counts */
  uint32_t depth;   /* 0: the root; a child has one more than its parent */
  uint64_t estimate; /* rows it was thought to give; DDB_NO_LIMIT: not known */
  uint64_t actual;   /* rows it gave, or DDB_NO_LIMIT: not known, nor run */
  uint64_t ns;       /* of it with its children; 0: not measured */
} ddb_plan_node;
typedef struct ddb_plan {
  ddb_plan_node *nodes; /* owned */
  size_t count;
  size_t capacity;
} ddb_plan;
/* Errors: as ddb_view_select. */
DDB_API ddb_status ddb_view_explain(const ddb_view *view, const ddb_query *query, bool analyze,
                                    ddb_plan *out, ddb_error *err);
DDB_API void ddb_plan_free(ddb_plan *plan);

/*
 * A cursor gives the records of a query little by little, all of one version: that of the view it is
 * opened with, which it holds by itself from then on. View and snapshot may be closed before it, the
 * table dropped. Without an order it holds no memory that grows with the table (a distinct one keeps
 * what it has seen, one that uses an index its candidates) and the first records come at once; with
 * an order it sorts when they are first asked for. What it sees stays in memory until it is closed.
 * Thread-safety: distinct, and any thread may use and close it.
 */
typedef struct ddb_cursor ddb_cursor;

/* Takes references to what the query points to. Errors: as ddb_view_select. */
DDB_API ddb_status ddb_cursor_open(const ddb_view *view, const ddb_query *query, ddb_cursor **out,
                                   ddb_error *err);
/* The next records, at most `capacity` (> 0): *count of them, 0 at the end. They stay valid until the
 * cursor is closed. After NOMEM the cursor is where it was, and can be asked again. */
DDB_API ddb_status ddb_cursor_next(ddb_cursor *cursor, const ddb_record **records, size_t capacity,
                                   size_t *count, ddb_error *err);
DDB_API void ddb_cursor_close(ddb_cursor *cursor); /* NULL is allowed */

/* Every field name that occurs in a record of the view, in order of first appearance (key first):
 * shapes are not scanned record by record. names: room for *count names; *count is set to all. */
DDB_API ddb_status ddb_view_columns(const ddb_view *view, ddb_str *names, size_t *count,
                                    ddb_error *err);

/* Records are immutable. Names and values borrow from the record. */
DDB_API size_t ddb_record_count(const ddb_record *record); /* fields */
DDB_API ddb_value ddb_record_value(const ddb_record *record, size_t index);
/* The `count` values from `first` on, of which there are so many. */
DDB_API void ddb_record_values(const ddb_record *record, size_t first, size_t count,
                               ddb_value *out);
DDB_API ddb_str ddb_record_name(const ddb_record *record, size_t index);
/* MISSING when there is none. */
DDB_API ddb_value ddb_record_get(const ddb_record *record, ddb_str name);
/* Identity of the record's list of names: equal for records with the same names in the same order.
 * Valid as long as the table is referenced. */
DDB_API const ddb_shape *ddb_record_shape(const ddb_record *record);
DDB_API size_t ddb_shape_count(const ddb_shape *shape);
DDB_API ddb_str ddb_shape_name(const ddb_shape *shape, size_t index);
DDB_API uint64_t ddb_shape_id(const ddb_shape *shape); /* unique in the process, never reused */
/* A copy that outlives view and table; atomic; one allocation. Free with ddb_record_free. */
DDB_API ddb_status ddb_record_copy(const ddb_record *record, ddb_record **out, ddb_error *err);
DDB_API void ddb_record_free(ddb_record *record); /* NULL is allowed */

/* ---- Aggregates --------------------------------------------------------------------------- */

/*
 * Records that a query makes, of one shape, owned by the caller; they need neither the view nor the
 * table. Thread-safety: atomic, but for ..._free.
 */
typedef struct ddb_rowset ddb_rowset;

DDB_API size_t ddb_rowset_count(const ddb_rowset *rows);
/* Borrowed from the rowset; index < ddb_rowset_count. */
DDB_API const ddb_record *ddb_rowset_record(const ddb_rowset *rows, size_t index);
DDB_API void ddb_rowset_free(ddb_rowset *rows); /* NULL is allowed */
/* As ddb_projection_new, over these rows. */
DDB_API ddb_status ddb_rowset_projection(const ddb_rowset *rows, ddb_expr *const *columns,
                                         size_t count, ddb_projection **out, ddb_error *err);

/*
 * What is made of the values of a field or an expression, of each group of records. Null and missing values are passed
 * over; when there are no others the result is null, but for the counts (0) and COLLECT (an empty
 * list). Numbers are booleans (as 0 and 1), ints, floats and Decimals.
 */
typedef enum ddb_aggregate_kind {
  DDB_AGGREGATE_COUNT, /* of values; of records when no field is given */
  /* Exact over ints (of any size), booleans and Decimals, and over timedeltas. Floats are added with
   * compensation (Neumaier); the sum of the ints among them is rounded once and added last. */
  DDB_AGGREGATE_SUM,
  DDB_AGGREGATE_AVG, /* the sum divided by the count: a float, rounded once when all are ints; a
                        Decimal of 28 digits; a timedelta */
  DDB_AGGREGATE_MIN, /* by ddb_value_compare; the first of equal ones */
  DDB_AGGREGATE_MAX,
  DDB_AGGREGATE_COUNT_DISTINCT, /* values that differ in the total order */
  DDB_AGGREGATE_FIRST,          /* in insertion order */
  DDB_AGGREGATE_LAST,
  DDB_AGGREGATE_STDDEV,            /* of a sample (n - 1), by Welford; null below 2 numbers */
  DDB_AGGREGATE_STDDEV_POPULATION, /* (n) */
  DDB_AGGREGATE_MEDIAN,   /* the middle number, or the AVG of the two; NaN when there is one */
  DDB_AGGREGATE_QUANTILE, /* float, linear between the two nearest: numpy's default, type 7 of
                             Hyndman and Fan (1996); NaN when there is one */
  DDB_AGGREGATE_COLLECT   /* a list of the values, in insertion order */
} ddb_aggregate_kind;

typedef struct ddb_aggregate {
  ddb_str name; /* of the result's field */
  ddb_aggregate_kind kind;
  ddb_str field;   /* {NULL, 0}: none, for COUNT only */
  ddb_expr *expr;  /* instead of a field; NULL: the field */
  double quantile; /* of QUANTILE: 0 to 1 */
} ddb_aggregate;

typedef struct ddb_group_field {
  ddb_str name; /* of the result's field; {NULL, 0}: as the field */
  ddb_str field;
  ddb_expr *expr; /* instead of a field; then it needs a name */
} ddb_group_field;

typedef struct ddb_aggregate_query {
  const ddb_cond *where;         /* which records; NULL: all */
  const ddb_records *records;    /* of the view, instead of `where`; NULL: go by it */
  const ddb_group_field *groups; /* records that are the same on these are one group */
  size_t group_count;            /* 0: all records are one group, also when there is none */
  const ddb_aggregate *aggregates;
  size_t aggregate_count;
  const ddb_cond *having; /* which rows of the result, by its fields; NULL: all */
  const ddb_order *order; /* of the rows, by their fields; none: by each group's first record */
  size_t order_count;
  uint64_t offset; /* of the rows */
  uint64_t limit;
  uint32_t threads; /* as in ddb_query: they find the records; one adds them up, in order */
} ddb_aggregate_query;
#define DDB_AGGREGATE_QUERY_INIT                                                                   \
  { .limit = DDB_NO_LIMIT }

/*
 * One row for each group: the group fields, as their first record has them, then the aggregates. In
 * `having` and `order`, a name that the rows do not have may be the field of a group with another name,
 * and an expression of such names that of a group: this group's value is meant.
 * Groups are the same by ddb_value_compare: 1, 1.0 and True are one, as are NaN and NaN, null and
 * missing. Memory: in proportion to the groups; for COUNT_DISTINCT, MEDIAN, QUANTILE and COLLECT to
 * the values. Errors: FIELD_NOT_FOUND; INVALID (a name twice, a bad quantile); TYPE, naming field and type:
 * a value that cannot be added, or is not a number; LIMIT (Decimals more than 20,000 digits apart, an
 * int too large for the float that is asked for, a row over DDB_RECORD_SIZE_MAX); NOMEM.
 */
DDB_API ddb_status ddb_view_aggregate(const ddb_view *view, const ddb_aggregate_query *query,
                                      ddb_rowset **out, ddb_error *err);
/* As ddb_view_explain, of an aggregate: what indexes tell of it ("index", "count"), or how the records
 * are found that are added up; of query->records, what is done with them. */
DDB_API ddb_status ddb_view_explain_aggregate(const ddb_view *view,
                                              const ddb_aggregate_query *query, bool analyze,
                                              ddb_plan *out, ddb_error *err);

/* ---- Statements of several steps ------------------------------------------------------------ */

/*
 * Judging: records chosen by the caller's own code, which runs with no lock held. The caller opens a
 * view, selects the candidates, and puts what it decided about each into a judge; then it runs a step
 * with that judge. Under the table's write lock the step finds its candidates again. Those that are
 * still the very records that were judged are treated as decided; when there is another one, nothing
 * is changed and the outcome is stale: the caller judges again, and only what the judge does not
 * find. Whoever wants to be sure to come to an end takes the table's write lock for the last round.
 * A step may find records that an earlier step of its run has changed, and that no view shows: then
 * the outcome has copies of them, if asked for, and what is decided about these counts for their equals.
 * Thread-safety: distinct.
 */
typedef struct ddb_judge ddb_judge;
#define DDB_JUDGE_LEAVE SIZE_MAX /* this record is none of the step's */

DDB_API ddb_status ddb_judge_new(ddb_judge **out, ddb_error *err);
DDB_API void ddb_judge_free(ddb_judge *judge); /* NULL is allowed */
/* choice: an index of the step's changes (0 for a delete), or DDB_JUDGE_LEAVE. The record is one of an
 * open view; the judge keeps its identity, not its contents. */
DDB_API ddb_status ddb_judge_put(ddb_judge *judge, const ddb_record *record, size_t choice,
                                 ddb_error *err);
/* The same of every record that equals this one, also of those that a step finds as earlier steps of
 * its run left them. The judge keeps a copy. */
DDB_API ddb_status ddb_judge_put_equal(ddb_judge *judge, const ddb_record *record, size_t choice,
                                       ddb_error *err);
/* Has this record, unchanged, been judged? choice: NULL, or set when it has. */
DDB_API bool ddb_judge_find(const ddb_judge *judge, const ddb_record *record, size_t *choice);

typedef enum ddb_change_kind {
  DDB_CHANGE_SET,    /* the field becomes the value */
  DDB_CHANGE_UNSET,  /* the field goes; where a schema has a default for it, it becomes that */
  DDB_CHANGE_APPEND, /* the value comes to the end of a list or tuple, or into a set */
  DDB_CHANGE_REMOVE  /* all items equal to the value go from a list, tuple or set */
} ddb_change_kind;

/* One field of a change. The value is `value`, or what `expr` is on the record as it was (what is
 * missing is null): one of the two is there, but for UNSET. APPEND to what is null or missing makes a list of one item, REMOVE leaves it;
 * other kinds than lists, tuples and sets give TYPE. */
typedef struct ddb_change {
  ddb_str name;
  ddb_change_kind kind;
  const ddb_value *value;
  const ddb_expr *expr;
} ddb_change;

/* What happens to a record: all of it is worked out on the record as it was, then checked against the
 * schema. No field may be named twice, nor the primary key. */
typedef struct ddb_changes {
  const ddb_builder *batch; /* NULL: none; else its item number `item` is a record of CHANGES */
  size_t item;
  const ddb_change *changes;
  size_t change_count;
} ddb_changes;

/* One step of a statement: some records, and what happens to them. */
typedef struct ddb_step {
  const ddb_value *key;       /* the record with this primary key, if `where` (NULL: yes) holds */
  const ddb_cond *where;      /* NULL: all */
  const ddb_order *order;     /* with a limit: which are the first */
  size_t order_count;         /* 0: insertion order */
  uint64_t limit;             /* DDB_NO_LIMIT: all */
  const ddb_judge *judge;     /* NULL: none; else it decides on each record */
  const ddb_changes *changes; /* NULL: the records are deleted. With a judge: an array */
} ddb_step;
#define DDB_STEP_INIT                                                                              \
  { .limit = DDB_NO_LIMIT }

typedef struct ddb_run {
  const ddb_step *steps; /* each sees what those before it did */
  size_t step_count;
  ddb_returning returning; /* NEW: not with deletes */
  bool must_match;         /* RECORD_NOT_FOUND when a step finds nothing */
  bool unjudged;           /* a stale outcome has copies of the records not judged of its step */
} ddb_run;

/* Runs all steps as one statement. *out: free with ddb_outcome_fini. Errors: those of update and
 * delete, and INVALID, TYPE, SCHEMA, RECORD_NOT_FOUND. */
DDB_API ddb_status ddb_table_run(ddb_table *table, const ddb_run *run, ddb_outcome *out,
                                 ddb_error *err);

/* ---- Joins -------------------------------------------------------------------------------- */

/*
 * Pairs of records, one of each side, that are equal (ddb_value_equal) on some fields; null, missing
 * and NaN equal nothing. A pair is one record of the result, with the fields that `columns` names. They
 * come in the order of the left side, then of the right one. The right side is looked up through an
 * index or its primary key where it has one and the left side is small, else through a hash table
 * of its rows. To join one instant, take both views from one snapshot.
 */
typedef enum ddb_join_kind {
  DDB_JOIN_INNER,
  DDB_JOIN_LEFT /* a left record without a match is paired with nulls */
} ddb_join_kind;

typedef struct ddb_join_key {
  ddb_str left;
  ddb_str right;
} ddb_join_key;

typedef struct ddb_join_column {
  bool is_right; /* of the right side's record */
  ddb_str field;
  ddb_str name; /* in the result */
} ddb_join_column;

typedef struct ddb_join {
  const ddb_view *left;
  const ddb_rowset *left_rows; /* instead of `left`: rows of another join */
  const ddb_view *right;
  ddb_join_kind kind;
  const ddb_join_key *keys;
  size_t key_count;           /* > 0 */
  const ddb_cond *left_where; /* which records of each side; NULL: all. Not with left_rows */
  const ddb_cond *right_where;
  const ddb_join_column *columns;
  size_t column_count; /* > 0 */
  bool closed;         /* names that are no column's are errors; else they read as null */
} ddb_join;

/* Names in the query and in `where` are those of the columns. Errors: INVALID,
 * FIELD_NOT_FOUND (a side with a schema lacks a field), NOMEM, and those of ddb_view_aggregate. */
DDB_API ddb_status ddb_join_count(const ddb_join *join, const ddb_cond *where, uint64_t *count,
                                  ddb_error *err);
DDB_API ddb_status ddb_join_select(const ddb_join *join, const ddb_query *query, ddb_rowset **out,
                                   ddb_error *err);
/* query->records must be NULL. */
DDB_API ddb_status ddb_join_aggregate(const ddb_join *join, const ddb_aggregate_query *query,
                                      ddb_rowset **out, ddb_error *err);
/* Before its left side, rows of another join, is there: what of a condition is about that alone, with the
 * names it has there, so that it can be asked while those are made; and the rest. NULL: nothing; each
 * is a reference of the caller's. Of `join` the columns are looked at. The rows stay the same. */
DDB_API ddb_status ddb_join_split(const ddb_join *join, const ddb_cond *where, ddb_cond **left,
                                  ddb_cond **rest, ddb_error *err);
/* As ddb_view_explain, of these two. Below a "join" are its left side, or "rows" for left_rows, and how
 * the right one is found: "hash", all of it once; or "lookup", for each left record, whose
 * indexes are told without values. */
DDB_API ddb_status ddb_join_explain(const ddb_join *join, const ddb_query *query, bool analyze,
                                    ddb_plan *out, ddb_error *err);
DDB_API ddb_status ddb_join_explain_aggregate(const ddb_join *join,
                                              const ddb_aggregate_query *query, bool analyze,
                                              ddb_plan *out, ddb_error *err);

/* ---- Snapshots ---------------------------------------------------------------------------- */

/*
 * One instant of all tables of a database; taken in constant time, stops nobody, waits for nobody
 * (a table under an explicit write lock is seen as it was before that lock). May be used and closed
 * by any thread. Holds the versions it can see in memory until it is closed.
 */
typedef struct ddb_snapshot ddb_snapshot;

DDB_API ddb_status ddb_snapshot_open(ddb_db *db, ddb_snapshot **out, ddb_error *err);
DDB_API void
ddb_snapshot_close(ddb_snapshot *snapshot); /* no view of it may be open; NULL allowed */
DDB_API uint64_t ddb_snapshot_commit(const ddb_snapshot *snapshot); /* its commit number */
/* As ddb_db_tables, of the snapshot's instant. */
DDB_API ddb_status ddb_snapshot_tables(ddb_snapshot *snapshot, ddb_table ***out, size_t *count,
                                       ddb_error *err);
/* A view of the table as the snapshot sees it; TABLE_NOT_FOUND when it was not there then. */
DDB_API ddb_status ddb_snapshot_view(ddb_snapshot *snapshot, ddb_table *table, ddb_view *view,
                                     ddb_error *err);

/* ---- What has changed ----------------------------------------------------------------------- */

/*
 * A table can have a mark: one version of it, which later ones are compared with. Nothing is noted when
 * records are written: a difference costs the nodes of rows that the two versions do not share, and the
 * records that differ. A table without a mark holds nothing for this; its records have all changed. What
 * a mark sees stays in memory (old_bytes of ddb_memory), at most what the table held when it was marked.
 * It is of the process: neither saved nor in the log. All functions: atomic.
 */
/* The view's version becomes the mark, in place of an older one; never of a later one, so that what
 * another thread has marked meanwhile stays. INVALID, NOMEM, FORKED. */
DDB_API ddb_status ddb_view_mark(const ddb_view *view, ddb_error *err);
/* The table has no mark; NULL or none: nothing happens. Dropping a table does so too, and it gets none then. */
DDB_API void ddb_table_unmark(ddb_table *table);

/* From the table's mark to a view. Of a mark that is later than the view: nothing. */
typedef struct ddb_difference {
  ddb_records written; /* inserted or changed since, in order; borrowed from the view */
  ddb_records deleted; /* as the mark had them, whose keys the view lacks; borrowed from this */
  ddb_view mark;
} ddb_difference;
/* *out: with the view still open, free it with ddb_difference_fini. INVALID, NOMEM. */
DDB_API ddb_status ddb_view_difference(const ddb_view *view, ddb_difference *out, ddb_error *err);
DDB_API void ddb_difference_fini(ddb_difference *difference); /* NULL is allowed */
/* Would there be a record in it? Stops at the first. */
DDB_API ddb_status ddb_view_is_changed(const ddb_view *view, bool *changed, ddb_error *err);

/* ---- Files -------------------------------------------------------------------------------- */

/* Called now and then during long work, with no lock held; non-zero stops it (INTERRUPTED).
 * total is 0 when it is not known. */
typedef int (*ddb_progress)(void *context, uint64_t done, uint64_t total);

/*
 * The native format (docs/file-format.md): records as they lie in memory, in blocks with checksums.
 * save writes one instant to a temporary file beside `path`, syncs it, renames it over `path` and
 * syncs the directory: `path` is the old file or the new one, whole. Readers and writers are not
 * held up. Errors: IO (with os_error), NOMEM, INTERRUPTED, INVALID (a level out of range).
 */
#define DDB_COMPRESSION_MAX 19
typedef struct ddb_save_options {
  int compression; /* level of zstd, 1 to DDB_COMPRESSION_MAX; 0: none */
  ddb_progress progress;
  void *context;
} ddb_save_options;
/* options may be NULL. */
DDB_API ddb_status ddb_snapshot_save(ddb_snapshot *snapshot, const char *path,
                                     const ddb_save_options *options, ddb_error *err);
DDB_API ddb_status ddb_db_save(ddb_db *db, const char *path, const ddb_save_options *options,
                               ddb_error *err);
/* The same as a directory that ddb_db_open opens. It is made, if need be. INVALID: it has files already;
 * IN_USE. After an error it has none, or only its lock; a process that was killed meanwhile leaves one
 * that open refuses. */
DDB_API ddb_status ddb_snapshot_save_directory(ddb_snapshot *snapshot, const char *path,
                                               const ddb_save_options *options, ddb_error *err);
DDB_API ddb_status ddb_db_save_directory(ddb_db *db, const char *path,
                                         const ddb_save_options *options, ddb_error *err);
/* A new database. Nothing of the file is trusted. Errors: CORRUPT (with offset, naming the file), IO,
 * NOMEM, INTERRUPTED. */
DDB_API ddb_status ddb_db_load(const char *path, ddb_progress progress, void *context, ddb_db **out,
                               ddb_error *err);
/* Does the file begin as native ones do? Errors: IO, NOMEM. */
DDB_API ddb_status ddb_file_is_native(const char *path, bool *out, ddb_error *err);

/* A file in a format of the program's own, replaced as save replaces it, by what `next` gives: some
 * bytes, which live until it is called again, until it gives 0. Errors: IO, NOMEM, those of `next`,
 * after which the old file is there. */
typedef ddb_status (*ddb_chunks)(void *context, const void **data, size_t *size, ddb_error *err);
DDB_API ddb_status ddb_file_replace(const char *path, ddb_chunks next, void *context,
                                    ddb_error *err);

/*
 * Backup sets: a base, which is a native or a JSON file, then deltas, each what changed since the file
 * before it: native files too, saved the same way. Cost of a delta: the nodes of rows that the two
 * versions do not share, and the records that changed. A delta names the file it follows by that
 * one's sum, so that it fits nowhere else.
 */
typedef enum ddb_file_kind {
  DDB_FILE_NATIVE, /* a whole database */
  DDB_FILE_DELTA,
  DDB_FILE_LOG, /* a segment of an opened database's log */
  DDB_FILE_JSON /* anything else */
} ddb_file_kind;
typedef struct ddb_file_info {
  ddb_file_kind kind;
  uint64_t size;
  uint64_t sum;          /* what stands for the file in a delta that follows it; 0: nothing can */
  uint64_t commit;       /* NATIVE, DELTA: the last commit in it; LOG, verified: the same */
  uint64_t number;       /* DELTA: its place behind the base, from 1; LOG: its segment */
  uint64_t base;         /* DELTA: the sum of the chain's first file */
  uint64_t before;       /* DELTA: the sum of the file that it follows */
  uint64_t table_count;  /* verified, NATIVE and JSON */
  uint64_t record_count; /* the same */
  uint64_t operation_count; /* verified, DELTA; of LOG the commits */
  uint64_t whole_size;      /* verified: less than size if a LOG ends in what a crash left */
} ddb_file_info;
/* Reads little: of a damaged file it may say anything. Errors: CORRUPT, IO, NOMEM. */
DDB_API ddb_status ddb_file_describe(const char *path, ddb_file_info *out, ddb_error *err);
/* Checks every byte. A file that holds a database is loaded and thrown away; of a delta alone and a
 * segment of a log it cannot be known whether they fit what they change. Errors: CORRUPT (with
 * offset), IO, NOMEM, INTERRUPTED. */
DDB_API ddb_status ddb_file_verify(const char *path, ddb_progress progress, void *context,
                                   ddb_file_info *out, ddb_error *err);
/* Reads the directory of a database as ddb_db_open would: do its files fit together? Changes and locks
 * nothing; if it is open, files may go meanwhile. Fills table_count, record_count, and number: the
 * newest checkpoint's, or 1. Errors: as ddb_file_verify; INVALID when no database is there. */
DDB_API ddb_status ddb_directory_verify(const char *path, ddb_progress progress, void *context,
                                        ddb_file_info *out, ddb_error *err);
/* A new database in memory with what is in the directory of a kept one (ddb_db_open). Changes and locks
 * nothing: it may be open, then what its process has written is there. Else as ddb_directory_verify. */
DDB_API ddb_status ddb_directory_load(const char *path, ddb_progress progress, void *context,
                                      ddb_db **out, ddb_error *err);
/* Saves what leads from `before` to `snapshot`, a later one of the same database. before_path: the
 * file that holds `before`, a base or a delta; INVALID if it does not. Progress: of a table's records
 * when it is done. Else as ddb_snapshot_save. */
DDB_API ddb_status ddb_snapshot_save_delta(ddb_snapshot *snapshot, ddb_snapshot *before,
                                           const char *before_path, const char *path,
                                           const ddb_save_options *options, ddb_error *err);
/* A new database from a base and its deltas, in order. On error *failed, which may be NULL, is the
 * index of the file that is to blame, which a message of CORRUPT names. As ddb_db_load else. */
DDB_API ddb_status ddb_db_load_chain(const char *const *paths, size_t count, ddb_progress progress,
                                     void *context, ddb_db **out, size_t *failed, ddb_error *err);
/* Automatic keys of a database that nobody else uses yet go on above what the file, of the same set,
 * has for tables of the same names. CORRUPT, IO, NOMEM: some may have been raised. */
DDB_API ddb_status ddb_db_keys_raise(ddb_db *db, const char *path, ddb_error *err);

/*
 * A database in memory whose commits are in an append-only log in a directory of their own, made if
 * it is not there. One process at a time: IN_USE names the holder. What a commit that returned OK
 * survives:
 *   COMMIT     a crash of the machine: the log was synced (commits of several threads share a sync)
 *   INTERVAL   a crash of the process; one of the machine but for the last interval
 *   NONE       a crash of the process; one of the machine but for what the system has not written
 * A statement is in the log whole or not at all. Memory or space that is lacking fails the statement,
 * and nothing changed. When the log cannot be written or synced, the statements that wait for it
 * fail with READ_ONLY: memory may then be ahead of the disk. From then on every statement fails so.
 * Errors of open: IN_USE, CORRUPT (with offset), IO, NOMEM, INTERRUPTED, INVALID.
 */
typedef enum ddb_durability {
  DDB_DURABILITY_COMMIT,
  DDB_DURABILITY_INTERVAL,
  DDB_DURABILITY_NONE
} ddb_durability;
typedef struct ddb_open_options {
  ddb_durability durability;
  uint64_t interval_ns; /* of INTERVAL; 0: one second */
  ddb_progress progress;
  void *context;
  /* Called by the log's own thread, with no lock held, when a checkpoint that it makes by itself has
   * failed (it is tried again), or a sync (the database is read-only). It may not use the database.
   * NULL: nobody is told; ddb_db_log_info knows all the same. */
  void (*on_failure)(void *context, const ddb_error *cause);
  void *failure_context; /* of both */
  /* The same, when it has made a checkpoint by itself: the last commit in it, and its bytes. */
  void (*on_checkpoint)(void *context, uint64_t commit, uint64_t size);
} ddb_open_options;
/* options may be NULL. Releasing the last reference closes as well, without a checkpoint: at once, or
 * when a checkpoint that is on its way ends. */
DDB_API ddb_status ddb_db_open(const char *path, const ddb_open_options *options, ddb_db **out,
                               ddb_error *err);
/* Everything committed so far is on the disk. INVALID for a database that was not opened. */
DDB_API ddb_status ddb_db_sync(ddb_db *db, ddb_error *err);
/* Was it opened, so that its statements may wait for a disk? */
DDB_API bool ddb_db_is_kept(const ddb_db *db);
/* Writes one instant of the database to a new native file and trims the log. Also done by itself when
 * the log has grown, and on close. Holds nobody up. If it fails, the log goes on. DEADLOCK from the
 * progress function of a checkpoint, which may do anything else but close the database. */
DDB_API ddb_status ddb_db_checkpoint(ddb_db *db, ddb_progress progress, void *context,
                                     ddb_error *err);
/* Checkpoint, sync, and the directory is free for others. Statements then fail with READ_ONLY, reads
 * go on. A database that was not opened, or is closed: nothing happens. READ_ONLY when something
 * acknowledged could not be made as durable as was asked for. */
DDB_API ddb_status ddb_db_close(ddb_db *db, ddb_error *err);

/* What the log of an opened database has done, at one moment. */
typedef struct ddb_log_info {
  ddb_durability durability;
  bool read_only;               /* closed, or failed: `failure` */
  uint64_t commit;              /* the last one */
  uint64_t written_commit;      /* up to here the system has them */
  uint64_t synced_commit;       /* up to here the disk has them */
  uint64_t log_bytes;           /* to be read when it is opened the next time */
  uint64_t checkpoint_bytes;    /* of the newest one; 0: there is none */
  uint64_t checkpoint_commit;   /* the last one in it */
  uint64_t checkpoints;         /* made since it was opened */
  uint64_t checkpoint_failures; /* since the last one that was made */
  ddb_error checkpoint_error;   /* why, if any */
  ddb_error failure;            /* why the log takes nothing more; OK: it does, or was closed */
} ddb_log_info;
/* Also of a closed one. INVALID for a database that was not opened. */
DDB_API ddb_status ddb_db_log_info(ddb_db *db, ddb_log_info *out, ddb_error *err);

/*
 * JSON, format in docs/file-format.md. save writes one instant to a temporary file beside `path`,
 * syncs it, renames it over `path` and syncs the directory: `path` is the old file or the new one,
 * whole. Nothing is written before all values are known to be encodable. Readers and writers are
 * not held up. Errors: IO (with os_error), NOMEM, INTERRUPTED.
 */
DDB_API ddb_status ddb_snapshot_save_json(ddb_snapshot *snapshot, const char *path,
                                          ddb_progress progress, void *context, ddb_error *err);
DDB_API ddb_status ddb_db_save_json(ddb_db *db, const char *path, ddb_progress progress,
                                    void *context, ddb_error *err);
/* A new database. Also reads the layout of the original project (no format mark). Errors: CORRUPT
 * (with offset, naming the file), IO, NOMEM, INTERRUPTED. */
DDB_API ddb_status ddb_db_load_json(const char *path, ddb_progress progress, void *context,
                                    ddb_db **out, ddb_error *err);

/*
 * Text files of one table, for other programs (docs/file-format.md). CSV: RFC 4180, a header, then a
 * line for each record; quotes tell "" from null and "7" from 7. What has no plain text (a list, a
 * named time zone) is there as its JSON text. NDJSON: a JSON object in each line, values as in the
 * JSON format.
 */
typedef enum ddb_text_format { DDB_TEXT_CSV, DDB_TEXT_NDJSON } ddb_text_format;

typedef struct ddb_export_options {
  ddb_text_format format;
  const char *encoding;   /* NULL: UTF-8; else a name that iconv knows */
  const ddb_str *columns; /* fields, in this order. NDJSON: NULL for all of each record */
  size_t column_count;    /* CSV: > 0 */
  bool skip_missing; /* NDJSON with columns: what a record lacks is left out; else it is null */
  char delimiter;    /* CSV; 0: a comma. Else any ASCII character but quotes and line ends */
  ddb_str null_text; /* CSV: what stands for null, unquoted; {NULL, 0}: nothing at all */
  uint64_t total;    /* records, for the progress; 0: not known */
  ddb_progress progress;
  void *context;
} ddb_export_options;

/*
 * Records into a file, one by one: of a view, a rowset or a cursor, as long as they live. The file is
 * replaced by commit, whole; cancel leaves the old one. Errors: IO, NOMEM, INTERRUPTED; INVALID (a bad
 * option; a str with a lone surrogate in CSV, a character that the encoding lacks, or a null that is
 * alone in its line and has no text: with the record and field). After an error of put or commit only
 * cancel is left, which is allowed after a commit of either outcome too. Distinct.
 */
typedef struct ddb_export ddb_export;
DDB_API ddb_status ddb_export_open(const char *path, const ddb_export_options *options,
                                   ddb_export **out, ddb_error *err);
DDB_API ddb_status ddb_export_put(ddb_export *file, const ddb_record *record, ddb_error *err);
DDB_API ddb_status ddb_export_commit(ddb_export *file, ddb_error *err);
DDB_API void ddb_export_cancel(ddb_export *file); /* frees it. NULL is allowed */

typedef struct ddb_import_options {
  ddb_text_format format;
  const char *encoding;           /* as above */
  const ddb_table_options *table; /* NULL: key "id", no schema */
  bool skip_validation;           /* of values that are not of the schema's type */
  char delimiter;                 /* CSV: as above */
  ddb_str null_text;              /* CSV: as above */
  bool no_header;                 /* CSV: the columns are called column_1, column_2, ... */
  bool only_text;                 /* CSV without a schema: every value but null is a str */
  ddb_progress progress;          /* in bytes of the file */
  void *context;
} ddb_import_options;

/*
 * A file as a new table, which appears with all its records at one instant, or not at all. CSV: a
 * schema's types say what a cell means; without one, an unquoted cell that is written as a number
 * would be (no leading zeros, no plus, no words) is an int or a float, any other text. Memory beside
 * the table's: one batch of records, the largest record; in a database that was opened also the whole
 * table once more, as its one entry of the log. *count: its records; may be NULL. Errors: CORRUPT
 * (a ragged row; with offset), those of ddb_table_insert, SCHEMA (a text that is not of its type), all
 * naming file and line; DUPLICATE_TABLE, INVALID (a bad option), IO, NOMEM, INTERRUPTED.
 */
DDB_API ddb_status ddb_db_import(ddb_db *db, const char *path, ddb_str table_name,
                                 const ddb_import_options *options, uint64_t *count,
                                 ddb_error *err);

#ifdef __cplusplus
}
#endif
#endif
