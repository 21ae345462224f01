/* SPDX-License-Identifier: MIT */
/* What translated code remembers of pages (x86_cpu.slot[]) is for the kind of access that it was found for. */
#include "cpu/x86/jit/jit_priv.h"

#include "cpu/x86/long_rig.h"

#define CODE UINT64_C(0x10000)
#define PAGE UINT64_C(0x400000) /* where 2 MiB begin that may only be read, and behind them 2 MiB that may be written */

/* The first loop that there is reads and stores; behind a read by GS of a page that may not be written, often elsewhere, and
 * at last to that. */
static void store_behind_read(const char *words)
{
    static const uint8_t program[] = {
        0xbb, 4, 0, 0, 0,                           /* mov ebx, 4 */
        0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0,   /* 2: mov rax, gs:[0] */
        0xb9, 100, 0, 0, 0,                         /* mov ecx, 100 */
        0x48, 0x89, 0xf7,                           /* mov rdi, rsi */
        0xeb, 0x00,                                 /* jmp 1f */
        0x48, 0x8b, 0x02,                           /* 1: mov rax, [rdx] */
        0x48, 0x89, 0x07,                           /* mov [rdi], rax */
        0x48, 0x83, 0xc7, 0x08,                     /* add rdi, 8 */
        0xff, 0xc9,                                 /* dec ecx */
        0x75, 0xf2,                                 /* jnz 1b */
        0xff, 0xcb,                                 /* dec ebx */
        0x75, 0xdb,                                 /* jnz 2b */
        0xf4};
    struct rig m;

    rig_create(&m, words, 1, CODE, program, sizeof(program));
    *(uint64_t *)mem_ptr(m.mem, RIG_TABLES + 0x2000 + 8 * 2, 8, MEM_WRITE) = PAGE | 0xe5;
    m.c->cr0 |= X86_CR0_WP;
    mmu_mode_changed(m.c);
    m.c->seg[X86_GS].base = m.c->ea_base[X86_GS] = m.c->reg[X86_RDX] = PAGE;
    m.c->reg[X86_RSI] = PAGE + 2 * MIB;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    m.c->rip = CODE;
    m.c->run_state = X86_RUNNING;
    m.c->reg[X86_RSI] = PAGE;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_SHUTDOWN); /* nobody handles the fault */
    ck_assert_uint_eq(m.c->cr2, PAGE);
    rig_destroy(&m);
}

START_TEST(a_page_that_is_read_is_not_there_to_write)
{
    store_behind_read("off");
    store_behind_read("on,threshold=1");
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_page_that_is_read_is_not_there_to_write);
}

UNIT_TEST_MAIN("jit_slots", add_tests)
