/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "compress/budget.h"
#include "compress/outputs.h"

#define N_MATRICES 4
#define N_WIDTHS 4

/* Losses that fall neither evenly nor, for the last matrix, always. */
static const double losses[N_MATRICES][N_WIDTHS] = {
    {8, 2, 0.5, 0.1}, {1, 0.9, 0.1, 0.05}, {20, 3, 2.5, 0}, {0.5, 0.6, 0.2, 0.3}};
static const uint64_t weights[N_MATRICES] = {1000, 3000, 500, 2000};

static void fill(lutra_widths *matrices)
{
    for (size_t i = 0; i < N_MATRICES; i++) {
        matrices[i] = (lutra_widths){.n_weights = weights[i], .n_widths = N_WIDTHS};
        for (size_t w = 0; w < N_WIDTHS; w++) {
            matrices[i].at[w].n_clusters = (size_t)2 << w;
            matrices[i].at[w].bytes = weights[i] * (w + 1) / 8 + 10;
            matrices[i].at[w].kl = losses[i][w];
        }
    }
}

/* The cost of choice number `choice` of all N_WIDTHS ^ N_MATRICES. */
static lutra_budget_point cost_of(const lutra_widths *matrices, size_t choice)
{
    lutra_budget_point point = {0};
    double bits = 0, n = 0;
    for (size_t i = 0; i < N_MATRICES; i++, choice /= N_WIDTHS) {
        const size_t w = choice % N_WIDTHS;
        point.bytes += matrices[i].at[w].bytes;
        point.kl += matrices[i].at[w].kl;
        bits += (double)(w + 1) * (double)weights[i];
        n += (double)weights[i];
    }
    point.bits = bits / n;
    return point;
}

static size_t choice_of(const size_t *n_clusters)
{
    size_t choice = 0;
    for (size_t i = N_MATRICES; i-- > 0;)
        choice = choice * N_WIDTHS + (size_t)lround(log2((double)n_clusters[i])) - 1;
    return choice;
}

#define N_CHOICES ((size_t)1 << 8)

/* No choice of as many bytes or fewer loses less than a point of the curve, whose figures are those of what
 * it stands for. */
static void test_the_curve_is_the_best_there_is(void **state)
{
    (void)state;
    lutra_widths matrices[N_MATRICES];
    lutra_curve curve;
    lutra_error error;
    size_t n_clusters[N_MATRICES];
    fill(matrices);
    assert_int_equal(lutra_curve_create(matrices, N_MATRICES, &curve, &error), LUTRA_OK);
    assert_true(curve.n_upgrades > N_MATRICES);
    for (size_t p = 0; p <= curve.n_upgrades; p++) {
        lutra_curve_at(&curve, p, n_clusters);
        const lutra_budget_point *point = &curve.points[p], is = cost_of(matrices, choice_of(n_clusters));
        assert_int_equal(point->bytes, is.bytes);
        assert_true(fabs(point->bits - is.bits) < 1e-12 && fabs(point->kl - is.kl) < 1e-12);
        for (size_t choice = 0; choice < N_CHOICES; choice++) {
            const lutra_budget_point other = cost_of(matrices, choice);
            assert_true(other.bytes > point->bytes || other.kl > point->kl - 1e-12);
        }
        assert_int_equal(lutra_curve_find(&curve, point->kl + 1e-12), p);
    }
    assert_int_equal(lutra_curve_find(&curve, 0), curve.n_upgrades);
    lutra_curve_free(&curve);
}

/* Within the limit, and nothing more of the curve would fit. */
static void test_budgets_are_kept_and_used(void **state)
{
    (void)state;
    lutra_widths matrices[N_MATRICES];
    lutra_curve curve;
    lutra_error error;
    lutra_budget_point chosen;
    size_t n_clusters[N_MATRICES];
    fill(matrices);
    assert_int_equal(lutra_curve_create(matrices, N_MATRICES, &curve, &error), LUTRA_OK);
    const uint64_t least = curve.points[0].bytes;
    assert_false(lutra_curve_choose(&curve, LUTRA_BUDGET_BYTES, (double)least - 1, n_clusters, &chosen));
    assert_false(lutra_curve_choose(&curve, LUTRA_BUDGET_BITS, 0.99, n_clusters, &chosen));
    for (uint64_t bytes = least; bytes < least + 3000; bytes += 7) {
        assert_true(lutra_curve_choose(&curve, LUTRA_BUDGET_BYTES, (double)bytes, n_clusters, &chosen));
        const lutra_budget_point is = cost_of(matrices, choice_of(n_clusters));
        assert_true(is.bytes <= bytes && is.bytes == chosen.bytes && fabs(is.kl - chosen.kl) < 1e-12);
        for (size_t p = 0; p <= curve.n_upgrades; p++)
            assert_true(curve.points[p].bytes > bytes || chosen.kl <= curve.points[p].kl + 1e-12);
    }
    for (double bits = 1; bits <= 4; bits += 0.1) {
        assert_true(lutra_curve_choose(&curve, LUTRA_BUDGET_BITS, bits, n_clusters, &chosen));
        assert_true(cost_of(matrices, choice_of(n_clusters)).bits <= bits + 1e-6);
    }
    assert_true(lutra_curve_choose(&curve, LUTRA_BUDGET_BITS, 4, n_clusters, &chosen));
    assert_int_equal(n_clusters[2], 16);
    assert_int_equal(n_clusters[3], 8); /* of its widths the one that loses least, though there is a larger */
    lutra_curve_free(&curve);
}

static void test_losses_between_and_beyond_those_measured(void **state)
{
    (void)state;
    const lutra_width_loss measured[] = {{4, 1}, {8, 0.1}, {16, 0.04}, {64, 0.01}};
    lutra_widths widths = {.n_widths = 7};
    lutra_estimate_widths(measured, 4, &widths);
    const double expected[] = {10, 1, 0.1, 0.04, 0.02, 0.01, 0.005};
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(widths.at[i].kl / expected[i] - 1) < 1e-9);
    const lutra_width_loss none[] = {{4, 0}, {8, 0}, {16, 0}, {64, 0}}; /* a matrix of no account */
    lutra_estimate_widths(none, 4, &widths);
    for (size_t i = 0; i < 7; i++)
        assert_true(widths.at[i].kl >= 0 && widths.at[i].kl < 1e-9);
    const lutra_width_loss spoilt[] = {{4, INFINITY}, {8, INFINITY}, {16, 0.04}, {64, 0.01}};
    lutra_estimate_widths(spoilt, 4, &widths);
    for (size_t i = 0; i < 7; i++)
        assert_true(isfinite(widths.at[i].kl) && (i < 3) == (widths.at[i].kl > 1));
}

/* A matrix that must not have few clusters takes nothing from what the curve says of the others. */
static void test_the_curve_beside_a_loss_without_limit(void **state)
{
    (void)state;
    static const lutra_width_loss measured[][4] = {{{4, INFINITY}, {8, 0.5}, {16, 0.04}, {64, 0.01}},
                                                   {{4, 1}, {8, 0.1}, {16, 0.04}, {64, 0.01}}};
    lutra_widths matrices[2];
    lutra_curve curve;
    lutra_error error;
    lutra_budget_point chosen;
    size_t n_clusters[2];
    for (size_t i = 0; i < 2; i++) {
        matrices[i] = (lutra_widths){.n_weights = 1000, .n_widths = 7};
        for (size_t w = 0; w < 7; w++) {
            matrices[i].at[w].n_clusters = (size_t)2 << w;
            matrices[i].at[w].bytes = 125 * (w + 1) + 10;
        }
        lutra_estimate_widths(measured[i], 4, &matrices[i]);
        for (size_t w = 0; w < 7; w++)
            assert_true(matrices[i].at[w].kl > 0 && matrices[i].at[w].kl <= 1e12);
    }
    assert_int_equal(lutra_curve_create(matrices, 2, &curve, &error), LUTRA_OK);
    for (size_t p = 0; p <= curve.n_upgrades; p++) {
        double kl = 0;
        lutra_curve_at(&curve, p, n_clusters);
        for (size_t i = 0; i < 2; i++)
            kl += matrices[i].at[(size_t)lround(log2((double)n_clusters[i])) - 1].kl;
        assert_true(fabs(curve.points[p].kl - kl) <= 1e-12 * kl);
        assert_true(lutra_curve_choose(&curve, LUTRA_BUDGET_BITS, curve.points[p].bits, n_clusters, &chosen));
        assert_true(fabs(chosen.kl - kl) <= 1e-12 * kl);
    }
    assert_true(curve.points[curve.n_upgrades].kl < 0.02);
    lutra_curve_free(&curve);
}

/* ---- losses ------------------------------------------------------------------------------------------ */

#define N_CLASSES 3

static void test_losses_are_divergences(void **state)
{
    (void)state;
    float dense[2][N_CLASSES] = {{0, 0, 0}, {1, 2, 3}}, other[2][N_CLASSES] = {{0, 0, 1}, {1, 2, 3}};
    const lutra_rows a = {.data = dense[0], .n_pictures = 2, .rows = 1, .stride = N_CLASSES},
                     b = {.data = other[0], .n_pictures = 2, .rows = 1, .stride = N_CLASSES};
    lutra_outputs outputs;
    lutra_error error;
    assert_int_equal(lutra_outputs_keep(&outputs, &a, N_CLASSES, "model", &error), LUTRA_OK);
    const double kl = log((2 + exp(1)) / 3) - 1.0 / 3; /* of the first picture; the second loses nothing */
    assert_true(fabs(lutra_outputs_kl(&outputs, &b, 0) - kl / 2) < 1e-7);
    assert_true(lutra_outputs_kl(&outputs, &b, 1) <= 0);
    static const float spoilt[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        other[1][1] = spoilt[i];
        assert_true(isinf(lutra_outputs_kl(&outputs, &b, 0)) && lutra_outputs_kl(&outputs, &b, 0) > 0);
    }
    lutra_outputs_free(&outputs);
    for (size_t i = 0; i < 3; i++) {
        dense[1][2] = spoilt[i];
        assert_int_equal(lutra_outputs_keep(&outputs, &a, N_CLASSES, "model", &error), LUTRA_ERROR_FORMAT);
        assert_string_equal(error.path, "model");
        lutra_outputs_free(&outputs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_curve_is_the_best_there_is),
        cmocka_unit_test(test_budgets_are_kept_and_used),
        cmocka_unit_test(test_losses_between_and_beyond_those_measured),
        cmocka_unit_test(test_the_curve_beside_a_loss_without_limit),
        cmocka_unit_test(test_losses_are_divergences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
