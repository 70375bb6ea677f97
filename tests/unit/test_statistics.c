/* SPDX-License-Identifier: Apache-2.0 */
/* The command's quantiles against numbers that NumPy gives, and the interval of a median against the binomial
 * distribution's table. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "statistics.h"

static void quantiles_are_numpys(void **state)
{
    (void)state;
    /* numpy.quantile([5, 1, 4, 2.5, 3, 9, 7], [.5, .1, .9]) */
    double values[] = {5, 1, 4, 2.5, 3, 9, 7};
    const tool_spread spread = tool_spread_of(values, 7);
    assert_true(spread.median == 4.0);
    assert_true(fabs(spread.p10 - 1.9) < 1e-12);
    assert_true(fabs(spread.p90 - 7.8) < 1e-12);
    double one[] = {3};
    const tool_spread alone = tool_spread_of(one, 1);
    assert_true(alone.median == 3 && alone.p10 == 3 && alone.p90 == 3);
    double two[] = {2, 1};
    assert_true(tool_spread_of(two, 2).median == 1.5);
}

/* The interval of the values 1..n is made of two of them: [low, n + 1 - low]. */
static void check_interval(size_t n, double low)
{
    double values[2000];
    for (size_t i = 0; i < n; i++)
        values[i] = (double)(n - i);
    const tool_interval interval = tool_median_interval(values, n);
    assert_true(interval.median == ((double)n + 1) / 2);
    assert_true(interval.low == low);
    assert_true(interval.high == (double)n + 1 - low);
}

static void intervals_follow_the_binomial_distribution(void **state)
{
    (void)state;
    /* The largest k with scipy.stats.binom.cdf(k - 1, n, 0.5) <= 0.025; in tables of the sign test too. */
    check_interval(6, 1);
    check_interval(8, 1);
    check_interval(9, 2);
    check_interval(20, 6);
    check_interval(50, 18);
    check_interval(100, 40);
    check_interval(1000, 469);
}

static void few_values_give_no_interval(void **state)
{
    (void)state;
    double values[] = {1, 2, 3, 4, 5};
    const tool_interval interval = tool_median_interval(values, 5);
    assert_true(interval.median == 3);
    assert_true(isnan(interval.low) && isnan(interval.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_numpys),
        cmocka_unit_test(intervals_follow_the_binomial_distribution),
        cmocka_unit_test(few_values_give_no_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
