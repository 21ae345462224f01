/* SPDX-License-Identifier: MIT */
/* What must be gone from the TLB after each thing that empties it, with many pages in it, and what
 * emptying costs: lines "# NAME: N cycles", the best of some tries. They are meant to be looked at
 * beside QEMU's (qemu-system-x86_64 -machine pc,accel=tcg -cpu max -m 256 -kernel flushes.elf -serial stdio
 * -display none -device isa-debug-exit,iobase=0xf4). SDM vol. 3, 4.10.4. */
#include "guest.h"

#define P 1u
#define W 2u
#define PS 0x80u
#define G 0x100u
#define WP UINT64_C(0x10000)
#define PGE UINT64_C(0x80)
#define MANY 1500u /* pages: more than any list of what is in a TLB will hold */
#define AREA UINT64_C(0x8000000000)
#define LARGE UINT64_C(0x8040000000) /* 2 MiB pages */
#define HUGE UINT64_C(0x8080000000)  /* one of 1 GiB */

/* Two sets of pages, the second with other contents. */
static uint64_t *page_of(unsigned set, unsigned n)
{
    return (uint64_t *)(UINT64_C(0x4000000) + set * UINT64_C(0x1000000) + n * UINT64_C(4096));
}

static void map_all(unsigned set, uint64_t flags)
{
    for (unsigned n = 0; n < MANY; n++)
        *page_entry(AREA + n * UINT64_C(4096)) = (uint64_t)page_of(set, n) | flags;
}

/* How many pages show this set's contents? */
static unsigned shown(unsigned set)
{
    unsigned count = 0;

    for (unsigned n = 0; n < MANY; n++)
        count += *(volatile uint64_t *)(AREA + n * UINT64_C(4096)) == set * 10000 + n;
    return count;
}

static void by_cr3(void)
{
    WRITE_CR(3, READ_CR(3));
}

static void by_pge(void)
{
    WRITE_CR(4, READ_CR(4) ^ PGE);
    WRITE_CR(4, READ_CR(4) ^ PGE);
}

static void by_pages(void)
{
    for (unsigned n = 0; n < MANY; n++)
        flush_page((void *)(AREA + n * UINT64_C(4096)));
}

static void by_paging_off_and_on(void)
{
    extern char paging_off[];

    ((void (*)(void))paging_off)();
}
/* To compatibility mode, there off and on again, and back. */
__asm__("paging_off: push %rbx; lea 1f(%rip), %rax; push $0x18; push %rax; lretq\n"
        ".code32\n"
        "1: mov %cr0, %eax; btr $31, %eax; mov %eax, %cr0; bts $31, %eax; mov %eax, %cr0\n"
        "   ljmp $8, $2f\n"
        ".code64\n"
        "2: pop %rbx; ret\n");

static void drops_all(const char *name, void (*fn)(void), uint64_t flags)
{
    print("# %s\n", name);
    map_all(0, P | W | flags);
    by_pge();
    CHECK_EQ("pages before", shown(0), MANY);
    map_all(1, P | W | flags);
    fn();
    CHECK_EQ("pages after", shown(1), MANY);
    map_all(0, P | W | flags);
    fn();
    CHECK_EQ("pages after it once more", shown(0), MANY);
}

/* ---- large pages ---- */

static uint64_t *pd_of_large(void)
{
    static uint64_t *pd;

    if (!pd) {
        uint64_t *pdpt = (uint64_t *)(pml4[AREA >> 39] & UINT64_C(0xffffffffff000));

        pd = alloc_page();
        pdpt[LARGE >> 30 & 511] = (uint64_t)pd | P | W;
    }
    return pd;
}

static void large_pages(void)
{
    uint64_t *pd = pd_of_large(), sum[2] = {0, 0}, want[2] = {0, 0};

    pd[0] = 0x4000000 | P | W | PS;
    pd[1] = 0x4200000 | P | W | PS;
    for (unsigned n = 0; n < 512; n++) {
        sum[0] += *(volatile uint64_t *)(LARGE + n * UINT64_C(4096));
        sum[0] += *(volatile uint64_t *)(LARGE + 0x200000 + n * UINT64_C(4096));
        want[0] += *page_of(0, n) + *page_of(0, n + 512);
    }
    CHECK_EQ("in 2 MiB pages", sum[0], want[0]);
    pd[0] = 0x5000000 | P | W | PS;
    flush_page((void *)(LARGE + 0x123456));
    for (unsigned n = 0; n < 512; n++) {
        sum[1] += *(volatile uint64_t *)(LARGE + n * UINT64_C(4096));
        want[1] += *page_of(1, n);
    }
    CHECK_EQ("INVLPG anywhere drops all of a 2 MiB page", sum[1], want[1]);
}

static void code_in_large_pages(void)
{
    static const uint8_t ret[2][6] = {{0xb8, 1, 0, 0, 0, 0xc3}, {0xb8, 2, 0, 0, 0, 0xc3}};
    uint64_t *pd = pd_of_large();
    uint64_t (*fn)(void) = (uint64_t (*)(void))(LARGE + 0x400000 + 0x5020);
    unsigned wrong = 0;

    memcpy((void *)(uintptr_t)(0x6000000 + 0x5020), ret[0], 6);
    memcpy((void *)(uintptr_t)(0x6200000 + 0x5020), ret[1], 6);
    for (unsigned n = 0; n < 200; n++) {
        pd[2] = (n & 1 ? UINT64_C(0x6200000) : UINT64_C(0x6000000)) | P | W | PS;
        flush_page((void *)(LARGE + 0x400000 + n * UINT64_C(4096)));
        for (unsigned k = 0; k < 30; k++)
            wrong += (fn() & 0xff) != 1 + (n & 1);
    }
    CHECK_EQ("code in a 2 MiB page that becomes another one", wrong, 0);
}

static void huge_page(void)
{
    uint64_t *pdpt = (uint64_t *)(pml4[AREA >> 39] & UINT64_C(0xffffffffff000)), v = 0;
    uint32_t eax = 0x80000001, edx;

    __asm__("cpuid" : "+a"(eax), "=d"(edx) : : "rbx", "rcx");
    if (!(edx & 1u << 26))
        return;
    pdpt[HUGE >> 30 & 511] = P | W | PS;
    for (unsigned n = 0; n < 512; n++)
        v += *(volatile uint64_t *)(HUGE + (uint64_t)page_of(0, n));
    CHECK_EQ("in a 1 GiB page", v, 511 * 256);
    pdpt[HUGE >> 30 & 511] = (uint64_t)pd_of_large() | P | W;
    pd_of_large()[32] = 0x5000000 | P | W | PS;
    flush_page((void *)(HUGE + 0x3f000000));
    CHECK_EQ("INVLPG anywhere drops all of a 1 GiB page", *(volatile uint64_t *)(HUGE + 0x4001000),
             10001);
    pd_of_large()[32] = 0;
}

/* ---- CR0.WP ---- */

static void store(void *at)
{
    *(volatile uint64_t *)at = 3;
}

static int try_store(uint64_t va, bool wp)
{
    uint64_t cr0 = READ_CR(0);
    int r;

    WRITE_CR(0, wp ? cr0 | WP : cr0 & ~WP);
    r = catch_exception(store, (void *)va, NULL);
    WRITE_CR(0, cr0 | WP);
    return r;
}

static void write_protection(void)
{
    uint64_t va = AREA + 7 * 4096, cr4 = READ_CR(4);
    uint32_t eax = 1, ecx;
    unsigned wrong = 0;

    map_all(0, P);
    by_cr3();
    CHECK_EQ("a store under WP", try_store(va, true), 14);
    CHECK_EQ("  without", try_store(va, false), -1);
    CHECK_EQ("  under it again", try_store(va, true), 14);
    for (unsigned n = 0; n < 300; n++)
        wrong += try_store(va + 4096 * (n % 20), n & 1) != (n & 1 ? 14 : -1);
    CHECK_EQ("stores to pages in turn", wrong, 0);
    __asm__("cpuid" : "+a"(eax), "=c"(ecx) : : "rbx", "rdx");
    if (!(ecx & 1u << 17))
        return;
    /* Rights that were found without WP in another address space. */
    WRITE_CR(4, cr4 | 0x20000);
    WRITE_CR(0, READ_CR(0) & ~WP);
    WRITE_CR(3, READ_CR(3) | 5);
    store((void *)va);
    WRITE_CR(3, (READ_CR(3) & ~UINT64_C(0xfff)) | UINT64_C(1) << 63);
    WRITE_CR(0, READ_CR(0) | WP);
    WRITE_CR(3, READ_CR(3) | 5 | UINT64_C(1) << 63);
    CHECK_EQ("rights of another PCID", catch_exception(store, (void *)va, NULL), 14);
    WRITE_CR(3, READ_CR(3) & ~UINT64_C(0xfff));
    WRITE_CR(4, cr4);
    CHECK_EQ("what was stored", *page_of(0, 7), 3);
}

static void read_then_store(void)
{
    uint64_t va = AREA + 40 * 4096;

    /* A read of a dirty page may find out that it may be written. */
    *page_entry(va) = (uint64_t)page_of(0, 40) | P | 0x60;
    by_cr3();
    WRITE_CR(0, READ_CR(0) & ~WP);
    (void)*(volatile uint64_t *)va;
    WRITE_CR(0, READ_CR(0) | WP);
    CHECK_EQ("a store after a read without WP", catch_exception(store, (void *)va, NULL), 14);
}

/* ---- cost ---- */

static uint64_t *small, *large;

static void wp_off_and_on(void)
{
    WRITE_CR(0, READ_CR(0) & ~WP);
    WRITE_CR(0, READ_CR(0) | WP);
}

static void invlpg_small(void)
{
    flush_page(small);
}

static void invlpg_large(void)
{
    flush_page(large);
}

static void invlpg_large_used(void)
{
    (void)*(volatile uint64_t *)large;
    flush_page(large);
}

static void cr3_and_pages(void)
{
    by_cr3();
    for (unsigned n = 0; n < 16; n++)
        (void)*(volatile uint64_t *)(AREA + n * UINT64_C(4096));
}

static void cost(const char *name, void (*fn)(void))
{
    uint64_t best = UINT64_MAX;

    for (unsigned try = 0; try < 20; try++) {
        uint64_t at = rdtsc(), took;

        for (unsigned n = 0; n < 500; n++)
            fn();
        took = (rdtsc() - at) / 500;
        best = took < best ? took : best;
    }
    print("# %s: %u cycles\n", name, (unsigned)best);
}

static void costs(void)
{
    map_all(0, P | W);
    small = (uint64_t *)AREA;
    large = (uint64_t *)(LARGE + 0x1000);
    pd_of_large()[0] = 0x4000000 | P | W | PS;
    (void)*(volatile uint64_t *)small;
    cost("MOV CR3", by_cr3);
    cost("MOV CR3, 16 pages used", cr3_and_pages);
    cost("CR0.WP off and on", wp_off_and_on);
    cost("CR4.PGE on and off", by_pge);
    cost("INVLPG of a 4 KiB page", invlpg_small);
    cost("INVLPG inside a 2 MiB page", invlpg_large);
    cost("INVLPG inside a 2 MiB page in use", invlpg_large_used);
}

int guest_main(void)
{
    for (unsigned n = 0; n < MANY; n++) {
        *page_of(0, n) = n;
        *page_of(1, n) = 10000 + n;
    }
    page_entry(AREA);
    costs();
    drops_all("MOV CR3", by_cr3, 0);
    drops_all("CR4.PGE", by_pge, 0);
    drops_all("CR4.PGE, global pages", by_pge, G);
    drops_all("INVLPG", by_pages, G);
    drops_all("CR0.PG", by_paging_off_and_on, G);
    large_pages();
    code_in_large_pages();
    huge_page();
    write_protection();
    read_then_store();
    return check_failures();
}
