/* SPDX-License-Identifier: MIT */
/* The x87 escapes D8-DF, SDM vol. 2, tables, with the undocumented aliases that all
 * processors decode (DC D0, DC D8, DD C8, DE D0, DF C0, DF C8, DF D0, DF D8, D9 D8). */
#include "cpu/x86/decode/tables.h"

#define ARITH(ROW_OPERAND)                                                                         \
    R(FADD, ROW_OPERAND), R(FMUL, ROW_OPERAND), R(FCOM, ROW_OPERAND), R(FCOMP, ROW_OPERAND),       \
    R(FSUB, ROW_OPERAND), R(FSUBR, ROW_OPERAND), R(FDIV, ROW_OPERAND), R(FDIVR, ROW_OPERAND)
#define INT_ARITH(m)                                                                               \
    R(FIADD, m), R(FIMUL, m), R(FICOM, m), R(FICOMP, m), R(FISUB, m), R(FISUBR, m), R(FIDIV, m),   \
    R(FIDIVR, m)

const struct enc x86_map_x87[8] = {
    [0] = MOD(GRP(ARITH(Md)),
              GRP(U(FADD, ST0, STi), U(FMUL, ST0, STi), R(FCOM, ST0, STi), R(FCOMP, ST0, STi),
                  U(FSUB, ST0, STi), U(FSUBR, ST0, STi), U(FDIV, ST0, STi), U(FDIVR, ST0, STi))),
    [1] = MOD(GRP(R(FLD, Md), NONE, W(FST, Md), W(FSTP, Md), R(FLDENV, Menv), R(FLDCW, Mw),
                  W(FNSTENV, Menv), W(FNSTCW, Mw)),
              GRP(R(FLD, STi), ENC_(0, ACCESS_X, FXCH, ST0, STi),
                  RM(R(FNOP), NONE, NONE, NONE, NONE, NONE, NONE, NONE), W(FSTPNCE, STi, ST0),
                  RM(R(FCHS), R(FABS), NONE, NONE, R(FTST), R(FXAM), NONE, NONE),
                  RM(R(FLD1), R(FLDL2T), R(FLDL2E), R(FLDPI), R(FLDLG2), R(FLDLN2), R(FLDZ), NONE),
                  RM(R(F2XM1), R(FYL2X), R(FPTAN), R(FPATAN), R(FXTRACT), R(FPREM1), R(FDECSTP),
                     R(FINCSTP)),
                  RM(R(FPREM), R(FYL2XP1), R(FSQRT), R(FSINCOS), R(FRNDINT), R(FSCALE), R(FSIN),
                     R(FCOS)))),
    [2] = MOD(GRP(INT_ARITH(Md)),
              GRP(W(FCMOVB, ST0, STi), W(FCMOVE, ST0, STi), W(FCMOVBE, ST0, STi),
                  W(FCMOVU, ST0, STi), NONE,
                  RM(NONE, R(FUCOMPP), NONE, NONE, NONE, NONE, NONE, NONE), NONE, NONE)),
    [3] = MOD(GRP(R(FILD, Md), W(FISTTP, Md), W(FIST, Md), W(FISTP, Md), NONE, R(FLD, Mt), NONE,
                  W(FSTP, Mt)),
              GRP(W(FCMOVNB, ST0, STi), W(FCMOVNE, ST0, STi), W(FCMOVNBE, ST0, STi),
                  W(FCMOVNU, ST0, STi),
                  RM(R(FNENI), R(FNDISI), R(FNCLEX), R(FNINIT), R(FNSETPM), NONE, NONE, NONE),
                  R(FUCOMI, ST0, STi), R(FCOMI, ST0, STi), NONE)),
    [4] = MOD(GRP(ARITH(Mq)),
              GRP(U(FADD, STi, ST0), U(FMUL, STi, ST0), R(FCOM, ST0, STi), R(FCOMP, ST0, STi),
                  U(FSUBR, STi, ST0), U(FSUB, STi, ST0), U(FDIVR, STi, ST0), U(FDIV, STi, ST0))),
    [5] = MOD(GRP(R(FLD, Mq), W(FISTTP, Mq), W(FST, Mq), W(FSTP, Mq), R(FRSTOR, Mfst), NONE,
                  W(FNSAVE, Mfst), W(FNSTSW, Mw)),
              GRP(R(FFREE, STi), ENC_(0, ACCESS_X, FXCH, ST0, STi), W(FST, STi, ST0),
                  W(FSTP, STi, ST0), R(FUCOM, ST0, STi), R(FUCOMP, ST0, STi), NONE, NONE)),
    [6] = MOD(GRP(INT_ARITH(Mw)),
              GRP(U(FADDP, STi, ST0), U(FMULP, STi, ST0), R(FCOMP, ST0, STi),
                  RM(NONE, R(FCOMPP), NONE, NONE, NONE, NONE, NONE, NONE), U(FSUBRP, STi, ST0),
                  U(FSUBP, STi, ST0), U(FDIVRP, STi, ST0), U(FDIVP, STi, ST0))),
    [7] = MOD(GRP(R(FILD, Mw), W(FISTTP, Mw), W(FIST, Mw), W(FISTP, Mw), R(FBLD, Mt), R(FILD, Mq),
                  W(FBSTP, Mt), W(FISTP, Mq)),
              GRP(R(FFREEP, STi), ENC_(0, ACCESS_X, FXCH, ST0, STi), W(FSTP, STi, ST0),
                  W(FSTP, STi, ST0),
                  RM(W(FNSTSW, AX), NONE, NONE, NONE, NONE, NONE, NONE, NONE),
                  R(FUCOMIP, ST0, STi), R(FCOMIP, ST0, STi), NONE)),
};
