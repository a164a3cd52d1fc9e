/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.c - records to what a query gives for each: a dict, a view, some columns, a value, a tuple.
 *
 * A reader keeps where the columns are in the last shape seen, since neighbours mostly share it. With
 * expressions among the columns, all of them are computed by a projection instead. It borrows its
 * source and query. Thread-safety: distinct.
 */
#include "pyddb.h"

#define NO_COLUMN SIZE_MAX

static int init_projection(pyddb_reader *reader) {
  const pyddb_column_list *columns = &reader->query->columns;
  ddb_error err;
  reader->values = PyMem_Calloc((size_t)columns->count, sizeof *reader->values);
  if (!reader->values) {
    PyErr_NoMemory();
    return -1;
  }
  const ddb_rowset *rows = reader->query->rows;
  size_t count = (size_t)columns->count;
  ddb_status status =
      rows ? ddb_rowset_projection(rows, columns->exprs, count, &reader->projection, &err)
           : ddb_projection_new(reader->source->table, columns->exprs, count, &reader->projection,
                                &err);
  if (status != DDB_OK) {
    reader->projection = NULL;
    pyddb_reader_fini(reader);
    pyddb_raise(reader->source->state, &err);
    return -1;
  }
  return 0;
}

int pyddb_reader_init(pyddb_reader *reader, pyddb_source *source, const pyddb_query *query) {
  *reader = (pyddb_reader){.source = source, .query = query};
  reader->texts = pyddb_texts_of(source, &reader->own_texts);
  if (query->columns.exprs) {
    return init_projection(reader);
  }
  if (query->columns.count > 0) {
    reader->indexes = PyMem_Calloc((size_t)query->columns.count, sizeof *reader->indexes);
    if (!reader->indexes) {
      PyErr_NoMemory();
      return -1;
    }
  }
  return 0;
}

void pyddb_reader_fini(pyddb_reader *reader) {
  PyMem_Free(reader->indexes);
  PyMem_Free(reader->values);
  ddb_projection_free(reader->projection);
  pyddb_texts_fini(&reader->own_texts);
  reader->indexes = NULL;
  reader->values = NULL;
  reader->projection = NULL;
}

static void find_columns(pyddb_reader *reader, const ddb_shape *shape) {
  const pyddb_column_list *columns = &reader->query->columns;
  size_t field_count = ddb_shape_count(shape);
  reader->shape = shape;
  for (Py_ssize_t i = 0; i < columns->count; i++) {
    ddb_str wanted = columns->strs[i];
    reader->indexes[i] = NO_COLUMN;
    for (size_t field = 0; field < field_count; field++) {
      ddb_str name = ddb_shape_name(shape, field);
      if (name.size == wanted.size && memcmp(name.data, wanted.data, name.size) == 0) {
        reader->indexes[i] = field;
        break;
      }
    }
  }
}

/* A missing field reads as None. */
static PyObject *column_out(pyddb_reader *reader, const ddb_record *record, Py_ssize_t i) {
  if (reader->projection) {
    return pyddb_value_near(reader->source->state, &reader->values[i], reader->texts);
  }
  size_t index = reader->indexes[i];
  ddb_value value = index == NO_COLUMN ? ddb_null() : ddb_record_value(record, index);
  return pyddb_value_near(reader->source->state, &value, reader->texts);
}

static PyObject *columns_out(pyddb_reader *reader, const ddb_record *record) {
  PyObject *dict = PyDict_New();
  for (Py_ssize_t i = 0; dict && i < reader->query->columns.count; i++) {
    PyObject *object = column_out(reader, record, i);
    if (!object || PyDict_SetItem(dict, PyList_GET_ITEM(reader->query->aliases, i), object) < 0) {
      Py_CLEAR(dict);
    }
    Py_XDECREF(object);
  }
  return dict;
}

static PyObject *tuple_out(pyddb_reader *reader, const ddb_record *record) {
  Py_ssize_t count = reader->query->columns.count;
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *object = column_out(reader, record, i);
    if (!object) {
      Py_CLEAR(tuple);
      break;
    }
    PyTuple_SET_ITEM(tuple, i, object);
  }
  return tuple;
}

PyObject *pyddb_reader_read(pyddb_reader *reader, const ddb_record *record) {
  if (reader->query->form == PYDDB_FORM_DICT) {
    return pyddb_record_out(reader->source, record, reader->texts);
  }
  if (reader->indexes && ddb_record_shape(record) != reader->shape) {
    find_columns(reader, ddb_record_shape(record));
  }
  if (reader->projection) {
    ddb_projection_read(reader->projection, record, reader->values);
  }
  switch (reader->query->form) {
  case PYDDB_FORM_VIEW:
    return pyddb_record_view_new(reader->source, record);
  case PYDDB_FORM_COLUMNS:
    return columns_out(reader, record);
  case PYDDB_FORM_VALUE:
    return column_out(reader, record, 0);
  case PYDDB_FORM_TUPLE:
    return tuple_out(reader, record);
  case PYDDB_FORM_DICT:
    break;
  }
  Py_UNREACHABLE();
}

/* Items not reached stay NULL, and the list is dropped. */
static int fill(pyddb_reader *reader, const ddb_record *const *records, PyObject *list) {
  pyddb_breath breath = {0};
  Py_ssize_t count = PyList_GET_SIZE(list);
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *item = pyddb_reader_read(reader, records[i]);
    if (!item) {
      return -1;
    }
    PyList_SET_ITEM(list, i, item);
    if (pyddb_breathe(&breath) < 0) {
      return -1;
    }
  }
  return 0;
}

PyObject *pyddb_records_out(pyddb_source *source, const pyddb_query *query,
                            const ddb_record *const *records, size_t count) {
  pyddb_reader reader;
  if (pyddb_reader_init(&reader, source, query) < 0) {
    return NULL;
  }
  PyObject *list = PyList_New((Py_ssize_t)count);
  if (list && fill(&reader, records, list) < 0) {
    Py_CLEAR(list);
  }
  pyddb_reader_fini(&reader);
  return list;
}
