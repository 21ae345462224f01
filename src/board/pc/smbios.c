/* SPDX-License-Identifier: MIT */
/* Building the SMBIOS tables: see smbios.h. */
#include "board/pc/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "board/pc/board.h"
#include "board/pc/table_sum.h"
#include "config/objects.h"

#define ENTRY2_OFF 32u /* behind the entry point, */
#define TABLE_OFF  64u /* and behind that */

enum { TYPE_BIOS = 0, TYPE_SYSTEM = 1, TYPE_BOARD = 2, TYPE_CHASSIS = 3, TYPE_PROCESSOR = 4,
       TYPE_STRINGS = 11, TYPE_MEMORY_ARRAY = 16, TYPE_MEMORY = 17, TYPE_ARRAY_ADDRESS = 19, TYPE_BOOT = 32,
       TYPE_END = 127 };
/* Handles are the type in the upper byte, the count in the lower. */
#define HANDLE(type, n) ((uint16_t)((type) << 8 | (n)))

/* A structure of len bytes; what follows are its strings, then end(). The sum of all stays far
 * below SMBIOS_TABLES_MAX. */
static uint8_t *begin(struct smbios *s, uint8_t type, unsigned n, uint8_t len)
{
    uint8_t *p = s->data + s->len;

    p[0] = type;
    p[1] = len;
    store_le16(p + 2, HANDLE(type, n));
    s->start = s->len;
    s->len += len;
    return p;
}

static void close_strings(struct smbios *s)
{
    s->data[s->len++] = 0;
    s->count++;
    s->largest = (uint16_t)MAX(s->largest, s->len - s->start);
}

/* strings: separated by \n, numbered from 1. Closed by an empty one (6.1.3). */
static void end(struct smbios *s, const char *strings)
{
    for (; *strings; strings++)
        s->data[s->len++] = *strings == '\n' ? 0 : (uint8_t)*strings;
    s->data[s->len++] = 0;
    close_strings(s);
}

static void add_bios(struct smbios *s)
{
    uint8_t *p = begin(s, TYPE_BIOS, 0, 0x18);

    p[0x04] = 1;
    p[0x05] = 2;
    store_le16(p + 0x06, 0xe000); /* start segment */
    p[0x08] = 3;                  /* release date */
    store_le64(p + 0x0a, 0x08);   /* characteristics are not supported */
    p[0x13] = 0x14;               /* virtual machine; targeted content */
    p[0x14] = p[0x15] = 0;
    p[0x16] = p[0x17] = 0xff;     /* no embedded controller */
    end(s, "VZ\n1\n01/01/2024");
}

/* 7.2.1: the first three fields of a UUID are little-endian here. */
static void put_uuid(uint8_t *p, const uint8_t *uuid)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

    for (unsigned i = 0; i < 16; i++)
        p[i] = uuid[order[i]];
}

static void add_system(struct smbios *s, const uint8_t *uuid)
{
    uint8_t *p = begin(s, TYPE_SYSTEM, 0, 0x1b);

    p[0x04] = 1;
    p[0x05] = 2;
    p[0x06] = 3;
    put_uuid(p + 0x08, uuid);
    p[0x18] = 6; /* woken by the power switch */
    end(s, "VZ\nVirtual Machine\n1");
}

/* Memory testers show its names. */
static void add_board(struct smbios *s)
{
    uint8_t *p = begin(s, TYPE_BOARD, 0, 0x0f);

    p[0x04] = 1;
    p[0x05] = 2;
    p[0x09] = 1; /* it hosts others */
    store_le16(p + 0x0b, HANDLE(TYPE_CHASSIS, 0));
    p[0x0d] = 0x0a; /* mother board */
    end(s, "VZ\nVirtual Machine");
}

static void add_chassis(struct smbios *s)
{
    uint8_t *p = begin(s, TYPE_CHASSIS, 0, 0x16);

    p[0x04] = 1;
    p[0x05] = 1; /* other */
    p[0x09] = p[0x0a] = p[0x0b] = 3; /* safe */
    p[0x0c] = 2;                     /* security unknown */
    end(s, "VZ");
}

/* One socket with all CPUs as its cores. */
static void add_processor(struct smbios *s, unsigned count)
{
    uint8_t *p = begin(s, TYPE_PROCESSOR, 0, 0x30);

    p[0x04] = 1;
    p[0x05] = 3; /* central processor */
    p[0x06] = 1; /* other family */
    p[0x07] = 2;
    p[0x18] = 0x41; /* populated, enabled */
    p[0x19] = 1;
    store_le16(p + 0x1a, 0xffff); /* no cache structures */
    store_le16(p + 0x1c, 0xffff);
    store_le16(p + 0x1e, 0xffff);
    p[0x23] = p[0x24] = p[0x25] = (uint8_t)count;
    store_le16(p + 0x26, count > 1 ? 0x0c : 0x04); /* 64-bit, multi-core */
    store_le16(p + 0x28, 1);
    store_le16(p + 0x2a, (uint16_t)count);
    store_le16(p + 0x2c, (uint16_t)count);
    store_le16(p + 0x2e, (uint16_t)count);
    end(s, "CPU 0\nVZ");
}

static void add_memory(struct smbios *s, uint64_t size)
{
    uint8_t *p = begin(s, TYPE_MEMORY_ARRAY, 0, 0x17);

    p[0x04] = 1; /* other location */
    p[0x05] = 3; /* system memory */
    p[0x06] = 6; /* multi-bit ECC: it does not fail */
    store_le32(p + 0x07, UINT32_C(0x80000000)); /* the extended field has the capacity */
    store_le16(p + 0x0b, 0xfffe);
    store_le16(p + 0x0d, 1);
    store_le64(p + 0x0f, size);
    end(s, "");

    p = begin(s, TYPE_MEMORY, 0, 0x28);
    store_le16(p + 0x04, HANDLE(TYPE_MEMORY_ARRAY, 0));
    store_le16(p + 0x06, 0xfffe);
    store_le16(p + 0x08, 64);
    store_le16(p + 0x0a, 64);
    if (size / MIB < 0x7fff) {
        store_le16(p + 0x0c, (uint16_t)(size / MIB));
    } else {
        store_le16(p + 0x0c, 0x7fff);
        store_le32(p + 0x1c, (uint32_t)(size / MIB));
    }
    p[0x0e] = 1;
    p[0x10] = 1;
    p[0x12] = 7; /* RAM */
    store_le16(p + 0x13, 2);
    p[0x17] = 2;
    end(s, "DIMM 0\nVZ");
}

static void add_address(struct smbios *s, unsigned n, uint64_t first, uint64_t len)
{
    uint8_t *p = begin(s, TYPE_ARRAY_ADDRESS, n, 0x1f);

    store_le32(p + 0x04, UINT32_MAX); /* the extended fields hold them */
    store_le32(p + 0x08, UINT32_MAX);
    store_le16(p + 0x0c, HANDLE(TYPE_MEMORY_ARRAY, 0));
    p[0x0e] = 1;
    store_le64(p + 0x0f, first);
    store_le64(p + 0x17, first + len - 1);
    end(s, "");
}

#define CREDENTIALS "opt/io.systemd.credentials/"
#define REST        64u /* room for what follows them in the table */

/* How many bytes it took, the zero behind it included; 0: it does not fit. */
static size_t put_credential(struct smbios *s, const char *name, const char *text)
{
    static const char key[] = "io.systemd.credential:";
    size_t len = strlen(key) + strlen(name) + 1 + strlen(text) + 1;

    if (len > SMBIOS_TABLES_MAX - REST - s->len)
        return 0;
    snprintf((char *)s->data + s->len, len, "%s%s=%s", key, name, text);
    return len;
}

/* systemd takes credentials from here where the driver for fw_cfg comes too late, which on Debian it does. What does
 * not fit is in fw_cfg alone. */
static void add_credentials(struct smbios *s, const struct board_options *o)
{
    const size_t prefix = strlen(CREDENTIALS);
    uint8_t *p = NULL;

    for (unsigned i = 0; i < o->item_count; i++) {
        size_t len;

        if (strncmp(o->items[i].name, CREDENTIALS, prefix) != 0)
            continue;
        if (!p)
            p = begin(s, TYPE_STRINGS, 0, 5);
        len = put_credential(s, o->items[i].name + prefix, o->items[i].text);
        p[0x04] = (uint8_t)(p[0x04] + (len > 0));
        s->len += len;
    }
    if (p && !p[0x04])
        s->data[s->len++] = 0;
    if (p)
        close_strings(s);
}

/* 5.2.1: two structures, one in the other, each with its sum. */
static void write_entry2(struct smbios *s, gpa_t base)
{
    uint8_t *p = s->entry2;

    memcpy(p, "_SM_", 4);
    p[5] = SMBIOS_ENTRY2_LEN;
    p[6] = 3; /* version 3.0 */
    store_le16(p + 8, s->largest);
    memcpy(p + 16, "_DMI_", 5);
    store_le16(p + 22, (uint16_t)s->len);
    store_le32(p + 24, (uint32_t)base);
    store_le16(p + 28, s->count);
    p[30] = 0x30;
    table_sum_set(p + 16, 15, 5);
    table_sum_set(p, SMBIOS_ENTRY2_LEN, 4);
}

static void write_entry(struct smbios *s, gpa_t base)
{
    uint8_t *p = s->entry;

    memcpy(p, "_SM3_", 5);
    p[6] = SMBIOS_ENTRY_LEN;
    p[7] = 3; /* version 3.0 */
    p[10] = 1;
    store_le32(p + 12, (uint32_t)s->len);
    store_le64(p + 16, base);
    table_sum_set(p, SMBIOS_ENTRY_LEN, 5);
}

void smbios_build(struct smbios *s, const struct board_options *o, gpa_t base)
{
    uint64_t high = memory_map_high(o->ram_size);

    memset(s, 0, sizeof(*s));
    add_bios(s);
    add_system(s, o->uuid);
    add_board(s);
    add_chassis(s);
    add_processor(s, o->vcpu_count);
    add_memory(s, o->ram_size);
    add_address(s, 0, 0, memory_map_low(o->ram_size));
    if (high)
        add_address(s, 1, HIGH_RAM_BASE, high);
    add_credentials(s, o);
    begin(s, TYPE_BOOT, 0, 0x0b);
    end(s, "");
    begin(s, TYPE_END, 0, 4);
    end(s, "");
    write_entry(s, base);
    write_entry2(s, base);
}

int smbios_write_tables(struct mem *mem, const struct board_options *o)
{
    struct smbios s;
    int r;

    smbios_build(&s, o, SMBIOS_BASE + TABLE_OFF);
    r = mem_write(mem, SMBIOS_BASE, s.entry, sizeof(s.entry));
    if (!r)
        r = mem_write(mem, SMBIOS_BASE + ENTRY2_OFF, s.entry2, sizeof(s.entry2));
    return r ? r : mem_write(mem, SMBIOS_BASE + TABLE_OFF, s.data, s.len);
}
