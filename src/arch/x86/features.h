/* SPDX-License-Identifier: MIT */
/* The features of a processor that instructions depend on: what the decoder's table names, and the
 * policy offers or not. */
#ifndef VZ_ARCH_X86_FEATURES_H
#define VZ_ARCH_X86_FEATURES_H

/* CPUID bits an instruction depends on; the interpreter raises #UD where it is not offered. */
#define X86_FEATURES(X) \
    X(BASE) X(MMX) X(SSE) X(SSE2) X(SSE3) X(SSSE3) X(SSE4_1) X(SSE4_2) X(AES) X(PCLMUL) X(SHA) \
    X(AVX) X(AVX2) X(FMA) X(F16C) X(BMI1) X(BMI2) X(LZCNT) X(POPCNT) X(MOVBE) X(ADX) X(CX16) \
    X(RDRAND) X(RDSEED) X(FSGSBASE) X(INVPCID) X(SMAP) X(XSAVE) X(XSAVEOPT) X(XSAVEC) X(RDTSCP) \
    X(RDPID) X(SYSCALL) X(LM) X(LAHF64) X(CLFLUSHOPT) X(CLWB) X(PREFETCHW) X(VAES) X(VPCLMULQDQ) \
    X(GFNI)

enum x86_feature {
#define X86_FEATURE_(name) X86_FEATURE_##name,
    X86_FEATURES(X86_FEATURE_)
#undef X86_FEATURE_
    X86_FEATURE_COUNT,
};

/* "AVX2", for messages and files. */
const char *x86_feature_name(unsigned feature);

#endif
