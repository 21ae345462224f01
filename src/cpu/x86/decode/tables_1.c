/* SPDX-License-Identifier: MIT */
/* The one-byte opcodes, SDM vol. 2, table A-2. Prefixes, escapes, REX and VEX never get here:
 * decode.c takes them out first; 62 is BOUND outside 64-bit mode, C4 and C5 are LES and LDS. */
#include "cpu/x86/decode/tables.h"

/* The eight operations of the first quarter, six forms each. */
#define ALU(base, op, ROW)                                                                         \
    [base] = ROW(op, Eb, Gb), [(base) + 1] = ROW(op, Ev, Gv), [(base) + 2] = ROW(op, Gb, Eb),      \
    [(base) + 3] = ROW(op, Gv, Ev), [(base) + 4] = ROW(op, AL, Ib), [(base) + 5] = ROW(op, rAX, Iz)

#define GRP1(e, i)                                                                                 \
    GRP(U(ADD, e, i), U(OR, e, i), U(ADC, e, i), U(SBB, e, i), U(AND, e, i), U(SUB, e, i),         \
        U(XOR, e, i), R(CMP, e, i))
#define GRP2(e, i)                                                                                 \
    GRP(U(ROL, e, i), U(ROR, e, i), U(RCL, e, i), U(RCR, e, i), U(SHL, e, i), U(SHR, e, i),        \
        U(SHL, e, i), U(SAR, e, i))
#define GRP3(e, i)                                                                                 \
    GRP(R(TEST, e, i), R(TEST, e, i), U(NOT, e), U(NEG, e), R(MUL, e), R(IMUL, e), R(DIV, e),      \
        R(IDIV, e))

#define BY8(base, row)                                                                             \
    [base] = row, [(base) + 1] = row, [(base) + 2] = row, [(base) + 3] = row, [(base) + 4] = row,  \
    [(base) + 5] = row, [(base) + 6] = row, [(base) + 7] = row

#define XCHG_ROW ENC_(0, ACCESS_X, XCHG, Zv, rAX)

const struct enc x86_map_1[256] = {
    ALU(0x00, ADD, U), [0x06] = RF(F_N64, PUSH_SEG, sES), [0x07] = WF(F_N64, POP_SEG, sES),
    ALU(0x08, OR, U), [0x0e] = RF(F_N64, PUSH_SEG, sCS),
    ALU(0x10, ADC, U), [0x16] = RF(F_N64, PUSH_SEG, sSS), [0x17] = WF(F_N64, POP_SEG, sSS),
    ALU(0x18, SBB, U), [0x1e] = RF(F_N64, PUSH_SEG, sDS), [0x1f] = WF(F_N64, POP_SEG, sDS),
    ALU(0x20, AND, U), [0x27] = R(DAA),
    ALU(0x28, SUB, U), [0x2f] = R(DAS),
    ALU(0x30, XOR, U), [0x37] = R(AAA),
    ALU(0x38, CMP, R), [0x3f] = R(AAS),
    BY8(0x40, UF(F_N64, INC, Zv)), BY8(0x48, UF(F_N64, DEC, Zv)),
    BY8(0x50, RF(F_D64, PUSH, Zv)), BY8(0x58, WF(F_D64, POP, Zv)),
    [0x60] = R(PUSHA), [0x61] = R(POPA), [0x62] = R(BOUND, Gv, Ma),
    [0x63] = MODE(U(ARPL, Ew, Gw), W(MOVSXD, Gv, Ez)),
    [0x68] = RF(F_D64, PUSH, Iz), [0x69] = W(IMUL, Gv, Ev, Iz),
    [0x6a] = RF(F_D64, PUSH, Ib), [0x6b] = W(IMUL, Gv, Ev, Ib),
    [0x6c] = W(INS, Yb, DX), [0x6d] = W(INS, Yz, DX),
    [0x6e] = R(OUTS, DX, Xb), [0x6f] = R(OUTS, DX, Xz),
    BY8(0x70, RF(F_F64, JCC, Jb)), BY8(0x78, RF(F_F64, JCC, Jb)),
    [0x80] = GRP1(Eb, Ib), [0x81] = GRP1(Ev, Iz),
    [0x82] = MODE(GRP1(Eb, Ib), NONE), [0x83] = GRP1(Ev, Ib),
    [0x84] = R(TEST, Eb, Gb), [0x85] = R(TEST, Ev, Gv),
    [0x86] = ENC_(0, ACCESS_X, XCHG, Eb, Gb), [0x87] = ENC_(0, ACCESS_X, XCHG, Ev, Gv),
    [0x88] = W(MOV, Eb, Gb), [0x89] = W(MOV, Ev, Gv),
    [0x8a] = W(MOV, Gb, Eb), [0x8b] = W(MOV, Gv, Ev),
    [0x8c] = W(MOV_FROM_SEG, EvMw, Sw), [0x8d] = W(LEA, Gv, M),
    [0x8e] = W(MOV_TO_SEG, Sw, Ew),
    [0x8f] = GRP(WF(F_D64, POP, Ev), NONE, NONE, NONE, NONE, NONE, NONE, NONE),
    [0x90] = SUB_(3, SEL_NOP, XCHG_ROW, R(NOP), R(PAUSE)), [0x91] = XCHG_ROW, [0x92] = XCHG_ROW,
    [0x93] = XCHG_ROW, [0x94] = XCHG_ROW, [0x95] = XCHG_ROW, [0x96] = XCHG_ROW, [0x97] = XCHG_ROW,
    [0x98] = R(CBW), [0x99] = R(CWD), [0x9a] = RF(F_N64, CALL_FAR, Ap), [0x9b] = R(FWAIT),
    [0x9c] = RF(F_D64, PUSHF), [0x9d] = RF(F_D64, POPF),
    [0x9e] = MODE(R(SAHF), RF(F_FEATURE(LAHF64), SAHF)),
    [0x9f] = MODE(R(LAHF), RF(F_FEATURE(LAHF64), LAHF)),
    [0xa0] = W(MOV, AL, Ob), [0xa1] = W(MOV, rAX, Ov),
    [0xa2] = W(MOV, Ob, AL), [0xa3] = W(MOV, Ov, rAX),
    [0xa4] = W(MOVS, Yb, Xb), [0xa5] = W(MOVS, Yv, Xv),
    [0xa6] = R(CMPS, Xb, Yb), [0xa7] = R(CMPS, Xv, Yv),
    [0xa8] = R(TEST, AL, Ib), [0xa9] = R(TEST, rAX, Iz),
    [0xaa] = W(STOS, Yb, AL), [0xab] = W(STOS, Yv, rAX),
    [0xac] = W(LODS, AL, Xb), [0xad] = W(LODS, rAX, Xv),
    [0xae] = R(SCAS, AL, Yb), [0xaf] = R(SCAS, rAX, Yv),
    BY8(0xb0, W(MOV, Zb, Ib)), BY8(0xb8, W(MOV, Zv, Iv)),
    [0xc0] = GRP2(Eb, Iub), [0xc1] = GRP2(Ev, Iub),
    [0xc2] = RF(F_F64, RET, Iw), [0xc3] = RF(F_F64, RET),
    [0xc4] = W(LES, Gv, Mp), [0xc5] = W(LDS, Gv, Mp),
    [0xc6] = GRP(W(MOV, Eb, Ib), NONE, NONE, NONE, NONE, NONE, NONE, NONE),
    [0xc7] = GRP(W(MOV, Ev, Iz), NONE, NONE, NONE, NONE, NONE, NONE, NONE),
    [0xc8] = RF(F_D64, ENTER, Iw, Iub), [0xc9] = RF(F_D64, LEAVE),
    [0xca] = R(RET_FAR, Iw), [0xcb] = R(RET_FAR),
    [0xcc] = R(INT3), [0xcd] = R(INT, Iub), [0xce] = R(INTO), [0xcf] = R(IRET),
    [0xd0] = GRP2(Eb, One), [0xd1] = GRP2(Ev, One), [0xd2] = GRP2(Eb, CL), [0xd3] = GRP2(Ev, CL),
    [0xd4] = R(AAM, Iub), [0xd5] = R(AAD, Iub), [0xd6] = R(SALC), [0xd7] = R(XLAT),
    /* D8-DF: x86_map_x87 */
    [0xe0] = RF(F_F64, LOOPNE, Jb), [0xe1] = RF(F_F64, LOOPE, Jb), [0xe2] = RF(F_F64, LOOP, Jb),
    [0xe3] = RF(F_F64, JCXZ, Jb),
    [0xe4] = W(IN, AL, Iub), [0xe5] = W(IN, zAX, Iub),
    [0xe6] = R(OUT, Iub, AL), [0xe7] = R(OUT, Iub, zAX),
    [0xe8] = RF(F_F64, CALL, Jz), [0xe9] = RF(F_F64, JMP, Jz), [0xea] = RF(F_N64, JMP_FAR, Ap),
    [0xeb] = RF(F_F64, JMP, Jb),
    [0xec] = W(IN, AL, DX), [0xed] = W(IN, zAX, DX), [0xee] = R(OUT, DX, AL),
    [0xef] = R(OUT, DX, zAX),
    [0xf1] = R(INT1), [0xf4] = R(HLT), [0xf5] = R(CMC), [0xf6] = GRP3(Eb, Ib),
    [0xf7] = GRP3(Ev, Iz), [0xf8] = R(CLC), [0xf9] = R(STC), [0xfa] = R(CLI), [0xfb] = R(STI),
    [0xfc] = R(CLD), [0xfd] = R(STD),
    [0xfe] = GRP(U(INC, Eb), U(DEC, Eb), NONE, NONE, NONE, NONE, NONE, NONE),
    [0xff] = GRP(U(INC, Ev), U(DEC, Ev), RF(F_F64, CALL_IND, Ev), R(CALL_FAR_IND, Mp),
                 RF(F_F64, JMP_IND, Ev), R(JMP_FAR_IND, Mp), RF(F_D64, PUSH, Ev), NONE),
};
