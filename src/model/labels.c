/* SPDX-License-Identifier: Apache-2.0 */
/* Class names from a text file: one a line, or tab-separated with the class index first and the name last. A
 * byte order mark before them is passed over. */
#include "model/labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/text.h"

lutra_status lutra_labels_check_count(size_t n, const char *path, lutra_error *error)
{
    if (n > LUTRA_MAX_LABELS)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET, "%zu labels are more than %d", n,
                          LUTRA_MAX_LABELS);
    return LUTRA_OK;
}

/* Class `index` gets `name`; a gap before it is filled with empty names. */
static lutra_status set_label(json_t *labels, uint64_t index, const char *name, size_t length,
                              const char *path, uint64_t offset, lutra_error *error)
{
    if (index >= LUTRA_MAX_LABELS)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, offset, "class index %" PRIu64 " is out of range",
                          index);
    while (json_array_size(labels) <= index)
        if (json_array_append_new(labels, json_string("")))
            return lutra_fail_memory(error, (size_t)index, "labels");
    if (!lutra_is_utf8(name, length))
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, offset,
                          "the name of class %" PRIu64 " is not UTF-8", index);
    json_t *label = json_stringn(name, length);
    if (!label)
        return lutra_fail_memory(error, length, "labels");
    json_array_set_new(labels, (size_t)index, label);
    return LUTRA_OK;
}

static lutra_status read_line(json_t *labels, const char *line, size_t length, bool is_first,
                              const char *path, uint64_t offset, lutra_error *error)
{
    const char *tab = memchr(line, '\t', length), *name = line + length;
    char digits[24], *end;
    if (length == 0)
        return LUTRA_OK;
    if (memchr(line, 0, length)) /* where the name would end for its readers */
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, offset,
                          "the line has a byte 0, which is no text: is the file UTF-16?");
    if (!tab)
        return set_label(labels, json_array_size(labels), line, length, path, offset, error);
    while (name > line && name[-1] != '\t')
        name--;
    snprintf(digits, sizeof digits, "%.*s", (int)(tab - line < 23 ? tab - line : 23), line);
    const unsigned long long index = strtoull(digits, &end, 10);
    if (end == digits || *end) {
        if (is_first) /* the columns' headings */
            return LUTRA_OK;
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, offset, "\"%.20s\" is not a class index", digits);
    }
    return set_label(labels, index, name, (size_t)(line + length - name), path, offset, error);
}

lutra_status lutra_labels_read(const char *path, json_t **result, lutra_error *error)
{
    lutra_file_map map;
    lutra_status status = lutra_file_map_read(path, LUTRA_MAX_LABEL_BYTES, &map, error);
    if (status)
        return status;
    json_t *labels = json_array();
    if (!labels)
        status = lutra_fail_memory(error, sizeof *labels, "labels");
    const char *text = (const char *)map.data;
    const size_t first = map.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (size_t begin = first; begin < map.size && status == LUTRA_OK;) {
        const char *newline = memchr(text + begin, '\n', map.size - begin);
        size_t length = newline ? (size_t)(newline - text) - begin : map.size - begin;
        const size_t next = begin + length + 1;
        if (length && text[begin + length - 1] == '\r')
            length--;
        status = read_line(labels, text + begin, length, begin == first, path, begin, error);
        begin = next;
    }
    lutra_file_map_close(&map);
    if (status)
        json_decref(labels);
    else
        *result = labels;
    return status;
}
