/* SPDX-License-Identifier: MIT */
/* The older kinds of paging: two levels of 32-bit entries with 4 MiB pages and PSE-36, and PAE with
 * NX. Every protection bit, error codes, accessed and dirty bits, global pages, the PDPTE
 * registers. SDM vol. 3, 4.3, 4.4, 4.6 to 4.10. */
#include "guest32.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };

/* All tables and the page under test; the first 4 MiB stay mapped one to one. */
static uint32_t dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(32))), pae_dir[512] __attribute__((aligned(4096))),
    pae_table[512] __attribute__((aligned(4096))), pae_top[512] __attribute__((aligned(4096)));
static uint32_t page[2][1024] __attribute__((aligned(4096)));

#define AT    UINT32_C(0x00c00000) /* where the page is mapped: directory entry 3 or 6, table entry 0 */
#define LARGE UINT32_C(0x40000000)

static void flush(void)
{
    WRITE_CR(3, READ_CR(3));
}

static void do_read(void *at)
{
    (void)*(volatile uint32_t *)at;
}

static void do_write(void *at)
{
    *(volatile uint32_t *)at = 1;
}

static void user_read(void *at)
{
    do_read(at);
    user_return();
}

static void user_write(void *at)
{
    do_write(at);
    user_return();
}

static void user_run(void *at)
{
    ((void (*)(void))at)();
    user_return();
}

/* The error code of the page fault that fn causes at AT, or -1 if there is none. */
static int fault(void (*fn)(void *), bool user)
{
    struct frame f;
    int vector = user ? run_user(fn, (void *)AT, 0, &f) : catch_exception(fn, (void *)AT, &f);

    if (vector == -1)
        return -1;
    if (vector != 14)
        return 1000 + vector;
    if (READ_CR(2) != AT)
        return 2000;
    return (int)f.error;
}

typedef void set_fn(uint64_t upper, uint64_t lower);

static void set_32(uint64_t upper, uint64_t lower)
{
    dir[AT >> 22] = upper ? (uint32_t)table | (uint32_t)upper : 0;
    table[0] = lower ? (uint32_t)page[0] | (uint32_t)lower : 0;
    flush();
}

static void set_pae(uint64_t upper, uint64_t lower)
{
    pae_dir[AT >> 21] = upper ? (uint32_t)pae_table | upper : 0;
    pae_table[0] = lower ? (uint32_t)page[0] | lower : 0;
    flush();
}

static void protection(const char *kind, set_fn *set)
{
    print("# %s\n", kind);
    set(0, 0);
    CHECK_EQ("no directory entry: read", fault(do_read, false), 0);
    CHECK_EQ("  write", fault(do_write, false), 2);
    CHECK_EQ("  user read", fault(user_read, true), 4);
    CHECK_EQ("  user write", fault(user_write, true), 6);
    set(P | W | U, 0);
    CHECK_EQ("no table entry: user write", fault(user_write, true), 6);
    set(P | W, P | W);
    CHECK_EQ("a supervisor page", fault(do_write, false), -1);
    CHECK_EQ("  user read", fault(user_read, true), 5);
    CHECK_EQ("  user write", fault(user_write, true), 7);
    set(P | W | U, P | W);
    CHECK_EQ("supervisor by the lower entry", fault(user_read, true), 5);
    set(P | W, P | W | U);
    CHECK_EQ("supervisor by the upper entry", fault(user_read, true), 5);
    set(P | U, P | W | U);
    CHECK_EQ("read-only by the upper entry: user write", fault(user_write, true), 7);
    CHECK_EQ("  user read", fault(user_read, true), -1);
    CHECK_EQ("  the kernel writes without CR0.WP", fault(do_write, false), -1);
    WRITE_CR(0, READ_CR(0) | 0x10000);
    CHECK_EQ("  and not with it", fault(do_write, false), 3);
    set(P | W | U, P | U);
    CHECK_EQ("read-only by the lower entry", fault(do_write, false), 3);
    WRITE_CR(0, READ_CR(0) & ~0x10000u);
    set(P | W | U, P | W | U);
    CHECK_EQ("all allowed: user write", fault(user_write, true), -1);
}

static void run_32(void)
{
    for (unsigned i = 0; i < 3; i++)
        dir[i] = i << 22 | PS | P | W | U;
    dir[0xfee00000 >> 22] = 0xfec00000 | PS | P | W;
    WRITE_CR(3, dir);
    WRITE_CR(4, READ_CR(4) | 0x10); /* PSE */
    WRITE_CR(0, READ_CR(0) | 0x80000000);
    protection("32-bit paging", set_32);
    set_32(P | W | U, P | W | U);
    do_read((void *)AT);
    CHECK_EQ("a read sets accessed", table[0] & (A | D), A);
    CHECK_EQ("  above too", dir[AT >> 22] & A, A);
    do_write((void *)AT);
    CHECK_EQ("a write sets dirty", table[0] & (A | D), A | D);
    /* Without PSE bit 7 of a directory entry means nothing. */
    dir[LARGE >> 22] = ((uint32_t)page[0] & 0xffc00000) | PS | P | W | U;
    flush();
    page[0][5] = 0x600d;
    CHECK_EQ("a 4 MiB page", *(volatile uint32_t *)(LARGE + ((uint32_t)&page[0][5] & 0x3fffff)), 0x600d);
    CHECK_EQ("  accessed", dir[LARGE >> 22] & (A | D), A);
    *(volatile uint32_t *)(LARGE + ((uint32_t)&page[0][6] & 0x3fffff)) = 7;
    CHECK_EQ("  dirty", dir[LARGE >> 22] & (A | D), A | D);
    CHECK_EQ("  written", page[0][6], 7);
    dir[LARGE >> 22] |= 1 << 21; /* reserved: bits 21 to 17 or so beyond what PSE-36 has */
    flush();
    {
        struct frame f;

        CHECK_EQ("  a reserved bit faults", catch_exception(do_read, (void *)LARGE, &f), 14);
        CHECK_EQ("  with RSVD", f.error, 9);
    }
    WRITE_CR(0, READ_CR(0) & 0x7fffffff);
    WRITE_CR(4, READ_CR(4) & ~0x10u);
}

static void global_pages(void)
{
    volatile uint32_t *at = (void *)AT;

    page[0][0] = 1;
    page[1][0] = 2;
    WRITE_CR(4, READ_CR(4) | 0x80);
    set_pae(P | W | U, P | W | U | G);
    CHECK_EQ("a global page", *at, 1);
    pae_table[0] = (uint32_t)page[1] | P | W | U | G;
    flush();
    CHECK("  may outlive a load of CR3", *at == 1 || *at == 2);
    WRITE_CR(4, READ_CR(4) & ~0x80u);
    CHECK_EQ("  and not a change of CR4.PGE", *at, 2);
    pae_table[0] = (uint32_t)page[0] | P | W | U;
    __asm__ volatile("invlpg %0" : : "m"(*at) : "memory");
    CHECK_EQ("INVLPG", *at, 1);
}

static void load_cr3(void *p)
{
    WRITE_CR(3, (uint32_t)p);
}

static void run_pae(void)
{
    uint32_t lo, hi;

    for (unsigned i = 0; i < 6; i++)
        pae_dir[i] = (uint64_t)i << 21 | PS | P | W | U;
    pae_top[0x1f7] = UINT64_C(0xfee00000) | PS | P | W;
    pdpt[0] = (uint32_t)pae_dir | P;
    pdpt[3] = (uint32_t)pae_top | P;
    WRITE_CR(4, READ_CR(4) | 0x20);
    WRITE_CR(3, pdpt);
    WRITE_CR(0, READ_CR(0) | 0x80000000);
    protection("PAE", set_pae);
    global_pages();
    /* The PDPTE registers are loaded with CR3, not from memory at each use. */
    pdpt[0] = 0;
    CHECK("the PDPTEs are in registers", *(volatile uint32_t *)page[0] == 1);
    pdpt[0] = (uint32_t)pae_dir | P;
    pdpt[2] = (uint32_t)pae_dir | P | W; /* reserved bit */
    CHECK_EQ("a reserved bit in a PDPTE: #GP", catch_exception(load_cr3, pdpt, NULL), 13);
    pdpt[2] = 0;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(0xc0000080));
    {
        struct frame f;

        set_pae(P | W | U, P | W | U | UINT64_C(1) << 63);
        CHECK_EQ("NX is reserved without EFER.NXE", catch_exception(do_read, (void *)AT, &f), 14);
        CHECK_EQ("  RSVD", f.error, 9);
    }
    __asm__ volatile("wrmsr" : : "a"(lo | 0x800), "d"(hi), "c"(0xc0000080));
    page[0][0] = 0xc3; /* RET */
    set_pae(P | W | U, P | W | U | UINT64_C(1) << 63);
    CHECK_EQ("NX: reads", fault(do_read, false), -1);
    CHECK_EQ("  does not run for users", fault(user_run, true), 0x15);
    set_pae(P | W | U, P | W | U);
    CHECK_EQ("without: runs", fault(user_run, true), -1);
    set_pae(P | W | U | UINT64_C(1) << 63, P | W | U);
    CHECK_EQ("NX above", fault(user_run, true), 0x15);
    WRITE_CR(0, READ_CR(0) & 0x7fffffff);
}

int guest_main(void)
{
    run_32();
    run_pae();
    return 1;
}
