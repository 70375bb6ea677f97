/* SPDX-License-Identifier: Apache-2.0 */
/* The layout is that of https://github.com/huggingface/safetensors: a 64-bit little-endian header size, a
 * JSON header, then the tensors' bytes without holes. */
#include "format/safetensors_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "format/dtype.h"
#include "format/json.h"

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* What the parts of a tensor's description are read against. */
struct reader {
    const char *path;
    const uint8_t *data;  /* where tensors' offsets count from */
    uint64_t data_offset; /* of `data` in the file */
    size_t data_size;
    lutra_error *error;
};

static lutra_status fail_tensor(const struct reader *reader, const char *name, const char *problem)
{
    return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, 8, "tensor \"%.200s\": %s", name,
                      problem);
}

static lutra_status read_shape(const struct reader *reader, const json_t *shape, lutra_tensor *tensor)
{
    if (!json_is_array(shape))
        return fail_tensor(reader, tensor->name, "has no shape");
    tensor->rank = json_array_size(shape);
    if (tensor->rank > LUTRA_MAX_RANK)
        return fail_tensor(reader, tensor->name, "has more than 8 dimensions");
    tensor->n_elements = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return fail_tensor(reader, tensor->name, "has a dimension that is not a count");
        if (!lutra_size_from((uint64_t)json_integer_value(extent), &tensor->shape[i]) ||
            !lutra_size_multiply(tensor->n_elements, tensor->shape[i], &tensor->n_elements))
            return fail_tensor(reader, tensor->name, "has a shape that overflows");
    }
    return LUTRA_OK;
}

static lutra_status read_extent(const struct reader *reader, const json_t *offsets, lutra_tensor *tensor)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return fail_tensor(reader, tensor->name, "has no valid data_offsets");
    const uint64_t begin = (uint64_t)json_integer_value(first), end = (uint64_t)json_integer_value(last);
    size_t bytes;
    if (end > reader->data_size)
        return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, reader->data_offset + begin,
                          "tensor \"%.200s\" ends at byte %" PRIu64 ", beyond the file's end at %" PRIu64
                          " (is the file truncated?)",
                          tensor->name, reader->data_offset + end, reader->data_offset + reader->data_size);
    if (!lutra_size_multiply(tensor->n_elements, lutra_dtype_size(tensor->dtype), &bytes) ||
        bytes != end - begin)
        return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, reader->data_offset + begin,
                          "tensor \"%.200s\" has %" PRIu64 " bytes, which do not fit its shape and type %s",
                          tensor->name, end - begin, lutra_dtype_name(tensor->dtype));
    tensor->bytes = bytes;
    tensor->data = reader->data + begin;
    tensor->offset = reader->data_offset + begin;
    tensor->readable = reader->data_size - (size_t)begin;
    tensor->path = reader->path;
    return LUTRA_OK;
}

static lutra_status read_tensor(const struct reader *reader, const char *name, const json_t *description,
                                lutra_tensor *tensor)
{
    tensor->name = name;
    const char *dtype = json_string_value(json_object_get(description, "dtype"));
    if (!dtype)
        return fail_tensor(reader, name, "has no dtype");
    if (!lutra_dtype_parse(dtype, &tensor->dtype))
        return lutra_fail(reader->error, LUTRA_ERROR_UNSUPPORTED, reader->path, 8,
                          "tensor \"%.200s\" has the unknown dtype \"%.32s\"", name, dtype);
    lutra_status status = read_shape(reader, json_object_get(description, "shape"), tensor);
    if (status)
        return status;
    return read_extent(reader, json_object_get(description, "data_offsets"), tensor);
}

static int compare_offsets(const void *left, const void *right)
{
    const lutra_tensor *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Tensors follow each other without holes and overlaps up to the end of the file. */
static lutra_status check_coverage(const struct reader *reader, const lutra_tensor *tensors, size_t n)
{
    uint64_t end = reader->data_offset;
    for (size_t i = 0; i < n; i++) {
        if (tensors[i].offset != end)
            return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, tensors[i].offset,
                              "tensor \"%.200s\" %s", tensors[i].name,
                              tensors[i].offset < end ? "overlaps the one before it"
                                                      : "leaves a hole before it");
        end += tensors[i].bytes;
    }
    if (end != reader->data_offset + reader->data_size)
        return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, end,
                          "%" PRIu64 " bytes behind the last tensor belong to none",
                          reader->data_offset + reader->data_size - end);
    return LUTRA_OK;
}

static lutra_status check_metadata(const struct reader *reader, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path, 8,
                          "__metadata__ is not an object");
    json_object_foreach(
        (json_t *)(uintptr_t)metadata, key,
        value) if (!json_is_string(value)) return lutra_fail(reader->error, LUTRA_ERROR_FORMAT, reader->path,
                                                             8, "__metadata__ \"%.200s\" is not a string",
                                                             key);
    return LUTRA_OK;
}

static lutra_status read_tensors(const struct reader *reader, const json_t *header, lutra_tensor **tensors,
                                 size_t *n)
{
    const char *name;
    json_t *description;
    if (json_object_size(header) > LUTRA_MAX_TENSORS + (json_object_get(header, "__metadata__") != NULL))
        return lutra_fail(reader->error, LUTRA_ERROR_UNSUPPORTED, reader->path, 8,
                          "declares %zu tensors; the limit is %d", json_object_size(header),
                          LUTRA_MAX_TENSORS);
    lutra_status status =
        lutra_allocate(json_object_size(header), sizeof **tensors, "tensors", tensors, reader->error);
    if (status)
        return status;
    json_object_foreach((json_t *)(uintptr_t)header, name, description)
    {
        if (strcmp(name, "__metadata__") == 0)
            status = check_metadata(reader, description);
        else
            status = read_tensor(reader, name, description, &(*tensors)[(*n)++]);
        if (status)
            return status;
    }
    qsort(*tensors, *n, sizeof **tensors, compare_offsets);
    return check_coverage(reader, *tensors, *n);
}

lutra_status lutra_safetensors_parse(const uint8_t *data, size_t size, const char *path,
                                     lutra_json_room *room, json_t **header, lutra_tensor **tensors,
                                     size_t *n_tensors, lutra_error *error)
{
    *header = NULL;
    *tensors = NULL;
    *n_tensors = 0;
    if (size < 8)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, size,
                          "is too short for a safetensors file (%zu bytes)", size);
    const uint64_t header_size = read_u64(data);
    if (header_size > LUTRA_MAX_HEADER_BYTES)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 0,
                          "is not a safetensors file: its header would take %" PRIu64 " bytes", header_size);
    if (header_size > size - 8)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 0,
                          "the header of %" PRIu64 " bytes is longer than the file (%zu bytes)", header_size,
                          size);
    if (header_size == 0 || data[8] != '{')
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 8, "the header does not begin with {");
    lutra_status status = lutra_json_parse_in(room, data + 8, (size_t)header_size, path, 8, header, error);
    if (status)
        return status;
    const struct reader reader = {
        .path = path,
        .data = data + 8 + header_size,
        .data_offset = 8 + header_size,
        .data_size = size - 8 - (size_t)header_size,
        .error = error,
    };
    status = read_tensors(&reader, *header, tensors, n_tensors);
    if (status) {
        free(*tensors);
        json_decref(*header);
        *tensors = NULL;
        *header = NULL;
    }
    return status;
}
