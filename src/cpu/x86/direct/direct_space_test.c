/* SPDX-License-Identifier: MIT */
/* What a stub would map, for page tables that the test writes. The stub is an array of what every page
 * of the first gigabytes is mapped to, made from the commands. */
#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/long_rig.h"
#include "cpu/x86/smc.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* The tables of the test: one of each level, and a second page table. */
#define ROOT   UINT64_C(0x10000)
#define LEVEL3 UINT64_C(0x11000)
#define LEVEL2 UINT64_C(0x12000)
#define TABLE  UINT64_C(0x13000)
#define TABLE2 UINT64_C(0x14000)
#define PAGES  UINT64_C(0x100000) /* of the program */
#define BASE   UINT64_C(0x40000000) /* the first table's addresses */

#define GRANTED (X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A)

static const uint8_t nothing[] = {0xf4};

struct page {
    uint64_t offset;
    unsigned prot; /* 0: not mapped */
};

static struct page seen[2 * LEAF_PAGES]; /* from BASE on */
static unsigned maps, unmaps;
static uint64_t end; /* where no command may reach */

static bool out_map(void *arg, uint64_t va, uint64_t len, uint64_t offset, unsigned prot)
{
    ck_assert(len && va % MEM_PAGE_SIZE == 0 && len % MEM_PAGE_SIZE == 0);
    maps++;
    for (; len; len -= MEM_PAGE_SIZE, va += MEM_PAGE_SIZE, offset += MEM_PAGE_SIZE) {
        ck_assert_uint_ge(va, BASE);
        ck_assert_uint_lt(va, BASE + sizeof(seen) / sizeof(seen[0]) * MEM_PAGE_SIZE);
        seen[(va - BASE) / MEM_PAGE_SIZE] = (struct page){offset, prot};
    }
    return true;
}

static bool out_unmap(void *arg, uint64_t va, uint64_t len)
{
    unmaps++;
    ck_assert_uint_le(va + len, end);
    for (unsigned n = 0; n < ARRAY_SIZE(seen); n++)
        if (BASE + n * (uint64_t)MEM_PAGE_SIZE - va < len)
            seen[n].prot = 0;
    return true;
}

static int out_flush(void *arg)
{
    return 0;
}

static const struct direct_out out = {out_map, out_unmap, out_flush, NULL};

struct fixture {
    struct rig rig;
    struct x86_cpu *c;
    struct direct_vm *v;
    struct space *s;
};

static uint64_t *entry(struct fixture *f, gpa_t table, unsigned n)
{
    return mem_ptr(f->rig.mem, table + 8 * n, 8, MEM_WRITE);
}

static void *zeroed(size_t len)
{
    void *p = calloc(1, len);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void start(struct fixture *f, unsigned cpus)
{
    rig_create(&f->rig, "on", cpus, 0x20000, nothing, sizeof(nothing));
    memset(seen, 0, sizeof(seen));
    maps = unmaps = 0;
    f->c = f->rig.c;
    f->v = zeroed(sizeof(*f->v));
    f->v->vm = f->rig.vm;
    f->v->lowest = 0x10000;
    f->v->end = end = STUB_ADDRESS_END;
    f->v->pages = RIG_RAM / MEM_PAGE_SIZE;
    f->v->scan = zeroed(f->v->pages);
    f->v->where = zeroed(f->v->pages * sizeof(*f->v->where));
    f->v->forgiven = zeroed(f->v->pages);
    f->v->scan_cpuid = true;
    f->c->direct = zeroed(sizeof(*f->c->direct));
    f->c->direct->vm = f->v;
    f->s = &f->v->space[3];
    f->s->root = ROOT;
    f->s->slot = 200;
    f->c->cr3 = ROOT;
    mem_own(f->rig.mem, f->rig.mem->base, RIG_RAM);
    *entry(f, ROOT, 0) = LEVEL3 | GRANTED;
    *entry(f, LEVEL3, 1) = LEVEL2 | GRANTED;
    *entry(f, LEVEL2, 0) = TABLE | GRANTED;
    *entry(f, LEVEL2, 1) = TABLE2 | GRANTED;
}

static void stop(struct fixture *f)
{
    space_forget(f->v, f->s);
    free(f->c->direct);
    f->c->direct = NULL;
    free((void *)f->v->scan);
    free((void *)f->v->where);
    free(f->v->forgiven);
    free(f->v->leaf);
    free(f->v);
    rig_destroy(&f->rig);
}

static void grant(struct fixture *f, unsigned n, uint64_t page, uint64_t bits)
{
    *entry(f, n < LEAF_PAGES ? TABLE : TABLE2, n % LEAF_PAGES) = page | bits;
}

static uint64_t va_of(unsigned n)
{
    return BASE + n * (uint64_t)MEM_PAGE_SIZE;
}

static void assert_mapped(struct fixture *f, unsigned n, uint64_t page, unsigned prot)
{
    ck_assert_uint_eq(seen[n].prot, prot);
    if (prot)
        ck_assert_uint_eq(seen[n].offset, page);
    ck_assert_uint_eq(space_rights(f->s, va_of(n)) != 0, prot != 0);
}

START_TEST(maps_what_is_granted_and_no_more)
{
    const uint64_t data = GRANTED | X86_PTE_NX;
    struct fixture f;

    start(&f, 1);
    grant(&f, 0, PAGES, data | X86_PTE_D);
    grant(&f, 1, PAGES + 0x1000, data | X86_PTE_D);
    grant(&f, 2, PAGES + 0x9000, data);                                   /* not dirty yet */
    grant(&f, 3, PAGES + 0x3000, data & ~X86_PTE_A);                      /* not accessed */
    grant(&f, 4, PAGES + 0x4000, data & ~X86_PTE_U);                      /* the kernel's */
    grant(&f, 5, PAGES + 0x5000, data & ~X86_PTE_P);
    grant(&f, 6, (data & ~X86_PTE_W) | X86_PTE_D | (PAGES + 0x6000), 0);
    grant(&f, 7, UINT64_C(0xfee00000), data | X86_PTE_D);                 /* no RAM */
    grant(&f, 8, PAGES | BIT(50), data | X86_PTE_D);                      /* a reserved bit */
    f.c->efer |= X86_EFER_NXE;
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(0)), MAPPED_READ | MAPPED_WRITE);
    assert_mapped(&f, 0, PAGES, PROT_READ | PROT_WRITE);
    assert_mapped(&f, 1, PAGES + 0x1000, PROT_READ | PROT_WRITE);
    assert_mapped(&f, 2, PAGES + 0x9000, PROT_READ);
    for (unsigned n = 3; n < 6; n++)
        assert_mapped(&f, n, 0, 0);
    assert_mapped(&f, 6, PAGES + 0x6000, PROT_READ);
    for (unsigned n = 7; n < DIRECT_AROUND + 1; n++)
        assert_mapped(&f, n, 0, 0);
    ck_assert_uint_eq(maps, 3); /* 0 and 1 in one */
    ck_assert_uint_eq(f.s->pages, 4);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(3)), 0);
    f.c->efer &= ~(uint64_t)X86_EFER_NXE; /* NX is reserved then */
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE + LEAF_BYTES), 0);
    stop(&f);
}
END_TEST

/* Every level takes rights away. */
START_TEST(rights_come_from_all_levels)
{
    static const gpa_t table[] = {ROOT, LEVEL3, LEVEL2};
    static const unsigned index[] = {0, 1, 0};
    struct fixture f;

    for (unsigned n = 0; n < ARRAY_SIZE(table); n++) {
        start(&f, 1);
        f.c->efer |= X86_EFER_NXE;
        grant(&f, 0, PAGES, GRANTED | X86_PTE_D);
        f.v->scan[PAGES / MEM_PAGE_SIZE] = SCAN_CLEAN;
        *entry(&f, table[n], index[n]) &= ~X86_PTE_W;
        ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ | MAPPED_EXEC);
        *entry(&f, table[n], index[n]) |= X86_PTE_NX;
        ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ);
        *entry(&f, table[n], index[n]) &= ~X86_PTE_U;
        ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), 0);
        ck_assert_uint_eq(seen[0].prot, 0); /* what was there was not left either */
        stop(&f);
    }
}
END_TEST

START_TEST(unmaps_what_has_changed)
{
    const uint64_t data = GRANTED | X86_PTE_D;
    struct fixture f;

    start(&f, 1);
    for (unsigned n = 0; n < 16; n++)
        grant(&f, n, PAGES + n * 0x1000, data);
    space_fill(f.c, f.s, &out, BASE);
    ck_assert_uint_eq(maps, 1);
    ck_assert_uint_eq(space_check_all(f.c, f.s, &out), 0);
    ck_assert_uint_eq(unmaps, 0);
    grant(&f, 1, PAGES + 0x1000, data & ~X86_PTE_P);
    grant(&f, 2, PAGES + 0x2000, data & ~X86_PTE_W);
    grant(&f, 4, PAGES + 0x5000, data);
    grant(&f, 6, PAGES + 0x6000, data & ~X86_PTE_D); /* it was mapped writable */
    grant(&f, 8, PAGES + 0x8000, data & ~X86_PTE_A); /* the guest wants to see the next access */
    grant(&f, 9, PAGES + 0x9000, data | BIT(9) | BIT(55)); /* software's bits */
    assert_mapped(&f, 4, PAGES + 0x4000, PROT_READ | PROT_WRITE); /* stale, as in a TLB */
    ck_assert_uint_eq(space_check_all(f.c, f.s, &out), 5);
    ck_assert_uint_eq(unmaps, 4); /* 1 and 2 in one */
    for (unsigned n = 0; n < 16; n++) {
        bool gone = n == 1 || n == 2 || n == 4 || n == 6 || n == 8;

        assert_mapped(&f, n, PAGES + n * 0x1000, gone ? 0 : PROT_READ | PROT_WRITE);
    }
    stop(&f);
}
END_TEST

START_TEST(unmaps_single_pages)
{
    const uint64_t data = GRANTED | X86_PTE_D;
    struct fixture f;

    start(&f, 1);
    for (unsigned n = 0; n < 4; n++)
        grant(&f, n, PAGES + n * 0x1000, data);
    space_fill(f.c, f.s, &out, BASE);
    space_check_page(f.c, f.s, &out, va_of(1));
    space_check_page(f.c, f.s, &out, va_of(100));
    space_check_page(f.c, f.s, &out, va_of(2 * LEAF_PAGES));
    ck_assert_uint_eq(unmaps, 0);
    grant(&f, 1, 0, 0);
    grant(&f, 2, 0, 0);
    space_check_page(f.c, f.s, &out, va_of(1));
    assert_mapped(&f, 1, 0, 0);
    assert_mapped(&f, 2, PAGES + 0x2000, PROT_READ | PROT_WRITE); /* nobody has asked */
    *entry(&f, LEVEL2, 0) = TABLE2 | GRANTED;
    space_check_page(f.c, f.s, &out, va_of(3)); /* drops what the old table had */
    assert_mapped(&f, 0, 0, 0);
    assert_mapped(&f, 3, 0, 0);
    ck_assert_uint_eq(f.s->leaves, 0);
    stop(&f);
}
END_TEST

START_TEST(large_pages_are_one_run)
{
    struct fixture f;

    start(&f, 1);
    *entry(&f, LEVEL2, 1) = 0x400000 | GRANTED | X86_PTE_D | X86_PTE_PS;
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(LEAF_PAGES + 77)), MAPPED_READ | MAPPED_WRITE);
    ck_assert_uint_eq(maps, 1);
    assert_mapped(&f, LEAF_PAGES, 0x400000, PROT_READ | PROT_WRITE);
    assert_mapped(&f, 2 * LEAF_PAGES - 1, 0x5ff000, PROT_READ | PROT_WRITE);
    assert_mapped(&f, LEAF_PAGES - 1, 0, 0);
    *entry(&f, LEVEL2, 1) &= ~X86_PTE_D;
    space_check_page(f.c, f.s, &out, va_of(LEAF_PAGES + 1)); /* the page at va, as large as it is */
    assert_mapped(&f, 2 * LEAF_PAGES - 1, 0, 0);
    *entry(&f, LEVEL2, 1) |= BIT(14); /* reserved in large ones */
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(LEAF_PAGES)), 0);
    stop(&f);
}
END_TEST

START_TEST(code_is_scanned_and_not_writable)
{
    struct fixture f;
    uint8_t *code;

    start(&f, 1);
    code = mem_ptr(f.rig.mem, PAGES, 3 * MEM_PAGE_SIZE, MEM_WRITE);
    grant(&f, 0, PAGES, GRANTED | X86_PTE_D);
    grant(&f, 1, PAGES + 0x1000, GRANTED | X86_PTE_D);
    grant(&f, 2, PAGES + 0x2000, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ | MAPPED_WRITE); /* not looked at */
    ck_assert_int_eq(direct_scan(f.c, va_of(0), code), SCAN_CLEAN);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ | MAPPED_EXEC);
    assert_mapped(&f, 0, PAGES, PROT_READ | PROT_EXEC);
    memcpy(code + 0x1800, (const uint8_t[]){0x0f, 0xa2}, 2);
    ck_assert_int_eq(direct_scan(f.c, va_of(1), code + 0x1000), SCAN_FOUND);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(1)), MAPPED_READ);
    /* The last byte of one page and the first of the next. */
    code[0x2000] = 0xa2;
    code[0xfff] = 0x0f;
    ck_assert_int_eq(direct_scan(f.c, va_of(2), code + 0x2000), SCAN_CLEAN);
    grant(&f, 1, PAGES + 0x2000, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(1)), MAPPED_READ);
    grant(&f, 0, 0, 0);
    space_check_all(f.c, f.s, &out);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(1)), MAPPED_READ | MAPPED_EXEC);
    stop(&f);
}
END_TEST

struct scanner {
    struct fixture *f;
    const uint8_t *code;
    enum scanned found;
};

static void *scan(void *arg)
{
    struct scanner *s = arg;

    s->found = direct_scan(s->f->c, va_of(0), s->code);
    return NULL;
}

/* It may run natively already, from a copy that must not be written again. */
START_TEST(what_another_vcpu_has_found_stays)
{
    struct scanner s;
    struct fixture f;
    pthread_t t;

    start(&f, 1);
    s = (struct scanner){.f = &f, .code = mem_ptr(f.rig.mem, PAGES, MEM_PAGE_SIZE, MEM_WRITE)};
    direct_lock(f.v);
    ck_assert_int_eq(pthread_create(&t, NULL, scan, &s), 0);
    usleep(100000); /* it waits for the lock */
    f.v->scan[PAGES >> MEM_PAGE_SHIFT] = SCAN_COPIED;
    direct_unlock(f.v);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert_int_eq(s.found, SCAN_COPIED);
    ck_assert_int_eq(f.v->scan[PAGES >> MEM_PAGE_SHIFT], SCAN_COPIED);
    stop(&f);
}
END_TEST

/* A page is given to one program after the other: each time it has other code. */
START_TEST(changes_are_forgiven)
{
    struct fixture f;
    uint8_t *code;
    unsigned n = 0;

    start(&f, 1);
    code = mem_ptr(f.rig.mem, PAGES, MEM_PAGE_SIZE, MEM_WRITE);
    f.v->us = UINT64_C(1) << 40; /* however slow this is: it is not a second */
    f.v->forgiven[PAGES >> MEM_PAGE_SHIFT] = (uint8_t)(clock_tsc() / (1000 * 1000 * f.v->us));
    while (direct_scan(f.c, va_of(0), code) == SCAN_CLEAN && n++ < 1000)
        direct_code_gone(f.c, code, 1);
    ck_assert_uint_eq(n, 16);
    ck_assert_int_eq(direct_scan(f.c, va_of(0), code), SCAN_CHANGED);
    f.v->forgiven[PAGES >> MEM_PAGE_SHIFT]--;
    ck_assert_int_eq(direct_scan(f.c, va_of(0), code), SCAN_CLEAN);
    for (n = 0; n < 15; n++) {
        direct_code_gone(f.c, code, 1);
        ck_assert_int_eq(direct_scan(f.c, va_of(0), code), SCAN_CLEAN);
    }
    stop(&f);
}
END_TEST

/* Pages of RAM are found where they are mapped, once or more often. */
START_TEST(finds_pages_to_protect)
{
    const uint64_t data = GRANTED | X86_PTE_D;
    struct fixture f;

    start(&f, 1);
    grant(&f, 0, PAGES, data);
    grant(&f, 1, PAGES + 0x1000, data);
    grant(&f, 40, PAGES + 0x1000, data);
    grant(&f, 80, PAGES + 0x2000, data & ~X86_PTE_W);
    space_fill(f.c, f.s, &out, va_of(0));
    space_fill(f.c, f.s, &out, va_of(40));
    space_fill(f.c, f.s, &out, va_of(80));
    ck_assert_uint_eq(space_page_gone(f.v, PAGES >> 12, MAPPED_WRITE), BIT(3));
    ck_assert_uint_eq(f.s->gone_count, 1);
    space_drop_gone(f.c, f.s, &out);
    assert_mapped(&f, 0, 0, 0);
    assert_mapped(&f, 1, PAGES + 0x1000, PROT_READ | PROT_WRITE);
    ck_assert_uint_eq(space_page_gone(f.v, (PAGES >> 12) + 1, MAPPED_WRITE), BIT(3));
    ck_assert_uint_eq(f.s->gone_count, 2);
    space_drop_gone(f.c, f.s, &out);
    assert_mapped(&f, 1, 0, 0);
    assert_mapped(&f, 40, 0, 0);
    ck_assert_uint_eq(space_page_gone(f.v, (PAGES >> 12) + 1, MAPPED_WRITE), 0);
    ck_assert_uint_eq(f.v->where[(PAGES >> 12) + 1], 0);
    ck_assert_uint_eq(space_page_gone(f.v, (PAGES >> 12) + 2, MAPPED_WRITE), 0);
    assert_mapped(&f, 80, PAGES + 0x2000, PROT_READ);
    stop(&f);
}
END_TEST

/* A page with cached code is not writable, for no vCPU that may run there. */
START_TEST(claimed_pages_are_not_writable)
{
    struct fixture f;

    start(&f, 2);
    grant(&f, 0, PAGES, GRANTED | X86_PTE_D);
    smc_claim(f.c, mem_ptr(f.rig.mem, PAGES, 16, MEM_READ), 16);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ);
    grant(&f, 1, PAGES + 0x1000, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(1)), MAPPED_READ | MAPPED_WRITE);
    ck_assert_uint_eq(mem_code_of(f.rig.mem, mem_ptr(f.rig.mem, PAGES + 0x1000, 1, MEM_READ))->writers, 3);
    stop(&f);
}
END_TEST

/* Pages that nobody has asked for yet are mapped, but not writable (mem.h). */
START_TEST(pages_are_asked_for_first)
{
    struct fixture f;

    start(&f, 1);
    mem_protect(f.rig.mem);
    grant(&f, 0, PAGES, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ);
    mem_own(f.rig.mem, mem_ptr(f.rig.mem, PAGES, 1, MEM_READ), 1);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, BASE), MAPPED_READ | MAPPED_WRITE);
    mem_protect(f.rig.mem);
    ck_assert_uint_eq(space_check_all(f.c, f.s, &out), 1);
    assert_mapped(&f, 0, 0, 0);
    stop(&f);
}
END_TEST

START_TEST(keeps_off_what_the_host_and_the_stub_have)
{
    struct fixture f;

    start(&f, 1);
    f.v->lowest = va_of(1);
    f.v->end = end = va_of(3);
    for (unsigned n = 0; n < 4; n++)
        grant(&f, n, PAGES + n * 0x1000, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(0)), 0);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(1)), MAPPED_READ | MAPPED_WRITE);
    assert_mapped(&f, 0, 0, 0);
    assert_mapped(&f, 2, PAGES + 0x2000, PROT_READ | PROT_WRITE);
    assert_mapped(&f, 3, 0, 0);
    ck_assert(direct_slot_is_empty(f.c, 200) && !direct_slot_is_empty(f.c, 0));
    f.v->end = end = STUB_ADDRESS_END;
    space_clear(f.c, f.s, &out);
    assert_mapped(&f, 1, 0, 0);
    ck_assert_uint_eq(unmaps, 2);
    stop(&f);
}
END_TEST

/* The last page table is of addresses that the host has no use for. */
START_TEST(unmaps_at_the_end)
{
    struct fixture f;

    start(&f, 1);
    f.v->end = end = va_of(100);
    grant(&f, 99, PAGES, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(space_fill(f.c, f.s, &out, va_of(99)), MAPPED_READ | MAPPED_WRITE);
    *entry(&f, LEVEL2, 0) = 0;
    space_check_all(f.c, f.s, &out);
    assert_mapped(&f, 99, 0, 0);
    stop(&f);
}
END_TEST

START_TEST(fills_everything)
{
    struct fixture f;

    start(&f, 1);
    for (unsigned n = 0; n < 2 * LEAF_PAGES; n += 3)
        grant(&f, n, PAGES + (n % 512) * 0x1000, GRANTED | X86_PTE_D);
    ck_assert_uint_eq(direct_next_leaf(f.c, 0), BASE);
    ck_assert_uint_eq(direct_next_leaf(f.c, BASE + 2 * LEAF_BYTES), UINT64_MAX);
    space_fill_all(f.c, f.s, &out);
    for (unsigned n = 0; n < 2 * LEAF_PAGES; n++)
        assert_mapped(&f, n, PAGES + (n % 512) * 0x1000, n % 3 ? 0 : PROT_READ | PROT_WRITE);
    stop(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, maps_what_is_granted_and_no_more);
    UNIT_TEST(s, rights_come_from_all_levels);
    UNIT_TEST(s, unmaps_what_has_changed);
    UNIT_TEST(s, unmaps_single_pages);
    UNIT_TEST(s, large_pages_are_one_run);
    UNIT_TEST(s, code_is_scanned_and_not_writable);
    UNIT_TEST(s, what_another_vcpu_has_found_stays);
    UNIT_TEST(s, changes_are_forgiven);
    UNIT_TEST(s, finds_pages_to_protect);
    UNIT_TEST(s, claimed_pages_are_not_writable);
    UNIT_TEST(s, pages_are_asked_for_first);
    UNIT_TEST(s, keeps_off_what_the_host_and_the_stub_have);
    UNIT_TEST(s, unmaps_at_the_end);
    UNIT_TEST(s, fills_everything);
}

UNIT_TEST_MAIN("direct_space", add_tests)
