/* SPDX-License-Identifier: MIT */
/* Expands optable.h into the information about each operation. */
#include "cpu/x86/decode/decode.h"
#include "arch/x86/regs.h"
#include "cpu/x86/decode/optable.h"

enum {
    aLOCK = X86_ATTR_LOCK, aBR = X86_ATTR_BRANCH, aPRIV = X86_ATTR_PRIV, aX87 = X86_ATTR_X87,
    aMMX = X86_ATTR_MMX, aSSE = X86_ATTR_SSE, aAVX = X86_ATTR_AVX, aNO64 = X86_ATTR_NO64,
    aO64 = X86_ATTR_ONLY64, aSYS = X86_ATTR_SYSTEM, aSTR = X86_ATTR_STRING, aREP = X86_ATTR_REP,
    aALN = X86_ATTR_ALIGNED, aY2 = X86_ATTR_YMM_AVX2,
    aUCNT = X86_ATTR_UNDEF_COUNT, aUDST = X86_ATTR_UNDEF_RESULT, aPART = X86_ATTR_PARTIAL,
    aMEM = X86_ATTR_MEMORY, aADR = X86_ATTR_ADDRESS, aMM = X86_ATTR_MINDS_MEMORY,
    aMMI = X86_ATTR_MINDS_IMM, aBITS = X86_ATTR_BIT_STRING, aUNA = X86_ATTR_UNALIGNED, aCOPY = X86_ATTR_COPY,
    aFIX = X86_ATTR_FIXED, aKEEP = X86_ATTR_MAY_KEEP, aSIMD = X86_ATTR_SIMD,
    aWIDE = X86_ATTR_WIDE, aSCMP = X86_ATTR_STRING_COMPARE, aIS4 = X86_ATTR_IMM_REG,
};

enum {
    fC = X86_FLAG_CF, fP = X86_FLAG_PF, fA = X86_FLAG_AF, fZ = X86_FLAG_ZF, fS = X86_FLAG_SF,
    fO = X86_FLAG_OF, fALL = X86_FLAGS_ARITH,
};

#define INFO(id, text, feat, fam, a, used, set, undefined)                                              \
    [X86_OP_##id] = { text, a, X86_FEATURE_##feat, X86_FAMILY_##fam, used, set, undefined },

static const struct x86_op_info op_info[X86_OP_COUNT] = { X86_OPS(INFO) };

const struct x86_op_info *x86_op_info(unsigned op)
{
    return &op_info[op < X86_OP_COUNT ? op : X86_OP_INVALID];
}
