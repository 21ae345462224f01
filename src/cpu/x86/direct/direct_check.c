/* SPDX-License-Identifier: MIT */
/* See direct_check.h. */
#include "cpu/x86/direct/direct_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/jit/check_aside.h"

#define STEPS    20000u
#define AHEAD_US 1000u
#define TRIES    32u /* steps with the same registers */
#define LOOK     64u /* steps between looks at the clock */

/* Kept by a program from one instruction to the next, but for arithmetic flags. */
#define FLAGS (X86_FLAGS_ARITH | X86_FLAG_DF | X86_FLAG_AC | X86_FLAG_ID)

struct direct_check {
    bool ready;
    bool open;               /* it went on behind the last step */
    unsigned steps;          /* boundaries of instructions, the first one not counted */
    uint64_t key[STEPS + 1]; /* of the registers there, */
    uint64_t around[STEPS + 1]; /* and of those that a string instruction leaves alone */
};

int direct_check_create(struct x86_cpu *c)
{
    int r = jit_check_create(c);

    if (r)
        return r;
    c->direct->check = calloc(1, sizeof(*c->direct->check));
    return c->direct->check ? 0 : -ENOMEM;
}

void direct_check_destroy(struct x86_cpu *c)
{
    free(c->direct->check);
    c->direct->check = NULL;
    jit_check_destroy(c);
}

/* ---- ahead ---- */

static uint64_t mixed(uint64_t key, uint64_t word)
{
    return (key ^ word) * UINT64_C(0x9e3779b97f4a7c15) ^ key >> 29;
}

static uint64_t key_of(const struct x86_cpu *c)
{
    uint64_t key = c->rip ^ (cpu_rflags(c) & FLAGS) << 48;

    for (unsigned n = 0; n < 16; n++)
        key = mixed(key, c->reg[n]);
    return key;
}

static uint64_t around_of(const struct x86_cpu *c)
{
    uint64_t key = c->rip;

    for (unsigned n = 0; n < 16; n++)
        if (n != X86_RCX && n != X86_RSI && n != X86_RDI && n != X86_RAX)
            key = mixed(key, c->reg[n]);
    return key;
}

static void note(const struct x86_cpu *c, struct direct_check *d, unsigned n)
{
    d->key[n] = key_of(c);
    d->around[n] = around_of(c);
}

/* Has the code been changed on the way? That is in copies, which are not executed. */
static bool is_copied(const struct jit_check *k, const uint8_t *code)
{
    for (unsigned n = 0; n < k->page_count; n++)
        if (k->page[n].stored && code >= k->page[n].ram && code - k->page[n].ram < MEM_PAGE_SIZE)
            return true;
    return false;
}

enum coming { ORDINARY, LEAVES, UNKNOWN };

static enum coming look_ahead(struct x86_cpu *c)
{
    unsigned left = MEM_PAGE_SIZE - (unsigned)(c->rip & (MEM_PAGE_SIZE - 1));
    struct x86_decoded d;
    const uint8_t *code;

    if (c->code_size != X86_CODE_64 || (c->rflags & X86_FLAG_TF))
        return UNKNOWN;
    if (!mmu_fetch(c, c->rip, &code)) {
        c->fault.pending = false;
        return ORDINARY; /* it will fault again */
    }
    if (is_copied(c->check, code))
        return UNKNOWN;
    if (x86_decode(code, MIN(left, (unsigned)X86_INSN_MAX), X86_CODE_64, &d) != X86_DECODE_OK)
        return ORDINARY;
    if (d.op == X86_OP_SYSCALL)
        return LEAVES;
    switch (x86_op_info(d.op)->family) {
    case X86_FAMILY_SYSTEM:
    case X86_FAMILY_FPU_STATE: return UNKNOWN;
    }
    return d.op == X86_OP_RDRAND || d.op == X86_OP_RDSEED || d.op == X86_OP_FNSTENV || d.op == X86_OP_FNSAVE
               ? UNKNOWN
               : ORDINARY;
}

static bool has_left(const struct x86_cpu *c)
{
    return c->fault.pending || c->cpl != 3 || c->run_state != X86_RUNNING || c->check->unchecked ||
           c->check->touched_device;
}

/* From the state of now, so many steps at most, each written down in d if that is not NULL. Returns how many. */
static unsigned run_ahead(struct x86_cpu *c, unsigned limit, struct direct_check *d, bool *open)
{
    uint64_t until = clock_tsc() + AHEAD_US * c->direct->vm->us;
    unsigned n = 0;

    *open = false;
    check_aside_begin(c);
    for (;; n++) {
        enum coming what = n < limit ? look_ahead(c) : UNKNOWN;

        if (d)
            note(c, d, n);
        *open = what == UNKNOWN || (d && n % LOOK == LOOK - 1 && clock_tsc() > until);
        if (*open || what == LEAVES)
            break;
        check_aside_next(c);
        x86_step(c);
        if (!has_left(c))
            continue;
        if (c->fault.pending && c->cpl == 3 && ++n && d)
            note(c, d, n); /* a string instruction may have come some way */
        break;
    }
    check_aside_end(c);
    return n;
}

void direct_check_before(struct x86_cpu *c)
{
    struct direct_check *d = c->direct->check;
    struct jit_check *k = c->check;

    k->left_in = 1; /* this is the last of its turn: with the comparison it takes as long as the others' */
    k->page_count = 0;
    k->unchecked = false;
    check_save(c, &k->start, true);
    d->steps = run_ahead(c, STEPS, d, &d->open);
    d->ready = !k->unchecked && !k->touched_device;
    check_load(c, &k->start, true);
}

/* ---- the comparison ---- */

static bool differ(struct jit_check *k, const char *what, uint64_t ahead, uint64_t native)
{
    snprintf(k->what, sizeof(k->what), "%s: interpreter %#llx, directly %#llx", what, (unsigned long long)ahead,
             (unsigned long long)native);
    return false;
}

/* SYSCALL has done its part to RCX and R11 when the stub tells of it. */
static bool same_registers(struct jit_check *k, bool at_syscall)
{
    const struct x86_cpu *a = check_cpu(&k->interp), *b = check_cpu(&k->jit);
    char name[8];

    for (unsigned n = 0; n < 16; n++) {
        snprintf(name, sizeof(name), "reg %u", n);
        if (a->reg[n] != b->reg[n] && !(at_syscall && (n == X86_RCX || n == X86_R11)))
            return differ(k, name, a->reg[n], b->reg[n]);
    }
    if (a->rip != b->rip)
        return differ(k, "rip", a->rip, b->rip);
    if ((cpu_rflags(a) ^ cpu_rflags(b)) & FLAGS)
        return differ(k, "flags", cpu_rflags(a), cpu_rflags(b));
    for (unsigned n = X86_FS; n <= X86_GS; n++)
        if (a->seg[n].base != b->seg[n].base)
            return differ(k, "a base", a->seg[n].base, b->seg[n].base);
    return check_same_vectors(k);
}

/* A repeated string instruction stops between two elements where a page is not mapped, or a kick comes, which is a
 * boundary that the interpreter passes over. */
static bool stands_in_string(struct x86_cpu *c, struct x86_decoded *ret)
{
    unsigned left = MEM_PAGE_SIZE - (unsigned)(c->rip & (MEM_PAGE_SIZE - 1));
    const uint8_t *code;

    if (!mmu_fetch(c, c->rip, &code)) {
        c->fault.pending = false;
        return false;
    }
    return x86_decode(code, MIN(left, (unsigned)X86_INSN_MAX), X86_CODE_64, ret) == X86_DECODE_OK &&
           x86_op_info(ret->op)->family == X86_FAMILY_STRING && ret->asize == 8 &&
           (ret->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE));
}

/* Do so many elements fewer of the string instruction at RIP than RCX says. False: it does not come there. */
static bool go_into_string(struct x86_cpu *c, uint64_t left)
{
    uint64_t rip = c->rip;
    unsigned patience = 100000;

    if (c->reg[X86_RCX] <= left)
        return false;
    c->reg[X86_RCX] -= left;
    check_aside_begin(c);
    do {
        check_aside_next(c);
        x86_step(c);
    } while (c->rip == rip && !has_left(c) && --patience);
    check_aside_end(c);
    if (c->rip == rip || has_left(c) || c->reg[X86_RCX])
        return false;
    c->reg[X86_RCX] = left;
    c->rip = rip;
    return true;
}

/* A place where the stub may have come out: a step of the interpreter's, */
struct place {
    unsigned step;
    const struct x86_decoded *string; /* or in the middle of this instruction behind it, */
    uint64_t left;                    /* with so many elements to do */
};

/* The state there, on fresh copies, beside what came out of the stub. */
static bool is_that_place(struct x86_cpu *c, const struct place *at, enum stub_event event)
{
    struct jit_check *k = c->check;
    bool open, same, comes = true;

    for (unsigned n = 0; n < k->page_count; n++)
        k->page[n].stored = false;
    check_load(c, &k->start, true);
    (void)run_ahead(c, at->step, NULL, &open);
    if (at->string) {
        c->fault.pending = false; /* of an earlier try of the same instruction */
        comes = go_into_string(c, at->left);
        if (x86_op_info(at->string->op)->flags_set) /* as before it, or as behind the last element (SDM vol. 2, REP) */
            c->af = check_cpu(&k->jit)->af;
    }
    check_save(c, &k->interp, true);
    if (event == STUB_FAULT) /* #XM comes with its flags already set */
        AREA32(k->interp.xsave, XSAVE_MXCSR) |= AREA32(k->jit.xsave, XSAVE_MXCSR) & MXCSR_FLAGS;
    same = comes && same_registers(k, event == STUB_SYSCALL) && check_same_memory(c);
    check_load(c, &k->jit, true);
    return same;
}

static bool is_in_string(struct x86_cpu *c, enum stub_event event)
{
    struct direct_check *d = c->direct->check;
    uint64_t around = around_of(c);
    struct x86_decoded string;
    unsigned tries = 0;

    if (event == STUB_SYSCALL || !stands_in_string(c, &string))
        return false;
    for (unsigned n = d->steps + 1; n-- && tries < TRIES;) {
        if (d->around[n] != around)
            continue;
        tries++;
        if (is_that_place(c, &(struct place){n, &string, c->reg[X86_RCX]}, event))
            return true;
    }
    return false;
}

static cold bool report(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    fpu_park(c);
    fprintf(stderr, "direct check: CPU %u, from %#llx: %s\n", c->index,
            (unsigned long long)check_cpu(&k->start)->rip, k->what);
    check_print_state("before", &k->start);
    check_print_state("interpreter", &k->interp);
    check_print_state("directly", &k->jit);
    snprintf(c->shutdown_text, sizeof(c->shutdown_text), "direct check: from %#llx: %.200s",
             (unsigned long long)check_cpu(&k->start)->rip, k->what);
    c->run_state = X86_SHUTDOWN;
    x86_cpu_post(c, X86_PENDING_CHECK);
    return false;
}

bool direct_check_after(struct x86_cpu *c, enum stub_event event)
{
    struct direct_check *d = c->direct->check;
    struct jit_check *k = c->check;
    uint64_t key = key_of(c);
    unsigned tries = 0;

    if (!d->ready || event == STUB_INT80 || event == STUB_VSYSCALL) { /* these lose RAX */
        c->count.direct_unchecked++;
        return true;
    }
    check_save(c, &k->jit, true);
    k->interp = k->start;
    snprintf(k->what, sizeof(k->what), "the interpreter never comes there");
    for (unsigned n = d->steps + 1; n-- && tries < TRIES;) {
        if (event == STUB_SYSCALL ? n != d->steps || d->open : d->key[n] != key)
            continue;
        tries++;
        if (is_that_place(c, &(struct place){.step = n}, event)) {
            c->count.direct_checked++;
            return true;
        }
    }
    if (is_in_string(c, event)) {
        c->count.direct_checked++;
        return true;
    }
    if (d->open && (!tries || event == STUB_KICKED)) {
        c->count.direct_unchecked++;
        return true;
    }
    return report(c);
}
