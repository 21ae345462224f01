/* SPDX-License-Identifier: MIT */
/* PUSHes and POPs in a row, with RSP anywhere around the border of two pages, aligned and not, of which one or the other
 * is missing or may not be written: what is on the stack and in the registers, and where the fault is, has to be
 * as if they were done one by one. And a row that overwrites the code behind it. SDM vol. 2, PUSH, POP, RET. */
#include "guest.h"

#define OFTEN 100 /* more than it takes to be translated */
#define BASE  UINT64_C(0x600000000000)
#define EDGE  (BASE + 4096)
#define AROUND 96

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, REGS };

struct row {
    enum { PUSH, POP, MOV, RET, LEAVE } what;
    uint8_t to, from;
    const char *at;
};

#define PLACES(name) extern char name[], name##_1[], name##_2[], name##_3[], name##_4[], name##_5[], name##_6[], \
    name##_7[], name##_8[], name##_9[], name##_10[]
PLACES(stacked_push);
PLACES(stacked_pop);
PLACES(stacked_ret);
extern char stacked_enter[], stacked_leave[], stacked_over[], stacked_over_at[], stacked_over_end[];
extern uint64_t given[REGS], left[REGS];

__asm__(".data; .balign 64; .global given, left; given: .fill 16, 8, 0; left: .fill 16, 8, 0\n"
        "stacked_kept: .quad 0\nstacked_to: .quad 0\nstacked_end: .quad stacked_leave\n"
        ".text; .balign 64\n"
        "stacked_enter: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, stacked_kept; mov %rdi, stacked_to\n"
        "    mov given, %rax; mov given+8, %rcx; mov given+16, %rdx; mov given+24, %rbx; mov given+40, %rbp\n"
        "    mov given+48, %rsi; mov given+56, %rdi; mov given+64, %r8; mov given+72, %r9; mov given+80, %r10\n"
        "    mov given+88, %r11; mov given+96, %r12; mov given+104, %r13; mov given+112, %r14; mov given+120, %r15\n"
        "    mov given+32, %rsp; jmp *stacked_to\n"
        "stacked_leave: mov %rsp, left+32; mov stacked_kept, %rsp\n"
        "    mov %rax, left; mov %rcx, left+8; mov %rdx, left+16; mov %rbx, left+24; mov %rbp, left+40\n"
        "    mov %rsi, left+48; mov %rdi, left+56; mov %r8, left+64; mov %r9, left+72; mov %r10, left+80\n"
        "    mov %r11, left+88; mov %r12, left+96; mov %r13, left+104; mov %r14, left+112; mov %r15, left+120\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
        "stacked_push:    push %rbx\n"
        "stacked_push_1:  mov %rax, %r12\n"
        "stacked_push_2:  push %r12\n"
        "stacked_push_3:  push %r15\n"
        "stacked_push_4:  mov %r15d, %edx\n"
        "stacked_push_5:  push %rdx\n"
        "stacked_push_6:  push %r10\n"
        "stacked_push_7:  push %rbp\n"
        "stacked_push_8:  push %r11\n"
        "stacked_push_9:  push %r14\n"
        "stacked_push_10: jmp *stacked_end\n"
        "stacked_pop:     pop %r14\n"
        "stacked_pop_1:   pop %r11\n"
        "stacked_pop_2:   mov %r11, %rsi\n"
        "stacked_pop_3:   pop %rbp\n"
        "stacked_pop_4:   pop %r10\n"
        "stacked_pop_5:   mov %rbp, %r15\n"
        "stacked_pop_6:   pop %rdx\n"
        "stacked_pop_7:   pop %r12\n"
        "stacked_pop_8:   pop %rbx\n"
        "stacked_pop_9:   pop %rdx\n"
        "stacked_pop_10:  jmp *stacked_end\n"
        "stacked_ret:     pop %r12\n"
        "stacked_ret_1:   pop %rcx\n"
        "stacked_ret_2:   mov %rcx, %r15\n"
        "stacked_ret_3:   pop %r15\n"
        "stacked_ret_4:   ret $16\n"
        ".set stacked_ret_5, .; .set stacked_ret_6, .; .set stacked_ret_7, .\n"
        ".set stacked_ret_8, .; .set stacked_ret_9, .; .set stacked_ret_10, .\n"
        /* the third word is what is executed behind it */
        "stacked_over:    push %rax; push %rbx; push %rcx\n"
        "stacked_over_at: mov $1, %eax; jmp *stacked_end\n"
        "stacked_over_end:\n");

static const struct row pushes[] = {
    {PUSH, 0, RBX, stacked_push}, {MOV, R12, RAX, stacked_push_1}, {PUSH, 0, R12, stacked_push_2},
    {PUSH, 0, R15, stacked_push_3}, {MOV, RDX | 32, R15, stacked_push_4}, {PUSH, 0, RDX, stacked_push_5},
    {PUSH, 0, R10, stacked_push_6}, {PUSH, 0, RBP, stacked_push_7}, {PUSH, 0, R11, stacked_push_8},
    {PUSH, 0, R14, stacked_push_9}, {LEAVE, 0, 0, NULL}};
static const struct row pops[] = {
    {POP, R14, 0, stacked_pop}, {POP, R11, 0, stacked_pop_1}, {MOV, RSI, R11, stacked_pop_2},
    {POP, RBP, 0, stacked_pop_3}, {POP, R10, 0, stacked_pop_4}, {MOV, R15, RBP, stacked_pop_5},
    {POP, RDX, 0, stacked_pop_6}, {POP, R12, 0, stacked_pop_7}, {POP, RBX, 0, stacked_pop_8},
    {POP, RDX, 0, stacked_pop_9}, {LEAVE, 0, 0, NULL}};
static const struct row returns[] = {
    {POP, R12, 0, stacked_ret}, {POP, RCX, 0, stacked_ret_1}, {MOV, R15, RCX, stacked_ret_2},
    {POP, R15, 0, stacked_ret_3}, {RET, 16, 0, stacked_ret_4}, {LEAVE, 0, 0, NULL}};

static uint8_t *pages[2], stack[8192] __attribute__((aligned(16))), expected[2][4096];
static uint64_t words[REGS];
static bool good;

static uint64_t entry_flags[2]; /* of BASE's page and EDGE's: present, writable */

/* The first byte of these 8 that may not be accessed so; 0: all may. */
static uint64_t forbidden(uint64_t va, bool write)
{
    for (unsigned n = 0; n < 8; n++)
        if (!(entry_flags[(va + n - BASE) / 4096] & 1) || (write && !(entry_flags[(va + n - BASE) / 4096] & 2)))
            return va + n;
    return 0;
}

static uint8_t *byte_at(uint64_t va)
{
    return &expected[(va - BASE) / 4096][va & 4095];
}

static void store(uint64_t va, uint64_t value)
{
    for (unsigned n = 0; n < 8; n++)
        *byte_at(va + n) = (uint8_t)(value >> 8 * n);
}

static uint64_t load(uint64_t va)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < 8; n++)
        value |= (uint64_t)*byte_at(va + n) << 8 * n;
    return value;
}

/* One by one: words[] and expected[] become what they should; where it faults, or NULL. */
static const struct row *do_rows(const struct row *r, uint64_t *ret_cr2)
{
    for (; r->what != LEAVE; r++) {
        uint64_t at = words[RSP] - (r->what == PUSH ? 8 : 0);

        if (r->what == MOV) {
            words[r->to & 15] = r->to & 32 ? (uint32_t)words[r->from] : words[r->from];
            continue;
        }
        *ret_cr2 = forbidden(at, r->what == PUSH);
        if (*ret_cr2)
            return r;
        if (r->what == PUSH)
            store(at, words[r->from]);
        else if (r->what == POP)
            words[r->to] = load(at);
        words[RSP] = r->what == PUSH ? at : at + 8 + (r->what == RET ? r->to : 0);
    }
    return NULL;
}

static void want(uint64_t got, uint64_t wanted, const char *what, uint64_t rsp)
{
    if (got == wanted || !good)
        return;
    good = false;
    print("FAIL %s with rsp %lx: %lx, not %lx\n", what, rsp, got, wanted);
}

static void enter(void *arg)
{
    ((void (*)(void *))stacked_enter)(arg);
}

/* By number, as struct frame has them. */
static void take_frame(const struct frame *f)
{
    const uint64_t r[REGS] = {f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi,
                              f->r8, f->r9, f->r10, f->r11, f->r12, f->r13, f->r14, f->r15};

    memcpy(left, r, sizeof(r));
}

static void fill(uint64_t rsp, bool returning)
{
    for (unsigned n = 0; n < 2; n++)
        for (unsigned k = 0; k < 4096; k++)
            expected[n][k] = (uint8_t)(k * 7 + n * 3);
    for (unsigned n = 0; n < REGS; n++)
        words[n] = UINT64_C(0x123456789abcdef1) * (n + 3);
    words[RSP] = rsp;
    if (returning)
        store(rsp + 24, (uint64_t)stacked_leave);
    memcpy(given, words, sizeof(words));
    for (unsigned n = 0; n < 2; n++)
        memcpy(pages[n], expected[n], 4096);
}

static void try_row(const struct row *rows, uint64_t rsp)
{
    const struct row *faults;
    struct frame f = {0};
    uint64_t cr2 = 0;
    int vector;

    fill(rsp, rows == returns);
    faults = do_rows(rows, &cr2);
    vector = catch_exception(enter, (void *)(uintptr_t)rows[0].at, &f);
    want((uint64_t)vector, faults ? 14 : (uint64_t)-1, "an exception", rsp);
    if (vector == 14) {
        take_frame(&f);
        want(f.rip, faults ? (uint64_t)faults->at : 0, "where the fault is", rsp);
        want(READ_CR(2), cr2, "its address", rsp);
        want(f.error, (faults && faults->what == PUSH ? 2u : 0) | (entry_flags[(cr2 - BASE) / 4096] & 1), "its code", rsp);
    }
    for (unsigned n = 0; n < REGS; n++)
        want(left[n], words[n], "a register", rsp);
    for (unsigned n = 0; n < 2; n++)
        for (unsigned k = 0; k < 4096; k++)
            want(pages[n][k], expected[n][k], "memory", rsp);
}

/* Far from the border, so often that it is translated. */
static void warm_up(const struct row *rows)
{
    for (unsigned n = 0; n < OFTEN; n++)
        try_row(rows, BASE + 2048);
}

static void map(unsigned first, uint64_t below, uint64_t above)
{
    entry_flags[0] = below;
    entry_flags[1] = above;
    for (unsigned n = 0; n < 2; n++) {
        *page_entry(BASE + n * 4096) = (uint64_t)pages[n ^ first] | entry_flags[n];
        flush_page((void *)(BASE + n * 4096));
    }
}

/* pages[] is in the order of the mapping. */
static void swap_pages(void)
{
    uint8_t *p = pages[0];

    pages[0] = pages[1];
    pages[1] = p;
}

static void rows_at_the_border(const char *name, const struct row *rows)
{
    static const uint8_t ways[][2] = {{3, 3}, {0, 3}, {3, 0}, {1, 3}, {3, 1}};

    good = true;
    for (unsigned order = 0; order < 2; order++) {
        swap_pages();
        map(0, 3, 3);
        warm_up(rows);
        for (unsigned way = 0; way < sizeof(ways) / sizeof(*ways); way++) {
            map(0, ways[way][0], ways[way][1]);
            for (uint64_t rsp = EDGE - AROUND; rsp <= EDGE + AROUND; rsp += way ? 5 : 1)
                try_row(rows, rsp);
            for (uint64_t rsp = EDGE - AROUND; rsp <= EDGE + AROUND; rsp += 8)
                try_row(rows, rsp);
        }
    }
    map(0, 3, 3);
    CHECK(name, good);
}

/* The row is in a page that it pushes to. */
static void over_code(void)
{
    unsigned len = (unsigned)(stacked_over_end - stacked_over), at = (unsigned)(stacked_over_at - stacked_over);
    uint8_t *code = (uint8_t *)BASE + 1024;

    good = true;
    for (unsigned n = 0; n < 2 * OFTEN; n++) {
        uint64_t word;

        if (n < OFTEN || n % 8 == 0)
            memcpy(code, stacked_over, len);
        memcpy(&word, stacked_over_at, 8);
        word = (word & ~(UINT64_C(0xffffffff) << 8)) | (uint64_t)(n + 7) << 8;
        memset(given, 0, sizeof(given));
        given[RCX] = word;
        memcpy(&given[RBX], stacked_over_at + 8, 8); /* as it is there */
        /* to a page of its own first, then over what follows */
        given[RSP] = n < OFTEN ? (uint64_t)stack + 4096 : (uint64_t)code + at + 24;
        enter(code);
        want(left[RAX], n < OFTEN ? 1 : n + 7, "what was pushed is executed", given[RSP]);
        want(left[RSP], given[RSP] - 24, "RSP", given[RSP]);
    }
    CHECK("a row overwrites what is behind it", good);
}

int guest_main(void)
{
    for (unsigned n = 0; n < 2; n++)
        pages[n] = alloc_page();
    load_tss(0, 1, (uint64_t)stack + sizeof(stack)); /* the one in use may be missing */
    set_gate(14, 14, 0, 1);
    WRITE_CR(0, READ_CR(0) | 0x10000); /* WP */
    rows_at_the_border("PUSHes in a row", pushes);
    rows_at_the_border("POPs in a row", pops);
    rows_at_the_border("POPs and a return", returns);
    over_code();
    return check_failures();
}
