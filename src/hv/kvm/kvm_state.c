/* SPDX-License-Identifier: MIT */
/* A vCPU's state between KVM's structures and struct x86_cpu_state.
 *
 * KVM may hold an interrupt that it has acknowledged at the local APIC but not yet delivered
 * (kvm_vcpu_events.interrupt.injected). No architecture has such a state, so reading a vCPU takes
 * it back: the vector goes from in service to requested again, from where it comes once more. */
#include <errno.h>
#include <string.h>

#include "arch/x86/lapic_spec.h"
#include "arch/x86/msrs.h"
#include "arch/x86/policy.h"
#include "arch/x86/tsc.h"
#include "base/clock.h"
#include "base/le.h"
#include "hv/kvm/kvm.h"
#include "state/state.h"

#define XSTATE_BV_AT 512u
#define XSTATE_KNOWN (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512)

/* ---- MSRs ---- */

struct state_msr {
    uint32_t msr;
    uint32_t at; /* in struct x86_cpu_state */
};

/* Those that are not in KVM's other structures. The TSC itself is set by set_tsc(). */
static const struct state_msr state_msrs[] = {
#define STATE_MSR(number, member, rule) {number, offsetof(struct x86_cpu_state, member)},
    X86_MSRS(STATE_MSR)
    STATE_MSR(MSR_TSC, tsc, OWN)
    STATE_MSR(MSR_TSC_DEADLINE, tsc_deadline, OWN)
#undef STATE_MSR
};
_Static_assert(ARRAY_SIZE(state_msrs) <= KVM_STATE_MSRS_MAX, "has_msr is too short");

struct one_msr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
};

struct msr_batch {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[ARRAY_SIZE(state_msrs)];
};

int kvm_get_msr(struct hv_vcpu *v, uint32_t msr, uint64_t *ret)
{
    struct one_msr m = {.head = {.nmsrs = 1}, .entry = {.index = msr}};
    int r = kvm_ioctl(v->fd, KVM_GET_MSRS, &m);

    if (r != 1)
        return r < 0 ? r : -EINVAL;
    *ret = m.entry.data;
    return 0;
}

int kvm_set_msr(struct hv_vcpu *v, uint32_t msr, uint64_t value)
{
    struct one_msr m = {.head = {.nmsrs = 1}, .entry = {.index = msr, .data = value}};
    int r = kvm_ioctl(v->fd, KVM_SET_MSRS, &m);

    return r == 1 ? 0 : r < 0 ? r : -EINVAL;
}

int kvm_state_probe_msrs(struct hv_vm *vm)
{
    uint64_t ignored;

    for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++)
        vm->has_msr[i] = !kvm_get_msr(&vm->vcpu[0], state_msrs[i].msr, &ignored);
    return 0;
}

static uint64_t *msr_field(struct x86_cpu_state *s, unsigned i)
{
    return (uint64_t *)((char *)s + state_msrs[i].at);
}

static int get_msrs(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct msr_batch m = {.head = {0}};
    unsigned n = 0;
    int r;

    for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++) {
        if (v->vm->has_msr[i])
            m.entry[m.head.nmsrs++].index = state_msrs[i].msr;
    }
    r = kvm_ioctl(v->fd, KVM_GET_MSRS, &m);
    if (r < 0 || (unsigned)r != m.head.nmsrs)
        return r < 0 ? r : -EIO;
    for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++)
        *msr_field(s, i) = v->vm->has_msr[i] ? m.entry[n++].data : 0;
    if (!v->vm->host_cpu)
        s->debugctl &= X86_DEBUGCTL_KNOWN; /* older KVMs let guests on AMD's processors set bits that do nothing */
    return 0;
}

/* A register that this processor has not got can hold nothing but 0. */
static int set_msrs(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    struct msr_batch m = {.head = {0}};
    int r;

    for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++) {
        uint64_t value = *msr_field((struct x86_cpu_state *)s, i);

        if (!v->vm->has_msr[i] && value)
            return -EINVAL;
        if (v->vm->has_msr[i] && state_msrs[i].msr != MSR_TSC)
            m.entry[m.head.nmsrs++] =
                (struct kvm_msr_entry){.index = state_msrs[i].msr, .data = value};
    }
    r = kvm_ioctl(v->fd, KVM_SET_MSRS, &m);
    return r < 0 ? r : (unsigned)r == m.head.nmsrs ? 0 : -EINVAL;
}

/* ---- TSC ---- */

static int tsc_offset(struct hv_vcpu *v, unsigned long request, uint64_t *offset)
{
    struct kvm_device_attr a = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
                                .addr = (uint64_t)(uintptr_t)offset};

    return kvm_ioctl(v->fd, request, &a);
}

/* Writing the MSR would have KVM guess as tsc_settle() does, but with what was written to this
 * machine before. */
static int set_tsc(struct hv_vcpu *v, uint64_t tsc)
{
    struct tsc_first first = {.tsc = v->vm->tsc_of_first, .together = !v->vm->embedded,
                              .khz = v->index ? tsc_rate_khz(&v->vm->tsc) : 0};
    uint64_t offset = tsc - clock_tsc();

    if (!v->index)
        v->vm->tsc_of_first = tsc;
    else if (!tsc_offset(&v->vm->vcpu[0], KVM_GET_DEVICE_ATTR, &first.offset))
        offset = tsc_settle(&first, tsc, offset);
    if (!tsc_offset(v, KVM_SET_DEVICE_ATTR, &offset))
        return 0;
    return kvm_set_msr(v, MSR_TSC, tsc); /* before Linux 5.16 */
}

/* ---- registers ---- */

/* KVM's order against the instruction encoding's. */
#define GPRS(X)                                                                                    \
    X(rax, X86_RAX) X(rbx, X86_RBX) X(rcx, X86_RCX) X(rdx, X86_RDX) X(rsi, X86_RSI)                \
    X(rdi, X86_RDI) X(rsp, X86_RSP) X(rbp, X86_RBP) X(r8, X86_R8) X(r9, X86_R9) X(r10, X86_R10)    \
    X(r11, X86_R11) X(r12, X86_R12) X(r13, X86_R13) X(r14, X86_R14) X(r15, X86_R15)
#define SEGMENTS(X)                                                                                \
    X(es, X86_ES) X(cs, X86_CS) X(ss, X86_SS) X(ds, X86_DS) X(fs, X86_FS) X(gs, X86_GS)            \
    X(ldt, X86_LDTR) X(tr, X86_TR)
#define CONTROLS(X) X(cr0) X(cr2) X(cr3) X(cr4) X(cr8) X(efer) X(apic_base)

static struct x86_segment segment_from(const struct kvm_segment *k)
{
    uint16_t attr = (uint16_t)(k->type | (k->s ? SEG_ATTR_S : 0) | k->dpl << SEG_ATTR_DPL_SHIFT |
                               (k->present && !k->unusable ? SEG_ATTR_P : 0) |
                               (k->avl ? SEG_ATTR_AVL : 0) | (k->l ? SEG_ATTR_L : 0) |
                               (k->db ? SEG_ATTR_DB : 0) | (k->g ? SEG_ATTR_G : 0));

    return (struct x86_segment){.base = k->base, .limit = k->limit, .selector = k->selector,
                                .attr = attr};
}

static struct kvm_segment segment_to(const struct x86_segment *s)
{
    bool present = s->attr & SEG_ATTR_P;

    return (struct kvm_segment){
        .base = s->base, .limit = s->limit, .selector = s->selector,
        .type = s->attr & SEG_ATTR_TYPE, .s = !!(s->attr & SEG_ATTR_S),
        .dpl = (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT, .present = present,
        .avl = !!(s->attr & SEG_ATTR_AVL), .l = !!(s->attr & SEG_ATTR_L),
        .db = !!(s->attr & SEG_ATTR_DB), .g = !!(s->attr & SEG_ATTR_G), .unusable = !present};
}

static int get_regs(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_regs k;
    int r = kvm_ioctl(v->fd, KVM_GET_REGS, &k);

    if (r)
        return r;
#define GET(theirs, ours) s->gpr[ours] = k.theirs;
    GPRS(GET)
#undef GET
    s->rip = k.rip;
    s->rflags = k.rflags;
    return 0;
}

static int set_regs(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    struct kvm_regs k = {.rip = s->rip, .rflags = s->rflags};

#define SET(theirs, ours) k.theirs = s->gpr[ours];
    GPRS(SET)
#undef SET
    return kvm_ioctl(v->fd, KVM_SET_REGS, &k);
}

static int get_sregs(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_sregs k;
    int r = kvm_ioctl(v->fd, KVM_GET_SREGS, &k);

    if (r)
        return r;
#define GET(theirs, ours) s->seg[ours] = segment_from(&k.theirs);
    SEGMENTS(GET)
#undef GET
#define GET(name) s->name = k.name;
    CONTROLS(GET)
#undef GET
    s->gdtr = (struct x86_table){.base = k.gdt.base, .limit = k.gdt.limit};
    s->idtr = (struct x86_table){.base = k.idt.base, .limit = k.idt.limit};
    return 0;
}

static int set_sregs(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    struct kvm_sregs k = {.gdt = {.base = s->gdtr.base, .limit = s->gdtr.limit},
                          .idt = {.base = s->idtr.base, .limit = s->idtr.limit}};

#define SET(theirs, ours) k.theirs = segment_to(&s->seg[ours]);
    SEGMENTS(SET)
#undef SET
#define SET(name) k.name = s->name;
    CONTROLS(SET)
#undef SET
    return kvm_ioctl(v->fd, KVM_SET_SREGS, &k);
}

/* ---- vector state, debug registers ---- */

_Static_assert(sizeof(struct kvm_xsave) >= X86_XSAVE_MAX, "what follows copies all of it");

static int get_xstate(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_xsave area;
    struct kvm_xcrs xcrs;
    int r = kvm_ioctl(v->fd, KVM_GET_XSAVE, &area);

    if (!r)
        r = kvm_ioctl(v->fd, KVM_GET_XCRS, &xcrs);
    if (r)
        return r;
    memcpy(s->xsave, &area, sizeof(s->xsave));
    store_le64(s->xsave + XSTATE_BV_AT, load_le64(s->xsave + XSTATE_BV_AT) & XSTATE_KNOWN);
    s->xcr0 = X86_XCR0_X87;
    for (unsigned i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++) {
        if (xcrs.xcrs[i].xcr == 0)
            s->xcr0 = xcrs.xcrs[i].value;
    }
    return 0;
}

static int set_xstate(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = s->xcr0}};
    struct kvm_xsave area;
    int r;

    memset(&area, 0, sizeof(area));
    memcpy(&area, s->xsave, sizeof(s->xsave));
    r = kvm_ioctl(v->fd, KVM_SET_XSAVE, &area);
    return r ? r : kvm_ioctl(v->fd, KVM_SET_XCRS, &xcrs);
}

static int get_debug(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_debugregs k;
    int r = kvm_ioctl(v->fd, KVM_GET_DEBUGREGS, &k);

    if (r)
        return r;
    memcpy(s->dr, k.db, sizeof(s->dr));
    s->dr6 = k.dr6;
    s->dr7 = k.dr7;
    return 0;
}

static int set_debug(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    struct kvm_debugregs k = {.dr6 = s->dr6, .dr7 = s->dr7};

    memcpy(k.db, s->dr, sizeof(k.db));
    return kvm_ioctl(v->fd, KVM_SET_DEBUGREGS, &k);
}

/* ---- events ---- */

static void move_bit(struct kvm_lapic_state *l, unsigned from, unsigned to, uint8_t vector)
{
    uint32_t at = 16u * (vector / 32), bit = 1u << vector % 32, word;

    memcpy(&word, l->regs + from + at, 4);
    if (!(word & bit))
        return;
    word &= ~bit;
    memcpy(l->regs + from + at, &word, 4);
    memcpy(&word, l->regs + to + at, 4);
    word |= bit;
    memcpy(l->regs + to + at, &word, 4);
}

/* Take back an interrupt that was acknowledged at the local APIC and not delivered. One from the
 * PICs is not found in service there; it stays with KVM, and is lost to another backend. */
static int take_back_interrupt(struct hv_vcpu *v, struct kvm_vcpu_events *e)
{
    struct kvm_lapic_state l;
    uint8_t vector = e->interrupt.nr;
    int r;

    if (!e->interrupt.injected)
        return 0;
    if (!e->interrupt.soft && !v->vm->irqchip) {
        v->vector = vector;
    } else if (!e->interrupt.soft) { /* INT n: RIP is still at it, it runs again */
        r = kvm_ioctl(v->fd, KVM_GET_LAPIC, &l);
        if (r)
            return r;
        if (!(l.regs[APIC_ISR + 16 * (vector / 32) + vector % 32 / 8] & 1u << vector % 8))
            return 0;
        move_bit(&l, APIC_ISR, APIC_IRR, vector);
        r = kvm_ioctl(v->fd, KVM_SET_LAPIC, &l);
        if (r)
            return r;
    }
    e->interrupt.injected = 0;
    e->interrupt.nr = 0;
    e->interrupt.soft = 0;
    e->flags = KVM_VCPUEVENT_VALID_SHADOW;
    return kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, e);
}

static int get_events(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_vcpu_events e;
    int r = kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e);
    unsigned nmis;

    if (!r)
        r = take_back_interrupt(v, &e);
    if (r)
        return r;
    s->mov_ss_shadow = e.interrupt.shadow == KVM_X86_SHADOW_INT_MOV_SS;
    s->sti_shadow = e.interrupt.shadow && !s->mov_ss_shadow; /* AMD tells no difference */
    nmis = e.nmi.pending + e.nmi.injected; /* before Linux 6.1 pending does not count */
    s->nmi_pending = nmis;
    s->nmi_blocked = e.nmi.masked && !e.nmi.injected;
    s->nmi_second = nmis > 1 && !s->nmi_blocked;
    r = kvm_get_smm(v, &e, s);
    if (r)
        return r;
    s->sipi_pending = false; /* get_run_state() has had it taken */
    s->sipi_vector = 0;
    s->exception_pending = e.exception.injected || e.exception.pending;
    s->exception_vector = s->exception_pending ? e.exception.nr & 31 : 0;
    s->exception_has_error = s->exception_pending && e.exception.has_error_code;
    s->exception_error = s->exception_has_error ? e.exception.error_code : 0;
    return 0;
}

static int set_events(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    bool has_error = s->exception_has_error && (s->cr0 & X86_CR0_PE); /* real mode pushes none */
    struct kvm_vcpu_events e = {
        .exception = {.injected = s->exception_pending, .nr = s->exception_vector,
                      .has_error_code = has_error,
                      .error_code = has_error ? s->exception_error : 0},
        .interrupt = {.shadow = (s->sti_shadow ? KVM_X86_SHADOW_INT_STI : 0) |
                                (s->mov_ss_shadow ? KVM_X86_SHADOW_INT_MOV_SS : 0)},
        .nmi = {.pending = s->nmi_pending + s->nmi_second, .masked = s->nmi_blocked},
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
    };
    int r = kvm_set_smm(v, &e, s);

    if (s->sipi_pending && v->vm->irqchip) {
        e.sipi_vector = s->sipi_vector;
        e.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    }
    return r ? r : kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

static int get_run_state(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    struct kvm_mp_state mp;
    int r = kvm_ioctl(v->fd, KVM_GET_MP_STATE, &mp);

    if (r)
        return r;
    switch (mp.mp_state) {
    case KVM_MP_STATE_HALTED: s->run_state = X86_HALTED; break;
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED: s->run_state = X86_WAIT_FOR_SIPI; break;
    default: s->run_state = X86_RUNNING; break;
    }
    if (v->shut_down)
        s->run_state = X86_SHUTDOWN;
    return 0;
}

static int set_run_state(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    static const uint32_t states[X86_RUN_STATE_COUNT] = {
        [X86_RUNNING] = KVM_MP_STATE_RUNNABLE, [X86_HALTED] = KVM_MP_STATE_HALTED,
        [X86_WAIT_FOR_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
        [X86_SHUTDOWN] = KVM_MP_STATE_HALTED,
    };
    struct kvm_mp_state mp = {.mp_state = states[s->run_state]};

    if (!v->vm->irqchip)
        mp.mp_state = KVM_MP_STATE_RUNNABLE; /* it knows no other */
    else if (s->sipi_pending && !s->smm)
        mp.mp_state = KVM_MP_STATE_SIPI_RECEIVED; /* it waits, and one is there; in that mode KVM would never leave it */
    v->shut_down = s->run_state == X86_SHUTDOWN;
    return kvm_ioctl(v->fd, KVM_SET_MP_STATE, &mp);
}

/* ---- all ---- */

int kvm_vcpu_get(struct hv_vcpu *v, struct x86_cpu_state *ret)
{
    int r = get_run_state(v, ret); /* first: it has KVM take an INIT or SIPI that waits */

    if (!r)
        r = get_events(v, ret);
    if (!r)
        r = get_regs(v, ret);
    if (!r)
        r = get_sregs(v, ret);
    if (!r)
        r = get_xstate(v, ret);
    if (!r)
        r = get_debug(v, ret);
    return r ? r : get_msrs(v, ret);
}

static bool is_of_policy(const struct x86_cpu_state *s)
{
    return x86_msrs_valid(s) && s->run_state < X86_RUN_STATE_COUNT &&
           !(s->efer & ~(uint64_t)X86_EFER_OFFERED) && s->exception_vector < 32 &&
           x86_cpu_state_desc.loaded((void *)s, NULL) == 0;
}

/* KVM takes some values that no CPU can hold. A program that sets registers is told so in the same
 * way as by the software CPU; what KVM itself has come to, on whatever processor, is taken back as
 * it is. */
static bool is_valid(const struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    if (v->vm->embedded && !x86_state_valid(s, v->vm->cr4_offered, UINT64_MAX))
        return false;
    if (s->smm && !v->vm->smm)
        return false;
    if (v->vm->host_cpu)
        return s->run_state < X86_RUN_STATE_COUNT && s->exception_vector < 32;
    return is_of_policy(s);
}

static int set_state(struct hv_vcpu *v, const struct x86_cpu_state *s, bool with_tsc)
{
    int r;

    if (!is_valid(v, s))
        return -EINVAL;
    v->run->cr8 = s->cr8; /* KVM_RUN takes it from there if it has no local APIC (api 5) */
    r = set_sregs(v, s);
    if (!r)
        r = set_regs(v, s);
    if (!r)
        r = set_xstate(v, s);
    if (!r)
        r = set_debug(v, s);
    if (!r)
        r = set_run_state(v, s);
    if (!r)
        r = set_events(v, s);
    v->unfinished = false;
    if (!r && with_tsc)
        r = set_tsc(v, s->tsc);
    return r ? r : set_msrs(v, s);
}

int kvm_vcpu_set(struct hv_vcpu *v, const struct x86_cpu_state *s)
{
    return set_state(v, s, true);
}

int kvm_vcpu_reset(struct hv_vcpu *v)
{
    struct x86_cpu_state s;

    x86_cpu_state_reset(&s, v->index == 0, false);
    return set_state(v, &s, false);
}
