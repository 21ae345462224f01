/* SPDX-License-Identifier: MIT */
/* KVM's System Management Mode by the contract, beside the software CPU's: both run each test. Skipped where /dev/kvm
 * does not open or has no such mode. */
#include "hv/kvm/kvm_fixture.h"

#include "hv/hv_x86.h"

#define PROGRAM(name, text)                                                                        \
    __asm__(".pushsection .rodata\n.code16\n" #name "_begin:\n" text #name                         \
            "_end:\n.code64\n.popsection\n");                                                      \
    extern const uint8_t name##_begin[], name##_end[]

#define DONE "mov $0x3ff, %dx\n out %al, %dx\n 9: cli\n hlt\n jmp 9b\n"
#define SMI  "mov $0x3fe, %dx\n out %al, %dx\n nop\n"
#define LOOK /* at the first MiB's end, and where nothing is */                                    \
    "mov $0xffff, %bx\n mov %bx, %es\n movb %es:0x10, %al\n mov $0x300, %dx\n out %al, %dx\n"      \
    "mov $0xa000, %bx\n mov %bx, %es\n movb %es:0x0, %al\n"
#define HANDLER (X86_SMBASE_RESET + 0x8000u)

static const struct hv_ops *const backends[] = {&hv_kvm_ops, &hv_soft_ops};

/* The CPU at the program, and the handler where an SMI leads to. */
static void begin(struct fx *f, const struct hv_ops *hv, const uint8_t *program, const uint8_t *program_end,
                  const uint8_t *handler, const uint8_t *handler_end)
{
    fx_init_smm(f, hv, NULL, 1, true);
    ck_assert_int_eq(mem_write(f->mem, HANDLER, handler, (uint64_t)(handler_end - handler)), 0);
    fx_real_mode(f, program, program_end);
}

#define BEGIN(f, hv, program, handler) begin(f, hv, program##_begin, program##_end, handler##_begin, handler##_end)

PROGRAM(calls, "mov $0x1122, %cx\n" SMI "mov %cl, %al\n mov $0x300, %dx\n out %al, %dx\n" SMI DONE);
PROGRAM(answers, "mov $0x301, %dx\n mov $0x99, %al\n mov %ax, %cx\n out %al, %dx\n rsm\n");

START_TEST(an_smi_leads_into_the_mode_and_back)
{
    struct x86_cpu_state s;
    struct fx f;

    BEGIN(&f, backends[_i], calls, answers);
    fx_run(&f);
    fx_expect(&f, 0, false, true, 0x301, 1, 0x99);
    fx_expect(&f, 1, false, true, 0x300, 1, 0x22); /* and nothing has changed meanwhile */
    fx_expect(&f, 2, false, true, 0x301, 1, 0x99);
    ck_assert_uint_eq(f.count, 3);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert(!s.smm && !s.smi_pending && s.smbase == X86_SMBASE_RESET);
    fx_fini(&f);
}
END_TEST

PROGRAM(looks, LOOK SMI LOOK DONE);
PROGRAM(looks_inside, LOOK "rsm\n");

START_TEST(hidden_memory_is_seen_in_the_mode_only)
{
    struct fx f;

    BEGIN(&f, backends[_i], looks, looks_inside);
    ck_assert_int_eq(mem_write(f.mem, MIB, "\x42", 1), 0);
    mem_hide(f.mem, MIB, MIB);
    f.hv->hidden(f.vm);
    fx_run(&f);
    fx_expect(&f, 0, true, false, MIB, 1, 1);
    fx_expect(&f, 1, false, true, 0x300, 1, 1);
    fx_expect(&f, 2, true, false, 0xa0000, 1, 2);
    fx_expect(&f, 3, false, true, 0x300, 1, 0x42);
    fx_expect(&f, 4, true, false, 0xa0000 | HV_GPA_SMM, 1, 3);
    fx_expect(&f, 5, true, false, MIB, 1, 4);
    mem_hide(f.mem, 0, 0);
    f.hv->hidden(f.vm);
    fx_real_mode(&f, looks_begin, looks_end);
    f.count = 0;
    fx_run(&f);
    fx_expect(&f, 0, false, true, 0x300, 1, 0x42);
    fx_fini(&f);
}
END_TEST

PROGRAM(calls_once, SMI "mov $0x300, %dx\n mov $0x77, %al\n out %al, %dx\n" DONE);
PROGRAM(stops, "mov $0x3ff, %dx\n out %al, %dx\n nop\n rsm\n");

/* What is between SMI and RSM when it is saved goes on elsewhere, on the other backend, too. */
START_TEST(a_state_in_the_mode_goes_on)
{
    struct x86_cpu_state s;
    struct fx f, g;

    BEGIN(&f, backends[_i / 2], calls_once, stops);
    fx_run(&f);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert(s.smm && s.smbase == X86_SMBASE_RESET);
    fx_init_smm(&g, backends[_i % 2], f.mem, 1, true);
    ck_assert_int_eq(hv_x86_set(g.hv, g.cpu[0], &s), 0);
    fx_run(&g);
    fx_expect(&g, 0, false, true, 0x300, 1, 0x77);
    ck_assert_int_eq(hv_x86_get(g.hv, g.cpu[0], &s), 0);
    ck_assert(!s.smm);
    fx_fini(&g);
    fx_fini(&f);
}
END_TEST

START_TEST(an_init_waits_for_the_modes_end_in_the_state_too)
{
    struct x86_cpu_state s;
    struct fx f, g;

    BEGIN(&f, backends[_i / 2], calls_once, stops);
    fx_run(&f);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert(s.smm && !s.init_pending);
    s.init_pending = true;
    ck_assert_int_eq(hv_x86_set(f.hv, f.cpu[0], &s), 0);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert(s.init_pending);
    fx_init_smm(&g, backends[_i % 2], f.mem, 1, true);
    ck_assert_int_eq(hv_x86_set(g.hv, g.cpu[0], &s), 0);
    ck_assert_int_eq(hv_x86_get(g.hv, g.cpu[0], &s), 0);
    ck_assert(s.smm && s.init_pending);
    fx_fini(&g);
    fx_fini(&f);
}
END_TEST

START_TEST(a_machine_without_the_mode_refuses_its_states)
{
    struct x86_cpu_state s;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    s.smm = true;
    ck_assert_int_eq(hv_x86_set(f.hv, f.cpu[0], &s), -EINVAL);
    fx_fini(&f);
}
END_TEST

#define ON_EACH(suite, fn, count)                                                                  \
    do {                                                                                           \
        TCase *case_ = tcase_create(#fn);                                                          \
        tcase_set_timeout(case_, 60);                                                              \
        tcase_add_loop_test(case_, fn, 0, count);                                                  \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

static void add_tests(Suite *s)
{
    ON_EACH(s, an_smi_leads_into_the_mode_and_back, 2);
    ON_EACH(s, hidden_memory_is_seen_in_the_mode_only, 2);
    ON_EACH(s, a_state_in_the_mode_goes_on, 4);
    ON_EACH(s, an_init_waits_for_the_modes_end_in_the_state_too, 4);
    UNIT_TEST(s, a_machine_without_the_mode_refuses_its_states);
}

static const char *no_mode(void)
{
    const char *why = fx_no_kvm();
    int sys, vm, spaces;

    if (why || kvm_open_vm(&sys, &vm, NULL) < 0)
        return why ? why : "/dev/kvm does not open";
    spaces = kvm_has(vm, KVM_CAP_X86_SMM) ? kvm_has(vm, KVM_CAP_MULTI_ADDRESS_SPACE) : 0;
    close(vm);
    close(sys);
    return spaces < 2 ? "this host's KVM has no System Management Mode" : NULL;
}

UNIT_TEST_MAIN_UNLESS("kvm_smm", add_tests, no_mode())
