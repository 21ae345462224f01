/* SPDX-License-Identifier: MIT */
#include "cpu/x86/mmu/tlb_table.h"

#include <stdlib.h>

#include "unit.h"

#define PAGE UINT64_C(4096)
#define FAR  (UINT64_C(1) << 20 | 1) /* no page of 1 GiB has it and a low one */

struct fixture {
    struct tlb_table t;
    struct tlb_entry *entry;
};

static void setup(struct fixture *f)
{
    f->entry = calloc(TLB_ENTRIES, sizeof(*f->entry));
    ck_assert_ptr_nonnull(f->entry);
    tlb_table_init(&f->t, f->entry);
    tlb_table_ready(&f->t);
}

static struct tlb_entry *fill(struct fixture *f, uint64_t vpn, bool large)
{
    struct tlb_entry *e = tlb_table_take(&f->t, vpn, 0x1000, large);

    e->read = e->write = vpn * PAGE;
    return e;
}

/* May an access find it that begins in entry n's pages? The first page comes behind the last one, too. */
static bool may_match(uint64_t tag, unsigned n)
{
    return tag != TLB_NO_TAG && ((tag / PAGE - n) % TLB_ENTRIES == 0 || (tag == 0 && n == TLB_ENTRIES - 1));
}

static unsigned entries_in_use(const struct fixture *f)
{
    unsigned count = 0;

    for (unsigned n = 0; n < TLB_ENTRIES; n++)
        count += may_match(f->entry[n].read, n) || may_match(f->entry[n].write, n) || may_match(f->entry[n].exec, n);
    return count;
}

START_TEST(a_new_table_is_empty)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(entries_in_use(&f), 0); /* though zeroed memory holds page 0 */
    free(f.entry);
}
END_TEST

START_TEST(emptying_drops_all_that_was_taken)
{
    struct fixture f;

    setup(&f);
    for (uint64_t vpn = 0; vpn < 3 * TLB_ENTRIES; vpn += 7)
        fill(&f, vpn, vpn % 2);
    ck_assert_uint_gt(entries_in_use(&f), 1000);
    tlb_table_forget(&f.t);
    ck_assert(f.t.stale);
    ck_assert_uint_gt(entries_in_use(&f), 1000); /* nobody wants it yet */
    tlb_table_ready(&f.t);
    ck_assert_uint_eq(entries_in_use(&f), 0);
    free(f.entry);
}
END_TEST

START_TEST(emptying_costs_what_was_taken)
{
    struct fixture f;

    setup(&f);
    fill(&f, 5, false);
    fill(&f, 77, true);
    /* Against the rules, to see where it looks. */
    f.entry[6].read = 6 * PAGE;
    f.entry[2000].read = 2000 * PAGE;
    tlb_table_forget(&f.t);
    tlb_table_ready(&f.t);
    ck_assert_uint_eq(entries_in_use(&f), 2);
    tlb_table_forget(&f.t);
    ck_assert(!f.t.stale); /* nothing was taken since */
    free(f.entry);
}
END_TEST

START_TEST(another_page_or_place_takes_the_entry_over)
{
    struct tlb_entry *e;
    struct fixture f;

    setup(&f);
    fill(&f, 9, false);
    e = tlb_table_take(&f.t, 9, 0x1000, false);
    ck_assert_uint_eq(e->read, 9 * PAGE);
    e = tlb_table_take(&f.t, 9, 0x2000, false);
    ck_assert_uint_eq(e->read, TLB_NO_TAG);
    e->exec = 9 * PAGE;
    ck_assert_ptr_eq(tlb_table_take(&f.t, 9 + TLB_ENTRIES, 0x2000, false), e);
    ck_assert_uint_eq(e->exec, TLB_NO_TAG);
    free(f.entry);
}
END_TEST

START_TEST(single_pages_are_dropped)
{
    struct fixture f;

    setup(&f);
    fill(&f, 9, false);
    tlb_table_drop_page(&f.t, 9 + TLB_ENTRIES); /* another one in its place */
    ck_assert_uint_eq(entries_in_use(&f), 1);
    tlb_table_drop_page(&f.t, 9);
    ck_assert_uint_eq(entries_in_use(&f), 0);
    free(f.entry);
}
END_TEST

/* 2048 pages of which every other one came from a large page; what is left of those by shift. */
static unsigned large_left(unsigned shift)
{
    unsigned large = 0;
    struct fixture f;

    setup(&f);
    for (uint64_t vpn = 2048; vpn < 4096; vpn++)
        fill(&f, vpn, vpn & 1);
    fill(&f, FAR, true); /* far away, low in the table */
    tlb_table_drop_large(&f.t, 2048 + 700, shift);
    for (unsigned n = 2048; n < 4096; n++) {
        ck_assert(n & 1 || f.entry[n].read == n * PAGE);
        large += (n & 1) && f.entry[n].read == n * PAGE;
    }
    ck_assert_uint_eq(f.entry[1].read, FAR * PAGE);
    free(f.entry);
    return large;
}

START_TEST(large_pages_are_dropped_whole)
{
    ck_assert_uint_eq(large_left(9), 1024 - 256);
    ck_assert_uint_eq(large_left(10), 1024 - 512);
    ck_assert_uint_eq(large_left(18), 0);
}
END_TEST

START_TEST(write_tags_are_taken_away)
{
    uint8_t *page = (uint8_t *)(uintptr_t)(9 * PAGE + 0x1000);
    struct tlb_entry *e;
    struct fixture f;

    setup(&f);
    e = fill(&f, 9, false);
    fill(&f, 10, false);
    tlb_table_protect_at(&f.t, page, 10);
    ck_assert_uint_ne(e->write, TLB_NO_TAG);
    tlb_table_protect_at(&f.t, page, 9);
    ck_assert_uint_eq(e->write, TLB_NO_TAG);
    e->write = 9 * PAGE;
    tlb_table_protect(&f.t, page);
    ck_assert_uint_eq(e->write, TLB_NO_TAG);
    ck_assert_uint_eq(e->read, 9 * PAGE);
    ck_assert_uint_eq(f.entry[10].write, 10 * PAGE);
    tlb_table_protect_all(&f.t);
    ck_assert_uint_eq(f.entry[10].write, TLB_NO_TAG);
    free(f.entry);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_new_table_is_empty);
    UNIT_TEST(s, emptying_drops_all_that_was_taken);
    UNIT_TEST(s, emptying_costs_what_was_taken);
    UNIT_TEST(s, another_page_or_place_takes_the_entry_over);
    UNIT_TEST(s, single_pages_are_dropped);
    UNIT_TEST(s, large_pages_are_dropped_whole);
    UNIT_TEST(s, write_tags_are_taken_away);
}

UNIT_TEST_MAIN("tlb_table", add_tests)
