/* SPDX-License-Identifier: MIT */
/* The two-byte opcodes 0F xx without VEX, SDM vol. 2, table A-3. */
#include "cpu/x86/decode/tables.h"

#define BY8(base, row)                                                                             \
    [base] = row, [(base) + 1] = row, [(base) + 2] = row, [(base) + 3] = row, [(base) + 4] = row,  \
    [(base) + 5] = row, [(base) + 6] = row, [(base) + 7] = row

#define MMX_FORM F_FEATURE(MMX)
#define SSE_FORM F_FEATURE(SSE)
/* MMX since the beginning, since SSE, since SSE2; XMM with 66. */
#define INT_MMX(op) PFX(UF(MMX_FORM, op, Pq, Qq), U(op, Vo, Wo), NONE, NONE)
#define INT_MMX_HALF(op) PFX(UF(MMX_FORM, op, Pq, Qd), U(op, Vo, Wo), NONE, NONE)
#define INT_SSE(op) PFX(UF(SSE_FORM, op, Pq, Qq), U(op, Vo, Wo), NONE, NONE)
#define INT_SSE2(op) PFX(U(op, Pq, Qq), U(op, Vo, Wo), NONE, NONE)
#define SHIFT(op) PFX(UF(MMX_FORM, op, Nq, Iub), U(op, Uo, Iub), NONE, NONE)

/* Packed and scalar floating point: PS, PD, SS, SD. */
#define FLOAT4(ROW, op)                                                                            \
    PFX(ROW(op##PS, Vo, Wo), ROW(op##PD, Vo, Wo), ROW(op##SS, Vo, Wd), ROW(op##SD, Vo, Wq))
#define FLOAT2(op) PFX(U(op##PS, Vo, Wo), U(op##PD, Vo, Wo), NONE, NONE)

#define NOP_EV R(NOP, Ev)

static const struct enc group_0f01_reg[8] = {
    PNP(RM(NONE, R(VMCALL), NONE, NONE, NONE, NONE, NONE, NONE)),
    PNP(RM(R(MONITOR), R(MWAIT), R(CLAC), R(STAC), NONE, NONE, NONE, NONE)),
    PNP(RM(R(XGETBV), R(XSETBV), NONE, NONE, NONE, NONE, NONE, NONE)),
    RM(NONE, R(VMMCALL), NONE, NONE, NONE, NONE, NONE, NONE),
    W(SMSW, Rv), NONE, R(LMSW, Ew),
    RM(RF(F_O64, SWAPGS), R(RDTSCP), NONE, NONE, NONE, NONE, NONE, NONE),
};

static const struct enc group_0fae_mem[8] = {
    PNP(W(FXSAVE, M)), PNP(R(FXRSTOR, M)), PNP(R(LDMXCSR, Md)), PNP(W(STMXCSR, Md)),
    PNP(U(XSAVE, M)), PNP(R(XRSTOR, M)), PFX(U(XSAVEOPT, M), R(CLWB, M), NONE, NONE),
    PFX(R(CLFLUSH, M), R(CLFLUSHOPT, M), NONE, NONE),
};

static const struct enc group_0fae_reg[8] = {
    PFX(NONE, NONE, W(RDFSBASE, Ry), NONE), PFX(NONE, NONE, W(RDGSBASE, Ry), NONE),
    PFX(NONE, NONE, R(WRFSBASE, Ry), NONE), PFX(NONE, NONE, R(WRGSBASE, Ry), NONE),
    NONE, PNP(R(LFENCE)), PNP(R(MFENCE)), PNP(R(SFENCE)),
};

static const struct enc group_0fc7_mem[8] = {
    NONE, BYW(U(CMPXCHG8B, Mq), U(CMPXCHG16B, Mdq)), NONE, NONE, PNP(W(XSAVEC, M)), NONE, NONE,
    NONE,
};

static const struct enc group_0fc7_reg[8] = {
    NONE, NONE, NONE, NONE, NONE, NONE, PFX(W(RDRAND, Rv), W(RDRAND, Rv), NONE, NONE),
    PFX(W(RDSEED, Rv), W(RDSEED, Rv), W(RDPID, Rn), NONE),
};

const struct enc x86_map_0f[256] = {
    [0x00] = GRP(W(SLDT, EvMw), W(STR, EvMw), R(LLDT, Ew), R(LTR, Ew), R(VERR, Ew), R(VERW, Ew),
                 NONE, NONE),
    [0x01] = MOD(GRP(WF(F_F64, SGDT, Ms), WF(F_F64, SIDT, Ms), RF(F_F64, LGDT, Ms),
                     RF(F_F64, LIDT, Ms), W(SMSW, Mw), NONE, R(LMSW, Ew), R(INVLPG, M)),
                 GRP_OF(group_0f01_reg)),
    [0x02] = U(LAR, Gv, EvMw), [0x03] = U(LSL, Gv, EzMw),
    [0x05] = RF(F_O64, SYSCALL), [0x06] = R(CLTS), [0x07] = RF(F_O64, SYSRET),
    [0x08] = R(INVD), [0x09] = R(WBINVD), [0x0b] = R(UD2),
    [0x0d] = MOD(GRP(R(PREFETCH, M), R(PREFETCHW, M), R(PREFETCHWT1, M), R(PREFETCH, M),
                     R(PREFETCH, M), R(PREFETCH, M), R(PREFETCH, M), R(PREFETCH, M)), NOP_EV),

    [0x10] = PFX(W(MOVUPS, Vo, Wo), W(MOVUPD, Vo, Wo), MOD(W(MOVSS, Vo, Wd), U(MOVSS, Vo, Wd)),
                 MOD(W(MOVSD, Vo, Wq), U(MOVSD, Vo, Wq))),
    [0x11] = PFX(W(MOVUPS, Wo, Vo), W(MOVUPD, Wo, Vo), MOD(W(MOVSS, Wd, Vo), U(MOVSS, Wd, Vo)),
                 MOD(W(MOVSD, Wq, Vo), U(MOVSD, Wq, Vo))),
    [0x12] = PFX(MOD(U(MOVLPS, Vo, Mq), U(MOVHLPS, Vo, Uo)), U(MOVLPD, Vo, Mq),
                 W(MOVSLDUP, Vo, Wo), W(MOVDDUP, Vo, Wq)),
    [0x13] = PFX(W(MOVLPS, Mq, Vo), W(MOVLPD, Mq, Vo), NONE, NONE),
    [0x14] = FLOAT2(UNPCKL), [0x15] = FLOAT2(UNPCKH),
    [0x16] = PFX(MOD(U(MOVHPS, Vo, Mq), U(MOVLHPS, Vo, Uo)), U(MOVHPD, Vo, Mq),
                 W(MOVSHDUP, Vo, Wo), NONE),
    [0x17] = PFX(W(MOVHPS, Mq, Vo), W(MOVHPD, Mq, Vo), NONE, NONE),
    [0x18] = MOD(GRP(R(PREFETCHNTA, M), R(PREFETCHT0, M), R(PREFETCHT1, M), R(PREFETCHT2, M),
                     NOP_EV, NOP_EV, NOP_EV, NOP_EV), NOP_EV),
    [0x19] = NOP_EV, [0x1a] = NOP_EV, [0x1b] = NOP_EV, [0x1c] = NOP_EV, [0x1d] = NOP_EV,
    [0x1e] = REP(NOP_EV, MOD(NOP_EV, GRP(NOP_EV, NOP_EV, NOP_EV, NOP_EV, NOP_EV, NOP_EV, NOP_EV,
                                         RM(NOP_EV, NOP_EV, R(ENDBR64), R(ENDBR32), NOP_EV,
                                            NOP_EV, NOP_EV, NOP_EV)))),
    [0x1f] = NOP_EV,
    [0x20] = WF(F_F64 | F_REGFORM, MOV_FROM_CR, Rn, Cn),
    [0x21] = WF(F_F64 | F_REGFORM, MOV_FROM_DR, Rn, Dn),
    [0x22] = WF(F_F64 | F_REGFORM, MOV_TO_CR, Cn, Rn),
    [0x23] = WF(F_F64 | F_REGFORM, MOV_TO_DR, Dn, Rn),
    [0x28] = PFX(W(MOVAPS, Vo, Wo), W(MOVAPD, Vo, Wo), NONE, NONE),
    [0x29] = PFX(W(MOVAPS, Wo, Vo), W(MOVAPD, Wo, Vo), NONE, NONE),
    [0x2a] = PFX(U(CVTPI2PS, Vo, Qq), W(CVTPI2PD, Vo, Qq), U(CVTSI2SS, Vo, Ey),
                 U(CVTSI2SD, Vo, Ey)),
    [0x2b] = PFX(W(MOVNTPS, Mdq, Vo), W(MOVNTPD, Mdq, Vo), NONE, NONE),
    [0x2c] = PFX(W(CVTTPS2PI, Pq, Wq), W(CVTTPD2PI, Pq, Wo), W(CVTTSS2SI, Gy, Wd),
                 W(CVTTSD2SI, Gy, Wq)),
    [0x2d] = PFX(W(CVTPS2PI, Pq, Wq), W(CVTPD2PI, Pq, Wo), W(CVTSS2SI, Gy, Wd),
                 W(CVTSD2SI, Gy, Wq)),
    [0x2e] = PFX(R(UCOMISS, Vo, Wd), R(UCOMISD, Vo, Wq), NONE, NONE),
    [0x2f] = PFX(R(COMISS, Vo, Wd), R(COMISD, Vo, Wq), NONE, NONE),

    [0x30] = R(WRMSR), [0x31] = R(RDTSC), [0x32] = R(RDMSR), [0x33] = R(RDPMC),
    [0x34] = R(SYSENTER), [0x35] = R(SYSEXIT),
    BY8(0x40, U(CMOVCC, Gv, Ev)), BY8(0x48, U(CMOVCC, Gv, Ev)),

    [0x50] = PFX(W(MOVMSKPS, Gd, Uo), W(MOVMSKPD, Gd, Uo), NONE, NONE),
    [0x51] = FLOAT4(W, SQRT),
    [0x52] = PFX(W(RSQRTPS, Vo, Wo), NONE, W(RSQRTSS, Vo, Wd), NONE),
    [0x53] = PFX(W(RCPPS, Vo, Wo), NONE, W(RCPSS, Vo, Wd), NONE),
    [0x54] = FLOAT2(AND), [0x55] = FLOAT2(ANDN), [0x56] = FLOAT2(OR), [0x57] = FLOAT2(XOR),
    [0x58] = FLOAT4(U, ADD), [0x59] = FLOAT4(U, MUL),
    [0x5a] = PFX(W(CVTPS2PD, Vo, Wq), W(CVTPD2PS, Vo, Wo), W(CVTSS2SD, Vo, Wd),
                 W(CVTSD2SS, Vo, Wq)),
    [0x5b] = PFX(W(CVTDQ2PS, Vo, Wo), W(CVTPS2DQ, Vo, Wo), W(CVTTPS2DQ, Vo, Wo), NONE),
    [0x5c] = FLOAT4(U, SUB), [0x5d] = FLOAT4(U, MIN), [0x5e] = FLOAT4(U, DIV),
    [0x5f] = FLOAT4(U, MAX),

    [0x60] = INT_MMX_HALF(PUNPCKLBW), [0x61] = INT_MMX_HALF(PUNPCKLWD),
    [0x62] = INT_MMX_HALF(PUNPCKLDQ), [0x63] = INT_MMX(PACKSSWB),
    [0x64] = INT_MMX(PCMPGTB), [0x65] = INT_MMX(PCMPGTW), [0x66] = INT_MMX(PCMPGTD),
    [0x67] = INT_MMX(PACKUSWB), [0x68] = INT_MMX(PUNPCKHBW), [0x69] = INT_MMX(PUNPCKHWD),
    [0x6a] = INT_MMX(PUNPCKHDQ), [0x6b] = INT_MMX(PACKSSDW), [0x6c] = P66(U(PUNPCKLQDQ, Vo, Wo)),
    [0x6d] = P66(U(PUNPCKHQDQ, Vo, Wo)),
    [0x6e] = PFX(WF(MMX_FORM, MOVD, Pq, Ey), W(MOVD, Vo, Ey), NONE, NONE),
    [0x6f] = PFX(WF(MMX_FORM, MOVQ, Pq, Qq), W(MOVDQA, Vo, Wo), W(MOVDQU, Vo, Wo), NONE),
    [0x70] = PFX(W(PSHUFW, Pq, Qq, Iub), W(PSHUFD, Vo, Wo, Iub), W(PSHUFHW, Vo, Wo, Iub),
                 W(PSHUFLW, Vo, Wo, Iub)),
    [0x71] = GRP(NONE, NONE, SHIFT(PSRLW), NONE, SHIFT(PSRAW), NONE, SHIFT(PSLLW), NONE),
    [0x72] = GRP(NONE, NONE, SHIFT(PSRLD), NONE, SHIFT(PSRAD), NONE, SHIFT(PSLLD), NONE),
    [0x73] = GRP(NONE, NONE, SHIFT(PSRLQ), P66(U(PSRLDQ, Uo, Iub)), NONE, NONE, SHIFT(PSLLQ),
                 P66(U(PSLLDQ, Uo, Iub))),
    [0x74] = INT_MMX(PCMPEQB), [0x75] = INT_MMX(PCMPEQW), [0x76] = INT_MMX(PCMPEQD),
    [0x77] = PNP(R(EMMS)),
    [0x7c] = PFX(NONE, U(HADDPD, Vo, Wo), NONE, U(HADDPS, Vo, Wo)),
    [0x7d] = PFX(NONE, U(HSUBPD, Vo, Wo), NONE, U(HSUBPS, Vo, Wo)),
    [0x7e] = PFX(WF(MMX_FORM, MOVD, Ey, Pq), W(MOVD, Ey, Vo), W(MOVQ, Vo, Wq), NONE),
    [0x7f] = PFX(WF(MMX_FORM, MOVQ, Qq, Pq), W(MOVDQA, Wo, Vo), W(MOVDQU, Wo, Vo), NONE),

    BY8(0x80, RF(F_F64, JCC, Jz)), BY8(0x88, RF(F_F64, JCC, Jz)),
    BY8(0x90, W(SETCC, Eb)), BY8(0x98, W(SETCC, Eb)),
    [0xa0] = RF(F_D64, PUSH_SEG, sFS), [0xa1] = WF(F_D64, POP_SEG, sFS), [0xa2] = R(CPUID),
    [0xa3] = R(BT, Ev, Gv), [0xa4] = U(SHLD, Ev, Gv, Iub), [0xa5] = U(SHLD, Ev, Gv, CL),
    [0xa8] = RF(F_D64, PUSH_SEG, sGS), [0xa9] = WF(F_D64, POP_SEG, sGS), [0xaa] = R(RSM),
    [0xab] = U(BTS, Ev, Gv), [0xac] = U(SHRD, Ev, Gv, Iub), [0xad] = U(SHRD, Ev, Gv, CL),
    [0xae] = MOD(GRP_OF(group_0fae_mem),
                 GRP_OF(group_0fae_reg)),
    [0xaf] = U(IMUL, Gv, Ev),
    [0xb0] = U(CMPXCHG, Eb, Gb), [0xb1] = U(CMPXCHG, Ev, Gv), [0xb2] = W(LSS, Gv, Mp),
    [0xb3] = U(BTR, Ev, Gv), [0xb4] = W(LFS, Gv, Mp), [0xb5] = W(LGS, Gv, Mp),
    [0xb6] = W(MOVZX, Gv, Eb), [0xb7] = W(MOVZX, Gv, Ew),
    [0xb8] = REP(NONE, W(POPCNT, Gv, Ev)), [0xb9] = R(UD1, Gd, Ed),
    [0xba] = GRP(NONE, NONE, NONE, NONE, R(BT, Ev, Iub), U(BTS, Ev, Iub), U(BTR, Ev, Iub),
                 U(BTC, Ev, Iub)),
    [0xbb] = U(BTC, Ev, Gv),
    /* BSF and BSR leave the destination alone when the source is zero. */
    [0xbc] = REP(U(BSF, Gv, Ev), W(TZCNT, Gv, Ev)), [0xbd] = REP(U(BSR, Gv, Ev), W(LZCNT, Gv, Ev)),
    [0xbe] = W(MOVSX, Gv, Eb), [0xbf] = W(MOVSX, Gv, Ew),
    [0xc0] = ENC_(0, ACCESS_X, XADD, Eb, Gb), [0xc1] = ENC_(0, ACCESS_X, XADD, Ev, Gv),
    [0xc2] = PFX(U(CMPPS, Vo, Wo, Iub), U(CMPPD, Vo, Wo, Iub), U(CMPSS, Vo, Wd, Iub),
                 U(CMPSD, Vo, Wq, Iub)),
    [0xc3] = PNP(W(MOVNTI, My, Gy)),
    [0xc4] = PFX(UF(SSE_FORM, PINSRW, Pq, EdMw, Iub), U(PINSRW, Vo, EdMw, Iub), NONE, NONE),
    [0xc5] = PFX(WF(SSE_FORM, PEXTRW, Gd, Nq, Iub), W(PEXTRW, Gd, Uo, Iub), NONE, NONE),
    [0xc6] = PFX(U(SHUFPS, Vo, Wo, Iub), U(SHUFPD, Vo, Wo, Iub), NONE, NONE),
    [0xc7] = MOD(GRP_OF(group_0fc7_mem),
                 GRP_OF(group_0fc7_reg)),
    BY8(0xc8, U(BSWAP, Zv)),

    [0xd0] = PFX(NONE, U(ADDSUBPD, Vo, Wo), NONE, U(ADDSUBPS, Vo, Wo)),
    [0xd1] = INT_MMX(PSRLW), [0xd2] = INT_MMX(PSRLD), [0xd3] = INT_MMX(PSRLQ),
    [0xd4] = INT_SSE2(PADDQ), [0xd5] = INT_MMX(PMULLW),
    [0xd6] = PFX(NONE, W(MOVQ, Wq, Vo), W(MOVQ2DQ, Vo, Nq), W(MOVDQ2Q, Pq, Uo)),
    [0xd7] = PFX(WF(SSE_FORM, PMOVMSKB, Gd, Nq), W(PMOVMSKB, Gd, Uo), NONE, NONE),
    [0xd8] = INT_MMX(PSUBUSB), [0xd9] = INT_MMX(PSUBUSW), [0xda] = INT_SSE(PMINUB),
    [0xdb] = INT_MMX(PAND), [0xdc] = INT_MMX(PADDUSB), [0xdd] = INT_MMX(PADDUSW),
    [0xde] = INT_SSE(PMAXUB), [0xdf] = INT_MMX(PANDN),
    [0xe0] = INT_SSE(PAVGB), [0xe1] = INT_MMX(PSRAW), [0xe2] = INT_MMX(PSRAD),
    [0xe3] = INT_SSE(PAVGW), [0xe4] = INT_SSE(PMULHUW), [0xe5] = INT_MMX(PMULHW),
    [0xe6] = PFX(NONE, W(CVTTPD2DQ, Vo, Wo), W(CVTDQ2PD, Vo, Wq), W(CVTPD2DQ, Vo, Wo)),
    [0xe7] = PFX(W(MOVNTQ, Mq, Pq), W(MOVNTDQ, Mdq, Vo), NONE, NONE),
    [0xe8] = INT_MMX(PSUBSB), [0xe9] = INT_MMX(PSUBSW), [0xea] = INT_SSE(PMINSW),
    [0xeb] = INT_MMX(POR), [0xec] = INT_MMX(PADDSB), [0xed] = INT_MMX(PADDSW),
    [0xee] = INT_SSE(PMAXSW), [0xef] = INT_MMX(PXOR),
    [0xf0] = PFX(NONE, NONE, NONE, W(LDDQU, Vo, Mdq)),
    [0xf1] = INT_MMX(PSLLW), [0xf2] = INT_MMX(PSLLD), [0xf3] = INT_MMX(PSLLQ),
    [0xf4] = INT_SSE2(PMULUDQ), [0xf5] = INT_MMX(PMADDWD), [0xf6] = INT_SSE(PSADBW),
    [0xf7] = PFX(R(MASKMOVQ, Pq, Nq), R(MASKMOVDQU, Vo, Uo), NONE, NONE),
    [0xf8] = INT_MMX(PSUBB), [0xf9] = INT_MMX(PSUBW), [0xfa] = INT_MMX(PSUBD),
    [0xfb] = INT_SSE2(PSUBQ), [0xfc] = INT_MMX(PADDB), [0xfd] = INT_MMX(PADDW),
    [0xfe] = INT_MMX(PADDD), [0xff] = R(UD0, Gd, Ed),
};
