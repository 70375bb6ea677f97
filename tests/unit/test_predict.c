/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions follow from the plan and the device by arithmetic: each relation that must hold, and the fit of
 * the kernels' costs. */
#include "model_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lutra/lutra.h"
#include "profile/least_squares.h"

static lutra_model *model; /* one block, dense */
static lutra_model *clustered;
static size_t n_steps;

/* A device of whole numbers: 1 GHz, 4 cores. */
static lutra_device device_of(uint64_t cache_bytes, double dram_bytes_per_second)
{
    lutra_device device = {.name = "test",
                           .n_cores = 4,
                           .clock = 1e9,
                           .clock_all = 1e9,
                           .macs_per_cycle_f32 = 8,
                           .macs_per_cycle_bf16 = 8,
                           .macs_per_cycle_i8 = 32,
                           .caches = {{.bytes = cache_bytes, .shared_by = 4}},
                           .n_caches = 1,
                           .dram_one_core = dram_bytes_per_second,
                           .dram_all_cores = dram_bytes_per_second,
                           .pj_dram_byte = 100,
                           .pj_mac_f32 = 4,
                           .pj_mac_bf16 = 2,
                           .pj_mac_i8 = 1,
                           .efficiency = {.share_f32 = 1,
                                          .share_i8 = 1,
                                          .share_dense_i8 = 1,
                                          .share_attention = 1,
                                          .share_attention_bf16 = 1}};
    return device;
}

/* Sums of a prediction's steps. */
typedef struct totals {
    double seconds, compute, millijoules;
    uint64_t macs, weight_bytes, dram_bytes;
    size_t n_dram;
} totals;

static totals predict(const lutra_model *of, const lutra_device *device, lutra_mode mode, size_t threads,
                      size_t batch)
{
    const lutra_prediction_options options = {.mode = mode, .n_threads = threads, .batch = batch};
    const size_t n = lutra_model_n_steps(of);
    lutra_step_prediction *steps = calloc(n, sizeof *steps);
    lutra_error error;
    totals sum = {0};
    assert_non_null(steps);
    if (lutra_predict(of, device, &options, steps, &error))
        fail_msg("%s", error.message);
    for (size_t i = 0; i < n; i++) {
        assert_true(steps[i].seconds == fmax(steps[i].compute_seconds, steps[i].memory_seconds));
        sum.seconds += steps[i].seconds;
        sum.compute += steps[i].compute_seconds;
        sum.millijoules += steps[i].millijoules;
        sum.macs += steps[i].macs;
        sum.weight_bytes += steps[i].weight_bytes;
        sum.dram_bytes += steps[i].dram_bytes;
        sum.n_dram += strcmp(steps[i].bound, "DRAM") == 0;
    }
    free(steps);
    return sum;
}

static uint64_t weight_bytes_of_run(const lutra_model *of, lutra_mode mode)
{
    const lutra_context_options options = {.n_threads = 1, .mode = mode};
    lutra_context *context;
    lutra_error error;
    assert_int_equal(lutra_context_create(of, &options, &context, &error), LUTRA_OK);
    const uint64_t bytes = lutra_context_weight_bytes(context);
    lutra_context_free(context);
    return bytes;
}

static void counts_are_those_of_the_plan(void **state)
{
    (void)state;
    const lutra_device device = device_of(1 << 30, 1e9);
    assert_int_equal(predict(model, &device, LUTRA_MODE_F32, 1, 1).macs, lutra_model_get_info(model)->macs);
    assert_int_equal(predict(model, &device, LUTRA_MODE_F32, 1, 3).macs,
                     3 * lutra_model_get_info(model)->macs);
    for (lutra_mode mode = LUTRA_MODE_F32; mode <= LUTRA_MODE_INT8; mode++) {
        assert_int_equal(predict(model, &device, mode, 1, 1).weight_bytes, weight_bytes_of_run(model, mode));
        assert_int_equal(predict(clustered, &device, mode, 1, 1).weight_bytes,
                         weight_bytes_of_run(clustered, mode));
    }
}

/* At the bare peak nothing but multiply-adds takes time. */
static void the_peak(void **state)
{
    (void)state;
    const lutra_device device = device_of(1 << 30, 1e18);
    const double macs = (double)lutra_model_get_info(model)->macs;
    const totals one = predict(model, &device, LUTRA_MODE_F32, 1, 1);
    assert_true(fabs(one.seconds / (macs / 8e9) - 1) < 1e-12);
    assert_true(fabs(predict(model, &device, LUTRA_MODE_F32, 4, 1).seconds / one.seconds - 0.25) < 1e-12);
    assert_true(fabs(predict(model, &device, LUTRA_MODE_F32, 1, 5).seconds / one.seconds - 5) < 1e-12);
    const totals i8 = predict(model, &device, LUTRA_MODE_INT8, 1, 1);
    assert_true(i8.seconds > one.seconds / 4 && i8.seconds < one.seconds); /* attention stays in f32 */
    lutra_device bf16 = device;
    bf16.macs_per_cycle_bf16 *= 2; /* attention in int8 is in bf16, but not in mode f32 */
    assert_true(predict(model, &bf16, LUTRA_MODE_INT8, 1, 1).seconds < i8.seconds);
    assert_true(predict(model, &bf16, LUTRA_MODE_INT8, 1, 1).millijoules < i8.millijoules);
    assert_true(predict(model, &bf16, LUTRA_MODE_F32, 1, 1).seconds == one.seconds);
    assert_int_equal(one.n_dram, 0);
}

/* Cores that share a budget of power are slower together, and never as slow as fewer of them. */
static void more_threads_are_never_slower(void **state)
{
    (void)state;
    lutra_device device = device_of(1 << 30, 1e18);
    const double alone = predict(model, &device, LUTRA_MODE_F32, 1, 1).seconds;
    device.clock_all = 0.4e9; /* as fast as 1.6 cores alone */
    const double share[] = {1, 1.6, 1.6, 1.6};
    for (size_t threads = 1; threads <= 4; threads++) {
        const double seconds = predict(model, &device, LUTRA_MODE_F32, threads, 1).seconds;
        assert_true(fabs(seconds * share[threads - 1] / alone - 1) < 1e-12);
    }
    device.clock_all = 0.7e9;
    assert_true(fabs(predict(model, &device, LUTRA_MODE_F32, 2, 1).seconds * 2 / alone - 1) < 1e-12);
    assert_true(fabs(predict(model, &device, LUTRA_MODE_F32, 3, 1).seconds * 2.8 / alone - 1) < 1e-12);
}

static void what_kernels_lose(void **state)
{
    (void)state;
    lutra_device device = device_of(1 << 30, 1e18);
    const double bare = predict(clustered, &device, LUTRA_MODE_INT8, 1, 1).seconds;
    double *costs[] = {&device.efficiency.index_i8,   &device.efficiency.quantise,
                       &device.efficiency.output_i8,  &device.efficiency.gelu_i8,
                       &device.efficiency.score_bf16, &device.efficiency.norm,
                       &device.efficiency.move};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        *costs[i] = 10;
        assert_true(predict(clustered, &device, LUTRA_MODE_INT8, 1, 1).seconds > bare);
        *costs[i] = 0;
    }
    device.efficiency.index_f32 = device.efficiency.dense_f32 = device.efficiency.dense_i8 = 1e6;
    device.efficiency.output = device.efficiency.gelu = 1e6; /* all of other modes and models */
    device.efficiency.share_f32 = device.efficiency.share_dense_i8 = 0.01;
    assert_true(predict(clustered, &device, LUTRA_MODE_INT8, 1, 1).seconds == bare);
}

static void memory(void **state)
{
    (void)state;
    const lutra_device large = device_of(1 << 30, 1e6), small = device_of(1 << 10, 1e6);
    assert_int_equal(predict(model, &large, LUTRA_MODE_F32, 1, 1).dram_bytes, 0);
    const totals dense = predict(model, &small, LUTRA_MODE_F32, 1, 1);
    const totals indices = predict(clustered, &small, LUTRA_MODE_F32, 1, 1);
    assert_true(dense.dram_bytes >= dense.weight_bytes && indices.dram_bytes >= indices.weight_bytes);
    assert_true(indices.dram_bytes < dense.dram_bytes && indices.seconds < dense.seconds);
    assert_int_equal(dense.n_dram, n_steps);
    assert_true(fabs(dense.seconds / ((double)dense.dram_bytes / 1e6) - 1) < 1e-12);
}

/* A core reads no faster beside others, and all of them as fast as the description says. */
static void memory_of_some_cores(void **state)
{
    (void)state;
    lutra_device device = device_of(1 << 10, 1e6);
    const double alone = predict(model, &device, LUTRA_MODE_F32, 1, 1).seconds;
    device.dram_all_cores = 2.5e6;
    const double share[] = {1, 2, 2.5, 2.5};
    for (size_t threads = 1; threads <= 4; threads++) {
        const double seconds = predict(model, &device, LUTRA_MODE_F32, threads, 1).seconds;
        assert_true(fabs(seconds * share[threads - 1] / alone - 1) < 1e-12);
    }
}

/* What is not known is 0, and more threads than cores have what these have. */
static void what_some_cores_have(void **state)
{
    (void)state;
    lutra_device device = device_of(1 << 20, 1e6);
    device.clock_all = 0.7e9;
    device.dram_all_cores = 2.5e6;
    device.n_caches = 2;
    device.caches[1] = (lutra_cache){.bytes = 1 << 10, .shared_by = 2, .bytes_per_second = 3};
    const double cycles[] = {0, 1e9, 2e9, 2.8e9, 2.8e9, 2.8e9};
    const double dram[] = {0, 1e6, 2e6, 2.5e6, 2.5e6, 2.5e6};
    const size_t n_second[] = {0, 1, 1, 2, 2, 2};
    for (size_t threads = 0; threads <= 5; threads++) {
        assert_true(fabs(lutra_device_cycles(&device, threads) - cycles[threads]) < 1);
        assert_true(lutra_device_bandwidth(&device, 0, threads) == 0);
        assert_true(lutra_device_bandwidth(&device, 1, threads) == 3 * fmin((double)threads, 4));
        assert_true(lutra_device_bandwidth(&device, 2, threads) == dram[threads]);
        assert_int_equal(lutra_device_cache_bytes(&device, 0, threads), threads ? 1 << 20 : 0);
        assert_int_equal(lutra_device_cache_bytes(&device, 1, threads), n_second[threads] << 10);
        assert_int_equal(lutra_device_cache_bytes(&device, 2, threads), 0);
    }
    device.caches[1].shared_by = 0;
    assert_int_equal(lutra_device_cache_bytes(&device, 1, 4), 0);
}

static void types_and_energies_of_products(void **state)
{
    (void)state;
    const lutra_step_info gemm = {.op = "gemm"}, attention = {.op = "attention"};
    lutra_device device = device_of(1 << 20, 1e6); /* which does not multiply in bf16 */
    const double f32 = device.pj_mac_f32, bf16 = device.pj_mac_bf16, i8 = device.pj_mac_i8;
    for (lutra_mode mode = LUTRA_MODE_F32; mode <= LUTRA_MODE_INT8; mode++) {
        const bool is_i8 = mode == LUTRA_MODE_INT8;
        assert_int_equal(lutra_step_mode(&gemm, mode), mode);
        assert_int_equal(lutra_step_mode(&attention, mode), is_i8 ? LUTRA_MODE_BF16 : LUTRA_MODE_F32);
        assert_true(lutra_device_mac_energy(&device, &gemm, mode) == (is_i8 ? i8 : f32));
        assert_true(lutra_device_mac_energy(&device, &attention, mode) == f32);
    }
    device.macs_per_cycle_bf16 *= 2;
    assert_true(lutra_device_mac_energy(&device, &gemm, LUTRA_MODE_BF16) == bf16);
    assert_true(lutra_device_mac_energy(&device, &gemm, LUTRA_MODE_F32) == f32);
    assert_true(lutra_device_mac_energy(&device, &attention, LUTRA_MODE_INT8) == bf16);
    assert_true(lutra_device_mac_energy(&device, &attention, LUTRA_MODE_BF16) == f32);
    device.macs_per_cycle_f32 = device.macs_per_cycle_bf16 = 0; /* only looked at */
    assert_true(lutra_device_mac_energy(&device, &attention, LUTRA_MODE_INT8) == bf16);
}

/* Then all that a step reads and writes comes from main memory, once. */
static void no_cache_is_known(void **state)
{
    (void)state;
    lutra_device device = device_of(1 << 30, 1e6);
    device.n_caches = 0;
    for (size_t threads = 1; threads <= 4; threads += 3) {
        lutra_step_prediction steps[256];
        const lutra_prediction_options options = {.mode = LUTRA_MODE_F32, .n_threads = threads};
        assert_true(n_steps <= 256);
        assert_int_equal(lutra_predict(model, &device, &options, steps, NULL), LUTRA_OK);
        for (size_t i = 0; i < n_steps; i++) {
            assert_int_equal(steps[i].dram_bytes, steps[i].weight_bytes + steps[i].activation_bytes);
            assert_true(steps[i].memory_seconds == (double)steps[i].dram_bytes / 1e6);
            assert_string_equal(steps[i].bound, "DRAM");
        }
    }
}

/* A cache of 2^32 lines holds whatever a machine of 32 bits can number. */
static void an_endless_cache(void **state)
{
    (void)state;
    uint64_t bytes[256];
    assert_true(n_steps <= 256);
    assert_int_equal(lutra_model_traffic(model, LUTRA_MODE_F32, 1, (uint64_t)64 << 32, bytes, NULL),
                     LUTRA_OK);
    for (size_t i = 0; i < n_steps; i++)
        assert_int_equal(bytes[i], 0);
}

/* Rows of 20 floats share lines. That they are gone is known where they fill the cache, and found line by
 * line where they nearly do, which comes to the same. */
static void rows_that_share_lines(void **state)
{
    (void)state;
    enum { BATCH = 64, LINE = 64 };
    uint64_t known[256], found[256];
    lutra_step_info info = {.name = ""};
    size_t fc1 = 0;
    assert_true(n_steps <= 256);
    setenv("LUTRA_ISA", "reference", 1); /* whose groups of outputs are narrow: enough of them are between */
    for (size_t i = n_steps; i-- > 0 && strcmp(info.name, "blocks.0.mlp.fc1") != 0; fc1 = i)
        assert_int_equal(lutra_model_step(model, i, &info, NULL), LUTRA_OK);
    const uint64_t rows = BATCH * info.m;
    assert_int_equal(info.k, 20);
    assert_int_equal(lutra_model_traffic(model, LUTRA_MODE_F32, BATCH, rows * LINE, known, NULL), LUTRA_OK);
    assert_int_equal(lutra_model_traffic(model, LUTRA_MODE_F32, BATCH, (2 * rows + 50) * LINE, found, NULL),
                     LUTRA_OK);
    unsetenv("LUTRA_ISA");
    assert_int_equal(known[fc1], found[fc1]);
}

static void energy(void **state)
{
    (void)state;
    const lutra_device device = device_of(1 << 10, 1e9);
    const totals sum = predict(model, &device, LUTRA_MODE_F32, 1, 1);
    const double millijoules = 1e-9 * (4.0 * (double)sum.macs + 100.0 * (double)sum.dram_bytes);
    assert_true(fabs(sum.millijoules / millijoules - 1) < 1e-12);
    assert_true(predict(model, &device, LUTRA_MODE_INT8, 1, 1).millijoules < sum.millijoules);
    /* Where bf16 is not multiplied, it is f32 that is. */
    lutra_device bf16 = device;
    bf16.macs_per_cycle_bf16 *= 2;
    assert_true(predict(model, &device, LUTRA_MODE_BF16, 1, 1).millijoules == sum.millijoules);
    assert_true(predict(model, &bf16, LUTRA_MODE_BF16, 1, 1).millijoules < sum.millijoules);
}

static void more_threads_than_cores(void **state)
{
    (void)state;
    const lutra_device device = device_of(1 << 20, 1e9);
    const lutra_prediction_options options = {.n_threads = 5};
    lutra_step_prediction steps[256];
    lutra_error error;
    assert_true(n_steps <= 256);
    assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "4 cores"));
}

/* Nothing is divided by what is not there. */
static void an_incomplete_device(void **state)
{
    (void)state;
    const lutra_prediction_options options = {.mode = LUTRA_MODE_F32};
    lutra_step_prediction steps[256];
    lutra_error error;
    lutra_device device = device_of(1 << 20, 1e9);
    double *numbers[] = {&device.clock,
                         &device.clock_all,
                         &device.macs_per_cycle_f32,
                         &device.macs_per_cycle_bf16,
                         &device.macs_per_cycle_i8,
                         &device.dram_one_core,
                         &device.dram_all_cores,
                         &device.efficiency.share_f32,
                         &device.efficiency.share_attention};
    size_t *counts[] = {&device.n_cores, &device.caches[0].shared_by};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const double kept = *numbers[i];
        *numbers[i] = i % 2 ? NAN : 0;
        assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_ERROR_ARGUMENT);
        *numbers[i] = kept;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const size_t kept = *counts[i];
        *counts[i] = 0;
        assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_ERROR_ARGUMENT);
        *counts[i] = kept;
    }
    assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_OK);
    lutra_device_look(&device);
    assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "no prediction for 'this'"));
    device.clock = device.clock_all = 1e9; /* its kernels are taken to be like those that Lutra knows */
    device.macs_per_cycle_f32 = device.macs_per_cycle_bf16 = device.macs_per_cycle_i8 = 8;
    device.dram_one_core = device.dram_all_cores = 1e9;
    assert_int_equal(lutra_predict(model, &device, &options, steps, &error), LUTRA_OK);
}

static void costs_are_found(void **state)
{
    (void)state;
    const double a[] = {1, 0, 2, 1, 5, 1, 1, 7};
    const double cost[] = {3, 0.5};
    double y[4], x[2];
    for (size_t i = 0; i < 4; i++)
        y[i] = a[2 * i] * cost[0] + a[2 * i + 1] * cost[1];
    assert_true(lutra_fit_costs(a, y, 4, 2, x));
    assert_true(fabs(x[0] - 3) < 1e-12 && fabs(x[1] - 0.5) < 1e-12);
    /* What would come out below 0 is held at 0, and the others are fitted without it. */
    const double b[] = {1, 1, 2, 1, 3, 1}, z[] = {1, 3, 5}; /* z = 2 x - 1 */
    assert_true(lutra_fit_costs(b, z, 3, 2, x));
    assert_true(x[1] == 0 && x[0] > 1 && x[0] < 2);
    const double same[] = {1, 2, 2, 4};
    assert_false(lutra_fit_costs(same, z, 2, 2, x));
}

static int open_models(void **state)
{
    (void)state;
    char *path = fixture_golden("timm-token", ""), *folder = fixture_folder();
    char *output = fixture_path(folder, "clustered.safetensors");
    const lutra_cluster_options options = {.n_clusters = 16, .n_threads = 1};
    lutra_error error;
    if (lutra_model_open(path, NULL, &model, &error) ||
        lutra_cluster_file(path, output, &options, NULL, &error) ||
        lutra_model_open(output, NULL, &clustered, &error))
        fail_msg("%s", error.message);
    n_steps = lutra_model_n_steps(model);
    fixture_remove(folder); /* the file stays mapped */
    free(output);
    free(path);
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    lutra_model_close(model);
    lutra_model_close(clustered);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_plan),
        cmocka_unit_test(the_peak),
        cmocka_unit_test(more_threads_are_never_slower),
        cmocka_unit_test(what_kernels_lose),
        cmocka_unit_test(memory),
        cmocka_unit_test(memory_of_some_cores),
        cmocka_unit_test(what_some_cores_have),
        cmocka_unit_test(types_and_energies_of_products),
        cmocka_unit_test(no_cache_is_known),
        cmocka_unit_test(an_endless_cache),
        cmocka_unit_test(energy),
        cmocka_unit_test(more_threads_than_cores),
        cmocka_unit_test(an_incomplete_device),
        cmocka_unit_test(costs_are_found),
        cmocka_unit_test(rows_that_share_lines),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
