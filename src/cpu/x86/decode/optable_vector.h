/* SPDX-License-Identifier: MIT */
/* The vector part of the table of operations; see optable.h, which includes this. */
#ifndef VZ_CPU_X86_OPTABLE_VECTOR_H
#define VZ_CPU_X86_OPTABLE_VECTOR_H

/* MMX operations without an XMM form. */
#define X86_OPS_MMX(X) \
    X(EMMS, "emms", MMX, FPU, aMMX, 0, 0, 0) \
    X(PSHUFW, "pshufw", SSE, FPU, aMMX, 0, 0, 0) \
    X(MASKMOVQ, "maskmovq", SSE, FPU, aMMX | aMEM, 0, 0, 0) \
    X(MOVNTQ, "movntq", SSE, FPU, aMMX, 0, 0, 0) \
    X(MOVDQ2Q, "movdq2q", SSE2, FPU, aSSE | aMMX, 0, 0, 0) \
    X(MOVQ2DQ, "movq2dq", SSE2, FPU, aSSE | aMMX, 0, 0, 0) \
    X(CVTPI2PS, "cvtpi2ps", SSE, FPU, aSSE | aMMX | aSIMD, 0, 0, 0) \
    X(CVTPS2PI, "cvtps2pi", SSE, FPU, aSSE | aMMX | aSIMD, 0, 0, 0) \
    X(CVTTPS2PI, "cvttps2pi", SSE, FPU, aSSE | aMMX | aSIMD, 0, 0, 0) \
    X(CVTPI2PD, "cvtpi2pd", SSE2, FPU, aSSE | aMMX | aSIMD, 0, 0, 0) \
    X(CVTPD2PI, "cvtpd2pi", SSE2, FPU, aSSE | aMMX | aALN | aSIMD, 0, 0, 0) \
    X(CVTTPD2PI, "cvttpd2pi", SSE2, FPU, aSSE | aMMX | aALN | aSIMD, 0, 0, 0)

/* SSE to SSE4.2, AES, PCLMULQDQ, SHA, GFNI; the integer ones serve the MMX form too. */
#define X86_OPS_SSE(X) \
    X(MOVUPS, "movups", SSE, FPU, aSSE | aUNA, 0, 0, 0) \
    X(MOVLPS, "movlps", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVHPS, "movhps", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVHLPS, "movhlps", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVLHPS, "movlhps", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVSS, "movss", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVMSKPS, "movmskps", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVAPS, "movaps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVNTPS, "movntps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(UNPCKLPS, "unpcklps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(UNPCKHPS, "unpckhps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(ANDPS, "andps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(ANDNPS, "andnps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(ORPS, "orps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(XORPS, "xorps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(ADDPS, "addps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MULPS, "mulps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SUBPS, "subps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MINPS, "minps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(DIVPS, "divps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MAXPS, "maxps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SQRTPS, "sqrtps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(RSQRTPS, "rsqrtps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(RCPPS, "rcpps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(CMPPS, "cmpps", SSE, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SHUFPS, "shufps", SSE, FPU, aSSE | aALN, 0, 0, 0) \
    X(ADDSS, "addss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MULSS, "mulss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(SUBSS, "subss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MINSS, "minss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(DIVSS, "divss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MAXSS, "maxss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(SQRTSS, "sqrtss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(RSQRTSS, "rsqrtss", SSE, FPU, aSSE, 0, 0, 0) \
    X(RCPSS, "rcpss", SSE, FPU, aSSE, 0, 0, 0) \
    X(CMPSS, "cmpss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSI2SS, "cvtsi2ss", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSS2SI, "cvtss2si", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTTSS2SI, "cvttss2si", SSE, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(UCOMISS, "ucomiss", SSE, FPU, aSSE | aSIMD, 0, fALL, 0) \
    X(COMISS, "comiss", SSE, FPU, aSSE | aSIMD, 0, fALL, 0) \
    X(LDMXCSR, "ldmxcsr", SSE, FPU, aSSE, 0, 0, 0) \
    X(STMXCSR, "stmxcsr", SSE, FPU, aSSE, 0, 0, 0) \
    X(MOVUPD, "movupd", SSE2, FPU, aSSE | aUNA, 0, 0, 0) \
    X(MOVLPD, "movlpd", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVHPD, "movhpd", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVSD, "movsd", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVMSKPD, "movmskpd", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVD, "movd", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVQ, "movq", SSE2, FPU, aSSE, 0, 0, 0) \
    X(MOVDQU, "movdqu", SSE2, FPU, aSSE | aUNA, 0, 0, 0) \
    X(MASKMOVDQU, "maskmovdqu", SSE2, FPU, aSSE | aMEM, 0, 0, 0) \
    X(MOVAPD, "movapd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVDQA, "movdqa", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVNTPD, "movntpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVNTDQ, "movntdq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(UNPCKLPD, "unpcklpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(UNPCKHPD, "unpckhpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(ANDPD, "andpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(ANDNPD, "andnpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(ORPD, "orpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(XORPD, "xorpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(ADDPD, "addpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MULPD, "mulpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SUBPD, "subpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MINPD, "minpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(DIVPD, "divpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MAXPD, "maxpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SQRTPD, "sqrtpd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CMPPD, "cmppd", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(SHUFPD, "shufpd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(ADDSD, "addsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MULSD, "mulsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(SUBSD, "subsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MINSD, "minsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(DIVSD, "divsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(MAXSD, "maxsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(SQRTSD, "sqrtsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CMPSD, "cmpsd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSI2SD, "cvtsi2sd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSD2SI, "cvtsd2si", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTTSD2SI, "cvttsd2si", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSS2SD, "cvtss2sd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTSD2SS, "cvtsd2ss", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTPS2PD, "cvtps2pd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(CVTDQ2PD, "cvtdq2pd", SSE2, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(UCOMISD, "ucomisd", SSE2, FPU, aSSE | aSIMD, 0, fALL, 0) \
    X(COMISD, "comisd", SSE2, FPU, aSSE | aSIMD, 0, fALL, 0) \
    X(CVTPD2PS, "cvtpd2ps", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CVTDQ2PS, "cvtdq2ps", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CVTPS2DQ, "cvtps2dq", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CVTTPS2DQ, "cvttps2dq", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CVTTPD2DQ, "cvttpd2dq", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(CVTPD2DQ, "cvtpd2dq", SSE2, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(PUNPCKLBW, "punpcklbw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLWD, "punpcklwd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLDQ, "punpckldq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLQDQ, "punpcklqdq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHBW, "punpckhbw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHWD, "punpckhwd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHDQ, "punpckhdq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHQDQ, "punpckhqdq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PACKSSWB, "packsswb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PACKSSDW, "packssdw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PACKUSWB, "packuswb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTB, "pcmpgtb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTW, "pcmpgtw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTD, "pcmpgtd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQB, "pcmpeqb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQW, "pcmpeqw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQD, "pcmpeqd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDB, "paddb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDW, "paddw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDD, "paddd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDQ, "paddq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDSB, "paddsb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDSW, "paddsw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDUSB, "paddusb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PADDUSW, "paddusw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBB, "psubb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBW, "psubw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBD, "psubd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBQ, "psubq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBSB, "psubsb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBSW, "psubsw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBUSB, "psubusb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSUBUSW, "psubusw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULLW, "pmullw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULHW, "pmulhw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULHUW, "pmulhuw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULUDQ, "pmuludq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMADDWD, "pmaddwd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSADBW, "psadbw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PAVGB, "pavgb", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PAVGW, "pavgw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINUB, "pminub", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINSW, "pminsw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXUB, "pmaxub", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXSW, "pmaxsw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PAND, "pand", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PANDN, "pandn", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(POR, "por", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PXOR, "pxor", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSLLW, "psllw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSLLD, "pslld", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSLLQ, "psllq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSLLDQ, "pslldq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRLW, "psrlw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRLD, "psrld", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRLQ, "psrlq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRLDQ, "psrldq", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRAW, "psraw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSRAD, "psrad", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSHUFD, "pshufd", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSHUFHW, "pshufhw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSHUFLW, "pshuflw", SSE2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PINSRW, "pinsrw", SSE2, FPU, aSSE, 0, 0, 0) \
    X(PEXTRW, "pextrw", SSE2, FPU, aSSE, 0, 0, 0) \
    X(PMOVMSKB, "pmovmskb", SSE2, FPU, aSSE, 0, 0, 0) \
    X(LDDQU, "lddqu", SSE3, FPU, aSSE | aUNA, 0, 0, 0) \
    X(MOVDDUP, "movddup", SSE3, FPU, aSSE, 0, 0, 0) \
    X(MOVSLDUP, "movsldup", SSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVSHDUP, "movshdup", SSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(HADDPS, "haddps", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(HADDPD, "haddpd", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(HSUBPS, "hsubps", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(HSUBPD, "hsubpd", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(ADDSUBPS, "addsubps", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(ADDSUBPD, "addsubpd", SSE3, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(PSHUFB, "pshufb", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHADDW, "phaddw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHADDD, "phaddd", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHADDSW, "phaddsw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMADDUBSW, "pmaddubsw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHSUBW, "phsubw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHSUBD, "phsubd", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHSUBSW, "phsubsw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSIGNB, "psignb", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSIGNW, "psignw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PSIGND, "psignd", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULHRSW, "pmulhrsw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PABSB, "pabsb", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PABSW, "pabsw", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PABSD, "pabsd", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PALIGNR, "palignr", SSSE3, FPU, aSSE | aALN, 0, 0, 0) \
    X(PBLENDVB, "pblendvb", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(BLENDVPS, "blendvps", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(BLENDVPD, "blendvpd", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULDQ, "pmuldq", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQQ, "pcmpeqq", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(MOVNTDQA, "movntdqa", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PACKUSDW, "packusdw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINSB, "pminsb", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINSD, "pminsd", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINUW, "pminuw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMINUD, "pminud", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXSB, "pmaxsb", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXSD, "pmaxsd", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXUW, "pmaxuw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMAXUD, "pmaxud", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PMULLD, "pmulld", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PHMINPOSUW, "phminposuw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(ROUNDPS, "roundps", SSE4_1, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(ROUNDPD, "roundpd", SSE4_1, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(BLENDPS, "blendps", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(BLENDPD, "blendpd", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PBLENDW, "pblendw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(DPPS, "dpps", SSE4_1, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(DPPD, "dppd", SSE4_1, FPU, aSSE | aALN | aSIMD, 0, 0, 0) \
    X(MPSADBW, "mpsadbw", SSE4_1, FPU, aSSE | aALN, 0, 0, 0) \
    X(PTEST, "ptest", SSE4_1, FPU, aSSE | aALN, 0, fALL, 0) \
    X(PMOVSXBW, "pmovsxbw", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVSXBD, "pmovsxbd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVSXBQ, "pmovsxbq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVSXWD, "pmovsxwd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVSXWQ, "pmovsxwq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVSXDQ, "pmovsxdq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXBW, "pmovzxbw", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXBD, "pmovzxbd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXBQ, "pmovzxbq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXWD, "pmovzxwd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXWQ, "pmovzxwq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PMOVZXDQ, "pmovzxdq", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(ROUNDSS, "roundss", SSE4_1, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(ROUNDSD, "roundsd", SSE4_1, FPU, aSSE | aSIMD, 0, 0, 0) \
    X(PEXTRB, "pextrb", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PEXTRD, "pextrd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(EXTRACTPS, "extractps", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PINSRB, "pinsrb", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(INSERTPS, "insertps", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PINSRD, "pinsrd", SSE4_1, FPU, aSSE, 0, 0, 0) \
    X(PCMPGTQ, "pcmpgtq", SSE4_2, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCMPESTRM, "pcmpestrm", SSE4_2, FPU, aSSE | aSCMP | aUNA, 0, fALL, 0) \
    X(PCMPESTRI, "pcmpestri", SSE4_2, FPU, aSSE | aSCMP | aUNA, 0, fALL, 0) \
    X(PCMPISTRM, "pcmpistrm", SSE4_2, FPU, aSSE | aSCMP | aUNA, 0, fALL, 0) \
    X(PCMPISTRI, "pcmpistri", SSE4_2, FPU, aSSE | aSCMP | aUNA, 0, fALL, 0) \
    X(AESIMC, "aesimc", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(AESENC, "aesenc", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(AESENCLAST, "aesenclast", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(AESDEC, "aesdec", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(AESDECLAST, "aesdeclast", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(AESKEYGENASSIST, "aeskeygenassist", AES, FPU, aSSE | aALN, 0, 0, 0) \
    X(PCLMULQDQ, "pclmulqdq", PCLMUL, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA1NEXTE, "sha1nexte", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA1MSG1, "sha1msg1", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA1MSG2, "sha1msg2", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA256RNDS2, "sha256rnds2", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA256MSG1, "sha256msg1", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA256MSG2, "sha256msg2", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(SHA1RNDS4, "sha1rnds4", SHA, FPU, aSSE | aALN, 0, 0, 0) \
    X(GF2P8MULB, "gf2p8mulb", GFNI, FPU, aSSE | aALN, 0, 0, 0) \
    X(GF2P8AFFINEQB, "gf2p8affineqb", GFNI, FPU, aSSE | aALN, 0, 0, 0) \
    X(GF2P8AFFINEINVQB, "gf2p8affineinvqb", GFNI, FPU, aSSE | aALN, 0, 0, 0)

/* AVX, AVX2, FMA, F16C. aY2: the 256-bit form needs AVX2; aALN: the aligned moves only. */
#define X86_OPS_AVX(X) \
    X(VMOVUPS, "vmovups", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVUPD, "vmovupd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVSS, "vmovss", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVSD, "vmovsd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVLPS, "vmovlps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVLPD, "vmovlpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVHPS, "vmovhps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVHPD, "vmovhpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVHLPS, "vmovhlps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVLHPS, "vmovlhps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVMSKPS, "vmovmskps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVMSKPD, "vmovmskpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVD, "vmovd", AVX, FPU, aAVX | aWIDE, 0, 0, 0) \
    X(VMOVQ, "vmovq", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVDQU, "vmovdqu", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMASKMOVDQU, "vmaskmovdqu", AVX, FPU, aAVX | aMEM, 0, 0, 0) \
    X(VMOVAPS, "vmovaps", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVAPD, "vmovapd", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVDQA, "vmovdqa", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTPS, "vmovntps", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTPD, "vmovntpd", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTDQ, "vmovntdq", AVX, FPU, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTDQA, "vmovntdqa", AVX, FPU, aAVX | aALN | aY2, 0, 0, 0) \
    X(VUNPCKLPS, "vunpcklps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VUNPCKLPD, "vunpcklpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VUNPCKHPS, "vunpckhps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VUNPCKHPD, "vunpckhpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VANDPS, "vandps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VANDPD, "vandpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VANDNPS, "vandnps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VANDNPD, "vandnpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VORPS, "vorps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VORPD, "vorpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VXORPS, "vxorps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VXORPD, "vxorpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VADDPS, "vaddps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VADDPD, "vaddpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VADDSS, "vaddss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VADDSD, "vaddsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMULPS, "vmulps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMULPD, "vmulpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMULSS, "vmulss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMULSD, "vmulsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSUBPS, "vsubps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSUBPD, "vsubpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSUBSS, "vsubss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSUBSD, "vsubsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMINPS, "vminps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMINPD, "vminpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMINSS, "vminss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMINSD, "vminsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VDIVPS, "vdivps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VDIVPD, "vdivpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VDIVSS, "vdivss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VDIVSD, "vdivsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMAXPS, "vmaxps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMAXPD, "vmaxpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMAXSS, "vmaxss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VMAXSD, "vmaxsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSQRTPS, "vsqrtps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSQRTPD, "vsqrtpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSQRTSS, "vsqrtss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VSQRTSD, "vsqrtsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCMPPS, "vcmpps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCMPPD, "vcmppd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCMPSS, "vcmpss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCMPSD, "vcmpsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VRSQRTPS, "vrsqrtps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VRSQRTSS, "vrsqrtss", AVX, FPU, aAVX, 0, 0, 0) \
    X(VRCPPS, "vrcpps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VRCPSS, "vrcpss", AVX, FPU, aAVX, 0, 0, 0) \
    X(VSHUFPS, "vshufps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VSHUFPD, "vshufpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VCVTSI2SS, "vcvtsi2ss", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTSI2SD, "vcvtsi2sd", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTSS2SI, "vcvtss2si", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTSD2SI, "vcvtsd2si", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTTSS2SI, "vcvttss2si", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTTSD2SI, "vcvttsd2si", AVX, FPU, aAVX | aSIMD | aWIDE, 0, 0, 0) \
    X(VCVTSS2SD, "vcvtss2sd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTSD2SS, "vcvtsd2ss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPS2PD, "vcvtps2pd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPD2PS, "vcvtpd2ps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTDQ2PS, "vcvtdq2ps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPS2DQ, "vcvtps2dq", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTTPS2DQ, "vcvttps2dq", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTDQ2PD, "vcvtdq2pd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTTPD2DQ, "vcvttpd2dq", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPD2DQ, "vcvtpd2dq", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VUCOMISS, "vucomiss", AVX, FPU, aAVX | aSIMD, 0, fALL, 0) \
    X(VUCOMISD, "vucomisd", AVX, FPU, aAVX | aSIMD, 0, fALL, 0) \
    X(VCOMISS, "vcomiss", AVX, FPU, aAVX | aSIMD, 0, fALL, 0) \
    X(VCOMISD, "vcomisd", AVX, FPU, aAVX | aSIMD, 0, fALL, 0) \
    X(VPTEST, "vptest", AVX, FPU, aAVX, 0, fALL, 0) \
    X(VTESTPS, "vtestps", AVX, FPU, aAVX, 0, fALL, 0) \
    X(VTESTPD, "vtestpd", AVX, FPU, aAVX, 0, fALL, 0) \
    X(VLDMXCSR, "vldmxcsr", AVX, FPU, aAVX, 0, 0, 0) \
    X(VSTMXCSR, "vstmxcsr", AVX, FPU, aAVX, 0, 0, 0) \
    X(VLDDQU, "vlddqu", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVDDUP, "vmovddup", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVSLDUP, "vmovsldup", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMOVSHDUP, "vmovshdup", AVX, FPU, aAVX, 0, 0, 0) \
    X(VHADDPS, "vhaddps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VHADDPD, "vhaddpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VHSUBPS, "vhsubps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VHSUBPD, "vhsubpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VADDSUBPS, "vaddsubps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VADDSUBPD, "vaddsubpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VZEROUPPER, "vzeroupper", AVX, FPU, aAVX, 0, 0, 0) \
    X(VZEROALL, "vzeroall", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPUNPCKLBW, "vpunpcklbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLWD, "vpunpcklwd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLDQ, "vpunpckldq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLQDQ, "vpunpcklqdq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHBW, "vpunpckhbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHWD, "vpunpckhwd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHDQ, "vpunpckhdq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHQDQ, "vpunpckhqdq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPACKSSWB, "vpacksswb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPACKSSDW, "vpackssdw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPACKUSWB, "vpackuswb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPACKUSDW, "vpackusdw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTB, "vpcmpgtb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTW, "vpcmpgtw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTD, "vpcmpgtd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTQ, "vpcmpgtq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQB, "vpcmpeqb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQW, "vpcmpeqw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQD, "vpcmpeqd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQQ, "vpcmpeqq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDB, "vpaddb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDW, "vpaddw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDD, "vpaddd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDQ, "vpaddq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDSB, "vpaddsb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDSW, "vpaddsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDUSB, "vpaddusb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPADDUSW, "vpaddusw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBB, "vpsubb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBW, "vpsubw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBD, "vpsubd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBQ, "vpsubq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBSB, "vpsubsb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBSW, "vpsubsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBUSB, "vpsubusb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSUBUSW, "vpsubusw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULLW, "vpmullw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULHW, "vpmulhw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULHUW, "vpmulhuw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULUDQ, "vpmuludq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULDQ, "vpmuldq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULLD, "vpmulld", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMADDWD, "vpmaddwd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSADBW, "vpsadbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPAVGB, "vpavgb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPAVGW, "vpavgw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINUB, "vpminub", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINSW, "vpminsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUB, "vpmaxub", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSW, "vpmaxsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINSB, "vpminsb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINSD, "vpminsd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINUW, "vpminuw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMINUD, "vpminud", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSB, "vpmaxsb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSD, "vpmaxsd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUW, "vpmaxuw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUD, "vpmaxud", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPAND, "vpand", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPANDN, "vpandn", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPOR, "vpor", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPXOR, "vpxor", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSLLW, "vpsllw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSLLD, "vpslld", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSLLQ, "vpsllq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSLLDQ, "vpslldq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRLW, "vpsrlw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRLD, "vpsrld", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRLQ, "vpsrlq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRLDQ, "vpsrldq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRAW, "vpsraw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSRAD, "vpsrad", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFD, "vpshufd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFHW, "vpshufhw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFLW, "vpshuflw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVMSKB, "vpmovmskb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFB, "vpshufb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHADDW, "vphaddw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHADDD, "vphaddd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHADDSW, "vphaddsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMADDUBSW, "vpmaddubsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBW, "vphsubw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBD, "vphsubd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBSW, "vphsubsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSIGNB, "vpsignb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSIGNW, "vpsignw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPSIGND, "vpsignd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMULHRSW, "vpmulhrsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPABSB, "vpabsb", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPABSW, "vpabsw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPABSD, "vpabsd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPALIGNR, "vpalignr", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPBLENDVB, "vpblendvb", AVX, FPU, aAVX | aY2 | aIS4, 0, 0, 0) \
    X(VPBLENDW, "vpblendw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VMPSADBW, "vmpsadbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBW, "vpmovsxbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBD, "vpmovsxbd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBQ, "vpmovsxbq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXWD, "vpmovsxwd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXWQ, "vpmovsxwq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXDQ, "vpmovsxdq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBW, "vpmovzxbw", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBD, "vpmovzxbd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBQ, "vpmovzxbq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXWD, "vpmovzxwd", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXWQ, "vpmovzxwq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXDQ, "vpmovzxdq", AVX, FPU, aAVX | aY2, 0, 0, 0) \
    X(VBLENDVPS, "vblendvps", AVX, FPU, aAVX | aIS4, 0, 0, 0) \
    X(VBLENDVPD, "vblendvpd", AVX, FPU, aAVX | aIS4, 0, 0, 0) \
    X(VPHMINPOSUW, "vphminposuw", AVX, FPU, aAVX, 0, 0, 0) \
    X(VROUNDPS, "vroundps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VROUNDPD, "vroundpd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VROUNDSS, "vroundss", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VROUNDSD, "vroundsd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VBLENDPS, "vblendps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VBLENDPD, "vblendpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VDPPS, "vdpps", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VDPPD, "vdppd", AVX, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VPINSRW, "vpinsrw", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPEXTRW, "vpextrw", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPEXTRB, "vpextrb", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPEXTRD, "vpextrd", AVX, FPU, aAVX | aWIDE, 0, 0, 0) \
    X(VEXTRACTPS, "vextractps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPINSRB, "vpinsrb", AVX, FPU, aAVX, 0, 0, 0) \
    X(VINSERTPS, "vinsertps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPINSRD, "vpinsrd", AVX, FPU, aAVX | aWIDE, 0, 0, 0) \
    X(VPCMPESTRM, "vpcmpestrm", AVX, FPU, aAVX | aWIDE | aSCMP, 0, fALL, 0) \
    X(VPCMPESTRI, "vpcmpestri", AVX, FPU, aAVX | aWIDE | aSCMP, 0, fALL, 0) \
    X(VPCMPISTRM, "vpcmpistrm", AVX, FPU, aAVX | aWIDE | aSCMP, 0, fALL, 0) \
    X(VPCMPISTRI, "vpcmpistri", AVX, FPU, aAVX | aWIDE | aSCMP, 0, fALL, 0) \
    X(VPERMILPS, "vpermilps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPERMILPD, "vpermilpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VBROADCASTSS, "vbroadcastss", AVX, FPU, aAVX, 0, 0, 0) \
    X(VBROADCASTSD, "vbroadcastsd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VBROADCASTF128, "vbroadcastf128", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPERM2F128, "vperm2f128", AVX, FPU, aAVX, 0, 0, 0) \
    X(VINSERTF128, "vinsertf128", AVX, FPU, aAVX, 0, 0, 0) \
    X(VEXTRACTF128, "vextractf128", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMASKMOVPS, "vmaskmovps", AVX, FPU, aAVX, 0, 0, 0) \
    X(VMASKMOVPD, "vmaskmovpd", AVX, FPU, aAVX, 0, 0, 0) \
    X(VPERMPS, "vpermps", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPERMD, "vpermd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPERMQ, "vpermq", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPERMPD, "vpermpd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPBLENDD, "vpblendd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPBROADCASTB, "vpbroadcastb", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPBROADCASTW, "vpbroadcastw", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPBROADCASTD, "vpbroadcastd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPBROADCASTQ, "vpbroadcastq", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VBROADCASTI128, "vbroadcasti128", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPERM2I128, "vperm2i128", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VINSERTI128, "vinserti128", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VEXTRACTI128, "vextracti128", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPMASKMOVD, "vpmaskmovd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPMASKMOVQ, "vpmaskmovq", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPSRLVD, "vpsrlvd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPSRLVQ, "vpsrlvq", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPSRAVD, "vpsravd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPSLLVD, "vpsllvd", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPSLLVQ, "vpsllvq", AVX2, FPU, aAVX, 0, 0, 0) \
    X(VPGATHERDD, "vpgatherdd", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERDQ, "vpgatherdq", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERQD, "vpgatherqd", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERQQ, "vpgatherqq", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VGATHERDPS, "vgatherdps", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VGATHERDPD, "vgatherdpd", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VGATHERQPS, "vgatherqps", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VGATHERQPD, "vgatherqpd", AVX2, FPU, aAVX | aPART, 0, 0, 0) \
    X(VFMADDSUB132PS, "vfmaddsub132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADDSUB132PD, "vfmaddsub132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD132PS, "vfmsubadd132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD132PD, "vfmsubadd132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD132PS, "vfmadd132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD132PD, "vfmadd132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD132SS, "vfmadd132ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD132SD, "vfmadd132sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB132PS, "vfmsub132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB132PD, "vfmsub132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB132SS, "vfmsub132ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB132SD, "vfmsub132sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD132PS, "vfnmadd132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD132PD, "vfnmadd132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD132SS, "vfnmadd132ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD132SD, "vfnmadd132sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB132PS, "vfnmsub132ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB132PD, "vfnmsub132pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB132SS, "vfnmsub132ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB132SD, "vfnmsub132sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADDSUB213PS, "vfmaddsub213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADDSUB213PD, "vfmaddsub213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD213PS, "vfmsubadd213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD213PD, "vfmsubadd213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD213PS, "vfmadd213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD213PD, "vfmadd213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD213SS, "vfmadd213ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD213SD, "vfmadd213sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB213PS, "vfmsub213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB213PD, "vfmsub213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB213SS, "vfmsub213ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB213SD, "vfmsub213sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD213PS, "vfnmadd213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD213PD, "vfnmadd213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD213SS, "vfnmadd213ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD213SD, "vfnmadd213sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB213PS, "vfnmsub213ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB213PD, "vfnmsub213pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB213SS, "vfnmsub213ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB213SD, "vfnmsub213sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADDSUB231PS, "vfmaddsub231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADDSUB231PD, "vfmaddsub231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD231PS, "vfmsubadd231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUBADD231PD, "vfmsubadd231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD231PS, "vfmadd231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD231PD, "vfmadd231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD231SS, "vfmadd231ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMADD231SD, "vfmadd231sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB231PS, "vfmsub231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB231PD, "vfmsub231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB231SS, "vfmsub231ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFMSUB231SD, "vfmsub231sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD231PS, "vfnmadd231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD231PD, "vfnmadd231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD231SS, "vfnmadd231ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMADD231SD, "vfnmadd231sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB231PS, "vfnmsub231ps", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB231PD, "vfnmsub231pd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB231SS, "vfnmsub231ss", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VFNMSUB231SD, "vfnmsub231sd", FMA, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPH2PS, "vcvtph2ps", F16C, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VCVTPS2PH, "vcvtps2ph", F16C, FPU, aAVX | aSIMD, 0, 0, 0) \
    X(VAESIMC, "vaesimc", AES, FPU, aAVX, 0, 0, 0) \
    X(VAESKEYGENASSIST, "vaeskeygenassist", AES, FPU, aAVX, 0, 0, 0) \
    X(VAESENC, "vaesenc", AES, FPU, aAVX, 0, 0, 0) \
    X(VAESENCLAST, "vaesenclast", AES, FPU, aAVX, 0, 0, 0) \
    X(VAESDEC, "vaesdec", AES, FPU, aAVX, 0, 0, 0) \
    X(VAESDECLAST, "vaesdeclast", AES, FPU, aAVX, 0, 0, 0) \
    X(VPCLMULQDQ, "vpclmulqdq", PCLMUL, FPU, aAVX, 0, 0, 0) \
    X(VGF2P8MULB, "vgf2p8mulb", GFNI, FPU, aAVX, 0, 0, 0) \
    X(VGF2P8AFFINEQB, "vgf2p8affineqb", GFNI, FPU, aAVX, 0, 0, 0) \
    X(VGF2P8AFFINEINVQB, "vgf2p8affineinvqb", GFNI, FPU, aAVX, 0, 0, 0)

#endif
