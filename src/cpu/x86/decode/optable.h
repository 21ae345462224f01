/* SPDX-License-Identifier: MIT */
/* The one table of operations: enum x86_op (here) and struct x86_op_info (optable.c) are made from
 * it. One row per operation, not per operand form: a mnemonic of the Intel SDM, with these merged
 * or split for the sake of who executes them:
 *
 *   JCC SETCC CMOVCC      the condition is the low nibble of x86_decoded.opcode
 *   CBW CWD               by osize: CBW/CWDE/CDQE, CWD/CDQ/CQO
 *   MOVS CMPS STOS ...    by the size of the X86_OPERAND_STR_* operand
 *   PUSHF POPF IRET ...   by osize; FXSAVE, XSAVE, SYSRET, SYSEXIT, ...: by rex_w
 *   JCXZ LOOPcc           the counter is as wide as asize
 *   MOVD and MOVQ         size of the general register or memory operand; VMOVD, PINSRD, PEXTRD
 *                         and their VEX forms stand for their Q forms too
 *   _IND _FAR _FAR_IND    near indirect, far direct, far indirect calls and jumps
 *   _TO_ and _FROM_       MOV of segment, control and debug registers
 *   PADDB and VPADDB      legacy (MMX or XMM operands) and VEX encodings are different rows
 *
 * X(enum suffix, name, feature, family, attributes, flags used, set, undefined); the short words of
 * the columns behind the name are defined where the table is expanded, what they mean in decode.h. */
#ifndef VZ_CPU_X86_OPTABLE_H
#define VZ_CPU_X86_OPTABLE_H

#include "cpu/x86/decode/optable_vector.h"

/* Integer, general: SDM vol. 2. */
#define X86_OPS_INT(X) \
    X(INVALID, "(bad)", BASE, MISC, 0, 0, 0, 0) \
    X(ADD, "add", BASE, ALU, aLOCK | aCOPY, 0, fALL, 0) \
    X(ADC, "adc", BASE, ALU, aLOCK | aCOPY, fC, fALL, 0) \
    X(SBB, "sbb", BASE, ALU, aLOCK | aCOPY, fC, fALL, 0) \
    X(SUB, "sub", BASE, ALU, aLOCK | aCOPY, 0, fALL, 0) \
    X(AND, "and", BASE, ALU, aLOCK | aCOPY, 0, fALL & ~fA, fA) \
    X(OR, "or", BASE, ALU, aLOCK | aCOPY, 0, fALL & ~fA, fA) \
    X(XOR, "xor", BASE, ALU, aLOCK | aCOPY, 0, fALL & ~fA, fA) \
    X(CMP, "cmp", BASE, ALU, aCOPY, 0, fALL, 0) \
    X(TEST, "test", BASE, ALU, aCOPY, 0, fALL & ~fA, fA) \
    X(INC, "inc", BASE, ALU, aLOCK | aCOPY, 0, fALL & ~fC, 0) \
    X(DEC, "dec", BASE, ALU, aLOCK | aCOPY, 0, fALL & ~fC, 0) \
    X(NEG, "neg", BASE, ALU, aLOCK | aCOPY, 0, fALL, 0) \
    X(NOT, "not", BASE, ALU, aLOCK | aCOPY, 0, 0, 0) \
    X(MUL, "mul", BASE, MULDIV, aCOPY, 0, fO | fC, fS | fZ | fA | fP) \
    X(IMUL, "imul", BASE, MULDIV, aCOPY, 0, fO | fC, fS | fZ | fA | fP) \
    X(DIV, "div", BASE, MULDIV, 0, 0, 0, fALL) \
    X(IDIV, "idiv", BASE, MULDIV, 0, 0, 0, fALL) \
    X(ROL, "rol", BASE, SHIFT, aUCNT | aCOPY | aMMI, 0, fO | fC, fO) \
    X(ROR, "ror", BASE, SHIFT, aUCNT | aCOPY | aMMI, 0, fO | fC, fO) \
    X(RCL, "rcl", BASE, SHIFT, aUCNT | aCOPY, fC, fO | fC, fO) \
    X(RCR, "rcr", BASE, SHIFT, aUCNT | aCOPY, fC, fO | fC, fO) \
    X(SHL, "shl", BASE, SHIFT, aUCNT | aCOPY, 0, fALL & ~fA, fO | fA | fC) \
    X(SHR, "shr", BASE, SHIFT, aUCNT | aCOPY, 0, fALL & ~fA, fO | fA | fC) \
    X(SAR, "sar", BASE, SHIFT, aUCNT | aCOPY, 0, fALL & ~fA, fO | fA) \
    X(SHLD, "shld", BASE, SHIFT, aUCNT | aUDST | aCOPY, 0, fALL & ~fA, fALL) \
    X(SHRD, "shrd", BASE, SHIFT, aUCNT | aUDST | aCOPY, 0, fALL & ~fA, fALL) \
    X(MOV, "mov", BASE, MOV, aCOPY, 0, 0, 0) \
    X(MOVZX, "movzx", BASE, MOV, aCOPY, 0, 0, 0) \
    X(MOVSX, "movsx", BASE, MOV, aCOPY, 0, 0, 0) \
    X(MOVSXD, "movsxd", LM, MOV, aO64 | aCOPY, 0, 0, 0) \
    X(LEA, "lea", BASE, MOV, aADR, 0, 0, 0) \
    X(NOP, "nop", BASE, MISC, aADR, 0, 0, 0) \
    X(XLAT, "xlat", BASE, MOV, aMEM, 0, 0, 0) \
    X(BSWAP, "bswap", BASE, MOV, 0, 0, 0, 0) \
    X(PAUSE, "pause", BASE, MISC, 0, 0, 0, 0) \
    X(XCHG, "xchg", BASE, ATOMIC, aLOCK | aCOPY | aMM, 0, 0, 0) \
    X(XADD, "xadd", BASE, ATOMIC, aLOCK | aCOPY | aMM, 0, fALL, 0) \
    X(CMPXCHG, "cmpxchg", BASE, ATOMIC, aLOCK | aCOPY | aMM, 0, fALL, 0) \
    X(CMPXCHG8B, "cmpxchg8b", BASE, ATOMIC, aLOCK, 0, fZ, 0) \
    X(CMPXCHG16B, "cmpxchg16b", CX16, ATOMIC, aLOCK | aO64, 0, fZ, 0) \
    X(BT, "bt", BASE, BIT, aCOPY | aBITS, 0, fC, fO | fS | fA | fP) \
    X(BTS, "bts", BASE, BIT, aLOCK | aCOPY | aBITS, 0, fC, fO | fS | fA | fP) \
    X(BTR, "btr", BASE, BIT, aLOCK | aCOPY | aBITS, 0, fC, fO | fS | fA | fP) \
    X(BTC, "btc", BASE, BIT, aLOCK | aCOPY | aBITS, 0, fC, fO | fS | fA | fP) \
    X(BSF, "bsf", BASE, BIT, aUDST | aCOPY | aKEEP, 0, fZ, fALL & ~fZ) \
    X(BSR, "bsr", BASE, BIT, aUDST | aCOPY | aKEEP, 0, fZ, fALL & ~fZ) \
    X(SETCC, "set", BASE, COND, aCOPY, fALL & ~fA, 0, 0) \
    X(CMOVCC, "cmov", BASE, COND, aCOPY | aKEEP, fALL & ~fA, 0, 0) \
    X(CBW, "cbw", BASE, MOV, aFIX, 0, 0, 0) \
    X(CWD, "cwd", BASE, MOV, aFIX, 0, 0, 0) \
    X(CMC, "cmc", BASE, COND, aFIX, fC, fC, 0) \
    X(CLC, "clc", BASE, COND, aFIX, 0, fC, 0) \
    X(STC, "stc", BASE, COND, aFIX, 0, fC, 0) \
    X(CLD, "cld", BASE, COND, 0, 0, 0, 0) \
    X(STD, "std", BASE, COND, 0, 0, 0, 0) \
    X(LAHF, "lahf", BASE, COND, aFIX, fALL & ~fO, 0, 0) \
    X(SAHF, "sahf", BASE, COND, aFIX, 0, fALL & ~fO, 0) \
    X(SALC, "salc", BASE, COND, aNO64, fC, 0, 0) \
    X(AAA, "aaa", BASE, BCD, aNO64, fA, fA | fC, fO | fS | fZ | fP) \
    X(AAS, "aas", BASE, BCD, aNO64, fA, fA | fC, fO | fS | fZ | fP) \
    X(AAM, "aam", BASE, BCD, aNO64, 0, fS | fZ | fP, fO | fA | fC) \
    X(AAD, "aad", BASE, BCD, aNO64, 0, fS | fZ | fP, fO | fA | fC) \
    X(DAA, "daa", BASE, BCD, aNO64, fA | fC, fALL & ~fO, fO) \
    X(DAS, "das", BASE, BCD, aNO64, fA | fC, fALL & ~fO, fO) \
    X(PUSH, "push", BASE, STACK, aMEM, 0, 0, 0) \
    X(POP, "pop", BASE, STACK, aMEM, 0, 0, 0) \
    X(PUSH_SEG, "push", BASE, SYSTEM, aMEM, 0, 0, 0) \
    X(POP_SEG, "pop", BASE, SYSTEM, aSYS | aMEM, 0, 0, 0) \
    X(PUSHA, "pusha", BASE, STACK, aNO64 | aMEM, 0, 0, 0) \
    X(POPA, "popa", BASE, STACK, aNO64 | aMEM, 0, 0, 0) \
    X(PUSHF, "pushf", BASE, STACK, aMEM, fALL, 0, 0) \
    X(POPF, "popf", BASE, STACK, aSYS | aMEM, 0, fALL, 0) \
    X(ENTER, "enter", BASE, STACK, aMEM, 0, 0, 0) \
    X(LEAVE, "leave", BASE, STACK, aMEM, 0, 0, 0) \
    X(MOVS, "movs", BASE, STRING, aSTR | aREP | aMEM, 0, 0, 0) \
    X(STOS, "stos", BASE, STRING, aSTR | aREP | aMEM, 0, 0, 0) \
    X(LODS, "lods", BASE, STRING, aSTR | aREP | aMEM, 0, 0, 0) \
    X(CMPS, "cmps", BASE, STRING, aSTR | aREP | aMEM, 0, fALL, 0) \
    X(SCAS, "scas", BASE, STRING, aSTR | aREP | aMEM, 0, fALL, 0) \
    X(INS, "ins", BASE, SYSTEM, aSTR | aREP | aSYS | aMEM, 0, 0, 0) \
    X(OUTS, "outs", BASE, SYSTEM, aSTR | aREP | aSYS | aMEM, 0, 0, 0) \
    X(IN, "in", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(OUT, "out", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(BOUND, "bound", BASE, MISC, aNO64, 0, 0, 0) \
    X(ARPL, "arpl", BASE, SYSTEM, aNO64, 0, fZ, 0) \
    X(LES, "les", BASE, SYSTEM, aNO64 | aSYS, 0, 0, 0) \
    X(LDS, "lds", BASE, SYSTEM, aNO64 | aSYS, 0, 0, 0) \
    X(LSS, "lss", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(LFS, "lfs", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(LGS, "lgs", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(MOV_TO_SEG, "mov", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(MOV_FROM_SEG, "mov", BASE, SYSTEM, 0, 0, 0, 0) \
    X(PREFETCHT0, "prefetcht0", BASE, MISC, aADR, 0, 0, 0) \
    X(PREFETCHT1, "prefetcht1", BASE, MISC, aADR, 0, 0, 0) \
    X(PREFETCHT2, "prefetcht2", BASE, MISC, aADR, 0, 0, 0) \
    X(PREFETCHNTA, "prefetchnta", BASE, MISC, aADR, 0, 0, 0) \
    X(PREFETCHW, "prefetchw", PREFETCHW, MISC, aADR, 0, 0, 0) \
    X(PREFETCHWT1, "prefetchwt1", PREFETCHW, MISC, aADR, 0, 0, 0) \
    X(PREFETCH, "prefetch", PREFETCHW, MISC, aADR, 0, 0, 0) \
    X(ENDBR32, "endbr32", BASE, MISC, 0, 0, 0, 0) \
    X(ENDBR64, "endbr64", BASE, MISC, 0, 0, 0, 0) \
    X(CLFLUSH, "clflush", BASE, MISC, 0, 0, 0, 0) \
    X(CLFLUSHOPT, "clflushopt", CLFLUSHOPT, MISC, 0, 0, 0, 0) \
    X(CLWB, "clwb", CLWB, MISC, 0, 0, 0, 0) \
    X(LFENCE, "lfence", BASE, MISC, 0, 0, 0, 0) \
    X(MFENCE, "mfence", BASE, MISC, 0, 0, 0, 0) \
    X(SFENCE, "sfence", BASE, MISC, 0, 0, 0, 0) \
    X(MOVNTI, "movnti", SSE2, MOV, 0, 0, 0, 0)

/* Transfers of control. */
#define X86_OPS_BRANCH(X) \
    X(JCC, "j", BASE, FLOW, aBR, fALL & ~fA, 0, 0) \
    X(JMP, "jmp", BASE, FLOW, aBR, 0, 0, 0) \
    X(JMP_IND, "jmp", BASE, FLOW, aBR, 0, 0, 0) \
    X(JMP_FAR, "jmp far", BASE, SYSTEM, aBR | aSYS | aNO64, 0, 0, 0) \
    X(JMP_FAR_IND, "jmp far", BASE, SYSTEM, aBR | aSYS, 0, 0, 0) \
    X(CALL, "call", BASE, FLOW, aBR | aMEM, 0, 0, 0) \
    X(CALL_IND, "call", BASE, FLOW, aBR | aPART | aMEM, 0, 0, 0) \
    X(CALL_FAR, "call far", BASE, SYSTEM, aBR | aSYS | aNO64 | aMEM, 0, 0, 0) \
    X(CALL_FAR_IND, "call far", BASE, SYSTEM, aBR | aSYS | aMEM, 0, 0, 0) \
    X(RET, "ret", BASE, FLOW, aBR | aMEM, 0, 0, 0) \
    X(RET_FAR, "retf", BASE, SYSTEM, aBR | aSYS | aMEM, 0, 0, 0) \
    X(LOOP, "loop", BASE, FLOW, aBR, 0, 0, 0) \
    X(LOOPE, "loope", BASE, FLOW, aBR, fZ, 0, 0) \
    X(LOOPNE, "loopne", BASE, FLOW, aBR, fZ, 0, 0) \
    X(JCXZ, "jcxz", BASE, FLOW, aBR, 0, 0, 0) \
    X(INT, "int", BASE, SYSTEM, aBR | aSYS | aMEM, 0, 0, 0) \
    X(INT1, "int1", BASE, SYSTEM, aBR | aSYS | aMEM, 0, 0, 0) \
    X(INT3, "int3", BASE, SYSTEM, aBR | aSYS | aMEM, 0, 0, 0) \
    X(INTO, "into", BASE, SYSTEM, aBR | aSYS | aNO64 | aMEM, fO, 0, 0) \
    X(IRET, "iret", BASE, SYSTEM, aBR | aSYS | aMEM, 0, fALL, 0) \
    X(UD0, "ud0", BASE, FLOW, aBR, 0, 0, 0) \
    X(UD1, "ud1", BASE, FLOW, aBR, 0, 0, 0) \
    X(UD2, "ud2", BASE, FLOW, aBR, 0, 0, 0) \
    X(SYSCALL, "syscall", SYSCALL, SYSTEM, aBR | aSYS | aO64, 0, 0, 0) \
    X(SYSRET, "sysret", SYSCALL, SYSTEM, aBR | aSYS | aPRIV | aO64, 0, fALL, 0) \
    X(SYSENTER, "sysenter", BASE, SYSTEM, aBR | aSYS, 0, 0, 0) \
    X(SYSEXIT, "sysexit", BASE, SYSTEM, aBR | aSYS | aPRIV, 0, 0, 0) \
    X(RSM, "rsm", BASE, SYSTEM, aBR | aSYS, 0, fALL, 0)

/* Bit manipulation and other extensions on general registers. */
#define X86_OPS_BITS(X) \
    X(ANDN, "andn", BMI1, BMI, 0, 0, fALL & ~(fA | fP), fA | fP) \
    X(BLSI, "blsi", BMI1, BMI, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BLSMSK, "blsmsk", BMI1, BMI, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BLSR, "blsr", BMI1, BMI, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BEXTR, "bextr", BMI1, BMI, 0, 0, fO | fZ | fC, fS | fA | fP) \
    X(TZCNT, "tzcnt", BMI1, BIT, aCOPY, 0, fZ | fC, fO | fS | fA | fP) \
    X(LZCNT, "lzcnt", LZCNT, BIT, aCOPY, 0, fZ | fC, fO | fS | fA | fP) \
    X(POPCNT, "popcnt", POPCNT, BIT, aCOPY, 0, fALL, 0) \
    X(BZHI, "bzhi", BMI2, BMI, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(MULX, "mulx", BMI2, MULDIV, 0, 0, 0, 0) \
    X(PDEP, "pdep", BMI2, BMI, 0, 0, 0, 0) \
    X(PEXT, "pext", BMI2, BMI, 0, 0, 0, 0) \
    X(RORX, "rorx", BMI2, BMI, 0, 0, 0, 0) \
    X(SARX, "sarx", BMI2, BMI, 0, 0, 0, 0) \
    X(SHLX, "shlx", BMI2, BMI, 0, 0, 0, 0) \
    X(SHRX, "shrx", BMI2, BMI, 0, 0, 0, 0) \
    X(ADCX, "adcx", ADX, BIT, aCOPY, fC, fC, 0) \
    X(ADOX, "adox", ADX, BIT, aCOPY, fO, fO, 0) \
    X(MOVBE, "movbe", MOVBE, MOV, 0, 0, 0, 0) \
    X(CRC32, "crc32", SSE4_2, BIT, aCOPY, 0, 0, 0) \
    X(RDRAND, "rdrand", RDRAND, MISC, 0, 0, fALL, 0) \
    X(RDSEED, "rdseed", RDSEED, MISC, 0, 0, fALL, 0)

/* System instructions, SDM vol. 3, 2.8. */
#define X86_OPS_SYSTEM(X) \
    X(MOV_TO_CR, "mov", BASE, SYSTEM, aPRIV | aSYS, 0, 0, fALL) \
    X(MOV_FROM_CR, "mov", BASE, SYSTEM, aPRIV, 0, 0, fALL) \
    X(MOV_TO_DR, "mov", BASE, SYSTEM, aPRIV | aSYS, 0, 0, fALL) \
    X(MOV_FROM_DR, "mov", BASE, SYSTEM, aPRIV, 0, 0, fALL) \
    X(CLTS, "clts", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(LMSW, "lmsw", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(SMSW, "smsw", BASE, SYSTEM, 0, 0, 0, 0) \
    X(LGDT, "lgdt", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(LIDT, "lidt", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(SGDT, "sgdt", BASE, SYSTEM, 0, 0, 0, 0) \
    X(SIDT, "sidt", BASE, SYSTEM, 0, 0, 0, 0) \
    X(LLDT, "lldt", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(LTR, "ltr", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(SLDT, "sldt", BASE, SYSTEM, 0, 0, 0, 0) \
    X(STR, "str", BASE, SYSTEM, 0, 0, 0, 0) \
    X(LAR, "lar", BASE, SYSTEM, 0, 0, fZ, 0) \
    X(LSL, "lsl", BASE, SYSTEM, 0, 0, fZ, 0) \
    X(VERR, "verr", BASE, SYSTEM, 0, 0, fZ, 0) \
    X(VERW, "verw", BASE, SYSTEM, 0, 0, fZ, 0) \
    X(INVLPG, "invlpg", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(INVPCID, "invpcid", INVPCID, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(INVD, "invd", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(WBINVD, "wbinvd", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(HLT, "hlt", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(CLI, "cli", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(STI, "sti", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(STAC, "stac", SMAP, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(CLAC, "clac", SMAP, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(CPUID, "cpuid", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(RDTSC, "rdtsc", BASE, SYSTEM, 0, 0, 0, 0) \
    X(RDTSCP, "rdtscp", RDTSCP, SYSTEM, 0, 0, 0, 0) \
    X(RDPMC, "rdpmc", BASE, SYSTEM, 0, 0, 0, 0) \
    X(RDPID, "rdpid", RDPID, SYSTEM, 0, 0, 0, 0) \
    X(RDMSR, "rdmsr", BASE, SYSTEM, aPRIV, 0, 0, 0) \
    X(WRMSR, "wrmsr", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(XGETBV, "xgetbv", XSAVE, SYSTEM, 0, 0, 0, 0) \
    X(XSETBV, "xsetbv", XSAVE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(SWAPGS, "swapgs", LM, SYSTEM, aPRIV | aSYS | aO64, 0, 0, 0) \
    X(RDFSBASE, "rdfsbase", FSGSBASE, SYSTEM, aO64, 0, 0, 0) \
    X(RDGSBASE, "rdgsbase", FSGSBASE, SYSTEM, aO64, 0, 0, 0) \
    X(WRFSBASE, "wrfsbase", FSGSBASE, SYSTEM, aO64 | aSYS, 0, 0, 0) \
    X(WRGSBASE, "wrgsbase", FSGSBASE, SYSTEM, aO64 | aSYS, 0, 0, 0) \
    X(MONITOR, "monitor", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(MWAIT, "mwait", BASE, SYSTEM, aPRIV | aSYS, 0, 0, 0) \
    X(VMCALL, "vmcall", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(VMMCALL, "vmmcall", BASE, SYSTEM, aSYS, 0, 0, 0) \
    X(XSAVE, "xsave", XSAVE, FPU_STATE, 0, 0, 0, 0) \
    X(XRSTOR, "xrstor", XSAVE, FPU_STATE, aSYS, 0, 0, 0) \
    X(XSAVEOPT, "xsaveopt", XSAVEOPT, FPU_STATE, 0, 0, 0, 0) \
    X(XSAVEC, "xsavec", XSAVEC, FPU_STATE, 0, 0, 0, 0) \
    X(FXSAVE, "fxsave", BASE, FPU_STATE, 0, 0, 0, 0) \
    X(FXRSTOR, "fxrstor", BASE, FPU_STATE, 0, 0, 0, 0)

/* x87, with the undocumented aliases' own names folded into the documented operation. */
#define X86_OPS_X87(X) \
    X(FADD, "fadd", BASE, FPU, aX87, 0, 0, 0) \
    X(FADDP, "faddp", BASE, FPU, aX87, 0, 0, 0) \
    X(FIADD, "fiadd", BASE, FPU, aX87, 0, 0, 0) \
    X(FSUB, "fsub", BASE, FPU, aX87, 0, 0, 0) \
    X(FSUBP, "fsubp", BASE, FPU, aX87, 0, 0, 0) \
    X(FISUB, "fisub", BASE, FPU, aX87, 0, 0, 0) \
    X(FSUBR, "fsubr", BASE, FPU, aX87, 0, 0, 0) \
    X(FSUBRP, "fsubrp", BASE, FPU, aX87, 0, 0, 0) \
    X(FISUBR, "fisubr", BASE, FPU, aX87, 0, 0, 0) \
    X(FMUL, "fmul", BASE, FPU, aX87, 0, 0, 0) \
    X(FMULP, "fmulp", BASE, FPU, aX87, 0, 0, 0) \
    X(FIMUL, "fimul", BASE, FPU, aX87, 0, 0, 0) \
    X(FDIV, "fdiv", BASE, FPU, aX87, 0, 0, 0) \
    X(FDIVP, "fdivp", BASE, FPU, aX87, 0, 0, 0) \
    X(FIDIV, "fidiv", BASE, FPU, aX87, 0, 0, 0) \
    X(FDIVR, "fdivr", BASE, FPU, aX87, 0, 0, 0) \
    X(FDIVRP, "fdivrp", BASE, FPU, aX87, 0, 0, 0) \
    X(FIDIVR, "fidivr", BASE, FPU, aX87, 0, 0, 0) \
    X(FCOM, "fcom", BASE, FPU, aX87, 0, 0, 0) \
    X(FCOMP, "fcomp", BASE, FPU, aX87, 0, 0, 0) \
    X(FCOMPP, "fcompp", BASE, FPU, aX87, 0, 0, 0) \
    X(FICOM, "ficom", BASE, FPU, aX87, 0, 0, 0) \
    X(FICOMP, "ficomp", BASE, FPU, aX87, 0, 0, 0) \
    X(FUCOM, "fucom", BASE, FPU, aX87, 0, 0, 0) \
    X(FUCOMP, "fucomp", BASE, FPU, aX87, 0, 0, 0) \
    X(FUCOMPP, "fucompp", BASE, FPU, aX87, 0, 0, 0) \
    X(FTST, "ftst", BASE, FPU, aX87, 0, 0, 0) \
    X(FXAM, "fxam", BASE, FPU, aX87, 0, 0, 0) \
    X(FCOMI, "fcomi", BASE, FPU, aX87, 0, fALL, 0) \
    X(FCOMIP, "fcomip", BASE, FPU, aX87, 0, fALL, 0) \
    X(FUCOMI, "fucomi", BASE, FPU, aX87, 0, fALL, 0) \
    X(FUCOMIP, "fucomip", BASE, FPU, aX87, 0, fALL, 0) \
    X(FLD, "fld", BASE, FPU, aX87, 0, 0, 0) \
    X(FILD, "fild", BASE, FPU, aX87, 0, 0, 0) \
    X(FBLD, "fbld", BASE, FPU, aX87, 0, 0, 0) \
    X(FST, "fst", BASE, FPU, aX87, 0, 0, 0) \
    X(FSTP, "fstp", BASE, FPU, aX87, 0, 0, 0) \
    X(FSTPNCE, "fstpnce", BASE, FPU, aX87, 0, 0, 0) \
    X(FIST, "fist", BASE, FPU, aX87, 0, 0, 0) \
    X(FISTP, "fistp", BASE, FPU, aX87, 0, 0, 0) \
    X(FISTTP, "fisttp", BASE, FPU, aX87, 0, 0, 0) \
    X(FBSTP, "fbstp", BASE, FPU, aX87, 0, 0, 0) \
    X(FXCH, "fxch", BASE, FPU, aX87, 0, 0, 0) \
    X(FCMOVB, "fcmovb", BASE, FPU, aX87, fC, 0, 0) \
    X(FCMOVNB, "fcmovnb", BASE, FPU, aX87, fC, 0, 0) \
    X(FCMOVE, "fcmove", BASE, FPU, aX87, fZ, 0, 0) \
    X(FCMOVNE, "fcmovne", BASE, FPU, aX87, fZ, 0, 0) \
    X(FCMOVBE, "fcmovbe", BASE, FPU, aX87, fC | fZ, 0, 0) \
    X(FCMOVNBE, "fcmovnbe", BASE, FPU, aX87, fC | fZ, 0, 0) \
    X(FCMOVU, "fcmovu", BASE, FPU, aX87, fP, 0, 0) \
    X(FCMOVNU, "fcmovnu", BASE, FPU, aX87, fP, 0, 0) \
    X(FLD1, "fld1", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDL2T, "fldl2t", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDL2E, "fldl2e", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDPI, "fldpi", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDLG2, "fldlg2", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDLN2, "fldln2", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDZ, "fldz", BASE, FPU, aX87, 0, 0, 0) \
    X(FCHS, "fchs", BASE, FPU, aX87, 0, 0, 0) \
    X(FABS, "fabs", BASE, FPU, aX87, 0, 0, 0) \
    X(F2XM1, "f2xm1", BASE, FPU, aX87, 0, 0, 0) \
    X(FYL2X, "fyl2x", BASE, FPU, aX87, 0, 0, 0) \
    X(FPTAN, "fptan", BASE, FPU, aX87, 0, 0, 0) \
    X(FPATAN, "fpatan", BASE, FPU, aX87, 0, 0, 0) \
    X(FXTRACT, "fxtract", BASE, FPU, aX87, 0, 0, 0) \
    X(FPREM1, "fprem1", BASE, FPU, aX87, 0, 0, 0) \
    X(FDECSTP, "fdecstp", BASE, FPU, aX87, 0, 0, 0) \
    X(FINCSTP, "fincstp", BASE, FPU, aX87, 0, 0, 0) \
    X(FPREM, "fprem", BASE, FPU, aX87, 0, 0, 0) \
    X(FYL2XP1, "fyl2xp1", BASE, FPU, aX87, 0, 0, 0) \
    X(FSQRT, "fsqrt", BASE, FPU, aX87, 0, 0, 0) \
    X(FSINCOS, "fsincos", BASE, FPU, aX87, 0, 0, 0) \
    X(FRNDINT, "frndint", BASE, FPU, aX87, 0, 0, 0) \
    X(FSCALE, "fscale", BASE, FPU, aX87, 0, 0, 0) \
    X(FSIN, "fsin", BASE, FPU, aX87, 0, 0, 0) \
    X(FCOS, "fcos", BASE, FPU, aX87, 0, 0, 0) \
    X(FNOP, "fnop", BASE, FPU, aX87, 0, 0, 0) \
    X(FFREE, "ffree", BASE, FPU, aX87, 0, 0, 0) \
    X(FFREEP, "ffreep", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDCW, "fldcw", BASE, FPU, aX87, 0, 0, 0) \
    X(FNSTCW, "fnstcw", BASE, FPU, aX87, 0, 0, 0) \
    X(FNSTSW, "fnstsw", BASE, FPU, aX87, 0, 0, 0) \
    X(FLDENV, "fldenv", BASE, FPU, aX87, 0, 0, 0) \
    X(FNSTENV, "fnstenv", BASE, FPU, aX87, 0, 0, 0) \
    X(FRSTOR, "frstor", BASE, FPU, aX87, 0, 0, 0) \
    X(FNSAVE, "fnsave", BASE, FPU, aX87, 0, 0, 0) \
    X(FNCLEX, "fnclex", BASE, FPU, aX87, 0, 0, 0) \
    X(FNINIT, "fninit", BASE, FPU, aX87, 0, 0, 0) \
    X(FWAIT, "fwait", BASE, FPU, aX87, 0, 0, 0) \
    X(FNENI, "fneni", BASE, FPU, aX87, 0, 0, 0) \
    X(FNDISI, "fndisi", BASE, FPU, aX87, 0, 0, 0) \
    X(FNSETPM, "fnsetpm", BASE, FPU, aX87, 0, 0, 0)

#define X86_OPS(X) \
    X86_OPS_INT(X) X86_OPS_BRANCH(X) X86_OPS_BITS(X) X86_OPS_SYSTEM(X) X86_OPS_X87(X) \
    X86_OPS_MMX(X) X86_OPS_SSE(X) X86_OPS_AVX(X)

enum x86_op {
#define X86_OP_ENUM(id, name, feature, family, attr, used, set, undefined) X86_OP_##id,
    X86_OPS(X86_OP_ENUM)
#undef X86_OP_ENUM
    X86_OP_COUNT,
};

#endif
