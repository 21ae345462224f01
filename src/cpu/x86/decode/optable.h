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
 * X(enum suffix, name, feature, attributes, flags used, set, undefined); the short words of the
 * last five columns are defined where the table is expanded. */
#ifndef VZ_CPU_X86_OPTABLE_H
#define VZ_CPU_X86_OPTABLE_H

#include "cpu/x86/decode/optable_vector.h"

/* Integer, general: SDM vol. 2. */
#define X86_OPS_INT(X) \
    X(INVALID, "(bad)", BASE, 0, 0, 0, 0) \
    X(ADD, "add", BASE, aLOCK, 0, fALL, 0) \
    X(ADC, "adc", BASE, aLOCK, fC, fALL, 0) \
    X(SBB, "sbb", BASE, aLOCK, fC, fALL, 0) \
    X(SUB, "sub", BASE, aLOCK, 0, fALL, 0) \
    X(AND, "and", BASE, aLOCK, 0, fALL & ~fA, fA) \
    X(OR, "or", BASE, aLOCK, 0, fALL & ~fA, fA) \
    X(XOR, "xor", BASE, aLOCK, 0, fALL & ~fA, fA) \
    X(CMP, "cmp", BASE, 0, 0, fALL, 0) \
    X(TEST, "test", BASE, 0, 0, fALL & ~fA, fA) \
    X(INC, "inc", BASE, aLOCK, 0, fALL & ~fC, 0) \
    X(DEC, "dec", BASE, aLOCK, 0, fALL & ~fC, 0) \
    X(NEG, "neg", BASE, aLOCK, 0, fALL, 0) \
    X(NOT, "not", BASE, aLOCK, 0, 0, 0) \
    X(MUL, "mul", BASE, 0, 0, fO | fC, fS | fZ | fA | fP) \
    X(IMUL, "imul", BASE, 0, 0, fO | fC, fS | fZ | fA | fP) \
    X(DIV, "div", BASE, 0, 0, 0, fALL) \
    X(IDIV, "idiv", BASE, 0, 0, 0, fALL) \
    X(ROL, "rol", BASE, aUCNT, 0, fO | fC, fO) \
    X(ROR, "ror", BASE, aUCNT, 0, fO | fC, fO) \
    X(RCL, "rcl", BASE, aUCNT, fC, fO | fC, fO) \
    X(RCR, "rcr", BASE, aUCNT, fC, fO | fC, fO) \
    X(SHL, "shl", BASE, aUCNT, 0, fALL & ~fA, fO | fA | fC) \
    X(SHR, "shr", BASE, aUCNT, 0, fALL & ~fA, fO | fA | fC) \
    X(SAR, "sar", BASE, aUCNT, 0, fALL & ~fA, fO | fA) \
    X(SHLD, "shld", BASE, aUCNT | aUDST, 0, fALL & ~fA, fALL) \
    X(SHRD, "shrd", BASE, aUCNT | aUDST, 0, fALL & ~fA, fALL) \
    X(MOV, "mov", BASE, 0, 0, 0, 0) \
    X(MOVZX, "movzx", BASE, 0, 0, 0, 0) \
    X(MOVSX, "movsx", BASE, 0, 0, 0, 0) \
    X(MOVSXD, "movsxd", LM, aO64, 0, 0, 0) \
    X(LEA, "lea", BASE, 0, 0, 0, 0) \
    X(NOP, "nop", BASE, 0, 0, 0, 0) \
    X(XLAT, "xlat", BASE, 0, 0, 0, 0) \
    X(BSWAP, "bswap", BASE, 0, 0, 0, 0) \
    X(PAUSE, "pause", BASE, 0, 0, 0, 0) \
    X(XCHG, "xchg", BASE, aLOCK, 0, 0, 0) \
    X(XADD, "xadd", BASE, aLOCK, 0, fALL, 0) \
    X(CMPXCHG, "cmpxchg", BASE, aLOCK, 0, fALL, 0) \
    X(CMPXCHG8B, "cmpxchg8b", BASE, aLOCK, 0, fZ, 0) \
    X(CMPXCHG16B, "cmpxchg16b", CX16, aLOCK | aO64, 0, fZ, 0) \
    X(BT, "bt", BASE, 0, 0, fC, fO | fS | fA | fP) \
    X(BTS, "bts", BASE, aLOCK, 0, fC, fO | fS | fA | fP) \
    X(BTR, "btr", BASE, aLOCK, 0, fC, fO | fS | fA | fP) \
    X(BTC, "btc", BASE, aLOCK, 0, fC, fO | fS | fA | fP) \
    X(BSF, "bsf", BASE, aUDST, 0, fZ, fALL & ~fZ) \
    X(BSR, "bsr", BASE, aUDST, 0, fZ, fALL & ~fZ) \
    X(SETCC, "set", BASE, 0, fALL & ~fA, 0, 0) \
    X(CMOVCC, "cmov", BASE, 0, fALL & ~fA, 0, 0) \
    X(CBW, "cbw", BASE, 0, 0, 0, 0) \
    X(CWD, "cwd", BASE, 0, 0, 0, 0) \
    X(CMC, "cmc", BASE, 0, fC, fC, 0) \
    X(CLC, "clc", BASE, 0, 0, fC, 0) \
    X(STC, "stc", BASE, 0, 0, fC, 0) \
    X(CLD, "cld", BASE, 0, 0, 0, 0) \
    X(STD, "std", BASE, 0, 0, 0, 0) \
    X(LAHF, "lahf", BASE, 0, fALL & ~fO, 0, 0) \
    X(SAHF, "sahf", BASE, 0, 0, fALL & ~fO, 0) \
    X(SALC, "salc", BASE, aNO64, fC, 0, 0) \
    X(AAA, "aaa", BASE, aNO64, fA, fA | fC, fO | fS | fZ | fP) \
    X(AAS, "aas", BASE, aNO64, fA, fA | fC, fO | fS | fZ | fP) \
    X(AAM, "aam", BASE, aNO64, 0, fS | fZ | fP, fO | fA | fC) \
    X(AAD, "aad", BASE, aNO64, 0, fS | fZ | fP, fO | fA | fC) \
    X(DAA, "daa", BASE, aNO64, fA | fC, fALL & ~fO, fO) \
    X(DAS, "das", BASE, aNO64, fA | fC, fALL & ~fO, fO) \
    X(PUSH, "push", BASE, 0, 0, 0, 0) \
    X(POP, "pop", BASE, 0, 0, 0, 0) \
    X(PUSH_SEG, "push", BASE, 0, 0, 0, 0) \
    X(POP_SEG, "pop", BASE, aSYS, 0, 0, 0) \
    X(PUSHA, "pusha", BASE, aNO64, 0, 0, 0) \
    X(POPA, "popa", BASE, aNO64, 0, 0, 0) \
    X(PUSHF, "pushf", BASE, 0, fALL, 0, 0) \
    X(POPF, "popf", BASE, aSYS, 0, fALL, 0) \
    X(ENTER, "enter", BASE, 0, 0, 0, 0) \
    X(LEAVE, "leave", BASE, 0, 0, 0, 0) \
    X(MOVS, "movs", BASE, aSTR | aREP, 0, 0, 0) \
    X(STOS, "stos", BASE, aSTR | aREP, 0, 0, 0) \
    X(LODS, "lods", BASE, aSTR | aREP, 0, 0, 0) \
    X(CMPS, "cmps", BASE, aSTR | aREP, 0, fALL, 0) \
    X(SCAS, "scas", BASE, aSTR | aREP, 0, fALL, 0) \
    X(INS, "ins", BASE, aSTR | aREP | aSYS, 0, 0, 0) \
    X(OUTS, "outs", BASE, aSTR | aREP | aSYS, 0, 0, 0) \
    X(IN, "in", BASE, aSYS, 0, 0, 0) \
    X(OUT, "out", BASE, aSYS, 0, 0, 0) \
    X(BOUND, "bound", BASE, aNO64, 0, 0, 0) \
    X(ARPL, "arpl", BASE, aNO64, 0, fZ, 0) \
    X(LES, "les", BASE, aNO64 | aSYS, 0, 0, 0) \
    X(LDS, "lds", BASE, aNO64 | aSYS, 0, 0, 0) \
    X(LSS, "lss", BASE, aSYS, 0, 0, 0) \
    X(LFS, "lfs", BASE, aSYS, 0, 0, 0) \
    X(LGS, "lgs", BASE, aSYS, 0, 0, 0) \
    X(MOV_TO_SEG, "mov", BASE, aSYS, 0, 0, 0) \
    X(MOV_FROM_SEG, "mov", BASE, 0, 0, 0, 0) \
    X(PREFETCHT0, "prefetcht0", BASE, 0, 0, 0, 0) \
    X(PREFETCHT1, "prefetcht1", BASE, 0, 0, 0, 0) \
    X(PREFETCHT2, "prefetcht2", BASE, 0, 0, 0, 0) \
    X(PREFETCHNTA, "prefetchnta", BASE, 0, 0, 0, 0) \
    X(PREFETCHW, "prefetchw", PREFETCHW, 0, 0, 0, 0) \
    X(PREFETCHWT1, "prefetchwt1", PREFETCHW, 0, 0, 0, 0) \
    X(PREFETCH, "prefetch", PREFETCHW, 0, 0, 0, 0) \
    X(ENDBR32, "endbr32", BASE, 0, 0, 0, 0) \
    X(ENDBR64, "endbr64", BASE, 0, 0, 0, 0) \
    X(CLFLUSH, "clflush", BASE, 0, 0, 0, 0) \
    X(CLFLUSHOPT, "clflushopt", CLFLUSHOPT, 0, 0, 0, 0) \
    X(CLWB, "clwb", CLWB, 0, 0, 0, 0) \
    X(LFENCE, "lfence", BASE, 0, 0, 0, 0) \
    X(MFENCE, "mfence", BASE, 0, 0, 0, 0) \
    X(SFENCE, "sfence", BASE, 0, 0, 0, 0) \
    X(MOVNTI, "movnti", SSE2, 0, 0, 0, 0)

/* Transfers of control. */
#define X86_OPS_BRANCH(X) \
    X(JCC, "j", BASE, aBR, fALL & ~fA, 0, 0) \
    X(JMP, "jmp", BASE, aBR, 0, 0, 0) \
    X(JMP_IND, "jmp", BASE, aBR, 0, 0, 0) \
    X(JMP_FAR, "jmp far", BASE, aBR | aSYS | aNO64, 0, 0, 0) \
    X(JMP_FAR_IND, "jmp far", BASE, aBR | aSYS, 0, 0, 0) \
    X(CALL, "call", BASE, aBR, 0, 0, 0) \
    X(CALL_IND, "call", BASE, aBR | aPART, 0, 0, 0) \
    X(CALL_FAR, "call far", BASE, aBR | aSYS | aNO64, 0, 0, 0) \
    X(CALL_FAR_IND, "call far", BASE, aBR | aSYS, 0, 0, 0) \
    X(RET, "ret", BASE, aBR, 0, 0, 0) \
    X(RET_FAR, "retf", BASE, aBR | aSYS, 0, 0, 0) \
    X(LOOP, "loop", BASE, aBR, 0, 0, 0) \
    X(LOOPE, "loope", BASE, aBR, fZ, 0, 0) \
    X(LOOPNE, "loopne", BASE, aBR, fZ, 0, 0) \
    X(JCXZ, "jcxz", BASE, aBR, 0, 0, 0) \
    X(INT, "int", BASE, aBR | aSYS, 0, 0, 0) \
    X(INT1, "int1", BASE, aBR | aSYS, 0, 0, 0) \
    X(INT3, "int3", BASE, aBR | aSYS, 0, 0, 0) \
    X(INTO, "into", BASE, aBR | aSYS | aNO64, fO, 0, 0) \
    X(IRET, "iret", BASE, aBR | aSYS, 0, fALL, 0) \
    X(UD0, "ud0", BASE, aBR, 0, 0, 0) \
    X(UD1, "ud1", BASE, aBR, 0, 0, 0) \
    X(UD2, "ud2", BASE, aBR, 0, 0, 0) \
    X(SYSCALL, "syscall", SYSCALL, aBR | aSYS | aO64, 0, 0, 0) \
    X(SYSRET, "sysret", SYSCALL, aBR | aSYS | aPRIV | aO64, 0, fALL, 0) \
    X(SYSENTER, "sysenter", BASE, aBR | aSYS, 0, 0, 0) \
    X(SYSEXIT, "sysexit", BASE, aBR | aSYS | aPRIV, 0, 0, 0) \
    X(RSM, "rsm", BASE, aBR | aSYS, 0, fALL, 0)

/* Bit manipulation and other extensions on general registers. */
#define X86_OPS_BITS(X) \
    X(ANDN, "andn", BMI1, 0, 0, fALL & ~(fA | fP), fA | fP) \
    X(BLSI, "blsi", BMI1, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BLSMSK, "blsmsk", BMI1, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BLSR, "blsr", BMI1, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(BEXTR, "bextr", BMI1, 0, 0, fO | fZ | fC, fS | fA | fP) \
    X(TZCNT, "tzcnt", BMI1, 0, 0, fZ | fC, fO | fS | fA | fP) \
    X(LZCNT, "lzcnt", LZCNT, 0, 0, fZ | fC, fO | fS | fA | fP) \
    X(POPCNT, "popcnt", POPCNT, 0, 0, fALL, 0) \
    X(BZHI, "bzhi", BMI2, 0, 0, fO | fS | fZ | fC, fA | fP) \
    X(MULX, "mulx", BMI2, 0, 0, 0, 0) \
    X(PDEP, "pdep", BMI2, 0, 0, 0, 0) \
    X(PEXT, "pext", BMI2, 0, 0, 0, 0) \
    X(RORX, "rorx", BMI2, 0, 0, 0, 0) \
    X(SARX, "sarx", BMI2, 0, 0, 0, 0) \
    X(SHLX, "shlx", BMI2, 0, 0, 0, 0) \
    X(SHRX, "shrx", BMI2, 0, 0, 0, 0) \
    X(ADCX, "adcx", ADX, 0, fC, fC, 0) \
    X(ADOX, "adox", ADX, 0, fO, fO, 0) \
    X(MOVBE, "movbe", MOVBE, 0, 0, 0, 0) \
    X(CRC32, "crc32", SSE4_2, 0, 0, 0, 0) \
    X(RDRAND, "rdrand", RDRAND, 0, 0, fALL, 0) \
    X(RDSEED, "rdseed", RDSEED, 0, 0, fALL, 0)

/* System instructions, SDM vol. 3, 2.8. */
#define X86_OPS_SYSTEM(X) \
    X(MOV_TO_CR, "mov", BASE, aPRIV | aSYS, 0, 0, fALL) \
    X(MOV_FROM_CR, "mov", BASE, aPRIV, 0, 0, fALL) \
    X(MOV_TO_DR, "mov", BASE, aPRIV | aSYS, 0, 0, fALL) \
    X(MOV_FROM_DR, "mov", BASE, aPRIV, 0, 0, fALL) \
    X(CLTS, "clts", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(LMSW, "lmsw", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(SMSW, "smsw", BASE, 0, 0, 0, 0) \
    X(LGDT, "lgdt", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(LIDT, "lidt", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(SGDT, "sgdt", BASE, 0, 0, 0, 0) \
    X(SIDT, "sidt", BASE, 0, 0, 0, 0) \
    X(LLDT, "lldt", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(LTR, "ltr", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(SLDT, "sldt", BASE, 0, 0, 0, 0) \
    X(STR, "str", BASE, 0, 0, 0, 0) \
    X(LAR, "lar", BASE, 0, 0, fZ, 0) \
    X(LSL, "lsl", BASE, 0, 0, fZ, 0) \
    X(VERR, "verr", BASE, 0, 0, fZ, 0) \
    X(VERW, "verw", BASE, 0, 0, fZ, 0) \
    X(INVLPG, "invlpg", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(INVPCID, "invpcid", INVPCID, aPRIV | aSYS, 0, 0, 0) \
    X(INVD, "invd", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(WBINVD, "wbinvd", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(HLT, "hlt", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(CLI, "cli", BASE, aSYS, 0, 0, 0) \
    X(STI, "sti", BASE, aSYS, 0, 0, 0) \
    X(STAC, "stac", SMAP, aPRIV | aSYS, 0, 0, 0) \
    X(CLAC, "clac", SMAP, aPRIV | aSYS, 0, 0, 0) \
    X(CPUID, "cpuid", BASE, aSYS, 0, 0, 0) \
    X(RDTSC, "rdtsc", BASE, 0, 0, 0, 0) \
    X(RDTSCP, "rdtscp", RDTSCP, 0, 0, 0, 0) \
    X(RDPMC, "rdpmc", BASE, 0, 0, 0, 0) \
    X(RDPID, "rdpid", RDPID, 0, 0, 0, 0) \
    X(RDMSR, "rdmsr", BASE, aPRIV, 0, 0, 0) \
    X(WRMSR, "wrmsr", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(XGETBV, "xgetbv", XSAVE, 0, 0, 0, 0) \
    X(XSETBV, "xsetbv", XSAVE, aPRIV | aSYS, 0, 0, 0) \
    X(SWAPGS, "swapgs", LM, aPRIV | aSYS | aO64, 0, 0, 0) \
    X(RDFSBASE, "rdfsbase", FSGSBASE, aO64, 0, 0, 0) \
    X(RDGSBASE, "rdgsbase", FSGSBASE, aO64, 0, 0, 0) \
    X(WRFSBASE, "wrfsbase", FSGSBASE, aO64 | aSYS, 0, 0, 0) \
    X(WRGSBASE, "wrgsbase", FSGSBASE, aO64 | aSYS, 0, 0, 0) \
    X(MONITOR, "monitor", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(MWAIT, "mwait", BASE, aPRIV | aSYS, 0, 0, 0) \
    X(VMCALL, "vmcall", BASE, aBR | aSYS, 0, 0, 0) \
    X(VMMCALL, "vmmcall", BASE, aBR | aSYS, 0, 0, 0) \
    X(XSAVE, "xsave", XSAVE, 0, 0, 0, 0) \
    X(XRSTOR, "xrstor", XSAVE, aSYS, 0, 0, 0) \
    X(XSAVEOPT, "xsaveopt", XSAVEOPT, 0, 0, 0, 0) \
    X(XSAVEC, "xsavec", XSAVEC, 0, 0, 0, 0) \
    X(FXSAVE, "fxsave", BASE, 0, 0, 0, 0) \
    X(FXRSTOR, "fxrstor", BASE, 0, 0, 0, 0)

/* x87, with the undocumented aliases' own names folded into the documented operation. */
#define X86_OPS_X87(X) \
    X(FADD, "fadd", BASE, aX87, 0, 0, 0) \
    X(FADDP, "faddp", BASE, aX87, 0, 0, 0) \
    X(FIADD, "fiadd", BASE, aX87, 0, 0, 0) \
    X(FSUB, "fsub", BASE, aX87, 0, 0, 0) \
    X(FSUBP, "fsubp", BASE, aX87, 0, 0, 0) \
    X(FISUB, "fisub", BASE, aX87, 0, 0, 0) \
    X(FSUBR, "fsubr", BASE, aX87, 0, 0, 0) \
    X(FSUBRP, "fsubrp", BASE, aX87, 0, 0, 0) \
    X(FISUBR, "fisubr", BASE, aX87, 0, 0, 0) \
    X(FMUL, "fmul", BASE, aX87, 0, 0, 0) \
    X(FMULP, "fmulp", BASE, aX87, 0, 0, 0) \
    X(FIMUL, "fimul", BASE, aX87, 0, 0, 0) \
    X(FDIV, "fdiv", BASE, aX87, 0, 0, 0) \
    X(FDIVP, "fdivp", BASE, aX87, 0, 0, 0) \
    X(FIDIV, "fidiv", BASE, aX87, 0, 0, 0) \
    X(FDIVR, "fdivr", BASE, aX87, 0, 0, 0) \
    X(FDIVRP, "fdivrp", BASE, aX87, 0, 0, 0) \
    X(FIDIVR, "fidivr", BASE, aX87, 0, 0, 0) \
    X(FCOM, "fcom", BASE, aX87, 0, 0, 0) \
    X(FCOMP, "fcomp", BASE, aX87, 0, 0, 0) \
    X(FCOMPP, "fcompp", BASE, aX87, 0, 0, 0) \
    X(FICOM, "ficom", BASE, aX87, 0, 0, 0) \
    X(FICOMP, "ficomp", BASE, aX87, 0, 0, 0) \
    X(FUCOM, "fucom", BASE, aX87, 0, 0, 0) \
    X(FUCOMP, "fucomp", BASE, aX87, 0, 0, 0) \
    X(FUCOMPP, "fucompp", BASE, aX87, 0, 0, 0) \
    X(FTST, "ftst", BASE, aX87, 0, 0, 0) \
    X(FXAM, "fxam", BASE, aX87, 0, 0, 0) \
    X(FCOMI, "fcomi", BASE, aX87, 0, fALL, 0) \
    X(FCOMIP, "fcomip", BASE, aX87, 0, fALL, 0) \
    X(FUCOMI, "fucomi", BASE, aX87, 0, fALL, 0) \
    X(FUCOMIP, "fucomip", BASE, aX87, 0, fALL, 0) \
    X(FLD, "fld", BASE, aX87, 0, 0, 0) \
    X(FILD, "fild", BASE, aX87, 0, 0, 0) \
    X(FBLD, "fbld", BASE, aX87, 0, 0, 0) \
    X(FST, "fst", BASE, aX87, 0, 0, 0) \
    X(FSTP, "fstp", BASE, aX87, 0, 0, 0) \
    X(FSTPNCE, "fstpnce", BASE, aX87, 0, 0, 0) \
    X(FIST, "fist", BASE, aX87, 0, 0, 0) \
    X(FISTP, "fistp", BASE, aX87, 0, 0, 0) \
    X(FISTTP, "fisttp", BASE, aX87, 0, 0, 0) \
    X(FBSTP, "fbstp", BASE, aX87, 0, 0, 0) \
    X(FXCH, "fxch", BASE, aX87, 0, 0, 0) \
    X(FCMOVB, "fcmovb", BASE, aX87, fC, 0, 0) \
    X(FCMOVNB, "fcmovnb", BASE, aX87, fC, 0, 0) \
    X(FCMOVE, "fcmove", BASE, aX87, fZ, 0, 0) \
    X(FCMOVNE, "fcmovne", BASE, aX87, fZ, 0, 0) \
    X(FCMOVBE, "fcmovbe", BASE, aX87, fC | fZ, 0, 0) \
    X(FCMOVNBE, "fcmovnbe", BASE, aX87, fC | fZ, 0, 0) \
    X(FCMOVU, "fcmovu", BASE, aX87, fP, 0, 0) \
    X(FCMOVNU, "fcmovnu", BASE, aX87, fP, 0, 0) \
    X(FLD1, "fld1", BASE, aX87, 0, 0, 0) \
    X(FLDL2T, "fldl2t", BASE, aX87, 0, 0, 0) \
    X(FLDL2E, "fldl2e", BASE, aX87, 0, 0, 0) \
    X(FLDPI, "fldpi", BASE, aX87, 0, 0, 0) \
    X(FLDLG2, "fldlg2", BASE, aX87, 0, 0, 0) \
    X(FLDLN2, "fldln2", BASE, aX87, 0, 0, 0) \
    X(FLDZ, "fldz", BASE, aX87, 0, 0, 0) \
    X(FCHS, "fchs", BASE, aX87, 0, 0, 0) \
    X(FABS, "fabs", BASE, aX87, 0, 0, 0) \
    X(F2XM1, "f2xm1", BASE, aX87, 0, 0, 0) \
    X(FYL2X, "fyl2x", BASE, aX87, 0, 0, 0) \
    X(FPTAN, "fptan", BASE, aX87, 0, 0, 0) \
    X(FPATAN, "fpatan", BASE, aX87, 0, 0, 0) \
    X(FXTRACT, "fxtract", BASE, aX87, 0, 0, 0) \
    X(FPREM1, "fprem1", BASE, aX87, 0, 0, 0) \
    X(FDECSTP, "fdecstp", BASE, aX87, 0, 0, 0) \
    X(FINCSTP, "fincstp", BASE, aX87, 0, 0, 0) \
    X(FPREM, "fprem", BASE, aX87, 0, 0, 0) \
    X(FYL2XP1, "fyl2xp1", BASE, aX87, 0, 0, 0) \
    X(FSQRT, "fsqrt", BASE, aX87, 0, 0, 0) \
    X(FSINCOS, "fsincos", BASE, aX87, 0, 0, 0) \
    X(FRNDINT, "frndint", BASE, aX87, 0, 0, 0) \
    X(FSCALE, "fscale", BASE, aX87, 0, 0, 0) \
    X(FSIN, "fsin", BASE, aX87, 0, 0, 0) \
    X(FCOS, "fcos", BASE, aX87, 0, 0, 0) \
    X(FNOP, "fnop", BASE, aX87, 0, 0, 0) \
    X(FFREE, "ffree", BASE, aX87, 0, 0, 0) \
    X(FFREEP, "ffreep", BASE, aX87, 0, 0, 0) \
    X(FLDCW, "fldcw", BASE, aX87, 0, 0, 0) \
    X(FNSTCW, "fnstcw", BASE, aX87, 0, 0, 0) \
    X(FNSTSW, "fnstsw", BASE, aX87, 0, 0, 0) \
    X(FLDENV, "fldenv", BASE, aX87, 0, 0, 0) \
    X(FNSTENV, "fnstenv", BASE, aX87, 0, 0, 0) \
    X(FRSTOR, "frstor", BASE, aX87, 0, 0, 0) \
    X(FNSAVE, "fnsave", BASE, aX87, 0, 0, 0) \
    X(FNCLEX, "fnclex", BASE, aX87, 0, 0, 0) \
    X(FNINIT, "fninit", BASE, aX87, 0, 0, 0) \
    X(FWAIT, "fwait", BASE, aX87, 0, 0, 0) \
    X(FNENI, "fneni", BASE, aX87, 0, 0, 0) \
    X(FNDISI, "fndisi", BASE, aX87, 0, 0, 0) \
    X(FNSETPM, "fnsetpm", BASE, aX87, 0, 0, 0)

#define X86_OPS(X) \
    X86_OPS_INT(X) X86_OPS_BRANCH(X) X86_OPS_BITS(X) X86_OPS_SYSTEM(X) X86_OPS_X87(X) \
    X86_OPS_MMX(X) X86_OPS_SSE(X) X86_OPS_AVX(X)

enum x86_op {
#define X86_OP_ENUM(id, name, feature, attr, used, set, undefined) X86_OP_##id,
    X86_OPS(X86_OP_ENUM)
#undef X86_OP_ENUM
    X86_OP_COUNT,
};

#endif
