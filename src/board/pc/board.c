/* SPDX-License-Identifier: MIT */
/* Making, resetting, saving and loading a pc: see board.h. */
#include "board/pc/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "board/pc/acpi.h"
#include "board/pc/firmware.h"
#include "board/pc/smbios.h"
#include "loop/loop.h"

static int check_options(const struct board_options *o, struct vz_error *err)
{
    if (o->ram_size < RAM_SIZE_MIN || o->ram_size > RAM_SIZE_MAX || o->ram_size % MEM_PAGE_SIZE)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "memory size must be whole pages from %llu MiB to %llu GiB",
                         (unsigned long long)(RAM_SIZE_MIN / MIB),
                         (unsigned long long)(RAM_SIZE_MAX / GIB));
    if (o->firmware && o->ram_size < FIRMWARE_RAM_MIN)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "UEFI firmware needs %llu MiB of memory, or more",
                         (unsigned long long)(FIRMWARE_RAM_MIN / MIB));
    if (board_has_smm(o) && !o->hv->smi)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "this firmware wants System Management Mode, which %s has not", o->hv->name);
    if (!o->vcpu_count || o->vcpu_count > HV_VCPUS_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "CPU count must be from 1 to %u",
                         HV_VCPUS_MAX);
    return 0;
}

#define COLLAPSE_NS 250000000u

/* Four huge pages a second at most: each takes some 5 ms. */
static void collapse_some(void *arg)
{
    struct board *b = arg;

    mem_collapse(b->mem);
    loop_timer_arm(b->collapse, clock_mono_ns() + COLLAPSE_NS);
}

static int make_memory(struct board *b, struct vz_error *err)
{
    uint64_t low = memory_map_low(b->options.ram_size);
    uint64_t high = memory_map_high(b->options.ram_size);
    const struct mem_options options = {.capacity = b->options.ram_size +
                                                    firmware_rom_size(b->options.firmware),
                                        .huge_pages = b->options.memory_huge_pages,
                                        .transparent = b->options.hv->nested_paging,
                                        .preallocate = b->options.memory_preallocate,
                                        .shared = b->options.memory_shared,
                                        .strict = b->options.memory_strict && b->options.hv->asks,
                                        .windows = b->options.window_size};
    int r = mem_create_with(&options, &b->mem, err);

    if (r < 0)
        return r;
    r = mem_add(b->mem, 0, low, false);
    if (!r && high)
        r = mem_add(b->mem, HIGH_RAM_BASE, high, false);
    if (!r && b->options.firmware)
        r = firmware_add_rom(b);
    if (!r && b->options.window_size)
        r = mem_add_windows(b->mem, memory_map_windows(b->options.ram_size));
    if (r < 0)
        return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_INTERNAL,
                         r != -ENOMEM ? "cannot place guest memory"
                                      : "the host has not so much memory to give at once");
    b->e820_count = memory_map_e820(b->options.ram_size, b->e820);
    return 0;
}

static int make_vm(struct board *b, struct vz_error *err)
{
    const struct hv_vm_desc desc = {.mem = b->mem, .loop = b->options.loop,
                                    .vcpu_count = b->options.vcpu_count,
                                    .io = &bus_io_ops, .io_arg = b->bus,
                                    .jit = b->options.jit, .name = b->options.name,
                                    .host_cpu = b->options.host_cpu,
                                    .smm = board_has_smm(&b->options),
                                    .phys_bits_max = firmware_phys_bits_max(b)};
    const struct hv_ops *hv = b->options.hv;
    int r = hv->vm_create(&desc, &b->vm, err);

    if (r < 0)
        return r;
    bus_set_hv(b->bus, hv, b->vm);
    b->phys_bits = hv->phys_bits(b->vm);
    if (memory_map_end(b->options.ram_size, b->options.window_size) > memory_map_pci64_base(b->phys_bits))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "this host's processor cannot address so much memory");
    return 0;
}

/* What firmware would do before it loads a kernel, where there is none. */
static int prepare_guest(struct board *b)
{
    int r;

    if (b->options.firmware)
        return firmware_prepare(b);
    pci_assign_bars(b->pci);
    r = acpi_write_tables(b->mem, &b->options, b->phys_bits, &b->rsdp);
    if (!r)
        r = smbios_write_tables(b->mem, &b->options);
    return r ? r : bios_data_write(b->mem);
}

void board_pci64(const struct board_options *o, unsigned phys_bits, uint64_t *ret_base,
                 uint64_t *ret_end)
{
    *ret_base = memory_map_pci64_base(phys_bits);
    *ret_end = memory_map_pci64_end(phys_bits);
    if (o->firmware) {
        *ret_base = align_up(HIGH_RAM_BASE + memory_map_high(o->ram_size), GIB);
        *ret_end = BIT(phys_bits);
    }
}

int board_create(const struct board_options *options, struct board **ret, struct vz_error *err)
{
    struct board *b;
    int r = check_options(options, err);

    if (r < 0)
        return r;
    b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    b->options = *options;
    r = make_memory(b, err);
    if (r < 0)
        goto fail;
    r = bus_create(&b->bus);
    if (!r && options->memory_shared && !options->memory_huge_pages)
        r = loop_timer_create(options->loop, collapse_some, b, &b->collapse);
    if (r < 0) {
        error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make the board: %s", strerror(-r));
        goto fail;
    }
    r = make_vm(b, err);
    if (r < 0)
        goto fail;
    if (b->collapse)
        collapse_some(b);
    *ret = b;
    return 0;
fail:
    board_destroy(b);
    return r;
}

/* What was saved by a vz that had none is not told, and finds a number where nothing is looked at. */
static int write_generation(struct board *b)
{
    uint8_t id[16];

    while (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        ;
    return mem_write(b->mem, GENERATION_ID, id, sizeof(id));
}

int board_new_generation(struct board *b)
{
    int r = write_generation(b);

    if (!r)
        acpi_pm_new_generation(b->pm);
    return r;
}

int board_populate(struct board *b, struct vz_error *err)
{
    int r = board_add_devices(b, err);

    if (r < 0)
        return r;
    r = prepare_guest(b);
    if (!r)
        r = write_generation(b);
    return r < 0 ? error_set(err, -r, VZ_ERROR_INTERNAL, "cannot write the firmware's tables: %s",
                             strerror(-r))
                 : 0;
}

void board_destroy(struct board *b)
{
    if (!b)
        return;
    /* Devices first: they lower their lines in the VM. */
    bus_destroy(b->bus);
    b->options.hv->vm_destroy(b->vm);
    loop_timer_destroy(b->collapse);
    mem_destroy(b->mem);
    free(b);
}

int board_reset(struct board *b)
{
    bus_reset(b->bus);
    b->options.hv->vm_reset(b->vm);
    return prepare_guest(b);
}

int board_save(struct board *b, struct state_writer *w)
{
    int r = bus_save(b->bus, w);

    return r ? r : b->options.hv->irqchip_save(b->vm, w);
}

/* Interrupt controllers first, so that the devices' lines, set again, are no new edges. */
int board_load(struct board *b, const void *data, size_t len, struct vz_error *err)
{
    int r = b->options.hv->irqchip_load(b->vm, data, len, err);

    return r ? r : bus_load(b->bus, data, len, err);
}
