/* SPDX-License-Identifier: Apache-2.0 */
/* The command's metrics against numbers that NumPy 2.4.6 (float64) gives; the lines of Python stand beside
 * them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics.h"

#define N 6

/* Logits of a model and of another for four pictures, and the right classes. */
static const float logits[4][N] = {
    {1.5f, -0.25f, 3.0f, 0.0f, 2.0f, -1.0f},
    {0.5f, 0.5f, 0.25f, -2.0f, 0.0f, 1.0f},
    {-3.0f, 4.0f, 1.0f, 3.5f, 0.125f, 0.0f},
    {90.0f, -90.0f, 0.0f, 88.0f, 1.0f, 2.0f},
};
static const float other[4][N] = {
    {1.0f, -0.5f, 2.5f, 0.5f, 2.75f, -1.5f},
    {0.25f, 0.75f, 0.0f, -1.0f, 0.5f, 1.25f},
    {-2.0f, 3.0f, 1.5f, 3.25f, 0.0f, 0.5f},
    {80.0f, -70.0f, 0.0f, 79.0f, 1.5f, 2.5f},
};
static const size_t truth[4] = {2, 3, 1, 3};

static void log_softmax_is_stable(void **state)
{
    (void)state;
    double log_p[N], sum = 0;
    tool_log_softmax(logits[3], N, log_p);
    /* x = numpy.array([90, -90, 0, 88, 1, 2.]); m = x.max(); x - m - numpy.log(numpy.exp(x - m).sum()) */
    assert_true(fabs(log_p[0] + 0.1269280110429726) < 1e-15);
    assert_true(fabs(log_p[3] + 2.1269280110429727) < 1e-15);
    assert_true(fabs(log_p[1] + 180.12692801104296) < 1e-12);
    for (size_t i = 0; i < N; i++)
        sum += exp(log_p[i]);
    assert_true(fabs(sum - 1) < 1e-15);
}

static void ranks_and_the_best(void **state)
{
    (void)state;
    size_t top[N];
    tool_top(logits[0], N, 3, top);
    assert_int_equal(top[0], 2);
    assert_int_equal(top[1], 4);
    assert_int_equal(top[2], 0);
    /* Equal logits: the lower index first. */
    tool_top(logits[1], N, N, top);
    const size_t order[N] = {5, 0, 1, 2, 4, 3};
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(top[i], order[i]);
        assert_int_equal(tool_rank(logits[1], N, order[i]), i);
    }
}

static void not_a_number_is_never_right(void **state)
{
    (void)state;
    const float broken[3] = {NAN, NAN, NAN}, half[3] = {NAN, 1.0f, 0.0f};
    tool_metrics metrics = {0};
    double log_p[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tool_rank(broken, 3, i), SIZE_MAX);
    assert_int_equal(tool_rank(half, 3, 1), 1);
    tool_log_softmax(broken, 3, log_p);
    tool_metrics_add(&metrics, broken, log_p, 3, 0);
    assert_int_equal(metrics.top1, 0);
    assert_int_equal(metrics.top5, 0);
    assert_true(isnan(metrics.nll));
}

/* The change of top-1 is the difference of both models' top-1, and nobody agrees with a NaN. */
static void not_a_number_is_compared_as_it_is_counted(void **state)
{
    (void)state;
    static const float kinds[][3] = {
        {NAN, NAN, NAN}, {NAN, 1.0f, 0.0f}, {1.0f, NAN, 0.0f}, {2.0f, 1.0f, NAN}, {2.0f, 1.0f, 0.0f}};
    const size_t n_kinds = sizeof kinds / sizeof *kinds;
    for (size_t a = 0; a < n_kinds; a++)
        for (size_t b = 0; b < n_kinds; b++)
            for (size_t right = 0; right < 3; right++) {
                tool_metrics model = {0}, against = {0};
                tool_comparison result = {0};
                double log_p[3], other_log_p[3];
                tool_log_softmax(kinds[a], 3, log_p);
                tool_log_softmax(kinds[b], 3, other_log_p);
                tool_metrics_add(&model, kinds[a], log_p, 3, right);
                tool_metrics_add(&against, kinds[b], other_log_p, 3, right);
                tool_comparison_add(&result, kinds[a], log_p, kinds[b], other_log_p, 3, right);
                assert_int_equal(result.gained + against.top1, result.lost + model.top1);
                assert_int_equal(result.n_agree, a == n_kinds - 1 && b == n_kinds - 1);
            }
}

static void accuracy_and_likelihood(void **state)
{
    (void)state;
    tool_metrics metrics = {0};
    double log_p[N];
    for (size_t i = 0; i < 4; i++) {
        tool_log_softmax(logits[i], N, log_p);
        tool_metrics_add(&metrics, logits[i], log_p, N, truth[i]);
    }
    assert_int_equal(metrics.n, 4);
    assert_int_equal(metrics.top1, 2); /* pictures 0 and 2 */
    assert_int_equal(metrics.top5, 3); /* picture 1: the sixth */
    /* lp = lambda x: x - x.max(1, keepdims=True) - log(exp(x - x.max(1, keepdims=True)).sum(1,
     * keepdims=True)); -lp(logits)[range(4), truth].sum() */
    assert_true(fabs(metrics.nll - 7.317161229232369) < 1e-12);
}

static void comparison(void **state)
{
    (void)state;
    tool_comparison result = {0};
    double log_p[N], other_log_p[N];
    for (size_t i = 0; i < 4; i++) {
        tool_log_softmax(logits[i], N, log_p);
        tool_log_softmax(other[i], N, other_log_p);
        tool_comparison_add(&result, logits[i], log_p, other[i], other_log_p, N, truth[i]);
    }
    assert_int_equal(result.n_agree, 2); /* pictures 1 and 3 */
    assert_int_equal(result.gained, 2);  /* 0 and 2 */
    assert_int_equal(result.lost, 0);
    /* (numpy.exp(lp(other)) * (lp(other) - lp(logits))).sum() */
    assert_true(fabs(result.kl - 0.4187963226173891) < 1e-12);
    assert_true(fabs(tool_top1_change(&result) - 50) < 1e-12);
    /* d = numpy.array([1, 0, 1, 0.]); 100 * d.std(ddof=1) / numpy.sqrt(4) */
    assert_true(fabs(tool_top1_change_se(&result) - 28.867513459481287) < 1e-10);
}

static void standard_error_of_gains_and_losses(void **state)
{
    (void)state;
    /* d = numpy.array([1] * 7 + [-1] * 12 + [0] * 481); 100 * d.mean(); 100 * d.std(ddof=1) / numpy.sqrt(500)
     */
    const tool_comparison result = {.n = 500, .gained = 7, .lost = 12};
    assert_true(fabs(tool_top1_change(&result) + 1.0) < 1e-12);
    assert_true(fabs(tool_top1_change_se(&result) - 0.8715038944698715) < 1e-10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_softmax_is_stable),
        cmocka_unit_test(ranks_and_the_best),
        cmocka_unit_test(not_a_number_is_never_right),
        cmocka_unit_test(not_a_number_is_compared_as_it_is_counted),
        cmocka_unit_test(accuracy_and_likelihood),
        cmocka_unit_test(comparison),
        cmocka_unit_test(standard_error_of_gains_and_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
