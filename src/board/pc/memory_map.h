/* SPDX-License-Identifier: MIT */
/* Where things sit in the guest-physical address space of the pc board: what the board places, the
 * kernel loaders must keep clear of, and the tables (E820, MCFG, DSDT) tell the guest. */
#ifndef VZ_BOARD_PC_MEMORY_MAP_H
#define VZ_BOARD_PC_MEMORY_MAP_H

#include "arch/x86/chips.h"
#include "base/checked.h"
#include "base/compiler.h"
#include "config/limits.h"

/* RAM up to LOW_RAM_MAX lies at 0; what is more lies from HIGH_RAM_BASE on. */
#define LOW_RAM_MAX   UINT64_C(0xb0000000)
#define HIGH_RAM_BASE UINT64_C(0x100000000)

/* The first MiB. Loaders may use [LOW_FREE_BASE, LOW_FREE_END). */
#define LOW_FREE_BASE UINT64_C(0x1000)
#define LOW_FREE_END  UINT64_C(0x9fc00) /* the EBDA, empty but customary, and the VGA hole follow */
#define TABLES_BASE   UINT64_C(0xe0000) /* ACPI tables; the RSDP is the first */
#define TABLES_END    UINT64_C(0xef000)
#define GENERATION_ID UINT64_C(0xef000) /* 16 bytes, alone in their page: which copy of the machine it is */
#define SMBIOS_BASE   UINT64_C(0xf0000) /* the entry point is looked for from here on */
#define SMBIOS_END    UINT64_C(0x100000)
#define LOADER_BASE   UINT64_C(0x100000) /* kernels and initrds go from here to the low RAM's end */

/* Above low RAM: what is not RAM below 4 GiB. */
#define ECAM_BASE     UINT64_C(0xb0000000) /* PCI configuration space, room for 256 buses */
#define ECAM_SIZE     (256 * MIB)
#define PCI32_BASE    UINT64_C(0xc0000000) /* 32-bit BARs */
#define PCI32_END     IOAPIC_BASE          /* the APICs, which are the backend's, follow */
#define APICS_END     UINT64_C(0xff000000)
/* Linux looks through all buses that the tables name, one port access after the other: 16000 of
 * them for 256 buses, of which only the first has anything. */
#define PCI_LAST_BUS  0
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

struct e820_entry {
    uint64_t addr, len;
    uint32_t type;
};

#define MEMORY_MAP_E820_MAX 8

/* Fill in the E820 map of a machine with ram_size bytes (whole pages, RAM_SIZE_MIN or more),
 * sorted, without overlaps. Returns the count of entries. */
unsigned memory_map_e820(uint64_t ram_size, struct e820_entry *ret /*[MEMORY_MAP_E820_MAX]*/);

/* 64-bit BARs: above any RAM, in the third quarter of what the CPUs can address. */
static inline uint64_t memory_map_pci64_base(unsigned phys_bits)
{
    return UINT64_C(1) << (phys_bits - 1);
}

static inline uint64_t memory_map_pci64_end(unsigned phys_bits)
{
    return UINT64_C(3) << (phys_bits - 2);
}

/* The parts of ram_size bytes at 0 and at HIGH_RAM_BASE. */
static inline uint64_t memory_map_low(uint64_t ram_size)
{
    return ram_size < LOW_RAM_MAX ? ram_size : LOW_RAM_MAX;
}

static inline uint64_t memory_map_high(uint64_t ram_size)
{
    return ram_size - memory_map_low(ram_size);
}

/* Windows of devices (mem/mem_window.h): behind all RAM, where no BAR comes to lie. */
static inline uint64_t memory_map_windows(uint64_t ram_size)
{
    return align_up(HIGH_RAM_BASE + memory_map_high(ram_size), GIB);
}

/* Where the 64-bit address space has nothing any more, with windows of so many bytes. */
static inline uint64_t memory_map_end(uint64_t ram_size, uint64_t windows)
{
    return windows ? align_up(memory_map_windows(ram_size) + windows, GIB) : HIGH_RAM_BASE + memory_map_high(ram_size);
}

#endif
