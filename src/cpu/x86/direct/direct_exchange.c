/* SPDX-License-Identifier: MIT */
/* Registers into a stub and out of it, and what has to be so for that to make sense. */
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu_exec.h"
#include "cpu/x86/system/segment.h"

/* Linux's selectors, which a stub has as well: programs see them. */
#define USER_CS 0x33
#define USER_SS 0x2b

/* What user code may change of RFLAGS. */
#define USER_FLAGS                                                                                 \
    (X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF |          \
     X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID)
#define FLAGS_LOOKED_AT                                                                            \
    (X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_VM | X86_FLAG_AC)

static const uint8_t data_segments[] = {X86_DS, X86_ES, X86_FS, X86_GS};

static bool has_usual_selectors(const struct x86_cpu *c)
{
    return c->seg[X86_CS].selector == USER_CS && c->seg[X86_SS].selector == USER_SS &&
           !(c->seg[X86_DS].selector | c->seg[X86_ES].selector | c->seg[X86_FS].selector |
             c->seg[X86_GS].selector);
}

/* Vector instructions raise nothing on the host that they would in the guest. */
static bool has_usual_fpu(const struct x86_cpu *c)
{
    unsigned traps = FPU_TRAP_X87 | FPU_TRAP_SSE | FPU_TRAP_WAIT;

    if (fpu_supported_xcr0(c) & X86_XCR0_AVX)
        traps |= FPU_TRAP_AVX;
    return !(c->fpu_slow & traps);
}

bool direct_needs_tsc(const struct x86_cpu *c)
{
    return c->tsc_offset || c->cr4 & X86_CR4_TSD || c->vm->jit.direct_tsc;
}

bool direct_may_run(const struct x86_cpu *c)
{
    return in_64bit(c) && (c->rflags & FLAGS_LOOKED_AT) == X86_FLAG_IF && has_usual_selectors(c) &&
           has_usual_fpu(c) && (!direct_needs_tsc(c) || c->direct->vm->tsc_faults) && !(c->dr7 & 0xff) &&
           !c->mov_ss_shadow && !(c->rip >> 47);
}

/* ---- vector state ---- */

/* Of the area in the stub only what we know is written: the rest is its kernel's. */
static void export_fpu(struct x86_cpu *c, uint8_t *to, size_t size)
{
    uint8_t *area = c->direct->area;

    if (size < XSAVE_END)
        return;
    fpu_get(c, area);
    fpu_copy(to, area, XSAVE_LEGACY_END);
    AREA64(to, XSAVE_BV) = AREA64(area, XSAVE_BV);
    fpu_copy(to + XSAVE_AVX, area + XSAVE_AVX, XSAVE_END - XSAVE_AVX);
}

/* The program may have written to it, and may be doing so: copy, mend, check. */
static void import_fpu(struct x86_cpu *c, const uint8_t *from, size_t size)
{
    uint8_t *area = c->direct->area;

    if (size < XSAVE_END)
        return;
    fpu_copy(area, from, XSAVE_END);
    AREA64(area, XSAVE_BV) &= fpu_supported_xcr0(c);
    fpu_zero(area + XSAVE_LEGACY_END, XSAVE_BV - XSAVE_LEGACY_END);
    fpu_zero(area + XSAVE_COMP_BV, XSAVE_AVX - XSAVE_COMP_BV);
    AREA32(area, XSAVE_MXCSR) &= MXCSR_VALID;
    (void)!fpu_set(c, area); /* nothing is left that it would refuse */
}

/* ---- the others ---- */

void direct_export(struct x86_cpu *c, struct stub_thread *t)
{
    struct stub_regs *r = &c->direct->regs;
    size_t size = 0;
    uint8_t *area = stub_xsave(t, &size);

    for (unsigned n = 0; n < 16; n++)
        r->gpr[n] = c->reg[n];
    r->rip = c->rip;
    r->rflags = cpu_rflags(c);
    r->fs_base = c->seg[X86_FS].base;
    r->gs_base = c->seg[X86_GS].base;
    r->cs = USER_CS; /* what is there if it does not come to run */
    r->ss = USER_SS;
    r->ds = r->es = r->fs = r->gs = 0;
    export_fpu(c, area, size);
}

static void import_base(struct x86_cpu *c, enum x86_seg seg, uint64_t base)
{
    if (is_canonical(base))
        c->seg[seg].base = c->ea_base[seg] = base;
}

/* The program has loaded selectors; on the host, from the host's table. Load them from the guest's: its
 * is Linux's as well, or nobody can tell what the program wanted. */
static void import_data_selectors(struct x86_cpu *c, const struct stub_regs *r)
{
    const uint16_t selector[] = {r->ds, r->es, r->fs, r->gs};

    for (unsigned n = 0; n < ARRAY_SIZE(data_segments); n++)
        if (selector[n] != c->seg[data_segments[n]].selector &&
            !seg_load(c, data_segments[n], selector[n]))
            c->fault.pending = false;
}

/* Likewise code of another kind (32-bit): it goes on elsewhere, with CS and SS as they are there. */
static void import_code_selectors(struct x86_cpu *c, const struct stub_regs *r)
{
    struct x86_segment stack = c->seg[X86_SS];
    struct descriptor d;

    if (r->cs == c->seg[X86_CS].selector && r->ss == c->seg[X86_SS].selector)
        return;
    if (r->ss != stack.selector && !seg_read_stack(c, r->ss, 3, X86_GP, true, &stack)) {
        c->fault.pending = false;
        return;
    }
    if (selector_is_null(r->cs) || !seg_read_descriptor(c, r->cs, X86_GP, &d)) {
        c->fault.pending = false;
        return;
    }
    if (!desc_is_segment(d.raw) || !desc_is_code(d.raw) || desc_dpl(d.raw) != 3 ||
        !desc_present(d.raw) || (r->cs & 3) != 3 || (desc_is_long(d.raw) && desc_is_big(d.raw)))
        return;
    c->seg[X86_SS] = stack;
    c->seg[X86_CS] = seg_parse(r->cs, d.raw);
    cpu_recompute(c);
}

void direct_import(struct x86_cpu *c, struct stub_thread *t)
{
    const struct stub_regs *r = &c->direct->regs;
    size_t size = 0;
    const uint8_t *area = stub_xsave(t, &size);

    for (unsigned n = 0; n < 16; n++)
        c->reg[n] = r->gpr[n];
    c->rip = r->rip;
    cpu_set_rflags(c, r->rflags, USER_FLAGS);
    import_fpu(c, area, size);
    if (unlikely(r->ds | r->es | r->fs | r->gs))
        import_data_selectors(c, r);
    import_base(c, X86_FS, r->fs_base);
    import_base(c, X86_GS, r->gs_base);
    import_code_selectors(c, r);
}
