/* SPDX-License-Identifier: MIT */
/* The devices of a pc: the list of what it can be given, and what is soldered on. */
#include <string.h>

#include "base/error.h"
#include "board/pc/board.h"
#include "board/pc/firmware.h"
#include "device/device_kinds.h"

/* Every kind there is: there is none yet that a pc cannot have. */
#define KIND(name) &name##_kind,
const struct device_kind *const pc_device_kinds[] = {DEVICE_KINDS(KIND) NULL};

/* What firmware leaves in CMOS about memory: kilobytes above 1 MiB, 64 KiB units above 16 MiB, and
 * 64 KiB units above 4 GiB. */
static void fill_nvram(struct board *b)
{
    uint64_t low = memory_map_low(b->options.ram_size);
    uint64_t above_1m = MIN((low - MIB) / KIB, UINT64_C(0xffff));
    uint64_t above_16m = low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0;
    uint64_t above_4g = memory_map_high(b->options.ram_size) / (64 * KIB);

    rtc_set_nvram(b->rtc, 0x15, 640 & 0xff);
    rtc_set_nvram(b->rtc, 0x16, 640 >> 8);
    for (unsigned i = 0; i < 2; i++) {
        rtc_set_nvram(b->rtc, (uint8_t)(0x17 + i), (uint8_t)(above_1m >> (8 * i)));
        rtc_set_nvram(b->rtc, (uint8_t)(0x30 + i), (uint8_t)(above_1m >> (8 * i)));
        rtc_set_nvram(b->rtc, (uint8_t)(0x34 + i), (uint8_t)(above_16m >> (8 * i)));
    }
    for (unsigned i = 0; i < 3; i++)
        rtc_set_nvram(b->rtc, (uint8_t)(0x5b + i), (uint8_t)(above_4g >> (8 * i)));
    rtc_set_nvram(b->rtc, 0x5f, (uint8_t)(b->options.vcpu_count - 1));
}

static int add_chipset(struct board *b, struct reset_ctl **ret_reset)
{
    const struct board_options *o = &b->options;
    const struct rtc_options rtc = {.loop = o->loop};
    const struct fw_cfg_options fw_cfg = {.ram_size = o->ram_size, .cpus = (uint16_t)o->vcpu_count,
                                          .boot_menu = o->firmware && o->firmware->menu_wait,
                                          .mem = b->mem};
    int r;

    r = rtc_create(b->bus, &rtc, &b->rtc);
    if (!r && board_has_i8042(o))
        r = i8042_create(b->bus, &o->requests);
    if (!r)
        r = reset_ctl_create(b->bus, &o->requests, ret_reset);
    if (!r)
        r = acpi_pm_create(b->bus, o->loop, &o->requests, &b->pm);
    if (!r)
        r = post_ports_create(b->bus);
    if (!r)
        r = fw_cfg_create(b->bus, &fw_cfg, &b->fw_cfg);
    for (unsigned i = 0; !r && i < o->item_count; i++)
        r = fw_cfg_set_file(b->fw_cfg, o->items[i].name, o->items[i].text, (uint32_t)strlen(o->items[i].text));
    if (!r && o->firmware)
        r = firmware_add_flash(b);
    if (!r)
        r = pvpanic_create(b->bus, &o->requests);
    if (!r && o->debug_exit)
        r = debug_exit_create(b->bus, &o->requests);
    if (!r && o->debug_exit)
        r = test_device_create(b->bus);
    return r;
}

int board_add_devices(struct board *b, struct vz_error *err)
{
    struct pci_host_options pci = {
        .ecam_base = ECAM_BASE, .mem32_base = PCI32_BASE, .mem32_end = PCI32_END,
        .mem64_base = memory_map_pci64_base(b->phys_bits),
        .mem64_end = memory_map_pci64_end(b->phys_bits), .io_base = 0x1000,
        .reset_port = {.read = reset_ctl_read, .write = reset_ctl_write},
        .pm_base = acpi_pm_set_base,
        .smi_lock = board_has_smm(&b->options) ? acpi_pm_lock_smi : NULL,
        .smram = board_has_smm(&b->options) ? board_hide_smram : NULL,
        .smm_arg = b};
    struct device_env *env = device_slots_env(b->options.slots);
    struct reset_ctl *reset = NULL;
    int r = add_chipset(b, &reset);

    if (!r) {
        fill_nvram(b);
        pci.reset_port.arg = reset;
        pci.pm_arg = b->pm;
        if (b->options.firmware)
            acpi_pm_zero_is_off(b->pm);
        if (board_has_smm(&b->options))
            acpi_pm_set_smi(b->pm, board_smi, b);
        r = pci_host_create(b->bus, &pci, &b->pci);
    }
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot make the devices: %s", strerror(-r));
    env->mem = b->mem;
    env->bus = b->bus;
    env->pci = b->pci;
    return device_slots_create(b->options.slots, err);
}
