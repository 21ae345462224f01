/* SPDX-License-Identifier: MIT */
/* Building the ACPI tables: see acpi.h. */
#include "board/pc/acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/regs.h"
#include "base/checked.h"
#include "base/le.h"
#include "board/pc/board.h"
#include "board/pc/dsdt.h"
#include "board/pc/table_sum.h"

#define TABLES_SIZE (TABLES_END - TABLES_BASE)
#define HEADER_LEN  36u
#define FADT_LEN    276u
#define FACS_LEN    64u

/* The offset of a new table's place. */
static size_t place(struct acpi_tables *t, size_t align)
{
    return t->len = align_up(t->len, align);
}

static void put_pointer(struct acpi_tables *t, size_t at, uint8_t size, size_t target)
{
    store_le32(t->data + at, (uint32_t)(t->base + target));
    if (size == 8)
        store_le64(t->data + at, t->base + target);
    t->pointer[t->pointer_count++] = (struct acpi_pointer){(uint32_t)at, size};
}

/* 5.2.6 */
static void finish_table(struct acpi_tables *t, size_t at, size_t len, const char *signature,
                         uint8_t revision)
{
    uint8_t *p = t->data + at;

    memcpy(p, signature, 4);
    store_le32(p + 4, (uint32_t)len);
    p[8] = revision;
    memcpy(p + 10, "VZ    VZPC    ", 14);
    store_le32(p + 24, 1);
    memcpy(p + 28, "VZ  ", 4);
    store_le32(p + 32, 1);
    table_sum_set(p, len, 9);
    t->sum[t->sum_count++] = (struct acpi_sum){(uint32_t)at + 9, (uint32_t)at, (uint32_t)len};
    t->len = at + len;
}

/* 5.2.3.2: an I/O port register */
static void put_register(uint8_t *p, unsigned bits, unsigned access_size, uint64_t port)
{
    p[0] = 1;
    p[1] = (uint8_t)bits;
    p[3] = (uint8_t)access_size;
    store_le64(p + 4, port);
}

/* 5.2.9: fixed hardware; offsets are the specification's. */
static void fill_fadt_ports(uint8_t *p)
{
    store_le32(p + 56, ACPI_PM_BASE + ACPI_PM1_EVT);
    store_le32(p + 64, ACPI_PM_BASE + ACPI_PM1_CNT);
    store_le32(p + 76, ACPI_PM_BASE + ACPI_PM_TIMER);
    store_le32(p + 80, ACPI_PM_BASE + ACPI_GPE0);
    p[88] = 4;  /* PM1_EVT_LEN */
    p[89] = 2;  /* PM1_CNT_LEN */
    p[91] = 4;  /* PM_TMR_LEN */
    p[92] = ACPI_GPE0_LEN;
    put_register(p + 148, 32, 2, ACPI_PM_BASE + ACPI_PM1_EVT);
    put_register(p + 172, 16, 2, ACPI_PM_BASE + ACPI_PM1_CNT);
    put_register(p + 208, 32, 3, ACPI_PM_BASE + ACPI_PM_TIMER);
    put_register(p + 220, 8 * ACPI_GPE0_LEN, 1, ACPI_PM_BASE + ACPI_GPE0);
}

static size_t add_fadt(struct acpi_tables *t, size_t facs, size_t dsdt, bool has_i8042)
{
    enum { LEGACY_DEVICES = 1, HAS_8042 = 2, NO_VGA = 4 };
    enum { WBINVD = 1, PROC_C1 = 4, NO_SLEEP_BUTTON = 0x20, NO_FIXED_RTC = 0x40,
           TMR_VAL_EXT = 0x100, RESET_REG_SUP = 0x400 };
    size_t at = place(t, 16);
    uint8_t *p = t->data + at;

    put_pointer(t, at + 36, 4, facs);
    put_pointer(t, at + 40, 4, dsdt);
    put_pointer(t, at + 140, 8, dsdt);
    p[45] = 4; /* profile: enterprise server */
    store_le16(p + 46, ACPI_SCI_GSI);
    store_le32(p + 48, ACPI_SMI_PORT);
    p[52] = ACPI_SMI_ENABLE;
    p[53] = ACPI_SMI_DISABLE;
    fill_fadt_ports(p);
    store_le16(p + 96, 0xfff); /* no C2, no C3 */
    store_le16(p + 98, 0xfff);
    p[108] = 0x32; /* century */
    store_le16(p + 109, (uint16_t)(LEGACY_DEVICES | NO_VGA | (has_i8042 ? HAS_8042 : 0)));
    store_le32(p + 112, WBINVD | PROC_C1 | NO_SLEEP_BUTTON | NO_FIXED_RTC | TMR_VAL_EXT |
                            RESET_REG_SUP);
    put_register(p + 116, 8, 1, 0xcf9);
    p[128] = 0x06;
    p[131] = 4; /* minor version: 6.4 */
    finish_table(t, at, FADT_LEN, "FACP", 6);
    return at;
}

/* 5.2.10; no checksum. */
static size_t add_facs(struct acpi_tables *t)
{
    size_t at = place(t, 64);
    uint8_t *p = t->data + at;

    memcpy(p, "FACS", 4);
    store_le32(p + 4, FACS_LEN);
    p[32] = 2;
    t->len = at + FACS_LEN;
    return at;
}

/* One MADT structure; returns its end. */
static uint8_t *madt_entry(uint8_t *p, uint8_t type, uint8_t len)
{
    p[0] = type;
    p[1] = len;
    return p + len;
}

static uint8_t *madt_override(uint8_t *p, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    p[3] = irq;
    store_le32(p + 4, gsi);
    store_le16(p + 8, flags);
    return madt_entry(p, 2, 10);
}

/* 5.2.12 */
static size_t add_madt(struct acpi_tables *t, unsigned vcpu_count)
{
    enum { ACTIVE_HIGH_LEVEL = 0x0d };
    size_t at = place(t, 16);
    uint8_t *p = t->data + at + HEADER_LEN;

    store_le32(p, APIC_DEFAULT_BASE);
    store_le32(p + 4, 1); /* there are 8259s too */
    p += 8;
    for (unsigned i = 0; i < vcpu_count; i++) {
        p[2] = (uint8_t)i; /* processor UID, APIC id */
        p[3] = (uint8_t)i;
        store_le32(p + 4, 1);
        p = madt_entry(p, 0, 8);
    }
    store_le32(p + 4, (uint32_t)IOAPIC_BASE);
    p = madt_entry(p, 1, 12);
    p = madt_override(p, 0, PIT_PIN, 0);
    p = madt_override(p, ACPI_SCI_GSI, ACPI_SCI_GSI, ACTIVE_HIGH_LEVEL);
    p[2] = 0xff; /* all processors: NMI at LINT1 */
    p[5] = 1;
    p = madt_entry(p, 4, 6);
    finish_table(t, at, (size_t)(p - t->data) - at, "APIC", 5);
    return at;
}

/* PCI Firmware 3.2 section 4.1.2 */
static size_t add_mcfg(struct acpi_tables *t)
{
    size_t at = place(t, 16);
    uint8_t *p = t->data + at + HEADER_LEN + 8;

    store_le64(p, ECAM_BASE);
    p[10] = 0;
    p[11] = PCI_LAST_BUS;
    finish_table(t, at, HEADER_LEN + 8 + 16, "MCFG", 1);
    return at;
}

static int add_dsdt(struct acpi_tables *t, const struct board_options *o, unsigned phys_bits,
                    size_t *ret)
{
    size_t at = place(t, 16);
    struct aml a = {.data = t->data + at, .capacity = TABLES_SIZE / 2, .len = HEADER_LEN};

    dsdt_write(&a, o, phys_bits);
    if (a.failed)
        return -ENOSPC;
    finish_table(t, at, a.len, "DSDT", 2);
    *ret = at;
    return 0;
}

static size_t add_xsdt(struct acpi_tables *t, const size_t *table, unsigned count)
{
    size_t at = place(t, 16);

    for (unsigned i = 0; i < count; i++)
        put_pointer(t, at + HEADER_LEN + 8 * i, 8, table[i]);
    finish_table(t, at, HEADER_LEN + 8 * count, "XSDT", 1);
    return at;
}

/* 5.2.5.3 */
static void fill_rsdp(struct acpi_tables *t, size_t xsdt)
{
    uint8_t *p = t->data;

    memcpy(p, "RSD PTR ", 8);
    memcpy(p + 9, "VZ    ", 6);
    p[15] = 2;
    store_le32(p + 20, ACPI_RSDP_LEN);
    store_le64(p + ACPI_RSDP_POINTER_AT, t->base + xsdt);
    table_sum_set(p, 20, 8);
    table_sum_set(p, ACPI_RSDP_LEN, 32);
}

static int build(struct acpi_tables *t, const struct board_options *o, unsigned phys_bits)
{
    size_t facs, dsdt, table[3];
    int r;

    t->len = ACPI_RSDP_LEN;
    facs = add_facs(t);
    r = add_dsdt(t, o, phys_bits, &dsdt);
    if (r < 0)
        return r;
    table[0] = add_fadt(t, facs, dsdt, board_has_i8042(o));
    table[1] = add_madt(t, o->vcpu_count);
    table[2] = add_mcfg(t);
    fill_rsdp(t, add_xsdt(t, table, ARRAY_SIZE(table)));
    return 0;
}

int acpi_build(struct acpi_tables *ret, gpa_t base, const struct board_options *options,
               unsigned phys_bits)
{
    *ret = (struct acpi_tables){.data = calloc(1, TABLES_SIZE), .base = base};
    return ret->data ? build(ret, options, phys_bits) : -ENOMEM;
}

void acpi_tables_fini(struct acpi_tables *t)
{
    free(t->data);
    t->data = NULL;
}

int acpi_write_tables(struct mem *mem, const struct board_options *options, unsigned phys_bits,
                      gpa_t *ret_rsdp)
{
    struct acpi_tables t;
    int r = acpi_build(&t, TABLES_BASE, options, phys_bits);

    if (!r)
        r = mem_write(mem, TABLES_BASE, t.data, TABLES_SIZE);
    acpi_tables_fini(&t);
    if (!r)
        *ret_rsdp = TABLES_BASE;
    return r;
}
