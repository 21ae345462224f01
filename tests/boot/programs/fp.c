/* SPDX-License-Identifier: MIT */
/* Floating point: x87, SSE2, and AVX2 with FMA; every result as its bits, so that one wrong bit
 * shows. */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define N 256

static uint64_t sum(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len--)
        h = (h ^ *p++) * UINT64_C(0x100000001b3);
    return h;
}

#define KERNEL(name, type)                                                                         \
    static void name(const type *a, const type *b, type *c)                                        \
    {                                                                                              \
        for (int i = 0; i < N; i++)                                                                \
            c[i] = a[i] * b[i] + c[i] / (a[i] + (type)1.5) - (type)(int)b[i];                      \
    }

KERNEL(double_sse2, double)
KERNEL(float_sse2, float)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
KERNEL(double_avx2, double)
KERNEL(float_avx2, float)
#pragma GCC pop_options
static long double ldv[3][N];
KERNEL(long_double, long double)

/* One clone per level of the architecture, chosen when the program starts. */
__attribute__((target_clones("default", "sse4.2", "avx", "avx2", "arch=haswell")))
static uint64_t mixed(uint32_t seed)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        seed = seed * 1664525 + 1013904223;
        total += (seed >> 7) ^ ((uint64_t)seed << (i & 31)) ^ (uint64_t)__builtin_popcount(seed);
    }
    return total;
}

static void kernels(void)
{
    static double a[N], b[N], c[N], d[N];
    static float fa[N], fb[N], fc[N], fd[N];
    uint64_t h = 0;

    for (int i = 0; i < N; i++) {
        a[i] = fa[i] = (float)(sin(i) * 100), b[i] = fb[i] = (float)(cos(i) * 7);
        c[i] = d[i] = fc[i] = fd[i] = (float)i;
        ldv[0][i] = a[i], ldv[1][i] = b[i], ldv[2][i] = i;
    }
    for (int round = 0; round < 50; round++) {
        double_sse2(a, b, c);
        float_sse2(fa, fb, fc);
        long_double(ldv[0], ldv[1], ldv[2]);
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            double_avx2(a, b, d);
            float_avx2(fa, fb, fd);
        }
    }
    printf("sse2 %016llx %016llx\n", (unsigned long long)sum(h, c, sizeof(c)),
           (unsigned long long)sum(h, fc, sizeof(fc)));
    printf("avx2 %016llx %016llx\n", (unsigned long long)sum(h, d, sizeof(d)),
           (unsigned long long)sum(h, fd, sizeof(fd)));
    for (int i = 0; i < N; i++)
        h = sum(h, &ldv[2][i], 10);
    printf("x87 %016llx %.21Lg\n", (unsigned long long)h, ldv[2][17]);
    printf("clones %016llx\n", (unsigned long long)mixed(42));
}

static void libm(void)
{
    static double (*const f[])(double) = {sin, cos, tan, exp, log, sqrt, cbrt, atan, sinh, tanh,
                                          erf, lgamma, expm1, log1p, rint, floor, ceil, trunc};
    static long double (*const fl[])(long double) = {sinl, cosl, tanl, expl, logl, sqrtl, atanl,
                                                     cbrtl, log2l, rintl, floorl, tgammal};
    uint64_t h = 0;

    for (size_t n = 0; n < sizeof(f) / sizeof(f[0]); n++)
        for (double x = -20; x < 20; x += 0.37) {
            double v = f[n](x);

            h = sum(h, isnan(v) ? &(double){0} : &v, sizeof(v));
        }
    printf("libm %016llx\n", (unsigned long long)h);
    for (size_t n = 0; n < sizeof(fl) / sizeof(fl[0]); n++)
        for (long double x = -20; x < 20; x += 0.37L) {
            long double v = fl[n](x);

            h = sum(h, isnan(v) ? &(long double){0} : &v, 10);
        }
    printf("libm long double %016llx\n", (unsigned long long)h);
    printf("%.20Lg %La %.17g %a %Lg\n", expl(1), sqrtl(2), pow(1.1, 200), DBL_TRUE_MIN,
           LDBL_MAX);
}

static void environment(void)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    volatile double one = 1, three = 3, big = DBL_MAX, tiny = DBL_MIN;
    volatile long double lone = 1, lthree = 3;

    for (int n = 0; n < 4; n++) {
        fesetround(modes[n]);
        printf("%a %La %ld %ld\n", one / three, lone / lthree, lrint(-2.5), lrintl(3.5L));
    }
    fesetround(FE_TONEAREST);
    feclearexcept(FE_ALL_EXCEPT);
    big *= 2;
    printf("overflow %x\n", fetestexcept(FE_ALL_EXCEPT));
    feclearexcept(FE_ALL_EXCEPT);
    tiny /= 3;
    printf("underflow %x %g\n", fetestexcept(FE_ALL_EXCEPT), tiny);
    feclearexcept(FE_ALL_EXCEPT);
    lone /= lthree - 3;
    printf("division %x %Lg\n", fetestexcept(FE_ALL_EXCEPT), lone);
}

int main(void)
{
    kernels();
    libm();
    environment();
    return 0;
}
