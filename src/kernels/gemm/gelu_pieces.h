/* SPDX-License-Identifier: Apache-2.0 */
/* GELU(x) = max(x, 0) - a tail(a), a = |x|, to 3e-5: tail by a polynomial in each piece of a, which are
 * around whole numbers of steps, and whose last is 0. Made by tests/kernels/fit_polynomials.py --pieces. */
#ifndef LUTRA_KERNELS_GEMM_GELU_PIECES_H
#define LUTRA_KERNELS_GEMM_GELU_PIECES_H

#define LUTRA_GELU_PIECES 32
#define LUTRA_GELU_PIECES_PER_UNIT 7.0f

/* [coefficient of a^0, a^1, a^2] */
static const float lutra_gelu_erf_pieces[3][LUTRA_GELU_PIECES] = {
    {0x1.000094p-1f,  0x1.00179p-1f,  0x1.00b90cp-1f, 0x1.023c4cp-1f, 0x1.049e8ep-1f, 0x1.077324p-1f,
     0x1.09ed02p-1f,  0x1.0b0312p-1f, 0x1.09909ep-1f, 0x1.04aa7ep-1f, 0x1.f757c2p-2f, 0x1.dcc78p-2f,
     0x1.ba3322p-2f,  0x1.9100a2p-2f, 0x1.63344p-2f,  0x1.332348p-2f, 0x1.032596p-2f, 0x1.aaa30ep-3f,
     0x1.56980ep-3f,  0x1.0c60f2p-3f, 0x1.9a3b48p-4f, 0x1.31ece4p-4f, 0x1.bd46f8p-5f, 0x1.3c49e4p-5f,
     0x1.b6a358p-6f,  0x1.28f816p-6f, 0x1.88ac9ap-7f, 0x1.fb1dfp-8f,  0x1.3fdf6cp-8f, 0x1.8a3dfep-9f,
     0x1.dac8eep-10f, 0x0p+0f},
    {-0x1.98e724p-2f,  -0x1.9cbdfap-2f, -0x1.a83a7cp-2f, -0x1.b9160ep-2f, -0x1.cc2b7ep-2f, -0x1.ddd9ep-2f,
     -0x1.ea8e8ap-2f,  -0x1.ef580cp-2f, -0x1.ea0c16p-2f, -0x1.da0166p-2f, -0x1.bf9244p-2f, -0x1.9c3514p-2f,
     -0x1.72247p-2f,   -0x1.44037ep-2f, -0x1.1483f4p-2f, -0x1.cc2eep-3f,  -0x1.7571f6p-3f, -0x1.279fd6p-3f,
     -0x1.c8acdp-4f,   -0x1.584034p-4f, -0x1.faa65cp-5f, -0x1.6c0986p-5f, -0x1.fee85ap-6f, -0x1.5e353p-6f,
     -0x1.d511cp-7f,   -0x1.32f79ep-7f, -0x1.88aa8cp-8f, -0x1.eafb32p-9f, -0x1.2c166ep-9f, -0x1.66a9f4p-10f,
     -0x1.a32f34p-11f, 0x0p+0f},
    {0x1.2a8a1ap-7f,  0x1.e1e00ep-6f,  0x1.c3dcd8p-5f,  0x1.402b3ep-4f, 0x1.8caeeep-4f,  0x1.c3f6bp-4f,
     0x1.e49536p-4f,  0x1.ef21cep-4f,  0x1.e5703p-4f,   0x1.cb2abp-4f,  0x1.a45092p-4f,  0x1.7539ccp-4f,
     0x1.420c0ap-4f,  0x1.0e63c2p-4f,  0x1.ba3efap-5f,  0x1.608fd8p-5f, 0x1.122bc2p-5f,  0x1.a02f54p-6f,
     0x1.346f48p-6f,  0x1.be8decp-7f,  0x1.3bdcc2p-7f,  0x1.b4ba68p-8f, 0x1.272898p-8f,  0x1.861a14p-9f,
     0x1.f839b6p-10f, 0x1.3ebca6p-10f, 0x1.8a3496p-11f, 0x1.dcff5p-12f, 0x1.1a60c8p-12f, 0x1.472a7cp-13f,
     0x1.72f782p-14f, 0x0p+0f},
};

/* [coefficient of a^0, a^1, a^2] */
static const float lutra_gelu_tanh_pieces[3][LUTRA_GELU_PIECES] = {
    {0x1.000096p-1f,  0x1.0017acp-1f, 0x1.00b9b4p-1f, 0x1.023d54p-1f, 0x1.049db6p-1f, 0x1.076b2ep-1f,
     0x1.09d68ep-1f,  0x1.0ad5fcp-1f, 0x1.094ee2p-1f, 0x1.045abcp-1f, 0x1.f6c288p-2f, 0x1.dc7392p-2f,
     0x1.ba5aa2p-2f,  0x1.91cf36p-2f, 0x1.64b6f2p-2f, 0x1.35405ep-2f, 0x1.059f68p-2f, 0x1.afa672p-3f,
     0x1.5af92cp-3f,  0x1.0f8be8p-3f, 0x1.9d7252p-4f, 0x1.31df24p-4f, 0x1.b75968p-5f, 0x1.31fa96p-5f,
     0x1.9ccd74p-6f,  0x1.0d653ep-6f, 0x1.53c2c4p-7f, 0x1.9d8e7ap-8f, 0x1.e53a86p-9f, 0x1.121006p-9f,
     0x1.29b366p-10f, 0x0p+0f},
    {-0x1.98e7ap-2f,   -0x1.9cc2f6p-2f, -0x1.a849b2p-2f, -0x1.b929f6p-2f, -0x1.cc30e2p-2f,  -0x1.ddb38p-2f,
     -0x1.ea1eb2p-2f,  -0x1.ee875ep-2f, -0x1.e8ee6ap-2f, -0x1.d8b50ap-2f, -0x1.be548p-2f,   -0x1.9b4ddap-2f,
     -0x1.71d326p-2f,  -0x1.446d38p-2f, -0x1.15a89ap-2f, -0x1.cfa2e8p-3f, -0x1.798e46p-3f,  -0x1.2bca3ep-3f,
     -0x1.cfff2p-4f,   -0x1.5dbdcp-4f,  -0x1.009356p-4f, -0x1.6e127ep-5f, -0x1.fb63f6p-6f,  -0x1.553abcp-6f,
     -0x1.bce1ecp-7f,  -0x1.18c82ap-7f, -0x1.56bb76p-8f, -0x1.940ec4p-9f, -0x1.cb83f8p-10f, -0x1.f77d84p-11f,
     -0x1.096eb4p-11f, 0x0p+0f},
    {0x1.2c028ep-7f,  0x1.e426b2p-6f,  0x1.c5c0b8p-5f,  0x1.4139b8p-4f,  0x1.8d8578p-4f,  0x1.c44688p-4f,
     0x1.e42acp-4f,   0x1.ede7f6p-4f,  0x1.e3a6bep-4f,  0x1.c9138cp-4f,  0x1.a24e18p-4f,  0x1.73aa0cp-4f,
     0x1.41326ap-4f,  0x1.0e5b86p-4f,  0x1.bbb27cp-5f,  0x1.632468p-5f,  0x1.155904p-5f,  0x1.a6a304p-6f,
     0x1.3a151p-6f,   0x1.c714f2p-7f,  0x1.412ca8p-7f,  0x1.b93fe8p-8f,  0x1.26bc1cp-8f,  0x1.7e7298p-9f,
     0x1.e1799ep-10f, 0x1.25b048p-10f, 0x1.5ac456p-11f, 0x1.8bc7b8p-12f, 0x1.b41aa2p-13f, 0x1.cf56f6p-14f,
     0x1.da10cp-15f,  0x0p+0f},
};

#endif
