/* SPDX-License-Identifier: MIT */
/* The worst cases of a translating CPU, one after the other and all the time: accesses that cross
 * pages, code that runs at two addresses, mappings that change between any two calls, branches with
 * thousands of targets, blocks that overwrite themselves. What is computed must be right, and timer
 * interrupts must get through meanwhile. */
#include "guest.h"

#define PAGE      4096u
#define TICKS_MIN 3
#define LIMIT     UINT64_C(60000000000) /* cycles: only against hanging */

static volatile unsigned ticks;
static uint64_t seed = 88172645463325252u;

static void on_tick(struct frame *f)
{
    ticks++;
    apic_write(0xb0, 0);
}

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Repeat a case, at least rounds times, and until interrupts have come. */
static void run(const char *name, bool (*round)(unsigned n), unsigned rounds)
{
    uint64_t start = rdtsc();
    unsigned n = 0;
    bool ok = true;

    ticks = 0;
    while (ok && (n < rounds || (ticks < TICKS_MIN && rdtsc() - start < LIMIT)))
        ok = round(n++);
    CHECK(name, ok);
    CHECK("  and is interrupted", ticks >= TICKS_MIN);
}

static void map(uint64_t va, const void *page)
{
    *page_entry(va) = (uint64_t)page | 3;
    flush_page((void *)va);
}

/* ---- every access crosses a page ---- */

#define WINDOW UINT64_C(0x60000000)
#define PAGES  8u
#define LEN    (PAGES * PAGE)

static uint8_t *pages[PAGES], *model;

/* The same operation on the window, whose pages are no neighbours, and on plain memory. */
static uint64_t operate(uint8_t *at, unsigned what, uint64_t v)
{
    uint64_t r = 0;

    switch (what % 8) {
    case 0:
        *(volatile uint64_t *)at = v;
        break;
    case 1:
        __asm__ volatile("addq %2, %1; adc $0, %0" : "+r"(r), "+m"(*(uint64_t *)at) : "r"(v) : "cc");
        break;
    case 2:
        __asm__ volatile("lock xaddl %k0, %1" : "+r"(v), "+m"(*(uint32_t *)at) : : "cc");
        r = (uint32_t)v;
        break;
    case 3:
        r = *(volatile uint64_t *)at ^ *(volatile uint16_t *)at;
        break;
    case 4: /* the stack */
        __asm__ volatile("mov %%rsp, %%rbx; lea 8(%1), %%rsp; push %2; pop %0; push %0; pushw %w2;"
                         "mov %%rbx, %%rsp" : "=&r"(r) : "r"(at), "r"(v) : "rbx", "memory");
        break;
    case 5:
        __asm__ volatile("xchgq %0, %1; bswap %0" : "+r"(v), "+m"(*(uint64_t *)at));
        r = v;
        break;
    case 6:
        __asm__ volatile("rolq %%cl, %0; setc %b1" : "+m"(*(uint64_t *)at), "+q"(r) : "c"(v) : "cc");
        break;
    default: {
        uint64_t len = 13;
        uint8_t *to = at;

        __asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(v) : "memory");
    }
    }
    return r;
}

static bool crossing(unsigned n)
{
    bool ok = true;

    for (unsigned k = 0; k < 500; k++) {
        unsigned at = PAGE * (1 + (unsigned)(rnd() % (PAGES - 2))) - 1 - (unsigned)(rnd() % 7);
        unsigned what = (unsigned)(rnd() >> 20);
        uint64_t v = rnd();

        ok &= operate((uint8_t *)WINDOW + at, what, v) == operate(model + at, what, v);
    }
    for (unsigned k = 0; k < LEN; k += 8)
        ok &= *(uint64_t *)(WINDOW + k) == *(uint64_t *)(model + k);
    return ok;
}

static void set_up_crossing(void)
{
    model = alloc_page();
    for (unsigned k = 1; k < PAGES; k++)
        alloc_page(); /* they follow each other */
    for (unsigned k = 0; k < PAGES; k++) {
        pages[k] = alloc_page();
        alloc_page();
        map(WINDOW + PAGE * (k * 5 % PAGES), pages[k]);
    }
}

/* ---- code at two addresses, whose neighbours differ ---- */

#define ONE UINT64_C(0x70000000)
#define TWO UINT64_C(0x70100000)

static uint8_t *code, *behind[2];

/* At 0x100: call the page behind 50 times and add up. At 0x200: one's own address. At 0x300: a
 * branch there, or not. At 0xff0: fall into it. */
static void write_code(void)
{
    static const uint8_t sum[] = {0x31, 0xd2, 0xb9, 50, 0, 0, 0, /* 0x107: */ 0xe8, 0x04, 0x0f, 0, 0,
                                  0x01, 0xc2, 0xff, 0xc9, 0x75, 0xf5, 0x89, 0xd0, 0xc3};
    static const uint8_t where[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3};
    static const uint8_t branch[] = {0x85, 0xff, 0x0f, 0x85, 0x38, 0x0d, 0, 0, 0x31, 0xc0, 0xc3};

    for (unsigned k = 0; k < PAGE; k++)
        code[k] = 0x90;
    for (unsigned k = 0; k < sizeof(sum); k++)
        code[0x100 + k] = sum[k];
    for (unsigned k = 0; k < sizeof(where); k++)
        code[0x200 + k] = where[k];
    for (unsigned k = 0; k < sizeof(branch); k++)
        code[0x300 + k] = branch[k];
    code[0xff0] = 0x31, code[0xff1] = 0xc0; /* xor eax, eax */
    for (unsigned k = 0; k < 2; k++) {
        uint8_t *b = behind[k];

        b[0] = 0x05, *(uint32_t *)(b + 1) = 100 + k, b[5] = 0xc3;     /* add eax, 100 + k; ret */
        b[0x10] = 0xb8, *(uint32_t *)(b + 0x11) = 1 + k, b[0x15] = 0xc3; /* mov eax, 1 + k; ret */
        b[0x40] = 0xb8, *(uint32_t *)(b + 0x41) = 7 + k, b[0x45] = 0xc3;
    }
}

static bool calls_at(uint64_t at, unsigned which)
{
    unsigned (*sum)(void) = (unsigned (*)(void))(at + 0x100);
    uint64_t (*where)(void) = (uint64_t (*)(void))(at + 0x200);
    unsigned (*branch)(int) = (unsigned (*)(int))(at + 0x300);
    unsigned (*fall)(void) = (unsigned (*)(void))(at + 0xff0);

    return sum() == 50 * (1 + which) && where() == at + 0x207 && branch(0) == 0 &&
           branch(1) == 7 + which && fall() == 100 + which;
}

static bool two_addresses(unsigned n)
{
    return n % 3 ? calls_at(ONE, 0) : calls_at(TWO, 1);
}

/* ---- mappings that change all the time ---- */

#define MOVING UINT64_C(0x70200000)

static bool remapping(unsigned n)
{
    unsigned which = n & 1;
    uint64_t *data = (uint64_t *)(WINDOW + PAGE * (PAGES + 1));
    bool ok;

    *page_entry(MOVING) = (uint64_t)code | 3;
    *page_entry(MOVING + PAGE) = (uint64_t)behind[which] | 3;
    *page_entry((uint64_t)data) = (uint64_t)pages[n % PAGES] | 3;
    if (n % 3) {
        flush_page((void *)(MOVING + PAGE));
        flush_page(data);
    } else {
        WRITE_CR(3, READ_CR(3));
    }
    ok = calls_at(MOVING, which);
    data[7] = n;
    return ok && *(volatile uint64_t *)(pages[n % PAGES] + 56) == n;
}

/* ---- thousands of targets ---- */

#define TARGETS 8192u
#define STRIDE  32u

static uint8_t *targets[TARGETS * STRIDE / PAGE];

static bool many_targets(unsigned n)
{
    uint64_t got = 0, want = 0;

    for (unsigned k = 0; k < TARGETS; k++) {
        unsigned t = (unsigned)(rnd() % TARGETS);
        unsigned (*fn)(unsigned) =
            (unsigned (*)(unsigned))(targets[t * STRIDE / PAGE] + t * STRIDE % PAGE);

        got += fn(n + k);
        want += n + k + t;
    }
    return got == want;
}

/* lea eax, [rdi + t]; ret */
static void set_up_targets(void)
{
    for (unsigned k = 0; k < TARGETS * STRIDE / PAGE; k++)
        targets[k] = alloc_page();
    for (unsigned t = 0; t < TARGETS; t++) {
        uint8_t *at = targets[t * STRIDE / PAGE] + t * STRIDE % PAGE;

        at[0] = 0x8d, at[1] = 0x87, *(uint32_t *)(at + 2) = t, at[6] = 0xc3;
    }
}

/* ---- a block that overwrites itself, with flags that outlive the store ---- */

/* stc; mov [rip to the immediate], esi; adc edi, imm32; mov eax, edi; ret. And data right behind. */
static bool itself(unsigned n)
{
    static uint8_t *own;
    unsigned (*fn)(unsigned, unsigned);
    bool ok = true;

    if (!own) {
        static const uint8_t bytes[] = {0xf9, 0x89, 0x35, 0x02, 0, 0, 0, 0x81, 0xd7, 0, 0, 0, 0,
                                        0x89, 0xf8, 0xc3};

        own = alloc_page();
        for (unsigned k = 0; k < sizeof(bytes); k++)
            own[k] = bytes[k];
    }
    fn = (unsigned (*)(unsigned, unsigned))own;
    for (unsigned k = 0; k < 200; k++) {
        ok &= fn(n, k * 3) == n + k * 3 + 1;
        *(volatile uint64_t *)(own + 2048 + k * 8) = k; /* same page, no code there */
    }
    return ok;
}

int guest_main(void)
{
    set_up_crossing();
    set_up_targets();
    code = alloc_page();
    behind[0] = alloc_page();
    behind[1] = alloc_page();
    write_code();
    map(ONE, code);
    map(ONE + PAGE, behind[0]);
    map(TWO, code);
    map(TWO + PAGE, behind[1]);
    apic_enable();
    set_handler(0x60, on_tick);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x20060); /* periodic */
    apic_write(0x380, 500000);
    __asm__ volatile("sti");
    run("accesses that cross pages", crossing, 20);
    run("code at two addresses", two_addresses, 3000);
    run("mappings that change", remapping, 3000);
    run("thousands of targets", many_targets, 10);
    run("a block that overwrites itself", itself, 20);
    __asm__ volatile("cli");
    apic_write(0x380, 0);
    return check_failures();
}
