/* SPDX-License-Identifier: MIT */
/* Before a CPU stores to a page of guest memory it asks for it (mem.h). The rig's memory is strict: a
 * store that comes too early ends the test. What else the soft TLBs do is seen by programs in
 * tests/guest. */
#include "cpu/x86/mmu.h"

#include "cpu/x86/long_rig.h"

#define CODE UINT64_C(0x10000)
#define DATA UINT64_C(0x20000)
#define FROM UINT64_C(0x30000)
#define PT   UINT64_C(0x8000)
#define AT   (UINT64_C(1) << 30) /* mapped by a table at PT, and what leads to it */

static const char *const engines[] = {"off", "on,threshold=1"};

static bool is_own(const struct rig *m, gpa_t gpa)
{
    return mem_may_store(m->mem, mem_ptr(m->mem, gpa, 1, MEM_READ));
}

static void run(struct rig *m)
{
    m->c->rip = CODE;
    m->c->run_state = X86_RUNNING;
    m->c->reg[X86_RDI] = DATA;
    m->c->reg[X86_RCX] = 32;
    ck_assert_int_eq(x86_cpu_run(m->c), X86_STOP_HALT);
}

/* Each stores to DATA, some to the next page too. */
static const struct {
    const char *name;
    uint8_t code[12];
    bool crosses;
} stores[] = {
    {"mov [rdi], ecx", {0x89, 0x0f, 0xf4}, false},
    {"mov eax, [rdi]; mov [rdi], ecx", {0x8b, 0x07, 0x89, 0x0f, 0xf4}, false},
    {"add [rdi], ecx", {0x01, 0x0f, 0xf4}, false},
    {"lock add [rdi], ecx", {0xf0, 0x01, 0x0f, 0xf4}, false},
    {"xchg [rdi], ecx", {0x87, 0x0f, 0xf4}, false},
    {"mov [rdi + 4094], ecx", {0x89, 0x8f, 0xfe, 0x0f, 0, 0, 0xf4}, true},
    {"lock add [rdi + 4094], ecx", {0xf0, 0x01, 0x8f, 0xfe, 0x0f, 0, 0, 0xf4}, true},
    {"rep stosb", {0xf3, 0xaa, 0xf4}, false},
    {"movups [rdi], xmm0", {0x0f, 0x11, 0x07, 0xf4}, false},
    {"movups [rdi + 4090], xmm0", {0x0f, 0x11, 0x87, 0xfa, 0x0f, 0, 0, 0xf4}, true},
    {"fxsave [rdi]", {0x0f, 0xae, 0x07, 0xf4}, false},
    {"lea rsp, [rdi + 8]; push rcx", {0x48, 0x8d, 0x67, 0x08, 0x51, 0xf4}, false},
};

/* Four times, since everybody has to ask anew; by then it is translated. */
static void check_store(unsigned n, const char *engine)
{
    struct rig m;

    rig_create(&m, engine, 1, CODE, stores[n].code, sizeof(stores[n].code));
    for (unsigned round = 0; round < 4; round++) {
        ck_assert(!is_own(&m, DATA) && !is_own(&m, DATA + MEM_PAGE_SIZE));
        run(&m);
        ck_assert_msg(is_own(&m, DATA) && is_own(&m, DATA + MEM_PAGE_SIZE) == stores[n].crosses,
                      "%s, %s, round %u", stores[n].name, engine, round);
        mem_protect(m.mem);
    }
    rig_destroy(&m);
}

START_TEST(stores_ask_for_their_page)
{
    for (unsigned n = 0; n < ARRAY_SIZE(stores); n++)
        for (unsigned e = 0; e < ARRAY_SIZE(engines); e++)
            check_store(n, engines[e]);
}
END_TEST

/* From [rsi] to [rdi] through a register, which is in the host's own when the store asks for its page. */
static void check_copy(const uint8_t *code, size_t len, size_t bytes, bool avx, const char *engine)
{
    static const double value[4] = {1.5, 2.25, -3.125, 4.0625};
    struct x86_cpu_state *s = calloc(1, sizeof(*s));
    struct rig m;

    rig_create(&m, engine, 1, CODE, code, len);
    x86_cpu_get(m.c, s);
    s->cr4 |= X86_CR4_OSXSAVE;
    s->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
    if (!avx || x86_cpu_set(m.c, s) == 0) {
        ck_assert_int_eq(mem_write(m.mem, FROM, value, sizeof(value)), 0);
        m.c->reg[X86_RSI] = FROM;
        for (unsigned round = 0; round < 4; round++) {
            uint8_t got[sizeof(value)];

            ck_assert_int_eq(mem_zero(m.mem, DATA, sizeof(value)), 0);
            mem_protect(m.mem);
            run(&m);
            ck_assert_int_eq(mem_read(m.mem, DATA, got, bytes), 0);
            ck_assert_msg(memcmp(got, value, bytes) == 0, "%zu bytes, %s, round %u", bytes, engine, round);
        }
    }
    rig_destroy(&m);
    free(s);
}

START_TEST(asking_leaves_vector_registers_as_they_are)
{
    static const uint8_t x87[] = {0xdb, 0xe3, 0xdd, 0x06, 0xdd, 0x1f, 0xf4}; /* fninit; fld qword [rsi]; fstp qword [rdi]; hlt */
    static const uint8_t sse[] = {0x0f, 0x10, 0x06, 0x0f, 0x11, 0x07, 0xf4}; /* movups, twice */
    static const uint8_t avx[] = {0xc5, 0xfc, 0x10, 0x06, 0xc5, 0xfc, 0x11, 0x07, 0xf4}; /* vmovups with ymm0 */

    for (unsigned e = 0; e < ARRAY_SIZE(engines); e++) {
        check_copy(x87, sizeof(x87), 8, false, engines[e]);
        check_copy(sse, sizeof(sse), 16, false, engines[e]);
        check_copy(avx, sizeof(avx), 32, true, engines[e]);
    }
}
END_TEST

START_TEST(loads_do_not_ask)
{
    static const uint8_t load[] = {0x8b, 0x07, 0x8b, 0x07, 0xf4}; /* mov eax, [rdi], twice; hlt */

    for (unsigned e = 0; e < ARRAY_SIZE(engines); e++) {
        struct rig m;

        rig_create(&m, engines[e], 1, CODE, load, sizeof(load));
        mem_protect(m.mem);
        run(&m);
        ck_assert(!is_own(&m, DATA) && !is_own(&m, CODE));
        rig_destroy(&m);
    }
}
END_TEST

static void set_entry(struct rig *m, gpa_t at, uint64_t value)
{
    ck_assert_int_eq(mem_write(m->mem, at, &value, sizeof(value)), 0);
}

static uint64_t entry(const struct rig *m, gpa_t at)
{
    uint64_t value;

    ck_assert_int_eq(mem_read(m->mem, at, &value, sizeof(value)), 0);
    return value;
}

/* The walker marks entries accessed, those above too, and the last one dirty. */
START_TEST(accessed_and_dirty_flags_ask_for_the_page_table)
{
    static const uint8_t code[] = {0x8b, 0x07, 0x89, 0x07, 0xf4}; /* mov eax, [rdi] and back; hlt */
    const gpa_t pd = PT + 0x1000, pdpte = RIG_TABLES + 0x1000 + 8;
    struct rig m;

    rig_create(&m, "off", 1, CODE, code, sizeof(code));
    set_entry(&m, pdpte, pd | X86_PTE_P | X86_PTE_W);
    set_entry(&m, pd, PT | X86_PTE_P | X86_PTE_W);
    set_entry(&m, PT, DATA | X86_PTE_P | X86_PTE_W);
    mem_protect(m.mem);
    m.c->rip = CODE;
    m.c->run_state = X86_RUNNING;
    m.c->reg[X86_RDI] = AT;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_eq(entry(&m, pdpte), pd | X86_PTE_P | X86_PTE_W | X86_PTE_A);
    ck_assert_uint_eq(entry(&m, pd), PT | X86_PTE_P | X86_PTE_W | X86_PTE_A);
    ck_assert_uint_eq(entry(&m, PT), DATA | X86_PTE_P | X86_PTE_W | X86_PTE_A | X86_PTE_D);
    ck_assert(is_own(&m, pdpte) && is_own(&m, pd) && is_own(&m, PT) && is_own(&m, DATA));
    ck_assert(!is_own(&m, RIG_TABLES)); /* it was accessed before */
    rig_destroy(&m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, stores_ask_for_their_page);
    UNIT_TEST(s, asking_leaves_vector_registers_as_they_are);
    UNIT_TEST(s, loads_do_not_ask);
    UNIT_TEST(s, accessed_and_dirty_flags_ask_for_the_page_table);
}

UNIT_TEST_MAIN("mmu", add_tests)
