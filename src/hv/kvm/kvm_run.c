/* SPDX-License-Identifier: MIT */
/* Running a vCPU, and making it stop.
 *
 * A kick sets `kicked` and then, if the vCPU's thread may be inside KVM_RUN, sends it SIGURG. That
 * signal is blocked in the thread and let in by KVM_RUN only (KVM_SET_SIGNAL_MASK): one that comes
 * before KVM_RUN stays pending and ends it at once, so none is lost, and no handler is needed in a
 * process that is not ours. SIGURG does nothing where it is not blocked, should one ever stray.
 *
 * A kick that comes while an access is being served must let KVM finish that instruction first: one
 * more KVM_RUN with immediate_exit does only that (api 5, kvm_run). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hv/kvm/kvm.h"
#include "mem/mem_window.h"

#define KICK_SIGNAL SIGURG
#define KERNEL_SIGSET_LEN 8

static int set_signal_mask(struct hv_vcpu *v, const sigset_t *mask)
{
    struct {
        struct kvm_signal_mask head;
        uint8_t bits[KERNEL_SIGSET_LEN];
    } m = {.head = {.len = KERNEL_SIGSET_LEN}};

    memcpy(m.head.sigset, mask, KERNEL_SIGSET_LEN);
    return kvm_ioctl(v->fd, KVM_SET_SIGNAL_MASK, &m);
}

/* Once for a thread: block the signal, and tell KVM to let it in. */
static int prepare_thread(struct hv_vcpu *v)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    sigset_t kick, mask;
    int r;

    if (v->thread == self)
        return 0;
    sigemptyset(&kick);
    sigaddset(&kick, KICK_SIGNAL);
    r = pthread_sigmask(SIG_BLOCK, &kick, &mask);
    if (r)
        return -r;
    sigdelset(&mask, KICK_SIGNAL);
    r = set_signal_mask(v, &mask);
    if (!r)
        v->thread = self;
    return r;
}

static void take_signal(void)
{
    const struct timespec no_wait = {0};
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, KICK_SIGNAL);
    (void)sigtimedwait(&kick, NULL, &no_wait); /* EAGAIN: it was another signal, served already */
}

void kvm_vcpu_kick(struct hv_vcpu *v)
{
    pid_t inside;

    atomic_store(&v->kicked, true);
    inside = atomic_load(&v->inside);
    if (inside)
        syscall(SYS_tgkill, getpid(), inside, KICK_SIGNAL);
}

/* ---- writes that KVM has put off ---- */

static void serve_deferred(struct hv_vm *vm, const struct kvm_coalesced_mmio *w)
{
    uint64_t value = 0;

    memcpy(&value, w->data, MIN((size_t)w->len, sizeof(value)));
    if (w->pio)
        vm->io->port_write(vm->io_arg, (uint16_t)w->phys_addr, w->len, (uint32_t)value);
    else
        vm->io->mmio_write(vm->io_arg, w->phys_addr, w->len, value);
}

static void flush_deferred(struct hv_vcpu *v)
{
    struct hv_vm *vm = v->vm;
    struct kvm_coalesced_mmio_ring *ring = vm->ring;
    uint32_t max = (MEM_PAGE_SIZE - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

    if (!ring || __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
                     __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&vm->ring_lock);
    while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        serve_deferred(vm, &ring->coalesced_mmio[ring->first % max]);
        __atomic_store_n(&ring->first, (ring->first + 1) % max, __ATOMIC_RELEASE);
        kvm_count(&v->count.deferred);
    }
    pthread_mutex_unlock(&vm->ring_lock);
}

int kvm_port_defer_writes(struct hv_vm *vm, uint16_t port, unsigned len)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = len, .pio = 1};

    return vm->ring ? kvm_ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone) : -ENOTSUP;
}

/* ---- interrupts without controllers ---- */

int kvm_vcpu_interrupt(struct hv_vcpu *v, int vector)
{
    int queued = v->vector;

    if (vector > 255)
        return -EINVAL;
    if (vector >= 0 && queued >= 0)
        return -EBUSY;
    v->vector = vector < 0 ? -1 : vector;
    return vector < 0 && queued < 0 ? -ENOENT : 0;
}

void kvm_vcpu_window(struct hv_vcpu *v, bool on)
{
    v->window = on;
}

/* ---- the loop ---- */

/* KVM_RUN once. What ioctl() gave, or -errno. */
static int run_once(struct hv_vcpu *v, bool only_finish)
{
    int r;

    v->run->immediate_exit = only_finish;
    v->run->request_interrupt_window = v->vector >= 0 || v->window;
    r = ioctl(v->fd, KVM_RUN, 0);
    if (r < 0)
        r = -errno;
    v->run->immediate_exit = 0;
    return r;
}

static int shut_down(struct hv_vcpu *v, struct hv_exit *exit)
{
    exit->kind = HV_EXIT_SHUTDOWN;
    snprintf(exit->text, sizeof(exit->text), "cpu %u has shut down before", v->index);
    return 0;
}

#define FAULTS_MAX 16u

/* A file that a window shows was cut short; another vCPU may have mended that already. */
static bool is_mended(struct hv_vcpu *v)
{
    if (!v->vm->mem->windows)
        return false;
    if (mem_windows_mend())
        v->faults = 0;
    return v->faults++ < FAULTS_MAX;
}

/* KVM_RUN failed with r. True: go on. */
static bool survive(struct hv_vcpu *v, int r, struct hv_exit *exit)
{
    if (r == -EAGAIN) /* an application processor got its INIT or SIPI */
        return true;
    if (r == -EFAULT && is_mended(v))
        return true;
    exit->kind = HV_EXIT_ERROR;
    kvm_describe(v, strerror(-r), exit->text, sizeof(exit->text));
    return false;
}

static int is_exposed(struct hv_vcpu *v, struct hv_exit *exit)
{
    exit->kind = HV_EXIT_ERROR;
    kvm_describe(v, "KVM does not hide the memory of System Management Mode", exit->text, sizeof(exit->text));
    return 0;
}

static int run(struct hv_vcpu *v, struct hv_exit *exit)
{
    for (;;) {
        bool kicked = atomic_exchange(&v->kicked, false);
        int r;

        if (unlikely(atomic_load_explicit(&v->vm->exposed, memory_order_relaxed)))
            return is_exposed(v, exit);
        kvm_take_smi(v);
        if (kicked && !v->unfinished)
            return -EINTR;
        r = run_once(v, kicked);
        flush_deferred(v);
        if (kicked)
            atomic_store(&v->kicked, true);
        if (r == -EINTR) {
            v->faults = 0;
            v->unfinished = false;
            kvm_count(&v->count.interrupted);
            if (!kicked)
                take_signal();
            continue;
        }
        if (r < 0) {
            if (!survive(v, r, exit))
                return 0;
            continue;
        }
        kvm_count(&v->count.user_exits);
        v->faults = 0;
        v->unfinished = true;
        /* Who kicks meanwhile need send no signal: `kicked` is looked at before the next KVM_RUN. */
        atomic_store(&v->inside, 0);
        if (!kvm_serve_exit(v, exit))
            return 0;
        atomic_store(&v->inside, v->thread);
    }
}

int kvm_vcpu_run(struct hv_vcpu *v, struct hv_exit *exit)
{
    int r = prepare_thread(v);

    if (r)
        return r;
    if (v->shut_down)
        return shut_down(v, exit);
    atomic_store(&v->inside, v->thread);
    r = run(v, exit);
    atomic_store(&v->inside, 0);
    return r;
}
