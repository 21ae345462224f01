/* SPDX-License-Identifier: MIT */
/* The vector part of the table of operations; see optable.h, which includes this. */
#ifndef VZ_CPU_X86_OPTABLE_VECTOR_H
#define VZ_CPU_X86_OPTABLE_VECTOR_H

/* MMX operations without an XMM form. */
#define X86_OPS_MMX(X) \
    X(EMMS, "emms", MMX, aMMX, 0, 0, 0) \
    X(PSHUFW, "pshufw", SSE, aMMX, 0, 0, 0) \
    X(MASKMOVQ, "maskmovq", SSE, aMMX, 0, 0, 0) \
    X(MOVNTQ, "movntq", SSE, aMMX, 0, 0, 0) \
    X(MOVDQ2Q, "movdq2q", SSE2, aSSE | aMMX, 0, 0, 0) \
    X(MOVQ2DQ, "movq2dq", SSE2, aSSE | aMMX, 0, 0, 0) \
    X(CVTPI2PS, "cvtpi2ps", SSE, aSSE | aMMX, 0, 0, 0) \
    X(CVTPS2PI, "cvtps2pi", SSE, aSSE | aMMX, 0, 0, 0) \
    X(CVTTPS2PI, "cvttps2pi", SSE, aSSE | aMMX, 0, 0, 0) \
    X(CVTPI2PD, "cvtpi2pd", SSE2, aSSE | aMMX, 0, 0, 0) \
    X(CVTPD2PI, "cvtpd2pi", SSE2, aSSE | aMMX | aALN, 0, 0, 0) \
    X(CVTTPD2PI, "cvttpd2pi", SSE2, aSSE | aMMX | aALN, 0, 0, 0)

/* SSE to SSE4.2, AES, PCLMULQDQ, SHA, GFNI; the integer ones serve the MMX form too. */
#define X86_OPS_SSE(X) \
    X(MOVUPS, "movups", SSE, aSSE, 0, 0, 0) \
    X(MOVLPS, "movlps", SSE, aSSE, 0, 0, 0) \
    X(MOVHPS, "movhps", SSE, aSSE, 0, 0, 0) \
    X(MOVHLPS, "movhlps", SSE, aSSE, 0, 0, 0) \
    X(MOVLHPS, "movlhps", SSE, aSSE, 0, 0, 0) \
    X(MOVSS, "movss", SSE, aSSE, 0, 0, 0) \
    X(MOVMSKPS, "movmskps", SSE, aSSE, 0, 0, 0) \
    X(MOVAPS, "movaps", SSE, aSSE | aALN, 0, 0, 0) \
    X(MOVNTPS, "movntps", SSE, aSSE | aALN, 0, 0, 0) \
    X(UNPCKLPS, "unpcklps", SSE, aSSE | aALN, 0, 0, 0) \
    X(UNPCKHPS, "unpckhps", SSE, aSSE | aALN, 0, 0, 0) \
    X(ANDPS, "andps", SSE, aSSE | aALN, 0, 0, 0) \
    X(ANDNPS, "andnps", SSE, aSSE | aALN, 0, 0, 0) \
    X(ORPS, "orps", SSE, aSSE | aALN, 0, 0, 0) \
    X(XORPS, "xorps", SSE, aSSE | aALN, 0, 0, 0) \
    X(ADDPS, "addps", SSE, aSSE | aALN, 0, 0, 0) \
    X(MULPS, "mulps", SSE, aSSE | aALN, 0, 0, 0) \
    X(SUBPS, "subps", SSE, aSSE | aALN, 0, 0, 0) \
    X(MINPS, "minps", SSE, aSSE | aALN, 0, 0, 0) \
    X(DIVPS, "divps", SSE, aSSE | aALN, 0, 0, 0) \
    X(MAXPS, "maxps", SSE, aSSE | aALN, 0, 0, 0) \
    X(SQRTPS, "sqrtps", SSE, aSSE | aALN, 0, 0, 0) \
    X(RSQRTPS, "rsqrtps", SSE, aSSE | aALN, 0, 0, 0) \
    X(RCPPS, "rcpps", SSE, aSSE | aALN, 0, 0, 0) \
    X(CMPPS, "cmpps", SSE, aSSE | aALN, 0, 0, 0) \
    X(SHUFPS, "shufps", SSE, aSSE | aALN, 0, 0, 0) \
    X(ADDSS, "addss", SSE, aSSE, 0, 0, 0) \
    X(MULSS, "mulss", SSE, aSSE, 0, 0, 0) \
    X(SUBSS, "subss", SSE, aSSE, 0, 0, 0) \
    X(MINSS, "minss", SSE, aSSE, 0, 0, 0) \
    X(DIVSS, "divss", SSE, aSSE, 0, 0, 0) \
    X(MAXSS, "maxss", SSE, aSSE, 0, 0, 0) \
    X(SQRTSS, "sqrtss", SSE, aSSE, 0, 0, 0) \
    X(RSQRTSS, "rsqrtss", SSE, aSSE, 0, 0, 0) \
    X(RCPSS, "rcpss", SSE, aSSE, 0, 0, 0) \
    X(CMPSS, "cmpss", SSE, aSSE, 0, 0, 0) \
    X(CVTSI2SS, "cvtsi2ss", SSE, aSSE, 0, 0, 0) \
    X(CVTSS2SI, "cvtss2si", SSE, aSSE, 0, 0, 0) \
    X(CVTTSS2SI, "cvttss2si", SSE, aSSE, 0, 0, 0) \
    X(UCOMISS, "ucomiss", SSE, aSSE, 0, fALL, 0) \
    X(COMISS, "comiss", SSE, aSSE, 0, fALL, 0) \
    X(LDMXCSR, "ldmxcsr", SSE, aSSE, 0, 0, 0) \
    X(STMXCSR, "stmxcsr", SSE, aSSE, 0, 0, 0) \
    X(MOVUPD, "movupd", SSE2, aSSE, 0, 0, 0) \
    X(MOVLPD, "movlpd", SSE2, aSSE, 0, 0, 0) \
    X(MOVHPD, "movhpd", SSE2, aSSE, 0, 0, 0) \
    X(MOVSD, "movsd", SSE2, aSSE, 0, 0, 0) \
    X(MOVMSKPD, "movmskpd", SSE2, aSSE, 0, 0, 0) \
    X(MOVD, "movd", SSE2, aSSE, 0, 0, 0) \
    X(MOVQ, "movq", SSE2, aSSE, 0, 0, 0) \
    X(MOVDQU, "movdqu", SSE2, aSSE, 0, 0, 0) \
    X(MASKMOVDQU, "maskmovdqu", SSE2, aSSE, 0, 0, 0) \
    X(MOVAPD, "movapd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MOVDQA, "movdqa", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MOVNTPD, "movntpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MOVNTDQ, "movntdq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(UNPCKLPD, "unpcklpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(UNPCKHPD, "unpckhpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(ANDPD, "andpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(ANDNPD, "andnpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(ORPD, "orpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(XORPD, "xorpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(ADDPD, "addpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MULPD, "mulpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(SUBPD, "subpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MINPD, "minpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(DIVPD, "divpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(MAXPD, "maxpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(SQRTPD, "sqrtpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CMPPD, "cmppd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(SHUFPD, "shufpd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(ADDSD, "addsd", SSE2, aSSE, 0, 0, 0) \
    X(MULSD, "mulsd", SSE2, aSSE, 0, 0, 0) \
    X(SUBSD, "subsd", SSE2, aSSE, 0, 0, 0) \
    X(MINSD, "minsd", SSE2, aSSE, 0, 0, 0) \
    X(DIVSD, "divsd", SSE2, aSSE, 0, 0, 0) \
    X(MAXSD, "maxsd", SSE2, aSSE, 0, 0, 0) \
    X(SQRTSD, "sqrtsd", SSE2, aSSE, 0, 0, 0) \
    X(CMPSD, "cmpsd", SSE2, aSSE, 0, 0, 0) \
    X(CVTSI2SD, "cvtsi2sd", SSE2, aSSE, 0, 0, 0) \
    X(CVTSD2SI, "cvtsd2si", SSE2, aSSE, 0, 0, 0) \
    X(CVTTSD2SI, "cvttsd2si", SSE2, aSSE, 0, 0, 0) \
    X(CVTSS2SD, "cvtss2sd", SSE2, aSSE, 0, 0, 0) \
    X(CVTSD2SS, "cvtsd2ss", SSE2, aSSE, 0, 0, 0) \
    X(CVTPS2PD, "cvtps2pd", SSE2, aSSE, 0, 0, 0) \
    X(CVTDQ2PD, "cvtdq2pd", SSE2, aSSE, 0, 0, 0) \
    X(UCOMISD, "ucomisd", SSE2, aSSE, 0, fALL, 0) \
    X(COMISD, "comisd", SSE2, aSSE, 0, fALL, 0) \
    X(CVTPD2PS, "cvtpd2ps", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CVTDQ2PS, "cvtdq2ps", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CVTPS2DQ, "cvtps2dq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CVTTPS2DQ, "cvttps2dq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CVTTPD2DQ, "cvttpd2dq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(CVTPD2DQ, "cvtpd2dq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLBW, "punpcklbw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLWD, "punpcklwd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLDQ, "punpckldq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKLQDQ, "punpcklqdq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHBW, "punpckhbw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHWD, "punpckhwd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHDQ, "punpckhdq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PUNPCKHQDQ, "punpckhqdq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PACKSSWB, "packsswb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PACKSSDW, "packssdw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PACKUSWB, "packuswb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTB, "pcmpgtb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTW, "pcmpgtw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPGTD, "pcmpgtd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQB, "pcmpeqb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQW, "pcmpeqw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQD, "pcmpeqd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDB, "paddb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDW, "paddw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDD, "paddd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDQ, "paddq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDSB, "paddsb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDSW, "paddsw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDUSB, "paddusb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PADDUSW, "paddusw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBB, "psubb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBW, "psubw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBD, "psubd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBQ, "psubq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBSB, "psubsb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBSW, "psubsw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBUSB, "psubusb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSUBUSW, "psubusw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMULLW, "pmullw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMULHW, "pmulhw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMULHUW, "pmulhuw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMULUDQ, "pmuludq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMADDWD, "pmaddwd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSADBW, "psadbw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PAVGB, "pavgb", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PAVGW, "pavgw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMINUB, "pminub", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMINSW, "pminsw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMAXUB, "pmaxub", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PMAXSW, "pmaxsw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PAND, "pand", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PANDN, "pandn", SSE2, aSSE | aALN, 0, 0, 0) \
    X(POR, "por", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PXOR, "pxor", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSLLW, "psllw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSLLD, "pslld", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSLLQ, "psllq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSLLDQ, "pslldq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRLW, "psrlw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRLD, "psrld", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRLQ, "psrlq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRLDQ, "psrldq", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRAW, "psraw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSRAD, "psrad", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSHUFD, "pshufd", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSHUFHW, "pshufhw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PSHUFLW, "pshuflw", SSE2, aSSE | aALN, 0, 0, 0) \
    X(PINSRW, "pinsrw", SSE2, aSSE, 0, 0, 0) \
    X(PEXTRW, "pextrw", SSE2, aSSE, 0, 0, 0) \
    X(PMOVMSKB, "pmovmskb", SSE2, aSSE, 0, 0, 0) \
    X(LDDQU, "lddqu", SSE3, aSSE, 0, 0, 0) \
    X(MOVDDUP, "movddup", SSE3, aSSE, 0, 0, 0) \
    X(MOVSLDUP, "movsldup", SSE3, aSSE | aALN, 0, 0, 0) \
    X(MOVSHDUP, "movshdup", SSE3, aSSE | aALN, 0, 0, 0) \
    X(HADDPS, "haddps", SSE3, aSSE | aALN, 0, 0, 0) \
    X(HADDPD, "haddpd", SSE3, aSSE | aALN, 0, 0, 0) \
    X(HSUBPS, "hsubps", SSE3, aSSE | aALN, 0, 0, 0) \
    X(HSUBPD, "hsubpd", SSE3, aSSE | aALN, 0, 0, 0) \
    X(ADDSUBPS, "addsubps", SSE3, aSSE | aALN, 0, 0, 0) \
    X(ADDSUBPD, "addsubpd", SSE3, aSSE | aALN, 0, 0, 0) \
    X(PSHUFB, "pshufb", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHADDW, "phaddw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHADDD, "phaddd", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHADDSW, "phaddsw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PMADDUBSW, "pmaddubsw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHSUBW, "phsubw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHSUBD, "phsubd", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PHSUBSW, "phsubsw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PSIGNB, "psignb", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PSIGNW, "psignw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PSIGND, "psignd", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PMULHRSW, "pmulhrsw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PABSB, "pabsb", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PABSW, "pabsw", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PABSD, "pabsd", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PALIGNR, "palignr", SSSE3, aSSE | aALN, 0, 0, 0) \
    X(PBLENDVB, "pblendvb", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(BLENDVPS, "blendvps", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(BLENDVPD, "blendvpd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMULDQ, "pmuldq", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PCMPEQQ, "pcmpeqq", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(MOVNTDQA, "movntdqa", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PACKUSDW, "packusdw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMINSB, "pminsb", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMINSD, "pminsd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMINUW, "pminuw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMINUD, "pminud", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMAXSB, "pmaxsb", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMAXSD, "pmaxsd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMAXUW, "pmaxuw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMAXUD, "pmaxud", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PMULLD, "pmulld", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PHMINPOSUW, "phminposuw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(ROUNDPS, "roundps", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(ROUNDPD, "roundpd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(BLENDPS, "blendps", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(BLENDPD, "blendpd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PBLENDW, "pblendw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(DPPS, "dpps", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(DPPD, "dppd", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(MPSADBW, "mpsadbw", SSE4_1, aSSE | aALN, 0, 0, 0) \
    X(PTEST, "ptest", SSE4_1, aSSE | aALN, 0, fALL, 0) \
    X(PMOVSXBW, "pmovsxbw", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVSXBD, "pmovsxbd", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVSXBQ, "pmovsxbq", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVSXWD, "pmovsxwd", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVSXWQ, "pmovsxwq", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVSXDQ, "pmovsxdq", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXBW, "pmovzxbw", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXBD, "pmovzxbd", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXBQ, "pmovzxbq", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXWD, "pmovzxwd", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXWQ, "pmovzxwq", SSE4_1, aSSE, 0, 0, 0) \
    X(PMOVZXDQ, "pmovzxdq", SSE4_1, aSSE, 0, 0, 0) \
    X(ROUNDSS, "roundss", SSE4_1, aSSE, 0, 0, 0) \
    X(ROUNDSD, "roundsd", SSE4_1, aSSE, 0, 0, 0) \
    X(PEXTRB, "pextrb", SSE4_1, aSSE, 0, 0, 0) \
    X(PEXTRD, "pextrd", SSE4_1, aSSE, 0, 0, 0) \
    X(EXTRACTPS, "extractps", SSE4_1, aSSE, 0, 0, 0) \
    X(PINSRB, "pinsrb", SSE4_1, aSSE, 0, 0, 0) \
    X(INSERTPS, "insertps", SSE4_1, aSSE, 0, 0, 0) \
    X(PINSRD, "pinsrd", SSE4_1, aSSE, 0, 0, 0) \
    X(PCMPGTQ, "pcmpgtq", SSE4_2, aSSE | aALN, 0, 0, 0) \
    X(PCMPESTRM, "pcmpestrm", SSE4_2, aSSE, 0, fALL, 0) \
    X(PCMPESTRI, "pcmpestri", SSE4_2, aSSE, 0, fALL, 0) \
    X(PCMPISTRM, "pcmpistrm", SSE4_2, aSSE, 0, fALL, 0) \
    X(PCMPISTRI, "pcmpistri", SSE4_2, aSSE, 0, fALL, 0) \
    X(AESIMC, "aesimc", AES, aSSE | aALN, 0, 0, 0) \
    X(AESENC, "aesenc", AES, aSSE | aALN, 0, 0, 0) \
    X(AESENCLAST, "aesenclast", AES, aSSE | aALN, 0, 0, 0) \
    X(AESDEC, "aesdec", AES, aSSE | aALN, 0, 0, 0) \
    X(AESDECLAST, "aesdeclast", AES, aSSE | aALN, 0, 0, 0) \
    X(AESKEYGENASSIST, "aeskeygenassist", AES, aSSE | aALN, 0, 0, 0) \
    X(PCLMULQDQ, "pclmulqdq", PCLMUL, aSSE | aALN, 0, 0, 0) \
    X(SHA1NEXTE, "sha1nexte", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA1MSG1, "sha1msg1", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA1MSG2, "sha1msg2", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA256RNDS2, "sha256rnds2", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA256MSG1, "sha256msg1", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA256MSG2, "sha256msg2", SHA, aSSE | aALN, 0, 0, 0) \
    X(SHA1RNDS4, "sha1rnds4", SHA, aSSE | aALN, 0, 0, 0) \
    X(GF2P8MULB, "gf2p8mulb", GFNI, aSSE | aALN, 0, 0, 0) \
    X(GF2P8AFFINEQB, "gf2p8affineqb", GFNI, aSSE | aALN, 0, 0, 0) \
    X(GF2P8AFFINEINVQB, "gf2p8affineinvqb", GFNI, aSSE | aALN, 0, 0, 0)

/* AVX, AVX2, FMA, F16C. aY2: the 256-bit form needs AVX2; aALN: the aligned moves only. */
#define X86_OPS_AVX(X) \
    X(VMOVUPS, "vmovups", AVX, aAVX, 0, 0, 0) \
    X(VMOVUPD, "vmovupd", AVX, aAVX, 0, 0, 0) \
    X(VMOVSS, "vmovss", AVX, aAVX, 0, 0, 0) \
    X(VMOVSD, "vmovsd", AVX, aAVX, 0, 0, 0) \
    X(VMOVLPS, "vmovlps", AVX, aAVX, 0, 0, 0) \
    X(VMOVLPD, "vmovlpd", AVX, aAVX, 0, 0, 0) \
    X(VMOVHPS, "vmovhps", AVX, aAVX, 0, 0, 0) \
    X(VMOVHPD, "vmovhpd", AVX, aAVX, 0, 0, 0) \
    X(VMOVHLPS, "vmovhlps", AVX, aAVX, 0, 0, 0) \
    X(VMOVLHPS, "vmovlhps", AVX, aAVX, 0, 0, 0) \
    X(VMOVMSKPS, "vmovmskps", AVX, aAVX, 0, 0, 0) \
    X(VMOVMSKPD, "vmovmskpd", AVX, aAVX, 0, 0, 0) \
    X(VMOVD, "vmovd", AVX, aAVX, 0, 0, 0) \
    X(VMOVQ, "vmovq", AVX, aAVX, 0, 0, 0) \
    X(VMOVDQU, "vmovdqu", AVX, aAVX, 0, 0, 0) \
    X(VMASKMOVDQU, "vmaskmovdqu", AVX, aAVX, 0, 0, 0) \
    X(VMOVAPS, "vmovaps", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVAPD, "vmovapd", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVDQA, "vmovdqa", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTPS, "vmovntps", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTPD, "vmovntpd", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTDQ, "vmovntdq", AVX, aAVX | aALN, 0, 0, 0) \
    X(VMOVNTDQA, "vmovntdqa", AVX, aAVX | aALN | aY2, 0, 0, 0) \
    X(VUNPCKLPS, "vunpcklps", AVX, aAVX, 0, 0, 0) \
    X(VUNPCKLPD, "vunpcklpd", AVX, aAVX, 0, 0, 0) \
    X(VUNPCKHPS, "vunpckhps", AVX, aAVX, 0, 0, 0) \
    X(VUNPCKHPD, "vunpckhpd", AVX, aAVX, 0, 0, 0) \
    X(VANDPS, "vandps", AVX, aAVX, 0, 0, 0) \
    X(VANDPD, "vandpd", AVX, aAVX, 0, 0, 0) \
    X(VANDNPS, "vandnps", AVX, aAVX, 0, 0, 0) \
    X(VANDNPD, "vandnpd", AVX, aAVX, 0, 0, 0) \
    X(VORPS, "vorps", AVX, aAVX, 0, 0, 0) \
    X(VORPD, "vorpd", AVX, aAVX, 0, 0, 0) \
    X(VXORPS, "vxorps", AVX, aAVX, 0, 0, 0) \
    X(VXORPD, "vxorpd", AVX, aAVX, 0, 0, 0) \
    X(VADDPS, "vaddps", AVX, aAVX, 0, 0, 0) \
    X(VADDPD, "vaddpd", AVX, aAVX, 0, 0, 0) \
    X(VADDSS, "vaddss", AVX, aAVX, 0, 0, 0) \
    X(VADDSD, "vaddsd", AVX, aAVX, 0, 0, 0) \
    X(VMULPS, "vmulps", AVX, aAVX, 0, 0, 0) \
    X(VMULPD, "vmulpd", AVX, aAVX, 0, 0, 0) \
    X(VMULSS, "vmulss", AVX, aAVX, 0, 0, 0) \
    X(VMULSD, "vmulsd", AVX, aAVX, 0, 0, 0) \
    X(VSUBPS, "vsubps", AVX, aAVX, 0, 0, 0) \
    X(VSUBPD, "vsubpd", AVX, aAVX, 0, 0, 0) \
    X(VSUBSS, "vsubss", AVX, aAVX, 0, 0, 0) \
    X(VSUBSD, "vsubsd", AVX, aAVX, 0, 0, 0) \
    X(VMINPS, "vminps", AVX, aAVX, 0, 0, 0) \
    X(VMINPD, "vminpd", AVX, aAVX, 0, 0, 0) \
    X(VMINSS, "vminss", AVX, aAVX, 0, 0, 0) \
    X(VMINSD, "vminsd", AVX, aAVX, 0, 0, 0) \
    X(VDIVPS, "vdivps", AVX, aAVX, 0, 0, 0) \
    X(VDIVPD, "vdivpd", AVX, aAVX, 0, 0, 0) \
    X(VDIVSS, "vdivss", AVX, aAVX, 0, 0, 0) \
    X(VDIVSD, "vdivsd", AVX, aAVX, 0, 0, 0) \
    X(VMAXPS, "vmaxps", AVX, aAVX, 0, 0, 0) \
    X(VMAXPD, "vmaxpd", AVX, aAVX, 0, 0, 0) \
    X(VMAXSS, "vmaxss", AVX, aAVX, 0, 0, 0) \
    X(VMAXSD, "vmaxsd", AVX, aAVX, 0, 0, 0) \
    X(VSQRTPS, "vsqrtps", AVX, aAVX, 0, 0, 0) \
    X(VSQRTPD, "vsqrtpd", AVX, aAVX, 0, 0, 0) \
    X(VSQRTSS, "vsqrtss", AVX, aAVX, 0, 0, 0) \
    X(VSQRTSD, "vsqrtsd", AVX, aAVX, 0, 0, 0) \
    X(VCMPPS, "vcmpps", AVX, aAVX, 0, 0, 0) \
    X(VCMPPD, "vcmppd", AVX, aAVX, 0, 0, 0) \
    X(VCMPSS, "vcmpss", AVX, aAVX, 0, 0, 0) \
    X(VCMPSD, "vcmpsd", AVX, aAVX, 0, 0, 0) \
    X(VRSQRTPS, "vrsqrtps", AVX, aAVX, 0, 0, 0) \
    X(VRSQRTSS, "vrsqrtss", AVX, aAVX, 0, 0, 0) \
    X(VRCPPS, "vrcpps", AVX, aAVX, 0, 0, 0) \
    X(VRCPSS, "vrcpss", AVX, aAVX, 0, 0, 0) \
    X(VSHUFPS, "vshufps", AVX, aAVX, 0, 0, 0) \
    X(VSHUFPD, "vshufpd", AVX, aAVX, 0, 0, 0) \
    X(VCVTSI2SS, "vcvtsi2ss", AVX, aAVX, 0, 0, 0) \
    X(VCVTSI2SD, "vcvtsi2sd", AVX, aAVX, 0, 0, 0) \
    X(VCVTSS2SI, "vcvtss2si", AVX, aAVX, 0, 0, 0) \
    X(VCVTSD2SI, "vcvtsd2si", AVX, aAVX, 0, 0, 0) \
    X(VCVTTSS2SI, "vcvttss2si", AVX, aAVX, 0, 0, 0) \
    X(VCVTTSD2SI, "vcvttsd2si", AVX, aAVX, 0, 0, 0) \
    X(VCVTSS2SD, "vcvtss2sd", AVX, aAVX, 0, 0, 0) \
    X(VCVTSD2SS, "vcvtsd2ss", AVX, aAVX, 0, 0, 0) \
    X(VCVTPS2PD, "vcvtps2pd", AVX, aAVX, 0, 0, 0) \
    X(VCVTPD2PS, "vcvtpd2ps", AVX, aAVX, 0, 0, 0) \
    X(VCVTDQ2PS, "vcvtdq2ps", AVX, aAVX, 0, 0, 0) \
    X(VCVTPS2DQ, "vcvtps2dq", AVX, aAVX, 0, 0, 0) \
    X(VCVTTPS2DQ, "vcvttps2dq", AVX, aAVX, 0, 0, 0) \
    X(VCVTDQ2PD, "vcvtdq2pd", AVX, aAVX, 0, 0, 0) \
    X(VCVTTPD2DQ, "vcvttpd2dq", AVX, aAVX, 0, 0, 0) \
    X(VCVTPD2DQ, "vcvtpd2dq", AVX, aAVX, 0, 0, 0) \
    X(VUCOMISS, "vucomiss", AVX, aAVX, 0, fALL, 0) \
    X(VUCOMISD, "vucomisd", AVX, aAVX, 0, fALL, 0) \
    X(VCOMISS, "vcomiss", AVX, aAVX, 0, fALL, 0) \
    X(VCOMISD, "vcomisd", AVX, aAVX, 0, fALL, 0) \
    X(VPTEST, "vptest", AVX, aAVX, 0, fALL, 0) \
    X(VTESTPS, "vtestps", AVX, aAVX, 0, fALL, 0) \
    X(VTESTPD, "vtestpd", AVX, aAVX, 0, fALL, 0) \
    X(VLDMXCSR, "vldmxcsr", AVX, aAVX, 0, 0, 0) \
    X(VSTMXCSR, "vstmxcsr", AVX, aAVX, 0, 0, 0) \
    X(VLDDQU, "vlddqu", AVX, aAVX, 0, 0, 0) \
    X(VMOVDDUP, "vmovddup", AVX, aAVX, 0, 0, 0) \
    X(VMOVSLDUP, "vmovsldup", AVX, aAVX, 0, 0, 0) \
    X(VMOVSHDUP, "vmovshdup", AVX, aAVX, 0, 0, 0) \
    X(VHADDPS, "vhaddps", AVX, aAVX, 0, 0, 0) \
    X(VHADDPD, "vhaddpd", AVX, aAVX, 0, 0, 0) \
    X(VHSUBPS, "vhsubps", AVX, aAVX, 0, 0, 0) \
    X(VHSUBPD, "vhsubpd", AVX, aAVX, 0, 0, 0) \
    X(VADDSUBPS, "vaddsubps", AVX, aAVX, 0, 0, 0) \
    X(VADDSUBPD, "vaddsubpd", AVX, aAVX, 0, 0, 0) \
    X(VZEROUPPER, "vzeroupper", AVX, aAVX, 0, 0, 0) \
    X(VZEROALL, "vzeroall", AVX, aAVX, 0, 0, 0) \
    X(VPUNPCKLBW, "vpunpcklbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLWD, "vpunpcklwd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLDQ, "vpunpckldq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKLQDQ, "vpunpcklqdq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHBW, "vpunpckhbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHWD, "vpunpckhwd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHDQ, "vpunpckhdq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPUNPCKHQDQ, "vpunpckhqdq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPACKSSWB, "vpacksswb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPACKSSDW, "vpackssdw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPACKUSWB, "vpackuswb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPACKUSDW, "vpackusdw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTB, "vpcmpgtb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTW, "vpcmpgtw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTD, "vpcmpgtd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPGTQ, "vpcmpgtq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQB, "vpcmpeqb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQW, "vpcmpeqw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQD, "vpcmpeqd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPCMPEQQ, "vpcmpeqq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDB, "vpaddb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDW, "vpaddw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDD, "vpaddd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDQ, "vpaddq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDSB, "vpaddsb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDSW, "vpaddsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDUSB, "vpaddusb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPADDUSW, "vpaddusw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBB, "vpsubb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBW, "vpsubw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBD, "vpsubd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBQ, "vpsubq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBSB, "vpsubsb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBSW, "vpsubsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBUSB, "vpsubusb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSUBUSW, "vpsubusw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULLW, "vpmullw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULHW, "vpmulhw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULHUW, "vpmulhuw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULUDQ, "vpmuludq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULDQ, "vpmuldq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULLD, "vpmulld", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMADDWD, "vpmaddwd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSADBW, "vpsadbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPAVGB, "vpavgb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPAVGW, "vpavgw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINUB, "vpminub", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINSW, "vpminsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUB, "vpmaxub", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSW, "vpmaxsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINSB, "vpminsb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINSD, "vpminsd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINUW, "vpminuw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMINUD, "vpminud", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSB, "vpmaxsb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXSD, "vpmaxsd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUW, "vpmaxuw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMAXUD, "vpmaxud", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPAND, "vpand", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPANDN, "vpandn", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPOR, "vpor", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPXOR, "vpxor", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSLLW, "vpsllw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSLLD, "vpslld", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSLLQ, "vpsllq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSLLDQ, "vpslldq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRLW, "vpsrlw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRLD, "vpsrld", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRLQ, "vpsrlq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRLDQ, "vpsrldq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRAW, "vpsraw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSRAD, "vpsrad", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFD, "vpshufd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFHW, "vpshufhw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFLW, "vpshuflw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVMSKB, "vpmovmskb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSHUFB, "vpshufb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHADDW, "vphaddw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHADDD, "vphaddd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHADDSW, "vphaddsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMADDUBSW, "vpmaddubsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBW, "vphsubw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBD, "vphsubd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPHSUBSW, "vphsubsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSIGNB, "vpsignb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSIGNW, "vpsignw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPSIGND, "vpsignd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMULHRSW, "vpmulhrsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPABSB, "vpabsb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPABSW, "vpabsw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPABSD, "vpabsd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPALIGNR, "vpalignr", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPBLENDVB, "vpblendvb", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPBLENDW, "vpblendw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VMPSADBW, "vmpsadbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBW, "vpmovsxbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBD, "vpmovsxbd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXBQ, "vpmovsxbq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXWD, "vpmovsxwd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXWQ, "vpmovsxwq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVSXDQ, "vpmovsxdq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBW, "vpmovzxbw", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBD, "vpmovzxbd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXBQ, "vpmovzxbq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXWD, "vpmovzxwd", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXWQ, "vpmovzxwq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VPMOVZXDQ, "vpmovzxdq", AVX, aAVX | aY2, 0, 0, 0) \
    X(VBLENDVPS, "vblendvps", AVX, aAVX, 0, 0, 0) \
    X(VBLENDVPD, "vblendvpd", AVX, aAVX, 0, 0, 0) \
    X(VPHMINPOSUW, "vphminposuw", AVX, aAVX, 0, 0, 0) \
    X(VROUNDPS, "vroundps", AVX, aAVX, 0, 0, 0) \
    X(VROUNDPD, "vroundpd", AVX, aAVX, 0, 0, 0) \
    X(VROUNDSS, "vroundss", AVX, aAVX, 0, 0, 0) \
    X(VROUNDSD, "vroundsd", AVX, aAVX, 0, 0, 0) \
    X(VBLENDPS, "vblendps", AVX, aAVX, 0, 0, 0) \
    X(VBLENDPD, "vblendpd", AVX, aAVX, 0, 0, 0) \
    X(VDPPS, "vdpps", AVX, aAVX, 0, 0, 0) \
    X(VDPPD, "vdppd", AVX, aAVX, 0, 0, 0) \
    X(VPINSRW, "vpinsrw", AVX, aAVX, 0, 0, 0) \
    X(VPEXTRW, "vpextrw", AVX, aAVX, 0, 0, 0) \
    X(VPEXTRB, "vpextrb", AVX, aAVX, 0, 0, 0) \
    X(VPEXTRD, "vpextrd", AVX, aAVX, 0, 0, 0) \
    X(VEXTRACTPS, "vextractps", AVX, aAVX, 0, 0, 0) \
    X(VPINSRB, "vpinsrb", AVX, aAVX, 0, 0, 0) \
    X(VINSERTPS, "vinsertps", AVX, aAVX, 0, 0, 0) \
    X(VPINSRD, "vpinsrd", AVX, aAVX, 0, 0, 0) \
    X(VPCMPESTRM, "vpcmpestrm", AVX, aAVX, 0, fALL, 0) \
    X(VPCMPESTRI, "vpcmpestri", AVX, aAVX, 0, fALL, 0) \
    X(VPCMPISTRM, "vpcmpistrm", AVX, aAVX, 0, fALL, 0) \
    X(VPCMPISTRI, "vpcmpistri", AVX, aAVX, 0, fALL, 0) \
    X(VPERMILPS, "vpermilps", AVX, aAVX, 0, 0, 0) \
    X(VPERMILPD, "vpermilpd", AVX, aAVX, 0, 0, 0) \
    X(VBROADCASTSS, "vbroadcastss", AVX, aAVX, 0, 0, 0) \
    X(VBROADCASTSD, "vbroadcastsd", AVX, aAVX, 0, 0, 0) \
    X(VBROADCASTF128, "vbroadcastf128", AVX, aAVX, 0, 0, 0) \
    X(VPERM2F128, "vperm2f128", AVX, aAVX, 0, 0, 0) \
    X(VINSERTF128, "vinsertf128", AVX, aAVX, 0, 0, 0) \
    X(VEXTRACTF128, "vextractf128", AVX, aAVX, 0, 0, 0) \
    X(VMASKMOVPS, "vmaskmovps", AVX, aAVX, 0, 0, 0) \
    X(VMASKMOVPD, "vmaskmovpd", AVX, aAVX, 0, 0, 0) \
    X(VPERMPS, "vpermps", AVX2, aAVX, 0, 0, 0) \
    X(VPERMD, "vpermd", AVX2, aAVX, 0, 0, 0) \
    X(VPERMQ, "vpermq", AVX2, aAVX, 0, 0, 0) \
    X(VPERMPD, "vpermpd", AVX2, aAVX, 0, 0, 0) \
    X(VPBLENDD, "vpblendd", AVX2, aAVX, 0, 0, 0) \
    X(VPBROADCASTB, "vpbroadcastb", AVX2, aAVX, 0, 0, 0) \
    X(VPBROADCASTW, "vpbroadcastw", AVX2, aAVX, 0, 0, 0) \
    X(VPBROADCASTD, "vpbroadcastd", AVX2, aAVX, 0, 0, 0) \
    X(VPBROADCASTQ, "vpbroadcastq", AVX2, aAVX, 0, 0, 0) \
    X(VBROADCASTI128, "vbroadcasti128", AVX2, aAVX, 0, 0, 0) \
    X(VPERM2I128, "vperm2i128", AVX2, aAVX, 0, 0, 0) \
    X(VINSERTI128, "vinserti128", AVX2, aAVX, 0, 0, 0) \
    X(VEXTRACTI128, "vextracti128", AVX2, aAVX, 0, 0, 0) \
    X(VPMASKMOVD, "vpmaskmovd", AVX2, aAVX, 0, 0, 0) \
    X(VPMASKMOVQ, "vpmaskmovq", AVX2, aAVX, 0, 0, 0) \
    X(VPSRLVD, "vpsrlvd", AVX2, aAVX, 0, 0, 0) \
    X(VPSRLVQ, "vpsrlvq", AVX2, aAVX, 0, 0, 0) \
    X(VPSRAVD, "vpsravd", AVX2, aAVX, 0, 0, 0) \
    X(VPSLLVD, "vpsllvd", AVX2, aAVX, 0, 0, 0) \
    X(VPSLLVQ, "vpsllvq", AVX2, aAVX, 0, 0, 0) \
    X(VPGATHERDD, "vpgatherdd", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERDQ, "vpgatherdq", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERQD, "vpgatherqd", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VPGATHERQQ, "vpgatherqq", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VGATHERDPS, "vgatherdps", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VGATHERDPD, "vgatherdpd", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VGATHERQPS, "vgatherqps", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VGATHERQPD, "vgatherqpd", AVX2, aAVX | aPART, 0, 0, 0) \
    X(VFMADDSUB132PS, "vfmaddsub132ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADDSUB132PD, "vfmaddsub132pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD132PS, "vfmsubadd132ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD132PD, "vfmsubadd132pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD132PS, "vfmadd132ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADD132PD, "vfmadd132pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD132SS, "vfmadd132ss", FMA, aAVX, 0, 0, 0) \
    X(VFMADD132SD, "vfmadd132sd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB132PS, "vfmsub132ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB132PD, "vfmsub132pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB132SS, "vfmsub132ss", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB132SD, "vfmsub132sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD132PS, "vfnmadd132ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD132PD, "vfnmadd132pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD132SS, "vfnmadd132ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD132SD, "vfnmadd132sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB132PS, "vfnmsub132ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB132PD, "vfnmsub132pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB132SS, "vfnmsub132ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB132SD, "vfnmsub132sd", FMA, aAVX, 0, 0, 0) \
    X(VFMADDSUB213PS, "vfmaddsub213ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADDSUB213PD, "vfmaddsub213pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD213PS, "vfmsubadd213ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD213PD, "vfmsubadd213pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD213PS, "vfmadd213ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADD213PD, "vfmadd213pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD213SS, "vfmadd213ss", FMA, aAVX, 0, 0, 0) \
    X(VFMADD213SD, "vfmadd213sd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB213PS, "vfmsub213ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB213PD, "vfmsub213pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB213SS, "vfmsub213ss", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB213SD, "vfmsub213sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD213PS, "vfnmadd213ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD213PD, "vfnmadd213pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD213SS, "vfnmadd213ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD213SD, "vfnmadd213sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB213PS, "vfnmsub213ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB213PD, "vfnmsub213pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB213SS, "vfnmsub213ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB213SD, "vfnmsub213sd", FMA, aAVX, 0, 0, 0) \
    X(VFMADDSUB231PS, "vfmaddsub231ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADDSUB231PD, "vfmaddsub231pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD231PS, "vfmsubadd231ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUBADD231PD, "vfmsubadd231pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD231PS, "vfmadd231ps", FMA, aAVX, 0, 0, 0) \
    X(VFMADD231PD, "vfmadd231pd", FMA, aAVX, 0, 0, 0) \
    X(VFMADD231SS, "vfmadd231ss", FMA, aAVX, 0, 0, 0) \
    X(VFMADD231SD, "vfmadd231sd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB231PS, "vfmsub231ps", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB231PD, "vfmsub231pd", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB231SS, "vfmsub231ss", FMA, aAVX, 0, 0, 0) \
    X(VFMSUB231SD, "vfmsub231sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD231PS, "vfnmadd231ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD231PD, "vfnmadd231pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD231SS, "vfnmadd231ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMADD231SD, "vfnmadd231sd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB231PS, "vfnmsub231ps", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB231PD, "vfnmsub231pd", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB231SS, "vfnmsub231ss", FMA, aAVX, 0, 0, 0) \
    X(VFNMSUB231SD, "vfnmsub231sd", FMA, aAVX, 0, 0, 0) \
    X(VCVTPH2PS, "vcvtph2ps", F16C, aAVX, 0, 0, 0) \
    X(VCVTPS2PH, "vcvtps2ph", F16C, aAVX, 0, 0, 0) \
    X(VAESIMC, "vaesimc", AES, aAVX, 0, 0, 0) \
    X(VAESKEYGENASSIST, "vaeskeygenassist", AES, aAVX, 0, 0, 0) \
    X(VAESENC, "vaesenc", AES, aAVX, 0, 0, 0) \
    X(VAESENCLAST, "vaesenclast", AES, aAVX, 0, 0, 0) \
    X(VAESDEC, "vaesdec", AES, aAVX, 0, 0, 0) \
    X(VAESDECLAST, "vaesdeclast", AES, aAVX, 0, 0, 0) \
    X(VPCLMULQDQ, "vpclmulqdq", PCLMUL, aAVX, 0, 0, 0) \
    X(VGF2P8MULB, "vgf2p8mulb", GFNI, aAVX, 0, 0, 0) \
    X(VGF2P8AFFINEQB, "vgf2p8affineqb", GFNI, aAVX, 0, 0, 0) \
    X(VGF2P8AFFINEINVQB, "vgf2p8affineinvqb", GFNI, aAVX, 0, 0, 0)

#endif
