/* SPDX-License-Identifier: MIT */
/* What firmware is told by files of fw_cfg, which OVMF reads (edk2, OvmfPkg): where RAM is, and the tables
 * of ACPI and SMBIOS for the operating system. It puts the tables where it likes, by a list of commands
 * (QEMU's hw/acpi/bios-linker-loader.c describes it) that say which numbers in them are addresses. */
#include "board/pc/firmware_files.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "board/pc/acpi.h"
#include "board/pc/board.h"
#include "board/pc/smbios.h"

/* ---- RAM: "etc/e820" ------------------------------------------------------------------------- */

#define E820_ENTRY_LEN 20u

static uint32_t put_ram(uint8_t *p, uint64_t addr, uint64_t len)
{
    if (!len)
        return 0;
    store_le64(p, addr);
    store_le64(p + 8, len);
    store_le32(p + 16, E820_RAM);
    return E820_ENTRY_LEN;
}

static int set_memory(struct board *b)
{
    const uint64_t size = b->options.ram_size;
    uint8_t map[2 * E820_ENTRY_LEN];
    uint32_t len = put_ram(map, 0, memory_map_low(size));

    len += put_ram(map + len, HIGH_RAM_BASE, memory_map_high(size));
    return fw_cfg_set_file(b->fw_cfg, "etc/e820", map, len);
}

/* ---- ACPI: "etc/table-loader" and what it loads ------------------------------------------------ */

#define RSDP_FILE    "etc/acpi/rsdp"
#define TABLES_FILE  "etc/acpi/tables"
#define LOADER_NAME  56u /* bytes of a file's name */
#define LOADER_ENTRY 128u
#define LOADER_MAX   (4 + ACPI_POINTERS_MAX + ACPI_SUMS_MAX + 2)

enum { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct script {
    uint8_t data[LOADER_MAX * LOADER_ENTRY];
    uint32_t len;
};

static uint8_t *add_entry(struct script *s, uint32_t command, const char *file)
{
    uint8_t *p = s->data + s->len;

    s->len += LOADER_ENTRY;
    store_le32(p, command);
    memcpy(p + 4, file, strlen(file));
    return p + 4 + LOADER_NAME;
}

static void allocate(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *p = add_entry(s, LOADER_ALLOCATE, file);

    store_le32(p, align);
    p[4] = zone;
}

/* The number at offset at of file has the address of the tables added to it. */
static void add_pointer(struct script *s, const char *file, uint32_t at, uint8_t size)
{
    uint8_t *p = add_entry(s, LOADER_ADD_POINTER, file);

    memcpy(p, TABLES_FILE, sizeof(TABLES_FILE));
    store_le32(p + LOADER_NAME, at);
    p[LOADER_NAME + 4] = size;
}

static void add_checksum(struct script *s, const char *file, const struct acpi_sum *sum)
{
    uint8_t *p = add_entry(s, LOADER_ADD_CHECKSUM, file);

    store_le32(p, sum->at);
    store_le32(p + 4, sum->start);
    store_le32(p + 8, sum->len);
}

/* Pointers before sums, and the RSDP in a file of its own, since it goes elsewhere. */
static void write_script(struct script *s, const struct acpi_tables *t)
{
    const struct acpi_sum rsdp[] = {{8, 0, 20}, {32, 0, ACPI_RSDP_LEN}};

    allocate(s, RSDP_FILE, 16, ZONE_FSEG);
    allocate(s, TABLES_FILE, 64, ZONE_HIGH);
    for (unsigned i = 0; i < t->pointer_count; i++)
        add_pointer(s, TABLES_FILE, t->pointer[i].at, t->pointer[i].size);
    for (unsigned i = 0; i < t->sum_count; i++)
        add_checksum(s, TABLES_FILE, &t->sum[i]);
    add_pointer(s, RSDP_FILE, ACPI_RSDP_POINTER_AT, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(rsdp); i++)
        add_checksum(s, RSDP_FILE, &rsdp[i]);
}

/* Firmware adds to checksums, so they are 0 before. */
static void clear_sums(struct acpi_tables *t)
{
    for (unsigned i = 0; i < t->sum_count; i++)
        t->data[t->sum[i].at] = 0;
    t->data[8] = t->data[32] = 0;
}

static int set_acpi(struct board *b)
{
    struct script script = {.len = 0};
    struct acpi_tables t;
    int r = acpi_build(&t, 0, &b->options, b->phys_bits);

    if (!r) {
        clear_sums(&t);
        write_script(&script, &t);
        r = fw_cfg_set_file(b->fw_cfg, RSDP_FILE, t.data, ACPI_RSDP_LEN);
    }
    if (!r) {
        memset(t.data, 0, ACPI_RSDP_LEN);
        r = fw_cfg_set_file(b->fw_cfg, TABLES_FILE, t.data, (uint32_t)t.len);
    }
    if (!r)
        r = fw_cfg_set_file(b->fw_cfg, "etc/table-loader", script.data, script.len);
    acpi_tables_fini(&t);
    return r;
}

/* ---- SMBIOS ---------------------------------------------------------------------------------- */

static int set_smbios(struct board *b)
{
    struct smbios s;
    int r;

    smbios_build(&s, &b->options, 0);
    r = fw_cfg_set_file(b->fw_cfg, "etc/smbios/smbios-anchor", s.entry, SMBIOS_ENTRY_LEN);
    return r ? r : fw_cfg_set_file(b->fw_cfg, "etc/smbios/smbios-tables", s.data, (uint32_t)s.len);
}

int firmware_set_files(struct board *b)
{
    int r = set_memory(b);

    if (!r)
        r = set_acpi(b);
    return r ? r : set_smbios(b);
}
