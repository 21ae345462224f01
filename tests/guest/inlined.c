/* SPDX-License-Identifier: MIT */
/* What a translator does in line, done so often that it does, and then once in a way that it must
 * not: SYSCALL, SYSRET, SWAPGS, STAC, CLAC and RDTSC with other privilege, with TF, alignment checks,
 * events and breakpoints; memory in the other half of the address space than code expects it. SDM vol. 2;
 * vol. 3, 4.6, 6.14, 6.15, 17.2. */
#include "guest.h"

#define OFTEN 100 /* more than it takes to be translated */

#define EFER 0xc0000080
#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define FMASK 0xc0000084
#define GS_BASE 0xc0000101
#define KERNEL_GS_BASE 0xc0000102

#define CF 1u
#define ZF 0x40u
#define TF 0x100u
#define IF 0x200u
#define DF 0x400u
#define OF 0x800u
#define AC 0x40000u
#define CR0_AM 0x40000u
#define CR4_TSD 4u
#define CR4_SMAP 0x200000u

extern char call_entry[], call_user[], call_after[], call_aligned[], sysret_at[];
extern char swap_twice[], swap_once[], with_ac[], without_ac[], push_user[], loop_user[], read_clock[];
extern char read_cr[], read_base[], read_selector[], step_back[], bit_ops[];
extern char copy_bytes[], fill_words[], load_word[], store_word[], add_word[], sum_words[];
extern uint64_t seen[16], change[8];

/* call_user: flags from change[0], SYSCALL; the kernel's side notes what it sees, sends itself change[1]
 * if that is not 0, sets change[2] in R11, flips change[3] in RCX, and returns. */
__asm__(".data; .balign 64; .global seen, change; seen: .fill 16, 8, 0; change: .fill 8, 8, 0\n"
        ".text; .balign 4096\n"
        "call_user:    push change; popf; syscall\n"
        "call_after:   pushf; pop seen+32; cld; mov change+32, %rax\n"
        "call_aligned: mov (%rax), %eax; int $0x80\n"
        "call_entry:   mov %rcx, seen; mov %r11, seen+8; pushf; pop seen+16; mov %cs, seen+40\n"
        "              mov %ss, seen+48; mov %rsp, seen+56; mov change+8, %eax; test %eax, %eax; jz 1f\n"
        "              movabs %eax, 0xfee00300\n"
        "1:            or change+16, %r11; xor change+24, %rcx\n"
        "sysret_at:    sysretq\n"
        "swap_twice:   swapgs; swapgs; ret\n"
        "swap_once:    swapgs; ret\n"
        "with_ac:      stac; mov (%rdi), %eax; clac; ret\n"
        "without_ac:   mov (%rdi), %eax; ret\n"
        /* the same stack with AC set, then clear */
        "push_user:    mov %rsp, %rdx; mov %rdi, %rsp; stac; push %rax; pop %rax; clac\n"
        "              test %esi, %esi; jz 1f; push %rax\n"
        "1:            mov %rdx, %rsp; ret\n"
        /* a loop that stays in a page, and the same with AC clear */
        "loop_user:    stac; mov $40, %ecx\n"
        "1:            mov (%rdi,%rcx,8), %rax; dec %ecx; jnz 1b\n"
        "              clac; test %esi, %esi; jz 3f; mov $40, %ecx\n"
        "2:            mov (%rdi,%rcx,8), %rax; dec %ecx; jnz 2b\n"
        "3:            ret\n"
        "read_clock:   rdtsc; shl $32, %rdx; or %rdx, %rax; ret\n"
        "read_cr:      mov %cr2, %rax; mov %cr4, %r10; mov %r10, (%rdi); mov %cr0, %rcx; ret\n"
        "read_base:    rdgsbase %rax; rdfsbase %r11; mov %r11, (%rdi); ret\n"
        "read_selector: mov $-1, %rax; mov $-1, %r11; mov %cs, %ax; mov %cs, %r11w\n"
        "              mov %r11, 8(%rdi); mov %cs, 2(%rdi); ret\n"
        "step_back:    std; mov %rsi, %rcx; rep movsb; cld; ret\n"
        "bit_ops:      xor %eax, %eax; bt %rsi, (%rdi); adc %eax, %eax; bts %rsi, (%rdi); adc %eax, %eax\n"
        "              mov %rsi, %r12; lock btr %r12, (%rdi); adc %eax, %eax\n"
        "              lock btc %r12, (%rdi); adc %eax, %eax; ret\n"
        "copy_bytes:   mov %rdx, %rcx; rep movsb; ret\n"
        "fill_words:   mov %rsi, %rax; mov %rdx, %rcx; rep stosq; ret\n"
        "load_word:    mov (%rdi), %rax; ret\n"
        "store_word:   mov %rsi, (%rdi); ret\n"
        "add_word:     add %rsi, (%rdi); ret\n"
        "sum_words:    xor %eax, %eax; mov $64, %ecx\n"
        "1:            add -8(%rdi,%rcx,8), %rax; dec %ecx; jnz 1b\n"
        "              ret\n"
        ".balign 4096\n");

typedef void user_fn(void *);

static int call(struct frame *f)
{
    return run_user((user_fn *)call_user, NULL, f);
}

static void set_up_calls(void)
{
    static uint64_t number = 5;

    wrmsr(EFER, rdmsr(EFER) | 1);
    wrmsr(STAR, UINT64_C(0x0020000800000000));
    wrmsr(LSTAR, (uint64_t)call_entry);
    memset(change, 0, 64);
    change[0] = 2;
    change[4] = (uint64_t)&number;
}

/* ---- SYSCALL and SYSRET ---- */

static void flags(void)
{
    static const uint32_t masks[] = {0, IF, IF | DF | TF, CF | ZF | OF | IF, 0x47700, 0x257fd5};
    static const uint32_t given[] = {0, CF, ZF, OF, DF, CF | OF, 0x8d5, 0xcd5, 0xcd5 | AC};
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        for (unsigned m = 0; m < sizeof(masks) / sizeof(*masks); m++)
            for (unsigned g = 0; g < sizeof(given) / sizeof(*given); g++) {
                uint64_t want = given[g] | IF | 2;

                wrmsr(FMASK, masks[m]);
                change[0] = want;
                wrong += call(&f) != -1 || seen[0] != (uint64_t)call_after || seen[1] != want ||
                         seen[2] != ((want & ~(uint64_t)masks[m]) | 2) || seen[4] != want ||
                         (seen[5] & 0xffff) != 8 || (seen[6] & 0xffff) != 0x10 || f.cs != 0x33 ||
                         f.ss != 0x2b || f.rsp != seen[7];
            }
    CHECK_EQ("flags and selectors of system calls", wrong, 0);
    wrmsr(FMASK, 0x47700);
    change[0] = IF | 2;
}

static void other_selectors(void)
{
    unsigned wrong = 0;
    struct frame f;

    wrmsr(STAR, UINT64_C(0x0023000b00000000)); /* RPLs are not looked at */
    for (unsigned n = 0; n < OFTEN; n++)
        wrong += call(&f) != -1 || (seen[5] & 0xffff) != 8 || (seen[6] & 0xffff) != 0x10 ||
                 f.cs != 0x33 || f.ss != 0x2b;
    CHECK_EQ("selectors from a STAR with RPLs", wrong, 0);
    set_up_calls();
}

static void trap_after_sysret(void)
{
    uint64_t dr6;
    struct frame f;

    __asm__ volatile("mov %0, %%dr6" : : "r"(UINT64_C(0)));
    change[2] = TF;
    CHECK_EQ("SYSRET that sets TF: #DB", call(&f), 1);
    CHECK_EQ("  as if SYSCALL had just ended", f.rip, (uint64_t)call_after);
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    CHECK_EQ("  of a step", dr6 & 0xf00f, 0x4000);
    change[2] = 0;
    CHECK_EQ("  and no more", call(&f), -1);
    change[0] |= TF;
    CHECK_EQ("SYSCALL with TF, which FMASK clears", call(&f), 1);
    CHECK("  traps before and behind it", f.rip >= (uint64_t)call_user && f.rip <= (uint64_t)call_after + 1);
    change[0] = IF | 2;
}

static void alignment(void)
{
    static uint64_t pair[2];
    struct frame f;

    change[4] = (uint64_t)pair + 1;
    change[2] = AC;
    WRITE_CR(0, READ_CR(0) | CR0_AM);
    CHECK_EQ("SYSRET that sets AC: #AC", call(&f), 17);
    CHECK_EQ("  of the access", f.rip, (uint64_t)call_aligned);
    change[2] = 0;
    CHECK_EQ("  not without it", call(&f), -1);
    change[0] |= AC;
    wrmsr(FMASK, 0x7700);
    CHECK_EQ("SYSCALL that leaves AC set", call(&f), 17);
    CHECK_EQ("  in the kernel too", seen[2] & AC, AC);
    WRITE_CR(0, READ_CR(0) & ~(uint64_t)CR0_AM);
    CHECK_EQ("  where nothing is checked", call(&f), -1);
    wrmsr(FMASK, 0x47700);
    set_up_calls();
    change[0] = IF | 2;
}

static void refused(void)
{
    struct frame f;

    change[3] = UINT64_C(1) << 47;
    CHECK_EQ("SYSRET to an address that is not canonical", call(&f), 13);
    CHECK_EQ("  faults in the kernel", f.rip, (uint64_t)sysret_at);
    CHECK_EQ("  CS", f.cs, 8);
    change[3] = 0;
    wrmsr(EFER, rdmsr(EFER) & ~UINT64_C(1));
    CHECK_EQ("SYSCALL without EFER.SCE", call(&f), 6);
    wrmsr(EFER, rdmsr(EFER) | 1);
    CHECK_EQ("  and with it", call(&f), -1);
    CHECK_EQ("SYSRET by user code", run_user((user_fn *)sysret_at, NULL, &f), 13);
    CHECK_EQ("  CS", f.cs, 0x33);
}

static unsigned arrived, early;

static void on_event(struct frame *f)
{
    arrived++;
    early += f->rip != (uint64_t)call_after || f->cs != 0x33;
    apic_write(0xb0, 0);
}

/* An interrupt that has waited for IF comes before the first instruction of the user's. */
static void events(void)
{
    struct frame f;
    unsigned wrong = 0;

    apic_enable();
    set_handler(0x61, on_event);
    uncaught = 0;
    change[1] = 0x44061; /* to ourselves */
    for (unsigned n = 0; n < OFTEN; n++)
        wrong += call(&f) != -1;
    CHECK_EQ("system calls with an interrupt pending", wrong, 0);
    CHECK_EQ("  which comes", arrived, OFTEN);
    CHECK_EQ("  right behind SYSRET", early, 0);
    change[1] = 0;
}

static void breakpoint(void)
{
    struct frame f;

    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(call_entry), "r"(UINT64_C(0x402)));
    CHECK_EQ("a breakpoint where SYSCALL leads", call(&f), 1);
    CHECK_EQ("  before anything is done there", f.rip, (uint64_t)call_entry);
    __asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(0x400)));
    CHECK_EQ("  and no more", call(&f), -1);
}

/* ---- SWAPGS, RDTSC ---- */

static void swaps(void)
{
    void (*twice)(void) = (void (*)(void))swap_twice, (*once)(void) = (void (*)(void))swap_once;
    struct frame f;

    wrmsr(GS_BASE, 0x1000);
    wrmsr(KERNEL_GS_BASE, UINT64_C(0xffff800000002000));
    for (unsigned n = 0; n < OFTEN; n++)
        twice();
    CHECK_EQ("SWAPGS twice", rdmsr(GS_BASE), 0x1000);
    for (unsigned n = 0; n < OFTEN + 1; n++)
        once();
    CHECK_EQ("  an odd number of times", rdmsr(GS_BASE), UINT64_C(0xffff800000002000));
    CHECK_EQ("  the other base", rdmsr(KERNEL_GS_BASE), 0x1000);
    CHECK_EQ("SWAPGS by user code", run_user((user_fn *)swap_twice, NULL, &f), 13);
    CHECK_EQ("  at its first", f.rip, (uint64_t)swap_twice);
    CHECK_EQ("  has done nothing", rdmsr(KERNEL_GS_BASE), 0x1000);
    wrmsr(GS_BASE, 0);
}

static void clocks(void)
{
    uint64_t (*clock)(void) = (uint64_t (*)(void))read_clock;
    unsigned wrong = 0;
    uint64_t last = clock();
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++) {
        uint64_t now = clock();

        wrong += now < last;
        last = now;
        if (n == OFTEN / 2)
            wrmsr(0x10, last = UINT64_C(0x123400000000)); /* and from there on */
    }
    CHECK_EQ("RDTSC goes forward", wrong, 0);
    CHECK("  from where it is set", last >> 32 >= 0x1234 && last >> 32 < 0x1240);
    WRITE_CR(4, READ_CR(4) | CR4_TSD);
    CHECK("  in the kernel with CR4.TSD", clock() > last);
    CHECK_EQ("  not by user code", run_user((user_fn *)read_clock, NULL, &f), 13);
    WRITE_CR(4, READ_CR(4) & ~(uint64_t)CR4_TSD);
}

/* ---- registers of the system ---- */

static void control_registers(void)
{
    uint64_t (*read)(uint64_t *) = (uint64_t (*)(uint64_t *))read_cr;
    uint64_t cr4 = 0;
    unsigned wrong = 0;
    struct frame f;

    for (uint64_t n = 0; n < OFTEN; n++) {
        WRITE_CR(2, n << 40 | n);
        wrong += read(&cr4) != (n << 40 | n);
        wrong += cr4 != READ_CR(4);
    }
    CHECK_EQ("CR2 and CR4 as they are", wrong, 0);
    CHECK_EQ("CR2 read by user code", run_user((user_fn *)read_cr, &cr4, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)read_cr);
}

static void read_missing_base(void *arg)
{
    ((void (*)(void *))read_base)(arg);
}

static void bases(void)
{
    uint64_t fs = 0, gs;
    uint32_t eax = 7, ebx, ecx = 0;
    unsigned wrong = 0;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    if (!(ebx & 1))
        return;
    WRITE_CR(4, READ_CR(4) | 0x10000);
    for (uint64_t n = 0; n < OFTEN; n++) {
        wrmsr(GS_BASE, n << 33);
        wrmsr(0xc0000100, ~n);
        gs = ((uint64_t (*)(void *))read_base)(&fs);
        wrong += gs != n << 33 || fs != ~n;
    }
    CHECK_EQ("RDGSBASE and RDFSBASE", wrong, 0);
    WRITE_CR(4, READ_CR(4) & ~UINT64_C(0x10000));
    CHECK_EQ("  without CR4.FSGSBASE", catch_exception(read_missing_base, &fs, NULL), 6);
    wrmsr(GS_BASE, 0);
}

static void selectors(void)
{
    unsigned wrong = 0;

    for (unsigned n = 0; n < OFTEN; n++) {
        uint16_t to[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        uint64_t ax = ((uint64_t (*)(void *))read_selector)(to);

        wrong += ax != UINT64_C(0xffffffffffff0008) || to[0] != 1 || to[1] != 8 || to[2] != 3;
        wrong += to[4] != 8 || to[5] != 0xffff;
    }
    CHECK_EQ("a selector of 16 bits, in registers and memory", wrong, 0);
}

static void directions(void)
{
    char text[] = "0123456789";
    unsigned wrong = 0;

    for (unsigned n = 0; n < OFTEN; n++) {
        char to[12] = "...........";

        ((void (*)(char *, uint64_t))step_back)(to + 9, 0);
        __asm__ volatile("mov %0, %%rsi; mov %1, %%rdi; mov $5, %%ecx; std; rep movsb; cld"
                         : : "r"(text + 9), "r"(to + 9) : "rsi", "rdi", "rcx", "memory");
        wrong += to[4] != '.' || to[5] != '5' || to[9] != '9';
    }
    CHECK_EQ("strings backwards", wrong, 0);
}

struct bit {
    uint64_t *at;
    int64_t index;
};

static void use_bit(void *arg)
{
    struct bit *b = arg;

    __asm__ volatile("call bit_ops" : : "D"(b->at), "S"(b->index) : "rax", "r12", "memory", "cc");
}

/* Each bit is tested, set, cleared and complemented: what it was is seen first, then 0 or 1, 1, 0. */
static void bits(void)
{
    uint64_t *page = alloc_page(), *next = alloc_page();
    unsigned wrong = 0;

    for (int64_t n = -64 * 300; n < 64 * 300; n += 7) {
        uint64_t *word = page + 300 + (n >> 6), before = *word, was;

        __asm__ volatile("call bit_ops" : "=a"(was) : "D"(page + 300), "S"(n) : "r12", "memory", "cc");
        wrong += was != ((before >> (n & 63) & 1) * 12 | 2);
        wrong += *word != (before | UINT64_C(1) << (n & 63));
    }
    CHECK_EQ("bits behind and before the operand", wrong, 0);
    *page_entry((uint64_t)next) &= ~UINT64_C(1);
    flush_page(next);
    CHECK_EQ("a bit in a page that is missing",
             catch_exception(use_bit, &(struct bit){page, 8 * 4096 + 700}, NULL), 14);
    CHECK_EQ("  CR2", READ_CR(2), (uint64_t)next + 700 / 64 * 8);
}

/* ---- STAC and CLAC ---- */

static void try_read(void *page)
{
    ((void (*)(void *))without_ac)(page);
}

static void try_push(void *page)
{
    ((void (*)(void *, int))push_user)((uint8_t *)page + 4096, 1);
}

static void try_loop(void *page)
{
    ((void (*)(void *, int))loop_user)(page, 1);
}

static void clear_ac(void)
{
    __asm__ volatile("pushf; andl $0xfffbffff, (%%rsp); popf" : : : "memory");
}

/* All that we have is the user's too, but while SMAP is tried; a page elsewhere is. */
static uint8_t *only_this_is_the_users(bool only)
{
    uint8_t *user = (uint8_t *)UINT64_C(0x8000000000);

    *page_entry((uint64_t)user) = 0x1ff000 | 7;
    pml4[0] = only ? pml4[0] & ~UINT64_C(4) : pml4[0] | 4;
    WRITE_CR(3, READ_CR(3));
    return user;
}

static void smap(bool on)
{
    uint8_t *user = only_this_is_the_users(true);
    static uint8_t stack[4096] __attribute__((aligned(16)));
    int want = on ? 14 : -1;
    unsigned wrong = 0;
    struct frame f = {.error = 1};

    if (on)
        WRITE_CR(4, READ_CR(4) | CR4_SMAP);
    for (unsigned n = 0; n < OFTEN; n++) {
        ((void (*)(void *))with_ac)(user);
        ((void (*)(void *, int))push_user)(user + 4096, 0);
        ((void (*)(void *, int))loop_user)(user, 0);
        wrong += catch_exception(try_read, user, &f) != want;
        clear_ac();
        wrong += f.error != 1;
    }
    CHECK_EQ(on ? "user memory with and without AC" : "the same with SMAP off", wrong, 0);
    load_tss(0, 1, (uint64_t)stack + sizeof(stack)); /* the one in use is out of bounds then */
    set_gate(14, 14, 0, 1);
    CHECK_EQ("  by the stack", catch_exception(try_push, user, &f), want);
    set_gate(14, 14, 0, 0);
    clear_ac();
    CHECK_EQ("  in a loop", catch_exception(try_loop, user, &f), want);
    clear_ac();
    WRITE_CR(4, READ_CR(4) & ~(uint64_t)CR4_SMAP);
    only_this_is_the_users(false);
}

static void smap_by_user(void)
{
    struct frame f;

    CHECK_EQ("STAC by user code", run_user((user_fn *)with_ac, change, &f), 6);
    CHECK_EQ("  where it is", f.rip, (uint64_t)with_ac);
}

/* ---- halves of the address space ---- */

#define ALIAS UINT64_C(0xffff800000000000) /* where all is once more */

static uint64_t run_at(uint64_t base, const char *code, uint64_t a, uint64_t b, uint64_t c)
{
    return ((uint64_t (*)(uint64_t, uint64_t, uint64_t))(base + (uint64_t)code))(a, b, c);
}

/* From code at base, with operands at from and at to. */
static unsigned use_halves(uint64_t base, uint64_t from, uint64_t to, unsigned n)
{
    static uint64_t a[64], b[64];
    uint64_t at_a = (uint64_t)a + from, at_b = (uint64_t)b + to, sum = 0;
    unsigned wrong = 0;

    for (unsigned k = 0; k < 64; k++)
        sum += a[k] = n * 64 + k;
    memset(b, 0, sizeof(b));
    run_at(base, copy_bytes, at_b, at_a, 511);
    b[63] = a[63];
    for (unsigned k = 0; k < 64; k++)
        wrong += a[k] != b[k];
    wrong += run_at(base, sum_words, at_a, 0, 0) != sum;
    run_at(base, fill_words, at_b, n, 64);
    wrong += run_at(base, load_word, at_b + 8, 0, 0) != n;
    run_at(base, store_word, at_a, n + 7, 0);
    run_at(base, add_word, at_a, 5, 0);
    return wrong + (a[0] != n + 12) + (b[63] != n);
}

static void load_missing(void *arg)
{
    const uint64_t *p = arg;

    run_at(p[0], load_word, p[1], 0, 0);
}

static void halves(void)
{
    unsigned wrong = 0;
    uint8_t *page = alloc_page();

    pml4[256] = pml4[0];
    WRITE_CR(3, READ_CR(3));
    for (unsigned mix = 1; mix <= OFTEN; mix *= OFTEN) /* often one after the other, then one by one */
        for (unsigned way = 0; way < 8 * OFTEN / mix; way++)
            for (unsigned n = 0; n < mix; n++)
                wrong += use_halves(way & 4 ? ALIAS : 0, way & 1 ? ALIAS : 0, way & 2 ? ALIAS : 0, n);
    CHECK_EQ("operands in both halves of the address space", wrong, 0);
    *page_entry((uint64_t)page) &= ~UINT64_C(1);
    flush_page(page);
    flush_page(page + ALIAS);
    for (unsigned way = 0; way < 4; way++) {
        uint64_t p[2] = {way & 1 ? ALIAS : 0, (uint64_t)page + (way & 2 ? ALIAS : 0)};

        CHECK_EQ("a page that is missing in either", catch_exception(load_missing, p, NULL), 14);
        CHECK_EQ("  CR2", READ_CR(2), p[1]);
    }
}

int guest_main(void)
{
    smap(true);
    smap(false);
    set_up_calls();
    smap_by_user();
    flags();
    other_selectors();
    trap_after_sysret();
    alignment();
    refused();
    events();
    breakpoint();
    swaps();
    clocks();
    control_registers();
    bases();
    selectors();
    directions();
    bits();
    halves();
    return check_failures();
}
