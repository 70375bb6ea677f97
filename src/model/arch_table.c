/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "model/vit_settings.h"

enum { IMAGENET = 0, HALF = 1 };

static const lutra_vit_arch archs[] = {
#define ARCH(name, image, patch, dim, depth, heads, distilled, registers, patches_only, layer_scale,         \
             classes, normalisation, crop_pct)                                                               \
    {name,      image,        patch,       dim,     depth,         heads,   distilled,                       \
     registers, patches_only, layer_scale, classes, normalisation, crop_pct},
#include "model/arch_table.inc"
#undef ARCH
};

#define N_ARCHS (sizeof archs / sizeof *archs)

const lutra_vit_arch *lutra_vit_arch_at(size_t index)
{
    return index < N_ARCHS ? &archs[index] : NULL;
}

const char *lutra_arch_name(size_t index)
{
    return index < N_ARCHS ? archs[index].name : NULL;
}

const lutra_vit_arch *lutra_vit_arch_find(const char *name, size_t length)
{
    for (size_t i = 0; i < N_ARCHS; i++)
        if (strlen(archs[i].name) == length && memcmp(archs[i].name, name, length) == 0)
            return &archs[i];
    return NULL;
}

const lutra_vit_arch *lutra_vit_arch_prefix(const char *text)
{
    const lutra_vit_arch *longest = NULL;
    for (size_t i = 0; i < N_ARCHS; i++)
        if (strncmp(text, archs[i].name, strlen(archs[i].name)) == 0 &&
            (!longest || strlen(archs[i].name) > strlen(longest->name)))
            longest = &archs[i];
    return longest;
}

/* What timm 1.0.31 has under names that go on from a row's, with another mean, standard deviation, crop or
 * filter than the row's own weights (make_archs.py compares all its names). */
static const struct {
    const char *row;   /* begins so */
    size_t image_size; /* 0: any */
    const char *tail;  /* behind a separator */
} others[] = {
    {"vit_", 0, "bamboo"}, {"vit_", 0, "clip"},         {"vit_", 0, "dino"},         {"vit_", 0, "mae"},
    {"vit_", 0, "miil"},   {"deit3_", 224, "fb_in22k"}, {"deit3_", 224, "in21ft1k"},
};

bool lutra_vit_arch_wants_other_pictures(const lutra_vit_arch *arch, const char *text)
{
    const char *tail = text + strlen(arch->name);
    tail += *tail != '\0';
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const size_t length = strlen(others[i].tail);
        if (strncmp(arch->name, others[i].row, strlen(others[i].row)) == 0 &&
            (!others[i].image_size || arch->image_size == others[i].image_size) &&
            strncmp(tail, others[i].tail, length) == 0 && strchr("._-", tail[length])) /* or the text's end */
            return true;
    }
    return false;
}

/* Levenshtein's distance, of names up to 63 characters. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64];
    const size_t n_a = strnlen(a, 63), n_b = strnlen(b, 63);
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = substituted < best ? substituted : best;
        }
    }
    return row[n_b];
}

lutra_status lutra_vit_arch_unknown(const char *name, const char *path, lutra_error *error)
{
    enum { N_NEAREST = 3 };
    const char *nearest[N_NEAREST] = {0};
    size_t distances[N_NEAREST] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    for (size_t i = 0; i < N_ARCHS; i++) {
        size_t distance = edit_distance(name, archs[i].name), place = N_NEAREST;
        while (place > 0 && distance < distances[place - 1])
            place--;
        for (size_t j = N_NEAREST - 1; j > place && place < N_NEAREST; j--) {
            nearest[j] = nearest[j - 1];
            distances[j] = distances[j - 1];
        }
        if (place < N_NEAREST) {
            nearest[place] = archs[i].name;
            distances[place] = distance;
        }
    }
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                      "unknown architecture \"%.100s\"; the nearest known are %s, %s, %s", name, nearest[0],
                      nearest[1], nearest[2]);
}

static void set_rgb(float *rgb, float r, float g, float b)
{
    rgb[0] = r;
    rgb[1] = g;
    rgb[2] = b;
}

void lutra_vit_settings_init(lutra_vit_settings *settings)
{
    *settings = (lutra_vit_settings){
        .arch_source = "shapes",
        .eps = 1e-6,
        .position_antialias = true,
        .preprocessing = {.crop_pct = 0.875, .crop_mode = LUTRA_CROP_CENTER, .resample = LUTRA_BICUBIC},
    };
    set_rgb(settings->preprocessing.mean, 0.485f, 0.456f, 0.406f);
    set_rgb(settings->preprocessing.std, 0.229f, 0.224f, 0.225f);
}

void lutra_vit_settings_from_arch(const lutra_vit_arch *arch, lutra_vit_settings *settings)
{
    snprintf(settings->arch, sizeof settings->arch, "%s", arch->name);
    settings->n_heads = arch->n_heads;
    settings->native_height = settings->native_width = arch->image_size;
    settings->dim = arch->dim;
    settings->depth = arch->depth;
    settings->mlp_dim = 4 * arch->dim;
    settings->patch = arch->patch;
    settings->says_registers = true;
    settings->n_registers = arch->n_registers;
    settings->preprocessing.crop_pct = arch->crop_pct;
    if (arch->half_normalisation) {
        set_rgb(settings->preprocessing.mean, 0.5f, 0.5f, 0.5f);
        set_rgb(settings->preprocessing.std, 0.5f, 0.5f, 0.5f);
    }
}

void lutra_vit_settings_free(lutra_vit_settings *settings)
{
    json_decref(settings->labels);
    settings->labels = NULL;
}
