/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h>: accesses that become exits. */
#include "hypervisor/hyp_fixture.h"

START_TEST(ports_are_exits)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* in al, 0x10; out 0x11, al; mov dx, 0x1234; in eax, dx; out dx, ax; hlt */
    REAL(&r, 0xe4, 0x10, 0xe6, 0x11, 0xba, 0x34, 0x12, 0x66, 0xed, 0xef, 0xf4);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 1, 0x10, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    answer(&r, 0xffffff5a);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x11, 0x5a);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1004);
    ck_assert_int_eq(vz_hv_vcpu_answer(r.cpu, 0), VZ_HV_BAD_ARGUMENT);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 4, 0x1234, 0);
    answer(&r, 0x89abcdef);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 2, 0x1234, 0xcdef);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x89abcdef);
    rig_close(&r);
}
END_TEST

START_TEST(unanswered_reads_give_all_ones)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xe5, 0x10, 0xf4); /* in ax, 0x10; hlt */
    memset(&r.exit, 0xff, sizeof(r.exit));
    expect(&r, VZ_HV_EXIT_PORT_READ);
    ck_assert(!r.exit.text[0] && !r.exit.value); /* all of it is filled in */
    for (unsigned n = 0; n < sizeof(r.exit.reserved) / sizeof(r.exit.reserved[0]); n++)
        ck_assert_uint_eq(r.exit.reserved[n], 0);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xffff, 0xffff);
    rig_close(&r);
}
END_TEST

START_TEST(string_io_is_an_exit_per_element)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x2000, "abc", 3);
    /* mov si, 0x2000; mov cx, 3; mov dx, 0x3f8; rep outsb; mov di, 0x2800; mov cl, 2; rep insw; hlt */
    REAL(&r, 0xbe, 0, 0x20, 0xb9, 3, 0, 0xba, 0xf8, 3, 0xf3, 0x6e, 0xbf, 0, 0x28, 0xb1, 2, 0xf3,
         0x6d, 0xf4);
    for (unsigned n = 0; n < 3; n++) {
        expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x3f8, (uint64_t)'a' + n);
    }
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 2, 0x3f8, 0);
    answer(&r, 0x1111);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 2, 0x3f8, 0);
    answer(&r, 0x2222);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_int_eq(memcmp(r.ram + 0x2800, "\x11\x11\x22\x22", 4), 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX) & 0xffff, 0);
    rig_close(&r);
}
END_TEST

#define MMIO 0x10000000u

START_TEST(mmio_of_every_size)
{
    struct rig r;
    static const uint64_t values[] = {0x88, 0x9999, 0xaaaaaaaa, 0xbbbbbbbbcccccccc};

    if (!rig_open(&r, _i, 0))
        return;
    /* mov al,[rbx]; mov [rbx+16],al; the same with ax, eax, rax; hlt */
    LONG(&r, 0x8a, 0x03, 0x88, 0x43, 0x10, 0x66, 0x8b, 0x03, 0x66, 0x89, 0x43, 0x10, 0x8b, 0x03,
         0x89, 0x43, 0x10, 0x48, 0x8b, 0x03, 0x48, 0x89, 0x43, 0x10, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, MMIO);
    for (unsigned n = 0; n < 4; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 1u << n, MMIO, 0);
        answer(&r, values[n]);
        expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 1u << n, MMIO + 16, values[n]);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), values[3]);
    rig_close(&r);
}
END_TEST

START_TEST(instructions_with_several_accesses)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* add [ebx], eax; push dword [ebx+4]; pop dword [ebx+8]; xchg [ebx], ecx; hlt */
    PROTECTED(&r, 0x01, 0x03, 0xff, 0x73, 0x04, 0x8f, 0x43, 0x08, 0x87, 0x0b, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, MMIO);
    set(r.cpu, VZ_HV_REG_RAX, 5);
    set(r.cpu, VZ_HV_REG_RCX, 77);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    answer(&r, 0xfffffffe);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 3);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1002);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RFLAGS) & 1, 1);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    answer(&r, 0x600d);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO + 8, 0x600d);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO, 0);
    answer(&r, 99);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 77);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 99);
    rig_close(&r);
}
END_TEST

START_TEST(string_moves_to_and_from_mmio)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x2000, "12345678", 8);
    /* mov ecx, 2; rep movsd; hlt */
    PROTECTED(&r, 0xb9, 2, 0, 0, 0, 0xf3, 0xa5, 0xf4);
    set(r.cpu, VZ_HV_REG_RSI, 0x2000);
    set(r.cpu, VZ_HV_REG_RDI, MMIO);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 0x34333231);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO + 4, 0x38373635);
    expect(&r, VZ_HV_EXIT_HALT);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    set(r.cpu, VZ_HV_REG_RSI, MMIO);
    set(r.cpu, VZ_HV_REG_RDI, 0x2800);
    for (unsigned n = 0; n < 2; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4 * n, 0);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 2 - n);
        answer(&r, 0x41414141 + n);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_int_eq(memcmp(r.ram + 0x2800, "AAAABAAA", 8), 0);
    rig_close(&r);
}
END_TEST

START_TEST(an_access_half_in_memory)
{
    struct rig r;
    uint32_t seen = 0;

    if (!rig_open(&r, _i, 0))
        return;
    PROTECTED(&r, 0x8b, 0x03, 0x89, 0x03, 0xf4); /* mov eax, [ebx]; mov [ebx], eax; hlt */
    memcpy(r.ram + RAM - 2, "\x11\x22", 2);
    set(r.cpu, VZ_HV_REG_RBX, RAM - 2);
    for (;;) {
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        if (r.exit.reason == VZ_HV_EXIT_HALT)
            break;
        ck_assert_uint_ge(r.exit.address, RAM);
        ck_assert_uint_lt(r.exit.address, RAM + 2);
        if (r.exit.reason == VZ_HV_EXIT_MMIO_READ)
            answer(&r, r.exit.size == 2 ? 0x4433 : 0x33 + 0x11 * (r.exit.address - RAM));
        else
            seen |= (uint32_t)r.exit.value << 8 * (r.exit.address - RAM);
    }
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x44332211);
    ck_assert_uint_eq(seen, 0x4433);
    rig_close(&r);
}
END_TEST

/* A loop long enough to be translated: accesses in the middle of hot code, none lost or twice. */
START_TEST(hot_loops_reach_mmio)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* again: inc rcx; mov [rbx], ecx; mov [rdi], ecx; mov eax, [rdi+4]; add rdx, rax;
     * cmp ecx, 300; jb again; hlt */
    LONG(&r, 0x48, 0xff, 0xc1, 0x89, 0x0b, 0x89, 0x0f, 0x8b, 0x47, 0x04, 0x48, 0x01, 0xc2, 0x81,
         0xf9, 0x2c, 0x01, 0, 0, 0x72, 0xeb, 0xf4);
    set(r.cpu, VZ_HV_REG_RCX, 0);
    set(r.cpu, VZ_HV_REG_RDX, 0);
    set(r.cpu, VZ_HV_REG_RBX, 0x6000);
    set(r.cpu, VZ_HV_REG_RDI, MMIO);
    for (uint32_t n = 1; n <= 300; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, n);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1007);
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4, 0);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1007);
        ck_assert_uint_eq(*(uint32_t *)(void *)(r.ram + 0x6000), n);
        answer(&r, n);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RDX), 45150);
    rig_close(&r);
}
END_TEST

START_TEST(registers_set_in_an_exit_win)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* in al, 0x10; nop; hlt */
    REAL(&r, 0xe4, 0x10, 0x90, 0xf4);
    expect(&r, VZ_HV_EXIT_PORT_READ);
    answer(&r, 1);
    set(r.cpu, VZ_HV_REG_RBX, 0xb0b);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RBX), 0xb0b);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xff, 1);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RBX), 0xb0b);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect(&r, VZ_HV_EXIT_PORT_READ);
    answer(&r, 2);
    set(r.cpu, VZ_HV_REG_RAX, 0x77);
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x77);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1004);
    rig_close(&r);
}
END_TEST

START_TEST(memory_may_change_in_an_exit)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* mov eax, [ebx]; mov ecx, [ebx]; mov edx, [ebx]; hlt */
    PROTECTED(&r, 0x8b, 0x03, 0x8b, 0x0b, 0x8b, 0x13, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, 0x5000);
    memset(r.ram + 0x5000, 0x33, 4);
    OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, 0x5000, 0);
    answer(&r, 1);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x5000, 0x5000, PAGE, 7));
    OK(vz_hv_vm_unmap(r.vm, 0x1000, PAGE)); /* its own code goes, and comes back elsewhere */
    memcpy(r.ram + 0x9000, r.ram + 0x1000, PAGE);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x9000, 0x1000, PAGE, 7));
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 1);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 0x33333333);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RDX), 0x33333333);
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    EACH(s, ports_are_exits);
    EACH(s, unanswered_reads_give_all_ones);
    EACH(s, string_io_is_an_exit_per_element);
    EACH(s, mmio_of_every_size);
    EACH(s, instructions_with_several_accesses);
    EACH(s, string_moves_to_and_from_mmio);
    EACH(s, an_access_half_in_memory);
    EACH(s, hot_loops_reach_mmio);
    EACH(s, registers_set_in_an_exit_win);
    EACH(s, memory_may_change_in_an_exit);
}

UNIT_TEST_MAIN("hypervisor/hyp_access", add_tests)
