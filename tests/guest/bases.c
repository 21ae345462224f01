/* SPDX-License-Identifier: MIT */
/* Fixed offsets from FS and GS, as kernels keep there what is each CPU's, and programs what is each thread's, so often
 * that a translator remembers the pages: bases that change in every way, to anywhere in a page, also so that
 * words lie in two; other pages at the same address; pages that may not be accessed any more with other privilege or
 * without AC. SDM vol. 3, 3.4.4, 4.6; vol. 2, SWAPGS, WRGSBASE. */
#include "guest.h"

#define OFTEN 100 /* more than it takes to be translated */
#define PLACES 8
#define BASE   UINT64_C(0x610000000000)
#define STRIDE UINT64_C(0x10000)
#define USER   UINT64_C(0x8000000000)

#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101
#define KERNEL_GS_BASE 0xc0000102
#define CR4_FSGSBASE UINT64_C(0x10000)
#define CR4_SMAP UINT64_C(0x200000)

extern char bases_sum[], bases_count[], bases_fs[], bases_user[], bases_user_at[], bases_ac[], bases_without[];

__asm__(".text; .balign 4096\n"
        "bases_sum:   mov %gs:8, %rax; add %gs:0x1010, %rax; movzbl %gs:0x1019, %ecx; add %rcx, %rax\n"
        "             add %gs:16, %rax; ret\n"
        "bases_count: addq $1, %gs:0x1020; mov %rdi, %gs:0x28; mov %gs:0x1020, %rax; ret\n"
        "bases_fs:    mov %fs:8, %rax; add %fs:-8, %rax; addl $1, %fs:-16; ret\n"
        "bases_user:  mov $50, %ecx\n"
        "1:           dec %ecx; jnz 1b\n"
        "bases_user_at: mov %gs:8, %rax; int $0x80\n"
        "bases_ac:    stac; mov %gs:8, %rax; clac; ret\n"
        "bases_without: mov %gs:8, %rax; ret\n"
        ".balign 4096\n");

typedef uint64_t fn(uint64_t a);
#define RUN(name, a) ((fn *)(name))((uint64_t)(a))

static uint8_t *ram[PLACES][3]; /* three pages in a row at each place, which are not neighbours */
static bool good;

static uint64_t place(unsigned n)
{
    return BASE + n * STRIDE;
}

static uint8_t *byte_of(uint64_t va)
{
    return &ram[(va - BASE) / STRIDE][(va - BASE) % STRIDE / 4096][va & 4095];
}

static uint64_t word(uint64_t va, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < bytes; n++)
        value |= (uint64_t)*byte_of(va + n) << 8 * n;
    return value;
}

static void want(uint64_t got, uint64_t wanted, const char *what, uint64_t base)
{
    if (got == wanted || !good)
        return;
    good = false;
    print("FAIL %s with base %lx: %lx, not %lx\n", what, base, got, wanted);
}

static void map(unsigned n)
{
    for (unsigned k = 0; k < 3; k++) {
        *page_entry(place(n) + k * 4096) = (uint64_t)ram[n][k] | 3;
        flush_page((void *)(place(n) + k * 4096));
    }
}

static void make_places(void)
{
    for (unsigned k = 0; k < 3; k++)
        for (unsigned n = 0; n < PLACES; n++) {
            ram[n][k] = alloc_page();
            for (unsigned at = 0; at < 4096; at++)
                ram[n][k][at] = (uint8_t)(at * 5 + n * 31 + k * 77 + at / 256);
        }
    for (unsigned n = 0; n < PLACES; n++)
        map(n);
}

/* In one of the ways that there are. */
static void set_gs(uint64_t base, unsigned way)
{
    if (way % 3 == 0) {
        wrmsr(GS_BASE, base);
    } else if (way % 3 == 1) {
        wrmsr(KERNEL_GS_BASE, base);
        __asm__ volatile("swapgs" : : : "memory");
    } else {
        __asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
    }
}

static void use_gs(uint64_t base)
{
    uint64_t count = word(base + 0x1020, 8);

    want(RUN(bases_sum, 0), word(base + 8, 8) + word(base + 0x1010, 8) + word(base + 0x1019, 1) + word(base + 16, 8),
         "a sum", base);
    want(RUN(bases_count, base ^ 0x55), count + 1, "a count", base);
    want(word(base + 0x1020, 8), count + 1, "the count in memory", base);
    want(word(base + 0x28, 8), base ^ 0x55, "what was stored", base);
}

static void use_fs(uint64_t base)
{
    uint32_t count = (uint32_t)word(base - 16, 4);

    want(RUN(bases_fs, 0), word(base + 8, 8) + word(base - 8, 8), "a sum by FS", base);
    want(word(base - 16, 4), (uint32_t)(count + 1), "a count by FS", base);
}

static void bases_that_change(void)
{
    uint32_t seed = 7;

    good = true;
    for (unsigned n = 0; n < OFTEN; n++) {
        set_gs(place(0), n);
        use_gs(place(0));
        wrmsr(FS_BASE, place(1) + 64);
        use_fs(place(1) + 64);
    }
    for (unsigned n = 0; n < 40 * OFTEN; n++) {
        seed = seed * 1103515245 + 12345;
        uint64_t base = place(seed >> 16 & (PLACES - 1)) + (n % 3 == 0 ? 0 : n % 3 == 1 ? seed >> 20 & 0xff8 : seed >> 20);

        set_gs(base, seed >> 8 & 7);
        use_gs(base);
        if (n % 4 == 0)
            use_gs(base); /* again, with all remembered */
        if (n % 4 < 3)
            continue;
        base |= 64;
        wrmsr(FS_BASE, base);
        use_fs(base);
    }
    CHECK("bases that change", good);
}

static void pages_that_change(void)
{
    uint64_t base = place(2);

    good = true;
    set_gs(base, 0);
    for (unsigned n = 0; n < 4 * OFTEN; n++) {
        unsigned k = n % 3 == 2;
        uint8_t *p = ram[2][k];

        use_gs(base);
        ram[2][k] = ram[3][k];
        ram[3][k] = p;
        *page_entry(base + k * 4096) = (uint64_t)ram[2][k] | 3;
        if (n & 1)
            flush_page((void *)(base + k * 4096));
        else
            WRITE_CR(3, READ_CR(3));
        use_gs(base);
    }
    map(3);
    CHECK("other pages at the same address", good);
}

static void try_count(void *arg)
{
    RUN(bases_count, 1);
}

/* Stores to what may only be read since. */
static void read_only(void)
{
    uint64_t base = place(4);
    struct frame f;

    good = true;
    set_gs(base, 0);
    for (unsigned n = 0; n < 30; n++) {
        use_gs(base);
        *page_entry(base + 0x1000) &= ~UINT64_C(2);
        flush_page((void *)(base + 0x1000));
        want((uint64_t)catch_exception(try_count, NULL, &f), 14, "a store", base);
        want(READ_CR(2), base + 0x1020, "its address", base);
        want(f.error, 3, "its code", base);
        *page_entry(base + 0x1000) |= 2;
        flush_page((void *)(base + 0x1000));
    }
    CHECK("a page that may be written no more", good);
}

/* What the kernel has just read is not the user's. */
static void by_user(void)
{
    uint64_t base = place(5);
    struct frame f;

    good = true;
    for (unsigned n = 0; n < OFTEN; n++) {
        set_gs(base, n);
        use_gs(base);
        want((uint64_t)run_user((void (*)(void *))(uintptr_t)bases_user, NULL, &f), 14, "a user's read", base);
        want(f.rip, (uint64_t)bases_user_at, "where it is", base);
        want(f.error, 5, "its code", base);
        use_gs(base);
    }
    CHECK("the kernel's page is not the user's", good);
}

static void try_without(void *arg)
{
    RUN(bases_without, 0);
}

static void smap(void)
{
    uint64_t number = UINT64_C(0x1122334455667788);
    uint8_t *page = alloc_page();
    struct frame f;

    good = true;
    memcpy(page + 8, &number, 8);
    *page_entry(USER) = (uint64_t)page | 7;
    pml4[0] &= ~UINT64_C(4); /* all else is the kernel's */
    WRITE_CR(3, READ_CR(3));
    WRITE_CR(4, READ_CR(4) | CR4_SMAP);
    set_gs(USER, 0);
    for (unsigned n = 0; n < OFTEN; n++) {
        want(RUN(bases_ac, 0), number, "with AC", USER);
        want((uint64_t)catch_exception(try_without, NULL, &f), 14, "without AC", USER);
    }
    WRITE_CR(4, READ_CR(4) & ~CR4_SMAP);
    want(RUN(bases_without, 0), number, "with SMAP off", USER);
    pml4[0] |= 4;
    WRITE_CR(3, READ_CR(3));
    CHECK("the user's page with AC and without", good);
}

int guest_main(void)
{
    WRITE_CR(0, READ_CR(0) | 0x10000); /* WP */
    WRITE_CR(4, READ_CR(4) | CR4_FSGSBASE);
    make_places();
    bases_that_change();
    pages_that_change();
    read_only();
    by_user();
    smap();
    return check_failures();
}
