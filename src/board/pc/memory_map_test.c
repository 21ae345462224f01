/* SPDX-License-Identifier: MIT */
#include "board/pc/memory_map.h"

#include "unit.h"

static uint64_t check_map(uint64_t ram_size)
{
    struct e820_entry e[MEMORY_MAP_E820_MAX];
    unsigned count = memory_map_e820(ram_size, e);
    uint64_t end = 0, ram = 0;

    ck_assert_uint_le(count, MEMORY_MAP_E820_MAX);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_ge(e[i].addr, end);
        ck_assert_uint_gt(e[i].len, 0);
        end = e[i].addr + e[i].len;
        if (e[i].type == E820_RAM)
            ram += e[i].len;
    }
    return ram;
}

START_TEST(maps_are_sorted_and_hold_all_ram_but_the_rom_areas)
{
    const uint64_t kept = MIB - LOW_FREE_END;

    ck_assert_uint_eq(check_map(64 * MIB), 64 * MIB - kept);
    ck_assert_uint_eq(check_map(LOW_RAM_MAX), LOW_RAM_MAX - kept);
    ck_assert_uint_eq(check_map(8 * GIB), 8 * GIB - kept);
    ck_assert_uint_eq(memory_map_high(8 * GIB), 8 * GIB - LOW_RAM_MAX);
    ck_assert_uint_eq(memory_map_high(GIB), 0);
}
END_TEST

START_TEST(windows_lie_behind_all_ram_and_below_bars)
{
    static const uint64_t ram[] = {64 * MIB, LOW_RAM_MAX, 3 * GIB, 8 * GIB + 4096};

    for (size_t i = 0; i < ARRAY_SIZE(ram); i++) {
        uint64_t base = memory_map_windows(ram[i]), end = memory_map_end(ram[i], 16 * MIB);

        ck_assert_uint_ge(base, HIGH_RAM_BASE + memory_map_high(ram[i]));
        ck_assert_uint_eq(base % GIB, 0);
        ck_assert_uint_eq(end, base + GIB);
        ck_assert_uint_le(end, memory_map_pci64_base(36));
        ck_assert_uint_eq(memory_map_end(ram[i], 0), HIGH_RAM_BASE + memory_map_high(ram[i]));
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, maps_are_sorted_and_hold_all_ram_but_the_rom_areas);
    UNIT_TEST(s, windows_lie_behind_all_ram_and_below_bars);
}

UNIT_TEST_MAIN("memory_map", add_tests)
