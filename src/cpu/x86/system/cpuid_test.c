/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/tsc_rate.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/decode/decode.h"
#include "unit.h"

struct fixture {
    struct x86_cpuid_policy policy;
    struct tsc_rate tsc;
    struct x86_vm vm;
    struct x86_cpu *cpu;
};

static int apic_msr(void *arg, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    *ret = APIC_BASE_ENABLE;
    return 0;
}

static const struct x86_host_ops host = {.apic_msr_read = apic_msr};

static void setup(struct fixture *f, uint32_t tsc_khz, unsigned cpus)
{
    f->cpu = aligned_alloc(64, (sizeof(*f->cpu) + 63) & ~(size_t)63);
    ck_assert_ptr_nonnull(f->cpu);
    memset(f->cpu, 0, sizeof(*f->cpu));
    memset(&f->vm, 0, sizeof(f->vm));
    f->tsc.khz = tsc_khz;
    cpuid_policy_init(&f->policy, &f->tsc, cpus);
    f->vm.cpuid = &f->policy;
    f->vm.host = &host;
    f->cpu->vm = &f->vm;
    f->cpu->xcr0 = X86_XCR0_X87;
}

START_TEST(tsc_frequency_survives_linux_arithmetic)
{
    static const uint32_t khz[] = {1000000, 1996250, 2000000, 2445406, 2794748, 3000001, 4200000};

    for (unsigned n = 0; n < ARRAY_SIZE(khz); n++) {
        struct fixture f;
        uint32_t v[4], got, crystal_khz;

        setup(&f, khz[n], 1);
        cpuid_query(f.cpu, 0x15, 0, v);
        crystal_khz = v[2] / 1000;
        ck_assert_uint_eq((uint64_t)crystal_khz * v[1] >> 32, 0);
        got = crystal_khz * v[1] / v[0];
        ck_assert_msg(got + 1 >= khz[n] && got <= khz[n] + 1, "%u for %u", got, khz[n]);
        free(f.cpu);
    }
}
END_TEST

/* Which may take time: see tsc_rate.h. */
START_TEST(only_leaves_that_tell_the_rate_measure_it)
{
    static const uint32_t tells[] = {0x15, 0x16, 0x40000010};
    struct fixture f;
    uint32_t v[4];

    setup(&f, 0, 2);
    for (uint32_t leaf = 0; leaf < 0x40; leaf++) {
        tsc_rate_start(&f.tsc);
        cpuid_query(f.cpu, leaf, 0, v);
        cpuid_query(f.cpu, 0x80000000 + leaf, 0, v);
        ck_assert_int_eq(f.tsc.khz != 0, leaf == tells[0] || leaf == tells[1]);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(tells); n++) {
        tsc_rate_start(&f.tsc);
        cpuid_query(f.cpu, tells[n], 0, v);
        ck_assert_uint_ne(f.tsc.khz, 0);
    }
    free(f.cpu);
}
END_TEST

START_TEST(signature_and_names)
{
    struct fixture f;
    uint32_t v[4];

    setup(&f, 2000000, 2);
    cpuid_query(f.cpu, 0, 0, v);
    ck_assert_int_eq(memcmp(&v[1], "Genu", 4), 0);
    ck_assert_int_eq(memcmp(&v[3], "ineI", 4), 0);
    ck_assert_int_eq(memcmp(&v[2], "ntel", 4), 0);
    cpuid_query(f.cpu, 0x40000000, 0, v);
    ck_assert_int_eq(memcmp(&v[1], "vzvzvzvzvzvz", 12), 0);
    ck_assert_uint_eq(v[0], 0x40000010);
    cpuid_query(f.cpu, 0x40000100, 0, v);
    ck_assert_int_eq(memcmp(&v[1], "KVMKVMKVM\0\0\0", 12), 0);
    ck_assert_uint_eq(v[0], 0x40000101);
    cpuid_query(f.cpu, 0x40000101, 0, v);
    ck_assert_uint_eq(v[0], BIT(1) | BIT(6));
    cpuid_query(f.cpu, 0x40000200, 0, v); /* and nothing else where guests look */
    ck_assert_uint_eq(v[0] | v[1] | v[2] | v[3], 0);
    cpuid_policy_no_apic(&f.policy);
    cpuid_query(f.cpu, 0x40000100, 0, v);
    ck_assert_uint_eq(v[0] | v[1] | v[2] | v[3], 0);
    cpuid_query(f.cpu, 0x80000002, 0, v);
    ck_assert_int_eq(memcmp(v, "vz ", 3), 0);
    free(f.cpu);
}
END_TEST

/* Leaf 2's descriptors: SDM vol. 2, table 3-12. */
START_TEST(both_leaves_tell_the_same_caches)
{
    static const struct {
        uint8_t descriptor, leaf_2_byte, ways;
        uint32_t kib;
    } cache[] = {{0x2c, 2, 8, 32}, {0x30, 1, 8, 32}, {0x87, 4, 8, 1024}, {0x4d, 3, 16, 16384}};
    struct fixture f;
    uint32_t two[4], v[4];

    setup(&f, 2000000, 1);
    cpuid_query(f.cpu, 2, 0, two);
    ck_assert_uint_eq(two[0] & 0xff, 1);
    ck_assert_uint_eq((two[0] | two[1] | two[2] | two[3]) >> 31, 0);
    for (unsigned n = 0; n < ARRAY_SIZE(cache); n++) {
        unsigned at = cache[n].leaf_2_byte;

        cpuid_query(f.cpu, 4, n, v);
        ck_assert_uint_eq(two[at / 4] >> 8 * (at % 4) & 0xff, cache[n].descriptor);
        ck_assert_uint_eq(v[1] >> 22, cache[n].ways - 1u);
        ck_assert_uint_eq((v[1] & 0xfff) + 1, 64);
        ck_assert_uint_eq((v[2] + 1) * cache[n].ways * 64 / 1024, cache[n].kib);
    }
    free(f.cpu);
}
END_TEST

START_TEST(topology_counts_cores)
{
    struct fixture f;
    uint32_t v[4];

    setup(&f, 2000000, 3);
    f.cpu->index = 2;
    cpuid_query(f.cpu, 0xb, 0, v);
    ck_assert_uint_eq(v[0], 0);
    ck_assert_uint_eq(v[1], 1);
    ck_assert_uint_eq(v[2], 0x100);
    cpuid_query(f.cpu, 0xb, 1, v);
    ck_assert_uint_eq(v[0], 2);
    ck_assert_uint_eq(v[1], 3);
    ck_assert_uint_eq(v[2], 0x201);
    ck_assert_uint_eq(v[3], 2);
    cpuid_query(f.cpu, 1, 0, v);
    ck_assert_uint_eq(v[1] >> 24, 2);
    ck_assert_uint_eq(v[3] >> 28 & 1, 1);
    free(f.cpu);
}
END_TEST

/* Each of these would make a kernel use something that is not there. */
START_TEST(nothing_is_claimed_that_is_not_implemented)
{
    struct fixture f;
    uint32_t v[4];

    setup(&f, 2000000, 1);
    cpuid_query(f.cpu, 1, 0, v);
    ck_assert_uint_eq(v[2] >> 3 & 1, 0);  /* MONITOR */
    ck_assert_uint_eq(v[2] >> 5 & 1, 0);  /* VMX */
    ck_assert_uint_eq(v[2] >> 15 & 1, 0); /* PDCM */
    ck_assert_uint_eq(v[3] >> 1 & 1, 0);  /* VME */
    cpuid_query(f.cpu, 7, 2, v);
    ck_assert_uint_eq(v[3], 1u << 4); /* BHI_CTRL and nothing else */
    cpuid_query(f.cpu, 7, 0, v);
    ck_assert_uint_eq(v[0], 2);
    ck_assert_uint_eq(v[1] & (BIT(4) | BIT(11) | BIT(16)), 0); /* HLE, RTM, AVX-512 */
    ck_assert_uint_eq(v[2] & (BIT(3) | BIT(7) | BIT(16)), 0);  /* PKU, shadow stacks, LA57 */
    cpuid_query(f.cpu, 0xd, 1, v);
    ck_assert_uint_eq(v[0] & BIT(3), 0); /* XSAVES */
    cpuid_query(f.cpu, 0xa, 0, v);
    ck_assert_uint_eq(v[0], 0);
    free(f.cpu);
}
END_TEST

/* Where programs run directly; what a saved state asks for is there all the same. */
START_TEST(hidden_features_are_there)
{
    struct fixture f;
    uint64_t features;
    uint32_t v[4];

    setup(&f, 2000000, 1);
    features = cpuid_policy_features(&f.policy);
    cpuid_query(f.cpu, 0x80000001, 0, v);
    ck_assert_uint_eq(v[3] >> 27 & 1, 1); /* RDTSCP */
    cpuid_query(f.cpu, 7, 0, v);
    ck_assert_uint_eq(v[2] >> 22 & 1, 1); /* RDPID */
    cpuid_policy_hide_tsc_aux(&f.policy);
    cpuid_query(f.cpu, 0x80000001, 0, v);
    ck_assert_uint_eq(v[3] >> 27 & 1, 0);
    cpuid_query(f.cpu, 7, 0, v);
    ck_assert_uint_eq(v[2] >> 22 & 1, 0);
    ck_assert_uint_eq(cpuid_policy_features(&f.policy), features);
    free(f.cpu);
}
END_TEST

START_TEST(bits_that_follow_the_mode)
{
    struct fixture f;
    uint32_t v[4];

    setup(&f, 2000000, 1);
    cpuid_query(f.cpu, 1, 0, v);
    ck_assert_uint_eq(v[2] >> 27 & 1, 0);
    f.cpu->cr4 |= X86_CR4_OSXSAVE;
    cpuid_query(f.cpu, 1, 0, v);
    ck_assert_uint_eq(v[2] >> 27 & 1, 1);
    cpuid_query(f.cpu, 0x80000001, 0, v);
    ck_assert_uint_eq(v[3] >> 11 & 1, 0);
    f.cpu->code_size = X86_CODE_64;
    cpuid_query(f.cpu, 0x80000001, 0, v);
    ck_assert_uint_eq(v[3] >> 11 & 1, 1);
    if (f.policy.feature[X86_FEATURE_AVX]) {
        cpuid_query(f.cpu, 0xd, 0, v);
        ck_assert_uint_eq(v[1], 576);
        ck_assert_uint_eq(v[2], 832);
        f.cpu->xcr0 = 7;
        cpuid_query(f.cpu, 0xd, 0, v);
        ck_assert_uint_eq(v[1], 832);
    }
    free(f.cpu);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, tsc_frequency_survives_linux_arithmetic);
    UNIT_TEST(s, only_leaves_that_tell_the_rate_measure_it);
    UNIT_TEST(s, signature_and_names);
    UNIT_TEST(s, both_leaves_tell_the_same_caches);
    UNIT_TEST(s, topology_counts_cores);
    UNIT_TEST(s, nothing_is_claimed_that_is_not_implemented);
    UNIT_TEST(s, hidden_features_are_there);
    UNIT_TEST(s, bits_that_follow_the_mode);
}

UNIT_TEST_MAIN("cpuid", add_tests)
