/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp and GELU on vectors, for any level; one of vector's headers comes first. The polynomials are minimax
 * fits of our own, which tools of the repository find again: tests/kernels/fit_polynomials.py prints them and
 * their errors, tests/kernels checks the functions against double precision.
 */
#ifndef LUTRA_KERNELS_VECTOR_FUNCTIONS_H
#define LUTRA_KERNELS_VECTOR_FUNCTIONS_H

/* 2^f for f in -0.5..0.5; relative error 2.0e-9 before rounding. */
LUTRA_INLINE vector v_exp2_fraction(vector f)
{
    vector p = v_set(0x1.41fbbcp-13f);
    p = v_multiply_add(p, f, v_set(0x1.5f3e54p-10f));
    p = v_multiply_add(p, f, v_set(0x1.3b2d4cp-7f));
    p = v_multiply_add(p, f, v_set(0x1.c6aee8p-5f));
    p = v_multiply_add(p, f, v_set(0x1.ebfbdcp-3f));
    p = v_multiply_add(p, f, v_set(0x1.62e430p-1f));
    return v_multiply_add(p, f, v_set(1.0f));
}

/* 2^x for x in -126..127. */
LUTRA_INLINE vector v_exp2(vector x)
{
    const vector n = v_round(x);
    return v_scale_by_power(v_exp2_fraction(v_subtract(x, n)), n);
}

/* e^x for x <= 88; relative error at most 1.6e-7. Below -87, where a softmax has nothing left, it stays at
 * 1.6e-38. */
LUTRA_INLINE vector v_exp(vector x)
{
    /* log2(e) in two parts, so that the product keeps its digits where x is large. */
    const vector high = v_set(0x1.715476p+0f), low = v_set(0x1.4ae0c0p-26f);
    const vector clamped = v_max(x, v_set(-87.0f));
    const vector n = v_round(v_multiply(clamped, high));
    const vector f = v_multiply_add(clamped, low, v_multiply_add(clamped, high, v_subtract(v_set(0.0f), n)));
    return v_scale_by_power(v_exp2_fraction(f), n);
}

/* x Phi(x), Phi the normal distribution: max(x, 0) - |x| Phi(-|x|), and Phi(-a) = 2^(a q(a) - 1), where q is
 * fitted so that the largest error of the product a Phi(-a) is least: 1.6e-9, with roundings 3.6e-8 (beside
 * half a unit in the last place of x). There is no cancellation as in 1 + erf. */
LUTRA_INLINE vector v_gelu_erf(vector x)
{
    const vector size = v_absolute(x), a = v_min(size, v_set(7.0f)); /* beyond, Phi(-a) < 1.3e-12 */
    vector q = v_set(0x1.a5d72ep-22f);
    q = v_multiply_add(q, a, v_set(-0x1.05c610p-17f));
    q = v_multiply_add(q, a, v_set(0x1.0e2a5ep-14f));
    q = v_multiply_add(q, a, v_set(-0x1.06d9acp-12f));
    q = v_multiply_add(q, a, v_set(-0x1.883da0p-15f));
    q = v_multiply_add(q, a, v_set(0x1.ca8dd6p-8f));
    q = v_multiply_add(q, a, v_set(-0x1.adddfap-5f));
    q = v_multiply_add(q, a, v_set(-0x1.d63b16p-2f));
    q = v_multiply_add(q, a, v_set(-0x1.26aedap+0f));
    const vector tail = v_exp2(v_multiply_add(q, a, v_set(-1.0f)));
    return v_subtract_product(v_max(x, v_set(0.0f)), size, tail);
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
LUTRA_INLINE vector v_gelu_tanh(vector x)
{
    /* -2 log2(e) sqrt(2/pi), and that times 0.044715 */
    const vector a = v_set(-0x1.26aec2p+1f), b = v_set(-0x1.a5a7d0p-4f);
    const vector limit = v_set(126.0f);
    vector exponent = v_multiply(x, v_multiply_add(v_multiply(x, x), b, a));
    exponent = v_max(v_min(exponent, limit), v_subtract(v_set(0.0f), limit));
    return v_divide(x, v_add(v_set(1.0f), v_exp2(exponent)));
}

#endif
