/* SPDX-License-Identifier: MIT */
/* What lockstep mode (check.h) and direct execution's (direct/direct_check.h) share: states and pages of
 * before, of the interpreter, and of what is compared with it, which is called jit here. */
#ifndef VZ_CPU_X86_CHECK_ASIDE_H
#define VZ_CPU_X86_CHECK_ASIDE_H

#include "cpu/x86/fpu/fpu_exec.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/jit/check.h"

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
    struct tlb_entry *real_tlb[2]; /* aside: what was in their place, */
    const struct x86_host_ops *host; /* and where devices are reached */
};

/* ---- check_aside.c ---- */

/* The whole state, with the vector unit's if vector; and back, but for what others change meanwhile. */
void check_save(struct x86_cpu *c, struct check_state *s, bool vector);
void check_load(struct x86_cpu *c, const struct check_state *s, bool vector);

/* What is interpreted between begin and end changes no memory, and reaches no device: k->touched_device
 * says that it wanted to. Stores go to copies (k->page[], from nothing if k->page_count is 0), which
 * are where they are read; too many pages: k->unchecked. next: before each instruction. Accessed and
 * dirty flags are set all the same. */
void check_aside_begin(struct x86_cpu *c);
void check_aside_next(struct x86_cpu *c);
void check_aside_end(struct x86_cpu *c);

void check_drop_tags(struct x86_cpu *c);
bool check_same_memory(struct x86_cpu *c); /* RAM as the copies? Else k->what says where not */
void check_undo_memory(struct jit_check *k);

/* ---- check_report.c: fpu parked ---- */

bool check_same_vectors(struct jit_check *k); /* of jit and interp; else k->what says so */
void check_print_state(const char *name, struct check_state *s);

static inline struct x86_cpu *check_cpu(struct check_state *s)
{
    return (struct x86_cpu *)(void *)s->cpu;
}

#endif
