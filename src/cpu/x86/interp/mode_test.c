/* SPDX-License-Identifier: MIT */
/* What the random test against the host cannot reach: transfers of control, 16- and 32-bit modes
 * with their segments and stacks, decimal adjustment, and repetitions that are interrupted. */
#include <string.h>
#include <sys/mman.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/interp/interp.h"
#include "unit.h"

#define BUF_LEN 65536u
#define CODE_RIP 0x1000u

static struct x86_cpu cpu;
static struct x86_vm vm;
static struct x86_cpuid_policy policy;
static struct tlb_entry table[TLB_ENTRIES];
static struct block_jump jumps[BLOCK_JUMPS_FIRST];
static uint8_t *buf; /* offset 0 of every segment */

static void stop(struct x86_cpu *c, const struct insn *i)
{
    c->rip = insn_rip(c, i);
}

static void setup(enum x86_code_size size)
{
    buf = mmap(NULL, BUF_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
               0);
    ck_assert(buf != MAP_FAILED);
    memset(&cpu, 0, sizeof(cpu));
    memset(table, 0xff, sizeof(table));
    memset(policy.feature, 1, sizeof(policy.feature));
    vm.cpuid = &policy;
    cpu.vm = &vm;
    cpu.tlb[0] = cpu.tlb[1] = table;
    cpu.jumps[0] = cpu.jumps[1] = jumps;
    cpu.jump_mask = block_jump_mask(BLOCK_JUMPS_FIRST);
    cpu.code_ctx[0] = cpu.code_ctx[1] = 1;
    cpu.code_size = size;
    cpu.cr0 = X86_CR0_PE;
    cpu.efer = size == X86_CODE_64 ? X86_EFER_LMA : 0;
    cpu.rflags = 0x202;
    cpu.stack32 = size == X86_CODE_32;
    for (unsigned n = 0; n < BUF_LEN / 4096; n++) {
        uint64_t va = (uintptr_t)buf + n * 4096;
        struct tlb_entry *e = tlb_slot(cpu.tlb, va);

        e->read = e->write = tlb_page(va);
        e->addend = 0;
    }
    for (unsigned n = 0; n < EA_BASE_COUNT; n++) {
        cpu.seg[n].base = size == X86_CODE_64 ? 0 : (uintptr_t)buf;
        cpu.seg[n].limit = 0xffff;
        cpu.seg[n].attr = SEG_ATTR_P | SEG_ATTR_S | (n == X86_CS ? 11 : 3);
        cpu.ea_base[n] = cpu.seg[n].base;
    }
}

static void run(const char *bytes, unsigned len)
{
    struct insn insn[4] = {0};
    struct x86_decoded d;
    uint8_t copy[16] = {0};

    memcpy(copy, bytes, len);
    cpu.reg[REG_BLOCK_RIP] = CODE_RIP;
    cpu.fault.pending = false;
    ck_assert_int_eq(x86_decode(copy, len, cpu.code_size, &d), X86_DECODE_OK);
    ck_assert(insn_bind(&cpu, &d, copy, &insn[0]));
    if (!(d.info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM))) {
        insn[1].fn = stop;
        insn[1].off = len;
    }
    insn[0].fn(&cpu, &insn[0]);
}
#define RUN(bytes) run(bytes, sizeof(bytes) - 1)

static void expect_fault(unsigned vector)
{
    ck_assert(cpu.fault.pending);
    ck_assert_uint_eq(cpu.fault.vector, vector);
    ck_assert_uint_eq(cpu.rip, CODE_RIP);
}

static uint16_t word(unsigned off)
{
    return (uint16_t)(buf[off] | buf[off + 1] << 8);
}

START_TEST(call_and_return_in_64_bits)
{
    uint64_t top, value;

    setup(X86_CODE_64);
    top = cpu.reg[X86_RSP] = (uintptr_t)buf + 0x800;
    RUN("\xe8\xf0\xff\xff\xff");
    ck_assert(!cpu.fault.pending);
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 5 - 16);
    ck_assert_uint_eq(cpu.reg[X86_RSP], top - 8);
    memcpy(&value, buf + 0x800 - 8, 8);
    ck_assert_uint_eq(value, CODE_RIP + 5);
    RUN("\xc2\x10\x00");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 5);
    ck_assert_uint_eq(cpu.reg[X86_RSP], top + 16);
    cpu.reg[X86_RAX] = BIT(63);
    RUN("\xff\xe0"); /* jmp rax, not canonical */
    expect_fault(X86_GP);
    RUN("\xff\xd0");
    expect_fault(X86_GP);
    ck_assert_uint_eq(cpu.reg[X86_RSP], top + 16);
    cpu.reg[X86_RAX] = 0x123456;
    RUN("\xff\xd0");
    ck_assert_uint_eq(cpu.rip, 0x123456);
    ck_assert_uint_eq(cpu.reg[X86_RSP], top + 8);
}
END_TEST

START_TEST(conditions_and_counters)
{
    setup(X86_CODE_64);
    cpu.af = AF_ZF;
    RUN("\x74\x10");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 0x12);
    RUN("\x75\x10");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 2);
    cpu.reg[X86_RCX] = UINT64_C(0x100000001);
    RUN("\xe2\x10"); /* loop */
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 0x12);
    ck_assert_uint_eq(cpu.reg[X86_RCX], UINT64_C(0x100000000));
    RUN("\x67\xe3\x10"); /* jecxz */
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 0x13);
    cpu.reg[X86_RCX] = UINT64_C(0x500000002);
    RUN("\x67\xe0\x10"); /* loopne with ECX: ZF is set */
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 3);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 1);
}
END_TEST

START_TEST(branches_in_16_bits)
{
    setup(X86_CODE_16);
    cpu.reg[X86_RSP] = 0x12340000; /* SP wraps, the upper half stays */
    RUN("\xe8\x00\xf0");           /* call -0x1000 */
    ck_assert_uint_eq(cpu.rip, 3);
    ck_assert_uint_eq(cpu.reg[X86_RSP], 0x1234fffe);
    ck_assert_uint_eq(word(0xfffe), CODE_RIP + 3);
    RUN("\xc3");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 3);
    ck_assert_uint_eq(cpu.reg[X86_RSP], 0x12340000);
    RUN("\xe9\x00\xe0"); /* jmp -0x2000: IP wraps */
    ck_assert_uint_eq(cpu.rip, 0xf003);
    cpu.seg[X86_CS].limit = 0x1fff;
    RUN("\xe9\x00\x10");
    expect_fault(X86_GP);
    RUN("\xe8\x00\x10");
    expect_fault(X86_GP);
    ck_assert_uint_eq(cpu.reg[X86_RSP], 0x12340000);
    cpu.reg[X86_RCX] = 0x10001;
    RUN("\xe2\x10"); /* loop: CX becomes 0 */
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 2);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 0x10000);
}
END_TEST

START_TEST(segments_limit_and_wrap)
{
    setup(X86_CODE_16);
    buf[4] = 0x5a;
    cpu.reg[X86_RBX] = 0xfff0;
    cpu.reg[X86_RSI] = 0x14;
    RUN("\x8a\x00"); /* mov al, [bx + si] */
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x5a);
    cpu.reg[X86_RBX] = 0xffff;
    RUN("\x8b\x07"); /* mov ax, [bx]: beyond the limit */
    expect_fault(X86_GP);
    cpu.reg[X86_RBP] = 0xffff;
    RUN("\x8b\x46\x00"); /* mov ax, [bp] */
    expect_fault(X86_SS_FAULT);
    cpu.seg[X86_DS].attr = SEG_ATTR_P | SEG_ATTR_S | 1; /* read-only */
    cpu.reg[X86_RBX] = 0x10;
    RUN("\x88\x07");
    expect_fault(X86_GP);
    cpu.seg[X86_DS].attr = 0; /* null selector */
    RUN("\x8a\x07");
    expect_fault(X86_GP);
}
END_TEST

START_TEST(pusha_and_popa)
{
    setup(X86_CODE_32);
    for (unsigned n = 0; n < 8; n++)
        cpu.reg[n] = n + 1;
    cpu.reg[X86_RSP] = 0x1000;
    RUN("\x60");
    ck_assert_uint_eq(cpu.reg[X86_RSP], 0x1000 - 32);
    ck_assert_uint_eq(word(0xffc), 1);      /* EAX */
    ck_assert_uint_eq(word(0xfec), 0x1000); /* ESP as it was */
    for (unsigned n = 0; n < 8; n++)
        if (n != X86_RSP)
            cpu.reg[n] = 0;
    RUN("\x61");
    ck_assert_uint_eq(cpu.reg[X86_RSP], 0x1000);
    for (unsigned n = 0; n < 8; n++)
        if (n != X86_RSP)
            ck_assert_uint_eq(cpu.reg[n], n + 1);
}
END_TEST

START_TEST(popf_keeps_what_is_not_allowed)
{
    setup(X86_CODE_32);
    cpu.cpl = 3;
    cpu.reg[X86_RSP] = 0x800;
    memcpy(buf + 0x800, "\xff\x7e\x24\x00", 4); /* all but TF */
    RUN("\x9d");
    ck_assert_uint_eq(cpu_rflags(&cpu), 0x202 | X86_FLAGS_ARITH | X86_FLAG_DF | X86_FLAG_NT |
                                            X86_FLAG_AC | X86_FLAG_ID);
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 1);
    cpu.cpl = 0;
    cpu.reg[X86_RSP] = 0x804; /* zero */
    RUN("\x9d");
    ck_assert_uint_eq(cpu_rflags(&cpu), 2);
    cpu.rflags |= X86_FLAG_VM;
    RUN("\x9d");
    expect_fault(X86_GP);
    RUN("\x9c");
    expect_fault(X86_GP);
}
END_TEST

START_TEST(decimal_adjustment)
{
    setup(X86_CODE_32);
    cpu.reg[X86_RAX] = 0xae; /* 79 + 35, the example of the manual */
    RUN("\x27");
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x14);
    ck_assert_uint_eq(cpu.af & (AF_CF | AF_AF), AF_CF | AF_AF);
    cpu.reg[X86_RAX] = 0xee; /* 35 - 47 */
    RUN("\x2f");
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x88);
    ck_assert_uint_eq(cpu.af & (AF_CF | AF_AF), AF_CF | AF_AF);
    cpu.af = 0;
    cpu.reg[X86_RAX] = 0x00fb;
    RUN("\x37"); /* aaa */
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x0201);
    cpu.af = 0;
    cpu.reg[X86_RAX] = 0x010b;
    RUN("\x3f"); /* aas */
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x0005);
    cpu.reg[X86_RAX] = 63;
    RUN("\xd4\x0a"); /* aam */
    ck_assert_uint_eq(cpu.reg[X86_RAX], 0x0603);
    RUN("\xd5\x0a"); /* aad */
    ck_assert_uint_eq(cpu.reg[X86_RAX], 63);
    RUN("\xd4\x00");
    expect_fault(X86_DE);
}
END_TEST

START_TEST(repetition_is_interrupted)
{
    setup(X86_CODE_64);
    cpu.reg[X86_RDI] = (uintptr_t)buf;
    cpu.reg[X86_RCX] = 5000;
    cpu.reg[X86_RAX] = 0x77;
    cpu.rflags |= X86_FLAG_TF; /* every element traps */
    RUN("\xf3\xaa");
    ck_assert(!cpu.fault.pending);
    ck_assert_uint_eq(cpu.rip, CODE_RIP);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 4999);
    ck_assert_uint_eq(cpu.reg[X86_RDI], (uintptr_t)buf + 1);
    cpu.rflags &= ~(uint64_t)X86_FLAG_TF;
    RUN("\xf3\xaa");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 2);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 0);
    ck_assert_uint_eq(buf[4999], 0x77);
    ck_assert_uint_eq(buf[5000], 0);

    /* REP over the whole buffer, many times: the length wraps nothing in 16-bit addressing. */
    setup(X86_CODE_16);
    cpu.reg[X86_RAX] = 0x11;
    cpu.reg[X86_RDI] = 0xfff0;
    cpu.reg[X86_RCX] = 0x20;
    RUN("\xf3\xaa");
    ck_assert_uint_eq(buf[0xffff], 0x11);
    ck_assert_uint_eq(buf[0xf], 0x11);
    ck_assert_uint_eq(buf[0x10], 0);
    ck_assert_uint_eq(cpu.reg[X86_RDI], 0x10);
}
END_TEST

START_TEST(pending_work_ends_a_long_repetition)
{
    setup(X86_CODE_32);
    cpu.pending = X86_PENDING_KICK;
    cpu.reg[X86_RDI] = 0;
    cpu.reg[X86_RCX] = 0x8000;
    RUN("\x67\xf3\xab"); /* 128 KiB: DI wraps after half of it */
    ck_assert(!cpu.fault.pending);
    ck_assert_uint_eq(cpu.rip, CODE_RIP);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 0x4000);
    cpu.pending = 0;
    RUN("\x67\xf3\xab");
    ck_assert_uint_eq(cpu.rip, CODE_RIP + 3);
    ck_assert_uint_eq(cpu.reg[X86_RCX], 0);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, call_and_return_in_64_bits);
    UNIT_TEST(suite, conditions_and_counters);
    UNIT_TEST(suite, branches_in_16_bits);
    UNIT_TEST(suite, segments_limit_and_wrap);
    UNIT_TEST(suite, pusha_and_popa);
    UNIT_TEST(suite, popf_keeps_what_is_not_allowed);
    UNIT_TEST(suite, decimal_adjustment);
    UNIT_TEST(suite, repetition_is_interrupted);
    UNIT_TEST(suite, pending_work_ends_a_long_repetition);
}

UNIT_TEST_MAIN("mode", add_tests)
