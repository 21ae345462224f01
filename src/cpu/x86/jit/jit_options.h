/* SPDX-License-Identifier: MIT */
/* How the JIT is to work: a word or number for each thing that can be chosen, for users (--jit) and
 * for finding out which optimisation is to blame. The text is words with commas between:
 *
 *   on | off         translate hot code (the default), or interpret everything
 *   check            interpret what is translated too, and stop where they differ (check.h)
 *   check=N          likewise, but no block more than N times
 *   perf             name translated code in /tmp/perf-PID.map, for perf
 *   record           write what is translated to /tmp/vz-code-PID (record.h)
 *   no-NAME          without one optimisation, see enum jit_opt
 *   cache=SIZE       bytes of code memory per vCPU, with K or M behind; at least 64K
 *   threshold=N      translate a block after so many times it was interpreted; at least 1
 *   direct=on | off | always  run programs of the guest on the host's own processor where that pays;
 *                    nowhere (the default); wherever it can be done, and from the beginning
 *   direct=check     always, interpret what runs there too, and stop where they differ
 *                    (direct/direct_check.h); nothing is translated
 *   direct=scan      look for CPUID in code though the host's processor could make it fault
 *   direct=tsc       have RDTSC fault in programs that run directly though the guest's TSC is the host's
 *
 * A new optimisation gets a member of enum jit_opt and a row in jit_options.c, and asks jit_has(). */
#ifndef VZ_CPU_X86_JIT_OPTIONS_H
#define VZ_CPU_X86_JIT_OPTIONS_H

#include "base/compiler.h"

struct vz_error;

enum jit_opt {
    JIT_OPT_CHAIN,    /* jump from block to block directly */
    JIT_OPT_INDIRECT, /* look targets of returns and indirect branches up in the front cache */
    JIT_OPT_LIVENESS, /* save flags only where they matter */
    JIT_OPT_NARROW,   /* translate 32-bit code */
    JIT_OPT_MEMORY,   /* access memory in translated code */
    JIT_OPT_VECTOR,   /* translate x87, MMX, SSE and AVX */
    JIT_OPT_GUARD,    /* test the vector state once a block */
    JIT_OPT_DETOUR,   /* come back into a block after interpreting an instruction of it */
    JIT_OPT_FLAGS,    /* keep flags over instructions that have nothing to do with them */
    JIT_OPT_FORWARD,  /* do not look for events behind branches that lead forward */
    JIT_OPT_SPAN,     /* access memory across pages in translated code */
    JIT_OPT_SLOTS,    /* compare with the page used last, for the stack and in loops */
    JIT_OPT_CROSS,    /* translate instructions that lie in two pages */
    JIT_OPT_BMI,      /* translate BMI1 and BMI2 */
    JIT_OPT_DIVIDE,   /* divide in translated code where that cannot fault */
    JIT_OPT_STRING,   /* run short REP MOVS and REP STOS in translated code */
    JIT_OPT_IF,       /* STI, CLI and PUSHF in translated code */
    JIT_OPT_SYSTEM,   /* SYSCALL, SYSRET and other system instructions in translated code */
    JIT_OPT_PLACE,    /* use guest registers that live in memory there */
    JIT_OPT_HOLD,     /* do not load a register that the last instruction left in a scratch register */
    JIT_OPT_MOVE,     /* move translations of code that is mapped elsewhere now */
    JIT_OPT_RUNS,     /* look PUSHes and POPs in a row up at once */
    JIT_OPTS
};

enum jit_direct { JIT_DIRECT_OFF, JIT_DIRECT_ON, JIT_DIRECT_ALWAYS };

struct jit_options {
    bool on, check, perf, record;
    enum jit_direct direct; /* direct/direct.h */
    bool direct_scan, direct_check, direct_tsc;
    uint32_t check_limit;  /* 0: none */
    uint32_t without;      /* bits 1 << enum jit_opt */
    uint32_t cache_bytes;
    uint16_t threshold;
};

#define JIT_CACHE_DEFAULT (64u << 20)
#define JIT_CACHE_MIN     (64u << 10)
#define JIT_CACHE_MAX     (512u << 20)
#define JIT_THRESHOLD     24

static inline bool jit_has(const struct jit_options *o, enum jit_opt opt)
{
    return !(o->without >> opt & 1);
}

/* text as above; NULL or "": the defaults. 0, or -EINVAL with err (may be NULL). */
int jit_options_parse(const char *text, struct jit_options *ret, struct vz_error *err) must_check;

#endif
