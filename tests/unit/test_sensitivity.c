/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of tokens: which there are, and that those which cannot matter have none. */
#include "model_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compress/sensitivity.h"

#define N_PICTURES 3

typedef struct fixture {
    lutra_model *model;
    uint8_t *pixels;
    lutra_thread_pool *pool;
    lutra_sensitivity s;
} fixture;

static fixture make(const char *name, size_t n_threads)
{
    fixture f = {0};
    lutra_job job = {0};
    lutra_error error;
    char *path = fixture_golden(name, "");
    if (lutra_model_open(path, NULL, &f.model, &error))
        fail_msg("%s: %s", path, error.message);
    free(path);
    const size_t n = N_PICTURES * lutra_model_get_info(f.model)->input_bytes;
    f.pixels = malloc(n);
    for (size_t i = 0; i < n; i++)
        f.pixels[i] = (uint8_t)(i * i % 251);
    assert_int_equal(lutra_thread_pool_create(n_threads, &f.pool, NULL), LUTRA_OK);
    assert_int_equal(lutra_sensitivity_measure(f.model, f.pixels, N_PICTURES, &job, f.pool, &f.s, NULL),
                     LUTRA_OK);
    return f;
}

static void destroy(fixture *f)
{
    lutra_sensitivity_free(&f->s);
    lutra_thread_pool_free(f->pool);
    lutra_model_close(f->model);
    free(f->pixels);
}

static void test_one_on_average(void **unused)
{
    static const char *const names[] = {"timm-token", "timm-average", "hf-vit-no-head", "timm-distilled"};
    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fixture f = make(names[i], 2);
        for (size_t step = 0; step < f.s.n_steps; step++) {
            lutra_step_info info;
            double sum = 0;
            assert_int_equal(lutra_model_step(f.model, step, &info, NULL), LUTRA_OK);
            assert_int_equal(f.s.weights[step] != NULL, strcmp(info.op, "gemm") == 0);
            if (!f.s.weights[step])
                continue;
            for (size_t j = 0; j < N_PICTURES * info.m; j++) {
                assert_true(f.s.weights[step][j] >= 0);
                sum += (double)f.s.weights[step][j];
            }
            assert_true(fabs(sum / (double)(N_PICTURES * info.m) - 1) < 1e-5);
        }
        destroy(&f);
    }
}

/* Where two tokens' heads are averaged, every block yields all tokens, but behind the last attention only
 * these two reach the answer. */
static void test_tokens_that_nothing_reads_weigh_nothing(void **unused)
{
    (void)unused;
    fixture f = make("timm-distilled", 1);
    size_t last = 0, n_silent = 0;
    lutra_step_info info;
    for (size_t step = 0; step < f.s.n_steps; step++) {
        assert_int_equal(lutra_model_step(f.model, step, &info, NULL), LUTRA_OK);
        if (strstr(info.name, "mlp.fc2"))
            last = step;
    }
    assert_int_equal(lutra_model_step(f.model, last, &info, NULL), LUTRA_OK);
    assert_true(info.m > 2);
    for (size_t i = 0; i < N_PICTURES * info.m; i++) {
        if (i % info.m < 2)
            assert_true(f.s.weights[last][i] > 0);
        else
            n_silent += f.s.weights[last][i] == 0;
    }
    assert_int_equal(n_silent, N_PICTURES * (info.m - 2));
    destroy(&f);
}

static void test_the_same_on_any_number_of_threads(void **unused)
{
    (void)unused;
    fixture one = make("timm-dinov2", 1), three = make("timm-dinov2", 3);
    for (size_t step = 0; step < one.s.n_steps; step++) {
        lutra_step_info info;
        assert_int_equal(lutra_model_step(one.model, step, &info, NULL), LUTRA_OK);
        if (!one.s.weights[step])
            continue;
        const lutra_coupling *c = &one.s.couplings[step];
        assert_int_equal(c->n, info.n);
        assert_memory_equal(one.s.weights[step], three.s.weights[step], N_PICTURES * info.m * sizeof(float));
        assert_memory_equal(c->of, three.s.couplings[step].of, c->n * c->group * sizeof(float));
    }
    destroy(&one);
    destroy(&three);
}

static bool cancel(void *unused, const char *what, uint64_t done, uint64_t total)
{
    (void)unused;
    (void)what;
    (void)done;
    (void)total;
    return false;
}

static void test_cancelled(void **unused)
{
    (void)unused;
    fixture f = make("timm-token", 1);
    lutra_job job = {.progress = cancel};
    lutra_sensitivity s;
    assert_int_equal(lutra_sensitivity_measure(f.model, f.pixels, N_PICTURES, &job, f.pool, &s, NULL),
                     LUTRA_ERROR_CANCELLED);
    assert_null(s.weights);
    destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_on_average),
        cmocka_unit_test(test_tokens_that_nothing_reads_weigh_nothing),
        cmocka_unit_test(test_the_same_on_any_number_of_threads),
        cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
