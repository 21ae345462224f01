/* SPDX-License-Identifier: MIT */
/* Which states the policy's CPU can be in: what is asked before one is taken over. */
#include "arch/x86/cpu_state.h"
#include "arch/x86/msrs.h"
#include "arch/x86/policy.h"
#include "arch/x86/regs.h"

static bool modes_consistent(const struct x86_cpu_state *s)
{
    bool pg = s->cr0 & X86_CR0_PG, lma = s->efer & X86_EFER_LMA;

    if (pg && !(s->cr0 & X86_CR0_PE))
        return false;
    if ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD))
        return false;
    if (lma != (pg && (s->efer & X86_EFER_LME)))
        return false;
    if (lma && (!(s->cr4 & X86_CR4_PAE) || (s->rflags & X86_FLAG_VM)))
        return false;
    if ((s->cr4 & X86_CR4_PCIDE) && !lma)
        return false;
    return !(s->rflags & X86_FLAG_VM) || (s->cr0 & X86_CR0_PE);
}

static bool addresses_canonical(const struct x86_cpu_state *s)
{
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        if (!x86_is_canonical(s->seg[n].base))
            return false;
    return x86_is_canonical(s->gdtr.base) && x86_is_canonical(s->idtr.base);
}

static bool segments_valid(const struct x86_cpu_state *s)
{
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        if (s->seg[n].attr & ~0xf0ffu)
            return false;
    return s->seg[X86_CS].attr & SEG_ATTR_P;
}

static bool xcr0_valid(uint64_t xcr0, uint64_t offered)
{
    return (xcr0 & X86_XCR0_X87) && !(xcr0 & ~(offered | X86_XCR0_X87)) &&
           (xcr0 & (X86_XCR0_SSE | X86_XCR0_AVX)) != X86_XCR0_AVX;
}

static bool controls_valid(const struct x86_cpu_state *s, uint64_t cr4_offered)
{
    return !(s->cr0 >> 32) && !(s->cr3 >> X86_PHYS_BITS) && !(s->cr4 & ~cr4_offered) &&
           !(s->efer & ~(uint64_t)X86_EFER_OFFERED) && !(s->dr6 >> 32) && !(s->dr7 >> 32) &&
           !(s->rflags & ~UINT64_C(0x3f7fd7)) && (s->rflags & X86_FLAG_1);
}

static bool events_valid(const struct x86_cpu_state *s)
{
    return s->run_state < X86_RUN_STATE_COUNT && s->exception_vector < 32 &&
           !(s->sti_shadow && s->mov_ss_shadow) &&
           !(s->nmi_second && (s->nmi_blocked || !s->nmi_pending)) &&
           (!s->sipi_pending || s->init_pending || s->run_state == X86_WAIT_FOR_SIPI) &&
           (s->smm || !s->smm_inside_nmi);
}

bool x86_state_valid(const struct x86_cpu_state *s, uint64_t cr4_offered, uint64_t xcr0_offered)
{
    return modes_consistent(s) && controls_valid(s, cr4_offered) && addresses_canonical(s) &&
           x86_msrs_valid(s) && segments_valid(s) && xcr0_valid(s->xcr0, xcr0_offered) &&
           events_valid(s);
}
