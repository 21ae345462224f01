/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>

#include "stub/stub_fixture.h"

START_TEST(test_system_call)
{
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05); /* mov $39, %eax; syscall */
    rig_map(&g);
    for (unsigned i = 0; i < 16; i++)
        if (i != 4)
            g.regs.gpr[i] = UINT64_C(0x1111111111111111) * i;
    g.regs.rflags = 0x8d5;
    g.regs.fs_base = 0x123456789000;
    g.regs.gs_base = 0xffff800000000000;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_SYSCALL);
    ck_assert_uint_eq(g.regs.rip, CODE + 5);
    ck_assert_uint_eq(g.regs.gpr[0], 39);
    ck_assert_uint_eq(g.regs.gpr[1], CODE + 7);
    ck_assert_uint_eq(g.regs.gpr[4], DATA + 4096);
    for (unsigned i = 2; i < 16; i++)
        if (i != 4 && i != 11)
            ck_assert_uint_eq(g.regs.gpr[i], UINT64_C(0x1111111111111111) * i);
    ck_assert_uint_eq(g.regs.rflags, 0xad7);
    ck_assert_uint_eq(g.regs.fs_base, 0x123456789000);
    ck_assert_uint_eq(g.regs.gs_base, 0xffff800000000000);
    ck_assert_uint_eq(g.regs.cs, 0x33);
    ck_assert_uint_eq(g.regs.ss, 0x2b);
    ck_assert_uint_eq(g.regs.ds | g.regs.es | g.regs.fs | g.regs.gs, 0);
    rig_close(&g);
}
END_TEST

START_TEST(test_page_fault)
{
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0x48, 0x89, 0x03, 0x0f, 0x05); /* mov %rax, (%rbx); syscall */
    rig_map(&g);
    g.regs.gpr[0] = 0x1234;
    g.regs.gpr[3] = DATA + 0x5008;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_PAGE_FAULT);
    ck_assert_uint_eq(g.regs.rip, CODE);
    ck_assert_uint_eq(g.address, DATA + 0x5008);
    /* Readable: that is not enough. */
    ck_assert(stub_map(g.t, DATA + 0x5000, 4096, 0x2000, PROT_READ));
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_PAGE_FAULT);
    ck_assert(stub_map(g.t, DATA + 0x5000, 4096, 0x2000, PROT_READ | PROT_WRITE));
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_SYSCALL);
    ck_assert_uint_eq(*(uint64_t *)(g.memory + 0x2008), 0x1234);
    ck_assert(stub_unmap(g.t, DATA + 0x5000, 4096));
    ck_assert_int_eq(stub_flush(g.t), 0);
    g.regs.rip = CODE;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_PAGE_FAULT);
    rig_close(&g);
}
END_TEST

struct one {
    uint8_t code[16];
    uint64_t rflags, rax;
    enum stub_event event;
    unsigned at; /* RIP behind CODE */
};

static const struct one ones[] = {
    {{0xcd, 0x80}, 0, 5, STUB_INT80, 0},
    {{0x90, 0xcc}, 0, 0, STUB_BREAKPOINT, 1},
    {{0x90, 0xf1}, 0, 0, STUB_BREAKPOINT, 1},       /* ICEBP */
    {{0x90, 0xcd, 3}, 0, 0, STUB_BREAKPOINT, 2},    /* INT 3: one byte further than it is */
    {{0x90, 0xcd, 4}, 0, 0, STUB_FAULT, 1},         /* INT 4 */
    {{0x90, 0xcd, 5}, 0, 0, STUB_FAULT, 1},
    {{0x90, 0x0f, 0x0b}, 0, 0, STUB_FAULT, 1},      /* UD2 */
    {{0x90, 0xf4}, 0, 0, STUB_FAULT, 1},            /* HLT */
    {{0x90, 0xec}, 0, 0, STUB_FAULT, 1},            /* IN */
    {{0x90, 0xfa}, 0, 0, STUB_FAULT, 1},            /* CLI */
    {{0x31, 0xc9, 0xf7, 0xf1}, 0, 1, STUB_FAULT, 2}, /* DIV by 0 */
    {{0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x8b, 0x44, 0x24, 1}, 0, 0, STUB_FAULT, 9}, /* #AC */
    {{0x0f, 0xae, 0x13, 0x0f, 0x57, 0xc0, 0x0f, 0x5e, 0xc0}, 0, 0, STUB_FAULT, 6}, /* #XM: 0 / 0 */
    {{0x90, 0x8b, 0x00}, 0, 0x8000000000000000, STUB_FAULT, 1}, /* not canonical */
    {{0x90, 0x8b, 0x00}, 0, 0xffff800000000000, STUB_PAGE_FAULT, 1},
    {{0xff, 0xe0}, 0, 0x7000, STUB_PAGE_FAULT, (unsigned)(0x7000 - CODE)}, /* JMP to nowhere */
    {{0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x90}, 0, 0, STUB_SINGLE_STEP, 8}, /* TF by POPF */
};

START_TEST(test_one)
{
    const struct one *o = &ones[_i];
    struct rig g;

    rig_open(&g, 1);
    memcpy(g.memory, o->code, sizeof(o->code));
    rig_map(&g);
    g.regs.gpr[0] = o->rax;
    g.regs.gpr[3] = DATA;
    *(uint32_t *)(g.memory + 4096) = 0x1f00; /* an MXCSR that masks all but invalid operations */
    rig_run(&g);
    ck_assert_int_eq(g.event, o->event);
    ck_assert_int_eq((int)(g.regs.rip - CODE), (int)o->at);
    ck_assert(o->event != STUB_SINGLE_STEP || (g.regs.rflags & BIT(8)));
    rig_close(&g);
}
END_TEST

START_TEST(test_vsyscall)
{
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xd0); /* call *%rax */
    rig_map(&g);
    g.regs.gpr[0] = 0xffffffffff600400;
    rig_run(&g);
    if (g.event != STUB_PAGE_FAULT) /* where the host has no such page */
        ck_assert_int_eq(g.event, STUB_VSYSCALL);
    ck_assert_uint_eq(g.regs.rip, 0xffffffffff600400);
    ck_assert_uint_eq(g.regs.gpr[4], DATA + 4096 - 8);
    ck_assert_uint_eq(*(uint64_t *)(g.memory + 8192 - 8), CODE + 2);
    rig_close(&g);
}
END_TEST

/* A program's selectors are told, and are null again at the next entry. */
START_TEST(test_selectors)
{
    struct rig g;

    rig_open(&g, 1);
    /* mov $0x2b, %eax; mov %eax, %ds, %es, %fs, %gs; ud2 */
    CODE_BYTES(&g, 0xb8, 0x2b, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8, 0x0f, 0x0b);
    rig_map(&g);
    g.regs.fs_base = 0x1234000;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_FAULT);
    ck_assert_uint_eq(g.regs.ds, 0x2b);
    ck_assert_uint_eq(g.regs.es, 0x2b);
    ck_assert_uint_eq(g.regs.fs, 0x2b);
    ck_assert_uint_eq(g.regs.gs, 0x2b);
    ck_assert_uint_eq(g.regs.fs_base, 0);
    g.regs.rip = CODE + 13;
    g.regs.fs_base = 0x1234000;
    g.regs.gs_base = 0x5678000;
    rig_run(&g);
    ck_assert_uint_eq(g.regs.ds | g.regs.es | g.regs.fs | g.regs.gs, 0);
    ck_assert_uint_eq(g.regs.fs_base, 0x1234000);
    ck_assert_uint_eq(g.regs.gs_base, 0x5678000);
    rig_close(&g);
}
END_TEST

/* x87, SSE and (where there is) AVX state goes in and comes out, whole stretches of events long. */
START_TEST(test_vectors)
{
    bool avx = __builtin_cpu_supports("avx");
    uint8_t *area;
    uint64_t bits;
    size_t size;
    struct rig g;

    rig_open(&g, 1);
    /* fld1; movups %xmm1, (%rbx); pcmpeqd %xmm2, %xmm2; syscall; ud2 */
    CODE_BYTES(&g, 0xd9, 0xe8, 0x0f, 0x11, 0x0b, 0x66, 0x0f, 0x76, 0xd2, 0x0f, 0x05, 0x0f, 0x0b);
    rig_map(&g);
    area = stub_xsave(g.t, &size);
    ck_assert_uint_ge(size, 576);
    memset(area + 160 + 16, 0xa5, 16); /* XMM1 */
    memset(area + 576 + 16, 0x5a, avx ? 16 : 0); /* the upper half of YMM1 */
    memcpy(&bits, area + 512, 8);
    bits |= avx ? 6 : 2;
    memcpy(area + 512, &bits, 8);
    g.regs.gpr[3] = DATA;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_SYSCALL);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert_uint_eq(g.memory[4096 + i], 0xa5);
        ck_assert_uint_eq(area[160 + 32 + i], 0xff);
        if (avx)
            ck_assert_uint_eq(area[576 + 16 + i], 0x5a);
    }
    memcpy(&bits, area + 512, 8);
    ck_assert_uint_eq(bits & 3, 3);
    ck_assert_uint_eq(area[32 + 9], 0x3f); /* ST0: 1.0 */
    /* Again from what came out. */
    memset(area + 160 + 32, 0, 16);
    g.regs.rip = CODE + 11;
    rig_run(&g);
    ck_assert_uint_eq(area[160 + 32], 0);
    ck_assert_uint_eq(area[32 + 9], 0x3f);
    rig_close(&g);
}
END_TEST

static void *kick_later(void *arg)
{
    usleep(20000);
    stub_kick(arg);
    return NULL;
}

START_TEST(test_kick)
{
    pthread_t thread;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0x48, 0xff, 0xc0, 0xeb, 0xfb); /* 1: inc %rax; jmp 1b */
    rig_map(&g);
    stub_kick(g.t);
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_KICKED);
    ck_assert_uint_eq(g.regs.gpr[0], 0);
    for (unsigned i = 0; g.regs.gpr[0] <= 1000; i++) { /* on a busy host the kick may come first */
        ck_assert_uint_lt(i, 100);
        ck_assert_int_eq(pthread_create(&thread, NULL, kick_later, g.t), 0);
        rig_run(&g);
        pthread_join(thread, NULL);
        ck_assert_int_eq(g.event, STUB_KICKED);
    }
    ck_assert_uint_lt(g.regs.rip - CODE, 5);
    rig_close(&g);
}
END_TEST

/* RDTSC and RDTSCP are events where that is asked for, and the stub itself gets along without. */
START_TEST(test_tsc)
{
    struct rig g;

    rig_open(&g, 1);
    if (!stub_host_probe(g.host)->tsc_faults) {
        rig_close(&g);
        return;
    }
    for (unsigned faults = 0; faults < 2; faults++) {
        stub_destroy(g.stub);
        ck_assert_int_eq(stub_create(&g.stub, g.host, &(struct stub_wish){REGION, faults}), 0);
        g.t = stub_thread(g.stub, 0);
        rig_map(&g);
        CODE_BYTES(&g, 0x90, 0x0f, 0x31, 0x0f, 0x0b); /* nop; rdtsc; ud2 */
        for (unsigned i = 0; i < 3; i++) {
            g.regs.rip = CODE;
            rig_run(&g);
            ck_assert_int_eq(g.event, STUB_FAULT);
            ck_assert_uint_eq(g.regs.rip, CODE + (faults ? 1 : 3));
        }
        ck_assert(faults ? stub_ran(g.t) == 0 : stub_ran(g.t) > 0);
        CODE_BYTES(&g, 0x0f, 0x01, 0xf9, 0x0f, 0x0b); /* rdtscp */
        g.regs.rip = CODE;
        rig_run(&g);
        ck_assert_uint_eq(g.regs.rip, CODE + (faults ? 0 : 3));
    }
    rig_close(&g);
}
END_TEST

START_TEST(test_threads)
{
    struct rig g;

    rig_open(&g, 3);
    CODE_BYTES(&g, 0x48, 0x89, 0x03, 0x0f, 0x05);
    rig_map(&g);
    g.regs.gpr[3] = DATA;
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_SYSCALL);
    for (unsigned i = 1; i < 3; i++) {
        g.t = stub_thread(g.stub, i);
        g.regs.rip = CODE;
        g.regs.gpr[0] = i;
        rig_run(&g);
        ck_assert_int_eq(g.event, STUB_SYSCALL);
        ck_assert_uint_eq(g.memory[4096], i);
    }
    ck_assert_ptr_null(stub_thread(g.stub, 3));
    rig_close(&g);
}
END_TEST

/* A command that fails (its offset is beyond any file) ends the stub for all: those behind it were not
 * carried out, and nobody shall take them for done. */
START_TEST(test_failed_command)
{
    struct stub_regs regs = {.rip = CODE};
    struct rig g;

    rig_open(&g, 2);
    rig_map(&g);
    ck_assert_int_eq(stub_flush(g.t), 0);
    ck_assert(stub_map(g.t, DATA + 0x5000, 4096, UINT64_C(0xfffffffffffff000), PROT_READ));
    ck_assert(stub_unmap(g.t, DATA, 4096));
    ck_assert_int_eq(stub_flush(g.t), -EOVERFLOW);
    ck_assert_int_eq(stub_flush(g.t), -EOVERFLOW);
    for (unsigned n = 0; n < 2; n++)
        ck_assert_int_eq(stub_run(stub_thread(g.stub, n), &regs, &g.event, &g.address), -EOVERFLOW);
    rig_close(&g);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *one = tcase_create("test_one");

    UNIT_TEST(s, test_system_call);
    UNIT_TEST(s, test_page_fault);
    UNIT_TEST(s, test_failed_command);
    tcase_add_loop_test(one, test_one, 0, ARRAY_SIZE(ones));
    suite_add_tcase(s, one);
    UNIT_TEST(s, test_vsyscall);
    UNIT_TEST(s, test_selectors);
    UNIT_TEST(s, test_vectors);
    UNIT_TEST(s, test_kick);
    UNIT_TEST(s, test_tsc);
    UNIT_TEST(s, test_threads);
}

UNIT_TEST_MAIN_UNLESS("stub", add_tests, no_stubs_here())
