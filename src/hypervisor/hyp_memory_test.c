/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h>: creating VMs, and their memory. */
#include "hypervisor/hyp_fixture.h"

START_TEST(creation_checks_its_options)
{
    struct vz_hv_vm_options o = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct vz_hv_vm *vm = NULL;

    ck_assert_int_eq(vz_hv_vm_create(&o, NULL, &err), VZ_HV_BAD_ARGUMENT);
    o.accelerator = "abacus";
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    o.accelerator = "fake";
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_UNSUPPORTED);
    o.accelerator = "soft";
    o.flags = 4;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    o.flags = 0;
    o.vcpu_max = VZ_HV_VCPUS_MAX + 1;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    o.vcpu_max = 0;
    o.flags = VZ_HV_VM_UNPROBED;
    o.accelerator = NULL;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    o = (struct vz_hv_vm_options){.accelerator = "soft"}; /* not from _INIT */
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    ck_assert_ptr_null(vm);
    OK(vz_hv_vm_create(NULL, &vm, NULL));
    ck_assert_str_ne(vz_hv_vm_accelerator(vm), "");
    OK(vz_hv_vm_destroy(vm));
    OK(vz_hv_vm_destroy(NULL));
}
END_TEST

START_TEST(results_have_words)
{
    ck_assert_str_eq(vz_hv_result_text(VZ_HV_SUCCESS), "success");
    ck_assert_str_eq(vz_hv_result_text(VZ_HV_UNSUPPORTED), "not supported");
    ck_assert_str_eq(vz_hv_result_text(77), "unknown result");
    ck_assert_uint_eq((unsigned)VZ_HV_FAULT, 0xfae94008);
}
END_TEST

START_TEST(mapping_has_rules)
{
    struct rig r;
    uint8_t *p = new_pages(4 * PAGE);

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_int_eq(vz_hv_vm_map(NULL, p, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, NULL, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p + 1, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM + 1, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE - 1, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 0, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, UINT64_C(1) << 60, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, 0 - (uint64_t)PAGE, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE, 8), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE, VZ_HV_MEMORY_WRITE), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM - PAGE, 2 * PAGE, 7), VZ_HV_BUSY);
    munmap(p + 3 * PAGE, PAGE);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 4 * PAGE, 7), VZ_HV_FAULT);
    OK(vz_hv_vm_map(r.vm, p, RAM, 3 * PAGE, 7));
    ck_assert_int_eq(vz_hv_vm_unmap(r.vm, RAM, 4 * PAGE), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_unmap(r.vm, RAM, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_protect(r.vm, RAM, 4 * PAGE, 5), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_protect(r.vm, RAM, PAGE, 16), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vm_protect(r.vm, RAM + PAGE, PAGE, 0));
    ck_assert_int_eq(vz_hv_vm_memory_written(r.vm, RAM, 2 * PAGE), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vm_memory_written(r.vm, RAM + 2 * PAGE, 5));
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7), VZ_HV_BUSY);
    OK(vz_hv_vm_unmap(r.vm, RAM, 3 * PAGE));
    OK(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7));
    munmap(p, 3 * PAGE);
    rig_close(&r);
}
END_TEST

/* What this process may not do with its memory, no guest of it may. */
START_TEST(the_hosts_memory_must_be_usable)
{
    uint8_t *p = new_pages(3 * PAGE);
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    mprotect(p + PAGE, PAGE, PROT_READ);
    mprotect(p + 2 * PAGE, PAGE, PROT_NONE);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 3 * PAGE, 7), VZ_HV_FAULT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 2 * PAGE, 7), VZ_HV_FAULT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 3 * PAGE, 5), VZ_HV_FAULT);
    OK(vz_hv_vm_map(r.vm, p, RAM, 2 * PAGE, 5));
    ck_assert_int_eq(vz_hv_vm_protect(r.vm, RAM, 2 * PAGE, 7), VZ_HV_FAULT);
    OK(vz_hv_vm_protect(r.vm, RAM, PAGE, 7));
    PROTECTED(&r, 0xfe, 0x05, 0, 0, 4, 0, 0xa0, 0, 0x10, 4, 0, 0xf4); /* incb RAM; mov RAM + PAGE, al; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(p[0], 1);
    OK(vz_hv_vm_unmap(r.vm, RAM, 2 * PAGE));
    munmap(p, 3 * PAGE);
    rig_close(&r);
}
END_TEST

START_TEST(there_is_no_memory_where_the_librarys_controllers_are)
{
    uint8_t *p = new_pages(PAGE);

    for (unsigned chips = 0; chips < 2; chips++) {
        enum vz_hv_result expected = chips ? VZ_HV_BUSY : VZ_HV_SUCCESS;
        struct rig r;

        if (!rig_open(&r, _i, chips ? VZ_HV_VM_IRQCHIP : 0))
            break;
        ck_assert_int_eq(vz_hv_vm_map(r.vm, p, 0xfec00000, PAGE, 7), expected);
        ck_assert_int_eq(vz_hv_vm_map(r.vm, p, 0xfee00000, PAGE, 7), expected);
        OK(vz_hv_vm_map(r.vm, p, 0xfee01000, PAGE, 7));
        rig_close(&r);
    }
    munmap(p, PAGE);
}
END_TEST

START_TEST(many_vms_live_side_by_side)
{
    struct rig r[8];

    for (unsigned n = 0; n < 8; n++) {
        if (!rig_open(&r[n], _i, n % 2 ? VZ_HV_VM_IRQCHIP : 0))
            return;
        REAL(&r[n], 0xe4, 0x10, 0xe6, 0x11); /* in al, 0x10; out 0x11, al */
    }
    for (unsigned n = 0; n < 8; n++)
        expect(&r[n], VZ_HV_EXIT_PORT_READ);
    for (unsigned n = 8; n--;) {
        answer(&r[n], 0x40 + n);
        expect_access(&r[n], VZ_HV_EXIT_PORT_WRITE, 1, 0x11, 0x40 + n);
    }
    for (unsigned n = 0; n < 8; n++)
        rig_close(&r[n]);
}
END_TEST

START_TEST(memory_comes_in_so_many_pieces)
{
    struct rig r;
    uint8_t *p = new_pages(PAGE);
    unsigned n = 0;
    enum vz_hv_result last;

    if (!vm_open(&r, _i, 0))
        return;
    /* None behind another, nor behind RAM: neighbours on both sides become one piece. */
    while ((last = vz_hv_vm_map(r.vm, p, RAM + PAGE + 2 * PAGE * (uint64_t)n, PAGE, 7)) == 0 &&
           n < 600)
        n++;
    ck_assert_int_eq(last, VZ_HV_NO_RESOURCES);
    ck_assert_uint_eq(n, 511);
    OK(vz_hv_vm_unmap(r.vm, RAM + PAGE, PAGE));
    OK(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7));
    OK(vz_hv_vm_destroy(r.vm));
    munmap(p, PAGE);
    munmap(r.ram, RAM);
}
END_TEST

/* mov al, [0x2000]; mov [0x3000], al; hlt */
#define COPY_BYTE 0xa0, 0x00, 0x20, 0xa2, 0x00, 0x30, 0xf4

START_TEST(flags_decide_what_is_an_exit)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    r.ram[0x2000] = 42;
    REAL(&r, COPY_BYTE);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(r.ram[0x3000], 42);

    OK(vz_hv_vm_protect(r.vm, 0x3000, PAGE, 5));
    r.ram[0x2000] = 43;
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 1, 0x3000, 43);
    ck_assert_uint_eq(r.ram[0x3000], 42);
    expect(&r, VZ_HV_EXIT_HALT);

    OK(vz_hv_vm_protect(r.vm, 0x2000, 2 * PAGE, 0));
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 1, 0x2000, 0);
    answer(&r, 44);
    OK(vz_hv_vm_protect(r.vm, 0x3000, PAGE, 7));
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(r.ram[0x3000], 44);
    rig_close(&r);
}
END_TEST

START_TEST(the_same_memory_may_be_seen_twice)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    OK(vz_hv_vm_unmap(r.vm, 0x3000, PAGE));
    OK(vz_hv_vm_map(r.vm, r.ram + 0x2000, 0x3000, PAGE, 7));
    /* mov byte [0x3000], 0xf4 (through the alias); jmp 0x2000 */
    REAL(&r, 0xc6, 0x06, 0x00, 0x30, 0xf4, 0xe9, 0xf8, 0x0f);
    r.ram[0x2000] = 0x90;
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x2001);
    /* And code that was executed changes through the other address. */
    static const uint8_t inc[] = {0x40, 0xf4}; /* inc ax; hlt */
    memcpy(r.ram + 0x2000, inc, sizeof(inc));
    OK(vz_hv_vm_memory_written(r.vm, 0x3000, 2));
    set(r.cpu, VZ_HV_REG_RAX, 0);
    set(r.cpu, VZ_HV_REG_RIP, 0x2000);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 1);
    rig_close(&r);
}
END_TEST

START_TEST(fetches_need_memory_that_may_be_executed)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xf4);
    OK(vz_hv_vm_unmap(r.vm, 0x1000, PAGE));
    expect(&r, VZ_HV_EXIT_MEMORY);
    ck_assert_uint_eq(r.exit.address, 0x1000);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x1000, 0x1000, PAGE, 7));
    r.ram[0] = 0xcd; /* were there an exception, its handler would be this: int 0 */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    if (vz_hv_vm_protect(r.vm, 0x1000, PAGE, 3) != VZ_HV_UNSUPPORTED) {
        set(r.cpu, VZ_HV_REG_RIP, 0x1000);
        expect(&r, VZ_HV_EXIT_MEMORY);
        ck_assert_uint_eq(r.exit.address, 0x1000);
    }
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, creation_checks_its_options);
    UNIT_TEST(s, results_have_words);
    EACH(s, mapping_has_rules);
    EACH(s, the_hosts_memory_must_be_usable);
    EACH(s, there_is_no_memory_where_the_librarys_controllers_are);
    EACH(s, many_vms_live_side_by_side);
    EACH(s, memory_comes_in_so_many_pieces);
    EACH(s, flags_decide_what_is_an_exit);
    EACH(s, the_same_memory_may_be_seen_twice);
    EACH(s, fetches_need_memory_that_may_be_executed);
}

UNIT_TEST_MAIN("hypervisor/hyp_memory", add_tests)
