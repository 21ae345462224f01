/* SPDX-License-Identifier: MIT */
/* The pc board: from a few numbers to a machine without its CPUs' threads. It makes guest memory,
 * the hypervisor's VM, and the devices: the chipset, and what the machine's slots hold (device/).
 * It writes the tables that tell the guest about them. Whoever runs it (machine/) opens the slots,
 * makes the vCPUs, loads a kernel and turns the loop. */
#ifndef VZ_BOARD_PC_BOARD_H
#define VZ_BOARD_PC_BOARD_H

#include "base/compiler.h"
#include "board/pc/memory_map.h"
#include "bus/bus.h"
#include "chipset/chipset.h"
#include "device/device_slots.h"
#include "pci/pci.h"

/* The kinds of devices that a configuration can give a pc; ends with NULL. Those on PCI get their
 * places in this order. */
extern const struct device_kind *const pc_device_kinds[];

struct firmware;
struct firmware_item;

struct board_options {
    uint64_t ram_size;       /* bytes, whole pages, RAM_SIZE_MIN..RAM_SIZE_MAX */
    uint64_t window_size;    /* bytes, whole mem windows' pieces: of all windows that devices are to have */
    unsigned vcpu_count;     /* 1..HV_VCPUS_MAX */
    const struct hv_ops *hv;
    struct loop *loop;       /* outlives the board; not running while it is made or destroyed */
    struct device_slots *slots; /* opened; outlive the board */
    uint8_t uuid[16];        /* of the machine, in the order it is printed */
    bool debug_exit;         /* have port 0xf4 */
    bool memory_preallocate, memory_huge_pages; /* see struct mem_options, */
    bool memory_shared;      /* likewise: for what other processes are to see of it */
    bool memory_strict;      /* likewise, where the backend's CPUs ask; for tests */
    bool host_cpu;           /* see struct hv_vm_desc */
    const char *jit, *name;  /* see struct hv_vm_desc; used by board_create() only */
    const struct firmware_item *items; /* for fw_cfg, item_count of them; outlive the board */
    unsigned item_count;
    struct firmware *firmware; /* open, outlives the board; NULL: whoever runs it loads a kernel */
    struct chipset_requests requests;
};

/* Firmware would wait seconds for a keyboard to answer, where there is a controller for one. */
static inline bool board_has_i8042(const struct board_options *o)
{
    return !o->firmware;
}

/* Where 64-bit BARs may be, [*ret_base, *ret_end). Firmware looks for a place of its own: wherever there is
 * no RAM. */
void board_pci64(const struct board_options *o, unsigned phys_bits, uint64_t *ret_base,
                 uint64_t *ret_end);

/* Constant once made. */
struct board {
    struct board_options options;
    struct mem *mem;
    struct loop_timer *collapse; /* of shared memory: mem_collapse() */
    struct bus *bus;
    struct hv_vm *vm;
    struct pci_host *pci;
    struct acpi_pm *pm;
    struct rtc *rtc;
    struct fw_cfg *fw_cfg;
    struct e820_entry e820[MEMORY_MAP_E820_MAX]; /* for the loaders */
    unsigned e820_count;
    unsigned phys_bits; /* of guest-physical addresses */
    gpa_t rsdp; /* ACPI's root pointer, for the loaders */
};

/* Make guest memory and the VM: the last that the board asks of the host. 0 or -errno. */
int board_create(const struct board_options *options, struct board **ret,
                 struct vz_error *err) must_check;
/* Make the devices, in the state after power-up with tables written. Opens nothing. 0 or -errno;
 * then only board_destroy() is left. */
int board_populate(struct board *board, struct vz_error *err) must_check;
/* vCPUs are destroyed, the loop does not run. NULL is fine. */
void board_destroy(struct board *board);

/* Back to power-up: devices, the VM with its vCPUs and interrupt controllers, BARs, tables. Guest
 * memory otherwise stays; the loader writes what it needs. No vCPU runs, and devices are quiet
 * (device_slots_quiesce()), as for the next two: a disk might still write to guest memory. 0 or
 * -errno. */
int board_reset(struct board *board) must_check;

/* All devices and interrupt controllers; not vCPUs, not memory. No vCPU runs, and nothing runs on
 * the loop meanwhile. After a failed load: board_reset(). */
int board_save(struct board *board, struct state_writer *w) must_check;
int board_load(struct board *board, const void *data, size_t len,
               struct vz_error *err) must_check;

/* It is another machine from now on than the one that was loaded: it gets another generation ID, and the guest is
 * told of that when it goes on. Frozen, as after a load. 0 or -errno. */
int board_new_generation(struct board *board) must_check;

/* smram.c: does its firmware live in System Management Mode? If so: the last so many MiB of low memory are for
 * that mode only; and every CPU enters it. arg is the board. */
bool board_has_smm(const struct board_options *o);
void board_hide_smram(void *arg, unsigned mib);
void board_smi(void *arg);

/* devices.c: put the devices on board->bus. 0 or -errno with err filled in. */
int board_add_devices(struct board *board, struct vz_error *err) must_check;

/* bios_data.c: write what a BIOS leaves into guest memory; or, where there is firmware of another kind, only what is at
 * the place from where the CPU of a PC starts. 0 or -errno. */
int bios_data_write(struct mem *mem) must_check;
int bios_data_write_reset(struct mem *mem) must_check;

#endif
