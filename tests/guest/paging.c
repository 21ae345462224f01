/* SPDX-License-Identifier: MIT */
/* Paging in long mode: every protection bit at every level against every kind of access and every
 * control bit, error codes, accessed and dirty flags, reserved bits, large pages, and that what
 * must leave the TLB does. SDM vol. 3, 4.5 to 4.10. */
#include "guest.h"

#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define G 0x100u
#define NX (UINT64_C(1) << 63)
#define VA UINT64_C(0x8080000000) /* PML4 entry 1, PDPT entry 2, the rest 0 */
#define ADDRESS UINT64_C(0xffffffffff000)

enum { READ, WRITE, EXEC };

static uint64_t *entry[5]; /* by level, 1: PTE */
static uint64_t full[5];   /* the same with all rights */
static uint8_t *user_code; /* READ, WRITE, EXEC stubs at 0, 64, 128 */
static bool has_smep, has_smap;

static void clear_ac(void)
{
    __asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" : : : "cc", "memory");
}

static void set_ac(void)
{
    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf" : : : "cc", "memory");
}

/* Tables for VA down to `bottom`, whose entry maps phys. */
static void build(unsigned bottom, uint64_t phys)
{
    uint64_t *table = pml4;

    for (unsigned level = 4; level >= bottom; level--) {
        unsigned index = VA >> (12 + 9 * (level - 1)) & 511;

        entry[level] = &table[index];
        if (level == bottom) {
            full[level] = phys | P | W | U | (level > 1 ? PS : 0);
        } else {
            table = alloc_page();
            full[level] = (uint64_t)table | P | W | U;
        }
        *entry[level] = full[level];
    }
}

static void super_read(void *p)
{
    *(volatile uint8_t *)p;
}

static void super_write(void *p)
{
    *(volatile uint8_t *)p = 0xc3;
}

static void super_exec(void *p)
{
    ((void (*)(void))p)();
}

static int access_as(bool user, int kind, bool ac, struct frame *f)
{
    static void (*const super[])(void *) = {super_read, super_write, super_exec};
    int vector;

    if (user)
        return run_user((void (*)(void *))(user_code + 64 * kind), (void *)VA, f);
    if (ac)
        set_ac();
    vector = catch_exception(super[kind], (void *)VA, f);
    clear_ac();
    return vector;
}

struct mode {
    bool wp, smep, smap, ac, nxe;
};

static void set_mode(const struct mode *m)
{
    uint64_t cr4 = READ_CR(4) & ~UINT64_C(0x300000), efer = rdmsr(0xc0000080);

    WRITE_CR(0, (READ_CR(0) & ~UINT64_C(0x10000)) | (m->wp ? 0x10000 : 0));
    WRITE_CR(4, cr4 | (m->smep ? 0x100000 : 0) | (m->smap ? 0x200000 : 0));
    wrmsr(0xc0000080, (efer & ~UINT64_C(0x800)) | (m->nxe ? 0x800 : 0));
}

/* -1, or the error code, for one access with `flags` at one level and full rights elsewhere. */
static int expected(const struct mode *m, uint64_t flags, bool user, int kind)
{
    int error = (kind == WRITE ? 2 : 0) | (user ? 4 : 0) |
                (kind == EXEC && (m->nxe || m->smep) ? 16 : 0);
    bool ok;

    if (!(flags & P))
        return error;
    if ((flags & NX) && !m->nxe)
        return error | 9;
    if (kind == EXEC)
        ok = !(flags & NX) && (user ? (flags & U) != 0 : !((flags & U) && m->smep));
    else if (user)
        ok = (flags & U) && (kind == READ || (flags & W));
    else
        ok = !((flags & U) && m->smap && !m->ac) && (kind == READ || (flags & W) || !m->wp);
    return ok ? -1 : error | 1;
}

static unsigned wrong;

static void complain(unsigned bottom, unsigned level, uint64_t flags, bool user, int kind,
                     const struct mode *m, int want, int got, const char *what)
{
    if (wrong++ < 8)
        print("# page level %u, entry level %u %s%s%s%s, %s %s, WP%d SMEP%d SMAP%d AC%d NXE%d: "
              "%s expected %d, got %d\n", bottom, level, flags & P ? "P" : "-",
              flags & W ? "W" : "-", flags & U ? "U" : "-", flags & NX ? "N" : "-",
              user ? "user" : "supervisor", kind == READ ? "read" : kind == WRITE ? "write" : "exec",
              m->wp, m->smep, m->smap, m->ac, m->nxe, what, want, got);
}

static void try_access(unsigned bottom, unsigned level, uint64_t flags, const struct mode *m,
                       bool user, int kind)
{
    int want = expected(m, flags, user, kind), got, vector;
    struct frame f;

    for (unsigned n = bottom; n <= 4; n++)
        *entry[n] = full[n];
    *entry[level] = (full[level] & ~(uint64_t)(P | W | U)) | flags;
    flush_page((void *)VA);
    WRITE_CR(2, 0);
    vector = access_as(user, kind, m->ac, &f);
    got = vector < 0 ? -1 : vector == 14 ? (int)f.error : 1000 + vector;
    if (got != want)
        complain(bottom, level, flags, user, kind, m, want, got, "error");
    if (got >= 0 && READ_CR(2) != VA)
        complain(bottom, level, flags, user, kind, m, 0, (int)READ_CR(2), "CR2");
    if (want < 0) {
        for (unsigned n = bottom; n <= 4; n++)
            if (!(*entry[n] & A))
                complain(bottom, level, flags, user, kind, m, n, 0, "accessed flag at level");
        if (!(*entry[bottom] & D) != (kind != WRITE))
            complain(bottom, level, flags, user, kind, m, kind == WRITE, kind != WRITE, "dirty");
    } else if (*entry[bottom] & D) {
        complain(bottom, level, flags, user, kind, m, 0, 1, "dirty after a fault");
    }
}

static void all_rights(unsigned bottom, const struct mode *m)
{
    set_mode(m);
    for (unsigned level = bottom; level <= 4; level++)
        for (unsigned bits = 0; bits < 16; bits++)
            for (int kind = READ; kind <= EXEC; kind++)
                for (int user = 0; user < 2; user++)
                    try_access(bottom, level, (bits & 7) | (bits & 8 ? NX : 0), m, user, kind);
}

static void all_modes(unsigned bottom, uint64_t phys, const char *name)
{
    wrong = 0;
    build(bottom, phys);
    for (unsigned n = 0; n < 32; n++) {
        struct mode m = {n & 1, n & 2, n & 4, n & 8, n & 16};

        if ((m.smep && !has_smep) || (m.smap && !has_smap))
            continue;
        all_rights(bottom, &m);
    }
    set_mode(&(struct mode){true, false, false, false, true});
    CHECK_EQ(name, wrong, 0);
}

/* ---- reserved bits ---- */

static void reserved(const char *name, unsigned level, uint64_t bits, bool is_reserved)
{
    struct frame f;
    int vector;

    *entry[level] = full[level] | bits;
    flush_page((void *)VA);
    vector = access_as(false, READ, false, &f);
    if (is_reserved)
        CHECK_EQ(name, vector == 14 ? f.error : 100, 9);
    else
        CHECK_EQ(name, vector, -1);
    *entry[level] = full[level];
    flush_page((void *)VA);
}

static void reserved_bits(uint64_t phys)
{
    uint32_t eax = 0x80000008, width;

    __asm__("cpuid" : "+a"(eax) : : "rbx", "rcx", "rdx");
    width = eax & 255;
    build(1, phys);
    reserved("PS in a PML4 entry is reserved", 4, PS, true);
    reserved("bit 7 of a PTE is PAT", 1, PS, false);
    reserved("ignored bits are ignored", 1, UINT64_C(0x7ff0000000000e00), false);
    if (width < 52)
        for (unsigned level = 1; level <= 4; level++)
            reserved("an address wider than the CPU's", level, UINT64_C(1) << width, true);
    build(2, phys & ~UINT64_C(0x1fffff));
    reserved("bit 13 of a 2 MiB page", 2, 1 << 13, true);
    reserved("bit 20 of a 2 MiB page", 2, 1 << 20, true);
    reserved("bit 12 of a 2 MiB page is PAT", 2, 1 << 12, false);
    build(3, 0);
    reserved("bit 29 of a 1 GiB page", 3, 1 << 29, true);
    reserved("bit 12 of a 1 GiB page is PAT", 3, 1 << 12, false);
}

/* ---- the TLB ---- */

static uint64_t look(uint64_t va)
{
    return *(volatile uint64_t *)va;
}

static void map_at(uint64_t va, const void *page, uint64_t flags)
{
    *page_entry(va) = (uint64_t)page | flags;
}

static void flushes(void)
{
    uint64_t *a = alloc_page(), *b = alloc_page(), va = UINT64_C(0x9000000000), cr4 = READ_CR(4);
    struct frame f;

    a[0] = 1;
    b[0] = 2;
    map_at(va, a, P | W | G);
    flush_page((void *)va);
    CHECK_EQ("a page", look(va), 1);
    map_at(va, b, P | W | G);
    flush_page((void *)va);
    CHECK_EQ("INVLPG drops a page", look(va), 2);
    map_at(va, a, P | W);
    flush_page((void *)va);
    look(va);
    map_at(va, b, P | W);
    WRITE_CR(3, READ_CR(3));
    CHECK_EQ("a write to CR3 drops what is not global", look(va), 2);
    WRITE_CR(4, cr4 | 0x80);
    map_at(va, a, P | W | G);
    flush_page((void *)va);
    look(va);
    map_at(va, b, P | W | G);
    WRITE_CR(4, cr4);
    CHECK_EQ("clearing CR4.PGE drops global pages", look(va), 2);
    map_at(va, b, P);
    flush_page((void *)va);
    look(va);
    CHECK_EQ("a write to a read-only page already read",
             catch_exception(super_write, (void *)va, &f), 14);
    map_at(va, b, P | W); /* more rights need no flush: the fault is retried by a new walk */
    CHECK_EQ("rights that were added", catch_exception(super_write, (void *)va, &f), -1);
    map_at(va, b, P | W);
    flush_page((void *)va);
    look(va);
    CHECK_EQ("no D by a read", *page_entry(va) & D, 0);
    catch_exception(super_write, (void *)va, &f);
    CHECK_EQ("D by a write after a read", *page_entry(va) & D, D);
}

static void split(void)
{
    uint64_t va = UINT64_C(0x10000000000), *other = alloc_page();
    uint64_t *pdpt = alloc_page(), *pd = alloc_page();

    pml4[va >> 39] = (uint64_t)pdpt | P | W;
    pdpt[0] = (uint64_t)pd | P | W;
    pd[0] = 0x2000000 | P | W | PS;
    *(volatile uint64_t *)0x2005000 = 77;
    other[0] = 99;
    CHECK_EQ("in a 2 MiB page", look(va + 0x5000), 77);
    look(va + 0x6000);
    page_entry(va);
    map_at(va + 0x6000, other, P | W);
    flush_page((void *)va + 0x3000); /* any address in the large page drops all of it */
    CHECK_EQ("a split page", look(va + 0x5000), 77);
    CHECK_EQ("replaced after the split", look(va + 0x6000), 99);
}

/* ---- address space numbers ---- */

static uint64_t space[2]; /* CR3 of two spaces in which 0x18000000000 shows 1 and 2 */

static void make_space(unsigned n, uint64_t global)
{
    uint64_t *top = alloc_page(), *pdpt = alloc_page(), *pd = alloc_page(), *pt = alloc_page();
    uint64_t *page = alloc_page();

    for (unsigned i = 0; i < 512; i++)
        top[i] = pml4[i];
    top[0x18000000000 >> 39] = (uint64_t)pdpt | P | W;
    pdpt[0] = (uint64_t)pd | P | W;
    pd[0] = (uint64_t)pt | P | W;
    pt[0] = (uint64_t)page | P | W | global;
    page[0] = n + 1;
    space[n] = (uint64_t)top | (n + 1);
}

static uint64_t *leaf_of(unsigned n)
{
    uint64_t *t = (uint64_t *)(space[n] & ADDRESS);

    t = (uint64_t *)(t[0x18000000000 >> 39] & ADDRESS);
    t = (uint64_t *)(t[0] & ADDRESS);
    return (uint64_t *)(t[0] & ADDRESS);
}

static void invpcid_raw(uint64_t type, uint64_t pcid, uint64_t va)
{
    uint64_t d[2] = {pcid, va};

    __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static void bad_invpcid(void *arg)
{
    invpcid_raw(arg ? 4 : 0, arg ? 0 : 0x1000, 0);
}

static void pcids(void)
{
    const uint64_t va = UINT64_C(0x18000000000), keep = UINT64_C(1) << 63;
    uint64_t cr3 = READ_CR(3), *page = alloc_page();
    uint32_t eax = 7, ebx, ecx = 0;
    struct frame f;
    bool ok = true;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    page[0] = 55;
    make_space(0, 0);
    make_space(1, 0);
    WRITE_CR(4, READ_CR(4) | 0x20000);
    for (unsigned n = 0; n < 100; n++) {
        WRITE_CR(3, space[n & 1] | keep);
        ok &= look(va) == (n & 1) + 1;
    }
    CHECK("two spaces without flushes", ok);
    CHECK_EQ("bit 63 of CR3 reads as 0", READ_CR(3), space[1]);
    *leaf_of(0) = (uint64_t)page | P | W;
    WRITE_CR(3, space[0]);
    CHECK_EQ("a write to CR3 without bit 63 flushes that PCID", look(va), 55);
    if (ebx >> 10 & 1) {
        for (unsigned type = 0; type < 4; type++) {
            page = alloc_page();
            page[0] = 100 + type;
            WRITE_CR(3, space[0] | keep);
            look(va);
            WRITE_CR(3, space[1] | keep);
            *leaf_of(0) = (uint64_t)page | P | W;
            invpcid_raw(type, type < 2 ? 1 : 0, type ? 0 : va);
            WRITE_CR(3, space[0] | keep);
            CHECK_EQ("INVPCID of another space", look(va), 100 + type);
        }
        CHECK_EQ("INVPCID with a bad descriptor", catch_exception(bad_invpcid, NULL, &f), 13);
        CHECK_EQ("INVPCID with a bad type", catch_exception(bad_invpcid, &f, &f), 13);
    }
    WRITE_CR(3, cr3);
    WRITE_CR(4, READ_CR(4) & ~UINT64_C(0x20000));
    page[0] = 7;
    WRITE_CR(3, space[0] & ADDRESS);
    CHECK_EQ("without PCIDs", look(va), 7);
    WRITE_CR(3, cr3);
}

int guest_main(void)
{
    static const uint8_t code[3][4] = {{0x8a, 0x07, 0xcd, 0x80},        /* mov (%rdi), %al */
                                       {0xc6, 0x07, 0xc3, 0xcd},        /* movb $0xc3, (%rdi) */
                                       {0xff, 0xd7, 0xcd, 0x80}};       /* call *%rdi */
    uint32_t eax = 7, ebx, ecx = 0, edx;
    uint8_t *page = (uint8_t *)0x3000000;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    has_smep = ebx >> 7 & 1;
    has_smap = ebx >> 20 & 1;
    take_from_user();
    user_code = alloc_page();
    for (unsigned k = 0; k < 3; k++)
        for (unsigned n = 0; n < 4; n++)
            user_code[64 * k + n] = code[k][n];
    user_code[64 + 4] = 0x80;
    map_user(user_code, 4096);
    page[0] = 0xc3;
    all_modes(1, (uint64_t)page, "rights of 4 KiB pages");
    all_modes(2, (uint64_t)page, "rights of 2 MiB pages");
    eax = 0x80000001;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (edx >> 26 & 1) {
        uint8_t old = *(volatile uint8_t *)0;

        *(volatile uint8_t *)(uintptr_t)0 = 0xc3;
        all_modes(3, 0, "rights of 1 GiB pages");
        *(volatile uint8_t *)(uintptr_t)0 = old;
    }
    reserved_bits((uint64_t)page);
    flushes();
    split();
    eax = 1;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (ecx >> 17 & 1)
        pcids();
    return check_failures();
}
