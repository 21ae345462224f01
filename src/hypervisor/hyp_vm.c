/* SPDX-License-Identifier: MIT */
/* Virtual machines of <vz/hypervisor.h>: making them, holding their vCPUs, interrupt lines. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thread.h"
#include "config/object.h"
#include "hv/accel.h"
#include "hypervisor/hyp.h"
#include "loop/loop.h"

#define VCPU_MAX_DEFAULT 8

_Static_assert(VZ_HV_VCPUS_MAX == HV_VCPUS_MAX, "the public limit is the backends'");

const char *vz_hv_result_text(enum vz_hv_result result)
{
    switch (result) {
    case VZ_HV_SUCCESS: return "success";
    case VZ_HV_ERROR: return "the host failed";
    case VZ_HV_BUSY: return "in use";
    case VZ_HV_BAD_ARGUMENT: return "bad argument";
    case VZ_HV_ILLEGAL_GUEST_STATE: return "illegal guest state";
    case VZ_HV_NO_RESOURCES: return "no resources";
    case VZ_HV_NO_DEVICE: return "no such device";
    case VZ_HV_DENIED: return "denied";
    case VZ_HV_FAULT: return "no memory there";
    case VZ_HV_UNSUPPORTED: return "not supported";
    }
    return "unknown result";
}

enum vz_hv_result hyp_result(int r)
{
    switch (-r) {
    case 0: return VZ_HV_SUCCESS;
    case EBUSY: case EEXIST: return VZ_HV_BUSY;
    case EINVAL: return VZ_HV_BAD_ARGUMENT;
    case ENOMEM: case ENOSPC: case EAGAIN: case EMFILE: case ENFILE: return VZ_HV_NO_RESOURCES;
    case ENODEV: case ENOENT: return VZ_HV_NO_DEVICE;
    case EACCES: case EPERM: return VZ_HV_DENIED;
    case EFAULT: return VZ_HV_FAULT;
    case ENOTSUP: return VZ_HV_UNSUPPORTED;
    default: return VZ_HV_ERROR;
    }
}

/* ---- the loop ---- */

static void *loop_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

int hyp_loop_start(struct vz_hv_vm *vm)
{
    int r = 0;

    pthread_mutex_lock(&vm->gate_lock);
    if (!vm->loop_started) {
        r = thread_start(&vm->loop_thread, THREAD_FREE, "vz-loop", loop_main, vm->loop);
        vm->loop_started = !r;
    }
    pthread_mutex_unlock(&vm->gate_lock);
    return r;
}

static void on_deadline(void *arg)
{
    struct hyp_slot *slot = arg;

    slot->ops->vcpu_kick(slot->hv);
}

/* ---- making and unmaking ---- */

static void destroy(struct vz_hv_vm *vm)
{
    if (vm->loop_started) {
        loop_stop(vm->loop);
        pthread_join(vm->loop_thread, NULL);
    }
    for (unsigned n = 0; n < vm->vcpu_max; n++) {
        loop_timer_destroy(vm->slot[n].timer);
        if (vm->slot[n].hv)
            vm->ops->vcpu_destroy(vm->slot[n].hv);
    }
    if (vm->ops)
        vm->ops->vm_destroy(vm->hv);
    loop_destroy(vm->loop);
    mem_destroy(vm->mem);
    free(vm->piece);
    pthread_cond_destroy(&vm->gate_changed);
    pthread_mutex_destroy(&vm->gate_lock);
    pthread_mutex_destroy(&vm->memory_lock);
    free(vm);
}

static int choose_accelerator(struct vz_hv_vm *vm, const char *name, bool unprobed,
                              struct vz_error *err)
{
    const struct hv_ops *ops;
    int r = unprobed ? accel_named(name, &ops, err) : accel_find(name ? name : "auto", &ops, err);

    if (r)
        return r;
    if (!ops->bare)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "accelerator '%s' cannot run such virtual machines", ops->name);
    vm->ops = ops;
    return 0;
}

static int create_parts(struct vz_hv_vm *vm, struct vz_error *err)
{
    const struct hv_bare bare = {.no_irqchip = !vm->irqchip};
    int r = mem_create_foreign(&vm->mem);

    if (!r)
        r = loop_create(&vm->loop);
    vm->piece = calloc(HYP_PIECES_MAX, sizeof(*vm->piece));
    if (!r && !vm->piece)
        r = -ENOMEM;
    for (unsigned n = 0; !r && n < vm->vcpu_max; n++) {
        vm->slot[n].ops = vm->ops;
        r = loop_timer_create(vm->loop, on_deadline, &vm->slot[n], &vm->slot[n].timer);
    }
    if (r)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "virtual machine: %s", strerror(-r));
    r = vm->ops->vm_create(&(struct hv_vm_desc){.mem = vm->mem,
                                                .loop = vm->loop,
                                                .vcpu_count = vm->vcpu_max,
                                                .io = &hyp_io_ops,
                                                .io_arg = vm,
                                                .bare = &bare},
                           &vm->hv, err);
    if (r || !vm->irqchip)
        return r;
    r = hyp_loop_start(vm);
    return r ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "virtual machine: no thread") : 0;
}

/* The caller's options, in a struct of our size. */
static int read_options(const struct vz_hv_vm_options *from, struct vz_hv_vm_options *ret,
                        struct vz_error *err)
{
    int r;

    *ret = (struct vz_hv_vm_options)VZ_HV_VM_OPTIONS_INIT;
    r = options_copy(ret, sizeof(*ret), from, err);
    if (r)
        return r;
    if (!ret->vcpu_max)
        ret->vcpu_max = VCPU_MAX_DEFAULT;
    if (ret->flags & ~(VZ_HV_VM_IRQCHIP | VZ_HV_VM_UNPROBED))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "unknown flags %#x", ret->flags);
    if ((ret->flags & VZ_HV_VM_UNPROBED) && !ret->accelerator)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "an accelerator that is not probed needs a name");
    if (ret->vcpu_max > VZ_HV_VCPUS_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "vcpu_max %u is more than %u",
                         ret->vcpu_max, VZ_HV_VCPUS_MAX);
    return 0;
}

enum vz_hv_result vz_hv_vm_create(const struct vz_hv_vm_options *options, struct vz_hv_vm **ret,
                                  struct vz_error *err)
{
    struct vz_hv_vm_options o;
    struct vz_hv_vm *vm;
    int r = ret ? read_options(options, &o, err) : -EINVAL;

    if (r)
        return hyp_result(r);
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return hyp_result(error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory"));
    pthread_mutex_init(&vm->memory_lock, NULL);
    pthread_mutex_init(&vm->gate_lock, NULL);
    pthread_cond_init(&vm->gate_changed, NULL);
    vm->irqchip = o.flags & VZ_HV_VM_IRQCHIP;
    r = choose_accelerator(vm, o.accelerator, o.flags & VZ_HV_VM_UNPROBED, err);
    if (!r) {
        vm->vcpu_max = o.vcpu_max;
        r = create_parts(vm, err);
    }
    if (r) {
        destroy(vm);
        return hyp_result(r);
    }
    vm->gpa_limit = BIT(vm->ops->phys_bits(vm->hv));
    *ret = vm;
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vm_destroy(struct vz_hv_vm *vm)
{
    bool busy = false;

    if (!vm)
        return VZ_HV_SUCCESS;
    pthread_mutex_lock(&vm->gate_lock);
    for (unsigned n = 0; n < vm->vcpu_max; n++)
        busy |= !!vm->slot[n].vcpu;
    pthread_mutex_unlock(&vm->gate_lock);
    if (busy)
        return VZ_HV_BUSY;
    destroy(vm);
    return VZ_HV_SUCCESS;
}

const char *vz_hv_vm_accelerator(const struct vz_hv_vm *vm)
{
    return vm ? vm->ops->name : "";
}

/* ---- holding vCPUs ---- */

/* A vCPU says that it goes inside and then looks at `hold`; who holds sets that and then looks who
 * is inside: one of them sees the other. */
void hyp_enter(struct vz_hv_vcpu *v)
{
    struct vz_hv_vm *vm = v->vm;

    for (;;) {
        atomic_store_explicit(&v->inside, true, memory_order_seq_cst);
        if (likely(!atomic_load_explicit(&vm->hold, memory_order_seq_cst)))
            return;
        hyp_exit(v);
        pthread_mutex_lock(&vm->gate_lock);
        while (vm->hold)
            pthread_cond_wait(&vm->gate_changed, &vm->gate_lock);
        pthread_mutex_unlock(&vm->gate_lock);
    }
}

void hyp_exit(struct vz_hv_vcpu *v)
{
    struct vz_hv_vm *vm = v->vm;

    atomic_store_explicit(&v->inside, false, memory_order_seq_cst);
    if (likely(!atomic_load_explicit(&vm->hold, memory_order_seq_cst)))
        return;
    pthread_mutex_lock(&vm->gate_lock);
    pthread_cond_broadcast(&vm->gate_changed);
    pthread_mutex_unlock(&vm->gate_lock);
}

void hyp_hold(struct vz_hv_vm *vm)
{
    pthread_mutex_lock(&vm->gate_lock);
    atomic_store_explicit(&vm->hold, true, memory_order_seq_cst);
    for (unsigned n = 0; n < vm->vcpu_max; n++) {
        struct vz_hv_vcpu *v = vm->slot[n].vcpu;

        if (v && atomic_load_explicit(&v->inside, memory_order_seq_cst))
            vm->ops->vcpu_kick(v->hv);
    }
    for (unsigned n = 0; n < vm->vcpu_max; n++) {
        while (vm->slot[n].vcpu &&
               atomic_load_explicit(&vm->slot[n].vcpu->inside, memory_order_seq_cst))
            pthread_cond_wait(&vm->gate_changed, &vm->gate_lock);
    }
    pthread_mutex_unlock(&vm->gate_lock);
}

void hyp_release(struct vz_hv_vm *vm)
{
    pthread_mutex_lock(&vm->gate_lock);
    atomic_store_explicit(&vm->hold, false, memory_order_seq_cst);
    pthread_cond_broadcast(&vm->gate_changed);
    pthread_mutex_unlock(&vm->gate_lock);
}

/* ---- interrupts ---- */

enum vz_hv_result vz_hv_vm_set_irq(struct vz_hv_vm *vm, unsigned irq, bool level)
{
    if (!vm || irq >= HV_IRQ_LINES)
        return VZ_HV_BAD_ARGUMENT;
    if (!vm->irqchip)
        return VZ_HV_UNSUPPORTED;
    vm->ops->irq_line(vm->hv, irq, level);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vm_send_msi(struct vz_hv_vm *vm, uint64_t address, uint32_t data)
{
    if (!vm)
        return VZ_HV_BAD_ARGUMENT;
    if (!vm->irqchip)
        return VZ_HV_UNSUPPORTED;
    vm->ops->msi(vm->hv, &(struct hv_msi){.address = address, .data = data});
    return VZ_HV_SUCCESS;
}
