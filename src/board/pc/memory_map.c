/* SPDX-License-Identifier: MIT */
#include "board/pc/memory_map.h"

static void add(struct e820_entry *ret, unsigned *count, uint64_t addr, uint64_t end, uint32_t type)
{
    ret[(*count)++] = (struct e820_entry){.addr = addr, .len = end - addr, .type = type};
}

unsigned memory_map_e820(uint64_t ram_size, struct e820_entry *ret)
{
    uint64_t low = memory_map_low(ram_size), high = memory_map_high(ram_size);
    unsigned count = 0;

    add(ret, &count, 0, LOW_FREE_END, E820_RAM);
    add(ret, &count, LOW_FREE_END, UINT64_C(0xa0000), E820_RESERVED);
    add(ret, &count, TABLES_BASE, SMBIOS_END, E820_RESERVED);
    add(ret, &count, LOADER_BASE, low, E820_RAM);
    /* Linux uses ECAM only where the map or the DSDT reserves it; say so in both. */
    add(ret, &count, ECAM_BASE, ECAM_BASE + ECAM_SIZE, E820_RESERVED);
    add(ret, &count, IOAPIC_BASE, APICS_END, E820_RESERVED);
    if (high)
        add(ret, &count, HIGH_RAM_BASE, HIGH_RAM_BASE + high, E820_RAM);
    return count;
}
