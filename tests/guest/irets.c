/* SPDX-License-Identifier: MIT */
/* IRET in 64-bit mode as kernels use it, done so often that a translator does it in line, and then in ways
 * that it must not: with selectors, descriptors, addresses, frames and flags out of the ordinary, with
 * events, NMIs and breakpoints. SDM vol. 2, IRET; vol. 3, 6.7.1, 6.14.3, 18.3.1. */
#include "guest.h"

#define OFTEN 100 /* more than it takes to be translated */

#define CF UINT64_C(1)
#define TF UINT64_C(0x100)
#define IF UINT64_C(0x200)
#define DF UINT64_C(0x400)
#define IOPL UINT64_C(0x3000)
#define NT UINT64_C(0x4000)
#define RF UINT64_C(0x10000)
#define AC UINT64_C(0x40000)
#define VIP UINT64_C(0x100000)
#define ID UINT64_C(0x200000)
#define CR4_SMAP UINT64_C(0x200000)
#define CR0_AM UINT64_C(0x40000)
#define ALIAS UINT64_C(0xffff800000000000) /* where all is once more */

#define KERNEL_CS 0x08
#define KERNEL_SS 0x10
#define USER_CS   0x33
#define USER_SS   0x2b

struct words {
    uint64_t rip, cs, rflags, rsp, ss;
};

struct seen {
    uint64_t rsp, rflags, ss, cs, registers, back, read;
};

extern char iret_go[], iret_at[], iret_landed[], iret_second[], iret_user[], iret_user_at[], user_selectors[],
    user_aligned[], user_flags[];
extern struct seen seen;

/* iret_go: IRET with the frame at rdi, on a stack rsi away from ours, and what is seen behind it. */
__asm__(".data; .balign 64; .global seen; seen: .fill 8, 8, 0\n"
        ".text; .balign 4096\n"
        "iret_go:      mov %rsp, seen+40; add %rsi, %rsp; mov $0x1111111111111111, %rax\n"
        "              mov $0x2222222222222222, %rcx; mov $0x3333333333333333, %rdx\n"
        "              push 32(%rdi); push 24(%rdi); push 16(%rdi); push 8(%rdi); push (%rdi); stc\n"
        "iret_at:      iretq\n"
        "iret_landed:  mov %rsp, seen\n"
        "iret_second:  mov seen+40, %rsp; pushf; pop seen+8\n"
        "              add %rcx, %rax; add %rdx, %rax; mov %rax, seen+32\n"
        "              mov %ss, %eax; mov %rax, seen+16; mov %cs, %eax; mov %rax, seen+24\n"
        "              cld; push $2; popf; ret\n"
        /* user code: IRET with the frame at rdi */
        "iret_user:    push 32(%rdi); push 24(%rdi); push 16(%rdi); push 8(%rdi); push (%rdi)\n"
        "iret_user_at: iretq\n"
        "user_selectors: mov %ds, %eax; mov %es, %ecx; shl $16, %ecx; or %ecx, %eax; mov %rax, seen+48\n"
        "              int $0x80\n"
        "user_flags:   pushf; pop seen+8; cld; int $0x80\n"
        "user_aligned: mov 1(%rdi), %eax; int $0x80\n"
        ".balign 4096\n");

typedef void go_fn(struct words *w, uint64_t stack);

static uint8_t other_stack[8192] __attribute__((aligned(4096)));

static struct words kernel_words(void)
{
    return (struct words){(uint64_t)iret_landed, KERNEL_CS, 2, (uint64_t)other_stack + 4096, KERNEL_SS};
}

static void go(void *w)
{
    ((go_fn *)iret_go)(w, 0);
}

/* The vector of what IRET with these words raises, at the IRET itself, where another went well before. */
static int refused(struct words w, struct frame *f)
{
    struct words usual = kernel_words();
    int vector;

    go(&usual);
    vector = catch_exception(go, &w, f);

    if (vector >= 0 && f->rip != (uint64_t)iret_at) {
        print("FAIL vector %u at %lx, not at the IRET\n", (unsigned)vector, f->rip);
        return -2;
    }
    return vector;
}

static unsigned arrived_wrong(const struct words *w, uint64_t ss)
{
    return (seen.rsp != w->rsp) + (seen.rflags != ((w->rflags & ~RF) | 2)) + (seen.ss != ss) +
           (seen.cs != KERNEL_CS) + (seen.registers != UINT64_C(0x6666666666666666));
}

/* ---- as usual ---- */

static void flags(void)
{
    static const uint64_t given[] = {0,  CF,         0x8d5, 0x44, 0x891, DF, ID, IOPL,
                                     RF, RF | 0x8d5, VIP,   AC,   IOPL | ID | DF | 0x8d5};
    struct words w = kernel_words();
    unsigned wrong = 0;

    for (unsigned n = 0; n < OFTEN; n++)
        for (unsigned k = 0; k < sizeof(given) / sizeof(*given); k++) {
            w.rflags = given[k];
            w.ss = n & 1 ? 0 : KERNEL_SS;
            w.rsp = (uint64_t)other_stack + 64 + n * 3;
            go(&w);
            wrong += arrived_wrong(&w, w.ss);
        }
    CHECK_EQ("flags, stack and selectors", wrong, 0);
}

static void upper_half(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) up = {(uint16_t)((uint8_t *)gdt_end - (uint8_t *)gdt - 1), (uint64_t)gdt + ALIAS},
                              down = {up.limit, (uint64_t)gdt};
    struct words w = kernel_words();
    unsigned wrong = 0;

    pml4[256] = pml4[0];
    WRITE_CR(3, READ_CR(3));
    __asm__ volatile("lgdt %0" : : "m"(up));
    w.rip += ALIAS;
    for (unsigned n = 0; n < OFTEN; n++) {
        w.rflags = n & 1 ? 0x8d5 : ID;
        ((go_fn *)((uint64_t)iret_go + ALIAS))(&w, ALIAS);
        wrong += arrived_wrong(&w, KERNEL_SS);
    }
    __asm__ volatile("lgdt %0" : : "m"(down));
    CHECK_EQ("the same in the upper half", wrong, 0);
}

static void to_user(void)
{
    static const uint64_t given[] = {IF, IF | CF, 0x8d5, DF | ID, IOPL | IF, RF | IF, AC | IF};
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        for (unsigned k = 0; k < sizeof(given) / sizeof(*given); k++) {
            user_rflags = given[k];
            wrong += run_user((void (*)(void *))user_flags, NULL, &f) != -1 || f.cs != USER_CS || f.ss != USER_SS ||
                     seen.rflags != ((given[k] & ~RF) | 2);
        }
    user_rflags = IF | 2;
    CHECK_EQ("flags and selectors of user code", wrong, 0);
}

/* Data segments that an outer level may not use are dropped, others stay. */
static void data_segments(void)
{
    static const uint16_t given[] = {0, 3, 0x10, USER_SS, 0x28};
    unsigned wrong = 0;

    for (unsigned n = 0; n < OFTEN; n++)
        for (unsigned k = 0; k < sizeof(given) / sizeof(*given); k++) {
            uint64_t stays = given[k] >= 0x28 ? given[k] : 0;

            __asm__ volatile("mov %0, %%ds; mov %1, %%es" : : "r"((uint32_t)given[k]), "r"(0));
            wrong += run_user((void (*)(void *))user_selectors, NULL, NULL) != -1 || seen.read != stays;
            __asm__ volatile("mov %0, %%es; mov %1, %%ds" : : "r"((uint32_t)given[k]), "r"(0));
            wrong += run_user((void (*)(void *))user_selectors, NULL, NULL) != -1 || seen.read != stays << 16;
            __asm__ volatile("mov %0, %%es" : : "r"(0));
        }
    CHECK_EQ("data segments of user code", wrong, 0);
}

/* ---- refused ---- */

static void bad_selectors(void)
{
    static const struct {
        const char *what;
        uint16_t cs, ss;
        int vector;
        uint64_t error;
    } all[] = {
        {"a null CS", 0, KERNEL_SS, 13, 0}, {"a CS that is data", 0x10, KERNEL_SS, 13, 0x10},
        {"a CS outside the GDT", 0xfff8, KERNEL_SS, 13, 0xfff8}, {"a CS in the LDT", 0x0c, KERNEL_SS, 13, 0x0c},
        {"a CS of RPL 2", 0x0a, KERNEL_SS, 13, 8}, {"a user's CS of RPL 0", 0x30, KERNEL_SS, 13, 0x30},
        {"an SS that is code", 8, 8, 13, 8}, {"an SS of RPL 3", 8, 0x13, 13, 0x10},
        {"an SS of a user", 8, 0x28, 13, 0x28}, {"a null SS of RPL 3", 8, 3, 13, 0},
        {"an SS in the LDT", 8, 0x14, 13, 0x14}, {"an SS outside the GDT", 8, 0xfff8, 13, 0xfff8},
        {"a null SS for user code", USER_CS, 0, 13, 0}, {"a kernel's SS for user code", USER_CS, KERNEL_SS, 13, 0x10},
        {"a user's SS of RPL 0", USER_CS, 0x28, 13, 0x28},
        {"a kernel's CS of RPL 3", 0x0b, USER_SS, 13, 8},
    };
    struct frame f;

    for (unsigned n = 0; n < sizeof(all) / sizeof(*all); n++) {
        struct words w = kernel_words();

        w.cs = all[n].cs;
        w.ss = all[n].ss;
        CHECK_EQ(all[n].what, refused(w, &f), all[n].vector);
        CHECK_EQ("  its error code", f.error, all[n].error);
    }
}

/* Of an entry of the GDT that nothing else goes by: one like the kernel's, with these bits flipped. */
static void bad_descriptors(void)
{
    static const struct {
        const char *what;
        unsigned like;
        uint64_t flip;
        int vector;
    } all[] = {
        {"CS as it is", 1, 0, -1}, {"CS not present", 1, UINT64_C(1) << 47, 11},
        {"CS of a user", 1, UINT64_C(3) << 45, 13},
        {"CS with L and D", 1, UINT64_C(1) << 54, 13}, {"CS a system segment", 1, UINT64_C(1) << 44, 13},
        {"CS with AVL", 1, UINT64_C(1) << 52, -1}, {"CS with a limit of 0", 1, UINT64_C(0xf00000000ffff), -1},
        {"SS as it is", 2, 0, -1}, {"SS not present", 2, UINT64_C(1) << 47, 12},
        {"SS read-only", 2, UINT64_C(1) << 41, 13},
        {"SS of a user", 2, UINT64_C(3) << 45, 13}, {"SS that grows down", 2, UINT64_C(1) << 42, -1},
        {"SS of 16 bits", 2, UINT64_C(1) << 54, -1},
    };
    struct frame f = {.error = 0};

    for (unsigned n = 0; n < sizeof(all) / sizeof(*all); n++) {
        struct words w = kernel_words();

        gdt[13] = gdt[all[n].like] ^ all[n].flip;
        *(all[n].like == 1 ? &w.cs : &w.ss) = 13 * 8;
        CHECK_EQ(all[n].what, refused(w, &f), all[n].vector);
        CHECK_EQ("  its error code", all[n].vector < 0 || f.error == 13 * 8, true);
    }
    gdt[13] = 0;
}

static void accessed(void)
{
    struct words w = kernel_words();
    unsigned wrong = 0;

    for (unsigned n = 0; n < 10; n++) {
        gdt[1] &= ~(UINT64_C(1) << 40);
        gdt[2] &= ~(UINT64_C(1) << 40);
        go(&w);
        wrong += arrived_wrong(&w, KERNEL_SS) || !(gdt[1] >> 40 & 1) || !(gdt[2] >> 40 & 1);
    }
    CHECK_EQ("descriptors are marked accessed", wrong, 0);
}

static void short_table(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) whole = {(uint16_t)((uint8_t *)gdt_end - (uint8_t *)gdt - 1), (uint64_t)gdt},
                              part = whole;
    struct words w = kernel_words();
    struct frame f = {.error = 1};

    gdt[14] = gdt[2];
    w.ss = 14 * 8;
    for (unsigned n = 0; n < OFTEN; n++)
        go(&w);
    part.limit = 14 * 8 + 6;
    __asm__ volatile("lgdt %0" : : "m"(part));
    CHECK_EQ("a descriptor that the GDT ends in", refused(w, &f), 13);
    CHECK_EQ("  its error code", f.error, 14 * 8);
    part.limit = 14 * 8 + 7;
    __asm__ volatile("lgdt %0" : : "m"(part));
    CHECK_EQ("  at the end of which it ends", refused(w, &f), -1);
    __asm__ volatile("lgdt %0" : : "m"(whole));
}

static void addresses(void)
{
    struct words w = kernel_words();
    struct frame f;

    w.rip = UINT64_C(1) << 47;
    CHECK_EQ("RIP not canonical", refused(w, &f), 13);
    CHECK_EQ("  its error code", f.error, 0);
    w.cs = USER_CS;
    w.ss = USER_SS;
    CHECK_EQ("  of user code", refused(w, &f), 13);
    CHECK_EQ("  CS", f.cs, KERNEL_CS);
    w = kernel_words();
    w.rip = (uint64_t)iret_landed;
    w.rsp = UINT64_C(1) << 63 | 123; /* nobody looks before it is used */
    CHECK_EQ("RSP not canonical", refused(w, &f), -1);
    CHECK_EQ("  is taken", seen.rsp, w.rsp);
}

static void nested_task(void)
{
    struct words w = kernel_words();
    struct frame f;

    w.rflags = NT;
    go(&w);
    CHECK_EQ("IRET sets NT", seen.rflags & NT, NT);
    w.rflags = 2;
    __asm__ volatile("pushf; orl $0x4000, (%%rsp); popf" : : : "memory");
    CHECK_EQ("IRET with NT set", catch_exception(go, &w, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)iret_at);
    CHECK_EQ("  its error code", f.error, 0);
    __asm__ volatile("pushf; andl $~0x4000, (%%rsp); popf" : : : "memory");
    CHECK_EQ("  and without", refused(w, &f), -1);
}

/* ---- frames ---- */

struct far_frame {
    struct words w;
    uint64_t away; /* from our stack to there */
};

static void go_far(void *p)
{
    struct far_frame *a = p;

    ((go_fn *)iret_go)(&a->w, a->away);
}

/* With the frame's last word ending at end. */
static int go_with_frame(uint64_t end, struct frame *f)
{
    struct far_frame a = {.w = kernel_words()};

    catch_exception(go_far, &a, f); /* seen.back is where the frame begins to be pushed */
    a.away = end - seen.back;
    return catch_exception(go_far, &a, f);
}

static void frames(void)
{
    uint8_t *first = alloc_page(), *second = alloc_page();
    struct words w = kernel_words();
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        wrong += go_with_frame((uint64_t)second + 8 * (n % 6), &f) != -1 || arrived_wrong(&w, KERNEL_SS);
    CHECK_EQ("frames that lie in two pages", wrong, 0);
    CHECK_EQ("  next to each other", second - first, 4096);
}

/* ---- events ---- */

static unsigned arrived, early;

static void on_event(struct frame *f)
{
    arrived++;
    early += f->rip != (uint64_t)iret_landed;
    apic_write(0xb0, 0);
}

static void events(void)
{
    struct words w = kernel_words();
    unsigned wrong = 0;

    apic_enable();
    set_handler(0x61, on_event);
    for (unsigned n = 0; n < OFTEN; n++) {
        w.rflags = 2;
        apic_write(0x300, 0x44061); /* to ourselves */
        go(&w);
        wrong += arrived != n || arrived_wrong(&w, KERNEL_SS);
        w.rflags = IF | 2;
        go(&w);
        wrong += arrived != n + 1;
    }
    CHECK_EQ("an interrupt waits for IRET to set IF", wrong, 0);
    CHECK_EQ("  and comes right behind it", early, 0);
}

static unsigned nmis, inside, nested;

static void on_nmi(struct frame *f)
{
    nested += inside != 0;
    inside = 1;
    nmis++;
    if (nmis & 1)
        apic_write(0x300, 0x44400); /* another one: blocked until we return */
    for (volatile unsigned k = 0; k < 50; k++)
        ;
    inside = 0;
}

static void nmi(void)
{
    unsigned wrong = 0;

    set_handler(2, on_nmi);
    uncaught = 1u << 2;
    for (unsigned n = 0; n < OFTEN; n++) {
        apic_write(0x300, 0x44400);
        for (volatile unsigned k = 0; k < 100000 && nmis != 2 * n + 2; k++)
            ;
        wrong += nmis != 2 * n + 2;
    }
    CHECK_EQ("NMIs that come in an NMI's handler", wrong, 0);
    CHECK_EQ("  come behind its IRET", nested, 0);
    uncaught = 0;
}

static void steps_and_breakpoints(void)
{
    struct words w = kernel_words();
    struct frame f;
    int vector;

    w.rflags = TF | 2;
    vector = catch_exception(go, &w, &f);
    CHECK_EQ("IRET that sets TF: #DB", vector, 1);
    CHECK_EQ("  behind the first instruction", f.rip, (uint64_t)iret_second);
    w.rflags = 2;
    CHECK_EQ("  and no more", catch_exception(go, &w, &f), -1);
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(iret_landed), "r"(UINT64_C(0x402)));
    CHECK_EQ("a breakpoint where IRET leads", catch_exception(go, &w, &f), 1);
    CHECK_EQ("  before anything is done there", f.rip, (uint64_t)iret_landed);
    w.rflags = RF | 2;
    CHECK_EQ("  not with RF", catch_exception(go, &w, &f), -1);
    __asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(0x400)));
    w.rflags = 2;
    CHECK_EQ("  and no more", catch_exception(go, &w, &f), -1);
}

/* ---- AC ---- */

extern char iret_and_read[], iret_and_read_at[];

/* IRET with the frame at rdi, then read from where rsi says. */
__asm__(".text\n"
        "iret_and_read: mov %rsp, seen+40\n"
        "    push 32(%rdi); push 24(%rdi); push 16(%rdi); push 8(%rdi); push (%rdi)\n"
        "    iretq\n"
        "iret_and_read_at: mov (%rsi), %eax; mov seen+40, %rsp; push $2; popf; ret\n");

struct access {
    struct words w;
    void *at;
};

static void iret_then_read(void *p)
{
    struct access *a = p;

    ((void (*)(struct words *, void *))iret_and_read)(&a->w, a->at);
}

static void smap(void)
{
    uint32_t eax = 7, ebx, ecx = 0;
    uint8_t *user = (uint8_t *)UINT64_C(0x8000000000);
    struct access a = {.w = kernel_words(), .at = user};
    unsigned wrong = 0;
    struct frame f;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    if (!(ebx & 1u << 20))
        return;
    a.w.rip = (uint64_t)iret_and_read_at;
    *page_entry((uint64_t)user) = 0x1ff000 | 7;
    pml4[0] &= ~UINT64_C(4);
    WRITE_CR(3, READ_CR(3));
    WRITE_CR(4, READ_CR(4) | CR4_SMAP);
    for (unsigned n = 0; n < OFTEN; n++) {
        a.w.rflags = AC | 2;
        wrong += catch_exception(iret_then_read, &a, &f) != -1;
        a.w.rflags = 2;
        wrong += catch_exception(iret_then_read, &a, &f) != 14 || f.rip != (uint64_t)iret_and_read_at;
    }
    CHECK_EQ("a user's page behind IRET that sets AC, and clears it", wrong, 0);
    WRITE_CR(4, READ_CR(4) & ~CR4_SMAP);
    pml4[0] |= 4;
    WRITE_CR(3, READ_CR(3));
}

static void alignment(void)
{
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        wrong += run_user((void (*)(void *))user_aligned, &seen, &f) != -1;
    CHECK_EQ("user code that does not align", wrong, 0);
    WRITE_CR(0, READ_CR(0) | CR0_AM);
    user_rflags = AC | IF | 2;
    CHECK_EQ("IRET to user code with AC: #AC", run_user((void (*)(void *))user_aligned, &seen, &f), 17);
    user_rflags = IF | 2;
    CHECK_EQ("  not without", run_user((void (*)(void *))user_aligned, &seen, &f), -1);
    WRITE_CR(0, READ_CR(0) & ~CR0_AM);
}

/* ---- by user code ---- */

static void by_user(void)
{
    struct words w = {(uint64_t)user_flags, USER_CS, IF | CF | IOPL | VIP, (uint64_t)other_stack + 4096, USER_SS};
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        wrong += run_user((void (*)(void *))iret_user, &w, &f) != -1 || f.rsp != w.rsp ||
                 seen.rflags != (IF | CF | 2);
    CHECK_EQ("IRET by user code changes no IOPL", wrong, 0);
    w.cs = KERNEL_CS;
    w.ss = KERNEL_SS;
    CHECK_EQ("  goes to no inner level", run_user((void (*)(void *))iret_user, &w, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)iret_user_at);
    CHECK_EQ("  CS", f.cs, USER_CS);
    CHECK_EQ("  its error code", f.error, KERNEL_CS);
}

int guest_main(void)
{
    flags();
    upper_half();
    to_user();
    data_segments();
    bad_selectors();
    bad_descriptors();
    accessed();
    short_table();
    addresses();
    nested_task();
    frames();
    events();
    nmi();
    steps_and_breakpoints();
    smap();
    alignment();
    by_user();
    return check_failures();
}
