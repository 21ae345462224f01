/* SPDX-License-Identifier: MIT */
#include "cpu/x86/direct/direct_priv.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

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

/* Instructions of several lengths, of which some look like others where they are entered in the middle. */
static const uint8_t mixed[] = {0x48, 0x8b, 0x84, 0x24, 0x98, 0x00, 0x00, 0x00, 0x89, 0xc1, 0x0f, 0xb6, 0x40,
                                0x05, 0x83, 0xe0, 0x3f, 0x48, 0x8d, 0x15, 0x44, 0x33, 0x02, 0x00, 0x75, 0x1b,
                                0xe8, 0x10, 0x20, 0x00, 0x00};

/* The code, behind `before` bytes of the others, which nothing that is known leads to. */
static enum direct_role swept(const uint8_t *code, unsigned len, unsigned escape, unsigned before, uint8_t data)
{
    unsigned at = 3 * MEM_PAGE_SIZE + 77;

    start(code, len, at);
    memset(r.code, data, at);
    for (unsigned n = 1; n <= before; n++)
        r.code[at - n] = mixed[sizeof(mixed) - 1 - (n - 1) % sizeof(mixed)];
    return direct_role_of(&r, at + escape);
}

START_TEST(sweeps_where_nothing_is_known)
{
    static const uint8_t part[] = {0xb8, 0x11, 0x0f, 0xa2, 0x22, 0xc3}, cpuid[] = {0x0f, 0xa2, 0xc3},
                         leaf[] = {0xb8, 0x01, 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2, 0xc3},
                         displaced[] = {0x8b, 0x05, 0x0f, 0xa2, 0x03, 0x00};
    static const uint8_t data[] = {0x00, 0xcc, 0x90, 0xff, 0x0f, 0xe8, 0x48, 0x66};

    ck_assert_int_eq(swept(part, sizeof(part), 2, 200, 0xcc), ROLE_PART);
    ck_assert_int_eq(swept(displaced, sizeof(displaced), 2, 200, 0xcc), ROLE_PART);
    for (unsigned before = 0; before < 160; before++) {
        for (unsigned n = 0; n < sizeof(data); n++) {
            ck_assert_int_ne(swept(cpuid, sizeof(cpuid), 0, before, data[n]), ROLE_INSTRUCTION);
            ck_assert_int_ne(swept(leaf, sizeof(leaf), 7, before, data[n]), ROLE_INSTRUCTION);
        }
        /* Between functions there are these two. */
        for (unsigned n = 1; n < 3; n++) {
            ck_assert_int_eq(swept(leaf, sizeof(leaf), 7, before, data[n]), ROLE_UNKNOWN);
            if (before > 32)
                ck_assert_int_eq(swept(cpuid, sizeof(cpuid), 0, before, data[n]), ROLE_UNKNOWN);
        }
    }
}
END_TEST

/* What Linux' vDSO has behind other functions, and programs that ask for their CPU. */
START_TEST(knows_what_is_no_data)
{
    static const uint8_t getcpu[] = {0xb8, 0x7b, 0, 0, 0, 0x0f, 0x03, 0xc0, 0xc3},
                         rdtscp[] = {0x90, 0x90, 0x0f, 0x01, 0xf9}, rdpid[] = {0xf3, 0x0f, 0xc7, 0xf8, 0xc3},
                         part[] = {0x48, 0xb8, 0x0f, 0x01, 0xf9, 0, 0, 0, 0, 0};

    ck_assert_int_eq(swept(getcpu, sizeof(getcpu), 5, 200, 0xcc), ROLE_INSTRUCTION);
    ck_assert_int_eq(swept(rdtscp, sizeof(rdtscp), 2, 200, 0xcc), ROLE_INSTRUCTION);
    ck_assert_int_eq(swept(rdpid, sizeof(rdpid), 1, 200, 0xcc), ROLE_INSTRUCTION);
    ck_assert_int_eq(swept(part, sizeof(part), 2, 200, 0xcc), ROLE_PART);
}
END_TEST

/* Our own vDSO, as a guest's. */
static unsigned put_vdso(void)
{
    const uint8_t *vdso = (const uint8_t *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
    Elf64_Phdr p = {0};
    Elf64_Ehdr e;

    ck_assert_ptr_nonnull(vdso);
    memcpy(&e, vdso, sizeof(e));
    for (unsigned n = 0; n < e.e_phnum && p.p_type != PT_LOAD; n++)
        memcpy(&p, vdso + e.e_phoff + n * sizeof(p), sizeof(p));
    ck_assert(p.p_memsz > 0 && p.p_memsz <= 4 * MEM_PAGE_SIZE);
    start(vdso, (unsigned)p.p_memsz, 3 * MEM_PAGE_SIZE);
    return (unsigned)p.p_memsz;
}

START_TEST(knows_all_of_a_small_image)
{
    unsigned size = put_vdso(), unknown = 0;

    direct_reach_image(&r);
    ck_assert_uint_eq(r.image, 3 * MEM_PAGE_SIZE);
    ck_assert_uint_ge(r.image_size, size);
    for (unsigned at = r.image; (at = direct_find_shown(r.code, at, r.image + size, true)) < r.image + size; at++)
        unknown += direct_role_of(&r, at) == ROLE_UNKNOWN;
    ck_assert_uint_eq(unknown, 0);
    ck_assert_int_eq(direct_role_of(&r, r.image + 1), ROLE_PART); /* its head */
    put_vdso(); /* half of it is none */
    r.here[3 + (size - 1) / MEM_PAGE_SIZE] = false;
    direct_reach_image(&r);
    ck_assert_uint_eq(r.image_size, 0);
}
END_TEST

/* What its names do not tell of may be executed too. */
START_TEST(images_with_more_than_their_names)
{
    static const int64_t tags[] = {DT_RELA, DT_JMPREL, DT_INIT, DT_INIT_ARRAY};
    static const uint8_t jump[] = {0x31, 0xc0, 0xff, 0xe0};
    Elf64_Phdr p = {0};
    Elf64_Ehdr e;
    Elf64_Dyn d;

    for (unsigned i = 0; i < ARRAY_SIZE(tags); i++) {
        uint8_t *image = r.code + 3 * MEM_PAGE_SIZE, *at;

        put_vdso();
        memcpy(&e, image, sizeof(e));
        for (unsigned n = 0; n < e.e_phnum && p.p_type != PT_DYNAMIC; n++)
            memcpy(&p, image + e.e_phoff + n * sizeof(p), sizeof(p));
        for (at = image + p.p_vaddr; memcpy(&d, at, sizeof(d)), d.d_tag != DT_SONAME; at += sizeof(d))
            ck_assert_int_ne(d.d_tag, DT_NULL);
        memcpy(at, &tags[i], sizeof(tags[i]));
        direct_reach_image(&r);
        ck_assert_uint_eq(r.image_size, 0);
    }
    start(jump, sizeof(jump), 100);
    ck_assert(!direct_reach_has_jumps(&r, 0, REACH_BYTES)); /* nothing leads there yet */
    direct_reach_from(&r, 100);
    ck_assert(direct_reach_has_jumps(&r, 0, REACH_BYTES));
    ck_assert(!direct_reach_has_jumps(&r, 0, 102));
}
END_TEST

START_TEST(images_that_are_none)
{
    unsigned size, found = 0;

    for (unsigned n = 0; n < 20000; n++) {
        size = put_vdso();
        for (unsigned k = 0; k < 1 + n % 5; k++)
            r.code[3 * MEM_PAGE_SIZE + (unsigned)rand() % (k % 2 ? size : 0x400)] = (uint8_t)rand();
        direct_reach_image(&r);
        found += r.image_size > 0;
        ck_assert_uint_le(r.image + r.image_size, REACH_BYTES);
    }
    ck_assert_uint_gt(found, 0);
    ck_assert_uint_lt(found, 20000);
}
END_TEST

/* Too little is there to begin at. */
START_TEST(sweeps_over_code_only)
{
    static const uint8_t part[] = {0xb8, 0x11, 0x0f, 0xa2, 0x22, 0xc3};

    ck_assert_int_eq(swept(part, sizeof(part), 2, 200, 0xcc), ROLE_PART);
    r.here[2] = false;
    ck_assert_int_eq(direct_role_of(&r, 3 * MEM_PAGE_SIZE + 77 + 2), ROLE_PART);
    start(part, sizeof(part), 3 * MEM_PAGE_SIZE + 60);
    r.here[2] = false;
    ck_assert_int_eq(direct_role_of(&r, 3 * MEM_PAGE_SIZE + 60 + 2), ROLE_UNKNOWN);
    start(part, sizeof(part), 8);
    ck_assert_int_eq(direct_role_of(&r, 10), ROLE_UNKNOWN);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, sweeps_where_nothing_is_known);
    UNIT_TEST(s, sweeps_over_code_only);
    UNIT_TEST(s, knows_what_is_no_data);
    UNIT_TEST(s, knows_all_of_a_small_image);
    UNIT_TEST(s, images_with_more_than_their_names);
    UNIT_TEST(s, images_that_are_none);
    UNIT_TEST(s, follows_branches_and_no_more);
    UNIT_TEST(s, knows_prefixes_calls_and_ends);
    UNIT_TEST(s, stays_where_code_is);
}

UNIT_TEST_MAIN("direct_reach", add_tests)
