/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h>: registers. */
#include "hypervisor/hyp_fixture.h"

START_TEST(registers_keep_what_is_set)
{
    struct rig r;
    struct vz_hv_segment s;
    uint64_t base, value;
    uint16_t limit;
    static const uint32_t msrs[] = {0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083,
                                    0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102};
    static uint8_t area[VZ_HV_XSAVE_SIZE];

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
    REAL(&r, 0xf4);
    for (int n = VZ_HV_REG_RAX; n <= VZ_HV_REG_R15; n++)
        set(r.cpu, n, 0x1000 + (uint64_t)n);
    for (unsigned n = 0; n < 10; n++)
        OK(vz_hv_vcpu_set_msr(r.cpu, msrs[n], 0x100 + n));
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_GDTR, 0x5000, 0x27));
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, 0x6000, 0x3ff));
    OK(vz_hv_vcpu_get_xsave(r.cpu, area, sizeof(area)));
    area[512] |= 3;
    area[160] = 0xab; /* XMM0 */
    OK(vz_hv_vcpu_set_xsave(r.cpu, area, sizeof(area)));
    expect(&r, VZ_HV_EXIT_HALT);
    for (int n = VZ_HV_REG_RAX; n <= VZ_HV_REG_R15; n++)
        ck_assert_uint_eq(get(r.cpu, n), 0x1000 + (uint64_t)n);
    for (unsigned n = 0; n < 10; n++) {
        OK(vz_hv_vcpu_get_msr(r.cpu, msrs[n], &value));
        ck_assert_uint_eq(value, 0x100 + n);
    }
    OK(vz_hv_vcpu_get_table(r.cpu, VZ_HV_IDTR, &base, &limit));
    ck_assert_uint_eq(base, 0x6000);
    ck_assert_uint_eq(limit, 0x3ff);
    OK(vz_hv_vcpu_get_segment(r.cpu, VZ_HV_FS, &s));
    ck_assert_uint_eq(s.base, 0x107);
    memset(area, 0, sizeof(area));
    OK(vz_hv_vcpu_get_xsave(r.cpu, area, 576));
    ck_assert_uint_eq(area[160], 0xab);
    rig_close(&r);
}
END_TEST

START_TEST(registers_have_rules)
{
    struct rig r;
    uint64_t value;
    uint16_t limit;
    struct vz_hv_segment s = {0};
    struct vz_hv_events e;
    uint8_t area[600] = {0};

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_int_eq(vz_hv_vcpu_get_reg(NULL, VZ_HV_REG_RAX, &value), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r.cpu, VZ_HV_REG_COUNT, &value), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r.cpu, VZ_HV_REG_RAX, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_reg(r.cpu, VZ_HV_REG_COUNT, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_reg(r.cpu, VZ_HV_REG_CR8, 16), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_segment(r.cpu, 8, &s), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_segment(r.cpu, 8, &s), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_table(r.cpu, 2, &value, &limit), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_table(r.cpu, VZ_HV_GDTR, &value, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_table(r.cpu, 2, 0, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_msr(r.cpu, 0x12345, &value), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_set_msr(r.cpu, 0x12345, 0), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_get_xsave(r.cpu, area, 575), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_xsave(r.cpu, area, 5000), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 2, false, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 32, false, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 256), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    e.halted = true;
    ck_assert_int_eq(vz_hv_vcpu_set_events(r.cpu, &e), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_set_irq(r.vm, 1, true), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_set_irq(r.vm, 24, true), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_send_msi(r.vm, 0xfee00000, 0x40), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_cancel(NULL), VZ_HV_BAD_ARGUMENT);
    rig_close(&r);
}
END_TEST

START_TEST(impossible_states_do_not_run)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xf4);
    set(r.cpu, VZ_HV_REG_CR0, 0x80000010); /* paging without protection */
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, &r.exit), VZ_HV_ILLEGAL_GUEST_STATE);
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, &r.exit), VZ_HV_ILLEGAL_GUEST_STATE);
    set(r.cpu, VZ_HV_REG_CR0, 0x10);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

static void refused(struct rig *r)
{
    ck_assert_int_eq(vz_hv_vcpu_run(r->cpu, &r->exit), VZ_HV_ILLEGAL_GUEST_STATE);
}

/* The same on every accelerator, and each can be mended. */
START_TEST(what_no_cpu_can_hold_is_refused)
{
    static const struct {
        enum vz_hv_reg reg;
        uint64_t bad;
    } regs[] = {{VZ_HV_REG_RFLAGS, 0}, {VZ_HV_REG_RFLAGS, 0x8002}, {VZ_HV_REG_CR0, 0x20000010},
                {VZ_HV_REG_CR0, UINT64_C(1) << 40}, {VZ_HV_REG_CR3, UINT64_C(1) << 60},
                {VZ_HV_REG_CR4, 1}, {VZ_HV_REG_XCR0, 0}, {VZ_HV_REG_XCR0, 5},
                {VZ_HV_REG_DR6, UINT64_C(1) << 33}, {VZ_HV_REG_DR7, UINT64_C(1) << 33}};
    static const struct {
        uint32_t msr;
        uint64_t bad;
    } msrs[] = {{0x1b, ~UINT64_C(0)}, {0x277, 2}, {0x2ff, 2}, {0x250, 2}, {0xc0000080, 0x4000},
                {0xc0000082, UINT64_C(1) << 47}, {0xc0000084, UINT64_C(1) << 32},
                {0xc0000102, UINT64_C(1) << 63}, {0xc0000103, UINT64_C(1) << 32}};
    struct vz_hv_segment good, bad;
    struct rig r;
    uint64_t before;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xf4, 0xeb, 0xfd); /* again: hlt; jmp again */
    for (unsigned n = 0; n < sizeof(regs) / sizeof(regs[0]); n++) {
        before = get(r.cpu, regs[n].reg);
        set(r.cpu, regs[n].reg, regs[n].bad);
        refused(&r);
        set(r.cpu, regs[n].reg, before);
        expect(&r, VZ_HV_EXIT_HALT);
    }
    for (unsigned n = 0; n < sizeof(msrs) / sizeof(msrs[0]); n++) {
        OK(vz_hv_vcpu_get_msr(r.cpu, msrs[n].msr, &before));
        OK(vz_hv_vcpu_set_msr(r.cpu, msrs[n].msr, msrs[n].bad));
        refused(&r);
        OK(vz_hv_vcpu_set_msr(r.cpu, msrs[n].msr, before));
        expect(&r, VZ_HV_EXIT_HALT);
    }
    OK(vz_hv_vcpu_get_segment(r.cpu, VZ_HV_GS, &good));
    bad = good;
    bad.base = UINT64_C(1) << 50;
    OK(vz_hv_vcpu_set_segment(r.cpu, VZ_HV_GS, &bad));
    refused(&r);
    OK(vz_hv_vcpu_set_segment(r.cpu, VZ_HV_GS, &good));
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, UINT64_C(1) << 50, 0xfff));
    refused(&r);
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, 0, 0xfff));
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(three_modes_compute)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xb8, 0x34, 0x12, 0xf7, 0xd0, 0xf4); /* mov ax, 0x1234; not ax; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xffff, 0xedcb);
    PROTECTED(&r, 0xb8, 1, 0, 0, 0, 0xc1, 0xe0, 31, 0xf4); /* mov eax, 1; shl eax, 31; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x80000000);
    OK(vz_hv_vcpu_reset(r.cpu));
    LONG(&r, 0xb8, 1, 0, 0, 0, 0x48, 0xc1, 0xe0, 63, 0xf4); /* mov eax, 1; shl rax, 63; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), UINT64_C(1) << 63);
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    EACH(s, registers_keep_what_is_set);
    EACH(s, registers_have_rules);
    EACH(s, impossible_states_do_not_run);
    EACH(s, what_no_cpu_can_hold_is_refused);
    EACH(s, three_modes_compute);
}

UNIT_TEST_MAIN("hypervisor/hyp_regs", add_tests)
