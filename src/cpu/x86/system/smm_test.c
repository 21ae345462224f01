/* SPDX-License-Identifier: MIT */
/* System Management Mode: in and out, what is saved, and the memory that only it sees. */
#include <errno.h>

#include "cpu/x86/long_rig.h"
#include "cpu/x86/system/smm.h"

#define PROGRAM 0x100000u
#define MARK    0x100u
#define HIDDEN  0x400000u
#define HIDDEN_LEN 0x100000u

/* mov rbx, 1122334455667788h; hlt; inc rcx; hlt */
static const uint8_t program[] = {0x48, 0xbb, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                                  0xf4, 0x48, 0xff, 0xc1, 0xf4};
/* 16 bits: mov ebx, 5; inc word [100h]; rsm */
static const uint8_t handler[] = {0x66, 0xbb, 5, 0, 0, 0, 0xff, 0x06, 0x00, 0x01, 0x0f, 0xaa};
/* mov dword [imm32], imm32; rsm */
#define STORE_AND_LEAVE(to, value)                                                                 \
    {0x67, 0x66, 0xc7, 0x05, (to) & 0xff, (to) >> 8 & 0xff, (to) >> 16 & 0xff, (to) >> 24,         \
     (value) & 0xff, (value) >> 8 & 0xff, (value) >> 16 & 0xff, (value) >> 24, 0x0f, 0xaa}

static const char *const words[] = {"off", "on"};

static void put(struct rig *m, gpa_t at, const void *bytes, size_t len)
{
    ck_assert_int_eq(mem_write(m->mem, at, bytes, len), 0);
}

static void create(struct rig *m, unsigned which, const uint8_t *code, size_t len)
{
    rig_create(m, words[which], 1, PROGRAM, program, sizeof(program));
    m->vm->smm = true;
    put(m, X86_SMBASE_RESET + 0x8000, code, len);
}

static unsigned mark(struct rig *m)
{
    uint16_t v;

    ck_assert_int_eq(mem_read(m->mem, MARK, &v, sizeof(v)), 0);
    return v;
}

static void interrupt(struct rig *m)
{
    x86_cpu_post(m->c, X86_PENDING_SMI);
}

START_TEST(an_smi_runs_firmware_and_the_program_goes_on_as_if_nothing_had_been)
{
    struct x86_cpu_state *before = calloc(1, sizeof(*before)), *after = calloc(1, sizeof(*after));
    struct rig m;

    create(&m, (unsigned)_i, handler, sizeof(handler));
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    x86_cpu_get(m.c, before);
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT); /* and halts again (32.10) */
    x86_cpu_get(m.c, after);
    ck_assert_uint_eq(mark(&m), 1);
    ck_assert(!m.c->smm && !m.c->nmi_blocked);
    ck_assert_uint_eq(after->gpr[X86_RBX], 0x1122334455667788);
    after->tsc = before->tsc;
    ck_assert_mem_eq(before, after, sizeof(*before));
    m.c->run_state = X86_RUNNING;
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_eq(m.c->reg[X86_RCX], 1);
    ck_assert_uint_eq(mark(&m), 2);
    rig_destroy(&m);
    free(before);
    free(after);
}
END_TEST

START_TEST(firmware_moves_its_place)
{
    static const uint8_t move[] = STORE_AND_LEAVE(X86_SMBASE_RESET + 0xff00, HIDDEN);
    struct rig m;

    create(&m, (unsigned)_i, move, sizeof(move));
    put(&m, HIDDEN + 0x8000, handler, sizeof(handler));
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_eq(m.c->smbase, HIDDEN);
    ck_assert_uint_eq(mark(&m), 0);
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_eq(mark(&m), 1);
    rig_destroy(&m);
}
END_TEST

static void hide(struct rig *m)
{
    mem_hide(m->mem, HIDDEN, HIDDEN_LEN);
    x86_cpu_post(m->c, X86_PENDING_HIDDEN);
}

/* The program reads the handler's memory before it is hidden, while, and after an SMI; and writes. */
START_TEST(hidden_memory_is_there_for_firmware_only)
{
    /* mov eax, [HIDDEN + 9000h]; hlt; the same; mov dword [HIDDEN + 9000h], 7; hlt; the same; hlt */
    static const uint8_t peek[] = {
        0x8b, 0x04, 0x25, 0x00, 0x90, 0x40, 0x00, 0xf4,
        0x8b, 0x1c, 0x25, 0x00, 0x90, 0x40, 0x00, 0xc7, 0x04, 0x25, 0x00, 0x90, 0x40, 0x00, 7, 0, 0, 0, 0xf4,
        0x8b, 0x0c, 0x25, 0x00, 0x90, 0x40, 0x00, 0xf4};
    static const uint8_t store[] = STORE_AND_LEAVE(HIDDEN + 0x9000, 0x55);
    uint32_t secret = 0x11;
    struct rig m;

    create(&m, (unsigned)_i, handler, sizeof(handler));
    put(&m, PROGRAM, peek, sizeof(peek));
    put(&m, HIDDEN + 0x8000, store, sizeof(store));
    put(&m, HIDDEN + 0x9000, &secret, sizeof(secret));
    m.c->smbase = HIDDEN;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_eq(m.c->reg[X86_RAX], 0x11);
    hide(&m);
    interrupt(&m);
    m.c->run_state = X86_RUNNING;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_ne(m.c->reg[X86_RBX], 0x11);
    ck_assert_uint_ne(m.c->reg[X86_RBX], 0x55);
    m.c->run_state = X86_RUNNING;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_ne(m.c->reg[X86_RCX], 0x55);
    ck_assert_int_eq(mem_read(m.mem, HIDDEN + 0x9000, &secret, sizeof(secret)), -EFAULT);
    ck_assert_ptr_null(mem_ptr(m.mem, HIDDEN - 8, 16, MEM_READ));
    mem_hide(m.mem, 0, 0);
    ck_assert_int_eq(mem_read(m.mem, HIDDEN + 0x9000, &secret, sizeof(secret)), 0);
    ck_assert_uint_eq(secret, 0x55);
    rig_destroy(&m);
}
END_TEST

START_TEST(code_in_hidden_memory_runs_in_this_mode_only)
{
    static const uint8_t jump[] = {0xe9, 0xfb, 0xff, 0x2f, 0x00}; /* jmp HIDDEN */
    static const uint8_t halt[] = {0xf4};
    struct rig m;

    create(&m, (unsigned)_i, handler, sizeof(handler));
    put(&m, PROGRAM, jump, sizeof(jump));
    put(&m, HIDDEN, halt, sizeof(halt));
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT); /* known, and perhaps translated */
    hide(&m);
    m.c->rip = PROGRAM;
    m.c->run_state = X86_RUNNING;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_SHUTDOWN); /* #GP, and no table of gates */
    rig_destroy(&m);
}
END_TEST

START_TEST(nmis_wait_for_its_end_and_init_too)
{
    /* hlt; inc word [100h]; rsm */
    static const uint8_t wait[] = {0xf4, 0xff, 0x06, 0x00, 0x01, 0x0f, 0xaa};
    struct rig m;

    create(&m, (unsigned)_i, wait, sizeof(wait));
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert(m.c->smm && m.c->nmi_blocked);
    x86_cpu_post_nmi(m.c);
    x86_cpu_post(m.c, X86_PENDING_INIT | X86_PENDING_SMI);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert(m.c->smm);
    m.c->run_state = X86_RUNNING;
    x86_cpu_post(m.c, X86_PENDING_KICK);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_KICK);
    atomic_fetch_and(&m.c->pending, ~(uint32_t)X86_PENDING_INIT);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT); /* the second SMI, before the NMI */
    ck_assert_uint_eq(mark(&m), 1);
    ck_assert(m.c->smm);
    ck_assert_uint_eq(m.c->nmi_count, 1);
    rig_destroy(&m);
}
END_TEST

START_TEST(two_nmis_that_wait_do_not_keep_it_out)
{
    static const uint8_t wait[] = {0xf4, 0x0f, 0xaa}; /* hlt; rsm */
    struct rig m;

    create(&m, (unsigned)_i, wait, sizeof(wait));
    m.c->nmi_count = 2;
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert(m.c->smm && m.c->nmi_blocked);
    ck_assert_uint_eq(m.c->nmi_count, 1);
    rig_destroy(&m);
}
END_TEST

START_TEST(what_no_cpu_can_be_in_is_a_shutdown)
{
    static const uint8_t spoil[] = STORE_AND_LEAVE(X86_SMBASE_RESET + 0xff58, 0x80000000);
    static const uint8_t leave[] = {0x0f, 0xaa};
    struct rig m;

    create(&m, (unsigned)_i, spoil, sizeof(spoil));
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_SHUTDOWN);
    ck_assert_ptr_nonnull(strstr(m.c->shutdown_text, "System Management Mode"));
    rig_destroy(&m);

    create(&m, (unsigned)_i, handler, sizeof(handler));
    put(&m, PROGRAM, leave, sizeof(leave)); /* #UD outside */
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_SHUTDOWN);
    rig_destroy(&m);
}
END_TEST

START_TEST(the_mode_is_part_of_the_state)
{
    static const uint8_t wait[] = {0xf4, 0x0f, 0xaa}; /* hlt; rsm */
    struct x86_cpu_state *s = calloc(1, sizeof(*s));
    struct rig m, other;

    create(&m, (unsigned)_i, wait, sizeof(wait));
    create(&other, (unsigned)_i, wait, sizeof(wait));
    interrupt(&m);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    interrupt(&m);
    x86_cpu_get(m.c, s);
    ck_assert(!s->init_pending);
    x86_cpu_post(m.c, X86_PENDING_INIT); /* it waits for RSM */
    x86_cpu_get(m.c, s);
    ck_assert(s->smm && s->smi_pending && !s->smm_inside_nmi && s->init_pending);
    ck_assert_uint_eq(s->smbase, X86_SMBASE_RESET);
    ck_assert_int_eq(x86_cpu_set(other.c, s), 0);
    ck_assert(other.c->smm && (other.c->pending & X86_PENDING_SMI) && (other.c->pending & X86_PENDING_INIT));
    other.vm->smm = false;
    ck_assert_int_eq(x86_cpu_set(other.c, s), -EINVAL);
    rig_destroy(&m);
    rig_destroy(&other);
    free(s);
}
END_TEST

/* Whoever stops a CPU is heard first. */
START_TEST(an_init_that_was_not_taken_is_part_of_the_state)
{
    struct x86_cpu_state *s = calloc(1, sizeof(*s));
    struct rig m, other;

    create(&m, (unsigned)_i, handler, sizeof(handler));
    create(&other, (unsigned)_i, handler, sizeof(handler));
    x86_cpu_post(m.c, X86_PENDING_INIT | X86_PENDING_KICK);
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_KICK);
    x86_cpu_get(m.c, s);
    ck_assert(!s->smm && s->init_pending && !s->sipi_pending);
    m.c->sipi_vector = 0x9a;
    x86_cpu_post(m.c, X86_PENDING_SIPI);
    x86_cpu_get(m.c, s);
    ck_assert(s->init_pending && s->sipi_pending && s->sipi_vector == 0x9a);
    ck_assert_int_eq(x86_cpu_set(other.c, s), 0);
    ck_assert(other.c->pending & X86_PENDING_INIT && other.c->pending & X86_PENDING_SIPI);
    ck_assert_uint_eq(other.c->sipi_vector, 0x9a);
    rig_destroy(&m);
    rig_destroy(&other);
    free(s);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *c = tcase_create("smm");

#define EACH(name) tcase_add_loop_test(c, name, 0, ARRAY_SIZE(words));
    EACH(an_smi_runs_firmware_and_the_program_goes_on_as_if_nothing_had_been)
    EACH(firmware_moves_its_place)
    EACH(hidden_memory_is_there_for_firmware_only)
    EACH(code_in_hidden_memory_runs_in_this_mode_only)
    EACH(nmis_wait_for_its_end_and_init_too)
    EACH(two_nmis_that_wait_do_not_keep_it_out)
    EACH(what_no_cpu_can_be_in_is_a_shutdown)
    EACH(the_mode_is_part_of_the_state)
    EACH(an_init_that_was_not_taken_is_part_of_the_state)
#undef EACH
    suite_add_tcase(s, c);
}

UNIT_TEST_MAIN("smm", add_tests)
