/* SPDX-License-Identifier: MIT */
/* Delivery of exceptions and interrupts: what happens around the gate (event_gate.c, event_long.c),
 * that is classes, double and triple faults. SDM vol. 3, chapter 6. */
#include "cpu/x86/event.h"

#include <stdio.h>

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/system/event_gate.h"
#include "cpu/x86/system/segment.h"

/* Table 6-5. */
enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum event_class class_of(uint8_t vector)
{
    if (vector == X86_PF)
        return PAGE_FAULT;
    if (vector == X86_DF)
        return DOUBLE_FAULT;
    if (vector == X86_DE || (vector >= X86_TS && vector <= X86_GP))
        return CONTRIBUTORY;
    return BENIGN;
}

static bool makes_double_fault(enum event_class first, enum event_class second)
{
    return second != BENIGN && (first == PAGE_FAULT || (first == CONTRIBUTORY && second == CONTRIBUTORY));
}

/* Faults leave RF set in the pushed flags, so that the instruction is not stopped again by its own
 * breakpoint. #DB is a fault only for debug registers being in use (cpu_raise() with error 1). */
static bool is_fault(uint8_t vector, uint32_t error)
{
    const uint32_t faults = BIT(X86_DE) | BIT(X86_BR) | BIT(X86_UD) | BIT(X86_NM) | BIT(X86_TS) |
                            BIT(X86_NP) | BIT(X86_SS_FAULT) | BIT(X86_GP) | BIT(X86_PF) |
                            BIT(X86_MF) | BIT(X86_AC) | BIT(X86_XM);

    if (vector == X86_DB)
        return error;
    return vector < 32 && (faults >> vector & 1);
}

static cold bool triple_fault(struct x86_cpu *c, const struct event *e)
{
    char where[160];

    fpu_park(c);
    x86_cpu_describe(c, where, sizeof(where));
    snprintf(c->shutdown_text, sizeof(c->shutdown_text),
             "exception %u (error 0x%x) while delivering #DF; cr2 0x%llx, idt 0x%llx "
             "limit 0x%x; %s", c->fault.vector, c->fault.has_error ? c->fault.error : 0,
             (unsigned long long)c->cr2, (unsigned long long)c->idtr.base, c->idtr.limit, where);
    c->fault.pending = false;
    c->run_state = X86_SHUTDOWN;
    return false;
}

static bool through_table(struct x86_cpu *c, const struct event *e)
{
    if (in_long_mode(c))
        return event_through_long_idt(c, e);
    if (!(c->cr0 & X86_CR0_PE))
        return event_through_ivt(c, e);
    return event_through_idt(c, e);
}

/* The exception in c->fault, met while delivering e, becomes the event to deliver. */
static bool take_nested(struct x86_cpu *c, struct event *e, enum event_class *class)
{
    uint8_t vector = c->fault.vector;

    if (*class == DOUBLE_FAULT && class_of(vector) != BENIGN)
        return triple_fault(c, e);
    e->error = c->fault.error;
    e->has_error = c->fault.has_error;
    if (e->has_error && vector != X86_PF)
        e->error |= e->ext;
    e->vector = vector;
    if (makes_double_fault(*class, class_of(vector))) {
        e->vector = X86_DF;
        e->has_error = true;
        e->error = 0;
    }
    *class = class_of(e->vector);
    e->soft = false;
    e->ext = 1;
    e->rip = c->rip;
    e->rflags = (cpu_rflags(c) & ~(uint64_t)X86_FLAG_RF) |
                (is_fault(e->vector, 0) ? X86_FLAG_RF : 0);
    c->count.exceptions++;
    return true;
}

static bool deliver(struct x86_cpu *c, struct event *e, enum event_class class)
{
    c->fault.pending = false;
    while (!through_table(c, e)) {
        c->fault.pending = false;
        if (!take_nested(c, e, &class))
            return false;
    }
    c->sti_shadow = c->mov_ss_shadow = false;
    c->run_state = X86_RUNNING;
    return true;
}

static uint64_t wrap_rip(const struct x86_cpu *c, uint64_t rip)
{
    return in_64bit(c) ? rip : (uint32_t)rip;
}

/* What comes between an IRET that sets RF and the end of the instruction it is for saves RF, or the
 * breakpoint would hit twice (SDM 3, 18.3.1.1). Nobody clears RF where no breakpoint is armed. */
static uint64_t stale_rf(const struct x86_cpu *c)
{
    return c->dr7 & 0xff ? 0 : X86_FLAG_RF;
}

bool event_deliver_fault(struct x86_cpu *c)
{
    struct event e = {
        .vector = c->fault.vector,
        .soft = c->fault.soft,
        .has_error = c->fault.has_error,
        .ext = !c->fault.soft,
        .error = c->fault.error,
        .rip = c->fault.soft ? wrap_rip(c, c->rip + c->fault.soft_len) : c->rip,
        .rflags = cpu_rflags(c) & ~(c->fault.soft ? X86_FLAG_RF : stale_rf(c)),
    };

    if (!e.soft && is_fault(e.vector, e.error))
        e.rflags |= X86_FLAG_RF;
    if (e.vector == X86_DB && !e.soft) {
        c->dr7 &= ~(uint64_t)X86_DR7_GD;
        c->debugctl &= ~(uint64_t)X86_DEBUGCTL_BTF; /* SDM 3, 18.4.3 */
    }
    return deliver(c, &e, e.soft ? BENIGN : class_of(e.vector));
}

static bool deliver_external(struct x86_cpu *c, uint8_t vector)
{
    struct event e = {
        .vector = vector,
        .ext = 1,
        .rip = c->rip,
        .rflags = cpu_rflags(c) & ~stale_rf(c),
    };

    return deliver(c, &e, BENIGN);
}

bool event_deliver_interrupt(struct x86_cpu *c, uint8_t vector)
{
    return deliver_external(c, vector);
}

bool event_deliver_nmi(struct x86_cpu *c)
{
    c->nmi_blocked = true;
    return deliver_external(c, X86_NMI);
}

void cpu_set_rflags(struct x86_cpu *c, uint64_t value, uint64_t mask)
{
    uint64_t now = (cpu_rflags(c) & ~mask) | (value & mask) | X86_FLAG_1;
    bool ac_changes = (c->rflags ^ now) & X86_FLAG_AC;

    c->rflags = now & ~(uint64_t)X86_FLAGS_ARITH;
    c->af = af_from_rflags(now);
    if (unlikely(ac_changes) && c->mmu)
        mmu_privilege_changed(c); /* SMAP and alignment checks go by it */
}
