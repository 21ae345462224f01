/* SPDX-License-Identifier: MIT */
#include "display/edid.h"

#include "base/le.h"
#include "unit.h"

static void check_sums(const uint8_t *e, size_t len)
{
    for (size_t block = 0; block < len; block += 128) {
        uint8_t sum = 0;

        for (unsigned i = 0; i < 128; i++)
            sum = (uint8_t)(sum + e[block + i]);
        ck_assert_uint_eq(sum, 0);
    }
}

static uint32_t detailed_width(const uint8_t *e)
{
    return e[54 + 2] | (uint32_t)(e[54 + 4] >> 4) << 8;
}

static uint32_t detailed_height(const uint8_t *e)
{
    return e[54 + 5] | (uint32_t)(e[54 + 7] >> 4) << 8;
}

/* Of the timing in the DisplayID extension. */
static uint32_t long_width(const uint8_t *e)
{
    return load_le16(e + 128 + 8 + 4) + 1u;
}

static uint32_t long_height(const uint8_t *e)
{
    return load_le16(e + 128 + 8 + 12) + 1u;
}

START_TEST(every_size_is_said)
{
    static const uint32_t sides[] = {1, 64, 479, 480, 1080, 1366, 1601, 2160, 4095, 4096, 7680, 16384};
    uint8_t e[EDID_SIZE];

    for (unsigned i = 0; i < ARRAY_SIZE(sides); i++) {
        for (unsigned k = 0; k < ARRAY_SIZE(sides); k++) {
            edid_make(sides[i], sides[k], i, e);
            check_sums(e, sizeof(e));
            ck_assert_uint_eq(long_width(e), sides[i]);
            ck_assert_uint_eq(long_height(e), sides[k]);
            if (sides[i] < 2000 && sides[k] < 2000) {
                ck_assert_uint_eq(detailed_width(e), sides[i]);
                ck_assert_uint_eq(detailed_height(e), sides[k]);
            }
        }
    }
}
END_TEST

START_TEST(a_size_that_a_detailed_timing_cannot_hold_is_not_cut)
{
    uint8_t e[EDID_SIZE];

    edid_make(5120, 2880, 0, e);
    ck_assert_uint_eq(detailed_width(e), 1024);
    ck_assert_uint_eq(detailed_height(e), 768);
}
END_TEST

START_TEST(it_refreshes_60_times_a_second)
{
    uint8_t e[EDID_SIZE];
    uint32_t total;

    edid_make(1920, 1080, 0, e);
    total = (detailed_width(e) + e[54 + 3]) * (detailed_height(e) + e[54 + 6]);
    ck_assert_uint_eq((load_le16(e + 54) * 10000u + total / 2) / total, 60);
    ck_assert_uint_eq(e[126], 1);
    ck_assert_mem_eq(e + 72 + 5, "vz display", 10);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, every_size_is_said);
    UNIT_TEST(s, a_size_that_a_detailed_timing_cannot_hold_is_not_cut);
    UNIT_TEST(s, it_refreshes_60_times_a_second);
}

UNIT_TEST_MAIN("edid", add_tests)
