/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random small models, clustered in random ways: every level of kernels agrees with the reference, threads
 * and batches change not one bit, and a clustered model yields what its own dense export does. And random
 * products of 8-bit numbers, whose sums must be the exact integers on every level.
 *
 *     lutra-differential [--seed N] [--rounds N] [--seconds N] [--keep FOLDER]
 *
 * Round i of seed N is round 0 of seed N + i, which is what a failure prints. --keep leaves each round's
 * model and clustered file there: seeds for fuzzing.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "kernels/gemm/gemm_i8.h"
#include "kernels/table.h"
#include "tiny_model.h"

enum { MAX_LEVELS = 16, USUAL_BATCH = 3, MAX_BATCH = 9, MAX_OUTPUTS = 4096 };

/* The same numbers summed in another order, as in tests/golden/test_roundtrip.c. */
#define F32_BETWEEN_LEVELS 1e-4
#define CLUSTERED_AGAINST_EXPORT 1e-4
/* Where a float step rounds differently, an activation falls into the neighbouring of 255 steps (of bf16's
 * 256 a binade): relative to the root mean square of the outputs, as in tests/golden/test_modes.c. */
#define INT8_BETWEEN_LEVELS 0.02
#define BF16_BETWEEN_LEVELS 0.004

static uint64_t round_seed;
static size_t n_pictures; /* of a round's model */
static double worst_f32, worst_export, worst_int8, worst_bf16;
static size_t n_compared, n_products;

static const char *levels[MAX_LEVELS];
static size_t n_levels;

static _Noreturn void fail(const char *what, const char *level, double difference)
{
    fprintf(stderr, "%s at %s: %g\nrepeat with: lutra-differential --seed %llu --rounds 1\n", what, level,
            difference, (unsigned long long)round_seed);
    abort();
}

static void check(lutra_status status, const lutra_error *error)
{
    if (status)
        fail(error->message, "all levels", (double)status);
}

static size_t below(uint64_t *state, size_t limit)
{
    return tiny_random_below(state, limit);
}

/* ---- models --------------------------------------------------------------------------------------- */

static bool is_unusual(void)
{
    return round_seed % 3 == 1; /* by the seed, for the others to make the models that they always made */
}

static tiny_model random_model(uint64_t *state)
{
    static const lutra_dtype dtypes[] = {LUTRA_F32, LUTRA_F32, LUTRA_F16, LUTRA_BF16, LUTRA_F64};
    const size_t n_heads = 1 + below(state, 4);
    tiny_model model = {
        .dim = n_heads * (4 + below(state, 13)),
        .depth = 1 + below(state, 2),
        .n_heads = n_heads,
        .mlp_dim = 1 + below(state, 100),
        .patch = 1 + below(state, 5),
        .grid_height = 1 + below(state, 5),
        .grid_width = 1 + below(state, 5),
        .n_classes = below(state, 24),
        .n_registers = below(state, 3) ? 0 : 1 + below(state, 4),
        .layer_scale = below(state, 2),
        .norm_pre = below(state, 2),
        .gelu_tanh = below(state, 2),
        .dtype = dtypes[below(state, 5)],
    };
    model.distilled = below(state, 4) == 0;
    model.pool = model.distilled ? LUTRA_POOL_TOKEN : (lutra_pool)below(state, 3);
    return model;
}

/* Heads, rows and grids of the sizes at which the code takes other paths, one kind at a time. */
static void change_size(tiny_model *model, uint64_t *state)
{
    const size_t kind = below(state, 24);
    if (kind < 2) {
        model->depth = 1;
        model->grid_height = 16 + below(state, 3);
        model->grid_width = 16 + below(state, 3);
        return;
    }
    model->grid_height = 1 + below(state, 3);
    model->grid_width = 1 + below(state, 3);
    if (kind < 8) { /* norms of fewer than 4 numbers would magnify every rounding */
        model->n_heads += 3;
        model->dim = model->n_heads * (1 + below(state, 3));
    } else if (kind < 14) {
        model->dim = model->n_heads * (17 + 2 * below(state, 25));
    } else if (kind < 23) { /* rows of activations have gaps between them */
        model->mlp_dim = 1024 * (1 + below(state, 2));
    } else { /* as those of queries, keys and values; 4 million weights */
        model->dim = 1024;
        model->depth = 1;
        model->n_heads = 16;
        model->grid_height = model->grid_width = 1;
        model->dtype = LUTRA_BF16;
    }
}

static void make_unusual(tiny_model *model, uint64_t *state)
{
    change_size(model, state);
    if (below(state, 3) == 0)
        model->n_classes = 1 + below(state, 300);
    model->separate_qkv = below(state, 2);
    if (model->distilled || below(state, 2))
        return;
    model->pool = LUTRA_POOL_AVERAGE;
    model->no_class_token = below(state, 2);
    model->fc_norm = below(state, 2);
}

static lutra_cluster_options random_options(uint64_t *state)
{
    static const size_t counts[] = {2, 3, 4, 16, 64, 128, 256};
    lutra_cluster_options options = {.scope = (lutra_scope)below(state, 3), .n_threads = 1 + below(state, 3)};
    options.n_clusters = below(state, 2) ? counts[below(state, 7)] : 2 + below(state, 255);
    options.codebook = (lutra_codebook_type)below(state, 3);
    if (options.codebook == LUTRA_CODEBOOK_I8 &&
        (options.scope == LUTRA_SCOPE_MODEL || options.n_clusters > 255))
        options.codebook = LUTRA_CODEBOOK_AUTO;
    options.exact = below(state, 2);
    return options;
}

/* ---- outputs --------------------------------------------------------------------------------------- */

typedef struct outputs {
    size_t n; /* of a picture: logits, then features */
    float values[MAX_BATCH * MAX_OUTPUTS];
} outputs;

static lutra_context *open_context(const lutra_model *model, const char *level, lutra_mode mode,
                                   size_t n_threads, size_t max_batch)
{
    const lutra_context_options options = {.n_threads = n_threads, .max_batch = max_batch, .mode = mode};
    lutra_context *context;
    lutra_error error;
    setenv("LUTRA_ISA", level, 1);
    check(lutra_context_create(model, &options, &context, &error), &error);
    return context;
}

static void run(lutra_context *context, const lutra_model *model, const char *level, const uint8_t *pixels,
                size_t batch, outputs *out)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    lutra_error error;
    out->n = info->n_classes + info->n_features;
    fuzz_require(out->n <= MAX_OUTPUTS);
    float *logits = out->values, *features = out->values + batch * info->n_classes;
    check(lutra_context_run(context, pixels, batch, info->n_classes ? logits : NULL, features, &error),
          &error);
    for (size_t i = 0; i < batch * out->n; i++)
        if (!isfinite(out->values[i]))
            fail("an output is not finite", level, (double)out->values[i]);
}

/* All pictures, in a context for as many. */
static void run_all(const lutra_model *model, const char *level, lutra_mode mode, const uint8_t *pixels,
                    outputs *out)
{
    lutra_context *context = open_context(model, level, mode, 1, n_pictures);
    run(context, model, level, pixels, n_pictures, out);
    lutra_context_free(context);
}

static double largest_difference(const outputs *a, const outputs *b)
{
    double largest = 0;
    for (size_t i = 0; i < n_pictures * a->n; i++) {
        const double difference = fabs((double)a->values[i] - (double)b->values[i]);
        if (!(difference <= largest)) /* a NaN is never <= */
            largest = isnan(difference) ? INFINITY : difference;
    }
    return largest;
}

static double relative_difference(const outputs *a, const outputs *b)
{
    double difference = 0, power = 0;
    for (size_t i = 0; i < n_pictures * a->n; i++) {
        difference += pow((double)a->values[i] - (double)b->values[i], 2);
        power += pow((double)b->values[i], 2);
    }
    return sqrt(difference / power);
}

/* Runs `n` pictures from `first`, which must yield what they did among all. */
static void check_part(lutra_context *context, const lutra_model *model, const char *level,
                       const uint8_t *pixels, size_t first, size_t n, const outputs *all)
{
    static outputs part;
    const lutra_model_info *info = lutra_model_get_info(model);
    const size_t n_classes = info->n_classes, n_features = info->n_features;
    const float *features = all->values + n_pictures * n_classes + first * n_features;
    run(context, model, level, pixels + first * info->input_bytes, n, &part);
    if (memcmp(part.values, all->values + first * n_classes, n * n_classes * sizeof *part.values) != 0 ||
        memcmp(part.values + n * n_classes, features, n * n_features * sizeof *features) != 0)
        fail("a picture differs with the threads or the pictures that run along", level, (double)n);
}

/* Threads, the pictures that run along, and those that ran before must not change a bit. */
static void check_same(const lutra_model *model, const char *level, lutra_mode mode, const uint8_t *pixels,
                       const outputs *all)
{
    lutra_context *context = open_context(model, level, mode, 3, n_pictures + 2);
    check_part(context, model, level, pixels, 1, (n_pictures + 1) / 2, all);
    check_part(context, model, level, pixels, 0, n_pictures, all);
    check_part(context, model, level, pixels, n_pictures / 2, 1, all);
    lutra_context_free(context);
    context = open_context(model, level, mode, 2, 1);
    check_part(context, model, level, pixels, n_pictures - 1, 1, all);
    lutra_context_free(context);
}

static void compare_levels(const lutra_model *model, const uint8_t *pixels)
{
    static outputs reference, other;
    for (lutra_mode mode = LUTRA_MODE_F32; mode <= LUTRA_MODE_INT8; mode++) {
        for (size_t i = 0; i < n_levels; i++) {
            outputs *out = i == 0 ? &reference : &other;
            run_all(model, levels[i], mode, pixels, out);
            check_same(model, levels[i], mode, pixels, out);
            n_compared++;
            if (i == 0)
                continue;
            const double difference = mode == LUTRA_MODE_F32 ? largest_difference(&other, &reference)
                                                             : relative_difference(&other, &reference);
            double *worst = mode == LUTRA_MODE_F32    ? &worst_f32
                            : mode == LUTRA_MODE_BF16 ? &worst_bf16
                                                      : &worst_int8;
            *worst = fmax(*worst, difference);
            if (!(difference <= (mode == LUTRA_MODE_F32    ? F32_BETWEEN_LEVELS
                                 : mode == LUTRA_MODE_BF16 ? BF16_BETWEEN_LEVELS
                                                           : INT8_BETWEEN_LEVELS)))
                fail(mode == LUTRA_MODE_F32    ? "f32 differs from the reference"
                     : mode == LUTRA_MODE_BF16 ? "bf16 differs from the reference"
                                               : "int8 differs from the reference",
                     levels[i], difference);
        }
    }
}

static void compare_with_export(const lutra_model *clustered, const lutra_model *exported,
                                const uint8_t *pixels)
{
    static outputs one, other;
    for (size_t i = 0; i < n_levels; i++) {
        run_all(clustered, levels[i], LUTRA_MODE_F32, pixels, &one);
        run_all(exported, levels[i], LUTRA_MODE_F32, pixels, &other);
        const double difference = largest_difference(&one, &other);
        worst_export = fmax(worst_export, difference);
        if (!(difference <= CLUSTERED_AGAINST_EXPORT))
            fail("the clustered model differs from its export", levels[i], difference);
    }
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    fuzz_require(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void check_indices(const char *path)
{
    lutra_tensor_file *file;
    lutra_error error;
    check(lutra_tensor_file_open(path, &file, &error), &error);
    check(lutra_tensor_file_verify(file, &error), &error);
    lutra_tensor_file_close(file);
}

static void compare_models(uint64_t *state, const char *folder)
{
    char dense[512], clustered[512], exported[512];
    lutra_model *models[3];
    lutra_error error;
    size_t size;
    tiny_model shape = random_model(state);
    const lutra_cluster_options options = random_options(state);
    n_pictures = USUAL_BATCH;
    if (is_unusual()) {
        make_unusual(&shape, state);
        if (shape.grid_height < 16)
            n_pictures = 5 + below(state, MAX_BATCH - 4);
    }
    snprintf(dense, sizeof dense, "%s/%llu-dense.safetensors", folder, (unsigned long long)round_seed);
    snprintf(clustered, sizeof clustered, "%s/%llu-clustered.safetensors", folder,
             (unsigned long long)round_seed);
    snprintf(exported, sizeof exported, "%s/%llu-exported.safetensors", folder,
             (unsigned long long)round_seed);
    uint8_t *bytes = tiny_model_make(&shape, tiny_random(state), &size);
    write_file(dense, bytes, size);
    free(bytes);
    check(lutra_cluster_file(dense, clustered, &options, NULL, &error), &error);
    check(lutra_export_file(clustered, exported, LUTRA_F32, NULL, NULL, &error), &error);
    check_indices(clustered);
    check(lutra_model_open(dense, NULL, &models[0], &error), &error);
    check(lutra_model_open(clustered, NULL, &models[1], &error), &error);
    check(lutra_model_open(exported, NULL, &models[2], &error), &error);
    const size_t n_pixels = n_pictures * lutra_model_get_info(models[0])->input_bytes;
    uint8_t *pixels = malloc(n_pixels);
    fuzz_require(pixels);
    for (size_t i = 0; i < n_pixels; i++)
        pixels[i] = (uint8_t)tiny_random(state);
    compare_levels(models[0], pixels);
    compare_levels(models[1], pixels);
    compare_with_export(models[1], models[2], pixels);
    free(pixels);
    for (size_t i = 0; i < 3; i++)
        lutra_model_close(models[i]);
    unlink(exported);
}

/* ---- products -------------------------------------------------------------------------------------- */

/* Activations are whole numbers from 0 to 255, both of which occur in a row: their quantisation is exact. So
 * is everything behind the sum, as floats hold whole numbers up to 2^24: 255 * 127 * MAX_K. */
enum { MAX_M = 20, MAX_N = 70, MAX_K = 500 };

typedef struct product {
    size_t m, n, k;
    lutra_matrix matrix;
    uint8_t *indices; /* packed */
    float codebook[256];
    uint8_t plain[MAX_N * MAX_K];
    float a[MAX_M * MAX_K], c[MAX_M * MAX_N];
} product;

static void make_product(product *p, uint64_t *state)
{
    static const float one = 1;
    const unsigned bits = 1 + (unsigned)below(state, 8);
    const size_t n_entries = (size_t)1 << bits;
    p->m = 1 + below(state, MAX_M);
    p->n = 1 + below(state, MAX_N);
    p->k = 2 + below(state, MAX_K - 1);
    p->matrix =
        (lutra_matrix){.n = p->n, .k = p->k, .codebook = p->codebook, .codebook_is_i8 = true, .scale = &one};
    fuzz_require(lutra_index_layout_of(p->n, p->k, bits, &p->matrix.layout));
    fuzz_require(posix_memalign((void **)&p->indices, 64, p->matrix.layout.bytes + 64) == 0);
    p->matrix.indices = p->indices;
    memset(p->codebook, 0, sizeof p->codebook);
    for (size_t i = 0; i < n_entries; i++)
        p->codebook[i] = (float)below(state, 255) - 127;
    for (size_t i = 0; i < p->n * p->k; i++)
        p->plain[i] = (uint8_t)below(state, n_entries);
    for (size_t block = 0; block < p->matrix.layout.n_blocks; block++) {
        const size_t row = block * LUTRA_TILE_OUTPUTS, left = p->n - row;
        lutra_pack_block(&p->matrix.layout, p->plain + row * p->k,
                         left < LUTRA_TILE_OUTPUTS ? left : LUTRA_TILE_OUTPUTS,
                         p->indices + block * p->matrix.layout.block_bytes);
    }
    for (size_t row = 0; row < p->m; row++) {
        for (size_t i = 0; i < p->k; i++)
            p->a[row * p->k + i] = (float)below(state, 256);
        const size_t zero = below(state, p->k);
        p->a[row * p->k + zero] = 0;
        p->a[row * p->k + (zero + 1) % p->k] = 255;
    }
}

static void check_product(const product *p, const char *level)
{
    for (size_t row = 0; row < p->m; row++)
        for (size_t output = 0; output < p->n; output++) {
            int64_t sum = 0;
            for (size_t i = 0; i < p->k; i++)
                sum += (int64_t)p->a[row * p->k + i] * (int64_t)p->codebook[p->plain[output * p->k + i]];
            const double difference = (double)p->c[row * p->n + output] - (double)sum;
            if (!(fabs(difference) <= 0)) /* a NaN fails */
                fail("a sum of 8-bit products is not exact", level, difference);
        }
}

static void compare_products(uint64_t *state)
{
    static product p;
    make_product(&p, state);
    for (size_t i = 0; i < n_levels; i++) {
        const lutra_kernels *kernels = lutra_kernels_level(0);
        for (size_t j = 0; strcmp(lutra_kernels_name(kernels), levels[i]) != 0; j++)
            kernels = lutra_kernels_level(j);
        const size_t n_threads = 1 + i % 3;
        lutra_thread_pool *pool;
        lutra_matrix_i8 weights;
        lutra_error error;
        size_t bytes;
        void *scratch;
        check(lutra_thread_pool_create(n_threads, &pool, &error), &error);
        check(lutra_matrix_i8_create(kernels, pool, &p.matrix, &weights, &error), &error);
        fuzz_require(lutra_gemm_i8_scratch(p.m, p.k, n_threads, &bytes));
        fuzz_require(posix_memalign(&scratch, 64, bytes) == 0);
        const lutra_gemm gemm = {.m = p.m, .weights = &p.matrix, .a = p.a, .lda = p.k, .c = p.c, .ldc = p.n};
        memset(p.c, 0, sizeof p.c);
        lutra_gemm_i8(kernels, pool, &gemm, &weights, scratch);
        check_product(&p, levels[i]);
        n_products++;
        free(scratch);
        lutra_matrix_i8_free(&weights);
        lutra_thread_pool_free(pool);
    }
    free(p.indices);
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

static void find_levels(void)
{
    const lutra_kernels *kernels;
    for (size_t i = 0; (kernels = lutra_kernels_level(i)) && n_levels < MAX_LEVELS; i++)
        if (lutra_kernels_supported(kernels))
            levels[n_levels++] = lutra_kernels_name(kernels);
}

static void run_round(uint64_t seed, const char *folder)
{
    uint64_t state = seed;
    round_seed = seed;
    compare_models(&state, folder);
    for (int i = 0; i < 10; i++)
        compare_products(&state);
}

static void forget(const char *folder, uint64_t seed)
{
    static const char *const kinds[] = {"dense", "clustered"};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%llu-%s.safetensors", folder, (unsigned long long)seed, kinds[i]);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/lutra-differential-XXXXXX";
    const char *kept = NULL, *folder;
    uint64_t seed = 1, rounds = 20;
    double seconds = 1e9;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--keep") == 0)
            kept = argv[i + 1];
        else
            fuzz_fail(argv[0], 0, "no such option");
    }
    folder = kept ? kept : mkdtemp(made);
    fuzz_require(folder);
    find_levels();
    const double begin = lutra_seconds();
    uint64_t done = 0;
    for (; done < rounds && lutra_seconds() - begin < seconds; done++) {
        run_round(seed + done, folder);
        if (!kept)
            forget(folder, seed + done);
    }
    if (!kept)
        rmdir(folder);
    printf("# seeds %llu to %llu, %zu levels up to %s\n", (unsigned long long)seed,
           (unsigned long long)(seed + done - 1), n_levels, levels[n_levels - 1]);
    printf("# largest differences: f32 %.2g, clustered and export %.2g, bf16 %.2g, int8 %.2g\n", worst_f32,
           worst_export, worst_bf16, worst_int8);
    printf("1..3\nok 1 - %zu runs of models: levels, threads, batches\nok 2 - %zu exact products\n"
           "ok 3 - %llu models and their exports\n",
           n_compared, n_products, (unsigned long long)done);
    return 0;
}
