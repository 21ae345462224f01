/* SPDX-License-Identifier: MIT */
/* What runs guest code. Between two stretches of it the main loop (run.c) delivers events, and then
 * asks the vCPU's engines, one after the other, who has the next stretch. The translator (jit/) is
 * asked first where there is one; the interpreter (block.c), which is last, has something for every
 * RIP.
 *
 * A third engine needs a struct x86_engine, and its place in vm.c. All calls are made on the vCPU's
 * thread; those that an engine has no use for are NULL. */
#ifndef VZ_CPU_X86_ENGINE_H
#define VZ_CPU_X86_ENGINE_H

#include "cpu/x86/cpu.h"

/* Run guest code from c->rip on: run(c, code). It returns at the boundary of an instruction, with
 * c->rip there and all architectural state in struct x86_cpu (vector state may stay in the host's
 * registers, fpu.h): soon after something is pending, and after a fault, which is recorded
 * (cpu_raise()) with rip at the instruction and nothing of that done. It may set c->link. */
struct x86_stretch {
    void (*run)(struct x86_cpu *c, const void *code);
    const void *code;
};

enum x86_offer {
    X86_OFFER_NONE,  /* ask the next engine */
    X86_OFFER_READY, /* *ret is filled in */
    X86_OFFER_FAULT, /* there is no code at c->rip: the fault is recorded */
};

/* What is no longer as the guest's page tables said. */
struct x86_gone {
    enum {
        X86_GONE_ALL,        /* every mapping of every address space, */
        X86_GONE_NON_GLOBAL, /* all but global ones, */
        X86_GONE_PCID,       /* what is not global of one address space, */
        X86_GONE_PAGE,       /* the page at va there and in global mappings, as large as it is */
    } kind;
    uint16_t pcid;
    uint64_t va;
};

struct x86_engine {
    const char *name;
    int (*create)(struct x86_cpu *c);   /* before the vCPU has a state; 0 or -errno */
    void (*destroy)(struct x86_cpu *c); /* not, or half created is fine */

    /* Have you the code at c->rip, in the mode and address space of now? No more than asking: the
     * guest sees nothing of it. */
    enum x86_offer (*next)(struct x86_cpu *c, struct x86_stretch *ret);

    /* The guest has invalidated, or changed CR3; what changes for its kernel only (CR0.WP) is not
     * told. Also from inside a stretch. */
    void (*mappings_gone)(struct x86_cpu *c, const struct x86_gone *gone);
    /* Stores to the page of RAM at host must be told to smc_written() from now on. Only for pages of
     * which smc_allows_plain_stores() was asked. Likewise. */
    void (*page_watched)(struct x86_cpu *c, const uint8_t *host);
    /* Code in these granules (struct mem_code) of the page at host has changed, or, host NULL, all
     * has. Likewise: what runs ends behind its instruction. */
    void (*code_gone)(struct x86_cpu *c, const uint8_t *host, uint64_t granules);
    /* Forget all code, and use its memory anew. Between stretches. */
    void (*empty)(struct x86_cpu *c);
};

extern const struct x86_engine x86_interpreter; /* block.c */
extern const struct x86_engine x86_translator;  /* jit/jit.c */

/* The place that hears of all that is no longer so, and tells the vCPU's engines. */
void x86_mappings_gone(struct x86_cpu *c, const struct x86_gone *gone);
void x86_page_watched(struct x86_cpu *c, const uint8_t *host);
void x86_code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules);
void x86_code_empty(struct x86_cpu *c);

/* Is there one that is asked before our own? Changes from and to user mode end the stretch then, so that
 * it is; it may clear x86_cpu.user_ends until it wants to be asked again. */
static inline bool x86_has_foreign_engine(const struct x86_vm *vm)
{
    return vm->engine[0] != &x86_translator && vm->engine[0] != &x86_interpreter;
}

/* Exactly one instruction at c->rip, interpreted, with what single steps and breakpoints make of it: for
 * an engine, inside its stretch, that comes to one it leaves to the CPU. It may fault. */
void x86_step(struct x86_cpu *c);

int x86_engines_create(struct x86_cpu *c) must_check; /* 0 or -errno; then destroy */
void x86_engines_destroy(struct x86_cpu *c);

#endif
