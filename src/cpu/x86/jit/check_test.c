/* SPDX-License-Identifier: MIT */
/* Does --jit check find what is wrong with translated code? A block is translated, its host code is
 * changed as a bug in the translator would have it, and it must not run to its end. */
#include <stdio.h>
#include <string.h>

#include "cpu/x86/block.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/jit_priv.h"
#include "cpu/x86/long_rig.h"

#define CODE   UINT64_C(0x10000)
#define DATA   UINT64_C(0x20000)
#define ROUNDS 50

/* start: add rax, 1; mov [rdi], rax; mov [rdi + 8], al; bt eax, 3; adc rdx, 0; movq xmm0, rax;
 *        paddq xmm1, xmm0; dec rcx; jnz start; hlt */
static const uint8_t program[] = {0x48, 0x83, 0xc0, 0x01, 0x48, 0x89, 0x07, 0x88, 0x47, 0x08,
                                  0x0f, 0xba, 0xe0, 0x03, 0x48, 0x83, 0xd2, 0x00,
                                  0x66, 0x48, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0xd4, 0xc8,
                                  0x48, 0xff, 0xc9, 0x75, 0xe0, 0xf4};

static enum x86_stop run(struct rig *m)
{
    memset(mem_ptr(m->mem, DATA, 16, MEM_WRITE), 0, 16);
    m->c->rip = CODE;
    m->c->run_state = X86_RUNNING;
    m->c->reg[X86_RAX] = UINT64_C(0x1122334455667700);
    m->c->reg[X86_RCX] = ROUNDS;
    m->c->reg[X86_RDI] = DATA;
    return x86_cpu_run(m->c);
}

/* Replace bytes in the translation of the block at CODE, as the writable mapping shows them. */
static void change(struct rig *m, const char *from, const char *to, size_t len)
{
    const struct jit_exits *exits;
    const struct insn *first;
    struct block *b;
    uint8_t *code, *at;

    m->c->rip = CODE;
    first = block_find(m->c);
    ck_assert_ptr_nonnull(first);
    b = block_of(first);
    ck_assert(b->translated);
    exits = jit_exits_of(m->c, b);
    code = m->c->jit->write + (jit_code_begin(m->c->jit, exits) - m->c->jit->run);
    at = memmem(code, exits->code_bytes, from, len);
    ck_assert_msg(at, "the translation has no such bytes");
    memcpy(at, to, len);
}

START_TEST(right_code_runs)
{
    struct rig m;

    rig_create(&m, "check,threshold=2", 1, CODE, program, sizeof(program));
    ck_assert_int_eq(run(&m), X86_STOP_HALT);
    ck_assert_uint_eq(m.c->reg[X86_RAX], UINT64_C(0x1122334455667700) + ROUNDS);
    if (m.c->jit) { /* not in sanitizer builds */
        ck_assert_uint_gt(m.c->count.jit_checks, ROUNDS / 2);
        ck_assert_uint_eq(m.c->count.jit_check_retries, 0);
        ck_assert_uint_eq(m.c->count.jit_unchecked, 0);
    }
    rig_destroy(&m);
}
END_TEST

/* start: rol eax, 7; seto [rdi]; ror r10, 9; seto [rdi + 1]; rol dword [rdi + 4], 5; seto [rdi + 2];
 *        rol ebx, cl; seto [rdi + 3]; add r10, rax; add ebx, eax; dec rcx; jnz start; hlt
 * OF is undefined after these, and must be the interpreter's all the same. */
static const uint8_t rotates[] = {0xc1, 0xc0, 0x07, 0x0f, 0x90, 0x07, 0x49, 0xc1, 0xca, 0x09,
                                  0x0f, 0x90, 0x47, 0x01, 0xc1, 0x47, 0x04, 0x05,
                                  0x0f, 0x90, 0x47, 0x02, 0xd3, 0xc3, 0x0f, 0x90, 0x47, 0x03,
                                  0x49, 0x01, 0xc2, 0x01, 0xc3, 0x48, 0xff, 0xc9, 0x75, 0xda, 0xf4};

START_TEST(undefined_flags_agree)
{
    struct rig m;

    rig_create(&m, "check,threshold=2", 1, CODE, rotates, sizeof(rotates));
    ck_assert_int_eq(run(&m), X86_STOP_HALT);
    if (m.c->jit)
        ck_assert_uint_gt(m.c->count.jit_checks, ROUNDS / 2);
    rig_destroy(&m);
}
END_TEST

START_TEST(a_limit_is_kept)
{
    struct rig m;

    rig_create(&m, "check=5,threshold=2", 1, CODE, program, sizeof(program));
    ck_assert_int_eq(run(&m), X86_STOP_HALT);
    if (m.c->jit)
        ck_assert_uint_eq(m.c->count.jit_checks, 5);
    rig_destroy(&m);
}
END_TEST

static const struct {
    const char *what, *from, *to;
    size_t len;
    const char *said;
    bool behind_vectors;
} bugs[] = {
    {"wrong immediate", "\x48\x83\xc0\x01", "\x48\x83\xc0\x02", 4, "RAX"},
    {"narrow store", "\x4a\x89\x04\x1f", "\x42\x89\x04\x1f", 4, "memory"},
    {"lost store", "\x4a\x89\x04\x1f", "\x0f\x1f\x40\x00", 4, "memory"},
    {"wide store", "\x42\x88\x44\x1f\x08", "\x42\x89\x44\x1f\x08", 5, "memory"},
    {"wrong register", "\x4a\x89\x04\x1f", "\x4a\x89\x14\x1f", 4, "memory"},
    {"lost carry", "\x48\x83\xd2\x00", "\x48\x83\xc2\x00", 4, "RDX"},
    {"wrong vector", "\x66\x0f\xd4\xc8", "\x66\x0f\xd4\xc9", 4, "vector", true},
    {"flags lost", "\x48\xff\xc9", "\x48\x90\x90", 3, "RCX", true},
};

START_TEST(wrong_code_is_found)
{
    struct rig m;

    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr)); /* reports */
    rig_create(&m, "check,threshold=2", 1, CODE, program, sizeof(program));
    ck_assert_int_eq(run(&m), X86_STOP_HALT);
    /* Where the compiler may use vector registers, translated code stops at the first of them. */
    if (m.c->jit && !(bugs[_i].behind_vectors && VZ_HIDDEN_CALLS)) {
        change(&m, bugs[_i].from, bugs[_i].to, bugs[_i].len);
        ck_assert_msg(run(&m) == X86_STOP_SHUTDOWN, "%s: not found", bugs[_i].what);
        ck_assert_msg(strstr(m.c->shutdown_text, "jit check: block at 0x10000:") &&
                      strstr(m.c->shutdown_text, bugs[_i].said), "%s: %s", bugs[_i].what,
                      m.c->shutdown_text);
    }
    rig_destroy(&m);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *t = tcase_create("wrong code");

    UNIT_TEST(s, right_code_runs);
    UNIT_TEST(s, undefined_flags_agree);
    UNIT_TEST(s, a_limit_is_kept);
    tcase_add_loop_test(t, wrong_code_is_found, 0, sizeof(bugs) / sizeof(bugs[0]));
    suite_add_tcase(s, t);
}

UNIT_TEST_MAIN("check", add_tests)
