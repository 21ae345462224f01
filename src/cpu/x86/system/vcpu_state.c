/* SPDX-License-Identifier: MIT */
/* The vCPU's architectural state in and out, INIT and SIPI, and the line that describes a CPU. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cpu/x86/block.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/system/msr.h"
#include "cpu/x86/system/segment.h"

/* Fields that have the same name and meaning on both sides. */
#define SAME_FIELDS(X)                                                                             \
    X(gdtr) X(idtr) X(cr0) X(cr2) X(cr3) X(cr4) X(xcr0) X(dr6) X(dr7) X(efer) X(star) X(lstar)     \
    X(cstar) X(fmask) X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(pat)      \
    X(tsc_adjust) X(tsc_aux) X(misc_enable) X(spec_ctrl) X(mtrr_def_type) X(sti_shadow)            \
    X(mov_ss_shadow) X(nmi_blocked) X(kvm_pv_eoi)
#define SAME_ARRAYS(X) X(seg) X(dr) X(mtrr_fixed) X(mtrr_phys_base) X(mtrr_phys_mask)

void x86_cpu_get(struct x86_cpu *c, struct x86_cpu_state *ret)
{
    fpu_park(c);
    for (unsigned n = 0; n < 16; n++)
        ret->gpr[n] = c->reg[n];
    ret->rip = c->rip;
    ret->rflags = cpu_rflags(c);
#define GET_FIELD(name) ret->name = c->name;
#define GET_ARRAY(name) __builtin_memcpy(ret->name, c->name, sizeof(ret->name));
    SAME_FIELDS(GET_FIELD)
    SAME_ARRAYS(GET_ARRAY)
    fpu_get(c, ret->xsave);
    ret->tsc = clock_tsc() + c->tsc_offset;
    ret->run_state = c->run_state;
    cpu_count_nmis(c);
    ret->nmi_pending = c->nmi_count;
    ret->nmi_second = c->nmi_count > 1;
    ret->smi_pending = false;
    ret->exception_pending = c->fault.pending;
    ret->exception_vector = c->fault.pending ? c->fault.vector : 0;
    ret->exception_has_error = c->fault.pending && c->fault.has_error;
    ret->exception_error = ret->exception_has_error ? c->fault.error : 0;
    if (c->fault.pending && c->fault.soft) {
        /* Not begun yet: INT n is simply executed again. */
        ret->exception_pending = ret->exception_has_error = false;
        ret->exception_vector = 0;
        ret->exception_error = 0;
    }
}

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
        if (!is_canonical(s->seg[n].base))
            return false;
    return is_canonical(s->gdtr.base) && is_canonical(s->idtr.base) && is_canonical(s->lstar) &&
           is_canonical(s->cstar) && is_canonical(s->kernel_gs_base) &&
           is_canonical(s->sysenter_esp) && is_canonical(s->sysenter_eip);
}

static bool msrs_valid(const struct x86_cpu_state *s)
{
    for (unsigned n = 0; n < ARRAY_SIZE(s->mtrr_fixed); n++)
        if (!msr_mtrr_fixed_valid(s->mtrr_fixed[n]))
            return false;
    for (unsigned n = 0; n < ARRAY_SIZE(s->mtrr_phys_base); n++)
        if (!msr_mtrr_phys_valid(s->mtrr_phys_base[n], s->mtrr_phys_mask[n]))
            return false;
    return msr_kvm_pv_eoi_valid(s->kvm_pv_eoi) && msr_pat_valid(s->pat) &&
           msr_mtrr_def_type_valid(s->mtrr_def_type);
}

static bool segments_valid(const struct x86_cpu_state *s)
{
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        if (s->seg[n].attr & ~0xf0ffu)
            return false;
    return s->seg[X86_CS].attr & SEG_ATTR_P;
}

bool x86_state_valid(const struct x86_cpu_state *s, uint64_t cr4_offered, uint64_t xcr0_offered)
{
    uint64_t xcr0 = s->xcr0;

    return modes_consistent(s) && !(s->cr4 & ~cr4_offered) && addresses_canonical(s) && msrs_valid(s) &&
           segments_valid(s) && !(s->cr0 >> 32) && !(s->cr3 >> MMU_PHYS_BITS) &&
           !(s->efer & ~(uint64_t)(X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)) &&
           !(s->rflags & ~UINT64_C(0x3f7fd7)) && (s->rflags & X86_FLAG_1) &&
           (xcr0 & X86_XCR0_X87) && !(xcr0 & ~(xcr0_offered | X86_XCR0_X87)) &&
           (xcr0 & (X86_XCR0_SSE | X86_XCR0_AVX)) != X86_XCR0_AVX && !(s->dr6 >> 32) &&
           !(s->dr7 >> 32) && !(s->tsc_aux >> 32) && !(s->fmask >> 32) && s->run_state < X86_RUN_STATE_COUNT && s->exception_vector < 32 &&
           !(s->sti_shadow && s->mov_ss_shadow) &&
           !(s->nmi_second && (s->nmi_blocked || !s->nmi_pending));
}

/* CPL is not a field of the state: the modes and SS say what it is. */
static uint8_t cpl_of(const struct x86_cpu_state *s)
{
    if (!(s->cr0 & X86_CR0_PE))
        return 0;
    if (s->rflags & X86_FLAG_VM)
        return 3;
    return (s->seg[X86_SS].attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

static void set_fault(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    c->fault.pending = s->exception_pending;
    c->fault.has_error = s->exception_has_error;
    c->fault.soft = false;
    c->fault.vector = s->exception_vector;
    c->fault.error = s->exception_error;
}

static void set_pending_nmis(struct x86_cpu *c, uint8_t count)
{
    __atomic_and_fetch((uint32_t *)&c->pending, ~(uint32_t)X86_PENDING_NMI, __ATOMIC_SEQ_CST);
    __atomic_store_n((uint32_t *)&c->nmi_queued, 0, __ATOMIC_SEQ_CST);
    c->nmi_count = count;
    if (count)
        x86_cpu_post(c, X86_PENDING_NMI);
}

int x86_cpu_set(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    fpu_park(c);
    if (!x86_state_valid(s, cpuid_cr4_offered(c->vm->cpuid), c->vm->cpuid->xcr0) || fpu_set(c, s->xsave))
        return -EINVAL;
    for (unsigned n = 0; n < 16; n++)
        c->reg[n] = s->gpr[n];
    c->rip = s->rip;
    c->link = NULL;
    cpu_set_rflags(c, s->rflags, ~UINT64_C(0));
#define SET_FIELD(name) c->name = s->name;
#define SET_ARRAY(name) __builtin_memcpy(c->name, s->name, sizeof(c->name));
    SAME_FIELDS(SET_FIELD)
    SAME_ARRAYS(SET_ARRAY)
    c->cr0 |= X86_CR0_ET;
    cpu_set_tsc_offset(c, s->tsc - clock_tsc());
    /* TSC deadlines are compared elsewhere; they must be by the same clock. */
    if (c->vm->host->tsc_changed)
        c->vm->host->tsc_changed(c->vm->host_arg, c->index, c->tsc_offset);
    c->run_state = (uint8_t)s->run_state;
    set_pending_nmis(c, (uint8_t)(s->nmi_pending + s->nmi_second));
    set_fault(c, s);
    c->cpl = cpl_of(s);
    fpu_mode_changed(c);
    cpu_recompute(c);
    mmu_load_pdptes(c, c->cr3); /* they are not part of the state */
    mmu_mode_changed(c);
    mmu_flush_all(c);
    return 0;
}

/* INIT keeps what the table of the SDM says; the state goes through its exchange form, so that
 * there is one list of what reset means. */
void event_init(struct x86_cpu *c)
{
    uint64_t tsc_offset = c->tsc_offset;
    struct x86_cpu_state *s;
    uint32_t leaf[4];

    fpu_park(c);
    s = calloc(1, sizeof(*s));
    if (!s) {
        c->run_state = X86_SHUTDOWN;
        snprintf(c->shutdown_text, sizeof(c->shutdown_text), "out of memory at INIT");
        return;
    }
    x86_cpu_get(c, s);
    x86_cpu_state_reset(s, c->index == 0, true);
    cpuid_query(c, 1, 0, leaf);
    s->gpr[X86_RDX] = leaf[0];
    if (x86_cpu_set(c, s)) {
        c->run_state = X86_SHUTDOWN;
        snprintf(c->shutdown_text, sizeof(c->shutdown_text), "INIT state refused");
    }
    free(s);
    cpu_set_tsc_offset(c, tsc_offset); /* the TSC has not stood still meanwhile */
}

void event_sipi(struct x86_cpu *c, uint8_t vector)
{
    seg_load_real(c, X86_CS, (uint16_t)(vector << 8));
    c->rip = 0;
    c->run_state = X86_RUNNING;
    cpu_recompute(c);
}

static const char *mode_name(const struct x86_cpu *c)
{
    static const char *const protected[] = {"16-bit", "32-bit", "64-bit"};

    if (!(c->cr0 & X86_CR0_PE))
        return "real";
    if (c->rflags & X86_FLAG_VM)
        return "v86";
    return protected[c->code_size <= X86_CODE_64 ? c->code_size : 0];
}

/* The bytes at RIP, if they can be had without changing anything. */
static void describe_code(struct x86_cpu *c, char *buf, unsigned len)
{
    uint64_t va = in_64bit(c) ? c->rip : (uint32_t)(c->rip + c->seg[X86_CS].base);
    unsigned n = MIN(8u, 4096u - (unsigned)(va & 4095));
    const uint8_t *p = mmu_direct(c, va, n, MMU_READ);
    unsigned used = 0;

    buf[0] = 0;
    for (unsigned k = 0; p && k < n && used + 3 < len; k++)
        used += (unsigned)snprintf(buf + used, len - used, "%s%02x", k ? " " : "", p[k]);
}

void x86_cpu_describe(struct x86_cpu *c, char *buf, unsigned len)
{
    char code[40];

    fpu_park(c);
    describe_code(c, code, sizeof(code));
    snprintf(buf, len,
             "cpu %u %s cpl %u cs:rip %x:%llx [%s] rsp %llx rflags %llx cr0 %llx cr2 %llx cr3 %llx "
             "cr4 %llx efer %llx rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx rbp %llx",
             c->index, mode_name(c), c->cpl, c->seg[X86_CS].selector, (unsigned long long)c->rip,
             code, (unsigned long long)c->reg[X86_RSP], (unsigned long long)cpu_rflags(c),
             (unsigned long long)c->cr0, (unsigned long long)c->cr2, (unsigned long long)c->cr3,
             (unsigned long long)c->cr4, (unsigned long long)c->efer,
             (unsigned long long)c->reg[X86_RAX], (unsigned long long)c->reg[X86_RBX],
             (unsigned long long)c->reg[X86_RCX], (unsigned long long)c->reg[X86_RDX],
             (unsigned long long)c->reg[X86_RSI], (unsigned long long)c->reg[X86_RDI],
             (unsigned long long)c->reg[X86_RBP]);
}
