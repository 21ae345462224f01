/* SPDX-License-Identifier: MIT */
/* Making and ending a VM on /dev/kvm, and the table of the KVM backend. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "hv/kvm/kvm.h"

/* Where KVM keeps three pages for itself on processors that cannot run real mode, and the page
 * table for that (api 4.35, 4.52). Nothing of a PC is there: between IOAPIC and LAPIC. */
#define IDENTITY_MAP_GPA UINT64_C(0xfeffc000)
#define TSS_GPA          0xfeffd000ul

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

int kvm_ioctl_value(int fd, unsigned long request, unsigned long arg)
{
    return kvm_ioctl(fd, request, (void *)arg);
}

int kvm_has(int fd, unsigned cap)
{
    int r = kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, cap);

    return r < 0 ? 0 : r;
}

static int refuse_open(int error, struct vz_error *err)
{
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        return error_set(err, ENODEV, VZ_ERROR_UNSUPPORTED,
                         "there is no /dev/kvm: KVM is not in this host's kernel, or its processor "
                         "offers no virtualization");
    if (error == EACCES || error == EPERM)
        return error_set(err, EACCES, VZ_ERROR_UNSUPPORTED,
                         "/dev/kvm may not be opened: this user is not allowed to");
    return error_set(err, error, VZ_ERROR_UNSUPPORTED, "/dev/kvm cannot be opened: %s",
                     strerror(error));
}

int kvm_open_vm(int *ret_sys, int *ret_vm, struct vz_error *err)
{
    int sys = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

    if (sys < 0)
        return refuse_open(errno, err);
    if (kvm_ioctl_value(sys, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        close(sys);
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "/dev/kvm speaks another version of its interface");
    }
    vm = kvm_ioctl_value(sys, KVM_CREATE_VM, 0);
    if (vm < 0) {
        close(sys);
        return error_set(err, -vm, VZ_ERROR_UNSUPPORTED, "/dev/kvm gives no virtual machine: %s",
                         strerror(-vm));
    }
    *ret_sys = sys;
    *ret_vm = vm;
    return 0;
}

/* ---- making ---- */

/* All of them are older than the oldest kernel that is still maintained. */
static int check_needs(struct hv_vm *vm, const struct hv_vm_desc *desc, struct vz_error *err)
{
    static const struct {
        unsigned cap;
        const char *name;
    } need[] = {
        {KVM_CAP_IRQCHIP, "interrupt controllers"}, {KVM_CAP_PIT2, "a timer"},
        {KVM_CAP_USER_MEMORY, "memory"}, {KVM_CAP_READONLY_MEM, "read-only memory"},
        {KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"}, {KVM_CAP_IRQFD, "irqfd"},
        {KVM_CAP_IOEVENTFD, "ioeventfd"}, {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
        {KVM_CAP_XSAVE, "XSAVE"}, {KVM_CAP_XCRS, "XCR0"}, {KVM_CAP_DEBUGREGS, "debug registers"},
        {KVM_CAP_VCPU_EVENTS, "pending events"}, {KVM_CAP_MP_STATE, "processor states"},
        {KVM_CAP_IMMEDIATE_EXIT, "immediate exits"}, {KVM_CAP_EXT_CPUID, "CPUID"},
        {KVM_CAP_GET_TSC_KHZ, "the TSC's frequency"},
    };
    int max = kvm_has(vm->fd, KVM_CAP_MAX_VCPUS);

    for (unsigned i = 0; i < ARRAY_SIZE(need); i++) {
        if (!kvm_has(vm->fd, need[i].cap))
            return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                             "this host's KVM is too old: it cannot do %s", need[i].name);
    }
    if (max > 0 && desc->vcpu_count > (unsigned)max)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "this host's KVM has at most %d CPUs", max);
    return 0;
}

static int create_chips(struct hv_vm *vm)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    /* Ticks that the guest missed are not made up for: clocks do not depend on them, and catching
     * up would make KVM watch each end of interrupt. */
    struct kvm_reinject_control reinject = {.pit_reinject = 0};
    uint64_t identity = IDENTITY_MAP_GPA;
    int r = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);

    if (!r)
        r = kvm_ioctl_value(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA);
    if (r || !vm->irqchip)
        return r;
    r = kvm_ioctl_value(vm->fd, KVM_CREATE_IRQCHIP, 0);
    if (!r)
        r = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
    if (!r)
        r = kvm_ioctl(vm->fd, KVM_REINJECT_CONTROL, &reinject);
    return r ? r : kvm_irq_init(vm);
}

/* A fetch from where nothing is shall come to us at every privilege level. Older kernels tell of it
 * at level 0 only. */
static void want_failures(struct hv_vm *vm)
{
#ifdef KVM_CAP_EXIT_ON_EMULATION_FAILURE
    struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};

    if (vm->embedded && kvm_has(vm->fd, cap.cap) > 0)
        (void)kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
#endif
}

static int create_vcpu(struct hv_vm *vm, unsigned index)
{
    struct hv_vcpu *v = &vm->vcpu[index];

    *v = (struct hv_vcpu){.vm = vm, .index = index, .stats_fd = -1, .vector = -1};
    v->fd = kvm_ioctl_value(vm->fd, KVM_CREATE_VCPU, index);
    if (v->fd < 0)
        return v->fd;
    vm->vcpu_count++;
    v->run = mmap(NULL, vm->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return -errno;
    }
    v->stats_fd = kvm_ioctl_value(v->fd, KVM_GET_STATS_FD, 0);
    return 0;
}

static int create_vcpus(struct hv_vm *vm, unsigned count)
{
    int len = kvm_ioctl_value(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    int page = kvm_has(vm->fd, KVM_CAP_COALESCED_MMIO);
    int r = 0, khz;

    if (len < (int)sizeof(struct kvm_run))
        return -ENOTSUP;
    vm->run_len = (size_t)len;
    vm->vcpu = calloc(count, sizeof(*vm->vcpu));
    if (!vm->vcpu)
        return -ENOMEM;
    for (unsigned n = 0; !r && n < count; n++)
        r = create_vcpu(vm, n);
    if (r)
        return r;
    if (page > 0 && kvm_has(vm->fd, KVM_CAP_COALESCED_PIO) &&
        vm->run_len >= (size_t)(page + 1) * MEM_PAGE_SIZE)
        vm->ring = (void *)((uint8_t *)vm->vcpu[0].run + (size_t)page * MEM_PAGE_SIZE);
    khz = kvm_ioctl_value(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
    if (khz > 0)
        vm->tsc.khz = (uint32_t)khz;
    else
        tsc_rate_start(&vm->tsc);
    return 0;
}

static void vm_destroy(struct hv_vm *vm)
{
    if (!vm)
        return;
    for (unsigned n = 0; n < vm->vcpu_count; n++) {
        if (vm->vcpu[n].run)
            munmap(vm->vcpu[n].run, vm->run_len);
        if (vm->vcpu[n].stats_fd >= 0)
            close(vm->vcpu[n].stats_fd);
        close(vm->vcpu[n].fd);
    }
    free(vm->vcpu);
    free(vm->slot);
    free(vm->plan);
    kvm_irq_fini(vm);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->sys_fd >= 0)
        close(vm->sys_fd);
    pthread_mutex_destroy(&vm->ring_lock);
    pthread_mutex_destroy(&vm->slot_lock);
    pthread_mutex_destroy(&vm->line_lock);
    pthread_mutex_destroy(&vm->route_lock);
    free(vm);
}

static int failed(struct vz_error *err, int r, const char *what)
{
    return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_UNSUPPORTED,
                     "KVM: %s: %s", what, strerror(-r));
}

static int create_parts(struct hv_vm *vm, const struct hv_vm_desc *desc, struct vz_error *err)
{
    int r = kvm_open_vm(&vm->sys_fd, &vm->fd, err);

    if (r || (r = check_needs(vm, desc, err)))
        return r;
    r = vm->smm ? kvm_check_smm(vm, err) : 0;
    if (r)
        return r;
    r = create_chips(vm);
    if (r)
        return failed(err, r, "interrupt controllers");
    want_failures(vm);
    r = create_vcpus(vm, desc->vcpu_count);
    if (r)
        return failed(err, r, "CPUs");
    r = kvm_cpuid_init(vm, err);
    if (r)
        return r;
    r = kvm_memory_init(vm);
    if (r)
        return failed(err, r, "guest memory");
    r = kvm_state_probe_msrs(vm);
    if (!r && vm->irqchip)
        r = kvm_irqchip_reset(vm);
    for (unsigned n = 0; !r && n < vm->vcpu_count; n++)
        r = kvm_vcpu_reset(&vm->vcpu[n]);
    return r ? failed(err, r, "CPU state") : 0;
}

static int vm_create(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err)
{
    struct hv_vm *vm = calloc(1, sizeof(*vm));
    int r;

    if (!vm)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "no memory for the virtual machine");
    vm->sys_fd = vm->fd = -1;
    vm->mem = desc->mem;
    vm->io = desc->io;
    vm->io_arg = desc->io_arg;
    vm->host_cpu = desc->host_cpu;
    vm->phys_bits_max = desc->phys_bits_max && !desc->host_cpu ? desc->phys_bits_max : 64;
    vm->irqchip = hv_has_irqchip(desc);
    vm->embedded = desc->bare;
    vm->smm = desc->smm;
    pthread_mutex_init(&vm->ring_lock, NULL);
    pthread_mutex_init(&vm->slot_lock, NULL);
    pthread_mutex_init(&vm->line_lock, NULL);
    pthread_mutex_init(&vm->route_lock, NULL);
    r = create_parts(vm, desc, err);
    if (r) {
        vm_destroy(vm);
        return r;
    }
    *ret = vm;
    return 0;
}

/* ---- the rest of the contract ---- */

static int vcpu_create(struct hv_vm *vm, unsigned index, struct hv_vcpu **ret)
{
    if (index >= vm->vcpu_count)
        return -EINVAL;
    *ret = &vm->vcpu[index];
    return 0;
}

static void vcpu_destroy(struct hv_vcpu *v)
{
    /* vCPUs live and die with their machine. */
}

static int vcpu_get(struct hv_vcpu *v, struct hv_cpu_state *ret)
{
    return kvm_vcpu_get(v, &ret->x86);
}

static int vcpu_set(struct hv_vcpu *v, const struct hv_cpu_state *state)
{
    return kvm_vcpu_set(v, &state->x86);
}

static void vm_reset(struct hv_vm *vm)
{
    /* States that KVM has taken before; it refuses none of them now. */
    if (vm->irqchip)
        (void)kvm_irqchip_reset(vm);
    for (unsigned n = 0; n < vm->vcpu_count; n++)
        (void)kvm_vcpu_reset(&vm->vcpu[n]);
}

static uint64_t cpu_features(struct hv_vm *vm)
{
    return vm->features;
}

static unsigned phys_bits(struct hv_vm *vm)
{
    return vm->phys_bits;
}

/* The value of one of the kernel's counters of a vCPU (api 4.133), 0 where it has none. */
static uint64_t kernel_counter(const struct hv_vcpu *v, const char *name)
{
    struct kvm_stats_header head;
    uint8_t buf[sizeof(struct kvm_stats_desc) + 256];
    const struct kvm_stats_desc *d = (const struct kvm_stats_desc *)buf;
    uint64_t value = 0;

    if (v->stats_fd < 0 || pread(v->stats_fd, &head, sizeof(head), 0) != sizeof(head) ||
        head.name_size > 256 || head.num_desc > 4096)
        return 0;
    for (uint32_t i = 0; i < head.num_desc; i++) {
        size_t size = sizeof(*d) + head.name_size;

        if (pread(v->stats_fd, buf, size, (off_t)(head.desc_offset + i * size)) != (ssize_t)size)
            return 0;
        if (strncmp(d->name, name, head.name_size))
            continue;
        if (pread(v->stats_fd, &value, sizeof(value), (off_t)head.data_offset + d->offset) < 0)
            return 0;
        return value;
    }
    return 0;
}

static uint64_t sum_kernel(const struct hv_vm *vm, const char *name)
{
    uint64_t sum = 0;

    for (unsigned n = 0; n < vm->vcpu_count; n++)
        sum += kernel_counter(&vm->vcpu[n], name);
    return sum;
}

static void stats(struct hv_vm *vm, hv_stats_fn *fn, void *arg)
{
    static const char *const kernel[][2] = {
        {"cpu.exits", "exits"}, {"cpu.halts", "halt_exits"}, {"cpu.irq_injections", "irq_injections"},
    };
    struct {
        const char *name;
        size_t at;
    } own[] = {
#define COUNT(field) {"cpu." #field, offsetof(struct kvm_vcpu_count, field)}
        COUNT(user_exits), COUNT(port_accesses), COUNT(mmio_accesses), COUNT(msr_accesses),
        COUNT(interrupted), COUNT(deferred),
#undef COUNT
    };

    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++)
        fn(arg, kernel[i][0], sum_kernel(vm, kernel[i][1]));
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
        uint64_t sum = 0;

        for (unsigned n = 0; n < vm->vcpu_count; n++)
            sum += atomic_load((_Atomic uint64_t *)((char *)&vm->vcpu[n].count + own[i].at));
        fn(arg, own[i].name, sum);
    }
}

static const struct hv_shortcut_ops shortcut_ops = {
    .irqfd_add = kvm_irqfd_add,
    .irqfd_route = kvm_irqfd_route,
    .irqfd_remove = kvm_irqfd_remove,
    .ioeventfd_add = kvm_ioeventfd_add,
    .ioeventfd_remove = kvm_ioeventfd_remove,
    .port_defer_writes = kvm_port_defer_writes,
    .dirty_log = kvm_dirty_log,
    .dirty_fetch = kvm_dirty_fetch,
};

static const struct hv_bare_ops bare_ops = {
    .memory_changed = kvm_memory_changed,
    .interrupt = kvm_vcpu_interrupt,
    .window = kvm_vcpu_window,
};

const struct hv_ops hv_kvm_ops = {
    .name = "kvm",
    .nested_paging = true,
    .cpu_state_size = sizeof(struct hv_cpu_state),
    .shortcut = &shortcut_ops,
    .bare = &bare_ops,
    .probe = kvm_probe,
    .vm_create = vm_create,
    .vm_destroy = vm_destroy,
    .irq_line = kvm_irq_line,
    .msi = kvm_msi,
    .smi = kvm_smi,
    .hidden = kvm_hidden,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_get = vcpu_get,
    .vcpu_set = vcpu_set,
    .vm_reset = vm_reset,
    .irqchip_save = kvm_irqchip_save,
    .irqchip_load = kvm_irqchip_load,
    .phys_bits = phys_bits,
    .cpu_features = cpu_features,
    .stats = stats,
};
