/* SPDX-License-Identifier: MIT */
/* The vCPU's architectural state in and out, INIT and SIPI, and the line that describes a CPU. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/msrs.h"
#include "base/clock.h"
#include "cpu/x86/block.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/system/segment.h"
#include "cpu/x86/system/smm.h"

/* Fields that have the same name and meaning on both sides, besides X86_MSRS. */
#define SAME_FIELDS(X)                                                                             \
    X(gdtr) X(idtr) X(cr0) X(cr2) X(cr3) X(cr4) X(xcr0) X(dr6) X(dr7) X(efer) X(sti_shadow)        \
    X(mov_ss_shadow) X(nmi_blocked) X(smm) X(smm_inside_nmi) X(smbase)
#define SAME_ARRAYS(X) X(seg) X(dr)

void x86_cpu_get(struct x86_cpu *c, struct x86_cpu_state *ret)
{
    uint32_t pending;

    fpu_park(c);
    for (unsigned n = 0; n < 16; n++)
        ret->gpr[n] = c->reg[n];
    ret->rip = c->rip;
    ret->rflags = cpu_rflags(c);
#define GET_FIELD(name) ret->name = c->name;
#define GET_ARRAY(name) __builtin_memcpy(ret->name, c->name, sizeof(ret->name));
    SAME_FIELDS(GET_FIELD)
    SAME_ARRAYS(GET_ARRAY)
#define GET_MSR(msr, member, rule) ret->member = c->member;
    X86_MSRS(GET_MSR)
    fpu_get(c, ret->xsave);
    ret->tsc = clock_tsc() + c->tsc_offset;
    ret->run_state = c->run_state;
    cpu_count_nmis(c);
    ret->nmi_pending = c->nmi_count;
    ret->nmi_second = c->nmi_count > 1;
    pending = atomic_load_explicit(&c->pending, memory_order_seq_cst);
    ret->smi_pending = pending & X86_PENDING_SMI;
    ret->init_pending = pending & X86_PENDING_INIT;
    ret->sipi_pending = pending & X86_PENDING_SIPI && (ret->init_pending || c->run_state == X86_WAIT_FOR_SIPI);
    ret->sipi_vector = ret->sipi_pending ? c->sipi_vector : 0;
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

static void set_pending_smi(struct x86_cpu *c, bool pending)
{
    atomic_fetch_and_explicit(&c->pending, ~(uint32_t)X86_PENDING_SMI, memory_order_seq_cst);
    if (pending)
        x86_cpu_post(c, X86_PENDING_SMI);
}

static void set_pending_nmis(struct x86_cpu *c, uint8_t count)
{
    atomic_fetch_and_explicit(&c->pending, ~(uint32_t)X86_PENDING_NMI, memory_order_seq_cst);
    atomic_store_explicit(&c->nmi_queued, 0, memory_order_seq_cst);
    c->nmi_count = count;
    if (count)
        x86_cpu_post(c, X86_PENDING_NMI);
}

static bool may_be(const struct x86_cpu *c, const struct x86_cpu_state *s)
{
    return (!s->smm || c->vm->smm) && x86_state_valid(s, cpuid_cr4_offered(c->vm->cpuid), c->vm->cpuid->xcr0);
}

static void set_registers(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    for (unsigned n = 0; n < 16; n++)
        c->reg[n] = s->gpr[n];
    c->rip = s->rip;
    c->link = NULL;
    cpu_set_rflags(c, s->rflags, ~UINT64_C(0));
#define SET_FIELD(name) c->name = s->name;
#define SET_ARRAY(name) __builtin_memcpy(c->name, s->name, sizeof(c->name));
    SAME_FIELDS(SET_FIELD)
    SAME_ARRAYS(SET_ARRAY)
#define SET_MSR(msr, member, rule) c->member = s->member;
    X86_MSRS(SET_MSR)
    c->cr0 |= X86_CR0_ET;
    c->run_state = (uint8_t)s->run_state;
    c->cpl = cpl_of(s);
    fpu_mode_changed(c);
    cpu_recompute(c);
    mmu_load_pdptes(c, c->cr3); /* they are not part of the state */
    mmu_mode_changed(c);
    mmu_flush_all(c);
}

int cpu_set_registers(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    fpu_park(c);
    if (!may_be(c, s))
        return -EINVAL;
    set_registers(c, s);
    return 0;
}

/* All but whether an SMI is pending: one may come at any time. */
static int set_but_smi(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    fpu_park(c);
    if (!may_be(c, s) || fpu_set(c, s->xsave)) /* a state that is refused changes nothing */
        return -EINVAL;
    set_registers(c, s);
    cpu_set_tsc_offset(c, s->tsc - clock_tsc());
    /* TSC deadlines are compared elsewhere; they must be by the same clock. */
    if (c->vm->host->tsc_changed)
        c->vm->host->tsc_changed(c->vm->host_arg, c->index, c->tsc_offset);
    set_pending_nmis(c, (uint8_t)(s->nmi_pending + s->nmi_second));
    if (s->init_pending)
        x86_cpu_post(c, X86_PENDING_INIT);
    if (s->sipi_pending) {
        c->sipi_vector = s->sipi_vector;
        x86_cpu_post(c, X86_PENDING_SIPI);
    }
    set_fault(c, s);
    return 0;
}

int x86_cpu_set(struct x86_cpu *c, const struct x86_cpu_state *s)
{
    int r = set_but_smi(c, s);

    if (!r)
        set_pending_smi(c, s->smi_pending);
    return r;
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
    x86_cpu_state_reset(s, c->index == 0, true); /* leaves SMBASE alone, as the next an SMI that waits */
    cpuid_query(c, 1, 0, leaf);
    s->gpr[X86_RDX] = leaf[0];
    if (set_but_smi(c, s)) {
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
