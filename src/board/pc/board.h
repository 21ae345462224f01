/* SPDX-License-Identifier: MIT */
/* The pc board: from a few numbers to a machine without its CPUs' threads. It makes guest memory,
 * the hypervisor's VM, and the devices (devices.c has the list), and writes the tables that tell
 * the guest about them. Whoever runs it (machine/) makes the vCPUs, loads a kernel and turns the loop. */
#ifndef VZ_BOARD_PC_BOARD_H
#define VZ_BOARD_PC_BOARD_H

#include "base/compiler.h"
#include "board/pc/memory_map.h"
#include "bus/bus.h"
#include "chipset/chipset.h"
#include "pci/pci.h"
#include "virtio/virtio.h"

struct char_dev;

#define BOARD_VIRTIO_MAX 30u /* PCI slots 1 to 30 */

/* A virtio device to have. */
struct board_virtio {
    const struct virtio_ops *ops;
    const void *options; /* for ops->init; see the device's header */
    unsigned queues;     /* 0: the device's default */
    uint16_t queue_max;  /* likewise */
    /* Where to leave the device, for its run-time functions (loop thread); NULL: nowhere. It lives
     * as long as the board. */
    struct virtio_dev **ret;
};

struct board_options {
    uint64_t ram_size;       /* bytes, whole pages, RAM_SIZE_MIN..RAM_SIZE_MAX */
    unsigned vcpu_count;     /* 1..HV_VCPUS_MAX */
    const struct hv_ops *hv;
    struct loop *loop;       /* outlives the board; not running while it is made or destroyed */
    struct char_dev *serial; /* COM1's line; the caller's, outlives the board */
    uint8_t uuid[16];        /* of the machine, in the order it is printed */
    bool debug_exit;         /* have port 0xf4 */
    bool memory_preallocate, memory_huge_pages; /* see struct mem_options */
    bool host_cpu;           /* see struct hv_vm_desc */
    const char *jit;         /* see struct hv_vm_desc; used by board_create() only */
    struct chipset_requests requests;
    /* Devices get PCI slots in this order, from 1 on. Read by board_create() only. */
    const struct board_virtio *virtio;
    unsigned virtio_count; /* up to BOARD_VIRTIO_MAX */
};

/* board_quiesce() at work. Loop thread. */
struct board_rest {
    unsigned waiting; /* for so many devices, and one for the asking itself */
    void (*done)(void *arg);
    void *arg;
};

/* Constant once made, but for rest. */
struct board {
    struct board_options options;
    struct mem *mem;
    struct bus *bus;
    struct hv_vm *vm;
    struct pci_host *pci;
    struct acpi_pm *pm;
    struct uart *com1;
    struct rtc *rtc;
    struct e820_entry e820[MEMORY_MAP_E820_MAX]; /* for the loaders */
    unsigned e820_count;
    struct virtio_dev *virtio[BOARD_VIRTIO_MAX];
    unsigned virtio_count;
    struct board_rest rest;
    struct loop_work resume;
    unsigned phys_bits; /* of guest-physical addresses */
    gpa_t rsdp; /* ACPI's root pointer, for the loaders */
};

/* Make everything, in the state after power-up with tables written. 0 or -errno. */
int board_create(const struct board_options *options, struct board **ret,
                 struct vz_error *err) must_check;
/* vCPUs are destroyed, the loop does not run. NULL is fine. */
void board_destroy(struct board *board);

/* Let all devices finish what they have under way and take nothing new: before board_reset(),
 * board_save() and board_load() of a machine that has run, since a disk may still write to guest
 * memory. Loop thread; done(arg) comes on the loop thread, maybe from inside. */
void board_quiesce(struct board *board, void (*done)(void *arg), void *arg);
/* Any thread. */
void board_resume(struct board *board);

/* Back to power-up: devices, the VM with its vCPUs and interrupt controllers, BARs, tables. Guest
 * memory otherwise stays; the loader writes what it needs. No vCPU runs. 0 or -errno. */
int board_reset(struct board *board) must_check;

/* All devices and interrupt controllers; not vCPUs, not memory. No vCPU runs, and nothing runs on
 * the loop meanwhile. After a failed load: board_reset(). */
int board_save(struct board *board, struct state_writer *w) must_check;
int board_load(struct board *board, const void *data, size_t len,
               struct vz_error *err) must_check;

/* devices.c: put the machine's devices on board->bus. 0 or -errno with err filled in. */
int board_add_devices(struct board *board, struct vz_error *err) must_check;

/* acpi.c, smbios.c, bios_data.c: write the tables into guest memory. 0 or -errno. */
int acpi_write_tables(struct mem *mem, unsigned vcpu_count, unsigned phys_bits,
                      gpa_t *ret_rsdp) must_check;
int smbios_write_tables(struct mem *mem, const struct board_options *options) must_check;
int bios_data_write(struct mem *mem) must_check;

#endif
