/* SPDX-License-Identifier: MIT */
/* The devices of a PC that are not on PCI. Each x_create() makes one on the bus, which owns it from
 * then on (bus_destroy()), and puts it at its place. All return 0 or -errno. Before vCPUs run. */
#ifndef VZ_CHIPSET_CHIPSET_H
#define VZ_CHIPSET_CHIPSET_H

#include "bus/bus.h"

struct char_dev;
struct loop;

/* What the guest asks of the machine as a whole. */
enum chipset_request {
    CHIPSET_POWER_OFF,
    CHIPSET_RESET,
    CHIPSET_DEBUG_EXIT, /* value: what the guest wrote */
    CHIPSET_PANIC,      /* value: PVPANIC_... */
};

struct chipset_requests {
    /* On a vCPU thread, under a device's lock: note it, kick the vCPUs, return. May come many
     * times before the vCPUs have stopped. */
    void (*request)(void *arg, enum chipset_request kind, uint32_t value);
    void *arg;
};

/* --- rtc.c: MC146818 clock and CMOS memory, ports 0x70-0x71, GSI 8 --- */
struct rtc;
struct rtc_options {
    struct loop *loop;
    uint64_t (*now_ns)(void *arg); /* wall clock since 1970, UTC; NULL: the host's */
    void *now_arg;
};
int rtc_create(struct bus *bus, const struct rtc_options *options, struct rtc **ret) must_check;
/* Set a byte of CMOS memory (0x0e..0x7f but 0x32, the century), as firmware would. */
void rtc_set_nvram(struct rtc *rtc, uint8_t index, uint8_t value);

/* --- uart.c: 16550A. The line is the caller's, outlives the bus, and has no other client. --- */
struct uart_options {
    uint16_t port;
    unsigned gsi;
    uint32_t instance;
    struct char_dev *line;
    struct loop *loop;
    bool restored; /* its state will be loaded: what is there for it waits until then */
};
#define UART_COM1_PORT 0x3f8
#define UART_COM1_GSI  4
struct uart;
/* *ret (may be NULL) is the bus's. */
int uart_create(struct bus *bus, const struct uart_options *options, struct uart **ret) must_check;
/* Replace the line; the old one has no client then. Loop thread, or while the loop does not run. */
void uart_set_line(struct uart *uart, struct char_dev *line);

/* --- i8042.c: keyboard controller without a keyboard, ports 0x60 and 0x64, GSI 1 --- */
int i8042_create(struct bus *bus, const struct chipset_requests *requests) must_check;

/* --- reset.c: ports 0x92 and 0xcf9. The latter lies inside PCI's configuration ports, whose
 * device passes byte accesses on to reset_ctl_read/write(). --- */
struct reset_ctl;
int reset_ctl_create(struct bus *bus, const struct chipset_requests *requests,
                     struct reset_ctl **ret) must_check;
uint8_t reset_ctl_read(void *reset_ctl);
void reset_ctl_write(void *reset_ctl, uint8_t value);

/* --- acpi_pm.c: ACPI fixed hardware of an ICH9: PM1a, PM timer, GPE0; port 0xb2; GSI 9 --- */
struct acpi_pm;
#define ACPI_PM_BASE        0x600 /* as firmware sets it; offsets follow (ICH9 13.8.3) */
#define ACPI_PM1_EVT        0x00
#define ACPI_PM1_CNT        0x04
#define ACPI_PM_TIMER       0x08
#define ACPI_GPE0           0x20
#define ACPI_GPE0_LEN       16
#define ACPI_PM_LEN         0x80
#define ACPI_SMI_PORT       0xb2
#define ACPI_SMI_ENABLE     0x02 /* written to the SMI port: SCI_EN on, off */
#define ACPI_SMI_DISABLE    0x03
#define ACPI_SCI_GSI        9
#define ACPI_PM_TIMER_HZ    3579545
#define ACPI_S5_TYPE        5    /* SLP_TYP of soft-off */
int acpi_pm_create(struct bus *bus, struct loop *loop, const struct chipset_requests *requests,
                   struct acpi_pm **ret) must_check;
/* Move the registers (PMBASE of the LPC bridge), or take them away. Takes the device's lock. */
void acpi_pm_set_base(void *acpi_pm, uint16_t base, bool enabled);
/* Before vCPUs run: a SLP_TYP of 0 is soft-off too. Firmware for virtual machines does not look at the tables to find
 * out, but takes QEMU's for granted. */
void acpi_pm_zero_is_off(struct acpi_pm *pm);
/* Before vCPUs run: where an SMI of the command port goes, for guests that enable it (SMI_EN); and whether they
 * may disable it again (SMI_LOCK of the LPC bridge). smi is called on a vCPU thread, under the device's lock. */
void acpi_pm_set_smi(struct acpi_pm *pm, void (*smi)(void *arg), void *arg);
void acpi_pm_lock_smi(void *acpi_pm, bool locked);
/* Between these two the timer stands still; no vCPU and no loop runs meanwhile. */
void acpi_pm_freeze(struct acpi_pm *pm);
void acpi_pm_thaw(struct acpi_pm *pm);
/* While it is frozen: the generation ID has changed (dsdt.c), which the guest is told by GPE 0 as soon as it goes
 * on. */
void acpi_pm_new_generation(struct acpi_pm *pm);
#define ACPI_GPE_GENERATION 0
/* Press the power button; would the guest be told of it, if it were pressed now? Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
bool acpi_pm_hears_power_button(struct acpi_pm *pm);

/* --- fw_cfg.c: ports 0x510-0x51b: what firmware and test kernels ask for by numbers and file names --- */
struct fw_cfg;
struct fw_cfg_options {
    uint64_t ram_size; /* bytes */
    uint16_t cpus;
    bool boot_menu;    /* firmware is to wait for a key: "etc/boot-menu-wait" says how long */
    struct mem *mem;   /* for its DMA interface; outlives the bus. NULL: it has none */
};
#define FW_CFG_PORT     0x510
#define FW_CFG_LEN      12
#define FW_CFG_NAME_MAX 55u /* bytes */
/* *ret (may be NULL) is the bus's. */
int fw_cfg_create(struct bus *bus, const struct fw_cfg_options *options,
                  struct fw_cfg **ret) must_check;
/* Have a file of that name with a copy of data, in place of what it had. Firmware's own files begin
 * with "etc/", those of the machine's owner with "opt/". -ENOMEM; -ENOSPC: too many, or a name too long.
 * No vCPU runs. */
int fw_cfg_set_file(struct fw_cfg *fw_cfg, const char *name, const void *data,
                    uint32_t len) must_check;

/* --- flash.c: a bank of CFI flash, where firmware keeps its variables --- */
#define FLASH_BLOCK 4096u /* what is erased at once */
struct flash_options {
    gpa_t base;
    uint32_t len;  /* bytes, whole blocks */
    const uint8_t *data; /* what is in it; copied */
    /* Optional: [at, at + len) is about to become bytes (all of it, when a saved state is loaded); 0, or
     * -errno, and the operation fails for the guest. And: what was changed so far is to last. On a vCPU thread, under the device's lock; may wait as
     * long as flash takes (milliseconds). */
    int (*write)(void *arg, uint32_t at, const uint8_t *bytes, uint32_t len);
    void (*sync)(void *arg);
    void *arg;
    bool guarded; /* commands are taken from CPUs in System Management Mode only; others read what is in it */
};
int flash_create(struct bus *bus, const struct flash_options *options) must_check;

/* --- ports.c: POST code ports 0x80 and 0xed; the debug-exit port 0xf4 of CPU test programs --- */
int post_ports_create(struct bus *bus) must_check;
int debug_exit_create(struct bus *bus, const struct chipset_requests *requests) must_check;

/* --- pvpanic.c: port 0x505, by which a guest's kernel tells that it panicked --- */
#define PVPANIC_PORT         0x505
#define PVPANIC_PANICKED     0x01
#define PVPANIC_CRASH_LOADED 0x02 /* and another kernel takes over: the guest goes on */
int pvpanic_create(struct bus *bus, const struct chipset_requests *requests) must_check;

/* --- test_device.c: what else CPU test programs expect: registers, lines, device memory --- */
int test_device_create(struct bus *bus) must_check;

#endif
