/* SPDX-License-Identifier: MIT */
#include "board/pc/dsdt.h"

#include <stdio.h>

#include "board/pc/board.h"
#include "chipset/chipset.h"
#include "pci/pci.h"

static void write_sleep_states(struct aml *a)
{
    size_t p;

    aml_name(a, "\\_S5_");
    p = aml_begin_package(a, 4);
    aml_int(a, ACPI_S5_TYPE);
    for (unsigned i = 0; i < 3; i++)
        aml_int(a, 0);
    aml_end(a, p);
}

/* Processor devices, one per MADT entry. */
static void write_cpus(struct aml *a, unsigned vcpu_count)
{
    for (unsigned i = 0; i < vcpu_count; i++) {
        char name[8];
        size_t d;

        snprintf(name, sizeof(name), "C%03X", i & 0xfff);
        d = aml_begin_device(a, name);
        aml_name(a, "_HID");
        aml_string(a, "ACPI0007");
        aml_name_int(a, "_UID", i);
        aml_end(a, d);
    }
}

/* Pin p of device d goes to the GSI the PCI core says (ACPI 6.2.13). */
static void write_routing(struct aml *a)
{
    size_t all, one;

    aml_name(a, "_PRT");
    all = aml_begin_package(a, 32 * 4);
    for (unsigned d = 0; d < 32; d++) {
        for (unsigned pin = 1; pin <= 4; pin++) {
            one = aml_begin_package(a, 4);
            aml_int(a, (uint64_t)d << 16 | 0xffff);
            aml_int(a, pin - 1);
            aml_int(a, 0);
            aml_int(a, pci_intx_gsi(PCI_DEVFN(d, 0), pin));
            aml_end(a, one);
        }
    }
    aml_end(a, all);
}

static void write_windows(struct aml *a, const struct board_options *o, unsigned phys_bits)
{
    uint64_t base, end;
    struct aml_resources r;

    aml_name(a, "_CRS");
    r = aml_begin_resources(a);
    aml_bus_numbers(a, 0, PCI_LAST_BUS);
    aml_io(a, 0xcf8, 8);
    aml_io_window(a, 0x0000, 0x0cf7);
    aml_io_window(a, 0x0d00, 0xffff);
    aml_memory32_window(a, (uint32_t)PCI32_BASE, (uint32_t)(PCI32_END - 1));
    board_pci64(o, phys_bits, &base, &end);
    aml_memory64_window(a, base, end - 1);
    if (o->window_size && memory_map_windows(o->ram_size) < base)
        aml_memory64_window(a, memory_map_windows(o->ram_size), memory_map_end(o->ram_size, o->window_size) - 1);
    aml_end_resources(a, r);
}

/* Ports and memory that are neither RAM nor any device's BAR, so that nothing is placed there. */
static void write_reserved(struct aml *a)
{
    size_t d = aml_begin_device(a, "RSVD");
    struct aml_resources r;

    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0C02");
    aml_name_int(a, "_UID", 1);
    aml_name(a, "_CRS");
    r = aml_begin_resources(a);
    aml_memory32_fixed(a, (uint32_t)ECAM_BASE, (uint32_t)ECAM_SIZE);
    aml_io(a, 0x80, 1);
    aml_io(a, 0x92, 1);
    aml_io(a, ACPI_SMI_PORT, 2);
    aml_io(a, ACPI_PM_BASE, ACPI_PM_LEN);
    aml_end_resources(a, r);
    aml_end(a, d);
}

/* Virtual Machine Generation ID (Microsoft's specification of that name): a guest whose number has changed is a
 * copy of the one that it was, and makes new whatever must not be the same in both, its random numbers
 * first of all. */
static void write_generation(struct aml *a)
{
    size_t d = aml_begin_device(a, "VGEN"), p;

    aml_name(a, "_HID");
    aml_string(a, "VZPC0001");
    aml_name(a, "_CID"); /* the specification's, which is too long for ACPI, and what took its place */
    p = aml_begin_package(a, 2);
    aml_string(a, "VM_Gen_Counter");
    aml_string(a, "VMGENCTR");
    aml_end(a, p);
    aml_name(a, "_DDN");
    aml_string(a, "VM_Gen_Counter");
    aml_name(a, "ADDR");
    p = aml_begin_package(a, 2);
    aml_int(a, GENERATION_ID);
    aml_int(a, 0);
    aml_end(a, p);
    aml_end(a, d);
}

/* What is told of by general-purpose events. */
static void write_events(struct aml *a)
{
    size_t scope = aml_begin_scope(a, "\\_GPE"), method;
    char name[8];

    snprintf(name, sizeof(name), "_E%02X", ACPI_GPE_GENERATION);
    method = aml_begin_method(a, name);
    aml_notify(a, "\\_SB_.VGEN", 0x80);
    aml_end(a, method);
    aml_end(a, scope);
}

static void write_isa_device(struct aml *a, const char *name, const char *hid, unsigned uid,
                             uint16_t port, uint8_t len, unsigned irq)
{
    size_t d = aml_begin_device(a, name);
    struct aml_resources r;

    aml_name(a, "_HID");
    aml_eisa_id(a, hid);
    aml_name_int(a, "_UID", uid);
    aml_name_int(a, "_STA", 0x0f);
    aml_name(a, "_CRS");
    r = aml_begin_resources(a);
    aml_io(a, port, len);
    aml_irq(a, irq);
    aml_end_resources(a, r);
    aml_end(a, d);
}

/* What kernels know by QEMU's names for it: QEMU0001 is where Linux's pvpanic-mmio (pvpanic before 5.13) looks,
 * QEMU0002 where qemu_fw_cfg does. */
static void write_port_device(struct aml *a, const char *name, const char *hid, uint16_t port, uint8_t len)
{
    size_t d = aml_begin_device(a, name);
    struct aml_resources r;

    aml_name(a, "_HID");
    aml_string(a, hid);
    aml_name_int(a, "_STA", 0x0f);
    aml_name(a, "_CRS");
    r = aml_begin_resources(a);
    aml_io(a, port, len);
    aml_end_resources(a, r);
    aml_end(a, d);
}

/* No keyboard or mouse: nothing is plugged into the i8042. */
static void write_isa_bridge(struct aml *a)
{
    size_t d = aml_begin_device(a, "ISA_");

    aml_name_int(a, "_ADR", UINT64_C(0x1f0000));
    write_isa_device(a, "RTC_", "PNP0B00", 0, 0x70, 2, 8);
    write_isa_device(a, "COM1", "PNP0501", 1, UART_COM1_PORT, 8, UART_COM1_GSI);
    write_port_device(a, "PEVT", "QEMU0001", PVPANIC_PORT, 1);
    write_port_device(a, "FWCF", "QEMU0002", FW_CFG_PORT, FW_CFG_LEN);
    aml_end(a, d);
}

static void write_pci(struct aml *a, const struct board_options *o, unsigned phys_bits)
{
    size_t d = aml_begin_device(a, "PCI0");

    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0A08");
    aml_name(a, "_CID");
    aml_eisa_id(a, "PNP0A03");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_SEG", 0);
    aml_name_int(a, "_BBN", 0);
    write_windows(a, o, phys_bits);
    write_routing(a);
    write_isa_bridge(a);
    aml_end(a, d);
}

void dsdt_write(struct aml *a, const struct board_options *o, unsigned phys_bits)
{
    size_t scope;

    write_sleep_states(a);
    scope = aml_begin_scope(a, "\\_SB_");
    write_cpus(a, o->vcpu_count);
    write_pci(a, o, phys_bits);
    write_reserved(a);
    write_generation(a);
    aml_end(a, scope);
    write_events(a);
}
