/* SPDX-License-Identifier: MIT */
/* Registers and events of <vz/hypervisor.h>. All of them are parts of the architectural state,
 * which is read from the backend when first asked for after a run and put back before the next. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/msrs.h"
#include "arch/x86/regs.h"
#include "base/clock.h"
#include "hypervisor/hyp.h"

/* ---- the state as a whole ---- */

void hyp_regs_forget(struct vz_hv_vcpu *v)
{
    v->loaded = false;
}

/* What the program has set over what the backend has. */
static void overlay(const struct vz_hv_vcpu *v, struct x86_cpu_state *on)
{
    const uint8_t *from = (const uint8_t *)&v->state;
    uint8_t *to = (uint8_t *)on;

    for (size_t n = 0; v->changed && n < sizeof(*on); n++)
        if (v->dirty[n])
            to[n] = from[n];
}

static int load(struct vz_hv_vcpu *v)
{
    struct x86_cpu_state *now;
    int r = -ENOMEM;

    if (v->loaded)
        return 0;
    now = calloc(1, sizeof(*now));
    if (now)
        r = hv_x86_get(v->ops, v->hv, now);
    if (!r) {
        overlay(v, now);
        v->state = *now;
        v->loaded = true;
    }
    free(now);
    return r;
}

int hyp_regs_flush(struct vz_hv_vcpu *v)
{
    size_t tsc = offsetof(struct x86_cpu_state, tsc);
    struct x86_cpu_state *now;
    uint64_t since;
    int r;

    if (!v->changed)
        return 0;
    now = calloc(1, sizeof(*now));
    if (!now)
        return -ENOMEM;
    since = clock_tsc();
    r = hv_x86_get(v->ops, v->hv, now);
    if (!r) {
        overlay(v, now);
        if (!v->dirty[tsc])
            now->tsc += clock_tsc() - since; /* it has not stood still */
        r = hv_x86_set(v->ops, v->hv, now);
    }
    free(now);
    if (!r) {
        v->changed = v->loaded = false;
        memset(v->dirty, 0, sizeof(v->dirty));
    }
    return r;
}

static void mark(struct vz_hv_vcpu *v, const void *field, size_t len)
{
    memset(v->dirty + ((const uint8_t *)field - (const uint8_t *)&v->state), 1, len);
    v->changed = true;
}

int hyp_regs_first(struct vz_hv_vcpu *v)
{
    int r = load(v);

    if (!r)
        v->slot->signature = v->state.gpr[X86_RDX];
    return r;
}

void hyp_regs_reset(struct vz_hv_vcpu *v)
{
    memset(&v->state, 0, sizeof(v->state));
    x86_cpu_state_reset(&v->state, v->slot == &v->vm->slot[0], false);
    v->state.gpr[X86_RDX] = v->slot->signature;
    if (!v->vm->irqchip)
        v->state.run_state = X86_RUNNING;
    mark(v, &v->state, sizeof(v->state));
    memset(v->dirty + offsetof(struct x86_cpu_state, tsc), 0, sizeof(v->state.tsc));
    v->loaded = false;
}

/* Before every access: the right thread, somewhere to put it, and the state at hand. */
static enum vz_hv_result begin(struct vz_hv_vcpu *v, const void *p)
{
    enum vz_hv_result r = hyp_check(v);

    if (!r && !p)
        r = VZ_HV_BAD_ARGUMENT;
    if (!r && load(v))
        r = VZ_HV_ERROR;
    return r;
}

/* ---- registers ---- */

static uint64_t *reg_field(struct x86_cpu_state *s, enum vz_hv_reg reg)
{
    switch (reg) {
    case VZ_HV_REG_RIP: return &s->rip;
    case VZ_HV_REG_RFLAGS: return &s->rflags;
    case VZ_HV_REG_CR0: return &s->cr0;
    case VZ_HV_REG_CR2: return &s->cr2;
    case VZ_HV_REG_CR3: return &s->cr3;
    case VZ_HV_REG_CR4: return &s->cr4;
    case VZ_HV_REG_CR8: return &s->cr8;
    case VZ_HV_REG_XCR0: return &s->xcr0;
    case VZ_HV_REG_DR0: case VZ_HV_REG_DR1: case VZ_HV_REG_DR2: case VZ_HV_REG_DR3:
        return &s->dr[reg - VZ_HV_REG_DR0];
    case VZ_HV_REG_DR6: return &s->dr6;
    case VZ_HV_REG_DR7: return &s->dr7;
    default: return (unsigned)reg <= VZ_HV_REG_R15 ? &s->gpr[reg] : NULL;
    }
}

enum vz_hv_result vz_hv_vcpu_get_reg(struct vz_hv_vcpu *v, enum vz_hv_reg reg, uint64_t *ret)
{
    enum vz_hv_result r = begin(v, ret);

    if (r)
        return r;
    if (!reg_field(&v->state, reg))
        return VZ_HV_BAD_ARGUMENT;
    *ret = *reg_field(&v->state, reg);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_set_reg(struct vz_hv_vcpu *v, enum vz_hv_reg reg, uint64_t value)
{
    enum vz_hv_result r = begin(v, v);
    uint64_t *field;

    if (r)
        return r;
    field = reg_field(&v->state, reg);
    if (!field || (reg == VZ_HV_REG_CR8 && value > 15))
        return VZ_HV_BAD_ARGUMENT;
    *field = value;
    mark(v, field, sizeof(*field));
    return VZ_HV_SUCCESS;
}

/* ---- segments and tables ---- */

enum vz_hv_result vz_hv_vcpu_get_segment(struct vz_hv_vcpu *v, enum vz_hv_segment_reg reg,
                                         struct vz_hv_segment *ret)
{
    enum vz_hv_result r = begin(v, ret);
    const struct x86_segment *s;

    if (r)
        return r;
    if ((unsigned)reg >= VZ_HV_SEGMENT_COUNT)
        return VZ_HV_BAD_ARGUMENT;
    s = &v->state.seg[reg];
    *ret = (struct vz_hv_segment){s->base, s->limit, s->selector, s->attr};
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_set_segment(struct vz_hv_vcpu *v, enum vz_hv_segment_reg reg,
                                         const struct vz_hv_segment *value)
{
    enum vz_hv_result r = begin(v, value);
    struct x86_segment *s;

    if (r)
        return r;
    if ((unsigned)reg >= VZ_HV_SEGMENT_COUNT)
        return VZ_HV_BAD_ARGUMENT;
    s = &v->state.seg[reg];
    *s = (struct x86_segment){value->base, value->limit, value->selector, value->access};
    mark(v, s, sizeof(*s));
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_get_table(struct vz_hv_vcpu *v, enum vz_hv_table_reg reg,
                                       uint64_t *ret_base, uint16_t *ret_limit)
{
    enum vz_hv_result r = begin(v, ret_base);
    const struct x86_table *t;

    if (r)
        return r;
    if ((unsigned)reg >= VZ_HV_TABLE_COUNT || !ret_limit)
        return VZ_HV_BAD_ARGUMENT;
    t = reg == VZ_HV_GDTR ? &v->state.gdtr : &v->state.idtr;
    *ret_base = t->base;
    *ret_limit = t->limit;
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_set_table(struct vz_hv_vcpu *v, enum vz_hv_table_reg reg,
                                       uint64_t base, uint16_t limit)
{
    enum vz_hv_result r = begin(v, v);
    struct x86_table *t;

    if (r)
        return r;
    if ((unsigned)reg >= VZ_HV_TABLE_COUNT)
        return VZ_HV_BAD_ARGUMENT;
    t = reg == VZ_HV_GDTR ? &v->state.gdtr : &v->state.idtr;
    t->base = base;
    t->limit = limit;
    mark(v, t, sizeof(*t));
    return VZ_HV_SUCCESS;
}

/* ---- MSRs ---- */

static uint64_t *msr_field(struct x86_cpu_state *s, uint32_t msr)
{
    if (msr == MSR_KVM_PV_EOI)
        return NULL; /* a matter between the guest and the interrupt controllers */
    switch (msr) {
#define FIELD(number, member, rule)                                                                \
    case number: return &s->member;
    X86_MSRS(FIELD)
    X86_MSRS_ELSEWHERE(FIELD)
#undef FIELD
    default: return NULL;
    }
}

enum vz_hv_result vz_hv_vcpu_get_msr(struct vz_hv_vcpu *v, uint32_t msr, uint64_t *ret)
{
    enum vz_hv_result r = begin(v, ret);

    if (r)
        return r;
    if (!msr_field(&v->state, msr))
        return VZ_HV_UNSUPPORTED;
    *ret = *msr_field(&v->state, msr);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_set_msr(struct vz_hv_vcpu *v, uint32_t msr, uint64_t value)
{
    enum vz_hv_result r = begin(v, v);
    uint64_t *field;

    if (r)
        return r;
    field = msr_field(&v->state, msr);
    if (!field)
        return VZ_HV_UNSUPPORTED;
    *field = value;
    mark(v, field, sizeof(*field));
    return VZ_HV_SUCCESS;
}

/* ---- vector state ---- */

#define XSAVE_MIN 576

enum vz_hv_result vz_hv_vcpu_get_xsave(struct vz_hv_vcpu *v, void *ret, size_t len)
{
    enum vz_hv_result r = begin(v, ret);

    if (r)
        return r;
    if (len < XSAVE_MIN || len > sizeof(v->state.xsave))
        return VZ_HV_BAD_ARGUMENT;
    memcpy(ret, v->state.xsave, len);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_set_xsave(struct vz_hv_vcpu *v, const void *area, size_t len)
{
    enum vz_hv_result r = begin(v, area);

    if (r)
        return r;
    if (len < XSAVE_MIN || len > sizeof(v->state.xsave))
        return VZ_HV_BAD_ARGUMENT;
    memcpy(v->state.xsave, area, len);
    mark(v, v->state.xsave, len);
    return VZ_HV_SUCCESS;
}

/* ---- events ---- */

/* Fields with the same name on both sides. */
#define EVENT_FIELDS(X)                                                                            \
    X(sti_shadow) X(mov_ss_shadow) X(nmi_blocked) X(nmi_pending) X(exception_pending)              \
    X(exception_has_error) X(exception_vector) X(exception_error)

enum vz_hv_result vz_hv_vcpu_get_events(struct vz_hv_vcpu *v, struct vz_hv_events *ret)
{
    enum vz_hv_result r = begin(v, ret);

    if (r)
        return r;
    *ret = (struct vz_hv_events){
        .halted = v->state.run_state == X86_HALTED,
        .waits_for_sipi = v->state.run_state == X86_WAIT_FOR_SIPI,
    };
#define GET_EVENT(name) ret->name = v->state.name;
    EVENT_FIELDS(GET_EVENT)
    return VZ_HV_SUCCESS;
}

/* Can it be raised from outside, with such an error code? Those that push one, in protected mode,
 * are listed in SDM vol. 3, table 6-1; 29 and 30 are AMD's. An NMI is no exception, and #BP and #OF
 * are the end of an instruction, whose length hardware wants to know. */
static bool can_raise(unsigned vector, bool has_error)
{
    const uint32_t pushing = 1u << X86_DF | 0x1fu << X86_TS | 1u << X86_AC | 1u << 21 | 1u << 29 | 1u << 30;
    const uint32_t never = 1u << X86_NMI | 1u << X86_BP | 1u << X86_OF;

    return vector < 32 && !(never >> vector & 1) && (!has_error || (pushing >> vector & 1));
}

static void set_second_nmi(struct vz_hv_vcpu *v, bool pending)
{
    v->state.nmi_second = pending;
    mark(v, &v->state.nmi_second, sizeof(v->state.nmi_second));
}

enum vz_hv_result vz_hv_vcpu_set_events(struct vz_hv_vcpu *v, const struct vz_hv_events *e)
{
    enum vz_hv_result r = begin(v, e);

    if (r)
        return r;
    if ((e->exception_pending && !can_raise(e->exception_vector, e->exception_has_error)) ||
        (e->sti_shadow && e->mov_ss_shadow) || (e->halted && e->waits_for_sipi) ||
        (e->exception_pending && (e->halted || e->waits_for_sipi)))
        return VZ_HV_BAD_ARGUMENT;
    if ((e->halted || e->waits_for_sipi) && !v->vm->irqchip)
        return VZ_HV_UNSUPPORTED;
#define SET_EVENT(name)                                                                            \
    v->state.name = e->name;                                                                       \
    mark(v, &v->state.name, sizeof(v->state.name));
    EVENT_FIELDS(SET_EVENT)
    /* One behind the first stays as it is, where it may be. */
    if (!e->nmi_pending || e->nmi_blocked)
        set_second_nmi(v, false);
    if (v->state.run_state != X86_SHUTDOWN) {
        v->state.run_state = e->halted ? X86_HALTED : e->waits_for_sipi ? X86_WAIT_FOR_SIPI
                                                                        : X86_RUNNING;
        mark(v, &v->state.run_state, sizeof(v->state.run_state));
    }
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_inject_nmi(struct vz_hv_vcpu *v)
{
    enum vz_hv_result r = begin(v, v);

    if (r)
        return r;
    if (v->state.nmi_pending && !v->state.nmi_blocked)
        set_second_nmi(v, true);
    v->state.nmi_pending = true;
    mark(v, &v->state.nmi_pending, sizeof(v->state.nmi_pending));
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_inject_exception(struct vz_hv_vcpu *v, unsigned vector,
                                              bool has_error, uint32_t error)
{
    struct vz_hv_events e;
    enum vz_hv_result r = vz_hv_vcpu_get_events(v, &e);

    if (r)
        return r;
    if (e.exception_pending)
        return VZ_HV_BUSY;
    if (vector > 31)
        return VZ_HV_BAD_ARGUMENT;
    e.exception_pending = true;
    e.exception_vector = (uint8_t)vector;
    e.exception_has_error = has_error;
    e.exception_error = has_error ? error : 0;
    e.halted = false;
    return vz_hv_vcpu_set_events(v, &e);
}

/* ---- interrupts without controllers ---- */

static enum vz_hv_result check_bare(struct vz_hv_vcpu *v)
{
    enum vz_hv_result r = hyp_check(v);

    return !r && v->vm->irqchip ? VZ_HV_UNSUPPORTED : r;
}

enum vz_hv_result vz_hv_vcpu_inject_interrupt(struct vz_hv_vcpu *v, unsigned vector)
{
    enum vz_hv_result r = check_bare(v);

    if (r || vector > 255)
        return r ? r : VZ_HV_BAD_ARGUMENT;
    return hyp_result(v->ops->bare->interrupt(v->hv, (int)vector));
}

enum vz_hv_result vz_hv_vcpu_withdraw_interrupt(struct vz_hv_vcpu *v)
{
    enum vz_hv_result r = check_bare(v);

    if (r)
        return r;
    return v->ops->bare->interrupt(v->hv, -1) ? VZ_HV_BAD_ARGUMENT : VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_request_interrupt_window(struct vz_hv_vcpu *v, bool on)
{
    enum vz_hv_result r = check_bare(v);

    if (!r)
        v->ops->bare->window(v->hv, on);
    return r;
}
