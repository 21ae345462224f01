/* SPDX-License-Identifier: MIT */
/* Translating one block: what translate.c (the block) and jit_ops.c (the instructions) share. */
#ifndef VZ_CPU_X86_TRANSLATE_H
#define VZ_CPU_X86_TRANSLATE_H

#include "arch/x86/regs.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/jit/jit_priv.h"

#define SITES_MAX 128

/* A TLB miss, to be emitted behind the block. */
struct miss {
    uint8_t *branch;         /* to patch */
    struct jit_site *site;
};

/* A reason to interpret the rest of the block, to be emitted behind it. */
struct bail {
    uint8_t *branch;
    uint8_t index;           /* of the instruction */
};

struct translation {
    struct emit e;
    struct x86_cpu *c;
    struct jit *j;
    struct block *b;
    struct block_end *end;
    struct jit_exit *exits;
    unsigned count;                            /* instructions */
    struct x86_decoded d[BLOCK_INSNS_MAX];
    uint16_t live[BLOCK_INSNS_MAX + 1];        /* flags that matter before instruction n */
    struct miss miss[SITES_MAX];
    unsigned miss_count;
    struct bail bail[SITES_MAX];
    unsigned bail_count;
    uint8_t guarded;                           /* bits of fpu_slow known to be clear by now */
    bool upper;                                /* data is expected in the upper half */
    bool ended;                                /* nothing may follow */
};

static inline bool translation_has(const struct translation *t, enum jit_opt opt)
{
    return jit_has(&t->c->vm->jit, opt);
}

/* Emit instruction n. False: it is not one we translate. */
bool jit_op(struct translation *t, unsigned n);

/* ---- translate.c, for jit_op() ---- */

static inline uint64_t insn_at(const struct translation *t, unsigned n)
{
    return t->b->home_rip + t->b->insn[n + 1].off;
}

static inline uint64_t insn_behind(const struct translation *t, unsigned n)
{
    return insn_at(t, n) + t->d[n].len;
}

/* Go on at rip by link slot: leave for the main loop, which links. */
void jit_exit_to(struct translation *t, unsigned slot, uint64_t rip);

/* Go on at the address in r10, adding pop to rsp, as the last thing instruction n does. */
void jit_exit_indirect(struct translation *t, unsigned n, int32_t pop);

/* r10 = linear address of the memory operand. Flags stay. */
void jit_address(struct translation *t, unsigned n);

/* Turn the address in r10 into the host's; r11 is clobbered; EFLAGS stay if they matter. */
void jit_translate_address(struct translation *t, unsigned n, unsigned size,
                           enum mmu_access access);

/* Interpret from instruction n on if any of the bits slow is set in fpu_slow, or (align not 0) if
 * the address in r10 is not a multiple of align. Flags stay if they matter. */
void jit_guard(struct translation *t, unsigned n, uint8_t slow, uint8_t align);

/* The vector and x87 instructions of jit_op(). */
bool jit_op_fpu(struct translation *t, unsigned n);

/* Interpret instruction n out of line and come back (detour), or for good (rest of the block). */
void jit_detour(struct translation *t, unsigned n);
void jit_interpret_rest(struct translation *t, unsigned n);

#endif
