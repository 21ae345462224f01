/* SPDX-License-Identifier: MIT */
/* The same code at many addresses in turn, as every new process has its libraries: whatever depends on
 * the address has to be right each time, and what is written through one address has to be seen at all.
 * Each address has a page of data of its own behind two pages of code, and of the second one there are two. */
#include "guest.h"

#define PLACES 24
#define ROUNDS 60
#define BASE   UINT64_C(0x550000000000)
#define STRIDE UINT64_C(0x1234567000)
#define ALIAS  65536 /* behind each address the first page is once more */

/* What the functions leave; the code stores there relative to RIP. */
struct data {
    uint64_t number, count, stored, high;
    uint64_t pair[2], negative[2]; /* at 32 */
    uint8_t bytes[64];
    uint8_t area[32]; /* of FNSTENV */
};

extern uint8_t moved_code[], moved_code_end[];
extern uint8_t moved_address[], moved_numbers[], moved_calls[], moved_fpu[], moved_strings[], moved_crosses[],
    moved_into[], moved_which[], moved_far_which[], moved_alias[], moved_here[], moved_value[], moved_faults[],
    moved_fault_at[], moved_loop[];

__asm__(".section .text\n"
        ".balign 4096\n"
        "moved_code:\n"
        "moved_address: lea moved_address(%rip), %rax\n"
        "    lea moved_address(%rip), %r10\n"
        "    sub %rax, %r10\n"
        "    add %r10, %rax\n"
        "    ret\n"
        "moved_numbers: mov moved_data(%rip), %rax\n"           /* number */
        "    addq $1, moved_data+8(%rip)\n"
        "    mov %rax, moved_data+16(%rip)\n"
        "    movabs $0x8000000000000001, %r11\n"
        "    mov %r11, moved_data+24(%rip)\n"
        "    movq $-5, moved_data+48(%rip)\n"
        "    cmp %rax, moved_data+16(%rip)\n"
        "    je 1f\n"
        "    xor %eax, %eax\n"
        "1:  add moved_data+8(%rip), %rax\n"
        "    ret\n"
        "moved_calls: call 1f\n"                                 /* who called */
        "2:  lea 2b(%rip), %rcx\n"
        "    sub %rcx, %rax\n"
        "    jne 3f\n"
        "    lea 1f(%rip), %rdx\n"
        "    call *%rdx\n"
        "4:  lea 4b(%rip), %rcx\n"
        "    sub %rcx, %rax\n"
        "    jne 3f\n"
        "    mov %rdx, moved_data+16(%rip)\n"
        "    call *moved_data+16(%rip)\n"
        "5:  lea 5b(%rip), %rcx\n"
        "    sub %rcx, %rax\n"
        "    jne 3f\n"
        "    call moved_far_callee\n"
        "6:  lea 6b(%rip), %rcx\n"
        "    sub %rcx, %rax\n"
        "3:  ret\n"
        "1:  mov (%rsp), %rax\n"
        "    ret\n"
        "moved_fpu: fninit\n"
        "1:  fildll moved_data(%rip)\n"
        "    fnstenv moved_data+128(%rip)\n"
        "    mov moved_data+140(%rip), %eax\n"                    /* FIP, its lower half */
        "    lea 1b(%rip), %rcx\n"
        "    sub %ecx, %eax\n"
        "    fninit\n"
        "    ret\n"
        "moved_strings: lea moved_data(%rip), %rsi\n"             /* what is interpreted in between */
        "    lea moved_data+64(%rip), %rdi\n"
        "    mov $8, %ecx\n"
        "    rep movsb\n"
        "    mov moved_data(%rip), %rax\n"
        "    sub moved_data+64(%rip), %rax\n"
        "    xor %ecx, %ecx\n"
        "    mov moved_data+32(%rip), %r8\n"
        "    push %rbx\n"
        "    push %rax\n"
        "    mov moved_data+32(%rip), %rax\n"
        "    mov moved_data+40(%rip), %rdx\n"
        "    mov %r8, %rbx\n"
        "    inc %rbx\n"
        "    lock cmpxchg16b moved_data+32(%rip)\n"
        "    pop %rax\n"
        "    jne 1f\n"
        "    lock btsq $70, moved_data+64(%rip)\n"
        "    mov moved_data+32(%rip), %rcx\n"
        "    sub %rbx, %rcx\n"
        "    or %rcx, %rax\n"
        "    pop %rbx\n"
        "    ret\n"
        "1:  mov $-1, %rax\n"
        "    pop %rbx\n"
        "    ret\n"
        "moved_loop: mov $100, %ecx\n"
        "    xor %eax, %eax\n"
        "1:  add moved_data(%rip), %rax\n"
        "    dec %ecx\n"
        "    jnz 1b\n"
        "    ret\n"
        "moved_into: jmp moved_crosses\n"
        "moved_which: call moved_far_which\n"
        "    ret\n"
        "moved_here: lea moved_here(%rip), %rax\n"
        "    jmp 1f\n"
        "1:  ret\n"
        "moved_alias: call moved_here+65536\n"
        "    lea moved_here(%rip), %rcx\n"
        "    sub %rcx, %rax\n"
        "    ret\n"
        "moved_value: mov $1, %eax\n"                             /* changed by its users */
        "    ret\n"
        "moved_faults: mov $7, %eax\n"
        "moved_fault_at: mov %eax, moved_data+4096(%rip)\n"
        "    ret\n"
        "    .org moved_code + 4096 - 2\n"
        "moved_crosses: .byte 0xb8, 1\n"                          /* mov $.., %eax: the rest is in the next page */
        "    .byte 0, 0, 0\n"                           /* as an instruction of its own: add %al, (%rax); add .. */
        "    ret\n"
        "moved_far_callee: mov (%rsp), %rax\n"
        "    ret\n"
        "moved_far_which: mov $1, %eax\n"                        /* 2 in the other second page */
        "    ret\n"
        "    .org moved_code + 8192\n"
        "moved_code_end:\n"
        "moved_data = moved_code + 8192\n");

typedef uint64_t fn(void);

static struct data *datas[PLACES];
static uint8_t *code[3]; /* the first page, and two that may be behind it */
static bool good;

static uint64_t place(unsigned n)
{
    return BASE + n * STRIDE;
}

static uint64_t run(unsigned n, const uint8_t *what)
{
    return ((fn *)(place(n) + (uint64_t)(what - moved_code)))();
}

static void want(uint64_t got, uint64_t wanted, const char *what, unsigned n)
{
    if (got == wanted || !good)
        return;
    good = false;
    print("FAIL %s at place %u: %lx, not %lx\n", what, n, got, wanted);
}

static void map(unsigned n)
{
    *page_entry(place(n)) = (uint64_t)code[0] | 3;
    *page_entry(place(n) + 4096) = (uint64_t)code[1 + n % 2] | 3;
    *page_entry(place(n) + ALIAS) = (uint64_t)code[0] | 3;
    datas[n] = alloc_page();
    *page_entry(place(n) + 8192) = (uint64_t)datas[n] | 3;
    datas[n]->number = 1000 + n;
}

static void make_code(void)
{
    for (unsigned n = 0; n < 3; n++) {
        code[n] = alloc_page();
        memcpy(code[n], moved_code + (n ? 4096 : 0), 4096);
    }
    /* The rest of the MOV is 0, 0, and 0 or 5. */
    code[2][2] = 5;
    code[2][moved_far_which - moved_code - 4096 + 1] = 2;
}

static void run_one(unsigned n)
{
    struct data *d = datas[n];
    uint64_t count = d->count, first = d->pair[0];

    want(run(n, moved_address), place(n), "an address", n);
    want(run(n, moved_numbers), d->number + count + 1, "numbers", n);
    want(d->count, count + 1, "a count", n);
    want(d->stored, d->number, "a number stored", n);
    want(d->high, UINT64_C(0x8000000000000001), "a constant stored", n);
    want(run(n, moved_calls), 0, "return addresses", n);
    want(run(n, moved_fpu), 0, "the x87's instruction pointer", n);
    want(run(n, moved_strings), 0, "strings", n);
    want(d->pair[0], first + 1, "a pair exchanged", n);
    want(run(n, moved_loop), 100 * d->number, "a loop", n);
    want(run(n, moved_into), n % 2 ? 0x05000001 : 1, "a jump to an instruction in two pages", n);
    want(run(n, moved_which), 1 + n % 2, "which second page", n);
    want(run(n, moved_alias), ALIAS, "the same page beside itself", n);
    want(run(n, moved_here), place(n) + (uint64_t)(moved_here - moved_code), "where the page itself is", n);
    want(run(n, moved_crosses), n % 2 ? 0x05000001 : 1, "an instruction in two pages", n);
}

static void fault_at(void *arg)
{
    run((unsigned)(uint64_t)arg, moved_faults);
}

static void run_faults(unsigned n)
{
    struct frame f;
    int vector = catch_exception(fault_at, (void *)(uint64_t)n, &f);

    want((uint64_t)vector, 14, "a fault", n);
    want(f.rip, place(n) + (uint64_t)(moved_fault_at - moved_code), "where it was", n);
    want(READ_CR(2), place(n) + 12288, "what it accessed", n);
}

/* Few of them long enough to be hot there, then all in turn, then any. */
static void in_turn(void)
{
    uint32_t seed = 1;

    good = true;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned n = 0; n < PLACES; n++) {
            seed = seed * 1103515245 + 12345;
            run_one(round < 6 ? n / 6 : round < ROUNDS / 2 ? n : (seed >> 16) % PLACES);
        }
    CHECK("the same at every address", good);
    for (unsigned round = 0; round < ROUNDS; round++)
        run_faults(round % PLACES);
    CHECK("faults tell where they were", good);
}

/* An immediate is changed through one address, or through none where it runs. */
static void changed(void)
{
    volatile uint32_t *plain = (volatile uint32_t *)(code[0] + (moved_value - moved_code) + 1);

    good = true;
    for (unsigned round = 0; round < 40; round++) {
        unsigned by = round * 7 % PLACES;
        volatile uint32_t *there = (volatile uint32_t *)(place(by) + (uint64_t)(moved_value - moved_code) + 1);

        for (unsigned n = 0; n < 30; n++)
            want(run(n % PLACES, moved_value), round ? round : 1, "a value", n);
        *(round & 1 ? plain : there) = round + 1;
        for (unsigned n = 0; n < PLACES; n++)
            want(run(n, moved_value), round + 1, "a value after it was changed", n);
    }
    CHECK("changed code is seen at every address", good);
}

/* The same address, another page of data, and then another page of code. */
static void remapped(void)
{
    struct data *other = alloc_page();

    good = true;
    other->number = 5;
    for (unsigned round = 0; round < 40; round++) {
        unsigned n = round % 5;
        struct data *before = datas[n];

        run_one(n);
        *page_entry(place(n) + 8192) = (uint64_t)other | 3;
        flush_page((void *)(place(n) + 8192));
        datas[n] = other;
        run_one(n);
        *page_entry(place(n) + 8192) = (uint64_t)before | 3;
        flush_page((void *)(place(n) + 8192));
        datas[n] = before;
        run_one(n);
    }
    CHECK("other data at the same address", good);
}

/* Its first page is linked with what was behind it. */
static void other_second_page(void)
{
    good = true;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n = round % 7 % PLACES, now = round % 2;

        *page_entry(place(n) + 4096) = (uint64_t)code[1 + now] | 3;
        flush_page((void *)(place(n) + 4096));
        for (unsigned k = 0; k < 3; k++)
            want(run(n, moved_which), 1 + now, "which second page there is now", n);
        want(run((n + 9) % PLACES, moved_which), 1 + (n + 9) % 2, "and elsewhere", n);
        *page_entry(place(n) + 4096) = (uint64_t)code[1 + n % 2] | 3;
        flush_page((void *)(place(n) + 4096));
        run_one(n);
    }
    CHECK("another page behind the same one", good);
}

/* ---- the same addresses in several address spaces, whose translations are kept ---- */

#define SPACES 7
#define PCIDE  (UINT64_C(1) << 17)
#define KEEP   (UINT64_C(1) << 63)
#define SLOT   (BASE >> 39 & 511) /* of the top table: where the places begin, */
#define SLOTS  (((PLACES - 1) * STRIDE >> 39) + 2) /* and how many they may be in */

static uint64_t space_cr3[SPACES];

/* Each sees its own part of the places: the same code, and other data, at the addresses of the first ones. */
static void make_spaces(void)
{
    uint64_t kept[SLOTS];

    memcpy(kept, &pml4[SLOT], sizeof(kept));
    for (unsigned s = 0; s < SPACES; s++) {
        uint64_t *top = alloc_page();

        memset(&pml4[SLOT], 0, sizeof(kept)); /* page_entry() makes new tables below */
        for (unsigned n = 0; n < PLACES; n++)
            map(n);
        memcpy(top, pml4, 4096);
        space_cr3[s] = (uint64_t)top | (s + 1);
    }
    memcpy(&pml4[SLOT], kept, sizeof(kept));
}

/* A function that says where it is runs in all of them by turns, so each remembers it; and then elsewhere in one of
 * them, to where its translation is moved: the others must not find that one. */
static void by_turns(void)
{
    uint64_t cr3 = READ_CR(3);
    uint32_t seed = 3;

    good = true;
    make_spaces();
    WRITE_CR(4, READ_CR(4) | PCIDE);
    for (unsigned round = 0; round < 60 * ROUNDS; round++) {
        unsigned s, n;

        seed = seed * 1103515245 + 12345;
        s = round < 10 * ROUNDS ? round % SPACES : (seed >> 16) % SPACES;
        n = round < 10 * ROUNDS ? 0 : (seed >> 8 & 15) ? (round / 64) % 3 : (seed >> 12) % PLACES;
        WRITE_CR(3, space_cr3[s] | KEEP);
        want(run(n, moved_here), place(n) + (uint64_t)(moved_here - moved_code), "where the page is in this space", n);
        want(run(n, moved_address), place(n), "an address in this space", n);
        want(run(n, moved_calls), 0, "return addresses in this space", n);
        want(run(n, moved_which), 1 + n % 2, "which second page in this space", n);
    }
    WRITE_CR(3, cr3);
    WRITE_CR(4, READ_CR(4) & ~PCIDE);
    CHECK("several address spaces by turns", good);
}

int guest_main(void)
{
    make_code();
    for (unsigned n = 0; n < PLACES; n++)
        map(n);
    in_turn();
    changed();
    remapped();
    other_second_page();
    by_turns();
    return check_failures();
}
