/* SPDX-License-Identifier: MIT */
#include "arch/x86/msrs.h"

#include "arch/x86/cpu_state.h"
#include "arch/x86/policy.h"
#include "unit.h"

#define NONE 1 /* no such value */

/* SDM vol. 4, table 2-2, and vol. 3, 11.11 for the MTRRs. */
static const struct {
    uint64_t good, bad;
} samples[] = {
    [X86_MSR_ANY] = {UINT64_MAX, NONE},
    [X86_MSR_LOW] = {UINT32_MAX, BIT(32)},
    [X86_MSR_CANONICAL] = {UINT64_C(0xffff800000000000), BIT(47)},
    [X86_MSR_PAT] = {UINT64_C(0x0007040600070406), UINT64_C(0x0007040600030406)},
    [X86_MSR_DEF_TYPE] = {0xc06, 0xc07},
    [X86_MSR_FIXED] = {UINT64_C(0x0605040100060606), UINT64_C(0x0605040100060607)},
    [X86_MSR_RANGE_BASE] = {BIT(45) | 6, BIT(46) | 6},
    [X86_MSR_RANGE_MASK] = {BIT(45) | 0x800, BIT(10)},
    [X86_MSR_DEBUG] = {3, 4},
    [X86_MSR_EOI_FLAG] = {0x1001, 0x1002},
    [X86_MSR_OWN] = {UINT64_MAX, NONE},
};

static bool has_bad(enum x86_msr_rule rule)
{
    return samples[rule].bad != NONE;
}

START_TEST(each_rule_takes_good_values_only)
{
    for (unsigned rule = 0; rule < ARRAY_SIZE(samples); rule++) {
        ck_assert(x86_msr_valid(rule, 0) && x86_msr_valid(rule, samples[rule].good));
        ck_assert(!has_bad(rule) || !x86_msr_valid(rule, samples[rule].bad));
    }
    ck_assert(!x86_msr_valid(X86_MSR_RANGE_BASE, 0x106)); /* reserved bits, */
    ck_assert(!x86_msr_valid(X86_MSR_RANGE_BASE, 2));     /* a type that is none, */
    ck_assert(!x86_msr_valid(X86_MSR_RANGE_MASK, BIT(46))); /* and MAXPHYADDR */
    ck_assert(!x86_msr_valid(X86_MSR_FIXED, 7)); /* UC- is PAT's only */
}
END_TEST

START_TEST(a_state_is_as_good_as_each_of_its_msrs)
{
    static struct x86_cpu_state s;
    unsigned refused = 0;

    x86_cpu_state_reset(&s, true, false);
    ck_assert(x86_msrs_valid(&s));
#define TRY(number, member, rule)                                                                  \
    do {                                                                                           \
        uint64_t before = s.member;                                                                \
                                                                                                   \
        s.member = samples[X86_MSR_##rule].good;                                                   \
        ck_assert_msg(x86_msrs_valid(&s), #member);                                                \
        if (has_bad(X86_MSR_##rule)) {                                                             \
            s.member = samples[X86_MSR_##rule].bad;                                                \
            ck_assert_msg(!x86_msrs_valid(&s), #member);                                           \
            refused++;                                                                             \
        }                                                                                          \
        s.member = before;                                                                         \
    } while (0);
    X86_MSRS(TRY)
#undef TRY
    ck_assert_uint_gt(refused, 30);
}
END_TEST

START_TEST(states_that_no_cpu_can_be_in_are_refused)
{
    static struct x86_cpu_state good, s;

    x86_cpu_state_reset(&good, true, false);
    ck_assert(x86_state_valid(&good, X86_CR4_PAE, X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX));
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        s = good;                                                                                  \
        change;                                                                                    \
        ck_assert_msg(!x86_state_valid(&s, X86_CR4_PAE, 7), #change);                              \
    } while (0)
    REFUSED(s.cr0 |= X86_CR0_PG);                /* without PE */
    REFUSED(s.cr0 |= BIT(32));
    REFUSED(s.cr3 = BIT(46));
    REFUSED(s.cr4 = X86_CR4_SMEP);               /* not offered */
    REFUSED(s.efer = X86_EFER_LMA);              /* without LME and PG */
    REFUSED(s.efer = 0x1000);
    REFUSED(s.rflags = 0);
    REFUSED(s.xcr0 = X86_XCR0_X87 | X86_XCR0_AVX); /* without SSE */
    REFUSED(s.xcr0 = 0xe7);
    REFUSED(s.seg[X86_FS].base = BIT(47));
    REFUSED(s.seg[X86_CS].attr &= ~SEG_ATTR_P);
    REFUSED(s.lstar = BIT(47));
    REFUSED(s.run_state = X86_RUN_STATE_COUNT);
    REFUSED(s.sti_shadow = s.mov_ss_shadow = true);
    REFUSED(s.nmi_second = true);
    REFUSED(s.nmi_pending = s.nmi_second = s.nmi_blocked = true);
#undef REFUSED
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, each_rule_takes_good_values_only);
    UNIT_TEST(s, a_state_is_as_good_as_each_of_its_msrs);
    UNIT_TEST(s, states_that_no_cpu_can_be_in_are_refused);
}

UNIT_TEST_MAIN("msrs", add_tests)
