/* SPDX-License-Identifier: MIT */
/* How blocks are found where the same code is mapped again and again. What code does is elsewhere. */
#include "cpu/x86/block.h"

#include "cpu/x86/long_rig.h"
#include "cpu/x86/mmu.h"

#define CODE  UINT64_C(0x10000) /* two pages, of which the first jumps into the second */
#define SPARE UINT64_C(0x400000)
#define PT    UINT64_C(0x8000)
#define AT    (UINT64_C(4) << 30)
#define PAIRS 256u

static void set_entry(struct rig *m, gpa_t at, uint64_t value)
{
    *(uint64_t *)mem_ptr(m->mem, at, 8, MEM_WRITE) = value;
}

/* A page table for the 2 MiB at AT, where code may be moved. */
static void add_table(struct rig *m)
{
    set_entry(m, RIG_TABLES + 0x1000 + 4 * 8, (PT + 0x1000) | 0x67);
    set_entry(m, PT + 0x1000, PT | 0x67);
}

static void map(struct rig *m, unsigned page, gpa_t gpa)
{
    set_entry(m, PT + 8 * page, gpa | 0x67);
}

static uint64_t steps_of_run(struct rig *m, uint64_t rip)
{
    uint64_t steps = m->c->count.block_steps;

    m->c->rip = rip;
    m->c->run_state = X86_RUNNING;
    ck_assert_int_eq(x86_cpu_run(m->c), X86_STOP_HALT);
    return m->c->count.block_steps - steps;
}

static void many_addresses(const char *words)
{
    /* mov ecx, 40; jmp to the second page: 1: dec ecx; jnz 1b; hlt */
    static const uint8_t first[] = {0xb9, 40, 0, 0, 0, 0xe9, 0xf6, 0x0f, 0, 0};
    static const uint8_t second[] = {0xff, 0xc9, 0x75, 0xfc, 0xf4};
    uint64_t early = 0, late = 0;
    struct rig m;

    rig_create(&m, words, 1, CODE, first, sizeof(first));
    memcpy(mem_ptr(m.mem, CODE + MEM_PAGE_SIZE, sizeof(second), MEM_WRITE), second, sizeof(second));
    add_table(&m);
    for (unsigned n = 0; n < PAIRS; n++) {
        map(&m, 2 * n, CODE);
        map(&m, 2 * n + 1, CODE + MEM_PAGE_SIZE);
    }
    for (unsigned n = 0; n < PAIRS; n++) {
        uint64_t steps = steps_of_run(&m, AT + n * UINT64_C(2) * MEM_PAGE_SIZE);

        early += n < 32 ? steps : 0;
        late += n >= PAIRS - 32 ? steps : 0;
    }
    ck_assert_msg(late <= 2 * early + 64, "%s: %llu steps at first, %llu at last", words,
                  (unsigned long long)early, (unsigned long long)late);
    /* Nothing is decoded again at an address where it has been before, nor at a new one. */
    early = m.c->count.blocks_decoded;
    ck_assert_uint_le(early, 32);
    for (unsigned n = 0; n < PAIRS; n++)
        ck_assert_uint_le(steps_of_run(&m, AT + n * UINT64_C(2) * MEM_PAGE_SIZE), 32);
    ck_assert_uint_eq(m.c->count.blocks_decoded, early);
    ck_assert_uint_ge(m.c->count.blocks_moved, PAIRS);
    rig_destroy(&m);
}

/* Most blocks run once or twice, so they are as small as what they say. */
START_TEST(a_block_takes_what_it_needs)
{
    static const struct {
        uint8_t code[2];
        unsigned links;
    } ends[] = {
        {{0xc3}, 0},       /* ret */
        {{0xeb, 0x10}, 1}, /* jmp */
        {{0xf4}, 1},       /* hlt */
        {{0x74, 0x10}, 2}, /* jz */
        {{0xe2, 0x10}, 2}, /* loop */
    };
    uint8_t code[ARRAY_SIZE(ends) * 16] = {0};
    struct rig m;

    for (unsigned n = 0; n < ARRAY_SIZE(ends); n++)
        memcpy(code + 16 * n, ends[n].code, sizeof(ends[n].code));
    rig_create(&m, "on", 1, CODE, code, sizeof(code));
    for (unsigned n = 0; n < ARRAY_SIZE(ends); n++) {
        size_t used = block_cache_used(m.c);

        m.c->rip = CODE + 16 * n;
        ck_assert_ptr_nonnull(block_find(m.c));
        ck_assert_uint_eq(block_cache_used(m.c) - used, 48 + 32 + 8 + 16 * ends[n].links);
    }
    rig_destroy(&m);
}
END_TEST

START_TEST(code_at_many_addresses_is_found_as_fast_as_at_one)
{
    many_addresses("off");
    many_addresses("on,threshold=1");
    many_addresses("on");
}
END_TEST

/* An instruction that crosses into a page which is another one each time. */
START_TEST(second_pages_that_change_leave_no_trail)
{
    static const uint8_t mov[] = {0xb8, 1, 2, 3, 4, 0xf4}; /* mov eax, imm32; hlt */
    struct rig m;

    rig_create(&m, "on,threshold=1", 1, CODE, mov, sizeof(mov));
    memcpy(mem_ptr(m.mem, CODE + MEM_PAGE_SIZE - 2, 2, MEM_WRITE), mov, 2);
    add_table(&m);
    map(&m, 0, CODE);
    for (unsigned n = 0; n < 64; n++) {
        uint8_t *second = mem_ptr(m.mem, SPARE + n * MEM_PAGE_SIZE, MEM_PAGE_SIZE, MEM_WRITE);

        memcpy(second, mov + 2, 4);
        second[0] = (uint8_t)n;
        map(&m, 1, SPARE + n * MEM_PAGE_SIZE);
        mmu_flush_all(m.c);
        ck_assert_uint_le(steps_of_run(&m, AT + MEM_PAGE_SIZE - 2), 16);
        ck_assert_uint_eq(m.c->reg[X86_RAX], 0x04030001 + (n << 8));
    }
    rig_destroy(&m);
}
END_TEST

#define MANY 50000u /* blocks, more than the tables begin with, and enough for huge pages */

/* However much of it there has been, and what was given back when it rested, it runs as it did. */
static void much_code(const char *words)
{
    static const uint8_t one[] = {0xff, 0xc0, 0xeb, 0x00}; /* inc eax; jmp 1f; 1: */
    static const uint8_t first[] = {0x31, 0xc0, 0xe9, 0xf9, 0xff, 0x3e, 0x00}; /* xor eax, eax; jmp SPARE */
    struct rig m;
    uint8_t *code;

    rig_create(&m, words, 1, CODE, first, sizeof(first));
    code = mem_ptr(m.mem, SPARE, MANY * sizeof(one) + 1, MEM_WRITE);
    for (unsigned n = 0; n < MANY; n++)
        memcpy(code + n * sizeof(one), one, sizeof(one));
    code[MANY * sizeof(one)] = 0xf4;
    for (unsigned n = 0; n < 8; n++) {
        steps_of_run(&m, CODE);
        ck_assert_uint_eq((uint32_t)m.c->reg[X86_RAX], MANY);
        if (n % 3 < 2)
            continue;
        ck_assert_uint_gt(block_cache_used(m.c), MIB);
        ck_assert(x86_cpu_rest(m.c));
        ck_assert(!x86_cpu_rest(m.c));
        ck_assert_uint_lt(block_cache_used(m.c), 4096);
        ck_assert_uint_eq(m.c->jump_mask, block_jump_mask(BLOCK_JUMPS_FIRST));
    }
    /* Decoded when it ran first, and after each rest. */
    ck_assert_uint_ge(m.c->count.blocks_decoded, 3 * MANY);
    ck_assert_uint_lt(m.c->count.blocks_decoded, 3 * MANY + 1000);
    ck_assert_uint_gt(m.c->jump_mask, block_jump_mask(BLOCK_JUMPS_FIRST));
    rig_destroy(&m);
}

START_TEST(tables_grow_with_the_code_and_shrink_at_rest)
{
    much_code("off");
    much_code("on,threshold=1");
    much_code("on,threshold=2");
}
END_TEST

static void take_turns(const char *words)
{
    /* mov ecx, 40; 1: call 2f; dec ecx; jnz 1b; hlt; and, where it has a place of its own, 2: ret */
    static const uint8_t program[] = {
        0xb9, 40, 0, 0, 0, 0xe8, 9, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf7, 0xf4, 0x90, 0x90, 0x90, 0x90, 0xc3};
    uint64_t before = 0;
    struct rig m;

    rig_create(&m, words, 1, CODE, program, sizeof(program));
    m.c->reg[X86_RSP] = SPARE + MEM_PAGE_SIZE;
    m.c->cr4 |= X86_CR4_PCIDE;
    mmu_mode_changed(m.c);
    for (unsigned n = 0; n < 200; n++) {
        mmu_cr3_written(m.c, RIG_TABLES | (1 + n % 3), true);
        steps_of_run(&m, CODE);
        if (n == 20)
            before = m.c->count.block_lookups;
    }
    ck_assert_uint_le(m.c->count.block_lookups - before, 10);
    rig_destroy(&m);
}

START_TEST(programs_that_take_turns_find_their_own_code)
{
    take_turns("off");
    take_turns("on,threshold=1");
    take_turns("on");
}
END_TEST

/* call rdi; hlt; and behind it what is at other addresses: mov eax, 1; lea rax, [rip - 12]; ret */
static const uint8_t caller[] = {0xff, 0xd7, 0xf4};
static const uint8_t callee[] = {0xb8, 1, 0, 0, 0, 0x48, 0x8d, 0x05, 0xf4, 0xff, 0xff, 0xff, 0xc3};

/* In the address space with this PCID, so often: whatever is at page n says where it is. */
static void call_there(struct rig *m, unsigned pcid, unsigned page, unsigned times)
{
    while (times--) {
        mmu_cr3_written(m->c, RIG_TABLES | pcid, true);
        m->c->reg[X86_RDI] = AT + page * MEM_PAGE_SIZE;
        steps_of_run(m, CODE);
        ck_assert_uint_eq(m->c->reg[X86_RAX], m->c->reg[X86_RDI]);
    }
}

/* The first space knows it at page 1 from before it was translated; another one has it moved there, and away again. */
START_TEST(what_is_moved_is_forgotten_in_every_address_space)
{
    struct rig m;

    rig_create(&m, "on,threshold=4", 1, CODE, caller, sizeof(caller));
    memcpy(mem_ptr(m.mem, SPARE, sizeof(callee), MEM_WRITE), callee, sizeof(callee));
    m.c->reg[X86_RSP] = SPARE;
    m.c->cr4 |= X86_CR4_PCIDE;
    mmu_mode_changed(m.c);
    add_table(&m);
    for (unsigned n = 0; n < 3; n++)
        map(&m, n, SPARE);
    call_there(&m, 1, 1, 1);
    call_there(&m, 2, 0, 8);
    call_there(&m, 3, 1, 2);
    call_there(&m, 1, 1, 2);
    call_there(&m, 3, 2, 2);
    call_there(&m, 1, 1, 2);
    if (m.c->jit) /* not in sanitizer builds, and what is not translated is right at any address */
        ck_assert_uint_ge(m.c->count.blocks_moved, 2);
    rig_destroy(&m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_block_takes_what_it_needs);
    UNIT_TEST(s, code_at_many_addresses_is_found_as_fast_as_at_one);
    UNIT_TEST(s, second_pages_that_change_leave_no_trail);
    UNIT_TEST(s, tables_grow_with_the_code_and_shrink_at_rest);
    UNIT_TEST(s, programs_that_take_turns_find_their_own_code);
    UNIT_TEST(s, what_is_moved_is_forgotten_in_every_address_space);
}

UNIT_TEST_MAIN("block", add_tests)
