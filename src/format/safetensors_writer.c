/* SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors_writer.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "base/text.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "format/safetensors_header.h"

#define DATA_ALIGNMENT 64
#define LENGTH_BYTES 8 /* the header's length, little-endian, before the header */
#define METADATA_KEY "__metadata__"

/* The order of the data. Within a class tensors keep the order in which they were declared; each class is
 * made of whole elements at least as wide as the next one's, so that every tensor lies aligned for its type.
 */
enum { CLASS_INDICES, CLASS_8_BYTES, CLASS_4_BYTES, CLASS_2_BYTES, CLASS_1_BYTE, N_CLASSES };

typedef struct slot {
    json_t *entry;    /* {"dtype", "shape", "data_offsets"}; borrowed from the header */
    const char *name; /* borrowed from the header */
    int order_class;
    size_t bytes;
    uint64_t offset; /* in the file; known from lutra_writer_begin on */
    atomic_size_t written;
} slot;

struct lutra_writer {
    lutra_atomic_file *file;
    json_t *header;
    slot *slots; /* [capacity], n_slots used */
    size_t n_slots, capacity;
    uint64_t file_bytes;
    bool begun;
};

static lutra_status start_header(lutra_writer *writer, lutra_error *error)
{
    writer->header = json_object();
    if (!writer->header || json_object_set_new(writer->header, METADATA_KEY, json_object()) != 0)
        return lutra_fail_memory(error, sizeof(json_t *), "the output's header");
    return LUTRA_OK;
}

lutra_status lutra_writer_create(const char *path, lutra_writer **result, lutra_error *error)
{
    lutra_writer *writer = NULL;
    *result = NULL;
    lutra_status status = lutra_allocate(1, sizeof *writer, "the output", &writer, error);
    if (status)
        return status;
    if ((status = start_header(writer, error)) == LUTRA_OK)
        status = lutra_atomic_file_open(path, &writer->file, error);
    if (status)
        lutra_writer_free(writer);
    else
        *result = writer;
    return status;
}

lutra_status lutra_writer_restart(lutra_writer *writer, lutra_error *error)
{
    json_decref(writer->header);
    free(writer->slots);
    writer->slots = NULL;
    writer->n_slots = writer->capacity = 0;
    writer->file_bytes = 0;
    writer->begun = false;
    const lutra_status status = start_header(writer, error);
    return status ? status : lutra_atomic_file_restart(writer->file, error);
}

void lutra_writer_free(lutra_writer *writer)
{
    if (!writer)
        return;
    lutra_atomic_file_close(writer->file);
    json_decref(writer->header);
    free(writer->slots);
    free(writer);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static int order_class_of(const char *name, lutra_dtype dtype, size_t bytes)
{
    if (dtype == LUTRA_U8 && bytes % DATA_ALIGNMENT == 0 && ends_with(name, ".indices"))
        return CLASS_INDICES;
    switch (lutra_dtype_size(dtype)) {
    case 8:
        return CLASS_8_BYTES;
    case 4:
        return CLASS_4_BYTES;
    case 2:
        return CLASS_2_BYTES;
    default:
        return CLASS_1_BYTE;
    }
}

/* Room for one more, which is not counted yet. */
static lutra_status add_slot(lutra_writer *writer, slot **added, lutra_error *error)
{
    if (writer->n_slots == writer->capacity) {
        const size_t capacity = writer->capacity ? 2 * writer->capacity : 64;
        slot *slots = NULL;
        lutra_status status = lutra_allocate(capacity, sizeof *slots, "the output's tensors", &slots, error);
        if (status)
            return status;
        for (size_t i = 0; i < writer->n_slots; i++) {
            slots[i].entry = writer->slots[i].entry;
            slots[i].name = writer->slots[i].name;
            slots[i].order_class = writer->slots[i].order_class;
            slots[i].bytes = writer->slots[i].bytes;
        }
        free(writer->slots);
        writer->slots = slots;
        writer->capacity = capacity;
    }
    *added = &writer->slots[writer->n_slots];
    return LUTRA_OK;
}

static json_t *shape_json(size_t rank, const size_t *shape)
{
    json_t *array = json_array();
    for (size_t i = 0; i < rank; i++)
        lutra_json_append(&array, json_integer((json_int_t)shape[i]));
    return array;
}

lutra_status lutra_writer_declare(lutra_writer *writer, const char *name, lutra_dtype dtype, size_t rank,
                                  const size_t *shape, size_t *slot_index, lutra_error *error)
{
    const char *path = lutra_atomic_file_path(writer->file);
    size_t bytes = lutra_dtype_size(dtype);
    if (writer->begun || bytes == 0 || rank > LUTRA_MAX_RANK)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET, "tensor %s cannot be declared",
                          name);
    for (size_t i = 0; i < rank; i++)
        if (!lutra_size_multiply(bytes, shape[i], &bytes) || bytes > PTRDIFF_MAX)
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET, "tensor %s is too large",
                              name);
    if (json_object_get(writer->header, name))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                          "two tensors would be called %s in it", name);
    if (writer->n_slots == LUTRA_MAX_TENSORS)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "it would hold more than %d tensors", LUTRA_MAX_TENSORS);
    if (!lutra_is_utf8(name, strlen(name)))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                          "the name of tensor %s is not UTF-8", name);
    slot *added = NULL;
    lutra_status status = add_slot(writer, &added, error);
    if (status)
        return status;
    json_t *entry =
        json_pack("{s:s, s:o}", "dtype", lutra_dtype_name(dtype), "shape", shape_json(rank, shape));
    if (!entry || json_object_set_new(writer->header, name, entry) != 0)
        return lutra_fail_memory(error, sizeof *entry, "the output's header");
    writer->n_slots++;
    added->entry = entry;
    added->name = json_object_iter_key(json_object_iter_at(writer->header, name));
    added->order_class = order_class_of(name, dtype, bytes);
    added->bytes = bytes;
    *slot_index = writer->n_slots - 1;
    return LUTRA_OK;
}

/* Lays the tensors out, offsets counted from the start of the data. */
static lutra_status place_tensors(lutra_writer *writer, uint64_t *data_bytes, lutra_error *error)
{
    uint64_t at = 0;
    for (int order_class = 0; order_class < N_CLASSES; order_class++) {
        for (size_t i = 0; i < writer->n_slots; i++) {
            slot *tensor = &writer->slots[i];
            if (tensor->order_class != order_class)
                continue;
            if (tensor->bytes > INT64_MAX - at)
                return lutra_fail(error, LUTRA_ERROR_ARGUMENT, lutra_atomic_file_path(writer->file),
                                  LUTRA_NO_OFFSET, "its tensors are too large");
            tensor->offset = at;
            at += tensor->bytes;
            if (json_object_set_new(tensor->entry, "data_offsets",
                                    json_pack("[I, I]", (json_int_t)tensor->offset, (json_int_t)at)) != 0)
                return lutra_fail_memory(error, sizeof(json_t), "the output's header");
        }
    }
    *data_bytes = at;
    return LUTRA_OK;
}

static lutra_status write_header(lutra_writer *writer, uint64_t *data_start, lutra_error *error)
{
    const char *path = lutra_atomic_file_path(writer->file);
    const size_t n = json_dumpb(writer->header, NULL, 0, JSON_COMPACT);
    const size_t total = lutra_round_up(LENGTH_BYTES + n, DATA_ALIGNMENT);
    char *text = NULL;
    if (n == 0)
        return lutra_fail_memory(error, SIZE_MAX, "the output's header");
    if (total - LENGTH_BYTES > LUTRA_MAX_HEADER_BYTES)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "its header would have %zu bytes; safetensors allows %d", n,
                          LUTRA_MAX_HEADER_BYTES);
    lutra_status status = lutra_allocate(total, 1, "the output's header", &text, error);
    if (status)
        return status;
    memset(text, ' ', total);
    const uint64_t length = total - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++)
        text[i] = (char)(length >> (8 * i) & 0xff);
    if (json_dumpb(writer->header, text + LENGTH_BYTES, n, JSON_COMPACT) != n)
        status = lutra_fail_memory(error, n, "the output's header");
    else
        status = lutra_atomic_file_write(writer->file, 0, text, total, error);
    *data_start = total;
    free(text);
    return status;
}

lutra_status lutra_writer_begin(lutra_writer *writer, const char *const *keys, const char *const *values,
                                size_t n_metadata, lutra_error *error)
{
    const char *path = lutra_atomic_file_path(writer->file);
    json_t *metadata = json_object_get(writer->header, METADATA_KEY);
    uint64_t data_start = 0, data_bytes = 0;
    if (writer->begun)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                          "its header was written before");
    for (size_t i = 0; i < n_metadata; i++)
        if (!lutra_is_utf8(keys[i], strlen(keys[i])) || !lutra_is_utf8(values[i], strlen(values[i])))
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                              "the metadata \"%s\" is not UTF-8", keys[i]);
        else if (json_object_set_new(metadata, keys[i], json_string(values[i])) != 0)
            return lutra_fail_memory(error, strlen(values[i]), "the output's metadata");
    if (n_metadata == 0)
        json_object_del(writer->header, METADATA_KEY);
    lutra_status status = place_tensors(writer, &data_bytes, error);
    if (status == LUTRA_OK)
        status = write_header(writer, &data_start, error);
    if (status)
        return status;
    for (size_t i = 0; i < writer->n_slots; i++)
        writer->slots[i].offset += data_start;
    writer->file_bytes = data_start + data_bytes;
    writer->begun = true;
    return LUTRA_OK;
}

uint64_t lutra_writer_bytes(const lutra_writer *writer)
{
    return writer->file_bytes;
}

lutra_status lutra_writer_write(lutra_writer *writer, size_t slot_index, size_t offset, const void *data,
                                size_t bytes, lutra_error *error)
{
    const char *path = lutra_atomic_file_path(writer->file);
    if (!writer->begun || slot_index >= writer->n_slots)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET, "no tensor %zu can be written",
                          slot_index);
    slot *tensor = &writer->slots[slot_index];
    if (offset > tensor->bytes || bytes > tensor->bytes - offset)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                          "bytes %zu to %zu of tensor %s, which has %zu, cannot be written", offset,
                          offset + bytes, tensor->name, tensor->bytes);
    lutra_status status = lutra_atomic_file_write(writer->file, tensor->offset + offset, data, bytes, error);
    if (status == LUTRA_OK)
        atomic_fetch_add_explicit(&tensor->written, bytes, memory_order_relaxed);
    return status;
}

lutra_status lutra_writer_commit(lutra_writer *writer, uint64_t *file_bytes, lutra_error *error)
{
    const char *path = lutra_atomic_file_path(writer->file);
    if (!writer->begun)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET, "nothing was written to it");
    for (size_t i = 0; i < writer->n_slots; i++)
        if (atomic_load(&writer->slots[i].written) != writer->slots[i].bytes)
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                              "%zu of the %zu bytes of tensor %s were written",
                              atomic_load(&writer->slots[i].written), writer->slots[i].bytes,
                              writer->slots[i].name);
    if (file_bytes)
        *file_bytes = writer->file_bytes;
    return lutra_atomic_file_commit(writer->file, error);
}
