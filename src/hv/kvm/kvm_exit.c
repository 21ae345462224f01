/* SPDX-License-Identifier: MIT */
/* What ended KVM_RUN (api 5, the kvm_run structure), turned into calls of the contract. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/regs.h"
#include "base/checked.h"
#include "hv/kvm/kvm.h"

static void serve_port(struct hv_vcpu *v)
{
    struct hv_vm *vm = v->vm;
    unsigned size = v->run->io.size;
    uint8_t *at = (uint8_t *)v->run + v->run->io.data_offset;
    uint16_t port = v->run->io.port;

    kvm_count(&v->count.port_accesses);
    for (uint32_t i = 0; i < v->run->io.count; i++, at += size) {
        uint32_t value = 0;

        if (v->run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, at, size);
            vm->io->port_write(vm->io_arg, port, size, value);
        } else {
            value = vm->io->port_read(vm->io_arg, port, size);
            memcpy(at, &value, size);
        }
    }
}

/* The largest naturally aligned piece at gpa that is not longer than len. */
static unsigned piece_at(gpa_t gpa, unsigned len)
{
    unsigned n = 8;

    while (n > len || gpa % n)
        n /= 2;
    return n;
}

/* An access to memory that KVM could not make itself: a write to ROM, of which nothing hears, or a page of a window
 * whose file was cut short just then. */
static bool is_memory(struct hv_vcpu *v, gpa_t gpa, unsigned len)
{
    const struct mem_region *r = mem_find(v->vm->mem, gpa);
    bool fits = r && range_fits(gpa - r->gpa, len, r->len);

    if (fits && r->window && v->run->mmio.is_write)
        memcpy(r->host + (gpa - r->gpa), v->run->mmio.data, len);
    else if (fits && r->window)
        memcpy(v->run->mmio.data, r->host + (gpa - r->gpa), len);
    return r && ((r->rom && v->run->mmio.is_write && !v->vm->embedded) || (fits && r->window));
}

static void serve_mmio(struct hv_vcpu *v)
{
    struct hv_vm *vm = v->vm;
    unsigned len = MIN(v->run->mmio.len, (uint32_t)sizeof(v->run->mmio.data));
    gpa_t gpa = v->run->mmio.phys_addr, smm = v->run->flags & KVM_RUN_X86_SMM ? HV_GPA_SMM : 0;

    kvm_count(&v->count.mmio_accesses);
    if (is_memory(v, gpa, len))
        return;
    for (unsigned done = 0, n; done < len; done += n) {
        uint8_t *at = v->run->mmio.data + done;
        uint64_t value = 0;

        n = piece_at(gpa + done, len - done);
        if (v->run->mmio.is_write) {
            memcpy(&value, at, n);
            vm->io->mmio_write(vm->io_arg, smm | (gpa + done), n, value);
        } else {
            value = vm->io->mmio_read(vm->io_arg, smm | (gpa + done), n);
            memcpy(at, &value, n);
        }
    }
}

static void serve_msr(struct hv_vcpu *v, bool write)
{
    uint64_t value = v->run->msr.data;
    bool good = write ? kvm_msr_write(v->vm, v->run->msr.index, value)
                      : kvm_msr_read(v->vm, v->run->msr.index, &value);

    kvm_count(&v->count.msr_accesses);
    v->run->msr.error = !good;
    if (!write)
        v->run->msr.data = value;
}

/* ---- what cannot be continued ---- */

/* The bytes at RIP, where the guest's page tables lead somewhere. */
static void describe_code(struct hv_vcpu *v, uint64_t linear, char *buf, size_t len)
{
    struct kvm_translation t = {.linear_address = linear};
    uint8_t code[8];
    size_t used = 0;

    buf[0] = 0;
    if (kvm_ioctl(v->fd, KVM_TRANSLATE, &t) < 0 || !t.valid ||
        mem_read(v->vm->mem, t.physical_address, code, sizeof(code)) < 0)
        return;
    for (unsigned i = 0; i < sizeof(code) && used + 3 < len; i++)
        used += (size_t)snprintf(buf + used, len - used, "%s%02x", i ? " " : "", code[i]);
}

static const char *mode_name(const struct kvm_sregs *s, const struct kvm_regs *r)
{
    if (!(s->cr0 & 1))
        return "real";
    if (r->rflags & 0x20000)
        return "v86";
    return s->cs.l && (s->efer & 0x400) ? "64-bit" : s->cs.db ? "32-bit" : "16-bit";
}

void kvm_describe(struct hv_vcpu *v, const char *what, char *buf, size_t len)
{
    struct kvm_regs r = {0};
    struct kvm_sregs s = {0};
    char code[40];

    (void)kvm_ioctl(v->fd, KVM_GET_REGS, &r);
    (void)kvm_ioctl(v->fd, KVM_GET_SREGS, &s);
    describe_code(v, s.cs.l ? r.rip : (uint32_t)(s.cs.base + r.rip), code, sizeof(code));
    snprintf(buf, len,
             "%s%scpu %u %s cpl %u cs:rip %x:%" PRIx64 " [%s] rsp %" PRIx64 " rflags %" PRIx64
             " cr0 %" PRIx64 " cr2 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64 " efer %" PRIx64
             " rax %" PRIx64 " rbx %" PRIx64 " rcx %" PRIx64 " rdx %" PRIx64 " rsi %" PRIx64
             " rdi %" PRIx64 " rbp %" PRIx64,
             what, what[0] ? ": " : "", v->index, mode_name(&s, &r), s.ss.dpl, s.cs.selector,
             (uint64_t)r.rip, code, (uint64_t)r.rsp, (uint64_t)r.rflags, (uint64_t)s.cr0,
             (uint64_t)s.cr2, (uint64_t)s.cr3, (uint64_t)s.cr4, (uint64_t)s.efer, (uint64_t)r.rax,
             (uint64_t)r.rbx, (uint64_t)r.rcx, (uint64_t)r.rdx, (uint64_t)r.rsi, (uint64_t)r.rdi,
             (uint64_t)r.rbp);
}

static bool fail(struct hv_vcpu *v, struct hv_exit *exit, const char *what)
{
    v->unfinished = false;
    exit->kind = HV_EXIT_ERROR;
    kvm_describe(v, what, exit->text, sizeof(exit->text));
    return false;
}

static bool fail_entry(struct hv_vcpu *v, struct hv_exit *exit)
{
    char what[100];

    snprintf(what, sizeof(what), "the processor refused to enter the guest, reason 0x%" PRIx64,
             (uint64_t)v->run->fail_entry.hardware_entry_failure_reason);
    return fail(v, exit, what);
}

/* Was it that there is nothing to execute at RIP? The gpa where it would be, or UINT64_MAX. */
static gpa_t missing_code(struct hv_vcpu *v)
{
    struct kvm_regs r = {0};
    struct kvm_sregs s = {0};
    struct kvm_translation t = {0};

    if (!v->vm->embedded || kvm_ioctl(v->fd, KVM_GET_REGS, &r) < 0 ||
        kvm_ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        return UINT64_MAX;
    t.linear_address = s.cs.l ? r.rip : (uint32_t)(s.cs.base + r.rip);
    if (!(s.cr0 & 1u << 31))
        t.physical_address = t.linear_address;
    else if (kvm_ioctl(v->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
        return UINT64_MAX;
    return mem_find(v->vm->mem, t.physical_address) ? UINT64_MAX : t.physical_address;
}

/* KVM has queued #UD besides, unless it can do without (KVM_CAP_EXIT_ON_EMULATION_FAILURE). */
static void drop_undefined(struct hv_vcpu *v)
{
    struct kvm_vcpu_events e;

    if (kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) < 0 || e.exception.nr != X86_UD)
        return;
    e.exception.injected = 0;
    e.exception.pending = 0;
    e.flags &= KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
    (void)kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

static bool internal_error(struct hv_vcpu *v, struct hv_exit *exit)
{
    static const char *const names[] = {
        [KVM_INTERNAL_ERROR_EMULATION] = "KVM cannot emulate this instruction",
        [KVM_INTERNAL_ERROR_SIMUL_EX] = "KVM met exceptions at once that it cannot deliver",
        [KVM_INTERNAL_ERROR_DELIVERY_EV] = "KVM could not deliver an event",
        [KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "KVM met an exit it does not expect",
    };
    uint32_t sub = v->run->internal.suberror;
    gpa_t gpa = sub == KVM_INTERNAL_ERROR_EMULATION ? missing_code(v) : UINT64_MAX;

    if (gpa != UINT64_MAX) {
        v->unfinished = false;
        drop_undefined(v);
        exit->kind = HV_EXIT_FETCH;
        exit->gpa = gpa;
        return false;
    }
    return fail(v, exit, sub < ARRAY_SIZE(names) && names[sub] ? names[sub] : "KVM failed");
}

/* A triple fault. AMD's processors do not keep the state that led to it, and KVM resets them. */
static bool shut_down(struct hv_vcpu *v, struct hv_exit *exit)
{
    v->unfinished = false;
    v->shut_down = true;
    exit->kind = HV_EXIT_SHUTDOWN;
    kvm_describe(v, "", exit->text, sizeof(exit->text));
    return false;
}


/* An interrupt would be taken now: the one that is queued, or tell who wants to know. */
static bool window_open(struct hv_vcpu *v, struct hv_exit *exit)
{
    struct kvm_interrupt irq = {.irq = (uint32_t)v->vector};
    int r;

    v->unfinished = false;
    if (v->vector >= 0) {
        v->vector = -1;
        r = kvm_ioctl(v->fd, KVM_INTERRUPT, &irq);
        return !r || fail(v, exit, "KVM does not take an interrupt");
    }
    if (!v->window)
        return true;
    v->window = false;
    exit->kind = HV_EXIT_WINDOW;
    return false;
}

/* An interrupt that is queued wakes the guest. KVM should have told of the window before HLT, but
 * not every /dev/kvm looks at each instruction. */
static bool halted(struct hv_vcpu *v, struct hv_exit *exit)
{
    if (v->vector >= 0 && v->run->if_flag && v->run->ready_for_interrupt_injection)
        return window_open(v, exit);
    v->unfinished = false;
    exit->kind = HV_EXIT_HALT;
    return false;
}

static bool unknown(struct hv_vcpu *v, struct hv_exit *exit)
{
    char what[60];

    snprintf(what, sizeof(what), "KVM left with reason %u", v->run->exit_reason);
    return fail(v, exit, what);
}

bool kvm_serve_exit(struct hv_vcpu *v, struct hv_exit *exit)
{
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO: serve_port(v); return true;
    case KVM_EXIT_MMIO: serve_mmio(v); return true;
    case KVM_EXIT_X86_RDMSR: serve_msr(v, false); return true;
    case KVM_EXIT_X86_WRMSR: serve_msr(v, true); return true;
    case KVM_EXIT_INTR: case KVM_EXIT_SET_TPR: return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN: return window_open(v, exit);
    case KVM_EXIT_HLT: return halted(v, exit);
    case KVM_EXIT_SHUTDOWN: return shut_down(v, exit);
    case KVM_EXIT_FAIL_ENTRY: return fail_entry(v, exit);
    case KVM_EXIT_INTERNAL_ERROR: return internal_error(v, exit);
    default: return unknown(v, exit);
    }
}
