/* SPDX-License-Identifier: MIT */
/* Virtual CPUs of <vz/hypervisor.h>: making them, and running them from exit to exit. hyp.h says
 * how calls of the backend become exits. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "hypervisor/hyp.h"
#include "loop/loop.h"

#define STACK_BYTES (256 * KIB)

static uintptr_t self(void)
{
    return (uintptr_t)pthread_self();
}

enum vz_hv_result hyp_check(const struct vz_hv_vcpu *v)
{
    if (!v)
        return VZ_HV_BAD_ARGUMENT;
    return pthread_equal(v->thread, pthread_self()) ? VZ_HV_SUCCESS : VZ_HV_DENIED;
}

/* ---- on the fiber: the backend, and its calls ---- */

static void fiber_main(void *arg)
{
    struct vz_hv_vcpu *v = arg;

    for (;;) {
        v->run_result = v->ops->vcpu_run(v->hv, &v->end);
        fiber_leave(v->fiber);
    }
}

static struct vz_hv_vcpu *current(struct vz_hv_vm *vm)
{
    for (unsigned n = 0; n < vm->vcpu_max; n++)
        if (atomic_load_explicit(&vm->slot[n].owner, memory_order_relaxed) == self())
            return vm->slot[n].vcpu;
    return NULL; /* not reached: backends call on the vCPU's thread */
}

/* Let the program see what there is. */
static void leave_call(struct vz_hv_vcpu *v)
{
    v->in_call = true;
    fiber_leave(v->fiber);
    v->in_call = false;
}

static uint64_t read_access(struct vz_hv_vm *vm, const struct hyp_access *a)
{
    struct vz_hv_vcpu *v = current(vm);
    uint64_t mask = a->size == 8 ? UINT64_MAX : BIT(a->size * 8) - 1;

    if (!v || v->draining)
        return mask;
    if (v->noted)
        leave_call(v);
    if (v->draining)
        return mask;
    v->read = *a;
    v->answer = UINT64_MAX;
    v->reading = true;
    leave_call(v);
    v->reading = false;
    return v->answer & mask;
}

static void write_access(struct vz_hv_vm *vm, const struct hyp_access *a)
{
    struct vz_hv_vcpu *v = current(vm);

    if (!v || v->draining)
        return;
    if (v->noted)
        leave_call(v);
    if (v->draining)
        return;
    v->access = *a;
    v->noted = true;
    v->ops->vcpu_kick(v->hv); /* the instruction is completed, and then the program told */
}

static uint64_t io_mmio_read(void *arg, gpa_t gpa, unsigned size)
{
    return read_access(arg, &(struct hyp_access){VZ_HV_EXIT_MMIO_READ, size, gpa, 0});
}

static void io_mmio_write(void *arg, gpa_t gpa, unsigned size, uint64_t value)
{
    uint64_t mask = size == 8 ? UINT64_MAX : BIT(size * 8) - 1;

    write_access(arg, &(struct hyp_access){VZ_HV_EXIT_MMIO_WRITE, size, gpa, value & mask});
}

static uint32_t io_port_read(void *arg, uint16_t port, unsigned size)
{
    return (uint32_t)read_access(arg, &(struct hyp_access){VZ_HV_EXIT_PORT_READ, size, port, 0});
}

static void io_port_write(void *arg, uint16_t port, unsigned size, uint32_t value)
{
    uint64_t mask = BIT(size * 8) - 1;

    write_access(arg, &(struct hyp_access){VZ_HV_EXIT_PORT_WRITE, size, port, value & mask});
}

const struct hv_io_ops hyp_io_ops = {
    .mmio_read = io_mmio_read,
    .mmio_write = io_mmio_write,
    .port_read = io_port_read,
    .port_write = io_port_write,
};

/* ---- running ---- */

/* Execute until the backend returns or makes a call that the program must see. */
static void enter(struct vz_hv_vcpu *v)
{
    hyp_regs_forget(v);
    hyp_enter(v);
    fiber_enter(v->fiber);
    hyp_exit(v);
    if (!v->in_call && v->run_result == 0)
        v->has_end = true;
}

static bool past(uint64_t deadline_ns)
{
    return deadline_ns != VZ_HV_DEADLINE_FOREVER && clock_mono_ns() >= deadline_ns;
}

static void tell_access(struct vz_hv_exit *exit, const struct hyp_access *a)
{
    exit->reason = a->reason;
    exit->size = a->size;
    exit->address = a->address;
    exit->value = a->value;
}

static enum vz_hv_exit_reason reason_of(enum hv_exit_kind kind)
{
    switch (kind) {
    case HV_EXIT_HALT: return VZ_HV_EXIT_HALT;
    case HV_EXIT_WINDOW: return VZ_HV_EXIT_INTERRUPT_WINDOW;
    case HV_EXIT_FETCH: return VZ_HV_EXIT_MEMORY;
    case HV_EXIT_SHUTDOWN: return VZ_HV_EXIT_SHUTDOWN;
    default: return VZ_HV_EXIT_ERROR;
    }
}

static void tell_end(struct vz_hv_vcpu *v, struct vz_hv_exit *exit)
{
    v->has_end = false;
    exit->reason = reason_of(v->end.kind);
    if (v->end.kind == HV_EXIT_FETCH)
        exit->address = v->end.gpa;
    v->shut_down |= v->end.kind == HV_EXIT_SHUTDOWN;
    if (exit->reason == VZ_HV_EXIT_SHUTDOWN || exit->reason == VZ_HV_EXIT_ERROR)
        memcpy(exit->text, v->end.text, sizeof(exit->text));
}

/* Is there something to tell without executing anything? */
static bool tell(struct vz_hv_vcpu *v, uint64_t deadline_ns, struct vz_hv_exit *exit)
{
    if (v->noted) {
        tell_access(exit, &v->access);
        v->noted = false;
    } else if (v->in_call) {
        if (!v->reading)
            return false;
        tell_access(exit, &v->read);
    } else if (v->has_end || v->shut_down) {
        tell_end(v, exit);
    } else if (atomic_exchange_explicit(&v->cancelled, false, memory_order_seq_cst)) {
        exit->reason = VZ_HV_EXIT_CANCELLED;
    } else if (past(deadline_ns)) {
        exit->reason = VZ_HV_EXIT_DEADLINE;
    } else {
        return false;
    }
    return true;
}

/* From exit to exit. A read that the program has been told of waits for nothing but the answer. */
static enum vz_hv_result run(struct vz_hv_vcpu *v, uint64_t deadline_ns, struct vz_hv_exit *exit)
{
    bool told = v->reading;

    for (;;) {
        if (!told && tell(v, deadline_ns, exit))
            return VZ_HV_SUCCESS;
        told = false;
        if (!v->in_call) {
            int r;

            hyp_enter(v); /* a backend may look into memory for it */
            r = hyp_regs_flush(v);
            hyp_exit(v);
            if (r)
                return r == -EINVAL ? VZ_HV_ILLEGAL_GUEST_STATE : hyp_result(r);
        } else if (v->changed) {
            v->ops->vcpu_kick(v->hv); /* stop behind the instruction, for hyp_regs_flush() */
        }
        enter(v);
        if (!v->in_call && v->run_result < 0 && v->run_result != -EINTR)
            return VZ_HV_ERROR;
    }
}

enum vz_hv_result vz_hv_vcpu_run_until(struct vz_hv_vcpu *v, uint64_t deadline_ns,
                                       struct vz_hv_exit *exit)
{
    enum vz_hv_result r = hyp_check(v);
    struct vz_hv_exit *to = exit;
    uint64_t start;

    if (r || !to)
        return r ? r : VZ_HV_BAD_ARGUMENT;
    if (deadline_ns != VZ_HV_DEADLINE_FOREVER) {
        if (hyp_loop_start(v->vm))
            return VZ_HV_NO_RESOURCES;
        loop_timer_arm(v->slot->timer, deadline_ns);
    }
    to->size = 0;
    to->address = to->value = 0;
    to->text[0] = 0;
    memset(to->reserved, 0, sizeof(to->reserved));
    start = clock_mono_ns();
    r = run(v, deadline_ns, to);
    v->stats.exec_time_ns += clock_mono_ns() - start;
    if (deadline_ns != VZ_HV_DEADLINE_FOREVER)
        loop_timer_disarm(v->slot->timer);
    if (!r) {
        v->stats.runs++;
        v->stats.exits[to->reason]++;
    }
    return r;
}

enum vz_hv_result vz_hv_vcpu_run(struct vz_hv_vcpu *v, struct vz_hv_exit *exit)
{
    return vz_hv_vcpu_run_until(v, VZ_HV_DEADLINE_FOREVER, exit);
}

enum vz_hv_result vz_hv_vcpu_answer(struct vz_hv_vcpu *v, uint64_t value)
{
    enum vz_hv_result r = hyp_check(v);

    if (r)
        return r;
    if (!v->reading || v->noted)
        return VZ_HV_BAD_ARGUMENT;
    v->answer = value;
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_cancel(struct vz_hv_vcpu *v)
{
    const struct hv_ops *ops;
    struct hv_vcpu *hv;

    if (!v)
        return VZ_HV_BAD_ARGUMENT;
    ops = v->ops;
    hv = v->hv;
    /* Its thread may see it at once, and destroy v; the backend's vCPU stays. */
    atomic_store_explicit(&v->cancelled, true, memory_order_seq_cst);
    ops->vcpu_kick(hv);
    return VZ_HV_SUCCESS;
}

/* ---- life ---- */

/* Complete the instruction the fiber stands in, if any, and forget all exits. Its further accesses
 * lead nowhere. */
static void drain(struct vz_hv_vcpu *v)
{
    v->draining = true;
    while (v->in_call) {
        v->ops->vcpu_kick(v->hv);
        v->answer = UINT64_MAX;
        enter(v);
    }
    v->draining = v->noted = v->reading = v->has_end = v->shut_down = false;
    if (!v->vm->irqchip) {
        (void)!v->ops->bare->interrupt(v->hv, -1);
        v->ops->bare->window(v->hv, false);
    }
}

/* A vCPU of this number for v: the backend's new one, or what it made for the last, reset. */
static int attach(struct vz_hv_vcpu *v, struct hyp_slot *slot, unsigned index)
{
    bool is_new = !slot->hv;
    int r = is_new ? v->ops->vcpu_create(v->vm->hv, index, &slot->hv) : 0;

    if (r)
        return r;
    v->hv = slot->hv;
    v->slot = slot;
    if (is_new)
        return hyp_regs_first(v);
    hyp_regs_reset(v);
    return 0;
}

static enum vz_hv_result claim_slot(struct vz_hv_vm *vm, struct vz_hv_vcpu *v, unsigned index)
{
    enum vz_hv_result r = VZ_HV_SUCCESS;
    struct hyp_slot *slot = &vm->slot[index];

    pthread_mutex_lock(&vm->gate_lock);
    for (unsigned n = 0; n < vm->vcpu_max; n++)
        if (slot->vcpu || (vm->slot[n].vcpu && vm->slot[n].owner == self()))
            r = VZ_HV_BUSY;
    if (!r)
        r = hyp_result(attach(v, slot, index));
    if (!r) {
        slot->vcpu = v;
        atomic_store_explicit(&slot->owner, self(), memory_order_relaxed);
    }
    pthread_mutex_unlock(&vm->gate_lock);
    return r;
}

enum vz_hv_result vz_hv_vcpu_create(struct vz_hv_vm *vm, unsigned index, struct vz_hv_vcpu **ret)
{
    enum vz_hv_result r = VZ_HV_NO_RESOURCES;
    struct vz_hv_vcpu *v;

    if (!vm || !ret || index >= vm->vcpu_max)
        return VZ_HV_BAD_ARGUMENT;
    v = calloc(1, sizeof(*v));
    if (!v)
        return VZ_HV_NO_RESOURCES;
    v->vm = vm;
    v->ops = vm->ops;
    v->thread = pthread_self();
    if (!fiber_create(STACK_BYTES, fiber_main, v, &v->fiber))
        r = claim_slot(vm, v, index);
    if (r) {
        fiber_destroy(v->fiber);
        free(v);
        return r;
    }
    *ret = v;
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_destroy(struct vz_hv_vcpu *v)
{
    enum vz_hv_result r = v ? hyp_check(v) : VZ_HV_SUCCESS;

    if (r || !v)
        return r;
    drain(v);
    pthread_mutex_lock(&v->vm->gate_lock);
    v->slot->vcpu = NULL;
    atomic_store_explicit(&v->slot->owner, 0, memory_order_relaxed);
    pthread_mutex_unlock(&v->vm->gate_lock);
    fiber_destroy(v->fiber);
    free(v);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_reset(struct vz_hv_vcpu *v)
{
    enum vz_hv_result r = hyp_check(v);

    if (r)
        return r;
    drain(v);
    hyp_regs_reset(v);
    return VZ_HV_SUCCESS;
}

enum vz_hv_result vz_hv_vcpu_get_stats(struct vz_hv_vcpu *v, struct vz_hv_vcpu_stats *ret,
                                       size_t size)
{
    enum vz_hv_result r = hyp_check(v);

    if (r || !ret)
        return r ? r : VZ_HV_BAD_ARGUMENT;
    memset(ret, 0, size);
    memcpy(ret, &v->stats, MIN(size, sizeof(v->stats)));
    return VZ_HV_SUCCESS;
}
