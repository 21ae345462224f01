/* SPDX-License-Identifier: MIT */
#include "cpu/x86/direct/direct_priv.h"

#include <string.h>

#include "unit.h"

#define PAGE 4096u

static bool shows(const void *code, unsigned len, unsigned at, bool cpuid)
{
    static uint8_t page[PAGE];

    memset(page, 0x90, sizeof(page));
    memcpy(page + at, code, len);
    return direct_find_shown(page, 0, sizeof(page), cpuid) < sizeof(page);
}

/* At every place of a page, the last included. */
START_TEST(finds_what_answers_for_the_host)
{
    static const struct {
        uint8_t code[12];
        unsigned len;
        bool with, without; /* looking for CPUID, or not */
    } row[] = {
        {{0x0f, 0xa2}, 2, true, false},                               /* cpuid */
        {{0x0f, 0x01, 0xf9}, 3, true, true},                          /* rdtscp */
        {{0xf3, 0x0f, 0xc7, 0xf8}, 4, true, true},                    /* rdpid rax */
        {{0xf3, 0x48, 0x0f, 0xc7, 0xff}, 5, true, true},              /* rdpid rdi, with REX */
        {{0xb8, 0x7b, 0, 0, 0, 0x0f, 0x03, 0xc0}, 8, true, true},     /* mov eax, 7b; lsl eax, eax */
        {{0x0f, 0x31}, 2, false, false},                              /* rdtsc */
        {{0x0f, 0x03, 0xc1}, 3, false, false},                        /* lsl of something else */
        {{0x0f, 0x01, 0xd0}, 3, false, false},                        /* xgetbv */
        {{0x0f, 0xc7, 0xf0}, 3, false, false},                        /* rdrand eax */
        {{0x0f, 0xc7, 0x0f}, 3, false, false},                        /* cmpxchg8b [rdi] */
        {{0x0f, 0x05}, 2, false, false},                              /* syscall */
        {{0xa2, 0x0f}, 2, false, false},
    };

    for (unsigned n = 0; n < ARRAY_SIZE(row); n++) {
        for (unsigned at = 0; at + row[n].len <= PAGE; at++) {
            ck_assert_msg(shows(row[n].code, row[n].len, at, true) == row[n].with, "row %u at %u", n, at);
            ck_assert_msg(shows(row[n].code, row[n].len, at, false) == row[n].without, "row %u at %u",
                          n, at);
        }
    }
}
END_TEST

START_TEST(finds_it_among_others)
{
    static const uint8_t code[] = {0x0f, 0x0f, 0x0f, 0xa2, 0x0f};
    static const uint8_t row_end[] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f};

    ck_assert(shows(code, sizeof(code), 100, true));
    ck_assert(!shows(code, 3, 100, true));
    ck_assert_uint_eq(direct_find_shown(row_end, 0, sizeof(row_end), true), sizeof(row_end));
    ck_assert_uint_eq(direct_find_shown(code, 0, sizeof(code), true), 2);
    ck_assert_uint_eq(direct_find_shown(code, 3, sizeof(code), true), sizeof(code));
}
END_TEST

/* RDSEED is RDPID without F3, and CALL may have its last bytes; at the beginning of a page it may be in the last. */
START_TEST(finds_rdpid_by_its_prefix)
{
    static const uint8_t rdseed[] = {0x49, 0x0f, 0xc7, 0xfa}, call[] = {0xe8, 0x0f, 0xc7, 0xfe, 0xff};

    for (unsigned at = 4; at + sizeof(call) <= PAGE; at++)
        ck_assert(!shows(rdseed, sizeof(rdseed), at, true) && !shows(call, sizeof(call), at, true));
    for (unsigned at = 0; at < 3; at++)
        ck_assert(shows(rdseed, sizeof(rdseed), at, true));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, finds_rdpid_by_its_prefix);
    UNIT_TEST(s, finds_what_answers_for_the_host);
    UNIT_TEST(s, finds_it_among_others);
}

UNIT_TEST_MAIN("direct_scan", add_tests)
