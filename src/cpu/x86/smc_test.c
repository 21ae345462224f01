/* SPDX-License-Identifier: MIT */
/* Code that a device changes while a vCPU runs it, and pages that turn from code to data. What a
 * guest can do to its own code is in tests/guest. */
#include <pthread.h>
#include <time.h>

#include "cpu/x86/block.h"
#include "cpu/x86/long_rig.h"
#include "cpu/x86/smc.h"

#define CODE   UINT64_C(0x10000)
#define DATA   UINT64_C(0x20000)
#define LIMIT_S 60 /* only against hanging */

/* start: mov eax, imm32; mov [DATA], eax; jmp start */
static const uint8_t publish[] = {0xb8, 0, 0, 0, 0, 0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, 0xeb, 0xf2};

static void *run_cpu(void *arg)
{
    struct rig *m = arg;

    return (void *)(uintptr_t)(x86_cpu_run(m->c) == X86_STOP_KICK);
}

/* Does the program come to store value? */
static bool publishes(struct rig *m, uint32_t value)
{
    const uint32_t *at = mem_ptr(m->mem, DATA, 4, MEM_READ);
    const struct timespec pause = {.tv_nsec = 20000};
    time_t end = time(NULL) + LIMIT_S;

    while (__atomic_load_n(at, __ATOMIC_RELAXED) != value && time(NULL) < end)
        nanosleep(&pause, NULL);
    return __atomic_load_n(at, __ATOMIC_RELAXED) == value;
}

static void device_rewrites(const char *words)
{
    struct rig m;
    pthread_t thread;
    void *kicked;

    rig_create(&m, words, 1, CODE, publish, sizeof(publish));
    ck_assert_int_eq(pthread_create(&thread, NULL, run_cpu, &m), 0);
    for (uint32_t n = 1; n < 100; n++) {
        if (n % 3) { /* the immediate; or the whole page, as from a disk */
            ck_assert_int_eq(mem_write(m.mem, CODE + 1, &n, 4), 0);
        } else {
            uint8_t page[MEM_PAGE_SIZE] = {0};

            memcpy(page, publish, sizeof(publish));
            memcpy(page + 1, &n, 4);
            ck_assert_int_eq(mem_write(m.mem, CODE + MEM_PAGE_SIZE, page, sizeof(page)), 0);
            ck_assert_int_eq(mem_write(m.mem, CODE, page, sizeof(page)), 0);
        }
        ck_assert_msg(publishes(&m, n), "%s: what the device wrote is not run: %u", words, n);
    }
    x86_cpu_post(m.c, X86_PENDING_KICK);
    ck_assert_int_eq(pthread_join(thread, &kicked), 0);
    ck_assert_ptr_nonnull(kicked);
    rig_destroy(&m);
}

START_TEST(what_a_device_writes_is_run)
{
    device_rewrites("off");
    device_rewrites("on");
    device_rewrites("cache=64K,threshold=1");
}
END_TEST

/* call CODE + 0x1000 (a return); then 4000 stores to that page from its start on, again and again
 * 512 of 8 bytes:  mov esp, DATA + 0x100; call +; mov ecx, 4000; 1: mov eax, ecx; and eax, 0x1ff;
 *         mov [CODE + 0x1000 + 8 * rax], rcx; dec ecx; jnz 1b; hlt */
static const uint8_t reuse[] = {0xbc, 0x00, 0x01, 0x02, 0x00, 0xe8, 0xf6, 0x0f, 0x00, 0x00,
                                0xb9, 0xa0, 0x0f, 0x00, 0x00, 0x89, 0xc8, 0x25, 0xff, 0x01, 0x00, 0x00,
                                0x48, 0x89, 0x0c, 0xc5, 0x00, 0x10, 0x01, 0x00, 0xff, 0xc9, 0x75, 0xed,
                                0xf4};

START_TEST(a_page_becomes_data_again)
{
    static const char *const words[] = {"off", "on"};

    for (unsigned w = 0; w < 2; w++) {
        const uint8_t ret = 0xc3;
        struct rig m;

        rig_create(&m, words[w], 1, CODE, reuse, sizeof(reuse));
        ck_assert_int_eq(mem_write(m.mem, CODE + 0x1000, &ret, 1), 0);
        ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
        ck_assert_uint_ge(m.c->count.smc_invalidations, 1);
        ck_assert_uint_ge(m.c->count.smc_slow_writes, 2);
        ck_assert_uint_lt(m.c->count.smc_slow_writes, 1500);
        rig_destroy(&m);
    }
}
END_TEST

/* mov al, 0x90; mov edi, CODE + 12; mov ecx, 2; 12: rep stosb; hlt */
static const uint8_t over_itself[] = {0xb0, 0x90, 0xbf, 0x0c, 0x00, 0x01, 0x00,
                                      0xb9, 0x02, 0x00, 0x00, 0x00, 0xf3, 0xaa, 0xf4};

START_TEST(a_repetition_that_overwrites_itself_runs_to_its_end)
{
    static const char *const words[] = {"off", "on"};

    for (unsigned w = 0; w < 2; w++) {
        const uint8_t *at;
        struct rig m;

        rig_create(&m, words[w], 1, CODE, over_itself, sizeof(over_itself));
        at = mem_ptr(m.mem, CODE + 12, 3, MEM_READ);
        ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
        ck_assert_uint_eq(m.c->reg[X86_RCX], 0);
        ck_assert_uint_eq(m.c->reg[X86_RDI], CODE + 14);
        ck_assert_uint_eq(at[0], 0x90);
        ck_assert_uint_eq(at[1], 0x90);
        ck_assert_uint_eq(at[2], 0xf4);
        rig_destroy(&m);
    }
}
END_TEST

START_TEST(granules_are_64_bytes)
{
    const uint8_t *page = (const uint8_t *)UINT64_C(0x7000);

    ck_assert_uint_eq(smc_granules(page, 1), 1);
    ck_assert_uint_eq(smc_granules(page + 63, 1), 1);
    ck_assert_uint_eq(smc_granules(page + 63, 2), 3);
    ck_assert_uint_eq(smc_granules(page + 64, 64), 2);
    ck_assert_uint_eq(smc_granules(page + 4095, 1), UINT64_C(1) << 63);
    ck_assert_uint_eq(smc_granules(page, 4096), UINT64_MAX);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_a_device_writes_is_run);
    UNIT_TEST(s, a_page_becomes_data_again);
    UNIT_TEST(s, a_repetition_that_overwrites_itself_runs_to_its_end);
    UNIT_TEST(s, granules_are_64_bytes);
}

UNIT_TEST_MAIN("smc", add_tests)
