/* SPDX-License-Identifier: MIT */
/* What a stub's events cost here, the best of many (`meson test --benchmark`). As computers differ by a
 * factor of three in it, two things are beside it that other programs do: a signal to oneself, and a
 * byte to another process and back. STUB_THREADS is the number of threads. */
#include <sys/syscall.h>

#include "base/clock.h"
#include "stub/stub_fixture.h"

#define BEST(ret, rounds, count, what)                                                             \
    do {                                                                                           \
        (ret) = 1e9;                                                                               \
        for (unsigned round_ = 0; round_ < (rounds); round_++) {                                   \
            uint64_t begin_ = clock_mono_ns();                                                     \
            for (unsigned i = 0; i < (count); i++)                                                 \
                what;                                                                              \
            double us_ = (double)(clock_mono_ns() - begin_) / 1000 / (count);                      \
            if (us_ < (ret))                                                                       \
                (ret) = us_;                                                                       \
        }                                                                                          \
    } while (0)

static void nothing(int signal)
{
}

static void run_at(struct rig *g, uint64_t rip)
{
    g->regs.rip = rip;
    rig_run(g);
}

static void pass(int to, int from)
{
    char c = 0;

    ck_assert_int_eq((int)write(to, &c, 1), 1);
    ck_assert_int_eq((int)read(from, &c, 1), 1);
}

static void known_things(void)
{
    double us;
    int a[2], b[2];
    pid_t child;

    signal(SIGUSR1, nothing);
    BEST(us, 200, 100, syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    printf("a signal to oneself     %6.2f us\n", us);
    ck_assert(pipe(a) == 0 && pipe(b) == 0);
    child = fork();
    if (child == 0) {
        char c;

        close(a[1]);
        while (read(a[0], &c, 1) == 1 && write(b[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    BEST(us, 200, 50, pass(a[1], b[0]));
    printf("a byte there and back   %6.2f us\n", us);
    close(a[1]);
}

static void map_next(struct rig *g, unsigned n)
{
    ck_assert_int_eq(g->event, STUB_PAGE_FAULT);
    ck_assert(stub_map(g->t, g->address & ~UINT64_C(4095), 4096, (n * 7 % 900 + 2) * 4096,
                       PROT_READ | PROT_WRITE));
    rig_run(g);
}

static double take_ready(struct rig *g)
{
    uint64_t begin;

    stub_destroy(g->stub);
    usleep(3000);
    begin = clock_mono_ns();
    ck_assert_int_eq(stub_create(&g->stub, g->host, AT(REGION)), 0);
    return (double)(clock_mono_ns() - begin) / 1000;
}

static void stubs(unsigned threads)
{
    struct rig g;
    double us;

    rig_open(&g, threads);
    rig_map(&g);
    CODE_BYTES(&g, 0x0f, 0x05); /* syscall */
    run_at(&g, CODE);
    BEST(us, 400, 50, run_at(&g, CODE));
    printf("a trap                  %6.2f us\n", us);
    /* 1: mov %rax, (%rbx); add $0x1000, %rbx; jmp 1b */
    CODE_BYTES(&g, 0x48, 0x89, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0, 0xeb, 0xf4);
    g.regs.gpr[3] = DATA + 0x100000;
    run_at(&g, CODE);
    BEST(us, 50, 100, map_next(&g, i));
    printf("a fault, and its page   %6.2f us\n", us);
    us = 1e9;
    for (unsigned i = 0; i < 50; i++)
        us = MIN(us, take_ready(&g));
    printf("a stub that is ready    %6.2f us\n", us);
    printf("making one              %6.2f us\n", (double)stub_host_probe(g.host)->make_ns / 1000);
    rig_close(&g);
}

START_TEST(bench)
{
    const char *threads = getenv("STUB_THREADS");

    known_things();
    stubs(threads ? (unsigned)atoi(threads) : 1);
    fflush(stdout);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bench);
}

UNIT_TEST_MAIN("stub_bench", add_tests)
