/* SPDX-License-Identifier: MIT */
/* What binding makes of addresses, byte registers, and instructions that the CPU does not offer. */
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/interp/interp.h"
#include "unit.h"

static struct x86_cpu cpu;
static struct x86_vm vm;
static struct x86_cpuid_policy policy;

static struct insn bind(enum x86_code_size size, unsigned off, const char *bytes, unsigned len)
{
    struct insn i = { .off = off };
    struct x86_decoded d;
    uint8_t copy[16] = {0};

    memcpy(copy, bytes, len);
    memset(policy.feature, 1, sizeof(policy.feature));
    vm.cpuid = &policy;
    cpu.vm = &vm;
    cpu.code_size = size;
    ck_assert_int_eq(x86_decode(copy, len, size, &d), X86_DECODE_OK);
    ck_assert(insn_bind(&cpu, &d, copy, &i));
    ck_assert_uint_eq(i.len, len);
    return i;
}

#define BIND(size, off, bytes) bind(X86_CODE_##size, off, bytes, sizeof(bytes) - 1)

START_TEST(plain_addresses_are_fast)
{
    struct insn i = BIND(64, 0, "\x48\x8b\x44\x8b\xf0"); /* mov rax, [rbx + rcx*4 - 16] */

    ck_assert_int_eq(i.flags & INSN_EA_SLOW, 0);
    ck_assert_int_eq(i.base, X86_RBX);
    ck_assert_int_eq(i.index, X86_RCX);
    ck_assert_int_eq(i.scale, 2);
    ck_assert_int_eq(i.disp, -16);
    i = BIND(64, 0, "\x8b\x04\x25\x00\x10\x00\x00"); /* mov eax, [0x1000] */
    ck_assert_int_eq(i.base, REG_ZERO);
    ck_assert_int_eq(i.index, REG_ZERO);
    ck_assert_int_eq(i.disp, 0x1000);
}
END_TEST

START_TEST(rip_counts_from_the_block)
{
    struct insn i = BIND(64, 5, "\x8b\x05\x10\x00\x00\x00"); /* mov eax, [rip + 16] */

    ck_assert_int_eq(i.base, REG_BLOCK_RIP);
    ck_assert_int_eq(i.disp, 5 + 6 + 16);
    ck_assert_int_eq(i.flags & INSN_EA_SLOW, 0);
    i = BIND(64, 5, "\x8b\x05\xff\xff\xff\x7f");
    ck_assert_int_eq(i.flags & (INSN_EA_SLOW | INSN_EA_RIP), INSN_EA_SLOW | INSN_EA_RIP);
    cpu.reg[REG_BLOCK_RIP] = 0x1000;
    ck_assert_uint_eq(insn_ea_offset(&cpu, &i), UINT64_C(0x1000) + 5 + 6 + INT32_MAX);
}
END_TEST

START_TEST(narrow_addresses_are_slow)
{
    struct insn i = BIND(64, 0, "\x67\x8b\x03"); /* mov eax, [ebx] */

    ck_assert_int_eq(i.flags & (INSN_EA_SLOW | INSN_EA_ADDR32), INSN_EA_SLOW | INSN_EA_ADDR32);
    cpu.reg[X86_RBX] = UINT64_C(0x123456789a);
    ck_assert_uint_eq(insn_ea_offset(&cpu, &i), 0x3456789a);
    i = BIND(32, 0, "\x8b\x03");
    ck_assert_int_eq(i.flags & (INSN_EA_SLOW | INSN_EA_ADDR32), INSN_EA_SLOW | INSN_EA_ADDR32);
    i = BIND(16, 0, "\x8b\x40\xff"); /* mov ax, [bx + si - 1] */
    ck_assert_int_eq(i.flags & (INSN_EA_SLOW | INSN_EA_ADDR16), INSN_EA_SLOW | INSN_EA_ADDR16);
    cpu.reg[X86_RBX] = 0x12348000;
    cpu.reg[X86_RSI] = 0x8000;
    ck_assert_uint_eq(insn_ea_offset(&cpu, &i), 0xffff);
}
END_TEST

START_TEST(moffs64_is_kept_whole)
{
    struct insn i = BIND(64, 0, "\xa1\x88\x77\x66\x55\x44\x33\x22\x11");

    ck_assert_int_eq(i.flags & INSN_EA_SLOW, INSN_EA_SLOW);
    ck_assert_uint_eq(insn_ea_offset(&cpu, &i), UINT64_C(0x1122334455667788));
    i = BIND(32, 0, "\xa1\x88\x77\x66\xf5");
    ck_assert_uint_eq(insn_ea_offset(&cpu, &i), 0xf5667788);
}
END_TEST

START_TEST(byte_registers_are_offsets)
{
    struct insn i = BIND(64, 0, "\x88\xe1"); /* mov cl, ah */

    ck_assert_int_eq(i.rm, X86_RCX * 8);
    ck_assert_int_eq(i.reg, 1);
    i = BIND(64, 0, "\x40\x88\xe1"); /* mov cl, spl */
    ck_assert_int_eq(i.reg, X86_RSP * 8);
}
END_TEST

START_TEST(stack_segment_is_marked)
{
    ck_assert(BIND(64, 0, "\x8b\x04\x24").flags & INSN_EA_STACK);       /* [rsp] */
    ck_assert(BIND(64, 0, "\x8b\x45\x00").flags & INSN_EA_STACK);       /* [rbp] */
    ck_assert(!(BIND(64, 0, "\x8b\x03").flags & INSN_EA_STACK));        /* [rbx] */
    ck_assert(!(BIND(32, 0, "\x3e\x8b\x45\x00").flags & INSN_EA_STACK)); /* ds:[ebp] */
    ck_assert(BIND(32, 0, "\x36\x8b\x03").flags & INSN_EA_STACK);       /* ss:[ebx] */
}
END_TEST

START_TEST(not_offered_is_undefined)
{
    static const uint8_t popcnt[16] = "\xf3\x0f\xb8\xc1";
    struct insn i = BIND(64, 0, "\xf3\x0f\xb8\xc1");
    struct x86_decoded d;

    ck_assert(i.fn != insn_undefined);
    ck_assert_int_eq(x86_decode(popcnt, 4, X86_CODE_64, &d), X86_DECODE_OK);
    policy.feature[X86_FEATURE_POPCNT] = false;
    ck_assert(insn_bind(&cpu, &d, popcnt, &i));
    ck_assert(i.fn == insn_undefined);
}
END_TEST

START_TEST(branches_count_from_the_block)
{
    struct insn i = BIND(64, 7, "\x75\xf0"); /* jne -16 */

    ck_assert_int_eq((int64_t)i.imm, 7 + 2 - 16);
    ck_assert_int_eq(i.aux, 5);
}
END_TEST

/* Every integer operation of the table has a function: none is forgotten. Byte strings that stand
 * for those which the random test against the host leaves out. */
START_TEST(odd_ones_are_bound)
{
    ck_assert(BIND(32, 0, "\x37").fn != insn_undefined);         /* aaa */
    ck_assert(BIND(32, 0, "\x60").fn != insn_undefined);         /* pusha */
    ck_assert(BIND(32, 0, "\x62\x03").fn != insn_undefined);     /* bound */
    ck_assert(BIND(16, 0, "\xd6").fn != insn_undefined);         /* salc */
    ck_assert(BIND(32, 0, "\xd4\x0a").fn != insn_undefined);     /* aam */
    ck_assert(BIND(64, 0, "\x0f\xc7\xf0").fn != insn_undefined); /* rdrand */
    ck_assert(BIND(64, 0, "\x9c").fn != insn_undefined);         /* pushf */
    ck_assert(BIND(64, 0, "\xe2\xfe").fn != insn_undefined);     /* loop */
    ck_assert(BIND(64, 0, "\x0f\x0b").fn == insn_undefined);     /* ud2 */
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, plain_addresses_are_fast);
    UNIT_TEST(suite, rip_counts_from_the_block);
    UNIT_TEST(suite, narrow_addresses_are_slow);
    UNIT_TEST(suite, moffs64_is_kept_whole);
    UNIT_TEST(suite, byte_registers_are_offsets);
    UNIT_TEST(suite, stack_segment_is_marked);
    UNIT_TEST(suite, not_offered_is_undefined);
    UNIT_TEST(suite, branches_count_from_the_block);
    UNIT_TEST(suite, odd_ones_are_bound);
}

UNIT_TEST_MAIN("bind", add_tests)
