/* SPDX-License-Identifier: MIT */
/* The filters as the kernel would run them, over all that can be asked. */
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf.h"
#include "stub/stub_filter.h"
#include "stub/stub_layout.h"
#include "unit.h"

#define BASE   UINT64_C(0x500000008000)
#define SECRET UINT64_C(0x123456789abcdef0)

static const struct filter_sites at = {.event = BASE + 0x40, .report = BASE + 0x120,
                                       .map = BASE + 0x90, .unmap = BASE + 0xa0,
                                       .open = BASE + 0x150, .no_signals = BASE + 0x180};

static struct sock_filter code[80];
static unsigned count;

static uint32_t run(const struct seccomp_data *d)
{
    return bpf_run(code, count, d);
}

static struct seccomp_data call(uint64_t ip, int nr)
{
    struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = ip};

    if (nr == __NR_rt_sigprocmask) {
        d.args[0] = SIG_SETMASK;
        d.args[1] = at.no_signals;
        d.args[3] = 8;
        return d;
    }
    d.args[0] = 0x10000000;
    d.args[1] = 4096;
    d.args[2] = PROT_READ | PROT_WRITE;
    d.args[3] = (MAP_SHARED | MAP_FIXED) | SECRET << 32;
    d.args[4] = STUB_FD_RAM | (SECRET >> 32) << 32;
    return d;
}

static void rule(void)
{
    count = filter_rule(code, ARRAY_SIZE(code), &at, SECRET);
    ck_assert_uint_gt(count, 0);
}

/* All numbers at all places, with everything else as it should be: five pairs. */
START_TEST(test_four_calls)
{
    rule();
    for (uint64_t ip = BASE - 0x100; ip < BASE + STUB_CODE_SIZE + 0x100; ip++) {
        for (int nr = -2; nr < 600; nr++) {
            struct seccomp_data d = call(ip, nr);
            bool allowed = (ip == at.event && nr == STUB_HAND_OVER) ||
                           (ip == at.report && nr == STUB_HAND_OVER) ||
                           (ip == at.map && nr == __NR_mmap) ||
                           (ip == at.unmap && nr == __NR_munmap) ||
                           (ip == at.open && nr == __NR_rt_sigprocmask);
            uint32_t verdict = run(&d);

            if (verdict != (allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP))
                ck_abort_msg("call %d at %#lx: %#x", nr, (unsigned long)ip, verdict);
            d.nr |= 0x40000000;
            if (run(&d) != (nr < 0 ? verdict : SECCOMP_RET_TRAP))
                ck_abort_msg("call %#x at %#lx", d.nr, (unsigned long)ip);
        }
    }
}
END_TEST

static const struct {
    uint64_t ip;
    int nr;
} sites[] = {{BASE + 0x40, STUB_HAND_OVER}, {BASE + 0x120, STUB_HAND_OVER},
             {BASE + 0x90, __NR_mmap},      {BASE + 0xa0, __NR_munmap},
             {BASE + 0x150, __NR_rt_sigprocmask}};

/* Of each bit of the address and the architecture. */
START_TEST(test_place)
{
    rule();
    for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            struct seccomp_data d = call(sites[i].ip ^ BIT(bit), sites[i].nr);

            ck_assert_uint_eq(run(&d), SECCOMP_RET_TRAP);
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            struct seccomp_data d = call(sites[i].ip, sites[i].nr);

            d.arch ^= (uint32_t)BIT(bit);
            ck_assert_uint_eq(run(&d), SECCOMP_RET_TRAP);
        }
    }
}
END_TEST

/* Each bit of the secret, of mmap's and munmap's. */
START_TEST(test_secret)
{
    rule();
    for (size_t i = 2; i < 4; i++)
        for (unsigned arg = 3; arg < 5; arg++)
            for (unsigned bit = 32; bit < 64; bit++) {
                struct seccomp_data d = call(sites[i].ip, sites[i].nr);

                ck_assert_uint_eq(run(&d), SECCOMP_RET_ALLOW);
                d.args[arg] ^= BIT(bit);
                ck_assert_uint_eq(run(&d), SECCOMP_RET_KILL_PROCESS);
            }
}
END_TEST

/* With the secret too, mmap does nothing else than what is commanded. */
START_TEST(test_mmap)
{
    rule();
    for (unsigned bit = 0; bit < 32; bit++) {
        struct seccomp_data d = call(at.map, __NR_mmap);

        d.args[3] ^= BIT(bit);
        ck_assert_uint_eq(run(&d), BIT(bit) == MAP_POPULATE ? SECCOMP_RET_ALLOW
                                                            : SECCOMP_RET_KILL_PROCESS);
        d = call(at.map, __NR_mmap);
        d.args[2] = BIT(bit);
        ck_assert_uint_eq(run(&d), bit < 3 ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
    }
    for (unsigned fd = 0; fd < 10; fd++) {
        struct seccomp_data d = call(at.map, __NR_mmap);

        d.args[4] = fd | (SECRET >> 32) << 32;
        ck_assert_uint_eq(run(&d), fd == STUB_FD_RAM || fd == STUB_FD_RAM_RO
                                       ? SECCOMP_RET_ALLOW
                                       : SECCOMP_RET_KILL_PROCESS);
    }
}
END_TEST

/* Each bit of what lets signals in: nothing can keep them out, or learn which are. */
START_TEST(test_open)
{
    rule();
    for (unsigned arg = 0; arg < 4; arg++)
        for (unsigned bit = 0; bit < 64; bit++) {
            struct seccomp_data d = call(at.open, __NR_rt_sigprocmask);

            ck_assert_uint_eq(run(&d), SECCOMP_RET_ALLOW);
            d.args[arg] ^= BIT(bit);
            ck_assert_uint_eq(run(&d), SECCOMP_RET_TRAP);
        }
}
END_TEST

START_TEST(test_listen)
{
    count = filter_listen(code, ARRAY_SIZE(code), &at);
    ck_assert_uint_gt(count, 0);
    for (uint64_t ip = BASE - 0x100; ip < BASE + 0x200; ip++)
        for (int nr = -2; nr < 600; nr++) {
            struct seccomp_data d = call(ip, nr);
            bool told = (ip == at.event || ip == at.report) && nr == STUB_HAND_OVER;
            uint32_t verdict = run(&d);

            if (verdict != (told ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW))
                ck_abort_msg("call %d at %#lx: %#x", nr, (unsigned long)ip, verdict);
        }
}
END_TEST

START_TEST(test_no_room)
{
    ck_assert_uint_eq(filter_rule(code, 10, &at, SECRET), 0);
    ck_assert_uint_eq(filter_listen(code, 10, &at), 0);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, test_four_calls);
    UNIT_TEST(s, test_place);
    UNIT_TEST(s, test_secret);
    UNIT_TEST(s, test_mmap);
    UNIT_TEST(s, test_open);
    UNIT_TEST(s, test_listen);
    UNIT_TEST(s, test_no_room);
}

UNIT_TEST_MAIN("stub_filter", add_tests)
