/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h>: interrupts, NMIs and exceptions. */
#include "hypervisor/hyp_fixture.h"

/* Handler of vector n at 0x4000 + 16 n: out n, al; iret. */
static void real_vectors(struct rig *r, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        const uint8_t code[] = {0xe6, (uint8_t)n, 0xcf};
        uint16_t entry[2] = {(uint16_t)(0x4000 + 16 * n), 0};

        memcpy(r->ram + 0x4000 + 16 * n, code, sizeof(code));
        memcpy(r->ram + 4 * n, entry, sizeof(entry));
    }
}

START_TEST(interrupts_wait_for_if)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0x20, 0x22);
    REAL(&r, 0x90, 0xf4, 0xfb, 0x90, 0x90, 0xf4); /* nop; hlt; sti; nop; nop; hlt */
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x20));
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21), VZ_HV_BUSY);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1002);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x20, get(r.cpu, VZ_HV_REG_RAX) & 0xff);
    /* Behind the instruction after STI; a KVM that is no hardware may be late. */
    ck_assert_uint_ge(*(uint16_t *)(void *)(r.ram + 0x7ffa), 0x1004);
    ck_assert(_i > 0 || *(uint16_t *)(void *)(r.ram + 0x7ffa) == 0x1004);
    if (*(uint16_t *)(void *)(r.ram + 0x7ffa) < 0x1006)
        expect(&r, VZ_HV_EXIT_HALT);
    else
        set(r.cpu, VZ_HV_REG_RFLAGS, 0x202);
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21));
    OK(vz_hv_vcpu_withdraw_interrupt(r.cpu));
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21));
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x21, get(r.cpu, VZ_HV_REG_RAX) & 0xff);
    rig_close(&r);
}
END_TEST

START_TEST(windows_open_when_an_interrupt_fits)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* nop; sti; nop; jmp $; hlt */
    REAL(&r, 0x90, 0xfb, 0x90, 0xeb, 0xfe, 0xf4);
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, true));
    expect(&r, VZ_HV_EXIT_INTERRUPT_WINDOW);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1003);
    set(r.cpu, VZ_HV_REG_RIP, 0x1005);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, true));
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, false));
    set(r.cpu, VZ_HV_REG_RIP, 0x1005);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(nmis_and_exceptions_are_delivered)
{
    struct rig r;
    struct vz_hv_events e;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0, 32);
    REAL(&r, 0x90, 0xf4);
    OK(vz_hv_vcpu_inject_nmi(r.cpu));
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(e.nmi_pending);
    expect(&r, VZ_HV_EXIT_PORT_WRITE);
    ck_assert_uint_eq(r.exit.address, 2);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(e.nmi_blocked && !e.nmi_pending);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(!e.nmi_blocked);

    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    OK(vz_hv_vcpu_inject_exception(r.cpu, 6, false, 0));
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 6, false, 0), VZ_HV_BUSY);
    expect(&r, VZ_HV_EXIT_PORT_WRITE);
    ck_assert_uint_eq(r.exit.address, 6);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

/* How many NMIs the guest takes from now on, until none waits. A KVM that is no hardware may be late, and let it
 * halt first. */
static unsigned handled_nmis(struct rig *r)
{
    struct vz_hv_events e;
    unsigned count = 0;

    do {
        OK(vz_hv_vcpu_run(r->cpu, &r->exit));
        if (r->exit.reason == VZ_HV_EXIT_PORT_WRITE) {
            count++;
            continue;
        }
        ck_assert_int_eq(r->exit.reason, VZ_HV_EXIT_HALT);
        set(r->cpu, VZ_HV_REG_RIP, 0x1000);
        OK(vz_hv_vcpu_get_events(r->cpu, &e));
    } while (count < 10 && (r->exit.reason != VZ_HV_EXIT_HALT || e.nmi_pending));
    return count;
}

/* Two together are two, three are two, and those that come in the handler are one. */
START_TEST(two_nmis_are_kept_and_one_while_one_is_handled)
{
    static const unsigned injected[] = {1, 2, 3}, handled[] = {1, 2, 2};
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0, 32);
    REAL(&r, 0x90, 0xf4);
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned k = 0; k < injected[n]; k++)
            OK(vz_hv_vcpu_inject_nmi(r.cpu));
        ck_assert_uint_eq(handled_nmis(&r), handled[n]);
    }
    OK(vz_hv_vcpu_inject_nmi(r.cpu));
    expect(&r, VZ_HV_EXIT_PORT_WRITE);
    OK(vz_hv_vcpu_inject_nmi(r.cpu));
    OK(vz_hv_vcpu_inject_nmi(r.cpu));
    ck_assert_uint_eq(handled_nmis(&r), 1);
    rig_close(&r);
}
END_TEST

static bool pushes_error(unsigned vector)
{
    return (0x60227d00u >> vector) & 1; /* 8, 10 to 14, 17, 21, 29, 30 */
}

/* In real mode, where none pushes an error code whatever it does elsewhere. (31, which nothing
 * raises, is one too many for the AMD-V that QEMU emulates.) */
START_TEST(every_exception_can_be_raised)
{
    struct rig r;
    uint16_t ip;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0, 32);
    for (unsigned vector = 0; vector < 31; vector++) {
        if (vector >= 2 && vector <= 4) {
            ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, vector, false, 0), VZ_HV_BAD_ARGUMENT);
            continue;
        }
        REAL(&r, 0x90, 0xf4);
        ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, vector, !pushes_error(vector), 0),
                         pushes_error(vector) ? VZ_HV_SUCCESS : VZ_HV_BAD_ARGUMENT);
        if (!pushes_error(vector))
            OK(vz_hv_vcpu_inject_exception(r.cpu, vector, false, 0));
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        ck_assert_msg(r.exit.reason == VZ_HV_EXIT_PORT_WRITE && r.exit.address == vector,
                      "vector %u: exit %d: %s", vector, r.exit.reason, r.exit.text);
        memcpy(&ip, r.ram + get(r.cpu, VZ_HV_REG_RSP), 2);
        ck_assert_msg(ip == 0x1000, "vector %u: ip %x", vector, ip);
        expect(&r, VZ_HV_EXIT_HALT);
    }
    rig_close(&r);
}
END_TEST

START_TEST(a_triple_fault_is_the_end)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    PROTECTED(&r, 0x0f, 0x0b); /* ud2, without an IDT */
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, 0, 0));
    expect(&r, VZ_HV_EXIT_SHUTDOWN);
    ck_assert_str_ne(r.exit.text, "");
    expect(&r, VZ_HV_EXIT_SHUTDOWN);
    OK(vz_hv_vcpu_reset(r.cpu));
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
    REAL(&r, 0xf4);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(with_controllers_the_library_interrupts)
{
    struct rig r;

    if (!rig_open(&r, _i, VZ_HV_VM_IRQCHIP))
        return;
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 0x30), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_request_interrupt_window(r.cpu, true), VZ_HV_UNSUPPORTED);
    real_vectors(&r, 0x20, 0x30);
    /* mov al,11h; out 20h,al; mov al,20h; out 21h,al; mov al,4; out 21h,al; mov al,1; out 21h,al;
     * mov al,efh; out 21h,al; out 80h,al; sti; hlt; out 81h,al: 8259 at vector 20h, only IRQ 4 */
    REAL(&r, 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01,
         0xe6, 0x21, 0xb0, 0xef, 0xe6, 0x21, 0xe6, 0x80, 0xfb, 0xf4, 0xe6, 0x81);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x80, 0xef);
    OK(vz_hv_vm_set_irq(r.vm, 4, true));
    OK(vz_hv_vm_set_irq(r.vm, 4, false));
    OK(vz_hv_vm_send_msi(r.vm, 0xfee00000, 0x31)); /* the APIC is off: nothing */
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x24, 0xef);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x81, 0xef);
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    EACH(s, interrupts_wait_for_if);
    EACH(s, windows_open_when_an_interrupt_fits);
    EACH(s, nmis_and_exceptions_are_delivered);
    EACH(s, two_nmis_are_kept_and_one_while_one_is_handled);
    EACH(s, every_exception_can_be_raised);
    EACH(s, a_triple_fault_is_the_end);
    EACH(s, with_controllers_the_library_interrupts);
}

UNIT_TEST_MAIN("hypervisor/hyp_events", add_tests)
