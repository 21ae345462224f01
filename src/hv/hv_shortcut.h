/* SPDX-License-Identifier: MIT */
/* The hypervisor contract, shortcuts between a device and the guest: for bus/, which uses them where
 * there are some. All members are optional: NULL, or a failure of _add, means that the caller goes
 * on with msi() and with calls of its hv_io_ops. Any thread. */
#ifndef VZ_HV_HV_SHORTCUT_H
#define VZ_HV_HV_SHORTCUT_H

#include "hv/hv.h"

struct hv_irqfd;

struct hv_shortcut_ops {
    /* Have every write to the eventfd fd send msi, until removed. The fd stays the caller's. */
    int (*irqfd_add)(struct hv_vm *vm, int fd, const struct hv_msi *msi, struct hv_irqfd **ret);
    /* Send another message from now on. 0 or -errno, then the old one stays. */
    int (*irqfd_route)(struct hv_irqfd *irq, const struct hv_msi *msi);
    void (*irqfd_remove)(struct hv_irqfd *irq); /* NULL is fine */

    /* Have the guest's writes at gpa, of any size and value, signal the eventfd fd instead of
     * calling mmio_write(). */
    int (*ioeventfd_add)(struct hv_vm *vm, gpa_t gpa, int fd);
    void (*ioeventfd_remove)(struct hv_vm *vm, gpa_t gpa, int fd);

    /* Writes to ports [port, port + len) may reach port_write() late: before any other access that
     * calls hv_io_ops, and before vcpu_run() returns. */
    int (*port_defer_writes)(struct hv_vm *vm, uint16_t port, unsigned len);

    /* Begin or end to note which pages the guest's CPUs write (what devices write is not among
     * them: mem_written()). 0 or -errno. */
    int (*dirty_log)(struct hv_vm *vm, bool on);
    /* Set the bits of the pages of region mem->region[index] written since the last call, and
     * perhaps of some that were only read; bit n of bitmap[n / 64] stands for its page n. Others
     * are left. */
    int (*dirty_fetch)(struct hv_vm *vm, unsigned index, uint64_t *bitmap);
};

#endif
