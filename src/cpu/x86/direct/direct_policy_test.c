/* SPDX-License-Identifier: MIT */
/* Which programs are given a stub and keep it, by times that the test makes up. An event takes 20 us. */
#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"
#include "unit.h"

#define US   UINT64_C(1000) /* ticks */
#define TRAP (20 * US)

struct fixture {
    struct direct_vm vm;
    struct direct d;
    struct history history;
    struct space s;
    uint64_t now;
};

static struct fixture *start(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    ck_assert_ptr_nonnull(f);
    f->vm.us = US;
    f->vm.trap = f->vm.least_trap = TRAP;
    f->now = clock_tsc();
    f->d.vm = &f->vm;
    f->d.history = &f->history;
    f->d.space = &f->s;
    return f;
}

/* A stretch of so much user code with a way there and back of so much. Demoted? */
static bool stretch(struct fixture *f, uint64_t native, uint64_t way)
{
    struct direct_times t = {.began = f->now, .entered = f->now + US, .native = native, .worked = native};

    t.left = t.entered + native + way;
    f->now = t.left;
    return policy_trap(&f->d, &f->s, &t);
}

static unsigned stretches_until_demoted(struct fixture *f, uint64_t native, uint64_t way, unsigned most)
{
    unsigned n = 1;

    while (n < most && !stretch(f, native, way))
        n++;
    return n;
}

START_TEST(test_long_stretches_stay)
{
    struct fixture *f = start();

    ck_assert_uint_eq(stretches_until_demoted(f, 50 * US, 10 * US, 5000), 5000);
    ck_assert(!f->s.rests_until);
    free(f);
}
END_TEST

START_TEST(test_short_stretches_do_not)
{
    struct fixture *f = start();

    ck_assert_uint_le(stretches_until_demoted(f, 2 * US, 10 * US, 5000), 64);
    ck_assert(f->s.rests_until > f->now);
    free(f);
}
END_TEST

/* What is bad by little is seen later. */
START_TEST(test_stretches_in_between)
{
    struct fixture *f = start();
    unsigned n = stretches_until_demoted(f, 8 * US, 10 * US, 5000);

    ck_assert_uint_gt(n, 64);
    ck_assert_uint_le(n, 256);
    free(f);
}
END_TEST

/* On a busy host hand-overs wait for others' time slices: all of them, */
START_TEST(test_waiting_demotes)
{
    struct fixture *f = start();

    ck_assert_uint_le(stretches_until_demoted(f, 50 * US, 6000 * US, 5000), 256);
    free(f);
}
END_TEST

/* or one now and then, as in the JIT. */
START_TEST(test_waiting_seldom_is_everybodys)
{
    struct fixture *f = start();

    for (unsigned n = 1; n < 5000; n++)
        ck_assert(!stretch(f, 50 * US, n % 20 ? 12 * US : 6000 * US));
    free(f);
}
END_TEST

/* Who maps all the time does not wait: each command counts. */
START_TEST(test_commands_count)
{
    struct fixture *f = start();
    bool demoted = false;

    for (unsigned n = 0; n < 300 && !demoted; n++) {
        struct direct_times t = {.began = f->now, .entered = f->now + US, .native = 50 * US, .commands = 40};

        t.left = t.entered + 50 * US + 200 * US;
        f->now = t.left;
        demoted = policy_trap(&f->d, &f->s, &t);
    }
    ck_assert(demoted);
    free(f);
}
END_TEST

/* A stub may say that it has run for longer than it was entered. */
START_TEST(test_lies_stay_within_bounds)
{
    struct fixture *f = start();
    struct direct_times t = {.began = f->now, .entered = f->now + US, .left = f->now + 10 * US, .native = UINT64_MAX, .worked = UINT64_MAX};

    ck_assert(!policy_trap(&f->d, &f->s, &t));
    ck_assert_uint_le(f->s.account.gain, 2 * 9 * US);
    ck_assert_uint_lt(f->s.account.cost, 20 * US);
    free(f);
}
END_TEST

START_TEST(test_rests_grow)
{
    struct fixture *f = start();
    uint64_t last = 0;

    for (unsigned i = 0; i < 12; i++) {
        stretches_until_demoted(f, US, 20 * US, 5000);
        ck_assert(f->s.account.rest > last || f->s.account.rest == 2000000 * US);
        last = f->s.account.rest;
    }
    ck_assert_uint_eq(last, 2000000 * US);
    stretch(f, 10000 * US, 10 * US); /* it has come to work */
    ck_assert_uint_eq(f->s.account.rest, 0);
    free(f);
}
END_TEST

START_TEST(test_ripe)
{
    struct fixture *f = start();

    f->history = (struct history){.time = 250 * TRAP, .stretches = 50};
    ck_assert(policy_is_ripe(&f->d, false));
    f->history.stretches = 100; /* too short */
    ck_assert(!policy_is_ripe(&f->d, false));
    f->history = (struct history){.time = 30 * TRAP, .stretches = 2};
    ck_assert(policy_is_ripe(&f->d, true) && !policy_is_ripe(&f->d, false));
    f->vm.always = true;
    ck_assert(policy_is_ripe(&f->d, false));
    free(f);
}
END_TEST

/* A stretch that waited for a processor, native or translated, is as long as it had one. */
START_TEST(test_waits_are_no_work)
{
    struct fixture *f = start();
    struct x86_cpu *c = calloc(1, sizeof(*c));
    struct direct_times t = {.began = f->now, .entered = f->now + US, .native = 4000 * US, .worked = 10 * US};

    t.left = t.entered + t.native + 10 * US;
    ck_assert(!policy_trap(&f->d, &f->s, &t));
    ck_assert_uint_le(f->s.account.gain, 2 * 10 * US);
    ck_assert_uint_le(f->s.account.cost, 2 * TRAP);
    c->direct = &f->d;
    policy_begin(&f->d);
    f->d.began -= 4000 * TRAP; /* of a thread that has done nothing meanwhile */
    policy_end(c);
    ck_assert_uint_eq(f->history.stretches, 1);
    ck_assert_uint_lt(f->history.time, 50 * TRAP);
    ck_assert(!policy_is_ripe(&f->d, false));
    free(c);
    free(f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, test_long_stretches_stay);
    UNIT_TEST(s, test_short_stretches_do_not);
    UNIT_TEST(s, test_stretches_in_between);
    UNIT_TEST(s, test_waiting_demotes);
    UNIT_TEST(s, test_waiting_seldom_is_everybodys);
    UNIT_TEST(s, test_commands_count);
    UNIT_TEST(s, test_lies_stay_within_bounds);
    UNIT_TEST(s, test_rests_grow);
    UNIT_TEST(s, test_ripe);
    UNIT_TEST(s, test_waits_are_no_work);
}

UNIT_TEST_MAIN("direct_policy", add_tests)
