/* SPDX-License-Identifier: MIT */
#ifndef VZ_CPU_X86_CHECK_PRIV_H
#define VZ_CPU_X86_CHECK_PRIV_H

#include "cpu/x86/block.h"
#include "cpu/x86/fpu/fpu_exec.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/jit/jit_priv.h"

#define CHECK_PAGES  64
#define CHECK_TAGS   4096
#define CHECK_STATE  offsetof(struct x86_cpu, xsave)

/* A page that translated code, or the interpreter after it, may have stored to. */
struct check_page {
    uint8_t *ram;
    uint8_t *before; /* as it was */
    uint8_t *after;  /* as the interpreter leaves it: valid if stored */
    bool stored;
};

/* Everything of struct x86_cpu that comes before xsave[], and what matters of that. */
struct check_state {
    uint8_t cpu[CHECK_STATE] __attribute__((aligned(64)));
    uint8_t xsave[XSAVE_END];
    bool live; /* the vector state was in the host's registers */
};

struct jit_check {
    struct check_state start, jit, interp;
    bool active;          /* a stretch of translated code runs */
    bool replaying;       /* the interpreter does it again */
    bool fell;            /* it reached the end of the instruction */
    bool again;           /* they differ: undo and try again */
    bool unchecked;       /* too many pages */
    bool touched_device;  /* the interpreter wanted to */
    const struct block *block;
    unsigned first, end;  /* instructions; end == insns of the block: left for the main loop */
    unsigned attempt;
    uint64_t left_in;     /* blocks until the next vCPU's turn */
    bool carry;           /* exact_af is what the interpreter would have for jit_af, now */
    bool fresh;
    uint16_t jit_af, exact_af;
    struct check_page page[CHECK_PAGES];
    unsigned page_count;
    struct tlb_entry *tag[CHECK_TAGS];
    unsigned tag_count;
    bool tags_overflow;
    char what[256];       /* the first thing that differs */
    struct insn nothing;  /* hands over to: leave */
    struct insn scratch[4] __attribute__((aligned(32)));
    uint8_t device_page[MEM_PAGE_SIZE] __attribute__((aligned(64)));
    uint8_t *pages;       /* memory of page[] */
    struct tlb_entry *no_tlb; /* TLB_ENTRIES that never hold anything */
};

/* check_report.c. fpu parked. */
bool check_same_state(struct jit_check *k, uint16_t flags);
void check_report(struct x86_cpu *c);

static inline struct x86_cpu *check_cpu(struct check_state *s)
{
    return (struct x86_cpu *)(void *)s->cpu;
}

#endif
