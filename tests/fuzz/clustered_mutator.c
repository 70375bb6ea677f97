/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates model files as what they are: a list of tensors and a description. Of ten mutations nine leave a
 * valid container (the header parses, tensors follow each other without holes, each has the bytes that its
 * shape declares), so that what lies behind the container's checks is reached; the tenth is libFuzzer's own.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "fuzz.h"
#include "tiny_model.h"

enum { MAX_TENSORS = 128, MAX_NODES = 1024 };

typedef struct part {
    const char *name; /* the header's */
    json_t *entry;    /* the header's */
    uint8_t *data;    /* [n_bytes] */
    size_t n_bytes;
} part;

typedef struct container {
    json_t *header;
    json_t *config; /* parsed, or NULL */
    part parts[MAX_TENSORS];
    size_t n_parts;
    size_t misalignment; /* spaces beyond those that align the data */
    size_t max_size;
    uint64_t state;
} container;

static bool chance(container *c, size_t one_in)
{
    return tiny_random_below(&c->state, one_in) == 0;
}

/* ---- taking apart ------------------------------------------------------------------------------ */

static int compare_offsets(const void *left, const void *right)
{
    const uint8_t *a = ((const part *)left)->data, *b = ((const part *)right)->data;
    return a < b ? -1 : a > b;
}

static bool read_part(const uint8_t *data, size_t size, const char *name, json_t *entry, part *result)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    const json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (!json_is_array(json_object_get(entry, "shape")) || begin < 0 || end < begin || (uint64_t)end > size)
        return false;
    *result = (part){name, entry, (uint8_t *)(uintptr_t)data + begin, (size_t)(end - begin)};
    return true;
}

static void copy_parts(container *c)
{
    qsort(c->parts, c->n_parts, sizeof *c->parts, compare_offsets);
    for (size_t i = 0; i < c->n_parts; i++) {
        uint8_t *copy = malloc(c->parts[i].n_bytes + 1);
        fuzz_require(copy);
        memcpy(copy, c->parts[i].data, c->parts[i].n_bytes);
        c->parts[i].data = copy;
    }
}

static bool take_apart(container *c, const uint8_t *data, size_t size)
{
    uint64_t length = 0;
    const char *name;
    json_t *entry;
    for (size_t i = 8; size >= 8 && i-- > 0;)
        length = length << 8 | data[i];
    if (size < 8 || length > size - 8)
        return false;
    c->header = json_loadb((const char *)data + 8, (size_t)length, 0, NULL);
    json_object_foreach(c->header, name, entry)
    {
        if (strcmp(name, "__metadata__") != 0 && c->n_parts < MAX_TENSORS &&
            read_part(data + 8 + length, size - 8 - (size_t)length, name, entry, &c->parts[c->n_parts]))
            c->n_parts++;
    }
    copy_parts(c);
    const char *config =
        json_string_value(json_object_get(json_object_get(c->header, "__metadata__"), "lutra.config"));
    c->config = config ? json_loads(config, 0, NULL) : NULL;
    return c->n_parts > 0;
}

static void discard(container *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        free(c->parts[i].data);
    json_decref(c->config);
    json_decref(c->header);
    free(c);
}

/* ---- putting together -------------------------------------------------------------------------- */

/* The bytes that the tensor's shape and type declare; false where they are none that a file can hold. */
static bool declared_bytes(const container *c, const part *p, size_t *bytes)
{
    const json_t *shape = json_object_get(p->entry, "shape");
    const char *name = json_string_value(json_object_get(p->entry, "dtype"));
    lutra_dtype dtype;
    if (!name || !lutra_dtype_parse(name, &dtype))
        return false;
    *bytes = lutra_dtype_size(dtype);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_int_t extent = json_integer_value(json_array_get(shape, i));
        if (extent == 0)
            *bytes = 0;
        if (extent < 0 || (*bytes && (uint64_t)extent > c->max_size / *bytes))
            return false;
        *bytes *= (size_t)extent;
    }
    return true;
}

static void lay_out(container *c)
{
    size_t at = 0;
    for (size_t i = 0; i < c->n_parts; i++) {
        part *p = &c->parts[i];
        size_t bytes;
        if (declared_bytes(c, p, &bytes) && bytes != p->n_bytes) {
            p->data = realloc(p->data, bytes + 1);
            fuzz_require(p->data);
            for (size_t j = p->n_bytes; j < bytes; j++)
                p->data[j] = j < 64 || p->n_bytes == 0 ? 0 : p->data[j - p->n_bytes];
            p->n_bytes = bytes;
        }
        json_object_set_new(p->entry, "data_offsets",
                            json_pack("[I, I]", (json_int_t)at, (json_int_t)(at + p->n_bytes)));
        at += p->n_bytes;
    }
}

static void write_config(const container *c)
{
    char *text = c->config ? json_dumps(c->config, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text)
        json_object_set_new(json_object_get(c->header, "__metadata__"), "lutra.config", json_string(text));
    free(text);
}

static size_t put_together(container *c, uint8_t *data)
{
    write_config(c);
    lay_out(c);
    char *header = json_dumps(c->header, JSON_COMPACT);
    fuzz_require(header);
    const size_t text = strlen(header), length = (text + 8 + 63) / 64 * 64 - 8 + c->misalignment;
    size_t size = 8 + length;
    for (size_t i = 0; i < c->n_parts; i++)
        size += c->parts[i].n_bytes;
    if (size <= c->max_size) {
        for (size_t i = 0; i < 8; i++)
            data[i] = (uint8_t)((uint64_t)length >> 8 * i);
        memset(data + 8, ' ', length);
        memcpy(data + 8, header, text);
        data += 8 + length;
        for (size_t i = 0; i < c->n_parts; i++) {
            memcpy(data, c->parts[i].data, c->parts[i].n_bytes);
            data += c->parts[i].n_bytes;
        }
    }
    free(header);
    return size <= c->max_size ? size : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

/* A scalar and where it stands: under `key` of an object, or at `index` of an array. */
typedef struct node {
    json_t *parent, *value;
    const char *key;
    size_t index;
} node;

static size_t collect(json_t *json, node *nodes, size_t n)
{
    const char *key;
    json_t *value;
    size_t i;
    json_object_foreach(json, key, value)
    {
        if (n < MAX_NODES)
            nodes[n++] = (node){json, value, key, 0};
        n = collect(value, nodes, n);
    }
    json_array_foreach(json, i, value)
    {
        if (n < MAX_NODES)
            nodes[n++] = (node){json, value, NULL, i};
        n = collect(value, nodes, n);
    }
    return n;
}

static json_int_t other_integer(container *c, json_int_t old)
{
    static const json_int_t edges[] = {-1,
                                       0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       8,
                                       127,
                                       128,
                                       255,
                                       256,
                                       257,
                                       32768,
                                       65536,
                                       65537,
                                       1 << 20,
                                       2147483647,
                                       2147483648,
                                       4294967296,
                                       (json_int_t)1 << 60,
                                       (json_int_t)1 << 61,
                                       INT64_MAX};
    switch (tiny_random_below(&c->state, 4)) {
    case 0:
        return old < INT64_MAX ? old + 1 : old;
    case 1:
        return old > INT64_MIN ? old - 1 : old;
    case 2:
        return old < INT64_MAX / 2 && old > 0 ? old * 2 : old;
    default:
        return edges[tiny_random_below(&c->state, sizeof edges / sizeof *edges)];
    }
}

static json_t *other_value(container *c, const json_t *old)
{
    static const char *const words[] = {"row",
                                        "tensor",
                                        "model",
                                        "F32",
                                        "F16",
                                        "BF16",
                                        "F64",
                                        "I8",
                                        "U8",
                                        "gelu",
                                        "token",
                                        "average",
                                        "token and average",
                                        "gelu_tanh",
                                        "center",
                                        "squash",
                                        "border",
                                        "vit",
                                        "1",
                                        "",
                                        "a\x1b[31m\n"};
    static const double numbers[] = {0, -1, 1, 0.5, 1e-6, 1e-45, 1e-300, 1e38, 1e39, 1e300, 255, 65537};
    switch (json_is_integer(old) && !chance(c, 8) ? 0 : tiny_random_below(&c->state, 4)) {
    case 0:
        return json_integer(other_integer(c, json_integer_value(old)));
    case 1:
        return json_real(numbers[tiny_random_below(&c->state, sizeof numbers / sizeof *numbers)]);
    case 2:
        return json_string(words[tiny_random_below(&c->state, sizeof words / sizeof *words)]);
    default:
        return json_is_true(old) ? json_false() : chance(c, 2) ? json_true() : json_array();
    }
}

static void mutate_json(container *c, json_t *json)
{
    static node nodes[MAX_NODES];
    const size_t n = collect(json, nodes, 0);
    if (n == 0)
        return;
    const node chosen = nodes[tiny_random_below(&c->state, n)];
    const bool removed = chance(c, 16);
    json_t *value = removed ? NULL : other_value(c, chosen.value);
    if (!removed && (json_is_object(chosen.value) || (json_is_array(chosen.value) && !chance(c, 4)))) {
        json_decref(value); /* it would take all that is in it along */
        return;
    }
    if (chosen.key)
        removed ? json_object_del(chosen.parent, chosen.key)
                : json_object_set_new(chosen.parent, chosen.key, value);
    else
        removed ? json_array_remove(chosen.parent, chosen.index)
                : json_array_set_new(chosen.parent, chosen.index, value);
}

/* ---- tensors ------------------------------------------------------------------------------------- */

static part *any_part(container *c)
{
    return &c->parts[tiny_random_below(&c->state, c->n_parts)];
}

static void mutate_bytes(container *c)
{
    part *p = any_part(c);
    if (p->n_bytes)
        LLVMFuzzerMutate(p->data, p->n_bytes, p->n_bytes);
}

static void mutate_float(container *c)
{
    static const uint32_t edges[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x80000000, 0x00000001,
                                     0x7f7fffff, 0xff7fffff, 0x3f800000, 0xbf800000, 0x00800000};
    part *p = any_part(c);
    const uint32_t bits = edges[tiny_random_below(&c->state, sizeof edges / sizeof *edges)];
    if (p->n_bytes >= 4)
        memcpy(p->data + tiny_random_below(&c->state, p->n_bytes / 4) * 4, &bits, 4);
}

static void mutate_shape(container *c)
{
    json_t *shape = json_object_get(any_part(c)->entry, "shape");
    const size_t n = json_array_size(shape), i = n ? tiny_random_below(&c->state, n) : 0;
    const json_int_t old = json_integer_value(json_array_get(shape, i));
    switch (n ? tiny_random_below(&c->state, 4) : 0) {
    case 0:
        json_array_append_new(shape, json_integer(other_integer(c, 1)));
        break;
    case 1:
        json_array_remove(shape, i);
        break;
    default:
        json_array_set_new(shape, i, json_integer(other_integer(c, old)));
    }
}

static void mutate_dtype(container *c)
{
    json_object_set_new(any_part(c)->entry, "dtype",
                        json_string(lutra_dtype_name((lutra_dtype)tiny_random_below(&c->state, 15))));
}

static void remove_part(container *c)
{
    const size_t i = tiny_random_below(&c->state, c->n_parts);
    if (c->n_parts < 2)
        return;
    free(c->parts[i].data);
    json_object_del(c->header, c->parts[i].name);
    memmove(&c->parts[i], &c->parts[i + 1], (--c->n_parts - i) * sizeof *c->parts);
}

/* A tensor of another's shape and bytes under a name that a model may have. */
static void add_part(container *c)
{
    static const char *const names[] = {"reg_token",
                                        "dist_token",
                                        "norm_pre.weight",
                                        "fc_norm.weight",
                                        "head_dist.weight",
                                        "blocks.0.ls1.gamma",
                                        "cls_token",
                                        "lutra.codebook",
                                        "mask_token",
                                        "blocks.1.norm1.weight",
                                        "x"};
    const char *name = names[tiny_random_below(&c->state, sizeof names / sizeof *names)];
    const part *source = any_part(c);
    if (c->n_parts == MAX_TENSORS || json_object_get(c->header, name))
        return;
    part *p = &c->parts[c->n_parts++];
    *p = (part){.entry = json_deep_copy(source->entry), .data = malloc(source->n_bytes + 1)};
    fuzz_require(p->data && json_object_set_new(c->header, name, p->entry) == 0);
    p->name = json_object_iter_key(json_object_iter_at(c->header, name));
    p->n_bytes = source->n_bytes;
    memcpy(p->data, source->data, source->n_bytes);
}

static void swap_parts(container *c)
{
    part *a = any_part(c), *b = any_part(c), kept = *a;
    *a = *b;
    *b = kept;
}

/* The number of clusters in the description and in the codebook alike. */
static void mutate_clusters(container *c)
{
    part *p = any_part(c);
    const size_t length = strlen(p->name), end = strlen(".codebook");
    char name[256];
    if (length <= end || length >= sizeof name || strcmp(p->name + length - end, ".codebook") != 0)
        return;
    memcpy(name, p->name, length - end);
    name[length - end] = 0;
    json_t *description = json_object_get(json_object_get(c->config, "tensors"), name);
    const size_t bits = (size_t)json_integer_value(json_object_get(description, "bits"));
    if (bits < 1 || bits > 8)
        return;
    const size_t least = bits == 1 ? 2 : ((size_t)1 << (bits - 1)) + 1, most = (size_t)1 << bits;
    const size_t n = least + tiny_random_below(&c->state, most - least + 1);
    json_object_set_new(description, "clusters", json_integer((json_int_t)n));
    json_object_set_new(p->entry, "shape", json_pack("[I]", (json_int_t)n));
}

static void mutate(container *c)
{
    switch (tiny_random_below(&c->state, 14)) {
    case 0:
    case 1:
        mutate_bytes(c);
        break;
    case 2:
    case 3:
        mutate_float(c);
        break;
    case 4:
    case 5:
        mutate_shape(c);
        break;
    case 6:
        mutate_dtype(c);
        break;
    case 7:
        remove_part(c);
        break;
    case 8:
        add_part(c);
        break;
    case 9:
        swap_parts(c);
        break;
    case 10:
        c->misalignment = tiny_random_below(&c->state, 64);
        break;
    case 11:
        mutate_clusters(c);
        break;
    default:
        mutate_json(c, c->config);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    container *c = calloc(1, sizeof *c);
    fuzz_require(c);
    c->state = seed;
    c->max_size = max_size;
    size_t mutated = 0;
    if (!chance(c, 10) && take_apart(c, data, size)) {
        const size_t n = 1 + tiny_random_below(&c->state, 3);
        for (size_t i = 0; i < n; i++)
            mutate(c);
        mutated = put_together(c, data);
    }
    discard(c);
    return mutated ? mutated : LLVMFuzzerMutate(data, size, max_size);
}
