#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finds the polynomials of src/kernels/vector/functions.h again and prints them with their errors.

Weighted least squares whose weights are raised where the error is large (Lawson 1961) until the largest error is
least. `--pieces FILE` writes the table of GELU in pieces. Needs NumPy. The result depends on the least-squares solver in the last digits of an f32; compare errors.
"""
import math
import sys

import numpy as np
from numpy.polynomial import chebyshev, polynomial

ROUNDS = 200
N_PIECES = 32  # as many as two vectors of AVX-512 have entries
PIECES_PER_UNIT = 7


def minimax(matrix, target, weight):
    """Coefficients c that make the largest |weight * (matrix c - target)| least, and that error."""
    emphasis = np.ones(len(target))
    best = (math.inf, None)
    for _ in range(ROUNDS):
        s = np.sqrt(emphasis) * weight
        c = np.linalg.lstsq(matrix * s[:, None], target * s, rcond=None)[0]
        error = np.abs(matrix @ c - target) * weight
        if error.max() < best[0]:
            best = (error.max(), c)
        emphasis *= error / error.max() + 1e-4
        emphasis /= emphasis.sum()
    return best


def nodes(low, high, n):
    return low + (high - low) * (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n)) / 2


def exp2():
    """2^f on -0.5..0.5, relative error, the constant 1 given."""
    f = nodes(-0.5, 0.5, 400)
    error, c = minimax(f[:, None] ** np.arange(1, 6), 2**f - 1, 2**-f)
    return error, np.concatenate([[1], c])


def coarse_exp2():
    """2^f on -0.5..0.5 to less than bf16 can tell."""
    f = nodes(-0.5, 0.5, 400)
    return minimax(f[:, None] ** np.arange(0, 4), 2**f, 2**-f)


def normal_tail():
    """q with Phi(-a) = 2^(a q(a) - 1) on 0..7, where the error of a Phi(-a) counts."""
    top = 7.0
    a = nodes(0, top, 6000)
    tail = np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in a])
    basis = chebyshev.chebvander(2 * a / top - 1, 7) * a[:, None]
    error, c = minimax(basis, np.log2(tail) + 1, a * tail * math.log(2))
    return error, polynomial.Polynomial(chebyshev.cheb2poly(c))(polynomial.Polynomial([-1, 2 / top])).coef


def gelu_pieces(tail):
    """a tail(a) by a polynomial of degree 2 for tail in each piece of a, where its absolute error counts; 0 in the last."""
    errors, pieces = [], np.zeros((N_PIECES, 3))
    for i in range(N_PIECES - 1):
        a = nodes(max(i - 0.5, 0) / PIECES_PER_UNIT, (i + 0.5) / PIECES_PER_UNIT, 200)
        error, pieces[i] = minimax(a[:, None] ** np.arange(3), tail(a), np.maximum(a, 1e-3))
        errors.append(error)
    top = (N_PIECES - 1.5) / PIECES_PER_UNIT
    return max(errors + [top * float(tail(np.array([top]))[0])]), pieces.astype(np.float32).T


def write_pieces(path):
    """The table of src/kernels/gemm/gelu_pieces.h."""
    tails = {
        "erf": lambda a: np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in a]),
        "tanh": lambda a: 1 / (1 + np.exp(2 * math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
    }
    with open(path, "w") as file:
        file.write(
            "/* SPDX-License-Identifier: Apache-2.0 */\n"
            "/* GELU(x) = max(x, 0) - a tail(a), a = |x|, to 3e-5: tail by a polynomial in each piece of a, which are around\n"
            " * whole numbers of steps, and whose last is 0. Made by tests/kernels/fit_polynomials.py --pieces. */\n"
            "#ifndef LUTRA_KERNELS_GEMM_GELU_PIECES_H\n#define LUTRA_KERNELS_GEMM_GELU_PIECES_H\n\n"
            f"#define LUTRA_GELU_PIECES {N_PIECES}\n#define LUTRA_GELU_PIECES_PER_UNIT {PIECES_PER_UNIT}.0f\n"
        )
        for name, tail in tails.items():
            error, pieces = gelu_pieces(tail)
            print(f"GELU ({name}) in pieces: largest error {error:.2e}")
            file.write(f"\n/* [coefficient of a^0, a^1, a^2] */\nstatic const float lutra_gelu_{name}_pieces[3][LUTRA_GELU_PIECES] = {{\n")
            for row in pieces:
                file.write("    {" + ", ".join(float(c).hex() + "f" for c in row) + "},\n")
            file.write("};\n")
        file.write("\n#endif\n")


def gelu_in_f32(x, q, p):
    """As v_gelu_erf and v_exp2 do it, each operation rounded to f32, with fused multiply-adds."""
    f32 = np.float32

    def fma(a, b, c):
        return (a.astype(float) * b.astype(float) + np.float64(c)).astype(f32)

    size = np.abs(x)
    a = np.minimum(size, f32(7))
    y = np.full_like(a, q[-1])
    for c in q[-2::-1]:
        y = fma(y, a, c)
    y = fma(y, a, f32(-1))
    n = np.rint(y)
    f = y - n
    e = np.full_like(f, p[-1])
    for c in p[-2::-1]:
        e = fma(e, f, c)
    return fma(-size, np.ldexp(e, n.astype(int)).astype(f32), np.maximum(x, 0).astype(float))


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--pieces":
        write_pieces(sys.argv[2])
        return
    exp2_error, p = exp2()
    tail_error, q = normal_tail()
    p, q = p.astype(np.float32), q.astype(np.float32)
    x = np.linspace(-9, 0, 100001).astype(np.float32)
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.astype(float)])
    print(f"2^f: largest relative error {exp2_error:.2e}")
    print("  " + "  ".join(float(c).hex() for c in p))
    coarse_error, coarse = coarse_exp2()
    print(f"2^f, degree 3: largest relative error {coarse_error:.2e}")
    print("  " + "  ".join(float(c).hex() for c in coarse.astype(np.float32)))
    print(f"q: largest error of a Phi(-a) {tail_error:.2e}")
    print("  " + "  ".join(float(c).hex() for c in q))
    print(f"GELU(x) for x < 0 in f32: largest error {np.abs(gelu_in_f32(x, q, p) - exact).max():.2e}")


if __name__ == "__main__":
    main()
