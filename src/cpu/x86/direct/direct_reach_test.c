/* SPDX-License-Identifier: MIT */
#include "cpu/x86/direct/direct_priv.h"

#include <string.h>

#include "unit.h"

static struct direct_reach r;

static void start(const uint8_t *code, unsigned len, unsigned at)
{
    memset(&r, 0, sizeof(r));
    memset(r.code, 0xcc, sizeof(r.code));
    for (unsigned n = 0; n < REACH_PAGES; n++)
        r.here[n] = true;
    memcpy(r.code + at, code, len);
}

/* 0: je 6; 2: mov eax, 0x0fa2...; the CPUID in its immediate is none; 7: ret; 8: cpuid; ret */
static const uint8_t branches[] = {0x74, 0x06, 0xb8, 0x11, 0x0f, 0xa2, 0x22, 0xc3, 0x0f, 0xa2, 0xc3,
                                   /* 11: */ 0x0f, 0xa2, 0xc3};

START_TEST(follows_branches_and_no_more)
{
    for (unsigned at = 0; at < 2 * MEM_PAGE_SIZE; at += MEM_PAGE_SIZE - 5) {
        start(branches, sizeof(branches), at);
        ck_assert_int_eq(direct_role_of(&r, at + 8), ROLE_UNKNOWN);
        direct_reach_from(&r, at);
        ck_assert_int_eq(direct_role_of(&r, at + 4), ROLE_PART);
        ck_assert_int_eq(direct_role_of(&r, at + 8), ROLE_INSTRUCTION);
        ck_assert_int_eq(direct_role_of(&r, at + 11), ROLE_UNKNOWN); /* nobody comes there */
        direct_reach_from(&r, at + 11);
        ck_assert_int_eq(direct_role_of(&r, at + 11), ROLE_INSTRUCTION);
    }
}
END_TEST

START_TEST(knows_prefixes_calls_and_ends)
{
    /* 0: call 9; 5: rdpid rax (F3 0F C7 F8); 9: rdtscp; jmp rax; 14: cpuid */
    static const uint8_t code[] = {0xe8, 4, 0, 0, 0, 0xf3, 0x0f, 0xc7, 0xf8,
                                   0x0f, 0x01, 0xf9, 0xff, 0xe0, 0x0f, 0xa2};

    start(code, sizeof(code), 100);
    direct_reach_from(&r, 100);
    ck_assert_int_eq(direct_role_of(&r, 106), ROLE_INSTRUCTION);
    ck_assert_int_eq(direct_role_of(&r, 109), ROLE_INSTRUCTION);
    ck_assert_int_eq(direct_role_of(&r, 114), ROLE_UNKNOWN);
}
END_TEST

/* A branch to where there is no code, or out of it, leads nowhere; loops end. */
START_TEST(stays_where_code_is)
{
    static const uint8_t out[] = {0x0f, 0x84, 0, 0, 1, 0, 0x0f, 0x84, 0, 0, 0xff, 0xff, 0xeb, 0xf2};

    start(out, sizeof(out), 0);
    direct_reach_from(&r, 0);
    ck_assert_uint_eq(r.covered[0], BIT(14) - 1);
    start(branches, sizeof(branches), MEM_PAGE_SIZE - 1); /* its first instruction is in two pages */
    r.here[1] = false;
    direct_reach_from(&r, MEM_PAGE_SIZE - 1);
    ck_assert_uint_eq(r.covered[63], 0);
    direct_reach_from(&r, REACH_BYTES + 5);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, follows_branches_and_no_more);
    UNIT_TEST(s, knows_prefixes_calls_and_ends);
    UNIT_TEST(s, stays_where_code_is);
}

UNIT_TEST_MAIN("direct_reach", add_tests)
