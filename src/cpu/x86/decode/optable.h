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
    X(ROL, "rol", BASE, 0, 0, fO | fC, 0) \
    X(ROR, "ror", BASE, 0, 0, fO | fC, 0) \
    X(RCL, "rcl", BASE, 0, fC, fO | fC, 0) \
    X(RCR, "rcr", BASE, 0, fC, fO | fC, 0) \
    X(SHL, "shl", BASE, 0, 0, fALL & ~fA, fA) \
    X(SHR, "shr", BASE, 0, 0, fALL & ~fA, fA) \
    X(SAR, "sar", BASE, 0, 0, fALL & ~fA, fA) \
    X(SHLD, "shld", BASE, 0, 0, fALL & ~fA, fA) \
    X(SHRD, "shrd", BASE, 0, 0, fALL & ~fA, fA) \
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
    X(BSF, "bsf", BASE, 0, 0, fZ, fALL & ~fZ) \
    X(BSR, "bsr", BASE, 0, 0, fZ, fALL & ~fZ) \
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
    X(CALL_IND, "call", BASE, aBR, 0, 0, 0) \
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
    X(CVTPD2PI, "cvtpd2pi", SSE2, aSSE | aMMX, 0, 0, 0) \
    X(CVTTPD2PI, "cvttpd2pi", SSE2, aSSE | aMMX, 0, 0, 0)

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
    X(VPGATHERDD, "vpgatherdd", AVX2, aAVX, 0, 0, 0) \
    X(VPGATHERDQ, "vpgatherdq", AVX2, aAVX, 0, 0, 0) \
    X(VPGATHERQD, "vpgatherqd", AVX2, aAVX, 0, 0, 0) \
    X(VPGATHERQQ, "vpgatherqq", AVX2, aAVX, 0, 0, 0) \
    X(VGATHERDPS, "vgatherdps", AVX2, aAVX, 0, 0, 0) \
    X(VGATHERDPD, "vgatherdpd", AVX2, aAVX, 0, 0, 0) \
    X(VGATHERQPS, "vgatherqps", AVX2, aAVX, 0, 0, 0) \
    X(VGATHERQPD, "vgatherqpd", AVX2, aAVX, 0, 0, 0) \
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
