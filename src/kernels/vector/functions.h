/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 2^x and GELU on vectors, for any level; one of vector's headers comes first. The polynomials are minimax
 * fits of our own: tests/kernels/fit_polynomials.py prints them and their errors, and the tests of the
 * kernels check what is made of them against double precision.
 */
#ifndef LUTRA_KERNELS_VECTOR_FUNCTIONS_H
#define LUTRA_KERNELS_VECTOR_FUNCTIONS_H

/* A sum with it leaves a number rounded to a whole one in its low bits; additions and shifts run beside
 * multiplications where instructions to round and scale would not. */
#define ROUND_TO_WHOLE 0x1.8p23f

/* 2^(n + f), n in the low bits of `shifted`, f in -0.5..0.5. */
LUTRA_INLINE vector v_exp2_parts(vector shifted, vector f)
{
    vector p = v_set(0x1.5bba0ap-10f);
    p = v_multiply_add(p, f, v_set(0x1.3cea88p-7f));
    p = v_multiply_add(p, f, v_set(0x1.c6b752p-5f));
    p = v_multiply_add(p, f, v_set(0x1.ebf9bcp-3f));
    p = v_multiply_add(p, f, v_set(0x1.62e42ap-1f));
    return v_add_to_exponent(v_multiply_add(p, f, v_set(1.0f)), shifted);
}

/* 2^x for x in -125..127, relative error at most 1.6e-7 (9.2e-8 of the polynomial, the rest roundings). */
LUTRA_INLINE vector v_exp2(vector x)
{
    const vector magic = v_set(ROUND_TO_WHOLE), shifted = v_add(x, magic);
    return v_exp2_parts(shifted, v_subtract(x, v_subtract(shifted, magic)));
}

/* 2^(x y) for products in -125..127, which are not rounded: in as many instructions as v_exp2, and as exact.
 */
LUTRA_INLINE vector v_exp2_product(vector x, vector y)
{
    const vector magic = v_set(ROUND_TO_WHOLE), shifted = v_multiply_add(x, y, magic);
    return v_exp2_parts(shifted, v_multiply_add(x, y, v_subtract(magic, shifted)));
}

/* The same with a relative error of at most 7.6e-5, for what is rounded to bf16 (2^-8) anyway. */
LUTRA_INLINE vector v_exp2_product_coarse(vector x, vector y)
{
    const vector magic = v_set(ROUND_TO_WHOLE), shifted = v_multiply_add(x, y, magic);
    const vector f = v_multiply_add(x, y, v_subtract(magic, shifted));
    vector p = v_set(0x1.c3f75ep-5f);
    p = v_multiply_add(p, f, v_set(0x1.f0de1ap-3f));
    p = v_multiply_add(p, f, v_set(0x1.62f31ap-1f));
    return v_add_to_exponent(v_multiply_add(p, f, v_set(0x1.fff692p-1f)), shifted);
}

/* x Phi(x), Phi the normal distribution: max(x, 0) - |x| Phi(-|x|), and Phi(-a) = 2^(a q(a) - 1), where q is
 * fitted so that the largest error of the product a Phi(-a) is least: 9.0e-9, and 5e-8 with all roundings but
 * the last (half a unit in the last place of x). There is no cancellation as in 1 + erf. */
LUTRA_INLINE vector v_gelu_erf(vector x)
{
    const vector size = v_absolute(x), a = v_min(size, v_set(7.0f)); /* beyond, Phi(-a) < 1.3e-12 */
    vector q = v_set(-0x1.fe94eep-20f);
    q = v_multiply_add(q, a, v_set(0x1.d6b79cp-16f));
    q = v_multiply_add(q, a, v_set(-0x1.13b820p-13f));
    q = v_multiply_add(q, a, v_set(-0x1.1d4ad0p-12f));
    q = v_multiply_add(q, a, v_set(0x1.dad600p-8f));
    q = v_multiply_add(q, a, v_set(-0x1.af201ap-5f));
    q = v_multiply_add(q, a, v_set(-0x1.d62e9ap-2f));
    q = v_multiply_add(q, a, v_set(-0x1.26af36p+0f));
    const vector tail = v_exp2(v_multiply_add(q, a, v_set(-1.0f)));
    return v_subtract_product(v_max(x, v_set(0.0f)), size, tail);
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
LUTRA_INLINE vector v_gelu_tanh(vector x)
{
    /* -2 log2(e) sqrt(2/pi), and that times 0.044715 */
    const vector a = v_set(-0x1.26aec2p+1f), b = v_set(-0x1.a5a7d0p-4f);
    const vector limit = v_set(125.0f);
    vector exponent = v_multiply(x, v_multiply_add(v_multiply(x, x), b, a));
    exponent = v_max(v_min(exponent, limit), v_subtract(v_set(0.0f), limit));
    return v_divide(x, v_add(v_set(1.0f), v_exp2(exponent)));
}

#endif
