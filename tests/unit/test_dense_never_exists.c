/* SPDX-License-Identifier: Apache-2.0 */
/* A clustered model runs from its packed indices: nothing as large as a dense matrix is ever allocated. Every
 * allocation of the library goes through aligned_alloc, malloc, calloc or realloc, which are counted here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lutra/lutra.h"

static atomic_size_t n_allocated, largest;

static void count(size_t size)
{
    size_t seen = atomic_load(&largest);
    atomic_fetch_add(&n_allocated, size);
    while (size > seen && !atomic_compare_exchange_weak(&largest, &seen, size))
        continue;
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    count(size);
    return __real_aligned_alloc(alignment, size);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    count(size);
    return __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    count(n * size);
    return __real_calloc(n, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    count(size);
    return __real_realloc(memory, size);
}

static void check(lutra_status status, const lutra_error *error)
{
    if (status)
        fail_msg("%s", error->message);
}

static void run_in(const char *path, lutra_mode mode, size_t dense_matrix)
{
    const lutra_context_options options = {.mode = mode};
    lutra_model *model;
    lutra_context *context;
    lutra_error error;
    atomic_store(&n_allocated, 0);
    atomic_store(&largest, 0);
    check(lutra_model_open(path, NULL, &model, &error), &error);
    check(lutra_context_create(model, &options, &context, &error), &error);
    const lutra_model_info *info = lutra_model_get_info(model);
    assert_true(info->n_clustered > 22000000);
    const size_t before_run = atomic_load(&n_allocated);
    uint8_t *pixels = calloc(info->input_bytes, 1);
    float *logits = calloc(info->n_classes, sizeof *logits);
    const size_t own = info->input_bytes + info->n_classes * sizeof *logits;
    check(lutra_context_run(context, pixels, 1, logits, NULL, &error), &error);
    print_message("mode %d: allocated %zu bytes in all, the largest piece %zu; the dense matrices take %zu\n",
                  (int)mode, atomic_load(&n_allocated), atomic_load(&largest),
                  (size_t)info->n_clustered * sizeof(float));
    assert_int_equal(atomic_load(&n_allocated), before_run + own); /* a run allocates nothing */
    assert_true(before_run > 0);
    assert_true(atomic_load(&largest) < dense_matrix);
    assert_true(atomic_load(&n_allocated) < 2 * dense_matrix); /* of 88 MB in all */
    free(pixels);
    free(logits);
    lutra_context_free(context);
    lutra_model_close(model);
}

static void clustered_model_runs_without_its_dense_matrices(void **state)
{
    (void)state;
    /* 50 tokens but 384 x 1536 matrices: each would take more than all activations together. */
    static const char arch[] = "vit_small_patch32_224";
    char folder[] = "/tmp/lutra-dense-XXXXXX", dense[64], clustered[64];
    const lutra_cluster_options options = {.n_clusters = 64};
    lutra_error error;
    assert_non_null(mkdtemp(folder));
    snprintf(dense, sizeof dense, "%s/%s.safetensors", folder, arch);
    snprintf(clustered, sizeof clustered, "%s/clustered.safetensors", folder);
    check(lutra_random_file(arch, 1, dense, NULL, NULL, &error), &error);
    check(lutra_cluster_file(dense, clustered, &options, NULL, &error), &error);
    for (int mode = LUTRA_MODE_F32; mode <= LUTRA_MODE_INT8; mode++)
        run_in(clustered, (lutra_mode)mode, 384 * 1536 * sizeof(float));
    unlink(dense);
    unlink(clustered);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clustered_model_runs_without_its_dense_matrices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
