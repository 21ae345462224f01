/* SPDX-License-Identifier: MIT */
/* An exception finds the flags of before its instruction, though that one or the next overwrites them all, and
 * looking an address up has clobbered the host's (jit_flags.c). */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/jit/jit_priv.h"

#include "cpu/x86/long_rig.h"

#define CODE    UINT64_C(0x10000)
#define DATA    UINT64_C(0x400000)
#define NOWHERE UINT64_C(0x40000000)
#define RUNS    3 /* translated before the last */

/* What raises an exception where RCX is 0 and nothing is at RDI. */
static const struct sample {
    const char *name, *code;
    bool plain; /* an access that is exact without liveness only */
} samples[] = {
    {"div ecx", "\xf7\xf1", false},
    {"idiv rcx", "\x48\xf7\xf9", false},
    {"div cl", "\xf6\xf1", false},
    {"div dword [rdi]", "\xf7\x37", false},
    {"popcnt eax, ebx (not offered)", "\xf3\x0f\xb8\xc3", false},
    {"rdfsbase rax (not allowed)", "\xf3\x48\x0f\xae\xc0", false},
    {"xgetbv (not allowed)", "\x0f\x01\xd0", false},
    {"lock add [rdi], eax", "\xf0\x01\x07", false},
    {"lock xadd [rdi], eax", "\xf0\x0f\xc1\x07", false},
    {"xchg [rdi], eax", "\x87\x07", false},
    {"fild dword [rdi]", "\xdb\x07", false},
    {"add [rdi], eax", "\x01\x07", true},
    {"mov eax, [rdi]", "\x8b\x07", true},
    {"push qword [rdi]", "\xff\x37", true},
    {"movups xmm0, [rdi]", "\x0f\x10\x07", true},
};

static void faults(const struct sample *s, const char *words)
{
    uint8_t program[32] = {0x83, 0xe8, 5,  /* sub eax, 5 */
                           0x48, 0x8b, 0x16, /* mov rdx, [rsi] */
                           0xba, 0, 0, 0, 0}; /* mov edx, 0 */
    size_t len = strlen(s->code);
    struct rig m;

    memcpy(program + 11, s->code, len);
    memcpy(program + 11 + len, "\x39\xc0\xf4", 3); /* cmp eax, eax; hlt */
    rig_create(&m, words, 1, CODE, program, sizeof(program));
    m.vm->cpuid->feature[X86_FEATURE_POPCNT] = false;
    for (unsigned n = 0; n < RUNS; n++) {
        m.c->rip = CODE;
        m.c->run_state = X86_RUNNING;
        m.c->reg[X86_RAX] = 3;
        m.c->reg[X86_RCX] = 0;
        m.c->reg[X86_RSI] = DATA;
        m.c->reg[X86_RDI] = NOWHERE;
        m.c->reg[X86_RSP] = DATA + 0x800;
        ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_SHUTDOWN); /* nobody handles it */
        ck_assert_uint_eq(m.c->rip, CODE + 11);
        ck_assert_msg((cpu_rflags(m.c) & X86_FLAGS_ARITH) == (X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_SF),
                      "%s with %s, run %u: flags %llx", s->name, words, n, (unsigned long long)cpu_rflags(m.c));
    }
    rig_destroy(&m);
}

START_TEST(exceptions_find_the_flags_of_before)
{
    for (unsigned n = 0; n < ARRAY_SIZE(samples); n++) {
        faults(&samples[n], "off");
        faults(&samples[n], "no-liveness,threshold=1");
        if (!samples[n].plain)
            faults(&samples[n], "on,threshold=1");
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, exceptions_find_the_flags_of_before);
}

UNIT_TEST_MAIN("jit_flags", add_tests)
