/* SPDX-License-Identifier: MIT */
/* The software backend: our own CPU (cpu/x86/) and interrupt controllers (irqchip/) behind the
 * contract of hv.h. A vCPU is a thread that runs guest code, and sleeps on a futex while its guest
 * is halted. */
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/x86/policy.h"
#include "arch/x86/regs.h"
#include "arch/x86/tsc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/spin.h"
#include "base/tsc_rate.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/direct/direct.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"
#include "hv/hv_bare.h"
#include "hv/hv_x86.h"
#include "hv/soft/rest.h"
#include "irqchip/irqchip.h"
#include "state/state.h"

struct hv_vcpu {
    struct hv_vm *vm;
    struct x86_cpu *cpu;
    unsigned index;
    _Atomic uint32_t posts; /* counts what was posted; the futex a halted vCPU sleeps on */
    _Atomic bool sleeping;
    _Atomic bool kicked;
    struct rest rest; /* the vCPU's own thread */
    struct spin spin; /* likewise: halted */
    /* Without interrupt controllers. The vCPU's own thread. */
    int vector;       /* queued by vcpu_interrupt(); -1: none */
    bool window;      /* asked for */
    bool window_open; /* and found */
    uint64_t cr8, apic_base;
};

struct hv_vm {
    struct tsc_rate tsc;
    uint64_t tsc_of_first; /* the TSC in the state last set on vCPU 0 */
    struct x86_vm *x86;
    struct irqchip *chip; /* NULL: none */
    bool embedded, smm;
    const struct hv_io_ops *io;
    void *io_arg;
    unsigned vcpu_count;
    struct hv_vcpu vcpu[];
};

/* ---- waking and sleeping ---- */

static void post(struct hv_vcpu *v, uint32_t bits)
{
    x86_cpu_post(v->cpu, bits);
    atomic_fetch_add_explicit(&v->posts, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&v->sleeping, memory_order_seq_cst))
        syscall(SYS_futex, &v->posts, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ns of the vCPU's work so far: of its own thread, and where guest programs run directly. */
static uint64_t worked(const struct hv_vcpu *v)
{
    return clock_thread_ns() + v->cpu->count.direct_native_us * 1000;
}

static bool posted_since(struct hv_vcpu *v, uint32_t seen)
{
    return atomic_load_explicit(&v->posts, memory_order_seq_cst) != seen;
}

static void sleep_until_post(struct hv_vcpu *v, uint32_t seen)
{
    struct timespec look;
    uint64_t now;

    atomic_store_explicit(&v->sleeping, true, memory_order_seq_cst);
    while (!posted_since(v, seen)) {
        look = clock_timespec(rest_look_ns(&v->rest) + 1);
        syscall(SYS_futex, &v->posts, FUTEX_WAIT_PRIVATE, seen, rest_awaited(&v->rest) ? &look : NULL, NULL, 0);
        now = clock_mono_ns();
        if (unlikely(rest_look(&v->rest, now)) && rest_is_due(&v->rest, now, worked(v)) && x86_cpu_rest(v->cpu))
            rest_done(&v->rest);
    }
    atomic_store_explicit(&v->sleeping, false, memory_order_seq_cst);
}

/* Until something was posted since `seen` was read. */
static void wait_for_post(struct hv_vcpu *v, uint32_t seen)
{
    uint64_t since = clock_mono_ns();

    while (!posted_since(v, seen) && clock_mono_ns() - since < v->spin.ns)
        spin_pause();
    if (!posted_since(v, seen))
        sleep_until_post(v, seen);
    spin_learn(&v->spin, clock_mono_ns() - since);
}

static void chip_notify(void *arg, unsigned cpu, unsigned what, uint8_t vector)
{
    struct hv_vm *vm = arg;
    struct hv_vcpu *v = &vm->vcpu[cpu];
    uint32_t bits = 0;

    if (what & IRQCHIP_INTR)
        bits |= X86_PENDING_INTR;
    if (what & IRQCHIP_NMI) {
        x86_cpu_post_nmi(v->cpu);
        bits |= X86_PENDING_NMI;
    }
    if ((what & IRQCHIP_SMI) && vm->smm)
        bits |= X86_PENDING_SMI;
    if (what & IRQCHIP_INIT)
        bits |= X86_PENDING_INIT;
    if (what & IRQCHIP_SIPI) {
        v->cpu->sipi_vector = vector;
        bits |= X86_PENDING_SIPI;
    }
    if (bits)
        post(v, bits);
}

/* ---- what the CPU asks for ---- */

/* Around calls that may last. */
static void begin_call(struct hv_vm *vm, unsigned cpu)
{
    if (vm->embedded)
        sync_host_call_begin(vm->vcpu[cpu].cpu);
}

static void end_call(struct hv_vm *vm, unsigned cpu)
{
    if (vm->embedded)
        sync_host_call_end(vm->vcpu[cpu].cpu);
}

static uint64_t cpu_mmio_read(void *arg, unsigned cpu, gpa_t gpa, unsigned size)
{
    struct hv_vm *vm = arg;
    uint64_t value;

    if (vm->chip && irqchip_mmio_read(vm->chip, cpu, gpa & ~X86_GPA_SMM, size, &value))
        return value;
    begin_call(vm, cpu);
    value = vm->io->mmio_read(vm->io_arg, gpa, size);
    end_call(vm, cpu);
    return value;
}

static void cpu_mmio_write(void *arg, unsigned cpu, gpa_t gpa, unsigned size, uint64_t value)
{
    struct hv_vm *vm = arg;

    if (vm->chip && irqchip_mmio_write(vm->chip, cpu, gpa & ~X86_GPA_SMM, size, value))
        return;
    begin_call(vm, cpu);
    vm->io->mmio_write(vm->io_arg, gpa, size, value);
    end_call(vm, cpu);
}

static uint32_t cpu_port_read(void *arg, unsigned cpu, uint16_t port, unsigned size)
{
    struct hv_vm *vm = arg;
    uint32_t value;

    if (vm->chip && irqchip_owns_port(port))
        return irqchip_port_read(vm->chip, port, size);
    begin_call(vm, cpu);
    value = vm->io->port_read(vm->io_arg, port, size);
    end_call(vm, cpu);
    return value;
}

static void cpu_port_write(void *arg, unsigned cpu, uint16_t port, unsigned size, uint32_t value)
{
    struct hv_vm *vm = arg;

    if (vm->chip && irqchip_owns_port(port)) {
        irqchip_port_write(vm->chip, port, size, value);
        return;
    }
    begin_call(vm, cpu);
    vm->io->port_write(vm->io_arg, port, size, value);
    end_call(vm, cpu);
}

static int cpu_msr_read(void *arg, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    return irqchip_msr_read(((struct hv_vm *)arg)->chip, cpu, msr, ret);
}

static int cpu_msr_write(void *arg, unsigned cpu, uint32_t msr, uint64_t value)
{
    struct hv_vm *vm = arg;

    /* A local APIC in front of the flash would take what firmware writes there in System Management Mode. */
    if (vm->smm && msr == MSR_APIC_BASE && (value & ~UINT64_C(0xfff)) != APIC_DEFAULT_BASE)
        return -EINVAL;
    return irqchip_msr_write(vm->chip, cpu, msr, value);
}

static uint64_t cpu_cr8_read(void *arg, unsigned cpu)
{
    return irqchip_cr8_get(((struct hv_vm *)arg)->chip, cpu);
}

static void cpu_cr8_write(void *arg, unsigned cpu, uint64_t value)
{
    irqchip_cr8_set(((struct hv_vm *)arg)->chip, cpu, value);
}

static bool cpu_interrupt_pending(void *arg, unsigned cpu)
{
    return irqchip_has_interrupt(((struct hv_vm *)arg)->chip, cpu);
}

static int cpu_interrupt_ack(void *arg, unsigned cpu)
{
    return irqchip_ack(((struct hv_vm *)arg)->chip, cpu);
}

static void cpu_init_taken(void *arg, unsigned cpu)
{
    irqchip_cpu_init(((struct hv_vm *)arg)->chip, cpu);
}

static void cpu_tsc_changed(void *arg, unsigned cpu, uint64_t tsc_offset)
{
    irqchip_set_tsc_offset(((struct hv_vm *)arg)->chip, cpu, tsc_offset);
}

static const struct x86_host_ops host_ops = {
    .mmio_read = cpu_mmio_read,
    .mmio_write = cpu_mmio_write,
    .port_read = cpu_port_read,
    .port_write = cpu_port_write,
    .apic_msr_read = cpu_msr_read,
    .apic_msr_write = cpu_msr_write,
    .cr8_read = cpu_cr8_read,
    .cr8_write = cpu_cr8_write,
    .interrupt_pending = cpu_interrupt_pending,
    .interrupt_ack = cpu_interrupt_ack,
    .init_taken = cpu_init_taken,
    .tsc_changed = cpu_tsc_changed,
};

/* ---- the same without interrupt controllers ---- */

static struct hv_vcpu *bare(void *arg, unsigned cpu)
{
    return &((struct hv_vm *)arg)->vcpu[cpu];
}

/* APIC_BASE exists, as it does on KVM, and says nothing. */
static int bare_msr_read(void *arg, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    *ret = bare(arg, cpu)->apic_base;
    return msr == MSR_APIC_BASE ? 0 : -EINVAL;
}

static int bare_msr_write(void *arg, unsigned cpu, uint32_t msr, uint64_t value)
{
    return msr == MSR_APIC_BASE && value == bare(arg, cpu)->apic_base ? 0 : -EINVAL;
}

static uint64_t bare_cr8_read(void *arg, unsigned cpu)
{
    return bare(arg, cpu)->cr8;
}

static void bare_cr8_write(void *arg, unsigned cpu, uint64_t value)
{
    bare(arg, cpu)->cr8 = value;
}

static bool bare_interrupt_pending(void *arg, unsigned cpu)
{
    return bare(arg, cpu)->vector >= 0 || bare(arg, cpu)->window;
}

/* Called when the guest would take an interrupt now: that is what a window is. */
static int bare_interrupt_ack(void *arg, unsigned cpu)
{
    struct hv_vcpu *v = bare(arg, cpu);
    int vector = v->vector;

    v->vector = -1;
    if (vector < 0 && v->window) {
        v->window = false;
        v->window_open = true;
        post(v, X86_PENDING_KICK);
    }
    return vector;
}

static void bare_init_taken(void *arg, unsigned cpu)
{
}

static void bare_tsc_changed(void *arg, unsigned cpu, uint64_t tsc_offset)
{
}

static const struct x86_host_ops bare_ops = {
    .mmio_read = cpu_mmio_read,
    .mmio_write = cpu_mmio_write,
    .port_read = cpu_port_read,
    .port_write = cpu_port_write,
    .apic_msr_read = bare_msr_read,
    .apic_msr_write = bare_msr_write,
    .cr8_read = bare_cr8_read,
    .cr8_write = bare_cr8_write,
    .interrupt_pending = bare_interrupt_pending,
    .interrupt_ack = bare_interrupt_ack,
    .init_taken = bare_init_taken,
    .tsc_changed = bare_tsc_changed,
};

/* ---- the contract ---- */

static int soft_probe(struct vz_error *err)
{
    return 0; /* needs nothing but the host's own instruction set */
}

static int soft_jit_check(const char *text, struct vz_error *err)
{
    struct jit_options ignored;

    return jit_options_parse(text, &ignored, err);
}

/* Only the processes in which guest programs run directly map it. */
static bool soft_memory_shared(const char *text)
{
    struct jit_options jit;

    return jit_options_parse(text, &jit, NULL) == 0 && jit.direct != JIT_DIRECT_OFF && !jit.check;
}

static void soft_vm_destroy(struct hv_vm *vm)
{
    if (!vm)
        return;
    irqchip_destroy(vm->chip); /* first: it notifies vCPUs */
    x86_vm_destroy(vm->x86);
    free(vm);
}

static int create_parts(struct hv_vm *vm, const struct hv_vm_desc *desc)
{
    static const struct irqchip_cpu_ops chip_ops = {.notify = chip_notify};
    struct jit_options jit;
    int r = jit_options_parse(desc->jit, &jit, NULL);

    if (r)
        return r;
    tsc_rate_start(&vm->tsc);
    if (hv_has_irqchip(desc))
        r = irqchip_create(&(struct irqchip_config){.loop = desc->loop,
                                                    .vcpu_count = desc->vcpu_count,
                                                    .tsc = &vm->tsc,
                                                    .phys_addr_bits = X86_PHYS_BITS,
                                                    .ops = &chip_ops,
                                                    .ops_arg = vm},
                           &vm->chip);

    if (r)
        return r;
    return x86_vm_create(&(struct x86_vm_desc){.mem = desc->mem,
                                               .cpu_count = desc->vcpu_count,
                                               .tsc = &vm->tsc,
                                               .jit = jit,
                                               .name = desc->name,
                                               .no_apic = !hv_has_irqchip(desc),
                                               .phys_bits_max = desc->phys_bits_max,
                                               .embedded = desc->bare,
                                               .smm = desc->smm,
                                               .host = hv_has_irqchip(desc) ? &host_ops : &bare_ops,
                                               .host_arg = vm},
                         &vm->x86);
}

static int soft_vm_create(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err)
{
    struct hv_vm *vm = calloc(1, sizeof(*vm) + desc->vcpu_count * sizeof(vm->vcpu[0]));
    int r;

    if (desc->host_cpu)
        log_warn("the guest's processor is not the host's: the software CPU runs the machine");
    if (!vm)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "no memory for the virtual machine");
    vm->io = desc->io;
    vm->io_arg = desc->io_arg;
    vm->vcpu_count = desc->vcpu_count;
    vm->embedded = desc->bare;
    vm->smm = desc->smm;
    r = create_parts(vm, desc);
    if (r) {
        soft_vm_destroy(vm);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "software CPU: %s", strerror(-r));
    }
    for (unsigned n = 0; n < desc->vcpu_count; n++) {
        vm->vcpu[n].vm = vm;
        vm->vcpu[n].index = n;
        vm->vcpu[n].cpu = x86_vm_cpu(vm->x86, n);
        vm->vcpu[n].vector = -1;
        vm->vcpu[n].spin = spin_init(SPIN_SHORT_NS);
        if (!hv_has_irqchip(desc)) {
            vm->vcpu[n].cpu->run_state = X86_RUNNING;
            vm->vcpu[n].apic_base = APIC_DEFAULT_BASE; /* as at power-up */
        }
        if (vm->x86->direct) { /* where guest programs read the host's TSC */
            cpu_set_tsc_offset(vm->vcpu[n].cpu, 0);
            if (vm->chip)
                irqchip_set_tsc_offset(vm->chip, n, 0);
        }
    }
    *ret = vm;
    return 0;
}

static void soft_irq_line(struct hv_vm *vm, unsigned gsi, bool level)
{
    irqchip_irq_line(vm->chip, gsi, level);
}

static void soft_msi(struct hv_vm *vm, const struct hv_msi *msi)
{
    irqchip_msi(vm->chip, msi->address, msi->data);
}

static void post_all(struct hv_vm *vm, uint32_t bits)
{
    for (unsigned n = 0; n < vm->vcpu_count; n++)
        post(&vm->vcpu[n], bits);
}

static void soft_smi(struct hv_vm *vm)
{
    post_all(vm, X86_PENDING_SMI);
}

static void soft_hidden(struct hv_vm *vm)
{
    post_all(vm, X86_PENDING_HIDDEN);
}

static int soft_vcpu_create(struct hv_vm *vm, unsigned index, struct hv_vcpu **ret)
{
    if (index >= vm->vcpu_count)
        return -EINVAL;
    *ret = &vm->vcpu[index];
    return 0;
}

static void soft_vcpu_destroy(struct hv_vcpu *v)
{
    /* vCPUs live and die with their machine. */
}

static int exit_with(struct hv_exit *exit, enum hv_exit_kind kind, const char *text)
{
    exit->kind = kind;
    snprintf(exit->text, sizeof(exit->text), "%s", text);
    return 0;
}

/* The run was ended by a kick, or by a window that was found, or both: then the kick stays. */
static int kicked(struct hv_vcpu *v, struct hv_exit *exit)
{
    bool window = v->window_open;

    v->window_open = false;
    if (!window) {
        atomic_store_explicit(&v->kicked, false, memory_order_seq_cst);
        return -EINTR;
    }
    if (atomic_load_explicit(&v->kicked, memory_order_seq_cst))
        post(v, X86_PENDING_KICK);
    return exit_with(exit, HV_EXIT_WINDOW, "");
}

static int soft_vcpu_run(struct hv_vcpu *v, struct hv_exit *exit)
{
    for (;;) {
        uint32_t seen = atomic_load_explicit(&v->posts, memory_order_seq_cst);

        switch (x86_cpu_run(v->cpu)) {
        case X86_STOP_KICK:
            return kicked(v, exit);
        case X86_STOP_HALT:
            v->cpu->count.halts++;
            if (!v->vm->chip) {
                v->cpu->run_state = X86_RUNNING;
                return exit_with(exit, HV_EXIT_HALT, "");
            }
            wait_for_post(v, seen);
            break;
        case X86_STOP_SHUTDOWN:
            return exit_with(exit, HV_EXIT_SHUTDOWN, v->cpu->shutdown_text);
        case X86_STOP_BROKEN:
            return exit_with(exit, HV_EXIT_ERROR, v->cpu->shutdown_text);
        case X86_STOP_FETCH:
            exit->gpa = v->cpu->fetch_gpa;
            return exit_with(exit, HV_EXIT_FETCH, "nothing to execute");
        }
    }
}

static void soft_vcpu_kick(struct hv_vcpu *v)
{
    atomic_store_explicit(&v->kicked, true, memory_order_seq_cst);
    post(v, X86_PENDING_KICK);
    if (v->cpu->direct)
        direct_must_stop(v->cpu);
}

static int soft_vcpu_get(struct hv_vcpu *v, struct hv_cpu_state *to)
{
    struct x86_cpu_state *ret = &to->x86;

    x86_cpu_get(v->cpu, ret);
    if (!v->vm->chip) {
        ret->cr8 = v->cr8;
        ret->apic_base = v->apic_base;
        ret->tsc_deadline = 0;
        return 0;
    }
    ret->cr8 = irqchip_cr8_get(v->vm->chip, v->index);
    if (irqchip_msr_read(v->vm->chip, v->index, MSR_APIC_BASE, &ret->apic_base) ||
        irqchip_msr_read(v->vm->chip, v->index, MSR_TSC_DEADLINE, &ret->tsc_deadline))
        return -EIO;
    return 0;
}

static void settle_tsc_among(struct hv_vcpu *v, uint64_t tsc)
{
    const struct x86_cpu *cpu = v->vm->vcpu[0].cpu;
    const struct tsc_first first = {
        .offset = __atomic_load_n(&cpu->tsc_offset, __ATOMIC_RELAXED),
        .tsc = __atomic_load_n(&v->vm->tsc_of_first, __ATOMIC_RELAXED),
        .together = !v->vm->embedded, .khz = v->index ? tsc_rate_khz(&v->vm->tsc) : 0};

    if (!v->index)
        __atomic_store_n(&v->vm->tsc_of_first, tsc, __ATOMIC_RELAXED);
    else
        cpu_set_tsc_offset(v->cpu, tsc_settle(&first, tsc, v->cpu->tsc_offset));
    if (v->vm->chip)
        irqchip_set_tsc_offset(v->vm->chip, v->index, v->cpu->tsc_offset);
}

/* Programs that run directly read the host's TSC: if it is about that anyway, make it so. */
static void settle_tsc_directly(struct hv_vcpu *v)
{
    const struct tsc_first host = {.khz = tsc_rate_khz(&v->vm->tsc)};

    cpu_set_tsc_offset(v->cpu, tsc_settle(&host, 0, v->cpu->tsc_offset));
}

static void settle_tsc(struct hv_vcpu *v, uint64_t tsc)
{
    if (v->vm->x86->direct && !v->index)
        settle_tsc_directly(v);
    settle_tsc_among(v, tsc);
}

/* A CPU without a local APIC has the register all the same, but not what makes it an x2APIC. */
static bool bare_base_valid(uint64_t base)
{
    uint64_t address = (BIT(X86_PHYS_BITS) - 1) & ~(uint64_t)0xfff;

    return !(base & ~(address | APIC_BASE_BSP | APIC_BASE_ENABLE));
}

static int soft_vcpu_set(struct hv_vcpu *v, const struct hv_cpu_state *from)
{
    const struct x86_cpu_state *state = &from->x86;
    int r = v->vm->chip || bare_base_valid(state->apic_base) ? x86_cpu_set(v->cpu, state) : -EINVAL;

    settle_tsc(v, state->tsc);
    if (!r && !v->vm->chip) {
        v->cr8 = state->cr8 & 15;
        v->apic_base = state->apic_base;
        return 0;
    }
    if (!r)
        r = irqchip_apic_base_restore(v->vm->chip, v->index, state->apic_base);
    if (r)
        return r;
    irqchip_cr8_set(v->vm->chip, v->index, state->cr8);
    return 0;
}

static int soft_vcpu_interrupt(struct hv_vcpu *v, int vector)
{
    if (vector < 0) {
        int queued = v->vector;

        v->vector = -1;
        return queued < 0 ? -ENOENT : 0;
    }
    if (vector > 255)
        return -EINVAL;
    if (v->vector >= 0)
        return -EBUSY;
    v->vector = vector;
    post(v, X86_PENDING_INTR);
    return 0;
}

static void soft_vcpu_window(struct hv_vcpu *v, bool on)
{
    v->window = on;
    v->window_open = false;
    if (on)
        post(v, X86_PENDING_INTR);
}

static int soft_memory_changed(struct hv_vm *vm)
{
    for (unsigned n = 0; n < vm->vcpu_count; n++)
        x86_cpu_memory_changed(vm->vcpu[n].cpu);
    return 0;
}

static void soft_vm_reset(struct hv_vm *vm)
{
    struct x86_cpu_state *s = malloc(sizeof(*s));

    direct_vm_forget(vm->x86);
    if (vm->chip)
        irqchip_reset(vm->chip);
    if (!s)
        return;
    for (unsigned n = 0; n < vm->vcpu_count; n++) {
        struct x86_cpu *c = vm->vcpu[n].cpu;
        uint64_t offset;

        x86_cpu_state_reset(s, n == 0, false);
        offset = c->tsc_offset;
        s->tsc = offset + clock_tsc();
        if (!vm->chip)
            s->run_state = X86_RUNNING;
        atomic_store_explicit(&c->pending, 0, memory_order_seq_cst);
        if (x86_cpu_set(c, s))
            continue; /* the reset state is one that any CPU can hold */
        cpu_set_tsc_offset(c, offset); /* the TSC goes on */
        settle_tsc(&vm->vcpu[n], s->tsc);
    }
    free(s);
}

static int soft_irqchip_save(struct hv_vm *vm, struct state_writer *w)
{
    return irqchip_save(vm->chip, w);
}

static int soft_irqchip_load(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err)
{
    return irqchip_load(vm->chip, data, len, err);
}

static uint64_t soft_cpu_features(struct hv_vm *vm)
{
    return cpuid_policy_features(vm->vcpu[0].cpu->vm->cpuid);
}

static unsigned soft_phys_bits(struct hv_vm *vm)
{
    return vm->x86->cpuid->phys_bits;
}

static uint64_t sum_counter(struct hv_vm *vm, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned n = 0; n < vm->vcpu_count; n++)
        sum += *(const uint64_t *)((const char *)&vm->vcpu[n].cpu->count + offset);
    return sum;
}

static void soft_stats(struct hv_vm *vm, hv_stats_fn *fn, void *arg)
{
    struct irqchip_stats chip;

#define REPORT(field) fn(arg, "cpu." #field, sum_counter(vm, offsetof(struct x86_cpu_counters, field)));
    X86_CPU_COUNTERS(REPORT)
#undef REPORT
    if (!vm->chip)
        return;
    irqchip_stats_get(vm->chip, &chip);
    fn(arg, "irqchip.acks", chip.acks);
    fn(arg, "irqchip.eois", chip.eois);
    fn(arg, "irqchip.ipis", chip.ipis);
    fn(arg, "irqchip.msis", chip.msis);
    fn(arg, "irqchip.timer_arms", chip.timer_arms);
    fn(arg, "irqchip.timer_fires", chip.timer_fires);
}

static const struct hv_bare_ops soft_bare_ops = {
    .no_exec = true,
    .memory_changed = soft_memory_changed,
    .interrupt = soft_vcpu_interrupt,
    .window = soft_vcpu_window,
};

const struct hv_ops hv_soft_ops = {
    .name = "soft",
    .asks = true,
    .cpu_state_size = sizeof(struct hv_cpu_state),
    .bare = &soft_bare_ops,
    .probe = soft_probe,
    .jit_check = soft_jit_check,
    .memory_shared = soft_memory_shared,
    .vm_create = soft_vm_create,
    .vm_destroy = soft_vm_destroy,
    .irq_line = soft_irq_line,
    .msi = soft_msi,
    .smi = soft_smi,
    .hidden = soft_hidden,
    .vcpu_create = soft_vcpu_create,
    .vcpu_destroy = soft_vcpu_destroy,
    .vcpu_run = soft_vcpu_run,
    .vcpu_kick = soft_vcpu_kick,
    .vcpu_get = soft_vcpu_get,
    .vcpu_set = soft_vcpu_set,
    .vm_reset = soft_vm_reset,
    .irqchip_save = soft_irqchip_save,
    .irqchip_load = soft_irqchip_load,
    .phys_bits = soft_phys_bits,
    .cpu_features = soft_cpu_features,
    .stats = soft_stats,
};
