/* SPDX-License-Identifier: MIT */
/* The scripted backend of fake.h. */
#include "hv/fake/fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/policy.h"
#include "base/error.h"
#include "hv/hv_x86.h"

struct hv_vcpu {
    struct hv_vm *vm;
    unsigned index;
    struct x86_cpu_state state;
    pthread_mutex_t lock; /* for kicked; a leaf */
    pthread_cond_t wake;
    bool kicked;
};

struct hv_vm {
    struct hv_vm_desc desc;
    struct hv_vcpu *vcpu[HV_VCPUS_MAX];
    _Atomic uint64_t ops; /* executed */
};

static int fake_probe(struct vz_error *err)
{
    return 0;
}

static int fake_vm_create(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err)
{
    struct hv_vm *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    vm->desc = *desc;
    *ret = vm;
    return 0;
}

static void fake_vcpu_destroy(struct hv_vcpu *cpu)
{
    if (!cpu)
        return;
    cpu->vm->vcpu[cpu->index] = NULL;
    pthread_cond_destroy(&cpu->wake);
    pthread_mutex_destroy(&cpu->lock);
    free(cpu);
}

static void fake_vm_destroy(struct hv_vm *vm)
{
    if (!vm)
        return;
    for (unsigned i = 0; i < HV_VCPUS_MAX; i++)
        fake_vcpu_destroy(vm->vcpu[i]);
    free(vm);
}

static void fake_irq_line(struct hv_vm *vm, unsigned gsi, bool level)
{
}

static void fake_msi(struct hv_vm *vm, const struct hv_msi *msi)
{
}

static int fake_vcpu_create(struct hv_vm *vm, unsigned index, struct hv_vcpu **ret)
{
    struct hv_vcpu *cpu = calloc(1, sizeof(*cpu));

    if (!cpu)
        return -ENOMEM;
    cpu->vm = vm;
    cpu->index = index;
    pthread_mutex_init(&cpu->lock, NULL);
    pthread_cond_init(&cpu->wake, NULL);
    x86_cpu_state_reset(&cpu->state, index == 0, false);
    vm->vcpu[index] = cpu;
    *ret = cpu;
    return 0;
}

/* Returns whether there was a kick, and takes it. */
static bool take_kick(struct hv_vcpu *cpu, bool wait)
{
    bool kicked;

    pthread_mutex_lock(&cpu->lock);
    while (wait && !cpu->kicked)
        pthread_cond_wait(&cpu->wake, &cpu->lock);
    kicked = cpu->kicked;
    cpu->kicked = false;
    pthread_mutex_unlock(&cpu->lock);
    return kicked;
}

static int leave(struct hv_exit *exit, enum hv_exit_kind kind, const struct hv_vcpu *cpu)
{
    exit->kind = kind;
    snprintf(exit->text, sizeof(exit->text), "fake operation at 0x%llx",
             (unsigned long long)cpu->state.rip);
    return 0;
}

/* One port or memory access. Returns whether a read gave what was expected. */
static bool access_device(const struct hv_vm *vm, const struct fake_op *op)
{
    const struct hv_io_ops *io = vm->desc.io;
    void *arg = vm->desc.io_arg;

    switch (op->kind) {
    case FAKE_PORT_WRITE:
        io->port_write(arg, (uint16_t)op->addr, op->size, (uint32_t)op->value);
        return true;
    case FAKE_PORT_READ:
        return io->port_read(arg, (uint16_t)op->addr, op->size) == op->value;
    case FAKE_MMIO_WRITE:
        io->mmio_write(arg, op->addr, op->size, op->value);
        return true;
    default:
        return io->mmio_read(arg, op->addr, op->size) == op->value;
    }
}

static int step(struct hv_vcpu *cpu, struct hv_exit *exit)
{
    struct fake_op op;

    if (mem_read(cpu->vm->desc.mem, cpu->state.rip, &op, sizeof(op)) < 0)
        return leave(exit, HV_EXIT_ERROR, cpu);
    cpu->vm->ops++;
    switch (op.kind) {
    case FAKE_WAIT:
        take_kick(cpu, true);
        return -EINTR;
    case FAKE_PORT_WRITE:
    case FAKE_PORT_READ:
    case FAKE_MMIO_WRITE:
    case FAKE_MMIO_READ:
        if (!access_device(cpu->vm, &op))
            return leave(exit, HV_EXIT_ERROR, cpu);
        break;
    case FAKE_SHUTDOWN:
        return leave(exit, HV_EXIT_SHUTDOWN, cpu);
    case FAKE_JUMP:
        cpu->state.rip = op.addr;
        return 1;
    default:
        return leave(exit, HV_EXIT_ERROR, cpu);
    }
    cpu->state.rip += sizeof(op);
    return 1;
}

static int fake_vcpu_run(struct hv_vcpu *cpu, struct hv_exit *exit)
{
    int r = 1;

    if (cpu->state.run_state != X86_RUNNING) {
        take_kick(cpu, true);
        return -EINTR;
    }
    while (r > 0) {
        if (take_kick(cpu, false))
            return -EINTR;
        r = step(cpu, exit);
    }
    return r;
}

static void fake_vcpu_kick(struct hv_vcpu *cpu)
{
    pthread_mutex_lock(&cpu->lock);
    cpu->kicked = true;
    pthread_cond_signal(&cpu->wake);
    pthread_mutex_unlock(&cpu->lock);
}

static int fake_vcpu_get(struct hv_vcpu *cpu, struct hv_cpu_state *ret)
{
    ret->x86 = cpu->state;
    return 0;
}

static int fake_vcpu_set(struct hv_vcpu *cpu, const struct hv_cpu_state *state)
{
    cpu->state = state->x86;
    return 0;
}

static void fake_vm_reset(struct hv_vm *vm)
{
    for (unsigned i = 0; i < vm->desc.vcpu_count; i++) {
        if (vm->vcpu[i])
            x86_cpu_state_reset(&vm->vcpu[i]->state, i == 0, false);
    }
}

static int fake_irqchip_save(struct hv_vm *vm, struct state_writer *w)
{
    return 0;
}

static int fake_irqchip_load(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err)
{
    return 0;
}

static unsigned fake_phys_bits(struct hv_vm *vm)
{
    return X86_PHYS_BITS;
}

static void fake_stats(struct hv_vm *vm, hv_stats_fn *fn, void *arg)
{
    fn(arg, "fake.ops", vm->ops);
}

const struct hv_ops hv_fake_ops = {
    .name = "fake",
    .asks = true, /* it only reads */
    .cpu_state_size = sizeof(struct hv_cpu_state),
    .probe = fake_probe,
    .vm_create = fake_vm_create,
    .vm_destroy = fake_vm_destroy,
    .irq_line = fake_irq_line,
    .msi = fake_msi,
    .vcpu_create = fake_vcpu_create,
    .vcpu_destroy = fake_vcpu_destroy,
    .vcpu_run = fake_vcpu_run,
    .vcpu_kick = fake_vcpu_kick,
    .vcpu_get = fake_vcpu_get,
    .vcpu_set = fake_vcpu_set,
    .vm_reset = fake_vm_reset,
    .irqchip_save = fake_irqchip_save,
    .irqchip_load = fake_irqchip_load,
    .phys_bits = fake_phys_bits,
    .stats = fake_stats,
};
